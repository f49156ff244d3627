//! Stations whose journals head office gets: the station's own code writes them, on the bench of the domain's tests.

use crate::bench::{Bench, HOUR, MINUTE, order_id, yuan};
use domain::{
    ids::{OrderId, SiteId},
    journal::{Entry, Hash, Head, Stamp},
    site::Rows,
};
use protocol::{frame::Batch, key::SigningKey, pack::Packer};

/// A station's journal, as it is stored there.
pub(crate) struct Journal {
    pub(crate) site: SiteId,
    pub(crate) key: SigningKey,
    pub(crate) entries: Vec<Vec<u8>>,
}

/// A station with some days behind it.
pub(crate) struct Lived {
    pub(crate) bench: Bench,
    /// Its orders that were paid, by when they were placed.
    pub(crate) paid: Vec<OrderId>,
    /// One that charges still.
    pub(crate) open: OrderId,
}

/// Some orders, one that is put aside as nobody's, an energy report and one order that charges still. The same every time:
/// two stations have orders of the same numbers.
pub(crate) fn lived() -> Lived {
    let mut bench = Bench::new();
    bench.member("n", "40");
    let (mut paid, mut meter) = (Vec::new(), 1_000_u32);
    for n in 0..6 {
        let who = if n % 3 == 0 { "n" } else { "m" };
        let (id, begun) = bench.charge(who, "P1", "5");
        let (from, to) = (meter, meter + 2);
        bench.deliver("P1", &id, 20 * MINUTE, &format!("{to}"));
        let record = bench.record_since("P1", &id, begun, &format!("{from}"), &format!("{to}"));
        bench.send_record("P1", &record);
        bench.idle("P1");
        meter = to;
        paid.push(id);
        bench.advance(3 * HOUR);
    }
    let stray = bench.record_since("P2", &order_id("nobodys-1"), bench.now, "1000", "1001");
    bench.send_record("P2", &stray);
    bench.top_up("m", "20");
    let (open, _) = bench.charge("m", "P3", "5");
    assert!(bench.allowance("m") > yuan("0"));
    Lived { bench, paid, open }
}

impl Lived {
    /// Its journal, as that of this site.
    pub(crate) fn journal(&self, site: &str) -> Journal {
        Journal::of(&self.bench, site)
    }

    /// Its rows.
    pub(crate) fn rows(&self) -> &Rows {
        &self.bench.disk
    }
}

impl Journal {
    /// That of a station on the bench, as that of this site.
    pub(crate) fn of(bench: &Bench, site: &str) -> Self {
        let site = SiteId::new(site).unwrap();
        let entry = |(stamp, fact): &(Stamp, domain::fact::Fact)| Entry::bytes_of(&site, "e1", *stamp, fact);
        let entries = bench.facts.iter().map(entry).collect();
        Self {
            key: SigningKey::from_seed([7; 32]),
            entries,
            site,
        }
    }

    pub(crate) fn place(&self, seq: usize) -> Head {
        let seal = |hash: Hash, bytes: &Vec<u8>| Hash::seal(&hash, bytes);
        Head {
            seq: seq as u64,
            hash: self.entries[..seq].iter().fold(Hash::GENESIS, seal),
        }
    }

    /// The same station on a copy of its disk, which goes on by itself after about half of it.
    pub(crate) fn copied(&self) -> Self {
        let now = |n: usize| Stamp::of_entry(&self.entries[n]).unwrap();
        let half = (self.entries.len() / 2..)
            .find(|n| now(*n).now() != now(*n - 1).now())
            .unwrap();
        let mut entries = self.entries[..half].to_vec();
        for n in half..half + 5 {
            let fact = domain::fact::Fact::ClockStepped { by_ms: 7 };
            entries.push(Entry::bytes_of(&self.site, "e1", now(n), &fact));
        }
        Self {
            site: self.site.clone(),
            key: SigningKey::from_seed([7; 32]),
            entries,
        }
    }

    /// The place of its last entry.
    pub(crate) fn head(&self) -> Head {
        self.place(self.entries.len())
    }

    /// All of it, in batches of some entries that end where a step does.
    pub(crate) fn batches(&self, some: usize) -> Vec<Vec<u8>> {
        let now = |n: usize| Stamp::of_entry(&self.entries[n]).unwrap().now();
        let (mut batches, mut from) = (Vec::new(), 0);
        for n in 1..=self.entries.len() {
            let is_end = n == self.entries.len() || now(n) != now(n - 1) && n - from >= some;
            if is_end {
                let signature = Batch::sign(&self.site, self.place(n), &self.key);
                let batch = Batch::pack(self.place(from), &self.entries[from..n], signature, &mut Packer::new());
                batches.push(batch.unwrap().to_bytes());
                from = n;
            }
        }
        batches
    }
}
