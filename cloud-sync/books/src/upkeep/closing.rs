//! A site that never comes back (rule 14): its members' money comes back, and what is open by its rows, at the last entry that head
//! office has, becomes a finding, for people to deal with.

use crate::{
    money::{Money, RULE},
    store::{
        StoreError, Tx,
        findings::{self, Class, Finding},
        replica, sites,
        sites::Site,
    },
};
use domain::{ids::OrderId, ledger::Account, time::Wall, units::Fen};
use serde::Serialize;
use std::collections::BTreeMap;

/// The most orders, and the most accounts, that the finding names; how many there are it says in any case, and the site's rows stay
/// as they are.
const NAMED_MAX: usize = 1_000;

#[derive(Debug, Serialize)]
struct Detail {
    why: &'static str,
    /// Orders that were not over, at most [`NAMED_MAX`], and how many.
    open_orders: Vec<OrderId>,
    open: usize,
    /// What the till had.
    cash: Fen,
    /// What members had there, owed there, and what was held for orders: sums, and at most [`NAMED_MAX`] accounts of each.
    allowance: Sum,
    held: Sum,
    debt: Sum,
}

#[derive(Debug, Serialize, Default)]
struct Sum {
    total: Fen,
    count: usize,
    accounts: BTreeMap<String, Fen>,
}

impl Sum {
    fn add(&mut self, of: String, balance: Fen) {
        self.total += balance;
        self.count += 1;
        if self.accounts.len() < NAMED_MAX {
            self.accounts.insert(of, balance);
        }
    }
}

/// Closes a site where it is: its journal is not followed any more, and what is open there becomes a finding (CLOSED). The caller
/// takes its certificate back.
///
/// # Errors
/// [`StoreError::NotOwner`]: somebody else has the site, or has gone on with it.
pub fn close(tx: &mut dyn Tx, me: &str, site: &Site, now: Wall) -> Result<Finding, StoreError> {
    sites::close(tx, me, site, now)?;
    let mut detail = Detail {
        why: "the site was closed; this is what is open by its rows at the last entry that is here",
        open_orders: replica::open_orders(tx, &site.id)?,
        open: 0,
        cash: Fen::ZERO,
        allowance: Sum::default(),
        held: Sum::default(),
        debt: Sum::default(),
    };
    detail.open = detail.open_orders.len();
    detail.open_orders.truncate(NAMED_MAX);
    for (account, balance) in replica::balances(tx, &site.id)? {
        match account {
            Account::Cash => detail.cash = balance,
            Account::Allowance(member) => detail.allowance.add(member.to_string(), balance),
            Account::Held(order) => detail.held.add(order.to_string(), balance),
            Account::Debt(member) => detail.debt.add(member.to_string(), balance),
            _ => {}
        }
    }
    let finding = Finding {
        class: Class::Closed,
        seq: site.head.seq,
        order: None,
        detail: serde_json::to_string(&detail).map_err(|error| StoreError::Broken(error.to_string()))?,
    };
    findings::add(tx, &site.id, site.branch, std::slice::from_ref(&finding), now)?;
    Money::new(tx, now, RULE).close_site(site)?;
    Ok(finding)
}
