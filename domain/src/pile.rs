//! A pile (桩): what is known of it for good, its faults and drops, and when it goes to maintenance (S05 §5).

use crate::{
    clock::PileClocks,
    energy::{differs, within_range},
    fact::Fact,
    faults::{FaultState, Noted},
    ids::{BootId, CardId, ConnectorNo, OrderId, PileId},
    journal::Stamp,
    messages::{BootConnector, EventKind},
    meter::Rollback,
    register::RegisterBook,
    resolution::{Resolution, stands_still},
    time::{Day, Mono, Now, Wall},
    units::{Energy, Power},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Deref,
};

/// The most faults or drops that are remembered for one pile.
pub const REMEMBERED_MAX: usize = 32;
/// The most days after the first that are remembered to differ; of more the newest takes the last one's place.
pub const ABNORMAL_DAYS_MAX: usize = 64;

/// So far above where a meter was left a session of it may begin that comes late: records of others may be lost. Beyond it,
/// the present meter has jumped.
const LATE_SESSIONS_MAX: Energy = Energy(1_000_000);

/// Everything that is kept of a pile. Whoever holds a [`Pile`] reads these fields; only [`Pile::apply`] writes them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PileRow {
    /// Its id and MQTT user name.
    pub id: PileId,
    /// Removed piles keep their history and take no orders.
    pub removed: bool,
    /// What it says it is; empty until its first boot.
    pub make: Make,
    /// Its last boot.
    pub boot_id: Option<BootId>,
    /// Its connectors.
    pub connectors: BTreeMap<ConnectorNo, Connector>,
    /// How its clocks relate to the station's, in each of its last starts.
    #[serde(default)]
    pub clocks: PileClocks,
    /// Since when it may connect here; not known of piles that an earlier version let in.
    #[serde(default)]
    pub since: Option<Wall>,
    /// Fenced off: takes no new orders. [`PileRow::fenced_off`] says so of every reason.
    pub maintenance: Option<Maintenance>,
    /// It has had more journaled than a pile may in a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_spent: Option<BudgetSpent>,
    /// Its meter and the orders disagree (计量异常): for people, it goes on working.
    #[serde(default)]
    pub meter_abnormal: Option<MeterAbnormal>,
    /// Later days of which the same was found, oldest first, at most [`ABNORMAL_DAYS_MAX`]: the mark stays for each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub later_abnormal: Vec<MeterAbnormal>,
    /// When it faulted, newest last.
    pub faults: Vec<Mono>,
    /// When it dropped off the network by its own doing, newest last.
    pub drops: Vec<Mono>,
    /// How many bytes of its messages wait in quarantine.
    #[serde(default)]
    pub quarantined_bytes: u64,
}

/// Maker, model and firmware as the pile reports them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Make {
    /// Maker.
    pub vendor: String,
    /// Model.
    pub model: String,
    /// Firmware version.
    pub firmware: String,
}

/// What is kept of a connector.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Connector {
    /// The most it can deliver.
    pub power_max: Option<Power>,
    /// The register outside sessions: at boot, or at the end of the last record.
    pub register: Option<Energy>,
    /// When that was: the wall clock goes on while the station is off. Rows of schema 2 do not say.
    #[serde(default)]
    pub register_at: Now,
    /// What explains its register.
    #[serde(default)]
    pub book: RegisterBook,
    /// The same of the meter before, for sessions of it that come late.
    #[serde(default)]
    pub book_before: Option<Box<RegisterBook>>,
    /// The register was found lower than it had been; the next session waits for a person.
    #[serde(default)]
    pub rollback: Option<Rollback>,
    /// Which of its meters is there, by number: how many were there before the first time it was. Sessions count by the one
    /// that was there then.
    #[serde(default)]
    pub meters_before: u32,
    /// The number of the meter before where the connector has returned to an earlier one; otherwise it is the one below.
    #[serde(default)]
    pub number_before: Option<u32>,
    /// The highest number that a meter has had here.
    #[serde(default)]
    pub number_max: u32,
    /// The register at which the meter before was left; not known of one that an earlier version noticed.
    #[serde(default)]
    pub left_at: Option<Energy>,
    /// The register was found higher than can be, and stays there: the next session waits for a person.
    #[serde(default)]
    pub jump: Option<Rollback>,
    /// Whether it is at fault. Rows of schema 2 say `faulted`, and no more of it.
    #[serde(alias = "faulted")]
    pub fault: FaultState,
    /// It charges without an order of this station.
    #[serde(default)]
    pub unordered: Option<Unordered>,
    /// A card was held to it that only head office can start with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wished: Option<StartWish>,
}

