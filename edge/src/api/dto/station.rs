//! The station itself: identity, clocks, health, its journal, and tokens.

use super::sync::RecoveryView;
use crate::{
    api::{
        body::Checked,
        problem::Problem,
        wire::{
            At,
            journal::{JournalEntry, JournalHead},
        },
    },
    credentials::Role,
};
use domain::{
    site::{Site, Space},
    time::Now,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The station.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct StationView {
    /// Which site.
    pub site: String,
    /// Which run of the journal: random, new after every restore.
    pub epoch: String,
    /// The daemon's version.
    #[schema(example = "0.1.0")]
    pub version: String,
    /// The layout of the database.
    pub schema_version: u32,
    /// The site's time zone, an IANA name.
    pub time_zone: String,
    /// Its clocks.
    pub clock: ClockView,
    /// The last journal entry.
    pub journal: JournalHead,
    /// The furthest entry that head office has acknowledged.
    #[schema(required)]
    pub acknowledged: Option<JournalHead>,
    /// The entry after which the journal begins: what is older was pruned.
    pub journal_begins_after: JournalHead,
    /// It was restored from a copy and waits for what head office has beyond it.
    #[schema(required)]
    pub recovering: Option<RecoveryView>,
    /// Inputs that wait to be decided.
    pub waiting: usize,
    /// Open orders.
    pub open_orders: usize,
    /// Piles that may connect.
    pub piles: usize,
    /// Piles that are connected.
    pub piles_online: usize,
    /// Piles that take no new orders because a person said so, or because they fail too often.
    pub piles_in_maintenance: usize,
    /// Piles with a connector that is reported broken.
    pub piles_faulted: usize,
    /// Piles whose meter and orders disagreed, or of which it is not certain where a register is.
    pub piles_meter_abnormal: usize,
    /// Orders whose bill waits for a person; counted up to a hundred.
    pub reviews_waiting: usize,
    /// What waits in quarantine for a person.
    pub quarantine_open: u64,
    /// Of which records that contradict the one their order has; counted among the oldest 10,000 items.
    pub conflicts_open: u64,
    /// Of which bills that the pile splits over the tariff's periods otherwise; counted likewise.
    pub rating_differences_open: u64,
    /// Since when the oldest of it waits.
    #[schema(required)]
    pub quarantine_oldest: Option<At>,
    /// Corrections of bills that wait for a second person; counted up to a hundred.
    pub corrections_waiting: usize,
    /// Piles whose quarantine is full: what they say that fits nowhere is refused until items of theirs are closed.
    pub piles_quarantine_full: usize,
    /// Piles whose messages have filled a day's share of the journal: they take no orders until the next day.
    pub piles_journal_full: usize,
    /// Callers whose requests about money are refused: as many of theirs were answered within 24 h as are remembered of one
    /// caller.
    #[schema(example = json!(["desk"]))]
    pub answers_full: Vec<String>,
    /// Room on the disk.
    pub disk: DiskView,
    /// The tariff an order placed now is pinned to; `null`: every order is refused.
    #[schema(required)]
    pub tariff_in_force: Option<String>,
    /// The listener with TLS; `null` if there is none.
    #[schema(required)]
    pub tls: Option<TlsView>,
    /// Connectors that charge without an order.
    pub connectors_unordered: usize,
    /// Piles whose identity two devices used within the last hour.
    pub piles_two_devices: usize,
    /// Orders that charge at a pile that has been gone for longer than `gone` of the policy: somebody should close them.
    pub orders_of_gone_piles: usize,
    /// Messages of piles that came under a `msg_id` used before for another, since the daemon started. They were taken in.
    pub msg_ids_reused: u64,
}

/// TLS, as piles meet it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TlsView {
    /// When the station's certificate ends.
    pub certificate_expires: At,
    /// It ends within 30 days, or has ended.
    pub expires_soon: bool,
    /// Why new certificate files are not used, while those before them are; `null` if there is nothing wrong.
    #[schema(required)]
    pub problem: Option<String>,
    /// Piles whose latest certificate of the station's making ends within 30 days, or has ended.
    pub pile_certificates_ending: usize,
}

/// Room on the disk that the database is on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DiskView {
    /// What is left for the station, in bytes.
    pub free_bytes: u64,
    /// Whether the reserve is set aside that is given up when the disk is full.
    pub reserve: bool,
    /// Whether telemetry is written; it is the first that is given up.
    pub telemetry: bool,
    /// Why new orders are refused; `null` while they are taken.
    #[schema(required)]
    pub refusing_orders: Option<String>,
}

impl DiskView {
    pub(in crate::api) fn of(site: &Site) -> Self {
        let Space { free_bytes, reserve } = site.disk_space();
        Self {
            free_bytes,
            reserve,
            telemetry: site.keeps_telemetry(),
            refusing_orders: site.takes_no_orders(),
        }
    }
}

