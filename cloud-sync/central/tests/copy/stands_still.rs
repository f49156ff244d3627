//! A site that stands still: an entry that contradicts is set aside by two people, a site that never comes back is closed.

use crate::{
    everywhere,
    head_office::{HeadOffice, ME, NOW, load, read},
    journal::Journal,
};
use central::{
    ingest::{SiteCopy, Taken, fork::keep_of_other, take},
    store::{
        StoreError, Tx, branches,
        decisions::{self, About, Kind},
        findings::{Class, Filter, Found, list},
        sites,
    },
    upkeep::{
        closing,
        fork::{NotAccepted, accept},
        journal, ledger, replica,
    },
};
use domain::{fact::Fact, journal::Head};
use protocol::frame::State;
use std::sync::Arc;

everywhere! {
    an_entry_that_two_people_set_aside_is_passed_over
    one_person_alone_decides_nothing
    another_entry_that_comes_under_the_number_of_one_that_was_set_aside_is_applied
    a_closed_site_says_what_is_open_and_is_a_fork_when_it_comes_back
    nothing_is_booked_of_a_site_that_was_closed_or_shut_out_since_its_copy_was_loaded
}

fn copy_of(office: &HeadOffice) -> SiteCopy {
    office.read(|tx| load(tx, &"S1".parse().unwrap())).unwrap()
}

fn found(office: &HeadOffice, class: Class) -> Vec<Found> {
    let filter = Filter {
        class: Some(class),
        ..Filter::default()
    };
    office.read(move |tx| list(tx, &filter, None, 100)).unwrap()
}

fn is_right(office: &HeadOffice) {
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
    assert!(rows.is_right() && rows.looked_at > 10, "{rows:?}");
    assert!(books.is_right() && books.looked_at > 10, "{books:?}");
    assert_eq!(chain.fault, None);
}

/// A journal in whose middle an order is settled a second time, and the number of that entry.
fn broken() -> (Journal, u64) {
    let mut journal = Journal::of_sessions("S1", 12);
    let settles = journal
        .facts
        .iter()
        .position(|(_, fact)| matches!(fact, Fact::OrderSettled { .. }))
        .unwrap();
    let again = journal.facts[settles].1.clone();
    // After the end of a step, with the time of that.
    let end = *journal.ends(20).iter().find(|end| **end > settles + 20).unwrap();
    let (stamp, _) = journal.facts[end - 1].clone();
    journal.facts.insert(end, (stamp, again));
    for (seq, (stamp, _)) in (1..).zip(&mut journal.facts) {
        stamp.seq = seq;
    }
    journal.seal();
    (journal, end as u64 + 1)
}

fn about(entry: Head) -> About {
    About {
        kind: Kind::SetAside,
        site: "S1".parse().unwrap(),
        branch: 0,
        entry,
    }
}

/// Approves what was proposed.
fn approve(tx: &mut dyn Tx, about: &About, by: &str) -> Result<bool, StoreError> {
    match decisions::find(tx, about)? {
        Some(read) => decisions::approve(tx, about, &read, by, NOW),
        None => Ok(false),
    }
}

/// Offers batches until one is not followed.
fn offer(office: &HeadOffice, mut copy: SiteCopy, journal: &Journal) -> (SiteCopy, Taken) {
    let mut taken = Taken::Followed;
    for batch in journal.batches(20) {
        let batch = Arc::new(read(&batch, &copy));
        (copy, taken) = office.take(copy, batch);
        if taken != Taken::Followed {
            break;
        }
    }
    (copy, taken)
}

fn an_entry_that_two_people_set_aside_is_passed_over(office: &HeadOffice) {
    let (journal, seq) = broken();
    let entry = journal.place(seq as usize);
    let (copy, taken) = offer(office, office.add(&journal), &journal);
    assert!(
        matches!(
            &taken,
            Taken::Stopped {
                state: State::Broken,
                why
            } if why.contains(&entry.to_string())
        ),
        "{taken:?}"
    );
    let head = copy.site().head;
    assert!(head.seq < seq, "{head}");
    let approved = office.write(move |tx| {
        decisions::propose(tx, &about(entry), "settled twice by a fault", "ann", NOW)?;
        approve(tx, &about(entry), "bob")
    });
    assert_eq!(approved, Ok(true));
    let (copy, taken) = offer(office, copy_of(office), &journal);
    assert_eq!(taken, Taken::Followed);
    assert_eq!(
        copy.site().head,
        journal.place(journal.facts.len()),
        "its hash is followed"
    );
    is_right(office);
    let findings = found(office, Class::SetAside);
    assert_eq!(findings.len(), 1);
    let finding = &findings[0].finding;
    assert_eq!(finding.seq, seq);
    assert!(
        finding.order.is_some() && finding.detail.contains("OrderSettled"),
        "{finding:?}"
    );
    // The bytes are kept, and rows that are made anew are the same.
    let rebuilt = office.write(|tx| replica::rebuild(tx, ME, &"S1".parse().unwrap(), NOW).map(drop));
    assert_eq!(rebuilt, Ok(()));
    is_right(office);
}

