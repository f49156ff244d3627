//! `journal verify`: every entry follows on the one before, by number and by hash, and the end is there.

use super::client::Client;
use crate::store::{Store, StoreError, Verified};
use anyhow::{Context, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use domain::journal::{Broken, Hash, Head, Walk};
use serde_json::Value;
use std::path::Path;

/// How many entries are looked at in one step.
const STEP: usize = 200;

/// Checks a copy of a database file, which stays as it is: every page that is in use, then the journal.
pub(super) fn offline(path: &Path, site: Option<&str>, known: Option<Head>) -> anyhow::Result<String> {
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
    let verified = store.reader()?.verify(known).map_err(|error| match error {
        StoreError::Journal(broken) => advised(broken),
        other => other.into(),
    })?;
    Ok(format!("site {found}: {}", report(&verified)))
}

/// Checks the running station's journal.
pub(super) fn online(client: &Client, known: Option<Head>) -> anyhow::Result<String> {
    let place = |value: &Value| -> anyhow::Result<Head> {
        let seq = value["seq"].as_u64().context("no seq")?;
        let hash = value["hash"].as_str().context("no hash")?.parse()?;
        Ok(Head { seq, hash })
    };
    let unread = "the daemon sent what cannot be read";
    let page = client.get("/v1/journal?after=0&limit=1&wait_s=0")?;
    let from = place(&page["begins_after"]).context(unread)?;
    let acknowledged = Some(&page["acknowledged"]).filter(|place| !place.is_null());
    let acknowledged = acknowledged.map(place).transpose().context(unread)?;
    let mut walk = Walk::new(from, known.into_iter().chain(acknowledged)).map_err(advised)?;
    loop {
        let page = client.get(&format!("/v1/journal?after={}&limit={STEP}&wait_s=0", walk.head().seq))?;
        let entries = page["entries"].as_array().context(unread)?;
        if entries.is_empty() {
            let head = walk.end().map_err(advised)?;
            return Ok(report(&Verified {
                from,
                head,
                acknowledged,
            }));
        }
        for entry in entries {
            let (seq, hash, bytes) = read_entry(entry).context(unread)?;
            walk.follow(seq, hash, &bytes).map_err(advised)?;
        }
    }
}

fn read_entry(entry: &Value) -> anyhow::Result<(u64, Hash, Vec<u8>)> {
    let seq = entry["seq"].as_u64().context("no seq")?;
    let bytes = STANDARD.decode(entry["bytes"].as_str().context("no bytes")?)?;
    let hash = entry["hash"].as_str().context("no hash")?.parse()?;
    Ok((seq, hash, bytes))
}

fn report(verified: &Verified) -> String {
    let Verified {
        from,
        head,
        acknowledged,
    } = verified;
    let mut said = format!("{} entries", head.seq - from.seq);
    if from.seq > 0 {
        said.push_str(&format!(", after {} that were pruned", from.seq));
    }
    said.push_str(", no gap, every hash fits; ");
    said.push_str(&match acknowledged {
        Some(place) => format!("acknowledged up to entry {}; ", place.seq),
        None => "none is acknowledged by head office; ".to_owned(),
    });
    said.push_str(&format!("head {head}"));
    said
}

fn advised(broken: Broken) -> anyhow::Error {
    let advice = match broken {
        Broken::CutOff { .. } | Broken::Fork { .. } => {
            "the file was cut back, or an older or another one stands in its place"
        }
        Broken::Missing { .. } | Broken::NotSealed { .. } | Broken::Unreadable { .. } | Broken::Misnumbered { .. } => {
            "the file is damaged, or somebody has changed it"
        }
    };
    anyhow::anyhow!(
        "{broken}: {advice}. Keep it as it is, and go back to the newest copy that verifies: `holdfast-edge restore`"
    )
}
