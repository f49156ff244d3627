//! What a simulated pile heard, did and decided, one event each: for people, for `--json`, and for tests to wait for.
//! Heartbeats are not events; they are counted.

use domain::{
    ids::{CardId, CommandId, ConnectorNo, MsgId, OrderId, PileId},
    messages::{AckResult, CommandKind, EventKind},
    time::{Mono, Wall},
    units::{Energy, Fen},
};
use serde::Serialize;
use std::fmt;

/// Something that happened at a pile.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PileEvent {
    /// Where.
    pub pile: PileId,
    /// Simulated milliseconds since the simulation began.
    pub at_ms: Mono,
    /// By the pile's own clock, if it has one.
    pub ts: Option<Wall>,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// The pile was switched on or booted again.
    Booted {
        /// New at each start of the pile.
        boot_id: String,
    },
    /// Connected, subscribed and announced.
    Connected,
    /// The connection is gone, or could not be made.
    Disconnected {
        /// Why.
        reason: String,
    },
    /// A command came.
    Command {
        /// What for.
        kind: CommandKind,
        /// Which one.
        command_id: CommandId,
        /// For which session.
        order_id: OrderId,
        /// Whether it was heard before.
        again: bool,
    },
    /// A behaviour made the pile ignore a command.
    Ignored {
        /// Which one.
        command_id: CommandId,
    },
    /// A command was answered.
    Replied {
        /// Which one.
        command_id: CommandId,
        /// Done, or not.
        ok: bool,
        /// The pile's own code.
        code: i32,
        /// Its words.
        message: String,
    },
    /// A session began.
    Started {
        /// Where.
        connector: ConnectorNo,
        /// Which.
        order_id: OrderId,
        /// The register.
        meter_kwh: Energy,
    },
    /// A session ended.
    Stopped {
        /// Where.
        connector: ConnectorNo,
        /// Which.
        order_id: OrderId,
        /// The reason code of the contract.
        reason: u16,
        /// The register.
        meter_kwh: Energy,
        /// What was delivered.
        energy_kwh: Energy,
        /// The fee by the pile's own count, where it had prices.
        counted_fee: Option<Fen>,
    },
    /// A record was sent.
    RecordSent {
        /// Of which session.
        order_id: OrderId,
        /// As which message.
        msg_id: MsgId,
        /// 1 for the first time.
        attempt: u32,
    },
    /// A record was acknowledged: the pile may forget it.
    RecordAcked {
        /// Of which session.
        order_id: OrderId,
        /// As which message.
        msg_id: MsgId,
        /// What the station made of it.
        result: AckResult,
        /// The fee it settled for.
        fee: Option<Fen>,
        /// The station's words.
        detail: String,
    },
    /// Another message was acknowledged by an `ack`.
    Acked {
        /// Which one; `None` where the station could read none.
        msg_id: Option<MsgId>,
        /// What the station made of it.
        result: AckResult,
        /// The station's words.
        detail: String,
    },
    /// A card was swiped and sent.
    Swiped {
        /// Where.
        connector: ConnectorNo,
        /// Which.
        card_id: CardId,
    },
    /// A card was swiped in vain: the pile is offline and may not start on its own for it.
    SwipeLost {
        /// Where.
        connector: ConnectorNo,
        /// Which.
        card_id: CardId,
    },
    /// Something at the connector: plugged, unplugged, fault …
    Connector {
        /// Where.
        connector: ConnectorNo,
        /// What.
        kind: EventKind,
    },
    /// The station's time came.
    TimeSet {
        /// What the pile's clock shows now.
        to: Wall,
        /// How far it was behind; negative: ahead. `None` where it had no time before.
        behind_ms: Option<i64>,
    },
    /// A price table came.
    Prices {
        /// Its rows.
        rows: usize,
    },
    /// A message that breaks the contract was sent on purpose.
    Garbage {
        /// In what way.
        kind: String,
    },
    /// The network was cut, or is there again.
    Network {
        /// Whether it is there.
        up: bool,
    },
    /// The power is gone.
    PowerLost,
    /// A message was dropped because the pile's memory for it is full.
    Dropped {
        /// Which.
        msg_id: MsgId,
    },
    /// Something the contract does not allow, or that nobody asked for.
    Unexpected {
        /// What it was.
        detail: String,
    },
}

