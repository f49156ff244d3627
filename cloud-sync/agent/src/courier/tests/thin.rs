//! Thin lines: what is on the line stands before everything behind it, and takes its time. Time is the test's own.

use super::{COMPANY_MS, Courier, Effect, HeadOffice, Input, Page, SILENCE_MS, Station};
use domain::{fact::Fact, time::Mono};
use protocol::{
    frame::{Batch, Nonce},
    topic::Kind,
};
use std::collections::VecDeque;

/// 64 kbit/s, in bytes a second.
const THIN: u64 = 8 * 1_024;
/// How long a message takes besides, in milliseconds.
const LATENCY_MS: u64 = 50;

/// One direction of a line, which carries one message after the other.
#[derive(Default)]
struct Way(VecDeque<(Mono, Kind, Vec<u8>)>);

impl Way {
    fn put(&mut self, now: Mono, rate: u64, kind: Kind, bytes: Vec<u8>) {
        let free_at = self.0.back().map_or(now, |(at, ..)| *at).max(now);
        let at = free_at.after_ms(bytes.len() as u64 * 1_000 / rate + LATENCY_MS);
        self.0.push_back((at, kind, bytes));
    }

    fn next_at(&self) -> Option<Mono> {
        self.0.front().map(|(at, ..)| *at)
    }

    fn take(&mut self, now: Mono) -> Option<(Kind, Vec<u8>)> {
        let (_, kind, bytes) = self.0.pop_front_if(|(at, ..)| *at <= now)?;
        Some((kind, bytes))
    }
}

struct Line {
    rate: u64,
    now: Mono,
    station: Station,
    head_office: HeadOffice,
    courier: Courier,
    fetch: Option<(u64, usize, bool)>,
    up: Way,
    down: Way,
    /// First and last entry of each batch that was carried, and its length.
    batches: Vec<(u64, u64, usize)>,
    pongs: Vec<Mono>,
    reconnects: usize,
}

impl Line {
    fn of(rate: u64) -> Self {
        Self {
            rate,
            now: Mono(0),
            station: Station::new(),
            head_office: HeadOffice::new(),
            courier: Courier::new(),
            fetch: None,
            up: Way::default(),
            down: Way::default(),
            batches: Vec::new(),
            pongs: Vec::new(),
            reconnects: 0,
        }
    }

