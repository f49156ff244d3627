//! What facts add up to in a business day: sums by connector, and what of a register they explain. Part of taking a fact in.

use super::{apply::Books, classify::is_of_session};
use crate::{
    contradiction::Contradicts,
    energy::{ConnectorDay, EnergyReport, Finding, differs, within_range},
    fact::{Fact, QuarantineOutcome, QuarantineReason, SessionTimes},
    ids::{OrderId, Outlet, PileId},
    messages::{POWER_MAX, Record},
    meter::{self, RegisterGap, Rollback, Suspicion},
    order::{Basis, Counted, Ending, Order, OrderRow, Source, State},
    pile::{Connector, DayDifference, MeterAbnormal},
    rating::Reading,
    register::{Claim, RegisterBook, RegisterChanges, SessionId, Span, UnrecordedClass},
    time::Day,
    units::Energy,
};
use std::collections::{BTreeMap, BTreeSet};

impl Books<'_> {
    fn connector_mut(&mut self, outlet: &Outlet) -> Result<&mut Connector, Contradicts> {
        Ok(self.pile_mut(&outlet.pile)?.connector_mut(outlet.connector))
    }

    /// What the fact says of energy: sums of days, and registers that are explained.
    pub(super) fn apply_to_energy(&mut self, fact: &Fact) -> Result<(), Contradicts> {
        match fact {
            Fact::RecordReceived {
                order,
                record,
                suspicions,
                ..
            } => self.take_record(order, record, suspicions)?,
            Fact::RecordTaken { order, item, ending } => self.take_record_of_person(order, *item, ending)?,
            Fact::OrderRated { order, basis, bill } => self.claim_rated(order, *basis, bill.start, bill.stop)?,
            Fact::OrderAccounted { order, from, to } => self.claim_decided(order, *from, *to)?,
            Fact::OrderEstimated { order, .. } | Fact::OrderSettled { order, .. } => self.count(order)?,
            Fact::Quarantined { .. } => self.take_item(fact)?,
            Fact::QuarantineClosed {
                item,
                outcome: QuarantineOutcome::Dismissed,
                ..
            } => self.dismiss_item(*item)?,
            Fact::QuarantineClosed {
                item,
                outcome: QuarantineOutcome::Billed { order },
                ..
            } => self.bill_item(*item, order)?,
            Fact::RegisterGapFound { order, outlet, gap } => self.say_gap(order, outlet, *gap)?,
            Fact::RegisterRolledBack { outlet, rollback } => {
                self.today(outlet)?.find(Finding::rollback(None, *rollback));
            }
            Fact::EnergyDiffers {
                order,
                outlet,
                billed,
                register,
            } => self.find_difference(order, outlet, *billed, *register)?,
            Fact::RegisterCorrected { outlet, register, .. } => self.correct_book(outlet, *register)?,
            Fact::MeterCleared { pile, registers, .. } => {
                for (connector, register) in registers {
                    let (pile, connector) = (pile.clone(), *connector);
                    self.correct_book(&Outlet { pile, connector }, *register)?;
                }
            }
            Fact::EnergyReported { report } => self.close_day(report)?,
            Fact::UnorderedChargingEnded { outlet, from, to } => self.say_unordered(outlet, Span::new(*from, *to))?,
            _ => {}
        }
        Ok(())
    }

    /// Before its book is replaced: what is left of the old meter's register is nobody's. The book of the meter before that
    /// is kept no more, so whatever waits in it for its money counts now; and an order of that meter that is still open comes
    /// too late for it, so what nobody explained before its start is said now.
    pub(super) fn close_book(&mut self, outlet: &Outlet, known: Energy) -> Result<(), Contradicts> {
        let day = self.now_day()?;
        let start = self.start_at_meter_before(outlet);
        if let Some(mut dropped) = self.connector_mut(outlet)?.book_before.take() {
            if let Some((order, start)) = start {
                let left = dropped.unexplained(start);
                let changes = dropped.say(&left, day, Some(&order), UnrecordedClass::Gap);
                self.post_register(outlet, &changes)?;
            }
            let waiting: Vec<SessionId> = dropped.sessions().iter().map(|session| session.by.clone()).collect();
            for by in waiting {
                let changes = dropped.count(&by, day);
                self.post_register(outlet, &changes)?;
            }
        }
        let book = &mut self.connector_mut(outlet)?.book;
        let left = book.unexplained(known);
        let changes = book.say(&left, day, None, UnrecordedClass::Gap);
        self.post_register(outlet, &changes)?;
        Ok(())
    }

    /// The open order that began furthest up on the meter before the present one, and where.
    fn start_at_meter_before(&self, outlet: &Outlet) -> Option<(OrderId, Energy)> {
        let meter = self.rows.connector(outlet)?.meter_before()?;
        let here = self.rows.orders().filter(|order| order.outlet == *outlet);
        let open = here.filter(|order| order.meter == meter && order.state.is_open());
        let starts = open.filter_map(|order| Some((order.id.clone(), order.started.as_ref()?.register?)));
        starts.max_by_key(|(_, start)| *start)
    }

    /// Before the meter before gets its book back: of the one that was taken for another only sessions count.
    pub(super) fn leave_book(&mut self, outlet: &Outlet) -> Result<(), Contradicts> {
        let day = self.now_day()?;
        let book = &mut self.connector_mut(outlet)?.book;
        let end = book.sessions().iter().map(|session| session.stop.register).max();
        let mut all = vec![book.unsay_above(end.unwrap_or(Energy::ZERO))];
        if let Some(end) = end {
            all.push(say_unexplained(book, end, day));
        }
        for changes in all {
            self.post_register(outlet, &changes)?;
        }
        Ok(())
    }

    /// No report asks any more for what a session of the meter before gives up: it is said at once.
    fn say_left_of_meter_before(&mut self, outlet: &Outlet) -> Result<(), Contradicts> {
        let day = self.now_day()?;
        let connector = self.connector_mut(outlet)?;
        let end = connector.end_before().map(|(_, end)| end);
        let Some((book, end)) = connector.book_before.as_mut().zip(end) else {
            return Ok(());
        };
        let left = book.unexplained(end);
        let changes = book.say(&left, day, None, UnrecordedClass::Gap);
        self.post_register(outlet, &changes)?;
        Ok(())
    }

    /// The register is here: what was said above it, by a reading that was wrong, is taken back.
    fn correct_book(&mut self, outlet: &Outlet, register: Energy) -> Result<(), Contradicts> {
        let book = &mut self.connector_mut(outlet)?.book;
        let changes = book.unsay_above(register);
        book.begin(register);
        self.post_register(outlet, &changes)?;
        Ok(())
    }

    fn now_day(&self) -> Result<Day, Contradicts> {
        let days = self.rows.energy.days.ok_or(Contradicts::NoDay)?;
        Ok(days.now)
    }

    /// The sums of a connector's business day.
    fn day_mut(&mut self, day: Day, outlet: &Outlet) -> Result<&mut ConnectorDay, Contradicts> {
        self.changes.energy_days.insert((day, outlet.clone()));
        Ok(self.rows.energy.open.entry((day, outlet.clone())).or_default())
    }

    /// The sums of the day that what happens now belongs to.
    fn today(&mut self, outlet: &Outlet) -> Result<&mut ConnectorDay, Contradicts> {
        let now = self.now_day()?;
        self.day_mut(now, outlet)
    }

    /// What a change of a register's book means for the days that it touches.
    fn post_register(&mut self, outlet: &Outlet, changes: &RegisterChanges) -> Result<(), Contradicts> {
        let posted = changes.postings.iter().map(|posting| posting.day);
        let found = changes.found.iter().map(|found| found.day);
        let corrected = changes.corrected.iter().map(|corrected| corrected.was.day);
        let days: BTreeSet<Day> = posted.chain(found).chain(corrected).collect();
        for day in days {
            self.day_mut(day, outlet)?.post(day, changes);
        }
        Ok(())
    }

    /// The book of an order's meter, where it is kept.
    fn book_of(&mut self, order: &OrderRow) -> Result<Option<&mut RegisterBook>, Contradicts> {
        Ok(self.connector_mut(&order.outlet)?.book_of(order.meter))
    }

    fn claim(&mut self, order: &OrderRow, start: Reading, stop: Reading, provisional: bool) -> Result<(), Contradicts> {
        self.claim_since(self.stamp.seq, order, start, stop, provisional)?;
        Ok(())
    }

    /// A claim that rests on what came with the journal entry `seq`.
    fn claim_since(
        &mut self,
        seq: u64,
        order: &OrderRow,
        start: Reading,
        stop: Reading,
        provisional: bool,
    ) -> Result<(), Contradicts> {
        let today = self.now_day()?;
        let Some(book) = self.book_of(order)? else {
            return Ok(());
        };
        // Of a connector whose register nobody knew, this is the first that is known. What moved nothing may know none.
        if start.register < stop.register {
            book.begin(start.register);
        }
        let claim = Claim {
            by: SessionId::Order(order.id.clone()),
            start,
            stop,
            seq,
            provisional,
            times_in_doubt: order.has_times_in_doubt(),
        };
        let changes = book.claim(claim, today);
        self.post_register(&order.outlet, &changes)?;
        self.count_again(order)?;
        self.say_left_of_meter_before(&order.outlet)?;
        Ok(())
    }

    /// A session that had been given up by name is counted where it was.
    fn count_again(&mut self, order: &OrderRow) -> Result<(), Contradicts> {
        let Some(Counted { day, .. }) = order.counted else {
            return Ok(());
        };
        let by = SessionId::Order(order.id.clone());
        let counted = self.book_of(order)?.map(|book| book.count(&by, day));
        if let Some(changes) = counted {
            self.post_register(&order.outlet, &changes)?;
        }
        Ok(())
    }

    /// An order's record came: what it explains of the register, and what it says against it.
    fn take_record(&mut self, id: &OrderId, record: &Record, suspicions: &[Suspicion]) -> Result<(), Contradicts> {
        let order = self.order_mut(id)?.clone();
        let outlet = &order.outlet;
        if let Some(Counted { day, .. }) = order.counted
            && self.rows.energy.open.contains_key(&(day, outlet.clone()))
        {
            self.day_mut(day, outlet)?.has_meter(id);
        }
        // A failed order's goes to quarantine, and is accounted for there.
        let believed = !suspicions.iter().any(Suspicion::is_of_register);
        if let Some(ending) = order.ending.clone().filter(|_| believed && order.state != State::Fail) {
            self.claim(&order, ending.start, ending.stop, false)?;
        }
        if self.rows.has_its_meter(&order) {
            let now = self.stamp.now();
            let is_session = order.state != State::Fail && record.energy() > Energy::ZERO;
            let too_far = suspicions.iter().any(Suspicion::is_too_far);
            let connector = self.connector_mut(outlet)?;
            // The first session after the register was found lower has come, and a person sees it.
            if is_session {
                (connector.rollback, connector.jump) = (None, None);
            }
            // An impossible jump must not make every later session look like a meter running backwards.
            if !too_far {
                connector.end_at(now, record.meter_stop_kwh);
            }
        }
        for suspicion in suspicions {
            let (known, found) = match *suspicion {
                Suspicion::StopBelowStart { start, stop } => (start, stop),
                Suspicion::StartBelowLastKnown { start, last_known } => (last_known, start),
                _ => continue,
            };
            let finding = Finding::rollback(Some(id), Rollback { known, found });
            self.today(outlet)?.find(finding);
        }
        Ok(())
    }

    /// An order's record says less than its register moved by what the station saw.
    fn find_difference(
        &mut self,
        id: &OrderId,
        outlet: &Outlet,
        billed: Energy,
        register: Energy,
    ) -> Result<(), Contradicts> {
        let today = self.now_day()?;
        self.today(outlet)?.find(Finding::Energy {
            order: Some(id.clone()),
            billed,
            register,
        });
        let order = self.order_mut(id)?;
        let began = order.ending.as_ref().map(|ending| ending.start.register);
        let seen = began.map(|began| (today, within_range(began + register)));
        order.note_difference(seen);
        Ok(())
    }

    /// A person gave an order another record: where that says what the station saw, the order differs no more, and neither
    /// the day's report nor the mark says that it does.
    fn take_back_difference(&mut self, id: &OrderId, ending: &Ending) -> Result<(), Contradicts> {
        let order = self.order_mut(id)?.clone();
        let Some((day, seen)) = order.differs else {
            return Ok(());
        };
        let began = ending.start.register;
        let (billed, register) = (within_range(ending.stop.register - began), within_range(seen - began));
        if register > billed && differs(billed, register) {
            return Ok(());
        }
        self.order_mut(id)?.note_difference(None);
        self.day_mut(day, &order.outlet)?.agrees(id, billed, register);
        self.pile_mut(&order.outlet.pile)?.order_agrees(id);
        Ok(())
    }

    /// A person gave an order its record: it claims what that says, in place of what the one before said.
    fn take_record_of_person(&mut self, id: &OrderId, item: u64, ending: &Ending) -> Result<(), Contradicts> {
        let order = self.order_mut(id)?.clone();
        if let Some(Counted { day, .. }) = order.counted
            && self.rows.energy.open.contains_key(&(day, order.outlet.clone()))
        {
            self.day_mut(day, &order.outlet)?.has_meter(id);
        }
        self.take_back_difference(id, ending)?;
        self.claim_since(item, &order, ending.start, ending.stop, false)?;
        if self.rows.has_its_meter(&order) {
            let now = self.stamp.now();
            let connector = self.connector_mut(&order.outlet)?;
            connector.rollback = None;
            connector.end_at(now, ending.stop.register);
        }
        Ok(())
    }

    /// An estimate claims what it bills until the record comes; a record that a person bills has claimed nothing where its
    /// registers were not believed.
    fn claim_rated(&mut self, id: &OrderId, basis: Basis, start: Reading, stop: Reading) -> Result<(), Contradicts> {
        let order = self.order_mut(id)?.clone();
        let by = SessionId::Order(id.clone());
        let claimed = self.book_of(&order)?.is_some_and(|book| book.session(&by).is_some());
        let is_estimate = basis == Basis::Estimate;
        if is_estimate || (order.source == Source::Quarantine && !claimed) {
            self.claim(&order, start, stop, is_estimate)?;
            // An estimate of nothing may be from no reading at all.
            if self.rows.has_its_meter(&order) && start.register < stop.register {
                let now = self.stamp.now();
                self.connector_mut(&order.outlet)?.end_at(now, stop.register);
            }
        }
        Ok(())
    }

    /// A person has decided: the order accounts for so much of its register.
    fn claim_decided(&mut self, id: &OrderId, from: Energy, to: Energy) -> Result<(), Contradicts> {
        let order = self.order_mut(id)?.clone();
        let Some(ending) = order.ending.clone() else {
            return Ok(());
        };
        let start = Reading {
            at: ending.start.at,
            register: from,
        };
        let stop = Reading {
            at: ending.stop.at,
            register: to,
        };
        self.claim(&order, start, stop, false)?;
        if self.rows.has_its_meter(&order) {
            let now = self.stamp.now();
            self.connector_mut(&order.outlet)?.end_at(now, to);
        }
        Ok(())
    }

    /// An order whose money moves counts in its day; what a later bill changes counts there too.
    fn count(&mut self, id: &OrderId) -> Result<(), Contradicts> {
        let today = self.now_day()?;
        let order = self.order_mut(id)?.clone();
        let outlet = order.outlet.clone();
        let day = order.counted.map_or(today, |before| before.day);
        let by = SessionId::Order(id.clone());
        let in_book = self.book_of(&order)?.map(|book| {
            let changes = book.count(&by, day);
            (changes, book.session(&by).map(|session| session.owned))
        });
        let bill = order.bills.iter().rev().find_map(|bill| bill.detail.as_ref());
        let rated = bill.map_or(Energy::ZERO, |bill| bill.energy);
        let own = match &order.ending {
            Some(ending) => within_range(ending.stop.register - ending.start.register).max(Energy::ZERO),
            None => rated,
        };
        // Who sets a bill has looked at the meter; what could not be rated is no fault of it.
        let corrected = order.bills.last().is_some_and(|bill| bill.basis == Basis::Correction);
        let owned = in_book.as_ref().and_then(|(_, owned)| *owned);
        let billed = if corrected { owned.unwrap_or(own) } else { rated };
        // What a meter moved whose book was given up is all said. Of one that never had a book, its own readings are all
        // there is.
        let had_book = in_book.is_some() || self.connector_mut(&outlet)?.gave_up_book_of(order.meter);
        let metered = if had_book { Energy::ZERO } else { own };
        let before = order.counted;
        self.order_mut(id)?.count(Counted {
            day,
            energy: billed,
            metered,
        });
        if let Some((changes, _)) = &in_book {
            self.post_register(&outlet, changes)?;
        }
        let known = before.map_or((Energy::ZERO, Energy::ZERO), |before| (before.energy, before.metered));
        if before.is_some() && known == (billed, metered) {
            return Ok(());
        }
        let no_meter = order.estimated && order.ending.is_none();
        let sums = self.day_mut(day, &outlet)?;
        sums.billed = within_range(sums.billed + billed - known.0);
        sums.metered = within_range(sums.metered + metered - known.1);
        if before.is_none() {
            sums.orders += 1;
            if no_meter {
                let order = id.clone();
                sums.find(Finding::NoMeter { order, billed });
            }
        }
        Ok(())
    }

    /// What was put aside: it stands in the day's report, and a record claims what it says of the register.
    fn take_item(&mut self, fact: &Fact) -> Result<(), Contradicts> {
        let Fact::Quarantined {
            why,
            pile,
            record,
            times,
            order,
            ..
        } = fact
        else {
            unreachable!("called for Quarantined alone")
        };
        let item = self.stamp.seq;
        let about = order.as_ref().and_then(|order| self.rows.order(order)).cloned();
        let found = match (why, about, record) {
            (QuarantineReason::RatingDiffers, Some(order), _) => {
                let (id, outlet) = (order.id.clone(), &order.outlet);
                self.today(outlet)?.find(Finding::RatingDiffers { order: id, item });
                return Ok(());
            }
            (QuarantineReason::Conflict, Some(order), Some(record)) => {
                let found = conflict_of(&order, item, record);
                // The order's own record accounts for its session, until a person gives it this one in its place. Another
                // session under a used number accounts for itself.
                let is_of_its_session = is_of_session(&order, record.meter_start_kwh, record.meter_stop_kwh);
                if is_of_its_session || record.energy() <= Energy::ZERO {
                    self.today(&order.outlet)?.find(found);
                    return Ok(());
                }
                found
            }
            (_, _, Some(record)) => Finding::Unbilled {
                item,
                energy: within_range(record.energy()),
            },
            (_, _, None) => return Ok(()),
        };
        if let (Some(record), Some(times)) = (record, times) {
            self.take_unbilled(pile, record, times, found)?;
        }
        Ok(())
    }

    /// A record that contradicts another and was dismissed was wrong: what it says of the register, it does not say. What
    /// others say was moved, and nobody's.
    fn dismiss_item(&mut self, item: u64) -> Result<(), Contradicts> {
        let row = self.rows.quarantine.get(&item).and_then(Option::as_ref);
        let Some((pile, connector)) = row.and_then(|row| Some((row.pile.clone(), row.connector?))) else {
            return Ok(());
        };
        let is_conflict = row.is_some_and(|row| row.why == QuarantineReason::Conflict);
        let outlet = Outlet { pile, connector };
        let Some(meters) = self.rows.connector(&outlet).map(Connector::meters) else {
            return Ok(());
        };
        for meter in meters {
            let Some(book) = self.connector_mut(&outlet)?.book_of(meter) else {
                continue;
            };
            if is_conflict {
                let changes = book.release(&SessionId::Item(item));
                self.post_register(&outlet, &changes)?;
            } else {
                book.dismiss(item);
            }
        }
        self.say_left_of_meter_before(&outlet)?;
        Ok(())
    }

    /// On which of its connector's meters the session of a record ran that is put aside, as far as can be told.
    pub(super) fn meter_of(&self, pile: &PileId, record: &Record) -> Option<u32> {
        let outlet = Outlet {
            pile: pile.clone(),
            connector: record.connector,
        };
        let connector = self.rows.connector(&outlet)?;
        Some(connector.meter_of_late_session(record.meter_start_kwh, record.meter_stop_kwh))
    }

    /// A record in quarantine, `found` in today's report: a metered session without an order. What it says of the register
    /// is no gap.
    fn take_unbilled(
        &mut self,
        pile: &PileId,
        record: &Record,
        times: &SessionTimes,
        found: Finding,
    ) -> Result<(), Contradicts> {
        let (item, energy, today) = (self.stamp.seq, record.energy(), self.now_day()?);
        let outlet = Outlet {
            pile: pile.clone(),
            connector: record.connector,
        };
        let Some(connector) = self.rows.connector(&outlet).filter(|_| energy > Energy::ZERO).cloned() else {
            return Ok(());
        };
        self.today(&outlet)?.find(found);
        let Some(meter) = self.meter_of(pile, record) else {
            return Ok(());
        };
        // Of a connector that has not said how much it delivers, as much as any can.
        let power = connector.power_max.unwrap_or(POWER_MAX);
        if energy > meter::possible(power, times.lasted_ms(record)) {
            return Ok(());
        }
        let reading = |at, register| Reading { at, register };
        let by = SessionId::Item(item);
        let claim = Claim {
            by: by.clone(),
            start: reading(times.start, record.meter_start_kwh),
            stop: reading(times.stop, record.meter_stop_kwh),
            seq: item,
            provisional: false,
            times_in_doubt: times.suspicions().any(Suspicion::is_of_times),
        };
        let Some(book) = self.connector_mut(&outlet)?.book_of(meter) else {
            return Ok(());
        };
        book.begin(record.meter_start_kwh);
        let claimed = book.claim(claim, today);
        let counted = book.count(&by, today);
        let before = book.unexplained(record.meter_start_kwh);
        let said = book.say(&before, today, None, UnrecordedClass::Gap);
        for changes in [claimed, counted, said] {
            self.post_register(&outlet, &changes)?;
        }
        Ok(())
    }

    /// A person bills what was put aside: its energy is an order's from now on.
    fn bill_item(&mut self, item: u64, id: &OrderId) -> Result<(), Contradicts> {
        let order = self.order_mut(id)?.clone();
        let of_item = self.rows.quarantine.get(&item).and_then(|row| row.as_ref()?.meter);
        // It may have run on the meter that was there before, and another session has come since.
        if let Some(meter) = of_item.filter(|meter| *meter != order.meter && order.source == Source::Quarantine) {
            self.order_mut(id)?.be_of_meter(meter);
        }
        let order = self.order_mut(id)?.clone();
        let renamed = self.book_of(&order)?.map(|book| book.rename(item, id));
        if let Some(changes) = renamed {
            self.post_register(&order.outlet, &changes)?;
            self.count_again(&order)?;
            self.say_left_of_meter_before(&order.outlet)?;
        }
        Ok(())
    }

    /// Energy before an order that nothing explains.
    fn say_gap(&mut self, id: &OrderId, outlet: &Outlet, gap: RegisterGap) -> Result<(), Contradicts> {
        let today = self.now_day()?;
        let order = self.order_mut(id)?.clone();
        let span = Span::new(gap.last_known, gap.start);
        let said = self
            .book_of(&order)?
            .map(|book| book.say(&[span], today, Some(id), UnrecordedClass::Gap));
        if let Some(changes) = said {
            self.post_register(outlet, &changes)?;
        }
        Ok(())
    }

    /// Energy that a connector delivered without an order, as far as no session explains it.
    fn say_unordered(&mut self, outlet: &Outlet, span: Span) -> Result<(), Contradicts> {
        let today = self.now_day()?;
        let book = &mut self.connector_mut(outlet)?.book;
        let changes = book.say(&[span], today, None, UnrecordedClass::Unordered);
        self.post_register(outlet, &changes)?;
        Ok(())
    }

    /// A day has its report.
    fn close_day(&mut self, report: &EnergyReport) -> Result<(), Contradicts> {
        for one in &report.connectors {
            if let Some(read) = one.read {
                let book = &mut self.connector_mut(&one.outlet)?.book;
                let changes = say_unexplained(book, read, report.day);
                self.post_register(&one.outlet, &changes)?;
            }
        }
        self.changes.energy_days.extend(self.rows.energy.close(report));
        self.changes.energy_reports.insert(report.day);
        for late in &report.adjustments {
            let (change, no) = (&late.change, late.outlet.connector);
            self.pile_mut(&late.outlet.pile)?
                .correct_doubt(late.of, no, change.billed, change.register());
        }
        for id in &report.abnormal {
            let doubt = self.doubt_of(report, id);
            self.pile_mut(id)?.doubt_meter(doubt);
        }
        self.rows.energy_reports.insert(report.day, report.clone());
        Ok(())
    }

    /// Why a report puts a pile's meter in doubt.
    fn doubt_of(&self, report: &EnergyReport, pile: &PileId) -> MeterAbnormal {
        let mut differing = BTreeMap::new();
        let mut orders = BTreeSet::new();
        for one in report.connectors.iter().filter(|one| one.outlet.pile == *pile) {
            for finding in &one.sums.findings {
                match finding {
                    Finding::Energy { order: Some(order), .. } => {
                        orders.insert(order.clone());
                    }
                    Finding::Energy { order: None, .. } => {
                        let (billed, register) = (one.sums.billed, one.sums.register());
                        differing.insert(one.outlet.connector, DayDifference { billed, register });
                    }
                    _ => {}
                }
            }
        }
        MeterAbnormal {
            day: report.day,
            reason: report.findings_of(pile),
            since: self.stamp.at,
            differing,
            orders,
        }
    }
}

/// Reports as unrecorded what nothing explains up to the register `read`.
pub(super) fn say_unexplained(book: &mut RegisterBook, read: Energy, day: Day) -> RegisterChanges {
    let left = book.unexplained(read);
    book.say(&left, day, None, UnrecordedClass::Gap)
}

fn conflict_of(order: &Order, item: u64, record: &Record) -> Finding {
    let billed = order.bills.iter().rev().find_map(|bill| bill.detail.as_ref());
    Finding::Conflict {
        order: order.id.clone(),
        item,
        billed: billed.map_or(Energy::ZERO, |bill| bill.energy),
        claimed: within_range(record.energy()),
    }
}
