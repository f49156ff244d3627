//! Head office's copy of simulated stations: the same rows by the same code, books that are equal to the fen, whatever is
//! sent twice, too early, or by somebody else.

#![allow(clippy::unwrap_used, reason = "what a test cannot go on without fails it")]

use central::{
    ingest::{Read, SiteCopy, Taken, take},
    store::{
        Db, Place, StoreError, Value,
        findings::{self, Class, Filter, Finding},
        ledger::mirrored,
        replica, sites,
    },
    upkeep,
};
use domain::{
    fact::Fact,
    ids::SiteId,
    journal::{Entry, Hash, Head, Stamp},
    site::{Changes, Key, Loaded, Rows},
    time::Wall,
};
use protocol::{
    frame::{Batch, Malformed, State},
    key::SigningKey,
    pack::Packer,
};
use std::sync::{Arc, Mutex};
use world::world::journal_of;

const ME: &str = "here";
const NOW: Wall = Wall(1_772_323_200_000);

/// A station's journal, cut into batches.
struct Journal {
    site: SiteId,
    key: SigningKey,
    entries: Vec<Vec<u8>>,
}

impl Journal {
    fn of(seed: u64) -> Self {
        let entries = journal_of(seed).unwrap();
        let site = Entry::from_bytes(&entries[0]).unwrap().site;
        Self {
            site,
            key: SigningKey::from_seed([7; 32]),
            entries,
        }
    }

    fn place(&self, seq: usize) -> Head {
        let seal = |hash: Hash, bytes: &Vec<u8>| Hash::seal(&hash, bytes);
        Head {
            seq: seq as u64,
            hash: self.entries[..seq].iter().fold(Hash::GENESIS, seal),
        }
    }

    fn batch(&self, from: usize, to: usize) -> Vec<u8> {
        let before = self.place(from);
        let signature = Batch::sign(&self.site, self.place(to), &self.key);
        let batch = Batch::pack(before, &self.entries[from..to], signature, &mut Packer::new()).unwrap();
        batch.to_bytes()
    }

    /// After how many entries a step has ended, every `some` entries.
    fn ends(&self, some: usize) -> Vec<usize> {
        let now = |n: usize| Stamp::of_entry(&self.entries[n]).unwrap().now();
        let mut ends = vec![0];
        for n in 1..self.entries.len() {
            if now(n) != now(n - 1) && n - ends.last().unwrap() >= some {
                ends.push(n);
            }
        }
        ends.push(self.entries.len());
        ends
    }

    /// The entries in which a till was counted otherwise than its books say. Each is a finding of its own (rule 20).
    fn tills_counted_otherwise(&self) -> Vec<u64> {
        let entries = self.entries.iter().map(|bytes| Entry::from_bytes(bytes).unwrap());
        let otherwise =
            entries.filter(|entry| matches!(&entry.fact, Fact::CashCounted { difference, .. } if difference.0 != 0));
        otherwise.map(|entry| entry.stamp.seq).collect()
    }

    fn replayed(&self) -> Rows {
        let mut rows = Rows::default();
        for bytes in &self.entries {
            let entry = Entry::from_bytes(bytes).unwrap();
            rows.apply(entry.stamp, &entry.fact, &mut Changes::default());
        }
        rows
    }
}

/// Head office, with one site.
struct HeadOffice {
    db: Db,
    site: SiteId,
    keys: Vec<sites::EdgeKey>,
    copy: Arc<Mutex<SiteCopy>>,
}

impl HeadOffice {
    async fn of(journal: &Journal) -> Self {
        let db = Db::open(&Place::Memory).unwrap();
        let (site, key) = (journal.site.clone(), journal.key.public());
        let copy = db
            .write(move |tx| {
                sites::add(tx, &site, "a station", &[sites::EdgeKey { key, from: 0 }])?;
                assert!(sites::own(tx, &site, ME, NOW, NOW.after_ms(20_000))?);
                let found = sites::find(tx, &site)?.unwrap();
                SiteCopy::load(tx, found)
            })
            .await
            .unwrap();
        Self {
            db,
            site: journal.site.clone(),
            keys: vec![sites::EdgeKey { key, from: 0 }],
            copy: Arc::new(Mutex::new(copy)),
        }
    }

