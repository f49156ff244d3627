//! A site's rows elsewhere: following its journal gives the same rows, also where everything is forgotten after every fact;
//! and what contradicts them is refused.

use crate::{
    bench::*,
    found,
    happens::{happen, happens, station},
};
use domain::{
    contradiction::Contradicts,
    fact::Fact,
    journal::{Entry, Stamp},
    ledger::LedgerError,
    order::{Illegal, State, Step},
    settlement::Split,
    site::{Contradiction, NotFollowed, Replica, Rows},
    time::{Mono, Wall},
};
use proptest::prelude::*;
use serde::{Serialize, de::DeserializeOwned};
use std::fmt::Debug;

const START: Stamp = Stamp {
    seq: 0,
    at: Wall(0),
    mono: Mono(0),
};

/// Head office as far as rows go: a replica, and a store that has what changed and nothing else.
#[derive(Clone)]
pub(crate) struct Office {
    pub(crate) replica: Replica,
    pub(crate) disk: Rows,
}

impl Office {
    pub(crate) fn new() -> Self {
        Self {
            replica: Replica::new(START, Rows::default()),
            disk: Rows::default(),
        }
    }

    /// Loads, follows, writes, evicts.
    pub(crate) fn follow(&mut self, stamp: Stamp, fact: &Fact) -> Result<(), NotFollowed> {
        self.take_in(stamp, fact)?;
        self.write()
    }

    pub(crate) fn take_in(&mut self, stamp: Stamp, fact: &Fact) -> Result<(), NotFollowed> {
        for round in 0.. {
            let keys = self.replica.needs(fact);
            if keys.is_empty() {
                break;
            }
            assert!(round < 4, "needs are met in the end: {keys:?}");
            for key in keys {
                self.replica.load(stored(&self.disk, key));
            }
        }
        self.replica.follow(stamp, fact)
    }

    pub(crate) fn write(&mut self) -> Result<(), NotFollowed> {
        let changes = self.replica.take_changes()?;
        keep(&mut self.disk, self.replica.rows(), &changes);
        let rows = &self.disk;
        changes.orders.iter().for_each(|id| is_read_again(&rows.orders[id]));
        changes.members.iter().for_each(|id| is_read_again(&rows.members[id]));
        changes.piles.iter().for_each(|id| is_read_again(&rows.piles[id]));
        changes.cards.iter().for_each(|id| is_read_again(&rows.cards[id]));
        changes
            .quarantine
            .iter()
            .for_each(|id| is_read_again(&rows.quarantine[id]));
        changes.receipts.iter().for_each(|id| is_read_again(&rows.receipts[id]));
        changes.slips.iter().for_each(|id| is_read_again(&rows.slips[id]));
        changes.shifts.iter().for_each(|id| is_read_again(&rows.shifts[id]));
        changes
            .desk_days
            .iter()
            .for_each(|id| is_read_again(&rows.desk_days[id]));
        let sums = changes.energy_days.iter().filter_map(|key| rows.energy.open.get(key));
        sums.for_each(is_read_again);
        changes.transfers.iter().for_each(is_read_again);
        let balances = changes.accounts.iter().map(|account| rows.ledger.balance(account));
        balances.for_each(|balance| is_read_again(&balance));
        is_read_again(&rows.clock);
        self.replica.evict();
        Ok(())
    }
}

fn is_read_again<T: Serialize + DeserializeOwned + PartialEq + Debug>(row: &T) {
    let text = serde_json::to_string(row).unwrap();
    let read: T = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(read, *row);
}

/// Every fact through its stored bytes, as it comes to head office.
pub(crate) fn carried(stamp: Stamp, fact: &Fact) -> Entry {
    let bytes = Entry::bytes_of(&"S1".parse().unwrap(), "e", stamp, fact);
    Entry::from_bytes(&bytes).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, max_shrink_iters: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_journal_that_is_followed_gives_the_rows_of_replaying_it(sequence in prop::collection::vec(happens(), 1..90)) {
        let mut bench = station(true);
        for what in &sequence {
            happen(&mut bench, what);
        }
        // One forgets everything after every fact, the other after every step, which it checks.
        let (mut forgetful, mut stepping) = (Office::new(), Office::new());
        let mut ends = bench.steps.iter().copied().peekable();
        for (n, (stamp, fact)) in bench.facts.iter().enumerate() {
            let entry = carried(*stamp, fact);
            forgetful.follow(entry.stamp, &entry.fact).unwrap();
            stepping.take_in(entry.stamp, &entry.fact).unwrap();
            while ends.peek().is_some_and(|end| *end <= n) {
                ends.next();
            }
            if ends.peek() == Some(&(n + 1)) {
                stepping.replica.end_step().unwrap();
                stepping.write().unwrap();
            }
        }
        prop_assert_eq!(found(&forgetful.disk), found(&bench.disk));
        prop_assert_eq!(found(&stepping.disk), found(&bench.disk));
        prop_assert_eq!(forgetful.replica.last(), bench.facts.last().unwrap().0);
    }
}

