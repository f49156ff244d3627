//! The database of head office: SQLite in a file beside the program, or PostgreSQL, behind one small interface. Statements are
//! written once for both. Work runs on threads of its own: a caller who goes away interrupts nothing (decision 0029).
//!
//! | file | holds |
//! |---|---|
//! | here | the interface: [`Db`], [`Tx`], what can go wrong |
//! | `checked` | what every transaction keeps to, whatever the engine |
//! | `sqlite`, `postgres` | the two engines |
//! | `value` | what goes into a statement and comes out |
//! | `set` | rows that are written, or looked for, together |
//! | `identity`, `sites`, `enrolment`, `journal`, `branches`, `decisions`, `replica`, `ledger`, `findings`, `forgotten`, `openings`, `people`, `audit`, `answers`, `jobs`, `alerts`, `outbox`, `inbox`, `members`, `at_sites`, `directives`, `issues`, `placings`, `topups`, `channels`, `channel_settings`, `callbacks`, `bills`, `bill_proposals`, `proposed`, `reconcile`, `reconcile_judge`, `reconcile_waiting`, `reconcile_runs`, `reconcile_decided`, `discrepancies`, `discrepancy_decisions`, `suspense`, `refunds`, `bill_decisions`, `adjustments` | what is kept, by subject |
//! | `moving` | from a file to PostgreSQL |
//! | `standbys` | whether what is committed is with whoever takes PostgreSQL's place |
//! | `queries` | what is read for people, over all sites |
//! | `schema` | tables, by version |
//!
//! *Only here are SQL libraries named.*

pub mod adjustments;
pub mod alerts;
pub mod answers;
pub mod at_sites;
pub mod audit;
pub mod bill_decisions;
pub mod bill_proposals;
pub mod bills;
pub mod branches;
pub mod callbacks;
pub mod channel_settings;
pub mod channels;
mod checked;
pub mod decisions;
pub mod directives;
pub mod discrepancies;
pub mod discrepancy_decisions;
pub mod enrolment;
pub mod findings;
pub mod forgotten;
pub mod identity;
pub mod inbox;
pub mod issues;
pub mod jobs;
pub mod journal;
pub mod ledger;
pub mod members;
pub mod missing;
pub mod moving;
pub mod openings;
pub mod outbox;
pub mod payouts;
pub mod people;
pub mod placings;
mod postgres;
pub mod proposed;
pub mod queries;
pub mod reconcile;
pub mod reconcile_decided;
mod reconcile_judge;
pub mod reconcile_runs;
pub mod reconcile_waiting;
pub mod refunds;
pub mod replica;
mod schema;
pub mod set;
pub mod site_days;
pub mod site_verdicts;
pub mod sites;
mod sqlite;
pub mod standbys;
pub mod suspense;
pub mod topups;
pub mod value;

pub use set::{Column, LookUp, SetStatement};
pub use value::{Row, Value};

use checked::Checked;
use domain::ids::Randomness;
use std::{
    any::Any,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::{mpsc, oneshot};

/// Connections that read for desks, and as many again that read for people, whose questions may take long; on PostgreSQL also as many
/// that write.
const CONNECTIONS: usize = 4;
/// Transactions that wait for a connection; beyond them callers wait for room before theirs is taken. Callers wait for answers
/// anyway, so this bounds only what those who went away leave behind.
const WAITING_MAX: usize = 256;

/// Where the database is.
#[derive(Clone, PartialEq, Eq)]
pub enum Place {
    /// SQLite in memory: for tests, it goes with the program.
    Memory,
    /// SQLite in this file.
    File(PathBuf),
    /// PostgreSQL: `postgres://user:password@host:port/database`, or `host=… user=…`.
    Postgres(String),
}

impl fmt::Debug for Place {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("Memory"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Postgres(_) => f.write_str("Postgres(..)"),
        }
    }
}

