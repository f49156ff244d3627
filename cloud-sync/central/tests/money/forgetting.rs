//! Head office's database, or a station, was restored from a copy: nothing is spent twice, and what was lost is paid by
//! `restore:…`, by name.

use crate::{
    bench::*,
    company::{Company, ME, RUN, callback, id},
    on_both,
};
use central::{
    ingest::Taken,
    money::{Credited, LongCredit, Refused},
    store::{StoreError, Tx, identity, ledger, sites},
    upkeep,
};
use domain::{
    fact::Fact,
    head_office::{HqEpoch, Voucher},
    ids::SiteId,
    site::{Input, Rejected},
    units::Fen,
};

on_both! {
    money_of_a_directive_that_was_forgotten_comes_out_of_the_wallet_and_wallets_are_frozen
    what_the_wallet_has_not_is_owed_by_the_restore_by_name
    a_credit_of_a_forgotten_top_up_repays_what_the_restore_has_paid_before_the_wallet_gets_the_rest
    a_long_is_credited_once_whether_the_callback_or_the_person_is_first
    another_life_of_head_offices_takes_back_what_the_one_before_has_on_the_road
    a_branch_that_is_accepted_has_what_arrived_on_the_other_on_the_road_again
    a_voucher_that_was_taken_on_the_branch_that_was_left_is_taken_by_no_restored_one_and_comes_back
    a_voucher_that_two_boxes_with_one_disk_have_taken_is_credited_once
    a_voucher_that_one_of_two_boxes_with_one_disk_has_taken_comes_back_where_the_other_lives
    rule_21_on_a_disk_that_is_lost_is_lost_what_was_journaled_after_the_last_acknowledgement
    rule_21_after_a_restore_of_head_office_is_lost_what_the_restore_has_paid
}

/// Head office's database forgets everything that it has issued to a site: it is that of before.
fn forget(company: &Company, n: usize) {
    let site = company.site(n);
    let forgotten = company.write(move |tx| {
        let issues = tx.query(
            "SELECT id, member, rest FROM issue WHERE site = $1 AND state = 'on_road'",
            &[site.as_str().into()],
        )?;
        for mut issue in issues {
            let (name, of, rest) = (issue.text(0)?, issue.text(1)?, issue.int(2)?);
            let of = of.parse().map_err(|_| StoreError::Broken("a member".to_owned()))?;
            ledger::book(
                tx,
                &[ledger::Movement {
                    id: format!("forgotten:{name}"),
                    debit: ledger::transit(&site, &of),
                    credit: ledger::wallet(&of),
                    amount: Fen(rest),
                    code: "TEST",
                    at: domain::time::Wall(1),
                    ..ledger::Movement::default()
                }],
            )?;
        }
        for table in ["issue", "directive", "directive_row"] {
            tx.execute(&format!("DELETE FROM {table} WHERE site = $1"), &[site.as_str().into()])?;
        }
        Ok(())
    });
    forgotten.unwrap();
    company.check();
}

fn leased(company: &Company, n: usize, who: &str, amount: &str) {
    let (site, who, amount) = (company.site(n), id(who), yuan(amount));
    company.may(move |money| money.lease(&who, &site, amount)).unwrap();
}

fn money_of_a_directive_that_was_forgotten_comes_out_of_the_wallet_and_wallets_are_frozen(mut company: Company) {
    company.member("w", "50");
    leased(&company, 0, "w", "20");
    company.down(0);
    forget(&company, 0);
    assert_eq!(company.wallet("w"), yuan("50"));
    company.up(0);
    assert_eq!((company.wallet("w"), company.there(0, "w")), (yuan("30"), yuan("20")));
    let site = company.site(0);
    let refused = company
        .may(move |money| money.lease(&id("w"), &site, yuan("1")))
        .unwrap_err();
    assert!(matches!(refused, Refused::AllFrozen(why) if why.contains("site A")));
    company.check_equal();
}

fn what_the_wallet_has_not_is_owed_by_the_restore_by_name(mut company: Company) {
    company.member("w", "50");
    leased(&company, 0, "w", "20");
    company.down(0);
    forget(&company, 0);
    // Spent elsewhere, before head office knows.
    leased(&company, 1, "w", "45");
    company.up(0);
    assert_eq!(company.wallet("w"), Fen::ZERO);
    assert_eq!(company.balance("restore:A:w"), Fen::ZERO - yuan("15"));
    company.check_equal();
}

fn long(reference: &str, transaction: &str, amount: &str) -> LongCredit {
    LongCredit {
        channel: "wechat".to_owned(),
        reference: reference.to_owned(),
        transaction: transaction.to_owned(),
        member: id("w"),
        amount: yuan(amount),
    }
}

