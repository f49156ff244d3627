//! Live samples thinned to those a rating needs, as they come in, so that an order's memory stays small.
//! What is thrown away lies between two kept readings with no tariff boundary between them.

use super::{BILL_READINGS_MAX, Reading, SESSION_MS_MAX};
use crate::{tariff::Tariff, units::Energy};
use serde::{Deserialize, Serialize};

/// The readings of a running session that matter: the first, the neighbours of each boundary, the latest.
///
/// Rating [`SampleKeeper::readings`] gives the same bill, to the digit, as rating every sample that was pushed, as long
/// as the stop is not before the latest reading in time or below it in register. (If it is, the readings above it are
/// dropped by rating, and the samples that would have stood in for them are gone.) A register that jumps ahead is
/// believed, and later lower ones are not: refuse impossible jumps before pushing.
///
/// Of several samples of one instant the last is what counts, for it is the pile's later word. Only the first reading of
/// the session stays whatever follows, because the energy is counted from it; a second of its instant stands beside it
/// until a later one comes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SampleKeeper {
    /// Rising in time, and strictly so but for a latest reading of the first one's instant; never falling in register.
    readings: Vec<Reading>,
    /// Samples not believed.
    dropped: u32,
}

impl SampleKeeper {
    /// Takes a sample in, under the tariff that the order is pinned to; `false` if it is not believed.
    ///
    /// Not believed, counted and without any effect are samples that run backwards in time or register, or that lie further
    /// from the first than a session can be long. One of the latest reading's instant takes its place and is measured
    /// against the reading before it. Memory: at most [`BILL_READINGS_MAX`] readings.
    pub fn push(&mut self, tariff: &Tariff, sample: Reading) -> bool {
        let (Some(first), Some(latest)) = (self.readings.first(), self.readings.last()) else {
            self.readings.push(sample);
            return true;
        };
        if sample.at == latest.at {
            return self.replace_latest(sample);
        }
        if sample.at < latest.at
            || sample.register < latest.register
            || sample.at.ms_since(first.at) > SESSION_MS_MAX
            || self.readings.len() >= BILL_READINGS_MAX
        {
            return self.drop_sample();
        }
        // The latest was kept only for being the latest, unless a boundary lies on either side of it or at it. Rating
        // believes one reading of an instant, and of the first one's that is the first.
        if let [.., before, latest] = self.readings[..]
            && (before.at == latest.at || tariff.next_boundary(before.at) >= sample.at)
        {
            self.readings.pop();
        }
        self.readings.push(sample);
        true
    }

    /// Takes in a sample of the latest reading's instant.
    fn replace_latest(&mut self, sample: Reading) -> bool {
        let kept = self.readings.len().saturating_sub(1).max(1);
        let before = self.readings[kept - 1];
        if sample.register < before.register {
            return self.drop_sample();
        }
        self.readings.truncate(kept);
        if sample != before {
            self.readings.push(sample);
        }
        true
    }

    fn drop_sample(&mut self) -> bool {
        self.dropped = self.dropped.saturating_add(1);
        false
    }

    /// Moves every reading by `ms`, for a station whose clock was stepped. Neighbours of boundaries are then no longer
    /// exactly those that a rating needs.
    pub fn shift(&mut self, ms: i64) {
        for reading in &mut self.readings {
            reading.at = reading.at.after_ms(ms);
        }
    }

    /// Takes the latest sample back if it is this register: it was a slip. `false` if it is not, and nothing changes.
    ///
    /// The one before it may be gone, as only its neighbours of boundaries are kept; the next sample stands in for it.
    pub fn withdraw_latest(&mut self, register: Energy) -> bool {
        let latest = self.readings.pop_if(|latest| latest.register == register);
        self.dropped = self.dropped.saturating_add(u32::from(latest.is_some()));
        latest.is_some()
    }

    /// The readings that matter, in time order.
    pub fn readings(&self) -> &[Reading] {
        &self.readings
    }

    /// The latest sample that was believed.
    pub fn latest(&self) -> Option<Reading> {
        self.readings.last().copied()
    }

    /// How many samples were not believed.
    pub fn dropped(&self) -> u32 {
        self.dropped
    }
}
