//! What a simulated pile is made of before it is switched on, and what it keeps when its power goes.
//! Every field has a sensible value in [`PileSpec::new`]; a test changes the two or three it is about.

use super::{behaviour::Behaviour, supply::Car};
use domain::{
    ids::{CardId, PileId},
    messages::Record,
    time::Wall,
    units::{Energy, Power},
};
use serde::{Deserialize, Serialize};

/// A pile.
#[derive(Debug, Clone)]
pub struct PileSpec {
    /// Its id and MQTT user name.
    pub id: PileId,
    /// Its connectors, counted from 1 in this order.
    pub connectors: Vec<ConnectorSpec>,
    /// The car that comes when nobody says which; `None` for one that never gets full.
    pub car: Option<Car>,
    /// How it misbehaves.
    pub behaviours: Vec<Behaviour>,
    /// Its clock; `None` for a pile that has none and sends `ts: null`.
    pub clock: Option<ClockSpec>,
    /// The site's offset from UTC, by which it reads the times of a price table.
    pub utc_offset_ms: i64,
    /// Where its randomness comes from (the jitter of its reconnects).
    pub seed: u64,
    /// Goes into every `boot_id`, so that two simulations of one pile never share one.
    pub boot_tag: String,
    /// In `boot`.
    pub vendor: String,
    /// In `boot`.
    pub model: String,
    /// In `boot`.
    pub firmware: String,
    /// Whether records carry the pile's own split over the tariff periods.
    pub periods: bool,
    /// How often it keeps a reading while offline.
    pub sample_every_ms: u64,
    /// Between heartbeats while charging.
    pub heartbeat_charging_ms: u64,
    /// Between heartbeats while idle.
    pub heartbeat_idle_ms: u64,
    /// Whether heartbeats go out at QoS 1.
    pub heartbeat_qos1: bool,
    /// Cards for which it starts a session by itself while it is offline.
    pub offline_cards: Vec<CardId>,
    /// Cars that come and go by themselves; `None` leaves plugging to whoever drives the simulation.
    pub customers: Option<Customers>,
    /// Whether a new connection brings its records newest first.
    pub newest_first: bool,
    /// Whether records name the start of the pile in which the session was.
    pub names_boot: bool,
}

/// A connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectorSpec {
    /// The most it delivers.
    pub max_power: Power,
    /// Its register when the simulation begins, unless [`Flash`] knows better.
    pub meter: Energy,
    /// The step in which its register shows what it has counted: 0.1 Wh, or as much as a whole kWh.
    pub step: Energy,
    /// Where its register begins again at zero, if it ever gets there.
    pub rolls_over_at: Option<Energy>,
}

impl ConnectorSpec {
    /// A connector whose register shows every 0.1 Wh and has digits enough.
    pub fn new(max_power: Power, meter: Energy) -> Self {
        Self {
            max_power,
            meter,
            step: Energy(1),
            rolls_over_at: None,
        }
    }
}

/// A pile's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockSpec {
    /// What it shows when the simulation begins.
    pub start: Wall,
    /// What it gains, in microseconds a second.
    pub drift_ppm: i32,
    /// Whether it is set by the station's `time` messages.
    pub follows_station: bool,
    /// What it shows when the pile starts again.
    pub at_power_on: ClockAtPowerOn,
}

/// What a pile's clock shows when its power is back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClockAtPowerOn {
    /// A battery kept it going.
    #[default]
    GoesOn,
    /// This, each time: its battery is empty.
    Resets(Wall),
    /// It is set from elsewhere: what it shows is this at the simulation's beginning, and goes on from there.
    IsSet(Wall),
}

/// Cars that come by themselves, one after another, to every connector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Customers {
    /// From the end of a session until the car leaves; the next one comes five seconds later.
    pub pause_ms: u64,
    /// The card they swipe to begin; `None` where the station begins.
    pub card: Option<CardId>,
    /// After so many visits of the whole pile nobody comes any more.
    pub visits_max: Option<u32>,
}

impl PileSpec {
    /// A pile with one 7 kW connector at 1000 kWh, a clock at `clock_start` that follows the station, in China.
    pub fn new(id: PileId, clock_start: Wall) -> Self {
        Self {
            id,
            connectors: vec![ConnectorSpec::new(Power(7_000), Energy(10_000_000))],
            car: None,
            behaviours: Vec::new(),
            clock: Some(ClockSpec {
                start: clock_start,
                drift_ppm: 0,
                follows_station: true,
                at_power_on: ClockAtPowerOn::GoesOn,
            }),
            utc_offset_ms: 8 * 3_600_000,
            seed: 1,
            boot_tag: format!("{:x}", clock_start.0),
            vendor: "Holdfast".to_owned(),
            model: "pile-sim".to_owned(),
            firmware: env!("CARGO_PKG_VERSION").to_owned(),
            periods: false,
            sample_every_ms: 60_000,
            heartbeat_charging_ms: 15_000,
            heartbeat_idle_ms: 300_000,
            heartbeat_qos1: false,
            offline_cards: Vec::new(),
            customers: None,
            newest_first: false,
            names_boot: false,
        }
    }

    /// The same pile with these behaviours.
    pub fn behaving(mut self, behaviours: impl IntoIterator<Item = Behaviour>) -> Self {
        self.behaviours = behaviours.into_iter().collect();
        self
    }
}

/// What a pile keeps without power. A new [`PileSpec`] and the old flash are the same pile, switched on again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flash {
    /// How often it was started.
    pub boots: u64,
    /// How many sessions it has named by itself.
    pub offline_sessions: u64,
    /// The registers of its connectors.
    pub meters: Vec<Energy>,
    /// Records that are not acknowledged.
    pub records: Vec<Record>,
}
