//! What must be so of every stream of packets: a packet is found whole or not at all, what follows it changes nothing, and
//! what is read and written again is read as the same.

use bytes::BytesMut;

use super::ack::{Ack, AckKind};
use super::properties::varint_len;
use super::publish::{Outgoing, PublishPacket};
use super::{DecodeError, Frame, Packet, ack, connect, frame, publish};
use crate::gatekeeper::Protocol;
use crate::message::{QoS, USER_PROPERTIES_MAX};

/// The longest packet that is taken.
const PACKET_BYTES_MAX: usize = 1024;
/// The most packets of one input.
const PACKETS_MAX: usize = 16;

/// A client's stream: the version in the first byte, 5 for MQTT 5, and then its packets.
pub fn packets(data: &[u8]) {
    let Some((&version, mut rest)) = data.split_first() else {
        return;
    };
    let protocol = if version == 5 { Protocol::V5 } else { Protocol::V4 };
    for _ in 0..PACKETS_MAX {
        let found = frame(rest, PACKET_BYTES_MAX);
        found_whole_or_not_at_all(rest, found);
        let Ok(Some(found)) = found else {
            return;
        };
        let (packet, behind) = rest.split_at(found.len);
        decoded_by_itself(found, packet, rest, protocol);
        rest = behind;
    }
}

/// A packet is complete with its last byte; what cannot be one is refused with its first bytes, whatever follows.
fn found_whole_or_not_at_all(bytes: &[u8], found: Result<Option<Frame>, DecodeError>) {
    match found {
        Ok(Some(found)) => {
            assert!((2..=PACKET_BYTES_MAX).contains(&found.len) && found.len <= bytes.len());
            for cut in [1, found.header_len, found.len - 1] {
                assert_eq!(frame(&bytes[..cut.min(found.len - 1)], PACKET_BYTES_MAX), Ok(None));
            }
        }
        Ok(None) => assert!(bytes.len() < PACKET_BYTES_MAX),
        Err(error) => {
            let first_bytes = &bytes[..bytes.len().min(5)];
            assert_eq!(frame(first_bytes, PACKET_BYTES_MAX), Err(error));
        }
    }
}

fn decoded_by_itself(found: Frame, packet: &[u8], with_more: &[u8], protocol: Protocol) {
    if found.is_connect() {
        let read = connect::read(found, packet);
        assert_eq!(format!("{read:?}"), format!("{:?}", connect::read(found, with_more)));
        if let Ok(read) = read {
            assert!(read.receive_maximum > 0 && read.packet_bytes_max != Some(0));
        }
        assert!(found.decode(packet, protocol).is_err(), "a second CONNECT");
        return;
    }
    let decoded = found.decode(packet, protocol);
    if protocol == Protocol::V5 && decoded.is_ok() {
        let shortest = 1 + varint_len(found.len - found.header_len);
        assert_eq!(found.header_len, shortest, "lengths take as few bytes as they need");
    }
    assert_eq!(
        format!("{decoded:?}"),
        format!("{:?}", found.decode(with_more, protocol)),
        "what follows a packet changes nothing"
    );
    match decoded {
        Ok(Packet::Publish(publish)) => publish_written_again_is_the_same(&publish, protocol),
        Ok(Packet::PubAck(ack)) => ack_written_again_is_the_same(AckKind::Ack, ack, protocol),
        Ok(Packet::PubRec(ack)) => ack_written_again_is_the_same(AckKind::Received, ack, protocol),
        Ok(Packet::PubRel(ack)) => ack_written_again_is_the_same(AckKind::Release, ack, protocol),
        Ok(Packet::PubComp(ack)) => ack_written_again_is_the_same(AckKind::Complete, ack, protocol),
        Ok(Packet::Subscribe(subscribe)) => {
            assert!(subscribe.packet_id > 0 && !subscribe.filters.is_empty());
            assert_ne!(subscribe.subscription_id, Some(0));
        }
        Ok(Packet::Unsubscribe(unsubscribe)) => assert!(unsubscribe.packet_id > 0 && !unsubscribe.filters.is_empty()),
        Ok(Packet::PingReq) => assert_eq!(found.len, found.header_len),
        Ok(Packet::Disconnect(_)) => assert!(protocol == Protocol::V5 || found.len == found.header_len),
        Err(error) => assert!(
            !matches!(error, DecodeError::TooLarge(_)),
            "that was said before it was whole"
        ),
    }
}

fn publish_written_again_is_the_same(packet: &PublishPacket<'_>, protocol: Protocol) {
    assert_eq!(packet.packet_id == 0, packet.qos == QoS::AtMostOnce);
    assert!(!(packet.dup && packet.qos == QoS::AtMostOnce));
    let properties = packet.properties.as_deref();
    assert!(properties.is_none_or(|it| it.user_properties.len() <= USER_PROPERTIES_MAX));
    let outgoing = Outgoing {
        topic: packet.topic,
        payload: packet.payload,
        qos: packet.qos,
        retain: packet.retain,
        dup: packet.dup,
        packet_id: packet.packet_id,
        alias: packet.alias,
        properties,
        expiry_s: properties.and_then(|properties| properties.message_expiry_interval_s),
        subscription_ids: &[],
    };
    let mut written = BytesMut::new();
    publish::write(&mut written, protocol, &outgoing);
    assert_eq!(written.len(), outgoing.packet_len(protocol));
    match read_whole(&written, protocol) {
        Packet::Publish(again) => assert_eq!(again, *packet),
        other => panic!("{packet:?} became {other:?}"),
    }
}

fn ack_written_again_is_the_same(kind: AckKind, ack: Ack, protocol: Protocol) {
    let mut written = BytesMut::new();
    ack::write(&mut written, protocol, kind, ack);
    let again = match (read_whole(&written, protocol), kind) {
        (Packet::PubAck(again), AckKind::Ack)
        | (Packet::PubRec(again), AckKind::Received)
        | (Packet::PubRel(again), AckKind::Release)
        | (Packet::PubComp(again), AckKind::Complete) => again,
        (other, _) => panic!("{ack:?} became {other:?}"),
    };
    assert_eq!(again, ack);
}

fn read_whole(written: &[u8], protocol: Protocol) -> Packet<'_> {
    let found = frame(written, usize::MAX).expect("what is written is well-formed");
    let found = found.expect("what is written is whole");
    assert_eq!(found.len, written.len());
    found.decode(written, protocol).expect("what is written can be read")
}
