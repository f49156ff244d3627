//! A long journal without a station: made by the rules, sealed, and cut into the batches that the station's agent would send.

use crate::{
    past::{BATCH, Keep, Past},
    pile::world_wall,
};
use anyhow::{Context, ensure};
use domain::{
    fact::Fact,
    ids::SiteId,
    journal::{Entry, Hash, Head, Stamp},
    ledger::Account,
    site::{Key, Loaded, Rows, Site},
    time::{Now, Wall},
    units::{Energy, Fen},
};
use protocol::{
    frame::{BATCH_RAW_MAX, Batch},
    key::SigningKey,
    pack::Packer,
};

/// What a round of orders takes, in milliseconds.
const ROUND_MS: u64 = 2 * 3_600_000;
/// About as many entries an order has: how far back the past begins, and no more hangs on it.
const ENTRIES_AN_ORDER: u64 = 7;

/// Of what size.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    /// Piles with one connector each, which charge side by side.
    pub(crate) piles: usize,
    /// Members, who charge one after the other.
    pub(crate) members: usize,
    /// Entries, at least.
    pub(crate) entries: u64,
    /// The most entries in a batch.
    pub(crate) batch: usize,
}

/// A journal in batches, as they go over the line.
pub(crate) struct Journal {
    pub(crate) site: SiteId,
    pub(crate) key: SigningKey,
    /// Each batch, with the number of its last entry.
    pub(crate) batches: Vec<(u64, Vec<u8>)>,
    pub(crate) head: Head,
    /// How long the entries are, as they are stored.
    pub(crate) raw: u64,
}

impl Journal {
    /// Makes one.
    pub(crate) fn make(site: &str, size: Size) -> anyhow::Result<Self> {
        let site: SiteId = site.parse()?;
        let Size {
            piles,
            members,
            entries,
            batch,
        } = size;
        let mut rows = Rows::default();
        for account in Account::OF_STATION {
            rows.ledger.load(account, Fen::ZERO);
        }
        let kept = InBatches {
            journal: Self {
                site,
                key: SigningKey::generate().context("no randomness")?,
                batches: Vec::new(),
                head: Head::START,
                raw: 0,
            },
            most: batch,
            waiting: Vec::new(),
            packed: Head::START,
            packer: Packer::new(),
        };
        let start = Stamp {
            seq: 0,
            at: Wall(0),
            mono: domain::time::Mono(0),
        };
        let rounds = entries.div_ceil(piles as u64 * ENTRIES_AN_ORDER) + 1;
        let long_ago = i64::try_from(rounds * ROUND_MS)?;
        let mut past = Past::begin(kept, start, rows, Wall(world_wall().0 - long_ago));
        past.open()?;
        (0..piles).try_for_each(|n| past.provision(n))?;
        (0..members).try_for_each(|n| past.register(n))?;
        past.write(1)?;
        let mut meters = vec![Energy(100_000_000); piles];
        let mut orders = 0;
        while past.site.last().seq < entries {
            past.round(&mut meters, |n| (orders + n) % members)?;
            orders += piles;
        }
        past.write(1)?;
        let mut kept = past.kept;
        kept.cut(0)?;
        ensure!(kept.packed == kept.journal.head, "the last batch is missing");
        Ok(kept.journal)
    }
}

/// Where the facts of such a past go.
struct InBatches {
    journal: Journal,
    most: usize,
    /// Entries that are in no batch yet: when, their hash, their bytes.
    waiting: Vec<(Now, Hash, Vec<u8>)>,
    /// The place of the last entry that is in one.
    packed: Head,
    packer: Packer,
}

impl InBatches {
    /// Packs entries until no more than so many wait. A batch ends where a step has ended.
    fn cut(&mut self, rest: usize) -> anyhow::Result<()> {
        while self.waiting.len() > rest {
            let (mut end, mut raw) = (0, 0);
            for (n, (now, _, bytes)) in self.waiting.iter().enumerate() {
                raw += bytes.len() + 1;
                let is_full = n >= self.most || raw > BATCH_RAW_MAX;
                if is_full && end > 0 {
                    break;
                }
                if self.waiting.get(n + 1).is_none_or(|(next, ..)| next != now) {
                    end = n + 1;
                }
            }
            let taken: Vec<_> = self.waiting.drain(..end).collect();
            let (_, hash, _) = taken.last().context("a batch has entries")?;
            let last = Head {
                seq: self.packed.seq + taken.len() as u64,
                hash: *hash,
            };
            let signature = Batch::sign(&self.journal.site, last, &self.journal.key);
            let entries: Vec<&[u8]> = taken.iter().map(|(_, _, bytes)| &**bytes).collect();
            let batch = Batch::pack(self.packed, &entries, signature, &mut self.packer)?;
            self.journal.batches.push((last.seq, batch.to_bytes()));
            self.packed = last;
        }
        Ok(())
    }
}

impl Keep for InBatches {
    fn load(&self, key: Key) -> anyhow::Result<Loaded> {
        // Nothing is ever forgotten.
        Ok(key.absent())
    }

    fn keep(&mut self, site: &mut Site, _now: Now, facts: Vec<(Stamp, Fact)>) -> anyhow::Result<()> {
        drop(site.take_changes());
        let journal = &mut self.journal;
        for (stamp, fact) in &facts {
            let bytes = Entry::bytes_of(&journal.site, "bench", *stamp, fact);
            let hash = Hash::seal(&journal.head.hash, &bytes);
            journal.head = Head { seq: stamp.seq, hash };
            journal.raw += bytes.len() as u64;
            self.waiting.push((stamp.now(), hash, bytes));
        }
        // The step that is the last one here may go on.
        self.cut(2 * self.most.max(BATCH))
    }
}
