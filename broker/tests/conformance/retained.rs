//! Retained messages, also after a restart: the gatekeeper keeps them before the PUBACK and gives them back.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use broker::{
    Admitted, BoxFuture, Broker, Client, ClientIdRule, Config, ConnectRefusal, ConnectRequest, Gatekeeper, Handle,
    Identity, Message, Publish, PublishError, PublishProperties, QoS, Receipt, Route, Subscribing,
};

use crate::bench::{Bench, Connect, Raw, in_time, packet, publish, publish_with, suback_code, subscribe, text};
use crate::{Peer, publish_acknowledged};

in_both_versions!(
    a_new_subscription_gets_the_last_retained_message,
    an_empty_retained_message_removes_and_is_passed_on,
    a_message_that_is_not_retained_changes_nothing,
    retained_messages_are_not_part_of_a_session,
    retaining_is_refused_to_whom_may_not,
    retained_messages_survive_a_restart,
);

fn retained(version: u8, qos: u8, id: u16, payload: &str) -> Vec<u8> {
    publish_with(version, 0x01 | (qos << 1), id, "open/x", payload, b"")
}

/// 3.1.1: MQTT-3.3.1-5, -6, -7, -8, -9. 5: MQTT-3.3.1-5, -9, -12.
async fn a_new_subscription_gets_the_last_retained_message(version: u8) {
    let bench = Bench::new().await;
    let mut before = bench.client(version, "P1").await;
    before.subscribe(version, "open/#", 1).await;
    let mut publisher = bench.client(version, "P2").await;
    publish_acknowledged(&mut publisher, version, 0x01, "open/x", "first", b"").await;
    assert_eq!(
        before.packet().await,
        publish(version, 1, 1, "open/x", "first"),
        "it was there: no flag"
    );
    for qos in [1u8, 2] {
        let mut after = bench.client(version, "P3").await;
        after.subscribe(version, "open/+", qos).await;
        assert_eq!(after.packet().await, retained(version, 1, 1, "first"));
    }
    // A retained message of QoS 0 takes its place.
    publisher.send(&retained(version, 0, 0, "second")).await;
    publisher.ping().await;
    let mut after = bench.client(version, "P3").await;
    after.subscribe(version, "open/x", 2).await;
    assert_eq!(after.packet().await, retained(version, 0, 0, "second"));
    after.ping().await;
}

/// 3.1.1: MQTT-3.3.1-10, -11. 5: MQTT-3.3.1-6, -7.
async fn an_empty_retained_message_removes_and_is_passed_on(version: u8) {
    let bench = Bench::new().await;
    let mut publisher = bench.client(version, "P2").await;
    publish_acknowledged(&mut publisher, version, 0x01, "open/x", "kept", b"").await;
    let mut peer = bench.client(version, "P1").await;
    peer.subscribe(version, "open/x", 0).await;
    assert_eq!(peer.packet().await, retained(version, 0, 0, "kept"));
    publish_acknowledged(&mut publisher, version, 0x01, "open/x", "", b"").await;
    assert_eq!(peer.packet().await, publish(version, 0, 0, "open/x", ""));
    let mut after = bench.client(version, "P3").await;
    after.subscribe(version, "open/#", 1).await;
    after.ping().await;
    assert_eq!(
        (bench.handle.stats().retained, bench.handle.stats().retained_bytes),
        (0, 0)
    );
}

/// 3.1.1: MQTT-3.3.1-12. 5: MQTT-3.3.1-8. An empty one that is not retained deletes nothing either.
async fn a_message_that_is_not_retained_changes_nothing(version: u8) {
    let bench = Bench::new().await;
    let mut publisher = bench.client(version, "P2").await;
    publish_acknowledged(&mut publisher, version, 0x01, "open/x", "kept", b"").await;
    publish_acknowledged(&mut publisher, version, 0x00, "open/x", "passing", b"").await;
    publish_acknowledged(&mut publisher, version, 0x00, "open/x", "", b"").await;
    let mut peer = bench.client(version, "P1").await;
    peer.subscribe(version, "open/x", 0).await;
    assert_eq!(peer.packet().await, retained(version, 0, 0, "kept"));
}

/// 3.1.1: MQTT-3.1.2-7. 5: 4.1.0.
async fn retained_messages_are_not_part_of_a_session(version: u8) {
    let mut bench = Bench::new().await;
    let mut publisher = bench.client(version, "P2").await;
    publish_acknowledged(&mut publisher, version, 0x01, "open/x", "kept", b"").await;
    crate::leave(&mut bench, publisher, "P2").await;
    let mut peer = bench.client(version, "P2").await;
    peer.subscribe(version, "open/x", 0).await;
    assert_eq!(peer.packet().await, retained(version, 0, 0, "kept"));
}

