//! What outlives a socket: queues, repetitions, retained messages, wills, expiry; and what the program does to clients.

use std::time::{Duration, Instant};

use broker::{Config, DisconnectCause, Identity, Message, PublishError, QoS, Sent};

use crate::bench::{Bench, Connect, in_time, publish_with};

fn command(payload: &'static str) -> Message {
    Message::new("down/P1/command", payload).qos(QoS::AtLeastOnce)
}

async fn persistent(bench: &Bench, protocol: u8) -> (crate::bench::Raw<tokio::net::TcpStream>, bool) {
    // Session expiry: one hour.
    let connect = Connect {
        protocol,
        clean: false,
        properties: b"\x11\x00\x00\x0E\x10",
        ..Connect::default()
    };
    let (raw, connack) = bench.connect(&connect).await;
    (raw, connack[2] == 1)
}

#[tokio::test]
async fn a_message_goes_straight_to_one_client() {
    let bench = Bench::new().await;
    for protocol in [4u8, 5] {
        let mut raw = bench.client(protocol, "P1").await;
        let mut other = bench.client(protocol, "P1~tool").await;
        raw.subscribe(protocol, "down/P1/#", 1).await;
        other.subscribe(protocol, "down/P1/#", 1).await;
        assert_eq!(bench.handle.publish_to("P1", command("go")), Ok(Sent::Queued));
        assert_eq!(
            raw.packet().await,
            publish_with(protocol, 0x02, 1, "down/P1/command", "go", &[])
        );
        raw.send(b"\x40\x02\x00\x01").await;
        let twice = Message::new("down/P1/ack", "x").qos(QoS::ExactlyOnce);
        bench.handle.publish_to("P1", twice).unwrap();
        assert_eq!(
            raw.packet().await,
            publish_with(protocol, 0x02, 2, "down/P1/ack", "x", &[]),
            "granted QoS 1"
        );
        other.ping().await;
    }
}

#[tokio::test]
async fn what_cannot_be_sent_says_why() {
    let mut bench = Bench::new().await;
    assert_eq!(
        bench.handle.publish_to("P1", command("go")),
        Err(PublishError::NoSession)
    );
    let (mut raw, _) = persistent(&bench, 4).await;
    assert_eq!(
        bench.handle.publish_to("P1", command("go")),
        Err(PublishError::NotSubscribed)
    );
    raw.subscribe(4, "down/P1/#", 1).await;
    assert_eq!(
        bench.handle.publish_to("P1", Message::new("down/+/x", "")),
        Err(PublishError::InvalidTopic)
    );
    assert!(bench.handle.is_connected("P1"));
    drop(raw);
    bench.cause_for("P1").await;
    assert!(!bench.handle.is_connected("P1"));
    assert_eq!(
        bench.handle.publish_to("P1", command("go")),
        Err(PublishError::NotConnected)
    );
    let qos_0 = Message::new("down/P1/x", "x").keep_while_offline();
    assert_eq!(bench.handle.publish_to("P1", qos_0), Err(PublishError::NotConnected));
}

#[tokio::test]
async fn a_session_keeps_what_may_wait_and_repeats_with_dup() {
    let mut bench = Bench::new().await;
    for protocol in [4, 5] {
        let (mut raw, present) = persistent(&bench, protocol).await;
        assert!(!present);
        raw.subscribe(protocol, "down/P1/#", 1).await;
        bench
            .handle
            .publish_to("P1", command("first").keep_while_offline())
            .unwrap();
        let first = raw.packet().await;
        assert_eq!(first[0], 0x32);
        drop(raw);
        bench.cause_for("P1").await;
        bench
            .handle
            .publish_to("P1", command("second").keep_while_offline())
            .unwrap();
        let (mut raw, present) = persistent(&bench, protocol).await;
        assert!(present);
        let mut repeated = first.clone();
        repeated[0] = 0x3A;
        assert_eq!(raw.packet().await, repeated);
        assert_eq!(
            raw.packet().await,
            publish_with(protocol, 0x02, 2, "down/P1/command", "second", &[])
        );
        raw.send(b"\x40\x02\x00\x01\x40\x02\x00\x02").await;
        raw.ping().await;
        // A clean session forgets.
        drop(raw);
        bench.cause_for("P1").await;
        bench
            .handle
            .publish_to("P1", command("third").keep_while_offline())
            .unwrap();
        let mut clean = bench.client(protocol, "P1").await;
        clean.ping().await;
        assert_eq!(
            bench.handle.publish_to("P1", command("fourth")),
            Err(PublishError::NotSubscribed)
        );
        drop(clean);
        bench.cause_for("P1").await;
    }
}

