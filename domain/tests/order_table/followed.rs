//! What whoever follows a station's journal makes of each kind of fact about an order, wherever that stands: it is followed, or it
//! is not, and why. What is not is refused by everything that is asked of the replica afterwards.

use super::{Comes, From, compare, scene};
use crate::bench::stored;
use domain::{
    fact::Fact,
    ids::OrderId,
    journal::Stamp,
    site::{Contradiction, NotFollowed, Replica},
};
use std::collections::BTreeMap;

/// The first fact of each kind that a station has journaled about the order of a scene, with its number there.
fn facts() -> BTreeMap<&'static str, (Fact, OrderId)> {
    let mut facts = BTreeMap::new();
    for from in From::ALL {
        for comes in Comes::ALL {
            let mut scene = scene(from);
            scene.take(comes);
            for (_, fact) in &scene.bench.facts {
                if fact.order() == Some(&scene.order) {
                    let first = || (fact.clone(), scene.order.clone());
                    facts.entry(fact.kind()).or_insert_with(first);
                }
            }
        }
    }
    facts
}

/// The same about another order.
fn about(order: &OrderId, (fact, before): &(Fact, OrderId)) -> Fact {
    let text = serde_json::to_string(fact).unwrap();
    serde_json::from_str(&text.replace(before.as_str(), order.as_str())).unwrap()
}

fn line(from: From, kind: &str, fact: &(Fact, OrderId)) -> String {
    let scene = scene(from);
    let fact = about(&scene.order, fact);
    let (disk, last) = (scene.bench.replayed(), scene.bench.site.last());
    let stamp = Stamp {
        seq: last.seq + 1,
        at: scene.bench.now.wall,
        mono: scene.bench.now.mono,
    };
    let mut replica = Replica::new(last, disk.clone());
    replica.evict();
    loop {
        let needs = replica.needs(&fact);
        let Some(first) = needs.first() else { break };
        assert_eq!(
            replica.follow(stamp, &fact),
            Err(NotFollowed::NotLoaded(first.clone())),
            "{from:?} {kind}"
        );
        assert_eq!((replica.last(), replica.broken()), (last, None), "nothing has changed");
        needs.into_iter().for_each(|key| replica.load(stored(&disk, key)));
    }
    let followed = replica.follow(stamp, &fact).and_then(|()| replica.end_step());
    let said = match followed {
        Ok(()) => {
            assert_eq!((replica.last(), replica.broken()), (stamp, None));
            "followed".to_owned()
        }
        Err(NotFollowed::NotLoaded(key)) => panic!("{key:?} was loaded"),
        Err(NotFollowed::Contradiction(found)) => {
            is_refused_from_here_on(replica, stamp, &fact, &found);
            let shown = format!("{:?}", found.why);
            shown
                .split(|letter: char| !letter.is_alphanumeric())
                .next()
                .unwrap_or_default()
                .to_owned()
        }
    };
    format!("{from:?} | {kind} | {said}")
}

/// Whatever is asked of it: a part of the step is in its rows.
fn is_refused_from_here_on(mut replica: Replica, stamp: Stamp, fact: &Fact, found: &Contradiction) {
    assert_eq!((found.seq, replica.broken()), (stamp.seq, Some(found)));
    let next = Stamp {
        seq: stamp.seq + 1,
        ..stamp
    };
    let refused = Err(NotFollowed::Contradiction(found.clone()));
    assert_eq!(replica.follow(next, fact), refused);
    assert_eq!(replica.pass_over(next), refused);
    assert_eq!(replica.end_step(), refused);
    assert_eq!(replica.take_changes().map(drop), refused);
    assert_eq!(replica.broken(), Some(found));
}

#[test]
fn every_state_and_fact_is_followed_or_not_as_the_table_says() {
    let facts = facts();
    let facts = &facts;
    let pairs = From::ALL
        .into_iter()
        .flat_map(|from| facts.iter().map(move |(kind, fact)| (from, *kind, fact)));
    let reached = pairs.map(|(from, kind, fact)| line(from, kind, fact));
    let table = include_str!("followed.txt");
    compare("state, fact", table, From::ALL.len() * facts.len(), reached);
}
