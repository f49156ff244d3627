//! When a connector's register was seen standing still between sessions: a session that counted is before or after that.
//! For each register the first and the last time are enough.

use crate::{rating::Reading, time::Wall};
use serde::{Deserialize, Serialize};

/// How many readings are kept; the oldest are forgotten first.
pub const IDLE_MAX: usize = 32;

/// The readings of an idle connector that bound the sessions between them. All of them are of one meter.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct IdleReadings {
    /// Which meter: [`Connector::meters_before`](crate::pile::Connector::meters_before).
    meter: u32,
    /// In the order they came, at most two of one register.
    kept: Vec<Reading>,
}

impl IdleReadings {
    /// Takes in what a connector reported while it was in no session and delivered nothing; `meter` is the one that it has.
    ///
    /// What was seen of the meter before bounds nothing any more, nor does what was seen before a register ran backwards.
    pub fn observe(&mut self, meter: u32, reading: Reading) {
        let is_lower = self.kept.last().is_some_and(|last| reading.register < last.register);
        if is_lower || meter != self.meter {
            self.kept.clear();
        }
        self.meter = meter;
        let again = |kept: &[Reading]| matches!(kept, [.., a, b] if a.register == reading.register && b.register == reading.register);
        if again(&self.kept) {
            self.kept.pop();
        } else if self.kept.len() == IDLE_MAX {
            self.kept.remove(0);
        }
        self.kept.push(reading);
    }

    /// What is kept of this meter, for [`super::Evidence::idle`].
    pub fn of(&self, meter: u32) -> &[Reading] {
        if meter == self.meter { &self.kept } else { &[] }
    }

    /// The station's own clock was stepped: what was seen keeps its distance from the present.
    pub fn follow_step(&mut self, by_ms: i64) {
        for reading in &mut self.kept {
            reading.at = Wall(reading.at.0.saturating_add(by_ms));
        }
    }
}
