//! What days go by: when one is final, what held on it, and that nothing of later changes what was said of it.

use crate::{
    on_both,
    world::{CHANNEL, World, day, paid, refunded, wait, yuan},
};
use central::{
    bills::{Biller, Format},
    reconcile::nightly::{DOES_NOT_CLOSE, Nightly},
    store::{
        Row, bill_proposals, jobs,
        reconcile_runs::{self as runs, Begun, Status},
        topups,
    },
};
use domain::units::Fen;

on_both! {
    a_day_is_final_after_a_night_in_which_nobody_has_proposed_anything
    what_a_final_day_went_by_holds_for_it_when_the_channel_is_changed
    a_channel_that_gets_bills_late_begins_on_that_day
    no_time_is_lost_where_the_zone_changes
    who_was_cut_off_goes_on_without_waiting_for_the_night
    totals_that_do_not_close_are_told_to_people
    a_credit_is_not_dated_into_a_day_that_is_final
    a_credit_of_a_day_that_was_reconciled_is_not_lost
    a_clock_that_was_years_ahead_leaves_no_day_behind
    a_line_that_is_brought_anew_is_the_same_discrepancy
    a_discrepancy_that_people_have_decided_is_not_cleared_behind_them
    a_line_that_was_not_paid_is_no_long
    what_was_asked_for_with_another_amount_is_named_with_both
    what_comes_later_changes_nothing_of_the_past
    what_waits_is_asked_again_when_rows_come
    a_refund_that_is_under_way_ends_no_long
    a_refund_that_was_under_way_and_is_not_done_is_no_short
    a_clock_that_was_ahead_stops_nothing_from_being_followed_up
    what_was_found_is_told_also_where_its_run_was_cut_off_before_that
    while_days_lack_their_runs_nothing_is_cleared
    refunds_without_numbers_of_their_own_are_one_each
}

const D1: &str = "2026-03-09";
const D2: &str = "2026-03-10";
const D3: &str = "2026-03-11";

fn status(world: &World, of: &str) -> Option<String> {
    let rows = world.query(
        "SELECT status FROM run WHERE day = $1 AND status IN ('provisional', 'final')",
        vec![of.into()],
    );
    rows.into_iter().map(|mut row| row.text(0).unwrap()).next()
}

fn words(rows: Vec<Row>) -> Vec<String> {
    rows.into_iter().map(|mut row| row.text(0).unwrap()).collect()
}

fn file_of(world: &World, of: &str) -> u64 {
    let rows = world.query(
        "SELECT id FROM bill_file WHERE day = $1 AND state = 'imported'",
        vec![of.into()],
    );
    rows[0].clone().int(0).unwrap().unsigned_abs()
}

fn a_day_is_final_after_a_night_in_which_nobody_has_proposed_anything(world: &World) {
    world.now("2026-03-10 10:00:00");
    world.bill(D1, &[]);
    assert_eq!(world.run(D1).status, Status::Provisional);
    let file = file_of(world, D1);
    world.execute(
        "INSERT INTO bill_proposal (id, kind, channel, format, day, file, reason, state, proposed_by, proposed_at) \
         VALUES ('p1', 'withdraw', $1, 'csv', $2, $3, 'cut', 'proposed', 'anna', 0)",
        vec![CHANNEL.into(), D1.into(), file.into()],
    );
    world.now("2026-03-11 00:59:59");
    assert_eq!(world.run(D1).status, Status::Provisional, "the night is not over");
    world.now("2026-03-11 01:00:00");
    assert_eq!(
        world.run(D1).status,
        Status::Provisional,
        "somebody wants to withdraw it"
    );
    world.execute(
        "UPDATE bill_proposal SET state = 'rejected', decided_by = 'ben', decided_at = 1",
        vec![],
    );
    let runs = world.query("SELECT COUNT(*) FROM run", vec![]);
    assert_eq!(wait(world.reconciler.catch_up(CHANNEL, day(D1), "test")).unwrap(), 0);
    assert_eq!(status(world, D1).as_deref(), Some("final"));
    assert_eq!(
        world.query("SELECT COUNT(*) FROM run", vec![]),
        runs,
        "nothing is done again for that"
    );
}

