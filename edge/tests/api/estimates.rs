//! A bill without a record, what the late record makes of it, and the pile's own split: as a person sees them.

use crate::bench::{Bench, MINUTE};
use domain::{policy::Policy, topics::UpKind, units::Fen};
use serde_json::{Value, json};

/// An order that has charged 2 kWh at ¥0.85 by the last reading, and whose record does not come.
async fn without_record(bench: &Bench) -> String {
    bench.flat_tariff().await;
    bench.member("m", "100.00").await;
    bench.pile("P1").await;
    let order = bench.charge("m", "P1", "50.00").await;
    bench.heartbeat("P1", "charging", Some(&order), "102.0000").await;
    bench.heartbeat("P1", "idle", None, "102.0000").await;
    // It is asked for after a minute, and given up after half an hour.
    let path = format!("/v1/orders/{order}");
    bench.advance(29 * MINUTE).await;
    let waits = bench.get(&path).await.expect(200);
    assert_eq!(
        (&waits["state"], &waits["estimated"]),
        (&json!("CHARGING"), &json!(false))
    );
    bench.advance(MINUTE).await;
    assert_eq!(bench.get(&path).await.expect(200)["estimated"], true);
    order
}

async fn bases(bench: &Bench, order: &str) -> Vec<Value> {
    let bill = bench.get(&format!("/v1/orders/{order}/bill")).await.expect(200);
    let versions = bill["versions"].as_array().unwrap();
    versions.iter().map(|version| version["basis"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_record_re_rates_an_estimate() {
    let bench = Bench::new().await;
    let order = without_record(&bench).await;
    let path = format!("/v1/orders/{order}");
    let estimated = bench.get(&path).await.expect(200);
    assert_eq!(
        (
            &estimated["state"],
            &estimated["hold"]["captured"],
            &estimated["hold"]["remaining"]
        ),
        (&json!("SETTLE"), &json!("1.70"), &json!("48.30"))
    );
    bench.record("P1", &order, "103.0000").await;
    let settled = bench.get(&path).await.expect(200);
    assert_eq!(
        (&settled["state"], &settled["estimated"], &settled["paid"]["charged"]),
        (&json!("PAYED"), &json!(false), &json!("2.55"))
    );
    assert_eq!(bases(&bench, &order).await, ["estimate", "record"]);
    bench.books().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_comes_after_a_persons_bill_does_not_overwrite_it() {
    let policy = Policy {
        review_above: Fen(100),
        ..Policy::default()
    };
    let bench = Bench::with(policy).await;
    let order = without_record(&bench).await;
    let (path, decision) = (format!("/v1/orders/{order}"), format!("/v1/reviews/{order}/decision"));
    let bill = json!({ "corrected": { "electricity": "0.50", "service": "0.30" } });
    let settled = bench
        .post(&decision, &json!({ "decision": bill, "reason": "抄表" }))
        .await
        .expect(200);
    assert_eq!(
        (&settled["state"], &settled["paid"]["charged"]),
        (&json!("PAYED"), &json!("0.80"))
    );

    bench.record("P1", &order, "103.0000").await;
    let waits = bench.get(&path).await.expect(200);
    assert_eq!(
        (&waits["state"], &waits["paid"]["charged"]),
        (&json!("REVIEW"), &json!("0.80"))
    );
    let why = waits["suspicions"].as_array().unwrap();
    assert!(why.iter().any(|one| one["kind"] == "bill_corrected"), "{waits}");
    assert_eq!(bases(&bench, &order).await, ["estimate", "correction", "record"]);
    let reviews = bench.get("/v1/reviews").await.expect(200);
    assert_eq!(reviews["items"][0]["id"], json!(order));
    let decided = bench
        .post(&decision, &json!({ "decision": "as_is", "reason": "记录可信" }))
        .await
        .expect(200);
    assert_eq!(
        (&decided["state"], &decided["paid"]["charged"]),
        (&json!("PAYED"), &json!("2.55"))
    );
    bench.books().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pile_that_splits_the_energy_differently_is_written_down_with_both_splits() {
    let bench = Bench::new().await;
    bench.flat_tariff().await;
    bench.member("m", "100.00").await;
    bench.pile("P1").await;
    let order = bench.charge("m", "P1", "50.00").await;
    let mut record = bench.record_of("P1", &order, "102.0000");
    record["periods"] = json!({ "sharp_kwh": "0", "peak_kwh": "1.5000", "flat_kwh": "0.5000", "valley_kwh": "0" });
    bench.says("P1", UpKind::Record, record).await;
    let settled = bench.get(&format!("/v1/orders/{order}")).await.expect(200);
    assert_eq!(
        (&settled["state"], &settled["paid"]["charged"]),
        (&json!("PAYED"), &json!("1.70")),
        "ours is charged"
    );
    let log = bench
        .get(&format!("/v1/orders/{order}/log?limit=200"))
        .await
        .expect(200);
    let entries = log["items"].as_array().unwrap();
    let differs = entries.iter().find(|entry| entry["kind"] == "RatingDiffers");
    let text = differs.expect("the difference is in the order's log")["body"].to_string();
    for part in ["\"claimed\"", "\"ours\"", "1.5000", "2.0000"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}
