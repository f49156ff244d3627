//! Which start of a pile a message speaks of: the present one, an earlier one, a new one under an old name, or that of
//! another device with the same identity. `seq` and uptime tell them apart; both are the pile's own.

use crate::{ids::BootId, messages::Common, time::Mono};

/// How many earlier starts of a pile are remembered.
const PAST_MAX: usize = 4;
/// By how much the order of two events may be misjudged from uptimes, in milliseconds: what a network delays.
const DELAY_NOISE_MS: i64 = 5_000;
/// So many take-overs within [`TAKE_OVER_WINDOW_MS`] are two devices that push each other out. One pile on a bad network
/// takes its own dead connection over now and then.
const TAKE_OVERS_MAX: usize = 5;
/// Within how long take-overs are counted, in milliseconds: both devices wait up to a minute between two attempts.
const TAKE_OVER_WINDOW_MS: u64 = 300_000;

/// What a `boot` or `heartbeat` is, besides what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// It speaks of now.
    Live,
    /// As above, and the pile has begun to count anew under the same `boot_id`: it has restarted.
    BegunAnew,
    /// It speaks of the past: something later is known.
    Late,
}

/// One start of a pile.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Run {
    boot_id: BootId,
    /// When it began, by the station's elapsed time less the pile's uptime, in milliseconds. The least delayed message
    /// tells best. Negative where the pile is older than the station.
    began_ms: i64,
    /// `seq` of its last heartbeat; of its last boot until there is one.
    seq: u64,
    /// Whether it has sent a heartbeat.
    heartbeats: bool,
    /// Uptime in its last live message.
    mono_ms: u64,
    /// When that was received.
    heard: Mono,
    /// When another start took its place; in the past only.
    replaced: Option<Mono>,
}

/// The starts of a pile that are known.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Runs {
    present: Option<Run>,
    /// Newest last.
    past: Vec<Run>,
    /// When its connection was taken over, newest last.
    take_overs: Vec<Mono>,
}

fn began_ms(common: &Common, now: Mono) -> i64 {
    let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    signed(now.0).saturating_sub(signed(common.mono_ms))
}

impl Run {
    fn new(common: &Common, is_boot: bool, now: Mono) -> Self {
        Self {
            boot_id: common.boot_id.clone(),
            began_ms: began_ms(common, now),
            seq: common.seq,
            heartbeats: !is_boot,
            mono_ms: common.mono_ms,
            heard: now,
            replaced: None,
        }
    }

    fn follow(&mut self, common: &Common, is_boot: bool, now: Mono) {
        self.began_ms = self.began_ms.min(began_ms(common, now));
        if !is_boot || !self.heartbeats {
            self.seq = common.seq;
        }
        self.heartbeats |= !is_boot;
        self.mono_ms = self.mono_ms.max(common.mono_ms);
        self.heard = now;
    }

    /// Whether a message with this name can only come from a later start: all its counts are lower, and by its uptime
    /// that start lies after the last word of this one.
    fn is_over_by(&self, common: &Common, now: Mono) -> bool {
        let heard = i64::try_from(self.heard.0).unwrap_or(i64::MAX);
        common.seq < self.seq && common.mono_ms < self.mono_ms && began_ms(common, now) > heard
    }

    /// Whether this start, which another one replaced, has sent the message since: then there are two devices.
    fn goes_on_by(&self, common: &Common) -> bool {
        let uptime = i64::try_from(common.mono_ms).unwrap_or(i64::MAX);
        let sent = self.began_ms.saturating_add(uptime);
        let replaced = |at: Mono| i64::try_from(at.0).unwrap_or(i64::MAX);
        common.seq > self.seq
            && self
                .replaced
                .is_some_and(|at| sent > replaced(at).saturating_add(DELAY_NOISE_MS))
    }
}

impl Runs {
    /// Takes a `boot` or `heartbeat` in. Says what it is, and whether it proves that two devices have this identity.
    pub(super) fn hear(&mut self, common: &Common, is_boot: bool, now: Mono) -> (Heard, bool) {
        let past = self.past.iter().position(|run| run.boot_id == common.boot_id);
        if let Some(at) = past {
            let two_devices = self.past[at].goes_on_by(common);
            if !is_boot {
                return (Heard::Late, two_devices);
            }
            let mut run = self.past.remove(at);
            run.replaced = None;
            run.follow(common, is_boot, now);
            self.begin(run, now);
            return (Heard::Live, two_devices);
        }
        let Some(present) = self.present.as_mut().filter(|run| run.boot_id == common.boot_id) else {
            self.begin(Run::new(common, is_boot, now), now);
            return (Heard::Live, false);
        };
        // A boot is heard even where it counts nothing.
        if is_boot && common.seq == 0 && common.mono_ms == 0 {
            present.heard = now;
            return (Heard::Live, false);
        }
        if present.is_over_by(common, now) {
            *present = Run::new(common, is_boot, now);
            return (Heard::BegunAnew, false);
        }
        if present.heartbeats && common.seq <= present.seq {
            return (Heard::Late, false);
        }
        present.follow(common, is_boot, now);
        (Heard::Live, false)
    }