#[tokio::test]
async fn commands_are_not_repeated_after_a_reconnect() {
    let mut bench = Bench::new().await;
    let (mut raw, _) = persistent(&bench, 4).await;
    raw.subscribe(4, "down/P1/#", 1).await;
    bench.handle.publish_to("P1", command("start")).unwrap();
    raw.packet().await;
    drop(raw);
    bench.cause_for("P1").await;
    let (mut raw, present) = persistent(&bench, 4).await;
    assert!(present);
    raw.ping().await;
}

#[tokio::test]
async fn a_retained_message_comes_with_the_subscription() {
    let bench = Bench::new().await;
    let price = |payload: &'static str| Message::new("down/P1/price", payload).qos(QoS::AtLeastOnce).retain();
    assert_eq!(bench.handle.publish_to("P1", price("0.50")), Ok(Sent::Retained));
    assert_eq!(bench.handle.publish_to("P1", price("0.60")), Ok(Sent::Retained));
    for protocol in [4, 5] {
        let mut raw = bench.client(protocol, "P1").await;
        raw.subscribe(protocol, "down/P1/#", 1).await;
        assert_eq!(
            raw.packet().await,
            publish_with(protocol, 0x03, 1, "down/P1/price", "0.60", &[])
        );
        raw.send(b"\x40\x02\x00\x01").await;
        assert_eq!(bench.handle.publish_to("P1", price("0.70")), Ok(Sent::Queued));
        let live = raw.packet().await;
        assert_eq!(
            live,
            publish_with(protocol, 0x02, 2, "down/P1/price", "0.70", &[]),
            "live ones are not retained"
        );
        bench.handle.publish_to("P1", price("0.60")).unwrap();
        raw.packet().await;
    }
    // MQTT 5: only if new, never, and as published.
    let mut raw = bench.client(5, "P1").await;
    raw.subscribe(5, "down/P1/#", 0x20).await;
    raw.subscribe(5, "down/P1/+", 0x10).await;
    assert_eq!(raw.packet().await[0], 0x31);
    raw.subscribe(5, "down/P1/+", 0x18).await;
    raw.ping().await;
    bench.handle.publish_to("P1", price("0.80")).unwrap();
    assert_eq!(raw.packet().await[0], 0x31, "retain as published");
    assert_eq!(bench.handle.publish_to("P1", price("")), Ok(Sent::Queued));
    raw.packet().await;
    assert_eq!(bench.handle.stats().retained, 0);
}

#[tokio::test]
async fn retained_messages_are_capped_and_go_to_those_who_are_there_all_the_same() {
    let bench = Bench::with(Config {
        retained_messages_max: 1,
        ..Config::default()
    })
    .await;
    assert!(bench.handle.publish_shared(Message::new("a", "x").retain()).is_ok());
    assert_eq!(
        bench.handle.publish_shared(Message::new("b", "x").retain()),
        Err(PublishError::RetainedFull)
    );
    assert_eq!(bench.handle.stats().retained_full, 1);
    let price = Message::new("down/P1/price", "0.50").qos(QoS::AtLeastOnce).retain();
    assert_eq!(
        bench.handle.publish_to("P1", price.clone()),
        Err(PublishError::RetainedFull)
    );
    let mut raw = bench.client(4, "P1").await;
    raw.subscribe(4, "down/P1/#", 1).await;
    assert_eq!(bench.handle.publish_to("P1", price), Ok(Sent::Queued));
    assert_eq!(
        raw.packet().await,
        publish_with(4, 0x02, 1, "down/P1/price", "0.50", &[])
    );
    raw.send(b"\x40\x02\x00\x01").await;
    raw.subscribe(4, "open/#", 0).await;
    let shared = bench.handle.publish_shared(Message::new("open/x", "y").retain());
    assert_eq!(shared, Err(PublishError::RetainedFull));
    assert_eq!(raw.packet().await, publish_with(4, 0x00, 0, "open/x", "y", &[]));
    assert_eq!(bench.handle.stats().retained_full, 4);
}

#[tokio::test]
async fn an_expired_message_is_not_delivered() {
    let mut bench = Bench::new().await;
    let (mut raw, _) = persistent(&bench, 5).await;
    raw.subscribe(5, "down/P1/#", 1).await;
    drop(raw);
    bench.cause_for("P1").await;
    bench
        .handle
        .publish_to("P1", command("late").keep_while_offline().expiry(Duration::ZERO))
        .unwrap();
    bench
        .handle
        .publish_to(
            "P1",
            command("fresh").keep_while_offline().expiry(Duration::from_secs(60)),
        )
        .unwrap();
    let (mut raw, _) = persistent(&bench, 5).await;
    let packet = raw.packet().await;
    assert!(packet.ends_with(b"fresh"));
    assert!(
        packet.windows(4).any(|w| w == [0x02, 0, 0, 0]),
        "the rest of its life is told: {packet:02x?}"
    );
    raw.ping().await;
    assert_eq!(bench.handle.stats().expired, 1);
}

