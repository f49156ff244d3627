//! The router serves displays alone. Where nobody subscribes it does not run; where it hangs, or its thread is gone, the
//! daemon notices, says so and ends, the service manager starts it again, and nothing is lost.

use crate::played::{Played, is_paid};
use world::{
    display::{self, Display},
    fault::{self, StandingStill},
    station::{Setup, StationProcess},
};

#[tokio::test]
async fn a_station_that_only_piles_come_to_has_no_router() {
    let station = StationProcess::start("no-router", &Setup::new()).await.unwrap();
    let mut pile = Played::new(&station, "P1").await;
    let order = pile.charging(&station, "m1").await;
    assert!(station.thread("router-0").is_err());
    // The loop's thread is found in the same way.
    station.thread("station-loop").unwrap();
    pile.settles(&station, &order).await;
}

/// Two sessions that a display watches, the router's thread met by a fault, and what must come of it.
async fn goes_on_after<T>(name: &str, fault: impl FnOnce(u32) -> anyhow::Result<T>) {
    let mut station = StationProcess::start(name, &Setup::new()).await.unwrap();
    let secret = display::add(&station, "board").await.unwrap();
    let mut one = Played::new(&station, "P1").await;
    let mut two = Played::new(&station, "P2").await;
    let first = one.charging(&station, "m1").await;
    let second = two.charging(&station, "m2").await;
    let mut board = Display::subscribed(&station, "board", &secret, "before").unwrap();
    for order in [&first, &second] {
        let charges = |frame: &serde_json::Value| frame["state"] == "CHARGING";
        board.hear_where(&format!("live/{order}"), charges).await.unwrap();
    }

    let router = station.thread("router-0").unwrap();
    let held = fault(router).unwrap();
    // Piles have no part in it: a record is settled and acknowledged meanwhile, though its frame reaches nobody.
    one.settles(&station, &first).await;
    let status = station.wait_for_end().await.unwrap();
    drop(held);
    assert_eq!(status.code(), Some(1), "systemd takes this for a failure: {status}");
    let log = station.log();
    assert!(log.contains("the MQTT router died; start again"), "{log}");
    // Whoever waits for it longest says so first: whoever listens for what it passes on, or whoever hands it something.
    let noticed = ["it does not pass a message on", "the port is stuck in the router"];
    assert!(noticed.iter().any(|said| log.contains(said)), "{log}");
    assert!(!log.contains("panicked"), "{log}");
    drop(board);

    station.start_again().await.unwrap();
    is_paid(&station, &first).await;
    two.reconnect(&station).await;
    let mut board = Display::subscribed(&station, "board", &secret, "after").unwrap();
    let topic = format!("live/{second}");
    board
        .hear_where(&topic, |frame| frame["state"] == "CHARGING")
        .await
        .unwrap();
    two.settles(&station, &second).await;
    board
        .hear_where(&topic, |frame| frame["state"] == "PAYED")
        .await
        .unwrap();
}

#[tokio::test]
async fn a_router_that_hangs_ends_the_daemon_and_the_next_one_goes_on() {
    goes_on_after("router-hangs", StandingStill::hold).await;
}

#[cfg(target_arch = "x86_64")]
#[tokio::test]
async fn a_router_whose_thread_is_gone_ends_the_daemon_and_the_next_one_goes_on() {
    goes_on_after("router-gone", fault::end_thread).await;
}
