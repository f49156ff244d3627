//! What a member's statement says is what head office's books have, to the fen, at any moment and over any time.

use crate::{
    bench::*,
    company::{Company, id},
    on_both,
};
use central::store::queries::statements::{self, Balances, Statement};
use domain::{ids::MemberId, order::State, site::Input, time::Wall, units::Fen};

on_both! {
    a_statement_adds_up_to_the_accounts_wherever_the_money_is
    a_sites_own_member_of_the_same_id_is_somebody_else
}

const ALWAYS: Wall = Wall(i64::MIN);
const NEVER: Wall = Wall(i64::MAX);

fn over(company: &Company, who: &str, from: Wall, to: Wall) -> Statement {
    let member: MemberId = id(who);
    let statement = company.read(move |tx| statements::statement(tx, &member, from, to));
    assert!(!statement.is_cut);
    statement
}

fn closing(statement: &Statement) -> Balances {
    let mut balances = statement.opening;
    for line in &statement.lines {
        assert!(line.amount > Fen::ZERO, "{line:?}");
        balances.apply(line);
    }
    balances
}

/// The whole statement against the wallet, the issues, and the accounts of the stations, which have nothing on the way.
fn adds_up(company: &Company, who: &str) -> Balances {
    let all = over(company, who, ALWAYS, NEVER);
    assert_eq!(all.opening, Balances::default());
    let is = closing(&all);
    let stations = || company.stations.iter();
    let orders = stations().flat_map(|station| station.bench.disk.orders.values().flatten());
    let held = orders
        .filter(|order| order.member == id(who))
        .map(|order| order.hold.remaining());
    let expected = Balances {
        wallet: company.wallet(who),
        on_road: company.on_road(who),
        at_sites: stations().map(|station| station.bench.allowance(who)).sum(),
        reserved: held.sum(),
        owed: stations().map(|station| station.bench.debt(who)).sum(),
    };
    assert_eq!(is, expected);
    is
}

fn a_statement_adds_up_to_the_accounts_wherever_the_money_is(mut company: Company) {
    company.member("w", "20");
    assert_eq!(adds_up(&company, "w").wallet, yuan("20"));
    // On the road, at a site, reserved there.
    let site = company.site(0);
    company.stations[0].is_cut = true;
    let of = site.clone();
    company
        .may(move |money| money.lease(&id("w"), &of, yuan("10")))
        .unwrap();
    assert_eq!(adds_up(&company, "w").on_road, yuan("10"));
    company.stations[0].is_cut = false;
    company.settle();
    assert_eq!(adds_up(&company, "w").at_sites, yuan("10"));
    let order = company.charge(1, "w", "P1", "5", "hq-1");
    company.settle();
    let held = adds_up(&company, "w");
    assert_eq!((held.wallet, held.reserved), (yuan("5"), yuan("5")));

    // More than was reserved is owed; cash at another site's desk is recalled, and pays.
    company.end(1, "P1", &order, "20");
    company.settle();
    assert_eq!(company.stations[1].bench.state(&order), State::Unpaid);
    let owing = adds_up(&company, "w");
    assert!(owing.owed > Fen::ZERO, "{owing:?}");
    let half = company.now();
    company.pass(1_000);
    company.stations[0].bench.ok(Input::TopUp {
        member: member("w"),
        amount: yuan("40"),
        receipt: "desk-1".to_owned(),
        by: "desk".to_owned(),
    });
    let of = site.clone();
    company
        .may(move |money| money.recall(&id("w"), &of, yuan("50")))
        .unwrap();
    company.settle();
    assert_eq!(company.stations[1].bench.state(&order), State::Payed);
    let last = adds_up(&company, "w");
    let fee = company.stations[1].bench.order(&order).paid.charged();
    assert_eq!((last.owed, last.together()), (Fen::ZERO, yuan("60") - fee));

    // One time ends where the next begins, and nothing is in both.
    let (first, second) = (over(&company, "w", ALWAYS, half), over(&company, "w", half, NEVER));
    assert_eq!(closing(&first), second.opening);
    assert_eq!(closing(&second), last);
    let all = over(&company, "w", ALWAYS, NEVER);
    assert_eq!([first.lines, second.lines].concat(), all.lines);
    company.check_equal();
}

fn a_sites_own_member_of_the_same_id_is_somebody_else(mut company: Company) {
    // `m` has ¥60 at each station from before it joined.
    company.settle();
    company.member("m", "5");
    let all = over(&company, "m", ALWAYS, NEVER);
    assert_eq!((all.lines.len(), closing(&all).together()), (1, yuan("5")));
}
