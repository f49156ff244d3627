//! Journals that no station wrote: real ones with facts changed, moved, left out and said twice. Whoever follows them is told
//! what contradicts, keeps nothing that cannot be read again, and never panics.

use crate::{
    bench::Seeded,
    happens::{happen, happens, station},
    replica::{Office, carried},
};
use domain::{
    fact::Fact,
    ids::Randomness,
    journal::Stamp,
    site::NotFollowed,
    time::{Mono, Wall},
};
use proptest::prelude::*;
use serde_json::Value;
use std::collections::BTreeMap;

/// What stands in a journal under each name, to be put where it does not belong.
type Words = BTreeMap<String, Vec<Value>>;

/// Texts and numbers at the ends of what can be read.
const EXTREMES: [&str; 12] = [
    "0",
    "-1",
    "18446744073709551615",
    "9223372036854775807",
    "-9223372036854775808",
    "4294967295",
    "\"-0.01\"",
    "\"0.00\"",
    "\"1000000000000.00\"",
    "\"-10000000000.0000\"",
    "\"10000000000.0000\"",
    "\"2199-12-31T23:59:59Z\"",
];

fn below(dice: &mut Seeded, count: usize) -> usize {
    usize::try_from(dice.bits() % u128::try_from(count.max(1)).unwrap()).unwrap()
}

/// Shows `each` every value that has no others in it, with the name it stands under.
fn leaves(name: &str, value: &mut Value, each: &mut dyn FnMut(&str, &mut Value)) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            fields.iter_mut().for_each(|(name, value)| leaves(name, value, each));
        }
        Value::Array(values) if !values.is_empty() => values.iter_mut().for_each(|value| leaves(name, value, each)),
        leaf => each(name, leaf),
    }
}

/// The same kind of fact with something else in it, if it can be read at all.
fn altered(fact: &Fact, words: &Words, dice: &mut Seeded) -> Option<Fact> {
    let mut json = serde_json::to_value(fact).unwrap();
    let mut count = 0;
    leaves("", &mut json, &mut |_, _| count += 1);
    for _ in 0..=below(dice, 2) {
        let (chosen, mut at) = (below(dice, count), 0);
        let (kind, from) = (below(dice, 4), below(dice, 1_000));
        leaves("", &mut json, &mut |name, leaf| {
            at += 1;
            if at != chosen + 1 {
                return;
            }
            let others = words.get(name).filter(|_| kind < 2);
            match others {
                Some(others) => *leaf = others[from % others.len()].clone(),
                None if kind == 3 && from % 4 == 0 => *leaf = Value::Null,
                None => *leaf = serde_json::from_str(EXTREMES[from % EXTREMES.len()]).unwrap(),
            }
        });
    }
    serde_json::from_value(json).ok()
}

/// A journal in which some facts are others than were written, elsewhere, twice or not there.
fn forged(facts: &[(Stamp, Fact)], dice: &mut Seeded) -> Vec<(Stamp, Fact)> {
    let mut words = Words::new();
    for (_, fact) in facts {
        let mut json = serde_json::to_value(fact).unwrap();
        leaves("", &mut json, &mut |name, leaf| {
            words.entry(name.to_owned()).or_default().push(leaf.clone());
        });
    }
    let mut journal = Vec::new();
    for (stamp, fact) in facts {
        let (_, elsewhere) = &facts[below(dice, facts.len())];
        match below(dice, 24) {
            0 => {}
            1 => journal.extend([(*stamp, fact.clone()), (*stamp, fact.clone())]),
            2 => journal.extend([(*stamp, elsewhere.clone()), (*stamp, fact.clone())]),
            3..=8 => {
                journal.extend(altered(fact, &words, dice).map(|fact| (*stamp, fact)));
                journal.push((*stamp, fact.clone()));
            }
            9..=11 => journal.extend(altered(fact, &words, dice).map(|fact| (*stamp, fact))),
            12 => journal.extend(altered(elsewhere, &words, dice).map(|fact| (*stamp, fact))),
            13 if !journal.is_empty() => {
                let place = journal.len() - 1;
                journal.insert(place, (*stamp, fact.clone()));
            }
            _ => journal.push((*stamp, fact.clone())),
        }
    }
    journal
}

/// Follows as far as it goes, again and again from before what contradicts. Returns how much was followed and refused.
fn follow_what_can_be(journal: &[(Stamp, Fact)]) -> (usize, usize) {
    let mut office = Office::new();
    let (mut followed, mut refused) = (0, 0);
    for (stamp, fact) in journal {
        let last = office.replica.last();
        let stamp = Stamp {
            seq: last.seq + 1,
            at: Wall(stamp.at.0),
            mono: Mono(stamp.mono.0.max(last.mono.0)),
        };
        let entry = carried(stamp, fact);
        let before = office.clone();
        match office.follow(entry.stamp, &entry.fact) {
            Ok(()) => followed += 1,
            Err(NotFollowed::Contradiction(_)) => {
                assert!(office.replica.broken().is_some());
                office = before;
                refused += 1;
            }
            Err(NotFollowed::NotLoaded(key)) => panic!("{key:?} was loaded"),
        }
        // It may be found wrong, and it may not: neither panics.
        let _ = office.clone().replica.end_step();
    }
    (followed, refused)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_forged_journal_is_followed_or_refused_and_never_panics(
        sequence in prop::collection::vec(happens(), 20..60), seed in any::<u64>()
    ) {
        let mut bench = station(true);
        for what in &sequence {
            happen(&mut bench, what);
        }
        let journal = forged(&bench.facts, &mut Seeded(seed));
        let (followed, refused) = follow_what_can_be(&journal);
        prop_assert_eq!(followed + refused, journal.len());
    }
}

/// What is forged is worth something only if much of it can be read, and is refused for many reasons.
#[test]
fn forged_journals_are_refused_in_many_ways() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let (mut followed, mut refused) = (0, 0);
    for seed in 0..40 {
        let mut bench = station(true);
        let strategy = prop::collection::vec(happens(), 60);
        for what in &strategy.new_tree(&mut runner).unwrap().current() {
            happen(&mut bench, what);
        }
        let journal = forged(&bench.facts, &mut Seeded(seed));
        let (more_followed, more_refused) = follow_what_can_be(&journal);
        followed += more_followed;
        refused += more_refused;
    }
    assert!(
        followed > 2_000 && refused > 400,
        "{followed} followed, {refused} refused"
    );
}
