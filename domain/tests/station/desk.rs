//! The desk: top-ups typed wrong, shifts, and cash that goes to the bank. The till and the day agree at every step; the
//! bench looks after each.

use crate::bench::*;
use domain::{
    desk::{CashMoved, DeskDay},
    fact::PaidFrom,
    ledger::{Account, Code},
    site::{Input, Rejected},
    units::Fen,
};

fn top_up(who: &str, amount: &str, receipt: &str) -> Input {
    Input::TopUp {
        member: member(who),
        amount: yuan(amount),
        receipt: receipt.to_owned(),
        by: "alice".to_owned(),
    }
}

fn reverse(who: &str, receipt: &str, amount: Option<&str>, reason: &str) -> Input {
    Input::ReverseTopUp {
        member: member(who),
        receipt: receipt.to_owned(),
        amount: amount.map(yuan),
        reason: reason.to_owned(),
        by: "alice".to_owned(),
    }
}

fn open(by: &str) -> Input {
    Input::OpenShift { by: by.to_owned() }
}

fn close(by: &str) -> Input {
    Input::CloseShift { by: by.to_owned() }
}

fn count(counted: &str, reason: Option<&str>) -> Input {
    Input::CountCash {
        counted: yuan(counted),
        reason: reason.map(str::to_owned),
        by: "alice".to_owned(),
    }
}

fn bank(amount: &str, slip: &str) -> Input {
    Input::BankCash {
        amount: yuan(amount),
        slip: slip.to_owned(),
        by: "alice".to_owned(),
    }
}

fn today(bench: &Bench) -> DeskDay {
    bench.disk.desk_days[&bench.disk.desk.day.unwrap()].clone()
}

/// A bare station, where member `n` has paid in 500.00 instead of 50.00 under receipt R1.
fn typed_wrong() -> Bench {
    let mut bench = Bench::new();
    bench.member("n", "0");
    bench.ok(top_up("n", "500", "R1"));
    bench
}

#[test]
fn a_top_up_typed_wrong_is_taken_back_by_a_counter_entry() {
    let mut bench = typed_wrong();
    let till = bench.disk.till();
    bench.ok(reverse("n", "R1", Some("450"), "typed 500 for 50"));
    assert_eq!(
        (bench.allowance("n"), bench.disk.till()),
        (yuan("50"), till - yuan("450"))
    );
    let entry = bench.transfers.last().unwrap();
    assert_eq!(
        (&entry.debit, &entry.credit, entry.code),
        (&Account::Allowance(member("n")), &Account::Cash, Code::Topup)
    );
    bench.ok(reverse("n", "R1", None, "paid at another station"));
    assert_eq!(bench.allowance("n"), Fen(0));
    let facts = bench.facts.len();
    bench.ok(reverse("n", "R1", None, "paid at another station"));
    bench.ok(top_up("n", "500", "R1"));
    assert_eq!(bench.facts.len(), facts, "the same asked again changes nothing");
}

#[test]
fn two_parts_of_one_sum_are_taken_back_twice_whatever_the_words() {
    let mut bench = typed_wrong();
    for left in ["400", "300"] {
        bench.ok(reverse("n", "R1", Some("100"), "typed wrong"));
        assert_eq!(bench.allowance("n"), yuan(left));
    }
    bench.ok(reverse("n", "R1", None, "typed wrong"));
    assert_eq!(bench.allowance("n"), yuan("0"));
    let refused = bench.refused(reverse("n", "R1", Some("100"), "typed wrong"));
    assert!(matches!(refused, Rejected::TooMuch { .. }), "{refused}");
}

