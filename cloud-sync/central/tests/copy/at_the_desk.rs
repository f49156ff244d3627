//! A site's desk with its clock, its queue and its database: what becomes of what cannot be taken, and that other sites go on.

use crate::{
    everywhere,
    head_office::{HeadOffice, ME, NOW, load},
    journal::Journal,
};
use broker::{Client, Credential, Gatekeeper, Identity, Protocol, Publish, QoS, Receipt, Subscribing};
use central::{
    bell::{Bell, Issued},
    desk::{
        Clock, Desk, Office, ToSites,
        bounds::{Bounds, Room},
    },
    door::{Door, Up},
    heard::Heard,
    store::{StoreError, sites::Site},
};
use domain::{
    ids::SiteId,
    journal::Head,
    time::{Mono, Wall},
};
use protocol::{
    frame::{Ack, Batch, FRAME_MAX, HqEpoch, Nonce, Pong, STEP_RAW_MAX, State},
    key::{PublicKeys, SigningKey},
    status::{DirectivesTaken, Hello, STATUS_BYTES_MAX, Status},
    topic::{Kind, Topic, down_filter, up_filter},
};
use service::http::metrics::{Counters, text};
use std::{sync::Arc, time::Instant};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

everywhere! {
    a_batch_that_cannot_be_stored_breaks_its_site_and_no_other
    a_bad_batch_of_any_kind_is_refused_and_counted_and_another_site_goes_on
    a_ping_is_answered_while_the_database_stands_still
    of_many_hellos_the_latest_is_answered
    batches_of_many_sites_for_which_there_is_room_for_one_are_taken_one_after_the_other
}

/// The machine's elapsed time, on one day.
struct Running(Instant);

impl Clock for Running {
    fn mono(&self) -> Mono {
        Mono(self.0.elapsed().as_millis() as u64)
    }

    fn wall(&self) -> Wall {
        NOW
    }
}

/// Nothing is issued to the site, and nobody is told.
fn alone() -> (Arc<Issued>, Bell) {
    (Arc::default(), Bell::new().0)
}

fn key() -> SigningKey {
    SigningKey::from_seed([2; 32])
}

fn head_office() -> Arc<Office> {
    Arc::new(Office {
        process: ME.to_owned(),
        hq_epoch: HqEpoch([1; 16]),
        key: key().into(),
    })
}

/// A site with its desk.
struct Line {
    journal: Journal,
    says: mpsc::Sender<Up>,
    hears: mpsc::UnboundedReceiver<(Kind, Vec<u8>)>,
    desk: JoinHandle<Result<(), StoreError>>,
    bounds: Arc<Bounds>,
    began: Instant,
}

impl Line {
    fn begin(office: &HeadOffice, journal: Journal) -> Self {
        Self::with(office, journal, Arc::default())
    }

    fn with(office: &HeadOffice, journal: Journal, bounds: Arc<Bounds>) -> Self {
        let (sends, hears) = mpsc::unbounded_channel();
        let to_sites: ToSites = Arc::new(move |_, kind, payload| sends.send((kind, payload)).is_ok());
        let (says, heard) = mpsc::channel(64);
        let clock = Arc::new(Running(Instant::now()));
        let (db, site) = (office.db.clone(), journal.site.clone());
        let desk = Desk::new(head_office(), clock, db, site, to_sites, Arc::clone(&bounds), alone());
        let desk = tokio::spawn(desk.run(heard));
        Self {
            journal,
            says,
            hears,
            desk,
            bounds,
            began: Instant::now(),
        }
    }

    /// Says something; what becomes of it is known later.
    async fn say(&self, kind: Kind, payload: Vec<u8>) -> oneshot::Receiver<broker::Outcome> {
        let (receipt, outcome) = Receipt::to_channel();
        assert!(self.says.send(Up { kind, payload, receipt }).await.is_ok());
        outcome
    }

