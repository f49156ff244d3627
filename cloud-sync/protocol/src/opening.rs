//! The opening of a station with a history: its rows and balances at the end of its journal, signed by the station (rule 13). A text
//! file of JSON, a line each: what it is, rows, and an end with the signature over everything before it.

use crate::key::{NotSigned, PublicKeys, Signature, SigningKey, from_hex};
use domain::{
    card::Card,
    desk::{Desk, DeskDay, Shift},
    energy::{ConnectorDay, Days, EnergyReport},
    fact::{ReceiptUse, SlipUse},
    ids::{CardId, Outlet, SiteId},
    journal::{Hash, Head, hex},
    ledger::Account,
    member::Member,
    order::Order,
    pile::Pile,
    quarantine::QuarantineItem,
    station_clock::StationClock,
    tariff::Tariff,
    time::{Day, Mono, Wall},
    units::Fen,
};
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, Read as _, Write};

/// The version of the file.
pub const VERSION: u32 = 1;
/// The longest line, in bytes: an order with all that was ever corrected of it is far shorter.
const LINE_MAX: u64 = 32 * 1024 * 1024;

/// What it is: the first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begins {
    /// [`VERSION`].
    pub version: u32,
    /// Whose.
    pub site: SiteId,
    /// The run of its journal.
    pub epoch: String,
    /// The place in the journal after which the rows are these.
    pub head: Head,
    /// The station's elapsed time there.
    pub mono: Mono,
    /// When it was made, by the station's clock.
    pub at: Wall,
}

/// A row, as the station keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Row {
    /// One of the station's own accounts.
    Account(Account, Fen),
    /// What is known of its clock.
    Clock(StationClock),
    /// Its business day.
    Days(Days),
    /// Which shift is open at its desk, and which row of a day goes on.
    Desk(Desk),
    /// A tariff version.
    Tariff(Box<Tariff>),
    /// A pile.
    Pile(Box<Pile>),
    /// A member, and what it has and owes.
    Member {
        /// The row.
        member: Box<Member>,
        /// The balance of `allowance`.
        allowance: Fen,
        /// The balance of `debt`: zero or less.
        debt: Fen,
    },
    /// A card.
    Card(CardId, Box<Card>),
    /// An order, and what is held for it.
    Order {
        /// The row.
        order: Box<Order>,
        /// The balance of `held`.
        held: Fen,
    },
    /// A quarantined message, by its number.
    Quarantine(u64, Box<QuarantineItem>),
    /// What a receipt of the desk was written for.
    Receipt(String, ReceiptUse),
    /// What a slip of the bank was written for.
    Slip(String, SlipUse),
    /// A shift, by its number.
    Shift(u64, Box<Shift>),
    /// What a business day did to the till, by the day and the number of its first movement.
    DeskDay(Day, u64, Box<DeskDay>),
    /// Sums of a business day that are in no report yet.
    EnergyDay(Day, Outlet, Box<ConnectorDay>),
    /// The report of a business day.
    EnergyReport(Box<EnergyReport>),
}

#[derive(Debug, Serialize, Deserialize)]
enum Line {
    Begins(Begins),
    Row(Row),
    End { rows: u64, signature: String },
}

/// What the signature is over: whose rows they are, and everything before it.
fn signed(site: &SiteId, hash: Hash) -> Vec<u8> {
    [format!("hf/v1/site/{site}/opening").as_bytes(), &hash.0].concat()
}

/// Writes an opening.
pub struct Writer<W> {
    out: W,
    site: SiteId,
    hash: Hash,
    rows: u64,
}

impl<W: Write> Writer<W> {
    /// Begins one.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn new(out: W, begins: Begins) -> io::Result<Self> {
        let mut writer = Self {
            out,
            site: begins.site.clone(),
            hash: Hash::GENESIS,
            rows: 0,
        };
        writer.line(&Line::Begins(begins))?;
        Ok(writer)
    }

    /// Adds a row.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn row(&mut self, row: Row) -> io::Result<()> {
        self.rows += 1;
        self.line(&Line::Row(row))
    }

    /// Ends it, signed; how many rows it has, and where they went.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn end(mut self, key: &SigningKey) -> io::Result<(u64, W)> {
        let signature = key.sign(&signed(&self.site, self.hash));
        let (rows, signature) = (self.rows, hex(&signature.0));
        self.line(&Line::End { rows, signature })?;
        self.out.flush()?;
        Ok((rows, self.out))
    }

    fn line(&mut self, line: &Line) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(line)?;
        self.hash = Hash::seal(&self.hash, &bytes);
        bytes.push(b'\n');
        self.out.write_all(&bytes)
    }
}

