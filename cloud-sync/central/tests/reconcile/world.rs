//! A head office with one channel, whose bills are CSV: what a test says was credited and what it says is on the bill.

use crate::cluster::{Cluster, Folder};
use central::{
    bills::{
        Biller, Encoding, Format,
        import::{Importer, NotImported, Wanted},
        mapped::{Kinds, Mapping},
        spool::{Received, Spool},
    },
    desk::Clock,
    reconcile::{
        funds::{NotRun, Reconciler},
        totals::Totals,
        words::{Class, Source},
    },
    store::{
        Db, Place, Row, Value,
        channels::{self, Channel, Signs},
        reconcile_runs::Run,
    },
};
use domain::time::{Day, Mono, Wall, Zone};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

pub(crate) const CHANNEL: &str = "bank";
/// The channel's first day.
pub(crate) const FIRST: &str = "2026-03-09";

/// A clock that a test sets.
pub(crate) struct Set(AtomicI64);

impl Clock for Set {
    fn mono(&self) -> Mono {
        Mono(0)
    }

    fn wall(&self) -> Wall {
        Wall(self.0.load(Ordering::SeqCst))
    }
}

pub(crate) struct World {
    pub(crate) db: Db,
    pub(crate) clock: Arc<Set>,
    pub(crate) reconciler: Reconciler,
    importer: Importer,
    zone: Zone,
    folder: Folder,
    _cluster: Option<Arc<Cluster>>,
}

/// A line of a bill.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) reference: String,
    pub(crate) out_no: String,
    pub(crate) fen: i64,
    pub(crate) fee: i64,
    pub(crate) at: String,
    pub(crate) status: &'static str,
    /// Of a refund its own numbers.
    pub(crate) refund: Option<(String, String)>,
}

/// A payment at noon, with the fee that was agreed on: 0.6 %.
pub(crate) fn paid(reference: &str, out_no: &str, fen: i64) -> Line {
    Line {
        reference: reference.to_owned(),
        out_no: out_no.to_owned(),
        fen,
        fee: (fen * 6_000 + 500_000) / 1_000_000,
        at: "12:00:00".to_owned(),
        status: "成功",
        refund: None,
    }
}

/// A refund of it.
pub(crate) fn refunded(of: &Line, reference: &str, fen: i64) -> Line {
    Line {
        refund: Some((reference.to_owned(), format!("our-{reference}"))),
        fen,
        fee: 0,
        ..of.clone()
    }
}

pub(crate) fn yuan(fen: i64) -> String {
    format!("{}.{:02}", fen / 100, fen % 100)
}

pub(crate) fn day(text: &str) -> Day {
    text.parse().unwrap()
}

/// Waits for it, on a runtime of its own.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    runtime.block_on(future)
}

pub(crate) fn mapping(channel: &str) -> Mapping {
    let column = |name: &str| Some(name.to_owned());
    Mapping {
        channel: channel.to_owned(),
        encoding: Encoding::Utf8,
        separator: ',',
        reference: "ref".to_owned(),
        out_no: "out_no".to_owned(),
        amount: "amount".to_owned(),
        at: "at".to_owned(),
        at_form: None,
        settled: None,
        kind: Some(Kinds {
            column: "kind".to_owned(),
            payments: vec!["payment".to_owned()],
            refunds: vec!["refund".to_owned()],
            ignored: Vec::new(),
        }),
        fee: column("fee"),
        refund_reference: column("refund_ref"),
        refund_out_no: column("refund_no"),
        merchant: None,
        currency: None,
        status: column("status"),
        name: None,
        total: None,
        total_of: Vec::new(),
    }
}

impl World {
    pub(crate) fn sqlite() -> Self {
        Self::at(&Place::Memory, None)
    }

    pub(crate) fn postgresql() -> Self {
        let cluster = Cluster::shared();
        let place = Place::Postgres(cluster.new_database());
        Self::at(&place, Some(cluster))
    }

    fn at(place: &Place, cluster: Option<Arc<Cluster>>) -> Self {
        let db = Db::open(place).unwrap();
        let clock = Arc::new(Set(AtomicI64::new(0)));
        let world = Self {
            reconciler: Reconciler {
                db: db.clone(),
                clock: Arc::clone(&clock) as Arc<dyn Clock>,
            },
            importer: Importer {
                db: db.clone(),
                clock: Arc::clone(&clock) as Arc<dyn Clock>,
                csv: Arc::new([mapping(CHANNEL)]),
            },
            db,
            clock,
            zone: Zone::named("Asia/Shanghai").unwrap(),
            folder: Folder::new("reconcile"),
            _cluster: cluster,
        };
        world.channel(CHANNEL, Biller::Csv, "Asia/Shanghai", 3);
        world.now("2026-03-10 01:00:00");
        world
    }

