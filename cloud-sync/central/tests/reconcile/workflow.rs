//! What people decide of discrepancies: two people, once.

use crate::{
    on_both,
    world::{CHANNEL, Line, World, paid, wait},
};
use central::{
    money::{Callback, Credited, Money, Paid, Propose, Refused, Undecided},
    reconcile::{
        stake::Kind,
        words::{Class, Source},
    },
    store::{
        StoreError,
        discrepancies::{self, Discrepancy, State as Stands},
        discrepancy_decisions::Decision,
        ledger, members,
    },
};
use domain::{ids::MemberId, units::Fen};

on_both! {
    what_nobody_was_credited_with_is_credited_by_two_people_once
    a_callback_after_a_write_off_takes_it_back_out_of_the_gain_rule_25
    a_callback_before_a_second_word_leaves_nothing_to_decide
    what_a_channel_never_pays_is_written_off_and_a_late_line_takes_it_back_rule_25
    whoever_was_credited_gives_it_back_or_owes_it_and_gets_it_again_by_a_late_line
    the_difference_of_an_amount_goes_the_way_it_differs
    what_has_no_money_at_stake_is_accepted_and_nothing_else_is
    whoever_proposes_is_not_who_approves_not_even_in_the_database
    of_two_who_decide_at_once_one_does
    what_has_changed_since_it_was_proposed_is_proposed_anew
    a_bill_that_is_withdrawn_takes_back_what_was_decided_and_it_may_be_decided_again
    who_has_it_and_what_is_said_stands_beside_it
}

const D1: &str = "2026-03-09";
const D2: &str = "2026-03-10";
const D3: &str = "2026-03-11";
const D4: &str = "2026-03-12";
const LATER: &str = "2026-03-20 10:00:00";

pub(crate) fn m(name: &str) -> MemberId {
    name.parse().unwrap()
}

impl World {
    pub(crate) fn money<T: Send + 'static>(
        &self,
        by: &'static str,
        work: impl FnOnce(&mut Money<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> T {
        let now = central::desk::Clock::wall(&*self.clock);
        wait(self.db.write(move |tx| work(&mut Money::new(tx, now, by)))).unwrap()
    }

    /// Members are here, with nothing in their wallets but what was credited.
    pub(crate) fn has_members(&self) {
        let now = central::desk::Clock::wall(&*self.clock);
        for name in ["m1", "w"] {
            wait(self.db.write(move |tx| members::put(tx, &m(name), name, "test", now))).unwrap();
        }
    }

    /// A wallet is credited as a callback does it, at noon of a day.
    pub(crate) fn pays(&self, transaction: &str, out_no: &str, fen: i64, of: &str) {
        self.now(&format!("{of} 12:00:00"));
        let (transaction, out_no) = (transaction.to_owned(), out_no.to_owned());
        let said = self.money(CHANNEL, move |money| {
            let asked = money.ask_top_up(&m("m1"), CHANNEL, &out_no, Fen(fen))?;
            asked.unwrap();
            money.called_back(&callback(&transaction, &out_no, fen))
        });
        assert_eq!(said, Credited::Now(m("m1")));
    }

    pub(crate) fn the(&self, class: Class) -> Discrepancy {
        let row = self.query("SELECT id FROM discrepancy WHERE class = $1", vec![class.code().into()]);
        assert_eq!(row.len(), 1, "{class:?}");
        let id = row.into_iter().next().unwrap().count(0).unwrap();
        self.again(id)
    }

    pub(crate) fn again(&self, id: u64) -> Discrepancy {
        wait(self.db.read(move |tx| discrepancies::find(tx, id)))
            .unwrap()
            .unwrap()
    }

    pub(crate) fn propose(
        &self,
        by: &'static str,
        id: u64,
        kind: Kind,
        member: Option<&str>,
    ) -> Result<Decision, Refused> {
        let of = Propose {
            kind,
            member: member.map(m),
            reason: "as the channel's log says".to_owned(),
        };
        self.money(by, move |money| money.propose_for(id, &of))
    }

    pub(crate) fn approve(&self, by: &'static str, id: u64) -> Result<Decision, Refused> {
        self.money(by, move |money| money.approve_for(id))
    }

    /// One proposes, the other approves.
    pub(crate) fn decide(&self, id: u64, kind: Kind, member: Option<&str>) -> Decision {
        self.propose("li", id, kind, member).unwrap();
        self.approve("zhao", id).unwrap()
    }

    /// The accounts that are not empty, but for the channel's own.
    pub(crate) fn accounts(&self) -> Vec<(String, i64)> {
        let rows = self.query(
            "SELECT name, balance FROM account WHERE balance <> 0 ORDER BY name",
            vec![],
        );
        let of: Vec<(String, i64)> = rows
            .into_iter()
            .map(|mut row| (row.text(0).unwrap(), row.int(1).unwrap()))
            .collect();
        assert_eq!(of.iter().map(|(_, balance)| balance).sum::<i64>(), 0, "{of:?}");
        of
    }

    pub(crate) fn balance(&self, name: &str) -> i64 {
        let name = name.to_owned();
        wait(self.db.read(move |tx| ledger::balance(tx, &name))).unwrap().0
    }

    pub(crate) fn unpaid(&self) -> i64 {
        self.balance("clearing:bank")
    }
}

pub(crate) fn callback(transaction: &str, out_no: &str, fen: i64) -> Callback {
    Callback {
        channel: CHANNEL.to_owned(),
        reference: out_no.to_owned(),
        transaction: transaction.to_owned(),
        amount: Fen(fen),
        paid: Paid::Paid,
    }
}

pub(crate) fn code(refused: &Refused) -> &'static str {
    match refused {
        Refused::Undecided(undecided) => undecided.code(),
        other => panic!("{other}"),
    }
}

