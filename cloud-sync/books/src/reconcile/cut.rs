//! Which entries of a site's journal are of which business day. The site's own clock says it (`DayBegan`), and that clock may be years off:
//! what it says is believed as far as head office's clock and the days around allow it. Arithmetic alone.

use super::days::apart;
use crate::store::site_days::EndedDay;
use domain::{
    journal::Head,
    time::{Day, Wall, Zone},
};

/// A day may begin so much earlier than it does by head office's clock, in milliseconds: two clocks are never the same.
const AHEAD_MS_MAX: i64 = 3_600_000;

/// Days in a row of which a journal says nothing and which have runs all the same. Of a longer gap no day has one.
pub const GAP_DAYS_MAX: i32 = 31;

/// A day that is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Begun {
    day: Day,
    /// When head office learnt that it began.
    said_at: Wall,
    /// Its last entry; none where it goes on.
    last: Option<Head>,
}

/// What is known of a journal that is to be cut.
#[derive(Debug, Clone)]
pub struct Journal<'a> {
    /// Where the last day that is final ended, or the journal begins.
    pub from: Head,
    /// The last day that is final: no other is believed up to it.
    pub last_final: Option<Day>,
    /// When head office learnt of the last day that ended up to there, if one did.
    pub begun_at: Option<Wall>,
    /// The days that have ended since, in the order of their entries, and when head office learnt of each.
    pub ended: &'a [(EndedDay, Wall)],
    /// The day that goes on.
    pub goes_on: Option<Day>,
    /// The journal's end, and when that became its end for ever: the site was closed.
    pub closed: Option<(Head, Wall)>,
}

/// The days of a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    from: Head,
    /// By their days, and by their entries.
    days: Vec<Begun>,
}

/// How a day has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// The last entry of it, or of the days before where it has none.
    pub last: Head,
    /// When head office learnt of it.
    pub said_at: Wall,
}

/// The places of the most days that follow on each other without going back; of several such choices the one whose end comes first.
fn believed(days: &[Day]) -> Vec<usize> {
    // Where the choices of one, two, … days end that end on the earliest day.
    let mut ends: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(days.len());
    let mut last = None;
    for (at, day) in days.iter().enumerate() {
        let length = ends.partition_point(|end| days[*end] <= *day);
        before.push(length.checked_sub(1).map(|shorter| ends[shorter]));
        match ends.get_mut(length) {
            Some(end) => *end = at,
            None => {
                ends.push(at);
                last = Some(at);
            }
        }
    }
    let mut chosen: Vec<usize> = std::iter::successors(last, |at| before[*at]).collect();
    chosen.reverse();
    chosen
}

impl Cut {
    /// Cuts a journal.
    ///
    /// Not believed is a day that began before it does by head office's clock, as the site's clock was ahead; and the fewest days that
    /// make the others follow on each other, as it was ahead or behind for a while that head office did not see. Entries of a day that is
    /// not believed are of the next one that is.
    pub fn of(journal: &Journal<'_>, zone: &Zone, now: Wall) -> Self {
        let mut said_at = journal.begun_at;
        let mut all: Vec<Begun> = Vec::with_capacity(journal.ended.len() + 1);
        for (ended, learnt_at) in journal.ended {
            // Of the first nothing is known but when it was over.
            let begun_at = said_at.replace(*learnt_at).unwrap_or(*learnt_at);
            all.push(Begun {
                day: ended.day,
                said_at: begun_at,
                last: Some(ended.last),
            });
        }
        all.extend(journal.goes_on.map(|day| Begun {
            day,
            said_at: said_at.unwrap_or(now),
            last: None,
        }));
        all.retain(|of| {
            let is_ahead = of.day > zone.day_of(of.said_at.after_ms(AHEAD_MS_MAX));
            !is_ahead && journal.last_final.is_none_or(|last| of.day > last)
        });
        let days: Vec<Day> = all.iter().map(|of| of.day).collect();
        let mut cut: Vec<Begun> = Vec::new();
        for at in believed(&days) {
            match cut.last_mut().filter(|last| last.day == all[at].day) {
                Some(same) => same.last = all[at].last,
                None => cut.push(all[at].clone()),
            }
        }
        if let (Some((head, said_at)), Some(last)) = (journal.closed, cut.last_mut()) {
            last.last = Some(head);
            let day = last.day.plus(1);
            cut.push(Begun {
                day,
                said_at,
                last: None,
            });
        }
        Self {
            from: journal.from,
            days: cut,
        }
    }

    /// The last day that is known to have begun.
    pub fn begun(&self) -> Option<Day> {
        self.days.last().map(|of| of.day)
    }

