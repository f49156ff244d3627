//! Sessions beginning and ending at a pile's connectors, what goes wrong in between, and the record that remains.
//! The record is where a register lies, if it is told to: heartbeats show the true one.

use super::{
    super::{
        behaviour::{Behaviour, MeterFault},
        event::What,
        outbox::{Purpose, RecordRole},
        prices::{FeeCount, PriceTable},
        session::{Beginning, Session, SessionDue},
        supply::Supply,
    },
    Output, Pile, Timer,
};
use domain::{
    ids::Randomness,
    ids::{CardId, CommandId, OrderId, uuid_v7},
    messages::{CommandMessage, EventKind, Periods, Record, StopReason, Up},
    time::Mono,
    units::{Energy, Power},
};

const FAULT_LASTS_MS: u64 = 60_000;

impl Pile {
    pub(super) fn begin_commanded(
        &mut self,
        connector: usize,
        command: &CommandMessage,
        prices: Option<PriceTable>,
        ack_due: Option<(CommandId, Mono)>,
    ) {
        let mut beginning = self.beginning(connector, command.order_id.clone(), prices);
        beginning.limit_fee = command.limit_fee;
        beginning.limit_kwh = command.limit_kwh;
        beginning.ack_due = ack_due;
        self.begin(connector, beginning);
    }

    /// A session that the pile names itself.
    pub(super) fn begin_own(&mut self, connector: usize, card: CardId) {
        self.offline_sessions += 1;
        let order = format!(
            "off-{}-{}-{}",
            self.spec.id, self.connectors[connector].no, self.offline_sessions
        );
        let order = OrderId::new(order).expect("a pile id and two numbers are an order id");
        let mut beginning = self.beginning(connector, order, self.prices.clone());
        beginning.card_id = Some(card);
        self.outputs.push_back(Output::Persist);
        self.begin(connector, beginning);
    }

    fn beginning(&self, connector: usize, order_id: OrderId, prices: Option<PriceTable>) -> Beginning {
        let at = &self.connectors[connector];
        let car = at.plugged.as_ref().and_then(|plugged| plugged.car);
        let dead = self.behaves(|b| matches!(b, Behaviour::FailStart { .. }));
        let supply = match (&car, dead) {
            (_, true) => Supply::constant(Power::ZERO),
            (Some(car), false) => Supply::into_car(at.max_power, car),
            (None, false) => Supply::constant(at.max_power),
        };
        let stuck_after_ms = self.spec.behaviours.iter().find_map(|behaviour| match behaviour {
            Behaviour::StuckMeter { after_ms } => Some(*after_ms),
            _ => None,
        });
        Beginning {
            order_id,
            card_id: None,
            supply,
            meter: at.meter,
            soc: car.map(|car| car.soc_pct(Energy::ZERO)),
            limit_fee: None,
            limit_kwh: None,
            count: prices.map(|prices| FeeCount::new(prices, self.wall())),
            ack_due: None,
            stuck_after_ms,
            sample_every_ms: self.spec.sample_every_ms,
            online: self.is_linked(),
        }
    }

    fn begin(&mut self, connector: usize, beginning: Beginning) {
        let session_no = self.number();
        let meter_kwh = self.connectors[connector].shown(beginning.meter);
        let order_id = beginning.order_id.clone();
        let at = &mut self.connectors[connector];
        at.session = Some(Session::begin(self.now, self.clock.as_ref(), beginning));
        at.session_no = session_no;
        let no = at.no;
        self.tell(What::Started {
            connector: no,
            order_id,
            meter_kwh,
        });
        self.changed();
        for incident in self.spec.behaviours.clone() {
            let after_ms = match incident {
                Behaviour::Drop { after_ms, .. }
                | Behaviour::PowerLoss { after_ms, .. }
                | Behaviour::Fault { after_ms, .. }
                | Behaviour::EmergencyStop { after_ms }
                | Behaviour::Unplug { after_ms }
                | Behaviour::UserStop { after_ms }
                | Behaviour::FailStart { after_ms } => after_ms,
                _ => continue,
            };
            self.after(
                after_ms,
                Timer::Incident {
                    connector,
                    session_no,
                    incident,
                },
            );
        }
    }

    pub(super) fn session_due(&mut self, connector: usize, due: SessionDue) {
        let (now, clock) = (self.now, self.clock.as_ref());
        let Some(session) = self.connectors[connector].session.as_mut() else {
            return;
        };
        match due {
            SessionDue::Boundary => session.cross_boundary(now, clock),
            SessionDue::Sample => session.keep_sample(now, clock),
            SessionDue::Full => self.end_session(connector, 7),
            SessionDue::Limit => self.end_session(connector, 8),
            SessionDue::StartUnacknowledged => self.end_session(connector, 10),
        }
    }

