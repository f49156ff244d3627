//! A station whose journal does not begin with its first entry any more joins with a signed opening (rule 13).

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
        opening::{self, NotOpened, Opened},
    },
    store::{StoreError, sites},
    upkeep::{self, fork::accept, journal, ledger, replica},
};
use domain::{
    journal::Head,
    ledger::{Account, digest},
    site::Rows,
    time::Wall,
    units::Fen,
};
use protocol::{
    key::SigningKey,
    opening::{Begins, NotRead, Row, VERSION, Writer},
};
use std::sync::Arc;

everywhere! {
    rule_13_a_station_with_a_history_joins_by_a_signed_opening
    what_is_no_opening_of_the_site_is_refused
    a_site_that_joined_may_fork_and_its_branch_be_accepted
    what_came_before_the_opening_is_passed_over
}

/// Entries that the station has and head office never sees.
const BEFORE: usize = 150;

/// The end of a step.
fn place(journal: &Journal, about: usize) -> usize {
    let same = |n: usize| journal.facts[n].0.now() == journal.facts[n - 1].0.now();
    (about..journal.facts.len()).find(|n| !same(*n)).unwrap()
}

fn balance(rows: &Rows, account: Account) -> Fen {
    rows.ledger.balance(&account)
}

/// The opening that the station makes there.
fn made(journal: &Journal, at: usize, key: [u8; 32]) -> Vec<u8> {
    let (rows, last) = (journal.replayed(at), journal.facts[at - 1].0);
    let begins = Begins {
        version: VERSION,
        site: journal.site.clone(),
        epoch: "e".to_owned(),
        head: journal.place(at),
        mono: last.mono,
        at: Wall(0),
    };
    let mut all = vec![Row::Clock(rows.clock.clone()), Row::Desk(rows.desk)];
    all.extend(rows.energy.days.map(Row::Days));
    all.extend(Account::OF_STATION.map(|account| Row::Account(account.clone(), balance(&rows, account))));
    all.extend(
        rows.tariffs
            .values()
            .cloned()
            .map(|tariff| Row::Tariff(Box::new(tariff))),
    );
    all.extend(rows.piles.values().cloned().map(|pile| Row::Pile(Box::new(pile))));
    for (id, member) in &rows.members {
        let Some(member) = member.clone() else { continue };
        all.push(Row::Member {
            member: Box::new(member),
            allowance: balance(&rows, Account::Allowance(id.clone())),
            debt: balance(&rows, Account::Debt(id.clone())),
        });
    }
    for (id, card) in &rows.cards {
        all.extend(card.clone().map(|card| Row::Card(id.clone(), Box::new(card))));
    }
    for (id, order) in &rows.orders {
        let Some(order) = order.clone() else { continue };
        let held = balance(&rows, Account::Held(id.clone()));
        let order = Box::new(order);
        all.push(Row::Order { order, held });
    }
    for (number, item) in &rows.quarantine {
        all.extend(item.clone().map(|item| Row::Quarantine(*number, Box::new(item))));
    }
    for (receipt, used) in &rows.receipts {
        all.extend(used.clone().map(|used| Row::Receipt(receipt.clone(), used)));
    }
    for (slip, used) in &rows.slips {
        all.extend(used.clone().map(|used| Row::Slip(slip.clone(), used)));
    }
    all.extend(
        rows.shifts
            .iter()
            .map(|(n, shift)| Row::Shift(*n, Box::new(shift.clone()))),
    );
    let days = rows.desk_days.iter();
    all.extend(days.map(|((day, first), row)| Row::DeskDay(*day, *first, Box::new(row.clone()))));
    let open = rows.energy.open.iter();
    all.extend(open.map(|((day, outlet), sums)| Row::EnergyDay(*day, outlet.clone(), Box::new(sums.clone()))));
    let reports = rows.energy_reports.values().cloned();
    all.extend(reports.map(|report| Row::EnergyReport(Box::new(report))));
    let mut writer = Writer::new(Vec::new(), begins).unwrap();
    all.into_iter().for_each(|row| writer.row(row).unwrap());
    writer.end(&SigningKey::from_seed(key)).unwrap().1
}

fn site(office: &HeadOffice) -> sites::Site {
    office
        .read(|tx| sites::find(tx, &"S1".parse().unwrap()))
        .unwrap()
        .unwrap()
}

/// What the site last said of where its journal begins.
fn says(office: &HeadOffice, begins_after: Head) {
    let hello = serde_json::json!({ "begins_after": begins_after }).to_string();
    office
        .write(move |tx| sites::heard(tx, &"S1".parse().unwrap(), Some(&hello), NOW))
        .unwrap();
}

