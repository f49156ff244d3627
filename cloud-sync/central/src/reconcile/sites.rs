//! Runs of sites' days: what differs by a site's journal, its energy report and its till, once a day has ended there; and days whose
//! journal is not here. A site's day is small, so a run is one transaction.

use super::{
    counted::Verdicts,
    days::{Window, last_due, night_after},
    funds::NotRun,
    site_day::{self, Said},
    small::{self, Days},
    totals::{Sum, Totals},
    words::Ended,
};
use crate::{
    desk::Clock,
    store::{
        Db, StoreError, Tx, reconcile_decided as decided,
        reconcile_runs::{self as runs, Run},
        site_days::{self, EndedDay},
        site_verdicts as verdicts,
        sites::{self, Site},
    },
};
use domain::{
    energy::EnergyReport,
    ids::SiteId,
    time::{Day, Wall, Zone},
    units::Energy,
};
use ring::digest::{SHA256, digest};
use serde::Serialize;
use std::sync::Arc;

/// For how many days after its last one a site is said to lack its journal: a clock that is years ahead makes no years of days.
const DAYS_MAX: i32 = 31;

/// The scope of a site.
pub fn scope_of(site: &SiteId) -> String {
    format!("site:{site}")
}

/// What a run goes by. Where these are the same, so is what it finds.
#[derive(Debug, Serialize)]
struct Inputs {
    /// The digest of the day before.
    before: Option<String>,
    /// The branch of its journal that is followed.
    branch: u64,
    /// The day's last entry and its hash; none while the day has not ended.
    last: Option<(u64, String)>,
    /// The SHA-256 of its energy report.
    report: Option<String>,
    /// How much is found in its journal up to there.
    findings: usize,
    /// Its orders, by their bills as they are now: people correct them later too.
    orders: Sum,
    energy: Energy,
    /// What people decided on the day.
    decided: Sum,
    zone: String,
}

/// What there is of a site before its days are done.
struct Plan {
    site: Site,
    zone: Zone,
    scope: String,
    first: Day,
    /// The last day that is over.
    over: Day,
    /// The last of them that is to be reconciled by now.
    due: Day,
    last_final: Option<Day>,
    counting: Vec<Run>,
    ended: Vec<(EndedDay, Wall)>,
}

impl Plan {
    fn window(&self, day: Day) -> Window {
        Window::of(&self.zone, day, 0)
    }

    /// Where a day ended, if it has: with the last day before it that had entries, where the station was off all day.
    fn end_of(&self, day: Day) -> Option<&(EndedDay, Wall)> {
        let is_over = self.site.day.is_some_and(|now| now > day);
        self.ended.iter().rfind(|(ended, _)| is_over && ended.day <= day)
    }

    /// The day that an entry is of.
    fn day_of(&self, seq: u64, on: Day) -> Day {
        let of = self.ended.iter().find(|(ended, _)| ended.last.seq >= seq);
        of.map_or(on, |(ended, _)| ended.day)
    }

    /// A site as it is now; none where there is nothing to reconcile yet: no day has begun.
    fn of(tx: &mut dyn Tx, id: &SiteId, now: Wall) -> Result<Option<Self>, StoreError> {
        let Some(site) = sites::find(tx, id)? else {
            return Ok(None);
        };
        let Some(zone) = site_days::zone(tx, id)? else {
            return Ok(None);
        };
        let ended = site_days::of_branch(tx, id, site.branch)?;
        let first = ended.iter().map(|(ended, _)| ended.day).min();
        let Some(first) = first.or(site.day) else {
            return Ok(None);
        };
        let scope = scope_of(id);
        let last_final = runs::last_final(tx, &scope)?;
        Ok(Some(Self {
            over: zone.day_of(now).plus(-1),
            due: last_due(&zone, now),
            counting: runs::counting(tx, &scope, last_final.map_or(first, |day| day.plus(1)))?,
            last_final,
            site,
            zone,
            scope,
            first,
            ended,
        }))
    }
}

