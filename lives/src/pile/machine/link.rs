//! The pile's side of the connection: connecting with backoff, announcing itself, sending, resending, hearing acks.
//! Nothing that must not be lost depends on one connection: it waits in the outbox.

use super::{
    super::{
        behaviour::Behaviour,
        event::What,
        outbox::{Purpose, RecordRole},
        prices::PriceTable,
        spec::ClockAtPowerOn,
    },
    Body, Link, Output, Pile, Publish, Timer,
};
use domain::{
    ids::{BootId, CommandId, ConnectorNo, MsgId},
    messages::{
        Ack, AckResult, Boot, BootConnector, Common, ConnectorReport, ConnectorStatus, Down, Event, EventKind,
        Heartbeat, Record, Up, UpMessage,
    },
    units::Energy,
};

const BACKOFF_FIRST_MS: u64 = 1_000;
const BACKOFF_MOST_MS: u64 = 60_000;
const HISTORY_MAX: usize = 200;

pub(super) fn boot_id(tag: &str, count: u64) -> BootId {
    let plain: String = tag.chars().filter(|c| c.is_ascii_alphanumeric()).take(64).collect();
    BootId::new(format!("{plain}-{count}")).expect("at most 64 plain characters, a hyphen and a number are a boot id")
}

impl Pile {
    pub(super) fn is_linked(&self) -> bool {
        self.powered && matches!(self.link, Link::Up(_))
    }

    /// Starts the firmware, with the records that were in the flash.
    pub(super) fn power_on(&mut self, records: Vec<(Record, RecordRole)>) {
        if self.powered {
            return;
        }
        self.powered = true;
        let count = self.boot.count + 1;
        let id = boot_id(&self.spec.boot_tag, count);
        self.boot = super::BootState {
            count,
            id: id.clone(),
            at: self.now,
            seq: 0,
            messages: 0,
        };
        self.tell(What::Booted {
            boot_id: id.to_string(),
        });
        for (record, role) in records {
            self.keep(Up::Record(Box::new(record)), Purpose::Record(role));
        }
        self.outputs.push_back(Output::Persist);
        self.connect();
    }

    /// The firmware stops: only the flash survives, and what happens around the pile.
    pub(super) fn power_off(&mut self, reason: u16, clean: bool) {
        if !self.powered {
            return;
        }
        // From here on nothing is sent: the records of these sessions go to the flash.
        self.powered = false;
        for connector in 0..self.connectors.len() {
            self.end_session(connector, reason);
        }
        self.leave(clean, "power off");
        self.timers.retain(|_, timer| {
            !matches!(
                timer,
                Timer::Reconnect | Timer::Reboot | Timer::Command { .. } | Timer::LateStart { .. }
            )
        });
        self.answers.forget_pending();
    }

    pub(super) fn reboot(&mut self) {
        for connector in self.connectors.iter().map(|connector| connector.no).collect::<Vec<_>>() {
            self.event(connector, EventKind::Reboot, 0, "rebooting");
        }
        self.power_off(255, true);
        self.after(5_000, Timer::PowerOn);
    }

    pub(super) fn cut_network(&mut self) -> u64 {
        self.network.cuts += 1;
        if self.network.up {
            self.network.up = false;
            self.tell(What::Network { up: false });
            self.leave(false, "network is gone");
        }
        self.network.cuts
    }

    pub(super) fn network_back(&mut self, cut: u64) {
        if !self.network.up && self.network.cuts == cut {
            self.network.up = true;
            self.network.failures = 0;
            self.tell(What::Network { up: true });
            self.connect();
        }
    }

    pub(super) fn connect(&mut self) {
        if self.powered && self.network.up && self.link == Link::Down {
            self.timers.retain(|_, timer| !matches!(timer, Timer::Reconnect));
            self.network.attempts += 1;
            self.link = Link::Connecting(self.network.attempts);
            self.outputs.push_back(Output::Connect {
                attempt: self.network.attempts,
            });
        }
    }