fn propose(office: &HeadOffice, opened: Opened) -> Result<(), NotOpened> {
    let site = site(office);
    office
        .write(move |tx| upkeep::opening::propose(tx, &site, &opened))
        .unwrap()
}

/// The site of a journal has joined with an opening made there.
fn joined(office: &HeadOffice, journal: &Journal, at: usize) -> SiteCopy {
    office.add(journal);
    says(office, journal.place(at - 20));
    let opened = opening::read(made(journal, at, journal.key).as_slice(), &site(office)).unwrap();
    assert!(
        opened.totals.rows > 50 && opened.totals.members == 51,
        "{:?}",
        opened.totals
    );
    assert!(opened.totals.balances["allowance"] > Fen::ZERO, "{:?}", opened.totals);
    propose(office, opened).unwrap();
    let of = site(office);
    let accounts = office
        .write(move |tx| upkeep::opening::approve(tx, ME, &of, NOW))
        .unwrap();
    assert!(accounts > 10, "{accounts}");
    office.read(|tx| load(tx, &"S1".parse().unwrap())).unwrap()
}

fn follow(office: &HeadOffice, mut copy: SiteCopy, journal: &Journal, from: usize) -> SiteCopy {
    let mut ends: Vec<usize> = journal.ends(20).into_iter().filter(|end| *end > from).collect();
    ends.insert(0, from);
    for ends in ends.windows(2) {
        let batch = read(&journal.batch(ends[0], ends[1]), &copy);
        let taken;
        (copy, taken) = office.take(copy, Arc::new(batch));
        assert_eq!(taken, Taken::Followed);
    }
    copy
}

fn sheet(journal: &Journal, seq: usize) -> Sheet {
    let rows = journal.replayed(seq);
    let accounts = rows.ledger.accounts().filter(|(_, balance)| *balance != Fen::ZERO);
    let mut named: Vec<(String, Fen)> = accounts.map(|(name, balance)| (name.to_string(), balance)).collect();
    named.sort();
    Sheet {
        seq: seq as u64,
        digest: digest(seq as u64, named).unwrap(),
        accounts: None,
    }
}

fn compared(office: &HeadOffice, sheet: Sheet) -> Compared {
    office
        .read(move |tx| compare(tx, &"S1".parse().unwrap(), &sheet))
        .unwrap()
        .1
}

fn all_is_right(office: &HeadOffice, journal: &Journal) {
    let end = journal.facts.len();
    let (site, through) = (journal.site.clone(), journal.place(end));
    let looked = office.read(move |tx| {
        let rows = replica::verify(tx, &site)?;
        Ok((rows, journal::verify(tx, &site, Some(through))?, ledger::verify(tx)?))
    });
    let (rows, chain, books) = looked.unwrap();
    assert!(rows.is_right() && rows.looked_at > 50, "{rows:?}");
    assert!(books.is_right() && books.looked_at > 10, "{books:?}");
    assert_eq!((chain.head, chain.fault), (journal.place(end), None));
    assert_eq!(compared(office, sheet(journal, end)), Compared::Equal);
}

fn rule_13_a_station_with_a_history_joins_by_a_signed_opening(office: &HeadOffice) {
    let journal = Journal::of_sessions("S1", 16);
    let at = place(&journal, BEFORE);
    let copy = joined(office, &journal, at);
    assert_eq!(
        (copy.site().head, copy.site().begins),
        (journal.place(at), journal.place(at))
    );
    assert_eq!(compared(office, sheet(&journal, at)), Compared::Equal);
    // A sheet of before says nothing of what is here.
    assert_eq!(compared(office, sheet(&journal, at - 1)), Compared::Forked);
    follow(office, copy, &journal, at);
    all_is_right(office, &journal);
    let opened = office
        .read(|tx| {
            tx.query(
                "SELECT COUNT(*) FROM transfer WHERE code = 'OPENING' AND id LIKE 'S1:0:open.%'",
                &[],
            )
        })
        .unwrap();
    assert!(opened[0].clone().int(0).unwrap() > 10);
    let rebuilt = office.write(|tx| replica::rebuild(tx, ME, &"S1".parse().unwrap(), NOW).map(drop));
    assert_eq!(rebuilt, Ok(()));
    all_is_right(office, &journal);
}

