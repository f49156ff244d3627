//! Money is given back for orders: by one person or two, never more than was paid, and in the wallet only once the order's site has marked it.

use crate::{
    bench::*,
    company::{Company, ME, id},
    on_both,
};
use central::{
    ingest::Taken,
    money::{Decide, Refused, Wanted},
    store::{
        bill_decisions,
        findings::{self, Class, Filter},
        inbox, ledger, refunds,
        refunds::{Refund, State as Stands},
    },
    upkeep,
};
use domain::{
    ids::OrderId,
    order::State,
    policy::Policy,
    site::{Decision, Input},
    units::Fen,
};

on_both! {
    rule_22_a_refund_is_in_the_wallet_only_once_its_site_has_marked_it
    rule_22_a_refund_that_crosses_a_correction_goes_back_and_the_row_says_why
    rule_22_under_review_nothing_is_given_back_on_either_side
    rule_23_never_more_than_was_paid_over_all_refunds_of_an_order
    rule_24_an_estimate_is_refundable_once_its_remainder_is_released_and_a_later_record_counts_the_refund
    what_was_never_charged_or_is_a_sites_own_members_is_not_refundable
    above_a_limit_over_all_refunds_of_an_order_it_takes_two_people
    rule_4_a_mark_that_the_database_has_forgotten_opens_the_refund_again
    a_mark_of_a_branch_that_was_left_is_made_again_and_paid_once
    rule_19_a_refund_pays_what_the_member_owes_first
    what_a_later_bill_makes_too_much_people_see_and_nothing_is_paid_by_itself
    a_site_that_is_closed_gives_back_what_was_put_aside_for_its_orders
    rule_20_what_is_missing_of_a_top_up_typed_wrong_people_see
    a_review_that_both_sides_decide_is_the_sites
    a_bill_beyond_one_person_is_set_by_two_and_not_over_a_later_one
}

const LIMIT: Fen = Fen(5_000);

/// Whose order costs 3.00: 3 kWh at the first station.
fn paid(company: &mut Company, who: &str, order: &str) -> OrderId {
    let order = company.charge(0, who, "P1", "5", order);
    company.end(0, "P1", &order, "3");
    company.settle();
    assert_eq!(company.stations[0].bench.state(&order), State::Payed);
    assert_eq!(company.stations[0].bench.order(&order).paid.charged(), yuan("3"));
    order
}

/// People look at every order of the first station's that costs more than 2.00.
fn looks_at_all(company: &mut Company) {
    let bench = &mut company.stations[0].bench;
    let policy = Policy {
        review_above: yuan("2"),
        ..bench.site.policy().clone()
    };
    bench.restart_as(policy, false);
    for pile in ["P1", "P2", "P3"] {
        bench.connect(pile);
    }
    bench.ok(Input::Line(true));
}

fn wanted(company: &Company, number: &str, order: &OrderId, amount: &str) -> Wanted {
    Wanted {
        id: number.to_owned(),
        site: company.site(0),
        order: order.clone(),
        amount: yuan(amount),
        reason: "the cable was short".to_owned(),
    }
}

fn refund(company: &Company, number: &str, order: &OrderId, amount: &str) -> Result<Refund, Refused> {
    let wanted = wanted(company, number, order, amount);
    company.may(move |money| money.refund(&wanted, LIMIT))
}

fn found(company: &Company, number: &str) -> Refund {
    let number = number.to_owned();
    company.read(move |tx| refunds::find(tx, &number)).unwrap()
}

/// What is put aside for an order.
fn due(company: &Company, order: &OrderId) -> Fen {
    company.balance(&ledger::refund_due(&company.site(0), order))
}

/// What the member was told of a refund, the newest first.
fn told(company: &Company, number: &str) -> Vec<String> {
    let all = company.read(|tx| inbox::list(tx, &id("w"), &inbox::Filter::default(), None, 100));
    let of_it = all
        .items
        .into_iter()
        .filter(|told| told.event.body.contains(&format!("\"{number}\"")));
    of_it.map(|told| told.event.kind).collect()
}

/// The classes of what people are to see.
fn seen(company: &Company) -> Vec<Class> {
    let found = company.read(|tx| findings::list(tx, &Filter::default(), None, 100));
    found.into_iter().map(|found| found.finding.class).collect()
}