/// A start that head office was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartWish {
    /// By which entry.
    pub seq: u64,
    /// Which card was held to the pile.
    pub card: CardId,
    /// When, by elapsed time.
    pub at: Mono,
}

impl Connector {
    /// Which of its meters a session belongs to that begins now: the one that is there, but for a session that is over
    /// already and went on from where the one before was last read.
    pub(crate) fn meter_of_session_from(&self, baseline: Option<Energy>) -> u32 {
        let is_before = self.rollback.is_some_and(|before| baseline == Some(before.known));
        self.meters_before.saturating_sub(u32::from(is_before))
    }

    /// The pile said at its start what the connector is and what its register reads; `is_idle` says whether between two
    /// sessions.
    fn boot(&mut self, now: Now, reported: &BootConnector, is_idle: bool) {
        // A boot whose `max_kw` cannot be read says nothing against what an earlier one said.
        self.power_max = reported.max_kw.or(self.power_max);
        if is_idle {
            let known = self.register.filter(|known| stands_still(*known, reported.meter_kwh));
            self.read_at(now, known.unwrap_or(reported.meter_kwh));
            self.book.begin(reported.meter_kwh);
        }
    }

    /// The book of the meter that sessions with so many meters before them are of; none where it is kept no more.
    pub(crate) fn book_of(&mut self, meter: u32) -> Option<&mut RegisterBook> {
        if meter == self.meters_before {
            Some(&mut self.book)
        } else if Some(meter) == self.meter_before() {
            self.book_before.as_deref_mut()
        } else {
            None
        }
    }

    /// The number of the meter before, while its book is kept.
    pub fn meter_before(&self) -> Option<u32> {
        let number = self.number_before.or(self.meters_before.checked_sub(1));
        number.filter(|_| self.book_before.is_some())
    }

    /// The meters whose books are kept.
    pub(crate) fn meters(&self) -> impl Iterator<Item = u32> + use<> {
        self.meter_before().into_iter().chain([self.meters_before])
    }

    /// Whether the book of this meter was kept once, and is no more.
    pub(crate) fn gave_up_book_of(&self, meter: u32) -> bool {
        meter <= self.number_max.max(self.meters_before) && self.meters().all(|kept| kept != meter)
    }

    /// Which of its meters a session belongs to that comes late and moved the register from `start` to `stop`, as far as can
    /// be told.
    pub fn meter_of_late_session(&self, start: Energy, stop: Energy) -> u32 {
        let before = self.meter_before().filter(|_| self.is_of_meter_before(start, stop));
        before.unwrap_or(self.meters_before)
    }

    /// As [`Connector::book_of`], for reading.
    pub(crate) fn book_for(&self, meter: u32) -> Option<&RegisterBook> {
        if meter == self.meters_before {
            Some(&self.book)
        } else {
            let is_before = Some(meter) == self.meter_before();
            self.book_before.as_deref().filter(|_| is_before)
        }
    }

    /// The register is known to be here, wherever it was before.
    fn read_at(&mut self, now: Now, register: Energy) {
        (self.register, self.register_at) = (Some(register), now);
    }

    /// A session of this meter ended at `register`.
    pub(crate) fn end_at(&mut self, now: Now, register: Energy) {
        if self.register.is_none_or(|known| known <= register) {
            self.read_at(now, register);
        }
    }

    /// The register was found lower: another meter begins, with a book of its own.
    pub(crate) fn replace_meter(&mut self, now: Now, rollback: Rollback) {
        (self.rollback, self.jump) = (Some(rollback), None);
        self.read_at(now, rollback.found);
        self.left_at = Some(rollback.known);
        self.number_before = Some(self.meters_before);
        self.number_max = self.number_max.max(self.meters_before) + 1;
        self.meters_before = self.number_max;
        self.book_before = Some(Box::new(std::mem::take(&mut self.book)));
        self.book.begin(rollback.found);
    }

    /// The meter before is there again, or always was: it gets its book back. The one that was taken for another keeps what
    /// sessions ran on it.
    pub(crate) fn return_to_meter_before(&mut self, now: Now, register: Energy) {
        // What was read of it in between was wrong, unless a session ran on it.
        let claimed = self.book.claimed_to();
        let Some((number, book)) = self.meter_before().zip(self.book_before.as_deref_mut()) else {
            return;
        };
        std::mem::swap(&mut self.book, book);
        self.number_before = Some(std::mem::replace(&mut self.meters_before, number));
        self.number_max = self.number_max.max(self.number_before.unwrap_or(0));
        self.left_at = claimed;
        (self.rollback, self.jump) = (None, None);
        self.read_at(now, register);
    }

