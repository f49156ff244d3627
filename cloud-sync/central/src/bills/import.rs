//! A file into the database: read to its end before anything is written, then written a part at a time, so that nobody waits for all
//! of it; its lines count once all of them are there. The same file again changes nothing.

use super::{Biller, Expected, Format, Refusal, Stopped, Why, archive::read_file, mapped::Mapping, spool::Received};
use crate::{
    desk::Clock,
    store::{
        Db, StoreError, Value, audit,
        bills::{self, File},
        channel_settings, channels,
    },
};
use domain::time::{Day, Zone};
use jiff::tz::TimeZone;
use serde_json::json;
use std::{convert::Infallible, io, sync::Arc};
use tokio::sync::mpsc;

/// Lines that are written in one transaction.
const TOGETHER: usize = 5_000;
/// How often it is tried again where another import took the same number at the same moment.
const ATTEMPTS: usize = 5;

/// Which bill a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Of which channel.
    pub channel: String,
    /// What kind of file.
    pub format: Format,
    /// Of which day.
    pub day: Day,
}

/// A file that is in the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// It.
    pub file: File,
    /// Whether it came in now; else it was there already.
    pub is_new: bool,
}

/// Why a file is not imported. Nothing of it counts.
#[derive(Debug, thiserror::Error)]
pub enum NotImported {
    /// There is no such channel.
    #[error("channel {0} is not known here")]
    UnknownChannel(String),
    /// The channel has no bills of this kind.
    #[error("{}", other_biller(.channel, *.bills, *.format))]
    OtherBiller {
        /// The channel.
        channel: String,
        /// Whose files its bills are.
        bills: Option<Biller>,
        /// What was to be imported.
        format: Format,
    },
    /// The file is refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The day has its bill, from another file.
    #[error(
        "channel {} has its {} of {} from another file, number {} with SHA-256 {}: a bill that was imported is not replaced. Where it is wrong two people \
         withdraw it: POST /v1/bills/{}/withdrawal",
        .0.channel, .0.format, .0.day, .0.id, .0.sha256, .0.id
    )]
    Present(Box<File>),
    /// The same bytes are another bill.
    #[error("this very file is the {} of {} of channel {}, number {}: give the day and the channel that it is of",
        .0.format, .0.day, .0.channel, .0.id)]
    Elsewhere(Box<File>),
    /// The database says no.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file's bytes cannot be had.
    #[error("the file cannot be read: {0}")]
    Broken(io::Error),
}

/// That a channel has no files of this kind.
pub(crate) fn other_biller(channel: &str, bills: Option<Biller>, format: Format) -> String {
    match bills {
        None => format!(
            "channel {channel} has no bills: say whose files they are by `bills` in PUT /v1/channels/{channel}, {} for this format",
            format.biller().word()
        ),
        Some(bills) => format!("channel {channel} has bills of {}, and no {format}", bills.word()),
    }
}

/// Imports bills.
#[derive(Clone)]
pub struct Importer {
    /// Where to.
    pub db: Db,
    /// What the time is.
    pub clock: Arc<dyn Clock>,
    /// How the columns of CSV files are called.
    pub csv: Arc<[Mapping]>,
}

impl Importer {
    /// Imports a file.
    ///
    /// # Errors
    /// [`NotImported`]: nothing of it counts.
    pub async fn import(&self, wanted: &Wanted, received: Received, by: &str) -> Result<Imported, NotImported> {
        let expected = match self.look(wanted, &received.sha256).await? {
            Ok(expected) => Arc::new(expected),
            Err(known) => return Ok(*known),
        };
        let Received { file, sha256, bytes } = received;
        let (file, format) = (Arc::new(file), wanted.format);
        let (of, expects) = (Arc::clone(&file), Arc::clone(&expected));
        let read = move || read_file(&*of, format, &expects, |_| Ok::<(), Infallible>(()));
        let sums = blocking(read).await?.map_err(|stopped| match stopped {
            Stopped::Refused(refusal) => NotImported::Refused(refusal),
            Stopped::Broken(error) => NotImported::Broken(error),
            Stopped::Taker(never) => match never {},
        })?;
        let of = File {
            id: 0,
            channel: wanted.channel.clone(),
            format,
            day: wanted.day,
            sha256,
            bytes,
            sums,
            made_at: self.clock.wall(),
            made_by: by.to_owned(),
        };
        let id = self.begin(of.clone()).await?;
        let loaded = self.load(id, file, (&wanted.channel, format), expected).await;
        let done = match loaded {
            Ok(()) => self.finish(id, of).await,
            Err(error) => Err(error),
        };
        if done.as_ref().is_ok_and(|imported| imported.is_new) {
            return done;
        }
        // Where the database is gone the time does it.
        if let Err(error) = self.db.write(move |tx| bills::leave(tx, id)).await {
            tracing::warn!(file = id, "what came of a bill's import is taken away later: {error}");
        }
        done
    }

