//! A start times out on time however much else there is to do: what is due comes before what waits.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

use domain::{
    fact::Fact,
    ids::{ConnectorNo, MemberId, OrderId, Outlet, PileId, SiteId},
    journal::Entry,
    messages::{Down, read_up},
    order::Until,
    policy::Policy,
    site::{Answer, Input, Place},
    tariff::Tariff,
    time::Wall,
    topics::UpKind,
    units::Fen,
};
use edge::{
    clock::SiteClock,
    station::{Outbound, Reply, Request, Respond, Station},
    store::Store,
};
use futures_util::{StreamExt, stream::FuturesUnordered};
use redb::backends::InMemoryBackend;
use std::{
    future::poll_fn,
    pin::Pin,
    sync::{Arc, mpsc},
    task::Poll,
};
use tokio::sync::oneshot;

/// The most inputs in one commit, as `BATCH_MAX` has it.
const BATCH: usize = 512;
/// How many inputs wait: many commits' worth.
const WAITING: usize = 8 * BATCH;
/// During which of them time passes.
const TIME_PASSES_AT: usize = 3 * BATCH + 100;

/// Piles that hear everything and say nothing.
struct Silent;

impl Outbound for Silent {
    fn send(&self, _pile: &PileId, _message: &Down) -> bool {
        true
    }
    fn disconnect(&self, _pile: &PileId) {}
}

fn request(input: Input, respond: Respond) -> Request {
    Request {
        input: Some(input),
        key: None,
        credentials: Vec::new(),
        respond,
    }
}

async fn ask(station: &Station, input: Input) -> String {
    let respond: Respond = Box::new(|answer, _, _| Reply {
        body: match answer {
            Answer::Order(order) => order.to_string(),
            _ => String::new(),
        },
        ..Reply::default()
    });
    station.ask(request(input, respond)).await.unwrap().body
}

fn member(id: &str) -> Input {
    Input::RegisterMember {
        member: MemberId::new(id).unwrap(),
        by: "desk".to_owned(),
        name: String::new(),
    }
}

/// Begins to wait for a future, so that the station has what is asked.
async fn is_pending(future: &mut (impl Future + Unpin)) -> bool {
    poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx).is_pending())).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_times_out_while_more_work_than_can_be_done_is_waiting() {
    let store = Store::on(InMemoryBackend::new(), &SiteId::new("test").unwrap()).unwrap();
    let start = Wall::parse("2026-03-01T10:00:00+08:00").unwrap();
    let policy = Policy::default();
    let start_timeout_ms = policy.start_timeout_ms;
    let clock = |mark: &_| SiteClock::resume(mark).standing(start);
    let (station, brain) = Station::recover(store, policy, clock).unwrap();
    let brain = std::thread::spawn(move || brain.run(Silent));

    let pile = PileId::new("P1").unwrap();
    let driver = MemberId::new("m").unwrap();
    let text = include_str!("../../config/tariffs/example.toml");
    let tariff = Tariff::from_toml(text, "Asia/Shanghai").unwrap();
    ask(
        &station,
        Input::AddTariff {
            tariff,
            by: "setup".to_owned(),
        },
    )
    .await;
    ask(
        &station,
        Input::ProvisionPile {
            pile: pile.clone(),
            by: "setup".to_owned(),
        },
    )
    .await;
    ask(&station, member("m")).await;
    let (amount, receipt, by) = (Fen(10_000), "r".to_owned(), "test".to_owned());
    ask(
        &station,
        Input::TopUp {
            member: driver.clone(),
            amount,
            receipt,
            by,
        },
    )
    .await;
    ask(&station, Input::Connected { pile: pile.clone() }).await;
    let boot = br#"{"boot_id":"b","seq":1,"mono_ms":1,"ts":null,"msg_id":"m1","vendor":"v","model":"m","firmware":"f",
        "connectors":[{"no":1,"max_kw":"7.0","meter_kwh":"1.0"}]}"#;
    let message = read_up(UpKind::Boot, boot).unwrap();
    ask(
        &station,
        Input::Message {
            pile: pile.clone(),
            message,
        },
    )
    .await;

    let outlet = Outlet {
        pile,
        connector: ConnectorNo(1),
    };
    let place = Place {
        member: driver,
        outlet,
        prepay: None,
        until: Until::default(),
    };
    let order = OrderId::new(ask(&station, Input::Place(place)).await).unwrap();

    // The loop stands until everything waits that is going to.
    let (stand, stands) = oneshot::channel();
    let (release, released) = mpsc::channel::<()>();
    let held = station.look(move |_, _| {
        stand.send(()).unwrap();
        released.recv().unwrap();
    });
    let mut held = std::pin::pin!(held);
    assert!(is_pending(&mut held).await);
    stands.await.unwrap();
    let mut waiting: FuturesUnordered<_> = (0..WAITING)
        .map(|n| {
            let clock = Arc::clone(&station.clock);
            let respond: Respond = Box::new(move |_, _, _| {
                if n == TIME_PASSES_AT {
                    clock.advance(start_timeout_ms);
                }
                Reply::default()
            });
            station.ask(request(member(&format!("waits-{n}")), respond))
        })
        .collect();
    assert!(is_pending(&mut waiting.next()).await);
    assert_eq!(station.waiting(), WAITING);
    release.send(()).unwrap();
    held.await.unwrap();
    while let Some(answered) = waiting.next().await {
        answered.unwrap();
    }

    // Members came into the journal in their turn, and the order failed among them.
    let reader = station.store.reader().unwrap();
    let mut facts = Vec::new();
    loop {
        let some = reader.journal(facts.len() as u64 + 1, 1_000).unwrap();
        if some.is_empty() {
            break;
        }
        facts.extend(some.iter().map(|(_, _, bytes)| Entry::from_bytes(bytes).unwrap().fact));
    }
    let failed = facts
        .iter()
        .position(|fact| matches!(fact, Fact::OrderFailed { order: failed, .. } if *failed == order));
    let before = facts[..failed.expect("the start has timed out")]
        .iter()
        .filter(|fact| matches!(fact, Fact::MemberRegistered { member, .. } if member.as_str() != "m"))
        .count();
    assert!(
        (TIME_PASSES_AT + 1..=TIME_PASSES_AT + BATCH).contains(&before),
        "{before} of {WAITING} inputs were decided before it"
    );
    station.stop().await;
    brain.join().unwrap().unwrap();
}
