//! When a connector is at fault: who said so decides what ends it, and a fault that is told again soon counts once.
//! Pure: it says what to journal, and [`FaultState::apply`] follows what was.
//!
//! | told by | counts towards `faults_max` | ends with |
//! |---|---|---|
//! | heartbeat | yes | the next heartbeat without faults, `fault_cleared` |
//! | event `fault` | yes | `fault_cleared`; a new boot; heartbeats without faults for [`FAULT_HOLDS_MS`] |
//! | event `estop` | no | `fault_cleared`; a new boot and then heartbeats without faults for [`FAULT_HOLDS_MS`] |
//! | record | yes, where nothing told the fault before | at once: its session is over |
//!
//! A person who puts the pile back to work ends them all. Faults of one connector within [`SAME_FAULT_MS`] of a counted one
//! are the same fault (S05 §5).
//!
//! A loose contact tells its story ten times a second, and each line of it would be kept for half a year: of each kind of
//! event a connector has [`EVENTS_MAX`] within [`EVENTS_WINDOW_MS`] in the journal, and the next one says how many were left
//! out. A fault is always believed at once; it is its end that is left out, and that heartbeats then show.

use crate::{
    messages::EventKind,
    planted::{Bug, is_planted},
    time::Mono,
};
use serde::{Deserialize, Serialize};

/// For how long heartbeats must show no fault before one that an event told is over, in milliseconds.
pub const FAULT_HOLDS_MS: u64 = 300_000;
/// Faults of one connector within this time of a counted one are one, in milliseconds: event, heartbeat and record may
/// all tell it, and a loose contact tells it again and again.
pub const SAME_FAULT_MS: u64 = 300_000;

/// The most events of one kind, of one connector, that are noted within [`EVENTS_WINDOW_MS`]; of faults the most ends.
pub const EVENTS_MAX: u32 = 5;
/// That window, in milliseconds.
pub const EVENTS_WINDOW_MS: u64 = 300_000;

/// Who told an event of a connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToldBy {
    /// A heartbeat; and whoever told it in facts from before this was written down.
    #[default]
    Heartbeat,
    /// An event.
    Event,
    /// A record's reason.
    Record,
    /// A new boot.
    Boot,
    /// A person, who put the pile back to work.
    Person,
}

/// Something that may change whether a connector is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// An event of the connector.
    Event(EventKind),
    /// A heartbeat's report of it, and whether that shows a fault.
    Heartbeat {
        /// Its status is `fault`, or `faults` is not empty.
        has_fault: bool,
    },
    /// A boot that is not the one before: the pile begins anew.
    NewBoot,
    /// A record whose reason is a fault.
    RecordReason {
        /// When its session ended, by elapsed time; the present where that is not known.
        ended: Mono,
    },
    /// A person puts the pile back to work.
    PutBackToWork,
}

/// What to journal as `PileEvent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Noted {
    /// What happened.
    pub kind: EventKind,
    /// Who told it: with the fact, or it could not be applied again.
    pub told_by: ToldBy,
    /// Whether it is one more fault towards `faults_max`.
    pub counts: bool,
    /// How many like it came since the last one that was noted.
    pub left_out: u32,
}

/// Whether a connector is at fault. Kept with the connector, and changed by facts alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "KeptState")]
pub struct FaultState {
    /// By whom, while it has a fault: an event holds longer than a heartbeat.
    fault: Option<ToldBy>,
    /// The emergency stop is pressed.
    is_stopped: bool,
    /// The pile has booted since.
    has_booted: bool,
    /// When its last fault was counted.
    counted_at: Option<Mono>,
}

/// What a row says of it: rows of schema 2 say only whether.
#[derive(Deserialize)]
#[serde(untagged)]
enum KeptState {
    Flag(bool),
    State {
        #[serde(default)]
        fault: Option<ToldBy>,
        #[serde(default)]
        is_stopped: bool,
        #[serde(default)]
        has_booted: bool,
        #[serde(default)]
        counted_at: Option<Mono>,
    },
}

impl From<KeptState> for FaultState {
    fn from(kept: KeptState) -> Self {
        match kept {
            KeptState::Flag(is_faulted) => Self::of_flag(is_faulted),
            KeptState::State {
                fault,
                is_stopped,
                has_booted,
                counted_at,
            } => Self {
                fault,
                is_stopped,
                has_booted,
                counted_at,
            },
        }
    }
}

