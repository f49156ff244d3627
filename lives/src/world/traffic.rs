//! What passes between piles and the station, and what becomes of it on the way.

use super::{
    Event, MINUTE, SECOND, Time, World,
    coverage::Oddity,
    illtyped,
    net::KEEP_ALIVE_MS,
    oracle,
    physics::Session,
    station::{Job, Slip},
};
use crate::{
    pile::{Behaviour, Body, Input, Output, Publish, What, wire},
    seed::Seed,
};
use domain::{
    ids::PileId,
    messages::{self, AckResult, Down, Up},
    site::{Effect, Input as SiteInput, Told},
    topics::{self, UpKind},
    units::{Energy, Power},
};
use edge::{
    gate,
    station::{
        Refused, Reply, Request,
        writer::{Committed, Work},
    },
};

/// A publish on its way to the station.
#[derive(Debug, Clone)]
pub(super) struct Parcel {
    pile: usize,
    attempt: u64,
    token: u64,
    qos1: bool,
    topic: String,
    payload: Vec<u8>,
    record: Option<String>,
}

/// Connections are told apart across changes of a pile's board, which counts its own from the beginning.
const ATTEMPTS_OF_A_BOARD: u64 = 1 << 32;

/// Requests that have a number from here on are directives of head office's.
pub(super) const DIRECTIVES: u64 = 1 << 40;

type Step = Result<(), String>;

impl World {
    /// Gives a pile something to react to, and does what it wants done.
    pub(super) fn tell_pile(&mut self, pile: usize, input: Input) -> Step {
        let now = self.mono();
        self.units[pile].pile.handle(now, input);
        while let Some(output) = self.units[pile].pile.poll() {
            match output {
                Output::Connect { attempt } => {
                    let board = u64::from(self.units[pile].replaced);
                    self.connect(pile, board * ATTEMPTS_OF_A_BOARD + attempt);
                }
                Output::Disconnect { clean } => self.pile_leaves(pile, clean),
                Output::Publish(publish) => self.publish(pile, publish),
                Output::Event(event) => {
                    self.note(|| format!("{event}"));
                    self.pile_tells(pile, event.what)?;
                }
                Output::Persist => {}
            }
        }
        Ok(())
    }

    /// A connection could not be made, or is gone.
    pub(super) fn link_fails(&mut self, pile: usize, attempt: u64, reason: &str) -> Step {
        if attempt / ATTEMPTS_OF_A_BOARD != u64::from(self.units[pile].replaced) {
            return Ok(());
        }
        let attempt = attempt % ATTEMPTS_OF_A_BOARD;
        let reason = reason.to_owned();
        self.tell_pile(pile, Input::LinkDown { attempt, reason })
    }

    fn link(&mut self, pile: usize) -> &mut super::net::Link {
        let id = self.units[pile].id.clone();
        self.links.entry(id).or_default()
    }

    fn connect(&mut self, pile: usize, attempt: u64) {
        let now = self.now;
        let way = !self.link(pile).is_stalled(now) && self.process.is_some();
        let event = if way {
            Event::LinkMade { pile, attempt }
        } else {
            Event::LinkFails { pile, attempt }
        };
        let takes = if way {
            self.between(20, 300)
        } else {
            self.between(SECOND, 20 * SECOND)
        };
        self.after(takes, event);
    }

    fn pile_leaves(&mut self, pile: usize, clean: bool) {
        let now = self.now;
        let link = self.link(pile);
        let Some(attempt) = link.pile_side.take() else { return };
        let (after, dropped) = if clean && !link.is_stalled(now) {
            (link.up_arrival(now, 200) - now, false)
        } else {
            (KEEP_ALIVE_MS, true)
        };
        self.after(after, Event::StationNotices { pile, attempt, dropped });
    }

