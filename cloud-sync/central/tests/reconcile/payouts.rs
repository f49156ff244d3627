//! What a channel has paid out against what was due of its bills: each difference once, and its books once the day is final.

use crate::{
    on_both,
    world::{CHANNEL, World, day, paid, wait, yuan},
};
use central::{
    bills::{Biller, Format},
    desk::Clock,
    money::Refused,
    reconcile::{
        days::through,
        funds::NotRun,
        nightly::Nightly,
        payouts::{Payouts, scope_of},
        stake::Kind,
    },
    store::{
        payouts::Payout,
        proposed::State,
        reconcile_runs::{self as runs, Status},
    },
};
use domain::{time::Wall, units::Fen};
use std::{fmt::Write as _, sync::Arc};

on_both! {
    what_was_due_is_paid_out_and_leaves_the_channels_account
    what_is_paid_out_short_is_named_once_and_two_people_make_it_our_loss
    what_is_not_paid_out_in_time_is_said_until_it_is
    a_payout_that_comes_late_is_of_the_first_day_that_is_not_final_and_of_none_twice
    a_payout_that_comes_late_has_its_night_too
    the_same_number_on_two_days_is_two_payouts
    what_went_back_leaves_the_bank_and_is_due_with_the_next
    a_bill_that_comes_after_people_have_said_so_has_the_last_word_in_the_books_too
    a_payout_that_was_typed_wrong_and_is_corrected_differs_no_more
    what_was_taken_back_and_said_anew_is_corrected_where_it_was_held_last
    two_at_once_book_each_payout_once
    the_last_payouts_are_booked_by_themselves
    nothing_is_said_while_the_channels_own_days_are_being_done
    two_people_say_what_was_paid_out_each_number_once
    what_cannot_have_been_paid_out_is_refused
}

const D1: &str = "2026-03-09";
const D2: &str = "2026-03-10";
const D3: &str = "2026-03-11";
const D4: &str = "2026-03-12";
const D5: &str = "2026-03-13";

/// On each of some days 100.00 is paid in, of which the channel keeps 0.60.
fn days_with_trade(world: &World, first: &str, last: &str) {
    world.has_members();
    for of in through(day(first), day(last)) {
        let (reference, out_no, text) = (format!("T{of}"), format!("our{of}"), of.to_string());
        world.pays(&reference, &out_no, 10_000, &text);
        world.now(&format!("{} 10:00:00", of.plus(1)));
        world.bill(&text, &[paid(&reference, &out_no, 10_000)]);
        world.run(&text);
    }
}

/// Both people say that the bank has got it.
fn say(world: &World, of: &str, reference: &str, fen: i64) {
    let payout = payout(of, reference, fen);
    let id = payout.id.clone();
    world.money("anna", move |money| money.propose_payout(payout)).unwrap();
    world.money("bert", move |money| money.approve_payout(&id)).unwrap();
}

fn payout(of: &str, reference: &str, fen: i64) -> Payout {
    Payout {
        id: format!("payout-{of}-{reference}"),
        channel: CHANNEL.to_owned(),
        day: day(of),
        reference: reference.to_owned(),
        amount: Fen(fen),
        reason: "the bank's statement".to_owned(),
        state: State::Proposed,
        proposed_by: String::new(),
        proposed_at: Wall(0),
        decided_by: None,
        decided_at: None,
    }
}

fn catch_up(world: &World) -> usize {
    let payouts = Payouts {
        db: world.db.clone(),
        clock: Arc::clone(&world.clock) as Arc<dyn Clock>,
    };
    wait(payouts.catch_up(CHANNEL, "a test")).unwrap()
}

/// It is this time, and all is done that is due by itself.
fn night(world: &World, at: &str) {
    world.now(at);
    wait(Nightly(world.reconciler.clone()).look()).unwrap();
}

/// What is open of payouts: the row, what was due, what was paid.
fn open(world: &World) -> Vec<String> {
    let rows = world.query(
        "SELECT ref, ours, theirs FROM discrepancy WHERE scope = $1 AND closed_at IS NULL ORDER BY id",
        vec![scope_of(CHANNEL).into()],
    );
    let said = |mut row: central::store::Row| {
        let (reference, ours, theirs) = (row.text(0).unwrap(), row.int(1).unwrap(), row.int(2).unwrap());
        format!("{reference}: {ours} {theirs}")
    };
    rows.into_iter().map(said).collect()
}

