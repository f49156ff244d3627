//! What a site's journal says of members' money: what has arrived, what goes back, what was refused. The site's own movements are
//! booked as they are; here is what head office's own accounts do with them.
//!
//! Facts post only out of what is on the road (rule 15). One whose cause the database does not know, because it was restored from
//! a copy, is covered by the wallet first, and by `restore:{s}:{m}` for the rest (rule 4).

use super::{LEASE_RETURN, Money, RESTORE, RULE, VOUCHER_MS_MAX, refunds::Marked};
use crate::store::{
    StoreError, Tx, at_sites, bill_decisions, directives,
    findings::{Class, Finding},
    identity,
    issues::{self, State},
    ledger::{self, Movement},
    members, missing, placings, refunds,
    sites::{self, Site},
};
use domain::{
    fact::{Fact, PaidFrom},
    head_office::{Directive, DirectiveNo, HqEpoch, LeasedBy, RefusedDirective},
    ids::{CardId, MemberId, OrderId, Outlet, SiteId},
    journal::{Entry, Stamp},
    planted::{Bug, is_planted},
    time::Wall,
    units::Fen,
};
use std::collections::{BTreeMap, BTreeSet};

/// The kind of directives by which sites mark refunds.
const REFUND_MARK: &str = "refund_mark";

/// What of an entry head office's money has to do with.
#[derive(Debug, Clone)]
pub struct Said {
    stamp: Stamp,
    /// The run of the journal that it is of.
    epoch: String,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    Arrived {
        member: MemberId,
        amount: Fen,
        issue: String,
    },
    Returned {
        member: MemberId,
        amount: Fen,
        order: Option<OrderId>,
    },
    Taken {
        directive: DirectiveNo,
        sha256: String,
        refused: Option<RefusedDirective>,
    },
    VouchersClosed(Wall),
    Restored,
    /// The site goes by this life of head office's, and by none before it.
    Seen(HqEpoch),
    Wished {
        card: CardId,
        outlet: Outlet,
    },
    /// A debt was made, cut or paid.
    Debt(OrderId),
    /// An order is over.
    Over(OrderId),
    /// An order is there.
    Placed(OrderId),
    /// The site knows a member of head office's.
    Known(MemberId),
    /// A refund stands in the order's row.
    Marked {
        order: OrderId,
        amount: Fen,
        reference: String,
    },
    /// What its driver has paid for an order is another.
    Billed(OrderId),
    /// A top-up was typed wrong, and the member has so much of it at the site no more.
    Missing {
        member: MemberId,
        receipt: String,
        amount: Fen,
    },
}

/// What an entry says of members' money, if anything.
pub fn said(site: &SiteId, entry: &Entry) -> Vec<Said> {
    let of = |what: What| Said {
        stamp: entry.stamp,
        epoch: entry.epoch.to_string(),
        what,
    };
    let what = match &entry.fact {
        Fact::LeaseReceived { member, amount, by } => What::Arrived {
            member: member.clone(),
            amount: *amount,
            issue: match by {
                LeasedBy::Directive(no) => issues::of_directive(site, *no),
                LeasedBy::Voucher { id, .. } => id.clone(),
            },
        },
        Fact::DebtPaid {
            member,
            order,
            amount,
            from: PaidFrom::HeadOffice,
            directive,
            ..
        } => {
            let issue = directive.map(|no| issues::of_directive(site, no));
            let arrived = What::Arrived {
                member: member.clone(),
                amount: *amount,
                issue: issue.unwrap_or_default(),
            };
            return vec![
                of(arrived),
                of(What::Debt(order.clone())),
                of(What::Billed(order.clone())),
            ];
        }
        Fact::DebtPaid { order, .. } => {
            return vec![of(What::Debt(order.clone())), of(What::Billed(order.clone()))];
        }
        Fact::LeaseReturned {
            member, amount, order, ..
        } => What::Returned {
            member: member.clone(),
            amount: *amount,
            order: order.clone(),
        },
        Fact::DirectiveTaken {
            directive,
            sha256,
            refused,
        } => What::Taken {
            directive: *directive,
            sha256: sha256.clone(),
            refused: refused.clone(),
        },
        Fact::VouchersClosed { until } => What::VouchersClosed(*until),
        Fact::Restored { .. } => What::Restored,
        Fact::HeadOfficeSeen { hq_epoch } => What::Seen(*hq_epoch),
        Fact::StartWished { card, outlet, .. } => What::Wished {
            card: card.clone(),
            outlet: outlet.clone(),
        },
        Fact::OrderPlaced { order, .. } => What::Placed(order.clone()),
        Fact::MemberRegistered {
            member,
            head_office: true,
            ..
        } => What::Known(member.clone()),
        Fact::OrderSettled { order, .. } => {
            let (debt, over) = (What::Debt(order.clone()), What::Over(order.clone()));
            return vec![of(debt), of(over), of(What::Billed(order.clone()))];
        }
        Fact::TopUpReversed {
            member,
            receipt,
            missing,
            ..
        } if *missing > Fen::ZERO => What::Missing {
            member: member.clone(),
            receipt: receipt.clone(),
            amount: *missing,
        },
        Fact::RefundMarked {
            order,
            amount,
            reference,
        } => What::Marked {
            order: order.clone(),
            amount: *amount,
            reference: reference.clone(),
        },
        Fact::BillCorrected { order, .. } => What::Debt(order.clone()),
        _ => return Vec::new(),
    };
    vec![of(what)]
}

