//! A site's balance sheet against its books at head office, at the entry at which it was drawn up.

use crate::{
    everywhere,
    head_office::{HeadOffice, NOW},
    journal::Journal,
};
use central::{
    ingest::books::{Compared, Sheet, check, compare},
    store::findings::{Class, Filter, list},
};
use domain::{
    ledger::{Account, digest},
    units::Fen,
};
use std::collections::BTreeMap;

everywhere! {
    the_sheet_of_any_entry_that_is_here_is_compared
    a_sheet_that_differs_is_found_once_and_names_the_accounts
    what_head_office_has_otherwise_is_found
}

/// The sheet that the station draws up after the entry `seq`.
fn sheet(journal: &Journal, seq: usize) -> Sheet {
    let rows = journal.replayed(seq);
    let accounts: BTreeMap<Account, Fen> = rows
        .ledger
        .accounts()
        .filter(|(_, balance)| *balance != Fen::ZERO)
        .map(|(account, balance)| (account.clone(), balance))
        .collect();
    sheet_of(seq as u64, accounts)
}

fn sheet_of(seq: u64, accounts: BTreeMap<Account, Fen>) -> Sheet {
    let mut named: Vec<(String, Fen)> = accounts.iter().map(|(name, fen)| (name.to_string(), *fen)).collect();
    named.sort();
    Sheet {
        seq,
        digest: digest(seq, named).unwrap(),
        accounts: Some(accounts),
    }
}

fn compared(office: &HeadOffice, journal: &Journal, sheet: &Sheet) -> Compared {
    let (site, sheet) = (journal.site.clone(), sheet.clone());
    office.read(move |tx| compare(tx, &site, &sheet)).unwrap().1
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

fn the_sheet_of_any_entry_that_is_here_is_compared(office: &HeadOffice) {
    let journal = Journal::of_chance(5);
    // Another station whose name begins like this one's, and whose members have the same names.
    let other = Journal::of(&format!("{}-1", journal.site), Journal::of_chance(6).facts);
    office.follow(&journal, 60);
    office.follow(&other, 60);
    let last = journal.facts.len();
    for seq in journal.ends(40) {
        assert_eq!(
            compared(office, &journal, &sheet(&journal, seq)),
            Compared::Equal,
            "entry {seq} of {last}"
        );
    }
    assert_eq!(
        compared(office, &other, &sheet(&other, other.facts.len())),
        Compared::Equal
    );
    let beyond = Sheet {
        seq: last as u64 + 1,
        ..sheet(&journal, last)
    };
    assert_eq!(
        compared(office, &journal, &beyond),
        Compared::Behind { head: last as u64 }
    );
}

fn a_sheet_that_differs_is_found_once_and_names_the_accounts(office: &HeadOffice) {
    let journal = Journal::of_sessions("S1", 12);
    office.follow(&journal, 40);
    let ends = journal.ends(40);
    for (n, seq) in ends[1..3].iter().enumerate() {
        let mut accounts = sheet(&journal, *seq).accounts.unwrap();
        let (cash, member) = (Account::Cash, Account::Allowance("m3".parse().unwrap()));
        let right = accounts[&member];
        *accounts.get_mut(&cash).unwrap() -= Fen(7);
        accounts.remove(&member);
        let wrong = sheet_of(*seq as u64, accounts);
        for _ in 0..2 {
            let done = wait(check(&office.db, &journal.site, wrong.clone(), NOW.after_ms(n as i64)));
            assert!(matches!(done, Ok(Compared::Differ(_))), "{done:?}");
        }
        let all = office.read(|tx| list(tx, &Filter::default(), None, 10)).unwrap();
        assert_eq!(all.len(), n + 1, "{all:?}");
        let finding = &all[0].finding;
        assert_eq!(
            (finding.class, finding.seq),
            (Class::Books, *seq as u64),
            "the newest first"
        );
        let detail: serde_json::Value = serde_json::from_str(&finding.detail).unwrap();
        let named: Vec<&str> = detail["accounts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["account"].as_str().unwrap())
            .collect();
        assert_eq!(named, ["allowance:m3", "cash"], "{detail}");
        assert_eq!(detail["accounts"][0]["site"], "0.00", "{detail}");
        assert_eq!(detail["accounts"][0]["here"], right.to_string(), "{detail}");
    }

    // Page by page, and by what is asked for.
    let first = office.read(|tx| list(tx, &Filter::default(), None, 1)).unwrap();
    let after = first[0].clone();
    let second = office
        .read(move |tx| list(tx, &Filter::default(), Some(&after), 1))
        .unwrap();
    let after = second[0].clone();
    let none = office
        .read(move |tx| list(tx, &Filter::default(), Some(&after), 1))
        .unwrap();
    let seqs = [&first, &second].map(|page| page[0].finding.seq);
    assert_eq!((seqs, none.len()), ([ends[2] as u64, ends[1] as u64], 0));
    for (filter, count) in [
        (
            Filter {
                site: Some(journal.site.clone()),
                ..Filter::default()
            },
            2,
        ),
        (
            Filter {
                site: Some("S2".parse().unwrap()),
                ..Filter::default()
            },
            0,
        ),
        (
            Filter {
                class: Some(Class::Books),
                ..Filter::default()
            },
            2,
        ),
        (
            Filter {
                class: Some(Class::Rating),
                ..Filter::default()
            },
            0,
        ),
        (
            Filter {
                order: Some("o".parse().unwrap()),
                ..Filter::default()
            },
            0,
        ),
    ] {
        let asked = filter.clone();
        let listed = office.read(move |tx| list(tx, &asked, None, 10)).unwrap();
        assert_eq!(listed.len(), count, "{filter:?}");
    }
}

fn what_head_office_has_otherwise_is_found(office: &HeadOffice) {
    let journal = Journal::of_sessions("S1", 6);
    office.follow(&journal, 40);
    let last = journal.facts.len();
    let done = office.write(|tx| {
        tx.execute(
            "UPDATE r_member SET allowance = allowance + 1 WHERE site = 'S1' AND id = 'm1'",
            &[],
        )
    });
    assert_eq!(done, Ok(1));
    let Compared::Differ(finding) = compared(office, &journal, &sheet(&journal, last)) else {
        panic!("it is not found")
    };
    assert!(finding.detail.contains("allowance:m1"), "{}", finding.detail);
    // Without a list there are the digests.
    let unlisted = Sheet {
        accounts: None,
        ..sheet(&journal, last)
    };
    let Compared::Differ(finding) = compared(office, &journal, &unlisted) else {
        panic!("it is not found")
    };
    assert!(
        finding.detail.contains(&unlisted.digest.to_string()),
        "{}",
        finding.detail
    );
}
