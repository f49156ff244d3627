//! As many connections as the daemon is configured for, and one more: all are served, the last is told why it is not.

use crate::{PATIENCE, played::Played};
use futures_util::{StreamExt, stream};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::json;
use std::{net::SocketAddr, time::Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};
use world::station::{Setup, StationProcess};

const CONNECTIONS: usize = 10_000;
/// From each address of this machine; below the daemon's own limit.
const PER_ADDRESS: usize = 1_000;
/// How many connect at once.
const AT_ONCE: usize = 32;

/// Opens a connection from the `n`th address, says CONNECT as this pile (MQTT 3.1.1, clean session, ten minutes of
/// keep-alive) and returns the return code of CONNACK.
async fn connect(to: SocketAddr, n: usize, pile: &str, secret: &str) -> (TcpStream, u8) {
    let socket = TcpSocket::new_v4().unwrap();
    let host = u8::try_from(n / PER_ADDRESS + 1).unwrap();
    socket.bind(SocketAddr::from(([127, 0, 1, host], 0))).unwrap();
    let mut stream = socket.connect(to).await.unwrap();
    let mut body = b"\x00\x04MQTT\x04\xC2\x02\x58".to_vec();
    for text in [pile, pile, secret] {
        body.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
        body.extend(text.as_bytes());
    }
    let mut packet = vec![0x10, u8::try_from(body.len()).unwrap()];
    packet.extend(body);
    stream.write_all(&packet).await.unwrap();
    let mut connack = [0; 4];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut connack))
        .await
        .expect("CONNACK in time")
        .unwrap();
    assert_eq!(connack[..3], [0x20, 2, 0]);
    (stream, connack[3])
}

#[tokio::test]
async fn ten_thousand_piles_are_connected_and_the_next_one_is_told_that_there_are_too_many() {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let needed = u64::try_from(CONNECTIONS + 500).unwrap();
    assert!(
        most >= needed,
        "this test opens {needed} files and may open {most}: raise `ulimit -Hn`"
    );
    setrlimit(Resource::RLIMIT_NOFILE, needed, most).unwrap();

    let mut station = StationProcess::new("ten-thousand", &Setup::new()).unwrap();
    station.environment = vec![
        (
            "HOLDFAST_EDGE__MQTT__CONNECTIONS_MAX".to_owned(),
            CONNECTIONS.to_string(),
        ),
        ("HOLDFAST_EDGE__LOG".to_owned(), "warn".to_owned()),
    ];
    station.start_again().await.unwrap();
    let begun = Instant::now();
    let mut charging = Played::new(&station, "P0").await;
    let order = charging.charging(&station, "m0").await;
    let alone = station.memory().unwrap();
    let secrets: Vec<(usize, String)> = stream::iter(1..=CONNECTIONS)
        .map(|n| {
            let station = &station;
            async move { (n, station.add_pile(&format!("P{n}")).await.unwrap()) }
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let known = station.memory().unwrap();
    println!("{CONNECTIONS} piles added after {:?}", begun.elapsed());

    let (all, late) = secrets.split_at(CONNECTIONS - 1);
    let connected: Vec<TcpStream> = stream::iter(all)
        .map(|(n, secret)| {
            let to = station.mqtt;
            async move {
                let (stream, code) = connect(to, *n, &format!("P{n}"), secret).await;
                assert_eq!(code, 0, "P{n}");
                stream
            }
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    assert_eq!(station.metric("holdfast_mqtt_connected").await.unwrap(), 10_000);
    println!("{CONNECTIONS} piles connected after {:?}", begun.elapsed());

    // 3: server unavailable.
    let (n, secret) = &late[0];
    let (mut refused, code) = connect(station.mqtt, 200_000, &format!("P{n}"), secret).await;
    assert_eq!(code, 3);
    assert_eq!(refused.read(&mut [0; 16]).await.unwrap_or(0), 0, "and it is closed");
    let metric = "holdfast_mqtt_connects_refused_total{reason=\"ServerBusy\"}";
    assert_eq!(station.metric(metric).await.unwrap(), 1);

    // One among ten thousand.
    let begun = Instant::now();
    charging.settles(&station, &order).await;
    println!("a record settled after {:?}", begun.elapsed());
    let mib = |bytes: u64| bytes / (1 << 20);
    let full = station.memory().unwrap();
    println!(
        "memory: {} MiB with one pile, {} MiB with {CONNECTIONS} known, {} MiB with all of them connected",
        mib(alone),
        mib(known),
        mib(full)
    );
    assert!(mib(full) < 1_024, "{} MiB", mib(full));

    // Whoever leaves makes room.
    drop(connected);
    let (_stream, code) = loop {
        let (stream, code) = connect(station.mqtt, *n, &format!("P{n}"), secret).await;
        if code == 0 || begun.elapsed() > PATIENCE {
            break (stream, code);
        }
    };
    assert_eq!(code, 0);
    let view = station.get("/v1/station").await.unwrap().success().unwrap();
    assert_eq!(view["piles"], json!(CONNECTIONS + 1));
}
