//! A station with a past: a hundred thousand settled orders of one day, ten thousand open ones, a million journal entries.
//! Made by the rules and the store themselves, in large batches; then the real daemon is started on it.

use crate::{
    Scale, load,
    past::{BATCH, Keep, Past},
    pile::{self, world_wall},
    process::mib,
    spread::ms,
    table::Row,
};
use anyhow::{Context, ensure};
use domain::{
    fact::Fact,
    ids::{ConnectorNo, Outlet, PileId},
    journal::{Hash, Stamp},
    site::{Key, Loaded, Site},
    time::{Now, Wall},
    units::Energy,
};
use edge::{
    clock::Mark,
    store::{Batch, Store},
};
use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};
use world::station::SITE;

const DAY_MS: i64 = 86_400_000;
/// How often it is started; the slowest counts.
const STARTS: usize = 3;

/// A station's own database.
struct InStore {
    store: Store,
    head: Hash,
    /// What connectors last said, and is not written yet.
    live: Vec<Outlet>,
}

impl Keep for InStore {
    fn load(&self, key: Key) -> anyhow::Result<Loaded> {
        Ok(self.store.reader()?.load(&key)?)
    }

    fn keep(&mut self, site: &mut Site, now: Now, facts: Vec<(Stamp, Fact)>) -> anyhow::Result<()> {
        let live = std::mem::take(&mut self.live).into_iter().map(|outlet| {
            let live = site.outlet(&outlet).cloned().context("the heartbeat was not taken")?;
            anyhow::Ok((outlet, live))
        });
        let live = live.collect::<anyhow::Result<_>>()?;
        let batch = Batch {
            facts,
            changes: site.take_changes(),
            live,
            ..Batch::default()
        };
        let mark = Mark {
            mono: now.mono,
            wall: Some(now.wall),
            kernel_boot: None,
            kernel_uptime_ms: 0,
            certain: None,
        };
        self.head = self.store.commit(&batch, site.rows(), self.head, &mark)?;
        site.evict();
        Ok(())
    }
}

fn begin(database: &Path, at: Wall) -> anyhow::Result<Past<InStore>> {
    let store = Store::open(database, &SITE.parse()?, 256 << 20)?;
    let recovered = store.recover()?;
    let kept = InStore {
        store,
        head: recovered.head_hash,
        live: Vec::new(),
    };
    Ok(Past::begin(kept, recovered.head, recovered.rows, at))
}

/// What the past came to.
struct Made {
    entries: u64,
    /// The day, as people write it, and how many orders were settled on it.
    day: String,
    settled: usize,
    open: usize,
}

/// Makes the past at `database`: rounds on the day before yesterday until there are entries enough, then the day that is
/// audited, then the orders that are open.
fn make(database: &Path, scale: Scale) -> anyhow::Result<Made> {
    let piles = scale.of(10_000, 100);
    let (rounds, entries) = (10, scale.of(1_000_000, 10_000) as u64);
    // The site's days begin at 16:00 UTC.
    let zone_ms = 8 * 3_600_000;
    let yesterday = (world_wall().0 + zone_ms).div_euclid(DAY_MS) * DAY_MS - zone_ms - DAY_MS;
    let minutes_past = 5 * 60_000;
    let mut past = begin(database, Wall(yesterday - 2 * DAY_MS))?;
    past.open()?;
    for n in 0..piles {
        past.provision(n)?;
        past.register(n)?;
    }
    past.write(1)?;
    let provisioned = past.site.last().seq;
    let mut meters = vec![Energy(100_000_000); piles];
    let mut before = 0;
    loop {
        past.round(&mut meters, |n| n)?;
        before += 1;
        let a_round = (past.site.last().seq - provisioned) / before;
        if provisioned + a_round * (before + rounds) >= entries {
            break;
        }
    }
    let begin = Wall(yesterday + minutes_past);
    let wait = begin.ms_since(past.now.wall);
    ensure!(wait >= 0, "the day before was too short for its rounds");
    past.pass(wait.unsigned_abs());
    for _ in 0..rounds {
        past.round(&mut meters, |n| n)?;
    }
    for (n, meter) in meters.iter().enumerate() {
        let order = past.start(n, n)?;
        past.pass(1);
        past.heartbeat(n, Some(&order), Energy(meter.0 + 100))?;
        past.kept.live.push(Outlet {
            pile: PileId::new(pile::name(n))?,
            connector: ConnectorNo(1),
        });
        past.write(BATCH)?;
    }
    past.write(1)?;
    Ok(Made {
        entries: past.site.last().seq,
        day: Wall(begin.0 + zone_ms).to_string()[..10].to_owned(),
        settled: piles * rounds as usize,
        open: piles,
    })
}

/// Both rows of a station with a past.
pub(crate) async fn history(scale: Scale, start: bool, bills: bool) -> anyhow::Result<Vec<Row>> {
    let mut station = load::unstarted("history")?;
    let database = station.database();
    std::fs::create_dir_all(database.parent().context("the database lies in a folder")?)?;
    let begun = Instant::now();
    let made = tokio::task::spawn_blocking({
        let database = database.clone();
        move || make(&database, scale)
    })
    .await??;
    let bytes = std::fs::metadata(&database)?.len();
    eprintln!(
        "made {} entries, {} in {:.0} s",
        made.entries,
        mib(bytes),
        begun.elapsed().as_secs_f64()
    );
    let mut rows = Vec::new();
    station.start_again().await?;
    if start {
        let mut times = Vec::new();
        for n in 0..STARTS {
            // Something is committed, so that the file is that of a station at work.
            station.add_member(&format!("after-{n}"), "1.00").await?;
            station.kill()?;
            drop_cache(&database)?;
            let begun = Instant::now();
            station.start_again().await?;
            times.push(begun.elapsed());
        }
        let slowest = times.iter().max().copied().unwrap_or_default();
        rows.push(Row {
            what: format!(
                "start after SIGKILL, cold cache, {} open orders, {} journal entries",
                made.open, made.entries
            ),
            measured: format!("{} (slowest of {STARTS}; database {})", ms(slowest), mib(bytes)),
            yardstick: "–".to_owned(),
            ratio: None,
            aim: "1 s".to_owned(),
            met: slowest <= Duration::from_secs(1),
        });
    }
    if bills {
        let begun = Instant::now();
        let path = format!("/v1/bills/audit?day={}", made.day);
        let audit = station.get(&path).await?.success()?;
        let took = begun.elapsed();
        let count = |key: &str| audit[key].as_u64().with_context(|| format!("no {key} in {audit}"));
        let (rated, same) = (count("rated")?, count("same")?);
        ensure!(
            rated == made.settled as u64,
            "{rated} bills were rated again, {} settled",
            made.settled
        );
        rows.push(Row {
            what: format!("a day's bill run: {rated} orders re-rated"),
            measured: format!("{}, {same} the same to the fen", ms(took)),
            yardstick: "–".to_owned(),
            ratio: None,
            aim: "1 s".to_owned(),
            met: took <= Duration::from_secs(1) && same == rated,
        });
    }
    Ok(rows)
}

/// Has the kernel forget what it holds of a file: `dd` advises it so.
fn drop_cache(file: &Path) -> anyhow::Result<()> {
    let mut of = std::ffi::OsString::from("if=");
    of.push(file);
    let status = Command::new("dd")
        .arg(of)
        .args(["iflag=nocache", "count=0", "status=none"])
        .status()?;
    ensure!(status.success(), "dd failed");
    Ok(())
}
