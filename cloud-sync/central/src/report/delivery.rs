//! Reports go out by themselves: when a day is final, and, where people want that, when the night's run has come to something else. What is
//! to be told stands in the outbox, once for each day, digest and receiver, and is told until it is taken; the attachment is made then.

use super::{
    Format, Sheet,
    summary::Summary,
    written::{NotWritten, Which, find, write},
};
use crate::{
    alerts::mail::{Attachment, Mail},
    bills::spool::nameless,
    desk::Clock,
    reconcile::{days::through, funds::scope_of},
    store::{
        Db, StoreError, Tx, channel_settings, channels, jobs,
        outbox::{self, Channel, Message},
        queries::reports,
        reconcile_runs as runs,
    },
    webhook::Webhook,
};
use domain::{
    journal::hex,
    time::{Day, Wall, Zone},
};
use serde::{Deserialize, Serialize};
use service::wire::At;
use sha2::{Digest, Sha256};
use std::{
    io::{BufWriter, Read, Seek},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// The kind of the work in the database; its keys are [`FINAL`] and [`PROVISIONAL`].
pub const KIND: &str = "report";
const FINAL: &str = "final";
const PROVISIONAL: &str = "provisional";
/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// So many days at most are told of that became final while nobody looked, the last ones.
const DAYS_MAX: i32 = 31;
/// The largest attachment, in bytes: what is larger many servers refuse.
const ATTACHED_MAX: u64 = 8 << 20;

/// By what reports go out.
#[derive(Debug, Clone)]
pub struct Receivers {
    /// By mail, and to whom.
    pub mail: Option<(Mail, Vec<String>)>,
    /// By a webhook.
    pub webhook: Option<Webhook>,
    /// Where attachments are made.
    pub folder: PathBuf,
}

/// What is told by webhook.
#[derive(Debug, Serialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: String,
    timestamp: At,
    data: &'a Summary,
}

/// A mail that is to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Letter {
    day: Day,
    /// By which day ages are counted.
    on: Day,
    /// Of these runs; one of others is another mail.
    digest: String,
    to: String,
}

impl Receivers {
    /// By which channels.
    pub fn channels(&self) -> Vec<Channel> {
        let webhook = self.webhook.iter().map(|_| Channel::ReportWebhook);
        webhook.chain(self.mail.iter().map(|_| Channel::ReportMail)).collect()
    }

    /// Sends a mail, with the report as it is.
    ///
    /// # Errors
    /// It was not taken, and why, in words.
    pub async fn send_mail(&self, db: &Db, message: &Message, now: Wall) -> Result<(), String> {
        let Some((mail, _)) = &self.mail else {
            return Err("it is not configured here".to_owned());
        };
        let letter: Letter = serde_json::from_str(&message.body).map_err(|error| error.to_string())?;
        let (folder, of) = (self.folder.clone(), letter.clone());
        let db = db.for_people();
        let made = db.read(move |tx| Ok(attachment(tx, &of, &folder)));
        let made = made.await.map_err(|error| error.to_string())?;
        let Some((summary, file)) = made.map_err(|error| error.to_string())? else {
            tracing::info!(
                "report {}: its day was reconciled again, and that is another mail",
                message.id
            );
            return Ok(());
        };
        let mut text = summary.text();
        if file.is_none() {
            text += "\nThe table is too large for a mail: GET /v1/reports/{day}?format=xlsx, or `holdfast-central report`, has it.\n";
        }
        let name = format!("reconciliation-{}.xlsx", letter.day);
        let attachment = file.as_deref().map(|bytes| Attachment {
            name: &name,
            media_type: Format::Xlsx.media_type(),
            bytes,
        });
        let subject = format!("[Holdfast] {}", summary.title());
        let to = std::slice::from_ref(&letter.to);
        mail.send_text((&message.id, to), (&subject, &text), attachment, now)
            .await
    }
}

/// The first page, and the whole as XLSX, unless that is too large.
type Made = (Summary, Option<Vec<u8>>);

/// What a mail is made of; none where the runs are others by now.
fn attachment(tx: &mut dyn Tx, letter: &Letter, folder: &Path) -> Result<Option<Made>, NotWritten> {
    let which = Which::all(letter.day, letter.on);
    if Summary::of(&find(tx, &which)?).digest != letter.digest {
        return Ok(None);
    }
    service::folder::make_private(folder)?;
    let mut file = nameless(folder, "report")?;
    let summary = write(tx, &which, (Format::Xlsx, Sheet::Summary), BufWriter::new(&mut file))?;
    if file.metadata()?.len() > ATTACHED_MAX {
        return Ok(Some((summary, None)));
    }
    file.rewind()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(Some((summary, Some(bytes))))
}

/// A report that is to go out.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Due {
    key: &'static str,
    day: Day,
    /// What the work is done for then.
    done: String,
}

/// Has reports go out.
#[derive(Clone)]
pub struct Reporter {
    /// The database.
    pub db: Db,
    /// Head office's clock.
    pub clock: Arc<dyn Clock>,
    /// By what.
    pub receivers: Receivers,
    /// Whether what is not final goes out, too.
    pub provisional: bool,
}

