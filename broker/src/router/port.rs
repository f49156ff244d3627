//! The one thread that calls what may block in rumqttd, and those who notice when the router does not answer.
//! Commands are performed in their order, so a message published after a subscription is forwarded to it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::num::NonZeroU64;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rumqttd::Notification;
use rumqttd::local::{LinkError, LinkRx, LinkTx};
use rumqttd::protocol::{Disconnect, DisconnectReasonCode, Packet};
use tokio::sync::{mpsc, oneshot, watch};

use super::numbers::Numbers;
use super::reader::Reader;
use super::{declare_dead, lock, router_topic};
use crate::sessions::SessionCell;
use crate::stats::Counters;

#[derive(Debug)]
pub(super) enum Command {
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

/// Since when a thread is inside a call that may block, in nanoseconds; 0: it is not.
#[derive(Debug)]
pub(super) struct BusySince {
    epoch: Instant,
    nanos: AtomicU64,
}

impl BusySince {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            epoch: Instant::now(),
            nanos: AtomicU64::new(0),
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_nanos())
            .unwrap_or(u64::MAX)
            .max(1)
    }

    pub(super) fn begin(&self) {
        self.nanos.store(self.now(), Ordering::Relaxed);
    }

    pub(super) fn end(&self) {
        self.nanos.store(0, Ordering::Relaxed);
    }

    /// When the present call began.
    fn since(&self) -> Option<NonZeroU64> {
        NonZeroU64::new(self.nanos.load(Ordering::Relaxed))
    }
}

/// How many looks of the watchdog make up its time-out.
const LOOKS: u32 = 4;

/// Counts the router as dead when `busy` stays in one call for longer than `timeout`. It counts its own looks and not
/// the time: a machine that stood still for a while, and its router with it, is given the whole time-out again.
pub(super) fn spawn_watchdog(busy: &Arc<BusySince>, dead: watch::Sender<bool>, timeout: Duration, why: &'static str) {
    // Ends with the thread that it watches: that one holds the other reference.
    let busy = Arc::downgrade(busy);
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval((timeout / LOOKS).max(Duration::from_millis(10)));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut call, mut looks) = (None, 0);
        loop {
            ticks.tick().await;
            let Some(busy) = busy.upgrade() else { return };
            let since = busy.since();
            looks = if since.is_some() && since == call { looks + 1 } else { 0 };
            call = since;
            if looks > LOOKS {
                declare_dead(&dead, why);
                return;
            }
        }
    });
}

/// What the canary says to itself; no filter number (see [`super::router_topic`]) makes this topic.
const CANARY: &str = "canary";
/// How long the canary rests between two round trips.
const CANARY_RESTS: Duration = Duration::from_secs(1);

/// Sends a message through the router and waits for it, again and again, on a thread of its own. The router's end is
/// noticed at once by the channel that closes; a router that hangs, by whoever watches `busy`.
pub(super) fn spawn_canary(
    mut tx: LinkTx,
    mut rx: LinkRx,
    busy: Arc<BusySince>,
    dead: watch::Sender<bool>,
) -> std::io::Result<()> {
    thread::Builder::new().name("mqtt-canary".into()).spawn(move || {
        let error = sing(&mut tx, &mut rx, &busy);
        tracing::debug!(?error, "the canary fell silent");
        declare_dead(&dead, "its thread has ended");
    })?;
    Ok(())
}

fn sing(tx: &mut LinkTx, rx: &mut LinkRx, busy: &BusySince) -> Result<Infallible, Box<LinkError>> {
    busy.begin();
    tx.subscribe(CANARY)?;
    loop {
        busy.begin();
        tx.publish(CANARY, CANARY)?;
        while !matches!(rx.recv()?, Some(Notification::Forward(_))) {}
        busy.end();
        let rested = Instant::now() + CANARY_RESTS;
        loop {
            match rx.recv_deadline(rested) {
                Ok(_) => {}
                Err(LinkError::RecvTimeout(_)) if Instant::now() >= rested => break,
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// The one thread that calls what may block.
pub(super) struct Port<B> {
    pub(super) build: B,
    pub(super) ingress: LinkTx,
    pub(super) _ingress_rx: LinkRx,
    pub(super) links: HashMap<u32, LinkTx>,
    pub(super) numbers: Arc<Mutex<Numbers>>,
    pub(super) commands_for_readers: mpsc::WeakSender<Command>,
    pub(super) dead: watch::Sender<bool>,
    pub(super) busy: Arc<BusySince>,
    pub(super) counters: Arc<Counters>,
    pub(super) epoch: Instant,
    pub(super) runtime: tokio::runtime::Handle,
}

impl<B> Port<B>
where
    B: Fn(&str) -> Result<(LinkTx, LinkRx, Notification), Box<LinkError>>,
{
    pub(super) fn run(mut self, mut commands: mpsc::Receiver<Command>) {
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