/// A station with an order that charges, one that is settled, and a shift at the desk; and whoever follows it.
fn followed() -> (Bench, Office) {
    let mut bench = Bench::new();
    let (id, began) = bench.charge("m", "P1", "20");
    bench.deliver("P1", &id, HOUR, "1005");
    let record = bench.record_since("P1", &id, began, "1000", "1005");
    bench.send_record("P1", &record);
    assert_eq!(bench.state(&id), State::Payed);
    bench.charge("m", "P2", "20");
    let mut office = Office::new();
    for (stamp, fact) in &bench.facts {
        office.follow(*stamp, fact).unwrap();
    }
    (bench, office)
}

fn next(office: &Office) -> Stamp {
    let last = office.replica.last();
    Stamp {
        seq: last.seq + 1,
        ..last
    }
}

#[test]
fn a_fact_that_contradicts_the_rows_is_refused_with_its_reason() {
    let (bench, office) = followed();
    let order_in = |state| {
        let is_it = |order: &&domain::order::Order| order.state == state;
        bench.disk.orders().find(is_it).unwrap().id.clone()
    };
    let (settled, charging, nobody) = (order_in(State::Payed), order_in(State::Charging), order_id("nobody"));
    let payment = Default::default();
    let settles = |order| Fact::OrderSettled { order, payment };
    let by = || "desk".to_owned();
    let step = |order: &domain::ids::OrderId, state, step| Contradicts::Step {
        order: order.clone(),
        illegal: Illegal {
            state: Some(state),
            step,
        },
    };
    let cases = [
        (settles(nobody.clone()), Contradicts::UnknownOrder(nobody.clone())),
        (settles(charging.clone()), Contradicts::NoBill(charging.clone())),
        (
            Fact::StopRequested {
                order: settled.clone(),
                cause: domain::fact::StopCause::FundsUsed,
                pile_online: true,
            },
            step(&settled, State::Payed, Step::StopAsked),
        ),
        (
            Fact::HoldTaken {
                order: charging.clone(),
                amount: yuan("1"),
            },
            Contradicts::HeldTwice(charging.clone()),
        ),
        (
            Fact::OrderSettled {
                order: settled.clone(),
                payment: domain::settlement::Payment {
                    from_allowance: Split {
                        electricity: yuan("1000"),
                        service: yuan("0"),
                    },
                    ..payment
                },
            },
            Contradicts::Money(LedgerError::Insufficient {
                account: "allowance:m".parse().unwrap(),
                balance: bench.allowance("m"),
                amount: yuan("1000"),
            }),
        ),
        (
            Fact::DebtPaid {
                member: member("m"),
                order: settled.clone(),
                amount: yuan("1"),
                from: domain::fact::PaidFrom::Cash,
                receipt: "R".to_owned(),
                by: by(),
                directive: None,
            },
            Contradicts::TooMuch {
                amount: yuan("1"),
                most: yuan("0"),
            },
        ),
        (
            Fact::OrderRepinned {
                order: settled,
                tariff: "t9".parse().unwrap(),
            },
            Contradicts::UnknownTariff("t9".parse().unwrap()),
        ),
        (
            Fact::PileRemoved {
                pile: pile("P9"),
                by: by(),
            },
            Contradicts::UnknownPile(pile("P9")),
        ),
        (
            Fact::ShiftClosed {
                shift: 5,
                till: bench.disk.till(),
                by: by(),
            },
            Contradicts::ShiftNotOpen(5),
        ),
        (
            Fact::ShiftOpened {
                till: yuan("1"),
                by: by(),
            },
            Contradicts::Till {
                said: yuan("1"),
                known: bench.disk.till(),
            },
        ),
    ];
    for (fact, why) in cases {
        let mut office = office.clone();
        let stamp = next(&office);
        let contradiction = Contradiction { seq: stamp.seq, why };
        let refused = NotFollowed::Contradiction(contradiction.clone());
        assert_eq!(office.follow(stamp, &fact), Err(refused.clone()), "{fact:?}");
        // From here on it follows nothing, and nothing of the step can be written.
        assert_eq!(office.replica.broken(), Some(&contradiction));
        let fine = Fact::ClockStepped { by_ms: 1 };
        assert_eq!(office.replica.follow(stamp, &fine), Err(refused.clone()));
        assert_eq!(office.replica.take_changes(), Err(refused.clone()));
        assert_eq!(office.replica.end_step(), Err(refused));
    }
}

