//! A pile's record of a session becomes a bill: by its actual times, moved to the station's clock (S05 §2.2).
//! Every record is stored, whatever becomes of it.

use super::{
    Received, Rejected, Turn,
    classify::{Fit, is_of_session},
    sightings::below_seen,
};
use crate::{
    alignment::{self, Evidence, OrderEvidence},
    fact::{Fact, QuarantineReason, SessionTimes},
    ids::{MemberId, OrderId, Outlet, PileId},
    journal::Hash,
    messages::{AckResult, Common, Digest, Record, StopCode, Unread},
    meter::{self, Suspicion},
    order::{Basis, Ending, FailReason, Order, Source, State, Until},
    planted::{Bug, is_planted},
    quarantine::kept_bytes,
    rating::{self, Bill, PeriodSplit, REGISTER_MAX, Reading, SplitDifference},
    register::SessionId,
    tariff::Tariff,
    time::Wall,
    units::{Energy, Fen, Power},
};

impl Turn<'_> {
    /// What is to be put aside and finds no room there is refused before anything is journaled: the pile keeps it.
    pub(super) fn record(&mut self, pile: &PileId, common: &Common, said: Said) -> Result<Received, Rejected> {
        let Said { record, .. } = &said;
        let outlet = Outlet {
            pile: pile.clone(),
            connector: record.connector,
        };
        let fit = self.site.classify(&outlet, record, &said.digest);
        let order = self.order(&record.order_id).cloned();
        // Only of an order's own session it is known when it was placed, and in which boot it began.
        let own = order.as_ref().filter(|order| match fit {
            Fit::Contradicts => is_of_session(order, record.meter_start_kwh, record.meter_stop_kwh),
            _ => order.outlet == outlet,
        });
        let times = self.align(pile, own, common, record);
        let (fit, payer) = match fit {
            Fit::Offline => match self.payer(record, &times) {
                Ok(payer) => (Fit::Offline, Some(payer)),
                Err(refused) => (refused, None),
            },
            fit => (fit, None),
        };
        let loses_it = fit == Fit::Contradicts && order.as_ref().is_some_and(loses_conflicts);
        if fit.puts_aside().is_some() && !loses_it {
            let bytes = kept_bytes(Some(record), None, said.unread.as_deref());
            self.check_quarantine(pile, said.digest(), bytes)?;
        }
        if fit == Fit::Offline {
            self.check_budget_for_offline_session(pile)?;
        }
        let id = record.order_id.clone();
        Ok(match (fit, order, payer) {
            (Fit::Settles | Fit::Failed, Some(order), _) => {
                if order.state == State::Place
                    && record.reason.meaning() == StopCode::StartFailed
                    && record.energy() == Energy::ZERO
                {
                    self.fail(&id, FailReason::NeverStarted);
                }
                self.receive(&order, said, times)
            }
            (Fit::Repeats, Some(order), _) => Received {
                result: AckResult::Duplicate,
                order: Some(id),
                fee: fee_of(&order),
                detail: String::new(),
            },
            (Fit::PutAside(item), order, _) => {
                self.put_aside_before(item, order.filter(|order| order.outlet == outlet), id)
            }
            (Fit::Contradicts, Some(order), _) if loses_it => contradicted(&order, None),
            (Fit::Offline, None, Some(member)) => {
                let registers = (record.meter_start_kwh, record.meter_stop_kwh);
                let order = self.adopt(&id, &outlet, member, Source::OfflineSession, times.start, registers);
                self.receive(&order, said, times)
            }
            (fit, order, _) => {
                let detail = fit.detail(&id, order.as_ref());
                let why = fit.puts_aside().unwrap_or(QuarantineReason::Orphan);
                let received = self.set_aside(pile, said, Aside { why, times, detail });
                match order.filter(|_| fit == Fit::Contradicts) {
                    Some(order) => contradicted(&order, Some(self.site.last.seq)),
                    None => received,
                }
            }
        })
    }

    /// A content that lies in quarantine, or lay there: nothing changes. `order` is the one that has another record.
    fn put_aside_before(&mut self, item: u64, order: Option<Order>, id: OrderId) -> Received {
        self.ignore("quarantined_again");
        Received {
            result: order.as_ref().map_or(AckResult::Orphan, |_| AckResult::Duplicate),
            order: Some(id),
            fee: order.as_ref().and_then(fee_of),
            detail: format!("it was put aside before, as quarantine item {item}"),
        }
    }

    /// The record of an order of this outlet that has none yet.
    fn receive(&mut self, before: &Order, said: Said, aligned: SessionTimes) -> Received {
        let Said { record, unread, .. } = &said;
        let id = &before.id;
        let failed = self.order(id).is_some_and(|order| order.state == State::Fail);
        let (start, stop) = (
            Reading {
                at: aligned.start,
                register: record.meter_start_kwh,
            },
            Reading {
                at: aligned.stop,
                register: record.meter_stop_kwh,
            },
        );
        let further = self.further_than_recorded(before, record);
        let mut suspicions = self.suspicions(before, record, &aligned, further);
        let ending = Ending {
            digest: said.digest().to_owned(),
            start,
            stop,
            reason: record.reason.clone(),
            offline: record.offline,
            unread: unread.clone(),
        };
        self.journal(Fact::RecordReceived {
            order: id.clone(),
            record: record.clone(),
            ending,
            suspicions: suspicions.clone(),
        });
        self.seen(id);
        if matches!(
            record.reason.meaning(),
            StopCode::Fault | StopCode::Insulation | StopCode::OverTemperature
        ) {
            self.note_fault_of_record(&before.outlet, &record.reason, aligned.stop);
        }
        if !failed && !suspicions.iter().any(Suspicion::is_of_register) {
            self.find_gaps(id, start.register);
        }
        if let Some(register) = further {
            self.journal(Fact::EnergyDiffers {
                order: id.clone(),
                outlet: before.outlet.clone(),
                billed: record.energy(),
                register,
            });
        }
        if failed {
            return self.record_of_failed_order(before, said, aligned);
        }
        suspicions.extend(self.rate_record(before, &said, &aligned.samples, start, stop));
        match before.state {
            State::Review => {}
            _ => self.settle_or_review(id, suspicions),
        }
        let settled = self.order(id).expect("the order was in memory above");
        let detail = if settled.state == State::Review {
            "waits for review"
        } else {
            ""
        };
        Received {
            result: AckResult::Ok,
            order: Some(id.clone()),
            fee: fee_of(settled),
            detail: detail.to_owned(),
        }
    }

    /// Journals what nothing explains of the register before an order that begins at `start`.
    pub(super) fn find_gaps(&mut self, id: &OrderId, start: Energy) {
        let order = self.order(id).expect("gaps are looked for before an order in memory");
        let outlet = order.outlet.clone();
        let connector = self.site.rows.connector(&outlet);
        let book = connector.and_then(|connector| connector.book_for(order.meter));
        let before = book.map(|book| book.unexplained(start)).unwrap_or_default();
        for gap in before.iter().filter_map(|span| meter::gap(span.to, Some(span.from))) {
            self.journal(Fact::RegisterGapFound {
                order: id.clone(),
                outlet: outlet.clone(),
                gap,
            });
        }
    }

    /// Why a person must look at the record of an order before its money moves, its rating aside. `further` is what the
    /// station saw the register move, where that is more.
    fn suspicions(
        &self,
        order: &Order,
        record: &Record,
        times: &SessionTimes,
        further: Option<Energy>,
    ) -> Vec<Suspicion> {
        let power = self.power_of(&order.outlet);
        let registers = (record.meter_start_kwh, record.meter_stop_kwh);
        let step = self.site.step_of_baseline(order);
        let mut found = meter::suspicions(registers, order.baseline, step, power, times.lasted_ms(record));
        let failed = self.order(&order.id).is_some_and(|order| order.state == State::Fail);
        // A session that moved nothing shows nothing of it.
        let is_session = !failed && record.energy() > Energy::ZERO;
        let rolled_back = self.rolled_back(order).filter(|_| is_session);
        // One reason not to believe the registers is enough.
        if !found.iter().any(Suspicion::is_of_register) && rolled_back.is_none() {
            found.extend(self.not_as_seen(order, record, times));
        }
        found.extend(times.suspicions().cloned());
        found.extend(rolled_back);
        if order.bill().is_some_and(|bill| bill.basis == Basis::Correction) {
            found.push(Suspicion::BillCorrected);
        }
        found.extend(further.and_then(|seen| below_seen(record, seen)));
        if !failed {
            found.extend(self.already_accounted(order, registers));
        }
        found
    }

    /// The most a connector delivers.
    pub(super) fn power_of(&self, outlet: &Outlet) -> Power {
        let connector = self.site.rows.connector(outlet);
        let known = connector.and_then(|connector| connector.power_max);
        known.unwrap_or(self.policy().power_default)
    }

    /// A record that cannot be rated, for instance because it is too long, gets a bill of nothing and is suspect, so that
    /// a person sees it first.
    fn rate_record(
        &mut self,
        order: &Order,
        said: &Said,
        buffered: &[Reading],
        start: Reading,
        stop: Reading,
    ) -> Option<Suspicion> {
        let mut samples = buffered.to_vec();
        let live = self.site.live.outlets.get(&order.outlet);
        if let Some(live) = live.filter(|live| live.order.as_ref() == Some(&order.id)) {
            let within = |reading: &&Reading| reading.at > start.at && reading.at < stop.at;
            samples.extend(live.readings.readings().iter().filter(within));
        }
        samples.sort_by_key(|reading| (reading.at, reading.register));
        let tariff = self.site.rows.tariff_of(order);
        let (bill, suspicion) = rate_or_suspect(tariff, start, &samples, stop);
        let claimed = said.record.periods.map(|periods| PeriodSplit {
            sharp: periods.sharp_kwh,
            peak: periods.peak_kwh,
            flat: periods.flat_kwh,
            valley: periods.valley_kwh,
        });
        let difference = claimed.and_then(|claimed| rating::compare_split(&bill, tariff, &claimed));
        self.journal(Fact::OrderRated {
            order: order.id.clone(),
            basis: Basis::Record,
            bill,
        });
        if let Some(difference) = difference {
            self.note_rating_difference(order, said.digest(), difference);
        }
        suspicion
    }

    /// The bill stands, and a person is to see why the pile splits it otherwise.
    fn note_rating_difference(&mut self, order: &Order, digest: &str, difference: SplitDifference) {
        let detail = difference.to_string();
        self.journal(Fact::RatingDiffers {
            order: order.id.clone(),
            difference,
        });
        self.journal(Fact::Quarantined {
            why: QuarantineReason::RatingDiffers,
            pile: order.outlet.pile.clone(),
            record: None,
            raw: None,
            times: None,
            // Of a record there is one bill by its own split, and the record itself may lie in quarantine too.
            digest: digest_of(format!("split of {digest}").as_bytes()),
            detail,
            order: Some(order.id.clone()),
            connector: Some(order.outlet.connector),
            unread: None,
        });
    }

    /// FAIL with energy: nobody ordered it, and a person may bill it (UNBILLED).
    fn record_of_failed_order(&mut self, order: &Order, said: Said, times: SessionTimes) -> Received {
        let energy = said.record.energy();
        if energy <= Energy::ZERO {
            return Received::ok().about(&order.id);
        }
        let detail = format!("order {} had failed, its record says {energy} kWh", order.id);
        let pile = &order.outlet.pile;
        let why = QuarantineReason::Unbilled;
        let mut received = self.set_aside(pile, said, Aside { why, times, detail });
        received.result = AckResult::Ok;
        received.about(&order.id)
    }

    /// Makes an order for a session that is over already and moved the register from `start` to `stop`, with the tariff of
    /// when it began; there is no hold.
    pub(super) fn adopt(
        &mut self,
        id: &OrderId,
        outlet: &Outlet,
        member: MemberId,
        source: Source,
        began: Wall,
        (start, stop): (Energy, Energy),
    ) -> Order {
        let tariff =
            crate::tariff::in_force(self.site.rows.tariffs.values(), began).map(|tariff| tariff.spec().id.clone());
        let tariff = tariff.or_else(|| self.tariff_in_force().ok().map(|tariff| tariff.spec().id.clone()));
        // What the pile said since it came back is later than the session, so only earlier sessions can tell.
        let connector = self.site.rows.connector(outlet);
        let meter = connector.map(|connector| connector.meter_of_late_session(start, stop));
        let book = connector
            .zip(meter)
            .and_then(|(connector, meter)| connector.book_for(meter));
        let baseline = book.and_then(|book| book.known_before(start, stop));
        self.journal(Fact::OrderPlaced {
            order: id.clone(),
            outlet: outlet.clone(),
            member,
            tariff: tariff.expect("the caller checked that a tariff is in force"),
            source,
            until: Until::default(),
            limit_fee: Fen::ZERO,
            baseline,
            meter,
            start_by: None,
        });
        self.order(id).expect("the order was placed a line above").clone()
    }

    /// Stores a record that becomes no bill by itself; its `ack` is never a plain ok.
    fn set_aside(&mut self, pile: &PileId, said: Said, aside: Aside) -> Received {
        let Aside { why, times, detail } = aside;
        let digest = said.digest().to_owned();
        let id = said.record.order_id.clone();
        if self.set_aside_as(pile, &digest).is_some() {
            self.ignore("quarantined_again");
        } else if !is_planted(Bug::DropQuarantine) {
            let order = self.order(&id).map(|order| order.id.clone());
            self.journal(Fact::Quarantined {
                why,
                pile: pile.clone(),
                record: Some(said.record),
                raw: None,
                times: Some(Box::new(times)),
                digest,
                detail: detail.clone(),
                order,
                connector: None,
                unread: said.unread,
            });
        }
        Received {
            result: AckResult::Orphan,
            order: Some(id),
            fee: None,
            detail,
        }
    }

    /// Under which number this content was put aside before; it is among the rows that were asked for.
    pub(super) fn set_aside_as(&self, pile: &PileId, digest: &str) -> Option<u64> {
        let content = (pile.clone(), digest.to_owned());
        self.site.rows.set_aside.get(&content).copied().flatten()
    }

    /// A record's times by the station's clock, held against all that the station knows of the session. `order` is the one
    /// it is the record of.
    fn align(&self, pile: &PileId, order: Option<&Order>, common: &Common, record: &Record) -> SessionTimes {
        alignment::align(record, &self.evidence(pile, order, common, record))
    }

    fn evidence(&self, pile: &PileId, order: Option<&Order>, common: &Common, record: &Record) -> Evidence {
        let site = &self.site;
        let row = site.rows.piles.get(pile);
        let outlet = Outlet {
            pile: pile.clone(),
            connector: record.connector,
        };
        let measured = site.live.piles.get(pile).map(|presence| presence.clock.clocks());
        let connector = site.rows.connector(&outlet);
        let meter = order.map(|order| order.meter);
        let meter = meter
            .or(connector
                .map(|connector| connector.meter_of_late_session(record.meter_start_kwh, record.meter_stop_kwh)));
        let book = connector
            .zip(meter)
            .and_then(|(connector, meter)| connector.book_for(meter));
        let (from, to) = (record.meter_start_kwh, record.meter_stop_kwh);
        let by = SessionId::Order(record.order_id.clone());
        let (stop_before, start_after) = book.map_or((None, None), |book| book.neighbours(&by, from, to));
        let live = site.live.outlets.get(&outlet);
        let idle = live.zip(meter).map(|(live, meter)| live.idle.of(meter).to_vec());
        let moved = order.and_then(|order| order.times_moved);
        let steps = site
            .rows
            .clock
            .steps
            .iter()
            .filter(|step| moved.is_none_or(|moved| step.mono > moved));
        Evidence {
            clocks: measured.or(row.map(|row| &row.clocks)).cloned().unwrap_or_default(),
            boot_id: common.boot_id.clone(),
            mono_ms: common.mono_ms,
            now: self.now.wall,
            clock_in_doubt: site.rows.clock.doubt.is_some() && !is_planted(Bug::BelieveDoubtfulClock),
            steps: steps.copied().collect(),
            move_found: site.rows.clock.move_found(),
            order: order.map(|order| self.order_evidence(order)),
            idle: idle.unwrap_or_default(),
            stop_before,
            start_after,
            known_since: row.and_then(|row| row.since),
            tariff_since: site
                .rows
                .tariffs
                .values()
                .map(|tariff| tariff.spec().effective_from)
                .min(),
        }
    }

    fn order_evidence(&self, order: &Order) -> OrderEvidence {
        let live = self.site.live.outlets.get(&order.outlet);
        let live = live.filter(|live| live.order.as_ref() == Some(&order.id));
        let readings = live.map_or(&[][..], |live| live.readings.readings());
        let started = order.started.as_ref();
        OrderEvidence {
            placed_at: order.placed_at,
            placed: order.placed.filter(|_| order.source.is_ordered()),
            started: started.map(|started| (started.at, started.boot_id.clone())),
            first_live: readings.first().copied(),
            last_live: live.and_then(|live| live.last_charging),
        }
    }
}

