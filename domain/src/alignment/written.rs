//! In which start of the pile a record's session was, and its times by what was measured in that start.
//! A pile's time less its uptime is when it started by its own clock: the same for all it writes until its clock is set.

use super::{Evidence, Moment, Span, TIME_SLACK_MS, bounds};
use crate::{
    clock::BootClock,
    messages::Record,
    planted::{Bug, is_planted},
    rating::Reading,
    time::Wall,
};

/// From this much uptime on a pile's two clocks are compared, in milliseconds: one that does not count its uptime says 0.
const UPTIME_TELLS_MS: u64 = 60_000;
/// How far a record's two clocks may differ from a setting and be of it, in milliseconds: more than drift over a day of
/// charging.
const SAME_SETTING_MS: i64 = 10_000;
/// The same where the start of the pile is not known: nobody should wait for a person because a clock has drifted over
/// days of silence.
const SAME_START_MS: i64 = 30_000;

/// In which start of the pile a record was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// In this one, an index of the pile's clocks.
    In(usize),
    /// In this one, or in another that tells other times.
    Ambiguous(usize),
    /// In none whose clocks were measured, as far as can be known.
    Unmeasured,
}

impl Written {
    /// Since when the clocks that the session's times go by were not all heard any more.
    pub(super) fn heard(self, record: &Record, evidence: &Evidence) -> Wall {
        let (Self::In(boot) | Self::Ambiguous(boot)) = self else {
            return evidence.now;
        };
        let boots = evidence.clocks.boots();
        let ends = [start_of(record), stop_of(record)].into_iter();
        let elsewhere = ends.filter_map(|end| showed_elsewhere(boots, boot, end.ts?, end.mono_ms));
        let heard = elsewhere.map(|(other, _)| other.last_heard).min();
        heard.map_or(boots[boot].last_heard, |heard| heard.min(boots[boot].last_heard))
    }
}

/// Finds the start in which the session was: the one that the record or its order names, else the one whose clock and
/// uptime tell the same time, else the present one if it cannot be another.
pub(super) fn find(record: &Record, evidence: &Evidence) -> Written {
    let boots = evidence.clocks.boots();
    let present = boots.iter().rposition(|boot| boot.boot_id == evidence.boot_id);
    if is_planted(Bug::OffsetOfPresentBoot) {
        return present.map_or(Written::Unmeasured, Written::In);
    }
    let started = || evidence.order.as_ref()?.started.as_ref()?.1.as_ref();
    if let Some(named) = record.session_boot_id.as_ref().or_else(started) {
        // A pile that gives every start one name has several.
        let of_this_name = (0..boots.len()).filter(|boot| boots[*boot].boot_id == *named);
        let of_this_name = possible(record, evidence, of_this_name.collect());
        return closest(record, evidence, &of_this_name).map_or(Written::Unmeasured, Written::In);
    }
    agreeing(record, evidence)
        .or_else(|| present_one(record, evidence, present?))
        .unwrap_or(Written::Unmeasured)
}

/// The session's two ends by what was measured in a start of the pile.
pub(super) fn span(record: &Record, evidence: &Evidence, boot: usize) -> Span {
    let counts = counts_uptime(record);
    Span {
        start: moved(evidence, boot, start_of(record), counts),
        stop: moved(evidence, boot, stop_of(record), counts),
    }
}

/// The record's buffered readings whose time is known.
pub(super) fn samples(record: &Record, evidence: &Evidence, written: &Written) -> Vec<Reading> {
    let within = record.start_mono_ms..=record.stop_mono_ms;
    let at = |moment: Moment| match written {
        Written::In(boot) | Written::Ambiguous(boot) => {
            // Some piles give a reading's time, and leave its uptime at nothing.
            let counts = counts_uptime(record) && within.contains(&moment.mono_ms);
            let known = moment.ts.is_some() || within.contains(&moment.mono_ms);
            known.then(|| moved(evidence, *boot, moment, counts))
        }
        Written::Unmeasured => by_present_offset_at(evidence, moment),
    };
    let samples = record.samples.iter().filter_map(|sample| {
        let (ts, mono_ms) = (sample.ts, sample.mono_ms);
        let at = at(Moment { ts, mono_ms }).filter(|at| Wall::RANGE.contains(at))?;
        Some(Reading {
            at,
            register: sample.meter_kwh,
        })
    });
    samples.collect()
}

