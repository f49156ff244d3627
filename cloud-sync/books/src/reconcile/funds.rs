//! Runs of a channel's days, one after the other: what is carried from the day before, the day's bill, the day's credits, totals. Each
//! part is a transaction of its own, as everybody else who writes waits meanwhile; what is cut off is done again from the day's beginning.

use super::{
    counted::Counted,
    days::{Settings, night_of, through},
    follow::{Done, follow},
    totals::{Sum, Totals},
};
use crate::{
    desk::Clock,
    store::{
        Db, StoreError, Tx, bill_proposals, channel_settings, channels,
        reconcile::{self, Scope, TradeFile},
        reconcile_decided as decided,
        reconcile_runs::{self as runs, Begun, Run},
        reconcile_waiting::{self as waiting, Place, Waits},
    },
};
use domain::{ids::SiteId, time::Day};
use serde::Serialize;
use std::sync::Arc;

/// How often it is tried again where somebody else took the same numbers at the same moment.
const ATTEMPTS: usize = 5;

/// The scope of a channel.
pub fn scope_of(channel: &str) -> String {
    format!("channel:{channel}")
}

/// Why a day is not reconciled. What counted before counts still, but for days that were about to be done again.
#[derive(Debug, thiserror::Error)]
pub enum NotRun {
    /// There is no such channel.
    #[error("channel {0} is not known here")]
    UnknownChannel(String),
    /// There is no such site, or nothing is known of its days.
    #[error("site {0} is not known here, or has not begun a day yet")]
    UnknownSite(SiteId),
    /// It has no bills.
    #[error("channel {0} has no bills: say whose files they are by `bills` in PUT /v1/channels/{0}")]
    NoBills(String),
    /// The day is not over where the channel is.
    #[error("the day {day} is not over there; the last that is over is {over}")]
    NotOver {
        /// Which day.
        day: Day,
        /// The last that is over.
        over: Day,
    },
    /// The channel was not there yet.
    #[error("the first day there is {first}: there is nothing of {day} to be reconciled")]
    BeforeFirst {
        /// Which day.
        day: Day,
        /// The channel's first.
        first: Day,
    },
    /// Somebody is at it.
    #[error(
        "days of channel {0} are being reconciled: ask again when that is done, or after five minutes if it was cut off"
    )]
    Running(String),
    /// It was taken for dead while it went on.
    #[error("the run was taken for dead, or what it goes by was changed while it went on: ask again")]
    Left,
    /// It would be wrong.
    #[error(
        "the totals of {day} do not close at {what}, so the run is not kept: rows were changed by other means than this program"
    )]
    DoesNotClose {
        /// Which day.
        day: Day,
        /// Where.
        what: String,
    },
    /// The database says no.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a run goes by. Where these are the same, so is what it finds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Inputs {
    /// The digest of the day before.
    before: Option<String>,
    /// The day's bill.
    files: Vec<Input>,
    /// Days up to this one whose bill is not there.
    missing: Vec<Day>,
    /// What was credited on the day.
    credits: Sum,
    /// What people decided on it, less what did not count any more.
    decided: Sum,
    /// When the day begins, in milliseconds: when the one before it ended.
    begins_at: i64,
    zone: String,
    fee_ppm: u32,
    settle_days: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Input {
    format: String,
    sha256: String,
}

/// What is known of a channel before its days are done.
struct Plan {
    channel: String,
    settings: Settings,
    scope: String,
    over: Day,
    last_final: Option<Day>,
    /// The runs that count, after the last that is final.
    counting: Vec<Run>,
}

impl Plan {
    /// The first day that may be done.
    fn from(&self) -> Day {
        self.last_final.map_or(self.settings.first(), |day| day.plus(1))
    }

    fn done(&self) -> Done {
        Done {
            scope: self.scope.clone(),
            days: (self.settings.first(), self.over),
            has_suspense: true,
        }
    }

    fn run_of(&self, day: Day) -> Option<&Run> {
        self.counting.iter().find(|run| run.day == day)
    }
}

/// Reconciles channels.
#[derive(Clone)]
pub struct Reconciler {
    /// Where everything is.
    pub db: Db,
    /// What the time is.
    pub clock: Arc<dyn Clock>,
}

/// A day with everything that its run needs.
struct Task {
    of: Scope,
    settings: Settings,
    files: Vec<TradeFile>,
    missing: Vec<Day>,
    inputs: Inputs,
    before: Option<Totals>,
}

