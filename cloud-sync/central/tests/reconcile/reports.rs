//! A day's report: its rows add up to the control totals, on whichever day it is written; it says the same in every format, runs nothing that
//! a name has in it, and is the same to the byte as long as nothing has changed.

use crate::{
    on_both,
    world::{CHANNEL, World, day, paid, refunded, wait},
};
use central::{
    reconcile::words::{Class, Leg},
    report::{
        Format, Sheet,
        summary::{Balances, Summary},
        written::{NotWritten, Which, write},
    },
    store::{jobs, sites},
};
use domain::time::Day;
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs, io::Cursor, path::Path, process::Command};

on_both! {
    what_is_at_stake_is_long_and_short_and_neither_fees_nor_the_rest_of_an_amount
    the_first_page_says_whether_it_balances_what_does_not_how_old_it_is_and_who_has_it
    a_day_is_told_as_it_was_whatever_came_later
    every_format_says_the_same_and_the_same_again
    a_formula_in_a_name_is_a_text_in_every_format
    differences_without_end_are_read_page_by_page_and_each_once
    what_there_is_no_report_of_is_said
}

const D1: &str = "2026-03-09";
const D2: &str = "2026-03-10";
const D3: &str = "2026-03-11";

pub(crate) fn report(world: &World, which: Which, format: (Format, Sheet)) -> Result<(Vec<u8>, Summary), NotWritten> {
    let written = world.db.read(move |tx| {
        let mut file = Cursor::new(Vec::new());
        let summary = write(tx, &which, format, &mut file);
        Ok(summary.map(|summary| (file.into_inner(), summary)))
    });
    wait(written).unwrap()
}

pub(crate) fn json_of(world: &World, which: &Which) -> Value {
    let (bytes, _) = report(world, which.clone(), (Format::Json, Sheet::Summary)).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

pub(crate) fn rows<'a>(report: &'a Value, sheet: &str) -> &'a Vec<Value> {
    report[sheet].as_array().unwrap()
}

/// What another program reads in a spreadsheet.
fn spreadsheet(world: &World, which: &Which) -> Value {
    let (bytes, _) = report(world, which.clone(), (Format::Xlsx, Sheet::Summary)).unwrap();
    read_by_another(world, &bytes)
}

/// What another program reads in a spreadsheet's bytes.
pub(crate) fn read_by_another(world: &World, bytes: &[u8]) -> Value {
    let file = world.folder().join("report.xlsx");
    fs::write(&file, bytes).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/figures/xlsx.py");
    let read = Command::new("python3").arg(script).arg(&file).output().unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    serde_json::from_slice(&read.stdout).unwrap()
}

/// Count and fen of the rows for which this holds.
fn sum<'a>(rows: impl Iterator<Item = &'a Value>, is: impl Fn(&Value) -> bool) -> (i64, i64) {
    rows.filter(|row| is(row)).fold((0, 0), |(count, fen), row| {
        (count + 1, fen + row["amount_fen"].as_i64().unwrap())
    })
}

