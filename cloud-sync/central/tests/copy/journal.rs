//! Journals of stations that the domain itself runs, cut into batches as a station's agent cuts them.

use crate::{
    bench::{Bench, HOUR, MINUTE, kwh},
    happens::{happen, happens, station},
};
use domain::{
    fact::Fact,
    ids::SiteId,
    journal::{Entry, Hash, Head, Stamp},
    site::{Changes, Rows},
    units::Energy,
};
use proptest::{
    collection::vec,
    strategy::{Strategy, ValueTree},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use protocol::{frame::Batch, key::SigningKey, pack::Packer};

/// A station's journal.
#[derive(Clone)]
pub(crate) struct Journal {
    pub(crate) site: SiteId,
    pub(crate) key: [u8; 32],
    pub(crate) facts: Vec<(Stamp, Fact)>,
    pub(crate) entries: Vec<Vec<u8>>,
    /// The hash of each entry.
    pub(crate) hashes: Vec<Hash>,
}

impl Journal {
    pub(crate) fn of(site: &str, facts: Vec<(Stamp, Fact)>) -> Self {
        let mut journal = Self {
            site: site.parse().unwrap(),
            key: [7; 32],
            facts,
            entries: Vec::new(),
            hashes: Vec::new(),
        };
        journal.seal();
        journal
    }

    /// Whatever may happen at a station, by chance.
    pub(crate) fn of_chance(seed: u8) -> Self {
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        let sequence = vec(happens(), 150).new_tree(&mut runner).unwrap().current();
        let mut bench = station(true);
        sequence.iter().for_each(|what| happen(&mut bench, what));
        Self::of("S1", bench.facts)
    }

    /// So many ordinary sessions on three piles, several a day, each paid.
    pub(crate) fn of_sessions(site: &str, sessions: usize) -> Self {
        Self::of_fork(site, sessions, 0, "")
    }

    /// So many sessions that any such journal of a site has, and more that deliver this many kWh each.
    pub(crate) fn of_fork(site: &str, common: usize, more: usize, energy: &str) -> Self {
        let mut bench = Bench::new();
        for n in 0..50 {
            bench.member(&format!("m{n}"), "50");
        }
        for n in 0..common + more {
            let energy = if n < common { "4" } else { energy };
            let (who, at) = (format!("m{}", n % 50), ["P1", "P2", "P3"][n % 3]);
            if bench.allowance(&who) < crate::bench::yuan("40") {
                bench.top_up(&who, "60");
            }
            let (order, began) = bench.charge(&who, at, "30");
            let from = bench.sim(at).meter;
            let to = from + kwh(energy) + Energy(i64::try_from(n % 97).unwrap() * 13);
            bench.deliver(at, &order, 40 * MINUTE, &to.to_string());
            bench.handle(Bench::stop_input(&order));
            let record = bench.record_since(at, &order, began, &from.to_string(), &to.to_string());
            bench.send_record(at, &record);
            bench.idle(at);
            if n % 10 == 9 {
                bench.advance(HOUR);
            }
        }
        Self::of(site, bench.facts)
    }

    /// An order that was settled by an estimate, and is settled anew when its record comes, with this register at its end.
    pub(crate) fn of_late_record(site: &str, to: &str) -> Self {
        let mut bench = Bench::new();
        let (order, began) = bench.charge("m", "P1", "50");
        bench.deliver("P1", &order, 6 * HOUR, "1006");
        let record = bench.record_since("P1", &order, began, "1000", to);
        bench.idle("P1");
        bench.advance(30 * MINUTE + 24 * HOUR);
        bench.send_record("P1", &record);
        Self::of(site, bench.facts)
    }

    /// The entries that the facts make.
    pub(crate) fn seal(&mut self) {
        let entry = |(stamp, fact): &(Stamp, Fact)| Entry::bytes_of(&self.site, "e", *stamp, fact);
        self.entries = self.facts.iter().map(entry).collect();
        self.hashes.clear();
        let mut hash = Hash::GENESIS;
        for bytes in &self.entries {
            hash = Hash::seal(&hash, bytes);
            self.hashes.push(hash);
        }
    }

    pub(crate) fn place(&self, seq: usize) -> Head {
        match seq.checked_sub(1) {
            None => Head::START,
            Some(before) => Head {
                seq: seq as u64,
                hash: self.hashes[before],
            },
        }
    }

    pub(crate) fn batch(&self, from: usize, to: usize) -> Vec<u8> {
        let signature = Batch::sign(&self.site, self.place(to), &SigningKey::from_seed(self.key));
        let before = self.place(from);
        let batch = Batch::pack(before, &self.entries[from..to], signature, &mut Packer::new()).unwrap();
        batch.to_bytes()
    }

    /// After how many entries a step has ended: at most so many entries apart, where no step is longer.
    pub(crate) fn ends(&self, most: usize) -> Vec<usize> {
        let (mut ends, mut last) = (vec![0], 0);
        for n in 1..=self.facts.len() {
            let is_end = n == self.facts.len() || self.facts[n].0.now() != self.facts[n - 1].0.now();
            if is_end {
                if n - ends[ends.len() - 1] > most && last > ends[ends.len() - 1] {
                    ends.push(last);
                }
                last = n;
            }
        }
        ends.push(self.facts.len());
        ends
    }

    pub(crate) fn batches(&self, most: usize) -> Vec<Vec<u8>> {
        let ends = self.ends(most);
        ends.windows(2).map(|ends| self.batch(ends[0], ends[1])).collect()
    }

    /// The rows after the entry `seq`.
    pub(crate) fn replayed(&self, seq: usize) -> Rows {
        let (mut rows, mut changes) = (Rows::default(), Changes::default());
        for (stamp, fact) in &self.facts[..seq] {
            rows.apply(*stamp, fact, &mut changes);
        }
        rows
    }
}
