//! SUBSCRIBE and UNSUBSCRIBE: codes, matching, overlapping filters, options, identifiers.

use std::collections::BTreeSet;

use broker::{Message, QoS};

use crate::bench::{Bench, publish, publish_with, suback_code, subscribe};
use crate::{publish_acknowledged, subscribe_with_id, unsubscribe};

in_both_versions!(
    a_refused_subscription_has_its_code_and_harms_no_other,
    every_filter_has_a_code_in_the_order_of_the_filters,
    shared_subscriptions_are_refused,
    wildcards_match_as_specified,
    wildcards_do_not_match_topics_that_begin_with_a_dollar,
    overlapping_filters_of_a_message_to_one_client_give_one_copy_at_the_highest_qos,
    overlapping_shared_filters_give_a_copy_for_each_at_its_qos,
    the_same_filter_replaces_the_subscription,
    unsubscribing_ends_what_comes,
    unsubscribing_an_unknown_filter_is_answered,
    what_is_under_way_is_finished_after_unsubscribing,
    a_subscribe_without_filters_ends_the_connection,
);

/// 3.1.1: MQTT-3.9.3-2, MQTT-3.8.4-5 (0x80). 5: MQTT-3.8.4-6, MQTT-3.9.3-2 (0x87, 0x8F).
async fn a_refused_subscription_has_its_code_and_harms_no_other(version: u8) {
    let bench = Bench::new().await;
    let mut peer = bench.client(version, "P1").await;
    let codes = if version == 5 { [0x87, 0x87, 0x8F] } else { [0x80; 3] };
    let deep = format!("open{}", "/x".repeat(20));
    for (filter, code) in ["#", "$SYS/#", &deep].into_iter().zip(codes) {
        peer.send(&subscribe(version, 9, &[("down/P1/#", 1), (filter, 1)]))
            .await;
        let suback = peer.packet().await;
        assert_eq!(suback[suback.len() - 2..], [1, code], "{filter:?}");
    }
    let mut publisher = bench.client(version, "all").await;
    publish_acknowledged(&mut publisher, version, 0, "anything", "x", b"").await;
    peer.ping().await;
    bench.handle.publish_to("P1", Message::new("down/P1/x", "x")).unwrap();
    assert_eq!(peer.packet().await, publish(version, 0, 0, "down/P1/x", "x"));
}

/// 3.1.1: MQTT-3.8.4-1, -2, -4, -5, MQTT-3.9.3-1. 5: MQTT-3.8.4-1, -2, -5, -6, MQTT-3.9.3-1.
async fn every_filter_has_a_code_in_the_order_of_the_filters(version: u8) {
    let bench = Bench::new().await;
    let mut peer = bench.client(version, "P1").await;
    peer.send(&subscribe(
        version,
        0x1234,
        &[("open/a", 2), ("open/b", 0), ("open/c", 1)],
    ))
    .await;
    let expected: &[u8] = if version == 5 {
        b"\x90\x06\x12\x34\x00\x02\x00\x01"
    } else {
        b"\x90\x05\x12\x34\x02\x00\x01"
    };
    assert_eq!(peer.packet().await, expected);
}

/// 3.1.1 knows none: refused like any filter that may not be. 5: 3.2.2.3.13, 3.9.3 (0x9E), and CONNACK says so.
async fn shared_subscriptions_are_refused(version: u8) {
    let bench = Bench::new().await;
    let mut peer = bench.client(version, "all").await;
    for filter in ["$share/group/open/x", "$share/g/#"] {
        peer.send(&subscribe(version, 1, &[(filter, 1)])).await;
        let code = if version == 5 { 0x9E } else { 0x80 };
        assert_eq!(suback_code(&peer.packet().await), code);
    }
}

/// 3.1.1: MQTT-4.7.1-2, -3, MQTT-4.7.3-4. 5: the same.
async fn wildcards_match_as_specified(version: u8) {
    let bench = Bench::new().await;
    let mut publisher = bench.client(version, "all").await;
    for (filter, matching, other) in [
        (
            "sport/#",
            &["sport", "sport/", "sport/a/b"][..],
            &["sports", "Sport"][..],
        ),
        ("sport/+", &["sport/", "sport/a"], &["sport", "sport/a/b"]),
        ("+/+", &["/finance", "a/b"], &["a", "a/b/c"]),
        ("/+", &["/finance"], &["finance", "a/finance"]),
        ("#", &["a", "/", "a//b"], &[]),
        ("a/+/c", &["a//c", "a/b/c"], &["a/b/c/d", "a/c"]),
    ] {
        let mut peer = bench.client(version, "all~sub").await;
        peer.subscribe(version, filter, 0).await;
        for topic in other.iter().chain(matching) {
            publish_acknowledged(&mut publisher, version, 0, topic, "x", b"").await;
        }
        for topic in matching {
            assert_eq!(peer.packet().await, publish(version, 0, 0, topic, "x"), "{filter}");
        }
        peer.ping().await;
    }
}

