//! Money after the bill: debts, refunds, reviews and quarantine, with books that balance at every step.

use crate::bench::Bench;
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_debt_stops_the_next_start_until_it_is_paid() {
    let bench = Bench::new().await;
    bench.flat_tariff().await;
    bench.member("m1", "5.00").await;
    bench.pile("P1").await;
    let id = bench.charge("m1", "P1", "5.00").await;
    // 8 kWh at 0.85 are 6.80.
    bench.record("P1", &id, "108.0000").await;
    let order = bench.get(&format!("/v1/orders/{id}")).await.expect(200);
    assert_eq!(
        (&order["state"], &order["paid"]["debt"]),
        (&json!("UNPAID"), &json!("1.80"))
    );
    let debts = bench.get("/v1/members/m1/debts").await.expect(200);
    assert_eq!(
        (&debts["debt"], &debts["orders"][0]["order"]),
        (&json!("1.80"), &json!(id))
    );
    assert_eq!(bench.books().await["debts"], "-1.80");

    let body = json!({ "member": "m1", "pile": "P1", "connector": 1, "prepay": "5.00" });
    assert_eq!(
        bench.post("/v1/orders", &body).await.problem(409, "unpaid-debt")["debt"],
        "1.80"
    );
    let pay = |amount: &str, from: &str| json!({ "amount": amount, "from": from, "receipt": format!("R-{amount}") });
    let payments = "/v1/members/m1/payments";
    assert_eq!(
        bench
            .post(payments, &pay("1.81", "cash"))
            .await
            .problem(422, "too-much")["most"],
        "1.80"
    );
    bench
        .post(payments, &pay("1.80", "allowance"))
        .await
        .problem(409, "insufficient-funds");
    let part = bench.post(payments, &pay("0.80", "cash")).await.expect(201);
    assert_eq!(part["debt"], "1.00");
    // The same receipt with a new key is the same payment; with another amount it is a mistake.
    let again = bench.post(payments, &pay("0.80", "cash")).await.expect(201);
    assert_eq!(again["debt"], "1.00");
    let reused = json!({ "amount": "1.00", "from": "cash", "receipt": "R-0.80" });
    assert_eq!(
        bench.post(payments, &reused).await.problem(409, "receipt-used")["path"],
        "receipt"
    );
    let reused = json!({ "amount": "0.80", "receipt": "R-0.80" });
    bench
        .post("/v1/members/m1/topups", &reused)
        .await
        .problem(409, "receipt-used");
    let paid = bench.post(payments, &pay("1.00", "cash")).await.expect(201);
    assert_eq!((&paid["debt"], &paid["unpaid_orders"]), (&json!("0.00"), &json!([])));
    assert_eq!(
        bench.get(&format!("/v1/orders/{id}")).await.expect(200)["state"],
        "PAYED"
    );
    assert_eq!(bench.books().await["cash"], "-6.80");
    let told = bench.get("/v1/members/m1/notifications?limit=1").await.expect(200);
    assert_eq!(told["items"][0]["key"], "debt_cleared");
    assert!(told["next"].is_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_never_gives_back_more_than_was_paid() {
    let bench = Bench::new().await;
    bench.flat_tariff().await;
    bench.member("m1", "50.00").await;
    bench.pile("P1").await;
    let id = bench.charge("m1", "P1", "20.00").await;
    let refunds = format!("/v1/orders/{id}/refunds");
    let refund = |amount: &str| json!({ "amount": amount, "reason": "枪头过热" });
    bench
        .post(&refunds, &refund("1.00"))
        .await
        .problem(409, "illegal-in-this-state");
    bench.record("P1", &id, "102.0000").await;
    assert_eq!(
        bench.post(&refunds, &refund("1.71")).await.problem(422, "too-much")["most"],
        "1.70"
    );
    let order = bench.post(&refunds, &refund("1.20")).await.expect(201);
    assert_eq!(
        (&order["after_sales"], &order["paid"]["refundable"]),
        (&json!(true), &json!("0.50"))
    );
    bench.post(&refunds, &refund("0.51")).await.problem(422, "too-much");
    assert_eq!(bench.get("/v1/members/m1").await.expect(200)["allowance"], "49.50");
    assert_eq!(bench.books().await["refund"], "-1.20");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspect_meter_waits_for_a_persons_decision() {
    let bench = Bench::new().await;
    bench.flat_tariff().await;
    bench.member("m1", "100.00").await;
    bench.pile("P1").await;
    let id = bench.charge("m1", "P1", "20.00").await;
    bench.record("P1", &id, "99.0000").await;
    let reviews = bench.get("/v1/reviews").await.expect(200);
    assert_eq!(reviews["items"][0]["id"], json!(id));
    let suspicions = reviews["items"][0]["suspicions"].as_array().unwrap();
    assert!(
        suspicions
            .contains(&json!({ "kind": "stop_below_start", "figures": { "start": "100.0000", "stop": "99.0000" } })),
        "{suspicions:?}"
    );
    let decision = format!("/v1/reviews/{id}/decision");
    bench
        .post(&decision, &json!({ "decision": "maybe", "reason": "r" }))
        .await
        .problem(422, "invalid-body");
    let corrected =
        json!({ "decision": { "corrected": { "electricity": "3.00", "service": "1.00" } }, "reason": "抄表" });
    let order = bench.post(&decision, &corrected).await.expect(200);
    assert_eq!(
        (&order["state"], &order["bill"]["fee"]),
        (&json!("PAYED"), &json!("4.00"))
    );
    let bill = bench.get(&format!("/v1/orders/{id}/bill")).await.expect(200);
    let last = bill["versions"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&last["basis"], &last["by"], &last["detail"]),
        (&json!("correction"), &json!("root"), &json!(null))
    );
    bench
        .post(&decision, &corrected)
        .await
        .problem(409, "illegal-in-this-state");
    assert_eq!(bench.get("/v1/reviews").await.expect(200)["items"], json!([]));
    bench.books().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_orphaned_record_is_kept_until_somebody_bills_or_dismisses_it() {
    let bench = Bench::new().await;
    bench.flat_tariff().await;
    bench.member("m1", "100.00").await;
    bench.pile("P1").await;
    bench.record("P1", "an-order-nobody-knows", "101.0000").await;
    bench.record("P1", "another-one", "102.0000").await;
    let open = bench.get("/v1/quarantine").await.expect(200);
    assert_eq!(open["items"].as_array().unwrap().len(), 2, "{open}");
    assert_eq!(
        (&open["items"][1]["why"], &open["items"][1]["energy_kwh"]),
        (&json!("orphan"), &json!("1.0000"))
    );
    assert!(open["items"][0].get("record").is_none());
    let (second, first) = (open["items"][0]["item"].clone(), open["items"][1]["item"].clone());
    let one = bench.get(&format!("/v1/quarantine/{first}")).await.expect(200);
    assert_eq!(one["record"]["meter_stop_kwh"], "101.0000");

    let close = |item: &serde_json::Value| format!("/v1/quarantine/{item}/close");
    bench
        .post(&close(&first), &json!({ "reason": " " }))
        .await
        .problem(422, "invalid-body");
    let nobody = bench
        .post(&close(&first), &json!({ "bill_to": "nobody", "reason": "认领" }))
        .await;
    nobody.problem(404, "unknown-member");
    // Both say that they began at 100 kWh.
    let despite = json!([{ "item": second }]);
    let billed = bench
        .post(
            &close(&first),
            &json!({ "bill_to": "m1", "reason": "认领", "despite": despite }),
        )
        .await
        .expect(200);
    assert_eq!(billed["outcome"], "billed");
    let order = billed["billed_as"].as_str().unwrap();
    let order = bench.get(&format!("/v1/orders/{order}")).await.expect(200);
    assert_eq!(
        (&order["state"], &order["bill"]["fee"], &order["source"]),
        (&json!("PAYED"), &json!("0.85"), &json!("quarantine"))
    );
    let dismissed = bench
        .post(&close(&second), &json!({ "reason": "测试" }))
        .await
        .expect(200);
    assert_eq!(dismissed["outcome"], "dismissed");
    bench
        .post(&close(&second), &json!({ "reason": "测试" }))
        .await
        .problem(404, "unknown-quarantine-item");
    assert_eq!(bench.get("/v1/quarantine").await.expect(200)["items"], json!([]));
    assert_eq!(
        bench.get("/v1/quarantine?closed=true").await.expect(200)["items"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    bench.books().await;
}