#[tokio::test]
async fn a_will_is_delivered_after_a_drop_and_not_after_disconnect() {
    let mut bench = Bench::new().await;
    for protocol in [4, 5] {
        let connect = Connect {
            protocol,
            will: Some(("up/P1/gone", "bye", 1)),
            ..Connect::default()
        };
        let (mut raw, _) = bench.connect(&connect).await;
        raw.send(b"\xE0\x00").await;
        raw.expect_closed().await;
        bench.no_more_delivered();
        let (raw, _) = bench.connect(&connect).await;
        drop(raw);
        let will = bench.delivered().await;
        assert_eq!((&*will.topic, &will.payload[..]), ("up/P1/gone", &b"bye"[..]));
    }
    let connect = Connect {
        protocol: 5,
        will: Some(("up/P1/gone", "bye", 1)),
        ..Connect::default()
    };
    let (mut raw, _) = bench.connect(&connect).await;
    raw.send(b"\xE0\x01\x04").await;
    raw.expect_closed().await;
    bench.delivered().await;
    assert_eq!(bench.cause_for("P1").await, DisconnectCause::Clean);
    assert_eq!(bench.handle.stats().wills_published, 3);
}

#[tokio::test]
async fn a_delayed_will_is_called_off_by_a_return_and_due_when_the_session_ends() {
    let mut bench = Bench::new().await;
    // Will delay 1 h: due when the session ends; but not if the client is back before.
    let ends_after = |properties| Connect {
        protocol: 5,
        clean: false,
        properties,
        will: Some(("up/P1/gone", "bye", 0)),
        will_properties: b"\x18\x00\x00\x0E\x10",
        ..Connect::default()
    };
    let (raw, _) = bench.connect(&ends_after(b"\x11\x00\x00\x00\x3C")).await;
    drop(raw);
    bench.cause_for("P1").await;
    let (raw, connack) = bench.connect(&ends_after(b"\x11\x00\x00\x00\x01")).await;
    assert_eq!(connack[2], 1);
    bench.no_more_delivered();
    let left = Instant::now();
    drop(raw);
    bench.cause_for("P1").await;
    assert_eq!(&*bench.delivered().await.topic, "up/P1/gone");
    assert!(left.elapsed() >= Duration::from_secs(1), "{:?}", left.elapsed());
    assert_eq!(bench.handle.stats().sessions, 0);
}

#[tokio::test]
async fn a_session_ends_with_its_expiry() {
    let mut bench = Bench::with(Config {
        session_expiry_max: Duration::from_millis(100),
        ..Config::default()
    })
    .await;
    let (raw, _) = persistent(&bench, 4).await;
    drop(raw);
    bench.cause_for("P1").await;
    in_time("the session's end", async {
        while bench.handle.stats().sessions > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let (_raw, present) = persistent(&bench, 4).await;
    assert!(!present);
}

#[tokio::test]
async fn the_program_can_disconnect_a_client_and_end_an_identity() {
    let mut bench = Bench::new().await;
    assert!(!bench.handle.disconnect("P1", DisconnectCause::AdministrativeAction));
    let (mut raw, _) = persistent(&bench, 5).await;
    assert!(bench.handle.disconnect("P1", DisconnectCause::AdministrativeAction));
    raw.expect_disconnect(5, 0x98).await;
    assert_eq!(bench.cause_for("P1").await, DisconnectCause::AdministrativeAction);
    assert_eq!(bench.handle.stats().sessions, 1, "the session lives on");
    let mut tool = bench.client(5, "P1~tool").await;
    assert_eq!(bench.handle.kick_identity(&Identity::new("P1")), 2);
    tool.expect_disconnect(5, 0x98).await;
    in_time("the sessions' end", async {
        while bench.handle.stats().sessions > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn shutdown_tells_everybody_and_waits() {
    let mut bench = Bench::new().await;
    let mut v5 = bench.client(5, "P1").await;
    let mut v4 = bench.client(4, "P2").await;
    let silent = bench.raw().await;
    v4.send(&publish_with(4, 0x02, 9, "up/P2/x", "{}", &[])).await;
    bench.delivered().await;
    let clients = async {
        v5.expect_disconnect(5, 0x8B).await;
        assert_eq!(v4.packet().await, b"\x40\x02\x00\x09", "what is acknowledged goes out");
        v4.expect_closed().await;
        drop((v4, v5, silent));
    };
    let (all_gone, ()) = tokio::join!(bench.broker.shutdown(Duration::from_secs(5)), clients);
    assert!(all_gone);
    assert_eq!(bench.handle.stats().connected, 0);
    let refused = tokio::net::TcpStream::connect(bench.address).await;
    if let Ok(stream) = refused {
        crate::bench::Raw::new(stream).expect_closed().await;
    }
}