    pub(super) fn link_made(&mut self, pile: usize, attempt: u64) -> Step {
        let now = self.now;
        if self.link(pile).is_stalled(now) || self.process.is_none() {
            return self.link_fails(pile, attempt, "no answer");
        }
        if attempt / ATTEMPTS_OF_A_BOARD != u64::from(self.units[pile].replaced) {
            return Ok(());
        }
        let before = self.link(pile).station_side;
        self.link(pile).begin(attempt, now);
        let id = self.units[pile].id.clone();
        if before.is_some() {
            self.push(of_pile(SiteInput::Disconnected {
                pile: id.clone(),
                dropped: false,
            }));
        }
        self.push(of_pile(SiteInput::Connected { pile: id }));
        let attempt = attempt % ATTEMPTS_OF_A_BOARD;
        self.tell_pile(pile, Input::LinkUp { attempt })?;
        if !self.units[pile].pile.status().linked {
            // It has gone meanwhile.
            self.pile_leaves(pile, true);
        }
        Ok(())
    }

    /// The station finds out that a connection is gone.
    pub(super) fn station_notices(&mut self, pile: usize, attempt: u64, dropped: bool) {
        if self.link(pile).station_side != Some(attempt) {
            return;
        }
        self.link(pile).station_side = None;
        let id = self.units[pile].id.clone();
        self.push(of_pile(SiteInput::Disconnected { pile: id, dropped }));
        if self.link(pile).pile_side == Some(attempt) {
            self.after(50, Event::PileNotices { pile, attempt });
        }
    }

    /// A pile finds out that its connection is gone.
    pub(super) fn pile_notices(&mut self, pile: usize, attempt: u64) -> Step {
        if self.link(pile).pile_side != Some(attempt) {
            return Ok(());
        }
        self.link(pile).pile_side = None;
        let dropped = true;
        self.after(KEEP_ALIVE_MS, Event::StationNotices { pile, attempt, dropped });
        self.link_fails(pile, attempt, "connection lost")
    }

    fn latency(&mut self) -> u64 {
        match self.rng.below(100) {
            0 => self.between(SECOND, 4 * SECOND),
            _ => self.between(5, 400),
        }
    }

    fn publish(&mut self, pile: usize, publish: Publish) {
        let now = self.now;
        let latency = self.latency();
        let Some(attempt) = self.link(pile).pile_side else {
            return;
        };
        let parcel = self.parcel(pile, attempt, &publish);
        if !parcel.qos1 {
            // It may be lost or overtaken.
            if !self.chance(2) {
                self.after(latency, Event::Up(parcel));
            }
            return;
        }
        let arrival = self.link(pile).up_arrival(now, latency);
        if self.chance(1) {
            self.at(arrival, Event::Up(parcel.clone()));
        }
        self.at(arrival, Event::Up(parcel));
    }

    /// What is on its way: now and then with a field that cannot be read.
    fn parcel(&mut self, pile: usize, attempt: u64, publish: &Publish) -> Parcel {
        let mut payload = publish.payload();
        let mut record = None;
        if let Body::Message(message) = &publish.body {
            let kind = wire::kind_of(&message.body);
            let mut name = format!("{}", self.units[pile].id);
            match &message.body {
                // It says the same, whenever it is said.
                Up::Record(record) => name.push_str(&oracle::content(record)),
                _ => name.push_str(&String::from_utf8_lossy(&payload)),
            }
            let mut seed = Seed::for_part(self.illtyped, &name);
            let garbled = illtyped::garble(kind, &payload, &mut seed);
            if let Some(garbled) = garbled {
                self.report.coverage.note_oddity(match kind {
                    UpKind::Record => Oddity::IllTypedRecord,
                    _ => Oddity::IllTypedMessage,
                });
                payload = garbled;
            }
            if kind == UpKind::Record {
                let read = messages::read_up(kind, &payload).ok();
                record = read.and_then(|message| match message.body {
                    Up::Record(record) => Some(oracle::content(&record)),
                    _ => None,
                });
            }
        }
        Parcel {
            pile,
            attempt,
            token: publish.token,
            qos1: publish.qos1,
            topic: publish.topic(&self.units[pile].id),
            payload,
            record,
        }
    }