fn one_person_alone_decides_nothing(office: &HeadOffice) {
    let (journal, seq) = broken();
    let entry = journal.place(seq as usize);
    offer(office, office.add(&journal), &journal);
    let alone = office.write(move |tx| {
        assert!(!approve(tx, &about(entry), "ann")?, "nothing is proposed");
        decisions::propose(tx, &about(entry), "why not", "ann", NOW)?;
        approve(tx, &about(entry), "ann")
    });
    assert_eq!(alone, Ok(false));
    let (_, taken) = offer(office, copy_of(office), &journal);
    assert!(
        matches!(
            taken,
            Taken::Stopped {
                state: State::Broken,
                ..
            }
        ),
        "{taken:?}"
    );
    // The database itself refuses it.
    let forced = office.write(|tx| tx.execute("UPDATE site_decision SET approved_by = 'ann', approved_at = 1", &[]));
    assert!(matches!(forced, Err(StoreError::Constraint(_))), "{forced:?}");
    // What was approved is not proposed anew.
    let kept = office.write(move |tx| {
        // Whoever has read one proposal approves no other that has taken its place.
        let read = decisions::find(tx, &about(entry))?.unwrap();
        decisions::propose(tx, &about(entry), "why indeed", "ann", NOW)?;
        let now = decisions::find(tx, &about(entry))?.unwrap();
        assert_ne!(now.name(&about(entry)), read.name(&about(entry)));
        assert!(!decisions::approve(tx, &about(entry), &read, "bob", NOW)?);
        decisions::propose(tx, &about(entry), "why not", "ann", NOW)?;
        assert!(approve(tx, &about(entry), "bob")?);
        decisions::propose(tx, &about(entry), "another reason", "eve", NOW)?;
        decisions::find(tx, &about(entry))
    });
    let kept = kept.unwrap().unwrap();
    assert_eq!(
        (
            kept.reason.as_str(),
            kept.proposed_by.as_str(),
            kept.approved_by.as_deref()
        ),
        ("why not", "ann", Some("bob"))
    );
}

/// Two people have looked at one entry. The station was restored, and what comes under this number now is another.
fn another_entry_that_comes_under_the_number_of_one_that_was_set_aside_is_applied(office: &HeadOffice) {
    let (journal, seq) = broken();
    let entry = journal.place(seq as usize);
    let (copy, _) = offer(office, office.add(&journal), &journal);
    let approved = office.write(move |tx| {
        decisions::propose(tx, &about(entry), "settled twice by a fault", "ann", NOW)?;
        approve(tx, &about(entry), "bob")
    });
    assert_eq!(approved, Ok(true));
    let mut other = journal.clone();
    other.facts.remove(seq as usize - 1);
    for (seq, (stamp, _)) in (1..).zip(&mut other.facts) {
        stamp.seq = seq;
    }
    other.seal();
    assert_eq!(other.place(copy.site().head.seq as usize), copy.site().head);
    let (copy, taken) = offer(office, copy_of(office), &other);
    assert_eq!(
        (taken, copy.site().head),
        (Taken::Followed, other.place(other.facts.len()))
    );
    assert!(found(office, Class::SetAside).is_empty());
    is_right(office);
}

