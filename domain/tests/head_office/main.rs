//! Head office has the station do things: each once, in order, and what cannot be done is refused by a fact. Money of wallets
//! comes, is spent, and what comes free of it goes back.

#![allow(clippy::unwrap_used, reason = "what a test cannot go on without fails it")]

#[path = "../bench/mod.rs"]
mod bench;
mod bound;
mod joined;
mod keys;
mod vouchers;

use bench::*;
use domain::{
    fact::{Fact, PaidFrom},
    head_office::{Directive, DirectiveRow, HqEpoch},
    ids::CardId,
    messages::{AckResult, StopReason},
    order::{Source, State},
    site::{Answer, Input, Rejected, Told},
    time::Wall,
    units::Fen,
};
use joined::{Joined, charged, lease, soon, start, taken};

#[test]
fn a_start_leases_places_and_holds_in_one_step_and_what_is_left_goes_back_in_the_step_that_ends_it() {
    let mut site = Joined::new();
    let ends = soon(&site.bench);
    let input = site.told(start("hq-1", "w", "P1", "30", ends));
    let outcome = site.bench.ok(input);
    let kinds: Vec<&str> = outcome.facts.iter().map(|(_, fact)| fact.kind()).collect();
    assert_eq!(
        kinds,
        [
            "MemberRegistered",
            "LeaseReceived",
            "OrderPlaced",
            "HoldTaken",
            "CommandIssued",
            "DirectiveTaken"
        ]
    );
    let order = order_id("hq-1");
    assert_eq!(outcome.answer, Ok(Answer::Order(order.clone())));
    assert_eq!(site.bench.order(&order).source, Source::HeadOffice);
    assert_eq!((site.bench.allowance("w"), site.leased("w")), (Fen::ZERO, yuan("30")));

    charged(&mut site, &order, "P1", "1003");
    let row = site.bench.order(&order);
    assert_eq!(row.state, State::Payed);
    let fee = row.paid.charged();
    assert_eq!(fee, yuan("3"));
    assert_eq!((site.bench.allowance("w"), site.leased("w")), (Fen::ZERO, fee));
    let settled = site
        .bench
        .kinds()
        .iter()
        .rposition(|kind| kind == "OrderSettled")
        .unwrap();
    assert_eq!(site.bench.kinds()[settled + 1], "LeaseReturned", "in the same step");

    // A correction downwards frees more of it, and that goes back as well.
    site.done(Directive::Correct {
        order: order.clone(),
        version: 1,
        electricity: yuan("1"),
        service: yuan("0.50"),
        reason: "the register slipped".to_owned(),
        by: "li".to_owned(),
        second: None,
    });
    assert_eq!((site.bench.allowance("w"), site.leased("w")), (Fen::ZERO, yuan("1.50")));
    let again = Directive::Correct {
        order,
        version: 1,
        electricity: yuan("1"),
        service: Fen::ZERO,
        reason: "once more".to_owned(),
        by: "li".to_owned(),
        second: None,
    };
    assert_eq!(site.refused(again), "other_bill", "the station's first decision stands");
}

#[test]
fn a_stop_is_done_whichever_row_it_is_numbered_in_and_twice_it_changes_nothing() {
    let mut site = Joined::new();
    let ends = soon(&site.bench);
    site.done(start("hq-1", "w", "P1", "30", ends));
    let stop = || Directive::Stop {
        order: order_id("hq-1"),
        by: "the driver".to_owned(),
    };
    let directive = site.no(DirectiveRow::Others);
    let outcome = site.bench.ok(Input::Directive(Box::new(Told {
        directive,
        sha256: "1".repeat(64),
        content: Ok(stop()),
        at_most: None,
    })));
    assert_eq!(taken(&outcome), None);
    assert_eq!(site.bench.state(&order_id("hq-1")), State::Fail);
    let facts = site.bench.facts.len();
    site.tell(stop());
    assert_eq!(
        site.bench.facts.len(),
        facts + 1,
        "in its own row it is taken, and that is all"
    );
}

