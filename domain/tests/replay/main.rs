//! Whatever comes, in whatever order: nothing panics, money is conserved, and the journal alone gives the same rows.

#![allow(clippy::unwrap_used, reason = "what a test cannot go on without fails it")]

#[path = "../bench/mod.rs"]
mod bench;
mod forged;
mod happens;
mod replica;
mod told;

use bench::*;
use domain::{
    ids::OrderId,
    messages::{ConnectorReport, ConnectorStatus},
    site::Rows,
};
use happens::{happen, happens, station};
use proptest::prelude::*;

/// Rows without the notes that something was looked for and is not there.
fn found(rows: &Rows) -> Rows {
    let mut rows = rows.clone();
    rows.orders.retain(|_, row| row.is_some());
    rows.members.retain(|_, row| row.is_some());
    rows.cards.retain(|_, row| row.is_some());
    rows.quarantine.retain(|_, row| row.is_some());
    rows.set_aside.retain(|_, row| row.is_some());
    rows.receipts.retain(|_, row| row.is_some());
    rows.slips.retain(|_, row| row.is_some());
    rows
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, max_shrink_iters: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_inputs_keeps_the_books_and_replays(sequence in prop::collection::vec(happens(), 1..90)) {
        let (mut bench, mut hoarder) = (station(true), station(false));
        for what in &sequence {
            happen(&mut bench, what);
            happen(&mut hoarder, what);
            prop_assert_eq!(bench.facts.len(), hoarder.facts.len(), "eviction changes nothing: {:?}", what);
        }
        prop_assert_eq!(&bench.facts, &hoarder.facts);
        prop_assert_eq!(found(&bench.replayed()), found(&bench.disk));
        let ids: std::collections::BTreeSet<&str> = bench.transfers.iter().map(|transfer| transfer.id.as_str()).collect();
        prop_assert_eq!(ids.len(), bench.transfers.len(), "every transfer has an id of its own");
    }
}

/// The sequences above are only worth something if they get somewhere.
#[test]
fn random_sequences_reach_every_kind_of_fact() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let mut kinds: std::collections::BTreeMap<String, usize> = std::collections::BTreeMap::new();
    let strategy = prop::collection::vec(happens(), 90);
    for _ in 0..400 {
        let mut bench = station(true);
        for what in &strategy.new_tree(&mut runner).unwrap().current() {
            happen(&mut bench, what);
        }
        for kind in bench.kinds() {
            *kinds.entry(kind).or_default() += 1;
        }
    }
    println!("{kinds:?}");
    for kind in [
        "PileRemoved",
        "PileDropped",
        "PileEvent",
        "MaintenanceSet",
        "MemberBlocked",
        "OrderPlaced",
        "HoldTaken",
        "CommandIssued",
        "CommandAnswered",
        "StartAcknowledged",
        "OrderFailed",
        "StopRequested",
        "ChargingLost",
        "ChargingResumed",
        "RecordReceived",
        "RecordTaken",
        "RegisterGapFound",
        "RatingDiffers",
        "OrderRated",
        "BillCorrected",
        "ReviewOpened",
        "ReviewApproved",
        "OrderEstimated",
        "OrderSettled",
        "DebtPaid",
        "Refunded",
        "Quarantined",
        "QuarantineClosed",
        "Notified",
        "ClockStepped",
        "RegisterRolledBack",
        "EnergyDiffers",
        "DayBegan",
        "EnergyReported",
        "MeterCleared",
        "CorrectionProposed",
        "CorrectionWithdrawn",
        "TopUpReversed",
        "ShiftOpened",
        "CashCounted",
        "CashBanked",
        "ShiftClosed",
        "FirstReading",
        "UnorderedCharging",
        "UnorderedChargingEnded",
        "RegisterCorrected",
        "RegisterJumped",
        "FakeChargingSeen",
        "ClockDoubted",
        "ClockBelieved",
        "OrderTimesMoved",
        "OrderAccounted",
        "PileRestarted",
        "HeadOfficeSeen",
        "DirectiveTaken",
        "LeaseReceived",
        "LeaseReturned",
        "MemberOwes",
        "VouchersClosed",
        "HeadOfficeKeySet",
        "RefundMarked",
    ] {
        assert!(kinds.contains_key(kind), "{kind} is never reached: {kinds:?}");
    }
}

#[test]
fn a_report_of_everything_at_once_is_read_connector_by_connector() {
    let mut bench = Bench::new();
    let (id, _) = bench.charge("m", "P1", "50");
    let report = |no: u8, order: Option<&OrderId>| ConnectorReport {
        no: domain::ids::ConnectorNo(no),
        status: ConnectorStatus::Charging,
        order_id: order.cloned(),
        voltage_v: Some(f64::MAX),
        current_a: Some(f64::MAX),
        soc_pct: Some(f64::MAX),
        temp_c: None,
        meter_kwh: kwh("1000"),
        faults: Vec::new(),
    };
    let connectors = vec![report(1, Some(&id)), report(2, Some(&id)), report(9, None)];
    bench.say(
        "P1",
        domain::messages::Up::Heartbeat(domain::messages::Heartbeat { connectors }),
    );
    assert_eq!(bench.site.ignored()["unknown_connector"], 2);
    let view = bench.site.view(&bench.order(&id), bench.now);
    assert_eq!(
        view.expected_end,
        Some(bench.now.wall),
        "an absurd current ends at once"
    );
}
