//! How an order is stopped, fails before it charges, or is closed by a person with what is known of it.
//! A stop for a pile that cannot be reached is remembered until it is back.

use super::{Answer, Handled, Site, Turn, settle::illegal};
use crate::{
    fact::{Fact, StopCause},
    ids::OrderId,
    notice::Notice,
    order::{FailReason, Order, OrderRow, State, Step},
    time::Now,
    units::Fen,
};

impl Site {
    /// Whether an order charges at a pile that has been away so long that a person should close it.
    pub fn waits_for_a_pile_that_is_gone(&self, order: &OrderRow, now: Now) -> bool {
        let heard = self.live.outlets.get(&order.outlet).map(|live| live.received);
        let started = order.started.as_ref().map(|started| started.mono);
        let last_word = heard.max(started).unwrap_or_default();
        order.state == State::Charging
            && !self.live.is_online(&order.outlet.pile)
            && now.mono.ms_since(last_word) >= self.policy.gone_ms
    }
}

impl Turn<'_> {
    pub(super) fn stop(&mut self, id: &OrderId, by: String) -> Handled {
        let order = self.known_order(id)?;
        match order.state {
            State::Place => {
                self.fail(id, FailReason::Cancelled);
                self.ask_to_stop(id);
                Ok(Answer::Order(id.clone()))
            }
            State::Charging => {
                let pile_online = self.request_stop(&order, StopCause::Asked { by });
                Ok(Answer::Stopping {
                    order: id.clone(),
                    pile_online,
                })
            }
            state => Err(illegal(id, state, Step::StopAsked)),
        }
    }

    /// What was sent to the pile without a fact is journaled; the pile that charges on is asked again.
    pub(super) fn stop_sent(&mut self, id: &OrderId, cause: StopCause) -> Handled {
        let order = self.known_order(id)?;
        match (order.state, cause) {
            (_, StopCause::Asked { by }) => self.stop(id, by),
            (State::Charging, cause) => {
                self.request_stop(&order, cause);
                Ok(Answer::Done)
            }
            (state, _) => Err(illegal(id, state, Step::StopAsked)),
        }
    }

    /// Asks a charging order's pile to stop; asking again changes nothing. Returns whether the pile can be reached.
    pub(super) fn request_stop(&mut self, order: &Order, cause: StopCause) -> bool {
        let pile_online = self.site.live.is_online(&order.outlet.pile);
        if !order.stopping {
            self.journal(Fact::StopRequested {
                order: order.id.clone(),
                cause,
                pile_online,
            });
            if !pile_online {
                self.notify(order, Notice::stop_remembered());
            }
            self.seen(&order.id);
        }
        if pile_online {
            self.ask_to_stop(&order.id);
        }
        pile_online
    }

    /// A placed order comes to nothing: the whole hold goes back (S05 §2.1).
    pub(super) fn fail(&mut self, id: &OrderId, reason: FailReason) {
        let freed = self.order(id).map_or(Fen::ZERO, |order| order.hold.remaining());
        self.journal(Fact::OrderFailed {
            order: id.clone(),
            reason: reason.clone(),
        });
        self.return_freed(id, freed);
        let order = self.order(id).expect("the order was in memory a line above").clone();
        self.notify(&order, Notice::failed(&reason));
        self.seen(id);
    }

    /// A person ends an order with what is known, whatever its pile says or does not say. Before the start it is
    /// cancelled; after it an estimate takes the record's place, and a record that comes late corrects it.
    pub(super) fn close(&mut self, id: &OrderId, by: &str) -> Handled {
        let order = self.known_order(id)?;
        match order.state {
            State::Place => {
                self.fail(id, FailReason::Cancelled);
                self.ask_to_stop(id);
            }
            State::Charging => {
                let pile_online = self.site.live.is_online(&order.outlet.pile);
                if !order.stopping {
                    let cause = StopCause::Asked { by: by.to_owned() };
                    self.journal(Fact::StopRequested {
                        order: id.clone(),
                        cause,
                        pile_online,
                    });
                }
                if pile_online {
                    self.ask_to_stop(id);
                }
                self.estimate(id);
            }
            state => return Err(illegal(id, state, Step::Estimate)),
        }
        Ok(Answer::Order(id.clone()))
    }
}