/// Why something was not done. Whatever was begun was taken back, with one exception that [`StoreError::Unavailable`] tells.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It cannot be done now: the database cannot be reached, its disk is full, or another transaction stood in the way (a
    /// deadlock, a lock that did not come free). Trying again later may help.
    ///
    /// Where the connection broke in the middle of COMMIT nobody here knows whether the whole of it was done or nothing of it.
    /// Whoever tries again must be able to find out, as ingest does by the site's head.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// A rule of the database stands against it, or a value is none that it can hold. It will not be otherwise next time.
    #[error("the database refuses it: {0}")]
    Constraint(String),
    /// A newer program has changed the database.
    #[error(
        "the database has schema version {found}, and this program knows {known}: a newer program has changed it. Start that one, \
         or go back to a copy from before"
    )]
    Newer {
        /// Its version.
        found: i64,
        /// The newest version that is known here.
        known: i64,
    },
    /// It was moved.
    #[error(
        "this database was moved to {0}, and is not used any more: set `database.url` in the configuration to that one. To go back, \
         restore a copy of this file from before the move"
    )]
    Moved(String),
    /// A move into it was not finished.
    #[error(
        "the move of {0} into this database was not finished: say `holdfast-central move` again, or go on with the old one for now"
    )]
    Arriving(String),
    /// Another process owns the site, or has gone on with it.
    #[error("another process goes on with this site")]
    NotOwner,
    /// What is in it cannot be, or a statement of this program is wrong.
    #[error("the database is not as it must be: {0}")]
    Broken(String),
}

impl StoreError {
    /// Whether trying again later may help.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

/// A transaction. Its first error is its end: whatever the work does after it, nothing of it counts.
pub trait Tx {
    /// Runs a statement with `$1`, `$2` … in it; returns how many rows it changed.
    ///
    /// # Errors
    /// [`StoreError`]: the transaction cannot go on.
    fn execute(&mut self, statement: &str, values: &[Value]) -> Result<u64, StoreError>;

    /// Runs a statement that answers rows.
    ///
    /// # Errors
    /// [`StoreError`]: the transaction cannot go on.
    fn query(&mut self, statement: &str, values: &[Value]) -> Result<Vec<Row>, StoreError>;

    /// Writes rows together. It is as if they were written one after the other, but that a row whose key comes again in the
    /// same call is joined with it first: with [`Present::Keep`](set::Present) the first counts, with `Replace` the last, with
    /// `Add` their sum; with `Refuse` it is an error. What CHECKs look at is what comes out.
    ///
    /// # Errors
    /// [`StoreError`]: the transaction cannot go on.
    fn write_all(&mut self, statement: &SetStatement, rows: &[Vec<Value>]) -> Result<(), StoreError>;

    /// Rows that are looked for together: those that have one of these keys, in no order; of a key that no row has there is
    /// none. No key is given twice.
    ///
    /// # Errors
    /// [`StoreError`]: the transaction cannot go on.
    fn find_all(&mut self, look: &LookUp, keys: &[Vec<Value>]) -> Result<Vec<Row>, StoreError>;

    /// Which engine it is, for the little that one has and the other has not.
    fn dialect(&self) -> Dialect;

    /// Random bits: the operating system's, but for a database of [`Db::simulated`].
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: it gives none.
    fn random(&mut self) -> Result<u128, StoreError> {
        system_random()
    }

    /// The row of a statement that answers at most one.
    ///
    /// # Errors
    /// [`StoreError`]: the transaction cannot go on.
    fn query_optional(&mut self, statement: &str, values: &[Value]) -> Result<Option<Row>, StoreError> {
        Ok(self.query(statement, values)?.into_iter().next())
    }
}

fn system_random() -> Result<u128, StoreError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| StoreError::Unavailable(format!("the system gives no randomness: {error}")))?;
    Ok(u128::from_le_bytes(bytes))
}

/// What a transaction may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    /// It sees one state of the database, and changes nothing.
    Read,
    /// It changes what it likes.
    Write,
}

/// What is done in a transaction, whatever comes out of it.
trait Work: Send {
    /// What it may do.
    fn access(&self) -> Access;
    /// Does it. On an error everything is taken back.
    fn run(&mut self, tx: &mut dyn Tx) -> Result<(), StoreError>;
    /// Tells whoever waits.
    fn finish(self: Box<Self>, committed: Result<(), StoreError>);
}

struct Call<T, F> {
    access: Access,
    work: Option<F>,
    result: Option<T>,
    waiting: oneshot::Sender<Result<T, StoreError>>,
}

impl<T: Send, F: FnOnce(&mut dyn Tx) -> Result<T, StoreError> + Send> Work for Call<T, F> {
    fn access(&self) -> Access {
        self.access
    }