    /// Something that a behaviour let happen to this session, if it is still running.
    pub(super) fn incident(&mut self, connector: usize, session_no: u64, incident: &Behaviour) {
        let at = &mut self.connectors[connector];
        let Some(session) = at.session.as_mut().filter(|_| at.session_no == session_no) else {
            return;
        };
        match incident {
            Behaviour::Drop { for_ms, samples, .. } => {
                if !samples {
                    session.forget_samples();
                }
                let cut = self.cut_network();
                self.after(*for_ms, Timer::NetworkBack { cut });
            }
            Behaviour::PowerLoss { for_ms, .. } => {
                self.lose_power();
                self.after(*for_ms, Timer::PowerOn);
            }
            Behaviour::Fault { code, .. } => self.fault(connector, *code, "as told"),
            Behaviour::EmergencyStop { .. } => self.emergency_stop(connector),
            Behaviour::Unplug { .. } => self.unplug(connector),
            Behaviour::UserStop { .. } => self.end_session(connector, 0),
            Behaviour::FailStart { .. } => self.end_session(connector, 10),
            _ => {}
        }
    }

    pub(super) fn lose_power(&mut self) {
        if self.powered {
            self.tell(What::PowerLost);
            self.power_off(6, false);
        }
    }

    pub(super) fn fault(&mut self, connector: usize, code: u16, text: &str) {
        self.connectors[connector].fault = Some(format!("{}: {text}", reason_text(code)));
        self.event(
            self.connectors[connector].no,
            EventKind::Fault,
            i32::from(code),
            reason_text(code),
        );
        self.end_session(connector, code);
        self.after(FAULT_LASTS_MS, Timer::ClearFault { connector });
    }

    pub(super) fn emergency_stop(&mut self, connector: usize) {
        self.connectors[connector].fault = Some("emergency stop".to_owned());
        self.event(self.connectors[connector].no, EventKind::Estop, 2, "emergency stop");
        self.end_session(connector, 2);
        self.after(FAULT_LASTS_MS, Timer::ClearFault { connector });
    }

    pub(super) fn clear_fault(&mut self, connector: usize) {
        if self.connectors[connector].fault.take().is_some() {
            self.event(self.connectors[connector].no, EventKind::FaultCleared, 0, "");
        }
    }

    /// Ends the session on this connector, if there is one, with a reason code of the contract.
    pub(super) fn end_session(&mut self, connector: usize, reason: u16) {
        let at = &mut self.connectors[connector];
        let Some(session) = at.session.take() else { return };
        let delivered = session.energy(self.now);
        let counted = session.meter(self.now);
        // What the register shows of it: the same, unless it is a coarse one.
        let shown = Energy(counted.0 - counted.0.rem_euclid(at.step.0)) - {
            let start = counted - delivered;
            Energy(start.0 - start.0.rem_euclid(at.step.0))
        };
        let counted_fee = session.counted_fee(self.now);
        let stop_reason = StopReason {
            code: reason,
            text: reason_text(reason).to_owned(),
        };
        let mut record = session.record(self.now, self.clock.as_ref(), self.boot.at, at.no, stop_reason);
        at.meter = counted;
        record.session_boot_id = self.spec.names_boot.then(|| self.boot.id.clone());
        record.meter_start_kwh = at.shown(record.meter_start_kwh);
        record.meter_stop_kwh = at.shown(record.meter_stop_kwh);
        for sample in &mut record.samples {
            sample.meter_kwh = at.shown(sample.meter_kwh);
        }
        if let Some(plugged) = at.plugged.as_mut() {
            plugged.finished = true;
            record.soc_stop = plugged.car.as_ref().map(|car| car.soc_pct(delivered));
            if let Some(car) = plugged.car.as_mut() {
                car.stored += delivered;
            }
        }
        self.let_the_register_lie(connector, &mut record);
        self.split_by_period(&mut record);
        self.tally.sessions += 1;
        self.tally.visits += 1;
        self.tell(What::Stopped {
            connector: record.connector,
            order_id: record.order_id.clone(),
            reason,
            meter_kwh: record.meter_stop_kwh,
            energy_kwh: shown,
            counted_fee,
        });
        if self.behaves(|b| *b == Behaviour::ShortRecord) && shown > Energy(1) {
            self.held_back.push(record.clone());
            record.meter_stop_kwh = record.meter_start_kwh + Energy(shown.0 / 2);
            record
                .samples
                .retain(|sample| sample.meter_kwh <= record.meter_stop_kwh);
        }
        let is_own = record.order_id.as_str().starts_with("off-");
        let role = if is_own { RecordRole::Own } else { RecordRole::Commanded };
        self.keep(Up::Record(Box::new(record)), Purpose::Record(role));
        self.outputs.push_back(Output::Persist);
        self.changed();
        self.customer_is_done(connector);
    }