    /// A publish is at the station's door.
    pub(super) fn up(&mut self, parcel: Parcel) -> Step {
        let now = self.now;
        let link = self.link(parcel.pile);
        if link.is_stalled(now) && link.station_side == Some(parcel.attempt) {
            let arrival = link.up_arrival(now, 1);
            self.at(arrival, Event::Up(parcel));
            return Ok(());
        }
        let broken = link.pile_side != Some(parcel.attempt);
        if link.station_side != Some(parcel.attempt) || (broken && self.chance(50)) {
            return Ok(());
        }
        let id = self.units[parcel.pile].id.clone();
        let Some((pile, kind)) = topics::parse_up(&parcel.topic) else {
            return Err(format!("a pile published to {}", parcel.topic));
        };
        debug_assert_eq!(pile, id);
        let (input, repeat_key) = gate::read(pile, kind, &parcel.payload);
        let receipt = parcel.qos1.then_some(Slip {
            pile: id,
            attempt: parcel.attempt,
            token: parcel.token,
            record: parcel.record,
        });
        self.push(Work::Pile {
            input,
            repeat_key,
            receipt,
        });
        Ok(())
    }

    pub(super) fn down(&mut self, pile: usize, attempt: u64, message: Box<Down>) -> Step {
        let now = self.now;
        let link = self.link(pile);
        if link.pile_side != Some(attempt) {
            return Ok(());
        }
        if link.is_stalled(now) {
            let arrival = link.down_arrival(now, 1);
            self.at(arrival, Event::Down { pile, attempt, message });
            return Ok(());
        }
        self.tell_pile(pile, Input::Down(*message))
    }

    pub(super) fn puback(&mut self, pile: usize, attempt: u64, token: u64) -> Step {
        let now = self.now;
        let link = self.link(pile);
        if link.pile_side != Some(attempt) {
            return Ok(());
        }
        if link.is_stalled(now) {
            let arrival = link.down_arrival(now, 1);
            self.at(arrival, Event::Puback { pile, attempt, token });
            return Ok(());
        }
        self.tell_pile(pile, Input::Puback { token })
    }

    pub(super) fn push(&mut self, job: Job) {
        if let Some(process) = &mut self.process {
            process.waiting.push_back(job);
        }
    }

    pub(super) fn request_arrives(&mut self, number: u64) {
        let Some((mut input, key)) = self.desk.input(number) else {
            return;
        };
        if let (SiteInput::TakeVoucher { epoch, .. }, Some(store)) = (&mut input, self.store()) {
            epoch.clone_from(&store.identity().epoch);
        }
        if self
            .desk
            .requests
            .get(&number)
            .is_none_or(|request| request.answer.is_some())
        {
            return;
        }
        // Whoever asks asks again until there is an answer.
        let again = self.between(10 * SECOND, 2 * MINUTE);
        self.after(again, Event::Asked(number));
        let request = Request {
            input: Some(input),
            key: Some(key),
            credentials: Vec::new(),
            respond: Box::new(|answer, _, _| Reply {
                body: match answer {
                    domain::site::Answer::Order(order) => order.to_string(),
                    _ => String::new(),
                },
                ..Reply::default()
            }),
        };
        self.push(Work::Asked {
            request: Box::new(request),
            guard: None,
            answer: number,
        });
    }

    /// The station is handed what head office has signed; what became of it is in `handed`, under this number.
    pub(super) fn hand_directive(&mut self, number: u64, told: Told) {
        let request = Request {
            input: Some(SiteInput::Directive(Box::new(told))),
            key: None,
            credentials: Vec::new(),
            respond: Box::new(|_, _, _| Reply::default()),
        };
        self.push(Work::Asked {
            request: Box::new(request),
            guard: None,
            answer: number,
        });
    }

