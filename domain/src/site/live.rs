//! What is true only now: connections, the last telemetry, clocks and timers. Lost with the process, or nearly so.
//! What is decided from it (a stop, a suspicion, a bill) is a fact.

use super::{Rows, Space, runs::Runs};
use crate::{
    alignment::IdleReadings,
    clock::{ClockWatch, PileClocks},
    fact::Fact,
    faults::FaultWatch,
    flow::FlowWatch,
    ids::{CardId, CommandId, OrderId, Outlet, PileId},
    messages::{ConnectorReport, ConnectorStatus, PriceMessage},
    order::{Order, OrderRow, State},
    planted::{Bug, is_planted},
    plausible::{RegisterWatch, Seen},
    rating::{self, Bill, Reading, SampleKeeper},
    resolution::{Resolution, stands_still},
    tariff::{PeriodKind, Tariff},
    time::{Mono, Now, Wall},
    units::{Energy, Fen},
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Volatile state.
#[derive(Debug, Clone, Default)]
pub(super) struct Live {
    pub(super) piles: BTreeMap<PileId, Presence>,
    pub(super) outlets: BTreeMap<Outlet, OutletLive>,
    /// Which order occupies a connector: follows from the orders.
    pub(super) occupied: BTreeMap<Outlet, OrderId>,
    /// When it is next looked at whether a connector has been silent: its one timer.
    pub(super) silence_due: BTreeMap<Outlet, Mono>,
    pub(super) timers: BTreeSet<(Mono, Timer)>,
    /// Wall time less elapsed time at the last input: a jump of it is a step of the wall clock.
    pub(super) wall_offset_ms: Option<i64>,
    /// What the clocks showed when an earlier run last wrote anything.
    pub(super) written: Option<Now>,
    pub(super) clock_trusted: bool,
    /// In this run a pile has told that the clock was put elsewhere before it.
    pub(super) move_found: bool,
    /// Which readings of each register are believed.
    pub(super) registers: BTreeMap<Outlet, RegisterWatch>,
    /// What was heard of each connector's faults and events, and not noted.
    pub(super) fault_watch: BTreeMap<Outlet, FaultWatch>,
    /// By what was certain in an earlier run, told at that time, it was so late at least.
    pub(super) not_before: Option<(Mono, Wall)>,
    pub(super) space: Space,
    /// When the station was restored from a copy, if this run of the program knows of it.
    pub(super) restored: Option<Mono>,
    /// When this run of the program began, nothing had been journaled since a restore.
    pub(super) just_restored: bool,
    /// Piles that have been heard since.
    pub(super) heard_since_restore: BTreeSet<PileId>,
    /// From when to when the business day lasts that was looked at last.
    pub(super) day: Option<(Wall, Wall)>,
    /// Head office can be reached.
    pub(super) line_up: bool,
    pub(super) ignored: BTreeMap<&'static str, u64>,
}

/// Something that may be due.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// An order's own deadline.
    Order(OrderId),
    /// A connector stopped charging and sent no record yet.
    RecordMissing(Outlet),
    /// Whether a lost connection was the pile's own doing.
    DropVerdict(PileId),
    /// The hourly `time`, and `price` where the day's table changed.
    Time(PileId),
    /// A business day's energy is reported.
    EnergyReport,
    /// Whether a connector that should charge has been silent too long.
    Silence(Outlet),
}

/// For how long two devices with one identity are shown after they were last noticed, in milliseconds.
const TWO_DEVICES_SHOWN_MS: u64 = 3_600_000;

/// A pile's connection.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Presence {
    /// Connected since; `None` while it is not.
    pub online_since: Option<Mono>,
    /// When it last said anything.
    pub heard_at: Option<Mono>,
    /// How its clocks relate to the station's.
    pub clock: ClockWatch,
    /// The starts of it that are known.
    pub(super) runs: Runs,
    /// When two devices with this identity were last noticed.
    pub two_devices: Option<Mono>,
    pub(super) swipe: Option<(CardId, Mono)>,
    pub(super) dropped_at: Option<Mono>,
    pub(super) prices_sent: Option<PriceMessage>,
    /// Something it said was refused, as its quarantine is full, and none of that has been dealt with since.
    pub quarantine_full: bool,
    /// When it is next told the time.
    pub(super) time_due: Option<Mono>,
    /// How many bytes it has had journaled today. A restart of the station begins to count anew.
    pub(super) journaled: u64,
    /// Beyond its budget: when a heartbeat of it was last looked at.
    pub(super) looked_at: Option<Mono>,
}

