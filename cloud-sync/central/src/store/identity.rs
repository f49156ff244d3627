//! What this database is: which life of head office's, and what head office signs with.

use super::{StoreError, Tx};
use protocol::{
    frame::{HqEpoch, new_hq_epoch},
    key::SigningKey,
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
pub fn of(tx: &mut dyn Tx) -> Result<Identity, StoreError> {
    let random = |error: getrandom::Error| StoreError::Unavailable(format!("the system gives no randomness: {error}"));
    let (epoch, key) = (new_hq_epoch().map_err(random)?, SigningKey::generate().map_err(random)?);
    // Of two processes that start at once the second finds what the first has made.
    tx.execute(
        "INSERT INTO head_office (id, hq_epoch, signing_key) VALUES (1, $1, $2) ON CONFLICT (id) DO NOTHING",
        &[epoch.to_string().into(), key.to_text().into()],
    )?;
    let row = tx.query_optional("SELECT hq_epoch, signing_key FROM head_office WHERE id = 1", &[])?;
    let mut row = row.ok_or_else(|| StoreError::Broken("it does not say which head office it is".to_owned()))?;
    let bad = |what: &str| StoreError::Broken(format!("head office's {what} is not as it was kept"));
    Ok(Identity {
        hq_epoch: HqEpoch::try_from(row.text(0)?).map_err(|_| bad("epoch"))?,
        key: SigningKey::from_text(&row.text(1)?).map_err(|_| bad("key"))?,
    })
}

/// Begins another life of head office's: its database was restored from a copy, and may have forgotten what it told sites.
///
/// # Errors
/// [`StoreError`].
pub fn begin_anew(tx: &mut dyn Tx) -> Result<HqEpoch, StoreError> {
    of(tx)?;
    let epoch =
        new_hq_epoch().map_err(|error| StoreError::Unavailable(format!("the system gives no randomness: {error}")))?;
    tx.execute(
        "UPDATE head_office SET hq_epoch = $1 WHERE id = 1",
        &[epoch.to_string().into()],
    )?;
    Ok(epoch)
}
