//! Time and quantity: silence, halves, floods, crowds and those who do not read.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use broker::{Config, DisconnectCause, Message, PublishError, Rate};

use crate::bench::{Bench, Connect, in_time, packet, publish, subscribe};

const SHORT: Duration = Duration::from_millis(200);

#[tokio::test]
async fn a_peer_that_says_nothing_is_closed() {
    let bench = Bench::with(Config {
        connect_timeout: SHORT,
        ..Config::default()
    })
    .await;
    for bytes in [&b""[..], b"\x10", &Connect::default().bytes()[..10]] {
        let mut raw = bench.raw().await;
        raw.send(bytes).await;
        raw.expect_closed().await;
    }
    assert_eq!(bench.handle.stats().connects_missing, 3);
}

#[tokio::test]
async fn half_a_packet_and_then_silence_is_closed() {
    let mut bench = Bench::with(Config {
        partial_packet_timeout: SHORT,
        ..Config::default()
    })
    .await;
    for protocol in [4, 5] {
        let mut raw = bench.client(protocol, "P1").await;
        raw.ping().await;
        let whole = publish(protocol, 1, 1, "up/P1/record", "{}");
        raw.send(&whole[..whole.len() - 1]).await;
        raw.expect_disconnect(protocol, 0x81).await;
        assert_eq!(bench.cause_for("P1").await, DisconnectCause::PartialPacketTimeout);
    }
    assert_eq!(bench.handle.stats().partial_packet_timeouts, 2);
    bench.no_more_delivered();
}

/// Behind a thin line a packet takes longer than any silence may.
#[tokio::test]
async fn a_packet_that_comes_steadily_is_waited_for_where_a_rate_counts() {
    let limit = Duration::from_secs(2);
    for rate in [None, NonZeroU32::new(1)] {
        let mut bench = Bench::with(Config {
            partial_packet_timeout: limit,
            partial_packet_rate_min: rate,
            silence_max: limit,
            ..Config::default()
        })
        .await;
        let mut raw = bench.client(4, "P1").await;
        let whole = publish(4, 1, 1, "up/P1/record", "{}");
        let begun = Instant::now();
        let mut pieces = whole.chunks(1);
        while begun.elapsed() < limit * 3 / 2
            && let Some(piece) = pieces.next()
        {
            raw.try_send(piece).await;
            tokio::time::sleep(SHORT).await;
        }
        assert!(begun.elapsed() >= limit, "the packet has enough bytes");
        for piece in pieces {
            raw.try_send(piece).await;
        }
        match rate {
            None => assert_eq!(bench.cause_for("P1").await, DisconnectCause::PartialPacketTimeout),
            Some(_) => assert_eq!(bench.delivered().await.topic.as_ref(), "up/P1/record"),
        }
    }
}

#[tokio::test]
async fn silence_is_bounded_whatever_the_keep_alive() {
    let mut bench = Bench::with(Config {
        silence_max: SHORT,
        ..Config::default()
    })
    .await;
    for protocol in [4, 5] {
        for keep_alive_s in [0, 3600] {
            let connect = Connect {
                protocol,
                keep_alive_s,
                ..Connect::default()
            };
            let (mut raw, connack) = bench.connect(&connect).await;
            assert_eq!(
                connack.windows(3).any(|w| w == [0x13, 0, 1]),
                protocol == 5,
                "Server Keep Alive: {connack:02x?}"
            );
            raw.expect_disconnect(protocol, 0x8D).await;
            assert_eq!(bench.cause_for("P1").await, DisconnectCause::KeepAliveTimeout);
        }
    }
}

#[tokio::test]
async fn a_client_that_pings_in_time_stays() {
    // A busy machine may keep the test itself from pinging in time, which says nothing about the broker.
    for _ in 0..100 {
        if pings_in_time_and_stays().await {
            return;
        }
    }
    panic!("the test is held up again and again");
}

/// Whether it did; `false` if it was too late with a ping.
async fn pings_in_time_and_stays() -> bool {
    let silence_max = Duration::from_millis(300);
    let bench = Bench::with(Config {
        silence_max,
        ..Config::default()
    })
    .await;
    let begun = Instant::now();
    let mut raw = bench.client(4, "P1").await;
    let mut heard = begun;
    while begun.elapsed() < silence_max * 2 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let asked = Instant::now();
        if !raw.is_answered(b"\xC0\x00", b"\xD0\x00").await {
            assert!(heard.elapsed() >= silence_max, "after {:?}", heard.elapsed());
            return false;
        }
        heard = asked;
    }
    assert_eq!(bench.handle.stats().keep_alive_timeouts, 0);
    true
}

