//! MQTT 3.1.1 and 5, one test for each behaviour, byte by byte over real sockets, with the numbers of the statements it
//! is about: `3.1.1:` of MQTT 3.1.1, `5:` of MQTT 5. What is refused is tested to be said as the specification has it.

#![allow(clippy::unwrap_used, reason = "a test fails where it panics")]

#[path = "../broker/bench.rs"]
#[allow(dead_code, reason = "another test binary uses the rest")]
mod bench;

/// One test for each version from one body that is told the protocol level, 4 or 5.
macro_rules! in_both_versions {
    ($($name:ident),* $(,)?) => {
        mod v3_1_1 {
            $(#[tokio::test] async fn $name() { super::$name(4).await; })*
        }
        mod v5 {
            $(#[tokio::test] async fn $name() { super::$name(5).await; })*
        }
    };
}

mod bytes;
mod clients;
mod connecting;
mod flow;
mod properties;
mod publishing;
mod retained;
mod sessions;
mod subscribing;
mod wills;

use std::collections::BTreeMap;

use bench::{Bench, Connect, Raw, packet, publish_with, text};
use tokio::net::TcpStream;

/// The socket of a client that speaks bytes.
type Peer = Raw<TcpStream>;

/// The properties of a CONNACK of MQTT 5: identifier to value as on the wire.
fn connack_properties(connack: &[u8]) -> BTreeMap<u8, Vec<u8>> {
    assert_eq!(connack[0], 0x20, "{connack:02x?}");
    let mut rest = &connack[5..];
    assert_eq!(
        rest.len(),
        usize::from(connack[4]),
        "one byte says how long: {connack:02x?}"
    );
    let mut properties = BTreeMap::new();
    while let [id, tail @ ..] = rest {
        let len = match id {
            0x24 | 0x25 | 0x28 | 0x29 | 0x2A => 1,
            0x13 | 0x21 | 0x22 => 2,
            0x11 | 0x27 => 4,
            0x12 => 2 + usize::from(tail[1]),
            other => panic!("property {other:#x} is not expected in a CONNACK"),
        };
        let (value, tail) = tail.split_at(len);
        assert_eq!(
            properties.insert(*id, value.to_vec()),
            None,
            "property {id:#x} came twice"
        );
        rest = tail;
    }
    properties
}

/// A client with a session that lasts an hour, and whether there was one already.
async fn persistent(bench: &Bench, version: u8, client_id: &str) -> (Peer, bool) {
    let connect = Connect {
        protocol: version,
        client_id,
        clean: false,
        properties: b"\x11\x00\x00\x0E\x10",
        ..Connect::default()
    };
    let (peer, connack) = bench.connect(&connect).await;
    (peer, connack[2] == 1)
}

/// A persistent client that has subscribed and gone.
async fn away(bench: &mut Bench, version: u8, client_id: &str, filter: &str, options: u8) {
    let (mut peer, _) = persistent(bench, version, client_id).await;
    peer.subscribe(version, filter, options).await;
    leave(bench, peer, client_id).await;
}

/// Drops the connection; returns when the broker knows.
async fn leave(bench: &mut Bench, peer: Peer, client_id: &str) {
    drop(peer);
    bench.cause_for(client_id).await;
}

/// PUBLISH at QoS 1 and its PUBACK, so that the message has been taken.
async fn publish_acknowledged(peer: &mut Peer, version: u8, flags: u8, topic: &str, payload: &str, properties: &[u8]) {
    peer.send(&publish_with(version, flags | 0x02, 77, topic, payload, properties))
        .await;
    assert_eq!(peer.packet().await, b"\x40\x02\x00\x4D");
}

fn unsubscribe(version: u8, packet_id: u16, filters: &[&str]) -> Vec<u8> {
    let mut body = packet_id.to_be_bytes().to_vec();
    if version == 5 {
        body.push(0);
    }
    for filter in filters {
        body.extend(text(filter));
    }
    packet(0xA2, &body)
}

/// SUBSCRIBE of MQTT 5 with a Subscription Identifier below 128.
fn subscribe_with_id(packet_id: u16, id: u8, filter: &str, options: u8) -> Vec<u8> {
    let mut body = packet_id.to_be_bytes().to_vec();
    body.extend([2, 0x0B, id]);
    body.extend(text(filter));
    body.push(options);
    packet(0x82, &body)
}
