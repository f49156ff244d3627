//! What the story has planted, and whether the report says exactly that: each error once, under its class, with both values, and nothing
//! else.

use anyhow::{Context, ensure};
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

/// All that was planted, in words beside what the report must say.
#[derive(Debug, Default)]
pub(super) struct Planted(Vec<(Error, String)>);

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
        self.0.push((error, story.to_owned()));
    }

    /// Holds the report's differences against it; what it has found, a line each.
    ///
    /// # Errors
    /// It says something else: with what is missing, and what is too much.
    pub(super) fn check(&self, report: &Value) -> anyhow::Result<Vec<String>> {
        let rows = report["differences"]
            .as_array()
            .context("a report without differences")?;
        let mut counts: BTreeMap<Error, i64> = BTreeMap::new();
        for (error, _) in &self.0 {
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
        let line = |row: &Value| {
            let error = named(row);
            let (leg, class) = (&error.leg, &error.class);
            format!(
                "{leg:8} {class:14} {:18} ours {:>10}  theirs {:>10}  {} old, {}",
                error.scope,
                error.ours,
                error.theirs,
                row["age"].as_str().unwrap_or("-"),
                row["state"].as_str().unwrap_or("-")
            )
        };
        Ok(rows.iter().map(line).collect())
    }
}

/// A row of the report.
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