    /// Whether this meter was none: the connector has returned to the one before it, and no session ran in between.
    pub(crate) fn was_none(&self, meter: u32) -> bool {
        let returned_from = self.meter_before().filter(|before| *before > self.meters_before);
        let before = self.book_before.as_ref();
        returned_from == Some(meter) && before.is_some_and(|book| book.sessions().is_empty())
    }

    /// How far the meter before is known to have gone: where it was left, and beyond it what came late.
    pub(crate) fn end_before(&self) -> Option<(Energy, Energy)> {
        let explained = self.book_before.as_ref()?.explained_to();
        let left_at = self.left_at.or(explained)?;
        Some((left_at, explained.unwrap_or(left_at).max(left_at)))
    }

    /// Whether a register that is not where the present meter can be is where the one before ended, within the coarsest
    /// step: that one is there again, or always was.
    pub(crate) fn is_meter_before_at(&self, register: Energy) -> bool {
        let slack = Resolution::COARSEST;
        self.end_before()
            .is_some_and(|(left_at, end)| left_at - slack <= register && register <= end + slack)
    }

    /// Whether a register that is found lower than it was believed to be contradicts no session: then what had been read was
    /// wrong, and it is no other meter.
    pub(crate) fn claims_nothing_above(&self, register: Energy) -> bool {
        self.book.claimed_to().is_none_or(|claimed| claimed <= register)
    }

    /// Whether a session that comes late and moved the register from `start` to `stop` ran on the meter that was there
    /// before, by where that one ended and where the present one has been.
    pub fn is_of_meter_before(&self, start: Energy, stop: Energy) -> bool {
        let (Some((left_at, end)), Some(before)) = (self.end_before(), &self.book_before) else {
            return false;
        };
        let reached = self.register.max(self.book.explained_to()).unwrap_or(Energy::ZERO);
        if left_at <= reached {
            // The connector has returned to the one that has counted more.
            let is_below = self.book.base().is_some_and(|base| start < base);
            return is_below && before.base().is_some_and(|base| base <= start);
        }
        let mut holes = before.unrecorded().iter().map(|unrecorded| unrecorded.span);
        let goes_on = left_at <= start && start <= end + LATE_SESSIONS_MAX;
        start > reached && (goes_on || holes.any(|hole| hole.from <= start && stop <= hole.to))
    }
}

/// Charging without an order, while it lasts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unordered {
    /// When that was noted.
    pub since: Wall,
    /// The register when it was first seen.
    pub from: Energy,
    /// The session that the pile names, if it does.
    pub named: Option<OrderId>,
}

/// Why a pile's meter is not believed as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeterAbnormal {
    /// The day whose report found it.
    pub day: Day,
    /// Words for people.
    pub reason: String,
    /// When it was found.
    pub since: Wall,
    /// Connectors whose day as a whole differs, as it stands with what came late: the mark goes when none does any more.
    #[serde(default)]
    pub differing: BTreeMap<ConnectorNo, DayDifference>,
    /// Orders of that day that differ from their register, until a person gives them a record that does not.
    #[serde(default)]
    pub orders: BTreeSet<OrderId>,
}

impl MeterAbnormal {
    /// Nothing is left of what it was made for.
    fn is_explained(&self) -> bool {
        self.differing.is_empty() && self.orders.is_empty()
    }
}

/// A connector's business day that differs from its register.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayDifference {
    /// What was billed.
    pub billed: Energy,
    /// What the register moved.
    pub register: Energy,
}

/// More was journaled for a pile than may be in a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetSpent {
    /// How many bytes.
    pub bytes: u64,
    /// Since when.
    pub since: Wall,
}

/// Who fences piles off by rule.
pub const BY_RULE: &str = "holdfast";

/// Why a pile takes no orders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maintenance {
    /// Words for people.
    pub reason: String,
    /// Who: a person, or `holdfast` for the rule.
    pub by: String,
    /// Since when.
    pub since: Wall,
}

impl PileRow {
    /// Why it takes no new orders, if it does not: a person or the rule has sent it to maintenance, or it has said too much.
    pub fn fenced_off(&self) -> Option<Maintenance> {
        let spent = self.budget_spent.map(|BudgetSpent { bytes, since }| Maintenance {
            reason: format!(
                "it has had {} KiB journaled today, more than one pile may; until midnight only what its orders need is taken",
                bytes / 1024
            ),
            by: BY_RULE.to_owned(),
            since,
        });
        self.maintenance.clone().or(spent)
    }

