//! What a daemon and systemd tell each other (sd_notify(3)): readiness, more time to start, signs of life.
//! `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` are read by `sd-notify`; without them nothing is said.

use sd_notify::NotifyState;
use std::{future::Future, time::Duration};

/// How often more time is asked for while something takes long.
const ASK_EVERY: Duration = Duration::from_secs(10);
/// How much time is asked for at once, in microseconds.
const PATIENCE_USEC: u32 = 60_000_000;

/// Tells that everything listens.
pub fn ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Tells that the daemon is going down.
pub fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// A sign of life.
pub fn alive() {
    notify(&[NotifyState::Watchdog]);
}

/// How long systemd waits for a sign of life; `None` if it does not.
pub fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

/// Waits for something that may take longer than systemd allows a start, asking for more time as it goes.
pub async fn extending_the_start<T>(work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    loop {
        notify(&[NotifyState::ExtendTimeoutUsec(PATIENCE_USEC)]);
        if let Ok(done) = tokio::time::timeout(ASK_EVERY, &mut work).await {
            return done;
        }
    }
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd was not told");
    }
}
