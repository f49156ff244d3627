//! A card held to a pile: it starts an order for its member, or stops theirs.
//! Two swipes of one card in quick succession are one.

use super::{Answer, Place, Received, Rejected, Turn};
use crate::{
    card::Card,
    fact::{Fact, StopCause},
    ids::{CardId, MemberId, Outlet, PileId},
    messages::{AckResult, Swipe},
    order::{FailReason, Source, State, Until},
};

/// The same card within this time is one swipe, in milliseconds.
const SWIPE_ONCE_MS: u64 = 10_000;

impl Turn<'_> {
    /// A card starts an order for its member, or stops theirs.
    pub(super) fn card(&mut self, pile: &PileId, swipe: Swipe) -> Received {
        let outlet = Outlet {
            pile: pile.clone(),
            connector: swipe.connector,
        };
        let now = self.now.mono;
        if let Some(presence) = self.site.live.piles.get_mut(pile) {
            let again = presence
                .swipe
                .as_ref()
                .is_some_and(|(card, at)| *card == swipe.card_id && now.ms_since(*at) < SWIPE_ONCE_MS);
            if again {
                return Received {
                    result: AckResult::Duplicate,
                    ..Received::ok()
                };
            }
            presence.swipe = Some((swipe.card_id.clone(), now));
        }
        let card = self.site.rows.card(&swipe.card_id);
        let Some(member) = card.and_then(Card::holder).cloned() else {
            return self.wish(swipe.card_id, outlet, None).unwrap_or_else(|| {
                self.ignore("unknown_card");
                Received::rejected("unknown card")
            });
        };
        let here = self
            .site
            .live
            .occupied
            .get(&outlet)
            .and_then(|id| self.order(id))
            .cloned();
        if let Some(order) = here.filter(|order| order.member == member) {
            return match order.state {
                State::Place => {
                    self.fail(&order.id, FailReason::Cancelled);
                    self.ask_to_stop(&order.id);
                    Received::ok().about(&order.id)
                }
                _ => {
                    self.request_stop(&order, StopCause::Card);
                    Received::ok().about(&order.id)
                }
            };
        }
        let allowance = self.site.rows.ledger.allowance(&member);
        let policy = self.policy();
        let prepay = Some(policy.prepay_default.min(allowance).max(policy.prepay_min));
        match self.place(
            Place {
                member: member.clone(),
                outlet: outlet.clone(),
                prepay,
                until: Until::default(),
            },
            Source::Card,
        ) {
            Ok(Answer::Order(id)) => Received::ok().about(&id),
            Ok(_) => Received::ok(),
            Err(Rejected::InsufficientFunds { .. }) if self.is_head_offices(&member) => self
                .wish(swipe.card_id, outlet, Some(member))
                .unwrap_or_else(|| Received::rejected("too little here, and head office cannot be reached")),
            Err(rejected) => Received::rejected(rejected.to_string()),
        }
    }

    fn is_head_offices(&self, member: &MemberId) -> bool {
        self.site.rows.member(member).is_some_and(|member| member.head_office)
    }

    /// Head office is asked to start, where it can be reached and the connector is known. It sends the order with its money, or
    /// it does not.
    fn wish(&mut self, card: CardId, outlet: Outlet, member: Option<MemberId>) -> Option<Received> {
        let can_ask = self.policy().head_office && self.site.live.line_up;
        if !can_ask || self.site.rows.connector(&outlet).is_none() {
            return None;
        }
        self.journal(Fact::StartWished { card, outlet, member });
        Some(Received {
            detail: "asked head office".to_owned(),
            ..Received::ok()
        })
    }
}
