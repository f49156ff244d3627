//! The step in which a register counts up: 0.0001 kWh for a good meter, 1 kWh for a coarse one.
//! Piles do not tell it, so it is learned from the readings. A coarse register moves a whole step at once, which is no
//! impossible jump, and stands still between two steps, which is no fake charging.

use crate::units::Energy;
use serde::{Deserialize, Serialize};

/// The step of a register, as its readings have shown it so far.
///
/// It is the largest step of which every reading is a multiple, and at most [`Resolution::COARSEST`]. It is 1 kWh until
/// a reading shows more places, so it is never finer than the register and soon as fine as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Resolution(Energy);

impl Resolution {
    /// The coarsest step that is allowed for: 1 kWh. A register that counts in larger steps is not one to bill by.
    pub const COARSEST: Energy = Energy(10_000);

    /// What one reading alone shows.
    pub fn shown_by(register: Energy) -> Self {
        Self::default().with(register)
    }

    /// What is known with this reading too.
    #[must_use]
    pub fn with(self, register: Energy) -> Self {
        Self(Energy(greatest_common_divisor(self.0.0, register.0)))
    }

    /// The step, from 0.0001 kWh to 1 kWh.
    pub fn step(self) -> Energy {
        self.0
    }
}

/// Whether `read` is so far below `known` that it can be another register: by more than its last digits, and by more than a
/// meter may lose that is switched off before it has written them (0.1 kWh).
pub fn is_well_below(known: Energy, read: Energy) -> bool {
    const LOST_MAX: Energy = Energy(1_000);
    read < known && known - read > LOST_MAX && !stands_still(known, read)
}

/// Whether `read` is below `known` by no more than its own last digit tells: a register that was cut off or rounded, or
/// whose last digit trembles. It stands where it was known to stand.
pub fn stands_still(known: Energy, read: Energy) -> bool {
    read < known && known - read <= Resolution::shown_by(read).step()
}

impl Default for Resolution {
    fn default() -> Self {
        Self(Self::COARSEST)
    }
}

/// Never zero, as `step` is not: whatever was read from a store, a step is at least the smallest unit.
fn greatest_common_divisor(step: i64, register: i64) -> i64 {
    let (mut divisor, mut rest) = (step.clamp(1, Resolution::COARSEST.0), register.saturating_abs());
    while rest != 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    divisor
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(readings: &[&str]) -> String {
        let shown = readings.iter().fold(Resolution::default(), |known, reading| {
            known.with(reading.parse().unwrap())
        });
        shown.step().to_string()
    }

    #[test]
    fn readings_show_the_step_of_their_register() {
        for (readings, step) in [
            (&[][..], "1.0000"),
            (&["0"], "1.0000"),
            (&["1000", "1001", "42949672"], "1.0000"),
            (&["1000", "1000.5"], "0.5000"),
            (&["1000.1"], "0.1000"),
            (&["1000.5", "1000.75", "1001"], "0.2500"),
            (&["42949672.95", "42949672.96"], "0.0100"),
            (&["1234.5678"], "0.0002"),
            (&["1234.5678", "1234.5679"], "0.0001"),
        ] {
            assert_eq!(shown(readings), step, "{readings:?}");
        }
    }

    proptest! {
        #[test]
        fn the_step_is_never_finer_than_the_register_and_never_grows(
            places in 0_u32..=4,
            counts in proptest::collection::vec(0_i64..10_000_000, 0..20),
        ) {
            let step = 10_i64.pow(4 - places);
            let mut known = Resolution::default();
            for count in counts {
                let finer = known.with(Energy(count * step));
                prop_assert!(finer.step() <= known.step());
                prop_assert!(finer.step() >= Energy(step));
                prop_assert_eq!(count * step % finer.step().0, 0);
                known = finer;
            }
        }

        #[test]
        fn no_stored_step_and_no_reading_breaks_it(step in any::<i64>(), register in any::<i64>()) {
            let known = Resolution(Energy(step)).with(Energy(register)).step();
            prop_assert!((1..=10_000).contains(&known.0));
        }
    }
}
