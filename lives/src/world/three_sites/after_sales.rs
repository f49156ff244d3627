//! What people at head office decide of orders that were charged: money is given back, also while the site is away and its own people
//! correct the bill meanwhile; bills are decided that the station's people look at as well.

use super::{
    super::{
        MINUTE,
        drivers::{TRAVELLERS, traveller},
        people::Asked,
    },
    Event, ThreeSites,
    books::above_fork,
    money::Deed,
    races::Race,
};
use books::{
    money::{Adjust, Decide, Wanted},
    store::{
        adjustments::{self, Adjustment, OfFinding},
        bill_decisions::BillDecision,
        findings::{self, Class, Filter},
        queries::decided::{self, Which},
        refunds::{self, Refund},
    },
};
use domain::{
    ids::OrderId,
    order::{Order, State},
    site::Decision,
    units::Fen,
};

/// Whoever has the second word at head office.
const SECOND: &str = "zhao";
/// What one person may give back for an order, in fen: less than most orders cost.
const ONE_PERSON: Fen = Fen(600);
/// How far a bill may be off that one person sets.
const ONE_BILL: Fen = Fen(5_000);
/// How many are looked at, at a time.
const AT_ONCE: usize = 20;

type Step = Result<(), String>;

impl ThreeSites {
    /// Somebody at head office looks at orders, and again in a while.
    pub(super) fn after_sales(&mut self) -> Step {
        if self.sites.iter().all(|site| site.world.closing.is_some()) {
            return Ok(());
        }
        let next = 4 * MINUTE + self.after_sales.below(20 * MINUTE);
        self.after(next, Event::Deed(Deed::AfterSales));
        self.second_word()?;
        self.adjusts()?;
        let site = usize::try_from(self.after_sales.below(self.sites.len() as u64)).unwrap_or(0);
        let rows = &self.sites[site].copy.rows;
        let of = |wanted: fn(&Order) -> bool| -> Vec<OrderId> {
            rows.orders()
                .filter(|order| wanted(order))
                .map(|order| order.id.clone())
                .collect()
        };
        let paid = of(|order| {
            let is_settled = matches!(order.state, State::Payed | State::Unpaid);
            is_settled && order.paid.refundable() > Fen::ZERO && TRAVELLERS.contains(&order.member.as_str())
        });
        let looked_at = of(|order| order.state == State::Review);
        for order in looked_at {
            self.decides(site, order)?;
        }
        match self.after_sales.below(12) {
            0 => match self.one_of(&paid).cloned() {
                Some(order) => self.decides(site, order),
                None => Ok(()),
            },
            1..4 => Ok(()),
            _ => self.gives_back(site, &paid),
        }
    }