    pub(super) fn link_up(&mut self, attempt: u64) {
        if self.link != Link::Connecting(attempt) {
            return;
        }
        self.link = Link::Up(attempt);
        self.network.failures = 0;
        self.tell(What::Connected);
        self.send_boot();
        self.outbox.expire(self.now);
        let mut waiting = self.outbox.ids();
        if self.spec.newest_first {
            waiting.reverse();
        }
        for id in waiting {
            self.transmit(&id);
        }
        for session in self
            .connectors
            .iter_mut()
            .filter_map(|connector| connector.session.as_mut())
        {
            session.goes_online();
        }
        self.heartbeat_at = self.now;
        if self.behaves(|b| *b == Behaviour::OrphanRecord) && !self.orphan_sent {
            self.orphan_sent = true;
            self.send_orphan();
        }
    }

    pub(super) fn link_down(&mut self, attempt: u64, reason: String) {
        if self.link != Link::Up(attempt) && self.link != Link::Connecting(attempt) {
            return;
        }
        self.link_lost(&reason);
        // 1, 2, 4 … 60 s, and up to a quarter more, so that piles cut off together do not come back together.
        let backoff = (BACKOFF_FIRST_MS << self.network.failures.min(6)).min(BACKOFF_MOST_MS);
        let jitter = self.seed.below(backoff / 4);
        self.network.failures += 1;
        self.after((backoff + jitter).min(BACKOFF_MOST_MS), Timer::Reconnect);
    }

    /// Closes the connection from this side.
    fn leave(&mut self, clean: bool, reason: &str) {
        self.timers.retain(|_, timer| !matches!(timer, Timer::Reconnect));
        if self.link != Link::Down {
            self.outputs.push_back(Output::Disconnect { clean });
            self.link_lost(reason);
        }
    }

    fn link_lost(&mut self, reason: &str) {
        self.link = Link::Down;
        self.outbox.disconnected();
        for session in self
            .connectors
            .iter_mut()
            .filter_map(|connector| connector.session.as_mut())
        {
            session.goes_offline(self.now);
        }
        self.tell(What::Disconnected {
            reason: reason.to_owned(),
        });
    }

    fn envelope(&mut self, named: bool) -> Common {
        self.boot.seq += 1;
        Common {
            boot_id: self.boot.id.clone(),
            seq: self.boot.seq,
            mono_ms: self.now.ms_since(self.boot.at),
            ts: self.wall(),
            msg_id: named.then(|| self.msg_id()),
        }
    }

    /// Unique over all boots, as an `ack` names a message by this id alone.
    pub(super) fn msg_id(&mut self) -> MsgId {
        self.boot.messages += 1;
        MsgId::new(format!("{}-{}", self.boot.count, self.boot.messages))
            .expect("two numbers and a hyphen are a message id")
    }

    /// Keeps a message and sends it, if there is a connection.
    pub(super) fn keep(&mut self, body: Up, purpose: Purpose) {
        let common = self.envelope(true);
        let id = common.msg_id.clone();
        if let Some(msg_id) = self.outbox.push(UpMessage::new(common, body), purpose) {
            self.tell(What::Dropped { msg_id });
        }
        if let Some(id) = id.filter(|_| self.is_linked()) {
            self.transmit(&id);
        }
    }

    /// Sends a kept message, again or for the first time.
    pub(super) fn transmit(&mut self, id: &MsgId) {
        let token = self.number();
        let Some(entry) = self.outbox.sent(id, token) else {
            return;
        };
        let (message, attempt) = (entry.message.clone(), entry.attempts);
        let twice = attempt == 1
            && matches!(entry.purpose, Purpose::Record(RecordRole::Commanded | RecordRole::Own))
            && self.behaves(|b| *b == Behaviour::DuplicateRecord);
        if let Up::Record(record) = &message.body {
            let order_id = record.order_id.clone();
            self.tell(What::RecordSent {
                order_id,
                msg_id: id.clone(),
                attempt,
            });
        }
        if twice {
            let token = self.number();
            self.publish(token, true, Body::Message(message.clone()));
        }
        self.publish(token, true, Body::Message(message));
    }

