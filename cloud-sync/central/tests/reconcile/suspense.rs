//! Where the money of discrepancies is: each row's own, once, and back where there was no difference after all; and who holds which rows.

use crate::{
    on_both,
    workflow::{callback, code, long, m},
    world::{CHANNEL, Line, World, day, paid, refunded, wait},
};
use central::{
    money::{Credited, Many, Money, Propose},
    reconcile::{days::through, funds::scope_of, stake::Kind, words::Class},
    store::{
        StoreError,
        discrepancies::{self, Discrepancy, State as Stands},
        discrepancy_decisions as decisions, members, reconcile_runs as runs, topups,
    },
};
use domain::units::Fen;
use std::collections::BTreeSet;

on_both! {
    what_is_open_on_a_final_day_is_in_suspense_by_itself
    what_was_decided_of_other_values_is_taken_back_and_decided_anew
    each_row_has_its_own_at_stake_whatever_becomes_of_its_neighbours
    a_long_of_which_some_was_given_back_is_credited_whole_and_the_refund_is_taken_from_the_wallet
    what_was_spent_for_other_values_stands_in_nobodys_way
    what_was_written_off_for_other_values_goes_back_before_anything_else_is_decided
    what_was_decided_is_open_in_no_total_and_comes_back_with_what_explains_it
}

const D1: &str = "2026-03-09";
const D2: &str = "2026-03-10";
const D3: &str = "2026-03-11";
const D4: &str = "2026-03-12";
const LATER: &str = "2026-03-20 10:00:00";

fn what_is_open_on_a_final_day_is_in_suspense_by_itself(world: &World) {
    world.has_members();
    world.pays("s", "S", 800, D1);
    world.now(LATER);
    let payment = paid("x", "X", 500);
    world.bill(D1, std::slice::from_ref(&payment));
    for day in [D2, D3, D4] {
        world.bill(day, &[]);
    }
    world.run(D4);
    world.now("2026-03-21 10:00:00");
    world.run(D4);
    let (long, short) = (world.the(Class::Long), world.the(Class::Short));
    assert_eq!(
        world.accounts(),
        [
            ("clearing:bank".to_owned(), -500),
            (format!("long:bank:{}", long.id), 500),
            (format!("short:bank:{}", short.id), -800),
            ("wallet:m1".to_owned(), 800),
        ]
    );
    // The payer got it back by the channel: nothing is too much any more.
    world.bill("2026-03-13", &[refunded(&payment, "r", 500)]);
    world.run("2026-03-13");
    assert_eq!(world.balance(&format!("long:bank:{}", long.id)), 0);
    assert_eq!(world.unpaid(), 0);
}

fn what_was_decided_of_other_values_is_taken_back_and_decided_anew(world: &World) {
    world.has_members();
    world.now(&format!("{D1} 11:00:00"));
    let asked = world.money("test", |money| money.ask_top_up(&m("m1"), CHANNEL, "T", Fen(500)));
    asked.unwrap();
    world.now(LATER);
    world.bill(D1, &[paid("t", "T", 700)]);
    world.run(D1);
    let rows = world.query("SELECT id FROM discrepancy", vec![]);
    let id = rows.into_iter().next().unwrap().count(0).unwrap();
    world.decide(id, Kind::WriteOff, None);
    assert_eq!(world.balance("writeoff"), 700);
    // Its callback comes after all, and says less.
    world.money(CHANNEL, |money| money.called_back(&callback("t", "T", 500)));
    world.now("2026-03-21 10:00:00");
    world.run("2026-03-20");
    assert_eq!(
        (world.balance("writeoff"), world.balance("wallet:m1"), world.unpaid()),
        (0, 500, -500),
        "the gain was of another difference"
    );
    assert_eq!(world.the(Class::Amount).state, Stands::Open);
}

/// The discrepancy of a class about this row.
fn of(world: &World, class: Class, reference: &str) -> Discrepancy {
    let row = world.query(
        "SELECT id FROM discrepancy WHERE class = $1 AND ref = $2",
        vec![class.code().into(), reference.into()],
    );
    assert_eq!(row.len(), 1, "{class:?} {reference}");
    world.again(row.into_iter().next().unwrap().count(0).unwrap())
}

