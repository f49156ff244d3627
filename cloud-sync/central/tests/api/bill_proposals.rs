//! What two people decide of channels' bills: a file is withdrawn, nothing was traded on a day.

use crate::{
    bill_writer::{DAY, MERCHANT, trades, wechat_fund, wechat_trade},
    bills::{channel, channels, count, path, put},
    office::Office,
};
use central::store::bills;
use serde_json::{Value, json};

/// A run of reconciliation of a day, as final as it says.
async fn run(office: &Office, id: i64, day: &'static str, status: &'static str) {
    let run = office.db.write(move |tx| {
        tx.execute(
            "INSERT INTO run (id, day, scope, no, status, inputs, totals, digest, alive_until, begun_at, begun_by, ended_at) \
             VALUES ($1, $2, 'channel:wechat', $1, $3, '[]', '{}', '00', 9000000000000000, 0, 'rule', 1)",
            &[id.into(), day.into(), status.into()],
        )
    });
    run.await.unwrap();
}

pub(crate) async fn a_file_that_should_not_be_there_is_withdrawn_by_two(office: Office) {
    let maker = channels(&office).await;
    let both = office.machine("both", &["finance_maker", "finance_checker"]).await;
    let checker = office.machine("checker", &["finance_checker"]).await;
    let bill = wechat_trade(&trades());
    let at = path("wechat", DAY, "wechat_trade");
    let wrong = wechat_trade(&trades()[..1]);
    let file = put(&office, &maker, &at, wrong.as_bytes()).await.expect(201)["bill"]["file"].clone();
    let withdrawal = format!("/v1/bills/{file}/withdrawal");
    let why = json!({ "reason": "it was cut by hand" });
    office
        .post(&both, &withdrawal, &json!({ "reason": " " }))
        .await
        .problem(422, "invalid-body");
    let nobodys = office.post(&both, "/v1/bills/99/withdrawal", &why).await;
    nobodys.problem(404, "unknown-bill");
    let proposed = office.post(&both, &withdrawal, &why).await.expect(202);
    let is = json!({
        "kind": "withdraw", "channel": "wechat", "day": DAY, "format": "wechat_trade", "file": file,
        "reason": "it was cut by hand", "state": "proposed", "proposed_by": "token:both", "decided_by": null,
    });
    for (field, value) in is.as_object().unwrap() {
        assert_eq!(&proposed[field], value, "{field}: {proposed}");
    }
    let again = office.post(&maker, &withdrawal, &why).await;
    again.problem(409, "already-proposed");
    let of = |proposal: &Value, what: &str| format!("/v1/bill-proposals/{}/{what}", proposal["id"].as_str().unwrap());
    let own = office.post(&both, &of(&proposed, "approve"), &json!({})).await;
    own.problem(409, "same-person");
    let other = put(&office, &maker, &at, bill.as_bytes()).await;
    let present = other.problem(409, "other-bill");
    assert!(present["detail"].as_str().unwrap().contains(&withdrawal), "{present}");

    // Whoever proposed it may take it back.
    office
        .post(&both, &of(&proposed, "reject"), &json!({}))
        .await
        .expect(200);
    let late = office.post(&checker, &of(&proposed, "approve"), &json!({})).await;
    late.problem(409, "decided-already");
    office.pass(1);
    let proposed = office.post(&maker, &withdrawal, &why).await.expect(202);
    let approved = office
        .post(&checker, &of(&proposed, "approve"), &json!({}))
        .await
        .expect(200);
    assert_eq!(
        (&approved["state"], &approved["decided_by"]),
        (&json!("approved"), &json!("token:checker"))
    );
    let gone = office.get(&maker, &format!("/v1/bills/{file}")).await;
    gone.problem(404, "unknown-bill");
    assert_eq!(office.all(&maker, "/v1/bills", 10).await, Vec::<Value>::new());
    // Its lines stay for whoever asks why, and nothing sweeps them away.
    office.pass(2 * bills::ALIVE_MS);
    office.state.prune().await.unwrap();
    assert_eq!(count(&office, "bill_trade").await, 1);

    // The day takes another; and the same file is taken anew where it belongs.
    put(&office, &maker, &at, bill.as_bytes()).await.expect(201);
    channel(&office, "wechat2", MERCHANT, "wechat").await;
    let elsewhere = path("wechat2", DAY, "wechat_trade");
    put(&office, &maker, &elsewhere, wrong.as_bytes()).await.expect(201);
    let states: Vec<Value> = office
        .all(&checker, "/v1/bill-proposals", 1)
        .await
        .iter()
        .map(|proposal| proposal["state"].clone())
        .collect();
    assert_eq!(states, ["approved", "rejected"]);
    let waiting = office.all(&checker, "/v1/bill-proposals?state=proposed", 1).await;
    assert_eq!(waiting, Vec::<Value>::new());
    let audit = office.local("GET", "/v1/audit", None).await.expect(200);
    let told = audit["items"].as_array().unwrap().iter();
    let told: Vec<&str> = told
        .filter_map(|entry| entry["action"].as_str())
        .filter(|action| action.starts_with("bill_"))
        .collect();
    let oldest_first = [
        "bill_imported",
        "bill_proposed",
        "bill_proposal_rejected",
        "bill_proposed",
        "bill_withdrawn",
        "bill_imported",
        "bill_imported",
    ];
    assert!(told.iter().rev().eq(&oldest_first), "{told:?}");
}

