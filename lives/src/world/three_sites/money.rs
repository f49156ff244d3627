//! What members and people do with money at head office: they pay in, order at sites where they are, lease, recall, carry vouchers
//! and show them; wallets are frozen and let go, members blocked. Wherever money races something else they are early or late on
//! purpose.

use super::{
    super::{
        HOUR, MINUTE, SECOND, Time,
        drivers::{CONNECTOR, TRAVELLERS, Want, card_of, traveller},
        people::Asked,
        station,
    },
    Event, ThreeSites,
    coverage::Mishap,
    races::Race,
};
use books::{
    money::{Callback, Credited, Decided, LongCredit, Money, Order, Paid, Placed, Refused},
    store::{StoreError, at_sites, identity, issues, ledger, members, topups},
};
use domain::{
    fact::PaidFrom,
    ids::{MemberId, OrderId, Outlet, SiteId},
    site::Rejected,
    units::Fen,
};
use protocol::voucher;
use std::collections::BTreeSet;

/// The channel through which members pay in.
pub(super) const CHANNEL: &str = "wechat";
/// Whoever works at head office.
const WHO: &str = "li";
/// A voucher that is shown so short before or after its end is on its way back for all that head office knows.
const NEAR_ITS_END_MS: i64 = 15 * 60_000;

/// Something that somebody does.
pub(super) enum Deed {
    /// Whatever comes to somebody's mind, and then the next.
    Anything,
    /// A driver has taken the phone out at a site.
    Asks { site: usize, want: Want },
    /// A driver shows a voucher at a site, and places an order with it if they want one.
    Shows {
        site: usize,
        text: String,
        want: Option<Want>,
    },
    /// An order is stopped by phone.
    Stops { site: usize, order: OrderId },
    /// Somebody looks at orders that were charged.
    AfterSales,
    /// Head office does what it does once in an hour.
    KeepsRules,
    /// Two people credit what a channel was paid and head office has forgotten.
    CreditsForgotten,
    /// A person has head office sign with another key, and asks again until it does.
    RotatesKey,
    /// A wallet that was frozen is let go.
    LetsGo(MemberId),
    /// A member who was blocked may charge again.
    Unblocks(MemberId),
}

type Step = Result<(), String>;

impl ThreeSites {
    /// Members are there before the first site is, with money and cards.
    pub(super) fn members_join(&mut self) -> Step {
        for who in TRAVELLERS {
            let (member, name, now) = (traveller(who), who.to_owned(), self.clock().wall);
            self.office
                .write(move |tx| members::put(tx, &member, &name, WHO, now))?;
            let amount = self.between(3_000, 15_000);
            self.pays_in(traveller(who), amount)?;
        }
        for who in &TRAVELLERS[..4] {
            let (card, member) = (card_of(who), traveller(who));
            self.money(move |money| money.put_card(&card, Some(&member)))?;
        }
        let first = self.between(5 * MINUTE, 20 * MINUTE);
        self.after(first, Event::Deed(Deed::Anything));
        self.after(HOUR, Event::Deed(Deed::AfterSales));
        self.after(HOUR, Event::Deed(Deed::KeepsRules));
        if self.rotates_key {
            let first = self.between(HOUR, 8 * HOUR);
            self.after(first, Event::Deed(Deed::RotatesKey));
        }
        Ok(())
    }

    /// What waits for money in vain ends, and who owes something pays again: as the daemon's hourly tasks do. What lies idle comes back
    /// after a fortnight only; no life is so long.
    fn keeps_rules(&mut self) -> Step {
        self.money(|money| money.end_overdue().map(drop))?;
        self.money(|money| money.end_keys())?;
        for member in self.office.read(|tx| at_sites::owing(tx, None))? {
            self.money(move |money| money.wallet_moved(&member))?;
        }
        Ok(())
    }