impl Task {
    /// What a run of a day goes by, as of now.
    fn read(tx: &mut dyn Tx, channel: &str, day: Day) -> Result<Self, StoreError> {
        let gone = || StoreError::Broken(format!("channel {channel} is gone"));
        let known = channels::find(tx, channel)?.ok_or_else(gone)?;
        let settings = channel_settings::load(tx, &known)?.ok_or_else(gone)?;
        let scope = scope_of(channel);
        let (window, setting) = (settings.window(day), settings.on(day));
        // Up to the last that is final every bill is there.
        let begin = runs::last_final(tx, &scope)?.map_or(settings.first(), |last| last.plus(1).min(day));
        let there = reconcile::files(tx, channel, begin, day)?;
        let missing: Vec<Day> = through(begin, day)
            .filter(|day| !there.iter().any(|file| file.day == *day))
            .collect();
        let files: Vec<TradeFile> = there.into_iter().filter(|file| file.day == day).collect();
        let before = runs::counting(tx, &scope, day.plus(-1))?.into_iter().next();
        let before = before.filter(|run| run.day == day.plus(-1));
        let input = |file: &TradeFile| Input {
            format: file.format.clone(),
            sha256: file.sha256.clone(),
        };
        Ok(Self {
            inputs: Inputs {
                before: before.as_ref().and_then(|run| run.digest.clone()),
                files: files.iter().map(input).collect(),
                missing: missing.clone(),
                credits: reconcile::credits(tx, channel, &window)?,
                decided: decided::on(tx, &scope, &window)?,
                begins_at: window.begin.0,
                zone: setting.zone.name().to_owned(),
                fee_ppm: setting.fee_ppm,
                settle_days: setting.settle_days,
            },
            of: Scope {
                name: scope,
                channel: channel.to_owned(),
                fee_ppm: setting.fee_ppm,
                window,
                is_complete: missing.is_empty(),
            },
            settings,
            files,
            missing,
            before: before.and_then(|run| run.totals),
        })
    }
}

impl Reconciler {
    /// Reconciles a day of a channel, and every day before and after it that this changes; days become final for which it is time. A day
    /// that is final is not done again: the run that counts is answered.
    ///
    /// # Errors
    /// [`NotRun`].
    pub async fn run(&self, channel: &str, day: Day, by: &str) -> Result<Run, NotRun> {
        let plan = self.plan(channel).await?;
        let (first, over) = (plan.settings.first(), plan.over);
        if day < first {
            return Err(NotRun::BeforeFirst { day, first });
        }
        if day > over {
            return Err(NotRun::NotOver { day, over });
        }
        if plan.last_final.is_none_or(|last| day > last) {
            let from = self.first_to_do(&plan, day).await?.unwrap_or(day);
            self.days(&plan, from, day, by).await?;
            self.close(channel).await?;
            follow(&self.db, &self.clock, &plan.done(), by).await?;
        }
        let scope = plan.scope;
        let counting = self.db.read(move |tx| runs::counting(tx, &scope, day)).await?;
        let run = counting.into_iter().next().filter(|run| run.day == day);
        run.ok_or(NotRun::Left)
    }

    /// Reconciles what there is to be reconciled of a channel's days up to one: those that are over and were never done, and those whose
    /// bill has come since; and days become final for which it is time. How many days were done.
    ///
    /// # Errors
    /// [`NotRun`].
    pub async fn catch_up(&self, channel: &str, to: Day, by: &str) -> Result<usize, NotRun> {
        let plan = self.plan(channel).await?;
        let to = to.min(plan.over);
        let done = match self.first_to_do(&plan, to).await? {
            None => 0,
            Some(from) => self.days(&plan, from, to, by).await?,
        };
        self.close(channel).await?;
        follow(&self.db, &self.clock, &plan.done(), by).await?;
        Ok(done)
    }

    async fn plan(&self, name: &str) -> Result<Plan, NotRun> {
        let (of, now) = (name.to_owned(), self.clock.wall());
        let found = self.db.read(move |tx| {
            let Some(channel) = channels::find(tx, &of)? else {
                return Ok(Err(NotRun::UnknownChannel(of)));
            };
            let settings = match channel.bills {
                Some(_) => channel_settings::load(tx, &channel)?,
                None => None,
            };
            let Some(settings) = settings else {
                return Ok(Err(NotRun::NoBills(of)));
            };
            let scope = scope_of(&of);
            let last_final = runs::last_final(tx, &scope)?;
            let from = last_final.map_or(settings.first(), |day| day.plus(1));
            Ok(Ok(Plan {
                channel: of,
                over: settings.over(now),
                counting: runs::counting(tx, &scope, from)?,
                settings,
                scope,
                last_final,
            }))
        });
        found.await?
    }