/// The differences of a day are those that its control totals count.
pub(crate) fn adds_up(world: &World, of: Day) {
    let report = json_of(world, &Which::all(of, of));
    let mut seen = BTreeMap::new();
    for row in rows(&report, "differences") {
        let key = [
            "scope",
            "source",
            "reference",
            "file",
            "line",
            "class",
            "of_day",
            "movement",
            "until",
        ]
        .map(|key| row[key].to_string());
        *seen.entry(key).or_insert(0) += 1;
    }
    assert!(
        seen.values().all(|times| *times == 1),
        "{of}: each difference is told once: {seen:?}"
    );
    let pending = format!("{} {}", Leg::Funds.word(), Class::Pending.word());
    for channel in report["report"]["channels"].as_array().unwrap() {
        let name = channel["channel"].as_str().unwrap();
        let classes = channel["totals"]["classes"].as_object().unwrap();
        let leg_of = |class: &str| {
            if class == "FILE_MISSING" {
                Leg::Sources
            } else {
                Leg::Funds
            }
        };
        for class in Class::ALL.into_iter().map(Class::word) {
            let key = format!("{} {class}", leg_of(class).word());
            if key == pending {
                continue;
            }
            let told = |part: &str| {
                let flow = classes.get(&key).map_or(&Value::Null, |flow| &flow[part]);
                let yuan = flow["amount"].as_str().unwrap_or("0").replace('.', "");
                (flow["count"].as_i64().unwrap_or(0), yuan.parse::<i64>().unwrap())
            };
            let own = || {
                let all = rows(&report, "differences").iter();
                all.filter(|row| row["class"] == class && row["scope"] == format!("channel:{name}"))
            };
            let movement = |row: &Value, part: &str| row["movement"].as_str().unwrap().contains(part);
            let is_over = |row: &Value| row["until"] == of.to_string();
            let (cleared, written_off) = (told("cleared"), told("written_off"));
            let gone = (cleared.0 + written_off.0, cleared.1 + written_off.1);
            assert_eq!(
                sum(own(), |row| movement(row, "new")),
                told("new"),
                "{name} {of} {key}: new"
            );
            assert_eq!(
                sum(own(), |row| movement(row, "cleared")),
                gone,
                "{name} {of} {key}: gone"
            );
            assert_eq!(
                sum(own(), |row| !is_over(row)),
                told("closing"),
                "{name} {of} {key}: closing"
            );
            let carried = sum(own(), |row| !movement(row, "new"));
            assert_eq!(carried, told("opening"), "{name} {of} {key}: opening");
        }
    }
    for row in rows(&report, "totals") {
        assert_eq!(row["closes"], true);
    }
}

/// Two days with something of most classes.
pub(crate) fn plant(world: &World) {
    world.credit("p1", "T1", 1_000, "2026-03-09 12:00:00");
    world.credit("p3", "T3", 700, "2026-03-09 12:10:00");
    world.credit("p4", "T4", 10_000, "2026-03-09 12:20:00");
    let long = paid("4200000000000000002", "=2+5", 500);
    let mut fee = paid("p4", "T4", 10_000);
    fee.fee = 61;
    world.bill(
        D1,
        &[
            paid("p1", "T1", 1_000),
            long.clone(),
            paid("p3", "T3", 900),
            fee,
            paid("p9", "T9", 300),
        ],
    );
    world.run(D1);
    world.now("2026-03-11 09:00:00");
    world.bill(D2, &[refunded(&long, "r1", 500), paid("p5", "T5", 250)]);
    world.run(D2);
}