impl fmt::Display for PileEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.at_ms.0 / 1_000;
        let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        let ms = self.at_ms.0 % 1_000;
        write!(
            f,
            "{hours:02}:{minutes:02}:{seconds:02}.{ms:03} {:<10} {}",
            self.pile.as_str(),
            self.what
        )
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Booted { boot_id } => write!(f, "booted as {boot_id}"),
            Self::Connected => f.write_str("connected"),
            Self::Disconnected { reason } => write!(f, "disconnected: {reason}"),
            Self::Command {
                kind,
                command_id,
                order_id,
                again,
            } => {
                write!(f, "command {} {command_id} for order {order_id}", kind.word())?;
                f.write_str(if *again { " (again)" } else { "" })
            }
            Self::Ignored { command_id } => write!(f, "ignored {command_id}, as told"),
            Self::Replied {
                command_id, ok: true, ..
            } => write!(f, "replied ok to {command_id}"),
            Self::Replied {
                command_id,
                ok: false,
                code,
                message,
            } => {
                write!(f, "refused {command_id}: {code} {message}")
            }
            Self::Started {
                connector,
                order_id,
                meter_kwh,
            } => {
                write!(f, "connector {connector} started order {order_id} at {meter_kwh} kWh")
            }
            Self::Stopped {
                connector,
                order_id,
                reason,
                meter_kwh,
                energy_kwh,
                counted_fee,
            } => {
                write!(
                    f,
                    "connector {connector} stopped order {order_id} at {meter_kwh} kWh, reason {reason}, "
                )?;
                write!(f, "{energy_kwh} kWh delivered")?;
                counted_fee.map_or(Ok(()), |fee| write!(f, ", ¥{fee} by its own count"))
            }
            Self::RecordSent {
                order_id,
                msg_id,
                attempt,
            } => {
                write!(f, "record of {order_id} sent as {msg_id}, attempt {attempt}")
            }
            Self::RecordAcked {
                order_id,
                msg_id,
                result,
                fee,
                detail,
            } => {
                write!(
                    f,
                    "record of {order_id} ({msg_id}) acknowledged: {}",
                    result_word(*result)
                )?;
                fee.map_or(Ok(()), |fee| write!(f, ", fee ¥{fee}"))?;
                if detail.is_empty() {
                    Ok(())
                } else {
                    write!(f, ", {detail}")
                }
            }
            Self::Acked { msg_id, result, detail } => {
                let msg_id = msg_id.as_ref().map_or("a message without an id", MsgId::as_str);
                write!(f, "{msg_id} acknowledged: {}", result_word(*result))?;
                if detail.is_empty() {
                    Ok(())
                } else {
                    write!(f, ", {detail}")
                }
            }
            Self::Swiped { connector, card_id } => write!(f, "connector {connector} card {card_id} swiped"),
            Self::SwipeLost { connector, card_id } => {
                write!(f, "connector {connector} card {card_id} swiped in vain: offline")
            }
            Self::Connector { connector, kind } => {
                let kind = match kind {
                    EventKind::Plugged => "plugged",
                    EventKind::Unplugged => "unplugged",
                    EventKind::Fault => "fault",
                    EventKind::FaultCleared => "fault cleared",
                    EventKind::Estop => "emergency stop pressed",
                    EventKind::Reboot => "reboot",
                };
                write!(f, "connector {connector} {kind}")
            }
            Self::TimeSet {
                to,
                behind_ms: Some(behind),
            } => write!(f, "clock set to {to}, it was {behind} ms behind"),
            Self::TimeSet { to, behind_ms: None } => write!(f, "clock set to {to}"),
            Self::Prices { rows } => write!(f, "price table of {rows} rows"),
            Self::Garbage { kind } => write!(f, "sent garbage: {kind}"),
            Self::Network { up: true } => f.write_str("network is back"),
            Self::Network { up: false } => f.write_str("network is gone"),
            Self::PowerLost => f.write_str("power is gone"),
            Self::Dropped { msg_id } => write!(f, "dropped {msg_id}: memory full"),
            Self::Unexpected { detail } => write!(f, "UNEXPECTED {detail}"),
        }
    }
}

fn result_word(result: AckResult) -> &'static str {
    match result {
        AckResult::Ok => "ok",
        AckResult::Duplicate => "duplicate",
        AckResult::Orphan => "orphan",
        AckResult::Rejected => "rejected",
        AckResult::Malformed => "malformed",
    }
}