fn withdraw(world: &World, of: &str) {
    world.execute(
        "UPDATE bill_file SET state = 'left', alive_until = 0 WHERE day = $1",
        vec![of.into()],
    );
}

fn each_row_has_its_own_at_stake_whatever_becomes_of_its_neighbours(world: &World) {
    let id = long(world).id;
    let payment = paid("x", "X", 500);
    let said = |status: &'static str, reference: &str, fen: i64| Line {
        status,
        ..refunded(&payment, reference, fen)
    };
    let done = refunded(&payment, "r", 200);
    world.bill(
        D2,
        &[
            done.clone(),
            done,
            said("CHANGE", "r2", 300),
            said("PROCESSING", "r3", 300),
            refunded(&payment, "r4", 400),
        ],
    );
    world.run(D2);
    // The payment, what was given back of it, the same again, and more than was paid: what failed or is under way has moved nothing.
    let stakes = [
        (Class::Long, "x", 500),
        (Class::Short, "r", -200),
        (Class::Duplicate, "r", -200),
        (Class::OverRefund, "r4", -400),
    ];
    for (class, reference, stake) in stakes {
        let decided = world.decide(of(world, class, reference).id, Kind::WriteOff, None);
        assert_eq!(decided.stake, Fen(stake), "{class:?}");
    }
    let net = 500 - 200 - 200 - 400;
    assert_eq!((world.balance("writeoff"), world.unpaid()), (net, -net));
    // The refunds were another's: what was decided of the payment stands.
    withdraw(world, D2);
    world.bill(D2, &[]);
    world.run(D2);
    assert_eq!((world.balance("writeoff"), world.unpaid()), (500, -500));
    assert_eq!(world.again(id).state, Stands::Posted);
    assert_eq!(of(world, Class::Short, "r").state, Stands::Cleared);
    // And where they are all of it, there is nothing left on either side.
    withdraw(world, D2);
    world.bill(D2, &[refunded(&payment, "r", 200), refunded(&payment, "r5", 300)]);
    world.run(D2);
    assert_eq!(world.accounts(), []);
}

fn a_long_of_which_some_was_given_back_is_credited_whole_and_the_refund_is_taken_from_the_wallet(world: &World) {
    let id = long(world).id;
    let payment = paid("x", "X", 500);
    world.bill(D2, &[refunded(&payment, "r", 200)]);
    world.run(D2);
    let refund = of(world, Class::Short, "r").id;
    let nobody = world.propose("li", refund, Kind::Adjust, None).unwrap_err();
    assert_eq!(code(&nobody), "nobody_credited");
    let decided = world.decide(id, Kind::Credit, None);
    assert_eq!((decided.stake, world.balance("wallet:m1")), (Fen(500), 500));
    world.decide(refund, Kind::Adjust, None);
    let books = [("clearing:bank".to_owned(), -300), ("wallet:m1".to_owned(), 300)];
    assert_eq!(world.accounts(), books);
    for of in ["2026-03-20", "2026-03-21"] {
        world.now(&format!("{} 10:00:00", day(of).plus(1)));
        world.run(of);
        let open = world.discrepancies_of(CHANNEL);
        assert!(open.iter().all(|open| open.starts_with("FILE_MISSING")), "{open:?}");
        assert_eq!(world.accounts(), books, "nothing else is found of either");
    }
}

