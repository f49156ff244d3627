//! Connecting, and what gets a connection closed: each refusal with its code in both protocols.

use broker::{Config, ConnectRefusal, DisconnectCause};

use crate::bench::{Bench, Connect, Heard, packet, publish, suback_code, subscribe, text};

async fn connack(bench: &Bench, connect: &Connect<'_>) -> Vec<u8> {
    let mut raw = bench.raw().await;
    raw.send(&connect.bytes()).await;
    let connack = raw.packet().await;
    if connack[3] != 0 {
        raw.expect_closed().await;
    }
    connack
}

/// The code in CONNACK for both protocols.
async fn codes(bench: &Bench, connect: Connect<'_>) -> (u8, u8) {
    let v4 = connack(
        bench,
        &Connect {
            protocol: 4,
            ..connect.clone()
        },
    )
    .await[3];
    let v5 = connack(bench, &Connect { protocol: 5, ..connect }).await[3];
    (v4, v5)
}

#[tokio::test]
async fn wrong_password_is_told_before_closing() {
    let bench = Bench::new().await;
    let connect = Connect {
        password: "wrong",
        ..Connect::default()
    };
    assert_eq!(codes(&bench, connect).await, (0x04, 0x86));
    assert_eq!(
        bench
            .handle
            .stats()
            .connects_refused_for(ConnectRefusal::BadUserNameOrPassword),
        2
    );
    assert_eq!(bench.handle.stats().connected, 0);
}

#[tokio::test]
async fn a_client_id_of_another_identity_is_refused() {
    let mut bench = Bench::new().await;
    let mut owner = bench.client(4, "P1").await;
    for client_id in ["P1", "P1~x", "P11", "P2~"] {
        let connect = Connect {
            client_id,
            user_name: Some("P2"),
            ..Connect::default()
        };
        assert_eq!(codes(&bench, connect).await, (0x02, 0x85), "{client_id}");
    }
    owner.ping().await;
    assert_eq!(bench.heard().await, Heard::Connected("P1".into()));
}

#[tokio::test]
async fn a_client_id_that_is_too_long_is_refused_also_if_it_would_be_assigned() {
    let bench = Bench::new().await;
    let long = "P".repeat(250);
    let at_limit = format!("{long}~{}", "x".repeat(5));
    let above = format!("{long}~{}", "x".repeat(6));
    assert_eq!(
        codes(
            &bench,
            Connect {
                client_id: &at_limit,
                ..Connect::default()
            }
        )
        .await,
        (0, 0)
    );
    assert_eq!(
        codes(
            &bench,
            Connect {
                client_id: &above,
                ..Connect::default()
            }
        )
        .await,
        (0x02, 0x85)
    );
    let empty = Connect {
        client_id: "",
        user_name: Some(&long),
        ..Connect::default()
    };
    assert_eq!(codes(&bench, empty).await, (0x02, 0x85));
}

#[tokio::test]
async fn an_empty_client_id_is_assigned_where_the_protocol_allows() {
    let mut bench = Bench::new().await;
    let empty = Connect {
        client_id: "",
        user_name: Some("P1"),
        ..Connect::default()
    };
    bench.connect(&empty).await;
    let Heard::Connected(first) = bench.heard().await else {
        panic!()
    };
    assert!(first.starts_with("P1~auto-"), "{first}");
    assert_eq!(
        connack(
            &bench,
            &Connect {
                clean: false,
                ..empty.clone()
            }
        )
        .await,
        b"\x20\x02\x00\x02"
    );
    let (_raw, connack) = bench.connect(&Connect { protocol: 5, ..empty }).await;
    let Heard::Disconnected(gone, DisconnectCause::Dropped) = bench.heard().await else {
        panic!()
    };
    assert_eq!(gone, first);
    let Heard::Connected(second) = bench.heard().await else {
        panic!()
    };
    let assigned = [&[0x12, 0, second.len() as u8][..], second.as_bytes()].concat();
    assert!(
        connack.windows(assigned.len()).any(|w| w == assigned),
        "{connack:02x?} tells {second}"
    );
}

#[tokio::test]
async fn connack_of_mqtt_5_tells_the_limits() {
    let bench = Bench::with(Config {
        receive_maximum: 7,
        topic_alias_maximum: 3,
        ..Config::default()
    })
    .await;
    let (_raw, connack) = bench
        .connect(&Connect {
            protocol: 5,
            ..Connect::default()
        })
        .await;
    assert_eq!(
        connack,
        b"\x20\x13\x00\x00\x10\x21\x00\x07\x27\x00\x04\x10\x00\x22\x00\x03\x13\x09\x60\x2A\x00"
    );
}

#[tokio::test]
async fn what_is_not_a_connect_is_closed_without_an_answer() {
    let bench = Bench::new().await;
    let half_long = [&b"\x10\xFF\xFF\x03"[..], &[0; 10]].concat();
    let cases: [&[u8]; 6] = [
        b"\xB0\x01\x9D",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xC0\x00",
        b"\x10\x02\x00\x04",
        &half_long,
        b"\x1F\x00",
    ];
    for bytes in cases {
        let mut raw = bench.raw().await;
        raw.send(bytes).await;
        raw.expect_closed().await;
    }
    assert_eq!(bench.handle.stats().connects_missing, 6);
    bench.client(4, "P1").await.ping().await;
}

