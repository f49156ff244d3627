//! The desk over HTTP: top-ups typed wrong, shifts, counts, cash that goes to the bank, and the day's sums.

use crate::bench::Bench;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_top_up_typed_wrong_is_taken_back_as_far_as_it_is_unspent() {
    let bench = Bench::new().await;
    bench.member("m1", "500.00").await;
    let path = "/v1/members/m1/topup-reversals";
    let reverse =
        |receipt: &str, amount: Value| json!({ "receipt": receipt, "amount": amount, "reason": "多打一个零" });
    let too_much = bench
        .post(path, &reverse("R1-m1", json!("500.01")))
        .await
        .problem(422, "too-much");
    assert_eq!(too_much["most"], "500.00");
    bench
        .post(path, &reverse("R9", Value::Null))
        .await
        .problem(404, "unknown-receipt");
    let body = reverse("R1-m1", json!("225.00")).to_string();
    for (key, left) in [("first", "275.00"), ("first", "275.00"), ("second", "50.00")] {
        let member = bench.post_with(path, key, &body).await.expect(201);
        assert_eq!(member["allowance"], left, "a part is taken back once for each key");
    }
    let books = bench.books().await;
    assert_eq!(
        (&books["cash"], &books["allowances"]),
        (&json!("-50.00"), &json!("50.00"))
    );
    let statement = bench.get("/v1/members/m1/statement").await.expect(200);
    let last = &statement["items"][0];
    assert_eq!(
        (&last["code"], &last["debit"], &last["credit"]),
        (&json!("TOPUP"), &json!("allowance:m1"), &json!("cash"))
    );
    bench
        .post(path, &reverse("R1-m1", json!("0")))
        .await
        .problem(422, "invalid-body");
    let rest = json!({ "receipt": "R1-m1", "reason": "退款" });
    assert_eq!(bench.post(path, &rest).await.expect(201)["allowance"], "0.00");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shift_is_opened_counted_banked_and_closed() {
    let bench = Bench::new().await;
    bench.member("m1", "100.00").await;
    let before = bench.get("/v1/desk").await.expect(200);
    assert_eq!((&before["till"], &before["shift"]), (&json!("100.00"), &Value::Null));
    bench.post("/v1/desk/close", &json!({})).await.problem(409, "no-shift");
    let open = bench.post("/v1/desk/shift", &json!({})).await.expect(201);
    assert_eq!(
        (&open["shift"]["opening"], &open["shift"]["opened_by"]),
        (&json!("100.00"), &json!("root"))
    );
    bench
        .post("/v1/desk/shift", &json!({}))
        .await
        .problem(409, "shift-is-open");

    bench.member("m2", "60.00").await;
    bench
        .post("/v1/desk/close", &json!({}))
        .await
        .problem(409, "shift-not-counted");
    let count = |counted: &str, reason: Value| json!({ "counted": counted, "reason": reason });
    let differs = bench
        .post("/v1/desk/count", &count("158.50", Value::Null))
        .await
        .problem(422, "count-differs");
    assert_eq!(
        (&differs["path"], &differs["needed"]),
        (&json!("reason"), &json!("160.00"))
    );
    let counted = bench
        .post("/v1/desk/count", &count("158.50", json!("找零错")))
        .await
        .expect(200);
    assert_eq!(
        (
            &counted["till"],
            &counted["shift"]["count"]["difference"],
            &counted["shift"]["moved"]["over"]
        ),
        (&json!("158.50"), &json!("-1.50"), &json!("-1.50"))
    );
    let bank = |amount: &str, slip: &str| json!({ "amount": amount, "slip": slip });
    let too_much = bench
        .post("/v1/desk/bank", &bank("158.51", "B1"))
        .await
        .problem(422, "too-much");
    assert_eq!(too_much["most"], "158.50");
    bench.post("/v1/desk/bank", &bank("100.00", "B1")).await.expect(200);
    let again = bench.post("/v1/desk/bank", &bank("100.00", "B1")).await.expect(200);
    assert_eq!(again["till"], "58.50", "the same slip is the same cash");
    let reused = bench
        .post("/v1/desk/bank", &bank("1.00", "B1"))
        .await
        .problem(409, "slip-used");
    assert_eq!(reused["path"], "slip");
    bench
        .post("/v1/desk/close", &json!({}))
        .await
        .problem(409, "shift-not-counted");
    bench
        .post("/v1/desk/count", &count("58.50", Value::Null))
        .await
        .expect(200);
    let closed = bench.post("/v1/desk/close", &json!({})).await.expect(200);
    assert_eq!(
        (&closed["till"], &closed["closed_by"]),
        (&json!("58.50"), &json!("root"))
    );
    assert_eq!(bench.get("/v1/desk").await.expect(200)["shift"], Value::Null);

    let books = bench.books().await;
    assert_eq!(
        (&books["cash"], &books["bank"], &books["cash_over"]),
        (&json!("-58.50"), &json!("-100.00"), &json!("-1.50"))
    );
    bench.post("/v1/desk/shift", &json!({})).await.expect(201);
    let shifts = bench.get("/v1/desk/shifts?limit=1").await.expect(200);
    assert_eq!(shifts["items"][0]["closed_at"], Value::Null);
    let next = format!("/v1/desk/shifts?cursor={}", shifts["next"].as_str().unwrap());
    assert_eq!(bench.get(&next).await.expect(200)["items"], json!([closed]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_says_what_it_did_to_the_till() {
    let bench = Bench::new().await;
    bench
        .get("/v1/desk/days/2026-03-01")
        .await
        .problem(404, "unknown-desk-day");
    bench.member("m1", "100.00").await;
    let count = json!({ "counted": "101.00", "reason": "找到一元" });
    bench.post("/v1/desk/count", &count).await.expect(200);
    bench
        .post("/v1/desk/bank", &json!({ "amount": "90.00", "slip": "B1" }))
        .await
        .expect(200);
    let day = bench.get("/v1/desk/days/2026-03-01").await.expect(200);
    let moved =
        json!({ "topped_up": "100.00", "debts_paid": "0.00", "reversed": "0.00", "banked": "90.00", "over": "1.00" });
    assert_eq!(
        day,
        json!({ "day": "2026-03-01", "opening": "0.00", "moved": moved, "elsewhere": "0.00", "counts": 1, "closing": "11.00" })
    );
    let after = bench.get("/v1/desk/days/2026-03-02").await.expect(200);
    assert_eq!(
        (&after["opening"], &after["closing"]),
        (&json!("11.00"), &json!("11.00"))
    );
    bench
        .get("/v1/desk/days/2026-02-28")
        .await
        .problem(404, "unknown-desk-day");
    bench.get("/v1/desk/days/yesterday").await.problem(400, "invalid-url");
}
