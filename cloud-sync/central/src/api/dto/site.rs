//! Sites as people see them.

use crate::{
    alerts::conditions::of_line,
    store::queries::{entries::Stored, sites::SiteRow},
};
use domain::{
    journal::{Hash, hex},
    time::Wall,
};
use protocol::frame::State;
use serde::{Deserialize, Serialize};
use service::wire::{
    At,
    journal::{JournalEntry, JournalHead},
};
use utoipa::ToSchema;

/// What head office makes of a site's journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SiteState {
    /// It follows.
    Following,
    /// The next entry tells of something that head office's version does not know: upgrade head office.
    Ahead,
    /// The next entry contradicts those before it: somebody must look.
    Broken,
    /// Two journals of this site are about: somebody must say which one lives.
    Forked,
}

impl SiteState {
    /// Its word in the database.
    pub fn word(self) -> &'static str {
        let state = match self {
            Self::Following => State::Following,
            Self::Ahead => State::Ahead,
            Self::Broken => State::Broken,
            Self::Forked => State::Forked,
        };
        state.word()
    }
}

/// A site (场站).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Site)]
pub struct SiteView {
    /// Its id.
    #[schema(example = "s01")]
    pub id: String,
    /// Its number, which is in the ids of members that are made at its desk.
    pub number: u64,
    /// A name for people.
    pub name: String,
    /// `following`, `ahead`, `broken` or `forked`: what is made of its journal.
    #[schema(example = "following")]
    pub state: String,
    /// Why it is not followed, or nothing of it can be taken; `null` where neither is so.
    #[schema(required)]
    pub trouble: Option<String>,
    /// Which branch of its journal is followed.
    pub branch: u64,
    /// The last entry of its journal that is here.
    pub head: JournalHead,
    /// Its business day there.
    #[schema(required, example = "2026-03-01")]
    pub day: Option<String>,
    /// When it was last heard; `null` if never.
    #[schema(required)]
    pub heard_at: Option<At>,
    /// What it had in its last hello that is not here.
    pub backlog: BacklogView,
    /// What it said of itself in its last hello; `null` before the first.
    #[schema(required)]
    pub said: Option<SaidView>,
    /// When it was shut out; `null` if it was not.
    #[schema(required)]
    pub revoked_at: Option<At>,
}

/// What of a site's journal is not here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Backlog)]
pub struct BacklogView {
    /// How many entries.
    pub entries: u64,
    /// Since when the oldest waits, by the site's clock; `null` where none does or it is not known.
    #[schema(required)]
    pub since: Option<At>,
    /// How long that is, in seconds.
    #[schema(required)]
    pub age_s: Option<u64>,
}

/// What a site says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Said)]
pub struct SaidView {
    /// The version of the line that it speaks.
    #[schema(required)]
    pub protocol: Option<u32>,
    /// The version of the station's program.
    #[schema(required)]
    pub station_version: Option<String>,
    /// The version of the program that speaks for it.
    #[schema(required)]
    pub agent_version: Option<String>,
    /// Which run of its journal.
    #[schema(required)]
    pub epoch: Option<String>,
    /// Its time zone, an IANA name.
    #[schema(required)]
    pub time_zone: Option<String>,
    /// The place after which its own journal begins.
    #[schema(required)]
    pub begins_after: Option<JournalHead>,
    /// The last entry of its own journal.
    #[schema(required)]
    pub head: Option<JournalHead>,
    /// It was restored from a copy and waits for what head office has beyond it.
    pub recovering: bool,
}

impl SiteView {
    /// A site at this moment.
    pub fn of(site: &SiteRow, now: Wall) -> Self {
        let since = site.waiting_since();
        let age_s = |since: Wall| u64::try_from(now.ms_since(since) / 1_000).unwrap_or(0);
        let said = site.said.as_ref().map(|said| SaidView {
            protocol: said.protocol,
            station_version: said.station.clone(),
            agent_version: said.agent.clone(),
            epoch: said.epoch.clone(),
            time_zone: said.time_zone.clone(),
            begins_after: said.begins_after.map(Into::into),
            head: said.head.map(Into::into),
            recovering: said.recovering,
        });
        Self {
            id: site.id.clone(),
            number: site.number,
            name: site.name.clone(),
            state: site.state.clone(),
            trouble: site.trouble.clone().or_else(|| of_line(site).map(|(_, words)| words)),
            branch: site.branch,
            head: JournalHead {
                seq: site.seq,
                hash: hex(&site.hash),
            },
            day: site.day.clone(),
            heard_at: site.heard_at.map(At),
            backlog: BacklogView {
                entries: site.backlog(),
                since: since.map(At),
                age_s: since.map(age_s),
            },
            said,
            revoked_at: site.revoked_at.map(At),
        }
    }
}

/// A stretch of a site's journal, by the branch that is followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = SiteJournal)]
pub struct JournalPageView {
    /// Which site.
    pub site: String,
    /// The hash of the entry with the number `after`: what the first entry here is sealed to. `null` if that entry is not
    /// here.
    #[schema(required)]
    pub after_hash: Option<String>,
    /// The last entry that is here.
    pub head: JournalHead,
    /// In order, without gaps (docs/journal.md has their form).
    pub entries: Vec<JournalEntry>,
}

impl JournalPageView {
    /// Entries after a place.
    pub fn new(site: &SiteRow, after: u64, after_hash: Option<Hash>, entries: &[Stored]) -> Self {
        // Nothing comes after the last entry, whose hash stands beside its number.
        let is_last = (after == site.seq).then(|| hex(&site.hash));
        Self {
            site: site.id.clone(),
            after_hash: after_hash.map(|hash| hash.to_string()).or(is_last),
            head: JournalHead {
                seq: site.seq,
                hash: hex(&site.hash),
            },
            entries: entries
                .iter()
                .map(|(seq, hash, bytes)| JournalEntry::new(*seq, *hash, bytes))
                .collect(),
        }
    }
}
