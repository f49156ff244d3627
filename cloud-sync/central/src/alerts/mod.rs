//! What people must look at: found from what is known, kept from its beginning to its end, and told once each way.
//!
//! | file | holds |
//! |---|---|
//! | here | looking: what begins and what is over is written in one transaction with what is told of it |
//! | [`conditions`] | the rules: what is the matter |
//! | [`telling`] | messages are sent until they are taken |
//! | [`mail`], [`smtp`] | by mail; [`crate::webhook`] is the other way |

pub mod conditions;
pub mod mail;
pub mod smtp;
pub mod telling;

use crate::{
    api::dto::alert::AlertView,
    bills::folder::Stuck,
    daily,
    desk::Clock,
    reconcile::nightly,
    store::{
        Db, StoreError, Tx,
        alerts::{self, Alert},
        at_sites,
        findings::{self, Class},
        forgotten, identity, jobs,
        outbox::{self, Channel},
        queries::{payments, sites},
        standbys,
    },
};
use conditions::{Changes, Here, Known, Thresholds, hold};
use domain::time::Wall;
use serde::{Deserialize, Serialize};
use service::wire::At;
use std::{path::PathBuf, sync::Arc, time::Duration};

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// For how long a finding RATING is told, in milliseconds.
const RATING_MS: i64 = 86_400_000;
/// The most sites that are looked at.
const SITES_MAX: usize = 100_000;

/// What is told of an alert: the body of a webhook, and what a mail is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// `alert.begun` or `alert.ended`.
    #[serde(rename = "type")]
    pub kind: String,
    /// When.
    pub timestamp: At,
    /// The alert, as `GET /v1/alerts` shows it.
    pub data: AlertView,
}

/// Looks for what people must look at.
pub struct Watch {
    /// The database.
    pub db: Db,
    /// Head office's clock.
    pub clock: Arc<dyn Clock>,
    /// From where on something is the matter.
    pub thresholds: Thresholds,
    /// By what alerts are told.
    pub channels: Vec<Channel>,
    /// The name of this process.
    pub process: String,
    /// Whose disk is looked at.
    pub folder: PathBuf,
    /// When the certificate ends that this process shows.
    pub certificate_until: Box<dyn Fn() -> Option<Wall> + Send + Sync>,
    /// What the folder for bills is stuck with.
    pub bills: Stuck,
}

impl Watch {
    /// Goes on until the future is dropped.
    pub async fn run(self) {
        let mut up_since = self.clock.wall();
        loop {
            match self.look(up_since).await {
                Ok(changes) => {
                    for ((kind, subject), words) in &changes.begin {
                        tracing::warn!(kind = kind.word(), subject, "{words}");
                    }
                    for alert in &changes.end {
                        tracing::info!(kind = alert.kind.word(), subject = alert.subject, "is over");
                    }
                }
                Err(error) => {
                    tracing::warn!("what people must look at cannot be looked up: {error}");
                    // Nobody could be noted as heard meanwhile.
                    up_since = self.clock.wall();
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Looks once; what has changed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn look(&self, up_since: Wall) -> Result<Changes, StoreError> {
        let here = Here {
            process: self.process.clone(),
            up_since,
            certificate_until: (self.certificate_until)(),
            disk_free: free(&self.folder),
            folder: self.folder.display().to_string(),
            bills_stuck: self.bills.words(),
        };
        let (thresholds, now) = (self.thresholds, self.clock.wall());
        let seen = here.clone();
        let found = self.db.read(move |tx| changes(tx, seen, &thresholds, now)).await?;
        // As a rule nothing has changed, and nobody is kept waiting for that.
        if found.is_empty() {
            return Ok(found);
        }
        let channels = self.channels.clone();
        let written = self.db.write(move |tx| {
            // Of several processes that look at once each sees what the one before has written.
            jobs::hold(tx, "alerts", "")?;
            let changes = changes(tx, here, &thresholds, now)?;
            write(tx, &changes, &channels, now)?;
            Ok(changes)
        });
        written.await
    }
}

fn changes(tx: &mut dyn Tx, here: Here, thresholds: &Thresholds, now: Wall) -> Result<Changes, StoreError> {
    let process = here.process.clone();
    let differ = jobs::all(tx, daily::KIND)?
        .into_iter()
        .filter(|job| job.outcome.as_deref() == Some(daily::DIFFER))
        .map(|job| job.key)
        .collect();
    let mut unclosed = Vec::new();
    for (kind, of) in [(nightly::KIND, "channel"), (nightly::OF_SITES, "site")] {
        let jobs = jobs::all(tx, kind)?.into_iter();
        let wrong = jobs.filter(|job| job.outcome.as_deref() == Some(nightly::DOES_NOT_CLOSE));
        unclosed.extend(wrong.map(|job| format!("{of}:{}", job.key)));
    }
    let known = Known {
        unclosed,
        sites: sites::list(tx, None, None, SITES_MAX)?.items,
        differ,
        forgotten: forgotten::unknown(tx)?,
        standbys: standbys::trouble(tx)?,
        on_road: payments::on_road_since(tx, now.after_ms(-thresholds.on_road_after_ms))?,
        vouchers_closed: at_sites::all_vouchers_closed(tx)?,
        frozen: identity::frozen(tx)?,
        rated: findings::counts_since(tx, Class::Rating, now.after_ms(-RATING_MS))?,
        here,
    };
    let open = alerts::open(tx)?;
    let hold = hold(&known, thresholds, &open, now);
    Ok(Changes::between(&open, hold, &process))
}

/// Writes what begins and what is over, and what is told of it.
fn write(tx: &mut dyn Tx, changes: &Changes, channels: &[Channel], now: Wall) -> Result<(), StoreError> {
    for ((kind, subject), words) in &changes.begin {
        let random = getrandom::u64().map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let alert = Alert {
            id: format!("alert_{random:016x}"),
            kind: *kind,
            subject: subject.clone(),
            begun_at: now,
            ended_at: None,
            words: words.clone(),
        };
        if alerts::begin(tx, &alert)? {
            tell(tx, &alert, "begun", channels, now)?;
        }
    }
    for alert in &changes.end {
        if alerts::end(tx, &alert.id, now)? {
            let ended_at = Some(now);
            let alert = Alert {
                ended_at,
                ..alert.clone()
            };
            tell(tx, &alert, "ended", channels, now)?;
        }
    }
    Ok(())
}

fn tell(tx: &mut dyn Tx, alert: &Alert, what: &str, channels: &[Channel], now: Wall) -> Result<(), StoreError> {
    let event = Event {
        kind: format!("alert.{what}"),
        timestamp: At(now),
        data: AlertView::from(alert),
    };
    let body = serde_json::to_string(&event).map_err(|error| StoreError::Broken(error.to_string()))?;
    for channel in channels {
        outbox::add(tx, &format!("{}.{what}", alert.id), *channel, &body, now)?;
    }
    Ok(())
}

/// What an ordinary user may still take of the disk that a folder is on, in bytes.
pub(crate) fn free(folder: &std::path::Path) -> Option<u64> {
    let found = nix::sys::statvfs::statvfs(folder).ok()?;
    // The widths of both differ between systems.
    #[allow(clippy::useless_conversion, reason = "it is one elsewhere")]
    let (blocks, bytes) = (u64::from(found.blocks_available()), u64::from(found.fragment_size()));
    Some(blocks.saturating_mul(bytes))
}
