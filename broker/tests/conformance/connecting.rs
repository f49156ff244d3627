//! CONNECT, CONNACK, keep-alive, and the codes with which a connection ends.

use std::time::{Duration, Instant};

use broker::{Config, DisconnectCause};

use crate::bench::{Bench, Connect, in_time, packet, publish, publish_with, text};
use crate::connack_properties;

in_both_versions!(
    a_second_connect_ends_the_connection,
    a_wrong_password_is_told_and_the_connection_closed,
    keep_alive_zero_switches_the_time_out_off,
    silence_of_one_and_a_half_keep_alives_ends_the_connection,
    any_packet_holds_the_keep_alive_up,
    ping_is_answered,
    the_same_client_id_takes_over,
    packets_that_only_a_server_sends_end_the_connection,
    reserved_flags_end_the_connection,
    packets_behind_connect_are_handled_without_waiting_for_connack,
);

/// 3.1.1: MQTT-3.1.0-1. 5: MQTT-3.1.0-1.
#[tokio::test]
async fn what_does_not_begin_with_connect_is_closed() {
    let bench = Bench::new().await;
    for first in [
        &b"\xC0\x00"[..],
        &publish(4, 1, 1, "up/P1/x", "{}"),
        b"GET / HTTP/1.1\r\n\r\n",
    ] {
        let mut peer = bench.raw().await;
        peer.send(first).await;
        peer.expect_closed().await;
    }
}

/// 3.1.1: MQTT-3.1.2-2. 5: MQTT-3.1.2-2.
#[tokio::test]
async fn another_protocol_level_is_refused_with_its_code() {
    let bench = Bench::new().await;
    for (level, connack) in [(3, &b"\x20\x02\x00\x01"[..]), (6, b"\x20\x03\x00\x84\x00")] {
        let connect = Connect {
            protocol: level,
            ..Connect::default()
        };
        let mut peer = bench.raw().await;
        peer.send(&connect.bytes()).await;
        assert_eq!(peer.packet().await, connack);
        peer.expect_closed().await;
    }
    let mut old = bench.raw().await;
    old.send(&packet(0x10, b"\x00\x06MQIsdp\x03\x02\x00\x00\x00\x01x"))
        .await;
    assert_eq!(old.packet().await, b"\x20\x02\x00\x01", "MQTT 3.1 by its own name");
}

/// 3.1.1: MQTT-3.1.0-2. 5: MQTT-3.1.0-2, MQTT-4.13.1-1.
async fn a_second_connect_ends_the_connection(version: u8) {
    let bench = Bench::new().await;
    let connect = Connect {
        protocol: version,
        ..Connect::default()
    };
    let (mut peer, _) = bench.connect(&connect).await;
    peer.send(&connect.bytes()).await;
    peer.expect_disconnect(version, 0x82).await;
}

/// 3.1.1: MQTT-3.2.2-4, -5 (return code 4). 5: MQTT-3.2.2-6, -7 (0x86).
async fn a_wrong_password_is_told_and_the_connection_closed(version: u8) {
    let bench = Bench::new().await;
    let connect = Connect {
        protocol: version,
        password: "guess",
        clean: false,
        ..Connect::default()
    };
    let mut peer = bench.raw().await;
    peer.send(&connect.bytes()).await;
    let expected: &[u8] = if version == 5 {
        b"\x20\x03\x00\x86\x00"
    } else {
        b"\x20\x02\x00\x04"
    };
    assert_eq!(peer.packet().await, expected);
    peer.expect_closed().await;
}

/// 3.1.1: 3.1.2.10, "zero has the effect of turning off". 5: MQTT-3.2.2-21: what bounds the silence nevertheless is said.
async fn keep_alive_zero_switches_the_time_out_off(version: u8) {
    let mut bench = Bench::new().await;
    let connect = |client_id, keep_alive_s| Connect {
        protocol: version,
        client_id,
        keep_alive_s,
        ..Connect::default()
    };
    let (mut without, connack) = bench.connect(&connect("P1", 0)).await;
    let (with, _) = bench.connect(&connect("P2", 1)).await;
    assert_eq!(bench.cause_for("P2").await, DisconnectCause::KeepAliveTimeout);
    drop(with);
    without.ping().await;
    if version == 5 {
        let seconds = Config::default().silence_max.as_secs() * 2 / 3;
        let told = u16::try_from(seconds).unwrap().to_be_bytes();
        assert_eq!(connack_properties(&connack)[&0x13], told, "Server Keep Alive");
    }
}

