//! What the log says in words of its own, for whoever reads it at night.

use broker::{Limited, Rate, RateLimits};
use domain::{
    ids::PileId,
    messages::AckResult,
    site::{Answer, Outcome},
    time::Mono,
    topics::UpKind,
};
use serde::Serialize;
use serde_json::Value;
use std::time::{Duration, Instant};

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
    kind: Option<UpKind>,
    what: &'static str,
    why: String,
}

impl Unacted {
    /// What is to be logged of a message of this kind that led to this; `kind` is `None` if its topic names none.
    pub(crate) fn of(pile: &PileId, kind: Option<UpKind>, outcome: &Outcome) -> Option<Self> {
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
}

/// Lines about what one pile said that could not be acted on or read: so many at once, and one each second after that.
pub(crate) const LINES_OF_A_PILE: Rate = Rate {
    per_second: 1,
    burst: 20,
};
/// Piles whose lines are counted.
pub(crate) const PILES_MAX: usize = 1_024;

/// Logs what piles were told where nothing else tells of it, and not without limit.
pub(crate) struct AnswerLog {
    limits: RateLimits<PileId>,
    /// Elapsed time is counted from here.
    epoch: Instant,
}

impl AnswerLog {
    pub(crate) fn new() -> Self {
        Self {
            limits: RateLimits::new(LINES_OF_A_PILE, PILES_MAX),
            epoch: Instant::now(),
        }
    }

    /// Logs a message that was not acted on: once the pile's answer may go out.
    pub(crate) fn log(&mut self, unacted: &Unacted, now: Mono) {
        let Unacted { pile, kind, what, why } = unacted;
        let kind = kind.map(UpKind::word);
        match self.limits.note(pile, self.epoch + Duration::from_millis(now.0)) {
            Limited::Within { left_out } => tracing::warn!(%pile, kind, left_out, why, "{what}"),
            Limited::Beyond { is_first: true } => tracing::warn!(
                %pile,
                "too many messages cannot be read or are rejected: further ones are counted and not logged one by one"
            ),
            Limited::Beyond { is_first: false } => {}
        }
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
