//! Each class by its smallest example.

use crate::{
    on_both,
    reports::report,
    world::{World, paid, refunded},
};
use central::{
    reconcile::totals::Sum,
    report::{Format, Sheet, written::Which},
    store::reconcile_runs::Status,
};
use domain::{time::Day, units::Fen};

on_both! {
    matched_what_was_credited_and_is_on_the_bill_is_nothing_to_look_at
    pending_a_credit_is_not_short_before_it_is_due
    pending_a_payment_of_the_last_hour_may_be_credited_on_the_next_day
    long_was_paid_and_credits_nobody
    long_is_over_when_it_is_credited
    long_is_over_when_all_of_it_was_given_back
    short_was_credited_and_is_on_no_bill
    short_is_over_when_the_line_comes_late
    amount_differs_and_both_are_named
    status_is_not_that_it_was_paid
    fee_is_not_what_was_agreed_on_to_the_fen
    duplicate_is_the_same_number_again
    ambiguous_may_be_one_of_several_top_ups
    ambiguous_is_credited_under_another_number_of_ours
    refund_orphan_has_no_payment
    over_refund_is_more_than_was_paid
    a_refund_that_is_done_is_short_whether_its_payment_was_credited_or_not
    file_missing_is_told_when_it_was_due_and_holds_short_back
}

const D1: &str = "2026-03-09";
const D2: &str = "2026-03-10";
const D3: &str = "2026-03-11";
const D4: &str = "2026-03-12";

fn none() -> Vec<String> {
    Vec::new()
}

fn sum(count: i64, fen: i64) -> Sum {
    Sum {
        count,
        amount: Fen(fen),
    }
}

fn matched_what_was_credited_and_is_on_the_bill_is_nothing_to_look_at(world: &World) {
    world.credit("t1", "T1", 5_000, "2026-03-09 12:00:03");
    world.bill(D1, &[paid("t1", "T1", 5_000)]);
    world.now("2026-03-11 01:00:00");
    let run = world.run(D1);
    assert_eq!(run.status, Status::Final);
    assert_eq!(world.open(D1), none());
    let totals = run.totals.unwrap();
    assert_eq!(totals.matched, sum(1, 5_000));
    assert_eq!(
        (totals.bill.gross, totals.bill.fees, totals.bill.net),
        (sum(1, 5_000), Fen(30), Fen(4_970))
    );
    assert!(totals.classes.is_empty());
    assert_eq!(world.query("SELECT id FROM discrepancy", vec![]).len(), 0);
}

fn pending_a_credit_is_not_short_before_it_is_due(world: &World) {
    world.credit("t1", "T1", 5_000, "2026-03-09 12:00:00");
    world.now("2026-03-14 12:00:00");
    for day in [D1, D2, D3] {
        world.bill(day, &[]);
        world.run(day);
        assert_eq!(world.open(day), ["PENDING credit t1 5000 -"], "{day}");
    }
    assert_eq!(world.totals(D3).classes["funds PENDING"].closing, sum(1, 5_000));
    assert_eq!(world.query("SELECT id FROM discrepancy", vec![]).len(), 0);
}

fn pending_a_payment_of_the_last_hour_may_be_credited_on_the_next_day(world: &World) {
    world.now("2026-03-12 12:00:00");
    let late = |reference: &str, at: &str| crate::world::Line {
        at: at.to_owned(),
        ..paid(reference, reference, 5_000)
    };
    world.credit("t2", "t2", 5_000, "2026-03-10 00:00:01");
    world.bill(
        D1,
        &[late("t1", "22:59:59"), late("t2", "23:00:00"), late("t3", "23:59:59")],
    );
    world.bill(D2, &[]);
    world.run(D1);
    assert_eq!(
        world.open(D1),
        [
            "LONG payment t1 - 5000",
            "PENDING payment t2 - 5000",
            "PENDING payment t3 - 5000"
        ]
    );
    world.run(D2);
    assert_eq!(world.open(D2), ["LONG payment t1 - 5000", "LONG payment t3 - 5000"]);
    assert_eq!(world.totals(D2).matched, sum(1, 5_000));
}