impl Presence {
    /// One that has not been heard in this run of the station; its clocks were measured before.
    fn with(clocks: PileClocks) -> Self {
        Self {
            clock: ClockWatch::from(clocks),
            ..Self::default()
        }
    }

    /// Whether two devices with this identity were noticed lately.
    pub fn has_two_devices(&self, now: Mono) -> bool {
        self.two_devices
            .is_some_and(|noticed| now.ms_since(noticed) < TWO_DEVICES_SHOWN_MS)
    }
}

/// What a connector last said of itself, and the readings of the order that charges there.
///
/// This is what the telemetry write class keeps: a crash loses at most its last 30 s, and the record makes the bill
/// whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutletLive {
    /// The last report.
    pub report: ConnectorReport,
    /// When it was received, by the wall clock.
    pub as_of: Wall,
    /// When it was received, by elapsed time.
    pub received: Mono,
    /// The order the readings belong to.
    pub order: Option<OrderId>,
    /// The readings of that order that rating needs.
    pub readings: SampleKeeper,
    /// State of charge when charging began, for the expected end.
    pub soc_start: Option<(f64, Wall)>,
    /// Since when the connector has not been charging its order.
    pub lost_since: Option<Mono>,
    /// Whether the meter counts what flows; begun anew after a restart.
    #[serde(skip)]
    pub flow: FlowWatch,
    /// The last reading that showed its order charging: by the status, or by a register that had moved. A pile may say
    /// `plugged` or `finished` with the order's number long after.
    #[serde(default)]
    pub last_charging: Option<Reading>,
    /// When the record is asked for, while the pile says that its order's session is finished and does not end it.
    #[serde(default)]
    pub ask_finished: Option<Mono>,
    /// It charges, and for no order of ours.
    #[serde(default)]
    pub unordered: Option<UnorderedWatch>,
    /// Its register while it was in no session.
    #[serde(default)]
    pub idle: IdleReadings,
    /// Which readings of its register are believed.
    #[serde(default)]
    pub watch: Option<RegisterWatch>,
    /// The step in which its reports show the register: a pile may round what it reports and write more places in records.
    #[serde(default)]
    pub shown: Resolution,
    /// Of which meter it is: [`Connector::meters_before`](crate::pile::Connector::meters_before).
    #[serde(default)]
    pub watch_meter: u32,
}

/// Charging without an order, from the first report of it on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnorderedWatch {
    /// Since when, by elapsed time.
    pub since: Mono,
    /// The register then.
    pub register: Energy,
    /// How many reports have said so.
    pub reports: u32,
    /// The stop that was sent last, and until when it is sent again.
    pub stop: Option<(CommandId, Mono)>,
}

impl Live {
    pub(super) fn new(rows: &Rows) -> Self {
        let mut live = Self::default();
        for order in rows.orders() {
            live.index(order);
        }
        if is_planted(Bug::ForgetTimers) {
            live.timers.clear();
        }
        for pile in rows.piles.values().filter(|pile| !pile.removed) {
            live.piles.insert(pile.id.clone(), Presence::with(pile.clocks.clone()));
        }
        live
    }

