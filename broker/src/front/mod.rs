//! The front door: from an accepted socket to a session, and the packets in between.
//! Nothing here trusts the peer: time, bytes, packets and connections are all counted.

pub(crate) mod accept;
mod connection;
pub(crate) mod limits;
mod login;
mod partial;
pub(crate) mod refusals;
mod subscribing;