    /// The session at a connector is gone, and nothing tells of it but the register.
    pub(super) fn forget_session(&mut self, connector: usize) {
        let now = self.now;
        let at = &mut self.connectors[connector];
        if let Some(session) = at.session.take() {
            at.meter = session.meter(now);
            self.tally.sessions += 1;
            self.tally.visits += 1;
            self.outputs.push_back(Output::Persist);
            self.changed();
        }
    }

    fn let_the_register_lie(&mut self, connector: usize, record: &mut Record) {
        for behaviour in &self.spec.behaviours {
            match behaviour {
                Behaviour::Meter(MeterFault::ZeroStart) => record.meter_start_kwh = Energy::ZERO,
                Behaviour::Meter(MeterFault::Backwards) => {
                    record.meter_stop_kwh = (record.meter_start_kwh - Energy(10_000)).max(Energy::ZERO);
                }
                Behaviour::Meter(MeterFault::Jump(by)) => {
                    record.meter_stop_kwh += *by;
                    self.connectors[connector].meter += *by;
                }
                _ => {}
            }
        }
    }

    /// Leaves the pile's own split out, or makes it a wrong one, where it was told to.
    fn split_by_period(&self, record: &mut Record) {
        let wrong = self.behaves(|b| *b == Behaviour::WrongPeriods);
        let split = record.periods.take().filter(|_| self.spec.periods || wrong);
        record.periods = split.map(|split| if wrong { shift_a_tenth(split) } else { split });
    }

    /// A record of an order that this pile made up from nothing.
    pub(super) fn send_orphan(&mut self) {
        let random = self.seed.bits();
        let ms = self.wall().map_or(0, |wall| wall.0);
        let order_id = OrderId::new(uuid_v7(ms, random)).expect("a UUID is an order id");
        let Some(connector) = self.connectors.first() else {
            return;
        };
        let uptime = self.now.ms_since(self.boot.at);
        let record = Record {
            order_id,
            connector: connector.no,
            start_ts: self.wall().map(|wall| wall.after_ms(-600_000)),
            stop_ts: self.wall(),
            start_mono_ms: uptime.saturating_sub(600_000),
            stop_mono_ms: uptime,
            meter_start_kwh: connector.meter - Energy(10_000),
            meter_stop_kwh: connector.meter,
            reason: StopReason {
                code: 0,
                text: reason_text(0).to_owned(),
            },
            offline: true,
            soc_start: None,
            soc_stop: None,
            samples: Vec::new(),
            periods: None,
            card_id: None,
            signed: None,
            session_boot_id: None,
        };
        self.keep(Up::Record(Box::new(record)), Purpose::Record(RecordRole::Orphan));
    }
}

/// A tenth of the larger part goes to where it does not belong.
fn shift_a_tenth(split: Periods) -> Periods {
    let Periods {
        sharp_kwh,
        peak_kwh,
        flat_kwh,
        valley_kwh,
    } = split;
    let moved = Energy((sharp_kwh.max(peak_kwh).max(flat_kwh).max(valley_kwh)).0 / 10);
    if valley_kwh >= moved && valley_kwh > Energy::ZERO {
        Periods {
            valley_kwh: valley_kwh - moved,
            peak_kwh: peak_kwh + moved,
            ..split
        }
    } else if peak_kwh >= moved && peak_kwh > Energy::ZERO {
        Periods {
            peak_kwh: peak_kwh - moved,
            sharp_kwh: sharp_kwh + moved,
            ..split
        }
    } else if flat_kwh >= moved {
        Periods {
            flat_kwh: flat_kwh - moved,
            sharp_kwh: sharp_kwh + moved,
            ..split
        }
    } else {
        Periods {
            sharp_kwh: sharp_kwh - moved,
            flat_kwh: flat_kwh + moved,
            ..split
        }
    }
}

fn reason_text(code: u16) -> &'static str {
    match code {
        0 => "stopped by the user",
        1 => "fault",
        2 => "emergency stop",
        3 => "insulation",
        4 => "unplugged",
        5 => "over-temperature",
        6 => "power lost",
        7 => "full",
        8 => "limit reached",
        9 => "remote stop",
        10 => "start failed",
        _ => "other",
    }
}
