//! Money comes into wallets by what channels call back, once.

use crate::{
    bench::*,
    company::{Company, callback, id},
    on_both,
};
use central::{
    money::{Callback, Credited, Paid, Refused},
    store::{identity, members},
};
use domain::units::Fen;

on_both! {
    a_callback_credits_a_wallet_once_whatever_comes_again_and_in_whichever_order
    a_callback_for_another_amount_or_of_a_number_that_nobody_asked_for_moves_nothing
    a_payment_that_comes_between_two_words_that_it_will_not_be_paid_is_credited_once
    callbacks_that_come_together_are_each_what_they_are_alone
    nothing_leaves_a_wallet_that_is_frozen_and_what_is_at_sites_is_not_touched
    all_wallets_are_frozen_where_head_office_was_restored_until_people_let_them_go
}

fn a_callback_credits_a_wallet_once_whatever_comes_again_and_in_whichever_order(mut company: Company) {
    company.member("w", "0");
    let amount = yuan("50");
    company
        .may(move |money| money.ask_top_up(&id("w"), "wechat", "T-1", amount))
        .unwrap();
    let paid = callback("T-1", "tx1", amount);
    let call = |said: Callback| company.money(move |money| money.called_back(&said));
    assert_eq!(call(paid.clone()), Credited::Now(id("w")));
    assert_eq!(call(paid.clone()), Credited::Before, "the same again");
    let other = callback("T-1", "tx2", amount);
    assert_eq!(
        call(other.clone()),
        Credited::OtherPayment,
        "a second payment under the number is kept for people"
    );
    assert_eq!(call(other), Credited::OtherPayment);
    let closed = Callback {
        paid: Paid::Closed,
        ..paid
    };
    assert_eq!(call(closed), Credited::Closed, "it was paid before it was closed");
    assert_eq!(
        (company.wallet("w"), company.balance("clearing:wechat")),
        (amount, Fen::ZERO - amount)
    );
}

fn a_callback_for_another_amount_or_of_a_number_that_nobody_asked_for_moves_nothing(mut company: Company) {
    company.member("w", "0");
    let call = |company: &Company, said: Callback| company.money(move |money| money.called_back(&said));
    let early = callback("T-1", "tx1", yuan("50"));
    assert_eq!(call(&company, early.clone()), Credited::Unknown);
    company
        .may(|money| money.ask_top_up(&id("w"), "wechat", "T-1", yuan("50")))
        .unwrap();
    let less = callback("T-1", "tx9", yuan("5"));
    assert_eq!(call(&company, less), Credited::OtherAmount { asked: yuan("50") });
    assert_eq!(company.wallet("w"), Fen::ZERO);
    // The channel says again what was not known when it first said it.
    assert_eq!(call(&company, early), Credited::Now(id("w")));
    assert_eq!(company.wallet("w"), yuan("50"));
    let refused = company.may(|money| money.ask_top_up(&id("w"), "wechat", "T-1", yuan("60")));
    assert_eq!(refused, Err(Refused::OtherTopUp("T-1".to_owned())));
}

fn a_payment_that_comes_between_two_words_that_it_will_not_be_paid_is_credited_once(mut company: Company) {
    company.member("w", "0");
    let amount = yuan("50");
    company
        .may(move |money| money.ask_top_up(&id("w"), "wechat", "T-1", amount))
        .unwrap();
    let paid = callback("T-1", "tx1", amount);
    let closed = Callback {
        paid: Paid::Closed,
        ..paid.clone()
    };
    let call = |said: &Callback| {
        let said = said.clone();
        company.money(move |money| money.called_back(&said))
    };
    assert_eq!(call(&closed), Credited::Closed);
    assert_eq!(company.wallet("w"), Fen::ZERO);
    // The driver had paid all the same: the channel has the money.
    assert_eq!(call(&paid), Credited::Now(id("w")));
    assert_eq!(
        call(&closed),
        Credited::Closed,
        "a word that comes late takes nothing back"
    );
    assert_eq!(call(&paid), Credited::Before);
    assert_eq!(
        (company.wallet("w"), company.balance("clearing:wechat")),
        (amount, Fen::ZERO - amount)
    );
}