/// 3.1.1: MQTT-4.7.2-1. 5: MQTT-4.7.2-1.
async fn wildcards_do_not_match_topics_that_begin_with_a_dollar(version: u8) {
    let bench = Bench::new().await;
    let mut wild = bench.client(version, "all~wild").await;
    for (id, filter) in ["#", "+/load", "+/+"].into_iter().enumerate() {
        wild.send(&subscribe(version, id as u16 + 1, &[(filter, 0)])).await;
        assert_eq!(suback_code(&wild.packet().await), 0);
    }
    let mut exact = bench.client(version, "all~exact").await;
    exact.subscribe(version, "$SYS/#", 0).await;
    let mut publisher = bench.client(version, "all").await;
    publish_acknowledged(&mut publisher, version, 0x01, "$SYS/load", "x", b"").await;
    assert_eq!(exact.packet().await, publish(version, 0, 0, "$SYS/load", "x"));
    wild.ping().await;
    // Nor do they as retained messages.
    let mut late = bench.client(version, "all~late").await;
    late.subscribe(version, "#", 0).await;
    late.ping().await;
    late.subscribe(version, "$SYS/+", 0).await;
    assert_eq!(
        late.packet().await,
        publish_with(version, 0x01, 0, "$SYS/load", "x", b"")
    );
}

/// 3.1.1: MQTT-3.3.5-1. 5: MQTT-3.3.4-2, -3: one copy carries the identifiers of all.
async fn overlapping_filters_of_a_message_to_one_client_give_one_copy_at_the_highest_qos(version: u8) {
    let bench = Bench::new().await;
    let mut peer = bench.client(version, "P1").await;
    for (n, (filter, qos)) in [("down/P1/#", 0), ("down/P1/x", 2), ("down/P1/+", 1)]
        .into_iter()
        .enumerate()
    {
        if version == 5 {
            peer.send(&subscribe_with_id(1, n as u8 + 1, filter, qos)).await;
        } else {
            peer.send(&subscribe(version, 1, &[(filter, qos)])).await;
        }
        assert_eq!(suback_code(&peer.packet().await), qos);
    }
    let message = Message::new("down/P1/x", "x").qos(QoS::ExactlyOnce);
    bench.handle.publish_to("P1", message).unwrap();
    let identifiers: &[u8] = if version == 5 { b"\x0B\x01\x0B\x02\x0B\x03" } else { b"" };
    assert_eq!(
        peer.packet().await,
        publish_with(version, 0x04, 1, "down/P1/x", "x", identifiers)
    );
    peer.ping().await;
}

/// 3.1.1: MQTT-3.3.5-1, "further copies … one for each additional matching subscription". 5: MQTT-3.3.4-2, -4, -5.
async fn overlapping_shared_filters_give_a_copy_for_each_at_its_qos(version: u8) {
    let bench = Bench::new().await;
    let mut peer = bench.client(version, "P1").await;
    let mut expected = BTreeSet::new();
    for (n, (filter, qos)) in [("open/#", 0u8), ("open/x", 2)].into_iter().enumerate() {
        let id = n as u8 + 1;
        let identifier: &[u8] = if version == 5 {
            peer.send(&subscribe_with_id(1, id, filter, qos)).await;
            &[0x0B, id]
        } else {
            peer.send(&subscribe(version, 1, &[(filter, qos)])).await;
            b""
        };
        assert_eq!(suback_code(&peer.packet().await), qos);
        expected.insert(publish_with(version, qos << 1, 1, "open/x", "x", identifier));
    }
    let mut publisher = bench.client(version, "P2").await;
    publisher.send(&publish(version, 2, 1, "open/x", "x")).await;
    let got = BTreeSet::from([peer.packet().await, peer.packet().await]);
    assert_eq!(got, expected);
    peer.ping().await;
}

