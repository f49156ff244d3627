//! Rows of sites in the database, in the station's own JSON: what is always in memory, what is loaded when it is needed, and
//! what has changed.

use super::{
    Column, LookUp, Row, SetStatement, StoreError, Tx, Value,
    set::{Present, int, text},
};
use domain::{
    energy::EnergyBooks,
    ids::{ConnectorNo, MemberId, OrderId, Outlet, SiteId},
    ledger::Account,
    site::{Changes, Key, Loaded, Rows},
    time::Day,
    units::Fen,
};
use serde::{Serialize, de::DeserializeOwned};
use std::collections::{BTreeMap, BTreeSet};

/// How many reported days are in memory.
const REPORTED_READ: u64 = 64;

const BY_ID: &[Column] = &[text("site"), text("id"), text("row")];

const fn by_id(table: &'static str) -> SetStatement {
    SetStatement {
        table,
        keys: 2,
        columns: BY_ID,
        present: Present::Replace,
    }
}

/// Orders.
pub const ORDERS: SetStatement = SetStatement {
    table: "r_order",
    keys: 2,
    columns: &[
        text("site"),
        text("id"),
        text("member"),
        text("pile"),
        text("state"),
        int("open"),
        int("placed_at"),
        text("day"),
        int("fee"),
        int("energy"),
        int("held"),
        text("row"),
    ],
    present: Present::Replace,
};
const MEMBERS: SetStatement = SetStatement {
    table: "r_member",
    keys: 2,
    columns: &[text("site"), text("id"), int("allowance"), int("debt"), text("row")],
    present: Present::Replace,
};
const PILES: SetStatement = by_id("r_pile");
const CARDS: SetStatement = by_id("r_card");
const TARIFFS: SetStatement = by_id("r_tariff");
const RECEIPTS: SetStatement = by_id("r_receipt");
const SLIPS: SetStatement = by_id("r_slip");
const QUARANTINE: SetStatement = SetStatement {
    table: "r_quarantine",
    keys: 2,
    columns: &[
        text("site"),
        int("item"),
        text("pile"),
        text("digest"),
        int("open"),
        text("row"),
    ],
    present: Present::Replace,
};
const SHIFTS: SetStatement = SetStatement {
    table: "r_shift",
    keys: 2,
    columns: &[text("site"), int("number"), text("row")],
    present: Present::Replace,
};
const DESK_DAYS: SetStatement = SetStatement {
    table: "r_desk_day",
    keys: 3,
    columns: &[text("site"), text("day"), int("first"), text("row")],
    present: Present::Replace,
};
const ENERGY_DAYS: SetStatement = SetStatement {
    table: "r_energy_day",
    keys: 4,
    columns: &[text("site"), text("day"), text("pile"), int("connector"), text("row")],
    present: Present::Replace,
};
const ENERGY_REPORTS: SetStatement = SetStatement {
    table: "r_energy_report",
    keys: 2,
    columns: &[text("site"), text("day"), text("row")],
    present: Present::Replace,
};
const STATE: SetStatement = SetStatement {
    table: "r_state",
    keys: 2,
    columns: &[text("site"), text("name"), text("row")],
    present: Present::Replace,
};
const ACCOUNTS: SetStatement = SetStatement {
    table: "r_account",
    keys: 2,
    columns: &[text("site"), text("name"), int("balance")],
    present: Present::Replace,
};

/// Every table that has rows of sites.
pub(crate) static TABLES: [SetStatement; 14] = [
    ORDERS,
    MEMBERS,
    PILES,
    CARDS,
    TARIFFS,
    RECEIPTS,
    SLIPS,
    QUARANTINE,
    SHIFTS,
    DESK_DAYS,
    ENERGY_DAYS,
    ENERGY_REPORTS,
    STATE,
    ACCOUNTS,
];

fn json(row: &impl Serialize) -> Result<Value, StoreError> {
    let text = serde_json::to_string(row).map_err(|error| StoreError::Broken(error.to_string()))?;
    Ok(Value::Text(text))
}

fn parse<T: DeserializeOwned>(table: &str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Broken(format!("a row of {table}: {error}")))
}

fn id<T: std::str::FromStr<Err: std::fmt::Display>>(table: &str, text: &str) -> Result<T, StoreError> {
    text.parse()
        .map_err(|error| StoreError::Broken(format!("a key of {table}: {error}")))
}

