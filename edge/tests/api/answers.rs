//! Answers that are remembered: what one caller floods the station with is no other's loss, and nothing is booked twice.

use crate::bench::{Bench, Reply};
use broker::Receipt;
use domain::{ids::PileId, topics::UpKind};
use edge::{gate, store::AnswerBudget};
use serde_json::json;

const BUDGET: AnswerBudget = AnswerBudget {
    about_money_max: 4,
    others_max: 8,
};

/// Something that a caller with a token asks for under a key.
async fn asks(bench: &Bench, token: &str, path: &str, key: &str, body: &serde_json::Value) -> Reply {
    let bearer = format!("Bearer {token}");
    let headers = [
        ("authorization", &*bearer),
        ("content-type", "application/json"),
        ("idempotency-key", key),
    ];
    bench.raw("POST", path, &headers, Some(&body.to_string())).await
}

/// A pile says this many things, each under a `msg_id` of its own.
async fn flood(bench: &Bench, pile: &str, times: u64) {
    for n in 0..times {
        let event = json!({
            "boot_id": "b1", "seq": 1_000 + n, "mono_ms": bench.now().mono.0, "ts": null, "msg_id": format!("flood-{n}"),
            "connector": 1, "kind": "plugged", "code": 0, "text": "",
        });
        let event = event.to_string();
        let (input, key) = gate::read(PileId::new(pile).unwrap(), UpKind::Event, event.as_bytes());
        assert!(key.is_some(), "it is answered the same when it is said again");
        bench.station.pile_says(input, key, Receipt::inert(), event.len());
    }
    bench.settled().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_refund_is_answered_as_before_after_a_pile_has_flooded() {
    let bench = Bench::with_answer_budget(BUDGET).await;
    bench.flat_tariff().await;
    bench.member("m1", "100.00").await;
    bench.pile("P1").await;
    let order = bench.charge("m1", "P1", "20.00").await;
    bench.record("P1", &order, "102.0000").await;
    let desk = bench.token("desk", "service").await;
    let path = format!("/v1/orders/{order}/refunds");
    let body = json!({ "amount": "0.50", "reason": "a broken cable" });
    let first = asks(&bench, &desk, &path, "refund", &body).await;
    assert_eq!((first.status, first.replayed()), (201, false), "{}", first.text);
    flood(&bench, "P1", 200).await;
    let again = asks(&bench, &desk, &path, "refund", &body).await;
    assert_eq!((again.status, again.replayed(), &again.text), (201, true, &first.text));
    let member = bench.get("/v1/members/m1").await.expect(200);
    assert_eq!(
        member["allowance"], "98.80",
        "100.00, less 1.70, and 0.50 given back once"
    );
    bench.books().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_whose_answers_about_money_are_all_young_is_refused_before_anything_is_booked() {
    let bench = Bench::with_answer_budget(BUDGET).await;
    bench.member("m1", "100.00").await;
    let desk = bench.token("desk", "service").await;
    let path = "/v1/members/m1/topups";
    let receipt = |n: u32| json!({ "amount": "1.00", "receipt": format!("D-{n}") });
    let full = async || bench.get("/v1/station").await.expect(200)["answers_full"].clone();
    for n in 1..=4 {
        assert_eq!(full().await, json!([]), "{n}");
        let paid = asks(&bench, &desk, path, &format!("k{n}"), &receipt(n)).await;
        assert_eq!(paid.status, 201, "{}", paid.text);
    }
    assert_eq!(full().await, json!(["desk"]), "the next is refused");
    let refused = asks(&bench, &desk, path, "k5", &receipt(5)).await;
    let wait_s: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert_eq!(
        wait_s,
        24 * 3_600 - 4 + 1,
        "the first of four, a second apart each, is a day old by then"
    );
    let problem = refused.problem(503, "answers-full");
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains("4 requests about money") && detail.contains("another token"),
        "{detail}"
    );
    let allowance = async || bench.get("/v1/members/m1").await.expect(200)["allowance"].clone();
    assert_eq!(allowance().await, "104.00");
    let metrics = bench.get("/metrics").await.text;
    assert!(metrics.contains("holdfast_answers_refused_total 1\n"), "{metrics}");
    assert!(
        metrics.contains("holdfast_answer_budgets_full{kind=\"money\"} 1\n"),
        "{metrics}"
    );

    // What was answered is answered again; others have room of their own.
    assert!(asks(&bench, &desk, path, "k1", &receipt(1)).await.replayed());
    bench.post(path, &receipt(5)).await.expect(201);
    assert_eq!(allowance().await, "105.00");

    // Time passes with each request: three of a second each so far.
    bench.advance((wait_s - 6) * 1_000).await;
    let still = asks(&bench, &desk, path, "k6", &receipt(6)).await;
    still.problem(503, "answers-full");
    bench.advance(2_000).await;
    let taken = asks(&bench, &desk, path, "k6", &receipt(6)).await;
    assert_eq!((taken.status, taken.replayed()), (201, false), "{}", taken.text);
    assert_eq!(allowance().await, "106.00");
    assert_eq!(full().await, json!(["desk"]), "that one took the room of the first");
}
