//! Money to a site and back. A lease is a transfer, never a limit: what is at a site is spent there and nowhere else.

use super::{AMOUNT_MAX, Decided, Line, Money, Refused, VOUCHER_MS_MAX};
use crate::store::{
    StoreError, at_sites,
    issues::{self, Issue, Kind},
    members,
};
use domain::{
    head_office::{Directive, DirectiveNo, Voucher},
    ids::{MemberId, SiteId},
    time::Wall,
    units::Fen,
};

/// A voucher that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vouchered {
    /// What it says: it is signed by whoever hands it out.
    pub voucher: Voucher,
}

impl Money<'_> {
    /// Leases money of a wallet to a site.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn lease(&mut self, member: &MemberId, site: &SiteId, amount: Fen) -> Decided<DirectiveNo> {
        let found = match self.spender(member)? {
            Ok(found) => found,
            Err(refused) => return Ok(Err(refused)),
        };
        let line = match self.money_line(site)? {
            Ok(line) => line,
            Err(refused) => return Ok(Err(refused)),
        };
        if let Err(refused) = self.has(member, amount)? {
            return Ok(Err(refused));
        }
        self.lease_as(Kind::Lease, &line, member, &found.name, amount).map(Ok)
    }

    /// Leases money that is there.
    pub(super) fn lease_as(
        &mut self,
        kind: Kind,
        line: &Line,
        member: &MemberId,
        name: &str,
        amount: Fen,
    ) -> Result<DirectiveNo, StoreError> {
        let directive = Directive::Lease {
            member: member.clone(),
            name: name.to_owned(),
            amount,
            voucher: None,
        };
        let no = self.issue(line, &directive)?;
        let id = issues::of_directive(&line.site.id, no);
        let issue = self.new_issue(id, line, member, kind, amount);
        self.send(&issue)?;
        Ok(no)
    }

    /// Whether so much of a wallet can be spent now.
    pub(super) fn has(&mut self, member: &MemberId, wanted: Fen) -> Decided<()> {
        debug_assert!(wanted > Fen::ZERO && wanted <= AMOUNT_MAX, "whoever asks has looked");
        let has = self.spendable(member)?;
        if has >= wanted {
            return Ok(Ok(()));
        }
        let lies = self.lies(member)?;
        Ok(Err(Refused::TooLittle {
            member: member.clone(),
            has,
            wanted,
            lies,
        }))
    }

    /// What of a member's money lies at sites and is not reserved.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn lies(&mut self, member: &MemberId) -> Result<Vec<(SiteId, Fen)>, StoreError> {
        let at_sites = at_sites::of_member(self.tx, member)?.into_iter();
        let lies = at_sites.filter(|at| at.allowance > Fen::ZERO);
        Ok(lies.map(|at| (at.site, at.allowance)).collect())
    }

    /// The sites that know a member as head office's.
    pub(super) fn sites_of(&mut self, member: &MemberId) -> Result<Vec<SiteId>, StoreError> {
        let at_sites = at_sites::of_member(self.tx, member)?.into_iter();
        Ok(at_sites.map(|at| at.site).collect())
    }

    /// Asks a site for money back: as much as is not reserved there, at most so much. It is free when the site's journal says so.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn recall(&mut self, member: &MemberId, site: &SiteId, up_to: Fen) -> Decided<DirectiveNo> {
        self.direct(
            site,
            &Directive::Recall {
                member: member.clone(),
                up_to,
            },
        )
    }

    /// Moves money of a wallet into a driver's hands, for one site, until a time, which is at most 24 hours away: the rules of a site
    /// that was away count on that (rules 4 and 11).
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn voucher(
        &mut self,
        member: &MemberId,
        site: &SiteId,
        amount: Fen,
        expires_at: Wall,
        id: String,
    ) -> Decided<Vouchered> {
        let found = match self.spender(member)? {
            Ok(found) => found,
            Err(refused) => return Ok(Err(refused)),
        };
        let line = match self.money_line(site)? {
            Ok(line) => line,
            Err(refused) => return Ok(Err(refused)),
        };
        // It is for one run of the site's journal, which has to be known.
        let Some(epoch) = line.site.epoch.clone() else {
            return Ok(Err(Refused::NeverHeard(site.clone())));
        };
        // It ends at a whole second, as it stands in the voucher.
        let ends = Wall(expires_at.0 - expires_at.0.rem_euclid(1_000));
        if ends <= self.now || ends > self.now.after_ms(VOUCHER_MS_MAX) {
            return Ok(Err(Refused::VoucherEnds { ends, now: self.now }));
        }
        if let Some(closed) = at_sites::vouchers_closed(self.tx, site)?
            && ends <= closed
        {
            return Ok(Err(Refused::MarkAhead {
                site: site.clone(),
                closed,
                ends,
            }));
        }
        if let Err(refused) = self.has(member, amount)? {
            return Ok(Err(refused));
        }
        let issue = Issue {
            expires_at: Some(ends),
            epoch: Some(epoch.clone()),
            ..self.new_issue(id.clone(), &line, member, Kind::Voucher, amount)
        };
        self.send(&issue)?;
        let voucher = Voucher {
            site: site.clone(),
            hq_epoch: line.hq_epoch,
            epoch,
            id,
            member: member.clone(),
            name: found.name,
            amount,
            expires_at: ends,
        };
        Ok(Ok(Vouchered { voucher }))
    }

    /// A voucher that was handed out, to be shown again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn voucher_again(&mut self, member: &MemberId, id: &str) -> Result<Option<Vouchered>, StoreError> {
        let Some(issue) = issues::find(self.tx, id)? else {
            return Ok(None);
        };
        let name = members::find(self.tx, member)?.map(|found| found.name);
        let Issue {
            site,
            member: of,
            kind: Kind::Voucher,
            amount,
            expires_at: Some(expires_at),
            epoch: Some(epoch),
            hq_epoch,
            id,
            ..
        } = issue
        else {
            return Ok(None);
        };
        let Some(name) = name.filter(|_| of == *member) else {
            return Ok(None);
        };
        let voucher = Voucher {
            site,
            hq_epoch,
            epoch,
            id,
            member: of,
            name,
            amount,
            expires_at,
        };
        Ok(Some(Vouchered { voucher }))
    }
}
