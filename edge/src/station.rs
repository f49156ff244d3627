//! The station's single writer: drain what waits → load what it needs → decide → one commit → effects, answers, PUBACKs.
//! Batches form by what queued up during the last fsync, never by a timer that delays a lone request.

use crate::{
    clock::SiteClock,
    credentials::{CredentialChange, Credentials},
    hub::Hub,
    store::{Batch, Remembered, SampleRow, Store, StoreError},
};
use broker::Receipt;
use domain::{
    ids::{Outlet, PileId, Randomness},
    journal::Hash,
    messages::{Ack, AckResult, ConnectorReport, Down, Up},
    policy::Policy,
    site::{Answer, Effect, Input, Outcome, Rejected, Site},
    time::Now,
    topics::UpKind,
};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::{mpsc, oneshot, watch};

/// The most inputs in one commit.
const BATCH_MAX: usize = 512;
/// The most inputs that may wait; more are refused with a clear answer.
const WAITING_MAX: usize = 16_384;
/// The most bytes of piles' messages that may wait; more are refused as if there were too many.
const WAITING_BYTES_MAX: usize = 64 << 20;
/// The most looks that may wait; others wait their turn outside.
const LOOKS_MAX: usize = 64;
/// How often telemetry is written if nothing else is, in milliseconds of the world's time.
const TELEMETRY_EVERY: Duration = Duration::from_secs(30);

/// An HTTP answer as it is given and remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The JSON text.
    pub body: String,
    /// What is remembered in place of `body`, where that holds a secret.
    pub body_remembered: Option<String>,
    /// It was given before, to the same request.
    pub replayed: bool,
}

impl Response {
    /// An answer that may be remembered as it is.
    pub fn new(status: u16, body: String) -> Self {
        Self {
            status,
            body,
            body_remembered: None,
            replayed: false,
        }
    }
}

/// Why a request did not get as far as the station's rules.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// Too much is waiting.
    #[error("the station is busy: {WAITING_MAX} requests are waiting; try again in a moment")]
    Busy,
    /// The daemon is ending.
    #[error("the station is shutting down; try again in a moment")]
    Stopping,
    /// The same key came with another request.
    #[error("this Idempotency-Key was used for another request; use a new one")]
    KeyReused,
}

/// Who asked before, and what: the same key with the same body gets the same answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestKey {
    /// Caller, route and the caller's key.
    pub key: String,
    /// SHA-256 of the body, hex.
    pub body_hash: String,
}

impl RequestKey {
    /// The key of an HTTP request.
    pub fn new(caller: &str, route: &str, key: &str, body: &[u8]) -> Self {
        let hex = |digest: &[u8]| digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        Self {
            key: format!("http\n{caller}\n{route}\n{key}"),
            body_hash: hex(&Sha256::digest(body)),
        }
    }
}

/// Makes the HTTP answer, in the loop, right after the decision and before the commit. It sees the rows as decided.
pub type Respond = Box<dyn FnOnce(Result<&Answer, &Rejected>, &Site, Now) -> Response + Send>;

/// Looks at the rows, and at the credentials that change with the same commit, before a request is decided. An answer
/// from it refuses the request: nothing is decided, and the answer is not remembered.
pub type Guard = Box<dyn FnOnce(&Site, &[CredentialChange]) -> Option<Response> + Send>;

/// A request from the API.
pub struct Request {
    /// What is asked; `None` where only credentials change.
    pub input: Option<Input>,
    /// For idempotency.
    pub key: Option<RequestKey>,
    /// Committed with it, unless the input is refused.
    pub credentials: Vec<CredentialChange>,
    /// Makes the answer.
    pub respond: Respond,
}

enum Work {
    /// From the broker: a message whose PUBACK waits for the commit, or a connection's beginning or end.
    Pile {
        input: Input,
        repeat_key: Option<RequestKey>,
        receipt: Option<Receipt>,
    },
    /// From the API.
    Asked {
        request: Box<Request>,
        guard: Option<Guard>,
        answer: oneshot::Sender<Result<Response, Unavailable>>,
    },
    /// From inside: the clock's trust.
    Told(Input),
    /// The loop's own: a deadline may have passed.
    Due,
    /// Write what is waiting and end.
    Stop(oneshot::Sender<()>),
}

/// Something that waits, and how many bytes of a pile's message it holds.
struct Queued {
    work: Work,
    bytes: usize,
}

