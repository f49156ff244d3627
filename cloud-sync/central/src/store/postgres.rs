//! PostgreSQL, and what speaks as it does: no advisory locks, no LISTEN, no deferrable constraints. A connection that is lost is
//! made again by whoever needs it next.

use super::{AddStatement, Dialect, Engine, Row, SetStatement, StoreError, Tx, Value, set::Holds};
use postgres::{
    Client, NoTls, Statement, Transaction,
    error::SqlState,
    types::{FromSql, IsNull, ToSql, Type, to_sql_checked},
};
use std::{collections::HashMap, error::Error};

/// Statements that are kept prepared.
const STATEMENTS_MAX: usize = 256;

pub(super) struct Postgres {
    url: String,
    open: Option<Open>,
}

struct Open {
    client: Client,
    statements: HashMap<String, Statement>,
}

impl Postgres {
    pub(super) fn open(url: &str) -> Result<Self, StoreError> {
        let mut postgres = Self {
            url: url.to_owned(),
            open: None,
        };
        postgres.connected()?;
        Ok(postgres)
    }

    fn connected(&mut self) -> Result<&mut Open, StoreError> {
        if self.open.as_ref().is_some_and(|open| open.client.is_closed()) {
            self.open = None;
        }
        if self.open.is_none() {
            let client = Client::connect(&self.url, NoTls).map_err(failed)?;
            self.open = Some(Open {
                client,
                statements: HashMap::new(),
            });
        }
        self.open
            .as_mut()
            .ok_or_else(|| StoreError::Unavailable("there is no connection".to_owned()))
    }
}

impl Engine for Postgres {
    fn transact(&mut self, work: &mut dyn FnMut(&mut dyn Tx) -> Result<(), StoreError>) -> Result<(), StoreError> {
        let Open { client, statements } = self.connected()?;
        let mut tx = PostgresTx {
            tx: client.transaction().map_err(failed)?,
            statements,
        };
        work(&mut tx)?;
        tx.tx.commit().map_err(failed)
    }

    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }
}

struct PostgresTx<'a> {
    tx: Transaction<'a>,
    statements: &'a mut HashMap<String, Statement>,
}

impl PostgresTx<'_> {
    fn prepared(&mut self, statement: &str) -> Result<Statement, StoreError> {
        if let Some(known) = self.statements.get(statement) {
            return Ok(known.clone());
        }
        let prepared = self.tx.prepare(statement).map_err(failed)?;
        if self.statements.len() >= STATEMENTS_MAX {
            self.statements.clear();
        }
        self.statements.insert(statement.to_owned(), prepared.clone());
        Ok(prepared)
    }
}

impl Tx for PostgresTx<'_> {
    fn execute(&mut self, statement: &str, values: &[Value]) -> Result<u64, StoreError> {
        let statement = self.prepared(statement)?;
        self.tx.execute(&statement, &parameters(values)).map_err(failed)
    }

    fn query(&mut self, statement: &str, values: &[Value]) -> Result<Vec<Row>, StoreError> {
        let statement = self.prepared(statement)?;
        let rows = self.tx.query(&statement, &parameters(values)).map_err(failed)?;
        let row = |row: &postgres::Row| {
            let values = (0..row.len()).map(|at| row.try_get::<_, Value>(at));
            values.collect::<Result<Vec<_>, _>>().map(Row).map_err(failed)
        };
        rows.iter().map(row).collect()
    }

    fn write_all(&mut self, set: &SetStatement, rows: &[Vec<Value>]) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        let statement = self.prepared(&set.in_arrays())?;
        let arrays: Vec<Array<'_>> = set
            .columns
            .iter()
            .enumerate()
            .map(|(at, column)| Array::of(column.holds, rows, at))
            .collect();
        let parameters: Vec<&(dyn ToSql + Sync)> = arrays.iter().map(Array::parameter).collect();
        self.tx.execute(&statement, &parameters).map(drop).map_err(failed)
    }

    fn add_all(&mut self, add: &AddStatement, rows: &[(&str, i64)]) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        let statement = self.prepared(&add.in_arrays())?;
        let (keys, by): (Vec<&str>, Vec<i64>) = rows.iter().copied().unzip();
        self.tx.execute(&statement, &[&keys, &by]).map(drop).map_err(failed)
    }
}

/// A column of rows that are written together.
enum Array<'a> {
    Ints(Vec<Option<i64>>),
    Texts(Vec<Option<&'a str>>),
    Bytes(Vec<Option<&'a [u8]>>),
}

impl<'a> Array<'a> {
    fn of(holds: Holds, rows: &'a [Vec<Value>], at: usize) -> Self {
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

fn parameters(values: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    values.iter().map(|value| value as &(dyn ToSql + Sync)).collect()
}

type BoxedError = Box<dyn Error + Sync + Send>;

impl ToSql for Value {
    fn to_sql(&self, ty: &Type, out: &mut postgres::types::private::BytesMut) -> Result<IsNull, BoxedError> {
        match self {
            Value::Null => Ok(IsNull::Yes),
            Value::Int(number) => number.to_sql(ty, out),
            Value::Text(text) => text.to_sql(ty, out),
            Value::Bytes(bytes) => bytes.to_sql(ty, out),
        }
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::INT8 | Type::TEXT | Type::BYTEA)
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Value {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, BoxedError> {
        Ok(match *ty {
            Type::INT8 => Value::Int(i64::from_sql(ty, raw)?),
            Type::BYTEA => Value::Bytes(Vec::from_sql(ty, raw)?),
            _ => Value::Text(String::from_sql(ty, raw)?),
        })
    }

    fn from_sql_null(_ty: &Type) -> Result<Self, BoxedError> {
        Ok(Value::Null)
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::INT8 | Type::TEXT | Type::BYTEA)
    }
}

fn failed(error: postgres::Error) -> StoreError {
    let cause = |error: &postgres::Error| {
        let inner = error.source().map(|source| format!(": {source}"));
        format!("{error}{}", inner.unwrap_or_default())
    };
    let Some(state) = error.code() else {
        return match error.is_closed() || error.source().is_some_and(|source| source.is::<std::io::Error>()) {
            true => StoreError::Unavailable(cause(&error)),
            false => StoreError::Broken(cause(&error)),
        };
    };
    // Classes of SQLSTATE: 23 is a constraint, RAISE in a trigger is P0001; what is wrong with a statement is ours.
    match &state.code()[..2] {
        "23" | "P0" => StoreError::Constraint(cause(&error)),
        "42" | "22" => StoreError::Broken(cause(&error)),
        _ if *state == SqlState::FEATURE_NOT_SUPPORTED => StoreError::Broken(cause(&error)),
        _ => StoreError::Unavailable(cause(&error)),
    }
}
