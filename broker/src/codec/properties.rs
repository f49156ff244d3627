//! MQTT 5 properties (MQTT5 2.2.2): one reader for all packets that refuses repeats, and small writers.
//! Which properties a packet may carry is decided by its own reader.

use bytes::{BufMut, BytesMut};

use super::DecodeError;
use super::read::Reader;

/// A property that a client may send somewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Property<'a> {
    PayloadFormatIndicator(u8),
    MessageExpiryInterval(u32),
    ContentType(&'a str),
    ResponseTopic(&'a str),
    CorrelationData(&'a [u8]),
    SubscriptionIdentifier(u32),
    SessionExpiryInterval(u32),
    AuthenticationMethod,
    AuthenticationData,
    RequestProblemInformation(u8),
    WillDelayInterval(u32),
    RequestResponseInformation(u8),
    ReasonString,
    ReceiveMaximum(u16),
    TopicAliasMaximum(u16),
    TopicAlias(u16),
    User(&'a str, &'a str),
    MaximumPacketSize(u32),
}

/// A property that its packet may not carry makes the packet malformed (MQTT5 2.2.2.2).
pub(super) const NOT_HERE: DecodeError = DecodeError::Malformed("property not allowed in this packet");

/// The properties of one packet, one after the other.
pub(super) struct Properties<'a> {
    reader: Reader<'a>,
    /// Bit per property id already seen; ids are below 64.
    seen: u64,
}

impl<'a> Properties<'a> {
    /// Takes the property length and as many bytes from `reader`.
    pub(super) fn take(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let len = reader.varint()?;
        let bytes = reader.take(len as usize)?;
        Ok(Self {
            reader: Reader::new(bytes),
            seen: 0,
        })
    }

    pub(super) fn next(&mut self) -> Result<Option<Property<'a>>, DecodeError> {
        if self.reader.is_empty() {
            return Ok(None);
        }
        let r = &mut self.reader;
        let id = r.u8()?;
        let property = match id {
            0x01 => Property::PayloadFormatIndicator(r.u8()?),
            0x02 => Property::MessageExpiryInterval(r.u32()?),
            0x03 => Property::ContentType(r.text()?),
            0x08 => Property::ResponseTopic(r.text()?),
            0x09 => Property::CorrelationData(r.binary()?),
            0x0B => Property::SubscriptionIdentifier(r.varint()?),
            0x11 => Property::SessionExpiryInterval(r.u32()?),
            0x15 => {
                r.text()?;
                Property::AuthenticationMethod
            }
            0x16 => {
                r.binary()?;
                Property::AuthenticationData
            }
            0x17 => Property::RequestProblemInformation(r.u8()?),
            0x18 => Property::WillDelayInterval(r.u32()?),
            0x19 => Property::RequestResponseInformation(r.u8()?),
            0x1F => {
                r.text()?;
                Property::ReasonString
            }
            0x21 => Property::ReceiveMaximum(r.u16()?),
            0x22 => Property::TopicAliasMaximum(r.u16()?),
            0x23 => Property::TopicAlias(r.u16()?),
            0x26 => return Ok(Some(Property::User(r.text()?, r.text()?))),
            0x27 => Property::MaximumPacketSize(r.u32()?),
            _ => return Err(DecodeError::Malformed("property that a client may not send")),
        };
        let bit = 1u64 << id;
        if self.seen & bit != 0 {
            return Err(DecodeError::Protocol("property sent twice (MQTT5 2.2.2.2)"));
        }
        self.seen |= bit;
        Ok(Some(property))
    }

    /// Reads to the end, allowing only what diagnostics need: reason string and user properties.
    pub(super) fn skip_diagnostics(mut self) -> Result<(), DecodeError> {
        while let Some(property) = self.next()? {
            match property {
                Property::ReasonString | Property::User(..) => {}
                _ => return Err(NOT_HERE),
            }
        }
        Ok(())
    }
}

/// A flag property: 0 or 1, all else is a protocol error.
pub(super) fn flag(value: u8) -> Result<bool, DecodeError> {
    match value {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(DecodeError::Protocol("flag property is neither 0 nor 1")),
    }
}

pub(super) fn varint_len(value: usize) -> usize {
    match value {
        0..=0x7F => 1,
        0x80..=0x3FFF => 2,
        0x4000..=0x1F_FFFF => 3,
        _ => 4,
    }
}

/// Writes a variable byte integer; everything written is bounded by the packet limits, far below 2^28.
pub(super) fn put_varint(out: &mut BytesMut, mut value: usize) {
    loop {
        let byte = (value & 0x7F) as u8;
        value >>= 7;
        if value == 0 {
            out.put_u8(byte);
            return;
        }
        out.put_u8(byte | 0x80);
    }
}

/// Writes binary data or a string with its length. Callers pass what was received in that form or checked before.
pub(super) fn put_binary(out: &mut BytesMut, bytes: &[u8]) {
    let len = u16::try_from(bytes.len()).expect("strings on the wire are bounded to 64 KiB where they enter");
    out.put_u16(len);
    out.put_slice(bytes);
}