    async fn send(&self, from: usize, to: usize) -> broker::Outcome {
        let outcome = self.say(Kind::Journal, self.journal.batch(from, to)).await;
        outcome.await.unwrap_or(broker::Outcome::Failed)
    }

    /// The next acknowledgement that says this.
    async fn acked(&mut self, mut says: impl FnMut(&Ack) -> bool) -> Ack {
        let keys = PublicKeys(vec![key().public()]);
        loop {
            let (kind, bytes) = self.hears.recv().await.expect("the desk has ended");
            if kind != Kind::Ack {
                continue;
            }
            let ack = Ack::from_bytes(&bytes, &self.journal.site, &keys).unwrap();
            if says(&ack) {
                return ack;
            }
        }
    }

    async fn site(&self, office: &HeadOffice) -> Site {
        let id = self.journal.site.clone();
        let read = office.db.read(move |tx| Ok(load(tx, &id)?.site().clone()));
        read.await.unwrap()
    }
}

/// What a test does while desks run.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(test);
}

/// Rule 7: people are told, and nobody else waits.
fn a_batch_that_cannot_be_stored_breaks_its_site_and_no_other(office: &HeadOffice) {
    let [one, other] = ["S1", "S2"].map(|site| Journal::of_sessions(site, 12));
    let ends = one.ends(20);
    office.add(&one);
    office.add(&other);
    run(async move {
        let (mut one, mut other) = (Line::begin(office, one), Line::begin(office, other));
        assert_eq!(one.send(0, ends[1]).await, broker::Outcome::Acknowledged);
        one.acked(|ack| ack.head.seq == ends[1] as u64).await;
        let set = |to: &'static str| {
            office.db.write(move |tx| {
                let set = format!("UPDATE account SET balance = {to} WHERE name LIKE 'allowance:S1:%'");
                tx.execute(&set, &[])
            })
        };
        // The books do not cover what members spend next.
        assert!(set("balance - balance").await.unwrap() > 10);
        for to in ends[1..].windows(2) {
            let _broken_from_somewhere_on = one.send(to[0], to[1]).await;
        }
        let ack = one.acked(|ack| ack.state == State::Broken).await;
        let site = one.site(office).await;
        assert_eq!((site.state, site.head), (State::Broken, ack.head));
        let why = site.trouble.unwrap();
        assert!(why.contains("cannot be stored") && why.contains("refuses"), "{why}");
        assert_eq!(other.send(0, ends[1]).await, broker::Outcome::Acknowledged);
        other.acked(|ack| ack.head.seq == ends[1] as u64).await;
        // Somebody has put the books right, and has the site tried again.
        assert!(set("balance + 1000000").await.unwrap() > 10);
        one.desk.abort();
        let mut one = Line::begin(office, one.journal);
        let from = site.head.seq as usize;
        let to = *ends.iter().find(|end| **end > from).unwrap();
        assert_eq!(one.send(from, to).await, broker::Outcome::Acknowledged);
        let ack = one.acked(|ack| ack.head.seq == to as u64).await;
        assert_eq!(ack.state, State::Following);
        assert_eq!(one.site(office).await.trouble, None);
    });
}

