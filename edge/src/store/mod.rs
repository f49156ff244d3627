//! The station's disk: one redb file. Only this module and what lies below it name redb.
//! Rows are JSON under ordered keys; the journal keeps the very bytes that are sealed.

mod aside;
mod audit;
mod read;
mod retained;
mod tables;
mod write;

pub use audit::{BillAudit, DIFFERENCES_MAX, Difference};
pub use read::{OrderFilter, Page, Reader};
pub use retained::Retained;
pub use write::{Batch, Remembered, SampleRow};

use crate::{
    clock::Mark,
    credentials::{Credentials, SecretHash, Token},
};
use domain::{
    ids::{Outlet, PileId, SiteId},
    journal::{Hash, Stamp},
    site::{OutletLive, Rows},
};
use redb::{Database, ReadableDatabase, StorageBackend};
use std::{
    collections::BTreeMap,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The layout of the tables. A file of a newer one is refused, of an older one migrated.
pub const SCHEMA_VERSION: u32 = 1;

/// Why the disk does not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the file open.
    #[error("{} is in use by another process: a running daemon? Use `holdfast-edge status`, which asks the daemon", .0.display())]
    InUse(PathBuf),
    /// The file is damaged, or not a Holdfast database.
    #[error(
        "{} cannot be read: {why}. Nothing was changed. Move the file aside and restore a copy of it, if there is one; the daemon never starts empty over a damaged file",
        path.display()
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What redb says.
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
    /// Input or output failed.
    #[error("the disk failed: {0}")]
    Io(String),
}

impl StoreError {
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
            redb::Error::Io(error) => Self::Io(in_words(&error)),
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
    use std::io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    let what = match error.kind() {
        StorageFull | QuotaExceeded => "the disk is full",
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
        StoreError::Io(why) => StoreError::Io(format!("{}: {why}", path.display())),
        other => other,
    }
}

/// The open database.
#[derive(Clone)]
pub struct Store {
    db: Arc<Database>,
    identity: Arc<Identity>,
}

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
}

impl Store {
    /// Opens the database at `path` for `site`, or makes a new one if no file is there.
    ///
    /// # Errors
    /// [`StoreError::InUse`] if another process has it, [`StoreError::Damaged`], [`StoreError::TooNew`],
    /// [`StoreError::OtherSite`], [`StoreError::Io`] where it is the disk that fails and not the file.
    pub fn open(path: &Path, site: &SiteId, cache_bytes: usize) -> Result<Self, StoreError> {
        let failed = |error: std::io::Error| named(path, StoreError::Io(in_words(&error)));
        let exists = path.try_exists().map_err(failed)?;
        if exists && std::fs::metadata(path).map_err(failed)?.len() == 0 {
            return Err(named(path, StoreError::Corrupt("the file is empty".to_owned())));
        }
        let mut builder = Database::builder();
        builder.set_cache_size(cache_bytes);
        let unfinished = path.with_extension("redb.unfinished");
        if exists {
            let db = builder.open(path).map_err(|error| refused(path, error))?;
            let _none_as_a_rule = std::fs::remove_file(&unfinished);
            return Self::prepare(db, Some(site), false).map_err(|error| named(path, error));
        }
        // Made under another name and given its own when it is whole: a first start that is cut off can be made again,
        // and a file with that name always is a station's.
        let create = || {
            // What is in it is the driver's money: for its owner alone, whatever the process's umask.
            std::fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&unfinished)
                .map_err(redb::StorageError::Io)?;
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
        let store = Self::prepare(db, Some(site), true).map_err(|error| named(path, error))?;
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        // Unlike a rename, a link never takes the place of what another daemon has made meanwhile.
        std::fs::hard_link(&unfinished, path)
            .and_then(|()| std::fs::remove_file(&unfinished))
            // The file's own name must survive a power cut too.
            .and_then(|()| std::fs::File::open(folder)?.sync_all())
            .map_err(failed)?;
        Ok(store)
    }