    /// A commit is on disk: what it led to may be seen.
    pub(super) fn released(&mut self) -> Step {
        let Some(done) = self.process.as_mut().and_then(|process| process.under_way.take()) else {
            return Ok(());
        };
        // What an earlier commit or a tail of head office's says was told, or never will be.
        self.to_tell.clear();
        self.follow_journal()?;
        let Committed {
            receipts,
            effects,
            answers,
            ..
        } = done;
        for slip in receipts {
            if let Some(record) = slip.record.filter(|record| !self.oracle.records.contains(record)) {
                return Err(format!(
                    "{} got a PUBACK for a record that is not in the journal: {record}",
                    slip.pile
                ));
            }
            let Some(pile) = self.unit_of(&slip.pile) else { continue };
            let (now, latency) = (self.now, self.latency());
            let link = self.link(pile);
            if link.station_side == Some(slip.attempt) {
                let arrival = link.down_arrival(now, latency);
                let (attempt, token) = (slip.attempt, slip.token);
                self.at(arrival, Event::Puback { pile, attempt, token });
            }
        }
        for effect in effects {
            match effect {
                Effect::Send { pile, message } => self.send(&pile, &message)?,
                Effect::Disconnect { .. } => {}
                Effect::Notify { member, order, notice } => {
                    let told = (member, order, notice);
                    let place = self.to_tell.iter().position(|to_tell| *to_tell == told);
                    let place =
                        place.ok_or_else(|| format!("it is not journaled now that somebody is told {told:?}"))?;
                    self.to_tell.remove(place);
                }
            }
        }
        if let Some(untold) = self.to_tell.pop() {
            return Err(format!("nobody was told {untold:?}, and the journal says so"));
        }
        for (request, answer) in answers {
            if request >= DIRECTIVES {
                let taken = answer.map(drop).map_err(|refused| refused.to_string());
                self.handed.push((request, taken));
                continue;
            }
            let answer = match answer {
                Ok(reply) => Ok(reply.body),
                Err(Refused::ByRules(rejected)) => Err(rejected),
                Err(other) => return Err(format!("request {request}: {other}")),
            };
            self.check_answer(request, &answer)?;
            self.note(|| format!("request {request} is answered: {answer:?}"));
            let latency = self.latency();
            if !self.chance(3) {
                self.after(latency, Event::Answered { request, answer });
            }
        }
        self.pursue_faults()
    }

    fn send(&mut self, id: &PileId, message: &Down) -> Step {
        let topic = topics::down(id, message.kind());
        let message = wire::read_down(id, &topic, &message.to_json())?;
        let Some(pile) = self.unit_of(id) else { return Ok(()) };
        let (now, latency) = (self.now, self.latency());
        let Some(attempt) = self.link(pile).station_side else {
            return Ok(());
        };
        let arrival = self.link(pile).down_arrival(now, latency);
        let message = Box::new(message);
        if self.chance(1) {
            let message = message.clone();
            self.at(arrival, Event::Down { pile, attempt, message });
        }
        self.at(arrival, Event::Down { pile, attempt, message });
        Ok(())
    }

