//! A site's desk with its clock, its queue and its database: what becomes of what cannot be taken, and that other sites go on.

use crate::{
    everywhere,
    head_office::{HeadOffice, ME, NOW, load},
    journal::Journal,
};
use broker::Receipt;
use central::{
    desk::{Clock, Desk, Office, ToSites},
    door::Up,
    store::sites::Site,
};
use domain::time::{Mono, Wall};
use protocol::{
    frame::{Ack, HqEpoch, State},
    key::{PublicKeys, SigningKey},
    topic::Kind,
};
use std::{sync::Arc, time::Instant};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

everywhere! {
    a_batch_that_cannot_be_stored_breaks_its_site_and_no_other
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

fn key() -> SigningKey {
    SigningKey::from_seed([2; 32])
}

/// A site with its desk.
struct Line {
    journal: Journal,
    says: mpsc::Sender<Up>,
    hears: mpsc::UnboundedReceiver<(Kind, Vec<u8>)>,
    desk: JoinHandle<Result<(), central::store::StoreError>>,
}

impl Line {
    fn begin(office: &HeadOffice, journal: Journal) -> Self {
        let of = Office {
            process: ME.to_owned(),
            hq_epoch: HqEpoch([1; 16]),
            key: key(),
        };
        let (sends, hears) = mpsc::unbounded_channel();
        let to_sites: ToSites = Arc::new(move |_, kind, payload| sends.send((kind, payload)).is_ok());
        let (says, heard) = mpsc::channel(64);
        let clock = Arc::new(Running(Instant::now()));
        let desk = Desk::new(Arc::new(of), clock, office.db.clone(), journal.site.clone(), to_sites);
        let desk = tokio::spawn(desk.run(heard));
        Self {
            journal,
            says,
            hears,
            desk,
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
    async fn acked(&mut self, says: impl Fn(&Ack) -> bool) -> Ack {
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