    /// Adds a channel, or changes one.
    pub(crate) fn channel(&self, name: &str, biller: Biller, zone: &str, settle_days: u32) {
        self.channel_since(name, biller, zone, settle_days, "1900000001", day(FIRST));
    }

    /// The same, with our number there and its first day.
    pub(crate) fn channel_since(
        &self,
        name: &str,
        biller: Biller,
        zone: &str,
        settle_days: u32,
        merchant: &str,
        first: Day,
    ) {
        let channel = Channel {
            name: name.to_owned(),
            signs: Signs::Hmac,
            secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned(),
            merchant: merchant.to_owned(),
            fee_ppm: 6_000,
            settle_days,
            zone: zone.to_owned(),
            bills: Some(biller),
            made_at: Zone::named(zone).unwrap().begin_of(first),
        };
        wait(self.db.write(move |tx| channels::put(tx, &channel, channel.made_at))).unwrap();
    }

    /// Changes the channel, now.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Channel)) {
        self.change_of(CHANNEL, change);
    }

    pub(crate) fn change_of(&self, name: &str, change: impl FnOnce(&mut Channel)) {
        let (now, name) = (self.clock.wall(), name.to_owned());
        let found = wait(self.db.read(move |tx| channels::find(tx, &name))).unwrap();
        let mut channel = found.unwrap();
        change(&mut channel);
        wait(self.db.write(move |tx| channels::put(tx, &channel, now))).unwrap();
    }

    /// A time by the channel's clocks, as in `2026-03-09 12:00:00`.
    pub(crate) fn at_time(&self, text: &str) -> Wall {
        let (of, time) = text.split_once(' ').unwrap();
        let parts: Vec<i64> = time.split(':').map(|part| part.parse().unwrap()).collect();
        let ms = ((parts[0] * 60 + parts[1]) * 60 + parts[2]) * 1_000;
        self.zone.begin_of(day(of)).after_ms(ms)
    }

    pub(crate) fn now(&self, text: &str) {
        self.set(self.at_time(text));
    }

    pub(crate) fn set(&self, now: Wall) {
        self.clock.0.store(now.0, Ordering::SeqCst);
    }

    pub(crate) fn execute(&self, statement: &str, values: Vec<Value>) -> u64 {
        let statement = statement.to_owned();
        wait(self.db.write(move |tx| tx.execute(&statement, &values))).unwrap()
    }

    pub(crate) fn query(&self, statement: &str, values: Vec<Value>) -> Vec<Row> {
        let statement = statement.to_owned();
        wait(self.db.read(move |tx| tx.query(&statement, &values))).unwrap()
    }

    /// Somebody asks for a top-up.
    pub(crate) fn asked(&self, out_no: &str, fen: i64, at: &str) {
        let at = self.at_time(at);
        self.execute(
            "INSERT INTO topup (channel, ref, member, amount, state, made_at, made_by) VALUES ($1, $2, 'm1', $3, 'pending', $4, 'test')",
            vec![CHANNEL.into(), out_no.into(), fen.into(), at.0.into()],
        );
    }

    /// A wallet was credited, at a time such as `2026-03-09 12:00:00`, for a top-up that was asked for a minute before.
    pub(crate) fn credit(&self, reference: &str, out_no: &str, fen: i64, at: &str) {
        let credited_at = self.at_time(at);
        self.execute(
            "INSERT INTO topup (channel, ref, member, amount, state, made_at, made_by, credited_at) \
             VALUES ($1, $2, 'm1', $3, 'credited', $4, 'test', $5) ON CONFLICT (channel, ref) DO UPDATE SET state = 'credited', \
             credited_at = excluded.credited_at",
            vec![
                CHANNEL.into(),
                out_no.into(),
                fen.into(),
                credited_at.after_ms(-60_000).0.into(),
                credited_at.0.into(),
            ],
        );
        self.execute(
            "INSERT INTO channel_transaction (channel, id, ref, amount, credited, at) VALUES ($1, $2, $3, $4, 1, $5)",
            vec![
                CHANNEL.into(),
                reference.into(),
                out_no.into(),
                fen.into(),
                credited_at.0.into(),
            ],
        );
    }

    /// A folder for what a test writes.
    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// A file comes in.
    pub(crate) fn import(&self, channel: &str, of: Day, format: Format, bytes: &[u8]) -> Result<(), NotImported> {
        let wanted = Wanted {
            channel: channel.to_owned(),
            format,
            day: of,
        };
        let mut spool = Spool::begin(&self.folder.path().join("spool"), 0).unwrap();
        spool.add(bytes).unwrap();
        let received: Received = spool.end().unwrap();
        wait(self.importer.import(&wanted, received, "test")).map(drop)
    }

    /// The bill of a day comes in.
    pub(crate) fn bill(&self, of: &str, lines: &[Line]) {
        let mut csv = "kind,ref,out_no,amount,fee,at,refund_ref,refund_no,status\n".to_owned();
        for line in lines {
            let kind = if line.refund.is_some() { "refund" } else { "payment" };
            let (refund, refund_no) = line.refund.clone().unwrap_or_default();
            writeln!(
                csv,
                "{kind},{},{},{},{},{of} {},{refund},{refund_no},{}",
                line.reference,
                line.out_no,
                yuan(line.fen),
                yuan(line.fee),
                line.at,
                line.status
            )
            .unwrap();
        }
        self.import(CHANNEL, day(of), Format::Csv, csv.as_bytes()).unwrap();
    }

    pub(crate) fn try_run(&self, of: &str) -> Result<Run, NotRun> {
        wait(self.reconciler.run(CHANNEL, day(of), "test"))
    }

    pub(crate) fn run(&self, of: &str) -> Run {
        self.try_run(of).unwrap()
    }

    pub(crate) fn totals(&self, of: &str) -> Totals {
        self.run(of).totals.unwrap()
    }

    /// What was open at the end of a day, as it is known now: class, row, what we say and what the channel says.
    pub(crate) fn open(&self, of: &str) -> Vec<String> {
        self.open_of(CHANNEL, day(of))
    }

    pub(crate) fn open_of(&self, channel: &str, of: Day) -> Vec<String> {
        let rows = self.query(
            "SELECT class, source, ref, ours, theirs FROM verdict WHERE scope = $1 AND day <= $2 AND (until IS NULL OR until > $2)",
            vec![format!("channel:{channel}").into(), of.to_string().into()],
        );
        said(rows)
    }

    /// What is open of a channel's discrepancies, in the same words.
    pub(crate) fn discrepancies_of(&self, channel: &str) -> Vec<String> {
        let rows = self.query(
            "SELECT class, source, ref, ours, theirs FROM discrepancy WHERE scope = $1 AND closed_at IS NULL",
            vec![format!("channel:{channel}").into()],
        );
        said(rows)
    }

    /// Everything that a run leaves behind, but for what says when and how often.
    pub(crate) fn found(&self) -> BTreeMap<&'static str, Vec<Row>> {
        let of = |statement: &str| self.query(statement, Vec::new());
        BTreeMap::from([
            ("matched", of("SELECT * FROM matched ORDER BY channel, ref")),
            (
                "verdict",
                of("SELECT * FROM verdict ORDER BY scope, leg, source, ref, file, line, class, is_matched"),
            ),
            ("discrepancy", of("SELECT * FROM discrepancy ORDER BY id")),
            ("event", of("SELECT * FROM discrepancy_event ORDER BY discrepancy, no")),
            (
                "run",
                of(
                    "SELECT scope, day, status, inputs, totals, digest FROM run WHERE status IN ('provisional', 'final') \
                    ORDER BY scope, day",
                ),
            ),
        ])
    }
}

fn said(rows: Vec<Row>) -> Vec<String> {
    let said = |mut row: Row| {
        let class = Class::of_code(row.int(0).unwrap()).unwrap().word();
        let source = Source::of_code(row.int(1).unwrap()).unwrap().word();
        let reference = row.text(2).unwrap();
        let value = |fen: Option<i64>| fen.map_or("-".to_owned(), |fen| fen.to_string());
        let (ours, theirs) = (value(row.optional_int(3).unwrap()), value(row.optional_int(4).unwrap()));
        format!("{class} {source} {reference} {ours} {theirs}")
    };
    let mut said: Vec<String> = rows.into_iter().map(said).collect();
    said.sort();
    said
}
