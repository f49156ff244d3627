//! What a session keeps while its client is away, and what is sent again when it comes back.

use std::time::{Duration, Instant};

use broker::{Config, Message, QoS};

use crate::bench::{Bench, Connect, in_time, publish, publish_with};
use crate::{away, connack_properties, leave, persistent, publish_acknowledged};

in_both_versions!(
    session_present_says_whether_there_was_one,
    a_clean_start_forgets_everything,
    what_was_not_acknowledged_is_sent_again_with_dup_in_order,
    after_pubrec_only_pubrel_is_sent_again,
    a_qos_2_message_is_not_taken_twice_over_a_reconnect,
    messages_wait_for_a_client_that_is_away,
    the_queue_of_a_client_that_is_away_is_bounded,
    a_refused_login_does_not_touch_the_session,
);

/// 3.1.1: MQTT-3.2.2-1, -2, -3. 5: MQTT-3.2.2-2, -3.
async fn session_present_says_whether_there_was_one(version: u8) {
    let mut bench = Bench::new().await;
    let (peer, present) = persistent(&bench, version, "P1").await;
    assert!(!present);
    leave(&mut bench, peer, "P1").await;
    let (peer, present) = persistent(&bench, version, "P1").await;
    assert!(present);
    leave(&mut bench, peer, "P1").await;
    let clean = Connect {
        protocol: version,
        ..Connect::default()
    };
    let (peer, connack) = bench.connect(&clean).await;
    assert_eq!(connack[2], 0);
    leave(&mut bench, peer, "P1").await;
    let (_peer, present) = persistent(&bench, version, "P1").await;
    assert!(!present, "a clean session ends with its connection");
}

/// 3.1.1: MQTT-3.1.2-6. 5: MQTT-3.1.2-4.
async fn a_clean_start_forgets_everything(version: u8) {
    let mut bench = Bench::new().await;
    away(&mut bench, version, "P1", "open/#", 1).await;
    let mut publisher = bench.client(version, "P2").await;
    publish_acknowledged(&mut publisher, version, 0, "open/x", "waits", b"").await;
    let mut peer = bench.client(version, "P1").await;
    publish_acknowledged(&mut publisher, version, 0, "open/x", "live", b"").await;
    peer.ping().await;
}

/// 3.1.1: MQTT-4.4.0-1, MQTT-3.3.1-1, MQTT-4.6.0-1. 5: the same.
async fn what_was_not_acknowledged_is_sent_again_with_dup_in_order(version: u8) {
    let mut bench = Bench::new().await;
    let (mut peer, _) = persistent(&bench, version, "P1").await;
    peer.subscribe(version, "open/#", 2).await;
    let mut publisher = bench.client(version, "P2").await;
    let mut sent = Vec::new();
    for (n, qos) in [(1, 1), (2, 2), (3, 1)] {
        publisher
            .send(&publish(version, qos, n, "open/x", &n.to_string()))
            .await;
        publisher.packet().await;
        sent.push(peer.packet().await);
        assert_eq!(sent.last(), Some(&publish(version, qos, n, "open/x", &n.to_string())));
    }
    for _ in 0..2 {
        leave(&mut bench, peer, "P1").await;
        publish_acknowledged(&mut publisher, version, 0, "open/x", "new", b"").await;
        (peer, _) = persistent(&bench, version, "P1").await;
        for before in &sent {
            let mut again = before.clone();
            again[0] |= 0x08;
            assert_eq!(peer.packet().await, again);
        }
        // What is new comes behind; the next time round it is one of those that are sent again.
        let id = u16::try_from(sent.len()).unwrap() + 1;
        let new = publish(version, 1, id, "open/x", "new");
        assert_eq!(peer.packet().await, new);
        sent.push(new);
    }
}

