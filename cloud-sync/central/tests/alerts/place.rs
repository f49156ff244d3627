//! A database that several processes open, a clock, and processes that look and tell.

use crate::cluster::{Cluster, Folder};
use central::{
    alerts::{
        Watch,
        conditions::Thresholds,
        telling::{Senders, Telling},
    },
    bills::folder::Stuck,
    clock::MachineClock,
    desk::Clock,
    store::{Db, Place, Value, outbox::Channel, sites},
};
use domain::time::{Mono, Wall};
use service::tls::{self, Tls};
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

/// The time at which a test begins: 10 March 2026, 04:00 UTC.
pub(crate) const BEGIN: Wall = Wall(1_773_115_200_000);

/// A clock that a test moves.
pub(crate) struct Moved(AtomicI64);

impl Clock for Moved {
    fn mono(&self) -> Mono {
        Mono(self.0.load(Ordering::SeqCst).unsigned_abs())
    }

    fn wall(&self) -> Wall {
        BEGIN.after_ms(self.0.load(Ordering::SeqCst))
    }
}

pub(crate) struct Home {
    place: Place,
    pub(crate) clock: Arc<Moved>,
    folder: Folder,
    _cluster: Option<Arc<Cluster>>,
}

impl Home {
    pub(crate) fn file() -> Self {
        let folder = Folder::new("alerts");
        let place = Place::File(folder.path().join("central.sqlite"));
        Self::at(place, folder, None)
    }

    pub(crate) async fn postgresql() -> Self {
        let started = tokio::task::spawn_blocking(|| {
            let cluster = Cluster::shared();
            (cluster.new_database(), cluster)
        });
        let (address, cluster) = started.await.unwrap();
        Self::at(Place::Postgres(address), Folder::new("alerts"), Some(cluster))
    }

    fn at(place: Place, folder: Folder, cluster: Option<Arc<Cluster>>) -> Self {
        Self {
            place,
            clock: Arc::new(Moved(AtomicI64::new(0))),
            folder,
            _cluster: cluster,
        }
    }

    /// A file in its folder.
    pub(crate) fn put(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A server's TLS, with a certificate for 127.0.0.1, and the file with its authority.
    pub(crate) fn tls(&self) -> (Tls, PathBuf) {
        let given = tls::Config {
            table: "tls",
            renew_with: "nothing",
            names: Vec::new(),
            own: None,
            client_ca: None,
        };
        let tls = Tls::open(
            &given,
            &self.folder.path().join("tls"),
            "somebody-else",
            Arc::new(MachineClock::start()),
        )
        .unwrap();
        let authority = self.put("authority.pem", tls.authority_pem().unwrap());
        (tls, authority)
    }

    pub(crate) fn pass(&self, ms: i64) {
        self.clock.0.fetch_add(ms, Ordering::SeqCst);
    }

    /// The database, opened by one more process.
    pub(crate) async fn open(&self) -> Db {
        let place = self.place.clone();
        tokio::task::spawn_blocking(move || Db::open(&place))
            .await
            .unwrap()
            .unwrap()
    }

    /// A process that looks.
    pub(crate) fn watch(&self, db: &Db, process: &str, channels: &[Channel]) -> Watch {
        Watch {
            db: db.clone(),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            thresholds: Thresholds {
                disk_free: 0,
                ..Thresholds::default()
            },
            channels: channels.to_vec(),
            process: process.to_owned(),
            folder: Path::new("/").to_owned(),
            certificate_until: Box::new(|| None),
            bills: Stuck::default(),
        }
    }

    /// A process that tells.
    pub(crate) fn telling(&self, db: &Db, senders: Senders) -> Telling {
        Telling {
            db: db.clone(),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            senders,
        }
    }

    /// The site is heard now; it is added if need be.
    pub(crate) async fn hear(&self, db: &Db, site: &str) {
        let (id, now) = (site.parse().unwrap(), self.clock.wall());
        let heard = db.write(move |tx| {
            if sites::find(tx, &id)?.is_none() {
                sites::add(tx, &id, "a station", &[])?;
            }
            sites::heard(tx, &id, None, now)
        });
        heard.await.unwrap();
    }
}

/// The messages: id, channel, state, tries.
pub(crate) async fn messages(db: &Db) -> Vec<(String, String, String, i64)> {
    let read = db.read(|tx| {
        tx.query(
            "SELECT id, channel, state, tries FROM outbox ORDER BY made_at, id, channel",
            &[],
        )
    });
    let row = |mut row: central::store::Row| {
        let text = |row: &mut central::store::Row, at| row.text(at).unwrap();
        (
            text(&mut row, 0),
            text(&mut row, 1),
            text(&mut row, 2),
            row.int(3).unwrap(),
        )
    };
    read.await.unwrap().into_iter().map(row).collect()
}

/// How many rows there are for which this holds.
pub(crate) async fn count(db: &Db, statement: &'static str) -> i64 {
    let rows = db.read(move |tx| tx.query(statement, &[] as &[Value])).await.unwrap();
    rows.into_iter().next().unwrap().int(0).unwrap()
}

/// Each test on SQLite in a file, and on PostgreSQL.
macro_rules! on_both {
    ($($test:ident)*) => {
        mod on_sqlite { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() { super::$test(crate::place::Home::file()).await; }
        )* }
        mod on_postgresql { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() { super::$test(crate::place::Home::postgresql().await).await; }
        )* }
    };
}

pub(crate) use on_both;