    fn run(&mut self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        let work = self
            .work
            .take()
            .ok_or_else(|| StoreError::Broken("a transaction ran twice".to_owned()))?;
        let mut tx = Checked::new(tx, self.access);
        let done = catch_unwind(AssertUnwindSafe(|| work(&mut tx)));
        let done = done.unwrap_or_else(|panic| Err(StoreError::Broken(words(panic.as_ref()))))?;
        tx.ended()?;
        self.result = Some(done);
        Ok(())
    }

    fn finish(self: Box<Self>, committed: Result<(), StoreError>) {
        let Call { result, waiting, .. } = *self;
        let missing = || StoreError::Broken("a transaction came to nothing".to_owned());
        let result = committed.and_then(|()| result.ok_or_else(missing));
        // Whoever went away is not told; what was done stays done.
        let _nobody_waits = waiting.send(result);
    }
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("a transaction panicked: {}", text.unwrap_or("without words"))
}

type Queue = mpsc::Sender<Box<dyn Work>>;
type Waiting = Arc<Mutex<mpsc::Receiver<Box<dyn Work>>>>;

fn queue() -> (Queue, Waiting) {
    let (queue, waiting) = mpsc::channel(WAITING_MAX);
    (queue, Arc::new(Mutex::new(waiting)))
}

/// The database.
#[derive(Clone)]
pub struct Db {
    writes: Queue,
    reads: Queue,
    /// What reads for people.
    for_people: Queue,
    /// Where it is, if it is a file.
    file: Option<PathBuf>,
}

impl Db {
    /// Opens it and brings its tables up to date, in one transaction. It blocks, for seconds where PostgreSQL does not answer.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(place: &Place) -> Result<Self, StoreError> {
        let (writes, to_write) = queue();
        let (reads, to_read) = queue();
        let (for_people, to_read_for_people) = queue();
        match place {
            Place::Memory => return Self::in_memory(None),
            Place::File(path) => {
                let mut writer = sqlite::Sqlite::open(path)?;
                schema::migrate(&mut writer)?;
                moving::refuse(&mut writer)?;
                serve("sqlite-write", to_write, writer)?;
                for waiting in [to_read, to_read_for_people] {
                    for _ in 0..CONNECTIONS {
                        serve("sqlite-read", Arc::clone(&waiting), sqlite::Sqlite::open(path)?)?;
                    }
                }
            }
            Place::Postgres(url) => {
                let mut first = postgres::Postgres::new(url)?;
                schema::migrate(&mut first)?;
                moving::refuse(&mut first)?;
                serve("postgres-write", Arc::clone(&to_write), first)?;
                // The others connect when something comes for them.
                for _ in 1..CONNECTIONS {
                    serve("postgres-write", Arc::clone(&to_write), postgres::Postgres::new(url)?)?;
                }
                for waiting in [to_read, to_read_for_people] {
                    for _ in 0..CONNECTIONS {
                        serve("postgres-read", Arc::clone(&waiting), postgres::Postgres::new(url)?)?;
                    }
                }
            }
        }
        let file = match place {
            Place::File(path) => Some(path.clone()),
            _ => None,
        };
        Ok(Self {
            writes,
            reads,
            for_people,
            file,
        })
    }

    /// One in memory, in which everything is as last time where `random` is: the simulated world's.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn simulated(random: impl Randomness + Send + 'static) -> Result<Self, StoreError> {
        Self::in_memory(Some(Box::new(random)))
    }

    fn in_memory(random: Option<Box<dyn Randomness + Send>>) -> Result<Self, StoreError> {
        let (writes, waiting) = queue();
        let mut connection = sqlite::Sqlite::in_memory(random)?;
        have_tables(&mut connection)?;
        serve("sqlite", waiting, connection)?;
        Ok(Self {
            reads: writes.clone(),
            for_people: writes.clone(),
            writes,
            file: None,
        })
    }

    /// The same database, read by connections that desks do not wait for.
    #[must_use]
    pub fn for_people(&self) -> Self {
        Self {
            reads: self.for_people.clone(),
            ..self.clone()
        }
    }

    /// Runs `work` in a transaction; it is committed, on disk, when this returns a value. Once it is taken, it goes on if
    /// the caller goes away.
    ///
    /// SQLite does one after the other. On PostgreSQL several run at once, and each statement sees what others have committed
    /// before it (READ COMMITTED): what is decided by something that was read is held fast first, by an UPDATE of the row
    /// that stands for it.
    ///
    /// # Errors
    /// [`StoreError`]: nothing of it counts.
    pub async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut dyn Tx) -> Result<T, StoreError> + Send + 'static,
    {
        run(&self.writes, Access::Write, work).await
    }

    /// Copies the database, as of now, into a new file, while others go on. Whether it is a file that can be copied so; what
    /// copies PostgreSQL is `pg_dump`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn copy_to(&self, to: PathBuf) -> Result<bool, StoreError> {
        let Some(from) = self.file.clone() else {
            return Ok(false);
        };
        let copied = tokio::task::spawn_blocking(move || sqlite::Sqlite::copy(&from, &to));
        let broken = |error: tokio::task::JoinError| StoreError::Broken(error.to_string());
        copied.await.map_err(broken)?.map(|()| true)
    }

    /// Runs `work`, which only reads, on one state of the database.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut dyn Tx) -> Result<T, StoreError> + Send + 'static,
    {
        run(&self.reads, Access::Read, work).await
    }
}

