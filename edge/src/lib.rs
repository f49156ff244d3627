//! The station daemon: the pure rules of `domain` with a broker, a disk, clocks and an API around them.
//!
//! | module | holds |
//! |---|---|
//! | [`daemon`] | all of it put together, and taken apart again in order |
//! | [`station`] | the single-writer loop, and the way in to it |
//! | [`store`] | redb: tables, one commit, snapshots |
//! | [`gate`] | the door for piles: MQTT messages in, commands out |
//! | [`tls`] | certificates: the station's, the piles', and whose are believed |
//! | [`api`], [`hub`] | HTTP and WebSockets; the latest live frame of every order |
//! | [`cli`], [`config`] | what a person types and sets |
//! | [`clock`], [`credentials`] | the two clocks; secrets and tokens |
//! | [`disk`] | how much room is left, and the reserve |
//!
//! *Architecture Invariant:* only [`store`] names redb, and no effect is seen before the commit that holds its facts.

pub mod api;
pub mod cli;
pub mod clock;
pub mod config;
pub mod credentials;
pub mod daemon;
pub mod disk;
pub mod gate;
pub mod hub;
mod log;
mod open_files;
#[cfg(test)]
mod own_path;
mod retention;
pub mod station;
mod steps;
pub mod store;
pub mod tls;
mod words;
