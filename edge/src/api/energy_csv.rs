//! An energy report as CSV for spreadsheets: a byte order mark, so that Chinese is read right; text that a spreadsheet
//! would take for a formula or a number is made plain text.

use super::wire::energy::{ConnectorEnergyView, EnergyReportView, EnergySums};

const HEADER: &str = "day,row,class,pile,connector,order,quarantine_item,orders,billed_kwh,register_kwh,difference_kwh,\
    from_kwh,to_kwh,meter_abnormal";

/// The table: a line for each connector and each of its discrepancies, then for what came late, then the sums.
pub(super) fn table(report: &EnergyReportView) -> String {
    let mut out = format!("\u{feff}{HEADER}\r\n");
    for connector in &report.connectors {
        let abnormal = report.abnormal.contains(&connector.pile);
        lines(&mut out, &report.day, "connector", connector, Some(abnormal));
    }
    for adjustment in &report.adjustments {
        lines(&mut out, &adjustment.of, "adjustment", &adjustment.change, None);
    }
    let mut total = Line::new(&report.day, "total");
    total.sums(&report.totals);
    total.end(&mut out);
    out
}

fn lines(out: &mut String, day: &str, row: &str, connector: &ConnectorEnergyView, abnormal: Option<bool>) {
    let place = |line: &mut Line| {
        line.cells[3] = text(&connector.pile);
        line.cells[4] = connector.connector.to_string();
    };
    let mut line = Line::new(day, row);
    place(&mut line);
    line.sums(&connector.totals);
    line.cells[13] = abnormal
        .map(|abnormal| if abnormal { "yes" } else { "no" }.to_owned())
        .unwrap_or_default();
    line.end(out);
    for found in &connector.discrepancies {
        let kwh = |amount: &Option<crate::api::wire::Kwh>| amount.map(|kwh| kwh.0.to_string()).unwrap_or_default();
        let mut line = Line::new(day, "discrepancy");
        place(&mut line);
        line.cells[2] = text(&found.class);
        line.cells[5] = found.order.as_deref().map(text).unwrap_or_default();
        line.cells[6] = found.quarantine_item.map(|item| item.to_string()).unwrap_or_default();
        line.cells[8] = kwh(&found.billed_kwh);
        line.cells[9] = kwh(&found.register_kwh);
        if let (Some(billed), Some(register)) = (found.billed_kwh, found.register_kwh) {
            line.cells[10] = (billed.0 - register.0).to_string();
        }
        line.cells[11] = kwh(&found.from_kwh);
        line.cells[12] = kwh(&found.to_kwh);
        line.end(out);
    }
}

struct Line {
    cells: [String; 14],
}

impl Line {
    fn new(day: &str, row: &str) -> Self {
        let mut cells = [const { String::new() }; 14];
        cells[0] = text(day);
        cells[1] = row.to_owned();
        Self { cells }
    }

    fn sums(&mut self, sums: &EnergySums) {
        self.cells[7] = sums.orders.to_string();
        self.cells[8] = sums.billed_kwh.0.to_string();
        self.cells[9] = sums.register_kwh.0.to_string();
        self.cells[10] = sums.difference_kwh.0.to_string();
    }

    fn end(self, out: &mut String) {
        out.push_str(&self.cells.join(","));
        out.push_str("\r\n");
    }
}

/// A cell of text: what begins like a formula, or reads as a number, gets an apostrophe, as in the spreadsheets' own
/// notation for text; quotes, commas and line ends are quoted.
fn text(value: &str) -> String {
    let formula = value.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let number = value.bytes().any(|byte| byte.is_ascii_digit())
        && value
            .bytes()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b'e' | b'E' | b'.' | b'+' | b'-'))
        && !is_day(value);
    let plain = if formula || number {
        format!("'{value}")
    } else {
        value.to_owned()
    };
    if plain.contains(['"', ',', '\r', '\n']) {
        format!("\"{}\"", plain.replace('"', "\"\""))
    } else {
        plain
    }
}

/// A day stays one: it sorts and is found.
fn is_day(value: &str) -> bool {
    domain::time::Day::parse(value).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_never_taken_for_a_formula_or_a_number() {
        for (value, cell) in [
            ("=1+1", "'=1+1"),
            ("+86", "'+86"),
            ("-P01", "'-P01"),
            ("@x", "'@x"),
            ("\tx", "'\tx"),
            ("0012", "'0012"),
            ("12E5", "'12E5"),
            ("2026-03-01", "2026-03-01"),
            ("P01", "P01"),
            ("a,\"b\"\n", "\"a,\"\"b\"\"\n\""),
            ("-a,b", "\"'-a,b\""),
            ("", ""),
        ] {
            assert_eq!(text(value), cell, "{value:?}");
        }
    }
}
