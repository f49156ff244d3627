//! The loop: real time and real channels around the [`Writer`].
//! Batches form by what queued up during the last fsync, never by a timer that delays a lone request.

use super::{
    AnswerTo, LOOKS_MAX, Look, Outbound, Queued, Station, Waiting, Work,
    recovering::Recovering,
    writer::{Committed, Writer},
};
use crate::{
    config::Retention,
    credentials::{CredentialChange, TakenBack},
    random::OsRandom,
    retention::Forgetting,
    store::{Recovery, StoreError},
};
use broker::{Receipt, RefusalReason};
use domain::site::Effect;
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};

/// The loop, ready to run.
pub struct Loop {
    pub(super) writer: Writer<Receipt, AnswerTo>,
    pub(super) work: mpsc::UnboundedReceiver<Queued>,
    pub(super) inspect: mpsc::Receiver<Look>,
    /// A look whose turn has not come.
    pub(super) held: Option<Look>,
    /// How many inputs have been taken.
    pub(super) taken: u64,
    pub(super) station: Station,
    forgetting: Forgetting,
    /// While the station waits for what head office has beyond its copy.
    pub(super) recovering: Option<Recovering>,
}

impl Loop {
    pub(super) fn new(
        writer: Writer<Receipt, AnswerTo>,
        work: mpsc::UnboundedReceiver<Queued>,
        inspect: mpsc::Receiver<Look>,
        station: Station,
        recovery: Option<Recovery>,
    ) -> Self {
        Self {
            writer,
            work,
            inspect,
            held: None,
            taken: 0,
            station,
            forgetting: Forgetting::new(Retention::default()),
            recovering: recovery.map(Recovering::new),
        }
    }

    /// The same, keeping things as long as this says.
    #[must_use]
    pub fn keeping(mut self, keep: Retention) -> Self {
        self.forgetting = Forgetting::new(keep);
        self
    }