/// A payment that nobody was credited with: somebody asked for a top-up under its number.
pub(crate) fn long(world: &World) -> Discrepancy {
    world.has_members();
    world.now(&format!("{D1} 11:00:00"));
    let asked = world.money("test", |money| money.ask_top_up(&m("m1"), CHANNEL, "X", Fen(500)));
    asked.unwrap();
    world.now(LATER);
    world.bill(D1, &[paid("x", "X", 500)]);
    world.run(D1);
    let found = world.the(Class::Long);
    assert_eq!((found.state, found.source), (Stands::Open, Source::Payment));
    found
}

/// A credit that the channel's bills do not have.
fn short(world: &World) -> Discrepancy {
    world.has_members();
    world.pays("s", "S", 800, D1);
    world.now(LATER);
    for day in [D1, D2, D3, D4] {
        world.bill(day, &[]);
    }
    world.run(D4);
    world.the(Class::Short)
}

fn what_nobody_was_credited_with_is_credited_by_two_people_once(world: &World) {
    let id = long(world).id;
    assert_eq!(
        world.propose("li", id, Kind::Credit, Some("nobody")).unwrap_err(),
        Refused::UnknownMember(m("nobody"))
    );
    // Our number on the line says whose it is.
    world.propose("li", id, Kind::Credit, Some("w")).unwrap();
    assert_eq!(
        world.approve("zhao", id).unwrap_err(),
        Refused::OtherTopUp("X".to_owned())
    );
    assert_eq!(world.accounts(), []);
    world
        .money("zhao", move |money| money.reject_for(id, "it is m1's"))
        .unwrap();
    let proposed = world.propose("li", id, Kind::Credit, None).unwrap();
    assert_eq!(
        (proposed.no, proposed.stake, proposed.member),
        (2, Fen(500), Some(m("m1")))
    );
    assert_eq!(
        code(&world.propose("qian", id, Kind::WriteOff, None).unwrap_err()),
        "discrepancy_not_open"
    );
    let before = world.accounts();
    assert!(matches!(world.approve("li", id), Err(Refused::SamePerson { .. })));
    assert_eq!(world.accounts(), before);
    let decided = world.approve("zhao", id).unwrap();
    assert_eq!(decided.checker.as_deref(), Some("zhao"));
    assert_eq!((world.balance("wallet:m1"), world.unpaid()), (500, -500));
    assert_eq!(world.again(id).state, Stands::Posted);
    assert_eq!(code(&world.approve("zhao", id).unwrap_err()), "nothing_proposed");
    // The channel calls back after all: whoever is second books nothing.
    let books = world.accounts();
    for out_no in ["X", "never"] {
        world.money(CHANNEL, move |money| money.called_back(&callback("x", out_no, 500)));
        assert_eq!(world.accounts(), books, "{out_no}");
    }
    // Runs find it no more, it stays decided, and nothing else is found of it.
    world.now("2026-03-21 10:00:00");
    world.run("2026-03-20");
    let open = world.open("2026-03-20");
    assert!(open.iter().all(|open| open.starts_with("FILE_MISSING")), "{open:?}");
    assert_eq!(world.accounts(), books);
    assert_eq!(world.again(id).state, Stands::Posted);
}