/// Keeps every row that has changed.
///
/// # Errors
/// [`StoreError`].
pub fn save(tx: &mut dyn Tx, site: &SiteId, rows: &Rows, changes: &Changes) -> Result<(), StoreError> {
    let of_site = || Value::from(site.as_str());
    save_orders(tx, site, rows, changes)?;
    save_members(tx, site, rows, changes)?;
    let own = Account::OF_STATION
        .iter()
        .filter(|account| changes.accounts.contains(*account));
    let account = |account: &Account| {
        let balance = rows.ledger.balance(account);
        vec![of_site(), account.to_string().into(), balance.0.into()]
    };
    tx.write_all(&ACCOUNTS, &own.map(account).collect::<Vec<_>>())?;
    macro_rules! save {
        ($set:expr, $ids:expr, $row:expr) => {{
            let mut all = Vec::new();
            for id in $ids {
                if let Some(row) = $row(id) {
                    all.push(vec![of_site(), Value::from(id.to_string()), json(row)?]);
                }
            }
            tx.write_all(&$set, &all)?;
        }};
    }
    save!(PILES, &changes.piles, |id| rows.piles.get(id));
    save!(CARDS, &changes.cards, |id| rows.card(id));
    save!(TARIFFS, &changes.tariffs, |id| rows.tariffs.get(id));
    save!(RECEIPTS, &changes.receipts, |id| rows
        .receipts
        .get(id)
        .and_then(Option::as_ref));
    save!(SLIPS, &changes.slips, |id| rows.slips.get(id).and_then(Option::as_ref));
    let mut quarantine = Vec::new();
    for number in &changes.quarantine {
        if let Some(item) = rows.quarantine.get(number).and_then(Option::as_ref) {
            quarantine.push(vec![
                of_site(),
                (*number).into(),
                item.pile.as_str().into(),
                item.digest.as_str().into(),
                item.outcome.is_none().into(),
                json(item)?,
            ]);
        }
    }
    tx.write_all(&QUARANTINE, &quarantine)?;
    save_days(tx, site, rows, changes)
}

fn save_orders(tx: &mut dyn Tx, site: &SiteId, rows: &Rows, changes: &Changes) -> Result<(), StoreError> {
    let held = changes.accounts.iter().filter_map(|account| match account {
        Account::Held(order) => Some(order),
        _ => None,
    });
    let ids: BTreeSet<&OrderId> = changes.orders.iter().chain(held).collect();
    let mut all = Vec::with_capacity(ids.len());
    for id in ids {
        let Some(order) = rows.order(id) else { continue };
        let bill = order.bill();
        let fee = bill.map(|bill| bill.electricity.0 + bill.service.0);
        let energy = order.counted.map(|counted| counted.energy.0);
        all.push(vec![
            site.as_str().into(),
            id.as_str().into(),
            order.member.as_str().into(),
            order.outlet.pile.as_str().into(),
            order.state.word().into(),
            order.state.is_open().into(),
            order.placed_at.0.into(),
            order.counted.map(|counted| counted.day.to_string()).into(),
            fee.into(),
            energy.into(),
            rows.ledger.balance(&Account::Held(id.clone())).0.into(),
            json(order)?,
        ]);
    }
    tx.write_all(&ORDERS, &all)
}

fn save_members(tx: &mut dyn Tx, site: &SiteId, rows: &Rows, changes: &Changes) -> Result<(), StoreError> {
    let moved = changes.accounts.iter().filter_map(|account| match account {
        Account::Allowance(member) | Account::Debt(member) => Some(member),
        _ => None,
    });
    let ids: BTreeSet<&MemberId> = changes.members.iter().chain(moved).collect();
    let mut all = Vec::with_capacity(ids.len());
    for id in ids {
        let Some(member) = rows.member(id) else { continue };
        let balance = |account: Account| Value::Int(rows.ledger.balance(&account).0);
        all.push(vec![
            site.as_str().into(),
            id.as_str().into(),
            balance(Account::Allowance(id.clone())),
            balance(Account::Debt(id.clone())),
            json(member)?,
        ]);
    }
    tx.write_all(&MEMBERS, &all)
}

