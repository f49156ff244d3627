//! The subscriptions of one session (MQTT-3.8.4, MQTT5 3.8.4), and which of them a message is sent for.
//! Few per session, so a list is searched.

use super::Session;
use crate::codec::subscribe::Options;
use crate::message::QoS;
use crate::topic::matches;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subscription {
    pub(crate) filter: Box<str>,
    /// QoS as granted.
    pub(crate) options: Options,
    pub(crate) id: Option<u32>,
    /// The router's number for the filter, if it is shared.
    pub(crate) shared: Option<u32>,
}

/// How a message goes to the client because of its subscriptions.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Match {
    pub(crate) qos: QoS,
    pub(crate) retain_as_published: bool,
    pub(crate) subscription_ids: Vec<u32>,
}

/// What became of an UNSUBSCRIBE.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unsubscribed {
    NotFound,
    Found { shared: Option<u32> },
}

impl Session {
    pub(crate) fn subscription(&self, filter: &str) -> Option<&Subscription> {
        self.subscriptions
            .iter()
            .find(|subscription| &*subscription.filter == filter)
    }

    pub(crate) fn has_room_to_subscribe(&self) -> bool {
        self.subscriptions.len() < self.limits.subscriptions_max
    }

    /// Adds a subscription, or replaces the one with the same filter (MQTT-3.8.4-3). Callers check for room first.
    pub(crate) fn subscribe(&mut self, new: Subscription) {
        match self.subscriptions.iter_mut().find(|old| old.filter == new.filter) {
            Some(old) => *old = new,
            None => self.subscriptions.push(new),
        }
    }

    pub(crate) fn unsubscribe(&mut self, filter: &str) -> Unsubscribed {
        match self
            .subscriptions
            .iter()
            .position(|subscription| &*subscription.filter == filter)
        {
            Some(at) => Unsubscribed::Found {
                shared: self.subscriptions.swap_remove(at).shared,
            },
            None => Unsubscribed::NotFound,
        }
    }

    /// The router's numbers of all shared subscriptions.
    pub(crate) fn shared_filters(&self) -> Vec<u32> {
        self.subscriptions
            .iter()
            .filter_map(|subscription| subscription.shared)
            .collect()
    }

    pub(crate) fn forget_subscriptions(&mut self) {
        self.subscriptions.clear();
    }

    pub(crate) fn has_shared_subscription(&self) -> bool {
        self.subscriptions
            .iter()
            .any(|subscription| subscription.shared.is_some())
    }

    /// One copy for all matching subscriptions, at the highest QoS granted among them (MQTT-3.3.5-1).
    pub(crate) fn matching(&self, topic: &str) -> Option<Match> {
        let mut found: Option<Match> = None;
        for subscription in self.subscriptions.iter().filter(|s| matches(&s.filter, topic)) {
            let options = subscription.options;
            let found = found.get_or_insert(Match {
                qos: QoS::AtMostOnce,
                retain_as_published: false,
                subscription_ids: Vec::new(),
            });
            found.qos = found.qos.max(options.qos);
            found.retain_as_published |= options.retain_as_published;
            found.subscription_ids.extend(subscription.id);
        }
        found
    }

    /// The subscription for which the router forwarded a message; `None` if it has gone since, or its number belongs to
    /// another filter now.
    pub(crate) fn matching_shared(&self, number: u32, topic: &str) -> Option<&Subscription> {
        self.subscriptions
            .iter()
            .find(|s| s.shared == Some(number) && matches(&s.filter, topic))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::session;
    use super::*;
    use crate::codec::subscribe::RetainHandling;
    use crate::gatekeeper::Protocol;

    fn subscription(filter: &str, qos: QoS, id: Option<u32>, shared: Option<u32>) -> Subscription {
        let options = Options {
            qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::SendAtSubscribe,
        };
        Subscription {
            filter: filter.into(),
            options,
            id,
            shared,
        }
    }

    #[test]
    fn overlapping_subscriptions_give_one_copy_with_the_highest_qos() {
        let mut session = session(Protocol::V5);
        session.subscribe(subscription("a/#", QoS::AtMostOnce, Some(1), None));
        session.subscribe(subscription("a/+", QoS::ExactlyOnce, Some(2), None));
        session.subscribe(subscription("b", QoS::ExactlyOnce, Some(3), None));
        let found = session.matching("a/x").unwrap();
        assert_eq!((found.qos, found.subscription_ids), (QoS::ExactlyOnce, vec![1, 2]));
        assert_eq!(session.matching("c"), None);
        assert!(!session.has_room_to_subscribe());
    }

    #[test]
    fn the_same_filter_replaces_and_unsubscribe_removes() {
        let mut session = session(Protocol::V5);
        session.subscribe(subscription("a", QoS::AtMostOnce, None, Some(4)));
        session.subscribe(subscription("a", QoS::AtLeastOnce, None, Some(4)));
        assert_eq!(session.shared_filters(), [4]);
        assert_eq!(session.unsubscribe("a"), Unsubscribed::Found { shared: Some(4) });
        assert_eq!(session.unsubscribe("a"), Unsubscribed::NotFound);
    }

    #[test]
    fn a_number_that_changed_hands_forwards_nothing() {
        let mut session = session(Protocol::V5);
        session.subscribe(subscription("a/#", QoS::AtMostOnce, None, Some(4)));
        assert!(session.matching_shared(4, "a/b").is_some());
        assert!(session.matching_shared(4, "b").is_none());
        assert!(session.matching_shared(5, "a/b").is_none());
    }
}