impl From<Work> for Queued {
    fn from(work: Work) -> Self {
        Self { work, bytes: 0 }
    }
}

/// Counters of the loop, for `/metrics`.
#[derive(Debug, Default)]
pub struct LoopStats {
    /// Inputs decided.
    pub inputs: AtomicU64,
    /// Commits made.
    pub commits: AtomicU64,
    /// Facts journaled.
    pub facts: AtomicU64,
    /// Inputs refused because too many waited.
    pub refused_busy: AtomicU64,
    /// Messages of a kind that the contract does not know.
    pub unknown_kinds: AtomicU64,
    /// Messages that were not acted on because their `msg_id` was used for another.
    pub msg_ids_reused: AtomicU64,
    /// Messages to piles that were not connected any more.
    pub undelivered: AtomicU64,
    /// Beats: counts up while the loop lives, for the watchdog.
    pub beats: AtomicU64,
}

/// A live look at piles and connectors for the API, taken from the loop.
pub type Inspect = Box<dyn FnOnce(&Site, Now) + Send>;

/// A look that waits until everything that was said before it has been committed: whoever says something and then looks
/// sees what it led to.
struct Look {
    /// How many inputs had been pushed.
    after: u64,
    look: Inspect,
}

/// The way in: cheap to clone.
#[derive(Clone)]
pub struct Station {
    work: mpsc::UnboundedSender<Queued>,
    inspect: mpsc::Sender<Look>,
    waiting: Arc<AtomicUsize>,
    waiting_bytes: Arc<AtomicUsize>,
    pushed: Arc<AtomicU64>,
    journal_head: Arc<watch::Sender<u64>>,
    /// What the loop has done.
    pub stats: Arc<LoopStats>,
    /// Snapshots.
    pub store: Store,
    /// Live views.
    pub hub: Arc<Hub>,
    /// Secrets and tokens.
    pub credentials: Arc<Credentials>,
    /// The station's clocks.
    pub clock: Arc<SiteClock>,
}

/// What is kept of a pile's message for after the decision.
struct Said {
    pile: PileId,
    kind: UpKind,
    /// Of a heartbeat.
    reports: Vec<ConnectorReport>,
}

impl Said {
    fn of(input: &Input) -> Option<Self> {
        match input {
            Input::Message { pile, message } => Some(Self {
                pile: pile.clone(),
                kind: match &message.body {
                    Up::Boot(_) => UpKind::Boot,
                    Up::Heartbeat(_) => UpKind::Heartbeat,
                    Up::Reply(_) => UpKind::Reply,
                    Up::Record(_) => UpKind::Record,
                    Up::Event(_) => UpKind::Event,
                    Up::Card(_) => UpKind::Card,
                },
                reports: match &message.body {
                    Up::Heartbeat(heartbeat) => heartbeat.connectors.clone(),
                    _ => Vec::new(),
                },
            }),
            Input::Unreadable { pile, kind, .. } => Some(Self {
                pile: pile.clone(),
                kind: *kind,
                reports: Vec::new(),
            }),
            _ => None,
        }
    }
}

/// Sends to piles and ends their connections. Implemented over the broker.
pub trait Outbound: Send + 'static {
    /// Publishes to a pile that is connected; `false` if it is not.
    fn send(&self, pile: &PileId, message: &Down) -> bool;
    /// Ends a pile's connections and forgets its session.
    fn disconnect(&self, pile: &PileId);
}

struct OsRandom;

impl Randomness for OsRandom {
    fn bits(&mut self) -> u128 {
        let mut bytes = [0_u8; 16];
        getrandom::fill(&mut bytes).expect("the operating system gives randomness once it has booted");
        u128::from_le_bytes(bytes)
    }
}

/// The loop, ready to run.
pub struct Loop {
    site: Site,
    head: Hash,
    work: mpsc::UnboundedReceiver<Queued>,
    inspect: mpsc::Receiver<Look>,
    /// A look whose turn has not come.
    held: Option<Look>,
    /// How many inputs have been taken.
    taken: u64,
    station: Station,
    telemetry: Telemetry,
}

/// Telemetry since it was last written.
#[derive(Default)]
struct Telemetry {
    outlets: BTreeSet<Outlet>,
    samples: Vec<SampleRow>,
    due: Option<tokio::time::Instant>,
}

