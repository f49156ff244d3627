//! Rows of one table that are written together: one statement for all of them, made once.

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

    fn tail(&self) -> String {
        let keys: Vec<&str> = self.columns[..self.keys].iter().map(|column| column.name).collect();
        let keys = keys.join(", ");
        match self.present {
            Present::Refuse => String::new(),
            Present::Keep => format!(" ON CONFLICT ({keys}) DO NOTHING"),
            Present::Replace => {
                let set = |column: &Column| format!("{0} = excluded.{0}", column.name);
                let sets: Vec<String> = self.columns[self.keys..].iter().map(set).collect();
                format!(" ON CONFLICT ({keys}) DO UPDATE SET {}", sets.join(", "))
            }
        }
    }

    /// For one row, with `?1` and so on.
    pub(super) fn row_by_row(&self) -> String {
        let places: Vec<String> = (1..=self.columns.len()).map(|n| format!("?{n}")).collect();
        let (table, names, places, tail) = (self.table, self.names(), places.join(", "), self.tail());
        format!("INSERT INTO {table} ({names}) VALUES ({places}){tail}")
    }

    /// For all rows, with an array for each column.
    pub(super) fn in_arrays(&self) -> String {
        let array = |(n, column): (usize, &Column)| {
            let holds = match column.holds {
                Holds::Int => "int8",
                Holds::Text => "text",
                Holds::Bytes => "bytea",
            };
            format!("${}::{holds}[]", n + 1)
        };
        let arrays: Vec<String> = self.columns.iter().enumerate().map(array).collect();
        let (table, names, arrays, tail) = (self.table, self.names(), arrays.join(", "), self.tail());
        format!("INSERT INTO {table} ({names}) SELECT * FROM unnest({arrays}){tail}")
    }
}

/// A number of a row that is added to. An upsert would not do: a CHECK looks at what it would insert, and a part that is taken
/// away is below zero.
#[derive(Debug)]
pub struct AddStatement {
    /// The table.
    pub table: &'static str,
    /// The column, a text, that tells its rows apart.
    pub key: &'static str,
    /// The number.
    pub column: &'static str,
}

impl AddStatement {
    /// For one row: the key, and what is added.
    pub(super) fn row_by_row(&self) -> String {
        let Self { table, key, column } = self;
        format!("UPDATE {table} SET {column} = {column} + ?2 WHERE {key} = ?1")
    }

    /// For all rows, with an array of keys and one of what is added.
    pub(super) fn in_arrays(&self) -> String {
        let Self { table, key, column } = self;
        format!(
            "UPDATE {table} SET {column} = {table}.{column} + more.by FROM unnest($1::text[], $2::int8[]) AS more (id, by) \
             WHERE {table}.{key} = more.id"
        )
    }
}