/// 3.1.1: MQTT-3.8.4-3. 5: MQTT-3.8.4-3, -4: replaced, and the retained message comes again.
async fn the_same_filter_replaces_the_subscription(version: u8) {
    let bench = Bench::new().await;
    let mut publisher = bench.client(version, "P2").await;
    publish_acknowledged(&mut publisher, version, 0x01, "open/x", "kept", b"").await;
    let mut peer = bench.client(version, "P1").await;
    for (qos, id) in [(2u8, 1), (0, 0)] {
        peer.subscribe(version, "open/x", qos).await;
        let flags = 0x01 | (qos.min(1) << 1);
        assert_eq!(
            peer.packet().await,
            publish_with(version, flags, id, "open/x", "kept", b"")
        );
    }
    publish_acknowledged(&mut publisher, version, 0, "open/x", "live", b"").await;
    assert_eq!(
        peer.packet().await,
        publish(version, 0, 0, "open/x", "live"),
        "QoS 0 is in force"
    );
    peer.ping().await;
}

/// 3.1.1: MQTT-3.10.4-1, -2, -4, -6. 5: MQTT-3.10.4-1, -2, -4, -6, MQTT-3.11.3-1.
async fn unsubscribing_ends_what_comes(version: u8) {
    let bench = Bench::new().await;
    let mut peer = bench.client(version, "P1").await;
    for filter in ["open/a", "open/b", "open/c", "down/P1/#"] {
        peer.subscribe(version, filter, 0).await;
    }
    peer.send(&unsubscribe(version, 0x0708, &["open/a", "down/P1/#", "open/c"]))
        .await;
    let unsuback: &[u8] = if version == 5 {
        b"\xB0\x06\x07\x08\x00\x00\x00\x00"
    } else {
        b"\xB0\x02\x07\x08"
    };
    assert_eq!(peer.packet().await, unsuback);
    let mut publisher = bench.client(version, "P2").await;
    for topic in ["open/a", "open/c", "open/b"] {
        publish_acknowledged(&mut publisher, version, 0, topic, "x", b"").await;
    }
    assert!(bench.handle.publish_to("P1", Message::new("down/P1/x", "x")).is_err());
    assert_eq!(peer.packet().await, publish(version, 0, 0, "open/b", "x"));
    peer.ping().await;
}

/// 3.1.1: MQTT-3.10.4-5. 5: MQTT-3.10.4-5, MQTT-3.11.3-2 (0x11).
async fn unsubscribing_an_unknown_filter_is_answered(version: u8) {
    let bench = Bench::new().await;
    let mut peer = bench.client(version, "P1").await;
    peer.subscribe(version, "open/+", 0).await;
    peer.send(&unsubscribe(version, 7, &["open/x", "open/+"])).await;
    let unsuback: &[u8] = if version == 5 {
        b"\xB0\x05\x00\x07\x00\x11\x00"
    } else {
        b"\xB0\x02\x00\x07"
    };
    assert_eq!(peer.packet().await, unsuback, "filters are compared, not matched");
}

/// 3.1.1: MQTT-3.10.4-3. 5: MQTT-3.10.4-3.
async fn what_is_under_way_is_finished_after_unsubscribing(version: u8) {
    let bench = Bench::new().await;
    let mut peer = bench.client(version, "P1").await;
    peer.subscribe(version, "down/P1/#", 2).await;
    let message = Message::new("down/P1/x", "x").qos(QoS::ExactlyOnce);
    bench.handle.publish_to("P1", message).unwrap();
    assert_eq!(peer.packet().await[0], 0x34);
    peer.send(&unsubscribe(version, 7, &["down/P1/#"])).await;
    assert_eq!(peer.packet().await[0], 0xB0);
    peer.send(b"\x50\x02\x00\x01").await;
    assert_eq!(peer.packet().await, b"\x62\x02\x00\x01");
    peer.send(b"\x70\x02\x00\x01").await;
    peer.ping().await;
}

/// 3.1.1: MQTT-3.8.3-3, MQTT-3.10.3-2. 5: MQTT-3.8.3-2, MQTT-3.10.3-2 (0x82).
async fn a_subscribe_without_filters_ends_the_connection(version: u8) {
    let bench = Bench::new().await;
    for bytes in [subscribe(version, 1, &[]), unsubscribe(version, 1, &[])] {
        let mut peer = bench.client(version, "P1").await;
        peer.send(&bytes).await;
        peer.expect_disconnect(version, 0x82).await;
    }
}