    async fn take(&self, bytes: &[u8]) -> Result<Taken, StoreError> {
        let read = Read::of(bytes, &self.site, &self.keys).unwrap();
        let copy = Arc::clone(&self.copy);
        self.db
            .write(move |tx| take(tx, ME, &mut copy.lock().unwrap(), &read, NOW))
            .await
    }

    fn head(&self) -> Head {
        self.copy.lock().unwrap().site().head
    }

    /// Begins again with what the database has.
    async fn restart(&self) {
        let site = self.site.clone();
        let loaded = self.db.read(move |tx| {
            let found = sites::find(tx, &site)?.unwrap();
            SiteCopy::load(tx, found)
        });
        *self.copy.lock().unwrap() = loaded.await.unwrap();
    }

    async fn findings(&self) -> Vec<Finding> {
        let listed = self.db.read(|tx| findings::list(tx, &Filter::default(), None, 1_000));
        listed.await.unwrap().into_iter().map(|found| found.finding).collect()
    }

    /// Every bill was rated the same, tills differ where they were counted otherwise, and what looks after the copy finds it
    /// whole.
    async fn look_after(&self, end: Head, tills: &[u64]) {
        let found = self.findings().await;
        assert!(found.iter().all(|found| found.class == Class::Cash), "{found:?}");
        let mut counted: Vec<u64> = found.iter().map(|found| found.seq).collect();
        counted.sort_unstable();
        assert_eq!(counted, tills);
        let site = self.site.clone();
        let looked = self.db.read(move |tx| {
            let rows = upkeep::replica::verify(tx, &site)?;
            let journal = upkeep::journal::verify(tx, &site, Some(end))?;
            Ok((rows, journal, upkeep::ledger::verify(tx)?))
        });
        let (rows, journal, books) = looked.await.unwrap();
        assert!(rows.is_right() && rows.looked_at > 0, "{rows:?}");
        assert_eq!((journal.head, journal.fault), (end, None));
        assert!(books.is_right(), "{books:?}");
    }

