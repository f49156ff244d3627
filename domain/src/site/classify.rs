//! Whether and how a record fits: the one place that says so. What must be loaded for it, whether the quarantine has room for
//! it and what becomes of it all follow from this.

use super::{Site, Turn};
use crate::{
    card::HeldBy,
    fact::{QuarantineReason, SessionTimes},
    ids::{MemberId, OrderId, Outlet},
    messages::{Digest, Record},
    order::{Order, OrderRow, State},
    planted::{Bug, is_planted},
    quarantine::CoveredBy,
    units::Energy,
};

/// How a record fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fit {
    /// Its order has no record yet and takes this one.
    Settles,
    /// Its order has this very record, or had it before a person gave it another.
    Repeats,
    /// It lies in quarantine under this number, or lay there.
    PutAside(u64),
    /// Its order has another record.
    Contradicts,
    /// Its order failed, and energy was delivered (UNBILLED).
    Failed,
    /// Its order is another outlet's.
    Foreign,
    /// No such order is known, and it is no offline session of this outlet (S03 §3.1).
    Orphan,
    /// A session that the pile ran alone, which this station takes. Who pays, if anybody can be told to, follows from when
    /// it was: [`Turn::payer`].
    Offline,
    /// A session that the pile ran alone, and why it does not become an order.
    Refused(QuarantineReason, &'static str),
}

impl Fit {
    /// Why a record that fits like this is put aside, if it is.
    pub(super) fn puts_aside(&self) -> Option<QuarantineReason> {
        match self {
            Fit::Settles | Fit::Repeats | Fit::PutAside(_) | Fit::Offline => None,
            Fit::Contradicts => Some(QuarantineReason::Conflict),
            Fit::Failed => Some(QuarantineReason::Unbilled),
            Fit::Foreign => Some(QuarantineReason::ForeignOrder),
            Fit::Orphan => Some(QuarantineReason::Orphan),
            Fit::Refused(why, _) => Some(*why),
        }
    }

    /// Why it is put aside, in words for people. `order` is the one that it names, where that is known.
    pub(super) fn detail(&self, id: &OrderId, order: Option<&Order>) -> String {
        match (self, order) {
            (Fit::Contradicts, _) => format!("order {id} has another record, which stands"),
            (Fit::Foreign, Some(order)) => format!("order {id} belongs to connector {}", order.outlet),
            (Fit::Refused(_, why), _) => format!("offline session {id}: {why}"),
            _ => format!("order {id} is not known at this station"),
        }
    }

    /// Whether it must be known if this content was put aside before.
    pub(super) fn asks_for_quarantine(&self) -> bool {
        !matches!(self, Fit::Settles | Fit::Repeats)
    }
}

impl Site {
    /// How a record fits, by the rows in memory; its order and its card must be among them. `digest` is asked for only where
    /// contents must be compared.
    pub(super) fn classify(&self, outlet: &Outlet, record: &Record, digest: &Digest) -> Fit {
        let put_aside = || {
            let content = (outlet.pile.clone(), digest.of(record).to_owned());
            self.rows.set_aside.get(&content).copied().flatten()
        };
        let unless_put_aside = |fit: Fit| put_aside().map_or(fit, Fit::PutAside);
        match self.rows.order(&record.order_id) {
            Some(order) if order.outlet != *outlet => unless_put_aside(Fit::Foreign),
            Some(order) if order.ending.is_some() && !is_planted(Bug::RecordTwice) => {
                if order.had_record(digest.of(record)) {
                    Fit::Repeats
                } else {
                    unless_put_aside(Fit::Contradicts)
                }
            }
            Some(order) if order.state == State::Fail && record.energy() > Energy::ZERO => Fit::Failed,
            Some(_) => Fit::Settles,
            // A person may have billed it meanwhile, whatever has become of its card since.
            None => unless_put_aside(self.fit_without_order(outlet, record)),
        }
    }

    fn fit_without_order(&self, outlet: &Outlet, record: &Record) -> Fit {
        let refused = |why| Fit::Refused(QuarantineReason::OfflineSessionRefused, why);
        let card = record.card_id.as_ref().and_then(|card| self.rows.card(card));
        if !record.order_id.is_offline_session_of(outlet) {
            Fit::Orphan
        } else if !self.policy.offline_sessions {
            refused("offline sessions are switched off at this station")
        } else if card.is_none() {
            Fit::Refused(QuarantineReason::UnknownCard, "its card belongs to nobody")
        } else if self.rows.connector(outlet).is_none() {
            refused("the pile has no such connector")
        } else {
            // Their orders may have been forgotten long ago, and must not be billed again.
            match self.covers_late_session(outlet, record).map(|covering| covering.by) {
                Some(CoveredBy::Order(id)) if self.live.occupied.get(outlet) == Some(&id) => {
                    refused("the station saw its readings while another order charged")
                }
                Some(_) => refused("earlier sessions cover its readings"),
                None => Fit::Offline,
            }
        }
    }
}

impl Turn<'_> {
    /// Who pays for an offline session: whoever held its card when it began, however late the record comes. If nobody can be
    /// told to, how it fits instead.
    pub(super) fn payer(&self, record: &Record, times: &SessionTimes) -> Result<MemberId, Fit> {
        let unknown = |why| Fit::Refused(QuarantineReason::UnknownCard, why);
        let card = record.card_id.as_ref().and_then(|card| self.site.rows.card(card));
        let card = card.ok_or_else(|| unknown("its card belongs to nobody"))?;
        let began = Some(times.start).filter(|_| times.suspicions().next().is_none());
        let held_by = match card.holder().filter(|_| is_planted(Bug::CardHolderNow)) {
            Some(now) => HeldBy::Member(now),
            None => card.held_at(began, &self.site.rows.clock),
        };
        let member = match held_by {
            HeldBy::Member(member) => member,
            HeldBy::Nobody => return Err(unknown("nobody held its card when it began")),
            HeldBy::Unclear => {
                return Err(unknown(
                    "its card has changed hands, and when the session was cannot be told",
                ));
            }
        };
        if self.tariff_in_force().is_err() {
            let why = QuarantineReason::OfflineSessionRefused;
            return Err(Fit::Refused(why, "no tariff is in force"));
        }
        Ok(member.clone())
    }
}

/// Whether readings from `from` to `to` are of the session that an order has a record of: they overlap. Sessions that follow
/// one another have one reading in common; where one of the two delivered nothing, a common reading is all there can be.
pub(super) fn is_of_session(order: &Order, from: Energy, to: Energy) -> bool {
    let row: &OrderRow = order;
    let Some(ending) = &row.ending else { return false };
    let (start, stop) = (ending.start.register, ending.stop.register);
    let (own, other) = ((start.min(stop), start.max(stop)), (from.min(to), from.max(to)));
    let (low, high) = (own.0.max(other.0), own.1.min(other.1));
    let is_empty = own.0 == own.1 || other.0 == other.1;
    low < high || (is_empty && low == high)
}
