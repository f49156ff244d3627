//! Runs of scopes whose days are small: a run is one transaction, and of days that have changed the first is done, then the next.

use super::{
    days::through,
    follow::{Done, follow},
    funds::NotRun,
    totals::Totals,
};
use crate::{
    desk::Clock,
    store::{
        Db, StoreError, Tx,
        reconcile_runs::{self as runs, Begun, Run},
        site_verdicts as verdicts,
    },
};
use domain::time::{Day, Wall};
use std::sync::{Arc, OnceLock};

/// How often it is tried again where somebody else took the same numbers at the same moment.
const ATTEMPTS: usize = 5;

/// A scope, as it is now.
pub(super) trait Days: Sized {
    /// By what it is known.
    type Of: Clone + Send + 'static;

    /// By what name it stands in runs.
    fn named(of: &Self::Of) -> String;
    /// A scope as it is now; none where there is nothing to reconcile yet.
    fn plan(tx: &mut dyn Tx, of: &Self::Of, now: Wall) -> Result<Option<Self>, StoreError>;
    /// The first day that is not final, and the last that is due.
    fn open(&self) -> (Day, Day);
    /// The last day that is over.
    fn over(&self) -> Day;
    /// The runs that count, of days that are not final.
    fn counting(&self) -> &[Run];
    /// What a run of a day goes by, as JSON. Where that is the same, so is what it finds.
    fn inputs(&self, tx: &mut dyn Tx, day: Day) -> Result<String, StoreError>;
    /// Writes what is said of a day; what it comes to.
    fn judge(&self, tx: &mut dyn Tx, day: Day) -> Result<Totals, StoreError>;
    /// When a day was over that may be final now.
    fn closes(&self, tx: &mut dyn Tx, day: Day, now: Wall) -> Result<Option<Wall>, StoreError>;
    /// Whether what it finds is money on one side alone, which belongs in suspense.
    const HAS_SUSPENSE: bool;
    /// What follows from a day that has become final.
    fn closed(&self, tx: &mut dyn Tx, day: Day, now: Wall) -> Result<(), StoreError>;
}

/// Reconciles what is due of a scope, or up to a day: days that are over and were never done, or of which something has come since; and days
/// become final for which it is time. How many days were done.
///
/// # Errors
/// [`NotRun`].
pub(super) async fn catch_up<P: Days>(
    db: &Db,
    clock: &Arc<dyn Clock>,
    of: &P::Of,
    to: Option<Day>,
    by: &str,
) -> Result<usize, NotRun> {
    let (mut done, mut between) = (0, (None, to));
    while let Some(Did { day, last }) = day::<P>(db, clock, of, between, by).await? {
        // Those after it count no more, and are done too.
        between = (Some(day.plus(1)), between.1.max(Some(last)));
        done += 1;
    }
    // Before days become final: of a scope that has ended nothing is to be reconciled after its last.
    follows::<P>(db, clock, of, by).await?;
    if close::<P>(db, clock, of).await? {
        follows::<P>(db, clock, of, by).await?;
    }
    Ok(done)
}

/// Has it follow what was found.
async fn follows<P: Days>(db: &Db, clock: &Arc<dyn Clock>, of: &P::Of, by: &str) -> Result<(), NotRun> {
    let (of, now) = (of.clone(), clock.wall());
    let plan = db.read(move |tx| {
        let plan = P::plan(tx, &of, now)?;
        Ok(plan.map(|plan| Done {
            scope: P::named(&of),
            days: plan.open(),
            has_suspense: P::HAS_SUSPENSE,
        }))
    });
    match plan.await? {
        Some(scope) => Ok(follow(db, clock, &scope, by).await?),
        None => Ok(()),
    }
}

/// From which day on, and up to which; none: from the first that is not final, and up to the last that is due.
type Between = (Option<Day>, Option<Day>);

/// A day was done.
#[derive(Debug, Clone, Copy)]
struct Did {
    day: Day,
    /// The last day that had a run before.
    last: Day,
}

