//! What head office does with members' money: wallets, what is moved to sites and comes back, and what members owe. Each rule
//! works in a transaction of its caller's, holds the members fast whose money it is about, and moves money only from one account
//! to another.
//!
//! | file | holds |
//! |---|---|
//! | here | what every rule has: the transaction, the time, who asks; how a directive is issued and a movement booked |
//! | `leases` | money to a site and back: leases, recalls, vouchers |
//! | `placing` | orders through head office: money is gathered, then leased and the order placed in one directive |
//! | `debts` | wallets pay what members owe; other sites are told of the rest |
//! | `refunds` | money is given back for orders, once their site has marked it |
//! | `adjustments` | two people add to a wallet, or take from it |
//! | `bills` | what people decide of bills at head office |
//! | `waiting` | what waits for a person's decision is decided once, and by two where it takes two |
//! | `closing` | a site that never comes back: its members' money comes back |
//! | `standing` | whoever charges often at a site keeps money there |
//! | `discrepancies`, `undecided` | what people decide of a channel's discrepancies; why they cannot |
//! | `suspense` | where the money of discrepancies is |
//! | `sent_back` | the same, line by line of a table that was filled in |
//! | `topups` | money comes in through a channel, by callbacks that it has signed |
//! | `long` | what a channel was paid and nobody was credited for, once people say whose it is |
//! | `keys` | head office signs with another key |
//! | `masters` | who a member is, whether they are served, whose a card is |
//! | `facts` | what a site's journal says of all this |
//!
//! *Architecture Invariant:* the sum over `transit:{s}:{m}` is what issues have on the road (rule 15 of the line), and no money
//! comes free because time has passed: only because a fact has arrived.

mod adjustments;
mod bills;
mod closing;
mod debts;
mod discrepancies;
pub mod facts;
mod keys;
mod leases;
mod long;
mod masters;
mod payouts;
mod placing;
mod refunds;
mod sent_back;
mod standing;
mod suspense;
mod topups;
mod undecided;
mod waiting;

pub use adjustments::{Adjust, WALLET_ADJUSTED};
pub use bills::Decide;
pub use debts::pay_again;
pub use discrepancies::{Many, OneOfMany, Propose};
pub use keys::{Believes, Rotation};
pub use leases::Vouchered;
pub use long::LongCredit;
pub use placing::{Order, Placed};
pub use refunds::{REFUND_APPROVED, REFUND_NOT_MADE, Wanted};
pub use sent_back::{Done, May, Verdict};
pub(crate) use suspense::clearing;
pub use topups::{Callback, Credited, Paid};
pub use undecided::Undecided;

use crate::store::{
    StoreError, Tx,
    adjustments::OfFinding,
    at_sites, directives, identity, issues,
    ledger::{self, Movement},
    members::{self, Member},
    missing, placings, sites,
};
use domain::{
    head_office::{Directive, DirectiveNo, DirectiveRow, HqEpoch},
    ids::{MemberId, OrderId, SiteId},
    order::State as OrderState,
    planted::{Bug, is_planted},
    time::{Day, Wall},
    units::Fen,
};
use protocol::frame::State;
use std::collections::BTreeSet;

/// The code of money that comes in through a channel.
const TOPUP: &str = "TOPUP";
/// The code of money on its way to a site.
const LEASE: &str = "LEASE";
/// The code of money on its way back.
const LEASE_RETURN: &str = "LEASE_RETURN";
/// The code of money of a cause that the database has forgotten.
const RESTORE: &str = "RESTORE";
/// The code of money that is given back for an order.
const REFUND: &str = "REFUND";
/// Head office's own account that refunds come out of, and adjustments too.
const REFUND_ACCOUNT: &str = "refund";
/// Whoever does what a rule says.
pub const RULE: &str = "head office";
/// A site that was not heard for so long has no line, in milliseconds.
pub const LINE_UP_MS: i64 = 60_000;
/// The longest that a voucher counts, in milliseconds.
pub const VOUCHER_MS_MAX: i64 = 24 * 3_600_000;
/// The most that is moved at once.
pub const AMOUNT_MAX: Fen = Fen(100_000_000);

