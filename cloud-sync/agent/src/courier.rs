//! Carries a station's journal to head office: what to fetch, what to send, what to hand to the station, and when.
//! A state machine without I/O or clock. It holds no entry that the station does not have, so it can be lost at any moment.

mod asked;
mod directives;
mod offered;
mod other_life;
mod pace;
mod sending;

pub(crate) use asked::Watched;

use crate::urgency::Urgency;
use asked::LIVE_MS;
use directives::Directives;
use domain::{head_office::HqEpoch, ids::OrderId, journal::Head, time::Mono};
use other_life::OtherLife;
use pace::{Pace, carried_ms};
use protocol::{
    frame::{Ack, BATCH_ENTRIES_MAX, BATCH_PACKED_MAX, Nonce, Pong, State},
    key::Signature,
    pack::Packer,
    status::{Hello, Status},
    topic::Kind,
};
use std::{collections::BTreeMap, mem};

/// The most batches that are on the way at once.
pub const WINDOW: usize = 16;
/// How long an entry waits for company, in milliseconds. A batch of one costs the line as much as a batch of twenty.
pub const COMPANY_MS: u64 = 10_000;
/// When what was sent and is not acknowledged is sent again, in milliseconds, besides the time that a thin line needs for it:
/// Debian's mosquitto is known to keep messages back.
pub const RESEND_MS: u64 = 30_000;
/// How often the station is told how far head office has its journal, in milliseconds: each time is a commit there.
pub const TELL_STATION_MS: u64 = 60_000;
/// How often head office is pinged, in milliseconds.
pub const PING_MS: u64 = 20_000;
/// How long a connection is believed in without a pong or an acknowledgement that goes on, in milliseconds, besides the time that a
/// thin line needs for the longest batch on the way.
pub const SILENCE_MS: u64 = 60_000;
/// When a station that did not answer is asked again, in milliseconds: it may be starting.
pub const STATION_MS: u64 = 2_000;
/// When a hello that nobody answered is said again, in milliseconds; and how often, while head office cannot go on.
pub const HELLO_MS: u64 = 30_000;
/// How often it counts on one connection that head office follows another journal.
pub const FORKED_MS: u64 = 600_000;
/// And how often while the station waits for what it has lost, in milliseconds: each time it is sent again, behind itself.
pub const RECOVERING_HELLO_MS: u64 = 150_000;

/// Entries of the journal, as the station's feed gives them: they end where a step of the station ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The place before the first; none if the station does not have it (any more).
    pub before: Option<Head>,
    /// The stored bytes of each.
    pub entries: Vec<Vec<u8>>,
    /// The station's signature over the place of the last.
    pub signature: Signature,
    /// The number of the journal's last entry.
    pub head: u64,
    /// The number after which the journal begins.
    pub begins_after: u64,
}

