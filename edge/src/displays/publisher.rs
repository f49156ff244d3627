//! The task that tells displays: the latest frame of every order and the state of every pile, retained, on shared topics.
//!
//! It takes from where the newest of each topic lies, a few at a time: the latest frames of orders are in the hub, and
//! piles that changed are a set and are looked at when their turn has come. So nothing queues up however slowly it goes,
//! and nobody waits for it.

use super::PileState;
use crate::{api::dto::live::LiveFrame, hub::Frame, station::Station};
use broker::{Handle, Message, PublishError};
use domain::{
    ids::{OrderId, PileId, SiteId},
    topics,
};
use serde::Serialize;
use std::{collections::BTreeSet, time::Duration};

/// How many piles are looked at in one turn of the station's loop, and how many frames of orders are sent before piles
/// have their turn again.
const AT_ONCE: usize = 64;
/// So many bytes are sent without a rest: a quarter of what the router keeps of a filter for who reads it late.
const BYTES_AT_ONCE: usize = 64 * 1_024;
/// How long it rests then, and after everything was told: no topic has frames more often.
pub const REST: Duration = Duration::from_millis(200);

/// Where frames go. Implemented over the broker.
pub trait SharedTopics: Send + 'static {
    /// Publishes to whoever has subscribed, and keeps it for who does later; an empty payload takes away what was kept.
    ///
    /// # Errors
    /// [`PublishError::RouterBusy`]: it is kept, and was sent to nobody.
    fn publish(&self, topic: &str, payload: Vec<u8>) -> Result<(), PublishError>;
}

impl SharedTopics for Handle {
    fn publish(&self, topic: &str, payload: Vec<u8>) -> Result<(), PublishError> {
        self.publish_shared(Message::new(topic, payload).retain())
    }
}

/// The station's loop or the router has ended: there is nothing more to tell, or nobody to tell it to.
struct Ended;

/// Tells displays, from the moment that the first of them subscribes until the station ends. What stands then is told
/// first, so that a station that begins anew has its present state on every topic again.
pub async fn publish(station: Station, to: impl SharedTopics) {
    station.displays.begun().await;
    let mut frames = station.hub.subscribe();
    let untold = station.displays.clone();
    let mut publisher = Publisher {
        site: station.store.identity().site.clone(),
        seen: 0,
        shown: BTreeSet::new(),
        bytes: 0,
        station,
        to,
    };
    if publisher.tell_all().await.is_err() {
        return;
    }
    loop {
        frames.mark_unchanged();
        if publisher.tell_news().await.is_err() {
            return;
        }
        tokio::time::sleep(REST).await;
        tokio::select! {
            changed = frames.changed() => if changed.is_err() { return },
            () = untold.news() => {}
        }
    }
}

struct Publisher<S> {
    station: Station,
    to: S,
    site: SiteId,
    /// The number of the last frame that was told.
    seen: u64,
    /// Orders whose topic has a retained frame.
    shown: BTreeSet<OrderId>,
    /// How much was sent since it last rested.
    bytes: usize,
}

impl<S: SharedTopics> Publisher<S> {
    /// Everything that stands now: what displays have not been told, and what they were told and is no more.
    async fn tell_all(&mut self) -> Result<(), Ended> {
        // From before the look: what changes meanwhile is told again.
        self.seen = self.station.hub.newest();
        let look = self.station.look(|site, _| {
            let open = site.rows().orders().filter(|order| order.state.is_open());
            let piles = site.rows().piles.values().filter(|pile| !pile.removed);
            let open: BTreeSet<OrderId> = open.map(|order| order.id.clone()).collect();
            let piles: Vec<PileId> = piles.map(|pile| pile.id.clone()).collect();
            (open, piles)
        });
        let (open, piles) = look.await.map_err(|_| Ended)?;
        self.station.displays.changed(piles);
        let over: Vec<OrderId> = self.shown.difference(&open).cloned().collect();
        for order in over {
            self.send(&topics::live(&self.site, &order), Vec::new()).await?;
            self.shown.remove(&order);
        }
        let open: Vec<OrderId> = open.into_iter().collect();
        for orders in open.chunks(AT_ONCE) {
            self.tell_orders(orders.to_vec()).await?;
        }
        Ok(())
    }

