//! Wallets are adjusted by two people: what is given, what is taken, what cannot be taken is owed; and what people adjust for.

use crate::{
    bench::*,
    company::{Company, ME, id},
    on_both,
};
use central::{
    ingest::Taken,
    money::{Adjust, Refused},
    store::{
        adjustments::{Adjustment, OfFinding, State},
        findings::{self, Class, Filter, Found},
        inbox, sites,
    },
    upkeep,
};
use domain::{fact::PaidFrom, site::Input, units::Fen};

on_both! {
    what_a_wallet_gets_two_people_give
    what_a_wallet_gives_and_has_not_is_owed_and_paid_by_what_comes_next
    what_is_owed_by_an_adjustment_is_paid_when_wallets_are_let_go
    a_finding_that_goes_over_to_another_branch_keeps_its_adjustment
    a_branch_that_is_gone_back_to_has_what_was_found_in_it_and_nothing_is_found_twice
    rule_20_what_a_till_is_short_of_is_taken_from_the_wallet_once
    rule_8_what_members_had_above_a_fork_is_proposed_by_name_and_given_once
    rule_8_a_debt_that_was_paid_in_cash_above_a_fork_is_found_and_given_back
}

fn adjust(number: &str, who: &str, amount: &str, finding: Option<OfFinding>) -> Adjust {
    Adjust {
        id: number.to_owned(),
        member: id(who),
        amount: yuan(amount),
        reason: "so was promised".to_owned(),
        finding,
    }
}

fn propose(company: &Company, of: &Adjust) -> Result<Adjustment, Refused> {
    let of = of.clone();
    company.may_as("li", move |money| money.propose_adjustment(&of))
}

fn approve(company: &Company, by: &'static str, number: &str) -> Result<Adjustment, Refused> {
    let number = number.to_owned();
    company.may_as(by, move |money| money.approve_adjustment(&number))
}

fn findings(company: &Company, class: Class) -> Vec<Found> {
    let filter = Filter {
        class: Some(class),
        ..Filter::default()
    };
    company.read(move |tx| findings::list(tx, &filter, None, 100))
}

fn place(found: &Found) -> OfFinding {
    OfFinding {
        site: found.site.clone(),
        branch: found.branch,
        seq: found.finding.seq,
        class: found.finding.class,
    }
}

fn what_a_wallet_gets_two_people_give(mut company: Company) {
    company.member("w", "50");
    let waits = propose(&company, &adjust("a1", "w", "7.50", None)).unwrap();
    assert_eq!((waits.state, company.wallet("w")), (State::Proposed, yuan("50")));
    assert!(matches!(
        approve(&company, "li", "a1").unwrap_err(),
        Refused::SamePerson { .. }
    ));
    assert_eq!(company.wallet("w"), yuan("50"));
    let posted = approve(&company, "zhao", "a1").unwrap();
    assert_eq!(
        (posted.state, posted.decided_by.as_deref()),
        (State::Posted, Some("zhao"))
    );
    assert_eq!(
        (company.wallet("w"), company.balance("refund")),
        (yuan("57.50"), Fen::ZERO - yuan("7.50"))
    );
    for again in [approve(&company, "zhao", "a1"), approve(&company, "wang", "a1")] {
        assert!(matches!(again.unwrap_err(), Refused::AdjustmentDecided { .. }));
    }
    assert_eq!(company.wallet("w"), yuan("57.50"), "once");

    propose(&company, &adjust("a2", "w", "1", None)).unwrap();
    let no = company.may_as("li", |money| money.reject_adjustment("a2", "it was not"));
    assert_eq!(no.unwrap().state, State::Rejected("it was not".to_owned()));
    assert!(matches!(
        approve(&company, "zhao", "a2").unwrap_err(),
        Refused::AdjustmentDecided { .. }
    ));
    assert!(matches!(
        propose(&company, &adjust("a3", "nobody", "1", None)).unwrap_err(),
        Refused::UnknownMember(_)
    ));
    assert!(matches!(
        approve(&company, "zhao", "a9").unwrap_err(),
        Refused::UnknownAdjustment(_)
    ));
    let told = company.read(|tx| inbox::list(tx, &id("w"), &inbox::Filter::default(), None, 100));
    let told: Vec<String> = told.items.into_iter().map(|told| told.event.kind).collect();
    assert_eq!(
        told.iter().filter(|kind| *kind == "wallet_adjusted").count(),
        1,
        "{told:?}"
    );
    company.check();
}

