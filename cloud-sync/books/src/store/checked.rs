//! What is the same of a transaction on every engine: what may go in, and that an error is the end of it whatever its work makes
//! of that error.

use super::{Access, Dialect, LookUp, Row, SetStatement, StoreError, Tx, Value};

/// What is said of a read that is none.
pub(super) const READER_WRITES: &str = "what only reads wanted to write";

/// A transaction whose first error stays. Without it the engines part ways: SQLite may go on after an error, or have taken
/// everything back and go on outside of any transaction (a full disk), and PostgreSQL answers COMMIT after an error as if it
/// had committed.
pub(super) struct Checked<'a> {
    tx: &'a mut dyn Tx,
    access: Access,
    failed: Option<StoreError>,
}

impl<'a> Checked<'a> {
    pub(super) fn new(tx: &'a mut dyn Tx, access: Access) -> Self {
        let failed = None;
        Self { tx, access, failed }
    }

    /// Whether it may be committed.
    pub(super) fn ended(self) -> Result<(), StoreError> {
        self.failed.map_or(Ok(()), Err)
    }

    fn step<T>(&mut self, step: impl FnOnce(&mut dyn Tx) -> Result<T, StoreError>) -> Result<T, StoreError> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        let done = step(self.tx);
        if let Err(error) = &done {
            self.failed = Some(error.clone());
        }
        done
    }
}

impl Tx for Checked<'_> {
    fn dialect(&self) -> Dialect {
        self.tx.dialect()
    }

    fn random(&mut self) -> Result<u128, StoreError> {
        self.step(|tx| tx.random())
    }

    fn execute(&mut self, statement: &str, values: &[Value]) -> Result<u64, StoreError> {
        let access = self.access;
        self.step(|tx| {
            may_write(access)?;
            storable(values)?;
            tx.execute(statement, values)
        })
    }

    fn query(&mut self, statement: &str, values: &[Value]) -> Result<Vec<Row>, StoreError> {
        self.step(|tx| {
            storable(values)?;
            tx.query(statement, values)
        })
    }

    fn find_all(&mut self, look: &LookUp, keys: &[Vec<Value>]) -> Result<Vec<Row>, StoreError> {
        self.step(|tx| {
            look.check(keys)?;
            keys.iter().try_for_each(|key| storable(key))?;
            tx.find_all(look, keys)
        })
    }

    fn write_all(&mut self, set: &SetStatement, rows: &[Vec<Value>]) -> Result<(), StoreError> {
        let access = self.access;
        self.step(|tx| {
            may_write(access)?;
            set.check(rows)?;
            rows.iter().try_for_each(|row| storable(row))?;
            tx.write_all(set, rows)
        })
    }
}

fn may_write(access: Access) -> Result<(), StoreError> {
    match access {
        Access::Write => Ok(()),
        Access::Read => Err(StoreError::Broken(READER_WRITES.to_owned())),
    }
}

/// PostgreSQL has no text with U+0000 in it, so neither engine takes one. JSON writes it as `\u0000`, which is no such text.
fn storable(values: &[Value]) -> Result<(), StoreError> {
    let zero = |value: &Value| matches!(value, Value::Text(text) if text.contains('\0'));
    match values.iter().position(zero) {
        None => Ok(()),
        Some(at) => {
            let why = format!("value {} is a text with the character U+0000 in it", at + 1);
            Err(StoreError::Constraint(why))
        }
    }
}
