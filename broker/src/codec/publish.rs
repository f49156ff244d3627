//! PUBLISH in both directions (MQTT-3.3), and the properties it shares with a will.
//! Written by ourselves rather than by rumqttd's codec, which hides the packet identifier that acknowledging needs.

use bytes::{BufMut, Bytes, BytesMut};

use super::DecodeError;
use super::properties::{NOT_HERE, Properties, Property, flag, put_binary, put_varint, varint_len};
use super::read::Reader;
use crate::gatekeeper::Protocol;
use crate::message::{PublishProperties, QoS, USER_PROPERTIES_MAX};
use crate::topic::is_name;

/// A PUBLISH as it lies in the read buffer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PublishPacket<'a> {
    pub(crate) dup: bool,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    /// Empty if only an alias was sent.
    pub(crate) topic: &'a str,
    /// 0 for QoS 0.
    pub(crate) packet_id: u16,
    pub(crate) alias: Option<u16>,
    pub(crate) properties: Option<Box<PublishProperties>>,
    pub(crate) payload: &'a [u8],
}

pub(super) fn read<'a>(flags: u8, r: &mut Reader<'a>, protocol: Protocol) -> Result<PublishPacket<'a>, DecodeError> {
    let qos = QoS::from_bits((flags >> 1) & 0x03).ok_or(DecodeError::Malformed("QoS 3 (MQTT-3.3.1-4)"))?;
    let dup = flags & 0x08 != 0;
    if dup && qos == QoS::AtMostOnce {
        return Err(DecodeError::Malformed("DUP with QoS 0 (MQTT-3.3.1-2)"));
    }
    let topic = r.text()?;
    if !topic.is_empty() && !is_name(topic) {
        return Err(DecodeError::Malformed("wildcard in a topic name (MQTT-3.3.2-2)"));
    }
    let packet_id = if qos == QoS::AtMostOnce { 0 } else { r.packet_id()? };
    let (alias, properties) = match protocol {
        Protocol::V4 => (None, None),
        Protocol::V5 => read_properties(r)?,
    };
    if topic.is_empty() && alias.is_none() {
        return Err(DecodeError::Protocol(
            "neither a topic name nor an alias (MQTT5 3.3.2.1)",
        ));
    }
    Ok(PublishPacket {
        dup,
        qos,
        retain: flags & 0x01 != 0,
        topic,
        packet_id,
        alias,
        properties,
        payload: r.rest(),
    })
}

type AliasAndProperties = (Option<u16>, Option<Box<PublishProperties>>);

fn read_properties(r: &mut Reader<'_>) -> Result<AliasAndProperties, DecodeError> {
    let mut alias = None;
    let mut message = PublishProperties::default();
    let mut properties = Properties::take(r)?;
    while let Some(property) = properties.next()? {
        match property {
            Property::TopicAlias(n) => alias = Some(n),
            other => take_message_property(&mut message, other)?,
        }
    }
    Ok((alias, boxed(message)))
}

fn boxed(properties: PublishProperties) -> Option<Box<PublishProperties>> {
    if properties.is_empty() {
        None
    } else {
        Some(Box::new(properties))
    }
}

/// The properties that PUBLISH and wills have in common.
fn take_message_property(message: &mut PublishProperties, property: Property<'_>) -> Result<(), DecodeError> {
    match property {
        Property::PayloadFormatIndicator(value) => {
            flag(value)?;
            message.payload_format_indicator = Some(value);
        }
        Property::MessageExpiryInterval(s) => message.message_expiry_interval_s = Some(s),
        Property::ContentType(text) => message.content_type = Some(text.to_owned()),
        Property::ResponseTopic(topic) => {
            if topic.is_empty() || topic.contains(['#', '+']) {
                return Err(DecodeError::Protocol("wildcard in Response Topic (MQTT-3.3.2-14)"));
            }
            message.response_topic = Some(topic.to_owned());
        }
        Property::CorrelationData(data) => message.correlation_data = Some(Bytes::copy_from_slice(data)),
        Property::User(name, value) => {
            if message.user_properties.len() >= USER_PROPERTIES_MAX {
                return Err(DecodeError::Quota("user properties"));
            }
            message.user_properties.push((name.to_owned(), value.to_owned()));
        }
        // PUBLISH has it, but only from the server.
        Property::SubscriptionIdentifier(_) => {
            return Err(DecodeError::Protocol(
                "Subscription Identifier from a client (MQTT-3.3.4-6)",
            ));
        }
        _ => return Err(NOT_HERE),
    }
    Ok(())
}

