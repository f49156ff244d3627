//! A courier between a station's journal and a head office that follows the rules, on a line that loses what is on it.

mod asked;
mod offered;
mod restored;
mod thin;

use super::{asked::WATCH_MS, *};
use domain::{
    fact::Fact,
    ids::SiteId,
    journal::{Entry, Hash, Stamp},
    time::{Day, Wall},
    units::Fen,
};
use protocol::{
    frame::{Batch, HqEpoch, Unpacked},
    key::{PublicKeys, SigningKey},
};
use std::collections::VecDeque;

fn site() -> SiteId {
    "s01".parse().unwrap()
}

/// A station's journal behind its feed.
struct Station {
    key: SigningKey,
    /// With the hash of each.
    entries: Vec<(Vec<u8>, Hash)>,
    begins_after: u64,
    /// The last entry that head office has acknowledged to it.
    acknowledged: Option<u64>,
    recovering: bool,
    hellos: u8,
}

impl Station {
    fn new() -> Self {
        Self {
            key: SigningKey::from_seed([1; 32]),
            entries: Vec::new(),
            begins_after: 0,
            acknowledged: None,
            recovering: false,
            hellos: 0,
        }
    }

    /// The same station on a copy of its disk, of which this many entries are there.
    fn copy_of(&self, entries: usize) -> Self {
        Self {
            key: SigningKey::from_seed([1; 32]),
            entries: self.entries[..entries].to_vec(),
            acknowledged: self.acknowledged,
            ..Self::new()
        }
    }

    fn head(&self) -> Head {
        self.place(self.entries.len() as u64).unwrap()
    }

    fn place(&self, seq: u64) -> Option<Head> {
        let hash = match seq.checked_sub(1) {
            None => Hash::GENESIS,
            Some(before) => self.entries.get(before as usize)?.1,
        };
        (seq >= self.begins_after).then_some(Head { seq, hash })
    }

    fn journal(&mut self, fact: Fact) {
        let before = self.head();
        let stamp = Stamp {
            seq: before.seq + 1,
            at: Wall(0),
            mono: Mono(before.seq),
        };
        let bytes = Entry::bytes_of(&site(), "e", stamp, &fact);
        let hash = Hash::seal(&before.hash, &bytes);
        self.entries.push((bytes, hash));
    }

    fn grow(&mut self, count: usize) {
        for _ in 0..count {
            self.journal(Fact::DayBegan {
                day: Day::parse("2026-03-01").unwrap(),
            });
        }
    }

    fn page(&self, after: u64, limit: usize) -> Page {
        let before = self.place(after);
        let from = before.map_or(self.entries.len(), |before| before.seq as usize);
        let entries: Vec<Vec<u8>> = self.entries[from..]
            .iter()
            .take(limit)
            .map(|(bytes, _)| bytes.clone())
            .collect();
        let last = self.place((from + entries.len()) as u64).unwrap();
        Page {
            before,
            signature: Batch::sign(&site(), last, &self.key),
            entries,
            head: self.head().seq,
            begins_after: self.begins_after,
        }
    }

    fn hello(&mut self) -> Box<Hello> {
        self.hellos = self.hellos.wrapping_add(1);
        Box::new(Hello {
            site: site(),
            protocol: 1,
            station: "1".to_owned(),
            agent: "1".to_owned(),
            epoch: "e".to_owned(),
            begins_after: self.place(self.begins_after).unwrap(),
            head: self.head(),
            acknowledged: self.acknowledged.and_then(|seq| self.place(seq)),
            recovering: self.recovering,
            hq_epoch: None,
            directives: protocol::status::DirectivesTaken::default(),
            waiting_since: None,
            time_zone: "UTC".to_owned(),
            key: Some(self.key.public()),
            nonce: Nonce([self.hellos; 16]),
        })
    }
}

