//! How far a pile's clocks are found to be off: delays, drifts, steps and starts.

use super::*;

const HOUR_MS: i64 = 3_600_000;
/// 2026-03-02T00:00:00Z.
const DAY: Wall = Wall(1_772_409_600_000);

fn boot(name: &str) -> BootId {
    BootId::new(name).unwrap()
}

/// A pile that started at `started`, whose clock is `ahead_ms` ahead; what it says reaches the station after `delay_ms`.
struct Pile {
    name: &'static str,
    started: Wall,
    ahead_ms: Option<i64>,
}

impl Pile {
    fn says(&self, watch: &mut ClockWatch, sent: Wall, delay_ms: i64) -> bool {
        let ts = self.ahead_ms.map(|ahead| sent.after_ms(ahead));
        let mono_ms = sent.ms_since(self.started).unsigned_abs();
        watch.measure(&boot(self.name), ts, mono_ms, sent.after_ms(delay_ms))
    }
}

fn pile(name: &'static str, started: Wall, ahead_ms: Option<i64>) -> Pile {
    Pile {
        name,
        started,
        ahead_ms,
    }
}

#[test]
fn the_least_delayed_message_tells_the_offset() {
    let mut watch = ClockWatch::default();
    let behind = pile("b", DAY, Some(-HOUR_MS));
    for (second, delay_ms) in [(10, 9_000), (20, 40), (30, 3_000)] {
        behind.says(&mut watch, DAY.after_ms(second * 1000), delay_ms);
    }
    assert_eq!(watch.correction_ms(), Some(HOUR_MS + 40));
    assert!(watch.is_suspect());
    assert_eq!(watch.clocks().newest().unwrap().mono_ms, DAY.0 + 40);
    let right = pile("c", DAY.after_ms(HOUR_MS), Some(0));
    right.says(&mut watch, DAY.after_ms(2 * HOUR_MS), 900);
    assert_eq!((watch.correction_ms(), watch.is_suspect()), (Some(0), false));
    pile("d", DAY, None).says(&mut watch, DAY.after_ms(3 * HOUR_MS), 0);
    assert_eq!(watch.correction_ms(), None, "a new start without a clock");
}

#[test]
fn a_fact_is_written_for_each_start_and_each_real_change_and_not_for_each_heartbeat() {
    let mut watch = ClockWatch::default();
    let (mute, clock) = (pile("b", DAY, None), pile("b", DAY, Some(-HOUR_MS)));
    let at = |second: i64| DAY.after_ms(second * 1000);
    assert!(mute.says(&mut watch, at(10), 50), "another start");
    assert!(!mute.says(&mut watch, at(20), 50));
    assert!(clock.says(&mut watch, at(30), 9_000), "a first ts");
    assert!(clock.says(&mut watch, at(40), 50), "nine seconds finer");
    for second in 50..1_000 {
        assert!(!clock.says(&mut watch, at(second), second % 7 * 1000));
    }
    let set = pile("b", DAY, Some(0));
    assert!(set.says(&mut watch, at(1_000), 50), "its clock was set");
    assert!(
        pile("c", at(1_005), Some(0)).says(&mut watch, at(1_010), 50),
        "another start"
    );
    assert!(
        !set.says(&mut watch, at(1_020), 0),
        "what an earlier start says comes late, and tells nothing"
    );
}

#[test]
fn a_clock_that_is_set_leaves_both_offsets() {
    let mut watch = ClockWatch::default();
    let at = |minute: i64| DAY.after_ms(minute * 60_000);
    for (from, ahead_ms) in [(10, 3 * HOUR_MS), (70, 0), (130, -240_000)] {
        pile("b", DAY, Some(ahead_ms)).says(&mut watch, at(from), 50);
        pile("b", DAY, Some(ahead_ms)).says(&mut watch, at(from + 1), 20);
        watch.renew();
    }
    let settings: Vec<_> = watch.clocks().newest().unwrap().settings.clone();
    let offsets: Vec<i64> = settings.iter().map(|setting| setting.ts_ms).collect();
    assert_eq!(offsets, [-3 * HOUR_MS + 20, 20, 240_020]);
    let newest = watch.clocks().newest().unwrap();
    let (setting, missed_ms) = newest
        .setting_that_showed(at(50).after_ms(3 * HOUR_MS), 50 * 60_000)
        .unwrap();
    assert_eq!((setting.ts_ms, missed_ms), (offsets[0], 0));
    assert_eq!(newest.setting_at(60 * 60_000).unwrap().ts_ms, offsets[0]);
    assert_eq!(newest.setting_at(0).unwrap().ts_ms, offsets[0]);
    assert_eq!(newest.setting_at(u64::MAX).unwrap().ts_ms, offsets[2]);
}

