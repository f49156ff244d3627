//! The first page of a report as rows of its table, and as text: what was summed up, in words. Pure functions of a [`Summary`].

use super::{
    Cell,
    flows::{equation, flows},
    summary::{Balances, OpenTold, Summary, Told},
};
use crate::reconcile::{days::apart, totals::Sum};
use std::fmt::Write as _;

impl Summary {
    /// As rows of the table.
    pub fn rows(&self) -> Vec<[Cell; 6]> {
        let mut rows = Vec::new();
        let mut row = |question: &str, of: &str, what: &str, answer: String, sum: Option<Told>| {
            let (count, amount) = (sum.map(|sum| sum.count), sum.map(|sum| sum.amount));
            rows.push([
                question.into(),
                of.into(),
                what.into(),
                answer.into(),
                count.into(),
                amount.into(),
            ]);
        };
        row("report", "", "day", self.day.to_string(), None);
        row("report", "", "status", self.status.to_owned(), None);
        row("report", "", "ages are as on", self.on.to_string(), None);
        row("report", "", "digest", self.digest.clone(), None);
        row("report", "", "digest of payouts", self.payouts_digest.clone(), None);
        row("report", "", "digest of sites", self.sites_digest.clone(), None);
        let question = "does it balance";
        row(question, "all", "balances", self.balances.word().to_owned(), None);
        for of in &self.channels {
            let name = format!("channel {}", of.channel);
            row(question, &name, "balances", answer(of.balances, &of.why), None);
            let run = of.run.map_or_else(
                || "none".to_owned(),
                |run| format!("run {run}, {}", of.status.unwrap_or("")),
            );
            row(question, &name, "run", run, None);
            for (what, flow) in of.totals.iter().flat_map(flows) {
                row(question, &name, what, equation(what, flow), Some(flow.closing.into()));
            }
            if let Some(totals) = &of.totals {
                let bill = totals.bill;
                for (what, told) in [("bill: payments", bill.gross), ("bill: refunds", bill.refunds)] {
                    row(question, &name, what, String::new(), Some(told.into()));
                }
                row(question, &name, "bill: fees", format!("{} yuan", bill.fees), None);
                row(question, &name, "bill: net", format!("{} yuan", bill.net), None);
                row(
                    question,
                    &name,
                    "pairs made",
                    String::new(),
                    Some(totals.matched.into()),
                );
                if totals.unlisted != Sum::default() {
                    row(
                        question,
                        &name,
                        "credited, bill missing",
                        String::new(),
                        Some(totals.unlisted.into()),
                    );
                }
            }
            if let Some(run) = &of.payouts {
                let name = format!("payouts {}", of.channel);
                row(question, &name, "run", format!("run {}, {}", run.run, run.status), None);
                for (what, flow) in run.totals.iter().flat_map(|totals| &totals.classes) {
                    row(question, &name, what, equation(what, flow), Some(flow.closing.into()));
                }
            }
        }
        for of in &self.sites {
            let name = format!("site {} {}", of.site, of.name);
            let name = name.trim_end();
            row(question, name, "balances", answer(of.balances, &of.why), None);
            let Some(run) = &of.run else {
                row(question, name, "run", "none".to_owned(), None);
                continue;
            };
            row(question, name, "run", format!("run {}, {}", run.run, run.status), None);
            let totals = run.totals.as_ref();
            for (what, flow) in totals.iter().flat_map(|totals| &totals.classes) {
                row(question, name, what, equation(what, flow), Some(flow.closing.into()));
            }
            if let Some(day) = totals.and_then(|totals| totals.site) {
                let answer = format!("{} kWh", day.energy);
                row(question, name, "orders", answer, Some(day.orders.into()));
                for (what, amount) in [
                    ("sold: electricity", day.electricity),
                    ("sold: service", day.service),
                    ("given back", day.refunds),
                    ("more in the till", day.cash),
                ] {
                    row(question, name, what, format!("{amount} yuan"), None);
                }
            }
        }
        let question = "what does not";
        for of in &self.classes {
            row(
                question,
                &of.of,
                of.class.unwrap_or_default(),
                work(of),
                Some(of.sum.told),
            );
        }
        row(
            question,
            "all",
            "open",
            self.open.at_stake().join(", "),
            Some(self.open.told),
        );
        let question = "how old";
        for of in &self.ages {
            row(question, &of.of, "days", work(of), Some(of.sum.told));
        }
        if let Some(oldest) = self.oldest {
            let days = apart(oldest, self.on);
            row(question, "oldest", "since", format!("{oldest}, {days} days"), None);
        }
        let question = "who has it";
        for of in &self.holders {
            row(question, &of.of, "open", work(of), Some(of.sum.told));
        }
        let question = "by what";
        for of in &self.channels {
            let name = format!("channel {}", of.channel);
            if let Some(digest) = &of.digest {
                row(question, &name, "digest", digest.clone(), None);
            }
            for bill in &of.bills {
                row(question, &name, &bill.name, format!("SHA-256 {}", bill.sha256), None);
            }
            for day in &of.missing {
                row(question, &name, "bill missing", day.to_string(), None);
            }
            for (what, told) in [("in suspense: long", of.long), ("in suspense: short", of.short)] {
                if told.count > 0 {
                    row(question, &name, what, String::new(), Some(told));
                }
            }
        }
        for of in &self.sites {
            let name = format!("site {} {}", of.site, of.name);
            if let Some(digest) = of.run.as_ref().and_then(|run| run.digest.clone()) {
                row(question, name.trim_end(), "digest", digest, None);
            }
        }
        rows
    }

    /// What it is about, in a line.
    pub fn title(&self) -> String {
        let at_stake = self.open.at_stake().join(", ");
        let open = match (self.open.told.count, at_stake.as_str()) {
            (0, _) => "nothing is open".to_owned(),
            (count, "") => format!("{count} open, no money at stake"),
            (count, at_stake) => format!("{count} open, {at_stake}"),
        };
        let balances = self.balances.word();
        format!(
            "reconciliation of {} ({}): balances: {balances}; {open}",
            self.day, self.status
        )
    }

    /// As text, for a mail.
    pub fn text(&self) -> String {
        let mut text = format!("{}\n", self.title());
        let mut before = String::new();
        for [question, of, what, answer, count, amount] in self.rows() {
            let word = |cell: &Cell| match cell {
                Cell::Text(text) => text.clone(),
                Cell::Count(count) => count.to_string(),
                Cell::Money(amount) => format!("{amount} yuan"),
                Cell::Kwh(energy) => format!("{energy} kWh"),
                _ => String::new(),
            };
            if word(&question) != before {
                before = word(&question);
                let _infallible = write!(text, "\n{}\n", before.to_uppercase());
            }
            let parts = [&of, &what, &answer, &count, &amount].map(word);
            let parts: Vec<&str> = parts
                .iter()
                .map(String::as_str)
                .filter(|part| !part.is_empty())
                .collect();
            let _infallible = writeln!(text, "  {}", parts.join(" | "));
        }
        text
    }
}

/// How many nobody has proposed anything about, and what is at stake in all of them.
fn work(of: &OpenTold) -> String {
    let untouched = format!("{} untouched", of.untouched);
    [untouched]
        .into_iter()
        .chain(of.sum.at_stake())
        .collect::<Vec<_>>()
        .join("; ")
}

fn answer(balances: Balances, why: &[String]) -> String {
    match why {
        [] => balances.word().to_owned(),
        why => format!("{}: {}", balances.word(), why.join("; ")),
    }
}
