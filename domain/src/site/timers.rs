//! Deadlines: what happens when nothing happens. Timers are part of the state; the edge only says what time it is.

use super::{Answer, Handled, Turn, live::Timer};
use crate::{
    ids::{OrderId, PileId},
    order::{Deadline, DeadlineKind, FailReason, Order},
    time::Mono,
};

impl Turn<'_> {
    pub(super) fn tick(&mut self) -> Handled {
        while let Some((at, timer)) = self.site.live.timers.first().cloned() {
            if at > self.now.mono {
                break;
            }
            self.site.live.timers.remove(&(at, timer.clone()));
            match timer {
                Timer::Order(id) => self.order_due(&id),
                Timer::RecordMissing(outlet) => self.record_missing(&outlet),
                Timer::DropVerdict(pile) => self.judge_drop(&pile),
                Timer::Time(pile) => self.tell_time_and_prices(&pile),
                Timer::EnergyReport => self.report_energy(),
                Timer::Silence(outlet) => self.silence_due(&outlet),
            }
        }
        Ok(Answer::Done)
    }

    fn order_due(&mut self, id: &OrderId) {
        let deadline = self.order(id).and_then(|order| order.deadline);
        let Some(deadline) = deadline.filter(|deadline| deadline.at <= self.now.mono) else {
            return;
        };
        let order = self.order(id).expect("its deadline was read a line above");
        if let Some(until) = self.held_back_until(order, deadline) {
            self.site.live.timers.insert((until, Timer::Order(id.clone())));
            return;
        }
        match deadline.kind {
            DeadlineKind::Start => self.fail(id, FailReason::TimedOut),
            DeadlineKind::Record => {
                // A pile that is gone may come back with the record; one that was there has had its time. One that came
                // back since says more, or is silent, which is looked at by itself.
                let outlet = self.order(id).map(|order| order.outlet.clone());
                let presence = outlet.and_then(|outlet| self.site.live.piles.get(&outlet.pile));
                let since = presence.and_then(|presence| presence.online_since);
                if since.is_some_and(|since| since <= deadline.at) {
                    self.estimate(id);
                }
            }
            DeadlineKind::Remainder => self.settle(id),
        }
    }

    /// Until when a deadline waits that is due: after a restore what its pile has said meanwhile may not be known yet.
    fn held_back_until(&self, order: &Order, deadline: Deadline) -> Option<Mono> {
        let live = &self.site.live;
        let restored = live.restored?;
        let policy = self.policy();
        let whole_ms = match deadline.kind {
            DeadlineKind::Start => policy.start_timeout_ms,
            DeadlineKind::Record => policy.record_overdue_ms,
            DeadlineKind::Remainder => policy.remainder_ms,
        };
        let until = restored.after_ms(whole_ms);
        let is_heard = live.heard_since_restore.contains(&order.outlet.pile);
        (!is_heard && self.now.mono < until).then_some(until)
    }

    /// A pile has said how things are with it, for the first time since a restore: its orders' deadlines count again.
    pub(super) fn note_heard_since_restore(&mut self, pile: &PileId) {
        let live = &mut self.site.live;
        if live.restored.is_none() || !live.heard_since_restore.insert(pile.clone()) {
            return;
        }
        let here = self.site.rows.orders().filter(|order| order.outlet.pile == *pile);
        for order in here {
            if let Some(deadline) = order.deadline {
                self.site
                    .live
                    .timers
                    .insert((deadline.at, Timer::Order(order.id.clone())));
            }
        }
    }
}
