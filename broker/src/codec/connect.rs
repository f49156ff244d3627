//! CONNECT from the client, CONNACK to it (MQTT-3.1, MQTT-3.2).
//! The protocol level is looked at first: it decides how all that follows is read, and how a refusal is written.

use bytes::{BufMut, Bytes, BytesMut};

use super::properties::{NOT_HERE, Properties, Property, flag, put_binary, put_varint};
use super::publish::WillProperties;
use super::read::Reader;
use super::{DecodeError, Frame};
use crate::gatekeeper::{ConnectRefusal, Protocol};
use crate::message::{Publish, QoS};
use crate::topic::is_name;

/// A CONNECT packet, owned: it outlives the read buffer while the gatekeeper thinks.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Connect {
    pub(crate) protocol: Protocol,
    /// Clean Session (3.1.1) or Clean Start (5).
    pub(crate) clean_start: bool,
    /// Seconds; 0: none.
    pub(crate) keep_alive_s: u16,
    pub(crate) client_id: String,
    pub(crate) will: Option<Will>,
    pub(crate) user_name: Option<String>,
    pub(crate) password: Option<Vec<u8>>,
    /// Seconds the session is to live on; `u32::MAX`: as long as the server allows.
    pub(crate) session_expiry_s: u32,
    pub(crate) receive_maximum: u16,
    pub(crate) packet_bytes_max: Option<u32>,
    /// Topic aliases that may be set up towards the client (MQTT5 3.1.2.11.5).
    pub(crate) topic_alias_maximum: u16,
    /// Enhanced authentication (MQTT5 4.12) was asked for.
    pub(crate) enhanced_authentication: bool,
}

/// The will of a connection (MQTT-3.1.2.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Will {
    pub(crate) publish: Publish,
    pub(crate) delay_s: u32,
}

/// Why a CONNECT could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConnectError {
    /// The protocol is MQTT, of a level that is not served.
    UnsupportedLevel(u8),
    Decode(DecodeError),
}

impl From<DecodeError> for ConnectError {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
}

/// The protocol of a CONNECT of which enough has come, whatever is wrong with the rest: it decides how that is answered.
pub(crate) fn protocol_of(buffer: &[u8]) -> Option<Protocol> {
    let length_bytes = buffer.get(1..)?.iter().take(4).position(|byte| byte & 0x80 == 0)? + 1;
    match buffer.get(1 + length_bytes..)?.strip_prefix(b"\x00\x04MQTT")?.first()? {
        4 => Some(Protocol::V4),
        5 => Some(Protocol::V5),
        _ => None,
    }
}

pub(crate) fn read(frame: Frame, buffer: &[u8]) -> Result<Connect, ConnectError> {
    if !frame.is_connect() {
        return Err(DecodeError::Protocol("first packet is not CONNECT (MQTT-3.1.0-1)").into());
    }
    let mut reader = frame.reader(buffer);
    let r = &mut reader;
    let name = r.binary()?;
    let level = r.u8()?;
    let protocol = match (name, level) {
        (b"MQTT", 4) => Protocol::V4,
        (b"MQTT", 5) => Protocol::V5,
        (b"MQTT", level) | (b"MQIsdp", level) => return Err(ConnectError::UnsupportedLevel(level)),
        _ => return Err(DecodeError::Malformed("protocol name (MQTT-3.1.2-1)").into()),
    };
    if protocol == Protocol::V5 {
        frame.expect_shortest_length()?;
    }
    let flags = r.u8()?;
    if flags & 0x01 != 0 {
        return Err(DecodeError::Malformed("reserved connect flag (MQTT-3.1.2-3)").into());
    }
    let mut connect = Connect {
        protocol,
        clean_start: flags & 0x02 != 0,
        keep_alive_s: r.u16()?,
        client_id: String::new(),
        will: None,
        user_name: None,
        password: None,
        session_expiry_s: if protocol == Protocol::V4 && flags & 0x02 == 0 {
            u32::MAX
        } else {
            0
        },
        receive_maximum: u16::MAX,
        packet_bytes_max: None,
        topic_alias_maximum: 0,
        enhanced_authentication: false,
    };
    if protocol == Protocol::V5 {
        read_properties(r, &mut connect)?;
    }
    r.text()?.clone_into(&mut connect.client_id);
    connect.will = read_will(r, flags, protocol)?;
    let (has_user_name, has_password) = (flags & 0x80 != 0, flags & 0x40 != 0);
    if has_user_name {
        connect.user_name = Some(r.text()?.to_owned());
    }
    if has_password {
        if !has_user_name && protocol == Protocol::V4 {
            return Err(DecodeError::Protocol("password without user name (MQTT-3.1.2-22)").into());
        }
        connect.password = Some(r.binary()?.to_owned());
    }
    r.expect_end()?;
    Ok(connect)
}

