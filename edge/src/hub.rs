//! Live views for sockets and displays: the latest frame per order, numbered, so that a slow reader gets the present and not a queue.
//! Frames appear here only after what they show has been committed.

use domain::{ids::OrderId, site::LiveView};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::watch;

/// The most frames of ended orders that are kept for late readers.
const ENDED_MAX: usize = 1_000;

/// One live view with its number.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Frame {
    /// Counts up over all orders of the station, and goes on rising across restarts.
    pub seq: u64,
    /// What the driver sees.
    #[serde(flatten)]
    pub view: LiveView,
}

#[derive(Default)]
struct Frames {
    by_seq: BTreeMap<u64, Arc<Frame>>,
    latest: BTreeMap<OrderId, u64>,
    ended: std::collections::VecDeque<OrderId>,
    /// The highest number of a frame that is not kept any more, though no newer one took its place.
    evicted: u64,
    /// Who looks at one order is told of that order alone: ten thousand others change meanwhile.
    followed: BTreeMap<OrderId, watch::Sender<u64>>,
}

/// The latest frame of every order.
pub struct Hub {
    frames: Mutex<Frames>,
    seq: watch::Sender<u64>,
    /// The number before the first frame of this run.
    begun_after: u64,
}

impl Default for Hub {
    fn default() -> Self {
        Self {
            frames: Mutex::default(),
            seq: watch::Sender::new(0),
            begun_after: 0,
        }
    }
}

impl Hub {
    /// A hub whose first frame has the number after `seq`.
    pub fn numbered_after(seq: u64) -> Self {
        Self {
            frames: Mutex::default(),
            seq: watch::Sender::new(seq),
            begun_after: seq,
        }
    }

    /// Shows new views.
    pub fn show(&self, views: impl IntoIterator<Item = LiveView>) {
        let mut frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        let mut seq = *self.seq.borrow();
        let before = seq;
        let mut told = Vec::new();
        for view in views {
            seq += 1;
            let order = view.order_id.clone();
            let open = view.state.is_open();
            let older = frames.latest.insert(order.clone(), seq);
            if let Some(older) = older {
                frames.by_seq.remove(&older);
            }
            if let Some(followers) = frames.followed.get(&order) {
                told.push((followers.clone(), seq));
            }
            frames.by_seq.insert(seq, Arc::new(Frame { seq, view }));
            if !open {
                frames.ended.retain(|ended| *ended != order);
                frames.ended.push_back(order);
            }
        }
        while frames.ended.len() > ENDED_MAX {
            let Some(order) = frames.ended.pop_front() else { break };
            if let Some(seq) = frames.latest.remove(&order) {
                frames.by_seq.remove(&seq);
                frames.evicted = frames.evicted.max(seq);
            }
        }
        drop(frames);
        if seq != before {
            self.seq.send_replace(seq);
        }
        for (followers, seq) in told {
            followers.send_replace(seq);
        }
    }

    /// Whether a reader who has seen everything up to `after` can be told everything since: the number is of this run, in
    /// which nothing newer has been forgotten. Who cannot is to be shown the present state.
    pub fn can_resume(&self, after: u64) -> bool {
        self.resumes(&self.frames.lock().unwrap_or_else(PoisonError::into_inner), after)
    }

    fn resumes(&self, frames: &Frames, after: u64) -> bool {
        (self.begun_after..=self.newest()).contains(&after) && after >= frames.evicted
    }

    /// The number of the newest frame.
    pub fn newest(&self) -> u64 {
        *self.seq.borrow()
    }

    /// Tells when this order has a newer frame.
    pub fn follow(&self, order: &OrderId) -> watch::Receiver<u64> {
        let mut frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        frames.followed.retain(|_, followers| followers.receiver_count() > 0);
        let followers = frames.followed.entry(order.clone());
        followers.or_insert_with(|| watch::Sender::new(0)).subscribe()
    }

