//! The rules of a charging station, and nothing else.

pub mod ids;
pub mod messages;
pub mod rating;
pub mod tariff;
pub mod time;
pub mod topics;
pub mod units;