/// Why something was not done. Nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Head office has no such member.
    #[error("head office has no member {0}: PUT /v1/members/{0} makes one")]
    UnknownMember(MemberId),
    /// There is no such site.
    #[error("there is no site {0}")]
    UnknownSite(SiteId),
    /// Nothing leaves this wallet.
    #[error("the wallet of {member} is frozen: {why}")]
    Frozen {
        /// Whose.
        member: MemberId,
        /// Why.
        why: String,
    },
    /// Nothing leaves any wallet.
    #[error("wallets are frozen: {0}. PUT /v1/head-office/wallets lets them go once every site has reported")]
    AllFrozen(String),
    /// Sites have not said what they have of head office's since its database was restored.
    #[error(
        "these sites have not reported since head office's database was restored: {}. Wait until they have, or name them as missing: \
         who is known there spends nothing then until the site is back", names(.0)
    )]
    Silent(Vec<SiteId>),
    /// They are on the blacklist.
    #[error("{member} is on the blacklist: {why}")]
    Blocked {
        /// Who.
        member: MemberId,
        /// Why.
        why: String,
    },
    /// They owe something.
    #[error("{member} owes {amount} yuan, which is to be paid first")]
    Owes {
        /// Who.
        member: MemberId,
        /// How much.
        amount: Fen,
    },
    /// There is not enough.
    #[error("the wallet of {member} has {has} yuan, and {wanted} are wanted{}", elsewhere(.lies))]
    TooLittle {
        /// Whose.
        member: MemberId,
        /// What can be spent of it.
        has: Fen,
        /// What is wanted.
        wanted: Fen,
        /// What lies at sites.
        lies: Vec<(SiteId, Fen)>,
    },
    /// The site's journal is not followed.
    #[error("the journal of site {site} is not followed ({state}): only stops, recalls and blocks go there")]
    NotFollowed {
        /// Which.
        site: SiteId,
        /// How it stands.
        state: &'static str,
    },
    /// The site was closed or may not come in.
    #[error("site {0} was closed, or its certificate was taken back: nothing goes there")]
    Gone(SiteId),
    /// The site has not said who it is.
    #[error("site {0} has never reported: nothing goes there before it has")]
    NeverHeard(SiteId),
    /// Nobody would know when it arrives.
    #[error("site {0} has no line just now: an order can be placed there at the station, or with a voucher")]
    NoLine(SiteId),
    /// It would end too soon.
    #[error("site {site} takes no voucher that ends by {closed} any more; this one would end at {ends}")]
    MarkAhead {
        /// Which.
        site: SiteId,
        /// What it has closed.
        closed: Wall,
        /// When the voucher would end.
        ends: Wall,
    },
    /// A voucher counts at most a day.
    #[error("a voucher counts for at most 24 hours; this one would end at {ends}, and it is {now}")]
    VoucherEnds {
        /// When the voucher would end.
        ends: Wall,
        /// What time it is.
        now: Wall,
    },
    /// There is no such order.
    #[error("head office knows no order {order} of site {site}")]
    UnknownOrder {
        /// Where.
        site: SiteId,
        /// Which.
        order: OrderId,
    },
    /// The order is of a member of the site's own.
    #[error(
        "order {order} is of a member whom site {site} has to itself, and who has no wallet: money goes back at the site's desk, by a lower bill"
    )]
    SitesOwn {
        /// Where.
        site: SiteId,
        /// Which.
        order: OrderId,
    },
    /// Money has not moved for it, or a person has to look at it first.
    #[error("order {order} is {state}: {}", not_refundable(.state))]
    NotRefundable {
        /// Which.
        order: OrderId,
        /// Where it stands.
        state: OrderState,
    },
    /// More than its driver has paid.
    #[error(
        "at most {most} yuan can be given back for order {order}: what its driver has paid of it, less what was given back or is on its way"
    )]
    RefundTooMuch {
        /// Which.
        order: OrderId,
        /// What can be.
        most: Fen,
    },
    /// There is none such.
    #[error("there is no refund {0}")]
    UnknownRefund(String),
    /// Nobody has to decide it any more.
    #[error("refund {refund} is {state} already")]
    RefundDecided {
        /// Which.
        refund: String,
        /// How far it is.
        state: &'static str,
    },
    /// It takes two.
    #[error(
        "{proposed_by} has proposed this, and another person has to approve it, under a name of their own or with a token that another has \
         made; you are {by}"
    )]
    SamePerson {
        /// Who proposed it.
        proposed_by: String,
        /// Who wants to approve it.
        by: String,
    },
    /// Nobody has to look at it.
    #[error(
        "order {order} is {state}: a bill stands as it is by a decision only where the order is under REVIEW; one that was settled is corrected"
    )]
    NotDecidable {
        /// Which.
        order: OrderId,
        /// Where it stands.
        state: OrderState,
    },
    /// Its site has counted it.
    #[error("the order's site has marked refund {0} and told the driver of it: it can only be approved")]
    RefundMarked(String),
    /// Another decision was first.
    #[error("the bill of order {order} is another one since this was proposed: look at it again")]
    OtherBill {
        /// Which.
        order: OrderId,
    },
    /// There is none such.
    #[error("there is no decision {0}")]
    UnknownDecision(String),
    /// Nobody has to decide it any more.
    #[error("decision {decision} is {state} already")]
    DecisionDecided {
        /// Which.
        decision: String,
        /// How far it is.
        state: &'static str,
    },
    /// There is none such.
    #[error("there is no finding {} of branch {} at entry {} of the journal of site {}", .0.class.word(), .0.branch, .0.seq, .0.site)]
    UnknownFinding(OfFinding),
    /// The finding is about somebody else.
    #[error("the finding is not about {0}: look at whom its detail names")]
    NotInFinding(MemberId),
    /// The finding says another amount.
    #[error("by the finding {member} {} at most {} yuan", if .says.0 > 0 { "gets" } else { "gives" }, Fen(.says.0.abs()))]
    OtherThanFinding {
        /// Whose wallet.
        member: MemberId,
        /// What it says that the wallet gets; below zero what it gives.
        says: Fen,
    },
    /// It is compensated once.
    #[error(
        "this finding has adjustment {adjustment} for the same member: reject that one first, or look at what it did"
    )]
    Adjusted {
        /// Which.
        adjustment: String,
    },
    /// Nothing is held against what it pays out.
    #[error("channel {0} has no bills: say whose files they are by `bills` in PUT /v1/channels/{0}")]
    NoSuchBills(String),
    /// It cannot have been then.
    #[error("a payout of channel {channel} is of a day from {first} to {last}")]
    PayoutDay {
        /// Which channel.
        channel: String,
        /// The channel's first day.
        first: Day,
        /// The day that it is there.
        last: Day,
    },
    /// The channel says itself what it has paid out.
    #[error(
        "the channel's bill of its account of {day} is here, and says what was paid out: correct that one if it is wrong"
    )]
    PaidByBill {
        /// Of which day it is.
        day: Day,
    },
    /// There is none such.
    #[error("there is no payout {0}")]
    UnknownPayout(String),
    /// Nobody has to decide it any more.
    #[error("payout {payout} is {state} already")]
    PayoutDecided {
        /// Which.
        payout: String,
        /// How far it is.
        state: &'static str,
    },
    /// Somebody has said so of the bank's number.
    #[error("payout {payout} has that number of the bank's: reject it, or say another number")]
    PaidOut {
        /// Which.
        payout: String,
    },
    /// There is none such.
    #[error("there is no adjustment {0}")]
    UnknownAdjustment(String),
    /// Nobody has to decide it any more.
    #[error("adjustment {adjustment} is {state} already")]
    AdjustmentDecided {
        /// Which.
        adjustment: String,
        /// How far it is.
        state: &'static str,
    },
    /// The number is taken.
    #[error("{0} was used for something else: each top-up has a number of its own")]
    OtherTopUp(String),
    /// Of a discrepancy nothing is proposed or decided.
    #[error(transparent)]
    Undecided(#[from] Undecided),
}

