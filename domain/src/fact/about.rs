//! Which order, pile and member a fact is about: in whose log it stands, and whose rows it changes.
//! What a fact of a kind that is not known here is about tells [`crate::journal::Written`].

use super::{Fact, QuarantineOutcome};
use crate::ids::{MemberId, OrderId, PileId};

/// In which pile's log a fact stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PileLog<'a> {
    /// In this one's.
    Of(&'a PileId),
    /// In that of the pile at which this order runs.
    OfOrder(&'a OrderId),
}

impl Fact {
    /// The order it is about, whose log it belongs in.
    pub fn order(&self) -> Option<&OrderId> {
        match self {
            Fact::OrderPlaced { order, .. }
            | Fact::HoldTaken { order, .. }
            | Fact::CommandIssued { order, .. }
            | Fact::CommandAnswered { order, .. }
            | Fact::StartAcknowledged { order, .. }
            | Fact::OrderFailed { order, .. }
            | Fact::StopRequested { order, .. }
            | Fact::ChargingLost { order, .. }
            | Fact::ChargingResumed { order }
            | Fact::FakeChargingSeen { order, .. }
            | Fact::RecordReceived { order, .. }
            | Fact::RecordConflict { order, .. }
            | Fact::RegisterGapFound { order, .. }
            | Fact::EnergyDiffers { order, .. }
            | Fact::RatingDiffers { order, .. }
            | Fact::OrderRated { order, .. }
            | Fact::BillCorrected { order, .. }
            | Fact::ReviewOpened { order, .. }
            | Fact::ReviewApproved { order, .. }
            | Fact::OrderEstimated { order, .. }
            | Fact::OrderSettled { order, .. }
            | Fact::DebtPaid { order, .. }
            | Fact::Refunded { order, .. }
            | Fact::CorrectionProposed { order, .. }
            | Fact::CorrectionWithdrawn { order, .. }
            | Fact::RecordTaken { order, .. }
            | Fact::OrderTimesMoved { order, .. }
            | Fact::OrderRepinned { order, .. }
            | Fact::OrderAccounted { order, .. }
            | Fact::Notified { order, .. }
            | Fact::RefundMarked { order, .. }
            | Fact::FirstReading { order, .. } => Some(order),
            Fact::Quarantined { order, record, .. } => {
                let named = record.as_ref().map(|record| &record.order_id);
                order.as_ref().or(named)
            }
            Fact::QuarantineClosed {
                outcome: QuarantineOutcome::Billed { order },
                ..
            } => Some(order),
            Fact::QuarantineClosed { order, .. } | Fact::LeaseReturned { order, .. } => order.as_ref(),
            _ => None,
        }
    }
}

impl Fact {
    /// The pile whose row it is about.
    pub fn pile(&self) -> Option<&PileId> {
        match self {
            Fact::PileProvisioned { pile, .. }
            | Fact::PileRemoved { pile, .. }
            | Fact::PileBooted { pile, .. }
            | Fact::PileDropped { pile, .. }
            | Fact::PileBudgetSpent { pile, .. }
            | Fact::PileBudgetRenewed { pile, .. }
            | Fact::MaintenanceSet { pile, .. }
            | Fact::MeterCleared { pile, .. }
            | Fact::PileClocksMeasured { pile, .. }
            | Fact::PileRestarted { pile, .. } => Some(pile),
            Fact::PileEvent { outlet, .. }
            | Fact::RegisterRolledBack { outlet, .. }
            | Fact::RegisterJumped { outlet, .. }
            | Fact::RegisterCorrected { outlet, .. }
            | Fact::RegisterReturned { outlet, .. }
            | Fact::UnorderedCharging { outlet, .. }
            | Fact::UnorderedChargingEnded { outlet, .. }
            | Fact::StartWished { outlet, .. } => Some(&outlet.pile),
            _ => None,
        }
    }

    /// The log of a pile that it stands in, if any: what the pile said and did, what it was told, and what was found of
    /// its meter.
    pub fn pile_log(&self) -> Option<PileLog<'_>> {
        match self {
            Fact::CommandIssued { order, .. }
            | Fact::CommandAnswered { order, .. }
            | Fact::ChargingLost { order, .. }
            | Fact::ChargingResumed { order }
            | Fact::FakeChargingSeen { order, .. } => Some(PileLog::OfOrder(order)),
            Fact::RegisterGapFound { outlet, .. } | Fact::EnergyDiffers { outlet, .. } => {
                Some(PileLog::Of(&outlet.pile))
            }
            Fact::Quarantined { pile, .. } => Some(PileLog::Of(pile)),
            _ => self.pile().map(PileLog::Of),
        }
    }

    /// Who did it, where the fact says so; an empty name is of a version that did not.
    pub fn by(&self) -> Option<&str> {
        let by = match self {
            Fact::PileProvisioned { by, .. }
            | Fact::PileRemoved { by, .. }
            | Fact::MaintenanceSet { by, .. }
            | Fact::MemberRegistered { by, .. }
            | Fact::MemberBlocked { by, .. }
            | Fact::CardBound { by, .. }
            | Fact::CardUnbound { by, .. }
            | Fact::TariffAdded { by, .. }
            | Fact::ToppedUp { by, .. }
            | Fact::TopUpReversed { by, .. }
            | Fact::BillCorrected { by, .. }
            | Fact::ReviewApproved { by, .. }
            | Fact::CorrectionProposed { by, .. }
            | Fact::CorrectionWithdrawn { by, .. }
            | Fact::DebtPaid { by, .. }
            | Fact::Refunded { by, .. }
            | Fact::QuarantineClosed { by, .. }
            | Fact::MeterCleared { by, .. }
            | Fact::ShiftOpened { by, .. }
            | Fact::CashCounted { by, .. }
            | Fact::CashBanked { by, .. }
            | Fact::MemberOwes { by, .. }
            | Fact::ShiftClosed { by, .. } => Some(by.as_str()),
            Fact::PileBudgetRenewed { by, .. } | Fact::ClockBelieved { by } => by.as_deref(),
            _ => None,
        };
        by.filter(|by| !by.is_empty())
    }

    /// The member it names.
    pub fn member(&self) -> Option<&MemberId> {
        match self {
            Fact::MemberRegistered { member, .. }
            | Fact::MemberBlocked { member, .. }
            | Fact::CardBound { member, .. }
            | Fact::ToppedUp { member, .. }
            | Fact::TopUpReversed { member, .. }
            | Fact::OrderPlaced { member, .. }
            | Fact::DebtPaid { member, .. }
            | Fact::LeaseReceived { member, .. }
            | Fact::LeaseReturned { member, .. }
            | Fact::MemberOwes { member, .. }
            | Fact::Notified { member, .. } => Some(member),
            Fact::StartWished { member, .. } => member.as_ref(),
            _ => None,
        }
    }
}