/// The bill of a session, or a bill of nothing and why it cannot be rated.
pub(super) fn rate_or_suspect(
    tariff: &Tariff,
    start: Reading,
    samples: &[Reading],
    stop: Reading,
) -> (Bill, Option<Suspicion>) {
    match rating::rate(tariff, start, samples, stop) {
        Ok(bill) => (bill, None),
        Err(error) => {
            // Not at the times that cannot be: they may be what cannot be rated.
            let begun = Reading {
                at: start.at.clamp(Wall::RANGE.start, Wall(Wall::RANGE.end.0 - 1)),
                register: start.register.clamp(Energy::ZERO, REGISTER_MAX),
            };
            let nothing = rating::rate(tariff, begun, &[], begun);
            let nothing = nothing.expect("a session from a reading within range to itself can always be rated");
            let detail = error.to_string();
            (nothing, Some(Suspicion::TimesImpossible { detail }))
        }
    }
}

pub(super) fn digest_of(bytes: &[u8]) -> String {
    Hash::of(bytes).to_string()
}

/// A record as it was read.
pub(super) struct Said {
    pub(super) record: Box<Record>,
    pub(super) digest: Digest,
    /// What of it could not be read.
    pub(super) unread: Option<Box<Unread>>,
}

impl Said {
    fn digest(&self) -> &str {
        self.digest.of(&self.record)
    }
}

