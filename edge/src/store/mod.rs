//! The station's disk: one redb file. Only this module and what lies below it name redb.
//! Rows are JSON under ordered keys; the journal keeps the very bytes that are sealed.

mod ahead;
mod answers;
mod aside;
mod audit;
mod backup;
mod desk;
mod displays;
mod energy;
mod indexed;
mod migrate;
mod opening;
mod pile_log;
mod read;
mod recovering;
mod restore;
mod retained;
mod retention;
mod schema3;
mod schema4;
mod station_was_here;
mod tables;
mod verify;
mod write;

pub(crate) use answers::caller_of;
pub use answers::{AnswerBudget, FullBudgets, NewAnswer, Remembered};
pub use audit::{BillAudit, DIFFERENCES_MAX, Difference};
pub use backup::Backup;
pub use opening::Opening;
pub use read::{DirectiveTaken, OfVouchers, OpenItems, OrderFilter, Page, QuarantineFilter, Reader, Sample};
pub use recovering::{Followed, Recovery, TailRefused};
pub use restore::{AfterRestore, Restored};
pub use retained::Retained;
pub use retention::{Limits, Pass};
pub use verify::Verified;
pub use write::{Batch, SampleRow};

use crate::{clock::Mark, credentials::Credentials, random::OsRandom};
use ahead::ReadAhead;
use aside::Aside;
use domain::{
    ids::{Outlet, Randomness, SiteId},
    journal::{Broken, Hash, Stamp},
    site::{OutletLive, Rows},
    time::Mono,
};
use redb::{Builder, Database, StorageBackend, backends::FileBackend};
use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

/// The layout of the tables. A file of a newer one is refused, of an older one migrated.
pub const SCHEMA_VERSION: u32 = 4;

/// Why the disk does not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the file open.
    #[error("{} is in use by another process: a running daemon? Use `holdfast-edge status`, which asks the daemon", .0.display())]
    InUse(PathBuf),
    /// The file is damaged, or not a Holdfast database.
    #[error(
        "{} is damaged: {why}. Nothing was changed, and the daemon never starts empty over a damaged file. The way back is a copy of it: `holdfast-edge restore --move-aside COPY`. {}",
        path.display(),
        station_was_here::copies_in_words(path)
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// There is no file where a station was.
    #[error(
        "{} is missing, but {} says that a station was here, and the daemon never starts empty in its place. Is the right disk mounted? If the file is lost, the way back is a copy of it: `holdfast-edge restore COPY`. {} To begin anew, without its orders and money, move every file beside it away whose name begins like that",
        path.display(),
        evidence.display(),
        station_was_here::copies_in_words(path)
    )]
    Missing {
        /// Which file.
        path: PathBuf,
        /// What says that it was there.
        evidence: PathBuf,
    },
    /// A copy was to take the place of a database that is there.
    #[error(
        "{} is there, and is not overwritten: `restore --move-aside` gives it another name first, and prints it",
        .0.display()
    )]
    Present(PathBuf),
    /// A copy was to take the place of another file.
    #[error("{} is there already, and is not overwritten: give another name", .0.display())]
    NotNew(PathBuf),
    /// A copy took too long.
    #[error("the copy was not finished within {} s, and was given up: nothing is left of it", .0.as_secs())]
    TooSlow(Duration),
    /// It is about another run of the journal.
    #[error("this is run {here} of the journal, not {given}: the station was restored since, or this is another one")]
    OtherEpoch {
        /// The run that was meant.
        given: String,
        /// The run that this is.
        here: String,
    },
    /// The journal is not what was sealed.
    #[error("the journal does not verify: {0}")]
    Journal(#[from] Broken),
    /// What was to be written would make the books wrong.
    #[error(transparent)]
    Violation(#[from] domain::site::Violation),
    /// The file is of an older version and could not be copied before it is changed.
    #[error(
        "{} is of an older version and must be copied before it is brought up to date, which failed: {why}. Nothing was changed",
        path.display()
    )]
    NoBackup {
        /// Which file.
        path: PathBuf,
        /// What failed.
        why: String,
    },
    /// The file was written by a newer Holdfast.
    #[error(
        "the database has schema version {found}, this program knows {SCHEMA_VERSION}: install the newer program again"
    )]
    TooNew {
        /// What the file says.
        found: u32,
    },
    /// The file belongs to another site.
    #[error("the database belongs to site {found}, the configuration says {expected}")]
    OtherSite {
        /// What the file says.
        found: String,
        /// What the configuration says.
        expected: SiteId,
    },
    /// A stored row cannot be read.
    #[error("row {key} of table {table} cannot be read: {why}")]
    BadRow {
        /// Which table.
        table: &'static str,
        /// Which row.
        key: String,
        /// What is wrong.
        why: String,
    },
    /// What was read cannot be what was written.
    #[error("the database is damaged: {0}")]
    Corrupt(String),
    /// There is no room.
    #[error("the disk is full: {0}")]
    Full(String),
    /// Input or output failed.
    #[error("the disk failed: {0}")]
    Io(String),
}