fn rule_22_a_refund_is_in_the_wallet_only_once_its_site_has_marked_it(mut company: Company) {
    company.member("w", "50");
    let order = paid(&mut company, "w", "hq-1");
    assert_eq!(company.wallet("w"), yuan("47"));
    company.stations[0].is_cut = true;
    let approved = refund(&company, "r1", &order, "1").unwrap();
    assert_eq!(
        (approved.state, approved.decided_by.as_deref()),
        (Stands::Approved, Some("head office"))
    );
    company.pass(DAY);
    company.settle();
    assert_eq!((company.wallet("w"), due(&company, &order)), (yuan("47"), yuan("1")));
    assert_eq!(company.balance("refund"), Fen::ZERO - yuan("1"));
    company.stations[0].is_cut = false;
    company.settle();
    assert_eq!((company.wallet("w"), due(&company, &order)), (yuan("48"), Fen::ZERO));
    let row = company.stations[0].bench.order(&order);
    assert_eq!((row.paid.refunded, row.after_sales), (yuan("1"), true));
    let credited = found(&company, "r1");
    assert_eq!((credited.state, credited.marked), (Stands::Credited, true));
    company.check_equal();
}

fn rule_22_a_refund_that_crosses_a_correction_goes_back_and_the_row_says_why(mut company: Company) {
    company.member("w", "50");
    let order = paid(&mut company, "w", "hq-1");
    company.stations[0].is_cut = true;
    refund(&company, "r1", &order, "3").unwrap();
    let lower = Bench::correct_input(&order, "0.50", "0.50", "desk");
    company.stations[0].bench.ok(lower);
    company.stations[0].is_cut = false;
    company.settle();
    let refused = found(&company, "r1").state;
    assert!(
        matches!(&refused, Stands::Refused(why) if why.code == "too_much"),
        "{refused:?}"
    );
    assert_eq!(
        (company.wallet("w"), due(&company, &order), company.balance("refund")),
        (yuan("49"), Fen::ZERO, Fen::ZERO),
        "3 were paid, the bill is 1, and 2 are back: not 5"
    );
    assert_eq!(told(&company, "r1"), ["refund_not_made", "refund_approved"]);
    refund(&company, "r2", &order, "1.01").unwrap_err();
    refund(&company, "r3", &order, "1").unwrap();
    company.settle();
    assert_eq!(company.wallet("w"), yuan("50"));
    company.check_equal();
}

fn rule_22_under_review_nothing_is_given_back_on_either_side(mut company: Company) {
    company.member("w", "50");
    looks_at_all(&mut company);
    let order = company.charge(0, "w", "P1", "20", "hq-1");
    company.end(0, "P1", &order, "3");
    company.settle();
    assert_eq!(company.stations[0].bench.state(&order), State::Review);
    let refused = refund(&company, "r1", &order, "1").unwrap_err();
    assert_eq!(
        refused,
        Refused::NotRefundable {
            order: order.clone(),
            state: State::Review
        }
    );
    company.stations[0]
        .bench
        .ok(Bench::decide_input(&order, Decision::AsIs));
    company.settle();
    refund(&company, "r2", &order, "1").unwrap();
    company.settle();
    assert_eq!(found(&company, "r2").state, Stands::Credited);
    company.check_equal();
}

fn rule_23_never_more_than_was_paid_over_all_refunds_of_an_order(mut company: Company) {
    company.member("w", "50");
    let order = paid(&mut company, "w", "hq-1");
    company.stations[0].is_cut = true;
    refund(&company, "r1", &order, "2").unwrap();
    let refused = refund(&company, "r2", &order, "1.01").unwrap_err();
    assert_eq!(
        refused,
        Refused::RefundTooMuch {
            order: order.clone(),
            most: yuan("1")
        },
        "what is on its way counts"
    );
    refund(&company, "r3", &order, "1").unwrap();
    company.stations[0].is_cut = false;
    company.settle();
    let refused = refund(&company, "r4", &order, "0.01").unwrap_err();
    assert!(
        matches!(refused, Refused::RefundTooMuch { most: Fen::ZERO, .. }),
        "{refused:?}"
    );
    assert_eq!(
        (company.wallet("w"), company.balance("refund")),
        (yuan("50"), Fen::ZERO - yuan("3"))
    );
    // The database itself refuses more.
    let (site, of) = (company.site(0), order.clone());
    let counted = company.write(move |tx| refunds::count(tx, &site, &of, Fen(1))).unwrap();
    assert!(!counted);
    let broken = company.write(|tx| tx.execute("UPDATE order_refund SET total = total + 1", &[]));
    assert!(broken.is_err(), "{broken:?}");
    company.check_equal();
}