    pub(super) fn publish(&mut self, token: u64, qos1: bool, body: Body) {
        self.outputs.push_back(Output::Publish(Publish { token, qos1, body }));
    }

    /// Sends a message that is of no use later.
    pub(super) fn send_now(&mut self, body: Up) {
        if self.is_linked() {
            let (named, qos1) = match &body {
                Up::Heartbeat(_) => (false, self.spec.heartbeat_qos1),
                _ => (true, true),
            };
            let message = UpMessage::new(self.envelope(named), body);
            let token = self.number();
            self.publish(token, qos1, Body::Message(message));
        }
    }

    fn send_boot(&mut self) {
        let now = self.now;
        let connectors = self.connectors.iter_mut().map(|connector| {
            let session = connector.session.as_ref();
            let counted = session.map_or(connector.meter, |session| session.meter(now));
            let order_id = session
                .filter(|_| !connector.hushed)
                .map(|session| session.order_id.clone());
            let shown = connector.shown(counted);
            BootConnector {
                no: connector.no,
                max_kw: Some(connector.max_power),
                meter_kwh: connector.slips(shown),
                order_id,
            }
        });
        let connectors = connectors.collect();
        let boot = Boot {
            vendor: self.spec.vendor.clone(),
            model: self.spec.model.clone(),
            firmware: self.spec.firmware.clone(),
            connectors,
        };
        self.send_now(Up::Boot(boot));
    }

    /// Something changed that the station should see at once.
    pub(super) fn changed(&mut self) {
        self.heartbeat_at = self.now;
    }

    pub(super) fn send_heartbeat(&mut self) {
        let mut connectors: Vec<ConnectorReport> = Vec::new();
        for at in 0..self.connectors.len() {
            let mut report = self.report(&self.connectors[at]);
            report.meter_kwh = self.connectors[at].slips(report.meter_kwh);
            if !self.connectors[at].hushed {
                connectors.push(report);
            }
        }
        let charging = self.connectors.iter().any(|connector| connector.session.is_some());
        let pause = if charging {
            self.spec.heartbeat_charging_ms
        } else {
            self.spec.heartbeat_idle_ms
        };
        self.heartbeat_at = self.now.after_ms(pause.max(1_000));
        self.tally.heartbeats += 1;
        self.send_now(Up::Heartbeat(Heartbeat { connectors }));
    }

    fn report(&self, connector: &super::Connector) -> ConnectorReport {
        let session = connector.session.as_ref();
        let status = match (&connector.fault, session, &connector.plugged) {
            (Some(_), _, _) => ConnectorStatus::Fault,
            (None, Some(session), _) if session.is_paused() => ConnectorStatus::Plugged,
            (None, Some(_), _) => ConnectorStatus::Charging,
            (None, None, Some(plugged)) if plugged.finished => ConnectorStatus::Finished,
            (None, None, Some(_)) => ConnectorStatus::Plugged,
            (None, None, None) => ConnectorStatus::Idle,
        };
        // Alternating current up to 22 kW, direct current above: what voltage the driver's app should show.
        let voltage_v = if connector.max_power.0 <= 22_000 { 220.0 } else { 500.0 };
        let watts = session.map_or(0, |session| session.power(self.now).0);
        let watts = f64::from(u32::try_from(watts).unwrap_or(0));
        let car = connector.plugged.as_ref().and_then(|plugged| plugged.car.as_ref());
        let added = session.map_or(Energy::ZERO, |session| session.energy(self.now));
        ConnectorReport {
            no: connector.no,
            status,
            order_id: session.map(|session| session.order_id.clone()),
            voltage_v: Some(voltage_v),
            current_a: Some((watts / voltage_v * 10.0).round() / 10.0),
            soc_pct: car.map(|car| f64::from(car.soc_pct(added))),
            temp_c: Some(if session.is_some() { 35.0 } else { 25.0 }),
            meter_kwh: connector.shown(self.meter_of(connector)),
            faults: connector.fault.iter().cloned().collect(),
        }
    }