/// The properties of a will (MQTT5 3.1.3.2).
#[derive(Debug, Default)]
pub(super) struct WillProperties {
    pub(super) delay_s: u32,
    pub(super) properties: Option<Box<PublishProperties>>,
}

impl WillProperties {
    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut delay_s = 0;
        let mut message = PublishProperties::default();
        let mut properties = Properties::take(r)?;
        while let Some(property) = properties.next()? {
            match property {
                Property::WillDelayInterval(s) => delay_s = s,
                other => take_message_property(&mut message, other)?,
            }
        }
        Ok(Self {
            delay_s,
            properties: boxed(message),
        })
    }
}

/// A PUBLISH to be written. Properties and subscription identifiers are left out for 3.1.1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outgoing<'a> {
    pub(crate) topic: &'a str,
    pub(crate) payload: &'a [u8],
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) dup: bool,
    pub(crate) packet_id: u16,
    /// A topic alias to be set up, or, with an empty topic, used (MQTT5 3.3.2.3.4).
    pub(crate) alias: Option<u16>,
    pub(crate) properties: Option<&'a PublishProperties>,
    /// What is left of the message's life; replaces the interval in `properties` (MQTT-3.3.2-6).
    pub(crate) expiry_s: Option<u32>,
    pub(crate) subscription_ids: &'a [u32],
}

impl Outgoing<'_> {
    fn properties_len(&self) -> usize {
        let mut len = if self.expiry_s.is_some() { 5 } else { 0 };
        len += if self.alias.is_some() { 3 } else { 0 };
        for id in self.subscription_ids {
            len += 1 + varint_len(*id as usize);
        }
        len + properties_len(self.properties)
    }

    fn remaining_len(&self, protocol: Protocol) -> usize {
        let packet_id = if self.qos == QoS::AtMostOnce { 0 } else { 2 };
        let properties = match protocol {
            Protocol::V4 => 0,
            Protocol::V5 => {
                let len = self.properties_len();
                varint_len(len) + len
            }
        };
        2 + self.topic.len() + packet_id + properties + self.payload.len()
    }

    /// Length of the whole packet.
    pub(crate) fn packet_len(&self, protocol: Protocol) -> usize {
        let remaining = self.remaining_len(protocol);
        1 + varint_len(remaining) + remaining
    }
}

/// Length of the properties that belong to the message, expiry not counted.
pub(crate) fn properties_len(properties: Option<&PublishProperties>) -> usize {
    let Some(p) = properties else { return 0 };
    let pairs = p.user_properties.iter().map(|(k, v)| 5 + k.len() + v.len());
    p.payload_format_indicator.map_or(0, |_| 2)
        + p.content_type.as_ref().map_or(0, |s| 3 + s.len())
        + p.response_topic.as_ref().map_or(0, |s| 3 + s.len())
        + p.correlation_data.as_ref().map_or(0, |s| 3 + s.len())
        + pairs.sum::<usize>()
}

