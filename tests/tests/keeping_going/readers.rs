//! Clients that do not read, or hardly write: live views, HTTP requests, piles. Each costs the station a bounded amount,
//! is dropped where it holds a place that others need, and slows nobody.

use crate::{AGAIN, PATIENCE, played::Played};
use domain::{
    ids::PileId,
    topics::{self, UpKind},
};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};
use world::{
    hand::Hand,
    station::{Setup, StationProcess},
};

/// How long the daemon may take to drop one who does not read or does not go on.
const DROPPED_WITHIN: Duration = Duration::from_secs(45);
/// How much more memory the daemon may hold than before, with all the misbehaving clients of a test.
const MEMORY_MORE: u64 = 48 << 20;

/// A connection from 127.0.0.`host` with hardly any room to read into.
async fn open(to: SocketAddr, host: u8) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, host], 0))).unwrap();
    socket.connect(to).await.unwrap()
}

async fn token(station: &StationProcess) -> String {
    let body = json!({ "name": "test", "role": "viewer" });
    let made = station.post("/v1/tokens", &body).await.unwrap().success().unwrap();
    made["token"].as_str().unwrap().to_owned()
}

fn request(path: &str, token: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: station\r\nauthorization: Bearer {token}\r\n\r\n")
}

/// Asks for a small thing over TCP from 127.0.0.`host`; the status, and the answer with its headers.
async fn ask(to: SocketAddr, host: u8, path: &str, token: &str) -> (u16, String) {
    let mut stream = open(to, host).await;
    let wish = request(path, token).replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n");
    // Whoever is turned away at the door may be so before they have asked.
    let _turned_away = stream.write_all(wish.as_bytes()).await;
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    let _reset = read.expect("an answer in time");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.unwrap_or_else(|| panic!("no answer: {answer:?}"));
    (status, answer.to_ascii_lowercase())
}

/// Waits until the other side has closed `stream`, without reading more than that takes.
async fn is_closed(stream: &mut TcpStream, begun: Instant) {
    loop {
        // What is written into a connection that was closed comes back as an error.
        if let Ok(Err(_)) = tokio::time::timeout(AGAIN * 5, stream.write_all(b"x")).await {
            return;
        }
        assert!(begun.elapsed() < DROPPED_WITHIN, "it is not dropped");
        tokio::time::sleep(AGAIN * 5).await;
    }
}

#[tokio::test]
async fn requests_a_byte_at_a_time_or_never_read_are_dropped_and_delay_nobody() {
    let station = StationProcess::start("slow-http", &Setup::new()).await.unwrap();
    let token = token(&station).await;
    let before = station.memory().unwrap();
    let begun = Instant::now();
    let mut slow = tokio::task::JoinSet::new();
    let connected = Arc::new(AtomicUsize::new(0));
    for _ in 0..60 {
        let (to, head) = (station.http, request("/v1/station", &token));
        let came = Arc::clone(&connected);
        slow.spawn(async move {
            let mut stream = open(to, 21).await;
            came.fetch_add(1, Ordering::Relaxed);
            for byte in head.trim_end().bytes().chain(std::iter::repeat(b'a')) {
                if stream.write_all(&[byte]).await.is_err() {
                    return;
                }
                assert!(begun.elapsed() < DROPPED_WITHIN, "a header without end is not cut off");
                tokio::time::sleep(AGAIN * 5).await;
            }
        });
        let (to, many) = (station.http, request("/openapi.json", &token).repeat(50));
        let came = Arc::clone(&connected);
        slow.spawn(async move {
            let mut stream = open(to, 22).await;
            came.fetch_add(1, Ordering::Relaxed);
            // Answers of a hundred kilobytes each, which nobody reads.
            let _cut_off = tokio::time::timeout(Duration::from_secs(2), stream.write_all(many.as_bytes())).await;
            is_closed(&mut stream, begun).await;
        });
    }
    let (all, mut most, mut beside_most) = (slow.len(), 0, 0);
    while !slow.is_empty() {
        assert_eq!(ask(station.http, 23, "/v1/station", &token).await.0, 200);
        most = most.max(station.memory().unwrap());
        while let Some(ended) = slow.try_join_next() {
            ended.unwrap();
        }
        // They did not have to be dropped before this one was answered.
        let held = (connected.load(Ordering::Relaxed) + slow.len()).saturating_sub(all);
        beside_most += usize::from(held > all / 2);
        tokio::time::sleep(AGAIN * 10).await;
    }
    println!(
        "all dropped after {:?}; {} KiB more memory",
        begun.elapsed(),
        most.saturating_sub(before) / 1_024
    );
    assert!(
        beside_most > 0,
        "nobody was answered while most of the others were there"
    );
    assert!(most < before + MEMORY_MORE, "{before} bytes of memory, then {most}");
}

