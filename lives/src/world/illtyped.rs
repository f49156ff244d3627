//! Messages with a field that cannot be read where no money hangs on it, as makers of piles write them. The same message is
//! always wrong in the same way, however often it is said.

use crate::seed::Seed;
use domain::topics::UpKind;
use serde_json::{Map, Value, json};

/// In how many of a hundred messages of a kind a field is wrong.
fn share(kind: UpKind) -> u64 {
    match kind {
        UpKind::Record | UpKind::Boot | UpKind::Reply => 10,
        UpKind::Heartbeat | UpKind::Event | UpKind::Card => 3,
    }
}

/// A reset clock chip, by local time: before 1970 by any other.
const RESET: &str = "1970-01-01T00:00:12+08:00";

/// Makes a field of a message unreadable, or leaves it as it is. `seed` goes with what the message says.
pub(super) fn garble(kind: UpKind, payload: &[u8], seed: &mut Seed) -> Option<Vec<u8>> {
    if seed.below(100) >= share(kind) {
        return None;
    }
    let mut message: Map<String, Value> = serde_json::from_slice(payload).ok()?;
    for _ in 0..=seed.below(2) {
        garble_one(kind, &mut message, seed);
    }
    serde_json::to_vec(&message).ok()
}

fn garble_one(kind: UpKind, message: &mut Map<String, Value>, seed: &mut Seed) {
    let own = |message: &Map<String, Value>| {
        let id = message.get("order_id").and_then(Value::as_str);
        id.is_some_and(|id| id.starts_with("off-"))
    };
    let wrong: &[(&str, Value)] = &match kind {
        UpKind::Record => vec![
            ("soc_start", json!(65_535)),
            ("soc_stop", json!(79.5)),
            // Who pays for a session that the pile began is told by the card alone.
            ("card_id", json!(if own(message) { "" } else { "04:A3:5B" })),
            ("reason.code", json!(-1)),
            ("reason.code", json!(70_000)),
            ("reason.text", json!(7)),
            ("samples", Value::Null),
            ("samples", json!("none")),
            ("offline", Value::Null),
            ("periods", json!([1, 2])),
            ("signed", json!(5)),
            ("start_ts", json!(RESET)),
            ("stop_ts", json!("yesterday")),
            ("ts", json!(RESET)),
        ],
        UpKind::Boot => vec![
            ("vendor", json!(3)),
            ("model", Value::Null),
            ("firmware", json!({"v": 1})),
            ("connector.order_id", json!("")),
            ("ts", json!(RESET)),
        ],
        UpKind::Reply => vec![
            ("message", Value::Null),
            ("code", json!("ok")),
            ("meter_kwh", json!("")),
            ("ts", json!(RESET)),
        ],
        UpKind::Heartbeat => vec![
            ("connector.soc_pct", json!(65_535)),
            ("connector.soc_pct", json!(101)),
            ("connector.voltage_v", json!("220 V")),
            ("connector.temp_c", Value::Null),
            ("connector.faults", Value::Null),
            ("ts", json!(RESET)),
        ],
        UpKind::Event => vec![("text", Value::Null), ("code", json!("E17")), ("ts", json!(RESET))],
        UpKind::Card => vec![("ts", json!(RESET))],
    };
    let at = usize::try_from(seed.below(wrong.len() as u64)).unwrap_or(0);
    let (field, value) = &wrong[at];
    let (place, field) = match field.split_once('.') {
        Some(("connector", field)) => {
            let connectors = message.get_mut("connectors").and_then(Value::as_array_mut);
            let first = connectors
                .and_then(|all| all.first_mut())
                .and_then(Value::as_object_mut);
            // A session that runs is named, or it counts as none.
            let first = first.filter(|first| field != "order_id" || first.get("order_id").is_none_or(Value::is_null));
            (first, field)
        }
        Some((outer, field)) => (message.get_mut(outer).and_then(Value::as_object_mut), field),
        None => (Some(&mut *message), *field),
    };
    let is_payer = field == "card_id" && value == "";
    if let Some(place) = place.filter(|_| !is_payer) {
        place.insert(field.to_owned(), value.clone());
    }
}
