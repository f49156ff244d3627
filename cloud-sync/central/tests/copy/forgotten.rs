//! A head office that was restored from an older copy, of which people have not said so (rule 3).

use crate::{
    everywhere,
    head_office::{HeadOffice, ME, NOW},
    journal::Journal,
};
use central::{
    alerts::conditions::{self, HEAD_OFFICE, Known, Thresholds},
    desk::{
        Office,
        core::{Core, Effect, Heard, Memory, Then},
    },
    money::{Money, Refused},
    store::{alerts::Kind, forgotten, identity, members, sites},
};
use domain::{
    head_office::Directive,
    journal::Head,
    time::{Mono, Now},
    units::Fen,
};
use protocol::{
    frame::{Ack, HqEpoch, Nonce},
    key::{PublicKeys, SigningKey},
    status::{DirectivesTaken, Hello, Status},
    topic::Kind as Topic,
};
use std::sync::Arc;

everywhere! {
    a_site_that_was_acknowledged_more_than_is_here_is_told_nothing_until_people_say_that_it_was_restored
    a_life_of_head_offices_that_is_not_known_asks_for_restored_as_well
    a_site_that_heard_of_a_former_life_alone_sends_again_what_was_forgotten
    what_a_site_says_no_more_is_asked_no_more
    rule_3_a_hello_that_names_what_is_not_known_freezes_all_wallets_until_people_let_them_go
    rule_3_a_directive_that_was_taken_and_is_not_known_freezes_all_wallets
}

const OTHER: HqEpoch = HqEpoch([9; 16]);

/// A head office that has a journal up to a place, and a station that is at its end.
struct Restored<'a> {
    office: &'a HeadOffice,
    journal: Journal,
    process: Arc<Office>,
    core: Option<Core>,
    /// How far it says that it has taken directives.
    directives: DirectivesTaken,
}

impl<'a> Restored<'a> {
    fn new(office: &'a HeadOffice, taken: usize) -> Self {
        let journal = Journal::of_sessions("S1", 6);
        office.add(&journal);
        let mut restored = Self {
            office,
            journal,
            process: process(office),
            core: None,
            directives: DirectivesTaken::default(),
        };
        restored.starts();
        let end = restored.journal.ends(20)[taken];
        let batch = restored.journal.batch(0, end);
        assert_eq!(restored.take(batch), Some(restored.journal.place(end)));
        restored
    }

    /// Its process starts anew.
    fn starts(&mut self) {
        self.process = process(self.office);
        let (of, site) = (Arc::clone(&self.process), self.journal.site.clone());
        let loaded = self
            .office
            .read(move |tx| Core::load(tx, of, &site, Memory::default()))
            .unwrap();
        self.core = Some(loaded);
    }

    fn people_say_so(&mut self) {
        self.office.write(|tx| identity::begin_anew(tx, NOW)).unwrap();
        self.starts();
    }

    fn end(&self) -> Head {
        self.journal.place(self.journal.facts.len())
    }

    /// Says hello; the place that is acknowledged.
    fn greet(&mut self, acknowledged: Option<Head>, hq_epoch: Option<HqEpoch>) -> Option<Head> {
        let hello = Hello {
            site: self.journal.site.clone(),
            protocol: protocol::VERSION,
            station: String::new(),
            agent: String::new(),
            epoch: String::new(),
            begins_after: Head::START,
            head: self.end(),
            acknowledged,
            recovering: false,
            hq_epoch,
            directives: self.directives,
            waiting_since: None,
            time_zone: String::new(),
            key: None,
            nonce: Nonce([9; 16]),
        };
        let mut core = self.core.take().unwrap();
        let Heard {
            then: Some(Then::Greet(hello)),
            ..
        } = core.hear(Topic::Status, Status::Online(Box::new(hello)).to_bytes())
        else {
            panic!("a hello is no hello")
        };
        let (mono, wall) = (Mono(5), NOW);
        let greeted = self
            .office
            .write(move |tx| Ok((core.greet(tx, Now { mono, wall }, &hello)?, core)));
        let (effects, core) = greeted.unwrap();
        self.core = Some(core);
        self.acked(effects)
    }