#[tokio::test]
async fn a_packet_above_the_limit_is_refused_by_its_header() {
    let mut bench = Bench::with(Config {
        packet_bytes_max: 1000,
        ..Config::default()
    })
    .await;
    for protocol in [4, 5] {
        let mut raw = bench.client(protocol, "P1").await;
        let largest = 1000 - publish(protocol, 0, 0, "up/P1/x", "").len() - 1;
        raw.send(&publish(protocol, 0, 0, "up/P1/x", &"x".repeat(largest)))
            .await;
        assert_eq!(bench.delivered().await.payload.len(), largest);
        raw.send(&publish(protocol, 0, 0, "up/P1/x", &"x".repeat(largest + 1))[..3])
            .await;
        raw.expect_disconnect(protocol, 0x95).await;
        assert_eq!(bench.cause_for("P1").await, DisconnectCause::PacketTooLarge);
    }
    bench.no_more_delivered();
    assert_eq!(
        bench.handle.publish_to("P1", Message::new("down/P1/x", vec![0; 1000])),
        Err(PublishError::TooLarge)
    );
}

#[tokio::test]
async fn an_identity_has_so_many_client_ids_and_its_own_always() {
    let bench = Bench::with(Config {
        client_ids_per_identity_max: 3,
        ..Config::default()
    })
    .await;
    let _a = bench.client(4, "P1~a").await;
    let mut b = bench.client(4, "P1~b").await;
    for (protocol, code) in [(4, 3), (5, 0x97)] {
        let mut raw = bench.raw().await;
        raw.send(
            &Connect {
                protocol,
                client_id: "P1~c",
                ..Connect::default()
            }
            .bytes(),
        )
        .await;
        assert_eq!(raw.packet().await[3], code);
        raw.expect_closed().await;
    }
    let _main = bench.client(4, "P1").await;
    b.send(b"\xE0\x00").await;
    b.expect_closed().await;
    let _c = bench.client(4, "P1~c").await;
    assert_eq!(bench.handle.stats().connected, 3);
}

#[tokio::test]
async fn a_session_that_is_away_makes_room_for_one_that_comes() {
    let mut bench = Bench::with(Config {
        client_ids_per_identity_max: 2,
        ..Config::default()
    })
    .await;
    let (away, _) = bench
        .connect(&Connect {
            client_id: "P1~a",
            clean: false,
            ..Connect::default()
        })
        .await;
    drop(away);
    bench.cause_for("P1~a").await;
    let _b = bench.client(4, "P1~b").await;
    assert_eq!(bench.handle.stats().sessions, 1);
}

#[tokio::test]
async fn sockets_are_capped_per_address_and_in_all() {
    for config in [
        Config {
            connections_per_address_max: 1,
            ..Config::default()
        },
        Config {
            connections_max: 1,
            ..Config::default()
        },
    ] {
        let bench = Bench::with(config).await;
        let mut first = bench.client(4, "P1").await;
        bench.raw().await.expect_closed().await;
        for (protocol, code) in [(4, 3), (5, 0x89)] {
            let mut one_more = bench.raw().await;
            let connect = Connect {
                protocol,
                ..Connect::default()
            };
            one_more.send(&connect.bytes()).await;
            assert_eq!(one_more.packet().await[3], code, "protocol {protocol}");
            one_more.expect_closed().await;
        }
        assert_eq!(bench.handle.stats().sockets_over_cap, 3);
        first.send(b"\xE0\x00").await;
        first.expect_closed().await;
        drop(first);
        // The place is free once the broker has seen the end too.
        in_time("a free place", async {
            loop {
                let mut raw = bench.raw().await;
                raw.send(&Connect::default().bytes()).await;
                if raw.next().await.is_some_and(|connack| connack[3] == 0) {
                    return;
                }
            }
        })
        .await;
    }
}

#[tokio::test]
async fn sessions_are_capped() {
    let bench = Bench::with(Config {
        sessions_max: 1,
        ..Config::default()
    })
    .await;
    let _first = bench.client(4, "P1").await;
    let mut raw = bench.raw().await;
    raw.send(
        &Connect {
            protocol: 5,
            client_id: "P2",
            ..Connect::default()
        }
        .bytes(),
    )
    .await;
    assert_eq!(raw.packet().await[3], 0x97);
}

