//! Keeping going: each bad state that a station gets into, brought about on a real daemon from outside, and what the
//! station owes everybody meanwhile. One file per bad state.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]
#![allow(clippy::print_stdout, reason = "what was measured is printed")]

mod clock;
mod connections;
mod disk;
mod flood;
mod played;
mod readers;
mod router;
mod watchdog;

use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);
/// How soon something is looked at again.
const AGAIN: Duration = Duration::from_millis(20);
