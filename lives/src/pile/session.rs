//! One charge at one connector, from start to record: what is due when, which readings are kept, what the record says.
//! Its future follows exactly from its start, so that everything is due at a known millisecond.

use super::{clock::Clock, prices::FeeCount, supply::Supply};
use domain::{
    ids::{CardId, CommandId, ConnectorNo, OrderId},
    messages::{BufferedSample, Periods, Record, SAMPLES_MAX, StopReason},
    time::{Mono, Wall},
    units::{Energy, Fen},
};

/// What is needed to begin.
pub(crate) struct Beginning {
    pub(crate) order_id: OrderId,
    pub(crate) card_id: Option<CardId>,
    pub(crate) supply: Supply,
    pub(crate) meter: Energy,
    pub(crate) soc: Option<u8>,
    pub(crate) limit_fee: Option<Fen>,
    pub(crate) limit_kwh: Option<Energy>,
    pub(crate) count: Option<FeeCount>,
    /// The ok to the start must be acknowledged by then.
    pub(crate) ack_due: Option<(CommandId, Mono)>,
    /// The meter stops counting so long after the start.
    pub(crate) stuck_after_ms: Option<u64>,
    pub(crate) sample_every_ms: u64,
    pub(crate) online: bool,
}

/// A running session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) order_id: OrderId,
    pub(crate) card_id: Option<CardId>,
    pub(crate) started: Mono,
    pub(crate) limit_fee: Option<Fen>,
    pub(crate) limit_kwh: Option<Energy>,
    pub(crate) ack_due: Option<(CommandId, Mono)>,
    start_ts: Option<Wall>,
    meter_start: Energy,
    soc_start: Option<u8>,
    supply: Supply,
    stuck_after_ms: Option<u64>,
    count: Option<FeeCount>,
    boundary_at: Option<Mono>,
    samples: Vec<Kept>,
    keeps_samples: bool,
    sample_every_ms: u64,
    /// When to keep the next reading; `None` while the station listens.
    sample_at: Option<Mono>,
    was_offline: bool,
    /// Since when the car takes nothing, and for how long it took nothing before.
    paused: Option<Mono>,
    paused_ms: u64,
}

#[derive(Debug, Clone, Copy)]
struct Kept {
    at: Mono,
    ts: Option<Wall>,
    meter: Energy,
    boundary: bool,
}

/// What a session does by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SessionDue {
    /// Another price begins.
    Boundary,
    /// A reading is to be kept.
    Sample,
    /// The car is full.
    Full,
    /// The limit is reached.
    Limit,
    /// The ok to the start was not acknowledged in time.
    StartUnacknowledged,
}

impl Session {
    pub(crate) fn begin(now: Mono, clock: Option<&Clock>, from: Beginning) -> Self {
        let start_ts = clock.map(|clock| clock.wall(now));
        let mut session = Self {
            order_id: from.order_id,
            card_id: from.card_id,
            started: now,
            limit_fee: from.limit_fee,
            limit_kwh: from.limit_kwh,
            ack_due: from.ack_due,
            start_ts,
            meter_start: from.meter,
            soc_start: from.soc,
            supply: from.supply,
            stuck_after_ms: from.stuck_after_ms,
            count: from.count,
            boundary_at: None,
            samples: Vec::new(),
            keeps_samples: true,
            sample_every_ms: from.sample_every_ms.max(1_000),
            sample_at: None,
            was_offline: false,
            paused: None,
            paused_ms: 0,
        };
        session.find_boundary(now, clock);
        if !from.online {
            session.goes_offline(now);
        }
        session
    }

    /// The next thing it does by itself, and when. At the same millisecond a boundary comes before the end, so that its
    /// reading is kept, and an ordinary reading after it, as the record then has it anyway.
    pub(crate) fn next_due(&self) -> Option<(Mono, SessionDue)> {
        let after = |ms: u64| self.started.after_ms(ms.saturating_add(self.paused_ms));
        let flows = self.paused.is_none();
        let limit = [
            self.limit_kwh.and_then(|limit| self.reached_after_ms(limit)),
            self.limit_fee
                .zip(self.count.as_ref())
                .and_then(|(limit, count)| count.energy_for(limit).and_then(|energy| self.reached_after_ms(energy))),
        ];
        let limit = limit.into_iter().flatten().min();
        let full = self
            .supply
            .full_after_ms()
            .filter(|ms| self.stuck_after_ms.is_none_or(|stuck| *ms <= stuck));
        [
            self.boundary_at.map(|at| (at, SessionDue::Boundary)),
            full.filter(|_| flows).map(|ms| (after(ms), SessionDue::Full)),
            limit.filter(|_| flows).map(|ms| (after(ms), SessionDue::Limit)),
            self.ack_due
                .as_ref()
                .map(|(_, at)| (*at, SessionDue::StartUnacknowledged)),
            self.sample_at.map(|at| (at, SessionDue::Sample)),
        ]
        .into_iter()
        .flatten()
        .min_by_key(|(at, _)| *at)
    }

    fn reached_after_ms(&self, energy: Energy) -> Option<u64> {
        let ms = self.supply.reached_after_ms(energy)?;
        self.stuck_after_ms.is_none_or(|stuck| ms <= stuck).then_some(ms)
    }

