//! Once in each business day a site's balance sheet is asked for and compared with its books here (BOOKS). A site that is away
//! then is asked later; after any time that nobody looked, it is asked once.

use crate::{
    asks::{Answer, Asks, NotAnswered},
    desk::Clock,
    ingest::books::{self, Compared, Sheet},
    store::{
        Db, StoreError, Tx,
        jobs::{self, Job},
        sites::{self, Site},
    },
};
use domain::{
    ids::SiteId,
    journal::Hash,
    ledger::Account,
    time::{Day, Wall},
    units::Fen,
};
use futures_util::StreamExt;
use protocol::{frame::State, read_through::Question};
use serde::Deserialize;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// The kind of the work in the database; its key is the site.
pub const KIND: &str = "books";
/// What came of it: the books are equal.
pub const EQUAL: &str = "equal";
/// What came of it: they differ, and a finding says in what.
pub const DIFFER: &str = "differ";
/// How often it is looked whether a site's day has changed.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// For how long a process has the work on a site to itself, in milliseconds: longer than it can take.
const CLAIM_MS: i64 = 300_000;
/// When it is tried again that failed, in milliseconds.
const RETRY_MS: i64 = 300_000;
/// How long a station may take to draw up its sheet.
const ASK_TIME_MAX: Duration = Duration::from_secs(60);
/// Sites that are asked at once.
const AT_ONCE: usize = 4;
/// The most accounts that a station lists: a list that is full may lack some, and then the digest alone counts.
const LISTED_MAX: usize = 10_000;
/// A sheet may be ahead of the journal that is here, whose last entries wait some seconds for company at the site: so long it
/// is looked again, and how often.
const LOOKS_AGAIN: u32 = 30;
const PAUSE: Duration = Duration::from_secs(1);

