//! Channels through which money comes in: WeChat, Alipay, whoever else calls back.

use super::{Row, StoreError, Tx, channel_settings};
use ::bills::Biller;
use domain::time::Wall;

/// How a channel signs what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signs {
    /// As Standard Webhooks has it.
    StandardWebhooks,
    /// HMAC-SHA256 of the body, in `x-signature: sha256=…`.
    Hmac,
}

impl Signs {
    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::StandardWebhooks => "standard_webhooks",
            Self::Hmac => "hmac",
        }
    }

    /// The one of this word.
    pub fn of_word(word: &str) -> Option<Self> {
        [Self::StandardWebhooks, Self::Hmac]
            .into_iter()
            .find(|signs| signs.word() == word)
    }
}

/// A channel.
#[derive(Clone, PartialEq, Eq)]
pub struct Channel {
    /// Its name, as in its accounts.
    pub name: String,
    /// How it signs.
    pub signs: Signs,
    /// What with: `whsec_…`.
    pub secret: String,
    /// Our number at the channel.
    pub merchant: String,
    /// What it keeps of each payment, in millionths.
    pub fee_ppm: u32,
    /// After so many calendar days a payment is in its bill (T+n).
    pub settle_days: u32,
    /// Where its days begin, as a name of the IANA time-zone database.
    pub zone: String,
    /// Whose files its bills are; none where no bills are expected.
    pub bills: Option<Biller>,
    /// When it was added: its first bill is that of this day.
    pub made_at: Wall,
}

impl std::fmt::Debug for Channel {
    /// Without the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Channel")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

const COLUMNS: &str = "name, signs, secret, merchant, fee_ppm, settle_days, zone, bills, made_at";

fn channel(mut row: Row) -> Result<Channel, StoreError> {
    let bad = || StoreError::Broken("a channel".to_owned());
    Ok(Channel {
        name: row.text(0)?,
        signs: Signs::of_word(&row.text(1)?).ok_or_else(bad)?,
        secret: row.text(2)?,
        merchant: row.text(3)?,
        fee_ppm: u32::try_from(row.count(4)?).map_err(|_| bad())?,
        settle_days: u32::try_from(row.count(5)?).map_err(|_| bad())?,
        zone: row.text(6)?,
        bills: match row.optional_text(7)? {
            None => None,
            Some(word) => Some(Biller::of_word(&word).ok_or_else(bad)?),
        },
        made_at: Wall(row.int(8)?),
    })
}

/// Adds a channel, or changes one, which keeps the time at which it was added. What its days are reconciled by is kept with the day from
/// which on it counts.
///
/// # Errors
/// [`StoreError`].
pub fn put(tx: &mut dyn Tx, of: &Channel, now: Wall) -> Result<(), StoreError> {
    let before = find(tx, &of.name)?;
    tx.execute(
        "INSERT INTO channel (name, signs, secret, merchant, fee_ppm, settle_days, zone, made_at, bills) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (name) DO UPDATE SET signs = excluded.signs, \
         secret = excluded.secret, merchant = excluded.merchant, fee_ppm = excluded.fee_ppm, \
         settle_days = excluded.settle_days, zone = excluded.zone, bills = excluded.bills",
        &[
            of.name.as_str().into(),
            of.signs.word().into(),
            of.secret.as_str().into(),
            of.merchant.as_str().into(),
            u64::from(of.fee_ppm).into(),
            u64::from(of.settle_days).into(),
            of.zone.as_str().into(),
            of.made_at.0.into(),
            of.bills.map(Biller::word).into(),
        ],
    )?;
    channel_settings::changed(tx, before.as_ref(), of, now)
}

/// A channel of this name.
///
/// # Errors
/// [`StoreError`].
pub fn find(tx: &mut dyn Tx, name: &str) -> Result<Option<Channel>, StoreError> {
    let row = tx.query_optional(
        &format!("SELECT {COLUMNS} FROM channel WHERE name = $1"),
        &[name.into()],
    )?;
    row.map(channel).transpose()
}

/// Every channel, by name.
///
/// # Errors
/// [`StoreError`].
pub fn all(tx: &mut dyn Tx) -> Result<Vec<Channel>, StoreError> {
    let rows = tx.query(&format!("SELECT {COLUMNS} FROM channel ORDER BY name"), &[])?;
    rows.into_iter().map(channel).collect()
}
