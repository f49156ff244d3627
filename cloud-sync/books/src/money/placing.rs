//! Orders through head office: the order's number is made here, and one directive leases the money, places the order and
//! reserves the money in one step of the site. Where the wallet has too little, money is recalled from sites with a line, and kept
//! for this order until it expires (rule 18).

use super::{Decided, Line, Money, RULE, Refused};
use crate::store::{
    StoreError, issues, ledger,
    members::{self, Member},
    placings::{self, Placing, State},
};
use domain::{
    head_office::{Directive, DirectiveNo, RefusedDirective},
    ids::{CardId, HEAD_OFFICE_ORDER, MemberId, OrderId, Outlet, SiteId},
    order::Until,
    units::Fen,
};

/// How long an order that is asked for may take to begin, in milliseconds.
pub(super) const PLACING_MS: i64 = 60_000;
/// So long after a card was held to a pile nobody waits there any more, in milliseconds.
const WISH_MS: u64 = domain::site::WISH_MS;
/// The most orders that are ended at once because their money did not come.
const OVERDUE_MAX: u64 = 500;
/// What a card reserves where the driver says no amount.
const PREPAY_BY_CARD: Fen = Fen(5_000);
/// The least for which a card starts.
const PREPAY_BY_CARD_MIN: Fen = Fen(500);

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Its number, which nobody else has.
    pub id: OrderId,
    /// Who pays.
    pub member: MemberId,
    /// At which site.
    pub site: SiteId,
    /// Where there.
    pub outlet: Outlet,
    /// How much is leased and reserved.
    pub prepay: Fen,
    /// The driver's own limits.
    pub until: Until,
    /// The entry by which the site wished for it.
    pub wished: Option<u64>,
}

/// What became of it at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placed {
    /// It is on its way to the site.
    Sent(DirectiveNo),
    /// Money is recalled from other sites first.
    Gathering,
}

