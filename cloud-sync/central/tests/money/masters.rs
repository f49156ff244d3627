//! Who is known where: names, cards, blocks and what is owed go to whichever site knows a member, by whichever way it came to.

use crate::{
    bench::*,
    company::{Company, ME, id},
    on_both,
};
use central::{
    store::{at_sites, identity, sites},
    upkeep,
};
use domain::{fact::Fact, ids::CardId, site::Input, units::Fen};

on_both! {
    whoever_becomes_known_at_a_site_is_known_there_with_all_there_is_to_know
    of_two_cards_words_the_later_stands_in_another_life_of_head_offices_too
    a_card_that_is_given_to_another_while_the_site_is_cut_is_theirs_there_once_the_line_is_back
    what_the_branch_that_was_left_had_taken_is_said_again
    an_order_whose_money_did_not_come_ends_and_debts_are_paid_with_what_was_kept
    a_stations_own_member_is_head_offices_once_an_admin_says_so
}

fn leased(company: &Company, n: usize, who: &str, amount: &str) {
    let (site, who, amount) = (company.site(n), id(who), yuan(amount));
    company.may(move |money| money.lease(&who, &site, amount)).unwrap();
}

/// What a station of the company's says of a member: blocked, and owing how much elsewhere.
fn knows(company: &Company, n: usize, who: &str) -> (bool, Fen) {
    let row = company.stations[n].bench.disk.members[&id(who)].as_ref().unwrap();
    (row.blocked_by_head_office.is_some(), row.owes)
}

fn whoever_becomes_known_at_a_site_is_known_there_with_all_there_is_to_know(mut company: Company) {
    company.member("w", "5");
    let order = company.charge(0, "w", "P1", "5", "hq-1");
    company.end(0, "P1", &order, "20");
    company.settle();
    let owed = company.stations[0].bench.debt("w");
    // A block while the site that will know them is cut, and a card for every site.
    company.stations[1].is_cut = true;
    let card = CardId::new("c9").unwrap();
    company.may(move |money| money.put_card(&card, Some(&id("w")))).unwrap();
    company.money(|money| money.block(&id("w"), Some("a claim")));
    company.settle();
    assert_eq!(knows(&company, 0, "w"), (true, Fen::ZERO));
    company.stations[1].is_cut = false;
    company.settle();
    assert_eq!(knows(&company, 1, "w"), (true, owed));
    assert_eq!(knows(&company, 2, "w"), (true, owed));
    // And it is said once.
    let said = company.directives(1);
    let kinds: Vec<&str> = said.iter().map(|told| told.kind.as_str()).collect();
    for kind in ["member", "card", "block", "owes"] {
        assert_eq!(kinds.iter().filter(|one| **one == kind).count(), 1, "{kinds:?}");
    }
    company.money(|money| money.block(&id("w"), None));
    company.top_up("w", "100");
    company.settle();
    assert_eq!(knows(&company, 1, "w"), (false, Fen::ZERO));
}

fn of_two_cards_words_the_later_stands_in_another_life_of_head_offices_too(mut company: Company) {
    company.member("w", "5");
    company.settle();
    company.stations[0].is_cut = true;
    let card = CardId::new("c9").unwrap();
    for whose in [Some(id("w")), None] {
        let card = card.clone();
        company.may(move |money| money.put_card(&card, whose.as_ref())).unwrap();
    }
    let now = company.now();
    let epoch = company.write(move |tx| identity::begin_anew(tx, now)).unwrap();
    company.stations[0].bench.ok(Input::HeadOfficeSeen(epoch));
    company.stations[0].is_cut = false;
    company.settle();
    let holder = company.stations[0].bench.disk.cards.get(&card).cloned().flatten();
    assert_eq!(
        holder.and_then(|card| card.holder().cloned()),
        None,
        "it was taken back"
    );
}

fn a_card_that_is_given_to_another_while_the_site_is_cut_is_theirs_there_once_the_line_is_back(mut company: Company) {
    for who in ["v", "w"] {
        company.member(who, "50");
        leased(&company, 0, who, "20");
    }
    let card = CardId::new("c9").unwrap();
    for (whose, is_cut) in [("w", false), ("v", true)] {
        company.stations[0].is_cut = is_cut;
        let card = card.clone();
        company
            .may(move |money| money.put_card(&card, Some(&id(whose))))
            .unwrap();
        company.settle();
    }
    let swiped = |company: &mut Company, at: &str| {
        let outcome = company.stations[0].bench.swipe(at, "c9");
        let placed = outcome.facts.iter().find_map(|(_, fact)| match fact {
            Fact::OrderPlaced { order, member, .. } => Some((order.clone(), member.clone())),
            _ => None,
        });
        placed.unwrap_or_else(|| panic!("{outcome:?}"))
    };
    // The station knows of nobody else: whoever holds the card charges for w, and so it stays.
    let (order, whose) = swiped(&mut company, "P1");
    assert_eq!(whose, id("w"));
    company.stations[0].is_cut = false;
    company.settle();
    let (site, of) = (company.site(0), order.clone());
    let at_head_office = company.read(move |tx| at_sites::member_of_order(tx, &site, &of));
    assert_eq!(at_head_office, Some(id("w")));
    let (_, whose) = swiped(&mut company, "P2");
    assert_eq!(whose, id("v"));
    company.begin(0, "P1", &order);
    company.end(0, "P1", &order, "5");
    company.settle();
    assert_eq!(company.stations[0].bench.order(&order).member, id("w"));
    assert!(company.worth("w") < yuan("50") && company.worth("v") <= yuan("50"));
    company.check_equal();
}

