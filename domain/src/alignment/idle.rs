//! When a connector's register was seen standing still between sessions: a session that counted is before or after that.
//! For each register the first and the last time are enough.

use crate::{rating::Reading, time::Wall};
use serde::{Deserialize, Serialize};

/// How many readings are kept; the oldest are forgotten first.
pub const IDLE_MAX: usize = 32;

/// The readings of an idle connector that bound the sessions between them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IdleReadings {
    /// In the order they came, at most two of one register.
    kept: Vec<Reading>,
}

impl IdleReadings {
    /// Takes in what a connector reported while it was in no session and delivered nothing.
    ///
    /// A register below the one before is another meter's, or one that ran backwards: what was seen before it bounds
    /// nothing any more.
    pub fn observe(&mut self, reading: Reading) {
        if self.kept.last().is_some_and(|last| reading.register < last.register) {
            self.kept.clear();
        }
        let again = |kept: &[Reading]| matches!(kept, [.., a, b] if a.register == reading.register && b.register == reading.register);
        if again(&self.kept) {
            self.kept.pop();
        } else if self.kept.len() == IDLE_MAX {
            self.kept.remove(0);
        }
        self.kept.push(reading);
    }

    /// What is kept, for [`super::Evidence::idle`].
    pub fn readings(&self) -> &[Reading] {
        &self.kept
    }

    /// The station's own clock was stepped: what was seen keeps its distance from the present.
    pub fn follow_step(&mut self, by_ms: i64) {
        for reading in &mut self.kept {
            reading.at = Wall(reading.at.0.saturating_add(by_ms));
        }
    }
}