#[test]
fn a_start_that_comes_to_nothing_returns_all_of_it() {
    let mut site = Joined::new();
    let ends = soon(&site.bench);
    site.done(start("hq-1", "w", "P1", "30", ends));
    site.done(Directive::Stop {
        order: order_id("hq-1"),
        by: "the driver".to_owned(),
    });
    assert_eq!(site.bench.state(&order_id("hq-1")), State::Fail);
    assert_eq!((site.bench.allowance("w"), site.leased("w")), (Fen::ZERO, Fen::ZERO));

    site.done(start("hq-2", "w", "P2", "30", soon(&site.bench)));
    site.bench.advance(2 * MINUTE);
    assert_eq!(site.bench.state(&order_id("hq-2")), State::Fail, "nobody answered");
    assert_eq!(site.leased("w"), Fen::ZERO);
}

#[test]
fn a_standing_lease_stays_when_an_order_ends() {
    let mut site = Joined::new();
    site.done(lease("w", "50"));
    let order = site.bench.place("w", "P1", "20");
    charged(&mut site, &order, "P1", "1003");
    assert_eq!(site.bench.allowance("w"), yuan("47"));
    assert_eq!(site.leased("w"), yuan("50"), "sold for 3 of it, and nothing went back");
}

#[test]
fn a_recall_returns_what_is_not_reserved_and_never_waits() {
    let mut site = Joined::new();
    site.done(lease("w", "50"));
    site.bench.place("w", "P1", "20");
    site.done(Directive::Recall {
        member: member("w"),
        up_to: yuan("100"),
    });
    assert_eq!((site.bench.allowance("w"), site.leased("w")), (Fen::ZERO, yuan("20")));
    site.done(Directive::Recall {
        member: member("w"),
        up_to: yuan("100"),
    });
    assert_eq!(
        site.leased("w"),
        yuan("20"),
        "nothing is there to return, and that is no refusal"
    );
    assert_eq!(
        site.refused(Directive::Recall {
            member: member("m"),
            up_to: yuan("1")
        }),
        "not_head_offices",
        "what is the station's own is never recalled"
    );
}

#[test]
fn a_directive_is_taken_once_in_order_and_has_one_content() {
    let mut site = Joined::new();
    let first = site.told(lease("w", "50"));
    site.bench.ok(first.clone());
    let facts = site.bench.facts.len();
    site.bench.ok(first.clone());
    assert_eq!(site.bench.facts.len(), facts, "again it changes nothing");
    let Input::Directive(mut told) = first else {
        unreachable!("it is one")
    };
    told.sha256 = "f".repeat(64);
    assert!(matches!(
        site.bench.refused(Input::Directive(told.clone())),
        Rejected::OtherDirective(_)
    ));
    told.directive.n = 3;
    assert_eq!(
        site.bench.refused(Input::Directive(told.clone())),
        Rejected::DirectiveOutOfOrder {
            row: DirectiveRow::Orders,
            expected: 2
        }
    );
    // The other row has numbers of its own: a mass of blocks holds no stop back.
    site.done(Directive::Member {
        member: member("v"),
        name: "v".to_owned(),
        adopt: false,
    });
    // Another life of head office's begins at 1, and what is left of the one before counts for nothing.
    let other = HqEpoch([2; 16]);
    site.bench.ok(Input::HeadOfficeSeen(other));
    told.directive.n = 2;
    assert_eq!(
        site.bench.refused(Input::Directive(told.clone())),
        Rejected::OtherHqEpoch
    );
    (told.directive.hq_epoch, told.directive.n) = (other, 1);
    assert_eq!(taken(&site.bench.ok(Input::Directive(told))), None);
    site.bench.ok(Input::HeadOfficeSeen(other));
    assert_eq!(
        site.bench
            .kinds()
            .iter()
            .filter(|kind| *kind == "HeadOfficeSeen")
            .count(),
        2
    );
    let replayed = site.bench.replayed();
    assert_eq!(replayed.head_office, site.bench.disk.head_office);
}

