//! Names and keys of the tables, schema version 4. `docs/decisions/0003` says why JSON and why these keys.
//! Whoever adds a table adds a line to the one list here: new databases, migrated ones and backups all have it then.

use super::{Identity, SCHEMA_VERSION, StoreError, pile_log, schema3, schema4};
use domain::{
    ids::{Randomness, SiteId},
    journal::hex,
};
use redb::{
    Database, Key, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, TableError, Value,
    WriteTransaction,
};

/// A table, whatever its keys and values: what is done with every one of them.
pub(super) trait AnyTable {
    /// Makes it if it is not there, so that readers find it.
    fn create(&self, write: &WriteTransaction) -> Result<(), StoreError>;
    /// Copies every row of it, from a snapshot of one database into another; `go_on` is asked again and again whether
    /// there is time left.
    fn copy(
        &self,
        from: &ReadTransaction,
        to: &WriteTransaction,
        go_on: &dyn Fn() -> Result<(), StoreError>,
    ) -> Result<(), StoreError>;
    /// Every row of it, as text.
    #[cfg(test)]
    fn rows(&self, from: &ReadTransaction) -> Vec<String>;
}

/// In [`META`]: the place in the journal that head office has acknowledged.
pub(super) const ACKNOWLEDGED: &str = "acknowledged";
/// In [`META`]: the place after which the journal begins.
pub(super) const CHECKPOINT: &str = "checkpoint";
/// In [`META`]: what is known of the station's wall clock.
pub(super) const STATION_CLOCK: &str = "station_clock";
/// In [`META`]: what is remembered of head office.
pub(super) const HEAD_OFFICE: &str = "head_office";
/// In [`META`]: the caller whose old answers were last forgotten without a new one.
pub(super) const ANSWERS_LOOKED_AT: &str = "answers_looked_at";
/// In [`META`]: every display with SHA-256 of its secret, hex. There are few, and a program that knows of none goes on
/// without them, so they need neither a table nor another schema version (decision 0025).
pub(super) const DISPLAYS: &str = "displays";
/// In [`META`]: the station was restored from a copy and waits for what head office has beyond it. A program that knows of
/// no such thing would journal on: `restore` writes it only where a head office is set (decision 0028).
pub(super) const RECOVERING: &str = "recovering";
/// In [`META`]: when, by elapsed time, the station went on after that.
pub(super) const RESTORED_AT: &str = "restored_at";
/// After how many rows a copy looks at the clock.
const ROWS_AT_ONCE: usize = 256;

impl<K: Key + 'static, V: Value + 'static> AnyTable for TableDefinition<'static, K, V> {
    fn create(&self, write: &WriteTransaction) -> Result<(), StoreError> {
        write.open_table(*self)?;
        Ok(())
    }

    fn copy(
        &self,
        from: &ReadTransaction,
        to: &WriteTransaction,
        go_on: &dyn Fn() -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let (from, mut to) = (from.open_table(*self)?, to.open_table(*self)?);
        for (n, row) in from.iter()?.enumerate() {
            if n % ROWS_AT_ONCE == 0 {
                go_on()?;
            }
            let (key, value) = row?;
            to.insert(key.value(), value.value())?;
        }
        Ok(())
    }

    #[cfg(test)]
    fn rows(&self, from: &ReadTransaction) -> Vec<String> {
        let table = from.open_table(*self).unwrap();
        let text = |row: Result<(redb::AccessGuard<'_, K>, redb::AccessGuard<'_, V>), _>| {
            let (key, value) = row.unwrap();
            format!("{self}: {:?} {:?}", key.value(), value.value())
        };
        table.iter().unwrap().map(text).collect()
    }
}

