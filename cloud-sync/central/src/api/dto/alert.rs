//! What people must look at.

use crate::store::alerts::Alert;
use serde::{Deserialize, Serialize};
use service::wire::At;
use utoipa::ToSchema;

/// An alert: something that people must look at, from when to when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Alert)]
pub struct AlertView {
    /// Its id, the same wherever it is told.
    #[schema(example = "alert_0f1e2d3c4b5a6978")]
    pub id: String,
    /// `site_silent`, `backlog_old`, `on_road_long`, `ahead`, `broken`, `forked`, `site_certificate`, `books`, `rating`, `key_unknown`,
    /// `protocol_version`, `vouchers_closed_ahead`: about a site; `totals_do_not_close`: about a channel;
    /// `certificate`, `disk`, `bills_stuck`: about a process of head office; `restored`, `standby_asynchronous`, `wallets_frozen`: about head
    /// office.
    #[schema(example = "site_silent")]
    pub kind: String,
    /// The site, the process, `channel:` and a channel's name, or `head office`.
    #[schema(example = "s01")]
    pub subject: String,
    /// What is the matter and what to do, as it was when it began.
    pub words: String,
    /// When it began.
    pub begun_at: At,
    /// When it was over; `null` while it is not.
    #[schema(required)]
    pub ended_at: Option<At>,
}

impl From<&Alert> for AlertView {
    fn from(alert: &Alert) -> Self {
        Self {
            id: alert.id.clone(),
            kind: alert.kind.word().to_owned(),
            subject: alert.subject.clone(),
            words: alert.words.clone(),
            begun_at: At(alert.begun_at),
            ended_at: alert.ended_at.map(At),
        }
    }
}
