//! A station that was restored from a copy and went on alone: two journals of one site. What the other branch says is kept; a
//! person says which one lives; the books go on with it.

use crate::{
    everywhere,
    head_office::{HeadOffice, ME, NOW, load, read},
    journal::Journal,
};
use central::{
    ingest::{
        SiteCopy, Taken,
        books::{Compared, Sheet, compare},
        fork::keep_of_other,
    },
    store::{
        StoreError, Value,
        branches::{self, Branch},
        findings::{Class, Filter, Found, list},
        sites,
    },
    upkeep::{
        fork::{Accepted, NotAccepted, accept},
        journal, ledger, replica,
    },
};
use domain::{fact::Fact, journal::Head, ledger::digest, units::Fen};
use protocol::{frame::State, key::SigningKey};
use std::sync::Arc;

everywhere! {
    the_other_branch_is_kept_and_nothing_of_it_is_applied
    an_accepted_branch_is_followed_and_the_books_go_on_with_it
    whoever_was_right_before_goes_on_as_before
    a_branch_that_was_left_can_be_gone_back_to
    a_branch_that_leaves_later_can_be_accepted_after_another_was
    an_accepted_branch_that_cannot_be_followed_stands_still_where_it_breaks
    a_place_that_says_nothing_is_refused_and_nobody_else_accepts
    whatever_chains_on_to_nothing_is_not_kept
    a_site_that_went_on_alone_on_a_new_box_with_a_new_key_can_be_accepted
    an_order_that_an_estimate_settled_before_the_fork_is_found_when_both_settle_it_anew
}

const COMMON: usize = 12;

fn followed() -> Journal {
    Journal::of_fork("S1", COMMON, 8, "4.5")
}

fn other() -> Journal {
    Journal::of_fork("S1", COMMON, 6, "3")
}

/// The last place that two journals have in common.
fn parting(one: &Journal, other: &Journal) -> Head {
    let common = one.hashes.iter().zip(&other.hashes).take_while(|(a, b)| a == b);
    one.place(common.count())
}

/// Offers all batches of a journal, as a desk takes them.
fn offer(office: &HeadOffice, mut copy: SiteCopy, journal: &Journal, most: usize) -> (SiteCopy, Vec<Taken>) {
    let mut all = Vec::new();
    for batch in journal.batches(most) {
        let batch = Arc::new(read(&batch, &copy));
        if copy.site().state == State::Forked {
            copy = office
                .write(move |tx| {
                    keep_of_other(tx, ME, &copy, &batch, NOW)?;
                    Ok(copy)
                })
                .unwrap();
            continue;
        }
        let taken;
        (copy, taken) = office.take(copy, batch);
        all.push(taken);
    }
    (copy, all)
}

/// A head office that follows one journal and has heard another.
fn forked(office: &HeadOffice, one: &Journal, other: &Journal) -> SiteCopy {
    let copy = office.follow(one, 40);
    let (copy, taken) = offer(office, copy, other, 17);
    let last = taken.last().unwrap();
    assert!(
        matches!(
            last,
            Taken::Stopped {
                state: State::Forked,
                ..
            }
        ),
        "{last:?}"
    );
    copy
}

fn kept(office: &HeadOffice) -> Vec<Branch> {
    let site = "S1".parse().unwrap();
    office
        .read(move |tx| {
            let followed = load(tx, &site)?.site().branch;
            branches::others(tx, &site, followed)
        })
        .unwrap()
}

fn accepts(office: &HeadOffice, place: Head) -> Result<Result<Accepted, NotAccepted>, StoreError> {
    let site = "S1".parse().unwrap();
    office.write(move |tx| accept(tx, ME, &site, place, NOW))
}

fn copy_of(office: &HeadOffice) -> SiteCopy {
    office.read(|tx| load(tx, &"S1".parse().unwrap())).unwrap()
}

fn end(journal: &Journal) -> Head {
    journal.place(journal.facts.len())
}

/// Rows, books and journal are right, and the site is where this journal is.
fn all_is_right(office: &HeadOffice, journal: &Journal) {
    let site = journal.site.clone();
    let (rows, books, chain, copy) = office
        .read(move |tx| {
            Ok((
                replica::verify(tx, &site)?,
                ledger::verify(tx)?,
                journal::verify(tx, &site, None)?,
                load(tx, &site)?,
            ))
        })
        .unwrap();
    assert!(rows.is_right() && rows.looked_at > 10, "{rows:?}");
    assert!(books.is_right() && books.looked_at > 10, "{books:?}");
    assert_eq!((chain.head, chain.fault), (end(journal), None));
    let site = copy.site();
    assert_eq!(
        (site.head, site.state, site.trouble.as_deref()),
        (end(journal), State::Following, None)
    );
    let (sheet, accounts) = (sheet(journal, journal.facts.len()), site.id.clone());
    let compared = office.read(move |tx| compare(tx, &accounts, &sheet)).unwrap().1;
    assert_eq!(compared, Compared::Equal);
}

