//! A card held to a pile: it starts an order for its member, or stops theirs.
//! Two swipes of one card in quick succession are one.

use super::{Answer, Place, Received, Turn};
use crate::{
    card::Card,
    fact::StopCause,
    ids::{Outlet, PileId},
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
            self.ignore("unknown_card");
            return Received::rejected("unknown card");
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
                member,
                outlet,
                prepay,
                until: Until::default(),
            },
            Source::Card,
        ) {
            Ok(Answer::Order(id)) => Received::ok().about(&id),
            Ok(_) => Received::ok(),
            Err(rejected) => Received::rejected(rejected.to_string()),
        }
    }
}
