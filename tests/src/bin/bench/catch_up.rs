//! Rows of a long outage: head office catches up with a journal while another site goes on, and makes the rows anew afterwards.
//! Head office is the real program, and the line real MQTT over TLS; the journal was made before.

use crate::{
    Scale,
    journal::{Journal, Size},
    process::{mib, resident_bytes},
    spread::{Spread, ms},
    table::Row,
    uplink::Uplink,
    yardstick::Postgres,
};
use anyhow::ensure;
use protocol::frame::BATCH_ENTRIES_MAX;
use std::{
    cell::Cell,
    collections::VecDeque,
    time::{Duration, Instant},
};
use world::head_office::HeadOfficeProcess;

/// Batches that are on the way at once, as the agent has them.
const WINDOW: usize = 16;
/// How often the other site says something.
const EVERY: Duration = Duration::from_secs(1);
/// How long its acknowledgements may take.
const MEANWHILE_MAX: Duration = Duration::from_secs(1);
/// Memory at the end may be so much of what it was after a tenth.
const FLAT: f64 = 1.25;

/// Which of the rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) catch_up: bool,
    pub(crate) rebuild: bool,
}

/// A kind of database, and what is asked of it.
struct Engine {
    name: &'static str,
    facts_a_second: f64,
}

/// What catching up came to.
struct CaughtUp {
    took: Duration,
    /// Resident memory of head office after a tenth, a half, and all of it.
    resident: [u64; 3],
    /// How long the other site waited for its acknowledgements.
    meanwhile: Spread,
}

/// On SQLite, and on a PostgreSQL beside it.
pub(crate) async fn catch_up(scale: Scale, facts: Option<u64>, wanted: Wanted) -> anyhow::Result<Vec<Row>> {
    let entries = facts.unwrap_or(scale.of(1_000_000, 10_000) as u64);
    let begun = Instant::now();
    // A station with 40 connectors.
    let long = Size {
        piles: 40,
        members: 2_000,
        entries,
        batch: BATCH_ENTRIES_MAX,
    };
    // So much that it has something to say each second for a quarter of an hour.
    let beside = Size {
        piles: 10,
        members: 20,
        entries: 20_000,
        batch: 20,
    };
    let made = tokio::task::spawn_blocking(move || {
        anyhow::Ok((Journal::make("long-away", long)?, Journal::make("goes-on", beside)?))
    });
    let (long, beside) = made.await??;
    let packed: usize = long.batches.iter().map(|(_, batch)| batch.len()).sum();
    eprintln!(
        "made {} entries, {} in {} batches of {} in {:.0} s",
        long.head.seq,
        mib(long.raw),
        long.batches.len(),
        mib(packed as u64),
        begun.elapsed().as_secs_f64()
    );
    let sqlite = Engine {
        name: "SQLite",
        facts_a_second: 20_000.0,
    };
    let postgresql = Engine {
        name: "PostgreSQL",
        facts_a_second: 12_000.0,
    };
    let mut rows = Vec::new();
    let head_office = HeadOfficeProcess::start("bench-sqlite").await?;
    rows.extend(measure(&head_office, &sqlite, wanted, &long, &beside).await?);
    drop(head_office);
    let server = Postgres::start()?;
    let database = format!("[database]\nurl = \"{}\"", server.address());
    let head_office = HeadOfficeProcess::start_with("bench-postgresql", &database).await?;
    rows.extend(measure(&head_office, &postgresql, wanted, &long, &beside).await?);
    Ok(rows)
}