/// What has happened.
#[derive(Debug)]
pub enum Input {
    /// A new connection to the broker is up, and what comes down is subscribed to.
    Connected,
    /// It is gone.
    Lost,
    /// What the station says of itself.
    Hello(Box<Hello>),
    /// The station does not answer. When it does again it may have been restored from a copy: it is asked for a hello first.
    StationAway,
    /// A page of the journal.
    Page(Page),
    /// The number for the next ping.
    Ping(Nonce),
    /// A message came down.
    Down(Kind, Vec<u8>),
    /// The station took a tail, or refused it.
    TailTaken(Result<(), String>),
    /// The station took a directive, or could not: what it refuses to do, it takes all the same.
    DirectiveTaken(Result<(), String>),
    /// The station's answer to a question.
    Answered {
        /// The question's number.
        id: u64,
        /// The status code.
        status: u16,
        /// The body.
        body: Vec<u8>,
    },
    /// A live frame of a watched order.
    Live(OrderId, Vec<u8>),
    /// Nothing but time.
    Tick,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Ask the station what it says of itself.
    AskHello,
    /// Ask the station for the number of a ping.
    AskPing,
    /// Fetch a page after this entry. It takes the place of a fetch that is under way.
    Fetch {
        /// The number of the entry before it.
        after: u64,
        /// How many entries at most.
        limit: usize,
        /// Whether to wait for news if there is nothing.
        wait: bool,
    },
    /// Send this to head office.
    Send(Kind, Vec<u8>),
    /// Hand an acknowledgement to the station, which checks who signed it.
    HandAck(Vec<u8>),
    /// Hand head office's time to the station, which checks who signed it.
    HandPong(Vec<u8>),
    /// Hand the station what it has lost, and say what became of it.
    HandTail(Vec<u8>),
    /// Hand the station a directive, and say what became of it.
    HandDirective(Vec<u8>),
    /// Ask the station.
    Get {
        /// The question's number.
        id: u64,
        /// The path of its API.
        path: String,
    },
    /// Follow an order's live frames from now on.
    Watch(OrderId),
    /// And no longer.
    Unwatch(OrderId),
    /// The connection is of no use: make another.
    Reconnect(&'static str),
}

/// How far it is with head office.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    /// There is no connection.
    Away,
    /// A hello was asked for or sent, and is not answered.
    Greeting {
        /// The number that its answer says again.
        nonce: Option<Nonce>,
        /// When it is said again.
        again_at: Mono,
    },
    /// Head office follows.
    Following(Fetching),
    /// It has another journal of this site, or more of this one than the station: this one is offered, so that people can see what
    /// it says before they say which one lives.
    Offering {
        /// How many entries the next batch has at most.
        limit: usize,
    },
    /// It cannot: it is said again how far the journal goes, and it says again how far it has it.
    Stalled {
        /// When.
        again_at: Mono,
    },
}

/// What the last fetch was for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fetching {
    /// The window is full.
    Nothing,
    /// To send what it brings, or, where there is nothing yet, to be told of it.
    Next,
    /// Something is there, and waits for company. The fetch is for what comes meanwhile.
    Company {
        /// Up to where entries were seen.
        seen: u64,
        /// When they go.
        until: Mono,
    },
    /// To send what it brings, now and in this number.
    Now {
        /// How many entries at most.
        limit: usize,
    },
}

/// What can be told of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    /// Whether there is a connection to the broker.
    pub connected: bool,
    /// What head office makes of the journal; none before it has said so on this connection.
    pub state: Option<State>,
    /// How far head office has it.
    pub acknowledged: Option<Head>,
    /// The last entry that was seen in the station's journal.
    pub head: u64,
    /// Batches that are on the way.
    pub on_the_way: usize,
    /// Why it cannot go on, where a person has to look.
    pub trouble: Option<String>,
    /// Why the station could not take the last directive, if it could not.
    pub untaken_directive: Option<String>,
    /// Messages from head office that could not be read, since the start.
    pub malformed: u64,
}

/// The state machine.
pub struct Courier {
    phase: Phase,
    /// The life of head office's that has answered the last hello.
    life: Option<HqEpoch>,
    other_life: OtherLife,
    /// Up to where head office has the journal.
    acked: Option<Head>,
    /// Up to where it was sent.
    sent: Head,
    /// The last place of the journal that head office is known to have had, by the last hello.
    in_common: Head,
    /// Where the station's journal begins, by the last hello.
    begins_after: Head,
    /// Up to where it was offered on this connection.
    offered: Option<Head>,
    /// How often head office has said that it follows another journal, since it last took something: once on a connection, and on one
    /// that stands once in a while.
    forked_on: u32,
    /// When it last said so on this connection, as far as it was counted.
    forked_at: Option<Mono>,
    /// The station waits for what head office has beyond its copy, by the last hello.
    is_recovering: bool,
    /// Batches on the way.
    pace: Pace,
    /// When head office last took something, or the first of the window was sent.
    progress_at: Mono,
    /// The newest acknowledgement that the station was not told of.
    untold: Option<Vec<u8>>,
    told_at: Option<Mono>,
    pings: Pings,
    /// A tail is with the station.
    handing_tail: bool,
    directives: Directives,
    asked: Vec<u64>,
    watched: BTreeMap<OrderId, Watched>,
    packer: Packer,
    progress: Progress,
}