fn a_callback_after_a_write_off_takes_it_back_out_of_the_gain_rule_25(world: &World) {
    let id = long(world).id;
    world.decide(id, Kind::WriteOff, None);
    assert_eq!(
        world.accounts(),
        [("clearing:bank".to_owned(), -500), ("writeoff".to_owned(), 500)]
    );
    let said = world.money(CHANNEL, |money| money.called_back(&callback("x", "X", 500)));
    assert_eq!(said, Credited::Now(m("m1")));
    let books = [("clearing:bank".to_owned(), -500), ("wallet:m1".to_owned(), 500)];
    assert_eq!(world.accounts(), books);
    world.now("2026-03-21 10:00:00");
    world.run("2026-03-20");
    assert_eq!(world.accounts(), books, "nothing is taken back a second time");
}

fn a_callback_before_a_second_word_leaves_nothing_to_decide(world: &World) {
    let id = long(world).id;
    world.propose("li", id, Kind::WriteOff, None).unwrap();
    world.money(CHANNEL, |money| money.called_back(&callback("x", "X", 500)));
    let books = world.accounts();
    assert_eq!(code(&world.approve("zhao", id).unwrap_err()), "credited_meanwhile");
    world
        .money("zhao", move |money| money.reject_for(id, "credited"))
        .unwrap();
    for kind in [Kind::Credit, Kind::WriteOff] {
        let refused = world.propose("li", id, kind, Some("w")).unwrap_err();
        assert_eq!(code(&refused), "credited_meanwhile");
    }
    assert_eq!(world.accounts(), books, "nothing of the second word is left");
    assert_eq!((world.balance("wallet:m1"), world.balance("wallet:w")), (500, 0));
}

fn what_a_channel_never_pays_is_written_off_and_a_late_line_takes_it_back_rule_25(world: &World) {
    let id = short(world).id;
    assert_eq!(
        code(&world.propose("li", id, Kind::Credit, Some("w")).unwrap_err()),
        "does_not_settle_it"
    );
    world.decide(id, Kind::WriteOff, None);
    assert_eq!(
        world.accounts(),
        [("wallet:m1".to_owned(), 800), ("writeoff".to_owned(), -800)]
    );
    // It is on the bill of a later day.
    world.bill("2026-03-13", &[paid("s", "S", 800)]);
    world.run("2026-03-13");
    assert_eq!(
        world.accounts(),
        [("clearing:bank".to_owned(), -800), ("wallet:m1".to_owned(), 800)]
    );
    assert_eq!(world.again(id).state, Stands::Cleared);
    world.run("2026-03-13");
    assert_eq!(world.unpaid(), -800, "it is taken back once");
}

