//! What a desk answers, where another process has gone on with its site.

use crate::{
    everywhere,
    head_office::{HeadOffice, ME, NOW},
    journal::Journal,
};
use central::{
    desk::{
        Office,
        core::{Core, Effect, Heard, Memory, Then},
    },
    money::Money,
    store::{StoreError, branches, directives, identity, sites},
    upkeep::fork::accept,
};
use domain::{
    head_office::{Directive, DirectiveNo, DirectiveRow},
    journal::Head,
    time::{Mono, Now},
};
use protocol::{
    frame::{Ack, HqEpoch, Nonce, SignedDirective, State, Tail},
    key::{PublicKeys, SigningKey},
    status::{Hello, Status},
    topic::Kind,
};
use std::sync::Arc;

everywhere! {
    a_process_that_has_stood_still_answers_no_hello_with_a_head_that_is_past
    all_of_another_journal_that_comes_is_kept_and_not_the_first_batch_alone
    directives_are_sent_in_order_a_few_at_a_time_and_again_where_nobody_answers
    rule_17_a_mass_of_blocks_holds_no_stop_back
    no_money_goes_to_a_site_on_two_branches_nor_what_stands_behind_it
    a_stop_behind_money_reaches_a_site_on_two_branches_all_the_same
    a_fork_is_one_after_a_restart_and_for_another_process_until_somebody_accepts
}

fn office(process: &str) -> Arc<Office> {
    Arc::new(Office {
        process: process.to_owned(),
        hq_epoch: HqEpoch([1; 16]),
        key: SigningKey::from_seed([2; 32]).into(),
    })
}

/// What a station says that was restored from a copy of this place.
fn hello(journal: &Journal, head: Head) -> Vec<u8> {
    hello_of(journal, head, true)
}

fn hello_of(journal: &Journal, head: Head, recovering: bool) -> Vec<u8> {
    let hello = Hello {
        site: journal.site.clone(),
        protocol: protocol::VERSION,
        station: String::new(),
        agent: String::new(),
        epoch: String::new(),
        begins_after: Head::START,
        head,
        acknowledged: None,
        recovering,
        hq_epoch: None,
        directives: protocol::status::DirectivesTaken::default(),
        waiting_since: None,
        time_zone: String::new(),
        key: None,
        nonce: Nonce([9; 16]),
    };
    Status::Online(Box::new(hello)).to_bytes()
}

fn greet(office: &HeadOffice, mut core: Core, said: Vec<u8>) -> Result<(Vec<Effect>, Core), StoreError> {
    let Heard {
        effects,
        then: Some(Then::Greet(hello)),
    } = core.hear(Kind::Status, said)
    else {
        panic!("a hello is no hello")
    };
    assert_eq!(effects, []);
    let (mono, wall) = (Mono(5), NOW);
    office.write(move |tx| Ok((core.greet(tx, Now { mono, wall }, &hello)?, core)))
}

fn take(office: &HeadOffice, mut core: Core, batch: Vec<u8>) -> Core {
    let Some(Then::Take(batch)) = core.hear(Kind::Journal, batch).then else {
        panic!("a batch is no batch")
    };
    let read = batch.read().unwrap();
    let (mono, wall) = (Mono(5), NOW);
    office
        .write(move |tx| {
            let taken = core.take(tx, Now { mono, wall }, &read)?;
            assert!(taken.is_ok(), "{taken:?}");
            Ok(core)
        })
        .unwrap()
}

fn stops_sent(effects: &[Effect], journal: &Journal) -> Vec<u64> {
    let keys = PublicKeys::from(SigningKey::from_seed([2; 32]).public());
    let directives = effects.iter().filter(|Effect(kind, _)| *kind == Kind::Directive);
    directives
        .map(|Effect(_, bytes)| SignedDirective::from_bytes(bytes, &journal.site, &keys).unwrap().no.n)
        .collect()
}

