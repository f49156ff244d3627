//! Deadlines: what happens when nothing happens. Timers are part of the state; the edge only says what time it is.

use super::{Answer, Handled, Turn, live::Timer};
use crate::{
    ids::OrderId,
    order::{DeadlineKind, FailReason},
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
}
