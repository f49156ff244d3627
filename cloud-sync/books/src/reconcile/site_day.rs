//! What is said of a site's business day: what differs by its journal, its energy report and its till, and whether all of it is there.
//! Rules alone: what there is of a day is read elsewhere.

use super::words::{Class, Leg, Source};
use crate::store::{
    findings::{Class as Finds, Found},
    site_days::Sold,
};
use domain::{
    energy::{ConnectorDay, EnergyReport, Finding},
    ids::{OrderId, Outlet},
    time::{Day, Wall},
    units::{Energy, Fen},
};
use serde_json::Value;

/// The row that something is said of, and what kind of difference it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    /// Which books are held against which.
    pub leg: Leg,
    /// What kind of row it is.
    pub source: Source,
    /// Its number at the site.
    pub reference: String,
    /// What it is.
    pub class: Class,
}

/// What is said of a row from a day on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Of which.
    pub row: Row,
    /// The day of the row itself.
    pub of_day: Day,
    /// When it was, by the clock that says so.
    pub at: Wall,
    /// Money that differs; zero where it is energy that does.
    pub amount: Fen,
    /// What is here: money, or energy where the leg is that of the meters.
    pub ours: Option<i64>,
    /// What the site says, likewise.
    pub theirs: Option<i64>,
    /// The order that it is about.
    pub order: Option<String>,
}

/// What an energy report says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OfReport {
    /// What differs.
    pub said: Vec<Said>,
    /// What an earlier one said differs, and does not after all.
    pub over: Vec<Row>,
}

/// What people must look at in an energy report (S05 §3), as the station found it.
pub fn of_report(report: &EnergyReport) -> OfReport {
    let mut found = OfReport::default();
    let own = report.connectors.iter().map(|one| (report.day, &one.outlet, &one.sums));
    let late = report
        .adjustments
        .iter()
        .map(|late| (late.of, &late.outlet, &late.change));
    for (of, outlet, sums) in own.chain(late) {
        of_connector(&mut found, report, of, outlet, sums);
    }
    found
}

fn of_connector(found: &mut OfReport, report: &EnergyReport, of_day: Day, outlet: &Outlet, sums: &ConnectorDay) {
    let place = format!("{}/{}", outlet.pile, outlet.connector);
    let row = |class, of: String| Row {
        leg: Leg::Meters,
        source: Source::Connector,
        reference: format!("{place} {of}"),
        class,
    };
    let mut say = |row: Row, ours: Option<Energy>, theirs: Option<Energy>, order: Option<&OrderId>| {
        found.said.push(Said {
            row,
            of_day,
            at: report.made_at,
            amount: Fen::ZERO,
            ours: ours.map(|energy| energy.0),
            theirs: theirs.map(|energy| energy.0),
            order: order.map(ToString::to_string),
        });
    };
    let whole_day = || format!("day {of_day}");
    let span = |from: &Energy, to: &Energy| format!("{from}-{to}");
    let mut over = Vec::new();
    for finding in &sums.findings {
        match finding {
            Finding::Energy {
                order,
                billed,
                register,
            } => {
                let of = order.as_ref().map_or_else(whole_day, ToString::to_string);
                say(row(Class::Energy, of), Some(*billed), Some(*register), order.as_ref());
            }
            Finding::RegisterGap { order, from, to } => {
                say(
                    row(Class::RegisterGap, span(from, to)),
                    None,
                    Some(*to - *from),
                    order.as_ref(),
                );
            }
            Finding::Unordered { from, to } => say(row(Class::Unbilled, span(from, to)), None, Some(*to - *from), None),
            Finding::Unbilled { item, energy } => {
                say(row(Class::Unbilled, format!("item {item}")), None, Some(*energy), None);
            }
            Finding::Rollback { order, known, found } => {
                say(
                    row(Class::Rollback, span(known, found)),
                    Some(*known),
                    Some(*found),
                    order.as_ref(),
                );
            }
            Finding::NoMeter { order, billed } => {
                say(row(Class::NoMeter, order.to_string()), Some(*billed), None, Some(order));
            }
            Finding::Conflict {
                order,
                item,
                billed,
                claimed,
            } => {
                let of = format!("{order} item {item}");
                say(row(Class::Conflict, of), Some(*billed), Some(*claimed), Some(order));
            }
            Finding::RatingDiffers { order, item } => {
                say(
                    row(Class::Rating, format!("{order} item {item}")),
                    None,
                    None,
                    Some(order),
                );
            }
            Finding::EnergyAgrees { order, .. } => over.push(row(Class::Energy, order.to_string())),
            // What is left of it is unexplained still.
            Finding::Explained { left, .. } if *left > Energy::ZERO => {}
            Finding::Explained { from, to, .. } => {
                over.extend([Class::RegisterGap, Class::Unbilled].map(|class| row(class, span(from, to))));
            }
        }
    }
    if sums.findings_left_out > 0 {
        let of = format!(
            "day {of_day}, {} more as reported of {}",
            sums.findings_left_out, report.day
        );
        say(row(Class::Energy, of), None, None, None);
    }
    found.over.extend(over);
}