/// 3.1.1: MQTT-3.1.2-24. 5: MQTT-3.1.2-22 (0x8D).
async fn silence_of_one_and_a_half_keep_alives_ends_the_connection(version: u8) {
    let mut bench = Bench::new().await;
    let connect = Connect {
        protocol: version,
        keep_alive_s: 1,
        ..Connect::default()
    };
    let begun = Instant::now();
    let (mut peer, connack) = bench.connect(&connect).await;
    if version == 5 {
        assert!(
            !connack_properties(&connack).contains_key(&0x13),
            "it is kept as asked for"
        );
    }
    peer.expect_disconnect(version, 0x8D).await;
    assert!(begun.elapsed() >= Duration::from_millis(1500), "{:?}", begun.elapsed());
    assert_eq!(bench.cause_for("P1").await, DisconnectCause::KeepAliveTimeout);
}

/// 3.1.1: MQTT-3.1.2-23. 5: MQTT-3.1.2-20.
async fn any_packet_holds_the_keep_alive_up(version: u8) {
    // A busy machine may keep the test itself from talking in time, which says nothing about the broker.
    for _ in 0..100 {
        if talks_in_time_and_stays(version).await {
            return;
        }
    }
    panic!("the test is held up again and again");
}

/// Whether it did; `false` if it was too late with a packet.
async fn talks_in_time_and_stays(version: u8) -> bool {
    let silence_max = Duration::from_millis(1500);
    let bench = Bench::new().await;
    let connect = Connect {
        protocol: version,
        keep_alive_s: 1,
        ..Connect::default()
    };
    let begun = Instant::now();
    let (mut peer, _) = bench.connect(&connect).await;
    let mut heard = begun;
    while begun.elapsed() < silence_max * 3 / 2 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let said = Instant::now();
        let publish = publish(version, 1, 5, "up/P1/x", "{}");
        if !peer.is_answered(&publish, b"\x40\x02\x00\x05").await {
            assert!(heard.elapsed() >= silence_max, "after {:?}", heard.elapsed());
            return false;
        }
        heard = said;
    }
    peer.ping().await;
    true
}

/// 3.1.1: MQTT-3.12.4-1. 5: MQTT-3.12.4-1.
async fn ping_is_answered(version: u8) {
    let bench = Bench::new().await;
    let mut peer = bench.client(version, "P1").await;
    peer.send(b"\xC0\x00\xC0\x00").await;
    assert_eq!(peer.packet().await, b"\xD0\x00");
    assert_eq!(peer.packet().await, b"\xD0\x00");
}

/// 3.1.1: MQTT-3.1.4-2. 5: MQTT-3.1.4-3 (0x8E).
async fn the_same_client_id_takes_over(version: u8) {
    let mut bench = Bench::new().await;
    let mut first = bench.client(version, "P1").await;
    let mut second = bench.client(version, "P1").await;
    first.expect_disconnect(version, 0x8E).await;
    assert_eq!(bench.cause_for("P1").await, DisconnectCause::TakenOver);
    second.ping().await;
}

/// 3.1.1: MQTT-4.8.0-1. 5: MQTT-4.13.1-1 (0x82).
async fn packets_that_only_a_server_sends_end_the_connection(version: u8) {
    let bench = Bench::new().await;
    for bytes in [
        &b"\x20\x02\x00\x00"[..],
        b"\x90\x03\x00\x01\x00",
        b"\xB0\x01\x9D",
        b"\xD0\x00",
        b"\xF0\x00",
    ] {
        let mut peer = bench.client(version, "P1").await;
        peer.send(bytes).await;
        peer.expect_disconnect(version, 0x82).await;
    }
    let mut reserved = bench.client(version, "P1").await;
    reserved.send(b"\x00\x00").await;
    reserved.expect_disconnect(version, 0x81).await;
}

