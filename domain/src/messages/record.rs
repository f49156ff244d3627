//! A session's final statement by the pile, and the words for why it ended.
//! Its JSON is hashed to tell records apart: the form of a field that exists never changes.

use crate::{
    ids::{BootId, CardId, ConnectorNo, OrderId},
    journal::Hash,
    json,
    time::Wall,
    units::Energy,
};
use serde::{Deserialize, Serialize};
use std::sync::OnceLock;

/// `record`: the pile's own final statement of a session (交易记录).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Ours, or `off-…` made up by the pile.
    pub order_id: OrderId,
    /// Where.
    pub connector: ConnectorNo,
    /// When it began by the pile's clock; `null` where it has none.
    #[serde(deserialize_with = "Option::deserialize")]
    pub start_ts: Option<Wall>,
    /// When it ended by the pile's clock.
    #[serde(deserialize_with = "Option::deserialize")]
    pub stop_ts: Option<Wall>,
    /// When it began by the pile's uptime; 0 where it could not be read.
    pub start_mono_ms: u64,
    /// When it ended by the pile's uptime; 0 where it could not be read.
    pub stop_mono_ms: u64,
    /// The register at the start.
    pub meter_start_kwh: Energy,
    /// The register at the end.
    pub meter_stop_kwh: Energy,
    /// Why it ended.
    #[serde(deserialize_with = "json::object")]
    pub reason: StopReason,
    /// Whether it ran without the station.
    #[serde(default)]
    pub offline: bool,
    /// State of charge at the start, in per cent.
    #[serde(default)]
    pub soc_start: Option<u8>,
    /// State of charge at the end, in per cent.
    #[serde(default)]
    pub soc_stop: Option<u8>,
    /// Buffered readings in time order.
    #[serde(default, deserialize_with = "json::objects", skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<BufferedSample>,
    /// The pile's own split over the tariff periods.
    #[serde(
        default,
        deserialize_with = "json::optional_object",
        skip_serializing_if = "Option::is_none"
    )]
    pub periods: Option<Periods>,
    /// The card, if one started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card_id: Option<CardId>,
    /// A signed meter reading, kept as it came.
    #[serde(
        default,
        deserialize_with = "json::optional_object",
        skip_serializing_if = "Option::is_none"
    )]
    pub signed: Option<Signed>,
    /// The start of the pile in which the session was, whose uptime and clock its times are by. The envelope's `boot_id`
    /// is that of the message, which may be sent after another start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_boot_id: Option<BootId>,
}

impl Record {
    /// What the register counted; negative if it ran backwards.
    pub fn energy(&self) -> Energy {
        self.meter_stop_kwh - self.meter_start_kwh
    }

    /// Its start and end by the pile's uptime in milliseconds, if it says both: no session runs in the instant of a boot, so
    /// 0 stands for what a pile does not count, or what could not be read.
    pub fn uptime(&self) -> Option<(u64, u64)> {
        (self.start_mono_ms > 0 && self.stop_mono_ms > 0).then_some((self.start_mono_ms, self.stop_mono_ms))
    }
}

/// What a record's content is known by. Whether it fits, whether it was put aside and what its order keeps of it all ask for
/// this, and to work it out takes as long as all the rest: it is done once a message.
#[derive(Debug, Clone, Default)]
pub struct Digest(OnceLock<String>);

/// It follows from the record beside it, asked for or not.
impl PartialEq for Digest {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Digest {
    /// SHA-256 of its content, hex. Two records with the same content have the same digest; the envelope (`msg_id`, `seq`,
    /// `ts`) is not content.
    pub(crate) fn of(&self, record: &Record) -> &str {
        self.0.get_or_init(|| {
            let bytes = serde_json::to_vec(record).expect("a record has string keys and no failing serializer");
            Hash::of(&bytes).to_string()
        })
    }
}

/// A reading that the pile kept while nobody was listening.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BufferedSample {
    /// By the pile's clock.
    #[serde(deserialize_with = "Option::deserialize")]
    pub ts: Option<Wall>,
    /// By the pile's uptime.
    pub mono_ms: u64,
    /// The register.
    pub meter_kwh: Energy,
}

/// Energy per tariff period as the pile claims it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Periods {
    /// 尖
    #[serde(default)]
    pub sharp_kwh: Energy,
    /// 峰
    #[serde(default)]
    pub peak_kwh: Energy,
    /// 平
    #[serde(default)]
    pub flat_kwh: Energy,
    /// 谷
    #[serde(default)]
    pub valley_kwh: Energy,
}

/// A signed reading, for instance OCMF; Holdfast keeps it and does not interpret it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// For instance `OCMF`.
    pub format: String,
    /// The signed text.
    pub data: String,
}

/// Why a session ended: a code of the contract and the pile's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopReason {
    /// See [`StopCode`].
    pub code: u16,
    /// The pile's words.
    #[serde(default)]
    pub text: String,
}

/// The reason codes of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopCode {
    /// 0
    UserStopped,
    /// 1 (S03 §3.1: `0x01 FAULT`)
    Fault,
    /// 2
    EmergencyStop,
    /// 3
    Insulation,
    /// 4
    Unplugged,
    /// 5
    OverTemperature,
    /// 6
    PowerLost,
    /// 7
    Full,
    /// 8
    LimitReached,
    /// 9
    RemoteStop,
    /// 10
    StartFailed,
    /// 255 and any code the contract does not name.
    Other,
}

impl StopReason {
    /// The code for what the contract does not name.
    pub const OTHER: u16 = 255;

    /// The code of a reason that is missing or cannot be read.
    pub(super) const UNKNOWN: u16 = 255;

    /// The contract's name for the code.
    pub fn meaning(&self) -> StopCode {
        match self.code {
            0 => StopCode::UserStopped,
            1 => StopCode::Fault,
            2 => StopCode::EmergencyStop,
            3 => StopCode::Insulation,
            4 => StopCode::Unplugged,
            5 => StopCode::OverTemperature,
            6 => StopCode::PowerLost,
            7 => StopCode::Full,
            8 => StopCode::LimitReached,
            9 => StopCode::RemoteStop,
            10 => StopCode::StartFailed,
            _ => StopCode::Other,
        }
    }

    /// Whether the driver is told that charging ended abnormally (S03 §3.1).
    pub fn is_abnormal(&self) -> bool {
        match self.meaning() {
            StopCode::Fault
            | StopCode::EmergencyStop
            | StopCode::Insulation
            | StopCode::Unplugged
            | StopCode::OverTemperature
            | StopCode::PowerLost
            | StopCode::StartFailed
            | StopCode::Other => true,
            StopCode::UserStopped | StopCode::Full | StopCode::LimitReached | StopCode::RemoteStop => false,
        }
    }
}