    /// Whether a message names a start that another one has replaced; not known before the pile has said which is its
    /// present one.
    pub(super) fn is_earlier(&self, boot_id: &BootId) -> bool {
        self.present.as_ref().is_some_and(|run| run.boot_id != *boot_id)
    }

    /// From now on the pile speaks of this start.
    fn begin(&mut self, run: Run, now: Mono) {
        if let Some(mut past) = self.present.replace(run) {
            if self.past.len() == PAST_MAX {
                self.past.remove(0);
            }
            past.replaced = Some(now);
            self.past.push(past);
        }
    }

    /// The pile's connection was taken over. Says whether that happens so often that two devices must be at it.
    pub(super) fn taken_over(&mut self, now: Mono) -> bool {
        self.take_overs.retain(|at| now.ms_since(*at) < TAKE_OVER_WINDOW_MS);
        if self.take_overs.len() == TAKE_OVERS_MAX {
            self.take_overs.remove(0);
        }
        self.take_overs.push(now);
        self.take_overs.len() == TAKE_OVERS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(boot: &str, seq: u64, mono_ms: u64) -> Common {
        Common {
            boot_id: BootId::new(boot).unwrap(),
            seq,
            mono_ms,
            ts: None,
            msg_id: None,
        }
    }

    /// The pile started at 100 s by the station's clock; each heartbeat takes 40 ms.
    fn heartbeat(runs: &mut Runs, boot: &str, seq: u64, mono_ms: u64, now: u64) -> (Heard, bool) {
        runs.hear(&said(boot, seq, mono_ms), false, Mono(now))
    }

    #[test]
    fn a_heartbeat_of_the_past_is_late() {
        let mut runs = Runs::default();
        assert_eq!(heartbeat(&mut runs, "a", 5, 50_000, 150_040), (Heard::Live, false));
        assert_eq!(
            heartbeat(&mut runs, "a", 5, 50_000, 150_050),
            (Heard::Late, false),
            "again"
        );
        assert_eq!(heartbeat(&mut runs, "a", 4, 40_000, 151_000), (Heard::Late, false));
        assert_eq!(heartbeat(&mut runs, "b", 1, 10_000, 200_000), (Heard::Live, false));
        assert_eq!(
            heartbeat(&mut runs, "a", 6, 60_000, 201_000),
            (Heard::Late, false),
            "sent before the pile restarted, and delayed"
        );
    }

    #[test]
    fn counts_begun_anew_under_the_same_name_are_a_restart_and_a_delayed_message_is_none() {
        let mut runs = Runs::default();
        heartbeat(&mut runs, "fixed", 900, 9_000_000, 9_100_000);
        // Sent at an uptime of 8,999 s and delayed by 20 s: it began when the known start began.
        assert_eq!(heartbeat(&mut runs, "fixed", 899, 8_999_000, 9_119_000).0, Heard::Late);
        // A count alone that is lower is no restart.
        assert_eq!(heartbeat(&mut runs, "fixed", 3, 9_060_000, 9_160_000).0, Heard::Late);
        assert_eq!(
            heartbeat(&mut runs, "fixed", 2, 30_000, 9_160_000).0,
            Heard::BegunAnew,
            "it started 30 s after the last word of before"
        );
        assert_eq!(heartbeat(&mut runs, "fixed", 3, 45_000, 9_175_000).0, Heard::Live);
        // A boot says so too.
        let boot = said("fixed", 1, 4_000);
        assert_eq!(runs.hear(&boot, true, Mono(9_200_000)), (Heard::BegunAnew, false));
        assert_eq!(
            runs.hear(&boot, true, Mono(9_200_000)),
            (Heard::Live, false),
            "said again"
        );
        assert_eq!(heartbeat(&mut runs, "fixed", 2, 9_000, 9_205_000).0, Heard::Live);
        let uncounted = said("fixed", 0, 0);
        assert_eq!(
            runs.hear(&uncounted, true, Mono(9_300_000)),
            (Heard::Live, false),
            "not counted"
        );
        assert_eq!(heartbeat(&mut runs, "fixed", 3, 110_000, 9_306_000).0, Heard::Live);
    }

    #[test]
    fn a_start_that_goes_on_after_it_was_replaced_is_another_device() {
        let mut runs = Runs::default();
        heartbeat(&mut runs, "a", 10, 100_000, 200_000);
        assert_eq!(heartbeat(&mut runs, "b", 70, 700_000, 215_000), (Heard::Live, false));
        assert_eq!(heartbeat(&mut runs, "a", 12, 130_000, 230_000), (Heard::Late, true));
        // By a boot it takes the place over, and the other then gives itself away.
        assert_eq!(
            runs.hear(&said("a", 13, 140_000), true, Mono(240_000)),
            (Heard::Live, true)
        );
        assert_eq!(heartbeat(&mut runs, "b", 72, 740_000, 255_000), (Heard::Late, true));
    }

    #[test]
    fn only_take_overs_in_quick_succession_are_two_devices() {
        let mut runs = Runs::default();
        let flapping = |runs: &mut Runs, every_ms: u64| (1..=10).any(|n| runs.taken_over(Mono(n * every_ms)));
        assert!(!flapping(&mut runs, 120_000));
        assert!(flapping(&mut Runs::default(), 30_000));
        assert_eq!(runs.take_overs.len(), 3, "only those that count are remembered");
    }
}