fn rule_24_an_estimate_is_refundable_once_its_remainder_is_released_and_a_later_record_counts_the_refund(
    mut company: Company,
) {
    company.member("w", "50");
    let order = company.charge(0, "w", "P1", "20", "hq-1");
    let started = company.stations[0].bench.now;
    company.stations[0].bench.deliver("P1", &order, 3 * HOUR, "1003");
    company.stations[0].bench.idle("P1");
    company.pass(30 * MINUTE);
    company.settle();
    let row = company.stations[0].bench.order(&order);
    assert_eq!(
        (row.state, row.estimated, row.paid.charged()),
        (State::Settle, true, yuan("3"))
    );
    let refused = refund(&company, "r1", &order, "1").unwrap_err();
    assert!(
        matches!(
            refused,
            Refused::NotRefundable {
                state: State::Settle,
                ..
            }
        ),
        "{refused:?}"
    );
    company.pass(DAY);
    company.settle();
    assert_eq!(company.stations[0].bench.state(&order), State::Payed);
    refund(&company, "r2", &order, "2").unwrap();
    company.settle();
    assert_eq!(
        (company.wallet("w"), found(&company, "r2").state),
        (yuan("49"), Stands::Credited)
    );
    // The record says 1 kWh: of the 2 too many only 1 was not given back.
    let bench = &mut company.stations[0].bench;
    let record = bench.record_since("P1", &order, started, "1000", "1001");
    bench.send_record("P1", &record);
    if bench.state(&order) == State::Review {
        bench.ok(Bench::decide_input(&order, Decision::AsIs));
    }
    company.settle();
    assert_eq!(company.wallet("w"), yuan("50"), "3 for 3, and not 4");
    company.check_equal();
}

fn what_was_never_charged_or_is_a_sites_own_members_is_not_refundable(mut company: Company) {
    company.member("w", "50");
    let open = company.charge(0, "w", "P1", "20", "hq-1");
    company.settle();
    let refused = refund(&company, "r1", &open, "1").unwrap_err();
    assert!(
        matches!(
            refused,
            Refused::NotRefundable {
                state: State::Charging,
                ..
            }
        ),
        "{refused:?}"
    );
    let bench = &mut company.stations[0].bench;
    let (own, begun) = bench.charge("m", "P2", "5");
    bench.advance(3 * HOUR);
    let record = bench.record_since("P2", &own, begun, "1000", "1002");
    bench.send_record("P2", &record);
    company.settle();
    let refused = refund(&company, "r2", &own, "1").unwrap_err();
    assert!(matches!(refused, Refused::SitesOwn { .. }), "{refused:?}");
    let unknown = refund(&company, "r3", &order_id("hq-9"), "1").unwrap_err();
    assert!(matches!(unknown, Refused::UnknownOrder { .. }), "{unknown:?}");
}

fn above_a_limit_over_all_refunds_of_an_order_it_takes_two_people(mut company: Company) {
    company.member("w", "50");
    let order = paid(&mut company, "w", "hq-1");
    let propose = |company: &Company, number: &str, amount: &str| {
        let wanted = wanted(company, number, &order, amount);
        company.may(move |money| money.refund(&wanted, yuan("1"))).unwrap()
    };
    assert_eq!(propose(&company, "r1", "1").state, Stands::Approved);
    let waits = propose(&company, "r2", "0.50");
    assert_eq!(
        (waits.state, waits.decided_by),
        (Stands::Proposed, None),
        "together it is 1.50"
    );
    let own = company.may(|money| money.approve_refund("r2")).unwrap_err();
    assert!(matches!(own, Refused::SamePerson { .. }), "{own:?}");
    company.settle();
    assert_eq!((company.wallet("w"), due(&company, &order)), (yuan("48"), Fen::ZERO));
    let approved = company.may_as("zhao", |money| money.approve_refund("r2")).unwrap();
    assert_eq!(
        (approved.state, approved.decided_by.as_deref()),
        (Stands::Approved, Some("zhao"))
    );
    let again = company.may_as("zhao", |money| money.approve_refund("r2")).unwrap_err();
    assert!(matches!(again, Refused::RefundDecided { .. }), "{again:?}");
    propose(&company, "r3", "0.10");
    let rejected = company
        .may_as("zhao", |money| money.reject_refund("r3", "he was late"))
        .unwrap();
    assert_eq!(rejected.state, Stands::Rejected("he was late".to_owned()));
    company.settle();
    assert_eq!((company.wallet("w"), due(&company, &order)), (yuan("48.50"), Fen::ZERO));
    // What waits is looked at again when it is approved.
    propose(&company, "r4", "1.50");
    propose(&company, "r5", "1.50");
    company.may_as("zhao", |money| money.approve_refund("r4")).unwrap();
    let over = company.may_as("zhao", |money| money.approve_refund("r5")).unwrap_err();
    assert!(
        matches!(over, Refused::RefundTooMuch { most: Fen::ZERO, .. }),
        "{over:?}"
    );
    company.settle();
    assert_eq!(company.wallet("w"), yuan("50"));
    company.check_equal();
}