/// The station's clocks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ClockView {
    /// By the wall clock.
    pub wall: At,
    /// Elapsed station time in milliseconds; it never runs backwards.
    pub mono_ms: u64,
    /// Whether the wall clock is trusted: synchronised, or set by a person or head office.
    pub trusted: bool,
    /// The last certain time, where the wall clock cannot be right: what is rated meanwhile waits for a person, or for the
    /// clock to be put right. `null` otherwise.
    pub doubted_since: Option<At>,
}

impl ClockView {
    pub(in crate::api) fn of(site: &Site, now: Now) -> Self {
        Self {
            wall: At(now.wall),
            mono_ms: now.mono.0,
            trusted: site.clock_trusted(),
            doubted_since: site.rows().clock.doubt.map(|doubt| At(doubt.certain)),
        }
    }
}

/// How far head office has the journal.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AcknowledgeJournal {
    /// The run of the journal, as the feed says.
    pub epoch: String,
    /// The last entry that is committed there.
    pub seq: u64,
    /// Its hash, hex.
    pub hash: String,
}

impl Checked for AcknowledgeJournal {}

/// A copy of the database to be made.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MakeBackup {
    /// The new file: an absolute path where the daemon may write. Nothing may be there.
    #[schema(example = "/var/lib/holdfast/backup-2026-03-01.redb")]
    pub file: String,
    /// How many seconds it may take, from 1 to 3600.
    #[serde(default = "MakeBackup::within_s")]
    #[schema(minimum = 1, maximum = 3600, default = 600)]
    pub within_s: u64,
}

impl MakeBackup {
    /// The longest time a backup may take, in seconds: space that is freed meanwhile is not used again.
    pub(crate) const WITHIN_S_MAX: u64 = 3_600;

    fn within_s() -> u64 {
        600
    }
}

impl Checked for MakeBackup {
    fn check(&self) -> Result<(), Problem> {
        if !std::path::Path::new(&self.file).is_absolute() || self.file.contains('\0') {
            return Err(Problem::field("file", "an absolute path"));
        }
        if !(1..=Self::WITHIN_S_MAX).contains(&self.within_s) {
            return Err(Problem::field("within_s", "from 1 to 3600 seconds"));
        }
        Ok(())
    }
}

/// A copy of the database that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct BackupView {
    /// Where it is.
    pub file: String,
    /// How long it is.
    pub bytes: u64,
    /// How long it took.
    pub took_ms: u64,
    /// How far the journal in it goes.
    pub head: JournalHead,
}

/// Whether something works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct HealthView {
    /// `ok`.
    #[schema(example = "ok")]
    pub status: String,
}

/// A stretch of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct JournalPage {
    /// Which site.
    pub site: String,
    /// Which run of the journal. Another one than before: a restore; it goes on from an entry that both runs have.
    pub epoch: String,
    /// The place after which the journal begins: what is older was pruned.
    pub begins_after: JournalHead,
    /// The furthest place that head office has acknowledged.
    #[schema(required)]
    pub acknowledged: Option<JournalHead>,
    /// The hash of the entry with the number `after`: what the first entry here is sealed to. `null` if it is not here.
    #[schema(required)]
    pub after_hash: Option<String>,
    /// The journal's last entry at that moment.
    pub head: JournalHead,
    /// In order, without gaps; the last one is the end of a step of the station.
    pub entries: Vec<JournalEntry>,
    /// The station's Ed25519 signature over the place of the last of them, as a batch on the line to head office carries it
    /// (docs/sync-protocol.md), base64; `null` where there are none.
    #[schema(required)]
    pub signature: Option<String>,
}

/// A token to be made.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MakeToken {
    /// A name for people and logs, 1 to 32 of A-Z a-z 0-9 _ -.
    #[schema(example = "mini-program")]
    pub name: String,
    /// What it may do.
    pub role: Role,
}

impl Checked for MakeToken {
    fn check(&self) -> Result<(), Problem> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if (1..=32).contains(&self.name.len()) && self.name.bytes().all(plain) {
            Ok(())
        } else {
            Err(Problem::field("name", "1 to 32 of A-Z a-z 0-9 _ -"))
        }
    }
}

/// A token's name and role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TokenView {
    /// Its name.
    pub name: String,
    /// What it may do.
    pub role: Role,
}

/// A token: shown once, when it is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TokenSecret {
    /// Its name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// For the header `Authorization: Bearer <token>`. `null` in a repeated answer: it is not kept; delete the token and
    /// make another if it was lost.
    #[schema(required)]
    pub token: Option<String>,
}

/// All tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TokenList {
    /// By name.
    pub items: Vec<TokenView>,
}
