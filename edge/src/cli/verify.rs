//! `journal verify`: every entry follows on the one before, by number and by hash.

use super::client::Client;
use crate::store::Store;
use anyhow::{Context, bail, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use domain::journal::{Entry, Hash};
use serde_json::Value;
use std::path::Path;

/// How many entries are looked at in one step.
const STEP: usize = 200;

/// What has been checked so far.
struct Chain {
    seq: u64,
    hash: Hash,
}

impl Chain {
    fn new() -> Self {
        Self {
            seq: 0,
            hash: Hash::GENESIS,
        }
    }

    fn check(&mut self, seq: u64, hash: Hash, bytes: &[u8]) -> anyhow::Result<()> {
        ensure!(
            seq == self.seq + 1,
            "entry {} is missing: {} is followed by {seq}",
            self.seq + 1,
            self.seq
        );
        ensure!(
            Hash::seal(&self.hash, bytes) == hash,
            "entry {seq} is not what was sealed: its hash does not fit its content and entry {}",
            self.seq
        );
        let entry = Entry::from_bytes(bytes).with_context(|| format!("entry {seq} cannot be read"))?;
        ensure!(
            entry.stamp.seq == seq,
            "entry {seq} says that it is {}",
            entry.stamp.seq
        );
        (self.seq, self.hash) = (seq, hash);
        Ok(())
    }

    fn report(&self) -> String {
        format!("{} entries, no gap, every hash fits; head {}", self.seq, self.hash)
    }
}

/// Checks a copy of a database file, which stays as it is.
pub(super) fn offline(path: &Path, site: Option<&str>) -> anyhow::Result<String> {
    ensure!(path.exists(), "{} does not exist", path.display());
    let store = Store::look_at(path, 8 << 20)?;
    let found = &store.identity().site;
    if let Some(expected) = site {
        ensure!(
            found.as_str() == expected,
            "{} belongs to site {found}, not to {expected}",
            path.display()
        );
    }
    let reader = store.reader()?;
    let mut chain = Chain::new();
    loop {
        let entries = reader.journal(chain.seq + 1, STEP)?;
        if entries.is_empty() {
            break;
        }
        for (seq, hash, bytes) in entries {
            chain.check(seq, hash, &bytes)?;
        }
    }
    Ok(format!("site {found}: {}", chain.report()))
}

/// Checks the running station's journal.
pub(super) fn online(client: &Client) -> anyhow::Result<String> {
    let mut chain = Chain::new();
    loop {
        let page = client.get(&format!("/v1/journal?after={}&limit={STEP}&wait_s=0", chain.seq))?;
        let entries = page["entries"].as_array().context("the daemon sent no entries")?;
        if entries.is_empty() {
            return Ok(chain.report());
        }
        for entry in entries {
            let (seq, hash, bytes) = read_entry(entry).context("the daemon sent an entry that cannot be read")?;
            chain.check(seq, hash, &bytes)?;
        }
    }
}

fn read_entry(entry: &Value) -> anyhow::Result<(u64, Hash, Vec<u8>)> {
    let seq = entry["seq"].as_u64().context("no seq")?;
    let bytes = STANDARD.decode(entry["bytes"].as_str().context("no bytes")?)?;
    let hex = entry["hash"].as_str().context("no hash")?;
    let mut hash = [0_u8; 32];
    if hex.len() != 64 {
        bail!("a hash of {} characters", hex.len());
    }
    for (i, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(2 * i..2 * i + 2).context("a hash that is not hex")?, 16)?;
    }
    Ok((seq, Hash(hash), bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{
        fact::Fact,
        ids::SiteId,
        journal::Stamp,
        time::{Mono, Wall},
    };

    fn entries(count: u64) -> Vec<(u64, Hash, Vec<u8>)> {
        let mut hash = Hash::GENESIS;
        (1..=count)
            .map(|seq| {
                let entry = Entry {
                    site: SiteId::new("s").unwrap(),
                    epoch: "e".to_owned(),
                    stamp: Stamp {
                        seq,
                        at: Wall(1),
                        mono: Mono(1),
                    },
                    fact: Fact::ClockStepped { by_ms: 1 },
                };
                let bytes = entry.to_bytes();
                hash = Hash::seal(&hash, &bytes);
                (seq, hash, bytes)
            })
            .collect()
    }

    fn check(entries: &[(u64, Hash, Vec<u8>)]) -> anyhow::Result<()> {
        let mut chain = Chain::new();
        entries
            .iter()
            .try_for_each(|(seq, hash, bytes)| chain.check(*seq, *hash, bytes))
    }

    #[test]
    fn one_flipped_byte_anywhere_is_found() {
        let good = entries(3);
        check(&good).unwrap();
        for at in 0..good[1].2.len() {
            let mut bad = good.clone();
            bad[1].2[at] ^= 1;
            assert!(check(&bad).unwrap_err().to_string().contains("entry 2"), "byte {at}");
        }
        let mut bad = good.clone();
        bad[1].1.0[0] ^= 1;
        assert!(check(&bad).is_err());
    }

    #[test]
    fn a_missing_entry_is_found() {
        let mut bad = entries(3);
        bad.remove(1);
        assert!(check(&bad).unwrap_err().to_string().contains("entry 2 is missing"));
    }
}