impl StoreError {
    fn of(error: &std::io::Error) -> Self {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        match error.kind() {
            StorageFull | QuotaExceeded => Self::Full(error.to_string()),
            _ => Self::Io(in_words(error)),
        }
    }

    fn io(error: impl std::fmt::Display) -> Self {
        Self::Io(error.to_string())
    }
}

macro_rules! from_redb {
    ($($error:ty),+) => { $(impl From<$error> for StoreError {
        fn from(error: $error) -> Self {
            Self::from(redb::Error::from(error))
        }
    })+ };
}

from_redb!(
    redb::TransactionError,
    redb::TableError,
    redb::StorageError,
    redb::CommitError
);

impl From<redb::Error> for StoreError {
    fn from(error: redb::Error) -> Self {
        match error {
            redb::Error::Corrupted(why) => Self::Corrupt(why),
            redb::Error::Io(error) if tells_of_damage(&error) => Self::Corrupt(error.to_string()),
            redb::Error::Io(error) => Self::of(&error),
            mismatch @ (redb::Error::TableTypeMismatch { .. }
            | redb::Error::TableIsMultimap(_)
            | redb::Error::TypeDefinitionChanged { .. }
            | redb::Error::UpgradeRequired(_)) => Self::Corrupt(mismatch.to_string()),
            other => Self::io(other),
        }
    }
}

/// Whether a read went well but what came is no database: the wrong beginning, or the end too soon.
fn tells_of_damage(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    error.raw_os_error().is_none() && matches!(error.kind(), InvalidData | InvalidInput | UnexpectedEof)
}

/// What failed, first in the words of whoever has to go there.
fn in_words(error: &std::io::Error) -> String {
    use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    let what = match error.kind() {
        ReadOnlyFilesystem => "the file system is read-only",
        PermissionDenied => "this user may not use the file",
        _ => return error.to_string(),
    };
    format!("{what}: {error}")
}

/// What keeps the file at `path` from being opened.
fn refused(path: &Path, error: redb::DatabaseError) -> StoreError {
    if matches!(error, redb::DatabaseError::DatabaseAlreadyOpen) {
        return StoreError::InUse(path.to_owned());
    }
    named(path, redb::Error::from(error).into())
}

/// The same error with the name of the file.
fn named(path: &Path, error: StoreError) -> StoreError {
    match error {
        StoreError::Corrupt(why) => StoreError::Damaged {
            path: path.to_owned(),
            why,
        },
        StoreError::Full(why) => StoreError::Full(format!("{}: {why}", path.display())),
        StoreError::Io(why) => StoreError::Io(format!("{}: {why}", path.display())),
        other => other,
    }
}

/// How a database is opened that may have been changed by others: every page that is in use is checked against the sums
/// that redb keeps, as it always is after a crash.
fn checking(cache_bytes: usize) -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(cache_bytes).set_check_integrity_on_open(true);
    builder.set_repair_callback(|repair| {
        // redb says so, by these figures, where the newer of its two last commits is not whole.
        if (0.2..0.5).contains(&repair.progress()) {
            tracing::warn!(
                "the last commit in the database is torn or damaged, and the one before it is used: after a power cut \
                 that is what nobody was told of; otherwise look at the disk and at `holdfast-edge journal verify`"
            );
        }
    });
    builder
}

fn another_programs() -> StoreError {
    StoreError::Corrupt("it is the database of another program".to_owned())
}

/// Opens the database on a storage and checks every page of it. What redb writes on the way waits until [`Aside::keep`].
fn checked<B: StorageBackend>(storage: B, cache_bytes: usize) -> Result<(Database, Aside<B>), redb::DatabaseError> {
    let waiting = Aside::over(storage).map_err(redb::StorageError::Io)?;
    let db = checking(cache_bytes).create_with_backend(waiting.clone())?;
    Ok((db, waiting))
}

/// The same with the file at `path`, which must be a database of `site` that nobody else has open.
fn checked_file(path: &Path, site: &SiteId, cache_bytes: usize) -> Result<(Database, Aside<FileBackend>), StoreError> {
    let file = File::options().read(true).write(true).open(path);
    let file = file.map_err(|error| named(path, StoreError::of(&error)))?;
    let ahead = ReadAhead::of(path);
    let (db, waiting) = FileBackend::new(file)
        .and_then(|file| checked(file, cache_bytes))
        .map_err(|error| refused(path, error))?;
    drop(ahead);
    is_a_stations(&db, site).map_err(|error| named(path, error))?;
    Ok((db, waiting))
}

