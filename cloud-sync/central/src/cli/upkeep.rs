//! `replica …`, `ledger …`, `journal …`, `backup`: whether copies and books are right.

use super::{Daemon, Shown, wait};
use anyhow::Context;
use clap::Subcommand;
use domain::{ids::SiteId, journal::Head, time::Day};
use serde_json::{Value, json};
use service::{client::Call, table};
use std::path::{Path, PathBuf};

#[derive(Debug, Subcommand)]
pub(super) enum Replica {
    /// Follow a site's journal again, and compare every row that comes of it with the one that is here.
    Verify {
        /// The site's id.
        site: SiteId,
    },
    /// Make a site's rows anew from its journal. The journal and the books stay as they are.
    Rebuild {
        /// The site's id.
        site: SiteId,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Ledger {
    /// Add the books up again: every account, all of them, and those of sites against their rows.
    Verify,
    /// Ask a site for its balance sheet, and compare it with its books here; once a day that is done anyway.
    Check {
        /// The site's id.
        site: SiteId,
    },
    /// Write movements into a new file, as CSV: amounts in yuan.
    Export {
        /// The new file.
        file: PathBuf,
        /// Only those of this business day, as in 2026-03-01.
        #[arg(long)]
        day: Option<Day>,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Journal {
    /// Follow a site's journal from its first entry to its head: every hash, every signature.
    Verify {
        /// The site's id.
        site: SiteId,
        /// A place that somebody wrote down elsewhere, which the journal must go through: an entry's number, a colon, its
        /// hash, as `holdfast-edge status` at the site prints it.
        #[arg(long, value_name = "SEQ:HASH")]
        through: Option<Head>,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Key {
    /// Sign with another key. The first time it is made and announced to every site; said again, it shows which sites believe it,
    /// and signs once all of them do. The old one counts for a day and an hour more.
    Rotate {
        /// Why, for the audit chain.
        #[arg(long)]
        reason: String,
        /// Do not wait for this site: the new key goes into its edge.toml by hand, and the old one out of it.
        #[arg(long, value_name = "SITE")]
        left_out: Vec<SiteId>,
    },
}

/// An answer that says whether all is right; if not, the command fails with it.
fn right(answer: Value) -> anyhow::Result<Shown> {
    let is_right = answer["right"] == true;
    anyhow::ensure!(
        is_right,
        "not all is right:\n{}",
        table::fields(&table::fit_for_a_screen(answer))
    );
    Ok((answer, table::fields))
}

pub(super) fn replica(daemon: &Daemon, command: Replica) -> anyhow::Result<Shown> {
    match command {
        Replica::Verify { site } => right(daemon.get(&format!("/v1/sites/{site}/replica/verification"))?),
        Replica::Rebuild { site } => {
            daemon.put(&format!("/v1/sites/{site}/replica"), &json!({}))?;
            Ok((json!({ "site": site }), |_| "the rows are made anew".to_owned()))
        }
    }
}

pub(super) fn ledger(daemon: &Daemon, command: Ledger) -> anyhow::Result<Shown> {
    match command {
        Ledger::Verify => right(daemon.get("/v1/ledger/verification")?),
        Ledger::Check { site } => right(daemon.put(&format!("/v1/sites/{site}/books-check"), &json!({}))?),
        Ledger::Export { file, day } => {
            let query = day.map_or_else(String::new, |day| format!("?day={day}"));
            let table = wait(async {
                let answer = daemon.0.ask(Call::get(format!("/v1/ledger/export{query}"))).await?;
                answer.text()
            })?;
            let made = std::fs::File::create_new(&file)
                .and_then(|mut made| std::io::Write::write_all(&mut made, table.as_bytes()));
            made.with_context(|| format!("cannot write {}", file.display()))?;
            let movements = table.lines().count().saturating_sub(1);
            let answer = json!({ "file": file.display().to_string(), "movements": movements });
            Ok((answer, table::fields))
        }
    }
}

pub(super) fn journal(daemon: &Daemon, Journal::Verify { site, through }: Journal) -> anyhow::Result<Shown> {
    let query = through.map_or_else(String::new, |through| format!("?through={through}"));
    right(daemon.get(&format!("/v1/sites/{site}/journal/verification{query}"))?)
}

pub(super) fn key(daemon: &Daemon, Key::Rotate { reason, left_out }: Key) -> anyhow::Result<Shown> {
    let body = json!({ "reason": reason, "left_out": left_out });
    Ok((daemon.put("/v1/head-office/key", &body)?, shown_rotation))
}

fn shown_rotation(answer: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let sites = answer["sites"].as_array().map(Vec::as_slice).unwrap_or_default();
    let sites: Vec<String> = sites
        .iter()
        .map(|of| match of["believes"].as_str() {
            Some("yes") => format!("{}: believes it", text(&of["site"])),
            Some("told") => format!("{}: was told, and has not said", text(&of["site"])),
            Some("left_out") => format!("{}: left out; put the new key into its edge.toml", text(&of["site"])),
            _ => format!("{}: cannot be told, it is {}", text(&of["site"]), text(&of["believes"])),
        })
        .collect();
    let (key, sites) = (text(&answer["key"]), sites.join("\n"));
    match answer["next"].as_str() {
        Some(next) => format!(
            "{next} is announced, and {key} signs\n{sites}\nSay it again when every site believes it. Make a backup now: a copy from \
             before does not have it."
        ),
        None => format!("{key} signs from now on; the one before counts for a day and an hour more\n{sites}"),
    }
}

pub(super) fn backup(daemon: &Daemon, file: &Path) -> anyhow::Result<Shown> {
    let body = json!({ "file": std::path::absolute(file)? });
    Ok((daemon.put("/v1/backup", &body)?, table::fields))
}
