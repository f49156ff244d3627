//! What goes to a site whose journal is not followed (rule 10): a table of how it stands and what is to go there.

use crate::{
    bench::*,
    company::{Company, ME, id},
    on_both,
};
use central::{
    money::Refused,
    store::{directives, sites},
};
use domain::{
    head_office::{Directive, DirectiveRow},
    ids::SiteId,
    units::Fen,
};
use protocol::frame::State;
use std::collections::BTreeSet;

on_both! {
    rule_10_only_stops_recalls_and_blocks_go_to_a_site_whose_journal_is_not_followed
    no_money_leaves_a_wallet_for_a_site_whose_journal_is_not_followed
}

/// How a site stands; none: closed.
const STANDS: [Option<State>; 5] = [
    Some(State::Following),
    Some(State::Ahead),
    Some(State::Broken),
    Some(State::Forked),
    None,
];

/// Every kind of directive there is.
const DIRECTIVES: &str = include_str!("../../../protocol/tests/directives.jsonl");

fn stands(company: &Company, site: &SiteId, state: Option<State>) {
    let (of, now) = (site.clone(), company.now());
    company
        .write(move |tx| {
            let found = sites::find(tx, &of)?.unwrap();
            match state {
                Some(state) => sites::stand_still(tx, ME, &found, state, "a test"),
                None => sites::close(tx, ME, &found, now),
            }
        })
        .unwrap();
}

fn rule_10_only_stops_recalls_and_blocks_go_to_a_site_whose_journal_is_not_followed(mut company: Company) {
    company.settle();
    let site = company.site(0);
    let mut kinds = BTreeSet::new();
    for state in STANDS {
        stands(&company, &site, state);
        for line in DIRECTIVES.lines() {
            let directive: Directive = serde_json::from_str(line).unwrap();
            let kind = directive.kind();
            kinds.insert(kind);
            let always = ["stop", "recall", "block"].contains(&kind);
            let expected = match state {
                Some(State::Following) => Ok(directive.row()),
                Some(State::Forked) if always => Ok(DirectiveRow::Others),
                Some(_) if always => Ok(directive.row()),
                Some(state) => Err(Refused::NotFollowed {
                    site: site.clone(),
                    state: state.word(),
                }),
                None => Err(Refused::Gone(site.clone())),
            };
            let before = company.directives(0).len();
            let of = (site.clone(), directive.clone());
            let went = company.may(move |money| money.direct(&of.0, &of.1));
            assert_eq!(went.map(|no| no.row), expected, "{state:?} {line}");
            let issued = company.directives(0).len() - before;
            assert_eq!(issued, usize::from(expected.is_ok()), "{state:?} {line}");
        }
    }
    assert_eq!(kinds.len(), 16, "{kinds:?}");
}

fn no_money_leaves_a_wallet_for_a_site_whose_journal_is_not_followed(mut company: Company) {
    company.member("w", "50");
    company.settle();
    let site = company.site(0);
    for state in STANDS {
        stands(&company, &site, state);
        if state == Some(State::Following) {
            continue;
        }
        let (of, order) = (site.clone(), company.order(0, "w", "P1", "20", "hq-1"));
        let ends = company.now().after_ms(3_600_000);
        let why = [
            company.may({
                let of = of.clone();
                move |money| money.lease(&id("w"), &of, yuan("5")).map(|done| done.map(drop))
            }),
            company.may(move |money| {
                let made = money.voucher(&id("w"), &of, yuan("5"), ends, "v1".to_owned());
                made.map(|done| done.map(drop))
            }),
            company.may(move |money| money.place(&order).map(|done| done.map(drop))),
        ];
        for refused in why {
            match (state, refused) {
                (Some(state), Err(Refused::NotFollowed { state: said, .. })) => assert_eq!(said, state.word()),
                (None, Err(Refused::Gone(_))) => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((company.wallet("w"), company.on_road("w")), (yuan("50"), Fen::ZERO));
        let of = (site.clone(), company.epoch);
        let waits = company.read(move |tx| directives::waiting(tx, (&of.0, of.1), DirectiveRow::Orders, 9));
        assert!(waits.is_empty(), "{state:?} {waits:?}");
    }
}
