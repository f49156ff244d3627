//! Sites' pings are answered, and it is noted when a site was heard and what it said of itself: past the desks, so that neither
//! waits for a batch, nor the answer for the database. Nothing hangs on what is noted but what people are shown.

use crate::{
    desk::{
        Clock, Office, ToSites,
        core::{Effect, pong},
    },
    store::{Db, sites},
};
use domain::{
    ids::SiteId,
    time::{Mono, Wall},
};
use protocol::status::Status;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::{Notify, mpsc};

/// Pings that wait for their answer; those beyond are dropped, and sites ask again.
const PINGS_MAX: usize = 1_024;
/// How often it is noted at most what a site says of itself, in milliseconds: each time is a commit.
const HELLO_MS: u64 = 10_000;
/// How often it is noted that a site was heard, in milliseconds: of its pings every second, so that what is noted of a line that is
/// up is never a minute old.
const HEARD_MS: u64 = 30_000;
/// How often it is looked at what is to be noted.
const LOOK: Duration = Duration::from_secs(1);

/// What is to be noted of a site.
#[derive(Debug, Default)]
struct Noted {
    /// What it said of itself last, if that is not noted.
    hello: Option<String>,
    /// When it was heard last, if that is not noted.
    heard_at: Option<Wall>,
    /// When something of it was noted last.
    noted_at: Option<Mono>,
}

impl Noted {
    /// What is to be noted by now: the latest of everything that has come.
    fn take(&mut self, now: Mono) -> Option<(Option<String>, Wall)> {
        let pause = if self.hello.is_some() { HELLO_MS } else { HEARD_MS };
        if self.noted_at.is_some_and(|at| now.ms_since(at) < pause) {
            return None;
        }
        let heard_at = self.heard_at.take()?;
        self.noted_at = Some(now);
        Some((self.hello.take(), heard_at))
    }
}

/// Who was heard.
pub struct Heard {
    office: Arc<Office>,
    clock: Arc<dyn Clock>,
    to_sites: ToSites,
    sites: Mutex<BTreeMap<SiteId, Noted>>,
    came: Notify,
    pings: mpsc::Sender<(SiteId, Vec<u8>)>,
}

impl Heard {
    /// Nobody yet. Until the future is dropped pings are answered, and what was heard is noted.
    pub fn new(
        office: Arc<Office>,
        clock: Arc<dyn Clock>,
        db: Db,
        to_sites: ToSites,
    ) -> (Arc<Self>, impl Future<Output = ()> + Send + 'static) {
        let (pings, waiting) = mpsc::channel(PINGS_MAX);
        let heard = Arc::new(Self {
            office,
            clock,
            to_sites,
            sites: Mutex::default(),
            came: Notify::new(),
            pings,
        });
        let (answering, noting) = (Arc::clone(&heard), Arc::clone(&heard));
        let run = async move {
            tokio::join!(answering.answer(waiting), noting.note(db));
        };
        (heard, run)
    }

    fn sites(&self) -> MutexGuard<'_, BTreeMap<SiteId, Noted>> {
        self.sites.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A site asks what time it is.
    pub fn ping(&self, site: &SiteId, payload: &[u8]) {
        let _too_many = self.pings.try_send((site.clone(), payload.to_vec()));
        self.sites().entry(site.clone()).or_default().heard_at = Some(self.clock.wall());
        self.came.notify_one();
    }

    /// A site says something of itself.
    pub fn status(&self, site: &SiteId, payload: &[u8]) {
        let hello = match Status::from_bytes(payload) {
            Ok(Status::Online(hello)) if hello.site == *site => serde_json::to_string(&hello).ok(),
            _ => None,
        };
        let Some(hello) = hello else { return };
        let mut sites = self.sites();
        let noted = sites.entry(site.clone()).or_default();
        (noted.hello, noted.heard_at) = (Some(hello), Some(self.clock.wall()));
        drop(sites);
        self.came.notify_one();
    }

    async fn answer(&self, mut waiting: mpsc::Receiver<(SiteId, Vec<u8>)>) {
        while let Some((site, payload)) = waiting.recv().await {
            if let Some(Effect(kind, payload)) = pong(&self.office, &site, self.clock.wall(), payload) {
                let _is_there = (self.to_sites)(&site, kind, payload);
            }
        }
    }

    async fn note(&self, db: Db) {
        loop {
            self.came.notified().await;
            loop {
                let (mut due, mut waits) = (Vec::new(), false);
                let now = self.clock.mono();
                for (site, noted) in self.sites().iter_mut() {
                    match noted.take(now) {
                        Some((hello, at)) => due.push((site.clone(), hello, at)),
                        None => waits |= noted.hello.is_some(),
                    }
                }
                for (site, hello, at) in due {
                    let of = site.clone();
                    let noted = db.write(move |tx| sites::heard(tx, &of, hello.as_deref(), at));
                    if let Err(error) = noted.await {
                        tracing::warn!(%site, "it is not noted that it was heard: {error}");
                    }
                }
                if !waits {
                    break;
                }
                tokio::time::sleep(LOOK).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_hellos_the_latest_is_noted_once_in_ten_seconds() {
        let mut noted = Noted::default();
        let mut written = Vec::new();
        for ms in (0..30_000).step_by(100) {
            (noted.hello, noted.heard_at) = (Some(format!("{ms}")), Some(Wall(ms as i64)));
            written.extend(noted.take(Mono(ms)));
        }
        let expected = [0, 10_000, 20_000].map(|ms| (Some(format!("{ms}")), Wall(ms)));
        assert_eq!(written, expected);
        assert_eq!(noted.take(Mono(30_000)), Some((Some("29900".to_owned()), Wall(29_900))));
    }

    #[test]
    fn of_pings_every_second_is_noted() {
        let mut noted = Noted::default();
        let mut written = 0;
        for ms in (0..180_000).step_by(20_000) {
            noted.heard_at = Some(Wall(ms as i64));
            written += usize::from(noted.take(Mono(ms)).is_some());
        }
        assert_eq!(written, 5);
    }
}
