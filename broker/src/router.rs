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
//! - It ends silently: a canary blocks on a link of its own and learns of it when its channel closes.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use rumqttd::Notification;
use rumqttd::local::{LinkBuilder, LinkError, LinkRx, LinkTx};
use rumqttd::protocol::{Disconnect, DisconnectReasonCode, Packet};
use tokio::sync::{mpsc, oneshot, watch};

use crate::codec::{self, publish};
use crate::config::Config;
use crate::gatekeeper::Protocol;
use crate::message::{PublishProperties, QoS};
use crate::session::Queued;
use crate::sessions::{SessionCell, wake};
use crate::stats::Counters;
use crate::topic::matches;

/// Commands that may wait for the port.
const PORT_QUEUE: usize = 1024;
/// Segment of a filter's log; there are [`SEGMENTS`] of them.
const SEGMENT_BYTES: usize = 64 * 1024;
const SEGMENTS: usize = 4;

/// A message for shared subscribers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SharedMessage {
    pub(crate) topic: Arc<str>,
    pub(crate) payload: Bytes,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) properties: Option<Arc<PublishProperties>>,
    pub(crate) expires_at: Option<Instant>,
    /// Serial of the publishing session, for No Local; 0: none.
    pub(crate) origin: u64,
}

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
}

/// A session's link to the router. Dropping it closes the link.
#[derive(Debug)]
pub(crate) struct SharedLink {
    number: u32,
    _stop: oneshot::Sender<()>,
}

#[derive(Debug)]
enum Command {
    Open {
        link: u32,
        sink: Weak<SessionCell>,
        stop: oneshot::Receiver<()>,
    },
    Subscribe {
        link: u32,
        filter: u32,
    },
    Unsubscribe {
        link: u32,
        filter: u32,
    },
    Close {
        link: u32,
    },
    Publish(Vec<(Bytes, Bytes)>),
    #[cfg(test)]
    KillRouter,
}

/// Numbers from 0 that are used again once they are given back.
#[derive(Debug)]
struct Numbers {
    free: Vec<u32>,
    next: u32,
    max: u32,
}

impl Numbers {
    fn new(max: usize) -> Self {
        Self {
            free: Vec::new(),
            next: 0,
            max: u32::try_from(max).unwrap_or(u32::MAX),
        }
    }

    fn take(&mut self) -> Option<u32> {
        self.free.pop().or_else(|| {
            let number = self.next;
            (number < self.max).then(|| {
                self.next += 1;
                number
            })
        })
    }

    fn give_back(&mut self, number: u32) {
        self.free.push(number);
    }
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

impl Router {
    /// Starts the router, the port and the canary, each on its thread. They run until the process ends, as rumqttd's
    /// router cannot be stopped. Must be called inside a tokio runtime.
    pub(crate) fn start(config: &Config, counters: Arc<Counters>) -> std::io::Result<Self> {
        let rumqttd_config = rumqttd::RouterConfig {
            // The port's and the canary's own links come on top.
            max_connections: config.shared_links_max + 2,
            max_outgoing_packet_count: 100,
            max_segment_size: SEGMENT_BYTES,
            max_segment_count: SEGMENTS,
            ..rumqttd::RouterConfig::default()
        };
        // The type of the sender cannot be named outside rumqttd, so a closure holds it.
        let sender = rumqttd::Router::new(0, rumqttd_config).spawn();
        let build = move |name: &str| LinkBuilder::new(name, sender.clone()).build().map_err(Box::new);

        let (port, commands) = mpsc::channel(PORT_QUEUE);
        let (dead, _) = watch::channel(false);
        let links = Arc::new(Mutex::new(Numbers::new(config.shared_links_max)));
        let epoch = Instant::now();
        let (ingress, ingress_rx, _) = build("ingress").map_err(std::io::Error::other)?;
        let (_, canary, _) = build("canary").map_err(std::io::Error::other)?;
        spawn_canary(canary, dead.clone())?;
        let busy = Arc::new(BusySince {
            epoch,
            nanos: AtomicU64::new(0),
        });
        spawn_watchdog(busy.clone(), dead.clone(), config.router_timeout);
        let worker = Port {
            build,
            ingress,
            _ingress_rx: ingress_rx,
            links: HashMap::new(),
            numbers: links.clone(),
            commands_for_readers: port.downgrade(),
            dead: dead.clone(),
            busy,
            counters,
            epoch,
            runtime: tokio::runtime::Handle::current(),
        };
        thread::Builder::new()
            .name("mqtt-port".into())
            .spawn(move || worker.run(commands))?;
        Ok(Self {
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
        })
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
            encode(message, self.epoch)
        };
        topics.into_iter().map(move |topic| (topic, envelope.clone()))
    }

