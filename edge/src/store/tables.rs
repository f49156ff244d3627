//! Names and keys of the tables, schema version 1. `docs/decisions/0003` says why JSON and why these keys.

use super::{SCHEMA_VERSION, StoreError};
use domain::ids::SiteId;
use redb::{Database, TableDefinition};

/// Schema version, site, epoch, clock mark.
pub(super) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
/// Seq → hash (32 bytes) and the sealed bytes of the entry.
pub(super) const JOURNAL: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("journal");
/// Order id → order.
pub(super) const ORDERS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("orders");
/// Order id → the seq of its placing and its state's number, which its index entries are made from.
pub(super) const ORDER_INDEX: TableDefinition<'_, &str, (u64, u8)> = TableDefinition::new("order_index");
/// Seq of placing → order id: all orders in the order in which they were placed.
pub(super) const ORDERS_PLACED: TableDefinition<'_, u64, &str> = TableDefinition::new("orders_placed");
/// State's number, seq of placing → order id.
pub(super) const ORDERS_BY_STATE: TableDefinition<'_, (u8, u64), &str> = TableDefinition::new("orders_by_state");
/// Member, seq of placing → order id.
pub(super) const ORDERS_BY_MEMBER: TableDefinition<'_, (&str, u64), &str> = TableDefinition::new("orders_by_member");
/// Pile, seq of placing → order id.
pub(super) const ORDERS_BY_PILE: TableDefinition<'_, (&str, u64), &str> = TableDefinition::new("orders_by_pile");
/// Order, journal seq → nothing: the log of an order.
pub(super) const ORDER_LOG: TableDefinition<'_, (&str, u64), ()> = TableDefinition::new("order_log");
/// Member, journal seq → nothing: what a member was told.
pub(super) const NOTICES_BY_MEMBER: TableDefinition<'_, (&str, u64), ()> = TableDefinition::new("notices_by_member");
/// Account → balance in fen, credits less debits.
pub(super) const ACCOUNTS: TableDefinition<'_, &str, i64> = TableDefinition::new("accounts");
/// Journal seq, number within it → transfer.
pub(super) const TRANSFERS: TableDefinition<'_, (u64, u32), &[u8]> = TableDefinition::new("transfers");
/// Member, journal seq, number within it → nothing: a member's statement.
pub(super) const TRANSFERS_BY_MEMBER: TableDefinition<'_, (&str, u64, u32), ()> =
    TableDefinition::new("transfers_by_member");
/// Member id → member.
pub(super) const MEMBERS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("members");
/// Card id → member id.
pub(super) const CARDS: TableDefinition<'_, &str, &str> = TableDefinition::new("cards");
/// Pile id → pile.
pub(super) const PILES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("piles");
/// Pile id → SHA-256 of its secret, hex.
pub(super) const PILE_SECRETS: TableDefinition<'_, &str, &str> = TableDefinition::new("pile_secrets");
/// Pile id → the certificates that speak for it.
pub(super) const PILE_CERTIFICATES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("pile_certificates");
/// Token name → token.
pub(super) const TOKENS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("tokens");
/// Tariff id → tariff.
pub(super) const TARIFFS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("tariffs");
/// Number → quarantined message.
pub(super) const QUARANTINE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("quarantine");
/// Pile, SHA-256 of the content in hex → number of the quarantined message.
pub(super) const QUARANTINE_BY_CONTENT: TableDefinition<'_, (&str, &str), u64> =
    TableDefinition::new("quarantine_by_content");
/// Receipt number → what it was written for. Never pruned: a number counts once.
pub(super) const RECEIPTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("receipts");
/// Pile, connector → what it last said.
pub(super) const LIVE: TableDefinition<'_, (&str, u8), &[u8]> = TableDefinition::new("live");
/// Wall time in ms, pile, connector → sample. Keyed by time so that a flush writes neighbouring pages.
pub(super) const SAMPLES: TableDefinition<'_, (i64, &str, u8), &[u8]> = TableDefinition::new("samples");
/// Who and which key → body hash and answer.
pub(super) const IDEMPOTENCY: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("idempotency");
/// Elapsed ms, key → nothing: in which order idempotency rows grow old.
pub(super) const IDEMPOTENCY_BY_AGE: TableDefinition<'_, (u64, &str), ()> = TableDefinition::new("idempotency_by_age");

pub(super) fn number(bytes: &[u8]) -> u32 {
    bytes.try_into().map_or(0, u32::from_le_bytes)
}

/// Makes every table, so that readers find them.
pub(super) fn create(db: &Database, site: &SiteId) -> Result<(), StoreError> {
    let mut random = [0_u8; 16];
    getrandom::fill(&mut random).map_err(StoreError::io)?;
    let epoch: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let write = db.begin_write()?;
    {
        let mut meta = write.open_table(META)?;
        meta.insert("schema_version", SCHEMA_VERSION.to_le_bytes().as_slice())?;
        meta.insert("site", site.as_str().as_bytes())?;
        meta.insert("epoch", epoch.as_bytes())?;
        write.open_table(JOURNAL)?;
        write.open_table(ORDERS)?;
        write.open_table(ORDER_INDEX)?;
        write.open_table(ORDERS_PLACED)?;
        write.open_table(ORDERS_BY_STATE)?;
        write.open_table(ORDERS_BY_MEMBER)?;
        write.open_table(ORDERS_BY_PILE)?;
        write.open_table(ORDER_LOG)?;
        write.open_table(NOTICES_BY_MEMBER)?;
        write.open_table(ACCOUNTS)?;
        write.open_table(TRANSFERS)?;
        write.open_table(TRANSFERS_BY_MEMBER)?;
        write.open_table(MEMBERS)?;
        write.open_table(CARDS)?;
        write.open_table(PILES)?;
        write.open_table(PILE_SECRETS)?;
        write.open_table(PILE_CERTIFICATES)?;
        write.open_table(TOKENS)?;
        write.open_table(TARIFFS)?;
        write.open_table(QUARANTINE)?;
        write.open_table(QUARANTINE_BY_CONTENT)?;
        write.open_table(RECEIPTS)?;
        write.open_table(LIVE)?;
        write.open_table(SAMPLES)?;
        write.open_table(IDEMPOTENCY)?;
        write.open_table(IDEMPOTENCY_BY_AGE)?;
    }
    write.commit()?;
    Ok(())
}