/// Pings of one connection.
#[derive(Debug, Default)]
struct Pings {
    next_at: Mono,
    /// The last that was sent.
    sent: Option<Nonce>,
    heard_at: Mono,
}

impl Default for Courier {
    fn default() -> Self {
        Self::new()
    }
}

impl Courier {
    /// One that is not connected.
    pub fn new() -> Self {
        Self {
            phase: Phase::Away,
            life: None,
            other_life: OtherLife::default(),
            acked: None,
            sent: Head::START,
            in_common: Head::START,
            begins_after: Head::START,
            forked_on: 0,
            forked_at: None,
            offered: None,
            is_recovering: false,
            pace: Pace::default(),
            progress_at: Mono(0),
            untold: None,
            told_at: None,
            pings: Pings::default(),
            handing_tail: false,
            directives: Directives::default(),
            asked: Vec::new(),
            watched: BTreeMap::new(),
            packer: Packer::new(),
            progress: Progress::default(),
        }
    }

    /// What can be told of it.
    pub fn progress(&self) -> Progress {
        Progress {
            connected: self.phase != Phase::Away,
            acknowledged: self.acked,
            on_the_way: self.pace.len(),
            untaken_directive: self.directives.untaken().map(str::to_owned),
            ..self.progress.clone()
        }
    }

    /// Takes in what has happened at `now`; returns what is to be done, in order.
    pub fn handle(&mut self, now: Mono, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        match input {
            Input::Connected => self.connected(now, &mut effects),
            Input::Lost => self.lost(&mut effects),
            Input::Hello(hello) => self.hello(now, *hello, &mut effects),
            Input::StationAway if self.phase != Phase::Away => {
                self.pace.clear();
                self.phase = Phase::Greeting {
                    nonce: None,
                    again_at: now.after_ms(STATION_MS),
                };
            }
            Input::StationAway => {}
            Input::Page(page) => self.page(now, page, &mut effects),
            Input::Ping(nonce) if self.phase != Phase::Away => {
                self.pings.sent = Some(nonce);
                effects.push(Effect::Send(Kind::Ping, nonce.0.to_vec()));
            }
            Input::Ping(_) => {}
            Input::Down(kind, bytes) if self.phase != Phase::Away => self.down(now, kind, bytes, &mut effects),
            Input::Down(..) => {}
            Input::TailTaken(taken) => self.tail_taken(now, taken, &mut effects),
            Input::DirectiveTaken(taken) => effects.extend(self.directives.taken(taken)),
            Input::Answered { id, status, body } => self.answered(id, status, &body, &mut effects),
            Input::Live(order, frame) => self.live(now, &order, frame, &mut effects),
            Input::Tick => {}
        }
        self.timers(now, &mut effects);
        effects
    }

    /// When to call again, if nothing happens before.
    pub fn next_deadline(&self) -> Option<Mono> {
        let phase = match &self.phase {
            Phase::Away => return None,
            Phase::Greeting { again_at, .. } | Phase::Stalled { again_at } => Some(*again_at),
            Phase::Following(Fetching::Company { until, .. }) => Some(*until),
            Phase::Following(_) | Phase::Offering { .. } => None,
        };
        let other_life = self.other_life.due_at();
        let resend = (!self.pace.is_empty()).then(|| self.resend_at());
        let tell = self.untold.as_ref().map(|_| self.tell_at());
        let watched = self.watched.values().flat_map(|watched| {
            let frame = watched.waiting.as_ref().and(watched.sent_at);
            [Some(watched.until), frame.map(|sent| sent.after_ms(LIVE_MS))]
        });
        let pings = [self.pings.next_at, self.silent_at()].map(Some);
        [phase, other_life, resend, tell]
            .into_iter()
            .chain(pings)
            .chain(watched)
            .flatten()
            .min()
    }

    fn connected(&mut self, now: Mono, effects: &mut Vec<Effect>) {
        self.lost(effects);
        self.pings = Pings {
            next_at: now,
            sent: None,
            heard_at: now,
        };
        self.greet(now, effects);
    }

