//! What a run comes to: control totals that must close, and one number over everything that it found.

use domain::{
    time::Day,
    units::{Energy, Fen},
};
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How many, and how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sum {
    /// How many.
    pub count: i64,
    /// How much.
    pub amount: Fen,
}

impl Sum {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            count: self.count + other.count,
            amount: Fen(self.amount.0 + other.amount.0),
        }
    }

    /// Without the other.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self {
            count: self.count - other.count,
            amount: Fen(self.amount.0 - other.amount.0),
        }
    }
}

/// What was open, what came, what went, what is open: opening + new − cleared − written off = closing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Flow {
    /// Open at the end of the day before, as that day's run has it.
    pub opening: Sum,
    /// Of this day.
    pub new: Sum,
    /// Matched on this day, given back by the channel, of another class from now on, or settled by two people otherwise than by writing it
    /// off.
    pub cleared: Sum,
    /// Written off by two people; below zero where more came back that had been written off.
    pub written_off: Sum,
    /// Open at the end of this day: counted, not worked out.
    pub closing: Sum,
}

impl Flow {
    /// Whether it closes.
    pub fn closes(&self) -> bool {
        self.opening.plus(self.new).minus(self.cleared).minus(self.written_off) == self.closing
    }
}

/// The lines of a day's trade bill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Bill {
    /// Payments, before the fee.
    pub gross: Sum,
    /// Refunds, below zero.
    pub refunds: Sum,
    /// What the channel kept.
    pub fees: Fen,
    /// What it owes for the day: what it settles of payments and refunds, less its fees.
    pub net: Fen,
}

/// What a site's day came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SiteTotals {
    /// Orders whose money moved first on the day, by their bills as they are now.
    pub orders: Sum,
    /// What they were billed for, kWh.
    pub energy: Energy,
    /// What was sold by entries of the day, by the books: electricity, and service.
    pub electricity: Fen,
    /// Service, likewise.
    pub service: Fen,
    /// What was given back after settlement by entries of the day.
    pub refunds: Fen,
    /// By how much there is more in the till after the entries of the day.
    pub cash: Fen,
}

/// How far a channel has paid out what it owes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaidUpTo {
    /// Of the days up to this one, it included.
    pub day: Day,
    /// What went back to it since, and is due with the next, by what is said of it.
    pub back: BTreeMap<String, Fen>,
    /// What was paid out on the day itself, against what was due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Held>,
    /// The same of days that are final, of which it became known later that it was another amount.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub corrected: BTreeMap<Day, Held>,
}

/// What was paid out, against what was due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The day and the payouts' numbers.
    pub name: String,
    /// What was due.
    pub due: Fen,
    /// What was paid out, as is known.
    pub paid: Fen,
}

/// The control totals of a channel's day, of what it pays out, or of a site's.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Totals {
    /// Credits that wait for a line: PENDING and SHORT.
    pub credits: Flow,
    /// Payments on bills that wait for a credit: PENDING, LONG, AMBIGUOUS and DUPLICATE.
    pub payments: Flow,
    /// Refunds on bills.
    pub refunds: Flow,
    /// Pairs that were made on this day, by the amounts that were credited.
    pub matched: Sum,
    /// Credits of days whose bill is not there, without a line: part of PENDING, and not listed one by one.
    pub unlisted: Sum,
    /// The day's bill.
    pub bill: Bill,
    /// What is open, by leg and class, as in `funds LONG`.
    pub classes: BTreeMap<String, Flow>,
    /// A site's day; none of a channel's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<SiteTotals>,
    /// What a channel has paid out; none of others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paid: Option<PaidUpTo>,
}

impl Totals {
    /// The first of the flows that does not close.
    pub fn open_flow(&self) -> Option<&str> {
        let named = [
            ("credits", &self.credits),
            ("payments", &self.payments),
            ("refunds", &self.refunds),
        ];
        let classes = self.classes.iter().map(|(class, flow)| (class.as_str(), flow));
        let mut flows = named.into_iter().chain(classes);
        flows.find(|(_, flow)| !flow.closes()).map(|(name, _)| name)
    }
}

/// One number over many rows, whichever order they come in: the sum of their SHA-256s and of that of nothing, so that no rows have a digest
/// too, and not one that looks like none. No two rows are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digest([u64; 4]);

impl Default for Digest {
    fn default() -> Self {
        let mut digest = Self([0; 4]);
        digest.add("");
        digest
    }
}

impl Digest {
    /// With another row.
    pub fn add(&mut self, row: &str) {
        let hash = digest(&SHA256, row.as_bytes());
        let (words, _) = hash.as_ref().as_chunks::<8>();
        for (sum, word) in self.0.iter_mut().zip(words) {
            *sum = sum.wrapping_add(u64::from_be_bytes(*word));
        }
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|word| write!(f, "{word:016x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn sum(count: i64, fen: i64) -> Sum {
        Sum {
            count,
            amount: Fen(fen),
        }
    }

    #[test]
    fn totals_that_do_not_close_are_named() {
        let credits = Flow {
            opening: sum(3, 300),
            new: sum(2, 50),
            cleared: sum(1, 100),
            written_off: sum(1, 10),
            closing: sum(3, 240),
        };
        let mut totals = Totals {
            credits,
            ..Totals::default()
        };
        assert_eq!(totals.open_flow(), None);
        totals.classes.insert(
            "funds LONG".to_owned(),
            Flow {
                new: sum(1, 5),
                ..Flow::default()
            },
        );
        assert_eq!(totals.open_flow(), Some("funds LONG"));
        totals.credits.closing.amount = Fen(241);
        assert_eq!(totals.open_flow(), Some("credits"), "one fen is enough");
    }

    #[test]
    fn a_digest_is_of_the_rows_and_not_of_their_order() {
        let of = |rows: &[&str]| {
            let mut digest = Digest::default();
            rows.iter().for_each(|row| digest.add(row));
            digest.to_string()
        };
        assert_eq!(of(&["a", "b"]), of(&["b", "a"]));
        assert_ne!(of(&["a", "b"]), of(&["a"]));
        // The SHA-256 of nothing, and with it that of `abc`, ba7816bf8f01cfea….
        assert_eq!(
            of(&[]),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(
            of(&["abc"]),
            "9e28db0227fdebfedc3d35a6f71ddb47d7b1a387fab30de858a6987d6a52ce02"
        );
    }
}
