//! Sites' days reconciled: what the journal, the energy report and the till say of a day is named once, on the day it is of; a day whose
//! journal is not here is said to lack it; and a final day stays as it is (rule 26).

use crate::{
    everywhere,
    head_office::{HeadOffice, read},
    journal::Journal,
};
use central::{
    desk::Clock,
    ingest::{SiteCopy, Taken},
    reconcile::{
        days::night_after,
        funds::{NotRun, Reconciler},
        nightly::Nightly,
        sites::{Sites, scope_of},
        words::{Class, Leg, Source},
    },
    store::{
        discrepancies::Discrepancy,
        findings,
        queries::reconcile as queries,
        reconcile_runs::{self as runs, Run, Status},
        site_days,
    },
};
use domain::{
    energy::{EnergyReport, Finding},
    fact::Fact,
    time::{Day, Mono, Wall, Zone},
    units::Fen,
};
use std::sync::{Arc, Mutex};

/// Clocks that show what they are set to.
struct Set(Mutex<Wall>);

impl Clock for Set {
    fn mono(&self) -> Mono {
        Mono(0)
    }

    fn wall(&self) -> Wall {
        *self.0.lock().unwrap()
    }
}

struct Books<'a> {
    at: &'a HeadOffice,
    clock: Arc<Set>,
    journal: Journal,
}

const DAY_MS: i64 = 86_400_000;

fn shanghai() -> Zone {
    Zone::named("Asia/Shanghai").unwrap()
}

impl<'a> Books<'a> {
    /// A day and a half after everything that a journal has.
    fn after(at: &'a HeadOffice, journal: &Journal) -> Self {
        // The station's own clock may have been put back.
        let last = journal.facts.iter().map(|(stamp, _)| stamp.at).max().unwrap();
        let clock = Arc::new(Set(Mutex::new(last.after_ms(DAY_MS * 3 / 2))));
        let site = journal.site.clone();
        let said = r#"{"time_zone":"Asia/Shanghai"}"#;
        at.write(move |tx| central::store::sites::heard(tx, &site, Some(said), Wall(0)))
            .unwrap();
        Self {
            at,
            clock,
            journal: journal.clone(),
        }
    }

    fn set(&self, now: Wall) {
        *self.clock.0.lock().unwrap() = now;
    }

    fn sites(&self) -> Sites {
        let clock: Arc<dyn Clock> = Arc::<Set>::clone(&self.clock);
        Sites {
            db: self.at.db.clone(),
            clock,
        }
    }

    fn catch_up(&self) -> usize {
        wait(self.sites().catch_up(&self.journal.site, "a test")).unwrap()
    }

    fn night(&self) -> usize {
        let clock: Arc<dyn Clock> = Arc::<Set>::clone(&self.clock);
        let db = self.at.db.clone();
        wait(Nightly(Reconciler { db, clock }).look()).unwrap()
    }

    fn runs(&self) -> Vec<Run> {
        let scope = scope_of(&self.journal.site);
        let first = Day::parse("2000-01-01").unwrap();
        self.at.read(move |tx| runs::counting(tx, &scope, first)).unwrap()
    }

    fn found(&self) -> Vec<Discrepancy> {
        let which = queries::Which {
            scope: Some(scope_of(&self.journal.site)),
            ..queries::Which::default()
        };
        let found = self
            .at
            .read(move |tx| queries::discrepancies(tx, &which, None, 100_000));
        let mut found = found.unwrap().items;
        found.sort_by_key(|found| found.id);
        found
    }

    fn open(&self, class: Class) -> Vec<Discrepancy> {
        let of = |found: &Discrepancy| found.class == class && found.closed_at.is_none();
        self.found().into_iter().filter(of).collect()
    }

