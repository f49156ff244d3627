//! Topic aliases towards one client (MQTT5 3.3.2.3.4): the first topics of a connection get one and keep it.
//! None is ever given to another topic, so a client that misses nothing can never mistake one topic for another.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::BytesMut;

use crate::codec::publish::{self, Outgoing};
use crate::gatekeeper::Protocol;

#[derive(Debug, Default)]
pub(super) struct Aliases {
    /// How many the client takes, and we give.
    max: usize,
    by_topic: HashMap<Arc<str>, u16>,
}

impl Aliases {
    pub(super) fn new(max: u16) -> Self {
        Self {
            max: usize::from(max),
            by_topic: HashMap::new(),
        }
    }

    /// Writes a PUBLISH, by alias where that can be; false if it is larger than the client takes either way.
    pub(super) fn write(
        &mut self,
        out: &mut BytesMut,
        protocol: Protocol,
        bytes_max: usize,
        publish: Outgoing<'_>,
    ) -> bool {
        let next = u16::try_from(self.by_topic.len() + 1).ok();
        let next = next.filter(|_| self.by_topic.len() < self.max);
        let (aliased, is_new) = match self.by_topic.get(publish.topic) {
            Some(alias) => (
                Outgoing {
                    topic: "",
                    alias: Some(*alias),
                    ..publish
                },
                false,
            ),
            None => (Outgoing { alias: next, ..publish }, next.is_some()),
        };
        if aliased.packet_len(protocol) <= bytes_max {
            publish::write(out, protocol, &aliased);
            if let Some(alias) = next.filter(|_| is_new) {
                self.by_topic.insert(publish.topic.into(), alias);
            }
            return true;
        }
        let fits = publish.packet_len(protocol) <= bytes_max;
        if fits {
            publish::write(out, protocol, &publish);
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::QoS;

    fn written(aliases: &mut Aliases, topic: &str, bytes_max: usize) -> Option<Vec<u8>> {
        let publish = Outgoing {
            topic,
            payload: b"x",
            qos: QoS::AtMostOnce,
            retain: false,
            dup: false,
            packet_id: 0,
            alias: None,
            properties: None,
            expiry_s: None,
            subscription_ids: &[],
        };
        let mut out = BytesMut::new();
        let fits = aliases.write(&mut out, Protocol::V5, bytes_max, publish);
        fits.then(|| out.to_vec())
    }

    #[test]
    fn the_first_topics_get_an_alias_and_keep_it() {
        let mut aliases = Aliases::new(2);
        let mut write = |topic| written(&mut aliases, topic, 100).unwrap();
        assert_eq!(write("a"), b"\x30\x08\x00\x01a\x03\x23\x00\x01x");
        assert_eq!(write("b"), b"\x30\x08\x00\x01b\x03\x23\x00\x02x");
        assert_eq!(write("c"), b"\x30\x05\x00\x01c\x00x", "there are no more");
        assert_eq!(write("a"), b"\x30\x07\x00\x00\x03\x23\x00\x01x");
        let mut none = Aliases::new(0);
        assert_eq!(written(&mut none, "a", 100).unwrap(), b"\x30\x05\x00\x01a\x00x");
    }

    #[test]
    fn an_alias_does_not_make_a_packet_too_large() {
        let mut aliases = Aliases::new(2);
        assert_eq!(written(&mut aliases, "a", 7).unwrap(), b"\x30\x05\x00\x01a\x00x");
        assert_eq!(written(&mut aliases, "a", 6), None);
        assert_eq!(
            written(&mut aliases, "a", 10).unwrap(),
            b"\x30\x08\x00\x01a\x03\x23\x00\x01x",
            "it was not set up before"
        );
    }
}
