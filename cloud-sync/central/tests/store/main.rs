//! The database of head office does the same in memory, in a file and on PostgreSQL; what each engine has of its own to fear is
//! in `postgres_faults` and `file`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

mod bills;
mod cluster;
mod earlier;
mod file;
mod line;
mod plans;
mod postgres_faults;
mod reconciliation;
mod rules;
mod sets;
mod speed;

use central::store::{Db, Place, Row, StoreError, Value};
use cluster::{Cluster, Folder};
use std::sync::Arc;

/// A place for a database, which goes with it.
pub(crate) struct Home {
    place: Place,
    _folder: Option<Folder>,
    _cluster: Option<Arc<Cluster>>,
}

impl Home {
    pub(crate) fn memory() -> Self {
        Self {
            place: Place::Memory,
            _folder: None,
            _cluster: None,
        }
    }

    pub(crate) fn file() -> Self {
        let folder = Folder::new("store");
        Self {
            place: Place::File(folder.path().join("central.sqlite")),
            _folder: Some(folder),
            _cluster: None,
        }
    }

    pub(crate) fn postgresql() -> Self {
        let cluster = Cluster::shared();
        Self {
            place: Place::Postgres(cluster.new_database()),
            _folder: None,
            _cluster: Some(cluster),
        }
    }

    pub(crate) fn open(&self) -> Db {
        Db::open(&self.place).unwrap()
    }
}

/// Each test in each place.
macro_rules! everywhere {
    ($($test:ident)*) => {
        mod memory { $(#[test] fn $test() { super::$test(&crate::Home::memory()); })* }
        mod file { $(#[test] fn $test() { super::$test(&crate::Home::file()); })* }
        mod postgresql { $(#[test] fn $test() { super::$test(&crate::Home::postgresql()); })* }
    };
}

/// Each test where something is on disk, and several connections see it.
macro_rules! on_disk {
    ($($test:ident)*) => {
        mod on_disk {
            mod file { $(#[test] fn $test() { super::super::$test(&crate::Home::file()); })* }
            mod postgresql { $(#[test] fn $test() { super::super::$test(&crate::Home::postgresql()); })* }
        }
    };
}

pub(crate) use {everywhere, on_disk};

/// Waits for it, on a runtime of its own.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(future)
}

pub(crate) fn execute(db: &Db, statement: &'static str, values: Vec<Value>) -> Result<u64, StoreError> {
    wait(db.write(move |tx| tx.execute(statement, &values)))
}

pub(crate) fn query(db: &Db, statement: &'static str) -> Vec<Row> {
    wait(db.read(move |tx| tx.query(statement, &[]))).unwrap()
}

pub(crate) fn number(db: &Db, statement: &'static str) -> i64 {
    query(db, statement)[0].int(0).unwrap()
}

pub(crate) fn is_constraint<T: std::fmt::Debug>(done: Result<T, StoreError>) {
    assert!(matches!(done, Err(StoreError::Constraint(_))), "{done:?}");
}

pub(crate) fn is_broken<T: std::fmt::Debug>(done: Result<T, StoreError>) {
    assert!(matches!(done, Err(StoreError::Broken(_))), "{done:?}");
}

pub(crate) fn is_unavailable<T: std::fmt::Debug>(done: Result<T, StoreError>) {
    assert!(matches!(done, Err(StoreError::Unavailable(_))), "{done:?}");
}

pub(crate) const ADD_TRANSFER: &str =
    "INSERT INTO transfer (id, debit, credit, amount, code, at) VALUES ($1, $2, $3, $4, 'TOPUP', 0)";
pub(crate) const ADD_STATE: &str = "INSERT INTO r_state (site, name, row) VALUES ($1, $2, $3)";

/// The values of a transfer that is as it must be.
pub(crate) fn transfer(id: &str) -> Vec<Value> {
    vec![id.into(), "clearing:wechat".into(), "wallet:m1".into(), 100_i64.into()]
}

/// The values of a row of `r_state`.
pub(crate) fn state(name: &str, row: &str) -> Vec<Value> {
    vec!["S1".into(), name.into(), row.into()]
}
