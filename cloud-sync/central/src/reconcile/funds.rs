//! Runs of a channel's days, one after the other: what is carried from the day before, the day's bill, the day's credits, totals. Each
//! part is a transaction of its own, as everybody else who writes waits meanwhile; what is cut off is done again from the day's beginning.

use super::{
    days::{Window, through},
    totals::{Bill, Flow, Sum, Totals},
    words::{Class, Ended, Leg, Source},
};
use crate::{
    desk::Clock,
    money::{Money, RULE},
    store::{
        Db, StoreError, Tx, bill_proposals, channels, discrepancies,
        reconcile::{self, Scope, TradeFile},
        reconcile_runs::{self as runs, Begun, Group, Run, Which},
    },
};
use domain::time::{Day, Zone};
use serde::Serialize;
use std::{collections::BTreeMap, sync::Arc};

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
    /// It has no bills.
    #[error("channel {0} has no bills: say whose files they are by `bills` in PUT /v1/channels/{0}")]
    NoBills(String),
    /// The day is not over where the channel is.
    #[error("the day {day} is not over where the channel is; the last that is over is {over}")]
    NotOver {
        /// Which day.
        day: Day,
        /// The last that is over.
        over: Day,
    },
    /// The channel was not there yet.
    #[error("the channel was added on {first}: there is nothing of {day} to be held against its bill")]
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
    #[error("the run was taken for dead, or its bill came or was withdrawn while it went on: ask again")]
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
    channel: channels::Channel,
    zone: Zone,
    scope: String,
    first: Day,
    over: Day,
    last_final: Option<Day>,
    /// The runs that count, after the last that is final.
    counting: Vec<Run>,
}

impl Plan {
    /// The first day that may be done.
    fn from(&self) -> Day {
        self.last_final.map_or(self.first, |day| day.plus(1))
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
    files: Vec<TradeFile>,
    missing: Vec<Day>,
    inputs: Inputs,
    before: Option<Totals>,
}

impl Reconciler {
    /// Reconciles a day of a channel, and every day before and after it that this changes. A day that is final is not done again: the run
    /// that counts is answered.
    ///
    /// # Errors
    /// [`NotRun`].
    pub async fn run(&self, channel: &str, day: Day, by: &str) -> Result<Run, NotRun> {
        let plan = self.plan(channel).await?;
        let (first, over) = (plan.first, plan.over);
        if day < first {
            return Err(NotRun::BeforeFirst { day, first });
        }
        if day > over {
            return Err(NotRun::NotOver { day, over });
        }
        if plan.last_final.is_none_or(|last| day > last) {
            let from = self.first_to_do(&plan, day).await?.unwrap_or(day);
            self.days(&plan, from, day, by).await?;
        }
        let scope = plan.scope;
        let counting = self.db.read(move |tx| runs::counting(tx, &scope, day)).await?;
        let run = counting.into_iter().next().filter(|run| run.day == day);
        run.ok_or(NotRun::Left)
    }

    /// Reconciles what there is to be reconciled of a channel's days up to one: those that are over and were never done, and those whose
    /// bill has come since. How many days were done.
    ///
    /// # Errors
    /// [`NotRun`].
    pub async fn catch_up(&self, channel: &str, to: Day, by: &str) -> Result<usize, NotRun> {
        let plan = self.plan(channel).await?;
        let to = to.min(plan.over);
        match self.first_to_do(&plan, to).await? {
            None => Ok(0),
            Some(from) => self.days(&plan, from, to, by).await,
        }
    }

    async fn plan(&self, name: &str) -> Result<Plan, NotRun> {
        let (of, now) = (name.to_owned(), self.clock.wall());
        let scope = scope_of(name);
        let found = self.db.read(move |tx| {
            let Some(channel) = channels::find(tx, &of)? else {
                return Ok(None);
            };
            let zone = Zone::named(&channel.zone).map_err(StoreError::Broken)?;
            let last_final = runs::last_final(tx, &scope)?;
            let first = zone.day_of(channel.made_at);
            let counting = runs::counting(tx, &scope, last_final.map_or(first, |day| day.plus(1)))?;
            let over = zone.day_of(now).plus(-1);
            Ok(Some(Plan {
                channel,
                zone,
                scope,
                first,
                over,
                last_final,
                counting,
            }))
        });
        let plan = found.await?.ok_or_else(|| NotRun::UnknownChannel(name.to_owned()))?;
        match plan.channel.bills {
            Some(_) => Ok(plan),
            None => Err(NotRun::NoBills(name.to_owned())),
        }
    }

    /// The first day up to one that has no run, or whose run went by other inputs.
    async fn first_to_do(&self, plan: &Plan, to: Day) -> Result<Option<Day>, NotRun> {
        for day in through(plan.from(), to) {
            let Some(run) = plan.counting.iter().find(|run| run.day == day) else {
                return Ok(Some(day));
            };
            let task = self.task(plan, day).await?;
            if json(&task.inputs)? != run.inputs {
                return Ok(Some(day));
            }
        }
        Ok(None)
    }

