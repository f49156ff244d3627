//! `reconcile` and `report`: channels' days held against their bills, and what came of a day.

use super::{Daemon, Shown, wait};
use crate::report::Format;
use anyhow::Context;
use clap::Args;
use domain::time::Day;
use serde_json::{Value, json};
use service::{client::Call, table};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(super) struct Reconcile {
    /// The channel [default: each that has bills].
    #[arg(long, conflicts_with = "site")]
    channel: Option<String>,
    /// The site, and no channel.
    #[arg(long)]
    site: Option<String>,
    /// The day, by the clocks of the channel or of the site, as in 2026-11-28.
    #[arg(long)]
    day: Day,
}

pub(super) fn run(daemon: &Daemon, asked: &Reconcile) -> anyhow::Result<Shown> {
    let Reconcile { channel, site, day } = asked;
    let ask = |body: Value| daemon.post("/v1/reconciliation/runs", &body);
    if let Some(site) = site {
        return Ok((ask(json!({ "site": site, "day": day }))?, show));
    }
    let run = |channel: &str| ask(json!({ "channel": channel, "day": day }));
    if let Some(channel) = channel {
        return Ok((run(channel)?, show));
    }
    let channels = daemon.all("/v1/channels")?;
    let channels = channels["items"].as_array().into_iter().flatten();
    let with_bills = channels.filter(|channel| !channel["bills"].is_null());
    let names: Vec<&str> = with_bills.filter_map(|channel| channel["name"].as_str()).collect();
    anyhow::ensure!(
        !names.is_empty(),
        "no channel has bills: PUT /v1/channels/{{channel}} says whose they are"
    );
    let mut runs = Vec::new();
    for name in names {
        runs.push(run(name).with_context(|| format!("channel {name}"))?);
    }
    let show_all: fn(&Value) -> String = |runs| {
        let runs = runs["items"].as_array().into_iter().flatten();
        runs.map(show).collect::<Vec<_>>().join("\n")
    };
    Ok((json!({ "items": runs }), show_all))
}

#[derive(Debug, Args)]
pub(super) struct Report {
    /// The day, by the channels' clocks, as in 2026-11-28.
    #[arg(long)]
    day: Day,
    /// json, csv or xlsx.
    #[arg(long)]
    format: Format,
    /// Of CSV, which table: summary, totals, differences, bills, suspense or sites [default: differences].
    #[arg(long)]
    sheet: Option<String>,
    /// Only this channel.
    #[arg(long, conflicts_with = "site")]
    channel: Option<String>,
    /// Only this site.
    #[arg(long)]
    site: Option<String>,
    /// The new file that it is written to [default: it is printed; XLSX cannot be].
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// The text of a report, or of where it was written to.
pub(super) fn report(daemon: &Daemon, asked: &Report) -> anyhow::Result<String> {
    let mut path = format!("/v1/reports/{}?format={}", asked.day, asked.format.word());
    for (name, value) in [
        ("sheet", &asked.sheet),
        ("channel", &asked.channel),
        ("site", &asked.site),
    ] {
        if let Some(value) = value {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            anyhow::ensure!(
                value.bytes().all(is_plain),
                "--{name} `{value}` has something in it that none has"
            );
            path += &format!("&{name}={value}");
        }
    }
    let Some(output) = &asked.output else {
        anyhow::ensure!(
            asked.format != Format::Xlsx,
            "XLSX cannot be printed: say where it is to go by --output FILE"
        );
        let mut text = Vec::new();
        wait(daemon.0.save(Call::get(path), &mut text))?;
        return Ok(String::from_utf8(text)?);
    };
    // Only once it is here: a report that is refused leaves no file.
    let partly = output.with_extension("part");
    let made = std::fs::File::create_new(&partly).with_context(|| format!("cannot write {}", partly.display()))?;
    let mut made = std::io::BufWriter::new(made);
    let saved = wait(daemon.0.save(Call::get(path), &mut made));
    let saved = saved.and_then(|bytes| {
        made.into_inner()?.sync_all()?;
        anyhow::ensure!(!output.exists(), "{} is there already", output.display());
        std::fs::rename(&partly, output)?;
        Ok(bytes)
    });
    match saved {
        Ok(bytes) => Ok(format!("{}: {bytes} bytes", output.display())),
        Err(error) => {
            let _nothing_to_clear = std::fs::remove_file(&partly);
            Err(error)
        }
    }
}

fn show(run: &Value) -> String {
    let (day, status, bill) = (&run["day"], &run["status"], &run["totals"]["bill"]);
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let head = format!(
        "{} {}: {}, run {} ({})\n",
        text(&run["scope"]),
        text(day),
        text(status),
        run["run"],
        text(&run["digest"]),
    );
    let is_channel = text(&run["scope"]).starts_with("channel:");
    let site = &run["totals"]["site"];
    let of_site = format!(
        "orders: {} {}, {} kWh\nsold: electricity {}, service {}, given back {}; more in the till {}\n",
        site["orders"]["count"],
        text(&site["orders"]["amount"]),
        text(&site["energy"]),
        text(&site["electricity"]),
        text(&site["service"]),
        text(&site["refunds"]),
        text(&site["cash"]),
    );
    let of_channel = format!(
        "bill: {} payments {}, {} refunds {}, fees {}, net {}\nmatched: {} {}\n",
        bill["gross"]["count"],
        text(&bill["gross"]["amount"]),
        bill["refunds"]["count"],
        text(&bill["refunds"]["amount"]),
        text(&bill["fees"]),
        text(&bill["net"]),
        run["totals"]["matched"]["count"],
        text(&run["totals"]["matched"]["amount"]),
    );
    let named = [("credits", "credits"), ("payments", "payments"), ("refunds", "refunds")];
    let flows = named.map(|(name, key)| (name.to_owned(), run["totals"][key].clone()));
    let flows = flows.into_iter().filter(|_| is_channel);
    let classes = run["totals"]["classes"].as_object().into_iter().flatten();
    let classes = classes.map(|(class, flow)| (class.clone(), flow.clone()));
    let row = |(name, flow): (String, Value)| {
        let sum = |of: &str| format!("{} {}", flow[of]["count"], text(&flow[of]["amount"]));
        json!({
            "what": name, "opening": sum("opening"), "new": sum("new"), "cleared": sum("cleared"),
            "written_off": sum("written_off"), "closing": sum("closing"),
        })
    };
    let rows: Vec<Value> = flows.chain(classes).map(row).collect();
    let columns = ["what", "opening", "new", "cleared", "written_off", "closing"];
    let of_day = match (is_channel, site.is_null()) {
        (true, _) => of_channel,
        (false, false) => of_site,
        (false, true) => String::new(),
    };
    head + &of_day + &table::columns(&json!({ "items": rows }), &columns)
}
