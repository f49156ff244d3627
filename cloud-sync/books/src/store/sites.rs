//! Sites in the database: who may speak for one, how far its journal is here, and which process goes on with it.

use super::{Dialect, Row, StoreError, Tx, Value};
use domain::{
    ids::SiteId,
    journal::{Hash, Head},
    planted::{Bug, is_planted},
    time::{Day, Mono, Wall},
};
use protocol::{
    frame::{HqEpoch, State},
    key::{PublicKey, PublicKeys},
};
use serde::{Deserialize, Serialize};

/// How often the next number is taken, where others take it at the same moment.
const ADD_ATTEMPTS: usize = 16;

/// A key that a site's batches may be signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeKey {
    /// The key.
    pub key: PublicKey,
    /// From which entry on it counts on the branch that is followed.
    pub from: u64,
}

/// The certificate that a site's connection shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// SHA-256 of it (DER), hex. No other speaks for the site.
    pub fingerprint: String,
    /// When it ends.
    pub until: Wall,
}

/// The key that signs a batch of the followed branch whose last entry has this number: the last of those that count from there or
/// before. A key that is enrolled later takes the place of the one before, and neither signs for the other's entries.
pub fn key_at(keys: &[EdgeKey], seq: u64) -> Option<PublicKey> {
    let counting = keys.iter().rev().find(|key| key.from <= seq);
    counting.map(|key| key.key)
}

/// Whether a batch that is not of the followed branch may be signed with this key: also the newest signs there, from whatever place
/// its box has gone on alone.
pub fn signs_elsewhere(keys: &[EdgeKey], key: PublicKey, seq: u64) -> bool {
    key_at(keys, seq) == Some(key) || keys.last().is_some_and(|newest| newest.key == key)
}

/// All keys that the site has had, the newest first: one of them has signed whatever is kept of it.
pub fn every_key(keys: &[EdgeKey]) -> PublicKeys {
    PublicKeys(keys.iter().rev().map(|key| key.key).collect())
}

/// A site as head office knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// Its id.
    pub id: SiteId,
    /// Its number, which is in the ids of members that are made at its desk.
    pub number: u64,
    /// A name for people.
    pub name: String,
    /// The keys that its batches may be signed with.
    pub keys: Vec<EdgeKey>,
    /// What its connection shows; none before it has enrolled, and after it was revoked.
    pub certificate: Option<Certificate>,
    /// Since when it may not come in.
    pub revoked_at: Option<Wall>,
    /// Since when its journal is not followed any more, whoever comes in: it was closed.
    pub closed_at: Option<Wall>,
    /// What is made of its journal.
    pub state: State,
    /// Why it is not followed.
    pub trouble: Option<String>,
    /// Which branch of its journal is followed.
    pub branch: u64,
    /// The place after which its journal is followed: its first entry, or where its opening was made.
    pub begins: Head,
    /// The place up to which it is here.
    pub head: Head,
    /// The station's elapsed time there.
    pub mono: Mono,
    /// Its business day there.
    pub day: Option<Day>,
    /// The run of its journal that its last entry here is of.
    pub epoch: Option<String>,
    /// The life of head office's that speaks to it, where it has one of its own: it went on with another branch of its journal
    /// (rule 8).
    pub hq_epoch: Option<HqEpoch>,
}

const COLUMNS: &str = "id, number, name, keys, state, trouble, branch, seq, hash, mono, day, certificate, certificate_until, revoked_at, \
     closed_at, begins, hq_epoch, epoch";

fn bad(what: &str, error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Broken(format!("{what} of a site: {error}"))
}

fn keys_of(text: &str) -> Result<Vec<EdgeKey>, StoreError> {
    serde_json::from_str(text).map_err(|error| bad("keys", &error))
}

/// The newest of keys as they are in the database.
pub(super) fn newest_key(text: &str) -> Result<Option<PublicKey>, StoreError> {
    Ok(keys_of(text)?.last().map(|newest| newest.key))
}

fn keys_text(keys: &[EdgeKey]) -> Result<Value, StoreError> {
    let text = serde_json::to_string(keys).map_err(|error| bad("keys", &error))?;
    Ok(Value::Text(text))
}

