//! What a person types. Commands that change or show the station ask the daemon over its Unix socket, so that there is
//! one writer and one truth; `check-config`, `restore`, `openapi` and an offline `journal verify` need no daemon.

mod backup;
mod certificate;
mod client;
mod desk;
mod display;
mod energy;
mod export;
mod order;
mod piles;
mod quarantine;
mod run;
mod status;
mod told;
mod verify;

use anyhow::{Context, ensure};
use clap::{Args, Parser, Subcommand, ValueEnum};
use client::Client;
use domain::{
    ids::{CardId, MemberId, PileId, TariffId},
    journal::Head,
};
use serde_json::{Value, json};
use service::table;
use std::{path::PathBuf, time::Duration};

/// Holdfast at a charging station.
#[derive(Debug, Parser)]
#[command(name = "holdfast-edge", version, about, max_term_width = 100)]
pub struct Cli {
    /// The daemon's Unix socket [default: /run/holdfast/edge.sock].
    #[arg(long, global = true)]
    socket: Option<PathBuf>,
    /// Print the daemon's JSON answer as it is.
    #[arg(long, global = true)]
    json: bool,
    /// A file with your token: the daemon then takes you for the one it names, and not for anybody on this machine.
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the station.
    Run(ConfigFile),
    /// Read the configuration and the files it names (first tariff, certificates), and say what is wrong with them.
    CheckConfig(ConfigFile),
    /// How the station is, what needs attention first.
    Status,
    /// Say that the machine's clock is right, where the station cannot believe it.
    ClockConfirmed,
    /// Piles: who may connect.
    #[command(subcommand)]
    Pile(Pile),
    /// Displays: price boards and other systems that read live frames and states over MQTT.
    #[command(subcommand)]
    Display(display::Display),
    /// Print the certificate of the station's own authority, PEM: what a pile needs to know the station by, over TLS.
    Authority,
    /// Members: who may charge, and their money here.
    #[command(subcommand)]
    Member(Member),
    /// Cards: which member a card starts orders for.
    #[command(subcommand)]
    Card(Card),
    /// Orders: end one, correct its bill.
    #[command(subcommand)]
    Order(order::Order),
    /// The desk: the till, shifts, and cash that goes to the bank.
    #[command(subcommand)]
    Desk(desk::Desk),
    /// Tokens of people and programs that use the HTTP API.
    #[command(subcommand)]
    Token(Token),
    /// Tariffs: prices by the time of day.
    #[command(subcommand)]
    Tariff(Tariff),
    /// The tamper-evident journal.
    #[command(subcommand)]
    Journal(Journal),
    /// Copy the running station's database into a new file, while it goes on.
    Backup {
        /// The new file, where the daemon may write: with the packaged service, below its data directory.
        file: PathBuf,
        /// How many seconds it may take.
        #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=3600))]
        within: u64,
    },
    /// Write the station's rows and balances into a new file, signed: with it a station whose journal does not begin with its first
    /// entry any more joins head office (`holdfast-central site opening`).
    Opening {
        /// The new file, where the daemon may write: with the packaged service, below its data directory.
        file: PathBuf,
    },
    /// Make a copy the station's database. The daemon must not run; the copy stays as it is.
    Restore {
        /// The copy.
        copy: PathBuf,
        /// Give the database that is there another name, which is printed.
        #[arg(long)]
        move_aside: bool,
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Go on after a restore without what head office has beyond the copy. What was booked there stays head office's alone.
    Recover {
        /// Why: the line is gone for good, say. It is journaled, and head office's people read it.
        #[arg(long, value_name = "REASON")]
        alone: String,
    },
    /// What head office had the station do, and what was refused.
    #[command(subcommand)]
    Directive(told::Directive),
    /// Vouchers: money that drivers bring along themselves while the line to head office is cut.
    #[command(subcommand)]
    Voucher(told::Voucher),
    /// Quarantine: what waits for a person, because it fits nowhere or contradicts what is known.
    #[command(subcommand)]
    Quarantine(quarantine::Quarantine),
    /// What orders billed against what the registers moved, day by day.
    EnergyReport(energy::EnergyReport),
    /// The books: every account that is not empty. They sum to zero.
    BalanceSheet,
    /// Work a day's bills out again from the journal, and say which come out otherwise.
    AuditBills {
        /// The day, as in 2026-03-01, by the site's clock.
        day: String,
    },
    /// Print the OpenAPI document of the HTTP API.
    Openapi,
}

#[derive(Debug, Args)]
struct ConfigFile {
    /// The configuration file.
    #[arg(long, default_value = "/etc/holdfast/edge.toml")]
    config: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Pile {
    /// Let a pile in. Its secret is printed once.
    Add {
        /// The pile's id, which is its MQTT user name.
        id: String,
    },
    /// All piles and how they are.
    List,
    /// Make a pile a certificate to show in place of its secret: ID.crt and ID.key, and ca.crt to know the station by.
    /// The certificate before counts until the pile comes with the new one.
    Cert {
        /// The pile's id, which is the certificate's common name.
        id: String,
        /// The folder for the files. Files of the same names there are replaced.
        #[arg(long, default_value = ".")]
        out: PathBuf,
        /// For how many days it is valid.
        #[arg(long, default_value_t = 1_095, value_parser = clap::value_parser!(i64).range(1..=7_300))]
        days: i64,
        /// The certificates before it count no more at once, and the pile is disconnected: for one that was lost.
        #[arg(long)]
        revoke: bool,
    },
    /// Give a pile a new secret, printed once. It is disconnected and must use the new one.
    Rotate {
        /// The pile's id.
        id: String,
    },
    /// Let a pile in no more. Its history stays.
    Remove {
        /// The pile's id.
        id: String,
    },
    /// Fence a pile off from new orders, or put it back to work, which ends its faults too.
    Maintenance {
        /// The pile's id.
        id: String,
        /// Why it is fenced off.
        #[arg(long, required_unless_present = "off")]
        reason: Option<String>,
        /// Put it back to work.
        #[arg(long, conflicts_with = "reason")]
        off: bool,
    },
    /// What happened at a pile lately, the newest last.
    Log {
        /// The pile's id.
        id: String,
        /// How many entries.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=200))]
        limit: u16,
    },
    /// Believe a pile's meter again, after an energy report or a lower register put it in doubt.
    MeterCleared {
        /// The pile's id.
        id: String,
        /// What was found and done.
        #[arg(long)]
        reason: String,
    },
}

#[derive(Debug, Subcommand)]
enum Member {
    /// Serve a member here.
    Add {
        /// The member's id.
        id: String,
        /// A name for people.
        #[arg(long, default_value = "")]
        name: String,
    },
    /// All members.
    List,
    /// One member: money, debts, open orders.
    Show {
        /// The member's id.
        id: String,
    },
    /// Take money in at the desk.
    Topup {
        /// The member's id.
        id: String,
        /// In yuan, such as 50.00.
        amount: String,
        /// The receipt's number. The same number never counts twice.
        #[arg(long)]
        receipt: String,
    },
    /// Take back a top-up that was typed wrong, as far as it is unspent.
    TopupReverse {
        /// The member's id.
        id: String,
        /// The number of the top-up's receipt.
        receipt: String,
        /// In yuan, such as 450.00; all that is left of the top-up if not given.
        #[arg(long)]
        amount: Option<String>,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// Take a debt's payment.
    Pay {
        /// The member's id.
        id: String,
        /// In yuan, such as 12.34.
        amount: String,
        /// Out of what.
        #[arg(long, value_enum, default_value = "cash")]
        from: From,
        /// The receipt's number. The same number never counts twice.
        #[arg(long)]
        receipt: String,
    },
    /// Put a member on the blacklist. Running orders go on.
    Block {
        /// The member's id.
        id: String,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// Take a member off the blacklist.
    Unblock {
        /// The member's id.
        id: String,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum From {
    Cash,
    Allowance,
}

#[derive(Debug, Subcommand)]
enum Card {
    /// Give a card to a member.
    Bind {
        /// The card's id.
        card: String,
        /// The member's id.
        member: String,
    },
    /// Take a card back.
    Unbind {
        /// The card's id.
        card: String,
    },
    /// All cards.
    List,
    /// One card: whose it is, and whose it was since when.
    Show {
        /// The card's id.
        card: String,
    },
}

#[derive(Debug, Subcommand)]
enum Token {
    /// Make a token. It is printed once.
    Add {
        /// A name for logs.
        name: String,
        /// What it may do.
        #[arg(long, value_parser = ["viewer", "station", "service", "admin"])]
        role: String,
    },
    /// All tokens' names and roles.
    List,
    /// Take a token back.
    Remove {
        /// Its name.
        name: String,
    },
}

#[derive(Debug, Subcommand)]
enum Tariff {
    /// Add a tariff version from a TOML file. A version is never changed: give what is new another id.
    Add {
        /// The file; `config/tariffs/example.toml` explains its keys.
        file: PathBuf,
    },
    /// All versions, and which is in force.
    List,
    /// Say everything that is wrong with a tariff file, by line and key. Needs no daemon.
    Check {
        /// The file.
        file: PathBuf,
        /// The station's time zone, an IANA name; another one in the file is a fault.
        #[arg(long, default_value = "Asia/Shanghai")]
        time_zone: String,
    },
}

#[derive(Debug, Subcommand)]
enum Journal {
    /// Check every hash and number of the journal: the running station's, or a copy of its database.
    Verify {
        /// A copy of the database, which stays as it is. Without it the daemon is asked.
        #[arg(long)]
        database: Option<PathBuf>,
        /// The site the copy should belong to.
        #[arg(long, requires = "database")]
        site: Option<String>,
        /// A place that the journal must go through, as `status`, `backup` or an earlier `verify` printed it: an entry's
        /// number, a colon, its hash. A journal that was cut back has forgotten its own end.
        #[arg(long, value_name = "SEQ:HASH")]
        head: Option<Head>,
    },
    /// Write the running station's journal into a new file, an entry a line, for another program to check
    /// (docs/journal.md).
    Export {
        /// The new file.
        file: PathBuf,
    },
}

/// Does what was asked and returns the text to print.
///
/// # Errors
/// What went wrong, with what to do about it.
pub fn run(cli: Cli) -> anyhow::Result<String> {
    if matches!(
        cli.command,
        Command::Run(_) | Command::CheckConfig(_) | Command::Restore { .. } | Command::Openapi
    ) {
        ensure!(
            cli.socket.is_none() && !cli.json && cli.token_file.is_none(),
            "--socket, --json and --token-file are for commands that ask the daemon; the daemon's own socket is `socket` in its configuration"
        );
    }
    let who = cli.token_file.as_deref().map(token_in).transpose()?;
    let client = Client::new(
        cli.socket.unwrap_or_else(|| PathBuf::from("/run/holdfast/edge.sock")),
        who,
    );
    let (answer, show): (Value, fn(&Value) -> String) = match cli.command {
        Command::Run(file) => return run::run(&file.config).map(|()| String::new()),
        Command::CheckConfig(file) => return run::check_config(&file.config),
        Command::Openapi => {
            return crate::api::openapi()
                .to_pretty_json()
                .context("the document cannot be written");
        }
        Command::Journal(command) => return journal(&client, command),
        Command::Backup { file, within } => {
            let body = json!({ "file": std::path::absolute(&file)?, "within_s": within });
            let patience = Duration::from_secs(within + 30);
            (client.put_slow("/v1/backup", &body, patience)?, backup::made)
        }
        Command::Opening { file } => {
            let body = json!({ "file": std::path::absolute(&file)? });
            let made = client.put_slow("/v1/opening", &body, Duration::from_secs(3_600))?;
            (made, backup::opened)
        }
        Command::Restore {
            copy,
            config,
            move_aside,
        } => return backup::restore(&copy, &config.config, move_aside),
        Command::Recover { alone } => {
            let answer = client.put("/v1/recovery/alone", &json!({ "reason": alone }))?;
            (answer, backup::went_on)
        }
        Command::Tariff(Tariff::Check { file, time_zone }) => {
            let tariff = crate::daemon::read_tariff(&file, &time_zone)?;
            return Ok(format!("{}: tariff {}, nothing wrong", file.display(), tariff.id));
        }
        Command::Tariff(Tariff::Add { file }) => (add_tariff(&client, &file)?, tariff_added),
        Command::Tariff(Tariff::List) => (client.get("/v1/tariffs")?, tariffs),
        Command::EnergyReport(asked) => {
            if let Some(table) = asked.csv(&client, cli.json)? {
                return Ok(table);
            }
            asked.ask(&client)?
        }
        Command::Authority => return authority(&client),
        Command::Status => (client.get("/v1/station")?, status::text),
        Command::ClockConfirmed => (client.post("/v1/station/clock-confirmed", &json!({}))?, table::fields),
        Command::BalanceSheet => (client.get("/v1/balance-sheet?detail=true")?, table::fields),
        Command::AuditBills { day } => {
            let day: jiff::civil::Date = day
                .parse()
                .with_context(|| format!("{day:?} is no day; give 2026-03-01"))?;
            (client.get(&format!("/v1/bills/audit?day={day}"))?, table::fields)
        }
        Command::Pile(command) => pile(&client, command)?,
        Command::Display(command) => command.ask(&client)?,
        Command::Member(command) => member(&client, command)?,
        Command::Card(command) => card(&client, command)?,
        Command::Directive(command) => command.ask(&client)?,
        Command::Voucher(command) => command.ask(&client)?,
        Command::Quarantine(command) => command.ask(&client)?,
        Command::Order(command) => command.ask(&client)?,
        Command::Desk(command) => command.ask(&client)?,
        Command::Token(command) => token(&client, command)?,
    };
    Ok(if cli.json {
        serde_json::to_string_pretty(&answer)?
    } else {
        show(&table::fit_for_a_screen(answer))
    })
}

/// The token in a file, which is read by nobody else: on the command line everybody on the machine would see it.
fn token_in(file: &std::path::Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let token = text.trim();
    let plain = (1..=200).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic());
    ensure!(plain, "{} holds no token, as `token add` printed it", file.display());
    Ok(token.to_owned())
}

fn journal(client: &Client, command: Journal) -> anyhow::Result<String> {
    match command {
        Journal::Verify {
            database: Some(path),
            site,
            head,
        } => verify::offline(&path, site.as_deref(), head),
        Journal::Verify { head, .. } => verify::online(client, head),
        Journal::Export { file } => export::to_file(client, &file),
    }
}

fn authority(client: &Client) -> anyhow::Result<String> {
    let answer = client.get("/v1/authority")?;
    let certificate = answer["certificate"].as_str();
    Ok(certificate.context("no certificate in the answer")?.to_owned())
}

fn add_tariff(client: &Client, file: &std::path::Path) -> anyhow::Result<Value> {
    let document = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let id = TariffId::new(&tariff_id(&document).with_context(|| file.display().to_string())?)?;
    let added = client.put_toml(&format!("/v1/tariffs/{id}"), document);
    added.with_context(|| file.display().to_string())
}

/// Which version a document is of; what else is wrong with it the daemon says.
fn tariff_id(document: &str) -> anyhow::Result<String> {
    let document: toml::Table = document.parse()?;
    let id = document.get("id").and_then(toml::Value::as_str);
    Ok(id.context("`id` is missing: the version's name, in quotes")?.to_owned())
}

fn tariff_added(tariff: &Value) -> String {
    let word = |key: &str| tariff[key].as_str().unwrap_or("-").to_owned();
    format!("tariff {} applies from {}", word("id"), word("effective_from"))
}

fn tariffs(answer: &Value) -> String {
    let list = table::columns(answer, &["id", "effective_from", "time_zone"]);
    match answer["in_force"].as_str() {
        Some(id) => format!("{list}\nin force: {id}"),
        None => format!("{list}\nNONE IS IN FORCE: every order is refused"),
    }
}

type Shown = (Value, fn(&Value) -> String);

fn pile(client: &Client, command: Pile) -> anyhow::Result<Shown> {
    if let Pile::Add { id }
    | Pile::Cert { id, .. }
    | Pile::Rotate { id }
    | Pile::Remove { id }
    | Pile::Maintenance { id, .. }
    | Pile::Log { id, .. }
    | Pile::MeterCleared { id, .. } = &command
    {
        PileId::new(id)?;
    }
    Ok(match command {
        Pile::Add { id } => (client.post("/v1/piles", &json!({ "id": id }))?, table::fields),
        Pile::Cert { id, out, days, revoke } => (certificate::issue(client, &id, &out, days, revoke)?, table::fields),
        Pile::List => (client.all("/v1/piles")?, piles::list),
        Pile::Rotate { id } => (
            client.post(&format!("/v1/piles/{id}/rotate"), &json!({}))?,
            table::fields,
        ),
        Pile::Remove { id } => (client.delete(&format!("/v1/piles/{id}"))?, table::fields),
        Pile::Log { id, limit } => (client.get(&format!("/v1/piles/{id}/log?limit={limit}"))?, piles::log),
        Pile::MeterCleared { id, reason } => (
            client.post(&format!("/v1/piles/{id}/meter-cleared"), &json!({ "reason": reason }))?,
            table::fields,
        ),
        Pile::Maintenance { id, reason, off } => {
            let body = json!({ "on": !off, "reason": reason });
            (
                client.put(&format!("/v1/piles/{id}/maintenance"), &body)?,
                table::fields,
            )
        }
    })
}

fn member(client: &Client, command: Member) -> anyhow::Result<Shown> {
    if let Member::Add { id, .. }
    | Member::Show { id }
    | Member::Topup { id, .. }
    | Member::TopupReverse { id, .. }
    | Member::Pay { id, .. }
    | Member::Block { id, .. }
    | Member::Unblock { id } = &command
    {
        MemberId::new(id)?;
    }
    Ok(match command {
        Member::Add { id, name } => (
            client.put(&format!("/v1/members/{id}"), &json!({ "name": name }))?,
            table::fields,
        ),
        Member::List => (client.all("/v1/members")?, table::rows),
        Member::Show { id } => (client.get(&format!("/v1/members/{id}"))?, table::fields),
        Member::Topup { id, amount, receipt } => {
            let body = json!({ "amount": amount, "receipt": receipt });
            (
                client.post_once(&format!("/v1/members/{id}/topups"), &receipt, &body)?,
                table::fields,
            )
        }
        Member::TopupReverse {
            id,
            receipt,
            amount,
            reason,
        } => {
            let body = json!({ "receipt": receipt, "amount": amount, "reason": reason });
            (
                client.post(&format!("/v1/members/{id}/topup-reversals"), &body)?,
                table::fields,
            )
        }
        Member::Pay {
            id,
            amount,
            from,
            receipt,
        } => {
            let from = match from {
                From::Cash => "cash",
                From::Allowance => "allowance",
            };
            let body = json!({ "amount": amount, "from": from, "receipt": receipt });
            (
                client.post_once(&format!("/v1/members/{id}/payments"), &receipt, &body)?,
                table::fields,
            )
        }
        Member::Block { id, reason } => {
            let body = json!({ "on": true, "reason": reason });
            (client.put(&format!("/v1/members/{id}/block"), &body)?, table::fields)
        }
        Member::Unblock { id } => (
            client.put(&format!("/v1/members/{id}/block"), &json!({ "on": false }))?,
            table::fields,
        ),
    })
}

fn card(client: &Client, command: Card) -> anyhow::Result<Shown> {
    if let Card::Bind { card, .. } | Card::Unbind { card } | Card::Show { card } = &command {
        CardId::new(card)?;
    }
    Ok(match command {
        Card::Bind { card, member } => (
            client.put(&format!("/v1/cards/{card}"), &json!({ "member": member }))?,
            table::fields,
        ),
        Card::Unbind { card } => (client.delete(&format!("/v1/cards/{card}"))?, table::fields),
        Card::List => (client.all("/v1/cards")?, table::rows),
        Card::Show { card } => (client.get(&format!("/v1/cards/{card}"))?, table::fields),
    })
}

fn token(client: &Client, command: Token) -> anyhow::Result<Shown> {
    if let Token::Add { name, .. } | Token::Remove { name } = &command {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        ensure!(
            (1..=32).contains(&name.len()) && name.bytes().all(plain),
            "{name:?} is not a token's name: 1 to 32 of A-Z a-z 0-9 _ -"
        );
    }
    Ok(match command {
        Token::Add { name, role } => (
            client.post("/v1/tokens", &json!({ "name": name, "role": role }))?,
            table::fields,
        ),
        Token::List => (client.all("/v1/tokens")?, table::rows),
        Token::Remove { name } => (client.delete(&format!("/v1/tokens/{name}"))?, table::fields),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn ids_are_checked_before_they_stand_in_a_path() {
        let asked = |words: &[&str]| run(Cli::try_parse_from(words).unwrap()).unwrap_err().to_string();
        let said = asked(&["holdfast-edge", "pile", "remove", "../members/m1"]);
        assert!(said.contains("A-Z"), "{said}");
        let said = asked(&["holdfast-edge", "--socket", "/x", "check-config"]);
        assert!(said.contains("--socket"), "{said}");
        let said = asked(&["holdfast-edge", "order", "approve-correction", "../tokens", "7"]);
        assert!(said.contains("A-Z"), "{said}");
    }

    #[test]
    fn tariffs_are_told_with_the_one_in_force() {
        assert_eq!(tariff_id("id = \"t1\"\n[prices]").unwrap(), "t1");
        assert!(tariff_id("x = 1").unwrap_err().to_string().contains("`id`"));
        let version =
            json!({ "id": "t1", "effective_from": "2026-01-01T00:00:00+08:00", "time_zone": "Asia/Shanghai" });
        let listed = tariffs(&json!({ "items": [version], "in_force": "t1" }));
        assert_eq!(
            listed,
            "id  effective_from             time_zone\nt1  2026-01-01T00:00:00+08:00  Asia/Shanghai\nin force: t1"
        );
    }
}