    pub(super) fn restore(&mut self, outlet: Outlet, mut live: OutletLive, rows: &Rows, record_request_ms: u64) {
        if rows.piles.contains_key(&outlet.pile) {
            if let Some(lost_since) = live.lost_since {
                let due = lost_since.after_ms(record_request_ms);
                self.timers.insert((due, Timer::RecordMissing(outlet.clone())));
            }
            // The last telemetry may be older than the last fact: a meter that is there no more says nothing, and an order
            // placed since began where the register was then.
            let meter = rows.connector(&outlet).map_or(0, |connector| connector.meters_before);
            let watch = live.watch.as_ref().filter(|_| live.watch_meter == meter);
            let began = self.began_since(&outlet, meter, &live, rows);
            if let Some((placed, register)) = began {
                live.report.meter_kwh = register;
                self.registers
                    .insert(outlet.clone(), RegisterWatch::known(placed, register));
            } else if let Some(watch) = watch {
                self.registers.insert(outlet.clone(), watch.clone());
            }
            self.outlets.insert(outlet, live);
        }
    }

    /// When the order was placed that occupies the connector, and at which register it began, where its last telemetry is
    /// older than that and lower.
    fn began_since(&self, outlet: &Outlet, meter: u32, live: &OutletLive, rows: &Rows) -> Option<(Mono, Energy)> {
        let order = rows.orders.get(self.occupied.get(outlet)?)?.as_ref()?;
        let (placed, baseline) = order.placed.zip(order.baseline).filter(|_| order.meter == meter)?;
        let started = order.started.as_ref().and_then(|started| started.register);
        let register = started.map_or(baseline, |started| started.max(baseline));
        (placed > live.received && register > live.report.meter_kwh).then_some((placed, register))
    }

    fn index(&mut self, order: &Order) {
        if order.state.occupies_connector() {
            self.occupied.insert(order.outlet.clone(), order.id.clone());
        } else if self.occupied.get(&order.outlet) == Some(&order.id) {
            self.occupied.remove(&order.outlet);
        }
        if let Some(deadline) = order.deadline {
            self.timers.insert((deadline.at, Timer::Order(order.id.clone())));
        }
    }

    /// Keeps what follows from the rows in step with them.
    pub(super) fn follow(&mut self, fact: &Fact, rows: &Rows) {
        match fact {
            Fact::PileProvisioned { pile, .. } => {
                self.presence_mut(pile, rows);
            }
            Fact::PileRemoved { pile, .. } => {
                self.piles.remove(pile);
            }
            Fact::OrderPlaced { order, .. }
            | Fact::StartAcknowledged { order, .. }
            | Fact::OrderFailed { order, .. }
            | Fact::ChargingLost { order, .. }
            | Fact::ChargingResumed { order }
            | Fact::RecordReceived { order, .. }
            | Fact::RecordTaken { order, .. }
            | Fact::OrderRated { order, .. }
            | Fact::OrderEstimated { order, .. }
            | Fact::OrderSettled { order, .. }
            | Fact::ReviewOpened { order, .. } => {
                if let Some(order) = rows.orders.get(order).and_then(Option::as_ref) {
                    self.index(order);
                }
            }
            _ => {}
        }
    }

    /// A pile's connection, begun where there is none yet. What was measured of its clocks counts on: one that was removed
    /// may still send records of before.
    pub(super) fn presence_mut(&mut self, pile: &PileId, rows: &Rows) -> &mut Presence {
        let kept = || rows.piles.get(pile).map(|row| row.clocks.clone());
        let presence = self.piles.entry(pile.clone());
        presence.or_insert_with(|| Presence::with(kept().unwrap_or_default()))
    }

    /// From now on it is waited for so long whether the connector says anything.
    pub(super) fn await_word(&mut self, outlet: &Outlet, until: Mono) {
        if let Some(before) = self.silence_due.insert(outlet.clone(), until) {
            self.timers.remove(&(before, Timer::Silence(outlet.clone())));
        }
        self.timers.insert((until, Timer::Silence(outlet.clone())));
    }

    pub(super) fn is_online(&self, pile: &PileId) -> bool {
        self.piles
            .get(pile)
            .is_some_and(|presence| presence.online_since.is_some())
    }

