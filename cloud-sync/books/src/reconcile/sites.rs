//! Runs of sites' days: what differs by a site's journal, its energy report and its till, once a day has ended there; and days whose
//! journal is not here. A site's day is small, so a run is one transaction.

use super::{
    counted::Verdicts,
    cut::{Cut, Journal},
    days::{Window, last_due, latest, night_of},
    funds::NotRun,
    site_day::{self, OfReport},
    small::{self, Days},
    totals::{SiteTotals, Sum, Totals},
    words::{Class, Ended, Leg, Source},
};
use crate::{
    desk::Clock,
    store::{
        Db, StoreError, Tx, branches,
        findings::Found,
        jobs::AHEAD_MS_MAX,
        reconcile_decided as decided,
        reconcile_runs::{self as runs, Run, Status},
        site_days::{self, Followed, Reported},
        site_verdicts as verdicts,
        sites::{self, Site},
    },
};
use domain::{
    ids::SiteId,
    journal::Head,
    time::{Day, Wall, Zone},
    units::Fen,
};
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use std::{cell::RefCell, collections::BTreeSet, sync::Arc};

/// Energy reports of so many days before the last final one are looked for that came too late for their own day: a station makes none of
/// days longer ago.
const LATE_DAYS: i32 = 64;
/// What was found so long before the last final day's run is looked at again: clocks of processes differ. In milliseconds.
const FOUND_BEFORE_MS: i64 = 86_400_000;

/// The scope of a site.
pub fn scope_of(site: &SiteId) -> String {
    format!("site:{site}")
}

/// What a run goes by. Where these are the same, so is what it finds.
#[derive(Debug, Serialize, Deserialize)]
struct Inputs {
    /// The digest of the run before.
    before: Option<String>,
    /// The branch of its journal that is followed.
    branch: u64,
    /// The last entry before the day, and its own last one; none while the day has not ended. With their hashes.
    after: String,
    last: Option<String>,
    /// The energy reports that are looked at on the day, by their days: the SHA-256 of each.
    reports: Vec<(Day, String)>,
    /// The SHA-256 over everything that is said of the day, and over what it came to.
    found: String,
    /// What people decided on the day.
    decided: Sum,
    /// From when to when that is.
    window: (i64, i64),
    zone: String,
}

/// What runs have gone by whose days are final.
struct Finals {
    last: Option<Run>,
    /// When the last of them was over.
    until: Wall,
    /// The energy reports that were looked at, by day and SHA-256.
    reports: BTreeSet<(Day, String)>,
}

/// What there is of a site before its days are done.
struct Plan {
    site: Site,
    zone: Zone,
    scope: String,
    now: Wall,
    /// The last day that is over.
    over: Day,
    cut: Cut,
    followed: Followed,
    finals: Finals,
    /// The first day that is not final, the last that is due, and whether more comes after a gap.
    open: (Day, Day, bool),
    counting: Vec<Run>,
    /// What was read of a day last: a run says what it went by, and is judged by the same rows.
    read: RefCell<Option<Task>>,
}

impl Finals {
    /// Of the runs that count, of days since some before the last final one.
    fn of(tx: &mut dyn Tx, scope: &str, counting: &[Run]) -> Result<Self, StoreError> {
        let finals = || counting.iter().filter(|run| run.status == Status::Final);
        let inputs = finals().filter_map(|run| serde_json::from_str::<Inputs>(&run.inputs).ok());
        Ok(Self {
            reports: inputs.flat_map(|inputs| inputs.reports).collect(),
            last: finals().next_back().cloned(),
            until: runs::not_final(tx, scope, Wall(0))?,
        })
    }