/// 3.1.1: MQTT-2.2.2-2, MQTT-3.8.1-1, MQTT-3.6.1-1, MQTT-3.14.1-1. 5: MQTT-2.1.3-1 (0x81).
async fn reserved_flags_end_the_connection(version: u8) {
    let bench = Bench::new().await;
    for bytes in [
        &b"\x60\x02\x00\x01"[..],
        b"\x80\x06\x00\x01\x00\x01a\x00",
        b"\xA0\x05\x00\x01\x00\x01a",
        b"\xC1\x00",
        b"\xE1\x00",
        b"\x36\x06\x00\x01a\x00\x01x",
    ] {
        let mut peer = bench.client(version, "P1").await;
        peer.send(bytes).await;
        peer.expect_disconnect(version, 0x81).await;
    }
}

/// 3.1.1: 3.1.4, "clients are allowed to send further Control Packets immediately". 5: 3.1.4 likewise.
async fn packets_behind_connect_are_handled_without_waiting_for_connack(version: u8) {
    let bench = Bench::new().await;
    let connect = Connect {
        protocol: version,
        ..Connect::default()
    };
    let mut peer = bench.raw().await;
    let both = [connect.bytes(), publish(version, 1, 9, "up/P1/x", "{}")].concat();
    peer.send(&both).await;
    assert_eq!(peer.packet().await[0], 0x20);
    assert_eq!(peer.packet().await, b"\x40\x02\x00\x09");
}

/// 3.1.1: MQTT-3.1.3-6, -7, -8 (return code 2).
#[tokio::test]
async fn an_empty_client_id_needs_a_clean_session_in_3_1_1() {
    let bench = Bench::new().await;
    let empty = Connect {
        client_id: "",
        user_name: Some("P1"),
        ..Connect::default()
    };
    let (mut peer, connack) = bench.connect(&empty).await;
    assert_eq!(connack, b"\x20\x02\x00\x00");
    peer.ping().await;
    let mut refused = bench.raw().await;
    refused.send(&Connect { clean: false, ..empty }.bytes()).await;
    assert_eq!(refused.packet().await, b"\x20\x02\x00\x02");
    refused.expect_closed().await;
}

/// 5: MQTT-3.1.3-6, -7, MQTT-3.2.2-16.
#[tokio::test]
async fn an_empty_client_id_is_replaced_by_a_unique_one_that_is_told_in_5() {
    let bench = Bench::new().await;
    let mut told = Vec::new();
    let mut peers = Vec::new();
    for clean in [true, false] {
        let empty = Connect {
            protocol: 5,
            client_id: "",
            user_name: Some("P1"),
            clean,
            ..Connect::default()
        };
        let (peer, connack) = bench.connect(&empty).await;
        told.push(connack_properties(&connack)[&0x12].clone());
        peers.push(peer);
    }
    assert_ne!(told[0], told[1]);
    for peer in &mut peers {
        peer.ping().await;
    }
    // It is the client's from now on: it can come back with it.
    let id = String::from_utf8(told[1][2..].to_vec()).unwrap();
    assert!(bench.handle.is_connected(&id));
}

/// 5: MQTT-3.2.2-21, MQTT-3.1.2-21.
#[tokio::test]
async fn a_keep_alive_beyond_what_is_waited_for_is_lowered_and_told() {
    let bench = Bench::with(Config {
        silence_max: Duration::from_secs(90),
        ..Config::default()
    })
    .await;
    for (asked, told) in [
        (0, Some(60)),
        (60, None),
        (61, Some(60)),
        (120, Some(60)),
        (u16::MAX, Some(60)),
    ] {
        let connect = Connect {
            protocol: 5,
            keep_alive_s: asked,
            ..Connect::default()
        };
        let (_peer, connack) = bench.connect(&connect).await;
        let expected = told.map(|s: u16| s.to_be_bytes().to_vec());
        assert_eq!(
            connack_properties(&connack).get(&0x13),
            expected.as_ref(),
            "asked for {asked}"
        );
    }
}

