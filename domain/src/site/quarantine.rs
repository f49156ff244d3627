//! Messages that carry money, or may, and fit nowhere: kept until a person has dealt with them.

use super::{
    Answer, Handled, Rejected, Turn,
    record::{digest_of, rate_or_suspect},
    settle::illegal,
};
use crate::{
    fact::{Fact, QuarantineOutcome, QuarantineReason, Raw, SessionTimes},
    ids::{MemberId, OrderId, Outlet, PileId, uuid_v7},
    messages::{Ack, AckResult, Down, Malformed, Record},
    order::{Basis, Ending, Order, Source, State, Step},
    quarantine::{QuarantineItem, kept_bytes},
    rating::Reading,
    topics::UpKind,
    units::Energy,
};

impl Turn<'_> {
    /// A message that cannot be read is kept as it came, unless it is mere telemetry, and acknowledged `malformed`.
    pub(super) fn unreadable(&mut self, pile: &PileId, kind: UpKind, fault: Malformed, raw: Raw) -> Handled {
        self.known_pile(pile)?;
        let detail = format!("{}: {fault}", kind.word());
        let digest = digest_of(raw.content());
        if kind == UpKind::Heartbeat {
            self.ignore("malformed_heartbeat");
        } else if self.set_aside_as(pile, &digest).is_some() {
            self.ignore("quarantined_again");
        } else {
            self.check_quarantine(pile, &digest, kept_bytes(None, Some(&raw)))?;
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

    pub(super) fn close_quarantine(
        &mut self,
        number: u64,
        bill_to: Option<MemberId>,
        reason: String,
        by: String,
    ) -> Handled {
        let item = self.site.rows.quarantine.get(&number).cloned().flatten();
        let item = item
            .filter(|item| item.outcome.is_none())
            .ok_or(Rejected::UnknownQuarantineItem(number))?;
        if reason.trim().is_empty() {
            return Err(Rejected::NoReason);
        }
        let pile = item.pile.clone();
        let closed = self.close_item(item, number, bill_to, reason, by)?;
        if let Some(presence) = self.site.live.piles.get_mut(&pile) {
            presence.quarantine_full = false;
        }
        Ok(closed)
    }

    fn close_item(
        &mut self,
        item: QuarantineItem,
        number: u64,
        bill_to: Option<MemberId>,
        reason: String,
        by: String,
    ) -> Handled {
        let Some(member) = bill_to else {
            let outcome = QuarantineOutcome::Dismissed;
            self.journal(Fact::QuarantineClosed {
                item: number,
                outcome,
                reason,
                by,
            });
            return Ok(Answer::Done);
        };
        let not_billable = |why: &str| Rejected::NotBillable {
            item: number,
            why: why.to_owned(),
        };
        let (record, times) = item
            .record
            .clone()
            .zip(item.times.clone())
            .ok_or_else(|| not_billable("it could not be read"))?;
        if record.energy() <= Energy::ZERO {
            return Err(not_billable("no energy was delivered"));
        }
        if self.site.rows.member(&member).is_none() {
            return Err(Rejected::UnknownMember(member));
        }
        let outlet = Outlet {
            pile: item.pile.clone(),
            connector: record.connector,
        };
        self.known_connector(&outlet)?;
        self.tariff_in_force()?;
        match self.order(&record.order_id).cloned() {
            Some(order) if item.why == QuarantineReason::Unbilled => {
                self.bill_failed(order, &member, *times, number, reason, by)
            }
            _ => Ok(self.bill_orphan(&outlet, member, (&record, *times), number, reason, by)),
        }
    }

    fn known_connector(&self, outlet: &Outlet) -> Result<(), Rejected> {
        let pile = self
            .site
            .rows
            .piles
            .get(&outlet.pile)
            .ok_or_else(|| Rejected::UnknownPile(outlet.pile.clone()))?;
        if pile.connectors.contains_key(&outlet.connector) {
            Ok(())
        } else {
            Err(Rejected::UnknownConnector(outlet.clone()))
        }
    }

    /// The late energy of a failed order, billed to the member who placed it.
    fn bill_failed(
        &mut self,
        order: Order,
        member: &MemberId,
        times: SessionTimes,
        number: u64,
        reason: String,
        by: String,
    ) -> Handled {
        if order.state != State::Fail {
            return Err(illegal(&order.id, order.state, Step::BillLate));
        }
        if order.member != *member {
            let why = format!("order {} was placed by {}", order.id, order.member);
            return Err(Rejected::NotBillable { item: number, why });
        }
        let Some(Ending { start, stop, .. }) = order.ending else {
            return Err(Rejected::NotBillable {
                item: number,
                why: "its order has no record".to_owned(),
            });
        };
        let outcome = QuarantineOutcome::Billed {
            order: order.id.clone(),
        };
        self.journal(Fact::QuarantineClosed {
            item: number,
            outcome,
            reason,
            by,
        });
        self.bill_by_person(&order, start, stop, times);
        Ok(Answer::Order(order.id.clone()))
    }

    /// A record of no order becomes an order of its own, with a number of ours.
    fn bill_orphan(
        &mut self,
        outlet: &Outlet,
        member: MemberId,
        (record, times): (&Record, SessionTimes),
        number: u64,
        reason: String,
        by: String,
    ) -> Answer {
        let id = OrderId::new(uuid_v7(self.now.wall.0, self.random.bits())).expect("a UUID is within the rule for ids");
        let registers = (record.meter_start_kwh, record.meter_stop_kwh);
        let order = self.adopt(&id, outlet, member, Source::Quarantine, times.start, registers);
        let outcome = QuarantineOutcome::Billed { order: id.clone() };
        self.journal(Fact::QuarantineClosed {
            item: number,
            outcome,
            reason,
            by,
        });
        let start = Reading {
            at: times.start,
            register: record.meter_start_kwh,
        };
        let stop = Reading {
            at: times.stop,
            register: record.meter_stop_kwh,
        };
        self.bill_by_person(&order, start, stop, times);
        Answer::Order(id)
    }

    /// The person has looked at the record, so only what cannot be rated, times that cannot be believed (no clock, no
    /// price) and a large fee send the order to review again.
    fn bill_by_person(&mut self, order: &Order, start: Reading, stop: Reading, times: SessionTimes) {
        let tariff = self.site.rows.tariff_of(order);
        let (bill, unratable) = rate_or_suspect(tariff, start, &times.samples, stop);
        let suspicions = times.suspicions().cloned().chain(unratable).collect();
        self.journal(Fact::OrderRated {
            order: order.id.clone(),
            basis: Basis::Record,
            bill,
        });
        self.find_gaps(&order.id, start.register);
        self.settle_or_review(&order.id, suspicions);
    }
}