    /// What a pile saw, whatever the station knows of it.
    fn pile_tells(&mut self, pile: usize, what: What) -> Step {
        match what {
            What::Started {
                order_id, meter_kwh, ..
            } => {
                self.physics.started += 1;
                let unit = &self.units[pile];
                let dead = unit.behaves(|behaviour| matches!(behaviour, Behaviour::FailStart { .. }));
                let card = unit.visit.as_ref().map(|visit| visit.card.clone());
                if unit.step > Energy(1) {
                    self.report.coverage.note_oddity(Oddity::CoarseRegister);
                }
                let visit_power = unit.visit.as_ref().map_or(unit.power, |visit| visit.power);
                let session = Session {
                    pile: unit.id.clone(),
                    began: self.now,
                    ended: None,
                    meter_start: meter_kwh,
                    energy: None,
                    power: if dead { Power::ZERO } else { visit_power },
                    lies: unit.lies,
                    pauses: Vec::new(),
                    card: order_id.as_str().starts_with("off-").then_some(card).flatten(),
                    step: unit.step,
                };
                self.physics.sessions.entry(order_id).or_default().push(session);
            }
            What::Stopped {
                order_id, energy_kwh, ..
            } => {
                let now = self.now;
                let id = self.units[pile].id.clone();
                let session = self.physics.running(&id);
                let session = session.ok_or_else(|| format!("{id} ends {order_id}, which did not run"))?;
                (session.ended, session.energy) = (Some(now), Some(energy_kwh));
                if let Some(visit) = &mut self.units[pile].visit {
                    visit.ended = Some(now);
                }
            }
            What::RecordAcked {
                result: AckResult::Rejected,
                ..
            } => self.report.coverage.note_oddity(Oddity::SecondRecord),
            What::Booted { .. } => {
                if let Some(oddity) = self.units[pile].clock_oddity.filter(|_| self.now > 0) {
                    self.report.coverage.note_oddity(oddity);
                }
            }
            // An answer to what the board before it had sent is no fault.
            What::Unexpected { detail } if self.units[pile].replaced > 0 && detail.contains("an ack for") => {}
            What::Unexpected { detail } if self.restores == 0 => {
                return Err(format!("{} did not expect this: {detail}", self.units[pile].id));
            }
            What::Acked {
                result: AckResult::Rejected,
                detail,
                ..
            } if detail.contains("used for another") => {
                return Err(format!(
                    "{} never used a msg_id twice and hears: {detail}",
                    self.units[pile].id
                ));
            }
            _ => {}
        }
        Ok(())
    }

    /// Nothing passes to or from a pile for so long. Each side believes in the connection for a while.
    pub(super) fn stall(&mut self, pile: usize, ms: Time) {
        let now = self.now;
        let link = self.link(pile);
        link.stalled_until = link.stalled_until.max(now + ms);
        let (pile_side, station_side) = (link.pile_side, link.station_side);
        if ms < KEEP_ALIVE_MS {
            return;
        }
        if let Some(attempt) = pile_side {
            let notices = self.between(KEEP_ALIVE_MS / 2, KEEP_ALIVE_MS);
            self.after(notices, Event::PileNotices { pile, attempt });
        }
        if let Some(attempt) = station_side {
            let dropped = true;
            self.after(KEEP_ALIVE_MS, Event::StationNotices { pile, attempt, dropped });
        }
    }

    /// A connection breaks, and both sides see it at once.
    pub(super) fn break_link(&mut self, pile: usize) -> Step {
        let (pile_side, station_side) = (self.link(pile).pile_side, self.link(pile).station_side);
        if let Some(attempt) = pile_side {
            self.pile_notices(pile, attempt)?;
        }
        if let Some(attempt) = station_side {
            let after = self.between(1, SECOND);
            let dropped = true;
            self.after(after, Event::StationNotices { pile, attempt, dropped });
        }
        Ok(())
    }

    /// The station is gone: its side of every connection at once, the piles' when they notice.
    pub(super) fn drop_all_links(&mut self) {
        for pile in 0..self.units.len() {
            self.link(pile).station_side = None;
            if let Some(attempt) = self.link(pile).pile_side {
                let notices = self.between(1, MINUTE);
                self.after(notices, Event::PileNotices { pile, attempt });
            }
        }
    }
}

fn of_pile(input: SiteInput) -> Job {
    Work::Pile {
        input,
        repeat_key: None,
        receipt: None,
    }
}

impl super::Unit {
    pub(super) fn behaves(&self, is: impl Fn(&Behaviour) -> bool) -> bool {
        self.behaviours.iter().any(is)
    }
}
