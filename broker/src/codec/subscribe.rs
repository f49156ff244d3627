//! SUBSCRIBE and UNSUBSCRIBE from the client, SUBACK and UNSUBACK to it (MQTT-3.8 to MQTT-3.11).
//! Whether a well-formed filter is allowed is not decided here: that has its own code in the answer.

use bytes::{BufMut, BytesMut};

use super::DecodeError;
use super::properties::{NOT_HERE, Properties, Property, put_varint, varint_len};
use super::read::Reader;
use crate::gatekeeper::Protocol;
use crate::message::QoS;
use crate::topic::is_filter;

/// Most filters in one SUBSCRIBE or UNSUBSCRIBE: each costs more than it did to send.
pub(crate) const FILTERS_MAX: usize = 256;

#[derive(Debug)]
pub(crate) struct Subscribe<'a> {
    pub(crate) packet_id: u16,
    /// Subscription Identifier, not 0 (MQTT5 3.8.2.1.2).
    pub(crate) subscription_id: Option<u32>,
    /// At least one (MQTT-3.8.3-3).
    pub(crate) filters: Vec<FilterRequest<'a>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FilterRequest<'a> {
    pub(crate) filter: &'a str,
    pub(crate) options: Options,
}

/// Subscription options (MQTT5 3.8.3.1); 3.1.1 has only the QoS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) qos: QoS,
    pub(crate) no_local: bool,
    pub(crate) retain_as_published: bool,
    pub(crate) retain_handling: RetainHandling,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RetainHandling {
    SendAtSubscribe,
    SendIfNew,
    DoNotSend,
}

#[derive(Debug)]
pub(crate) struct Unsubscribe<'a> {
    pub(crate) packet_id: u16,
    /// At least one (MQTT-3.10.3-2).
    pub(crate) filters: Vec<&'a str>,
}

pub(super) fn read_subscribe<'a>(r: &mut Reader<'a>, protocol: Protocol) -> Result<Subscribe<'a>, DecodeError> {
    let packet_id = r.packet_id()?;
    let mut subscription_id = None;
    if protocol == Protocol::V5 {
        let mut properties = Properties::take(r)?;
        while let Some(property) = properties.next()? {
            match property {
                Property::SubscriptionIdentifier(0) => {
                    return Err(DecodeError::Protocol("Subscription Identifier 0 (MQTT5 3.8.2.1.2)"));
                }
                Property::SubscriptionIdentifier(id) => subscription_id = Some(id),
                Property::User(..) => {}
                _ => return Err(NOT_HERE),
            }
        }
    }
    let mut filters = Vec::new();
    while !r.is_empty() {
        check_count(filters.len())?;
        filters.push(FilterRequest {
            filter: read_filter(r)?,
            options: read_options(r.u8()?, protocol)?,
        });
    }
    if filters.is_empty() {
        return Err(DecodeError::Protocol("SUBSCRIBE without a filter (MQTT-3.8.3-3)"));
    }
    Ok(Subscribe {
        packet_id,
        subscription_id,
        filters,
    })
}

/// A filter that is not well-formed makes the packet malformed; whether a well-formed one is allowed has its own code in
/// the answer.
fn read_filter<'a>(r: &mut Reader<'a>) -> Result<&'a str, DecodeError> {
    let filter = r.text()?;
    if is_filter(filter) {
        Ok(filter)
    } else {
        Err(DecodeError::Malformed("topic filter (MQTT-4.7.1-2, -3, MQTT-4.7.3-1)"))
    }
}

/// Before another filter is read.
fn check_count(read: usize) -> Result<(), DecodeError> {
    if read < FILTERS_MAX {
        Ok(())
    } else {
        Err(DecodeError::Quota("filters in one packet"))
    }
}