fn read_properties(r: &mut Reader<'_>, connect: &mut Connect) -> Result<(), DecodeError> {
    let mut properties = Properties::take(r)?;
    let mut has_data = false;
    while let Some(property) = properties.next()? {
        match property {
            Property::SessionExpiryInterval(s) => connect.session_expiry_s = s,
            Property::ReceiveMaximum(0) => return Err(DecodeError::Protocol("Receive Maximum 0 (MQTT5 3.1.2.11.3)")),
            Property::ReceiveMaximum(n) => connect.receive_maximum = n,
            Property::MaximumPacketSize(0) => {
                return Err(DecodeError::Protocol("Maximum Packet Size 0 (MQTT5 3.1.2.11.4)"));
            }
            Property::MaximumPacketSize(n) => connect.packet_bytes_max = Some(n),
            Property::RequestResponseInformation(value) | Property::RequestProblemInformation(value) => {
                flag(value)?;
            }
            Property::AuthenticationMethod => connect.enhanced_authentication = true,
            Property::AuthenticationData => has_data = true,
            Property::TopicAliasMaximum(n) => connect.topic_alias_maximum = n,
            Property::User(..) => {}
            _ => return Err(NOT_HERE),
        }
    }
    if has_data && !connect.enhanced_authentication {
        return Err(DecodeError::Protocol(
            "Authentication Data without a method (MQTT5 3.1.2.11.10)",
        ));
    }
    Ok(())
}

fn read_will(r: &mut Reader<'_>, flags: u8, protocol: Protocol) -> Result<Option<Will>, DecodeError> {
    let (has_will, qos_bits, retain) = (flags & 0x04 != 0, (flags >> 3) & 0x03, flags & 0x20 != 0);
    if !has_will {
        return if qos_bits == 0 && !retain {
            Ok(None)
        } else {
            Err(DecodeError::Malformed("will flags without a will (MQTT-3.1.2-13, -15)"))
        };
    }
    let qos = QoS::from_bits(qos_bits).ok_or(DecodeError::Malformed("will QoS 3 (MQTT-3.1.2-14)"))?;
    let WillProperties { delay_s, properties } = match protocol {
        Protocol::V4 => WillProperties::default(),
        Protocol::V5 => WillProperties::read(r)?,
    };
    let topic = r.text()?;
    if !is_name(topic) {
        return Err(DecodeError::Malformed("will topic (MQTT-4.7.1-1, MQTT-4.7.3-1)"));
    }
    let topic = topic.into();
    let payload = Bytes::copy_from_slice(r.binary()?);
    Ok(Some(Will {
        publish: Publish {
            topic,
            payload,
            qos,
            retain,
            dup: false,
            properties,
        },
        delay_s,
    }))
}

/// What an accepted client is told. Fields that are `None` mean the protocol's default.
#[derive(Debug, Clone, Default)]
pub(crate) struct Accepted<'a> {
    pub(crate) session_present: bool,
    pub(crate) session_expiry_s: Option<u32>,
    pub(crate) receive_maximum: u16,
    pub(crate) packet_bytes_max: u32,
    pub(crate) assigned_client_id: Option<&'a str>,
    pub(crate) topic_alias_maximum: u16,
    pub(crate) server_keep_alive_s: Option<u16>,
    /// The client may not publish retained messages (MQTT5 3.2.2.3.5).
    pub(crate) retain_unavailable: bool,
}

pub(crate) fn write_accepted(out: &mut BytesMut, protocol: Protocol, accepted: &Accepted<'_>) {
    if protocol == Protocol::V4 {
        out.put_slice(&[0x20, 2, u8::from(accepted.session_present), 0]);
        return;
    }
    let mut p = BytesMut::with_capacity(64);
    if let Some(s) = accepted.session_expiry_s {
        p.put_u8(0x11);
        p.put_u32(s);
    }
    p.put_u8(0x21);
    p.put_u16(accepted.receive_maximum);
    p.put_u8(0x27);
    p.put_u32(accepted.packet_bytes_max);
    if let Some(id) = accepted.assigned_client_id {
        p.put_u8(0x12);
        put_binary(&mut p, id.as_bytes());
    }
    if accepted.topic_alias_maximum > 0 {
        p.put_u8(0x22);
        p.put_u16(accepted.topic_alias_maximum);
    }
    if let Some(s) = accepted.server_keep_alive_s {
        p.put_u8(0x13);
        p.put_u16(s);
    }
    if accepted.retain_unavailable {
        p.put_slice(&[0x25, 0]);
    }
    // Shared Subscription Available: 0 (MQTT5 3.2.2.3.13). Wildcards and subscription identifiers are, by default.
    p.put_slice(&[0x2A, 0]);
    write_v5(out, accepted.session_present, 0, &p);
}