    /// Where the last of them ended in the journal that is followed now.
    fn end(&self, tx: &mut dyn Tx, site: &Site) -> Result<Head, StoreError> {
        let inputs = self
            .last
            .as_ref()
            .map(|run| serde_json::from_str::<Inputs>(&run.inputs));
        let Some(Ok(Inputs {
            branch,
            last: Some(last),
            ..
        })) = inputs
        else {
            return Ok(site.begins);
        };
        let broken = || StoreError::Broken(format!("the last entry of a final day of {}", site.id));
        let last: Head = last.parse().map_err(|_| broken())?;
        if branch == site.branch {
            return Ok(last);
        }
        // It goes on with another branch: from where that leaves the one before, nothing of it was looked at.
        let left = branches::left(tx, &site.id, site.branch)?;
        Ok(left.filter(|left| left.seq < last.seq).unwrap_or(last))
    }
}

impl Plan {
    /// A site as it is now; none where there is nothing to reconcile yet: no day has begun.
    fn of(tx: &mut dyn Tx, id: &SiteId, now: Wall) -> Result<Option<Self>, StoreError> {
        let Some(site) = sites::find(tx, id)? else {
            return Ok(None);
        };
        let Some(zone) = zone_of(tx, &site, now)? else {
            return Ok(None);
        };
        let scope = scope_of(id);
        let last_final = runs::last_final(tx, &scope)?;
        let mut counting = match last_final {
            Some(last) => runs::counting(tx, &scope, last.plus(-LATE_DAYS))?,
            None => Vec::new(),
        };
        let finals = Finals::of(tx, &scope, &counting)?;
        let from = finals.end(tx, &site)?;
        let before = site_days::ended_up_to(tx, id, site.branch, from.seq)?;
        let ended = site_days::of_branch(tx, id, site.branch, from.seq)?;
        let cut = Cut::of(
            &Journal {
                from,
                last_final,
                begun_at: before.map(|(_, said_at)| said_at),
                ended: &ended,
                // Of one that was closed before it said any day: that of its closure.
                goes_on: site.day.or(site.closed_at.map(|at| zone.day_of(at))),
                closed: site.closed_at.map(|at| (site.head, at)),
            },
            &zone,
            now,
        );
        let (mut due, mut over) = (last_due(&zone, now), zone.day_of(now).plus(-1));
        if site.closed_at.is_some() || site.revoked_at.is_some() {
            // Nothing comes of it any more, so nothing lacks.
            let Some(last) = cut.begun().map(|begun| begun.plus(-1)).or(last_final) else {
                return Ok(None);
            };
            (due, over) = (due.min(last), over.min(last));
        }
        let Some(open) = cut
            .open(last_final, due)
            .or(last_final.map(|last| (last.plus(1), last, false)))
        else {
            return Ok(None);
        };
        match last_final {
            Some(last) => counting.retain(|run| run.day > last),
            None => counting = runs::counting(tx, &scope, open.0)?,
        }
        Ok(Some(Self {
            now,
            over,
            followed: Followed::of(tx, &site)?,
            site,
            zone,
            scope,
            cut,
            finals,
            open,
            counting,
            read: RefCell::new(None),
        }))
    }

    /// A day, from the end of the one that had a run before it: days between, of which there is nothing, are of it.
    fn window(&self, day: Day, before: Option<&Run>) -> Window {
        let window = Window::of(&self.zone, day, 0);
        let begin = match before {
            None => window.begin,
            Some(run) if run.status == Status::Final => self.finals.until,
            Some(run) => self.zone.begin_of(run.day.plus(1)),
        };
        Window {
            begin,
            end: window.end.max(begin),
            ..window
        }
    }
}

/// A day with everything that is said of it.
struct Task {
    day: Day,
    window: Window,
    told: OfReport,
    site: Option<SiteTotals>,
    inputs: String,
    before: Option<Totals>,
}