fn what_the_branch_that_was_left_had_taken_is_said_again(mut company: Company) {
    company.member("w", "50");
    leased(&company, 0, "w", "5");
    company.settle();
    let copy = company.stations[0].bench.facts.len();
    company.money(|money| money.block(&id("w"), Some("a claim")));
    let card = CardId::new("c9").unwrap();
    let of = card.clone();
    company.may(move |money| money.put_card(&of, Some(&id("w")))).unwrap();
    company.settle();
    company.stations[0].restored(copy, "e2", true);
    assert_eq!(knows(&company, 0, "w"), (false, Fen::ZERO), "the copy is from before");
    for batch in company.stations[0].batches() {
        company.takes(0, batch);
    }
    let (site, now) = (company.site(0), company.now());
    company
        .write(move |tx| {
            let branch = sites::find(tx, &site)?.unwrap().branch;
            let others = central::store::branches::others(tx, &site, branch)?;
            let place = others.first().unwrap().head;
            Ok(upkeep::fork::accept(tx, ME, &site, place, now)?.unwrap())
        })
        .unwrap();
    company.settle();
    assert_eq!(knows(&company, 0, "w"), (true, Fen::ZERO));
    let holder = company.stations[0].bench.disk.cards.get(&card).cloned().flatten();
    assert_eq!(holder.and_then(|card| card.holder().cloned()), Some(id("w")));
    company.check_equal();
}

fn an_order_whose_money_did_not_come_ends_and_debts_are_paid_with_what_was_kept(mut company: Company) {
    company.member("w", "40");
    leased(&company, 1, "w", "10");
    let open = company.charge(0, "w", "P1", "5", "hq-1");
    let at = company.stations[0].bench.now;
    company.pass(3 * HOUR);
    // 25 are in the wallet and 10 lie at B, which is cut before it hears that they are asked for.
    company.stations[1].is_cut = true;
    let order = company.order(2, "w", "P1", "30", "hq-2");
    company.may(move |money| money.place(&order)).unwrap();
    company.record(0, "P1", &open, at, "20");
    company.settle();
    let ended = company.money(|money| money.end_overdue());
    assert_eq!(ended, 0, "it may still come");
    let owed = company.stations[0].bench.debt("w");
    assert!(owed > Fen::ZERO, "what is kept for the order pays nothing");
    company.pass(61_000);
    assert_eq!(company.money(|money| money.end_overdue()), 1);
    let (placing, _) = company.money(|money| money.placing(&order_id("hq-2"))).unwrap();
    assert_eq!(placing.state.word(), "expired");
    company.settle();
    assert_eq!(company.stations[0].bench.debt("w"), Fen::ZERO);
    assert_eq!(company.wallet("w"), yuan("25") - owed);
}

fn a_stations_own_member_is_head_offices_once_an_admin_says_so(mut company: Company) {
    // `m` is every bench's own member, with cash that was paid in there.
    let had = company.there(0, "m");
    assert!(had > Fen::ZERO);
    company.member("m", "20");
    let site = company.site(0);
    let of = site.clone();
    let no = company.may(move |money| money.lease(&id("m"), &of, yuan("5"))).unwrap();
    company.settle();
    assert_eq!(company.refused(0, no).as_deref(), Some("not_head_offices"));
    assert_eq!((company.wallet("m"), company.there(0, "m")), (yuan("20"), had));
    company.money(|money| money.block(&id("m"), Some("a claim")));
    company.settle();
    assert!(!knows(&company, 0, "m").0, "two of one id are not merged by themselves");
    let of = site.clone();
    company.may(move |money| money.adopt(&of, &id("m"))).unwrap();
    company.settle();
    assert!(knows(&company, 0, "m").0);
    company.money(|money| money.block(&id("m"), None));
    company
        .may(move |money| money.recall(&id("m"), &site, yuan("1000")))
        .unwrap();
    company.settle();
    assert_eq!(company.wallet("m"), yuan("20") + had);
    company.check_equal();
}
