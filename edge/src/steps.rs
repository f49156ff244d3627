//! One log line per step of an order or pile, with ids and never a secret.

use crate::words::told;
use domain::{energy::EnergyTotals, fact::Fact, journal::Stamp, units::Fen};

/// Logs a fact that has been decided.
pub(crate) fn log(stamp: Stamp, fact: &Fact) {
    let seq = stamp.seq;
    match fact {
        Fact::OrderPlaced {
            order,
            outlet,
            member,
            tariff,
            ..
        } => {
            tracing::info!(seq, %order, %outlet, %member, %tariff, "order placed");
        }
        Fact::HoldTaken { order, amount } => tracing::info!(seq, %order, %amount, "hold taken"),
        Fact::CommandIssued { order, command } => {
            tracing::info!(seq, %order, command = %command.id, "command issued");
        }
        Fact::CommandAnswered {
            order,
            command,
            ok,
            code,
            ..
        } => {
            tracing::info!(seq, %order, %command, ok, code, "command answered");
        }
        Fact::StartAcknowledged { order, .. } => tracing::info!(seq, %order, "charging"),
        Fact::OrderFailed { order, reason } => {
            tracing::warn!(seq, %order, reason = told(reason), "order failed, hold released")
        }
        Fact::StopRequested {
            order,
            cause,
            pile_online,
        } => {
            tracing::info!(seq, %order, cause = told(cause), pile_online, "stop requested");
        }
        Fact::ChargingLost { order, .. } => {
            tracing::warn!(seq, %order, "pile does not charge the order, record missing")
        }
        Fact::FakeChargingSeen { order, suspicion } => {
            tracing::warn!(seq, %order, seen = told(suspicion), "current flows and the meter does not count it");
        }
        Fact::ChargingResumed { order } => tracing::info!(seq, %order, "charging again"),
        Fact::RecordReceived {
            order,
            record,
            suspicions,
            ending,
        } => {
            let (energy, reason) = (record.energy(), record.reason.code);
            let unread = ending.unread.as_ref().map(|unread| unread.dropped);
            tracing::info!(seq, %order, %energy, reason, unread, suspicions = told(suspicions), "record received");
        }
        Fact::RecordConflict { order, .. } => tracing::warn!(seq, %order, "another record contradicts the first"),
        Fact::RecordTaken { order, item, ending } => {
            let energy = ending.stop.register - ending.start.register;
            tracing::warn!(seq, %order, item, %energy, "takes its record from quarantine");
        }
        Fact::RegisterGapFound { order, outlet, gap } => {
            tracing::warn!(seq, %order, %outlet, last_known = %gap.last_known, start = %gap.start, "unrecorded energy");
        }
        Fact::OrderAccounted { order, from, to } => {
            tracing::info!(seq, %order, %from, %to, "accounts for its register, by a person's decision");
        }
        Fact::RatingDiffers { order, .. } => tracing::warn!(seq, %order, "the pile splits the energy differently"),
        Fact::OrderRated { order, basis, bill } => {
            tracing::info!(seq, %order, basis = told(basis), energy = %bill.energy, fee = %bill.fee, "rated");
        }
        Fact::BillCorrected {
            order, by, approval, ..
        } => {
            let approved_by = approval.as_ref().map(|approval| approval.by.as_str());
            tracing::info!(seq, %order, by, approved_by, "bill corrected");
        }
        Fact::ReviewOpened { order, suspicions } => {
            tracing::warn!(seq, %order, suspicions = told(suspicions), "waits for review")
        }
        Fact::ReviewApproved { order, by, .. } => tracing::info!(seq, %order, by, "review approved"),
        Fact::OrderEstimated { order, payment, .. } => {
            tracing::warn!(seq, %order, captured = %payment.from_hold.total(), "estimated");
        }
        Fact::OrderSettled { order, payment } => {
            let captured = payment.from_hold.total() + payment.from_allowance.total();
            let (released, debt) = (payment.release, payment.on_debt.total());
            tracing::info!(seq, %order, %captured, %released, %debt, "settled");
        }
        Fact::DebtPaid {
            order,
            member,
            amount,
            receipt,
            by,
            ..
        } => tracing::info!(seq, %order, %member, %amount, receipt, by, "debt paid"),
        Fact::Refunded { order, amount, by, .. } => tracing::info!(seq, %order, %amount, by, "refunded"),
        Fact::Quarantined { why, pile, detail, .. } => {
            tracing::warn!(seq, %pile, why = told(why), detail, "put in quarantine")
        }
        Fact::QuarantineClosed { item, by, .. } => tracing::info!(seq, item, by, "quarantine item closed"),
        Fact::PileProvisioned { pile } => tracing::info!(seq, %pile, "pile provisioned"),
        Fact::PileRemoved { pile, by } => tracing::info!(seq, %pile, by, "pile removed"),
        Fact::PileBooted { pile, boot_id, .. } => tracing::info!(seq, %pile, %boot_id, "pile booted"),
        Fact::PileDropped { pile, .. } => tracing::warn!(seq, %pile, "pile dropped"),
        Fact::PileEvent {
            outlet,
            kind,
            code,
            told_by,
            ..
        } => {
            tracing::info!(seq, %outlet, kind = told(kind), code, told_by = told(told_by), "pile event")
        }
        Fact::MaintenanceSet { pile, reason, by } => {
            tracing::warn!(seq, %pile, reason = told(reason), by, "maintenance")
        }
        Fact::MemberRegistered { member, .. } => tracing::info!(seq, %member, "member registered"),
        Fact::MemberBlocked { member, reason, by } => {
            tracing::warn!(seq, %member, reason = told(reason), by, "member blocked")
        }
        Fact::CardBound { card, member } => tracing::info!(seq, %card, %member, "card bound"),
        Fact::CardUnbound { card } => tracing::info!(seq, %card, "card unbound"),
        Fact::TariffAdded { tariff } => tracing::info!(seq, tariff = %tariff.spec().id, "tariff added"),
        Fact::ToppedUp {
            member,
            amount,
            receipt,
            by,
        } => {
            tracing::info!(seq, %member, %amount, receipt, by, "topped up");
        }
        Fact::Notified { .. } => {}
        Fact::RegisterRolledBack { outlet, rollback } => {
            let (known, found) = (rollback.known, rollback.found);
            tracing::warn!(seq, %outlet, %known, %found, "the register is lower than it was: another meter?");
        }
        Fact::EnergyDiffers {
            order,
            outlet,
            billed,
            register,
        } => {
            tracing::warn!(seq, %order, %outlet, %billed, %register, "the register moved further than the record says");
        }
        Fact::DayBegan { day } => tracing::info!(seq, %day, "business day begins"),
        Fact::EnergyReported { report } => {
            let EnergyTotals {
                orders,
                billed,
                register,
                findings,
            } = EnergyTotals::over(report.connectors.iter());
            let day = report.day;
            tracing::info!(seq, %day, orders, %billed, %register, findings, "energy reported");
            for pile in &report.abnormal {
                tracing::warn!(seq, %day, %pile, "meter abnormal: orders and register differ");
            }
        }
        Fact::MeterCleared { pile, reason, by, .. } => tracing::warn!(seq, %pile, reason, by, "meter believed again"),
        Fact::PileClocksMeasured { pile, clocks } => {
            let behind_ms = clocks.newest().and_then(|boot| boot.ts_ms());
            tracing::info!(seq, %pile, behind_ms, "the pile's clocks were measured");
        }
        Fact::RegisterJumped { outlet, known, found } => {
            tracing::warn!(seq, %outlet, %known, %found, "the register jumped: the next session waits for a person");
        }
        Fact::RegisterCorrected {
            outlet,
            wrong,
            register,
        } => {
            tracing::warn!(seq, %outlet, %wrong, %register, "the register had been believed elsewhere: taken back");
        }
        Fact::RegisterReturned {
            outlet,
            wrong,
            register,
        } => {
            tracing::warn!(seq, %outlet, %wrong, %register, "the register is the meter's of before: it goes on where it was");
        }
        Fact::ClockDoubted { certain } => {
            tracing::warn!(seq, %certain, "the wall clock cannot be right: what is charged waits for a person, or for the right time");
        }
        Fact::ClockBelieved { by } => tracing::warn!(seq, by, "the wall clock is believed again"),
        Fact::OrderTimesMoved { order, by_ms } => {
            tracing::info!(seq, %order, by_ms, "placed by a wrong clock: moved to the right time");
        }
        Fact::OrderRepinned { order, tariff } => {
            tracing::info!(seq, %order, %tariff, "goes by the tariff that was in force when it was");
        }
        Fact::CorrectionProposed {
            order,
            electricity,
            service,
            by,
            ..
        } => {
            let fee = *electricity + *service;
            tracing::warn!(seq, %order, %fee, by, "correction proposed: a second person must approve it");
        }
        Fact::CorrectionWithdrawn {
            order, proposal, by, ..
        } => {
            tracing::info!(seq, %order, proposal, by, "correction withdrawn")
        }
        Fact::TopUpReversed {
            member,
            receipt,
            amount,
            reason,
            by,
        } => tracing::warn!(seq, %member, %amount, receipt, reason, by, "top-up taken back"),
        Fact::ShiftOpened { till, by } => tracing::info!(seq, %till, by, "shift opened"),
        Fact::CashCounted {
            counted,
            by_books,
            difference,
            reason,
            by,
        } => {
            if *difference == Fen::ZERO {
                tracing::info!(seq, %counted, by, "cash counted");
            } else {
                let reason = reason.as_deref().unwrap_or_default();
                tracing::warn!(seq, %counted, %by_books, %difference, reason, by, "cash counted: the books differ");
            }
        }
        Fact::CashBanked { amount, slip, by } => tracing::info!(seq, %amount, slip, by, "cash taken to the bank"),
        Fact::ShiftClosed { shift, till, by } => tracing::info!(seq, shift, %till, by, "shift closed"),
        Fact::ClockStepped { by_ms } => tracing::warn!(seq, by_ms, "the wall clock was stepped"),
        Fact::FirstReading { order, register } => tracing::info!(seq, %order, %register, "first reading"),
        Fact::UnorderedCharging {
            outlet,
            register,
            named,
            told_to_stop,
        } => {
            tracing::warn!(seq, %outlet, %register, named = told(named), told_to_stop, "charging without an order");
        }
        Fact::UnorderedChargingEnded { outlet, from, to } => {
            tracing::warn!(seq, %outlet, energy = %(*to - *from), "charging without an order has ended");
        }
        Fact::PileRestarted { pile, boot_id } => {
            tracing::warn!(seq, %pile, %boot_id, "pile restarted under the boot_id of before");
        }
        // Journaled where the station does not run.
        Fact::Restored { .. } => {}
    }
}
