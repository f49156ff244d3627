//! The station's disk: one redb file. Only this module and what lies below it name redb.
//! Rows are JSON under ordered keys; the journal keeps the very bytes that are sealed.

mod read;
mod tables;
mod write;

pub use read::{OrderFilter, Page, Reader};
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
        "{} cannot be read: {why}. Nothing was changed. Move the file aside and restore the last backup; the daemon never starts empty over a damaged file",
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
            Self::io(error)
        }
    })+ };
}

from_redb!(
    redb::TransactionError,
    redb::TableError,
    redb::StorageError,
    redb::CommitError
);

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
}

impl Store {
    /// Opens the database at `path` for `site`, or makes a new one if no file is there.
    ///
    /// # Errors
    /// [`StoreError::InUse`] if another process has it, [`StoreError::Damaged`], [`StoreError::TooNew`],
    /// [`StoreError::OtherSite`].
    pub fn open(path: &Path, site: &SiteId, cache_bytes: usize) -> Result<Self, StoreError> {
        let damaged = |why: String| StoreError::Damaged {
            path: path.to_owned(),
            why,
        };
        let exists = path.exists();
        if exists && std::fs::metadata(path).map_err(StoreError::io)?.len() == 0 {
            return Err(damaged("the file is empty".to_owned()));
        }
        let mut builder = Database::builder();
        builder.set_cache_size(cache_bytes);
        let refused = |error| match error {
            redb::DatabaseError::DatabaseAlreadyOpen => StoreError::InUse(path.to_owned()),
            redb::DatabaseError::Storage(redb::StorageError::Io(error))
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::PermissionDenied
                ) =>
            {
                StoreError::Io(format!("{}: {error}", path.display()))
            }
            other => damaged(other.to_string()),
        };
        let unfinished = path.with_extension("redb.unfinished");
        if exists {
            let db = builder.open(path).map_err(refused)?;
            let _none_as_a_rule = std::fs::remove_file(&unfinished);
            return Self::prepare(db, site, false).map_err(|error| match error {
                StoreError::Io(why) => damaged(why),
                other => other,
            });
        }
        // Made under another name and given its own when it is whole: a first start that is cut off can be made again,
        // and a file with that name always is a station's.
        let db = builder.create(&unfinished).or_else(|error| match error {
            redb::DatabaseError::DatabaseAlreadyOpen => Err(error),
            _ => {
                let _tells_create = std::fs::remove_file(&unfinished);
                builder.create(&unfinished)
            }
        });
        let store = Self::prepare(db.map_err(refused)?, site, true)?;
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        // Unlike a rename, a link never takes the place of what another daemon has made meanwhile.
        std::fs::hard_link(&unfinished, path)
            .and_then(|()| std::fs::remove_file(&unfinished))
            // The file's own name must survive a power cut too.
            .and_then(|()| std::fs::File::open(folder)?.sync_all())
            .map_err(|error| StoreError::Io(format!("{}: {error}", path.display())))?;
        Ok(store)
    }

    /// A database on any storage: for tests that watch or break it.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn on(backend: impl StorageBackend, site: &SiteId) -> Result<Self, StoreError> {
        let db = Database::builder()
            .create_with_backend(backend)
            .map_err(StoreError::io)?;
        Self::prepare(db, site, true)
    }

    fn prepare(db: Database, site: &SiteId, may_be_new: bool) -> Result<Self, StoreError> {
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
        match version {
            None if may_be_new => tables::create(&db, site)?,
            None => return Err(StoreError::Io("it is the database of another program".to_owned())),
            Some(found) if found > SCHEMA_VERSION => return Err(StoreError::TooNew { found }),
            Some(_) => {}
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
        if found != site.as_str() {
            return Err(StoreError::OtherSite {
                found,
                expected: site.clone(),
            });
        }
        let identity = Identity {
            site: site.clone(),
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
        })
    }
}
