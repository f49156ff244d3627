//! The wire format of MQTT 3.1.1 and 5, as a server sees it: packets from clients are parsed, packets to clients written.
//! Parsing borrows from the read buffer and allocates for nothing that a stranger may repeat at will.

pub(crate) mod ack;
pub(crate) mod connect;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod properties;
pub(crate) mod publish;
mod read;
pub(crate) mod subscribe;

use self::ack::{Ack, Disconnect};
use self::publish::PublishPacket;
use self::read::Reader;
use self::subscribe::{Subscribe, Unsubscribe};
use crate::gatekeeper::{DisconnectCause, Protocol};

/// Why bytes were refused. The text names the rule, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecodeError {
    #[error("malformed packet: {0}")]
    Malformed(&'static str),
    #[error("protocol error: {0}")]
    Protocol(&'static str),
    #[error("packet of {0} bytes is above the limit")]
    TooLarge(usize),
    /// A limit of the broker's own.
    #[error("more than is allowed: {0}")]
    Quota(&'static str),
}

impl DecodeError {
    pub(crate) fn cause(self) -> DisconnectCause {
        match self {
            Self::Malformed(_) => DisconnectCause::MalformedPacket,
            Self::Protocol(_) => DisconnectCause::ProtocolError,
            Self::TooLarge(_) => DisconnectCause::PacketTooLarge,
            Self::Quota(_) => DisconnectCause::QuotaExceeded,
        }
    }
}

const CONNECT: u8 = 1;
const PUBLISH: u8 = 3;
const PUBACK: u8 = 4;
const PUBREC: u8 = 5;
const PUBREL: u8 = 6;
const PUBCOMP: u8 = 7;
const SUBSCRIBE: u8 = 8;
const UNSUBSCRIBE: u8 = 10;
const PINGREQ: u8 = 12;
const DISCONNECT: u8 = 14;

/// A packet that an authenticated client may send.
#[derive(Debug)]
pub(crate) enum Packet<'a> {
    Publish(PublishPacket<'a>),
    PubAck(Ack),
    PubRec(Ack),
    PubRel(Ack),
    PubComp(Ack),
    Subscribe(Subscribe<'a>),
    Unsubscribe(Unsubscribe<'a>),
    PingReq,
    Disconnect(Disconnect),
}

/// Where a complete packet lies in the read buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame {
    first_byte: u8,
    header_len: usize,
    /// Length of the whole packet, fixed header included.
    pub(crate) len: usize,
}

/// Finds the first packet in `buffer`; `None` while it is incomplete. A type or flags that no client may send, and a
/// length above `packet_bytes_max`, are refused as soon as they can be seen.
pub(crate) fn frame(buffer: &[u8], packet_bytes_max: usize) -> Result<Option<Frame>, DecodeError> {
    let Some(&first_byte) = buffer.first() else {
        return Ok(None);
    };
    check_first_byte(first_byte)?;
    let mut remaining = 0usize;
    for (at, &byte) in buffer[1..].iter().take(4).enumerate() {
        remaining |= usize::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            let header_len = 2 + at;
            let len = header_len + remaining;
            if len > packet_bytes_max {
                return Err(DecodeError::TooLarge(len));
            }
            return Ok((buffer.len() >= len).then_some(Frame {
                first_byte,
                header_len,
                len,
            }));
        }
    }
    if buffer.len() >= 5 {
        return Err(DecodeError::Malformed(
            "remaining length of more than 4 bytes (MQTT-2.2.3)",
        ));
    }
    Ok(None)
}

/// Refuses what a client may never send, before anything is made of it (MQTT-2.2.2-2).
fn check_first_byte(first_byte: u8) -> Result<(), DecodeError> {
    let flags = first_byte & 0x0F;
    let flags_ok = match first_byte >> 4 {
        PUBLISH => true,
        PUBREL | SUBSCRIBE | UNSUBSCRIBE => flags == 0b0010,
        CONNECT | PUBACK | PUBREC | PUBCOMP | PINGREQ | DISCONNECT => flags == 0,
        0 => return Err(DecodeError::Malformed("packet type 0 (MQTT5 2.1.2)")),
        _ => return Err(DecodeError::Protocol("packet type that a client may not send")),
    };
    if flags_ok {
        Ok(())
    } else {
        Err(DecodeError::Malformed("reserved flags (MQTT-2.2.2-2)"))
    }
}

/// The first packet must be CONNECT (MQTT-3.1.0-1); this can be said before it is complete.
pub(crate) fn expect_connect(buffer: &[u8]) -> Result<(), DecodeError> {
    match buffer.first() {
        Some(first_byte) if first_byte >> 4 != CONNECT => {
            Err(DecodeError::Protocol("first packet is not CONNECT (MQTT-3.1.0-1)"))
        }
        _ => Ok(()),
    }
}

impl Frame {
    pub(crate) fn is_connect(self) -> bool {
        self.first_byte >> 4 == CONNECT
    }

    /// MQTT 5 wants lengths in as few bytes as they need (MQTT-1.5.5-1); 3.1.1 says nothing of it, and firmware that leaves
    /// room for a length and fills it in later pads it.
    fn expect_shortest_length(self) -> Result<(), DecodeError> {
        if self.header_len == 1 + properties::varint_len(self.len - self.header_len) {
            Ok(())
        } else {
            Err(DecodeError::Malformed(
                "remaining length in more bytes than it needs (MQTT-1.5.5-1)",
            ))
        }
    }

    pub(crate) fn is_publish(self) -> bool {
        self.first_byte >> 4 == PUBLISH
    }

    fn reader(self, buffer: &[u8]) -> Reader<'_> {
        Reader::new(&buffer[self.header_len..self.len])
    }

    /// Parses the packet of an authenticated client out of the buffer in which it was found.
    pub(crate) fn decode(self, buffer: &[u8], protocol: Protocol) -> Result<Packet<'_>, DecodeError> {
        if protocol == Protocol::V5 {
            self.expect_shortest_length()?;
        }
        let mut reader = self.reader(buffer);
        let packet = match self.first_byte >> 4 {
            PUBLISH => Packet::Publish(publish::read(self.first_byte & 0x0F, &mut reader, protocol)?),
            PUBACK => Packet::PubAck(ack::read(&mut reader, protocol)?),
            PUBREC => Packet::PubRec(ack::read(&mut reader, protocol)?),
            PUBREL => Packet::PubRel(ack::read(&mut reader, protocol)?),
            PUBCOMP => Packet::PubComp(ack::read(&mut reader, protocol)?),
            SUBSCRIBE => Packet::Subscribe(subscribe::read_subscribe(&mut reader, protocol)?),
            UNSUBSCRIBE => Packet::Unsubscribe(subscribe::read_unsubscribe(&mut reader, protocol)?),
            PINGREQ => Packet::PingReq,
            DISCONNECT => Packet::Disconnect(ack::read_disconnect(&mut reader, protocol)?),
            CONNECT => return Err(DecodeError::Protocol("second CONNECT (MQTT-3.1.0-2)")),
            _ => return Err(DecodeError::Protocol("packet type that a client may not send")),
        };
        reader.expect_end()?;
        Ok(packet)
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use proptest::prelude::*;

    use super::*;
    use crate::message::QoS;

    #[test]
    fn types_that_only_servers_send_are_refused_by_the_first_byte() {
        for first_byte in [0x20, 0x90, 0xB0, 0xD0, 0xF0] {
            assert!(
                matches!(frame(&[first_byte], 100), Err(DecodeError::Protocol(_))),
                "{first_byte:#x}"
            );
        }
        assert!(matches!(frame(&[0xB0, 0x01, 0x9D], 100), Err(DecodeError::Protocol(_))));
    }

    #[test]
    fn reserved_flags_are_refused() {
        for first_byte in [0x00, 0x11, 0x41, 0x60, 0x80, 0xA0, 0xC1, 0xE1] {
            assert!(
                matches!(frame(&[first_byte], 100), Err(DecodeError::Malformed(_))),
                "{first_byte:#x}"
            );
        }
    }

    #[test]
    fn a_length_above_the_limit_is_refused_before_the_body_comes() {
        assert_eq!(frame(&[0x30, 0x7F], 100), Err(DecodeError::TooLarge(129)));
        assert_eq!(frame(&[0x30, 98], 100), Ok(None));
        assert!(matches!(
            frame(&[0x30, 0xFF, 0xFF, 0xFF, 0xFF], 100),
            Err(DecodeError::Malformed(_))
        ));
        assert_eq!(frame(&[0x30, 0xFF, 0xFF, 0xFF], 100), Ok(None));
    }

    #[test]
    fn a_padded_length_is_refused_in_mqtt_5_alone() {
        let ping = b"\xC0\x80\x00";
        let found = frame(ping, 100).unwrap().unwrap();
        assert_eq!(found.len, 3);
        assert!(matches!(found.decode(ping, Protocol::V4), Ok(Packet::PingReq)));
        assert!(matches!(
            found.decode(ping, Protocol::V5),
            Err(DecodeError::Malformed(_))
        ));

        let pad = |connect: &[u8]| [&[0x10, connect[1] | 0x80, 0x00], &connect[2..]].concat();
        let (old, new) = (pad(&connect::tests::sample_v4()), pad(&connect::tests::sample_v5()));
        assert!(connect::read(frame(&old, 100).unwrap().unwrap(), &old).is_ok());
        assert!(connect::read(frame(&new, 100).unwrap().unwrap(), &new).is_err());

        // The length of the properties, which only MQTT 5 has.
        for (publish, is_good) in [
            (&b"\x30\x04\x00\x01a\x00"[..], true),
            (b"\x30\x05\x00\x01a\x80\x00", false),
        ] {
            let read = frame(publish, 100).unwrap().unwrap().decode(publish, Protocol::V5);
            assert_eq!(read.is_ok(), is_good, "{publish:02x?}");
        }
    }

    /// Valid packets of every kind a client sends, to be cut and bent.
    fn samples() -> Vec<Vec<u8>> {
        let mut publish = BytesMut::new();
        publish::write(
            &mut publish,
            Protocol::V5,
            &publish::Outgoing {
                topic: "hf/v1/pile/P1/up/record",
                payload: b"{\"a\":1}",
                qos: QoS::ExactlyOnce,
                retain: true,
                dup: false,
                packet_id: 7,
                alias: Some(3),
                properties: Some(&crate::PublishProperties {
                    payload_format_indicator: Some(1),
                    content_type: Some("application/json".into()),
                    response_topic: Some("answer".into()),
                    correlation_data: Some(bytes::Bytes::from_static(b"\x00\x01")),
                    user_properties: vec![("k".into(), "v".into())],
                    ..Default::default()
                }),
                expiry_s: Some(60),
                subscription_ids: &[],
            },
        );
        vec![
            publish.to_vec(),
            b"\x32\x07\x00\x03a/b\x00\x01".to_vec(),
            b"\x40\x02\x00\x01".to_vec(),
            b"\x50\x04\x00\x01\x10\x00".to_vec(),
            b"\x62\x03\x00\x01\x92".to_vec(),
            b"\x70\x02\x00\x01".to_vec(),
            b"\x82\x0B\x00\x0A\x02\x0B\x01\x00\x03a/#\x2D".to_vec(),
            b"\xA2\x08\x00\x0A\x00\x00\x03a/#".to_vec(),
            b"\xC0\x00".to_vec(),
            b"\xE0\x07\x04\x05\x11\x00\x00\x00\x3C".to_vec(),
            connect::tests::sample_v5(),
            connect::tests::sample_v4(),
        ]
    }

    fn decode_everything(bytes: &[u8]) {
        for protocol in [Protocol::V4, Protocol::V5] {
            let mut rest = bytes;
            while let Ok(Some(found)) = frame(rest, 4096) {
                // Refusals and acceptances are both fine here; a panic is not.
                drop(found.decode(rest, protocol));
                drop(connect::read(found, rest));
                rest = &rest[found.len..];
            }
        }
    }

    #[test]
    fn every_sample_is_understood() {
        for bytes in samples() {
            let found = frame(&bytes, 4096).expect("no violation").expect("complete");
            assert_eq!(found.len, bytes.len(), "{bytes:02x?}");
            if found.is_connect() {
                connect::read(found, &bytes).expect("a valid CONNECT");
            } else {
                let understood = found
                    .decode(&bytes, Protocol::V5)
                    .or_else(|_| found.decode(&bytes, Protocol::V4));
                understood.unwrap_or_else(|error| panic!("{bytes:02x?}: {error}"));
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            decode_everything(&bytes);
        }

        #[test]
        fn arbitrary_bodies_of_legal_types_never_panic(
            first in proptest::sample::select(vec![0x10u8, 0x30, 0x32, 0x34, 0x40, 0x50, 0x62, 0x70, 0x82, 0xA2, 0xE0]),
            body in proptest::collection::vec(any::<u8>(), 0..127),
        ) {
            let mut bytes = vec![first, body.len() as u8];
            bytes.extend_from_slice(&body);
            decode_everything(&bytes);
        }

        /// However the stream is cut, the same packets are found.
        #[test]
        fn pieces_make_the_same_packets(cuts in proptest::collection::vec(1usize..40, 1..60)) {
            let stream: Vec<u8> = samples().concat();
            let whole: Vec<usize> = samples().iter().map(Vec::len).collect();
            let (mut buffer, mut found, mut rest) = (Vec::new(), Vec::new(), &stream[..]);
            for cut in cuts.into_iter().chain(std::iter::repeat(40)) {
                let (piece, left) = rest.split_at(cut.min(rest.len()));
                rest = left;
                buffer.extend_from_slice(piece);
                while let Some(frame) = frame(&buffer, 4096).expect("all valid") {
                    found.push(frame.len);
                    buffer.drain(..frame.len);
                }
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(found, whole);
            prop_assert!(buffer.is_empty());
        }

        #[test]
        fn bent_packets_never_panic(
            pick in any::<proptest::sample::Index>(),
            at in any::<proptest::sample::Index>(),
            value in any::<u8>(),
            cut in any::<proptest::sample::Index>(),
        ) {
            let samples = samples();
            let mut bytes = samples[pick.index(samples.len())].clone();
            let at = at.index(bytes.len());
            bytes[at] = value;
            decode_everything(&bytes);
            bytes.truncate(cut.index(bytes.len()));
            if bytes.len() > 1 {
                bytes[1] = (bytes.len() - 2) as u8;
            }
            decode_everything(&bytes);
        }
    }
}
