//! Adjustments of wallets over HTTP: what is proposed, by whom it is posted, and what is refused.

use crate::office::{Office, Somebody};
use serde_json::{Value, json};

const PROPOSE: &str = "/v1/members/w/adjustments";

fn amount(amount: &str) -> Value {
    json!({ "amount": amount, "reason": "so was promised" })
}

pub(crate) async fn a_wallet_is_adjusted_by_two_people_and_the_audit_chain_has_both(office: Office) {
    let maker = office.machine("maker", &["finance_maker", "finance_checker"]).await;
    let checker = office.machine("checker", &["finance_checker"]).await;
    let name = json!({ "name": "W" });
    let made = office.local("PUT", "/v1/members/w", Some(&name)).await;
    assert!((200..300).contains(&made.status), "{}", made.text);
    let once = maker.clone().with("idempotency-key", "promise-1");
    let waits = office
        .ask(&once, "POST", PROPOSE, Some(&amount("7.50")))
        .await
        .expect(202);
    let expected = json!({
        "member": "w", "amount": "7.50", "reason": "so was promised", "finding": null, "state": "proposed", "why": null,
        "proposed_by": "token:maker", "decided_by": null, "decided_at": null,
    });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&waits[field], value, "{field}: {waits}");
    }
    let again = office.ask(&once, "POST", PROPOSE, Some(&amount("7.50"))).await;
    assert!(again.is_replayed());
    assert_eq!(again.expect(202)["id"], waits["id"]);
    for nothing in [
        amount("0.00"),
        amount("1000000.01"),
        amount("-1000000.01"),
        json!({ "amount": "1.00", "reason": " " }),
        json!({ "amount": "1.00" }),
    ] {
        let refused = office.post(&maker, PROPOSE, &nothing).await;
        refused.problem(422, "invalid-body");
    }
    let mut unknown = amount("1.00");
    unknown["finding"] = json!({ "site": "s1", "branch": 1, "seq": 7, "class": "CASH" });
    office
        .post(&maker, PROPOSE, &unknown)
        .await
        .problem(404, "unknown-finding");
    office
        .post(&maker, "/v1/members/nobody/adjustments", &amount("1.00"))
        .await
        .problem(404, "unknown-member");

    let of = |of: &Value, what: &str| format!("/v1/adjustments/{}{what}", of["id"].as_str().unwrap());
    office
        .post(&maker, &of(&waits, "/approve"), &json!({}))
        .await
        .problem(409, "same-person");
    let posted = office
        .post(&checker, &of(&waits, "/approve"), &json!({}))
        .await
        .expect(200);
    assert_eq!(
        (&posted["state"], &posted["decided_by"]),
        (&json!("posted"), &json!("token:checker"))
    );
    office
        .post(&checker, &of(&waits, "/approve"), &json!({}))
        .await
        .problem(409, "adjustment-decided");
    assert_eq!(office.get(&checker, &of(&waits, "")).await.expect(200), posted);
    office
        .get(&checker, "/v1/adjustments/a9")
        .await
        .problem(404, "unknown-adjustment");
    let wallet = office.local("GET", "/v1/members/w/wallet", None).await.expect(200);
    assert_eq!(wallet["balance"], "7.50");

    let other = office.post(&maker, PROPOSE, &amount("-1.00")).await.expect(202);
    let no = json!({ "reason": "he was right" });
    let rejected = office.post(&maker, &of(&other, "/reject"), &no).await.expect(200);
    assert_eq!(
        (&rejected["state"], &rejected["why"]),
        (&json!("rejected"), &json!("he was right"))
    );
    for limit in [1, 2, 200] {
        let all = office.all(&checker, "/v1/adjustments?member=w", limit).await;
        assert_eq!(all.len(), 2, "{all:?}");
        let posted = office.all(&checker, "/v1/adjustments?state=posted", limit).await;
        assert_eq!(posted.len(), 1);
        assert!(office.all(&checker, "/v1/adjustments?site=s1", limit).await.is_empty());
    }
    let chain = office.local("GET", "/v1/audit", None).await.expect(200).to_string();
    for action in ["adjustment_proposed", "adjustment_posted", "adjustment_rejected"] {
        assert!(chain.contains(action), "{chain}");
    }
    let verified = office.local("GET", "/v1/ledger/verification", None).await.expect(200);
    assert_eq!(verified["differences"], json!([]), "{verified}");
}

/// A token that somebody makes for a machine.
async fn token_of(office: &Office, who: &Somebody, name: &str, roles: &[&str]) -> Somebody {
    let token = json!({ "name": name, "roles": roles });
    let made = office.post(who, "/v1/tokens", &token).await.expect(201);
    Somebody::with_token(made["token"].as_str().unwrap())
}

pub(crate) async fn two_tokens_that_one_has_made_are_one_person(office: Office) {
    let li = office.machine("li", &["admin", "finance_checker"]).await;
    let zhao = office.machine("zhao", &["admin"]).await;
    let maker = token_of(&office, &li, "maker", &["finance_maker"]).await;
    let checker = token_of(&office, &li, "checker", &["finance_checker", "admin"]).await;
    let of_checker = token_of(&office, &checker, "third", &["finance_checker"]).await;
    let another = token_of(&office, &zhao, "another", &["finance_checker"]).await;
    office
        .local("PUT", "/v1/members/w", Some(&json!({ "name": "W" })))
        .await
        .expect(204);
    let proposed = async || office.post(&maker, PROPOSE, &amount("7.50")).await.expect(202);
    let approve = |of: &Value| format!("/v1/adjustments/{}/approve", of["id"].as_str().unwrap());
    let waits = proposed().await;
    for one in [&li, &checker, &of_checker] {
        office
            .post(one, &approve(&waits), &json!({}))
            .await
            .problem(409, "same-person");
    }
    office.post(&another, &approve(&waits), &json!({})).await.expect(200);
    // Whose a token was that was taken back, or made anew since, nobody can tell any more.
    let waits = proposed().await;
    office.pass(1_000);
    office.ask(&zhao, "DELETE", "/v1/tokens/maker", None).await.expect(204);
    office
        .post(&another, &approve(&waits), &json!({}))
        .await
        .problem(409, "same-person");
    token_of(&office, &zhao, "maker", &["viewer"]).await;
    office
        .post(&li, &approve(&waits), &json!({}))
        .await
        .problem(409, "same-person");
    let wallet = office.local("GET", "/v1/members/w/wallet", None).await.expect(200);
    assert_eq!(wallet["balance"], "7.50");
}
