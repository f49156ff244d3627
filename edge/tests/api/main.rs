//! The HTTP API over real sockets: a station on a real database with its loop and listeners, and piles played by hand.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

mod access;
mod answers;
mod bench;
mod bills;
mod corrections;
mod desk;
mod directives;
mod energy;
mod estimates;
mod front;
mod journal;
mod live;
mod money;
mod orders;
mod pages;
mod piles;
mod quarantine;
mod recovering;
mod requests;
mod shapes;
mod sync;