fn long_was_paid_and_credits_nobody(world: &World) {
    world.asked("T1", 5_000, "2026-03-09 11:59:00");
    world.bill(D1, &[paid("t1", "T1", 5_000)]);
    world.run(D1);
    assert_eq!(world.open(D1), ["LONG payment t1 - 5000"]);
    let told = world.query("SELECT class, state, amount, ours, theirs FROM discrepancy", vec![]);
    assert_eq!(told.len(), 1, "{told:?}");
}

fn long_is_over_when_it_is_credited(world: &World) {
    world.now("2026-03-12 12:00:00");
    world.bill(D1, &[paid("t1", "T1", 5_000), paid("t2", "T2", 700)]);
    world.bill(D2, &[]);
    world.run(D1);
    world.credit("t1", "T1", 5_000, "2026-03-10 09:00:00");
    // With another amount it is another class from then on.
    world.credit("t2", "T2", 600, "2026-03-10 09:00:00");
    world.run(D2);
    assert_eq!(world.open(D1), ["LONG payment t1 - 5000", "LONG payment t2 - 700"]);
    assert_eq!(world.open(D2), ["AMOUNT payment t2 600 700"]);
    let long = world.totals(D2).classes["funds LONG"];
    assert_eq!(
        (long.opening, long.cleared, long.closing),
        (sum(2, 5_700), sum(2, 5_700), sum(0, 0))
    );
    let states = world.query("SELECT ref, class, state FROM discrepancy ORDER BY ref, class", vec![]);
    let states: Vec<String> = states
        .into_iter()
        .map(|mut row| format!("{} {}", row.text(0).unwrap(), row.text(2).unwrap()))
        .collect();
    assert_eq!(states, ["t1 cleared", "t2 cleared", "t2 open"]);
}

fn long_is_over_when_all_of_it_was_given_back(world: &World) {
    world.now("2026-03-12 12:00:00");
    let payment = paid("t1", "T1", 5_000);
    world.bill(D1, std::slice::from_ref(&payment));
    world.bill(D2, &[refunded(&payment, "r1", 2_000)]);
    world.bill(D3, &[refunded(&payment, "r2", 3_000)]);
    world.run(D3);
    assert_eq!(world.open(D2), ["LONG payment t1 - 5000", "SHORT refund r1 - -2000"]);
    assert_eq!(world.open(D3), none());
    // Who credits it after that has credited what the channel does not have.
    world.credit("t1", "T1", 5_000, "2026-03-12 09:00:00");
    world.now("2026-03-13 12:00:00");
    world.bill(D4, &[]);
    world.run(D4);
    assert_eq!(world.open(D4), ["PENDING credit t1 5000 -"]);
}

fn short_was_credited_and_is_on_no_bill(world: &World) {
    world.credit("t1", "T1", 5_000, "2026-03-09 12:00:00");
    world.now("2026-03-14 12:00:00");
    for day in [D1, D2, D3, D4] {
        world.bill(day, &[]);
    }
    world.run(D4);
    assert_eq!(world.open(D4), ["SHORT credit t1 5000 -"]);
    assert_eq!(world.query("SELECT id FROM discrepancy", vec![]).len(), 1);
}

fn short_is_over_when_the_line_comes_late(world: &World) {
    short_was_credited_and_is_on_no_bill(world);
    world.bill("2026-03-13", &[paid("t1", "T1", 5_000)]);
    world.now("2026-03-15 01:00:00");
    let run = world.run("2026-03-13");
    assert_eq!(run.status, Status::Final);
    assert_eq!(world.open("2026-03-13"), none());
    assert_eq!(
        world.open(D4),
        ["SHORT credit t1 5000 -"],
        "what was said of a day that is final stays said"
    );
    let kinds = world.query("SELECT kind FROM discrepancy_event ORDER BY no", vec![]);
    let kinds: Vec<String> = kinds.into_iter().map(|mut row| row.text(0).unwrap()).collect();
    assert_eq!(kinds, ["opened", "cleared"]);
}

fn amount_differs_and_both_are_named(world: &World) {
    world.credit("t1", "T1", 4_999, "2026-03-09 12:00:00");
    world.bill(D1, &[paid("t1", "T1", 5_000)]);
    let totals = world.totals(D1);
    assert_eq!(world.open(D1), ["AMOUNT payment t1 4999 5000"]);
    assert_eq!(totals.matched, sum(1, 4_999), "both are used up");
}

