//! The short packets: PUBACK, PUBREC, PUBREL, PUBCOMP, PINGRESP and DISCONNECT (MQTT-3.4 to 3.7, 3.13, 3.14).
//! The four acknowledgements share one form in both protocols.

use bytes::{BufMut, BytesMut};

use super::DecodeError;
use super::properties::{NOT_HERE, Properties, Property};
use super::read::Reader;
use crate::gatekeeper::Protocol;

/// Any of the four acknowledgements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ack {
    pub(crate) packet_id: u16,
    /// Reason code; 0 in 3.1.1.
    pub(crate) reason: u8,
}

impl Ack {
    /// Reason codes of 0x80 and above are failures (MQTT5 2.4).
    pub(crate) fn is_failure(self) -> bool {
        self.reason >= 0x80
    }
}

pub(super) fn read(r: &mut Reader<'_>, protocol: Protocol) -> Result<Ack, DecodeError> {
    let packet_id = r.packet_id()?;
    let mut reason = 0;
    if protocol == Protocol::V5 && !r.is_empty() {
        reason = r.u8()?;
        if !r.is_empty() {
            Properties::take(r)?.skip_diagnostics()?;
        }
    }
    Ok(Ack { packet_id, reason })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Disconnect {
    /// 0x00 normal; 0x04 asks for the will to be published.
    pub(crate) reason: u8,
    /// A new Session Expiry Interval (MQTT5 3.14.2.2.2).
    pub(crate) session_expiry_s: Option<u32>,
}

pub(super) fn read_disconnect(r: &mut Reader<'_>, protocol: Protocol) -> Result<Disconnect, DecodeError> {
    let mut disconnect = Disconnect {
        reason: 0,
        session_expiry_s: None,
    };
    if protocol == Protocol::V5 && !r.is_empty() {
        disconnect.reason = r.u8()?;
        if !r.is_empty() {
            let mut properties = Properties::take(r)?;
            while let Some(property) = properties.next()? {
                match property {
                    Property::SessionExpiryInterval(s) => disconnect.session_expiry_s = Some(s),
                    Property::ReasonString | Property::User(..) => {}
                    _ => return Err(NOT_HERE),
                }
            }
        }
    }
    Ok(disconnect)
}

/// The four acknowledgements by their first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AckKind {
    /// PUBACK
    Ack = 0x40,
    /// PUBREC
    Received = 0x50,
    /// PUBREL
    Release = 0x62,
    /// PUBCOMP
    Complete = 0x70,
}

pub(crate) fn write(out: &mut BytesMut, protocol: Protocol, kind: AckKind, ack: Ack) {
    out.reserve(5);
    out.put_u8(kind as u8);
    if ack.reason == 0 || protocol == Protocol::V4 {
        out.put_u8(2);
        out.put_u16(ack.packet_id);
    } else {
        out.put_u8(3);
        out.put_u16(ack.packet_id);
        out.put_u8(ack.reason);
    }
}

pub(crate) fn write_pingresp(out: &mut BytesMut) {
    out.put_slice(&[0xD0, 0]);
}

/// DISCONNECT to an MQTT 5 client; 3.1.1 has none from the server.
pub(crate) fn write_disconnect_v5(out: &mut BytesMut, reason: u8) {
    out.put_slice(&[0xE0, 1, reason]);
}

#[cfg(test)]
mod tests {
    use super::super::{Packet, frame};
    use super::*;

    fn parse(bytes: &[u8], protocol: Protocol) -> Result<Packet<'_>, DecodeError> {
        frame(bytes, 4096).unwrap().unwrap().decode(bytes, protocol)
    }

    #[test]
    fn acknowledgements_are_read_in_their_three_lengths() {
        for (bytes, reason) in [
            (&b"\x40\x02\x00\x09"[..], 0),
            (b"\x40\x03\x00\x09\x10", 0x10),
            (b"\x40\x04\x00\x09\x87\x00", 0x87),
        ] {
            assert!(matches!(
                parse(bytes, Protocol::V5),
                Ok(Packet::PubAck(ack)) if ack == Ack { packet_id: 9, reason }
            ));
        }
        assert!(
            parse(b"\x40\x03\x00\x09\x10", Protocol::V4).is_err(),
            "3.1.1 has no reason code"
        );
        assert!(parse(b"\x40\x01\x00", Protocol::V5).is_err());
        assert!(parse(b"\x40\x02\x00\x00", Protocol::V5).is_err(), "packet id 0");
    }

    #[test]
    fn disconnect_carries_a_new_expiry() {
        assert!(matches!(
            parse(b"\xE0\x07\x04\x05\x11\x00\x00\x00\x3C", Protocol::V5),
            Ok(Packet::Disconnect(Disconnect {
                reason: 4,
                session_expiry_s: Some(60)
            }))
        ));
        assert!(
            parse(b"\xE0\x01\x00", Protocol::V4).is_err(),
            "3.1.1 DISCONNECT is empty"
        );
    }

    #[test]
    fn a_reason_is_written_only_where_it_exists() {
        let mut out = BytesMut::new();
        write(
            &mut out,
            Protocol::V4,
            AckKind::Ack,
            Ack {
                packet_id: 1,
                reason: 0x97,
            },
        );
        write(
            &mut out,
            Protocol::V5,
            AckKind::Release,
            Ack {
                packet_id: 1,
                reason: 0x92,
            },
        );
        assert_eq!(&out[..], b"\x40\x02\x00\x01\x62\x03\x00\x01\x92");
    }
}