fn what_a_final_day_went_by_holds_for_it_when_the_channel_is_changed(world: &World) {
    for (n, of) in [D1, D2, D3].into_iter().enumerate() {
        world.credit(&format!("t{n}"), &format!("T{n}"), 1_000, &format!("{of} 12:00:00"));
    }
    world.now("2026-03-10 10:00:00");
    world.bill(D1, &[paid("t0", "T0", 1_000)]);
    world.now("2026-03-11 01:00:00");
    world.bill(D2, &[paid("t1", "T1", 1_000)]);
    world.run(D2);
    assert_eq!(
        (status(world, D1).as_deref(), status(world, D2).as_deref()),
        (Some("final"), Some("provisional"))
    );
    world.change(|channel| channel.fee_ppm = 7_000);
    world.now("2026-03-12 10:00:00");
    world.bill(D3, &[paid("t2", "T2", 1_000)]);
    world.run(D3);
    assert_eq!(world.open(D1), Vec::<String>::new());
    assert_eq!(world.open(D2), ["FEE payment t1 7 6"], "it was not final yet");
    assert_eq!(world.open(D3), ["FEE payment t1 7 6", "FEE payment t2 7 6"]);
    // What was paid on a final day and is credited later is judged by what held on its day.
    let settings = world.query(
        "SELECT from_day, fee_ppm FROM channel_setting ORDER BY from_day",
        vec![],
    );
    let settings: Vec<(String, i64)> = settings
        .into_iter()
        .map(|mut row| (row.text(0).unwrap(), row.int(1).unwrap()))
        .collect();
    assert_eq!(settings, [(D1.to_owned(), 6_000), (D2.to_owned(), 7_000)]);
}

fn a_channel_that_gets_bills_late_begins_on_that_day(world: &World) {
    world.execute("DELETE FROM channel_setting", vec![]);
    world.execute("UPDATE channel SET bills = NULL", vec![]);
    world.now("2026-06-02 09:00:00");
    world.change(|channel| channel.bills = Some(Biller::Csv));
    world.now("2026-06-03 01:00:00");
    let refused = world.try_run("2026-06-01").unwrap_err().to_string();
    assert!(refused.contains("2026-06-02"), "{refused}");
    world.run("2026-06-02");
    assert_eq!(
        world.open("2026-06-02"),
        Vec::<String>::new(),
        "no bill of before is missed"
    );
}

fn no_time_is_lost_where_the_zone_changes(world: &World) {
    world.now("2026-03-10 10:00:00");
    world.bill(D1, &[]);
    world.now("2026-03-11 01:00:00");
    world.run(D1);
    world.change(|channel| channel.zone = "Europe/Berlin".to_owned());
    // Between midnight there and midnight here.
    world.credit("t1", "T1", 500, "2026-03-10 03:00:00");
    world.now("2026-03-12 12:00:00");
    let totals = world.totals(D2);
    assert_eq!(totals.credits.new.count, 1);
    assert_eq!(world.totals(D3).credits.closing.count, 1);
}

fn who_was_cut_off_goes_on_without_waiting_for_the_night(world: &World) {
    let nightly = Nightly(world.reconciler.clone());
    world.now("2026-03-12 02:00:00");
    for of in [D1, D2, D3] {
        world.bill(of, &[]);
    }
    assert_eq!(wait(nightly.look()).unwrap(), 3);
    assert_eq!(wait(nightly.look()).unwrap(), 0);
    // Somebody begins the first day anew, and dies of it.
    let now = world.reconciler.clock.wall();
    let begun = wait(
        world
            .db
            .write(move |tx| runs::begin(tx, "channel:bank", day(D1), "{}", "another", now)),
    );
    assert!(matches!(begun.unwrap(), Begun::Now(_)));
    assert_eq!(status(world, D3), None);
    world.set(now.after_ms(runs::ALIVE_MS));
    assert_eq!(wait(nightly.look()).unwrap(), 3);
    assert_eq!(status(world, D3).as_deref(), Some("provisional"));
    assert_eq!(wait(nightly.look()).unwrap(), 0);
}

