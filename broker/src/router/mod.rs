//! Fan-out to shared subscribers through rumqttd's router, and the fence around it: its API panics, blocks and leaks.
//! The router sees only filter numbers and opaque envelopes; topics, QoS and matching stay on our side.
//!
//! - It keeps a log for every filter and an entry for every topic name for ever, so a filter is given a number that is
//!   used again, and a message is published once to the number of each matching filter.
//! - `LinkBuilder::build` and the sends of a link block, so one OS thread, the *port*, does all of them; a watchdog
//!   counts the router as dead when the port is stuck.
//! - `wake()` on a link that is gone kills the router. The task that reads a link is the only one that wakes it, and
//!   only when that task has ended is Disconnect sent, as the link's last packet.
//! - It remembers every client id for ever, so links have numbers that are used again too.
//! - It ends silently, or hangs: a canary sends a message to itself through it, again and again. It learns of the end
//!   when its channel closes; a message that does not come back in time counts as death too.

mod envelope;
mod numbers;
mod port;
mod reader;
mod start;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};

pub(crate) use self::envelope::SharedMessage;
use self::numbers::Numbers;
use self::port::Command;
use self::start::Start;
use crate::config::Config;
use crate::sessions::SessionCell;
use crate::stats::Counters;
use crate::topic::matches;

/// Commands that may wait for the port.
const PORT_QUEUE: usize = 1024;
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RouterError {
    /// A cap is reached, or the port's queue is full.
    Full,
    Dead,
}

#[derive(Debug)]
pub(crate) struct Router {
    filters: Mutex<FilterTable>,
    links: Arc<Mutex<Numbers>>,
    port: mpsc::Sender<Command>,
    dead: watch::Sender<bool>,
    /// Times in envelopes are counted from here.
    epoch: Instant,
    timeout: Duration,
    /// What it takes to start; nothing once it runs.
    waiting: Mutex<Option<Start>>,
}

/// A session's link to the router. Dropping it closes the link.
#[derive(Debug)]
pub(crate) struct SharedLink {
    number: u32,
    _stop: oneshot::Sender<()>,
}

#[derive(Debug)]
struct FilterTable {
    numbers: Numbers,
    by_filter: HashMap<Box<str>, u32>,
    in_use: HashMap<u32, FilterEntry>,
}

#[derive(Debug)]
struct FilterEntry {
    filter: Box<str>,
    sessions: u32,
    /// The router's topic (and filter) for it.
    topic: Bytes,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The router's name for filter number n; the filter and the only topic it matches.
fn router_topic(filter: u32) -> String {
    format!("f/{filter}")
}

fn filter_number(topic: &[u8]) -> Option<u32> {
    std::str::from_utf8(topic).ok()?.strip_prefix("f/")?.parse().ok()
}

fn declare_dead(dead: &watch::Sender<bool>, why: &str) {
    dead.send_if_modified(|dead| {
        let is_news = !*dead;
        if is_news {
            // Said before anybody can know of it, for whoever knows ends the process.
            tracing::error!(why, "the router has died");
            *dead = true;
        }
        is_news
    });
}

impl Router {
    /// A router that runs from the first shared subscription on: without one there is nothing to fan out, and it has
    /// neither threads nor faults. Must be called inside a tokio runtime.
    pub(crate) fn new(config: &Config, counters: Arc<Counters>) -> Self {
        let (port, commands) = mpsc::channel(PORT_QUEUE);
        let (dead, _) = watch::channel(false);
        let links = Arc::new(Mutex::new(Numbers::new(config.shared_links_max)));
        let epoch = Instant::now();
        let start = Start {
            links_max: config.shared_links_max,
            timeout: config.router_timeout,
            commands,
            commands_for_readers: port.downgrade(),
            numbers: links.clone(),
            dead: dead.clone(),
            counters,
            epoch,
            runtime: tokio::runtime::Handle::current(),
        };
        Self {
            filters: Mutex::new(FilterTable {
                numbers: Numbers::new(config.shared_filters_max),
                by_filter: HashMap::new(),
                in_use: HashMap::new(),
            }),
            links,
            port,
            dead,
            epoch,
            timeout: config.router_timeout,
            waiting: Mutex::new(Some(start)),
        }
    }

    /// Resolves when the router has died.
    pub(crate) async fn died(&self) {
        let mut dead = self.dead.subscribe();
        // The sender is in `self`, so this cannot fail before the value is true.
        drop(dead.wait_for(|dead| *dead).await);
    }

    fn is_dead(&self) -> bool {
        *self.dead.borrow()
    }

    /// Adds a session to a filter and returns its number.
    pub(crate) fn acquire(&self, filter: &str) -> Result<u32, RouterError> {
        let mut table = lock(&self.filters);
        if let Some(&number) = table.by_filter.get(filter) {
            if let Some(entry) = table.in_use.get_mut(&number) {
                entry.sessions += 1;
            }
            return Ok(number);
        }
        let number = table.numbers.take().ok_or(RouterError::Full)?;
        table.by_filter.insert(filter.into(), number);
        let topic = Bytes::from(router_topic(number));
        table.in_use.insert(
            number,
            FilterEntry {
                filter: filter.into(),
                sessions: 1,
                topic,
            },
        );
        Ok(number)
    }

