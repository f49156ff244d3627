//! What the front of the API does for every resource alike: request ids, refusals that decide nothing, bounded heads.

use super::bench::Bench;
use serde_json::json;
use service::http::serve::HEAD_BYTES_MAX;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_names_its_request_and_a_problem_too() {
    let bench = Bench::new().await;
    let id = |reply: &super::bench::Reply| reply.headers["x-request-id"].to_str().unwrap().to_owned();
    let (first, second) = (bench.get("/v1/station").await, bench.get("/v1/nothing").await);
    assert_ne!(id(&first), id(&second));
    let problem = second.body.clone();
    assert_eq!(problem["instance"], format!("urn:holdfast:request:{}", id(&second)));
    let own = bench
        .raw("GET", "/v1/orders", &[("x-request-id", "kiosk-17")], None)
        .await;
    assert_eq!((own.status, id(&own).as_str()), (401, "kiosk-17"));
    assert_eq!(own.body["instance"], "urn:holdfast:request:kiosk-17");
    assert!(own.headers.contains_key("www-authenticate"), "{:?}", own.headers);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_refused_may_be_asked_again_with_the_same_key() {
    let bench = Bench::new().await;
    let (key, path) = (bench.key(), "/v1/members/m1/topups");
    let body = json!({ "amount": "5.00", "receipt": "R-1" }).to_string();
    bench.post_with(path, &key, &body).await.problem(404, "unknown-member");
    bench.put("/v1/members/m1", &json!({ "name": "m1" })).await.expect(200);
    bench.post_with(path, &key, &body).await.expect(201);
    let again = bench.post_with(path, &key, &body).await;
    assert_eq!(
        (again.status, again.replayed()),
        (201, true),
        "what was decided is decided once"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_does_not_end_is_cut_off_at_its_bound() {
    let bench = Bench::new().await;
    let mut stream = TcpStream::connect(bench.address).await.unwrap();
    let begun = b"GET /v1/station HTTP/1.1\r\nhost: x\r\nx-long: ";
    // As much as is kept and no end of it: all of it is read, and then answered.
    let rest = vec![b'x'; HEAD_BYTES_MAX - begun.len()];
    stream.write_all(&[begun.as_slice(), &rest].concat()).await.unwrap();
    let mut said = Vec::new();
    stream.read_to_end(&mut said).await.unwrap();
    let said = String::from_utf8_lossy(&said);
    assert!(said.starts_with("HTTP/1.1 431"), "{said}");
}
