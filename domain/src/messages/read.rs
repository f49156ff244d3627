//! Bytes to messages: strictly where everything is well-formed, and otherwise leniently, field by field.

use super::{
    CONNECTORS_MAX, Common, ConnectorReport, FAULTS_MAX, PAYLOAD_BYTES_MAX, Record, SAMPLES_MAX, TEXT_CHARS_MAX, Up,
    UpMessage, lenient,
    object::{Dropped, Fault, Object},
};
use crate::{
    ids::{BootId, ConnectorNo, MsgId, OrderId},
    planted::{Bug, is_planted},
    topics::UpKind,
};
use std::borrow::Cow;

/// A message that lacks what it needs: a required field is missing or could not be read.
///
/// Its own fields are what else could be read of the message, also where its JSON breaks off.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {detail}")]
pub struct Malformed {
    /// The message's id: the `ack` needs it.
    pub msg_id: Option<MsgId>,
    /// The boot it belongs to.
    pub boot_id: Option<BootId>,
    /// The order it is about: its log shows that this message came.
    pub order_id: Option<OrderId>,
    /// The connector it is about.
    pub connector: Option<ConnectorNo>,
    /// The field, for instance `connectors[0].meter_kwh`; `.` for the message as a whole.
    pub path: String,
    /// What is wrong with it, in at most [`TEXT_CHARS_MAX`] characters.
    pub detail: String,
}

/// Reads one message of `kind`.
///
/// An optional field that cannot be read, or says what cannot be, is dropped and named in [`UpMessage::unread`]; a text or
/// list that is too long is cut. Unknown fields are ignored.
///
/// # Errors
/// A required field is missing, of the wrong type, or says what cannot be (a negative register, a connector 0, a reading
/// with more places than the contract allows); a message that is no JSON object or too long.
pub fn read_up(kind: UpKind, payload: &[u8]) -> Result<UpMessage, Malformed> {
    // Firmware in C sends the end of its string along. Whatever else stands behind the object is part of the message.
    let payload = payload.strip_suffix(b"\0").unwrap_or(payload);
    if payload.len() <= PAYLOAD_BYTES_MAX
        && let Some(message) = read_strictly(kind, payload)
    {
        return Ok(message);
    }
    read_leniently(kind, payload)
}

/// Field by field: what cannot be read spoils nothing beside it.
pub(super) fn read_leniently(kind: UpKind, payload: &[u8]) -> Result<UpMessage, Malformed> {
    // Texts in another encoding (GBK) lose their characters here, and nothing beside them is lost.
    let text = String::from_utf8_lossy(payload);
    let (message, error) = Object::of_message(&text);
    let mut dropped = Dropped::of_message(matches!(text, Cow::Owned(_)));
    let read = match error {
        _ if payload.len() > PAYLOAD_BYTES_MAX => Err(whole(format!("longer than {PAYLOAD_BYTES_MAX} bytes"))),
        Some(error) => Err(whole(error.to_string())),
        None => lenient::common(kind, &message, &mut dropped)
            .and_then(|common| Ok((common, lenient::body(kind, &message, &mut dropped)?))),
    };
    let (common, body) = read.map_err(|fault| malformed(&message, fault))?;
    let unread = dropped.into_unread(payload, &text);
    if unread.is_some() && is_planted(Bug::StrictOptionalFields) {
        return Err(malformed(&message, whole("a field that cannot be read".to_owned())));
    }
    Ok(UpMessage {
        unread,
        ..UpMessage::new(common, body)
    })
}

/// What can be read of a message whose topic names no kind: `word` stands there in its place.
pub fn read_without_kind(word: &str, payload: &[u8]) -> Malformed {
    let text = String::from_utf8_lossy(payload);
    let (message, _) = Object::of_message(&text);
    let fault = Fault {
        path: "topic".to_owned(),
        detail: format!("`up/{}` names no kind of message", word.escape_debug()),
    };
    malformed(&message, fault)
}