fn the_first_page_says_whether_it_balances_what_does_not_how_old_it_is_and_who_has_it(world: &World) {
    plant(world);
    // One is given to somebody, and something was proposed about another.
    world.execute("UPDATE discrepancy SET assigned = 'li' WHERE ref = 'p3'", vec![]);
    world.execute("UPDATE discrepancy SET state = 'proposed' WHERE ref = 'p4'", vec![]);
    let (_, summary) = report(
        world,
        Which::all(day(D2), day("2026-03-12")),
        (Format::Csv, Sheet::Summary),
    )
    .unwrap();
    assert_eq!((summary.status, summary.balances), ("provisional", Balances::No));
    let [bank] = summary.channels.as_slice() else {
        panic!("{summary:?}")
    };
    assert_eq!(bank.why, ["AMOUNT 1 (9.00)", "FEE 1 (100.00)", "LONG 2 (5.50)"]);
    assert_eq!(
        (bank.status, bank.bills.len(), bank.missing.len()),
        (Some("provisional"), 1, 0)
    );
    assert_eq!(bank.bills[0].name, "bank/2026-03-10.csv");
    let classes: Vec<(&str, i64, i64, i64)> = summary
        .classes
        .iter()
        .map(|of| {
            (
                of.class.unwrap(),
                of.sum.told.count,
                of.sum.told.amount_fen,
                of.untouched,
            )
        })
        .collect();
    assert_eq!(
        classes,
        [("LONG", 2, 550, 2), ("AMOUNT", 1, 900, 1), ("FEE", 1, 10_000, 0)]
    );
    let parts = |of: &[central::report::summary::OpenTold]| -> Vec<(String, i64)> {
        of.iter().map(|of| (of.of.clone(), of.sum.told.count)).collect()
    };
    assert_eq!(parts(&summary.ages), [("2-3".to_owned(), 4)]);
    assert_eq!(
        parts(&summary.holders),
        [("nobody".to_owned(), 3), ("li".to_owned(), 1)]
    );
    assert_eq!((summary.open.told.count, summary.oldest), (4, Some(day(D1))));
    let text = summary.text();
    for said in [
        "reconciliation of 2026-03-10 (provisional): balances: no; 4 open, long 7.50 yuan",
        "channel bank | balances | no: AMOUNT 1 (9.00); FEE 1 (100.00); LONG 2 (5.50)",
        "channel:bank | LONG | 2 untouched; long 5.50 yuan | 2 | 5.50 yuan",
        "channel:bank | AMOUNT | 1 untouched; long 2.00 yuan | 1 | 9.00 yuan",
        "channel:bank | FEE | 0 untouched | 1 | 100.00 yuan",
        "all | open | long 7.50 yuan | 4 | 114.50 yuan",
        "oldest | since | 2026-03-09, 3 days",
        "nobody | open",
        "funds LONG | 8.00 + 2.50 − 5.00 − 0.00 = 5.50 yuan | 2 | 5.50 yuan",
        "bank/2026-03-10.csv | SHA-256 ",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    // A day whose bill is missing, and one that nobody has reconciled.
    world.now("2026-03-12 09:00:00");
    world.run(D3);
    let (_, summary) = report(
        world,
        Which::all(day(D3), day("2026-03-12")),
        (Format::Csv, Sheet::Summary),
    )
    .unwrap();
    let bank = &summary.channels[0];
    assert_eq!(bank.missing, [day(D3)]);
    assert!(bank.why.contains(&"the day's bill is missing".to_owned()), "{bank:?}");
}

fn what_is_at_stake_is_long_and_short_and_neither_fees_nor_the_rest_of_an_amount(world: &World) {
    for (reference, out_no) in [
        ("a1", "A1"),
        ("a2", "A2"),
        ("a3", "A3"),
        ("a4", "A4"),
        ("a5", "A5"),
        ("a6", "A6"),
    ] {
        world.credit(reference, out_no, 1_000, "2026-03-09 12:00:00");
    }
    let mut closed = paid("a4", "A4", 1_100);
    closed.status = "已关闭";
    let mut dear = paid("a5", "A5", 1_000);
    dear.fee += 1;
    let nowhere = paid("a9", "A9", 700);
    let other = paid("a6", "another", 1_050);
    world.bill(
        D1,
        &[
            paid("a1", "A1", 1_300),
            paid("a2", "A2", 600),
            paid("a3", "A3", 1_200),
            closed,
            dear,
            other,
            paid("a7", "A7", 250),
            refunded(&nowhere, "r1", 700),
        ],
    );
    world.run(D1);
    let (_, summary) = report(world, Which::all(day(D1), day(D1)), (Format::Csv, Sheet::Summary)).unwrap();
    let told: Vec<(&str, i64, i64)> = summary
        .classes
        .iter()
        .map(|of| (of.class.unwrap(), of.sum.long_fen, of.sum.short_fen))
        .collect();
    assert_eq!(
        told,
        [
            ("LONG", 250, 0),
            ("AMOUNT", 500, 400),
            ("STATUS", 0, 1_000),
            ("FEE", 0, 0),
            ("AMBIGUOUS", 50, 0),
            ("REFUND_ORPHAN", 0, 700)
        ]
    );
    assert_eq!((summary.open.long_fen, summary.open.short_fen), (800, 2_100));
    assert!(
        summary.title().ends_with("8 open, long 8.00 yuan, short 21.00 yuan"),
        "{}",
        summary.title()
    );
}

fn a_day_is_told_as_it_was_whatever_came_later(world: &World) {
    plant(world);
    adds_up(world, day(D1));
    adds_up(world, day(D2));
    let told = |of: &str| {
        let report = json_of(world, &Which::all(day(of), day(of)));
        let row = |row: &Value| {
            format!(
                "{} {} {} {}",
                row["class"], row["reference"], row["movement"], row["until"]
            )
            .replace('"', "")
        };
        let mut told: Vec<String> = rows(&report, "differences").iter().map(row).collect();
        told.sort();
        told
    };
    assert_eq!(
        told(D1),
        [
            "AMOUNT p3 new null",
            "FEE p4 new null",
            "LONG 4200000000000000002 new 2026-03-10",
            "LONG p9 new null"
        ]
    );
    assert_eq!(
        told(D2),
        [
            "AMOUNT p3 carried null",
            "FEE p4 carried null",
            "LONG 4200000000000000002 cleared 2026-03-10",
            "LONG p5 new null",
            "LONG p9 carried null",
            // With it all of the payment was given back.
            "SHORT r1 new, cleared 2026-03-10"
        ]
    );
    // Credited late: it is over on the third day.
    world.credit("p9", "T9", 300, "2026-03-11 12:00:00");
    world.now("2026-03-12 09:00:00");
    world.bill(D3, &[]);
    world.run(D3);
    for of in [D1, D2, D3] {
        adds_up(world, day(of));
    }
    assert!(told(D1).contains(&"LONG p9 new 2026-03-11".to_owned()));
    assert!(told(D3).contains(&"LONG p9 cleared 2026-03-11".to_owned()));
}

fn every_format_says_the_same_and_the_same_again(world: &World) {
    plant(world);
    let which = Which::all(day(D2), day(D3));
    for format in Format::ALL {
        for sheet in Sheet::ALL {
            let once = report(world, which.clone(), (format, sheet)).unwrap();
            let again = report(world, which.clone(), (format, sheet)).unwrap();
            assert!(once == again, "{format:?} {sheet:?}");
        }
    }
    let (json, xlsx) = (json_of(world, &which), spreadsheet(world, &which));
    for (sheet, read) in Sheet::ALL.iter().zip(xlsx.as_array().unwrap()) {
        assert_eq!(read["name"], sheet.title());
        let table = read["rows"].as_array().unwrap();
        let head: Vec<&str> = table[0]
            .as_array()
            .unwrap()
            .iter()
            .map(|cell| cell["text"].as_str().unwrap())
            .collect();
        let keys: Vec<&str> = sheet.columns().iter().map(|column| column.key).collect();
        assert_eq!(head, keys);
        if *sheet == Sheet::Summary {
            continue;
        }
        let rows = rows(&json, sheet.word());
        assert_eq!(table.len(), rows.len() + 1, "{sheet:?}");
        for (cells, row) in table[1..].iter().zip(rows) {
            for (n, key) in keys.iter().enumerate() {
                let cell = &cells.as_array().unwrap().get(n).cloned().unwrap_or_default();
                let read = match (cell["text"].as_str(), cell["number"].as_str()) {
                    (Some("yes"), _) => json!(true),
                    (Some("no"), _) => json!(false),
                    (Some(text), _) => json!(text),
                    // An amount is a number for whoever adds them up, a count is one too.
                    (_, Some(number)) if number.contains('.') => json!(number),
                    (_, Some(number)) => json!(number.parse::<i64>().unwrap()),
                    _ => Value::Null,
                };
                assert_eq!(read, row[*key], "{sheet:?} {key}");
                let is_money = row.get(format!("{key}_fen")).is_some();
                assert_eq!(
                    is_money,
                    cell["number"].as_str().is_some_and(|number| number.contains('.'))
                );
            }
        }
    }
    let (csv, _) = report(world, which, (Format::Csv, Sheet::Differences)).unwrap();
    let csv = String::from_utf8(csv).unwrap();
    assert!(csv.starts_with("\u{feff}discrepancy,scope,class,"), "{csv}");
    // A number of the channel's that is all digits stays a text, and an amount is a number.
    let line = csv.lines().find(|line| line.contains("4200000000000000002")).unwrap();
    assert!(
        line.contains(",'4200000000000000002,") && line.contains(",5.00,"),
        "{line}"
    );
    assert_eq!(csv.matches("\r\n").count(), rows(&json, "differences").len() + 1);
}

fn a_formula_in_a_name_is_a_text_in_every_format(world: &World) {
    plant(world);
    const FORMULA: &str = "=HYPERLINK(\"http://x\",\"y\")";
    world.execute(
        "UPDATE discrepancy SET assigned = $1 WHERE ref = 'p3'",
        vec![FORMULA.into()],
    );
    let added = world.db.write(|tx| {
        sites::add(tx, &"north".parse().unwrap(), "+North & <yard>", &[])?;
        sites::heard(tx, &"north".parse().unwrap(), None, domain::time::Wall(0))?;
        jobs::done(tx, "books", "north", Some("2026-03-11"), "equal", domain::time::Wall(0))
    });
    wait(added).unwrap();
    let which = Which::all(day(D2), day(D3));
    let json = json_of(world, &which);
    assert_eq!(rows(&json, "sites")[0]["name"], "+North & <yard>");
    let is_it = |row: &&Value| row["assigned"] == FORMULA;
    assert_eq!(rows(&json, "differences").iter().filter(is_it).count(), 1);
    let xlsx = spreadsheet(world, &which);
    let cells: Vec<&Value> = xlsx
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|sheet| sheet["rows"].as_array().unwrap())
        .flat_map(|row| row.as_array().unwrap())
        .collect();
    assert!(cells.iter().all(|cell| cell["formula"].is_null()), "nothing is run");
    for text in [FORMULA, "+North & <yard>", "=2+5", "4200000000000000002"] {
        let found: Vec<_> = cells.iter().filter(|cell| cell["text"] == text).collect();
        assert!(!found.is_empty(), "{text}");
        assert!(
            found.iter().all(|cell| cell["marked"] == true),
            "{text}: it stays a text whoever edits it"
        );
    }
    for (sheet, guarded) in [
        (Sheet::Differences, "\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\""),
        (Sheet::Differences, ",'=2+5,"),
        (Sheet::Sites, ",'+North & <yard>,"),
        (Sheet::Summary, "\"'=HYPERLINK("),
    ] {
        let (csv, _) = report(world, which.clone(), (Format::Csv, sheet)).unwrap();
        let csv = String::from_utf8(csv).unwrap();
        assert!(csv.contains(guarded), "{guarded}: {csv}");
        for line in csv.lines().skip(1) {
            let begins = |field: &str| field.starts_with(['=', '+', '@']);
            assert!(!line.split([',', '"']).any(begins), "{line}");
        }
    }
}

