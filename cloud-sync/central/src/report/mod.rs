//! Reports of a day that was reconciled: tables with columns that are a contract (`docs/reconciliation.md`, *Reports*), of which the first
//! answers what a finance lead asks in the morning: does it balance, what does not, how old is it, who has it.
//!
//! | file | holds |
//! |---|---|
//! | here | tables, their columns and their cells |
//! | [`summary`] | the first page, summed up; [`page`] in words |
//! | [`flows`] | control totals in words |
//! | [`lines`] | rows of the other tables |
//! | [`written`] | a day, read in one state of the database and written row by row |
//! | [`table`], [`json`], [`xlsx`] | how rows are written: CSV, JSON, XLSX; [`zip`] what the last is packed in |
//! | [`sent_back`] | a table of differences that a person has filled in |
//! | [`delivery`] | reports by mail and by webhook, once each |
//!
//! *Architecture Invariant:* all but [`written`] and [`delivery`] is without I/O of its own and without a clock; no row is kept longer
//! than it is written.

pub mod delivery;
pub mod flows;
pub mod json;
pub mod lines;
pub mod page;
pub mod sent_back;
pub mod summary;
pub mod table;
pub mod written;
pub mod xlsx;
pub mod zip;

use domain::{
    time::{Day, Wall},
    units::{Energy, Fen},
};
use std::io;

/// A table of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sheet {
    /// What a finance lead asks first.
    Summary,
    /// Control totals: opening + new − cleared − written off = closing.
    Totals,
    /// Every difference that was open on the day, once.
    Differences,
    /// Files of bills, and days whose bill is not there.
    Bills,
    /// Money that is on one side alone, and what channels owe.
    Suspense,
    /// Whether sites' books, bills and meters agree.
    Sites,
}

/// A column of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Its name, the same in every format.
    pub key: &'static str,
    /// How wide it is shown, in characters.
    pub width: u32,
}

const fn column(key: &'static str, width: u32) -> Column {
    Column { key, width }
}

const SUMMARY: &[Column] = &[
    column("question", 22),
    column("of", 30),
    column("what", 28),
    column("answer", 60),
    column("count", 10),
    column("amount", 16),
];
const TOTALS: &[Column] = &[
    column("scope", 24),
    column("day", 12),
    column("status", 12),
    column("what", 24),
    column("opening_count", 14),
    column("opening", 16),
    column("new_count", 12),
    column("new", 16),
    column("cleared_count", 14),
    column("cleared", 16),
    column("written_off_count", 18),
    column("written_off", 16),
    column("closing_count", 14),
    column("closing", 16),
    column("closes", 8),
];
const DIFFERENCES: &[Column] = &[
    column("discrepancy", 12),
    column("scope", 24),
    column("class", 16),
    column("source", 10),
    column("reference", 34),
    column("payment", 34),
    column("out_no", 34),
    column("file", 8),
    column("line", 8),
    column("of_day", 12),
    column("at", 22),
    column("day", 12),
    column("movement", 16),
    column("until", 12),
    column("ended", 14),
    column("amount", 14),
    column("ours", 14),
    column("theirs", 14),
    column("state", 10),
    column("days_old", 10),
    column("age", 8),
    column("assigned", 18),
    column("account", 26),
    column("in_suspense", 14),
    column("judged", 30),
    column("proposal", 12),
    column("member", 18),
    column("reason", 40),
    column("maker", 18),
    column("checker", 18),
    column("approve", 10),
    column("leg", 10),
    column("billed_kwh", 14),
    column("register_kwh", 14),
    column("order", 34),
    column("channel_says", 16),
];
const BILLS: &[Column] = &[
    column("channel", 16),
    column("day", 12),
    column("state", 10),
    column("file", 8),
    column("name", 40),
    column("lines", 10),
    column("income", 16),
    column("outgo", 16),
    column("fees", 14),
    column("sha256", 66),
    column("imported_at", 22),
    column("imported_by", 18),
];
const SUSPENSE: &[Column] = &[
    column("channel", 16),
    column("account", 26),
    column("state", 14),
    column("count", 10),
    column("amount", 16),
];
const SITES: &[Column] = &[
    column("site", 16),
    column("name", 30),
    column("balances", 12),
    column("why", 60),
    column("state", 14),
    column("business_day", 14),
    column("behind", 10),
    column("books_day", 12),
    column("books", 10),
    column("findings", 10),
    column("energy", 14),
    column("energy_differences", 20),
    column("run", 8),
    column("status", 12),
    column("open", 8),
    column("orders", 10),
    column("billed", 16),
    column("billed_kwh", 14),
    column("electricity", 16),
    column("service", 16),
    column("given_back", 16),
    column("cash", 16),
];

