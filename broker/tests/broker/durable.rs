//! Acknowledgements that wait for the gatekeeper: PUBACK means what the gatekeeper makes it mean.

use broker::{DisconnectCause, RefusalReason};

use crate::bench::{Bench, Connect, publish, publish_with};

#[tokio::test]
async fn no_puback_before_the_receipt_is_resolved_and_then_in_order() {
    let mut bench = Bench::new().await;
    for protocol in [4, 5] {
        let mut raw = bench.client(protocol, "P1").await;
        for id in 1..=3 {
            raw.send(&publish(protocol, 1, id, "up/P1/hold", "{}")).await;
            bench.delivered().await;
        }
        let receipts = [bench.take_receipt(), bench.take_receipt(), bench.take_receipt()];
        raw.ping().await;
        let [first, second, third] = receipts;
        third.acknowledge();
        second.acknowledge();
        raw.ping().await;
        first.acknowledge();
        for id in 1..=3 {
            assert_eq!(raw.packet().await, [0x40, 2, 0, id]);
        }
    }
}

#[tokio::test]
async fn a_receipt_may_be_resolved_from_another_thread() {
    let mut bench = Bench::new().await;
    let mut raw = bench.client(4, "P1").await;
    raw.send(&publish(4, 1, 1, "up/P1/hold", "{}")).await;
    bench.delivered().await;
    let receipt = bench.take_receipt();
    std::thread::spawn(move || receipt.acknowledge());
    assert_eq!(raw.packet().await, b"\x40\x02\x00\x01");
}

#[tokio::test]
async fn a_failed_receipt_closes_without_puback() {
    let mut bench = Bench::new().await;
    for protocol in [4, 5] {
        let mut raw = bench.client(protocol, "P1").await;
        for id in 1..=2 {
            raw.send(&publish(protocol, 1, id, "up/P1/hold", "{}")).await;
            bench.delivered().await;
        }
        let (first, second) = (bench.take_receipt(), bench.take_receipt());
        second.acknowledge();
        drop(first);
        raw.expect_disconnect(protocol, 0x83).await;
        assert_eq!(bench.cause_for("P1").await, DisconnectCause::DeliveryFailed);
    }
    assert_eq!(bench.handle.stats().deliveries_failed, 2);
}

#[tokio::test]
async fn a_refused_message_is_told_to_mqtt_5_and_closes_3_1_1() {
    let mut bench = Bench::new().await;
    let mut v5 = bench.client(5, "P1").await;
    v5.send(&publish(5, 1, 1, "up/P1/hold", "{}")).await;
    v5.send(&publish(5, 2, 2, "up/P1/hold", "{}")).await;
    bench.delivered().await;
    bench.delivered().await;
    bench.take_receipt().refuse(RefusalReason::QuotaExceeded);
    bench.take_receipt().refuse(RefusalReason::PayloadFormatInvalid);
    assert_eq!(v5.packet().await, b"\x40\x03\x00\x01\x97");
    assert_eq!(v5.packet().await, b"\x50\x03\x00\x02\x99");
    v5.ping().await;
    let mut v4 = bench.client(4, "P2").await;
    v4.send(&publish(4, 1, 1, "up/P2/hold", "{}")).await;
    bench.delivered().await;
    bench.take_receipt().refuse(RefusalReason::QuotaExceeded);
    v4.expect_closed().await;
}

#[tokio::test]
async fn qos_2_is_delivered_once_even_if_repeated() {
    let mut bench = Bench::new().await;
    for protocol in [4, 5] {
        let mut raw = bench.client(protocol, "P1").await;
        raw.send(&publish(protocol, 2, 7, "up/P1/x", "once")).await;
        assert_eq!(raw.packet().await, b"\x50\x02\x00\x07");
        raw.send(&publish_with(protocol, 0x0C, 7, "up/P1/x", "once", &[])).await;
        assert_eq!(raw.packet().await, b"\x50\x02\x00\x07");
        raw.send(b"\x62\x02\x00\x07").await;
        assert_eq!(raw.packet().await, b"\x70\x02\x00\x07");
        assert_eq!(bench.delivered().await.payload, "once");
        bench.no_more_delivered();
        raw.send(&publish(protocol, 2, 7, "up/P1/x", "again")).await;
        assert_eq!(raw.packet().await, b"\x50\x02\x00\x07");
        assert_eq!(bench.delivered().await.payload, "again");
        raw.send(b"\x62\x02\x03\xE7").await;
        let unknown: &[u8] = if protocol == 5 {
            b"\x70\x03\x03\xE7\x92"
        } else {
            b"\x70\x02\x03\xE7"
        };
        assert_eq!(raw.packet().await, unknown);
    }
}

#[tokio::test]
async fn qos_2_is_delivered_once_across_a_reconnect_before_the_commit() {
    let mut bench = Bench::new().await;
    let connect = Connect {
        clean: false,
        ..Connect::default()
    };
    let (mut raw, _) = bench.connect(&connect).await;
    raw.send(&publish(4, 2, 7, "up/P1/hold", "once")).await;
    bench.delivered().await;
    drop(raw);
    assert_eq!(bench.cause_for("P1").await, DisconnectCause::Dropped);
    let (mut raw, connack) = bench.connect(&connect).await;
    assert_eq!(connack, b"\x20\x02\x01\x00", "session present");
    raw.send(&publish_with(4, 0x0C, 7, "up/P1/hold", "once", &[])).await;
    raw.ping().await;
    bench.take_receipt().acknowledge();
    assert_eq!(raw.packet().await, b"\x50\x02\x00\x07");
    bench.no_more_delivered();
}

#[tokio::test]
async fn qos_0_carries_an_inert_receipt() {
    let mut bench = Bench::new().await;
    let mut raw = bench.client(4, "P1").await;
    raw.send(&publish(4, 0, 0, "up/P1/hold", "x")).await;
    bench.delivered().await;
    let receipt = bench.take_receipt();
    assert!(!receipt.is_awaited());
    drop(receipt);
    raw.ping().await;
}
