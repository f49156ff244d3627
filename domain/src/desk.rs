//! The desk's cash: shifts, and what moved on each business day. Both add up the facts that move the account `cash`.
//! What they say of the till is what the account says, and the station checks that after every step.

use crate::{
    contradiction::Contradicts,
    fact::{Fact, PaidFrom},
    journal::Stamp,
    time::{Day, Wall},
    units::Fen,
};
use serde::{Deserialize, Serialize};
use std::ops::{AddAssign, Deref};

/// Cash that moved, by kind, in fen. All but `over` are zero or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CashMoved {
    /// Members paid in.
    pub topped_up: Fen,
    /// Members paid what they owed.
    pub debts_paid: Fen,
    /// Top-ups typed wrong were taken back.
    pub reversed: Fen,
    /// Taken to the bank.
    pub banked: Fen,
    /// Counted above the books; negative: below.
    pub over: Fen,
}

impl CashMoved {
    /// What one fact moved; `None` where it is not about cash.
    pub fn by(fact: &Fact) -> Option<Self> {
        let nothing = Self::default();
        Some(match fact {
            Fact::ToppedUp { amount, .. } => Self {
                topped_up: *amount,
                ..nothing
            },
            Fact::DebtPaid {
                from: PaidFrom::Cash,
                amount,
                ..
            } => Self {
                debts_paid: *amount,
                ..nothing
            },
            Fact::TopUpReversed { amount, .. } => Self {
                reversed: *amount,
                ..nothing
            },
            Fact::CashBanked { amount, .. } => Self {
                banked: *amount,
                ..nothing
            },
            Fact::CashCounted { difference, .. } => Self {
                over: *difference,
                ..nothing
            },
            _ => return None,
        })
    }

    /// By how much the till has more than before; negative: less.
    pub fn net(&self) -> Fen {
        self.topped_up + self.debts_paid - self.reversed - self.banked + self.over
    }
}

impl AddAssign for CashMoved {
    fn add_assign(&mut self, other: Self) {
        let Self {
            topped_up,
            debts_paid,
            reversed,
            banked,
            over,
        } = other;
        self.topped_up += topped_up;
        self.debts_paid += debts_paid;
        self.reversed += reversed;
        self.banked += banked;
        self.over += over;
    }
}

/// The till was counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// When.
    pub at: Wall,
    /// Who counted.
    pub by: String,
    /// What was there.
    pub counted: Fen,
    /// What should have been there.
    pub by_books: Fen,
    /// Why it differed, if it did.
    pub reason: Option<String>,
}

/// Whoever had the desk left it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closing {
    /// When.
    pub at: Wall,
    /// Who closed the shift.
    pub by: String,
}

/// Everything that is kept of a shift. Whoever holds a [`Shift`] reads these fields; only facts write them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShiftRow {
    /// Its number: the journal number of the fact that opened it.
    pub number: u64,
    /// When it was opened.
    pub opened_at: Wall,
    /// Who took over the desk.
    pub opened_by: String,
    /// What the till held then, by the books.
    pub opening: Fen,
    /// What has moved since.
    pub moved: CashMoved,
    /// The last count in it.
    pub count: Option<Count>,
    /// No cash has moved since that count.
    pub is_counted: bool,
    /// How it ended; `None` while it is open.
    pub closed: Option<Closing>,
}

impl ShiftRow {
    /// What the till holds by the books: at the end of the shift once it is closed.
    pub fn till(&self) -> Fen {
        self.opening + self.moved.net()
    }
}

/// A shift at the desk. Its fields can be read; facts change them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Shift(ShiftRow);

impl Deref for Shift {
    type Target = ShiftRow;

    fn deref(&self) -> &ShiftRow {
        &self.0
    }
}

impl Shift {
    /// The shift that [`Fact::ShiftOpened`] begins.
    ///
    /// # Panics
    /// If it is another fact.
    pub(crate) fn opened(stamp: Stamp, fact: &Fact) -> Self {
        let Fact::ShiftOpened { till, by } = fact else {
            unreachable!("called for ShiftOpened alone")
        };
        Self(ShiftRow {
            number: stamp.seq,
            opened_at: stamp.at,
            opened_by: by.clone(),
            opening: *till,
            moved: CashMoved::default(),
            count: None,
            is_counted: false,
            closed: None,
        })
    }

    /// Takes a fact that happened during this shift into account. Facts that are not about cash change nothing.
    ///
    /// # Errors
    /// It closes a shift whose till was not counted: it was decided on another row.
    pub(crate) fn apply(&mut self, stamp: Stamp, fact: &Fact) -> Result<(), Contradicts> {
        let shift = &mut self.0;
        if let Some(moved) = CashMoved::by(fact) {
            shift.moved += moved;
            shift.is_counted = false;
        }
        match fact {
            Fact::CashCounted {
                counted,
                by_books,
                reason,
                by,
                ..
            } => {
                shift.count = Some(Count {
                    at: stamp.at,
                    by: by.clone(),
                    counted: *counted,
                    by_books: *by_books,
                    reason: reason.clone(),
                });
                shift.is_counted = true;
            }
            Fact::ShiftClosed { by, .. } => {
                if !shift.is_counted {
                    return Err(Contradicts::NotCounted(shift.number));
                }
                shift.closed = Some(Closing {
                    at: stamp.at,
                    by: by.clone(),
                });
            }
            _ => {}
        }
        Ok(())
    }
}