/// What the bank got, what the channel kept, and what it has of ours still.
fn books(world: &World) -> [i64; 3] {
    let fees = format!("fee:{CHANNEL}");
    [-world.balance("bank"), -world.balance(&fees), -world.unpaid()]
}

fn status(world: &World, of: &str) -> Option<Status> {
    let (scope, of) = (scope_of(CHANNEL), day(of));
    let found = wait(world.db.read(move |tx| runs::counting(tx, &scope, of))).unwrap();
    found.into_iter().find(|run| run.day == of).map(|run| run.status)
}

fn what_was_due_is_paid_out_and_leaves_the_channels_account(world: &World) {
    days_with_trade(world, D1, D3);
    assert_eq!(
        catch_up(world),
        0,
        "no payout is known, so nothing is held against anything"
    );
    // What was due of two days, in two parts.
    say(world, D3, "W1", 9_940);
    say(world, D3, "W2", 9_940);
    assert!(catch_up(world) > 0);
    assert_eq!(open(world), Vec::<String>::new());
    assert_eq!(status(world, D3), Some(Status::Provisional));
    assert_eq!(books(world), [0, 0, 30_000]);
    // A night later the days are final, and it is booked: once.
    world.now("2026-03-14 01:00:00");
    for _ in 0..2 {
        world.run(D3);
        catch_up(world);
        assert_eq!(status(world, D3), Some(Status::Final));
        assert_eq!(
            books(world),
            [19_880, 120, 10_000],
            "of both days nothing is left there"
        );
    }
}

fn what_is_paid_out_short_is_named_once_and_two_people_make_it_our_loss(world: &World) {
    days_with_trade(world, D1, D4);
    say(world, D2, "W1", 9_900);
    say(world, D3, "W2", 9_940);
    catch_up(world);
    let short = format!("{D2} W1: 9940 9900");
    assert_eq!(open(world), std::slice::from_ref(&short));
    say(world, D4, "W3", 9_960);
    catch_up(world);
    assert_eq!(open(world), [short, format!("{D4} W3: 9940 9960")]);
    night(world, "2026-03-14 01:00:00");
    // What differs is in suspense, and no more in the channel's account: that has what was not due yet.
    let [less, more] = [("short", 1), ("long", 2)].map(|(kind, at)| {
        let rows = world.query(
            "SELECT id FROM discrepancy WHERE scope = $1 ORDER BY id",
            vec![scope_of(CHANNEL).into()],
        );
        let id = rows[at - 1].clone().count(0).unwrap();
        (id, format!("{kind}:{CHANNEL}:{id}"))
    });
    assert_eq!(books(world), [29_800, 180, 10_000]);
    assert_eq!((world.balance(&less.1), world.balance(&more.1)), (-40, 20));
    let wallets = world.propose("li", less.0, Kind::Adjust, None).unwrap_err();
    assert!(wallets.to_string().contains("write_off"), "{wallets}");
    world.decide(less.0, Kind::WriteOff, None);
    world.decide(more.0, Kind::WriteOff, None);
    assert_eq!((world.balance(&less.1), world.balance(&more.1)), (0, 0));
    assert_eq!(world.balance("writeoff"), -20);
    assert_eq!(books(world), [29_800, 180, 10_000]);
}

