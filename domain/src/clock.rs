//! What is known of a pile's clocks, for each of its last starts: how far its time and its uptime are from the station's.
//! A record goes by the start in which it was written, so what was measured in an earlier start is kept.

use crate::{ids::BootId, time::Wall};
use serde::{Deserialize, Serialize};

mod watch;
pub use watch::ClockWatch;

/// How many starts of a pile are kept; the oldest is forgotten first.
pub const BOOTS_MAX: usize = 8;
/// How many settings of its clock are kept for one start. A clock that is set more often overwrites the last of them.
pub const SETTINGS_MAX: usize = 8;
/// A clock offset below this is the network's, not the clock's, in milliseconds.
pub const NOISE_MS: i64 = 5_000;

/// A stretch of a pile's start during which nobody set its clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockSetting {
    /// The pile's uptime when the setting was first heard, in milliseconds.
    pub from_mono_ms: u64,
    /// The pile's time less its uptime: when it started, by its own clock, in milliseconds since 1970 (negative where it
    /// was reset to 1970 while it ran). Network delay is not in it, so a change of it means that the clock was set.
    pub pile_start_ms: i64,
    /// Station wall time less the pile's `ts`, in milliseconds.
    pub ts_ms: i64,
}

impl ClockSetting {
    /// By how much a `ts` of the pile must be moved to be station time, in milliseconds; small differences are noise.
    pub fn correction_ms(&self) -> i64 {
        if self.ts_ms.saturating_abs() < NOISE_MS {
            0
        } else {
            self.ts_ms
        }
    }
}

/// What was measured of a pile's clocks in one of its starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootClock {
    /// The pile's name for this start.
    pub boot_id: BootId,
    /// Station wall time less the pile's `mono_ms`, in milliseconds: when it started, by the station's clock. Every
    /// message has a `mono_ms`, so it is always known.
    pub mono_ms: i64,
    /// The settings of its clock, newest last; empty where it has shown no clock. At most [`SETTINGS_MAX`].
    pub settings: Vec<ClockSetting>,
    /// When the station first heard of this start, by its own clock.
    #[serde(with = "wall_ms")]
    pub first_heard: Wall,
    /// When it last did.
    #[serde(with = "wall_ms")]
    pub last_heard: Wall,
}

impl BootClock {
    /// Station wall time less the pile's `ts` as its clock is set now, in milliseconds; `None` where it has no clock.
    pub fn ts_ms(&self) -> Option<i64> {
        self.settings.last().map(|setting| setting.ts_ms)
    }

    /// By how much a `ts` of the pile must be moved now to be station time, in milliseconds; small differences are noise.
    pub fn correction_ms(&self) -> Option<i64> {
        self.settings.last().map(ClockSetting::correction_ms)
    }

    /// The setting that was in force at this uptime of the pile, as far as the station heard of it.
    pub fn setting_at(&self, mono_ms: u64) -> Option<&ClockSetting> {
        let heard = self.settings.iter().rfind(|setting| setting.from_mono_ms <= mono_ms);
        heard.or(self.settings.first())
    }

    /// The setting under which the pile's clock showed `ts` at this uptime, and by how many milliseconds it missed that:
    /// the one that misses it least.
    pub fn setting_that_showed(&self, ts: Wall, mono_ms: u64) -> Option<(&ClockSetting, i64)> {
        let pile_start_ms = ts.0.saturating_sub(signed(mono_ms));
        let missed = |setting: &ClockSetting| setting.pile_start_ms.saturating_sub(pile_start_ms).saturating_abs();
        let settings = self.settings.iter().map(|setting| (setting, missed(setting)));
        settings.min_by_key(|(_, missed)| *missed)
    }

    /// The station's time at this uptime of the pile.
    pub fn at_uptime(&self, mono_ms: u64) -> Wall {
        Wall(self.mono_ms).after_ms(signed(mono_ms))
    }

    /// The station's own clock was stepped: what was measured against it moves along.
    fn follow_step(&mut self, by_ms: i64) {
        self.mono_ms = self.mono_ms.saturating_add(by_ms);
        for setting in &mut self.settings {
            setting.ts_ms = setting.ts_ms.saturating_add(by_ms);
        }
        self.first_heard = self.first_heard.after_ms(by_ms);
        self.last_heard = self.last_heard.after_ms(by_ms);
    }
}

/// What is kept of a pile's clocks: its last starts, newest last.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PileClocks {
    /// At most [`BOOTS_MAX`].
    boots: Vec<BootClock>,
}

impl PileClocks {
    /// The starts that are kept, newest last.
    pub fn boots(&self) -> &[BootClock] {
        &self.boots
    }

    /// The start that is heard now.
    pub fn newest(&self) -> Option<&BootClock> {
        self.boots.last()
    }

    /// The newest start of this name. A pile that gives two starts one name has several.
    pub fn of(&self, boot_id: &BootId) -> Option<&BootClock> {
        self.boots.iter().rfind(|boot| boot.boot_id == *boot_id)
    }

    /// The station's own clock was stepped: all that was measured against it moves along, earlier starts too.
    pub fn follow_step(&mut self, by_ms: i64) {
        for boot in &mut self.boots {
            boot.follow_step(by_ms);
        }
    }

    fn begin(&mut self, boot: BootClock) {
        if self.boots.len() == BOOTS_MAX {
            self.boots.remove(0);
        }
        self.boots.push(boot);
    }
}

/// An uptime as a signed number, for arithmetic with wall times; a nonsensical one stays nonsensical.
pub(crate) fn signed(mono_ms: u64) -> i64 {
    i64::try_from(mono_ms).unwrap_or(i64::MAX)
}

/// Wall times as milliseconds: after a step of the station's clock they may lie before 1970, which RFC 3339 as the
/// contract has it cannot say.
mod wall_ms {
    use crate::time::Wall;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(wall: &Wall, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(wall.0)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Wall, D::Error> {
        i64::deserialize(deserializer).map(Wall)
    }
}

#[cfg(test)]
mod tests;
