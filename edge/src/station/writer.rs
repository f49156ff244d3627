//! The single writer without its shell: load what an input needs → decide → gather → one commit → what to do about it.
//!
//! Time and randomness are given to it and it waits for nothing, so the daemon's loop and the simulated world in `lives/`
//! run this very code, the one in real time and the other in virtual time.
//!
//! *Architecture Invariant:* no clock, no runtime, no channel. What [`Writer::commit`] hands back may be seen by others,
//! and nothing before that.

use super::{
    LoopStats, Refused, Reply, RequestKey, Unavailable,
    request::{Guard, Request},
    telemetry::{self, SAMPLES_AT_ONCE, SAMPLES_WITH_FACTS, Telemetry},
};
use crate::{
    clock::Mark,
    credentials::{CredentialChange, Credentials},
    store::{Batch, NewAnswer, Reader, Remembered, Retained, Store, StoreError, caller_of},
    words::{AnswerLog, Unacted},
};
use domain::{
    fact::Fact,
    ids::{OrderId, PileId, Randomness},
    journal::{Hash, Stamp},
    messages::{Ack, Down},
    planted::{Bug, is_planted},
    policy::Policy,
    site::{Answer, Effect, Input, LiveView, Outcome, Site},
    time::{Mono, Now},
    topics::{self, DownKind},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::Ordering},
};

/// The most inputs in one commit.
const BATCH_MAX: usize = 512;
/// So many rows that nothing needs may stay in memory.
const FORGET_AT: usize = 256;

/// Something to decide. `R` is the acknowledgement that waits for the commit, `A` is where an answer goes.
pub enum Work<R, A> {
    /// From the broker: a message whose PUBACK waits for the commit, or a connection's beginning or end.
    Pile {
        /// What it says.
        input: Input,
        /// The same again is answered like the first.
        repeat_key: Option<RequestKey>,
        /// Its acknowledgement.
        receipt: Option<R>,
    },
    /// From the API.
    Asked {
        /// What is asked.
        request: Box<Request>,
        /// May object first.
        guard: Option<Guard>,
        /// Where the answer goes.
        answer: A,
    },
    /// From inside: the clock's trust.
    Told(Input),
    /// A deadline may have passed.
    Due,
}

/// What may be seen once it is on disk, in the order in which it is to be done.
pub struct Committed<R, A> {
    /// Secrets and tokens that changed. Whoever came in with an old one has to come in again.
    pub credentials: Vec<CredentialChange>,
    /// Acknowledgements to release: they say that a message is stored, the `ack` among the effects what became of it.
    pub receipts: Vec<R>,
    /// Acknowledgements to refuse: there is no room to keep what they stand for, and the pile must keep it.
    pub refused: Vec<R>,
    /// What to do.
    pub effects: Vec<Effect>,
    /// Live views to show.
    pub views: Vec<LiveView>,
    /// Piles of whose state something may have changed.
    pub piles: BTreeSet<PileId>,
    /// Answers to give, last: whoever is answered finds the live view as it was answered.
    pub answers: Vec<(A, Result<Reply, Refused>)>,
    /// The number of the last journal entry, if any was added.
    pub journal_head: Option<u64>,
}

/// What a start-up found besides the writer.
pub struct Found {
    /// Where elapsed time stood.
    pub mark: Mark,
    /// Secrets and tokens.
    pub credentials: Credentials,
    /// The number of the last journal entry.
    pub journal_head: u64,
}

/// What a pile's message is, by its name and its content.
enum Said {
    /// Nothing was said under its name. With the name under which it is remembered, if it has one.
    First(Option<RequestKey>),
    /// It was said before, and answered so.
    Again(Remembered),
    /// Another message was said under its name.
    UnderUsedName(RequestKey),
}

/// Decides and commits.
pub struct Writer<R, A> {
    site: Site,
    head: Hash,
    store: Store,
    stats: Arc<LoopStats>,
    telemetry: Telemetry,
    answer_log: AnswerLog,
    /// As on the disk.
    retained: Retained,
    /// How many rows stayed when some were last forgotten.
    kept: usize,
    open: Open<R, A>,
}

