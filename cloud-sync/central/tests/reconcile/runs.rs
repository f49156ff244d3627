//! Runs that are made again, meet, or are cut off.

use crate::{
    on_both,
    world::{CHANNEL, Line, World, day, paid, refunded, wait},
};
use central::{
    reconcile::{days::Window, funds::NotRun, nightly::Nightly},
    store::{
        bill_proposals,
        reconcile::{self, Scope},
        reconcile_runs::{self as runs, ALIVE_MS, Begun, Status},
        reconcile_waiting,
    },
};
use domain::time::Zone;

on_both! {
    made_again_it_is_the_same_to_the_byte
    a_day_that_is_final_is_never_written_again
    two_at_once_are_one_after_the_other_or_one
    cut_off_in_the_middle_it_is_done_again_from_the_days_beginning
    a_run_that_was_taken_for_dead_writes_no_more
    what_cannot_be_run_says_why
    a_bill_that_came_late_makes_of_every_day_what_it_had_made_in_time
    a_day_with_many_parts_is_that_of_one
    a_bill_that_was_withdrawn_is_as_if_it_had_never_been
    at_one_in_the_morning_and_when_a_bill_comes_days_are_done_by_themselves
}

const D1: &str = "2026-03-09";
const D2: &str = "2026-03-10";
const D3: &str = "2026-03-11";

/// Something of most classes, on three days of which the second may lack its bill.
fn plant(world: &World, second: bool) {
    world.now("2026-03-12 10:00:00");
    for n in 0..5 {
        world.credit(&format!("t{n}"), &format!("T{n}"), 1_000 + n, "2026-03-09 12:00:00");
    }
    world.credit("u1", "U1", 700, "2026-03-10 12:00:00");
    world.credit("u2", "U2", 800, "2026-03-10 13:00:00");
    let payment = paid("t0", "T0", 1_000);
    world.bill(
        D1,
        &[
            payment.clone(),
            paid("t1", "T1", 999),
            paid("x", "X", 5),
            paid("u2", "U2", 800),
        ],
    );
    if second {
        the_second(world);
    }
    world.bill(D3, &[paid("t4", "T4", 1_004), refunded(&payment, "r2", 999)]);
}

fn the_second(world: &World) {
    let payment = paid("t0", "T0", 1_000);
    let late = Line {
        at: "23:30:00".to_owned(),
        ..paid("late", "L", 60)
    };
    world.bill(D2, &[paid("u1", "U1", 700), refunded(&payment, "r1", 2), payment, late]);
}

fn made_again_it_is_the_same_to_the_byte(world: &World) {
    plant(world, false);
    assert_eq!(world.run(D3).status, Status::Provisional);
    let before = world.found();
    assert!(!before["matched"].is_empty() && !before["verdict"].is_empty() && !before["discrepancy"].is_empty());
    for again in [D3, D2, D3] {
        let run = world.run(again);
        assert!(run.no > 1, "it was done again");
        assert_eq!(world.found(), before, "{again}");
    }
}

fn a_day_that_is_final_is_never_written_again(world: &World) {
    plant(world, true);
    world.now("2026-03-13 01:00:00");
    let run = world.run(D3);
    assert_eq!(run.status, Status::Final);
    let before = world.found();
    let runs = world.query("SELECT COUNT(*) FROM run", vec![]);
    // Who changes rows of it behind our back changes nothing of what was said.
    world.execute("UPDATE channel_transaction SET amount = 1 WHERE id = 't4'", vec![]);
    for day in [D1, D2, D3] {
        world.run(day);
    }
    assert_eq!(world.run(D3).id, run.id);
    assert_eq!(world.query("SELECT COUNT(*) FROM run", vec![]), runs);
    assert_eq!(world.found(), before);
}

fn two_at_once_are_one_after_the_other_or_one(world: &World) {
    plant(world, false);
    let both = wait(async {
        let run = || world.reconciler.run(CHANNEL, day(D3), "test");
        tokio::join!(run(), run(), run())
    });
    let mut done = 0;
    for one in [both.0, both.1, both.2] {
        match one {
            Ok(_) => done += 1,
            Err(NotRun::Running(_) | NotRun::Left) => {}
            Err(other) => panic!("{other}"),
        }
    }
    assert!(done >= 1);
    let before = world.found();
    world.run(D3);
    assert_eq!(world.found(), before);
    assert_eq!(
        world.query("SELECT 1 FROM run WHERE status = 'running'", vec![]).len(),
        0
    );
}

fn scope(of: &str) -> Scope {
    Scope {
        name: format!("channel:{CHANNEL}"),
        channel: CHANNEL.to_owned(),
        fee_ppm: 6_000,
        window: Window::of(&Zone::named("Asia/Shanghai").unwrap(), day(of), 3),
        is_complete: false,
    }
}