#[test]
fn no_more_of_a_top_up_is_taken_back_than_was_paid_in_and_is_unspent() {
    let mut bench = typed_wrong();
    let most = |refused| match refused {
        Rejected::TooMuch { most, .. } => most,
        other => panic!("{other}"),
    };
    assert_eq!(
        most(bench.refused(reverse("n", "R1", Some("500.01"), "typo"))),
        yuan("500")
    );
    let order = bench.place("n", "P1", "400");
    assert_eq!(
        most(bench.refused(reverse("n", "R1", None, "typo"))),
        yuan("100"),
        "the rest is held"
    );
    bench.ok(reverse("n", "R1", Some("100"), "typo"));
    bench.ok(Bench::stop_input(&order));
    bench.ok(top_up("n", "70", "R2"));
    assert_eq!(
        most(bench.refused(reverse("n", "R1", Some("400.01"), "typo"))),
        yuan("400")
    );
    assert_eq!(most(bench.refused(reverse("n", "R2", Some("71"), "typo"))), yuan("70"));
    bench.ok(reverse("n", "R1", None, "typo"));
    assert_eq!(bench.allowance("n"), yuan("70"));
}

#[test]
fn what_is_no_top_up_of_this_member_is_not_taken_back() {
    let mut bench = typed_wrong();
    assert!(matches!(
        bench.refused(reverse("n", "R9", None, "typo")),
        Rejected::UnknownReceipt(_)
    ));
    assert!(matches!(
        bench.refused(reverse("m", "R1", None, "typo")),
        Rejected::ReceiptUsed { .. }
    ));
    assert!(matches!(
        bench.refused(reverse("x", "R1", None, "typo")),
        Rejected::UnknownMember(_)
    ));
    assert_eq!(bench.refused(reverse("n", "R1", None, " ")), Rejected::NoReason);
    assert!(matches!(
        bench.refused(reverse("n", "R1", Some("-1"), "typo")),
        Rejected::NotPositive(_)
    ));

    let (id, start) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, 11 * HOUR, "1070");
    let record = bench.record_since("P1", &id, start, "1000", "1070");
    bench.send_record("P1", &record);
    bench.ok(Input::PayDebt {
        member: member("m"),
        amount: yuan("10"),
        from: PaidFrom::Cash,
        receipt: "D1".to_owned(),
        by: "alice".to_owned(),
    });
    let refused = bench.refused(reverse("m", "D1", None, "typo")).to_string();
    assert!(
        refused.contains("order correct") && refused.contains("refund"),
        "what to do is said: {refused}"
    );
}

#[test]
fn a_shift_is_opened_counted_and_closed_and_holds_what_moved_in_it() {
    let mut bench = Bench::new();
    let opening = bench.disk.till();
    bench.ok(open("alice"));
    let taken = bench.refused(open("bob"));
    assert!(taken.to_string().contains("alice's since"), "{taken}");
    let never = bench.refused(close("alice"));
    assert!(matches!(never, Rejected::ShiftNotCounted(_)), "{never}");
    bench.member("n", "0");
    bench.ok(top_up("n", "500", "R1"));
    bench.ok(reverse("n", "R1", Some("450"), "typed wrong"));
    let by_books = opening + yuan("50");
    bench.ok(count(&by_books.to_string(), None));
    bench.ok(bank("100", "B1"));
    bench.refused(close("alice"));
    bench.ok(count(&(by_books - yuan("100")).to_string(), None));
    bench.restart(true);
    bench.ok(close("bob"));
    let shift = bench.disk.shifts.values().next_back().unwrap();
    assert_eq!(
        shift.moved,
        CashMoved {
            topped_up: yuan("500"),
            reversed: yuan("450"),
            banked: yuan("100"),
            ..CashMoved::default()
        }
    );
    assert_eq!((shift.opening, shift.till()), (opening, opening - yuan("50")));
    assert_eq!(
        (&*shift.opened_by, &*shift.closed.as_ref().unwrap().by),
        ("alice", "bob")
    );
    assert_eq!(bench.disk.desk.shift, None);
    assert_eq!(bench.refused(close("bob")), Rejected::NoShift);
    assert_eq!(bench.disk.ledger.balance(&Account::Bank), -yuan("100"));
}

