//! What piles and the station say to each other, as JSON (pile contract v1).
//! Reading is exact and forgiving about what is extra, strict about what is missing.

use crate::{
    ids::{BootId, CardId, CommandId, ConnectorNo, MsgId, OrderId},
    tariff::{PeriodKind, PriceRow},
    time::Wall,
    topics::UpKind,
    units::{Energy, Fen, Power, Price},
};
use serde::{Deserialize, Deserializer, Serialize};

/// The largest message a pile may send, in bytes.
pub const PAYLOAD_BYTES_MAX: usize = 256 * 1024;
/// The most buffered readings in one record.
pub const SAMPLES_MAX: usize = 500;
/// The most connectors on one pile.
pub const CONNECTORS_MAX: usize = 32;
/// The most fault texts of one connector in a heartbeat.
pub const FAULTS_MAX: usize = 16;
/// The longest free text (vendor, model, reason, fault) that is kept, in characters.
pub const TEXT_CHARS_MAX: usize = 200;

/// The fields that every message from a pile carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Common {
    /// New at each start of the pile.
    pub boot_id: BootId,
    /// Counts up within `boot_id`.
    pub seq: u64,
    /// Milliseconds since that start.
    pub mono_ms: u64,
    /// The pile's own time; `null` where the pile has no clock.
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
    pub connectors: Vec<BootConnector>,
}

/// One connector in a `boot`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootConnector {
    /// Counted from 1.
    pub no: ConnectorNo,
    /// The most it can deliver.
    pub max_kw: Power,
    /// Its register.
    pub meter_kwh: Energy,
    /// The session it is in, if any.
    #[serde(default)]
    pub order_id: Option<OrderId>,
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
    /// Volts.
    pub voltage_v: f64,
    /// Amperes.
    pub current_a: f64,
    /// The car's state of charge in per cent.
    #[serde(default)]
    pub soc_pct: Option<f64>,
    /// Degrees Celsius at the plug.
    #[serde(default)]
    pub temp_c: Option<f64>,
    /// Its register.
    pub meter_kwh: Energy,
    /// Fault texts, empty when all is well.
    #[serde(default)]
    pub faults: Vec<String>,
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
}

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
    /// When it began by the pile's uptime.
    pub start_mono_ms: u64,
    /// When it ended by the pile's uptime.
    pub stop_mono_ms: u64,
    /// The register at the start.
    pub meter_start_kwh: Energy,
    /// The register at the end.
    pub meter_stop_kwh: Energy,
    /// Why it ended.
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
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<BufferedSample>,
    /// The pile's own split over the tariff periods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub periods: Option<Periods>,
    /// The card, if one started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card_id: Option<CardId>,
    /// A signed meter reading, kept as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
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

/// A message that could not be read, and where the fault is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {detail}")]
pub struct Malformed {
    /// The message's id, where it could be read: the `ack` needs it.
    pub msg_id: Option<MsgId>,
    /// The boot it belongs to, where it could be read.
    pub boot_id: Option<BootId>,
    /// The field, for instance `connectors[0].meter_kwh`; `.` for the message as a whole.
    pub path: String,
    /// What is wrong with it.
    pub detail: String,
}

/// Reads one message of `kind`.
///
/// Fails with the field's path when a required field is missing or of the wrong type, when a number has more places
/// than the contract allows, or when a list or text is longer than the contract allows. Unknown fields are ignored.
pub fn read_up(kind: UpKind, payload: &[u8]) -> Result<UpMessage, Malformed> {
    if payload.len() > PAYLOAD_BYTES_MAX {
        return Err(malformed(
            payload,
            ".",
            &format!("longer than {PAYLOAD_BYTES_MAX} bytes"),
        ));
    }
    let common: Common = read(payload)?;
    if kind != UpKind::Heartbeat && common.msg_id.is_none() {
        return Err(malformed(payload, "msg_id", "missing field `msg_id`"));
    }
    let body = match kind {
        UpKind::Boot => Up::Boot(read(payload)?),
        UpKind::Heartbeat => Up::Heartbeat(read(payload)?),
        UpKind::Reply => Up::Reply(read(payload)?),
        UpKind::Record => Up::Record(read(payload)?),
        UpKind::Event => Up::Event(read(payload)?),
        UpKind::Card => Up::Card(read(payload)?),
    };
    check(&body).map_err(|(path, detail)| malformed(payload, &path, &detail))?;
    Ok(UpMessage { common, body })
}

