//! The desk: its till, shifts and days.

use crate::api::{
    body::{Checked, check_name, check_positive, check_reason},
    problem::Problem,
    wire::{At, Yuan, check_not_negative, described},
};
use domain::{
    desk::{CashMoved, DeskDay, Shift},
    time::Day,
    units::Fen,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The cash in the till was counted.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CountCash {
    /// What was there.
    #[schema(value_type = described::YuanOrNone)]
    pub counted: Yuan,
    /// Why it differs from the books; must be given if it does.
    #[serde(default)]
    pub reason: Option<String>,
}

impl Checked for CountCash {
    fn check(&self) -> Result<(), Problem> {
        check_not_negative("counted", self.counted)?;
        self.reason
            .as_ref()
            .map_or(Ok(()), |reason| check_reason("reason", reason))
    }
}

/// Cash was taken from the till to the bank.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BankCash {
    /// How much; never more than the till holds by the books.
    #[schema(value_type = described::PositiveYuan)]
    pub amount: Yuan,
    /// The number of the bank's slip. A number counts once, for ever: the same sum again changes nothing, another one with
    /// the same number is refused.
    #[schema(example = "B-2026-0301")]
    pub slip: String,
}

impl Checked for BankCash {
    fn check(&self) -> Result<(), Problem> {
        check_positive("amount", self.amount.0.0, self.amount.0)?;
        check_name("slip", &self.slip, 1)
    }
}

/// Cash that moved, by kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CashMovedView {
    /// Members paid in.
    pub topped_up: Yuan,
    /// Members paid what they owed.
    pub debts_paid: Yuan,
    /// Top-ups typed wrong, taken back.
    pub reversed: Yuan,
    /// Taken to the bank.
    pub banked: Yuan,
    /// Counted above the books; negative: below.
    pub over: Yuan,
}

impl From<CashMoved> for CashMovedView {
    fn from(moved: CashMoved) -> Self {
        let CashMoved {
            topped_up,
            debts_paid,
            reversed,
            banked,
            over,
        } = moved;
        Self {
            topped_up: Yuan(topped_up),
            debts_paid: Yuan(debts_paid),
            reversed: Yuan(reversed),
            banked: Yuan(banked),
            over: Yuan(over),
        }
    }
}

/// A count of the till.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CountView {
    /// When.
    pub at: At,
    /// Who counted.
    pub by: String,
    /// What was there.
    pub counted: Yuan,
    /// What should have been there.
    pub by_books: Yuan,
    /// How much more was there; negative: less. It was booked.
    pub difference: Yuan,
    /// Why it differed.
    #[schema(required)]
    pub reason: Option<String>,
}

/// A shift at the desk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ShiftView {
    /// Its number.
    pub shift: u64,
    /// When it was opened.
    pub opened_at: At,
    /// Who took over the desk.
    pub opened_by: String,
    /// What the till held then, by the books.
    pub opening: Yuan,
    /// What moved in it.
    pub moved: CashMovedView,
    /// What the till holds by the books: `opening` and what moved; at the end of a shift that is closed.
    pub till: Yuan,
    /// The last count in it.
    #[schema(required)]
    pub count: Option<CountView>,
    /// No cash has moved since that count, so that the shift can be closed.
    pub is_counted: bool,
    /// When it was closed; `null` while it is open.
    #[schema(required)]
    pub closed_at: Option<At>,
    /// Who closed it.
    #[schema(required)]
    pub closed_by: Option<String>,
}

impl From<&Shift> for ShiftView {
    fn from(shift: &Shift) -> Self {
        let count = shift.count.as_ref().map(|count| CountView {
            at: At(count.at),
            by: count.by.clone(),
            counted: Yuan(count.counted),
            by_books: Yuan(count.by_books),
            difference: Yuan(count.counted - count.by_books),
            reason: count.reason.clone(),
        });
        Self {
            shift: shift.number,
            opened_at: At(shift.opened_at),
            opened_by: shift.opened_by.clone(),
            opening: Yuan(shift.opening),
            moved: shift.moved.into(),
            till: Yuan(shift.till()),
            count,
            is_counted: shift.is_counted,
            closed_at: shift.closed.as_ref().map(|closed| At(closed.at)),
            closed_by: shift.closed.as_ref().map(|closed| closed.by.clone()),
        }
    }
}

/// The desk now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DeskView {
    /// What the till holds by the books.
    pub till: Yuan,
    /// The shift that is open; `null` if there is none. Money may be taken without one.
    #[schema(required)]
    pub shift: Option<ShiftView>,
}

/// What a business day did to the till.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DeskDayView {
    /// The business day.
    #[schema(example = "2026-03-01")]
    pub day: String,
    /// What the till held before, by the books.
    pub opening: Yuan,
    /// What moved in it, with and without a shift.
    pub moved: CashMovedView,
    /// What moved between two parts of it because the clock was set back over it, and belongs to another day; as a rule
    /// `"0.00"`.
    pub elsewhere: Yuan,
    /// How often the till was counted.
    pub counts: u32,
    /// What the till held at its end, or holds now: `opening`, what moved, and `elsewhere`.
    pub closing: Yuan,
}

impl DeskDayView {
    /// Adds up the rows of a day; where there are none, `None`. A row of an earlier day says what the till held.
    pub(in crate::api) fn of(day: Day, rows: &[DeskDay]) -> Option<Self> {
        let (first, last) = (rows.first()?, rows.last()?);
        let own = rows.iter().filter(|row| row.day == day);
        let (mut moved, mut counts) = (CashMoved::default(), 0_u32);
        for row in own {
            moved += row.moved;
            counts = counts.saturating_add(row.counts);
        }
        let closing = last.closing();
        let opening = if first.day == day { first.opening } else { closing };
        let elsewhere: Fen = closing - opening - moved.net();
        Some(Self {
            day: day.to_string(),
            opening: Yuan(opening),
            moved: moved.into(),
            elsewhere: Yuan(elsewhere),
            counts,
            closing: Yuan(closing),
        })
    }
}