/// 3.1.1: MQTT-4.3.3-1. 5: MQTT-4.3.3-6, MQTT-4.4.0-1.
async fn after_pubrec_only_pubrel_is_sent_again(version: u8) {
    let mut bench = Bench::new().await;
    let (mut peer, _) = persistent(&bench, version, "P1").await;
    peer.subscribe(version, "down/P1/#", 2).await;
    let message = Message::new("down/P1/x", "x")
        .qos(QoS::ExactlyOnce)
        .keep_while_offline();
    bench.handle.publish_to("P1", message).unwrap();
    assert_eq!(peer.packet().await[0], 0x34);
    peer.send(b"\x50\x02\x00\x01").await;
    assert_eq!(peer.packet().await, b"\x62\x02\x00\x01");
    leave(&mut bench, peer, "P1").await;
    let (mut peer, _) = persistent(&bench, version, "P1").await;
    assert_eq!(peer.packet().await, b"\x62\x02\x00\x01");
    peer.send(b"\x70\x02\x00\x01").await;
    peer.ping().await;
    leave(&mut bench, peer, "P1").await;
    let (mut peer, _) = persistent(&bench, version, "P1").await;
    peer.ping().await;
}

/// 3.1.1: MQTT-4.3.3-2, 3.1.2.4. 5: MQTT-4.3.3-10, 4.1.0: packet ids of QoS 2 are part of the session.
async fn a_qos_2_message_is_not_taken_twice_over_a_reconnect(version: u8) {
    let mut bench = Bench::new().await;
    let (mut peer, _) = persistent(&bench, version, "P1").await;
    peer.send(&publish(version, 2, 5, "up/P1/x", "once")).await;
    assert_eq!(peer.packet().await, b"\x50\x02\x00\x05");
    leave(&mut bench, peer, "P1").await;
    let (mut peer, _) = persistent(&bench, version, "P1").await;
    peer.send(&publish_with(version, 0x0C, 5, "up/P1/x", "once", b"")).await;
    assert_eq!(peer.packet().await, b"\x50\x02\x00\x05");
    peer.send(b"\x62\x02\x00\x05").await;
    assert_eq!(peer.packet().await, b"\x70\x02\x00\x05");
    assert_eq!(bench.delivered().await.payload, "once");
    bench.no_more_delivered();
}

