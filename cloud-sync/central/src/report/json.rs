//! A report as JSON, for programs: each table a list of objects, amounts in yuan and, under the same name with `_fen`, in fen.

use super::{Cell, Out, Sheet, summary::Summary};
use serde_json::{Map, Value};
use std::io::{self, Write};

/// Writes a report.
#[derive(Debug)]
pub struct Json<W> {
    out: W,
    sheet: Option<Sheet>,
    is_first_row: bool,
}

impl<W: Write> Json<W> {
    /// Into this.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn new(mut out: W, summary: &Summary) -> io::Result<Self> {
        out.write_all(b"{\"report\":")?;
        serde_json::to_writer(&mut out, summary)?;
        Ok(Self {
            out,
            sheet: None,
            is_first_row: true,
        })
    }

    fn close(&mut self) -> io::Result<()> {
        match self.sheet.take() {
            Some(_) => self.out.write_all(b"\n]"),
            None => Ok(()),
        }
    }
}

impl<W: Write> Out for Json<W> {
    fn begin(&mut self, sheet: Sheet) -> io::Result<()> {
        self.close()?;
        write!(self.out, ",\n\"{}\":[", sheet.word())?;
        self.sheet = Some(sheet);
        self.is_first_row = true;
        Ok(())
    }

    fn row(&mut self, cells: &[Cell]) -> io::Result<()> {
        let columns = self.sheet.map_or(&[] as &[_], Sheet::columns);
        let mut object = Map::new();
        for (column, cell) in columns.iter().zip(cells) {
            let key = column.key.to_owned();
            let value = match cell {
                Cell::None => Value::Null,
                Cell::Text(text) => text.as_str().into(),
                Cell::Count(count) => (*count).into(),
                Cell::Money(amount) => {
                    object.insert(format!("{key}_fen"), amount.0.into());
                    amount.to_string().into()
                }
                Cell::Kwh(energy) => energy.to_string().into(),
                Cell::Day(day) => day.to_string().into(),
                Cell::Time(at) => at.to_string().into(),
                Cell::Flag(flag) => (*flag).into(),
            };
            object.insert(key, value);
        }
        let before: &[u8] = if self.is_first_row { b"\n" } else { b",\n" };
        self.is_first_row = false;
        self.out.write_all(before)?;
        Ok(serde_json::to_writer(&mut self.out, &object)?)
    }

    fn end(&mut self) -> io::Result<()> {
        self.close()?;
        self.out.write_all(b"}\n")?;
        self.out.flush()
    }
}
