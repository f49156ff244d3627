//! A site's days by their smallest examples: which day entries are of where clocks are off, what comes when its day is final, what is booked
//! of orders, and what a report has of it. Journals that stations wrote are in `cloud-sync/central/tests/copy/days.rs`.

use crate::{
    on_both,
    world::{World, day, paid, wait},
};
use central::{
    desk::Clock,
    reconcile::{
        funds::NotRun,
        nightly::{DOES_NOT_CLOSE, KIND, Nightly},
        sites::{Sites, scope_of},
        words::Class,
    },
    report::{
        Format, Sheet,
        written::{Which, write},
    },
    store::{
        Tx, Value,
        findings::{self, Finding},
        jobs,
        reconcile_runs::{self as runs, Run, Status},
        site_verdicts as verdicts, sites,
    },
};
use domain::{
    energy::{ConnectorDay, ConnectorEnergy, EnergyReport, Finding as OfMeter},
    ids::{ConnectorNo, Outlet, SiteId},
    journal::Hash,
    time::{Day, Zone},
    units::{Energy, Fen},
};
use std::{io::Cursor, sync::Arc};

on_both! {
    a_report_of_a_day_to_come_makes_no_day_final
    a_report_that_comes_when_its_day_is_final_is_looked_at_on_the_first_that_is_not
    a_clock_that_is_ahead_ends_no_day
    a_clock_that_began_in_1970_has_a_run_of_that_day_and_of_today
    a_site_that_was_closed_or_shut_out_lacks_nothing
    the_first_day_stays_where_it_is_once_it_is_final
    what_a_branch_that_was_left_has_booked_is_of_no_day
    what_is_found_on_another_branch_is_of_the_day_of_its_entry
    what_differs_again_is_said_again
    findings_that_are_not_listed_are_told_of_each_report
    an_order_that_is_booked_anew_later_is_looked_at_on_that_day
    an_order_of_which_too_much_was_given_back_is_named_once
    a_zone_that_changes_makes_no_decision_of_two_days
    totals_of_a_site_that_do_not_close_are_said_and_nothing_is_kept
    a_report_has_sites_and_what_was_paid_out
}

const D1: &str = "2026-03-09";
const D2: &str = "2026-03-10";
const D3: &str = "2026-03-11";

/// A site whose journal says what a test wants.
pub(crate) struct Yard<'a> {
    world: &'a World,
    id: SiteId,
}

fn zone() -> Zone {
    Zone::named("Asia/Shanghai").unwrap()
}