#[test]
fn rule_17_what_cannot_be_done_or_read_is_refused_by_a_fact_and_the_next_one_is_not_held_up() {
    let mut site = Joined::new();
    let no = site.no(DirectiveRow::Orders);
    let unreadable = Told {
        directive: no,
        sha256: "0".repeat(64),
        content: Err("unknown variant `teleport`".to_owned()),
        at_most: None,
    };
    let outcome = site.bench.ok(Input::Directive(Box::new(unreadable)));
    assert_eq!(taken(&outcome).unwrap().code, "unreadable_directive");
    let unknown = order_id("nowhere");
    assert_eq!(
        site.refused(Directive::Stop {
            order: unknown.clone(),
            by: "li".to_owned()
        }),
        "unknown_order"
    );
    let debt = Directive::DebtPaid {
        order: unknown,
        amount: yuan("1"),
        receipt: "hq-1".to_owned(),
    };
    assert_eq!(site.refused(debt), "unknown_order");
    site.done(lease("w", "1"));
}

#[test]
fn a_start_that_may_be_late_or_of_which_nobody_knows_is_refused() {
    let mut site = Joined::new();
    let ends = soon(&site.bench);
    let Input::Directive(mut told) = site.told(start("hq-1", "w", "P1", "30", ends)) else {
        unreachable!("it is one")
    };
    told.at_most = None;
    let outcome = site.bench.ok(Input::Directive(told));
    assert_eq!(taken(&outcome).unwrap().code, "no_time");
    let Input::Directive(mut told) = site.told(start("hq-1", "w", "P1", "30", ends)) else {
        unreachable!("it is one")
    };
    told.at_most = Some(ends);
    let outcome = site.bench.ok(Input::Directive(told));
    assert_eq!(taken(&outcome).unwrap().code, "expired");
    assert_eq!(site.leased("w"), Fen::ZERO);
    site.done(start("hq-1", "w", "P1", "30", ends));
    assert_eq!(
        site.refused(start("hq-1", "w", "P2", "30", ends)),
        "illegal_in_this_state"
    );
}

#[test]
fn rule_18_a_wish_counts_until_the_card_is_elsewhere_or_somebody_ordered_there() {
    let mut site = Joined::new();
    site.done(Directive::Member {
        member: member("w"),
        name: "w".to_owned(),
        adopt: false,
    });
    let wish = |site: &mut Joined, at: &str| {
        let outcome = site.bench.swipe(at, "c9");
        let Answer::Ack(ack) = outcome.answer.unwrap() else {
            panic!("a swipe is answered")
        };
        assert_eq!((ack.result, ack.detail.as_str()), (AckResult::Ok, "asked head office"));
        outcome.facts.last().unwrap().0.seq
    };
    let by_wish = |seq: u64, order: &str, at: &str, ends: Wall| match start(order, "w", at, "30", ends) {
        Directive::Start {
            order,
            member,
            name,
            outlet,
            prepay,
            until,
            expires_at,
            ..
        } => Directive::Start {
            order,
            member,
            name,
            outlet,
            prepay,
            until,
            expires_at,
            wished: Some(seq),
        },
        other => other,
    };
    let first = wish(&mut site, "P1");
    site.bench.pass(20_000);
    let second = wish(&mut site, "P2");
    let ends = soon(&site.bench);
    assert_eq!(site.refused(by_wish(first, "hq-1", "P1", ends)), "wish_over");
    site.done(by_wish(second, "hq-2", "P2", ends));
    assert_eq!(site.refused(by_wish(second, "hq-3", "P2", ends)), "wish_over");
    // By elapsed time: the clock may have been put right meanwhile.
    let third = wish(&mut site, "P3");
    site.bench.pass(domain::site::WISH_MS);
    let ends = soon(&site.bench);
    assert_eq!(site.refused(by_wish(third, "hq-4", "P3", ends)), "wish_over");
    // Without a line nobody is asked, and nobody waits for an answer.
    site.bench.ok(Input::Line(false));
    site.bench.pass(20_000);
    let outcome = site.bench.swipe("P3", "c9");
    let Answer::Ack(ack) = outcome.answer.unwrap() else {
        panic!("a swipe is answered")
    };
    assert_eq!((ack.result, ack.detail.as_str()), (AckResult::Rejected, "unknown card"));
}

