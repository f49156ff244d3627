//! What is owed is paid by wallets, once, and told where it matters.

use crate::{
    bench::*,
    company::{Company, id},
    on_both,
};
use central::money::Refused;
use domain::{
    fact::PaidFrom,
    ids::OrderId,
    order::State,
    site::{Input, Told},
    units::Fen,
};

on_both! {
    a_wallet_pays_a_shortfall_at_once_and_only_the_rest_is_owed
    a_credit_pays_the_oldest_debt_first_and_what_is_on_the_road_is_not_paid_again
    a_debt_that_is_paid_at_the_desk_too_returns_the_surplus
    who_owes_at_one_site_starts_at_no_other_until_it_is_paid
    a_payment_that_the_site_refuses_is_not_made_again_at_once
    what_a_site_could_not_take_is_paid_by_the_hourly_look_though_no_money_moves
}

/// An order that delivers more than was reserved for it.
fn owing(company: &mut Company, n: usize, who: &str, id: &str, energy: &str) -> OrderId {
    let order = company.charge(n, who, "P1", "5", id);
    company.end(n, "P1", &order, energy);
    order
}

fn a_wallet_pays_a_shortfall_at_once_and_only_the_rest_is_owed(mut company: Company) {
    company.member("w", "8");
    let order = owing(&mut company, 0, "w", "hq-1", "20");
    assert_eq!(company.stations[0].bench.state(&order), State::Unpaid);
    let owed = company.stations[0].bench.debt("w");
    assert!(owed > yuan("3"), "{owed}");
    company.settle();
    assert_eq!(
        company.stations[0].bench.debt("w"),
        owed - yuan("3"),
        "the wallet had 3.00"
    );
    assert_eq!((company.wallet("w"), company.on_road("w")), (Fen::ZERO, Fen::ZERO));
    company.top_up("w", "100");
    company.settle();
    assert_eq!(company.stations[0].bench.state(&order), State::Payed);
    assert_eq!(company.wallet("w"), yuan("100") - (owed - yuan("3")));
    company.check_equal();
}

fn a_credit_pays_the_oldest_debt_first_and_what_is_on_the_road_is_not_paid_again(mut company: Company) {
    company.member("w", "10");
    let (first, second) = (
        company.order(0, "w", "P1", "5", "hq-1"),
        company.order(1, "w", "P1", "5", "hq-2"),
    );
    company.may(move |money| money.place(&first)).unwrap();
    company.may(move |money| money.place(&second)).unwrap();
    company.settle();
    let orders = [order_id("hq-1"), order_id("hq-2")];
    for n in [0, 1] {
        company.begin(n, "P1", &orders[n]);
    }
    let started = [company.stations[0].bench.now, company.stations[1].bench.now];
    company.pass(3 * HOUR);
    for n in [0, 1] {
        company.record(n, "P1", &orders[n], started[n], "20");
        company.settle();
    }
    let debts = [company.stations[0].bench.debt("w"), company.stations[1].bench.debt("w")];
    assert!(debts[0] > yuan("4") && debts[1] > yuan("4"), "{debts:?}");
    company.stations[0].is_cut = true;
    company.top_up("w", "1");
    assert_eq!(company.on_road("w"), yuan("1"));
    company.top_up("w", "1");
    assert_eq!(company.on_road("w"), yuan("2"), "the older debt, and no more than it");
    let rest = (debts[0] - yuan("2")).to_string();
    company.top_up("w", &rest);
    company.top_up("w", "1");
    company.settle();
    assert_eq!(
        company.stations[1].bench.debt("w"),
        debts[1] - yuan("1"),
        "then the younger one"
    );
    company.stations[0].is_cut = false;
    company.settle();
    assert_eq!(company.stations[0].bench.debt("w"), Fen::ZERO);
    assert_eq!((company.wallet("w"), company.on_road("w")), (Fen::ZERO, Fen::ZERO));
    company.check_equal();
}

fn a_debt_that_is_paid_at_the_desk_too_returns_the_surplus(mut company: Company) {
    company.member("w", "5");
    let order = owing(&mut company, 0, "w", "hq-1", "20");
    company.settle();
    let owed = company.stations[0].bench.debt("w");
    company.stations[0].is_cut = true;
    company.top_up("w", "100");
    assert_eq!(company.on_road("w"), owed);
    company.stations[0].bench.ok(Input::PayDebt {
        member: id("w"),
        amount: owed,
        from: PaidFrom::Cash,
        receipt: "R-1".to_owned(),
        by: "desk".to_owned(),
    });
    company.stations[0].is_cut = false;
    company.settle();
    assert_eq!(company.stations[0].bench.state(&order), State::Payed);
    assert_eq!(
        (company.wallet("w"), company.on_road("w")),
        (yuan("100"), Fen::ZERO),
        "the surplus is back"
    );
    company.check_equal();
}

