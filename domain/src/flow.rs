//! Current that flows past the meter (虚充): what a connector says it delivers, against what its register counts (S03 §5).
//! From telemetry alone, so it proves nothing: it makes a person look.

use crate::{time::Mono, units::Energy};

/// Reports that lie further apart tell nothing about the time between them, in milliseconds.
const SILENCE_MS: u64 = 120_000;
/// Less than this within a window is too little to judge by: 1.2 kW for five minutes.
const JUDGED_FROM: Energy = Energy(1_000);
/// Less than so many steps of the register is too little to judge by: it may be about to count one.
const JUDGED_FROM_STEPS: i64 = 3;
/// So many steps of the register must be missing: one may be, with the register at both ends between two of them.
const MISSING_STEPS_MIN: i64 = 2;
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

/// What a window is judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judged {
    /// How long a window is at least, in milliseconds.
    pub window_ms: u64,
    /// Less than this share of what flows is too little for the register to count, in per cent.
    pub pct: u8,
    /// The step in which the register counts ([`crate::plausible::RegisterWatch::step`]).
    pub step: Energy,
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
    /// Takes a report of a connector that charges, with volts × amperes or `None` where either is unknown. At the end of
    /// each window it says if the register counted too little of what flowed; between two reports the lesser of both powers
    /// counts.
    ///
    /// Only readings that are believed come here ([`crate::plausible::Verdict::is_believed`]); where they begin a new line
    /// ([`crate::plausible::Verdict::is_new_line`]) the caller begins a new watch. A slip is not what was counted.
    pub fn report(&mut self, at: Mono, watts: Option<f64>, register: Energy, judged: Judged) -> Option<Uncounted> {
        // Infinite and unknown currents are nobody's proof.
        let Some(watts) = watts.filter(|watts| watts.is_finite()).map(|watts| watts.max(0.0)) else {
            self.window = None;
            return None;
        };
        let begun = Window {
            since: at,
            register,
            last: at,
            watts,
            watt_ms: 0.0,
        };
        // A register that runs backwards is another doubt, and another rule's.
        let window = self
            .window
            .as_mut()
            .filter(|window| at.ms_since(window.last) <= SILENCE_MS && register >= window.register);
        let Some(window) = window else {
            self.window = Some(begun);
            return None;
        };
        window.watt_ms += watts.min(window.watts) * at.ms_since(window.last) as f64;
        (window.last, window.watts) = (at, watts);
        let ms = at.ms_since(window.since);
        if ms < judged.window_ms {
            return None;
        }
        let claimed = Energy((window.watt_ms / WATT_MS_PER_UNIT) as i64);
        let counted = register - window.register;
        if is_strong(claimed, ms, judged.window_ms) && claimed < steps(judged.step, JUDGED_FROM_STEPS) {
            return None;
        }
        self.window = Some(begun);
        let is_too_little = i128::from(counted.0) * 100 < i128::from(claimed.0) * i128::from(judged.pct)
            && claimed - counted >= steps(judged.step, MISSING_STEPS_MIN);
        (is_strong(claimed, ms, judged.window_ms) && is_too_little).then_some(Uncounted { claimed, counted })
    }
}

/// Whether what flowed in `ms` is [`JUDGED_FROM`] or more in each `window_ms` of it: a sensor that is a little off adds up
/// to anything, given the time.
fn is_strong(claimed: Energy, ms: u64, window_ms: u64) -> bool {
    i128::from(claimed.0) * i128::from(window_ms) >= i128::from(JUDGED_FROM.0) * i128::from(ms)
}