/// Takes what follows and acknowledges what it has.
struct HeadOffice {
    key: SigningKey,
    head: Head,
    entries: u64,
    /// The place of each entry that it follows.
    places: Vec<Head>,
    /// The end of what it keeps of another journal; once it has met one, it stands still.
    other: Option<Head>,
    /// Which life of it speaks.
    life: HqEpoch,
}

impl HeadOffice {
    fn new() -> Self {
        Self {
            key: SigningKey::from_seed([2; 32]),
            head: Head::START,
            entries: 0,
            places: vec![Head::START],
            other: None,
            life: HqEpoch([0; 16]),
        }
    }

    /// A person says that the other journal lives.
    fn accept(&mut self) {
        self.head = self.other.take().unwrap();
        self.places.clear();
    }

    /// Keeps what is of another journal, as far as it chains on to a place that is here; whether it was.
    fn keep(&mut self, unpacked: &Unpacked) -> bool {
        let place = |seq: u64| self.places.get(usize::try_from(seq).unwrap()).copied();
        let (before, last) = (unpacked.before(), unpacked.head());
        let entries = unpacked.entries().map(|(seq, hash, _)| Head { seq, hash });
        let differs = [before]
            .into_iter()
            .chain(entries)
            .any(|at| place(at.seq).is_some_and(|here| here != at));
        if self.other.is_none() && !differs {
            return false;
        }
        let chains = place(before.seq) == Some(before) || self.other == Some(before);
        let end = self.other.unwrap_or(Head::START);
        self.other = Some(if chains && last.seq > end.seq { last } else { end });
        true
    }

    fn ack(&self, nonce: Nonce) -> Vec<u8> {
        let ack = Ack {
            hq_epoch: self.life,
            state: match self.other {
                Some(_) => State::Forked,
                None => State::Following,
            },
            head: self.head,
            nonce,
        };
        ack.to_bytes(&site(), &self.key)
    }

    fn take(&mut self, station: &Station, kind: Kind, bytes: &[u8]) -> Option<(Kind, Vec<u8>)> {
        match kind {
            Kind::Status => match Status::from_bytes(bytes).unwrap() {
                Status::Online(hello) => Some((Kind::Ack, self.ack(hello.nonce))),
                Status::Offline { .. } => None,
            },
            Kind::Journal => {
                let batch = Batch::from_bytes(bytes).unwrap();
                let unpacked = batch.unpack().unwrap();
                let keys = PublicKeys::from(station.key.public());
                batch.verify(&site(), &unpacked, &keys).unwrap();
                let last = unpacked.follow().unwrap();
                if !self.keep(&unpacked) && unpacked.before() == self.head {
                    self.entries += unpacked.entries().len() as u64;
                    let places = unpacked.entries().map(|(seq, hash, _)| Head { seq, hash });
                    self.places.extend(places);
                    self.head = last;
                }
                Some((Kind::Ack, self.ack(Nonce::NONE)))
            }
            Kind::Ping => {
                let pong = Pong {
                    nonce: Nonce(bytes.try_into().unwrap()),
                    now: Wall(1),
                };
                Some((Kind::Pong, pong.to_bytes(&site(), &self.key)))
            }
            _ => None,
        }
    }
}

/// All of it, and the time.
struct Bench {
    now: Mono,
    station: Station,
    head_office: HeadOffice,
    courier: Courier,
    fetch: Option<(u64, usize, bool)>,
    batches: Vec<(Mono, u64, u64)>,
    handed: Vec<(Mono, Ack)>,
    /// What is on the line, either way.
    line: VecDeque<(Kind, Vec<u8>)>,
    to_do: VecDeque<Effect>,
    reconnects: usize,
    is_cut: bool,
}

impl Bench {
    fn new() -> Self {
        Self {
            now: Mono(0),
            station: Station::new(),
            head_office: HeadOffice::new(),
            courier: Courier::new(),
            fetch: None,
            batches: Vec::new(),
            handed: Vec::new(),
            line: VecDeque::new(),
            to_do: VecDeque::new(),
            reconnects: 0,
            is_cut: false,
        }
    }

