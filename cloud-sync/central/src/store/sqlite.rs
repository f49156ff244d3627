//! SQLite: one file beside the program, one writer, everything on disk when a transaction is committed.

use super::{AddStatement, Dialect, Engine, Row, SetStatement, StoreError, Tx, Value};
use rusqlite::{
    Connection, ErrorCode, Transaction, TransactionBehavior, params_from_iter,
    types::{ToSql, ToSqlOutput, ValueRef},
};
use std::{path::Path, time::Duration};

/// How long one connection waits for another. Writers take turns in a queue of ours, so only a checkpoint is waited for.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Statements that are kept prepared.
const STATEMENTS: usize = 256;

pub(super) struct Sqlite(Connection);

impl Sqlite {
    pub(super) fn in_memory() -> Result<Self, StoreError> {
        Self::set_up(Connection::open_in_memory().map_err(failed)?)
    }

    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let connection = Connection::open(path).map_err(|error| match failed(error) {
            StoreError::Unavailable(why) => StoreError::Unavailable(format!("{}: {why}", path.display())),
            other => other,
        })?;
        Self::set_up(connection)
    }

    fn set_up(connection: Connection) -> Result<Self, StoreError> {
        connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
        // FULL: an acknowledgement must survive a power cut.
        let settings = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
                        PRAGMA temp_store = MEMORY; PRAGMA cache_size = -32768;";
        connection.execute_batch(settings).map_err(failed)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        Ok(Self(connection))
    }
}

impl Engine for Sqlite {
    fn transact(&mut self, work: &mut dyn FnMut(&mut dyn Tx) -> Result<(), StoreError>) -> Result<(), StoreError> {
        // There is one connection that writes, so nobody writes between what it reads and what it writes.
        let behavior = TransactionBehavior::Deferred;
        let mut tx = SqliteTx(self.0.transaction_with_behavior(behavior).map_err(failed)?);
        work(&mut tx)?;
        tx.0.commit().map_err(failed)
    }

    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }
}

struct SqliteTx<'a>(Transaction<'a>);

impl Tx for SqliteTx<'_> {
    fn execute(&mut self, statement: &str, values: &[Value]) -> Result<u64, StoreError> {
        let mut statement = self.0.prepare_cached(&numbered(statement)).map_err(failed)?;
        let changed = statement.execute(params_from_iter(values)).map_err(failed)?;
        Ok(changed as u64)
    }

    fn query(&mut self, statement: &str, values: &[Value]) -> Result<Vec<Row>, StoreError> {
        let mut statement = self.0.prepare_cached(&numbered(statement)).map_err(failed)?;
        let columns = statement.column_count();
        let mut rows = statement.query(params_from_iter(values)).map_err(failed)?;
        let mut answer = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            let values = (0..columns)
                .map(|at| row.get_ref(at).map(value))
                .collect::<Result<Vec<_>, _>>();
            answer.push(Row(values.map_err(failed)?));
        }
        Ok(answer)
    }

    fn write_all(&mut self, set: &SetStatement, rows: &[Vec<Value>]) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut statement = self.0.prepare_cached(&set.row_by_row()).map_err(failed)?;
        for row in rows {
            statement.execute(params_from_iter(row)).map_err(failed)?;
        }
        Ok(())
    }

    fn add_all(&mut self, add: &AddStatement, rows: &[(&str, i64)]) -> Result<(), StoreError> {
        let mut statement = self.0.prepare_cached(&add.row_by_row()).map_err(failed)?;
        for row in rows {
            statement.execute(*row).map_err(failed)?;
        }
        Ok(())
    }
}

/// `?1` for `$1`: to SQLite `$1` would be a name, whose number is that of its first place in the statement.
fn numbered(statement: &str) -> String {
    statement.replace('$', "?")
}

fn value(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Int(number),
        // No column of ours holds one.
        ValueRef::Real(number) => Value::Text(number.to_string()),
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let value = match self {
            Value::Null => ValueRef::Null,
            Value::Int(number) => ValueRef::Integer(*number),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Bytes(bytes) => ValueRef::Blob(bytes),
        };
        Ok(ToSqlOutput::Borrowed(value))
    }
}

fn failed(error: rusqlite::Error) -> StoreError {
    let words = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::ConstraintViolation) => StoreError::Constraint(words),
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt | ErrorCode::TypeMismatch) => {
            StoreError::Broken(words)
        }
        Some(_) => StoreError::Unavailable(words),
        None => StoreError::Broken(words),
    }
}
