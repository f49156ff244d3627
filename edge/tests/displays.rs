//! What displays are told when things go badly: a router that has no room, more orders ending than anybody remembers; and
//! what the door lets them do.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

use broker::{Client, ConnectRefusal, ConnectRequest, Gatekeeper, Protocol, PublishError, QoS, Subscribing};
use domain::{
    ids::{ConnectorNo, DisplayId, OrderId, Outlet, PileId, SiteId},
    messages::Down,
    order::State,
    policy::Policy,
    site::LiveView,
    tariff::PeriodKind,
    time::Wall,
    units::{Energy, Fen},
};
use edge::{
    clock::{Mark, SiteClock},
    credentials::{CredentialChange, Secret},
    displays::{self, SharedTopics},
    gate::Gate,
    station::{Outbound, Station},
    store::Store,
};
use redb::backends::InMemoryBackend;
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};
use tokio::sync::mpsc;

const PATIENCE: Duration = Duration::from_secs(30);
/// More than the hub remembers of orders that have ended.
const MANY: usize = 1_001;

struct NoPiles;

impl Outbound for NoPiles {
    fn send(&self, _pile: &PileId, _message: &Down) -> bool {
        true
    }
    fn disconnect(&self, _pile: &PileId) {}
}

fn standing(mark: &Mark) -> SiteClock {
    SiteClock::resume(mark).standing(Wall::parse("2026-03-01T10:00:00+08:00").unwrap())
}

fn station() -> (Station, edge::station::Loop) {
    let store = Store::on(InMemoryBackend::new(), &SiteId::new("s1").unwrap()).unwrap();
    Station::recover(store, Policy::default(), standing).unwrap()
}

fn view(order: &str, state: State) -> LiveView {
    LiveView {
        order_id: OrderId::new(order).unwrap(),
        outlet: Outlet {
            pile: PileId::new("P1").unwrap(),
            connector: ConnectorNo(1),
        },
        state,
        stopping: false,
        power_kw: None,
        voltage_v: None,
        current_a: None,
        soc_pct: None,
        energy_kwh: Energy::ZERO,
        fee: Fen::ZERO,
        electricity_fee: Fen::ZERO,
        service_fee: Fen::ZERO,
        period: PeriodKind::Flat,
        expected_end: None,
        pile_online: true,
        as_of: None,
    }
}

/// Passes on what it is told, and has no room every second time.
struct HalfBusy {
    asked: AtomicU32,
    heard: mpsc::UnboundedSender<(String, String)>,
}

impl SharedTopics for HalfBusy {
    fn publish(&self, topic: &str, payload: Vec<u8>) -> Result<(), PublishError> {
        if self.asked.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) && topic.ends_with("/a") {
            return Err(PublishError::RouterBusy);
        }
        let said = (topic.to_owned(), String::from_utf8(payload).unwrap());
        let _nobody_listens = self.heard.send(said);
        Ok(())
    }
}

/// A station with its loop, whose displays are told; what they hear.
fn told() -> (Station, Ears) {
    let (station, brain) = station();
    std::thread::spawn(move || brain.run(NoPiles));
    let (heard, ears) = mpsc::unbounded_channel();
    let asked = AtomicU32::new(0);
    tokio::spawn(displays::publish(station.clone(), HalfBusy { asked, heard }));
    (station, ears)
}

type Ears = mpsc::UnboundedReceiver<(String, String)>;

/// What is said next on this topic, and on which others before.
async fn next(ears: &mut Ears, topic: &str) -> (String, Vec<String>) {
    let topic = format!("hf/v1/site/s1/{topic}");
    let mut others = Vec::new();
    let next = async {
        loop {
            let (on, said) = ears.recv().await.unwrap();
            if on == topic {
                return said;
            }
            others.push(on);
        }
    };
    let said = tokio::time::timeout(PATIENCE, next).await.unwrap();
    (said, others)
}