#[tokio::test]
async fn authentication_that_takes_too_long_is_refused_and_delays_nobody_else() {
    let config = Config {
        authenticate_timeout: SHORT,
        authentications_max: 2,
        ..Config::default()
    };
    let bench = Bench::with(config).await;
    let mut stalled = bench.raw().await;
    stalled
        .send(
            &Connect {
                protocol: 5,
                password: "stall",
                ..Connect::default()
            }
            .bytes(),
        )
        .await;
    bench.client(4, "P2").await.ping().await;
    assert_eq!(stalled.packet().await[3], 0x88);
    stalled.expect_closed().await;
}

#[tokio::test]
async fn more_filters_in_one_packet_than_are_read_end_the_connection() {
    let mut bench = Bench::new().await;
    for protocol in [4, 5] {
        let mut raw = bench.client(protocol, "P1").await;
        raw.send(&subscribe(protocol, 1, &[("down/P1/x", 0); 257])).await;
        raw.expect_disconnect(protocol, 0x97).await;
        assert_eq!(bench.cause_for("P1").await, DisconnectCause::QuotaExceeded);
    }
    assert_eq!(bench.handle.stats().subscriptions_refused, 0);
}

#[tokio::test]
async fn a_flood_is_held_back_to_the_rate() {
    let rate = Rate {
        per_second: 50,
        burst: 5,
    };
    let bench = Bench::with(Config {
        packet_rate: Some(rate),
        ..Config::default()
    })
    .await;
    // Its right to a burst begins with the connection, and so does the time in which it gets more.
    let begun = Instant::now();
    let mut raw = bench.client(4, "P1").await;
    let flood: Vec<u8> = (1..=15).flat_map(|id| publish(4, 1, id, "up/P1/x", "{}")).collect();
    raw.send(&flood).await;
    for id in 1..=15 {
        assert_eq!(raw.packet().await, [0x40, 2, 0, id]);
    }
    assert!(
        begun.elapsed() >= Duration::from_millis(200),
        "10 beyond the burst at 50/s: {:?}",
        begun.elapsed()
    );
    // Who is looked at late is held back fewer times.
    assert!(bench.handle.stats().rate_limited > 0);
}

#[tokio::test]
async fn a_flood_that_connects_again_is_held_back_to_the_same_rate() {
    // What comes in the time that the test takes is a fraction of the burst.
    let bench = Bench::with(Config {
        packet_rate: Some(Rate {
            per_second: 1,
            burst: 300,
        }),
        ..Config::default()
    })
    .await;
    let mut taken = 0;
    let begun = Instant::now();
    for (n, client_id) in ["P1", "P1~tool", "P1"].into_iter().enumerate() {
        let mut raw = bench.client(4, client_id).await;
        let flood: Vec<u8> = (1..=140).flat_map(|id| publish(4, 0, id, "up/P1/x", "{}")).collect();
        raw.send(&flood).await;
        // What was read of the flood is known once the broker has stopped reading, or has answered behind it.
        if n < 2 {
            raw.send(b"\xE0\x00").await;
            raw.expect_closed().await;
        } else {
            in_time("being held back", async {
                while bench.handle.stats().rate_limited == 0 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            })
            .await;
        }
        taken = bench.handle.stats().publishes_in;
    }
    // Two DISCONNECTs count too.
    let refilled = begun.elapsed().as_secs() + 1;
    assert!((298..=298 + refilled).contains(&taken), "{taken}");
}

#[tokio::test]
async fn an_identity_that_connects_again_and_again_is_refused_until_later() {
    let bench = Bench::with(Config {
        login_rate: Some(Rate {
            per_second: 1,
            burst: 50,
        }),
        ..Config::default()
    })
    .await;
    let begun = Instant::now();
    let mut accepted = 0;
    let refused = loop {
        assert!(accepted < 1000, "never refused");
        let mut raw = bench.raw().await;
        let connect = Connect {
            protocol: 5,
            ..Connect::default()
        };
        raw.send(&connect.bytes()).await;
        match raw.packet().await[3] {
            0 => accepted += 1,
            code => break code,
        }
    };
    assert_eq!(refused, 0x9F);
    let refilled = begun.elapsed().as_secs() + 1;
    assert!((50..=50 + refilled).contains(&accepted), "{accepted}");
    bench.client(4, "P2").await.ping().await;
}