fn save_days(tx: &mut dyn Tx, site: &SiteId, rows: &Rows, changes: &Changes) -> Result<(), StoreError> {
    let of_site = || Value::from(site.as_str());
    let mut state = Vec::new();
    if changes.clock {
        state.push(vec![of_site(), "clock".into(), json(&rows.clock)?]);
    }
    if changes.day_began {
        state.push(vec![of_site(), "days".into(), json(&rows.energy.days)?]);
    }
    if changes.desk {
        state.push(vec![of_site(), "desk".into(), json(&rows.desk)?]);
    }
    if changes.head_office {
        state.push(vec![of_site(), "head_office".into(), json(&rows.head_office)?]);
    }
    tx.write_all(&STATE, &state)?;
    let mut shifts = Vec::new();
    for number in &changes.shifts {
        if let Some(shift) = rows.shifts.get(number) {
            shifts.push(vec![of_site(), (*number).into(), json(shift)?]);
        }
    }
    tx.write_all(&SHIFTS, &shifts)?;
    let mut desk_days = Vec::new();
    for key in &changes.desk_days {
        if let Some(row) = rows.desk_days.get(key) {
            desk_days.push(vec![of_site(), key.0.to_string().into(), key.1.into(), json(row)?]);
        }
    }
    tx.write_all(&DESK_DAYS, &desk_days)?;
    let mut days = Vec::new();
    for key in &changes.energy_days {
        let (day, outlet) = key;
        let connector = i64::from(outlet.connector.0);
        match rows.energy.open.get(key) {
            Some(sums) => days.push(vec![
                of_site(),
                day.to_string().into(),
                outlet.pile.as_str().into(),
                connector.into(),
                json(sums)?,
            ]),
            None => {
                tx.execute(
                    "DELETE FROM r_energy_day WHERE site = $1 AND day = $2 AND pile = $3 AND connector = $4",
                    &[
                        of_site(),
                        day.to_string().into(),
                        outlet.pile.as_str().into(),
                        connector.into(),
                    ],
                )?;
            }
        }
    }
    tx.write_all(&ENERGY_DAYS, &days)?;
    let mut reports = Vec::new();
    for day in &changes.energy_reports {
        if let Some(report) = rows.energy_reports.get(day) {
            reports.push(vec![of_site(), day.to_string().into(), json(report)?]);
        }
    }
    tx.write_all(&ENERGY_REPORTS, &reports)
}

/// The rows of a site that are always in memory.
///
/// # Errors
/// [`StoreError`].
pub fn always(tx: &mut dyn Tx, site: &SiteId) -> Result<Rows, StoreError> {
    let of_site = [Value::from(site.as_str())];
    let mut rows = Rows::default();
    for mut row in tx.query("SELECT row FROM r_pile WHERE site = $1", &of_site)? {
        let pile: domain::pile::Pile = parse("r_pile", &row.text(0)?)?;
        rows.piles.insert(pile.id.clone(), pile);
    }
    for mut row in tx.query("SELECT row FROM r_tariff WHERE site = $1", &of_site)? {
        let tariff: domain::tariff::Tariff = parse("r_tariff", &row.text(0)?)?;
        rows.tariffs.insert(tariff.spec().id.clone(), tariff);
    }
    for account in Account::OF_STATION {
        rows.ledger.load(account, Fen::ZERO);
    }
    for mut row in tx.query("SELECT name, balance FROM r_account WHERE site = $1", &of_site)? {
        rows.ledger.load(id("r_account", &row.text(0)?)?, Fen(row.int(1)?));
    }
    for mut row in tx.query("SELECT name, row FROM r_state WHERE site = $1", &of_site)? {
        let (name, text) = (row.text(0)?, row.text(1)?);
        match name.as_str() {
            "clock" => rows.clock = parse("r_state", &text)?,
            "days" => rows.energy.days = parse("r_state", &text)?,
            "desk" => rows.desk = parse("r_state", &text)?,
            "head_office" => rows.head_office = parse("r_state", &text)?,
            _ => return Err(StoreError::Broken(format!("r_state holds {name:?}"))),
        }
    }
    energy(tx, site, &mut rows.energy)?;
    if let Some(number) = rows.desk.shift {
        let found = tx.query_optional(
            "SELECT row FROM r_shift WHERE site = $1 AND number = $2",
            &[of_site[0].clone(), number.into()],
        )?;
        let mut found = found.ok_or_else(|| StoreError::Broken(format!("shift {number} of {site} is missing")))?;
        rows.shifts.insert(number, parse("r_shift", &found.text(0)?)?);
    }
    if let Some((day, first)) = rows.desk.day {
        let found = tx.query_optional(
            "SELECT row FROM r_desk_day WHERE site = $1 AND day = $2 AND first = $3",
            &[of_site[0].clone(), day.to_string().into(), first.into()],
        )?;
        let mut found =
            found.ok_or_else(|| StoreError::Broken(format!("the desk's day {day} of {site} is missing")))?;
        rows.desk_days
            .insert((day, first), parse("r_desk_day", &found.text(0)?)?);
    }
    let open = tx.query("SELECT id FROM r_order WHERE site = $1 AND open = 1", &of_site)?;
    let mut keys = Vec::new();
    for mut row in open {
        keys.push(Key::Order(id("r_order", &row.text(0)?)?));
    }
    load(tx, site, keys)?.into_iter().for_each(|row| rows.load(row));
    let members: BTreeSet<MemberId> = rows.orders().map(|order| order.member.clone()).collect();
    let members = load(tx, site, members.into_iter().map(Key::Member))?;
    members.into_iter().for_each(|row| rows.load(row));
    Ok(rows)
}

