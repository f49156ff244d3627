//! Shared topics: publishes that the gatekeeper passes on, and those of the program, to everybody who subscribed.

use broker::{Config, Message, QoS};

use crate::bench::{Bench, Connect, in_time, publish, publish_with, suback_code, subscribe};

#[tokio::test]
async fn shared_messages_reach_subscribers_of_both_protocols_at_every_qos() {
    let bench = Bench::new().await;
    for qos in [0u8, 1, 2] {
        let mut v4 = bench.client(4, "P1").await;
        let mut v5 = bench.client(5, "P2").await;
        let mut outside = bench.client(4, "P3").await;
        v4.subscribe(4, "open/#", qos).await;
        v5.subscribe(5, "open/+/x", qos).await;
        outside.subscribe(4, "open/elsewhere", qos).await;
        let mut publisher = bench.client(4, "P4").await;
        publisher.send(&publish(4, 1, 1, "open/a/x", "hello")).await;
        assert_eq!(publisher.packet().await, b"\x40\x02\x00\x01");
        let sent_qos = qos.min(1);
        let id = u16::from(sent_qos);
        assert_eq!(v4.packet().await, publish(4, sent_qos, id, "open/a/x", "hello"));
        assert_eq!(v5.packet().await, publish(5, sent_qos, id, "open/a/x", "hello"));
        outside.ping().await;
    }
}

#[tokio::test]
async fn the_program_publishes_to_all() {
    let bench = Bench::new().await;
    bench
        .handle
        .publish_shared(Message::new("open/x", "nobody is there"))
        .unwrap();
    let mut raw = bench.client(4, "P1").await;
    raw.subscribe(4, "open/#", 1).await;
    bench
        .handle
        .publish_shared(Message::new("open/x", "1").qos(QoS::AtLeastOnce).retain())
        .unwrap();
    assert_eq!(raw.packet().await, publish(4, 1, 1, "open/x", "1"));
    let mut late = bench.client(4, "P2").await;
    late.subscribe(4, "open/x", 0).await;
    assert_eq!(
        late.packet().await,
        publish_with(4, 0x01, 0, "open/x", "1", &[]),
        "retained"
    );
}

#[tokio::test]
async fn messages_keep_their_order_and_none_is_lost() {
    let bench = Bench::with(Config {
        packet_rate: None,
        login_rate: None,
        ..Config::default()
    })
    .await;
    let mut raw = bench.client(4, "P1").await;
    raw.subscribe(4, "open/#", 0).await;
    let mut publisher = bench.client(4, "P2").await;
    let many: Vec<u8> = (0..900)
        .flat_map(|n| publish(4, 0, 0, "open/x", &format!("{n}")))
        .collect();
    publisher.send(&many).await;
    for n in 0..900 {
        assert_eq!(raw.packet().await, publish(4, 0, 0, "open/x", &format!("{n}")));
    }
    assert_eq!(bench.handle.stats().shared_lost, 0);
}

#[tokio::test]
async fn a_persistent_subscriber_gets_what_came_while_it_was_away() {
    let mut bench = Bench::new().await;
    let connect = Connect {
        clean: false,
        ..Connect::default()
    };
    let (mut raw, _) = bench.connect(&connect).await;
    raw.subscribe(4, "open/#", 1).await;
    drop(raw);
    bench.cause_for("P1").await;
    let mut publisher = bench.client(4, "P2").await;
    publisher.send(&publish(4, 0, 0, "open/x", "qos 0 is not kept")).await;
    publisher.send(&publish(4, 1, 1, "open/x", "kept")).await;
    publisher.packet().await;
    let (mut raw, _) = bench.connect(&connect).await;
    assert_eq!(raw.packet().await, publish(4, 1, 1, "open/x", "kept"));
}

#[tokio::test]
async fn a_will_goes_to_shared_subscribers() {
    let mut bench = Bench::new().await;
    let mut raw = bench.client(4, "P1").await;
    raw.subscribe(4, "open/#", 0).await;
    let (gone, _) = bench
        .connect(&Connect {
            client_id: "P2",
            will: Some(("open/gone", "bye", 0)),
            ..Connect::default()
        })
        .await;
    drop(gone);
    assert_eq!(bench.delivered().await.payload, "bye");
    assert_eq!(raw.packet().await, publish(4, 0, 0, "open/gone", "bye"));
}

#[tokio::test]
async fn links_and_filters_are_given_back() {
    let config = Config {
        shared_links_max: 2,
        shared_filters_max: 2,
        ..Config::default()
    };
    let mut bench = Bench::with(config).await;
    for n in 0..20 {
        let mut raw = bench.client(4 + n % 2, "P1").await;
        let filter = format!("open/{n}");
        // The port gives a link's number back a moment after its session is gone.
        in_time("a link", async {
            loop {
                raw.send(&subscribe(4 + n % 2, 1, &[(&filter, 0)])).await;
                if suback_code(&raw.packet().await) == 0 {
                    return;
                }
            }
        })
        .await;
        bench.handle.publish_shared(Message::new(filter.as_str(), "x")).unwrap();
        assert_eq!(raw.packet().await, publish(4 + n % 2, 0, 0, &filter, "x"));
        if n % 3 == 0 {
            let unsubscribe: &[u8] = if n % 2 == 0 { b"\xA2" } else { b"\xA2\x00" };
            let mut body = vec![0, 1];
            body.extend(&unsubscribe[1..]);
            body.extend(crate::bench::text(&filter));
            raw.send(&crate::bench::packet(0xA2, &body)).await;
            assert_eq!(raw.packet().await[0], 0xB0);
            bench.handle.publish_shared(Message::new(filter.as_str(), "x")).unwrap();
            raw.ping().await;
        }
        drop(raw);
        bench.cause_for("P1").await;
    }
    let mut raw = bench.client(5, "P1").await;
    in_time("a link", async {
        loop {
            raw.send(&subscribe(5, 1, &[("open/a", 0), ("open/b", 0), ("open/c", 0)]))
                .await;
            let suback = raw.packet().await;
            if suback.ends_with(&[0, 0, 0x97]) {
                return;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn subscriptions_of_a_session_are_capped() {
    let bench = Bench::with(Config {
        subscriptions_max: 2,
        ..Config::default()
    })
    .await;
    let mut raw = bench.client(5, "P1").await;
    raw.send(&subscribe(5, 1, &[("down/P1/a", 0), ("open/b", 1), ("down/P1/a", 1)]))
        .await;
    assert!(
        raw.packet().await.ends_with(&[0, 1, 0x97]),
        "no more filters than that are looked at"
    );
    raw.send(&subscribe(5, 1, &[("down/P1/c", 0), ("down/P1/a", 2)])).await;
    assert!(raw.packet().await.ends_with(&[0x97, 2]), "what exists can be replaced");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_published_after_suback_arrives() {
    let bench = Bench::with(Config {
        packet_rate: None,
        login_rate: None,
        ..Config::default()
    })
    .await;
    let mut publisher = bench.client(5, "P1").await;
    publisher.subscribe(5, "open/x", 0x04).await;
    for round in 0..200 {
        let mut raw = bench.client(5, "P2").await;
        raw.subscribe(5, "open/x", 0x05).await;
        let message = publish(5, 1, 1, "open/x", &format!("{round}"));
        publisher.send(&message).await;
        assert_eq!(publisher.packet().await, b"\x40\x02\x00\x01");
        assert_eq!(raw.packet().await, message);
    }
}
