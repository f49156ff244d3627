//! A pile as a state machine: time, messages and people's hands go in, messages and events come out.
//! No I/O, no clock, no randomness but its seed's; whatever drives it (sockets, a virtual world) drives the same pile.

mod commands;
mod garbage;
mod hands;
mod link;
mod sessions;

use super::{
    behaviour::Behaviour,
    clock::Clock,
    event::{PileEvent, What},
    outbox::{Outbox, RecordRole},
    prices::PriceTable,
    session::{Session, SessionDue},
    spec::{Flash, PileSpec},
    supply::Car,
    wire,
};
use crate::seed::Seed;
use domain::{
    ids::{BootId, CardId, ConnectorNo, MsgId, PileId},
    messages::{CommandMessage, Down, Record, UpMessage},
    time::{Mono, Wall},
    topics,
    units::{Energy, Power},
};
use std::collections::{BTreeMap, VecDeque};

/// What reaches a pile.
#[derive(Debug, Clone)]
pub enum Input {
    /// Time has passed.
    Wake,
    /// The connection asked for by [`Output::Connect`] stands and is subscribed.
    LinkUp {
        /// Which one.
        attempt: u64,
    },
    /// It could not be made, or is gone.
    LinkDown {
        /// Which one.
        attempt: u64,
        /// Why.
        reason: String,
    },
    /// The broker acknowledged a QoS 1 publish.
    Puback {
        /// Which one.
        token: u64,
    },
    /// The station says something.
    Down(Down),
    /// The station says something that cannot be read.
    Unreadable {
        /// What is wrong with it.
        detail: String,
    },
    /// Somebody does something to the pile.
    Act(Act),
}

/// What people, the grid and the network do to a pile.
#[derive(Debug, Clone)]
pub enum Act {
    /// Plug a car in: this one, or the one that the spec names.
    Plug {
        /// Where.
        connector: ConnectorNo,
        /// Which car.
        car: Option<Car>,
    },
    /// Pull the plug out; a running session ends with reason 4.
    Unplug {
        /// Where.
        connector: ConnectorNo,
    },
    /// Press stop at the pile; a running session ends with reason 0.
    StopAtPile {
        /// Where.
        connector: ConnectorNo,
    },
    /// Swipe a card.
    Swipe {
        /// Where.
        connector: ConnectorNo,
        /// Which.
        card_id: CardId,
    },
    /// Pull the network cable out: the socket closes without a word.
    CutNetwork,
    /// Put it back.
    RestoreNetwork,
    /// Let a fault happen; a running session ends with `code`.
    Fault {
        /// Where.
        connector: ConnectorNo,
        /// The reason code of the contract.
        code: u16,
        /// The pile's words.
        text: String,
    },
    /// Clear a fault, or release the emergency stop.
    ClearFault {
        /// Where.
        connector: ConnectorNo,
    },
    /// Press the emergency stop; a running session ends with reason 2.
    EmergencyStop {
        /// Where.
        connector: ConnectorNo,
    },
    /// Take the power away; running sessions end with reason 6.
    PowerOff,
    /// Give it back.
    PowerOn,
    /// From now on behave like this. What was set off before still happens.
    Behave(Vec<Behaviour>),
    /// The car at a connector takes nothing for a while; the session goes on.
    Pause {
        /// Where.
        connector: ConnectorNo,
    },
    /// It goes on taking.
    Resume {
        /// Where.
        connector: ConnectorNo,
    },
    /// The firmware forgets the session at a connector: it ends, and leaves no record.
    ForgetSession {
        /// Where.
        connector: ConnectorNo,
    },
    /// Heartbeats leave a connector out, and boots name no order there; or not any more.
    Hush {
        /// Where.
        connector: ConnectorNo,
        /// Whether it is left out from now on.
        hushed: bool,
    },
    /// The next message that shows a connector's register shows it wrong.
    Slip {
        /// Where.
        connector: ConnectorNo,
        /// By so much.
        by: Energy,
    },
    /// The contact of a connector bounces: the pile says that a car was plugged in and that it was unplugged.
    Bounce {
        /// Where.
        connector: ConnectorNo,
        /// How often it says both.
        times: u32,
    },
    /// The register of a connector counts what nobody ordered.
    Leak {
        /// Where.
        connector: ConnectorNo,
        /// So much.
        energy: Energy,
    },
    /// Put the pile's clock forward (negative: back).
    StepClock {
        /// By so many milliseconds.
        by_ms: i64,
    },
    /// Send this record, whatever it says, and repeat it until it is acknowledged.
    SendRecord(Box<Record>),
    /// Send these bytes to `up/{kind}`, once, if there is a connection.
    SendRaw {
        /// The last level of the topic.
        kind: String,
        /// The payload.
        payload: Vec<u8>,
    },
    /// End all sessions as if the power went, let nobody come any more, but stay connected for the acknowledgements.
    Retire,
}

