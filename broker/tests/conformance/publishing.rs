//! PUBLISH from clients and its acknowledgements; QoS, DUP and order on the way to subscribers.

use broker::{DisconnectCause, Message, QoS};

use crate::bench::{Bench, in_time, publish, publish_with};
use crate::publish_acknowledged;

in_both_versions!(
    qos_1_is_answered_with_puback_and_0_with_nothing,
    qos_2_is_taken_once_however_often_it_is_sent,
    acknowledgements_come_in_the_order_of_the_messages,
    a_topic_with_wildcards_ends_the_connection,
    publishing_where_it_may_not_ends_the_connection,
    a_subscriber_gets_the_lower_of_both_qos,
    dup_of_a_publisher_is_not_passed_on,
    the_order_of_a_topic_is_kept,
    qos_2_to_the_client_takes_four_packets,
);

/// 3.1.1: MQTT-4.3.1-1, MQTT-4.3.2-2. 5: MQTT-4.3.1-1, MQTT-4.3.2-4.
async fn qos_1_is_answered_with_puback_and_0_with_nothing(version: u8) {
    let mut bench = Bench::new().await;
    let mut peer = bench.client(version, "P1").await;
    peer.send(&publish(version, 0, 0, "up/P1/x", "a")).await;
    peer.send(&publish(version, 1, 0xFFFF, "up/P1/x", "b")).await;
    assert_eq!(peer.packet().await, b"\x40\x02\xFF\xFF");
    peer.ping().await;
    assert_eq!(bench.delivered().await.payload, "a");
    assert_eq!(bench.delivered().await.payload, "b");
}

/// 3.1.1: MQTT-4.3.3-2. 5: MQTT-4.3.3-8 to -13.
async fn qos_2_is_taken_once_however_often_it_is_sent(version: u8) {
    let mut bench = Bench::new().await;
    let mut peer = bench.client(version, "P1").await;
    let first = publish(version, 2, 7, "up/P1/x", "once");
    let mut again = first.clone();
    again[0] |= 0x08;
    for bytes in [&first, &again, &again] {
        peer.send(bytes).await;
        assert_eq!(peer.packet().await, b"\x50\x02\x00\x07");
    }
    for reason in [0, 0x92] {
        peer.send(b"\x62\x02\x00\x07").await;
        let pubcomp: &[u8] = if version == 5 && reason > 0 {
            b"\x70\x03\x00\x07\x92"
        } else {
            b"\x70\x02\x00\x07"
        };
        assert_eq!(peer.packet().await, pubcomp);
    }
    assert_eq!(bench.delivered().await.payload, "once");
    bench.no_more_delivered();
    // After PUBCOMP the packet id is free for another message.
    peer.send(&publish(version, 2, 7, "up/P1/x", "another")).await;
    assert_eq!(peer.packet().await, b"\x50\x02\x00\x07");
    assert_eq!(bench.delivered().await.payload, "another");
}

/// 3.1.1: MQTT-4.6.0-2, -3. 5: MQTT-4.6.0-2, -3.
async fn acknowledgements_come_in_the_order_of_the_messages(version: u8) {
    let mut bench = Bench::new().await;
    let mut peer = bench.client(version, "P1").await;
    for (qos, id) in [(1, 3), (2, 2), (1, 1)] {
        peer.send(&publish(version, qos, id, "up/P1/hold", "{}")).await;
    }
    let mut receipts = Vec::new();
    for _ in 0..3 {
        bench.delivered().await;
        receipts.push(bench.take_receipt());
    }
    for receipt in receipts.into_iter().rev() {
        receipt.acknowledge();
    }
    for expected in [b"\x40\x02\x00\x03", b"\x50\x02\x00\x02", b"\x40\x02\x00\x01"] {
        assert_eq!(peer.packet().await, expected);
    }
}

/// 3.1.1: MQTT-3.3.2-2, MQTT-4.7.3-1. 5: MQTT-3.3.2-2 (0x81), 3.3.2.1 (0x82).
async fn a_topic_with_wildcards_ends_the_connection(version: u8) {
    let mut bench = Bench::new().await;
    for topic in ["open/#", "open/+/x", "#", ""] {
        let (code, cause) = match topic {
            "" => (0x82, DisconnectCause::ProtocolError),
            _ => (0x81, DisconnectCause::MalformedPacket),
        };
        let mut peer = bench.client(version, "P1").await;
        peer.send(&publish(version, 1, 1, topic, "x")).await;
        peer.expect_disconnect(version, code).await;
        assert_eq!(bench.cause_for("P1").await, cause);
    }
    bench.no_more_delivered();
}

/// 3.1.1: MQTT-3.3.5-2: acknowledge, or close. 5: 4.13.2 (0x87).
async fn publishing_where_it_may_not_ends_the_connection(version: u8) {
    let mut bench = Bench::new().await;
    for topic in ["up/P2/x", "$SYS/broker/load", "down/P1/x"] {
        let mut peer = bench.client(version, "P1").await;
        peer.send(&publish(version, 1, 1, topic, "x")).await;
        peer.expect_disconnect(version, 0x87).await;
    }
    bench.no_more_delivered();
}