    fn execute(&self, statement: &'static str) {
        assert_ne!(self.at.write(move |tx| tx.execute(statement, &[])).unwrap(), 0);
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(future)
}

/// The days that end in a journal, each with how many entries there are up to its end.
fn ends(journal: &Journal) -> Vec<(Day, usize)> {
    let mut began: Option<Day> = None;
    let mut ends = Vec::new();
    for (at, (_, fact)) in journal.facts.iter().enumerate() {
        if let Fact::DayBegan { day } = fact {
            ends.extend(began.replace(*day).map(|over| (over, at)));
        }
    }
    ends
}

fn reports(journal: &Journal) -> impl Iterator<Item = &EnergyReport> {
    journal.facts.iter().filter_map(|(_, fact)| match fact {
        Fact::EnergyReported { report } => Some(&**report),
        _ => None,
    })
}

fn a_day_that_is_over_and_whose_journal_is_not_here_is_said_to_lack_it(at: &HeadOffice) {
    let journal = Journal::of_sessions("S1", 120);
    let ends = ends(&journal);
    assert!(ends.len() >= 3, "{ends:?}");
    let (day, end) = ends[1];
    let mut copy = at.add(&journal);
    // Up to the middle of the second day.
    let middle = (ends[0].1 + end) / 2;
    let middle = *journal.ends(1).iter().find(|end| **end >= middle).unwrap();
    copy = take(at, copy, &journal, 0, middle);
    let finals = |runs: &[Run]| -> Vec<(Day, bool)> {
        let told = |run: &Run| (run.day, run.status == Status::Final);
        runs.iter().map(told).collect()
    };
    let books = Books::after(at, &journal);
    books.set(shanghai().begin_of(day.plus(1)).after_ms(2 * 3_600_000));
    books.catch_up();
    let gaps = books.open(Class::JournalGap);
    assert_eq!(gaps.iter().map(|gap| gap.of_day).collect::<Vec<_>>(), [day]);
    assert_eq!((gaps[0].leg, gaps[0].amount), (Leg::Sources, Fen::ZERO));
    // The day before has ended, and its night is over; this one has a run that says no more than that its journal lacks.
    assert_eq!(finals(&books.runs()), [(ends[0].0, true), (day, false)]);
    assert_eq!(books.runs()[1].totals.as_ref().unwrap().site, None);
    // The rest comes: the day is done anew, and lacks nothing.
    take(at, copy, &journal, middle, journal.facts.len());
    books.set(written_at(&journal, journal.facts.len() - 1));
    assert!(books.catch_up() > 0);
    assert!(books.open(Class::JournalGap).iter().all(|gap| gap.of_day != day));
    assert_eq!(finals(&books.runs())[..2], [(ends[0].0, true), (day, false)]);
    assert!(books.runs()[1].totals.as_ref().unwrap().site.is_some());
    assert!(
        books
            .found()
            .iter()
            .any(|found| found.id == gaps[0].id && found.closed_at.is_some())
    );
}

/// Takes a part of a journal at once, when its last entry was written.
fn take(at: &HeadOffice, copy: SiteCopy, journal: &Journal, from: usize, to: usize) -> SiteCopy {
    let read = read(&journal.batch(from, to), &copy);
    let (copy, taken) = at.take_at(copy, Arc::new(read), written_at(journal, to - 1));
    assert_eq!(taken, Taken::Followed);
    copy
}

/// When an entry was written by a clock that is never wrong: as the station's was when it began, and as long after that as it says.
fn written_at(journal: &Journal, at: usize) -> Wall {
    let (first, this) = (journal.facts[0].0, journal.facts[at].0);
    first
        .at
        .after_ms(i64::try_from(this.mono.ms_since(first.mono)).unwrap())
}

/// Takes all of a journal, in parts of about so many entries, each when it was written.
fn follow(at: &HeadOffice, journal: &Journal, most: usize) {
    let mut copy = at.add(journal);
    for part in journal.ends(most).windows(2) {
        copy = take(at, copy, journal, part[0], part[1]);
    }
}

fn a_day_is_final_after_the_night_in_which_it_came_and_what_is_found_later_is_of_a_later_day(at: &HeadOffice) {
    let journal = Journal::of_sessions("S1", 60);
    let ends = ends(&journal);
    // Head office learns of everything at once.
    take(at, at.add(&journal), &journal, 0, journal.facts.len());
    let books = Books::after(at, &journal);
    let came = written_at(&journal, journal.facts.len() - 1);
    let first = ends[0].0;
    let reported = reports(&journal).map(|report| report.day).max().unwrap();
    let night = night_after(&shanghai(), came);
    books.set(night.after_ms(-1));
    books.catch_up();
    let provisional = books.runs();
    assert!(provisional.len() >= 2, "{provisional:?}");
    assert!(provisional.iter().all(|run| run.status == Status::Provisional));
    books.set(night);
    books.catch_up();
    let finals = books.runs();
    let is_final = |run: &&Run| run.status == Status::Final;
    assert!(finals.iter().filter(is_final).count() >= 2, "{finals:?}");
    assert!(
        finals
            .iter()
            .all(|run| run.day <= reported || run.status == Status::Provisional)
    );
    // Somebody finds something in the first day's entries.
    at.write({
        let site = journal.site.clone();
        let found = findings::Finding {
            class: findings::Class::Books,
            seq: 2,
            order: None,
            detail: r#"{"why":"a test","accounts":[{"account":"cash","site":"3.00","here":"1.00"}]}"#.to_owned(),
        };
        move |tx| findings::add(tx, &site, 0, &[found], night)
    })
    .unwrap();
    books.set(night.after_ms(DAY_MS));
    assert!(books.night() > 0);
    let late = books.open(Class::Books);
    let [late] = &late[..] else { panic!("{late:?}") };
    assert_eq!((late.of_day, late.amount), (first, Fen(200)));
    assert_eq!((late.ours, late.theirs), (Some(Fen(100)), Some(Fen(300))));
    let last_final = finals.iter().filter(is_final).map(|run| run.day).max().unwrap();
    assert!(late.day > last_final, "{} is final", late.day);
    let now = books.runs();
    for was in finals.iter().filter(is_final) {
        assert!(now.contains(was), "{was:?}");
    }
    // Nothing is due any more.
    assert_eq!(books.night(), 0);
}

fn books_and_sums_that_are_not_what_bills_say_are_named_with_both_values(at: &HeadOffice) {
    let journal = Journal::of_sessions("S1", 40);
    follow(at, &journal, 200);
    let books = Books::after(at, &journal);
    books.catch_up();
    assert_eq!(books.open(Class::Books), []);
    let before = books.runs();
    let totals = before[0].totals.clone().unwrap().site.unwrap();
    assert!(
        totals.orders.count > 0 && totals.orders.amount > Fen::ZERO,
        "{totals:?}"
    );
    assert_eq!(totals.electricity + totals.service, totals.orders.amount);
    // A bill and its energy were changed by other means, and somebody asks for the day.
    books.execute(
        "UPDATE r_order SET fee = fee + 100, energy = energy + 10000 WHERE id = (SELECT MIN(id) FROM r_order WHERE day = \
         (SELECT MIN(day) FROM r_order))",
    );
    books.execute("UPDATE run SET inputs = '{}', status = 'provisional' WHERE status = 'final'");
    assert!(books.catch_up() > 0);
    let found = books.open(Class::Books);
    let [wrong] = &found[..] else { panic!("{found:?}") };
    assert_eq!((wrong.source, wrong.amount), (Source::Order, Fen(100)));
    assert_eq!(wrong.theirs.unwrap() - wrong.ours.unwrap(), Fen(100));
    let sums: Vec<_> = books
        .open(Class::Energy)
        .into_iter()
        .filter(|one| one.source == Source::Day)
        .collect();
    let [sums] = &sums[..] else { panic!("{sums:?}") };
    assert_eq!(sums.ours.unwrap().0 - sums.theirs.unwrap().0, 10_000);
}

fn a_day_is_refused_that_is_not_over_or_was_never_there(at: &HeadOffice) {
    let journal = Journal::of_sessions("S1", 40);
    follow(at, &journal, 200);
    let books = Books::after(at, &journal);
    let run = |day| wait(books.sites().run(&journal.site, day, "a test"));
    let today = shanghai().day_of(books.clock.wall());
    assert!(matches!(run(today), Err(NotRun::NotOver { .. })));
    let first = ends(&journal)[0].0;
    assert!(matches!(run(first.plus(-1)), Err(NotRun::BeforeFirst { .. })));
    assert_eq!(run(first).unwrap().day, first);
    let unknown = "nowhere".parse().unwrap();
    let run = wait(books.sites().run(&unknown, first, "a test"));
    assert!(matches!(run, Err(NotRun::UnknownSite(_))));
    let site = journal.site.clone();
    let ended = at.read(move |tx| site_days::of_branch(tx, &site, 0, 0)).unwrap();
    let ended: Vec<(Day, u64)> = ended
        .into_iter()
        .map(|(ended, _)| (ended.day, ended.last.seq))
        .collect();
    let by_journal: Vec<(Day, u64)> = ends(&journal).into_iter().map(|(day, end)| (day, end as u64)).collect();
    assert_eq!(ended, by_journal);
}

/// As many differences as there are in reports, but for those that say that an earlier one is none, and those that they mean.
fn differences_in(journal: &Journal) -> usize {
    let all = reports(journal).flat_map(|report| {
        let own = report.connectors.iter().map(|one| &one.sums);
        own.chain(report.adjustments.iter().map(|late| &late.change))
    });
    all.flat_map(|sums| &sums.findings)
        .filter(|finding| !matches!(finding, Finding::Explained { .. } | Finding::EnergyAgrees { .. }))
        .count()
}

/// The last entry that runs have looked at.
fn looked_at(runs: &[Run]) -> u64 {
    let last = |run: &Run| {
        let inputs: serde_json::Value = serde_json::from_str(&run.inputs).unwrap();
        let (seq, _) = inputs["last"].as_str()?.split_once(':')?;
        Some(seq.parse::<u64>().unwrap())
    };
    runs.iter().filter_map(last).max().unwrap_or(0)
}

fn every_days_journal_and_reports_are_named_once_whatever_happened(at: &HeadOffice) {
    let (mut entries, mut meters) = (0, 0);
    for seed in 0..12 {
        let mut journal = Journal::of_chance(seed);
        journal.site = format!("S{seed}").parse().unwrap();
        journal.seal();
        follow(at, &journal, 20);
        let books = Books::after(at, &journal);
        books.set(written_at(&journal, journal.facts.len() - 1).after_ms(DAY_MS * 3 / 2));
        books.catch_up();
        let runs = books.runs();
        // However far off its clock was, there are few days besides those that it has said.
        let began = journal
            .facts
            .iter()
            .filter(|(_, fact)| matches!(fact, Fact::DayBegan { .. }));
        let began = began.count();
        assert!(
            runs.len() <= (began + 1) * 32,
            "seed {seed}: {} days of {began}",
            runs.len()
        );
        let found = books.found();
        let site = journal.site.clone();
        let filter = findings::Filter {
            site: Some(site),
            ..findings::Filter::default()
        };
        let in_journal = at.read(move |tx| findings::list(tx, &filter, None, 100_000)).unwrap();
        let last = looked_at(&runs);
        let in_days = in_journal.iter().filter(|found| found.finding.seq <= last).count();
        let by_entry = found.iter().filter(|found| found.source == Source::Entry).count();
        assert_eq!(by_entry, in_days, "seed {seed}");
        let by_connector = found.iter().filter(|found| found.source == Source::Connector).count();
        assert!(by_connector <= differences_in(&journal), "seed {seed}");
        // Its books are what its bills say, and its reports what its orders were billed for.
        let wrong = |found: &&Discrepancy| {
            found.source == Source::Order || (found.leg == Leg::Meters && found.source == Source::Day)
        };
        assert_eq!(found.iter().find(wrong), None, "seed {seed}");
        (entries, meters) = (entries + by_entry, meters + by_connector);
        // Again comes to the same, and writes nothing.
        assert_eq!(books.catch_up(), 0, "seed {seed}");
        assert_eq!((books.runs(), books.found()), (runs, found), "seed {seed}");
    }
    assert!(entries > 0 && meters > 0, "{entries} {meters}");
}

everywhere! {
    every_days_journal_and_reports_are_named_once_whatever_happened
    a_day_that_is_over_and_whose_journal_is_not_here_is_said_to_lack_it
    a_day_is_final_after_the_night_in_which_it_came_and_what_is_found_later_is_of_a_later_day
    books_and_sums_that_are_not_what_bills_say_are_named_with_both_values
    a_day_is_refused_that_is_not_over_or_was_never_there
}