/// What a pile wants done.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Open a connection, subscribe to `down/#`, then say [`Input::LinkUp`] or [`Input::LinkDown`].
    Connect {
        /// Goes into the answer.
        attempt: u64,
    },
    /// Close the connection.
    Disconnect {
        /// With an MQTT DISCONNECT after what was published; otherwise at once and without a word.
        clean: bool,
    },
    /// Publish a message.
    Publish(Publish),
    /// Something happened.
    Event(PileEvent),
    /// [`Pile::flash`] has changed.
    Persist,
}

/// A message on its way out.
#[derive(Debug, Clone, PartialEq)]
pub struct Publish {
    /// Goes into [`Input::Puback`].
    pub token: u64,
    /// QoS 1, otherwise 0.
    pub qos1: bool,
    /// What it says.
    pub body: Body,
}

/// What a message on its way out says.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// Something the contract knows.
    Message(UpMessage),
    /// Something else, on purpose.
    Raw {
        /// The last level of the topic.
        kind: String,
        /// The payload.
        payload: Vec<u8>,
    },
}

impl Publish {
    /// Where it goes.
    pub fn topic(&self, pile: &PileId) -> String {
        match &self.body {
            Body::Message(message) => topics::up(pile, wire::kind_of(&message.body)),
            Body::Raw { kind, .. } => wire::up_topic(pile, kind),
        }
    }

    /// Its bytes.
    pub fn payload(&self) -> Vec<u8> {
        match &self.body {
            Body::Message(message) => wire::write_up(message),
            Body::Raw { payload, .. } => payload.clone(),
        }
    }
}

/// How a pile is doing, in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// Whether it is connected.
    pub linked: bool,
    /// Sessions that are running.
    pub charging: usize,
    /// Sessions that have ended.
    pub sessions: u32,
    /// Sessions that have ended, and starts that were refused or ignored.
    pub visits: u32,
    /// Records without an `ack`.
    pub unacked_records: usize,
    /// Heartbeats sent.
    pub heartbeats: u64,
    /// [`What::Unexpected`] events.
    pub unexpected: u32,
}

/// The simulated pile.
#[derive(Debug)]
pub struct Pile {
    spec: PileSpec,
    now: Mono,
    seed: Seed,
    powered: bool,
    boot: BootState,
    offline_sessions: u64,
    clock: Option<Clock>,
    link: Link,
    network: Network,
    connectors: Vec<Connector>,
    outbox: Outbox,
    answers: commands::Answers,
    /// Acknowledged records, for `request_record`.
    history: VecDeque<Record>,
    /// The true records behind short ones, which follow those.
    held_back: Vec<Record>,
    prices: Option<PriceTable>,
    timers: BTreeMap<(Mono, u64), Timer>,
    /// Counts timers, publishes and sessions: whatever needs a number of its own.
    numbers: u64,
    heartbeat_at: Mono,
    orphan_sent: bool,
    retired: bool,
    /// Whether anything that breaks the contract was sent, so that `malformed` is no surprise.
    sent_garbage: bool,
    tally: Status,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
struct BootState {
    count: u64,
    id: BootId,
    at: Mono,
    seq: u64,
    messages: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    /// A timer will try again, or the network or power is gone.
    Down,
    Connecting(u64),
    Up(u64),
}

#[derive(Debug)]
struct Network {
    up: bool,
    /// Which cut it was, so that an old timer does not end a later one.
    cuts: u64,
    attempts: u64,
    failures: u32,
}

#[derive(Debug)]
struct Connector {
    no: ConnectorNo,
    max_power: Power,
    meter: Energy,
    step: Energy,
    rolls_over_at: Option<Energy>,
    /// What the next reading shows too much.
    slip: Option<Energy>,
    /// Left out of heartbeats.
    hushed: bool,
    plugged: Option<Plugged>,
    session: Option<Session>,
    /// The number of the running session, or of the last one.
    session_no: u64,
    fault: Option<String>,
}

impl Connector {
    /// What its register shows when it has counted so much.
    fn shown(&self, counted: Energy) -> Energy {
        let shown = counted.0 - counted.0.rem_euclid(self.step.0);
        Energy(
            self.rolls_over_at
                .map_or(shown, |digits| shown.rem_euclid(digits.0.max(1))),
        )
    }