    /// Takes a session off a filter.
    pub(crate) fn release(&self, number: u32) {
        let mut table = lock(&self.filters);
        let Some(entry) = table.in_use.get_mut(&number) else {
            return;
        };
        entry.sessions -= 1;
        if entry.sessions == 0
            && let Some(entry) = table.in_use.remove(&number)
        {
            table.by_filter.remove(&entry.filter);
            table.numbers.give_back(number);
        }
    }

    /// Has messages for a filter forwarded to a session, whose link is opened with its first one. What is published
    /// after this call returns is forwarded: the port keeps the order.
    pub(crate) fn subscribe(
        &self,
        link: &mut Option<SharedLink>,
        cell: &Arc<SessionCell>,
        filter: u32,
    ) -> Result<(), RouterError> {
        let start = lock(&self.waiting).take();
        if let Some(start) = start {
            start.spawn();
        }
        let number = match link {
            Some(link) => link.number,
            None => {
                let number = lock(&self.links).take().ok_or(RouterError::Full)?;
                let (sender, stop) = oneshot::channel();
                if let Err(error) = self.send(Command::Open {
                    link: number,
                    sink: Arc::downgrade(cell),
                    stop,
                }) {
                    lock(&self.links).give_back(number);
                    return Err(error);
                }
                link.insert(SharedLink { number, _stop: sender }).number
            }
        };
        self.send(Command::Subscribe { link: number, filter })
    }

    /// Ends the forwarding. Should the port be too busy to be told, the session drops what it still gets.
    pub(crate) fn unsubscribe(&self, link: &SharedLink, filter: u32) {
        let _ = self.send(Command::Unsubscribe {
            link: link.number,
            filter,
        });
    }

    fn send(&self, command: Command) -> Result<(), RouterError> {
        if self.is_dead() {
            return Err(RouterError::Dead);
        }
        self.port.try_send(command).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => RouterError::Full,
            mpsc::error::TrySendError::Closed(_) => RouterError::Dead,
        })
    }

    /// Forwards messages; waits while the port is busy, which holds the publishers back.
    pub(crate) async fn publish(&self, messages: &[SharedMessage]) -> Result<(), RouterError> {
        let batch: Vec<_> = messages.iter().flat_map(|message| self.envelopes(message)).collect();
        if batch.is_empty() {
            return Ok(());
        }
        if self.is_dead() {
            return Err(RouterError::Dead);
        }
        match tokio::time::timeout(self.timeout, self.port.send(Command::Publish(batch))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(RouterError::Dead),
            Err(_) => {
                declare_dead(&self.dead, "the port does not take a message");
                Err(RouterError::Dead)
            }
        }
    }

    /// Forwards one message, or says at once that the port is busy.
    pub(crate) fn try_publish(&self, message: &SharedMessage) -> Result<(), RouterError> {
        let batch: Vec<_> = self.envelopes(message).collect();
        if batch.is_empty() {
            Ok(())
        } else {
            self.send(Command::Publish(batch))
        }
    }

    /// (router topic, envelope) for each filter that matches; the envelope is encoded once, and only if needed.
    fn envelopes(&self, message: &SharedMessage) -> impl Iterator<Item = (Bytes, Bytes)> + use<> {
        let table = lock(&self.filters);
        let topics: Vec<Bytes> = table
            .in_use
            .values()
            .filter(|entry| matches(&entry.filter, &message.topic))
            .map(|entry| entry.topic.clone())
            .collect();
        drop(table);
        let envelope = if topics.is_empty() {
            Bytes::new()
        } else {
            envelope::encode(message, self.epoch)
        };
        topics.into_iter().map(move |topic| (topic, envelope.clone()))
    }

    #[cfg(test)]
    pub(crate) fn kill(&self) {
        self.send(Command::KillRouter).unwrap();
    }
}

#[cfg(test)]
mod tests {
    use super::envelope::tests::message;
    use super::*;

    /// One that runs.
    fn router() -> Router {
        let router = Router::new(&Config::default(), Arc::default());
        lock(&router.waiting).take().unwrap().spawn();
        router
    }

    #[tokio::test]
    async fn a_filter_has_one_number_while_anybody_wants_it() {
        let router = router();
        let a = router.acquire("a/#").unwrap();
        assert_eq!(router.acquire("a/#"), Ok(a));
        let b = router.acquire("b").unwrap();
        assert_ne!(a, b);
        let topics = |topic: &str| {
            router
                .envelopes(&SharedMessage {
                    topic: topic.into(),
                    ..message()
                })
                .count()
        };
        assert_eq!((topics("a/x"), topics("b"), topics("c")), (1, 1, 0));
        router.release(a);
        assert_eq!(topics("a/x"), 1);
        router.release(a);
        assert_eq!(topics("a/x"), 0);
        assert_eq!(router.acquire("c"), Ok(a), "its number is free again");
    }

    #[tokio::test]
    async fn the_death_of_the_router_is_noticed_and_said() {
        let router = router();
        router.acquire("a/#").unwrap();
        assert_eq!(router.publish(&[message()]).await, Ok(()));
        router.kill();
        tokio::time::timeout(Duration::from_secs(10), router.died())
            .await
            .expect("noticed");
        assert_eq!(router.try_publish(&message()), Err(RouterError::Dead));
        assert_eq!(router.publish(&[message()]).await, Err(RouterError::Dead));
    }
}
