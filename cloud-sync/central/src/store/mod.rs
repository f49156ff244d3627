//! The database of head office: SQLite in a file beside the program, or PostgreSQL, behind one small interface. Statements are
//! written once for both. Work runs on threads of its own: a caller who goes away interrupts nothing (decision 0029).
//!
//! | file | holds |
//! |---|---|
//! | here | the interface: [`Db`], [`Tx`], what can go wrong |
//! | `sqlite`, `postgres` | the two engines |
//! | `value` | what goes into a statement and comes out |
//! | `set` | rows that are written together |
//! | `sites`, `journal`, `replica`, `ledger` | what is kept, by subject |
//! | `schema` | tables, by version |
//!
//! *Only here are SQL libraries named.*

pub mod journal;
pub mod ledger;
mod postgres;
pub mod replica;
mod schema;
pub mod set;
pub mod sites;
mod sqlite;
pub mod value;

pub use set::{AddStatement, Column, SetStatement};
pub use value::{Row, Value};

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, mpsc},
};
use tokio::sync::oneshot;

/// Connections that read, and on PostgreSQL also write.
const CONNECTIONS: usize = 4;

/// Where the database is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// SQLite in memory: for tests, it goes with the program.
    Memory,
    /// SQLite in this file.
    File(PathBuf),
    /// PostgreSQL: `postgres://user:password@host:port/database`, or `host=… user=…`.
    Postgres(String),
}

/// Why something was not done. Whatever was begun was taken back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached now: try again later.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// A rule of the database stands against it.
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
    /// Another process owns the site, or has gone on with it.
    #[error("another process goes on with this site")]
    NotOwner,
    /// What is in it cannot be.
    #[error("the database is not as it must be: {0}")]
    Broken(String),
}

impl StoreError {
    /// Whether trying again later may help.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

/// A transaction.
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

    /// Writes rows together.
    ///
    /// # Errors
    /// [`StoreError`]: the transaction cannot go on.
    fn write_all(&mut self, statement: &SetStatement, rows: &[Vec<Value>]) -> Result<(), StoreError>;

    /// Adds to numbers of rows that are there; each row is named once.
    ///
    /// # Errors
    /// [`StoreError`]: the transaction cannot go on.
    fn add_all(&mut self, statement: &AddStatement, rows: &[(&str, i64)]) -> Result<(), StoreError>;

    /// The row of a statement that answers at most one.
    ///
    /// # Errors
    /// [`StoreError`]: the transaction cannot go on.
    fn query_optional(&mut self, statement: &str, values: &[Value]) -> Result<Option<Row>, StoreError> {
        Ok(self.query(statement, values)?.into_iter().next())
    }
}

/// What is done in a transaction, whatever comes out of it.
trait Work: Send {
    /// Does it. On an error everything is taken back.
    fn run(&mut self, tx: &mut dyn Tx) -> Result<(), StoreError>;
    /// Tells whoever waits.
    fn finish(self: Box<Self>, committed: Result<(), StoreError>);
}

struct Call<T, F> {
    work: Option<F>,
    result: Option<T>,
    waiting: oneshot::Sender<Result<T, StoreError>>,
}

impl<T: Send, F: FnOnce(&mut dyn Tx) -> Result<T, StoreError> + Send> Work for Call<T, F> {
    fn run(&mut self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        let work = self
            .work
            .take()
            .ok_or_else(|| StoreError::Broken("a transaction ran twice".to_owned()))?;
        let done = catch_unwind(AssertUnwindSafe(|| work(tx)));
        self.result = Some(done.unwrap_or_else(|panic| Err(StoreError::Broken(words(panic.as_ref()))))?);
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

/// The database.
#[derive(Clone)]
pub struct Db {
    writes: Queue,
    reads: Queue,
}

impl Db {
    /// Opens it and brings its tables up to date, in one transaction.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(place: &Place) -> Result<Self, StoreError> {
        match place {
            Place::Memory => {
                let (queue, waits) = mpsc::channel();
                let mut connection = sqlite::Sqlite::in_memory()?;
                schema::migrate(&mut connection)?;
                serve("sqlite", Arc::new(Mutex::new(waits)), connection)?;
                Ok(Self {
                    reads: queue.clone(),
                    writes: queue,
                })
            }
            Place::File(path) => {
                let mut writer = sqlite::Sqlite::open(path)?;
                schema::migrate(&mut writer)?;
                let (writes, waits) = mpsc::channel();
                serve("sqlite-write", Arc::new(Mutex::new(waits)), writer)?;
                let (reads, waits) = mpsc::channel();
                let waits = Arc::new(Mutex::new(waits));
                for _ in 0..CONNECTIONS {
                    serve("sqlite-read", Arc::clone(&waits), sqlite::Sqlite::open(path)?)?;
                }
                Ok(Self { writes, reads })
            }
            Place::Postgres(url) => {
                schema::migrate(&mut postgres::Postgres::open(url)?)?;
                let (queue, waits) = mpsc::channel();
                let waits = Arc::new(Mutex::new(waits));
                for _ in 0..CONNECTIONS {
                    serve("postgres", Arc::clone(&waits), postgres::Postgres::open(url)?)?;
                }
                Ok(Self {
                    reads: queue.clone(),
                    writes: queue,
                })
            }
        }
    }

    /// Runs `work` in a transaction; it is committed, on disk, when this returns a value. It goes on if the caller goes away.
    ///
    /// # Errors
    /// [`StoreError`]: nothing of it counts.
    pub async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut dyn Tx) -> Result<T, StoreError> + Send + 'static,
    {
        run(&self.writes, work).await
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
        run(&self.reads, work).await
    }
}

async fn run<T, F>(queue: &Queue, work: F) -> Result<T, StoreError>
where
    T: Send + 'static,
    F: FnOnce(&mut dyn Tx) -> Result<T, StoreError> + Send + 'static,
{
    let (waiting, answer) = oneshot::channel();
    let call = Call {
        work: Some(work),
        result: None,
        waiting,
    };
    let gone = || StoreError::Unavailable("its threads have ended".to_owned());
    queue.send(Box::new(call)).map_err(|_| gone())?;
    answer.await.unwrap_or_else(|_| Err(gone()))
}

/// A connection, and how work is done on it.
trait Engine: Send + 'static {
    /// Runs `work` in a transaction of its own.
    fn transact(&mut self, work: &mut dyn FnMut(&mut dyn Tx) -> Result<(), StoreError>) -> Result<(), StoreError>;
    /// The words of this engine for what both do.
    fn dialect(&self) -> Dialect;
}

/// Which engine it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Sqlite,
    Postgres,
}

/// Does what comes, one after the other, until nobody can ask any more.
fn serve(
    name: &str,
    waits: Arc<Mutex<mpsc::Receiver<Box<dyn Work>>>>,
    mut engine: impl Engine,
) -> Result<(), StoreError> {
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        loop {
            // Nothing can panic while it is held.
            let next = waits.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(mut work) = next else { return };
            let committed = engine.transact(&mut |tx| work.run(tx));
            work.finish(committed);
        }
    });
    thread
        .map(drop)
        .map_err(|error| StoreError::Unavailable(error.to_string()))
}
