//! Money travels: to a site, into an order, and back.

use crate::{
    bench::*,
    company::{Company, id},
    on_both,
};
use central::{
    money::{Placed, Refused},
    store::{issues, placings},
};
use domain::{ids::CardId, order::State, units::Fen};

on_both! {
    a_start_leases_the_whole_prepay_and_what_is_left_is_back_in_the_wallet_when_the_order_ends
    a_start_that_the_site_refuses_returns_all_of_it
    money_that_lies_elsewhere_is_recalled_first_and_kept_for_the_order_that_asked
    money_at_a_site_without_a_line_is_named_and_nothing_is_promised
    a_recall_returns_what_is_not_reserved_and_money_is_free_when_the_fact_has_arrived
    two_places_at_once_with_money_for_one_are_one_order
    a_card_that_the_site_does_not_know_starts_through_head_office
    a_stop_is_done_however_late_it_comes
    whoever_charges_often_at_a_site_keeps_money_there_and_it_comes_back_when_they_stay_away
    rule_9_there_is_no_second_standing_lease_while_money_for_the_same_site_is_on_the_road
}

fn a_start_leases_the_whole_prepay_and_what_is_left_is_back_in_the_wallet_when_the_order_ends(mut company: Company) {
    company.member("w", "50");
    let order = company.charge(0, "w", "P1", "30", "hq-1");
    assert_eq!(
        (company.wallet("w"), company.on_road("w"), company.there(0, "w")),
        (yuan("20"), Fen::ZERO, Fen::ZERO)
    );
    let of = order.clone();
    assert_eq!(
        company.read(move |tx| placings::find(tx, &of)).unwrap().state,
        placings::State::Placed
    );
    company.end(0, "P1", &order, "3");
    company.settle();
    let fee = company.stations[0].bench.order(&order).paid.charged();
    assert!(fee > Fen::ZERO);
    assert_eq!(company.wallet("w"), yuan("50") - fee);
    assert_eq!(
        (company.worth("w"), company.on_road("w")),
        (yuan("50") - fee, Fen::ZERO)
    );
    company.check_equal();
}

fn a_start_that_the_site_refuses_returns_all_of_it(mut company: Company) {
    company.member("w", "50");
    company.stations[0].is_cut = true;
    let order = company.order(0, "w", "P1", "30", "hq-1");
    let placed = company.may(move |money| money.place(&order)).unwrap();
    let Placed::Sent(no) = placed else { panic!("{placed:?}") };
    assert_eq!((company.wallet("w"), company.on_road("w")), (yuan("20"), yuan("30")));
    // It comes when nobody waits for it any more.
    company.pass(61_000);
    assert_eq!(company.on_road("w"), yuan("30"), "time alone frees nothing");
    company.stations[0].is_cut = false;
    company.settle();
    assert_eq!(company.refused(0, no).as_deref(), Some("expired"));
    assert_eq!((company.wallet("w"), company.on_road("w")), (yuan("50"), Fen::ZERO));
    let placing = company.read(|tx| placings::find(tx, &order_id("hq-1"))).unwrap();
    assert!(matches!(placing.state, placings::State::Refused(_)), "{placing:?}");
}

fn money_that_lies_elsewhere_is_recalled_first_and_kept_for_the_order_that_asked(mut company: Company) {
    company.member("w", "50");
    let b = company.site(1);
    company.may(move |money| money.lease(&id("w"), &b, yuan("45"))).unwrap();
    company.settle();
    assert_eq!((company.wallet("w"), company.there(1, "w")), (yuan("5"), yuan("45")));
    let order = company.order(0, "w", "P1", "30", "hq-1");
    let placed = company.may(move |money| money.place(&order)).unwrap();
    assert_eq!(placed, Placed::Gathering);
    // What is gathered is nobody else's.
    let c = company.site(2);
    let refused = company
        .may(move |money| money.lease(&id("w"), &c, yuan("5")))
        .unwrap_err();
    assert!(matches!(refused, Refused::TooLittle { .. }), "{refused}");
    company.settle();
    let placing = company.read(|tx| placings::find(tx, &order_id("hq-1"))).unwrap();
    assert_eq!(placing.state, placings::State::Placed, "{:?}", company.directives(0));
    assert_eq!(company.stations[0].bench.state(&order_id("hq-1")), State::Place);
    assert_eq!((company.wallet("w"), company.there(1, "w")), (Fen::ZERO, yuan("20")));
    company.check_equal();
}

fn money_at_a_site_without_a_line_is_named_and_nothing_is_promised(mut company: Company) {
    company.member("w", "50");
    let b = company.site(1);
    company.may(move |money| money.lease(&id("w"), &b, yuan("45"))).unwrap();
    company.settle();
    company.stations[1].is_cut = true;
    company.pass(61_000);
    let order = company.order(0, "w", "P1", "30", "hq-1");
    let refused = company.may(move |money| money.place(&order)).unwrap_err();
    assert!(refused.to_string().contains("45.00 at B"), "{refused}");
    assert_eq!(company.read(|tx| placings::find(tx, &order_id("hq-1"))), None);
}

fn a_recall_returns_what_is_not_reserved_and_money_is_free_when_the_fact_has_arrived(mut company: Company) {
    company.member("w", "50");
    let a = company.site(0);
    let of = a.clone();
    company
        .may(move |money| money.lease(&id("w"), &of, yuan("50")))
        .unwrap();
    company.settle();
    company.stations[0].bench.place("w", "P1", "30");
    company
        .may(move |money| money.recall(&id("w"), &a, yuan("50")))
        .unwrap();
    company.down(0);
    assert_eq!(
        company.wallet("w"),
        Fen::ZERO,
        "the site has done it, and head office does not know"
    );
    company.settle();
    assert_eq!((company.wallet("w"), company.there(0, "w")), (yuan("20"), Fen::ZERO));
    company.check_equal();
}