    /// The first day and the last that are to have runs now, where the last that is due is this one: after one that is final, and as far as
    /// the journal says something without a longer gap. What comes after the gap has its turn when all before it is final. Whether there is
    /// such a gap.
    pub fn open(&self, last_final: Option<Day>, due: Day) -> Option<(Day, Day, bool)> {
        let first = self.days.first().map(|of| of.day);
        let next = last_final.map(|day| day.plus(1));
        let is_apart = |from: Day, to: Day| apart(from, to) > i64::from(GAP_DAYS_MAX);
        let from = match (next, first) {
            (Some(next), Some(first)) if is_apart(next, first) => first,
            (Some(next), _) => next,
            (None, first) => first?,
        };
        let mut known = from;
        for day in self.days.iter().map(|of| of.day).filter(|day| *day >= from) {
            if is_apart(known, day) {
                return Some((from, known.min(due), true));
            }
            known = day;
        }
        Some((from, due.min(known.plus(GAP_DAYS_MAX)), false))
    }

    /// How a day has ended, if it has: a later one has begun.
    pub fn end_of(&self, day: Day) -> Option<End> {
        let next = self.days.iter().find(|of| of.day > day)?;
        Some(End {
            last: self.last_before(day.plus(1)),
            said_at: next.said_at,
        })
    }

    /// The last entry of the days before one.
    pub fn last_before(&self, day: Day) -> Head {
        let before = self.days.iter().filter(|of| of.day < day);
        before.filter_map(|of| of.last).next_back().unwrap_or(self.from)
    }

    /// The day that an entry is of; none where it is of one that is final, or of none that is believed yet.
    pub fn day_of(&self, seq: u64) -> Option<Day> {
        let is_in = |of: &&Begun| of.last.is_none_or(|last| last.seq >= seq);
        let found = self.days.iter().find(is_in).filter(|_| seq > self.from.seq);
        found.map(|of| of.day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::journal::Hash;

    fn day(text: &str) -> Day {
        Day::parse(text).unwrap()
    }

    fn zone() -> Zone {
        Zone::named("Asia/Shanghai").unwrap()
    }

    fn head(seq: u64) -> Head {
        Head {
            seq,
            hash: Hash::GENESIS,
        }
    }

    fn noon(of: &str) -> Wall {
        zone().at(day(of), 12)
    }

    /// A journal whose days have ten entries each, with the days on which head office learnt that they were over; the last goes on.
    fn cut(of: &[(&str, &str)], goes_on: &str, last_final: Option<&str>) -> Cut {
        let ended: Vec<(EndedDay, Wall)> = of
            .iter()
            .zip(1..)
            .map(|((of, said), n)| {
                let (day, last) = (day(of), head(n * 10));
                (EndedDay { day, last }, noon(said))
            })
            .collect();
        let journal = Journal {
            from: head(0),
            last_final: last_final.map(day),
            begun_at: None,
            ended: &ended,
            goes_on: Some(day(goes_on)),
            closed: None,
        };
        Cut::of(&journal, &zone(), noon("2026-04-01"))
    }

    fn end(cut: &Cut, of: &str) -> Option<u64> {
        cut.end_of(day(of)).map(|end| end.last.seq)
    }

    fn in_time<'a>(days: &[&'a str]) -> Vec<(&'a str, &'a str)> {
        let next = days[1..].iter().chain([&days[days.len() - 1]]);
        days.iter().copied().zip(next.copied()).collect()
    }

    #[test]
    fn days_end_where_the_next_begins_and_one_without_entries_with_the_one_before() {
        let of = [("2026-03-09", "2026-03-10"), ("2026-03-10", "2026-03-12")];
        let cut = cut(&of, "2026-03-12", None);
        assert_eq!(end(&cut, "2026-03-09"), Some(10));
        assert_eq!((end(&cut, "2026-03-10"), end(&cut, "2026-03-11")), (Some(20), Some(20)));
        assert_eq!(end(&cut, "2026-03-12"), None, "it goes on");
        assert_eq!(cut.last_before(day("2026-03-10")).seq, 10);
        assert_eq!(
            [1, 10, 11, 21].map(|seq| cut.day_of(seq).unwrap()),
            [
                day("2026-03-09"),
                day("2026-03-09"),
                day("2026-03-10"),
                day("2026-03-12")
            ]
        );
        let due = day("2026-03-12");
        assert_eq!(cut.open(None, due), Some((day("2026-03-09"), due, false)));
        assert_eq!(
            cut.open(Some(day("2026-03-09")), due),
            Some((day("2026-03-10"), due, false))
        );
    }