fn what_is_no_opening_of_the_site_is_refused(office: &HeadOffice) {
    let journal = Journal::of_sessions("S1", 16);
    let at = place(&journal, BEFORE);
    office.add(&journal);
    let of = site(office);
    let bytes = made(&journal, at, journal.key);
    let refused = |bytes: &[u8]| opening::read(bytes, &of).unwrap_err();
    // Made by somebody else, or changed.
    let forged = refused(&made(&journal, at, [9; 32]));
    assert!(matches!(forged, NotOpened::NotRead(NotRead::NotSigned(_))), "{forged}");
    let richer = String::from_utf8(bytes.clone())
        .unwrap()
        .replacen("\"allowance\":\"", "\"allowance\":\"1", 1);
    let forged = refused(richer.as_bytes());
    assert!(matches!(forged, NotOpened::NotRead(NotRead::NotSigned(_))), "{forged}");
    let cut = refused(&bytes[..bytes.len() / 2]);
    assert!(matches!(cut, NotOpened::NotRead(NotRead::Line { .. })), "{cut}");
    // Another site's.
    let mut other = journal.clone();
    other.site = "S2".parse().unwrap();
    let other = refused(&made(&other, at, journal.key)).to_string();
    assert!(other.contains("it is the opening of site S2"), "{other}");
    // One after which the station has not all entries any more, and one that is not needed.
    let read_well = || opening::read(bytes.as_slice(), &of).unwrap();
    says(office, journal.place(at + 5));
    let old = propose(office, read_well()).unwrap_err().to_string();
    assert!(old.contains(&format!("begins after {}", at + 5)), "{old}");
    says(office, Head::START);
    let whole = propose(office, read_well()).unwrap_err().to_string();
    assert!(whole.contains("no opening is needed"), "{whole}");
    // There is none, and one of a site that has begun.
    let of_none = of.clone();
    let none = office.write(move |tx| upkeep::opening::approve(tx, ME, &of_none, NOW));
    assert!(matches!(none, Err(StoreError::Broken(_))), "{none:?}");
    says(office, journal.place(at - 20));
    propose(office, read_well()).unwrap();
    let (approved, not_owner) = (of.clone(), of.clone());
    let stranger = office.write(move |tx| upkeep::opening::approve(tx, "another", &not_owner, NOW));
    assert_eq!(stranger, Err(StoreError::NotOwner));
    office
        .write(move |tx| upkeep::opening::approve(tx, ME, &approved, NOW))
        .unwrap();
    let again = propose(office, read_well()).unwrap_err().to_string();
    assert!(again.contains("goes on from there, without an opening"), "{again}");
    let twice = office.write(move |tx| upkeep::opening::approve(tx, ME, &of, NOW));
    assert_eq!(twice, Err(StoreError::NotOwner));
}

fn a_site_that_joined_may_fork_and_its_branch_be_accepted(office: &HeadOffice) {
    let [one, other] = [(8, "4.5"), (6, "3")].map(|(more, energy)| Journal::of_fork("S1", 12, more, energy));
    let at = place(&one, BEFORE.min(100));
    let copy = joined(office, &one, at);
    follow(office, copy, &one, at);
    let mut ends: Vec<usize> = other.ends(20).into_iter().filter(|end| *end > at).collect();
    ends.insert(0, at);
    for ends in ends.windows(2) {
        let mut copy = office.read(|tx| load(tx, &"S1".parse().unwrap())).unwrap();
        let batch = read(&other.batch(ends[0], ends[1]), &copy);
        office
            .write(move |tx| match copy.site().state {
                protocol::frame::State::Forked => keep_of_other(tx, ME, &copy, &batch, NOW).map(drop),
                _ => central::ingest::take(tx, ME, &mut copy, &batch, NOW).map(drop),
            })
            .unwrap();
    }
    let end = other.place(other.facts.len());
    let accepted = office.write(move |tx| accept(tx, ME, &"S1".parse().unwrap(), end, NOW));
    assert_eq!(accepted.unwrap().unwrap().head, end);
    all_is_right(office, &other);
}

fn what_came_before_the_opening_is_passed_over(office: &HeadOffice) {
    let journal = Journal::of_sessions("S1", 16);
    let at = place(&journal, BEFORE);
    let copy = joined(office, &journal, at);
    let (early, end) = (place(&journal, 40), place(&journal, at + 30));
    let batch = read(&journal.batch(0, early), &copy);
    let (copy, taken) = office.take(copy, Arc::new(batch));
    assert_eq!((taken, copy.site().head), (Taken::Followed, journal.place(at)));
    // One that goes beyond it is followed from there.
    let batch = read(&journal.batch(early, end), &copy);
    let (copy, taken) = office.take(copy, Arc::new(batch));
    assert_eq!((taken, copy.site().head), (Taken::Followed, journal.place(end)));
    follow(office, copy, &journal, end);
    all_is_right(office, &journal);
}