#[test]
fn a_card_with_too_little_here_asks_head_office_and_one_of_the_stations_own_member_does_not() {
    let mut site = Joined::new();
    site.done(Directive::Member {
        member: member("w"),
        name: "w".to_owned(),
        adopt: false,
    });
    site.done(Directive::Card {
        card: CardId::new("c7").unwrap(),
        member: Some(member("w")),
        by: "li".to_owned(),
    });
    site.bench.swipe("P1", "c7");
    assert!(matches!(site.bench.facts.last().unwrap().1, Fact::StartWished { .. }));
    site.bench.place("m", "P2", "60");
    let outcome = site.bench.swipe("P3", "c1");
    assert!(outcome.facts.is_empty(), "{:?}", outcome.facts);
}

#[test]
fn a_wallet_pays_what_is_owed_and_no_more() {
    let mut site = Joined::new();
    let ends = soon(&site.bench);
    site.done(start("hq-1", "w", "P1", "10", ends));
    charged(&mut site, &order_id("hq-1"), "P1", "1015");
    assert_eq!(site.bench.state(&order_id("hq-1")), State::Unpaid);
    assert_eq!(site.bench.debt("w"), yuan("5"));
    site.done(Directive::DebtPaid {
        order: order_id("hq-1"),
        amount: yuan("20"),
        receipt: "hq-r1".to_owned(),
    });
    let paid = site.bench.facts.iter().rev().find_map(|(_, fact)| match fact {
        Fact::DebtPaid { amount, from, .. } => Some((*amount, *from)),
        _ => None,
    });
    assert_eq!(
        paid,
        Some((yuan("5"), PaidFrom::HeadOffice)),
        "the rest goes back at head office"
    );
    assert_eq!(
        (site.bench.debt("w"), site.bench.state(&order_id("hq-1"))),
        (Fen::ZERO, State::Payed)
    );
    let facts = site.bench.facts.len();
    site.done(Directive::DebtPaid {
        order: order_id("hq-1"),
        amount: yuan("5"),
        receipt: "hq-r2".to_owned(),
    });
    assert_eq!(
        site.bench.facts.len(),
        facts + 1,
        "paid already: nothing but that it was taken"
    );
}

#[test]
fn who_owes_elsewhere_starts_nowhere_until_it_is_paid() {
    let mut site = Joined::new();
    site.done(lease("w", "50"));
    site.done(Directive::Owes {
        member: member("w"),
        amount: yuan("5"),
    });
    let refused = site.bench.place_input("w", "P1", "20");
    assert!(matches!(site.bench.refused(refused), Rejected::OwesElsewhere { .. }));
    let lift = |receipt: &str| Input::LiftOwes {
        member: member("w"),
        receipt: receipt.to_owned(),
        by: "desk".to_owned(),
    };
    assert_eq!(site.bench.refused(lift(" ")), Rejected::NoReason);
    site.bench.ok(lift("hq-r1"));
    let order = site.bench.place("w", "P1", "20");
    // What head office says afterwards stands over what the desk has lifted, by the same number too.
    site.done(Directive::Owes {
        member: member("w"),
        amount: yuan("5"),
    });
    assert_eq!(site.bench.state(&order), State::Place, "what has begun goes on");
    let again = site.bench.place_input("w", "P2", "20");
    assert!(matches!(
        site.bench.refused(again.clone()),
        Rejected::OwesElsewhere { .. }
    ));
    site.done(Directive::Owes {
        member: member("w"),
        amount: Fen::ZERO,
    });
    assert!(
        matches!(site.bench.refused(again), Rejected::TooManyOpenOrders(_)),
        "it is only the open order now"
    );
}

#[test]
fn two_block_slots_do_not_lift_each_other() {
    let mut site = Joined::new();
    site.done(lease("w", "50"));
    let by_desk = |reason: Option<&str>| Input::BlockMember {
        member: member("w"),
        reason: reason.map(str::to_owned),
        by: "desk".to_owned(),
    };
    let by_hq = |reason: Option<&str>| Directive::Block {
        member: member("w"),
        reason: reason.map(str::to_owned),
        by: "li".to_owned(),
    };
    site.bench.ok(by_desk(Some("noise")));
    site.done(by_hq(Some("debts")));
    site.bench.ok(by_desk(None));
    let place = site.bench.place_input("w", "P1", "20");
    assert!(matches!(site.bench.refused(place.clone()), Rejected::MemberBlocked { reason, .. } if reason == "debts"));
    site.done(by_hq(None));
    site.bench.ok(place);
}