fn site(mut row: Row) -> Result<Site, StoreError> {
    let keys = keys_of(&row.text(3)?)?;
    let state = row.text(4)?;
    let day = row.optional_text(10)?;
    let hash: [u8; 32] = row
        .bytes(8)?
        .try_into()
        .map_err(|_| bad("hash", &"it has not 32 bytes"))?;
    let certificate = row.optional_text(11)?.zip(row.optional_int(12)?);
    Ok(Site {
        certificate: certificate.map(|(fingerprint, until)| Certificate {
            fingerprint,
            until: Wall(until),
        }),
        revoked_at: row.optional_int(13)?.map(Wall),
        closed_at: row.optional_int(14)?.map(Wall),
        begins: match row.optional_text(15)? {
            None => Head::START,
            Some(place) => place.parse().map_err(|_| bad("beginning", &place))?,
        },
        epoch: row.optional_text(17)?,
        hq_epoch: row
            .optional_text(16)?
            .map(|epoch| HqEpoch::try_from(epoch).map_err(|error| bad("epoch of head office", &error)))
            .transpose()?,
        id: row.text(0)?.parse().map_err(|error| bad("id", &error))?,
        number: row.count(1)?,
        name: row.text(2)?,
        keys,
        state: State::of_word(&state).ok_or_else(|| bad("state", &state))?,
        trouble: row.optional_text(5)?,
        branch: row.count(6)?,
        head: Head {
            seq: row.count(7)?,
            hash: Hash(hash),
        },
        mono: Mono(row.count(9)?),
        day: day
            .map(|day| Day::parse(&day).map_err(|error| bad("day", &error)))
            .transpose()?,
    })
}

/// A site of this id.
///
/// # Errors
/// [`StoreError`].
pub fn find(tx: &mut dyn Tx, id: &SiteId) -> Result<Option<Site>, StoreError> {
    let row = tx.query_optional(
        &format!("SELECT {COLUMNS} FROM site WHERE id = $1"),
        &[id.as_str().into()],
    )?;
    row.map(site).transpose()
}

/// When a site was last heard.
///
/// # Errors
/// [`StoreError`].
pub fn heard_at(tx: &mut dyn Tx, id: &SiteId) -> Result<Option<Wall>, StoreError> {
    let row = tx.query_optional("SELECT heard_at FROM site WHERE id = $1", &[id.as_str().into()])?;
    Ok(row.map(|mut row| row.optional_int(0)).transpose()?.flatten().map(Wall))
}

/// Another life of head office's speaks to a site from now on.
///
/// # Errors
/// [`StoreError`].
pub fn begin_hq_epoch(tx: &mut dyn Tx, id: &SiteId, epoch: HqEpoch) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE site SET hq_epoch = $1 WHERE id = $2",
        &[epoch.to_string().into(), id.as_str().into()],
    )
    .map(drop)
}

/// Every site, by id.
///
/// # Errors
/// [`StoreError`].
pub fn all(tx: &mut dyn Tx) -> Result<Vec<Site>, StoreError> {
    let rows = tx.query(&format!("SELECT {COLUMNS} FROM site ORDER BY id"), &[])?;
    rows.into_iter().map(site).collect()
}

/// Adds a site whose journal is to be followed from its beginning. It has the next number.
///
/// # Errors
/// [`StoreError::Constraint`]: it is there; [`StoreError::Unavailable`]: too many are added at once.
pub fn add(tx: &mut dyn Tx, id: &SiteId, name: &str, keys: &[EdgeKey]) -> Result<(), StoreError> {
    let values: [Value; 5] = [
        id.as_str().into(),
        name.into(),
        keys_text(keys)?,
        State::Following.word().into(),
        Hash::GENESIS.0.as_slice().into(),
    ];
    for _ in 0..ADD_ATTEMPTS {
        // Another process that adds one at the same moment may have the number first: it is waited for, and nothing is done.
        let added = tx.execute(
            "INSERT INTO site (id, number, name, keys, state, branch, seq, hash, mono, owner_until) \
             SELECT $1, COALESCE(MAX(number), 0) + 1, $2, $3, $4, 0, 0, $5, 0, 0 FROM site WHERE true \
             ON CONFLICT (number) DO NOTHING",
            &values,
        )?;
        if added == 1 {
            return Ok(());
        }
    }
    Err(StoreError::Unavailable("other sites are being added".to_owned()))
}

/// Adds a site again that a database which was restored from a copy has forgotten, under its number.
///
/// # Errors
/// [`StoreError::Constraint`]: it is there, or another site has its number.
pub fn put_back(tx: &mut dyn Tx, id: &SiteId, number: u64, name: &str, key: EdgeKey) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO site (id, number, name, keys, state, branch, seq, hash, mono, owner_until) \
         VALUES ($1, $2, $3, $4, $5, 0, 0, $6, 0, 0)",
        &[
            id.as_str().into(),
            number.into(),
            name.into(),
            keys_text(&[key])?,
            State::Following.word().into(),
            Hash::GENESIS.0.as_slice().into(),
        ],
    )
    .map(drop)
}

