//! A connector stopped charging its order, or says nothing any more, and no record has come: when it is asked for.
//! If it stays away, an estimate takes its place at the order's deadline.

use super::{Turn, live::Timer};
use crate::{
    fact::Fact,
    ids::{OrderId, Outlet},
    messages::ConnectorStatus,
    order::{Order, State},
    planted::{Bug, is_planted},
    time::Mono,
};

impl Turn<'_> {
    /// The pile is there and does not charge its order: the record should come by itself, then it is asked for, then an
    /// estimate takes its place.
    pub(super) fn watch_missing_record(&mut self, outlet: &Outlet, order: &Order) {
        let now = self.now.mono;
        if let Some(deadline) = order.deadline.filter(|deadline| deadline.at <= now) {
            let presence = self.site.live.piles.get(&outlet.pile);
            let back = presence.and_then(|presence| presence.online_since);
            if back.is_some_and(|since| since >= deadline.at) {
                // The pile was gone when the record was overdue. It has a new chance now.
                self.charging_lost(order, now);
            }
            return;
        }
        let request_ms = self.policy().record_request_ms;
        if let Some(live) = self.site.live.outlets.get_mut(outlet)
            && order.deadline.is_none()
            && live.lost_since.is_none()
        {
            live.lost_since = Some(now);
            self.site
                .live
                .timers
                .insert((now.after_ms(request_ms), Timer::RecordMissing(outlet.clone())));
        }
    }

    /// A session that its pile calls finished and goes on naming may be a pause, or its record is lost. It is asked for after
    /// the usual time, and again now and then; nothing ends by that while the pile says that the session goes on.
    pub(super) fn watch_finished(&mut self, outlet: &Outlet, id: &OrderId, status: ConnectorStatus) {
        let now = self.now.mono;
        let policy = self.policy();
        let (request_ms, again_ms) = (policy.record_request_ms, policy.record_overdue_ms);
        let Some(live) = self.site.live.outlets.get_mut(outlet) else {
            return;
        };
        if status != ConnectorStatus::Finished {
            live.ask_finished = None;
        } else if *live.ask_finished.get_or_insert(now.after_ms(request_ms)) <= now {
            live.ask_finished = Some(now.after_ms(again_ms));
            self.request_record_once(id);
        }
    }

    /// The record has not come by itself.
    pub(super) fn record_missing(&mut self, outlet: &Outlet) {
        let request_ms = self.policy().record_request_ms;
        let online = self.site.live.is_online(&outlet.pile);
        let Some(live) = self.site.live.outlets.get_mut(outlet) else {
            return;
        };
        let Some(lost_since) = live.lost_since else { return };
        if !online {
            // Its next heartbeat begins the wait anew.
            live.lost_since = None;
            return;
        }
        let order = self.charging_at(outlet);
        let Some(order) = order.filter(|order| order.deadline.is_none()) else {
            return;
        };
        if self.now.mono.ms_since(lost_since) >= request_ms {
            self.charging_lost(&order, lost_since);
        }
    }

    /// The order that a connector should be charging.
    pub(super) fn charging_at(&self, outlet: &Outlet) -> Option<Order> {
        let id = self.site.live.occupied.get(outlet)?;
        self.order(id).filter(|order| order.state == State::Charging).cloned()
    }

    /// The pile says that the session goes on: whatever was waited for, it need not be waited for any more.
    pub(super) fn goes_on(&mut self, order: &Order) {
        if order.deadline.is_some() {
            self.journal(Fact::ChargingResumed {
                order: order.id.clone(),
            });
        }
        if let Some(live) = self.site.live.outlets.get_mut(&order.outlet) {
            live.lost_since = None;
        }
        self.watch_silence(&order.outlet, self.now.mono);
    }

    /// A connector that should charge is looked at again when it has had time to say something since `since`.
    pub(super) fn watch_silence(&mut self, outlet: &Outlet, since: Mono) {
        let due = since.after_ms(self.policy().silent_ms);
        self.site.live.await_word(outlet, due);
    }

    /// The pile is online, and nothing was heard of this connector for a while: then it is not charging. Whoever was away
    /// is given that time anew.
    pub(super) fn silence_due(&mut self, outlet: &Outlet) {
        self.site.live.silence_due.remove(outlet);
        let Some(order) = self.charging_at(outlet) else { return };
        let now = self.now.mono;
        // The record is asked for already, and an estimate comes; one that is overdue came to nothing as the pile was away.
        if order.deadline.is_some_and(|deadline| deadline.at > now) {
            return;
        }
        let presence = self.site.live.piles.get(&outlet.pile);
        let Some(online_since) = presence.and_then(|presence| presence.online_since) else {
            // It is looked at again when the pile is back.
            return;
        };
        let reported = self.site.live.outlets.get(outlet).map(|live| live.received);
        let confirmed = order.started.as_ref().map(|started| started.mono);
        let words = [Some(online_since), reported, confirmed];
        let last_word = words.into_iter().flatten().max().unwrap_or(online_since);
        if now.ms_since(last_word) < self.policy().silent_ms {
            self.watch_silence(outlet, last_word);
        } else if !is_planted(Bug::HangInCharging) {
            self.charging_lost(&order, last_word);
        }
    }

    pub(super) fn charging_lost(&mut self, order: &Order, since: Mono) {
        // A pile that is asked late has time to answer all the same.
        let policy = self.policy();
        let asked = self.now.mono.after_ms(policy.record_request_ms);
        let estimate_at = since.after_ms(policy.record_overdue_ms).max(asked);
        self.journal(Fact::ChargingLost {
            order: order.id.clone(),
            estimate_at,
        });
        self.request_record_once(&order.id);
    }
}
