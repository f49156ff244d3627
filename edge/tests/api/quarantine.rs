//! What a person does about what contradicts, fits nowhere or cannot be read, and where they see that it waits.

use crate::bench::Bench;
use broker::Receipt;
use domain::{fact::Raw, ids::PileId, messages, policy::Policy, site::Input, topics::UpKind};
use serde_json::{Value, json};

/// A station with a price, a member with money and a pile.
async fn station() -> Bench {
    let bench = Bench::new().await;
    bench.flat_tariff().await;
    bench.member("m1", "100.00").await;
    bench.pile("P1").await;
    bench
}

async fn items(bench: &Bench, query: &str) -> Vec<Value> {
    let page = bench.get(&format!("/v1/quarantine{query}")).await.expect(200);
    page["items"].as_array().unwrap().clone()
}

fn close(item: &Value) -> String {
    format!("/v1/quarantine/{}/close", item["item"])
}

/// A pile says something that cannot be read.
async fn garbled(bench: &Bench, pile: &str, order: &str) {
    let text = json!({
        "boot_id": "b1", "seq": 99, "mono_ms": 99, "ts": null, "msg_id": "m99", "order_id": order, "connector": 1,
        "meter_start_kwh": "100.0", "meter_stop_kwh": "lots",
    })
    .to_string();
    let fault = messages::read_up(UpKind::Record, text.as_bytes()).unwrap_err();
    let input = Input::Unreadable {
        pile: PileId::new(pile).unwrap(),
        kind: Some(UpKind::Record),
        fault,
        raw: Raw::Text(text),
    };
    bench.station.pile_says(input, None, Receipt::inert(), 0);
    bench.settled().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_contradicts_is_seen_everywhere_and_billed_in_place_of_the_first() {
    let bench = station().await;
    let id = bench.charge("m1", "P1", "50.00").await;
    bench.heartbeat("P1", "charging", Some(&id), "105.0000").await;
    bench.record("P1", &id, "101.0000").await;
    let order = bench.get(&format!("/v1/orders/{id}")).await.expect(200);
    assert_eq!(order["state"], "REVIEW", "the station saw 5 kWh: {order}");
    assert_eq!(order["suspicions"][0]["kind"], "below_seen");
    let seen = json!({ "recorded": "1.0000", "seen": "5.0000" });
    assert_eq!(order["suspicions"][0]["figures"], seen);
    bench.record("P1", &id, "105.0000").await;

    let open = items(&bench, "?why=conflict").await;
    assert_eq!((open.len(), &open[0]["order"]), (1, &json!(id)));
    assert_eq!(items(&bench, "?why=orphan").await, [] as [Value; 0]);
    let order = bench.get(&format!("/v1/orders/{id}")).await.expect(200);
    let noted = json!([{ "item": open[0]["item"], "why": "conflict", "open": true }]);
    assert_eq!((&order["items"], &order["conflicting_records"]), (&noted, &json!(1)));
    let log = bench.get(&format!("/v1/orders/{id}/log")).await.expect(200);
    let kinds: Vec<&Value> = log["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| &entry["kind"])
        .collect();
    assert!(kinds.contains(&&json!("Quarantined")), "{kinds:?}");
    let station = bench.get("/v1/station").await.expect(200);
    assert_eq!(
        (&station["conflicts_open"], &station["quarantine_open"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(station["quarantine_oldest"], open[0]["at"]);

    let bill = json!({ "bill_to": "m1", "reason": "表上是 105" });
    let billed = bench.post(&close(&open[0]), &bill).await.expect(200);
    assert_eq!(
        (&billed["outcome"], &billed["billed_as"]),
        (&json!("billed"), &json!(id))
    );
    let order = bench.get(&format!("/v1/orders/{id}")).await.expect(200);
    assert_eq!(
        (&order["state"], &order["bill"]["fee"]),
        (&json!("PAYED"), &json!("4.25"))
    );
    let versions = bench.get(&format!("/v1/orders/{id}/bill")).await.expect(200)["versions"].clone();
    assert_eq!(versions.as_array().unwrap().len(), 2, "{versions}");
    let station = bench.get("/v1/station").await.expect(200);
    assert_eq!(
        (&station["conflicts_open"], &station["quarantine_oldest"]),
        (&json!(0), &Value::Null)
    );
    bench.books().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bill_that_its_pile_splits_otherwise_is_closed_with_a_reason() {
    let bench = station().await;
    let id = bench.charge("m1", "P1", "50.00").await;
    let mut record = bench.record_of("P1", &id, "101.0000");
    record["periods"] = json!({ "sharp_kwh": "1.0000" });
    bench.says("P1", UpKind::Record, record).await;
    let open = items(&bench, "?why=rating_differs").await;
    assert_eq!((open.len(), &open[0]["order"]), (1, &json!(id)));
    let words = open[0]["detail"].as_str().unwrap();
    assert!(
        words.contains("sharp 1.0000 kWh by the pile and 0.0000 by the station"),
        "{words}"
    );
    let station = bench.get("/v1/station").await.expect(200);
    assert_eq!(station["rating_differences_open"], 1);
    bench
        .post(&close(&open[0]), &json!({ "bill_to": "m1", "reason": "x" }))
        .await
        .problem(409, "not-billable");
    bench
        .post(&close(&open[0]), &json!({ "reason": "桩的时段表旧了" }))
        .await
        .expect(200);
    assert_eq!(items(&bench, "").await, [] as [Value; 0]);
    assert_eq!(items(&bench, "?closed=true&why=rating_differs").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_bills_the_same_readings_again_has_to_say_that_they_know() {
    let bench = station().await;
    bench.record("P1", "nobody-knows", "101.0000").await;
    bench.record("P1", "nobody-knows", "102.0000").await;
    let open = items(&bench, "").await;
    let (second, first) = (&open[0], &open[1]);
    let mut bill = json!({ "bill_to": "m1", "reason": "认领" });
    let problem = bench.post(&close(first), &bill).await.problem(409, "covered");
    let by = json!({ "item": second["item"] });
    let covers = json!([{ "by": by, "from_kwh": "100.0000", "to_kwh": "101.0000" }]);
    assert_eq!((&problem["covers"], &problem["path"]), (&covers, &json!("despite")));
    bill["despite"] = json!([{ "order": "another" }]);
    bench.post(&close(first), &bill).await.problem(409, "covered");
    bill["despite"] = json!([{ "order": "not an id" }]);
    bench.post(&close(first), &bill).await.problem(422, "invalid-body");
    bill["despite"] = json!([by]);
    let billed = bench.post(&close(first), &bill).await.expect(200);
    let order = billed["billed_as"].as_str().unwrap();
    let log = bench.get(&format!("/v1/orders/{order}/log")).await.expect(200);
    let closed = log["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|entry| entry["kind"] == "QuarantineClosed");
    assert_eq!(closed.unwrap()["body"]["despite"], json!([by]), "journaled: {log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_cannot_be_read_is_billed_by_what_a_person_reads_from_it() {
    let bench = station().await;
    let id = bench.charge("m1", "P1", "50.00").await;
    let start = bench.now().wall;
    bench.advance(3_600_000).await;
    garbled(&bench, "P1", &id).await;
    let stop = bench.now().wall;
    let open = items(&bench, "?why=malformed").await;
    assert_eq!((&open[0]["order"], &open[0]["connector"]), (&json!(id), &json!(1)));
    // It stands in the log of the order that it names as soon as it has come, and on the order.
    let order = bench.get(&format!("/v1/orders/{id}")).await.expect(200);
    let noted = json!([{ "item": open[0]["item"], "why": "malformed", "open": true }]);
    assert_eq!((&order["state"], &order["items"]), (&json!("CHARGING"), &noted));
    let log = bench.get(&format!("/v1/orders/{id}/log")).await.expect(200);
    let last = log["items"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&last["kind"], &last["seq"]), (&json!("Quarantined"), &open[0]["item"]));
    let typed = |stop_kwh: &str| {
        json!({
            "bill_to": "m1", "reason": "读自原文", "typed": {
                "connector": 1, "meter_start_kwh": "100.0", "meter_stop_kwh": stop_kwh, "start": start.to_string(),
                "stop": stop.to_string(),
            },
        })
    };
    let refused = bench
        .post(&close(&open[0]), &json!({ "bill_to": "m1", "reason": "x" }))
        .await;
    assert!(
        refused.problem(409, "not-billable")["detail"]
            .as_str()
            .unwrap()
            .contains("`typed`")
    );
    let refused = bench.post(&close(&open[0]), &typed("99.0")).await;
    assert!(
        refused.problem(409, "not-billable")["detail"]
            .as_str()
            .unwrap()
            .contains("below the one at the start")
    );
    let billed = bench.post(&close(&open[0]), &typed("102.0")).await.expect(200);
    assert_eq!(billed["billed_as"], json!(id));
    let order = bench.get(&format!("/v1/orders/{id}")).await.expect(200);
    assert_eq!(
        (&order["state"], &order["bill"]["fee"]),
        (&json!("PAYED"), &json!("1.70"))
    );
    let log = bench.get(&format!("/v1/orders/{id}/log")).await.expect(200);
    let entries = log["items"].as_array().unwrap();
    let body = |kind: &str| entries.iter().find(|entry| entry["kind"] == kind).unwrap()["body"].clone();
    assert!(body("Quarantined")["raw"].as_str().unwrap().contains("lots"));
    assert_eq!(body("QuarantineClosed")["typed"]["stop"]["register"], "102.0000");
    // What came and what was read from it stay side by side.
    let item = bench
        .get(&format!("/v1/quarantine/{}", open[0]["item"]))
        .await
        .expect(200);
    assert!(item["raw"].as_str().unwrap().contains("lots"), "{item}");
    let figures = (&item["typed"]["meter_start_kwh"], &item["typed"]["meter_stop_kwh"]);
    assert_eq!(figures, (&json!("100.0000"), &json!("102.0000")), "{item}");
    bench.books().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_of_a_record_cannot_be_read_is_shown_beside_it_on_the_order_and_on_the_item() {
    let bench = station().await;
    let id = bench.charge("m1", "P1", "50.00").await;
    let mut record = bench.record_of("P1", &id, "101.0000");
    (record["soc_stop"], record["reason"]["code"]) = (json!(79.5), json!(70_000));
    bench.says("P1", UpKind::Record, record.clone()).await;
    let order = bench.get(&format!("/v1/orders/{id}")).await.expect(200);
    assert_eq!(order["state"], "PAYED", "{order}");
    let unread = json!({
        "fields": [{ "path": "reason.code", "raw": "70000" }, { "path": "soc_stop", "raw": "79.5" }], "dropped": 2,
    });
    assert_eq!(order["unread"], unread);
    let log = bench.get(&format!("/v1/orders/{id}/log")).await.expect(200);
    let entries = log["items"].as_array().unwrap();
    let received = entries.iter().find(|entry| entry["kind"] == "RecordReceived").unwrap();
    assert_eq!(received["body"]["ending"]["unread"], unread);

    (record["meter_stop_kwh"], record["reason"]) = (json!("102.0000"), json!({ "code": 0, "text": "" }));
    bench.says("P1", UpKind::Record, record.clone()).await;
    let open = items(&bench, "?why=conflict").await;
    assert_eq!(open[0].get("unread"), None, "lists are brief");
    let item = bench
        .get(&format!("/v1/quarantine/{}", open[0]["item"]))
        .await
        .expect(200);
    let unread = json!({ "fields": [{ "path": "soc_stop", "raw": "79.5" }], "dropped": 1 });
    assert_eq!((&item["unread"], item.get("typed")), (&unread, None));

    // Nothing is said of a record all of which can be read.
    bench.pile("P2").await;
    let id = bench.charge("m1", "P2", "10.00").await;
    bench.record("P2", &id, "100.5000").await;
    let order = bench.get(&format!("/v1/orders/{id}")).await.expect(200);
    assert_eq!(
        (order.get("unread"), &order["ended_at"].is_string()),
        (None, &true),
        "{order}"
    );
    bench.books().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_card_shows_whose_it_was_and_the_holder_of_then_pays() {
    let policy = Policy {
        offline_sessions: true,
        ..Policy::default()
    };
    let bench = Bench::with(policy).await;
    bench.flat_tariff().await;
    for id in ["m1", "m2"] {
        bench.member(id, "100.00").await;
    }
    bench.pile("P1").await;
    bench.put("/v1/cards/C7", &json!({ "member": "m1" })).await.expect(200);
    bench.advance(60_000).await;
    let mut record = bench.record_of("P1", "off-P1-1-1", "102.0000");
    let (start, mono) = (bench.now().wall, bench.now().mono.0);
    record["start_ts"] = json!(start.to_string());
    record["start_mono_ms"] = json!(mono);
    record["stop_ts"] = json!(start.after_ms(600_000).to_string());
    record["stop_mono_ms"] = json!(mono + 600_000);
    (record["card_id"], record["offline"]) = (json!("C7"), json!(true));
    bench.advance(660_000).await;
    let card = bench.put("/v1/cards/C7", &json!({ "member": "m2" })).await.expect(200);
    assert_eq!(card["member"], "m2");
    let holders: Vec<&Value> = card["holders"]
        .as_array()
        .unwrap()
        .iter()
        .map(|held| &held["member"])
        .collect();
    assert_eq!(holders, ["m1", "m2"]);
    bench.says("P1", UpKind::Record, record).await;
    let order = bench.get("/v1/orders/off-P1-1-1").await.expect(200);
    assert_eq!(
        (&order["member"], &order["state"]),
        (&json!("m1"), &json!("PAYED")),
        "{order}"
    );
    bench.delete("/v1/cards/C7").await;
    let card = bench.get("/v1/cards/C7").await.expect(200);
    assert_eq!(
        (&card["member"], card["holders"].as_array().unwrap().len()),
        (&Value::Null, 3)
    );
}
