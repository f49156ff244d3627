//! `run` and `check-config`.

use crate::{
    clock::system_wall,
    config::Config,
    daemon,
    enrolments::{self, Enrolments},
    store::{Db, Place, audit, identity, moving, standbys},
};
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
    match standbys::trouble_at(&config.database) {
        Ok(None) => {}
        Ok(Some(trouble)) => lines.push(format!("! {trouble}")),
        Err(error) => lines.push(format!("! it cannot be looked at: {error}")),
    }
    if config.has_tls() {
        let folder = config.data_dir.join("tls");
        lines.extend(tls::check(&config.tls, &folder, system_wall()).context("tls")?);
    }
    daemon::senders_of(&config).context("alerts")?;
    daemon::back_end_of(&config).context("mini_program")?;
    let at = |address: Option<std::net::SocketAddr>| address.map_or_else(|| "nowhere".to_owned(), |at| at.to_string());
    match &config.sites.broker {
        Some(broker) => {
            let nodes: Vec<String> = broker
                .addresses
                .iter()
                .map(|(host, port)| format!("{host}:{port}"))
                .collect();
            lines.push(format!("sites: at the broker {}", nodes.join(", ")));
        }
        None => lines.push(format!("sites: {}", at(config.sites.listen))),
    }
    lines.push(format!("HTTPS: {}", at(config.http.tls_listen)));
    Ok(lines.join("\n"))
}

fn does_not_run(config: &Config) -> anyhow::Result<()> {
    let answers = std::os::unix::net::UnixStream::connect(&config.socket).is_ok();
    let socket = config.socket.display();
    anyhow::ensure!(
        !answers,
        "the daemon answers on {socket}: stop it first (all of them, where several share the database)"
    );
    Ok(())
}

/// Moves the database from its file to PostgreSQL.
pub(super) fn move_to(path: &Path, to: &Path) -> anyhow::Result<String> {
    let (old, new) = (Config::load_here(path)?, Config::load_here(to)?);
    does_not_run(&old)?;
    does_not_run(&new)?;
    let Place::File(from) = &old.database else {
        anyhow::bail!("{}: the database is no file", path.display());
    };
    let Place::Postgres(url) = &new.database else {
        anyhow::bail!("{}: it names no PostgreSQL (database.url)", to.display());
    };
    let moved = moving::to_postgres(from, url, "command line", system_wall()).context("nothing was moved")?;
    Ok(format!(
        "{} rows were moved to {}; another life of head office's begins: {}. Start the daemon with {}: its `data_dir` needs \
         what lies in `tls` of the old one. Keep {} until a backup of the new one is made; the program refuses it",
        moved.rows,
        moved.to,
        moved.hq_epoch,
        to.display(),
        from.display(),
    ))
}

/// Begins another life of head office's on a database that was restored.
pub(super) fn restored(path: &Path, reason: &str) -> anyhow::Result<String> {
    let config = Config::load_here(path)?;
    does_not_run(&config)?;
    let db = Db::open(&config.database).with_context(|| daemon::words_of(&config.database))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (now, reason) = (system_wall(), reason.to_owned());
    let enrolments = Enrolments::of(&config.data_dir);
    let lines = enrolments.read().context("who has enrolled since")?;
    let begun = db.write(move |tx| {
        let epoch = identity::restored(tx, now)?;
        let put_back = enrolments::put_back(tx, &lines)?;
        let detail = serde_json::json!({ "reason": reason, "hq_epoch": epoch, "enrolments": put_back });
        audit::append(tx, now, "command line", "restored", "head office", detail)?;
        Ok((epoch, put_back))
    });
    let (epoch, put_back) = runtime.block_on(begun)?;
    let put_back: Vec<&str> = put_back.iter().map(|site| site.as_str()).collect();
    let put_back = match put_back.as_slice() {
        [] => String::new(),
        some => format!(
            " Of who has come in or was shut out since the copy, {} was put back by {}.",
            some.join(", "),
            enrolments.path().display()
        ),
    };
    Ok(format!(
        "another life of head office's begins: {epoch}.{put_back} Start the daemon; every site sends what the copy has forgotten, and \
         `holdfast-central status` says how far each is"
    ))
}