impl Task {
    fn read(tx: &mut dyn Tx, plan: &Plan, day: Day) -> Result<Self, StoreError> {
        let before = runs::before(tx, &plan.scope, day)?;
        let window = plan.window(day, before.as_ref());
        let (after, end) = (plan.cut.last_before(day), plan.cut.end_of(day));
        let mut task = Self {
            day,
            window,
            told: OfReport::default(),
            site: None,
            inputs: String::new(),
            before: None,
        };
        let mut reports = Vec::new();
        task.say_late_findings(tx, plan)?;
        if day == plan.open.0 {
            for late in plan.late_reports(tx)? {
                reports.push((late.report.day, sha256(&late.row)));
                task.say_report(tx, plan, &late)?;
            }
        }
        match end {
            None => task.told.said.push(site_day::of_gap(day, window.end)),
            Some(end) => {
                let (after, to) = (after.seq, end.last.seq);
                for found in site_days::found(tx, &plan.site.id, plan.site.branch, (after, to))? {
                    let of_day = plan.cut.day_of(found.finding.seq).unwrap_or(day);
                    task.told.said.push(site_day::of_finding(&found, of_day));
                }
                task.say_books(tx, plan, (after, to))?;
                for own in site_days::reports(tx, &plan.site.id, (day, day))? {
                    reports.push((day, sha256(&own.row)));
                    task.say_report(tx, plan, &own)?;
                }
                task.site = Some(site_days::totals(tx, &plan.site.id, &plan.followed, (day, after, to))?);
            }
        }
        let inputs = Inputs {
            before: before.as_ref().and_then(|run| run.digest.clone()),
            branch: plan.site.branch,
            after: after.to_string(),
            last: end.map(|end| end.last.to_string()),
            reports,
            found: sha256(&format!("{:?} {:?}", task.told, task.site)),
            decided: decided::on(tx, &plan.scope, &window)?,
            window: (window.begin.0, window.end.0),
            zone: plan.zone.name().to_owned(),
        };
        task.inputs = serde_json::to_string(&inputs).map_err(|error| StoreError::Broken(error.to_string()))?;
        task.before = before.and_then(|run| run.totals);
        Ok(task)
    }

    /// What was found since the last final day's run in entries of final days, and of branches that are not followed: of its own day, or of
    /// the first that is not final.
    fn say_late_findings(&mut self, tx: &mut dyn Tx, plan: &Plan) -> Result<(), StoreError> {
        let (site, branch) = (&plan.site.id, plan.site.branch);
        // One that a clock ahead has begun says nothing of when.
        let is_so = |run: &&Run| run.begun_at <= plan.now.after_ms(AHEAD_MS_MAX);
        let since = plan.finals.last.as_ref().filter(is_so);
        let since = since.map_or(Wall(i64::MIN), |run| run.begun_at.after_ms(-FOUND_BEFORE_MS));
        let first = plan.open.0;
        let to = plan.cut.last_before(first).seq;
        for found in site_days::found_since(tx, site, branch, (to, since))? {
            let last = plan.cut.begun().unwrap_or(first).max(first);
            let of_day = plan.shown_at(tx, &found)?.min(last);
            let said = site_day::of_finding(&found, of_day);
            if of_day.max(first) == self.day && !verdicts::is_said_before(tx, &plan.scope, &said.row, self.day)? {
                self.told.said.push(said);
            }
        }
        Ok(())
    }

    /// Orders whose books are not what their bills say: of the day, and those of which entries of the day move something.
    fn say_books(&mut self, tx: &mut dyn Tx, plan: &Plan, (after, to): (u64, u64)) -> Result<(), StoreError> {
        let kind = (Leg::Orders, Source::Order, Class::Books);
        let open = verdicts::open_before(tx, &plan.scope, kind, self.day)?;
        let sold = site_days::sold(tx, &plan.site.id, &plan.followed, (self.day, after, to), &plan.scope)?;
        for of in sold {
            let said = site_day::of_order(&of, self.day, self.window.end);
            let given_back = match of.booked == of.fee {
                true => Fen::ZERO,
                false => site_days::given_back(tx, &plan.site.id, &of.order)?,
            };
            if !of.is_booked(given_back) {
                self.told.said.push(said);
            } else if open.contains(&of.order) {
                self.told.over.push(said.row);
            }
        }
        Ok(())
    }