fn a_credit_of_a_forgotten_top_up_repays_what_the_restore_has_paid_before_the_wallet_gets_the_rest(
    mut company: Company,
) {
    company.member("w", "50");
    leased(&company, 0, "w", "20");
    leased(&company, 1, "w", "10");
    company.down(0);
    company.down(1);
    forget(&company, 0);
    forget(&company, 1);
    // Spent elsewhere, before head office knows.
    leased(&company, 2, "w", "47");
    company.settle();
    let restores = |company: &Company| (company.balance("restore:A:w"), company.balance("restore:B:w"));
    let owed = |fen: &str| Fen::ZERO - yuan(fen);
    assert_eq!(restores(&company), (owed("17"), owed("10")));
    let credit = |of: LongCredit| company.may(move |money| money.credit_long(&of)).unwrap();
    assert_eq!(credit(long("T-1", "tx-1", "20")), Credited::Now(id("w")));
    assert_eq!(restores(&company), (Fen::ZERO, owed("7")));
    assert_eq!(
        company.wallet("w"),
        Fen::ZERO,
        "it had been spent before it was forgotten"
    );
    assert_eq!(credit(long("T-2", "tx-2", "20")), Credited::Now(id("w")));
    assert_eq!(
        (restores(&company), company.wallet("w")),
        ((Fen::ZERO, Fen::ZERO), yuan("13"))
    );
    assert_eq!(credit(long("T-3", "tx-3", "5")), Credited::Now(id("w")));
    assert_eq!(company.wallet("w"), yuan("18"));
    // With what the member had paid in before.
    assert_eq!(company.balance("clearing:wechat"), owed("95"));
    company.check_equal();
}

fn a_long_is_credited_once_whether_the_callback_or_the_person_is_first(mut company: Company) {
    company.member("w", "0");
    company.member("v", "0");
    let credit = |of: LongCredit| company.may(move |money| money.credit_long(&of));
    let call = |reference: &'static str, transaction: &'static str| {
        company.money(move |money| money.called_back(&callback(reference, transaction, yuan("50"))))
    };
    let asked = company.may(|money| money.ask_top_up(&id("w"), "wechat", "T-1", yuan("50")));
    asked.unwrap();
    assert_eq!(credit(long("T-1", "tx-1", "50")), Ok(Credited::Now(id("w"))));
    assert_eq!(credit(long("T-1", "tx-1", "50")), Ok(Credited::Before));
    assert_eq!(call("T-1", "tx-1"), Credited::Before);
    assert_eq!(call("T-2", "tx-2"), Credited::Unknown);
    assert_eq!(credit(long("T-2", "tx-2", "50")), Ok(Credited::Now(id("w"))));
    assert_eq!(
        call("T-2", "tx-2"),
        Credited::Before,
        "the credit is the top-up that nobody had asked for"
    );
    let asked = company.may(|money| money.ask_top_up(&id("w"), "wechat", "T-3", yuan("50")));
    asked.unwrap();
    assert_eq!(call("T-3", "tx-3"), Credited::Now(id("w")));
    assert_eq!(credit(long("T-3", "tx-3", "50")), Ok(Credited::Before));
    let of_another = LongCredit {
        member: id("v"),
        ..long("T-3", "tx-4", "50")
    };
    assert_eq!(credit(of_another), Err(Refused::OtherTopUp("T-3".to_owned())));
    assert_eq!((company.wallet("w"), company.wallet("v")), (yuan("150"), Fen::ZERO));
    assert_eq!(company.balance("clearing:wechat"), Fen::ZERO - yuan("150"));
}

fn another_life_of_head_offices_takes_back_what_the_one_before_has_on_the_road(mut company: Company) {
    company.member("w", "50");
    company.stations[0].is_cut = true;
    leased(&company, 0, "w", "20");
    let card = domain::ids::CardId::new("c9").unwrap();
    company.may(move |money| money.put_card(&card, Some(&id("w")))).unwrap();
    let now = company.now();
    let epoch = company
        .write(move |tx| {
            let epoch = identity::begin_anew(tx, now)?;
            identity::freeze(tx, None)?;
            Ok(epoch)
        })
        .unwrap();
    company.settle();
    assert_eq!((company.wallet("w"), company.on_road("w")), (yuan("30"), yuan("20")));
    company.stations[0].bench.ok(Input::HeadOfficeSeen(epoch));
    company.stations[0].is_cut = false;
    company.settle();
    assert_eq!(
        (company.wallet("w"), company.on_road("w"), company.there(0, "w")),
        (yuan("50"), Fen::ZERO, Fen::ZERO)
    );
    let forgotten = company.directives(0);
    let mut forgotten = forgotten.iter().filter(|told| told.kind == "lease");
    assert_eq!(forgotten.next().unwrap().state.word(), "forgotten");
    let card = domain::ids::CardId::new("c9").unwrap();
    let bound = company.stations[0].bench.disk.cards.get(&card).cloned().flatten();
    assert!(bound.is_some(), "what carries no money is told again");
    leased(&company, 0, "w", "10");
    company.settle();
    assert_eq!(company.there(0, "w"), yuan("10"), "numbers count from 1 again");
    company.check_equal();
}

