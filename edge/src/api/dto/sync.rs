//! What the program that speaks with head office is told, on a socket of its own.

use crate::api::{
    body::{Checked, check_name, check_reason},
    problem::Problem,
    wire::{At, journal::JournalHead},
};
use domain::{head_office::HeadOfficeRow, journal::Head};
use protocol::voucher::VOUCHER_TEXT_MAX;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What the station says of itself to head office.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SyncHello {
    /// Which site.
    pub site: String,
    /// The version of the line that it speaks.
    pub protocol: u32,
    /// The daemon's version.
    pub station: String,
    /// Which run of the journal.
    pub epoch: String,
    /// The place after which the journal begins: what is older was pruned.
    pub begins_after: JournalHead,
    /// The journal's last entry.
    pub head: JournalHead,
    /// The furthest place that head office has acknowledged.
    #[schema(required)]
    pub acknowledged: Option<JournalHead>,
    /// It was restored from a copy and waits for what head office has beyond it.
    pub recovering: bool,
    /// Which life of head office it last heard of, 32 hexadecimal digits.
    #[schema(required)]
    pub hq_epoch: Option<String>,
    /// How far directives of head office were taken.
    pub directives: DirectivesTakenView,
    /// When the oldest entry that is not acknowledged was journaled, by the station's clock.
    #[schema(required)]
    pub waiting_since: Option<At>,
    /// The site's time zone, an IANA name.
    pub time_zone: String,
    /// The Ed25519 public key that the feed's pages are signed with, 64 hexadecimal digits.
    pub key: String,
    /// What the acknowledgement that answers this hello says again, 32 hexadecimal digits. No earlier one is answered any
    /// more.
    pub nonce: String,
}

/// How far directives of head office were taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DirectivesTakenView {
    /// Of which life of head office; 32 hexadecimal digits. `null` before the station goes by one.
    #[schema(required)]
    pub hq_epoch: Option<String>,
    /// The number of the last one about orders and money; 0 before the first.
    pub orders: u64,
    /// The number of the last of the others.
    pub others: u64,
}

impl From<&HeadOfficeRow> for DirectivesTakenView {
    fn from(row: &HeadOfficeRow) -> Self {
        Self {
            hq_epoch: row.hq_epoch.map(|epoch| epoch.to_string()),
            orders: row.orders.n,
            others: row.others.n,
        }
    }
}

/// A voucher, as a driver shows it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ShowVoucher {
    /// The voucher's text.
    pub voucher: String,
}

impl Checked for ShowVoucher {
    fn check(&self) -> Result<(), Problem> {
        match self.voucher.len() {
            1..=VOUCHER_TEXT_MAX => Ok(()),
            _ => Err(Problem::field(
                "voucher",
                format!("a voucher has 1 to {VOUCHER_TEXT_MAX} characters"),
            )),
        }
    }
}

/// What a member owed elsewhere is paid, as head office's receipt says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LiftOwes {
    /// The receipt's number.
    pub receipt: String,
}

impl Checked for LiftOwes {
    fn check(&self) -> Result<(), Problem> {
        check_name("receipt", &self.receipt, 1)
    }
}

/// A question whether head office is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SyncPing {
    /// What the answer says again, 32 hexadecimal digits. No earlier ping is answered any more.
    pub nonce: String,
}

/// What came of an acknowledgement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SyncAcknowledged {
    /// What head office makes of the journal: `following`, `ahead`, `broken` or `forked`.
    pub state: String,
    /// The furthest place that is acknowledged, on disk.
    #[schema(required)]
    pub acknowledged: Option<JournalHead>,
    /// Which run of the journal it is: another one where this ended a recovery.
    pub epoch: String,
    /// The station waits for what head office has beyond its copy.
    pub recovering: bool,
}

/// Head office's time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct HeadOfficeTime {
    /// What time it was there when it was heard.
    pub wall: At,
    /// How far off that may be, in milliseconds either way.
    pub error_ms: u64,
}

/// That a station waits for what head office has beyond its copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RecoveryView {
    /// Since when.
    pub since: At,
    /// Where the copy's journal ended.
    pub copy_end: JournalHead,
    /// How far head office has the journal, as it said last; `null` while it has not been heard.
    #[schema(required)]
    pub head_office_has: Option<JournalHead>,
    /// Stops that went to piles meanwhile, to be journaled then.
    pub stops: usize,
    /// Messages of piles that are kept, unacknowledged, until then, and requests that wait.
    pub waiting: usize,
}

/// That a restored station is to go on without what head office has.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GoOnAlone {
    /// Why: it is journaled, and head office's people read it.
    #[schema(min_length = 1, max_length = 500)]
    pub reason: String,
}

impl Checked for GoOnAlone {
    fn check(&self) -> Result<(), Problem> {
        check_reason("reason", &self.reason)
    }
}

/// A station that goes on after a restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct WentOn {
    /// The run of the journal that began.
    pub epoch: String,
    /// Its first entry.
    pub head: JournalHead,
}

impl WentOn {
    /// In this run, from here on.
    pub fn new(epoch: &str, head: Head) -> Self {
        Self {
            epoch: epoch.to_owned(),
            head: head.into(),
        }
    }
}