/// A day with what its run needs.
struct Task {
    day: Day,
    ends: Wall,
    last: Option<EndedDay>,
    report: Option<EnergyReport>,
    found: Vec<Said>,
    inputs: String,
    before: Option<Totals>,
}

impl Task {
    fn read(tx: &mut dyn Tx, plan: &Plan, day: Day) -> Result<Self, StoreError> {
        let (site, branch) = (&plan.site.id, plan.site.branch);
        let last = plan.end_of(day).map(|(ended, _)| ended.clone());
        let to = last.as_ref().map_or(plan.site.head.seq, |ended| ended.last.seq);
        let found = site_days::found(tx, site, branch, to)?;
        let found = found.iter().map(|found| {
            let of_day = match found.branch == branch {
                true => plan.day_of(found.finding.seq, day),
                false => day,
            };
            site_day::of_finding(found, of_day)
        });
        let found: Vec<Said> = found.collect();
        let report = site_days::report(tx, site, day)?;
        let (orders, energy) = site_days::orders(tx, site, day)?;
        let before = runs::counting(tx, &plan.scope, day.plus(-1))?.into_iter().next();
        let before = before.filter(|run| run.day == day.plus(-1));
        let inputs = Inputs {
            before: before.as_ref().and_then(|run| run.digest.clone()),
            branch,
            last: last.as_ref().map(|ended| (ended.last.seq, ended.last.hash.to_string())),
            report: report.as_ref().map(|(_, text)| sha256(text)),
            findings: found.len(),
            orders,
            energy,
            decided: decided::on(tx, &plan.scope, &plan.window(day))?,
            zone: plan.zone.name().to_owned(),
        };
        Ok(Self {
            day,
            ends: plan.zone.begin_of(day.plus(1)),
            last,
            report: report.map(|(report, _)| report),
            found,
            inputs: serde_json::to_string(&inputs).map_err(|error| StoreError::Broken(error.to_string()))?,
            before: before.and_then(|run| run.totals),
        })
    }

    /// Everything that is said of the day, and what is over on it.
    fn say(&mut self, tx: &mut dyn Tx, plan: &Plan) -> Result<site_day::OfReport, StoreError> {
        let site = &plan.site.id;
        let mut said = site_day::OfReport {
            said: std::mem::take(&mut self.found),
            over: Vec::new(),
        };
        if self.last.is_none() {
            said.said.push(site_day::of_gap(self.day, self.ends));
            return Ok(said);
        }
        for (order, booked, fee) in site_days::not_as_billed(tx, site, self.day)? {
            said.said
                .push(site_day::of_order(&order, self.day, self.ends, booked, fee));
        }
        if let Some(report) = &self.report {
            let site_day::OfReport { said: more, over } = site_day::of_report(report);
            said.said.extend(more);
            said.over.extend(over);
            let (_, here) = site_days::orders(tx, site, self.day)?;
            let reported = site_days::reported(tx, site, report)?;
            if here != reported {
                said.said.push(site_day::of_sums(self.day, self.ends, here, reported));
            }
        }
        Ok(said)
    }
}