fn directives_are_sent_in_order_a_few_at_a_time_and_again_where_nobody_answers(head_office: &HeadOffice) {
    let journal = Journal::of_sessions("S1", 1);
    head_office.add(&journal);
    let (of, site) = (office(ME), journal.site.clone());
    let mut core = head_office
        .read(move |tx| Core::load(tx, of, &site, Memory::default()))
        .unwrap();
    let direct = |core: &mut Core, at: u64| {
        let mut taken = std::mem::replace(core, fresh(head_office, &journal));
        let (effects, back) = head_office
            .read(move |tx| Ok((taken.direct(tx, Mono(at))?, taken)))
            .unwrap();
        *core = back;
        stops_sent(&effects, &journal)
    };
    assert_eq!(direct(&mut core, 1_000), [0; 0]);
    let site = journal.site.clone();
    head_office
        .write(move |tx| {
            for n in 0..10 {
                let stop = Directive::Stop {
                    order: format!("o{n}").parse().unwrap(),
                    by: "li".to_owned(),
                };
                directives::add(tx, (&site, HqEpoch([1; 16])), &stop, ("li", NOW))?;
            }
            Ok(())
        })
        .unwrap();
    assert_eq!(direct(&mut core, 2_000), [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(direct(&mut core, 3_000), [0; 0], "they are on their way");
    let site = journal.site.clone();
    let done = DirectiveNo {
        hq_epoch: HqEpoch([1; 16]),
        row: DirectiveRow::Orders,
        n: 1,
    };
    head_office
        .write(move |tx| directives::end(tx, &site, done, None, ((0, 1), NOW)))
        .unwrap();
    assert_eq!(direct(&mut core, 4_000), [9], "one was answered");
    assert_eq!(direct(&mut core, 31_999), [0; 0]);
    assert_eq!(
        direct(&mut core, 32_000),
        [2, 3, 4, 5, 6, 7, 8, 9],
        "30 s after the first of them, whatever was issued since"
    );
    let (effects, core) = greet(head_office, core, hello_of(&journal, Head::START, false)).unwrap();
    assert_eq!(
        stops_sent(&effects, &journal),
        [2, 3, 4, 5, 6, 7, 8, 9],
        "a new connection"
    );
    let (effects, _) = greet(head_office, core, hello_of(&journal, Head::START, true)).unwrap();
    assert_eq!(
        stops_sent(&effects, &journal),
        [0; 0],
        "while it is recovering it takes none"
    );
}

/// They have numbers of their own, and room of their own on the line.
fn rule_17_a_mass_of_blocks_holds_no_stop_back(head_office: &HeadOffice) {
    let journal = Journal::of_sessions("S1", 1);
    head_office.add(&journal);
    let site = journal.site.clone();
    let told = head_office.write(move |tx| {
        let of = (&site, HqEpoch([1; 16]));
        for n in 0..1_000 {
            let member = format!("m{n}").parse().unwrap();
            let (reason, by) = (Some("a list".to_owned()), "li".to_owned());
            directives::add(tx, of, &Directive::Block { member, reason, by }, ("li", NOW))?;
        }
        let (order, by) = ("o1".parse().unwrap(), "li".to_owned());
        directives::add(tx, of, &Directive::Stop { order, by }, ("li", NOW))
    });
    let no = told.unwrap();
    assert_eq!((no.row, no.n), (DirectiveRow::Orders, 1), "the first of its row");
    let mut core = fresh(head_office, &journal);
    let effects = head_office.read(move |tx| core.direct(tx, Mono(1_000))).unwrap();
    let keys = PublicKeys::from(SigningKey::from_seed([2; 32]).public());
    let sent = effects.iter().map(|Effect(_, bytes)| {
        let said = SignedDirective::from_bytes(bytes, &journal.site, &keys).unwrap();
        (said.no.row, said.no.n)
    });
    let mut expected = vec![(DirectiveRow::Orders, 1)];
    expected.extend((1..=8).map(|n| (DirectiveRow::Others, n)));
    assert_eq!(sent.collect::<Vec<_>>(), expected);
}

/// Whoever goes on with the other branch would take the money too, and it would be spent twice.
fn no_money_goes_to_a_site_on_two_branches_nor_what_stands_behind_it(head_office: &HeadOffice) {
    let journal = Journal::of_sessions("S1", 1);
    head_office.add(&journal);
    let site = journal.site.clone();
    let stop = |order: &str| Directive::Stop {
        order: order.parse().unwrap(),
        by: "li".to_owned(),
    };
    let lease = Directive::Lease {
        member: "w".parse().unwrap(),
        name: "w".to_owned(),
        amount: domain::units::Fen(500),
        voucher: None,
    };
    let told = [stop("o1"), lease, stop("o3")];
    let of = site.clone();
    head_office
        .write(move |tx| {
            for directive in &told {
                directives::add(tx, (&of, HqEpoch([1; 16])), directive, ("li", NOW))?;
            }
            let found = sites::find(tx, &of)?.unwrap();
            sites::stand_still(tx, ME, &found, State::Forked, "two stations go on with it")
        })
        .unwrap();
    let mut core = fresh(head_office, &journal);
    let effects = head_office.read(move |tx| core.direct(tx, Mono(1_000))).unwrap();
    assert_eq!(effects.len(), 1, "the stop before the money");
    let of = site.clone();
    head_office
        .write(move |tx| {
            let found = sites::find(tx, &of)?.unwrap();
            sites::change_branch(tx, ME, &found, &found)
        })
        .unwrap();
    let mut core = fresh(head_office, &journal);
    let effects = head_office.read(move |tx| core.direct(tx, Mono(2_000))).unwrap();
    assert_eq!(effects.len(), 3, "once people have said which of them lives");
}

/// Rule 10: only stops, recalls and blocks go there, and the numbers of a row have no gaps.
fn a_stop_behind_money_reaches_a_site_on_two_branches_all_the_same(head_office: &HeadOffice) {
    let (followed, other) = (Journal::of_fork("S1", 12, 8, "4.5"), Journal::of_fork("S1", 12, 6, "3"));
    head_office.add(&followed);
    let site = followed.site.clone();
    let hq_epoch = head_office.write(|tx| Ok(identity::of(tx, NOW)?.hq_epoch)).unwrap();
    let load = || {
        let of = Arc::new(Office {
            process: ME.to_owned(),
            hq_epoch,
            key: SigningKey::from_seed([2; 32]).into(),
        });
        let site = site.clone();
        head_office
            .read(move |tx| Core::load(tx, of, &site, Memory::default()))
            .unwrap()
    };
    let mut core = load();
    for batch in followed.batches(17) {
        core = take(head_office, core, batch);
    }
    let stop = |order: &str| Directive::Stop {
        order: order.parse().unwrap(),
        by: "li".to_owned(),
    };
    let lease = Directive::Lease {
        member: "w".parse().unwrap(),
        name: "w".to_owned(),
        amount: domain::units::Fen(500),
        voucher: None,
    };
    // Said once more a recall would be done twice.
    let recall = Directive::Recall {
        member: "w".parse().unwrap(),
        up_to: domain::units::Fen(300),
    };
    let (told, of) = ([stop("o1"), lease, stop("o2"), recall], site.clone());
    head_office
        .write(move |tx| {
            let add = |directive| directives::add(tx, (&of, hq_epoch), directive, ("li", NOW)).map(drop);
            told.iter().try_for_each(add)
        })
        .unwrap();
    for batch in other.batches(17) {
        core = take(head_office, core, batch);
    }
    assert_eq!(core.copy().site().state, State::Forked);
    // And what is asked for while it is so.
    let of = site.clone();
    head_office
        .write(move |tx| {
            let mut money = Money::new(tx, NOW, "li");
            let (order, member) = ("o3".parse().unwrap(), "w".parse().unwrap());
            assert!(money.stop(&of, &order)?.is_ok());
            let recall = Directive::Recall {
                member,
                up_to: domain::units::Fen(500),
            };
            assert!(money.direct(&of, &recall)?.is_ok());
            Ok(())
        })
        .unwrap();
    let keys = PublicKeys::from(SigningKey::from_seed([2; 32]).public());
    let effects = head_office.read(move |tx| core.direct(tx, Mono(1_000))).unwrap();
    let said = effects.iter().map(|Effect(_, bytes)| {
        let said = SignedDirective::from_bytes(bytes, &site, &keys).unwrap();
        let what = match said.content.unwrap() {
            Directive::Stop { order, .. } => order.to_string(),
            other => other.kind().to_owned(),
        };
        (said.no.row, said.no.n, what)
    });
    let expected = [
        (DirectiveRow::Orders, 1, "o1"),
        (DirectiveRow::Others, 1, "o2"),
        (DirectiveRow::Others, 2, "o3"),
        (DirectiveRow::Others, 3, "recall"),
    ];
    let expected = expected.map(|(row, n, what)| (row, n, what.to_owned()));
    assert_eq!(said.collect::<Vec<_>>(), expected);
}

fn fresh(head_office: &HeadOffice, journal: &Journal) -> Core {
    let (of, site) = (office(ME), journal.site.clone());
    head_office
        .read(move |tx| Core::load(tx, of, &site, Memory::default()))
        .unwrap()
}

/// A station that is recovering would go on from there, over entries that head office has.
fn a_process_that_has_stood_still_answers_no_hello_with_a_head_that_is_past(head_office: &HeadOffice) {
    let journal = Journal::of_sessions("S1", 6);
    head_office.add(&journal);
    let (site, ends) = (journal.site.clone(), journal.ends(20));
    let load = |process: &str| {
        let (of, site) = (office(process), site.clone());
        head_office.read(move |tx| Core::load(tx, of, &site, Memory::default()))
    };
    let first = take(head_office, load(ME).unwrap(), journal.batch(0, ends[1]));

    // Another takes the site when its time is over, and goes on.
    let (late, of) = (NOW.after_ms(20_000), site.clone());
    let owned = head_office.write(move |tx| sites::own(tx, &of, "other", late, late.after_ms(20_000)));
    assert_eq!(owned, Ok(true));
    let other = take(head_office, load("other").unwrap(), journal.batch(ends[1], ends[2]));

    let copy = journal.place(ends[1]);
    let stale = greet(head_office, first, hello(&journal, copy));
    assert_eq!(stale.map(drop), Err(StoreError::NotOwner));

    let (effects, _) = greet(head_office, other, hello(&journal, copy)).unwrap();
    let [Effect(Kind::Ack, ack), Effect(Kind::Tail, tail)] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    let keys = PublicKeys(vec![SigningKey::from_seed([2; 32]).public()]);
    let ack = Ack::from_bytes(ack, &site, &keys).unwrap();
    assert_eq!((ack.head, ack.nonce), (journal.place(ends[2]), Nonce([9; 16])));
    let Tail(batch) = Tail::from_bytes(tail, &site, &keys).unwrap();
    assert_eq!((batch.before(), batch.last()), (copy, ends[2] as u64));
}

/// A desk that stands still goes on keeping what people have to choose from.
fn all_of_another_journal_that_comes_is_kept_and_not_the_first_batch_alone(head_office: &HeadOffice) {
    let (followed, other) = (Journal::of_fork("S1", 12, 8, "4.5"), Journal::of_fork("S1", 12, 6, "3"));
    head_office.add(&followed);
    let site = followed.site.clone();
    let mut core = {
        let (of, site) = (office(ME), site.clone());
        head_office
            .read(move |tx| Core::load(tx, of, &site, Memory::default()))
            .unwrap()
    };
    for journal in [&followed, &other] {
        for batch in journal.batches(17) {
            core = take(head_office, core, batch);
        }
    }
    let head = core.copy().site().head;
    assert_eq!(
        head,
        followed.place(followed.entries.len()),
        "nothing of it is followed"
    );
    let branch = core.copy().site().branch;
    let kept = head_office.read(move |tx| branches::others(tx, &site, branch)).unwrap();
    let [kept] = kept.as_slice() else { panic!("{kept:?}") };
    assert_eq!(kept.head, other.place(other.entries.len()));
}

/// Rule 10: otherwise of a disk that was cloned whichever box speaks first after a restart would live.
fn a_fork_is_one_after_a_restart_and_for_another_process_until_somebody_accepts(head_office: &HeadOffice) {
    let (followed, other) = (Journal::of_fork("S1", 12, 8, "4.5"), Journal::of_fork("S1", 12, 6, "3"));
    let longer = Journal::of_fork("S1", 12, 11, "4.5");
    head_office.add(&followed);
    let site = followed.site.clone();
    let load = |process: &str| {
        let (of, site) = (office(process), site.clone());
        head_office
            .read(move |tx| Core::load(tx, of, &site, Memory::default()))
            .unwrap()
    };
    let mut core = load(ME);
    for journal in [&followed, &other] {
        for batch in journal.batches(17) {
            core = take(head_office, core, batch);
        }
    }
    let end = followed.place(followed.entries.len());
    let next = longer.batch(followed.entries.len(), longer.entries.len());
    let core = take(head_office, load(ME), next.clone());
    assert_eq!(
        (core.copy().site().head, core.copy().site().state),
        (end, State::Forked)
    );
    let (late, of) = (NOW.after_ms(20_000), site.clone());
    let owned = head_office.write(move |tx| sites::own(tx, &of, "other", late, late.after_ms(20_000)));
    assert_eq!(owned, Ok(true));
    let core = take(head_office, load("other"), next.clone());
    assert_eq!(
        (core.copy().site().head, core.copy().site().state),
        (end, State::Forked)
    );
    let (effects, _) = greet(head_office, core, hello(&followed, end)).unwrap();
    let Effect(_, ack) = &effects[0];
    let keys = PublicKeys(vec![SigningKey::from_seed([2; 32]).public()]);
    assert_eq!(Ack::from_bytes(ack, &site, &keys).unwrap().state, State::Forked);

    let of = site.clone();
    let accepted = head_office.write(move |tx| accept(tx, "other", &of, end, NOW));
    assert!(matches!(accepted, Ok(Ok(_))), "{accepted:?}");
    let core = take(head_office, load("other"), next);
    assert_eq!(core.copy().site().head, longer.place(longer.entries.len()));
}