/// What was heard of a connector and not noted. Lost with the process: its times then begin anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FaultWatch {
    /// Heartbeats have shown no fault since.
    free_since: Option<Mono>,
    /// The pile said that the fault, or the emergency stop, is over, and that was left out.
    said_cleared: bool,
    plugged: Window,
    unplugged: Window,
    cleared: Window,
    reboot: Window,
}

/// The events of one kind that were noted lately.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Window {
    since: Mono,
    noted: u32,
    left_out: u32,
}

impl Window {
    fn has_room(&self, now: Mono) -> bool {
        self.noted < EVENTS_MAX || is_planted(Bug::NoJournalBudget) || now.ms_since(self.since) >= EVENTS_WINDOW_MS
    }

    /// One more is to be noted: how many were left out before it, or none if it is left out itself.
    fn note(&mut self, now: Mono) -> Option<u32> {
        if !self.has_room(now) {
            self.left_out = self.left_out.saturating_add(1);
            return None;
        }
        if self.noted == 0 || now.ms_since(self.since) >= EVENTS_WINDOW_MS {
            (self.since, self.noted) = (now, 0);
        }
        self.noted += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

impl FaultWatch {
    /// There is a fault: what was heard of its end says nothing any more.
    fn begin_anew(&mut self) {
        (self.free_since, self.said_cleared) = (None, false);
    }

    fn window(&mut self, kind: EventKind) -> Option<&mut Window> {
        match kind {
            EventKind::Plugged => Some(&mut self.plugged),
            EventKind::Unplugged => Some(&mut self.unplugged),
            EventKind::FaultCleared => Some(&mut self.cleared),
            EventKind::Reboot => Some(&mut self.reboot),
            EventKind::Fault | EventKind::Estop => None,
        }
    }

    /// An event came that nothing is made of now: what it says of a fault's end is remembered, and heartbeats show the rest.
    pub fn pass_over(&mut self, kind: EventKind) {
        match kind {
            EventKind::Fault | EventKind::Estop => self.begin_anew(),
            EventKind::FaultCleared => self.said_cleared = true,
            EventKind::Plugged | EventKind::Unplugged | EventKind::Reboot => {}
        }
    }
}

impl FaultState {
    /// The state of a connector that is or is not at fault by what was kept before there was more to keep.
    pub fn of_flag(is_faulted: bool) -> Self {
        Self {
            fault: is_faulted.then_some(ToldBy::default()),
            ..Self::default()
        }
    }

    /// Whether it takes no orders.
    pub fn is_at_fault(&self) -> bool {
        self.fault.is_some() || self.is_stopped
    }

    /// Whether the emergency stop is pressed, as far as is known.
    pub fn is_stopped(&self) -> bool {
        self.is_stopped
    }

    /// What to journal now that this is told. Nothing has changed until that is applied, but for what is watched.
    pub fn note(&self, watch: &mut FaultWatch, now: Mono, told: Told) -> Option<Noted> {
        match told {
            Told::Event(kind) => self.note_event(watch, now, kind),
            Told::Heartbeat { has_fault } => self.note_heartbeat(watch, now, has_fault),
            Told::NewBoot => {
                // An emergency stop stays pressed while a pile restarts; its next heartbeats must show that it is not.
                watch.free_since = None;
                if self.is_stopped {
                    (!self.has_booted).then_some(Noted {
                        kind: EventKind::Reboot,
                        told_by: ToldBy::Boot,
                        counts: false,
                        left_out: 0,
                    })
                } else {
                    (self.fault == Some(ToldBy::Event)).then_some(cleared(ToldBy::Boot, 0))
                }
            }
            Told::RecordReason { ended } => {
                let is_told = self.is_at_fault() || self.is_same_fault(ended) || self.is_same_fault(now);
                (!is_told).then_some(Noted {
                    kind: EventKind::Fault,
                    told_by: ToldBy::Record,
                    counts: true,
                    left_out: 0,
                })
            }
            Told::PutBackToWork => self.is_at_fault().then_some(cleared(ToldBy::Person, 0)),
        }
    }

    fn note_event(&self, watch: &mut FaultWatch, now: Mono, kind: EventKind) -> Option<Noted> {
        let is_news = match kind {
            EventKind::Fault => self.fault != Some(ToldBy::Event),
            EventKind::Estop => !self.is_stopped || self.has_booted,
            EventKind::FaultCleared => self.is_at_fault(),
            EventKind::Plugged | EventKind::Unplugged | EventKind::Reboot => true,
        };
        if matches!(kind, EventKind::Fault | EventKind::Estop) {
            watch.begin_anew();
        }
        if !is_news {
            return None;
        }
        let left_out = match watch.window(kind) {
            None => 0,
            Some(window) => match window.note(now) {
                Some(left_out) => left_out,
                None => {
                    watch.pass_over(kind);
                    return None;
                }
            },
        };
        Some(Noted {
            kind,
            told_by: ToldBy::Event,
            counts: kind == EventKind::Fault && self.counts(now),
            left_out,
        })
    }

    fn note_heartbeat(&self, watch: &mut FaultWatch, now: Mono, has_fault: bool) -> Option<Noted> {
        if has_fault {
            watch.free_since = None;
            return (!self.is_at_fault()).then_some(Noted {
                kind: EventKind::Fault,
                told_by: ToldBy::Heartbeat,
                counts: self.counts(now),
                left_out: 0,
            });
        }
        let since = *watch.free_since.get_or_insert(now);
        let is_long = now.ms_since(since) >= FAULT_HOLDS_MS;
        let is_over = if self.is_stopped {
            is_long && (self.has_booted || watch.said_cleared)
        } else {
            match self.fault {
                None => false,
                Some(ToldBy::Event) => is_long,
                Some(_) => true,
            }
        };
        // One for which there is no room goes on until there is: the next heartbeat ends it.
        if !is_over || !watch.cleared.has_room(now) {
            return None;
        }
        Some(cleared(ToldBy::Heartbeat, watch.cleared.note(now)?))
    }

    /// Follows a fact that was journaled at `at`.
    pub fn apply(&mut self, at: Mono, noted: Noted) {
        match noted.kind {
            // The session that it ended is over, and whether the connector is still at fault its heartbeats will show.
            EventKind::Fault if noted.told_by == ToldBy::Record => {}
            EventKind::Fault => {
                let holds_already = self.fault == Some(ToldBy::Event);
                self.fault = Some(if holds_already { ToldBy::Event } else { noted.told_by });
            }
            // No heartbeat tells of it: the fact is from before it was written down who did. As a row of then says, the
            // next heartbeat ends it.
            EventKind::Estop if noted.told_by == ToldBy::Heartbeat => self.fault = Some(ToldBy::Heartbeat),
            EventKind::Estop => (self.is_stopped, self.has_booted) = (true, false),
            EventKind::FaultCleared => (self.fault, self.is_stopped, self.has_booted) = (None, false, false),
            EventKind::Reboot if noted.told_by == ToldBy::Boot => self.has_booted = self.is_stopped,
            EventKind::Plugged | EventKind::Unplugged | EventKind::Reboot => {}
        }
        if noted.counts {
            self.counted_at = Some(at);
        }
    }

    /// A fault that goes on is one, however often it is told.
    fn counts(&self, now: Mono) -> bool {
        self.fault.is_none() && !self.is_same_fault(now)
    }

    fn is_same_fault(&self, at: Mono) -> bool {
        self.counted_at
            .is_some_and(|counted| at.ms_since(counted).max(counted.ms_since(at)) < SAME_FAULT_MS)
    }
}

fn cleared(told_by: ToldBy, left_out: u32) -> Noted {
    Noted {
        kind: EventKind::FaultCleared,
        told_by,
        counts: false,
        left_out,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000;
    const MINUTE: u64 = 60_000;

    const FAULT: Told = Told::Event(EventKind::Fault);
    const ESTOP: Told = Told::Event(EventKind::Estop);
    const CLEARED: Told = Told::Event(EventKind::FaultCleared);
    const WELL: Told = Told::Heartbeat { has_fault: false };
    const BROKEN: Told = Told::Heartbeat { has_fault: true };

    #[derive(Default)]
    struct Bench {
        state: FaultState,
        watch: FaultWatch,
        now: Mono,
        counted: Vec<Mono>,
    }

    impl Bench {
        /// Takes this in after a while, as a station does: what is noted is journaled and applied.
        fn tell(&mut self, after_ms: u64, told: Told) -> Option<Noted> {
            self.now = self.now.after_ms(after_ms);
            let noted = self.state.note(&mut self.watch, self.now, told)?;
            self.state.apply(self.now, noted);
            if noted.counts {
                self.counted.push(self.now);
            }
            Some(noted)
        }

        /// Whether it is at fault after this.
        fn is_at_fault_after(&mut self, after_ms: u64, told: Told) -> bool {
            self.tell(after_ms, told);
            self.state.is_at_fault()
        }
    }

    #[test]
    fn a_fault_that_an_event_told_is_not_undone_by_the_next_heartbeat() {
        for (told, ends) in [(FAULT, true), (ESTOP, false)] {
            let mut bench = Bench::default();
            assert!(bench.is_at_fault_after(0, told));
            for beat in 0..20 {
                assert!(bench.is_at_fault_after(15 * SECOND, WELL), "{told:?} {beat}");
            }
            assert_eq!(
                !bench.is_at_fault_after(15 * SECOND, WELL),
                ends,
                "five minutes without faults"
            );
            assert!(!bench.is_at_fault_after(SECOND, CLEARED));
        }
    }

    #[test]
    fn a_fault_in_a_heartbeat_begins_the_five_minutes_anew() {
        let mut bench = Bench::default();
        bench.tell(0, FAULT);
        bench.tell(MINUTE, WELL);
        bench.tell(4 * MINUTE, BROKEN);
        assert!(bench.is_at_fault_after(MINUTE, WELL));
        assert!(bench.is_at_fault_after(4 * MINUTE, WELL));
        assert!(!bench.is_at_fault_after(MINUTE, WELL));
        assert_eq!(bench.counted.len(), 1);
    }

    #[test]
    fn a_fault_that_heartbeats_told_ends_with_the_first_without_one() {
        let mut bench = Bench::default();
        assert!(bench.is_at_fault_after(0, BROKEN));
        assert_eq!(bench.tell(MINUTE, BROKEN), None);
        assert!(!bench.is_at_fault_after(MINUTE, WELL));
        assert_eq!(bench.tell(MINUTE, WELL), None);
        // Once an event has told it too, it holds as that does, and counts no second time.
        bench.tell(10 * MINUTE, BROKEN);
        let noted = bench.tell(10 * MINUTE, FAULT).unwrap();
        assert_eq!((noted.told_by, noted.counts), (ToldBy::Event, false));
        assert!(bench.is_at_fault_after(MINUTE, WELL));
        assert_eq!(bench.tell(MINUTE, FAULT), None, "told again");
    }

    #[test]
    fn a_new_boot_ends_a_fault_and_an_emergency_stop_only_with_five_minutes_of_heartbeats() {
        let mut bench = Bench::default();
        bench.tell(0, FAULT);
        assert!(!bench.is_at_fault_after(MINUTE, Told::NewBoot));

        let mut bench = Bench::default();
        bench.tell(0, FAULT);
        bench.tell(0, ESTOP);
        bench.tell(10 * MINUTE, WELL);
        assert!(bench.is_at_fault_after(0, Told::NewBoot));
        assert!(bench.is_at_fault_after(MINUTE, WELL) && bench.state.is_stopped());
        assert!(!bench.is_at_fault_after(5 * MINUTE, WELL));
        // Pressed again, it takes another boot, also where it had not been released yet.
        bench.tell(MINUTE, ESTOP);
        bench.tell(0, Told::NewBoot);
        bench.tell(MINUTE, ESTOP);
        bench.tell(0, WELL);
        assert!(bench.is_at_fault_after(10 * MINUTE, WELL));
        assert!(!bench.is_at_fault_after(0, Told::PutBackToWork));

        let mut bench = Bench::default();
        bench.tell(0, BROKEN);
        assert!(
            bench.is_at_fault_after(MINUTE, Told::NewBoot),
            "its heartbeats will tell"
        );
    }

    #[test]
    fn three_pairs_in_a_second_are_one_fault() {
        let mut bench = Bench::default();
        for _ in 0..3 {
            assert!(bench.tell(100, FAULT).is_some(), "journaled nevertheless");
            bench.tell(100, CLEARED);
        }
        assert_eq!(bench.counted.len(), 1);
        // One that comes back for ever is more than one.
        let mut bench = Bench::default();
        for _ in 0..15 {
            bench.tell(MINUTE, FAULT);
            bench.tell(SECOND, CLEARED);
        }
        assert_eq!(bench.counted.len(), 3, "one in five minutes");
    }

    #[test]
    fn a_record_counts_only_a_fault_that_nothing_told_before() {
        let mut bench = Bench::default();
        let record = |bench: &Bench| Told::RecordReason { ended: bench.now };
        let told = record(&bench);
        let noted = bench.tell(0, told).unwrap();
        assert_eq!(
            (noted.kind, noted.told_by, noted.counts),
            (EventKind::Fault, ToldBy::Record, true)
        );
        assert!(!bench.state.is_at_fault(), "its session is over");

        bench.tell(60 * MINUTE, FAULT);
        let told = record(&bench);
        bench.tell(MINUTE, CLEARED);
        assert_eq!(bench.tell(60 * MINUTE, told), None, "an hour late, of the same fault");
        let told = record(&bench);
        assert!(bench.tell(0, told).is_some(), "another");
        bench.tell(60 * MINUTE, BROKEN);
        let told = record(&bench);
        assert_eq!(bench.tell(60 * MINUTE, told), None, "it still has that fault");
    }

    #[test]
    fn other_events_are_noted_and_change_nothing() {
        let mut bench = Bench::default();
        for kind in [EventKind::Plugged, EventKind::Unplugged, EventKind::Reboot] {
            assert!(bench.tell(SECOND, Told::Event(kind)).is_some_and(|noted| !noted.counts));
        }
        assert_eq!(bench.tell(SECOND, CLEARED), None, "there was none");
        assert_eq!(bench.state, FaultState::default());
    }

    #[test]
    fn what_was_kept_before_ends_as_it_did_before() {
        let mut bench = Bench {
            state: FaultState::of_flag(true),
            ..Bench::default()
        };
        assert!(!bench.is_at_fault_after(0, WELL));
        let read: FaultState = serde_json::from_str("{}").unwrap();
        assert_eq!(read, FaultState::of_flag(false));
        let read: FaultState = serde_json::from_str("true").unwrap();
        assert_eq!(read, FaultState::of_flag(true));
        let mut replayed = FaultState::default();
        replayed.apply(
            Mono(0),
            Noted {
                kind: EventKind::Estop,
                told_by: ToldBy::default(),
                counts: false,
                left_out: 0,
            },
        );
        assert_eq!(replayed, FaultState::of_flag(true));
    }

    #[test]
    fn a_contact_that_bounces_is_told_a_few_times_and_how_often_it_was() {
        for (one, other) in [
            (EventKind::Plugged, EventKind::Unplugged),
            (EventKind::Reboot, EventKind::Plugged),
        ] {
            let mut bench = Bench::default();
            let (mut noted, mut left_out) = (0, 0);
            // Ten times a second for an hour, and once after a while.
            for n in 0..36_000 {
                let kind = if n % 2 == 0 { one } else { other };
                let told = bench.tell(100, Told::Event(kind)).into_iter();
                told.for_each(|told| (noted, left_out) = (noted + 1, left_out + told.left_out));
            }
            assert_eq!(noted, 2 * EVENTS_MAX * 12, "five of each in five minutes");
            for kind in [one, other] {
                let last = bench.tell(2 * EVENTS_WINDOW_MS, Told::Event(kind)).unwrap();
                (noted, left_out) = (noted + 1, left_out + last.left_out);
            }
            assert_eq!(noted + left_out, 36_002, "none is lost without a count");
        }
    }

    #[test]
    fn a_fault_that_comes_and_goes_is_believed_at_once_and_its_end_a_few_times() {
        let mut bench = Bench::default();
        let mut noted = 0;
        for _ in 0..3_000 {
            noted += usize::from(bench.tell(100, FAULT).is_some());
            assert!(bench.state.is_at_fault(), "nobody is sent there");
            noted += usize::from(bench.tell(100, CLEARED).is_some());
        }
        assert!(noted <= 2 * (2 * EVENTS_MAX as usize + 1), "{noted} in ten minutes");
        // What was left out last was its end: heartbeats show it.
        assert!(bench.state.is_at_fault());
        bench.tell(SECOND, WELL);
        assert!(!bench.is_at_fault_after(FAULT_HOLDS_MS, WELL));
        // By heartbeats alone likewise.
        let mut bench = Bench::default();
        let noted = (0..3_000).filter(|n| bench.tell(100, if n % 2 == 0 { BROKEN } else { WELL }).is_some());
        assert!(noted.count() <= 2 * (EVENTS_MAX as usize + 1));
    }

    #[test]
    fn an_emergency_stop_that_was_released_too_often_to_be_written_down_ends_with_five_minutes_of_heartbeats() {
        let mut bench = Bench::default();
        for _ in 0..=EVENTS_MAX {
            bench.tell(SECOND, ESTOP);
            bench.tell(SECOND, CLEARED);
        }
        assert!(bench.state.is_stopped());
        bench.tell(SECOND, WELL);
        assert!(bench.is_at_fault_after(FAULT_HOLDS_MS - SECOND, WELL));
        assert!(!bench.is_at_fault_after(SECOND, WELL));
        // Pressed again, and not released: it stays.
        bench.tell(SECOND, ESTOP);
        bench.tell(SECOND, WELL);
        assert!(bench.is_at_fault_after(2 * FAULT_HOLDS_MS, WELL));
    }

    fn any_told() -> impl Strategy<Value = Told> {
        prop_oneof![
            3 => Just(FAULT),
            1 => Just(ESTOP),
            1 => Just(CLEARED),
            5 => Just(WELL),
            2 => Just(BROKEN),
            1 => Just(Told::NewBoot),
            1 => (0..3_600_000_u64).prop_map(|at| Told::RecordReason { ended: Mono(at) }),
        ]
    }

    proptest! {
        #[test]
        fn faults_count_once_in_five_minutes_and_an_emergency_stop_holds(
            course in proptest::collection::vec((0..200_000_u64, any_told()), 0..80),
        ) {
            let mut bench = Bench::default();
            let (mut stopped_at, mut booted_at, mut cleared_at) = (None, None, None);
            for (after_ms, told) in course {
                let was_stopped = bench.state.is_stopped();
                let noted = bench.tell(after_ms, told);
                match told {
                    Told::NewBoot => booted_at = Some(bench.now),
                    Told::Event(EventKind::Estop) => stopped_at = Some(bench.now),
                    CLEARED => cleared_at = Some(bench.now),
                    _ => {}
                }
                if was_stopped && !bench.state.is_stopped() && told != CLEARED {
                    // It was released, and there was no room to say so then, or the pile has started anew.
                    prop_assert!(booted_at.max(cleared_at) >= stopped_at);
                    prop_assert!(booted_at >= stopped_at && bench.now.ms_since(booted_at.unwrap()) >= FAULT_HOLDS_MS
                        || cleared_at >= stopped_at);
                }
                // What was noted is enough to know the state again.
                if let Some(noted) = noted {
                    let text = serde_json::to_string(&bench.state).unwrap();
                    prop_assert_eq!(serde_json::from_str::<FaultState>(&text).unwrap(), bench.state);
                    prop_assert!(!noted.counts || noted.kind == EventKind::Fault);
                }
            }
            prop_assert!(bench.counted.is_sorted_by_key(|at| at.0));
            for pair in bench.counted.windows(2) {
                prop_assert!(pair[1].ms_since(pair[0]) >= SAME_FAULT_MS);
            }
        }

        /// Heartbeats without faults end everything but a pressed emergency stop.
        #[test]
        fn a_fault_has_a_way_back(course in proptest::collection::vec((0..200_000_u64, any_told()), 0..40)) {
            let mut bench = Bench::default();
            for (after_ms, told) in course {
                bench.tell(after_ms, told);
            }
            bench.tell(MINUTE, WELL);
            bench.tell(FAULT_HOLDS_MS, WELL);
            prop_assert!(!bench.state.is_at_fault() || bench.state.is_stopped());
            bench.tell(MINUTE, Told::NewBoot);
            bench.tell(MINUTE, WELL);
            bench.tell(FAULT_HOLDS_MS, WELL);
            prop_assert!(!bench.state.is_at_fault());
        }
    }
}