#[test]
fn rule_22_a_refund_mark_counts_once_and_never_above_what_can_be_given_back() {
    let mut site = Joined::new();
    let ends = soon(&site.bench);
    site.done(start("hq-1", "w", "P1", "30", ends));
    let order = order_id("hq-1");
    let mark = |amount: &str, reference: &str| Directive::RefundMark {
        order: order.clone(),
        amount: yuan(amount),
        reference: reference.to_owned(),
    };
    assert_eq!(site.refused(mark("1", "r1")), "illegal_in_this_state");
    charged(&mut site, &order, "P1", "1003");
    site.done(mark("2", "r1"));
    let facts = site.bench.facts.len();
    site.done(mark("2", "r1"));
    assert_eq!(site.bench.facts.len(), facts + 1, "one number counts once");
    assert_eq!(site.refused(mark("1.01", "r2")), "too_much");
    site.done(mark("1", "r2"));
    let row = site.bench.order(&order);
    assert_eq!((row.paid.refunded, row.after_sales), (yuan("3"), true));
    assert!(matches!(
        site.bench.refused(Bench::refund_input(&order, "1")),
        Rejected::HeadOfficeOwns(_)
    ));
}

#[test]
fn what_head_office_owns_the_desk_does_not_do() {
    let mut site = Joined::new();
    let register = |id: &str| Input::RegisterMember {
        member: member(id),
        name: "Wang".to_owned(),
        by: "desk".to_owned(),
    };
    assert!(matches!(
        site.bench.refused(register("w")),
        Rejected::NotThisSitesMember { site: 7, .. }
    ));
    site.bench.ok(register("s7_1"));
    site.bench.ok(register("m"));
    site.done(lease("w", "5"));
    assert!(matches!(site.bench.refused(register("w")), Rejected::HeadOfficeOwns(_)));
    let card = CardId::new("c8").unwrap();
    assert!(matches!(
        site.bench.refused(Input::BindCard {
            card: card.clone(),
            member: member("m"),
            by: "desk".to_owned()
        }),
        Rejected::HeadOfficeOwns(_)
    ));
    assert!(matches!(
        site.bench.refused(Input::UnbindCard {
            card,
            by: "desk".to_owned()
        }),
        Rejected::HeadOfficeOwns(_)
    ));
    assert_eq!(
        site.refused(lease("m", "5")),
        "not_head_offices",
        "equal ids are never merged by themselves"
    );
}

#[test]
fn a_bill_that_takes_two_people_here_takes_them_there_as_well() {
    let mut site = Joined::new();
    let ends = soon(&site.bench);
    site.done(start("hq-1", "w", "P1", "200", ends));
    charged(&mut site, &order_id("hq-1"), "P1", "1003");
    let correct = |second: Option<&str>| Directive::Correct {
        order: order_id("hq-1"),
        version: 1,
        electricity: yuan("60"),
        service: yuan("0"),
        reason: "read from the meter".to_owned(),
        by: "li".to_owned(),
        second: second.map(str::to_owned),
    };
    assert_eq!(site.refused(correct(None)), "second_person_needed");
    assert_eq!(site.refused(correct(Some("li"))), "second_person_needed");
    site.done(correct(Some("zhou")));
    assert_eq!(site.bench.debt("w"), yuan("57"), "what had gone back is owed now");
}

