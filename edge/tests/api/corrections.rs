//! Bills of settled orders that people correct, alone and by two, over HTTP and on the socket.

use crate::bench::{Bench, Reply};
use serde_json::{Value, json};

/// An order of member `m1` that was settled for 10 kWh at ¥0.85.
async fn settled(bench: &Bench, money: &str, prepay: &str) -> String {
    bench.flat_tariff().await;
    bench.member("m1", money).await;
    bench.pile("P1").await;
    let id = bench.charge("m1", "P1", prepay).await;
    bench.record("P1", &id, "110.0000").await;
    id
}

async fn post_as(bench: &Bench, token: &str, path: &str, body: &Value) -> Reply {
    let (token, key) = (format!("Bearer {token}"), bench.key());
    let headers = [
        ("authorization", &*token),
        ("content-type", "application/json"),
        ("idempotency-key", &*key),
    ];
    bench.raw("POST", path, &headers, Some(&body.to_string())).await
}

fn bill(electricity: &str, service: &str) -> Value {
    json!({ "electricity": electricity, "service": service, "reason": "投诉成立" })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upheld_complaint_about_an_unpaid_order_cuts_the_debt_and_gives_the_rest_back() {
    let bench = Bench::new().await;
    // 6.00 for electricity, 2.50 for service; 5.00 are paid.
    let id = settled(&bench, "5.00", "5.00").await;
    let order = bench.get(&format!("/v1/orders/{id}")).await.expect(200);
    assert_eq!(
        (&order["state"], &order["paid"]["debt"]),
        (&json!("UNPAID"), &json!("3.50"))
    );
    let path = format!("/v1/orders/{id}/corrections");
    bench
        .post(&path, &bill("-1.00", "0.00"))
        .await
        .problem(422, "invalid-body");
    let order = bench.post(&path, &bill("3.00", "1.00")).await.expect(200);
    assert_eq!(
        (
            &order["state"],
            &order["paid"]["debt"],
            &order["paid"]["charged"],
            &order["bill"]["basis"]
        ),
        (&json!("PAYED"), &json!("0.00"), &json!("4.00"), &json!("correction"))
    );
    assert_eq!(
        (&order["first_settled_fee"], &order["correction"]),
        (&json!("8.50"), &Value::Null)
    );
    assert_eq!(bench.get("/v1/members/m1").await.expect(200)["allowance"], "1.00");
    let told = bench.get("/v1/members/m1/notifications?limit=1").await.expect(200);
    assert_eq!(told["items"][0]["key"], "rerated");
    bench.books().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_correction_waits_for_a_second_person_and_shows_wherever_somebody_looks() {
    let bench = Bench::new().await;
    let id = settled(&bench, "60.00", "20.00").await;
    let (alice, bob) = (
        bench.token("alice", "service").await,
        bench.token("bob", "service").await,
    );
    let (path, order) = (format!("/v1/orders/{id}/corrections"), format!("/v1/orders/{id}"));
    assert_eq!(bench.get("/v1/corrections").await.expect(200)["items"], json!([]));

    let waits = post_as(&bench, &alice, &path, &bill("50.00", "10.00"))
        .await
        .expect(202);
    let number = waits["correction"]["number"].as_u64().unwrap();
    assert_eq!(
        (
            &waits["state"],
            &waits["paid"]["charged"],
            &waits["correction"]["fee"],
            &waits["correction"]["by"]
        ),
        (&json!("PAYED"), &json!("8.50"), &json!("60.00"), &json!("alice"))
    );
    let listed = bench.get("/v1/corrections").await.expect(200);
    assert_eq!((&listed["items"][0]["id"], &listed["next"]), (&json!(id), &Value::Null));
    assert_eq!(bench.get("/v1/station").await.expect(200)["corrections_waiting"], 1);
    assert_eq!(bench.get(&order).await.expect(200)["correction"]["number"], number);

    let approve = format!("{path}/{number}/approve");
    post_as(&bench, &alice, &approve, &json!({}))
        .await
        .problem(409, "not-a-second-person");
    let other = format!("{path}/{}/approve", number + 1);
    post_as(&bench, &bob, &other, &json!({}))
        .await
        .problem(404, "unknown-proposal");
    let done = post_as(&bench, &bob, &approve, &json!({})).await.expect(200);
    assert_eq!(
        (&done["state"], &done["paid"]["charged"], &done["correction"]),
        (&json!("PAYED"), &json!("60.00"), &Value::Null)
    );
    let versions = bench.get(&format!("{order}/bill")).await.expect(200)["versions"].clone();
    let last = versions.as_array().unwrap().last().unwrap();
    assert_eq!((&last["by"], &last["approved_by"]), (&json!("alice"), &json!("bob")));
    assert_eq!(bench.get("/v1/corrections").await.expect(200)["items"], json!([]));
    assert_eq!(bench.get("/v1/station").await.expect(200)["corrections_waiting"], 0);

    let waits = post_as(&bench, &bob, &path, &bill("90.00", "10.00")).await.expect(202);
    let number = waits["correction"]["number"].as_u64().unwrap();
    let withdraw = format!("{path}/{number}/withdraw");
    post_as(&bench, &alice, &withdraw, &json!({ "reason": " " }))
        .await
        .problem(422, "invalid-body");
    let kept = post_as(&bench, &alice, &withdraw, &json!({ "reason": "算错" }))
        .await
        .expect(200);
    assert_eq!(
        (&kept["paid"]["charged"], &kept["correction"]),
        (&json!("60.00"), &Value::Null)
    );
    let log = bench.get(&format!("{order}/log?limit=200")).await.expect(200);
    let kinds: Vec<&str> = log["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["kind"].as_str().unwrap())
        .collect();
    for kind in ["CorrectionProposed", "BillCorrected", "CorrectionWithdrawn"] {
        assert!(kinds.contains(&kind), "{kind}: {kinds:?}");
    }
    bench.books().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_the_socket_a_token_says_who_somebody_is() {
    let bench = Bench::new().await;
    let id = settled(&bench, "60.00", "20.00").await;
    let (alice, bob) = (
        bench.token("alice", "service").await,
        bench.token("bob", "service").await,
    );
    let path = format!("/v1/orders/{id}/corrections");
    let far = bill("50.00", "10.00");
    let nobody = bench
        .local_post(&path, None, &far)
        .await
        .problem(409, "second-person-needed");
    assert_eq!(nobody["most"], "50.00");
    assert!(nobody["detail"].as_str().unwrap().contains("--token-file"), "{nobody}");
    let waits = bench.local_post(&path, Some(&alice), &far).await.expect(202);
    assert_eq!(waits["correction"]["by"], "alice");
    let approve = format!("{path}/{}/approve", waits["correction"]["number"]);
    bench
        .local_post(&approve, None, &json!({}))
        .await
        .problem(409, "not-a-second-person");
    bench
        .local_post(&approve, Some("nonsense"), &json!({}))
        .await
        .problem(401, "token-unknown");
    let viewer = bench.token("carol", "viewer").await;
    bench
        .local_post(&approve, Some(&viewer), &json!({}))
        .await
        .problem(403, "role-too-low");
    let done = bench.local_post(&approve, Some(&bob), &json!({})).await.expect(200);
    assert_eq!(done["paid"]["charged"], "60.00");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_corrected_says_what_to_do() {
    let bench = Bench::new().await;
    bench.flat_tariff().await;
    bench.member("m1", "60.00").await;
    bench.pile("P1").await;
    let id = bench.charge("m1", "P1", "20.00").await;
    let path = format!("/v1/orders/{id}/corrections");
    let running = bench
        .post(&path, &bill("1.00", "0.00"))
        .await
        .problem(409, "not-correctable");
    assert_eq!(running["state"], "CHARGING");
    assert!(running["detail"].as_str().unwrap().contains("stop it"), "{running}");
    bench.record("P1", &id, "99.0000").await;
    let reviewed = bench
        .post(&path, &bill("1.00", "0.00"))
        .await
        .problem(409, "not-correctable");
    assert!(
        reviewed["detail"].as_str().unwrap().contains("/v1/reviews/"),
        "{reviewed}"
    );
    let decision =
        json!({ "decision": { "corrected": { "electricity": "99.00", "service": "0.00" } }, "reason": "抄表" });
    let first = bench
        .post(&format!("/v1/reviews/{id}/decision"), &decision)
        .await
        .expect(200);
    assert_eq!(
        first["first_settled_fee"], "99.00",
        "the first decision is one person's"
    );
    bench
        .post("/v1/orders/nobody/corrections", &bill("1.00", "0.00"))
        .await
        .problem(404, "unknown-order");
}
