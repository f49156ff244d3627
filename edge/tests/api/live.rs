//! Live views: the present first, then the changes; resumed where a reader was, never with a queue.

use crate::bench::Bench;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Error, Message, client::IntoClientRequest, http::HeaderValue},
};

type Socket = WebSocketStream<TcpStream>;

async fn open(bench: &Bench, path: &str, header: (&'static str, String)) -> Result<(Socket, Option<String>), u16> {
    let stream = TcpStream::connect(bench.address).await.unwrap();
    let mut request = format!("ws://{}{path}", bench.address).into_client_request().unwrap();
    request
        .headers_mut()
        .insert(header.0, HeaderValue::from_str(&header.1).unwrap());
    match tokio_tungstenite::client_async(request, stream).await {
        Ok((socket, response)) => {
            let chosen = response.headers().get("sec-websocket-protocol");
            Ok((socket, chosen.map(|chosen| chosen.to_str().unwrap().to_owned())))
        }
        Err(Error::Http(response)) => Err(response.status().as_u16()),
        Err(other) => panic!("{other}"),
    }
}

async fn watch(bench: &Bench, path: &str) -> Socket {
    open(bench, path, ("authorization", format!("Bearer {}", bench.admin)))
        .await
        .unwrap()
        .0
}

async fn next(socket: &mut Socket) -> Value {
    loop {
        let message = tokio::time::timeout(Duration::from_secs(10), socket.next())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        match message {
            Message::Text(text) => return serde_json::from_str(&text).unwrap(),
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Nothing is on its way: what was sent before the answer to a ping comes before it.
async fn is_silent(socket: &mut Socket) -> bool {
    socket.send(Message::Ping(b"?".to_vec().into())).await.unwrap();
    let message = tokio::time::timeout(Duration::from_secs(10), socket.next()).await;
    matches!(message.unwrap().unwrap().unwrap(), Message::Pong(_))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_frame_is_the_present_and_the_rest_are_changes() {
    let bench = Bench::new().await;
    bench.flat_tariff().await;
    bench.member("m1", "100.00").await;
    bench.pile("P1").await;
    let id = bench.charge("m1", "P1", "20.00").await;
    let path = format!("/v1/orders/{id}/live");
    let mut socket = watch(&bench, &path).await;
    let first = next(&mut socket).await;
    assert_eq!(
        (&first["order_id"], &first["state"], &first["fee"]),
        (&json!(id), &json!("CHARGING"), &json!("0.00"))
    );
    assert_eq!(first["outlet"], json!({ "pile": "P1", "connector": 1 }));
    assert!(is_silent(&mut socket).await, "nothing comes twice");

    bench.heartbeat("P1", "charging", Some(&id), "102.0000").await;
    let second = next(&mut socket).await;
    assert_eq!(
        (&second["energy_kwh"], &second["fee"], &second["period"]),
        (&json!("2.0000"), &json!("1.70"), &json!("flat"))
    );
    let (before, seen) = (first["seq"].as_u64().unwrap(), second["seq"].as_u64().unwrap());
    assert!(before < seen && seen < 1 << 53, "rises, and fits a JavaScript number");

    // Resumed after the first frame: the second comes. Resumed after the second: nothing, until something happens.
    let mut behind = watch(&bench, &format!("{path}?after={before}")).await;
    assert_eq!(next(&mut behind).await, second);
    let mut abreast = watch(&bench, &format!("{path}?after={seen}")).await;
    assert!(is_silent(&mut abreast).await);
    // A number this station never gave out is of another life of it: start over.
    let mut ahead = watch(&bench, &format!("{path}?after={}", u64::MAX)).await;
    assert_eq!(next(&mut ahead).await["fee"], "1.70");

    bench.record("P1", &id, "103.0000").await;
    for socket in [&mut socket, &mut behind, &mut abreast, &mut ahead] {
        let last = next(socket).await;
        assert_eq!((&last["state"], &last["fee"]), (&json!("PAYED"), &json!("2.55")));
    }
    // Ended and gone from memory, it can still be looked at.
    let mut late = watch(&bench, &path).await;
    assert_eq!(next(&mut late).await["state"], "PAYED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_gets_the_latest_and_not_a_queue() {
    let bench = Bench::new().await;
    bench.flat_tariff().await;
    bench.member("m1", "100.00").await;
    bench.pile("P1").await;
    let id = bench.charge("m1", "P1", "20.00").await;
    let mut site = watch(&bench, "/v1/live").await;
    let present = next(&mut site).await;
    assert_eq!(present["orders"].as_array().unwrap().len(), 1);
    drop(site);
    for n in 1..=20 {
        let meter = format!("{}.{}", 100 + 4 * n / 10, 4 * n % 10);
        bench.heartbeat("P1", "charging", Some(&id), &meter).await;
    }
    let mut resumed = watch(&bench, &format!("/v1/live?after={}", present["seq"])).await;
    let news = next(&mut resumed).await;
    assert_eq!(
        news["orders"].as_array().unwrap().len(),
        1,
        "twenty changes of one order are one message: {news}"
    );
    assert_eq!(news["orders"][0]["energy_kwh"], "8.0000");
    assert_eq!(news["seq"], news["orders"][0]["seq"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_site_begins_with_every_open_order() {
    let bench = Bench::new().await;
    bench.flat_tariff().await;
    let mut early = watch(&bench, "/v1/live").await;
    assert_eq!(next(&mut early).await["orders"], json!([]));
    for n in 1..=3 {
        bench.member(&format!("m{n}"), "100.00").await;
        bench.pile(&format!("P{n}")).await;
        bench.charge(&format!("m{n}"), &format!("P{n}"), "20.00").await;
        if n == 1 {
            // Looked at before there are others: who reads late gets all that changed in one message.
            assert_eq!(next(&mut early).await["orders"].as_array().unwrap().len(), 1);
        }
    }
    let mut late = watch(&bench, "/v1/live").await;
    assert_eq!(next(&mut late).await["orders"].as_array().unwrap().len(), 3);
    bench.disconnect("P2").await;
    let gone = next(&mut late).await;
    assert_eq!(
        gone["orders"][0]["pile_online"], false,
        "a pile that is gone is shown as such: {gone}"
    );
    assert!(gone["orders"][0]["as_of"].is_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_shows_its_token_as_a_subprotocol_and_never_in_the_url() {
    let bench = Bench::new().await;
    let viewer = bench.token("page", "viewer").await;
    let (mut socket, chosen) = open(
        &bench,
        "/v1/live",
        ("sec-websocket-protocol", format!("bearer, {viewer}")),
    )
    .await
    .unwrap();
    assert_eq!(chosen.as_deref(), Some("bearer"));
    assert_eq!(next(&mut socket).await["orders"], json!([]));
    let refused = async |header| open(&bench, "/v1/live", header).await.err();
    assert_eq!(
        refused(("sec-websocket-protocol", "bearer, nonsense".to_owned())).await,
        Some(401)
    );
    assert_eq!(
        refused(("sec-websocket-protocol", "bearer".to_owned())).await,
        Some(401)
    );
    assert_eq!(refused(("x-token", viewer.clone())).await, Some(401));
    let in_url = open(&bench, &format!("/v1/live?token={viewer}"), ("x-a", "b".to_owned())).await;
    assert_eq!(in_url.err(), Some(401));
    let unknown = ("authorization", format!("Bearer {viewer}"));
    assert_eq!(open(&bench, "/v1/orders/none/live", unknown).await.err(), Some(404));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_are_told_when_the_station_ends() {
    let bench = Bench::new().await;
    let mut socket = watch(&bench, "/v1/live").await;
    next(&mut socket).await;
    socket.send(Message::Ping(b"x".to_vec().into())).await.unwrap();
    let pong = tokio::time::timeout(Duration::from_secs(5), socket.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(matches!(pong, Message::Pong(_)), "{pong:?}");
    let (ended, last) = tokio::join!(bench.stop(), socket.next());
    assert!(ended.iter().all(Result::is_ok));
    let Some(Ok(Message::Close(Some(frame)))) = last else {
        panic!("{last:?}")
    };
    assert_eq!(u16::from(frame.code), 1001);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_that_is_resumed_over_a_restart_begins_with_the_present() {
    let bench = Bench::new().await;
    bench.flat_tariff().await;
    bench.member("m1", "100.00").await;
    bench.pile("P1").await;
    let id = bench.charge("m1", "P1", "20.00").await;
    // A number that a run before this one gave out.
    let mut site = watch(&bench, "/v1/live?after=7").await;
    let first = next(&mut site).await;
    assert_eq!(
        (&first["complete"], &first["orders"][0]["order_id"]),
        (&json!(true), &json!(id))
    );
    let mut order = watch(&bench, &format!("/v1/orders/{id}/live?after=7")).await;
    assert_eq!(next(&mut order).await["state"], "CHARGING");
    // One of this run resumes: nothing comes twice.
    let mut resumed = watch(&bench, &format!("/v1/live?after={}", first["seq"])).await;
    assert!(is_silent(&mut resumed).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_callers_sockets_leave_room_for_the_others() {
    let bench = Bench::new().await;
    let mut open_now = Vec::new();
    for _ in 0..service::http::feed::SOCKETS_PER_CALLER_MAX {
        open_now.push(watch(&bench, "/v1/live").await);
    }
    let bearer = |token: &str| ("authorization", format!("Bearer {token}"));
    let refused = open(&bench, "/v1/live", bearer(&bench.admin)).await;
    assert_eq!(refused.err(), Some(429));
    let other = bench.token("kiosk", "viewer").await;
    assert!(open(&bench, "/v1/live", bearer(&other)).await.is_ok());
}