    /// What a report says, and whether its sums are those of the orders that are here.
    fn say_report(&mut self, tx: &mut dyn Tx, plan: &Plan, of: &Reported) -> Result<(), StoreError> {
        let OfReport { said, over } = site_day::of_report(&of.report);
        // What a report before it has taken back it says again.
        self.told.over.retain(|row| said.iter().all(|said| said.row != *row));
        self.told.said.extend(said);
        self.told.over.extend(over);
        let (_, here) = site_days::orders(tx, &plan.site.id, of.report.day)?;
        let reported = site_days::reported(tx, &plan.site.id, &of.report)?;
        let sums = site_day::of_sums(of.report.day, self.window.end, here, reported);
        match here == reported {
            true => self.told.over.push(sums.row),
            false => self.told.said.push(sums),
        }
        Ok(())
    }

    /// Writes what is said of the day; what it comes to.
    fn judge(self, tx: &mut dyn Tx, plan: &Plan) -> Result<Totals, StoreError> {
        let (scope, day) = (&plan.scope, self.day);
        verdicts::take_back(tx, scope, day)?;
        verdicts::put(tx, scope, day, &self.told.said)?;
        verdicts::end(tx, scope, day, &self.told.over, Ended::Said)?;
        let before = self.before.unwrap_or_default();
        let window = (self.window.begin, self.window.end);
        Ok(Totals {
            classes: Verdicts::of(tx, scope, day, window)?.classes(&before.classes),
            site: self.site,
            ..Totals::default()
        })
    }
}

impl Plan {
    /// The day that the site's clock showed at the entry of a finding, or that on which it was found where that is not known.
    fn shown_at(&self, tx: &mut dyn Tx, found: &Found) -> Result<Day, StoreError> {
        let shown = site_days::shown_at(tx, &found.site, found.branch, found.finding.seq)?;
        Ok(shown.unwrap_or_else(|| self.zone.day_of(found.found_at)))
    }

    /// Energy reports of days before the first that is not final, which no run of a final day has looked at: they came late, or are of a day
    /// that is not believed.
    fn late_reports(&self, tx: &mut dyn Tx) -> Result<Vec<Reported>, StoreError> {
        let last = self.open.0.plus(-1);
        let mut late = site_days::reports(tx, &self.site.id, (last.plus(-LATE_DAYS), last))?;
        late.retain(|of| !self.finals.reports.contains(&(of.report.day, sha256(&of.row))));
        Ok(late)
    }
}

