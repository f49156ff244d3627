//! Whether the books add up, and all that moved in them as a table for other programs.

use super::{DIFFERENCES_MAX, Verified};
use crate::{
    csv,
    store::{
        Row, StoreError, Tx, Value, issues,
        ledger::{self, Unequal},
        refunds, replica, sites,
    },
};
use domain::{
    ledger::Account,
    time::{Day, Wall},
    units::Fen,
};
use std::io;

/// Movements that are in memory at once.
const PAGE: u64 = 1_000;

/// Looks whether every balance is the sum of its movements, all balances sum to zero, every site's accounts are those of its replica,
/// what is on the road is what was issued, and what is put aside for refunds is what was approved.
///
/// Sums are made by the database, in one statement over all movements.
///
/// # Errors
/// [`StoreError`].
pub fn verify(tx: &mut dyn Tx) -> Result<Verified, StoreError> {
    let mut verified = Verified {
        looked_at: ledger::count(tx)?,
        ..Verified::default()
    };
    for Unequal { name, balance, moved } in ledger::unequal(tx, DIFFERENCES_MAX as u64)? {
        let moved = Fen(moved);
        let what = match balance {
            Some(balance) => format!("it has {}, and its movements sum to {moved}", Fen(balance)),
            None => format!("it is not there, and its movements sum to {moved}"),
        };
        verified.note("account", name, what);
    }
    let total = ledger::total(tx)?;
    if total != 0 {
        verified.note("all accounts", "", format!("they sum to {}, not to zero", Fen(total)));
    }
    let mut of_sites = ledger::of_sites(tx)?;
    for site in sites::all(tx)? {
        for (account, balance) in replica::balances(tx, &site.id)? {
            // What came from head office and went back is on the road here, by member.
            if account == Account::HeadOffice {
                continue;
            }
            let name = ledger::mirrored(&site.id, &account);
            let here = Fen(of_sites.remove(&name).unwrap_or_default());
            // What head office's members had at a site that was closed has gone back to their wallets.
            let is_members = matches!(account, Account::Allowance(_) | Account::Held(_) | Account::Debt(_));
            let is_taken_over = site.closed_at.is_some() && is_members && here == Fen::ZERO;
            if here != balance && !is_taken_over {
                verified.note(
                    "account",
                    name,
                    format!("it has {here}, and {balance} in the site's rows"),
                );
            }
        }
    }
    for (name, here) in of_sites {
        let what = format!("it has {}, and nothing in any site's rows", Fen(here));
        verified.note("account", name, what);
    }
    let mut on_road = ledger::of_kind(tx, "transit")?;
    for (site, member, rest) in issues::sums(tx)? {
        let name = ledger::transit(&site, &member);
        let here = Fen(on_road.remove(&name).unwrap_or_default());
        if here != rest {
            verified.note("account", name, format!("it has {here}, and {rest} are on the road"));
        }
    }
    for (name, here) in on_road {
        verified.note(
            "account",
            name,
            format!("it has {}, and nothing is on the road", Fen(here)),
        );
    }
    let mut put_aside = ledger::of_kind(tx, "refund_due")?;
    for (site, order, due) in refunds::due(tx)? {
        let name = ledger::refund_due(&site, &order);
        let here = Fen(put_aside.remove(&name).unwrap_or_default());
        if here != due {
            verified.note(
                "account",
                name,
                format!("it has {here}, and {due} are to be given back"),
            );
        }
    }
    for (name, here) in put_aside {
        let what = format!("it has {}, and nothing is to be given back", Fen(here));
        verified.note("account", name, what);
    }
    Ok(verified)
}

/// Why movements were not written out.
#[derive(Debug, thiserror::Error)]
pub enum NotExported {
    /// They cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// They cannot be written.
    #[error("the table cannot be written: {0}")]
    Write(#[from] io::Error),
}

/// The first line of the table.
const HEADER: &str = "id,day,at,code,debit,credit,amount_yuan,site,branch,seq,order,member,by";

/// Writes movements as CSV (RFC 4180): all, or those of one business day. They stand in the order of their ids, which begin
/// with their cause; amounts are yuan with two places, times are RFC 3339. How many there are.
///
/// # Errors
/// [`NotExported`].
pub fn export(tx: &mut dyn Tx, day: Option<Day>, out: &mut dyn io::Write) -> Result<u64, NotExported> {
    write!(out, "{HEADER}\r\n")?;
    let (mut written, mut after) = (0, String::new());
    loop {
        let page = page(tx, day, &after)?;
        let Some((last, _)) = page.last() else { break };
        after.clone_from(last);
        for (_, line) in &page {
            out.write_all(line.as_bytes())?;
            written += 1;
        }
    }
    out.flush()?;
    Ok(written)
}

/// The lines after the one of this id, with their ids.
fn page(tx: &mut dyn Tx, day: Option<Day>, after: &str) -> Result<Vec<(String, String)>, StoreError> {
    let mut values: Vec<Value> = vec![after.into(), PAGE.into()];
    values.extend(day.map(|day| Value::from(day.to_string())));
    let of_day = if day.is_some() { " AND day = $3" } else { "" };
    let statement = format!(
        "SELECT id, day, at, code, debit, credit, amount, site, branch, seq, order_id, member, by FROM transfer \
         WHERE id > $1{of_day} ORDER BY id LIMIT $2"
    );
    let rows = tx.query(&statement, &values)?;
    let line = |mut row: Row| {
        let id = row.text(0)?;
        let number = |number: Option<i64>| number.map_or(String::new(), |number| number.to_string());
        let fields = [
            id.clone(),
            row.optional_text(1)?.unwrap_or_default(),
            Wall(row.int(2)?).to_string(),
            row.text(3)?,
            row.text(4)?,
            row.text(5)?,
            Fen(row.int(6)?).to_string(),
            row.optional_text(7)?.unwrap_or_default(),
            number(row.optional_int(8)?),
            number(row.optional_int(9)?),
            row.optional_text(10)?.unwrap_or_default(),
            row.optional_text(11)?.unwrap_or_default(),
            row.optional_text(12)?.unwrap_or_default(),
        ];
        let line = csv::line(fields.iter().map(String::as_str));
        Ok((id, line))
    };
    rows.into_iter().map(line).collect()
}