#[test]
fn a_record_that_stops_badly_is_settled_as_any_other() {
    let mut site = Joined::new();
    let ends = soon(&site.bench);
    site.done(start("hq-1", "w", "P1", "30", ends));
    let order = order_id("hq-1");
    let bench = &mut site.bench;
    let command = bench.order(&order).commands[0].id.clone();
    bench.reply("P1", &command, true);
    let begun = bench.now;
    bench.charging("P1", &order);
    // No record comes: an estimate, whose remainder stays held for a day, and then goes back to the wallet.
    bench.idle("P1");
    bench.advance(2 * HOUR);
    assert_eq!(site.bench.state(&order), State::Settle);
    assert_eq!(site.leased("w"), yuan("30"), "held for the record");
    site.bench.advance(25 * HOUR);
    assert_eq!(site.bench.state(&order), State::Payed);
    let captured = site.bench.order(&order).paid.charged();
    assert_eq!(site.leased("w"), captured);
    // The record comes late and says more: it is owed, as nothing is left here.
    let mut record = site.bench.record_since("P1", &order, begun, "1000", "1002");
    record.reason.code = StopReason::OTHER;
    site.bench.send_record("P1", &record);
    let more = site.bench.order(&order).paid.charged() - captured;
    assert!(more > Fen::ZERO);
    assert_eq!(site.bench.debt("w"), more);
}

#[test]
fn rule_13_what_head_office_says_of_its_own_member_is_not_done_to_the_stations_of_the_same_id() {
    let mut site = Joined::new();
    let card = CardId::new("c9").unwrap();
    let of_m = |adopted: bool| {
        [
            Directive::Block {
                member: member("m"),
                reason: Some("stolen card".to_owned()),
                by: "anna".to_owned(),
            },
            Directive::Owes {
                member: member("m"),
                amount: if adopted { yuan("3") } else { yuan("5") },
            },
            Directive::Card {
                card: card.clone(),
                member: Some(member("m")),
                by: "anna".to_owned(),
            },
        ]
    };
    for directive in of_m(false) {
        assert_eq!(site.refused(directive), "not_head_offices");
    }
    site.done(Directive::Member {
        member: member("m"),
        name: "m".to_owned(),
        adopt: true,
    });
    for directive in of_m(true) {
        site.done(directive);
    }
}

#[test]
fn rule_20_what_a_member_has_not_here_any_more_of_a_top_up_typed_wrong_is_missing_once() {
    let mut site = Joined::new();
    site.done(lease("w", "10"));
    site.bench.top_up("w", "600");
    let receipt = site.bench.facts.iter().rev().find_map(|(_, fact)| match fact {
        Fact::ToppedUp { receipt, .. } => Some(receipt.clone()),
        _ => None,
    });
    let receipt = receipt.unwrap();
    site.bench.place("w", "P1", "100");
    let till = site.bench.disk.till();
    let reverse = |who: &str, receipt: &str, amount: Option<&str>| Input::ReverseTopUp {
        member: member(who),
        receipt: receipt.to_owned(),
        amount: amount.map(yuan),
        reason: "60 were paid in".to_owned(),
        by: "desk".to_owned(),
    };
    let more = site.bench.refused(reverse("w", &receipt, Some("600.01")));
    assert_eq!(more.code(), "too_much");
    site.bench.ok(reverse("w", &receipt, Some("540")));
    let taken = site.bench.facts.iter().rev().find_map(|(_, fact)| match fact {
        Fact::TopUpReversed { amount, missing, .. } => Some((*amount, *missing)),
        _ => None,
    });
    assert_eq!(
        taken,
        Some((yuan("510"), yuan("30"))),
        "all that is not held, and the rest"
    );
    assert_eq!(
        (site.bench.allowance("w"), site.bench.disk.till()),
        (Fen::ZERO, till - yuan("510"))
    );
    let again = site.bench.refused(reverse("w", &receipt, Some("60.01")));
    assert!(
        matches!(again, Rejected::TooMuch { most, .. } if most == yuan("60")),
        "{again}"
    );
    assert_eq!(site.bench.replayed(), site.bench.disk);
    // Of the station's own members nobody else has the money.
    site.bench.top_up("m", "50");
    site.bench.place("m", "P2", "100");
    let receipt = site.bench.facts.iter().rev().find_map(|(_, fact)| match fact {
        Fact::ToppedUp { receipt, .. } => Some(receipt.clone()),
        _ => None,
    });
    assert_eq!(
        site.bench.refused(reverse("m", &receipt.unwrap(), None)).code(),
        "too_much"
    );
}
