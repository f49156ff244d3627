//! Deadlines: what happens when nothing happens. Timers are part of the state; the edge only says what time it is.

use super::{Answer, Handled, Turn, live::Timer};
use crate::{
    fact::Fact,
    ids::OrderId,
    order::{DeadlineKind, FailReason},
};

/// Less than this the wall clock may stray from elapsed time before anybody follows it, in milliseconds.
const CLOCK_NOISE_MS: u64 = 50;

impl Turn<'_> {
    /// Journals a step of the wall clock against elapsed time (architecture: Time).
    pub(super) fn notice_clock_step(&mut self) {
        let mono = i64::try_from(self.now.mono.0).unwrap_or(i64::MAX);
        let offset = self.now.wall.0.saturating_sub(mono);
        let by_ms = match self.site.live.wall_offset_ms {
            Some(before) => offset.saturating_sub(before),
            // After a start only a clock behind the journal is known to be wrong: the station may have been off for long.
            None => self.now.wall.ms_since(self.site.last.at).min(0),
        };
        // Two clocks read one after the other differ by a millisecond now and then; each pile's offset is not moved for
        // that. Small steps add up until they count.
        if self.site.live.wall_offset_ms.is_some() && by_ms.unsigned_abs() < CLOCK_NOISE_MS {
            return;
        }
        self.site.live.wall_offset_ms = Some(offset);
        if by_ms == 0 {
            return;
        }
        for presence in self.site.live.piles.values_mut() {
            presence.clock.follow_step(by_ms);
        }
        if by_ms.unsigned_abs() > self.policy().clock_step_ms {
            for live in self.site.live.outlets.values_mut() {
                live.follow_step(by_ms);
            }
            self.journal(Fact::ClockStepped { by_ms });
            self.wait_for_report(self.now.mono);
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
