//! Alerts: begun, ended and told once, whichever process does it; what members are told, and the mini-program's back end of it; and
//! real servers of webhooks and of mail that are told. Time stands still unless a test moves it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

#[allow(dead_code, reason = "the tests of the store use more of it")]
#[path = "../store/cluster.rs"]
mod cluster;
mod delivery;
mod kept;
mod mail;
mod place;
mod receiver;
#[allow(dead_code, reason = "the tests of reports use more of it")]
mod sink;
mod webhook;
