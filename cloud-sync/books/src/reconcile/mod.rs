//! Reconciliation (对账): what a day must come to, held against what it came to. `docs/reconciliation.md` is its contract: a verdict is a
//! function of rows and a day, so a run may be made again as often as one likes.
//!
//! | file | holds |
//! |---|---|
//! | [`words`] | what is said of rows, and its numbers in the database |
//! | [`days`] | days, what is due on one, how old something is |
//! | [`cut`] | which entries of a site's journal are of which day |
//! | [`stake`] | what money is at stake in a discrepancy, and what may be decided of it |
//! | [`totals`] | control totals, and the digest |
//! | `counted` | what a run comes to: what it has found, less what people have decided |
//! | [`funds`] | runs of a channel: its bills against what wallets were credited |
//! | [`payouts`] | runs of what channels have paid out |
//! | [`site_day`] | what is said of a site's day |
//! | `follow` | what follows from what runs have found: discrepancies, suspense |
//! | `small` | runs of scopes whose days are small |
//! | [`sites`] | runs of a site's days: its journal, its energy report, its till |
//! | [`nightly`] | days are done by themselves |
//!
//! *Architecture Invariant:* all but [`funds`], `counted`, [`payouts`], [`sites`], `small`, `follow` and [`nightly`] is without I/O and clock; what compares
//! rows is SQL in `store/reconcile.rs`, in sets.

mod counted;
pub mod cut;
pub mod days;
mod follow;
pub mod funds;
pub mod nightly;
pub mod payouts;
pub mod site_day;
pub mod sites;
mod small;
pub mod stake;
pub mod totals;
pub mod words;