    /// `holdfast-central key rotate`, and a backup after it (decision 0053): what is announced, and then in use, is in no older copy.
    fn rotates_key(&mut self) -> Step {
        let rotation = self.may(|money| money.rotate_key(&[]))?;
        let is_done = rotation.as_ref().is_some_and(|rotation| rotation.next.is_none());
        if rotation.is_some() {
            self.office_is_copied()?;
        }
        match is_done {
            true => {
                self.met.note(Mishap::KeyChanged);
                self.note(|| "head office signs with another key".to_owned());
                self.office.signs_anew()
            }
            false => {
                self.after(HOUR, Event::Deed(Deed::RotatesKey));
                Ok(())
            }
        }
    }

    /// Does something with members' money, as head office's API does, if anybody is there.
    fn money<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Money<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Option<T>, String> {
        self.money_as(WHO, work)
    }

    /// The same by somebody else.
    fn money_as<T: Send + 'static>(
        &mut self,
        who: &'static str,
        work: impl FnOnce(&mut Money<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Option<T>, String> {
        if !self.office.is_there() {
            return Ok(None);
        }
        let now = self.clock().wall;
        let (done, rung) = self.office.write(move |tx| {
            let mut money = Money::new(tx, now, who);
            let done = work(&mut money)?;
            Ok((done, money.into_rung()))
        })?;
        self.check_money()?;
        self.ring(&rung)?;
        Ok(Some(done))
    }

    /// The same where it may be refused.
    pub(super) fn may<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Money<'_>) -> Decided<T> + Send + 'static,
    ) -> Result<Option<T>, String> {
        self.may_as(WHO, work)
    }

    /// The same by somebody else.
    pub(super) fn may_as<T: Send + 'static>(
        &mut self,
        who: &'static str,
        work: impl FnOnce(&mut Money<'_>) -> Decided<T> + Send + 'static,
    ) -> Result<Option<T>, String> {
        match self.money_as(who, work)? {
            Some(Ok(done)) => Ok(Some(done)),
            Some(Err(refused)) => {
                self.note(|| format!("head office refuses: {refused}"));
                self.races.refused(&refused);
                Ok(None)
            }
            None => Ok(None),
        }
    }

    /// A channel says that a member has paid, now and then twice.
    fn pays_in(&mut self, member: MemberId, amount: u64) -> Step {
        let reference = self.purses.number("T");
        let amount = Fen(i64::try_from(amount).unwrap_or(0));
        let (of, number) = (member.clone(), reference.clone());
        let asked = self.may(move |money| money.ask_top_up(&of, CHANNEL, &number, amount))?;
        if asked.is_none() {
            return Ok(());
        }
        let said = Callback {
            channel: CHANNEL.to_owned(),
            transaction: format!("tx-{reference}"),
            reference,
            amount,
            paid: Paid::Paid,
        };
        self.purses.pays_in(&member, amount);
        self.purses.payments.push(LongCredit {
            channel: said.channel.clone(),
            reference: said.reference.clone(),
            transaction: said.transaction.clone(),
            member: member.clone(),
            amount,
        });
        for _ in 0..1 + self.rng.below(2) {
            let said = said.clone();
            self.money(move |money| money.called_back(&said).map(drop))?;
        }
        self.note(|| format!("{member} pays in {amount}"));
        Ok(())
    }

    /// What the channel's bill has and a restored head office does not is a LONG, credited by two people: what restores have paid for
    /// the member is repaid first (rule 4). What was never forgotten, or is credited by now, is credited no second time.
    fn credits_forgotten(&mut self) -> Step {
        for payment in self.purses.payments.clone() {
            if !self.office.is_there() {
                return self.later(Deed::CreditsForgotten);
            }
            let of = payment.clone();
            let (is_known, was_paid) = self.office.read(move |tx| {
                let used = topups::used(tx, &of.channel, &of.transaction)?;
                Ok((used.is_some(), ledger::paid_by_restores(tx, &of.member)?))
            })?;
            if is_known {
                continue;
            }
            let (of, member) = (payment.clone(), payment.member.clone());
            self.purses.pays_in(&member, payment.amount);
            match self.money(move |money| money.credit_long(&of))? {
                Some(Ok(Credited::Now(_))) => {}
                other => return Err(format!("{payment:?} is not credited: {other:?}")),
            }
            self.races.note(Race::ForgottenPaymentCredited);
            let owed: i64 = was_paid.iter().map(|(_, owed)| owed.0).sum();
            let of = member.clone();
            let left = self.office.read(move |tx| ledger::paid_by_restores(tx, &of))?;
            let left: i64 = left.iter().map(|(_, owed)| owed.0).sum();
            if left != (owed - payment.amount.0).max(0) {
                return Err(format!(
                    "restores had paid {owed} for {member}; {} are credited, and {left} are left",
                    payment.amount
                ));
            }
            if left < owed {
                self.met.note(Mishap::RestoreRepaid);
            }
        }
        Ok(())
    }