/// Enrols a site anew: on the branch that is followed this key signs everything after what is here, and no key before it does.
/// The one that signs already stays as it is.
///
/// # Errors
/// [`StoreError::Broken`]: there is no such site.
pub fn re_enrol(tx: &mut dyn Tx, id: &SiteId, key: PublicKey) -> Result<(), StoreError> {
    // Whoever takes a batch waits, and then finds the other keys.
    tx.execute("UPDATE site SET keys = keys WHERE id = $1", &[id.as_str().into()])?;
    let site = find(tx, id)?.ok_or_else(|| StoreError::Broken(format!("there is no site {id}")))?;
    let from = site.head.seq + 1;
    if site.keys.last().is_some_and(|newest| newest.key == key) {
        return Ok(());
    }
    // None is taken away: what a branch is kept of may be signed with it.
    let mut keys = site.keys;
    keys.push(EdgeKey { key, from });
    // What the box before has said of itself, its key among it, is not said of this one.
    tx.execute(
        "UPDATE site SET keys = $1, hello = NULL WHERE id = $2",
        &[keys_text(&keys)?, id.as_str().into()],
    )
    .map(drop)
}

/// Lets a site in that shows this certificate; the one before counts no more.
///
/// # Errors
/// [`StoreError`].
pub fn let_in(tx: &mut dyn Tx, id: &SiteId, certificate: &Certificate) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE site SET certificate = $1, certificate_until = $2, revoked_at = NULL WHERE id = $3",
        &[
            certificate.fingerprint.as_str().into(),
            certificate.until.0.into(),
            id.as_str().into(),
        ],
    )
    .map(drop)
}

/// A site may not come in any more, until it enrols again. Whether there is such a site.
///
/// # Errors
/// [`StoreError`].
pub fn revoke(tx: &mut dyn Tx, id: &SiteId, now: Wall) -> Result<bool, StoreError> {
    let changed = tx.execute(
        "UPDATE site SET certificate = NULL, certificate_until = NULL, revoked_at = $1 WHERE id = $2",
        &[now.0.into(), id.as_str().into()],
    )?;
    Ok(changed == 1)
}

/// It was heard, and said this of itself, if it was its hello.
///
/// # Errors
/// [`StoreError`].
pub fn heard(tx: &mut dyn Tx, id: &SiteId, hello: Option<&str>, now: Wall) -> Result<(), StoreError> {
    let (id, now) = (Value::from(id.as_str()), Value::from(now.0));
    match hello {
        Some(hello) => tx.execute(
            "UPDATE site SET heard_at = $1, hello = $2 WHERE id = $3",
            &[now, hello.into(), id],
        ),
        None => tx.execute("UPDATE site SET heard_at = $1 WHERE id = $2", &[now, id]),
    }
    .map(drop)
}

/// Takes a site for this process until then, if nobody else has it; or goes on with it. Whether it has it.
///
/// # Errors
/// [`StoreError`].
pub fn own(tx: &mut dyn Tx, id: &SiteId, me: &str, now: Wall, until: Wall) -> Result<bool, StoreError> {
    let changed = tx.execute(
        "UPDATE site SET owner = $1, owner_until = $2 WHERE id = $3 AND (owner = $4 OR owner IS NULL OR owner_until <= $5)",
        &[me.into(), until.0.into(), id.as_str().into(), me.into(), now.0.into()],
    )?;
    Ok(changed == 1)
}

/// How far a process has gone on with its sites.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The process.
    pub owner: String,
    /// Until when it has them, by its own clock: the latest of them.
    pub until: Wall,
}

/// How far every other process has gone on with its sites.
///
/// # Errors
/// [`StoreError`].
pub fn leases(tx: &mut dyn Tx, me: &str) -> Result<Vec<Lease>, StoreError> {
    let rows = tx.query(
        "SELECT owner, MAX(owner_until) FROM site WHERE owner <> $1 GROUP BY owner ORDER BY owner",
        &[me.into()],
    )?;
    let lease = |mut row: Row| {
        Ok(Lease {
            owner: row.text(0)?,
            until: Wall(row.int(1)?),
        })
    };
    rows.into_iter().map(lease).collect()
}

