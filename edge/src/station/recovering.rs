//! The loop while the station is recovering: nothing is journaled, and nothing that would be is taken. Cars go on charging.
//!
//! What piles and people do is decided on the rows of the copy *as if*: the facts of it are thrown away, and of the effects
//! only a stop leaves the station. When head office has handed back what it has beyond the copy, everything is made anew from
//! disk, as after a restart, and what waited is taken in.
//!
//! | what | meanwhile |
//! |---|---|
//! | connections, heartbeats | seen: presence, live views, limits |
//! | every other message of a pile | kept unacknowledged until then; the pile has it too |
//! | a stop, asked for or at a limit | noted on disk, sent, and journaled then |
//! | secrets and certificates | taken: they are in no journal |
//! | every other request | refused for now |

use super::{AnswerTo, Loop, Outbound, Queued, Refused, Unavailable, Waiting, Work, request::Request, writer::Writer};
use crate::{
    random::OsRandom,
    store::{Followed, Recovery, StoreError, TailRefused},
};
use domain::{
    fact::{Fact, StopCause, WentOnAlone},
    ids::{CommandId, OrderId, PileId, Randomness},
    journal::Head,
    messages::{CommandKind, Down, Up, UpMessage},
    site::{Effect, Input, Outcome, Rejected},
    time::Now,
    topics::UpKind,
};
use protocol::frame::Unpacked;
use std::{
    collections::BTreeSet,
    mem::discriminant,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::sync::oneshot;

/// The most inputs that are looked at before those who only look get their turn.
const AT_ONCE: usize = 512;

/// What is told to the loop about a recovery.
pub(super) enum Step {
    /// Entries that head office hands back.
    Tail {
        tail: Box<Unpacked>,
        answer: oneshot::Sender<Result<Head, TailRefused>>,
    },
    /// Reasons to go on.
    End {
        by: Ending,
        answer: oneshot::Sender<Result<Ended, StoreError>>,
    },
}

/// Why a recovery may end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// Head office has the journal up to here, and nothing beyond, as it has just said.
    HeadOfficeHas(Head),
    /// A person says so.
    Alone(WentOnAlone),
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The station goes on, in another run of its journal, whose first entry this is.
    GoesOn(Head),
    /// Head office has more than the station.
    MoreIsToCome,
    /// It was not recovering.
    WasNot,
}

/// What is known while the station is recovering.
pub(super) struct Recovering {
    /// As on disk.
    recovery: Recovery,
    /// Piles that are connected.
    online: BTreeSet<PileId>,
    /// What waits until the journal goes on, in order.
    kept: Vec<Queued>,
    /// What the site was last told from inside, one of each kind.
    told: Vec<Input>,
    /// In the ids of commands: what the pile was told in the hours that are not here had others.
    run: u32,
}

impl Recovering {
    pub(super) fn new(recovery: Recovery) -> Self {
        Self {
            recovery,
            online: BTreeSet::new(),
            kept: Vec::new(),
            told: Vec::new(),
            run: OsRandom.bits() as u32,
        }
    }

    /// The same command under an id that the pile has certainly not seen.
    fn under_own_id(&self, id: &CommandId) -> CommandId {
        let (order, n) = (
            domain::order::Command::order_of(id),
            id.as_str().rsplit(':').next().unwrap_or("1"),
        );
        let word = CommandKind::Stop.word();
        let order = order.map_or_else(String::new, |order| format!("{order}:"));
        CommandId::new(format!("{order}{word}:r{:08x}-{n}", self.run))
            .or_else(|_| CommandId::new(format!("{word}:r{:08x}-{n}", self.run)))
            .expect("a word and a few digits are within the rule for ids")
    }
}

impl Loop {
    /// One turn of the loop while the station is recovering. Returns whom to tell if it was the last.
    pub(super) async fn turn_recovering(
        &mut self,
        outbound: &impl Outbound,
    ) -> Result<Option<oneshot::Sender<()>>, StoreError> {
        let clock = Arc::clone(&self.station.clock);
        let telemetry = self.writer.telemetry_due();
        let first = tokio::select! {
            biased;
            work = self.work.recv() => work,
            Some(look) = self.inspect.recv(), if self.held.is_none() => {
                self.held = Some(look);
                None
            }
            () = clock.reached(telemetry.unwrap_or_default()), if telemetry.is_some() => {
                let committed = self.writer.commit(clock.now(), &clock.mark(), false)?;
                self.perform(committed, outbound);
                None
            }
            () = tokio::time::sleep(Duration::from_secs(1)) => None,
        };
        self.station.stats.beats.fetch_add(1, Ordering::Relaxed);
        let mut next = first;
        for _ in 0..AT_ONCE {
            let Some(Queued { waiting, bytes }) = next.take() else {
                break;
            };
            self.taken += 1;
            match waiting {
                Waiting::Work(work) => self.meanwhile(work, bytes, outbound)?,
                Waiting::Recovery(step) => {
                    self.is_out(bytes);
                    self.take_step(step, outbound)?;
                }
                Waiting::Stop(done) => {
                    self.flush(outbound)?;
                    return Ok(Some(done));
                }
            }
            if self.recovering.is_none() {
                break;
            }
            next = self.work.try_recv().ok();
        }
        self.look_around();
        Ok(None)
    }

