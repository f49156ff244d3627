//! What the log says in words of its own, for whoever reads it at night.

use domain::{
    ids::PileId,
    messages::AckResult,
    site::{Answer, Outcome},
    topics::UpKind,
};
use serde::Serialize;
use serde_json::Value;

/// A value in its own words, for people: as in the journal, without the marks of JSON.
pub(crate) fn told(value: &impl Serialize) -> String {
    fn text(value: &Value) -> String {
        match value {
            Value::Null => "-".to_owned(),
            Value::String(text) => text.clone(),
            Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(", "),
            Value::Object(fields) => fields
                .iter()
                .map(|(name, value)| match value {
                    Value::Object(_) => format!("{name} {}", text(value)),
                    _ => format!("{name}={}", text(value)),
                })
                .collect::<Vec<_>>()
                .join(" "),
            other => other.to_string(),
        }
    }
    serde_json::to_value(value).map_or_else(|error| error.to_string(), |value| text(&value))
}

/// A message of a pile that could not be acted on or read, where nothing else tells of it.
pub(crate) struct Unacted {
    pile: PileId,
    kind: UpKind,
    what: &'static str,
    why: String,
}

impl Unacted {
    /// What is to be logged of a message of this kind that led to this.
    pub(crate) fn of(pile: &PileId, kind: UpKind, outcome: &Outcome) -> Option<Self> {
        let (what, why) = match &outcome.answer {
            Ok(Answer::Ack(ack)) if ack.result == AckResult::Rejected => ("a message was rejected", ack.detail.clone()),
            Ok(Answer::Ack(ack)) if ack.result == AckResult::Malformed && outcome.facts.is_empty() => {
                ("a message cannot be read", ack.detail.clone())
            }
            Ok(_) => return None,
            Err(rejected) => ("a message was rejected", rejected.to_string()),
        };
        let pile = pile.clone();
        Some(Self { pile, kind, what, why })
    }

    /// Logs it: once the pile's answer may go out.
    pub(crate) fn log(&self) {
        let Self { pile, kind, what, why } = self;
        tracing::warn!(%pile, kind = kind.word(), why, "{what}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{fact::StopCause, order::FailReason};

    #[test]
    fn what_is_logged_is_in_words() {
        let by = "local:0".to_owned();
        assert_eq!(told(&StopCause::Asked { by }), "asked by=local:0");
        assert_eq!(told(&StopCause::Card), "card");
        assert_eq!(told(&FailReason::TimedOut), "timed_out");
        assert_eq!(told(&None::<String>), "-");
        assert_eq!(told(&Vec::<String>::new()), "");
    }
}
