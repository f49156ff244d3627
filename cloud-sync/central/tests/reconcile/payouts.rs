//! What a channel has paid out against what was due of its bills: each difference once, and its books once the day is final.

use crate::{
    on_both,
    world::{CHANNEL, World, day, paid, wait, yuan},
};
use central::{
    bills::{Biller, Format},
    desk::Clock,
    money::{Money, Refused},
    reconcile::{
        days::through,
        nightly::Nightly,
        payouts::{Payouts, scope_of},
    },
    store::{
        ledger,
        payouts::Payout,
        proposed::State,
        reconcile_runs::{self as runs, Status},
    },
};
use domain::{time::Wall, units::Fen};
use std::{fmt::Write as _, sync::Arc};

on_both! {
    what_was_due_is_paid_out_and_leaves_the_channels_account
    what_is_paid_out_short_is_named_once_and_not_again_with_the_next
    what_is_not_paid_out_in_time_is_said_until_it_is
    a_payout_that_comes_after_its_day_is_final_is_of_the_first_that_is_not
    two_people_say_what_was_paid_out_and_a_bill_has_the_last_word
}

const D1: &str = "2026-03-09";
const D2: &str = "2026-03-10";
const D3: &str = "2026-03-11";
const D4: &str = "2026-03-12";

/// On each of some days 100.00 is paid in, of which the channel keeps 0.60.
fn days_with_trade(world: &World, last: &str) {
    for (n, of) in through(day(D1), day(last)).enumerate() {
        let (reference, out_no, of) = (format!("T{n}"), format!("our{n}"), of.to_string());
        world.credit(&reference, &out_no, 10_000, &format!("{of} 12:00:00"));
        world.now(&format!("{} 10:00:00", day(&of).plus(1)));
        world.bill(&of, &[paid(&reference, &out_no, 10_000)]);
        world.run(&of);
    }
}

/// Both people say that the bank has got it.
fn say(world: &World, of: &str, reference: &str, fen: i64) {
    let payout = payout(of, reference, fen);
    let id = payout.id.clone();
    let now = world.clock.wall();
    wait(world.db.write(move |tx| {
        Money::new(tx, now, "anna").propose_payout(payout)?.unwrap();
        Money::new(tx, now, "bert").approve_payout(&id)?.unwrap();
        Ok(())
    }))
    .unwrap();
}