fn what_was_spent_for_other_values_stands_in_nobodys_way(world: &World) {
    world.has_members();
    world.now(&format!("{D1} 11:00:00"));
    let asked = world.money("test", |money| money.ask_top_up(&m("m1"), CHANNEL, "T", Fen(500)));
    asked.unwrap();
    world.now(LATER);
    for day in [D2, D3, D4] {
        world.bill(day, &[]);
    }
    world.bill(D1, &[paid("t", "T", 700)]);
    world.run(D1);
    let id = world.the(Class::Amount).id;
    world.decide(id, Kind::Credit, None);
    assert_eq!(world.balance("wallet:m1"), 700);
    // The bill was another one, and is the right one now: less was paid than was credited.
    withdraw(world, D1);
    world.bill(D1, &[paid("t", "T", 650)]);
    world.now("2026-03-21 10:00:00");
    for day in through(day("2026-03-13"), day("2026-03-20")) {
        world.bill(&day.to_string(), &[]);
    }
    world.run("2026-03-20");
    let found = world.again(id);
    assert_eq!((found.state, found.is_matched), (Stands::Open, true));
    let short = format!("short:bank:{id}");
    assert_eq!(
        (world.balance(&short), world.unpaid()),
        (0, -700),
        "its day is not final yet"
    );
    world.now("2026-03-22 10:00:00");
    world.run("2026-03-20");
    assert_eq!((world.balance(&short), world.unpaid()), (-50, -650));
    world.decide(id, Kind::Adjust, None);
    assert_eq!(
        world.accounts(),
        [("clearing:bank".to_owned(), -650), ("wallet:m1".to_owned(), 650)]
    );
}

fn what_was_written_off_for_other_values_goes_back_before_anything_else_is_decided(world: &World) {
    let id = long(world).id;
    world.decide(id, Kind::WriteOff, None);
    // A run has just said that it is another amount, and nothing was taken back yet.
    world.execute(
        "UPDATE discrepancy SET state = 'open', closed_at = NULL, amount = 400, theirs = 400",
        vec![],
    );
    let decided = world.decide(id, Kind::WriteOff, None);
    assert_eq!((decided.no, decided.stake), (2, Fen(400)));
    assert_eq!(
        world.accounts(),
        [("clearing:bank".to_owned(), -400), ("writeoff".to_owned(), 400)]
    );
}

/// What a run says of a class: new, cleared, written off, open.
fn flow(world: &World, of: &str, class: &str) -> [i64; 4] {
    let totals = world.totals(of);
    let flow = totals.classes.get(class).copied().unwrap_or_default();
    [flow.new, flow.cleared, flow.written_off, flow.closing].map(|sum| sum.amount.0)
}

fn what_was_decided_is_open_in_no_total_and_comes_back_with_what_explains_it(world: &World) {
    world.has_members();
    world.now(&format!("{D1} 11:00:00"));
    let asked = world.money("test", |money| money.ask_top_up(&m("m1"), CHANNEL, "X", Fen(500)));
    asked.unwrap();
    world.pays("s", "S", 800, D1);
    world.now("2026-03-13 10:00:00");
    world.bill(D1, &[paid("x", "X", 500)]);
    for day in [D2, D3, D4] {
        world.bill(day, &[]);
    }
    world.run(D4);
    assert_eq!(flow(world, D4, "funds LONG"), [0, 0, 0, 500]);
    assert_eq!(flow(world, D4, "funds SHORT"), [800, 0, 0, 800]);
    // Both are decided on the thirteenth.
    world.decide(world.the(Class::Long).id, Kind::WriteOff, None);
    world.decide(world.the(Class::Short).id, Kind::Adjust, None);
    let thirteenth = "2026-03-13";
    world.now("2026-03-14 10:00:00");
    world.bill(thirteenth, &[]);
    assert_eq!(flow(world, thirteenth, "funds LONG"), [0, 0, 500, 0]);
    assert_eq!(flow(world, thirteenth, "funds SHORT"), [0, 800, 0, 0]);
    assert_eq!(
        flow(world, D4, "funds LONG"),
        [0, 0, 0, 500],
        "the day before is as it was"
    );
    let totals = world.totals(thirteenth);
    let (payments, credits) = (totals.payments, totals.credits);
    assert_eq!((payments.written_off.amount, payments.closing.count), (Fen(500), 0));
    assert_eq!((credits.cleared.amount, credits.closing.count), (Fen(800), 0));
    // The callback comes after all, and on the next day the line of the other.
    world.money(CHANNEL, |money| money.called_back(&callback("x", "X", 500)));
    world.now("2026-03-15 10:00:00");
    world.bill("2026-03-14", &[paid("s", "S", 800)]);
    assert_eq!(flow(world, "2026-03-14", "funds LONG"), [0, 500, -500, 0]);
    assert_eq!(flow(world, "2026-03-14", "funds SHORT"), [0, 0, 0, 0]);
    let totals = world.totals("2026-03-14");
    assert_eq!(totals.payments.written_off.amount, Fen(-500));
    assert_eq!((world.balance("writeoff"), world.unpaid()), (0, -1_300));
    assert_eq!(world.balance("wallet:m1"), 1_300);
}