    /// Runs until [`Station::stop`]; commits block this thread, so it has one to itself.
    ///
    /// # Errors
    /// A commit failed: nothing of it took effect, nobody was answered, and the process must start again from disk.
    pub fn run(mut self, outbound: impl Outbound) -> Result<(), StoreError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|error| StoreError::Io(format!("no runtime for the loop: {error}")))?;
        runtime.block_on(self.turn_over(&outbound))
    }

    async fn turn_over(&mut self, outbound: &impl Outbound) -> Result<(), StoreError> {
        if self.recovering.is_some() {
            self.begin_anew(outbound)?;
        }
        loop {
            if self.recovering.is_some() {
                if let Some(stopped) = self.turn_recovering(outbound).await? {
                    let _gone = stopped.send(());
                    return Ok(());
                }
                continue;
            }
            // Everything that was decided is on disk, and nothing but open orders in memory.
            let clock = Arc::clone(&self.station.clock);
            let now = clock.now();
            self.forgetting.step(&self.station.store, self.writer.site(), now)?;
            let deadline = self.writer.next_deadline();
            let is_due = deadline.is_some_and(|at| at <= now.mono);
            let telemetry = self.writer.telemetry_due();
            let due = || Some(Queued::from(Work::Due));
            let first = tokio::select! {
                biased;
                // However much work there is, what is due comes first: a start times out on time at a busy station too.
                () = std::future::ready(()), if is_due => due(),
                work = self.work.recv() => match work {
                    Some(work) => Some(work),
                    None => return Ok(()),
                },
                Some(look) = self.inspect.recv(), if self.held.is_none() => {
                    self.station.stats.beats.fetch_add(1, Ordering::Relaxed);
                    self.held = Some(look);
                    self.look_around();
                    continue;
                }
                () = clock.reached(deadline.unwrap_or_default()), if deadline.is_some() => due(),
                () = clock.reached(telemetry.unwrap_or_default()), if telemetry.is_some() => None,
                () = tokio::time::sleep(self.forgetting.wait()) => {
                    self.station.stats.beats.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                // The watchdog is fed from here: a loop that does not turn is dead.
                () = tokio::time::sleep(Duration::from_secs(1)) => {
                    self.station.stats.beats.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
            };
            self.station.stats.beats.fetch_add(1, Ordering::Relaxed);
            if let Some(stopped) = self.turn(first, outbound)? {
                let _gone = stopped.send(());
                return Ok(());
            }
            // However much work there is, those who only look get their turn.
            self.look_around();
        }
    }

    /// Lets those look whose turn has come.
    pub(super) fn look_around(&mut self) {
        for _ in 0..LOOKS_MAX {
            let Some(next) = self.held.take().or_else(|| self.inspect.try_recv().ok()) else {
                return;
            };
            if next.after > self.taken {
                self.held = Some(next);
                return;
            }
            (next.look)(self.writer.site(), self.station.clock.now());
        }
    }

    /// One batch. Returns whom to tell if it was the last.
    fn turn(
        &mut self,
        first: Option<Queued>,
        outbound: &impl Outbound,
    ) -> Result<Option<oneshot::Sender<()>>, StoreError> {
        let mut stop = None;
        let mut next = first;
        while let Some(Queued { waiting, bytes }) = next.take() {
            if !matches!(waiting, Waiting::Work(Work::Due)) {
                self.taken += 1;
                self.station.waiting.fetch_sub(1, Ordering::Relaxed);
                self.station.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            }
            match waiting {
                Waiting::Work(work) => self.writer.take(work, self.station.clock.now(), &mut OsRandom)?,
                Waiting::Recovery(step) => self.take_step(step, outbound)?,
                Waiting::Stop(done) => {
                    stop = Some(done);
                    break;
                }
            }
            if !self.writer.is_full() {
                next = self.work.try_recv().ok();
            }
        }
        let clock = &self.station.clock;
        let committed = self.writer.commit(clock.now(), &clock.mark(), stop.is_some())?;
        self.perform(committed, outbound);
        Ok(stop)
    }

    /// From here on everything is on disk.
    pub(super) fn perform(&self, committed: Committed<Receipt, AnswerTo>, outbound: &impl Outbound) {
        if let Some(seq) = committed.journal_head {
            self.station.journal_head.send_replace(seq);
        }
        self.change_credentials(committed.credentials, outbound);
        for receipt in committed.receipts {
            receipt.acknowledge();
        }
        for receipt in committed.refused {
            receipt.refuse(RefusalReason::QuotaExceeded);
        }
        for effect in committed.effects {
            match effect {
                Effect::Send { pile, message } => {
                    if !outbound.send(&pile, &message) {
                        self.station.stats.undelivered.fetch_add(1, Ordering::Relaxed);
                    }
                }
                Effect::Disconnect { pile } => outbound.disconnect(&pile),
                Effect::Notify { member, order, notice } => {
                    let key = crate::words::told(&notice.key);
                    tracing::info!(%member, %order, key, "told the driver: {}", notice.text);
                }
            }
        }
        self.station.hub.show(committed.views);
        self.station.displays.changed(committed.piles);
        for (to, answer) in committed.answers {
            let _gone = to.send(answer);
        }
    }

    /// What counts from now on of secrets and tokens.
    pub(super) fn change_credentials(&self, changes: Vec<CredentialChange>, outbound: &impl Outbound) {
        for change in changes {
            let taken_back = change.takes_back();
            if let CredentialChange::RemovePile(pile) = &change {
                outbound.forget(pile);
            }
            self.station.credentials.apply(change);
            // Whoever came in with what counts no more has to come in again.
            match taken_back {
                Some(TakenBack::Pile(pile)) => outbound.check_again(&pile),
                Some(TakenBack::Display(display)) => outbound.check_display_again(&display),
                None => {}
            }
        }
    }
}