    pub(super) fn event(&mut self, connector: ConnectorNo, kind: EventKind, code: i32, text: &str) {
        self.tell(What::Connector { connector, kind });
        if self.powered {
            self.keep(
                Up::Event(Event {
                    connector,
                    kind,
                    code,
                    text: text.to_owned(),
                }),
                Purpose::Event,
            );
            self.changed();
        }
    }

    pub(super) fn puback(&mut self, token: u64) {
        if let Some(command_id) = self.outbox.puback(token, self.now) {
            self.reply_is_stored(&command_id);
        }
    }

    /// The station has the answer to this command on disk: its PUBACK came, or its `ack`, which may overtake it.
    fn reply_is_stored(&mut self, command_id: &CommandId) {
        for session in self
            .connectors
            .iter_mut()
            .filter_map(|connector| connector.session.as_mut())
        {
            if session
                .ack_due
                .as_ref()
                .is_some_and(|(waiting, _)| waiting == command_id)
            {
                session.ack_due = None;
            }
        }
    }

    pub(super) fn hear(&mut self, down: Down) {
        if !self.is_linked() {
            return; // It was on its way when the connection went.
        }
        match down {
            Down::Command(command) => self.hear_command(command),
            Down::Ack(ack) => self.hear_ack(ack),
            Down::Time(time) => self.set_clock(time.ts),
            Down::Price(message) => match PriceTable::read(&message.prices, self.spec.utc_offset_ms) {
                Ok(table) => {
                    self.prices = table;
                    self.tell(What::Prices {
                        rows: message.prices.len(),
                    });
                }
                Err(error) => self.unexpected(format!("a price table that cannot be right: {error}")),
            },
        }
    }

    fn set_clock(&mut self, to: domain::time::Wall) {
        let Some(spec) = self.spec.clock.filter(|spec| spec.follows_station) else {
            return;
        };
        let behind_ms = self.wall().map(|wall| to.ms_since(wall));
        let clock = self.clock.insert(super::Clock::new(self.now, to, spec.drift_ppm));
        for session in self
            .connectors
            .iter_mut()
            .filter_map(|connector| connector.session.as_mut())
        {
            session.clock_set(self.now, clock);
        }
        self.tell(What::TimeSet { to, behind_ms });
    }

    /// The power is back: some clocks have kept going, some have not.
    pub(super) fn clock_at_power_on(&mut self) {
        let Some(spec) = self.spec.clock else { return };
        let shown = match spec.at_power_on {
            ClockAtPowerOn::GoesOn => return,
            ClockAtPowerOn::Resets(shown) => shown,
            ClockAtPowerOn::IsSet(origin) => origin.after_ms(i64::try_from(self.now.0).unwrap_or(i64::MAX)),
        };
        self.clock = Some(super::Clock::new(self.now, shown, spec.drift_ppm));
    }

    pub(super) fn step_clock(&mut self, by_ms: i64) {
        let now = self.now;
        let Some(clock) = self.clock.as_mut() else { return };
        clock.set(now, clock.wall(now).after_ms(by_ms));
        for session in self
            .connectors
            .iter_mut()
            .filter_map(|connector| connector.session.as_mut())
        {
            session.clock_set(now, clock);
        }
    }