/// Another process begins a run of the first day, and goes on for some parts of it.
fn begin(world: &World, parts: bool) -> u64 {
    let now = world.reconciler.clock.wall();
    let begun = wait(world.db.write(move |tx| {
        let of = scope(D1);
        let Begun::Now(id) = runs::begin(tx, &of.name, of.window.day, "{}", "another", now)? else {
            panic!("another is running");
        };
        if parts {
            let files = reconcile::files(tx, CHANNEL, of.window.day, of.window.day)?;
            while reconcile_waiting::take_back(tx, &of)? {}
            reconcile::new_lines(tx, &of, files[0].id, (0, 3))?;
        }
        Ok(id)
    }));
    begun.unwrap()
}

fn cut_off_in_the_middle_it_is_done_again_from_the_days_beginning(world: &World) {
    plant(world, false);
    world.run(D3);
    let before = world.found();
    begin(world, true);
    assert_ne!(
        world.found()["verdict"],
        before["verdict"],
        "some of it is done, and some is not"
    );
    let refused = world.try_run(D3).unwrap_err();
    assert!(matches!(refused, NotRun::Running(_)), "{refused}");
    world.set(world.reconciler.clock.wall().after_ms(ALIVE_MS));
    world.run(D3);
    assert_eq!(world.found(), before);
    assert_eq!(world.query("SELECT 1 FROM run WHERE status = 'left'", vec![]).len(), 1);
}

fn a_run_that_was_taken_for_dead_writes_no_more(world: &World) {
    plant(world, false);
    let id = begin(world, false);
    world.set(world.reconciler.clock.wall().after_ms(ALIVE_MS));
    world.run(D1);
    let now = world.reconciler.clock.wall();
    let alive = wait(world.db.write(move |tx| runs::is_alive(tx, id, now))).unwrap();
    assert!(!alive);
    let finished = wait(
        world
            .db
            .write(move |tx| runs::finish(tx, id, &Default::default(), "00", now)),
    );
    finished.unwrap();
    assert_eq!(
        wait(world.db.read(move |tx| runs::find(tx, id)))
            .unwrap()
            .unwrap()
            .status,
        Status::Left
    );
}

fn what_cannot_be_run_says_why(world: &World) {
    world.now("2026-03-11 00:00:00");
    let why = |of: &str| world.try_run(of).unwrap_err().to_string();
    assert!(
        why("2026-03-08").contains("the first day there is 2026-03-09"),
        "{}",
        why("2026-03-08")
    );
    assert!(
        why("2026-03-11").contains("the last that is over is 2026-03-10"),
        "{}",
        why("2026-03-11")
    );
    let nobody = wait(world.reconciler.run("nobody", day(D1), "test")).unwrap_err();
    assert_eq!(nobody.to_string(), "channel nobody is not known here");
    world.execute("UPDATE channel SET bills = NULL", vec![]);
    assert!(why(D1).contains("has no bills"), "{}", why(D1));
}

fn a_bill_that_came_late_makes_of_every_day_what_it_had_made_in_time(world: &World) {
    plant(world, false);
    world.run(D3);
    assert_eq!(
        world
            .open(D3)
            .iter()
            .filter(|said| said.starts_with("FILE_MISSING"))
            .count(),
        1
    );
    the_second(world);
    wait(world.reconciler.catch_up(CHANNEL, day(D3), "test")).unwrap();
    world.now("2026-03-13 01:00:00");
    assert_eq!(
        wait(world.reconciler.catch_up(CHANNEL, day(D3), "test")).unwrap(),
        0,
        "there is nothing more to do"
    );
    let digests = |world: &World| {
        world.query(
            "SELECT day, status, inputs, totals, digest FROM run WHERE status = 'final' ORDER BY day",
            vec![],
        )
    };
    let in_time = World::sqlite();
    plant(&in_time, true);
    in_time.now("2026-03-13 01:00:00");
    in_time.run(D3);
    assert_eq!(digests(world).len(), 3);
    assert_eq!(digests(world), digests(&in_time), "on either database");
}

