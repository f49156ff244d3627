//! Rows of one table that are written together, or looked for together: one statement for all of them, made once.

use super::{StoreError, Value};
use std::{borrow::Cow, collections::BTreeMap};

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// `BIGINT`.
    Int,
    /// `TEXT`.
    Text,
    /// `BLOB`, `BYTEA`.
    Bytes,
}

/// A column of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub holds: Holds,
}

/// A number.
pub const fn int(name: &'static str) -> Column {
    Column {
        name,
        holds: Holds::Int,
    }
}

/// A text.
pub const fn text(name: &'static str) -> Column {
    Column {
        name,
        holds: Holds::Text,
    }
}

/// Bytes.
pub const fn bytes(name: &'static str) -> Column {
    Column {
        name,
        holds: Holds::Bytes,
    }
}

/// What becomes of a row whose key is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Present {
    /// There is none such: it is an error.
    Refuse,
    /// It stays as it is.
    Keep,
    /// It is replaced.
    Replace,
    /// This column's number is added to, and nothing else changes. It is none of the keys.
    Add(&'static str),
}

/// How rows get into a table.
#[derive(Debug)]
pub struct SetStatement {
    /// Which.
    pub table: &'static str,
    /// What tells its rows apart: the first columns.
    pub keys: usize,
    /// Its columns, in the order of the values of a row.
    pub columns: &'static [Column],
    /// What becomes of a row that is there.
    pub present: Present,
}

impl SetStatement {
    fn names(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(|column| column.name).collect();
        names.join(", ")
    }

    /// Whether the rows are such as it says. An array would have NULL where the value is of another type.
    pub(super) fn check(&self, rows: &[Vec<Value>]) -> Result<(), StoreError> {
        let wrong = |what: String| Err(StoreError::Broken(format!("a row for {}: {what}", self.table)));
        for row in rows {
            if row.len() != self.columns.len() {
                return wrong(format!("{} values for {} columns", row.len(), self.columns.len()));
            }
            for (column, value) in self.columns.iter().zip(row) {
                let added = matches!(self.present, Present::Add(name) if name == column.name);
                let fits = match value {
                    Value::Null => !added,
                    Value::Int(_) => column.holds == Holds::Int,
                    Value::Text(_) => column.holds == Holds::Text && !added,
                    Value::Bytes(_) => column.holds == Holds::Bytes && !added,
                };
                if !fits {
                    return wrong(format!("{} cannot be {value:?}", column.name));
                }
            }
        }
        Ok(())
    }

    /// The rows with those joined that have the same key, in the order of their keys: PostgreSQL refuses to change a row twice
    /// in one statement, and two that lock rows in the same order do not wait for each other in a circle.
    pub(super) fn joined<'a>(&self, rows: &'a [Vec<Value>]) -> Result<Vec<Cow<'a, [Value]>>, StoreError> {
        if self.present == Present::Refuse {
            return Ok(rows.iter().map(|row| Cow::Borrowed(row.as_slice())).collect());
        }
        let mut joined: BTreeMap<&[Value], Cow<'a, [Value]>> = BTreeMap::new();
        for row in rows {
            let Some(before) = joined.get_mut(&row[..self.keys]) else {
                joined.insert(&row[..self.keys], Cow::Borrowed(row));
                continue;
            };
            match self.present {
                Present::Refuse | Present::Keep => {}
                Present::Replace => *before = Cow::Borrowed(row),
                Present::Add(column) => {
                    let at = self.place(column);
                    let (Value::Int(sum), Value::Int(more)) = (&before[at], &row[at]) else {
                        return Err(StoreError::Broken(format!("{column} of {} is no number", self.table)));
                    };
                    let sum = sum.checked_add(*more).ok_or_else(|| {
                        StoreError::Constraint(format!("{column} of {} goes beyond what a number holds", self.table))
                    })?;
                    before.to_mut()[at] = Value::Int(sum);
                }
            }
        }
        Ok(joined.into_values().collect())
    }

    /// Which of its columns that is.
    pub(super) fn place(&self, name: &str) -> usize {
        let at = self.columns.iter().position(|column| column.name == name);
        at.expect("a set adds to one of its own columns")
    }

    fn key_names(&self) -> Vec<&'static str> {
        self.columns[..self.keys].iter().map(|column| column.name).collect()
    }

    fn tail(&self) -> String {
        let keys = self.key_names().join(", ");
        let others = &self.columns[self.keys..];
        match self.present {
            // What is added to is updated by a statement of its own.
            Present::Refuse | Present::Add(_) => String::new(),
            Present::Replace if !others.is_empty() => {
                let set = |column: &Column| format!("{0} = excluded.{0}", column.name);
                let sets: Vec<String> = others.iter().map(set).collect();
                format!(" ON CONFLICT ({keys}) DO UPDATE SET {}", sets.join(", "))
            }
            Present::Keep | Present::Replace => format!(" ON CONFLICT ({keys}) DO NOTHING"),
        }
    }

    /// For one row, with `?1` and so on.
    pub(super) fn row_by_row(&self) -> String {
        let places: Vec<String> = (1..=self.columns.len()).map(|n| format!("?{n}")).collect();
        let (table, names, places, tail) = (self.table, self.names(), places.join(", "), self.tail());
        format!("INSERT INTO {table} ({names}) VALUES ({places}){tail}")
    }

    /// Adds to a column of one row: its keys, then what is added. Not by `ON CONFLICT DO UPDATE`: both engines hold CHECKs
    /// against the row that is proposed, before they look whether there is one, and less than nothing in a wallet is refused
    /// though the wallet has it.
    pub(super) fn add_to_row(&self, column: &str) -> String {
        let keys = self.key_names();
        let keys = keys.iter().zip(1..).map(|(key, n)| format!("{key} = ?{n}"));
        let keys: Vec<String> = keys.collect();
        let (table, keys, n) = (self.table, keys.join(" AND "), self.keys + 1);
        format!("UPDATE {table} SET {column} = {column} + ?{n} WHERE {keys}")
    }

    /// For all rows, with an array for each column. What is added to is 0 in rows that are new.
    pub(super) fn in_arrays(&self) -> String {
        let (table, names, arrays) = (self.table, self.names(), arrays(self.columns.iter()));
        let Present::Add(added) = self.present else {
            let tail = self.tail();
            return format!("INSERT INTO {table} ({names}) SELECT * FROM unnest({arrays}){tail}");
        };
        let given = |column: &Column| if column.name == added { "0" } else { column.name };
        let given: Vec<&str> = self.columns.iter().map(given).collect();
        let (given, keys) = (given.join(", "), self.key_names().join(", "));
        format!(
            "INSERT INTO {table} ({names}) SELECT {given} FROM unnest({arrays}) AS given ({names}) ON CONFLICT ({keys}) DO NOTHING"
        )
    }

    /// Adds to a column of all rows, with an array for each key and one for what is added.
    pub(super) fn add_in_arrays(&self, column: &str) -> String {
        let place = self.place(column);
        let columns = || self.columns[..self.keys].iter().chain(self.columns.get(place));
        let arrays = arrays(columns());
        let names: Vec<&str> = columns().map(|column| column.name).collect();
        let keys = self.key_names();
        let keys: Vec<String> = keys
            .iter()
            .map(|key| format!("{0}.{key} = given.{key}", self.table))
            .collect();
        let (table, names, keys) = (self.table, names.join(", "), keys.join(" AND "));
        format!(
            "UPDATE {table} SET {column} = {table}.{column} + given.{column} FROM unnest({arrays}) AS given ({names}) WHERE {keys}"
        )
    }
}