    /// What it shows this once.
    fn slips(&mut self, shown: Energy) -> Energy {
        self.slip.take().map_or(shown, |by| (shown + by).max(Energy::ZERO))
    }
}

#[derive(Debug)]
struct Plugged {
    car: Option<Car>,
    finished: bool,
}

/// Something that will happen at a set time.
#[derive(Debug, Clone)]
enum Timer {
    Reconnect,
    PowerOn,
    Reboot,
    NetworkBack {
        cut: u64,
    },
    Command {
        command: CommandMessage,
        received: Mono,
    },
    LateStart {
        command: CommandMessage,
    },
    Incident {
        connector: usize,
        session_no: u64,
        incident: Behaviour,
    },
    ClearFault {
        connector: usize,
    },
    CarComes {
        connector: usize,
    },
    CarLeaves {
        connector: usize,
        session_no: u64,
    },
    CardSwiped {
        connector: usize,
        session_no: u64,
    },
    OfflineCard {
        card: CardId,
        for_ms: u64,
    },
    OfflineCardEnds {
        connector: usize,
        session_no: u64,
        cut: u64,
    },
    Garbage {
        every_ms: u64,
        turn: u64,
    },
    Flap {
        every_ms: u64,
        for_ms: u64,
    },
}

#[derive(Debug)]
enum Due {
    Session(usize, SessionDue),
    Timer((Mono, u64)),
    Record(MsgId),
    Heartbeat,
}

impl Pile {
    /// Switches a pile on at `now`. The elapsed times of all inputs are on the same clock.
    pub fn new(mut spec: PileSpec, flash: Flash, now: Mono) -> Self {
        for behaviour in &spec.behaviours {
            if let (Behaviour::ClockOff { ahead_ms }, Some(clock)) = (behaviour, spec.clock.as_mut()) {
                clock.start = clock.start.after_ms(*ahead_ms);
                clock.follows_station = false;
            }
        }
        let connectors = spec.connectors.iter().enumerate().map(|(at, connector)| Connector {
            no: ConnectorNo(u8::try_from(at + 1).unwrap_or(u8::MAX)),
            max_power: connector.max_power,
            meter: flash.meters.get(at).copied().unwrap_or(connector.meter),
            step: connector.step.max(Energy(1)),
            rolls_over_at: connector.rolls_over_at,
            slip: None,
            hushed: false,
            plugged: None,
            session: None,
            session_no: 0,
            fault: None,
        });
        let mut pile = Self {
            now,
            seed: Seed::for_part(spec.seed, spec.id.as_str()),
            powered: false,
            boot: BootState {
                count: flash.boots,
                id: link::boot_id(&spec.boot_tag, 0),
                at: now,
                seq: 0,
                messages: 0,
            },
            offline_sessions: flash.offline_sessions,
            clock: spec.clock.map(|clock| Clock::new(now, clock.start, clock.drift_ppm)),
            link: Link::Down,
            network: Network {
                up: true,
                cuts: 0,
                attempts: 0,
                failures: 0,
            },
            connectors: connectors.collect(),
            outbox: Outbox::default(),
            answers: commands::Answers::default(),
            history: VecDeque::new(),
            held_back: Vec::new(),
            prices: None,
            timers: BTreeMap::new(),
            numbers: 0,
            heartbeat_at: now,
            orphan_sent: false,
            retired: false,
            sent_garbage: false,
            tally: Status::default(),
            outputs: VecDeque::new(),
            spec,
        };
        pile.power_on(
            flash
                .records
                .into_iter()
                .map(|record| (record, RecordRole::Own))
                .collect(),
        );
        pile.begin_life();
        pile
    }

    /// Takes an input at `now`, after everything that was due before it. Time never runs backwards: an earlier `now`
    /// counts as the latest one.
    pub fn handle(&mut self, now: Mono, input: Input) {
        self.run_until(now);
        match input {
            Input::Wake => {}
            Input::LinkUp { attempt } => self.link_up(attempt),
            Input::LinkDown { attempt, reason } => self.link_down(attempt, reason),
            Input::Puback { token } => self.puback(token),
            Input::Down(down) => self.hear(down),
            Input::Unreadable { detail } => self.unexpected(detail),
            Input::Act(act) => self.act(act),
        }
        self.run_until(now);
    }

    /// The next thing to do or to tell, if there is any.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to say [`Input::Wake`] at the latest; later does no harm, as what was due is done at its own time.
    pub fn next_wake(&self) -> Option<Mono> {
        self.next_due().map(|(at, _)| at)
    }

    /// Which pile it is.
    pub fn id(&self) -> &PileId {
        &self.spec.id
    }

    /// How it is doing.
    pub fn status(&self) -> Status {
        Status {
            linked: matches!(self.link, Link::Up(_)),
            charging: self
                .connectors
                .iter()
                .filter(|connector| connector.session.is_some())
                .count(),
            unacked_records: self.outbox.records(),
            ..self.tally.clone()
        }
    }

    /// What it would find after a loss of power.
    pub fn flash(&self) -> Flash {
        let is_own = |role: RecordRole| matches!(role, RecordRole::Commanded | RecordRole::Own);
        Flash {
            boots: self.boot.count,
            offline_sessions: self.offline_sessions,
            meters: self
                .connectors
                .iter()
                .map(|connector| self.meter_of(connector))
                .collect(),
            records: self
                .outbox
                .kept_records()
                .filter(|(_, role)| is_own(*role))
                .map(|(r, _)| r.clone())
                .collect(),
        }
    }