/// Waits until somebody waits for a lock in this database.
fn somebody_waits(tx: &mut dyn central::store::Tx) -> Result<(), StoreError> {
    let waiting =
        "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    for _ in 0..6_000 {
        if tx.query(waiting, &[])?[0].int(0)? > 0 {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("nobody waits");
}

/// A callback holds its top-up and its member; a second person approves a credit to the same; then the callback looks for the discrepancy.
#[test]
fn whoever_holds_several_rows_holds_them_in_one_order() {
    let world = World::postgresql();
    let id = long(&world).id;
    world.propose("li", id, Kind::Credit, None).unwrap();
    let now = central::desk::Clock::wall(&*world.clock);
    let (held, holds) = tokio::sync::oneshot::channel();
    let callback = world.db.write(move |tx| {
        topups::hold(tx, CHANNEL, "X")?;
        members::hold(tx, &m("m1"))?;
        held.send(()).unwrap();
        somebody_waits(tx)?;
        decisions::hold(tx, id)
    });
    let approval = async {
        holds.await.unwrap();
        world
            .db
            .write(move |tx| Money::new(tx, now, "zhao").approve_for(id))
            .await
    };
    let (callback, approval) = wait(async { tokio::join!(callback, approval) });
    callback.unwrap();
    approval.unwrap().unwrap();
    assert_eq!(world.balance("wallet:m1"), 500);
}

/// A callback credits the payment under another number of ours, while a second person approves its credit.
#[test]
fn a_second_word_that_comes_a_moment_too_late_is_refused_and_leaves_nothing() {
    let world = World::postgresql();
    let id = long(&world).id;
    world.propose("li", id, Kind::Credit, None).unwrap();
    let asked = world.money("test", |money| money.ask_top_up(&m("w"), CHANNEL, "Y", Fen(500)));
    asked.unwrap();
    let now = central::desk::Clock::wall(&*world.clock);
    let (credited, credits) = tokio::sync::oneshot::channel();
    let callback = world.db.write(move |tx| {
        let said = Money::new(tx, now, CHANNEL).called_back(&callback("x", "Y", 500))?;
        credited.send(()).unwrap();
        somebody_waits(tx)?;
        Ok(said)
    });
    let approval = async {
        credits.await.unwrap();
        world
            .db
            .write(move |tx| Money::new(tx, now, "zhao").approve_for(id))
            .await
    };
    let (callback, approval) = wait(async { tokio::join!(callback, approval) });
    assert_eq!(callback.unwrap(), Credited::Now(m("w")));
    assert_eq!(code(&approval.unwrap().unwrap_err()), "credited_meanwhile");
    assert_eq!(
        world.accounts(),
        [("clearing:bank".to_owned(), -500), ("wallet:w".to_owned(), 500)]
    );
    assert_eq!(world.again(id).state, Stands::Proposed);
}

/// One process takes back what no run finds any more; another one begins a day anew.
#[test]
fn no_run_begins_while_what_was_found_is_followed_up() {
    let world = World::postgresql();
    let id = long(&world).id;
    world.decide(id, Kind::WriteOff, None);
    let now = central::desk::Clock::wall(&*world.clock);
    let (held, holds) = tokio::sync::oneshot::channel();
    let (ended, ends) = std::sync::mpsc::channel();
    let follows = world.db.write(move |tx| {
        let scope = format!("channel:{CHANNEL}");
        runs::hold(tx, &scope)?;
        assert!(runs::is_all_found(tx, &scope, (day(D1), day(D1)))?);
        held.send(()).unwrap();
        ends.recv().unwrap();
        Money::new(tx, now, "head office").take_back_suspense(&scope_of(CHANNEL), 0)
    });
    let begins = async {
        holds.await.unwrap();
        let begun = world.db.write(move |tx| {
            tx.execute("SET LOCAL lock_timeout = '100ms'", &[])?;
            let scope = format!("channel:{CHANNEL}");
            runs::begin(tx, &scope, day(D1), "{}", "another", now)?;
            tx.execute("DELETE FROM verdict", &[])
        });
        let begun = begun.await;
        ended.send(()).unwrap();
        begun
    };
    let (follows, begun) = wait(async { tokio::join!(follows, begins) });
    assert!(matches!(begun, Err(StoreError::Unavailable(_))), "{begun:?}");
    follows.unwrap();
    assert_eq!(world.balance("writeoff"), 500);
}

/// Many are approved together while the channel calls back about the same, all at once and in another order, and a run is followed up.
#[test]
fn approvals_callbacks_and_runs_at_once_stand_in_nobodys_way_and_credit_each_once() {
    const LONGS: i64 = 24;
    let world = World::postgresql();
    world.has_members();
    world.now(&format!("{D1} 11:00:00"));
    let whose = |n: i64| if n % 2 == 0 { "m1" } else { "w" };
    for n in 0..LONGS {
        let asked = world.money("test", move |money| {
            money.ask_top_up(&m(whose(n)), CHANNEL, &format!("X{n}"), Fen(100 + n))
        });
        asked.unwrap();
    }
    world.now(LATER);
    let lines = (0..LONGS).map(|n| paid(&format!("x{n}"), &format!("X{n}"), 100 + n));
    world.bill(D1, &lines.collect::<Vec<_>>());
    world.run(D1);
    world.now("2026-03-21 10:00:00");
    world.run(D1);
    let ids: BTreeSet<u64> = (0..LONGS)
        .map(|n| of(&world, Class::Long, &format!("x{n}")).id)
        .collect();
    let credit = Many::Propose(Propose {
        kind: Kind::Credit,
        member: None,
        reason: "as the channel's log says".to_owned(),
    });
    let all = ids.clone();
    let proposed = world.money("li", move |money| money.do_all(&credit, &all));
    assert!(proposed.iter().all(|(_, done)| done.is_ok()), "{proposed:?}");
    assert_eq!(world.unpaid(), -total(LONGS), "all of it is in suspense");

    let now = central::desk::Clock::wall(&*world.clock);
    let approvals = world
        .db
        .write(move |tx| Money::new(tx, now, "zhao").do_all(&Many::Approve, &ids));
    let callbacks = world.db.write(move |tx| {
        let said: Vec<_> = (0..LONGS)
            .rev()
            .map(|n| callback(&format!("x{n}"), &format!("X{n}"), 100 + n))
            .collect();
        Money::new(tx, now, CHANNEL).called_back_together(&said)
    });
    let follows = async {
        for _ in 0..5 {
            let followed = world.db.write(move |tx| {
                let scope = format!("channel:{CHANNEL}");
                runs::hold(tx, &scope)?;
                discrepancies::bring_over(tx, &scope, "test", now)?;
                let mut money = Money::new(tx, now, "head office");
                money.take_back_suspense(&scope_of(CHANNEL), 0)?;
                money.park_final(&scope_of(CHANNEL), 0)
            });
            followed.await?;
        }
        Ok::<_, StoreError>(())
    };
    let (approvals, callbacks, follows) = wait(async { tokio::join!(approvals, callbacks, follows) });
    let (approved, called) = (approvals.unwrap(), callbacks.unwrap());
    follows.unwrap();
    let approved = approved.iter().filter(|(_, done)| done.is_ok()).count();
    let called = called.iter().filter(|said| matches!(said, Credited::Now(_))).count();
    assert_eq!(approved + called, usize::try_from(LONGS).unwrap());
    let wallets = world.balance("wallet:m1") + world.balance("wallet:w");
    assert_eq!((wallets, world.unpaid()), (total(LONGS), -total(LONGS)));
    assert_eq!(world.accounts().len(), 3, "{:?}", world.accounts());
}

/// What so many lines come to.
fn total(longs: i64) -> i64 {
    (0..longs).map(|n| 100 + n).sum()
}
