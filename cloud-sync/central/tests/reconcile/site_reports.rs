//! What a report says of sites' days: amounts of its own day, how far meters are apart, what a row is, and what is open at a site that was
//! closed.

use crate::{
    on_both,
    reports::{json_of, report, rows},
    sites::Yard,
    world::{World, day, wait},
};
use central::{
    report::{Format, Sheet, written::Which},
    store::{
        findings::{self, Class, Finding},
        sites,
    },
};
use domain::{
    energy::Finding as OfMeter,
    ids::SiteId,
    units::{Energy, Fen},
};
use serde_json::Value;

on_both! {
    a_report_of_an_earlier_day_has_the_amounts_of_that_day
    meters_are_told_in_kwh_and_a_row_says_what_it_is
    a_balance_sheet_that_differs_shows_the_account_that_differs_most
    a_site_that_was_closed_before_it_said_where_its_days_begin_is_told_of
    a_day_of_which_nothing_is_to_be_said_has_a_digest_that_looks_like_one
}

const D1: &str = "2026-03-09";
const D2: &str = "2026-03-10";

/// What is open on the first page of a day's report.
fn open(world: &World, of: &str) -> (i64, Fen) {
    let which = Which::all(day(of), day("2026-03-11"));
    let (_, summary) = report(world, which, (Format::Csv, Sheet::Summary)).unwrap();
    (summary.open.told.count, summary.open.told.amount)
}

/// Something was found at a site, with what the finding says of it.
fn finds(world: &World, site: &str, class: Class, seq: u64, at: &str, detail: &str) {
    let (id, at): (SiteId, _) = (site.parse().unwrap(), world.at_time(at));
    let finding = Finding {
        class,
        seq,
        order: None,
        detail: detail.to_owned(),
    };
    wait(world.db.write(move |tx| findings::add(tx, &id, 0, &[finding], at))).unwrap();
}

/// The differences of a site in a day's report.
fn differences(report: &Value, site: &str) -> Vec<Value> {
    let scope = format!("site:{site}");
    let of_site = rows(report, "differences").iter().filter(|row| row["scope"] == scope);
    of_site.cloned().collect()
}

fn a_report_of_an_earlier_day_has_the_amounts_of_that_day(world: &World) {
    let yard = Yard::new(world);
    yard.order("o1", D1, 500);
    yard.books("o1", (0, 4), 600);
    yard.ends(D1, 10, D2, "2026-03-10 00:00:01");
    yard.catch_up("2026-03-10 02:00:00");
    assert_eq!(open(world, D1), (1, Fen(100)));
    // Once its day is final more is booked of the order, and it differs by more.
    yard.reports(D1, 0, Vec::new(), 0);
    yard.catch_up("2026-03-10 12:00:00");
    assert_eq!(yard.days(), ["2026-03-09 F"]);
    yard.books("o1", (0, 15), 300);
    yard.ends(D2, 20, "2026-03-11", "2026-03-11 00:00:01");
    yard.catch_up("2026-03-11 02:00:00");
    assert_eq!(yard.open(), ["BOOKS 2026-03-10 2026-03-09 900 500 -400"]);
    assert_eq!((open(world, D1), open(world, D2)), ((1, Fen(100)), (1, Fen(400))));
}

