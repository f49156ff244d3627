//! Keys of sites count from an entry on, and sites that are added at once have numbers of their own.

use crate::{
    everywhere,
    head_office::{HeadOffice, ME, NOW, load, read},
    journal::Journal,
};
use central::{
    ingest::{Read, Taken, take},
    store::{
        StoreError,
        sites::{self, EdgeKey},
    },
};
use protocol::{frame::Malformed, key::SigningKey};
use std::sync::{Arc, mpsc};

everywhere! {
    a_key_signs_from_its_entry_on_and_the_one_before_it_up_to_there
    sites_that_are_added_at_once_have_numbers_of_their_own
}

fn a_key_signs_from_its_entry_on_and_the_one_before_it_up_to_there(office: &HeadOffice) {
    let before = Journal::of_sessions("S1", 8);
    let after = Journal {
        key: [8; 32],
        ..before.clone()
    };
    let [old, new] = [&before, &after].map(|journal| SigningKey::from_seed(journal.key).public());
    let ends = before.ends(30);
    let mut copy = office.add(&before);
    for ends in ends[..3].windows(2) {
        let batch = read(&before.batch(ends[0], ends[1]), &copy);
        copy = office.take(copy, Arc::new(batch)).0;
    }
    let read_early = Arc::new(read(&before.batch(ends[2], ends[3]), &copy));
    let enrol = move |key| {
        office
            .write(move |tx| {
                sites::re_enrol(tx, &"S1".parse().unwrap(), key)?;
                load(tx, &"S1".parse().unwrap())
            })
            .unwrap()
    };
    let enrolled = enrol(new);
    let from = ends[2] as u64 + 1;
    let keys = [EdgeKey { key: old, from: 0 }, EdgeKey { key: new, from }];
    assert_eq!(enrolled.site().keys, keys);
    assert_eq!(enrol(new).site().keys, keys, "it is enrolled already");

    // A batch that was read before, by the keys of then.
    let late = office.write(move |tx| take(tx, ME, &mut copy, &read_early, NOW));
    assert_eq!(late, Err(StoreError::NotOwner));
    let mut copy = enrolled;
    for (from, to, what) in [
        (ends[2], ends[3], "the old key signs nothing beyond"),
        (ends[1], ends[3], "nor what ends beyond"),
    ] {
        let batch = read(&before.batch(from, to), &copy);
        let taken;
        (copy, taken) = office.take(copy, Arc::new(batch));
        assert_eq!(
            (taken, copy.site().head.seq),
            (Taken::NotSigned, ends[2] as u64),
            "{what}"
        );
    }
    let batch = read(&after.batch(ends[2], ends[3]), &copy);
    let (copy, taken) = office.take(copy, Arc::new(batch));
    assert_eq!((taken, copy.site().head.seq), (Taken::Followed, ends[3] as u64));
    let never = Journal {
        key: [11; 32],
        ..before.clone()
    };
    let refused = Read::of(&never.batch(ends[3], ends[4]), &never.site, &copy.site().keys);
    assert!(matches!(refused, Err(Malformed::NotSigned(_))), "{refused:?}");

    // One that has signed nothing that is followed is kept, and signs nothing: what a branch is kept of may be signed with it.
    let [third, fourth] = [9, 10].map(|n| SigningKey::from_seed([n; 32]).public());
    enrol(third);
    let from = ends[3] as u64 + 1;
    let keys = enrol(fourth).site().keys.clone();
    let newest = [third, fourth].map(|key| EdgeKey { key, from });
    assert_eq!(keys[2..], newest);
    assert_eq!(sites::key_at(&keys, from), Some(fourth));
    assert_eq!(sites::key_at(&keys, from - 1), Some(new));
}

fn sites_that_are_added_at_once_have_numbers_of_their_own(office: &HeadOffice) {
    let (begun, has_begun) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let first = office.write(move |tx| {
                sites::add(tx, &"A".parse().unwrap(), "a", &[])?;
                begun.send(()).unwrap();
                may_go_on.recv().unwrap();
                Ok(())
            });
            first.unwrap();
        });
        has_begun.recv().unwrap();
        let second = scope.spawn(|| office.write(|tx| sites::add(tx, &"B".parse().unwrap(), "b", &[])));
        // The second has taken its number by now or takes it later: either way it is another one.
        std::thread::sleep(std::time::Duration::from_millis(200));
        go_on.send(()).unwrap();
        second.join().unwrap().unwrap();
    });
    let numbers = office.read(sites::all).unwrap();
    let numbers: Vec<(String, u64)> = numbers
        .into_iter()
        .map(|site| (site.id.to_string(), site.number))
        .collect();
    assert_eq!(numbers, [("A".to_owned(), 1), ("B".to_owned(), 2)]);
    let twice = office.write(|tx| sites::add(tx, &"A".parse().unwrap(), "a", &[]));
    assert!(matches!(twice, Err(StoreError::Constraint(_))), "{twice:?}");
}
