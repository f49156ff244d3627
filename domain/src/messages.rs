//! What piles and the station say to each other, as JSON (pile contract v1).
//!
//! Reading requires only what money needs: an optional field that cannot be read is dropped and named in [`Unread`], and
//! the message counts without it. Unknown fields are ignored.
//!
//! | file | holds |
//! |---|---|
//! | `up`, `record` | what a pile says, as types |
//! | `read` | bytes to types: strictly first, and leniently where that fails |
//! | `lenient` | what each kind of message needs, and what may be missing |
//! | `object` | one JSON object, field by field |
//! | `down` | what the station says |

mod down;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod lenient;
mod object;
mod read;
mod record;
#[cfg(test)]
mod tests;
mod up;

pub use down::{Ack, AckResult, CommandKind, CommandMessage, Down, PriceEntry, PriceMessage, TimeMessage};
pub use read::{Malformed, read_up, read_without_kind};
pub use record::{BufferedSample, Digest, Periods, Record, Signed, StopCode, StopReason};
pub use up::{
    Boot, BootConnector, Common, ConnectorReport, ConnectorStatus, Event, EventKind, Heartbeat, Reply, Swipe, Unread,
    UnreadField, Up, UpMessage,
};

use crate::units::Power;

/// The largest message a pile may send, in bytes.
pub const PAYLOAD_BYTES_MAX: usize = 256 * 1024;
/// The most buffered readings of one record that are read.
pub const SAMPLES_MAX: usize = 500;
/// The most connectors on one pile.
pub const CONNECTORS_MAX: usize = 32;
/// The most fault texts of one connector in a heartbeat that are read.
pub const FAULTS_MAX: usize = 16;
/// The longest free text (vendor, model, reason, fault) that is kept, in characters.
pub const TEXT_CHARS_MAX: usize = 200;
/// The most that a connector can deliver, in watts: 4,000 kW. Megawatt charging (MCS) ends at 3,750 kW; what is above
/// was written in watts.
pub const POWER_MAX: Power = Power(4_000_000);
/// The highest voltage that is believed. MCS ends at 1,250 V.
pub const VOLTS_MAX: f64 = 2_000.0;
/// The highest current that is believed, in either direction. MCS ends at 3,000 A.
pub const AMPERES_MAX: f64 = 5_000.0;
/// The temperatures at a plug that are believed, in degrees Celsius.
pub const CELSIUS: std::ops::RangeInclusive<f64> = -60.0..=200.0;
/// The most unreadable fields that are kept of one message.
pub const UNREAD_FIELDS_MAX: usize = 32;
/// The most that is kept of one unreadable field, in bytes: a signed reading fits.
pub const UNREAD_FIELD_BYTES_MAX: usize = 4_096;
/// The most that is kept of all unreadable fields of one message, in bytes.
pub const UNREAD_BYTES_MAX: usize = 8_192;
