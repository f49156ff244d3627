//! A message as the router carries it: opaque bytes that a reader turns back into what was published.
//! The router would drop QoS, hand MQTT 5 properties to 3.1.1 subscribers and keep read buffers alive; this copies.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};

use crate::codec::{self, publish};
use crate::gatekeeper::Protocol;
use crate::message::{PublishProperties, QoS};

/// A message for shared subscribers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SharedMessage {
    pub(crate) topic: Arc<str>,
    pub(crate) payload: Bytes,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) properties: Option<Arc<PublishProperties>>,
    pub(crate) expires_at: Option<Instant>,
    /// Serial of the publishing session, for No Local; 0: none.
    pub(crate) origin: u64,
}

/// Envelope: origin, expiry in nanoseconds from the epoch (`u64::MAX`: none), and the message as an MQTT 5 PUBLISH.
pub(super) fn encode(message: &SharedMessage, epoch: Instant) -> Bytes {
    let mut out = BytesMut::with_capacity(64 + message.topic.len() + message.payload.len());
    out.put_u64(message.origin);
    let expiry = message.expires_at.map_or(u64::MAX, |at| {
        u64::try_from(at.saturating_duration_since(epoch).as_nanos()).unwrap_or(u64::MAX)
    });
    out.put_u64(expiry);
    let outgoing = publish::Outgoing {
        topic: &message.topic,
        payload: &message.payload,
        qos: message.qos,
        retain: message.retain,
        dup: false,
        packet_id: 1,
        alias: None,
        properties: message.properties.as_deref(),
        expiry_s: None,
        subscription_ids: &[],
    };
    publish::write(&mut out, Protocol::V5, &outgoing);
    out.freeze()
}

pub(super) fn decode(envelope: &Bytes, epoch: Instant) -> Option<SharedMessage> {
    let (origin, rest) = envelope.split_first_chunk()?;
    let (expiry, packet) = rest.split_first_chunk()?;
    let expires_at = match u64::from_be_bytes(*expiry) {
        u64::MAX => None,
        nanos => epoch.checked_add(Duration::from_nanos(nanos)),
    };
    let frame = codec::frame(packet, usize::MAX).ok()??;
    let codec::Packet::Publish(publish) = frame.decode(packet, Protocol::V5).ok()? else {
        return None;
    };
    Some(SharedMessage {
        topic: publish.topic.into(),
        payload: envelope.slice(envelope.len() - publish.payload.len()..),
        qos: publish.qos,
        retain: publish.retain,
        properties: publish.properties.map(Arc::from),
        expires_at,
        origin: u64::from_be_bytes(*origin),
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::router) fn message() -> SharedMessage {
        SharedMessage {
            topic: "a/b".into(),
            payload: Bytes::from_static(b"payload"),
            qos: QoS::ExactlyOnce,
            retain: true,
            properties: Some(Arc::new(PublishProperties {
                user_properties: vec![("k".into(), "v".into())],
                ..PublishProperties::default()
            })),
            expires_at: None,
            origin: 7,
        }
    }

    #[test]
    fn envelopes_carry_everything() {
        let epoch = Instant::now();
        let expiring = SharedMessage {
            expires_at: Some(epoch + Duration::from_millis(1500)),
            ..message()
        };
        let empty = SharedMessage {
            payload: Bytes::new(),
            properties: None,
            qos: QoS::AtMostOnce,
            ..message()
        };
        for message in [message(), expiring, empty] {
            assert_eq!(decode(&encode(&message, epoch), epoch), Some(message));
        }
        assert_eq!(decode(&Bytes::from_static(b"short"), epoch), None);
    }
}
