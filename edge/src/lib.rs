//! The station daemon: the pure rules of `domain` with a broker, a disk, clocks and an API around them.
//!
//! | module | holds |
//! |---|---|
//! | [`daemon`] | all of it put together, and taken apart again in order |
//! | [`station`] | the single-writer loop, and the way in to it |
//! | [`store`] | redb: tables, one commit, snapshots |
//! | [`gate`] | the door for piles and displays: MQTT messages in, commands out |
//! | [`displays`] | what price boards and other systems read: live frames and states on shared topics |
//! | [`api`], [`hub`] | HTTP and WebSockets; the latest live frame of every order |
//! | [`cli`], [`config`] | what a person types and sets |
//! | [`clock`], [`credentials`] | the two clocks; secrets and tokens |
//! | [`disk`] | how much room is left, and the reserve |
//! | [`head_office`] | keys, and what of head office's words is believed |
//! | `fuzz` | what must be so whatever bytes come, for `cargo xtask fuzz`; only with the feature of that name |
//!
//! What it shares with other daemons is in [`service`]: the front of the API, TLS, configuration files, systemd.
//!
//! *Architecture Invariant:* only [`store`] names redb, and no effect is seen before the commit that holds its facts.

pub mod api;
mod broker_counters;
pub mod cli;
pub mod clock;
pub mod config;
pub mod credentials;
pub mod daemon;
pub mod disk;
pub mod displays;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
pub mod gate;
pub mod head_office;
pub mod hub;
mod open_files;
#[cfg(test)]
mod own_path;
mod random;
mod retention;
pub mod station;
mod steps;
pub mod store;
mod words;