/// Before a site's movements are booked: what has arrived comes off the road, and what is not on it is put there out of the
/// wallet, or of what the restore owes.
///
/// # Errors
/// [`StoreError`].
pub fn cover(tx: &mut dyn Tx, site: &Site, said: &[Said], now: Wall) -> Result<Vec<Finding>, StoreError> {
    let mut members_held = BTreeSet::new();
    let refunded = refunds::among(tx, &site.id, &billed(said))?;
    members_held.extend(refunded.into_iter().map(|(member, _)| member));
    for of in said {
        match &of.what {
            What::Arrived { member, .. } | What::Returned { member, .. } => {
                members_held.insert(member.clone());
            }
            What::Taken { directive, sha256, .. } => {
                let issue = issues::find(tx, &issues::of_directive(&site.id, *directive))?;
                members_held.extend(issue.map(|issue| issue.member));
                if let Some(reference) = marks(tx, &site.id, (*directive, sha256))? {
                    let refund = refunds::find(tx, &reference)?;
                    members_held.extend(refund.map(|refund| refund.member));
                }
            }
            What::Marked { order, .. } => members_held.extend(at_sites::member_of_order(tx, &site.id, order)?),
            What::VouchersClosed(_) | What::Restored => {
                members_held.extend(issues::vouchers_of(tx, &site.id)?.into_iter().map(|issue| issue.member));
            }
            What::Seen(epoch) => {
                let before = issues::from_before(tx, &site.id, *epoch)?;
                members_held.extend(before.into_iter().map(|issue| issue.member));
            }
            What::Known(member) => {
                members_held.insert(member.clone());
            }
            What::Wished { .. }
            | What::Debt(_)
            | What::Over(_)
            | What::Placed(_)
            | What::Billed(_)
            | What::Missing { .. } => {}
        }
    }
    // In the order of their ids, so that two that do this do not wait for each other in a circle.
    for member in &members_held {
        if members::hold(tx, member)?.is_none() {
            members::remember(tx, member, now)?;
        }
    }
    let mut findings = Vec::new();
    for Said { stamp, what, .. } in said {
        let What::Arrived { member, amount, issue } = what else {
            continue;
        };
        let found = issues::find(tx, issue)?;
        let found =
            found.filter(|found| found.state == State::OnRoad && found.member == *member && found.site == site.id);
        let covered = found.as_ref().map_or(Fen::ZERO, |found| found.rest.min(*amount));
        if let Some(found) = &found
            && covered > Fen::ZERO
        {
            issues::arrive(tx, found, covered, (site.branch, stamp.seq), now)?;
        }
        let missing = *amount - covered;
        if missing > Fen::ZERO {
            tracing::error!(
                site = %site.id, %member,
                "entry {} says that {missing} yuan have arrived that are not on the road: they come out of the wallet",
                stamp.seq
            );
            let mut money = Money::new(tx, now, RULE);
            let cause = format!("{}:{}:{}", site.id, site.branch, stamp.seq);
            let owed = money.cover_forgotten(&site.id, member, missing, &cause)?;
            let detail = serde_json::json!({
                "why": "money has arrived of a cause that head office does not know; what the wallet had not is owed by `restore`",
                "member": member.as_str(), "issue": issue, "amount": missing, "owed": owed,
            });
            findings.push(Finding {
                class: Class::Forgotten,
                seq: stamp.seq,
                order: None,
                detail: detail.to_string(),
            });
        }
    }
    Ok(findings)
}

/// The orders of which it is said that their drivers have paid more or less.
fn billed(said: &[Said]) -> BTreeSet<OrderId> {
    let order = |of: &Said| match &of.what {
        What::Billed(order) => Some(order.clone()),
        _ => None,
    };
    said.iter().filter_map(order).collect()
}