fn not_refundable(state: &OrderState) -> &'static str {
    match state {
        OrderState::Review => "a person has to decide its bill first",
        OrderState::Settle => {
            "its bill is an estimate, and is refundable once the remainder of its hold is released or a person has set the bill"
        }
        OrderState::Fail => "it never charged, and all of its hold went back",
        _ => "it has not ended, and nothing was charged",
    }
}

fn names(sites: &[SiteId]) -> String {
    sites.iter().map(SiteId::as_str).collect::<Vec<_>>().join(", ")
}

fn elsewhere(lies: &[(SiteId, Fen)]) -> String {
    if lies.is_empty() {
        return String::new();
    }
    let sites: Vec<String> = lies
        .iter()
        .map(|(site, amount)| format!("{amount} at {site}"))
        .collect();
    format!(
        "; there are {}, which has no line just now or reserves them",
        sites.join(", ")
    )
}

/// Whether it was done, or refused before anything was written.
pub type Decided<T> = Result<Result<T, Refused>, StoreError>;

/// How a site can be spoken to.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    /// The life of head office's in which it is.
    pub hq_epoch: HqEpoch,
    /// The site.
    pub site: sites::Site,
    /// When it was last heard.
    pub heard_at: Option<Wall>,
}

impl Line {
    /// Whether it was heard lately.
    pub(crate) fn is_up(&self, now: Wall) -> bool {
        self.heard_at.is_some_and(|at| now.0 - at.0 < LINE_UP_MS)
    }
}

