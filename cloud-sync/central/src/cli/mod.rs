//! What a person types. Commands that change or show head office ask the daemon over its Unix socket.

mod bill;
mod people;
mod reconcile;
mod run;
mod site;
mod upkeep;

use clap::{Args, Parser, Subcommand};
use serde_json::{Value, json};
use service::{
    client::{self, Call, Client, new_key},
    table,
};
use std::{future::Future, path::PathBuf, time::Duration};

/// How long the daemon may take for an answer; what follows a whole journal takes long.
const TIME_MAX: Duration = Duration::from_secs(3_600);

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
    /// How head office is: what needs somebody first.
    Status,
    /// Sites: who may come in, and how far their journals are here.
    #[command(subcommand)]
    Site(site::Site),
    /// Rows that follow from a site's journal.
    #[command(subcommand)]
    Replica(upkeep::Replica),
    /// The books.
    #[command(subcommand)]
    Ledger(upkeep::Ledger),
    /// Sites' journals.
    #[command(subcommand)]
    Journal(upkeep::Journal),
    /// Channels' bills.
    #[command(subcommand)]
    Bill(bill::Bill),
    /// Hold a channel's day against its bill, and every day that this changes. What differs is a discrepancy.
    Reconcile(reconcile::Reconcile),
    /// Write a day's report: does it balance, what does not, how old is it, who has it; and every difference.
    Report(reconcile::Report),
    /// Copy the database, where that is a file, into a new one, while the daemon goes on.
    Backup {
        /// The new file, where the daemon may write.
        file: PathBuf,
    },
    /// Begin another life of head office's, after its database was restored from a copy and before the daemon starts on it:
    /// sites send what the copy has forgotten. The daemon must not run.
    Restored {
        /// Why: what was lost, and which copy it was.
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Move the database from its file to PostgreSQL. The old one is refused afterwards, and another life of head office's begins.
    /// The daemon must not run.
    Move {
        /// The configuration that the daemon is started with afterwards: its `database.url` is where to, an empty database.
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
        #[command(flatten)]
        config: ConfigFile,
    },
    /// What head office signs with.
    #[command(subcommand)]
    Key(upkeep::Key),
    /// People who may log in.
    #[command(subcommand)]
    User(people::User),
    /// Tokens of machines that use the HTTP API.
    #[command(subcommand)]
    Token(people::Token),
    /// Print the OpenAPI document of the HTTP API.
    Openapi,
}

#[derive(Debug, Args)]
struct ConfigFile {
    /// The configuration file.
    #[arg(long, default_value = "/etc/holdfast-central/central.toml")]
    config: PathBuf,
}

/// What a command shows: the daemon's answer, and how it is shown.
type Shown = (Value, fn(&Value) -> String);

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
    let daemon = Daemon(Client::at_socket(socket).within(TIME_MAX));
    let (answer, show): Shown = match cli.command {
        Command::Run(file) => return run::run(&file.config).map(|()| String::new()),
        Command::CheckConfig(file) => return run::check_config(&file.config),
        Command::Openapi => return Ok(crate::api::openapi().to_pretty_json()?),
        Command::Status => site::status(&daemon)?,
        Command::Site(command) => site::run(&daemon, command)?,
        Command::Replica(command) => upkeep::replica(&daemon, command)?,
        Command::Ledger(command) => upkeep::ledger(&daemon, command)?,
        Command::Journal(command) => upkeep::journal(&daemon, command)?,
        Command::Bill(command) => bill::run(&daemon, command)?,
        Command::Reconcile(asked) => reconcile::run(&daemon, &asked)?,
        Command::Report(asked) => return reconcile::report(&daemon, &asked),
        Command::Restored { reason, config } => return run::restored(&config.config, &reason),
        Command::Move { to, config } => return run::move_to(&config.config, &to),
        Command::Backup { file } => upkeep::backup(&daemon, &file)?,
        Command::Key(command) => upkeep::key(&daemon, command)?,
        Command::User(command) => people::user(&daemon, command)?,
        Command::Token(command) => people::token(&daemon, command)?,
    };
    Ok(match cli.json {
        true => serde_json::to_string_pretty(&answer)?,
        false => show(&table::fit_for_a_screen(answer)),
    })
}