#[test]
fn what_a_count_differs_is_booked_with_a_reason() {
    let mut bench = Bench::new();
    let till = bench.disk.till();
    for (off, over) in [("-3.50", "-3.50"), ("5", "1.50")] {
        let counted = (bench.disk.till() + yuan(off)).to_string();
        let refused = bench.refused(count(&counted, Some("  ")));
        assert!(refused.to_string().contains("say why"), "{refused}");
        bench.ok(count(&counted, Some("change given wrong")));
        assert_eq!(bench.disk.ledger.balance(&Account::CashOver), yuan(over));
        let entry = bench.transfers.last().unwrap();
        assert_eq!((entry.code, &entry.member), (Code::Cash, &None));
    }
    assert_eq!(bench.disk.till(), till + yuan("1.50"));
    assert_eq!((today(&bench).moved.over, today(&bench).counts), (yuan("1.50"), 2));
    let transfers = bench.transfers.len();
    bench.ok(count(&bench.disk.till().to_string(), None));
    assert_eq!(bench.transfers.len(), transfers, "a count that is right moves nothing");
    bench.refused(count("-1", Some("?")));
}

#[test]
fn cash_goes_to_the_bank_once_for_each_slip_and_never_more_than_the_till_holds() {
    let mut bench = Bench::new();
    assert_eq!(
        bench.refused(bank("60.01", "B1")),
        Rejected::TooMuch {
            amount: yuan("60.01"),
            most: yuan("60")
        }
    );
    bench.ok(bank("40", "B1"));
    let facts = bench.facts.len();
    bench.ok(bank("40", "B1"));
    assert_eq!(bench.facts.len(), facts, "the same slip again changes nothing");
    let other = bench.refused(bank("10", "B1"));
    assert!(other.to_string().contains("40.00 yuan"), "{other}");
    bench.ok(bank("20", "B2"));
    assert_eq!(bench.disk.till(), Fen(0));
    assert!(matches!(bench.refused(bank("0.01", "B3")), Rejected::TooMuch { .. }));
}

#[test]
fn cash_taken_without_a_shift_shows_in_the_day_and_the_next_shift_opens_with_it() {
    let mut bench = Bench::new();
    bench.ok(top_up("m", "15", "R1"));
    assert!(bench.disk.shifts.is_empty());
    assert_eq!((today(&bench).opening, today(&bench).closing()), (Fen(0), yuan("75")));
    bench.ok(open("alice"));
    let shift = bench.disk.shifts.values().next().unwrap();
    assert_eq!((shift.opening, shift.moved), (yuan("75"), CashMoved::default()));
}

#[test]
fn a_day_begins_with_what_the_day_before_ended_with() {
    let mut bench = Bench::new();
    bench.ok(open("alice"));
    let (monday, _) = bench.disk.desk.day.unwrap();
    bench.advance(DAY);
    assert_eq!(bench.disk.desk.day, None, "no cash has moved on Tuesday");
    bench.ok(top_up("m", "15", "R1"));
    let tuesday = today(&bench);
    assert_eq!(
        (tuesday.day, tuesday.opening, tuesday.closing()),
        (monday.plus(1), yuan("60"), yuan("75"))
    );
    let shift = bench.disk.shifts.values().next().unwrap();
    assert_eq!(shift.till(), yuan("75"), "a shift may last over midnight");

    // A clock set back over midnight: what happens then is Monday's again, and a row of its own.
    bench.now.wall = bench.now.wall.after_ms(-86_400_000);
    bench.ok(top_up("m", "1", "R2"));
    let again = today(&bench);
    assert_eq!(
        (again.day, again.opening, again.moved.topped_up),
        (monday, yuan("75"), yuan("1"))
    );
    let rows = bench.disk.desk_days.keys().filter(|(day, _)| *day == monday).count();
    assert_eq!((rows, bench.disk.desk_days.len()), (2, 3));
    assert_eq!(bench.replayed().desk_days, bench.disk.desk_days);
}
