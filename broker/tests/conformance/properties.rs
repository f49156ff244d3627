//! Properties of MQTT 5 messages: unaltered to MQTT 5, never to 3.1.1, live, queued and retained; message expiry.

use std::time::Duration;

use broker::Message;

use crate::bench::{Bench, in_time, publish, publish_with};
use crate::{away, persistent, publish_acknowledged};

/// Payload format, content type, response topic, correlation data, and user properties of which one name comes twice.
fn all() -> Vec<u8> {
    let mut bytes = b"\x01\x01\x03\x00\x04text\x08\x00\x03r/t\x09\x00\x03\x00\xFF\x01".to_vec();
    for (name, value) in [("k", "1"), ("a", ""), ("k", "3"), ("", "电")] {
        bytes.push(0x26);
        bytes.extend(crate::bench::text(name));
        bytes.extend(crate::bench::text(value));
    }
    bytes
}

/// 5: MQTT-3.3.2-4, -15, -16, -17, -18, -20.
#[tokio::test]
async fn properties_reach_mqtt_5_unaltered_and_in_order() {
    let mut bench = Bench::new().await;
    away(&mut bench, 5, "P3", "open/#", 1).await;
    let mut live = bench.client(5, "P1").await;
    live.subscribe(5, "open/#", 1).await;
    let mut publisher = bench.client(5, "P2").await;
    publish_acknowledged(&mut publisher, 5, 0x01, "open/x", "x", &all()).await;
    assert_eq!(
        live.packet().await,
        publish_with(5, 0x02, 1, "open/x", "x", &all()),
        "live"
    );
    let (mut queued, _) = persistent(&bench, 5, "P3").await;
    assert_eq!(
        queued.packet().await,
        publish_with(5, 0x02, 1, "open/x", "x", &all()),
        "queued"
    );
    let mut late = bench.client(5, "P4").await;
    late.subscribe(5, "open/x", 0).await;
    assert_eq!(
        late.packet().await,
        publish_with(5, 0x01, 0, "open/x", "x", &all()),
        "retained"
    );
}

/// What a 3.1.1 client gets of an MQTT 5 message, live, queued and retained: topic and payload; and it stays connected.
#[tokio::test]
async fn properties_do_no_harm_to_3_1_1() {
    let mut bench = Bench::new().await;
    away(&mut bench, 4, "P3", "open/#", 1).await;
    let mut live = bench.client(4, "P1").await;
    live.subscribe(4, "open/#", 1).await;
    let mut publisher = bench.client(5, "P2").await;
    publish_acknowledged(&mut publisher, 5, 0x01, "open/x", "x", &all()).await;
    assert_eq!(live.packet().await, publish(4, 1, 1, "open/x", "x"));
    live.ping().await;
    let (mut queued, _) = persistent(&bench, 4, "P3").await;
    assert_eq!(queued.packet().await, publish(4, 1, 1, "open/x", "x"));
    queued.ping().await;
    let mut late = bench.client(4, "P4").await;
    late.subscribe(4, "open/x", 0).await;
    assert_eq!(late.packet().await, publish_with(4, 0x01, 0, "open/x", "x", b""));
    late.ping().await;
    // A client id that spoke 3.1.1 comes back with 5; the session goes on in the new version.
    away(&mut bench, 4, "P5", "open/y", 1).await;
    publish_acknowledged(&mut publisher, 5, 0x00, "open/y", "y", &all()).await;
    let (mut upgraded, present) = persistent(&bench, 5, "P5").await;
    assert!(present);
    assert_eq!(upgraded.packet().await, publish_with(5, 0x02, 1, "open/y", "y", &all()));
}

/// A message of a 3.1.1 client has no properties for anybody.
#[tokio::test]
async fn a_3_1_1_message_reaches_mqtt_5_without_properties() {
    let bench = Bench::new().await;
    let mut peer = bench.client(5, "P1").await;
    peer.subscribe(5, "open/#", 1).await;
    let mut publisher = bench.client(4, "P2").await;
    publish_acknowledged(&mut publisher, 4, 0, "open/x", "x", b"").await;
    assert_eq!(peer.packet().await, publish(5, 1, 1, "open/x", "x"));
}

/// 5: MQTT-3.3.2-14, MQTT-3.3.2-13 of the table, 2.2.2: what a PUBLISH may not carry ends the connection (0x81, 0x82).
#[tokio::test]
async fn properties_that_may_not_be_end_the_connection() {
    let bench = Bench::new().await;
    for (properties, code) in [
        (&b"\x01\x02"[..], 0x82),
        (b"\x08\x00\x03a/#", 0x82),
        (b"\x08\x00\x00", 0x82),
        (b"\x11\x00\x00\x00\x01", 0x81),
        (b"\x03\x00\x01a\x03\x00\x01b", 0x82),
        (b"\x03\x00\x02\xC3\x28", 0x81),
        (b"\x7E\x00", 0x81),
        (b"\x26\x00\x01k\x00\x09v", 0x81),
    ] {
        let mut peer = bench.client(5, "P1").await;
        peer.send(&publish_with(5, 0x02, 1, "open/x", "", properties)).await;
        peer.expect_disconnect(5, code).await;
    }
}

/// 5: MQTT-3.3.2-5, -6: deleted when its life is over, else what is left is told, in whole seconds, never more.
#[tokio::test]
async fn messages_expire_and_what_is_left_is_told() {
    let mut bench = Bench::new().await;
    away(&mut bench, 5, "P1", "open/#", 1).await;
    let mut publisher = bench.client(5, "P2").await;
    publish_acknowledged(&mut publisher, 5, 0x01, "open/short", "1", b"\x02\x00\x00\x00\x01").await;
    publish_acknowledged(&mut publisher, 5, 0x01, "open/long", "2", b"\x02\x00\x00\x00\x3C").await;
    // The retained one is looked at without being asked for by anybody: its time passes.
    in_time("a second has passed", async {
        loop {
            let mut late = bench.client(5, "P3").await;
            late.subscribe(5, "open/short", 0).await;
            late.send(b"\xC0\x00").await;
            if late.packet().await == b"\xD0\x00" {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let (mut peer, _) = persistent(&bench, 5, "P1").await;
    let packet = peer.packet().await;
    assert!(packet.ends_with(b"2"), "{packet:02x?}");
    let left = packet[packet.len() - 2];
    assert!((1..=59).contains(&left), "{left} of 60 s");
    peer.ping().await;
    assert_eq!(bench.handle.stats().expired, 1);
    // 3.1.1 is told nothing, and gets nothing that is over.
    let mut old = bench.client(4, "P4").await;
    old.subscribe(4, "open/#", 0).await;
    assert_eq!(old.packet().await, publish_with(4, 0x01, 0, "open/long", "2", b""));
    old.ping().await;
}

/// The same for what the program sends, whoever is away.
#[tokio::test]
async fn messages_of_the_program_expire() {
    let mut bench = Bench::new().await;
    away(&mut bench, 4, "P1", "down/P1/#", 1).await;
    let message = |payload: &'static str, expiry| {
        Message::new("down/P1/x", payload)
            .qos(broker::QoS::AtLeastOnce)
            .keep_while_offline()
            .expiry(expiry)
    };
    bench.handle.publish_to("P1", message("late", Duration::ZERO)).unwrap();
    bench
        .handle
        .publish_to("P1", message("in time", Duration::from_secs(60)))
        .unwrap();
    let (mut peer, _) = persistent(&bench, 4, "P1").await;
    assert_eq!(peer.packet().await, publish(4, 1, 1, "down/P1/x", "in time"));
    peer.ping().await;
}