/// What a session would have been by the pile's clock as it is set now; `None` where one of the two has no clock.
pub(super) fn by_present_offset(record: &Record, evidence: &Evidence) -> Option<Span> {
    Some(Span {
        start: by_present_offset_at(evidence, start_of(record))?,
        stop: by_present_offset_at(evidence, stop_of(record))?,
    })
}

/// Whether a session of this start of the pile ended after the pile had started again.
pub(super) fn outlives(record: &Record, evidence: &Evidence, boot: usize, span: Span) -> Option<&'static str> {
    let boots = evidence.clocks.boots();
    let elsewhere = stop_of(record)
        .ts
        .is_some_and(|ts| showed_elsewhere(boots, boot, ts, record.stop_mono_ms).is_some());
    let end = end_of(boots, boot).filter(|_| !elsewhere)?;
    (span.stop > end.after_ms(TIME_SLACK_MS)).then_some("it ended after the pile had started again")
}

fn start_of(record: &Record) -> Moment {
    Moment {
        ts: record.start_ts,
        mono_ms: record.start_mono_ms,
    }
}

fn stop_of(record: &Record) -> Moment {
    Moment {
        ts: record.stop_ts,
        mono_ms: record.stop_mono_ms,
    }
}

fn by_present_offset_at(evidence: &Evidence, moment: Moment) -> Option<Wall> {
    let clocks = &evidence.clocks;
    let present = clocks.of(&evidence.boot_id).or(clocks.newest())?;
    Some(moment.ts?.after_ms(present.correction_ms()?))
}

/// A moment of a known start, by the station's clock.
fn moved(evidence: &Evidence, boot: usize, moment: Moment, counts_uptime: bool) -> Wall {
    let boots = evidence.clocks.boots();
    let known = &boots[boot];
    let by_uptime = known.at_uptime(moment.mono_ms);
    let Some(ts) = moment.ts else {
        return by_uptime;
    };
    let by_offset = |correction_ms: i64| match is_planted(Bug::OffsetTwice) {
        true => ts.after_ms(correction_ms.saturating_mul(2)),
        false => ts.after_ms(correction_ms),
    };
    if is_planted(Bug::OffsetOfPresentBoot) {
        return known.correction_ms().map_or(by_uptime, by_offset);
    }
    if let Some((setting, missed_ms)) = known.setting_that_showed(ts, moment.mono_ms)
        && missed_ms <= SAME_SETTING_MS
    {
        return by_offset(setting.correction_ms());
    }
    // A session may go on after the pile has started again: its other end is of another start.
    if let Some((_, correction_ms)) = showed_elsewhere(boots, boot, ts, moment.mono_ms) {
        return by_offset(correction_ms);
    }
    // Where its time and its uptime tell different times, the clock was set meanwhile, and the uptime was not.
    let setting = known.setting_at(moment.mono_ms).filter(|_| !counts_uptime);
    setting.map_or(by_uptime, |setting| by_offset(setting.correction_ms()))
}

/// Another start of the pile whose clock showed `ts` at this uptime, and the correction of that clock.
fn showed_elsewhere(boots: &[BootClock], boot: usize, ts: Wall, mono_ms: u64) -> Option<(&BootClock, i64)> {
    let others = boots.iter().enumerate().filter(|(other, _)| *other != boot);
    let shown = others.filter_map(|(_, other)| Some((other, other.setting_that_showed(ts, mono_ms)?)));
    let (other, (setting, missed_ms)) = shown.min_by_key(|(_, (_, missed_ms))| *missed_ms)?;
    (missed_ms <= SAME_SETTING_MS).then(|| (other, setting.correction_ms()))
}

/// Whether the record's uptimes can be believed to count: some piles leave them at nothing, or at one figure.
fn counts_uptime(record: &Record) -> bool {
    let passed = record
        .start_ts
        .zip(record.stop_ts)
        .map(|(start, stop)| stop.ms_since(start));
    let stands = record.stop_mono_ms == record.start_mono_ms
        && passed.is_some_and(|passed| passed.unsigned_abs() > UPTIME_TELLS_MS);
    record.stop_mono_ms >= UPTIME_TELLS_MS && !stands
}

