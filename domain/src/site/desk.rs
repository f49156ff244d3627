//! The desk: shifts that are opened, counted and closed, cash that goes to the bank, and top-ups typed wrong.
//! Money may be taken without a shift; it then shows in the business day alone.

use super::{Answer, Handled, Rejected, Turn};
use crate::{
    fact::{Fact, ReceiptFor},
    ids::MemberId,
    units::Fen,
};

/// In how many parts one top-up may be taken back.
const REVERSALS_MAX: usize = 16;

impl Turn<'_> {
    /// Takes back what is left of a top-up, or a part of it, as far as the member still has it. What a member of head office's has not is
    /// written down, once.
    pub(super) fn reverse_top_up(
        &mut self,
        member: MemberId,
        receipt: String,
        amount: Option<Fen>,
        reason: String,
        by: String,
    ) -> Handled {
        let rows = &self.site.rows;
        let Some(known) = rows.member(&member) else {
            return Err(Rejected::UnknownMember(member));
        };
        let has_wallet = known.head_office;
        let used = rows.receipts.get(&receipt).cloned().flatten();
        let used = used.ok_or_else(|| Rejected::UnknownReceipt(receipt.clone()))?;
        if used.paid != ReceiptFor::TopUp {
            return Err(Rejected::NotATopUp { receipt, used });
        }
        if used.member != member {
            return Err(Rejected::ReceiptUsed { receipt, used });
        }
        if reason.trim().is_empty() {
            return Err(Rejected::NoReason);
        }
        let left = used.left();
        // What is left can be taken back once. Of a part nothing tells a second one from the same asked again but the key
        // that the request came with, which the edge looks at: two parts may have the same sum and the same words.
        if amount.is_none() && left == Fen::ZERO {
            return Ok(Answer::Done);
        }
        let amount = amount.unwrap_or(left);
        self.check_positive(amount)?;
        let there = self.site.rows.ledger.allowance(&member);
        // What a member of head office's has not here any more head office settles with their wallet (rule 20 of the line).
        let most = if has_wallet { left } else { left.min(there) };
        if amount > most {
            return Err(Rejected::TooMuch { amount, most });
        }
        let taken = amount.min(there);
        if used.reversals.len() >= REVERSALS_MAX {
            return Err(Rejected::TooManyReversals {
                receipt,
                most: REVERSALS_MAX,
            });
        }
        self.journal(Fact::TopUpReversed {
            member,
            receipt,
            amount: taken,
            missing: amount - taken,
            reason,
            by,
        });
        Ok(Answer::Done)
    }

    pub(super) fn open_shift(&mut self, by: String) -> Handled {
        if let Some(open) = self.site.rows.open_shift() {
            return Err(Rejected::ShiftIsOpen {
                shift: open.number,
                by: open.opened_by.clone(),
                since: open.opened_at,
            });
        }
        let till = self.site.rows.till();
        self.journal(Fact::ShiftOpened { till, by });
        Ok(Answer::Done)
    }

    /// Books what the till differs from the books, with a reason.
    pub(super) fn count_cash(&mut self, counted: Fen, reason: Option<String>, by: String) -> Handled {
        if counted.is_negative() {
            return Err(Rejected::NotPositive(counted));
        }
        self.check_amount_size(counted)?;
        let by_books = self.site.rows.till();
        let difference = counted - by_books;
        let reason = reason.filter(|reason| !reason.trim().is_empty());
        if difference != Fen::ZERO && reason.is_none() {
            return Err(Rejected::CountDiffers { counted, by_books });
        }
        self.journal(Fact::CashCounted {
            counted,
            by_books,
            difference,
            reason,
            by,
        });
        Ok(Answer::Done)
    }

    /// The same slip with the same sum again is the same cash, and changes nothing.
    pub(super) fn bank_cash(&mut self, amount: Fen, slip: String, by: String) -> Handled {
        self.check_positive(amount)?;
        if let Some(used) = self.site.rows.slips.get(&slip).cloned().flatten() {
            return if used.amount == amount {
                Ok(Answer::Done)
            } else {
                Err(Rejected::SlipUsed { slip, used })
            };
        }
        let most = self.site.rows.till().max(Fen::ZERO);
        if amount > most {
            return Err(Rejected::TooMuch { amount, most });
        }
        self.journal(Fact::CashBanked { amount, slip, by });
        Ok(Answer::Done)
    }

    pub(super) fn close_shift(&mut self, by: String) -> Handled {
        let open = self.site.rows.open_shift().ok_or(Rejected::NoShift)?;
        if !open.is_counted {
            return Err(Rejected::ShiftNotCounted(open.number));
        }
        let (shift, till) = (open.number, open.till());
        self.journal(Fact::ShiftClosed { shift, till, by });
        Ok(Answer::Done)
    }
}