    fn give(&mut self, input: Input) {
        self.to_do.extend(self.courier.handle(self.now, input));
    }

    /// Does one thing that is to be done; whether there was one.
    fn step(&mut self) -> bool {
        if let Some(effect) = self.to_do.pop_front() {
            self.perform(effect);
        } else if let Some((kind, bytes)) = self.line.pop_front() {
            if self.is_cut {
                return true;
            }
            if !kind.is_up() {
                self.give(Input::Down(kind, bytes));
            } else {
                if kind == Kind::Journal {
                    let batch = Batch::from_bytes(&bytes).unwrap();
                    self.batches.push((self.now, batch.first, batch.last()));
                }
                let answer = self.head_office.take(&self.station, kind, &bytes);
                self.line.extend(answer);
            }
        } else if let Some((after, limit, wait)) = self.fetch
            && (!wait || self.station.head().seq > after || self.station.begins_after > after)
        {
            self.fetch = None;
            let page = self.station.page(after, limit);
            self.give(Input::Page(page));
        } else {
            return false;
        }
        true
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::AskHello => {
                let hello = self.station.hello();
                self.give(Input::Hello(hello));
            }
            Effect::AskPing => self.give(Input::Ping(Nonce([7; 16]))),
            Effect::Fetch { after, limit, wait } => self.fetch = Some((after, limit, wait)),
            Effect::Send(kind, bytes) => self.line.push_back((kind, bytes)),
            Effect::HandAck(bytes) => {
                let keys = PublicKeys::from(self.head_office.key.public());
                let ack = Ack::from_bytes(&bytes, &site(), &keys).unwrap();
                self.handed.push((self.now, ack));
            }
            Effect::Reconnect(_) => {
                self.reconnects += 1;
                self.line.clear();
                self.give(Input::Connected);
            }
            _ => {}
        }
    }

    fn settle(&mut self) {
        for _ in 0..100_000 {
            if !self.step() {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    /// Lets time pass, deadline by deadline.
    fn pass(&mut self, ms: u64) {
        let end = self.now.after_ms(ms);
        self.settle();
        while let Some(at) = self.courier.next_deadline().filter(|at| *at <= end) {
            assert!(at >= self.now, "a deadline lies in the past");
            self.now = at;
            self.give(Input::Tick);
            self.settle();
            assert!(
                self.courier.next_deadline().is_none_or(|next| next > at),
                "a deadline does not go away"
            );
        }
        self.now = end;
    }

    fn is_caught_up(&self) -> bool {
        self.head_office.head == self.station.head() && self.courier.acked == Some(self.station.head())
    }
}

#[test]
fn a_journal_is_caught_up_with_in_batches_and_once() {
    let mut bench = Bench::new();
    bench.station.grow(25_500);
    bench.give(Input::Connected);
    bench.pass(1);
    // The last batch is not full, and has had no company yet.
    bench.pass(COMPANY_MS);
    assert!(bench.is_caught_up());
    assert_eq!(bench.head_office.entries, 25_500);
    assert_eq!(bench.batches.len(), 26);
    assert_eq!(bench.courier.progress().trouble, None);
}

#[test]
fn where_nothing_is_acknowledged_no_more_than_the_first_batches_go() {
    let mut bench = Bench::new();
    bench.station.grow(100_000);
    bench.give(Input::Connected);
    while bench.step() {
        // Nothing is acknowledged.
        if bench.courier.progress.state.is_some() {
            bench.line.retain(|(kind, _)| kind.is_up());
            bench.head_office.head = Head::START;
        }
    }
    assert!((1..=WINDOW).contains(&bench.courier.pace.len()));
    assert!(!bench.courier.pace.has_room());
}

#[test]
fn what_comes_alone_waits_for_company_and_a_debt_does_not() {
    let mut bench = Bench::new();
    bench.give(Input::Connected);
    bench.pass(1_000);
    bench.station.grow(1);
    bench.pass(4_000);
    bench.station.grow(1);
    bench.pass(4_000);
    assert!(bench.batches.is_empty());
    bench.pass(2_000);
    assert_eq!(
        bench.batches,
        [(Mono(11_000), 1, 2)],
        "the first of them waits no longer than ten seconds"
    );

    bench.station.grow(1);
    bench.pass(1_000);
    let payment = domain::settlement::Payment {
        on_debt: domain::settlement::Split {
            electricity: Fen(1),
            service: Fen(0),
        },
        ..Default::default()
    };
    bench.station.journal(Fact::OrderSettled {
        order: "A-1".parse().unwrap(),
        payment,
    });
    bench.pass(1);
    assert_eq!(bench.batches[1..], [(Mono(12_000), 3, 4)]);
}

#[test]
fn an_order_that_somebody_watches_is_urgent_and_its_frames_come_every_five_seconds() {
    let mut bench = Bench::new();
    bench.give(Input::Connected);
    bench.pass(1_000);
    let order: OrderId = "A-1".parse().unwrap();
    let effects = bench
        .courier
        .handle(bench.now, Input::Down(Kind::Watch, b"A-1".to_vec()));
    assert_eq!(effects, [Effect::Watch(order.clone())]);
    bench.station.journal(Fact::ChargingResumed { order: order.clone() });
    bench.pass(1);
    assert_eq!(bench.batches.len(), 1);

    let mut sent = Vec::new();
    for n in 0..20_u8 {
        let effects = bench.courier.handle(bench.now, Input::Live(order.clone(), vec![n]));
        sent.extend(effects);
        bench.now = bench.now.after_ms(1_000);
        sent.extend(bench.courier.handle(bench.now, Input::Tick));
    }
    let frames: Vec<u8> = sent
        .into_iter()
        .filter_map(|effect| match effect {
            Effect::Send(Kind::Live, frame) => Some(frame[0]),
            _ => None,
        })
        .collect();
    assert_eq!(frames, [0, 4, 9, 14, 19], "the newest of each stretch");
    bench.pass(WATCH_MS);
    assert!(bench.courier.watched.is_empty(), "nobody said so again");
}

#[test]
fn rule_9_what_is_not_acknowledged_is_sent_again() {
    let mut bench = Bench::new();
    bench.give(Input::Connected);
    bench.pass(1_000);
    bench.is_cut = true;
    bench.station.grow(3_000);
    bench.pass(RESEND_MS - 2_000);
    assert!(bench.batches.is_empty());
    bench.is_cut = false;
    bench.pass(2 * RESEND_MS);
    assert!(bench.is_caught_up());
    assert_eq!(bench.reconnects, 0, "the pongs came in time");
}

#[test]
fn a_line_without_pongs_is_given_up_whatever_tcp_says() {
    let mut bench = Bench::new();
    bench.give(Input::Connected);
    bench.pass(1_000);
    bench.is_cut = true;
    bench.pass(SILENCE_MS);
    assert_eq!(bench.reconnects, 1);
    bench.is_cut = false;
    bench.station.grow(5);
    bench.pass(SILENCE_MS);
    assert!(bench.is_caught_up());
    assert_eq!(bench.reconnects, 1);
}

#[test]
fn the_station_is_told_at_once_of_a_hellos_answer_and_then_once_a_minute() {
    let mut bench = Bench::new();
    bench.give(Input::Connected);
    bench.pass(1_000);
    for _ in 0..300 {
        bench.station.grow(1);
        bench.pass(1_000);
    }
    let told: Vec<u64> = bench.handed.iter().map(|(at, _)| at.0).collect();
    assert_eq!(told[0], 0);
    assert!(
        told.windows(2).all(|pair| pair[1] - pair[0] >= TELL_STATION_MS),
        "{told:?}"
    );
    assert!((5..=6).contains(&told.len()), "{told:?}");
}

#[test]
fn an_acknowledgement_of_an_earlier_hello_is_no_answer_to_this_one() {
    let mut bench = Bench::new();
    bench.station.grow(5);
    bench.give(Input::Connected);
    bench.settle();
    let old = bench.head_office.ack(Nonce([1; 16]));
    bench.give(Input::Lost);
    bench.give(Input::Connected);
    // The hello is on the line, and its answer is not back.
    while !bench.line.iter().any(|(kind, _)| *kind == Kind::Status) {
        assert!(bench.step());
    }
    let handed = bench.handed.len();
    bench.give(Input::Down(Kind::Ack, old));
    assert!(
        bench
            .to_do
            .iter()
            .all(|effect| !matches!(effect, Effect::HandAck(_) | Effect::Fetch { .. }))
    );
    bench.settle();
    assert_eq!(bench.handed.len(), handed + 1);
    assert_eq!(bench.handed[handed].1.nonce, Nonce([2; 16]));
}

#[test]
fn a_station_that_was_away_is_asked_for_a_hello_before_anything_is_sent() {
    let mut bench = Bench::new();
    bench.station.grow(50);
    bench.give(Input::Connected);
    bench.pass(COMPANY_MS + 1);
    let hellos = bench.station.hellos;
    bench.fetch = None;
    bench.give(Input::StationAway);
    assert!(
        bench.fetch.is_none() && bench.to_do.is_empty(),
        "it is not asked again at once"
    );
    bench.station.grow(5);
    bench.pass(STATION_MS + COMPANY_MS + 1);
    assert_eq!(bench.station.hellos, hellos + 1);
    assert!(bench.is_caught_up());
}

#[test]
fn entries_that_the_station_has_no_more_are_told_to_people() {
    let mut bench = Bench::new();
    bench.station.grow(100);
    bench.station.begins_after = 50;
    bench.give(Input::Connected);
    bench.pass(1_000);
    let trouble = bench.courier.progress().trouble.unwrap();
    assert!(
        trouble.contains("from 1 on") && trouble.contains("begins after 50"),
        "{trouble}"
    );
    bench.head_office.head = bench.station.place(60).unwrap();
    bench.pass(HELLO_MS + COMPANY_MS);
    assert!(bench.is_caught_up(), "it asks again whether it can go on");
    assert_eq!(bench.courier.progress().trouble, None);
}

#[test]
fn a_head_office_that_stands_still_is_asked_again_and_gets_nothing_meanwhile() {
    let mut bench = Bench::new();
    bench.station.grow(10);
    bench.give(Input::Connected);
    bench.pass(COMPANY_MS + 1);
    let ahead = Ack {
        hq_epoch: HqEpoch([0; 16]),
        state: State::Ahead,
        head: bench.head_office.head,
        nonce: Nonce::NONE,
    };
    let bytes = ahead.to_bytes(&site(), &bench.head_office.key);
    bench.give(Input::Down(Kind::Ack, bytes));
    let sent = bench.batches.len();
    bench.station.grow(10);
    bench.pass(HELLO_MS - 1_000);
    assert_eq!(bench.batches.len(), sent);
    assert!(bench.courier.progress().trouble.unwrap().contains("ahead"));
    bench.pass(1_000 + COMPANY_MS + 1);
    assert!(bench.is_caught_up());
}

#[test]
fn whatever_is_lost_and_whenever_the_journal_arrives_whole_and_in_order() {
    for seed in 1..=60_u64 {
        let mut random = seed;
        let mut next = |below: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % below
        };
        let mut bench = Bench::new();
        bench.give(Input::Connected);
        for _ in 0..60 {
            bench.station.grow(next(400) as usize);
            for _ in 0..next(40) {
                bench.step();
                if next(60) == 0 {
                    bench.line.clear();
                    bench.give(Input::Lost);
                    bench.fetch = None;
                    bench.give(Input::Connected);
                }
                if next(40) == 0 && !bench.line.is_empty() {
                    let at = next(bench.line.len() as u64) as usize;
                    let twice = bench.line[at].clone();
                    bench.line.push_back(twice);
                }
                if next(90) == 0 && !bench.line.is_empty() {
                    let at = next(bench.line.len() as u64) as usize;
                    bench.line.remove(at);
                }
            }
            if next(10) == 0 {
                bench.now = bench.now.after_ms(next(40_000));
                bench.give(Input::Tick);
            }
        }
        bench.pass(10 * SILENCE_MS);
        assert!(bench.is_caught_up(), "seed {seed}");
        assert_eq!(
            bench.head_office.entries,
            bench.station.entries.len() as u64,
            "seed {seed}"
        );
    }
}

/// Otherwise a broker could fill the memory of the box.
#[test]
fn a_tail_that_comes_while_the_station_has_one_is_not_kept() {
    let mut courier = Courier::new();
    let mut told = |input: Input| courier.handle(Mono(1), input);
    told(Input::Connected);
    assert_eq!(told(Input::Down(Kind::Tail, vec![1])), [Effect::HandTail(vec![1])]);
    for n in 0..100 {
        assert_eq!(told(Input::Down(Kind::Tail, vec![n])), []);
    }
    // What is missing still comes by the next hello.
    assert_eq!(told(Input::TailTaken(Ok(()))), [Effect::AskHello]);
    assert_eq!(told(Input::Down(Kind::Tail, vec![2])), [Effect::HandTail(vec![2])]);
}

/// What is handed to the station of directives.
fn handed(effects: &[Effect]) -> Vec<Vec<u8>> {
    let handed = effects.iter().filter_map(|effect| match effect {
        Effect::HandDirective(bytes) => Some(bytes.clone()),
        _ => None,
    });
    handed.collect()
}

#[test]
fn directives_go_to_the_station_one_at_a_time_and_what_follows_on_one_that_was_not_taken_is_left_to_head_office() {
    let mut courier = Courier::new();
    let mut now = 0;
    let mut told = |courier: &mut Courier, input: Input| {
        now += 1;
        handed(&courier.handle(Mono(now), input))
    };
    assert!(
        told(&mut courier, Input::Down(Kind::Directive, vec![0])).is_empty(),
        "there is no connection"
    );
    told(&mut courier, Input::Connected);
    assert_eq!(told(&mut courier, Input::Down(Kind::Directive, vec![1])), [vec![1]]);
    assert!(told(&mut courier, Input::Down(Kind::Directive, vec![2])).is_empty());
    assert!(told(&mut courier, Input::Down(Kind::Directive, vec![3])).is_empty());
    assert_eq!(told(&mut courier, Input::DirectiveTaken(Ok(()))), [vec![2]]);
    let why = "directive 2 of orders comes next".to_owned();
    assert!(told(&mut courier, Input::DirectiveTaken(Err(why.clone()))).is_empty());
    assert_eq!(courier.progress().untaken_directive, Some(why));
    assert_eq!(told(&mut courier, Input::Down(Kind::Directive, vec![2])), [vec![2]]);
    // As many as may be on the way wait, and no more; with the connection they are gone.
    for n in 0..40 {
        told(&mut courier, Input::Down(Kind::Directive, vec![n]));
    }
    let mut waited = 0;
    while !told(&mut courier, Input::DirectiveTaken(Ok(()))).is_empty() {
        waited += 1;
    }
    assert_eq!((waited, courier.progress().untaken_directive), (16, None));
    told(&mut courier, Input::Down(Kind::Directive, vec![4]));
    told(&mut courier, Input::Down(Kind::Directive, vec![5]));
    told(&mut courier, Input::Lost);
    assert!(told(&mut courier, Input::DirectiveTaken(Ok(()))).is_empty());
}