fn differences_without_end_are_read_page_by_page_and_each_once(world: &World) {
    const MANY: usize = 1_100;
    let lines: Vec<_> = (0..MANY)
        .map(|n| paid(&format!("x{n}"), &format!("X{n}"), 100))
        .collect();
    world.bill(D1, &lines);
    world.run(D1);
    adds_up(world, day(D1));
    let report = json_of(world, &Which::all(day(D1), day(D1)));
    assert_eq!(rows(&report, "differences").len(), MANY);
    // All of them are given back, and each is told once on the day on which it is over.
    world.now("2026-03-11 09:00:00");
    let refunds: Vec<_> = lines
        .iter()
        .enumerate()
        .map(|(n, of)| refunded(of, &format!("y{n}"), 100))
        .collect();
    world.bill(D2, &refunds);
    world.run(D2);
    adds_up(world, day(D1));
    adds_up(world, day(D2));
    let report = json_of(world, &Which::all(day(D2), day(D2)));
    let cleared = rows(&report, "differences")
        .iter()
        .filter(|row| row["movement"] == "cleared");
    assert_eq!(cleared.count(), MANY);
}

fn what_there_is_no_report_of_is_said(world: &World) {
    let refused = |which: Which| {
        report(world, which, (Format::Json, Sheet::Summary))
            .unwrap_err()
            .to_string()
    };
    let all = Which::all(day(D1), day(D1));
    assert!(refused(all.clone()).starts_with("nothing of the day 2026-03-09 has been reconciled"));
    let of_channel = Which {
        channel: Some("none".to_owned()),
        ..all.clone()
    };
    assert!(refused(of_channel).starts_with("channel none is not known here"));
    let of_site = Which {
        site: Some("none".to_owned()),
        ..all.clone()
    };
    assert!(refused(of_site).starts_with("site none is not known here"));
    plant(world);
    let channel = Which {
        channel: Some(CHANNEL.to_owned()),
        ..all
    };
    let report = json_of(world, &channel);
    assert_eq!(
        (rows(&report, "sites").len(), rows(&report, "differences").len()),
        (0, 4)
    );
}
