//! What this database is: which life of head office's, and what head office signs with.

use super::{Row, StoreError, Tx, forgotten};
use domain::time::Wall;
use protocol::{
    frame::HqEpoch,
    key::{PublicKey, SigningKey},
};

/// Head office, whichever process speaks for it.
#[derive(Debug)]
pub struct Identity {
    /// Which life of the database it is.
    pub hq_epoch: HqEpoch,
    /// What it signs with.
    pub key: SigningKey,
}

/// Head office's identity, made at the first start.
///
/// # Errors
/// [`StoreError`].
pub fn of(tx: &mut dyn Tx, now: Wall) -> Result<Identity, StoreError> {
    let (epoch, key) = (new_epoch(tx)?, new_key(tx)?);
    // Of two processes that start at once the second finds what the first has made.
    tx.execute(
        "INSERT INTO head_office (id, hq_epoch, signing_key) VALUES (1, $1, $2) ON CONFLICT (id) DO NOTHING",
        &[epoch.to_string().into(), key.to_text().into()],
    )?;
    let row = tx.query_optional("SELECT hq_epoch, signing_key FROM head_office WHERE id = 1", &[])?;
    let mut row = row.ok_or_else(|| StoreError::Broken("it does not say which head office it is".to_owned()))?;
    let bad = |what: &str| StoreError::Broken(format!("head office's {what} is not as it was kept"));
    let hq_epoch = HqEpoch::try_from(row.text(0)?).map_err(|_| bad("epoch"))?;
    has_lived(tx, hq_epoch, now)?;
    Ok(Identity {
        hq_epoch,
        key: key_of(&row.text(1)?)?,
    })
}

/// Another life of head office's.
///
/// # Errors
/// [`StoreError`].
pub fn new_epoch(tx: &mut dyn Tx) -> Result<HqEpoch, StoreError> {
    tx.random().map(|bits| HqEpoch(bits.to_le_bytes()))
}

fn new_key(tx: &mut dyn Tx) -> Result<SigningKey, StoreError> {
    let mut seed = [0; 32];
    for half in seed.chunks_exact_mut(16) {
        half.copy_from_slice(&tx.random()?.to_le_bytes());
    }
    Ok(SigningKey::from_seed(seed))
}

fn key_of(text: &str) -> Result<SigningKey, StoreError> {
    SigningKey::from_text(text).map_err(|_| StoreError::Broken("head office's key is not as it was kept".to_owned()))
}

/// What head office signs with by now.
///
/// # Errors
/// [`StoreError`].
pub fn signs_with(tx: &mut dyn Tx) -> Result<SigningKey, StoreError> {
    let row = tx.query_optional("SELECT signing_key FROM head_office WHERE id = 1", &[])?;
    let mut row = row.ok_or_else(|| StoreError::Broken("it does not say which head office it is".to_owned()))?;
    key_of(&row.text(0)?)
}

/// The key that is announced to sites, to take the place of the one that signs; made where there is none.
///
/// # Errors
/// [`StoreError`].
pub fn announced(tx: &mut dyn Tx) -> Result<SigningKey, StoreError> {
    let key = new_key(tx)?;
    let row = tx.query_optional(
        "UPDATE head_office SET next_key = COALESCE(next_key, $1) WHERE id = 1 RETURNING next_key",
        &[key.to_text().into()],
    )?;
    let mut row = row.ok_or_else(|| StoreError::Broken("it does not say which head office it is".to_owned()))?;
    key_of(&row.text(0)?)
}

/// The announced key takes the place of the one that signs, which counts until sites' marks of vouchers have come to `ends`.
///
/// # Errors
/// [`StoreError::Broken`]: none is announced.
pub fn change_key(tx: &mut dyn Tx, ends: Wall) -> Result<(), StoreError> {
    let old = signs_with(tx)?.public();
    let changed = tx.execute(
        "UPDATE head_office SET signing_key = next_key, next_key = NULL WHERE id = 1 AND next_key IS NOT NULL",
        &[],
    )?;
    if changed != 1 {
        return Err(StoreError::Broken("no key of head office's is announced".to_owned()));
    }
    tx.execute(
        "INSERT INTO ended_key (public_key, ends) VALUES ($1, $2)",
        &[old.to_string().into(), ends.0.into()],
    )
    .map(drop)
}

/// The keys that signed once, and when they end.
///
/// # Errors
/// [`StoreError`].
pub fn ended_keys(tx: &mut dyn Tx) -> Result<Vec<(PublicKey, Wall)>, StoreError> {
    let rows = tx.query("SELECT public_key, ends FROM ended_key ORDER BY ends, public_key", &[])?;
    let ended = |mut row: Row| {
        let key = row.text(0)?.parse::<PublicKey>();
        let key = key.map_err(|_| StoreError::Broken("a key that has ended is not as it was kept".to_owned()))?;
        Ok((key, Wall(row.int(1)?)))
    };
    rows.into_iter().map(ended).collect()
}