fn a_day_with_many_parts_is_that_of_one(world: &World) {
    let count = reconcile::PART * 2 + 10;
    let planted = world.db.write(move |tx| {
        let begin = Window::of(&Zone::named("Asia/Shanghai").unwrap(), day(D1), 3).begin;
        // Every hundredth is missing on the bill, and as many on our side.
        let numbers = "WITH RECURSIVE n (n) AS (SELECT CAST(1 AS BIGINT) UNION ALL SELECT n + 1 FROM n WHERE n < $1)";
        tx.execute(
            &format!(
                "INSERT INTO channel_transaction (channel, id, ref, amount, credited, at) {numbers} \
                 SELECT '{CHANNEL}', 't' || n, 'T' || n, 100 + n % 7, 1, {} + n / 64 FROM n WHERE n % 100 <> 1",
                begin.0
            ),
            &[count.into()],
        )?;
        tx.execute(
            "INSERT INTO bill_file (id, channel, format, day, sha256, bytes, state, lines, income, outgo, fees, alive_until, made_at, \
             made_by) VALUES (1, $1, 'csv', $2, '00', 1, 'imported', $3, 0, 0, 0, 0, 0, 'test')",
            &[CHANNEL.into(), D1.into(), count.into()],
        )?;
        tx.execute(
            &format!(
                "INSERT INTO bill_trade (file, line, channel, kind, ref, out_no, amount, settled, fee, status, at, name) {numbers} \
                 SELECT 1, n, '{CHANNEL}', 'payment', 't' || n, 'T' || n, 100 + n % 7, 100 + n % 7, 1, '', {} + n, '' FROM n \
                 WHERE n % 100 <> 2",
                begin.0
            ),
            &[count.into()],
        )
    });
    wait(planted).unwrap();
    let totals = world.totals(D1);
    let missing = (count + 99) / 100;
    let of = |class: &str| totals.classes[class].closing.count;
    assert_eq!((of("funds LONG"), of("funds PENDING")), (missing, missing));
    assert_eq!(totals.classes.len(), 2);
    assert_eq!(totals.matched.count, count - 2 * missing);
    let before = world.found();
    world.execute("UPDATE run SET status = 'provisional'", vec![]);
    world.run(D1);
    assert_eq!(world.found(), before);
}

fn at_one_in_the_morning_and_when_a_bill_comes_days_are_done_by_themselves(world: &World) {
    let nightly = Nightly(world.reconciler.clone());
    let look = |at: &str| {
        world.now(at);
        wait(nightly.look()).unwrap()
    };
    let status = |of: &str| {
        let rows = world.query(
            "SELECT status FROM run WHERE day = $1 AND status IN ('provisional', 'final')",
            vec![of.into()],
        );
        rows.into_iter().map(|mut row| row.text(0).unwrap()).next()
    };
    assert_eq!(look("2026-03-10 00:59:59"), 0);
    assert_eq!(
        (look("2026-03-10 01:00:00"), status(D1).as_deref()),
        (1, Some("provisional"))
    );
    assert_eq!(look("2026-03-10 09:00:00"), 0);
    world.bill(D1, &[]);
    assert_eq!(
        (look("2026-03-10 10:00:00"), status(D1).as_deref()),
        (1, Some("provisional"))
    );
    // Nobody was there for two nights.
    assert_eq!(
        (look("2026-03-12 14:00:00"), status(D3).as_deref()),
        (2, Some("provisional"))
    );
    assert_eq!(status(D1).as_deref(), Some("final"), "its bill had a night");
    assert_eq!(look("2026-03-12 14:01:00"), 0);
    world.bill(D3, &[]);
    world.bill(D2, &[]);
    assert_eq!(
        (look("2026-03-12 15:00:00"), status(D3).as_deref()),
        (2, Some("provisional"))
    );
    assert_eq!(look("2026-03-13 00:59:59"), 0);
    assert_eq!(status(D2).as_deref(), Some("provisional"));
    look("2026-03-13 01:00:00");
    assert_eq!(status(D3).as_deref(), Some("final"));
}

fn a_bill_that_was_withdrawn_is_as_if_it_had_never_been(world: &World) {
    plant(world, false);
    world.run(D3);
    let before = world.query(
        "SELECT day, totals, digest FROM run WHERE status <> 'replaced' ORDER BY day",
        vec![],
    );
    // A bill of the third day that is not ours: with a line twice, a refund of what is on no bill, and a credit's payment.
    let file = world.query("SELECT id FROM bill_file WHERE day = $1", vec![D3.into()])[0]
        .int(0)
        .unwrap()
        .unsigned_abs();
    let withdraw = |file: u64| wait(world.db.write(move |tx| bill_proposals::withdraw(tx, file))).unwrap();
    assert!(withdraw(file));
    world.bill(
        D3,
        &[
            paid("t3", "T3", 1_003),
            paid("t3", "T3", 1_003),
            paid("t4", "T4", 1),
            refunded(&paid("t9", "T9", 9), "r9", 9),
        ],
    );
    world.run(D3);
    assert_ne!(
        world.query(
            "SELECT digest FROM run WHERE status = 'provisional' AND day = $1",
            vec![D3.into()]
        )[0]
        .0[0],
        before[2].0[2]
    );
    let wrong = world.query(
        "SELECT id FROM bill_file WHERE day = $1 AND state = 'imported'",
        vec![D3.into()],
    );
    assert!(withdraw(wrong[0].clone().int(0).unwrap().unsigned_abs()));
    let payment = paid("t0", "T0", 1_000);
    world.bill(D3, &[paid("t4", "T4", 1_004), refunded(&payment, "r2", 999)]);
    world.run(D3);
    let after = world.query(
        "SELECT day, totals, digest FROM run WHERE status IN ('provisional', 'final') ORDER BY day",
        vec![],
    );
    assert_eq!(after, before);
}