    /// What was waiting does so no more.
    fn is_out(&self, bytes: usize) {
        self.station.waiting.fetch_sub(1, Ordering::Relaxed);
        self.station.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn meanwhile(&mut self, work: Work, bytes: usize, outbound: &impl Outbound) -> Result<(), StoreError> {
        match work {
            Work::Pile { input, receipt, .. } if is_heartbeat(&input) => {
                self.is_out(bytes);
                let named = names(&input);
                self.rehearse(input, &named, outbound)?;
                if let Some(receipt) = receipt {
                    receipt.acknowledge();
                }
            }
            Work::Pile {
                input: input @ (Input::Connected { .. } | Input::Disconnected { .. } | Input::TakenOver { .. }),
                ..
            } => {
                self.is_out(bytes);
                self.note_connection(&input);
                self.rehearse(input, &[], outbound)?;
            }
            // Neither taken nor refused: it counts among what waits, which is bounded.
            kept @ Work::Pile { .. } => {
                if let Some(recovering) = &mut self.recovering {
                    recovering.kept.push(Queued {
                        waiting: Waiting::Work(kept),
                        bytes,
                    });
                }
            }
            Work::Asked { request, guard, answer } => {
                self.is_out(bytes);
                let is_of_credentials = request.input.is_none() && request.key.is_none();
                if is_of_credentials {
                    let clock = Arc::clone(&self.station.clock);
                    self.writer
                        .take(Work::Asked { request, guard, answer }, clock.now(), &mut OsRandom)?;
                    let committed = self.writer.commit(clock.now(), &clock.mark(), false)?;
                    self.perform(committed, outbound);
                } else {
                    self.asked_meanwhile(*request, answer, outbound)?;
                }
            }
            Work::Told(input) => {
                self.is_out(bytes);
                if let Some(recovering) = &mut self.recovering {
                    recovering
                        .told
                        .retain(|before| discriminant(before) != discriminant(&input));
                    recovering.told.push(input.clone());
                }
                self.rehearse(input, &[], outbound)?;
            }
            // Deadlines are for whoever may journal.
            Work::Due => self.is_out(bytes),
        }
        Ok(())
    }

    fn note_connection(&mut self, input: &Input) {
        let Some(recovering) = &mut self.recovering else { return };
        match input {
            Input::Connected { pile } => {
                recovering.online.insert(pile.clone());
            }
            Input::Disconnected { pile, .. } => {
                recovering.online.remove(pile);
                // Their acknowledgements could reach nobody: the pile says it all again on its next connection.
                let of_pile = |queued: &Queued| match &queued.waiting {
                    Waiting::Work(Work::Pile { input, .. }) => input.pile() == Some(pile),
                    _ => false,
                };
                let all = std::mem::take(&mut recovering.kept).into_iter();
                let (gone, kept): (Vec<Queued>, Vec<Queued>) = all.partition(of_pile);
                recovering.kept = kept;
                for Queued { bytes, .. } in &gone {
                    self.is_out(*bytes);
                }
            }
            _ => {}
        }
    }

    /// Decides as if, on the rows of the copy; sends the stops that come of it. At a limit only an order is stopped that
    /// its pile `named`: another one may charge there that the copy knows nothing of.
    fn rehearse(&mut self, input: Input, named: &[OrderId], outbound: &impl Outbound) -> Result<(), StoreError> {
        let now = self.station.clock.now();
        let Some(outcome) = self.writer.rehearse(input, now, &mut OsRandom)? else {
            return self.begin_anew(outbound);
        };
        let stops = outcome.facts.iter().filter_map(|(_, fact)| match fact {
            Fact::StopRequested { order, cause, .. } if named.contains(order) => Some((order.clone(), cause.clone())),
            _ => None,
        });
        let stops: Vec<_> = stops.collect();
        self.note_stops(stops)?;
        self.perform_meanwhile(outcome, now, outbound);
        Ok(())
    }

    /// Writes stops down, so that none is forgotten, before any goes out.
    fn note_stops(&mut self, stops: Vec<(OrderId, StopCause)>) -> Result<(), StoreError> {
        let Some(Recovering { recovery, .. }) = &mut self.recovering else {
            return Ok(());
        };
        let before = recovery.stops.len();
        for (order, cause) in stops {
            recovery.stops.entry(order).or_insert(cause);
        }
        if recovery.stops.len() > before {
            self.station.store.note_recovery(recovery)?;
        }
        Ok(())
    }

    fn perform_meanwhile(&self, outcome: Outcome, now: Now, outbound: &impl Outbound) {
        let Some(recovering) = &self.recovering else { return };
        for effect in outcome.effects {
            match effect {
                Effect::Send {
                    pile,
                    message: Down::Command(mut command),
                } if command.kind == CommandKind::Stop && recovering.recovery.stops.contains_key(&command.order_id) => {
                    command.command_id = recovering.under_own_id(&command.command_id);
                    outbound.send(&pile, &Down::Command(command));
                }
                Effect::Send {
                    pile,
                    message: time @ Down::Time(_),
                } => {
                    let _gone = outbound.send(&pile, &time);
                }
                _ => {}
            }
        }
        let site = self.writer.site();
        let views: Vec<_> = outcome
            .seen
            .iter()
            .filter_map(|order| site.view_of(order, now))
            .collect();
        self.station
            .displays
            .changed(views.iter().map(|view| view.outlet.pile.clone()));
        self.station.hub.show(views);
    }

    /// A stop is taken, and nothing else that a person asks for.
    fn asked_meanwhile(
        &mut self,
        request: Request,
        answer: AnswerTo,
        outbound: &impl Outbound,
    ) -> Result<(), StoreError> {
        let Some(Input::Stop { order, by }) = request.input else {
            let _gone = answer.send(Err(Unavailable::Recovering.into()));
            return Ok(());
        };
        let now = self.station.clock.now();
        let stop = Input::Stop {
            order: order.clone(),
            by: by.clone(),
        };
        let Some(outcome) = self.writer.rehearse(stop, now, &mut OsRandom)? else {
            let _gone = answer.send(Err(Unavailable::Recovering.into()));
            return self.begin_anew(outbound);
        };
        match &outcome.answer {
            Ok(decided) => {
                self.note_stops(vec![(order, StopCause::Asked { by })])?;
                let reply = (request.respond)(decided, self.writer.site(), now);
                self.perform_meanwhile(outcome, now, outbound);
                let _gone = answer.send(Ok(reply));
            }
            Err(rejected) => {
                let refused = match rejected {
                    // It may be one of those that come back.
                    Rejected::UnknownOrder(_) => Unavailable::Recovering.into(),
                    rejected => Refused::ByRules(rejected.clone()),
                };
                let _gone = answer.send(Err(refused));
            }
        }
        Ok(())
    }

    /// What head office hands back, or why the station may go on.
    pub(super) fn take_step(&mut self, step: Step, outbound: &impl Outbound) -> Result<(), StoreError> {
        match step {
            Step::Tail { tail, answer } => {
                let _gone = match self.take_tail(&tail, outbound) {
                    Err(TailRefused::Store(error)) => return Err(error),
                    taken => answer.send(taken),
                };
            }
            Step::End { by, answer } => {
                let _gone = match self.end(by, outbound) {
                    Err(error @ StoreError::Journal(_)) => answer.send(Err(error)),
                    Err(error) => return Err(error),
                    Ok(ended) => answer.send(Ok(ended)),
                };
            }
        }
        Ok(())
    }

    fn take_tail(&mut self, tail: &Unpacked, outbound: &impl Outbound) -> Result<Head, TailRefused> {
        if self.recovering.is_none() {
            return Err(TailRefused::NotRecovering);
        }
        let clock = Arc::clone(&self.station.clock);
        self.flush(outbound)?;
        let Followed {
            head,
            mono,
            credentials,
        } = self.station.store.follow(tail, &clock.mark())?;
        clock.go_on_after(mono);
        self.station.journal_head.send_replace(head.seq);
        self.change_credentials(credentials, outbound);
        tracing::info!(seq = head.seq, "head office has handed entries back");
        self.begin_anew(outbound)?;
        Ok(head)
    }

    fn end(&mut self, by: Ending, outbound: &impl Outbound) -> Result<Ended, StoreError> {
        if self.recovering.is_none() {
            return Ok(Ended::WasNot);
        }
        if let Ending::HeadOfficeHas(place) = &by
            && !self.station.store.reader()?.has(*place)?
        {
            return Ok(Ended::MoreIsToCome);
        }
        let clock = Arc::clone(&self.station.clock);
        self.flush(outbound)?;
        let alone = match by {
            Ending::HeadOfficeHas(_) => None,
            Ending::Alone(alone) => Some(alone),
        };
        let store = &self.station.store;
        clock.go_on_after(store.reader()?.head()?.0.mono);
        let head = store.end_recovery(alone.clone(), clock.now(), &clock.mark())?;
        let epoch = store.identity().epoch.clone();
        match alone {
            None => tracing::info!(
                seq = head.seq,
                epoch,
                "the station has recovered, and another run of its journal begins"
            ),
            Some(WentOnAlone { reason, by }) => tracing::warn!(
                seq = head.seq,
                epoch,
                by,
                reason,
                "the station goes on without what head office may have beyond the copy: its journal is a branch"
            ),
        }
        self.station.journal_head.send_replace(head.seq);
        let recovering = self.recovering.take();
        self.begin_anew(outbound)?;
        self.take_what_waited(recovering, outbound)?;
        Ok(Ended::GoesOn(head))
    }

    /// Telemetry that is not on disk yet: everything else is.
    fn flush(&mut self, outbound: &impl Outbound) -> Result<(), StoreError> {
        let clock = Arc::clone(&self.station.clock);
        let committed = self.writer.commit(clock.now(), &clock.mark(), true)?;
        self.perform(committed, outbound);
        Ok(())
    }

    /// Everything from disk, as after a restart; and while the station goes on recovering, what is known beside it.
    pub(super) fn begin_anew(&mut self, outbound: &impl Outbound) -> Result<(), StoreError> {
        let (policy, stats) = (self.writer.site().policy().clone(), Arc::clone(&self.station.stats));
        let (writer, _) = Writer::recover(self.station.store.clone(), policy, stats)?;
        self.writer = writer;
        let Some(recovering) = &mut self.recovering else {
            return Ok(());
        };
        recovering.run = OsRandom.bits() as u32;
        let told = recovering.told.iter().cloned();
        let online = recovering
            .online
            .iter()
            .map(|pile| Input::Connected { pile: pile.clone() });
        let stops = recovering.recovery.stops.iter().map(|(order, cause)| Input::StopSent {
            order: order.clone(),
            cause: cause.clone(),
        });
        let known: Vec<Input> = told.chain(online).chain(stops).collect();
        for input in known {
            let now = self.station.clock.now();
            if let Some(outcome) = self.writer.rehearse(input, now, &mut OsRandom)? {
                self.perform_meanwhile(outcome, now, outbound);
            }
        }
        Ok(())
    }

    /// The journal goes on: who is connected, which stops went out, and what piles have said meanwhile.
    fn take_what_waited(&mut self, recovering: Option<Recovering>, outbound: &impl Outbound) -> Result<(), StoreError> {
        let Some(Recovering {
            recovery,
            online,
            kept,
            told,
            ..
        }) = recovering
        else {
            return Ok(());
        };
        let connected = online.into_iter().map(|pile| Input::Connected { pile });
        let stops = recovery.stops.into_iter();
        let stops = stops.map(|(order, cause)| Input::StopSent { order, cause });
        let known = told.into_iter().chain(connected).chain(stops).map(Work::Told);
        let known = known.map(|work| (work, None));
        let kept = kept.into_iter().filter_map(|Queued { waiting, bytes }| match waiting {
            Waiting::Work(work) => Some((work, Some(bytes))),
            _ => None,
        });
        let clock = Arc::clone(&self.station.clock);
        for (work, bytes) in known.chain(kept) {
            if let Some(bytes) = bytes {
                self.is_out(bytes);
            }
            self.writer.take(work, clock.now(), &mut OsRandom)?;
            if self.writer.is_full() {
                let committed = self.writer.commit(clock.now(), &clock.mark(), false)?;
                self.perform(committed, outbound);
            }
        }
        let committed = self.writer.commit(clock.now(), &clock.mark(), false)?;
        self.perform(committed, outbound);
        Ok(())
    }
}

/// Whether it says how things are, and is acknowledged without being kept.
fn is_heartbeat(input: &Input) -> bool {
    match input {
        Input::Message { message, .. } => matches!(message.body, Up::Heartbeat(_)),
        Input::Unreadable { kind, .. } => *kind == Some(UpKind::Heartbeat),
        _ => false,
    }
}

/// The orders that a heartbeat names.
fn names(input: &Input) -> Vec<OrderId> {
    match input {
        Input::Message {
            message: UpMessage {
                body: Up::Heartbeat(heartbeat),
                ..
            },
            ..
        } => {
            let named = heartbeat.connectors.iter().filter_map(|report| report.order_id.clone());
            named.collect()
        }
        _ => Vec::new(),
    }
}
