//! What the station and its head office are to each other: keys, the numbers that only a fresh answer repeats, and what head
//! office said last. A broker between them, or the program on this box that faces the WAN, can make none of it.

pub mod line_watch;

use crate::{
    station::Station,
    store::{Opening, Store, StoreError},
};
use anyhow::Context;
use domain::{
    head_office::{HeadOfficeRow, HqKey, Voucher},
    ids::SiteId,
    journal::Head,
    planted::{Bug, is_planted},
    site::Told,
    time::{Mono, Now, Wall},
};
use protocol::{
    frame::{Ack, Batch, HqEpoch, Malformed, Nonce, Pong, SignedDirective, State},
    key::{PublicKey, PublicKeys, Signature, SigningKey},
};
use std::{
    fs::{File, OpenOptions},
    io::{ErrorKind, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError, RwLock},
};

/// The folder in `data_dir` that holds the station's own key.
const FOLDER: &str = "sync";
/// Its file there: the seed in hexadecimal digits.
const KEY_FILE: &str = "edge.key";
/// For how long head office counts as reachable after it has answered a ping, in milliseconds.
const LINE_SILENCE_MS: u64 = 60_000;
/// Elapsed time is off by no more than a part in so many: cheap quartz is good to a part in ten thousand.
const DRIFT: u64 = 2_000;
/// The longest file that is read as a key.
const KEY_FILE_BYTES_MAX: u64 = 256;

/// A station's end of the line.
#[derive(Debug)]
pub struct HeadOffice {
    site: SiteId,
    /// What head office signs with, as the configuration says; none where the station works alone.
    configured: Vec<HqKey>,
    /// The same, with what head office has told the station of its keys since ([`HeadOffice::know`]).
    keys: RwLock<PublicKeys>,
    /// What the station signs its journal with.
    own: SigningKey,
    said: Mutex<Said>,
}

/// What was asked and answered.
#[derive(Debug, Default)]
struct Said {
    /// The number of the latest hello.
    hello: Option<Nonce>,
    /// The number of the latest ping that was not answered, and when it was made by elapsed time.
    ping: Option<(Nonce, Mono)>,
    heard: Heard,
    /// Whether it could be reached when that was last asked.
    line_up: bool,
}

/// What head office said last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Heard {
    /// What it makes of the journal, and how far it has it.
    pub ack: Option<(State, Head)>,
    /// What time it is there.
    pub time: Option<HeardTime>,
}

/// Head office's time, as it was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeardTime {
    /// When it was heard, by elapsed time.
    pub mono: Mono,
    /// What time it was there then.
    pub wall: Wall,
    /// How far off that may be, in milliseconds either way.
    pub error_ms: u64,
}

/// Why an answer of head office is not believed.
#[derive(Debug, thiserror::Error)]
pub enum Unbelieved {
    /// It is none, or nobody who may has signed it.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// It answers another question than the latest.
    #[error(
        "it answers another question than the station's latest: an old answer that is sent once more counts for nothing"
    )]
    Stale,
    /// There is nobody to believe.
    #[error("no head office is set: `public_key` under `[head_office]` in the configuration")]
    NoHeadOffice,
}

/// An acknowledgement that is head office's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Believed {
    /// What it makes of the journal.
    pub state: State,
    /// How far it has it.
    pub head: Head,
    /// Which life of head office says so.
    pub hq_epoch: HqEpoch,
    /// It answers the station's latest hello, and so was made after it.
    pub is_fresh: bool,
}

impl Believed {
    /// Whether nothing is missing here if the journal has this place: it is said after the station's latest hello, and of this
    /// journal.
    pub fn may_end_recovery(&self) -> bool {
        self.is_fresh && self.state != State::Forked
    }

    /// Whether what lies before this place may be pruned when it is old enough. Where the two journals differ, or the station
    /// is `recovering`, nothing of it says so.
    pub fn acknowledges(&self, recovering: bool) -> bool {
        self.state != State::Forked && !recovering && self.head != Head::START
    }
}