#[tokio::test]
async fn a_will_on_a_foreign_topic_is_refused() {
    let mut bench = Bench::new().await;
    let connect = Connect {
        will: Some(("up/P2/x", "bye", 1)),
        ..Connect::default()
    };
    assert_eq!(codes(&bench, connect).await, (0x05, 0x87));
    let deep = format!("up/P1{}", "/x".repeat(20));
    let connect = Connect {
        will: Some((&deep, "bye", 1)),
        ..Connect::default()
    };
    assert_eq!(codes(&bench, connect).await, (0x05, 0x90));
    bench.no_more_delivered();
}

#[tokio::test]
async fn malformed_packets_close_the_connection() {
    let mut bench = Bench::new().await;
    for bytes in [
        &b"\x36\x05\x00\x01a\x00\x01"[..],
        b"\x82\x02\x00\x01",
        b"\x61\x02\x00\x01",
        b"\x32\x03\x00\x01a",
    ] {
        for protocol in [4, 5] {
            let mut raw = bench.client(protocol, "P1").await;
            raw.send(bytes).await;
            if protocol == 5 {
                let told = raw.packet().await;
                assert!(matches!(told[..], [0xE0, 1, 0x81 | 0x82]), "{told:02x?}");
            }
            raw.expect_closed().await;
            let cause = bench.cause_for("P1").await;
            assert!(
                matches!(cause, DisconnectCause::MalformedPacket | DisconnectCause::ProtocolError),
                "{cause:?}"
            );
        }
    }
}

#[tokio::test]
async fn publishing_where_it_may_not_closes_the_connection() {
    let mut bench = Bench::new().await;
    for protocol in [4, 5] {
        let mut raw = bench.client(protocol, "P1").await;
        raw.send(&publish(protocol, 1, 1, "up/P2/record", "{}")).await;
        raw.expect_disconnect(protocol, 0x87).await;
        assert_eq!(bench.cause_for("P1").await, DisconnectCause::NotAuthorized);
    }
    for (topic, code, cause) in [
        ("up/P1/#", 0x81, DisconnectCause::MalformedPacket),
        ("up/P1/+/x", 0x81, DisconnectCause::MalformedPacket),
        ("", 0x82, DisconnectCause::ProtocolError),
        (&"up/P1/".repeat(30), 0x90, DisconnectCause::TopicNameInvalid),
        (
            &format!("up/P1{}", "/x".repeat(20)),
            0x90,
            DisconnectCause::TopicNameInvalid,
        ),
    ] {
        let mut raw = bench.client(5, "P1").await;
        raw.send(&publish(5, 1, 1, topic, "{}")).await;
        raw.expect_disconnect(5, code).await;
        assert_eq!(bench.cause_for("P1").await, cause, "{topic}");
    }
    bench.no_more_delivered();
}

#[tokio::test]
async fn refused_filters_get_their_codes() {
    let bench = Bench::new().await;
    for (filter, code_v5) in [
        ("#", 0x87),
        ("down/P2/#", 0x87),
        ("+/P1/#", 0x87),
        ("$share/group/open/x", 0x9E),
        ("open/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p", 0x8F),
    ] {
        for (protocol, code) in [(4, 0x80), (5, code_v5)] {
            let mut raw = bench.client(protocol, "P1").await;
            raw.send(&subscribe(protocol, 9, &[("down/P1/#", 1), (filter, 1)]))
                .await;
            let suback = raw.packet().await;
            assert_eq!(suback_code(&suback), code, "{filter}");
            assert_eq!(suback[suback.len() - 2], 1, "the other filter is granted");
            raw.ping().await;
        }
    }
}

#[tokio::test]
async fn a_filter_that_is_not_well_formed_ends_the_connection() {
    let bench = Bench::new().await;
    for filter in ["", "open/#/x", "open/a+", "#/x"] {
        for protocol in [4, 5] {
            for bytes in [
                subscribe(protocol, 9, &[("down/P1/#", 1), (filter, 1)]),
                unsubscribe(protocol, filter),
            ] {
                let mut raw = bench.client(protocol, "P1").await;
                raw.send(&bytes).await;
                raw.expect_disconnect(protocol, 0x81).await;
            }
        }
    }
    assert_eq!(bench.handle.stats().malformed, 16);
}

fn unsubscribe(protocol: u8, filter: &str) -> Vec<u8> {
    let properties: &[u8] = if protocol == 5 { &[0] } else { &[] };
    packet(0xA2, &[b"\x00\x03", properties, &text(filter)].concat())
}

