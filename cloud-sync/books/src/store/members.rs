//! Members of head office's: whoever has a wallet; and their cards.

use super::{Row, StoreError, Tx, ledger};
use domain::{
    ids::{CardId, MemberId, SiteId},
    time::Wall,
    units::Fen,
};
use std::collections::BTreeSet;

/// A member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub id: MemberId,
    /// A name for people.
    pub name: String,
    /// Why nothing leaves their wallet.
    pub frozen: Option<String>,
    /// Why they are on the blacklist.
    pub blocked: Option<String>,
    /// Since when.
    pub made_at: Wall,
}

/// A card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// Which.
    pub id: CardId,
    /// Whose; nobody's any more where it was taken back.
    pub member: Option<MemberId>,
    /// Who gave it out, or took it back.
    pub given_by: String,
    /// When.
    pub given_at: Wall,
}

fn bad(what: &str, error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Broken(format!("{what}: {error}"))
}

pub(super) fn member_id(text: &str) -> Result<MemberId, StoreError> {
    text.parse().map_err(|error| bad("the id of a member", &error))
}

const COLUMNS: &str = "id, name, frozen, blocked, made_at";

fn member(mut row: Row) -> Result<Member, StoreError> {
    Ok(Member {
        id: member_id(&row.text(0)?)?,
        name: row.text(1)?,
        frozen: row.optional_text(2)?,
        blocked: row.optional_text(3)?,
        made_at: Wall(row.int(4)?),
    })
}

/// Holds a member fast until the transaction ends, so that nobody else does anything with their money. Of several members they
/// are held in the order of their ids.
///
/// # Errors
/// [`StoreError`].
pub fn hold(tx: &mut dyn Tx, id: &MemberId) -> Result<Option<Member>, StoreError> {
    let row = tx.query_optional(
        &format!("UPDATE member SET made_at = made_at WHERE id = $1 RETURNING {COLUMNS}"),
        &[id.as_str().into()],
    )?;
    row.map(member).transpose()
}

/// A member of this id.
///
/// # Errors
/// [`StoreError`].
pub fn find(tx: &mut dyn Tx, id: &MemberId) -> Result<Option<Member>, StoreError> {
    let statement = format!("SELECT {COLUMNS} FROM member WHERE id = $1");
    let row = tx.query_optional(&statement, &[id.as_str().into()])?;
    row.map(member).transpose()
}

/// Makes a member, or gives one another name.
///
/// # Errors
/// [`StoreError`].
pub fn put(tx: &mut dyn Tx, id: &MemberId, name: &str, by: &str, now: Wall) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO member (id, name, made_at, made_by) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (id) DO UPDATE SET name = excluded.name",
        &[id.as_str().into(), name.into(), now.0.into(), by.into()],
    )
    .map(drop)
}

/// Makes a member again whom a site knows of head office's and the database does not: it was restored from a copy.
///
/// # Errors
/// [`StoreError`].
pub fn remember(tx: &mut dyn Tx, id: &MemberId, now: Wall) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO member (id, name, made_at, made_by) VALUES ($1, $2, $3, 'a site') ON CONFLICT (id) DO NOTHING",
        &[id.as_str().into(), id.as_str().into(), now.0.into()],
    )
    .map(drop)
}

/// Freezes a member's wallet, or lets it go.
///
/// # Errors
/// [`StoreError`].
pub fn freeze(tx: &mut dyn Tx, id: &MemberId, why: Option<&str>) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE member SET frozen = $1 WHERE id = $2",
        &[why.into(), id.as_str().into()],
    )
    .map(drop)
}

/// Puts a member on the blacklist, or takes them off.
///
/// # Errors
/// [`StoreError`].
pub fn block(tx: &mut dyn Tx, id: &MemberId, why: Option<&str>) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE member SET blocked = $1 WHERE id = $2",
        &[why.into(), id.as_str().into()],
    )
    .map(drop)
}

/// Which of these are members of head office's.
///
/// # Errors
/// [`StoreError`].
pub fn known(tx: &mut dyn Tx, ids: BTreeSet<MemberId>) -> Result<BTreeSet<MemberId>, StoreError> {
    let mut known = BTreeSet::new();
    for id in ids {
        if find(tx, &id)?.is_some() {
            known.insert(id);
        }
    }
    Ok(known)
}

/// Gives a card to a member, or takes it back.
///
/// # Errors
/// [`StoreError`].
pub fn put_card(tx: &mut dyn Tx, card: &Card) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO card (id, member, given_by, given_at) VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO UPDATE SET \
         member = excluded.member, given_by = excluded.given_by, given_at = excluded.given_at",
        &[
            card.id.as_str().into(),
            card.member.as_ref().map(MemberId::as_str).into(),
            card.given_by.as_str().into(),
            card.given_at.0.into(),
        ],
    )
    .map(drop)
}

/// Whose card it is.
///
/// # Errors
/// [`StoreError`].
pub fn card(tx: &mut dyn Tx, id: &CardId) -> Result<Option<Card>, StoreError> {
    let row = tx.query_optional(
        "SELECT id, member, given_by, given_at FROM card WHERE id = $1",
        &[id.as_str().into()],
    )?;
    row.map(card_row).transpose()
}

/// What a member has at a site that nothing is reserved of.
///
/// # Errors
/// [`StoreError`].
pub fn allowance(tx: &mut dyn Tx, site: &SiteId, member: &MemberId) -> Result<Fen, StoreError> {
    let account = domain::ledger::Account::Allowance(member.clone());
    ledger::balance(tx, &ledger::mirrored(site, &account))
}

/// Every card, by its number.
///
/// # Errors
/// [`StoreError`].
pub fn cards(tx: &mut dyn Tx) -> Result<Vec<Card>, StoreError> {
    let rows = tx.query("SELECT id, member, given_by, given_at FROM card ORDER BY id", &[])?;
    rows.into_iter().map(card_row).collect()
}

/// A member's cards.
///
/// # Errors
/// [`StoreError`].
pub fn cards_of(tx: &mut dyn Tx, member: &MemberId) -> Result<Vec<Card>, StoreError> {
    let rows = tx.query(
        "SELECT id, member, given_by, given_at FROM card WHERE member = $1 ORDER BY id",
        &[member.as_str().into()],
    )?;
    rows.into_iter().map(card_row).collect()
}

fn card_row(mut row: Row) -> Result<Card, StoreError> {
    let id = row.text(0)?.parse();
    Ok(Card {
        id: id.map_err(|error| bad("the number of a card", &error))?,
        member: row.optional_text(1)?.map(|text| member_id(&text)).transpose()?,
        given_by: row.text(2)?,
        given_at: Wall(row.int(3)?),
    })
}