fn rule_4_a_mark_that_the_database_has_forgotten_opens_the_refund_again(mut company: Company) {
    company.member("w", "50");
    let order = paid(&mut company, "w", "hq-1");
    refund(&company, "r1", &order, "2").unwrap();
    company.down(0);
    // Head office's database is that of before.
    let (site, of) = (company.site(0), order.clone());
    let forgotten = company.write(move |tx| {
        ledger::book(
            tx,
            &[ledger::Movement {
                id: "forgotten".to_owned(),
                debit: ledger::refund_due(&site, &of),
                credit: "refund".to_owned(),
                amount: yuan("2"),
                code: "TEST",
                at: domain::time::Wall(1),
                ..ledger::Movement::default()
            }],
        )?;
        for table in ["refund", "order_refund", "directive", "directive_row"] {
            tx.execute(&format!("DELETE FROM {table} WHERE site = $1"), &[site.as_str().into()])?;
        }
        Ok(())
    });
    forgotten.unwrap();
    company.check();
    company.up(0);
    let open = found(&company, "r1");
    assert_eq!(
        (open.state.clone(), open.marked, open.amount),
        (Stands::Proposed, true, yuan("2"))
    );
    assert_eq!(company.wallet("w"), yuan("47"), "nothing is paid by itself");
    assert!(seen(&company).contains(&Class::Forgotten));
    let more = refund(&company, "r2", &order, "1.01").unwrap_err();
    assert!(
        matches!(more, Refused::RefundTooMuch { .. }),
        "the site has counted it: {more:?}"
    );
    let rejected = company.may_as("zhao", |money| money.reject_refund("r1", "not again"));
    assert!(
        matches!(&rejected, Err(Refused::RefundMarked(_))),
        "the driver was told of it: {rejected:?}"
    );
    company.may_as("zhao", |money| money.approve_refund("r1")).unwrap();
    assert_eq!(
        (company.wallet("w"), company.balance("refund")),
        (yuan("49"), Fen::ZERO - yuan("2"))
    );
    assert_eq!(found(&company, "r1").state, Stands::Credited);
    company.check_equal();
}

fn a_mark_of_a_branch_that_was_left_is_made_again_and_paid_once(mut company: Company) {
    company.member("w", "50");
    let order = paid(&mut company, "w", "hq-1");
    let copy = company.stations[0].bench.facts.len();
    refund(&company, "r1", &order, "2").unwrap();
    company.settle();
    assert_eq!(company.wallet("w"), yuan("49"));
    company.stations[0].restored(copy, "e2", true);
    for batch in company.stations[0].batches() {
        assert!(matches!(company.takes(0, batch), Taken::Stopped { .. }));
    }
    let (site, now) = (company.site(0), company.now());
    let epoch = company.write(move |tx| {
        let branch = central::store::sites::find(tx, &site)?.unwrap().branch;
        let others = central::store::branches::others(tx, &site, branch)?;
        upkeep::fork::accept(tx, ME, &site, others.first().unwrap().head, now)?.unwrap();
        Ok(central::store::sites::find(tx, &site)?.unwrap().hq_epoch.unwrap())
    });
    company.check();
    assert!(!found(&company, "r1").marked, "the branch that lives has no mark");
    company.stations[0].bench.ok(Input::HeadOfficeSeen(epoch.unwrap()));
    company.settle();
    let row = company.stations[0].bench.order(&order);
    assert_eq!(
        (row.paid.refunded, row.refund_marks),
        (yuan("2"), vec!["r1".to_owned()])
    );
    let again = found(&company, "r1");
    assert_eq!((again.state, again.marked), (Stands::Credited, true));
    assert_eq!(
        (company.wallet("w"), company.balance("refund")),
        (yuan("49"), Fen::ZERO - yuan("2"))
    );
    company.check_equal();
}

