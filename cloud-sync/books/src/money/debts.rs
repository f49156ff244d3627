//! What members owe. A wallet pays at once, oldest debt first (rule 19); only the rest is owed, and sites where the member is known
//! are told of what is owed elsewhere.

use super::{Money, RULE, Refused};
use crate::store::{
    Db, StoreError,
    at_sites::{self, AtSite},
    directives,
    issues::{self, Issue, Kind},
    members::{self, Member},
};
use domain::{
    head_office::Directive,
    ids::{MemberId, OrderId, SiteId},
    time::Wall,
    units::Fen,
};
use std::collections::BTreeSet;

/// A debt whose payment the site could not take is paid no sooner than so long after that, in milliseconds: the money would go to and fro
/// without an end.
const REFUSED_MS: i64 = 86_400_000;

/// What an order owes, less what is on the road for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Debt {
    pub site: SiteId,
    pub order: OrderId,
    pub amount: Fen,
}

/// Has every wallet pay what its member owes, as far as it can: what a site could not take when it was paid, or while it was away, is
/// paid by nothing else where no money moves. Each in a transaction of its own, so that nobody waits for all of them. The sites that
/// something was issued to.
pub async fn pay_again(db: &Db, now: impl Fn() -> Wall) -> BTreeSet<SiteId> {
    let mut rung = BTreeSet::new();
    let owing = match db.read(|tx| at_sites::owing(tx, None)).await {
        Ok(owing) => owing,
        Err(error) => {
            tracing::warn!("who owes something cannot be looked up: {error}");
            return rung;
        }
    };
    for member in owing {
        let (of, now) = (member.clone(), now());
        let paid = db.write(move |tx| {
            let mut money = Money::new(tx, now, RULE);
            money.wallet_moved(&of)?;
            Ok(money.into_rung())
        });
        match paid.await {
            Ok(sites) => rung.extend(sites),
            Err(error) => tracing::warn!(%member, "what they owe cannot be paid: {error}"),
        }
    }
    rung
}

impl Money<'_> {
    /// A member's debts, the oldest first.
    fn debts(&mut self, member: &MemberId) -> Result<Vec<Debt>, StoreError> {
        let owing = at_sites::debts(self.tx, member)?;
        if owing.is_empty() {
            return Ok(Vec::new());
        }
        let on_road = issues::on_road_of(self.tx, member)?;
        let paid = |site: &SiteId, order: &OrderId| -> Fen {
            let of = |issue: &&Issue| {
                issue.kind == Kind::DebtPaid && issue.site == *site && issue.order.as_ref() == Some(order)
            };
            on_road.iter().filter(of).map(|issue| issue.rest).sum()
        };
        let debts = owing.into_iter().map(|(site, order, debt)| Debt {
            amount: debt - paid(&site, &order),
            site,
            order,
        });
        Ok(debts.filter(|debt| debt.amount > Fen::ZERO).collect())
    }

    /// What a member owes, but at one site.
    pub(super) fn owed(&mut self, member: &MemberId, but_at: Option<&SiteId>) -> Result<Fen, StoreError> {
        let debts = self.debts(member)?;
        let at_sites = debts.iter().filter(|debt| Some(&debt.site) != but_at);
        let at_sites: Fen = at_sites.map(|debt| debt.amount).sum();
        Ok(at_sites + self.own_debt(member)?)
    }

    /// The wallet pays what it can, and sites are told of the rest. The member is held fast.
    pub(super) fn settle_debts(&mut self, member: &Member) -> Result<(), StoreError> {
        let debts = self.debts(&member.id)?;
        let owes = !debts.is_empty() || self.own_debt(&member.id)? > Fen::ZERO;
        // Nothing leaves a wallet that is frozen, not even this; it pays once it is let go.
        if owes && self.frozen(member)?.is_none() {
            self.pay_own_debt(&member.id)?;
            for debt in debts {
                let pays = debt.amount.min(self.spendable(&member.id)?);
                if pays <= Fen::ZERO {
                    break;
                }
                if self.was_refused(&debt)? {
                    continue;
                }
                self.pay(member, &debt, pays)?;
            }
        }
        self.tell_what_is_owed(member)
    }

    /// Whether the site has refused lately what a wallet had paid of a debt.
    fn was_refused(&mut self, debt: &Debt) -> Result<bool, StoreError> {
        let last = directives::last_about(self.tx, &debt.site, "debt_paid", debt.order.as_str())?;
        let refused = last.filter(|last| matches!(last.state, directives::State::Refused(_)));
        let refused_at = refused.and_then(|refused| refused.ended_at);
        Ok(refused_at.is_some_and(|at| self.now.ms_since(at) < REFUSED_MS))
    }

    fn pay(&mut self, member: &Member, debt: &Debt, amount: Fen) -> Result<(), StoreError> {
        let line = match self.open_line(&debt.site)? {
            Ok(line) => line,
            // It is paid once the site's journal is followed again.
            Err(Refused::NotFollowed { .. } | Refused::Gone(_)) => return Ok(()),
            Err(other) => return Err(StoreError::Broken(other.to_string())),
        };
        // The receipt is of the money on the road: whoever asks at a desk is shown the same number.
        let receipt = format!("HQ-{}-{}", debt.order, self.now.0);
        let no = self.issue(
            &line,
            &Directive::DebtPaid {
                order: debt.order.clone(),
                amount,
                receipt,
            },
        )?;
        let id = issues::of_directive(&debt.site, no);
        let issue = Issue {
            order: Some(debt.order.clone()),
            ..self.new_issue(id, &line, &member.id, Kind::DebtPaid, amount)
        };
        self.send(&issue)
    }

    /// Tells each site that knows the member what they owe at others, where it does not know that.
    fn tell_what_is_owed(&mut self, member: &Member) -> Result<(), StoreError> {
        for at in at_sites::of_member(self.tx, &member.id)? {
            self.tell_owed_at(member, &at)?;
        }
        Ok(())
    }

    /// Tells a site what the member owes at others, where neither its row says so nor what is on its way there.
    pub(super) fn tell_owed_at(&mut self, member: &Member, at: &AtSite) -> Result<(), StoreError> {
        let owes = self.owed(&member.id, Some(&at.site))?;
        let known = match self.last_told(&at.site, "owes", member.id.as_str())? {
            Some(Directive::Owes { amount, .. }) => amount,
            _ => at.owes,
        };
        if known == owes {
            return Ok(());
        }
        // A site that cannot be told now is told with the next change, or when it is followed again.
        let _told_later = self.direct(
            &at.site,
            &Directive::Owes {
                member: member.id.clone(),
                amount: owes,
            },
        )?;
        Ok(())
    }

    /// Money has come into a wallet, or a debt has changed, or what stood in the way of paying one may be gone, a site that was away or
    /// had refused: debts are paid first, then orders go on their way that wait for money.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn wallet_moved(&mut self, member: &MemberId) -> Result<(), StoreError> {
        match members::hold(self.tx, member)? {
            Some(held) => self.wallet_of_moved(&held),
            None => Ok(()),
        }
    }

    /// The same of a member who is held fast.
    pub(super) fn wallet_of_moved(&mut self, member: &Member) -> Result<(), StoreError> {
        self.settle_debts(member)?;
        self.go_on_placing(member)
    }
}