/// What a business day did to the till. A clock that was set back makes two rows of one day: before, and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeskDay {
    /// Which day.
    pub day: Day,
    /// The journal number of the first cash that moved in it, with which this row begins.
    pub first: u64,
    /// What the till held before that, by the books.
    pub opening: Fen,
    /// What moved.
    pub moved: CashMoved,
    /// How often the till was counted.
    pub counts: u32,
}

impl DeskDay {
    /// A day in which no cash has moved yet.
    pub(crate) fn begin(day: Day, stamp: Stamp, till: Fen) -> Self {
        Self {
            day,
            first: stamp.seq,
            opening: till,
            moved: CashMoved::default(),
            counts: 0,
        }
    }

    /// Takes a fact of this day into account.
    pub(crate) fn apply(&mut self, fact: &Fact) {
        if let Some(moved) = CashMoved::by(fact) {
            self.moved += moved;
        }
        self.counts = self
            .counts
            .saturating_add(u32::from(matches!(fact, Fact::CashCounted { .. })));
    }

    /// What the till holds by the books after all that moved.
    pub fn closing(&self) -> Fen {
        self.opening + self.moved.net()
    }
}

/// Which shift is open, and which row of a day goes on: their rows are in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Desk {
    /// The number of the open shift.
    pub shift: Option<u64>,
    /// The row of the business day, once cash has moved in it.
    pub day: Option<(Day, u64)>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Mono;

    fn stamp(seq: u64) -> Stamp {
        Stamp {
            seq,
            at: Wall(0),
            mono: Mono(0),
        }
    }

    fn topped_up(amount: i64) -> Fact {
        Fact::ToppedUp {
            member: "m".parse().unwrap(),
            amount: Fen(amount),
            receipt: "r".to_owned(),
            by: "alice".to_owned(),
        }
    }

    fn counted(counted: i64, by_books: i64) -> Fact {
        Fact::CashCounted {
            counted: Fen(counted),
            by_books: Fen(by_books),
            difference: Fen(counted - by_books),
            reason: None,
            by: "alice".to_owned(),
        }
    }

    #[test]
    fn a_shift_is_what_it_opened_with_and_what_moved_since() {
        let opened = Fact::ShiftOpened {
            till: Fen(1_000),
            by: "alice".to_owned(),
        };
        let mut shift = Shift::opened(stamp(7), &opened);
        let mut day = DeskDay::begin(Day::parse("2026-03-01").unwrap(), stamp(8), Fen(1_000));
        let banked = Fact::CashBanked {
            amount: Fen(900),
            slip: "s".to_owned(),
            by: "alice".to_owned(),
        };
        let reversed = Fact::TopUpReversed {
            member: "m".parse().unwrap(),
            receipt: "r".to_owned(),
            amount: Fen(20),
            missing: Fen::ZERO,
            reason: "typed wrong".to_owned(),
            by: "alice".to_owned(),
        };
        for fact in [topped_up(500), reversed, counted(1_470, 1_480), banked] {
            shift.apply(stamp(9), &fact).unwrap();
            day.apply(&fact);
        }
        assert_eq!((shift.till(), day.closing()), (Fen(570), Fen(570)));
        assert_eq!(shift.moved, day.moved);
        assert_eq!((shift.moved.over, day.counts), (Fen(-10), 1));
        assert!(!shift.is_counted, "cash went to the bank after the count");
        shift.apply(stamp(10), &counted(570, 570)).unwrap();
        assert!(shift.is_counted);
    }

    #[test]
    fn a_shift_that_was_not_counted_is_not_closed() {
        let opened = Fact::ShiftOpened {
            till: Fen::ZERO,
            by: "alice".to_owned(),
        };
        let mut shift = Shift::opened(stamp(1), &opened);
        let closed = Fact::ShiftClosed {
            shift: 1,
            till: Fen::ZERO,
            by: "alice".to_owned(),
        };
        assert_eq!(shift.apply(stamp(2), &closed), Err(Contradicts::NotCounted(1)));
    }

    #[test]
    fn what_is_paid_out_of_an_allowance_moves_no_cash() {
        let paid = Fact::DebtPaid {
            member: "m".parse().unwrap(),
            order: "o".parse().unwrap(),
            amount: Fen(5),
            from: PaidFrom::Allowance,
            receipt: String::new(),
            by: "alice".to_owned(),
            directive: None,
        };
        assert_eq!(CashMoved::by(&paid), None);
    }
}