    /// The connector's register: as a session left it, or as the pile has said since, which is the last word.
    pub(super) fn last_known_register(&self, outlet: &Outlet, rows: &Rows) -> Option<Energy> {
        let connector = rows.connector(outlet)?;
        let reported = self
            .outlets
            .get(outlet)
            .map(|live| Seen::now(live.received, live.report.meter_kwh));
        let watch = self.registers.get(outlet).and_then(RegisterWatch::believed);
        let Some((stored, heard)) = connector.register.zip(watch.or(reported)) else {
            return connector.register.or(watch.or(reported).map(|seen| seen.register));
        };
        let is_later = heard.at > connector.register_at.mono;
        let is_lower = heard.register < stored && !stands_still(stored, heard.register);
        Some(match is_later && is_lower {
            true => heard.register,
            false => stored.max(heard.register),
        })
    }
}

/// What a driver sees while charging (S03 §2), and afterwards.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LiveView {
    /// The order.
    pub order_id: OrderId,
    /// Where.
    pub outlet: Outlet,
    /// Where the order stands.
    pub state: State,
    /// A stop has been asked for.
    pub stopping: bool,
    /// Volts × amperes ÷ 1000.
    pub power_kw: Option<f64>,
    /// Volts.
    pub voltage_v: Option<f64>,
    /// Amperes.
    pub current_a: Option<f64>,
    /// The car's state of charge in per cent.
    pub soc_pct: Option<f64>,
    /// Delivered so far.
    pub energy_kwh: Energy,
    /// Costs so far.
    pub fee: Fen,
    /// Of which electricity.
    pub electricity_fee: Fen,
    /// Of which service.
    pub service_fee: Fen,
    /// The tariff period now.
    pub period: PeriodKind,
    /// When charging is expected to end; `null` when it cannot be known.
    pub expected_end: Option<Wall>,
    /// Whether the pile is connected.
    pub pile_online: bool,
    /// How old the figures are.
    pub as_of: Option<Wall>,
}

impl OutletLive {
    /// A connector that has said something for the first time.
    pub(super) fn new(report: ConnectorReport, now: Now) -> Self {
        Self {
            report,
            as_of: now.wall,
            received: now.mono,
            order: None,
            readings: SampleKeeper::default(),
            soc_start: None,
            lost_since: None,
            last_charging: None,
            ask_finished: None,
            flow: FlowWatch::default(),
            unordered: None,
            idle: IdleReadings::default(),
            watch: None,
            shown: Resolution::default(),
            watch_meter: 0,
        }
    }

    /// Starts the readings of an order, from `first` if a reading is known.
    pub(super) fn begin(&mut self, order: &OrderId, tariff: &Tariff, first: Option<Reading>) {
        self.order = Some(order.clone());
        self.readings = SampleKeeper::default();
        if let Some(first) = first {
            self.readings.push(tariff, first);
        }
        self.soc_start = None;
        self.lost_since = None;
        self.last_charging = None;
        self.ask_finished = None;
        self.flow = FlowWatch::default();
    }

    /// Keeps when its order was last seen to charge, from a report of its session that is about to be kept.
    pub(super) fn note_charging(&mut self, status: ConnectorStatus, reading: Reading) {
        let before = self.readings.latest();
        let moved = before.is_some_and(|before| before.register < reading.register);
        if status == ConnectorStatus::Charging || moved {
            self.last_charging = Some(reading);
        }
    }

    /// The station's clock was stepped: the readings keep their distance from the present, or none that follows a step
    /// back would be believed and the fee would stand still. A person looks at the order anyway.
    pub(super) fn follow_step(&mut self, by_ms: i64) {
        self.readings.shift(by_ms);
        self.idle.follow_step(by_ms);
        if let Some((_, since)) = &mut self.soc_start {
            *since = since.after_ms(by_ms);
        }
        if let Some(seen) = &mut self.last_charging {
            seen.at = seen.at.after_ms(by_ms);
        }
    }

    /// The bill if the session ended with the last reading.
    pub(super) fn bill_so_far(&self, order: &OrderRow, rows: &Rows) -> Option<Bill> {
        if self.order.as_ref() != Some(&order.id) {
            return None;
        }
        let readings = self.readings.readings();
        let (first, last) = (*readings.first()?, *readings.last()?);
        rating::rate(rows.tariff_of(order), first, readings, last).ok()
    }