/// An array for each column, in their order.
fn arrays<'a>(columns: impl Iterator<Item = &'a Column>) -> String {
    let array = |(column, n): (&Column, usize)| {
        let holds = match column.holds {
            Holds::Int => "int8",
            Holds::Text => "text",
            Holds::Bytes => "bytea",
        };
        format!("${n}::{holds}[]")
    };
    columns.zip(1..).map(array).collect::<Vec<String>>().join(", ")
}

/// How rows of one table are looked for together.
#[derive(Debug)]
pub struct LookUp {
    /// Where.
    pub table: &'static str,
    /// By which columns; no two rows have the same in all of them.
    pub keys: &'static [Column],
    /// What is answered of each row, in this order.
    pub columns: &'static [Column],
}

impl LookUp {
    /// The rows of a set by what tells them apart, with all columns.
    pub const fn of(set: &SetStatement) -> Self {
        Self {
            table: set.table,
            keys: set.columns.split_at(set.keys).0,
            columns: set.columns,
        }
    }

    /// Whether the keys are such as it says.
    pub(super) fn check(&self, keys: &[Vec<Value>]) -> Result<(), StoreError> {
        let fits = |(column, value): (&Column, &Value)| match value {
            Value::Null => false,
            Value::Int(_) => column.holds == Holds::Int,
            Value::Text(_) => column.holds == Holds::Text,
            Value::Bytes(_) => column.holds == Holds::Bytes,
        };
        let wrong = keys
            .iter()
            .find(|key| key.len() != self.keys.len() || !self.keys.iter().zip(*key).all(fits));
        match wrong {
            None => Ok(()),
            Some(key) => Err(StoreError::Broken(format!("{key:?} is no key of {}", self.table))),
        }
    }

    fn answered(&self) -> String {
        let names: Vec<String> = self.columns.iter().map(|column| format!("t.{}", column.name)).collect();
        names.join(", ")
    }

    /// For one key, with `?1` and so on.
    pub(super) fn one_by_one(&self) -> String {
        let keys = self
            .keys
            .iter()
            .zip(1..)
            .map(|(key, n)| format!("t.{} = ?{n}", key.name));
        let keys: Vec<String> = keys.collect();
        format!(
            "SELECT {} FROM {} t WHERE {}",
            self.answered(),
            self.table,
            keys.join(" AND ")
        )
    }

    /// For all keys, with an array for each column of them.
    pub(super) fn in_arrays(&self) -> String {
        let names: Vec<&str> = self.keys.iter().map(|key| key.name).collect();
        let keys: Vec<String> = names.iter().map(|key| format!("t.{key} = given.{key}")).collect();
        let (answered, table, arrays) = (self.answered(), self.table, arrays(self.keys.iter()));
        let (names, keys) = (names.join(", "), keys.join(" AND "));
        format!("SELECT {answered} FROM unnest({arrays}) AS given ({names}) JOIN {table} t ON {keys}")
    }
}