/// What is put aside besides the record.
struct Aside {
    why: QuarantineReason,
    times: SessionTimes,
    detail: String,
}

/// What [`Bug::DropSeventeenth`] does.
fn loses_conflicts(order: &Order) -> bool {
    let conflicts = order.items.iter().filter(|item| item.why == QuarantineReason::Conflict);
    is_planted(Bug::DropSeventeenth) && conflicts.count() >= 16
}

/// Another record stands; this one is kept as a quarantine item.
fn contradicted(order: &Order, item: Option<u64>) -> Received {
    let kept = item.map(|item| format!("; this one is kept for a person, as quarantine item {item}"));
    Received {
        result: AckResult::Rejected,
        order: Some(order.id.clone()),
        fee: fee_of(order),
        detail: format!("another record of this order stands{}", kept.unwrap_or_default()),
    }
}

fn fee_of(order: &Order) -> Option<Fen> {
    order.bill().map(|bill| bill.fee())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_at_times_that_cannot_be_is_rated_at_nothing_and_named() {
        let text = "id = \"t1\"\neffective_from = 2026-01-01T00:00:00+08:00\ncurrency = \"CNY\"\n\
                    [prices.flat]\nelectricity = \"1.00\"\nservice = \"0.00\"\n\
                    [[schedules]]\nperiods = [{ from = \"00:00\", to = \"24:00\", kind = \"flat\" }]\n";
        let tariff = Tariff::from_toml(text, "Asia/Shanghai").unwrap();
        let at = |ms, register| Reading {
            at: Wall(ms),
            register: Energy(register),
        };
        for start in [
            at(-59_576_131_757, 10_000_000),
            at(i64::MIN, -1),
            at(i64::MAX, i64::MAX),
        ] {
            let stop = at(1_772_300_000_000, 20_000_000);
            let (bill, suspicion) = rate_or_suspect(&tariff, start, &[], stop);
            assert_eq!((bill.energy, bill.fee), (Energy::ZERO, Fen::ZERO));
            assert!(
                matches!(suspicion, Some(Suspicion::TimesImpossible { .. })),
                "{suspicion:?}"
            );
        }
    }
}
