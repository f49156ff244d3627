//! Piles, cards and tokens: secrets are shown once, and what is taken away is gone at once.

use crate::bench::Bench;
use domain::{
    ids::{ConnectorNo, Outlet, PileId},
    site::Input,
    time::Wall,
    topics::UpKind,
};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_piles_secret_is_shown_once() {
    let bench = Bench::new().await;
    let pile = PileId::new("P1").unwrap();
    let first = bench.post_with("/v1/piles", "k", r#"{"id":"P1"}"#).await;
    let secret = first.body["secret"].as_str().unwrap().to_owned();
    assert!(bench.station.credentials.pile_matches(&pile, secret.as_bytes()));
    let again = bench.post_with("/v1/piles", "k", r#"{"id":"P1"}"#).await;
    assert!(again.replayed());
    assert_eq!(
        (again.status, &again.body),
        (201, &json!({ "id": "P1", "secret": null }))
    );
    let exists = bench
        .post("/v1/piles", &json!({ "id": "P1" }))
        .await
        .problem(409, "pile-exists");
    assert!(exists["detail"].as_str().unwrap().contains("/rotate"));
    assert!(
        bench.station.credentials.pile_matches(&pile, secret.as_bytes()),
        "a refusal changes no secret"
    );

    bench.sent.kicked.lock().unwrap().clear();
    let rotated = bench.post("/v1/piles/P1/rotate", &json!({})).await.expect(200);
    let newer = rotated["secret"].as_str().unwrap();
    assert!(bench.station.credentials.pile_matches(&pile, newer.as_bytes()));
    assert!(!bench.station.credentials.pile_matches(&pile, secret.as_bytes()));
    assert_eq!(
        *bench.sent.kicked.lock().unwrap(),
        std::slice::from_ref(&pile),
        "whoever used the old secret is sent away"
    );
    bench
        .post("/v1/piles/P9/rotate", &json!({}))
        .await
        .problem(404, "unknown-pile");

    let removed = bench.delete("/v1/piles/P1").await;
    assert_eq!((removed.status, removed.text.as_str()), (204, ""));
    assert!(!bench.station.credentials.pile_matches(&pile, newer.as_bytes()));
    assert_eq!(bench.sent.kicked.lock().unwrap().last(), Some(&pile));
    bench.delete("/v1/piles/P1").await.problem(404, "unknown-pile");
    bench
        .post("/v1/piles/P1/rotate", &json!({}))
        .await
        .problem(404, "unknown-pile");
    assert_eq!(bench.get("/v1/piles").await.expect(200)["items"], json!([]));
    let all = bench.get("/v1/piles?removed=true").await.expect(200);
    assert_eq!(all["items"][0]["removed"], true);
    bench.post("/v1/piles", &json!({ "id": "P1" })).await.expect(201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_who_let_the_same_pile_in_at_once_do_not_both_get_a_secret() {
    let bench = Bench::new().await;
    let body = json!({ "id": "P1" });
    let (one, other) = tokio::join!(bench.post("/v1/piles", &body), bench.post("/v1/piles", &body));
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn maintenance_says_who_and_why() {
    let bench = Bench::new().await;
    bench.pile("P1").await;
    let on = bench
        .put("/v1/piles/P1/maintenance", &json!({ "on": true, "reason": "换枪头" }))
        .await
        .expect(200);
    assert_eq!(
        (&on["maintenance"]["reason"], &on["maintenance"]["by"]),
        (&json!("换枪头"), &json!("root"))
    );
    bench
        .put("/v1/piles/P1/maintenance", &json!({ "on": true, "reason": "" }))
        .await
        .problem(422, "invalid-body");
    let off = bench
        .put("/v1/piles/P1/maintenance", &json!({ "on": false }))
        .await
        .expect(200);
    assert_eq!(off["maintenance"], json!(null));
    bench
        .put("/v1/piles/P9/maintenance", &json!({ "on": false }))
        .await
        .problem(404, "unknown-pile");
    bench.get("/v1/piles/P9").await.problem(404, "unknown-pile");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cards_belong_to_members() {
    let bench = Bench::new().await;
    bench.member("m1", "10.00").await;
    bench
        .put("/v1/cards/C1", &json!({ "member": "nobody" }))
        .await
        .problem(404, "unknown-member");
    let card = bench.put("/v1/cards/C1", &json!({ "member": "m1" })).await.expect(200);
    assert_eq!((&card["id"], &card["member"]), (&json!("C1"), &json!("m1")));
    assert_eq!(card["holders"][0]["member"], "m1");
    assert_eq!(bench.get("/v1/cards/C1").await.expect(200), card);
    assert_eq!(bench.get("/v1/cards").await.expect(200)["items"], json!([card]));
    assert_eq!(bench.delete("/v1/cards/C1").await.status, 204);
    bench.delete("/v1/cards/C1").await.problem(404, "unknown-card");
    assert_eq!(bench.get("/v1/cards/c1").await.expect(200)["member"], json!(null));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_shown_once_and_counts_until_it_is_taken_back() {
    let bench = Bench::new().await;
    let body = json!({ "name": "desk", "role": "service" }).to_string();
    let made = bench.post_with("/v1/tokens", "k", &body).await.expect(201);
    let bearer = format!("Bearer {}", made["token"].as_str().unwrap());
    let again = bench.post_with("/v1/tokens", "k", &body).await;
    assert_eq!((again.replayed(), &again.body["token"]), (true, &json!(null)));
    bench
        .post("/v1/tokens", &json!({ "name": "desk", "role": "admin" }))
        .await
        .problem(409, "token-exists");
    bench
        .post("/v1/tokens", &json!({ "name": "a:b", "role": "admin" }))
        .await
        .problem(422, "invalid-body");
    let list = bench.get("/v1/tokens").await;
    assert!(list.text.contains("desk") && !list.text.contains("hash") && !list.text.contains(&bearer[7..]));
    assert_eq!(
        bench
            .raw("GET", "/v1/station", &[("authorization", &bearer)], None)
            .await
            .status,
        200
    );
    assert_eq!(bench.delete("/v1/tokens/desk").await.status, 204);
    let gone = bench
        .raw("GET", "/v1/station", &[("authorization", &bearer)], None)
        .await;
    assert_eq!(gone.headers["www-authenticate"], "Bearer realm=\"holdfast\"");
    gone.problem(401, "token-unknown");
    bench.delete("/v1/tokens/desk").await.problem(404, "unknown-token");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn samples_are_kept_of_known_connectors_alone() {
    let bench = Bench::new().await;
    bench.pile("P1").await;
    let report = |no: u8| {
        json!({
            "no": no, "status": "idle", "order_id": null, "voltage_v": 0.0, "current_a": 0.0, "soc_pct": null,
            "meter_kwh": "100.0000", "faults": [],
        })
    };
    let both = json!({ "connectors": [report(1), report(9)] });
    bench.says("P1", UpKind::Heartbeat, both).await;
    bench
        .says("P7", UpKind::Heartbeat, json!({ "connectors": [report(1)] }))
        .await;
    // Telemetry is written with the next commit.
    bench.member("m1", "10.00").await;
    let reader = bench.station.store.reader().unwrap();
    let kept = |pile: &str, no: u8| {
        let outlet = Outlet {
            pile: PileId::new(pile).unwrap(),
            connector: ConnectorNo(no),
        };
        let now = bench.now().wall;
        reader.samples(&outlet, Wall(0), now, 10).unwrap().0.len()
    };
    assert!(kept("P1", 1) > 0);
    assert_eq!((kept("P1", 9), kept("P7", 1)), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_station_says_what_waits_for_a_person() {
    let bench = Bench::new().await;
    bench.pile("P1").await;
    let before = bench.get("/v1/station").await.expect(200);
    assert_eq!(
        (&before["tariff_in_force"], &before["piles_in_maintenance"]),
        (&json!(null), &json!(0))
    );
    bench.flat_tariff().await;
    let fence = json!({ "on": true, "reason": "cable cut" });
    bench.put("/v1/piles/P1/maintenance", &fence).await.expect(200);
    let after = bench.get("/v1/station").await.expect(200);
    assert!(after["tariff_in_force"].is_string());
    assert_eq!(
        [
            &after["piles_in_maintenance"],
            &after["reviews_waiting"],
            &after["quarantine_open"]
        ],
        [&json!(1), &json!(0), &json!(0)]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_piles_log_tells_what_happened_there_newest_first() {
    let bench = Bench::new().await;
    bench.flat_tariff().await;
    bench.member("m1", "100.00").await;
    bench.pile("P1").await;
    bench.pile("P2").await;
    let event = json!({ "connector": 1, "kind": "plugged", "code": 7, "text": "" });
    bench.says("P1", UpKind::Event, event).await;
    let id = bench.charge("m1", "P1", "20.00").await;
    bench
        .put("/v1/piles/P1/maintenance", &json!({ "on": true, "reason": "cable" }))
        .await
        .expect(200);
    let log = bench.get("/v1/piles/P1/log").await.expect(200);
    let kinds = |log: &serde_json::Value| -> Vec<String> {
        let items = log["items"].as_array().unwrap();
        items
            .iter()
            .map(|entry| entry["kind"].as_str().unwrap().to_owned())
            .collect()
    };
    let expected = [
        "MaintenanceSet",
        "CommandAnswered",
        "CommandIssued",
        "PileEvent",
        "PileBooted",
        "PileClocksMeasured",
        "PileProvisioned",
    ];
    assert_eq!(kinds(&log), expected);
    assert_eq!(log["next"], json!(null));
    assert_eq!(
        log["items"][2]["body"]["order"],
        json!(id),
        "a command is of its order too"
    );
    let first = bench.get("/v1/piles/P1/log?limit=4").await.expect(200);
    let next = first["next"].as_str().unwrap();
    let rest = bench
        .get(&format!("/v1/piles/P1/log?limit=4&cursor={next}"))
        .await
        .expect(200);
    assert_eq!([kinds(&first), kinds(&rest)].concat(), expected);
    assert_eq!(
        kinds(&bench.get("/v1/piles/P2/log").await.expect(200)),
        ["PileBooted", "PileClocksMeasured", "PileProvisioned"]
    );
    bench.get("/v1/piles/P9/log").await.problem(404, "unknown-pile");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pile_with_an_order_running_is_not_removed_and_the_refusal_says_how_to_end_it() {
    let bench = Bench::new().await;
    bench.flat_tariff().await;
    bench.member("m1", "100.00").await;
    bench.pile("P1").await;
    let id = bench.charge("m1", "P1", "20.00").await;
    let busy = bench.delete("/v1/piles/P1").await.problem(409, "pile-busy");
    let way = format!("POST /v1/orders/{id}/close");
    assert!(busy["detail"].as_str().unwrap().contains(&way), "{busy}");
    let closed = bench
        .post(&format!("/v1/orders/{id}/close"), &json!({}))
        .await
        .expect(200);
    assert_eq!(
        (&closed["state"], &closed["estimated"]),
        (&json!("SETTLE"), &json!(true))
    );
    let again = bench
        .post(&format!("/v1/orders/{id}/close"), &json!({}))
        .await
        .problem(409, "illegal-in-this-state");
    assert!(again["detail"].as_str().unwrap().contains("estimate"), "{again}");
    assert_eq!(bench.delete("/v1/piles/P1").await.status, 204);
    bench.books().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connector_that_charges_without_an_order_and_a_second_device_are_shown() {
    let bench = Bench::new().await;
    bench.flat_tariff().await;
    bench.pile("P1").await;
    for _ in 0..4 {
        bench.advance(15_000).await;
        bench.heartbeat("P1", "charging", None, "100.0000").await;
    }
    let pile = bench.get("/v1/piles/P1").await.expect(200);
    let unordered = &pile["connectors"][0]["unordered"];
    assert_eq!(
        (&unordered["from_kwh"], &unordered["named"]),
        (&json!("100.0000"), &json!(null))
    );
    for _ in 0..5 {
        let pile = PileId::new("P1").unwrap();
        bench.station.pile_connection(Input::TakenOver { pile });
    }
    bench.settled().await;
    assert_eq!(bench.get("/v1/piles/P1").await.expect(200)["two_devices"], true);
    let station = bench.get("/v1/station").await.expect(200);
    assert_eq!(
        (
            &station["connectors_unordered"],
            &station["piles_two_devices"],
            &station["msg_ids_reused"]
        ),
        (&json!(1), &json!(1), &json!(0))
    );
    bench.heartbeat("P1", "idle", None, "100.0500").await;
    assert_eq!(bench.get("/v1/station").await.expect(200)["connectors_unordered"], 0);
    let log = bench.get("/v1/piles/P1/log?limit=2").await.expect(200);
    let kinds: Vec<&serde_json::Value> = log["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| &entry["kind"])
        .collect();
    assert_eq!(kinds, ["UnorderedChargingEnded", "UnorderedCharging"]);
}