    /// Takes a batch; the place that is acknowledged, by what is said then at the latest.
    fn take(&mut self, batch: Vec<u8>) -> Option<Head> {
        let mut core = self.core.take().unwrap();
        let Some(Then::Take(batch)) = core.hear(Topic::Journal, batch).then else {
            self.core = Some(core);
            return None;
        };
        let read = batch.read().unwrap();
        let (mono, wall) = (Mono(5), NOW);
        let taken = self.office.write(move |tx| {
            let taken = core.take(tx, Now { mono, wall }, &read)?;
            assert!(taken.is_ok(), "{taken:?}");
            Ok(core)
        });
        let mut core = taken.unwrap();
        let effects: Vec<Effect> = core.say(Mono(5_000)).into_iter().collect();
        self.core = Some(core);
        self.acked(effects)
    }

    fn acked(&self, effects: Vec<Effect>) -> Option<Head> {
        let Effect(kind, bytes) = effects.into_iter().next()?;
        assert_eq!(kind, Topic::Ack);
        let keys = PublicKeys(vec![SigningKey::from_seed([2; 32]).public()]);
        let ack = Ack::from_bytes(&bytes, &self.journal.site, &keys).unwrap();
        assert_eq!(ack.hq_epoch, self.process.hq_epoch);
        Some(ack.head)
    }

    /// What people are told, if they are asked.
    fn asked(&self) -> Option<String> {
        let forgotten = self.office.read(forgotten::unknown).unwrap();
        let known = Known {
            forgotten,
            ..Known::default()
        };
        let mut held = conditions::hold(&known, &Thresholds::default(), &[], NOW);
        held.remove(&(Kind::Restored, HEAD_OFFICE.to_owned()))
    }
}

fn process(office: &HeadOffice) -> Arc<Office> {
    let hq_epoch = office.write(|tx| Ok(identity::of(tx, NOW)?.hq_epoch)).unwrap();
    Arc::new(Office {
        process: ME.to_owned(),
        hq_epoch,
        key: SigningKey::from_seed([2; 32]).into(),
    })
}

fn a_site_that_was_acknowledged_more_than_is_here_is_told_nothing_until_people_say_that_it_was_restored(
    office: &HeadOffice,
) {
    let mut restored = Restored::new(office, 2);
    let (epoch, end) = (restored.process.hq_epoch, restored.end());
    let here = restored.journal.ends(20)[2];
    assert_eq!(restored.asked(), None);
    assert_eq!(restored.greet(Some(end), Some(epoch)), None);
    let asked = restored.asked().unwrap();
    for part in ["site S1", &end.to_string(), "holdfast-central restored --reason"] {
        assert!(asked.contains(part), "{asked}");
    }
    // Nothing is said by itself either, and nothing is taken of what was on its way; nor after another start.
    let batch = restored.journal.batch(here, restored.journal.ends(20)[3]);
    assert_eq!(restored.take(batch.clone()), None);
    restored.starts();
    assert_eq!(restored.core.as_mut().unwrap().say(Mono(9)), None);
    assert_eq!(restored.greet(Some(end), Some(epoch)), None);
    let head = |office: &HeadOffice| {
        let site = office.read(|tx| sites::find(tx, &"S1".parse().unwrap())).unwrap();
        site.unwrap().head
    };
    assert_eq!(head(office), restored.journal.place(here));

    restored.people_say_so();
    assert_eq!(restored.asked(), None);
    let new = restored.process.hq_epoch;
    assert_ne!(new, epoch);
    assert_eq!(
        restored.greet(Some(end), Some(epoch)),
        Some(restored.journal.place(here))
    );
    // The station has heard of the new life, and keeps its place until head office is there again.
    assert_eq!(restored.greet(Some(end), Some(new)), Some(restored.journal.place(here)));
    let rest = restored.journal.batch(here, restored.journal.facts.len());
    assert_eq!(restored.take(rest), Some(end), "nothing is lost");
    assert_eq!(restored.greet(Some(end), Some(new)), Some(end));
    let kept = office.read(|tx| forgotten::of(tx, &"S1".parse().unwrap())).unwrap();
    assert_eq!(kept, None);
}

