//! What people propose and approve: refunds, adjustments of wallets, decisions on bills, and what channels have paid out.

use super::{Filter, Page};
use crate::store::{
    StoreError, Tx,
    adjustments::{self, Adjustment},
    bill_decisions::{self, BillDecision},
    payouts::{self, Payout},
    refunds::{self, Refund},
};
use domain::{
    ids::{MemberId, OrderId, SiteId},
    time::Wall,
};

/// Which are asked for: those for which everything that is given holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Which {
    /// So far, by the word of it.
    pub state: Option<String>,
    /// Of this site.
    pub site: Option<SiteId>,
    /// Of this order.
    pub order: Option<OrderId>,
    /// Of this member.
    pub member: Option<MemberId>,
}

impl Which {
    fn filter(&self, after: Option<(Wall, String)>) -> Filter {
        let mut filter = Filter::default();
        filter.and_if("state = ?", self.state.as_deref());
        filter.and_if("site = ?", self.site.as_ref().map(SiteId::as_str));
        filter.and_if("order_id = ?", self.order.as_ref().map(OrderId::as_str));
        filter.and_if("member = ?", self.member.as_ref().map(MemberId::as_str));
        if let Some((at, id)) = after {
            filter.and("(proposed_at, id) < (?, ?)", [at.0.into(), id.into()]);
        }
        filter
    }
}

const ORDER: &str = "proposed_at DESC, id DESC";

/// Refunds, the newest first, after a place in the list.
///
/// # Errors
/// [`StoreError`].
pub fn refunds(
    tx: &mut dyn Tx,
    which: &Which,
    after: Option<(Wall, String)>,
    limit: usize,
) -> Result<Page<Refund>, StoreError> {
    let filter = which.filter(after);
    filter.page(tx, refunds::COLUMNS, "refund", ORDER, limit, refunds::refund)
}

/// Adjustments of wallets, the newest first, after a place in the list. They are of no order.
///
/// # Errors
/// [`StoreError`].
pub fn adjustments(
    tx: &mut dyn Tx,
    which: &Which,
    after: Option<(Wall, String)>,
    limit: usize,
) -> Result<Page<Adjustment>, StoreError> {
    let filter = which.filter(after);
    let columns = adjustments::COLUMNS;
    filter.page(tx, columns, "adjustment", ORDER, limit, adjustments::adjustment)
}

/// Decisions on bills, the newest first, after a place in the list. They are of no member.
///
/// # Errors
/// [`StoreError`].
pub fn bills(
    tx: &mut dyn Tx,
    which: &Which,
    after: Option<(Wall, String)>,
    limit: usize,
) -> Result<Page<BillDecision>, StoreError> {
    let filter = which.filter(after);
    let columns = bill_decisions::COLUMNS;
    filter.page(tx, columns, "bill_decision", ORDER, limit, bill_decisions::decision)
}

/// What people say that channels have paid out, the newest first, after a place in the list; of one channel, or of all.
///
/// # Errors
/// [`StoreError`].
pub fn payouts(
    tx: &mut dyn Tx,
    channel: Option<&str>,
    after: Option<(Wall, String)>,
    limit: usize,
) -> Result<Page<Payout>, StoreError> {
    let mut filter = Which::default().filter(after);
    filter.and_if("channel = ?", channel);
    filter.page(tx, payouts::COLUMNS, "payout", ORDER, limit, payouts::payout)
}
