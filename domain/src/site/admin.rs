//! What people at the station set up: piles, members, cards, tariffs, money at the desk.

use super::{Answer, Effect, Handled, Rejected, Turn};
use crate::{
    card::Card,
    fact::{Fact, ReceiptFor},
    ids::{CardId, MemberId, Outlet, PileId},
    pile::Connector,
    tariff::Tariff,
    units::Fen,
};

impl Turn<'_> {
    pub(super) fn register_member(&mut self, member: MemberId, name: String, by: String) -> Handled {
        let known = self.site.rows.member(&member);
        if known.is_some_and(|known| known.name == name) {
            return Ok(Answer::Done);
        }
        if known.is_some_and(|known| known.head_office) {
            self.check_own("the name of a member of its own")?;
        }
        if known.is_none() {
            self.check_id_of_desk(&member)?;
        }
        self.journal(Fact::MemberRegistered {
            member,
            name,
            by,
            head_office: false,
        });
        Ok(Answer::Done)
    }

    /// What head office owns is not done here by itself.
    pub(super) fn check_own(&self, what: &'static str) -> Result<(), Rejected> {
        match self.policy().head_office {
            true => Err(Rejected::HeadOfficeOwns(what)),
            false => Ok(()),
        }
    }

    /// Ids of members that are made at a desk carry the site's number, so that two desks never make the same one.
    fn check_id_of_desk(&self, member: &MemberId) -> Result<(), Rejected> {
        match (self.policy().head_office, self.policy().site_number) {
            (false, _) => Ok(()),
            (true, None) => Err(Rejected::HeadOfficeOwns(
                "registering members, until the site has its number,",
            )),
            (true, Some(site)) if member.as_str().starts_with(&format!("s{site}_")) => Ok(()),
            (true, Some(site)) => Err(Rejected::NotThisSitesMember {
                member: member.clone(),
                site,
            }),
        }
    }

    pub(super) fn block_member(&mut self, member: MemberId, reason: Option<String>, by: String) -> Handled {
        let known = self
            .site
            .rows
            .member(&member)
            .ok_or_else(|| Rejected::UnknownMember(member.clone()))?;
        if reason.as_ref().is_some_and(|reason| reason.trim().is_empty()) {
            return Err(Rejected::NoReason);
        }
        if known.blocked != reason {
            self.journal(Fact::MemberBlocked {
                member,
                reason,
                by,
                head_office: false,
            });
        }
        Ok(Answer::Done)
    }

    pub(super) fn top_up(&mut self, member: MemberId, amount: Fen, receipt: String, by: String) -> Handled {
        self.site
            .rows
            .member(&member)
            .ok_or_else(|| Rejected::UnknownMember(member.clone()))?;
        self.check_positive(amount)?;
        if self.receipt_counted(&receipt, &member, amount, ReceiptFor::TopUp)? {
            return Ok(Answer::Done);
        }
        self.journal(Fact::ToppedUp {
            member,
            amount,
            receipt,
            by,
        });
        Ok(Answer::Done)
    }

    pub(super) fn bind_card(&mut self, card: CardId, member: MemberId, by: String) -> Handled {
        self.check_own("giving out cards")?;
        self.hand_card(card, member, by)
    }

    /// The card is this member's from now on.
    pub(super) fn hand_card(&mut self, card: CardId, member: MemberId, by: String) -> Handled {
        self.site
            .rows
            .member(&member)
            .ok_or_else(|| Rejected::UnknownMember(member.clone()))?;
        let known = self.site.rows.card(&card);
        if known.and_then(Card::holder) != Some(&member) {
            self.journal(Fact::CardBound { card, member, by });
        }
        Ok(Answer::Done)
    }

    pub(super) fn unbind_card(&mut self, card: CardId, by: String) -> Handled {
        self.check_own("taking back cards")?;
        self.take_card(card, by)
    }

    /// The card is nobody's from now on.
    pub(super) fn take_card(&mut self, card: CardId, by: String) -> Handled {
        if self.site.rows.card(&card).and_then(Card::holder).is_none() {
            return Err(Rejected::UnknownCard(card));
        }
        self.journal(Fact::CardUnbound { card, by });
        Ok(Answer::Done)
    }

    /// A tariff version may take effect now or later; the very first one may have been in force for long.
    pub(super) fn add_tariff(&mut self, tariff: Tariff, by: String) -> Handled {
        let spec = tariff.spec();
        if let Some(known) = self.site.rows.tariffs.get(&spec.id) {
            let same = *known == tariff;
            return if same {
                Ok(Answer::Done)
            } else {
                Err(Rejected::TariffExists(spec.id.clone()))
            };
        }
        if !self.site.rows.tariffs.is_empty() && spec.effective_from < self.site.tariff_time(self.now) {
            return Err(Rejected::TariffInThePast(spec.id.clone()));
        }
        self.journal(Fact::TariffAdded { tariff, by });
        let piles: Vec<PileId> = self.site.live.piles.keys().cloned().collect();
        for pile in piles {
            if self.site.live.is_online(&pile) {
                self.tell_prices(&pile);
            }
        }
        Ok(Answer::Done)
    }

    pub(super) fn provision_pile(&mut self, pile: PileId, by: String) -> Handled {
        if self.known_pile(&pile).is_err() {
            self.journal(Fact::PileProvisioned { pile, by });
        }
        Ok(Answer::Done)
    }

    pub(super) fn remove_pile(&mut self, pile: PileId, by: String) -> Handled {
        self.known_pile(&pile)?;
        let running = self.site.live.occupied.range(pile.outlets()).next();
        if let Some((_, order)) = running {
            return Err(Rejected::PileBusy {
                pile,
                order: order.clone(),
            });
        }
        self.journal(Fact::PileRemoved { pile: pile.clone(), by });
        self.outcome.effects.push(Effect::Disconnect { pile });
        Ok(Answer::Done)
    }

    pub(super) fn set_maintenance(&mut self, pile: PileId, reason: Option<String>, by: String) -> Handled {
        self.known_pile(&pile)?;
        if reason.as_ref().is_some_and(|reason| reason.trim().is_empty()) {
            return Err(Rejected::NoReason);
        }
        let known = self.site.rows.piles.get(&pile).and_then(|row| row.maintenance.as_ref());
        if known.map(|maintenance| &maintenance.reason) != reason.as_ref() {
            let pile = pile.clone();
            let reason = reason.clone();
            self.journal(Fact::MaintenanceSet {
                pile,
                reason,
                by: by.clone(),
            });
        }
        if reason.is_none() {
            self.renew_budget(&pile, &by);
            // Also where it was not fenced off: it is the way out of a fault that nothing else ends.
            self.put_back_to_work(&pile);
        }
        Ok(Answer::Done)
    }

    /// A person has looked at a pile's meter: its registers are where the pile reads them, whatever was believed or marked.
    /// Asking again changes nothing.
    pub(super) fn clear_meter(&mut self, pile: PileId, reason: String, by: String) -> Handled {
        self.known_pile(&pile)?;
        if reason.trim().is_empty() {
            return Err(Rejected::NoReason);
        }
        let row = self.site.rows.piles.get(&pile);
        let doubted = row.is_some_and(|row| {
            let elsewhere = |connector: &Connector| connector.rollback.is_some() || connector.jump.is_some();
            row.meter_abnormal.is_some() || row.connectors.values().any(elsewhere)
        });
        let watches = self.site.live.registers.range(pile.outlets());
        let heard: Vec<(Outlet, bool)> = watches
            .map(|(outlet, watch)| (outlet.clone(), watch.doubt().is_some() || watch.left().is_some()))
            .collect();
        let mut waits = doubted || heard.iter().any(|(_, waits)| *waits);
        let mut registers = Vec::new();
        for (outlet, _) in heard {
            let known = self
                .site
                .rows
                .connector(&outlet)
                .and_then(|connector| connector.register);
            let read = self.believe_latest(&outlet);
            waits |= read.is_some() && read != known;
            registers.extend(read.map(|read| (outlet.connector, read)));
        }
        if waits {
            self.journal(Fact::MeterCleared {
                pile,
                registers,
                reason,
                by,
            });
        }
        Ok(Answer::Done)
    }
}