    /// Why the rule fences this pile off now, if it does: at least `faults_max` faults or `drops_max` drops within
    /// `window_ms`.
    pub fn is_sick(&self, now: Mono, faults_max: usize, drops_max: usize, window_ms: u64) -> Option<String> {
        let recent = |times: &[Mono]| times.iter().filter(|at| now.ms_since(**at) < window_ms).count();
        let (faults, drops) = (recent(&self.faults), recent(&self.drops));
        let hours = window_ms / 3_600_000;
        if faults >= faults_max {
            Some(format!("{faults} faults in {hours} h"))
        } else if drops >= drops_max {
            Some(format!("{drops} drops in {hours} h"))
        } else {
            None
        }
    }
}

/// A pile as it is known. Its fields can be read; facts change them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pile(PileRow);

impl Deref for Pile {
    type Target = PileRow;

    fn deref(&self) -> &PileRow {
        &self.0
    }
}

impl Pile {
    /// A pile that has been provisioned and never seen.
    pub fn new(id: PileId) -> Self {
        Self(PileRow {
            id,
            removed: false,
            make: Make::default(),
            boot_id: None,
            connectors: BTreeMap::new(),
            clocks: PileClocks::default(),
            since: None,
            maintenance: None,
            budget_spent: None,
            meter_abnormal: None,
            later_abnormal: Vec::new(),
            faults: Vec::new(),
            drops: Vec::new(),
            quarantined_bytes: 0,
        })
    }

    /// Takes a fact about this pile into account; `busy` are the connectors that an order occupies. Facts that say nothing
    /// of a pile's row change nothing.
    pub(crate) fn apply(&mut self, stamp: Stamp, fact: &Fact, busy: &BTreeSet<ConnectorNo>) {
        match fact {
            Fact::PileProvisioned { .. } => {
                self.0.removed = false;
                self.0.since.get_or_insert(stamp.at);
            }
            Fact::PileClocksMeasured { clocks, .. } => self.0.clocks = clocks.clone(),
            Fact::ClockStepped { by_ms } => self.0.clocks.follow_step(*by_ms),
            Fact::PileRemoved { .. } => self.0.removed = true,
            Fact::PileBooted {
                boot_id,
                make,
                connectors,
                doubted,
                ..
            } => {
                self.0.boot_id = Some(boot_id.clone());
                self.0.make = make.clone();
                for reported in connectors {
                    let is_idle = reported.is_idle(busy.contains(&reported.no)) && !doubted.contains(&reported.no);
                    self.connector_mut(reported.no).boot(stamp.now(), reported, is_idle);
                }
            }
            Fact::PileDropped { at, .. } => remember(&mut self.0.drops, *at),
            Fact::PileEvent {
                outlet,
                kind,
                told_by,
                counts,
                left_out,
                ..
            } => {
                let noted = Noted {
                    kind: *kind,
                    told_by: *told_by,
                    counts: *counts && *kind == EventKind::Fault,
                    left_out: *left_out,
                };
                self.connector_mut(outlet.connector).fault.apply(stamp.mono, noted);
                if noted.counts {
                    remember(&mut self.0.faults, stamp.mono);
                }
            }
            Fact::PileBudgetSpent { bytes, .. } => {
                self.0.budget_spent = Some(BudgetSpent {
                    bytes: *bytes,
                    since: stamp.at,
                });
            }
            Fact::PileBudgetRenewed { .. } => self.0.budget_spent = None,
            Fact::StartWished { outlet, card, .. } => {
                let (seq, card, at) = (stamp.seq, card.clone(), stamp.mono);
                self.connector_mut(outlet.connector).wished = Some(StartWish { seq, card, at });
            }
            Fact::MaintenanceSet { reason: None, .. } => {
                self.0.maintenance = None;
                self.0.faults.clear();
                self.0.drops.clear();
            }
            Fact::MaintenanceSet {
                reason: Some(reason),
                by,
                ..
            } => {
                self.0.maintenance = Some(Maintenance {
                    reason: reason.clone(),
                    by: by.clone(),
                    since: stamp.at,
                });
            }
            _ => self.apply_to_registers(stamp, fact),
        }
    }