fn steps(step: Energy, count: i64) -> Energy {
    Energy(step.0.saturating_mul(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINE: Judged = Judged {
        window_ms: 300_000,
        pct: 10,
        step: Energy(1),
    };
    const WHOLE_KWH: Judged = Judged {
        step: Energy(10_000),
        ..FINE
    };
    const BEAT_MS: u64 = 15_000;

    /// What a session is found to be, with a report every 15 s, and after how many.
    fn watched(watts: f64, beats: i64, judged: Judged, register: impl Fn(i64) -> i64) -> Option<(i64, Uncounted)> {
        let mut watch = FlowWatch::default();
        (0..=beats).find_map(|beat| {
            let at = Mono(beat as u64 * BEAT_MS);
            let found = watch.report(at, Some(watts), Energy(10_000_000 + register(beat)), judged)?;
            Some((beat, found))
        })
    }

    /// What a session of ten minutes is found to be.
    fn session(watts: f64, units_each: i64) -> Option<Uncounted> {
        watched(watts, 40, FINE, |beat| units_each * beat).map(|(_, found)| found)
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
    }

    #[test]
    fn a_register_that_runs_backwards_is_not_called_fake_charging() {
        assert_eq!(session(7_000.0, -10), None);
        let jump_down = |beat: i64| if beat < 10 { 5_780_000 } else { beat * 291 };
        assert_eq!(watched(7_000.0, 40, FINE, jump_down), None);
    }

    #[test]
    fn little_current_none_and_absurd_ones_prove_nothing() {
        for watts in [0.0, 1_000.0, -7_000.0, f64::NAN, f64::INFINITY] {
            assert_eq!(session(watts, 0), None, "{watts}");
            assert_eq!(watched(watts, 2_000, WHOLE_KWH, |_| 0), None, "{watts}, however long");
        }
        assert!(session(f64::MAX, 0).is_some());
    }

    #[test]
    fn a_register_in_whole_kwh_is_judged_when_three_steps_have_flowed() {
        // 7 kW are 291.7 units in 15 s: a step takes 34 reports.
        for begun_at in (0..10_000).step_by(500) {
            let whole = |beat: i64| (begun_at + beat * 2_917 / 10) / 10_000 * 10_000;
            assert_eq!(watched(7_000.0, 1_000, WHOLE_KWH, whole), None, "begun at {begun_at}");
            // A sensor that shows a twentieth too much, and a share that leaves it little room.
            let strict = Judged { pct: 90, ..WHOLE_KWH };
            assert_eq!(watched(7_350.0, 1_000, strict, whole), None, "begun at {begun_at}");
        }
        let (beat, found) = watched(7_000.0, 1_000, WHOLE_KWH, |_| 0).unwrap();
        assert_eq!((beat, found.counted), (103, Energy::ZERO), "26 minutes, and 3 kWh");
        assert!(
            (30_000..31_000).contains(&found.claimed.0),
            "3 kWh flowed: {:?}",
            found.claimed
        );
    }

    #[test]
    fn a_window_that_waits_for_steps_begins_anew_when_the_current_falls() {
        let mut watch = FlowWatch::default();
        for beat in 0..1_000 {
            let watts = if beat < 30 { 7_000.0 } else { 100.0 };
            let found = watch.report(Mono(beat * BEAT_MS), Some(watts), Energy(0), WHOLE_KWH);
            assert_eq!(found, None, "{beat}");
        }
    }

    #[test]
    fn three_reports_that_were_not_believed_are_no_fake_charging() {
        // Reports 10 to 12 read zero: they do not come here.
        let mut watch = FlowWatch::default();
        for beat in (0..60).filter(|beat| !(10..=12).contains(beat)) {
            let register = Energy(10_000_000 + beat * 291);
            let found = watch.report(Mono(beat as u64 * BEAT_MS), Some(7_000.0), register, FINE);
            assert_eq!(found, None, "{beat}");
        }
    }

    #[test]
    fn silence_and_unknown_current_begin_a_new_window() {
        let mut watch = FlowWatch::default();
        for n in 0..10 {
            let found = watch.report(Mono(n * 150_000), Some(7_000.0), Energy(1), FINE);
            assert_eq!(found, None);
        }
        for n in 0..100 {
            let watts = (n % 20 != 0).then_some(7_000.0);
            let found = watch.report(Mono(2_000_000 + n * BEAT_MS), watts, Energy(1), FINE);
            assert_eq!(found, None, "{n}");
        }
    }
}