/// Why a site's books were not compared.
#[derive(Debug, thiserror::Error)]
pub enum NotCompared {
    /// It did not answer.
    #[error(transparent)]
    NotAnswered(#[from] NotAnswered),
    /// It answered something else.
    #[error("the station answered {status}, and no balance sheet: {why}")]
    NoSheet {
        /// The HTTP status of its API.
        status: u16,
        /// What is wrong with the answer.
        why: String,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Whether a site's books are to be compared now: its journal is followed, a business day has begun there for which they were
/// not yet, nobody is at it, and it is not too early to try again.
pub fn is_due(state: State, day: Option<Day>, job: Option<&Job>, now: Wall) -> bool {
    let (State::Following, Some(day)) = (state, day) else {
        return false;
    };
    job.is_none_or(|job| {
        let is_past = |at| jobs::is_past(at, now);
        job.done.as_deref() != Some(day.to_string().as_str()) && is_past(job.due_at) && is_past(job.claimed_until)
    })
}

/// A balance sheet as a station's API gives it.
fn sheet_of(answer: &Answer) -> Result<Sheet, NotCompared> {
    /// What counts of it.
    #[derive(Deserialize)]
    struct Said {
        seq: u64,
        digest: Hash,
        accounts: Option<Vec<Line>>,
    }
    #[derive(Deserialize)]
    struct Line {
        account: Account,
        balance: Fen,
    }
    let status = answer.status;
    let no_sheet = |why: String| NotCompared::NoSheet { status, why };
    if status != 200 {
        return Err(no_sheet("it refuses".to_owned()));
    }
    let said: Said = serde_json::from_slice(&answer.body).map_err(|error| no_sheet(error.to_string()))?;
    let lines = said.accounts.filter(|lines| lines.len() < LISTED_MAX);
    let map = |lines: Vec<Line>| -> BTreeMap<Account, Fen> {
        lines.into_iter().map(|line| (line.account, line.balance)).collect()
    };
    Ok(Sheet {
        seq: said.seq,
        digest: said.digest,
        accounts: lines.map(map),
    })
}

/// Asks a site for its balance sheet, for a caller or for head office itself, and compares it with its books here; what differs is
/// kept as a finding.
///
/// # Errors
/// [`NotCompared`].
pub async fn compare(
    db: &Db,
    asks: &Asks,
    clock: &dyn Clock,
    (site, by): (&SiteId, Option<&str>),
    ask_time_max: Duration,
) -> Result<(u64, Compared), NotCompared> {
    let answer = asks.get(site, by, Question::BalanceSheet, ask_time_max).await?;
    let sheet = sheet_of(&answer)?;
    let seq = sheet.seq;
    for _ in 0..LOOKS_AGAIN {
        match books::check(db, site, sheet.clone(), clock.wall()).await? {
            Compared::Behind { .. } => tokio::time::sleep(PAUSE).await,
            compared => return Ok((seq, compared)),
        }
    }
    Ok((seq, books::check(db, site, sheet, clock.wall()).await?))
}

/// Notes what a comparison came to, for this business day; where it came to nothing, it is due again later.
///
/// # Errors
/// [`StoreError`].
pub fn note(
    tx: &mut dyn Tx,
    site: &SiteId,
    day: Option<Day>,
    compared: Option<&Compared>,
    now: Wall,
) -> Result<(), StoreError> {
    let outcome = match compared {
        Some(Compared::Equal) => EQUAL,
        Some(Compared::Differ(_)) => DIFFER,
        Some(Compared::Behind { .. } | Compared::Forked) | None => {
            return jobs::later(tx, KIND, site.as_str(), now.after_ms(RETRY_MS));
        }
    };
    let day = day.map(|day| day.to_string());
    jobs::done(tx, KIND, site.as_str(), day.as_deref(), outcome, now)
}

/// Compares the books of this process's sites, day by day.
#[derive(Clone)]
pub struct Daily {
    /// This process.
    pub process: String,
    /// The database.
    pub db: Db,
    /// What sites are asked by.
    pub asks: Arc<Asks>,
    /// Head office's clock.
    pub clock: Arc<dyn Clock>,
}

impl Daily {
    /// Goes on until the future is dropped.
    pub async fn run(self) {
        loop {
            if let Err(error) = self.look().await {
                tracing::warn!("whose books are to be compared cannot be looked up: {error}");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Compares what is due, once; how many sites were asked.
    ///
    /// # Errors
    /// [`StoreError`]: what is due cannot be looked up. Of a single site it is logged.
    pub async fn look(&self) -> Result<usize, StoreError> {
        let (me, now) = (self.process.clone(), self.clock.wall());
        let due = self.db.read(move |tx| {
            let held = sites::held(tx, &me)?;
            let jobs = jobs::all(tx, KIND)?;
            let job = |site: &Site| jobs.iter().find(|job| job.key == site.id.as_str());
            let mut due = sites::all(tx)?;
            due.retain(|site| held.contains(&site.id) && is_due(site.state, site.day, job(site), now));
            Ok(due)
        });
        let due = due.await?;
        let asked = futures_util::stream::iter(due).map(|site| self.site(site));
        let asked: Vec<bool> = asked.buffer_unordered(AT_ONCE).collect().await;
        Ok(asked.into_iter().filter(|asked| *asked).count())
    }

    /// One site; whether it was this process's to ask.
    async fn site(&self, site: Site) -> bool {
        match self.claimed(&site).await {
            Ok(asked) => asked,
            Err(error) => {
                tracing::warn!(site = %site.id, "its books could not be compared: {error}");
                false
            }
        }
    }

    async fn claimed(&self, site: &Site) -> Result<bool, StoreError> {
        let Some(day) = site.day else { return Ok(false) };
        let (id, now) = (site.id.clone(), self.clock.wall());
        let claim =
            move |tx: &mut dyn Tx| jobs::claim(tx, KIND, id.as_str(), &day.to_string(), now, now.after_ms(CLAIM_MS));
        if !self.db.write(claim).await? {
            return Ok(false);
        }
        let compared = compare(&self.db, &self.asks, &*self.clock, (&site.id, None), ASK_TIME_MAX).await;
        let compared = match compared {
            Ok((seq, Compared::Differ(finding))) => {
                tracing::error!(site = %site.id, seq, "its books are not those that are here: {}", finding.detail);
                Some(Compared::Differ(finding))
            }
            Ok((_, compared)) => Some(compared),
            Err(NotCompared::Store(error)) => return Err(error),
            Err(error) => {
                tracing::info!(site = %site.id, "its books are compared later: {error}");
                None
            }
        };
        let (id, now) = (site.id.clone(), self.clock.wall());
        let noted = self
            .db
            .write(move |tx| note(tx, &id, Some(day), compared.as_ref(), now));
        noted.await.map(|()| true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::units::Fen;

    fn day(text: &str) -> Option<Day> {
        Some(Day::parse(text).unwrap())
    }

    #[test]
    fn books_are_due_once_for_each_day_that_a_followed_site_has_begun() {
        let now = Wall(1_000_000);
        let done = |done: Option<&str>, due_at: i64, claimed_until: i64| Job {
            key: "s1".to_owned(),
            done: done.map(str::to_owned),
            outcome: None,
            due_at: Wall(due_at),
            claimed_until: Wall(claimed_until),
        };
        let of = |day: Option<Day>, job: Option<Job>| is_due(State::Following, day, job.as_ref(), now);
        assert!(!of(None, None), "no day has begun there");
        assert!(of(day("2026-03-01"), None));
        assert!(!of(day("2026-03-01"), Some(done(Some("2026-03-01"), 0, 0))));
        assert!(of(day("2026-03-02"), Some(done(Some("2026-03-01"), 0, 0))));
        // After any number of days it is one comparison.
        assert!(of(day("2026-03-09"), Some(done(Some("2026-03-01"), 0, 0))));
        // Too early to try again; another process is at it; and when both are over.
        assert!(!of(day("2026-03-02"), Some(done(None, now.0 + 1, 0))));
        assert!(!of(day("2026-03-02"), Some(done(None, 0, now.0 + 1))));
        assert!(of(day("2026-03-02"), Some(done(None, now.0, now.0))));
        // What a process wrote whose clock was years ahead is waited for by nobody.
        let years = now.0 + 10 * 365 * 86_400_000;
        assert!(of(day("2026-03-02"), Some(done(None, years, years))));
        for state in [State::Ahead, State::Broken, State::Forked] {
            assert!(!is_due(state, day("2026-03-01"), None, now));
        }
    }

    #[test]
    fn a_sheet_is_read_and_one_that_lists_too_much_is_its_digest() {
        let digest = "ab".repeat(32);
        let answer = |status, accounts: serde_json::Value| Answer {
            status,
            body: serde_json::json!({ "seq": 7, "digest": digest, "accounts": accounts, "total": "0.00" })
                .to_string()
                .into_bytes(),
        };
        let listed = serde_json::json!([{ "account": "cash", "balance": "-1.50" }]);
        let sheet = sheet_of(&answer(200, listed.clone())).unwrap();
        assert_eq!((sheet.seq, sheet.digest.to_string()), (7, digest.clone()));
        assert_eq!(sheet.accounts, Some([(Account::Cash, Fen(-150))].into()));
        assert_eq!(sheet_of(&answer(200, serde_json::Value::Null)).unwrap().accounts, None);
        let line = |n: usize| serde_json::json!({ "account": format!("allowance:m{n}"), "balance": "0.01" });
        let full: Vec<_> = (0..LISTED_MAX).map(line).collect();
        assert_eq!(
            sheet_of(&answer(200, full[1..].into()))
                .unwrap()
                .accounts
                .unwrap()
                .len(),
            LISTED_MAX - 1
        );
        assert_eq!(sheet_of(&answer(200, full.into())).unwrap().accounts, None);
        assert!(matches!(
            sheet_of(&answer(503, listed)),
            Err(NotCompared::NoSheet { status: 503, .. })
        ));
        let nonsense = Answer {
            status: 200,
            body: b"<script>".to_vec(),
        };
        assert!(matches!(sheet_of(&nonsense), Err(NotCompared::NoSheet { .. })));
    }
}
