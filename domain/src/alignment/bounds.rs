//! What the station knows of a session besides its record, and which times contradict it.
//! Registers only count upwards, so their order is an order in time too.

use super::{Evidence, OrderEvidence, Span, TIME_SLACK_MS};
use crate::{messages::Record, station_clock::ClockStep, time::Wall, units::Energy};

/// Why a session cannot have been from `span.start` to `span.stop`, if it cannot.
pub(super) fn contradiction(record: &Record, evidence: &Evidence, span: Span) -> Option<&'static str> {
    if span.stop < span.start {
        return Some("it ended before it began");
    }
    let bounds = Bounds {
        steps: &evidence.steps,
        span,
    };
    let order = evidence.order.as_ref();
    let of_order = order.and_then(|order| {
        // What is known of an order was noted after it was placed.
        let steps = &evidence.steps[evidence.steps.len() - steps_since(evidence).count()..];
        Bounds { steps, span }.of_order(order)
    });
    of_order
        .or_else(|| bounds.stops_after(evidence.now).then_some("it ended in the future"))
        .or_else(|| upper_of_registers(record, evidence, &bounds))
        // Before this was looked at, an offline session of 1976 was billed.
        .or_else(|| lower(record, evidence, &bounds))
}

/// Since when at the earliest the session may have run, where that is certain: by the order, or by a reading of the idle
/// connector that is not above the session's start.
pub(super) fn not_before(record: &Record, evidence: &Evidence) -> Option<Wall> {
    let placed = evidence.order.as_ref().map(|order| order.placed_at);
    let idle = evidence.idle.iter();
    let idle = idle.filter(|idle| counted(record) && idle.register <= record.meter_start_kwh);
    placed.max(idle.map(|idle| idle.at).max())
}

/// Whether the station's clock was stepped after `moment`, which is by the clock as it is now. A session did not begin before
/// its order was placed, whatever a record says.
pub(super) fn stepped_since(evidence: &Evidence, moment: Wall) -> bool {
    steps_by_now(evidence).any(|(at, _)| moment < at)
}

/// Whether the station's clock was put back after the pile's clocks were last `heard`. Where that is found at a start, it was
/// put back by more: how long the station was off before it is neither in the step nor in what was measured until then.
pub(super) fn put_back_since(evidence: &Evidence, heard: Wall) -> bool {
    steps_by_now(evidence).any(|(at, by_ms)| by_ms < 0 && heard < at)
}

/// When each step was, by the clock as it is now, and by how much: later steps have moved the place of an earlier one along.
fn steps_by_now(evidence: &Evidence) -> impl Iterator<Item = (Wall, i64)> {
    steps_since(evidence).scan(0_i64, |moved_ms, step| {
        let at = step.at.after_ms(*moved_ms);
        *moved_ms = moved_ms.saturating_add(step.by_ms);
        Some((at, step.by_ms))
    })
}

/// The steps of the station's clock since the order was placed, newest first; all of them where there was none.
fn steps_since(evidence: &Evidence) -> impl Iterator<Item = &ClockStep> {
    let placed = evidence.order.as_ref().and_then(|order| order.placed);
    let since = move |step: &&ClockStep| placed.is_none_or(|placed| step.mono > placed);
    evidence.steps.iter().rev().take_while(since)
}

fn upper_of_registers(record: &Record, evidence: &Evidence, bounds: &Bounds<'_>) -> Option<&'static str> {
    if !counted(record) {
        return None;
    }
    let stop = record.meter_stop_kwh;
    let mut idle = evidence.idle.iter().filter(|idle| idle.register >= stop);
    if idle.any(|idle| bounds.stops_after(idle.at)) {
        Some("the connector was seen idle before its end, with its stop register counted already")
    } else if evidence.start_after.is_some_and(|next| bounds.stops_after(next)) {
        Some("it overlaps the session after it")
    } else {
        None
    }
}

fn lower(record: &Record, evidence: &Evidence, bounds: &Bounds<'_>) -> Option<&'static str> {
    let begins_before = |known: Option<Wall>| known.is_some_and(|at| bounds.starts_before(at));
    if begins_before(evidence.known_since) {
        return Some("it began before the pile belonged to this station");
    }
    if begins_before(evidence.tariff_since) {
        return Some("it began before there was a price");
    }
    if !counted(record) {
        return None;
    }
    let start = record.meter_start_kwh;
    let mut idle = evidence.idle.iter().filter(|idle| idle.register <= start);
    if idle.any(|idle| bounds.starts_before(idle.at)) {
        Some("the connector was seen idle after its start, with its start register not yet counted")
    } else if begins_before(evidence.stop_before) {
        Some("it overlaps the session before it")
    } else {
        None
    }
}

/// A session of no energy has one register, which stood there before and after it.
fn counted(record: &Record) -> bool {
    record.energy() > Energy::ZERO
}

struct Bounds<'a> {
    steps: &'a [ClockStep],
    span: Span,
}

impl Bounds<'_> {
    fn of_order(&self, order: &OrderEvidence) -> Option<&'static str> {
        let started = order.started.as_ref().map(|(at, _)| *at);
        if self.starts_before(order.placed_at) {
            Some("it began before the order was placed")
        } else if started.is_some_and(|at| self.starts_after(at)) {
            Some("it began after the pile had confirmed the start")
        } else if order.first_live.is_some_and(|live| self.starts_after(live.at)) {
            Some("it began after the station had seen it charge")
        } else if order
            .last_live
            .is_some_and(|live| self.span.stop < self.earliest(live.at))
        {
            Some("it ended before the station last saw it charge")
        } else {
            None
        }
    }

    fn starts_before(&self, at: Wall) -> bool {
        self.span.start < self.earliest(at)
    }

    fn starts_after(&self, at: Wall) -> bool {
        self.span.start > self.latest(at)
    }

    fn stops_after(&self, at: Wall) -> bool {
        self.span.stop > self.latest(at)
    }

    fn earliest(&self, at: Wall) -> Wall {
        at.after_ms(self.slack_ms(at).saturating_neg())
    }

    fn latest(&self, at: Wall) -> Wall {
        at.after_ms(self.slack_ms(at))
    }

    /// What was noted before a step of the station's clock is by the clock before it: it may be off by as much.
    fn slack_ms(&self, at: Wall) -> i64 {
        let before = |step: &&ClockStep| at <= step.at.after_ms(step.by_ms.saturating_neg());
        let steps = self.steps.iter().filter(before);
        steps.fold(TIME_SLACK_MS, |slack, step| {
            slack.saturating_add(step.by_ms.saturating_abs())
        })
    }
}