/// 3.1.1: MQTT-3.3.5-2, 3.2.2.3 (5). 5: MQTT-3.2.2-13, 3.2.2.3.5 (0x9A), and CONNACK says so.
async fn retaining_is_refused_to_whom_may_not(version: u8) {
    let mut bench = Bench::new().await;
    let mut peer = bench.client(version, "plain").await;
    publish_acknowledged(&mut peer, version, 0, "open/x", "x", b"").await;
    bench.delivered().await;
    peer.send(&retained(version, 1, 1, "x")).await;
    peer.expect_disconnect(version, 0x9A).await;
    bench.no_more_delivered();
    let will = Connect {
        protocol: version,
        client_id: "plain",
        // The third bit above the QoS is Will Retain.
        will: Some(("open/x", "bye", 1 | 0x04)),
        ..Connect::default()
    };
    let mut peer = bench.raw().await;
    peer.send(&will.bytes()).await;
    let refused: &[u8] = if version == 5 {
        b"\x20\x03\x00\x9A\x00"
    } else {
        b"\x20\x02\x00\x05"
    };
    assert_eq!(peer.packet().await, refused);
    peer.expect_closed().await;
    assert_eq!(bench.handle.stats().retained, 0);
}

/// Keeps retained messages as a disk would: before the acknowledgement, with the time of keeping.
#[derive(Default)]
struct Keeping {
    kept: Mutex<BTreeMap<String, (Instant, Publish)>>,
}

impl Keeping {
    fn restore(&self, handle: &Handle) {
        for (at, publish) in self.kept.lock().unwrap().values() {
            let expiry_s = publish.properties.as_ref().and_then(|p| p.message_expiry_interval_s);
            let mut message = Message::from(publish.clone());
            if let Some(s) = expiry_s {
                message = message.expiry(Duration::from_secs(s.into()).saturating_sub(at.elapsed()));
            }
            handle.restore(message).unwrap();
        }
    }
}

impl Gatekeeper for Keeping {
    fn authenticate<'a>(&'a self, _request: &'a ConnectRequest) -> BoxFuture<'a, Result<Admitted, ConnectRefusal>> {
        Box::pin(async { Ok(Identity::new("anybody").into()) })
    }
    fn authorize_will(&self, _: &Client, _: &str, _: QoS, _: bool) -> bool {
        true
    }
    fn authorize_publish(&self, _: &Client, _: &str, _: QoS, _: bool) -> bool {
        true
    }
    fn authorize_subscribe(&self, _: &Client, _: &str) -> Subscribing {
        Subscribing::Shared(QoS::ExactlyOnce)
    }
    fn deliver(&self, _: &Client, publish: &Publish, receipt: Receipt) -> Route {
        if publish.retain {
            let mut kept = self.kept.lock().unwrap();
            if publish.payload.is_empty() {
                kept.remove(&*publish.topic);
            } else {
                kept.insert(publish.topic.to_string(), (Instant::now(), publish.clone()));
            }
        }
        receipt.acknowledge();
        Route::PassOn
    }
}

/// A broker that begins anew with what was kept.
async fn started(kept: &Arc<Keeping>) -> (Broker, std::net::SocketAddr) {
    let config = Config {
        client_id_rule: ClientIdRule::Any,
        ..Config::default()
    };
    let broker = Broker::new(config, kept.clone());
    kept.restore(&broker.handle());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(broker.serve(listener));
    (broker, address)
}

async fn client_at(address: std::net::SocketAddr, version: u8, client_id: &str) -> Peer {
    let connect = Connect {
        protocol: version,
        client_id,
        ..Connect::default()
    };
    let mut peer = Raw::new(tokio::net::TcpStream::connect(address).await.unwrap());
    peer.send(&connect.bytes()).await;
    assert_eq!(peer.packet().await[3], 0);
    peer
}

/// 3.1.1: MQTT-3.3.1-5 and 4.1: what was acknowledged is there after a failure. 5: the same, and MQTT-3.3.2-5, -6: the
/// time of the restart counts against its life.
async fn retained_messages_survive_a_restart(version: u8) {
    let kept = Arc::new(Keeping::default());
    let (broker, address) = started(&kept).await;
    let mut publisher = client_at(address, version, "publisher").await;
    let properties: &[u8] = b"\x03\x00\x01j\x26\x00\x01k\x00\x01v";
    let own = if version == 5 { properties } else { b"" };
    publish_acknowledged(&mut publisher, version, 0x01, "a/kept", "1", own).await;
    publish_acknowledged(&mut publisher, version, 0x01, "a/removed", "2", b"").await;
    publish_acknowledged(&mut publisher, version, 0x01, "a/removed", "", b"").await;
    if version == 5 {
        publish_acknowledged(&mut publisher, 5, 0x01, "b/long", "3", b"\x02\x00\x00\x00\x3C").await;
        publish_acknowledged(&mut publisher, 5, 0x01, "b/short", "4", b"\x02\x00\x00\x00\x01").await;
    }
    assert!(broker.shutdown(Duration::from_secs(5)).await);
    drop((publisher, broker));
    if version == 5 {
        // Down until the short one has expired.
        let (at, _) = kept.kept.lock().unwrap()["b/short"].clone();
        tokio::time::sleep_until((at + Duration::from_millis(1001)).into()).await;
    }

    let (_broker, address) = started(&kept).await;
    let mut peer = client_at(address, version, "peer").await;
    peer.subscribe(version, "a/#", 1).await;
    assert_eq!(peer.packet().await, publish_with(version, 0x03, 1, "a/kept", "1", own));
    peer.ping().await;
    if version == 5 {
        peer.subscribe(5, "b/#", 1).await;
        let long = peer.packet().await;
        assert!(long.ends_with(b"3"), "the short one is gone: {long:02x?}");
        let left = long.windows(5).find(|w| w[..4] == [0x02, 0, 0, 0]).unwrap()[4];
        assert!((1..=59).contains(&left), "{left} s are left of 60");
        peer.ping().await;
    }
}