    /// The first day up to one that has no run, or whose run went by other inputs. Where there are runs of days that are not over a clock was
    /// ahead: the last day that is over is done anew, and what was found of days after it is gone.
    async fn first_to_do(&self, plan: &Plan, to: Day) -> Result<Option<Day>, NotRun> {
        for day in through(plan.from(), to) {
            let Some(run) = plan.run_of(day) else {
                return Ok(Some(day));
            };
            if json(&self.task(plan, day).await?.inputs)? != run.inputs {
                return Ok(Some(day));
            }
        }
        let is_ahead = plan.counting.iter().any(|run| run.day > plan.over) && plan.over >= plan.from();
        Ok(is_ahead.then_some(plan.over))
    }

    /// Does days from one on, up to another, and those after it that had a run: theirs go by what is done anew.
    async fn days(&self, plan: &Plan, from: Day, to: Day, by: &str) -> Result<usize, NotRun> {
        let last = plan.counting.last().map_or(to, |run| run.day.max(to)).min(plan.over);
        let mut done = 0;
        for day in through(from, last) {
            let task = self.task(plan, day).await?;
            self.day(plan, task, by).await?;
            done += 1;
        }
        Ok(done)
    }

    async fn task(&self, plan: &Plan, day: Day) -> Result<Task, NotRun> {
        let channel = plan.channel.clone();
        Ok(self.db.read(move |tx| Task::read(tx, &channel, day)).await?)
    }

    /// Makes days final, one after the other, whose bills, and those of the days before, had a night in which people could see what came
    /// of them: from the first 01:00 on after the day's last bill had come, unless somebody has proposed something about one. What a final
    /// day went by stays, and so does what was found.
    async fn close(&self, channel: &str) -> Result<(), NotRun> {
        loop {
            let (plan, now) = (self.plan(channel).await?, self.clock.wall());
            let day = plan.from();
            let Some(run) = plan.run_of(day).filter(|_| day <= plan.over) else {
                return Ok(());
            };
            let (id, inputs, of) = (run.id, run.inputs.clone(), plan.channel);
            let closed = self.db.write(move |tx| {
                // Nobody withdraws a bill meanwhile, and nobody begins a run.
                bill_proposals::hold_days(tx)?;
                runs::hold(tx, &scope_of(&of))?;
                if bill_proposals::is_waiting(tx, &of, day)? {
                    return Ok(false);
                }
                let files = reconcile::files(tx, &of, day, day)?;
                let night = night_of(&plan.settings.last().zone, files.iter().map(|file| file.made_at), now);
                if files.is_empty() || night.is_some_and(|night| now < night) {
                    return Ok(false);
                }
                let task = Task::read(tx, &of, day)?;
                if !task.of.is_complete || serde_json::to_string(&task.inputs).ok() != Some(inputs) {
                    return Ok(false);
                }
                runs::close(tx, id, task.of.window.end)
            });
            if !closed.await? {
                return Ok(());
            }
        }
    }

    async fn day(&self, plan: &Plan, task: Task, by: &str) -> Result<(), NotRun> {
        let inputs = json(&task.inputs)?;
        let id = self.begin(plan, &task.of, &inputs, by).await?;
        let done = self.do_day(plan, id, task).await;
        if done.is_err() {
            let now = self.clock.wall();
            // Where the database is gone the time does it.
            if let Err(error) = self.db.write(move |tx| runs::leave(tx, id, now)).await {
                tracing::warn!(run = id, "a run that was cut off is taken for dead later: {error}");
            }
        }
        done
    }

    async fn begin(&self, plan: &Plan, of: &Scope, inputs: &str, by: &str) -> Result<u64, NotRun> {
        let mut begun = Err(StoreError::Unavailable("nothing was tried".to_owned()));
        for _ in 0..ATTEMPTS {
            let (scope, day, now) = (of.name.clone(), of.window.day, self.clock.wall());
            let (inputs, by) = (inputs.to_owned(), by.to_owned());
            begun = self
                .db
                .write(move |tx| runs::begin(tx, &scope, day, &inputs, &by, now))
                .await;
            if !matches!(begun, Err(StoreError::Constraint(_))) {
                break;
            }
        }
        match begun? {
            Begun::Now(id) => Ok(id),
            // Whoever made it final was at it meanwhile.
            Begun::Running | Begun::Final => Err(NotRun::Running(plan.channel.clone())),
        }
    }

    /// A part of a run, unless it was taken for dead.
    async fn part<T, F>(&self, id: u64, work: F) -> Result<T, NotRun>
    where
        T: Send + 'static,
        F: FnOnce(&mut dyn Tx) -> Result<T, StoreError> + Send + 'static,
    {
        let now = self.clock.wall();
        let done = self.db.write(move |tx| match runs::is_alive(tx, id, now)? {
            true => work(tx).map(Some),
            false => Ok(None),
        });
        done.await?.ok_or(NotRun::Left)
    }

