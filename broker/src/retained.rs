//! Retained messages: the last one of each topic, for whoever subscribes later (MQTT-3.3.1.3).
//! In memory and bounded; what must survive a restart, the embedding program keeps and restores.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::message::{PublishProperties, QoS, message_bytes};
use crate::topic::{literal_prefix, matches};

#[derive(Debug, Clone)]
pub(crate) struct RetainedMessage {
    pub(crate) payload: Bytes,
    pub(crate) qos: QoS,
    pub(crate) properties: Option<Arc<PublishProperties>>,
    pub(crate) expires_at: Option<Instant>,
}

impl RetainedMessage {
    fn bytes(&self, topic: &str) -> usize {
        message_bytes(topic, &self.payload, self.properties.as_deref())
    }
}

#[derive(Debug)]
pub(crate) struct Retained {
    by_topic: BTreeMap<Arc<str>, RetainedMessage>,
    bytes: usize,
    messages_max: usize,
    bytes_max: usize,
}

/// A cap is reached; the topic keeps what it had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RetainedFull;

impl Retained {
    pub(crate) fn new(messages_max: usize, bytes_max: usize) -> Self {
        Self {
            by_topic: BTreeMap::new(),
            bytes: 0,
            messages_max,
            bytes_max,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_topic.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keeps a message in place of the topic's last; an empty payload removes that (MQTT-3.3.1-6, -10, -11).
    pub(crate) fn set(&mut self, now: Instant, topic: &Arc<str>, message: RetainedMessage) -> Result<(), RetainedFull> {
        if message.payload.is_empty() {
            self.remove(topic);
            return Ok(());
        }
        let replaced = self.by_topic.get(topic).map(|old| old.bytes(topic));
        let new = message.bytes(topic);
        let fits = |retained: &Self| {
            retained.bytes - replaced.unwrap_or(0) + new <= retained.bytes_max
                && (replaced.is_some() || retained.by_topic.len() < retained.messages_max)
        };
        if !fits(self) {
            self.remove_expired(now);
            if !fits(self) {
                return Err(RetainedFull);
            }
        }
        self.remove(topic);
        self.bytes += new;
        self.by_topic.insert(topic.clone(), message);
        Ok(())
    }

    fn remove(&mut self, topic: &str) {
        if let Some((topic, old)) = self.by_topic.remove_entry(topic) {
            self.bytes -= old.bytes(&topic);
        }
    }

    fn remove_expired(&mut self, now: Instant) {
        let bytes = &mut self.bytes;
        self.by_topic.retain(|topic, message| {
            let keep = message.expires_at.is_none_or(|at| at > now);
            if !keep {
                *bytes -= message.bytes(topic);
            }
            keep
        });
    }

    /// The messages for a new subscription, at most `max`. Only names that begin like the filter are looked at.
    pub(crate) fn matching(&self, now: Instant, filter: &str, max: usize) -> Vec<(Arc<str>, RetainedMessage)> {
        let prefix = literal_prefix(filter);
        self.by_topic
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
            .take_while(|(topic, _)| topic.starts_with(prefix))
            .filter(|(topic, message)| matches(filter, topic) && message.expires_at.is_none_or(|at| at > now))
            .map(|(topic, message)| (topic.clone(), message.clone()))
            .take(max)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn message(payload: &'static str) -> RetainedMessage {
        let payload = Bytes::from_static(payload.as_bytes());
        RetainedMessage {
            payload,
            qos: QoS::AtLeastOnce,
            properties: None,
            expires_at: None,
        }
    }

    fn topics(retained: &Retained, now: Instant, filter: &str) -> Vec<String> {
        retained
            .matching(now, filter, 100)
            .into_iter()
            .map(|(topic, _)| topic.to_string())
            .collect()
    }

    #[test]
    fn the_last_message_is_kept_and_an_empty_one_removes_it() {
        let now = Instant::now();
        let mut retained = Retained::new(10, 1000);
        for (topic, payload) in [("a/b", "1"), ("a/b", "2"), ("a/c", "3"), ("ab", "4")] {
            retained.set(now, &topic.into(), message(payload)).unwrap();
        }
        assert_eq!(topics(&retained, now, "a/#"), ["a/b", "a/c"]);
        assert_eq!(retained.matching(now, "a/#", 1).len(), 1);
        assert_eq!(retained.matching(now, "a/b", 1)[0].1.payload, "2");
        retained.set(now, &"a/b".into(), message("")).unwrap();
        assert_eq!(topics(&retained, now, "+/+"), ["a/c"]);
        retained.set(now, &"a/c".into(), message("")).unwrap();
        retained.set(now, &"ab".into(), message("")).unwrap();
        assert_eq!(retained.bytes, 0);
    }

    #[test]
    fn properties_count_against_the_bytes() {
        let now = Instant::now();
        let mut retained = Retained::new(10, 1000);
        let with = |len| RetainedMessage {
            properties: Some(Arc::new(PublishProperties {
                user_properties: vec![("k".into(), "v".repeat(len))],
                ..PublishProperties::default()
            })),
            ..message("1")
        };
        assert_eq!(retained.set(now, &"a".into(), with(1000)), Err(RetainedFull));
        retained.set(now, &"a".into(), with(100)).unwrap();
        assert!(retained.bytes > 100);
        retained.set(now, &"a".into(), message("")).unwrap();
        assert_eq!(retained.bytes, 0);
    }

    #[test]
    fn caps_hold_and_expired_messages_make_room() {
        let now = Instant::now();
        let mut retained = Retained::new(2, 10);
        let expiring = RetainedMessage {
            expires_at: Some(now + Duration::from_secs(1)),
            ..message("1")
        };
        retained.set(now, &"a".into(), expiring).unwrap();
        retained.set(now, &"b".into(), message("1")).unwrap();
        assert_eq!(retained.set(now, &"c".into(), message("1")), Err(RetainedFull));
        assert_eq!(retained.set(now, &"b".into(), message("123456789")), Err(RetainedFull));
        assert_eq!(topics(&retained, now, "#"), ["a", "b"], "the topic keeps what it had");
        let later = now + Duration::from_secs(1);
        assert_eq!(topics(&retained, later, "#"), ["b"]);
        retained.set(later, &"c".into(), message("1")).unwrap();
    }
}
