//! Callbacks that wait are credited together: every one of a channel's moves money out of that channel's clearing account and is
//! told of in the one audit chain, so that credits of their own transactions would wait for each other's disk.

use super::{ApiState, callbacks::answer};
use crate::{
    money::{Callback, Credited, Money},
    store::{
        StoreError, Tx, audit,
        callbacks::{self, Heard},
    },
};
use domain::{ids::SiteId, time::Wall};
use serde_json::json;
use service::{http::problem::Problem, wire::Yuan};
use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{Semaphore, oneshot};

/// The most that share a transaction: nobody else writes to SQLite meanwhile.
const AT_ONCE: usize = 64;
/// Transactions at a time: on PostgreSQL one writes its last rows while the next looks up its first.
const TRANSACTIONS: usize = 2;

/// A callback that its channel has signed.
#[derive(Debug, Clone)]
pub(super) struct Came {
    /// What it says.
    pub(super) said: Callback,
    /// As it came.
    pub(super) heard: Heard,
}

/// Callbacks that wait for their transaction.
#[derive(Debug)]
pub(super) struct Credits {
    waiting: Mutex<VecDeque<Waiting>>,
    turns: Semaphore,
}

/// What a channel says, and where it is answered.
type Waiting = (Came, oneshot::Sender<Result<Credited, StoreError>>);

impl Default for Credits {
    fn default() -> Self {
        Self {
            waiting: Mutex::default(),
            turns: Semaphore::new(TRANSACTIONS),
        }
    }
}

impl Credits {
    fn queue(&self) -> MutexGuard<'_, VecDeque<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those whose turn it is: the first, and what its channel says besides.
    fn next(&self) -> Vec<Waiting> {
        let mut queue = self.queue();
        let Some((first, _)) = queue.front() else {
            return Vec::new();
        };
        let channel = first.said.channel.clone();
        let (mut next, mut others) = (Vec::new(), VecDeque::new());
        for waiting in queue.drain(..) {
            match next.len() < AT_ONCE && waiting.0.said.channel == channel {
                true => next.push(waiting),
                false => others.push_back(waiting),
            }
        }
        *queue = others;
        next
    }
}

impl ApiState {
    /// Credits what a channel says was paid; once, also if whoever waits for it goes away.
    pub(super) async fn credit(&self, came: Came) -> Result<Credited, Problem> {
        let (answer, answered) = oneshot::channel();
        self.credits.queue().push_back((came, answer));
        let api = self.clone();
        tokio::spawn(async move { api.credit_waiting().await });
        let gone = |_| StoreError::Unavailable("head office is closing".to_owned());
        Ok(answered.await.map_err(gone)??)
    }

    /// Credits what waits by now. It is called once for each that came, so nothing stays behind.
    async fn credit_waiting(&self) {
        let _turn = self.credits.turns.acquire().await;
        let (came, answers): (Vec<_>, Vec<_>) = self.credits.next().into_iter().unzip();
        if came.is_empty() {
            return;
        }
        // Together or not at all; and then each alone, so that none is held up by another.
        let outcomes = match self.credit_together(came.clone()).await {
            Ok(credited) => credited.into_iter().map(Ok).collect(),
            // The database is away, or busy: the channel calls again, and nobody waits for one try after the other.
            Err(error) if came.len() == 1 || matches!(error, StoreError::Unavailable(_)) => {
                came.iter().map(|_| Err(error.clone())).collect()
            }
            Err(_) => {
                let mut outcomes = Vec::with_capacity(came.len());
                for one in came {
                    let alone = self.credit_together(vec![one]).await;
                    outcomes.push(alone.map(|mut credited| credited.remove(0)));
                }
                outcomes
            }
        };
        for (answer, outcome) in answers.into_iter().zip(outcomes) {
            // Whoever has gone away calls again, and is told.
            drop(answer.send(outcome));
        }
    }

    async fn credit_together(&self, came: Vec<Came>) -> Result<Vec<Credited>, StoreError> {
        let now = self.clock.wall();
        let (credited, rung) = self.db.write(move |tx| credit_all(tx, now, &came)).await?;
        self.ring(rung);
        Ok(credited)
    }
}

/// Credits all of these, which are of one channel, and keeps them as they came; what each came to, and the sites that something was issued
/// to.
fn credit_all(tx: &mut dyn Tx, now: Wall, came: &[Came]) -> Result<(Vec<Credited>, BTreeSet<SiteId>), StoreError> {
    let said: Vec<Callback> = came.iter().map(|came| came.said.clone()).collect();
    let channel = said.first().map(|said| said.channel.clone()).unwrap_or_default();
    let mut money = Money::new(tx, now, &channel);
    let credited = money.called_back_together(&said)?;
    let rung = money.into_rung();
    let told = said.iter().zip(&credited).filter_map(|(said, credited)| {
        let action = match credited {
            Credited::Now(_) => "top_up_credited",
            Credited::Unknown | Credited::OtherAmount { .. } | Credited::OtherPayment => "top_up_set_aside",
            Credited::Before | Credited::Closed => return None,
        };
        Some(audit::Entry {
            seq: 0,
            at: now,
            by: said.channel.clone(),
            action: action.to_owned(),
            subject: said.reference.clone(),
            detail: json!({
                "out_trade_no": said.reference,
                "transaction_id": said.transaction,
                "amount": Yuan(said.amount),
            }),
        })
    });
    let told: Vec<_> = told.collect();
    if !told.is_empty() {
        audit::append_all(tx, told)?;
    }
    let mut heard = Vec::with_capacity(came.len());
    for (came, credited) in came.iter().zip(&credited) {
        let (status, outcome, why) = answer(&came.said, credited);
        heard.push(Heard {
            id: format!("{:032x}", tx.random()?),
            reference: Some(came.said.reference.clone()),
            transaction: Some(came.said.transaction.clone()),
            status: status.as_u16(),
            outcome: outcome.to_owned(),
            why,
            ..came.heard.clone()
        });
    }
    callbacks::add_all(tx, &heard)?;
    Ok((credited, rung))
}
