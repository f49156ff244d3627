//! Members' money between head office and stations that the domain itself runs, on SQLite and on PostgreSQL: every rule of the line
//! between two books, and a small world of three sites in which anything may happen. After every commit at head office its books
//! are looked at whole.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

mod adjustments;
mod at_once;
#[path = "../../../../domain/tests/bench/mod.rs"]
mod bench;
mod closing;
#[path = "../store/cluster.rs"]
#[allow(dead_code, reason = "the store's tests stop and kill it, these do not")]
mod cluster;
mod company;
mod debts;
mod forgetting;
mod keys;
mod masters;
mod not_followed;
mod refunds;
mod statements;
mod travelling;
mod vouchers;
mod wallets;
mod world;

/// Each test on SQLite and on PostgreSQL.
macro_rules! on_both {
    ($($test:ident)*) => {
        mod on_sqlite { $(
            #[test]
            fn $test() { super::$test(crate::company::Company::sqlite()); }
        )* }
        mod on_postgresql { $(
            #[test]
            fn $test() { super::$test(crate::company::Company::postgresql()); }
        )* }
    };
}
pub(crate) use on_both;
