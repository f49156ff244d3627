//! Messages as they cross the broker: what came in with a PUBLISH, what the embedding program sends.
//! Topic and payload are always copies, never slices of a connection's read buffer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

/// Quality of Service levels (MQTT-4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum QoS {
    /// QoS 0: no acknowledgement.
    AtMostOnce = 0,
    /// QoS 1: PUBACK.
    AtLeastOnce = 1,
    /// QoS 2: PUBREC, PUBREL, PUBCOMP.
    ExactlyOnce = 2,
}

impl QoS {
    /// The level for the two bits on the wire; 3 is malformed (MQTT-3.3.1-4).
    pub(crate) fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0 => Some(Self::AtMostOnce),
            1 => Some(Self::AtLeastOnce),
            2 => Some(Self::ExactlyOnce),
            _ => None,
        }
    }
}

/// An application message as received (PUBLISH, or a will when it is published).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// Topic name, aliases already resolved. Valid: no wildcards, within the configured length and depth.
    pub topic: Arc<str>,
    /// Application payload, at most the configured packet size.
    pub payload: Bytes,
    /// The QoS it was published with.
    pub qos: QoS,
    /// RETAIN flag.
    pub retain: bool,
    /// DUP flag as received; it says nothing certain (MQTT-3.3.1-3).
    pub dup: bool,
    /// MQTT 5 properties that are passed through to subscribers; `None` if there are none.
    pub properties: Option<Box<PublishProperties>>,
}

/// MQTT 5 PUBLISH properties that belong to the application message (MQTT5 3.3.2.3).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PublishProperties {
    /// 1: the payload says it is UTF-8.
    pub payload_format_indicator: Option<u8>,
    /// Seconds after which the message must not be delivered any more.
    pub message_expiry_interval_s: Option<u32>,
    /// MIME type or whatever the publisher says.
    pub content_type: Option<String>,
    /// Topic for a response.
    pub response_topic: Option<String>,
    /// Opaque data for the requester.
    pub correlation_data: Option<Bytes>,
    /// Pairs, in order, repeats allowed; at most [`USER_PROPERTIES_MAX`].
    pub user_properties: Vec<(String, String)>,
}

/// More user properties than this in one packet are refused (0x97): each costs far more memory than bytes on the wire.
pub const USER_PROPERTIES_MAX: usize = 64;

impl PublishProperties {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether they can be written; those that came from a client can.
    pub(crate) fn can_be_sent(&self) -> bool {
        let is_text = |text: &String| text.len() <= usize::from(u16::MAX) && !text.contains('\0');
        self.payload_format_indicator.is_none_or(|value| value <= 1)
            && self.content_type.as_ref().is_none_or(is_text)
            && self
                .response_topic
                .as_ref()
                .is_none_or(|topic| is_text(topic) && !topic.is_empty() && !topic.contains(['#', '+']))
            && self
                .correlation_data
                .as_ref()
                .is_none_or(|data| data.len() <= usize::from(u16::MAX))
            && self.user_properties.len() <= USER_PROPERTIES_MAX
            && self.user_properties.iter().all(|(k, v)| is_text(k) && is_text(v))
    }

    /// Bytes that they hold in memory; what a message may cost is counted with them.
    pub(crate) fn bytes(&self) -> usize {
        let texts = [&self.content_type, &self.response_topic];
        let texts: usize = texts.into_iter().flatten().map(String::len).sum();
        let pairs: usize = self.user_properties.iter().map(|(k, v)| k.len() + v.len()).sum();
        let data = self.correlation_data.as_ref().map_or(0, Bytes::len);
        size_of::<Self>() + texts + data + pairs + self.user_properties.len() * size_of::<(String, String)>()
    }
}

/// Bytes that a message holds in memory while it waits or is retained: topic, payload and properties.
pub(crate) fn message_bytes(topic: &str, payload: &[u8], properties: Option<&PublishProperties>) -> usize {
    topic.len() + payload.len() + properties.map_or(0, PublishProperties::bytes)
}

/// A message that the embedding program sends, see [`Handle::publish_to`](crate::Handle::publish_to).
///
/// Defaults: QoS 0, not retained, not kept for a client that is away, no expiry.
#[derive(Debug, Clone)]
pub struct Message {
    pub(crate) topic: Arc<str>,
    pub(crate) payload: Bytes,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) keep_while_offline: bool,
    pub(crate) expiry: Option<Duration>,
    pub(crate) properties: Option<Arc<PublishProperties>>,
}

impl Message {
    /// A message with the defaults above.
    pub fn new(topic: impl Into<Arc<str>>, payload: impl Into<Bytes>) -> Self {
        Self {
            topic: topic.into(),
            payload: payload.into(),
            qos: QoS::AtMostOnce,
            retain: false,
            keep_while_offline: false,
            expiry: None,
            properties: None,
        }
    }

    /// Sets the QoS; what is sent is the lower of this and what the subscription was granted.
    #[must_use]
    pub fn qos(mut self, qos: QoS) -> Self {
        self.qos = qos;
        self
    }

    /// Keeps the message as the retained one of its topic; an empty payload clears it (MQTT-3.3.1-6).
    #[must_use]
    pub fn retain(mut self) -> Self {
        self.retain = true;
        self
    }

    /// Lets the message (QoS 1 and 2) wait in a persistent session whose client is away, and be sent again after a
    /// reconnect. Without this it lives and ends with the connection: a command must not reach a pile hours late.
    #[must_use]
    pub fn keep_while_offline(mut self) -> Self {
        self.keep_while_offline = true;
        self
    }

    /// After this time the message is not sent any more (and MQTT 5 clients are told what is left, in whole seconds).
    #[must_use]
    pub fn expiry(mut self, expiry: Duration) -> Self {
        self.expiry = Some(expiry);
        self
    }
}

/// What a client published, to be kept and given to [`Handle::restore`](crate::Handle::restore) after a restart.
impl From<Publish> for Message {
    fn from(publish: Publish) -> Self {
        let expiry_s = publish.properties.as_ref().and_then(|p| p.message_expiry_interval_s);
        Self {
            topic: publish.topic,
            payload: publish.payload,
            qos: publish.qos,
            retain: publish.retain,
            keep_while_offline: false,
            expiry: expiry_s.map(|s| Duration::from_secs(s.into())),
            properties: publish.properties.map(Arc::from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_cost_what_they_hold() {
        let properties = PublishProperties {
            content_type: Some("x".repeat(100)),
            correlation_data: Some(Bytes::from(vec![0; 1000])),
            user_properties: vec![("k".repeat(10_000), "v".repeat(100_000))],
            ..PublishProperties::default()
        };
        assert_eq!(message_bytes("a/b", b"12", None), 5);
        assert!(message_bytes("a/b", b"12", Some(&properties)) >= 111_105);
    }
}
