//! What a pile says, by kind, as the station holds it; `record` has a file of its own.

use super::{Digest, POWER_MAX, Record};
use crate::{
    fact::Raw,
    ids::{BootId, CardId, CommandId, ConnectorNo, MsgId, OrderId},
    json,
    time::Wall,
    units::{Energy, Power},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The fields that every message from a pile carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Common {
    /// New at each start of the pile.
    pub boot_id: BootId,
    /// Counts up within `boot_id`; 0 where it could not be read. Heartbeats need it: it decides which is the later one.
    pub seq: u64,
    /// Milliseconds since that start; 0 where it could not be read. Heartbeats need it.
    pub mono_ms: u64,
    /// The pile's own time; `None` where the pile has no clock, or one that was reset.
    #[serde(deserialize_with = "Option::deserialize")]
    pub ts: Option<Wall>,
    /// Names the message within `boot_id`; heartbeats have none.
    #[serde(default)]
    pub msg_id: Option<MsgId>,
}

/// A message from a pile, as the contract has it.
#[derive(Debug, Clone, PartialEq)]
pub struct UpMessage {
    /// The fields that every message carries.
    pub common: Common,
    /// What it says.
    pub body: Up,
    /// What of it could not be read and is not in `common` and `body`; `None` where all of it could.
    pub unread: Option<Box<Unread>>,
    /// What its content is known by, if it is a record.
    pub(crate) digest: Digest,
}

impl UpMessage {
    /// A message all of which could be read.
    pub fn new(common: Common, body: Up) -> Self {
        Self {
            common,
            body,
            unread: None,
            digest: Digest::default(),
        }
    }
}

/// Optional fields that could not be read, or that said what cannot be. The message counts without them; of a record they
/// are kept beside it.
///
/// What says nothing is no such field: one that is missing or `null`, and an optional id that is `""`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unread {
    /// The first [`super::UNREAD_FIELDS_MAX`]. A field whose text or list was too long stands here too: its beginning was
    /// read.
    pub fields: Vec<UnreadField>,
    /// How many there were, each entry of a list for itself.
    pub dropped: u32,
}

impl Unread {
    /// What it counts where it is kept, in bytes.
    pub fn bytes(&self) -> usize {
        let of_field = |field: &UnreadField| field.path.len() + field.raw.content().len();
        self.fields.iter().map(of_field).sum()
    }
}

/// One field that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnreadField {
    /// Where it stands in the message: `soc_stop`, `reason.code`, `samples[3]`.
    pub path: String,
    /// Its JSON as the pile wrote it: at most [`super::UNREAD_FIELD_BYTES_MAX`] of one field and
    /// [`super::UNREAD_BYTES_MAX`] of all.
    pub raw: Raw,
    /// How many bytes the pile wrote, where only the first of them are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut_from: Option<u32>,
}

impl UnreadField {
    /// Keeps at most `most` bytes of what was written, and says how many it keeps. A character is kept whole or not at all.
    pub(super) fn keep(path: String, written: &[u8], most: usize) -> (Self, usize) {
        let end = match std::str::from_utf8(written) {
            Ok(text) => text.floor_char_boundary(most),
            Err(_) => written.len().min(most),
        };
        let cut_from = (end < written.len()).then(|| u32::try_from(written.len()).unwrap_or(u32::MAX));
        let raw = Raw::of(&written[..end]);
        (Self { path, raw, cut_from }, end)
    }
}

/// What a message from a pile says, by kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Up {
    /// After every connect.
    Boot(Boot),
    /// Telemetry and status.
    Heartbeat(Heartbeat),
    /// The answer to a command.
    Reply(Reply),
    /// The final statement of a session.
    Record(Box<Record>),
    /// Something happened at a connector.
    Event(Event),
    /// A card was swiped.
    Card(Swipe),
}

/// `boot`: what the pile is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boot {
    /// Maker.
    pub vendor: String,
    /// Model.
    pub model: String,
    /// Firmware version.
    pub firmware: String,
    /// Its connectors.
    #[serde(deserialize_with = "json::objects")]
    pub connectors: Vec<BootConnector>,
}

/// One connector in a `boot`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootConnector {
    /// Counted from 1.
    pub no: ConnectorNo,
    /// The most it can deliver; `None` where that could not be read.
    #[serde(default)]
    pub max_kw: Option<Power>,
    /// Its register.
    pub meter_kwh: Energy,
    /// The session it is in, if any.
    #[serde(default)]
    pub order_id: Option<OrderId>,
}

