//! What a run asks of the database is answered by indexes, from its own lines to the other side's: no table is read to its end, least of
//! all once for each row of another.

use crate::{
    on_both,
    sites::Yard,
    world::{CHANNEL, World, day, paid, refunded, wait},
};
use central::{
    reconcile::{
        days::Window,
        site_day::{Row as Reconciled, Said},
        words::{Class, Ended, Leg, Source},
    },
    report::{
        Format, Sheet,
        written::{Which as Report, write},
    },
    store::{
        Dialect, LookUp, Row, SetStatement, StoreError, Tx, Value, discrepancies,
        reconcile::{self, Scope},
        reconcile_decided as decided,
        reconcile_runs::{self as runs, Standing},
        reconcile_waiting::{self as waiting, Place, Waits},
        site_days::{self, Followed},
        site_verdicts as verdicts, sites,
    },
};
use domain::{
    time::{Wall, Zone},
    units::Fen,
};
use std::io::Cursor;

on_both! {
    no_table_is_read_to_its_end
    no_table_is_read_to_its_end_for_a_site
}

/// Asks how a statement would be done, before it is.
struct Explaining<'a> {
    tx: &'a mut dyn Tx,
    plans: Vec<(String, Vec<String>)>,
}

impl Explaining<'_> {
    fn explain(&mut self, statement: &str, values: &[Value]) -> Result<(), StoreError> {
        if statement.starts_with("SET ") {
            return Ok(());
        }
        let (explain, column) = match self.tx.dialect() {
            Dialect::Sqlite => ("EXPLAIN QUERY PLAN", 3),
            Dialect::Postgres => {
                // A table of a few rows is read as it is, unless that is forbidden.
                for way in ["seqscan", "hashjoin", "mergejoin"] {
                    self.tx.execute(&format!("SET LOCAL enable_{way} = off"), &[])?;
                }
                ("EXPLAIN", 0)
            }
        };
        let plan = self.tx.query(&format!("{explain} {statement}"), values)?;
        let lines: Result<Vec<String>, _> = plan.into_iter().map(|mut row| row.text(column)).collect();
        self.plans.push((statement.to_owned(), lines?));
        Ok(())
    }
}

impl Tx for Explaining<'_> {
    fn execute(&mut self, statement: &str, values: &[Value]) -> Result<u64, StoreError> {
        self.explain(statement, values)?;
        self.tx.execute(statement, values)
    }

    fn query(&mut self, statement: &str, values: &[Value]) -> Result<Vec<Row>, StoreError> {
        self.explain(statement, values)?;
        self.tx.query(statement, values)
    }

    fn write_all(&mut self, statement: &SetStatement, rows: &[Vec<Value>]) -> Result<(), StoreError> {
        self.tx.write_all(statement, rows)
    }

    fn find_all(&mut self, look: &LookUp, keys: &[Vec<Value>]) -> Result<Vec<Row>, StoreError> {
        self.tx.find_all(look, keys)
    }

    fn dialect(&self) -> Dialect {
        self.tx.dialect()
    }
}

/// Tables that grow with the business, and what statements call them.
const LARGE: &[&str] = &[
    "bill_trade",
    "channel_transaction",
    "topup",
    "site_day",
    "finding",
    "transfer",
    "r_order",
    "r_energy_report",
    "r_energy_day",
    "o",
    "own",
    "w",
    "matched",
    "verdict",
    "discrepancy",
    "discrepancy_event",
    "l",
    "t",
    "u",
    "c",
    "m",
    "v",
    "d",
    "e",
    "p",
    "x",
    "r",
    "s",
];

/// Whether a line of a plan reads a large table to its end.
fn reads_all(line: &str) -> bool {
    let line = line.trim_start_matches([' ', '-', '>']);
    // SQLite's words, and PostgreSQL's. What is read from end to end of an index is read from end to end.
    let after = ["SCAN ", "Seq Scan on "]
        .iter()
        .find_map(|word| line.strip_prefix(word));
    after.is_some_and(|rest| rest.split(' ').next().is_some_and(|name| LARGE.contains(&name)))
}

/// Whether PostgreSQL goes by a channel alone to the lines of a number: through all of them.
fn reads_a_channel(plan: &[String]) -> bool {
    plan.windows(2).any(|two| {
        let is_by_number = ["ref", "out_no", "origin", "file"].iter().any(|column| {
            let condition = two[1].trim_start();
            condition.starts_with("Index Cond: ") && condition.contains(&format!("({column} "))
        });
        two[0].contains(" using bill_trade_") && !is_by_number
    })
}