    /// What was sent may be lost with the connection: what counts is what the next hello is answered.
    fn lost(&mut self, effects: &mut Vec<Effect>) {
        self.phase = Phase::Away;
        self.pace = Pace::default();
        self.directives.lost();
        self.other_life.lost();
        self.asked.clear();
        self.offered = None;
        self.forked_at = None;
        self.progress.state = None;
        effects.extend(mem::take(&mut self.watched).into_keys().map(Effect::Unwatch));
    }

    fn greet(&mut self, now: Mono, effects: &mut Vec<Effect>) {
        self.phase = Phase::Greeting {
            nonce: None,
            again_at: now.after_ms(HELLO_MS),
        };
        self.pace.clear();
        self.other_life.greeted(now);
        effects.push(Effect::AskHello);
    }

    fn hello(&mut self, now: Mono, hello: Hello, effects: &mut Vec<Effect>) {
        if let Phase::Greeting { nonce, again_at } = &mut self.phase {
            *nonce = Some(hello.nonce);
            *again_at = now.after_ms(HELLO_MS);
            self.progress.head = hello.head.seq;
            self.is_recovering = hello.recovering;
            let known = hello.acknowledged.unwrap_or(hello.begins_after);
            self.begins_after = hello.begins_after;
            self.in_common = if known.seq < hello.begins_after.seq {
                hello.begins_after
            } else {
                known
            };
            let status = Status::Online(Box::new(hello));
            effects.push(Effect::Send(Kind::Status, status.to_bytes()));
        }
    }

    fn down(&mut self, now: Mono, kind: Kind, bytes: Vec<u8>, effects: &mut Vec<Effect>) {
        match kind {
            Kind::Ack => match Ack::unverified(&bytes) {
                Ok(ack) => self.ack(now, ack, bytes, effects),
                Err(_) => self.progress.malformed += 1,
            },
            Kind::Pong => match Pong::unverified(&bytes) {
                Ok(pong) => self.pong(now, pong, bytes, effects),
                Err(_) => self.progress.malformed += 1,
            },
            // Each hello is answered by one: what comes while the station has one is the same again.
            Kind::Tail if self.handing_tail => {}
            Kind::Tail => {
                self.handing_tail = true;
                effects.push(Effect::HandTail(bytes));
            }
            Kind::Directive => effects.extend(self.directives.came(bytes)),
            Kind::Ask => self.ask(&bytes, effects),
            Kind::Watch => self.watch(now, &bytes, effects),
            Kind::Status | Kind::Journal | Kind::Answer | Kind::Live | Kind::Ping => self.progress.malformed += 1,
        }
    }

    fn ack(&mut self, now: Mono, ack: Ack, bytes: Vec<u8>, effects: &mut Vec<Effect>) {
        let answers_hello = match self.phase {
            Phase::Greeting { nonce: Some(nonce), .. } => ack.nonce == nonce,
            _ => false,
        };
        if matches!(self.phase, Phase::Greeting { .. }) && !answers_hello {
            // Of an earlier hello, or of a batch before the connection broke: the answer to this one is on its way.
            return;
        }
        if answers_hello {
            self.life = Some(ack.hq_epoch);
        } else if self.life != Some(ack.hq_epoch) && self.phase != Phase::Away {
            // Another life of head office's has begun while the connection stood, behind a broker that is not its own. The station
            // goes by what answers a hello, and by nothing else.
            return self.other_life.heard();
        }
        let was = self.progress.state.replace(ack.state);
        match ack.state {
            State::Forked if self.forked_at.is_none_or(|at| now.ms_since(at) >= FORKED_MS) => {
                self.forked_at = Some(now);
                self.forked_on = self.forked_on.saturating_add(1);
                if self.offers_all() {
                    self.offered = None;
                }
            }
            _ => {}
        }
        if (was, ack.state) == (Some(State::Forked), State::Following) {
            // Whoever has the site now may not have kept what was offered.
            self.offered = None;
        }
        if answers_hello {
            // The station ends its recovery by this one, so it is told at once.
            self.untold = None;
            self.told_at = Some(now);
            effects.push(Effect::HandAck(bytes));
            self.pace.answered(now);
        } else if self.acked.is_none_or(|acked| ack.head.seq > acked.seq) {
            self.untold = Some(bytes);
        }
        let is_expected = self.is_expected(ack.head.seq);
        let went_on = self.acked != Some(ack.head);
        self.acked = Some(ack.head);
        if ack.state != State::Following {
            let word = ack.state.word();
            self.progress.trouble = Some(format!(
                "head office stays at entry {}: to it this journal is {word}",
                ack.head.seq
            ));
            return match ack.state {
                State::Forked => self.offer(effects),
                _ => self.stall(now),
            };
        }
        if answers_hello || !is_expected {
            return self.go_on_from(now, ack.head, effects);
        }
        self.pace.acknowledged(ack.head.seq, now);
        if went_on {
            // People may have named a branch that is not the station's either: that is no end of it.
            self.forked_on = 0;
            self.progress_at = now;
            // Pings may wait behind batches.
            self.pings.heard_at = now;
        }
        if matches!(self.phase, Phase::Following(Fetching::Nothing)) && self.pace.has_room() {
            self.fetch_next(effects);
        }
    }

