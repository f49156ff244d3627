//! Energy reports: listed, shown, exported; and the mark on a pile's meter, which a person takes off.

use crate::bench::{Bench, HOUR};
use domain::policy::Policy;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_days_energy_is_kept_shown_and_exported_and_a_person_clears_the_mark() {
    let bench = Bench::starting(Policy::default(), "2026-03-01T23:00:00+08:00").await;
    assert_eq!(bench.get("/v1/energy-reports").await.expect(200)["items"], json!([]));
    // To a spreadsheet this pile's id would be a number.
    bench.pile("-7").await;
    bench.heartbeat("-7", "idle", None, "105.5000").await;
    bench.advance(2 * HOUR).await;
    let days = bench.get("/v1/energy-reports").await.expect(200);
    let brief = &days["items"][0];
    assert_eq!(
        (&brief["day"], &brief["abnormal"]),
        (&json!("2026-03-01"), &json!(["-7"]))
    );
    assert_eq!(brief["totals"]["register_kwh"], "5.5000");

    let report = bench.get("/v1/energy-reports/2026-03-01").await.expect(200);
    assert_eq!(
        (&report["begins"], &report["ends"]),
        (&json!("2026-02-28T16:00:00Z"), &json!("2026-03-01T16:00:00Z"))
    );
    let connector = &report["connectors"][0];
    assert_eq!(connector["unrecorded_kwh"], "5.5000");
    assert_eq!(
        connector["totals"],
        json!({ "orders": 0, "billed_kwh": "0.0000", "register_kwh": "5.5000", "difference_kwh": "-5.5000", "discrepancies": 2 })
    );
    let found = &connector["discrepancies"];
    assert_eq!(
        (&found[0]["class"], &found[1]["class"]),
        (&json!("ENERGY"), &json!("REGISTER_GAP"))
    );
    assert_eq!(
        (&found[1]["from_kwh"], &found[1]["to_kwh"]),
        (&json!("100.0000"), &json!("105.5000"))
    );
    assert_eq!(report["piles"][0]["abnormal"], true);

    let csv = bench.get("/v1/energy-reports/2026-03-01/csv").await;
    assert_eq!(csv.headers["content-type"], "text/csv; charset=utf-8");
    assert_eq!(
        csv.headers["content-disposition"],
        "attachment; filename=\"energy-2026-03-01.csv\""
    );
    let lines: Vec<&str> = csv.text.split("\r\n").collect();
    assert!(
        lines[0].starts_with("\u{feff}day,row,class,pile,connector"),
        "{}",
        csv.text
    );
    assert_eq!(
        &lines[1..],
        [
            "2026-03-01,connector,,'-7,1,,,0,0.0000,5.5000,-5.5000,,,yes",
            "2026-03-01,discrepancy,ENERGY,'-7,1,,,,0.0000,5.5000,-5.5000,,,",
            "2026-03-01,discrepancy,REGISTER_GAP,'-7,1,,,,,,,100.0000,105.5000,",
            "2026-03-01,total,,,,,,0,0.0000,5.5000,-5.5000,,,",
            "",
        ]
    );

    for path in ["/v1/energy-reports/2026-02-28", "/v1/energy-reports/2026-02-28/csv"] {
        bench.get(path).await.problem(404, "unknown-energy-report");
    }
    let wrong = bench.get("/v1/energy-reports/1.3.2026").await;
    assert!(wrong.text.contains("2026-03-01"), "{}", wrong.text);
    assert_eq!(wrong.status, 400, "{}", wrong.text);

    let pile = bench.get("/v1/piles/-7").await.expect(200);
    assert_eq!(pile["meter_abnormal"]["day"], "2026-03-01");
    assert_eq!(bench.get("/v1/station").await.expect(200)["piles_meter_abnormal"], 1);
    let clear = |reason: &str| json!({ "reason": reason }).to_string();
    let path = "/v1/piles/-7/meter-cleared";
    assert_eq!(
        bench.post_with(path, "k1", &clear(" ")).await.status,
        422,
        "a reason must be given"
    );
    let viewer = bench.token("eyes", "viewer").await;
    let headers = [
        ("authorization", &*format!("Bearer {viewer}")),
        ("content-type", "application/json"),
        ("idempotency-key", "k2"),
    ];
    bench
        .raw("POST", path, &headers, Some(&clear("looked")))
        .await
        .problem(403, "role-too-low");
    let cleared = bench.post_with(path, "k3", &clear("校准过")).await.expect(200);
    assert_eq!(cleared["meter_abnormal"], Value::Null);
    assert!(bench.post_with(path, "k3", &clear("校准过")).await.replayed());
    bench
        .post("/v1/piles/P9/meter-cleared", &json!({ "reason": "x" }))
        .await
        .problem(404, "unknown-pile");

    // Pages go from the newest day to the oldest.
    let page = bench.get("/v1/energy-reports?limit=1").await.expect(200);
    assert_eq!(page["items"].as_array().unwrap().len(), 1);
    for (cursor, count) in [("2026-03-02", 1), ("2026-03-01", 0)] {
        let page = bench
            .get(&format!("/v1/energy-reports?cursor={cursor}"))
            .await
            .expect(200);
        assert_eq!(page["items"].as_array().unwrap().len(), count, "{cursor}");
    }
    bench
        .get("/v1/energy-reports?cursor=x")
        .await
        .problem(400, "invalid-url");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lower_register_is_shown_with_both_readings() {
    let bench = Bench::new().await;
    bench.pile("P1").await;
    let connectors = json!([{ "no": 1, "max_kw": "600.0", "meter_kwh": "3.0000" }]);
    let boot = json!({ "vendor": "ACME", "model": "X1", "firmware": "1.0", "connectors": connectors });
    bench.says("P1", domain::topics::UpKind::Boot, boot).await;
    let pile = bench.get("/v1/piles/P1").await.expect(200);
    assert_eq!(
        pile["connectors"][0]["register_lower"],
        json!({ "known_kwh": "100.0000", "found_kwh": "3.0000" })
    );
    assert_eq!(bench.get("/v1/station").await.expect(200)["piles_meter_abnormal"], 1);
    let reason = json!({ "reason": "meter replaced" });
    let cleared = bench.post("/v1/piles/P1/meter-cleared", &reason).await.expect(200);
    assert_eq!(cleared["connectors"][0]["register_lower"], Value::Null);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_register_that_cannot_be_is_put_right_by_a_person_and_sessions_are_paid_again() {
    let bench = Bench::new().await;
    bench.flat_tariff().await;
    bench.member("m", "100.00").await;
    bench.pile("P1").await;
    // All bits set in the boot and for two heartbeats, and the true register from then on.
    let connectors = json!([{ "no": 1, "max_kw": "600.0", "meter_kwh": "42949672.95" }]);
    let boot = json!({ "vendor": "ACME", "model": "X1", "firmware": "1.0", "connectors": connectors });
    bench.says("P1", domain::topics::UpKind::Boot, boot).await;
    for _ in 0..2 {
        bench.heartbeat("P1", "idle", None, "42949672.9500").await;
    }
    let seen = bench.get("/v1/piles/P1").await.expect(200);
    assert_ne!(seen["connectors"][0]["register_doubt"], Value::Null);
    assert_eq!(bench.get("/v1/station").await.expect(200)["piles_meter_abnormal"], 1);
    bench.heartbeat("P1", "idle", None, "100.0000").await;
    let reason = json!({ "reason": "it reads 100 kWh" });
    let cleared = bench.post("/v1/piles/P1/meter-cleared", &reason).await.expect(200);
    let now = &cleared["connectors"][0];
    assert_eq!(
        (&now["register_kwh"], &now["register_doubt"]),
        (&json!("100.0000"), &Value::Null)
    );
    assert_eq!(bench.get("/v1/station").await.expect(200)["piles_meter_abnormal"], 0);
    let order = bench.charge("m", "P1", "50.00").await;
    bench.heartbeat("P1", "charging", Some(&order), "101.0000").await;
    bench.record("P1", &order, "101.0000").await;
    let paid = bench.get(&format!("/v1/orders/{order}")).await.expect(200);
    assert_eq!(
        (&paid["state"], &paid["paid"]["charged"]),
        (&json!("PAYED"), &json!("0.85"))
    );
    bench.books().await;
}
