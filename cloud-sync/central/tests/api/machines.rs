//! Tokens of machines, and requests that are repeated.

use crate::office::{Office, Somebody};
use serde_json::{Value, json};

pub(crate) async fn a_token_is_shown_once_and_counts_until_it_is_taken_back(office: Office) {
    let body = json!({ "name": "mini-program", "roles": ["viewer", "station"] });
    let made = office.local("POST", "/v1/tokens", Some(&body)).await.expect(201);
    let machine = Somebody::with_token(made["token"].as_str().unwrap());
    office.get(&machine, "/v1/orders").await.expect(200);
    let listed = office.local("GET", "/v1/tokens", None).await;
    assert!(!listed.text.contains(made["token"].as_str().unwrap()));
    let listed = listed.expect(200);
    assert_eq!(listed["items"][0]["name"], "mini-program");
    assert_eq!(listed["items"][0]["roles"], json!(["viewer", "station"]));
    office
        .local("POST", "/v1/tokens", Some(&body))
        .await
        .problem(409, "token-exists");
    office
        .local("DELETE", "/v1/tokens/mini-program", None)
        .await
        .expect(204);
    office.get(&machine, "/v1/orders").await.problem(401, "token-unknown");
    office
        .local("DELETE", "/v1/tokens/mini-program", None)
        .await
        .problem(404, "unknown-token");
    // One that is made again under the name is another.
    office.local("POST", "/v1/tokens", Some(&body)).await.expect(201);
    office.get(&machine, "/v1/orders").await.problem(401, "token-unknown");
}

pub(crate) async fn what_a_token_cannot_be_is_refused_with_the_field(office: Office) {
    for (body, path) in [
        (json!({ "name": "", "roles": ["viewer"] }), "name"),
        (json!({ "name": "a:b", "roles": ["viewer"] }), "name"),
        (json!({ "name": "x".repeat(33), "roles": ["viewer"] }), "name"),
        (json!({ "name": "a", "roles": [] }), "roles"),
        (json!({ "name": "a", "roles": ["owner"] }), "roles[0]"),
        (json!({ "name": "a", "roles": ["person"] }), "roles[0]"),
        (json!({ "name": "a", "roles": ["viewer"], "more": 1 }), "more"),
    ] {
        let refused = office
            .local("POST", "/v1/tokens", Some(&body))
            .await
            .problem(422, "invalid-body");
        assert_eq!(refused["path"], path, "{body}");
    }
    assert_eq!(
        office.local("GET", "/v1/tokens", None).await.expect(200)["items"],
        json!([])
    );
}

pub(crate) async fn a_request_that_is_repeated_counts_once_and_gets_its_answer_without_the_secret(office: Office) {
    let admin = office.machine("root", &["admin"]).await;
    let body = json!({ "name": "kiosk", "roles": ["station"] });
    let keyed = admin.clone().with("idempotency-key", "one");
    let first = office.ask(&keyed, "POST", "/v1/tokens", Some(&body)).await;
    assert!(!first.is_replayed());
    let first = first.expect(201);
    let again = office.ask(&keyed, "POST", "/v1/tokens", Some(&body)).await;
    assert!(again.is_replayed());
    let again = again.expect(201);
    assert_eq!((&again["name"], &again["token"]), (&first["name"], &Value::Null));
    let kiosk = Somebody::with_token(first["token"].as_str().unwrap());
    office.get(&kiosk, "/v1/sites").await.problem(403, "role-too-low");
    // Another body, another path, another caller.
    let other = json!({ "name": "kiosk", "roles": ["viewer"] });
    office
        .ask(&keyed, "POST", "/v1/tokens", Some(&other))
        .await
        .problem(422, "idempotency-key-reused");
    let user = json!({ "name": "ann", "roles": [] });
    office.ask(&keyed, "POST", "/v1/users", Some(&user)).await.expect(201);
    let second = office
        .machine("second", &["admin"])
        .await
        .with("idempotency-key", "one");
    office
        .ask(&second, "POST", "/v1/tokens", Some(&body))
        .await
        .problem(409, "token-exists");
    // What was refused decided nothing, and may be asked again with its key.
    office.local("DELETE", "/v1/tokens/kiosk", None).await.expect(204);
    office.ask(&second, "POST", "/v1/tokens", Some(&body)).await.expect(201);
    // A day later nothing is known of it.
    office.pass(86_400_001);
    office
        .ask(&keyed, "POST", "/v1/tokens", Some(&body))
        .await
        .problem(409, "token-exists");
}

pub(crate) async fn the_same_request_many_times_at_once_is_one(office: Office) {
    let admin = office.machine("root", &["admin"]).await.with("idempotency-key", "one");
    let body = json!({ "name": "kiosk", "roles": ["station"] });
    let ask = || office.ask(&admin, "POST", "/v1/tokens", Some(&body));
    let replies = futures_util::future::join_all((0..8).map(|_| ask())).await;
    let (shown, replayed): (Vec<_>, Vec<_>) = replies.into_iter().partition(|reply| !reply.is_replayed());
    assert_eq!((shown.len(), replayed.len()), (1, 7));
    assert!(shown.into_iter().all(|reply| reply.expect(201)["token"].is_string()));
    assert!(replayed.into_iter().all(|reply| reply.expect(201)["token"].is_null()));
}

pub(crate) async fn what_is_over_is_forgotten(office: Office) {
    let admin = office.machine("root", &["admin"]).await;
    office
        .post(&admin, "/v1/users", &json!({ "name": "ann", "roles": [] }))
        .await
        .expect(201);
    let remembered = async || {
        let count = office
            .db
            .read(|tx| tx.query("SELECT COUNT(*) FROM idempotency", &[])?.remove(0).int(0));
        count.await.unwrap()
    };
    assert_eq!(remembered().await, 2);
    office.state.prune().await.unwrap();
    assert_eq!(remembered().await, 2);
    office.pass(86_400_001);
    office.state.prune().await.unwrap();
    assert_eq!(remembered().await, 0);
}