    fn somebody(&mut self) -> MemberId {
        let many = TRAVELLERS.len() as u64;
        traveller(TRAVELLERS[usize::try_from(self.rng.below(many)).unwrap_or(0)])
    }

    fn some_site(&mut self) -> usize {
        usize::try_from(self.rng.below(self.sites.len() as u64)).unwrap_or(0)
    }

    /// Drivers at a site have wanted something of head office; mostly the site's line is up then, and often others are.
    pub(super) fn drivers_want(&mut self, site: usize) {
        for want in std::mem::take(&mut self.sites[site].world.wants) {
            for at in 0..self.sites.len() {
                if self.rng.below(100) < if at == site { 80 } else { 45 } {
                    self.switch_wan(at, true);
                }
            }
            let takes = self.between(15 * SECOND, 50 * SECOND);
            self.after(takes, Event::Deed(Deed::Asks { site, want }));
        }
    }

    pub(super) fn is_done(&mut self, deed: Deed) -> Step {
        for site in &mut self.sites {
            site.world.now = site.world.now.max(self.now);
        }
        match deed {
            Deed::Anything => {
                if self.sites.iter().all(|site| site.world.closing.is_some()) {
                    return Ok(());
                }
                let next = self.between(3 * MINUTE, 30 * MINUTE);
                self.after(next, Event::Deed(Deed::Anything));
                self.anything()
            }
            Deed::AfterSales => self.after_sales(),
            Deed::KeepsRules => {
                self.after(HOUR, Event::Deed(Deed::KeepsRules));
                self.keeps_rules()
            }
            Deed::CreditsForgotten => self.credits_forgotten(),
            Deed::RotatesKey => self.rotates_key(),
            Deed::Asks { site, want } => self.asks_for(site, want),
            Deed::Shows { site, text, want } => self.shows(site, &text, want.as_ref()),
            Deed::Stops { site, order } => {
                let id = self.sites[site].world.site.clone();
                self.may(move |money| money.stop(&id, &order)).map(drop)
            }
            Deed::LetsGo(member) => {
                let of = member.clone();
                match self.money(move |money| money.freeze(&of, None))? {
                    Some(_) => Ok(()),
                    None => self.later(Deed::LetsGo(member)),
                }
            }
            Deed::Unblocks(member) => {
                let of = member.clone();
                match self.money(move |money| money.block(&of, None))? {
                    Some(_) => Ok(()),
                    None => self.later(Deed::Unblocks(member)),
                }
            }
        }
    }

    fn later(&mut self, deed: Deed) -> Step {
        self.after(MINUTE, Event::Deed(deed));
        Ok(())
    }

    /// Head office's database has forgotten what was undone.
    pub(super) fn undo_everything(&mut self) -> Step {
        for who in TRAVELLERS {
            self.later(Deed::LetsGo(traveller(who)))?;
            self.later(Deed::Unblocks(traveller(who)))?;
        }
        Ok(())
    }