impl Sheet {
    /// All of them, in their order.
    pub const ALL: [Self; 6] = [
        Self::Summary,
        Self::Totals,
        Self::Differences,
        Self::Bills,
        Self::Suspense,
        Self::Sites,
    ];

    /// Its word, as in queries and in JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Summary => "summary",
            Self::Totals => "totals",
            Self::Differences => "differences",
            Self::Bills => "bills",
            Self::Suspense => "suspense",
            Self::Sites => "sites",
        }
    }

    /// The one of this word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|sheet| sheet.word() == word)
    }

    /// Its title, for people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Summary => "Summary",
            Self::Totals => "Totals",
            Self::Differences => "Differences",
            Self::Bills => "Bills",
            Self::Suspense => "Suspense",
            Self::Sites => "Sites",
        }
    }

    /// Its columns.
    pub const fn columns(self) -> &'static [Column] {
        match self {
            Self::Summary => SUMMARY,
            Self::Totals => TOTALS,
            Self::Differences => DIFFERENCES,
            Self::Bills => BILLS,
            Self::Suspense => SUSPENSE,
            Self::Sites => SITES,
        }
    }
}

/// What stands in a row under a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// Nothing.
    None,
    /// A text, numbers of channels and of orders among them: it is never run, and never taken for a number.
    Text(String),
    /// How many.
    Count(i64),
    /// How much.
    Money(Fen),
    /// How much energy, in kWh.
    Kwh(Energy),
    /// A day.
    Day(Day),
    /// A moment.
    Time(Wall),
    /// Whether.
    Flag(bool),
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        match text {
            "" => Self::None,
            text => Self::Text(text.to_owned()),
        }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        match text.is_empty() {
            true => Self::None,
            false => Self::Text(text),
        }
    }
}

impl From<u64> for Cell {
    fn from(count: u64) -> Self {
        Self::Count(i64::try_from(count).unwrap_or(i64::MAX))
    }
}

impl From<i64> for Cell {
    fn from(count: i64) -> Self {
        Self::Count(count)
    }
}

impl From<Fen> for Cell {
    fn from(amount: Fen) -> Self {
        Self::Money(amount)
    }
}

impl From<Energy> for Cell {
    fn from(energy: Energy) -> Self {
        Self::Kwh(energy)
    }
}

impl From<Day> for Cell {
    fn from(day: Day) -> Self {
        Self::Day(day)
    }
}

impl From<Wall> for Cell {
    fn from(at: Wall) -> Self {
        Self::Time(at)
    }
}

impl From<bool> for Cell {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::None, Into::into)
    }
}

/// Where a report goes, table by table and row by row.
pub trait Out {
    /// A table begins; the one before it is over.
    ///
    /// # Errors
    /// It cannot be written.
    fn begin(&mut self, sheet: Sheet) -> io::Result<()>;

    /// Its next row: a cell for each of its columns.
    ///
    /// # Errors
    /// It cannot be written.
    fn row(&mut self, cells: &[Cell]) -> io::Result<()>;

    /// Everything is there.
    ///
    /// # Errors
    /// It cannot be written.
    fn end(&mut self) -> io::Result<()>;
}

/// In which format a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// All tables, for programs.
    Json,
    /// One table.
    Csv,
    /// All tables, for people.
    Xlsx,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Json, Self::Csv, Self::Xlsx];

    /// Its word, which files in it end with.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Xlsx => "xlsx",
        }
    }

    /// What it is called in HTTP and in mail.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Xlsx => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        }
    }
}

impl std::str::FromStr for Format {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|format| format.word() == word);
        found.ok_or_else(|| format!("`{word}` is not json, csv or xlsx"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_are_those_of_the_document() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reconciliation.md");
        let text = std::fs::read_to_string(path).unwrap();
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for sheet in Sheet::ALL {
            let keys: Vec<String> = sheet
                .columns()
                .iter()
                .map(|column| format!("`{}`", column.key))
                .collect();
            let said = format!("Columns: {}.", keys.join(", "));
            let of = format!("- `{}`: ", sheet.word());
            let (_, about) = text.split_once(&of).unwrap_or_else(|| panic!("{of}"));
            let about = about.split_once(" - `").map_or(about, |(about, _)| about);
            assert!(about.contains(&said), "{}: {said}", sheet.word());
            assert_eq!(Sheet::of_word(sheet.word()), Some(sheet));
        }
    }
}
