//! What a station does, rule by rule, on a bench: one program, as each is linked with all of the station.

#![allow(clippy::unwrap_used, reason = "what a test cannot go on without fails it")]

#[path = "../bench/mod.rs"]
mod bench;
mod budget;
mod charging;
mod corrections;
mod desk;
mod energy;
mod estimates;
mod faults;
mod figures;
mod limits;
mod offline;
mod piles;
mod presence;
mod quarantine;
mod records;
mod registers;
mod seen;
mod starting;
mod station_clock;
mod unread_fields;