    /// What the meter has counted for this session.
    pub(crate) fn energy(&self, now: Mono) -> Energy {
        let elapsed = self.flowed_ms(now);
        self.supply
            .energy_at(self.stuck_after_ms.map_or(elapsed, |stuck| elapsed.min(stuck)))
    }

    /// The register.
    pub(crate) fn meter(&self, now: Mono) -> Energy {
        self.meter_start + self.energy(now)
    }

    /// The power that flows, whether or not the meter counts it.
    pub(crate) fn power(&self, now: Mono) -> domain::units::Power {
        if self.paused.is_some() {
            return domain::units::Power::ZERO;
        }
        self.supply.power_at(self.flowed_ms(now))
    }

    /// For how long the car has been taking anything.
    fn flowed_ms(&self, now: Mono) -> u64 {
        let until = self.paused.map_or(now, |since| since.min(now));
        until.ms_since(self.started).saturating_sub(self.paused_ms)
    }

    /// The car takes nothing for a while, and stays in the session.
    pub(crate) fn pause(&mut self, now: Mono) {
        self.paused.get_or_insert(now);
    }

    /// It goes on taking.
    pub(crate) fn resume(&mut self, now: Mono) {
        if let Some(since) = self.paused.take() {
            self.paused_ms += now.ms_since(since);
        }
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused.is_some()
    }

    /// The fee by its own count.
    pub(crate) fn counted_fee(&self, now: Mono) -> Option<Fen> {
        self.count.as_ref().map(|count| count.fee(self.energy(now)))
    }

    /// Another price begins: its first reading is kept whatever happens.
    pub(crate) fn cross_boundary(&mut self, now: Mono, clock: Option<&Clock>) {
        self.keep(now, clock, true);
        self.turn(now, clock);
    }

    /// The clock was set: count on by what it shows now.
    pub(crate) fn clock_set(&mut self, now: Mono, clock: &Clock) {
        self.turn(now, Some(clock));
    }

    fn turn(&mut self, now: Mono, clock: Option<&Clock>) {
        let delivered = self.energy(now);
        if let (Some(count), Some(clock)) = (self.count.as_mut(), clock) {
            count.turn(delivered, clock.wall(now));
        }
        self.find_boundary(now, clock);
    }

    fn find_boundary(&mut self, now: Mono, clock: Option<&Clock>) {
        let next = |count: &FeeCount, clock: &Clock| {
            let wall = count.next_boundary(Some(clock.wall(now)))?;
            // A clock at the end of its range shows no later time: for it there is no next boundary.
            Some(clock.first_at(wall)).filter(|at| *at > now)
        };
        self.boundary_at = self
            .count
            .as_ref()
            .zip(clock)
            .and_then(|(count, clock)| next(count, clock));
    }

    /// Keeps a reading and says when the next one is due.
    pub(crate) fn keep_sample(&mut self, now: Mono, clock: Option<&Clock>) {
        self.keep(now, clock, false);
        self.sample_at = Some(now.after_ms(self.sample_every_ms));
    }

    fn keep(&mut self, now: Mono, clock: Option<&Clock>, boundary: bool) {
        if !self.keeps_samples {
            return;
        }
        if self.samples.len() == SAMPLES_MAX {
            self.thin_out();
        }
        let ts = clock.map(|clock| clock.wall(now));
        self.samples.push(Kept {
            at: now,
            ts,
            meter: self.meter(now),
            boundary,
        });
    }

    /// Makes room: every second reading goes, except those at boundaries, and from now on half as many are taken.
    fn thin_out(&mut self) {
        let mut ordinary = 0_usize;
        self.samples.retain(|sample| {
            ordinary += usize::from(!sample.boundary);
            sample.boundary || ordinary.is_multiple_of(2)
        });
        self.sample_every_ms = self.sample_every_ms.saturating_mul(2);
        if self.samples.len() == SAMPLES_MAX {
            self.samples.remove(0);
        }
    }

    /// Nobody listens any more.
    pub(crate) fn goes_offline(&mut self, now: Mono) {
        self.was_offline = true;
        self.sample_at = Some(now.after_ms(self.sample_every_ms));
    }

    /// The station listens again.
    pub(crate) fn goes_online(&mut self) {
        self.sample_at = None;
    }

    /// Forgets its buffered readings and keeps no more.
    pub(crate) fn forget_samples(&mut self) {
        self.keeps_samples = false;
        self.samples.clear();
    }