/// 3.1.1: MQTT-3.1.2-5. 5: 4.1.0, MQTT-4.5.0-1. Messages of QoS 0 are not kept, which both allow.
async fn messages_wait_for_a_client_that_is_away(version: u8) {
    let mut bench = Bench::with(Config {
        queue_messages_max: 2,
        ..Config::default()
    })
    .await;
    away(&mut bench, version, "P1", "open/#", 2).await;
    let mut publisher = bench.client(version, "P2").await;
    publisher.send(&publish(version, 0, 0, "open/x", "0")).await;
    publisher.send(&publish(version, 1, 1, "open/x", "1")).await;
    publisher.packet().await;
    publisher.send(&publish(version, 2, 2, "open/x", "2")).await;
    publisher.packet().await;
    // One more than the queue holds: once it is counted, all before it have been seen to.
    publish_acknowledged(&mut publisher, version, 0, "open/x", "3", b"").await;
    in_time("the last is counted", async {
        while bench.handle.stats().queue_full < 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let (mut peer, present) = persistent(&bench, version, "P1").await;
    assert!(present);
    assert_eq!(peer.packet().await, publish(version, 1, 1, "open/x", "1"));
    assert_eq!(peer.packet().await, publish(version, 2, 2, "open/x", "2"));
    peer.ping().await;
}

/// 3.1.1 and 5, 4.1: the session may be bounded by the server's resources; what is dropped is counted.
async fn the_queue_of_a_client_that_is_away_is_bounded(version: u8) {
    for config in [
        Config {
            queue_messages_max: 3,
            ..Config::default()
        },
        Config {
            // Topic and payload of one are 15 bytes.
            queue_bytes_max: 50,
            ..Config::default()
        },
    ] {
        let mut bench = Bench::with(config).await;
        away(&mut bench, version, "P1", "open/#", 1).await;
        let mut publisher = bench.client(version, "P2").await;
        for n in 0..6 {
            publish_acknowledged(&mut publisher, version, 0, "open/x", &format!("message-{n}"), b"").await;
        }
        in_time("the last three are counted", async {
            while bench.handle.stats().queue_full < 3 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let (mut peer, _) = persistent(&bench, version, "P1").await;
        for n in 0..3u16 {
            assert_eq!(
                peer.packet().await,
                publish(version, 1, n + 1, "open/x", &format!("message-{n}"))
            );
        }
        peer.ping().await;
        assert_eq!(bench.handle.stats().queue_full, 3);
    }
}

/// 3.1.1: MQTT-3.1.4-5. 5: MQTT-3.1.4-6.
async fn a_refused_login_does_not_touch_the_session(version: u8) {
    let mut bench = Bench::new().await;
    away(&mut bench, version, "P1", "open/#", 1).await;
    let mut stranger = bench.raw().await;
    let connect = Connect {
        protocol: version,
        password: "guess",
        ..Connect::default()
    };
    stranger.send(&connect.bytes()).await;
    stranger.packet().await;
    stranger.expect_closed().await;
    let (_peer, present) = persistent(&bench, version, "P1").await;
    assert!(present);
}

/// 3.1.1 has no expiry: 3.1.2.4 lets the server end a session by its own rule; it does after `session_expiry_max`.
#[tokio::test]
async fn a_session_of_3_1_1_ends_after_the_longest_expiry() {
    let mut bench = Bench::with(Config {
        session_expiry_max: Duration::from_millis(200),
        ..Config::default()
    })
    .await;
    away(&mut bench, 4, "P1", "open/#", 1).await;
    in_time("the session's end", async {
        while bench.handle.stats().sessions > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let (_peer, present) = persistent(&bench, 4, "P1").await;
    assert!(!present);
}

/// 5: 3.1.2.11.2, MQTT-3.1.2-23, MQTT-3.14.2-1, -2 and 3.2.2.3.2: asked for, lowered and told, changed when leaving.
#[tokio::test]
async fn session_expiry_is_asked_for_lowered_and_changed() {
    let mut bench = Bench::with(Config {
        session_expiry_max: Duration::from_secs(100),
        ..Config::default()
    })
    .await;
    let connect = |properties| Connect {
        protocol: 5,
        clean: false,
        properties,
        ..Connect::default()
    };
    // None asked for: it ends with the connection.
    let (peer, _) = bench.connect(&connect(b"")).await;
    leave(&mut bench, peer, "P1").await;
    let (mut peer, connack) = bench.connect(&connect(b"\x11\xFF\xFF\xFF\xFF")).await;
    assert_eq!(connack[2], 0);
    assert_eq!(connack_properties(&connack)[&0x11], 100u32.to_be_bytes());
    // Shortened to nothing when leaving.
    peer.send(b"\xE0\x07\x00\x05\x11\x00\x00\x00\x00").await;
    peer.expect_closed().await;
    bench.cause_for("P1").await;
    let (mut peer, connack) = bench.connect(&connect(b"\x11\x00\x00\x00\x00")).await;
    assert_eq!(connack[2], 0);
    assert!(!connack_properties(&connack).contains_key(&0x11), "it is as asked for");
    // From nothing it cannot be raised.
    peer.send(b"\xE0\x07\x00\x05\x11\x00\x00\x00\x3C").await;
    peer.expect_disconnect(5, 0x82).await;
    // One second, and then it is over.
    bench.cause_for("P1").await;
    let (mut peer, _) = bench.connect(&connect(b"\x11\x00\x00\x00\x3C")).await;
    let left = Instant::now();
    peer.send(b"\xE0\x07\x00\x05\x11\x00\x00\x00\x01").await;
    peer.expect_closed().await;
    bench.cause_for("P1").await;
    in_time("the session's end", async {
        while bench.handle.stats().sessions > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert!(left.elapsed() >= Duration::from_secs(1), "{:?}", left.elapsed());
}
