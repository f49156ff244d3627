//! PostgreSQL, and what speaks as it does: no advisory locks, no LISTEN, no deferrable constraints. A connection that is lost is
//! made again by whoever needs it next.

use super::{
    Access, Dialect, Engine, LookUp, Row, SetStatement, StoreError, Tx, Value,
    set::{Holds, Present},
};
use postgres::{
    Client, Config, NoTls, Statement,
    config::Host,
    error::SqlState,
    types::{FromSql, IsNull, ToSql, Type, to_sql_checked},
};
use std::{borrow::Cow, collections::HashMap, error::Error, time::Duration};

/// Statements that are kept prepared.
const STATEMENTS_MAX: usize = 256;
/// How long connecting may take, where the address says nothing else. Without it it is the kernel's two minutes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// After how long without a word the other side is asked whether it is still there, how often, and how many times: a server
/// whose machine is gone is given up after half a minute.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(15), Duration::from_secs(5), 3);
/// How long what was sent may stay unacknowledged.
const SENT_TIMEOUT: Duration = Duration::from_secs(30);
/// What every connection is told. Nothing waits for ever, neither for a lock nor, on the server's side, for us. A commit that is
/// answered must be on disk, and with whoever takes the server's place, whatever the server's own setting.
const SETTINGS: &str = "SET statement_timeout = '60s'; SET lock_timeout = '10s'; \
     SET idle_in_transaction_session_timeout = '60s'; \
     SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') IN ('off', 'local')";

pub(super) struct Postgres {
    config: Config,
    open: Option<Open>,
}

struct Open {
    client: Client,
    statements: HashMap<String, Statement>,
    /// Something happened that a new connection may cure.
    suspect: bool,
}

/// Where an address leads, without user and password: what people are told.
pub(super) fn place_of(url: &str) -> Result<String, StoreError> {
    let config: Config = url
        .parse()
        .map_err(|error| StoreError::Broken(format!("the address of PostgreSQL: {}", words(&error))))?;
    let host = |host: &Host| match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(folder) => folder.display().to_string(),
    };
    let hosts: Vec<String> = config.get_hosts().iter().map(host).collect();
    let name = config.get_dbname().or(config.get_user()).unwrap_or_default();
    Ok(format!("the database {name} of PostgreSQL at {}", hosts.join(", ")))
}

impl Postgres {
    /// It connects when something is to be done.
    pub(super) fn new(url: &str) -> Result<Self, StoreError> {
        let wrong =
            |error: postgres::Error| StoreError::Broken(format!("the address of PostgreSQL: {}", words(&error)));
        let mut config: Config = url.parse().map_err(wrong)?;
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(SENT_TIMEOUT);
        }
        let (idle, interval, retries) = KEEPALIVE;
        config.keepalives_idle(idle.min(config.get_keepalives_idle()));
        config.keepalives_interval(interval).keepalives_retries(retries);
        if config.get_application_name().is_none() {
            config.application_name("holdfast-central");
        }
        let open = None;
        Ok(Self { config, open })
    }

    fn connect(&self) -> Result<Open, StoreError> {
        let mut client = self.config.connect(NoTls).map_err(|error| unreachable(&error))?;
        client.batch_execute(SETTINGS).map_err(|error| unreachable(&error))?;
        Ok(Open {
            client,
            statements: HashMap::new(),
            suspect: false,
        })
    }

    /// A connection on which a transaction has begun. One that is found lost is made again: nothing was done on it yet.
    fn begun(&mut self, access: Access) -> Result<Open, StoreError> {
        // One state for all statements of a reader. What the server's settings say of either is left aside.
        let begin = match access {
            Access::Read => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            Access::Write => "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
        };
        if let Some(mut open) = self.open.take()
            && !open.client.is_closed()
            && open.client.batch_execute(begin).is_ok()
        {
            return Ok(open);
        }
        let mut open = self.connect()?;
        open.client.batch_execute(begin).map_err(|error| unreachable(&error))?;
        Ok(open)
    }
}

impl Engine for Postgres {
    fn transact(
        &mut self,
        access: Access,
        work: &mut dyn FnMut(&mut dyn Tx) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut open = self.begun(access)?;
        let done = work(&mut PostgresTx(&mut open)).and_then(|()| {
            // Without an answer it may have been done: a new connection tells those who ask.
            open.client.batch_execute("COMMIT").map_err(|error| {
                open.suspect = true;
                match error.code() {
                    Some(_) => failed(&error),
                    None => unreachable(&error),
                }
            })
        });
        // A connection that cannot take back what was begun is given up, and the server takes it back.
        if !open.suspect && (done.is_ok() || open.client.batch_execute("ROLLBACK").is_ok()) {
            self.open = Some(open);
        }
        done
    }

    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }
}