    #[test]
    fn a_clock_that_is_ahead_ends_no_day_and_what_it_said_is_of_the_day_on_which_it_was_put_right() {
        // On the ninth the site believes that it is the twentieth.
        let wrong = [("2026-03-08", "2026-03-09"), ("2026-03-09", "2026-03-09")];
        let ahead = cut(&wrong, "2026-03-20", None);
        assert_eq!(end(&ahead, "2026-03-08"), Some(10));
        assert_eq!((end(&ahead, "2026-03-09"), end(&ahead, "2026-03-10")), (None, None));
        assert_eq!(ahead.begun(), Some(day("2026-03-09")));
        let right = [wrong[0], wrong[1], ("2026-03-20", "2026-03-11")];
        let right = cut(&right, "2026-03-11", None);
        assert_eq!(end(&right, "2026-03-10"), Some(20), "it has no entries, and has ended");
        assert_eq!(
            [20, 21, 31].map(|seq| right.day_of(seq).unwrap()),
            [day("2026-03-09"), day("2026-03-11"), day("2026-03-11")]
        );
        // The same where all of it came in much later.
        let late = ["2026-03-08", "2026-03-09", "2026-03-20", "2026-03-11", "2026-03-12"].map(|of| (of, "2026-03-30"));
        let late = cut(&late, "2026-03-13", None);
        assert_eq!(
            (end(&late, "2026-03-09"), end(&late, "2026-03-11")),
            (Some(20), Some(40))
        );
        assert_eq!(late.day_of(25), Some(day("2026-03-11")));
    }

    #[test]
    fn a_minute_too_early_is_early_enough() {
        let minute_before = zone().begin_of(day("2026-03-10")).after_ms(-60_000);
        let ended = [(
            EndedDay {
                day: day("2026-03-09"),
                last: head(10),
            },
            minute_before,
        )];
        let journal = Journal {
            from: head(0),
            last_final: None,
            begun_at: None,
            ended: &ended,
            goes_on: Some(day("2026-03-10")),
            closed: None,
        };
        assert_eq!(end(&Cut::of(&journal, &zone(), minute_before), "2026-03-09"), Some(10));
    }

    #[test]
    fn a_clock_that_is_behind_for_a_while_takes_no_day_back() {
        let of = in_time(&["2026-03-08", "2026-03-09", "1970-01-01"]);
        let behind = cut(&of[..2], "1970-01-01", None);
        assert_eq!(
            (end(&behind, "2026-03-08"), end(&behind, "2026-03-09")),
            (Some(10), None)
        );
        let of = [of[0], of[1], ("1970-01-01", "2026-03-10")];
        let right = cut(&of, "2026-03-10", None);
        assert_eq!(
            (end(&right, "2026-03-08"), end(&right, "2026-03-09")),
            (Some(10), Some(20))
        );
        assert_eq!(right.day_of(25), Some(day("2026-03-10")));
        // Also where it comes to a day again.
        let of = [of[0], of[1], ("1970-01-01", "2026-03-09"), ("2026-03-09", "2026-03-10")];
        assert_eq!(end(&cut(&of, "2026-03-10", None), "2026-03-09"), Some(40));
    }

    #[test]
    fn a_clock_that_began_in_1970_makes_no_years_of_days() {
        let of = [("1970-01-01", "2026-03-09"), ("2026-03-09", "2026-03-10")];
        let due = day("2026-03-10");
        let (first, began) = (day("1970-01-01"), day("2026-03-09"));
        let cut_first = cut(&of, "2026-03-10", None);
        assert_eq!(cut_first.open(None, due), Some((first, first, true)));
        let cut = cut(&of, "2026-03-10", Some("1970-01-01"));
        assert_eq!(cut.open(Some(first), due), Some((began, due, false)));
        // Where it is silent it is waited for.
        assert_eq!(
            cut.open(Some(began), day("2027-01-01")),
            Some((due, due.plus(GAP_DAYS_MAX), false))
        );
    }

    #[test]
    fn a_final_day_is_believed_and_entries_that_say_an_earlier_one_are_of_the_next() {
        let of = [("2026-03-08", "2026-03-10"), ("2026-03-10", "2026-03-11")];
        let cut = cut(&of, "2026-03-11", Some("2026-03-09"));
        assert_eq!(cut.day_of(5), Some(day("2026-03-10")));
        assert_eq!(end(&cut, "2026-03-10"), Some(20));
    }

    #[test]
    fn a_site_that_was_closed_has_ended_its_last_day() {
        let journal = Journal {
            from: head(0),
            last_final: None,
            begun_at: None,
            ended: &[],
            goes_on: Some(day("2026-03-09")),
            closed: Some((head(7), noon("2026-03-09"))),
        };
        let cut = Cut::of(&journal, &zone(), noon("2026-04-01"));
        let at_closing = End {
            last: head(7),
            said_at: noon("2026-03-09"),
        };
        assert_eq!(cut.end_of(day("2026-03-09")), Some(at_closing));
    }

    #[test]
    fn the_fewest_days_are_disbelieved() {
        let of = |days: &[&str]| believed(&days.iter().map(|of| day(of)).collect::<Vec<_>>());
        assert_eq!(of(&[]), [] as [usize; 0]);
        assert_eq!(of(&["2026-03-09", "1970-01-01"]), [0]);
        assert_eq!(of(&["2026-03-09", "2026-03-20", "2026-03-10", "2026-03-11"]), [0, 2, 3]);
        assert_eq!(of(&["2026-03-09", "2026-03-09", "2026-03-08", "2026-03-10"]), [0, 1, 3]);
    }
}
