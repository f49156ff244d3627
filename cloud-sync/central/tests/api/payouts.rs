//! What channels have paid out, over HTTP: two people say so, what cannot be is refused by name, and the channel's run holds it against what
//! was due.

use crate::{
    bill_writer::{MERCHANT, wechat_fund, wechat_trade},
    bills::{channel, path, put},
    office::Office,
};
use central::store::reconcile_runs as runs;
use serde_json::json;

const DAY_MS: i64 = 86_400_000;

pub(crate) async fn two_people_say_what_a_channel_has_paid_out_and_its_run_looks_at_it(office: Office) {
    let maker = office.machine("li", &["finance_maker"]).await;
    let checker = office.machine("zhao", &["finance_checker"]).await;
    channel(&office, "wechat", MERCHANT, "wechat").await;
    office.pass(3 * DAY_MS);
    let bill = wechat_trade(&[]);
    for day in ["2026-03-10", "2026-03-11"] {
        put(&office, &maker, &path("wechat", day, "wechat_trade"), bill.as_bytes())
            .await
            .expect(201);
    }
    let at = "/v1/channels/wechat/payouts";
    let payout = |day: &str, reference: &str, amount: &str| json!({ "day": day, "reference": reference, "amount": amount, "reason": "statement" });
    for (of, field) in [
        (payout("2026-03-11", "B1", "0.00"), "amount"),
        (payout("2026-03-11", "", "1.00"), "reference"),
    ] {
        let problem = office.post(&maker, at, &of).await;
        assert!(
            problem.status == 422 && problem.text.contains(field),
            "{}",
            problem.text
        );
    }
    let early = payout("2020-01-01", "B1", "1.00");
    office.post(&maker, at, &early).await.problem(409, "payout-day");
    let unknown = "/v1/channels/none/payouts";
    office
        .post(&maker, unknown, &early)
        .await
        .problem(404, "unknown-channel");
    let said = payout("2026-03-11", "B1", "5.00");
    let proposed = office.post(&maker, at, &said).await.expect(202);
    office.post(&maker, at, &said).await.problem(409, "paid-out");
    let id = proposed["id"].as_str().unwrap().to_owned();
    let approve = format!("/v1/payouts/{id}/approve");
    let approved = office.post(&checker, &approve, &json!({})).await.expect(200);
    assert_eq!(
        (&approved["state"], &approved["amount"]),
        (&json!("approved"), &json!("5.00"))
    );
    office
        .post(&checker, &approve, &json!({}))
        .await
        .problem(409, "payout-decided");
    let listed = office.get(&checker, "/v1/payouts?channel=wechat").await.expect(200);
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);

    // What was due of these days is nothing.
    let ask = json!({ "channel": "wechat", "day": "2026-03-11" });
    office.post(&maker, "/v1/reconciliation/runs", &ask).await.expect(200);
    let scope = "payouts:wechat";
    let found = office.db.read(move |tx| {
        let runs = runs::counting(tx, scope, "2026-03-11".parse().unwrap())?;
        let said = tx.query(
            "SELECT ref, ours, theirs FROM discrepancy WHERE scope = $1",
            &[scope.into()],
        )?;
        Ok((runs.len(), said))
    });
    let (runs, said) = found.await.unwrap();
    assert_eq!((runs, said.len()), (1, 1));
    let mut said = said.into_iter().next().unwrap();
    assert_eq!(
        (
            said.text(0).unwrap().as_str(),
            said.int(1).unwrap(),
            said.int(2).unwrap()
        ),
        ("2026-03-11 B1", 0, 500)
    );

    // A bill of the account says what people need not.
    let fund = wechat_fund(&[]);
    put(
        &office,
        &maker,
        &path("wechat", "2026-03-12", "wechat_fund"),
        fund.as_bytes(),
    )
    .await
    .expect(201);
    let again = payout("2026-03-11", "B2", "1.00");
    office.post(&maker, at, &again).await.problem(409, "paid-by-bill");
}