#[test]
fn a_clock_that_drifts_is_followed() {
    let mut watch = ClockWatch::default();
    for hour in 0..100 {
        pile("b", DAY, Some(-1_000 * hour)).says(&mut watch, DAY.after_ms(hour * HOUR_MS), 30);
        watch.renew();
    }
    let ts_ms = watch.clocks().newest().unwrap().ts_ms().unwrap();
    assert!((97_000..=99_030).contains(&ts_ms), "{ts_ms}");
}

#[test]
fn a_pile_that_does_not_count_its_uptime_is_measured_by_its_clock() {
    let mut watch = ClockWatch::default();
    let mut facts = 0;
    for minute in 0..100 {
        let sent = DAY.after_ms(minute * 60_000);
        let told = watch.measure(&boot("b"), Some(sent.after_ms(HOUR_MS)), 0, sent.after_ms(100));
        facts += u32::from(told);
    }
    assert_eq!((watch.correction_ms(), facts), (Some(-HOUR_MS + 100), 1));
}

#[test]
fn a_step_of_the_stations_clock_moves_every_start_along() {
    let mut watch = ClockWatch::default();
    pile("a", DAY, Some(HOUR_MS)).says(&mut watch, DAY.after_ms(60_000), 0);
    pile("b", DAY.after_ms(HOUR_MS), None).says(&mut watch, DAY.after_ms(HOUR_MS), 0);
    // The station lost its clock: what it knew lies before 1970 now, and is kept all the same.
    let lost = -DAY.0;
    watch.follow_step(lost);
    let offsets = |clocks: &PileClocks| -> Vec<_> { clocks.boots().iter().map(|b| (b.mono_ms, b.ts_ms())).collect() };
    assert_eq!(offsets(watch.clocks()), [(0, Some(-HOUR_MS + lost)), (HOUR_MS, None)]);
    watch.follow_step(-HOUR_MS);
    let json = serde_json::to_string(watch.clocks()).unwrap();
    let mut kept: PileClocks = serde_json::from_str(&json).unwrap();
    assert_eq!(&kept, watch.clocks());
    kept.follow_step(HOUR_MS - lost);
    assert_eq!(kept.boots()[0].first_heard, DAY.after_ms(60_000));
    // It is told once, with the next message.
    let told = watch.measure(&boot("b"), None, 60_000, Wall(60_000));
    assert!(told);
    assert!(!watch.measure(&boot("b"), None, 61_000, Wall(61_000)));
}

#[test]
fn a_station_that_started_again_goes_on_from_what_was_kept_and_measures_the_newest_anew() {
    let mut watch = ClockWatch::default();
    pile("a", DAY, Some(HOUR_MS)).says(&mut watch, DAY.after_ms(60_000), 0);
    let b = pile("b", DAY.after_ms(HOUR_MS), Some(0));
    b.says(&mut watch, DAY.after_ms(HOUR_MS), 0);
    let mut watch = ClockWatch::from(watch.clocks().clone());
    assert!(!b.says(&mut watch, DAY.after_ms(2 * HOUR_MS), 900));
    assert_eq!(watch.clocks().newest().unwrap().ts_ms(), Some(900));
    assert_eq!(watch.clocks().of(&boot("a")).unwrap().ts_ms(), Some(-HOUR_MS));
}