fn totals_that_do_not_close_are_told_to_people(world: &World) {
    let nightly = Nightly(world.reconciler.clone());
    world.now("2026-03-10 02:00:00");
    world.bill(D1, &[paid("t1", "T1", 500)]);
    wait(nightly.look()).unwrap();
    // Somebody's hand takes a verdict away that the day before had.
    world.execute("DELETE FROM verdict", vec![]);
    world.now("2026-03-11 02:00:00");
    assert_eq!(wait(nightly.look()).unwrap(), 0);
    let outcome = || {
        let known = wait(world.db.read(|tx| jobs::all(tx, central::reconcile::nightly::KIND))).unwrap();
        known[0].outcome.clone()
    };
    assert_eq!(outcome().as_deref(), Some(DOES_NOT_CLOSE));
    // From its beginning it closes.
    world.execute(
        "UPDATE run SET status = 'replaced' WHERE status = 'provisional'",
        vec![],
    );
    world.now("2026-03-11 02:10:00");
    assert_eq!(wait(nightly.look()).unwrap(), 2);
    assert_eq!(outcome().as_deref(), Some("done"));
}

fn used(transaction: &str, at: domain::time::Wall) -> topups::Used {
    topups::Used {
        channel: CHANNEL.to_owned(),
        transaction: transaction.to_owned(),
        reference: format!("our-{transaction}"),
        amount: Fen(500),
        is_credited: true,
        why: None,
        at,
    }
}

fn a_credit_is_not_dated_into_a_day_that_is_final(world: &World) {
    let at = |transaction: &'static str| {
        let now = world.reconciler.clock.wall();
        wait(
            world
                .db
                .write(move |tx| topups::use_transaction(tx, &used(transaction, now))),
        )
        .unwrap();
        let row = world.query(
            "SELECT at FROM channel_transaction WHERE id = $1",
            vec![transaction.into()],
        );
        row[0].clone().int(0).unwrap()
    };
    world.now("2026-03-10 10:00:00");
    world.bill(D1, &[]);
    assert_eq!(at("t1"), world.at_time("2026-03-10 10:00:00").0);
    world.now("2026-03-11 01:00:00");
    assert_eq!(world.run(D1).status, Status::Final);
    world.now("2026-03-09 12:00:00");
    assert_eq!(
        at("t2"),
        world.at_time("2026-03-10 00:00:00").0,
        "when that day was over"
    );
    world.now("2026-03-11 02:00:00");
    assert_eq!(at("t3"), world.at_time("2026-03-11 02:00:00").0);
}

fn a_credit_of_a_day_that_was_reconciled_is_not_lost(world: &World) {
    world.now("2026-03-10 02:00:00");
    world.bill(D1, &[]);
    world.run(D1);
    // The clock was put back, and so it is one of the day that was reconciled.
    world.credit("t1", "T1", 500, "2026-03-09 23:00:00");
    world.now("2026-03-11 01:00:00");
    wait(world.reconciler.catch_up(CHANNEL, day(D1), "test")).unwrap();
    assert_eq!(world.open(D1), ["PENDING credit t1 500 -"]);
}

fn a_clock_that_was_years_ahead_leaves_no_day_behind(world: &World) {
    let nightly = Nightly(world.reconciler.clone());
    world.now("2026-03-10 02:00:00");
    world.bill(D1, &[]);
    wait(nightly.look()).unwrap();
    world.now("2031-03-10 02:00:00");
    for _ in 0..3 {
        let days = wait(nightly.look()).unwrap();
        assert!(days <= 31, "{days}");
    }
    world.now("2026-03-11 02:00:00");
    wait(nightly.look()).unwrap();
    let days = words(world.query(
        "SELECT day FROM run WHERE status IN ('provisional', 'final') ORDER BY day",
        vec![],
    ));
    assert_eq!(days, [D1, D2]);
    assert_eq!(
        world
            .query("SELECT 1 FROM discrepancy WHERE closed_at IS NULL", vec![])
            .len(),
        0,
        "and no file that is missing"
    );
}

