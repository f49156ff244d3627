//! Head office's copy of stations that the domain itself runs, on SQLite and on PostgreSQL: what is checked of it, how it is
//! looked after, and how fast it is.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

mod at_the_desk;
#[path = "../../../../domain/tests/bench/mod.rs"]
mod bench;
mod books;
mod clocks;
#[path = "../store/cluster.rs"]
#[allow(dead_code, reason = "the store's tests stop and kill it, these do not")]
mod cluster;
mod days;
mod desk;
mod enrolment;
mod forgotten;
mod fork;
#[path = "../../../../domain/tests/replay/happens.rs"]
#[allow(dead_code, reason = "the domain's tests name the piles of it, these do not")]
mod happens;
mod head_office;
mod journal;
mod leases;
mod members;
mod moving;
mod opening;
mod rating;
mod speed;
mod stands_still;
#[path = "../../../../domain/tests/replay/told.rs"]
mod told;
mod upkeep;

/// Each test in each place where a head office can have its database.
macro_rules! everywhere {
    ($($test:ident)*) => {
        mod memory { $(#[test] fn $test() { super::$test(&crate::head_office::HeadOffice::in_memory()); })* }
        mod file { $(#[test] fn $test() { super::$test(&crate::head_office::HeadOffice::in_file()); })* }
        mod postgresql { $(#[test] fn $test() { super::$test(&crate::head_office::HeadOffice::on_postgresql()); })* }
    };
}

pub(crate) use everywhere;