    #[cfg(test)]
    pub(crate) fn kill(&self) {
        self.send(Command::KillRouter).unwrap();
    }
}

fn declare_dead(dead: &watch::Sender<bool>, why: &str) {
    if !dead.send_replace(true) {
        tracing::error!(why, "the router has died");
    }
}

/// Envelope: origin, expiry in nanoseconds from the epoch (`u64::MAX`: none), and the message as an MQTT 5 PUBLISH.
fn encode(message: &SharedMessage, epoch: Instant) -> Bytes {
    let mut out = BytesMut::with_capacity(64 + message.topic.len() + message.payload.len());
    out.put_u64(message.origin);
    let expiry = message.expires_at.map_or(u64::MAX, |at| {
        u64::try_from(at.saturating_duration_since(epoch).as_nanos()).unwrap_or(u64::MAX)
    });
    out.put_u64(expiry);
    let outgoing = publish::Outgoing {
        topic: &message.topic,
        payload: &message.payload,
        qos: message.qos,
        retain: message.retain,
        dup: false,
        packet_id: 1,
        properties: message.properties.as_deref(),
        expiry_s: None,
        subscription_ids: &[],
    };
    publish::write(&mut out, Protocol::V5, &outgoing);
    out.freeze()
}

fn decode(envelope: &Bytes, epoch: Instant) -> Option<SharedMessage> {
    let (origin, rest) = envelope.split_first_chunk()?;
    let (expiry, packet) = rest.split_first_chunk()?;
    let expires_at = match u64::from_be_bytes(*expiry) {
        u64::MAX => None,
        nanos => epoch.checked_add(Duration::from_nanos(nanos)),
    };
    let frame = codec::frame(packet, usize::MAX).ok()??;
    let codec::Packet::Publish(publish) = frame.decode(packet, Protocol::V5).ok()? else {
        return None;
    };
    Some(SharedMessage {
        topic: publish.topic.into(),
        payload: envelope.slice(envelope.len() - publish.payload.len()..),
        qos: publish.qos,
        retain: publish.retain,
        properties: publish.properties.map(Arc::from),
        expires_at,
        origin: u64::from_be_bytes(*origin),
    })
}

/// Since when the port is inside a call that may block; 0: it is not.
#[derive(Debug)]
struct BusySince {
    epoch: Instant,
    nanos: AtomicU64,
}

impl BusySince {
    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_nanos())
            .unwrap_or(u64::MAX)
            .max(1)
    }

    fn begin(&self) {
        self.nanos.store(self.now(), Ordering::Relaxed);
    }

    fn end(&self) {
        self.nanos.store(0, Ordering::Relaxed);
    }

    fn busy_for(&self) -> Option<Duration> {
        match self.nanos.load(Ordering::Relaxed) {
            0 => None,
            since => Some(Duration::from_nanos(self.now().saturating_sub(since))),
        }
    }
}

fn spawn_watchdog(busy: Arc<BusySince>, dead: watch::Sender<bool>, timeout: Duration) {
    // Ends with the port: the port holds the other reference.
    let busy = Arc::downgrade(&busy);
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval((timeout / 4).max(Duration::from_millis(10)));
        loop {
            ticks.tick().await;
            let Some(busy) = busy.upgrade() else { return };
            if busy.busy_for().is_some_and(|since| since > timeout) {
                declare_dead(&dead, "the port is stuck in the router");
                return;
            }
        }
    });
}