/// The number of the refund that a directive has a site mark, if it is one.
fn marks(tx: &mut dyn Tx, site: &SiteId, (no, sha256): (DirectiveNo, &str)) -> Result<Option<String>, StoreError> {
    let known = directives::find(tx, site, no)?;
    let known = known.filter(|known| known.kind == REFUND_MARK && known.sha256() == sha256);
    let Some(known) = known else { return Ok(None) };
    Ok(match known.directive()? {
        Directive::RefundMark { reference, .. } => Some(reference),
        _ => None,
    })
}

/// After a site's movements are booked and its rows are written: what goes back goes back, directives end, and whatever follows
/// from money that came free. The sites that something was issued to, and what people are to see.
///
/// # Errors
/// [`StoreError`].
pub fn follow(
    tx: &mut dyn Tx,
    site: &Site,
    said: &[Said],
    now: Wall,
) -> Result<(BTreeSet<SiteId>, Vec<Finding>), StoreError> {
    let refunded = refunds::among(tx, &site.id, &billed(said))?;
    let mut refunded: BTreeMap<OrderId, MemberId> =
        refunded.into_iter().map(|(member, order)| (order, member)).collect();
    let mut money = Money::new(tx, now, RULE);
    let (mut moved, mut findings) = (BTreeSet::new(), Vec::new());
    let (mut over, mut known) = (BTreeSet::new(), BTreeSet::new());
    for of in said {
        let (seq, age_ms) = (of.stamp.seq, site.mono.ms_since(of.stamp.mono));
        let cause = format!("{}:{}:{seq}", site.id, site.branch);
        let at = Marked {
            site: &site.id,
            branch: site.branch,
            seq,
        };
        match &of.what {
            What::Arrived { .. } => {}
            What::Returned { member, amount, order } => {
                money.returned(&site.id, (member, *amount, order.as_ref()), &cause)?;
                moved.insert(member.clone());
            }
            What::Taken {
                directive,
                sha256,
                refused,
            } => {
                moved.extend(money.taken(site, (*directive, sha256), refused.as_ref(), (seq, &cause))?);
                if let Some(reference) = marks(money.tx, &site.id, (*directive, sha256))? {
                    findings.extend(money.mark_taken(at, &reference, refused.as_ref(), &cause)?);
                }
            }
            What::Marked {
                order,
                amount,
                reference,
            } => {
                let (finding, member) = money.marked(at, (order, *amount, reference), &cause)?;
                findings.extend(finding);
                moved.extend(member);
                // One that was forgotten has a row from here on.
                if let Some(member) = at_sites::member_of_order(money.tx, &site.id, order)? {
                    refunded.insert(order.clone(), member);
                }
            }
            What::Missing {
                member,
                receipt,
                amount,
            } => findings.push(Finding {
                class: Class::Cash,
                seq,
                order: None,
                detail: serde_json::json!({
                    "why": "a top-up was typed wrong, and the member has so much of it at the site no more: the till is short of it",
                    "member": member.as_str(), "receipt": receipt, "amount": amount,
                })
                .to_string(),
            }),
            What::Billed(order) => {
                if let Some(member) = refunded.get(order) {
                    findings.extend(money.billed(at, member, order)?);
                }
            }
            What::VouchersClosed(until) => {
                // No voucher of before counts longer than that.
                if missing::is_back(money.tx, &site.id, until.after_ms(-VOUCHER_MS_MAX))? {
                    moved.extend(at_sites::owing(money.tx, Some(&site.id))?);
                }
                moved.extend(money.close_vouchers(&site.id, &cause, |issue| {
                    issue.expires_at.is_some_and(|ends| ends <= *until) || is_planted(Bug::VoucherReturnedEarly)
                })?);
            }
            What::Restored => {
                let epoch = of.epoch.clone();
                moved
                    .extend(money.close_vouchers(&site.id, &cause, move |issue| issue.epoch.as_ref() != Some(&epoch))?);
            }
            What::Seen(epoch) => moved.extend(money.only_of(&site.id, *epoch, &cause)?),
            What::Wished { card, outlet } => money.wished(&site.id, card, outlet, (seq, age_ms))?,
            What::Placed(order) => {
                if placings::find(money.tx, order)?.is_some_and(|placing| placing.site == site.id) {
                    placings::set(money.tx, order, &placings::State::Placed)?;
                }
            }
            What::Known(member) => {
                known.insert(member.clone());
            }
            What::Debt(order) => moved.extend(at_sites::member_of_order(money.tx, &site.id, order)?),
            What::Over(order) => over.extend(at_sites::member_of_order(money.tx, &site.id, order)?),
        }
    }
    for member in &moved {
        money.wallet_moved(member)?;
    }
    for member in &known {
        if let Some(member) = members::hold(money.tx, member)? {
            money.known_at(&member, &site.id)?;
        }
    }
    for member in &over {
        if let Some(member) = members::hold(money.tx, member)? {
            money.keep_standing(&member, &site.id)?;
        }
    }
    Ok((money.into_rung(), findings))
}