    /// The record, as of now. Its `mono` times count from `booted`.
    pub(crate) fn record(
        &self,
        now: Mono,
        clock: Option<&Clock>,
        booted: Mono,
        connector: ConnectorNo,
        reason: StopReason,
    ) -> Record {
        let energy = self.energy(now);
        let sample = |kept: &Kept| BufferedSample {
            ts: kept.ts,
            mono_ms: kept.at.ms_since(booted),
            meter_kwh: kept.meter,
        };
        Record {
            order_id: self.order_id.clone(),
            connector,
            start_ts: self.start_ts,
            stop_ts: clock.map(|clock| clock.wall(now)),
            start_mono_ms: self.started.ms_since(booted),
            stop_mono_ms: now.ms_since(booted),
            meter_start_kwh: self.meter_start,
            meter_stop_kwh: self.meter_start + energy,
            reason,
            offline: self.was_offline,
            soc_start: self.soc_start,
            soc_stop: None,
            samples: self.samples.iter().map(sample).collect(),
            periods: self
                .count
                .as_ref()
                .and_then(|count| count.kinds(energy))
                .map(|kinds| Periods {
                    sharp_kwh: kinds[0],
                    peak_kwh: kinds[1],
                    flat_kwh: kinds[2],
                    valley_kwh: kinds[3],
                }),
            card_id: self.card_id.clone(),
            signed: None,
            session_boot_id: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::prices::PriceTable, *};
    use domain::units::Power;

    fn clock() -> Clock {
        Clock::new(Mono(0), Wall::parse("2026-03-01T07:00:00+08:00").unwrap(), 0)
    }

    fn count() -> FeeCount {
        let rows = r#"[{"from":"00:00","kind":"valley","price_per_kwh":"0.5"},{"from":"08:00","kind":"peak","price_per_kwh":"1.2"}]"#;
        let table = PriceTable::read(&serde_json::from_str::<Vec<_>>(rows).unwrap(), 8 * 3_600_000)
            .unwrap()
            .unwrap();
        FeeCount::new(table, Some(clock().wall(Mono(0))))
    }

    fn beginning() -> Beginning {
        Beginning {
            order_id: OrderId::new("o1").unwrap(),
            card_id: None,
            supply: Supply::constant(Power(7_000)),
            meter: Energy(10_000_000),
            soc: None,
            limit_fee: None,
            limit_kwh: None,
            count: Some(count()),
            ack_due: None,
            stuck_after_ms: None,
            sample_every_ms: 60_000,
            online: true,
        }
    }

    const HOUR: u64 = 3_600_000;

    #[test]
    fn the_fee_limit_is_found_on_the_far_side_of_a_price_change() {
        // One hour at 7 kW and ¥0.5, then ¥1.2: ¥5.90 is 7 kWh and 2 kWh.
        let mut session = Session::begin(
            Mono(0),
            Some(&clock()),
            Beginning {
                limit_fee: Some(Fen(590)),
                ..beginning()
            },
        );
        assert_eq!(session.next_due(), Some((Mono(HOUR), SessionDue::Boundary)));
        session.cross_boundary(Mono(HOUR), Some(&clock()));
        let (at, due) = session.next_due().unwrap();
        assert_eq!((session.energy(at), due), (Energy(90_000), SessionDue::Limit));
        assert_eq!(session.energy(Mono(at.0 - 1)), Energy(89_999));
        let reason = StopReason {
            code: 8,
            text: String::new(),
        };
        let record = session.record(at, Some(&clock()), Mono(0), ConnectorNo(1), reason);
        assert_eq!(
            record.samples.len(),
            1,
            "the reading at the boundary is kept even online"
        );
        assert_eq!(record.samples[0].meter_kwh, Energy(10_070_000));
        assert_eq!(record.periods.unwrap().peak_kwh, Energy(20_000));
        assert_eq!(
            (record.energy(), session.counted_fee(at)),
            (Energy(90_000), Some(Fen(590)))
        );
    }

    #[test]
    fn a_stuck_meter_never_reaches_a_limit() {
        let stuck = Beginning {
            limit_kwh: Some(Energy(70_000)),
            stuck_after_ms: Some(60_000),
            count: None,
            ..beginning()
        };
        let session = Session::begin(Mono(0), Some(&clock()), stuck);
        assert_eq!(session.next_due(), None);
        assert_eq!(session.energy(Mono(HOUR)), session.energy(Mono(60_000)));
        assert_eq!(session.power(Mono(HOUR)), Power(7_000), "current flows all the same");
    }

    #[test]
    fn samples_are_bounded_and_those_at_boundaries_survive() {
        let mut session = Session::begin(
            Mono(0),
            Some(&clock()),
            Beginning {
                online: false,
                ..beginning()
            },
        );
        let end = Mono(48 * HOUR);
        while let Some((at, due)) = session.next_due().filter(|(at, _)| *at < end) {
            match due {
                SessionDue::Boundary => session.cross_boundary(at, Some(&clock())),
                SessionDue::Sample => session.keep_sample(at, Some(&clock())),
                other => panic!("{other:?}"),
            }
        }
        let reason = StopReason {
            code: 0,
            text: String::new(),
        };
        let record = session.record(end, Some(&clock()), Mono(0), ConnectorNo(1), reason);
        assert!(
            (SAMPLES_MAX / 2..=SAMPLES_MAX).contains(&record.samples.len()),
            "{}",
            record.samples.len()
        );
        assert!(record.samples.is_sorted_by_key(|sample| sample.mono_ms));
        for boundary in [1, 17, 25, 41] {
            assert!(
                record.samples.iter().any(|sample| sample.mono_ms == boundary * HOUR),
                "{boundary}:00"
            );
        }
        assert!(record.offline);
    }
}