    /// Entries that cannot be packed much.
    fn grow(&mut self, count: usize, bytes: usize) {
        let mut random = 0x9E37_79B9_7F4A_7C15_u64 ^ self.station.entries.len() as u64;
        for n in 0..count {
            let name = (0..bytes).map(|_| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                char::from(b'#' + u8::try_from(random % 57).unwrap())
            });
            self.station.journal(Fact::MemberRegistered {
                member: format!("m{n}").parse().unwrap(),
                name: name.collect(),
                by: String::new(),
                head_office: false,
            });
        }
    }

    fn give(&mut self, input: Input) {
        let mut to_do: VecDeque<Effect> = self.courier.handle(self.now, input).into();
        loop {
            let Some(effect) = to_do.pop_front() else {
                let Some(page) = self.page() else { return };
                to_do.extend(self.courier.handle(self.now, Input::Page(page)));
                continue;
            };
            let input = match effect {
                Effect::AskHello => Some(Input::Hello(self.station.hello())),
                Effect::AskPing => Some(Input::Ping(Nonce([7; 16]))),
                Effect::Fetch { after, limit, wait } => {
                    self.fetch = Some((after, limit, wait));
                    None
                }
                Effect::Send(kind, bytes) => {
                    self.up.put(self.now, self.rate, kind, bytes);
                    None
                }
                Effect::HandPong(_) => {
                    self.pongs.push(self.now);
                    None
                }
                Effect::Reconnect(_) => {
                    self.reconnects += 1;
                    (self.up, self.down) = (Way::default(), Way::default());
                    Some(Input::Connected)
                }
                _ => None,
            };
            if let Some(input) = input {
                to_do.extend(self.courier.handle(self.now, input));
            }
        }
    }

    /// What was asked of the station last, if there is something.
    fn page(&mut self) -> Option<Page> {
        let head = self.station.head().seq;
        let (after, limit, _) = self.fetch.take_if(|(after, _, wait)| !*wait || head > *after)?;
        Some(self.station.page(after, limit))
    }

    /// Until head office has all of it, or so much time has passed. Whether it has.
    fn carry(&mut self, ms: u64) -> bool {
        let end = self.now.after_ms(ms);
        let input = if self.now == Mono(0) {
            Input::Connected
        } else {
            Input::Tick
        };
        self.give(input);
        loop {
            if self.courier.progress().acknowledged == Some(self.station.head()) {
                return true;
            }
            let next = [self.courier.next_deadline(), self.up.next_at(), self.down.next_at()];
            self.now = match next.into_iter().flatten().min() {
                Some(at) if at <= end => at.max(self.now),
                _ => return false,
            };
            if let Some((kind, bytes)) = self.up.take(self.now) {
                if kind == Kind::Journal {
                    let batch = Batch::from_bytes(&bytes).unwrap();
                    self.batches.push((batch.first, batch.last(), bytes.len()));
                }
                if let Some((kind, bytes)) = self.head_office.take(&self.station, kind, &bytes) {
                    self.down.put(self.now, self.rate, kind, bytes);
                }
            } else if let Some((kind, bytes)) = self.down.take(self.now) {
                self.give(Input::Down(kind, bytes));
            } else {
                self.give(Input::Tick);
            }
        }
    }

    fn carried(&self) -> u64 {
        self.batches.iter().map(|(.., bytes)| *bytes as u64).sum()
    }

    /// How long the line needs for what it has carried, in milliseconds.
    fn needed_ms(&self) -> u64 {
        self.carried() * 1_000 / self.rate
    }

    #[track_caller]
    fn each_entry_went_once(&self) {
        let mut next = 1;
        for (first, last, _) in &self.batches {
            assert_eq!(*first, next, "{:?}", self.batches);
            next = last + 1;
        }
        assert_eq!(next, self.station.head().seq + 1);
    }
}

#[test]
fn a_thin_line_carries_a_pile_of_work_once_and_answers_pings_meanwhile() {
    let mut line = Line::of(THIN);
    line.grow(7_000, 300);
    assert!(line.carry(3_600_000), "{:?}", line.courier.progress());
    assert_eq!(line.reconnects, 0);
    line.each_entry_went_once();
    let (took, needed) = (line.now.0, line.needed_ms());
    assert!(needed > 3 * SILENCE_MS && took < needed * 5 / 4, "{took} of {needed}");
    let waits = line.pongs.windows(2).map(|pair| pair[1].0 - pair[0].0);
    assert!(waits.max().unwrap() < SILENCE_MS, "{:?}", line.pongs);
}

#[test]
fn a_step_that_takes_minutes_on_a_thin_line_goes_once() {
    let mut line = Line::of(THIN);
    line.grow(1, 2_000_000);
    line.grow(10, 100);
    assert!(line.carry(3_600_000), "{:?}", line.courier.progress());
    assert!(line.needed_ms() > 2 * SILENCE_MS);
    assert_eq!(line.reconnects, 0);
    line.each_entry_went_once();
}

#[test]
fn what_is_on_a_line_when_it_becomes_thin_is_waited_for() {
    let mut line = Line::of(1_024 * 1_024);
    line.grow(7_000, 300);
    assert!(line.carry(3_600_000));
    line.rate = THIN;
    line.grow(3_000, 300);
    assert!(line.carry(3_600_000), "{:?}", line.courier.progress());
    line.each_entry_went_once();
    assert_eq!(line.reconnects, 0);
}

#[test]
fn a_thick_line_is_filled() {
    let mut line = Line::of(10 * 1_024 * 1_024);
    line.grow(7_000, 300);
    assert!(line.carry(3_600_000));
    line.each_entry_went_once();
    let (took, needed) = (line.now.0, line.needed_ms());
    assert!(took < needed + COMPANY_MS + 40 * LATENCY_MS, "{took} of {needed}");
}
