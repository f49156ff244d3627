//! What a site is asked for besides its journal: questions that the station answers, and orders that somebody watches there.
//! Nothing of it is kept: whoever asks waits, and asks again. It is told what sites say, and sends by a function it is given.

use domain::ids::{OrderId, SiteId};
use protocol::{
    read_through::{AnswerPart, Ask, Question},
    topic::Kind,
};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::{oneshot, watch};

/// The most questions to one site at once: so many a site answers.
const ASKED_PER_SITE_MAX: usize = 4;
/// The most questions at once: with the longest answer of each, what is held in memory for them.
const ASKED_MAX: usize = 16;
/// Those of them that are kept for head office itself.
const ASKED_BY_ITSELF: usize = 2;
/// The most questions of one caller at once.
const ASKED_PER_CALLER_MAX: usize = 2;
/// The most orders of one site that are watched at once: so many a site shows.
const WATCHED_PER_SITE_MAX: usize = 32;
/// How often a site is told that somebody watches still: it forgets after twice as long.
const WATCH_EVERY: Duration = Duration::from_secs(30);
/// The longest live frame that is passed on, in bytes.
const LIVE_BYTES_MAX: usize = 16 * 1024;

/// What a station answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status of its API.
    pub status: u16,
    /// The body, whole.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAnswered {
    /// The site has no connection to this process of head office.
    #[error("the site is not connected here: it is away, or another process of head office has its desk")]
    Away,
    /// It did not answer in time.
    #[error("the site did not answer in time")]
    Silent,
    /// Too much is asked of it, or of all sites, already.
    #[error("too many questions are open already")]
    Busy,
    /// Whoever asks has asked too much already.
    #[error("other questions of yours are open already")]
    CallerBusy,
}

type Send = dyn Fn(&SiteId, Kind, Vec<u8>) -> bool + std::marker::Send + Sync;

/// A question that waits for its answer.
struct Asked {
    site: SiteId,
    /// Who asked; none: head office itself.
    by: Option<String>,
    status: u16,
    parts: Vec<Option<Vec<u8>>>,
    done: oneshot::Sender<Answer>,
}

#[derive(Default)]
struct Open {
    /// The number of the last question.
    last: u64,
    questions: BTreeMap<u64, Asked>,
    /// The newest frame of each order that somebody watches.
    watched: BTreeMap<(SiteId, OrderId), watch::Sender<Option<String>>>,
}

/// All questions and all watched orders of this process.
pub struct Asks {
    send: Box<Send>,
    open: Mutex<Open>,
}

/// Takes a question back when whoever asked goes away.
struct TakenBack<'a>(&'a Asks, u64);

impl Drop for TakenBack<'_> {
    fn drop(&mut self) {
        self.0.open().questions.remove(&self.1);
    }
}

