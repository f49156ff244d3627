//! Callbacks that wait are credited together: each movement ends at the books of one channel, and each is told of in one audit
//! chain, so credits of their own transactions would wait for each other's disk.

use super::ApiState;
use crate::{
    money::{Callback, Credited, Money},
    store::{StoreError, Tx, audit, members, topups},
};
use domain::{ids::SiteId, time::Wall};
use serde_json::json;
use service::{http::problem::Problem, wire::Yuan};
use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::sync::oneshot;

/// The most that share a transaction: nobody else writes to SQLite meanwhile.
const AT_ONCE: usize = 64;

/// Callbacks that wait for their transaction.
#[derive(Debug, Default)]
pub(super) struct Credits {
    waiting: Mutex<VecDeque<Waiting>>,
    /// Held while a transaction runs: two at once would wait for each other's rows.
    turn: tokio::sync::Mutex<()>,
}

/// What a channel says, and when head office heard it.
type Heard = (Callback, Wall);

/// One that waits, and where it is answered.
type Waiting = (Heard, oneshot::Sender<Result<Credited, StoreError>>);

impl Credits {
    fn queue(&self) -> MutexGuard<'_, VecDeque<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those whose turn it is.
    fn next(&self) -> Vec<Waiting> {
        let mut queue = self.queue();
        let most = queue.len().min(AT_ONCE);
        queue.drain(..most).collect()
    }
}

impl ApiState {
    /// Credits what a channel says was paid; once, also if whoever waits for it goes away.
    pub(super) async fn credit(&self, said: Callback, now: Wall) -> Result<Credited, Problem> {
        let (answer, answered) = oneshot::channel();
        self.credits.queue().push_back(((said, now), answer));
        let api = self.clone();
        tokio::spawn(async move { api.credit_waiting().await });
        let gone = |_| StoreError::Unavailable("head office is closing".to_owned());
        Ok(answered.await.map_err(gone)??)
    }

    /// Credits what waits by now. It is called once for each that came, so nothing stays behind.
    async fn credit_waiting(&self) {
        let _turn = self.credits.turn.lock().await;
        let (heard, answers): (Vec<_>, Vec<_>) = self.credits.next().into_iter().unzip();
        if heard.is_empty() {
            return;
        }
        // Together or not at all; and then each alone, so that none is held up by another.
        let outcomes = match self.credit_at_once(heard.clone()).await {
            Ok(credited) => credited.into_iter().map(Ok).collect(),
            Err(error) if heard.len() == 1 => vec![Err(error)],
            Err(_) => {
                let mut outcomes = Vec::with_capacity(heard.len());
                for one in heard {
                    let alone = self.credit_at_once(vec![one]).await;
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

    async fn credit_at_once(&self, heard: Vec<Heard>) -> Result<Vec<Credited>, StoreError> {
        let (credited, rung) = self.db.write(move |tx| credit_all(tx, &heard)).await?;
        self.ring(rung);
        Ok(credited)
    }
}

/// Credits all of these; what each came to, in their order, and the sites that something was issued to.
fn credit_all(tx: &mut dyn Tx, heard: &[Heard]) -> Result<(Vec<Credited>, BTreeSet<SiteId>), StoreError> {
    hold(tx, heard)?;
    let (mut credited, mut rung) = (Vec::with_capacity(heard.len()), BTreeSet::new());
    for (said, now) in heard {
        let mut money = Money::new(tx, *now, &said.channel);
        credited.push(money.called_back(said)?);
        rung.append(&mut money.into_rung());
    }
    // Last, as always: until the end of the transaction nobody else adds to the chain.
    for ((said, now), credited) in heard.iter().zip(&credited) {
        let action = match credited {
            Credited::Now(_) => "top_up_credited",
            Credited::Unknown | Credited::OtherAmount { .. } | Credited::OtherPayment => "top_up_set_aside",
            Credited::Before | Credited::Closed => continue,
        };
        let detail = json!({
            "out_trade_no": said.reference,
            "transaction_id": said.transaction,
            "amount": Yuan(said.amount),
        });
        audit::append(tx, *now, &said.channel, action, &said.reference, detail)?;
    }
    Ok((credited, rung))
}

/// Holds the rows of all of these in one order, whatever order they came in: two processes of head office that credit the same
/// wallets at once wait for each other, and not in a circle.
fn hold(tx: &mut dyn Tx, heard: &[Heard]) -> Result<(), StoreError> {
    if heard.len() < 2 {
        return Ok(());
    }
    let top_ups: BTreeSet<_> = heard.iter().map(|(said, _)| (&said.channel, &said.reference)).collect();
    let mut whose = BTreeSet::new();
    for (channel, reference) in top_ups {
        whose.extend(topups::hold(tx, channel, reference)?.map(|asked| asked.member));
    }
    for member in whose {
        members::hold(tx, &member)?;
    }
    Ok(())
}
