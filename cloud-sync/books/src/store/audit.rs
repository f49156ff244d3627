//! Who changed what at head office: entries that are only ever added, each sealed to the one before by SHA-256, as a
//! station's journal is. An entry is written in the transaction of the change that it tells of.

use super::{
    Row, SetStatement, StoreError, Tx, Value,
    queries::Page,
    set::{Present, bytes, int, text},
};
use domain::{
    journal::{Hash, Head},
    time::Wall,
};
use serde::{Deserialize, Serialize};

/// How many entries are read at a time.
const READ_AT_ONCE: u64 = 1_000;

/// What was done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number, from 1, without gaps.
    pub seq: u64,
    /// When, by the clock of the process that did it.
    pub at: Wall,
    /// Who: a person's name, `token:` and a token's, `local:` and a user's number on head office's own machine, or the
    /// part of head office that did it by itself.
    pub by: String,
    /// What, in a stable word such as `person_added`.
    pub action: String,
    /// To whom or what.
    pub subject: String,
    /// What else there is to say, an object; never a secret.
    pub detail: serde_json::Value,
}

/// Adds an entry. It is the last thing that a transaction does: until it is committed nobody else adds one.
///
/// # Errors
/// [`StoreError`].
pub fn append(
    tx: &mut dyn Tx,
    at: Wall,
    by: &str,
    action: &str,
    subject: &str,
    detail: serde_json::Value,
) -> Result<Head, StoreError> {
    let entry = Entry {
        seq: 0,
        at,
        by: by.to_owned(),
        action: action.to_owned(),
        subject: subject.to_owned(),
        detail,
    };
    append_all(tx, vec![entry])
}

const ENTRIES: SetStatement = SetStatement {
    table: "audit",
    keys: 1,
    columns: &[int("seq"), bytes("hash"), text("entry")],
    present: Present::Refuse,
};

/// Adds entries, in this order; their numbers are given here.
///
/// # Errors
/// [`StoreError`].
pub fn append_all(tx: &mut dyn Tx, entries: Vec<Entry>) -> Result<Head, StoreError> {
    // Held fast first: whoever comes at the same time waits here, and reads the end that this one leaves.
    let mut end = hold_end(tx)?;
    let mut rows = Vec::with_capacity(entries.len());
    for mut entry in entries {
        entry.seq = end.seq + 1;
        let text = serde_json::to_string(&entry).map_err(|error| StoreError::Broken(error.to_string()))?;
        end = Head {
            seq: entry.seq,
            hash: Hash::seal(&end.hash, text.as_bytes()),
        };
        rows.push(vec![end.seq.into(), end.hash.0.as_slice().into(), text.into()]);
    }
    tx.write_all(&ENTRIES, &rows)?;
    tx.execute(
        "UPDATE audit_head SET seq = $1, hash = $2 WHERE id = 1",
        &[end.seq.into(), end.hash.to_string().into()],
    )?;
    Ok(end)
}

/// The end of the chain, held fast.
fn hold_end(tx: &mut dyn Tx) -> Result<Head, StoreError> {
    end_of(tx.query_optional("UPDATE audit_head SET seq = seq WHERE id = 1 RETURNING seq, hash", &[])?)
}

/// The end of the chain, as it is kept beside it.
fn end(tx: &mut dyn Tx) -> Result<Head, StoreError> {
    end_of(tx.query_optional("SELECT seq, hash FROM audit_head WHERE id = 1", &[])?)
}

fn end_of(row: Option<Row>) -> Result<Head, StoreError> {
    let mut row = row.ok_or_else(|| StoreError::Broken("the audit chain has no end".to_owned()))?;
    let hash = row.text(1)?;
    Ok(Head {
        seq: row.count(0)?,
        hash: hash
            .parse()
            .map_err(|_| StoreError::Broken(format!("the end of the audit chain has the hash {hash:?}")))?,
    })
}

/// An entry, and the hash that it is sealed with.
pub type Sealed = (Entry, Hash);

/// Entries before this one, newest first; from the end where none is named.
///
/// # Errors
/// [`StoreError`].
pub fn before(tx: &mut dyn Tx, seq: Option<u64>, limit: usize) -> Result<Page<Sealed>, StoreError> {
    let rows = tx.query(
        "SELECT seq, hash, entry FROM audit WHERE seq < $1 ORDER BY seq DESC LIMIT $2",
        &[seq.map_or(Value::Int(i64::MAX), Value::from), (limit as u64 + 1).into()],
    )?;
    let sealed = rows.into_iter().map(|row| {
        let Kept { hash, text, .. } = Kept::of(row)?;
        let entry = serde_json::from_str(&text).map_err(|error| StoreError::Broken(error.to_string()))?;
        Ok((entry, hash))
    });
    Ok(Page::of(sealed.collect::<Result<_, StoreError>>()?, limit))
}

/// A row as it is kept.
struct Kept {
    seq: u64,
    hash: Hash,
    text: String,
}

impl Kept {
    fn of(mut row: Row) -> Result<Self, StoreError> {
        let bytes = row.bytes(1)?.try_into();
        Ok(Self {
            seq: row.count(0)?,
            hash: Hash(bytes.map_err(|_| StoreError::Broken("a hash of the audit chain has not 32 bytes".to_owned()))?),
            text: row.text(2)?,
        })
    }
}

/// What is wrong with the chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// An entry is gone.
    #[error("entry {0} of the audit chain is missing")]
    Missing(u64),
    /// An entry is not what was sealed.
    #[error("entry {0} of the audit chain is not the one that was written")]
    Changed(u64),
    /// The chain ends elsewhere than it should.
    #[error("the audit chain ends at entry {found}, and it should end at entry {kept}")]
    Ends {
        /// Where it ends.
        found: u64,
        /// Where it should.
        kept: u64,
    },
}

/// Reads the whole chain, and says where it ends, or what is wrong with it.
///
/// # Errors
/// [`StoreError`]: it cannot be read.
pub fn verify(tx: &mut dyn Tx) -> Result<Result<Head, Broken>, StoreError> {
    let mut head = Head {
        seq: 0,
        hash: Hash::GENESIS,
    };
    loop {
        let rows = tx.query(
            "SELECT seq, hash, entry FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2",
            &[head.seq.into(), READ_AT_ONCE.into()],
        )?;
        if rows.is_empty() {
            let kept = end(tx)?;
            let ends = Broken::Ends {
                found: head.seq,
                kept: kept.seq,
            };
            return Ok(if kept == head { Ok(head) } else { Err(ends) });
        }
        for row in rows {
            let Kept { seq, hash, text } = Kept::of(row)?;
            if seq != head.seq + 1 {
                return Ok(Err(Broken::Missing(head.seq + 1)));
            }
            let says = serde_json::from_str::<Entry>(&text).map(|entry| entry.seq);
            if Hash::seal(&head.hash, text.as_bytes()) != hash || says.ok() != Some(seq) {
                return Ok(Err(Broken::Changed(seq)));
            }
            head = Head { seq, hash };
        }
    }
}