impl Reporter {
    /// Goes on until the future is dropped.
    pub async fn run(self) {
        loop {
            if let Err(error) = self.look().await {
                tracing::warn!("which reports are to go out cannot be looked up: {error}");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Writes what is to be told, once; how many reports.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn look(&self) -> Result<usize, StoreError> {
        let provisional = self.provisional;
        if self.db.read(move |tx| due(tx, provisional)).await?.is_empty() {
            return Ok(0);
        }
        let to = self
            .receivers
            .mail
            .as_ref()
            .map(|(_, to)| to.clone())
            .unwrap_or_default();
        let (has_webhook, now) = (self.receivers.webhook.is_some(), self.clock.wall());
        let written = self.db.write(move |tx| {
            // Of several processes that look at once each sees what the one before has written.
            jobs::hold(tx, KIND, "")?;
            let all = due(tx, provisional)?;
            for due in &all {
                tell(tx, due, (&to, has_webhook), now)?;
                jobs::done(tx, KIND, due.key, Some(&due.done), "told", now)?;
            }
            Ok(all.len())
        });
        written.await
    }
}

/// What is to go out and has not.
fn due(tx: &mut dyn Tx, provisional: bool) -> Result<Vec<Due>, StoreError> {
    // A run that is at work is waited for: what it comes to is told.
    if reports::is_running(tx)? {
        return Ok(Vec::new());
    }
    let (mut last_final, mut last_run): (Option<Day>, Option<Day>) = (None, None);
    for channel in channels::all(tx)? {
        if channel.bills.is_none() {
            continue;
        }
        let Some(settings) = channel_settings::load(tx, &channel)? else {
            continue;
        };
        let (scope, before) = (scope_of(&channel.name), settings.first().plus(-1));
        let is_final = runs::last_final(tx, &scope)?.unwrap_or(before);
        let counting = runs::counting(tx, &scope, is_final)?;
        let is_run = counting.last().map_or(is_final, |run| run.day);
        // A day is over with the last of its channels.
        last_final = Some(last_final.map_or(is_final, |day| day.min(is_final)));
        last_run = Some(last_run.map_or(is_run, |day| day.min(is_run)));
    }
    let (Some(last_final), Some(last_run)) = (last_final, last_run) else {
        return Ok(Vec::new());
    };
    let done = jobs::all(tx, KIND)?;
    let done = |key: &str| done.iter().find(|job| job.key == key).and_then(|job| job.done.clone());
    // Whoever begins to be told is told of the last day, and not of years.
    let from = match done(FINAL).map(|day| day.parse::<Day>()) {
        Some(Ok(day)) => day.plus(1).max(last_final.plus(1 - DAYS_MAX)),
        _ => last_final,
    };
    let mut all = Vec::new();
    for day in through(from, last_final) {
        if digest(tx, day)?.is_some() {
            all.push(Due {
                key: FINAL,
                day,
                done: day.to_string(),
            });
        }
    }
    if provisional
        && last_run > last_final
        && let Some(digest) = digest(tx, last_run)?
    {
        let word = format!("{last_run} {digest}");
        if done(PROVISIONAL).as_ref() != Some(&word) {
            all.push(Due {
                key: PROVISIONAL,
                day: last_run,
                done: word,
            });
        }
    }
    Ok(all)
}

/// One number over the runs of a day that are of channels; none where there are none. A site whose day is done again, as more of its journal
/// came, is no reason to send the day's report anew.
fn digest(tx: &mut dyn Tx, day: Day) -> Result<Option<String>, StoreError> {
    let found = reports::runs_of(tx, day)?.channels;
    Ok((!found.is_empty()).then(|| super::summary::digest_of(found.values())))
}

/// Writes what is told of a day.
fn tell(tx: &mut dyn Tx, due: &Due, (to, has_webhook): (&[String], bool), now: Wall) -> Result<(), StoreError> {
    let on = Zone::default().day_of(now);
    let summary = match find(tx, &Which::all(due.day, on)) {
        Ok(found) => Summary::of(&found),
        Err(NotWritten::Store(error)) => return Err(error),
        // Its channels have no bills any more.
        Err(NotWritten::NothingOf(_)) => return Ok(()),
        Err(other) => return Err(StoreError::Broken(other.to_string())),
    };
    let json = |error: serde_json::Error| StoreError::Broken(error.to_string());
    let id = format!("report.{}.{}.{}", due.day, due.key, &summary.digest[..16]);
    if has_webhook {
        let event = Event {
            kind: format!("report.{}", due.key),
            timestamp: At(now),
            data: &summary,
        };
        let body = serde_json::to_string(&event).map_err(json)?;
        outbox::add(tx, &id, Channel::ReportWebhook, &body, now)?;
    }
    for to in to {
        let letter = Letter {
            day: due.day,
            on,
            digest: summary.digest.clone(),
            to: to.clone(),
        };
        let whom = hex(&Sha256::digest(to))[..8].to_owned();
        let body = serde_json::to_string(&letter).map_err(json)?;
        outbox::add(tx, &format!("{id}.{whom}"), Channel::ReportMail, &body, now)?;
    }
    Ok(())
}