    fn anything(&mut self) -> Step {
        let (member, site) = (self.somebody(), self.some_site());
        let (id, of) = (self.sites[site].world.site.clone(), member.clone());
        match self.rng.below(20) {
            0..4 => {
                let amount = self.between(500, 8_000);
                self.pays_in(member, amount)
            }
            4..8 => {
                let amount = Fen(i64::try_from(self.between(500, 6_000)).unwrap_or(0));
                self.may(move |money| money.lease(&of, &id, amount)).map(drop)
            }
            8..14 => {
                // Rather of somebody who has an order there.
                let open = self.sites[site].world.oracle.rows.orders();
                let mut open = open
                    .filter(|order| order.state.is_open())
                    .map(|order| order.member.clone());
                let who = open.find(|of| TRAVELLERS.contains(&of.as_str()));
                drop(open);
                let of = who.unwrap_or(of);
                if self.rng.below(2) == 0 {
                    self.switch_wan(site, true);
                }
                let up_to = Fen(i64::try_from(self.between(300, 9_000)).unwrap_or(0));
                self.may(move |money| money.recall(&of, &id, up_to)).map(drop)
            }
            14..17 => self.carries(site, member, None),
            17 => {
                self.money(move |money| money.freeze(&of, Some("a claim")))?;
                let until = self.between(MINUTE, 2 * HOUR);
                self.after(until, Event::Deed(Deed::LetsGo(member)));
                Ok(())
            }
            18 => {
                self.money(move |money| money.block(&of, Some("as agreed")))?;
                let until = self.between(MINUTE, HOUR);
                self.after(until, Event::Deed(Deed::Unblocks(member)));
                Ok(())
            }
            _ => {
                // A card is given to somebody else.
                let (card, to) = (card_of(member.as_str()), self.somebody());
                self.may(move |money| money.put_card(&card, Some(&to))).map(drop)
            }
        }
    }

    /// A driver at a pile asks head office for an order there, or for a voucher where the site has no line.
    fn asks_for(&mut self, site: usize, want: Want) -> Step {
        if self.rng.below(5) == 0 {
            // The line is up by now: the card at the pile does as well.
            return self.sites[site].world.swipes(&want);
        }
        if self.rng.below(8) == 0 {
            return self.carries(site, want.member.clone(), Some(want));
        }
        let world = &self.sites[site].world;
        let order = Order {
            id: OrderId::new(self.purses.number("hq-")).map_err(|error| error.to_string())?,
            member: want.member.clone(),
            site: world.site.clone(),
            outlet: Outlet {
                pile: world.units[want.pile].id.clone(),
                connector: CONNECTOR,
            },
            prepay: want.prepay,
            until: want.until.clone(),
            wished: None,
        };
        let (id, of) = (order.id.clone(), order.clone());
        let placed = match self.money(move |money| money.place(&of))? {
            Some(Ok(placed)) => placed,
            Some(Err(refused)) => {
                self.note(|| format!("head office refuses: {refused}"));
                self.races.refused(&refused);
                return match refused {
                    Refused::NoLine(_) => self.carries(site, want.member.clone(), Some(want)),
                    _ => {
                        self.sites[site].world.wanted(&want, None);
                        Ok(())
                    }
                };
            }
            None => {
                self.sites[site].world.wanted(&want, None);
                return Ok(());
            }
        };
        self.note(|| format!("order {id} goes to site {site}: {placed:?}"));
        self.races.note(match placed {
            Placed::Sent(_) => Race::OrderThroughHeadOffice,
            Placed::Gathering => Race::OrderThatGathers,
        });
        self.sites[site].world.wanted(&want, Some(id.clone()));
        match self.rng.below(10) {
            // It will be there late, or never.
            0 | 1 => self.switch_wan(site, false),
            2 => {
                let stops = self.between(SECOND, 10 * MINUTE);
                self.after(stops, Event::Deed(Deed::Stops { site, order: id }));
            }
            _ => {}
        }
        Ok(())
    }

