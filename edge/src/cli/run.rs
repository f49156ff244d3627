//! `run` and `check-config`.

use crate::{
    clock,
    config::Config,
    daemon::{self, Listening},
};
use anyhow::Context;
use service::{systemd, tls};
use std::{net::SocketAddr, path::Path};
use tokio::signal::unix::{SignalKind, signal};

/// Runs the daemon until SIGTERM or SIGINT.
pub(super) fn run(path: &Path) -> anyhow::Result<()> {
    let config = Config::load_here(path)?;
    // The fan-out library tells of every connection; a person may ask for that by naming it.
    let log = service::log::start(&format!("rumqttd=error,{}", config.log))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let shutdown = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            systemd::stopping();
        };
        daemon::run(config, announce, shutdown).await
    });
    // A handler that hangs must not keep a dead station from being started again.
    runtime.shutdown_background();
    log.flush();
    result
}

fn announce(listening: &Listening) {
    let status = format!("station is up: {listening}");
    systemd::ready(&status);
}

/// Reads the configuration and the files it names: the first tariff, certificates and the key.
pub(super) fn check_config(path: &Path) -> anyhow::Result<String> {
    let config = Config::load_here(path)?;
    if let Some(tariff) = &config.first_tariff {
        daemon::read_tariff(tariff, &config.time_zone).context("first_tariff")?;
    }
    let mut lines = vec![format!("{}: site {}, nothing wrong", path.display(), config.site)];
    for address in &config.mqtt.listen {
        lines.push(format!("piles without TLS: {address}"));
    }
    if config.has_tls() {
        let folder = config.data_dir.join("tls");
        let warnings = tls::check(&config.tls, &folder, clock::system_wall()).context("mqtt.tls")?;
        lines.extend(warnings);
    }
    let at = |address: Option<SocketAddr>| address.map_or_else(|| "nowhere".to_owned(), |address| address.to_string());
    lines.push(format!("piles with TLS: {}", at(config.mqtt.tls_listen)));
    lines.push(format!("HTTPS: {}", at(config.http.tls_listen)));
    lines.extend(
        daemon::plain_beyond_loopback(&config)
            .into_iter()
            .map(|warning| format!("! {warning}")),
    );
    Ok(lines.join("\n"))
}
