//! Journals that no station wrote: real ones with facts changed, moved, left out and said twice. Whoever follows them is told
//! what contradicts, keeps nothing that cannot be read again, and never panics.

use crate::{
    bench::Seeded,
    happens::{happen, happens, station},
    replica::{Office, carried},
};
use domain::{contradiction::Contradicts, fact::Fact, ids::Randomness, journal::Stamp, site::NotFollowed, time::Mono};
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

/// What each name stands for somewhere in the journal.
fn words_of(facts: &[(Stamp, Fact)]) -> Words {
    let mut words = Words::new();
    for (_, fact) in facts {
        let mut json = serde_json::to_value(fact).unwrap();
        leaves("", &mut json, &mut |name, leaf| {
            words.entry(name.to_owned()).or_default().push(leaf.clone());
        });
    }
    words
}

/// Facts that nobody journaled here: this one with something else in it, or said before it is; one of elsewhere, as it is or
/// with something else in it.
fn forged(fact: &Fact, facts: &[(Stamp, Fact)], words: &Words, dice: &mut Seeded) -> Vec<Fact> {
    let (_, elsewhere) = &facts[below(dice, facts.len())];
    let mut forged = vec![elsewhere.clone(), fact.clone()];
    forged.extend((0..3).filter_map(|_| altered(fact, words, dice)));
    forged.extend(altered(elsewhere, words, dice));
    forged
}

/// Follows one more entry, wherever that stood. What contradicts ends this replica.
fn goes_on(office: &mut Office, stamp: Stamp, fact: &Fact) -> Result<(), Contradicts> {
    let last = office.replica.last();
    let stamp = Stamp {
        seq: last.seq + 1,
        mono: Mono(stamp.mono.0.max(last.mono.0)),
        ..stamp
    };
    let entry = carried(stamp, fact);
    // The books may be found wrong, and may not: neither panics.
    let mut at_the_end = office.clone();
    if at_the_end.take_in(entry.stamp, &entry.fact).is_ok() {
        let _ = at_the_end.replica.end_step();
    }
    match office.follow(entry.stamp, &entry.fact) {
        Ok(()) => Ok(()),
        Err(NotFollowed::Contradiction(found)) => {
            assert_eq!(office.replica.broken(), Some(&found));
            Err(found.why)
        }
        Err(NotFollowed::NotLoaded(key)) => panic!("{key:?} was loaded"),
    }
}

/// Follows a journal, and tries forged facts at each place of it; now and then it goes on from one. Returns how many forged
/// facts were followed, and why others were refused.
fn try_forged_facts(facts: &[(Stamp, Fact)], dice: &mut Seeded) -> (usize, Vec<Contradicts>) {
    let words = words_of(facts);
    let mut office = Office::new();
    let (mut followed, mut refused) = (0, Vec::new());
    for (stamp, fact) in facts {
        for forged in forged(fact, facts, &words, dice) {
            let mut trial = office.clone();
            match goes_on(&mut trial, *stamp, &forged) {
                Ok(()) => followed += 1,
                Err(why) => {
                    refused.push(why);
                    continue;
                }
            }
            let is_followed = goes_on(&mut trial.clone(), *stamp, fact).is_ok();
            if is_followed && below(dice, 30) == 0 {
                office = trial;
            }
        }
        let before = office.clone();
        if goes_on(&mut office, *stamp, fact).is_err() {
            office = before;
        }
    }
    (followed, refused)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 50, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_forged_journal_is_followed_or_refused_and_never_panics(
        sequence in prop::collection::vec(happens(), 40..120), seed in any::<u64>()
    ) {
        let mut bench = station(true);
        for what in &sequence {
            happen(&mut bench, what);
        }
        let (followed, refused) = try_forged_facts(&bench.facts, &mut Seeded(seed));
        prop_assert!(followed + refused.len() > bench.facts.len());
    }
}

/// What is forged is worth something only if much of it can be read, and is refused for many reasons.
#[test]
fn forged_journals_are_refused_in_many_ways() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let (mut followed, mut refused) = (0, 0);
    let mut reasons = BTreeMap::new();
    for seed in 0..20 {
        let mut bench = station(true);
        let strategy = prop::collection::vec(happens(), 150);
        for what in &strategy.new_tree(&mut runner).unwrap().current() {
            happen(&mut bench, what);
        }
        let (more_followed, more_refused) = try_forged_facts(&bench.facts, &mut Seeded(seed));
        followed += more_followed;
        refused += more_refused.len();
        for why in more_refused {
            let kind = format!("{why:?}").split([' ', '(', '{']).next().unwrap().to_owned();
            *reasons.entry(kind).or_insert(0) += 1;
        }
    }
    println!("{followed} followed, {refused} refused: {reasons:?}");
    assert!(
        followed > 2_000 && refused > 400,
        "{followed} followed, {refused} refused"
    );
    for reason in [
        "HeldTwice",
        "Money",
        "OrderExists",
        "OutOfRange",
        "Step",
        "Till",
        "UnknownOrder",
        "UnknownPile",
    ] {
        assert!(
            reasons.contains_key(reason),
            "{reason} is never the reason: {reasons:?}"
        );
    }
}
