//! Standing leases: whoever charges often at a site keeps money there, so that they start there while its line is cut.

use super::Money;
use crate::store::{
    StoreError, at_sites, directives,
    issues::{self, Kind},
    members::{self, Member},
};
use domain::{head_office::DirectiveNo, ids::SiteId, units::Fen};

/// So many orders …
const ORDERS: u64 = 3;
/// … in so long, in milliseconds, …
const WITHIN_MS: i64 = 30 * 86_400_000;
/// … keep so much at a site.
const KEPT: Fen = Fen(5_000);
/// After so long without an order it is asked back, in milliseconds.
const IDLE_MS: i64 = 14 * 86_400_000;

impl Money<'_> {
    /// A member's order at a site is over: what they keep there is topped up where it is less than half. Never while what was
    /// sent there before is on the road (rule 9).
    pub(super) fn keep_standing(&mut self, member: &Member, site: &SiteId) -> Result<Option<DirectiveNo>, StoreError> {
        let since = self.now.after_ms(-WITHIN_MS);
        if at_sites::orders_since(self.tx, site, &member.id, since)? < ORDERS {
            return Ok(None);
        }
        let has = members::allowance(self.tx, site, &member.id)?;
        let missing = KEPT - has;
        if has.0 * 2 >= KEPT.0 || self.spendable(&member.id)? < missing {
            return Ok(None);
        }
        let on_road = issues::on_road_of(self.tx, &member.id)?;
        let is_lease = |kind: Kind| matches!(kind, Kind::Standing | Kind::Lease | Kind::Voucher);
        if on_road.iter().any(|issue| issue.site == *site && is_lease(issue.kind)) {
            return Ok(None);
        }
        if !self.may_spend(member)? || self.owed(&member.id, None)? > Fen::ZERO {
            return Ok(None);
        }
        let Ok(line) = self.money_line(site)? else {
            return Ok(None);
        };
        // Where the line is cut it would lie on the road, and be neither here nor there.
        if !line.is_up(self.now) {
            return Ok(None);
        }
        self.lease_as(Kind::Standing, &line, &member.id, &member.name, missing)
            .map(Some)
    }

    /// Asks back what members keep at sites where they have not been for long: at most what of it came out of their wallets, so
    /// cash that was paid in at the desk stays (rule 20). How many were asked for.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn recall_idle(&mut self) -> Result<u64, StoreError> {
        let before = self.now.after_ms(-IDLE_MS);
        let mut asked = 0;
        for (member, at) in at_sites::leased(self.tx)? {
            let site = at.site;
            let is_used = at_sites::orders_since(self.tx, &site, &member, before)? > 0;
            if is_used || directives::was_recalled(self.tx, &site, &member, before)? {
                continue;
            }
            // Money that was sent lately is not fetched back before it was used.
            if issues::sent_since(self.tx, &site, &member, before)? {
                continue;
            }
            let up_to = at.leased.min(at.allowance);
            if self.recall(&member, &site, up_to)?.is_ok() {
                asked += 1;
            }
        }
        Ok(asked)
    }
}
