//! Orders of all sites. An order is one by its site and its id together.

use super::{Filter, OfSite, Page, parse};
use crate::store::{StoreError, Tx, Value};
use domain::{
    ids::OrderId,
    journal::{Entry, Written},
    order::Order,
    time::Wall,
};

/// How many batches are unpacked at a time.
const BATCHES_AT_ONCE: u64 = 8;

/// Which orders.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrderFilter {
    /// Only of this site.
    pub site: Option<String>,
    /// Only this member's.
    pub member: Option<String>,
    /// Only those at a pile of this id.
    pub pile: Option<String>,
    /// Only in this state.
    pub state: Option<String>,
    /// Only those that count for this business day.
    pub day: Option<String>,
    /// Only those placed at this moment or later.
    pub from: Option<Wall>,
    /// Only those placed before this moment.
    pub to: Option<Wall>,
}

/// The place of an order in a list.
pub type OrderPlace = (Wall, String, String);

/// Orders, the last placed first, after a place in the list.
///
/// # Errors
/// [`StoreError`].
pub fn list(
    tx: &mut dyn Tx,
    which: &OrderFilter,
    after: Option<OrderPlace>,
    limit: usize,
) -> Result<Page<OfSite<Order>>, StoreError> {
    let mut filter = Filter::default();
    filter.and_if("site = ?", which.site.as_deref());
    filter.and_if("member = ?", which.member.as_deref());
    filter.and_if("pile = ?", which.pile.as_deref());
    filter.and_if("state = ?", which.state.as_deref());
    filter.and_if("day = ?", which.day.as_deref());
    filter.and_if("placed_at >= ?", which.from.map(|from| from.0));
    filter.and_if("placed_at < ?", which.to.map(|to| to.0));
    if let Some((at, site, id)) = after {
        filter.and(
            "(placed_at, site, id) < (?, ?, ?)",
            [at.0.into(), site.into(), id.into()],
        );
    }
    let order = "placed_at DESC, site DESC, id DESC";
    filter.page(tx, "site, row", "r_order", order, limit, |mut row| {
        Ok(OfSite {
            site: row.text(0)?,
            row: parse("r_order", &row.text(1)?)?,
        })
    })
}

/// One order.
///
/// # Errors
/// [`StoreError`].
pub fn find(tx: &mut dyn Tx, site: &str, id: &OrderId) -> Result<Option<Order>, StoreError> {
    let row = tx.query_optional(
        "SELECT row FROM r_order WHERE site = $1 AND id = $2",
        &[site.into(), id.as_str().into()],
    )?;
    row.map(|mut row| parse("r_order", &row.text(0)?)).transpose()
}

/// What the journal has of an order, from an entry on, oldest first: by the branch that is followed.
///
/// # Errors
/// [`StoreError`].
pub fn log(tx: &mut dyn Tx, site: &str, id: &OrderId, from: u64, limit: usize) -> Result<Page<Written>, StoreError> {
    let (mut entries, mut first) = (Vec::new(), 0);
    loop {
        let of_order: [Value; 5] = [
            site.into(),
            id.as_str().into(),
            from.into(),
            first.into(),
            BATCHES_AT_ONCE.into(),
        ];
        let rows = tx.query(
            "SELECT b.first, b.prev, b.dictionary, b.raw, b.body, b.last FROM order_batch o \
             JOIN site s ON s.id = o.site \
             JOIN batch b ON b.site = o.site AND b.branch = o.branch AND b.first = o.first \
             WHERE o.branch = s.branch AND o.site = $1 AND o.order_id = $2 AND b.last >= $3 AND b.first > $4 ORDER BY b.first LIMIT $5",
            &of_order,
        )?;
        if rows.is_empty() {
            return Ok(Page::of(entries, limit));
        }
        for row in rows {
            let packed = super::entries::packed(row)?;
            first = packed.first;
            for (_, _, bytes) in packed.unpack()?.entries() {
                // What is followed is known here: the fact itself says whose log it stands in.
                let Ok(entry) = Entry::from_bytes(bytes) else { continue };
                if entry.stamp.seq >= from && entry.fact.order() == Some(id) {
                    entries.push(Written::from_bytes(bytes).map_err(|error| StoreError::Broken(error.to_string()))?);
                }
            }
        }
        if entries.len() > limit {
            return Ok(Page::of(entries, limit));
        }
    }
}