fn spawn_canary(mut canary: LinkRx, dead: watch::Sender<bool>) -> std::io::Result<()> {
    thread::Builder::new().name("mqtt-canary".into()).spawn(move || {
        // Nothing is ever sent to this link; its channel closes when the router's thread ends.
        while canary.recv().is_ok() {}
        declare_dead(&dead, "its thread has ended");
    })?;
    Ok(())
}

/// The one thread that calls what may block.
struct Port<B> {
    build: B,
    ingress: LinkTx,
    _ingress_rx: LinkRx,
    links: HashMap<u32, LinkTx>,
    numbers: Arc<Mutex<Numbers>>,
    commands_for_readers: mpsc::WeakSender<Command>,
    dead: watch::Sender<bool>,
    busy: Arc<BusySince>,
    counters: Arc<Counters>,
    epoch: Instant,
    runtime: tokio::runtime::Handle,
}

impl<B> Port<B>
where
    B: Fn(&str) -> Result<(LinkTx, LinkRx, Notification), Box<LinkError>>,
{
    fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        while let Some(command) = commands.blocking_recv() {
            self.busy.begin();
            let done = self.perform(command);
            self.busy.end();
            if let Err(error) = done {
                tracing::error!(%error, "the router refuses");
                declare_dead(&self.dead, "it takes no more events");
                return;
            }
        }
    }

    fn perform(&mut self, command: Command) -> Result<(), Box<LinkError>> {
        match command {
            Command::Open { link, sink, stop } => {
                let (tx, rx, _) = (self.build)(&format!("link-{link}"))?;
                self.links.insert(link, tx);
                let reader = Reader {
                    rx,
                    sink,
                    counters: self.counters.clone(),
                    epoch: self.epoch,
                    next_offsets: HashMap::new(),
                };
                let commands = self.commands_for_readers.clone();
                self.runtime.spawn(async move {
                    reader.run(stop).await;
                    if let Some(commands) = commands.upgrade() {
                        // Fails only if the port has ended, and the router with it.
                        drop(commands.send(Command::Close { link }).await);
                    }
                });
            }
            Command::Subscribe { link, filter } => {
                if let Some(tx) = self.links.get_mut(&link) {
                    tx.subscribe(router_topic(filter))?;
                }
            }
            Command::Unsubscribe { link, filter } => {
                if let Some(tx) = self.links.get_mut(&link) {
                    tx.unsubscribe(router_topic(filter))?;
                }
            }
            Command::Close { link } => {
                if let Some(mut tx) = self.links.remove(&link) {
                    send_disconnect(&mut tx)?;
                }
                // Only now may the number, and with it the link's name in the router, be used again.
                lock(&self.numbers).give_back(link);
            }
            Command::Publish(batch) => self.publish(batch)?,
            #[cfg(test)]
            Command::KillRouter => {
                let (mut tx, rx, _) = (self.build)("victim")?;
                send_disconnect(&mut tx)?;
                self.runtime.block_on(rx.wake())?;
            }
        }
        Ok(())
    }

    /// One event for the whole batch: all but the last message are put into the link's buffer quietly.
    fn publish(&mut self, mut batch: Vec<(Bytes, Bytes)>) -> Result<(), Box<LinkError>> {
        let Some((topic, envelope)) = batch.pop() else {
            return Ok(());
        };
        let quiet = batch
            .into_iter()
            .map(|(topic, envelope)| Packet::Publish(rumqttd::protocol::Publish::new(topic, envelope, false), None));
        self.ingress.buffer().extend(quiet);
        self.ingress.publish(topic, envelope)?;
        Ok(())
    }
}

/// Sends the last packet of a link. `LinkTx::send` is async in name only: it never waits for a waker.
fn send_disconnect(tx: &mut LinkTx) -> Result<(), Box<LinkError>> {
    let packet = Packet::Disconnect(
        Disconnect {
            reason_code: DisconnectReasonCode::NormalDisconnection,
        },
        None,
    );
    let mut send = pin!(tx.send(packet));
    match send.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(sent) => Ok(sent.map(drop)?),
        Poll::Pending => Ok(()),
    }
}