    /// What the register of a connector shows; `None` where there is no such connector.
    pub fn meter(&self, connector: ConnectorNo) -> Option<Energy> {
        self.connectors
            .iter()
            .find(|known| known.no == connector)
            .map(|known| known.shown(self.meter_of(known)))
    }

    fn meter_of(&self, connector: &Connector) -> Energy {
        connector
            .session
            .as_ref()
            .map_or(connector.meter, |session| session.meter(self.now))
    }

    fn run_until(&mut self, now: Mono) {
        while let Some((at, due)) = self.next_due().filter(|(at, _)| *at <= now) {
            self.now = self.now.max(at);
            self.fire(due);
        }
        self.now = self.now.max(now);
    }

    /// The earliest of everything that will happen by itself. At the same millisecond sessions come first, so that a
    /// reading at a boundary is kept before anything ends the session, and heartbeats last, so that they tell the result.
    fn next_due(&self) -> Option<(Mono, Due)> {
        let mut first: Option<(Mono, Due)> = None;
        let mut offer = |at: Mono, due: Due| {
            if first.as_ref().is_none_or(|(earliest, _)| at < *earliest) {
                first = Some((at, due));
            }
        };
        for (index, connector) in self.connectors.iter().enumerate() {
            if let Some((at, due)) = connector.session.as_ref().and_then(Session::next_due) {
                offer(at, Due::Session(index, due));
            }
        }
        if let Some(key) = self.timers.keys().next() {
            offer(key.0, Due::Timer(*key));
        }
        if self.is_linked() {
            if let Some((at, id)) = self.outbox.next_retry() {
                offer(at, Due::Record(id));
            }
            offer(self.heartbeat_at, Due::Heartbeat);
        }
        first
    }

    fn fire(&mut self, due: Due) {
        match due {
            Due::Session(connector, due) => self.session_due(connector, due),
            Due::Timer(key) => {
                if let Some(timer) = self.timers.remove(&key) {
                    self.timer(timer);
                }
            }
            Due::Record(id) => self.transmit(&id),
            Due::Heartbeat => self.send_heartbeat(),
        }
    }

    fn timer(&mut self, timer: Timer) {
        match timer {
            Timer::Reconnect => self.connect(),
            Timer::PowerOn => {
                let records = if self.powered {
                    Vec::new()
                } else {
                    self.clock_at_power_on();
                    self.outbox.take_records()
                };
                self.power_on(records);
            }
            Timer::Reboot => self.reboot(),
            Timer::NetworkBack { cut } => self.network_back(cut),
            Timer::Command { command, received } => self.act_on(command, received),
            Timer::LateStart { command } => self.start(command, self.now),
            Timer::Incident {
                connector,
                session_no,
                incident,
            } => self.incident(connector, session_no, &incident),
            Timer::ClearFault { connector } => self.clear_fault(connector),
            Timer::CarComes { connector } => self.car_comes(connector),
            Timer::CarLeaves { connector, session_no } => self.car_leaves(connector, session_no),
            Timer::CardSwiped { connector, session_no } => self.customer_swipes(connector, session_no),
            Timer::OfflineCard { card, for_ms } => self.offline_card(card, for_ms),
            Timer::OfflineCardEnds {
                connector,
                session_no,
                cut,
            } => self.offline_card_ends(connector, session_no, cut),
            Timer::Flap { every_ms, for_ms } => self.flap(every_ms, for_ms),
            Timer::Garbage { every_ms, turn } => self.send_garbage(every_ms, turn),
        }
    }

    fn after(&mut self, ms: u64, timer: Timer) {
        let number = self.number();
        self.timers.insert((self.now.after_ms(ms), number), timer);
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn wall(&self) -> Option<Wall> {
        self.clock.as_ref().map(|clock| clock.wall(self.now))
    }

    fn tell(&mut self, what: What) {
        if matches!(what, What::Unexpected { .. }) {
            self.tally.unexpected += 1;
        }
        let event = PileEvent {
            pile: self.spec.id.clone(),
            at_ms: self.now,
            ts: self.wall(),
            what,
        };
        self.outputs.push_back(Output::Event(event));
    }

    fn unexpected(&mut self, detail: impl Into<String>) {
        self.tell(What::Unexpected { detail: detail.into() });
    }

    fn behaves(&self, is: impl Fn(&Behaviour) -> bool) -> bool {
        self.spec.behaviours.iter().any(is)
    }

    fn find(&self, connector: ConnectorNo) -> Option<usize> {
        self.connectors.iter().position(|known| known.no == connector)
    }
}

#[cfg(test)]
mod tests;