    /// Whether head office can have come to this entry with what was sent on this connection: to the end of a batch, or
    /// nowhere yet. Elsewhere it is because it lost something, or has it from another connection.
    fn is_expected(&self, seq: u64) -> bool {
        matches!(self.phase, Phase::Following(_))
            && (self.pace.ends_with(seq) || self.acked.is_some_and(|acked| acked.seq == seq))
    }

    fn stall(&mut self, now: Mono) {
        self.pace.pause();
        let again_ms = match self.is_recovering {
            true => RECOVERING_HELLO_MS,
            false => HELLO_MS,
        };
        self.phase = Phase::Stalled {
            again_at: now.after_ms(again_ms),
        };
    }

    fn go_on_from(&mut self, now: Mono, head: Head, effects: &mut Vec<Effect>) {
        if head.seq > self.progress.head {
            // It was restored from a copy: what is beyond comes back in tails, or a person has to look.
            self.progress.trouble = Some(format!(
                "head office has entries up to {}, the station only up to {}",
                head.seq, self.progress.head
            ));
            return match self.is_recovering {
                true => self.stall(now),
                false => self.offer(effects),
            };
        }
        self.progress.trouble = None;
        self.pace.clear();
        self.sent = head;
        self.progress_at = now;
        self.fetch_next(effects);
    }

    fn fetch_next(&mut self, effects: &mut Vec<Effect>) {
        self.fetch(Fetching::Next, effects);
    }

    fn fetch(&mut self, fetching: Fetching, effects: &mut Vec<Effect>) {
        let (after, limit, wait) = match fetching {
            Fetching::Nothing => return,
            Fetching::Next => (self.sent.seq, BATCH_ENTRIES_MAX, true),
            Fetching::Company { seen, .. } => (seen, BATCH_ENTRIES_MAX, true),
            Fetching::Now { limit } => (self.sent.seq, limit, false),
        };
        self.phase = Phase::Following(fetching);
        effects.push(Effect::Fetch { after, limit, wait });
    }

    fn page(&mut self, now: Mono, page: Page, effects: &mut Vec<Effect>) {
        let fetching = match self.phase.clone() {
            Phase::Following(fetching) => fetching,
            Phase::Offering { limit } => return self.offer_page(now, &page, limit, effects),
            Phase::Away | Phase::Greeting { .. } | Phase::Stalled { .. } => return,
        };
        self.progress.head = page.head;
        let last = |after: u64| after + page.entries.len() as u64;
        let is_urgent = || {
            let urgency = Urgency::of(&self.watched);
            page.entries.iter().any(|entry| urgency.is_urgent(entry))
        };
        match fetching {
            Fetching::Nothing => {}
            _ if page.entries.is_empty() => self.nothing_there(now, &page, fetching, effects),
            Fetching::Company { seen, until } => {
                let seen = last(seen);
                let many = seen - self.sent.seq >= BATCH_ENTRIES_MAX as u64;
                if many || is_urgent() {
                    self.fetch(
                        Fetching::Now {
                            limit: BATCH_ENTRIES_MAX,
                        },
                        effects,
                    );
                } else {
                    self.fetch(Fetching::Company { seen, until }, effects);
                }
            }
            Fetching::Next if last(self.sent.seq) >= page.head && self.pace.is_empty() && !is_urgent() => {
                let (seen, until) = (last(self.sent.seq), now.after_ms(COMPANY_MS));
                self.fetch(Fetching::Company { seen, until }, effects);
            }
            Fetching::Next => self.send(now, &page, BATCH_ENTRIES_MAX, effects),
            Fetching::Now { limit } => self.send(now, &page, limit, effects),
        }
    }

