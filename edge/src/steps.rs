//! One log line per step of an order or pile, with ids and never a secret: written when the step is on disk, and not
//! before, so that the log never tells of what a failed commit took back.

use crate::words::told;
use domain::{energy::EnergyTotals, fact::Fact, journal::Stamp, units::Fen};

/// Logs a fact that has been committed.
pub(crate) fn log(stamp: Stamp, fact: &Fact) {
    let seq = stamp.seq;
    // The test goes through every kind of fact: each is told by exactly one of them.
    let _told = of_order(seq, fact)
        || of_record(seq, fact)
        || of_bill(seq, fact)
        || of_pile(seq, fact)
        || of_register(seq, fact)
        || of_people(seq, fact)
        || of_head_office(seq, fact)
        || of_time(seq, fact);
}

/// An order until it charges, and what it is told.
fn of_order(seq: u64, fact: &Fact) -> bool {
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
        Fact::FirstReading { order, register } => tracing::info!(seq, %order, %register, "first reading"),
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
        Fact::ChargingResumed { order } => tracing::info!(seq, %order, "charging again"),
        Fact::FakeChargingSeen { order, suspicion } => {
            tracing::warn!(seq, %order, seen = told(suspicion), "current flows and the meter does not count it");
        }
        _ => return false,
    }
    true
}

/// What a session left: its record, and what of the register it explains.
fn of_record(seq: u64, fact: &Fact) -> bool {
    match fact {
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
        Fact::EnergyDiffers {
            order,
            outlet,
            billed,
            register,
        } => {
            tracing::warn!(seq, %order, %outlet, %billed, %register, "the register moved further than the record says");
        }
        Fact::OrderAccounted { order, from, to } => {
            tracing::info!(seq, %order, %from, %to, "accounts for its register, by a person's decision");
        }
        Fact::Quarantined { why, pile, detail, .. } => {
            tracing::warn!(seq, %pile, why = told(why), detail, "put in quarantine")
        }
        Fact::QuarantineClosed { item, by, .. } => tracing::info!(seq, item, by, "quarantine item closed"),
        _ => return false,
    }
    true
}