/// The batch that is being gathered.
struct Open<R, A> {
    /// The disk as it is until the batch is written.
    reader: Option<Reader>,
    batch: Batch,
    /// Answers to be remembered with it.
    fresh: BTreeMap<String, NewAnswer>,
    effects: Vec<Effect>,
    seen: BTreeSet<OrderId>,
    /// Piles that something came from, or that a fact is about.
    piles: BTreeSet<PileId>,
    receipts: Vec<R>,
    refused: Vec<R>,
    answers: Vec<(A, Result<Reply, Refused>)>,
    /// Messages of piles that were not taken in as they were meant: what the log tells of them.
    unacted: Vec<Unacted>,
    taken: usize,
}

impl<R, A> Default for Open<R, A> {
    fn default() -> Self {
        Self {
            reader: None,
            batch: Batch::default(),
            fresh: BTreeMap::new(),
            effects: Vec::new(),
            seen: BTreeSet::new(),
            piles: BTreeSet::new(),
            receipts: Vec::new(),
            refused: Vec::new(),
            answers: Vec::new(),
            unacted: Vec::new(),
            taken: 0,
        }
    }
}

impl<R, A> Writer<R, A> {
    /// Reads what is on disk, to go on from there.
    ///
    /// # Errors
    /// As [`Store::recover`].
    pub fn recover(store: Store, policy: Policy, stats: Arc<LoopStats>) -> Result<(Self, Found), StoreError> {
        let recovered = store.recover()?;
        let mut head = recovered.head_hash;
        if is_planted(Bug::UnchainedJournal) {
            head = Hash::GENESIS;
        }
        let mut site = Site::new(policy, recovered.head, recovered.rows);
        if let Some(then) = recovered.restored_at {
            site.was_restored_at(then);
        }
        if recovered.just_restored {
            site.was_just_restored();
        }
        if let Mark {
            mono, wall: Some(wall), ..
        } = recovered.mark
        {
            site.was_written_at(Now { mono, wall });
        }
        for (outlet, live) in recovered.live {
            site.restore_live(outlet, live);
        }
        let writer = Self {
            kept: site.rows().in_memory(),
            site,
            head,
            store,
            stats,
            telemetry: Telemetry::default(),
            answer_log: AnswerLog::new(),
            retained: recovered.retained,
            open: Open::default(),
        };
        let found = Found {
            mark: recovered.mark,
            credentials: recovered.credentials,
            journal_head: recovered.head.seq,
        };
        Ok((writer, found))
    }

    /// Decides as if: of what comes of it nothing is gathered, neither facts nor rows, and the site goes on as if it were
    /// true. None where that has come to nothing: it is to be made anew from disk.
    ///
    /// # Errors
    /// As [`Writer::take`].
    pub(super) fn rehearse(
        &mut self,
        input: Input,
        now: Now,
        random: &mut dyn Randomness,
    ) -> Result<Option<Outcome>, StoreError> {
        let decided = self.handle(input, now, random);
        self.open = Open::default();
        let _not_written = self.site.take_changes();
        match decided {
            Err(StoreError::Violation(violation)) => {
                tracing::warn!(%violation, "what was decided as if has led nowhere");
                Ok(None)
            }
            // Rows that nothing needs pile up: none is forgotten here, since the disk has them as they were.
            Ok(_) if self.site.rows().in_memory() >= self.kept + FORGET_AT => Ok(None),
            decided => decided.map(Some),
        }
    }

    /// What the station knows. Between commits it may know more than is on disk: not for others to see.
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// When [`Work::Due`] is due, by elapsed time.
    pub fn next_deadline(&self) -> Option<Mono> {
        self.site.next_deadline()
    }

    /// When telemetry must be written, by elapsed time: then a [`Writer::commit`] of nothing does it.
    pub fn telemetry_due(&self) -> Option<Mono> {
        self.telemetry.due()
    }

    /// How many inputs the next commit has.
    pub fn taken(&self) -> usize {
        self.open.taken
    }

    /// Whether the next commit takes no more.
    pub fn is_full(&self) -> bool {
        self.open.taken >= BATCH_MAX
    }

