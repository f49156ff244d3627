//! What is read for people and programs, over all sites: pages of rows in one order, each begun where the one before ended.
//!
//! | file | holds |
//! |---|---|
//! | here | conditions, and pages |
//! | `bills` | files of channels' bills |
//! | `sites` | sites with what they last said of themselves |
//! | `orders` | orders, and what the journal has of one |
//! | `reconcile` | runs of reconciliation, and what they found |
//! | `reports` | what reports tell |
//! | `callbacks` | a channel's callbacks as they came |
//! | `payments` | what was paid and credits nobody, money that is long on the road |
//! | `rows` | members, piles, prices, quarantine, energy |
//! | `books` | accounts and transfers |
//! | `decided` | refunds and decisions on bills |
//! | `entries` | a journal, entry by entry |
//! | `stations` | sites as a driver looks for one |
//! | `statements` | a member's account over a time |

pub mod bills;
pub mod books;
pub mod callbacks;
pub mod decided;
pub mod entries;
pub mod orders;
pub mod payments;
pub mod reconcile;
pub mod reports;
pub mod rows;
pub mod sites;
pub mod statements;
pub mod stations;

use super::{Row, StoreError, Tx, Value};
use serde::de::DeserializeOwned;

/// Rows of a list, and whether there are more.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// They.
    pub items: Vec<T>,
    /// There are more after the last.
    pub more: bool,
}

impl<T> Page<T> {
    /// Of rows of which one more was asked for than a page has.
    pub(super) fn of(mut items: Vec<T>, limit: usize) -> Self {
        let more = items.len() > limit;
        items.truncate(limit);
        Self { items, more }
    }

    /// The last row, if there are more after it: where the next page begins.
    pub fn next_after(&self) -> Option<&T> {
        self.items.last().filter(|_| self.more)
    }
}

/// The conditions of a statement, whose values are counted as they come.
#[derive(Debug, Default)]
struct Filter {
    conditions: Vec<String>,
    values: Vec<Value>,
}

impl Filter {
    /// Only rows for which this holds; each `?` in it stands for one of the values.
    fn and<const N: usize>(&mut self, condition: &str, values: [Value; N]) {
        let mut values = values.into_iter();
        let mut numbered = String::new();
        for part in condition.split_inclusive('?') {
            match (part.strip_suffix('?'), values.next()) {
                (Some(before), Some(value)) => {
                    let place = self.place(value);
                    numbered.push_str(before);
                    numbered.push_str(&place);
                }
                _ => numbered.push_str(part),
            }
        }
        self.conditions.push(numbered);
    }

    /// The same, where there is a value.
    fn and_if(&mut self, condition: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.and(condition, [value.into()]);
        }
    }

    /// The place of a value.
    fn place(&mut self, value: Value) -> String {
        self.values.push(value);
        format!("${}", self.values.len())
    }

    /// `WHERE` and all conditions, or nothing.
    fn clause(&self) -> String {
        match self.conditions.is_empty() {
            true => String::new(),
            false => format!(" WHERE {}", self.conditions.join(" AND ")),
        }
    }

    /// A page of `columns` of a table, in this order.
    fn page<T>(
        mut self,
        tx: &mut dyn Tx,
        columns: &str,
        table: &str,
        order: &str,
        limit: usize,
        read: impl FnMut(Row) -> Result<T, StoreError>,
    ) -> Result<Page<T>, StoreError> {
        let most = self.place((limit as u64 + 1).into());
        let clause = self.clause();
        let statement = format!("SELECT {columns} FROM {table}{clause} ORDER BY {order} LIMIT {most}");
        let rows = tx.query(&statement, &self.values)?;
        let items = rows.into_iter().map(read).collect::<Result<Vec<T>, StoreError>>()?;
        Ok(Page::of(items, limit))
    }
}

/// A row in the station's own JSON.
fn parse<T: DeserializeOwned>(table: &str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Broken(format!("a row of {table}: {error}")))
}

/// A row of a site, with its id.
#[derive(Debug, Clone, PartialEq)]
pub struct OfSite<T> {
    /// Which site.
    pub site: String,
    /// The row.
    pub row: T,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_through_all_conditions() {
        let mut filter = Filter::default();
        assert_eq!(filter.clause(), "");
        filter.and("site = ?", ["s".into()]);
        filter.and_if("day = ?", None::<&str>);
        filter.and("(at, id) < (?, ?)", [7_i64.into(), "x".into()]);
        filter.and("open = 1", []);
        assert_eq!(filter.clause(), " WHERE site = $1 AND (at, id) < ($2, $3) AND open = 1");
        assert_eq!(filter.values, ["s".into(), Value::Int(7), "x".into()]);
    }
}
