//! What a person types. Commands that change or show head office ask the daemon over its Unix socket.

mod run;
mod site;

use clap::{Args, Parser, Subcommand};
use serde_json::{Value, json};
use service::client::{self, Call, Client, new_key};
use std::{future::Future, path::PathBuf};

/// Holdfast at head office.
#[derive(Debug, Parser)]
#[command(name = "holdfast-central", version, about, max_term_width = 100)]
pub struct Cli {
    /// The daemon's Unix socket [default: /run/holdfast-central/central.sock].
    #[arg(long, global = true)]
    socket: Option<PathBuf>,
    /// Print the daemon's JSON answer as it is.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run head office.
    Run(ConfigFile),
    /// Read the configuration and the files it names, and say what is wrong with them.
    CheckConfig(ConfigFile),
    /// Sites: who may come in, and how far their journals are here.
    #[command(subcommand)]
    Site(site::Site),
}

#[derive(Debug, Args)]
struct ConfigFile {
    /// The configuration file.
    #[arg(long, default_value = "/etc/holdfast-central/central.toml")]
    config: PathBuf,
}

/// The daemon, for commands that wait for one answer after another.
struct Daemon(Client);

impl Daemon {
    fn get(&self, path: &str) -> anyhow::Result<Value> {
        wait(self.0.read(Call::get(path)))
    }

    fn put(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        wait(self.0.read(Call::put(path).json(body)?))
    }

    fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        wait(self.0.read(Call::post(path, &new_key()?).json(body)?))
    }

    fn delete(&self, path: &str) -> anyhow::Result<Value> {
        wait(self.0.read(Call::delete(path)))
    }

    /// Every page of a list.
    fn all(&self, path: &str) -> anyhow::Result<Value> {
        let items: Vec<Value> = wait(self.0.all(path))?;
        Ok(json!({ "items": items }))
    }
}

fn wait<T>(answer: impl Future<Output = Result<T, client::Failed>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(answer)?)
}

/// Does what was asked and returns the text to print.
///
/// # Errors
/// What went wrong, with what to do about it.
pub fn run(cli: Cli) -> anyhow::Result<String> {
    let socket = cli
        .socket
        .unwrap_or_else(|| PathBuf::from("/run/holdfast-central/central.sock"));
    let daemon = Daemon(Client::at_socket(socket));
    let (answer, show): (Value, fn(&Value) -> String) = match cli.command {
        Command::Run(file) => return run::run(&file.config).map(|()| String::new()),
        Command::CheckConfig(file) => return run::check_config(&file.config),
        Command::Site(command) => site::run(&daemon, command)?,
    };
    Ok(if cli.json {
        serde_json::to_string_pretty(&answer)?
    } else {
        show(&answer)
    })
}
