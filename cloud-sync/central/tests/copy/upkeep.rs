//! Looking after a copy: what is whole is found whole, and whatever of the database is damaged is found.

use crate::{
    everywhere,
    head_office::{HeadOffice, ME, NOW},
    journal::Journal,
};
use central::{
    store::{StoreError, Value, sites},
    upkeep::{Verified, journal, ledger, replica},
};
use domain::journal::Head;

everywhere! {
    rows_are_those_of_the_journal_and_what_is_damaged_is_found_and_made_anew
    only_the_owner_makes_rows_anew
    a_journal_is_whole_and_what_is_damaged_of_it_is_found
    the_books_add_up_and_what_is_damaged_of_them_is_found
    movements_are_written_out_all_or_of_a_day
}

fn damage(office: &HeadOffice, statement: &'static str) {
    let changed = office.write(move |tx| tx.execute(statement, &[])).unwrap();
    assert!(changed > 0, "{statement}");
}

fn rows(office: &HeadOffice, site: &str) -> Verified {
    let site = site.parse().unwrap();
    office.read(move |tx| replica::verify(tx, &site)).unwrap()
}

fn rebuild(office: &HeadOffice, me: &'static str) -> Result<Head, StoreError> {
    let site = "S1".parse().unwrap();
    let copy = office.write(move |tx| replica::rebuild(tx, me, &site, NOW));
    copy.map(|copy| copy.site().head)
}

fn rows_are_those_of_the_journal_and_what_is_damaged_is_found_and_made_anew(office: &HeadOffice) {
    let journal = Journal::of_chance(7);
    let copy = office.follow(&journal, 60);
    let other = Journal::of("S2", Journal::of_chance(8).facts);
    office.follow(&other, 60);
    let whole = rows(office, "S1");
    assert!(whole.is_right() && whole.looked_at > 20, "{whole:?}");
    for (statement, table, what) in [
        (
            "UPDATE r_order SET fee = fee + 1 WHERE site = 'S1' AND fee IS NOT NULL",
            "r_order",
            "fee is",
        ),
        (
            "DELETE FROM r_member WHERE site = 'S1' AND id = 'm'",
            "r_member",
            "it is missing",
        ),
        (
            "UPDATE r_pile SET row = replace(row, 'P1', 'P9') WHERE site = 'S1' AND id = 'P1'",
            "r_pile",
            "row is",
        ),
        (
            "INSERT INTO r_receipt (site, id, row) VALUES ('S1', 'nobody''s', '{}')",
            "r_receipt",
            "does not follow",
        ),
        (
            "DELETE FROM r_state WHERE site = 'S1' AND name = 'desk'",
            "r_state",
            "it is missing",
        ),
        (
            "UPDATE r_account SET balance = 1 WHERE site = 'S1' AND name = 'bank'",
            "r_account",
            "balance is",
        ),
        (
            "INSERT INTO r_energy_day (site, day, pile, connector, row) VALUES ('S1', '2001-01-01', 'P1', 1, '{}')",
            "r_energy_day",
            "does not follow",
        ),
    ] {
        damage(office, statement);
        let found = rows(office, "S1");
        assert!(!found.is_right(), "{statement}");
        let all = found.differences.iter();
        assert!(
            all.clone().all(|one| one.of == table && one.what.contains(what)),
            "{statement}: {found:?}"
        );
        assert_eq!(rebuild(office, ME), Ok(copy.site().head));
        assert_eq!(rows(office, "S1"), whole, "{statement}");
    }
    assert!(rows(office, "S2").is_right(), "another site's rows stay");
    // What moved in the books has nothing to do with it.
    let books = office.read(ledger::verify).unwrap();
    assert!(books.is_right(), "{books:?}");
}

fn only_the_owner_makes_rows_anew(office: &HeadOffice) {
    office.follow(&Journal::of_sessions("S1", 4), 40);
    damage(office, "UPDATE r_account SET balance = 1 WHERE name = 'cash'");
    let found = rows(office, "S1");
    assert_eq!(rebuild(office, "somebody else"), Err(StoreError::NotOwner));
    assert_eq!(rows(office, "S1"), found, "nothing has changed");
    // A journal that cannot be followed gives no rows, and those that are there stay.
    damage(office, "DELETE FROM batch WHERE first = 1");
    let done = rebuild(office, ME);
    assert!(
        matches!(&done, Err(StoreError::Broken(why)) if why.contains("does not follow")),
        "{done:?}"
    );
    let orders = office.read(|tx| tx.query_optional("SELECT count(*) FROM r_order", &[])?.unwrap().int(0));
    assert_eq!(orders, Ok(4));
}