fn what_is_not_paid_out_in_time_is_said_until_it_is(world: &World) {
    days_with_trade(world, D1, D4);
    say(world, D2, "W1", 9_940);
    // Of D2 on nothing is paid out; T+3.
    for of in [D5, "2026-03-14"] {
        world.now(&format!("{} 10:00:00", day(of).plus(1)));
        world.bill(of, &[]);
        world.run(of);
    }
    catch_up(world);
    assert_eq!(open(world), [format!("due since {D2}: 9940 0")]);
    // More of it is late every day: it is as old as its first.
    world.now("2026-03-16 02:00:00");
    let grown = format!("due since {D2}: {} 0", 2 * 9_940);
    world.bill("2026-03-15", &[]);
    world.run("2026-03-15");
    catch_up(world);
    assert_eq!(open(world), [grown]);
    let mut row = world.query(
        "SELECT since, day FROM discrepancy WHERE closed_at IS NULL AND scope = $1",
        vec![scope_of(CHANNEL).into()],
    );
    let (since, of_now) = (row[0].text(0).unwrap(), row[0].text(1).unwrap());
    assert_eq!((since.as_str(), of_now.as_str()), ("2026-03-14", "2026-03-15"));
    world.now("2026-03-16 10:00:00");
    say(world, "2026-03-15", "W2", 3 * 9_940);
    catch_up(world);
    assert_eq!(open(world), Vec::<String>::new(), "all of it came");
}

fn a_payout_that_comes_late_is_of_the_first_day_that_is_not_final_and_of_none_twice(world: &World) {
    days_with_trade(world, D1, D3);
    say(world, D2, "W1", 9_940);
    night(world, "2026-03-13 01:00:00");
    assert_eq!(status(world, D3), Some(Status::Final));
    assert_eq!(books(world), [9_940, 60, 20_000]);
    // It was of a day that is final: it is told of the next, and held against what was due of D2 alone.
    say(world, D3, "W2", 9_940);
    days_with_trade(world, D4, D4);
    catch_up(world);
    assert_eq!(books(world), [9_940, 60, 30_000]);
    assert_eq!(open(world), Vec::<String>::new());
    days_with_trade(world, D5, D5);
    night(world, "2026-03-15 01:00:00");
    assert_eq!(status(world, D4), Some(Status::Final));
    assert_eq!(books(world), [19_880, 120, 30_000]);
    // And the next, which comes late too, of D3 and D4: none of the days before them is due once more, nor are their fees.
    say(world, D5, "W3", 19_880);
    days_with_trade(world, "2026-03-14", "2026-03-15");
    night(world, "2026-03-17 01:00:00");
    assert_eq!(open(world), Vec::<String>::new());
    assert_eq!(books(world), [39_760, 240, 30_000]);
}

fn a_payout_that_comes_late_has_its_night_too(world: &World) {
    days_with_trade(world, D1, D2);
    say(world, D2, "W1", 9_940);
    night(world, "2026-03-12 01:00:00");
    assert_eq!(status(world, D2), Some(Status::Final));
    days_with_trade(world, D3, D3);
    // D3 may be final from 01:00 on. What is said at five past is seen until the next night.
    world.now("2026-03-13 00:30:00");
    world.run(D3);
    world.now("2026-03-13 01:05:00");
    say(world, D2, "W2", 9_940);
    world.run(D3);
    catch_up(world);
    assert_eq!(status(world, D3), Some(Status::Provisional));
    // A clock that was years ahead does not keep it open.
    world.execute(
        "UPDATE payout SET decided_at = $1 WHERE reference = 'W2'",
        vec![(1_i64 << 43).into()],
    );
    night(world, "2026-03-14 01:00:00");
    assert_eq!(status(world, D3), Some(Status::Final));
    assert_eq!(open(world), [format!("{D3} W2: 0 9940")], "D1 was paid before");
    assert_eq!(books(world), [19_880, 60, 20_000]);
}

fn the_same_number_on_two_days_is_two_payouts(world: &World) {
    days_with_trade(world, D1, D3);
    account_bill(world, D2, "W1", 9_940);
    account_bill(world, D3, "W1", 9_940);
    night(world, "2026-03-13 01:00:00");
    let posted = world.query("SELECT day, reference, amount FROM payout_posted ORDER BY day", vec![]);
    assert_eq!(posted.len(), 2, "{posted:?}");
    assert_eq!(books(world), [19_880, 120, 10_000]);
    assert_eq!(open(world), Vec::<String>::new());
}