/// Why an opening is not read.
#[derive(Debug, thiserror::Error)]
pub enum NotRead {
    /// The file cannot be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It is none, or was damaged.
    #[error("line {line}: {why}")]
    Line {
        /// Which line, from 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
    /// A newer program made it.
    #[error("it has version {0}, and this program reads {VERSION}: install a newer one")]
    Newer(u32),
    /// Somebody else made it, or it was changed.
    #[error(transparent)]
    NotSigned(#[from] NotSigned),
}

/// Reads an opening, row by row. Nothing of it counts before [`Reader::verify`] has said so.
pub struct Reader<R> {
    input: R,
    hash: Hash,
    lines: u64,
    begins: Begins,
    signature: Option<Signature>,
}

impl<R: BufRead> Reader<R> {
    /// Reads its first line.
    ///
    /// # Errors
    /// [`NotRead`].
    pub fn new(input: R) -> Result<Self, NotRead> {
        let begins = Begins {
            version: VERSION,
            site: SiteId::new("none").map_err(|error| bad(0, error))?,
            epoch: String::new(),
            head: Head::START,
            mono: Mono(0),
            at: Wall(0),
        };
        let mut reader = Self {
            input,
            hash: Hash::GENESIS,
            lines: 0,
            begins,
            signature: None,
        };
        match reader.line()? {
            Line::Begins(begins) if begins.version == VERSION => reader.begins = begins,
            Line::Begins(begins) => return Err(NotRead::Newer(begins.version)),
            Line::Row(_) | Line::End { .. } => return Err(bad(1, "it does not say whose opening it is")),
        }
        Ok(reader)
    }

    /// What it is.
    pub fn begins(&self) -> &Begins {
        &self.begins
    }

    /// The next row; none after the last.
    ///
    /// # Errors
    /// [`NotRead`].
    pub fn row(&mut self) -> Result<Option<Row>, NotRead> {
        let before = self.hash;
        match self.line()? {
            Line::Row(row) => Ok(Some(row)),
            Line::Begins(_) => Err(bad(self.lines, "another opening begins")),
            Line::End { rows, signature } => {
                if rows + 2 != self.lines || !self.input.fill_buf()?.is_empty() {
                    return Err(bad(
                        self.lines,
                        format!("it has other rows than the {rows} that it says"),
                    ));
                }
                let signature = from_hex(&signature).ok_or_else(|| bad(self.lines, "the signature is none"))?;
                (self.hash, self.signature) = (before, Some(Signature(signature)));
                Ok(None)
            }
        }
    }

    /// Whether one of these keys has signed what was read to its end.
    ///
    /// # Errors
    /// [`NotRead::NotSigned`].
    pub fn verify(&self, keys: &PublicKeys) -> Result<(), NotRead> {
        let signature = self.signature.ok_or(NotSigned)?;
        keys.verify(&signed(&self.begins.site, self.hash), &signature)?;
        Ok(())
    }

    fn line(&mut self) -> Result<Line, NotRead> {
        self.lines += 1;
        let mut bytes = Vec::new();
        self.input.by_ref().take(LINE_MAX).read_until(b'\n', &mut bytes)?;
        if bytes.pop() != Some(b'\n') {
            return Err(bad(self.lines, "it is cut off"));
        }
        self.hash = Hash::seal(&self.hash, &bytes);
        serde_json::from_slice(&bytes).map_err(|error| bad(self.lines, error))
    }
}

fn bad(line: u64, why: impl ToString) -> NotRead {
    let why = why.to_string();
    NotRead::Line { line, why }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(site: &str, key: u8) -> Vec<u8> {
        let begins = Begins {
            version: VERSION,
            site: site.parse().unwrap(),
            epoch: "e".to_owned(),
            head: Head {
                seq: 9,
                hash: Hash([3; 32]),
            },
            mono: Mono(5),
            at: Wall(7),
        };
        let mut writer = Writer::new(Vec::new(), begins).unwrap();
        writer.row(Row::Account(Account::Cash, Fen(-5))).unwrap();
        writer.row(Row::Account(Account::Bank, Fen(5))).unwrap();
        writer.end(&SigningKey::from_seed([key; 32])).unwrap().1
    }

    fn read(bytes: &[u8], key: u8) -> Result<Vec<Row>, NotRead> {
        let mut reader = Reader::new(bytes)?;
        let mut rows = Vec::new();
        while let Some(row) = reader.row()? {
            rows.push(row);
        }
        reader.verify(&SigningKey::from_seed([key; 32]).public().into())?;
        Ok(rows)
    }

    #[test]
    fn an_opening_is_read_as_it_was_written_and_only_whole_and_signed() {
        let bytes = made("s01", 1);
        assert_eq!(read(&bytes, 1).unwrap().len(), 2);
        assert!(matches!(read(&bytes, 2), Err(NotRead::NotSigned(_))));
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(read(&changed, 1).is_err(), "byte {at}");
            assert!(read(&bytes[..at], 1).is_err(), "cut off at {at}");
        }
        assert!(read(&[bytes.as_slice(), b"\n"].concat(), 1).is_err());
        // The rows of one site under the name of another.
        let text = String::from_utf8(made("s02", 1)).unwrap().replace("s02", "s01");
        assert!(matches!(read(text.as_bytes(), 1), Err(NotRead::NotSigned(_))));
    }
}
