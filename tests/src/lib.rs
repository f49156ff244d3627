//! The world around a station, simulated: piles that speak the contract, well or badly, and whatever else tests need.
//! [`world`] is a whole station's life in virtual time.
//! [`station`] is a daemon as a process, and [`fault`] what may befall one. [`pile`] is a pile from its meter to its MQTT
//! client; everything random in it comes from a [`seed::Seed`]. [`display`] is whoever watches, [`mod@line`] is head office
//! played by hand, and [`head_office`] the real one, [`relay`] the way there; [`books`] holds
//! both books against each other, [`back_end`] is who drivers and channels ask it by.

pub mod back_end;
pub mod books;
pub mod display;
pub mod fault;
pub mod hand;
pub mod head_office;
pub mod history;
pub mod line;
pub mod pile;
pub mod relay;
pub mod seed;
pub mod station;
pub mod world;