/// Whether a plan goes by the times of credits, or by files, to what a number leads to: all of a day for each line.
fn goes_round_about(statement: &str, plan: &[String]) -> bool {
    let by_number = statement.contains("AND t.id = ");
    let of_lines = statement.contains("bill_trade");
    plan.iter().any(|line| {
        let of_other_lines = [" e ", " p ", " x "]
            .iter()
            .any(|name| format!("{line} ").contains(name));
        let is_search = line.contains("SEARCH ") || line.contains("Scan");
        (by_number && line.contains("channel_transaction_credited"))
            || (of_lines
                && is_search
                && of_other_lines
                && !line.contains("bill_trade_payment")
                && !line.contains("bill_trade_refund"))
    })
}

/// Tables of which each row is a site's, and what statements of a site's day call them.
const OF_A_SITE: &[&str] = &[
    "finding",
    "m",
    "o",
    "own",
    "r_energy_day",
    "r_energy_report",
    "r_order",
    "site_day",
    "t",
    "transfer",
];

/// Whether SQLite goes through rows of all sites to those of one.
fn reads_other_sites(line: &str) -> bool {
    let name = line.trim_start().strip_prefix("SEARCH ");
    let name = name.and_then(|rest| rest.split(' ').next());
    name.is_some_and(|name| OF_A_SITE.contains(&name)) && !line.contains("site=?")
}

/// Asks everything that waits again, where there is nothing too.
fn ask(tx: &mut dyn Tx, of: &Scope, which: &[Waits]) -> Result<(), StoreError> {
    let (first, last): (Place, Place) = ((String::new(), 0, 0), ("~".to_owned(), 0, 0));
    for waits in which {
        waits.part(tx, of, &first)?;
        waits.ask(tx, of, (&first, &last))?;
    }
    Ok(())
}

