//! From schema 2 to 3: cards keep their history, which the journal tells, open quarantine has an index, and registers have
//! a book of what explains them.
//! Card numbers are compared in capitals from here on: of two that differ in nothing else the later holder stands.

use super::{
    StoreError,
    read::{bad, entry, parse, split_entry},
    tables,
    write::json,
};
use domain::{
    card::{Card, Holding},
    fact::Fact,
    ids::{CardId, MemberId},
    quarantine::QuarantineItem,
    register::RegisterBook,
    time::Wall,
    units::Energy,
};
use redb::{ReadableTable, TableDefinition, TableError, WriteTransaction};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// Card id → member id.
const CARDS_2: TableDefinition<'static, &str, &str> = TableDefinition::new("cards");

/// Changes the rows that schema 3 keeps otherwise.
pub(super) fn bring_up(write: &WriteTransaction) -> Result<(), StoreError> {
    cards(write)?;
    registers(write)?;
    open_quarantine(write)
}

/// What a register was explained up to becomes a book that begins there.
fn registers(write: &WriteTransaction) -> Result<(), StoreError> {
    let mut piles = write.open_table(tables::PILES)?;
    let mut rows: Vec<(String, serde_json::Value)> = Vec::new();
    for row in piles.iter()? {
        let (id, row) = row?;
        rows.push((id.value().to_owned(), parse("piles", &id.value(), row.value())?));
    }
    for (id, mut pile) in rows {
        let connectors = pile.get_mut("connectors").and_then(serde_json::Value::as_object_mut);
        for connector in connectors.into_iter().flat_map(|connectors| connectors.values_mut()) {
            let read = |value: Option<&serde_json::Value>| -> Option<Energy> {
                value.and_then(|value| serde_json::from_value(value.clone()).ok())
            };
            let reported = connector.get("excess").and_then(|excess| excess.get("to"));
            let explained = [connector.get("accounted"), connector.get("set_aside"), reported];
            if let Some(register) = explained.into_iter().filter_map(read).max() {
                let mut book = RegisterBook::default();
                book.begin(register);
                connector["book"] = serde_json::to_value(book).map_err(StoreError::io)?;
            }
        }
        piles.insert(id.as_str(), json(&pile)?.as_slice())?;
    }
    Ok(())
}

/// What stands in the journal of a card, under the very number that was written then.
struct Passed {
    as_written: String,
    card: CardId,
    holding: Holding,
}

fn cards(write: &WriteTransaction) -> Result<(), StoreError> {
    let known = cards_of_2(write)?;
    let journal = passed_on(write)?;
    let told: BTreeSet<&str> = journal.iter().map(|passed| passed.as_written.as_str()).collect();
    let mut holdings: BTreeMap<CardId, Vec<Holding>> = BTreeMap::new();
    let mut written: BTreeMap<CardId, BTreeSet<String>> = BTreeMap::new();
    for (as_written, member) in known {
        let card = canonical(&as_written)?;
        // When it was given to its holder is not known any more: for all that is known they always had it.
        if !told.contains(as_written.as_str()) {
            let (member, since) = (Some(member), Wall(0));
            holdings.entry(card.clone()).or_default().push(Holding {
                member,
                since,
                mono: None,
            });
        }
        written.entry(card).or_default().insert(as_written);
    }
    for Passed {
        as_written,
        card,
        holding,
    } in journal
    {
        written.entry(card.clone()).or_default().insert(as_written);
        holdings.entry(card).or_default().push(holding);
    }
    let mut table = write.open_table(tables::CARDS)?;
    for (id, holdings) in holdings {
        let card = Card::with(holdings);
        if let Some(written) = written.get(&id).filter(|written| written.len() > 1) {
            let numbers: Vec<&str> = written.iter().map(String::as_str).collect();
            let holder = card.holder().map_or("nobody", |holder| holder.as_str());
            tracing::warn!(card = %id, holder, "cards that differ only in capitals are one card now: {}", numbers.join(", "));
        }
        table.insert(id.as_str(), json(&card)?.as_slice())?;
    }
    Ok(())
}

fn canonical(as_written: &str) -> Result<CardId, StoreError> {
    CardId::new(as_written.to_ascii_uppercase()).map_err(|error| bad("cards", as_written, error))
}

/// Takes the table of schema 2 out of the way.
fn cards_of_2(write: &WriteTransaction) -> Result<Vec<(String, MemberId)>, StoreError> {
    let mut known = Vec::new();
    match write.open_table(CARDS_2) {
        Ok(table) => {
            for row in table.iter()? {
                let (card, member) = row?;
                let member = MemberId::new(member.value()).map_err(|error| bad("cards", card.value(), error))?;
                known.push((card.value().to_owned(), member));
            }
        }
        Err(TableError::TableDoesNotExist(_)) => return Ok(known),
        Err(error) => return Err(error.into()),
    }
    write.delete_table(CARDS_2)?;
    Ok(known)
}

/// From whom to whom cards went, as far as the journal goes back.
fn passed_on(write: &WriteTransaction) -> Result<Vec<Passed>, StoreError> {
    #[derive(Deserialize)]
    struct Written {
        fact: BTreeMap<String, WrittenCard>,
    }
    #[derive(Deserialize)]
    struct WrittenCard {
        card: String,
    }
    let journal = write.open_table(tables::JOURNAL)?;
    let mut passed = Vec::new();
    for row in journal.iter()? {
        let (seq, stored) = row?;
        let (_, bytes) = split_entry(seq.value(), stored.value())?;
        if !is_of_card(bytes) {
            continue;
        }
        let found = entry(seq.value(), bytes)?;
        let member = match found.fact {
            Fact::CardBound { member, .. } => Some(member),
            Fact::CardUnbound { .. } => None,
            _ => continue,
        };
        let written: Written = parse("journal", &seq.value(), bytes)?;
        let Some(WrittenCard { card }) = written.fact.into_values().next() else {
            continue;
        };
        passed.push(Passed {
            card: canonical(&card)?,
            as_written: card,
            holding: Holding {
                member,
                since: found.stamp.at,
                mono: Some(found.stamp.mono),
            },
        });
    }
    Ok(passed)
}

/// Whether the stored entry is of a card, told without reading all of it: the kind of fact stands after the third brace,
/// that of the entry, of its stamp and of the fact; no name has one.
fn is_of_card(bytes: &[u8]) -> bool {
    let fact = bytes.splitn(4, |byte| *byte == b'{').nth(3);
    fact.is_some_and(|fact| fact.starts_with(b"\"CardBound\"") || fact.starts_with(b"\"CardUnbound\""))
}

fn open_quarantine(write: &WriteTransaction) -> Result<(), StoreError> {
    let quarantine = write.open_table(tables::QUARANTINE)?;
    let mut open = write.open_table(tables::QUARANTINE_OPEN)?;
    for row in quarantine.iter()? {
        let (number, row) = row?;
        let item: QuarantineItem = parse("quarantine", &number.value(), row.value())?;
        if item.outcome.is_none() {
            open.insert(number.value(), item.why.word())?;
        }
    }
    Ok(())
}
