//! A pile on a real MQTT connection, and the handle by which a test or a program plays with it.
//! The pile's task only carries: between the machine, which decides, and the socket, the clock and people's hands.

use super::{
    behaviour::Behaviour,
    connection::{Connection, Heard, Station},
    event::{PileEvent, What},
    machine::{Act, Input, Output, Pile, Publish, Status},
    spec::{Flash, PileSpec},
    supply::Car,
    time::SimTime,
    wire,
};
use domain::{
    ids::{CardId, ConnectorNo, PileId},
    messages::Record,
    time::Mono,
};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::Instant,
};

/// The events a pile remembers; older ones are forgotten.
const EVENTS_MAX: usize = 20_000;
const CHANNEL_MAX: usize = 256;
/// How soon to offer messages again to a client that had its hands full.
const OFFER_AGAIN: Duration = Duration::from_millis(5);

/// Switches a pile on and connects it to a station. Must be called inside a tokio runtime.
///
/// The pile lives until [`PileHandle::shut_down`] or until its handle is dropped, which closes its socket without a word.
pub fn spawn(spec: PileSpec, flash: Flash, station: Station, time: SimTime) -> PileHandle {
    let pile = Pile::new(spec, flash, time.now());
    let id = pile.id().clone();
    let log = Arc::new(Log::default());
    let (asks_in, asks) = mpsc::channel(CHANNEL_MAX);
    let (heard_in, heard) = mpsc::channel(CHANNEL_MAX);
    let (told, told_out) = watch::channel(0);
    let (status_in, status) = watch::channel(pile.status());
    let (flash_in, flash) = watch::channel(pile.flash());
    let task = PileTask {
        pile,
        station,
        time,
        connection: None,
        waiting: VecDeque::new(),
        heard_in,
        log: Arc::clone(&log),
        told,
        status: status_in,
        flash: flash_in,
    };
    let task = tokio::spawn(task.run(asks, heard));
    let events = Events {
        log,
        told: told_out,
        next: 0,
    };
    PileHandle {
        id,
        asks: asks_in,
        events,
        status,
        flash,
        time,
        task,
    }
}

/// A running pile.
#[derive(Debug)]
pub struct PileHandle {
    id: PileId,
    asks: mpsc::Sender<Ask>,
    events: Events,
    status: watch::Receiver<Status>,
    flash: watch::Receiver<Flash>,
    time: SimTime,
    task: JoinHandle<()>,
}

#[derive(Debug)]
enum Ask {
    /// Do this, and say when it is done.
    Act(Box<Act>, oneshot::Sender<()>),
    /// Leave with a DISCONNECT.
    Close,
}

impl PileHandle {
    /// Which pile it is.
    pub fn id(&self) -> &PileId {
        &self.id
    }

    /// How it is doing.
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// What it would find after a loss of power.
    pub fn flash(&self) -> Flash {
        self.flash.borrow().clone()
    }

    /// Simulated time.
    pub fn now(&self) -> Mono {
        self.time.now()
    }

    /// Does something to the pile. When this returns it is done: a cut network's socket is closed, a message is with
    /// the MQTT client.
    pub async fn act(&self, act: Act) {
        let (done_in, done) = oneshot::channel();
        if self.asks.send(Ask::Act(Box::new(act), done_in)).await.is_ok() {
            // An error means that the pile is gone, and with it whatever could be done to it.
            let _ = done.await;
        }
    }

    /// Plugs in the car that the spec names.
    pub async fn plug(&self, connector: u8) {
        self.act(Act::Plug {
            connector: ConnectorNo(connector),
            car: None,
        })
        .await;
    }

    /// Plugs in this car.
    pub async fn plug_car(&self, connector: u8, car: Car) {
        self.act(Act::Plug {
            connector: ConnectorNo(connector),
            car: Some(car),
        })
        .await;
    }

    /// Pulls the plug out.
    pub async fn unplug(&self, connector: u8) {
        self.act(Act::Unplug {
            connector: ConnectorNo(connector),
        })
        .await;
    }

    /// Presses stop at the pile.
    pub async fn stop_at_pile(&self, connector: u8) {
        self.act(Act::StopAtPile {
            connector: ConnectorNo(connector),
        })
        .await;
    }

    /// Swipes a card.
    pub async fn swipe(&self, connector: u8, card_id: CardId) {
        self.act(Act::Swipe {
            connector: ConnectorNo(connector),
            card_id,
        })
        .await;
    }

    /// Closes the socket without a word and keeps it closed.
    pub async fn cut_network(&self) {
        self.act(Act::CutNetwork).await;
    }

    /// Lets the pile connect again.
    pub async fn restore_network(&self) {
        self.act(Act::RestoreNetwork).await;
    }

