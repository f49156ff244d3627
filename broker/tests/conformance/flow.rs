//! What bounds a connection in MQTT 5, both ways: Receive Maximum and topic aliases.

use broker::{Config, Message, QoS};

use crate::bench::{Bench, Connect, publish, publish_with};
use crate::{Peer, connack_properties, publish_acknowledged};

async fn with_properties(bench: &Bench, version: u8, client_id: &str, properties: &[u8]) -> Peer {
    let connect = Connect {
        protocol: version,
        client_id,
        clean: false,
        properties,
        ..Connect::default()
    };
    bench.connect(&connect).await.0
}

/// 5: MQTT-3.3.4-9, MQTT-4.9.0-1, -2, -3: never more under way than the client said, QoS 2 until PUBCOMP; the
/// order is kept, also with QoS 0.
#[tokio::test]
async fn the_receive_maximum_of_a_client_is_kept() {
    let bench = Bench::new().await;
    let mut peer = with_properties(&bench, 5, "P1", b"\x21\x00\x02").await;
    peer.subscribe(5, "down/P1/#", 2).await;
    for (n, qos) in [QoS::AtLeastOnce, QoS::ExactlyOnce, QoS::AtLeastOnce, QoS::AtMostOnce]
        .into_iter()
        .enumerate()
    {
        let message = Message::new("down/P1/x", n.to_string()).qos(qos);
        bench.handle.publish_to("P1", message).unwrap();
    }
    assert_eq!(peer.packet().await, publish(5, 1, 1, "down/P1/x", "0"));
    assert_eq!(peer.packet().await, publish(5, 2, 2, "down/P1/x", "1"));
    peer.ping().await;
    peer.send(b"\x50\x02\x00\x02").await;
    assert_eq!(peer.packet().await, b"\x62\x02\x00\x02");
    peer.ping().await;
    peer.send(b"\x70\x02\x00\x02").await;
    assert_eq!(peer.packet().await, publish(5, 1, 3, "down/P1/x", "2"));
    assert_eq!(peer.packet().await, publish(5, 0, 0, "down/P1/x", "3"));
    peer.ping().await;
}

/// 5: MQTT-3.3.4-7, -8, 3.2.2.3.3: told in CONNACK; one more ends the connection (0x93).
#[tokio::test]
async fn a_client_above_the_receive_maximum_is_disconnected() {
    let mut bench = Bench::with(Config {
        receive_maximum: 3,
        ..Config::default()
    })
    .await;
    let connect = Connect {
        protocol: 5,
        ..Connect::default()
    };
    let (mut peer, connack) = bench.connect(&connect).await;
    assert_eq!(connack_properties(&connack)[&0x21], [0, 3]);
    for (qos, id) in [(1, 1), (2, 2), (1, 3)] {
        peer.send(&publish(5, qos, id, "up/P1/hold", "{}")).await;
        bench.delivered().await;
    }
    peer.ping().await;
    peer.send(&publish(5, 0, 0, "up/P1/x", "QoS 0 does not count")).await;
    peer.ping().await;
    peer.send(&publish(5, 1, 4, "up/P1/x", "{}")).await;
    peer.expect_disconnect(5, 0x93).await;
}

/// 5: MQTT-3.2.2-17, MQTT-3.3.2-7 to -10: within the maximum told, for one connection; 0x94 and 0x82 otherwise.
#[tokio::test]
async fn topic_aliases_of_a_client_are_taken() {
    let mut bench = Bench::with(Config {
        topic_alias_maximum: 2,
        ..Config::default()
    })
    .await;
    let connect = Connect {
        protocol: 5,
        ..Connect::default()
    };
    let (mut peer, connack) = bench.connect(&connect).await;
    assert_eq!(connack_properties(&connack)[&0x22], [0, 2]);
    // Set up, used, given to another topic, used; the first is still there.
    for (topic, alias) in [
        ("up/P1/a", 1),
        ("", 1),
        ("up/P1/b", 2),
        ("", 2),
        ("", 1),
        ("up/P1/c", 1),
        ("", 1),
    ] {
        peer.send(&publish_with(5, 0x02, 1, topic, "x", &[0x23, 0, alias]))
            .await;
        assert_eq!(peer.packet().await, b"\x40\x02\x00\x01");
    }
    for topic in ["a", "a", "b", "b", "a", "c", "c"] {
        assert_eq!(&*bench.delivered().await.topic, format!("up/P1/{topic}"));
    }
    for (topic, alias, code) in [("", 1, 0x82), ("up/P1/a", 0, 0x94), ("up/P1/a", 3, 0x94), ("", 3, 0x94)] {
        let mut peer = bench.client(5, "P1").await;
        peer.send(&publish_with(5, 0x02, 1, topic, "x", &[0x23, 0, alias]))
            .await;
        peer.expect_disconnect(5, code).await;
    }
    let mut none = bench.client(5, "P1").await;
    none.send(&publish(5, 1, 1, "", "x")).await;
    none.expect_disconnect(5, 0x82).await;
}

