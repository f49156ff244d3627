//! A head office with its database, in each place where that can be.

use crate::{
    cluster::{Cluster, Folder},
    journal::Journal,
};
use central::{
    ingest::{Read, SiteCopy, Taken, take},
    store::{Db, Place, StoreError, Tx, identity, sites},
};
use domain::{ids::SiteId, time::Wall};
use protocol::key::SigningKey;
use std::{path::PathBuf, sync::Arc};

pub(crate) const ME: &str = "here";
pub(crate) const NOW: Wall = Wall(1_772_323_200_000);

/// A head office whose database goes with it.
pub(crate) struct HeadOffice {
    pub(crate) db: Db,
    folder: Option<Folder>,
    _cluster: Option<Arc<Cluster>>,
}

impl HeadOffice {
    pub(crate) fn in_memory() -> Self {
        Self {
            db: Db::open(&Place::Memory).unwrap(),
            folder: None,
            _cluster: None,
        }
    }

    pub(crate) fn in_file() -> Self {
        let folder = Folder::new("copy");
        Self {
            db: Db::open(&Place::File(folder.path().join("central.sqlite"))).unwrap(),
            folder: Some(folder),
            _cluster: None,
        }
    }

    pub(crate) fn on_postgresql() -> Self {
        let cluster = Cluster::shared();
        Self {
            db: Db::open(&Place::Postgres(cluster.new_database())).unwrap(),
            folder: None,
            _cluster: Some(cluster),
        }
    }

    /// On a database that is there.
    pub(crate) fn at(db: Db, cluster: Arc<Cluster>) -> Self {
        Self {
            db,
            folder: None,
            _cluster: Some(cluster),
        }
    }

    /// Its database, where that is a file.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.as_ref().unwrap().path().join("central.sqlite")
    }

    /// Adds the site of a journal; its copy is empty.
    pub(crate) fn add(&self, journal: &Journal) -> SiteCopy {
        let key = SigningKey::from_seed(journal.key).public();
        let site = journal.site.clone();
        self.write(move |tx| {
            identity::of(tx, NOW)?;
            sites::add(tx, &site, "a station", &[sites::EdgeKey { key, from: 0 }])?;
            assert!(sites::own(tx, &site, ME, NOW, NOW.after_ms(20_000))?);
            load(tx, &site)
        })
        .unwrap()
    }

    /// Takes a batch that was read.
    pub(crate) fn take(&self, copy: SiteCopy, read: Arc<Read>) -> (SiteCopy, Taken) {
        self.take_at(copy, read, NOW)
    }

    /// The same, at a time of head office's own.
    pub(crate) fn take_at(&self, mut copy: SiteCopy, read: Arc<Read>, now: Wall) -> (SiteCopy, Taken) {
        let taken = self.write(move |tx| {
            let taken = take(tx, ME, &mut copy, &read, now)?;
            Ok((copy, taken))
        });
        taken.unwrap()
    }

    /// Takes a whole journal.
    pub(crate) fn follow(&self, journal: &Journal, most: usize) -> SiteCopy {
        let mut copy = self.add(journal);
        for batch in journal.batches(most) {
            let read = read(&batch, &copy);
            let taken;
            (copy, taken) = self.take(copy, Arc::new(read));
            assert_eq!(taken, Taken::Followed, "{:?}", copy.site().head);
        }
        copy
    }

    pub(crate) fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn Tx) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        wait(self.db.write(work))
    }

    pub(crate) fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn Tx) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        wait(self.db.read(work))
    }
}

/// A batch that a key of the site has signed.
pub(crate) fn read(batch: &[u8], copy: &SiteCopy) -> Read {
    Read::of(batch, &copy.site().id, &copy.site().keys).unwrap()
}

/// The copy of a site as the database has it.
pub(crate) fn load(tx: &mut dyn Tx, site: &SiteId) -> Result<SiteCopy, StoreError> {
    let found = sites::find(tx, site)?.unwrap();
    SiteCopy::load(tx, found)
}

/// Waits for it, on a runtime of its own.
fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(future)
}