fn read_options(byte: u8, protocol: Protocol) -> Result<Options, DecodeError> {
    let reserved = match protocol {
        Protocol::V4 => byte & 0xFC,
        Protocol::V5 => byte & 0xC0,
    };
    if reserved != 0 {
        return Err(DecodeError::Malformed("reserved subscription options (MQTT-3.8.3-4)"));
    }
    Ok(Options {
        qos: QoS::from_bits(byte & 0x03).ok_or(DecodeError::Protocol("requested QoS 3 (MQTT5 3.8.3.1)"))?,
        no_local: byte & 0x04 != 0,
        retain_as_published: byte & 0x08 != 0,
        retain_handling: match (byte >> 4) & 0x03 {
            0 => RetainHandling::SendAtSubscribe,
            1 => RetainHandling::SendIfNew,
            2 => RetainHandling::DoNotSend,
            _ => return Err(DecodeError::Protocol("Retain Handling 3 (MQTT5 3.8.3.1)")),
        },
    })
}

pub(super) fn read_unsubscribe<'a>(r: &mut Reader<'a>, protocol: Protocol) -> Result<Unsubscribe<'a>, DecodeError> {
    let packet_id = r.packet_id()?;
    if protocol == Protocol::V5 {
        let mut properties = Properties::take(r)?;
        while let Some(property) = properties.next()? {
            if !matches!(property, Property::User(..)) {
                return Err(NOT_HERE);
            }
        }
    }
    let mut filters = Vec::new();
    while !r.is_empty() {
        check_count(filters.len())?;
        filters.push(read_filter(r)?);
    }
    if filters.is_empty() {
        return Err(DecodeError::Protocol("UNSUBSCRIBE without a filter (MQTT-3.10.3-2)"));
    }
    Ok(Unsubscribe { packet_id, filters })
}

/// The answer to one filter of a SUBSCRIBE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SubscribeResult {
    Granted(QoS),
    /// 0x87
    NotAuthorized,
    /// 0x8F
    TopicFilterInvalid,
    /// 0x97
    QuotaExceeded,
    /// 0x9E
    SharedSubscriptionsNotSupported,
}

impl SubscribeResult {
    fn code(self, protocol: Protocol) -> u8 {
        match (self, protocol) {
            (Self::Granted(qos), _) => qos as u8,
            (_, Protocol::V4) => 0x80,
            (Self::NotAuthorized, Protocol::V5) => 0x87,
            (Self::TopicFilterInvalid, Protocol::V5) => 0x8F,
            (Self::QuotaExceeded, Protocol::V5) => 0x97,
            (Self::SharedSubscriptionsNotSupported, Protocol::V5) => 0x9E,
        }
    }
}

/// Length of the SUBACK or UNSUBACK of MQTT 5 to a packet with so many filters.
pub(crate) fn answer_len_v5(filters: usize) -> usize {
    let remaining = 3 + filters;
    1 + varint_len(remaining) + remaining
}

pub(crate) fn write_suback(out: &mut BytesMut, protocol: Protocol, packet_id: u16, results: &[SubscribeResult]) {
    write_header(out, protocol, 0x90, packet_id, results.len());
    for result in results {
        out.put_u8(result.code(protocol));
    }
}

/// `existed[n]`: whether there was a subscription to the n-th filter. An unknown one is answered like a known one in
/// 3.1.1 (MQTT-3.10.4-5) and with 0x11 in 5.
pub(crate) fn write_unsuback(out: &mut BytesMut, protocol: Protocol, packet_id: u16, existed: &[bool]) {
    match protocol {
        Protocol::V4 => write_header(out, protocol, 0xB0, packet_id, 0),
        Protocol::V5 => {
            write_header(out, protocol, 0xB0, packet_id, existed.len());
            out.extend(existed.iter().map(|existed| if *existed { 0x00u8 } else { 0x11 }));
        }
    }
}