/// By how many milliseconds the record's two clocks differ from those of a start; `None` where either has no clock.
fn missed_ms(record: &Record, boot: &BootClock) -> Option<i64> {
    let ends = [start_of(record), stop_of(record)].into_iter();
    let missed = ends.filter_map(|end| Some(boot.setting_that_showed(end.ts?, end.mono_ms)?.1));
    missed.max()
}

/// Of these starts the one whose clocks agree best with the record's, the newest of several.
fn closest(record: &Record, evidence: &Evidence, boots: &[usize]) -> Option<usize> {
    let known = evidence.clocks.boots();
    let newest_first = boots.iter().rev().copied();
    newest_first.min_by_key(|boot| missed_ms(record, &known[*boot]).unwrap_or(i64::MAX))
}

/// Those of these starts in which nothing else that is known contradicts the session; all of them where it does in each.
/// A clock chip without a battery says the same in every start, and a pile without a clock nothing at all.
fn possible(record: &Record, evidence: &Evidence, mut boots: Vec<usize>) -> Vec<usize> {
    let possible = |boot: &usize| bounds::contradiction(record, evidence, span(record, evidence, *boot)).is_none();
    if boots.iter().any(possible) {
        boots.retain(possible);
    }
    boots
}

/// The start whose clock and uptime tell the same time of the record.
fn agreeing(record: &Record, evidence: &Evidence) -> Option<Written> {
    let boots = evidence.clocks.boots();
    let within = |most: i64| -> Vec<usize> {
        let agrees = |boot: &usize| missed_ms(record, &boots[*boot]).is_some_and(|missed| missed <= most);
        (0..boots.len())
            .filter(agrees)
            .filter(|boot| has_room(record, evidence, *boot))
            .collect()
    };
    let mut found = within(SAME_START_MS);
    if found.is_empty() {
        found = within(TIME_SLACK_MS);
    }
    let found = possible(record, evidence, found);
    let boot = closest(record, evidence, &found)?;
    let stop = span(record, evidence, boot).stop;
    let elsewhen = |other: &usize| span(record, evidence, *other).stop.ms_since(stop).saturating_abs() > TIME_SLACK_MS;
    Some(match found.iter().any(elsewhen) {
        true => Written::Ambiguous(boot),
        false => Written::In(boot),
    })
}

/// Whether a session with the record's uptimes can have been in this start.
fn has_room(record: &Record, evidence: &Evidence, boot: usize) -> bool {
    let boots = evidence.clocks.boots();
    if !counts_uptime(record) {
        return true;
    }
    if boots[boot].boot_id == evidence.boot_id && record.stop_mono_ms > evidence.mono_ms {
        return false;
    }
    let end = end_of(boots, boot).unwrap_or(evidence.now).after_ms(TIME_SLACK_MS);
    boots[boot].at_uptime(record.stop_mono_ms) <= end
}

/// When the pile started again after this start, at the latest.
fn end_of(boots: &[BootClock], boot: usize) -> Option<Wall> {
    let next = boots.get(boot.saturating_add(1))?;
    // By its uptime it was on already before it could reach the station, unless the uptime is nonsense.
    let by_uptime = Some(Wall(next.mono_ms)).filter(|at| *at >= boots[boot].last_heard);
    Some(by_uptime.map_or(next.first_heard, |at| at.min(next.first_heard)))
}

/// The start of the message that brought the record, where the session can have been in no other.
fn present_one(record: &Record, evidence: &Evidence, present: usize) -> Option<Written> {
    let (start, stop) = (record.start_mono_ms, record.stop_mono_ms);
    if start > stop || stop > evidence.mono_ms {
        return None;
    }
    let boots = evidence.clocks.boots();
    let is_newest = present.saturating_add(1) == boots.len();
    let since = bounds::not_before(record, evidence);
    let surely = is_newest && since.is_some_and(|since| since >= boots[present].first_heard);
    // Nothing but its clock tells of a pile that does not count its uptime.
    let by_clock_alone = !counts_uptime(record) && record.start_ts.is_some() && record.stop_ts.is_some();
    let has_clock = !boots[present].settings.is_empty();
    (surely || (by_clock_alone && has_clock)).then_some(Written::In(present))
}