/// There is another journal of a site: what may go there still does not wait for what may not.
///
/// # Errors
/// [`StoreError`].
pub fn forked(tx: &mut dyn Tx, site: &Site, now: Wall) -> Result<(), StoreError> {
    let own = match site.hq_epoch {
        Some(epoch) => Some(epoch),
        None => identity::epoch(tx)?,
    };
    match own {
        Some(epoch) => directives::stops_past_money(tx, (&site.id, epoch), now),
        None => Ok(()),
    }
}

/// A site goes over to another branch of its journal, which knows nothing of what has arrived after the place where it leaves:
/// that is on the road again, against what the restore owes (rule 8). Whose, and how much.
///
/// Another life of head office's speaks to the site from now on;
/// what the branch that lives has not taken of the earlier one comes back when it says that it has seen the new one.
///
/// # Errors
/// [`StoreError`].
pub fn reopen(
    tx: &mut dyn Tx,
    site: &Site,
    left: u64,
    epoch: HqEpoch,
    now: Wall,
) -> Result<BTreeMap<MemberId, Fen>, StoreError> {
    let mut money = Money::new(tx, now, RULE);
    let mut reopened = BTreeMap::<MemberId, Fen>::new();
    for issue in issues::arrived_after(money.tx, &site.id, site.branch, left)? {
        members::hold(money.tx, &issue.member)?;
        let amount = issues::reopen(money.tx, &issue)?;
        if amount > Fen::ZERO {
            *reopened.entry(issue.member.clone()).or_default() += amount;
            money.book(Movement {
                id: format!("{}:{}:open:{}", site.id, site.branch, issue.id),
                debit: format!("restore:{}", site.id),
                credit: ledger::transit(&site.id, &issue.member),
                amount,
                code: RESTORE,
                site: Some(site.id.clone()),
                order: issue.order.clone(),
                member: Some(issue.member.clone()),
                at: now,
                ..Movement::default()
            })?;
        }
    }
    directives::reopen_after(money.tx, &site.id, site.branch, left)?;
    money.unmark(&site.id, site.branch, left)?;
    sites::begin_hq_epoch(tx, &site.id, epoch)?;
    identity::has_lived(tx, epoch, now)?;
    Ok(reopened)
}

