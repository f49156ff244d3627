//! Wallets are adjusted by two people (调账): what a till was short of (rule 20), what a member had above a fork (rule 8), what was
//! promised. What a wallet cannot give is owed, and paid by whatever comes into it next (rule 19).

use super::{Decided, Money, REFUND_ACCOUNT, Refused, waiting::Proposed};
use crate::store::{
    StoreError,
    adjustments::{self, Adjustment, OfFinding, State},
    at_sites,
    findings::{self, Class, Found},
    inbox, ledger,
    ledger::Movement,
    members,
};
use domain::{ids::MemberId, time::Wall, units::Fen};
use serde::Deserialize;
use serde_json::json;

/// The code of an adjustment.
const ADJUST: &str = "ADJUST";
/// What a member is told of one that was posted.
pub const WALLET_ADJUSTED: &str = "wallet_adjusted";

/// What somebody wants to be adjusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adjust {
    /// The adjustment's number.
    pub id: String,
    /// Whose wallet.
    pub member: MemberId,
    /// What it gets; below zero what it gives. Not zero.
    pub amount: Fen,
    /// Why.
    pub reason: String,
    /// The finding it is about, if it is about one.
    pub finding: Option<OfFinding>,
}

/// What a finding's detail says of members.
#[derive(Debug, Default, Deserialize)]
struct Says {
    member: Option<MemberId>,
    amount: Option<Fen>,
    #[serde(default)]
    members: Vec<SaysOf>,
}

#[derive(Debug, Deserialize)]
struct SaysOf {
    member: MemberId,
    amount: Fen,
}

impl Money<'_> {
    /// Proposes an adjustment, which waits for a second person. Of a finding a member has one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn propose_adjustment(&mut self, of: &Adjust) -> Decided<Adjustment> {
        if members::hold(self.tx, &of.member)?.is_none() {
            return Ok(Err(Refused::UnknownMember(of.member.clone())));
        }
        if let Some(finding) = &of.finding {
            let Some(found) = findings::find(self.tx, finding)? else {
                return Ok(Err(Refused::UnknownFinding(finding.clone())));
            };
            if let Some(refused) = self.differs(of, &found)? {
                return Ok(Err(refused));
            }
            if let Some(other) = adjustments::of_finding(self.tx, finding, &of.member)? {
                return Ok(Err(Refused::Adjusted { adjustment: other.id }));
            }
        }
        let adjustment = Adjustment {
            id: of.id.clone(),
            member: of.member.clone(),
            amount: of.amount,
            reason: of.reason.clone(),
            finding: of.finding.clone(),
            state: State::Proposed,
            proposed_by: self.by.clone(),
            proposed_at: self.now,
            decided_by: None,
            decided_at: None,
        };
        adjustments::add(self.tx, &adjustment)?;
        Ok(Ok(adjustment))
    }

    /// What is not as the finding says: whose wallet, and which way and how much where it says that.
    fn differs(&mut self, of: &Adjust, found: &Found) -> Result<Option<Refused>, StoreError> {
        let says: Says = serde_json::from_str(&found.finding.detail).unwrap_or_default();
        let named: Vec<(MemberId, Option<Fen>)> = match (found.finding.class, says.member) {
            (Class::Cash, Some(member)) => vec![(member, says.amount.map(|amount| Fen(-amount.0)))],
            (Class::AboveFork, _) => {
                let members = says.members.into_iter();
                members.map(|of| (of.member, Some(of.amount))).collect()
            }
            (_, Some(member)) => vec![(member, None)],
            (_, None) => match &found.finding.order {
                None => return Ok(None),
                Some(order) => {
                    let member = at_sites::member_of_order(self.tx, &found.site, order)?;
                    member.into_iter().map(|member| (member, None)).collect()
                }
            },
        };
        let Some((_, says)) = named.into_iter().find(|(member, _)| *member == of.member) else {
            return Ok(Some(Refused::NotInFinding(of.member.clone())));
        };
        let fits = |says: Fen| of.amount.0.signum() == says.0.signum() && of.amount.0.abs() <= says.0.abs();
        Ok(says.filter(|says| !fits(*says)).map(|says| Refused::OtherThanFinding {
            member: of.member.clone(),
            says,
        }))
    }

    /// A second person has it posted: the wallet gets it, or owes it and pays what it can at once.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn approve_adjustment(&mut self, id: &str) -> Decided<Adjustment> {
        let waits: Adjustment = match self.waiting_for_second(id)? {
            Ok(waits) => waits,
            Err(refused) => return Ok(Err(refused)),
        };
        let by = self.by.clone();
        adjustments::decide(self.tx, id, &State::Posted, &by, self.now)?;
        let (debit, credit) = match waits.amount > Fen::ZERO {
            true => (REFUND_ACCOUNT.to_owned(), ledger::wallet(&waits.member)),
            false => (ledger::debt(&waits.member), REFUND_ACCOUNT.to_owned()),
        };
        self.book(Movement {
            id: format!("adjustment:{id}"),
            debit,
            credit,
            amount: Fen(waits.amount.0.abs()),
            code: ADJUST,
            site: waits.finding.as_ref().map(|finding| finding.site.clone()),
            member: Some(waits.member.clone()),
            at: self.now,
            by: Some(by),
            ..Movement::default()
        })?;
        let words = match waits.amount > Fen::ZERO {
            true => format!("账户调账：已入账 {} 元。{}", waits.amount, waits.reason),
            false => format!("账户调账：应扣 {} 元。{}", Fen(-waits.amount.0), waits.reason),
        };
        let body = json!({
            "at": self.now.to_string(), "adjustment": id, "amount": waits.amount.to_string(), "reason": waits.reason, "text": words,
        });
        let key = format!("adjustment:{id}");
        inbox::tell(self.tx, &waits.member, WALLET_ADJUSTED, &key, &body, self.now)?;
        self.wallet_moved(&waits.member)?;
        self.adjustment_again(id).map(Ok)
    }

    /// Somebody says no to one that waits, and why: the one who proposed it may, too.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn reject_adjustment(&mut self, id: &str, reason: &str) -> Decided<Adjustment> {
        if let Err(refused) = self.waiting::<Adjustment>(id)? {
            return Ok(Err(refused));
        }
        let by = self.by.clone();
        adjustments::decide(self.tx, id, &State::Rejected(reason.to_owned()), &by, self.now)?;
        self.adjustment_again(id).map(Ok)
    }

    fn adjustment_again(&mut self, id: &str) -> Result<Adjustment, StoreError> {
        adjustments::find(self.tx, id)?.ok_or_else(|| StoreError::Broken(format!("adjustment {id} is not there")))
    }
}

impl Proposed for Adjustment {
    type Id = str;

    fn find(money: &mut Money<'_>, id: &str) -> Result<Option<Self>, StoreError> {
        adjustments::find(money.tx, id)
    }

    fn hold(&self, money: &mut Money<'_>) -> Result<(), StoreError> {
        members::hold(money.tx, &self.member).map(drop)
    }

    fn waits(&self) -> Option<(&str, Wall)> {
        (self.state == State::Proposed).then_some((self.proposed_by.as_str(), self.proposed_at))
    }

    fn unknown(id: &str) -> Refused {
        Refused::UnknownAdjustment(id.to_owned())
    }

    fn decided(self) -> Refused {
        Refused::AdjustmentDecided {
            adjustment: self.id,
            state: self.state.word(),
        }
    }
}