fn rule_19_a_refund_pays_what_the_member_owes_first(mut company: Company) {
    company.member("w", "8");
    let first = paid(&mut company, "w", "hq-1");
    let second = company.charge(0, "w", "P1", "5", "hq-2");
    company.end(0, "P1", &second, "20");
    company.settle();
    let owed = company.stations[0].bench.debt("w");
    assert!(owed > yuan("3"), "{owed}");
    assert_eq!(company.wallet("w"), Fen::ZERO);
    refund(&company, "r1", &first, "3").unwrap();
    company.settle();
    assert_eq!(
        (company.wallet("w"), company.stations[0].bench.debt("w")),
        (Fen::ZERO, owed - yuan("3"))
    );
    // Of what is owed nothing was paid, and nothing can be given back.
    let row = company.stations[0].bench.order(&second);
    assert_eq!(row.state, State::Unpaid);
    let paid = row.paid.charged() - row.paid.debt;
    let refused = refund(&company, "r2", &second, &(paid + Fen(1)).to_string()).unwrap_err();
    assert_eq!(
        refused,
        Refused::RefundTooMuch {
            order: second,
            most: paid
        }
    );
    company.check_equal();
}

fn what_a_later_bill_makes_too_much_people_see_and_nothing_is_paid_by_itself(mut company: Company) {
    company.member("w", "50");
    let order = paid(&mut company, "w", "hq-1");
    refund(&company, "r1", &order, "2").unwrap();
    company.settle();
    let lower = Bench::correct_input(&order, "0.50", "0.50", "desk");
    company.stations[0].bench.ok(lower);
    company.settle();
    assert_eq!(company.wallet("w"), yuan("50"), "3 for 3, and not 4");
    assert_eq!(seen(&company), [Class::OverRefund]);
    let found = company.read(|tx| findings::list(tx, &Filter::default(), None, 100));
    let detail: serde_json::Value = serde_json::from_str(&found[0].finding.detail).unwrap();
    assert_eq!(
        (&detail["here"], &detail["site"]),
        (&"2.00".into(), &"1.00".into()),
        "what was given back, and what it cost"
    );
    company.check_equal();
}

fn a_site_that_is_closed_gives_back_what_was_put_aside_for_its_orders(mut company: Company) {
    company.member("w", "50");
    let order = paid(&mut company, "w", "hq-1");
    company.stations[0].is_cut = true;
    refund(&company, "r1", &order, "2").unwrap();
    let (of, now) = (company.site(0), company.now());
    company
        .write(move |tx| {
            let site = central::store::sites::find(tx, &of)?.unwrap();
            upkeep::closing::close(tx, ME, &site, now)
        })
        .unwrap();
    company.check();
    let state = found(&company, "r1").state;
    assert!(
        matches!(&state, Stands::Refused(why) if why.code == "site_closed"),
        "{state:?}"
    );
    assert_eq!(
        (company.wallet("w"), due(&company, &order), company.balance("refund")),
        (yuan("47"), Fen::ZERO, Fen::ZERO)
    );
    let gone = refund(&company, "r2", &order, "1").unwrap_err();
    assert!(matches!(gone, Refused::Gone(_)), "{gone:?}");
}

fn decide(company: &Company, number: &str, order: &OrderId, decision: Decision) -> Decide {
    Decide {
        id: number.to_owned(),
        site: company.site(0),
        order: order.clone(),
        decision,
        reason: "seen on the camera".to_owned(),
    }
}

fn outcome(company: &Company, number: &str) -> String {
    let (number, site) = (number.to_owned(), company.site(0));
    company.read(move |tx| {
        let found = bill_decisions::find(tx, &number)?.unwrap();
        let bill_decisions::State::Sent(no) = found.state else {
            return Ok(found.state.word().to_owned());
        };
        Ok(central::store::directives::find(tx, &site, no)?
            .unwrap()
            .state
            .word()
            .to_owned())
    })
}