fn a_line_that_is_brought_anew_is_the_same_discrepancy(world: &World) {
    world.now("2026-03-10 10:00:00");
    let payment = paid("t1", "T1", 500);
    world.bill(D1, &[payment.clone(), payment.clone(), paid("t2", "T2", 700)]);
    world.run(D1);
    let named = || {
        words(world.query(
            "SELECT CAST(id AS TEXT) || ' ' || CAST(class AS TEXT) || ' ' || ref || ' ' || state FROM discrepancy ORDER BY id",
            vec![],
        ))
    };
    let before = named();
    assert_eq!(before.len(), 3);
    let file = file_of(world, D1);
    assert!(wait(world.db.write(move |tx| bill_proposals::withdraw(tx, file))).unwrap());
    world.run(D1);
    assert!(named().iter().all(|said| said.ends_with("cleared")), "{:?}", named());
    // In another order, and with a line more before it.
    world.bill(
        D1,
        &[paid("t2", "T2", 700), paid("t0", "T0", 9), payment.clone(), payment],
    );
    world.run(D1);
    let after = named();
    assert_eq!(after[..3], before[..]);
    assert_eq!(after.len(), 4);
    let lines = world.query("SELECT line FROM discrepancy WHERE ref = 't2'", vec![]);
    assert_eq!(lines[0].clone().int(0).unwrap(), 2, "where the line is now");
}

fn a_discrepancy_that_people_have_decided_is_not_cleared_behind_them(world: &World) {
    world.bill(D1, &[paid("t1", "T1", 500)]);
    world.run(D1);
    world.execute("UPDATE discrepancy SET state = 'posted', closed_at = 1", vec![]);
    world.now("2026-03-12 01:00:00");
    world.credit("t1", "T1", 500, "2026-03-10 12:00:00");
    world.bill(D2, &[]);
    world.run(D2);
    assert_eq!(words(world.query("SELECT state FROM discrepancy", vec![])), ["posted"]);
}

fn a_line_that_was_not_paid_is_no_long(world: &World) {
    world.now("2026-03-12 12:00:00");
    let unpaid = |reference: &str, own: &str| crate::world::Line {
        status: "未支付",
        ..paid(reference, own, 500)
    };
    world.asked("T1", 500, "2026-03-09 11:59:00");
    // Of the second it says later that it was paid after all.
    world.bill(D1, &[unpaid("t1", "T1"), unpaid("t2", "T2"), unpaid("t3", "T3")]);
    world.bill(D2, &[paid("t2", "T2", 500)]);
    world.bill(D3, &[]);
    world.run(D2);
    assert_eq!(
        world.open(D1),
        [
            "STATUS payment t1 - 500",
            "STATUS payment t2 - 500",
            "STATUS payment t3 - 500"
        ]
    );
    assert_eq!(
        world.open(D2),
        [
            "LONG payment t2 - 500",
            "STATUS payment t1 - 500",
            "STATUS payment t2 - 500",
            "STATUS payment t3 - 500"
        ]
    );
    // The credit is in the first line's pair, and the other one is the same again.
    world.credit("t2", "T2", 500, "2026-03-11 08:00:00");
    world.run(D3);
    assert_eq!(
        world.open(D3),
        [
            "DUPLICATE payment t2 - 500",
            "STATUS payment t1 - 500",
            "STATUS payment t2 500 500",
            "STATUS payment t3 - 500"
        ]
    );
}

fn what_was_asked_for_with_another_amount_is_named_with_both(world: &World) {
    world.now("2026-03-12 12:00:00");
    world.asked("T1", 500, "2026-03-09 11:59:00");
    let payment = paid("t1", "T1", 600);
    world.bill(D1, std::slice::from_ref(&payment));
    world.run(D1);
    assert_eq!(world.open(D1), ["AMOUNT payment t1 500 600"]);
    let is_matched = world.query("SELECT is_matched FROM discrepancy", vec![]);
    assert_eq!(
        is_matched[0].clone().int(0).unwrap(),
        0,
        "nobody was credited with any of it"
    );
    world.bill(D2, &[refunded(&payment, "r1", 600)]);
    world.run(D2);
    assert_eq!(world.open(D2), Vec::<String>::new(), "the channel has given it back");
}

