//! Lists: every row comes once, whatever is added between two pages.

use crate::bench::Bench;
use serde_json::{Value, json};

async fn one_order(bench: &Bench, member: &str) -> String {
    let body = json!({ "member": member, "pile": "P1", "connector": 1, "prepay": "5.00" });
    let placed = bench.post("/v1/orders", &body).await.expect(201);
    let id = placed["id"].as_str().unwrap().to_owned();
    bench
        .post(&format!("/v1/orders/{id}/stop"), &json!({}))
        .await
        .expect(200);
    id
}

async fn ids(bench: &Bench, path: &str, between: impl AsyncFn()) -> Vec<String> {
    let mut ids = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = bench.get(&format!("{path}{cursor}")).await.expect(200);
        ids.extend(
            page["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|item| item["id"].as_str().unwrap().to_owned()),
        );
        match &page["next"] {
            Value::String(next) => cursor = format!("&cursor={next}"),
            _ => return ids,
        }
        between().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_order_comes_once_while_orders_are_added() {
    let bench = Bench::new().await;
    bench.flat_tariff().await;
    bench.pile("P1").await;
    for member in ["m1", "m2"] {
        bench.member(member, "100.00").await;
    }
    let mut placed = Vec::new();
    for n in 0..10 {
        placed.push(one_order(&bench, if n % 3 == 0 { "m2" } else { "m1" }).await);
    }
    placed.reverse();
    let more = async || {
        one_order(&bench, "m1").await;
    };
    assert_eq!(
        ids(&bench, "/v1/orders?limit=3", more).await,
        placed,
        "newest first, none twice, none missing"
    );
    let none = async || {};
    let of_m2 = ids(&bench, "/v1/orders?limit=1&member=m2", none).await;
    assert_eq!(of_m2, [0, 3, 6, 9].map(|at| placed[at].clone()));
    let failed = ids(&bench, "/v1/orders?limit=200&state=FAIL&pile=P1", none).await;
    assert_eq!(failed.len(), 13);
    assert!(ids(&bench, "/v1/orders?limit=200&state=PAYED", none).await.is_empty());
    assert!(ids(&bench, "/v1/orders?limit=200&pile=P2", none).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_piles_and_logs_are_paged_too() {
    let bench = Bench::new().await;
    bench.flat_tariff().await;
    let names: Vec<String> = (0..7).map(|n| format!("m{n}")).collect();
    for name in &names {
        bench
            .put(&format!("/v1/members/{name}"), &json!({ "name": "" }))
            .await
            .expect(200);
        bench
            .post("/v1/piles", &json!({ "id": format!("P{name}") }))
            .await
            .expect(201);
        bench
            .put(&format!("/v1/cards/C{name}"), &json!({ "member": name }))
            .await
            .expect(200);
    }
    let none = async || {};
    assert_eq!(ids(&bench, "/v1/members?limit=2", none).await, names);
    assert_eq!(ids(&bench, "/v1/piles?limit=3", none).await.len(), 7);
    assert_eq!(ids(&bench, "/v1/cards?limit=7", none).await.len(), 7);

    bench.member("m1", "100.00").await;
    bench.pile("P1").await;
    let order = one_order(&bench, "m1").await;
    let whole = bench
        .get(&format!("/v1/orders/{order}/log?limit=200"))
        .await
        .expect(200);
    let mut parts = Vec::new();
    let mut path = format!("/v1/orders/{order}/log?limit=1");
    loop {
        let page = bench.get(&path).await.expect(200);
        parts.extend(page["items"].as_array().unwrap().clone());
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/orders/{order}/log?limit=1&cursor={next}");
    }
    assert_eq!(whole["items"], Value::Array(parts));
}