impl Money<'_> {
    /// Places an order at a site.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn place(&mut self, order: &Order) -> Decided<Placed> {
        let member = match self.spender(&order.member)? {
            Ok(member) => member,
            Err(refused) => return Ok(Err(refused)),
        };
        match self.money_line(&order.site)? {
            Err(refused) => return Ok(Err(refused)),
            Ok(line) if !line.is_up(self.now) => return Ok(Err(Refused::NoLine(order.site.clone()))),
            Ok(_) => {}
        }
        let owed = self.owed(&order.member, None)?;
        if owed > Fen::ZERO {
            return Ok(Err(Refused::Owes {
                member: order.member.clone(),
                amount: owed,
            }));
        }
        let mut placing = Placing {
            order: order.id.clone(),
            site: order.site.clone(),
            member: order.member.clone(),
            outlet: order.outlet.clone(),
            prepay: order.prepay,
            until: order.until.clone(),
            wished: order.wished,
            state: State::Gathering,
            expires_at: self.now.after_ms(PLACING_MS),
            made_at: self.now,
            made_by: self.by.clone(),
        };
        if let Err(too_little) = self.has(&order.member, order.prepay)? {
            let missing = order.prepay - self.spendable(&order.member)?;
            if !self.gather(&order.member, &order.site, missing)? {
                return Ok(Err(too_little));
            }
            placings::add(self.tx, &placing)?;
            return Ok(Ok(Placed::Gathering));
        }
        placing.state = State::Sent;
        placings::add(self.tx, &placing)?;
        self.start(&placing, &member).map(|no| no.map(Placed::Sent))
    }

    /// Recalls what is missing from sites with a line, whether there is so much.
    fn gather(&mut self, member: &MemberId, to: &SiteId, missing: Fen) -> Result<bool, StoreError> {
        let (mut missing, mut from) = (missing, Vec::new());
        for (site, amount) in self.lies(member)? {
            if missing == Fen::ZERO {
                break;
            }
            let now = self.now;
            let is_open = |line: &Line| line.is_up(now) && line.site.closed_at.is_none();
            let is_up = self.line(&site)?.as_ref().is_some_and(is_open);
            // What lies where the order is to be is not fetched and sent back: it stays a standing lease.
            if site == *to || !is_up {
                continue;
            }
            let part = amount.min(missing);
            missing -= part;
            from.push((site, part));
        }
        if missing > Fen::ZERO {
            return Ok(false);
        }
        for (site, part) in from {
            if self.recall(member, &site, part)?.is_err() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Sends an order whose money is there on its way.
    fn start(&mut self, placing: &Placing, member: &Member) -> Decided<DirectiveNo> {
        let line = match self.open_line(&placing.site)? {
            Ok(line) => line,
            Err(refused) => return Ok(Err(refused)),
        };
        let no = self.issue(
            &line,
            &Directive::Start {
                order: placing.order.clone(),
                member: placing.member.clone(),
                name: member.name.clone(),
                outlet: placing.outlet.clone(),
                prepay: placing.prepay,
                until: placing.until.clone(),
                expires_at: placing.expires_at,
                wished: placing.wished,
            },
        )?;
        let id = issues::of_directive(&placing.site, no);
        let issue = issues::Issue {
            order: Some(placing.order.clone()),
            ..self.new_issue(id, &line, &placing.member, issues::Kind::Start, placing.prepay)
        };
        self.send(&issue)?;
        Ok(Ok(no))
    }

    /// Money has come back to a wallet: orders that wait for it go on their way, the oldest first.
    pub(super) fn go_on_placing(&mut self, member: &Member) -> Result<(), StoreError> {
        for placing in placings::gathering(self.tx, &member.id, self.now)? {
            if !self.may_spend(member)? {
                let refused = RefusedDirective {
                    code: "wallet_frozen".to_owned(),
                    detail: "the wallet was frozen, or the member blocked, while its money was gathered".to_owned(),
                };
                placings::set(self.tx, &placing.order, &State::Refused(refused))?;
                continue;
            }
            let has = ledger::balance(self.tx, &ledger::wallet(&member.id))?;
            if has < placing.prepay {
                break;
            }
            match self.start(&placing, member)? {
                Ok(_) => placings::set(self.tx, &placing.order, &State::Sent)?,
                Err(why) => {
                    let refused = RefusedDirective {
                        code: "not_sent".to_owned(),
                        detail: why.to_string(),
                    };
                    placings::set(self.tx, &placing.order, &State::Refused(refused))?;
                }
            }
        }
        Ok(())
    }

    /// Orders whose money did not come in time end, and what was kept for them is free: it pays debts first. How many there were.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn end_overdue(&mut self) -> Result<usize, StoreError> {
        let overdue = placings::overdue(self.tx, self.now, OVERDUE_MAX)?;
        let mut ended = 0;
        for placing in &overdue {
            let Some(member) = members::hold(self.tx, &placing.member)? else {
                continue;
            };
            // Whoever holds the member may have sent it before this.
            let state = placings::find(self.tx, &placing.order)?.map(|found| found.state);
            if state == Some(State::Gathering) {
                placings::set(self.tx, &placing.order, &State::Expired)?;
                self.wallet_moved(&member.id)?;
                ended += 1;
            }
        }
        Ok(ended)
    }

    /// A card was held to a pile of a site that did not know it, or had too little: its member's order is placed, or is not.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) fn wished(
        &mut self,
        site: &SiteId,
        card: &CardId,
        outlet: &Outlet,
        (seq, age_ms): (u64, u64),
    ) -> Result<(), StoreError> {
        // What was wished for while the line was cut, nobody waits for any more. How old it is the journal says by elapsed time, as
        // far as it has come: the site's clock may be hours off. The site itself looks again.
        if age_ms > WISH_MS {
            return Ok(());
        }
        let Some(member) = members::card(self.tx, card)?.and_then(|card| card.member) else {
            return Ok(());
        };
        if members::hold(self.tx, &member)?.is_none() {
            return Ok(());
        }
        let prepay = match self.spendable(&member)? {
            some if some >= PREPAY_BY_CARD_MIN => some.min(PREPAY_BY_CARD),
            _ => PREPAY_BY_CARD,
        };
        // Its number follows from the wish, so that one that is followed again places nothing twice.
        let Ok(id) = OrderId::new(format!("{HEAD_OFFICE_ORDER}{site}-{seq}")) else {
            tracing::error!(%site, "no order can be numbered by the site's id");
            return Ok(());
        };
        let order = Order {
            id,
            member,
            site: site.clone(),
            outlet: outlet.clone(),
            prepay,
            until: Until::default(),
            wished: Some(seq),
        };
        if placings::find(self.tx, &order.id)?.is_some() {
            return Ok(());
        }
        if let Err(refused) = self.place(&order)? {
            tracing::info!(%site, card = %card, "a card is not answered by a start: {refused}");
        }
        Ok(())
    }

    /// Has a site stop an order, or cancel it before its start.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn stop(&mut self, site: &SiteId, order: &OrderId) -> Decided<DirectiveNo> {
        let placing = placings::find(self.tx, order)?;
        if let Some(placing) = &placing {
            // Whoever sends it holds the member: it is sent before this, or not at all.
            members::hold(self.tx, &placing.member)?;
        }
        if placing.is_some()
            && let Some(placing) = placings::find(self.tx, order)?
            && placing.site == *site
            && placing.state == State::Gathering
        {
            let refused = RefusedDirective {
                code: "stopped".to_owned(),
                detail: format!("{} has stopped it before it was sent", self.by),
            };
            placings::set(self.tx, order, &State::Refused(refused))?;
        }
        let by = match self.by.as_str() {
            "" => RULE.to_owned(),
            by => by.to_owned(),
        };
        self.direct(
            site,
            &Directive::Stop {
                order: order.clone(),
                by,
            },
        )
    }
}
