//! Messages that break the contract, one kind after another: what piles with bad firmware and bad lines really send.
//! None of them is larger than the contract allows: that would end the connection instead of testing the reader.

use super::{super::event::What, Body, Pile, Timer};

/// The kinds of garbage, sent one after another in this order and then from the beginning.
pub(super) const KINDS: &[&str] = &[
    "empty",
    "not UTF-8",
    "cut off",
    "not an object",
    "no msg_id",
    "wrong type",
    "missing field",
    "float noise",
    "negative register",
    "exponent",
    "deep nesting",
    "connector 0",
    "too many connectors",
    "unknown kind",
];

impl Pile {
    pub(super) fn send_garbage(&mut self, every_ms: u64, turn: u64) {
        if self.is_linked() {
            let kinds = KINDS.len() as u64;
            let kind = KINDS[usize::try_from(turn % kinds).unwrap_or(0)];
            let (topic, payload) = self.garbage(kind);
            self.sent_garbage = true;
            self.tell(What::Garbage { kind: kind.to_owned() });
            let token = self.number();
            self.publish(
                token,
                true,
                Body::Raw {
                    kind: topic.to_owned(),
                    payload,
                },
            );
        }
        self.after(
            every_ms,
            Timer::Garbage {
                every_ms,
                turn: turn + 1,
            },
        );
    }

    pub(super) fn garbage(&mut self, kind: &str) -> (&'static str, Vec<u8>) {
        let msg_id = self.msg_id();
        let common = format!(r#""boot_id":"{}","seq":1,"mono_ms":1,"ts":null"#, self.boot.id);
        let named = format!(r#"{common},"msg_id":"{msg_id}""#);
        let record = |start: &str, more: &str| {
            format!(
                r#"{{{named},"order_id":"garbage","connector":1,"start_ts":null,"stop_ts":null,"start_mono_ms":0,"stop_mono_ms":1,"meter_start_kwh":{start},"meter_stop_kwh":"2000","reason":{{"code":0}}{more}}}"#
            )
        };
        let (topic, text) = match kind {
            "empty" => ("event", String::new()),
            "not UTF-8" => return ("event", vec![b'{', b'"', 0xff, 0xfe, b'"', b':', b'1', b'}']),
            "cut off" => ("record", record("\"1000\"", "").chars().take(120).collect()),
            "not an object" => ("heartbeat", "[1,2,3]".to_owned()),
            "no msg_id" => ("event", format!(r#"{{{common},"connector":1,"kind":"plugged"}}"#)),
            "wrong type" => ("event", format!(r#"{{{named},"connector":"one","kind":"plugged"}}"#)),
            "missing field" => ("card", format!(r#"{{{named},"connector":1}}"#)),
            "float noise" => ("record", record("1234.50000001", "")),
            "negative register" => ("record", record("\"-1.0\"", "")),
            "exponent" => ("record", record("1e3", "")),
            "deep nesting" => ("event", "[".repeat(4_000) + &"]".repeat(4_000)),
            "connector 0" => ("event", format!(r#"{{{named},"connector":0,"kind":"plugged"}}"#)),
            "too many connectors" => {
                let connector = r#"{"no":1,"max_kw":"7","meter_kwh":"1000"}"#;
                let connectors = vec![connector; 33].join(",");
                ("boot", format!(r#"{{{named},"connectors":[{connectors}]}}"#))
            }
            _ => ("nonsense", format!("{{{named}}}")),
        };
        (topic, text.into_bytes())
    }
}
