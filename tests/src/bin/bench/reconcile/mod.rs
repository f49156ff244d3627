//! Rows of reconciliation: a whole day of a channel and of many sites with one error in a thousand, on SQLite and on PostgreSQL; a bill that
//! is imported; and what pandas takes for the same day.
//!
//! | file | holds |
//! |---|---|
//! | here | the rows |
//! | `day` | the day: what is in the database, and in files for pandas |
//! | `bill` | a bill of many lines |

mod bill;
mod day;

use crate::{Scale, table::Row, yardstick::Postgres};
use anyhow::{Context, ensure};
use central::{
    desk::Clock,
    reconcile::{funds::Reconciler, sites::Sites},
    report::{
        Format, Sheet,
        written::{Which, write},
    },
    store::{Db, Place, sites},
};
use day::{CHANNEL, DAY, Size};
use domain::time::{Day, Mono, Wall, Zone};
use std::{
    fs::File,
    io::BufWriter,
    path::Path,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};
use world::station::{Folder, repository};

/// How long a day, or a bill, of a million may take.
const AIM: Duration = Duration::from_secs(20);
/// The part of it that is measured too, as it must grow no faster than the day.
const PART: usize = 10;

/// It is always this time.
#[derive(Debug)]
struct Stopped(Wall);

impl Clock for Stopped {
    fn mono(&self) -> Mono {
        Mono(0)
    }

    fn wall(&self) -> Wall {
        self.0
    }
}

/// In the night after the day.
fn night() -> anyhow::Result<Arc<dyn Clock>> {
    let day: Day = DAY.parse().map_err(anyhow::Error::msg)?;
    Ok(Arc::new(Stopped(
        Zone::default().begin_of(day.plus(1)).after_ms(2 * 3_600_000),
    )))
}

/// What a day took.
struct Took {
    channel: Duration,
    sites: Duration,
    report: Duration,
    open: i64,
}

impl Took {
    fn all(&self) -> Duration {
        self.channel + self.sites + self.report
    }
}

/// How long a day takes, from what is asked to the report's last byte, and how long a bill: on SQLite, and on a PostgreSQL beside it.
pub(crate) async fn reconcile(scale: Scale) -> anyhow::Result<Vec<Row>> {
    let folder = Folder::new("bench-reconcile")?;
    let size = Size::of(scale.of(1_000_000, 20_000));
    let part = Size::of(size.rows / PART);
    let pandas = pandas(folder.path(), size)?;
    let server = Postgres::start()?;
    let mut rows = Vec::new();
    for engine in ["SQLite", "PostgreSQL"] {
        let place = |name: &str| -> anyhow::Result<Place> {
            Ok(match engine {
                "SQLite" => Place::File(folder.path().join(format!("{name}.sqlite"))),
                _ => Place::Postgres(server.new_database(name)?),
            })
        };
        let of_part = whole_day(place("part")?, part, folder.path()).await?;
        let took = whole_day(place("whole")?, size, folder.path()).await?;
        rows.push(day_row(size, engine, (&took, &of_part), pandas));
        let imported = bill::import(place("bill")?, size.rows, folder.path(), night()?).await?;
        rows.push(bill_row(size, engine, &imported));
    }
    Ok(rows)
}

fn day_row(size: Size, engine: &str, (took, part): (&Took, &Took), pandas: Duration) -> Row {
    let seconds = |took: Duration| took.as_secs_f64();
    let (all, aim) = (seconds(took.all()), seconds(AIM) * size.rows as f64 / 1e6);
    Row {
        what: format!(
            "a day reconciled: {} top-ups and as many bill lines, {} orders at {} connectors of {} sites, one error in a thousand, report \
             written, {engine}",
            size.rows,
            size.orders(),
            size.connectors(),
            size.sites
        ),
        measured: format!(
            "{all:.1} s (channel {:.1}, sites {:.1}, report {:.1}; {} open); a tenth of it {:.1} s",
            seconds(took.channel),
            seconds(took.sites),
            seconds(took.report),
            took.open,
            seconds(part.all())
        ),
        yardstick: format!("pandas, in memory: {:.1} s", seconds(pandas)),
        ratio: Some(all / seconds(pandas)),
        aim: format!("{aim:.1} s, and ahead of pandas"),
        met: all <= aim && all <= seconds(pandas),
    }
}