impl Boot {
    /// Why this boot cannot be taken as it stands, with what to do about it; `None` where it can.
    ///
    /// Such a boot was understood, and must not be acted on: a maximum in watts would be held against every order's money,
    /// and of a connector that is listed twice nobody knows which register is its own.
    pub fn fault(&self) -> Option<String> {
        let mut seen = BTreeSet::new();
        self.connectors.iter().enumerate().find_map(|(i, connector)| {
            let no = connector.no;
            match connector.max_kw {
                _ if !seen.insert(no) => Some(format!(
                    "connectors[{i}].no: connector {no} is listed twice; list each connector once"
                )),
                Some(power) if power > POWER_MAX => Some(format!(
                    "connectors[{i}].max_kw: {power} kW is more than any connector delivers (at most {POWER_MAX} kW); \
                     write it in kW, not in W"
                )),
                Some(power) if power <= Power::ZERO => Some(format!(
                    "connectors[{i}].max_kw: {power} kW is not above zero; write the most that the connector can deliver"
                )),
                _ => None,
            }
        })
    }
}

impl BootConnector {
    /// Whether its register is read between sessions, where `occupied` says whether an order may be running there for all
    /// that the station knows. A pile that is in no session knows better.
    pub fn is_idle(&self, occupied: bool) -> bool {
        !occupied || self.order_id.is_none()
    }
}

/// `heartbeat`: how the connectors are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// All or some of the pile's connectors.
    #[serde(deserialize_with = "json::objects")]
    pub connectors: Vec<ConnectorReport>,
}

/// One connector in a `heartbeat`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConnectorReport {
    /// Counted from 1.
    pub no: ConnectorNo,
    /// What it is doing.
    pub status: ConnectorStatus,
    /// The session it is in.
    #[serde(default)]
    pub order_id: Option<OrderId>,
    /// Volts, from 0 to [`super::VOLTS_MAX`]; `None` where unknown.
    #[serde(default)]
    pub voltage_v: Option<f64>,
    /// Amperes, at most [`super::AMPERES_MAX`] either way; `None` where unknown.
    #[serde(default)]
    pub current_a: Option<f64>,
    /// The car's state of charge in per cent, from 0 to 100; `None` where unknown.
    #[serde(default)]
    pub soc_pct: Option<f64>,
    /// Degrees Celsius at the plug, within [`super::CELSIUS`]; `None` where unknown.
    #[serde(default)]
    pub temp_c: Option<f64>,
    /// Its register.
    pub meter_kwh: Energy,
    /// Fault texts, empty when all is well.
    #[serde(default)]
    pub faults: Vec<String>,
}

impl ConnectorReport {
    /// Volts × amperes; `None` where one of them is unknown.
    pub fn watts(&self) -> Option<f64> {
        Some(self.voltage_v? * self.current_a?)
    }
}

/// What a connector is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectorStatus {
    /// Nothing plugged in.
    Idle,
    /// Plugged, not charging.
    Plugged,
    /// Delivering energy.
    Charging,
    /// Done, still plugged.
    Finished,
    /// Broken.
    Fault,
    /// Out of use.
    Unavailable,
}

/// `reply`: the answer to a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// Which command.
    pub command_id: CommandId,
    /// Done, or not.
    pub ok: bool,
    /// The pile's own code for why not.
    #[serde(default)]
    pub code: i32,
    /// Words for people.
    #[serde(default)]
    pub message: String,
    /// The register at that moment, where the pile says it: where a session begins that was just started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meter_kwh: Option<Energy>,
}

/// `event`: something happened at a connector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Where.
    pub connector: ConnectorNo,
    /// What.
    pub kind: EventKind,
    /// The pile's own code.
    #[serde(default)]
    pub code: i32,
    /// The pile's words.
    #[serde(default)]
    pub text: String,
}

/// What happened at a connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A car was plugged in.
    Plugged,
    /// A car was unplugged.
    Unplugged,
    /// A fault.
    Fault,
    /// The fault is gone.
    FaultCleared,
    /// The emergency stop was pressed.
    Estop,
    /// The pile is about to restart.
    Reboot,
}

/// `card`: a swipe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Swipe {
    /// Where.
    pub connector: ConnectorNo,
    /// Which card.
    pub card_id: CardId,
}