fn a_life_of_head_offices_that_is_not_known_asks_for_restored_as_well(office: &HeadOffice) {
    let mut restored = Restored::new(office, 3);
    let here = restored.journal.place(restored.journal.ends(20)[3]);
    assert_eq!(restored.greet(Some(here), Some(OTHER)), None);
    assert!(restored.asked().unwrap().contains(&OTHER.to_string()));
    restored.people_say_so();
    assert_eq!(restored.greet(Some(here), Some(OTHER)), Some(here));
    assert_eq!(restored.asked(), None);
    // And yet another one does again.
    assert_eq!(restored.greet(Some(here), Some(HqEpoch([8; 16]))), None);
}

fn a_site_that_heard_of_a_former_life_alone_sends_again_what_was_forgotten(office: &HeadOffice) {
    let mut restored = Restored::new(office, 2);
    let (former, end) = (restored.process.hq_epoch, restored.end());
    let here = restored.journal.place(restored.journal.ends(20)[2]);
    // People have said so before the site came back.
    restored.people_say_so();
    assert_eq!(restored.greet(Some(end), Some(former)), Some(here));
    let new = restored.process.hq_epoch;
    restored.starts();
    assert_eq!(restored.greet(Some(end), Some(new)), Some(here));
    // What is acknowledged beyond that is another matter.
    let beyond = Head {
        seq: end.seq + 1,
        ..end
    };
    assert_eq!(restored.greet(Some(beyond), Some(new)), None);
    assert!(restored.asked().is_some());
}

fn what_a_site_says_no_more_is_asked_no_more(office: &HeadOffice) {
    let mut restored = Restored::new(office, 2);
    let (epoch, end) = (restored.process.hq_epoch, restored.end());
    let here = restored.journal.place(restored.journal.ends(20)[2]);
    assert_eq!(restored.greet(Some(end), Some(epoch)), None);
    assert_eq!(restored.greet(Some(here), Some(epoch)), Some(here));
    assert_eq!(restored.asked(), None);
    assert_eq!(restored.greet(None, None), Some(here));
}

fn rule_3_a_hello_that_names_what_is_not_known_freezes_all_wallets_until_people_let_them_go(office: &HeadOffice) {
    let member = "w".parse::<domain::ids::MemberId>().unwrap();
    let of = member.clone();
    office
        .write(move |tx| members::put(tx, &of, "Wang", "li", NOW))
        .unwrap();
    let leased = || {
        let of = member.clone();
        office
            .write(move |tx| Money::new(tx, NOW, "li").lease(&of, &"S1".parse().unwrap(), Fen(100)))
            .unwrap()
    };
    let frozen = || office.read(identity::frozen).unwrap();
    let beyond = |restored: &Restored<'_>| Head {
        seq: restored.end().seq + 1,
        ..restored.end()
    };
    // An acknowledged place, and a life of head office's.
    let mut restored = Restored::new(office, 2);
    let (epoch, here) = (
        restored.process.hq_epoch,
        restored.journal.place(restored.journal.ends(20)[2]),
    );
    assert_eq!(restored.greet(Some(here), Some(epoch)), Some(here));
    assert_eq!(frozen(), None, "what is known freezes nothing");
    assert!(!matches!(leased(), Err(Refused::AllFrozen(_))), "{:?}", leased());
    let end = restored.end();
    assert_eq!(restored.greet(Some(end), Some(epoch)), None);
    let why = frozen().unwrap();
    assert!(why.contains("site S1"), "{why}");
    assert_eq!(leased(), Err(Refused::AllFrozen(why)));
    // A site that takes it back does not let them go: what it said may be so of others.
    assert_eq!(restored.greet(Some(here), Some(epoch)), Some(here));
    assert!(frozen().is_some());

    office.write(|tx| identity::freeze(tx, None)).unwrap();
    assert_eq!(restored.greet(Some(here), Some(OTHER)), None);
    assert!(frozen().is_some_and(|why| why.contains("site S1")));
    // People say so, and let them go: the same said again is known, and something else is not.
    restored.people_say_so();
    office.write(|tx| identity::freeze(tx, None)).unwrap();
    assert_eq!(restored.greet(Some(here), Some(OTHER)), Some(here));
    assert_eq!(frozen(), None);
    let (beyond, new) = (beyond(&restored), restored.process.hq_epoch);
    assert_eq!(restored.greet(Some(beyond), Some(new)), None);
    assert!(frozen().is_some());
}