/// Of everything that a program on a box may send in place of a batch nothing is taken, and nobody else waits for it.
fn a_bad_batch_of_any_kind_is_refused_and_counted_and_another_site_goes_on(office: &HeadOffice) {
    let [one, other] = ["S1", "S2"].map(|site| Journal::of_sessions(site, 12));
    let ends = one.ends(8);
    office.add(&one);
    office.add(&other);
    run(async move {
        let (mut one, mut other) = (Line::begin(office, one), Line::begin(office, other));
        let good = one.journal.batch(0, ends[1]);
        let forged = |at: usize| {
            let mut forged = good.clone();
            forged[at] ^= 1;
            forged
        };
        let stranger = Journal {
            key: [9; 32],
            ..one.journal.clone()
        };
        let of_another_site = {
            let mut batch = Batch::from_bytes(&good).unwrap();
            batch.signature = Batch::sign(
                &other.journal.site,
                one.journal.place(ends[1]),
                &SigningKey::from_seed([7; 32]),
            );
            batch.to_bytes()
        };
        // What unpacks to more than it says, and what says that it unpacks to more than anything does.
        let bomb = |raw: usize| {
            let mut batch = Batch::from_bytes(&good).unwrap();
            let zeros = vec![0; STEP_RAW_MAX];
            batch.body = protocol::pack::Packer::new().pack(&zeros);
            batch.raw = raw as u32;
            batch.to_bytes()
        };
        let bad = [
            ("truncated", good[..good.len() - 7].to_vec()),
            ("nothing", Vec::new()),
            ("no batch", b"HFT1 and so on".to_vec()),
            ("forged in its head", forged(12)),
            ("forged in its entries", forged(good.len() / 2)),
            ("forged in its signature", forged(good.len() - 3)),
            ("wrongly signed", stranger.batch(0, ends[1])),
            ("signed for another site", of_another_site),
            ("oversize", vec![0; FRAME_MAX + 1]),
            ("a bomb", bomb(1_000)),
            ("a bomb as large as can be", bomb(STEP_RAW_MAX)),
            ("a bomb that is larger", bomb(STEP_RAW_MAX + 1)),
        ];
        let refused = broker::Outcome::Refused(broker::RefusalReason::PayloadFormatInvalid);
        for (n, (what, bytes)) in bad.iter().enumerate() {
            let outcome = one.say(Kind::Journal, bytes.clone()).await;
            // The other site does not wait for what becomes of it.
            assert_eq!(other.send(ends[n], ends[n + 1]).await, broker::Outcome::Acknowledged);
            assert_eq!(outcome.await, Ok(refused), "{what}");
        }
        other.acked(|ack| ack.head.seq == ends[bad.len()] as u64).await;
        let site = one.site(office).await;
        assert_eq!((site.head, site.state), (Head::START, State::Following));
        let told = text(&one.bounds.metrics());
        let count = told
            .lines()
            .filter_map(|line| line.strip_prefix("holdfast_batches_refused_total{site=\"S1\",why="));
        let count = count.map(|line| line.split(' ').next_back().unwrap().parse::<usize>().unwrap());
        assert_eq!(count.sum::<usize>(), bad.len(), "{told}");
        assert!(
            told.contains("why=\"not_signed\"") && told.contains("why=\"too_large\""),
            "{told}"
        );
        assert!(other.bounds.metrics().is_empty());
        assert_eq!(one.send(0, ends[1]).await, broker::Outcome::Acknowledged);
        one.acked(|ack| ack.head.seq == ends[1] as u64).await;
    });
}

/// A client of a site at head office's own door.
fn client(site: &str) -> Client {
    Client {
        identity: Identity::new(site),
        credential: Credential(0),
        client_id: Arc::from(site),
        peer: ([127, 0, 0, 1], 1).into(),
        protocol: Protocol::V5,
        connection: 1,
    }
}

