//! What the story has planted, and whether the report says exactly that: each error once, under its class, with both values, and nothing
//! else.

use anyhow::{Context, ensure};
use central::reconcile::words::Class;
use serde_json::Value;
use std::collections::BTreeMap;

/// An error, as the report must name it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Error {
    /// Which books are held against which.
    pub(super) leg: String,
    /// Its class.
    pub(super) class: String,
    /// The channel or the site.
    pub(super) scope: String,
    /// What our books have: yuan, or kWh where the leg is that of the meters; `-` for nothing.
    pub(super) ours: String,
    /// What the others have.
    pub(super) theirs: String,
}

/// All that was planted.
#[derive(Debug, Default)]
pub(super) struct Planted(Vec<Error>);

impl Planted {
    /// One more, with what somebody did wrong.
    pub(super) fn add(&mut self, scope: &str, of: &str, (ours, theirs): (&str, &str), story: &str) {
        let (leg, class) = of.split_once(' ').unwrap_or(("", of));
        let [leg, class, scope, ours, theirs] = [leg, class, scope, ours, theirs].map(str::to_owned);
        let error = Error {
            leg,
            class,
            scope,
            ours,
            theirs,
        };
        println!("       {:14} {:18} {story}", error.class, error.scope);
        self.0.push(error);
    }

    /// That there is one of each class in each leg in which a report may have it.
    fn has_every_class(&self) -> anyhow::Result<()> {
        for (class, leg) in Class::ALL
            .into_iter()
            .flat_map(|class| class.legs().iter().map(move |leg| (class, leg)))
        {
            let (class, leg) = (class.word(), leg.word());
            let is_planted = self.0.iter().any(|error| error.class == class && error.leg == leg);
            ensure!(is_planted, "nothing of class {class} is planted in the leg {leg}");
        }
        Ok(())
    }

    /// Holds the report's differences against it; what it has found, a line each.
    ///
    /// # Errors
    /// It says something else: with what is missing, and what is too much.
    pub(super) fn check(&self, report: &Value) -> anyhow::Result<Vec<String>> {
        self.has_every_class()?;
        let rows = report["differences"]
            .as_array()
            .context("a report without differences")?;
        let mut counts: BTreeMap<Error, i64> = BTreeMap::new();
        for error in &self.0 {
            *counts.entry(error.clone()).or_default() -= 1;
        }
        for row in rows {
            *counts.entry(named(row)).or_default() += 1;
        }
        counts.retain(|_, count| *count != 0);
        let wrong: Vec<String> = counts
            .iter()
            .map(|(error, count)| format!("{count:+} {error:?}"))
            .collect();
        ensure!(
            wrong.is_empty(),
            "the report is not what was planted (+ is too much, - is missing):\n{}",
            wrong.join("\n")
        );
        Ok(rows.iter().map(line).collect())
    }
}

/// A row of the report, for people.
fn line(row: &Value) -> String {
    let error = named(row);
    let text = |key: &str| row[key].as_str().unwrap_or("-").to_owned();
    let unit = if error.leg == "meters" { "kWh" } else { "" };
    let amount = match row["amount_fen"].as_i64() {
        Some(0) | None => String::new(),
        Some(_) => format!("¥{}", text("amount")),
    };
    let about = if row["order"].is_null() { "reference" } else { "order" };
    format!(
        "{:8} {:14} {:17} ours {:>9} theirs {:>9} {unit:3} {amount:>8}  {} days, {:8} {}",
        error.leg,
        error.class,
        error.scope,
        error.ours,
        error.theirs,
        text("age"),
        text("state"),
        text(about)
    )
}

/// A row of the report, as it was planted.
fn named(row: &Value) -> Error {
    let text = |key: &str| row[key].as_str().unwrap_or("-").to_owned();
    let leg = text("leg");
    let (ours, theirs) = match leg.as_str() {
        "meters" => ("billed_kwh", "register_kwh"),
        _ => ("ours", "theirs"),
    };
    Error {
        class: text("class"),
        scope: text("scope"),
        ours: text(ours),
        theirs: text(theirs),
        leg,
    }
}
