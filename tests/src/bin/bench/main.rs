//! `cargo xtask bench`: one table of speed and memory, each figure beside its yardstick in the same run.
//! Everything runs on 127.0.0.1, in folders of its own under `TMPDIR`, and is ended when its row is done.

// A command line talks to a terminal; there is no log to write to.
#![allow(clippy::print_stdout)]

mod alone;
mod catch_up;
mod crowd;
mod disk;
mod history;
mod http;
mod journal;
mod link;
mod load;
mod money;
mod past;
mod pile;
mod process;
mod reconcile;
mod spread;
mod table;
mod uplink;
mod wan;
mod yardstick;

use anyhow::ensure;
use clap::{Parser, ValueEnum};
use std::time::{Duration, Instant};
use table::Row;

/// Measures the release builds of the station and of head office beside mosquitto, PostgreSQL and the bare disk.
#[derive(Debug, Parser)]
struct Options {
    /// Which rows; all of them if none is named.
    rows: Vec<Which>,
    /// A smaller load for a shorter time: shows that everything runs, and measures nothing.
    #[arg(long)]
    quick: bool,
    /// How many journal entries head office catches up with, in place of 1,000,000.
    #[arg(long)]
    facts: Option<u64>,
}

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Which {
    /// Durable QoS 1 records.
    Records,
    /// Whole orders per second.
    Orders,
    /// One record alone, until it is settled.
    Lone,
    /// Heartbeat to WebSocket frame with 10,000 piles.
    Live,
    /// Resident memory with 1,000 and 10,000 piles.
    Memory,
    /// Bytes to disk per day.
    Disk,
    /// Start after SIGKILL.
    Start,
    /// A day's bill run.
    Bills,
    /// The broker alone: who waits how long among many connections.
    Fair,
    /// The broker alone: memory of connections that say nothing.
    Idle,
    /// Head office catches up with a site after an outage.
    CatchUp,
    /// Head office makes a site's rows anew.
    Rebuild,
    /// What an order costs on the line to head office.
    WanBytes,
    /// How soon head office shows what cannot wait.
    Urgent,
    /// How soon a pile is told of an order that is placed through head office.
    RemoteStart,
    /// The same of an order whose money lies at another site.
    Recall,
    /// Payments that head office credits.
    TopUps,
    /// A day of a channel and of many sites, and a bill.
    Reconcile,
}

/// How much is asked of the station.
#[derive(Debug, Clone, Copy)]
struct Scale {
    quick: bool,
}

impl Scale {
    fn of(self, full: usize, quick: usize) -> usize {
        if self.quick { quick } else { full }
    }

    fn time(self, full: Duration, quick: Duration) -> Duration {
        if self.quick { quick } else { full }
    }
}

// One thread: what the load costs is taken from one core at most, as mosquitto's own work is.
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let Options {
        rows: mut wanted,
        quick,
        facts,
    } = Options::parse();
    if wanted.is_empty() {
        wanted = Which::value_variants().to_vec();
    }
    let scale = Scale { quick };
    let folder = std::env::temp_dir();
    ensure!(
        !process::is_in_memory(&folder)?,
        "{} is not on a disk; set TMPDIR to a folder that is",
        folder.display()
    );
    let is_wanted = |which| wanted.contains(&which);
    let mut rows: Vec<Row> = Vec::new();
    let begun = Instant::now();
    let done = |new: Vec<Row>, rows: &mut Vec<Row>| {
        for row in new {
            eprintln!(
                "[{:4.0} s] {}: {} | {} | aim {}",
                begun.elapsed().as_secs_f64(),
                row.what,
                row.measured,
                row.yardstick,
                row.aim
            );
            rows.push(row);
        }
    };
    if is_wanted(Which::Records) {
        done(vec![load::records(scale).await?], &mut rows);
    }
    if is_wanted(Which::Orders) {
        done(vec![load::orders(scale).await?], &mut rows);
    }
    if is_wanted(Which::Lone) {
        done(vec![load::lone(scale).await?], &mut rows);
    }
    if is_wanted(Which::Live) || is_wanted(Which::Memory) {
        done(
            crowd::crowd(scale, is_wanted(Which::Memory), is_wanted(Which::Live)).await?,
            &mut rows,
        );
    }
    if is_wanted(Which::Disk) {
        done(vec![disk::written_a_day(scale).await?], &mut rows);
    }
    if is_wanted(Which::Start) || is_wanted(Which::Bills) {
        done(
            history::history(scale, is_wanted(Which::Start), is_wanted(Which::Bills)).await?,
            &mut rows,
        );
    }
    if is_wanted(Which::Fair) {
        done(vec![alone::fair(scale).await?], &mut rows);
    }
    if is_wanted(Which::Idle) {
        done(vec![alone::idle(scale).await?], &mut rows);
    }
    if is_wanted(Which::CatchUp) || is_wanted(Which::Rebuild) {
        let wanted = catch_up::Wanted {
            catch_up: is_wanted(Which::CatchUp),
            rebuild: is_wanted(Which::Rebuild),
        };
        done(catch_up::catch_up(scale, facts, wanted).await?, &mut rows);
    }
    if is_wanted(Which::WanBytes) {
        done(wan::bytes(scale).await?, &mut rows);
    }
    if is_wanted(Which::Urgent) {
        done(vec![wan::urgent(scale).await?], &mut rows);
    }
    if is_wanted(Which::RemoteStart) {
        done(money::remote_starts(scale).await?, &mut rows);
    }
    if is_wanted(Which::Recall) {
        done(vec![money::recalls(scale).await?], &mut rows);
    }
    if is_wanted(Which::TopUps) {
        done(money::top_ups(scale).await?, &mut rows);
    }
    if is_wanted(Which::Reconcile) {
        done(reconcile::reconcile(scale).await?, &mut rows);
    }
    println!("{}", process::machine());
    println!("{}", table::markdown(&rows));
    println!("\ntook {:.0} s", begun.elapsed().as_secs_f64());
    Ok(())
}
