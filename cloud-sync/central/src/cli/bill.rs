//! `bill …`: what channels say that they took.

use super::{Daemon, Shown, wait};
use crate::bills::Format;
use anyhow::Context;
use clap::Subcommand;
use domain::time::Day;
use serde_json::{Value, json};
use service::{client::Call, table};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(super) enum Bill {
    /// Import a channel's bill of a day, whole or not at all. The same file again changes nothing.
    Import {
        /// The file, as the channel made it.
        file: PathBuf,
        /// The channel.
        #[arg(long)]
        channel: String,
        /// The day, by the channel's clocks, as in 2026-11-28.
        #[arg(long)]
        day: Day,
        /// What kind of file: wechat_trade, wechat_fund, alipay_trade, alipay_fund or csv.
        #[arg(long)]
        format: Format,
    },
    /// Files that were imported, the newest first.
    List {
        /// Only of this channel.
        #[arg(long)]
        channel: Option<String>,
    },
    /// A file that was imported.
    Show {
        /// Its number.
        file: u64,
    },
    /// The days of a channel, and whether the bill of each is there.
    Days {
        /// The channel.
        channel: String,
        /// The first day [default: the channel's first].
        #[arg(long)]
        from: Option<Day>,
        /// The last day [default: the last that is over].
        #[arg(long)]
        to: Option<Day>,
    },
}

pub(super) fn run(daemon: &Daemon, command: Bill) -> anyhow::Result<Shown> {
    match command {
        Bill::Import {
            file,
            channel,
            day,
            format,
        } => {
            let call = Call::put(format!("/v1/channels/{channel}/bills/{day}/{format}"));
            let call = std::fs::File::open(&file).and_then(|opened| call.file("application/octet-stream", opened));
            let call = call.with_context(|| format!("cannot read {}", file.display()))?;
            let imported: Value = wait(daemon.0.read(call))?;
            Ok((imported, |answer| {
                let bill = table::fields(&answer["bill"]);
                match answer["outcome"].as_str() {
                    Some("known") => format!("this very file was imported before; nothing changed\n{bill}"),
                    _ => bill,
                }
            }))
        }
        Bill::List { channel } => {
            let query = channel.map_or_else(String::new, |channel| format!("?channel={channel}"));
            Ok((daemon.all(&format!("/v1/bills{query}"))?, |answer| {
                let columns = ["file", "channel", "day", "format", "lines", "income", "outgo", "fees"];
                table::columns(answer, &columns)
            }))
        }
        Bill::Show { file } => Ok((daemon.get(&format!("/v1/bills/{file}"))?, table::fields)),
        Bill::Days { channel, from, to } => {
            let part = |name: &str, day: Option<Day>| day.map(|day| format!("{name}={day}"));
            let query: Vec<String> = [part("from", from), part("to", to)].into_iter().flatten().collect();
            let path = format!("/v1/channels/{channel}/bills?{}", query.join("&"));
            Ok((daemon.get(&path)?, days))
        }
    }
}

fn days(answer: &Value) -> String {
    let row = |day: &Value| {
        let files = day["files"].as_array().into_iter().flatten();
        let formats: Vec<&str> = files.filter_map(|file| file["format"].as_str()).collect();
        json!({
            "day": day["day"],
            "bill": if day["present"] == true { "present" } else { "missing" },
            "files": formats.join(", "),
        })
    };
    let rows: Vec<Value> = answer["days"].as_array().into_iter().flatten().map(row).collect();
    table::columns(&json!({ "items": rows }), &["day", "bill", "files"])
}
