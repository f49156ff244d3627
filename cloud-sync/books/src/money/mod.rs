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
//! | `refused` | why something is not done |
//! | `payouts` | what two people say that a channel has paid out |
//! | `adjustments` | two people add to a wallet, or take from it |
//! | `bills` | what people decide of bills at head office |
//! | `waiting` | what waits for a person's decision is decided once, and by two where it takes two |
//! | `closing` | a site that never comes back: its members' money comes back |
//! | `standing` | whoever charges often at a site keeps money there |
//! | `discrepancies`, `undecided` | what people decide of a channel's discrepancies; why they cannot |
//! | `suspense` | where the money of discrepancies is |
//! | [`sent_back`] | the same, line by line of a table that was filled in |
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
mod refused;
pub mod sent_back;
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
pub use refused::Refused;
pub(crate) use suspense::clearing;
pub use topups::{Callback, Credited, Paid};
pub use undecided::Undecided;

use crate::store::{
    StoreError, Tx, at_sites, directives, identity, issues,
    ledger::{self, Movement},
    members::{self, Member},
    missing, placings, sites,
};
use domain::{
    head_office::{Directive, DirectiveNo, DirectiveRow, HqEpoch},
    ids::{MemberId, SiteId},
    planted::{Bug, is_planted},
    time::Wall,
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
    pub fn tx(&mut self) -> &mut dyn Tx {
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