#[test]
fn a_site_speaks_for_itself_alone_and_hears_what_is_for_it_alone() {
    let (door, s1) = (Door::default(), client("s1"));
    let [own, other] = ["s1", "s2"].map(|site| SiteId::new(site).unwrap());
    for kind in Kind::ALL {
        let [own, other] = [&own, &other].map(|site| Topic::new(site.clone(), kind).to_string());
        for retain in [false, true] {
            let may = kind.is_up() && (!retain || kind == Kind::Status);
            assert_eq!(
                door.authorize_publish(&s1, &own, QoS::AtLeastOnce, retain),
                may,
                "{own} {retain}"
            );
            assert!(
                !door.authorize_publish(&s1, &other, QoS::AtLeastOnce, retain),
                "{other} {retain}"
            );
            let is_status = kind == Kind::Status;
            assert_eq!(
                door.authorize_will(&s1, &own, QoS::AtLeastOnce, retain),
                is_status,
                "{own}"
            );
            assert!(!door.authorize_will(&s1, &other, QoS::AtLeastOnce, retain), "{other}");
        }
        for topic in [own, other] {
            assert_eq!(door.authorize_subscribe(&s1, &topic), Subscribing::Refused, "{topic}");
        }
    }
    let granted = Subscribing::Direct(QoS::AtLeastOnce);
    assert_eq!(door.authorize_subscribe(&s1, &down_filter(&own)), granted);
    for filter in [
        down_filter(&other),
        up_filter(&own),
        up_filter(&other),
        "#".to_owned(),
        "+/+".to_owned(),
    ] {
        assert_eq!(door.authorize_subscribe(&s1, &filter), Subscribing::Refused, "{filter}");
    }
    assert!(!door.authorize_publish(&s1, "another/topic", QoS::AtLeastOnce, false));
}

#[test]
fn a_certificate_counts_as_long_as_it_is_the_sites_own_and_its_desk_is_here() {
    let (door, site) = (Door::default(), SiteId::new("s1").unwrap());
    // As SHA-256 in hex.
    let [first, second] = ["0".repeat(31) + "1", "0".repeat(31) + "2"].map(|begin| begin + &"f".repeat(32));
    let by = |credential| Client {
        credential: Credential(credential),
        ..client("s1")
    };
    let admitted = |door: &Door| [1, 2].map(|credential| door.is_admitted(&by(credential)));
    door.know([(site.clone(), first)]);
    assert_eq!(admitted(&door), [false, false], "another process may have its desk");
    let _desk = door.begin(&site);
    assert_eq!(admitted(&door), [true, false]);
    door.know([(site.clone(), second)]);
    assert_eq!(admitted(&door), [false, true], "the one before is over");
    assert!(!door.is_admitted(&Client {
        identity: Identity::new("s2"),
        ..by(2)
    }));
    door.know([]);
    assert_eq!(admitted(&door), [false, false], "it was shut out");
}

/// Otherwise every site would give its line up when the database is gone for a minute.
fn a_ping_is_answered_while_the_database_stands_still(office: &HeadOffice) {
    let journal = Journal::of_sessions("S1", 6);
    let ends = journal.ends(20);
    office.add(&journal);
    run(async move {
        let site = journal.site.clone();
        let (sends, mut hears) = mpsc::unbounded_channel();
        let to_sites: ToSites = Arc::new(move |_, kind, payload| sends.send((kind, payload)).is_ok());
        let clock: Arc<dyn Clock> = Arc::new(Running(Instant::now()));
        let door = Door::default();
        let (heard, hearing) = Heard::new(
            head_office(),
            Arc::clone(&clock),
            office.db.clone(),
            Arc::clone(&to_sites),
        );
        door.hear_by(heard);
        tokio::spawn(hearing);
        let says = door.begin(&site);
        let bounds = Arc::default();
        let desk = Desk::new(
            head_office(),
            clock,
            office.db.clone(),
            site.clone(),
            to_sites,
            bounds,
            alone(),
        );
        tokio::spawn(desk.run(says));
        let says = |kind: Kind, payload: Vec<u8>| {
            let (receipt, outcome) = Receipt::to_channel();
            let publish = Publish {
                topic: protocol::topic::Topic::new(site.clone(), kind).to_string().into(),
                payload: payload.into(),
                qos: QoS::AtLeastOnce,
                retain: false,
                dup: false,
                properties: None,
            };
            door.deliver(&client("S1"), &publish, receipt);
            outcome
        };
        // Nobody writes any more: every connection that does is taken, or its row is.
        let (go_on, may_go_on) = std::sync::mpsc::channel::<()>();
        let (holds, held) = oneshot::channel();
        let db = office.db.clone();
        let stands = tokio::spawn(async move {
            let stands = db.write(move |tx| {
                tx.execute("UPDATE site SET name = name", &[])?;
                let _nobody = holds.send(());
                let _until_then = may_go_on.recv();
                Ok(())
            });
            stands.await
        });
        held.await.unwrap();
        let taken = says(Kind::Journal, journal.batch(0, ends[1]));
        for n in 1..4 {
            let nonce = Nonce([n; 16]);
            let _answered = says(Kind::Ping, nonce.0.to_vec());
            loop {
                let (kind, bytes) = hears.recv().await.unwrap();
                if kind == Kind::Pong {
                    let keys = PublicKeys(vec![key().public()]);
                    assert_eq!(Pong::from_bytes(&bytes, &site, &keys).unwrap().nonce, nonce);
                    break;
                }
            }
        }
        go_on.send(()).unwrap();
        stands.await.unwrap().unwrap();
        assert_eq!(taken.await, Ok(broker::Outcome::Acknowledged));
    });
}