#[test]
fn an_entry_out_of_place_or_back_in_time_contradicts() {
    let (_, office) = followed();
    let (last, stamp) = (office.replica.last(), next(&office));
    let expected = stamp.seq;
    let places = [
        (last, Contradicts::OutOfPlace { expected }),
        (
            Stamp {
                seq: stamp.seq + 1,
                ..stamp
            },
            Contradicts::OutOfPlace { expected },
        ),
        (
            Stamp {
                mono: Mono(last.mono.0 - 1),
                ..stamp
            },
            Contradicts::BackInTime { before: last.mono },
        ),
        (
            Stamp {
                at: Wall(i64::MAX),
                ..stamp
            },
            Contradicts::OutOfRange("its time"),
        ),
    ];
    for (stamp, why) in places {
        let refused = office.clone().follow(stamp, &Fact::ClockStepped { by_ms: 1 });
        assert_eq!(refused, Err(Contradiction { seq: stamp.seq, why }.into()));
    }
}

#[test]
fn a_row_that_was_not_loaded_changes_nothing() {
    let (_, mut office) = followed();
    let fact = Fact::MemberBlocked {
        member: member("n"),
        reason: None,
        by: "desk".to_owned(),
        head_office: false,
    };
    let (stamp, before) = (next(&office), office.replica.rows().clone());
    let refused = office.replica.follow(stamp, &fact).unwrap_err();
    assert!(matches!(refused, NotFollowed::NotLoaded(_)), "{refused}");
    assert_eq!((office.replica.rows(), office.replica.broken()), (&before, None));
    // Once it has been looked for, it is known that there is no such member.
    let refused = office.follow(stamp, &fact).unwrap_err();
    assert!(matches!(refused, NotFollowed::Contradiction(_)), "{refused}");
}

#[test]
fn books_that_are_wrong_at_the_end_of_a_step_contradict() {
    let (bench, mut office) = followed();
    let order = bench.disk.orders().find(|order| order.state == State::Payed).unwrap();
    // Charged beside the bill: each fact for itself can be.
    let fact = Fact::OrderSettled {
        order: order.id.clone(),
        payment: domain::settlement::Payment {
            from_allowance: Split {
                electricity: yuan("0.01"),
                service: yuan("0"),
            },
            ..Default::default()
        },
    };
    let stamp = next(&office);
    office.take_in(stamp, &fact).unwrap();
    let wrong = office.replica.end_step().unwrap_err();
    assert!(wrong.to_string().contains("and its bill says"), "{wrong}");
    assert_eq!(office.write(), Err(wrong));
}

/// Prints how fast a journal is followed; with `--release`, `--ignored` and `--nocapture`. A store that is a map costs little.
#[test]
#[ignore = "it measures, and holds nothing"]
fn how_fast_a_journal_is_followed() {
    let mut bench = Bench::new();
    bench.top_up("m", "100000");
    let mut meters = ["P1", "P2", "P3"].map(|pile| (pile, 1_000_u32));
    for n in 0..1_500 {
        let (pile, meter) = &mut meters[n % 3];
        let (id, began) = bench.charge("m", pile, "20");
        let (from, to) = (meter.to_string(), (*meter + 5).to_string());
        bench.deliver(pile, &id, HOUR, &to);
        let record = bench.record_since(pile, &id, began, &from, &to);
        bench.send_record(pile, &record);
        bench.idle(pile);
        *meter += 5;
    }
    let site = "S1".parse().unwrap();
    let stored: Vec<Vec<u8>> = bench
        .facts
        .iter()
        .map(|(stamp, fact)| Entry::bytes_of(&site, "e", *stamp, fact))
        .collect();
    let bytes: usize = stored.iter().map(Vec::len).sum();
    let (facts, begin) = (stored.len(), std::time::Instant::now());
    let entries: Vec<Entry> = stored.iter().map(|bytes| Entry::from_bytes(bytes).unwrap()).collect();
    let read = begin.elapsed();
    let (mut office, begin) = (Office::new(), std::time::Instant::now());
    for batch in entries.chunks(1_000) {
        for entry in batch {
            office.take_in(entry.stamp, &entry.fact).unwrap();
        }
        let changes = office.replica.take_changes().unwrap();
        keep(&mut office.disk, office.replica.rows(), &changes);
        office.replica.evict();
    }
    let followed = begin.elapsed();
    let per_second = |time: std::time::Duration| facts as f64 / time.as_secs_f64();
    println!(
        "{facts} facts of {} bytes: {:.0}/s read, {:.0}/s followed",
        bytes / facts,
        per_second(read),
        per_second(followed)
    );
}
