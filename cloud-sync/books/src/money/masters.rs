//! Who a member is, whether they are served, and which cards are theirs: head office decides, and sites are told.

use super::{Decided, Money, Refused};
use crate::store::{
    StoreError,
    at_sites::{self, AtSite},
    members::{self, Card, Member},
    placings::{self, Placing},
};
use domain::{
    head_office::Directive,
    ids::{CardId, MemberId, OrderId, SiteId},
    time::Wall,
};

impl Money<'_> {
    /// Freezes a wallet, or lets it go: then it pays what is owed. Whether there is such a member.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn freeze(&mut self, member: &MemberId, why: Option<&str>) -> Result<bool, StoreError> {
        if members::hold(self.tx, member)?.is_none() {
            return Ok(false);
        }
        members::freeze(self.tx, member, why)?;
        if why.is_none() {
            self.wallet_moved(member)?;
        }
        Ok(true)
    }

    /// Puts a member on the blacklist, or takes them off; sites that know them are told. Whether there is such a member.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn block(&mut self, member: &MemberId, why: Option<&str>) -> Result<bool, StoreError> {
        if members::hold(self.tx, member)?.is_none() {
            return Ok(false);
        }
        members::block(self.tx, member, why)?;
        for at in at_sites::of_member(self.tx, member)? {
            self.tell_blocked_at(member, why, &at)?;
        }
        Ok(true)
    }

    /// Tells a site whether the member is on the blacklist, where neither its row says so nor what is on its way there.
    fn tell_blocked_at(&mut self, member: &MemberId, why: Option<&str>, at: &AtSite) -> Result<(), StoreError> {
        let known = match self.last_told(&at.site, "block", member.as_str())? {
            Some(Directive::Block { reason, .. }) => reason,
            _ => at.blocked.clone(),
        };
        if known.as_deref() != why {
            let block = Directive::Block {
                member: member.clone(),
                reason: why.map(str::to_owned),
                by: self.by.clone(),
            };
            // A site that was closed serves nobody.
            let _gone = self.direct(&at.site, &block)?;
        }
        Ok(())
    }

    /// A site has come to know a member as head office's, by whichever way: it is told all there is to know of them. What was told
    /// to the sites that knew them before has not reached this one.
    pub(super) fn known_at(&mut self, member: &Member, site: &SiteId) -> Result<(), StoreError> {
        let at_sites = at_sites::of_member(self.tx, &member.id)?;
        let Some(at) = at_sites.into_iter().find(|at| at.site == *site) else {
            return Ok(());
        };
        self.tell_blocked_at(&member.id, member.blocked.as_deref(), &at)?;
        self.tell_owed_at(member, &at)?;
        for card in members::cards_of(self.tx, &member.id)? {
            let told = match self.last_told(site, "card", card.id.as_str())? {
                Some(Directive::Card { member, .. }) => member,
                _ => at_sites::holder(self.tx, site, &card.id)?,
            };
            if told.as_ref() != Some(&member.id) {
                self.tell_card(site, &card)?;
            }
        }
        Ok(())
    }

    /// Gives a card to a member, or takes it back; every site is told.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_card(&mut self, id: &CardId, member: Option<&MemberId>) -> Decided<()> {
        if let Some(member) = member
            && members::hold(self.tx, member)?.is_none()
        {
            return Ok(Err(Refused::UnknownMember(member.clone())));
        }
        let card = Card {
            id: id.clone(),
            member: member.cloned(),
            given_by: self.by.clone(),
            given_at: self.now,
        };
        members::put_card(self.tx, &card)?;
        for site in self.open_sites()? {
            self.tell_card(&site, &card)?;
        }
        Ok(Ok(()))
    }

    /// Tells a site that has come in of all cards.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn tell_all_cards(&mut self, site: &SiteId) -> Result<(), StoreError> {
        for card in members::cards(self.tx)? {
            self.tell_card(site, &card)?;
        }
        Ok(())
    }

    fn tell_card(&mut self, site: &SiteId, card: &Card) -> Result<(), StoreError> {
        // It would be the card of somebody else who has this id there (rule 13).
        if let Some(member) = &card.member
            && at_sites::has_its_own(self.tx, site, member)?
        {
            return Ok(());
        }
        if let Some(member) = &card.member
            && let Some(found) = members::find(self.tx, member)?
            && !self.sites_of(member)?.contains(site)
        {
            // A site gives a card to members that it knows.
            let _told_later = self.direct(
                site,
                &Directive::Member {
                    member: member.clone(),
                    name: found.name,
                    adopt: false,
                },
            )?;
        }
        let _told_later = self.direct(
            site,
            &Directive::Card {
                card: card.id.clone(),
                member: card.member.clone(),
                by: card.given_by.clone(),
            },
        )?;
        Ok(())
    }

    /// An admin says that the station's own member of this id is head office's from now on (rule 13; decision 0050: never one of another
    /// id).
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn adopt(&mut self, site: &SiteId, member: &MemberId) -> Decided<()> {
        let Some(found) = members::hold(self.tx, member)? else {
            return Ok(Err(Refused::UnknownMember(member.clone())));
        };
        let directive = Directive::Member {
            member: member.clone(),
            name: found.name,
            adopt: true,
        };
        Ok(self.direct(site, &directive)?.map(drop))
    }

    /// An order on its way, and the time.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn placing(&mut self, order: &OrderId) -> Result<Option<(Placing, Wall)>, StoreError> {
        let found = placings::find(self.tx, order)?;
        Ok(found.map(|placing| (placing, self.now)))
    }
}