macro_rules! tables {
    ($($(#[doc = $doc:literal])+ $name:ident: $key:ty => $value:ty = $in_file:literal;)+) => {
        $($(#[doc = $doc])+ pub(super) const $name: TableDefinition<'static, $key, $value> =
            TableDefinition::new($in_file);)+
        /// Every table.
        pub(super) const ALL: &[&dyn AnyTable] = &[$(&$name),+];
    };
}

tables! {
    /// Schema version, site, epoch, clock mark, displays.
    META: &str => &[u8] = "meta";
    /// Seq → hash (32 bytes) and the sealed bytes of the entry.
    JOURNAL: u64 => &[u8] = "journal";
    /// Seq → as in the journal: entries from before its beginning that the log of a kept order needs.
    KEPT_ENTRIES: u64 => &[u8] = "kept_entries";
    /// Order id → order.
    ORDERS: &str => &[u8] = "orders";
    /// Order id → the seq of its placing and its state's number, which its index entries are made from.
    ORDER_INDEX: &str => (u64, u8) = "order_index";
    /// Seq of placing → order id: all orders in the order in which they were placed.
    ORDERS_PLACED: u64 => &str = "orders_placed";
    /// State's number, seq of placing → order id.
    ORDERS_BY_STATE: (u8, u64) => &str = "orders_by_state";
    /// Member, seq of placing → order id.
    ORDERS_BY_MEMBER: (&str, u64) => &str = "orders_by_member";
    /// Pile, seq of placing → order id.
    ORDERS_BY_PILE: (&str, u64) => &str = "orders_by_pile";
    /// Order, journal seq → nothing: the log of an order.
    ORDER_LOG: (&str, u64) => () = "order_log";
    /// Pile, journal seq → nothing: the log of a pile.
    PILE_LOG: (&str, u64) => () = "pile_log";
    /// Member, journal seq → nothing: what a member was told.
    NOTICES_BY_MEMBER: (&str, u64) => () = "notices_by_member";
    /// Account → balance in fen, credits less debits.
    ACCOUNTS: &str => i64 = "accounts";
    /// Journal seq, number within it → transfer.
    TRANSFERS: (u64, u32) => &[u8] = "transfers";
    /// Member, journal seq, number within it → nothing: a member's statement.
    TRANSFERS_BY_MEMBER: (&str, u64, u32) => () = "transfers_by_member";
    /// Account → what the movements that were forgotten come to, credits less debits. With those that are kept it makes
    /// the balance.
    OPENING_BALANCES: &str => i64 = "opening_balances";
    /// Member id → member.
    MEMBERS: &str => &[u8] = "members";
    /// Card id → the card with its holders.
    CARDS: &str => &[u8] = "cards";
    /// Pile id → pile.
    PILES: &str => &[u8] = "piles";
    /// Pile id → SHA-256 of its secret, hex.
    PILE_SECRETS: &str => &str = "pile_secrets";
    /// Pile id → the certificates that speak for it.
    PILE_CERTIFICATES: &str => &[u8] = "pile_certificates";
    /// Token name → token.
    TOKENS: &str => &[u8] = "tokens";
    /// Tariff id → tariff.
    TARIFFS: &str => &[u8] = "tariffs";
    /// Number → quarantined message.
    QUARANTINE: u64 => &[u8] = "quarantine";
    /// Pile, SHA-256 of the content in hex → number of the quarantined message.
    QUARANTINE_BY_CONTENT: (&str, &str) => u64 = "quarantine_by_content";
    /// Receipt number → what it was written for. Never pruned: a number counts once.
    RECEIPTS: &str => &[u8] = "receipts";
    /// Order id → number of the correction that waits for a second person.
    CORRECTIONS: &str => u64 = "corrections";
    /// Number → shift at the desk.
    SHIFTS: u64 => &[u8] = "shifts";
    /// Business day, number of the first cash that moved in it → what it did to the till. A clock that was set back makes
    /// two rows of a day.
    DESK_DAYS: (&str, u64) => &[u8] = "desk_days";
    /// Number of a bank's slip → what it was written for. Never pruned: a number counts once.
    BANK_SLIPS: &str => &[u8] = "bank_slips";
    /// Business day, pile, connector → sums that are in no energy report yet.
    ENERGY_DAYS: (&str, &str, u8) => &[u8] = "energy_days";
    /// Business day → its energy report.
    ENERGY_REPORTS: &str => &[u8] = "energy_reports";
    /// Topic → payload of a message that is retained for a pile.
    RETAINED: &str => &[u8] = "retained";
    /// Pile, connector → what it last said.
    LIVE: (&str, u8) => &[u8] = "live";
    /// Wall time in ms, pile, connector → sample. Keyed by time so that a flush writes neighbouring pages.
    SAMPLES: (i64, &str, u8) => &[u8] = "samples";
    /// Who and which key → body hash and answer.
    IDEMPOTENCY: &str => &[u8] = "idempotency";
    /// Caller, whether it is about money, elapsed ms, rest of the key → nothing: in which order a caller's answers grow old.
    IDEMPOTENCY_BY_CALLER: (&str, bool, u64, &str) => () = "idempotency_by_caller";
    /// Caller → how many answers are remembered: about money, and others. None of a caller who has none.
    IDEMPOTENCY_COUNTS: &str => (u64, u64) = "idempotency_counts";
    /// Number → why it was put aside: quarantined messages that nobody has dealt with.
    QUARANTINE_OPEN: u64 => &str = "quarantine_open";
}

/// The schema version in a database; `None` in one that is not a station's.
pub(super) fn version(db: &Database) -> Result<Option<u32>, StoreError> {
    let read = db.begin_read()?;
    let meta = match read.open_table(META) {
        Ok(meta) => meta,
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let version = meta.get("schema_version")?;
    let number = version.and_then(|version| version.value().try_into().ok().map(u32::from_le_bytes));
    match number {
        Some(1..) => Ok(number),
        _ => Err(StoreError::Corrupt("its schema version cannot be read".to_owned())),
    }
}

/// Whose journal a database holds; `site` is `None` where it does not matter.
pub(super) fn identity(db: &Database, site: Option<&SiteId>) -> Result<Identity, StoreError> {
    let read = db.begin_read()?;
    let meta = read.open_table(META)?;
    let text = |key: &'static str| -> Result<String, StoreError> {
        let value = meta.get(key)?;
        Ok(value
            .map(|value| String::from_utf8_lossy(value.value()).into_owned())
            .unwrap_or_default())
    };
    let found = text("site")?;
    if let Some(expected) = site.filter(|expected| expected.as_str() != found) {
        return Err(StoreError::OtherSite {
            found,
            expected: expected.clone(),
        });
    }
    Ok(Identity {
        site: SiteId::new(&found).map_err(|error| StoreError::Corrupt(format!("its site is {found:?}: {error}")))?,
        epoch: text("epoch")?,
    })
}

/// A random name for a run of the journal.
pub(super) fn new_epoch(random: &mut dyn Randomness) -> String {
    hex(&random.bits().to_le_bytes())
}

/// Makes a station's database of an empty one.
pub(super) fn create(db: &Database, site: &SiteId, random: &mut dyn Randomness) -> Result<(), StoreError> {
    let epoch = new_epoch(random);
    let write = db.begin_write()?;
    {
        let mut meta = write.open_table(META)?;
        meta.insert("site", site.as_str().as_bytes())?;
        meta.insert("epoch", epoch.as_bytes())?;
    }
    bring_up_to_date(&write)?;
    write.commit()?;
    Ok(())
}

/// Gives a database of an older version the tables and rows of this one, in one transaction: it is done, or not begun.
pub(super) fn migrate(db: &Database) -> Result<(), StoreError> {
    let found = version(db)?;
    let write = db.begin_write()?;
    // From 1 to 2: nothing but new tables. A step that changes rows stands here, under the version it begins from.
    if found < Some(3) {
        schema3::bring_up(&write)?;
    }
    if found < Some(4) {
        schema4::bring_up(&write)?;
    }
    bring_up_to_date(&write)?;
    if found < Some(3) {
        // The logs of piles, from the journal that is there.
        pile_log::index(&write)?;
    }
    write.commit()?;
    Ok(())
}

fn bring_up_to_date(write: &WriteTransaction) -> Result<(), StoreError> {
    for table in ALL {
        table.create(write)?;
    }
    let mut meta = write.open_table(META)?;
    meta.insert("schema_version", SCHEMA_VERSION.to_le_bytes().as_slice())?;
    Ok(())
}