fn whoever_was_credited_gives_it_back_or_owes_it_and_gets_it_again_by_a_late_line(world: &World) {
    let id = short(world).id;
    // Some of it is spent by then.
    assert!(world.money("test", |money| money.freeze(&m("m1"), Some("a claim"))));
    let decided = world.decide(id, Kind::Adjust, None);
    assert_eq!(decided.member, Some(m("m1")));
    assert_eq!(
        (world.balance("wallet:m1"), world.balance("debt:m1"), world.unpaid()),
        (800, -800, 0),
        "a frozen wallet gives nothing, and owes it"
    );
    assert!(world.money("test", |money| money.freeze(&m("m1"), None)));
    assert_eq!((world.balance("wallet:m1"), world.balance("debt:m1")), (0, 0));
    world.bill("2026-03-13", &[paid("s", "S", 800)]);
    world.run("2026-03-13");
    assert_eq!(
        world.accounts(),
        [("clearing:bank".to_owned(), -800), ("wallet:m1".to_owned(), 800)]
    );
}

fn the_difference_of_an_amount_goes_the_way_it_differs(world: &World) {
    world.has_members();
    world.pays("t", "T", 500, D1);
    world.now(LATER);
    world.bill(D1, &[paid("t", "T", 700)]);
    world.run(D1);
    let found = world.the(Class::Amount);
    assert_eq!((found.ours, found.theirs), (Some(Fen(500)), Some(Fen(700))));
    let early = world.propose("li", found.id, Kind::Credit, Some("m1")).unwrap_err();
    assert_eq!(code(&early), "day_not_final", "another bill may come tomorrow");
    world.now("2026-03-21 10:00:00");
    world.run(D1);
    world.decide(found.id, Kind::Credit, Some("m1"));
    assert_eq!((world.balance("wallet:m1"), world.unpaid()), (700, -700));
    let books = world.accounts();
    world.run("2026-03-20");
    assert_eq!(world.accounts(), books);
}

fn what_has_no_money_at_stake_is_accepted_and_nothing_else_is(world: &World) {
    world.has_members();
    world.pays("t", "T", 500, D1);
    world.now(LATER);
    let dear = Line {
        fee: 4,
        ..paid("t", "T", 500)
    };
    world.bill(D1, &[dear]);
    world.run(D1);
    let (id, before) = (world.the(Class::Fee).id, world.accounts());
    let refused = world.propose("li", id, Kind::WriteOff, None).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "`write_off` does not settle discrepancy 1; what does is: accept"
    );
    let decided = world.decide(id, Kind::Accept, None);
    assert_eq!((decided.transfer, world.again(id).state), (None, Stands::Posted));
    assert_eq!(world.accounts(), before);
}

fn whoever_proposes_is_not_who_approves_not_even_in_the_database(world: &World) {
    let id = long(world).id;
    world.propose("li", id, Kind::WriteOff, None).unwrap();
    let forged = wait(world.db.write(move |tx| {
        tx.execute(
            "UPDATE discrepancy_decision SET state = 'approved', checker = 'li', checked_at = 1 WHERE discrepancy = $1",
            &[id.into()],
        )
    }));
    assert!(matches!(forged, Err(StoreError::Constraint(_))), "{forged:?}");
    // Their own word they may take back.
    let rejected = world
        .money("li", move |money| money.reject_for(id, "typed wrong"))
        .unwrap();
    assert_eq!(rejected.answer.as_deref(), Some("typed wrong"));
    assert_eq!(world.again(id).state, Stands::Open);
    world.decide(id, Kind::WriteOff, None);
    let twice = wait(world.db.write(move |tx| {
        tx.execute(
            "UPDATE discrepancy_decision SET transfer = (SELECT MAX(transfer) FROM discrepancy_decision), state = 'approved' WHERE no = 1",
            &[],
        )
    }));
    assert!(
        matches!(twice, Err(StoreError::Constraint(_))),
        "a movement stands for one decision: {twice:?}"
    );
}

