//! Runs of scopes whose days are small: a run is one transaction, and of days that have changed the first is done, then the next.

use super::{days::through, funds::NotRun, totals::Totals};
use crate::{
    desk::Clock,
    store::{
        Db, StoreError, Tx, discrepancies,
        reconcile_runs::{self as runs, Begun, Run},
    },
};
use domain::time::{Day, Wall};
use std::sync::Arc;

/// How often it is tried again where somebody else took the same numbers at the same moment.
const ATTEMPTS: usize = 5;

/// A scope, as it is now.
pub(super) trait Days: Sized {
    /// By what it is known.
    type Of: Clone + Send + 'static;

    /// A scope as it is now; none where there is nothing to reconcile yet.
    fn plan(tx: &mut dyn Tx, of: &Self::Of, now: Wall) -> Result<Option<Self>, StoreError>;
    /// Its name in runs.
    fn scope(&self) -> &str;
    /// The first day that is not final, and the last that is due.
    fn open(&self) -> (Day, Day);
    /// The runs that count, of days that are not final.
    fn counting(&self) -> &[Run];
    /// What a run of a day goes by, as JSON. Where that is the same, so is what it finds.
    fn inputs(&self, tx: &mut dyn Tx, day: Day) -> Result<String, StoreError>;
    /// Writes what is said of a day; what it comes to.
    fn judge(&self, tx: &mut dyn Tx, day: Day) -> Result<Totals, StoreError>;
    /// When a day was over that may be final now.
    fn closes(&self, tx: &mut dyn Tx, day: Day, now: Wall) -> Result<Option<Wall>, StoreError>;
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
    let mut done = 0;
    while let Some(scope) = day::<P>(db, clock, of, to, by).await? {
        bring_over(db, clock, &scope, by).await?;
        done += 1;
    }
    close::<P>(db, clock, of).await?;
    Ok(done)
}

/// Does the first day that is to be done; its scope, unless there is none.
async fn day<P: Days>(
    db: &Db,
    clock: &Arc<dyn Clock>,
    of: &P::Of,
    to: Option<Day>,
    by: &str,
) -> Result<Option<String>, NotRun> {
    let mut attempts = ATTEMPTS;
    loop {
        let (of, by, now) = (of.clone(), by.to_owned(), clock.wall());
        match db.write(move |tx| one_day::<P>(tx, &of, to, &by, now)).await {
            Ok(done) => return done,
            Err(StoreError::Constraint(_)) if attempts > 1 => attempts -= 1,
            Err(error) => return Err(error.into()),
        }
    }
}

type Done = Result<Option<String>, NotRun>;

fn one_day<P: Days>(tx: &mut dyn Tx, of: &P::Of, to: Option<Day>, by: &str, now: Wall) -> Result<Done, StoreError> {
    let Some(plan) = P::plan(tx, of, now)? else {
        return Ok(Ok(None));
    };
    // What had a run is done again with the days before it.
    let (from, due) = plan.open();
    let last = plan.counting().last().map(|run| run.day);
    let to = to.unwrap_or(due);
    for day in through(from, last.map_or(to, |last| last.max(to))) {
        let inputs = plan.inputs(tx, day)?;
        let has = |run: &Run| run.day == day && run.inputs == inputs;
        if plan.counting().iter().any(has) {
            continue;
        }
        let id = match runs::begin(tx, plan.scope(), day, &inputs, by, now)? {
            Begun::Now(id) => id,
            Begun::Running | Begun::Final => return Ok(Err(NotRun::Left)),
        };
        let totals = plan.judge(tx, day)?;
        if let Some(what) = totals.open_flow() {
            // Nothing of it is written.
            let scope = plan.scope();
            return Err(StoreError::Broken(format!(
                "the totals of {scope} on {day} do not close at {what}"
            )));
        }
        let digest = runs::digest(tx, plan.scope(), day)?;
        runs::finish(tx, id, &totals, &digest.to_string(), now)?;
        return Ok(Ok(Some(plan.scope().to_owned())));
    }
    Ok(Ok(None))
}

/// Makes days final, one after the other.
async fn close<P: Days>(db: &Db, clock: &Arc<dyn Clock>, of: &P::Of) -> Result<(), NotRun> {
    loop {
        let (of, now) = (of.clone(), clock.wall());
        let closed = db.write(move |tx| {
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
            return Ok(());
        }
    }
}

/// Has discrepancies say what was found in a scope.
pub(super) async fn bring_over(db: &Db, clock: &Arc<dyn Clock>, scope: &str, by: &str) -> Result<(), NotRun> {
    let mut attempts = ATTEMPTS;
    loop {
        let (of, by, now) = (scope.to_owned(), by.to_owned(), clock.wall());
        match db.write(move |tx| discrepancies::bring_over(tx, &of, &by, now)).await {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(StoreError::Constraint(_)) if attempts > 1 => attempts -= 1,
            Err(error) => return Err(error.into()),
        }
    }
}