impl HeadOffice {
    /// With a key of the station's own from `data_dir`, made there at the first start.
    ///
    /// # Errors
    /// The key cannot be read, is readable for others, or cannot be made.
    pub fn open(data_dir: &Path, site: SiteId, keys: PublicKeys) -> anyhow::Result<Self> {
        let own = own_key(&data_dir.join(FOLDER))?;
        Ok(Self::new(site, keys, own))
    }

    /// With this key of the station's own.
    pub fn new(site: SiteId, keys: PublicKeys, own: SigningKey) -> Self {
        Self {
            site,
            configured: keys.0.iter().copied().map(HqKey::from).collect(),
            keys: RwLock::new(keys),
            own,
            said: Mutex::default(),
        }
    }

    /// Whether there is one.
    pub fn is_set(&self) -> bool {
        !self.configured.is_empty()
    }

    /// Takes into account what head office has told the station of its keys, as it is on disk.
    pub fn know(&self, row: &HeadOfficeRow) {
        // A station that works alone is not told whom to believe.
        if self.is_set() {
            let counting = row.counting(&self.configured);
            let keys = counting.into_iter().map(PublicKey::from).collect();
            *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        }
    }

    /// The keys that it signs with.
    pub fn keys(&self) -> PublicKeys {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What others check the station's signatures with.
    pub fn own_key(&self) -> PublicKey {
        self.own.public()
    }

    /// The station's signature over a place in its journal: it stands for everything up to there.
    pub fn sign(&self, place: Head) -> Signature {
        Batch::sign(&self.site, place, &self.own)
    }

    /// Writes the station's opening into a new file, signed ([`Store::opening`]).
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn make_opening(&self, store: &Store, to: &Path, now: Wall) -> Result<Opening, StoreError> {
        store.opening(to, &self.own, now)
    }

    /// The number of a new hello: no earlier one is answered any more.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn hello(&self) -> Result<Nonce, getrandom::Error> {
        let nonce = Nonce::random()?;
        self.said().hello = Some(nonce);
        Ok(nonce)
    }