fn no_table_is_read_to_its_end(world: &World) {
    world.now("2026-03-14 12:00:00");
    let payment = paid("t1", "T1", 5_000);
    world.credit("t1", "T1", 5_000, "2026-03-09 12:00:00");
    world.credit("t2", "T2", 5_000, "2026-03-09 12:00:00");
    let mut lines = vec![payment.clone(), paid("t3", "T3", 1)];
    lines.extend((0..200).map(|n| paid(&format!("u{n}"), &format!("U{n}"), 5_000)));
    lines.extend((0..200).map(|n| refunded(&payment, &format!("r{n}"), 1)));
    world.bill("2026-03-09", &lines);
    world.run("2026-03-09");
    world.execute("UPDATE run SET status = 'provisional'", vec![]);
    let plans = wait(world.db.write(|tx| {
        let of = Scope {
            name: format!("channel:{CHANNEL}"),
            channel: CHANNEL.to_owned(),
            fee_ppm: 6_000,
            window: Window::of(&Zone::named("Asia/Shanghai").unwrap(), day("2026-03-09"), 3),
            is_complete: true,
        };
        let (scope, today, window) = (of.name.as_str(), of.window.day, of.window);
        let mut tx = Explaining { tx, plans: Vec::new() };
        let tx = &mut tx;
        let files = reconcile::files(tx, CHANNEL, today, today.plus(3))?;
        let report = Report::all(today, today.plus(5));
        let written = write(tx, &report, (Format::Xlsx, Sheet::Summary), Cursor::new(Vec::new()));
        written.map_err(|error| StoreError::Broken(error.to_string()))?;
        assert!(
            tx.plans
                .iter()
                .any(|(statement, _)| statement.contains("LEFT JOIN bill_trade l"))
        );
        runs::begin(tx, scope, today, "{}", "test", window.end)?;
        reconcile::learn(tx.tx, &["bill_trade", "channel_transaction", "topup"])?;
        while waiting::take_back(tx, &of)? {}
        ask(tx, &of, &Waits::BEFORE)?;
        let to = reconcile::part_of_lines(tx, files[0].id, 0)?.unwrap();
        reconcile::new_lines(tx, &of, files[0].id, (0, to))?;
        ask(tx, &of, &Waits::AFTER_LINES)?;
        waiting::given_back(tx, &of)?;
        reconcile::part_of_credits(tx, &of, window.begin)?;
        reconcile::new_credits(tx, &of, (window.begin, window.end))?;
        ask(tx, &of, &Waits::AFTER_CREDITS)?;
        reconcile::missing_files(tx, &of, &[today])?;
        reconcile::credits(tx, CHANNEL, &window)?;
        reconcile::unlisted(tx, CHANNEL, &window)?;
        reconcile::bill(tx, &files)?;
        reconcile::pairs(tx, &of, &files)?;
        for which in [Standing::New, Standing::Over, Standing::Open] {
            runs::groups(tx, scope, today, which)?;
        }
        runs::digest(tx, scope, today)?;
        decided::on(tx, scope, &window)?;
        decided::open(tx, scope, today, window.end)?;
        runs::is_all_found(tx, scope, (today, today))?;
        while discrepancies::bring_over(tx, scope, "test", window.end)? {}
        Ok(std::mem::take(&mut tx.plans))
    }));
    let plans = plans.unwrap();
    assert!(plans.len() > 30, "{}", plans.len());
    let bad: Vec<String> = plans
        .iter()
        .filter(|(statement, plan)| {
            plan.iter().any(|line| reads_all(line)) || goes_round_about(statement, plan) || reads_a_channel(plan)
        })
        .map(|(statement, plan)| format!("{statement}\n  {}\n", plan.join("\n  ")))
        .collect();
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

/// What a site's day asks, where nothing is known yet and where it went on with another branch.
fn no_table_is_read_to_its_end_for_a_site(world: &World) {
    let yard = Yard::new(world);
    yard.ends("2026-03-09", 10, "2026-03-10", "2026-03-10 00:00:01");
    world.execute("UPDATE site SET branch = 1", vec![]);
    world.execute(
        "INSERT INTO branch (site, branch, left_seq, left_hash, first, seq, hash, bytes, taken_at) \
         VALUES ('north', 0, 5, $1, 6, 9, $1, 0, 0)",
        vec![Value::Bytes(vec![0; 32])],
    );
    let plans = wait(world.db.write(|tx| {
        let mut tx = Explaining { tx, plans: Vec::new() };
        let tx = &mut tx;
        let (of, scope) = (day("2026-03-09"), "site:north");
        let site = sites::find(tx.tx, &"north".parse().unwrap())?.unwrap();
        let id = &site.id;
        site_days::known(tx, &site, of)?;
        site_days::zone(tx, id, day("2026-03-10"))?;
        site_days::of_branch(tx, id, 1, 5)?;
        site_days::ended_up_to(tx, id, 1, 5)?;
        site_days::shown_at(tx, id, 1, 5)?;
        site_days::is_reported(tx, id, (of, of))?;
        for report in site_days::reports(tx, id, (of.plus(-64), of))? {
            site_days::reported(tx, id, &report.report)?;
        }
        site_days::orders(tx, id, of)?;
        let followed = Followed::of(tx.tx, &site)?;
        site_days::sold(tx, id, &followed, (of, 0, 10), scope)?;
        site_days::totals(tx, id, &followed, (of, 0, 10))?;
        site_days::found(tx, id, 1, (0, 10))?;
        site_days::found_since(tx, id, 1, (10, Wall(0)))?;
        runs::before(tx, scope, of)?;
        runs::counting(tx, scope, of)?;
        runs::last_final(tx, scope)?;
        let row = Reconciled {
            leg: Leg::Orders,
            source: Source::Order,
            reference: "o1".to_owned(),
            class: Class::Books,
        };
        verdicts::is_said_before(tx, scope, &row, of)?;
        verdicts::open_before(tx, scope, (row.leg, row.source, row.class), of)?;
        let said = Said {
            row: row.clone(),
            of_day: of,
            at: Wall(0),
            amount: Fen(1),
            ours: None,
            theirs: None,
            order: None,
        };
        verdicts::put(tx, scope, of, &[said])?;
        verdicts::end(tx, scope, of, &[row], Ended::Said)?;
        verdicts::take_back(tx, scope, of)?;
        Ok(std::mem::take(&mut tx.plans))
    }));
    let plans = plans.unwrap();
    assert!(plans.len() > 20, "{}", plans.len());
    let bad: Vec<String> = plans
        .iter()
        .filter(|(_, plan)| plan.iter().any(|line| reads_all(line) || reads_other_sites(line)))
        .map(|(statement, plan)| format!("{statement}\n  {}\n", plan.join("\n  ")))
        .collect();
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}
