//! A start times out on time however much else there is to do: what is due comes before what waits.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

use domain::{
    ids::{ConnectorNo, MemberId, OrderId, Outlet, PileId, SiteId},
    messages::{Down, read_up},
    order::{State, Until},
    policy::Policy,
    site::{Answer, Input, Place},
    tariff::Tariff,
    topics::UpKind,
    units::Fen,
};
use edge::{
    clock::SiteClock,
    station::{Outbound, Request, Response, Station},
    store::Store,
};
use redb::backends::InMemoryBackend;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// Piles that hear everything and say nothing.
struct Silent;

impl Outbound for Silent {
    fn send(&self, _pile: &PileId, _message: &Down) -> bool {
        true
    }
    fn disconnect(&self, _pile: &PileId) {}
}

async fn ask(station: &Station, input: Input) -> String {
    let respond = |answer: Result<&Answer, &domain::site::Rejected>, _: &domain::site::Site, _| match answer {
        Ok(Answer::Order(order)) => Response::new(200, order.to_string()),
        Ok(_) => Response::new(200, String::new()),
        Err(rejected) => panic!("{rejected}"),
    };
    let request = Request {
        input: Some(input),
        key: None,
        credentials: Vec::new(),
        respond: Box::new(respond),
    };
    station.ask(request).await.unwrap().body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_times_out_while_more_work_than_can_be_done_is_waiting() {
    // A minute of the station's passes in 60 ms; a station that serves the flood first takes many seconds.
    let store = Store::on(InMemoryBackend::new(), &SiteId::new("test").unwrap()).unwrap();
    let clock = |mark: &_| SiteClock::resume(mark).simulated(1_000, None);
    let (station, brain) = Station::recover(store, Policy::default(), clock).unwrap();
    let brain = std::thread::spawn(move || brain.run(Silent));

    let pile = PileId::new("P1").unwrap();
    let member = MemberId::new("m").unwrap();
    let text = include_str!("../../config/tariffs/example.toml");
    let tariff = Tariff::from_toml(text, "Asia/Shanghai").unwrap();
    ask(&station, Input::AddTariff { tariff }).await;
    ask(&station, Input::ProvisionPile { pile: pile.clone() }).await;
    let name = String::new();
    ask(
        &station,
        Input::RegisterMember {
            member: member.clone(),
            name,
        },
    )
    .await;
    let (amount, receipt, by) = (Fen(10_000), "r".to_owned(), "test".to_owned());
    ask(
        &station,
        Input::TopUp {
            member: member.clone(),
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

    // Always something waiting, for as long as it takes.
    let enough = Arc::new(AtomicBool::new(false));
    let flood = {
        let (station, enough) = (station.clone(), Arc::clone(&enough));
        std::thread::spawn(move || {
            let mut told = 0_u64;
            while !enough.load(Ordering::Relaxed) {
                if station.waiting() < 2_000 {
                    station.tell(Input::ClockTrust(false));
                    told += 1;
                }
            }
            told
        })
    };
    let outlet = Outlet {
        pile,
        connector: ConnectorNo(1),
    };
    let place = Place {
        member,
        outlet,
        prepay: None,
        until: Until::default(),
    };
    let order = OrderId::new(ask(&station, Input::Place(place)).await).unwrap();
    let begun = Instant::now();
    let state = || station.store.reader().unwrap().order(&order).unwrap().unwrap().state;
    while state() == State::Place && begun.elapsed() < Duration::from_secs(3) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let ended = state();
    enough.store(true, Ordering::Relaxed);
    let told = flood.join().unwrap();
    assert_eq!(ended, State::Fail, "after {:?}", begun.elapsed());
    assert!(told > 2_000, "the station was not busy: {told}");
    station.stop().await;
    brain.join().unwrap().unwrap();
}