impl Money<'_> {
    /// Money has arrived of which the database knows no more: it comes out of the wallet, and what that has not is owed by
    /// `restore:{s}:{m}`. How much that is.
    fn cover_forgotten(
        &mut self,
        site: &SiteId,
        member: &MemberId,
        amount: Fen,
        cause: &str,
    ) -> Result<Fen, StoreError> {
        let has = ledger::balance(self.tx, &ledger::wallet(member))?;
        let from_wallet = match is_planted(Bug::RestorePaysFirst) {
            true => Fen::ZERO,
            false => amount.min(has),
        };
        let parts = [
            ("wallet", ledger::wallet(member), from_wallet),
            ("restore", format!("restore:{site}:{member}"), amount - from_wallet),
        ];
        for (name, debit, part) in parts {
            if part > Fen::ZERO {
                self.book(Movement {
                    id: format!("{cause}.{name}"),
                    debit,
                    credit: ledger::transit(site, member),
                    amount: part,
                    code: RESTORE,
                    site: Some(site.clone()),
                    member: Some(member.clone()),
                    at: self.now,
                    ..Movement::default()
                })?;
            }
        }
        Ok(amount - from_wallet)
    }

    /// Money has come back from a site: it is on the road by the site's own movement, and goes on to the wallet.
    fn returned(
        &mut self,
        site: &SiteId,
        (member, amount, order): (&MemberId, Fen, Option<&OrderId>),
        cause: &str,
    ) -> Result<(), StoreError> {
        self.book(Movement {
            id: format!("{cause}.back"),
            debit: ledger::transit(site, member),
            credit: ledger::wallet(member),
            amount,
            code: LEASE_RETURN,
            site: Some(site.clone()),
            order: order.cloned(),
            member: Some(member.clone()),
            at: self.now,
            ..Movement::default()
        })
    }

    /// A directive has ended: what it carried and has not arrived goes back. Whose money came back.
    fn taken(
        &mut self,
        site: &Site,
        (no, sha256): (DirectiveNo, &str),
        refused: Option<&RefusedDirective>,
        (seq, cause): (u64, &str),
    ) -> Result<Option<MemberId>, StoreError> {
        let known = directives::find(self.tx, &site.id, no)?;
        let Some(known) = known.filter(|known| known.sha256() == sha256) else {
            // Head office's database was restored from a copy, and has forgotten it: nobody spends before people have looked
            // (rule 3).
            let why = format!(
                "site {} has taken directive {no}, which this database does not know: was it restored from a copy?",
                site.id
            );
            tracing::error!("{why}");
            identity::freeze(self.tx, Some(&why))?;
            return Ok(None);
        };
        if known.state != directives::State::Waiting {
            return Ok(None);
        }
        directives::end(self.tx, &site.id, no, refused, ((site.branch, seq), self.now))?;
        if let Some(refused) = refused
            && let Directive::Start { order, .. } = known.directive()?
        {
            placings::set(self.tx, &order, &placings::State::Refused(refused.clone()))?;
        }
        let issue = issues::find(self.tx, &issues::of_directive(&site.id, no))?;
        let Some(issue) = issue.filter(|issue| issue.state == State::OnRoad) else {
            return Ok(None);
        };
        let forgotten = (is_planted(Bug::SurplusKept) && issue.kind == issues::Kind::DebtPaid)
            || (is_planted(Bug::TransitForgotten) && refused.is_some());
        if forgotten {
            return Ok(None);
        }
        self.give_back(&issue, cause)?;
        Ok(Some(issue.member))
    }

    /// A site goes by one life of head office's from here on, and does nothing that those before have told it (rule 4): what they have
    /// sent there comes back. It says so late: another may have begun since, and what that has sent is on its way. Whose money came back.
    fn only_of(&mut self, site: &SiteId, epoch: HqEpoch, cause: &str) -> Result<Vec<MemberId>, StoreError> {
        let waiting = directives::waiting_from_before(self.tx, site, epoch)?;
        directives::forget_from_before(self.tx, site, epoch, self.now)?;
        let now_on = self.line(site)?.map_or(epoch, |line| line.hq_epoch);
        let (mut members, mut again) = (Vec::new(), Vec::new());
        for told in waiting {
            let directive = told.directive()?;
            if let Directive::Start { order, .. } = &directive {
                let refused = RefusedDirective {
                    code: "other_hq_epoch".to_owned(),
                    detail: "another life of head office's has begun before the site had it".to_owned(),
                };
                placings::set(self.tx, order, &placings::State::Refused(refused))?;
            }
            // What carries no money holds still: a stop, a block, a card; where the new life has said nothing of it. What does comes
            // back, and is asked for anew; what is owed is told anew.
            match &directive {
                Directive::Owes { member, .. } => members.push(member.clone()),
                // What went back, or is marked on the branch that lives too, is not asked for again.
                Directive::RefundMark { reference, .. } if !self.waits_for_mark(reference)? => {}
                _ if directive.carries() > Fen::ZERO => {}
                _ if directives::has_newer(self.tx, site, now_on, &directive)? => {}
                _ => again.push((directive, told.made_by, told.no)),
            }
        }
        // All are looked at before the first is said: of two about one thing the later one stands over the earlier, as it did.
        for (directive, by, before) in &again {
            let no = directives::add(self.tx, (site, now_on), directive, (by, self.now))?;
            if matches!(directive, Directive::Review { .. } | Directive::Correct { .. }) {
                bill_decisions::sent_again(self.tx, site, *before, no)?;
            }
            self.rung.insert(site.clone());
        }
        for issue in issues::from_before(self.tx, site, epoch)? {
            self.give_back(&issue, cause)?;
            members.push(issue.member);
        }
        Ok(members)
    }

    /// The site takes these vouchers no more: what they carry goes back. Whose money came back.
    fn close_vouchers(
        &mut self,
        site: &SiteId,
        cause: &str,
        is_over: impl Fn(&issues::Issue) -> bool,
    ) -> Result<Vec<MemberId>, StoreError> {
        let mut members = Vec::new();
        for voucher in issues::vouchers_of(self.tx, site)? {
            if is_over(&voucher) {
                self.give_back(&voucher, cause)?;
                members.push(voucher.member);
            }
        }
        Ok(members)
    }
}
