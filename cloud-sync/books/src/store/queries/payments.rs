//! Money that waits for people: payments that credit nobody, and what is on the road for long.

use super::{Filter, Page};
use crate::store::{Row, StoreError, Tx};
use domain::{time::Wall, units::Fen};

/// A payment that a channel has signed, and that credits nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// Through which channel.
    pub channel: String,
    /// The channel's number of the payment (transaction_id).
    pub transaction: String,
    /// Our number that it names (out_trade_no).
    pub reference: String,
    /// How much was paid.
    pub amount: Fen,
    /// Why it credits nobody.
    pub why: String,
    /// When the channel said so first.
    pub at: Wall,
}

fn set_aside(mut row: Row) -> Result<SetAside, StoreError> {
    Ok(SetAside {
        channel: row.text(0)?,
        transaction: row.text(1)?,
        reference: row.text(2)?,
        amount: Fen(row.int(3)?),
        why: row.optional_text(4)?.unwrap_or_default(),
        at: Wall(row.int(5)?),
    })
}

/// Payments that credit nobody, the newest first, after a place in the list.
///
/// # Errors
/// [`StoreError`].
pub fn set_aside_payments(
    tx: &mut dyn Tx,
    channel: Option<&str>,
    after: Option<(Wall, String, String)>,
    limit: usize,
) -> Result<Page<SetAside>, StoreError> {
    let mut filter = Filter::default();
    filter.and("credited = 0", []);
    filter.and_if("channel = ?", channel);
    if let Some((at, channel, id)) = after {
        filter.and(
            "(at, channel, id) < (?, ?, ?)",
            [at.0.into(), channel.into(), id.into()],
        );
    }
    filter.page(
        tx,
        "channel, id, ref, amount, why, at",
        "channel_transaction",
        "at DESC, channel DESC, id DESC",
        limit,
        set_aside,
    )
}

/// Money that is on the road to a site for long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnRoadLong {
    /// To which site.
    pub site: String,
    /// How many issues.
    pub count: u64,
    /// How much is on the road still.
    pub rest: Fen,
    /// The oldest of them: when it was sent, or when a voucher ended.
    pub since: Wall,
}

/// What is on the road since this moment or longer, by site. A voucher is meant to be carried about: it counts from its end.
///
/// # Errors
/// [`StoreError`].
pub fn on_road_since(tx: &mut dyn Tx, since: Wall) -> Result<Vec<OnRoadLong>, StoreError> {
    let rows = tx.query(
        "SELECT site, COUNT(*), CAST(SUM(rest) AS BIGINT), MIN(COALESCE(expires_at, made_at)) FROM issue \
         WHERE state = 'on_road' AND rest > 0 AND COALESCE(expires_at, made_at) <= $1 GROUP BY site ORDER BY site",
        &[since.0.into()],
    )?;
    let on_road = |mut row: Row| {
        Ok(OnRoadLong {
            site: row.text(0)?,
            count: row.count(1)?,
            rest: Fen(row.int(2)?),
            since: Wall(row.int(3)?),
        })
    };
    rows.into_iter().map(on_road).collect()
}