fn rule_3_a_directive_that_was_taken_and_is_not_known_freezes_all_wallets(office: &HeadOffice) {
    let mut restored = Restored::new(office, 2);
    let (former, here) = (
        restored.process.hq_epoch,
        restored.journal.place(restored.journal.ends(20)[2]),
    );
    let site = restored.journal.site.clone();
    // One of each row, which the site has taken.
    let told = office.write(move |tx| {
        let mut money = Money::new(tx, NOW, "li");
        let w = "w".parse().unwrap();
        let block = Directive::Block {
            member: w,
            reason: None,
            by: "li".to_owned(),
        };
        let stop = Directive::Stop {
            order: "hq-1".parse().unwrap(),
            by: "li".to_owned(),
        };
        Ok([money.direct(&site, &block)?, money.direct(&site, &stop)?].map(|no| no.unwrap().n))
    });
    assert_eq!(told, Ok([1, 1]));
    let frozen = || office.read(identity::frozen).unwrap();
    restored.directives = DirectivesTaken { orders: 1, others: 1 };
    assert_eq!(restored.greet(Some(here), Some(former)), Some(here));
    assert_eq!(
        (frozen(), restored.asked()),
        (None, None),
        "what is known freezes nothing"
    );
    for beyond in [(2, 1), (1, 2)] {
        restored.directives = DirectivesTaken {
            orders: beyond.0,
            others: beyond.1,
        };
        assert_eq!(restored.greet(Some(here), Some(former)), None, "{beyond:?}");
        assert!(frozen().is_some_and(|why| why.contains("site S1")), "{beyond:?}");
        assert!(restored.asked().unwrap().contains("a directive that it has taken"));
        office.write(|tx| identity::freeze(tx, None)).unwrap();
        // It is the same said again, and it is not known yet.
        assert_eq!(restored.greet(Some(here), Some(former)), None);
        restored.directives = DirectivesTaken { orders: 1, others: 1 };
        assert_eq!(restored.greet(Some(here), Some(former)), Some(here));
        office.write(|tx| identity::freeze(tx, None)).unwrap();
    }
    restored.directives = DirectivesTaken { orders: 2, others: 1 };
    assert_eq!(restored.greet(Some(here), Some(former)), None);
    restored.people_say_so();
    office.write(|tx| identity::freeze(tx, None)).unwrap();
    assert_eq!(restored.greet(Some(here), Some(former)), Some(here), "people know");
    assert_eq!((frozen(), restored.asked()), (None, None));
    // Of the new life nothing was issued.
    let new = restored.process.hq_epoch;
    restored.directives = DirectivesTaken { orders: 0, others: 1 };
    assert_eq!(restored.greet(Some(here), Some(new)), None);
    restored.directives = DirectivesTaken::default();
    assert_eq!(restored.greet(Some(here), Some(new)), Some(here));
}