impl Asks {
    /// Sends by this function, which says whether the site is there and takes it.
    ///
    /// # Errors
    /// The operating system gives no randomness: numbers begin anywhere, so that an answer to an earlier process is not taken
    /// for one to this.
    pub fn new(
        send: impl Fn(&SiteId, Kind, Vec<u8>) -> bool + std::marker::Send + Sync + 'static,
    ) -> Result<Self, getrandom::Error> {
        // Below 2^53, so that whoever reads a question as JSON reads its number right.
        let last = getrandom::u64()? >> 12;
        let open = Open {
            last,
            ..Open::default()
        };
        Ok(Self {
            send: Box::new(send),
            open: Mutex::new(open),
        })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks a site, for a caller or for head office itself, and waits for its answer at most so long.
    ///
    /// # Errors
    /// [`NotAnswered`].
    pub async fn get(
        &self,
        site: &SiteId,
        by: Option<&str>,
        what: Question,
        time_max: Duration,
    ) -> Result<Answer, NotAnswered> {
        let (done, answer) = oneshot::channel();
        let id = {
            let mut open = self.open();
            let count = |which: &dyn Fn(&Asked) -> bool| open.questions.values().filter(|asked| which(asked)).count();
            let most = match by {
                Some(_) => ASKED_MAX - ASKED_BY_ITSELF,
                None => ASKED_MAX,
            };
            if by.is_some() && count(&|asked| asked.by.as_deref() == by) >= ASKED_PER_CALLER_MAX {
                return Err(NotAnswered::CallerBusy);
            }
            if count(&|asked| asked.site == *site) >= ASKED_PER_SITE_MAX || open.questions.len() >= most {
                return Err(NotAnswered::Busy);
            }
            open.last += 1;
            let (id, asked) = (
                open.last,
                Asked {
                    site: site.clone(),
                    by: by.map(str::to_owned),
                    status: 0,
                    parts: Vec::new(),
                    done,
                },
            );
            open.questions.insert(id, asked);
            id
        };
        let _taken_back = TakenBack(self, id);
        let question = serde_json::to_vec(&Ask { id, what }).expect("a question has string keys");
        if !(self.send)(site, Kind::Ask, question) {
            return Err(NotAnswered::Away);
        }
        let answered = tokio::time::timeout(time_max, answer).await;
        answered.ok().and_then(Result::ok).ok_or(NotAnswered::Silent)
    }

    /// Takes a part of an answer; whether it was waited for. What nobody asked this site, or what contradicts the parts before
    /// it, is dropped.
    pub fn hear(&self, site: &SiteId, payload: &[u8]) -> bool {
        let Ok(part) = AnswerPart::from_bytes(payload) else {
            return false;
        };
        let mut open = self.open();
        let Some(asked) = open.questions.get_mut(&part.id).filter(|asked| asked.site == *site) else {
            return false;
        };
        if asked.parts.is_empty() {
            asked.parts = vec![None; usize::from(part.parts)];
            asked.status = part.status;
        }
        let agrees = asked.parts.len() == usize::from(part.parts) && asked.status == part.status;
        let Some(place) = asked.parts.get_mut(usize::from(part.part)).filter(|_| agrees) else {
            return false;
        };
        *place = Some(part.body);
        if asked.parts.iter().all(Option::is_some)
            && let Some(asked) = open.questions.remove(&part.id)
        {
            let body = asked.parts.into_iter().flatten().flatten().collect();
            let _gone = asked.done.send(Answer {
                status: asked.status,
                body,
            });
        }
        true
    }

    /// Watches an order of a site, as long as what is returned lives.
    ///
    /// # Errors
    /// [`NotAnswered::Busy`]: too many orders of this site are watched already.
    pub fn watch(self: &Arc<Self>, site: &SiteId, order: &OrderId) -> Result<Watching, NotAnswered> {
        let key = (site.clone(), order.clone());
        let mut open = self.open();
        let others = open.watched.keys().filter(|(other, _)| other == site).count();
        let news = match open.watched.get(&key) {
            Some(sender) => sender.subscribe(),
            None if others >= WATCHED_PER_SITE_MAX => return Err(NotAnswered::Busy),
            None => {
                let (sender, news) = watch::channel(None);
                open.watched.insert(key.clone(), sender);
                news
            }
        };
        let mut renew = tokio::time::interval(WATCH_EVERY);
        renew.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        Ok(Watching {
            asks: Arc::clone(self),
            key,
            news: Some(news),
            renew,
        })
    }

    /// Takes a live frame of a site; whether somebody watches the order.
    pub fn hear_live(&self, site: &SiteId, payload: &[u8]) -> bool {
        /// What a frame says of itself: it is passed on as it came.
        #[derive(Deserialize)]
        struct Frame {
            order_id: OrderId,
        }
        let text = std::str::from_utf8(payload)
            .ok()
            .filter(|text| text.len() <= LIVE_BYTES_MAX);
        let Some((text, Ok(Frame { order_id }))) = text.map(|text| (text, serde_json::from_str(text))) else {
            return false;
        };
        let open = self.open();
        let sender = open.watched.get(&(site.clone(), order_id));
        sender.is_some_and(|sender| sender.send(Some(text.to_owned())).is_ok())
    }

    /// How many questions are open, and how many orders are watched.
    pub fn counts(&self) -> (usize, usize) {
        let open = self.open();
        (open.questions.len(), open.watched.len())
    }
}

/// Somebody who watches an order.
pub struct Watching {
    asks: Arc<Asks>,
    key: (SiteId, OrderId),
    /// None once it goes away.
    news: Option<watch::Receiver<Option<String>>>,
    renew: tokio::time::Interval,
}

impl Watching {
    /// The newest frame, if any came.
    pub fn newest(&mut self) -> Option<String> {
        self.news.as_mut()?.borrow_and_update().clone()
    }

    /// Returns when there is a newer frame. The site is told meanwhile that somebody watches.
    pub async fn changed(&mut self) {
        let Self { asks, key, news, renew } = self;
        let Some(news) = news else { return };
        loop {
            tokio::select! {
                // Its sender stays as long as this does.
                _news = news.changed() => return,
                _ = renew.tick() => {
                    let (site, order) = &*key;
                    // A site that is away is told when it is back, at the next turn.
                    let _away = (asks.send)(site, Kind::Watch, order.as_str().as_bytes().to_vec());
                }
            }
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.news = None;
        let mut open = self.asks.open();
        if open
            .watched
            .get(&self.key)
            .is_some_and(|sender| sender.receiver_count() == 0)
        {
            open.watched.remove(&self.key);
        }
    }
}
