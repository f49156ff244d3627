//! A pile's clocks as they are measured, message by message, and when a change of them is worth a fact.
//! The least delayed message tells most: none is received before it was sent.

use super::{BootClock, ClockSetting, NOISE_MS, PileClocks, SETTINGS_MAX, signed};
use crate::{ids::BootId, time::Wall};

/// How often a finer measure of a known start is reported between two [`ClockWatch::renew`]; a pile whose clocks run
/// wild would fill the journal otherwise.
const REFINEMENTS_MAX: u8 = 4;
/// A pile's clock that is off by more than this is flagged `clock_suspect`, in milliseconds.
const SUSPECT_MS: i64 = 300_000;

/// Measures a pile's clocks from its live messages.
///
/// It is volatile: what it measures reaches the rows by facts, whenever [`ClockWatch::measure`] says so.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClockWatch {
    clocks: PileClocks,
    /// As last reported to the caller.
    reported: PileClocks,
    refinements: u8,
    mono: Least,
    ts: Least,
    /// Since the station was started the newest start was found to be elsewhere, and all that was known has followed.
    has_followed: bool,
    /// By how much the station's clock was found elsewhere, until the caller has taken note.
    moved_ms: Option<i64>,
}

/// The smallest value of this period and the one before, so that a clock that drifts is followed and a period in which
/// every message was late does not count alone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Least {
    before: Option<i64>,
    now: Option<i64>,
}

impl Least {
    fn take(&mut self, value: i64) -> i64 {
        let now = self.now.map_or(value, |now| now.min(value));
        self.now = Some(now);
        self.before.map_or(now, |before| before.min(now))
    }

    fn renew(&mut self) {
        if let Some(now) = self.now.take() {
            self.before = Some(now);
        }
    }

    fn shift(&mut self, by_ms: i64) {
        for value in [&mut self.before, &mut self.now].into_iter().flatten() {
            *value = value.saturating_add(by_ms);
        }
    }
}

impl From<PileClocks> for ClockWatch {
    /// Goes on from what was kept, after the station was restarted. The newest start is measured anew: the station's own
    /// clock may have been set while the station was off.
    fn from(kept: PileClocks) -> Self {
        Self {
            clocks: kept.clone(),
            reported: kept,
            ..Self::default()
        }
    }
}

impl ClockWatch {
    /// All that is known, as of now.
    pub fn clocks(&self) -> &PileClocks {
        &self.clocks
    }

    /// By how much a `ts` of the pile must be moved now to be station time, in milliseconds; small differences are noise.
    pub fn correction_ms(&self) -> Option<i64> {
        self.clocks.newest().and_then(BootClock::correction_ms)
    }

    /// Whether the pile's clock is off by more than five minutes.
    pub fn is_suspect(&self) -> bool {
        let ts_ms = self.clocks.newest().and_then(BootClock::ts_ms);
        ts_ms.is_some_and(|offset| offset.saturating_abs() > SUSPECT_MS)
    }

    /// Takes in what a live message (`boot`, `heartbeat`) says of the pile's clocks, which was received at `received`.
    ///
    /// `true` if the caller should write a fact with [`ClockWatch::clocks`]: another start, a first `ts`, a clock that was
    /// set, or a change of more than [`NOISE_MS`]. Messages of a start that is known and not the newest tell nothing.
    pub fn measure(&mut self, boot_id: &BootId, ts: Option<Wall>, mono_ms: u64, received: Wall) -> bool {
        let known = self.clocks.of(boot_id).is_some();
        let newest = self.clocks.newest().is_some_and(|newest| newest.boot_id == *boot_id);
        if known && !newest {
            return false;
        }
        if !known {
            self.begin(boot_id, mono_ms, received);
        }
        self.take(ts, mono_ms, received, !known)
    }

    /// As [`ClockWatch::measure`], of a pile that was seen to start again without giving that start another name.
    pub fn restarted(&mut self, boot_id: &BootId, ts: Option<Wall>, mono_ms: u64, received: Wall) -> bool {
        self.begin(boot_id, mono_ms, received);
        self.take(ts, mono_ms, received, true)
    }

    /// By how much the station's clock was put elsewhere while the station was off, in milliseconds, if the last message
    /// told; told once.
    pub fn take_move(&mut self) -> Option<i64> {
        self.moved_ms.take()
    }

    /// An hour has passed, or the pile was told the time: clocks drift, so older measures count no more after the next.
    pub fn renew(&mut self) {
        self.mono.renew();
        self.ts.renew();
        self.refinements = 0;
    }