    /// Tells when something newer than what was seen is there; the value is the newest number.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.seq.subscribe()
    }

    /// Up to `most` frames newer than `after`, oldest first; none where [`Hub::can_resume`] says no, in the same moment.
    pub fn since(&self, after: u64, most: usize) -> Option<Vec<Arc<Frame>>> {
        let frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        let newer = frames.by_seq.range(after.saturating_add(1)..);
        self.resumes(&frames, after)
            .then(|| newer.take(most).map(|(_, frame)| Arc::clone(frame)).collect())
    }

    /// Frames newer than `after`, oldest first; of one order alone if `order` is given.
    pub fn newer_than(&self, after: u64, order: Option<&OrderId>) -> Vec<Arc<Frame>> {
        let frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        match order {
            Some(order) => {
                let latest = frames.latest.get(order).filter(|seq| **seq > after);
                latest
                    .and_then(|seq| frames.by_seq.get(seq))
                    .into_iter()
                    .cloned()
                    .collect()
            }
            None => frames
                .by_seq
                .range(after.saturating_add(1)..)
                .map(|(_, frame)| Arc::clone(frame))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{
        ids::{ConnectorNo, Outlet, PileId},
        order::State,
        tariff::PeriodKind,
        units::{Energy, Fen},
    };

    fn view(order: &str, fee: i64, state: State) -> LiveView {
        LiveView {
            order_id: OrderId::new(order).unwrap(),
            outlet: Outlet {
                pile: PileId::new("P1").unwrap(),
                connector: ConnectorNo(1),
            },
            state,
            stopping: false,
            power_kw: None,
            voltage_v: None,
            current_a: None,
            soc_pct: None,
            energy_kwh: Energy::ZERO,
            fee: Fen(fee),
            electricity_fee: Fen(fee),
            service_fee: Fen::ZERO,
            period: PeriodKind::Flat,
            expected_end: None,
            pile_online: true,
            as_of: None,
        }
    }

    #[test]
    fn a_late_reader_gets_the_latest_frame_of_each_order_once() {
        let hub = Hub::default();
        hub.show([view("a", 1, State::Charging), view("b", 1, State::Charging)]);
        hub.show([view("a", 2, State::Charging)]);
        let frames = hub.newer_than(0, None);
        let seen: Vec<_> = frames
            .iter()
            .map(|frame| (frame.view.order_id.as_str(), frame.view.fee, frame.seq))
            .collect();
        assert_eq!(seen, [("b", Fen(1), 2), ("a", Fen(2), 3)]);
        assert!(hub.newer_than(3, None).is_empty());
        assert_eq!(hub.newer_than(0, OrderId::new("b").ok().as_ref()).len(), 1);
    }

    #[test]
    fn who_follows_an_order_is_told_of_that_order_alone() {
        let hub = Hub::default();
        let mut follower = hub.follow(&OrderId::new("a").unwrap());
        hub.show([view("b", 1, State::Charging)]);
        assert!(!follower.has_changed().unwrap());
        hub.show([view("a", 1, State::Charging), view("b", 2, State::Charging)]);
        assert!(follower.has_changed().unwrap());
        assert_eq!((*follower.borrow_and_update(), hub.newest()), (2, 3));
        drop(follower);
        let _another = hub.follow(&OrderId::new("b").unwrap());
        assert_eq!(
            hub.frames.lock().unwrap().followed.len(),
            1,
            "nobody follows a any more"
        );
    }

    #[test]
    fn ended_orders_are_forgotten_in_time() {
        let hub = Hub::default();
        for n in 0..=ENDED_MAX {
            hub.show([view(&format!("o{n}"), 1, State::Payed)]);
        }
        assert_eq!(hub.newer_than(0, None).len(), ENDED_MAX);
        // The frame of the first order was number 1.
        assert!(!hub.can_resume(0), "that it ended would never be told");
        assert!(hub.can_resume(1));
        assert!(hub.since(0, 9).is_none());
        let seen: Vec<u64> = hub.since(1, 3).unwrap().iter().map(|frame| frame.seq).collect();
        assert_eq!(seen, [2, 3, 4]);
    }

    #[test]
    fn a_number_of_another_run_resumes_nothing() {
        let hub = Hub::numbered_after(1_000);
        hub.show([view("a", 1, State::Charging)]);
        // From before the restart; from this run; from a run by a clock that was ahead.
        let can = [7, 999, 1_000, 1_001, 1_002].map(|after| hub.can_resume(after));
        assert_eq!(can, [false, false, true, true, false]);
    }
}
