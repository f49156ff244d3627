//! Messages that carry money, or may, and fit nowhere: kept until a person has dealt with them.

use super::{
    Answer, Handled, Rejected, Turn,
    classify::is_of_session,
    record::{digest_of, rate_or_suspect},
    settle::illegal,
};
use crate::{
    alignment::TIME_SLACK_MS,
    correction::is_anonymous,
    fact::{Fact, QuarantineOutcome, QuarantineReason, Raw, SessionTimes, TypedFigures},
    ids::{MemberId, OrderId, Outlet, PileId, uuid_v7},
    messages::{Ack, AckResult, Down, Malformed, Record, StopReason},
    meter::{self, Suspicion},
    order::{Basis, Ending, Order, REPLACED_MAX, Source, State, Step},
    planted::{Bug, is_planted},
    quarantine::{CoveredBy, Covering, QuarantineItem, kept_bytes},
    rating::{REGISTER_MAX, Reading},
    settlement::Split,
    topics::UpKind,
    units::Energy,
};
use std::collections::BTreeSet;

impl Turn<'_> {
    /// A message that cannot be read is kept as it came, unless it is mere telemetry, and acknowledged `malformed`.
    pub(super) fn unreadable(&mut self, pile: &PileId, kind: Option<UpKind>, fault: Malformed, raw: Raw) -> Handled {
        self.known_pile(pile)?;
        let detail = match kind {
            Some(kind) => format!("{}: {fault}", kind.word()),
            None => fault.to_string(),
        };
        let digest = digest_of(raw.content());
        if kind == Some(UpKind::Heartbeat) {
            self.ignore("malformed_heartbeat");
        } else if kind.is_some_and(|kind| kind != UpKind::Record) && self.has_spent_budget(pile) {
            self.ignore("over_budget");
        } else if self.set_aside_as(pile, &digest).is_some() {
            self.ignore("quarantined_again");
        } else {
            self.check_quarantine(pile, &digest, kept_bytes(None, Some(&raw), None))?;
            let (pile, detail) = (pile.clone(), detail.clone());
            let why = QuarantineReason::Malformed;
            self.journal(Fact::Quarantined {
                why,
                pile,
                record: None,
                raw: Some(raw),
                times: None,
                digest,
                detail,
                order: fault.order_id,
                connector: fault.connector,
                unread: None,
            });
        }
        let ack = Ack {
            msg_id: fault.msg_id,
            result: AckResult::Malformed,
            order_id: None,
            fee: None,
            detail,
        };
        self.send(pile, Down::Ack(ack.clone()));
        Ok(Answer::Ack(ack))
    }

    /// Whether one more message of so many bytes may be put aside. What may not is not acknowledged either, so that the
    /// pile keeps it until a person has made room: nothing that may carry money is thrown away.
    pub(super) fn check_quarantine(&mut self, pile: &PileId, digest: &str, bytes: u64) -> Result<(), Rejected> {
        let Some(row) = self.site.rows.piles.get(pile) else {
            return Ok(());
        };
        let (kept, most) = (row.quarantined_bytes, self.policy().quarantine_bytes_max);
        let is_full = kept.saturating_add(bytes) > most && self.set_aside_as(pile, digest).is_none();
        let presence = self.site.live.presence_mut(pile, &self.site.rows);
        presence.quarantine_full = is_full;
        if is_full {
            self.ignore("quarantine_full");
            let pile = pile.clone();
            return Err(Rejected::QuarantineFull { pile, kept, most });
        }
        Ok(())
    }

    pub(super) fn close_quarantine(&mut self, number: u64, closing: Closing) -> Handled {
        let item = self.site.rows.quarantine.get(&number).cloned().flatten();
        let item = item
            .filter(|item| item.outcome.is_none())
            .ok_or(Rejected::UnknownQuarantineItem(number))?;
        if closing.reason.trim().is_empty() {
            return Err(Rejected::NoReason);
        }
        let pile = item.pile.clone();
        let closed = match closing.bill_to.clone() {
            Some(member) => self.bill_item(&item, &member, closing),
            None => self.dismiss(&item, closing),
        }?;
        if let Some(presence) = self.site.live.piles.get_mut(&pile) {
            presence.quarantine_full = false;
        }
        Ok(closed)
    }

    fn dismiss(&mut self, item: &QuarantineItem, closing: Closing) -> Handled {
        if closing.typed.is_some() || !closing.despite.is_empty() {
            let why = "figures and what they are billed despite are given with the member who pays";
            return Err(not_billable(item, why));
        }
        self.journal_closed(item, QuarantineOutcome::Dismissed, closing);
        Ok(Answer::Done)
    }

    fn journal_closed(&mut self, item: &QuarantineItem, outcome: QuarantineOutcome, closing: Closing) {
        let Closing {
            despite,
            typed,
            reason,
            by,
            ..
        } = closing;
        self.journal(Fact::QuarantineClosed {
            item: item.item,
            outcome,
            reason,
            by,
            order: item.order.clone(),
            despite,
            typed,
        });
    }

    /// A person has somebody pay for what an item says was delivered.
    fn bill_item(&mut self, item: &QuarantineItem, member: &MemberId, closing: Closing) -> Handled {
        if self.site.rows.member(member).is_none() {
            return Err(Rejected::UnknownMember(member.clone()));
        }
        let session = self.session_of(item, closing.typed.as_deref())?;
        self.site.rows.known_connector(&session.outlet)?;
        self.tariff_in_force()?;
        let named = item
            .record
            .as_ref()
            .map(|record| &record.order_id)
            .or(item.order.as_ref());
        let named = named.and_then(|id| self.order(id)).cloned();
        let taker = self.taker(item, &session, named.as_ref(), member)?;
        let covers = self.covers(item.item, &session, named.as_ref(), taker.as_ref());
        check_despite(item.item, covers, &closing.despite)?;
        match taker {
            Some(order) => self.bill_to_order(item, &order, session, closing),
            None => self.bill_as_order_of_its_own(item, member.clone(), session, closing),
        }
    }

    /// What was delivered, by the record or by what a person typed in, where there is none that can be read.
    fn session_of(&self, item: &QuarantineItem, typed: Option<&TypedFigures>) -> Result<Session, Rejected> {
        let session = match (typed, item.record.as_deref().zip(item.times.as_deref())) {
            (None, Some((record, times))) => Session::recorded(item, record, self.times_now(item, times)?),
            (Some(typed), None) if item.why == QuarantineReason::Malformed => self.typed_session(item, typed)?,
            (Some(_), _) => {
                return Err(not_billable(
                    item,
                    "its own figures can be read, and no others are taken",
                ));
            }
            (None, None) if item.why == QuarantineReason::RatingDiffers => {
                let why =
                    "it is about how an order's bill is split; correct that bill if it is wrong, and dismiss this";
                return Err(not_billable(item, why));
            }
            (None, None) => {
                let why = "it could not be read; send the figures that it says as `typed`";
                return Err(not_billable(item, why));
            }
        };
        if session.energy() <= Energy::ZERO {
            return Err(not_billable(item, "no energy was delivered"));
        }
        Ok(session)
    }

    /// When an item's session was, by the station's clock as it is now. What was put aside while that clock was in doubt
    /// moves with it, as orders do, and is believed with it. While the clock is in doubt, an item that came by another one
    /// waits: its bill would be moved along with this one when it is put right.
    fn times_now(&self, item: &QuarantineItem, times: &SessionTimes) -> Result<SessionTimes, Rejected> {
        let clock = &self.site.rows.clock;
        if let Some(doubt) = clock.doubt
            && item.doubt.is_none_or(|came| came.mono < doubt.since)
        {
            let why = "the station's clock cannot be right now, and it came by another one: set the clock first, then bill it";
            return Err(not_billable(item, why));
        }
        let Some(came) = item.doubt else {
            return Ok(times.clone());
        };
        let Some(by_ms) = clock.moved_since(came.mono) else {
            return Ok(times.clone());
        };
        let moved = times.clone().moved(by_ms);
        let slack_ms = i64::try_from(self.policy().clock_step_ms).unwrap_or(i64::MAX);
        // Where the clock was put right while the station was off, nobody saw by how much.
        let is_certain = item.at.after_ms(by_ms).after_ms(slack_ms) >= came.certain;
        Ok(match (clock.doubt, is_certain) {
            (Some(_), _) => moved,
            (None, true) => moved.believed(),
            (None, false) => times.clone(),
        })
    }

    /// What cannot be is a slip of the pen, and refused; what hardly can is looked at again.
    fn typed_session(&self, item: &QuarantineItem, typed: &TypedFigures) -> Result<Session, Rejected> {
        let TypedFigures { connector, start, stop } = *typed;
        let outlet = Outlet {
            pile: item.pile.clone(),
            connector,
        };
        let registers = Energy::ZERO..=REGISTER_MAX;
        let wrong = if stop.register < start.register {
            Some("the register at the stop is below the one at the start".to_owned())
        } else if !registers.contains(&start.register) || !registers.contains(&stop.register) {
            Some(format!("a register is from 0 to {REGISTER_MAX} kWh"))
        } else if stop.at < start.at {
            Some("it stops before it starts".to_owned())
        } else if stop.at > self.now.wall.after_ms(TIME_SLACK_MS) {
            Some("it stops in the future".to_owned())
        } else {
            None
        };
        if let Some(wrong) = wrong {
            return Err(not_billable(
                item,
                &format!("the figures that were typed in cannot be: {wrong}"),
            ));
        }
        let energy = stop.register - start.register;
        let possible = meter::possible(self.power_of(&outlet), stop.at.ms_since(start.at));
        let too_fast = (energy > possible).then_some(Suspicion::TooFast { energy, possible });
        Ok(Session {
            outlet,
            start,
            stop,
            samples: Vec::new(),
            suspicions: too_fast.into_iter().collect(),
            ending: Ending {
                digest: item.digest.clone(),
                start,
                stop,
                reason: StopReason {
                    code: StopReason::OTHER,
                    text: "typed in".to_owned(),
                },
                offline: false,
                unread: None,
            },
        })
    }

    /// The order that takes an item as its own: a failed one its late energy; one that has another record of the same
    /// session this one in its place; one without a record what a person typed in for it. `None`: it becomes an order of its
    /// own.
    fn taker(
        &self,
        item: &QuarantineItem,
        session: &Session,
        named: Option<&Order>,
        member: &MemberId,
    ) -> Result<Option<Order>, Rejected> {
        let (from, to) = (session.start.register, session.stop.register);
        let takes = |order: &&Order| match item.why {
            QuarantineReason::Unbilled => true,
            QuarantineReason::Conflict => is_of_session(order, from, to),
            QuarantineReason::Malformed => order.outlet == session.outlet && order.ending.is_none(),
            _ => false,
        };
        let Some(order) = named.filter(takes) else {
            return Ok(None);
        };
        if item.why == QuarantineReason::Unbilled && order.state != State::Fail {
            return Err(illegal(&order.id, order.state, Step::BillLate));
        }
        if order.member != *member {
            let why = format!("order {} was placed by {}", order.id, order.member);
            return Err(not_billable(item, &why));
        }
        if order.replaced.len() >= REPLACED_MAX {
            let why = format!(
                "the record of order {} was replaced {REPLACED_MAX} times already",
                order.id
            );
            return Err(not_billable(item, &why));
        }
        Ok(Some(order.clone()))
    }

    /// What else covers the readings of an item that is to be billed: other sessions at that meter, an order that charges
    /// there, orders whose record there waits for a person, and the order that it names where that is another outlet's and
    /// has been billed. Of a meter whose book was given up nobody can tell, and whoever bills is told so.
    fn covers(&self, item: u64, session: &Session, named: Option<&Order>, taker: Option<&Order>) -> Vec<Covering> {
        let (from, to) = (session.start.register, session.stop.register);
        // By the book in which it will be accounted for: an order's own, or that of the meter it ran on, which may not be there
        // any more.
        let of_item = || self.site.rows.quarantine.get(&item)?.as_ref()?.meter;
        let meter = taker.map(|taker| taker.meter).or_else(of_item);
        let meter = meter.unwrap_or_else(|| self.site.meter_of_late_session(&session.outlet, from, to));
        let mut covers = self.site.covering(&session.outlet, meter, from, to);
        if self.site.has_forgotten(&session.outlet, meter) {
            let by = CoveredBy::Earlier;
            covers.push(Covering { by, from, to });
        }
        let waiting = self.site.rows.orders().filter(|order| {
            order.state == State::Review && order.outlet == session.outlet && is_of_session(order, from, to)
        });
        let named = named.filter(|named| named.outlet != session.outlet || is_of_session(named, from, to));
        for order in waiting.chain(named) {
            let by = CoveredBy::Order(order.id.clone());
            let billed = order.bills.iter().rev().find_map(|bill| bill.detail.as_ref());
            let readings = order.ending.as_ref().map(|ending| (ending.start, ending.stop));
            let readings = readings.or(billed.map(|bill| (bill.start, bill.stop)));
            if let Some((start, stop)) = readings.filter(|(start, stop)| start.register < stop.register)
                && covers.iter().all(|known| known.by != by)
            {
                let (mut from, mut to) = (start.register, stop.register);
                if order.outlet == session.outlet {
                    (from, to) = (from.max(session.start.register), to.min(session.stop.register));
                }
                covers.push(Covering { by, from, to });
            }
        }
        covers.retain(|known| match &known.by {
            // What was dismissed covers nothing, and of what is billed the order does.
            CoveredBy::Item(number) => *number != item && self.is_open_item(*number),
            CoveredBy::Order(order) => taker.is_none_or(|taker| taker.id != *order),
            CoveredBy::Earlier => true,
        });
        covers
    }

    fn is_open_item(&self, number: u64) -> bool {
        let row = self.site.rows.quarantine.get(&number).and_then(Option::as_ref);
        row.is_some_and(|row| row.outcome.is_none())
    }

    /// An order that was settled gets another record from a person: that is a correction by another door, and as large a
    /// one takes as many people (decision 0019). The bill waits for the second one under review.
    fn bill_to_order(&mut self, item: &QuarantineItem, order: &Order, session: Session, closing: Closing) -> Handled {
        let id = order.id.clone();
        let (bill, _) = rate_or_suspect(
            self.site.rows.tariff_of(order),
            session.start,
            &session.samples,
            session.stop,
        );
        let (electricity, service) = (bill.electricity, bill.service);
        let beyond = self.beyond_one_person(order, Split { electricity, service });
        if let Some(differs) = beyond.filter(|_| is_anonymous(&closing.by)) {
            return Err(Rejected::SecondPersonNeeded {
                order: id,
                differs,
                above: self.policy().second_person_above,
                by: closing.by,
            });
        }
        let by = closing.by.clone();
        let beyond = beyond.map(|differs| Suspicion::BeyondOnePerson { differs, by });
        let outcome = QuarantineOutcome::Billed { order: id.clone() };
        self.journal_closed(item, outcome, closing);
        // A failed order has its record, and only its money is late.
        if item.why != QuarantineReason::Unbilled {
            self.journal(Fact::RecordTaken {
                order: id.clone(),
                item: item.item,
                ending: session.ending.clone(),
            });
        }
        self.bill_by_person(order, session, beyond);
        Ok(Answer::Order(id))
    }

    /// A record of no order becomes an order of its own, with a number of ours.
    fn bill_as_order_of_its_own(
        &mut self,
        item: &QuarantineItem,
        member: MemberId,
        session: Session,
        closing: Closing,
    ) -> Handled {
        let id = OrderId::new(uuid_v7(self.now.wall.0, self.random.bits())).expect("a UUID is within the rule for ids");
        let (began, registers) = (session.start.at, (session.start.register, session.stop.register));
        let order = self.adopt(&id, &session.outlet, member, Source::Quarantine, began, registers);
        self.journal_closed(item, QuarantineOutcome::Billed { order: id.clone() }, closing);
        self.bill_by_person(&order, session, None);
        Ok(Answer::Order(id))
    }

    /// The person has looked at the record, so only what cannot be rated, times that cannot be believed (no clock, no
    /// price), figures that hardly can be, a large fee and what is `beyond` one person send the order to review again.
    fn bill_by_person(&mut self, order: &Order, session: Session, beyond: Option<Suspicion>) {
        let tariff = self.site.rows.tariff_of(order);
        let (bill, unratable) = rate_or_suspect(tariff, session.start, &session.samples, session.stop);
        let suspicions = session.suspicions.into_iter().chain(unratable).chain(beyond).collect();
        self.journal(Fact::OrderRated {
            order: order.id.clone(),
            basis: Basis::Record,
            bill,
        });
        self.find_gaps(&order.id, session.start.register);
        self.settle_or_review(&order.id, suspicions);
    }
}