/// What the rules work with.
pub struct Money<'a> {
    tx: &'a mut dyn Tx,
    now: Wall,
    by: String,
    rung: BTreeSet<SiteId>,
}

impl<'a> Money<'a> {
    /// In a transaction, at a time by head office's clock, for whoever asks.
    pub fn new(tx: &'a mut dyn Tx, now: Wall, by: &str) -> Self {
        Self {
            tx,
            now,
            by: by.to_owned(),
            rung: BTreeSet::new(),
        }
    }

    /// The transaction, for what is shown of what was done in it.
    pub(crate) fn tx(&mut self) -> &mut dyn Tx {
        self.tx
    }

    /// The sites that something was issued to: whoever has their lines is told once the transaction is committed.
    pub fn into_rung(self) -> BTreeSet<SiteId> {
        self.rung
    }

    fn line(&mut self, site: &SiteId) -> Result<Option<Line>, StoreError> {
        let Some(found) = sites::find(self.tx, site)? else {
            return Ok(None);
        };
        let own = match found.hq_epoch {
            Some(epoch) => Some(epoch),
            None => identity::epoch(self.tx)?,
        };
        let hq_epoch = own.ok_or_else(|| StoreError::Broken("it does not say which head office it is".to_owned()))?;
        Ok(Some(Line {
            hq_epoch,
            site: found,
            heard_at: sites::heard_at(self.tx, site)?,
        }))
    }

    /// The line to a site to which money may go, or anything else that is not a stop, a recall or a block (rule 10).
    fn open_line(&mut self, site: &SiteId) -> Decided<Line> {
        let Some(line) = self.line(site)? else {
            return Ok(Err(Refused::UnknownSite(site.clone())));
        };
        if line.site.closed_at.is_some() || line.site.revoked_at.is_some() {
            return Ok(Err(Refused::Gone(site.clone())));
        }
        if line.site.state != State::Following {
            let state = line.site.state.word();
            return Ok(Err(Refused::NotFollowed {
                site: site.clone(),
                state,
            }));
        }
        Ok(Ok(line))
    }

    /// The same to which money may go: somebody has heard of the site.
    fn money_line(&mut self, site: &SiteId) -> Decided<Line> {
        Ok(match self.open_line(site)? {
            Ok(line) if line.heard_at.is_none() && line.site.epoch.is_none() => Err(Refused::NeverHeard(site.clone())),
            line => line,
        })
    }

    /// Issues a directive to a site whose line was looked at.
    fn issue(&mut self, line: &Line, directive: &Directive) -> Result<DirectiveNo, StoreError> {
        let site = &line.site.id;
        let row = match directive {
            // Money may wait in the other row, which no site on two branches is sent: nothing goes past it there.
            Directive::Stop { .. } | Directive::Recall { .. } if line.site.state == State::Forked => {
                DirectiveRow::Others
            }
            _ => directive.row(),
        };
        let no = directives::add_in(self.tx, (site, line.hq_epoch), row, directive, (&self.by, self.now))?;
        // Whoever closes a site holds these numbers first: looked at before that, the site was open still.
        if sites::find(self.tx, site)?.is_none_or(|now| now.closed_at.is_some()) {
            return Err(StoreError::Unavailable(format!(
                "site {site} is being closed: try again"
            )));
        }
        self.rung.insert(site.clone());
        Ok(no)
    }