    /// Lets a fault happen, with a reason code of the contract.
    pub async fn fault(&self, connector: u8, code: u16) {
        let text = "simulated".to_owned();
        self.act(Act::Fault {
            connector: ConnectorNo(connector),
            code,
            text,
        })
        .await;
    }

    /// Clears a fault or releases the emergency stop.
    pub async fn clear_fault(&self, connector: u8) {
        self.act(Act::ClearFault {
            connector: ConnectorNo(connector),
        })
        .await;
    }

    /// Presses the emergency stop.
    pub async fn emergency_stop(&self, connector: u8) {
        self.act(Act::EmergencyStop {
            connector: ConnectorNo(connector),
        })
        .await;
    }

    /// Takes the power away.
    pub async fn power_off(&self) {
        self.act(Act::PowerOff).await;
    }

    /// Gives it back: a new boot.
    pub async fn power_on(&self) {
        self.act(Act::PowerOn).await;
    }

    /// From now on the pile behaves like this.
    pub async fn behave(&self, behaviours: impl IntoIterator<Item = Behaviour>) {
        self.act(Act::Behave(behaviours.into_iter().collect())).await;
    }

    /// Sends this record until it is acknowledged.
    pub async fn send_record(&self, record: Record) {
        self.act(Act::SendRecord(Box::new(record))).await;
    }

    /// Everything that has happened and will happen, from the beginning.
    pub fn events(&self) -> Events {
        Events {
            next: 0,
            ..self.events.clone()
        }
    }

    /// Waits until `pick` finds what it looks for in an event. Events are looked at once, in order: the next call goes
    /// on behind the event that this one found.
    pub async fn wait_for<T>(
        &mut self,
        within: Duration,
        pick: impl FnMut(&PileEvent) -> Option<T>,
    ) -> Result<T, NotSeen> {
        self.events.wait_for(within, pick).await
    }

    /// Waits until the pile's numbers are as `is` wants them; `false` if that takes longer than `within`.
    pub async fn wait_until(&self, within: Duration, is: impl FnMut(&Status) -> bool) -> bool {
        let mut status = self.status.clone();
        matches!(tokio::time::timeout(within, status.wait_for(is)).await, Ok(Ok(_)))
    }

    /// Disconnects properly and ends. The flash is what another pile needs to go on as this one.
    pub async fn shut_down(self) -> (Status, Flash) {
        // An error means that the task has ended already, which is what is wanted.
        let _ = self.asks.send(Ask::Close).await;
        let _ = self.task.await;
        (self.status.borrow().clone(), self.flash.borrow().clone())
    }
}

/// The events of one pile, in order.
#[derive(Debug, Clone)]
pub struct Events {
    log: Arc<Log>,
    told: watch::Receiver<u64>,
    next: u64,
}

/// What was waited for did not happen.
#[derive(Debug, Clone, thiserror::Error)]
#[error("not seen within {within:?}; what was seen:\n{}", seen.join("\n"))]
pub struct NotSeen {
    /// How long was waited.
    pub within: Duration,
    /// The last events that were not it.
    pub seen: Vec<String>,
}

impl Events {
    /// The next event; `None` when the pile is gone and there are no more.
    pub async fn next(&mut self) -> Option<PileEvent> {
        loop {
            if let Some(event) = self.log.get(&mut self.next) {
                return Some(event);
            }
            let next = self.next;
            if self.told.wait_for(|told| *told > next).await.is_err() {
                return self.log.get(&mut self.next);
            }
        }
    }

    /// Waits for the event in which `pick` finds something, passing over all others.
    pub async fn wait_for<T>(
        &mut self,
        within: Duration,
        mut pick: impl FnMut(&PileEvent) -> Option<T>,
    ) -> Result<T, NotSeen> {
        const SEEN_MAX: usize = 40;
        let deadline = Instant::now() + within;
        let mut seen = VecDeque::new();
        while let Ok(Some(event)) = tokio::time::timeout_at(deadline, self.next()).await {
            if let Some(found) = pick(&event) {
                return Ok(found);
            }
            if seen.len() == SEEN_MAX {
                seen.pop_front();
            }
            seen.push_back(event.to_string());
        }
        Err(NotSeen {
            within,
            seen: seen.into(),
        })
    }
}

/// The latest events and how many came before them.
#[derive(Debug, Default)]
struct Log {
    kept: Mutex<(u64, VecDeque<PileEvent>)>,
}

impl Log {
    fn lock(&self) -> MutexGuard<'_, (u64, VecDeque<PileEvent>)> {
        // Nothing can panic while it is held.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an event and returns how many there have been.
    fn push(&self, event: PileEvent) -> u64 {
        let mut kept = self.lock();
        if kept.1.len() == EVENTS_MAX {
            kept.1.pop_front();
            kept.0 += 1;
        }
        kept.1.push_back(event);
        kept.0 + kept.1.len() as u64
    }