fn energy(tx: &mut dyn Tx, site: &SiteId, books: &mut EnergyBooks) -> Result<(), StoreError> {
    let of_site = Value::from(site.as_str());
    let day = |text: &str| Day::parse(text).map_err(|error| StoreError::Broken(format!("a day of {site}: {error}")));
    let open = tx.query(
        "SELECT day, pile, connector, row FROM r_energy_day WHERE site = $1",
        std::slice::from_ref(&of_site),
    )?;
    for mut row in open {
        let outlet = Outlet {
            pile: id("r_energy_day", &row.text(1)?)?,
            connector: ConnectorNo(u8::try_from(row.int(2)?).map_err(|error| StoreError::Broken(error.to_string()))?),
        };
        books
            .open
            .insert((day(&row.text(0)?)?, outlet), parse("r_energy_day", &row.text(3)?)?);
    }
    let reported = tx.query(
        "SELECT day FROM r_energy_report WHERE site = $1 ORDER BY day DESC LIMIT $2",
        &[of_site, REPORTED_READ.into()],
    )?;
    for mut row in reported {
        books.reported.insert(day(&row.text(0)?)?);
    }
    Ok(())
}

/// Every account of a site that has money in it, by the site's rows.
///
/// # Errors
/// [`StoreError`].
pub fn balances(tx: &mut dyn Tx, site: &SiteId) -> Result<BTreeMap<Account, Fen>, StoreError> {
    let of_site = [Value::from(site.as_str())];
    let mut balances = BTreeMap::new();
    let mut note = |account: Account, balance: i64| {
        if balance != 0 {
            balances.insert(account, Fen(balance));
        }
    };
    for mut row in tx.query("SELECT name, balance FROM r_account WHERE site = $1", &of_site)? {
        note(id("r_account", &row.text(0)?)?, row.int(1)?);
    }
    let members = "SELECT id, allowance, debt FROM r_member WHERE site = $1 AND (allowance <> 0 OR debt <> 0)";
    for mut row in tx.query(members, &of_site)? {
        let member: MemberId = id("r_member", &row.text(0)?)?;
        note(Account::Allowance(member.clone()), row.int(1)?);
        note(Account::Debt(member), row.int(2)?);
    }
    // Nothing is held for an order that is over.
    for mut row in tx.query("SELECT id, held FROM r_order WHERE site = $1 AND open = 1", &of_site)? {
        note(Account::Held(id("r_order", &row.text(0)?)?), row.int(1)?);
    }
    Ok(balances)
}

/// A site's orders that are not over, by id.
///
/// # Errors
/// [`StoreError`].
pub fn open_orders(tx: &mut dyn Tx, site: &SiteId) -> Result<Vec<OrderId>, StoreError> {
    let rows = tx.query(
        "SELECT id FROM r_order WHERE site = $1 AND open = 1 ORDER BY id",
        &[site.as_str().into()],
    )?;
    rows.into_iter().map(|mut row| id("r_order", &row.text(0)?)).collect()
}

/// Rows by their keys, with those columns.
const fn rows_by(table: &'static str, keys: &'static [Column], columns: &'static [Column]) -> LookUp {
    LookUp { table, keys, columns }
}

const BY_NAME: &[Column] = &[text("site"), text("id")];
const WITH_ROW: &[Column] = &[text("id"), text("row")];
const ORDER_BY_ID: LookUp = rows_by("r_order", BY_NAME, &[text("id"), text("row"), int("held")]);
const MEMBER_BY_ID: LookUp = rows_by(
    "r_member",
    BY_NAME,
    &[text("id"), text("row"), int("allowance"), int("debt")],
);
const CARD_BY_ID: LookUp = rows_by("r_card", BY_NAME, WITH_ROW);
const RECEIPT_BY_ID: LookUp = rows_by("r_receipt", BY_NAME, WITH_ROW);
const SLIP_BY_ID: LookUp = rows_by("r_slip", BY_NAME, WITH_ROW);
const QUARANTINE_BY_ITEM: LookUp = rows_by(
    "r_quarantine",
    &[text("site"), int("item")],
    &[int("item"), text("row")],
);
const QUARANTINE_BY_CONTENT: LookUp = rows_by(
    "r_quarantine",
    &[text("site"), text("pile"), text("digest")],
    &[text("pile"), text("digest"), int("item")],
);