    /// Does days from one on, up to another, and those after it that had a run: theirs go by what is done anew.
    async fn days(&self, plan: &Plan, from: Day, to: Day, by: &str) -> Result<usize, NotRun> {
        let last = plan.counting.last().map_or(to, |run| run.day.max(to));
        let mut done = 0;
        for day in through(from, last) {
            let task = self.task(plan, day).await?;
            self.day(plan, task, by).await?;
            done += 1;
        }
        self.bring_over(&plan.scope, by).await?;
        self.keep_suspense(&plan.channel.name).await?;
        Ok(done)
    }

    /// What a run of a day goes by, as of now.
    async fn task(&self, plan: &Plan, day: Day) -> Result<Task, NotRun> {
        let (first, scope) = (plan.first, plan.scope.clone());
        let channel = plan.channel.clone();
        let window = Window::of(&plan.zone, day, channel.settle_days);
        let known_present = plan.last_final;
        let task = self.db.read(move |tx| {
            // Up to the last that is final every bill is there.
            let begin = known_present.map_or(first, |last| last.plus(1).min(day));
            let there = reconcile::files(tx, &channel.name, begin, day)?;
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
            Ok(Task {
                inputs: Inputs {
                    before: before.as_ref().and_then(|run| run.digest.clone()),
                    files: files.iter().map(input).collect(),
                    missing: missing.clone(),
                    credits: reconcile::credits(tx, &channel.name, &window)?,
                    zone: channel.zone.clone(),
                    fee_ppm: channel.fee_ppm,
                    settle_days: channel.settle_days,
                },
                of: Scope {
                    name: scope,
                    channel: channel.name,
                    fee_ppm: channel.fee_ppm,
                    window,
                    is_complete: missing.is_empty(),
                },
                files,
                missing,
                before: before.and_then(|run| run.totals),
            })
        });
        Ok(task.await?)
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
            Begun::Running | Begun::Final => Err(NotRun::Running(plan.channel.name.clone())),
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
        let with = |work: fn(&mut dyn Tx, &Scope) -> Result<(), StoreError>| {
            let task = Arc::clone(&task);
            move |tx: &mut dyn Tx| work(tx, &task.of)
        };
        loop {
            let of = Arc::clone(&task);
            if !self.part(id, move |tx| reconcile::take_back(tx, &of.of)).await? {
                break;
            }
        }
        self.part(id, with(reconcile::waiting_payments)).await?;
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
        self.part(id, with(reconcile::waiting_refunds)).await?;
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
        loop {
            let of = Arc::clone(&task);
            if !self.part(id, move |tx| reconcile::waiting_credits(tx, &of.of)).await? {
                break;
            }
        }
        let of = Arc::clone(&task);
        self.part(id, move |tx| reconcile::missing_files(tx, &of.of, &of.missing))
            .await?;
        self.finish(plan, id, &task).await
    }

    async fn finish(&self, plan: &Plan, id: u64, task: &Arc<Task>) -> Result<(), NotRun> {
        let (of, zone, settle_days) = (Arc::clone(task), plan.zone.clone(), plan.channel.settle_days);
        let counted = self.db.read(move |tx| {
            let counted = Counted::of(tx, &of, |day| Window::of(&zone, day, settle_days))?;
            let digest = runs::digest(tx, &of.of.name, of.of.window.day)?;
            Ok((counted, digest.to_string()))
        });
        let (counted, digest) = counted.await?;
        let totals = counted.totals(task.before.as_ref(), !task.files.is_empty());
        let day = task.of.window.day;
        if let Some(what) = totals.open_flow() {
            let what = what.to_owned();
            tracing::error!(%day, scope = task.of.name, "control totals do not close at {what}: {totals:?}");
            return Err(NotRun::DoesNotClose { day, what });
        }
        let (of, now, first) = (Arc::clone(task), self.clock.wall(), plan.first);
        let finished = self.part(id, move |tx| {
            // Days become final one after the other: a bill of an earlier one may have come since that was read.
            let is_next = match runs::last_final(tx, &of.of.name)? {
                Some(last) => last.plus(1) == day,
                None => day == first,
            };
            let is_final = of.of.is_complete && is_next;
            if is_final {
                // Nobody withdraws a bill meanwhile.
                bill_proposals::hold_days(tx)?;
            }
            let is_same = reconcile::files(tx, &of.of.channel, day, day)? == of.files;
            if is_same {
                runs::finish(tx, id, is_final, &totals, &digest, now)?;
            }
            Ok(is_same)
        });
        // Its bill came, or was withdrawn, while it went on.
        if finished.await? { Ok(()) } else { Err(NotRun::Left) }
    }

    /// What no run finds any more leaves suspense, and what a final day has found goes there.
    async fn keep_suspense(&self, channel: &str) -> Result<(), NotRun> {
        loop {
            let (of, now) = (channel.to_owned(), self.clock.wall());
            let taken = self
                .db
                .write(move |tx| Money::new(tx, now, RULE).take_back_suspense(&of));
            if !taken.await? {
                break;
            }
        }
        let mut after = Some(0);
        while let Some(last) = after {
            let (of, now) = (channel.to_owned(), self.clock.wall());
            let parked = self.db.write(move |tx| Money::new(tx, now, RULE).park_final(&of, last));
            after = parked.await?;
        }
        Ok(())
    }

