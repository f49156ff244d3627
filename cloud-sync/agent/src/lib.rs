//! `holdfast-sync`: carries a station's journal to head office, and what head office says to the station.
//! It faces the WAN, so it holds nothing but the key of its own connection: it can neither make money nor have a journal
//! pruned.
//!
//! | module | holds |
//! |---|---|
//! | [`cli`], [`config`] | what a person types and sets |
//! | [`enrol`] | how this box gets its place at head office |
//! | [`status`] | how far it is, for people and monitoring |
//! | [`courier`] | what to send, fetch and hand on, and when; without I/O |
//! | `urgency` | which entries do not wait for company |
//! | [`station`] | what is asked of the station, through a socket of its own |
//! | [`mod@line`] | one connection to head office's broker |
//! | `live` | live frames of orders that somebody watches |
//! | [`run`] | the shell around the courier |

pub mod cli;
pub mod config;
pub mod courier;
pub mod enrol;
pub mod line;
mod live;
pub mod run;
pub mod station;
pub mod status;
mod urgency;