    /// What a site was last told of this kind about something, where it has not answered that.
    fn last_told(&mut self, site: &SiteId, kind: &str, about: &str) -> Result<Option<Directive>, StoreError> {
        match self.line(site)? {
            Some(line) => directives::last_waiting(self.tx, (site, line.hq_epoch), kind, about),
            None => Ok(None),
        }
    }

    /// Issues a directive that moves no money: to whichever site it may go.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn direct(&mut self, site: &SiteId, directive: &Directive) -> Decided<DirectiveNo> {
        let is_always = matches!(
            directive,
            Directive::Stop { .. } | Directive::Recall { .. } | Directive::Block { .. }
        );
        let line = match is_always {
            false => match self.open_line(site)? {
                Ok(line) => line,
                Err(refused) => return Ok(Err(refused)),
            },
            true => match self.line(site)? {
                Some(line) if line.site.closed_at.is_none() => line,
                Some(_) => return Ok(Err(Refused::Gone(site.clone()))),
                None => return Ok(Err(Refused::UnknownSite(site.clone()))),
            },
        };
        self.issue(&line, directive).map(Ok)
    }

    /// Every site to which something may go.
    fn open_sites(&mut self) -> Result<Vec<SiteId>, StoreError> {
        let all = sites::all(self.tx)?;
        let open = all
            .into_iter()
            .filter(|site| site.state == State::Following && site.closed_at.is_none() && site.revoked_at.is_none());
        Ok(open.map(|site| site.id).collect())
    }

    /// The planted bug: money whose arrival nobody has told of for a minute is taken to be free.
    fn free_on_time_out(&mut self, member: &MemberId) -> Result<(), StoreError> {
        for issue in issues::on_road_of(self.tx, member)? {
            if self.now.ms_since(issue.made_at) > LINE_UP_MS {
                self.give_back(&issue, "time-out")?;
            }
        }
        Ok(())
    }

    /// Holds a member fast whose money may be spent.
    fn spender(&mut self, member: &MemberId) -> Decided<Member> {
        if is_planted(Bug::FreedOnTimeOut) {
            self.free_on_time_out(member)?;
        }
        let Some(found) = members::hold(self.tx, member)? else {
            return Ok(Err(Refused::UnknownMember(member.clone())));
        };
        if let Some(refused) = self.frozen(&found)? {
            return Ok(Err(refused));
        }
        if let Some(why) = found.blocked {
            let member = member.clone();
            return Ok(Err(Refused::Blocked { member, why }));
        }
        Ok(Ok(found))
    }

    /// Why nothing leaves a wallet at all, not even what its member owes.
    fn frozen(&mut self, member: &Member) -> Result<Option<Refused>, StoreError> {
        if let Some(why) = identity::frozen(self.tx)? {
            return Ok(Some(Refused::AllFrozen(why)));
        }
        if let Some(why) = &member.frozen {
            let (member, why) = (member.id.clone(), why.clone());
            return Ok(Some(Refused::Frozen { member, why }));
        }
        for site in missing::all(self.tx)? {
            if at_sites::knows(self.tx, &site, &member.id)? {
                let why = format!(
                    "site {site} was named as missing when head office's database was restored: it ends once the site has closed \
                     the vouchers of before"
                );
                let member = member.id.clone();
                return Ok(Some(Refused::Frozen { member, why }));
            }
        }
        Ok(None)
    }

    /// Whether anything may leave a member's wallet but what they owe.
    fn may_spend(&mut self, member: &Member) -> Result<bool, StoreError> {
        Ok(member.blocked.is_none() && self.frozen(member)?.is_none())
    }

    /// Why nothing leaves any wallet; none where it may.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn why_all_frozen(&mut self) -> Result<Option<String>, StoreError> {
        identity::frozen(self.tx)
    }

    /// Nothing leaves any wallet from now on.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn freeze_all(&mut self, why: &str) -> Result<(), StoreError> {
        identity::freeze(self.tx, Some(why))
    }

    /// Lets wallets go after head office's database was restored from a copy: every site has said since what it has of head office's,
    /// or people name it as missing (rule 4). Then they pay what is owed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn let_wallets_go(&mut self, missing: &BTreeSet<SiteId>) -> Decided<()> {
        let mut silent = Vec::new();
        for site in sites::all(self.tx)? {
            // One that never said anything was told nothing.
            if site.closed_at.is_some() || site.epoch.is_none() {
                continue;
            }
            let Some(line) = self.line(&site.id)? else { continue };
            if at_sites::goes_by(self.tx, &site.id)? != Some(line.hq_epoch) {
                silent.push((site.id, line.hq_epoch));
            }
        }
        if silent.iter().any(|(site, _)| !missing.contains(site)) {
            let sites = silent.into_iter().map(|(site, _)| site).collect();
            return Ok(Err(Refused::Silent(sites)));
        }
        for (site, epoch) in silent {
            let since = identity::begun_at(self.tx, epoch)?.unwrap_or(self.now);
            missing::name(self.tx, &site, since, &self.by)?;
        }
        identity::freeze(self.tx, None)?;
        for member in at_sites::owing(self.tx, None)? {
            self.wallet_moved(&member)?;
        }
        Ok(Ok(()))
    }

    /// What can be spent of a wallet: all but what was gathered for orders that are not placed yet (rule 18).
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn spendable(&mut self, member: &MemberId) -> Result<Fen, StoreError> {
        let balance = ledger::balance(self.tx, &ledger::wallet(member))?;
        let reserved = placings::gathering(self.tx, member, self.now)?;
        let reserved: Fen = reserved.iter().map(|placing| placing.prepay).sum();
        Ok((balance - reserved).max(Fen::ZERO))
    }

    /// Books one movement.
    fn book(&mut self, movement: Movement) -> Result<(), StoreError> {
        ledger::book(self.tx, &[movement])
    }

    /// Puts money of a wallet on the road, under an issue. It is there: whoever calls has looked.
    fn send(&mut self, issue: &issues::Issue) -> Result<(), StoreError> {
        issues::add(self.tx, issue)?;
        if is_planted(Bug::LeaseAsLimit) {
            return Ok(());
        }
        self.book(Movement {
            id: format!("issue:{}", issue.id),
            debit: ledger::wallet(&issue.member),
            credit: ledger::transit(&issue.site, &issue.member),
            amount: issue.amount,
            code: LEASE,
            site: Some(issue.site.clone()),
            order: issue.order.clone(),
            member: Some(issue.member.clone()),
            at: self.now,
            by: Some(issue.made_by.clone()),
            ..Movement::default()
        })
    }

    /// An issue, all of which is on the road.
    fn new_issue(&self, id: String, line: &Line, member: &MemberId, kind: issues::Kind, amount: Fen) -> issues::Issue {
        issues::Issue {
            id,
            site: line.site.id.clone(),
            member: member.clone(),
            kind,
            amount,
            rest: amount,
            state: issues::State::OnRoad,
            order: None,
            expires_at: None,
            epoch: None,
            hq_epoch: line.hq_epoch,
            made_at: self.now,
            made_by: self.by.clone(),
        }
    }

    /// What is on the road of an issue goes back to the wallet, for a cause that has this id.
    fn give_back(&mut self, issue: &issues::Issue, cause: &str) -> Result<(), StoreError> {
        let amount = issue.rest;
        issues::give_back(self.tx, issue, self.now)?;
        if amount == Fen::ZERO {
            return Ok(());
        }
        self.book(Movement {
            id: format!("{cause}:{}", issue.id),
            debit: ledger::transit(&issue.site, &issue.member),
            credit: ledger::wallet(&issue.member),
            amount,
            code: LEASE_RETURN,
            site: Some(issue.site.clone()),
            order: issue.order.clone(),
            member: Some(issue.member.clone()),
            at: self.now,
            ..Movement::default()
        })
    }
}
