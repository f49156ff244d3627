//! Keys of sites count from an entry on, and sites that are added at once have numbers of their own.

use crate::{
    everywhere,
    head_office::{HeadOffice, ME, NOW, load, read},
    journal::Journal,
};
use central::{
    enrolments::{Enrolments, Line, put_back},
    ingest::{Read, Taken, take},
    store::{
        StoreError,
        sites::{self, Certificate, EdgeKey, Site},
    },
};
use protocol::{frame::Malformed, key::SigningKey};
use std::sync::{Arc, mpsc};

everywhere! {
    a_key_signs_from_its_entry_on_and_the_one_before_it_up_to_there
    sites_that_are_added_at_once_have_numbers_of_their_own
    who_has_enrolled_since_the_copy_is_put_back_with_its_number
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

/// Rule 11: otherwise somebody has to drive to each of them, and the next site that is added has a number that is another's.
fn who_has_enrolled_since_the_copy_is_put_back_with_its_number(office: &HeadOffice) {
    const YEAR_MS: i64 = 365 * 86_400_000;
    let folder = crate::cluster::Folder::new("enrolments");
    let file = Enrolments::of(folder.path());
    assert_eq!(file.read().unwrap(), []);
    let journal = Journal::of_sessions("S1", 2);
    let copy = office.add(&journal);
    let [again, stranger] = [8, 9].map(|n| SigningKey::from_seed([n; 32]).public());
    let enrolled = |site: &str, number, edge_key, days: i64| Line::Enrolled {
        site: site.parse().unwrap(),
        number,
        name: format!("station {site}"),
        fingerprint: format!("{site}-{days}"),
        until: NOW.after_ms(3 * YEAR_MS + days * 86_400_000),
        edge_key,
        from: 121,
        at: NOW.after_ms(days * 86_400_000),
    };
    let revoked = |site: &str, days: i64| Line::Revoked {
        site: site.parse().unwrap(),
        at: NOW.after_ms(days * 86_400_000),
    };
    let lines = [
        enrolled("S1", 1, copy.site().keys[0].key, -1),
        enrolled("S1", 1, again, 1),
        enrolled("S7", 7, stranger, 2),
        enrolled("S8", 8, stranger, 2),
        revoked("S8", 3),
        enrolled("S9", 9, stranger, 2),
        revoked("S9", 3),
        enrolled("S9", 9, stranger, 4),
    ];
    for line in &lines {
        file.add(line).unwrap();
    }
    // The power was cut in the middle of the next, and nobody was answered.
    let mut text = std::fs::read(file.path()).unwrap();
    text.extend_from_slice(br#"{"what":"revoked","si"#);
    std::fs::write(file.path(), text).unwrap();
    let read = file.read().unwrap();
    assert_eq!(read, lines);
    let back = |lines: Vec<Line>| office.write(move |tx| put_back(tx, &lines)).unwrap();
    let changed: Vec<String> = back(read.clone()).iter().map(|site| site.to_string()).collect();
    assert_eq!(changed, ["S1", "S7", "S8", "S9"]);
    let all = office.read(sites::all).unwrap();
    let shown = |site: &Site| {
        site.certificate
            .as_ref()
            .map(|shown: &Certificate| shown.fingerprint.clone())
    };
    let numbers: Vec<_> = all
        .iter()
        .map(|site| (site.id.as_str(), site.number, shown(site)))
        .collect();
    let with = |certificate: &str| Some(certificate.to_owned());
    assert_eq!(
        numbers,
        [
            ("S1", 1, with("S1-1")),
            ("S7", 7, with("S7-2")),
            ("S8", 8, None),
            ("S9", 9, with("S9-4"))
        ]
    );
    // It signs everything that the copy has not.
    assert_eq!(all[0].keys.last(), Some(&EdgeKey { key: again, from: 1 }));
    assert_eq!(all[1].keys, [EdgeKey { key: stranger, from: 0 }]);
    office
        .write(|tx| sites::add(tx, &"S2".parse().unwrap(), "", &[]))
        .unwrap();
    let added = office.read(|tx| sites::find(tx, &"S2".parse().unwrap())).unwrap();
    assert_eq!(added.unwrap().number, 10);
    assert_eq!(back(read), [], "all of it is there");
}