/// What an order costs, and how its money moved.
fn of_bill(seq: u64, fact: &Fact) -> bool {
    match fact {
        Fact::OrderRated { order, basis, bill } => {
            tracing::info!(seq, %order, basis = told(basis), energy = %bill.energy, fee = %bill.fee, "rated");
        }
        Fact::RatingDiffers { order, .. } => tracing::warn!(seq, %order, "the pile splits the energy differently"),
        Fact::BillCorrected {
            order, by, approval, ..
        } => {
            let approved_by = approval.as_ref().map(|approval| approval.by.as_str());
            tracing::info!(seq, %order, by, approved_by, "bill corrected");
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
        _ => return false,
    }
    true
}

/// A pile, and who fenced it off.
fn of_pile(seq: u64, fact: &Fact) -> bool {
    match fact {
        Fact::PileProvisioned { pile, by } => tracing::info!(seq, %pile, by, "pile provisioned"),
        Fact::PileRemoved { pile, by } => tracing::info!(seq, %pile, by, "pile removed"),
        Fact::PileBooted { pile, boot_id, .. } => tracing::info!(seq, %pile, %boot_id, "pile booted"),
        Fact::PileRestarted { pile, boot_id } => {
            tracing::warn!(seq, %pile, %boot_id, "pile restarted under the boot_id of before");
        }
        Fact::PileClocksMeasured { pile, clocks } => {
            let behind_ms = clocks.newest().and_then(|boot| boot.ts_ms());
            tracing::info!(seq, %pile, behind_ms, "the pile's clocks were measured");
        }
        Fact::PileDropped { pile, .. } => tracing::warn!(seq, %pile, "pile dropped"),
        Fact::PileEvent {
            outlet,
            kind,
            code,
            told_by,
            left_out,
            ..
        } => {
            let left_out = (*left_out > 0).then_some(left_out);
            tracing::info!(seq, %outlet, kind = told(kind), code, told_by = told(told_by), left_out, "pile event")
        }
        Fact::PileBudgetSpent { pile, bytes } => {
            tracing::warn!(seq, %pile, bytes, "pile has had too much journaled today: it takes no orders");
        }
        Fact::PileBudgetRenewed { pile, by } => tracing::info!(seq, %pile, by, "pile may have as much journaled again"),
        Fact::MaintenanceSet { pile, reason, by } => {
            tracing::warn!(seq, %pile, reason = told(reason), by, "maintenance")
        }
        _ => return false,
    }
    true
}

/// A register that does not go on as it was, and charging that nobody ordered.
fn of_register(seq: u64, fact: &Fact) -> bool {
    match fact {
        Fact::RegisterRolledBack { outlet, rollback } => {
            let (known, found) = (rollback.known, rollback.found);
            tracing::warn!(seq, %outlet, %known, %found, "the register is lower than it was: another meter?");
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
        Fact::MeterCleared { pile, reason, by, .. } => tracing::warn!(seq, %pile, reason, by, "meter believed again"),
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
        _ => return false,
    }
    true
}

/// Members, cards, prices, and the desk.
fn of_people(seq: u64, fact: &Fact) -> bool {
    match fact {
        Fact::MemberRegistered { member, by, .. } => tracing::info!(seq, %member, by, "member registered"),
        Fact::MemberBlocked { member, reason, by, .. } => {
            tracing::warn!(seq, %member, reason = told(reason), by, "member blocked")
        }
        Fact::CardBound { card, member, by } => tracing::info!(seq, %card, %member, by, "card bound"),
        Fact::CardUnbound { card, by } => tracing::info!(seq, %card, by, "card unbound"),
        Fact::TariffAdded { tariff, by } => tracing::info!(seq, tariff = %tariff.spec().id, by, "tariff added"),
        Fact::ToppedUp {
            member,
            amount,
            receipt,
            by,
        } => {
            tracing::info!(seq, %member, %amount, receipt, by, "topped up");
        }
        Fact::TopUpReversed {
            member,
            receipt,
            amount,
            missing,
            reason,
            by,
        } => tracing::warn!(seq, %member, %amount, %missing, receipt, reason, by, "top-up taken back"),
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
        _ => return false,
    }
    true
}

/// What head office had the station do, and money of wallets.
fn of_head_office(seq: u64, fact: &Fact) -> bool {
    match fact {
        Fact::HeadOfficeSeen { hq_epoch } => tracing::info!(seq, %hq_epoch, "goes by this life of head office"),
        Fact::DirectiveTaken {
            directive,
            refused: None,
            ..
        } => tracing::info!(seq, %directive, "directive of head office done"),
        Fact::DirectiveTaken {
            directive,
            refused: Some(why),
            ..
        } => tracing::warn!(seq, %directive, code = why.code, why = why.detail, "directive of head office refused"),
        Fact::LeaseReceived { member, amount, by } => {
            tracing::info!(seq, %member, %amount, by = told(by), "money of a wallet received");
        }
        Fact::LeaseReturned {
            member, amount, order, ..
        } => tracing::info!(seq, %member, %amount, order = told(order), "money went back to a wallet"),
        Fact::StartWished { card, outlet, member } => {
            tracing::info!(seq, %card, %outlet, member = told(member), "head office is asked to start");
        }
        Fact::MemberOwes {
            member,
            amount,
            receipt,
            by,
        } => tracing::info!(seq, %member, %amount, receipt = told(receipt), by, "owed elsewhere"),
        Fact::VouchersClosed { until } => tracing::info!(seq, %until, "vouchers that end by then are closed"),
        Fact::HeadOfficeKeySet { key, ends: None } => {
            tracing::info!(seq, %key, "a key of head office's counts from now on")
        }
        Fact::HeadOfficeKeySet { key, ends: Some(ends) } => {
            tracing::info!(seq, %key, %ends, "a key of head office's counts until vouchers are closed up to there");
        }
        Fact::RefundMarked {
            order,
            amount,
            reference,
        } => tracing::info!(seq, %order, %amount, reference, "head office gives money back"),
        _ => return false,
    }
    true
}

/// The calendar, and the station's own clock.
fn of_time(seq: u64, fact: &Fact) -> bool {
    match fact {
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
        Fact::ClockStepped { by_ms } => tracing::warn!(seq, by_ms, "the wall clock was stepped"),
        Fact::ClockMoveFound { pile, by_ms } => {
            tracing::warn!(seq, %pile, by_ms, "the wall clock was put elsewhere while the station was off, by this pile's clocks");
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
        _ => return false,
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::time::{Mono, Wall};
    use std::{
        path::Path,
        sync::{Arc, Mutex},
    };

    /// A driver's notice is told by the fact that it follows; a restore by whoever made it, or ended the wait after it.
    const UNTOLD: [&str; 2] = ["Notified", "Restored"];

    #[test]
    fn every_kind_of_fact_is_told_in_one_line_with_its_number() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../domain/tests/facts");
        let mut kinds = 0;
        for kind in Fact::KINDS {
            let text = std::fs::read_to_string(folder.join(format!("{kind}.jsonl"))).unwrap();
            let fact: Fact = serde_json::from_str(text.lines().next().unwrap()).unwrap();
            let stamp = Stamp {
                seq: 4_711,
                at: Wall(0),
                mono: Mono(0),
            };
            let told = lines(|| log(stamp, &fact));
            if UNTOLD.contains(kind) {
                assert_eq!(told, "", "{kind}");
                continue;
            }
            assert!(told.contains("seq=4711"), "{kind}: {told}");
            // A day's report has a line more for each pile whose meter differs.
            let is_report = *kind == "EnergyReported";
            assert!(told.lines().count() == 1 || is_report, "{kind}: {told}");
            kinds += 1;
        }
        assert_eq!(kinds, Fact::KINDS.len() - UNTOLD.len());
    }

    /// What is logged meanwhile.
    fn lines(log: impl FnOnce()) -> String {
        let written = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&written);
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || Written(Arc::clone(&into)))
            .finish();
        tracing::subscriber::with_default(subscriber, log);
        let written = written.lock().unwrap();
        String::from_utf8(written.clone()).unwrap()
    }

    struct Written(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
}