    fn nothing_there(&mut self, now: Mono, page: &Page, fetching: Fetching, effects: &mut Vec<Effect>) {
        if page.before.is_none() && page.begins_after > self.sent.seq {
            self.progress.trouble = Some(format!(
                "head office wants the entries from {} on, and the station's journal begins after {}: a station with a history \
                 joins with an opening (`holdfast-edge opening`)",
                self.sent.seq + 1,
                page.begins_after
            ));
            return self.stall(now);
        }
        let fetching = match fetching {
            Fetching::Now { .. } => Fetching::Next,
            other => other,
        };
        self.fetch(fetching, effects);
    }

    fn pong(&mut self, now: Mono, pong: Pong, bytes: Vec<u8>, effects: &mut Vec<Effect>) {
        if self.pings.sent.take_if(|nonce| *nonce == pong.nonce).is_some() {
            self.pings.heard_at = now;
            effects.push(Effect::HandPong(bytes));
        }
    }

    fn tail_taken(&mut self, now: Mono, taken: Result<(), String>, effects: &mut Vec<Effect>) {
        self.handing_tail = false;
        match taken {
            Ok(()) if self.phase != Phase::Away => {
                // Perhaps that was all of it: how far the station is now says whether something is still missing.
                self.greet(now, effects);
            }
            Ok(()) => {}
            Err(why) => {
                self.progress.trouble = Some(format!("the station did not take back what it had lost: {why}"));
            }
        }
    }

    fn resend_at(&self) -> Mono {
        self.progress_at.after_ms(RESEND_MS + self.pace.next_ms())
    }

    /// When the connection is not believed in any more.
    fn silent_at(&self) -> Mono {
        // A tail comes down the line as a batch goes up.
        let tail_ms = if self.is_recovering {
            carried_ms(BATCH_PACKED_MAX)
        } else {
            0
        };
        self.pings
            .heard_at
            .after_ms(SILENCE_MS + self.pace.longest_ms().max(tail_ms))
    }

    fn tell_at(&self) -> Mono {
        self.told_at.map_or(Mono(0), |told| told.after_ms(TELL_STATION_MS))
    }

    fn timers(&mut self, now: Mono, effects: &mut Vec<Effect>) {
        if self.phase == Phase::Away {
            return;
        }
        if now >= self.silent_at() {
            self.lost(effects);
            effects.push(Effect::Reconnect("head office has not answered for a minute"));
            return;
        }
        if now >= self.pings.next_at {
            self.pings.next_at = now.after_ms(PING_MS);
            effects.push(Effect::AskPing);
        }
        match self.phase {
            _ if self.other_life.due_at().is_some_and(|due| now >= due) => self.greet(now, effects),
            Phase::Greeting { again_at, .. } | Phase::Stalled { again_at } if now >= again_at => {
                self.greet(now, effects);
            }
            Phase::Following(Fetching::Company { until, .. }) if now >= until => {
                self.fetch(
                    Fetching::Now {
                        limit: BATCH_ENTRIES_MAX,
                    },
                    effects,
                );
            }
            _ => {}
        }
        if !self.pace.is_empty() && now >= self.resend_at() {
            self.pace.lost();
            let from = self.acked.unwrap_or(Head::START);
            self.go_on_from(now, from, effects);
        }
        if self.untold.is_some() && now >= self.tell_at() {
            effects.extend(self.untold.take().map(Effect::HandAck));
            self.told_at = Some(now);
        }
        self.watch_on(now, effects);
    }
}

#[cfg(test)]
mod tests;