    fn hear_ack(&mut self, ack: Ack) {
        let Ack {
            msg_id,
            result,
            fee,
            detail,
            ..
        } = ack;
        let entry = msg_id.as_ref().and_then(|id| self.outbox.ack(id));
        if let Some(Purpose::Reply { command_id, .. }) = entry.as_ref().map(|entry| &entry.purpose) {
            self.reply_is_stored(&command_id.clone());
        }
        if result == AckResult::Malformed && (entry.is_some() || !self.sent_garbage) {
            let id = msg_id.as_ref().map_or("a message", MsgId::as_str);
            self.unexpected(format!(
                "{id} follows the contract and was answered `malformed`: {detail}"
            ));
        }
        if let (Some(id), None) = (&msg_id, &entry)
            && !self.issued(id)
        {
            self.unexpected(format!("an ack for {id}, which was never sent"));
        }
        let record = entry.and_then(|entry| match (entry.message.body, entry.purpose) {
            (Up::Record(record), Purpose::Record(role)) => Some((*record, role)),
            _ => None,
        });
        match (msg_id, record) {
            (Some(msg_id), Some((record, role))) => {
                let order_id = record.order_id.clone();
                self.judge(role, result, &record);
                self.tell(What::RecordAcked {
                    order_id,
                    msg_id,
                    result,
                    fee,
                    detail,
                });
                self.record_acked(record, role);
            }
            (msg_id, _) => self.tell(What::Acked { msg_id, result, detail }),
        }
    }

    fn issued(&self, id: &MsgId) -> bool {
        let numbers = id
            .as_str()
            .split_once('-')
            .and_then(|(boot, n)| Some((boot.parse().ok()?, n.parse().ok()?)));
        numbers.is_some_and(|(boot, n): (u64, u64)| {
            boot < self.boot.count || (boot == self.boot.count && n <= self.boot.messages)
        })
    }

    /// What an honest station may answer to a record, given what the pile knows about it.
    fn judge(&mut self, role: RecordRole, result: AckResult, record: &Record) {
        let order = &record.order_id;
        let late = self.behaves(|b| {
            matches!(
                b,
                Behaviour::LateStart { .. } | Behaviour::SilentStart | Behaviour::SlowReply { .. }
            )
        });
        let wrong = match (role, result) {
            (RecordRole::Commanded, AckResult::Orphan) if !late => {
                Some("the station ordered it and calls it an orphan")
            }
            (RecordRole::Duplicate, AckResult::Ok) => Some("it was there already and is acknowledged as new"),
            (RecordRole::Orphan, AckResult::Ok) => Some("nobody knows its order and it is acknowledged like any other"),
            _ => None,
        };
        if let Some(wrong) = wrong {
            self.unexpected(format!("the record of {order}: {wrong}"));
        }
    }

    /// The pile may forget a record; some piles do not leave it at that.
    fn record_acked(&mut self, record: Record, role: RecordRole) {
        if matches!(role, RecordRole::Commanded | RecordRole::Own) {
            if self.behaves(|b| *b == Behaviour::DuplicateRecord) {
                let again = Up::Record(Box::new(record.clone()));
                self.keep(again, Purpose::Record(RecordRole::Duplicate));
            }
            if self.behaves(|b| *b == Behaviour::ConflictingRecord) {
                let mut other = record.clone();
                other.meter_stop_kwh += Energy(5_000);
                self.keep(Up::Record(Box::new(other)), Purpose::Record(RecordRole::Conflict));
            }
            if let Some(Behaviour::ConflictingRecords { many }) = self
                .spec
                .behaviours
                .iter()
                .find(|b| matches!(b, Behaviour::ConflictingRecords { .. }))
            {
                for n in 0..i64::from(*many) {
                    let mut other = record.clone();
                    other.meter_stop_kwh += Energy(1 + n);
                    self.keep(Up::Record(Box::new(other)), Purpose::Record(RecordRole::Conflict));
                }
            }
            let of_it = |held: &Record| held.order_id == record.order_id;
            if let Some(at) = self.held_back.iter().position(of_it) {
                let whole = self.held_back.remove(at);
                self.keep(Up::Record(Box::new(whole)), Purpose::Record(RecordRole::Conflict));
            }
            if self.history.len() == HISTORY_MAX {
                self.history.pop_front();
            }
            self.history.push_back(record);
        }
        self.outputs.push_back(Output::Persist);
    }
}