/// Takes every site for this process until then that may come in and that nobody has, or a process whose lease is `over`; or goes on
/// with it. How many were left out because somebody is at work on them at this moment: nobody waits for these.
///
/// # Errors
/// [`StoreError`].
pub fn hold_all<'a>(tx: &mut dyn Tx, me: &'a str, over: &'a [Lease], until: Wall) -> Result<u64, StoreError> {
    let lock = match tx.dialect() {
        Dialect::Sqlite => "",
        Dialect::Postgres => "FOR NO KEY UPDATE SKIP LOCKED",
    };
    // What this process has already until then is left as it is.
    let own = ("(owner = $1 OR owner IS NULL) AND owner_until <> $2", me, until);
    // Whoever has gone on since it was looked is not over.
    let others = |lease: &'a Lease| ("owner = $1 AND owner_until <= $2", lease.owner.as_str(), lease.until);
    let mut left = 0;
    for (free, owner, at) in [own].into_iter().chain(over.iter().map(others)) {
        let free = format!("revoked_at IS NULL AND {free}");
        tx.execute(
            &format!(
                "UPDATE site SET owner = $3, owner_until = $4 WHERE id IN (SELECT id FROM site WHERE {free} {lock})"
            ),
            &[owner.into(), at.0.into(), me.into(), until.0.into()],
        )?;
        let missed = tx.query_optional(
            &format!("SELECT COUNT(*) FROM site WHERE {free}"),
            &[owner.into(), at.0.into()],
        )?;
        left += missed.map_or(Ok(0), |mut row| row.count(0))?;
    }
    Ok(left)
}

/// The sites that this process has.
///
/// # Errors
/// [`StoreError`].
pub fn held(tx: &mut dyn Tx, me: &str) -> Result<Vec<SiteId>, StoreError> {
    let rows = tx.query(
        "SELECT id FROM site WHERE owner = $1 AND revoked_at IS NULL ORDER BY id",
        &[me.into()],
    )?;
    let id = |mut row: Row| {
        let id = row.text(0)?;
        id.parse()
            .map_err(|error| StoreError::Broken(format!("the id of a site, {id}: {error}")))
    };
    rows.into_iter().map(id).collect()
}

/// Lets other processes have all of this one's sites.
///
/// # Errors
/// [`StoreError`].
pub fn let_go(tx: &mut dyn Tx, me: &str) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE site SET owner = NULL, owner_until = 0 WHERE owner = $1",
        &[me.into()],
    )
    .map(drop)
}

/// Goes on with a site from one place to the next. Everything else of the transaction counts only with it. The keys that its
/// batches may be signed with by now.
///
/// # Errors
/// [`StoreError::NotOwner`]: somebody else has the site, or has gone on with it; or it was closed or shut out meanwhile (rule 14).
pub fn go_on(tx: &mut dyn Tx, me: &str, from: &Site, to: &Site) -> Result<Vec<EdgeKey>, StoreError> {
    let day = to.day.map(|day| day.to_string());
    // The planted bug: whoever has the site is not asked, nor where it is.
    let fence = match is_planted(Bug::HeadNotFenced) {
        true => "(owner = $7 OR branch = $8 OR seq = $9 OR hash = $10 OR true)",
        false => "owner = $7 AND branch = $8 AND seq = $9 AND hash = $10",
    };
    let changed = tx.query_optional(
        &format!(
            "UPDATE site SET seq = $1, hash = $2, mono = $3, day = $4, state = $5, epoch = $12, trouble = NULL \
             WHERE id = $6 AND closed_at IS NULL AND (revoked_at IS NULL OR revoked_at = $11) AND {fence} RETURNING keys"
        ),
        &[
            to.head.seq.into(),
            to.head.hash.0.as_slice().into(),
            to.mono.0.into(),
            day.into(),
            State::Following.word().into(),
            to.id.as_str().into(),
            me.into(),
            from.branch.into(),
            from.head.seq.into(),
            from.head.hash.0.as_slice().into(),
            from.revoked_at.map(|at| at.0).into(),
            to.epoch.as_deref().into(),
        ],
    )?;
    keys_of(&changed.ok_or(StoreError::NotOwner)?.text(0)?)
}

/// Holds a site where it is until the transaction ends, for its owner.
///
/// # Errors
/// [`StoreError::NotOwner`]: somebody else has the site, or has gone on with it.
pub fn hold(tx: &mut dyn Tx, me: &str, site: &Site) -> Result<(), StoreError> {
    let held = tx.execute(
        "UPDATE site SET owner = owner WHERE id = $1 AND owner = $2 AND branch = $3 AND seq = $4 AND hash = $5",
        &[
            site.id.as_str().into(),
            me.into(),
            site.branch.into(),
            site.head.seq.into(),
            site.head.hash.0.as_slice().into(),
        ],
    )?;
    match held {
        1 => Ok(()),
        _ => Err(StoreError::NotOwner),
    }
}