/// What is proposed and what is approved over the socket of head office's own machine is nobody's, and whoever is alone there is told so.
pub(crate) async fn whoever_is_on_the_machine_is_told_that_it_takes_people(office: Office) {
    let maker = channels(&office).await;
    let checker = office.machine("checker", &["finance_checker"]).await;
    let at = path("wechat", DAY, "wechat_trade");
    let bill = put(&office, &maker, &at, wechat_trade(&trades()).as_bytes()).await;
    let withdrawal = format!("/v1/bills/{}/withdrawal", bill.expect(201)["bill"]["file"]);
    let why = json!({ "reason": "it is wrong" });
    let of = |proposal: &Value, what: &str| format!("/v1/bill-proposals/{}/{what}", proposal["id"].as_str().unwrap());
    let says = |problem: &Value, words: &str| {
        let detail = problem["detail"].as_str().unwrap();
        assert!(
            detail.contains(words) && detail.contains("`holdfast-central user add`"),
            "{detail}"
        );
    };
    let proposed = office.local("POST", &withdrawal, Some(&why)).await.expect(202);
    let refused = office.post(&checker, &of(&proposed, "approve"), &json!({})).await;
    says(
        &refused.problem(409, "same-person"),
        "so nobody can approve it: reject it",
    );
    let rejected = office.local("POST", &of(&proposed, "reject"), Some(&json!({}))).await;
    assert_eq!(rejected.expect(200)["state"], "rejected");
    let proposed = office.post(&maker, &withdrawal, &why).await.expect(202);
    let refused = office.local("POST", &of(&proposed, "approve"), Some(&json!({}))).await;
    says(&refused.problem(409, "same-person"), "log in as a person");
    office
        .post(&checker, &of(&proposed, "approve"), &json!({}))
        .await
        .expect(200);
}

pub(crate) async fn of_a_day_that_is_final_no_file_is_withdrawn(office: Office) {
    let maker = channels(&office).await;
    let checker = office.machine("checker", &["finance_checker"]).await;
    let why = json!({ "reason": "it is wrong" });
    let at = path("wechat", DAY, "wechat_trade");
    let bill = put(&office, &maker, &at, wechat_trade(&trades()).as_bytes())
        .await
        .expect(201);
    let withdrawal = format!("/v1/bills/{}/withdrawal", bill["bill"]["file"]);
    run(&office, 1, DAY, "provisional").await;
    let proposed = office.post(&maker, &withdrawal, &why).await.expect(202);
    // A run that has begun may have read it.
    let approve = format!("/v1/bill-proposals/{}/approve", proposed["id"].as_str().unwrap());
    let set = async |id: i64, status: &'static str| {
        let set = office.db.write(move |tx| {
            let values = [status.into(), id.into()];
            tx.execute("UPDATE run SET status = $1 WHERE id = $2", &values)
        });
        set.await.unwrap();
    };
    set(1, "replaced").await;
    run(&office, 2, DAY, "running").await;
    office
        .post(&checker, &approve, &json!({}))
        .await
        .problem(409, "being-reconciled");
    // Final after it was proposed, and before it was approved.
    set(2, "final").await;
    office
        .post(&checker, &approve, &json!({}))
        .await
        .problem(409, "day-final");
    // The day went by no bill of the account.
    let nothing = format!("{}/nothing", path("wechat", DAY, "wechat_fund"));
    let proposed = office.post(&maker, &nothing, &why).await.expect(202);
    let approve_fund = format!("/v1/bill-proposals/{}/approve", proposed["id"].as_str().unwrap());
    let approved = office.post(&checker, &approve_fund, &json!({})).await.expect(200);
    let withdraw_fund = format!("/v1/bills/{}/withdrawal", approved["file"]);
    let proposed = office.post(&maker, &withdraw_fund, &why).await.expect(202);
    let approve_fund = format!("/v1/bill-proposals/{}/approve", proposed["id"].as_str().unwrap());
    office.post(&checker, &approve_fund, &json!({})).await.expect(200);
    // Another channel's day is another thing.
    let of_another = format!("{}/nothing", path("alipay", DAY, "alipay_trade"));
    office.post(&maker, &of_another, &why).await.expect(202);
    let reject = approve.replace("/approve", "/reject");
    office.post(&checker, &reject, &json!({})).await.expect(200);
    office.post(&maker, &withdrawal, &why).await.problem(409, "day-final");
    assert_eq!(office.all(&maker, "/v1/bills", 10).await.len(), 1);
}