/// 3.1.1: MQTT-3.8.4-6. 5: MQTT-3.8.4-8.
async fn a_subscriber_gets_the_lower_of_both_qos(version: u8) {
    let bench = Bench::new().await;
    let mut publisher = bench.client(version, "P2").await;
    for granted in 0..=2u8 {
        let mut peer = bench.client(version, "P1").await;
        peer.subscribe(version, "open/x", granted).await;
        for sent in 0..=2u8 {
            publisher.send(&publish(version, sent, 1, "open/x", "x")).await;
            if sent > 0 {
                publisher.packet().await;
            }
            if sent == 2 {
                publisher.send(b"\x62\x02\x00\x01").await;
                publisher.packet().await;
            }
            let got = peer.packet().await;
            let qos = (got[0] >> 1) & 0x03;
            assert_eq!(qos, granted.min(sent), "granted {granted}, sent {sent}");
        }
    }
}

/// 3.1.1: MQTT-3.3.1-3. 5: MQTT-3.3.1-3.
async fn dup_of_a_publisher_is_not_passed_on(version: u8) {
    let bench = Bench::new().await;
    let mut peer = bench.client(version, "P1").await;
    peer.subscribe(version, "open/x", 1).await;
    let mut publisher = bench.client(version, "P2").await;
    publish_acknowledged(&mut publisher, version, 0x08, "open/x", "again", b"").await;
    assert_eq!(peer.packet().await, publish(version, 1, 1, "open/x", "again"));
}

/// 3.1.1: MQTT-4.6.0-5, -6. 5: MQTT-4.6.0-5, -6.
async fn the_order_of_a_topic_is_kept(version: u8) {
    let bench = Bench::new().await;
    let mut peer = bench.client(version, "P1").await;
    peer.subscribe(version, "open/#", 1).await;
    let mut publisher = bench.client(version, "P2").await;
    for n in 1..=60u16 {
        publisher.send(&publish(version, 1, n, "open/x", &n.to_string())).await;
        publisher.packet().await;
    }
    for n in 1..=60u16 {
        assert_eq!(peer.packet().await, publish(version, 1, n, "open/x", &n.to_string()));
        let [high, low] = n.to_be_bytes();
        peer.send(&[0x40, 2, high, low]).await;
    }
}

/// 3.1.1: MQTT-4.3.3-1. 5: MQTT-4.3.3-1 to -7.
async fn qos_2_to_the_client_takes_four_packets(version: u8) {
    let bench = Bench::new().await;
    let mut peer = bench.client(version, "P1").await;
    peer.subscribe(version, "down/P1/#", 2).await;
    for id in 1..=2u8 {
        let message = Message::new("down/P1/x", "x").qos(QoS::ExactlyOnce);
        bench.handle.publish_to("P1", message).unwrap();
        assert_eq!(
            peer.packet().await,
            publish_with(version, 0x04, id.into(), "down/P1/x", "x", b"")
        );
        // PUBREC twice: PUBREL each time.
        for _ in 0..2 {
            peer.send(&[0x50, 2, 0, id]).await;
            assert_eq!(peer.packet().await, [0x62, 2, 0, id]);
        }
        peer.send(&[0x70, 2, 0, id]).await;
        peer.ping().await;
    }
}

/// 5: MQTT-4.3.3-4 and 4.3.3: a PUBREC that fails ends the exchange; one for an unknown id is told (0x92).
#[tokio::test]
async fn acknowledgements_that_fail_or_fit_nothing_are_answered_with_reason_codes() {
    let bench = Bench::new().await;
    let mut peer = bench.client(5, "P1").await;
    peer.subscribe(5, "down/P1/#", 2).await;
    let message = Message::new("down/P1/x", "x").qos(QoS::ExactlyOnce);
    bench.handle.publish_to("P1", message).unwrap();
    assert_eq!(peer.packet().await[0], 0x34);
    peer.send(b"\x50\x03\x00\x01\x97").await;
    peer.ping().await;
    for (sent, answer) in [
        (&b"\x50\x02\x00\x01"[..], &b"\x62\x03\x00\x01\x92"[..]),
        (b"\x62\x02\x00\x09", b"\x70\x03\x00\x09\x92"),
    ] {
        peer.send(sent).await;
        assert_eq!(peer.packet().await, answer);
    }
    peer.send(b"\x40\x02\x00\x09\x70\x02\x00\x09").await;
    peer.ping().await;
}

/// 5: 3.4.2.1, 3.5.2.1: what the gatekeeper refuses is told in PUBACK and PUBREC; the packet id is free again.
#[tokio::test]
async fn a_refused_message_is_told_with_its_reason_code() {
    let mut bench = Bench::new().await;
    let mut peer = bench.client(5, "P1").await;
    for (qos, first) in [(1, 0x40), (2, 0x50)] {
        peer.send(&publish(5, qos, 4, "up/P1/hold", "{}")).await;
        bench.delivered().await;
        bench.take_receipt().refuse(broker::RefusalReason::QuotaExceeded);
        assert_eq!(peer.packet().await, [first, 3, 0, 4, 0x97]);
        peer.send(&publish(5, qos, 4, "up/P1/x", "{}")).await;
        assert_eq!(peer.packet().await, [first, 2, 0, 4]);
        assert_eq!(bench.delivered().await.payload, "{}");
    }
    in_time("nothing else", async {}).await;
    bench.no_more_delivered();
}