/// Looks whether a site is where this process has it, and its own, without holding it.
///
/// # Errors
/// [`StoreError::NotOwner`]: somebody else has the site, or has gone on with it.
pub fn is_at(tx: &mut dyn Tx, me: &str, site: &Site) -> Result<(), StoreError> {
    let found = tx.query_optional(
        "SELECT 1 FROM site WHERE id = $1 AND owner = $2 AND branch = $3 AND seq = $4 AND hash = $5",
        &[
            site.id.as_str().into(),
            me.into(),
            site.branch.into(),
            site.head.seq.into(),
            site.head.hash.0.as_slice().into(),
        ],
    )?;
    found.map(drop).ok_or(StoreError::NotOwner)
}

/// It is not followed from here on, and why.
///
/// # Errors
/// [`StoreError::NotOwner`].
pub fn stand_still(tx: &mut dyn Tx, me: &str, site: &Site, state: State, trouble: &str) -> Result<(), StoreError> {
    let changed = tx.execute(
        "UPDATE site SET state = $1, trouble = $2 WHERE id = $3 AND owner = $4 AND branch = $5 AND seq = $6",
        &[
            state.word().into(),
            trouble.into(),
            site.id.as_str().into(),
            me.into(),
            site.branch.into(),
            site.head.seq.into(),
        ],
    )?;
    match changed {
        1 => Ok(()),
        _ => Err(StoreError::NotOwner),
    }
}

/// Goes over to another branch of its journal, whose place, time and day are those of `to`. A site that was closed is open again.
/// The newest key signs everything after that place. The site is held.
///
/// # Errors
/// [`StoreError::NotOwner`]: somebody else has the site, or has gone on with it.
pub fn change_branch(tx: &mut dyn Tx, me: &str, from: &Site, to: &Site) -> Result<(), StoreError> {
    let mut keys = find(tx, &to.id)?.ok_or(StoreError::NotOwner)?.keys;
    if let Some(newest) = keys.last_mut() {
        newest.from = newest.from.min(to.head.seq + 1);
    }
    let changed = tx.execute(
        "UPDATE site SET branch = $1, seq = $2, hash = $3, mono = $4, day = $5, state = $6, trouble = NULL, closed_at = NULL, \
         keys = $12, epoch = $13 WHERE id = $7 AND owner = $8 AND branch = $9 AND seq = $10 AND hash = $11",
        &[
            to.branch.into(),
            to.head.seq.into(),
            to.head.hash.0.as_slice().into(),
            to.mono.0.into(),
            to.day.map(|day| day.to_string()).into(),
            State::Following.word().into(),
            to.id.as_str().into(),
            me.into(),
            from.branch.into(),
            from.head.seq.into(),
            from.head.hash.0.as_slice().into(),
            keys_text(&keys)?,
            to.epoch.as_deref().into(),
        ],
    )?;
    match changed {
        1 => Ok(()),
        _ => Err(StoreError::NotOwner),
    }
}

/// Begins a site with its opening, where nothing of its journal is here: at the place, time and day of `to`.
///
/// # Errors
/// [`StoreError::NotOwner`]: somebody else has the site, or has gone on with it.
pub fn begin(tx: &mut dyn Tx, me: &str, from: &Site, to: &Site) -> Result<(), StoreError> {
    hold(tx, me, from)?;
    tx.execute(
        "UPDATE site SET begins = $1, seq = $2, hash = $3, mono = $4, day = $5 WHERE id = $6",
        &[
            to.begins.to_string().into(),
            to.head.seq.into(),
            to.head.hash.0.as_slice().into(),
            to.mono.0.into(),
            to.day.map(|day| day.to_string()).into(),
            to.id.as_str().into(),
        ],
    )
    .map(drop)
}

/// Closes a site where it is: its journal is not followed from here on, whoever comes in.
///
/// # Errors
/// [`StoreError::NotOwner`]: somebody else has the site, or has gone on with it.
pub fn close(tx: &mut dyn Tx, me: &str, site: &Site, now: Wall) -> Result<(), StoreError> {
    hold(tx, me, site)?;
    tx.execute(
        "UPDATE site SET closed_at = $1, state = $2, trouble = $3 WHERE id = $4",
        &[
            now.0.into(),
            State::Forked.word().into(),
            "the site was closed".into(),
            site.id.as_str().into(),
        ],
    )
    .map(drop)
}
