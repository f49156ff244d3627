//! An order from placing to bill, and the ways in which it is refused.

use crate::bench::Bench;
use domain::messages::CommandKind;
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_runs_from_placing_to_a_bill_that_balances() {
    let bench = Bench::new().await;
    bench.flat_tariff().await;
    bench.member("m1", "100.00").await;
    bench.pile("P1").await;
    let id = bench.charge("m1", "P1", "20.00").await;
    bench.heartbeat("P1", "charging", Some(&id), "102.0000").await;

    let running = bench.get(&format!("/v1/orders/{id}")).await.expect(200);
    assert_eq!(running["live"]["energy_kwh"], "2.0000");
    assert_eq!(running["live"]["fee"], "1.70");
    assert_eq!(running["live"]["power_kw"], 100.0);
    let member = bench.get("/v1/members/m1").await.expect(200);
    assert_eq!(
        (&member["allowance"], &member["held"]),
        (&json!("80.00"), &json!("20.00"))
    );
    let pile = bench.get("/v1/piles/P1").await.expect(200);
    assert_eq!(pile["online"], true);
    assert_eq!(pile["connectors"][0]["order"], json!(id));
    assert_eq!(pile["connectors"][0]["report"]["status"], "charging");

    let stopped = bench
        .post(&format!("/v1/orders/{id}/stop"), &json!({}))
        .await
        .expect(200);
    assert_eq!((&stopped["pile_online"], stopped.get("message")), (&json!(true), None));
    assert_eq!(bench.command("P1", CommandKind::Stop).unwrap().order_id.as_str(), id);
    bench.record("P1", &id, "103.1234").await;

    let order = bench.get(&format!("/v1/orders/{id}")).await.expect(200);
    assert_eq!(
        (&order["state"], &order["bill"]["fee"]),
        (&json!("PAYED"), &json!("2.65"))
    );
    assert_eq!(
        order["hold"],
        json!({ "taken": "20.00", "captured": "2.65", "released": "17.35", "remaining": "0.00" })
    );
    let bill = bench.get(&format!("/v1/orders/{id}/bill")).await.expect(200);
    let segment = &bill["versions"][0]["detail"]["segments"][0];
    assert_eq!(segment["energy_kwh"], "3.1234");
    assert_eq!(segment["electricity_price"], "0.60000");
    // 3.1234 × 0.60 and × 0.25, all nine places.
    assert_eq!(segment["electricity_amount"], "1.874040000");
    assert_eq!(segment["service_amount"], "0.780850000");
    assert_eq!(
        (&bill["versions"][0]["electricity"], &bill["versions"][0]["service"]),
        (&json!("1.87"), &json!("0.78"))
    );

    let log = bench.get(&format!("/v1/orders/{id}/log?limit=200")).await.expect(200);
    let kinds: Vec<&str> = log["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["kind"].as_str().unwrap())
        .collect();
    for kind in [
        "OrderPlaced",
        "HoldTaken",
        "StartAcknowledged",
        "StopRequested",
        "RecordReceived",
        "OrderSettled",
    ] {
        assert!(kinds.contains(&kind), "{kinds:?}");
    }
    assert_eq!(log["items"][1]["body"]["amount"], "20.00");
    let told = bench.get("/v1/members/m1/notifications").await.expect(200);
    assert_eq!(told["items"][0]["key"], "settled");
    let statement = bench.get("/v1/members/m1/statement").await.expect(200);
    assert_eq!(statement["items"].as_array().unwrap().len(), 5, "{statement}");

    let sheet = bench.books().await;
    assert_eq!(
        (&sheet["sales_electricity"], &sheet["held"]),
        (&json!("1.87"), &json!("0.00"))
    );
    assert!(
        sheet["accounts"]
            .as_array()
            .unwrap()
            .contains(&json!({ "account": "allowance:m1", "balance": "97.35" }))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_measured_while_charging_can_be_drawn() {
    let bench = Bench::new().await;
    bench.flat_tariff().await;
    bench.member("m1", "100.00").await;
    bench.pile("P1").await;
    let id = bench.charge("m1", "P1", "20.00").await;
    bench.heartbeat("P1", "charging", Some(&id), "101.0000").await;
    // Samples go to disk with the next commit that happens anyway.
    bench.record("P1", &id, "102.0000").await;
    let curve = bench.get(&format!("/v1/orders/{id}/curve")).await.expect(200);
    let points = curve["points"].as_array().unwrap();
    let registers: Vec<&str> = points
        .iter()
        .map(|point| point["meter_kwh"].as_str().unwrap())
        .collect();
    assert_eq!(registers, ["100.0000", "101.0000"], "{curve}");
    assert_eq!(curve["next"], json!(null));
    let later = points[0]["at"].as_str().unwrap();
    let rest = bench
        .get(&format!("/v1/orders/{id}/curve?after={later}"))
        .await
        .expect(200);
    assert_eq!(rest["points"].as_array().unwrap().len(), 1);
    bench
        .get(&format!("/v1/orders/{id}/curve?after=yesterday"))
        .await
        .problem(400, "invalid-url");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_while_the_pile_is_offline_is_accepted_with_words_for_the_driver() {
    let bench = Bench::new().await;
    bench.flat_tariff().await;
    bench.member("m1", "100.00").await;
    bench.pile("P1").await;
    let id = bench.charge("m1", "P1", "20.00").await;
    bench.disconnect("P1").await;
    let reply = bench
        .post(&format!("/v1/orders/{id}/stop"), &json!({}))
        .await
        .expect(202);
    assert_eq!(reply["pile_online"], false);
    assert_eq!(reply["message"], "充电桩离线，已记录停止请求，恢复后按实际用电结算");
    assert_eq!(
        (&reply["order"]["stopping"], &reply["order"]["state"]),
        (&json!(true), &json!("CHARGING"))
    );
    // Back again, with the record.
    bench.connect("P1").await;
    bench.record("P1", &id, "101.0000").await;
    let order = bench.get(&format!("/v1/orders/{id}")).await.expect(200);
    assert_eq!(
        (&order["state"], &order["paid"]["charged"]),
        (&json!("PAYED"), &json!("0.85"))
    );
    bench.books().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_has_not_begun_is_cancelled_by_a_stop() {
    let bench = Bench::new().await;
    bench.flat_tariff().await;
    bench.member("m1", "100.00").await;
    bench.pile("P1").await;
    let body = json!({ "member": "m1", "pile": "P1", "connector": 1, "until": { "kwh": "5.5", "soc_pct": 80 } });
    let placed = bench.post("/v1/orders", &body).await.expect(201);
    assert_eq!(placed["hold"]["taken"], "50.00", "the site's default");
    assert_eq!(placed["until"], json!({ "kwh": "5.5000", "soc_pct": 80 }));
    let id = placed["id"].as_str().unwrap();
    let cancelled = bench
        .post(&format!("/v1/orders/{id}/stop"), &json!({}))
        .await
        .expect(200);
    assert_eq!(
        (&cancelled["order"]["state"], &cancelled["order"]["failure"]["kind"]),
        (&json!("FAIL"), &json!("cancelled"))
    );
    let again = bench
        .post(&format!("/v1/orders/{id}/stop"), &json!({}))
        .await
        .problem(409, "illegal-in-this-state");
    assert_eq!((&again["order"], &again["state"]), (&json!(id), &json!("FAIL")));
    assert_eq!(bench.get("/v1/members/m1").await.expect(200)["allowance"], "100.00");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_says_why_and_what_to_do() {
    let bench = Bench::new().await;
    bench.member("m1", "30.00").await;
    bench.pile("P1").await;
    let place = async |member: &str, pile: &str, connector: u8, prepay: &str| {
        let body = json!({ "member": member, "pile": pile, "connector": connector, "prepay": prepay });
        bench.post("/v1/orders", &body).await
    };
    place("m1", "P1", 1, "20.00").await.problem(409, "no-tariff");
    bench.flat_tariff().await;
    place("nobody", "P1", 1, "20.00").await.problem(404, "unknown-member");
    place("m1", "P9", 1, "20.00").await.problem(404, "unknown-pile");
    place("m1", "P1", 7, "20.00").await.problem(404, "unknown-connector");
    let poor = place("m1", "P1", 1, "40.00").await.problem(409, "insufficient-funds");
    assert_eq!(
        (&poor["needed"], &poor["available"]),
        (&json!("40.00"), &json!("30.00"))
    );
    let outside = place("m1", "P1", 1, "4.99").await.problem(422, "prepay-outside-limits");
    assert_eq!(
        (&outside["least"], &outside["most"], &outside["path"]),
        (&json!("5.00"), &json!("500.00"), &json!("prepay"))
    );

    bench
        .put("/v1/piles/P1/maintenance", &json!({ "on": true, "reason": "坏了" }))
        .await
        .expect(200);
    place("m1", "P1", 1, "20.00").await.problem(409, "pile-in-maintenance");
    bench
        .put("/v1/piles/P1/maintenance", &json!({ "on": false }))
        .await
        .expect(200);
    bench
        .put("/v1/members/m1/block", &json!({ "on": true, "reason": "恶意占位" }))
        .await
        .expect(200);
    place("m1", "P1", 1, "20.00").await.problem(409, "member-blocked");
    bench
        .put("/v1/members/m1/block", &json!({ "on": false }))
        .await
        .expect(200);
    bench.disconnect("P1").await;
    place("m1", "P1", 1, "20.00").await.problem(409, "pile-offline");
    bench.connect("P1").await;
    let id = bench.charge("m1", "P1", "20.00").await;
    place("m1", "P1", 1, "5.00").await.problem(409, "too-many-open-orders");
    bench.member("m2", "30.00").await;
    place("m2", "P1", 1, "20.00").await.problem(409, "connector-busy");
    bench.delete("/v1/piles/P1").await.problem(409, "pile-busy");
    bench.record("P1", &id, "101.0000").await;

    for path in ["", "/bill", "/log", "/curve"] {
        bench
            .get(&format!("/v1/orders/no-such-order{path}"))
            .await
            .problem(404, "unknown-order");
    }
    bench
        .post("/v1/orders/no-such-order/stop", &json!({}))
        .await
        .problem(404, "unknown-order");
}
