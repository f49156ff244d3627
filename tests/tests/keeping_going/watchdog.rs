//! The station's loop hangs: systemd's watchdog is fed from the loop, so it is not fed any more. The test is systemd.

use crate::{PATIENCE, played::Played};
use std::time::{Duration, Instant};
use tokio::net::UnixDatagram;
use world::{
    fault::StandingStill,
    station::{Setup, StationProcess},
};

/// What `WatchdogSec=` would be.
const WATCHDOG: Duration = Duration::from_secs(3);

/// The other end of `NOTIFY_SOCKET`.
struct Manager(UnixDatagram);

impl Manager {
    /// What the daemon says next, if it says something in time.
    async fn hears(&self, within: Duration) -> Option<String> {
        let mut bytes = [0; 4096];
        let received = tokio::time::timeout(within, self.0.recv(&mut bytes)).await.ok()?;
        Some(String::from_utf8(bytes[..received.unwrap()].to_vec()).unwrap())
    }

    /// Waits for this among what the daemon says.
    async fn hears_of(&self, what: &str, within: Duration) {
        let begun = Instant::now();
        loop {
            let left = within.saturating_sub(begun.elapsed());
            let said = self.hears(left).await;
            let said = said.unwrap_or_else(|| panic!("no {what} within {within:?}"));
            if said.lines().any(|line| line == what) {
                return;
            }
        }
    }
}

#[tokio::test]
async fn the_watchdog_is_fed_while_the_loop_turns_and_not_when_it_hangs() {
    let mut station = StationProcess::new("watchdog", &Setup::new()).unwrap();
    let socket = station.folder().join("notify.sock");
    let manager = Manager(UnixDatagram::bind(&socket).unwrap());
    station.environment = vec![
        ("NOTIFY_SOCKET".to_owned(), socket.display().to_string()),
        ("WATCHDOG_USEC".to_owned(), WATCHDOG.as_micros().to_string()),
    ];
    station.start_again().await.unwrap();
    manager.hears_of("READY=1", PATIENCE).await;
    for _ in 0..4 {
        manager.hears_of("WATCHDOG=1", PATIENCE).await;
    }
    let mut pile = Played::new(&station, "P1").await;
    let order = pile.charging(&station, "m1").await;

    let hung = StandingStill::hold(station.thread("station-loop").unwrap()).unwrap();
    while manager.hears(Duration::ZERO).await.is_some() {}
    // What the loop did before it stopped may be told of now, and once more when it is looked at next. A loop that turns
    // would be told of at least every third of this time.
    let mut told = 0;
    while let Some(said) = manager.hears(2 * WATCHDOG).await {
        assert_eq!(said.trim_end(), "WATCHDOG=1");
        told += 1;
        assert!(told <= 2, "nobody feeds it for a loop that hangs");
    }
    drop(hung);
    manager.hears_of("WATCHDOG=1", PATIENCE).await;

    // When it stays so, systemd ends the daemon with SIGABRT and starts it again.
    let hung = StandingStill::hold(station.thread("station-loop").unwrap()).unwrap();
    let pid = nix::unistd::Pid::from_raw(i32::try_from(station.pid().unwrap()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGABRT).unwrap();
    let status = station.wait_for_end().await.unwrap();
    drop(hung);
    assert!(!status.success());
    station.start_again().await.unwrap();
    manager.hears_of("READY=1", PATIENCE).await;
    pile.reconnect(&station).await;
    pile.settles(&station, &order).await;
    let going_down = manager.hears_of("STOPPING=1", PATIENCE);
    let (stopped, _) = tokio::join!(station.terminate(), going_down);
    assert!(stopped.unwrap());
}