fn status_is_not_that_it_was_paid(world: &World) {
    world.credit("t1", "T1", 5_000, "2026-03-09 12:00:00");
    let payment = paid("t1", "T1", 5_000);
    let closed = crate::world::Line {
        status: "已关闭",
        ..payment.clone()
    };
    let failed = crate::world::Line {
        status: "退款失败",
        ..refunded(&payment, "r1", 100)
    };
    // It comes before whatever else differs: of what was not paid no other amount, no other number, and no second line.
    for (reference, fen) in [("t2", 700), ("t3", 700), ("t4", 700)] {
        world.credit(reference, &reference.to_uppercase(), fen, "2026-03-09 12:00:00");
    }
    let unpaid = |reference: &str, own: &str, fen: i64| crate::world::Line {
        status: "已关闭",
        ..paid(reference, own, fen)
    };
    let lines = [
        closed,
        failed,
        unpaid("t2", "T2", 500),
        unpaid("t3", "T9", 700),
        paid("t4", "T4", 700),
        unpaid("t4", "T4", 700),
    ];
    world.bill(D1, &lines);
    world.run(D1);
    assert_eq!(
        world.open(D1),
        [
            "STATUS payment t1 5000 5000",
            "STATUS payment t2 700 500",
            "STATUS payment t3 700 700",
            "STATUS payment t4 - 700",
            "STATUS refund r1 - -100"
        ]
    );
    // The report says the channel's word of each.
    let day: Day = D1.parse().unwrap();
    let (json, _) = report(world, Which::all(day, day), (Format::Json, Sheet::Differences)).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let rows = json["differences"].as_array().unwrap().iter();
    let says: Vec<_> = rows
        .map(|row| (row["reference"].as_str().unwrap(), &row["channel_says"]))
        .collect();
    let closed = |reference| (reference, "已关闭");
    let words = ["t1", "t2", "t3", "t4"]
        .map(closed)
        .into_iter()
        .chain([("r1", "退款失败")]);
    assert!(
        words.eq(says
            .iter()
            .map(|(reference, word)| (*reference, word.as_str().unwrap()))),
        "{says:?}"
    );
}

fn fee_is_not_what_was_agreed_on_to_the_fen(world: &World) {
    // 0.6 % of 5.83 yuan is 3.498 fen, of 5.84 3.504, of 12.50 7.5: that is 8.
    for (n, fen) in [583, 584, 1_250, 1_250].into_iter().enumerate() {
        world.credit(&format!("t{n}"), &format!("T{n}"), fen, "2026-03-09 12:00:00");
    }
    let with_fee = |n: usize, fen: i64, fee: i64| crate::world::Line {
        fee,
        ..paid(&format!("t{n}"), &format!("T{n}"), fen)
    };
    world.bill(
        D1,
        &[
            with_fee(0, 583, 3),
            with_fee(1, 584, 4),
            with_fee(2, 1_250, 8),
            with_fee(3, 1_250, 7),
        ],
    );
    world.run(D1);
    assert_eq!(world.open(D1), ["FEE payment t3 8 7"]);
}

fn duplicate_is_the_same_number_again(world: &World) {
    world.now("2026-03-12 12:00:00");
    world.credit("t1", "T1", 5_000, "2026-03-09 12:00:00");
    let payment = paid("t1", "T1", 5_000);
    let uncredited = paid("t2", "T2", 700);
    world.bill(D1, &[payment.clone(), payment.clone(), uncredited.clone()]);
    world.bill(D2, &[payment, uncredited]);
    world.run(D2);
    assert_eq!(world.open(D1), ["DUPLICATE payment t1 - 5000", "LONG payment t2 - 700"]);
    assert_eq!(
        world.open(D2),
        [
            "DUPLICATE payment t1 - 5000",
            "DUPLICATE payment t1 - 5000",
            "DUPLICATE payment t2 - 700",
            "LONG payment t2 - 700"
        ]
    );
    assert_eq!(
        world.query("SELECT id FROM discrepancy", vec![]).len(),
        4,
        "each line is named once"
    );
}