/// What is changed of a batch that is kept.
type Change<'a> = &'a dyn Fn(&mut Vec<Value>);

fn journal_fault(office: &HeadOffice, through: Option<Head>) -> Option<String> {
    let site = "S1".parse().unwrap();
    office
        .read(move |tx| journal::verify(tx, &site, through))
        .unwrap()
        .fault
}

fn a_journal_is_whole_and_what_is_damaged_of_it_is_found(office: &HeadOffice) {
    let journal = Journal::of_sessions("S1", 30);
    office.follow(&journal, 20);
    let last = journal.facts.len();
    let site = journal.site.clone();
    let whole = office.read(move |tx| journal::verify(tx, &site, None)).unwrap();
    assert_eq!((whole.head, whole.fault), (journal.place(last), None));
    assert_eq!(whole.batches, journal.ends(20).len() as u64 - 1);
    // Places that somebody wrote down.
    for seq in [0, 1, 57, last] {
        assert_eq!(journal_fault(office, Some(journal.place(seq))), None, "{seq}");
    }
    let never = Head {
        seq: 57,
        ..journal.place(58)
    };
    let fault = journal_fault(office, Some(never)).unwrap();
    assert!(fault.contains("does not go through 57:"), "{fault}");
    let beyond = Head {
        seq: last as u64 + 1,
        ..journal.place(1)
    };
    let fault = journal_fault(office, Some(beyond)).unwrap();
    assert!(fault.contains("does not reach"), "{fault}");
    let genesis = Head {
        seq: 0,
        ..journal.place(1)
    };
    assert!(
        journal_fault(office, Some(genesis)).is_some(),
        "no journal begins there"
    );

    let third = journal.ends(20)[2] + 1;
    let number = Value::from(third as u64);
    let all = "SELECT first, last, prev, dictionary, raw, body, sig FROM batch WHERE first = $1";
    let number_of = number.clone();
    let kept = office
        .read(move |tx| tx.query_optional(all, &[number_of]))
        .unwrap()
        .unwrap();
    let set = "UPDATE batch SET first = $1, last = $2, prev = $3, dictionary = $4, raw = $5, body = $6, sig = $7 WHERE first = $8";
    let put = |change: &dyn Fn(&mut Vec<Value>)| {
        let mut values = kept.0.clone();
        change(&mut values);
        values.push(number.clone());
        assert_eq!(office.write(move |tx| tx.execute(set, &values)), Ok(1));
    };
    let flip = |at: usize| {
        move |values: &mut Vec<Value>| {
            let Value::Bytes(bytes) = &mut values[at] else {
                panic!("bytes")
            };
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        }
    };
    let changes: [(&str, Change<'_>); 5] = [
        ("it goes on from", &flip(2)),
        ("the batch of the entries", &flip(5)),
        ("not signed by a key that counts", &flip(6)),
        ("it says", &|values| values[1] = Value::from(third as u64 + 500)),
        ("unpacked", &|values| values[4] = Value::Int(3)),
    ];
    for (what, change) in changes {
        put(change);
        let fault = journal_fault(office, None).unwrap_or_default();
        assert!(fault.contains(what), "{what}: {fault}");
        put(&|_| {});
        assert_eq!(journal_fault(office, None), None);
    }
    // The head, and entries that are gone.
    damage(office, "UPDATE site SET seq = seq + 1 WHERE id = 'S1'");
    assert!(journal_fault(office, None).unwrap().contains("the site's head is"));
    damage(office, "UPDATE site SET seq = seq - 1 WHERE id = 'S1'");
    let number = [number];
    let gone = office.write(move |tx| tx.execute("DELETE FROM batch WHERE first = $1", &number));
    assert_eq!(gone, Ok(1));
    let fault = journal_fault(office, None).unwrap();
    assert!(
        fault.contains(&format!("entries {third} to")) && fault.contains("are missing"),
        "{fault}"
    );
}

fn the_books_add_up_and_what_is_damaged_of_them_is_found(office: &HeadOffice) {
    office.follow(&Journal::of_chance(9), 60);
    office.follow(&Journal::of("S2", Journal::of_chance(10).facts), 60);
    let whole = office.read(ledger::verify).unwrap();
    assert!(whole.is_right() && whole.looked_at > 10, "{whole:?}");
    for (wrong, right, names, what) in [
        (
            "UPDATE account SET balance = balance + 1 WHERE name = 'cash:S1'",
            "UPDATE account SET balance = balance - 1 WHERE name = 'cash:S1'",
            vec!["cash:S1", "", "cash:S1"],
            "its movements sum to",
        ),
        (
            "UPDATE r_account SET balance = balance + 1 WHERE name = 'cash' AND site = 'S2'",
            "UPDATE r_account SET balance = balance - 1 WHERE name = 'cash' AND site = 'S2'",
            vec!["cash:S2"],
            "in the site's rows",
        ),
        (
            "UPDATE account SET name = 'cash:S3' WHERE name = 'cash:S2'",
            "UPDATE account SET name = 'cash:S2' WHERE name = 'cash:S3'",
            vec!["cash:S3", "cash:S2", "cash:S2", "cash:S3"],
            "it is not there",
        ),
    ] {
        damage(office, wrong);
        let found = office.read(ledger::verify).unwrap();
        let keys: Vec<&str> = found.differences.iter().map(|one| one.key.as_str()).collect();
        assert_eq!(keys, names, "{wrong}: {found:?}");
        assert!(
            found.differences.iter().any(|one| one.what.contains(what)),
            "{wrong}: {found:?}"
        );
        damage(office, right);
        assert_eq!(office.read(ledger::verify), Ok(whole.clone()));
    }
}

fn movements_are_written_out_all_or_of_a_day(office: &HeadOffice) {
    // More than a page, on several days.
    let journal = Journal::of_sessions("S1", 400);
    office.follow(&journal, 1_000);
    let odd: [Value; 3] = ["x,\"1\"".into(), "=1+1".into(), 7_i64.into()];
    let added = office.write(move |tx| {
        tx.execute(
            "INSERT INTO transfer (id, debit, credit, amount, code, at, by) VALUES ($1, 'a', 'b', $3, 'T', 0, $2)",
            &odd,
        )
    });
    assert_eq!(added, Ok(1));
    let export = |day: Option<&str>| {
        let day = day.map(|day| domain::time::Day::parse(day).unwrap());
        let table = office.read(move |tx| {
            let mut out = Vec::new();
            let written = ledger::export(tx, day, &mut out).unwrap();
            Ok((written, String::from_utf8(out).unwrap()))
        });
        table.unwrap()
    };
    let (written, table) = export(None);
    let lines: Vec<&str> = table.split_terminator("\r\n").collect();
    let counted = office.read(|tx| tx.query_optional("SELECT count(*) FROM transfer", &[])?.unwrap().int(0));
    assert_eq!(
        (written as i64, lines.len() as i64 - 1),
        (counted.unwrap(), written as i64)
    );
    assert!(written > 1_200, "{written}");
    assert!(
        lines.contains(&"\"x,\"\"1\"\"\",,1970-01-01T00:00:00Z,T,a,b,0.07,,,,,,'=1+1"),
        "{}",
        lines[lines.len() - 1]
    );
    let top_up = lines.iter().find(|line| line.contains(",TOPUP,")).unwrap();
    let fields: Vec<&str> = top_up.split(',').collect();
    assert_eq!(
        (fields[3], fields[4], fields[7], fields[8]),
        ("TOPUP", "cash:S1", "S1", "0"),
        "{top_up}"
    );
    assert_eq!(fields.last(), Some(&"desk"), "{top_up}");

    // Of each day its own, and all of them together.
    let days = office.read(|tx| {
        let rows = tx.query("SELECT DISTINCT day FROM transfer WHERE day IS NOT NULL", &[])?;
        Ok(rows.into_iter().map(|mut row| row.text(0).unwrap()).collect::<Vec<_>>())
    });
    let days = days.unwrap();
    assert!(days.len() > 2, "{days:?}");
    let mut sum = 1;
    for day in &days {
        let (written, table) = export(Some(day));
        assert!(
            table
                .split_terminator("\r\n")
                .skip(1)
                .all(|line| line.split(',').nth(1) == Some(day)),
            "{table}"
        );
        sum += written;
    }
    assert_eq!(sum, written);
    assert_eq!(export(Some("2001-01-01")).0, 0);
    let site = "S1".parse().unwrap();
    assert!(office.read(move |tx| sites::find(tx, &site)).unwrap().is_some());
}
