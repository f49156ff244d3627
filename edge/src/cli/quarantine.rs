//! `quarantine`: what waits for a person, and what they do with it.

use super::{Shown, client::Client};
use clap::{Args, Subcommand};
use domain::{ids::MemberId, time::Wall, units::Energy};
use serde_json::{Value, json};
use service::table;

/// What is done with it.
#[derive(Debug, Subcommand)]
pub(super) enum Quarantine {
    /// What waits for a person, newest first.
    List {
        /// Only what was put aside for this reason, such as `conflict` or `rating_differs`.
        #[arg(long)]
        why: Option<String>,
        /// What was dealt with too.
        #[arg(long)]
        closed: bool,
    },
    /// One item, as it came.
    Show {
        /// Its number.
        item: u64,
    },
    /// Have a member pay for what an item says was delivered.
    Bill {
        /// Its number.
        item: u64,
        /// Who pays.
        member: MemberId,
        /// Why.
        #[arg(long)]
        reason: String,
        /// What else covers its readings and was looked at: an order, the number of another item, or `earlier` for sessions of
        /// long ago. May be repeated.
        #[arg(long, value_name = "ORDER|ITEM|earlier")]
        despite: Vec<String>,
        #[command(flatten)]
        typed: Typed,
    },
    /// Nothing is owed for it, or it has been looked at.
    Dismiss {
        /// Its number.
        item: u64,
        /// Why.
        #[arg(long)]
        reason: String,
    },
}

/// The figures of a session, read from a message that the station cannot read: all of them, or none.
#[derive(Debug, Args)]
pub(super) struct Typed {
    /// At which connector of the pile.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..), requires_all = ["from_kwh", "to_kwh", "start", "stop"])]
    connector: Option<u8>,
    /// The register at the start.
    #[arg(long, value_name = "KWH", requires = "connector")]
    from_kwh: Option<Energy>,
    /// The register at the end.
    #[arg(long, value_name = "KWH", requires = "connector")]
    to_kwh: Option<Energy>,
    /// When it began, such as 2026-03-01T10:00:00+08:00.
    #[arg(long, value_name = "TIME", value_parser = Wall::parse, requires = "connector")]
    start: Option<Wall>,
    /// When it ended.
    #[arg(long, value_name = "TIME", value_parser = Wall::parse, requires = "connector")]
    stop: Option<Wall>,
}

impl Typed {
    fn to_json(&self) -> Option<Value> {
        self.connector.map(|connector| {
            json!({
                "connector": connector, "meter_start_kwh": self.from_kwh, "meter_stop_kwh": self.to_kwh,
                "start": self.start, "stop": self.stop,
            })
        })
    }
}

impl Quarantine {
    pub(super) fn ask(self, client: &Client) -> anyhow::Result<Shown> {
        Ok(match self {
            Quarantine::List { why, closed } => {
                let why = why.map(|why| format!("&why={why}")).unwrap_or_default();
                (client.all(&format!("/v1/quarantine?closed={closed}{why}"))?, list)
            }
            Quarantine::Show { item } => (client.get(&format!("/v1/quarantine/{item}"))?, table::fields),
            Quarantine::Bill {
                item,
                member,
                reason,
                despite,
                typed,
            } => {
                let despite: Vec<Value> = despite.iter().map(|named| covered_by(named)).collect();
                let mut body = json!({ "bill_to": member, "reason": reason, "despite": despite });
                if let Some(typed) = typed.to_json() {
                    body["typed"] = typed;
                }
                (client.post(&close(item), &body)?, table::fields)
            }
            Quarantine::Dismiss { item, reason } => {
                (client.post(&close(item), &json!({ "reason": reason }))?, table::fields)
            }
        })
    }
}

fn close(item: u64) -> String {
    format!("/v1/quarantine/{item}/close")
}

/// Numbers are items: no order has a number that is digits alone.
fn covered_by(named: &str) -> Value {
    if named == "earlier" {
        return json!("earlier");
    }
    match named.parse::<u64>() {
        Ok(item) => json!({ "item": item }),
        Err(_) => json!({ "order": named }),
    }
}

fn list(answer: &Value) -> String {
    let columns = [
        "item",
        "at",
        "why",
        "pile",
        "connector",
        "order",
        "energy_kwh",
        "outcome",
        "detail",
    ];
    table::columns(answer, &columns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Words {
        #[command(subcommand)]
        command: Quarantine,
    }

    #[test]
    fn figures_are_typed_in_as_a_whole_or_not_at_all() {
        let read = |more: &[&str]| {
            let words = [
                "q",
                "bill",
                "7",
                "m-1",
                "--reason",
                "read it",
                "--despite",
                "8",
                "--despite",
                "off-P1-1-2",
            ];
            Words::try_parse_from(words.iter().chain(more))
        };
        let Quarantine::Bill { despite, typed, .. } = read(&[]).unwrap().command else {
            panic!("bill was asked for")
        };
        let despite: Vec<Value> = despite.iter().map(|named| covered_by(named)).collect();
        assert_eq!(despite, [json!({ "item": 8 }), json!({ "order": "off-P1-1-2" })]);
        assert_eq!(typed.to_json(), None);
        assert!(read(&["--connector", "1", "--from-kwh", "1000"]).is_err());
        let all = [
            "--connector",
            "1",
            "--from-kwh",
            "1000",
            "--to-kwh",
            "1005.5",
            "--start",
            "2026-03-01T10:00:00+08:00",
            "--stop",
            "2026-03-01T11:00:00+08:00",
        ];
        let Quarantine::Bill { typed, .. } = read(&all).unwrap().command else {
            panic!("bill was asked for")
        };
        let figures = typed.to_json().unwrap();
        assert_eq!(
            (&figures["meter_stop_kwh"], &figures["start"]),
            (&json!("1005.5000"), &json!("2026-03-01T02:00:00Z"))
        );
    }
}