fn who_owes_at_one_site_starts_at_no_other_until_it_is_paid(mut company: Company) {
    company.member("w", "50");
    let b = company.site(1);
    company.may(move |money| money.lease(&id("w"), &b, yuan("45"))).unwrap();
    company.settle();
    let order = owing(&mut company, 0, "w", "hq-1", "20");
    company.settle();
    let owed = company.stations[0].bench.debt("w");
    assert!(owed > Fen::ZERO);
    let told = company.stations[1].bench.disk.members[&id("w")].clone().unwrap().owes;
    assert_eq!(told, owed, "the other site knows, of its own money nothing was taken");
    let here = company.stations[0].bench.disk.members[&id("w")].clone().unwrap().owes;
    assert_eq!(here, Fen::ZERO, "never of its own debts");
    let place = company.stations[1].bench.place_input("w", "P1", "20");
    company.stations[1].bench.refused(place);
    let another = company.order(2, "w", "P1", "20", "hq-2");
    let refused = company.may(move |money| money.place(&another)).unwrap_err();
    assert_eq!(
        refused,
        Refused::Owes {
            member: id("w"),
            amount: owed
        }
    );
    company.top_up("w", "100");
    company.settle();
    assert_eq!(company.stations[0].bench.state(&order), State::Payed);
    assert_eq!(
        company.stations[1].bench.disk.members[&id("w")].clone().unwrap().owes,
        Fen::ZERO
    );
    company.stations[1].bench.place("w", "P1", "20");
    company.settle();
    company.check_equal();
}

/// An order owes 5-odd yuan at station A, which is cut; the wallet has paid it, and a station of an older version cannot read that.
fn refused_payment(company: &mut Company) -> (OrderId, Fen) {
    company.member("w", "5");
    let order = owing(company, 0, "w", "hq-1", "20");
    company.settle();
    let owed = company.stations[0].bench.debt("w");
    company.stations[0].is_cut = true;
    company.top_up("w", "100");
    let told = company.directives(0);
    let told = told.iter().find(|told| told.state.word() == "waiting").unwrap();
    assert_eq!((told.kind.as_str(), company.on_road("w")), ("debt_paid", owed));
    company.stations[0].bench.ok(Input::Directive(Box::new(Told {
        directive: told.no,
        sha256: told.sha256(),
        content: Err("a kind that it does not know".to_owned()),
        at_most: None,
    })));
    company.up(0);
    assert_eq!(
        (company.wallet("w"), company.on_road("w")),
        (yuan("100"), Fen::ZERO),
        "it is back, and is not sent again at once"
    );
    (order, owed)
}

fn a_payment_that_the_site_refuses_is_not_made_again_at_once(mut company: Company) {
    let (order, owed) = refused_payment(&mut company);
    company.top_up("w", "1");
    assert_eq!(company.on_road("w"), Fen::ZERO);
    // A day later it is tried once more.
    company.pass(25 * HOUR);
    company.top_up("w", "1");
    assert_eq!(company.on_road("w"), owed);
    company.stations[0].is_cut = false;
    company.settle();
    assert_eq!(company.stations[0].bench.state(&order), State::Payed);
    company.check_equal();
}

fn what_a_site_could_not_take_is_paid_by_the_hourly_look_though_no_money_moves(mut company: Company) {
    let (order, owed) = refused_payment(&mut company);
    assert!(company.pay_again().is_empty(), "the site has just refused it");
    assert_eq!(company.on_road("w"), Fen::ZERO);
    company.pass(25 * HOUR);
    assert_eq!(company.pay_again(), [company.site(0)].into());
    assert_eq!((company.wallet("w"), company.on_road("w")), (yuan("100") - owed, owed));
    assert!(company.pay_again().is_empty(), "it is on the road");
    company.stations[0].is_cut = false;
    company.settle();
    assert_eq!(company.stations[0].bench.state(&order), State::Payed);
    assert!(company.pay_again().is_empty(), "nobody owes anything");
    company.check_equal();
}