fn two_places_at_once_with_money_for_one_are_one_order(mut company: Company) {
    company.member("w", "40");
    let (first, second) = (
        company.order(0, "w", "P1", "30", "hq-1"),
        company.order(1, "w", "P1", "30", "hq-2"),
    );
    company.may(move |money| money.place(&first)).unwrap();
    let refused = company.may(move |money| money.place(&second)).unwrap_err();
    assert!(matches!(refused, Refused::TooLittle { .. }), "{refused}");
    company.settle();
    assert_eq!(company.stations[0].bench.state(&order_id("hq-1")), State::Place);
    assert_eq!(company.wallet("w"), yuan("10"));
}

fn a_card_that_the_site_does_not_know_starts_through_head_office(mut company: Company) {
    company.member("w", "80");
    let card = CardId::new("c9").unwrap();
    let of = card.clone();
    // The site has not been told of the card when it is held to the pile.
    company.may(move |money| money.put_card(&of, Some(&id("w")))).unwrap();
    company.stations[0].bench.swipe("P1", "c9");
    assert!(
        company.stations[0]
            .bench
            .kinds()
            .iter()
            .any(|kind| kind == "StartWished")
    );
    company.settle();
    let bench = &company.stations[0].bench;
    let orders: Vec<_> = bench
        .disk
        .orders
        .keys()
        .filter(|order| order.is_head_offices())
        .collect();
    assert_eq!(orders.len(), 1, "{orders:?}");
    assert_eq!(bench.state(orders[0]), State::Place);
    assert_eq!(company.wallet("w"), yuan("30"));
    company.check_equal();
    // What was wished for while the line was cut nobody waits for any more.
    company.stations[1].is_cut = true;
    let other = CardId::new("c10").unwrap();
    company
        .may(move |money| money.put_card(&other, Some(&id("w"))))
        .unwrap();
    company.stations[1].bench.swipe("P1", "c10");
    company.pass(10 * MINUTE);
    company.stations[1].is_cut = false;
    company.settle();
    assert!(
        !company.stations[1]
            .bench
            .disk
            .orders
            .keys()
            .any(|order| order.is_head_offices())
    );
}

fn a_stop_is_done_however_late_it_comes(mut company: Company) {
    company.member("w", "50");
    let order = company.charge(0, "w", "P1", "30", "hq-1");
    company.stations[0].is_cut = true;
    let (a, of) = (company.site(0), order.clone());
    company.may(move |money| money.stop(&a, &of)).unwrap();
    company.pass(2 * HOUR);
    company.stations[0].is_cut = false;
    company.settle();
    assert!(
        company.stations[0]
            .bench
            .kinds()
            .iter()
            .any(|kind| kind == "StopRequested")
    );
}

fn whoever_charges_often_at_a_site_keeps_money_there_and_it_comes_back_when_they_stay_away(mut company: Company) {
    company.member("w", "200");
    for n in 0..3 {
        let order = company.charge(0, "w", "P1", "20", &format!("hq-{n}"));
        company.end(0, "P1", &order, "2");
        company.settle();
    }
    assert_eq!(company.there(0, "w"), yuan("50"), "after the third");
    let worth = company.worth("w");
    // Cash of the desk is not the rule's to fetch.
    company.stations[0].bench.top_up("w", "7");
    company.settle();
    company.pass(15 * DAY);
    company.settle();
    assert_eq!(company.money(|money| money.recall_idle()), 1);
    company.settle();
    assert_eq!(
        (company.there(0, "w"), company.worth("w")),
        (yuan("7"), worth + yuan("7"))
    );
    assert_eq!(company.money(|money| money.recall_idle()), 0);
}

fn rule_9_there_is_no_second_standing_lease_while_money_for_the_same_site_is_on_the_road(mut company: Company) {
    company.member("w", "300");
    for n in 0..2 {
        let order = company.charge(0, "w", "P1", "20", &format!("hq-{n}"));
        company.end(0, "P1", &order, "2");
        company.settle();
    }
    let third = company.charge(0, "w", "P1", "20", "hq-2");
    company.end(0, "P1", &third, "2");
    company.up(0);
    let standing = |company: &Company| {
        let on_road = company.read(|tx| issues::on_road_of(tx, &id("w")));
        let standing = on_road.iter().filter(|issue| issue.kind == issues::Kind::Standing);
        standing.map(|issue| issue.rest).collect::<Vec<_>>()
    };
    assert_eq!(standing(&company), [yuan("50")], "after the third");
    // It has not arrived, and two more orders are over: with cash of the desk.
    company.stations[0].bench.top_up("w", "10");
    for _ in 0..2 {
        let order = company.stations[0].bench.place("w", "P1", "5");
        company.begin(0, "P1", &order);
        company.end(0, "P1", &order, "1");
        company.up(0);
        assert_eq!(standing(&company), [yuan("50")]);
    }
    let worth = company.worth("w");
    company.settle();
    assert_eq!((standing(&company).len(), company.worth("w")), (0, worth));
    let there = company.there(0, "w");
    assert!(there >= yuan("50") && there < yuan("60"), "{there}");

    // Nor where a person has sent some: it is resolved first.
    company
        .may(|money| money.recall(&id("w"), &"A".parse().unwrap(), yuan("100")))
        .unwrap();
    company.settle();
    let order = company.charge(0, "w", "P1", "20", "hq-3");
    let site = company.site(0);
    company
        .may(move |money| money.lease(&id("w"), &site, yuan("1")))
        .unwrap();
    company.end(0, "P1", &order, "2");
    company.up(0);
    assert_eq!((standing(&company).len(), company.on_road("w")), (0, yuan("1")));
}