fn bill_row(size: Size, engine: &str, of: &bill::Imported) -> Row {
    let aim = AIM.as_secs_f64() * size.rows as f64 / 1e6;
    let took = of.took.as_secs_f64();
    Row {
        what: format!("a bill of {} lines imported, {engine}", size.rows),
        measured: format!(
            "{took:.1} s ({} MB); memory {} MB at most, {} MB before",
            of.megabytes, of.memory_after_mb, of.memory_before_mb
        ),
        yardstick: "–".to_owned(),
        ratio: None,
        aim: format!("{aim:.1} s, memory flat"),
        met: took <= aim,
    }
}

async fn whole_day(place: Place, size: Size, folder: &Path) -> anyhow::Result<Took> {
    let db = tokio::task::spawn_blocking(move || Db::open(&place)).await??;
    day::plant(&db, size).await?;
    let (clock, day): (_, Day) = (night()?, DAY.parse().map_err(anyhow::Error::msg)?);
    let begun = Instant::now();
    let reconciler = Reconciler {
        db: db.clone(),
        clock: Arc::clone(&clock),
    };
    let run = reconciler.run(CHANNEL, day, "bench").await?;
    let channel = begun.elapsed();

    let begun = Instant::now();
    let of_sites = Sites {
        db: db.clone(),
        clock: Arc::clone(&clock),
    };
    for site in db.read(sites::all).await? {
        of_sites.catch_up(&site.id, "bench").await?;
    }
    let sites = begun.elapsed();

    let begun = Instant::now();
    let file = BufWriter::new(File::create(folder.join("report.xlsx"))?);
    let written = db.read(move |tx| {
        let mut file = file;
        Ok(write(
            tx,
            &Which::all(day, day.plus(1)),
            (Format::Xlsx, Sheet::Summary),
            &mut file,
        ))
    });
    written.await??;
    let report = begun.elapsed();

    let counted = db.read(|tx| {
        let found = "SELECT COUNT(*) FROM discrepancy WHERE closed_at IS NULL AND scope LIKE $1";
        let of_channel = tx.query_optional(found, &["channel:%".into()])?;
        let of_sites = tx.query_optional(found, &["site:%".into()])?;
        let count = |row: Option<central::store::Row>| row.map_or(Ok(0), |mut row| row.int(0));
        Ok((count(of_channel)?, count(of_sites)?))
    });
    let (of_channel, of_sites) = counted.await?;
    let (wanted_of_channel, wanted_of_sites) = size.errors();
    ensure!(
        (of_channel, of_sites) == (wanted_of_channel, wanted_of_sites),
        "{of_channel} and {of_sites} differ, and not {wanted_of_channel} and {wanted_of_sites}: {run:?}"
    );
    Ok(Took {
        channel,
        sites,
        report,
        open: of_channel + of_sites,
    })
}

/// How long pandas takes to find what differs on the day, once it has read all of it.
fn pandas(folder: &Path, size: Size) -> anyhow::Result<Duration> {
    day::write_files(folder, size)?;
    let script = repository().join("tests/figures/day_with_pandas.py");
    let ran = Command::new("/usr/bin/python3").arg(script).arg(folder).output()?;
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    ensure!(ran.status.success(), "pandas: {}", String::from_utf8_lossy(&ran.stderr));
    let mut words = said.split_whitespace();
    let (found, seconds) = (words.next(), words.next());
    let found: i64 = found.context("pandas said nothing")?.parse()?;
    let (of_channel, of_sites) = size.errors();
    ensure!(
        found == of_channel + of_sites,
        "pandas found {found}, and not {of_channel} and {of_sites}"
    );
    Ok(Duration::from_secs_f64(
        seconds.context("pandas said no time")?.parse()?,
    ))
}
