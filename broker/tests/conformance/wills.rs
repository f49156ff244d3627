//! Wills: published when a connection ends without DISCONNECT, after their delay, and once.

use std::time::{Duration, Instant};

use broker::{Config, DisconnectCause};

use crate::Peer;
use crate::bench::{Bench, Connect, publish, publish_with};

in_both_versions!(
    a_dropped_connection_publishes_the_will,
    a_disconnect_discards_the_will,
    a_keep_alive_time_out_publishes_the_will,
    a_take_over_publishes_the_will,
    a_protocol_error_publishes_the_will,
    a_retained_will_is_retained,
    a_will_is_published_once,
    a_shutdown_publishes_the_wills,
);

fn with_will(version: u8) -> Connect<'static> {
    Connect {
        protocol: version,
        client_id: "P2",
        will: Some(("open/gone", "bye", 1)),
        ..Connect::default()
    }
}

/// A subscriber that sees the will, and the client that leaves one.
async fn witness_and_client(bench: &Bench, version: u8, connect: &Connect<'_>) -> (Peer, Peer) {
    let mut witness = bench.client(version, "P1").await;
    witness.subscribe(version, "open/#", 1).await;
    let (client, _) = bench.connect(connect).await;
    (witness, client)
}

/// 3.1.1: MQTT-3.1.2-8, MQTT-3.1.2-16. 5: MQTT-3.1.2-8, MQTT-3.1.2-14.
async fn a_dropped_connection_publishes_the_will(version: u8) {
    let bench = Bench::new().await;
    let (mut witness, client) = witness_and_client(&bench, version, &with_will(version)).await;
    drop(client);
    assert_eq!(witness.packet().await, publish(version, 1, 1, "open/gone", "bye"));
    assert_eq!(bench.handle.stats().retained, 0);
}

/// 3.1.1: MQTT-3.1.2-10, MQTT-3.14.4-3. 5: MQTT-3.1.2-10, MQTT-3.14.4-3.
async fn a_disconnect_discards_the_will(version: u8) {
    let mut bench = Bench::new().await;
    let (mut witness, mut client) = witness_and_client(&bench, version, &with_will(version)).await;
    client.send(b"\xE0\x00").await;
    client.expect_closed().await;
    assert_eq!(bench.cause_for("P2").await, DisconnectCause::Clean);
    witness.ping().await;
    assert_eq!(bench.handle.stats().wills_published, 0);
}

/// 3.1.1: MQTT-3.1.2-24, -8. 5: MQTT-3.1.2-22, -8.
async fn a_keep_alive_time_out_publishes_the_will(version: u8) {
    let bench = Bench::new().await;
    let connect = Connect {
        keep_alive_s: 1,
        ..with_will(version)
    };
    let (mut witness, mut client) = witness_and_client(&bench, version, &connect).await;
    client.expect_disconnect(version, 0x8D).await;
    assert_eq!(witness.packet().await, publish(version, 1, 1, "open/gone", "bye"));
}

/// 3.1.1: MQTT-3.1.4-2, MQTT-3.1.2-8. 5: MQTT-3.1.4-3, 3.1.2.5.
async fn a_take_over_publishes_the_will(version: u8) {
    let bench = Bench::new().await;
    let (mut witness, mut client) = witness_and_client(&bench, version, &with_will(version)).await;
    let mut second = bench.client(version, "P2").await;
    client.expect_disconnect(version, 0x8E).await;
    assert_eq!(witness.packet().await, publish(version, 1, 1, "open/gone", "bye"));
    second.ping().await;
}

/// 3.1.1: MQTT-3.1.2-8, "the Server closes the Network Connection because of a protocol error". 5: MQTT-3.1.2-8.
async fn a_protocol_error_publishes_the_will(version: u8) {
    let bench = Bench::new().await;
    let (mut witness, mut client) = witness_and_client(&bench, version, &with_will(version)).await;
    client.send(b"\xD0\x00").await;
    client.expect_disconnect(version, 0x82).await;
    assert_eq!(witness.packet().await, publish(version, 1, 1, "open/gone", "bye"));
}

/// 3.1.1: MQTT-3.1.2-17. 5: MQTT-3.1.2-15.
async fn a_retained_will_is_retained(version: u8) {
    let bench = Bench::new().await;
    let connect = Connect {
        // The third bit above the QoS is Will Retain.
        will: Some(("open/gone", "bye", 0x04)),
        ..with_will(version)
    };
    let (mut witness, client) = witness_and_client(&bench, version, &connect).await;
    drop(client);
    assert_eq!(witness.packet().await, publish(version, 0, 0, "open/gone", "bye"));
    let mut late = bench.client(version, "P3").await;
    late.subscribe(version, "open/gone", 0).await;
    assert_eq!(
        late.packet().await,
        publish_with(version, 0x01, 0, "open/gone", "bye", b"")
    );
}

/// 3.1.1: MQTT-3.1.2-10. 5: MQTT-3.1.2-10: it is removed once it has been published.
async fn a_will_is_published_once(version: u8) {
    let mut bench = Bench::new().await;
    let connect = Connect {
        clean: false,
        properties: b"\x11\x00\x00\x00\x3C",
        ..with_will(version)
    };
    let (mut witness, client) = witness_and_client(&bench, version, &connect).await;
    drop(client);
    assert_eq!(witness.packet().await, publish(version, 1, 1, "open/gone", "bye"));
    bench.cause_for("P2").await;
    // The session is taken up without a will, and dropped.
    let again = Connect { will: None, ..connect };
    let (client, connack) = bench.connect(&again).await;
    assert_eq!(connack[2], 1);
    drop(client);
    bench.cause_for("P2").await;
    witness.ping().await;
    assert_eq!(bench.handle.stats().wills_published, 1);
}