#[tokio::test]
async fn a_broken_connect_of_mqtt_5_is_told_what_is_wrong_before_it_is_closed() {
    let bench = Bench::with(Config {
        connect_packet_bytes_max: 200,
        ..Config::default()
    })
    .await;
    let with = |properties| Connect {
        protocol: 5,
        properties,
        ..Connect::default()
    };
    let long = "x".repeat(300);
    let cases = [
        (with(b"\x23\x00\x01"), 0x81, "a property of another packet"),
        (with(b"\x21\x00\x00"), 0x82, "Receive Maximum 0"),
        (with(b"\x16\x00\x01x"), 0x82, "Authentication Data without a method"),
        (
            Connect {
                will: Some(("up/P1/#", "bye", 0)),
                ..with(b"")
            },
            0x81,
            "a wildcard in the will's topic",
        ),
        (
            Connect {
                client_id: &long,
                ..with(b"")
            },
            0x95,
            "longer than is taken",
        ),
    ];
    for (connect, code, why) in cases {
        let mut raw = bench.raw().await;
        raw.send(&connect.bytes()).await;
        assert_eq!(raw.packet().await, [0x20, 3, 0, code, 0], "{why}");
        raw.expect_closed().await;
        let mut old = bench.raw().await;
        old.send(
            &Connect {
                protocol: 4,
                properties: b"",
                will: Some(("#", "", 0)),
                ..connect
            }
            .bytes(),
        )
        .await;
        old.expect_closed().await;
    }
    assert_eq!(bench.handle.stats().connects_missing, 10);
}

#[tokio::test]
async fn no_packet_is_larger_than_the_client_takes() {
    fn connect<'a>(client_id: &'a str, properties: &'a [u8]) -> Connect<'a> {
        Connect {
            protocol: 5,
            client_id,
            properties,
            ..Connect::default()
        }
    }
    let mut bench = Bench::new().await;
    let (mut large, connack) = bench.connect(&connect("P1", b"\x27\x00\x00\x00\x40")).await;
    let len = connack.len() as u8;
    assert_eq!(bench.heard().await, Heard::Connected("P1".into()));
    // The session is not touched by a client that could not be answered.
    let mut refused = bench.raw().await;
    refused.send(&connect("P1", &[0x27, 0, 0, 0, len - 1]).bytes()).await;
    assert_eq!(refused.packet().await, b"\x20\x03\x00\x83\x00");
    refused.expect_closed().await;
    large.ping().await;
    let mut silent = bench.raw().await;
    silent.send(&connect("P1", b"\x27\x00\x00\x00\x04").bytes()).await;
    silent.expect_closed().await;
    bench.connect(&connect("P1~x", &[0x27, 0, 0, 0, len])).await;
    // SUBACK for 59 filters is 64 bytes.
    large.send(&subscribe(5, 1, &[("down/P1/x", 0); 60])).await;
    large.expect_disconnect(5, 0x95).await;
    let (mut fits, _) = bench.connect(&connect("P1", b"\x27\x00\x00\x00\x40")).await;
    fits.send(&subscribe(5, 1, &[("down/P1/x", 0); 59])).await;
    assert_eq!(fits.packet().await.len(), 64);
}

#[tokio::test]
async fn a_client_id_that_connects_again_takes_over() {
    let mut bench = Bench::new().await;
    for protocol in [4, 5] {
        let mut old = bench.client(protocol, "P1").await;
        assert_eq!(bench.heard().await, Heard::Connected("P1".into()));
        let mut new = bench.client(protocol, "P1").await;
        old.expect_disconnect(protocol, 0x8E).await;
        assert_eq!(
            bench.heard().await,
            Heard::Disconnected("P1".into(), DisconnectCause::TakenOver)
        );
        assert_eq!(bench.heard().await, Heard::Connected("P1".into()));
        new.ping().await;
        new.send(b"\xE0\x00").await;
        new.expect_closed().await;
        assert_eq!(
            bench.heard().await,
            Heard::Disconnected("P1".into(), DisconnectCause::Clean)
        );
    }
    assert_eq!(bench.handle.stats().taken_over, 2);
    assert_eq!(bench.handle.stats().connected, 0);
    assert_eq!(bench.handle.stats().sessions, 0);
}

#[tokio::test]
async fn packets_may_come_in_any_pieces() {
    let mut bench = Bench::new().await;
    for protocol in [4, 5] {
        let connect = Connect {
            protocol,
            ..Connect::default()
        };
        let conversation = [
            connect.bytes(),
            publish(protocol, 1, 1, "up/P1/x", "{}"),
            b"\xC0\x00".to_vec(),
        ]
        .concat();
        let mut raw = bench.raw().await;
        for byte in &conversation {
            raw.send(&[*byte]).await;
        }
        assert_eq!(raw.packet().await[0], 0x20);
        assert_eq!(raw.packet().await, b"\x40\x02\x00\x01");
        assert_eq!(raw.packet().await, b"\xD0\x00");
        assert_eq!(bench.delivered().await.payload, "{}");
        let mut raw = bench.raw().await;
        raw.send(&conversation).await;
        assert_eq!(raw.packet().await[0], 0x20);
        assert_eq!(raw.packet().await, b"\x40\x02\x00\x01");
        assert_eq!(raw.packet().await, b"\xD0\x00");
        bench.delivered().await;
    }
}