fn sheet(journal: &Journal, seq: usize) -> Sheet {
    let rows = journal.replayed(seq);
    let mut named: Vec<(String, Fen)> = rows
        .ledger
        .accounts()
        .filter(|(_, balance)| *balance != Fen::ZERO)
        .map(|(account, balance)| (account.to_string(), balance))
        .collect();
    named.sort();
    Sheet {
        seq: seq as u64,
        digest: digest(seq as u64, named).unwrap(),
        accounts: None,
    }
}

fn number(office: &HeadOffice, statement: &'static str) -> i64 {
    office
        .read(move |tx| tx.query_optional(statement, &[])?.unwrap().int(0))
        .unwrap()
}

fn found(office: &HeadOffice, class: Class) -> Vec<Found> {
    let filter = Filter {
        class: Some(class),
        ..Filter::default()
    };
    office.read(move |tx| list(tx, &filter, None, 1_000)).unwrap()
}

fn the_other_branch_is_kept_and_nothing_of_it_is_applied(office: &HeadOffice) {
    let (one, other) = (followed(), other());
    let copy = forked(office, &one, &other);
    let fork = parting(&one, &other);
    assert!(fork.seq > 50 && fork.seq < end(&other).seq, "{fork}");
    let branches = kept(office);
    let [branch] = branches.as_slice() else {
        panic!("{branches:?}")
    };
    assert_eq!((branch.number, branch.left, branch.head), (1, fork, end(&other)));
    assert_eq!(copy.site().head, end(&one));
    // It says the same again, cut otherwise; nothing is kept twice.
    let batches = number(office, "SELECT COUNT(*) FROM batch WHERE branch = 1");
    offer(office, copy, &other, 23);
    assert_eq!(kept(office), branches);
    assert_eq!(number(office, "SELECT COUNT(*) FROM batch WHERE branch = 1"), batches);
    // And more of it is added.
    let longer = Journal::of_fork("S1", COMMON, 9, "3");
    offer(office, copy_of(office), &longer, 31);
    assert_eq!(kept(office)[0].head, end(&longer));
    assert_eq!(number(office, "SELECT COUNT(*) FROM transfer WHERE branch <> 0"), 0);
    // What was followed stays as it is, and more of it is not followed meanwhile.
    let more = Journal::of_fork("S1", COMMON, 11, "4.5");
    offer(office, copy_of(office), &more, 1_000);
    let site = copy_of(office);
    assert_eq!((site.site().head, site.site().state), (end(&one), State::Forked));
    assert_eq!(kept(office).len(), 1);
    let right = office.read(|tx| replica::verify(tx, &"S1".parse().unwrap())).unwrap();
    assert!(right.is_right(), "{right:?}");
}

