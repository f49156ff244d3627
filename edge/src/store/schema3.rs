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

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{
        ids::SiteId,
        journal::{Entry, Hash, Stamp},
        time::Mono,
    };
    use redb::{Builder, backends::InMemoryBackend};

    /// A journal entry as the daemon of schema 2 wrote it: the card's number in the letters that were typed.
    fn stored(seq: u64, card: &str, member: Option<&str>) -> Vec<u8> {
        let canonical: CardId = card.parse().unwrap();
        let fact = match member {
            Some(member) => Fact::CardBound {
                card: canonical.clone(),
                member: member.parse().unwrap(),
                by: String::new(),
            },
            None => Fact::CardUnbound {
                card: canonical.clone(),
                by: String::new(),
            },
        };
        let stamp = Stamp {
            seq,
            at: Wall(i64::try_from(seq).unwrap() * 1_000),
            mono: Mono(0),
        };
        let site: SiteId = "test".parse().unwrap();
        let bytes = Entry::bytes_of(&site, "e", stamp, &fact);
        let text = String::from_utf8(bytes).unwrap();
        let text = text.replace(&format!("\"{canonical}\""), &format!("\"{card}\""));
        [Hash::GENESIS.0.as_slice(), text.as_bytes()].concat()
    }

    fn holders(write: &WriteTransaction, id: &str) -> Vec<(Option<String>, i64)> {
        let table = write.open_table(tables::CARDS).unwrap();
        let card: Card = parse("cards", &id, table.get(id).unwrap().unwrap().value()).unwrap();
        let one = |held: &Holding| (held.member.as_ref().map(ToString::to_string), held.since.0 / 1_000);
        card.holders().iter().map(one).collect()
    }

    #[test]
    fn cards_get_the_history_that_the_journal_tells_under_one_number() {
        let db = Builder::new().create_with_backend(InMemoryBackend::new()).unwrap();
        let write = db.begin_write().unwrap();
        {
            let mut cards = write.open_table(CARDS_2).unwrap();
            for (card, member) in [("c1", "m"), ("old", "m"), ("C2", "n"), ("c2", "m")] {
                cards.insert(card, member).unwrap();
            }
            let mut journal = write.open_table(tables::JOURNAL).unwrap();
            let passed = [
                (3, "c1", Some("n")),
                (4, "c1", Some("m")),
                (5, "gone", Some("m")),
                (6, "gone", None),
                (7, "C2", Some("n")),
                (8, "c2", Some("m")),
            ];
            for (seq, card, member) in passed {
                journal.insert(seq, stored(seq, card, member).as_slice()).unwrap();
            }
        }
        bring_up(&write).unwrap();
        let held = |member: &str, since: i64| (Some(member.to_owned()), since);
        assert_eq!(holders(&write, "C1"), [held("n", 3), held("m", 4)]);
        assert_eq!(
            holders(&write, "OLD"),
            [held("m", 0)],
            "since when is not known any more"
        );
        assert_eq!(holders(&write, "GONE"), [held("m", 5), (None, 6)]);
        assert_eq!(
            holders(&write, "C2"),
            [held("n", 7), held("m", 8)],
            "the later holder stands"
        );
        assert_eq!(write.open_table(tables::CARDS).unwrap().iter().unwrap().count(), 4);
    }
}
