//! How many facts a second head office takes, in batches of 1,000. Run by hand, in release, with `--ignored --nocapture`.

use crate::{
    head_office::{HeadOffice, ME, NOW, read},
    journal::Journal,
};
use central::{ingest::Taken, upkeep::replica};
use std::{
    io::Write as _,
    sync::Arc,
    time::{Duration, Instant},
};

const SESSIONS: usize = 4_000;
const BATCH: usize = 1_000;

fn say(line: &str) {
    std::io::stdout().write_all(line.as_bytes()).unwrap();
}

#[test]
#[ignore = "measures; run it in release by hand"]
fn facts_a_second() {
    let journal = Journal::of_sessions("S1", SESSIONS);
    let (facts, batches) = (journal.facts.len(), journal.batches(BATCH));
    let bytes: usize = batches.iter().map(Vec::len).sum();
    say(&format!(
        "{facts} facts in {} batches of {bytes} bytes\n",
        batches.len()
    ));
    for (name, office) in [
        ("SQLite file", HeadOffice::in_file()),
        ("PostgreSQL", HeadOffice::on_postgresql()),
    ] {
        let mut copy = office.add(&journal);
        let (begun, mut reading) = (Instant::now(), Duration::ZERO);
        for batch in &batches {
            let reads = Instant::now();
            let read = read(batch, &copy);
            reading += reads.elapsed();
            let taken;
            (copy, taken) = office.take(copy, Arc::new(read));
            assert_eq!(taken, Taken::Followed);
        }
        let all = begun.elapsed().as_secs_f64();
        let line = format!(
            "{name}: {:.0} facts/s one after the other, {:.0} facts/s without reading ({:.1} µs a fact, reading {:.1})\n",
            facts as f64 / all,
            facts as f64 / (all - reading.as_secs_f64()),
            all * 1e6 / facts as f64,
            reading.as_secs_f64() * 1e6 / facts as f64
        );
        say(&line);
        let timed = |what: &str, begun: Instant| {
            let seconds = begun.elapsed().as_secs_f64();
            say(&format!("{name}: {what} {:.0} facts/s\n", facts as f64 / seconds));
        };
        let (site, begun) = (journal.site.clone(), Instant::now());
        office.write(move |tx| replica::rebuild(tx, ME, &site, NOW)).unwrap();
        timed("rows made anew", begun);
        let (site, begun) = (journal.site.clone(), Instant::now());
        assert!(office.read(move |tx| replica::verify(tx, &site)).unwrap().is_right());
        timed("rows verified", begun);
    }
}
