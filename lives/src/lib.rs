//! What stands around a station, simulated. [`pile`] is a pile from its meter to its MQTT client, that speaks the contract well or badly;
//! [`world`] is a whole station's life in virtual time, and that of three with a head office. Everything random comes from a
//! [`seed::Seed`].
//!
//! A package of its own because it is built otherwise than other tests: with more optimization, as lives are many.

pub mod pile;
pub mod seed;
pub mod world;