fn read<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Result<T, Malformed> {
    // Most messages are well-formed. Following the path to a fault costs as much as reading, so it is followed when
    // there is one.
    if let Ok(read) = serde_json::from_slice(payload) {
        return Ok(read);
    }
    let mut json = serde_json::Deserializer::from_slice(payload);
    serde_path_to_error::deserialize(&mut json)
        .map_err(|error| malformed(payload, &error.path().to_string(), &error.inner().to_string()))
}

/// What types cannot say: lengths, counts and signs.
fn check(body: &Up) -> Result<(), (String, String)> {
    let text = |path: &str, text: &str| {
        if text.chars().count() > TEXT_CHARS_MAX {
            Err((path.to_owned(), format!("longer than {TEXT_CHARS_MAX} characters")))
        } else {
            Ok(())
        }
    };
    let connector = |path: String, no: ConnectorNo| {
        if no.0 == 0 {
            Err((path, "connectors are counted from 1".to_owned()))
        } else {
            Ok(())
        }
    };
    let register = |path: String, register: Energy| {
        if register.is_negative() {
            Err((path, "a register is never negative".to_owned()))
        } else {
            Ok(())
        }
    };
    match body {
        Up::Boot(boot) => {
            text("vendor", &boot.vendor)?;
            text("model", &boot.model)?;
            text("firmware", &boot.firmware)?;
            count("connectors", boot.connectors.len(), CONNECTORS_MAX)?;
            for (i, c) in boot.connectors.iter().enumerate() {
                connector(format!("connectors[{i}].no"), c.no)?;
                register(format!("connectors[{i}].meter_kwh"), c.meter_kwh)?;
                if c.max_kw.0 <= 0 {
                    return Err((format!("connectors[{i}].max_kw"), "must be above zero".to_owned()));
                }
            }
        }
        Up::Heartbeat(heartbeat) => {
            count("connectors", heartbeat.connectors.len(), CONNECTORS_MAX)?;
            for (i, c) in heartbeat.connectors.iter().enumerate() {
                connector(format!("connectors[{i}].no"), c.no)?;
                register(format!("connectors[{i}].meter_kwh"), c.meter_kwh)?;
                count(&format!("connectors[{i}].faults"), c.faults.len(), FAULTS_MAX)?;
                for fault in &c.faults {
                    text(&format!("connectors[{i}].faults"), fault)?;
                }
            }
        }
        Up::Reply(reply) => text("message", &reply.message)?,
        Up::Record(record) => {
            connector("connector".to_owned(), record.connector)?;
            text("reason.text", &record.reason.text)?;
            register("meter_start_kwh".to_owned(), record.meter_start_kwh)?;
            register("meter_stop_kwh".to_owned(), record.meter_stop_kwh)?;
            count("samples", record.samples.len(), SAMPLES_MAX)?;
            for (i, sample) in record.samples.iter().enumerate() {
                register(format!("samples[{i}].meter_kwh"), sample.meter_kwh)?;
            }
        }
        Up::Event(event) => {
            connector("connector".to_owned(), event.connector)?;
            text("text", &event.text)?;
        }
        Up::Card(swipe) => connector("connector".to_owned(), swipe.connector)?,
    }
    Ok(())
}

fn count(path: &str, found: usize, most: usize) -> Result<(), (String, String)> {
    if found > most {
        Err((path.to_owned(), format!("{found} entries, at most {most} are read")))
    } else {
        Ok(())
    }
}