/// A message that is as the contract has it, which most are: nothing is held twice to read it.
pub(super) fn read_strictly(kind: UpKind, payload: &[u8]) -> Option<UpMessage> {
    let text = std::str::from_utf8(payload).ok()?;
    let common: Common = serde_json::from_str(text).ok()?;
    if kind != UpKind::Heartbeat && common.msg_id.is_none() {
        return None;
    }
    let body = match kind {
        UpKind::Boot => serde_json::from_str(text).map(Up::Boot),
        UpKind::Heartbeat => serde_json::from_str(text).map(Up::Heartbeat),
        UpKind::Reply => serde_json::from_str(text).map(Up::Reply),
        UpKind::Record => serde_json::from_str(text).map(Up::Record),
        UpKind::Event => serde_json::from_str(text).map(Up::Event),
        UpKind::Card => serde_json::from_str(text).map(Up::Card),
    };
    let body = body.ok().filter(is_within_bounds)?;
    Some(UpMessage::new(common, body))
}

/// What types do not say: lengths, counts, signs, and what cannot be.
pub(super) fn is_within_bounds(body: &Up) -> bool {
    match body {
        Up::Boot(boot) => {
            [&boot.vendor, &boot.model, &boot.firmware]
                .into_iter()
                .all(|text| is_short(text))
                && boot.connectors.len() <= CONNECTORS_MAX
                && boot
                    .connectors
                    .iter()
                    .all(|connector| lenient::is_connector(&connector.no) && lenient::is_register(&connector.meter_kwh))
        }
        Up::Heartbeat(heartbeat) => {
            heartbeat.connectors.len() <= CONNECTORS_MAX && heartbeat.connectors.iter().all(is_report_within_bounds)
        }
        Up::Reply(reply) => is_short(&reply.message) && reply.meter_kwh.as_ref().is_none_or(lenient::is_register),
        Up::Record(record) => is_record_within_bounds(record),
        Up::Event(event) => lenient::is_connector(&event.connector) && is_short(&event.text),
        Up::Card(swipe) => lenient::is_connector(&swipe.connector),
    }
}

fn is_report_within_bounds(report: &ConnectorReport) -> bool {
    lenient::is_connector(&report.no)
        && lenient::is_register(&report.meter_kwh)
        && report.voltage_v.is_none_or(lenient::is_voltage)
        && report.current_a.is_none_or(lenient::is_current)
        && report.soc_pct.is_none_or(lenient::is_charge)
        && report.temp_c.is_none_or(lenient::is_temperature)
        && report.faults.len() <= FAULTS_MAX
        && report.faults.iter().all(|fault| is_short(fault))
}

fn is_record_within_bounds(record: &Record) -> bool {
    let registers = [&record.meter_start_kwh, &record.meter_stop_kwh];
    lenient::is_connector(&record.connector)
        && registers.into_iter().all(lenient::is_register)
        && is_short(&record.reason.text)
        && record.soc_start.is_none_or(lenient::is_whole_charge)
        && record.soc_stop.is_none_or(lenient::is_whole_charge)
        && record.samples.len() <= SAMPLES_MAX
        && record
            .samples
            .iter()
            .all(|sample| lenient::is_register(&sample.meter_kwh))
}

fn is_short(text: &str) -> bool {
    // Bytes bound characters, and are counted already.
    text.len() <= TEXT_CHARS_MAX || text.chars().count() <= TEXT_CHARS_MAX
}

fn whole(detail: String) -> Fault {
    Fault {
        path: ".".to_owned(),
        detail,
    }
}

fn malformed(message: &Object<'_>, fault: Fault) -> Malformed {
    let unread = &mut Dropped::default();
    Malformed {
        msg_id: message.optional("msg_id", unread),
        boot_id: message.optional("boot_id", unread),
        order_id: message.optional("order_id", unread),
        connector: message.optional_if("connector", lenient::is_connector, unread),
        path: fault.path,
        detail: fault.detail.chars().take(TEXT_CHARS_MAX).collect(),
    }
}
