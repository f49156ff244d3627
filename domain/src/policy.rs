//! The site's rules that a person may set, with the values that apply when nobody does.

use crate::{
    time::Zone,
    units::{Fen, Power},
};
use serde::{Deserialize, Serialize};

/// The site's rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// How long a pile has to confirm a start (S05 §2.1), in milliseconds.
    pub start_timeout_ms: u64,
    /// The smallest prepayment, in yuan on the wire.
    pub prepay_min: Fen,
    /// The largest prepayment.
    pub prepay_max: Fen,
    /// The prepayment where the driver names none (card swipes).
    pub prepay_default: Fen,
    /// How many orders a member may have open at once.
    pub open_orders_max: usize,
    /// A fee above this waits for a person (S05 §5).
    pub review_above: Fen,
    /// How long a connector may go on delivering between the station noticing a limit and the pile stopping, in
    /// milliseconds; the hold keeps a margin for it.
    pub notice_ms: u64,
    /// What a connector is taken to deliver at most while its pile has not said.
    pub power_default: Power,
    /// How long a pile that is not charging may take to send the record before it is asked for, in milliseconds.
    pub record_request_ms: u64,
    /// How long it may take before an estimate takes the record's place, in milliseconds.
    pub record_overdue_ms: u64,
    /// How long the remainder of an estimate's hold waits for the record, in milliseconds.
    pub remainder_ms: u64,
    /// From when on an order whose pile is gone is shown to people as one to close, in milliseconds.
    pub gone_ms: u64,
    /// How many faults within the window send a pile to maintenance (S05 §5).
    pub faults_max: usize,
    /// How many drops within the window send a pile to maintenance.
    pub drops_max: usize,
    /// That window, in milliseconds.
    pub sick_window_ms: u64,
    /// For how long current must flow past the meter before a person must look, in milliseconds.
    pub fake_charging_window_ms: u64,
    /// Less than this share of what flows must the register count in that time, in per cent.
    pub fake_charging_pct: u8,
    /// Whether sessions that a pile ran alone for a known card become orders.
    pub offline_sessions: bool,
    /// A fee of such a session above this waits for a person.
    pub offline_session_cap: Fen,
    /// The most bytes of one pile's messages that may wait in quarantine; more are refused, and the pile keeps them.
    pub quarantine_bytes_max: u64,
    /// The most bytes of the journal that one pile's messages may fill in a business day; beyond that it takes no orders,
    /// and only that is taken of what it says which money needs.
    pub journal_bytes_max: u64,
    /// Telemetry is not written while fewer bytes than this are free on the disk.
    pub telemetry_below_bytes: u64,
    /// New orders are refused while fewer bytes than this are free on the disk.
    pub orders_below_bytes: u64,
    /// A step of the wall clock above this, either way, is journaled and sends running orders to review, in
    /// milliseconds.
    pub clock_step_ms: u64,
    /// The bill of a settled order that differs by more than this from the one first settled takes a second person.
    pub second_person_above: Fen,
    /// The site's time zone, by which business days are cut. It is the configuration's `time_zone`, not a key of its own.
    #[serde(skip)]
    pub time_zone: Zone,
    /// For how long a pile that is online may say nothing of a connector before that counts as not charging, in
    /// milliseconds. Piles report every 5 minutes at least.
    pub silent_ms: u64,
    /// Whether a connector that charges without an order is told to stop.
    pub stop_unordered: bool,
    /// The station has a head office, which owns wallets, cards and refunds. It is whether the configuration has its key, and
    /// not a key of its own.
    #[serde(skip)]
    pub head_office: bool,
    /// The number that head office has given the site: ids of members that are made at its desk begin with it. It stands beside
    /// head office's key.
    #[serde(skip)]
    pub site_number: Option<u64>,
}

impl Default for Policy {
    fn default() -> Self {
        const MINUTE_MS: u64 = 60_000;
        const HOUR_MS: u64 = 60 * MINUTE_MS;
        const MIB: u64 = 1 << 20;
        Self {
            start_timeout_ms: MINUTE_MS,
            prepay_min: Fen(500),
            prepay_max: Fen(50_000),
            prepay_default: Fen(5_000),
            open_orders_max: 1,
            review_above: Fen(20_000),
            notice_ms: 20_000,
            power_default: Power(7_000),
            record_request_ms: MINUTE_MS,
            record_overdue_ms: 30 * MINUTE_MS,
            remainder_ms: 24 * HOUR_MS,
            gone_ms: 72 * HOUR_MS,
            faults_max: 3,
            drops_max: 5,
            sick_window_ms: 24 * HOUR_MS,
            fake_charging_window_ms: 5 * MINUTE_MS,
            fake_charging_pct: 10,
            offline_sessions: false,
            offline_session_cap: Fen(5_000),
            quarantine_bytes_max: 16 * MIB,
            journal_bytes_max: 8 * MIB,
            telemetry_below_bytes: 256 * MIB,
            orders_below_bytes: 128 * MIB,
            clock_step_ms: MINUTE_MS,
            second_person_above: Fen(5_000),
            time_zone: Zone::default(),
            silent_ms: 10 * MINUTE_MS,
            stop_unordered: false,
            head_office: false,
            site_number: None,
        }
    }
}
