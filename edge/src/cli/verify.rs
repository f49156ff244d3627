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
    let identity = store.identity();
    let found = &identity.site;
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
    let feed = Feed::open(client)?;
    let head = feed.follow(client, known, |_, _, _| Ok(()))?;
    Ok(report(&Verified {
        from: feed.begins_after,
        head,
        acknowledged: feed.acknowledged,
    }))
}

/// The running station's journal, page by page.
pub(super) struct Feed {
    /// The place that it begins after.
    pub(super) begins_after: Head,
    acknowledged: Option<Head>,
}

const UNREAD: &str = "the daemon sent what cannot be read";

impl Feed {
    /// Asks where the journal begins, and how far head office has it.
    pub(super) fn open(client: &Client) -> anyhow::Result<Self> {
        let place = |value: &Value| -> anyhow::Result<Head> {
            let seq = value["seq"].as_u64().context("no seq")?;
            let hash = value["hash"].as_str().context("no hash")?.parse()?;
            Ok(Head { seq, hash })
        };
        let page = client.get("/v1/journal?after=0&limit=1&wait_s=0")?;
        let acknowledged = Some(&page["acknowledged"]).filter(|place| !place.is_null());
        Ok(Self {
            begins_after: place(&page["begins_after"]).context(UNREAD)?,
            acknowledged: acknowledged.map(place).transpose().context(UNREAD)?,
        })
    }

    /// Shows `each` every entry, once its hash was checked, and returns the last place. The journal must go through `known`.
    pub(super) fn follow(
        &self,
        client: &Client,
        known: Option<Head>,
        mut each: impl FnMut(u64, Hash, &[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<Head> {
        let known = known.into_iter().chain(self.acknowledged);
        let mut walk = Walk::new(self.begins_after, known).map_err(advised)?;
        loop {
            let page = client.get(&format!("/v1/journal?after={}&limit={STEP}&wait_s=0", walk.head().seq))?;
            let entries = page["entries"].as_array().context(UNREAD)?;
            if entries.is_empty() {
                return walk.end().map_err(advised);
            }
            for entry in entries {
                let (seq, hash, bytes) = read_entry(entry).context(UNREAD)?;
                walk.follow(seq, hash, &bytes).map_err(advised)?;
                each(seq, hash, &bytes)?;
            }
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
