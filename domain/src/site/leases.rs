//! Money of wallets at the station: what comes free of an order that head office placed goes back in the same step, vouchers
//! are taken once, and what a member owes elsewhere keeps them from starting.

use super::{Answer, Handled, Rejected, Turn};
use crate::{
    fact::{Fact, ReceiptFor},
    head_office::{LeasedBy, Voucher, voucher_receipt},
    ids::{MemberId, OrderId},
    time::Wall,
    units::Fen,
};

/// Who does what head office has decided, where nobody is named.
pub(super) const HEAD_OFFICE: &str = "head office";

impl Turn<'_> {
    /// So much of an order's hold or fee has come free: what head office sent along with the order goes back at once. A
    /// standing lease stays.
    pub(super) fn return_freed(&mut self, id: &OrderId, freed: Fen) {
        let order = self.order(id).expect("an order is settled while in memory");
        let (member, leased) = (order.member.clone(), order.leased);
        let amount = freed.min(leased).min(self.site.rows.ledger.allowance(&member));
        if amount > Fen::ZERO {
            self.journal(Fact::LeaseReturned {
                member,
                amount,
                order: Some(id.clone()),
                directive: None,
            });
        }
    }

    /// A member comes to be head office's here.
    ///
    /// # Errors
    /// One of the station's own has this id: two sites may both have one, and they are not merged by themselves.
    pub(super) fn check_head_offices(&self, member: &MemberId) -> Result<(), Rejected> {
        match self.site.rows.member(member) {
            Some(known) if !known.head_office => Err(Rejected::NotHeadOffices(member.clone())),
            _ => Ok(()),
        }
    }

    /// Makes a member known under this name, where that is news.
    pub(super) fn know_head_offices(&mut self, member: &MemberId, name: &str) {
        let known = self.site.rows.member(member);
        if known.is_none_or(|known| known.name != name || !known.head_office) {
            self.journal(Fact::MemberRegistered {
                member: member.clone(),
                name: name.to_owned(),
                by: HEAD_OFFICE.to_owned(),
                head_office: true,
            });
        }
    }

    /// A driver shows a lease that head office has given them; `epoch` is the journal's now. Shown again it changes nothing.
    pub(super) fn take_voucher(&mut self, voucher: Voucher, epoch: &str) -> Handled {
        let Voucher {
            site: _,
            hq_epoch,
            epoch: of_epoch,
            id,
            member,
            name,
            amount,
            expires_at,
        } = voucher;
        if self.receipt_counted(&voucher_receipt(&id), &member, amount, ReceiptFor::Lease)? {
            return Ok(Answer::Done);
        }
        if self.site.rows.head_office.hq_epoch != Some(hq_epoch) {
            return Err(Rejected::OtherHqEpoch);
        }
        if of_epoch != epoch {
            return Err(Rejected::VoucherBeforeRestore);
        }
        self.check_voucher_open(expires_at)?;
        self.check_positive(amount)?;
        self.check_head_offices(&member)?;
        self.know_head_offices(&member, &name);
        let by = LeasedBy::Voucher { id, hq_epoch };
        self.journal(Fact::LeaseReceived { member, amount, by });
        Ok(Answer::Done)
    }

    /// Whether a voucher may still be taken. The mark alone makes it too old, and not a clock that may be wrong.
    pub(super) fn check_voucher_open(&self, expires_at: Wall) -> Result<(), Rejected> {
        match self.site.rows.head_office.vouchers_closed {
            Some(until) if expires_at <= until => Err(Rejected::VoucherClosed(expires_at)),
            _ => Ok(()),
        }
    }

    /// By head office's clock it is so late at least: what ended by then goes back, so it is not taken any more (rule 16 of the
    /// line).
    pub(super) fn close_vouchers(&mut self, certainly: Wall) -> Handled {
        if self
            .site
            .rows
            .head_office
            .vouchers_closed
            .is_none_or(|until| until < certainly)
        {
            self.journal(Fact::VouchersClosed { until: certainly });
        }
        Ok(Answer::Done)
    }

    /// A receipt of head office was shown at the desk: what a member owes elsewhere is paid. Head office's next word stands
    /// over it.
    pub(super) fn lift_owes(&mut self, member: MemberId, receipt: String, by: String) -> Handled {
        let known = self.site.rows.member(&member);
        let known = known.ok_or_else(|| Rejected::UnknownMember(member.clone()))?;
        if receipt.trim().is_empty() {
            return Err(Rejected::NoReason);
        }
        if known.owes > Fen::ZERO {
            self.journal(Fact::MemberOwes {
                member,
                amount: Fen::ZERO,
                receipt: Some(receipt),
                by,
            });
        }
        Ok(Answer::Done)
    }
}