fn write_header(out: &mut BytesMut, protocol: Protocol, first_byte: u8, packet_id: u16, codes: usize) {
    let properties = match protocol {
        Protocol::V4 => 0,
        Protocol::V5 => 1,
    };
    out.put_u8(first_byte);
    put_varint(out, 2 + properties + codes);
    out.put_u16(packet_id);
    if properties > 0 {
        out.put_u8(0);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Packet, frame};
    use super::*;

    fn parse(bytes: &[u8], protocol: Protocol) -> Result<Packet<'_>, DecodeError> {
        frame(bytes, 4096).unwrap().unwrap().decode(bytes, protocol)
    }

    #[test]
    fn options_of_mqtt_5_are_read() {
        let Ok(Packet::Subscribe(subscribe)) = parse(b"\x82\x0B\x00\x0A\x02\x0B\x05\x00\x03a/#\x1D", Protocol::V5)
        else {
            panic!("not a SUBSCRIBE");
        };
        assert_eq!((subscribe.packet_id, subscribe.subscription_id), (10, Some(5)));
        let options = Options {
            qos: QoS::AtLeastOnce,
            no_local: true,
            retain_as_published: true,
            retain_handling: RetainHandling::SendIfNew,
        };
        assert_eq!(subscribe.filters, [FilterRequest { filter: "a/#", options }]);
    }

    #[test]
    fn broken_subscribes_are_refused() {
        let v4: [(&[u8], &str); 5] = [
            (b"\x82\x02\x00\x01", "no filter"),
            (b"\x82\x06\x00\x01\x00\x01a\x03", "QoS 3"),
            (b"\x82\x06\x00\x01\x00\x01a\x04", "reserved bits"),
            (b"\x82\x06\x00\x00\x00\x01a\x00", "packet id 0"),
            (b"\x82\x05\x00\x01\x00\x01a", "no options"),
        ];
        for (bytes, why) in v4 {
            assert!(parse(bytes, Protocol::V4).is_err(), "{why}");
        }
        let v5: [(&[u8], &str); 3] = [
            (
                b"\x82\x09\x00\x01\x02\x0B\x00\x00\x01a\x00",
                "subscription identifier 0",
            ),
            (b"\x82\x07\x00\x01\x00\x00\x01a\x30", "retain handling 3"),
            (b"\xA2\x03\x00\x01\x00", "UNSUBSCRIBE without a filter"),
        ];
        for (bytes, why) in v5 {
            assert!(parse(bytes, Protocol::V5).is_err(), "{why}");
        }
    }

    #[test]
    fn so_many_filters_are_read_and_no_more() {
        for (filters, is_read) in [(FILTERS_MAX, true), (FILTERS_MAX + 1, false)] {
            let subscribe = [b"\x00\x01".to_vec(), b"\x00\x01a\x00".repeat(filters)].concat();
            let unsubscribe = [b"\x00\x01".to_vec(), b"\x00\x01a".repeat(filters)].concat();
            let subscribe = read_subscribe(&mut Reader::new(&subscribe), Protocol::V4);
            let unsubscribe = read_unsubscribe(&mut Reader::new(&unsubscribe), Protocol::V4);
            assert_eq!(subscribe.map(|s| s.filters.len()).is_ok_and(|n| n == filters), is_read);
            assert_eq!(
                unsubscribe.map(|s| s.filters.len()).is_ok_and(|n| n == filters),
                is_read
            );
        }
    }

    #[test]
    fn answers_have_the_codes_of_their_protocol() {
        let results = [
            SubscribeResult::Granted(QoS::AtLeastOnce),
            SubscribeResult::NotAuthorized,
        ];
        let mut out = BytesMut::new();
        write_suback(&mut out, Protocol::V4, 7, &results);
        assert_eq!(&out[..], b"\x90\x04\x00\x07\x01\x80");
        let mut out = BytesMut::new();
        write_suback(&mut out, Protocol::V5, 7, &results);
        assert_eq!(&out[..], b"\x90\x05\x00\x07\x00\x01\x87");
        let mut out = BytesMut::new();
        write_unsuback(&mut out, Protocol::V4, 7, &[false]);
        write_unsuback(&mut out, Protocol::V5, 7, &[true, false]);
        assert_eq!(&out[..], b"\xB0\x02\x00\x07\xB0\x05\x00\x07\x00\x00\x11");
    }
}
