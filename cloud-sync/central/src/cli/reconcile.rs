//! `reconcile` and what it found: a channel's days held against its bills.

use super::{Daemon, Shown};
use clap::Args;
use domain::time::Day;
use serde_json::{Value, json};
use service::table;

#[derive(Debug, Args)]
pub(super) struct Reconcile {
    /// The channel.
    #[arg(long)]
    channel: String,
    /// The day, by the channel's clocks, as in 2026-11-28.
    #[arg(long)]
    day: Day,
}

pub(super) fn run(daemon: &Daemon, asked: &Reconcile) -> anyhow::Result<Shown> {
    let Reconcile { channel, day } = asked;
    let run = daemon.post("/v1/reconciliation/runs", &json!({ "channel": channel, "day": day }))?;
    Ok((run, show))
}

fn show(run: &Value) -> String {
    let (day, status, bill) = (&run["day"], &run["status"], &run["totals"]["bill"]);
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let head = format!(
        "{} {}: {}, run {} ({})\nbill: {} payments {}, {} refunds {}, fees {}, net {}\nmatched: {} {}\n",
        text(&run["scope"]),
        text(day),
        text(status),
        run["run"],
        text(&run["digest"]),
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
    let classes = run["totals"]["classes"].as_object().into_iter().flatten();
    let classes = classes.map(|(class, flow)| (class.clone(), flow.clone()));
    let row = |(name, flow): (String, Value)| {
        let sum = |of: &str| format!("{} {}", flow[of]["count"], text(&flow[of]["amount"]));
        json!({
            "what": name, "opening": sum("opening"), "new": sum("new"), "cleared": sum("cleared"),
            "written_off": sum("written_off"), "closing": sum("closing"),
        })
    };
    let rows: Vec<Value> = flows.into_iter().chain(classes).map(row).collect();
    let columns = ["what", "opening", "new", "cleared", "written_off", "closing"];
    head + &table::columns(&json!({ "items": rows }), &columns)
}
