//! Orders in a snapshot: one of them, lists by the narrowest index, those that are open, and an order's log.
//! A page ends early, with a cursor, where it would look at too many.

use super::{LOOKED_AT_MAX, Page, Reader, bad, parse, split_entry, written};
use crate::store::{StoreError, tables, write::state_number};
use domain::{
    ids::{MemberId, OrderId, PileId},
    journal::Written,
    order::{Order, State},
};
use redb::ReadableTableMetadata;

/// Which orders to list; `None` is any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrderFilter {
    /// In this state.
    pub state: Option<State>,
    /// Of this member.
    pub member: Option<MemberId>,
    /// At this pile.
    pub pile: Option<PileId>,
}

/// Entries of an index of orders: seq of placing and id.
type Placed = Box<dyn Iterator<Item = Result<(u64, String), StoreError>>>;

impl Reader {
    /// How many orders there are, and how many of them owe something.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn order_counts(&self) -> Result<(u64, u64), StoreError> {
        let all = self.read.open_table(tables::ORDERS_PLACED)?.len()?;
        let index = self.read.open_table(tables::ORDERS_BY_STATE)?;
        let unpaid = state_number(State::Unpaid);
        let owing = index.range((unpaid, 0)..=(unpaid, u64::MAX))?.count();
        Ok((all, owing as u64))
    }

    /// One order.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn order(&self, id: &OrderId) -> Result<Option<Order>, StoreError> {
        let orders = self.read.open_table(tables::ORDERS)?;
        orders
            .get(id.as_str())?
            .map(|row| parse("orders", id, row.value()))
            .transpose()
    }

    /// Orders, newest first, that were placed before `before` (a cursor from [`Page::next`]).
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn orders(&self, filter: &OrderFilter, before: Option<u64>, limit: usize) -> Result<Page<Order>, StoreError> {
        let end = before.unwrap_or(u64::MAX);
        let mut page = Page {
            items: Vec::new(),
            next: None,
        };
        for (looked_at, row) in self.placed_before(filter, end)?.enumerate() {
            if page.items.len() == limit || looked_at == LOOKED_AT_MAX {
                return Ok(page);
            }
            let (seq, id) = row?;
            page.next = Some(seq);
            let id = OrderId::new(&id).map_err(|error| bad("orders", &id, error))?;
            if let Some(order) = self.order(&id)?.filter(|order| filter.admits(order)) {
                page.items.push(order);
            }
        }
        page.next = None;
        Ok(page)
    }

    /// Seq and id of the orders placed before `end`, newest first, by the narrowest index for `filter`.
    fn placed_before(&self, filter: &OrderFilter, end: u64) -> Result<Placed, StoreError> {
        Ok(if let Some(member) = &filter.member {
            let index = self.read.open_table(tables::ORDERS_BY_MEMBER)?;
            let rows = index.range((member.as_str(), 0)..(member.as_str(), end))?.rev();
            Box::new(rows.map(|row| Ok(row.map(|(key, id)| (key.value().1, id.value().to_owned()))?)))
        } else if let Some(pile) = &filter.pile {
            let index = self.read.open_table(tables::ORDERS_BY_PILE)?;
            let rows = index.range((pile.as_str(), 0)..(pile.as_str(), end))?.rev();
            Box::new(rows.map(|row| Ok(row.map(|(key, id)| (key.value().1, id.value().to_owned()))?)))
        } else if let Some(state) = filter.state.map(state_number) {
            let index = self.read.open_table(tables::ORDERS_BY_STATE)?;
            let rows = index.range((state, 0)..(state, end))?.rev();
            Box::new(rows.map(|row| Ok(row.map(|(key, id)| (key.value().1, id.value().to_owned()))?)))
        } else {
            let index = self.read.open_table(tables::ORDERS_PLACED)?;
            let rows = index.range(..end)?.rev();
            Box::new(rows.map(|row| Ok(row.map(|(seq, id)| (seq.value(), id.value().to_owned()))?)))
        })
    }

    /// Ids of all orders that are not at an end.
    pub(in crate::store) fn open_orders(&self) -> Result<Vec<OrderId>, StoreError> {
        let index = self.read.open_table(tables::ORDERS_BY_STATE)?;
        let mut ids = Vec::new();
        for state in State::ALL.into_iter().filter(|state| state.is_open()) {
            let state = state_number(state);
            for row in index.range((state, 0)..=(state, u64::MAX))? {
                let (_, id) = row?;
                ids.push(OrderId::new(id.value()).map_err(|error| bad("orders_by_state", id.value(), error))?);
            }
        }
        Ok(ids)
    }

    /// An order's log from journal number `from` on, oldest first, at most `limit` entries.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn order_log_from(&self, id: &OrderId, from: u64, limit: usize) -> Result<Vec<Written>, StoreError> {
        let log = self.read.open_table(tables::ORDER_LOG)?;
        let journal = self.read.open_table(tables::JOURNAL)?;
        let kept = self.read.open_table(tables::KEPT_ENTRIES)?;
        let mut entries = Vec::new();
        for row in log.range((id.as_str(), from)..=(id.as_str(), u64::MAX))?.take(limit) {
            let (_, seq) = row?.0.value();
            if let Some(stored) = journal
                .get(seq)?
                .map_or_else(|| kept.get(seq), |stored| Ok(Some(stored)))?
            {
                entries.push(written(seq, split_entry(seq, stored.value())?.1)?);
            }
        }
        Ok(entries)
    }
}

impl OrderFilter {
    fn admits(&self, order: &Order) -> bool {
        self.state.is_none_or(|state| order.state == state)
            && self.member.as_ref().is_none_or(|member| order.member == *member)
            && self.pile.as_ref().is_none_or(|pile| order.outlet.pile == *pile)
    }
}
