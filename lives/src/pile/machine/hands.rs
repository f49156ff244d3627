//! What people do at a pile: they come, plug, swipe, press and pull; in a script one by one, or as customers by themselves.
//! The grid and the network are here as well, as far as somebody plays with them.

use super::{
    super::{
        behaviour::{Behaviour, MeterFault},
        event::What,
        outbox::{Purpose, RecordRole},
        supply::Car,
    },
    Act, Body, Pile, Plugged, Timer,
};
use domain::{
    ids::{CardId, ConnectorNo},
    messages::{EventKind, Swipe, Up},
    units::Energy,
};

/// From one car's leaving to the next one's coming.
const NEXT_CAR_MS: u64 = 5_000;
/// From plugging in to the first swipe.
const SWIPE_AFTER_MS: u64 = 2_000;
/// Between swipes of somebody whose swipe led to nothing.
const SWIPE_AGAIN_MS: u64 = 60_000;

impl Pile {
    pub(super) fn act(&mut self, act: Act) {
        match act {
            Act::Plug { connector, car } => {
                if let Some(at) = self.there(connector) {
                    self.plug(at, car);
                }
            }
            Act::Unplug { connector } => {
                if let Some(at) = self.there(connector) {
                    self.unplug(at);
                }
            }
            Act::StopAtPile { connector } => {
                if let Some(at) = self.there(connector) {
                    self.end_session(at, 0);
                }
            }
            Act::Swipe { connector, card_id } => {
                if let Some(at) = self.there(connector) {
                    self.swipe(at, card_id);
                }
            }
            Act::CutNetwork => {
                self.cut_network();
            }
            Act::RestoreNetwork => self.network_back(self.network.cuts),
            Act::Fault { connector, code, text } => {
                if let Some(at) = self.there(connector) {
                    self.fault(at, code, &text);
                }
            }
            Act::ClearFault { connector } => {
                if let Some(at) = self.there(connector) {
                    self.clear_fault(at);
                }
            }
            Act::EmergencyStop { connector } => {
                if let Some(at) = self.there(connector) {
                    self.emergency_stop(at);
                }
            }
            Act::PowerOff => self.lose_power(),
            Act::PowerOn => {
                self.timers.retain(|_, timer| !matches!(timer, Timer::PowerOn));
                self.timer(Timer::PowerOn);
            }
            Act::Pause { connector } => {
                if let Some(at) = self.there(connector) {
                    self.pause(at, true);
                }
            }
            Act::Resume { connector } => {
                if let Some(at) = self.there(connector) {
                    self.pause(at, false);
                }
            }
            Act::ForgetSession { connector } => {
                if let Some(at) = self.there(connector) {
                    self.forget_session(at);
                }
            }
            Act::Hush { connector, hushed } => {
                if let Some(at) = self.there(connector) {
                    self.connectors[at].hushed = hushed;
                    self.changed();
                }
            }
            Act::Slip { connector, by } => {
                if let Some(at) = self.there(connector) {
                    self.connectors[at].slip = Some(by);
                    self.changed();
                }
            }
            Act::Bounce { connector, times } => {
                for _ in 0..times {
                    self.event(connector, EventKind::Plugged, 0, "");
                    self.event(connector, EventKind::Unplugged, 0, "");
                }
            }
            Act::Leak { connector, energy } => {
                if let Some(at) = self.there(connector)
                    && self.connectors[at].session.is_none()
                {
                    self.connectors[at].meter += energy;
                    self.outputs.push_back(super::Output::Persist);
                }
            }
            Act::Behave(behaviours) => self.spec.behaviours = behaviours,
            Act::StepClock { by_ms } => self.step_clock(by_ms),
            Act::SendRecord(record) => self.keep(Up::Record(record), Purpose::Record(RecordRole::Scripted)),
            Act::SendRaw { kind, payload } => {
                if self.is_linked() {
                    self.sent_garbage = true;
                    let token = self.number();
                    self.publish(token, true, Body::Raw { kind, payload });
                }
            }
            Act::Retire => self.retire(),
        }
    }

    fn pause(&mut self, connector: usize, paused: bool) {
        let now = self.now;
        if let Some(session) = self.connectors[connector].session.as_mut() {
            if paused {
                session.pause(now);
            } else {
                session.resume(now);
            }
            self.changed();
        }
    }

    fn there(&mut self, connector: ConnectorNo) -> Option<usize> {
        let found = self.find(connector);
        if found.is_none() {
            self.unexpected(format!(
                "somebody looks for connector {connector}, which this pile does not have"
            ));
        }
        found
    }

    fn plug(&mut self, connector: usize, car: Option<Car>) {
        if self.connectors[connector].plugged.is_some() {
            return;
        }
        let car = car.or(self.spec.car);
        for behaviour in &self.spec.behaviours {
            let meter = &mut self.connectors[connector].meter;
            match behaviour {
                Behaviour::Meter(MeterFault::Gap(by)) => *meter += *by,
                Behaviour::Meter(MeterFault::Rollback(by)) => *meter = (*meter - *by).max(Energy::ZERO),
                _ => {}
            }
        }
        self.connectors[connector].plugged = Some(Plugged { car, finished: false });
        self.event(self.connectors[connector].no, EventKind::Plugged, 0, "");
    }

    pub(super) fn unplug(&mut self, connector: usize) {
        if self.connectors[connector].plugged.is_some() {
            self.end_session(connector, 4);
            self.connectors[connector].plugged = None;
            self.event(self.connectors[connector].no, EventKind::Unplugged, 0, "");
        }
    }