    /// Decides one piece of work; what comes of it waits for [`Writer::commit`].
    ///
    /// # Errors
    /// A row could not be read: the process must start again from disk.
    pub fn take(&mut self, work: Work<R, A>, now: Now, random: &mut dyn Randomness) -> Result<(), StoreError> {
        let outcome = self.decide(work, now, random)?;
        self.open.taken += 1;
        if let Some(outcome) = outcome {
            let of_one_moment = |(stamp, _): &(Stamp, Fact)| (stamp.at, stamp.mono) == (now.wall, now.mono);
            // By this the feed tells where a step ends.
            debug_assert!(outcome.facts.iter().all(of_one_moment), "a step has one time");
            let piles = outcome.facts.iter().filter_map(|(_, fact)| fact.pile());
            self.open.piles.extend(piles.cloned());
            self.open.batch.facts.extend(outcome.facts);
            self.open.effects.extend(outcome.effects);
            self.open.seen.extend(outcome.seen);
        }
        Ok(())
    }

    /// Makes everything durable that was taken since the last commit, and some telemetry with it: more of it if it is due,
    /// and all if this is the last commit of the run. `mark` is where elapsed time stands.
    ///
    /// # Errors
    /// Nothing of it took effect, nobody may be answered, and the process must start again from disk.
    pub fn commit(&mut self, now: Now, mark: &Mark, last: bool) -> Result<Committed<R, A>, StoreError> {
        let mut open = std::mem::take(&mut self.open);
        open.reader = None;
        open.batch.remembered.extend(std::mem::take(&mut open.fresh));
        self.retain(&mut open);
        let journal_head = self.write(&mut open.batch, now, mark, last)?;
        for (stamp, fact) in &open.batch.facts {
            crate::steps::log(*stamp, fact);
        }
        for unacted in &open.unacted {
            self.answer_log.log(unacted, now.mono);
        }
        self.stats.inputs.fetch_add(open.taken as u64, Ordering::Relaxed);
        let seen = open.seen.iter();
        let views: Vec<LiveView> = seen.filter_map(|order| self.site.view_of(order, now)).collect();
        open.piles.extend(views.iter().map(|view| view.outlet.pile.clone()));
        self.forget();
        Ok(Committed {
            credentials: open.batch.credentials,
            receipts: open.receipts,
            refused: open.refused,
            effects: open.effects,
            views,
            piles: open.piles,
            answers: open.answers,
            journal_head,
        })
    }

    /// What subscribers are to get at once after a restart too is written before anybody gets it.
    fn retain(&mut self, open: &mut Open<R, A>) {
        let sent = open.effects.iter().filter_map(|effect| match effect {
            Effect::Send { pile, message } if message.kind().is_retained() => {
                Some((topics::down(pile, message.kind()), message.to_json()))
            }
            _ => None,
        });
        let gone = open.batch.credentials.iter().filter_map(|change| match change {
            CredentialChange::RemovePile(pile) => Some((topics::down(pile, DownKind::Price), Vec::new())),
            _ => None,
        });
        for (topic, payload) in sent.chain(gone) {
            if self.retained.set(&topic, &payload) {
                let kept = self.retained.get(&topic).map(<[u8]>::to_vec);
                open.batch.retained.push((topic, kept));
            }
        }
    }

    /// Forgets rows that nothing open needs, some at a time: to find them, all that are in memory are looked at. Raw
    /// messages can be large, so quarantined ones do not wait.
    fn forget(&mut self) {
        let rows = self.site.rows();
        if rows.in_memory() >= self.kept + FORGET_AT || !rows.quarantine.is_empty() {
            self.site.evict();
            self.kept = self.site.rows().in_memory();
        }
    }

    fn write(&mut self, batch: &mut Batch, now: Now, mark: &Mark, last: bool) -> Result<Option<u64>, StoreError> {
        let telemetry_due = self.telemetry.due().is_some_and(|due| due <= now.mono) || last;
        if !batch.is_urgent() && !telemetry_due {
            return Ok(None);
        }
        let most = match (last, telemetry_due) {
            (true, _) => usize::MAX,
            (false, true) => SAMPLES_AT_ONCE,
            (false, false) => SAMPLES_WITH_FACTS,
        };
        self.telemetry.move_to(batch, &self.site, most);
        batch.changes = self.site.take_changes();
        if batch.is_empty() && !last {
            return Ok(None);
        }
        self.head = self.store.commit(batch, self.site.rows(), self.head, mark)?;
        self.stats.commits.fetch_add(1, Ordering::Relaxed);
        self.stats.facts.fetch_add(batch.facts.len() as u64, Ordering::Relaxed);
        Ok(batch.facts.last().map(|(stamp, _)| stamp.seq))
    }