/// What sites that come in are to believe: the key that signs, and the one that is announced.
///
/// # Errors
/// [`StoreError`].
pub fn public_keys(tx: &mut dyn Tx) -> Result<Vec<PublicKey>, StoreError> {
    let row = tx.query_optional("SELECT signing_key, next_key FROM head_office WHERE id = 1", &[])?;
    let Some(mut row) = row else { return Ok(Vec::new()) };
    let texts = [Some(row.text(0)?), row.optional_text(1)?];
    texts
        .iter()
        .flatten()
        .map(|text| key_of(text).map(|key| key.public()))
        .collect()
}

/// Which life of head office's goes on; none before the first start.
///
/// # Errors
/// [`StoreError`].
pub fn epoch(tx: &mut dyn Tx) -> Result<Option<HqEpoch>, StoreError> {
    let row = tx.query_optional("SELECT hq_epoch FROM head_office WHERE id = 1", &[])?;
    let epoch = row.map(|mut row| row.text(0)).transpose()?;
    epoch
        .map(|epoch| HqEpoch::try_from(epoch).map_err(|_| StoreError::Broken("head office's epoch".to_owned())))
        .transpose()
}

/// Notes that a life of head office's is, or was, this database's.
///
/// # Errors
/// [`StoreError`].
pub fn has_lived(tx: &mut dyn Tx, epoch: HqEpoch, now: Wall) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO hq_life (epoch, number, begun_at) SELECT $1, COALESCE(MAX(number), 0) + 1, $2 FROM hq_life WHERE true \
         ON CONFLICT (epoch) DO NOTHING",
        &[epoch.to_string().into(), now.0.into()],
    )
    .map(drop)
}

/// When a life of head office's began.
///
/// # Errors
/// [`StoreError`].
pub fn begun_at(tx: &mut dyn Tx, epoch: HqEpoch) -> Result<Option<Wall>, StoreError> {
    let row = tx.query_optional(
        "SELECT begun_at FROM hq_life WHERE epoch = $1",
        &[epoch.to_string().into()],
    )?;
    row.map(|mut row| row.int(0).map(Wall)).transpose()
}

/// Of which rows the life of head office's began before the one of this parameter; of none where that is not known here.
pub(super) fn began_before(parameter: &str) -> String {
    format!(
        "hq_epoch IN (SELECT epoch FROM hq_life WHERE number < (SELECT number FROM hq_life WHERE epoch = {parameter}))"
    )
}

/// Whether a life of head office's was this database's.
///
/// # Errors
/// [`StoreError`].
pub fn was(tx: &mut dyn Tx, epoch: HqEpoch) -> Result<bool, StoreError> {
    let found = tx.query_optional(
        "SELECT epoch FROM hq_life WHERE epoch = $1",
        &[epoch.to_string().into()],
    )?;
    Ok(found.is_some())
}

/// Head office's database was restored from a copy, and may have forgotten what it told sites: another life of head office's begins,
/// and nothing leaves any wallet before people let it (rule 3).
///
/// # Errors
/// [`StoreError`].
pub fn restored(tx: &mut dyn Tx, now: Wall) -> Result<HqEpoch, StoreError> {
    freeze(
        tx,
        Some("head office's database was restored from a copy, and may have forgotten what it has issued"),
    )?;
    begin_anew(tx, now)
}

/// Begins another life of head office's. What sites have said of what it has forgotten is known now.
///
/// # Errors
/// [`StoreError`].
pub fn begin_anew(tx: &mut dyn Tx, now: Wall) -> Result<HqEpoch, StoreError> {
    of(tx, now)?;
    forgotten::know(tx, now)?;
    let epoch = new_epoch(tx)?;
    tx.execute(
        "UPDATE head_office SET hq_epoch = $1 WHERE id = 1",
        &[epoch.to_string().into()],
    )?;
    has_lived(tx, epoch, now)?;
    // It speaks to all sites, also to those that had one of their own.
    tx.execute("UPDATE site SET hq_epoch = NULL WHERE hq_epoch IS NOT NULL", &[])?;
    Ok(epoch)
}

/// Why nothing leaves any wallet; none where it may.
///
/// # Errors
/// [`StoreError`].
pub fn frozen(tx: &mut dyn Tx) -> Result<Option<String>, StoreError> {
    let row = tx.query_optional("SELECT frozen FROM head_office WHERE id = 1", &[])?;
    row.map_or(Ok(None), |mut row| row.optional_text(0))
}

/// Freezes all wallets, or lets them go.
///
/// # Errors
/// [`StoreError`].
pub fn freeze(tx: &mut dyn Tx, why: Option<&str>) -> Result<(), StoreError> {
    tx.execute("UPDATE head_office SET frozen = $1 WHERE id = 1", &[why.into()])
        .map(drop)
}
