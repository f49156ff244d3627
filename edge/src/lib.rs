//! The station daemon.

pub mod api;
pub mod clock;
pub mod config;
pub mod credentials;
pub mod gate;
pub mod hub;
pub mod station;
mod steps;
pub mod store;