async fn run<T, F>(queue: &Queue, access: Access, work: F) -> Result<T, StoreError>
where
    T: Send + 'static,
    F: FnOnce(&mut dyn Tx) -> Result<T, StoreError> + Send + 'static,
{
    let (waiting, answer) = oneshot::channel();
    let call = Call {
        access,
        work: Some(work),
        result: None,
        waiting,
    };
    let gone = || StoreError::Unavailable("its threads have ended".to_owned());
    queue.send(Box::new(call)).await.map_err(|_| gone())?;
    answer.await.unwrap_or_else(|_| Err(gone()))
}

/// Brings all tables into an empty database that will go away. They are copied from one that is made once in a process: making them,
/// version by version, takes longer than much of what such a database is made for.
fn have_tables(empty: &mut sqlite::Sqlite) -> Result<(), StoreError> {
    static PATTERN: Mutex<Option<sqlite::Sqlite>> = Mutex::new(None);
    let mut kept = PATTERN.lock().unwrap_or_else(PoisonError::into_inner);
    let pattern = match kept.take() {
        Some(made) => made,
        None => {
            let mut made = sqlite::Sqlite::in_memory(None)?;
            schema::migrate(&mut made)?;
            made
        }
    };
    empty.become_like(kept.insert(pattern))
}

/// Runs `work` in an empty database of its own, with all tables, that goes away afterwards. It is SQLite's whatever else is used,
/// and on disk where it has no room in memory.
///
/// # Errors
/// [`StoreError`]: that of the work, or there is no room for it.
pub fn scratch<T>(work: impl FnOnce(&mut dyn Tx) -> Result<T, StoreError>) -> Result<T, StoreError> {
    let mut engine = sqlite::Sqlite::scratch()?;
    have_tables(&mut engine)?;
    let (mut work, mut done) = (Some(work), None);
    engine.transact(Access::Write, &mut |tx| {
        if let Some(work) = work.take() {
            let mut tx = Checked::new(tx, Access::Write);
            done = Some(work(&mut tx)?);
            tx.ended()?;
        }
        Ok(())
    })?;
    done.ok_or_else(|| StoreError::Broken("a transaction came to nothing".to_owned()))
}

/// A connection, and how work is done on it.
trait Engine: Send + 'static {
    /// Runs `work` in a transaction of its own.
    fn transact(
        &mut self,
        access: Access,
        work: &mut dyn FnMut(&mut dyn Tx) -> Result<(), StoreError>,
    ) -> Result<(), StoreError>;
    /// The words of this engine for what both do.
    fn dialect(&self) -> Dialect;
}

/// Which engine it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// SQLite: one writes at a time.
    Sqlite,
    /// PostgreSQL: several write at once, and wait for each other's rows.
    Postgres,
}

/// Does what comes, one after the other, until nobody can ask any more.
fn serve(name: &str, waiting: Waiting, mut engine: impl Engine) -> Result<(), StoreError> {
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        loop {
            // Nothing can panic while it is held.
            let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
            let Some(mut work) = next else { return };
            let access = work.access();
            // Also a panic outside of the caller's own code must not end the one thread that writes.
            let done = catch_unwind(AssertUnwindSafe(|| {
                let done = engine.transact(access, &mut |tx| work.run(tx));
                work.finish(done);
            }));
            if let Err(panic) = done {
                tracing::error!("{}", words(panic.as_ref()));
            }
        }
    });
    thread
        .map(drop)
        .map_err(|error| StoreError::Unavailable(error.to_string()))
}