    /// The number of a new ping: no earlier one is answered any more.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn ping(&self, now: Now) -> Result<Nonce, getrandom::Error> {
        let nonce = Nonce::random()?;
        self.said().ping = Some((nonce, now.mono));
        Ok(nonce)
    }

    /// Reads an acknowledgement.
    ///
    /// # Errors
    /// [`Unbelieved`]: it counts for nothing.
    pub fn ack(&self, frame: &[u8]) -> Result<Believed, Unbelieved> {
        if !self.is_set() {
            return Err(Unbelieved::NoHeadOffice);
        }
        let Ack {
            hq_epoch,
            state,
            head,
            nonce,
        } = Ack::from_bytes(frame, &self.site, &self.keys())?;
        let mut said = self.said();
        let is_fresh = said.hello == Some(nonce);
        if nonce != Nonce::NONE && !is_fresh {
            return Err(Unbelieved::Stale);
        }
        said.heard.ack = Some((state, head));
        Ok(Believed {
            state,
            head,
            hq_epoch,
            is_fresh,
        })
    }

    /// Reads the answer to the latest ping: what time it is at head office. That it was that late when it answered is
    /// certain; how long the answer took is what the station itself has counted, whatever the line says.
    ///
    /// # Errors
    /// [`Unbelieved`]: it counts for nothing.
    pub fn pong(&self, frame: &[u8], now: Now) -> Result<HeardTime, Unbelieved> {
        if !self.is_set() {
            return Err(Unbelieved::NoHeadOffice);
        }
        let pong = Pong::from_bytes(frame, &self.site, &self.keys())?;
        let mut said = self.said();
        let asked = said.ping.filter(|(nonce, _)| *nonce == pong.nonce);
        let (_, asked_at) = asked.ok_or(Unbelieved::Stale)?;
        // One answer to one question.
        said.ping = None;
        let error_ms = now.mono.ms_since(asked_at).div_ceil(2);
        let time = HeardTime {
            mono: now.mono,
            wall: pong.now.after_ms(i64::try_from(error_ms).unwrap_or(i64::MAX)),
            error_ms,
        };
        said.heard.time = Some(time);
        Ok(time)
    }

    /// Reads a directive: what head office has the station do.
    ///
    /// # Errors
    /// [`Unbelieved`]: it counts for nothing.
    pub fn directive(&self, frame: &[u8], now: Now, clock_trusted: bool) -> Result<Told, Unbelieved> {
        if !self.is_set() {
            return Err(Unbelieved::NoHeadOffice);
        }
        let SignedDirective { no, sha256, content } = SignedDirective::from_bytes(frame, &self.site, &self.keys())?;
        let heard = self.said().heard.time;
        Ok(Told {
            directive: no,
            sha256,
            content,
            at_most: heard
                .map(|heard| heard.not_after(now.mono))
                .or_else(|| clock_trusted.then_some(now.wall)),
        })
    }

    /// Reads a voucher: a lease in a driver's hands.
    ///
    /// # Errors
    /// [`Unbelieved`]: it counts for nothing.
    pub fn voucher(&self, text: &str) -> Result<Voucher, Unbelieved> {
        if !self.is_set() {
            return Err(Unbelieved::NoHeadOffice);
        }
        Ok(protocol::voucher::from_text(text, &self.keys())?)
    }

    /// Whether head office can be reached, where that is news: it has answered a ping of the last minute, or no longer has.
    pub fn line_changed(&self, now: Mono) -> Option<bool> {
        let mut said = self.said();
        let up = said
            .heard
            .time
            .is_some_and(|heard| now.ms_since(heard.mono) < LINE_SILENCE_MS);
        (std::mem::replace(&mut said.line_up, up) != up).then_some(up)
    }

    /// What head office said last, in this run of the program.
    pub fn heard(&self) -> Heard {
        self.said().heard
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HeardTime {
    /// It is not later than this at head office, so long after it was heard: elapsed time runs true to a part in two thousand.
    fn not_after(&self, mono: Mono) -> Wall {
        let passed = mono.ms_since(self.mono);
        let error = self.error_ms + passed.div_ceil(DRIFT);
        self.wall.after_ms(i64::try_from(passed + error).unwrap_or(i64::MAX))
    }

    /// And not earlier than this.
    pub fn not_before_at(&self, mono: Mono) -> Wall {
        if is_planted(Bug::ClosedByLatestTime) {
            return self.not_after(mono);
        }
        let passed = mono.ms_since(self.mono);
        let sure = passed - passed.div_ceil(DRIFT).min(passed);
        self.not_before().after_ms(i64::try_from(sure).unwrap_or(i64::MAX))
    }

    /// It was not earlier than this when it was heard.
    pub fn not_before(&self) -> Wall {
        self.wall.after_ms(-i64::try_from(self.error_ms).unwrap_or(i64::MAX))
    }

    /// Lets the station bound its own clock by it.
    pub fn tell(&self, station: &Station) {
        station.clock.was_certainly(self.not_before());
        station.tell(domain::site::Input::CertainTime(self.not_before()));
    }
}

/// The station's key, made if it is not there. Half a key never has its name.
fn own_key(folder: &Path) -> anyhow::Result<SigningKey> {
    let path = folder.join(KEY_FILE);
    let told = || format!("the key that the journal is signed with, {}", path.display());
    match File::open(&path) {
        Ok(file) => read_key(file).with_context(told),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            service::folder::make_private(folder).with_context(|| format!("cannot make {}", folder.display()))?;
            make_key(folder, &path).with_context(told)
        }
        Err(error) => Err(error).with_context(told),
    }
}

