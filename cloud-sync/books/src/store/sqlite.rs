//! SQLite: one file beside the program, one writer, everything on disk when a transaction is committed.

use super::{
    Access, Dialect, Engine, LookUp, Row, SetStatement, StoreError, Tx, Value, checked::READER_WRITES, set::Present,
    system_random,
};
use domain::ids::Randomness;
use rusqlite::{
    Connection, ErrorCode, Transaction, TransactionBehavior,
    backup::{Backup, StepResult},
    config::DbConfig,
    params_from_iter,
    types::{ToSql, ToSqlOutput, ValueRef},
};
use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::{Duration, Instant},
};

/// How long one connection waits for another. Writers of this process take turns in a queue; another process may have the file
/// open as well.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long until it is tried again where SQLite itself does not wait.
const BUSY_PAUSE: Duration = Duration::from_millis(20);
/// Statements that are kept prepared.
const STATEMENTS: usize = 256;

pub(super) struct Sqlite {
    connection: Connection,
    /// Where it is not the operating system's.
    random: Option<Box<dyn Randomness + Send>>,
}

impl Sqlite {
    pub(super) fn in_memory(random: Option<Box<dyn Randomness + Send>>) -> Result<Self, StoreError> {
        let connection = Connection::open_in_memory().map_err(failed)?;
        let opened = Self::set_up(connection)?;
        Ok(Self { random, ..opened })
    }

    /// One that is on disk where it has no room in memory, is seen by nobody else, and goes with the connection.
    pub(super) fn scratch() -> Result<Self, StoreError> {
        let connection = Connection::open("").map_err(failed)?;
        // It is no database that must outlive anything.
        connection
            .execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -65536;")
            .map_err(failed)?;
        prepares_once(&connection)?;
        let random = None;
        Ok(Self { connection, random })
    }

    /// Everything that is in `pattern`, in place of what is in this one.
    pub(super) fn become_like(&mut self, pattern: &Self) -> Result<(), StoreError> {
        let backup = Backup::new(&pattern.connection, &mut self.connection).map_err(failed)?;
        match backup.step(-1).map_err(failed)? {
            StepResult::Done => Ok(()),
            other => Err(StoreError::Unavailable(format!(
                "its tables could not be copied: {other:?}"
            ))),
        }
    }

    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let named = |error: StoreError| match error {
            StoreError::Unavailable(why) => StoreError::Unavailable(format!("{}: {why}", path.display())),
            StoreError::Broken(why) => StoreError::Broken(format!("{}: {why}", path.display())),
            other => other,
        };
        make(path).map_err(|error| named(StoreError::Unavailable(error.to_string())))?;
        let connection = Connection::open(path).map_err(|error| named(failed(error)))?;
        Self::set_up(connection).map_err(named)
    }

    /// Writes what is in the file at `from`, as of now, into a new file; others go on meanwhile.
    pub(super) fn copy(from: &Path, to: &Path) -> Result<(), StoreError> {
        if to.exists() {
            return Err(StoreError::Constraint(format!("{} is there already", to.display())));
        }
        let target = to
            .to_str()
            .ok_or_else(|| StoreError::Constraint("its name is no text".to_owned()))?;
        let from = Self::open(from)?;
        make(to).map_err(|error| StoreError::Unavailable(format!("{}: {error}", to.display())))?;
        let copied = from.connection.execute("VACUUM INTO ?1", [target]);
        copied.map_err(failed)?;
        let on_disk = File::open(to).and_then(|file| file.sync_all());
        on_disk.map_err(|error| StoreError::Unavailable(format!("{}: {error}", to.display())))
    }

    fn set_up(connection: Connection) -> Result<Self, StoreError> {
        connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
        let mode = write_ahead(&connection)?;
        if mode != "wal" && mode != "memory" {
            return Err(StoreError::Broken(format!("it keeps no write-ahead log, but `{mode}`")));
        }
        // FULL: an acknowledgement must survive a power cut. What the log grew to while somebody read for long is given back.
        // Recursive triggers: without them REPLACE deletes rows that may only be added to.
        let settings = "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA recursive_triggers = ON; \
                        PRAGMA wal_autocheckpoint = 8192; PRAGMA journal_size_limit = 67108864; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -32768;";
        connection.execute_batch(settings).map_err(failed)?;
        prepares_once(&connection)?;
        let random = None;
        Ok(Self { connection, random })
    }
}

/// Statements are kept, and have one plan whatever they are run with: SQLite would prepare many of them anew for other values, which
/// costs more than running them.
fn prepares_once(connection: &Connection) -> Result<(), StoreError> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    let kept = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true);
    kept.map(drop).map_err(failed)
}

/// Makes the file where there is none, for its owner alone: the key that signs is in it. SQLite gives the files beside it the
/// same mode.
fn make(path: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => file.sync_all()?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(error),
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// Turns the write-ahead log on; says what there is now. While another process does the same, SQLite is busy at once and does
/// not wait, as both could wait for each other.
fn write_ahead(connection: &Connection) -> Result<String, StoreError> {
    let begun = Instant::now();
    loop {
        match connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)) {
            Err(error) if is_busy(&error) && begun.elapsed() < BUSY_TIMEOUT => std::thread::sleep(BUSY_PAUSE),
            done => return done.map_err(failed),
        }
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    matches!(code, Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

impl Engine for Sqlite {
    fn transact(
        &mut self,
        access: Access,
        work: &mut dyn FnMut(&mut dyn Tx) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        if !self.connection.is_autocommit() {
            // The last one could not even be taken back: a broken disk.
            self.connection.execute_batch("ROLLBACK").map_err(failed)?;
        }
        // IMMEDIATE: whoever writes has the lock before it reads. One that began by reading and then writes is refused at once
        // where another process has written in between.
        let behavior = match access {
            Access::Read => TransactionBehavior::Deferred,
            Access::Write => TransactionBehavior::Immediate,
        };
        let tx = self.connection.transaction_with_behavior(behavior);
        let tx = tx.map_err(failed)?;
        let mut tx = SqliteTx {
            tx,
            access,
            random: self.random.as_mut(),
        };
        work(&mut tx)?;
        tx.tx.commit().map_err(failed)
    }

    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }
}

struct SqliteTx<'a> {
    tx: Transaction<'a>,
    access: Access,
    random: Option<&'a mut Box<dyn Randomness + Send>>,
}