fn payout(of: &str, reference: &str, fen: i64) -> Payout {
    Payout {
        id: format!("payout-{reference}"),
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

/// What is open of payouts: the row, what was due, what was paid.
fn open(world: &World) -> Vec<String> {
    let rows = world.query(
        "SELECT ref, ours, theirs, of_day FROM discrepancy WHERE scope = $1 AND closed_at IS NULL ORDER BY id",
        vec![scope_of(CHANNEL).into()],
    );
    let said = |mut row: central::store::Row| {
        let (reference, ours, theirs) = (row.text(0).unwrap(), row.int(1).unwrap(), row.int(2).unwrap());
        format!("{reference}: {ours} {theirs}")
    };
    rows.into_iter().map(said).collect()
}

fn balance(world: &World, name: &str) -> i64 {
    let name = name.to_owned();
    wait(world.db.read(move |tx| ledger::balance(tx, &name))).unwrap().0
}

fn status(world: &World, of: &str) -> Option<Status> {
    let (scope, of) = (scope_of(CHANNEL), day(of));
    let found = wait(world.db.read(move |tx| runs::counting(tx, &scope, of))).unwrap();
    found.into_iter().find(|run| run.day == of).map(|run| run.status)
}

fn what_was_due_is_paid_out_and_leaves_the_channels_account(world: &World) {
    days_with_trade(world, D3);
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
    assert_eq!(
        (status(world, D3), balance(world, "bank")),
        (Some(Status::Provisional), 0)
    );
    // A night later the days are final, and it is booked: once.
    world.now("2026-03-14 01:00:00");
    for _ in 0..2 {
        world.run(D3);
        catch_up(world);
        assert_eq!(status(world, D3), Some(Status::Final));
        assert_eq!(balance(world, "bank"), -19_880);
        assert_eq!(balance(world, &format!("fee:{CHANNEL}")), -120);
        assert_eq!(
            balance(world, &format!("clearing:{CHANNEL}")),
            20_000,
            "of both days nothing is left there"
        );
    }
}

fn what_is_paid_out_short_is_named_once_and_not_again_with_the_next(world: &World) {
    days_with_trade(world, D4);
    say(world, D2, "W1", 9_900);
    say(world, D3, "W2", 9_940);
    catch_up(world);
    assert_eq!(open(world), ["W1: 9940 9900"]);
    say(world, D4, "W3", 9_960);
    catch_up(world);
    assert_eq!(open(world), ["W1: 9940 9900", "W3: 9940 9960"]);
}

fn what_is_not_paid_out_in_time_is_said_until_it_is(world: &World) {
    days_with_trade(world, D4);
    say(world, D2, "W1", 9_940);
    // Of D2 on nothing is paid out; T+3.
    for of in ["2026-03-13", "2026-03-14", "2026-03-15"] {
        world.now(&format!("{} 10:00:00", day(of).plus(1)));
        world.bill(of, &[]);
        world.run(of);
    }
    catch_up(world);
    // It is said by what is overdue now, and stays one.
    assert_eq!(open(world), [format!("due since {D2}: 19880 0")]);
    world.now("2026-03-17 10:00:00");
    world.bill("2026-03-16", &[]);
    world.run("2026-03-16");
    say(world, "2026-03-16", "W2", 3 * 9_940);
    catch_up(world);
    assert_eq!(open(world), Vec::<String>::new(), "all of it came");
}

fn a_payout_that_comes_after_its_day_is_final_is_of_the_first_that_is_not(world: &World) {
    days_with_trade(world, D3);
    say(world, D2, "W1", 9_940);
    world.now("2026-03-14 01:00:00");
    world.run(D3);
    catch_up(world);
    assert_eq!(status(world, D3), Some(Status::Final));
    let before = balance(world, "bank");
    // It says that it was of the day that is final: it is of the next.
    say(world, D3, "W2", 9_940);
    world.now("2026-03-14 10:00:00");
    world.bill(D4, &[]);
    world.run(D4);
    catch_up(world);
    assert_eq!(
        (status(world, D3), balance(world, "bank")),
        (Some(Status::Final), before)
    );
    // With D4 it is held against what was due of D2 and D3.
    assert_eq!(open(world), ["W2: 19880 9940"]);
    world.now("2026-03-16 01:00:00");
    world.run(D4);
    catch_up(world);
    assert_eq!(
        (status(world, D4), balance(world, "bank")),
        (Some(Status::Final), before - 9_940)
    );
}

fn two_people_say_what_was_paid_out_and_a_bill_has_the_last_word(world: &World) {
    let now = world.clock.wall();
    let by = |who: &'static str,
              work: fn(&mut Money<'_>) -> Result<Result<Payout, Refused>, central::store::StoreError>| {
        wait(world.db.write(move |tx| work(&mut Money::new(tx, now, who)))).unwrap()
    };
    by("anna", |money| money.propose_payout(payout(D2, "W1", 500))).unwrap();
    let again = by("bert", |money| money.propose_payout(payout(D2, "W1", 700)));
    assert!(matches!(again, Err(Refused::PaidOut { .. })), "{again:?}");
    let own = by("anna", |money| money.approve_payout("payout-W1"));
    assert!(matches!(own, Err(Refused::SamePerson { .. })), "{own:?}");
    let unknown = by("bert", |money| money.approve_payout("payout-W9"));
    assert!(matches!(unknown, Err(Refused::UnknownPayout(_))), "{unknown:?}");
    by("bert", |money| money.approve_payout("payout-W1")).unwrap();
    let twice = by("carl", |money| money.reject_payout("payout-W1"));
    assert!(matches!(twice, Err(Refused::PayoutDecided { .. })), "{twice:?}");
    // One that was rejected may be said anew.
    by("anna", |money| money.propose_payout(payout(D2, "W2", 5))).unwrap();
    by("anna", |money| money.reject_payout("payout-W2")).unwrap();
    let anew = Payout {
        id: "payout-anew".to_owned(),
        ..payout(D2, "W2", 50)
    };
    wait(
        world
            .db
            .write(move |tx| Money::new(tx, now, "anna").propose_payout(anew)),
    )
    .unwrap()
    .unwrap();
    // A channel whose account's bills come here: what these say of a number counts.
    world.channel("wechat", Biller::Wechat, "Asia/Shanghai", 3);
    world.now("2026-03-11 10:00:00");
    world
        .import(
            "wechat",
            day(D2),
            Format::WechatFund,
            fund_bill(D2, "W9", 300).as_bytes(),
        )
        .unwrap();
    let said = Payout {
        channel: "wechat".to_owned(),
        ..payout(D2, "W9", 299)
    };
    wait(world.db.write(move |tx| {
        Money::new(tx, now, "anna").propose_payout(said)?.unwrap();
        Money::new(tx, now, "bert").approve_payout("payout-W9")
    }))
    .unwrap()
    .unwrap();
    let counted = wait(
        world
            .db
            .read(|tx| central::store::payouts::between(tx, "wechat", day(D1), day(D3))),
    )
    .unwrap();
    let counted: Vec<(String, i64)> = counted.into_iter().map(|of| (of.reference, of.amount.0)).collect();
    assert_eq!(counted, [("W9".to_owned(), 300)]);
    // By itself, as at night.
    let nightly = Nightly(world.reconciler.clone());
    wait(nightly.look()).unwrap();
}

/// WeChat's bill of the account with one payout.
fn fund_bill(of: &str, reference: &str, fen: i64) -> String {
    let mut bill = "\u{feff}记账时间,微信支付业务单号,资金流水单号,业务名称,业务类型,收支类型,收支金额(元),账户结余(元),资金变更提交申请人,备注,业务凭证号\n".to_owned();
    let amount = yuan(fen);
    writeln!(
        bill,
        "`{of} 09:00:00,`{reference},`F1,`提现,`提现,`支出,`{amount},`0.00,`system,`,`{reference}"
    )
    .unwrap();
    writeln!(
        bill,
        "资金流水总笔数,收入笔数,收入金额,支出笔数,支出金额\n`1,`0,`0.00,`1,`{amount}"
    )
    .unwrap();
    bill
}