    /// Looks at a copy of a database, of whatever site, without changing the file: what a copy of a running database
    /// needs repaired is repaired in memory.
    ///
    /// # Errors
    /// As [`Store::open`]; [`StoreError::InUse`] for the file of a running daemon.
    pub fn look_at(path: &Path, cache_bytes: usize) -> Result<Self, StoreError> {
        let copy = aside::Aside::of(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::WouldBlock => StoreError::InUse(path.to_owned()),
            _ => named(path, StoreError::Io(in_words(&error))),
        })?;
        if copy.len().is_ok_and(|bytes| bytes == 0) {
            return Err(named(path, StoreError::Corrupt("the file is empty".to_owned())));
        }
        let mut builder = Database::builder();
        builder.set_cache_size(cache_bytes);
        let db = builder
            .create_with_backend(copy)
            .map_err(|error| refused(path, error))?;
        Self::prepare(db, None, false).map_err(|error| named(path, error))
    }

    /// A database on any storage: for tests that watch or break it.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn on(backend: impl StorageBackend, site: &SiteId) -> Result<Self, StoreError> {
        let db = Database::builder()
            .create_with_backend(backend)
            .map_err(redb::Error::from)?;
        Self::prepare(db, Some(site), true)
    }

    /// `site` is `None` where it does not matter whose database it is; a new one is made only for a site.
    fn prepare(db: Database, site: Option<&SiteId>, may_be_new: bool) -> Result<Self, StoreError> {
        let version = {
            let read = db.begin_read()?;
            match read.open_table(tables::META) {
                Ok(meta) => {
                    let version = meta.get("schema_version")?;
                    Some(version.map_or(0, |value| tables::number(value.value())))
                }
                Err(redb::TableError::TableDoesNotExist(_)) => None,
                Err(error) => return Err(error.into()),
            }
        };
        match (version, site) {
            (None, Some(site)) if may_be_new => tables::create(&db, site)?,
            (None, _) => return Err(StoreError::Corrupt("it is the database of another program".to_owned())),
            (Some(found), _) if found > SCHEMA_VERSION => return Err(StoreError::TooNew { found }),
            (Some(_), _) => {}
        }
        let read = db.begin_read()?;
        let meta = read.open_table(tables::META)?;
        let text = |key: &'static str| -> Result<String, StoreError> {
            let value = meta.get(key)?;
            Ok(value
                .map(|value| String::from_utf8_lossy(value.value()).into_owned())
                .unwrap_or_default())
        };
        let found = text("site")?;
        if let Some(expected) = site.filter(|expected| expected.as_str() != found) {
            return Err(StoreError::OtherSite {
                found,
                expected: expected.clone(),
            });
        }
        let identity = Identity {
            site: SiteId::new(&found)
                .map_err(|error| StoreError::Corrupt(format!("its site is {found:?}: {error}")))?,
            epoch: text("epoch")?,
        };
        drop(meta);
        Ok(Self {
            db: Arc::new(db),
            identity: Arc::new(identity),
        })
    }

    /// Whose journal this is.
    pub fn identity(&self) -> &Identity {
        &self.identity
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
        for account in reader.station_accounts()? {
            rows.ledger.load(account.0, account.1);
        }
        for id in reader.open_orders()? {
            reader.load(&domain::site::Key::Order(id), &mut rows)?;
        }
        let members: Vec<_> = rows.orders().map(|order| order.member.clone()).collect();
        for member in members {
            if !rows.members.contains_key(&member) {
                reader.load(&domain::site::Key::Member(member), &mut rows)?;
            }
        }
        let (piles, tokens): (BTreeMap<PileId, SecretHash>, BTreeMap<String, Token>) = reader.credentials()?;
        Ok(Recovered {
            head,
            head_hash,
            mark: reader.mark()?,
            rows,
            live: reader.live()?,
            credentials: Credentials::new(piles, tokens),
            retained: reader.retained()?,
        })
    }
}