fn what_a_wallet_gives_and_has_not_is_owed_and_paid_by_what_comes_next(mut company: Company) {
    company.member("w", "5");
    propose(&company, &adjust("a1", "w", "-8", None)).unwrap();
    approve(&company, "zhao", "a1").unwrap();
    assert_eq!(
        (
            company.wallet("w"),
            company.balance("debt:w"),
            company.balance("refund")
        ),
        (Fen::ZERO, Fen::ZERO - yuan("3"), yuan("8"))
    );
    company.top_up("w", "10");
    assert_eq!((company.wallet("w"), company.balance("debt:w")), (yuan("7"), Fen::ZERO));
    company.check();
}

fn what_is_owed_by_an_adjustment_is_paid_when_wallets_are_let_go(mut company: Company) {
    company.member("w", "50");
    company.settle();
    company.money(|money| money.freeze_all("a drill"));
    propose(&company, &adjust("a1", "w", "-8", None)).unwrap();
    approve(&company, "zhao", "a1").unwrap();
    assert_eq!(
        (company.wallet("w"), company.balance("debt:w")),
        (yuan("50"), Fen::ZERO - yuan("8")),
        "nothing leaves a wallet that is frozen"
    );
    company
        .may(|money| money.let_wallets_go(&std::collections::BTreeSet::new()))
        .unwrap();
    assert_eq!(
        (company.wallet("w"), company.balance("debt:w")),
        (yuan("42"), Fen::ZERO)
    );

    // And where a wallet was let go without that, by the hourly look at who owes something.
    company.money(|money| money.freeze_all("a drill"));
    propose(&company, &adjust("a2", "w", "-2", None)).unwrap();
    approve(&company, "zhao", "a2").unwrap();
    company.write(|tx| central::store::identity::freeze(tx, None)).unwrap();
    let owing = company.read(|tx| central::store::at_sites::owing(tx, None));
    assert_eq!(owing, [id("w")]);
    company.money(|money| money.wallet_moved(&id("w")));
    assert_eq!(
        (company.wallet("w"), company.balance("debt:w")),
        (yuan("40"), Fen::ZERO)
    );
    assert!(company.read(|tx| central::store::at_sites::owing(tx, None)).is_empty());
    company.check();
}

fn a_finding_that_goes_over_to_another_branch_keeps_its_adjustment(mut company: Company) {
    company.member("w", "50");
    let site = company.site(0);
    company
        .may(move |money| money.lease(&id("w"), &site, yuan("10")))
        .unwrap();
    company.settle();
    short_of_six(&mut company);
    let found = findings(&company, Class::Cash);
    propose(&company, &adjust("a1", "w", "-14", Some(place(&found[0])))).unwrap();
    approve(&company, "zhao", "a1").unwrap();
    // The station goes on alone from a copy that has the entry, and not what came after it.
    let copy = company.stations[0].bench.facts.len();
    company.stations[0].bench.ok(Input::TopUp {
        member: id("w"),
        amount: yuan("1"),
        receipt: "R-2".to_owned(),
        by: "desk".to_owned(),
    });
    company.settle();
    company.stations[0].restored(copy, "e2", true);
    for batch in company.stations[0].batches() {
        assert!(matches!(company.takes(0, batch), Taken::Stopped { .. }));
    }
    accept(&mut company);
    let moved = findings(&company, Class::Cash);
    assert_eq!(moved.len(), 1);
    assert_ne!(moved[0].branch, found[0].branch);
    let twice = propose(&company, &adjust("a2", "w", "-14", Some(place(&moved[0]))));
    assert!(matches!(twice.unwrap_err(), Refused::Adjusted { adjustment } if adjustment == "a1"));
    company.check();
}

