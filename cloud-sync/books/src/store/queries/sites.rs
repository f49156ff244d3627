//! Sites as people see them: how far each journal is here, and what the site last said of itself.

use super::{Filter, Page};
use crate::store::{Row, StoreError, Tx, sites};
use domain::{journal::Head, time::Wall};
use protocol::key::PublicKey;
use serde::Deserialize;

/// What a site said of itself in its last hello. What an older or newer one does not say is left out.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Said {
    /// The version of the line that it speaks.
    pub protocol: Option<u32>,
    /// The version of the station's program.
    pub station: Option<String>,
    /// The version of the program that speaks for it.
    pub agent: Option<String>,
    /// The run of its journal.
    pub epoch: Option<String>,
    /// Where its days begin.
    pub time_zone: Option<String>,
    /// The place after which its journal begins.
    pub begins_after: Option<Head>,
    /// The place of its last entry then.
    pub head: Option<Head>,
    /// It waits for what it lost.
    pub recovering: bool,
    /// When the oldest entry that was not acknowledged was journaled, by its clock.
    pub waiting_since: Option<Wall>,
    /// The key that its batches are signed with.
    pub key: Option<PublicKey>,
}

/// A site.
#[derive(Debug, Clone, PartialEq)]
pub struct SiteRow {
    /// Its id.
    pub id: String,
    /// Its number.
    pub number: u64,
    /// A name for people.
    pub name: String,
    /// What is made of its journal, in a word.
    pub state: String,
    /// Why it is not followed.
    pub trouble: Option<String>,
    /// Which branch of its journal is followed.
    pub branch: u64,
    /// The number of the last entry that is here.
    pub seq: u64,
    /// Its hash.
    pub hash: Vec<u8>,
    /// Its business day there.
    pub day: Option<String>,
    /// What it last said of itself.
    pub said: Option<Said>,
    /// When it was last heard.
    pub heard_at: Option<Wall>,
    /// When it was shut out.
    pub revoked_at: Option<Wall>,
    /// When the certificate ends that its connection shows.
    pub certificate_until: Option<Wall>,
    /// The key that signs what comes of it now; none before it has enrolled.
    pub key: Option<PublicKey>,
}

impl SiteRow {
    /// How many entries it had in its last hello that are not here.
    pub fn backlog(&self) -> u64 {
        let head = self.said.as_ref().and_then(|said| said.head);
        head.map_or(0, |head| head.seq.saturating_sub(self.seq))
    }

    /// The key that it signs with, if that is not the one that counts.
    pub fn unknown_key(&self) -> Option<PublicKey> {
        self.said.as_ref()?.key.filter(|key| Some(*key) != self.key)
    }

    /// The version of the line that it speaks, if that is not head office's.
    pub fn other_protocol(&self) -> Option<u32> {
        self.said
            .as_ref()?
            .protocol
            .filter(|version| *version != protocol::VERSION)
    }

    /// Since when something of it waits, by its own clock; none where nothing does.
    pub fn waiting_since(&self) -> Option<Wall> {
        self.said.as_ref()?.waiting_since.filter(|_| self.backlog() > 0)
    }
}

const COLUMNS: &str = "id, number, name, state, trouble, branch, seq, hash, day, hello, heard_at, revoked_at, \
                       certificate_until, keys";

fn site(mut row: Row) -> Result<SiteRow, StoreError> {
    let hello = row.optional_text(9)?;
    Ok(SiteRow {
        id: row.text(0)?,
        number: row.count(1)?,
        name: row.text(2)?,
        state: row.text(3)?,
        trouble: row.optional_text(4)?,
        branch: row.count(5)?,
        seq: row.count(6)?,
        hash: row.bytes(7)?,
        day: row.optional_text(8)?,
        // What a site says of itself is shown as far as it can be read.
        said: hello.and_then(|hello| serde_json::from_str(&hello).ok()),
        heard_at: row.optional_int(10)?.map(Wall),
        revoked_at: row.optional_int(11)?.map(Wall),
        certificate_until: row.optional_int(12)?.map(Wall),
        key: sites::newest_key(&row.text(13)?)?,
    })
}

/// Sites after this id, in the order of their ids.
///
/// # Errors
/// [`StoreError`].
pub fn list(
    tx: &mut dyn Tx,
    state: Option<&str>,
    after: Option<&str>,
    limit: usize,
) -> Result<Page<SiteRow>, StoreError> {
    let mut filter = Filter::default();
    filter.and_if("id > ?", after);
    filter.and_if("state = ?", state);
    filter.page(tx, COLUMNS, "site", "id", limit, site)
}

/// One site.
///
/// # Errors
/// [`StoreError`].
pub fn find(tx: &mut dyn Tx, id: &str) -> Result<Option<SiteRow>, StoreError> {
    let row = tx.query_optional(&format!("SELECT {COLUMNS} FROM site WHERE id = $1"), &[id.into()])?;
    row.map(site).transpose()
}