/// CONNACK with an error in the form of the protocol that the client speaks.
pub(crate) fn write_refused(out: &mut BytesMut, protocol: Protocol, refusal: ConnectRefusal) {
    match protocol {
        Protocol::V4 => out.put_slice(&[0x20, 2, 0, refusal.code_v4()]),
        Protocol::V5 => write_refused_v5(out, refusal.code_v5()),
    }
}

/// CONNACK of MQTT 5 with any reason code.
pub(crate) fn write_refused_v5(out: &mut BytesMut, code: u8) {
    write_v5(out, false, code, &[]);
}

fn write_v5(out: &mut BytesMut, session_present: bool, code: u8, properties: &[u8]) {
    let mut body = BytesMut::with_capacity(properties.len() + 8);
    body.put_u8(u8::from(session_present));
    body.put_u8(code);
    put_varint(&mut body, properties.len());
    body.put_slice(properties);
    out.put_u8(0x20);
    put_varint(out, body.len());
    out.put_slice(&body);
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::frame;
    use super::*;

    pub(in crate::codec) fn sample_v4() -> Vec<u8> {
        let mut bytes =
            b"\x10\x00\x00\x04MQTT\x04\xEE\x00\x3C\x00\x02P1\x00\x01w\x00\x03bye\x00\x02P1\x00\x01s".to_vec();
        bytes[1] = (bytes.len() - 2) as u8;
        bytes
    }

    pub(in crate::codec) fn sample_v5() -> Vec<u8> {
        let mut bytes = b"\x10\x00\x00\x04MQTT\x05\xC6\x00\x3C\x0D\x11\x00\x00\x00\x3C\x21\x00\x05\x27\x00\x00\x10\x00\
            \x00\x02P1\x05\x18\x00\x00\x00\x0A\x00\x01w\x00\x03bye\x00\x02P1\x00\x01s"
            .to_vec();
        bytes[1] = (bytes.len() - 2) as u8;
        bytes
    }

    fn parse(bytes: &[u8]) -> Result<Connect, ConnectError> {
        read(frame(bytes, 4096).unwrap().unwrap(), bytes)
    }

    #[test]
    fn a_full_connect_is_read() {
        let connect = parse(&sample_v4()).unwrap();
        assert_eq!(
            (connect.protocol, connect.clean_start, connect.keep_alive_s),
            (Protocol::V4, true, 60)
        );
        assert_eq!(
            (connect.client_id.as_str(), connect.user_name.as_deref()),
            ("P1", Some("P1"))
        );
        assert_eq!(connect.password.as_deref(), Some(&b"s"[..]));
        let will = connect.will.unwrap().publish;
        assert_eq!(
            (&*will.topic, &will.payload[..], will.qos, will.retain),
            ("w", &b"bye"[..], QoS::AtLeastOnce, true)
        );

        let connect = parse(&sample_v5()).unwrap();
        assert_eq!(
            (
                connect.session_expiry_s,
                connect.receive_maximum,
                connect.packet_bytes_max
            ),
            (60, 5, Some(4096))
        );
        assert_eq!(connect.will.unwrap().delay_s, 10);
    }

    #[test]
    fn other_levels_are_told_apart_from_nonsense() {
        let mut bytes = sample_v4();
        bytes[8] = 3;
        assert_eq!(parse(&bytes), Err(ConnectError::UnsupportedLevel(3)));
        bytes[4] = b'X';
        assert!(matches!(
            parse(&bytes),
            Err(ConnectError::Decode(DecodeError::Malformed(_)))
        ));
    }

    #[test]
    fn broken_connect_flags_are_refused() {
        for (flags, why) in [
            (0xEFu8, "reserved"),
            (0xFE, "will QoS 3"),
            (0x6E, "password alone"),
            (0xEA, "no will"),
        ] {
            let mut bytes = sample_v4();
            bytes[9] = flags;
            assert!(matches!(parse(&bytes), Err(ConnectError::Decode(_))), "{why}");
        }
    }

    #[test]
    fn a_property_sent_twice_is_refused() {
        let mut bytes = b"\x10\x00\x00\x04MQTT\x05\x02\x00\x00\x06\x21\x00\x05\x21\x00\x05\x00\x00".to_vec();
        bytes[1] = (bytes.len() - 2) as u8;
        assert!(matches!(
            parse(&bytes),
            Err(ConnectError::Decode(DecodeError::Protocol(_)))
        ));
    }
}