async fn measure(
    head_office: &HeadOfficeProcess,
    engine: &Engine,
    wanted: Wanted,
    long: &Journal,
    beside: &Journal,
) -> anyhow::Result<Vec<Row>> {
    let facts = long.head.seq;
    let per_second = |took: Duration| facts as f64 / took.as_secs_f64();
    let mut caught_up = run(head_office, long, beside).await?;
    let mut rows = Vec::new();
    if wanted.catch_up {
        let rate = per_second(caught_up.took);
        let [early, half, end] = caught_up.resident;
        let longest = caught_up.meanwhile.permille(1_000);
        let is_flat = end as f64 <= early as f64 * FLAT;
        rows.push(Row {
            what: format!("catch-up of {facts} journal facts, {}", engine.name),
            measured: format!(
                "{rate:.0} facts/s; resident {} after a tenth, {} after a half, {} at the end; meanwhile {} batches of \
                 another site acknowledged, longest {}",
                mib(early),
                mib(half),
                mib(end),
                caught_up.meanwhile.len(),
                ms(longest)
            ),
            yardstick: "–".to_owned(),
            ratio: None,
            aim: format!("{:.0}/s, flat, 1 s", engine.facts_a_second),
            met: rate >= engine.facts_a_second && is_flat && longest <= MEANWHILE_MAX,
        });
    }
    if wanted.rebuild {
        let begun = Instant::now();
        head_office.cli(&["replica", "rebuild", long.site.as_str()])?;
        let rate = per_second(begun.elapsed());
        rows.push(Row {
            what: format!("rebuild of a replica from {facts} facts, {}", engine.name),
            measured: format!("{rate:.0} facts/s"),
            yardstick: "–".to_owned(),
            ratio: None,
            aim: "50000/s".to_owned(),
            met: rate >= 50_000.0,
        });
    }
    Ok(rows)
}

async fn run(head_office: &HeadOfficeProcess, long: &Journal, beside: &Journal) -> anyhow::Result<CaughtUp> {
    let mut catching_up = Uplink::open(head_office, &long.site, &long.key, long.head).await?;
    let mut going_on = Uplink::open(head_office, &beside.site, &beside.key, beside.head).await?;
    let is_over = Cell::new(false);
    let send_all = async {
        let sent = send_all(head_office, &mut catching_up, long).await;
        is_over.set(true);
        sent
    };
    let (sent, meanwhile) = tokio::join!(send_all, say_now_and_then(&mut going_on, beside, &is_over));
    let (took, resident) = sent?;
    Ok(CaughtUp {
        took,
        resident,
        meanwhile: meanwhile?,
    })
}

/// Sends a whole journal, a window at a time.
async fn send_all(
    head_office: &HeadOfficeProcess,
    uplink: &mut Uplink,
    journal: &Journal,
) -> anyhow::Result<(Duration, [u64; 3])> {
    let pid = head_office.pid()?;
    let all = journal.head.seq;
    let marks = [all / 10, all / 2, all];
    let mut resident = [0; 3];
    let begun = Instant::now();
    let mut on_the_way = VecDeque::new();
    let mut left = journal.batches.iter();
    loop {
        while on_the_way.len() < WINDOW
            && let Some((last, batch)) = left.next()
        {
            uplink.send(batch.clone())?;
            on_the_way.push_back(*last);
        }
        let head = uplink.ack().await?.head;
        for (mark, bytes) in marks.iter().zip(&mut resident) {
            if *bytes == 0 && head.seq >= *mark {
                *bytes = resident_bytes(pid)?;
            }
        }
        while on_the_way.pop_front_if(|last| *last <= head.seq).is_some() {}
        if head.seq == all {
            ensure!(head == journal.head, "head office has {head} and not {}", journal.head);
            return Ok((begun.elapsed(), resident));
        }
    }
}

/// A batch each second, until the other one is through.
async fn say_now_and_then(uplink: &mut Uplink, journal: &Journal, is_over: &Cell<bool>) -> anyhow::Result<Spread> {
    let mut times = Spread::default();
    let mut next = tokio::time::interval(EVERY);
    next.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for (last, batch) in &journal.batches {
        next.tick().await;
        if is_over.get() {
            break;
        }
        let sent = Instant::now();
        uplink.send(batch.clone())?;
        while uplink.ack().await?.head.seq < *last {}
        times.add(sent.elapsed());
    }
    Ok(times)
}
