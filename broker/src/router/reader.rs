//! Reads the link of one session, as long as the session wants it, and puts what comes into its queue.
//! The only task that wakes the link: a wake-up after Disconnect would kill the router.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Instant;

use rumqttd::Notification;
use rumqttd::local::LinkRx;
use tokio::sync::oneshot;

use super::envelope::{self, SharedMessage};
use super::filter_number;
use crate::message::QoS;
use crate::session::Queued;
use crate::sessions::{SessionCell, wake};
use crate::stats::Counters;

/// Reads one link and hands its messages to its session.
pub(super) struct Reader {
    pub(super) rx: LinkRx,
    pub(super) sink: Weak<SessionCell>,
    pub(super) counters: Arc<Counters>,
    pub(super) epoch: Instant,
    /// Per filter, the offset in the router's log that must come next; a gap is what was lost.
    pub(super) next_offsets: HashMap<u32, u64>,
}

impl Reader {
    /// Until the session lets go of its link, or the router dies.
    pub(super) async fn run(mut self, mut stop: oneshot::Receiver<()>) {
        loop {
            let notification = tokio::select! {
                biased;
                _ = &mut stop => return,
                notification = self.rx.next() => notification,
            };
            match notification {
                Ok(Some(Notification::Forward(forward))) => {
                    let Some(filter) = filter_number(&forward.publish.topic) else {
                        continue;
                    };
                    if let Some((_, offset)) = forward.cursor {
                        self.count_lost(filter, offset);
                    }
                    if let Some(message) = envelope::decode(&forward.publish.payload, self.epoch) {
                        self.hand_over(filter, message);
                    }
                }
                // The router stopped forwarding because the buffer was full; it is not any more.
                Ok(Some(Notification::Unschedule)) => {
                    if self.rx.wake().await.is_err() {
                        return;
                    }
                }
                Ok(_) => {}
                Err(_) => return,
            }
            // A link's cache answers without waiting; a busy link must let other tasks run too.
            tokio::task::coop::consume_budget().await;
        }
    }

    fn count_lost(&mut self, filter: u32, offset: u64) {
        let lost = self
            .next_offsets
            .get(&filter)
            .map_or(0, |next| offset.saturating_sub(*next));
        Counters::add(&self.counters.shared_lost, lost);
        self.next_offsets.insert(filter, offset + 1);
    }

    fn hand_over(&self, filter: u32, message: SharedMessage) {
        let Some(cell) = self.sink.upgrade() else { return };
        let mut state = cell.lock();
        let Some(subscription) = state.session.matching_shared(filter, &message.topic) else {
            return;
        };
        let options = subscription.options;
        let subscription_ids = subscription.id.into_iter().collect();
        let qos = message.qos.min(options.qos);
        let is_own = options.no_local && message.origin == cell.serial;
        if is_own || (qos == QoS::AtMostOnce && state.attachment.is_none()) {
            return;
        }
        let queued = Queued {
            topic: message.topic,
            payload: message.payload,
            qos,
            retain: message.retain && options.retain_as_published,
            properties: message.properties,
            subscription_ids,
            expires_at: message.expires_at,
            keep_while_offline: true,
        };
        if state.session.enqueue(queued).is_err() {
            Counters::one(&self.counters.queue_full);
        }
        let waker = state.take_waker();
        drop(state);
        wake(waker);
    }
}