fn read_key(file: File) -> anyhow::Result<SigningKey> {
    let mode = file.metadata()?.permissions().mode();
    anyhow::ensure!(
        mode & 0o077 == 0,
        "its permissions are {:o}, and it must be its owner's alone: chmod 600",
        mode & 0o777
    );
    let mut text = String::new();
    file.take(KEY_FILE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(SigningKey::from_text(&text)?)
}

fn make_key(folder: &Path, path: &Path) -> anyhow::Result<SigningKey> {
    let key = SigningKey::generate().context("the operating system gives no randomness")?;
    let unfinished = path.with_added_extension("unfinished");
    let _left_behind = std::fs::remove_file(&unfinished);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&unfinished)?;
    file.write_all(key.to_text().as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&unfinished, path)?;
    File::open(folder)?.sync_all()?;
    tracing::info!(key = %key.public(), "the station has a key of its own now, which its journal is signed with");
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::own_path::own_path;

    fn site() -> SiteId {
        SiteId::new("s1").unwrap()
    }

    fn at(mono: u64) -> Now {
        Now {
            mono: Mono(mono),
            wall: Wall(0),
        }
    }

    fn end() -> (HeadOffice, SigningKey) {
        let key = SigningKey::from_seed([1; 32]);
        let end = HeadOffice::new(site(), key.public().into(), SigningKey::from_seed([2; 32]));
        (end, key)
    }

    fn ack(key: &SigningKey, nonce: Nonce) -> Vec<u8> {
        let ack = Ack {
            hq_epoch: HqEpoch([7; 16]),
            state: State::Following,
            head: Head::START,
            nonce,
        };
        ack.to_bytes(&site(), key)
    }

    #[test]
    fn the_key_is_made_once_and_is_its_owners_alone() {
        let folder = own_path("edge-key");
        let first = HeadOffice::open(&folder, site(), PublicKeys::default()).unwrap();
        let again = HeadOffice::open(&folder, site(), PublicKeys::default()).unwrap();
        assert_eq!(first.own_key(), again.own_key());
        let path = folder.join("sync/edge.key");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = HeadOffice::open(&folder, site(), PublicKeys::default()).unwrap_err();
        assert!(format!("{error:#}").contains("chmod 600"), "{error:#}");
        std::fs::write(&path, "").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(HeadOffice::open(&folder, site(), PublicKeys::default()).is_err());
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn rule_2_only_the_answer_to_the_latest_hello_is_fresh() {
        let (end, key) = end();
        let old = end.hello().unwrap();
        let latest = end.hello().unwrap();
        assert!(matches!(end.ack(&ack(&key, old)), Err(Unbelieved::Stale)));
        for _ in 0..2 {
            assert!(end.ack(&ack(&key, latest)).unwrap().is_fresh);
        }
        assert!(!end.ack(&ack(&key, Nonce::NONE)).unwrap().is_fresh);
        let strange = SigningKey::from_seed([3; 32]);
        assert!(matches!(end.ack(&ack(&strange, latest)), Err(Unbelieved::Malformed(_))));
        let alone = HeadOffice::new(site(), PublicKeys::default(), SigningKey::from_seed([2; 32]));
        assert!(matches!(
            alone.ack(&ack(&key, Nonce::NONE)),
            Err(Unbelieved::NoHeadOffice)
        ));
    }

    #[test]
    fn rule_2_head_offices_time_counts_by_an_answer_to_the_latest_ping_and_once() {
        let (end, key) = end();
        let answer = |nonce| {
            let now = Wall(1_800_000_000_000);
            Pong { nonce, now }.to_bytes(&site(), &key)
        };
        assert!(matches!(end.pong(&answer(Nonce::NONE), at(0)), Err(Unbelieved::Stale)));
        let old = end.ping(at(0)).unwrap();
        let latest = end.ping(at(100)).unwrap();
        assert!(matches!(end.pong(&answer(old), at(120)), Err(Unbelieved::Stale)));
        let time = end.pong(&answer(latest), at(141)).unwrap();
        assert_eq!((time.mono, time.error_ms), (Mono(141), 21));
        assert_eq!(time.wall, Wall(1_800_000_000_021));
        assert_eq!(time.not_before(), Wall(1_800_000_000_000));
        assert!(matches!(end.pong(&answer(latest), at(150)), Err(Unbelieved::Stale)));
        assert_eq!(end.heard().time, Some(time));
    }
}