    fn expected_end(&self, order: &OrderRow, bill: &Bill, rows: &Rows, now: Now) -> Option<Wall> {
        if order.state != State::Charging || self.report.status != ConnectorStatus::Charging {
            return None;
        }
        let watts = self.report.watts().unwrap_or(0.0);
        let mut ends: Vec<f64> = Vec::new();
        if watts > 1.0 {
            let ms_for = |energy: Energy| deci_wh(energy) * 360_000.0 / watts;
            let price = rows.tariff_of(order).price_at(now.wall).total();
            if price.0 > 0 {
                let left = order.limit_fee - bill.fee;
                let energy = Energy(left.0.max(0).saturating_mul(10_000_000) / price.0);
                ends.push(ms_for(energy));
            }
            if let Some(kwh) = order.until.kwh {
                ends.push(ms_for(Energy((kwh - bill.energy).0.max(0))));
            }
        }
        if let (Some(minutes), Some(started)) = (order.until.minutes, &order.started) {
            ends.push(f64::from(minutes) * 60_000.0 - self.received.ms_since(started.mono) as f64);
        }
        if let (Some((soc_start, since)), Some(soc)) = (self.soc_start, self.report.soc_pct) {
            let (gained, ms) = (soc - soc_start, self.as_of.ms_since(since) as f64);
            let target = f64::from(order.until.soc_pct.unwrap_or(100));
            if gained >= 1.0 && ms > 0.0 {
                ends.push((target - soc).max(0.0) * ms / gained);
            }
        }
        let soonest = ends
            .into_iter()
            .filter(|ms| ms.is_finite())
            .fold(f64::INFINITY, f64::min);
        (soonest < 7.0 * 86_400_000.0).then(|| self.as_of.after_ms(soonest.max(0.0) as i64))
    }
}

/// For telemetry only: energy as a float never reaches money.
fn deci_wh(energy: Energy) -> f64 {
    energy.0 as f64
}

impl super::Site {
    /// The live view of an order in memory.
    pub fn view(&self, order: &OrderRow, now: Now) -> LiveView {
        let live = self
            .live
            .outlets
            .get(&order.outlet)
            .filter(|live| live.order.as_ref() == Some(&order.id));
        let so_far = live.and_then(|live| live.bill_so_far(order, &self.rows));
        let billed = order.bill();
        let (electricity_fee, service_fee) = match (billed, &so_far) {
            (Some(bill), _) => (bill.electricity, bill.service),
            (None, Some(bill)) => (bill.electricity, bill.service),
            (None, None) => (Fen::ZERO, Fen::ZERO),
        };
        let energy_kwh = billed
            .and_then(|bill| bill.detail.as_ref())
            .or(so_far.as_ref())
            .map_or(Energy::ZERO, |bill| bill.energy);
        let expected_end = live
            .zip(so_far.as_ref())
            .and_then(|(live, bill)| live.expected_end(order, bill, &self.rows, now));
        // What the connector says after the session is not said of this order.
        let running = live.filter(|_| order.state.occupies_connector());
        let report = running.map(|live| &live.report);
        LiveView {
            order_id: order.id.clone(),
            outlet: order.outlet.clone(),
            state: order.state,
            stopping: order.stopping,
            power_kw: report.and_then(|report| report.watts()).map(|watts| watts / 1000.0),
            voltage_v: report.and_then(|report| report.voltage_v),
            current_a: report.and_then(|report| report.current_a),
            soc_pct: report.and_then(|report| report.soc_pct),
            energy_kwh,
            fee: electricity_fee + service_fee,
            electricity_fee,
            service_fee,
            period: self.rows.tariff_of(order).kind_at(now.wall),
            expected_end,
            pile_online: self.live.is_online(&order.outlet.pile),
            as_of: match running {
                Some(live) => Some(live.as_of),
                None => billed.map(|bill| bill.at),
            },
        }
    }

    /// The live view of the order that occupies a connector or is otherwise in memory.
    pub fn view_of(&self, order: &OrderId, now: Now) -> Option<LiveView> {
        self.rows.orders.get(order)?.as_ref().map(|order| self.view(order, now))
    }
}