/// A display subscribes; what stands then has been told. Returns on which topics.
async fn begin(station: &Station, ears: &mut Ears) -> Vec<String> {
    station.displays.begin();
    station.displays.changed([PileId::new("P2").unwrap()]);
    // There is no such pile.
    let (said, others) = next(ears, "pile/P2/state").await;
    assert_eq!(said, "");
    others
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_without_room_is_told_until_it_has_some() {
    let (station, mut ears) = told();
    begin(&station, &mut ears).await;
    station.hub.show([view("a", State::Charging)]);
    assert!(next(&mut ears, "live/a").await.0.contains("CHARGING"));
    station.hub.show([view("a", State::Payed)]);
    assert!(next(&mut ears, "live/a").await.0.contains("PAYED"));
    assert_eq!(next(&mut ears, "live/a").await.0, "", "nothing stays of what has ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_end_nobody_remembers_is_cleared_all_the_same() {
    let (station, mut ears) = told();
    begin(&station, &mut ears).await;
    station.hub.show([view("a", State::Charging)]);
    assert!(next(&mut ears, "live/a").await.0.contains("CHARGING"));
    let others = (0..MANY).map(|n| view(&format!("o{n}"), State::Payed));
    station.hub.show(std::iter::once(view("a", State::Payed)).chain(others));
    // Its last frame was forgotten before it could be told.
    assert_eq!(next(&mut ears, "live/a").await.0, "");
}

/// Whatever it is told changes an order and a pile again.
struct Restless {
    station: Station,
    heard: mpsc::UnboundedSender<(String, Instant)>,
}

impl SharedTopics for Restless {
    fn publish(&self, topic: &str, _payload: Vec<u8>) -> Result<(), PublishError> {
        let _nobody_listens = self.heard.send((topic.to_owned(), Instant::now()));
        self.station.hub.show([view("a", State::Charging)]);
        self.station.displays.changed([PileId::new("P2").unwrap()]);
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_has_a_rest_however_often_it_changes() {
    let (station, brain) = station();
    std::thread::spawn(move || brain.run(NoPiles));
    let (heard, mut ears) = mpsc::unbounded_channel();
    let to = Restless {
        station: station.clone(),
        heard,
    };
    tokio::spawn(displays::publish(station.clone(), to));
    station.displays.begin();
    station.displays.changed([PileId::new("P2").unwrap()]);
    let mut told: BTreeMap<String, Vec<Instant>> = BTreeMap::new();
    let listening = async {
        while told.len() < 2 || told.values().any(|times| times.len() < 4) {
            let (topic, at) = ears.recv().await.unwrap();
            told.entry(topic).or_default().push(at);
        }
    };
    tokio::time::timeout(PATIENCE, listening).await.unwrap();
    for (topic, times) in told {
        let rests = times.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(rests.min().unwrap() >= displays::REST, "{topic}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_told_or_kept_before_a_display_subscribes() {
    let (station, mut ears) = told();
    station.hub.show([view("a", State::Charging)]);
    station.displays.changed([PileId::new("P1").unwrap()]);
    assert_eq!(begin(&station, &mut ears).await, [""; 0]);
}

#[tokio::test]
async fn the_door_lets_a_display_read_its_site_alone() {
    let (station, _brain) = station();
    let credentials = station.credentials.clone();
    let gate = Gate::new(station);
    let [display, other] = ["board", "P1"].map(|id| DisplayId::new(id).unwrap());
    let secret = Secret::generate().unwrap();
    credentials.apply(CredentialChange::SetDisplay(display.clone(), secret.hash()));
    credentials.apply(CredentialChange::SetDisplay(other, Secret::generate().unwrap().hash()));
    let connect = |user: &str| ConnectRequest {
        client_id: user.to_owned(),
        user_name: Some(user.to_owned()),
        password: Some(secret.reveal().as_bytes().to_vec()),
        peer: "127.0.0.1:1".parse().unwrap(),
        tls: true,
        certificate_der: None,
        protocol: Protocol::V5,
    };
    for stranger in ["board", "display:P1", "display:", "P1"] {
        let refused = gate.authenticate(&connect(stranger)).await;
        assert_eq!(refused, Err(ConnectRefusal::BadUserNameOrPassword), "{stranger}");
    }
    let admitted = gate.authenticate(&connect("display:board")).await.unwrap();
    let client = Client {
        identity: admitted.identity,
        credential: admitted.credential,
        client_id: "display:board".into(),
        peer: "127.0.0.1:1".parse().unwrap(),
        protocol: Protocol::V5,
        connection: 1,
    };
    assert!(gate.is_admitted(&client) && !gate.may_retain(&client));
    let own = "hf/v1/site/s1/live/#";
    assert_eq!(
        gate.authorize_subscribe(&client, own),
        Subscribing::Shared(QoS::AtMostOnce)
    );
    for foreign in [
        "#",
        "hf/v1/site/s2/live/#",
        "hf/v1/pile/P1/down/#",
        "hf/v1/pile/board/down/#",
    ] {
        assert_eq!(
            gate.authorize_subscribe(&client, foreign),
            Subscribing::Refused,
            "{foreign}"
        );
    }
    for topic in [
        "hf/v1/site/s1/live/a",
        "hf/v1/pile/board/up/record",
        "hf/v1/pile/P1/up/record",
    ] {
        assert!(
            !gate.authorize_publish(&client, topic, QoS::AtLeastOnce, false),
            "{topic}"
        );
        assert!(!gate.authorize_will(&client, topic, QoS::AtLeastOnce, false), "{topic}");
    }
    credentials.apply(CredentialChange::RemoveDisplay(display));
    assert!(!gate.is_admitted(&client));
}