    /// The event number `next`, or the oldest that is still known; `next` is then the one behind it.
    fn get(&self, next: &mut u64) -> Option<PileEvent> {
        let kept = self.lock();
        let number = (*next).max(kept.0);
        let event = kept.1.get(usize::try_from(number - kept.0).ok()?)?.clone();
        *next = number + 1;
        Some(event)
    }
}

/// The task that a pile runs in.
struct PileTask {
    pile: Pile,
    station: Station,
    time: SimTime,
    connection: Option<(u64, Connection)>,
    /// Messages that the client had no room for, at most what the pile keeps until it is acknowledged: a heartbeat that
    /// cannot leave now is of no use later. Gone with the connection.
    waiting: VecDeque<Publish>,
    heard_in: mpsc::Sender<(u64, Heard)>,
    log: Arc<Log>,
    told: watch::Sender<u64>,
    status: watch::Sender<Status>,
    flash: watch::Sender<Flash>,
}

impl PileTask {
    async fn run(mut self, mut asks: mpsc::Receiver<Ask>, mut heard: mpsc::Receiver<(u64, Heard)>) {
        loop {
            self.carry_out().await;
            let wake = self.pile.next_wake().map_or_else(
                || Instant::now() + Duration::from_secs(3_600),
                |at| self.time.instant(at),
            );
            let input = tokio::select! {
                () = tokio::time::sleep_until(wake) => Input::Wake,
                () = tokio::time::sleep(OFFER_AGAIN), if !self.waiting.is_empty() => Input::Wake,
                Some((attempt, heard)) = heard.recv() => match self.understand(attempt, heard) {
                    Some(input) => input,
                    None => continue,
                },
                ask = asks.recv() => match ask {
                    Some(Ask::Act(act, done)) => {
                        self.pile.handle(self.time.now(), Input::Act(*act));
                        self.carry_out().await;
                        // Nobody may be waiting for it.
                        let _ = done.send(());
                        continue;
                    }
                    Some(Ask::Close) => return self.close().await,
                    None => return self.cut().await,
                },
            };
            self.pile.handle(self.time.now(), input);
        }
    }

    /// Does what the pile wants done.
    async fn carry_out(&mut self) {
        while let Some(output) = self.pile.poll() {
            match output {
                Output::Connect { attempt } => {
                    self.cut().await;
                    let connection = Connection::open(self.pile.id(), &self.station, attempt, self.heard_in.clone());
                    self.connection = Some((attempt, connection));
                }
                Output::Disconnect { clean: true } => self.close().await,
                Output::Disconnect { clean: false } => self.cut().await,
                Output::Publish(publish) => {
                    if publish.qos1 || self.waiting.is_empty() {
                        self.waiting.push_back(publish);
                        self.offer();
                    }
                }
                Output::Event(event) => self.tell(event),
                Output::Persist => {
                    self.flash.send_replace(self.pile.flash());
                }
            }
        }
        self.offer();
        let status = self.pile.status();
        self.status.send_if_modified(|known| {
            let changed = *known != status;
            *known = status;
            changed
        });
    }

    fn tell(&self, event: PileEvent) {
        match &event.what {
            What::Unexpected { detail } => tracing::warn!(pile = %event.pile, "{detail}"),
            what => tracing::debug!(pile = %event.pile, "{what}"),
        }
        self.told.send_replace(self.log.push(event));
    }

    /// Gives the client what it has room for.
    fn offer(&mut self) {
        let Some((_, connection)) = &self.connection else {
            return self.waiting.clear();
        };
        while let Some(publish) = self.waiting.front() {
            if !connection.publish(self.pile.id(), publish) {
                break;
            }
            self.waiting.pop_front();
        }
    }

    fn understand(&mut self, attempt: u64, heard: Heard) -> Option<Input> {
        if self.connection.as_ref().is_none_or(|(present, _)| *present != attempt) {
            return None; // An echo of a connection that is gone.
        }
        Some(match heard {
            Heard::Up => Input::LinkUp { attempt },
            Heard::Down { reason } => {
                self.connection = None;
                self.waiting.clear();
                Input::LinkDown { attempt, reason }
            }
            Heard::Puback { token } => Input::Puback { token },
            Heard::Message { topic, payload } => match wire::read_down(self.pile.id(), &topic, &payload) {
                Ok(down) => Input::Down(down),
                Err(detail) => Input::Unreadable { detail },
            },
        })
    }

    async fn close(&mut self) {
        self.offer();
        self.waiting.clear();
        if let Some((_, connection)) = self.connection.take() {
            connection.say_goodbye().await;
        }
    }

    async fn cut(&mut self) {
        self.waiting.clear();
        if let Some((_, connection)) = self.connection.take() {
            connection.cut().await;
        }
    }
}

#[cfg(test)]
mod tests;