/// Whether this program can go on with a database, of whatever version, as that of `site`.
fn is_a_stations(db: &Database, site: &SiteId) -> Result<(), StoreError> {
    match tables::version(db)? {
        None => Err(another_programs()),
        Some(found) if found > SCHEMA_VERSION => Err(StoreError::TooNew { found }),
        Some(_) => tables::identity(db, Some(site)).map(drop),
    }
}

/// Makes the names in a file's folder survive a power cut.
fn sync_folder_of(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    std::fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// The open database.
#[derive(Clone)]
pub struct Store {
    db: Arc<Database>,
    /// Shared by all clones: a recovered station begins another run of its journal while it runs.
    identity: Arc<RwLock<Arc<Identity>>>,
    answer_budget: AnswerBudget,
    /// What names the runs of the journal.
    random: SharedRandomness,
}

type SharedRandomness = Arc<Mutex<dyn Randomness + Send>>;

/// Whose journal this is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Which site.
    pub site: SiteId,
    /// Which run of the journal: random, new after every restore.
    pub epoch: String,
}

/// Everything that a start-up reads.
pub struct Recovered {
    /// The last journal entry.
    pub head: Stamp,
    /// Its hash.
    pub head_hash: Hash,
    /// Where elapsed time stood.
    pub mark: Mark,
    /// What is always in memory.
    pub rows: Rows,
    /// What connectors last said.
    pub live: Vec<(Outlet, OutletLive)>,
    /// Secrets and tokens.
    pub credentials: Credentials,
    /// Retained messages to piles.
    pub retained: Retained,
    /// When, by elapsed time, the station went on after a restore with a head office, if it ever did.
    pub restored_at: Option<Mono>,
    /// The last journal entry says that the station was restored.
    pub just_restored: bool,
}

impl Store {
    /// Opens the database at `path` for `site` once every page of it has been checked, or makes a new one if no file is
    /// there and none ever was.
    ///
    /// # Errors
    /// [`StoreError::InUse`] if another process has it, [`StoreError::Damaged`], [`StoreError::Missing`],
    /// [`StoreError::TooNew`], [`StoreError::NoBackup`], [`StoreError::OtherSite`], [`StoreError::Io`] where it is the
    /// disk that fails and not the file.
    pub fn open(path: &Path, site: &SiteId, cache_bytes: usize) -> Result<Self, StoreError> {
        let failed = |error: std::io::Error| named(path, StoreError::of(&error));
        let exists = path.try_exists().map_err(failed)?;
        if exists && std::fs::metadata(path).map_err(failed)?.len() == 0 {
            return Err(named(path, StoreError::Corrupt("the file is empty".to_owned())));
        }
        let mut builder = Database::builder();
        builder.set_cache_size(cache_bytes);
        let unfinished = path.with_added_extension("unfinished");
        if exists {
            let mut opened = checked_file(path, site, cache_bytes)?;
            if let Some(old) = migrate::needed(&opened.0, site).map_err(|error| named(path, error))? {
                // Closed while it is copied; nothing has been written to it.
                drop(opened);
                let backup = migrate::backup(path, &old)?;
                tracing::info!(
                    from = old.version,
                    to = SCHEMA_VERSION,
                    backup = %backup.display(),
                    "the database is of an older version, was copied, and is brought up to date"
                );
                opened = checked_file(path, site, cache_bytes)?;
            }
            let (db, waiting) = opened;
            waiting.keep().map_err(failed)?;
            let _none_as_a_rule = std::fs::remove_file(&unfinished);
            let store = Self::prepare(db, Some(site), false, OsRandom).map_err(|error| named(path, error))?;
            station_was_here::note(path, site);
            return Ok(store);
        }
        if let Some(evidence) = station_was_here::evidence(path).map_err(failed)? {
            let path = path.to_owned();
            return Err(StoreError::Missing { path, evidence });
        }
        // Made under another name and given its own when it is whole: a first start that is cut off can be made again,
        // and a file with that name always is a station's.
        let create = || {
            backup::private(&unfinished).map_err(redb::StorageError::Io)?;
            builder.create(&unfinished)
        };
        let db = create().or_else(|error| match error {
            redb::DatabaseError::DatabaseAlreadyOpen => Err(error),
            _ => {
                let _tells_create = std::fs::remove_file(&unfinished);
                create()
            }
        });
        let db = db.map_err(|error| refused(path, error))?;
        let store = Self::prepare(db, Some(site), true, OsRandom).map_err(|error| named(path, error))?;
        // Unlike a rename, a link never takes the place of what another daemon has made meanwhile.
        std::fs::hard_link(&unfinished, path)
            .and_then(|()| std::fs::remove_file(&unfinished))
            // The file's own name must survive a power cut too.
            .and_then(|()| sync_folder_of(path))
            .map_err(failed)?;
        station_was_here::note(path, site);
        Ok(store)
    }