fn an_accepted_branch_is_followed_and_the_books_go_on_with_it(office: &HeadOffice) {
    let (one, other) = (followed(), other());
    let fork = parting(&one, &other);
    let mut stale = forked(office, &one, &other);
    let sold = "SELECT CAST(SUM(amount) AS BIGINT) FROM transfer WHERE branch = 0 AND code = 'CAPTURE'";
    let booked = number(office, sold);
    let accepted = accepts(office, end(&other)).unwrap().unwrap();
    assert_eq!(
        (accepted.branch, accepted.from, accepted.head, accepted.trouble),
        (1, Some(fork), end(&other), None)
    );
    assert!(accepted.opened > 3, "{}", accepted.opened);
    all_is_right(office, &other);
    // What is booked of the other branch stays booked, and was taken back against one account.
    assert_eq!(number(office, sold), booked);
    let opened = "SELECT COUNT(*) FROM transfer WHERE id LIKE 'S1:1:open.%' AND code = 'RESTORE' AND branch = 1";
    assert_eq!(number(office, opened), accepted.opened as i64);
    assert_eq!(
        number(office, "SELECT balance FROM account WHERE name = 'restore:S1'"),
        0
    );
    // Every order that was settled on both is found, with the entry that settled it here.
    let settled = |journal: &Journal| {
        let facts = journal.facts[fork.seq as usize..].iter();
        let settles = facts.filter_map(|(stamp, fact)| match fact {
            Fact::OrderSettled { order, .. } => Some((order.clone(), stamp.seq)),
            _ => None,
        });
        settles.collect::<std::collections::BTreeMap<_, _>>()
    };
    let there = settled(&one);
    let mut twice = settled(&other);
    twice.retain(|order, _| there.contains_key(order));
    let findings = found(office, Class::Fork);
    let told: std::collections::BTreeMap<_, _> = findings
        .iter()
        .map(|found| (found.finding.order.clone().unwrap(), found.finding.seq))
        .collect();
    assert!(!twice.is_empty() && told == twice, "{told:?} {twice:?}");
    assert!(findings.iter().all(|found| found.branch == 1));
    // Sheets are compared from the fork on.
    for (seq, before) in [(fork.seq - 1, true), (fork.seq, false), (fork.seq + 1, false)] {
        let sheet = sheet(&other, seq as usize);
        let compared = office
            .read(move |tx| compare(tx, &"S1".parse().unwrap(), &sheet))
            .unwrap()
            .1;
        let expected = if before { Compared::Forked } else { Compared::Equal };
        assert_eq!(compared, expected, "{seq}");
    }
    // Whoever had the site's copy cannot go on from the old head.
    let longer = Journal::of_fork("S1", COMMON, 12, "4.5");
    let next = read(&longer.batch(one.facts.len(), longer.facts.len()), &stale);
    let done = office.write(move |tx| central::ingest::take(tx, ME, &mut stale, &next, NOW).map(drop));
    assert_eq!(done, Err(StoreError::NotOwner));
    // What comes of the new branch is taken, and an order that is settled later is found too.
    let longer = Journal::of_fork("S1", COMMON, 10, "3");
    let (copy, taken) = offer(office, copy_of(office), &longer, 19);
    assert!(taken.iter().all(|taken| *taken == Taken::Followed), "{taken:?}");
    all_is_right(office, &longer);
    let late = settled(&longer).into_keys().filter(|order| there.contains_key(order));
    assert_eq!(found(office, Class::Fork).len(), late.count());
    // The old one is not: it is a fork again, and what it has anew is kept.
    let (_, taken) = offer(office, copy, &Journal::of_fork("S1", COMMON, 9, "4.5"), 29);
    assert!(
        matches!(
            taken.last(),
            Some(Taken::Stopped {
                state: State::Forked,
                ..
            })
        ),
        "{taken:?}"
    );
    let branches = kept(office);
    assert_eq!(branches.len(), 1, "{branches:?}");
    assert_eq!((branches[0].number, branches[0].left), (0, fork));
    assert!(branches[0].head.seq > end(&one).seq);
}

fn an_order_that_an_estimate_settled_before_the_fork_is_found_when_both_settle_it_anew(office: &HeadOffice) {
    let [one, other] = ["1006.5", "1006.7"].map(|to| Journal::of_late_record("S1", to));
    let fork = parting(&one, &other);
    let settles = |journal: &Journal| -> Vec<u64> {
        let facts = journal.facts.iter();
        facts
            .filter(|(_, fact)| matches!(fact, Fact::OrderSettled { .. }))
            .map(|(stamp, _)| stamp.seq)
            .collect()
    };
    let [before, after] = settles(&other)[..] else {
        panic!("{:?}", settles(&other))
    };
    assert!(
        before <= fork.seq && after > fork.seq && settles(&one).len() == 2,
        "{fork}"
    );
    forked(office, &one, &other);
    accepts(office, end(&other)).unwrap().unwrap();
    let found = found(office, Class::Fork);
    let seqs: Vec<u64> = found.iter().map(|found| found.finding.seq).collect();
    assert_eq!(seqs, [after], "{found:?}");
}

fn whoever_was_right_before_goes_on_as_before(office: &HeadOffice) {
    let (one, other) = (followed(), other());
    forked(office, &one, &other);
    let accepted = accepts(office, end(&one)).unwrap().unwrap();
    assert_eq!((accepted.branch, accepted.from, accepted.opened), (0, None, 0));
    all_is_right(office, &one);
    let longer = Journal::of_fork("S1", COMMON, 11, "4.5");
    let (_, taken) = offer(office, copy_of(office), &longer, 19);
    assert!(taken.iter().all(|taken| *taken == Taken::Followed), "{taken:?}");
    all_is_right(office, &longer);
    assert_eq!(kept(office).len(), 1, "what the other said stays");
}