fn what_comes_later_changes_nothing_of_the_past(world: &World) {
    world.now("2026-03-12 12:00:00");
    for own in ["T1", "T2"] {
        world.asked(own, 500, "2026-03-09 11:00:00");
    }
    let payment = paid("t2", "X2", 800);
    world.bill(D1, &[paid("t1", "X1", 500), payment.clone()]);
    world.bill(D2, &[refunded(&payment, "r1", 800), refunded(&payment, "r2", 1)]);
    world.bill(D3, &[]);
    world.run(D2);
    let before = (world.open(D1), world.open(D2));
    assert_eq!(before.0, ["AMBIGUOUS payment t1 - 500", "LONG payment t2 - 800"]);
    // On a later day somebody asks under the number of the foreign payment, and a line says that less was paid.
    world.asked("X1", 500, "2026-03-11 09:00:00");
    let file = file_of(world, D3);
    assert!(wait(world.db.write(move |tx| bill_proposals::withdraw(tx, file))).unwrap());
    world.bill(D3, &[paid("t2", "X2", 300)]);
    world.run(D3);
    world.run(D1);
    assert_eq!((world.open(D1), world.open(D2)), before);
}

fn what_waits_is_asked_again_when_rows_come(world: &World) {
    world.now("2026-03-13 12:00:00");
    for own in ["T1", "T2"] {
        world.asked(own, 500, "2026-03-09 11:00:00");
    }
    let late = paid("t9", "T9", 900);
    world.bill(D1, &[paid("t1", "elsewhere", 500), refunded(&late, "r1", 400)]);
    world.run(D1);
    // One of the two top-ups is credited, by a payment of its own; and the payment comes that the refund is of.
    world.credit("t5", "T1", 500, "2026-03-10 09:00:00");
    world.bill(D2, &[paid("t5", "T1", 500), late]);
    world.credit("t9", "T9", 900, "2026-03-10 12:00:00");
    world.run(D2);
    assert_eq!(
        world.open(D1),
        ["AMBIGUOUS payment t1 - 500", "REFUND_ORPHAN refund r1 - -400"]
    );
    assert_eq!(world.open(D2), ["LONG payment t1 - 500", "SHORT refund r1 - -400"]);
    let states = words(world.query(
        "SELECT CAST(class AS TEXT) || ' ' || state FROM discrepancy ORDER BY class",
        vec![],
    ));
    assert_eq!(states, ["2 open", "3 open", "8 cleared", "9 cleared"]);
}

fn a_refund_that_is_under_way_ends_no_long(world: &World) {
    world.now("2026-03-13 12:00:00");
    let payment = paid("t1", "T1", 500);
    let done = refunded(&payment, "r1", 500);
    let under_way = crate::world::Line {
        status: "PROCESSING",
        ..done.clone()
    };
    world.bill(D1, &[payment, under_way]);
    world.run(D1);
    let both = ["LONG payment t1 - 500", "PENDING refund r1 - -500"];
    assert_eq!(world.open(D1), both);
    world.bill(D2, &[]);
    world.run(D2);
    assert_eq!(world.open(D2), both);
    world.bill(D3, &[done]);
    world.run(D3);
    assert_eq!(world.open(D3), Vec::<String>::new(), "the later line says how it ended");
}

fn refunds_without_numbers_of_their_own_are_one_each(world: &World) {
    world.now("2026-03-13 12:00:00");
    world.credit("t1", "T1", 500, "2026-03-09 12:00:00");
    let lines = [
        ("payment", 500, 3),
        ("refund", 200, 0),
        ("refund", 200, 0),
        ("refund", 200, 0),
    ];
    let mut csv = "kind,ref,out_no,amount,fee,at,refund_ref,refund_no,status\n".to_owned();
    for (kind, fen, fee) in lines {
        let (amount, fee) = (yuan(fen), yuan(fee));
        csv.push_str(&format!("{kind},t1,T1,{amount},{fee},2026-03-09 12:00:00,,,\n"));
    }
    world.import(CHANNEL, day(D1), Format::Csv, csv.as_bytes()).unwrap();
    world.run(D1);
    assert_eq!(
        world.open(D1),
        [
            "OVER_REFUND refund t1 500 -600",
            "SHORT refund t1 - -200",
            "SHORT refund t1 - -200"
        ]
    );
    assert_eq!(world.query("SELECT 1 FROM discrepancy", vec![]).len(), 3);
}