fn sha256(text: &str) -> String {
    let hash = digest(&SHA256, text.as_bytes());
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The sites of which something may be due, each with a word for all that it goes by: another word is other work.
///
/// # Errors
/// [`StoreError`].
pub fn due(tx: &mut dyn Tx, now: Wall) -> Result<Vec<(SiteId, String)>, StoreError> {
    let mut due = Vec::new();
    for site in sites::all(tx)? {
        if let Some(zone) = site_days::zone(tx, &site.id)? {
            let known = site_days::known(tx, &site)?;
            due.push((site.id, format!("{} {} {known}", last_due(&zone, now), zone.name())));
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
        let (of, now) = (site.clone(), self.clock.wall());
        let plan = self.db.read(move |tx| Plan::of(tx, &of, now)).await?;
        let plan = plan.ok_or_else(|| NotRun::UnknownSite(site.clone()))?;
        if day < plan.first {
            return Err(NotRun::BeforeFirst { day, first: plan.first });
        }
        if day > plan.over {
            let over = plan.over;
            return Err(NotRun::NotOver { day, over });
        }
        small::catch_up::<Plan>(&self.db, &self.clock, site, Some(day), by).await?;
        let scope = plan.scope;
        let counting = self.db.read(move |tx| runs::counting(tx, &scope, day)).await?;
        let run = counting.into_iter().next().filter(|run| run.day == day);
        run.ok_or(NotRun::Left)
    }

    /// Reconciles what is due of a site: days that are over and were never done, or of which something has come since; and days become
    /// final for which it is time. How many days were done.
    ///
    /// # Errors
    /// [`NotRun`].
    pub async fn catch_up(&self, site: &SiteId, by: &str) -> Result<usize, NotRun> {
        small::catch_up::<Plan>(&self.db, &self.clock, site, None, by).await
    }
}

impl Days for Plan {
    type Of = SiteId;
    const HAS_SUSPENSE: bool = false;

    fn plan(tx: &mut dyn Tx, of: &SiteId, now: Wall) -> Result<Option<Self>, StoreError> {
        Self::of(tx, of, now)
    }

    fn scope(&self) -> &str {
        &self.scope
    }

    fn open(&self) -> (Day, Day) {
        let from = self.last_final.map_or(self.first, |day| day.plus(1));
        let known = self.ended.last().map_or(self.first, |(ended, _)| ended.day);
        (from, self.due.min(known.max(from).plus(DAYS_MAX)))
    }

    fn over(&self) -> Day {
        self.over
    }

    fn counting(&self) -> &[Run] {
        &self.counting
    }

    fn inputs(&self, tx: &mut dyn Tx, day: Day) -> Result<String, StoreError> {
        Ok(Task::read(tx, self, day)?.inputs)
    }

    fn judge(&self, tx: &mut dyn Tx, day: Day) -> Result<Totals, StoreError> {
        let task = Task::read(tx, self, day)?;
        judge(tx, self, task)
    }

    /// A day that has ended by the site's journal, from the first 01:00 of the site's clocks on after head office has learnt of it (rule 26),
    /// and whose energy report is there, or one of a later day.
    fn closes(&self, tx: &mut dyn Tx, day: Day, now: Wall) -> Result<Option<Wall>, StoreError> {
        let Some((_, said_at)) = self.end_of(day) else {
            return Ok(None);
        };
        let is_seen = now >= night_after(&self.zone, *said_at) && site_days::is_reported(tx, &self.site.id, day)?;
        Ok(is_seen.then(|| self.zone.begin_of(day.plus(1))))
    }

    fn closed(&self, _: &mut dyn Tx, _: Day, _: Wall) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Writes what is said of a day; what it came to.
fn judge(tx: &mut dyn Tx, plan: &Plan, mut task: Task) -> Result<Totals, StoreError> {
    let (scope, day, site) = (&plan.scope, task.day, &plan.site);
    let window = plan.window(day);
    verdicts::take_back(tx, scope, day)?;
    let said = task.say(tx, plan)?;
    verdicts::put(tx, scope, day, &said.said)?;
    verdicts::end(tx, scope, day, &said.over, Ended::Said)?;
    let before = task.before.unwrap_or_default();
    let after = site_days::end_before(tx, &site.id, site.branch, day)?.unwrap_or(site.begins.seq);
    let to = task.last.map_or(site.head.seq, |ended| ended.last.seq);
    Ok(Totals {
        classes: Verdicts::of(tx, scope, day, (window.begin, window.end))?.classes(&before.classes),
        site: Some(site_days::totals(tx, &site.id, site.branch, day, (after, to))?),
        ..Totals::default()
    })
}
