//! What follows from what runs of a scope have found, once all of it is: discrepancies say it, what no run finds any more leaves suspense, and
//! what a final day has found goes there.

use crate::{
    desk::Clock,
    money::{Money, RULE},
    store::{Db, StoreError, discrepancies, reconcile_runs as runs},
};
use domain::time::Day;
use std::sync::Arc;

/// How often it is tried again where another scope took the same numbers at the same moment.
const ATTEMPTS: usize = 5;

/// A scope whose days are done.
#[derive(Debug, Clone)]
pub(super) struct Done {
    /// Its name.
    pub(super) scope: String,
    /// Its days that are not final, and over: the first and the last.
    pub(super) days: (Day, Day),
    /// Whether what it finds is money on one side alone, which belongs in suspense.
    pub(super) has_suspense: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    BringOver,
    TakeBack,
    Park,
}

/// Has it follow. Also where no day was done: whoever did the last may have been cut off before this. Each turn is a transaction of its own,
/// which holds the scope's runs, and does nothing while some of them are at work.
pub(super) async fn follow(db: &Db, clock: &Arc<dyn Clock>, of: &Done, by: &str) -> Result<(), StoreError> {
    let steps: &[Step] = match of.has_suspense {
        true => &[Step::BringOver, Step::TakeBack, Step::Park],
        false => &[Step::BringOver],
    };
    for step in steps.iter().copied() {
        let (mut after, mut attempts) = (Some(0), ATTEMPTS);
        while let Some(last) = after {
            let (of, by, now) = (of.clone(), by.to_owned(), clock.wall());
            let part = db.write(move |tx| {
                runs::hold(tx, &of.scope)?;
                if !runs::is_all_found(tx, &of.scope, of.days)? {
                    return Ok(None);
                }
                match step {
                    Step::BringOver => Ok(discrepancies::bring_over(tx, &of.scope, &by, now)?.then_some(0)),
                    Step::TakeBack => Money::new(tx, now, RULE).take_back_suspense(&of.scope, last),
                    Step::Park => Money::new(tx, now, RULE).park_final(&of.scope, last),
                }
            });
            match part.await {
                Ok(more) => after = more,
                Err(StoreError::Constraint(_)) if attempts > 1 && step == Step::BringOver => attempts -= 1,
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}