fn hello(journal: &Journal, n: u8) -> Hello {
    Hello {
        site: journal.site.clone(),
        protocol: protocol::VERSION,
        station: String::new(),
        agent: String::new(),
        epoch: String::new(),
        begins_after: Head::START,
        head: Head::START,
        acknowledged: None,
        recovering: false,
        hq_epoch: None,
        directives: DirectivesTaken::default(),
        waiting_since: None,
        time_zone: String::new(),
        key: None,
        nonce: Nonce([n; 16]),
    }
}

/// Each is a question to the database and a signature.
fn of_many_hellos_the_latest_is_answered(office: &HeadOffice) {
    let journal = Journal::of_sessions("S1", 6);
    office.add(&journal);
    run(async move {
        let mut line = Line::begin(office, journal);
        let mut said = Vec::new();
        for n in 1..=200 {
            let status = Status::Online(Box::new(hello(&line.journal, n))).to_bytes();
            said.push(line.say(Kind::Status, status).await);
        }
        for outcome in said {
            assert_eq!(outcome.await, Ok(broker::Outcome::Acknowledged));
        }
        let mut answered = 0;
        line.acked(|ack| {
            answered += usize::from(ack.nonce != Nonce::NONE);
            ack.nonce == Nonce([200; 16])
        })
        .await;
        let seconds = line.began.elapsed().as_secs() as usize;
        assert!(answered <= seconds + 2, "{answered} in {seconds} s");
        let long = Status::Online(Box::new(Hello {
            station: "x".repeat(STATUS_BYTES_MAX),
            ..hello(&line.journal, 201)
        }));
        assert!(Status::from_bytes(&long.to_bytes()).is_err());
    });
}

fn batches_of_many_sites_for_which_there_is_room_for_one_are_taken_one_after_the_other(office: &HeadOffice) {
    let journals: Vec<Journal> = (0..4).map(|n| Journal::of_sessions(&format!("S{n}"), 4)).collect();
    journals.iter().for_each(|journal| drop(office.add(journal)));
    run(async move {
        let bounds = Arc::new(Bounds {
            room: Room::of(1),
            ..Bounds::default()
        });
        let begin = |journal: Journal| Line::with(office, journal, Arc::clone(&bounds));
        let mut lines: Vec<Line> = journals.into_iter().map(begin).collect();
        let place = bounds.room.try_take(1).unwrap();
        let mut outcomes = Vec::new();
        for line in &lines {
            for ends in line.journal.ends(10).windows(2) {
                outcomes.push(line.say(Kind::Journal, line.journal.batch(ends[0], ends[1])).await);
            }
        }
        assert!(bounds.room.try_take(1).is_none());
        drop(place);
        for outcome in outcomes {
            assert_eq!(outcome.await, Ok(broker::Outcome::Acknowledged));
        }
        for line in &mut lines {
            let end = line.journal.entries.len() as u64;
            line.acked(|ack| ack.head.seq == end).await;
        }
    });
}