struct PostgresTx<'a>(&'a mut Open);

impl PostgresTx<'_> {
    /// Runs a statement that is prepared, or was before.
    fn prepared<T>(
        &mut self,
        statement: &str,
        run: impl FnOnce(&mut Client, &Statement) -> Result<T, postgres::Error>,
    ) -> Result<T, StoreError> {
        let open = &mut *self.0;
        let known = open.statements.get(statement).cloned();
        let was_known = known.is_some();
        let prepared = match known {
            Some(known) => Ok(known),
            None => open.client.prepare(statement),
        };
        let done = prepared.and_then(|prepared| {
            let done = run(&mut open.client, &prepared)?;
            if !was_known {
                if open.statements.len() >= STATEMENTS_MAX {
                    open.statements.clear();
                }
                open.statements.insert(statement.to_owned(), prepared);
            }
            Ok(done)
        });
        done.map_err(|error| {
            open.suspect |= needs_another_connection(&error);
            // A newer program has changed the table, or a pooler gave us another connection: preparing it again helps.
            let forgotten = [SqlState::FEATURE_NOT_SUPPORTED, SqlState::INVALID_SQL_STATEMENT_NAME];
            if was_known && error.code().is_some_and(|code| forgotten.contains(code)) {
                open.statements.clear();
                return StoreError::Unavailable(words(&error));
            }
            failed(&error)
        })
    }
}

impl Tx for PostgresTx<'_> {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    fn execute(&mut self, statement: &str, values: &[Value]) -> Result<u64, StoreError> {
        self.prepared(statement, |client, statement| {
            client.execute(statement, &parameters(values))
        })
    }

    fn query(&mut self, statement: &str, values: &[Value]) -> Result<Vec<Row>, StoreError> {
        self.prepared(statement, |client, statement| {
            read(&client.query(statement, &parameters(values))?)
        })
    }

    fn find_all(&mut self, look: &LookUp, keys: &[Vec<Value>]) -> Result<Vec<Row>, StoreError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let keys: Vec<Cow<'_, [Value]>> = keys.iter().map(|key| Cow::Borrowed(key.as_slice())).collect();
        let columns = look.keys.iter().enumerate();
        let arrays: Vec<Array<'_>> = columns.map(|(at, column)| Array::of(column.holds, &keys, at)).collect();
        let all: Vec<&(dyn ToSql + Sync)> = arrays.iter().map(Array::parameter).collect();
        self.prepared(&look.in_arrays(), |client, statement| {
            read(&client.query(statement, &all)?)
        })
    }

    fn write_all(&mut self, set: &SetStatement, rows: &[Vec<Value>]) -> Result<(), StoreError> {
        let rows = set.joined(rows)?;
        if rows.is_empty() {
            return Ok(());
        }
        let columns = set.columns.iter().enumerate();
        let arrays: Vec<Array<'_>> = columns.map(|(at, column)| Array::of(column.holds, &rows, at)).collect();
        let all: Vec<&(dyn ToSql + Sync)> = arrays.iter().map(Array::parameter).collect();
        self.prepared(&set.in_arrays(), |client, statement| client.execute(statement, &all))?;
        if let Present::Add(column) = set.present {
            let mut some = all[..set.keys].to_vec();
            some.extend(all.get(set.place(column)));
            self.prepared(&set.add_in_arrays(column), |client, statement| {
                client.execute(statement, &some)
            })?;
        }
        Ok(())
    }
}

/// A column of rows that are written together.
enum Array<'a> {
    Ints(Vec<Option<i64>>),
    Texts(Vec<Option<&'a str>>),
    Bytes(Vec<Option<&'a [u8]>>),
}

impl<'a> Array<'a> {
    fn of(holds: Holds, rows: &'a [Cow<'_, [Value]>], at: usize) -> Self {
        let column = rows.iter().map(move |row| row.get(at));
        match holds {
            Holds::Int => Self::Ints(
                column
                    .map(|value| match value {
                        Some(Value::Int(number)) => Some(*number),
                        _ => None,
                    })
                    .collect(),
            ),
            Holds::Text => Self::Texts(
                column
                    .map(|value| match value {
                        Some(Value::Text(text)) => Some(text.as_str()),
                        _ => None,
                    })
                    .collect(),
            ),
            Holds::Bytes => Self::Bytes(
                column
                    .map(|value| match value {
                        Some(Value::Bytes(bytes)) => Some(bytes.as_slice()),
                        _ => None,
                    })
                    .collect(),
            ),
        }
    }

    fn parameter(&self) -> &(dyn ToSql + Sync) {
        match self {
            Self::Ints(values) => values,
            Self::Texts(values) => values,
            Self::Bytes(values) => values,
        }
    }
}

