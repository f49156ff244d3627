//! A site that never comes back, and one that people name as missing: what is there is not lost, and not spent twice.

use crate::{
    bench::*,
    company::{Company, ME, id},
    on_both,
};
use central::{
    money::Refused,
    store::{identity, sites},
    upkeep,
};
use domain::{
    ids::{CardId, SiteId},
    site::Input,
    units::Fen,
};
use std::collections::BTreeSet;

on_both! {
    rule_14_what_members_had_at_a_site_that_is_closed_goes_back_to_their_wallets
    rule_14_what_members_owed_at_a_site_that_is_closed_is_paid_by_their_wallets
    money_on_the_road_to_a_site_whose_certificate_was_taken_back_stays_there_until_it_comes_in_or_is_closed
    rule_4_wallets_go_once_every_site_has_reported_or_is_named_as_missing
}

fn close(company: &Company, n: usize) {
    let (site, now) = (company.site(n), company.now());
    company
        .write(move |tx| {
            let found = sites::find(tx, &site)?.unwrap();
            upkeep::closing::close(tx, ME, &found, now)
        })
        .unwrap();
    company.check();
}

fn leased(company: &Company, n: usize, who: &str, amount: &str) {
    let (site, who, amount) = (company.site(n), id(who), yuan(amount));
    company.may(move |money| money.lease(&who, &site, amount)).unwrap();
}

fn rule_14_what_members_had_at_a_site_that_is_closed_goes_back_to_their_wallets(mut company: Company) {
    company.member("w", "100");
    company.member("v", "10");
    leased(&company, 0, "w", "20");
    company.settle();
    // Reserved for an order, in a driver's hands, and on its way.
    let order = company.order(0, "w", "P1", "15", "hq-1");
    company.may(move |money| money.place(&order)).unwrap();
    company.settle();
    let (site, ends) = (company.site(0), company.now().after_ms(3_600_000));
    company
        .may(move |money| money.voucher(&id("v"), &site, yuan("4"), ends, "v1".to_owned()))
        .unwrap();
    company.stations[0].is_cut = true;
    leased(&company, 0, "v", "6");
    let waits = company.order(0, "w", "P2", "5", "hq-2");
    company.may(move |money| money.place(&waits)).unwrap();
    assert_eq!((company.wallet("w"), company.wallet("v")), (yuan("60"), Fen::ZERO));

    close(&company, 0);
    assert_eq!((company.wallet("w"), company.wallet("v")), (yuan("100"), yuan("10")));
    assert_eq!((company.on_road("w"), company.on_road("v")), (Fen::ZERO, Fen::ZERO));
    let placing = company
        .money(|money| money.placing(&order_id("hq-2")))
        .expect("the order is known");
    assert_eq!(placing.0.state.word(), "refused");
    let refused = company.may(|money| money.lease(&id("w"), &"A".parse().unwrap(), yuan("1")));
    assert!(matches!(refused, Err(Refused::Gone(_))), "{refused:?}");
    let finding =
        company.read(|tx| central::store::findings::list(tx, &central::store::findings::Filter::default(), None, 10));
    assert!(finding.iter().any(|found| found.finding.class.word() == "CLOSED"));
    // It can be spent elsewhere.
    leased(&company, 1, "w", "100");
    company.settle();
    assert_eq!(company.there(1, "w"), yuan("100"));
}

fn rule_14_what_members_owed_at_a_site_that_is_closed_is_paid_by_their_wallets(mut company: Company) {
    company.member("w", "5");
    let order = company.charge(0, "w", "P1", "5", "hq-1");
    company.end(0, "P1", &order, "20");
    company.settle();
    let owed = company.stations[0].bench.debt("w");
    assert!(owed > Fen::ZERO);
    close(&company, 0);
    assert_eq!(company.balance("debt:w"), Fen::ZERO - owed, "they owe head office");
    let refused = company.may({
        let order = company.order(1, "w", "P1", "5", "hq-2");
        move |money| money.place(&order)
    });
    assert_eq!(
        refused,
        Err(Refused::Owes {
            member: id("w"),
            amount: owed
        })
    );
    company.top_up("w", "1");
    assert_eq!(company.wallet("w"), Fen::ZERO, "all that there is");
    company.top_up("w", "100");
    assert_eq!(company.balance("debt:w"), Fen::ZERO);
    assert_eq!(company.wallet("w"), yuan("101") - owed);
    let order = company.order(1, "w", "P1", "5", "hq-3");
    company.may(move |money| money.place(&order)).unwrap();
}

fn money_on_the_road_to_a_site_whose_certificate_was_taken_back_stays_there_until_it_comes_in_or_is_closed(
    mut company: Company,
) {
    company.member("w", "50");
    company.stations[0].is_cut = true;
    leased(&company, 0, "w", "20");
    let (site, now) = (company.site(0), company.now());
    company.write(move |tx| sites::revoke(tx, &site, now)).unwrap();
    company.pass(2 * HOUR);
    company.settle();
    assert_eq!(
        (company.wallet("w"), company.on_road("w")),
        (yuan("30"), yuan("20")),
        "nobody knows whether it has arrived: time alone frees nothing"
    );
    close(&company, 0);
    assert_eq!((company.wallet("w"), company.on_road("w")), (yuan("50"), Fen::ZERO));
}

fn let_go(company: &Company, missing: &[SiteId]) -> Result<(), Refused> {
    let missing: BTreeSet<SiteId> = missing.iter().cloned().collect();
    company.may(move |money| money.let_wallets_go(&missing))
}

fn rule_4_wallets_go_once_every_site_has_reported_or_is_named_as_missing(mut company: Company) {
    company.member("w", "50");
    company.member("x", "50");
    leased(&company, 0, "w", "10");
    company.settle();
    let card = CardId::new("c9").unwrap();
    company.may(move |money| money.put_card(&card, Some(&id("w")))).unwrap();
    company.settle();
    let now = company.now();
    let epoch = company.write(move |tx| identity::restored(tx, now)).unwrap();
    let all: Vec<SiteId> = (0..3).map(|n| company.site(n)).collect();
    assert_eq!(let_go(&company, &[]), Err(Refused::Silent(all.clone())));
    // Two of three report; the third is down for days.
    company.stations[0].is_cut = true;
    company.settle();
    assert_eq!(let_go(&company, &[]), Err(Refused::Silent(all[..1].to_vec())));
    assert_eq!(let_go(&company, &all[..1]), Ok(()));
    let refused = company.may({
        let site = company.site(1);
        move |money| money.lease(&id("w"), &site, yuan("1"))
    });
    assert!(
        matches!(refused, Err(Refused::Frozen { .. })),
        "who is known at the missing site may have a voucher for it that nobody here knows: {refused:?}"
    );
    leased(&company, 1, "x", "1");
    // It is back. Its vouchers of before have ended once its mark is a day past the restore.
    company.stations[0].is_cut = false;
    company.stations[0].bench.ok(Input::HeadOfficeSeen(epoch));
    company.settle();
    let early = company.may({
        let site = company.site(1);
        move |money| money.lease(&id("w"), &site, yuan("1"))
    });
    assert!(matches!(early, Err(Refused::Frozen { .. })), "{early:?}");
    company.pass(25 * HOUR);
    let certainly = company.now();
    company.stations[0].bench.handle(Input::CloseVouchers { certainly });
    company.settle();
    leased(&company, 1, "w", "1");
}