fn accept(tx: &mut dyn Tx, site: &SiteId, now: domain::time::Wall) -> Result<HqEpoch, StoreError> {
    let branch = sites::find(tx, site)?.unwrap().branch;
    let others = central::store::branches::others(tx, site, branch)?;
    let place = others.first().unwrap().head;
    upkeep::fork::accept(tx, ME, site, place, now)?.unwrap();
    Ok(sites::find(tx, site)?.unwrap().hq_epoch.unwrap())
}

fn a_branch_that_is_accepted_has_what_arrived_on_the_other_on_the_road_again(mut company: Company) {
    company.member("w", "50");
    company.settle();
    let copy = company.stations[0].bench.facts.len();
    leased(&company, 0, "w", "20");
    company.settle();
    assert_eq!(company.there(0, "w"), yuan("20"));
    company.stations[0].restored(copy, "e2", true);
    let batches = company.stations[0].batches();
    for batch in batches {
        assert!(matches!(company.takes(0, batch), Taken::Stopped { .. }));
    }
    let (site, now) = (company.site(0), company.now());
    let epoch = company.write(move |tx| accept(tx, &site, now)).unwrap();
    company.check();
    assert_eq!(
        (company.wallet("w"), company.on_road("w"), company.there(0, "w")),
        (yuan("30"), yuan("20"), Fen::ZERO)
    );
    company.stations[0].bench.ok(Input::HeadOfficeSeen(epoch));
    company.settle();
    assert_eq!((company.wallet("w"), company.on_road("w")), (yuan("50"), Fen::ZERO));
    leased(&company, 0, "w", "10");
    company.settle();
    assert_eq!((company.wallet("w"), company.there(0, "w")), (yuan("40"), yuan("10")));
    assert_eq!(
        company.balance("restore:A"),
        Fen::ZERO,
        "all of it was on the other branch alone"
    );
    company.check_equal();
}

/// A voucher of 20.00 for station A, whose line is cut; shown to whichever run of its journal.
fn vouchered(company: &Company) -> Voucher {
    let (site, ends) = (company.site(0), company.now().after_ms(3_600_000));
    let made = company.may(move |money| money.voucher(&id("w"), &site, yuan("20"), ends, "v1".to_owned()));
    made.unwrap().voucher
}

fn shown(voucher: &Voucher, run: &str) -> Input {
    Input::TakeVoucher {
        voucher: Box::new(voucher.clone()),
        epoch: run.to_owned(),
    }
}

/// What the other branch of station A has journaled comes up, and head office keeps it aside.
fn offered(company: &mut Company) {
    for batch in company.stations[0].batches() {
        assert!(matches!(company.takes(0, batch), Taken::Stopped { .. }));
    }
}

fn accepted(company: &Company) {
    let (site, now) = (company.site(0), company.now());
    company.write(move |tx| accept(tx, &site, now)).unwrap();
    company.check();
}

fn a_voucher_that_was_taken_on_the_branch_that_was_left_is_taken_by_no_restored_one_and_comes_back(
    mut company: Company,
) {
    company.member("w", "50");
    let voucher = vouchered(&company);
    company.settle();
    let copy = company.stations[0].bench.facts.len();
    company.stations[0].bench.ok(shown(&voucher, RUN));
    company.settle();
    assert_eq!((company.there(0, "w"), company.on_road("w")), (yuan("20"), Fen::ZERO));

    company.stations[0].restored(copy, "e2", true);
    let rejected = |company: &mut Company| company.stations[0].bench.refused(shown(&voucher, "e2"));
    assert_eq!(rejected(&mut company), Rejected::VoucherBeforeRestore);
    offered(&mut company);
    accepted(&company);
    assert_eq!(rejected(&mut company), Rejected::VoucherBeforeRestore);
    let had = |company: &Company| (company.wallet("w"), company.on_road("w"), company.there(0, "w"));
    company.settle();
    // Its journal says that it was restored, and that closes all vouchers of before: the mark itself is not waited for.
    assert_eq!(had(&company), (yuan("50"), Fen::ZERO, Fen::ZERO));
    company.stations[0].bench.ok(Input::CloseVouchers {
        certainly: voucher.expires_at,
    });
    company.settle();
    assert_eq!(had(&company), (yuan("50"), Fen::ZERO, Fen::ZERO), "once");
    assert_eq!(company.balance("restore:A"), Fen::ZERO);
    company.check_equal();
}