impl<'a> Yard<'a> {
    pub(crate) fn new(world: &'a World) -> Self {
        let id: SiteId = "north".parse().unwrap();
        let of = id.clone();
        wait(world.db.write(move |tx| {
            sites::add(tx, &of, "North yard", &[])?;
            sites::heard(tx, &of, Some(r#"{"time_zone":"Asia/Shanghai"}"#), domain::time::Wall(0))
        }))
        .unwrap();
        Self { world, id }
    }

    /// At noon of a day the journal has ten entries of it more, and another begins, on the followed branch.
    pub(crate) fn ends(&self, of: &str, seq: i64, next: &str, said: &str) {
        let said = self.world.at_time(said).0;
        self.world.execute(
            "INSERT INTO site_day (site, branch, seq, day, hash, said_at) \
             VALUES ('north', (SELECT branch FROM site WHERE id = 'north'), $1, $2, $3, $4)",
            vec![seq.into(), of.into(), Hash::GENESIS.to_string().into(), said.into()],
        );
        self.shows(next, seq + 5);
    }

    /// Its clock shows a day, and its journal is here up to an entry.
    fn shows(&self, of: &str, seq: i64) {
        self.world.execute(
            "UPDATE site SET day = $1, seq = $2 WHERE id = 'north'",
            vec![of.into(), seq.into()],
        );
    }

    /// Its energy report of a day comes in: what was billed, and what was found.
    pub(crate) fn reports(&self, of: &str, billed: i64, found: Vec<OfMeter>, left_out: u32) {
        let own = ConnectorEnergy {
            outlet: Outlet {
                pile: "P1".parse().unwrap(),
                connector: ConnectorNo(1),
            },
            sums: ConnectorDay {
                billed: Energy(billed),
                findings: found,
                findings_left_out: left_out,
                ..ConnectorDay::default()
            },
            read: None,
        };
        let report = EnergyReport {
            day: day(of),
            time_zone: "Asia/Shanghai".to_owned(),
            begins: zone().begin_of(day(of)),
            ends: zone().begin_of(day(of).plus(1)),
            made_at: zone().at(day(of).plus(1), 1),
            clock_trusted: true,
            connectors: vec![own],
            adjustments: Vec::new(),
            abnormal: Vec::new(),
        };
        let row = serde_json::to_string(&report).unwrap();
        self.world.execute(
            "INSERT INTO r_energy_report (site, day, row) VALUES ('north', $1, $2)",
            vec![of.into(), row.into()],
        );
    }

    fn reported(&self, days: &[&str]) {
        days.iter().for_each(|of| self.reports(of, 0, Vec::new(), 0));
    }

    /// An order of a day with its bill.
    pub(crate) fn order(&self, id: &str, of: &str, fee: i64) {
        self.world.execute(
            "INSERT INTO r_order (site, id, member, pile, state, open, placed_at, day, fee, energy, held, row) \
             VALUES ('north', $1, 'm1', 'P1', 'settled', 0, 0, $2, $3, 0, 0, '{}')",
            vec![id.into(), of.into(), fee.into()],
        );
    }

    fn gives_back(&self, order: &str, refunded: i64) {
        let paid = serde_json::json!({
            "electricity": "0.00", "service": "0.00", "rebated": "0.00", "debt": "0.00", "refunded": Fen(refunded),
        });
        let row = serde_json::json!({ "paid": paid }).to_string();
        let statement = "UPDATE r_order SET row = $2 WHERE site = 'north' AND id = $1";
        self.world.execute(statement, vec![order.into(), row.as_str().into()]);
    }

    /// What an entry books of an order as sold.
    pub(crate) fn books(&self, order: &str, (branch, seq): (i64, i64), fen: i64) {
        self.world.execute(
            "INSERT INTO transfer (id, debit, credit, amount, code, site, branch, seq, order_id, at) \
             VALUES ($1, 'held:north', 'sales:north:service', $2, 'SALE', 'north', $3, $4, $5, 0)",
            vec![
                format!("north:{branch}:{seq}.0").into(),
                fen.into(),
                branch.into(),
                seq.into(),
                order.into(),
            ],
        );
    }

    pub(crate) fn finds(&self, class: findings::Class, place: (u64, u64), at: &str) {
        self.finds_of(None, class, place, at);
    }

    fn finds_of(&self, order: Option<&str>, class: findings::Class, (branch, seq): (u64, u64), at: &str) {
        let (id, at) = (self.id.clone(), self.world.at_time(at));
        let finding = Finding {
            class,
            seq,
            order: order.map(|order| order.parse().unwrap()),
            detail: r#"{"why":"a test","site":"3.00","here":"1.00"}"#.to_owned(),
        };
        wait(
            self.world
                .db
                .write(move |tx| findings::add(tx, &id, branch, &[finding], at)),
        )
        .unwrap();
    }

    fn sites(&self) -> Sites {
        Sites {
            db: self.world.db.clone(),
            clock: Arc::clone(&self.world.clock) as Arc<dyn Clock>,
        }
    }

    pub(crate) fn catch_up(&self, now: &str) -> usize {
        self.world.now(now);
        wait(self.sites().catch_up(&self.id, "a test")).unwrap()
    }

    pub(crate) fn night(&self, now: &str) -> usize {
        self.world.now(now);
        wait(Nightly(self.world.reconciler.clone()).look()).unwrap()
    }

    fn runs(&self) -> Vec<Run> {
        let scope = scope_of(&self.id);
        let all = Day::parse("1970-01-01").unwrap();
        wait(self.world.db.read(move |tx| runs::counting(tx, &scope, all))).unwrap()
    }

    /// The days that have a run that counts, with an `F` where it is final.
    pub(crate) fn days(&self) -> Vec<String> {
        let told = |run: &Run| format!("{}{}", run.day, if run.status == Status::Final { " F" } else { "" });
        self.runs().iter().map(told).collect()
    }

    /// What is open: class, since which day, of which day, what is here and there.
    pub(crate) fn open(&self) -> Vec<String> {
        let rows = self.world.query(
            "SELECT class, day, of_day, ours, theirs, amount FROM discrepancy WHERE scope = 'site:north' AND closed_at IS NULL \
             ORDER BY day, of_day, class, ref",
            vec![],
        );
        let told = |mut row: central::store::Row| {
            let class = Class::of_code(row.int(0).unwrap()).unwrap().word();
            let value = |value: Option<i64>| value.map_or("-".to_owned(), |value| value.to_string());
            let (ours, theirs) = (value(row.optional_int(3).unwrap()), value(row.optional_int(4).unwrap()));
            let (on, of) = (row.text(1).unwrap(), row.text(2).unwrap());
            format!("{class} {on} {of} {ours} {theirs} {}", row.int(5).unwrap())
        };
        rows.into_iter().map(told).collect()
    }

    /// Two ordinary days that have ended, and their reports.
    pub(crate) fn two_days(&self) {
        self.ends(D1, 10, D2, &format!("{D2} 00:00:01"));
        self.ends(D2, 20, D3, &format!("{D3} 00:00:01"));
        self.reported(&[D1, D2]);
    }
}

fn a_report_of_a_day_to_come_makes_no_day_final(world: &World) {
    let yard = Yard::new(world);
    yard.ends(D1, 10, D2, "2026-03-10 00:00:01");
    yard.reported(&["2031-01-01"]);
    yard.catch_up("2026-03-11 00:59:59");
    assert_eq!(yard.days(), ["2026-03-09"]);
    yard.reported(&[D1]);
    yard.catch_up("2026-03-11 00:59:59");
    assert_eq!(yard.days(), ["2026-03-09 F"]);
}

fn a_report_that_comes_when_its_day_is_final_is_looked_at_on_the_first_that_is_not(world: &World) {
    let yard = Yard::new(world);
    yard.ends(D1, 10, D2, "2026-03-10 00:00:01");
    yard.ends(D2, 20, D3, "2026-03-11 00:00:01");
    yard.reported(&[D2]);
    yard.catch_up("2026-03-12 01:00:00");
    assert_eq!(yard.days()[..2], ["2026-03-09 F", "2026-03-10 F"]);
    assert_eq!(yard.open(), ["JOURNAL_GAP 2026-03-11 2026-03-11 - - 0"]);
    let late = OfMeter::Unbilled {
        item: 7,
        energy: Energy(20_000),
    };
    yard.reports(D1, 0, vec![late], 0);
    assert!(yard.night("2026-03-12 01:00:30") > 0);
    let unbilled = "UNBILLED 2026-03-11 2026-03-09 - 20000 0";
    assert_eq!(yard.open(), [unbilled, "JOURNAL_GAP 2026-03-11 2026-03-11 - - 0"]);
    // It is looked at once, also when that day is final.
    yard.ends(D3, 30, "2026-03-12", "2026-03-12 02:00:00");
    yard.reported(&[D3]);
    yard.catch_up("2026-03-13 01:00:00");
    assert_eq!(yard.days()[2..], ["2026-03-11 F", "2026-03-12"]);
    assert_eq!(yard.open(), [unbilled, "JOURNAL_GAP 2026-03-12 2026-03-12 - - 0"]);
    assert_eq!(yard.catch_up("2026-03-13 01:00:01"), 0);
}

fn a_clock_that_is_ahead_ends_no_day(world: &World) {
    let yard = Yard::new(world);
    // On the ninth the site believes that it is the twentieth.
    yard.ends(D1, 10, "2026-03-20", "2026-03-09 14:00:00");
    yard.reported(&[D1, "2026-03-20"]);
    yard.catch_up("2026-03-12 01:00:00");
    let lacks = |of: &str| format!("JOURNAL_GAP {of} {of} - - 0");
    assert_eq!(yard.open(), [D1, D2, D3].map(lacks));
    assert!(yard.runs().iter().all(|run| run.status == Status::Provisional));
    // It is put right: what the wrong clock said is of the day on which that was.
    yard.finds(findings::Class::Rating, (0, 15), "2026-03-09 15:00:00");
    yard.ends("2026-03-20", 20, "2026-03-12", "2026-03-12 12:00:00");
    yard.ends("2026-03-12", 30, "2026-03-13", "2026-03-13 00:00:01");
    yard.reported(&["2026-03-12"]);
    yard.catch_up("2026-03-14 01:00:00");
    assert_eq!(
        yard.open(),
        [
            "RATING 2026-03-12 2026-03-12 100 300 200",
            "JOURNAL_GAP 2026-03-13 2026-03-13 - - 0"
        ]
    );
}

fn a_clock_that_began_in_1970_has_a_run_of_that_day_and_of_today(world: &World) {
    let yard = Yard::new(world);
    yard.ends("1970-01-01", 10, D1, "2026-03-09 08:00:00");
    yard.finds(findings::Class::Rating, (0, 7), "2026-03-09 08:00:00");
    yard.ends(D1, 20, D2, "2026-03-10 00:00:01");
    yard.reported(&[D1]);
    yard.catch_up("2026-03-11 00:59:00");
    assert_eq!(yard.days(), ["1970-01-01 F", "2026-03-09 F"]);
    assert_eq!(yard.open(), ["RATING 1970-01-01 1970-01-01 100 300 200"]);
    let totals = yard.runs()[1].totals.clone().unwrap();
    let rating = totals.classes["orders RATING"];
    assert_eq!((rating.opening.count, rating.closing.count), (1, 1), "{totals:?}");
}

fn a_site_that_was_closed_or_shut_out_lacks_nothing(world: &World) {
    let yard = Yard::new(world);
    yard.two_days();
    world.execute("UPDATE site SET revoked_at = 1 WHERE id = 'north'", vec![]);
    yard.catch_up("2026-03-20 12:00:00");
    assert_eq!((yard.open(), yard.days().len()), (vec![], 2));
    world.execute("UPDATE site SET revoked_at = NULL WHERE id = 'north'", vec![]);
    yard.night("2026-03-20 12:01:00");
    assert_eq!(yard.open().len(), 9, "it may come again: {:?}", yard.open());
    // Shut out once more, after that was said.
    world.execute("UPDATE site SET revoked_at = 1 WHERE id = 'north'", vec![]);
    yard.night("2026-03-20 12:01:20");
    assert_eq!((yard.open(), yard.days().len()), (vec![], 2));
    world.execute("UPDATE site SET revoked_at = NULL WHERE id = 'north'", vec![]);
    yard.night("2026-03-20 12:01:40");
    assert_eq!(yard.open().len(), 9);
    let closed_at = world.at_time("2026-03-11 09:00:00");
    world.execute(
        "UPDATE site SET closed_at = $1 WHERE id = 'north'",
        vec![closed_at.0.into()],
    );
    yard.night("2026-03-20 12:02:00");
    assert_eq!(yard.open(), [] as [String; 0]);
    // Its last day ended when it was closed, and no report comes of it any more.
    assert_eq!(yard.days()[2], "2026-03-11 F");
}

fn the_first_day_stays_where_it_is_once_it_is_final(world: &World) {
    let yard = Yard::new(world);
    yard.two_days();
    yard.catch_up("2026-03-12 00:30:00");
    assert_eq!(yard.days(), ["2026-03-09 F", "2026-03-10 F"]);
    // An entry says an earlier day, as the clock was put back.
    yard.ends("2026-03-01", 25, D3, "2026-03-11 12:00:00");
    yard.finds(findings::Class::Rating, (0, 23), "2026-03-11 12:00:00");
    yard.ends(D3, 30, "2026-03-12", "2026-03-12 00:00:01");
    yard.reported(&[D3]);
    yard.catch_up("2026-03-13 01:00:00");
    assert_eq!(yard.days()[..3], ["2026-03-09 F", "2026-03-10 F", "2026-03-11 F"]);
    assert_eq!(yard.open()[0], "RATING 2026-03-11 2026-03-11 100 300 200");
    let run = |of: &str| wait(yard.sites().run(&yard.id, day(of), "a test"));
    assert!(matches!(run("2026-03-08"), Err(NotRun::BeforeFirst { .. })));
    assert_eq!(run(D1).unwrap().status, Status::Final);
}

fn forks(world: &World, left: i64) {
    world.execute(
        "INSERT INTO branch (site, branch, left_seq, left_hash, first, seq, hash, bytes, taken_at) \
         VALUES ('north', 1, $1, $2, $3, 99, $2, 0, 0), ('north', 0, $1, $2, $3, 99, $2, 0, 0)",
        vec![left.into(), Value::Bytes(vec![0; 32]), (left + 1).into()],
    );
    world.execute("UPDATE site SET branch = 1 WHERE id = 'north'", vec![]);
    world.execute(
        "UPDATE site_day SET branch = 1 WHERE site = 'north' AND seq <= $1",
        vec![left.into()],
    );
}

fn what_a_branch_that_was_left_has_booked_is_of_no_day(world: &World) {
    let yard = Yard::new(world);
    // Both branches have settled an order, and one has one of its own; they part after the fifth entry.
    yard.order("o1", D1, 500);
    yard.order("o2", D1, 300);
    yard.books("o1", (0, 4), 500);
    yard.books("o2", (0, 7), 200);
    yard.books("o9", (0, 8), 900);
    forks(world, 5);
    yard.books("o2", (1, 7), 300);
    yard.ends(D1, 10, D2, "2026-03-10 00:00:01");
    yard.catch_up("2026-03-10 12:00:00");
    assert_eq!(yard.open(), [] as [String; 0]);
    let totals = yard.runs()[0].totals.clone().unwrap().site.unwrap();
    assert_eq!((totals.orders.amount, totals.service), (Fen(800), Fen(800)));
}

fn what_is_found_on_another_branch_is_of_the_day_of_its_entry(world: &World) {
    let yard = Yard::new(world);
    yard.ends(D1, 10, D2, "2026-03-10 00:00:01");
    yard.ends(D2, 20, D3, "2026-03-11 00:00:01");
    forks(world, 10);
    yard.finds(findings::Class::AboveFork, (0, 15), "2026-03-11 09:00:00");
    yard.ends(D2, 21, D3, "2026-03-11 09:30:00");
    yard.reported(&[D1, D2]);
    yard.catch_up("2026-03-12 01:00:00");
    assert_eq!(yard.open()[0], "ABOVE_FORK 2026-03-10 2026-03-10 100 300 200");
    assert_eq!(yard.days()[1], "2026-03-10 F");
    yard.finds(findings::Class::Fork, (0, 17), "2026-03-12 02:00:00");
    yard.ends(D3, 30, "2026-03-12", "2026-03-12 02:10:00");
    yard.reported(&[D3]);
    yard.catch_up("2026-03-12 12:00:00");
    assert_eq!(yard.open()[1], "FORK 2026-03-11 2026-03-10 100 300 200");
}

fn what_differs_again_is_said_again(world: &World) {
    use central::reconcile::{
        site_day::{Row, Said},
        words::{Ended, Leg, Source},
    };
    let row = Row {
        leg: Leg::Bank,
        source: Source::Payout,
        reference: "due since 2026-03-09".to_owned(),
        class: Class::Payout,
    };
    let said = |of: &str, fen: i64| Said {
        row: row.clone(),
        of_day: day(of),
        at: domain::time::Wall(0),
        amount: Fen(-fen),
        ours: Some(fen),
        theirs: Some(0),
        order: None,
    };
    let put = |of: &'static str, fen: Option<i64>| {
        let (said, row) = (fen.map(|fen| said(of, fen)), row.clone());
        wait(world.db.write(move |tx: &mut dyn Tx| {
            verdicts::take_back(tx, "payouts:bank", day(of))?;
            match said {
                Some(said) => verdicts::put(tx, "payouts:bank", day(of), &[said]),
                None => verdicts::end(tx, "payouts:bank", day(of), &[row], Ended::Said),
            }
        }))
        .unwrap();
    };
    let all = || -> Vec<String> {
        let rows = world.query(
            "SELECT day, until, ended, of_day, ours FROM verdict ORDER BY day",
            vec![],
        );
        let told = |mut row: central::store::Row| {
            let until = row.optional_text(1).unwrap().unwrap_or_default();
            let ended = row.optional_int(2).unwrap().unwrap_or(0);
            format!(
                "{} {until} {ended} {} {}",
                row.text(0).unwrap(),
                row.text(3).unwrap(),
                row.int(4).unwrap()
            )
        };
        rows.into_iter().map(told).collect()
    };
    put(D1, Some(100));
    put(D2, Some(100));
    assert_eq!(all(), ["2026-03-09  0 2026-03-09 100"], "the same is said once");
    put(D2, Some(150));
    let grown = ["2026-03-09 2026-03-10 2 2026-03-09 100", "2026-03-10  0 2026-03-09 150"];
    assert_eq!(all(), grown);
    put(D2, Some(150));
    assert_eq!(all(), grown, "done again it comes to the same");
    put(D3, None);
    put("2026-03-12", Some(150));
    assert_eq!(
        all()[1..],
        ["2026-03-10 2026-03-11 5 2026-03-09 150", "2026-03-12  0 2026-03-09 150"]
    );
    put(D2, None);
    assert_eq!(all(), ["2026-03-09 2026-03-10 5 2026-03-09 100"]);
}

fn findings_that_are_not_listed_are_told_of_each_report(world: &World) {
    let yard = Yard::new(world);
    yard.ends(D1, 10, D2, "2026-03-10 00:00:01");
    yard.ends(D2, 20, D3, "2026-03-11 00:00:01");
    yard.reports(D1, 0, Vec::new(), 3);
    yard.reports(D2, 0, Vec::new(), 3);
    yard.catch_up("2026-03-11 12:00:00");
    assert_eq!(
        yard.open(),
        [
            "ENERGY 2026-03-09 2026-03-09 - - 0",
            "ENERGY 2026-03-10 2026-03-10 - - 0"
        ]
    );
}

fn an_order_that_is_booked_anew_later_is_looked_at_on_that_day(world: &World) {
    let yard = Yard::new(world);
    yard.order("o1", D1, 500);
    yard.books("o1", (0, 4), 500);
    yard.two_days();
    yard.catch_up("2026-03-12 00:30:00");
    assert_eq!(
        (yard.days(), yard.open()),
        (vec!["2026-03-09 F".to_owned(), "2026-03-10 F".to_owned()], vec![])
    );
    // More is booked of it on the third day, and its bill stays.
    yard.books("o1", (0, 25), 100);
    yard.ends(D3, 30, "2026-03-12", "2026-03-12 00:40:00");
    yard.reported(&[D3]);
    yard.catch_up("2026-03-13 00:30:00");
    assert_eq!(yard.open()[0], "BOOKS 2026-03-11 2026-03-09 600 500 -100");
    // On the day after it is mended.
    assert_eq!(yard.days()[2], "2026-03-11 F");
    yard.catch_up("2026-03-13 01:00:00");
    world.execute("UPDATE r_order SET fee = 600 WHERE id = 'o1'", vec![]);
    yard.ends("2026-03-12", 40, "2026-03-13", "2026-03-13 02:00:00");
    yard.reported(&["2026-03-12"]);
    yard.catch_up("2026-03-14 00:30:00");
    assert_eq!(yard.open(), [] as [String; 0], "{:?}", yard.days());
}

fn an_order_of_which_too_much_was_given_back_is_named_once(world: &World) {
    let yard = Yard::new(world);
    // Once more was given back of an order than its bill says, no more can be taken off what is booked of it. Of the second something else
    // is wrong as well, and of the third nothing was given back, whatever was found of it once.
    for (order, seq, booked, given_back) in [("o1", 4, 300, 300), ("o2", 6, 200, 300), ("o3", 8, 300, 0)] {
        yard.order(order, D1, 100);
        yard.gives_back(order, given_back);
        yard.books(order, (0, i64::try_from(seq).unwrap()), booked);
        yard.finds_of(
            Some(order),
            findings::Class::OverRefund,
            (0, seq + 1),
            "2026-03-09 15:00:00",
        );
    }
    yard.ends(D1, 10, D2, "2026-03-10 00:00:01");
    yard.reported(&[D1]);
    yard.catch_up("2026-03-10 12:00:00");
    assert_eq!(
        yard.open(),
        [
            "OVER_REFUND 2026-03-09 2026-03-09 100 300 200",
            "OVER_REFUND 2026-03-09 2026-03-09 100 300 200",
            "OVER_REFUND 2026-03-09 2026-03-09 100 300 200",
            "BOOKS 2026-03-09 2026-03-09 200 100 -100",
            "BOOKS 2026-03-09 2026-03-09 300 100 -200"
        ]
    );
}

fn a_zone_that_changes_makes_no_decision_of_two_days(world: &World) {
    let yard = Yard::new(world);
    yard.ends(D1, 10, D2, "2026-03-10 00:00:01");
    yard.ends(D2, 20, D3, "2026-03-11 00:00:01");
    yard.finds(findings::Class::Rating, (0, 5), "2026-03-09 15:00:00");
    yard.catch_up("2026-03-10 02:00:00");
    assert_eq!(yard.days(), ["2026-03-09"]);
    // It is accepted shortly before midnight.
    let at = world.at_time("2026-03-09 23:50:00");
    world.execute(
        "INSERT INTO discrepancy_decision (discrepancy, no, kind, stake, state, reason, maker, made_at, checker, checked_at) \
         SELECT id, 1, 'accept', 0, 'approved', 'seen', 'anna', $1, 'bert', $1 FROM discrepancy WHERE scope = 'site:north'",
        vec![at.0.into()],
    );
    yard.reported(&[D1]);
    yard.catch_up("2026-03-10 03:00:00");
    assert_eq!(yard.days(), ["2026-03-09 F"]);
    // By the next report the site's days begin six hours earlier: that decision is not of the second day too.
    yard.reported(&[D2]);
    world.execute(
        "UPDATE r_energy_report SET row = REPLACE(row, 'Asia/Shanghai', 'Pacific/Kiritimati') WHERE day = $1",
        vec![D2.into()],
    );
    yard.catch_up("2026-03-12 12:00:00");
    assert_eq!(yard.days()[..2], ["2026-03-09 F", "2026-03-10 F"]);
    let ends = world.query(
        "SELECT ends_at FROM run WHERE scope = 'site:north' AND status = 'final' ORDER BY day",
        vec![],
    );
    let ends: Vec<i64> = ends.into_iter().map(|mut row| row.int(0).unwrap()).collect();
    let begins: Vec<i64> = yard
        .runs()
        .iter()
        .map(|run| {
            let inputs: serde_json::Value = serde_json::from_str(&run.inputs).unwrap();
            inputs["window"][0].as_i64().unwrap()
        })
        .collect();
    assert_eq!(begins[1..3], ends[..2], "a day begins when the one before it ends");
}

fn totals_of_a_site_that_do_not_close_are_said_and_nothing_is_kept(world: &World) {
    let yard = Yard::new(world);
    yard.two_days();
    yard.finds(findings::Class::Rating, (0, 5), "2026-03-09 15:00:00");
    yard.night("2026-03-10 12:00:00");
    assert_eq!(yard.days(), ["2026-03-09 F"]);
    // Somebody takes away what the first day has found, and the second goes by its totals.
    world.execute("DELETE FROM verdict", vec![]);
    yard.night("2026-03-11 12:00:00");
    assert_eq!(yard.days(), ["2026-03-09 F"]);
    let refused = wait(yard.sites().run(&yard.id, day(D2), "a test"));
    let Err(NotRun::DoesNotClose { day: of, what }) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!((of, what.as_str()), (day(D2), "orders RATING"));
    let job = wait(world.db.read(|tx| jobs::all(tx, KIND))).unwrap();
    let job = job.iter().find(|job| job.key == scope_of(&yard.id));
    assert_eq!(job.unwrap().outcome.as_deref(), Some(DOES_NOT_CLOSE));
}

fn a_report_has_sites_and_what_was_paid_out(world: &World) {
    let yard = Yard::new(world);
    yard.order("o1", D1, 500);
    yard.books("o1", (0, 4), 450);
    yard.ends(D1, 10, D2, "2026-03-10 08:00:00");
    let differs = OfMeter::Energy {
        order: Some("o1".parse().unwrap()),
        billed: Energy(10_000),
        register: Energy(25_000),
    };
    yard.reports(D1, 0, vec![differs], 0);
    world.bill(D1, &[paid("t1", "T1", 1_000)]);
    world.run(D1);
    yard.catch_up("2026-03-10 12:00:00");
    let report = |which: Which| -> serde_json::Value {
        let written = world.db.read(move |tx| {
            let mut file = Vec::new();
            write(tx, &which, (Format::Json, Sheet::Summary), Cursor::new(&mut file)).unwrap();
            Ok(file)
        });
        serde_json::from_slice(&wait(written).unwrap()).unwrap()
    };
    let all = report(Which::all(day(D1), day(D2)));
    let rows = |of: &serde_json::Value, sheet: &str| of[sheet].as_array().unwrap().clone();
    let of = |of: &serde_json::Value, sheet: &str, scope: &str| -> Vec<serde_json::Value> {
        let mut rows = rows(of, sheet);
        rows.retain(|row| row["scope"] == scope);
        rows
    };
    let totals = of(&all, "totals", "site:north");
    let what: Vec<&str> = totals.iter().map(|row| row["what"].as_str().unwrap()).collect();
    assert_eq!(what, ["meters ENERGY", "orders BOOKS"]);
    assert!(
        totals
            .iter()
            .all(|row| row["closing_count"] == 1 && row["closes"] == true)
    );
    let differences = of(&all, "differences", "site:north");
    let [books, energy] = &differences[..] else {
        panic!("{differences:?}")
    };
    assert_eq!(
        (&books["ours"], &books["theirs"], &books["order"], &books["leg"]),
        (&"4.50".into(), &"5.00".into(), &"o1".into(), &"orders".into())
    );
    assert!(energy["ours"].is_null() && energy["payment"].is_null(), "{energy}");
    assert_eq!(
        (&energy["billed_kwh"], &energy["register_kwh"], &energy["order"]),
        (&"1.0000".into(), &"2.5000".into(), &"o1".into())
    );
    let site = &rows(&all, "sites")[0];
    assert_eq!(
        (
            &site["balances"],
            &site["status"],
            &site["open"],
            &site["orders"],
            &site["billed"],
            &site["service"]
        ),
        (
            &"no".into(),
            &"provisional".into(),
            &2.into(),
            &1.into(),
            &"5.00".into(),
            &"4.50".into()
        )
    );
    assert!(site["why"].as_str().unwrap().contains("BOOKS 1 (0.50)"), "{site}");
    // A report of a site has its own, and no channel.
    let own = report(Which {
        site: Some("north".to_owned()),
        ..Which::all(day(D1), day(D2))
    });
    assert_eq!((rows(&own, "totals").len(), rows(&own, "differences").len()), (2, 2));
    assert_eq!(
        (&own["report"]["status"], &own["report"]["open"]["count"]),
        (&"provisional".into(), &2.into())
    );
    // The day's digest is over channels: what comes of a site makes no other report of it.
    world.execute("UPDATE r_order SET fee = 450 WHERE id = 'o1'", vec![]);
    yard.finds(findings::Class::Rating, (0, 6), "2026-03-10 12:30:00");
    yard.night("2026-03-10 13:00:00");
    let again = report(Which::all(day(D1), day(D2)));
    assert_eq!(again["report"]["digest"], all["report"]["digest"]);
    assert_ne!(again["report"]["sites_digest"], all["report"]["sites_digest"]);
}
