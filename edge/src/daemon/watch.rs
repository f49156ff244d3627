//! What is looked at now and then while the station runs: the loop's beats for systemd, the system's clock, certificates.

use crate::{
    head_office::{HeadOffice, line_watch::LineWatch},
    station::Station,
};
use domain::site::Input;
use service::{systemd, tls::Tls};
use std::{
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

/// How often it is looked whether the system's clock is synchronised.
const CLOCK_TRUST_EVERY: Duration = Duration::from_secs(60);
/// How often it is looked whether certificates have changed or are to be renewed.
const CERTIFICATES_EVERY: Duration = Duration::from_secs(10);
/// How often it is looked whether head office can be reached.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// Made by systemd-timesyncd once the clock is synchronised.
const TIMESYNC_MARK: &str = "/run/systemd/timesync/synchronized";

pub(super) fn clock_is_synchronised() -> bool {
    Path::new(TIMESYNC_MARK).exists()
}

/// Feeds systemd's watchdog from the loop itself, and follows whether the system's clock is synchronised.
pub(super) async fn watch_over(station: Station, always_trusted: bool) {
    let watchdog = systemd::watchdog();
    let every = watchdog.map_or(CLOCK_TRUST_EVERY, |timeout| timeout / 3);
    let mut turn = tokio::time::interval(every.max(Duration::from_millis(100)));
    let mut beats = 0;
    let mut trusted = always_trusted || clock_is_synchronised();
    loop {
        turn.tick().await;
        let now = station.stats.beats.load(Ordering::Relaxed);
        if watchdog.is_some() && now != beats {
            systemd::alive();
        }
        beats = now;
        let synchronised = always_trusted || clock_is_synchronised();
        if synchronised != trusted {
            trusted = synchronised;
            station.clock.set_trusted(trusted);
            tracing::info!(trusted, "the system's clock");
            station.tell(Input::ClockTrust(trusted));
        }
    }
}

/// Follows whether head office can be reached, and closes vouchers by its time.
pub(super) async fn follow_line(station: Station, head_office: Arc<HeadOffice>) {
    let mut turn = tokio::time::interval(LINE_EVERY);
    let mut line = LineWatch::default();
    loop {
        turn.tick().await;
        for input in line.look(&head_office, station.clock.now().mono) {
            if let Input::Line(up) = input {
                tracing::info!(up, "the line to head office");
            }
            station.tell(input);
        }
    }
}

fn warn_of_piles(station: &Station) {
    let soon = station.clock.now().wall.after_ms(service::tls::WARN_MS);
    let ending = station.credentials.certificates_ending_before(soon);
    if ending > 0 {
        tracing::warn!(
            "{ending} piles have a certificate that ends within 30 days or has ended: `holdfast-edge pile list` says \
             which, `pile cert` makes new ones"
        );
    }
}

/// Looks at the certificates, at a steady pace and whenever somebody asks for it with SIGHUP.
pub(super) async fn watch_certificates(
    tls: Option<Arc<Tls>>,
    station: Station,
    mut asked: tokio::signal::unix::Signal,
) {
    const DAY: Duration = Duration::from_secs(86_400);
    let mut turn = tokio::time::interval(CERTIFICATES_EVERY);
    let mut daily = tokio::time::interval(DAY);
    loop {
        tokio::select! {
            _ = turn.tick() => {}
            _ = daily.tick() => warn_of_piles(&station),
            _ = asked.recv() => tracing::info!("SIGHUP: the certificates are looked at; the configuration is read at a start only"),
        }
        if let Some(tls) = &tls {
            let tls = Arc::clone(tls);
            // Files may be slow. Its only possible failure is a panic, which has been told.
            let _looked = tokio::task::spawn_blocking(move || tls.look()).await;
        }
    }
}