    /// Decides one input; `None` if it was answered from memory of an earlier one.
    fn decide(
        &mut self,
        work: Work<R, A>,
        now: Now,
        random: &mut dyn Randomness,
    ) -> Result<Option<Outcome>, StoreError> {
        match work {
            Work::Pile {
                input,
                repeat_key,
                receipt,
            } => {
                let outcome = self.pile_says(input, repeat_key, now, random)?;
                // What cannot be kept is not acknowledged: then the pile keeps it.
                let receipts = match &outcome.answer {
                    Err(rejected) if rejected.stays_with_pile() => &mut self.open.refused,
                    _ => &mut self.open.receipts,
                };
                receipts.extend(receipt);
                Ok(Some(outcome))
            }
            Work::Asked { request, guard, answer } => self.asked(*request, guard, answer, now, random),
            Work::Told(input) => self.handle(input, now, random).map(Some),
            Work::Due => self.handle(Input::Tick, now, random).map(Some),
        }
    }

    fn pile_says(
        &mut self,
        input: Input,
        repeat_key: Option<RequestKey>,
        now: Now,
        random: &mut dyn Randomness,
    ) -> Result<Outcome, StoreError> {
        let pile = match &input {
            Input::Message { pile, .. } | Input::Unreadable { pile, .. } => Some(pile.clone()),
            _ => None,
        };
        let said = match &repeat_key {
            Some(key) => self.said_before(key, now)?,
            None => Said::First(None),
        };
        let key = match (said, pile) {
            (Said::Again(known), Some(pile)) => {
                let ack = serde_json::from_str(&known.body).map_err(|error| StoreError::Io(error.to_string()))?;
                return Ok(answered_like_the_first(pile, ack));
            }
            (Said::Again(_), None) => None,
            (Said::First(key), _) => key,
            (Said::UnderUsedName(key), pile) => {
                self.stats.msg_ids_reused.fetch_add(1, Ordering::Relaxed);
                let pile = pile.as_ref().map_or("", PileId::as_str);
                tracing::warn!(
                    pile,
                    "another message came under a msg_id that was used before: does the pile give each start a boot_id of its own?"
                );
                Some(key)
            }
        };
        let outcome = self.handle(input, now, random)?;
        if let (Some(key), Ok(Answer::Ack(ack))) = (key, &outcome.answer) {
            let body = serde_json::to_string(ack).map_err(|error| StoreError::Io(error.to_string()))?;
            self.remember(key, false, 0, body, now);
        }
        Ok(outcome)
    }

    /// Whether a pile has said this before. A pile that uses a name again for something else, as one may whose counts
    /// begin anew, has said another message: it is taken in, and remembered beside the first.
    fn said_before(&mut self, key: &RequestKey, now: Now) -> Result<Said, StoreError> {
        let Some(first) = self.remembered(&key.key, now)? else {
            return Ok(Said::First(Some(key.clone())));
        };
        if first.body_hash == key.body_hash {
            return Ok(Said::Again(first));
        }
        let own = RequestKey {
            key: format!("{}\n{}", key.key, key.body_hash),
            body_hash: key.body_hash.clone(),
        };
        Ok(match self.remembered(&own.key, now)? {
            Some(known) => Said::Again(known),
            None => Said::UnderUsedName(own),
        })
    }