/// Does the first day that is to be done; which, unless there is none.
async fn day<P: Days>(
    db: &Db,
    clock: &Arc<dyn Clock>,
    of: &P::Of,
    days: Between,
    by: &str,
) -> Result<Option<Did>, NotRun> {
    let mut attempts = ATTEMPTS;
    loop {
        let (of, by, now) = (of.clone(), by.to_owned(), clock.wall());
        // Said beside the error that has nothing of it written.
        let unclosed = Arc::new(OnceLock::new());
        let told = Arc::clone(&unclosed);
        match db.write(move |tx| one_day::<P>(tx, &of, days, &by, now, &told)).await {
            Ok(done) => return done,
            Err(StoreError::Constraint(_)) if attempts > 1 => attempts -= 1,
            Err(error) => {
                return Err(match unclosed.get().cloned() {
                    Some((day, what)) => NotRun::DoesNotClose { day, what },
                    None => error.into(),
                });
            }
        }
    }
}

/// What had a run is done again with the days before it. Where there are runs of days that are not over a clock was ahead, or the scope has
/// ended: the last day that is over is done anew, unless that is final, and what was found of days after it is gone.
fn one_day<P: Days>(
    tx: &mut dyn Tx,
    of: &P::Of,
    (from, to): Between,
    by: &str,
    now: Wall,
    unclosed: &OnceLock<(Day, String)>,
) -> Result<Result<Option<Did>, NotRun>, StoreError> {
    // Whoever else does days of it is done before anything is read.
    let scope = P::named(of);
    runs::hold(tx, &scope)?;
    let Some(plan) = P::plan(tx, of, now)? else {
        return Ok(Ok(None));
    };
    let ((open, due), over) = (plan.open(), plan.over());
    let last = plan.counting().last().map(|run| run.day);
    let to = to.map_or(due, |to| to.max(due));
    let to = last.map_or(to, |last| last.max(to)).min(over);
    let mut found = None;
    for day in through(from.map_or(open, |from| from.max(open)), to) {
        let inputs = plan.inputs(tx, day)?;
        let run = plan.counting().iter().find(|run| run.day == day);
        if run.is_none_or(|run| run.inputs != inputs) {
            found = Some((day, inputs));
            break;
        }
    }
    if found.is_none() && last.is_some_and(|last| last > over) {
        if open > over {
            verdicts::take_back(tx, &scope, over.plus(1))?;
            runs::take_back(tx, &scope, over)?;
            return Ok(Ok(None));
        }
        found = Some((over, plan.inputs(tx, over)?));
    }
    let Some((day, inputs)) = found else {
        return Ok(Ok(None));
    };
    let id = match runs::begin(tx, &scope, day, &inputs, by, now)? {
        Begun::Now(id) => id,
        Begun::Running | Begun::Final => return Ok(Err(NotRun::Left)),
    };
    let totals = plan.judge(tx, day)?;
    if let Some(what) = totals.open_flow() {
        let what = what.to_owned();
        tracing::error!(%day, scope, "control totals do not close at {what}: {totals:?}");
        unclosed.get_or_init(|| (day, what));
        return Err(StoreError::Broken(format!(
            "the totals of {scope} on {day} do not close"
        )));
    }
    let digest = runs::digest(tx, &scope, day)?;
    runs::finish(tx, id, &totals, &digest.to_string(), now)?;
    let last = last.map_or(day, |last| last.max(day));
    Ok(Ok(Some(Did { day, last })))
}

/// Makes days final, one after the other; whether any has become so.
async fn close<P: Days>(db: &Db, clock: &Arc<dyn Clock>, of: &P::Of) -> Result<bool, NotRun> {
    let mut some = false;
    loop {
        let (of, now) = (of.clone(), clock.wall());
        let closed = db.write(move |tx| {
            runs::hold(tx, &P::named(&of))?;
            let Some(plan) = P::plan(tx, &of, now)? else {
                return Ok(false);
            };
            let (day, due) = plan.open();
            let Some(run) = plan.counting().iter().find(|run| run.day == day && day <= due) else {
                return Ok(false);
            };
            if plan.inputs(tx, day)? != run.inputs {
                return Ok(false);
            }
            let Some(over) = plan.closes(tx, day, now)? else {
                return Ok(false);
            };
            let is_closed = runs::close(tx, run.id, over)?;
            if is_closed {
                plan.closed(tx, day, now)?;
            }
            Ok(is_closed)
        });
        if !closed.await? {
            return Ok(some);
        }
        some = true;
    }
}