fn a_branch_that_is_gone_back_to_has_what_was_found_in_it_and_nothing_is_found_twice(mut company: Company) {
    company.member("w", "50");
    let site = company.site(0);
    company
        .may(move |money| money.lease(&id("w"), &site, yuan("10")))
        .unwrap();
    company.settle();
    let copy = company.stations[0].bench.facts.len();
    // Above the fork: the till is short of 14, and cash is paid in.
    short_of_six(&mut company);
    company.stations[0].bench.ok(Input::TopUp {
        member: id("w"),
        amount: yuan("5"),
        receipt: "R-3".to_owned(),
        by: "desk".to_owned(),
    });
    company.settle();
    let cash = findings(&company, Class::Cash);
    propose(&company, &adjust("a1", "w", "-14", Some(place(&cash[0])))).unwrap();
    approve(&company, "zhao", "a1").unwrap();
    company.stations[0].restored(copy, "e2", true);
    for batch in company.stations[0].batches() {
        assert!(matches!(company.takes(0, batch), Taken::Stopped { .. }));
    }
    accept(&mut company);
    let above = findings(&company, Class::AboveFork);
    assert_eq!((above.len(), findings(&company, Class::Cash).len()), (1, 1));
    let amount = {
        let detail: serde_json::Value = serde_json::from_str(&above[0].finding.detail).unwrap();
        detail["members"][0]["amount"].as_str().unwrap().to_owned()
    };
    propose(&company, &adjust("a2", "w", &amount, Some(place(&above[0])))).unwrap();
    approve(&company, "zhao", "a2").unwrap();

    // People change their mind, and once more.
    for _ in 0..2 {
        accept(&mut company);
        let (cash, above) = (findings(&company, Class::Cash), findings(&company, Class::AboveFork));
        assert_eq!((cash.len(), above.len()), (1, 1), "{cash:?} {above:?}");
        for (found, amount, by) in [(&cash[0], "-14", "a1"), (&above[0], amount.as_str(), "a2")] {
            let again = propose(&company, &adjust("a3", "w", amount, Some(place(found))));
            assert!(matches!(again.unwrap_err(), Refused::Adjusted { adjustment } if adjustment == by));
        }
    }
    company.check();
}

/// A top-up of 60 was typed, 6 were paid in; 30 of it are held for an order: the till is short of 14.
fn short_of_six(company: &mut Company) {
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
}

/// People say that the other branch of the first station's journal lives.
fn accept(company: &mut Company) {
    let (site, now) = (company.site(0), company.now());
    let epoch = company.write(move |tx| {
        let branch = sites::find(tx, &site)?.unwrap().branch;
        let others = central::store::branches::others(tx, &site, branch)?;
        upkeep::fork::accept(tx, ME, &site, others.first().unwrap().head, now)?.unwrap();
        Ok(sites::find(tx, &site)?.unwrap().hq_epoch.unwrap())
    });
    company.check();
    company.stations[0].bench.ok(Input::HeadOfficeSeen(epoch.unwrap()));
}

fn rule_20_what_a_till_is_short_of_is_taken_from_the_wallet_once(mut company: Company) {
    company.member("w", "50");
    let site = company.site(0);
    company
        .may(move |money| money.lease(&id("w"), &site, yuan("10")))
        .unwrap();
    company.settle();
    short_of_six(&mut company);
    let found = findings(&company, Class::Cash);
    let detail: serde_json::Value = serde_json::from_str(&found[0].finding.detail).unwrap();
    // 70 were there, 30 are held: 40 of 54 could be taken.
    assert_eq!((&detail["member"], &detail["amount"]), (&"w".into(), &"14.00".into()));
    let short = adjust("a1", "w", "-14", Some(place(&found[0])));
    propose(&company, &short).unwrap();
    let twice = Adjust {
        id: "a2".to_owned(),
        ..short.clone()
    };
    assert!(matches!(
        propose(&company, &twice).unwrap_err(),
        Refused::Adjusted { adjustment } if adjustment == "a1"
    ));
    for other in ["-14.01", "14", "1"] {
        assert_eq!(
            propose(&company, &adjust("a4", "w", other, Some(place(&found[0])))).unwrap_err(),
            Refused::OtherThanFinding {
                member: id("w"),
                says: yuan("-14")
            },
            "{other}"
        );
    }
    company.member("v", "50");
    assert_eq!(
        propose(&company, &adjust("a4", "v", "-14", Some(place(&found[0])))).unwrap_err(),
        Refused::NotInFinding(id("v"))
    );
    let nowhere = OfFinding {
        seq: 99_999,
        ..place(&found[0])
    };
    assert!(matches!(
        propose(&company, &adjust("a3", "w", "-14", Some(nowhere))).unwrap_err(),
        Refused::UnknownFinding(_)
    ));
    approve(&company, "zhao", "a1").unwrap();
    assert_eq!(company.wallet("w"), yuan("26"));
    assert!(matches!(
        propose(&company, &twice).unwrap_err(),
        Refused::Adjusted { .. }
    ));
    company.settle();
    company.check_equal();
}