/// Keys of one kind, without the site, and what is answered for them: rows that begin with those keys.
fn find<K>(
    tx: &mut dyn Tx,
    site: &SiteId,
    look: &LookUp,
    keys: Vec<(Vec<Value>, K)>,
    mut take: impl FnMut(K, Option<Row>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let with_site = |(key, _): &(Vec<Value>, K)| [vec![site.as_str().into()], key.clone()].concat();
    let mut found: BTreeMap<Vec<Value>, Row> = BTreeMap::new();
    for mut row in tx.find_all(look, &keys.iter().map(with_site).collect::<Vec<_>>())? {
        let payload = row.0.split_off(look.keys.len() - 1);
        found.insert(row.0, Row(payload));
    }
    keys.into_iter().try_for_each(|(key, of)| take(of, found.remove(&key)))
}

/// Rows as they are kept, one for each key, in any order; no key is given twice. One statement a kind.
///
/// # Errors
/// [`StoreError`].
pub fn load(tx: &mut dyn Tx, site: &SiteId, keys: impl IntoIterator<Item = Key>) -> Result<Vec<Loaded>, StoreError> {
    let mut loaded = Vec::new();
    let (mut orders, mut members, mut cards) = (Vec::new(), Vec::new(), Vec::new());
    let (mut items, mut contents, mut receipts, mut slips) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for key in keys {
        match key {
            Key::Order(id) => orders.push((vec![id.as_str().into()], id)),
            Key::Member(id) => members.push((vec![id.as_str().into()], id)),
            Key::Card(id) => cards.push((vec![id.as_str().into()], id)),
            Key::Quarantine(item) => items.push((vec![item.into()], item)),
            Key::SetAside(pile, digest) => {
                contents.push((vec![pile.as_str().into(), digest.as_str().into()], (pile, digest)));
            }
            Key::Receipt(receipt) => receipts.push((vec![receipt.as_str().into()], receipt)),
            Key::Slip(slip) => slips.push((vec![slip.as_str().into()], slip)),
        }
    }
    find(tx, site, &ORDER_BY_ID, orders, |id, row| {
        let (order, held) = match row {
            Some(mut row) => (Some(parse("r_order", &row.text(0)?)?), row.int(1)?),
            None => (None, 0),
        };
        let held = Fen(held);
        loaded.push(Loaded::Order { id, order, held });
        Ok(())
    })?;
    find(tx, site, &MEMBER_BY_ID, members, |id, row| {
        let (member, allowance, debt) = match row {
            Some(mut row) => (Some(parse("r_member", &row.text(0)?)?), row.int(1)?, row.int(2)?),
            None => (None, 0, 0),
        };
        let (allowance, debt) = (Fen(allowance), Fen(debt));
        loaded.push(Loaded::Member {
            id,
            member,
            allowance,
            debt,
        });
        Ok(())
    })?;
    find(tx, site, &CARD_BY_ID, cards, |id, row| {
        let card = read("r_card", row)?;
        loaded.push(Loaded::Card { id, card });
        Ok(())
    })?;
    find(tx, site, &QUARANTINE_BY_ITEM, items, |item, row| {
        let row = read("r_quarantine", row)?;
        loaded.push(Loaded::Quarantine { item, row });
        Ok(())
    })?;
    find(tx, site, &QUARANTINE_BY_CONTENT, contents, |content, row| {
        let item = row.map(|mut row| row.count(0)).transpose()?;
        loaded.push(Loaded::SetAside { content, item });
        Ok(())
    })?;
    find(tx, site, &RECEIPT_BY_ID, receipts, |receipt, row| {
        let used = read("r_receipt", row)?;
        loaded.push(Loaded::Receipt { receipt, used });
        Ok(())
    })?;
    find(tx, site, &SLIP_BY_ID, slips, |slip, row| {
        let used = read("r_slip", row)?;
        loaded.push(Loaded::Slip { slip, used });
        Ok(())
    })?;
    Ok(loaded)
}

/// What is in the one column of a row that there may be.
fn read<T: DeserializeOwned>(table: &str, row: Option<Row>) -> Result<Option<T>, StoreError> {
    row.map(|mut row| parse(table, &row.text(0)?)).transpose()
}
