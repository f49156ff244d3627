//! Head office's HTTP API over real sockets, on SQLite and on a PostgreSQL that the tests start. What it shows has come in by the
//! real ingest, from journals that the station's own code wrote.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

mod access;
mod asked;
mod audit;
#[path = "../../../../domain/tests/bench/mod.rs"]
mod bench;
#[allow(dead_code, reason = "the tests of the store use more of it")]
#[path = "../store/cluster.rs"]
mod cluster;
mod document;
mod lists;
mod machines;
mod office;
mod people;
mod station;

/// Each test on SQLite and on PostgreSQL.
macro_rules! on_both {
    ($($test:ident)*) => {
        mod sqlite { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() { super::$test(crate::office::Office::sqlite().await).await; }
        )* }
        mod postgresql { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() { super::$test(crate::office::Office::postgresql().await).await; }
        )* }
    };
}

pub(crate) use on_both;