fn ambiguous_may_be_one_of_several_top_ups(world: &World) {
    world.asked("T1", 5_000, "2026-03-08 12:00:01");
    world.asked("T2", 5_000, "2026-03-09 11:00:00");
    world.asked("T3", 700, "2026-03-09 11:00:00");
    world.bill(
        D1,
        &[
            paid("t1", "elsewhere-1", 5_000),
            paid("t2", "elsewhere-2", 700),
            paid("t3", "T1", 5_000),
        ],
    );
    world.run(D1);
    // One that may be one alone is not confirmed either, and one that says which it is is that one.
    assert_eq!(
        world.open(D1),
        [
            "AMBIGUOUS payment t1 - 5000",
            "LONG payment t2 - 700",
            "LONG payment t3 - 5000"
        ]
    );
}

fn ambiguous_is_credited_under_another_number_of_ours(world: &World) {
    world.credit("t1", "T1", 5_000, "2026-03-09 12:00:00");
    world.bill(D1, &[paid("t1", "T9", 5_000)]);
    world.run(D1);
    assert_eq!(world.open(D1), ["AMBIGUOUS payment t1 5000 5000"]);
}

fn refund_orphan_has_no_payment(world: &World) {
    world.bill(D1, &[refunded(&paid("t1", "T1", 5_000), "r1", 5_000)]);
    let totals = world.totals(D1);
    assert_eq!(world.open(D1), ["REFUND_ORPHAN refund r1 - -5000"]);
    assert_eq!(totals.refunds.closing, sum(1, -5_000));
}

fn over_refund_is_more_than_was_paid(world: &World) {
    world.now("2026-03-12 12:00:00");
    world.credit("t1", "T1", 5_000, "2026-03-09 12:00:00");
    let payment = paid("t1", "T1", 5_000);
    world.bill(D1, &[payment.clone(), refunded(&payment, "r1", 3_000)]);
    world.bill(D2, &[refunded(&payment, "r2", 2_000), refunded(&payment, "r3", 1)]);
    world.run(D2);
    assert_eq!(
        world.open(D2),
        [
            "OVER_REFUND refund r3 5000 -5001",
            "SHORT refund r1 - -3000",
            "SHORT refund r2 - -2000"
        ]
    );
}

fn a_refund_that_is_done_is_short_whether_its_payment_was_credited_or_not(world: &World) {
    world.now("2026-03-12 12:00:00");
    let payment = paid("t1", "T1", 5_000);
    world.bill(D1, &[payment.clone(), refunded(&payment, "r1", 1_000)]);
    world.bill(D2, &[]);
    world.credit("t1", "T1", 5_000, "2026-03-10 12:00:00");
    world.run(D2);
    assert_eq!(world.open(D1), ["LONG payment t1 - 5000", "SHORT refund r1 - -1000"]);
    assert_eq!(world.open(D2), ["SHORT refund r1 - -1000"]);
}

fn file_missing_is_told_when_it_was_due_and_holds_short_back(world: &World) {
    world.credit("t1", "T1", 5_000, "2026-03-09 12:00:00");
    world.credit("t2", "T2", 300, "2026-03-10 12:00:00");
    world.now("2026-03-15 12:00:00");
    world.bill(D1, &[]);
    for day in [D3, D4, "2026-03-13", "2026-03-14"] {
        world.bill(day, &[]);
    }
    assert_eq!(world.run(D2).status, Status::Provisional);
    assert_eq!(
        world.open(D2),
        ["PENDING credit t1 5000 -"],
        "this morning it need not be there"
    );
    let run = world.run("2026-03-14");
    assert_eq!(run.status, Status::Provisional);
    assert_eq!(
        world.open("2026-03-14"),
        ["FILE_MISSING day 2026-03-10 - -", "PENDING credit t1 5000 -"]
    );
    assert_eq!(
        run.totals.unwrap().classes["funds PENDING"].closing,
        sum(2, 5_300),
        "those of the day are counted"
    );
    world.bill(D2, &[paid("t2", "T2", 300)]);
    world.now("2026-03-16 01:00:00");
    let run = world.run("2026-03-14");
    assert_eq!(run.status, Status::Final);
    assert_eq!(world.open("2026-03-14"), ["SHORT credit t1 5000 -"]);
    assert_eq!(
        world.open(D4),
        ["SHORT credit t1 5000 -"],
        "as if it had been there in time"
    );
}
