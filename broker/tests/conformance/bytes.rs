//! Bytes that broke other brokers, and any others: the connection that sent them ends, nobody else notices.

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use crate::bench::{Bench, publish, publish_with};
use crate::{publish_acknowledged, unsubscribe};

in_both_versions!(
    an_unsuback_from_a_client_ends_its_connection_alone,
    unsubscribing_what_is_not_there_is_answered,
    random_streams_harm_nobody_else,
);

/// `b0 01 9d` ended the task, before and after login.
async fn an_unsuback_from_a_client_ends_its_connection_alone(version: u8) {
    let bench = Bench::new().await;
    let mut bystander = bench.client(version, "P2").await;
    let mut stranger = bench.raw().await;
    stranger.send(b"\xB0\x01\x9D").await;
    stranger.expect_closed().await;
    let mut peer = bench.client(version, "P1").await;
    peer.send(b"\xB0\x01\x9D").await;
    peer.expect_disconnect(version, 0x82).await;
    bystander.ping().await;
    bench.client(version, "P1").await.ping().await;
}

/// A user property towards 3.1.1 ended the task; the reconnect poisoned a lock and nobody could log in any more.
#[tokio::test]
async fn a_user_property_towards_3_1_1_ends_nothing() {
    let bench = Bench::new().await;
    let mut publisher = bench.client(5, "P2").await;
    for _ in 0..3 {
        let mut peer = bench.client(4, "P1").await;
        peer.subscribe(4, "open/#", 1).await;
        publish_acknowledged(&mut publisher, 5, 0x01, "open/x", "x", b"\x26\x00\x01k\x00\x01v").await;
        let flags = peer.packet().await[0];
        assert_eq!(flags & 0xF6, 0x32);
    }
}

/// A subscriber of `$share` that left with messages under way ended the router.
#[tokio::test]
async fn a_shared_subscriber_that_leaves_takes_nothing_with_it() {
    let mut bench = Bench::new().await;
    let mut publisher = bench.client(5, "P2").await;
    for _ in 0..3 {
        let (mut peer, _) = crate::persistent(&bench, 5, "P1").await;
        peer.send(&crate::bench::subscribe(5, 1, &[("$share/g/open/x", 1), ("open/x", 1)]))
            .await;
        assert!(peer.packet().await.ends_with(&[0x9E, 1]));
        publish_acknowledged(&mut publisher, 5, 0, "open/x", "x", b"").await;
        assert_eq!(peer.packet().await[0] & 0xF0, 0x30);
        crate::leave(&mut bench, peer, "P1").await;
        let clean = bench.client(5, "P1").await;
        crate::leave(&mut bench, clean, "P1").await;
    }
    let mut peer = bench.client(5, "P1").await;
    peer.subscribe(5, "open/x", 1).await;
    publish_acknowledged(&mut publisher, 5, 0, "open/x", "alive", b"").await;
    assert_eq!(peer.packet().await, publish(5, 1, 1, "open/x", "alive"));
}

/// An unknown filter got no UNSUBACK.
async fn unsubscribing_what_is_not_there_is_answered(version: u8) {
    let bench = Bench::new().await;
    let mut peer = bench.client(version, "P1").await;
    peer.send(&unsubscribe(version, 3, &["never/there"])).await;
    assert_eq!(
        peer.packet().await[..4],
        if version == 5 {
            *b"\xB0\x04\x00\x03"
        } else {
            *b"\xB0\x02\x00\x03"
        }
    );
}

/// Any bytes behind a login, in packets that look right and in ones that do not: 150 streams of a fixed seed.
async fn random_streams_harm_nobody_else(version: u8) {
    let bench = Bench::with(broker::Config {
        packet_rate: None,
        login_rate: None,
        partial_packet_timeout: std::time::Duration::from_millis(100),
        ..broker::Config::default()
    })
    .await;
    let mut bystander = bench.client(version, "P2").await;
    bystander.subscribe(version, "open/steady", 1).await;
    let mut runner = TestRunner::deterministic();
    let first = proptest::sample::select(vec![
        0x10u8, 0x30, 0x31, 0x32, 0x33, 0x34, 0x3A, 0x40, 0x50, 0x62, 0x70, 0x82, 0xA2, 0xC0, 0xE0, 0xF0,
    ]);
    let framed = (first, proptest::collection::vec(proptest::num::u8::ANY, 0..40))
        .prop_map(|(first, body)| crate::bench::packet(first, &body));
    let loose = proptest::collection::vec(proptest::num::u8::ANY, 1..40);
    let stream = proptest::collection::vec(proptest::prop_oneof![4 => framed, 1 => loose], 1..6);
    for round in 0..150u16 {
        let bytes = stream.new_tree(&mut runner).unwrap().current().concat();
        let mut peer = bench.client(version, "P1").await;
        peer.send(&bytes).await;
        peer.send(b"\xE0\x00").await;
        while peer.next().await.is_some() {}
        if round % 25 == 0 {
            publish_acknowledged(&mut bystander, version, 0, "open/steady", "x", b"").await;
            let id = round / 25 + 1;
            assert_eq!(
                bystander.packet().await,
                publish_with(version, 0x02, id, "open/steady", "x", b"")
            );
            bystander.send(&[0x40, 2, 0, id as u8]).await;
        }
    }
    bystander.ping().await;
}
