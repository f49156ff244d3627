//! Channels' bills held against credits, on SQLite and on PostgreSQL: each class by its smallest example, runs that meet or are cut off,
//! plans that the databases go by, and many days by chance against a generator that knows the truth.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

mod classes;
#[allow(dead_code, reason = "the tests of the store use more of it")]
#[path = "../store/cluster.rs"]
mod cluster;
mod payouts;
mod plans;
#[allow(dead_code, reason = "the tests of alerts use more of it")]
#[path = "../alerts/receiver.rs"]
mod receiver;
mod reports;
mod reports_sent;
mod rules;
mod runs;
#[allow(dead_code, reason = "the tests of alerts use more of it")]
#[path = "../alerts/sink.rs"]
mod sink;
mod site_reports;
mod sites;
mod suspense;
mod truth;
mod workflow;
mod world;

/// Each test on both databases.
macro_rules! on_both {
    ($($test:ident)*) => {
        mod on_sqlite { $(#[test] fn $test() { super::$test(&crate::world::World::sqlite()); })* }
        mod on_postgresql { $(#[test] fn $test() { super::$test(&crate::world::World::postgresql()); })* }
    };
}

pub(crate) use on_both;
