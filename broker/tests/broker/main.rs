//! The broker over real sockets, mostly with packets written byte by byte: one test for each thing a peer may do.
//! One binary, so that it is linked once.

#![allow(clippy::unwrap_used, reason = "a test fails where it panics")]

mod bench;
mod durable;
mod fan_out;
mod front_door;
mod limits;
mod log;
mod real_clients;
mod revoked;
mod sessions;
mod tls;
