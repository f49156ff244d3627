//! `journal export`: the journal as lines that any program can check, in the form that `docs/journal.md` describes.
//! What is stored is written as it is, whether or not this program knows it.

use super::{client::Client, verify::Feed};
use anyhow::Context;
use domain::journal::Head;
use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
};

/// Writes the running station's journal into a new file, checking each hash on the way.
pub(super) fn to_file(client: &Client, path: &Path) -> anyhow::Result<String> {
    let named = || format!("{} cannot be written; it must not be there yet", path.display());
    let mut file = BufWriter::new(File::create_new(path).with_context(named)?);
    let feed = Feed::open(client)?;
    let Head { seq, hash } = feed.begins_after;
    writeln!(file, "{seq} {hash}").with_context(named)?;
    let head = feed.follow(client, None, |seq, hash, bytes| {
        write!(file, "{seq} {hash} ")?;
        file.write_all(bytes)?;
        file.write_all(b"\n")?;
        Ok(())
    })?;
    let file = file.into_inner().map_err(std::io::IntoInnerError::into_error);
    file.and_then(|file| file.sync_all()).with_context(named)?;
    let count = head.seq - seq;
    Ok(format!("{count} entries in {}; head {head}", path.display()))
}