/// 5: MQTT-3.1.2-26, -27, MQTT-3.3.2-7, -11, -12: set up towards a client that allows it, no more than it allows, for one
/// connection; never towards one that does not, nor towards 3.1.1.
#[tokio::test]
async fn topic_aliases_are_set_up_towards_a_client_that_allows_them() {
    let mut bench = Bench::new().await;
    let mut publisher = bench.client(5, "P9").await;
    for round in 0..2 {
        let mut peer = with_properties(&bench, 5, "P1", b"\x22\x00\x02").await;
        let mut without = bench.client(5, "P2").await;
        let mut old = bench.client(4, "P3").await;
        for (peer, version) in [(&mut peer, 5), (&mut without, 5), (&mut old, 4)] {
            peer.subscribe(version, "open/#", 1).await;
        }
        for (n, (topic, sent, alias)) in [
            ("open/a", "open/a", Some(1)),
            ("open/a", "", Some(1)),
            ("open/b", "open/b", Some(2)),
            ("open/c", "open/c", None),
            ("open/a", "", Some(1)),
            ("open/b", "", Some(2)),
        ]
        .into_iter()
        .enumerate()
        {
            // Aliases of the publisher mean nothing to others.
            publish_acknowledged(&mut publisher, 5, 0, topic, "x", &[0x23, 0, 9]).await;
            let id = n as u16 + 1;
            let property: Vec<u8> = alias.map_or(Vec::new(), |alias| vec![0x23, 0, alias]);
            let expected = publish_with(5, 0x02, id, sent, "x", &property);
            assert_eq!(peer.packet().await, expected, "round {round}");
            assert_eq!(without.packet().await, publish(5, 1, id, topic, "x"));
            assert_eq!(old.packet().await, publish(4, 1, id, topic, "x"));
            for peer in [&mut peer, &mut without, &mut old] {
                peer.send(&[0x40, 2, 0, id as u8]).await;
            }
        }
        drop((peer, without, old));
        bench.cause_for("P1").await;
    }
}

/// 5: MQTT-3.3.2-7 with MQTT-4.4.0-1: what is sent again on a new connection sets its alias up again.
#[tokio::test]
async fn a_repeated_message_does_not_use_an_alias_of_the_connection_before() {
    let mut bench = Bench::new().await;
    let properties = b"\x22\x00\x09\x11\x00\x00\x00\x3C";
    let mut peer = with_properties(&bench, 5, "P1", properties).await;
    peer.subscribe(5, "down/P1/#", 1).await;
    for payload in ["1", "2"] {
        let message = Message::new("down/P1/x", payload)
            .qos(QoS::AtLeastOnce)
            .keep_while_offline();
        bench.handle.publish_to("P1", message).unwrap();
    }
    for dup in [0x00, 0x08] {
        let first = publish_with(5, 0x02 | dup, 1, "down/P1/x", "1", b"\x23\x00\x01");
        assert_eq!(peer.packet().await, first);
        let second = publish_with(5, 0x02 | dup, 2, "", "2", b"\x23\x00\x01");
        assert_eq!(peer.packet().await, second);
        crate::leave(&mut bench, peer, "P1").await;
        peer = with_properties(&bench, 5, "P1", properties).await;
    }
    // Without leave to set any up, they come with their topic.
    crate::leave(&mut bench, peer, "P1").await;
    let mut peer = with_properties(&bench, 5, "P1", b"").await;
    assert_eq!(peer.packet().await, publish_with(5, 0x0A, 1, "down/P1/x", "1", b""));
}
