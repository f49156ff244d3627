//! The fan-out's router hangs: the daemon notices, says so and ends, the service manager starts it again, and nothing is
//! lost. That its end is noticed too is tested in the broker, which can end it.

use crate::played::{Played, is_paid};
use world::{
    fault::StandingStill,
    station::{Setup, StationProcess},
};

#[tokio::test]
async fn a_router_that_hangs_ends_the_daemon_and_the_next_one_goes_on() {
    let mut station = StationProcess::start("router-hangs", &Setup::new()).await.unwrap();
    let mut one = Played::new(&station, "P1").await;
    let mut two = Played::new(&station, "P2").await;
    let first = one.charging(&station, "m1").await;
    let second = two.charging(&station, "m2").await;

    let router = station.thread("router-0").unwrap();
    let hung = StandingStill::hold(router).unwrap();
    // Piles have no part in it: a record is settled and acknowledged meanwhile.
    one.settles(&station, &first).await;
    let status = station.wait_for_end().await.unwrap();
    drop(hung);
    assert_eq!(status.code(), Some(1), "systemd takes this for a failure: {status}");
    let log = station.log();
    for said in ["it does not pass a message on", "the MQTT router died; start again"] {
        assert!(log.contains(said), "{said}: {log}");
    }
    assert!(!log.contains("panicked"), "{log}");

    station.start_again().await.unwrap();
    is_paid(&station, &first).await;
    two.reconnect(&station).await;
    two.settles(&station, &second).await;
}
