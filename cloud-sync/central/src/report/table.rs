//! A table as CSV (RFC 4180), for people's spreadsheets: UTF-8 with the mark by which they know it, amounts in yuan, texts that stay texts.

use super::{Cell, Out, Sheet};
use crate::csv::{guarded, quoted};
use std::io::{self, Write};

/// What a file in UTF-8 begins with: without it a spreadsheet reads Chinese in whatever its system has.
pub const MARK: &str = "\u{feff}";

/// Writes tables, of which each is to be the only one of its file.
#[derive(Debug)]
pub struct Csv<W>(W);

impl<W: Write> Csv<W> {
    /// Into this.
    pub const fn new(out: W) -> Self {
        Self(out)
    }

    fn line(&mut self, fields: impl Iterator<Item = String>) -> io::Result<()> {
        let mut line = String::new();
        for (n, field) in fields.enumerate() {
            if n > 0 {
                line.push(',');
            }
            quoted(&mut line, &field);
        }
        line.push_str("\r\n");
        self.0.write_all(line.as_bytes())
    }
}

impl<W: Write> Out for Csv<W> {
    fn begin(&mut self, sheet: Sheet) -> io::Result<()> {
        self.0.write_all(MARK.as_bytes())?;
        self.line(sheet.columns().iter().map(|column| column.key.to_owned()))
    }

    fn row(&mut self, cells: &[Cell]) -> io::Result<()> {
        self.line(cells.iter().map(field))
    }

    fn end(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn field(cell: &Cell) -> String {
    match cell {
        Cell::None => String::new(),
        Cell::Text(text) => guarded(text).into_owned(),
        Cell::Count(count) => count.to_string(),
        Cell::Money(amount) => amount.to_string(),
        Cell::Kwh(energy) => energy.to_string(),
        Cell::Day(day) => day.to_string(),
        Cell::Time(at) => at.to_string(),
        Cell::Flag(flag) => if *flag { "yes" } else { "no" }.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::units::Fen;

    #[test]
    fn a_table_begins_with_its_mark_and_its_columns_and_runs_nothing() {
        let mut file = Vec::new();
        let mut csv = Csv::new(&mut file);
        csv.begin(Sheet::Suspense).unwrap();
        let row = [
            Cell::from("=HYPERLINK(\"x\")"),
            Cell::from("4200001234567890"),
            Cell::None,
            Cell::Count(2),
            Cell::Money(Fen(-1_205)),
        ];
        csv.row(&row).unwrap();
        csv.end().unwrap();
        let text = String::from_utf8(file).unwrap();
        assert_eq!(
            text,
            "\u{feff}channel,account,state,count,amount\r\n\"'=HYPERLINK(\"\"x\"\")\",'4200001234567890,,2,-12.05\r\n"
        );
    }
}
