//! A simulated pile, from its meter to its MQTT client, that keeps the contract or breaks it as told.
//!
//! [`Pile`] is the pile itself, without I/O: a state machine that a virtual world can run by the thousand.
//! [`spawn`] puts one on a real MQTT connection and gives a [`PileHandle`] to it; `pile-sim` is a program around that.

mod behaviour;
mod clock;
mod connection;
mod event;
mod handle;
mod machine;
mod outbox;
mod prices;
mod session;
mod spec;
mod supply;
mod time;
pub mod wire;

pub use behaviour::{
    BEHAVIOURS, Behaviour, BehaviourHelp, InvalidBehaviour, MeterFault, read_behaviours, read_duration_ms,
};
pub use connection::{Station, TlsSetup, tls};
pub use event::{PileEvent, What};
pub use handle::{Events, NotSeen, PileHandle, spawn};
pub use machine::{Act, Body, Input, Output, Pile, Publish, Status};
pub use spec::{ClockAtPowerOn, ClockSpec, ConnectorSpec, Customers, Flash, PileSpec};
pub use supply::{Car, Supply};
pub use time::SimTime;
