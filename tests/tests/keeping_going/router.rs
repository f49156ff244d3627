//! The fan-out's router is there only for those who subscribe to shared topics. Its death and its hanging are played in
//! `broker/src/router`; a station whose piles alone are connected has nothing of it that could.

use crate::played::Played;
use world::station::{Setup, StationProcess};

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