/// 5: MQTT-3.8.3-3.
#[tokio::test]
async fn no_local_keeps_own_messages_away() {
    let bench = Bench::new().await;
    let mut peer = bench.client(5, "P1").await;
    peer.subscribe(5, "open/x", 0x04).await;
    let mut other = bench.client(5, "P1~other").await;
    other.subscribe(5, "open/x", 0x04).await;
    publish_acknowledged(&mut peer, 5, 0, "open/x", "mine", b"").await;
    assert_eq!(
        other.packet().await,
        publish(5, 0, 0, "open/x", "mine"),
        "another client of the same identity"
    );
    publish_acknowledged(&mut other, 5, 0, "open/x", "theirs", b"").await;
    assert_eq!(peer.packet().await, publish(5, 0, 0, "open/x", "theirs"));
    other.ping().await;
}

/// 5: MQTT-3.3.1-12, -13.
#[tokio::test]
async fn retain_as_published_keeps_the_flag() {
    let bench = Bench::new().await;
    let mut peer = bench.client(5, "P1").await;
    peer.subscribe(5, "open/keep", 0x08).await;
    peer.subscribe(5, "open/clear", 0x00).await;
    let mut publisher = bench.client(5, "P2").await;
    for (topic, flags, flags_out) in [
        ("open/keep", 0x01, 0x01),
        ("open/keep", 0x00, 0x00),
        ("open/clear", 0x01, 0x00),
    ] {
        publish_acknowledged(&mut publisher, 5, flags, topic, "x", b"").await;
        assert_eq!(peer.packet().await, publish_with(5, flags_out, 0, topic, "x", b""));
    }
}

/// 5: MQTT-3.3.1-9, -10, -11.
#[tokio::test]
async fn retain_handling_says_when_retained_messages_come() {
    let bench = Bench::new().await;
    let mut publisher = bench.client(5, "P2").await;
    publish_acknowledged(&mut publisher, 5, 0x01, "open/x", "kept", b"").await;
    let kept = publish_with(5, 0x01, 0, "open/x", "kept", b"");
    for (handling, first, again) in [(0x00, true, true), (0x10, true, false), (0x20, false, false)] {
        let mut peer = bench.client(5, "P1").await;
        for comes in [first, again] {
            peer.subscribe(5, "open/x", handling).await;
            if comes {
                assert_eq!(peer.packet().await, kept, "Retain Handling {handling:#x}");
            }
            peer.ping().await;
        }
    }
    // 3 is a protocol error.
    let mut peer = bench.client(5, "P1").await;
    peer.send(&subscribe(5, 1, &[("open/x", 0x30)])).await;
    peer.expect_disconnect(5, 0x82).await;
}

/// 5: MQTT-3.3.4-3 to -6, 3.8.2.1.2: from 1 to 268,435,455, never from a client, and gone with a subscription without.
#[tokio::test]
async fn subscription_identifiers_come_with_the_messages() {
    let bench = Bench::new().await;
    let mut peer = bench.client(5, "P1").await;
    let mut largest = b"\x82\x11\x00\x01\x05\x0B\xFF\xFF\xFF\x7F".to_vec();
    largest.extend(b"\x00\x06open/x\x00");
    peer.send(&largest).await;
    assert_eq!(suback_code(&peer.packet().await), 0);
    let mut publisher = bench.client(5, "P2").await;
    publish_acknowledged(&mut publisher, 5, 0x01, "open/x", "x", b"").await;
    let identified = publish_with(5, 0, 0, "open/x", "x", b"\x0B\xFF\xFF\xFF\x7F");
    assert_eq!(peer.packet().await, identified);
    peer.send(&subscribe_with_id(2, 9, "open/x", 0)).await;
    peer.packet().await;
    assert_eq!(
        peer.packet().await,
        publish_with(5, 0x01, 0, "open/x", "x", b"\x0B\x09"),
        "retained"
    );
    peer.subscribe(5, "open/x", 0x20).await;
    publish_acknowledged(&mut publisher, 5, 0, "open/x", "y", b"").await;
    assert_eq!(peer.packet().await, publish(5, 0, 0, "open/x", "y"));
    for bytes in [
        subscribe_with_id(1, 0, "open/x", 0),
        publish_with(5, 0, 0, "open/x", "x", b"\x0B\x01"),
    ] {
        let mut peer = bench.client(5, "P1").await;
        peer.send(&bytes).await;
        peer.expect_disconnect(5, 0x82).await;
    }
}
