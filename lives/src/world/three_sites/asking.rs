//! What head office asks of stations besides their journals: questions, and orders that somebody watches. Whatever is lost on the way,
//! each part of an answer is the station's to that question, only a station that is away says so, and a frame is of an order that is
//! watched. Nobody waits for either, and nothing is kept of it.

use super::{
    super::{SECOND, Time},
    Event, ThreeSites,
    coverage::Mishap,
};
use domain::ids::OrderId;
use protocol::{
    read_through::{AnswerPart, Ask, PART_MAX, Question},
    topic::Kind,
};
use std::collections::{BTreeMap, BTreeSet};
use sync::courier::Input;

/// How long after one question the next may come, at most.
const ASKED_WITHIN: Time = 60 * SECOND;
/// One in so many answers does not fit one message.
const LONG_IN: u64 = 8;

/// What a site was asked for.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// The paths that were asked for, by the question's number.
    questions: BTreeMap<u64, String>,
    /// Those of them that came to a station that was away.
    away: BTreeSet<u64>,
    /// The parts of their answers that are at head office.
    parts: BTreeMap<u64, BTreeSet<u16>>,
    /// The orders that somebody has watched.
    orders: BTreeSet<OrderId>,
    /// Those that its program follows, and the journal's end when it was last shown each.
    followed: BTreeMap<OrderId, u64>,
}

impl Asked {
    /// Its program ends.
    pub(super) fn program_ends(&mut self) {
        self.followed.clear();
    }

    pub(super) fn follow(&mut self, order: OrderId) {
        self.followed.insert(order, 0);
    }

    pub(super) fn unfollow(&mut self, order: &OrderId) {
        self.followed.remove(order);
    }
}

/// What a station that is there answers to a question.
fn answer(id: u64, path: &str) -> Vec<u8> {
    let text = format!("{{\"question\":{id},\"path\":\"{path}\"}}");
    let times = if id.is_multiple_of(LONG_IN) {
        PART_MAX / text.len() + 2
    } else {
        1
    };
    text.repeat(times).into_bytes()
}

impl ThreeSites {
    /// Somebody at head office will want to know something of a site over this connection.
    pub(super) fn asks_later(&mut self, site: usize) {
        if let Some(connection) = self.sites[site].line.connection {
            let soon = SECOND + self.asking.below(ASKED_WITHIN);
            self.after(soon, Event::AsksSite { site, connection });
        }
    }

    /// The station's program asks it for what head office wants to know.
    pub(super) fn is_asked(&mut self, site: usize, id: u64, path: &str) -> Input {
        let here = &mut self.sites[site];
        let (status, body) = match here.world.store() {
            Some(_) => (200, answer(id, path)),
            None => {
                here.asked.away.insert(id);
                (503, b"{}".to_vec())
            }
        };
        Input::Answered { id, status, body }
    }

    /// A question, and an order to be watched, of those that are open there.
    pub(super) fn asks_site(&mut self, site: usize, connection: u64) -> Result<(), String> {
        let here = &self.sites[site];
        if here.line.connection != Some(connection) || self.calm {
            return Ok(());
        }
        if self.office.is_there() {
            let order = {
                let mut orders = here.world.oracle.rows.orders();
                let open = orders.find(|order| order.state.is_open());
                open.map(|order| order.id.clone())
            };
            self.questions += 1;
            let (id, what) = (self.questions, Question::BalanceSheet);
            let asked = &mut self.sites[site].asked;
            asked.questions.insert(id, what.path());
            asked.orders.extend(order.clone());
            let question = serde_json::to_vec(&Ask { id, what }).map_err(|error| error.to_string())?;
            self.send(site, Kind::Ask, question)?;
            if let Some(order) = order {
                self.send(site, Kind::Watch, order.as_str().as_bytes().to_vec())?;
            }
        }
        self.asks_later(site);
        Ok(())
    }

    /// What has changed of orders that are watched is shown by the station.
    pub(super) fn shows_orders(&mut self, site: usize) -> Result<(), String> {
        let here = &mut self.sites[site];
        if here.world.store().is_none() {
            return Ok(());
        }
        let head = here.world.oracle.head;
        let mut changed = Vec::new();
        for (order, shown) in &mut here.asked.followed {
            if std::mem::replace(shown, head) != head {
                changed.push(order.clone());
            }
        }
        for order in changed {
            let frame = serde_json::json!({ "order_id": order.as_str(), "seq": head }).to_string();
            self.tell_courier(site, Input::Live(order, frame.into_bytes()))?;
        }
        Ok(())
    }

    /// Something that a site was asked for is at head office.
    pub(super) fn is_shown(&mut self, site: usize, kind: Kind, bytes: &[u8]) -> Result<(), String> {
        let asked = &mut self.sites[site].asked;
        if kind == Kind::Live {
            let frame: serde_json::Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
            let order = frame["order_id"]
                .as_str()
                .and_then(|order| order.parse::<OrderId>().ok());
            return match order.is_some_and(|order| asked.orders.contains(&order)) {
                true => Ok(()),
                false => Err(format!("site {site} shows {frame}, which nobody watches")),
            };
        }
        let part = AnswerPart::from_bytes(bytes).map_err(|error| error.to_string())?;
        let path = asked.questions.get(&part.id);
        let path = path.ok_or_else(|| format!("site {site} answers question {}, which nobody asked it", part.id))?;
        let whole = match part.status {
            200 => answer(part.id, path),
            503 if asked.away.contains(&part.id) => {
                self.met.note(Mishap::AskedWhileAway);
                return Ok(());
            }
            other => return Err(format!("site {site} answers question {} by {other}", part.id)),
        };
        let pieces: Vec<&[u8]> = whole.chunks(PART_MAX).collect();
        if pieces.len() != usize::from(part.parts) || pieces.get(usize::from(part.part)) != Some(&part.body.as_slice())
        {
            return Err(format!("site {site} answers question {} otherwise", part.id));
        }
        let there = asked.parts.entry(part.id).or_default();
        if there.insert(part.part) && there.len() == pieces.len() && pieces.len() > 1 {
            self.met.note(Mishap::AnsweredInParts);
        }
        Ok(())
    }
}