fn a_closed_site_says_what_is_open_and_is_a_fork_when_it_comes_back(office: &HeadOffice) {
    let mut whole = Journal::of_sessions("S1", 12);
    let journal = {
        // It ends in the middle of a session.
        let placed = whole
            .facts
            .iter()
            .rposition(|(_, fact)| matches!(fact, Fact::HoldTaken { .. }))
            .unwrap();
        let end = *whole.ends(1).iter().find(|end| **end > placed).unwrap();
        let mut journal = whole.clone();
        journal.facts.truncate(end);
        journal.seal();
        journal
    };
    let copy = office.follow(&journal, 20);
    let (site, head) = (copy.site().clone(), copy.site().head);
    let of = site.clone();
    let stranger = office.write(move |tx| closing::close(tx, "somebody else", &of, NOW).map(drop));
    assert_eq!(stranger, Err(StoreError::NotOwner));
    office.write(move |tx| closing::close(tx, ME, &site, NOW)).unwrap();
    let findings = found(office, Class::Closed);
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].finding.seq, head.seq);
    let detail: serde_json::Value = serde_json::from_str(&findings[0].finding.detail).unwrap();
    let rows = journal.replayed(journal.facts.len());
    let balance = |account| serde_json::to_value(rows.ledger.balance(&account)).unwrap();
    assert_eq!(detail["cash"], balance(domain::ledger::Account::Cash));
    assert_eq!(
        (&detail["open"], &detail["held"]["count"]),
        (&1.into(), &1.into()),
        "{detail}"
    );
    let order = rows.orders().find(|order| order.state.is_open()).unwrap().id.clone();
    assert_eq!(detail["open_orders"][0], order.as_str());
    assert_eq!(
        detail["held"]["total"],
        balance(domain::ledger::Account::Held(order)),
        "{detail}"
    );
    let members = rows.ledger.accounts().filter(|(account, balance)| {
        matches!(account, domain::ledger::Account::Allowance(_)) && *balance != domain::units::Fen::ZERO
    });
    assert_eq!(detail["allowance"]["count"], members.count());
    is_right(office);

    // It comes back, and goes on: that is kept, and nothing of it is booked.
    whole.seal();
    let booked = || {
        office
            .read(|tx| tx.query_optional("SELECT COUNT(*) FROM transfer", &[])?.unwrap().int(0))
            .unwrap()
    };
    let before = booked();
    let (copy, taken) = offer(office, copy_of(office), &whole);
    assert!(
        matches!(
            &taken,
            Taken::Stopped {
                state: State::Forked,
                why
            } if why.contains("closed")
        ),
        "{taken:?}"
    );
    let mut copy = Some(copy);
    for batch in whole.batches(20) {
        let (of, batch) = (copy.take().unwrap(), Arc::new(read(&batch, &copy_of(office))));
        copy = Some(
            office
                .write(move |tx| keep_of_other(tx, ME, &of, &batch, NOW).map(|_| of))
                .unwrap(),
        );
    }
    assert_eq!((booked(), copy_of(office).site().head), (before, head));
    let end = whole.place(whole.facts.len());
    let kept = office
        .read(|tx| branches::others(tx, &"S1".parse().unwrap(), 0))
        .unwrap();
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!((kept[0].left, kept[0].head), (head, end));
    // A person may have it follow again: by what it says now, and not by what it was closed with.
    let refused = office.write(move |tx| accept(tx, ME, &"S1".parse().unwrap(), head, NOW));
    assert!(matches!(refused, Ok(Err(NotAccepted::Common(_)))), "{refused:?}");
    let accepted = office.write(move |tx| accept(tx, ME, &"S1".parse().unwrap(), end, NOW));
    assert_eq!(accepted.unwrap().unwrap().head, end);
    let site = copy_of(office).site().clone();
    assert_eq!((site.state, site.closed_at, site.head), (State::Following, None, end));
    is_right(office);
}

/// Rule 14: whoever had the copy before has not heard of it yet.
fn nothing_is_booked_of_a_site_that_was_closed_or_shut_out_since_its_copy_was_loaded(office: &HeadOffice) {
    let journal = Journal::of_sessions("S1", 6);
    let ends = journal.ends(20);
    let mut copy = office.add(&journal);
    let first = Arc::new(read(&journal.batch(0, ends[1]), &copy));
    (copy, _) = office.take(copy, first);
    let head = copy.site().head;
    let next = Arc::new(read(&journal.batch(ends[1], ends[2]), &copy));
    let booked = || {
        let count = |tx: &mut dyn Tx| tx.query_optional("SELECT COUNT(*) FROM transfer", &[])?.unwrap().int(0);
        office.read(count).unwrap()
    };
    let before = booked();
    let refused = |mut copy: SiteCopy| {
        let next = Arc::clone(&next);
        let taken = office.write(move |tx| take(tx, ME, &mut copy, &next, NOW).map(drop));
        assert_eq!(taken, Err(StoreError::NotOwner));
        assert_eq!((booked(), copy_of(office).site().head), (before, head));
    };
    let site = copy.site().clone();
    let (early, revoked) = (copy_of(office), site.clone());
    office.write(move |tx| sites::revoke(tx, &revoked.id, NOW)).unwrap();
    refused(early);
    let of = site.id.clone();
    office
        .write(move |tx| tx.execute("UPDATE site SET revoked_at = NULL WHERE id = $1", &[of.as_str().into()]))
        .unwrap();
    office.write(move |tx| closing::close(tx, ME, &site, NOW)).unwrap();
    refused(copy);
    assert_eq!(copy_of(office).site().state, State::Forked, "it stays closed");
}
