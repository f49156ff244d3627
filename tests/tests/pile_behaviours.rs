//! What the station makes of piles that are sick or lie: each behaviour of `pile-sim` that touches money or trust, with
//! the real daemon.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

use domain::{
    ids::PileId,
    order::State,
    time::Wall,
    units::{Energy, Fen, Power},
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use world::{
    pile::{Car, Flash, PileHandle, PileSpec, SimTime, Station, What, read_behaviours, spawn},
    station::{Setup, StationProcess},
};

const PATIENCE: Duration = Duration::from_secs(45);
const AGAIN: Duration = Duration::from_millis(20);
const RATE: u32 = 60;

struct World {
    station: StationProcess,
    time: SimTime,
}

impl World {
    /// On a Monday, a minute of the station being a second of ours.
    async fn begin(name: &str, clock: &str) -> Self {
        let setup = Setup {
            rate: RATE,
            clock_start: Wall::parse(&format!("2026-03-02T{clock}+08:00")).ok(),
            // A minute of the station is too short for a busy machine to confirm a start in.
            policy: "start_timeout = \"1h\"\n".to_owned(),
            ..Setup::new()
        };
        let station = StationProcess::start(name, &setup).await.unwrap();
        station.add_member("alice", "200.00").await.unwrap();
        let time = SimTime::begin(RATE);
        Self { station, time }
    }

    /// A pile with a car at it.
    async fn pile(&self, id: &str, behaviours: &str) -> PileHandle {
        let behaviours = read_behaviours(behaviours.split_whitespace()).unwrap();
        let secret = self.station.add_pile(id).await.unwrap();
        let mut spec = PileSpec::new(PileId::new(id).unwrap(), self.station.wall()).behaving(behaviours);
        spec.connectors[0].max_power = Power(60_000);
        spec.car = Some(Car::new(Energy(1_000_000), 20, Power(60_000)));
        let address = self.station.mqtt;
        let link = Station {
            host: address.ip().to_string(),
            port: address.port(),
            secret: Some(secret),
            tls: None,
        };
        let pile = spawn(spec, Flash::default(), link, self.time);
        pile.plug(1).await;
        self.until(&format!("/v1/piles/{id}"), |pile| {
            pile["connectors"][0]["report"]["status"] == "plugged"
        })
        .await;
        pile
    }

    async fn until(&self, path: &str, is: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let seen = self.station.get(path).await.unwrap().success().unwrap();
            if is(&seen) {
                return seen;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "{path} stays as it is: {seen}\n{}",
                self.station.log()
            );
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// An order that has been charging for a little.
    async fn charging(&self, pile: &str) -> String {
        let begun = Instant::now();
        // A pile that flaps may be away just now.
        let order = loop {
            match self.station.place("alice", pile, "100.00").await {
                Ok(order) => break order,
                Err(error) => assert!(begun.elapsed() < PATIENCE, "{error:#}"),
            }
            tokio::time::sleep(AGAIN).await;
        };
        self.station
            .wait_for_order(&order, State::Charging, PATIENCE)
            .await
            .unwrap();
        order
    }

    async fn stop(&self, order: &str) {
        let stop = self
            .station
            .post(&format!("/v1/orders/{order}/stop"), &json!({}))
            .await
            .unwrap();
        stop.success().unwrap();
    }

    async fn in_state(&self, order: &str, state: State) -> Value {
        self.station.wait_for_order(order, state, PATIENCE).await.unwrap()
    }

    /// Charges for a little, stops, and returns the order once it waits for a person.
    async fn reviewed(&self, pile: &str) -> Value {
        let order = self.charging(pile).await;
        self.until(&format!("/v1/orders/{order}"), |seen| {
            seen["live"]["energy_kwh"].as_str().is_some_and(|kwh| kwh > "0.0000")
        })
        .await;
        self.stop(&order).await;
        self.in_state(&order, State::Review).await
    }

    async fn end(mut self) {
        assert_eq!(self.station.books_total().await.unwrap(), Fen::ZERO);
        assert!(self.station.terminate().await.unwrap());
    }
}

fn suspected(order: &Value) -> Vec<&str> {
    let suspicions = order["suspicions"].as_array().unwrap();
    suspicions.iter().map(|one| one["kind"].as_str().unwrap()).collect()
}

/// Nothing has been taken of the hold.
fn nothing_is_charged(order: &Value) {
    assert_eq!(
        (&order["hold"]["captured"], &order["paid"]["charged"]),
        (&json!("0.00"), &json!("0.00")),
        "{order}"
    );
}

#[tokio::test]
async fn fake_charging_is_noticed_while_it_lasts_and_a_person_decides() {
    let world = World::begin("fake", "09:00:00").await;
    let _pile = world.pile("P1", "stuck-meter=after:60s").await;
    let order = world.charging("P1").await;
    let path = format!("/v1/orders/{order}");
    let seen = world
        .until(&path, |seen| suspected(seen).contains(&"fake_charging"))
        .await;
    assert_eq!(seen["state"], "CHARGING", "it is noticed before the end: {seen}");
    world.stop(&order).await;
    let order = world.in_state(&order, State::Review).await;
    assert_eq!(suspected(&order), ["fake_charging"], "{order}");
    nothing_is_charged(&order);
    // The bill that waits is what the meter counted in its one minute: 60 kW make 1 kWh.
    assert_eq!(order["bill"]["energy_kwh"], "1.0000");
    assert!(
        world
            .station
            .log()
            .contains("current flows and the meter does not count it")
    );
    world.end().await;
}

#[tokio::test]
async fn a_register_that_stops_below_its_start_waits_for_a_person() {
    let world = World::begin("backwards", "09:00:00").await;
    let _pile = world.pile("P1", "meter=backwards").await;
    let order = world.reviewed("P1").await;
    assert!(suspected(&order).contains(&"stop_below_start"), "{order}");
    nothing_is_charged(&order);
    world.end().await;
}

#[tokio::test]
async fn a_register_that_was_rolled_back_between_sessions_waits_for_a_person() {
    let world = World::begin("rollback", "09:00:00").await;
    let pile = world.pile("P1", "").await;
    let first = world.charging("P1").await;
    world
        .until(&format!("/v1/orders/{first}"), |seen| {
            seen["live"]["energy_kwh"].as_str().is_some_and(|kwh| kwh > "0.0000")
        })
        .await;
    world.stop(&first).await;
    world.in_state(&first, State::Payed).await;
    pile.behave(read_behaviours(["meter=rollback:500"]).unwrap()).await;
    pile.unplug(1).await;
    pile.plug(1).await;
    world
        .until("/v1/piles/P1", |pile| {
            pile["connectors"][0]["report"]["status"] == "plugged"
        })
        .await;
    // Readings below what is known do not count while it charges, so nothing of it is seen before the record.
    let second = world.charging("P1").await;
    world.stop(&second).await;
    let order = world.in_state(&second, State::Review).await;
    assert!(suspected(&order).contains(&"start_below_last_known"), "{order}");
    nothing_is_charged(&order);
    world.end().await;
}

#[tokio::test]
async fn what_a_meter_ever_counted_is_never_billed_as_one_session() {
    let world = World::begin("lifetime", "09:00:00").await;
    let _pile = world.pile("P1", "meter=zero-start").await;
    let order = world.reviewed("P1").await;
    let why = suspected(&order);
    assert!(why.contains(&"start_zero") && why.contains(&"too_fast"), "{order}");
    nothing_is_charged(&order);
    world.end().await;
}

#[tokio::test]
async fn a_clock_that_is_hours_off_is_flagged_and_the_bill_is_by_the_stations_time() {
    // Flat from 06:00 to 08:00; five hours later it would be peak and flat, five hours earlier valley.
    for (name, off, behind_h) in [("ahead", "clock=ahead:5h", -5), ("behind", "clock=behind:5h", 5)] {
        let world = World::begin(&format!("clock-{name}"), "06:30:00").await;
        let pile = world.pile("P1", off).await;
        let seen = world.until("/v1/piles/P1", |pile| pile["clock_suspect"] == true).await;
        let behind_ms = seen["clock_behind_ms"].as_i64().unwrap();
        // The pile's clock began before the daemon had started, and a second of that is a minute.
        assert!((behind_ms - behind_h * 3_600_000).abs() < 1_800_000, "{seen}");
        let order = world.charging("P1").await;
        // The network is gone at the end: the record comes late and is all there is.
        pile.cut_network().await;
        world.until("/v1/piles/P1", |pile| pile["online"] == false).await;
        pile.stop_at_pile(1).await;
        pile.restore_network().await;
        let order = world.in_state(&order, State::Payed).await;
        let id = order["id"].as_str().unwrap();
        let bill = world
            .station
            .get(&format!("/v1/orders/{id}/bill"))
            .await
            .unwrap()
            .success()
            .unwrap();
        let segments = bill["versions"][0]["detail"]["segments"].as_array().unwrap();
        let kinds: Vec<_> = segments
            .iter()
            .map(|segment| segment["kind"].as_str().unwrap())
            .collect();
        assert_eq!(kinds, ["flat"], "{off}: {bill}");
        world.end().await;
    }
}

#[tokio::test]
async fn a_pile_that_flaps_while_another_stays_up_is_fenced_off_and_its_order_goes_on() {
    let world = World::begin("flapping", "09:00:00").await;
    let _steady = world.pile("P2", "").await;
    let mut pile = world.pile("P1", "flapping=every:2m,for:10s").await;
    let order = world.charging("P1").await;
    let fenced = world
        .until("/v1/piles/P1", |pile| pile["maintenance"] != Value::Null)
        .await;
    assert_eq!(fenced["maintenance"]["by"], "holdfast");
    assert_eq!(fenced["maintenance"]["reason"], "5 drops in 24 h");
    let steady = world.station.get("/v1/piles/P2").await.unwrap().success().unwrap();
    assert_eq!(
        (&steady["maintenance"], &steady["recent_drops"]),
        (&Value::Null, &json!(0))
    );
    world.station.add_member("bob", "50.00").await.unwrap();
    let refused = world.station.place("bob", "P1", "30.00").await.unwrap_err().to_string();
    assert!(refused.contains("maintenance"), "{refused}");
    pile.stop_at_pile(1).await;
    let stopped = |what: &What| match what {
        What::Stopped { energy_kwh, .. } => Some(*energy_kwh),
        _ => None,
    };
    let delivered = pile.wait_for(PATIENCE, |event| stopped(&event.what)).await.unwrap();
    let paid = world.in_state(&order, State::Payed).await;
    assert_eq!(paid["bill"]["energy_kwh"], delivered.to_string());
    world.end().await;
}