fn callbacks_that_come_together_are_each_what_they_are_alone(mut company: Company) {
    for who in ["v", "w"] {
        company.member(who, "0");
    }
    for (reference, who) in [("T-1", "w"), ("T-2", "w"), ("T-3", "v"), ("T-4", "v")] {
        let asked = company.may(move |money| money.ask_top_up(&id(who), "wechat", reference, yuan("50")));
        asked.unwrap();
    }
    let closed = Callback {
        paid: Paid::Closed,
        ..callback("T-4", "tx-4", yuan("50"))
    };
    let said = vec![
        callback("T-2", "tx-2", yuan("50")),
        callback("T-1", "tx-1", yuan("50")),
        callback("T-1", "tx-1", yuan("50")),
        callback("T-3", "tx-3", yuan("49")),
        callback("T-9", "tx-9", yuan("50")),
        closed,
        callback("T-1", "tx-5", yuan("50")),
    ];
    let credited = company.money(move |money| money.called_back_together(&said));
    assert_eq!(
        credited,
        [
            Credited::Now(id("w")),
            Credited::Now(id("w")),
            Credited::Before,
            Credited::OtherAmount { asked: yuan("50") },
            Credited::Unknown,
            Credited::Closed,
            Credited::OtherPayment,
        ]
    );
    assert_eq!((company.wallet("w"), company.wallet("v")), (yuan("100"), Fen::ZERO));
    assert_eq!(company.balance("clearing:wechat"), Fen::ZERO - yuan("100"));
}

fn nothing_leaves_a_wallet_that_is_frozen_and_what_is_at_sites_is_not_touched(mut company: Company) {
    company.member("w", "50");
    let site = company.site(0);
    let of = site.clone();
    company
        .may(move |money| money.lease(&id("w"), &of, yuan("20")))
        .unwrap();
    company.settle();
    assert!(company.money(|money| money.freeze(&id("w"), Some("a claim"))));
    let of = site.clone();
    let refused = company
        .may(move |money| money.lease(&id("w"), &of, yuan("1")))
        .unwrap_err();
    assert!(matches!(refused, Refused::Frozen { .. }), "{refused}");
    let of = site.clone();
    let refused = company.may(move |money| {
        money.voucher(
            &id("w"),
            &of,
            yuan("1"),
            domain::time::Wall(i64::MAX / 2),
            "v".to_owned(),
        )
    });
    assert!(matches!(refused, Err(Refused::Frozen { .. })));
    assert_eq!((company.wallet("w"), company.there(0, "w")), (yuan("30"), yuan("20")));
    assert!(company.money(|money| money.freeze(&id("w"), None)));
    company
        .may(move |money| money.lease(&id("w"), &site, yuan("1")))
        .unwrap();
}

fn all_wallets_are_frozen_where_head_office_was_restored_until_people_let_them_go(mut company: Company) {
    company.member("w", "50");
    let (site, now) = (company.site(0), company.now());
    company.write(move |tx| identity::restored(tx, now)).unwrap();
    let of = site.clone();
    let refused = company
        .may(move |money| money.lease(&id("w"), &of, yuan("1")))
        .unwrap_err();
    assert!(matches!(refused, Refused::AllFrozen(_)), "{refused}");
    // Money goes on coming in.
    company.top_up("w", "5");
    company.write(|tx| identity::freeze(tx, None)).unwrap();
    company
        .may(move |money| money.lease(&id("w"), &site, yuan("1")))
        .unwrap();
    assert_eq!(company.read(|tx| members::find(tx, &id("w"))).unwrap().frozen, None);
}