    /// Has discrepancies say what was found.
    async fn bring_over(&self, scope: &str, by: &str) -> Result<(), NotRun> {
        let mut attempts = ATTEMPTS;
        loop {
            let (of, by, now) = (scope.to_owned(), by.to_owned(), self.clock.wall());
            match self
                .db
                .write(move |tx| discrepancies::bring_over(tx, &of, &by, now))
                .await
            {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(StoreError::Constraint(_)) if attempts > 1 => attempts -= 1,
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn json(inputs: &Inputs) -> Result<String, StoreError> {
    serde_json::to_string(inputs).map_err(|error| StoreError::Broken(error.to_string()))
}

/// What is counted at a run's end.
struct Counted {
    new: Vec<Group>,
    over: Vec<Group>,
    open: Vec<Group>,
    credits: Sum,
    bill: Bill,
    /// By the amounts of credits, and by those of lines.
    pairs: (Sum, Sum),
    /// Credits in no pair of days without a bill: of all of them, and of this day.
    unlisted: (Sum, Sum),
}

impl Counted {
    fn of(tx: &mut dyn Tx, task: &Task, window: impl Fn(Day) -> Window) -> Result<Self, StoreError> {
        let (scope, day) = (&task.of.name, task.of.window.day);
        let mut unlisted = (Sum::default(), Sum::default());
        for missing in &task.missing {
            let sum = reconcile::unlisted(tx, &task.of.channel, &window(*missing))?;
            unlisted.0 = unlisted.0.plus(sum);
            if *missing == day {
                unlisted.1 = sum;
            }
        }
        Ok(Self {
            new: runs::groups(tx, scope, day, Which::New)?,
            over: runs::groups(tx, scope, day, Which::Over)?,
            open: runs::groups(tx, scope, day, Which::Open)?,
            credits: task.inputs.credits,
            bill: reconcile::bill(tx, &task.files)?,
            pairs: reconcile::pairs(tx, &task.of, &task.files)?,
            unlisted,
        })
    }

    fn totals(&self, before: Option<&Totals>, is_listed: bool) -> Totals {
        let before = before.cloned().unwrap_or_default();
        let sum = |groups: &[Group], is: &dyn Fn(&Group) -> bool| {
            let of = groups.iter().filter(|group| is(group));
            of.fold(Sum::default(), |sum, group| sum.plus(group.sum))
        };
        let ended = |group: &Group, how: Ended| group.ended == Some(how.code());
        // Rows that are in no pair: what waits.
        let waiting = |source: Source| move |group: &Group| group.source == source && !group.is_matched;
        let flow = |source: Source, opening: Sum, new: Sum, matched: Sum, unlisted: Sum| {
            let waits = waiting(source);
            let refunded = sum(&self.over, &|group| waits(group) && ended(group, Ended::Refunded));
            Flow {
                opening,
                new,
                cleared: matched.plus(refunded),
                written_off: sum(&self.over, &|group| waits(group) && ended(group, Ended::WrittenOff)),
                closing: sum(&self.open, &waits).plus(unlisted),
            }
        };
        let (unlisted, of_today) = self.unlisted;
        let nothing = Sum::default();
        let mut classes: BTreeMap<String, Flow> = BTreeMap::new();
        let name = |leg: Leg, class: Class| format!("{} {}", leg.word(), class.word());
        for (class, flow) in &before.classes {
            classes.entry(class.clone()).or_default().opening = flow.closing;
        }
        for (groups, which) in [
            (&self.new, Which::New),
            (&self.over, Which::Over),
            (&self.open, Which::Open),
        ] {
            for group in groups {
                let flow = classes.entry(name(group.leg, group.class)).or_default();
                let part = match which {
                    Which::New => &mut flow.new,
                    Which::Over if ended(group, Ended::WrittenOff) => &mut flow.written_off,
                    Which::Over => &mut flow.cleared,
                    Which::Open => &mut flow.closing,
                };
                *part = part.plus(group.sum);
            }
        }
        let left_before = unlisted.minus(of_today);
        if unlisted != nothing || before.unlisted != nothing {
            let pending = classes.entry(name(Leg::Funds, Class::Pending)).or_default();
            pending.closing = pending.closing.plus(unlisted);
            pending.new = pending.new.plus(if is_listed { nothing } else { of_today });
            pending.cleared = pending.cleared.plus(before.unlisted.minus(left_before));
        }
        classes.retain(|_, flow| *flow != Flow::default());
        Totals {
            credits: flow(
                Source::Credit,
                before.credits.closing,
                self.credits,
                self.pairs.0,
                unlisted,
            ),
            payments: flow(
                Source::Payment,
                before.payments.closing,
                self.bill.gross,
                self.pairs.1,
                nothing,
            ),
            refunds: flow(
                Source::Refund,
                before.refunds.closing,
                self.bill.refunds,
                nothing,
                nothing,
            ),
            matched: self.pairs.0,
            unlisted,
            bill: self.bill,
            classes,
        }
    }
}