    /// Online a swipe is the station's business. Offline the pile ends its own session for the card, or begins one for a
    /// card it knows; any other swipe is lost, for swipes are never queued.
    fn swipe(&mut self, connector: usize, card_id: CardId) {
        let at = &self.connectors[connector];
        let no = at.no;
        let ends = at
            .session
            .as_ref()
            .is_some_and(|session| session.card_id.as_ref() == Some(&card_id));
        let free = at.session.is_none() && at.plugged.is_some() && at.fault.is_none() && self.powered;
        if ends {
            self.end_session(connector, 0);
        } else if self.is_linked() {
            self.tell(What::Swiped {
                connector: no,
                card_id: card_id.clone(),
            });
            self.send_now(Up::Card(Swipe { connector: no, card_id }));
        } else if free && self.spec.offline_cards.contains(&card_id) {
            self.begin_own(connector, card_id);
        } else {
            self.tell(What::SwipeLost { connector: no, card_id });
        }
    }

    fn retire(&mut self) {
        self.retired = true;
        self.timers.retain(|_, timer| {
            !matches!(
                timer,
                Timer::CarComes { .. }
                    | Timer::CardSwiped { .. }
                    | Timer::OfflineCard { .. }
                    | Timer::Garbage { .. }
                    | Timer::Flap { .. }
            )
        });
        for connector in 0..self.connectors.len() {
            self.end_session(connector, 6);
        }
        self.network_back(self.network.cuts);
    }

    /// What a pile was set up to do from the beginning, whoever comes.
    pub(super) fn begin_life(&mut self) {
        if self.spec.customers.is_some() {
            for connector in 0..self.connectors.len() {
                self.after(1_000, Timer::CarComes { connector });
            }
        }
        for behaviour in self.spec.behaviours.clone() {
            match behaviour {
                Behaviour::OfflineCard { card, after_ms, for_ms } => {
                    self.after(after_ms, Timer::OfflineCard { card, for_ms });
                }
                Behaviour::Flapping { every_ms, for_ms } => self.after(every_ms, Timer::Flap { every_ms, for_ms }),
                Behaviour::Garbage { every_ms } => self.after(every_ms, Timer::Garbage { every_ms, turn: 0 }),
                _ => {}
            }
        }
    }

    /// The network goes, comes back, and will go again.
    pub(super) fn flap(&mut self, every_ms: u64, for_ms: u64) {
        let cut = self.cut_network();
        self.after(for_ms, Timer::NetworkBack { cut });
        self.after(every_ms, Timer::Flap { every_ms, for_ms });
    }

    fn nobody_comes_any_more(&self) -> bool {
        let most = self.spec.customers.as_ref().and_then(|customers| customers.visits_max);
        self.retired || most.is_some_and(|most| self.tally.visits >= most)
    }

    pub(super) fn car_comes(&mut self, connector: usize) {
        if self.nobody_comes_any_more() {
            return;
        }
        self.plug(connector, None);
        let session_no = self.connectors[connector].session_no;
        if self
            .spec
            .customers
            .as_ref()
            .is_some_and(|customers| customers.card.is_some())
        {
            self.after(SWIPE_AFTER_MS, Timer::CardSwiped { connector, session_no });
        }
    }

    pub(super) fn customer_swipes(&mut self, connector: usize, session_no: u64) {
        let at = &self.connectors[connector];
        let still_waits = at.session_no == session_no && at.session.is_none() && at.plugged.is_some();
        let card = self
            .spec
            .customers
            .as_ref()
            .and_then(|customers| customers.card.clone());
        if let Some(card) = card.filter(|_| still_waits && !self.nobody_comes_any_more()) {
            self.swipe(connector, card);
            self.after(SWIPE_AGAIN_MS, Timer::CardSwiped { connector, session_no });
        }
    }

    pub(super) fn customer_is_done(&mut self, connector: usize) {
        if let Some(pause_ms) = self.spec.customers.as_ref().map(|customers| customers.pause_ms) {
            let session_no = self.connectors[connector].session_no;
            self.after(pause_ms, Timer::CarLeaves { connector, session_no });
        }
    }

    pub(super) fn car_leaves(&mut self, connector: usize, session_no: u64) {
        let at = &self.connectors[connector];
        if at.session_no == session_no && at.session.is_none() {
            self.unplug(connector);
            self.after(NEXT_CAR_MS, Timer::CarComes { connector });
        }
    }

    /// Somebody with a card comes just when the network is gone.
    pub(super) fn offline_card(&mut self, card: CardId, for_ms: u64) {
        let free = |at: &super::Connector| at.session.is_none() && at.fault.is_none();
        let Some(connector) = self.connectors.iter().position(free).filter(|_| self.powered) else {
            return self.after(SWIPE_AGAIN_MS, Timer::OfflineCard { card, for_ms });
        };
        let cut = self.cut_network();
        self.plug(connector, None);
        self.begin_own(connector, card);
        let session_no = self.connectors[connector].session_no;
        self.after(
            for_ms,
            Timer::OfflineCardEnds {
                connector,
                session_no,
                cut,
            },
        );
    }

    pub(super) fn offline_card_ends(&mut self, connector: usize, session_no: u64, cut: u64) {
        if self.connectors[connector].session_no == session_no {
            self.end_session(connector, 0);
        }
        self.after(NEXT_CAR_MS, Timer::NetworkBack { cut });
    }
}