#[test]
fn a_station_whose_clock_was_moved_while_it_was_off_finds_every_setting_of_a_start_elsewhere() {
    let mut watch = ClockWatch::default();
    let b = |ahead| pile("b", DAY, Some(ahead));
    b(HOUR_MS).says(&mut watch, DAY.after_ms(60_000), 0);
    // Its clock is set right, and the station starts again with its own clock a quarter of an hour behind.
    b(0).says(&mut watch, DAY.after_ms(HOUR_MS), 0);
    let mut watch = ClockWatch::from(watch.clocks().clone());
    let behind_ms = -900_000;
    let uptime = 2 * HOUR_MS;
    let told = watch.measure(
        &boot("b"),
        Some(DAY.after_ms(uptime)),
        uptime.unsigned_abs(),
        DAY.after_ms(uptime + behind_ms),
    );
    assert!(told);
    let newest = watch.clocks().newest().unwrap();
    let offsets: Vec<i64> = newest.settings.iter().map(|setting| setting.ts_ms).collect();
    assert_eq!(offsets, [-HOUR_MS + behind_ms, behind_ms]);
    // The same of a pile whose first message tells no time, for instance because it cannot be read.
    let mut watch = ClockWatch::from(watch.clocks().clone());
    let uptime = 3 * HOUR_MS;
    assert!(watch.measure(&boot("b"), None, uptime.unsigned_abs(), DAY.after_ms(uptime)));
    let newest = watch.clocks().newest().unwrap();
    let offsets: Vec<i64> = newest.settings.iter().map(|setting| setting.ts_ms).collect();
    assert_eq!(offsets, [-HOUR_MS, 0]);
}

#[test]
fn a_pile_whose_clock_was_set_along_with_a_stations_clock_is_followed_by_its_uptime() {
    let mut watch = ClockWatch::default();
    pile("a", DAY, Some(HOUR_MS)).says(&mut watch, DAY.after_ms(60_000), 0);
    pile("b", DAY.after_ms(HOUR_MS), Some(0)).says(&mut watch, DAY.after_ms(2 * HOUR_MS), 0);
    // While the station was off, its clock was found to be four hours behind; the pile was told the time as well.
    let ahead_ms = 4 * HOUR_MS;
    let mut watch = ClockWatch::from(watch.clocks().clone());
    let uptime = 2 * HOUR_MS;
    let now = DAY.after_ms(HOUR_MS + uptime + ahead_ms);
    assert!(watch.measure(&boot("b"), Some(now), uptime.unsigned_abs(), now));
    let boots = watch.clocks().boots();
    let offsets = |of: usize| -> Vec<i64> { boots[of].settings.iter().map(|setting| setting.ts_ms).collect() };
    assert_eq!((offsets(0), offsets(1)), (vec![ahead_ms - HOUR_MS], vec![ahead_ms, 0]));
    assert_eq!(boots[1].mono_ms, DAY.after_ms(HOUR_MS + ahead_ms).0);
    // One that began to count its uptime anew, and kept its name, tells nothing of the station's clock.
    let mut watch = ClockWatch::from(watch.clocks().clone());
    let now = now.after_ms(3 * HOUR_MS);
    watch.measure(&boot("b"), Some(now.after_ms(HOUR_MS)), 90_000, now);
    assert_eq!(watch.clocks().boots()[0].ts_ms(), Some(ahead_ms - HOUR_MS));
}

#[test]
fn a_start_that_kept_its_name_is_another_start() {
    let mut watch = ClockWatch::default();
    pile("b", DAY, None).says(&mut watch, DAY.after_ms(HOUR_MS), 0);
    assert!(watch.restarted(&boot("b"), None, 1_000, DAY.after_ms(2 * HOUR_MS)));
    assert_eq!(watch.clocks().boots().len(), 2);
    assert_eq!(
        watch.clocks().of(&boot("b")).unwrap().mono_ms,
        DAY.0 + 2 * HOUR_MS - 1_000
    );
}

#[test]
fn what_is_kept_and_told_is_bounded_however_wild_the_pile() {
    let mut watch = ClockWatch::default();
    let mut facts = 0;
    for n in 0..1_000_i64 {
        let ahead = if n % 2 == 0 { HOUR_MS } else { -HOUR_MS * n };
        let told = watch.measure(
            &boot("b"),
            Some(DAY.after_ms(ahead)),
            (n * n).unsigned_abs(),
            DAY.after_ms(n),
        );
        facts += usize::from(told);
    }
    assert!(facts <= SETTINGS_MAX + 1 + 4, "{facts}");
    assert_eq!(watch.clocks().newest().unwrap().settings.len(), SETTINGS_MAX);
    for name in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"] {
        watch.restarted(&boot(name), Some(Wall(i64::MAX)), u64::MAX, Wall(i64::MIN));
    }
    assert_eq!(watch.clocks().boots().len(), BOOTS_MAX);
}