impl Tx for SqliteTx<'_> {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    fn random(&mut self) -> Result<u128, StoreError> {
        match &mut self.random {
            Some(random) => Ok(random.bits()),
            None => system_random(),
        }
    }

    fn execute(&mut self, statement: &str, values: &[Value]) -> Result<u64, StoreError> {
        let mut statement = self.tx.prepare_cached(&numbered(statement)).map_err(failed)?;
        let changed = statement.execute(params_from_iter(values)).map_err(failed)?;
        Ok(changed as u64)
    }

    fn query(&mut self, statement: &str, values: &[Value]) -> Result<Vec<Row>, StoreError> {
        let mut statement = self.tx.prepare_cached(&numbered(statement)).map_err(failed)?;
        // `PRAGMA query_only` would have SQLite ask this itself, and prepare every statement anew whenever it is switched.
        if self.access == Access::Read && !statement.readonly() {
            return Err(StoreError::Broken(READER_WRITES.to_owned()));
        }
        let mut answer = Vec::new();
        read(&mut statement, values, &mut answer)?;
        Ok(answer)
    }

    fn find_all(&mut self, look: &LookUp, keys: &[Vec<Value>]) -> Result<Vec<Row>, StoreError> {
        let mut answer = Vec::new();
        if keys.is_empty() {
            return Ok(answer);
        }
        let mut statement = self.tx.prepare_cached(&look.one_by_one()).map_err(failed)?;
        for key in keys {
            read(&mut statement, key, &mut answer)?;
        }
        Ok(answer)
    }

    fn write_all(&mut self, set: &SetStatement, rows: &[Vec<Value>]) -> Result<(), StoreError> {
        let rows = set.joined(rows)?;
        if rows.is_empty() {
            return Ok(());
        }
        let mut insert = self.tx.prepare_cached(&set.row_by_row()).map_err(failed)?;
        let Present::Add(column) = set.present else {
            for row in &rows {
                insert.execute(params_from_iter(row.iter())).map_err(failed)?;
            }
            return Ok(());
        };
        let mut add = self.tx.prepare_cached(&set.add_to_row(column)).map_err(failed)?;
        for row in &rows {
            let values = row[..set.keys].iter().chain(row.get(set.place(column)));
            if add.execute(params_from_iter(values)).map_err(failed)? == 0 {
                insert.execute(params_from_iter(row.iter())).map_err(failed)?;
            }
        }
        Ok(())
    }
}

/// Adds the rows that a statement answers.
fn read(
    statement: &mut rusqlite::CachedStatement<'_>,
    values: &[Value],
    answer: &mut Vec<Row>,
) -> Result<(), StoreError> {
    let mut rows = statement.query(params_from_iter(values)).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        // Asked of the row: the statement is prepared again, inside, when the tables have changed.
        let columns = row.as_ref().column_count();
        let column = |at| row.get_ref(at).map_err(failed).and_then(value);
        answer.push(Row((0..columns).map(column).collect::<Result<Vec<_>, _>>()?));
    }
    Ok(())
}

/// `?1` for `$1`: to SQLite `$1` would be a name, whose number is that of its first place in the statement. What stands in
/// quotes stays.
fn numbered(statement: &str) -> String {
    let mut numbered = String::with_capacity(statement.len());
    let mut quoted = false;
    let mut rest = statement.chars().peekable();
    while let Some(character) = rest.next() {
        quoted ^= character == '\'';
        let number = character == '$' && !quoted && rest.peek().is_some_and(char::is_ascii_digit);
        numbered.push(if number { '?' } else { character });
    }
    numbered
}

fn value(value: ValueRef<'_>) -> Result<Value, StoreError> {
    Ok(match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Int(number),
        // No column of ours holds one, and an amount must never have been one.
        ValueRef::Real(number) => return Err(StoreError::Broken(format!("{number:?} is no whole number"))),
        ValueRef::Text(text) => {
            let text = str::from_utf8(text).map_err(|error| StoreError::Broken(error.to_string()))?;
            Value::Text(text.to_owned())
        }
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
    })
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
        Some(ErrorCode::ConstraintViolation | ErrorCode::TooBig) => StoreError::Constraint(words),
        // What the machine does to it, and what can be mended without touching the database. A disk that failed is mounted
        // read-only by the kernel.
        Some(
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::DiskFull
            | ErrorCode::SystemIoFailure
            | ErrorCode::CannotOpen
            | ErrorCode::ReadOnly
            | ErrorCode::PermissionDenied
            | ErrorCode::OutOfMemory
            | ErrorCode::OperationInterrupted
            | ErrorCode::FileLockingProtocolFailed,
        ) => StoreError::Unavailable(words),
        // A damaged file, or a statement that is wrong.
        _ => StoreError::Broken(words),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_numbered_but_for_what_stands_in_quotes() {
        let statement = "SELECT $2, '$1', 'it''s $1', $$, row -> '$.fee' FROM t WHERE a = $10";
        let expected = "SELECT ?2, '$1', 'it''s $1', $$, row -> '$.fee' FROM t WHERE a = ?10";
        assert_eq!(numbered(statement), expected);
    }
}
