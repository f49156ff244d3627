//! `run` and `check-config`.

use crate::{clock::system_wall, config::Config, daemon};
use anyhow::Context;
use service::{log, systemd, tls};
use std::path::Path;
use tokio::signal::unix::{SignalKind, signal};

/// Runs the daemon until SIGTERM or SIGINT.
pub(super) fn run(path: &Path) -> anyhow::Result<()> {
    let config = Config::load_here(path)?;
    let log = log::start(&format!("rumqttd=error,{}", config.log))?;
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
        let announce = |listening: &daemon::Listening| systemd::ready(&format!("head office is up: {listening}"));
        daemon::run(config, announce, shutdown).await
    });
    runtime.shutdown_background();
    log.flush();
    result
}

/// Reads the configuration and the files it names.
pub(super) fn check_config(path: &Path) -> anyhow::Result<String> {
    let config = Config::load_here(path)?;
    let mut lines = vec![format!("{}: process {}, nothing wrong", path.display(), config.process)];
    lines.push(format!("database: {}", daemon::words_of(&config.database)));
    if config.has_tls() {
        let folder = config.data_dir.join("tls");
        lines.extend(tls::check(&config.tls, &folder, system_wall()).context("tls")?);
    }
    let at = |address: Option<std::net::SocketAddr>| address.map_or_else(|| "nowhere".to_owned(), |at| at.to_string());
    match &config.sites.broker {
        Some(broker) => lines.push(format!("sites: at the broker {}:{}", broker.host, broker.port)),
        None => lines.push(format!("sites: {}", at(config.sites.listen))),
    }
    lines.push(format!("HTTPS: {}", at(config.http.tls_listen)));
    Ok(lines.join("\n"))
}