/// What ingest has found in the journal, with both values where the finding has them.
pub fn of_finding(found: &Found, of_day: Day) -> Said {
    let detail: Value = serde_json::from_str(&found.finding.detail).unwrap_or_default();
    let money = |value: &Value| -> Option<i64> {
        let whole = value.get("fee").unwrap_or(value);
        let fen: Option<Fen> = serde_json::from_value(whole.clone()).ok();
        fen.map(|fen| fen.0)
    };
    let values = |of: &Value| (money(&of["here"]), money(&of["site"]));
    let apart = |(ours, theirs): (Option<i64>, Option<i64>)| Some(theirs? - ours?);
    // Of many members only some are named.
    let said = money(&detail["amount"]).or_else(|| money(&detail["in_all"]));
    let (ours, theirs) = match found.finding.class {
        // Accounts of a balance sheet add up to nothing on both sides: both values are of the one that differs most, the first of several.
        Finds::Books => {
            let accounts = detail["accounts"].as_array().into_iter().flatten().map(values);
            let most = accounts.min_by_key(|of| std::cmp::Reverse(apart(*of).map(i64::abs)));
            most.unwrap_or_default()
        }
        // What members had at the site that was closed, what was held for orders with it and less what they owed; and what its till had,
        // whose account is below zero by that.
        Finds::Closed => {
            let totals = ["allowance", "held", "debt"].map(|of| money(&detail[of]["total"]));
            (
                totals.into_iter().sum(),
                money(&detail["cash"]).map(i64::saturating_neg),
            )
        }
        _ => values(&detail),
    };
    let differs = apart((ours, theirs));
    let (leg, class) = match found.finding.class {
        Finds::Rating => (Leg::Orders, Class::Rating),
        Finds::Books => (Leg::Orders, Class::Books),
        Finds::Fork => (Leg::Orders, Class::Fork),
        Finds::SetAside => (Leg::Orders, Class::SetAside),
        Finds::Closed => (Leg::Orders, Class::Closed),
        Finds::MemberId => (Leg::Orders, Class::MemberId),
        Finds::Forgotten => (Leg::Orders, Class::Forgotten),
        Finds::OverRefund => (Leg::Orders, Class::OverRefund),
        Finds::AboveFork => (Leg::Orders, Class::AboveFork),
        Finds::Cash => (Leg::Till, Class::Cash),
    };
    Said {
        row: Row {
            leg,
            source: Source::Entry,
            // An entry of another branch may have the same number, and was found at another time.
            reference: format!("{} {}", found.finding.seq, found.found_at.0),
            class,
        },
        of_day,
        at: found.found_at,
        amount: Fen(said.or(differs).unwrap_or(0)),
        ours,
        theirs,
        order: found.finding.order.as_ref().map(ToString::to_string),
    }
}

/// The number of a row as people read it. That of an entry of a journal is told from others by when something was found in it, which is kept
/// beside it as a number.
pub fn reference_told(source: Source, reference: &str) -> String {
    let of_entry = || {
        let (seq, found_at) = reference.split_once(' ').filter(|_| source == Source::Entry)?;
        Some(format!("entry {seq}, found {}", Wall(found_at.parse().ok()?)))
    };
    of_entry().unwrap_or_else(|| reference.to_owned())
}

/// The books of an order are not what its bill says.
pub fn of_order(of: &Sold, day: Day, at: Wall) -> Said {
    Said {
        row: Row {
            leg: Leg::Orders,
            source: Source::Order,
            reference: of.order.clone(),
            class: Class::Books,
        },
        of_day: of.day.unwrap_or(day),
        at,
        amount: of.fee - of.booked,
        ours: Some(of.booked.0),
        theirs: Some(of.fee.0),
        order: Some(of.order.clone()),
    }
}

/// The sums of the energy report are not those of the orders that are here.
pub fn of_sums(day: Day, at: Wall, here: Energy, report: Energy) -> Said {
    Said {
        row: Row {
            leg: Leg::Meters,
            source: Source::Day,
            reference: day.to_string(),
            class: Class::Energy,
        },
        of_day: day,
        at,
        amount: Fen::ZERO,
        ours: Some(here.0),
        theirs: Some(report.0),
        order: None,
    }
}

/// The day is over, and its journal is not here to its end.
pub fn of_gap(day: Day, at: Wall) -> Said {
    Said {
        row: Row {
            leg: Leg::Sources,
            source: Source::Day,
            reference: day.to_string(),
            class: Class::JournalGap,
        },
        of_day: day,
        at,
        amount: Fen::ZERO,
        ours: None,
        theirs: None,
        order: None,
    }
}