fn a_branch_that_was_left_can_be_gone_back_to(office: &HeadOffice) {
    let (one, other) = (followed(), other());
    let fork = parting(&one, &other);
    forked(office, &one, &other);
    accepts(office, end(&other)).unwrap().unwrap();
    let told = || [Class::Fork, Class::AboveFork].map(|class| found(office, class).len());
    let first = told();
    assert!(first[0] > 0, "both have settled the same orders");
    let accepted = accepts(office, end(&one)).unwrap().unwrap();
    assert_eq!(
        (accepted.branch, accepted.from, accepted.head),
        (2, Some(fork), end(&one))
    );
    all_is_right(office, &one);
    assert_eq!(told()[0], first[0], "what both have settled was told");
    let second = told();
    let branches = kept(office);
    let numbers: Vec<_> = branches.iter().map(|branch| (branch.number, branch.head)).collect();
    assert_eq!(numbers, [(1, end(&other))]);
    // And to the other again, whose branch has a number of its own each time.
    let accepted = accepts(office, end(&other)).unwrap().unwrap();
    assert_eq!((accepted.branch, accepted.head), (3, end(&other)));
    all_is_right(office, &other);
    assert_eq!(told(), second, "and what members had above the fork");
}

fn a_branch_that_leaves_later_can_be_accepted_after_another_was(office: &HeadOffice) {
    let (one, other) = (followed(), other());
    let mut third = followed();
    let place = parting(&one, &other).seq as usize + 60;
    third.facts.truncate(place);
    third.facts[place - 1].1 = Fact::ClockStepped { by_ms: 1 };
    third.seal();
    let copy = forked(office, &one, &other);
    offer(office, copy, &third, 13);
    let branches = kept(office);
    let lefts: Vec<u64> = branches.iter().map(|branch| branch.left.seq).collect();
    assert_eq!(lefts, [parting(&one, &other).seq, place as u64 - 1]);
    accepts(office, end(&other)).unwrap().unwrap();
    all_is_right(office, &other);
    let accepted = accepts(office, end(&third)).unwrap().unwrap();
    assert_eq!(
        (accepted.branch, accepted.from, accepted.head),
        (2, Some(parting(&one, &other)), end(&third))
    );
    all_is_right(office, &third);
    accepts(office, end(&one)).unwrap().unwrap();
    all_is_right(office, &one);
}

fn an_accepted_branch_that_cannot_be_followed_stands_still_where_it_breaks(office: &HeadOffice) {
    let (one, mut other) = (followed(), other());
    // An order that is over is settled again.
    let settled = other
        .facts
        .iter()
        .rposition(|(_, fact)| matches!(fact, Fact::OrderSettled { .. }))
        .unwrap();
    let (mut stamp, fact) = (other.facts.last().unwrap().0, other.facts[settled].1.clone());
    stamp.seq += 1;
    other.facts.push((stamp, fact));
    other.seal();
    forked(office, &one, &other);
    let accepted = accepts(office, end(&other)).unwrap().unwrap();
    assert_eq!(accepted.branch, 1);
    assert!(
        accepted.trouble.is_some() && accepted.head.seq < end(&other).seq,
        "{accepted:?}"
    );
    assert!(accepted.head.seq > parting(&one, &other).seq);
    let copy = copy_of(office);
    assert_eq!((copy.site().state, copy.site().head), (State::Broken, accepted.head));
    let (rows, books, chain) = office
        .read(|tx| {
            let site = "S1".parse().unwrap();
            Ok((
                replica::verify(tx, &site)?,
                ledger::verify(tx)?,
                journal::verify(tx, &site, None)?,
            ))
        })
        .unwrap();
    assert!(
        rows.is_right() && books.is_right() && chain.fault.is_none(),
        "{rows:?} {books:?} {chain:?}"
    );
}

fn a_place_that_says_nothing_is_refused_and_nobody_else_accepts(office: &HeadOffice) {
    let (one, other) = (followed(), other());
    forked(office, &one, &other);
    let before = number(office, "SELECT COUNT(*) FROM transfer");
    let fork = parting(&one, &other);
    assert_eq!(accepts(office, fork), Ok(Err(NotAccepted::Common(fork))));
    let never = Head {
        seq: end(&one).seq,
        hash: fork.hash,
    };
    assert_eq!(accepts(office, never), Ok(Err(NotAccepted::Unknown(never))));
    let beyond = Head {
        seq: end(&other).seq + 1,
        ..end(&other)
    };
    assert_eq!(accepts(office, beyond), Ok(Err(NotAccepted::Unknown(beyond))));
    let place = end(&other);
    let done = office.write(move |tx| accept(tx, "somebody else", &"S1".parse().unwrap(), place, NOW));
    assert_eq!(done, Err(StoreError::NotOwner));
    assert_eq!(number(office, "SELECT COUNT(*) FROM transfer"), before);
    assert_eq!(copy_of(office).site().state, State::Forked);
    // The first entry that each has alone is enough.
    let first = other.place(fork.seq as usize + 1);
    assert_eq!(accepts(office, first).unwrap().unwrap().branch, 1);
    all_is_right(office, &other);
}

