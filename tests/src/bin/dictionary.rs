//! Makes a dictionary for batches of the journal, from the journals of simulated stations: `cargo xtask dictionary`.
//! It says what the dictionary saves on journals that it was not made from.

// A command line talks to a terminal.
#![allow(clippy::print_stdout)]

use anyhow::Context;
use domain::journal::Entry;
use protocol::pack::{NEWEST, Packer};
use std::{fs, path::PathBuf};
use zstd::bulk::Compressor;

/// How many bytes a dictionary has. A larger one saves little more, and is in every program.
const BYTES: usize = 16 * 1024;
/// Lives that it is made from, and lives that it is measured on.
const MADE_FROM: std::ops::Range<u64> = 1..60;
const MEASURED_ON: std::ops::Range<u64> = 1_001..1_013;
/// Entries that travel together: about what an order makes, and what ten seconds bring.
const TOGETHER: usize = 11;

fn main() -> anyhow::Result<()> {
    let to: PathBuf = std::env::args_os().nth(1).context("say where to write it")?.into();
    let mut samples = Vec::new();
    for seed in MADE_FROM {
        samples.extend(batches(seed)?);
    }
    let dictionary = zstd::dict::from_samples(&samples, BYTES)?;
    fs::write(&to, &dictionary)?;
    println!(
        "{}: {} bytes, from {} batches",
        to.display(),
        dictionary.len(),
        samples.len()
    );

    let mut sizes = [0_usize; 4];
    let mut new = Compressor::with_dictionary(5, &dictionary)?;
    let (mut shipped, mut none) = (Packer::with(NEWEST), Packer::with(0));
    for seed in MEASURED_ON {
        for batch in batches(seed)? {
            let packed = [
                new.compress(&batch)?.len(),
                shipped.pack(&batch).len(),
                none.pack(&batch).len(),
            ];
            let all = [batch.len(), packed[0], packed[1], packed[2]];
            sizes.iter_mut().zip(all).for_each(|(sum, size)| *sum += size);
        }
    }
    let [raw, new, shipped, none] = sizes;
    println!(
        "{TOGETHER} entries together, {raw} bytes: packed {new} with it, {shipped} with number {NEWEST}, {none} with none"
    );
    Ok(())
}

/// The entries of a life as they travel. Names of sites and epochs are different everywhere, so they do not stay what they
/// are in the simulated world.
fn batches(seed: u64) -> anyhow::Result<Vec<Vec<u8>>> {
    let entries = world::world::journal_of(seed).map_err(anyhow::Error::msg)?;
    let (site, epoch) = (
        format!("s{seed:02}").parse()?,
        format!("{:032x}", u128::from(seed) * 0x9e37_79b9_7f4a_7c15_f39c),
    );
    let renamed: Result<Vec<Vec<u8>>, _> = entries
        .iter()
        .map(|bytes| Entry::from_bytes(bytes).map(|entry| Entry::bytes_of(&site, &epoch, entry.stamp, &entry.fact)))
        .collect();
    Ok(renamed?.chunks(TOGETHER).map(|some| some.join(&b'\n')).collect())
}