    /// Looks at a copy of a database, of whatever site, without changing the file: every page of it is checked, and what
    /// a copy of a running database needs repaired is repaired in memory.
    ///
    /// # Errors
    /// As [`Store::open`]; [`StoreError::InUse`] for the file of a running daemon.
    pub fn look_at(path: &Path, cache_bytes: usize) -> Result<Self, StoreError> {
        let copy = Aside::of(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::WouldBlock => StoreError::InUse(path.to_owned()),
            _ => named(path, StoreError::Io(in_words(&error))),
        })?;
        if copy.len().is_ok_and(|bytes| bytes == 0) {
            return Err(named(path, StoreError::Corrupt("the file is empty".to_owned())));
        }
        let db = checking(cache_bytes)
            .create_with_backend(copy)
            .map_err(|error| refused(path, error))?;
        Self::prepare(db, None, false, OsRandom).map_err(|error| named(path, error))
    }

    /// A database on any storage, opened as a file is, or made where the storage is empty: for tests that watch or break it.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn on(backend: impl StorageBackend, site: &SiteId) -> Result<Self, StoreError> {
        Self::drawn_on(backend, site, OsRandom)
    }

    /// The same, where what is random is not the operating system's: for the simulated world, where all is as last time.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn drawn_on(
        backend: impl StorageBackend,
        site: &SiteId,
        random: impl Randomness + Send + 'static,
    ) -> Result<Self, StoreError> {
        let is_new = backend.len().map_err(|error| StoreError::of(&error))? == 0;
        let (db, waiting) = checked(backend, 4 << 20).map_err(redb::Error::from)?;
        if !is_new {
            is_a_stations(&db, site)?;
        }
        waiting.keep().map_err(|error| StoreError::of(&error))?;
        Self::prepare(db, Some(site), is_new, random)
    }

    /// `site` is `None` where it does not matter whose database it is; a new one is made only for a site.
    fn prepare(
        db: Database,
        site: Option<&SiteId>,
        may_be_new: bool,
        mut random: impl Randomness + Send + 'static,
    ) -> Result<Self, StoreError> {
        match (tables::version(&db)?, site) {
            (None, Some(site)) if may_be_new => tables::create(&db, site, &mut random)?,
            (None, _) => return Err(another_programs()),
            (Some(found), _) if found > SCHEMA_VERSION => return Err(StoreError::TooNew { found }),
            // In a file of a station that was done before; a copy that is looked at gets it in memory.
            (Some(found), _) if found < SCHEMA_VERSION => {
                tables::identity(&db, site)?;
                tables::migrate(&db)?;
            }
            (Some(_), _) => {}
        }
        let identity = tables::identity(&db, site)?;
        Ok(Self {
            db: Arc::new(db),
            identity: Arc::new(RwLock::new(Arc::new(identity))),
            answer_budget: AnswerBudget::default(),
            random: Arc::new(Mutex::new(random)),
        })
    }

    /// Whose journal this is.
    pub fn identity(&self) -> Arc<Identity> {
        Arc::clone(&self.identity.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// A snapshot: everything as of the last commit.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn reader(&self) -> Result<Reader, StoreError> {
        Reader::new(&self.db)
    }

    /// Everything that a start-up needs: open orders with their members, all piles and tariffs; not history.
    ///
    /// # Errors
    /// [`StoreError::BadRow`] or [`StoreError::Io`].
    pub fn recover(&self) -> Result<Recovered, StoreError> {
        let reader = self.reader()?;
        let (head, head_hash) = reader.head()?;
        let mut rows = Rows::default();
        for pile in reader.piles()? {
            rows.piles.insert(pile.id.clone(), pile);
        }
        for tariff in reader.tariffs()? {
            rows.tariffs.insert(tariff.spec().id.clone(), tariff);
        }
        rows.energy = reader.energy_books()?;
        rows.clock = reader.station_clock()?;
        rows.head_office = reader.head_office()?;
        reader.recover_desk(&mut rows)?;
        for account in reader.station_accounts()? {
            rows.ledger.load(account.0, account.1);
        }
        for id in reader.open_orders()? {
            rows.load(reader.load(&domain::site::Key::Order(id))?);
        }
        let members: Vec<_> = rows.orders().map(|order| order.member.clone()).collect();
        for member in members {
            if !rows.members.contains_key(&member) {
                rows.load(reader.load(&domain::site::Key::Member(member))?);
            }
        }
        Ok(Recovered {
            head,
            head_hash,
            mark: reader.mark()?,
            rows,
            live: reader.live()?,
            credentials: reader.credentials()?,
            retained: reader.retained()?,
            restored_at: reader.restored_at()?,
            just_restored: reader.ends_with_a_restore()?,
        })
    }
}