fn whatever_chains_on_to_nothing_is_not_kept(office: &HeadOffice) {
    let (one, other) = (followed(), other());
    let copy = office.follow(&one, 40);
    // The other station goes on from where head office is, as if it had the same: what lies between is missing.
    let longer = Journal::of_fork("S1", COMMON, 12, "3");
    assert!(longer.facts.len() > one.facts.len());
    let batch = read(&longer.batch(one.facts.len(), longer.facts.len()), &copy);
    let (copy, taken) = office.take(copy, Arc::new(batch));
    assert!(
        matches!(
            taken,
            Taken::Stopped {
                state: State::Forked,
                ..
            }
        ),
        "{taken:?}"
    );
    assert_eq!(kept(office), []);
    // The most branches that are kept: each of these is another one from the same place.
    let fork = parting(&one, &other).seq as usize;
    let mut copy = copy;
    for n in 0..6 {
        let mut another = other.clone();
        another.facts.truncate(fork + 1);
        another.facts[fork].1 = Fact::ClockStepped { by_ms: n + 1 };
        another.seal();
        (copy, _) = offer(office, copy, &another, 50);
    }
    assert_eq!(kept(office).len(), 4);
    let values: [Value; 0] = [];
    let batches = office.read(move |tx| tx.query("SELECT first FROM batch WHERE branch > 0", &values));
    assert_eq!(batches.unwrap().len(), 4);
}

fn enrol(office: &HeadOffice, key: [u8; 32]) -> SiteCopy {
    let key = SigningKey::from_seed(key).public();
    office
        .write(move |tx| {
            sites::re_enrol(tx, &"S1".parse().unwrap(), key)?;
            load(tx, &"S1".parse().unwrap())
        })
        .unwrap()
}

/// Rules 8 and 11: its key counts from what head office has on, and what it says begins before.
fn a_site_that_went_on_alone_on_a_new_box_with_a_new_key_can_be_accepted(office: &HeadOffice) {
    let signed = |journal: Journal, key: u8| Journal {
        key: [key; 32],
        ..journal
    };
    let (one, other) = (followed(), signed(other(), 8));
    assert!(
        end(&other).seq < end(&one).seq,
        "all of it is from before the key counts"
    );
    office.follow(&one, 40);
    let copy = enrol(office, other.key);
    let (_, taken) = offer(office, copy, &other, 17);
    assert!(
        matches!(
            taken.last(),
            Some(Taken::Stopped {
                state: State::Forked,
                ..
            })
        ),
        "{taken:?}"
    );
    let branches = kept(office);
    assert_eq!((branches.len(), branches[0].head), (1, end(&other)), "{branches:?}");
    // A third box takes its place, and goes on with that journal: the key before has signed nothing that is followed.
    let longer = signed(Journal::of_fork("S1", COMMON, 9, "3"), 9);
    let copy = enrol(office, longer.key);
    let rest = read(&longer.batch(other.facts.len(), longer.facts.len()), &copy);
    let of = copy_of(office);
    office.write(move |tx| keep_of_other(tx, ME, &of, &rest, NOW)).unwrap();
    assert_eq!(kept(office)[0].head, end(&longer));
    let accepted = accepts(office, end(&longer)).unwrap().unwrap();
    assert_eq!((accepted.head, accepted.trouble), (end(&longer), None));
    all_is_right(office, &longer);
    // It goes on, also with what the branch that was left has under the same numbers.
    let longest = signed(Journal::of_fork("S1", COMMON, 12, "3"), 9);
    let (_, taken) = offer(office, copy_of(office), &longest, 19);
    assert!(taken.iter().all(|taken| *taken == Taken::Followed), "{taken:?}");
    all_is_right(office, &longest);
    // And back on the other, whose beginning the first key has signed, and what comes now the last.
    accepts(office, end(&one)).unwrap().unwrap();
    all_is_right(office, &one);
    let more = Journal::of_fork("S1", COMMON, 11, "4.5");
    let copy = copy_of(office);
    let of_old_box = read(&more.batch(one.facts.len(), more.facts.len()), &copy);
    let (copy, refused) = office.take(copy, Arc::new(of_old_box));
    assert_eq!((refused, copy.site().head), (Taken::NotSigned, end(&one)));
    let more = signed(more, 9);
    let (_, taken) = offer(office, copy, &more, 19);
    assert!(taken.iter().all(|taken| *taken == Taken::Followed), "{taken:?}");
    all_is_right(office, &more);
}
