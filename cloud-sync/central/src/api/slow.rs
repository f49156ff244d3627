//! Questions that read a whole journal, or all the books: few at once, and one of each caller. Each keeps one of the connections that
//! read for people as long as it takes.

use super::ApiState;
use crate::store::{StoreError, Tx};
use axum::http::StatusCode;
use service::http::{access::Caller, problem::Problem};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// How many are answered at once: half of the connections that read for people.
const AT_ONCE_MAX: usize = 2;
/// When to ask again, in seconds.
const AGAIN_S: u64 = 60;

/// Who has one answered.
#[derive(Debug, Default)]
pub(super) struct Slow(Mutex<BTreeSet<String>>);

/// Somebody's turn, until it is dropped.
pub(super) struct Turn {
    slow: Arc<Slow>,
    caller: String,
}

impl Slow {
    fn callers(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.slow.callers().remove(&self.caller);
    }
}

fn busy(detail: &str) -> Problem {
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "busy", detail).until(AGAIN_S)
}

impl ApiState {
    /// A turn for a question that takes long.
    ///
    /// # Errors
    /// 429 `busy`.
    pub(super) fn turn(&self, caller: &Caller) -> Result<Turn, Problem> {
        let mut callers = self.slow.callers();
        if callers.contains(&caller.name) {
            return Err(busy(
                "another question of yours that takes long is being answered: ask this one after it",
            ));
        }
        if callers.len() >= AT_ONCE_MAX {
            return Err(busy(
                "other questions that take long are being answered: ask again in a while",
            ));
        }
        callers.insert(caller.name.clone());
        Ok(Turn {
            slow: Arc::clone(&self.slow),
            caller: caller.name.clone(),
        })
    }

    /// Reads for long. The turn lasts as long as the reading does, also where nobody waits for the answer any more.
    pub(super) async fn read_long<T, F>(&self, caller: &Caller, read: F) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: FnOnce(&mut dyn Tx) -> Result<T, StoreError> + Send + 'static,
    {
        let turn = self.turn(caller)?;
        let read = move |tx: &mut dyn Tx| {
            let _until_read = turn;
            read(tx)
        };
        self.read(read).await
    }
}