    fn asked(
        &mut self,
        request: Request,
        guard: Option<Guard>,
        answer: A,
        now: Now,
        random: &mut dyn Randomness,
    ) -> Result<Option<Outcome>, StoreError> {
        let Request {
            input,
            key,
            credentials,
            respond,
        } = request;
        if let Some(key) = &key
            && let Some(known) = self.remembered(&key.key, now)?
        {
            let answered = if known.body_hash == key.body_hash {
                Ok(Reply {
                    tag: known.status,
                    body: known.body,
                    body_remembered: None,
                    replayed: true,
                })
            } else {
                Err(Unavailable::KeyReused.into())
            };
            self.open.answers.push((answer, answered));
            return Ok(None);
        }
        let about_money = input.as_ref().is_some_and(Input::is_about_money);
        if about_money
            && let Some(key) = &key
            && let Err(full) = self.has_room_for_money(key, now)?
        {
            self.stats.answers_refused.fetch_add(1, Ordering::Relaxed);
            self.open.answers.push((answer, Err(full.into())));
            return Ok(None);
        }
        let objected = guard.map_or(Ok(()), |guard| guard(&self.site, &self.open.batch.credentials));
        if let Err(objection) = objected {
            self.open.answers.push((answer, Err(objection.into())));
            return Ok(None);
        }
        let outcome = match input {
            Some(input) => self.handle(input, now, random)?,
            None => Outcome::default(),
        };
        // What was refused decided nothing: the same request may be made again with the same key.
        let replied = match &outcome.answer {
            Ok(decided) => Ok(respond(decided, &self.site, now)),
            Err(rejected) => Err(rejected.clone().into()),
        };
        if let Ok(reply) = &replied {
            self.open.batch.credentials.extend(credentials);
            if let Some(key) = key {
                let body = reply.body_remembered.as_ref().unwrap_or(&reply.body).clone();
                self.remember(key, about_money, reply.tag, body, now);
            }
        }
        self.open.answers.push((answer, replied));
        Ok(Some(outcome))
    }

    /// Whether one more answer about money can be kept for this caller. None of a day is forgotten for it: asked again, what
    /// it answered would be booked twice.
    fn has_room_for_money(&mut self, key: &RequestKey, now: Now) -> Result<Result<(), Unavailable>, StoreError> {
        let caller = key.caller();
        let fresh = self.open.fresh.range(caller.to_owned()..);
        let fresh = fresh.take_while(|(key, _)| key.starts_with(caller));
        let fresh = fresh.filter(|(key, new)| new.about_money && caller_of(key) == caller);
        let (fresh, most) = (fresh.count() as u64, self.store.answer_budget().about_money_max);
        let reader = before(&mut self.open.reader, &self.store)?;
        let until = reader.no_room_until(caller, true, fresh, most, now.mono)?;
        Ok(until.map_or(Ok(()), |until| {
            let retry_after_s = until.ms_since(now.mono).div_ceil(1_000);
            Err(Unavailable::AnswersFull { most, retry_after_s })
        }))
    }

    fn remember(&mut self, key: RequestKey, about_money: bool, status: u16, body: String, now: Now) {
        let RequestKey { key, body_hash } = key;
        let answer = Remembered {
            body_hash,
            status,
            body,
            at: now.mono,
        };
        let new = NewAnswer { answer, about_money };
        self.open.fresh.insert(key, new);
    }

    fn remembered(&mut self, key: &str, now: Now) -> Result<Option<Remembered>, StoreError> {
        match self.open.fresh.get(key) {
            Some(known) => Ok(Some(known.answer.clone())),
            None => before(&mut self.open.reader, &self.store)?.remembered(key, now.mono),
        }
    }

    fn handle(&mut self, input: Input, now: Now, random: &mut dyn Randomness) -> Result<Outcome, StoreError> {
        let mut missing = self.site.needs(&input);
        if !missing.is_empty() {
            let reader = before(&mut self.open.reader, &self.store)?;
            while !missing.is_empty() {
                for key in &missing {
                    self.site.load(reader.load(key)?);
                }
                missing = self.site.needs(&input);
            }
        }
        self.open.piles.extend(input.pile().cloned());
        let said = telemetry::Said::of(&input);
        let outcome = self.site.handle(now, random, input)?;
        if let Some(telemetry::Said { pile, kind, reports }) = said {
            self.open.unacted.extend(Unacted::of(&pile, kind, &outcome));
            self.telemetry.note(&self.site, &pile, reports, now);
        }
        Ok(outcome)
    }
}

/// What was on the disk before this batch: one snapshot for all of it.
fn before<'a>(reader: &'a mut Option<Reader>, store: &Store) -> Result<&'a Reader, StoreError> {
    match reader {
        Some(reader) => Ok(reader),
        none => Ok(none.insert(store.reader()?)),
    }
}

fn answered_like_the_first(pile: PileId, ack: Ack) -> Outcome {
    let effects = vec![Effect::Send {
        pile,
        message: Down::Ack(ack),
    }];
    Outcome {
        effects,
        ..Outcome::default()
    }
}
