//! Deadlines: what happens when nothing happens. Timers are part of the state; the edge only says what time it is.

use super::{Answer, Handled, Turn, live::Timer};
use crate::{
    fact::Fact,
    ids::{OrderId, PileId},
    order::{DeadlineKind, FailReason},
};

impl Turn<'_> {
    /// Journals a step of the wall clock against elapsed time (architecture: Time).
    pub(super) fn notice_clock_step(&mut self) {
        let mono = i64::try_from(self.now.mono.0).unwrap_or(i64::MAX);
        let offset = self.now.wall.0.saturating_sub(mono);
        let before = self.site.live.wall_offset_ms.replace(offset);
        let Some(by_ms) = before.map(|before| offset.saturating_sub(before)) else {
            return;
        };
        if by_ms.unsigned_abs() > self.policy().clock_step_ms {
            self.journal(Fact::ClockStepped { by_ms });
        }
    }

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
                Timer::Time(pile) => self.time_due(&pile),
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

    fn time_due(&mut self, pile: &PileId) {
        let now = self.now.mono;
        // A pile that connected since has a later timer of its own.
        let later = self
            .site
            .live
            .timers
            .iter()
            .any(|(at, timer)| *at > now && *timer == Timer::Time(pile.clone()));
        if !later {
            self.tell_time_and_prices(pile);
        }
    }
}