fn sha256(text: &str) -> String {
    let hash = digest(&SHA256, text.as_bytes());
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where a site's days begin. One that was closed before it had said so says it no more: what is open there is of a day by the clocks by which
/// head office counts what it finds.
fn zone_of(tx: &mut dyn Tx, site: &Site, now: Wall) -> Result<Option<Zone>, StoreError> {
    let said = site_days::zone(tx, &site.id, latest(now))?;
    Ok(said.or_else(|| site.closed_at.map(|_| Zone::default())))
}

/// The sites of which something may be due, each with a word for all that it goes by: another word is other work.
///
/// # Errors
/// [`StoreError`].
pub fn due(tx: &mut dyn Tx, now: Wall) -> Result<Vec<(SiteId, String)>, StoreError> {
    let mut due = Vec::new();
    for site in sites::all(tx)? {
        if let Some(zone) = zone_of(tx, &site, now)? {
            let last = last_due(&zone, now);
            let known = site_days::known(tx, &site, last.plus(-LATE_DAYS))?;
            due.push((site.id, format!("{last} {} {known}", zone.name())));
        }
    }
    Ok(due)
}

/// Reconciles sites.
#[derive(Clone)]
pub struct Sites {
    /// Where everything is.
    pub db: Db,
    /// What the time is.
    pub clock: Arc<dyn Clock>,
}

impl Sites {
    /// Reconciles a site's day, and every day before and after it that this changes. A day that is final is not done again.
    ///
    /// # Errors
    /// [`NotRun`].
    pub async fn run(&self, site: &SiteId, day: Day, by: &str) -> Result<Run, NotRun> {
        let plan = self.plan(site).await?;
        let plan = plan.ok_or_else(|| NotRun::UnknownSite(site.clone()))?;
        let first = plan.open.0;
        if day > plan.over {
            let over = plan.over;
            return Err(NotRun::NotOver { day, over });
        }
        if day >= first {
            self.days(site, Some(day), by).await?;
        }
        let scope = plan.scope;
        let counting = self.db.read(move |tx| runs::counting(tx, &scope, day)).await?;
        let run = counting.into_iter().next().filter(|run| run.day == day);
        match run {
            Some(run) => Ok(run),
            None if day < first => Err(NotRun::BeforeFirst { day, first }),
            None => Err(NotRun::Left),
        }
    }

    /// Reconciles what is due of a site: days that are over and were never done, or of which something has come since; and days become
    /// final for which it is time. How many days were done.
    ///
    /// # Errors
    /// [`NotRun`].
    pub async fn catch_up(&self, site: &SiteId, by: &str) -> Result<usize, NotRun> {
        self.days(site, None, by).await
    }

    async fn plan(&self, site: &SiteId) -> Result<Option<Plan>, NotRun> {
        let (of, now) = (site.clone(), self.clock.wall());
        Ok(self.db.read(move |tx| Plan::of(tx, &of, now)).await?)
    }

    /// Does days up to a gap, and what comes after it once all before it is final.
    async fn days(&self, site: &SiteId, to: Option<Day>, by: &str) -> Result<usize, NotRun> {
        let mut done = 0;
        let mut plan = self.plan(site).await?;
        while let Some(Plan { open, .. }) = plan {
            let (_, last, is_gap) = open;
            let to = if is_gap { to.map(|day| day.min(last)) } else { to };
            done += small::catch_up::<Plan>(&self.db, &self.clock, site, to, by).await?;
            plan = self.plan(site).await?.filter(|plan| is_gap && plan.open != open);
        }
        Ok(done)
    }
}

impl Days for Plan {
    type Of = SiteId;
    const HAS_SUSPENSE: bool = false;

    fn named(of: &SiteId) -> String {
        scope_of(of)
    }

    fn plan(tx: &mut dyn Tx, of: &SiteId, now: Wall) -> Result<Option<Self>, StoreError> {
        Self::of(tx, of, now)
    }

    fn open(&self) -> (Day, Day) {
        let (from, to, _) = self.open;
        (from, to)
    }

    fn over(&self) -> Day {
        self.over
    }

    fn counting(&self) -> &[Run] {
        &self.counting
    }

    fn inputs(&self, tx: &mut dyn Tx, day: Day) -> Result<String, StoreError> {
        let task = Task::read(tx, self, day)?;
        let inputs = task.inputs.clone();
        self.read.replace(Some(task));
        Ok(inputs)
    }

    fn judge(&self, tx: &mut dyn Tx, day: Day) -> Result<Totals, StoreError> {
        let read = self.read.take().filter(|task| task.day == day);
        let task = match read {
            Some(task) => task,
            None => Task::read(tx, self, day)?,
        };
        task.judge(tx, self)
    }

    /// A day that has ended by the site's journal, from the first 01:00 of the site's clocks on after head office has learnt of it (rule 26),
    /// and whose energy report is there, or one of a later day, or the site was closed.
    fn closes(&self, tx: &mut dyn Tx, day: Day, now: Wall) -> Result<Option<Wall>, StoreError> {
        let (Some(end), Some(begun)) = (self.cut.end_of(day), self.cut.begun()) else {
            return Ok(None);
        };
        if night_of(&self.zone, [end.said_at], now).is_some_and(|night| now < night) {
            return Ok(None);
        }
        let is_told = self.site.closed_at.is_some() || site_days::is_reported(tx, &self.site.id, (day, begun))?;
        let before = runs::before(tx, &self.scope, day)?;
        Ok(is_told.then(|| self.window(day, before.as_ref()).end))
    }

    fn closed(&self, _: &mut dyn Tx, _: Day, _: Wall) -> Result<(), StoreError> {
        Ok(())
    }
}
