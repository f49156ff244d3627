//! The station's single writer: drain what waits → load what it needs → decide → one commit → effects, answers, PUBACKs.
//!
//! | module | holds |
//! |---|---|
//! | here | [`Station`], the way in |
//! | [`writer`] | deciding and committing, in whatever time it is given |
//! | `run` | the loop around it, in real time |
//! | `recovering` | the loop while a restored station waits for what head office has beyond its copy |
//! | `request` | what the API asks |
//! | `telemetry` | what is written every 30 s, or sooner where it is much |

mod recovering;
mod request;
mod run;
mod telemetry;
pub mod writer;

pub use recovering::{Ended, Ending};
pub use request::{Guard, Objection, Refused, Reply, Request, RequestKey, Respond, Unavailable};
pub use run::Loop;

use crate::{
    clock::SiteClock,
    credentials::Credentials,
    displays::Untold,
    hub::Hub,
    store::{Store, StoreError, TailRefused},
};
use broker::Receipt;
use domain::{
    ids::{DisplayId, PileId},
    journal::Head,
    messages::Down,
    policy::Policy,
    site::{Input, Site},
    time::Now,
};
use protocol::frame::Unpacked;
use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};
use tokio::sync::{mpsc, oneshot, watch};
use writer::{Found, Writer};

/// The most inputs that may wait; more are refused with a clear answer.
const WAITING_MAX: usize = 16_384;
/// The most bytes of piles' messages that may wait; more are refused as if there were too many.
const WAITING_BYTES_MAX: usize = 64 << 20;
/// The most looks that may wait; others wait their turn outside.
const LOOKS_MAX: usize = 64;

/// Where an answer goes.
type AnswerTo = oneshot::Sender<Result<Reply, Refused>>;
/// What is decided here.
type Work = writer::Work<Receipt, AnswerTo>;

/// Something that waits in the queue.
#[allow(clippy::large_enum_variant, reason = "all are work but the last one")]
enum Waiting {
    Work(Work),
    /// Of a recovery.
    Recovery(recovering::Step),
    /// Write what is waiting and end.
    Stop(oneshot::Sender<()>),
}

/// Something that waits, and how many bytes of a pile's message it holds.
struct Queued {
    waiting: Waiting,
    bytes: usize,
}

impl From<Work> for Queued {
    fn from(work: Work) -> Self {
        Self {
            waiting: Waiting::Work(work),
            bytes: 0,
        }
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
    /// Requests about money that were refused because the caller's answers fill its budget.
    pub answers_refused: AtomicU64,
    /// Inputs refused because too many waited.
    pub refused_busy: AtomicU64,
    /// Messages of a kind that the contract does not know.
    pub unknown_kinds: AtomicU64,
    /// Messages that came under a `msg_id` that had been used for another.
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
    /// What displays have not been told yet.
    pub displays: Arc<Untold>,
    /// Secrets and tokens.
    pub credentials: Arc<Credentials>,
    /// The station's clocks.
    pub clock: Arc<SiteClock>,
}

/// Sends to piles and ends their connections. Implemented over the broker.
pub trait Outbound: Send + 'static {
    /// Publishes to a pile that is connected; `false` if it is not.
    fn send(&self, pile: &PileId, message: &Down) -> bool;
    /// Ends a pile's connections and forgets its session.
    fn disconnect(&self, pile: &PileId);
    /// Something by which this pile came in counts no more: ends the connections that came in by that.
    fn check_again(&self, pile: &PileId) {
        self.disconnect(pile);
    }
    /// Something by which this display came in counts no more: ends the connections that came in by that.
    fn check_display_again(&self, _display: &DisplayId) {}
    /// The pile is the station's no more: what was retained for it is gone.
    fn forget(&self, _pile: &PileId) {}
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
        let stats: Arc<LoopStats> = Arc::default();
        let (writer, found) = Writer::recover(store.clone(), policy, Arc::clone(&stats))?;
        let Found {
            mark,
            credentials,
            journal_head,
        } = found;
        let clock = clock(&mark);
        let (work, work_in) = mpsc::unbounded_channel();
        let (inspect, inspect_in) = mpsc::channel(LOOKS_MAX);
        let station = Self {
            work,
            inspect,
            waiting: Arc::default(),
            waiting_bytes: Arc::default(),
            pushed: Arc::default(),
            journal_head: Arc::new(watch::Sender::new(journal_head)),
            stats,
            store,
            // Numbers of frames go on rising across restarts, so that a reader can resume where it was.
            hub: Arc::new(Hub::numbered_after(
                u64::try_from(clock.now().wall.0).unwrap_or(0).saturating_mul(1_000),
            )),
            displays: Arc::default(),
            credentials: Arc::new(credentials),
            clock: Arc::new(clock),
        };
        let own = station.clone();
        let recovery = station.store.reader()?.recovery()?;
        Ok((station, Loop::new(writer, work_in, inspect_in, own, recovery)))
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
        self.push(Queued {
            waiting: Waiting::Work(work),
            bytes,
        });
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
    /// [`Refused`]: nothing was decided.
    pub async fn ask(&self, request: Request) -> Result<Reply, Refused> {
        self.ask_guarded(request, None).await
    }

    /// As [`Station::ask`]; a new request (not the repetition of one) is decided only if `guard` has no objection.
    ///
    /// # Errors
    /// As [`Station::ask`].
    pub async fn ask_guarded(&self, request: Request, guard: Option<Guard>) -> Result<Reply, Refused> {
        if self.waiting.load(Ordering::Relaxed) >= WAITING_MAX {
            self.stats.refused_busy.fetch_add(1, Ordering::Relaxed);
            return Err(Unavailable::Busy.into());
        }
        let (answer, answered) = oneshot::channel();
        self.push(Work::Asked {
            request: Box::new(request),
            guard,
            answer,
        });
        answered.await.unwrap_or(Err(Unavailable::Stopping.into()))
    }

    /// Appends entries that head office has handed back; returns the journal's last entry.
    ///
    /// # Errors
    /// [`TailRefused`]: nothing of them is on disk.
    pub async fn take_tail(&self, tail: Unpacked) -> Result<Result<Head, TailRefused>, Unavailable> {
        let (answer, answered) = oneshot::channel();
        let tail = Box::new(tail);
        self.push_step(recovering::Step::Tail { tail, answer });
        answered.await.map_err(|_| Unavailable::Stopping)
    }

    /// Ends the recovery, if that is so.
    ///
    /// # Errors
    /// [`StoreError::Journal`]: head office has another entry in the place of one of the station's.
    pub async fn end_recovery(&self, by: Ending) -> Result<Result<Ended, StoreError>, Unavailable> {
        let (answer, answered) = oneshot::channel();
        self.push_step(recovering::Step::End { by, answer });
        answered.await.map_err(|_| Unavailable::Stopping)
    }

    fn push_step(&self, step: recovering::Step) {
        self.push(Queued {
            waiting: Waiting::Recovery(step),
            bytes: 0,
        });
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

    /// How many follow it.
    pub fn journal_followers(&self) -> usize {
        self.journal_head.receiver_count()
    }

    /// How many inputs wait.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Writes what is waiting and ends the loop.
    pub async fn stop(&self) {
        let (done, ended) = oneshot::channel();
        self.push(Queued {
            waiting: Waiting::Stop(done),
            bytes: 0,
        });
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