#[tokio::test]
async fn what_one_identity_has_unresolved_is_bounded_over_its_connections() {
    let mut bench = Bench::with(Config {
        unresolved_messages_max: 3,
        ..Config::default()
    })
    .await;
    let mut pile = bench.client(4, "P1").await;
    let mut tool = bench.client(5, "P1~tool").await;
    for (client, protocol) in [(&mut pile, 4), (&mut tool, 5)] {
        for id in 1..=2 {
            client.send(&publish(protocol, 1, id, "up/P1/hold", "{}")).await;
        }
    }
    for _ in 0..3 {
        bench.delivered().await;
    }
    bench.client(4, "P2").await.ping().await;
    bench.no_more_delivered();
    bench.take_receipt().acknowledge();
    bench.delivered().await;
    for _ in 0..3 {
        bench.take_receipt().acknowledge();
    }
    for id in 1..=2 {
        assert_eq!(pile.packet().await, [0x40, 2, 0, id]);
        assert_eq!(tool.packet().await, [0x40, 2, 0, id]);
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_is_dropped() {
    let config = Config {
        write_timeout: SHORT,
        queue_messages_max: 100_000,
        queue_bytes_max: usize::MAX,
        ..Config::default()
    };
    let mut bench = Bench::with(config).await;
    let mut raw = bench.client(4, "P1").await;
    raw.subscribe(4, "down/P1/#", 0).await;
    let message = Message::new("down/P1/x", vec![0; 100_000]);
    // More than any socket buffer between the two takes.
    for _ in 0..200 {
        bench.handle.publish_to("P1", message.clone()).unwrap();
    }
    assert_eq!(bench.cause_for("P1").await, DisconnectCause::SlowReader);
    assert_eq!(bench.handle.stats().slow_readers, 1);
}

#[tokio::test]
async fn a_full_queue_refuses_what_is_sent_to_the_client() {
    let bench = Bench::with(Config {
        queue_messages_max: 3,
        send_maximum: 2,
        ..Config::default()
    })
    .await;
    let mut raw = bench.client(4, "P1").await;
    raw.subscribe(4, "down/P1/#", 1).await;
    let message = Message::new("down/P1/x", "x").qos(broker::QoS::AtLeastOnce);
    for _ in 0..2 {
        bench.handle.publish_to("P1", message.clone()).unwrap();
        raw.packet().await;
    }
    for _ in 0..3 {
        bench.handle.publish_to("P1", message.clone()).unwrap();
    }
    assert_eq!(bench.handle.publish_to("P1", message), Err(PublishError::QueueFull));
}

#[tokio::test]
async fn a_3_1_1_client_with_too_much_under_way_is_read_no_further() {
    let mut bench = Bench::with(Config {
        receive_maximum: 3,
        ..Config::default()
    })
    .await;
    let mut raw = bench.client(4, "P1").await;
    let five: Vec<u8> = (1..=5).flat_map(|id| publish(4, 1, id, "up/P1/hold", "{}")).collect();
    raw.send(&five).await;
    for _ in 0..3 {
        bench.delivered().await;
    }
    bench.take_receipt().acknowledge();
    assert_eq!(raw.packet().await, b"\x40\x02\x00\x01");
    bench.delivered().await;
    bench.no_more_delivered();
    for id in 2..=4 {
        bench.take_receipt().acknowledge();
        assert_eq!(raw.packet().await, [0x40, 2, 0, id]);
    }
    bench.delivered().await;
    bench.take_receipt().acknowledge();
    assert_eq!(raw.packet().await, b"\x40\x02\x00\x05");
}

#[tokio::test]
async fn random_packets_from_many_clients_do_no_harm() {
    let bench = Bench::with(Config {
        client_ids_per_identity_max: 100,
        login_rate: None,
        ..Config::default()
    })
    .await;
    let mut seed = 0x9E37_79B9_7F4A_7C15u64;
    let mut next = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    for n in 0..200u32 {
        let mut raw = bench.client(4 + (n % 2) as u8, "P1~fuzz").await;
        let body: Vec<u8> = (0..next() % 60).map(|_| next() as u8).collect();
        let first = [0x30, 0x32, 0x34, 0x40, 0x50, 0x62, 0x70, 0x82, 0xA2, 0xC0, 0xE0][(next() % 11) as usize];
        raw.send(&packet(first, &body)).await;
        raw.send(b"\xE0\x00").await;
        while raw.next().await.is_some() {}
    }
    bench.client(4, "P1").await.ping().await;
    assert_eq!(bench.handle.stats().connects_accepted, 201);
}
