//! The times of a record, moved to the station's clock: by what was measured in the start of the pile that wrote it.
//! A pure function of the record and of what the station knows besides; what it cannot believe, a person decides.

use crate::{
    clock::PileClocks,
    fact::SessionTimes,
    ids::BootId,
    messages::Record,
    meter::Suspicion,
    planted::{Bug, is_planted},
    rating::Reading,
    station_clock::{ClockStep, EARLIEST},
    time::{Mono, Wall},
};

mod bounds;
mod idle;
mod written;

pub use idle::{IDLE_MAX, IdleReadings};
use written::Written;

/// How far a record's times may lie outside what the station knows of the session, in milliseconds.
pub const TIME_SLACK_MS: i64 = 300_000;

/// What the station knows that a record's times must agree with. All of it is by the station's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The pile's clocks as measured, per start.
    pub clocks: PileClocks,
    /// The start of the pile that the message with the record names.
    pub boot_id: BootId,
    /// That message's uptime, in milliseconds.
    pub mono_ms: u64,
    /// When it was received.
    pub now: Wall,
    /// Whether the station may not believe its own clock.
    pub clock_in_doubt: bool,
    /// The steps of the station's own clock that were large enough to be journaled, oldest first.
    pub steps: Vec<ClockStep>,
    /// When it was found that the station's clock had been put elsewhere while the station was off.
    pub move_found: Option<Wall>,
    /// The order it is the record of; `None` for a session that the pile ran alone and for what fits nowhere.
    pub order: Option<OrderEvidence>,
    /// Readings while the connector was idle, of the meter that the record's registers are of.
    pub idle: Vec<Reading>,
    /// When the latest session ended that stopped at or below the record's start register, at this connector and meter.
    pub stop_before: Option<Wall>,
    /// When the earliest session began that started at or above the record's stop register, likewise.
    pub start_after: Option<Wall>,
    /// When the pile was provisioned.
    pub known_since: Option<Wall>,
    /// From when on there is a price: the earliest tariff's `effective_from`.
    pub tariff_since: Option<Wall>,
}

/// What the station knows of when an order was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderEvidence {
    /// When it was placed.
    pub placed_at: Wall,
    /// When that was by elapsed time, of an order that was placed before its session began.
    pub placed: Option<Mono>,
    /// When the pile confirmed the start, and in which of its starts.
    pub started: Option<(Wall, Option<BootId>)>,
    /// The first reading that reported this order as charging.
    pub first_live: Option<Reading>,
    /// The last such reading.
    pub last_live: Option<Reading>,
}

impl OrderEvidence {
    fn began(&self) -> Wall {
        self.started.as_ref().map_or(self.placed_at, |(at, _)| *at)
    }
}

/// One end of a session, or a reading in it, by the pile's two clocks.
#[derive(Debug, Clone, Copy)]
struct Moment {
    ts: Option<Wall>,
    mono_ms: u64,
}

/// A session's two ends by the station's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    start: Wall,
    stop: Wall,
}

/// Moves a record's times to the station's clock.
///
/// They go by the start of the pile in which the session was: by the offset of its clock then, and by its uptime where it
/// had no clock or the clock was set meanwhile. Times that no measure explains, or that contradict `evidence` by more than
/// [`TIME_SLACK_MS`], are given as they are best known, with [`Suspicion::TimesContradict`].
pub fn align(record: &Record, evidence: &Evidence) -> SessionTimes {
    let written = written::find(record, evidence);
    let span = match &written {
        Written::In(boot) | Written::Ambiguous(boot) => Some(written::span(record, evidence, *boot)),
        Written::Unmeasured => written::by_present_offset(record, evidence),
    };
    let mut suspicions = Vec::new();
    let mut times = match span {
        None => {
            suspicions.push(Suspicion::ClockUnknown);
            unknown(evidence)
        }
        Some(span) => {
            let span = as_received(span, evidence.now);
            if let Some(detail) = doubt(record, evidence, &written, span) {
                suspicions.push(contradict(record, span, detail));
            }
            if is_in_range(span) {
                let samples = written::samples(record, evidence, &written);
                SessionTimes::certain(span.start, span.stop, samples)
            } else {
                unknown(evidence)
            }
        }
    };
    let heard = written.heard(record, evidence);
    if bounds::stepped_since(evidence, times.start)
        || bounds::put_back_since(evidence, heard)
        || evidence.move_found.is_some_and(|found| heard < found)
    {
        suspicions.push(Suspicion::ClockStepped);
    }
    if evidence.clock_in_doubt {
        suspicions.push(Suspicion::StationClockInDoubt);
    }
    let mut suspicions = suspicions.into_iter();
    times.suspicion = suspicions.next();
    times.also = suspicions.collect();
    times
}

/// Why these times cannot be believed, in words.
fn doubt(record: &Record, evidence: &Evidence, written: &Written, span: Span) -> Option<&'static str> {
    // Each of these bugs is that nobody looks.
    let blind = is_planted(Bug::NoLowerBound) && evidence.order.is_none() && span.stop <= evidence.now;
    if blind || [Bug::RateByReceiveTime, Bug::OffsetTwice, Bug::OffsetOfPresentBoot].map(is_planted) != [false; 3] {
        return None;
    }
    if !is_in_range(span) {
        return Some("moved to the station's clock it lies outside 1970 to 2200");
    }
    match written {
        Written::Unmeasured => Some("the pile's clock was not measured in the start in which it wrote this"),
        Written::Ambiguous(_) => Some("it may be of more than one start of the pile, which tell different times"),
        Written::In(boot) => {
            // The last is what was measured by a station's clock that had lost its battery, and was put right while the
            // station was off: the step back leaves room for anything.
            let before_2026 = (span.start < EARLIEST && evidence.now >= EARLIEST)
                .then_some("moved to the station's clock it lies before any station was made");
            written::outlives(record, evidence, *boot, span)
                .or_else(|| bounds::contradiction(record, evidence, span))
                .or(before_2026)
        }
    }
}

fn contradict(record: &Record, span: Span, detail: &str) -> Suspicion {
    // The fact must be readable: no other times are.
    let readable = |at: Wall| at.clamp(Wall::RANGE.start, Wall::RANGE.end.after_ms(-1));
    Suspicion::TimesContradict {
        detail: detail.to_owned(),
        pile_start: record.start_ts,
        pile_stop: record.stop_ts,
        station_start: readable(span.start),
        station_stop: readable(span.stop),
    }
}

fn is_in_range(span: Span) -> bool {
    Wall::RANGE.contains(&span.start) && Wall::RANGE.contains(&span.stop)
}

/// What is left where the pile's clocks tell nothing: from when the order began until now.
fn unknown(evidence: &Evidence) -> SessionTimes {
    let start = evidence.order.as_ref().map_or(evidence.now, OrderEvidence::began);
    SessionTimes::certain(start, evidence.now.max(start), Vec::new())
}

/// A planted bug: the session ended when its record was received.
fn as_received(span: Span, now: Wall) -> Span {
    if is_planted(Bug::RateByReceiveTime) {
        let start = span.start.after_ms(now.ms_since(span.stop));
        Span { start, stop: now }
    } else {
        span
    }
}

#[cfg(test)]
mod tests;