fn what_went_back_leaves_the_bank_and_is_due_with_the_next(world: &World) {
    days_with_trade(world, D1, D4);
    say(world, D2, "W1", 9_940);
    say(world, D3, "W1-back", -9_940);
    catch_up(world);
    let back = format!("{D3} W1-back back: 0 -9940");
    assert_eq!(open(world), std::slice::from_ref(&back));
    night(world, "2026-03-14 01:00:00");
    assert_eq!(status(world, D4), Some(Status::Final));
    assert_eq!(books(world), [0, 60, 39_940], "what the channel kept it kept");
    assert_eq!(open(world), [back], "it is owed still, and in no suspense");
    // With what was due since.
    days_with_trade(world, D5, D5);
    say(world, D5, "W2", 4 * 9_940);
    catch_up(world);
    assert_eq!(open(world), Vec::<String>::new());
    night(world, "2026-03-15 01:00:00");
    assert_eq!(books(world), [39_760, 240, 10_000]);
}

fn a_bill_that_comes_after_people_have_said_so_has_the_last_word_in_the_books_too(world: &World) {
    days_with_trade(world, D1, D3);
    say(world, D2, "W1", 9_940);
    night(world, "2026-03-13 01:00:00");
    assert_eq!(books(world), [9_940, 60, 20_000]);
    // The channel says that it was less; by another of its numbers.
    account_bill(world, D2, "C1", 9_000);
    days_with_trade(world, D4, D4);
    catch_up(world);
    let less = format!("{D4} C1: 9940 9000");
    assert_eq!(
        open(world),
        std::slice::from_ref(&less),
        "what people had said is taken back"
    );
    night(world, "2026-03-14 01:00:00");
    assert_eq!(books(world), [9_000, 60, 30_000], "as the channel says");
    assert_eq!(open(world), [less]);
}

fn a_payout_that_was_typed_wrong_and_is_corrected_differs_no_more(world: &World) {
    days_with_trade(world, D1, D3);
    say(world, D2, "W1", 994);
    night(world, "2026-03-13 01:00:00");
    let wrong = format!("{D2} W1: 9940 994");
    assert_eq!(open(world), std::slice::from_ref(&wrong));
    assert_eq!(books(world), [994, 60, 20_000], "the rest is in suspense");
    // The account's bill says what it was, and then once more something else.
    account_bill(world, D2, "W1", 9_000);
    days_with_trade(world, D4, D4);
    catch_up(world);
    assert_eq!(open(world), [format!("{D2} W1: 9940 9000")], "the same row");
    night(world, "2026-03-14 01:00:00");
    assert_eq!(books(world), [9_000, 60, 30_000]);
    world.execute("UPDATE bill_fund SET amount = -9940", vec![]);
    world.execute(
        "UPDATE bill_file SET id = id + 1000 WHERE format = 'wechat_fund'",
        vec![],
    );
    world.execute("UPDATE bill_fund SET file = file + 1000", vec![]);
    days_with_trade(world, D5, D5);
    catch_up(world);
    assert_eq!(open(world), Vec::<String>::new());
    night(world, "2026-03-15 01:00:00");
    assert_eq!(books(world), [9_940, 60, 40_000]);
    let suspense = world.query(
        "SELECT name FROM account WHERE kind IN ('short', 'long') AND balance <> 0",
        vec![],
    );
    assert_eq!(suspense.len(), 0, "{suspense:?}");
}

fn what_was_taken_back_and_said_anew_is_corrected_where_it_was_held_last(world: &World) {
    days_with_trade(world, D1, D3);
    account_bill(world, D2, "W1", 9_940);
    night(world, "2026-03-13 01:00:00");
    assert_eq!(books(world), [9_940, 60, 20_000]);
    // The bill is withdrawn, and comes again.
    world.execute(
        "UPDATE bill_file SET state = 'left' WHERE format = 'wechat_fund'",
        vec![],
    );
    days_with_trade(world, D4, D4);
    night(world, "2026-03-14 01:00:00");
    assert_eq!(open(world), [format!("{D4} W1 back: 0 -9940")]);
    assert_eq!(books(world), [0, 60, 39_940]);
    account_bill(world, D2, "W1", 9_940);
    days_with_trade(world, D5, D5);
    night(world, "2026-03-15 01:00:00");
    let late = |fen: i64| format!("due since {D2}: {fen} 0");
    assert_eq!(open(world), [late(9_940)], "what went back came again");
    assert_eq!(books(world), [9_940, 60, 40_000]);
    // It was less: that is said of what was held on D5, where it came into the books.
    let files = "UPDATE bill_file SET id = id + 1000 WHERE format = 'wechat_fund' AND state = 'imported'";
    world.execute(
        "UPDATE bill_fund SET amount = -9900, file = file + 1000 WHERE file IN (SELECT id FROM bill_file WHERE state = 'imported')",
        vec![],
    );
    world.execute(files, vec![]);
    days_with_trade(world, "2026-03-14", "2026-03-14");
    catch_up(world);
    assert_eq!(open(world), [late(9_940), format!("{D5} W1: 9940 9900")]);
}

