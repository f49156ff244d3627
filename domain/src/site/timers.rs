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
                // A pile that is gone may come back with the record; one that is there has had its time.
                let outlet = self.order(id).map(|order| order.outlet.clone());
                if outlet.is_some_and(|outlet| self.site.live.is_online(&outlet.pile)) {
                    self.estimate(id);
                }
            }
            DeadlineKind::Remainder => self.settle(id),
        }
    }
}