/// 5: 3.2.2.3: what is not there is said not to be there, and nothing else is.
#[tokio::test]
async fn connack_says_what_is_not_available() {
    let bench = Bench::new().await;
    for (client_id, retain) in [("P1", None), ("plain", Some(vec![0]))] {
        let connect = Connect {
            protocol: 5,
            client_id,
            ..Connect::default()
        };
        let (_peer, connack) = bench.connect(&connect).await;
        let properties = connack_properties(&connack);
        assert_eq!(properties[&0x2A], [0], "Shared Subscription Available");
        assert_eq!(properties.get(&0x25), retain.as_ref(), "Retain Available");
        assert_eq!(properties[&0x21], Config::default().receive_maximum.to_be_bytes());
        assert_eq!(properties[&0x22], Config::default().topic_alias_maximum.to_be_bytes());
        let packet_bytes_max = u32::try_from(Config::default().packet_bytes_max).unwrap();
        assert_eq!(properties[&0x27], packet_bytes_max.to_be_bytes());
        for (id, name) in [
            (0x24, "Maximum QoS"),
            (0x28, "Wildcard"),
            (0x29, "Subscription Identifiers"),
        ] {
            assert!(!properties.contains_key(&id), "{name}: all of it is there");
        }
    }
}

/// 5: MQTT-3.1.2-30, 4.12: enhanced authentication is refused with 0x8C, AUTH without it with 0x82.
#[tokio::test]
async fn enhanced_authentication_is_refused_with_its_code() {
    let bench = Bench::new().await;
    let connect = Connect {
        protocol: 5,
        properties: b"\x15\x00\x05SCRAM",
        ..Connect::default()
    };
    let mut peer = bench.raw().await;
    peer.send(&connect.bytes()).await;
    assert_eq!(peer.packet().await, b"\x20\x03\x00\x8C\x00");
    peer.expect_closed().await;
    let mut peer = bench.client(5, "P1").await;
    peer.send(b"\xF0\x02\x18\x00").await;
    peer.expect_disconnect(5, 0x82).await;
}

/// 5: MQTT-3.1.2-28, -29: asked for or not, there is no Response Information and there are no diagnostics to leave out.
#[tokio::test]
async fn requests_for_information_are_understood() {
    let bench = Bench::new().await;
    let connect = Connect {
        protocol: 5,
        properties: b"\x19\x01\x17\x00\x26\x00\x01k\x00\x01v",
        ..Connect::default()
    };
    let (mut peer, connack) = bench.connect(&connect).await;
    assert!(!connack_properties(&connack).contains_key(&0x1A));
    peer.send(b"\x62\x02\x00\x63").await;
    assert_eq!(peer.packet().await, b"\x70\x03\x00\x63\x92");
}

/// 5: MQTT-3.1.2-24 and -25 towards the client, MQTT-3.2.2-15 (0x95) from it.
#[tokio::test]
async fn maximum_packet_sizes_are_kept_both_ways() {
    let bench = Bench::with(Config {
        packet_bytes_max: 1000,
        ..Config::default()
    })
    .await;
    let connect = Connect {
        protocol: 5,
        properties: b"\x27\x00\x00\x00\x40",
        ..Connect::default()
    };
    let (mut peer, connack) = bench.connect(&connect).await;
    assert_eq!(connack_properties(&connack)[&0x27], 1000u32.to_be_bytes());
    peer.subscribe(5, "open/#", 1).await;
    let mut other = bench.client(5, "P2").await;
    for payload in ["x".repeat(64), "small".to_owned()] {
        crate::publish_acknowledged(&mut other, 5, 0, "open/x", &payload, b"").await;
    }
    assert_eq!(
        peer.packet().await,
        publish_with(5, 0x02, 2, "open/x", "small", b""),
        "the other is dropped as if it had been sent"
    );
    other.send(&publish(5, 0, 0, "open/x", &"x".repeat(1000))[..3]).await;
    other.expect_disconnect(5, 0x95).await;
}

/// 3.1.1: MQTT-3.1.3-11, MQTT-1.5.3-1, -2. 5: MQTT-1.5.4-1, -2.
#[tokio::test]
async fn strings_that_are_not_utf_8_do_not_get_in() {
    let bench = Bench::new().await;
    for id in [&b"\x00\x02\xC3\x28"[..], b"\x00\x03\xED\xA0\x80", b"\x00\x02a\x00"] {
        let mut body = text("MQTT");
        body.extend([4, 2, 0, 0]);
        body.extend(id);
        let mut peer = bench.raw().await;
        peer.send(&packet(0x10, &body)).await;
        peer.expect_closed().await;
    }
    assert_eq!(bench.handle.stats().connects_missing, 3);
    in_time("nobody is in", async {
        while bench.handle.stats().connected > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