    /// Every row of the site, as the station has them after `rows`.
    async fn check(&self, rows: Rows) {
        let site = self.site.clone();
        self.db
            .read(move |tx| {
                for (id, order) in &rows.orders {
                    let here = replica::load(tx, &site, vec![Key::Order(id.clone())])?.remove(0);
                    let held = rows.ledger.balance(&domain::ledger::Account::Held(id.clone()));
                    let id = id.clone();
                    assert_eq!(
                        here,
                        Loaded::Order {
                            id,
                            order: order.clone(),
                            held
                        }
                    );
                }
                for (id, member) in &rows.members {
                    let here = replica::load(tx, &site, vec![Key::Member(id.clone())])?.remove(0);
                    let (allowance, debt) = (rows.ledger.allowance(id), -rows.ledger.debt(id));
                    let (id, member) = (id.clone(), member.clone());
                    assert_eq!(
                        here,
                        Loaded::Member {
                            id,
                            member,
                            allowance,
                            debt
                        }
                    );
                }
                for (item, row) in &rows.quarantine {
                    let here = replica::load(tx, &site, vec![Key::Quarantine(*item)])?.remove(0);
                    let (item, row) = (*item, row.clone());
                    assert_eq!(here, Loaded::Quarantine { item, row });
                }
                let always = replica::always(tx, &site)?;
                assert_eq!(always.piles, rows.piles);
                assert_eq!(always.tariffs, rows.tariffs);
                assert_eq!(always.energy.days, rows.energy.days);
                assert_eq!(always.energy.open, rows.energy.open);
                assert_eq!(always.clock, rows.clock);
                assert_eq!(always.desk, rows.desk);

                // The books are equal to the fen, and nothing is in them that is not the station's.
                let mut accounts = tx.query(
                    "SELECT name, balance FROM account WHERE balance <> 0 ORDER BY name",
                    &[],
                )?;
                let here: Vec<(String, i64)> = accounts
                    .iter_mut()
                    .map(|row| (row.text(0).unwrap(), row.int(1).unwrap()))
                    .collect();
                let mut there: Vec<(String, i64)> = rows
                    .ledger
                    .accounts()
                    .filter(|(_, balance)| balance.0 != 0)
                    .map(|(account, balance)| (mirrored(&site, account), balance.0))
                    .collect();
                there.sort();
                assert_eq!(here, there);
                assert_eq!(here.iter().map(|(_, balance)| balance).sum::<i64>(), 0);
                Ok(())
            })
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_bill_that_was_altered_is_found_and_nothing_else() {
    let mut journal = Journal::of(1);
    let mut altered = None;
    for bytes in &mut journal.entries {
        let mut entry = Entry::from_bytes(bytes).unwrap();
        if let Fact::OrderRated { order, bill, .. } = &mut entry.fact
            && altered.is_none()
            && bill.energy.0 > 10
        {
            // One line has a little less than its readings say, and the totals are as they were.
            bill.segments[0].energy.0 -= 1;
            altered = Some((entry.stamp.seq, order.clone()));
            *bytes = entry.to_bytes();
        }
    }
    let (seq, order) = altered.unwrap();
    let head_office = HeadOffice::of(&journal).await;
    for ends in journal.ends(40).windows(2) {
        let taken = head_office.take(&journal.batch(ends[0], ends[1])).await;
        assert_eq!(taken, Ok(Taken::Followed), "the site's bill stands");
    }
    let found = head_office.findings().await;
    let [found] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((found.seq, found.order.as_ref()), (seq, Some(&order)));
    assert_eq!(found.class, Class::Rating);
}

#[tokio::test]
async fn the_copy_has_the_rows_and_the_books_of_the_station_also_after_a_restart() {
    let mut tills = 0;
    for seed in [1, 2, 3, 154, 1948] {
        let journal = Journal::of(seed);
        let head_office = HeadOffice::of(&journal).await;
        for (n, ends) in journal.ends(40).windows(2).enumerate() {
            let taken = head_office.take(&journal.batch(ends[0], ends[1])).await.unwrap();
            assert_eq!(taken, Taken::Followed, "life {seed}, entries {ends:?}");
            if n % 7 == 0 {
                head_office.restart().await;
            }
        }
        let end = journal.place(journal.entries.len());
        assert_eq!(head_office.head(), end);
        head_office.check(journal.replayed()).await;
        let otherwise = journal.tills_counted_otherwise();
        head_office.look_after(end, &otherwise).await;
        tills += otherwise.len();
    }
    assert!(tills > 0, "no till was counted otherwise in any of the lives");
}

#[tokio::test]
async fn rule_9_what_is_here_is_skipped_what_overlaps_is_checked_and_a_gap_is_not_taken() {
    let journal = Journal::of(4);
    let head_office = HeadOffice::of(&journal).await;
    let ends = journal.ends(30);
    let (a, b, c) = (ends[1], ends[2], ends[3]);
    assert_eq!(head_office.take(&journal.batch(a, b)).await, Ok(Taken::Gap));
    assert_eq!(head_office.head(), Head::START);
    assert_eq!(head_office.take(&journal.batch(0, b)).await, Ok(Taken::Followed));
    for (from, to) in [(0, b), (0, a), (a, b)] {
        assert_eq!(head_office.take(&journal.batch(from, to)).await, Ok(Taken::Followed));
        assert_eq!(head_office.head().seq, b as u64, "it is here already");
    }
    // Of one that overlaps, the rest is new.
    assert_eq!(head_office.take(&journal.batch(a, c)).await, Ok(Taken::Followed));
    assert_eq!(head_office.head(), journal.place(c));
    for ends in journal.ends(30)[3..].windows(2) {
        assert_eq!(
            head_office.take(&journal.batch(ends[0], ends[1])).await,
            Ok(Taken::Followed)
        );
    }
    head_office.check(journal.replayed()).await;
}

#[tokio::test]
async fn another_journal_of_the_same_site_is_a_fork_wherever_it_begins() {
    for ends_with in [0, 1] {
        let journal = Journal::of(5);
        let head_office = HeadOffice::of(&journal).await;
        let ends = journal.ends(30);
        for ends in ends[..4].windows(2) {
            assert_eq!(
                head_office.take(&journal.batch(ends[0], ends[1])).await,
                Ok(Taken::Followed)
            );
        }
        let head = head_office.head();
        // A copy of the disk goes on by itself, from before the head, up to it or beyond it.
        let mut other = Journal::of(5);
        let from = ends[2];
        let last = Entry::from_bytes(&other.entries[from]).unwrap();
        for bytes in &mut other.entries[from..] {
            let mut entry = Entry::from_bytes(bytes).unwrap();
            entry.fact = Fact::ClockStepped { by_ms: 7 };
            entry.stamp.mono = last.stamp.mono;
            *bytes = entry.to_bytes();
        }
        let to = if ends_with == 0 { ends[3] } else { ends[4] };
        let taken = head_office.take(&other.batch(from, to)).await.unwrap();
        assert!(
            matches!(&taken, Taken::Stopped { state: State::Forked, why } if why.contains("two journals")),
            "{taken:?}"
        );
        assert_eq!(head_office.head(), head, "nothing of it is taken");
        head_office.restart().await;
        assert_eq!(head_office.copy.lock().unwrap().site().state, State::Forked);
    }
}

#[tokio::test]
async fn rule_1_a_batch_with_an_entry_that_is_not_known_here_or_contradicts_is_not_taken_at_all() {
    for (what, state) in [
        (r#"{"FutureKind":{"order":"x"}}"#, State::Ahead),
        (
            r#"{"OrderSettled":{"order":"nobody","payment":{"from_hold":{"electricity":"0.00","service":"0.00"},"from_allowance":{"electricity":"0.00","service":"0.00"},"on_debt":{"electricity":"0.00","service":"0.00"},"debt_cut":"0.00","refund":"0.00","release":"0.00"}}}"#,
            State::Broken,
        ),
        (
            r#"{"ToppedUp":{"member":"m0","amount":"0.00","receipt":"r","by":"x"}}"#,
            State::Broken,
        ),
    ] {
        let mut journal = Journal::of(6);
        let ends = journal.ends(30);
        let at = ends[2];
        let entry = String::from_utf8(journal.entries[at].clone()).unwrap();
        let (before, _) = entry.split_once(r#""fact":"#).unwrap();
        journal.entries[at] = format!("{before}\"fact\":{what}}}").into_bytes();
        let head_office = HeadOffice::of(&journal).await;
        assert_eq!(head_office.take(&journal.batch(0, ends[1])).await, Ok(Taken::Followed));
        let whole = head_office.take(&journal.batch(ends[1], ends[3])).await.unwrap();
        assert!(
            matches!(&whole, Taken::Stopped { state: found, .. } if *found == state),
            "{what}: {whole:?}"
        );
        assert_eq!(head_office.head(), journal.place(ends[1]), "whole or not at all");
        // What comes before it in a batch of its own is still taken.
        assert_eq!(
            head_office.take(&journal.batch(ends[1], ends[2])).await,
            Ok(Taken::Followed)
        );
        assert_eq!(head_office.head(), journal.place(ends[2]));
    }
}

#[tokio::test]
async fn a_batch_that_the_station_did_not_sign_is_no_batch() {
    let journal = Journal::of(7);
    let head_office = HeadOffice::of(&journal).await;
    let mut stranger = Journal::of(7);
    stranger.key = SigningKey::from_seed([9; 32]);
    let read = Read::of(&stranger.batch(0, 30), &head_office.site, &head_office.keys);
    assert!(matches!(read, Err(Malformed::NotSigned(_))));
}

#[tokio::test]
async fn rule_9_whoever_lost_the_site_writes_nothing() {
    let journal = Journal::of(8);
    let head_office = HeadOffice::of(&journal).await;
    let ends = journal.ends(30);
    let site = head_office.site.clone();
    // Another process has taken it, when this one's time was over.
    let late = NOW.after_ms(20_000);
    let owned = head_office
        .db
        .write(move |tx| sites::own(tx, &site, "other", late, late.after_ms(20_000)));
    assert_eq!(owned.await, Ok(true));
    let refused = head_office.take(&journal.batch(0, ends[1])).await;
    assert_eq!(refused, Err(StoreError::NotOwner));
    let counted = head_office.db.read(|tx| {
        let tables = ["batch", "transfer", "r_order", "r_pile", "r_state"];
        let count = |table: &str| {
            tx.query(&format!("SELECT COUNT(*) FROM {table}"), &[])
                .unwrap()
                .remove(0)
                .0
                .remove(0)
        };
        Ok(tables.map(count))
    });
    assert_eq!(counted.await.unwrap(), [0, 0, 0, 0, 0].map(Value::Int));
}