    fn one_of<'a>(&mut self, orders: &'a [OrderId]) -> Option<&'a OrderId> {
        let at = self.after_sales.below(orders.len() as u64);
        orders.get(usize::try_from(at).unwrap_or(0))
    }

    fn fen_below(&mut self, most: u64) -> Fen {
        Fen(i64::try_from(self.after_sales.below(most)).unwrap_or(0))
    }

    /// Money is given back for one of these orders; sometimes the site's line is cut by then, and its people lower the bill as well.
    fn gives_back(&mut self, site: usize, orders: &[OrderId]) -> Step {
        let Some(order) = self.one_of(orders).cloned() else {
            return Ok(());
        };
        let row = self.sites[site].copy.rows.order(&order);
        let most = row.map_or(Fen::ZERO, |row| row.paid.refundable());
        // All of it where a correction is to cross it, and now and then more than there is.
        let amount = match self.after_sales.below(4) {
            0 => Fen(1) + self.fen_below(most.0.unsigned_abs()),
            1 => most + self.fen_below(2),
            _ => most,
        };
        if self.after_sales.below(2) == 0 {
            self.switch_wan(site, false);
        }
        let wanted = Wanted {
            id: self.purses.number("refund-"),
            site: self.sites[site].world.site.clone(),
            order: order.clone(),
            amount,
            reason: "as agreed".to_owned(),
        };
        let given = self.may(move |money| money.refund(&wanted, ONE_PERSON))?;
        let Some(refund) = given else { return Ok(()) };
        self.is_given(site, &refund);
        let here = &mut self.sites[site];
        if !here.over && self.after_sales.below(3) == 0 {
            let half = Fen(most.0 / 3);
            here.world.ask(Asked::Correct(order, half, Fen::ZERO));
        }
        Ok(())
    }

    fn is_given(&mut self, site: usize, refund: &Refund) {
        self.note(|| {
            format!(
                "{} of {} at site {site} go back: {:?}",
                refund.amount, refund.order, refund.state
            )
        });
        if refund.state == refunds::State::Approved && !self.is_up(site) {
            self.races.note(Race::RefundForSiteAway);
        }
    }

    /// A bill is decided at head office, and mostly at the station too.
    fn decides(&mut self, site: usize, order: OrderId) -> Step {
        if self.after_sales.below(10) < 3 {
            return Ok(());
        }
        let decision = match self.after_sales.below(2) {
            0 => Decision::AsIs,
            _ => Decision::Corrected {
                electricity: self.fen_below(4_000),
                service: self.fen_below(2_000),
            },
        };
        let decide = Decide {
            id: self.purses.number("bill-"),
            site: self.sites[site].world.site.clone(),
            order: order.clone(),
            decision,
            reason: "as agreed".to_owned(),
        };
        let decided = self.may(move |money| money.decide_bill(&decide, ONE_BILL))?;
        if decided.is_none() {
            return Ok(());
        }
        let both = self.after_sales.below(3) > 0;
        let here = &mut self.sites[site];
        if both && !here.over {
            here.world.ask(Asked::Decide(order, Decision::AsIs));
        }
        Ok(())
    }

    /// A wallet is to get something, or to give something; or gets what its member had on a branch of a journal that was left.
    fn adjusts(&mut self) -> Step {
        let member = self.after_sales.below(TRAVELLERS.len() as u64);
        let member = traveller(TRAVELLERS[usize::try_from(member).unwrap_or(0)]);
        let filter = Filter {
            class: Some(Class::AboveFork),
            ..Filter::default()
        };
        let found = self
            .office
            .read(move |tx| findings::list(tx, &filter, None, AT_ONCE as u64))?;
        let above_fork = found.iter().find_map(|found| {
            let amount = above_fork(&found.finding.detail).remove(&member)?;
            let finding = OfFinding {
                site: found.site.clone(),
                branch: found.branch,
                seq: found.finding.seq,
                class: Class::AboveFork,
            };
            Some((Fen(amount), Some(finding)))
        });
        let (amount, finding) = match (above_fork, self.after_sales.below(8)) {
            (Some(of_finding), 0..6) => of_finding,
            (_, 6) => (self.fen_below(2_000) + Fen(1), None),
            // More than most wallets have at a time.
            (_, 7) => (Fen(-1) - self.fen_below(9_000), None),
            _ => return Ok(()),
        };
        let adjust = Adjust {
            id: self.purses.number("adjust-"),
            member,
            amount,
            reason: "as agreed".to_owned(),
            finding,
        };
        self.may(move |money| money.propose_adjustment(&adjust)).map(drop)
    }

    /// The second person at head office has a look at what waits.
    fn second_word(&mut self) -> Step {
        let waits = || Which {
            state: Some("proposed".to_owned()),
            ..Which::default()
        };
        let (refunds, bills, adjustments) = self.office.read(move |tx| {
            let refunds: Vec<Refund> = decided::refunds(tx, &waits(), None, AT_ONCE)?.items;
            let bills: Vec<BillDecision> = decided::bills(tx, &waits(), None, AT_ONCE)?.items;
            let adjustments: Vec<Adjustment> = decided::adjustments(tx, &waits(), None, AT_ONCE)?.items;
            Ok((refunds, bills, adjustments))
        })?;
        for adjustment in adjustments {
            let (id, chance) = (adjustment.id, self.after_sales.below(10));
            let done = match chance {
                0..2 => None,
                2 => self.may_as(SECOND, move |money| money.reject_adjustment(&id, "not so"))?,
                _ => self.may_as(SECOND, move |money| money.approve_adjustment(&id))?,
            };
            if done.is_some_and(|done| done.state == adjustments::State::Posted) {
                self.races.note(Race::WalletAdjusted);
            }
        }
        for refund in refunds {
            let (id, chance) = (refund.id.clone(), self.after_sales.below(10));
            let done = match chance {
                0..2 => continue,
                2 => self.may_as(SECOND, move |money| money.reject_refund(&id, "not so"))?,
                _ => self.may_as(SECOND, move |money| money.approve_refund(&id))?,
            };
            let site = self.sites.iter().position(|site| site.world.site == refund.site);
            if let (Some(refund), Some(site)) = (done, site) {
                self.is_given(site, &refund);
            }
        }
        for decision in bills {
            let (id, chance) = (decision.id, self.after_sales.below(10));
            match chance {
                0..2 => {}
                2 => drop(self.may_as(SECOND, move |money| money.reject_decision(&id))?),
                _ => drop(self.may_as(SECOND, move |money| money.approve_decision(&id))?),
            }
        }
        Ok(())
    }
}