    /// The station's own clock was stepped: all that was measured against it moves along, earlier starts too.
    pub fn follow_step(&mut self, by_ms: i64) {
        self.clocks.follow_step(by_ms);
        self.mono.shift(by_ms);
        self.ts.shift(by_ms);
    }

    fn begin(&mut self, boot_id: &BootId, mono_ms: u64, received: Wall) {
        (self.mono, self.ts, self.has_followed) = (Least::default(), Least::default(), false);
        self.clocks.begin(BootClock {
            boot_id: boot_id.clone(),
            mono_ms: received.0.saturating_sub(signed(mono_ms)),
            settings: Vec::new(),
            first_heard: received,
            last_heard: received,
        });
    }

    /// By how much the station's own clock was moved while the station was off, as the newest start's clocks tell: both are
    /// found elsewhere by the same amount. Where the pile has no clock, or its clock was set as well, its uptime tells, in the
    /// first message since, if it has gone on since the pile was last heard.
    fn station_moved_ms(&self, ts: Option<Wall>, mono_ms: u64, received: Wall) -> Option<i64> {
        let boot = self.clocks.newest()?;
        let found = received.0.saturating_sub(signed(mono_ms));
        let by_uptime = self.mono.clone().take(found).saturating_sub(boot.mono_ms);
        if by_uptime.saturating_abs() <= NOISE_MS {
            return None;
        }
        let by_clock = ts
            .zip(boot.ts_ms())
            .map(|(ts, known)| received.ms_since(ts).saturating_sub(known));
        let same = by_clock.is_some_and(|by| by.saturating_sub(by_uptime).saturating_abs() <= NOISE_MS);
        let went_on = signed(mono_ms).saturating_add(boot.mono_ms) >= boot.last_heard.0;
        let is_first = self.mono == Least::default();
        // What came later tells how late that first message was.
        let was_late = self.has_followed && by_uptime < 0;
        (was_late || (is_first && (same || went_on))).then_some(by_uptime)
    }

    fn take(&mut self, ts: Option<Wall>, mono_ms: u64, received: Wall, begun: bool) -> bool {
        if !begun && let Some(by_ms) = self.station_moved_ms(ts, mono_ms, received) {
            self.clocks.follow_step(by_ms);
            self.has_followed = true;
            self.moved_ms = Some(by_ms);
        }
        let Some(boot) = self.clocks.boots.last_mut() else {
            return false;
        };
        boot.last_heard = boot.last_heard.max(received);
        boot.mono_ms = self.mono.take(received.0.saturating_sub(signed(mono_ms)));
        let set = ts.is_some_and(|ts| take_ts(boot, &mut self.ts, ts, mono_ms, received));
        let told = begun || set;
        if !told && (self.refinements == REFINEMENTS_MAX || !differ(&self.clocks, &self.reported)) {
            return false;
        }
        if !told {
            self.refinements += 1;
        }
        self.reported = self.clocks.clone();
        true
    }
}

/// Whether this is a setting that is kept besides the others.
fn take_ts(boot: &mut BootClock, least: &mut Least, ts: Wall, mono_ms: u64, received: Wall) -> bool {
    let ts_ms = received.ms_since(ts);
    let pile_start_ms = ts.0.saturating_sub(signed(mono_ms));
    if let Some(last) = boot.settings.last_mut() {
        // Its clock against its uptime tells that it was set. The other condition is for piles that do not count their
        // uptime, and for what has drifted apart over weeks.
        let set = last.pile_start_ms.saturating_sub(pile_start_ms).saturating_abs() > NOISE_MS
            && last.ts_ms.saturating_sub(ts_ms).saturating_abs() > NOISE_MS;
        if !set {
            last.ts_ms = least.take(ts_ms);
            return false;
        }
    }
    *least = Least::default();
    let setting = ClockSetting {
        from_mono_ms: mono_ms,
        pile_start_ms,
        ts_ms: least.take(ts_ms),
    };
    if boot.settings.len() < SETTINGS_MAX {
        boot.settings.push(setting);
        return true;
    }
    if let Some(last) = boot.settings.last_mut() {
        *last = setting;
    }
    false
}

fn differ(now: &PileClocks, then: &PileClocks) -> bool {
    let far = |a: i64, b: i64| a.saturating_sub(b).saturating_abs() > NOISE_MS;
    let differs = |(now, then): (&BootClock, &BootClock)| {
        let settings = now.settings.iter().zip(&then.settings);
        far(now.mono_ms, then.mono_ms) || settings.into_iter().any(|(now, then)| far(now.ts_ms, then.ts_ms))
    };
    now.boots.len() != then.boots.len() || now.boots.iter().zip(&then.boots).any(differs)
}