    /// A member gets a voucher for a site, and shows it there: soon where they want to charge, otherwise around its end.
    fn carries(&mut self, site: usize, member: MemberId, want: Option<Want>) -> Step {
        let amount = match &want {
            Some(want) => want.prepay,
            None => Fen(i64::try_from(self.between(300, 5_000)).unwrap_or(0)),
        };
        let (id, number) = (self.sites[site].world.site.clone(), self.purses.number("v-"));
        let lasts: Time = [HOUR, 2 * HOUR, 4 * HOUR][usize::try_from(self.rng.below(3)).unwrap_or(0)];
        let ends = station::wall(self.now + lasts, 0);
        let made = self.may(move |money| money.voucher(&member, &id, amount, ends, number))?;
        let Some(made) = made else {
            if let Some(want) = want {
                self.sites[site].world.wanted(&want, None);
            }
            return Ok(());
        };
        let text = voucher::to_text(&made.voucher, &self.office.signing_key()?);
        let shown = match want.is_some() {
            true => self.between(5 * SECOND, MINUTE),
            false => self.between(lasts.saturating_sub(50 * MINUTE), lasts + 40 * MINUTE),
        };
        self.after(shown, Event::Deed(Deed::Shows { site, text, want }));
        Ok(())
    }

    /// As `POST /v1/vouchers` takes it.
    fn shows(&mut self, site: usize, text: &str, want: Option<&Want>) -> Step {
        let here = &mut self.sites[site];
        here.knows_keys()?;
        let shown = match here.end.voucher(text) {
            Ok(shown) => shown,
            // Nobody is there who could say which keys count.
            Err(_) if here.world.store().is_none() => {
                let (text, want) = (text.to_owned(), want.cloned());
                return self.later(Deed::Shows { site, text, want });
            }
            Err(error) => return Err(format!("site {site} does not believe a voucher: {error}")),
        };
        here.world.desk.vouchers.insert(shown.id.clone(), shown.clone());
        let asked = here.world.ask(Asked::ShowVoucher(Box::new(shown)));
        here.shown.insert(asked);
        if let Some(want) = want {
            here.world.wanted(want, None);
        }
        Ok(())
    }

    /// What a station has said of vouchers. One that it took shortly before or after its end, or did not take because such vouchers are
    /// closed, has met what takes it back.
    pub(super) fn vouchers_are_answered(&mut self, site: usize) {
        let (here, now) = (&mut self.sites[site], station::wall(self.now, 0));
        let (requests, mut races) = (&here.world.desk.requests, 0);
        here.shown.retain(|number| {
            let request = requests.get(number);
            let Some((Asked::ShowVoucher(voucher), Some(answer))) = request.map(|of| (&of.asked, &of.answer)) else {
                return true;
            };
            let is_near = voucher.expires_at.ms_since(now).abs() < NEAR_ITS_END_MS;
            races += u64::from(is_near || matches!(answer, Err(Rejected::VoucherClosed(_))));
            false
        });
        (0..races).for_each(|_| self.races.note(Race::VoucherAgainstItsReturn));
    }

    /// Wallets pay debts at sites: now and then the member pays at the desk at the same time.
    pub(super) fn debts_are_paid_twice(&mut self) -> Step {
        let on_road = self.office.read(|tx| issues::on_road(tx, 1_000))?;
        for issue in on_road {
            if issue.kind != issues::Kind::DebtPaid || !self.purses.is_news(&issue.id) || self.rng.below(3) == 0 {
                continue;
            }
            let at = self.sites.iter_mut().find(|site| site.world.site == issue.site);
            let Some(here) = at else { continue };
            let owed = here.world.oracle.debt(&issue.member);
            if owed > 0 && !here.over {
                here.world
                    .ask(Asked::PayDebt(issue.member.clone(), Fen(owed), PaidFrom::Cash));
            }
        }
        Ok(())
    }

    /// People let wallets go that a restore has frozen, once in a while, and at the end.
    pub(super) fn people_let_wallets_go(&mut self) -> Step {
        let frozen = self.office.read(identity::frozen)?;
        if frozen.is_none() || (!self.calm && self.rng.below(5) > 0) {
            return Ok(());
        }
        let missing = BTreeSet::new();
        let gone = self.money(move |money| money.let_wallets_go(&missing))?;
        let Some(Err(Refused::Silent(silent))) = gone else {
            return Ok(());
        };
        self.note(|| format!("{silent:?} have not reported"));
        if !self.calm && self.rng.below(4) == 0 {
            let missing: BTreeSet<SiteId> = silent.into_iter().collect();
            self.may(move |money| money.let_wallets_go(&missing))?;
        }
        Ok(())
    }
}