fn of_two_who_decide_at_once_one_does(world: &World) {
    let id = long(world).id;
    world.propose("li", id, Kind::WriteOff, None).unwrap();
    let now = central::desk::Clock::wall(&*world.clock);
    let decide = |by: &'static str| {
        world.db.write(move |tx| {
            let mut money = Money::new(tx, now, by);
            match by {
                "qian" => money.reject_for(id, "no").map(|done| done.map(drop)),
                _ => money.approve_for(id).map(|done| done.map(drop)),
            }
        })
    };
    let (one, two, three) = wait(async { tokio::join!(decide("zhao"), decide("qian"), decide("sun")) });
    let all = [one.unwrap(), two.unwrap(), three.unwrap()];
    assert_eq!(all.iter().filter(|done| done.is_ok()).count(), 1, "{all:?}");
    assert!(
        all.iter()
            .filter_map(|done| done.as_ref().err())
            .all(|refused| matches!(refused, Refused::Undecided(Undecided::NothingProposed { .. })))
    );
    let written_off = world.balance("writeoff");
    assert!(written_off == 0 || written_off == 500);
}

fn what_has_changed_since_it_was_proposed_is_proposed_anew(world: &World) {
    let id = long(world).id;
    world.propose("li", id, Kind::WriteOff, None).unwrap();
    // Behind everybody's back, as a re-run may find it.
    world.execute("UPDATE discrepancy SET amount = 400, theirs = 400", vec![]);
    assert_eq!(code(&world.approve("zhao", id).unwrap_err()), "discrepancy_changed");
    world
        .money("zhao", move |money| money.reject_for(id, "changed"))
        .unwrap();
    let decided = world.decide(id, Kind::WriteOff, None);
    assert_eq!(
        (decided.no, decided.stake, world.balance("writeoff")),
        (2, Fen(400), 400)
    );
}

fn a_bill_that_is_withdrawn_takes_back_what_was_decided_and_it_may_be_decided_again(world: &World) {
    let id = long(world).id;
    world.decide(id, Kind::WriteOff, None);
    world.execute("UPDATE bill_file SET state = 'left', alive_until = 0", vec![]);
    world.run(D1);
    assert_eq!(world.accounts(), []);
    let events: Vec<String> = wait(world.db.read(move |tx| discrepancies::events(tx, id)))
        .unwrap()
        .into_iter()
        .map(|event| event.kind)
        .collect();
    assert_eq!(events, ["opened", "proposed", "approved", "posted", "cleared"]);
    assert_eq!(world.again(id).state, Stands::Cleared);
    world.bill(D1, &[paid("x", "X", 500)]);
    world.run(D1);
    assert_eq!(world.again(id).state, Stands::Open);
    let again = world.decide(id, Kind::WriteOff, None);
    assert_eq!((again.no, world.balance("writeoff")), (2, 500));
}

fn who_has_it_and_what_is_said_stands_beside_it(world: &World) {
    let id = long(world).id;
    world
        .money("li", move |money| money.assign_discrepancy(id, Some("qian")))
        .unwrap();
    world
        .money("qian", move |money| money.comment_on(id, "asked the channel"))
        .unwrap();
    let found = world
        .money("li", move |money| money.assign_discrepancy(id, None))
        .unwrap();
    assert_eq!(found.assigned, None);
    let events = wait(world.db.read(move |tx| discrepancies::events(tx, id))).unwrap();
    let said: Vec<(&str, &str, Option<&str>)> = events
        .iter()
        .map(|event| (event.kind.as_str(), event.by.as_str(), event.body.as_deref()))
        .collect();
    assert_eq!(
        said[1..],
        [
            ("assigned", "li", Some("qian")),
            ("commented", "qian", Some("asked the channel")),
            ("assigned", "li", None),
        ]
    );
    let refused = world.money("li", |money| money.comment_on(99, "?")).unwrap_err();
    assert_eq!(code(&refused), "unknown_discrepancy");
}