/// 3.1.1 and 5, 3.3.1.3 with 4.1: the store may be bounded; messages, bytes, and the bytes of properties count.
#[tokio::test]
async fn the_retained_store_is_bounded_in_messages_and_bytes() {
    let bench = Bench::with(Config {
        retained_messages_max: 3,
        retained_bytes_max: 2000,
        ..Config::default()
    })
    .await;
    let mut publisher = bench.client(5, "P1").await;
    let mut body = text("open/heavy");
    body.extend([0, 1]);
    // 1,500 bytes of a user property with two bytes of length.
    let property = [&b"\x26"[..], &text("k"), &text(&"v".repeat(1500))].concat();
    let len = property.len();
    body.extend([(len % 128) as u8 | 0x80, (len / 128) as u8]);
    body.extend(property);
    body.extend(b"x");
    publisher.send(&packet(0x33, &body)).await;
    assert_eq!(publisher.packet().await, b"\x40\x02\x00\x01");
    assert!(bench.handle.stats().retained_bytes >= 1500);
    // The next heavy one does not fit, small ones do until there are three.
    for topic in ["open/a", "open/b", "open/c"] {
        publish_acknowledged(&mut publisher, 5, 0x01, topic, &"x".repeat(600), b"").await;
    }
    assert_eq!(
        (bench.handle.stats().retained, bench.handle.stats().retained_full),
        (1, 3)
    );
    for topic in ["open/a", "open/b", "open/c"] {
        publish_acknowledged(&mut publisher, 5, 0x01, topic, "x", b"").await;
    }
    assert_eq!(
        (bench.handle.stats().retained, bench.handle.stats().retained_full),
        (3, 4)
    );
    assert!(bench.handle.stats().retained_bytes <= 2000);
    // What is retained can be replaced and removed when it is full.
    publish_acknowledged(&mut publisher, 5, 0x01, "open/a", "y", b"").await;
    publish_acknowledged(&mut publisher, 5, 0x01, "open/b", "", b"").await;
    publish_acknowledged(&mut publisher, 5, 0x01, "open/c", "x", b"").await;
    assert_eq!(
        (bench.handle.stats().retained, bench.handle.stats().retained_full),
        (3, 4)
    );
}

/// What the program restores is checked like what it publishes.
#[tokio::test]
async fn what_cannot_be_sent_is_not_restored() {
    let bench = Bench::new().await;
    let with = |properties: PublishProperties| {
        Message::from(Publish {
            topic: "open/x".into(),
            payload: "x".into(),
            qos: QoS::AtMostOnce,
            retain: true,
            dup: false,
            properties: Some(Box::new(properties)),
        })
    };
    for properties in [
        PublishProperties {
            content_type: Some("x".repeat(70_000)),
            ..PublishProperties::default()
        },
        PublishProperties {
            response_topic: Some("a/#".into()),
            ..PublishProperties::default()
        },
        PublishProperties {
            user_properties: vec![(String::new(), String::new()); broker::USER_PROPERTIES_MAX + 1],
            ..PublishProperties::default()
        },
    ] {
        assert_eq!(
            bench.handle.restore(with(properties)),
            Err(PublishError::InvalidProperties)
        );
    }
    assert_eq!(
        bench.handle.restore(Message::new("a/#", "x")),
        Err(PublishError::InvalidTopic)
    );
    assert_eq!(bench.handle.stats().retained, 0);
    bench.handle.restore(with(PublishProperties::default())).unwrap();
    assert_eq!(bench.handle.stats().retained, 1);
    let mut peer = bench.client(5, "P1").await;
    peer.send(&subscribe(5, 1, &[("open/x", 0)])).await;
    assert_eq!(suback_code(&peer.packet().await), 0);
    assert_eq!(in_time("it", peer.packet()).await, retained(5, 0, 0, "x"));
}
