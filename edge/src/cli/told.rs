//! `directive` and `voucher`: what head office had the station do, what it refused and why, and what drivers brought along.

use super::{Shown, client::Client};
use clap::Subcommand;
use serde_json::{Value, json};
use service::table;

/// What head office had the station do.
#[derive(Debug, Subcommand)]
pub(super) enum Directive {
    /// How far directives were taken, and what the last ones did or why they were refused, the newest last.
    Show {
        /// Only those that were refused.
        #[arg(long)]
        refused: bool,
        /// How many.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=200))]
        limit: u16,
        /// Those before this entry of the journal.
        #[arg(long, value_name = "SEQ")]
        before: Option<u64>,
    },
}

/// Vouchers (凭证), which carry money here while the line to head office is cut.
#[derive(Debug, Subcommand)]
pub(super) enum Voucher {
    /// Until when vouchers are closed, and which were taken, the newest last.
    Show {
        /// How many rows.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=200))]
        limit: u16,
        /// Those before this entry of the journal.
        #[arg(long, value_name = "SEQ")]
        before: Option<u64>,
    },
}

fn page(path: &str, limit: u16, before: Option<u64>) -> String {
    let before = before.map(|before| format!("&cursor={before}")).unwrap_or_default();
    format!("{path}limit={limit}{before}")
}

impl Directive {
    pub(super) fn ask(self, client: &Client) -> anyhow::Result<Shown> {
        let Self::Show { refused, limit, before } = self;
        let path = page(&format!("/v1/directives?refused={refused}&"), limit, before);
        Ok((client.get(&path)?, directives))
    }
}

impl Voucher {
    pub(super) fn ask(self, client: &Client) -> anyhow::Result<Shown> {
        let Self::Show { limit, before } = self;
        Ok((client.get(&page("/v1/vouchers?", limit, before))?, vouchers))
    }
}

/// The rows as a table, the newest last; or that there are none. What is older is said how to see.
fn told(answer: &Value, names: &[&str], none: &str) -> Vec<String> {
    let mut items = answer["items"].as_array().cloned().unwrap_or_default();
    items.reverse();
    let mut lines = Vec::new();
    if let Some(next) = answer["next"].as_str() {
        lines.push(format!("what is older: --before {next}"));
    }
    lines.push(match items.is_empty() {
        true => none.to_owned(),
        false => table::columns(&json!({ "items": items }), names),
    });
    lines
}

fn directives(answer: &Value) -> String {
    let taken = &answer["taken"];
    let far = match taken["hq_epoch"].as_str() {
        None => "the station goes by no head office yet: no directive was taken".to_owned(),
        Some(life) => format!(
            "head office's life {life}: taken up to {} of the row orders, up to {} of the row others",
            taken["orders"], taken["others"]
        ),
    };
    let mut answer = answer.clone();
    for item in answer["items"].as_array_mut().into_iter().flatten() {
        let kinds = item["journaled"].as_array().cloned().unwrap_or_default();
        let kinds: Vec<&str> = kinds.iter().filter_map(Value::as_str).collect();
        let did = match (item["refused"].as_str(), kinds.is_empty()) {
            (Some(code), _) => format!("refused: {code}"),
            (None, true) => "nothing was to be done".to_owned(),
            (None, false) => kinds.join(" "),
        };
        item["did"] = json!(did);
    }
    let names = ["seq", "at", "row", "n", "did", "order", "member", "amount", "detail"];
    let mut lines = vec![far];
    lines.extend(told(&answer, &names, "no directive is in what was looked through"));
    lines.join("\n")
}

fn vouchers(answer: &Value) -> String {
    let closed = match answer["closed_until"].as_str() {
        None => "no vouchers are closed: whichever is shown is taken, once".to_owned(),
        Some(until) => format!("closed until {until}: no voucher that ends then or before is taken any more"),
    };
    let names = ["seq", "at", "what", "voucher", "member", "amount", "until"];
    let mut lines = vec![closed];
    lines.extend(told(answer, &names, "no voucher is in what was looked through"));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_with_its_reason_and_what_was_done_by_what_was_journaled() {
        let item = |n: u64, refused: Value, journaled: Value| {
            json!({
                "seq": 10 + n, "at": "2026-03-02T01:00:00Z", "row": "orders", "n": n, "refused": refused,
                "detail": if refused.is_null() { Value::Null } else { json!("it comes too late") },
                "journaled": journaled, "order": "hq-1", "member": null, "amount": null,
            })
        };
        let answer = json!({
            "taken": { "hq_epoch": "09", "orders": 2, "others": 0 },
            "items": [item(2, json!("expired"), json!([])), item(1, Value::Null, json!(["LeaseReceived", "OrderPlaced"]))],
            "next": "11",
        });
        let text = directives(&answer);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0],
            "head office's life 09: taken up to 2 of the row orders, up to 0 of the row others"
        );
        assert_eq!(lines[1], "what is older: --before 11");
        assert!(lines[3].contains("LeaseReceived OrderPlaced"), "{text}");
        assert!(
            lines[4].contains("refused: expired") && lines[4].contains("it comes too late"),
            "{text}"
        );
        let none = json!({ "taken": { "hq_epoch": null, "orders": 0, "others": 0 }, "items": [], "next": null });
        assert!(directives(&none).contains("no head office yet"));
    }
}