fn read(rows: &[postgres::Row]) -> Result<Vec<Row>, postgres::Error> {
    let row = |row: &postgres::Row| {
        let values = (0..row.len()).map(|at| row.try_get::<_, Value>(at));
        values.collect::<Result<Vec<_>, _>>().map(Row)
    };
    rows.iter().map(row).collect()
}

fn parameters(values: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    values.iter().map(|value| value as &(dyn ToSql + Sync)).collect()
}

type BoxedError = Box<dyn Error + Sync + Send>;

impl ToSql for Value {
    fn to_sql(&self, ty: &Type, out: &mut postgres::types::private::BytesMut) -> Result<IsNull, BoxedError> {
        match (self, ty) {
            (Value::Null, _) => Ok(IsNull::Yes),
            (Value::Int(number), &Type::INT8) => number.to_sql(ty, out),
            (Value::Text(text), &Type::TEXT) => text.to_sql(ty, out),
            (Value::Bytes(bytes), &Type::BYTEA) => bytes.to_sql(ty, out),
            // Otherwise the eight bytes of a number would be a text.
            _ => Err(format!("{self:?} is no {ty}").into()),
        }
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::INT8 | Type::TEXT | Type::BYTEA)
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Value {
    /// What our columns hold, and what comes of comparisons and lengths: numbers, as in SQLite.
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, BoxedError> {
        Ok(match *ty {
            Type::INT8 => Value::Int(i64::from_sql(ty, raw)?),
            Type::INT4 => Value::Int(i32::from_sql(ty, raw)?.into()),
            Type::BOOL => Value::Int(bool::from_sql(ty, raw)?.into()),
            Type::BYTEA => Value::Bytes(Vec::from_sql(ty, raw)?),
            _ => Value::Text(String::from_sql(ty, raw)?),
        })
    }

    fn from_sql_null(_ty: &Type) -> Result<Self, BoxedError> {
        Ok(Value::Null)
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::INT8 | Type::INT4 | Type::BOOL | Type::TEXT | Type::BYTEA)
    }
}

fn words(error: &postgres::Error) -> String {
    let inner = error.source().map(|source| format!(": {source}"));
    format!("{error}{}", inner.unwrap_or_default())
}

/// Before anything was done, and when there is no answer to COMMIT, whatever happens is that nobody is there who answers.
fn unreachable(error: &postgres::Error) -> StoreError {
    StoreError::Unavailable(words(error))
}

/// Whether the next transaction needs another connection: this one is lost, or leads to a server that only answers questions (a
/// standby, after a switch).
fn needs_another_connection(error: &postgres::Error) -> bool {
    error.code().is_none_or(|code| {
        matches!(&code.code()[..2], "08" | "25" | "57" | "58" | "XX") && *code != SqlState::QUERY_CANCELED
    })
}

/// By the classes of SQLSTATE (PostgreSQL's manual, appendix A).
fn failed(error: &postgres::Error) -> StoreError {
    let Some(state) = error.code() else {
        let lost = error.is_closed() || error.source().is_some_and(|source| source.is::<std::io::Error>());
        return match lost {
            true => StoreError::Unavailable(words(error)),
            false => StoreError::Broken(words(error)),
        };
    };
    match state.code() {
        // A sum that is too large for its column.
        "22003" => StoreError::Constraint(words(error)),
        // A table, index or trigger that is there: another process has made it at the same moment.
        "42P07" | "42710" => StoreError::Constraint(words(error)),
        // A RAISE in a trigger of ours.
        "P0001" => StoreError::Constraint(words(error)),
        "40002" => StoreError::Constraint(words(error)),
        // Pages or indexes that are damaged.
        "XX001" | "XX002" => StoreError::Broken(words(error)),
        code => match &code[..2] {
            "23" => StoreError::Constraint(words(error)),
            // 08 connection, 25 read-only or ended by a time-out, 28 log-in, 40 deadlock and serialisation (they are tried
            // again), 53 resources, 55 a lock that did not come free, 57 an operator or statement_timeout, 58 the system, XX inside.
            "08" | "25" | "28" | "40" | "53" | "55" | "57" | "58" | "XX" => StoreError::Unavailable(words(error)),
            // What is wrong with the statement is ours.
            _ => StoreError::Broken(words(error)),
        },
    }
}