fn two_at_once_book_each_payout_once(world: &World) {
    days_with_trade(world, D1, D4);
    say(world, D2, "W1", 9_940);
    say(world, D3, "W2", 9_930);
    say(world, D4, "W3", 9_940);
    world.now("2026-03-14 01:00:00");
    world.run(D4);
    let payouts = Payouts {
        db: world.db.clone(),
        clock: Arc::clone(&world.clock) as Arc<dyn Clock>,
    };
    wait(async {
        let days = || payouts.catch_up(CHANNEL, "a test");
        let all = tokio::join!(days(), days(), days());
        for one in [all.0, all.1, all.2] {
            match one {
                // One who comes while days are done finds them done, or leaves them.
                Ok(_) | Err(NotRun::Left | NotRun::Running(_)) => {}
                Err(other) => panic!("{other}"),
            }
        }
    });
    catch_up(world);
    assert_eq!(open(world), [format!("{D3} W2: 9940 9930")]);
    let posted = world.query("SELECT amount FROM payout_posted", vec![]);
    assert_eq!(posted.len(), 3, "{posted:?}");
    assert_eq!(books(world), [29_810, 180, 10_000], "and 0.10 is in suspense");
    let runs = "SELECT 1 FROM run WHERE scope = $1 AND status = 'running'";
    assert_eq!(world.query(runs, vec![scope_of(CHANNEL).into()]).len(), 0);
}

fn the_last_payouts_are_booked_by_themselves(world: &World) {
    days_with_trade(world, D1, D2);
    say(world, D2, "W1", 9_940);
    night(world, "2026-03-11 10:00:00");
    assert_eq!(books(world), [0, 0, 20_000]);
    // Nothing new comes of the channel, neither a bill nor a payout.
    night(world, "2026-03-12 01:00:00");
    assert_eq!(books(world), [9_940, 60, 10_000]);
    assert_eq!(
        wait(Nightly(world.reconciler.clone()).look()).unwrap(),
        0,
        "all is done"
    );
}

fn nothing_is_said_while_the_channels_own_days_are_being_done(world: &World) {
    days_with_trade(world, D1, D3);
    say(world, D3, "W1", 19_880);
    world.execute(
        "UPDATE run SET status = 'replaced' WHERE day = $1 AND status = 'provisional'",
        vec![D3.into()],
    );
    assert_eq!(catch_up(world), 0);
    assert_eq!(status(world, D3), None);
    world.run(D3);
    assert!(catch_up(world) > 0);
    assert_eq!(open(world), Vec::<String>::new());
}

fn two_people_say_what_was_paid_out_each_number_once(world: &World) {
    world.now("2026-03-11 10:00:00");
    let propose = |by: &'static str, payout: Payout| world.money(by, move |money| money.propose_payout(payout));
    let approve = |by: &'static str, id: &'static str| world.money(by, move |money| money.approve_payout(id));
    let reject = |by: &'static str, id: &'static str| world.money(by, move |money| money.reject_payout(id));
    propose("anna", payout(D2, "W1", 500)).unwrap();
    let again = propose("bert", payout(D2, "W1", 700));
    assert!(matches!(again, Err(Refused::PaidOut { .. })), "{again:?}");
    let own = approve("anna", "payout-2026-03-10-W1");
    assert!(matches!(own, Err(Refused::SamePerson { .. })), "{own:?}");
    let unknown = approve("bert", "payout-W9");
    assert!(matches!(unknown, Err(Refused::UnknownPayout(_))), "{unknown:?}");
    approve("bert", "payout-2026-03-10-W1").unwrap();
    let twice = reject("carl", "payout-2026-03-10-W1");
    assert!(matches!(twice, Err(Refused::PayoutDecided { .. })), "{twice:?}");
    // One that was rejected may be said anew.
    propose("anna", payout(D2, "W2", 5)).unwrap();
    reject("anna", "payout-2026-03-10-W2").unwrap();
    let anew = Payout {
        id: "payout-anew".to_owned(),
        ..payout(D2, "W2", 50)
    };
    propose("anna", anew).unwrap();
}