fn rule_8_what_members_had_above_a_fork_is_proposed_by_name_and_given_once(mut company: Company) {
    company.member("w", "50");
    company.member("v", "50");
    let site = company.site(0);
    company
        .may(move |money| money.lease(&id("v"), &site, yuan("10")))
        .unwrap();
    company.settle();
    let copy = company.stations[0].bench.facts.len();
    // Above the fork: v's 10 become 25 by cash, and w gets 20 by a lease, which is on the road again then.
    company.stations[0].bench.ok(Input::TopUp {
        member: id("v"),
        amount: yuan("15"),
        receipt: "R-1".to_owned(),
        by: "desk".to_owned(),
    });
    let site = company.site(0);
    company
        .may(move |money| money.lease(&id("w"), &site, yuan("20")))
        .unwrap();
    company.settle();
    let left = company.stations[0].bench.facts.len();
    company.stations[0].restored(copy, "e2", true);
    for batch in company.stations[0].batches() {
        assert!(matches!(company.takes(0, batch), Taken::Stopped { .. }));
    }
    accept(&mut company);
    let found = findings(&company, Class::AboveFork);
    assert_eq!((found.len(), found[0].finding.seq), (1, left as u64));
    let detail: serde_json::Value = serde_json::from_str(&found[0].finding.detail).unwrap();
    assert_eq!(
        (&detail["members"], &detail["in_all"]),
        (
            &serde_json::json!([{ "member": "v", "amount": "15.00" }]),
            &"15.00".into()
        )
    );
    company.settle();
    for other in ["15.01", "-15"] {
        assert_eq!(
            propose(&company, &adjust("a0", "v", other, Some(place(&found[0])))).unwrap_err(),
            Refused::OtherThanFinding {
                member: id("v"),
                says: yuan("15")
            },
            "{other}"
        );
    }
    assert_eq!(
        propose(&company, &adjust("a0", "w", "15", Some(place(&found[0])))).unwrap_err(),
        Refused::NotInFinding(id("w")),
        "what w had is on the road again"
    );
    propose(&company, &adjust("a1", "v", "15", Some(place(&found[0])))).unwrap();
    approve(&company, "zhao", "a1").unwrap();
    let has = |company: &Company, who: &str| company.wallet(who) + company.there(0, who);
    assert_eq!((has(&company, "v"), has(&company, "w")), (yuan("65"), yuan("50")));
    company.check_equal();
}

/// They owe it again on the branch that lives, and have paid: that is theirs.
fn rule_8_a_debt_that_was_paid_in_cash_above_a_fork_is_found_and_given_back(mut company: Company) {
    company.member("w", "5");
    let order = company.charge(0, "w", "P1", "5", "hq-1");
    company.end(0, "P1", &order, "20");
    company.settle();
    let owed = company.stations[0].bench.debt("w");
    assert!(owed > yuan("1") && company.wallet("w") == Fen::ZERO, "{owed}");
    let copy = company.stations[0].bench.facts.len();
    company.stations[0].bench.ok(Input::PayDebt {
        member: id("w"),
        amount: owed,
        from: PaidFrom::Cash,
        receipt: "R-1".to_owned(),
        by: "desk".to_owned(),
    });
    company.settle();
    assert_eq!(company.stations[0].bench.debt("w"), Fen::ZERO);
    company.stations[0].restored(copy, "e2", true);
    for batch in company.stations[0].batches() {
        assert!(matches!(company.takes(0, batch), Taken::Stopped { .. }));
    }
    accept(&mut company);
    assert_eq!(company.stations[0].bench.debt("w"), owed, "again");
    let found = findings(&company, Class::AboveFork);
    let detail: serde_json::Value = serde_json::from_str(&found[0].finding.detail).unwrap();
    let told = serde_json::json!([{ "member": "w", "amount": owed.to_string() }]);
    assert_eq!((found.len(), &detail["members"]), (1, &told));

    propose(&company, &adjust("a1", "w", &owed.to_string(), Some(place(&found[0])))).unwrap();
    approve(&company, "zhao", "a1").unwrap();
    company.settle();
    assert_eq!(company.stations[0].bench.debt("w"), Fen::ZERO, "the wallet has paid it");
    assert_eq!((company.wallet("w"), company.on_road("w")), (Fen::ZERO, Fen::ZERO));
    company.check_equal();
}
