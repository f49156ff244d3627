//! `energy-report`: a business day's energy, as it was reported at 01:00.

use super::{Shown, client::Client};
use anyhow::ensure;
use clap::Args;
use domain::time::Day;
use serde_json::{Value, json};
use service::table;

/// Which report, and how.
#[derive(Debug, Args)]
pub(super) struct EnergyReport {
    /// The business day, such as 2026-03-01; without it all reports are listed.
    #[arg(long)]
    day: Option<Day>,
    /// Print the day's table for spreadsheets (UTF-8 with a byte order mark).
    #[arg(long, requires = "day")]
    csv: bool,
}

impl EnergyReport {
    /// The text of the day's table, if that was asked for.
    pub(super) fn csv(&self, client: &Client, json: bool) -> anyhow::Result<Option<String>> {
        let Some(day) = self.day.filter(|_| self.csv) else {
            return Ok(None);
        };
        ensure!(!json, "--json and --csv: one of them");
        client.get_text(&format!("/v1/energy-reports/{day}/csv")).map(Some)
    }

    pub(super) fn ask(&self, client: &Client) -> anyhow::Result<Shown> {
        Ok(match self.day {
            Some(day) => (client.get(&format!("/v1/energy-reports/{day}"))?, one),
            None => (client.all("/v1/energy-reports")?, list),
        })
    }
}

fn sums(row: &Value) -> Value {
    let totals = &row["totals"];
    json!({
        "day": row["day"],
        "pile": row["pile"],
        "connector": row["connector"],
        "orders": totals["orders"],
        "billed kWh": totals["billed_kwh"],
        "register kWh": totals["register_kwh"],
        "difference": totals["difference_kwh"],
        "discrepancies": totals["discrepancies"],
        "meter abnormal": row["abnormal"],
    })
}

fn rows(of: &Value) -> Vec<Value> {
    of.as_array().map_or(&[][..], Vec::as_slice).iter().map(sums).collect()
}

fn list(answer: &Value) -> String {
    let columns = [
        "day",
        "orders",
        "billed kWh",
        "register kWh",
        "difference",
        "discrepancies",
        "meter abnormal",
    ];
    table::columns(&json!({ "items": rows(&answer["items"]) }), &columns)
}

fn one(report: &Value) -> String {
    let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let mut lines = vec![format!(
        "{} ({}), made at {}",
        word(&report["day"]),
        word(&report["time_zone"]),
        word(&report["made_at"])
    )];
    if report["clock_trusted"] != true {
        lines.push("! the clock was not trusted when it was made".to_owned());
    }
    for pile in report["abnormal"].as_array().map_or(&[][..], Vec::as_slice) {
        lines.push(format!("! meter abnormal: {}", word(pile)));
    }
    let mut connectors = rows(&report["connectors"]);
    let mut all = sums(report);
    all["pile"] = json!("all");
    connectors.push(all);
    let columns = [
        "pile",
        "connector",
        "orders",
        "billed kWh",
        "register kWh",
        "difference",
        "discrepancies",
    ];
    lines.push(table::columns(&json!({ "items": connectors }), &columns));
    let found = |connector: &Value, of: &Value| -> Vec<String> {
        let list = connector["discrepancies"].as_array().map_or(&[][..], Vec::as_slice);
        let place = format!("{}/{}", word(&connector["pile"]), connector["connector"]);
        let line = |found: &Value| {
            let figures = [
                ("order", "order"),
                ("quarantine item", "quarantine_item"),
                ("billed", "billed_kwh"),
                ("register", "register_kwh"),
                ("from", "from_kwh"),
                ("to", "to_kwh"),
            ];
            let said = figures.iter().filter(|(_, key)| !found[*key].is_null());
            let said = said.map(|(name, key)| match &found[*key] {
                Value::String(text) => format!("{name} {text}"),
                other => format!("{name} {other}"),
            });
            let said: Vec<String> = said.collect();
            format!("{} {place} {}: {}", word(of), word(&found["class"]), said.join(", "))
        };
        list.iter().map(line).collect()
    };
    for connector in report["connectors"].as_array().map_or(&[][..], Vec::as_slice) {
        lines.extend(found(connector, &report["day"]));
    }
    for late in report["adjustments"].as_array().map_or(&[][..], Vec::as_slice) {
        let totals = &late["change"]["totals"];
        lines.push(format!(
            "adjustment of {} {}/{}: orders {}, billed {} kWh, register {} kWh",
            word(&late["of"]),
            word(&late["change"]["pile"]),
            late["change"]["connector"],
            totals["orders"],
            word(&totals["billed_kwh"]),
            word(&totals["register_kwh"])
        ));
        lines.extend(found(&late["change"], &late["of"]));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_from_the_top() {
        let totals = json!({ "orders": 1, "billed_kwh": "9.7000", "register_kwh": "10.0000",
            "difference_kwh": "-0.3000", "discrepancies": 1 });
        let gap = json!({ "class": "REGISTER_GAP", "order": null, "quarantine_item": null, "billed_kwh": null,
            "register_kwh": null, "from_kwh": "1009.7000", "to_kwh": "1010.0000" });
        let connector = json!({ "pile": "P1", "connector": 1, "totals": totals, "discrepancies": [gap] });
        let report = json!({ "day": "2026-03-01", "time_zone": "Asia/Shanghai", "made_at": "2026-03-01T17:00:00Z",
            "clock_trusted": true, "totals": totals, "abnormal": ["P1"], "connectors": [connector],
            "adjustments": [{ "of": "2026-02-28", "change": connector }] });
        assert_eq!(
            one(&report),
            "2026-03-01 (Asia/Shanghai), made at 2026-03-01T17:00:00Z\n\
             ! meter abnormal: P1\n\
             pile  connector  orders  billed kWh  register kWh  difference  discrepancies\n\
             P1    1          1       9.7000      10.0000       -0.3000     1\n\
             all   -          1       9.7000      10.0000       -0.3000     1\n\
             2026-03-01 P1/1 REGISTER_GAP: from 1009.7000, to 1010.0000\n\
             adjustment of 2026-02-28 P1/1: orders 1, billed 9.7000 kWh, register 10.0000 kWh\n\
             2026-02-28 P1/1 REGISTER_GAP: from 1009.7000, to 1010.0000"
        );
    }
}