fn malformed(payload: &[u8], path: &str, detail: &str) -> Malformed {
    /// Only what an answer needs; whatever cannot be read is simply not there.
    #[derive(Deserialize)]
    struct Address {
        #[serde(default, deserialize_with = "lenient")]
        msg_id: Option<MsgId>,
        #[serde(default, deserialize_with = "lenient")]
        boot_id: Option<BootId>,
    }
    fn lenient<'de, D: Deserializer<'de>, T: std::str::FromStr>(deserializer: D) -> Result<Option<T>, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        Ok(value.as_str().and_then(|text| text.parse().ok()))
    }
    let address = serde_json::from_slice(payload).unwrap_or(Address {
        msg_id: None,
        boot_id: None,
    });
    let detail = detail.chars().take(TEXT_CHARS_MAX).collect();
    Malformed {
        msg_id: address.msg_id,
        boot_id: address.boot_id,
        path: path.to_owned(),
        detail,
    }
}

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
    pub fn kind(&self) -> crate::topics::DownKind {
        use crate::topics::DownKind;
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
    pub tariff: crate::ids::TariffId,
    /// The day's rows.
    pub prices: Vec<PriceEntry>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMON: &str = r#""boot_id":"b1","seq":1,"mono_ms":5,"ts":null,"msg_id":"m1""#;

    fn read_record(body: &str) -> Result<UpMessage, Malformed> {
        read_up(UpKind::Record, format!("{{{COMMON},{body}}}").as_bytes())
    }

    const RECORD: &str = r#""order_id":"o1","connector":1,"start_ts":"2026-03-01T08:00:00+08:00","stop_ts":null,
        "start_mono_ms":1,"stop_mono_ms":2,"meter_start_kwh":1234.5678,"meter_stop_kwh":"1240","reason":{"code":7}"#;

    #[test]
    fn readings_as_numbers_are_exact_and_unknown_fields_ignored() {
        let message = read_record(&format!("{RECORD},\"vin\":\"x\",\"extra\":{{}}")).unwrap();
        let Up::Record(record) = message.body else {
            panic!("a record")
        };
        assert_eq!(record.meter_start_kwh, Energy(12_345_678));
        assert_eq!(record.energy(), Energy(54_322));
        assert_eq!(record.reason.meaning(), StopCode::Full);
    }

    #[test]
    fn a_fault_in_a_message_is_named_by_its_path() {
        let noise = RECORD.replace("1234.5678", "1234.50000001");
        let error = read_record(&noise).unwrap_err();
        assert_eq!(
            (error.path.as_str(), error.msg_id.unwrap().as_str()),
            ("meter_start_kwh", "m1")
        );

        let nested = format!(r#"{RECORD},"samples":[{{"ts":null,"mono_ms":1,"meter_kwh":"NaN"}}]"#);
        assert_eq!(read_record(&nested).unwrap_err().path, "samples[0].meter_kwh");

        let missing = RECORD.replace("\"start_ts\":\"2026-03-01T08:00:00+08:00\",", "");
        let error = read_record(&missing).unwrap_err();
        assert!(error.detail.contains("start_ts"), "{error}");
        assert_eq!(error.path, ".");

        let error = read_up(
            UpKind::Event,
            br#"{"boot_id":"b","seq":1,"mono_ms":1,"ts":null,"connector":1,"kind":"fault"}"#,
        );
        assert_eq!(error.unwrap_err().path, "msg_id");
        for junk in ["", "{", "[]", "null", "\u{0}", "{\"a\":NaN}", "\"x\""] {
            assert!(read_up(UpKind::Heartbeat, junk.as_bytes()).is_err(), "{junk}");
        }
    }

    #[test]
    fn lists_and_registers_are_bounded() {
        let sample = r#"{"ts":null,"mono_ms":1,"meter_kwh":"1"}"#;
        let many = format!("{RECORD},\"samples\":[{}]", vec![sample; SAMPLES_MAX + 1].join(","));
        assert_eq!(read_record(&many).unwrap_err().path, "samples");
        assert_eq!(
            read_record(&RECORD.replace("1234.5678", "-1")).unwrap_err().path,
            "meter_start_kwh"
        );
        assert_eq!(
            read_record(&RECORD.replace("\"connector\":1", "\"connector\":0"))
                .unwrap_err()
                .path,
            "connector"
        );
    }

    #[test]
    fn a_command_carries_only_what_its_kind_needs() {
        let stop = CommandMessage {
            command_id: CommandId::new("o1:stop:1").unwrap(),
            kind: CommandKind::Stop,
            ttl_ms: 60_000,
            order_id: OrderId::new("o1").unwrap(),
            connector: ConnectorNo(1),
            limit_fee: None,
            limit_kwh: None,
            prices: Vec::new(),
        };
        let json = String::from_utf8(Down::Command(stop).to_json()).unwrap();
        assert_eq!(
            json,
            r#"{"command_id":"o1:stop:1","kind":"stop","ttl_ms":60000,"order_id":"o1","connector":1}"#
        );
    }
}
