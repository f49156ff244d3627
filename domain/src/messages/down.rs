//! What the station says to a pile: commands, answers, the time and the day's prices.

use crate::{
    ids::{CommandId, ConnectorNo, MsgId, OrderId, TariffId},
    tariff::{PeriodKind, PriceRow},
    time::Wall,
    topics::DownKind,
    units::{Energy, Fen, Price},
};
use serde::{Deserialize, Serialize};

/// A message to a pile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Down {
    /// Do something once.
    Command(CommandMessage),
    /// A message of yours is on disk.
    Ack(Ack),
    /// The station's time.
    Time(TimeMessage),
    /// Today's prices; retained.
    Price(PriceMessage),
}

impl Down {
    /// Where it goes.
    pub fn kind(&self) -> DownKind {
        match self {
            Down::Command(_) => DownKind::Command,
            Down::Ack(_) => DownKind::Ack,
            Down::Time(_) => DownKind::Time,
            Down::Price(_) => DownKind::Price,
        }
    }

    /// The JSON text.
    pub fn to_json(&self) -> Vec<u8> {
        match self {
            Down::Command(message) => serde_json::to_vec(message),
            Down::Ack(message) => serde_json::to_vec(message),
            Down::Time(message) => serde_json::to_vec(message),
            Down::Price(message) => serde_json::to_vec(message),
        }
        .expect("these messages have string keys and no failing serializer")
    }
}

/// `command`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandMessage {
    /// A pile acts on an id once.
    pub command_id: CommandId,
    /// What to do.
    pub kind: CommandKind,
    /// For how long, in milliseconds, counted from receipt.
    pub ttl_ms: u64,
    /// The session.
    pub order_id: OrderId,
    /// The connector.
    pub connector: ConnectorNo,
    /// `start`, `limit`: stop by yourself at this fee.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_fee: Option<Fen>,
    /// `start`, `limit`: stop by yourself at this energy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_kwh: Option<Energy>,
    /// `start`: the day's prices, so that a pile on its own can count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prices: Vec<PriceEntry>,
}

/// What a command asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandKind {
    /// Begin the session.
    Start,
    /// End the session.
    Stop,
    /// New limits.
    Limit,
    /// Send the session's record again.
    RequestRecord,
    /// Restart.
    Reboot,
}

impl CommandKind {
    /// The word on the wire.
    pub fn word(self) -> &'static str {
        match self {
            CommandKind::Start => "start",
            CommandKind::Stop => "stop",
            CommandKind::Limit => "limit",
            CommandKind::RequestRecord => "request_record",
            CommandKind::Reboot => "reboot",
        }
    }
}

/// One row of a price table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PriceEntry {
    /// Site-local time of day, `HH:MM`.
    pub from: String,
    /// The period.
    pub kind: PeriodKind,
    /// Electricity and service together.
    pub price_per_kwh: Price,
}

impl From<PriceRow> for PriceEntry {
    fn from(row: PriceRow) -> Self {
        Self {
            from: row.from,
            kind: row.kind,
            price_per_kwh: row.price_per_kwh,
        }
    }
}

/// `ack`: the message with this id is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// Which message; `null` where none could be read.
    pub msg_id: Option<MsgId>,
    /// What became of it. Every result means it is stored.
    pub result: AckResult,
    /// The order it was about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_id: Option<OrderId>,
    /// The fee, for a record that was settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fee: Option<Fen>,
    /// Words for the pile's log.
    pub detail: String,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AckResult {
    /// Acted on.
    Ok,
    /// Known already.
    Duplicate,
    /// A record of no known order; kept in quarantine.
    Orphan,
    /// Understood and not acted on; `detail` says why.
    Rejected,
    /// Could not be read; `detail` names the field.
    Malformed,
}

/// `time`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeMessage {
    /// The station's time.
    pub ts: Wall,
}

/// `price`: today's price table, retained, for the display.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PriceMessage {
    /// Always `CNY`.
    pub currency: String,
    /// The tariff version in force.
    pub tariff: TariffId,
    /// The day's rows.
    pub prices: Vec<PriceEntry>,
}
