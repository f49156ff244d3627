//! Everything that can be wrong with a tariff, found at once and said in words a person can act on.
//! The time zone's name is the exception: it is checked where it is looked up.

use super::{DaySchedule, MinuteOfDay, PERIODS_MAX, PRICE_MAX, SCHEDULES_MAX, TariffSpec, Weekday};
use serde::Serialize;
use std::{collections::BTreeSet, fmt};

/// The most faults that are reported of one tariff.
pub(super) const FAULTS_MAX: usize = 32;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// One thing wrong with a tariff.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The line of the document, counted from 1, where it has lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The key, such as `schedules[1].periods[3].to`, counted from 0; empty for the document as a whole.
    pub path: String,
    /// What is wrong and what to do about it.
    pub message: String,
}

impl Fault {
    pub(super) fn at(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            line: None,
            path: path.into(),
            message: message.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// Why something is not a tariff: at least one fault, at most 32.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TariffFault {
    /// What is wrong, in the order in which it was met.
    pub faults: Vec<Fault>,
}

impl fmt::Display for TariffFault {
    /// One fault a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            write!(f, "{}{fault}", if index == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for TariffFault {}

/// The faults of a spec, none if it is a tariff.
pub(super) fn faults(spec: &TariffSpec) -> Vec<Fault> {
    let mut faults = Vec::new();
    price_faults(spec, &mut faults);
    if spec.schedules.is_empty() || spec.schedules.len() > SCHEDULES_MAX {
        faults.push(Fault::at(
            "schedules",
            format!("give 1 to {SCHEDULES_MAX} day schedules"),
        ));
    } else {
        for (index, schedule) in spec.schedules.iter().enumerate() {
            period_faults(index, schedule, &mut faults);
        }
        day_faults(&spec.schedules, &mut faults);
    }
    faults.truncate(FAULTS_MAX);
    faults
}

fn price_faults(spec: &TariffSpec, faults: &mut Vec<Fault>) {
    let periods = || {
        spec.schedules
            .iter()
            .take(SCHEDULES_MAX)
            .flat_map(|schedule| schedule.periods.iter().take(PERIODS_MAX))
    };
    let used: BTreeSet<_> = periods().map(|period| period.kind).collect();
    for kind in used.iter().filter(|kind| !spec.prices.contains_key(kind)) {
        let message = format!("a schedule uses `{kind}`, which has no price; add `electricity` and `service` for it");
        faults.push(Fault::at(format!("prices.{kind}"), message));
    }
    for (kind, parts) in &spec.prices {
        for (part, price) in [("electricity", parts.electricity), ("service", parts.service)] {
            let message = if price.is_negative() {
                format!("the price {price} is negative; give 0 or more")
            } else if price > PRICE_MAX {
                format!("the price {price} is above {PRICE_MAX} yuan/kWh; prices are in yuan, not in fen")
            } else {
                continue;
            };
            faults.push(Fault::at(format!("prices.{kind}.{part}"), message));
        }
    }
}

fn period_faults(index: usize, schedule: &DaySchedule, faults: &mut Vec<Fault>) {
    let path = format!("schedules[{index}]");
    let periods = &schedule.periods;
    if periods.is_empty() || periods.len() > PERIODS_MAX {
        faults.push(Fault::at(
            format!("{path}.periods"),
            format!("give 1 to {PERIODS_MAX} periods"),
        ));
        return;
    }
    if periods[0].from != MinuteOfDay::MIDNIGHT {
        faults.push(Fault::at(
            format!("{path}.periods[0].from"),
            "the first period must start at 00:00",
        ));
    }
    for (later, pair) in periods
        .windows(2)
        .enumerate()
        .filter(|(_, pair)| pair[1].from <= pair[0].from)
    {
        let message = format!(
            "starts at {}, not after the period before it ({}); put periods in order",
            pair[1].from, pair[0].from
        );
        faults.push(Fault::at(format!("{path}.periods[{}].from", later + 1), message));
    }
}

fn day_faults(schedules: &[DaySchedule], faults: &mut Vec<Fault>) {
    for (index, schedule) in schedules.iter().enumerate() {
        if schedule.months.iter().flatten().any(|month| !(1..=12).contains(month)) {
            faults.push(Fault::at(
                format!("schedules[{index}].months"),
                "months are numbers from 1 to 12",
            ));
        }
        if schedule.months.as_ref().is_some_and(BTreeSet::is_empty) {
            faults.push(Fault::at(
                format!("schedules[{index}].months"),
                "is empty; leave it out to mean every month",
            ));
        }
        if schedule.weekdays.as_ref().is_some_and(BTreeSet::is_empty) {
            faults.push(Fault::at(
                format!("schedules[{index}].weekdays"),
                "is empty; leave it out to mean every day",
            ));
        }
    }
    if !faults.is_empty() {
        return;
    }
    let day_by_date = day_by_date(schedules);
    let uncovered = (0..12).find_map(|month| Some((month, day_by_date[month].iter().position(Option::is_none)?)));
    if let Some((month, weekday)) = uncovered {
        let (month, weekday) = (MONTHS[month], Weekday::ALL[weekday].as_str());
        let message =
            format!("no schedule applies to `{weekday}` in {month}; add a last one without `months` and `weekdays`");
        faults.push(Fault::at("schedules", message));
    }
    for index in 0..schedules.len() {
        if !day_by_date
            .iter()
            .flatten()
            .any(|day| day.is_some_and(|day| usize::from(day) == index))
        {
            let message =
                "never applies: the schedules before it take all its days, and the first match wins; move it up";
            faults.push(Fault::at(format!("schedules[{index}]"), message));
        }
    }
}

/// For every month and weekday, the first schedule that matches.
pub(super) fn day_by_date(schedules: &[DaySchedule]) -> [[Option<u8>; 7]; 12] {
    let first_match = |month: usize, weekday: usize| {
        let month = u8::try_from(month + 1).ok()?;
        let index = schedules
            .iter()
            .position(|schedule| schedule.matches(month, Weekday::ALL[weekday]))?;
        u8::try_from(index).ok()
    };
    std::array::from_fn(|month| std::array::from_fn(|weekday| first_match(month, weekday)))
}