fn a_refund_that_was_under_way_and_is_not_done_is_no_short(world: &World) {
    world.now("2026-03-13 12:00:00");
    world.credit("t1", "T1", 500, "2026-03-09 12:00:00");
    let payment = paid("t1", "T1", 500);
    let said = |status: &'static str| crate::world::Line {
        status,
        ..refunded(&payment, "r1", 500)
    };
    world.bill(D1, &[payment.clone(), said("PROCESSING")]);
    world.run(D1);
    assert_eq!(world.open(D1), ["PENDING refund r1 - -500"], "nothing has moved yet");
    world.bill(D2, &[said("CHANGE")]);
    world.run(D2);
    assert_eq!(world.open(D2), ["STATUS refund r1 - -500"]);
    // The one that is made in its place is no more than was paid.
    world.bill(D3, &[refunded(&payment, "r2", 500)]);
    world.run(D3);
    assert_eq!(world.open(D3), ["SHORT refund r2 - -500", "STATUS refund r1 - -500"]);
}

fn states(world: &World) -> Vec<String> {
    words(world.query(
        "SELECT CAST(class AS TEXT) || ' ' || ref || ' ' || state FROM discrepancy ORDER BY id",
        vec![],
    ))
}

fn a_clock_that_was_ahead_stops_nothing_from_being_followed_up(world: &World) {
    world.now("2026-03-10 02:00:00");
    world.bill(D1, &[]);
    world.run(D1);
    // Years ahead some days are done, and taken back when that is seen.
    world.now("2031-03-10 02:00:00");
    world.run("2026-03-20");
    world.now("2026-03-11 02:00:00");
    world.bill(D2, &[paid("t2", "T2", 500)]);
    wait(world.reconciler.catch_up(CHANNEL, day(D2), "test")).unwrap();
    world.now("2026-03-12 02:00:00");
    wait(world.reconciler.catch_up(CHANNEL, day(D3), "test")).unwrap();
    let ahead = world.query(
        "SELECT 1 FROM run WHERE day > $1 AND status = 'replaced'",
        vec![D3.into()],
    );
    assert_eq!(ahead.len(), 9);
    assert_eq!(world.discrepancies_of(CHANNEL), ["LONG payment t2 - 500"]);
    assert_eq!(status(world, D2).as_deref(), Some("final"));
    let parked = world.query("SELECT amount FROM suspense WHERE state = 'parked'", vec![]);
    assert_eq!(parked.len(), 1);
}

fn what_was_found_is_told_also_where_its_run_was_cut_off_before_that(world: &World) {
    world.now("2026-03-10 10:00:00");
    world.bill(D1, &[paid("t1", "T1", 500)]);
    world.run(D1);
    // As if the run had ended, and whoever was at it had not gone on.
    world.execute("UPDATE discrepancy SET amount = 400, theirs = 400", vec![]);
    assert_eq!(wait(world.reconciler.catch_up(CHANNEL, day(D1), "test")).unwrap(), 0);
    let amounts = words(world.query("SELECT CAST(amount AS TEXT) FROM discrepancy", vec![]));
    assert_eq!(amounts, ["500"]);
}

fn while_days_lack_their_runs_nothing_is_cleared(world: &World) {
    world.now("2026-03-12 10:00:00");
    world.bill(D1, &[]);
    world.bill(D2, &[paid("t2", "T2", 500)]);
    world.run(D2);
    let before = states(world);
    assert_eq!(before, ["2 t2 open"]);
    // Somebody begins the first day anew and is cut off; the first alone is done then.
    let now = world.reconciler.clock.wall();
    let begun = world
        .db
        .write(move |tx| runs::begin(tx, "channel:bank", day(D1), "{}", "another", now));
    assert!(matches!(wait(begun).unwrap(), Begun::Now(_)));
    world.set(now.after_ms(runs::ALIVE_MS));
    world.run(D1);
    assert_eq!(status(world, D2), None);
    assert_eq!(states(world), before, "nobody knows what the second day has");
    world.run(D2);
    assert_eq!(states(world), before);
    let events = words(world.query("SELECT kind FROM discrepancy_event ORDER BY no", vec![]));
    assert_eq!(events, ["opened"]);
}