    async fn do_day(&self, plan: &Plan, id: u64, task: Task) -> Result<(), NotRun> {
        let task = Arc::new(task);
        loop {
            let of = Arc::clone(&task);
            if !self.part(id, move |tx| waiting::take_back(tx, &of.of)).await? {
                break;
            }
        }
        let is_large = reconcile::is_large(&task.files);
        if is_large {
            self.part(id, |tx| {
                reconcile::learn(tx, &["bill_trade", "channel_transaction", "topup"])
            })
            .await?;
        }
        for waits in Waits::BEFORE {
            self.ask(id, &task, waits).await?;
        }
        for file in &task.files {
            let (file, mut after) = (file.id, 0);
            while let Some(to) = self
                .db
                .read(move |tx| reconcile::part_of_lines(tx, file, after))
                .await?
            {
                let of = Arc::clone(&task);
                self.part(id, move |tx| reconcile::new_lines(tx, &of.of, file, (after, to)))
                    .await?;
                after = to;
            }
        }
        for waits in Waits::AFTER_LINES {
            self.ask(id, &task, waits).await?;
        }
        let of = Arc::clone(&task);
        self.part(id, move |tx| waiting::given_back(tx, &of.of)).await?;
        // Credits of a day whose bill is not there are not listed one by one.
        let mut from = task.of.window.begin;
        while !task.files.is_empty() {
            let of = Arc::clone(&task);
            let part = self.db.read(move |tx| reconcile::part_of_credits(tx, &of.of, from));
            let Some(to) = part.await? else { break };
            let of = Arc::clone(&task);
            self.part(id, move |tx| reconcile::new_credits(tx, &of.of, (from, to)))
                .await?;
            from = to;
        }
        for waits in Waits::AFTER_CREDITS {
            self.ask(id, &task, waits).await?;
        }
        if is_large {
            self.part(id, |tx| reconcile::learn(tx, &["matched", "verdict"]))
                .await?;
        }
        let of = Arc::clone(&task);
        self.part(id, move |tx| reconcile::missing_files(tx, &of.of, &of.missing))
            .await?;
        self.finish(plan, id, &task).await
    }

    /// Asks again what waits, a part at a time.
    async fn ask(&self, id: u64, task: &Arc<Task>, waits: Waits) -> Result<(), NotRun> {
        let mut after: Place = (String::new(), 0, 0);
        loop {
            let (of, from) = (Arc::clone(task), after.clone());
            let to = self.db.read(move |tx| waits.part(tx, &of.of, &from)).await?;
            let Some(to) = to else { return Ok(()) };
            let (of, from, until) = (Arc::clone(task), after, to.clone());
            self.part(id, move |tx| waits.ask(tx, &of.of, (&from, &until))).await?;
            after = to;
        }
    }

    async fn finish(&self, plan: &Plan, id: u64, task: &Arc<Task>) -> Result<(), NotRun> {
        let of = Arc::clone(task);
        let counted = self.db.read(move |tx| {
            let counted = Counted::of(tx, &of.of, of.inputs.credits, &of.files, (&of.missing, &of.settings))?;
            let digest = runs::digest(tx, &of.of.name, of.of.window.day)?;
            Ok((counted, digest.to_string()))
        });
        let (counted, digest) = counted.await?;
        let totals = counted.totals(task.before.as_ref(), !task.files.is_empty());
        let day = task.of.window.day;
        let unclosed = totals.open_flow().map(str::to_owned);
        let (of, now, channel) = (Arc::clone(task), self.clock.wall(), plan.channel.clone());
        let (is_closed, told) = (unclosed.is_none(), format!("{totals:?}"));
        let finished = self.part(id, move |tx| {
            // Its bill came, or was withdrawn; a credit came in under a clock that was put back; the channel was changed.
            let is_same = Task::read(tx, &channel, day)?.inputs == of.inputs;
            if is_same && is_closed {
                runs::finish(tx, id, &totals, &digest, now)?;
            }
            Ok(is_same)
        });
        if !finished.await? {
            return Err(NotRun::Left);
        }
        if let Some(what) = unclosed {
            tracing::error!(%day, scope = task.of.name, "control totals do not close at {what}: {told}");
            return Err(NotRun::DoesNotClose { day, what });
        }
        Ok(())
    }
}

fn json(inputs: &Inputs) -> Result<String, StoreError> {
    serde_json::to_string(inputs).map_err(|error| StoreError::Broken(error.to_string()))
}