    /// What is known of its meters, and of what flows through them without an order.
    fn apply_to_registers(&mut self, stamp: Stamp, fact: &Fact) {
        match fact {
            Fact::RegisterRolledBack { outlet, rollback } => {
                self.connector_mut(outlet.connector)
                    .replace_meter(stamp.now(), *rollback);
            }
            Fact::RegisterReturned { outlet, register, .. } => {
                self.connector_mut(outlet.connector)
                    .return_to_meter_before(stamp.now(), *register);
            }
            Fact::UnorderedCharging {
                outlet,
                register,
                named,
                ..
            } => {
                self.connector_mut(outlet.connector).unordered = Some(Unordered {
                    since: stamp.at,
                    from: *register,
                    named: named.clone(),
                });
            }
            Fact::UnorderedChargingEnded { outlet, .. } => self.connector_mut(outlet.connector).unordered = None,
            Fact::RegisterJumped { outlet, known, found } => {
                let (known, found) = (*known, *found);
                self.connector_mut(outlet.connector).jump = Some(Rollback { known, found });
            }
            Fact::RegisterCorrected { outlet, register, .. } => {
                let connector = self.connector_mut(outlet.connector);
                connector.jump = None;
                connector.read_at(stamp.now(), *register);
            }
            Fact::MeterCleared { registers, .. } => {
                self.0.meter_abnormal = None;
                self.0.later_abnormal.clear();
                for connector in self.0.connectors.values_mut() {
                    (connector.rollback, connector.jump) = (None, None);
                }
                for (no, register) in registers {
                    self.connector_mut(*no).read_at(stamp.now(), *register);
                }
            }
            _ => {}
        }
    }

    pub(crate) fn connector_mut(&mut self, no: ConnectorNo) -> &mut Connector {
        self.0.connectors.entry(no).or_default()
    }

    /// A report found that its meter differs from what was billed. The first finding is shown; each stays until it is
    /// explained.
    pub(crate) fn doubt_meter(&mut self, found: MeterAbnormal) {
        if self.0.meter_abnormal.is_none() {
            self.0.meter_abnormal = Some(found);
            return;
        }
        let later = &mut self.0.later_abnormal;
        later.truncate(ABNORMAL_DAYS_MAX - 1);
        later.push(found);
    }

    /// A report corrects a day that put its meter in doubt.
    pub(crate) fn correct_doubt(&mut self, day: Day, no: ConnectorNo, billed: Energy, register: Energy) {
        for doubt in self.doubts().filter(|doubt| doubt.day == day) {
            if let Some(difference) = doubt.differing.get_mut(&no) {
                difference.billed = within_range(difference.billed + billed);
                difference.register = within_range(difference.register + register);
                if !differs(difference.billed, difference.register) {
                    doubt.differing.remove(&no);
                }
            }
        }
        self.drop_explained_doubts();
    }

    /// An order that differed from its register does not any more.
    pub(crate) fn order_agrees(&mut self, order: &OrderId) {
        for doubt in self.doubts() {
            doubt.orders.remove(order);
        }
        self.drop_explained_doubts();
    }

    fn doubts(&mut self) -> impl Iterator<Item = &mut MeterAbnormal> {
        self.0.meter_abnormal.iter_mut().chain(&mut self.0.later_abnormal)
    }

    /// The mark goes when nothing is left of any day that it was made for.
    fn drop_explained_doubts(&mut self) {
        let doubts = self.0.meter_abnormal.take().into_iter();
        let doubts = doubts.chain(std::mem::take(&mut self.0.later_abnormal));
        let mut left = doubts.filter(|doubt| !doubt.is_explained());
        self.0.meter_abnormal = left.next();
        self.0.later_abnormal = left.collect();
    }

    /// Its messages in quarantine come to `count` bytes more, or fewer.
    pub(crate) fn count_quarantined(&mut self, count: impl FnOnce(u64) -> u64) {
        self.0.quarantined_bytes = count(self.0.quarantined_bytes);
    }
}

fn remember(times: &mut Vec<Mono>, at: Mono) {
    if times.len() == REMEMBERED_MAX {
        times.remove(0);
    }
    times.push(at);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_faults_in_a_day_make_a_pile_sick_and_a_day_heals_it() {
        let mut pile = Pile::new(PileId::new("P1").unwrap());
        let day = 86_400_000;
        for at in [0, 1_000, 2_000] {
            assert_eq!(pile.is_sick(Mono(at), 3, 5, day), None);
            remember(&mut pile.0.faults, Mono(at));
        }
        assert_eq!(pile.is_sick(Mono(2_000), 3, 5, day).unwrap(), "3 faults in 24 h");
        assert_eq!(pile.is_sick(Mono(day), 3, 5, day), None);
        for at in 0..100 {
            remember(&mut pile.0.drops, Mono(2 * day + at));
        }
        assert_eq!(pile.drops.len(), REMEMBERED_MAX);
        assert_eq!(
            pile.is_sick(Mono(2 * day + 100), 3, 5, day).unwrap(),
            "32 drops in 24 h"
        );
    }
}
