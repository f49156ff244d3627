//! What must be so of every message of a pile: it is within bounds, means the same when it is written anew, and keeps its
//! id when it is refused.

use super::{
    Heartbeat, Malformed, PAYLOAD_BYTES_MAX, TEXT_CHARS_MAX, UNREAD_BYTES_MAX, UNREAD_FIELD_BYTES_MAX,
    UNREAD_FIELDS_MAX, Unread, Up, UpMessage,
    read::{is_within_bounds, read_leniently, read_strictly, read_up},
};
use crate::{fact::Raw, ids::MsgId, topics::UpKind};
use serde_json::{Map, Value};

/// A message: the word of its kind in the first line, and the payload.
pub fn pile_message(data: &[u8]) {
    let Some(at) = data.iter().position(|byte| *byte == b'\n') else {
        return;
    };
    let (word, payload) = (&data[..at], &data[at + 1..]);
    let Some(kind) = UpKind::ALL.iter().copied().find(|kind| kind.word().as_bytes() == word) else {
        return;
    };
    let read = read_up(kind, payload);
    match &read {
        Ok(message) => {
            assert!(payload.len() <= PAYLOAD_BYTES_MAX);
            assert!(is_within_bounds(&message.body), "{message:?}");
            if let Some(unread) = &message.unread {
                unread_is_within_bounds(unread);
            }
            written_anew_is_the_same(kind, message);
            what_is_unknown_changes_nothing(kind, payload, message);
            look_at(&message.body);
        }
        Err(malformed) => refused_keeps_its_id(payload, malformed),
    }
    if let Some(strictly) = read_strictly(kind, payload).filter(|_| payload.len() <= PAYLOAD_BYTES_MAX) {
        assert_eq!(read_leniently(kind, payload), Ok(strictly), "both readers say the same");
    }
}

fn unread_is_within_bounds(unread: &Unread) {
    assert!((1..=UNREAD_FIELDS_MAX).contains(&unread.fields.len()));
    assert!(unread.dropped as usize >= unread.fields.len());
    // Bytes as the pile wrote them: what is no UTF-8 takes more room where it is kept.
    let kept = |field: &super::UnreadField| match &field.raw {
        Raw::Text(text) => text.len(),
        Raw::Bytes { base64 } => base64.trim_end_matches('=').len() * 3 / 4,
    };
    assert!(unread.fields.iter().all(|field| kept(field) <= UNREAD_FIELD_BYTES_MAX));
    assert!(unread.fields.iter().map(kept).sum::<usize>() <= UNREAD_BYTES_MAX);
}

/// What was understood, written as the contract has it, is understood as the same, and nothing of it is dropped.
fn written_anew_is_the_same(kind: UpKind, message: &UpMessage) {
    let mut fields = fields(&message.common);
    fields.extend(match &message.body {
        Up::Boot(body) => self::fields(body),
        Up::Heartbeat(body) => self::fields(body),
        Up::Reply(body) => self::fields(body),
        Up::Record(body) => self::fields(body),
        Up::Event(body) => self::fields(body),
        Up::Card(body) => self::fields(body),
    });
    let written = Value::Object(fields).to_string();
    // A list of many short entries may be longer when it is written out.
    if written.len() > PAYLOAD_BYTES_MAX {
        return;
    }
    let again = read_up(kind, written.as_bytes()).unwrap_or_else(|error| panic!("{written}: {error}"));
    let understood = UpMessage {
        unread: None,
        ..message.clone()
    };
    assert_eq!(without_floats(again), without_floats(understood), "{written}");
}

fn fields<T: serde::Serialize>(part: &T) -> Map<String, Value> {
    match serde_json::to_value(part).expect("messages have string keys and no failing serializer") {
        Value::Object(fields) => fields,
        other => panic!("a message is an object, not {other}"),
    }
}

/// The last digit of a float may change when it is read; whether there is one may not. Money has no floats.
fn without_floats(mut message: UpMessage) -> UpMessage {
    if let Up::Heartbeat(Heartbeat { connectors }) = &mut message.body {
        for report in connectors {
            for float in [
                &mut report.voltage_v,
                &mut report.current_a,
                &mut report.soc_pct,
                &mut report.temp_c,
            ] {
                *float = float.map(|_| 0.0);
            }
        }
    }
    message
}

/// Fields are added to the contract, and old stations read them.
fn what_is_unknown_changes_nothing(kind: UpKind, payload: &[u8], message: &UpMessage) {
    const UNKNOWN: &[u8] = br#"{"of_a_later_version":[1,{"a":null}],"#;
    let Some(rest) = payload.trim_ascii_start().strip_prefix(b"{") else {
        panic!("a message is an object");
    };
    let more = [UNKNOWN, rest].concat();
    if more.len() <= PAYLOAD_BYTES_MAX {
        assert_eq!(read_up(kind, &more).as_ref(), Ok(message));
    }
}

/// What is asked of every message that was read.
fn look_at(body: &Up) {
    match body {
        Up::Boot(boot) => drop(boot.fault()),
        Up::Heartbeat(heartbeat) => {
            for report in &heartbeat.connectors {
                assert!(report.watts().is_none_or(f64::is_finite));
            }
        }
        Up::Record(record) => {
            record.energy();
            record.uptime();
        }
        Up::Reply(_) | Up::Event(_) | Up::Card(_) => {}
    }
}

/// The `ack` needs the id: a pile whose message is refused without one sends it for ever.
fn refused_keeps_its_id(payload: &[u8], malformed: &Malformed) {
    assert!(!malformed.path.is_empty());
    assert!(!malformed.detail.is_empty() && malformed.detail.chars().count() <= TEXT_CHARS_MAX);
    // Written once, and plainly: of two nobody knows which is meant.
    let is_plain = !payload.contains(&b'\\') && payload.windows(8).filter(|part| part == b"\"msg_id\"").count() == 1;
    if let Ok(Value::Object(fields)) = serde_json::from_slice(payload)
        && let Some(Value::String(id)) = fields.get("msg_id")
        && let Ok(id) = MsgId::new(id.as_str())
        && is_plain
    {
        assert_eq!(malformed.msg_id, Some(id));
    }
}