    /// The present frames of these orders; one that has ended since has a frame of its own for that.
    async fn tell_orders(&mut self, orders: Vec<OrderId>) -> Result<(), Ended> {
        let seq = self.seen;
        let look = self.station.look(move |site, now| {
            let views = orders.iter().filter_map(|order| site.view_of(order, now));
            let open = views.filter(|view| view.state.is_open());
            open.map(|view| Frame { seq, view }).collect::<Vec<_>>()
        });
        for frame in look.await.map_err(|_| Ended)? {
            self.tell_order(&frame).await?;
        }
        Ok(())
    }

    /// Whatever was new when it began, each topic once; what changes meanwhile waits for the next time.
    async fn tell_news(&mut self) -> Result<(), Ended> {
        let (until, piles) = (self.station.hub.newest(), self.station.displays.take());
        loop {
            let Some(frames) = self.station.hub.since(self.seen, AT_ONCE) else {
                self.tell_all().await?;
                break;
            };
            let frames: Vec<_> = frames.into_iter().take_while(|frame| frame.seq <= until).collect();
            if frames.is_empty() {
                break;
            }
            for frame in frames {
                self.tell_order(&frame).await?;
                self.seen = frame.seq;
            }
        }
        for piles in piles.chunks(AT_ONCE) {
            self.tell_piles(piles.to_vec()).await?;
        }
        Ok(())
    }

    /// An order's frame. The one that says how it ended is taken away again, as it is nothing that a later subscriber
    /// should find.
    async fn tell_order(&mut self, frame: &Frame) -> Result<(), Ended> {
        let order = &frame.view.order_id;
        let topic = topics::live(&self.site, order);
        self.send(&topic, json(&LiveFrame::from(frame))?).await?;
        if frame.view.state.is_open() {
            self.shown.insert(order.clone());
            return Ok(());
        }
        self.shown.remove(order);
        self.send(&topic, Vec::new()).await
    }

    /// The states of these piles; of one that is not there any more, nothing.
    async fn tell_piles(&mut self, piles: Vec<PileId>) -> Result<(), Ended> {
        if piles.is_empty() {
            return Ok(());
        }
        let look = self.station.look(move |site, _| {
            let state = |id: &PileId| {
                let pile = site.rows().piles.get(id).filter(|pile| !pile.removed);
                pile.map(|pile| PileState::of(pile, site))
            };
            piles.into_iter().map(|id| (state(&id), id)).collect::<Vec<_>>()
        });
        for (state, pile) in look.await.map_err(|_| Ended)? {
            let payload = state.as_ref().map(json).transpose()?;
            let topic = topics::pile_state(&self.site, &pile);
            self.send(&topic, payload.unwrap_or_default()).await?;
        }
        Ok(())
    }

    /// Sends, and rests where the router has enough to do.
    async fn send(&mut self, topic: &str, payload: Vec<u8>) -> Result<(), Ended> {
        self.bytes += topic.len() + payload.len();
        if self.bytes > BYTES_AT_ONCE {
            self.bytes = 0;
            tokio::time::sleep(REST).await;
        }
        loop {
            match self.to.publish(topic, payload.clone()) {
                Ok(()) => return Ok(()),
                Err(PublishError::RouterBusy) => tokio::time::sleep(REST).await,
                // The daemon ends for it.
                Err(PublishError::RouterDied) => return Err(Ended),
                Err(error) => {
                    // A cap on what is retained: counted by the broker.
                    tracing::debug!(topic, %error, "displays are not told");
                    return Ok(());
                }
            }
        }
    }
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, Ended> {
    serde_json::to_vec(value).map_err(|_| Ended)
}
