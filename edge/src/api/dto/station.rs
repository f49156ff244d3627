//! The station itself: identity, clocks, health, its journal, and tokens.

use crate::{
    api::{body::Checked, problem::Problem, wire::At},
    credentials::Role,
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
    /// Inputs that wait to be decided.
    pub waiting: usize,
    /// Open orders.
    pub open_orders: usize,
    /// Piles that may connect.
    pub piles: usize,
    /// Piles that are connected.
    pub piles_online: usize,
    /// Piles that are fenced off from new orders.
    pub piles_in_maintenance: usize,
    /// Piles with a connector that is reported broken.
    pub piles_faulted: usize,
    /// Orders whose bill waits for a person; counted up to a hundred.
    pub reviews_waiting: usize,
    /// Messages in quarantine that wait for a person; counted up to a hundred.
    pub quarantine_open: usize,
    /// The tariff an order placed now is pinned to; `null`: every order is refused.
    #[schema(required)]
    pub tariff_in_force: Option<String>,
    /// The listener with TLS; `null` if there is none.
    #[schema(required)]
    pub tls: Option<TlsView>,
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

/// The station's clocks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ClockView {
    /// By the wall clock.
    pub wall: At,
    /// Elapsed station time in milliseconds; it never runs backwards.
    pub mono_ms: u64,
    /// Whether the wall clock is trusted: synchronised, or set by a person or head office.
    pub trusted: bool,
}

/// The last entry of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct JournalHead {
    /// Its number; zero if there is none.
    pub seq: u64,
    /// Its hash, hex.
    pub hash: String,
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
    /// Which run of the journal. Another one than before: a restore; start again from its beginning.
    pub epoch: String,
    /// The hash of the entry with the number `after`: what the first entry here is sealed to. `null` if it is not here.
    #[schema(required)]
    pub after_hash: Option<String>,
    /// The journal's last entry at that moment.
    pub head: JournalHead,
    /// In order, without gaps.
    pub entries: Vec<JournalEntry>,
}

/// One journal entry as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct JournalEntry {
    /// Its number.
    pub seq: u64,
    /// SHA-256 of the hash before and the bytes, hex.
    pub hash: String,
    /// The stored bytes, base64: a JSON text.
    pub bytes: String,
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