impl Station {
    /// Reads what is on disk and makes the loop that goes on from there.
    ///
    /// # Errors
    /// As [`Store::recover`].
    pub fn recover(
        store: Store,
        policy: Policy,
        clock: impl FnOnce(&crate::clock::Mark) -> SiteClock,
    ) -> Result<(Self, Loop), StoreError> {
        let recovered = store.recover()?;
        let mut site = Site::new(policy, recovered.head, recovered.rows);
        for (outlet, live) in recovered.live {
            site.restore_live(outlet, live);
        }
        let clock = clock(&recovered.mark);
        let (work, work_in) = mpsc::unbounded_channel();
        let (inspect, inspect_in) = mpsc::channel(LOOKS_MAX);
        let station = Self {
            work,
            inspect,
            waiting: Arc::default(),
            waiting_bytes: Arc::default(),
            pushed: Arc::default(),
            journal_head: Arc::new(watch::Sender::new(recovered.head.seq)),
            stats: Arc::default(),
            store,
            // Numbers of frames go on rising across restarts, so that a reader can resume where it was.
            hub: Arc::new(Hub::numbered_after(
                u64::try_from(clock.now().wall.0).unwrap_or(0).saturating_mul(1_000),
            )),
            credentials: Arc::new(recovered.credentials),
            clock: Arc::new(clock),
        };
        let own = station.clone();
        let head = recovered.head_hash;
        let telemetry = Telemetry::default();
        Ok((
            station,
            Loop {
                site,
                head,
                work: work_in,
                inspect: inspect_in,
                held: None,
                taken: 0,
                station: own,
                telemetry,
            },
        ))
    }

    /// Takes a pile's message of so many bytes in. The receipt is resolved after the commit; it is dropped, which closes the connection
    /// without PUBACK, if the station is too busy or ending.
    pub fn pile_says(&self, input: Input, repeat_key: Option<RequestKey>, receipt: Receipt, bytes: usize) {
        if self.waiting.load(Ordering::Relaxed) >= WAITING_MAX
            || self.waiting_bytes.load(Ordering::Relaxed).saturating_add(bytes) > WAITING_BYTES_MAX
        {
            self.stats.refused_busy.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let work = Work::Pile {
            input,
            repeat_key,
            receipt: Some(receipt),
        };
        self.push(Queued { work, bytes });
    }

    /// Takes the beginning or end of a pile's connection in. Never refused: their number is bounded by the broker's
    /// connections.
    pub fn pile_connection(&self, input: Input) {
        self.push(Work::Pile {
            input,
            repeat_key: None,
            receipt: None,
        });
    }

    /// Tells the site something from inside the daemon.
    pub fn tell(&self, input: Input) {
        self.push(Work::Told(input));
    }

    /// Asks, and waits until the answer is true on disk.
    ///
    /// # Errors
    /// [`Unavailable`]: nothing was decided. A refusal by the station's rules is an answer.
    pub async fn ask(&self, request: Request) -> Result<Response, Unavailable> {
        self.ask_guarded(request, None).await
    }

    /// As [`Station::ask`]; a new request (not the repetition of one) is decided only if `guard` has no objection.
    ///
    /// # Errors
    /// As [`Station::ask`].
    pub async fn ask_guarded(&self, request: Request, guard: Option<Guard>) -> Result<Response, Unavailable> {
        if self.waiting.load(Ordering::Relaxed) >= WAITING_MAX {
            self.stats.refused_busy.fetch_add(1, Ordering::Relaxed);
            return Err(Unavailable::Busy);
        }
        let (answer, answered) = oneshot::channel();
        self.push(Work::Asked {
            request: Box::new(request),
            guard,
            answer,
        });
        answered.await.unwrap_or(Err(Unavailable::Stopping))
    }

    /// Looks at what is only in memory: presence, last reports, deadlines.
    ///
    /// # Errors
    /// [`Unavailable::Stopping`].
    pub async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Site, Now) -> T + Send + 'static,
    ) -> Result<T, Unavailable> {
        let (answer, answered) = oneshot::channel();
        let look: Inspect = Box::new(move |site, now| {
            let _gone = answer.send(look(site, now));
        });
        let after = self.pushed.load(Ordering::SeqCst);
        let look = Look { after, look };
        self.inspect.send(look).await.map_err(|_| Unavailable::Stopping)?;
        answered.await.map_err(|_| Unavailable::Stopping)
    }

    /// Follows the number of the last journal entry on disk.
    pub fn journal_head(&self) -> watch::Receiver<u64> {
        self.journal_head.subscribe()
    }

    /// How many inputs wait.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Writes what is waiting and ends the loop.
    pub async fn stop(&self) {
        let (done, ended) = oneshot::channel();
        self.push(Work::Stop(done));
        let _gone = ended.await;
    }

    fn push(&self, work: impl Into<Queued>) {
        let work = work.into();
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.waiting_bytes.fetch_add(work.bytes, Ordering::Relaxed);
        self.pushed.fetch_add(1, Ordering::SeqCst);
        // A loop that has ended takes nothing: the receipt or answer in `work` is dropped, which says so.
        let _ended = self.work.send(work);
    }
}