/// Reads one link and hands its messages to its session.
struct Reader {
    rx: LinkRx,
    sink: Weak<SessionCell>,
    counters: Arc<Counters>,
    epoch: Instant,
    /// Per filter, the offset in the router's log that must come next; a gap is what was lost.
    next_offsets: HashMap<u32, u64>,
}

impl Reader {
    /// Until the session lets go of its link, or the router dies.
    async fn run(mut self, mut stop: oneshot::Receiver<()>) {
        loop {
            let notification = tokio::select! {
                biased;
                _ = &mut stop => return,
                notification = self.rx.next() => notification,
            };
            match notification {
                Ok(Some(Notification::Forward(forward))) => {
                    let Some(filter) = filter_number(&forward.publish.topic) else {
                        continue;
                    };
                    if let Some((_, offset)) = forward.cursor {
                        self.count_lost(filter, offset);
                    }
                    if let Some(message) = decode(&forward.publish.payload, self.epoch) {
                        self.hand_over(filter, message);
                    }
                }
                // The router stopped forwarding because the buffer was full; it is not any more.
                Ok(Some(Notification::Unschedule)) => {
                    if self.rx.wake().await.is_err() {
                        return;
                    }
                }
                Ok(_) => {}
                Err(_) => return,
            }
            yield_now_and_then().await;
        }
    }

    fn count_lost(&mut self, filter: u32, offset: u64) {
        let lost = self
            .next_offsets
            .get(&filter)
            .map_or(0, |next| offset.saturating_sub(*next));
        Counters::add(&self.counters.shared_lost, lost);
        self.next_offsets.insert(filter, offset + 1);
    }

    fn hand_over(&self, filter: u32, message: SharedMessage) {
        let Some(cell) = self.sink.upgrade() else { return };
        let mut state = cell.lock();
        let Some(subscription) = state.session.matching_shared(filter, &message.topic) else {
            return;
        };
        let options = subscription.options;
        let subscription_ids = subscription.id.into_iter().collect();
        let qos = message.qos.min(options.qos);
        let is_own = options.no_local && message.origin == cell.serial;
        if is_own || (qos == QoS::AtMostOnce && state.attachment.is_none()) {
            return;
        }
        let queued = Queued {
            topic: message.topic,
            payload: message.payload,
            qos,
            retain: message.retain && options.retain_as_published,
            properties: message.properties,
            subscription_ids,
            expires_at: message.expires_at,
            keep_while_offline: true,
        };
        // A full queue is counted by the session.
        let _ = state.session.enqueue(queued);
        let waker = state.take_waker();
        drop(state);
        wake(waker);
    }
}

/// A link's cache answers without waiting, so a busy link would never let the runtime's other tasks run.
async fn yield_now_and_then() {
    poll_fn(|cx| tokio::task::coop::poll_proceed(cx).map(|budget| budget.made_progress())).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> SharedMessage {
        SharedMessage {
            topic: "a/b".into(),
            payload: Bytes::from_static(b"payload"),
            qos: QoS::ExactlyOnce,
            retain: true,
            properties: Some(Arc::new(PublishProperties {
                user_properties: vec![("k".into(), "v".into())],
                ..PublishProperties::default()
            })),
            expires_at: None,
            origin: 7,
        }
    }

    fn router() -> Router {
        Router::start(&Config::default(), Arc::default()).unwrap()
    }

    #[test]
    fn envelopes_carry_everything() {
        let epoch = Instant::now();
        let expiring = SharedMessage {
            expires_at: Some(epoch + Duration::from_millis(1500)),
            ..message()
        };
        let empty = SharedMessage {
            payload: Bytes::new(),
            properties: None,
            qos: QoS::AtMostOnce,
            ..message()
        };
        for message in [message(), expiring, empty] {
            assert_eq!(decode(&encode(&message, epoch), epoch), Some(message));
        }
        assert_eq!(decode(&Bytes::from_static(b"short"), epoch), None);
    }

    #[test]
    fn numbers_are_used_again_and_bounded() {
        let mut numbers = Numbers::new(2);
        assert_eq!(
            (numbers.take(), numbers.take(), numbers.take()),
            (Some(0), Some(1), None)
        );
        numbers.give_back(0);
        assert_eq!((numbers.take(), numbers.take()), (Some(0), None));
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
