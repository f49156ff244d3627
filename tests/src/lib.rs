//! The real programs as tests run them, and whatever else tests need. [`station`] is a daemon as a process, and [`fault`] what may befall
//! one; [`display`] is whoever watches, [`mod@line`] is head office played by hand, and [`head_office`] the real one, [`relay`] the way
//! there; [`books`] holds both books against each other, [`back_end`] is who drivers and channels ask it by.
//!
//! Piles, and whole lives in virtual time, are the package `lives`.

pub mod back_end;
pub mod books;
pub mod display;
pub mod fault;
pub mod hand;
pub mod head_office;
pub mod history;
pub mod line;
pub mod relay;
pub mod station;

pub use lives::{pile, seed, world};