fn a_review_that_both_sides_decide_is_the_sites(mut company: Company) {
    company.member("w", "50");
    looks_at_all(&mut company);
    let order = company.charge(0, "w", "P1", "20", "hq-1");
    company.end(0, "P1", &order, "3");
    company.settle();
    assert_eq!(company.stations[0].bench.state(&order), State::Review);
    company.stations[0].is_cut = true;
    let decision = decide(
        &company,
        "b1",
        &order,
        Decision::Corrected {
            electricity: yuan("1"),
            service: Fen::ZERO,
        },
    );
    company.may(move |money| money.decide_bill(&decision, LIMIT)).unwrap();
    company.stations[0]
        .bench
        .ok(Bench::decide_input(&order, Decision::AsIs));
    company.stations[0].is_cut = false;
    company.settle();
    assert_eq!(outcome(&company, "b1"), "refused");
    assert_eq!(company.wallet("w"), yuan("47"), "the bill is the station's");
    let again = decide(&company, "b2", &order, Decision::AsIs);
    let late = company.may(move |money| money.decide_bill(&again, LIMIT)).unwrap_err();
    assert!(
        matches!(
            late,
            Refused::NotDecidable {
                state: State::Payed,
                ..
            }
        ),
        "{late:?}"
    );
    // One that nobody at the station looks at head office decides.
    let other = company.charge(0, "w", "P1", "20", "hq-2");
    company.end(0, "P1", &other, "3");
    company.settle();
    let as_is = decide(&company, "b3", &other, Decision::AsIs);
    company.may(move |money| money.decide_bill(&as_is, LIMIT)).unwrap();
    company.settle();
    assert_eq!(
        (outcome(&company, "b3"), company.wallet("w")),
        ("done".to_owned(), yuan("44"))
    );
    company.check_equal();
}

fn a_bill_beyond_one_person_is_set_by_two_and_not_over_a_later_one(mut company: Company) {
    company.member("w", "50");
    let order = paid(&mut company, "w", "hq-1");
    let bill = |company: &Company, number: &str, electricity: &str| {
        let corrected = Decision::Corrected {
            electricity: yuan(electricity),
            service: Fen::ZERO,
        };
        let decide = decide(company, number, &order, corrected);
        company.may(move |money| money.decide_bill(&decide, yuan("1"))).unwrap();
    };
    bill(&company, "b1", "1.50");
    assert_eq!(outcome(&company, "b1"), "proposed");
    let own = company.may(|money| money.approve_decision("b1")).unwrap_err();
    assert!(matches!(own, Refused::SamePerson { .. }), "{own:?}");
    company.may_as("zhao", |money| money.approve_decision("b1")).unwrap();
    company.settle();
    assert_eq!(
        (outcome(&company, "b1"), company.wallet("w")),
        ("done".to_owned(), yuan("48.50"))
    );
    let row = company.stations[0].bench.order(&order);
    assert_eq!(row.bills.last().unwrap().approval.as_ref().unwrap().by, "zhao");
    bill(&company, "b2", "0.50");
    company.stations[0]
        .bench
        .ok(Bench::correct_input(&order, "2.50", "0", "desk"));
    company.settle();
    let over = company
        .may_as("zhao", |money| money.approve_decision("b2"))
        .unwrap_err();
    assert!(matches!(over, Refused::OtherBill { .. }), "{over:?}");
    company.may(|money| money.reject_decision("b2")).unwrap();
    assert_eq!(
        (outcome(&company, "b2"), company.wallet("w")),
        ("rejected".to_owned(), yuan("47.50"))
    );
    let done = company
        .may_as("zhao", |money| money.approve_decision("b2"))
        .unwrap_err();
    assert!(matches!(done, Refused::DecisionDecided { .. }), "{done:?}");
    company.check_equal();
}

fn rule_20_what_is_missing_of_a_top_up_typed_wrong_people_see(mut company: Company) {
    company.member("w", "50");
    let site = company.site(0);
    company
        .may(move |money| money.lease(&id("w"), &site, yuan("10")))
        .unwrap();
    company.settle();
    let bench = &mut company.stations[0].bench;
    bench.ok(Input::TopUp {
        member: id("w"),
        amount: yuan("60"),
        receipt: "R-1".to_owned(),
        by: "desk".to_owned(),
    });
    bench.place("w", "P1", "30");
    bench.ok(Input::ReverseTopUp {
        member: id("w"),
        receipt: "R-1".to_owned(),
        amount: Some(yuan("54")),
        reason: "6 were paid in".to_owned(),
        by: "desk".to_owned(),
    });
    company.settle();
    assert_eq!(seen(&company), [Class::Cash]);
    assert_eq!(company.there(0, "w"), Fen::ZERO);
    company.check_equal();
}