/// What a person says about a quarantine item.
pub(super) struct Closing {
    /// Who pays; nobody dismisses it.
    pub(super) bill_to: Option<MemberId>,
    pub(super) despite: Vec<CoveredBy>,
    pub(super) typed: Option<Box<TypedFigures>>,
    pub(super) reason: String,
    pub(super) by: String,
}

/// What an item says was delivered, and when by the station's clock.
struct Session {
    outlet: Outlet,
    start: Reading,
    stop: Reading,
    samples: Vec<Reading>,
    suspicions: Vec<Suspicion>,
    /// What an order ends with that takes it as its own.
    ending: Ending,
}

impl Session {
    fn recorded(item: &QuarantineItem, record: &Record, times: SessionTimes) -> Self {
        let start = Reading {
            at: times.start,
            register: record.meter_start_kwh,
        };
        let stop = Reading {
            at: times.stop,
            register: record.meter_stop_kwh,
        };
        Self {
            outlet: Outlet {
                pile: item.pile.clone(),
                connector: record.connector,
            },
            start,
            stop,
            suspicions: times.suspicions().cloned().collect(),
            samples: times.samples,
            ending: Ending {
                digest: item.digest.clone(),
                start,
                stop,
                reason: record.reason.clone(),
                offline: record.offline,
                unread: item.unread.clone(),
            },
        }
    }

    fn energy(&self) -> Energy {
        self.stop.register - self.start.register
    }
}

fn not_billable(item: &QuarantineItem, why: &str) -> Rejected {
    Rejected::NotBillable {
        item: item.item,
        why: why.to_owned(),
    }
}

/// Whoever bills an item names exactly what else covers it: nobody pays twice for the same energy by mistake.
fn check_despite(item: u64, covers: Vec<Covering>, despite: &[CoveredBy]) -> Result<(), Rejected> {
    let covering: BTreeSet<&CoveredBy> = covers.iter().map(|known| &known.by).collect();
    if covering == despite.iter().collect() || is_planted(Bug::BillTwice) {
        Ok(())
    } else {
        Err(Rejected::Covered { item, covers })
    }
}