fn what_cannot_have_been_paid_out_is_refused(world: &World) {
    let refused = |channel: &str, of: &str| {
        let payout = Payout {
            channel: channel.to_owned(),
            ..payout(of, "W1", 500)
        };
        world
            .money("anna", move |money| money.propose_payout(payout))
            .unwrap_err()
    };
    world.now("2026-03-20 10:00:00");
    for of in ["2026-03-08", "2026-03-21"] {
        let why = refused(CHANNEL, of);
        assert!(matches!(why, Refused::PayoutDay { .. }), "{of}: {why:?}");
    }
    world.change(|channel| channel.bills = None);
    assert!(matches!(refused(CHANNEL, D2), Refused::NoSuchBills(_)));
    // What the channel says itself people need not, and under another number it would count twice.
    world.channel("wechat", Biller::Wechat, "Asia/Shanghai", 3);
    let bill = fund_bill(D2, &[("W9", -300)]);
    world
        .import("wechat", day(D2), Format::WechatFund, bill.as_bytes())
        .unwrap();
    for of in [D2, D5] {
        let why = refused("wechat", of);
        assert!(matches!(why, Refused::PaidByBill { .. }), "{why:?}");
    }
    let far = Payout {
        channel: "wechat".to_owned(),
        ..payout("2026-03-14", "W1", 500)
    };
    world.money("anna", move |money| money.propose_payout(far)).unwrap();
}

/// The bill of the channel's account of a day has come, and says what was paid out: a channel whose trade bills are CSV has none, so it is
/// written as the importer writes it.
fn account_bill(world: &World, of: &str, reference: &str, fen: i64) {
    world.execute(
        "INSERT INTO bill_file (id, channel, format, day, sha256, bytes, lines, income, outgo, fees, state, alive_until, made_at, made_by) \
         SELECT MAX(id) + 1, $3, 'wechat_fund', $1, $1, 1, 1, 0, $4, 0, 'imported', 0, $2, 'test' FROM bill_file",
        vec![of.into(), world.clock.wall().0.into(), CHANNEL.into(), fen.into()],
    );
    world.execute(
        "INSERT INTO bill_fund (file, line, channel, kind, ref, out_no, number, amount, status, at, name) \
         SELECT MAX(id), 1, $1, 'payout', $2, '', 'F1', -CAST($3 AS BIGINT), '', 0, '' FROM bill_file",
        vec![CHANNEL.into(), reference.into(), fen.into()],
    );
}

/// WeChat's bill of the account with movements: number and amount, below zero what went out.
fn fund_bill(of: &str, movements: &[(&str, i64)]) -> String {
    let mut bill = "\u{feff}记账时间,微信支付业务单号,资金流水单号,业务名称,业务类型,收支类型,收支金额(元),账户结余(元),资金变更提交申请人,备注,业务凭证号\n".to_owned();
    let (mut count, mut sums) = ([0, 0], [0, 0]);
    for (n, (reference, fen)) in movements.iter().enumerate() {
        let (at, way) = if *fen < 0 { (1, "支出") } else { (0, "收入") };
        (count[at], sums[at]) = (count[at] + 1, sums[at] + fen.abs());
        let amount = yuan(fen.abs());
        writeln!(
            bill,
            "`{of} 09:00:00,`{reference},`F{n},`提现,`提现,`{way},`{amount},`0.00,`system,`,`{reference}"
        )
        .unwrap();
    }
    let [income, outgo] = sums.map(yuan);
    writeln!(
        bill,
        "资金流水总笔数,收入笔数,收入金额,支出笔数,支出金额\n`{},`{},`{income},`{},`{outgo}",
        movements.len(),
        count[0],
        count[1]
    )
    .unwrap();
    bill
}