pub(crate) async fn a_day_without_a_trade_is_confirmed_by_two(office: Office) {
    let maker = channels(&office).await;
    let checker = office.machine("checker", &["finance_checker"]).await;
    let why = json!({ "reason": "closed for works; the channel has no file of it" });
    let nothing = |channel: &str, day: &str, format: &str| format!("{}/nothing", path(channel, day, format));
    for (of, status, problem) in [
        (nothing("nobody", DAY, "wechat_trade"), 404, "unknown-channel"),
        (nothing("wechat", DAY, "alipay_trade"), 409, "no-such-bills"),
        (nothing("wechat", "2026-03-10", "wechat_trade"), 409, "day-not-over"),
    ] {
        office.post(&maker, &of, &why).await.problem(status, problem);
    }
    let of_day = nothing("wechat", DAY, "wechat_trade");
    let proposed = office.post(&maker, &of_day, &why).await.expect(202);
    assert_eq!(
        (&proposed["kind"], &proposed["file"]),
        (&json!("nothing"), &Value::Null)
    );
    let days = format!("/v1/channels/wechat/bills?from={DAY}&to={DAY}");
    let present = |days: Value| days["days"][0]["present"].clone();
    assert_eq!(present(office.get(&maker, &days).await.expect(200)), false);
    let approve = format!("/v1/bill-proposals/{}/approve", proposed["id"].as_str().unwrap());
    let approved = office.post(&checker, &approve, &json!({})).await.expect(200);
    assert_eq!(present(office.get(&maker, &days).await.expect(200)), true);
    let shown = office
        .get(&maker, &format!("/v1/bills/{}", approved["file"]))
        .await
        .expect(200);
    assert_eq!(
        (&shown["lines"], &shown["bytes"], &shown["imported_by"]),
        (&json!(0), &json!(0), &json!("token:finance"))
    );
    office.post(&maker, &of_day, &why).await.problem(409, "other-bill");
    // A file that comes after all is not lost: the empty one is withdrawn for it.
    let bill = wechat_trade(&trades());
    let at = path("wechat", DAY, "wechat_trade");
    put(&office, &maker, &at, bill.as_bytes())
        .await
        .problem(409, "other-bill");
    let withdrawal = format!("/v1/bills/{}/withdrawal", approved["file"]);
    let proposed = office.post(&maker, &withdrawal, &why).await.expect(202);
    let approve = format!("/v1/bill-proposals/{}/approve", proposed["id"].as_str().unwrap());
    office.post(&checker, &approve, &json!({})).await.expect(200);
    put(&office, &maker, &at, bill.as_bytes()).await.expect(201);
    // And one that comes before the second person does stands.
    let of_fund = nothing("wechat", DAY, "wechat_fund");
    let proposed = office.post(&maker, &of_fund, &why).await.expect(202);
    let fund = wechat_fund(&[]);
    let at = path("wechat", DAY, "wechat_fund");
    put(&office, &maker, &at, fund.as_bytes()).await.expect(201);
    let approve = format!("/v1/bill-proposals/{}/approve", proposed["id"].as_str().unwrap());
    office
        .post(&checker, &approve, &json!({}))
        .await
        .problem(409, "other-bill");
}
