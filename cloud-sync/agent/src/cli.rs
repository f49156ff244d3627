//! What a person types.

use crate::{
    config::Config,
    courier::Progress,
    enrol, run,
    station::Station,
    status::{Known, Status, router},
};
use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use service::{
    client::{Call, Client},
    http::{
        serve::{Api, Counts},
        unix::{bind_unix, serve_unix},
    },
    log, systemd,
};
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

/// How long requests get to finish when the program ends.
const DRAIN: Duration = Duration::from_secs(2);

/// Carries a station's journal to head office.
#[derive(Debug, Parser)]
#[command(name = "holdfast-sync", version, about, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Carry the journal, until it is told to end.
    Run(ConfigFile),
    /// Read the configuration and the enrolment, ask the station, and say what is wrong.
    Check(ConfigFile),
    /// How far it is.
    Status {
        #[command(flatten)]
        config: ConfigFile,
        /// Print the answer as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Get this box its place at head office.
    Enrol {
        /// The invitation: the file that `holdfast-central site enrol SITE` wrote.
        invitation: PathBuf,
        #[command(flatten)]
        config: ConfigFile,
    },
}

#[derive(Debug, Args)]
struct ConfigFile {
    /// The configuration file.
    #[arg(long, default_value = "/etc/holdfast-sync/sync.toml")]
    config: PathBuf,
}

impl ConfigFile {
    fn load(&self) -> anyhow::Result<Config> {
        Ok(Config::load_here(&self.config)?)
    }
}

/// Does what was asked and returns the text to print.
///
/// # Errors
/// What went wrong, with what to do about it.
pub fn run(cli: Cli) -> anyhow::Result<String> {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build();
    match cli.command {
        Command::Run(config) => carry(&config.load()?).map(|()| String::new()),
        Command::Check(config) => runtime()?.block_on(check(&config)),
        Command::Status { config, json } => {
            let client = Client::at_socket(config.load()?.socket);
            let status: Status = runtime()?
                .block_on(client.read(Call::get("/v1/status")))
                .context("`systemctl status holdfast-sync` says whether it runs")?;
            Ok(if json {
                serde_json::to_string_pretty(&status)?
            } else {
                status.to_text()
            })
        }
        Command::Enrol { invitation, config } => {
            let enrolled = runtime()?.block_on(enrol::enrol(&config.load()?, &invitation))?;
            let keys: Vec<String> = enrolled.public_keys.iter().map(|key| format!("\"{key}\"")).collect();
            Ok(format!(
                "site {} is enrolled as number {}; its certificate ends {}\n\
                 now, in the station's edge.toml (what head office signs counts there by this alone):\n\n\
                 [head_office]\npublic_key = [{}]\n\n\
                 then: systemctl restart holdfast-edge, and systemctl enable --now holdfast-sync (restart it, if it runs)",
                enrolled.site,
                enrolled.number,
                enrol::end_of_certificate(&enrolled)?,
                keys.join(", "),
            ))
        }
    }
}

/// Runs until SIGTERM or SIGINT.
fn carry(config: &Config) -> anyhow::Result<()> {
    let log = log::start(&config.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let result = runtime.block_on(async {
        let enrolled = enrol::enrolled(config)?;
        let agent = enrol::agent(config)?;
        let known = Known {
            site: agent.site.to_string(),
            brokers: enrolled.brokers.clone(),
            certificate_ends: enrol::end_of_certificate(&enrolled)?,
        };
        let socket = bind_unix(&config.socket).await.context("socket in the configuration")?;
        let (told, progress) = watch::channel(Progress::default());
        let (stop, stopping) = watch::channel(false);
        let closing = Arc::new(watch::Sender::new(false));
        let api = Api::new(router(known, progress), closing, Arc::new(Counts::default()));
        let serving = tokio::spawn(serve_unix(socket, api, stopping));
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let status = format!("speaks for site {} to {}", agent.site, enrolled.brokers.join(", "));
        tracing::info!("{status}");
        systemd::ready(&status);
        let shutdown = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            systemd::stopping();
        };
        run::run(agent, told, shutdown).await;
        let _nobody_asks = stop.send(true);
        let _drained = tokio::time::timeout(DRAIN, serving).await;
        anyhow::Ok(())
    });
    runtime.shutdown_background();
    log.flush();
    result
}

async fn check(file: &ConfigFile) -> anyhow::Result<String> {
    let config = file.load()?;
    let enrolled = enrol::enrolled(&config)?;
    let agent = enrol::agent(&config)?;
    let hello = Station::at(config.station_socket.clone())
        .hello()
        .await
        .context("the station does not answer")?;
    let (is, speaks_for) = (&hello.site, &agent.site);
    anyhow::ensure!(
        is == speaks_for,
        "the station is {is}, and this box enrolled for {speaks_for}"
    );
    Ok(format!(
        "{}: nothing wrong\nsite {}, head office at {}, certificate ends {}",
        file.config.display(),
        agent.site,
        enrolled.brokers.join(", "),
        enrol::end_of_certificate(&enrolled)?,
    ))
}