    /// What the file must be about; or the file that it is already.
    async fn look(&self, wanted: &Wanted, sha256: &str) -> Result<Result<Expected, Box<Imported>>, NotImported> {
        let (of, hash) = (wanted.clone(), sha256.to_owned());
        let found = self.db.read(move |tx| {
            let mut channel = channels::find(tx, &of.channel)?;
            if let Some(channel) = &mut channel {
                channel_settings::as_on(tx, channel, of.day)?;
            }
            let present = bills::of_day(tx, &of.channel, of.format, of.day)?;
            Ok((channel, present, bills::with_bytes(tx, &hash)?))
        });
        let (channel, present, with_bytes) = found.await?;
        let Wanted {
            channel: name,
            format,
            day,
        } = wanted;
        let channel = channel.ok_or_else(|| NotImported::UnknownChannel(name.clone()))?;
        if channel.bills != Some(format.biller()) {
            return Err(NotImported::OtherBiller {
                channel: name.clone(),
                bills: channel.bills,
                format: *format,
            });
        }
        if let Some(file) = present {
            return is_it(file, sha256).map(|known| Err(Box::new(known)));
        }
        if let Some(file) = with_bytes {
            return Err(NotImported::Elsewhere(Box::new(file)));
        }
        let broken = |_| StoreError::Broken(format!("channel {name} has no time zone"));
        let zone = TimeZone::get(&channel.zone).map_err(|error| broken(error.to_string()))?;
        let ends = Zone::named(&channel.zone).map_err(broken)?.begin_of(day.plus(1));
        if self.clock.wall() < ends {
            let words = format!("the day {day} is not over where the channel is: its bill comes on the day after");
            return Err(Refusal::new(None, Why::Day, words).into());
        }
        Ok(Ok(Expected {
            merchant: channel.merchant,
            day: *day,
            zone,
            mapping: self.csv.iter().find(|mapping| mapping.channel == *name).cloned(),
        }))
    }

    async fn begin(&self, of: File) -> Result<u64, StoreError> {
        for _ in 1..ATTEMPTS {
            let (of, now) = (of.clone(), self.clock.wall());
            match self.db.write(move |tx| bills::begin(tx, &of, now)).await {
                Err(StoreError::Constraint(_)) => {}
                done => return done,
            }
        }
        let now = self.clock.wall();
        self.db.write(move |tx| bills::begin(tx, &of, now)).await
    }

    /// Reads the file once more, and writes its lines.
    async fn load(
        &self,
        id: u64,
        file: Arc<std::fs::File>,
        (channel, format): (&str, Format),
        expected: Arc<Expected>,
    ) -> Result<(), NotImported> {
        let channel = channel.to_owned();
        let (parts, mut read) = mpsc::channel::<Vec<Vec<Value>>>(1);
        // The next part is read while one is written.
        let reading = tokio::task::spawn_blocking(move || {
            let mut rows = Vec::with_capacity(TOGETHER);
            read_file(&*file, format, &expected, |line| {
                rows.push(bills::row(&channel, format, id, line));
                match rows.len() == TOGETHER {
                    true => parts.blocking_send(std::mem::replace(&mut rows, Vec::with_capacity(TOGETHER))),
                    false => Ok(()),
                }
            })?;
            parts.blocking_send(rows).map_err(Stopped::Taker)
        });
        while let Some(rows) = read.recv().await {
            let now = self.clock.wall();
            if !self.db.write(move |tx| bills::add(tx, id, format, &rows, now)).await? {
                let why = "the import was taken for dead: begin it anew".to_owned();
                return Err(StoreError::Unavailable(why).into());
            }
        }
        let read = reading
            .await
            .map_err(|error| NotImported::Broken(io::Error::other(error)))?;
        read.map_err(|stopped| match stopped {
            Stopped::Refused(refusal) => NotImported::Refused(refusal),
            Stopped::Broken(error) => NotImported::Broken(error),
            Stopped::Taker(error) => NotImported::Broken(io::Error::other(error.to_string())),
        })
    }

    /// From now on the file's lines count.
    async fn finish(&self, id: u64, of: File) -> Result<Imported, NotImported> {
        let now = self.clock.wall();
        let file = File { id, made_at: now, ..of };
        let told = file.clone();
        let finished = self.db.write(move |tx| {
            if !bills::finish(tx, id, now)? {
                return Ok(false);
            }
            let detail = json!({
                "file": id, "sha256": told.sha256, "lines": told.sums.lines, "income": told.sums.income.to_string(),
                "outgo": told.sums.outgo.to_string(), "fees": told.sums.fees.to_string(),
            });
            let subject = format!("{}/{}/{}", told.channel, told.day, told.format);
            audit::append(tx, now, &told.made_by, "bill_imported", &subject, detail)?;
            Ok(true)
        });
        match finished.await {
            Ok(true) => Ok(Imported { file, is_new: true }),
            Ok(false) => {
                let why = "the import was taken for dead: begin it anew".to_owned();
                Err(StoreError::Unavailable(why).into())
            }
            // Another one of the same day was faster, or the same one of another.
            Err(StoreError::Constraint(why)) => {
                let (channel, format, day) = (file.channel.clone(), file.format, file.day);
                let hash = file.sha256.clone();
                let found = self.db.read(move |tx| {
                    let present = bills::of_day(tx, &channel, format, day)?;
                    Ok((present, bills::with_bytes(tx, &hash)?))
                });
                match found.await? {
                    (Some(present), _) => is_it(present, &file.sha256),
                    (None, Some(elsewhere)) => Err(NotImported::Elsewhere(Box::new(elsewhere))),
                    (None, None) => Err(StoreError::Constraint(why).into()),
                }
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether the file that a day has is the one that came.
fn is_it(present: File, sha256: &str) -> Result<Imported, NotImported> {
    match present.sha256 == sha256 {
        true => Ok(Imported {
            file: present,
            is_new: false,
        }),
        false => Err(NotImported::Present(Box::new(present))),
    }
}

/// Does what waits for a disk where nobody else waits for it.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, NotImported> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| NotImported::Broken(io::Error::other(error)))
}