pub(crate) fn write(out: &mut BytesMut, protocol: Protocol, publish: &Outgoing<'_>) {
    let remaining = publish.remaining_len(protocol);
    out.reserve(5 + remaining);
    out.put_u8(0x30 | (u8::from(publish.dup) << 3) | ((publish.qos as u8) << 1) | u8::from(publish.retain));
    put_varint(out, remaining);
    put_binary(out, publish.topic.as_bytes());
    if publish.qos != QoS::AtMostOnce {
        out.put_u16(publish.packet_id);
    }
    if protocol == Protocol::V5 {
        put_varint(out, publish.properties_len());
        if let Some(s) = publish.expiry_s {
            out.put_u8(0x02);
            out.put_u32(s);
        }
        if let Some(alias) = publish.alias {
            out.put_u8(0x23);
            out.put_u16(alias);
        }
        for id in publish.subscription_ids {
            out.put_u8(0x0B);
            put_varint(out, *id as usize);
        }
        if let Some(p) = publish.properties {
            write_message_properties(out, p);
        }
    }
    out.put_slice(publish.payload);
}

fn write_message_properties(out: &mut BytesMut, p: &PublishProperties) {
    if let Some(value) = p.payload_format_indicator {
        out.put_slice(&[0x01, value]);
    }
    if let Some(text) = &p.content_type {
        out.put_u8(0x03);
        put_binary(out, text.as_bytes());
    }
    if let Some(text) = &p.response_topic {
        out.put_u8(0x08);
        put_binary(out, text.as_bytes());
    }
    if let Some(data) = &p.correlation_data {
        out.put_u8(0x09);
        put_binary(out, data);
    }
    for (name, value) in &p.user_properties {
        out.put_u8(0x26);
        put_binary(out, name.as_bytes());
        put_binary(out, value.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Packet, frame};
    use super::*;

    fn parse(bytes: &[u8], protocol: Protocol) -> Result<PublishPacket<'_>, DecodeError> {
        match frame(bytes, 4096).unwrap().unwrap().decode(bytes, protocol)? {
            Packet::Publish(publish) => Ok(publish),
            other => panic!("{other:?}"),
        }
    }

    fn outgoing(properties: &PublishProperties) -> Outgoing<'_> {
        Outgoing {
            topic: "a/b",
            payload: b"payload",
            qos: QoS::AtLeastOnce,
            retain: true,
            dup: true,
            packet_id: 513,
            alias: Some(7),
            properties: Some(properties),
            expiry_s: Some(9),
            subscription_ids: &[],
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let properties = PublishProperties {
            payload_format_indicator: Some(1),
            message_expiry_interval_s: Some(9),
            content_type: Some("text/plain".into()),
            response_topic: Some("r".into()),
            correlation_data: Some(Bytes::from_static(b"\xFF\x00")),
            user_properties: vec![("a".into(), "1".into()), ("a".into(), "2".into())],
        };
        let publish = outgoing(&properties);
        for protocol in [Protocol::V4, Protocol::V5] {
            let mut out = BytesMut::new();
            write(&mut out, protocol, &publish);
            assert_eq!(out.len(), publish.packet_len(protocol));
            let back = parse(&out, protocol).unwrap();
            assert_eq!(
                (back.topic, back.payload, back.packet_id),
                ("a/b", &b"payload"[..], 513)
            );
            assert!(back.dup && back.retain && back.qos == QoS::AtLeastOnce);
            assert_eq!(back.alias, (protocol == Protocol::V5).then_some(7));
            let expected = (protocol == Protocol::V5).then(|| Box::new(properties.clone()));
            assert_eq!(back.properties, expected, "properties never reach a 3.1.1 client");
        }
    }

    fn texts() -> impl Strategy<Value = String> {
        "[a-z/电]{0,12}"
    }

    fn any_properties() -> impl Strategy<Value = PublishProperties> {
        (
            proptest::option::of(0u8..2),
            proptest::option::of(any::<u32>()),
            proptest::option::of(texts()),
            proptest::option::of("[a-z]{1,9}"),
            proptest::option::of(proptest::collection::vec(any::<u8>(), 0..20)),
            proptest::collection::vec((texts(), texts()), 0..5),
        )
            .prop_map(
                |(format, expiry_s, content_type, response_topic, data, user_properties)| PublishProperties {
                    payload_format_indicator: format,
                    message_expiry_interval_s: expiry_s,
                    content_type,
                    response_topic,
                    correlation_data: data.map(Bytes::from),
                    user_properties,
                },
            )
    }

    proptest! {
        /// Whatever a client may publish reaches another of its version as it was, and its length is known before.
        #[test]
        fn any_message_that_is_written_is_read_back(
            topic in "[a-z/电]{1,40}",
            payload in proptest::collection::vec(any::<u8>(), 0..300),
            flags in (0u8..3, any::<bool>(), any::<bool>(), 1u16..),
            alias in proptest::option::of(1u16..),
            properties in any_properties(),
        ) {
            let (qos, retain, dup, packet_id) = flags;
            let qos = QoS::from_bits(qos).expect("below 3");
            prop_assert!(properties.can_be_sent());
            let publish = Outgoing {
                topic: &topic,
                payload: &payload,
                qos,
                retain,
                dup: dup && qos != QoS::AtMostOnce,
                packet_id,
                alias,
                properties: Some(&properties),
                expiry_s: properties.message_expiry_interval_s,
                subscription_ids: &[],
            };
            for protocol in [Protocol::V4, Protocol::V5] {
                let mut out = BytesMut::new();
                write(&mut out, protocol, &publish);
                prop_assert_eq!(out.len(), publish.packet_len(protocol));
                let back = parse(&out, protocol).expect("what we write can be read");
                prop_assert_eq!((back.topic, back.payload), (topic.as_str(), &payload[..]));
                prop_assert_eq!((back.qos, back.retain, back.dup), (qos, retain, publish.dup));
                let is_v5 = protocol == Protocol::V5;
                prop_assert_eq!(back.alias, alias.filter(|_| is_v5));
                let expected = boxed(properties.clone()).filter(|_| is_v5);
                prop_assert_eq!(back.properties, expected);
            }
        }
    }

    #[test]
    fn broken_publishes_are_refused() {
        let cases: [(&[u8], &str); 6] = [
            (b"\x36\x06\x00\x01a\x00\x01x", "QoS 3"),
            (b"\x38\x03\x00\x01a", "DUP with QoS 0"),
            (b"\x32\x05\x00\x01a\x00\x00", "packet id 0"),
            (b"\x30\x03\x00\x05a", "topic past the end"),
            (b"\x30\x04\x00\x02a\x00", "U+0000"),
            (b"\x30\x04\x00\x02\xC3\x28", "not UTF-8"),
        ];
        for (bytes, why) in cases {
            assert!(parse(bytes, Protocol::V4).is_err(), "{why}");
        }
        let v5: [(&[u8], &str); 4] = [
            (
                b"\x30\x06\x00\x01a\x02\x0B\x01",
                "subscription identifier from a client",
            ),
            (b"\x30\x06\x00\x01a\x02\x01\x02", "payload format 2"),
            (b"\x30\x08\x00\x01a\x04\x08\x00\x01#", "wildcard in response topic"),
            (b"\x30\x05\x00\x01a\x09\x01", "property length past the end"),
        ];
        for (bytes, why) in v5 {
            assert!(parse(bytes, Protocol::V5).is_err(), "{why}");
        }
    }

    #[test]
    fn user_properties_are_bounded() {
        let mut properties = PublishProperties {
            user_properties: vec![(String::new(), String::new()); USER_PROPERTIES_MAX],
            ..PublishProperties::default()
        };
        let mut out = BytesMut::new();
        write(&mut out, Protocol::V5, &outgoing(&properties));
        assert!(parse(&out, Protocol::V5).is_ok());
        properties.user_properties.push((String::new(), String::new()));
        let mut out = BytesMut::new();
        write(&mut out, Protocol::V5, &outgoing(&properties));
        assert!(parse(&out, Protocol::V5).is_err());
    }
}