#[tokio::test]
async fn one_address_gets_so_many_connections_and_failed_logins_and_others_do_not_notice() {
    let mut station = StationProcess::new("one-address", &Setup::new()).unwrap();
    let variable = "HOLDFAST_EDGE__HTTP__CONNECTIONS_PER_ADDRESS_MAX".to_owned();
    station.environment.push((variable, "16".to_owned()));
    station.start_again().await.unwrap();
    let token = token(&station).await;
    let mut held = Vec::new();
    for _ in 0..16 {
        let mut stream = open(station.http, 31).await;
        stream
            .write_all(request("/v1/station", &token).as_bytes())
            .await
            .unwrap();
        stream.read_exact(&mut [0; 16]).await.unwrap();
        held.push(stream);
    }
    let (status, answer) = ask(station.http, 31, "/v1/station", &token).await;
    assert_eq!(status, 429, "{answer}");
    for said in ["retry-after: 5", "too-many-connections", "connections_per_address_max"] {
        assert!(answer.contains(said), "{said}: {answer}");
    }
    assert_eq!(ask(station.http, 32, "/v1/station", &token).await.0, 200);
    assert_eq!(
        station
            .metric("holdfast_http_connections_turned_away_total")
            .await
            .unwrap(),
        1
    );
    drop(held);

    let mut limited = 0;
    for n in 0..160 {
        let (status, answer) = ask(station.http, 33, "/v1/station", &format!("guess-{n}")).await;
        match status {
            401 => {}
            429 => {
                limited += 1;
                assert!(answer.contains("retry-after: 1"), "{answer}");
                assert!(answer.contains("too-many-failed-logins"), "{answer}");
            }
            _ => panic!("{answer}"),
        }
    }
    assert!(limited > 0, "all were looked at");
    assert_eq!(
        ask(station.http, 33, "/v1/station", &token).await.0,
        200,
        "who has a token is let in"
    );
    assert_eq!(ask(station.http, 34, "/v1/station", "guess").await.0, 401);
    assert_eq!(
        station.metric("holdfast_http_logins_limited_total").await.unwrap(),
        limited
    );
    assert_eq!(station.metric("holdfast_http_logins_failed_total").await.unwrap(), 161);
    assert_eq!(
        station.log().matches("too many logins fail").count(),
        1,
        "{}",
        station.log()
    );
}

#[tokio::test]
async fn live_views_that_are_not_read_are_dropped_and_the_others_see_the_latest() {
    let station = StationProcess::start("slow-views", &Setup::new()).await.unwrap();
    let token = token(&station).await;
    let mut piles = Vec::new();
    for n in 1..=4 {
        let mut pile = Played::new(&station, &format!("P{n}")).await;
        let order = pile.charging(&station, &format!("m{n}")).await;
        piles.push((pile, order));
    }
    let before = station.memory().unwrap();
    let begun = Instant::now();
    let mut views = Vec::new();
    for _ in 0..20 {
        let mut stream = open(station.http, 41).await;
        let head = request("/v1/live", &token).replace(
            "\r\n\r\n",
            "\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 101");
        views.push(stream);
    }
    assert_eq!(station.metric("holdfast_websockets").await.unwrap(), 20);
    // Everything there is to tell, as fast as piles may.
    let mut beats: u64 = 0;
    while station.metric("holdfast_websockets").await.unwrap() > 0 {
        for _ in 0..20 {
            for (pile, order) in &mut piles {
                pile.beat(order).await;
                beats += 1;
            }
        }
        assert!(
            begun.elapsed() < DROPPED_WITHIN * 2,
            "they are not dropped after {beats} heartbeats"
        );
    }
    let after = station.memory().unwrap();
    println!(
        "dropped after {:?} and {beats} heartbeats; memory {before}, then {after}",
        begun.elapsed()
    );
    assert!(after < before + MEMORY_MORE, "{before} bytes of memory, then {after}");
    assert_eq!(ask(station.http, 42, "/v1/station", &token).await.0, 200);
    for (mut pile, order) in piles {
        pile.settles(&station, &order).await;
    }
}

#[tokio::test]
async fn a_pile_that_does_not_read_costs_a_bounded_queue_and_disturbs_no_other() {
    let station = StationProcess::start("deaf-pile", &Setup::new()).await.unwrap();
    let mut good = Played::new(&station, "P1").await;
    let order = good.charging(&station, "m1").await;
    let secret = station.add_pile("DEAF").await.unwrap();
    let before = station.memory().unwrap();
    // It subscribes and then only talks: nothing that it is told is ever acknowledged.
    let mut deaf = Hand::connect_deaf(station.mqtt, "DEAF", &secret).await.unwrap();
    let topic = topics::up(&PileId::new("DEAF").unwrap(), UpKind::Event);
    let begun = Instant::now();
    let mut sent: u64 = 0;
    while station.metric("holdfast_undelivered_total").await.unwrap() == 0 {
        for _ in 0..100 {
            let event = deaf.message(&json!({ "connector": 1, "kind": "plugged", "code": 0, "text": "" }));
            deaf.publish(&topic, event.to_string().into_bytes()).await.unwrap();
            sent += 1;
        }
        assert!(
            begun.elapsed() < DROPPED_WITHIN,
            "{sent} messages, and nothing was dropped"
        );
        good.beat(&order).await;
    }
    let after = station.memory().unwrap();
    println!("what it is told is dropped after {sent} messages; memory {before}, then {after}");
    assert!(after < before + MEMORY_MORE, "{before} bytes of memory, then {after}");
    good.settles(&station, &order).await;
    let seen: Value = station.get("/v1/piles/DEAF").await.unwrap().success().unwrap();
    assert_eq!(seen["online"], true, "it may still say what it has to say");
}
