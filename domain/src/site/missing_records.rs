//! A connector stopped charging its order and no record has come: when it is asked for.
//! If it stays away, an estimate takes its place at the order's deadline.

use super::{Turn, live::Timer};
use crate::{
    fact::Fact,
    ids::Outlet,
    order::{Order, State},
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
        let order = self
            .site
            .live
            .occupied
            .get(outlet)
            .and_then(|id| self.order(id))
            .cloned();
        let Some(order) = order.filter(|order| order.state == State::Charging && order.deadline.is_none()) else {
            return;
        };
        if self.now.mono.ms_since(lost_since) >= request_ms {
            self.charging_lost(&order, lost_since);
        }
    }

    fn charging_lost(&mut self, order: &Order, since: Mono) {
        let estimate_at = since.after_ms(self.policy().record_overdue_ms);
        self.journal(Fact::ChargingLost {
            order: order.id.clone(),
            estimate_at,
        });
        self.request_record_once(&order.id);
    }
}