fn meters_are_told_in_kwh_and_a_row_says_what_it_is(world: &World) {
    let yard = Yard::new(world);
    yard.ends(D1, 10, D2, "2026-03-10 08:00:00");
    yard.finds(Class::Rating, (0, 7), "2026-03-09 12:00:00");
    let differs = OfMeter::Energy {
        order: None,
        billed: Energy(25_000),
        register: Energy(10_000),
    };
    let gap = OfMeter::RegisterGap {
        order: None,
        from: Energy(10_000),
        to: Energy(12_000),
    };
    yard.reports(D1, 0, vec![differs, gap], 0);
    yard.catch_up("2026-03-10 12:00:00");
    let which = Which::all(day(D1), day(D2));
    let (_, summary) = report(world, which.clone(), (Format::Csv, Sheet::Summary)).unwrap();
    assert_eq!(summary.open.kwh, Energy(17_000));
    let text = summary.text();
    for said in [
        "site:north | ENERGY | 1 untouched; 1.5000 kWh | 1 |",
        "site:north | REGISTER_GAP | 1 untouched; 0.2000 kWh | 1 |",
        "all | open | 1.7000 kWh | 3 | 2.00 yuan",
        "ENERGY 1; REGISTER_GAP 1; RATING 1 (2.00)",
        "meters ENERGY | 0 + 1 − 0 − 0 = 1",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    let report = json_of(world, &which);
    let is_it = |row: &&Value| row["class"] == "RATING";
    let rating = differences(&report, "north")
        .into_iter()
        .find(|row| is_it(&row))
        .unwrap();
    assert_eq!(rating["reference"], "entry 7, found 2026-03-09T04:00:00Z");
}

fn a_balance_sheet_that_differs_shows_the_account_that_differs_most(world: &World) {
    let yard = Yard::new(world);
    yard.ends(D1, 10, D2, "2026-03-10 08:00:00");
    let detail = r#"{"why":"3 accounts differ","site":"00ff","here":"ff00","accounts":[
        {"account":"allowance:li","site":"5.00","here":"5.50"},{"account":"cash","site":"-9.00","here":"-7.00"},
        {"account":"sales:electricity","site":"4.00","here":"1.50"}],"differ":3}"#;
    finds(world, "north", Class::Books, 6, "2026-03-09 12:00:00", detail);
    let digests = r#"{"why":"the digests over all accounts differ","site":"00ff","here":"ff00","accounts":[]}"#;
    finds(world, "north", Class::Books, 8, "2026-03-09 13:00:00", digests);
    yard.catch_up("2026-03-10 12:00:00");
    let mut open = yard.open();
    open.sort();
    assert_eq!(
        open,
        [
            "BOOKS 2026-03-09 2026-03-09 - - 0",
            "BOOKS 2026-03-09 2026-03-09 150 400 250"
        ]
    );
}

fn a_site_that_was_closed_before_it_said_where_its_days_begin_is_told_of(world: &World) {
    let yard = Yard::new(world);
    yard.ends(D1, 10, D2, "2026-03-10 00:00:01");
    let closed_at = world.at_time("2026-03-09 18:00:00");
    let added = world.db.write(move |tx| {
        sites::add(tx, &"west".parse().unwrap(), "West yard", &[])?;
        tx.execute(
            "UPDATE site SET closed_at = $1 WHERE id = 'west'",
            &[closed_at.0.into()],
        )
    });
    wait(added).unwrap();
    let sum = |total: &str| format!(r#"{{"total":"{total}","count":1,"accounts":{{}}}}"#);
    let (allowance, held, debt) = (sum("300.00"), sum("20.00"), sum("-5.00"));
    let detail = format!(
        r#"{{"why":"closed","open_orders":[],"open":0,"cash":"-310.00","allowance":{allowance},"held":{held},"debt":{debt}}}"#
    );
    finds(world, "west", Class::Closed, 0, "2026-03-09 18:00:00", &detail);
    yard.night("2026-03-10 02:00:00");
    let report = json_of(world, &Which::all(day(D1), day(D2)));
    let told: Vec<[Value; 4]> = differences(&report, "west")
        .into_iter()
        .map(|row| ["class", "ours", "theirs", "amount"].map(|key| row[key].clone()))
        .collect();
    assert_eq!(told, [["CLOSED", "315.00", "310.00", "-5.00"].map(Value::from)]);
    // Its only day is final, and it lacks no other.
    yard.night("2026-03-12 12:00:00");
    let runs = world.query(
        "SELECT day, status FROM run WHERE scope = 'site:west' AND status <> 'replaced'",
        vec![],
    );
    let runs: Vec<(String, String)> = runs
        .into_iter()
        .map(|mut row| (row.text(0).unwrap(), row.text(1).unwrap()))
        .collect();
    assert_eq!(runs, [(D1.to_owned(), "final".to_owned())]);
}

fn a_day_of_which_nothing_is_to_be_said_has_a_digest_that_looks_like_one(world: &World) {
    let yard = Yard::new(world);
    yard.two_days();
    yard.catch_up("2026-03-12 00:30:00");
    assert_eq!(yard.open(), [] as [String; 0]);
    let digests = world.query("SELECT digest FROM run WHERE status = 'final'", vec![]);
    let digests: Vec<String> = digests.into_iter().map(|mut row| row.text(0).unwrap()).collect();
    assert_eq!(digests.len(), 2);
    assert!(
        digests.iter().all(|digest| digest.starts_with("e3b0c44298fc1c14")),
        "{digests:?}"
    );
}