/// 3.1.1 and 5, 3.1.2.5: the server ends the connection, so the will is due; the gatekeeper gets it before the end.
async fn a_shutdown_publishes_the_wills(version: u8) {
    let mut bench = Bench::new().await;
    let connect = Connect {
        will: Some(("up/P2/gone", "bye", 1)),
        ..with_will(version)
    };
    let (mut client, _) = bench.connect(&connect).await;
    let goodbye = async {
        client.expect_disconnect(version, 0x8B).await;
        drop(client);
    };
    let (all_gone, ()) = tokio::join!(bench.broker.shutdown(Duration::from_secs(5)), goodbye);
    assert!(all_gone);
    assert_eq!(bench.delivered().await.payload, "bye");
}

/// 5: 3.14.2.1: DISCONNECT 0x04 asks for the will.
#[tokio::test]
async fn a_disconnect_with_will_publishes_it() {
    let bench = Bench::new().await;
    let (mut witness, mut client) = witness_and_client(&bench, 5, &with_will(5)).await;
    client.send(b"\xE0\x01\x04").await;
    client.expect_closed().await;
    assert_eq!(witness.packet().await, publish(5, 1, 1, "open/gone", "bye"));
}

/// 5: MQTT-3.1.3-9, 3.1.3.2.2.
#[tokio::test]
async fn a_delayed_will_waits_and_is_called_off_by_a_return() {
    let mut bench = Bench::new().await;
    let delayed = |will_properties| Connect {
        clean: false,
        properties: b"\x11\x00\x00\x00\x3C",
        will_properties,
        ..with_will(5)
    };
    let (mut witness, client) = witness_and_client(&bench, 5, &delayed(b"\x18\x00\x00\x00\x3C")).await;
    drop(client);
    bench.cause_for("P2").await;
    // Back in time: nothing; the delay begins anew with the next drop, as long as it is said to be now.
    let (client, connack) = bench.connect(&delayed(b"\x18\x00\x00\x00\x01")).await;
    assert_eq!(connack[2], 1);
    let begun = Instant::now();
    drop(client);
    assert_eq!(witness.packet().await, publish(5, 1, 1, "open/gone", "bye"));
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    witness.ping().await;
    assert_eq!(bench.handle.stats().wills_published, 1);
}

/// 5: 3.1.3.2.2: at the latest when the session ends; also by its expiry, also by a clean start or take-over.
#[tokio::test]
async fn a_delayed_will_is_due_when_its_session_ends() {
    let mut bench = Bench::new().await;
    let hour = |properties| Connect {
        clean: false,
        properties,
        will_properties: b"\x18\x00\x00\x0E\x10",
        ..with_will(5)
    };
    let will = |id| publish(5, 1, id, "open/gone", "bye");
    // It ends with the connection.
    let (mut witness, client) = witness_and_client(&bench, 5, &hour(b"")).await;
    drop(client);
    assert_eq!(witness.packet().await, will(1));
    bench.cause_for("P2").await;
    // It expires.
    let (client, _) = bench.connect(&hour(b"\x11\x00\x00\x00\x01")).await;
    drop(client);
    assert_eq!(witness.packet().await, will(2));
    bench.cause_for("P2").await;
    // A clean start ends it while the client is away …
    let (client, _) = bench.connect(&hour(b"\x11\x00\x00\x00\x3C")).await;
    drop(client);
    bench.cause_for("P2").await;
    let clean = Connect {
        clean: true,
        ..hour(b"\x11\x00\x00\x00\x3C")
    };
    let (_second, _) = bench.connect(&clean).await;
    assert_eq!(witness.packet().await, will(3));
    // … and while it is there; without one, nothing is due.
    let (_third, connack) = bench.connect(&hour(b"\x11\x00\x00\x00\x3C")).await;
    assert_eq!(connack[2], 1);
    witness.ping().await;
    let (_fourth, _) = bench.connect(&clean).await;
    assert_eq!(witness.packet().await, will(4));
    assert_eq!(bench.handle.stats().wills_published, 4);
}

/// 5: 3.1.3.2, MQTT-3.3.2-17: properties of a will reach MQTT 5; 3.1.1 gets the message alone.
#[tokio::test]
async fn a_will_has_its_properties() {
    let bench = Bench::new().await;
    let mut old = bench.client(4, "P3").await;
    old.subscribe(4, "open/#", 0).await;
    let properties = b"\x01\x01\x03\x00\x01j\x08\x00\x01r\x09\x00\x01c\x26\x00\x01k\x00\x01v";
    let connect = Connect {
        will_properties: properties,
        ..with_will(5)
    };
    let (mut witness, client) = witness_and_client(&bench, 5, &connect).await;
    drop(client);
    assert_eq!(
        witness.packet().await,
        publish_with(5, 0x02, 1, "open/gone", "bye", properties)
    );
    assert_eq!(old.packet().await, publish(4, 0, 0, "open/gone", "bye"));
    old.ping().await;
}

/// 5: 3.1.3.2.4: the life of a will's message begins when it is published.
#[tokio::test]
async fn the_expiry_of_a_will_begins_with_its_publishing() {
    let bench = Bench::with(Config::default()).await;
    let connect = Connect {
        will_properties: b"\x02\x00\x00\x00\x3C",
        ..with_will(5)
    };
    let (mut witness, client) = witness_and_client(&bench, 5, &connect).await;
    drop(client);
    assert_eq!(
        witness.packet().await,
        publish_with(5, 0x02, 1, "open/gone", "bye", b"\x02\x00\x00\x00\x3C")
    );
}