fn a_voucher_that_two_boxes_with_one_disk_have_taken_is_credited_once(mut company: Company) {
    company.member("w", "50");
    let voucher = vouchered(&company);
    company.settle();
    let copy = company.stations[0].bench.facts.len();
    company.stations[0].bench.ok(shown(&voucher, RUN));
    company.settle();
    company.stations[0].cloned(copy);
    company.stations[0].bench.advance(1_000);
    company.stations[0].bench.ok(shown(&voucher, RUN));
    offered(&mut company);
    assert_eq!((company.wallet("w"), company.on_road("w")), (yuan("30"), Fen::ZERO));
    accepted(&company);
    company.settle();
    assert_eq!(
        (company.wallet("w"), company.on_road("w"), company.there(0, "w")),
        (yuan("30"), Fen::ZERO, yuan("20"))
    );
    company.stations[0].bench.ok(Input::CloseVouchers {
        certainly: voucher.expires_at,
    });
    company.settle();
    assert_eq!(company.wallet("w"), yuan("30"), "what was taken does not come back");
    assert_eq!(company.balance("restore:A"), Fen::ZERO);
    company.check_equal();
}

fn a_voucher_that_one_of_two_boxes_with_one_disk_has_taken_comes_back_where_the_other_lives(mut company: Company) {
    company.member("w", "50");
    let voucher = vouchered(&company);
    company.settle();
    let copy = company.stations[0].bench.facts.len();
    company.stations[0].bench.ok(shown(&voucher, RUN));
    company.settle();
    company.stations[0].cloned(copy);
    company.stations[0].bench.advance(1_000);
    company.stations[0].bench.ok(Input::TopUp {
        member: id("m"),
        amount: yuan("1"),
        receipt: "R-1".to_owned(),
        by: "desk".to_owned(),
    });
    offered(&mut company);
    accepted(&company);
    assert_eq!((company.wallet("w"), company.on_road("w")), (yuan("30"), yuan("20")));
    company.settle();
    let rejected = company.stations[0].bench.refused(shown(&voucher, RUN));
    assert_eq!(
        rejected,
        Rejected::OtherHqEpoch,
        "another life of head office's speaks to the branch that lives"
    );
    assert_eq!(
        (company.wallet("w"), company.on_road("w"), company.there(0, "w")),
        (yuan("50"), Fen::ZERO, Fen::ZERO)
    );
    company.check_equal();
}

/// Nine tenths of what can be lost is lost somewhere, and never more than all of it.
fn is_reached(lost: Fen, bound: Fen) {
    assert!(lost <= bound, "{lost} are lost, and {bound} can be");
    assert!(bound > Fen::ZERO && lost.0 * 10 >= bound.0 * 9, "{lost} of {bound}");
}

fn rule_21_on_a_disk_that_is_lost_is_lost_what_was_journaled_after_the_last_acknowledgement(mut company: Company) {
    company.member("w", "50");
    leased(&company, 0, "w", "40");
    company.settle();
    let acknowledged = company.stations[0].bench.facts.len();
    company.stations[0].is_cut = true;
    let order = company.stations[0].bench.place("w", "P1", "20");
    company.begin(0, "P1", &order);
    company.end(0, "P1", &order, "18");
    let bench = &company.stations[0].bench;
    let delivered = bench.order(&order).paid.charged();
    let after = &bench.facts[acknowledged..];
    let bound: Fen = after
        .iter()
        .map(|(_, fact)| match fact {
            Fact::OrderSettled { payment, .. } => payment.from_hold.total() + payment.from_allowance.total(),
            _ => Fen::ZERO,
        })
        .sum();
    // Another disk, with a copy that ends where head office is: the driver has the energy, and the money as well.
    company.stations[0].restored(acknowledged, "e2", true);
    company.stations[0].is_cut = false;
    company.settle();
    let lost = company.worth("w") - (yuan("50") - delivered);
    is_reached(lost, bound);
    company.check_equal();
}

fn rule_21_after_a_restore_of_head_office_is_lost_what_the_restore_has_paid(mut company: Company) {
    company.member("w", "50");
    leased(&company, 0, "w", "45");
    company.down(0);
    forget(&company, 0);
    // The copy still has it in the wallet, from where it goes to another site.
    leased(&company, 1, "w", "50");
    company.settle();
    let restore = company.balance("restore:A:w");
    let mut delivered = Fen::ZERO;
    for n in [0, 1] {
        let order = company.stations[n].bench.place("w", "P1", "20");
        company.begin(n, "P1", &order);
        company.end(n, "P1", &order, "18");
        delivered += company.stations[n].bench.order(&order).paid.charged();
    }
    company.settle();
    assert!(delivered > yuan("20"), "{delivered}");
    let had = company.worth("w") + delivered;
    is_reached(had - yuan("50"), Fen::ZERO - restore);
    company.check_equal();
}
