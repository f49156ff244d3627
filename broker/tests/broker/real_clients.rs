//! rumqttc, a client we did not write, in both protocols: connect, subscribe, commands down, records up.

use std::time::Duration;

use broker::{Message, QoS};

use crate::bench::{Bench, in_time};

#[tokio::test]
async fn rumqttc_3_1_1() {
    use rumqttc::{AsyncClient, Event, MqttOptions, Packet};
    let mut bench = Bench::new().await;
    let mut options = MqttOptions::new("P1", "127.0.0.1", bench.address.port());
    options
        .set_credentials("P1", "secret")
        .set_keep_alive(Duration::from_secs(5));
    let (client, mut events) = AsyncClient::new(options, 10);
    client.subscribe("down/P1/#", rumqttc::QoS::AtLeastOnce).await.unwrap();
    for qos in [
        rumqttc::QoS::AtMostOnce,
        rumqttc::QoS::AtLeastOnce,
        rumqttc::QoS::ExactlyOnce,
    ] {
        client.publish("up/P1/record", qos, false, "{}").await.unwrap();
    }
    let handle = bench.handle.clone();
    let received = in_time("the whole conversation", async {
        let (mut acknowledged, mut completed, mut received) = (false, false, None);
        while !(acknowledged && completed && received.is_some()) {
            match events.poll().await.unwrap() {
                Event::Incoming(Packet::SubAck(_)) => {
                    let message = Message::new("down/P1/command", "start").qos(QoS::AtLeastOnce);
                    handle.publish_to("P1", message).unwrap();
                }
                Event::Incoming(Packet::PubAck(_)) => acknowledged = true,
                Event::Incoming(Packet::PubComp(_)) => completed = true,
                Event::Incoming(Packet::Publish(publish)) => received = Some(publish),
                _ => {}
            }
        }
        received
    })
    .await
    .unwrap();
    assert_eq!(
        (received.topic.as_str(), &received.payload[..]),
        ("down/P1/command", &b"start"[..])
    );
    for _ in 0..3 {
        assert_eq!(&*bench.delivered().await.topic, "up/P1/record");
    }
    bench.no_more_delivered();
}

#[tokio::test]
async fn rumqttc_5() {
    use rumqttc::v5::mqttbytes::v5::{Packet, PublishProperties};
    use rumqttc::v5::{AsyncClient, Event, MqttOptions, mqttbytes};
    let mut bench = Bench::new().await;
    let mut options = MqttOptions::new("P1", "127.0.0.1", bench.address.port());
    options
        .set_credentials("P1", "secret")
        .set_keep_alive(Duration::from_secs(5));
    let (client, mut events) = AsyncClient::new(options, 10);
    client
        .subscribe("down/P1/#", mqttbytes::QoS::ExactlyOnce)
        .await
        .unwrap();
    let properties = PublishProperties {
        user_properties: vec![("unit".into(), "kWh".into())],
        ..PublishProperties::default()
    };
    client
        .publish_with_properties("up/P1/record", mqttbytes::QoS::ExactlyOnce, false, "{}", properties)
        .await
        .unwrap();
    let handle = bench.handle.clone();
    let received = in_time("the whole conversation", async {
        let (mut completed, mut received) = (false, None);
        while !(completed && received.is_some()) {
            match events.poll().await.unwrap() {
                Event::Incoming(Packet::SubAck(_)) => {
                    let message = Message::new("down/P1/command", "stop").qos(QoS::ExactlyOnce);
                    handle.publish_to("P1", message).unwrap();
                }
                Event::Incoming(Packet::PubComp(_)) => completed = true,
                Event::Incoming(Packet::Publish(publish)) => received = Some(publish),
                _ => {}
            }
        }
        received
    })
    .await
    .unwrap();
    assert_eq!(&received.payload[..], b"stop");
    let delivered = bench.delivered().await;
    assert_eq!(
        delivered.properties.unwrap().user_properties,
        [("unit".to_owned(), "kWh".to_owned())]
    );
}
