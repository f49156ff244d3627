//! `holdfast-sync`: carries a station's journal to head office, and what head office says to the station.
//! It faces the WAN, so it holds nothing but the key of its own connection: it can neither make money nor have a journal
//! pruned.
//!
//! - `courier`: what to send, fetch and hand on, and when; without I/O.
//! - `urgency`: which entries do not wait for company.

pub mod courier;
mod urgency;
