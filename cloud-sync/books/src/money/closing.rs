//! A site that never comes back (rule 14): by its rows at the last entry that is here, its members' money goes back to their wallets,
//! and what they owed there they owe head office. What it sends afterwards is a branch that nothing is booked of.

use super::{LEASE_RETURN, Money};
use crate::store::{
    StoreError, at_sites, directives, issues,
    ledger::{self, Movement},
    members, placings, refunds, replica,
    sites::Site,
};
use domain::{
    head_office::RefusedDirective,
    ids::{MemberId, OrderId},
    ledger::Account,
    units::Fen,
};
use std::collections::BTreeMap;

/// The code of what members owed at a site that was closed.
const DEBT: &str = "DEBT";

/// What a member had at the site, account by account.
type Had = BTreeMap<MemberId, Vec<(Account, Fen, Option<OrderId>)>>;

impl Money<'_> {
    /// A site was closed where it is: what was on the road there comes back, with what members had and what was reserved for their
    /// orders; wallets pay what members owed, as far as they can. The station's own members have no wallet: what they had stays, and
    /// people see it in the finding.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn close_site(&mut self, site: &Site) -> Result<(), StoreError> {
        let cause = format!("close:{}:{}:{}", site.id, site.branch, site.head.seq);
        if let Some(line) = self.line(&site.id)? {
            directives::hold_numbers(self.tx, &site.id, line.hq_epoch)?;
        }
        let mut had = self.had_at(site)?;
        let on_road = issues::on_road_to(self.tx, &site.id)?;
        for issue in &on_road {
            had.entry(issue.member.clone()).or_default();
        }
        for refund in refunds::approved_at(self.tx, &site.id)? {
            had.entry(refund.member).or_default();
        }
        // In the order of their ids, as everywhere.
        for member in had.keys() {
            if members::hold(self.tx, member)?.is_none() {
                members::remember(self.tx, member, self.now)?;
            }
        }
        for issue in on_road {
            self.give_back(&issue, &cause)?;
        }
        self.close_refunds(&site.id, &cause)?;
        directives::forget_all(self.tx, &site.id, self.now)?;
        let refused = RefusedDirective {
            code: "site_closed".to_owned(),
            detail: format!("site {} was closed before it had the order", site.id),
        };
        for placing in placings::on_the_way_to(self.tx, &site.id)? {
            placings::set(self.tx, &placing.order, &placings::State::Refused(refused.clone()))?;
        }
        for (member, accounts) in &had {
            for (account, balance, order) in accounts {
                self.take_over(site, (member, order.as_ref()), (account, *balance), &cause)?;
            }
        }
        for member in had.keys() {
            self.wallet_moved(member)?;
        }
        Ok(())
    }

    /// What each of head office's members has in all by a site's rows: what is reserved for their orders counts, and what they owe counts
    /// against it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn in_all_at(&mut self, site: &Site) -> Result<BTreeMap<MemberId, Fen>, StoreError> {
        let had = self.had_at(site)?;
        let in_all =
            |accounts: Vec<(Account, Fen, Option<OrderId>)>| accounts.iter().map(|(_, balance, _)| *balance).sum();
        Ok(had
            .into_iter()
            .map(|(member, accounts)| (member, in_all(accounts)))
            .collect())
    }

    /// What head office's members have by the site's rows.
    fn had_at(&mut self, site: &Site) -> Result<Had, StoreError> {
        let mut had = Had::new();
        for (account, balance) in replica::balances(self.tx, &site.id)? {
            let (member, order) = match &account {
                Account::Allowance(member) | Account::Debt(member) => (Some(member.clone()), None),
                Account::Held(order) => (
                    at_sites::member_of_order(self.tx, &site.id, order)?,
                    Some(order.clone()),
                ),
                _ => (None, None),
            };
            if let Some(member) = member
                && at_sites::knows(self.tx, &site.id, &member)?
            {
                had.entry(member).or_default().push((account, balance, order));
            }
        }
        Ok(had)
    }

    fn take_over(
        &mut self,
        site: &Site,
        (member, order): (&MemberId, Option<&OrderId>),
        (account, balance): (&Account, Fen),
        cause: &str,
    ) -> Result<(), StoreError> {
        let there = ledger::mirrored(&site.id, account);
        let (debit, credit, code) = match account {
            Account::Debt(_) => (ledger::debt(member), there, DEBT),
            _ => (there, ledger::wallet(member), LEASE_RETURN),
        };
        self.book(Movement {
            id: format!("{cause}:{account}"),
            debit,
            credit,
            amount: Fen(balance.0.abs()),
            code,
            site: Some(site.id.clone()),
            order: order.cloned(),
            member: Some(member.clone()),
            at: self.now,
            by: Some(self.by.clone()),
            ..Movement::default()
        })
    }

    /// A wallet pays what the member owes head office itself, as far as it can. The member is held fast, and may pay.
    pub(super) fn pay_own_debt(&mut self, member: &MemberId) -> Result<(), StoreError> {
        let owed = self.own_debt(member)?;
        let pays = owed.min(self.spendable(member)?);
        if pays <= Fen::ZERO {
            return Ok(());
        }
        let nth = ledger::count_of(self.tx, member, DEBT)?;
        self.book(Movement {
            id: format!("debt:{member}:{nth}"),
            debit: ledger::wallet(member),
            credit: ledger::debt(member),
            amount: pays,
            code: DEBT,
            member: Some(member.clone()),
            at: self.now,
            by: Some(self.by.clone()),
            ..Movement::default()
        })
    }

    /// What the member owes head office itself: what they owed at sites that were closed.
    pub(super) fn own_debt(&mut self, member: &MemberId) -> Result<Fen, StoreError> {
        let balance = ledger::balance(self.tx, &ledger::debt(member))?;
        Ok((Fen::ZERO - balance).max(Fen::ZERO))
    }
}