/// What waits for the commit of one input.
enum Waiting {
    Receipt(Receipt),
    Answer(
        oneshot::Sender<Result<Response, Unavailable>>,
        Result<Response, Unavailable>,
    ),
}

impl Loop {
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
        loop {
            let deadline = self.site.next_deadline().map(|at| self.station.clock.until(at));
            let telemetry_due = self.telemetry.due;
            let first = tokio::select! {
                biased;
                // However much work there is, what is due comes first: a start times out on time at a busy station too.
                () = std::future::ready(()), if deadline == Some(Duration::ZERO) => Some(Work::Due.into()),
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
                () = tokio::time::sleep(deadline.unwrap_or_default()), if deadline.is_some() => {
                    Some(Work::Due.into())
                }
                () = tokio::time::sleep_until(telemetry_due.unwrap_or_else(tokio::time::Instant::now)), if telemetry_due.is_some() => None,
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
    fn look_around(&mut self) {
        for _ in 0..LOOKS_MAX {
            let Some(next) = self.held.take().or_else(|| self.inspect.try_recv().ok()) else {
                return;
            };
            if next.after > self.taken {
                self.held = Some(next);
                return;
            }
            (next.look)(&self.site, self.station.clock.now());
        }
    }

    /// One batch. Returns whom to tell if it was the last.
    fn turn(
        &mut self,
        first: Option<Queued>,
        outbound: &impl Outbound,
    ) -> Result<Option<oneshot::Sender<()>>, StoreError> {
        let mut batch = Batch::default();
        let mut fresh: BTreeMap<String, Remembered> = BTreeMap::new();
        let mut effects = Vec::new();
        let mut waiting = Vec::new();
        let mut seen = BTreeSet::new();
        let mut stop = None;
        let mut next = first;
        let mut taken = 0;
        while let Some(Queued { work, bytes }) = next.take() {
            if !matches!(work, Work::Due) {
                self.taken += 1;
                self.station.waiting.fetch_sub(1, Ordering::Relaxed);
                self.station.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            }
            let work_input = match work {
                Work::Stop(done) => {
                    stop = Some(done);
                    break;
                }
                other => other,
            };
            let outcome = self.decide(work_input, &mut fresh, &mut batch, &mut waiting)?;
            if let Some(outcome) = outcome {
                batch.facts.extend(outcome.facts);
                effects.extend(outcome.effects);
                seen.extend(outcome.seen);
            }
            taken += 1;
            if taken < BATCH_MAX {
                next = self.work.try_recv().ok();
            }
        }
        batch.remembered.extend(fresh);
        self.commit(&mut batch, stop.is_some())?;
        let stats = &self.station.stats;
        stats.inputs.fetch_add(taken as u64, Ordering::Relaxed);
        self.perform(batch, effects, waiting, seen, outbound);
        Ok(stop)
    }

    /// Decides one input; `None` if it was answered from memory of an earlier one.
    fn decide(
        &mut self,
        work: Work,
        fresh: &mut BTreeMap<String, Remembered>,
        batch: &mut Batch,
        waiting: &mut Vec<Waiting>,
    ) -> Result<Option<Outcome>, StoreError> {
        match work {
            Work::Pile {
                input,
                repeat_key,
                receipt,
            } => {
                let pile = match &input {
                    Input::Message { pile, .. } | Input::Unreadable { pile, .. } => Some(pile.clone()),
                    _ => None,
                };
                // A record carries money: it is judged by its content, whatever number it has.
                let (msg_id, is_record) = match &input {
                    Input::Message { message, .. } => {
                        (message.common.msg_id.clone(), matches!(message.body, Up::Record(_)))
                    }
                    Input::Unreadable { fault, kind, .. } => (fault.msg_id.clone(), *kind == UpKind::Record),
                    _ => (None, false),
                };
                let known = match &repeat_key {
                    Some(key) => self.remembered(&key.key, fresh)?,
                    None => None,
                };
                waiting.extend(receipt.map(Waiting::Receipt));
                let said_before = |known: &Remembered| repeat_key.as_ref().map(|key| known.body_hash == key.body_hash);
                let said_before = known.as_ref().and_then(said_before);
                if let (Some(known), Some(pile)) = (
                    known.filter(|_| said_before == Some(true) || (said_before == Some(false) && !is_record)),
                    pile,
                ) {
                    let ack = if said_before == Some(true) {
                        serde_json::from_str(&known.body).map_err(|error| StoreError::Io(error.to_string()))?
                    } else {
                        let msg_ids_reused = &self.station.stats.msg_ids_reused;
                        msg_ids_reused.fetch_add(1, Ordering::Relaxed);
                        Ack {
                            msg_id,
                            result: AckResult::Rejected,
                            order_id: None,
                            fee: None,
                            detail: "msg_id was used for another message".to_owned(),
                        }
                    };
                    let effects = vec![Effect::Send {
                        pile,
                        message: Down::Ack(ack),
                    }];
                    return Ok(Some(Outcome {
                        effects,
                        ..Outcome::default()
                    }));
                }
                let outcome = self.handle(input)?;
                // What was remembered first stands.
                if let (Some(key), Ok(Answer::Ack(ack))) =
                    (repeat_key.filter(|_| said_before.is_none()), &outcome.answer)
                {
                    let body = serde_json::to_string(ack).map_err(|error| StoreError::Io(error.to_string()))?;
                    let at = self.station.clock.now().mono;
                    fresh.insert(
                        key.key,
                        Remembered {
                            body_hash: key.body_hash,
                            status: 0,
                            body,
                            at,
                        },
                    );
                }
                Ok(Some(outcome))
            }
            Work::Asked { request, guard, answer } => {
                let Request {
                    input,
                    key,
                    credentials,
                    respond,
                } = *request;
                if let Some(key) = &key
                    && let Some(known) = self.remembered(&key.key, fresh)?
                {
                    let answered = if known.body_hash == key.body_hash {
                        Ok(Response {
                            status: known.status,
                            body: known.body,
                            body_remembered: None,
                            replayed: true,
                        })
                    } else {
                        Err(Unavailable::KeyReused)
                    };
                    waiting.push(Waiting::Answer(answer, answered));
                    return Ok(None);
                }
                if let Some(objection) = guard.and_then(|guard| guard(&self.site, &batch.credentials)) {
                    waiting.push(Waiting::Answer(answer, Ok(objection)));
                    return Ok(None);
                }
                let outcome = match input {
                    Some(input) => self.handle(input)?,
                    None => Outcome::default(),
                };
                let now = self.station.clock.now();
                let response = respond(outcome.answer.as_ref(), &self.site, now);
                if outcome.answer.is_ok() {
                    batch.credentials.extend(credentials);
                }
                // "Not now" is no answer to remember: the same request may be tried again with the same key.
                if let Some(key) = key.filter(|_| response.status != 503) {
                    let body = response
                        .body_remembered
                        .clone()
                        .unwrap_or_else(|| response.body.clone());
                    let status = response.status;
                    fresh.insert(
                        key.key,
                        Remembered {
                            body_hash: key.body_hash,
                            status,
                            body,
                            at: now.mono,
                        },
                    );
                }
                waiting.push(Waiting::Answer(answer, Ok(response)));
                Ok(Some(outcome))
            }
            Work::Told(input) => self.handle(input).map(Some),
            Work::Due => self.handle(Input::Tick).map(Some),
            Work::Stop(_) => Ok(None),
        }
    }

    fn remembered(&self, key: &str, fresh: &BTreeMap<String, Remembered>) -> Result<Option<Remembered>, StoreError> {
        match fresh.get(key) {
            Some(known) => Ok(Some(known.clone())),
            None => {
                let now = self.station.clock.now().mono;
                self.station.store.reader()?.remembered(key, now)
            }
        }
    }

    fn handle(&mut self, input: Input) -> Result<Outcome, StoreError> {
        let mut missing = self.site.needs(&input);
        if !missing.is_empty() {
            let reader = self.station.store.reader()?;
            while !missing.is_empty() {
                for key in &missing {
                    reader.load(key, self.site.load())?;
                }
                missing = self.site.needs(&input);
            }
        }
        let now = self.station.clock.now();
        let said = Said::of(&input);
        let outcome = self.site.handle(now, &mut OsRandom, input);
        for (stamp, fact) in &outcome.facts {
            crate::steps::log(*stamp, fact);
        }
        if let Some(Said { pile, kind, reports }) = said {
            crate::words::log_answer(&pile, kind, &outcome);
            self.note_telemetry(&pile, reports, now);
        }
        Ok(outcome)
    }

    /// Keeps what a heartbeat reported, where it was taken: of a connector that is known, and not from the past.
    fn note_telemetry(&mut self, pile: &PileId, reports: Vec<ConnectorReport>, now: Now) {
        let known = self.site.rows().piles.get(pile).filter(|pile| !pile.removed);
        for report in reports {
            let outlet = Outlet {
                pile: pile.clone(),
                connector: report.no,
            };
            let is_known = known.is_some_and(|pile| pile.connectors.contains_key(&report.no));
            let taken = self.site.outlet(&outlet).is_some_and(|live| live.received == now.mono);
            if !is_known || !taken {
                continue;
            }
            self.telemetry.outlets.insert(outlet.clone());
            self.telemetry.samples.push(SampleRow {
                at: now.wall,
                outlet,
                report,
            });
        }
        if self.telemetry.due.is_none() && !self.telemetry.outlets.is_empty() {
            self.telemetry.due = Some(tokio::time::Instant::now() + TELEMETRY_EVERY);
        }
    }

    /// Commits if anybody waits for it, or if telemetry is due. Telemetry goes along with a commit that happens anyway.
    fn commit(&mut self, batch: &mut Batch, last: bool) -> Result<(), StoreError> {
        let telemetry_due = self.telemetry.due.is_some_and(|due| due <= tokio::time::Instant::now()) || last;
        if !batch.is_urgent() && !telemetry_due {
            return Ok(());
        }
        let outlets = std::mem::take(&mut self.telemetry.outlets);
        batch.live.extend(outlets.into_iter().filter_map(|outlet| {
            let live = self.site.outlet(&outlet)?.clone();
            Some((outlet, live))
        }));
        batch.samples = std::mem::take(&mut self.telemetry.samples);
        self.telemetry.due = None;
        batch.changes = self.site.take_changes();
        if batch.is_empty() && !last {
            return Ok(());
        }
        let mark = self.station.clock.mark();
        self.head = self.station.store.commit(batch, self.site.rows(), self.head, &mark)?;
        let stats = &self.station.stats;
        stats.commits.fetch_add(1, Ordering::Relaxed);
        stats.facts.fetch_add(batch.facts.len() as u64, Ordering::Relaxed);
        if let Some((stamp, _)) = batch.facts.last() {
            self.station.journal_head.send_replace(stamp.seq);
        }
        Ok(())
    }

    /// From here on everything is on disk.
    fn perform(
        &mut self,
        batch: Batch,
        effects: Vec<Effect>,
        waiting: Vec<Waiting>,
        seen: BTreeSet<domain::ids::OrderId>,
        outbound: &impl Outbound,
    ) {
        for change in batch.credentials {
            let pile = match &change {
                CredentialChange::SetPile(pile, _) | CredentialChange::RemovePile(pile) => Some(pile.clone()),
                CredentialChange::SetToken(_) | CredentialChange::RemoveToken(_) => None,
            };
            self.station.credentials.apply(change);
            // Whoever came in with the old secret has to come in again.
            if let Some(pile) = pile {
                outbound.disconnect(&pile);
            }
        }
        // A PUBACK first: it says that the message is stored, the `ack` that follows says what became of it.
        let mut answers = Vec::new();
        for one in waiting {
            match one {
                Waiting::Receipt(receipt) => receipt.acknowledge(),
                Waiting::Answer(to, answer) => answers.push((to, answer)),
            }
        }
        for effect in effects {
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
        let now = self.station.clock.now();
        self.station
            .hub
            .show(seen.iter().filter_map(|order| self.site.view_of(order, now)));
        // Whoever is answered finds the live view as it was answered.
        for (to, answer) in answers {
            let _gone = to.send(answer);
        }
        self.site.evict();
    }
}
