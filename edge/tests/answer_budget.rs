//! What was decided for one caller is remembered within that caller's budget: the real writer and store, in a time that
//! stands until it is moved.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

use domain::{
    ids::{MemberId, Randomness, SiteId},
    ledger::Account,
    policy::Policy,
    site::Input,
    time::{Mono, Now, Wall},
    units::Fen,
};
use edge::{
    clock::Mark,
    station::{
        Refused, Reply, Request, RequestKey, Unavailable,
        writer::{Work, Writer},
    },
    store::{AnswerBudget, Store},
};
use redb::backends::InMemoryBackend;
use std::path::Path;

const DAY_MS: u64 = 86_400_000;
const BUDGET: AnswerBudget = AnswerBudget {
    about_money_max: 2,
    others_max: 2,
};

struct Zero;

impl Randomness for Zero {
    fn bits(&mut self) -> u128 {
        0
    }
}

/// A station in the hand: its writer, and where its time stands.
struct Played {
    writer: Writer<(), u32>,
    now: Now,
}

type Answers = Vec<(u32, Result<Reply, Refused>)>;

fn member() -> MemberId {
    MemberId::new("m1").unwrap()
}

/// A top-up of 1.00 by this caller, under a key and a receipt of that number.
fn top_up(caller: &str, number: u32) -> Work<(), u32> {
    let input = Input::TopUp {
        member: member(),
        amount: Fen(100),
        receipt: format!("{caller}-{number}"),
        by: caller.to_owned(),
    };
    asked(caller, number, Some(input))
}

fn asked(caller: &str, number: u32, input: Option<Input>) -> Work<(), u32> {
    let request = Request {
        input,
        key: Some(RequestKey {
            key: format!("http\n{caller}\nPOST /v1/test\n{number}"),
            body_hash: "the body".to_owned(),
        }),
        credentials: Vec::new(),
        respond: Box::new(|_, _, _| Reply {
            tag: 201,
            ..Reply::default()
        }),
    };
    Work::Asked {
        request: Box::new(request),
        guard: None,
        answer: number,
    }
}

impl Played {
    fn on(store: Store) -> Self {
        let store = store.with_answer_budget(BUDGET);
        let (writer, found) = Writer::recover(store, Policy::default(), std::sync::Arc::default()).unwrap();
        let now = Now {
            mono: found.mark.mono,
            wall: Wall(1_772_323_200_000 + i64::try_from(found.mark.mono.0).unwrap()),
        };
        Self { writer, now }
    }

    fn opening(file: &Path) -> Self {
        Self::on(Store::open(file, &SiteId::new("test").unwrap(), 4 << 20).unwrap())
    }

    fn pass(&mut self, ms: u64) {
        self.now = Now {
            mono: Mono(self.now.mono.0 + ms),
            wall: self.now.wall.after_ms(i64::try_from(ms).unwrap()),
        };
    }

    /// Decides all of it in one commit.
    fn at_once(&mut self, work: impl IntoIterator<Item = Work<(), u32>>) -> Answers {
        for work in work {
            self.writer.take(work, self.now, &mut Zero).unwrap();
        }
        let mark = Mark {
            mono: self.now.mono,
            ..Mark::default()
        };
        self.writer.commit(self.now, &mark, false).unwrap().answers
    }

    /// Decides it; returns how it was answered.
    fn one(&mut self, work: Work<(), u32>) -> Result<Reply, Refused> {
        self.at_once([work]).remove(0).1
    }

    fn registered(mut self) -> Self {
        let register = Input::RegisterMember {
            member: member(),
            by: "desk".to_owned(),
            name: String::new(),
        };
        self.at_once([Work::Told(register)]);
        self
    }

    fn balance(&self) -> Fen {
        self.writer.site().rows().ledger.balance(&Account::Allowance(member()))
    }
}

/// How many seconds a refused caller is to wait.
fn full(answer: &Result<Reply, Refused>) -> u64 {
    match answer {
        Err(Refused::Unavailable(Unavailable::AnswersFull { retry_after_s, .. })) => *retry_after_s,
        other => panic!("refused for want of room: {other:?}"),
    }
}

fn in_memory() -> Played {
    let store = Store::on(InMemoryBackend::new(), &SiteId::new("test").unwrap()).unwrap();
    Played::on(store).registered()
}

#[test]
fn requests_about_money_in_one_commit_do_not_share_the_last_place() {
    let mut played = in_memory();
    assert!(played.one(top_up("desk", 1)).is_ok());
    let answers = played.at_once([top_up("desk", 2), top_up("desk", 3), top_up("other", 4)]);
    assert!(answers[0].1.is_ok());
    assert_eq!(full(&answers[1].1), 86_401);
    assert!(answers[2].1.is_ok(), "another caller has room of its own");
    assert_eq!(played.balance(), Fen(300), "what was refused was not booked");
}

#[test]
fn a_request_about_money_is_refused_until_the_oldest_answer_is_a_day_old() {
    let mut played = in_memory();
    assert!(played.one(top_up("desk", 1)).is_ok());
    played.pass(10_000);
    assert!(played.one(top_up("desk", 2)).is_ok());
    played.pass(DAY_MS - 10_000);
    assert_eq!(full(&played.one(top_up("desk", 3))), 1);
    let again = played.one(top_up("desk", 1)).unwrap();
    assert!(again.replayed, "until then it is answered as it was");
    played.pass(1_000);
    assert!(!played.one(top_up("desk", 3)).unwrap().replayed);
    assert_eq!(
        full(&played.one(top_up("desk", 4))),
        10,
        "the next is 9,001 ms from its day"
    );
    assert_eq!(played.balance(), Fen(300));
}

#[test]
fn what_is_not_about_money_is_taken_however_full_a_budget_is() {
    let mut played = in_memory();
    for number in 1..=2 {
        assert!(played.one(top_up("desk", number)).is_ok());
    }
    full(&played.one(top_up("desk", 3)));
    for number in 10..=13 {
        assert!(!played.one(asked("desk", number, None)).unwrap().replayed);
    }
    assert!(played.one(asked("desk", 13, None)).unwrap().replayed);
    assert!(
        !played.one(asked("desk", 11, None)).unwrap().replayed,
        "only the last two are remembered"
    );
    for number in 1..=2 {
        assert!(
            played.one(top_up("desk", number)).unwrap().replayed,
            "what is about money stays"
        );
    }
}

#[test]
fn a_budget_is_as_full_after_a_restart_as_before() {
    let folder = std::env::temp_dir().join(format!("holdfast-answers-{:016x}", getrandom::u64().unwrap()));
    std::fs::create_dir(&folder).unwrap();
    let file = folder.join("test.redb");
    let mut played = Played::opening(&file).registered();
    played.pass(5_000);
    for number in 1..=2 {
        assert!(played.one(top_up("desk", number)).is_ok());
    }
    drop(played);
    let mut played = Played::opening(&file);
    full(&played.one(top_up("desk", 3)));
    assert!(played.one(top_up("desk", 2)).unwrap().replayed);
    assert!(played.one(top_up("other", 4)).is_ok());
    played.pass(DAY_MS + 1);
    assert!(played.one(top_up("desk", 5)).is_ok());
    drop(played);
    let mut played = Played::opening(&file);
    assert!(played.one(top_up("desk", 6)).is_ok(), "both of the day before are old");
    full(&played.one(top_up("desk", 7)));
    drop(played);
    std::fs::remove_dir_all(&folder).unwrap();
}
