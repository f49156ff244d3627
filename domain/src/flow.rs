//! Current that flows past the meter (虚充): what a connector says it delivers, against what its register counts (S05 §5).
//! From telemetry alone, so it proves nothing: it makes a person look.

use crate::{time::Mono, units::Energy};

/// Reports that lie further apart tell nothing about the time between them, in milliseconds.
const SILENCE_MS: u64 = 120_000;
/// Less than this within a window is too little to judge by: 1.2 kW for five minutes.
const JUDGED_FROM: Energy = Energy(1_000);
/// One unit of [`Energy`] (0.1 Wh) in watt-milliseconds.
const WATT_MS_PER_UNIT: f64 = 360_000.0;

/// Watches one session at one connector.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct FlowWatch {
    window: Option<Window>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Window {
    since: Mono,
    register: Energy,
    last: Mono,
    watts: f64,
    watt_ms: f64,
}

/// Energy that flowed by voltage and current and that the register did not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uncounted {
    /// Volts × amperes over the time.
    pub claimed: Energy,
    /// By the register.
    pub counted: Energy,
}

impl FlowWatch {
    /// Takes a report of a connector that charges. At the end of each window of `window_ms` it says if the register
    /// counted less than `pct` per cent of what flowed; between two reports the lesser of both powers counts.
    pub fn report(&mut self, at: Mono, watts: f64, register: Energy, window_ms: u64, pct: u8) -> Option<Uncounted> {
        // Infinite and unknown currents are nobody's proof.
        let watts = if watts.is_finite() { watts.max(0.0) } else { 0.0 };
        let begun = Window {
            since: at,
            register,
            last: at,
            watts,
            watt_ms: 0.0,
        };
        let Some(window) = self
            .window
            .as_mut()
            .filter(|window| at.ms_since(window.last) <= SILENCE_MS)
        else {
            self.window = Some(begun);
            return None;
        };
        window.watt_ms += watts.min(window.watts) * at.ms_since(window.last) as f64;
        (window.last, window.watts) = (at, watts);
        if at.ms_since(window.since) < window_ms {
            return None;
        }
        let claimed = Energy((window.watt_ms / WATT_MS_PER_UNIT) as i64);
        let counted = register - window.register;
        self.window = Some(begun);
        let is_too_little = i128::from(counted.0) * 100 < i128::from(claimed.0) * i128::from(pct);
        (claimed >= JUDGED_FROM && is_too_little).then_some(Uncounted { claimed, counted })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW_MS: u64 = 300_000;

    /// What a session of ten minutes is found to be, with a report every 15 s.
    fn session(watts: f64, units_each: i64) -> Option<Uncounted> {
        let mut watch = FlowWatch::default();
        (0..=40).find_map(|n| {
            let register = Energy(10_000_000 + units_each * i64::from(n));
            watch.report(Mono(u64::from(n as u32) * 15_000), watts, register, WINDOW_MS, 10)
        })
    }

    #[test]
    fn a_register_that_stands_still_while_current_flows_is_noticed() {
        // 7 kW for five minutes are 0.5833 kWh.
        let expected = Uncounted {
            claimed: Energy(5_833),
            counted: Energy::ZERO,
        };
        assert_eq!(session(7_000.0, 0), Some(expected));
        // 291 units in 15 s would be all of it.
        assert!(session(7_000.0, 29).is_some(), "just below a tenth");
        assert_eq!(session(7_000.0, 30), None, "just above a tenth");
        assert_eq!(session(7_000.0, 291), None);
        assert!(session(7_000.0, -10).is_some());
    }

    #[test]
    fn little_current_none_and_absurd_ones_prove_nothing() {
        for watts in [0.0, 1_000.0, -7_000.0, f64::NAN, f64::INFINITY] {
            assert_eq!(session(watts, 0), None, "{watts}");
        }
        assert!(session(f64::MAX, 0).is_some());
    }

    #[test]
    fn silence_begins_a_new_window() {
        let mut watch = FlowWatch::default();
        for n in 0..10 {
            assert_eq!(watch.report(Mono(n * 150_000), 7_000.0, Energy(1), WINDOW_MS, 10), None);
        }
    }
}
