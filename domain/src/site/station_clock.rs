//! The station's own wall clock: its steps, the doubt of a clock that cannot be right, and what waits for the right time.

use super::{Answer, Handled, Rejected, Turn};
use crate::{
    fact::Fact,
    ids::{OrderId, PileId},
    meter::Suspicion,
    order::{Basis, Order, State},
    planted::{Bug, is_planted},
    rating::{self, Reading},
    station_clock::{EARLIEST, Vouchers},
    tariff,
    time::{Now, Wall},
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
            None => self.stepped_while_off_ms(),
        };
        // Two clocks read one after the other differ by a millisecond now and then; each pile's offset is not moved for
        // that. Small steps add up until they count.
        if self.site.live.wall_offset_ms.is_some() && by_ms.unsigned_abs() < CLOCK_NOISE_MS {
            return;
        }
        if self.site.live.wall_offset_ms.is_none() {
            self.note_time_away();
            self.doubt_anew();
        }
        self.site.live.wall_offset_ms = Some(offset);
        let journaled = self.site.last.at;
        if by_ms != 0 {
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
        self.weigh_clock(journaled);
    }

    /// By how much the wall clock was put back while the station was off, at least: it may have been off for long, so only
    /// a clock behind what was last written is known to be wrong.
    fn stepped_while_off_ms(&mut self) -> i64 {
        let last = self.site.last;
        let written = self.site.live.written.take();
        let (wall, mono) = written.map_or((last.at, self.now.mono), |then| (then.wall, then.mono));
        let passed = i64::try_from(self.now.mono.ms_since(mono)).unwrap_or(i64::MAX);
        let by_ms = self.now.wall.ms_since(wall.after_ms(passed)).min(0);
        if by_ms.unsigned_abs() < CLOCK_NOISE_MS {
            0
        } else {
            by_ms
        }
    }

    /// A pile's clocks went on while the station was off, and find its clock elsewhere. That pile's own starts have followed;
    /// what is known of another that starts again before it is heard stays by the clock before, so no record of it is paid
    /// unseen. The first that tells is enough, once in a run of the station: later ones tell the same.
    pub(super) fn clock_move_found(&mut self, pile: &PileId, by_ms: i64) {
        let is_told = self.site.live.move_found || is_planted(Bug::MissClockMove);
        if by_ms.unsigned_abs() <= self.policy().clock_step_ms || is_told {
            return;
        }
        self.site.live.move_found = true;
        let pile = pile.clone();
        self.journal(Fact::ClockMoveFound { pile, by_ms });
    }

    /// Elapsed time does not count a power cut, and registers go on meanwhile: those that were watched before it.
    fn note_time_away(&mut self) {
        let (now, site) = (self.now, &mut *self.site);
        for (outlet, watch) in &mut site.live.registers {
            if let Some(live) = site.live.outlets.get(outlet) {
                let heard = Now {
                    mono: live.received,
                    wall: live.as_of,
                };
                watch.let_pass(site.rows.clock.away_ms(now, heard));
            }
        }
    }

    /// The station was off while its clock could not be right: where the clock and elapsed time do not go on together from
    /// the last entry, nobody knows what the clock did meanwhile, nor for how long. The entry of a restore was stamped when that
    /// time was over.
    fn doubt_anew(&mut self) {
        let Some(doubt) = self.site.rows.clock.doubt else {
            return;
        };
        let (now, last) = (self.now, self.site.last);
        let passed = i64::try_from(now.mono.ms_since(last.mono)).unwrap_or(i64::MAX);
        let apart_ms = now.wall.ms_since(last.at).saturating_sub(passed);
        if self.site.live.just_restored || apart_ms.unsigned_abs() > self.policy().clock_step_ms {
            let certain = doubt.not_before(now.mono);
            self.journal(Fact::ClockDoubted { certain });
        }
    }

    /// Journals that the clock cannot be right, or that it can again; `journaled` is the last time that was written by it.
    fn weigh_clock(&mut self, journaled: Wall) {
        let now = self.now;
        let doubt = self.site.rows.clock.doubt;
        let told = self.site.live.not_before;
        let not_before = told.map(|(since, wall)| {
            let passed = i64::try_from(now.mono.ms_since(since)).unwrap_or(i64::MAX);
            wall.after_ms(passed)
        });
        let vouchers = Vouchers {
            trusted: self.site.live.clock_trusted,
            // Once in doubt, it is right again when it has caught up with what is certain.
            not_before: not_before.max(doubt.map(|doubt| doubt.not_before(now.mono))),
            journaled: if doubt.is_some() { now.wall } else { journaled },
            slack_ms: i64::try_from(self.policy().clock_step_ms).unwrap_or(i64::MAX),
        };
        match (vouchers.against(now.wall), doubt) {
            (Some(certain), None) => self.journal(Fact::ClockDoubted { certain }),
            (None, Some(_)) => self.believe_clock(None),
            _ => {}
        }
    }

    /// Whether the station's clock is trusted from now on; whoever says so, a clock before [`EARLIEST`] is not.
    pub(super) fn clock_trust(&mut self, trusted: bool) -> Handled {
        let trusted = trusted && self.now.wall >= EARLIEST;
        let before = std::mem::replace(&mut self.site.live.clock_trusted, trusted);
        if trusted && !before {
            let piles = self.site.live.piles.iter();
            let online = piles.filter(|(_, presence)| presence.online_since.is_some());
            let online: Vec<PileId> = online.map(|(pile, _)| pile.clone()).collect();
            for pile in online {
                self.tell_time_and_prices(&pile);
            }
        }
        self.weigh_clock(self.site.last.at);
        Ok(Answer::Done)
    }

    /// By what was certain in an earlier run of the program, it is `wall` at least.
    pub(super) fn certain_time(&mut self, wall: Wall) -> Handled {
        self.site.live.not_before = Some((self.now.mono, wall));
        self.weigh_clock(self.site.last.at);
        Ok(Answer::Done)
    }

    /// A person has looked at the clock that the station cannot believe: it is right.
    pub(super) fn confirm_clock(&mut self, by: String) -> Handled {
        if self.now.wall < EARLIEST {
            return Err(Rejected::ClockWrong(self.now.wall));
        }
        self.site.live.not_before = None;
        if self.site.rows.clock.doubt.is_some() {
            self.believe_clock(Some(by));
        }
        Ok(Answer::Done)
    }

    /// The clock is believed again: what was placed by a wrong one moves to the right time, and what waited for nothing
    /// else is settled.
    fn believe_clock(&mut self, by: Option<String>) {
        let waiting = self
            .site
            .rows
            .orders()
            .filter(|order| order.clock_doubted && order.state.is_open());
        // Where the doubt began in the middle of a session, nobody knows how long the station was off: a person's case.
        let waiting = waiting.filter(|order| order.placed_in_doubt);
        let waiting: Vec<OrderId> = waiting.map(|order| order.id.clone()).collect();
        self.journal(Fact::ClockBelieved { by });
        for id in waiting {
            let order = self.order(&id).expect("it was in memory a line above").clone();
            let by_ms = order.clock_moved_ms;
            self.journal(Fact::OrderTimesMoved {
                order: id.clone(),
                by_ms,
            });
            if order.state == State::Review {
                // A step before it was rated is in its times already.
                self.rate_at_the_right_time(&order, order.rated_moved_ms);
            }
        }
    }

    /// Where the clock was in doubt when an order was placed, the tariff was chosen by what was certain. It is the one that
    /// the driver was shown, and the contract; but nothing is paid by a tariff that was not in force without a person.
    pub(super) fn tariff_not_in_force(&self, order: &Order) -> Option<Suspicion> {
        if !order.source.is_ordered() || order.times_moved.is_none() {
            return None;
        }
        let in_force = tariff::in_force(self.site.rows.tariffs.values(), order.placed_at)?;
        let in_force = in_force.spec().id.clone();
        (in_force != order.tariff).then(|| Suspicion::TariffNotInForce {
            pinned: order.tariff.clone(),
            in_force,
        })
    }

    /// Nobody was shown a price for a session that a pile ran alone, or that a person bills: the tariff that was in force
    /// when it began is its own. Returns why a person must look where there was none.
    fn repin(&mut self, order: &Order, began: Wall) -> Option<Suspicion> {
        if order.source.is_ordered() {
            return None;
        }
        let Some(in_force) = tariff::in_force(self.site.rows.tariffs.values(), began) else {
            let detail = "moved to the right time it began before there was a price".to_owned();
            return Some(Suspicion::TimesImpossible { detail });
        };
        let tariff = in_force.spec().id.clone();
        if tariff != order.tariff {
            let order = order.id.clone();
            self.journal(Fact::OrderRepinned { order, tariff });
        }
        None
    }

    fn rate_at_the_right_time(&mut self, before: &Order, by_ms: i64) {
        let Some(bill) = before.bill().and_then(|bill| bill.detail.clone()) else {
            return;
        };
        let no_price = self.repin(before, bill.start.at.after_ms(by_ms));
        let moved = |reading: Reading| Reading {
            at: reading.at.after_ms(by_ms),
            ..reading
        };
        let readings: Vec<Reading> = bill.readings.iter().copied().map(moved).collect();
        let pinned = self
            .order(&before.id)
            .expect("its times were moved while it was in memory");
        let tariff = self.site.rows.tariff_of(pinned);
        let Ok(bill) = rating::rate(tariff, moved(bill.start), &readings, moved(bill.stop)) else {
            return;
        };
        let basis = before.bill().map_or(Basis::Record, |bill| bill.basis);
        let registers = (bill.start.register, bill.stop.register);
        self.journal(Fact::OrderRated {
            order: before.id.clone(),
            basis,
            bill,
        });
        // Of a session that was over before its order was made, the step that began the doubt is one of those since: how long
        // the station was off before it is not in the time moved.
        let still_stepped = |other: &Suspicion| *other == Suspicion::ClockStepped && !before.source.is_ordered();
        let others = before
            .suspicions
            .iter()
            .filter(|other| !other.is_of_station_clock() || still_stepped(other));
        let others = others.filter(|other| **other != Suspicion::LargeFee).cloned();
        // While it waited, something else may have come to account for its readings.
        let accounted = self.already_accounted(before, registers);
        let accounted = accounted.filter(|accounted| !before.suspicions.contains(accounted));
        let others: Vec<Suspicion> = others.chain(no_price).chain(accounted).collect();
        let reasons = self.reasons_to_review(&before.id, others);
        if reasons.is_empty() {
            self.settle(&before.id);
        } else if reasons.iter().any(|reason| !before.suspicions.contains(reason)) {
            // It waits already, and the driver was told so; the person is to see what came to light.
            self.journal(Fact::ReviewOpened {
                order: before.id.clone(),
                suspicions: reasons,
            });
            self.seen(&before.id);
        }
    }
}
