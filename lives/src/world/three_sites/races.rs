//! What met what while money travelled, counted over all lives; and the rule that none of it may be rare.

use books::money::Refused;
use domain::{
    fact::Fact,
    head_office::{Directive, DirectiveNo},
    ids::OrderId,
    site::Rows,
    units::Fen,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// Two things that meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Race {
    /// An order is placed through head office.
    OrderThroughHeadOffice,
    /// One for which money is recalled from other sites first.
    OrderThatGathers,
    /// A card that head office was asked about is answered by a start.
    CardThatStarts,
    /// Money is recalled where its member has an order.
    RecallAgainstOrder,
    /// A debt was paid at the desk, in part or in full, when head office's payment came.
    DebtPaidTwice,
    /// The record of an order comes after its estimate.
    RecordAfterEstimate,
    /// An order of head office's comes after its time.
    StartExpired,
    /// A voucher is answered shortly before or after its end, or refused because such are closed.
    VoucherAgainstItsReturn,
    /// A voucher is taken.
    VoucherTaken,
    /// There are two journals of a site, and people say which lives.
    Fork,
    /// A station is restored from a copy.
    StationRestored,
    /// Head office's database is.
    OfficeRestored,
    /// Money is given back for an order whose site is away.
    RefundForSiteAway,
    /// What was to be given back the site's people had taken off the bill by then, or they look at the order again: it is not marked.
    RefundNotMarked,
    /// A bill was decided at head office, and the station's people had decided it first.
    DecidedOnBothSides,
    /// Two people have adjusted a wallet.
    WalletAdjusted,
    /// What a member had above a fork is named.
    AboveFork,
    /// What a restored head office has forgotten that a channel was paid is credited by people.
    ForgottenPaymentCredited,
}

impl Race {
    /// Every one.
    pub const ALL: [Race; 18] = [
        Race::OrderThroughHeadOffice,
        Race::OrderThatGathers,
        Race::CardThatStarts,
        Race::RecallAgainstOrder,
        Race::DebtPaidTwice,
        Race::RecordAfterEstimate,
        Race::StartExpired,
        Race::VoucherAgainstItsReturn,
        Race::VoucherTaken,
        Race::Fork,
        Race::StationRestored,
        Race::OfficeRestored,
        Race::RefundForSiteAway,
        Race::RefundNotMarked,
        Race::DecidedOnBothSides,
        Race::WalletAdjusted,
        Race::AboveFork,
        Race::ForgottenPaymentCredited,
    ];
}

/// How often each was met, and what was refused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Races {
    met: BTreeMap<Race, u64>,
    refused: BTreeMap<String, u64>,
    /// The most that could be lost, and what was, in fen.
    pub bound: i64,
    /// What was lost, in fen: debts at their highest, and what restores paid.
    pub lost: i64,
}

impl Races {
    /// It was met once more.
    pub fn note(&mut self, race: Race) {
        *self.met.entry(race).or_default() += 1;
    }

    /// Head office has refused something.
    pub(super) fn refused(&mut self, refused: &Refused) {
        let words = format!("{refused:?}");
        let name = words.split([' ', '(', '{']).next().unwrap_or_default();
        *self.refused.entry(name.to_owned()).or_default() += 1;
    }

    /// What another life met.
    pub fn add(&mut self, other: &Self) {
        for (race, count) in &other.met {
            *self.met.entry(*race).or_default() += count;
        }
        for (why, count) in &other.refused {
            *self.refused.entry(why.clone()).or_default() += count;
        }
        (self.bound, self.lost) = (self.bound + other.bound, self.lost + other.lost);
    }

    /// What was met less often than that.
    pub fn rarer_than(&self, least: u64) -> Vec<(Race, u64)> {
        let count = |race: Race| (race, self.met.get(&race).copied().unwrap_or(0));
        Race::ALL
            .into_iter()
            .map(count)
            .filter(|(_, count)| *count < least)
            .collect()
    }

    /// The next entry of a site's journal is at head office, whose rows are as they were before it.
    pub(super) fn follow(
        &mut self,
        fact: &Fact,
        rows: &Rows,
        (told, memory): (&BTreeMap<DirectiveNo, (String, Directive)>, &mut Memory),
    ) {
        match fact {
            Fact::OrderEstimated { order, .. } => {
                memory.estimated.insert(order.clone());
            }
            Fact::RecordReceived { order, .. } if memory.estimated.contains(order) => {
                self.note(Race::RecordAfterEstimate);
            }
            Fact::LeaseReceived {
                by: domain::head_office::LeasedBy::Voucher { .. },
                ..
            } => self.note(Race::VoucherTaken),
            Fact::DebtPaid {
                directive: Some(no),
                amount,
                ..
            } => memory.paid = Some((*no, *amount)),
            Fact::DirectiveTaken { directive, refused, .. } => {
                if let Some(refused) = refused {
                    *self.refused.entry(format!("at sites: {}", refused.code)).or_default() += 1;
                }
                match (told.get(directive).map(|(_, directive)| directive), refused) {
                    (Some(Directive::Recall { member, .. }), _) => {
                        let known = rows.members.get(member).and_then(Option::as_ref);
                        if known.is_some_and(|known| !known.open_orders.is_empty()) {
                            self.note(Race::RecallAgainstOrder);
                        }
                    }
                    (Some(Directive::DebtPaid { amount, .. }), _) => {
                        let paid = memory.paid.take().filter(|(no, _)| no == directive);
                        if paid.map_or(Fen::ZERO, |(_, paid)| paid) < *amount {
                            self.note(Race::DebtPaidTwice);
                        }
                    }
                    (Some(Directive::RefundMark { .. }), Some(_)) => self.note(Race::RefundNotMarked),
                    (Some(Directive::Review { .. } | Directive::Correct { .. }), Some(refused))
                        if refused.code != "second_person_needed" =>
                    {
                        self.note(Race::DecidedOnBothSides);
                    }
                    (Some(Directive::Start { wished: Some(_), .. }), None) => self.note(Race::CardThatStarts),
                    (Some(Directive::Start { .. }), Some(refused)) if refused.code == "expired" => {
                        self.note(Race::StartExpired);
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }
}

/// What is remembered of a site's journal for that.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory {
    estimated: BTreeSet<OrderId>,
    paid: Option<(DirectiveNo, Fen)>,
}

impl fmt::Display for Races {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for race in Race::ALL {
            let count = self.met.get(&race).copied().unwrap_or(0);
            write!(f, "{race:?} {count}, ")?;
        }
        writeln!(f, "\nlost {} of at most {} fen; refused:", self.lost, self.bound)?;
        for (n, (why, count)) in self.refused.iter().enumerate() {
            write!(f, "{}{why} {count}", if n > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}
