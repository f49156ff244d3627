//! A pile played by hand: a plain MQTT client that says what a test tells it to say, and nothing else.
//! For everything that a simulated pile would not do, or would do at a time of its own.

use anyhow::{Context, bail, ensure};
use domain::{
    ids::PileId,
    time::Wall,
    topics::{self, DownKind, UpKind},
};
use rumqttc::{AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, MqttOptions, Outgoing, Packet, QoS};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};
use tokio::{sync::mpsc, task::JoinHandle};

/// How long the station may take to answer anything.
const PATIENCE: Duration = Duration::from_secs(20);
const PACKET_BYTES_MAX: usize = 1024 * 1024;

/// A connection of a pile, and what it has heard.
pub struct Hand {
    pile: PileId,
    client: AsyncClient,
    /// What the connection does, until it ends.
    events: mpsc::UnboundedReceiver<Result<Event, ConnectionError>>,
    has_ended: bool,
    /// Keeps the connection alive however long the test looks elsewhere.
    connection: JoinHandle<()>,
    boot_id: String,
    seq: u64,
    born: Instant,
    /// Its uptime when it connected, in milliseconds.
    ran_ms: u64,
    /// What the station said the time was, and when it said so.
    clock: Option<(Wall, Instant)>,
    heard: VecDeque<(DownKind, Value)>,
    /// Publishes by packet id whose PUBACK is missing; the token is the caller's.
    in_flight: BTreeMap<u16, u64>,
    /// Publishes that have no packet id yet.
    waiting: VecDeque<u64>,
    acknowledged: Vec<u64>,
    tokens: u64,
}

impl Hand {
    /// Connects as `client_id` with this user name and password, and returns what CONNACK says.
    ///
    /// # Errors
    /// If there is no CONNACK, or it refuses: then the return code is in the error.
    pub async fn open(address: SocketAddr, client_id: &str, user: &str, password: &str) -> anyhow::Result<Self> {
        Self::open_as(address, client_id, (user, password), false).await
    }

    async fn open_as(
        address: SocketAddr,
        client_id: &str,
        (user, password): (&str, &str),
        is_deaf: bool,
    ) -> anyhow::Result<Self> {
        let mut options = MqttOptions::new(client_id, address.ip().to_string(), address.port());
        options.set_clean_session(true);
        options.set_keep_alive(Duration::from_secs(60));
        options.set_inflight(64);
        options.set_max_packet_size(PACKET_BYTES_MAX, PACKET_BYTES_MAX);
        options.set_credentials(user, password);
        options.set_manual_acks(is_deaf);
        let (client, mut events) = AsyncClient::new(options, 256);
        let mut network = events.network_options();
        network.set_connection_timeout(PATIENCE.as_secs());
        events.set_network_options(network);
        let (says, heard) = mpsc::unbounded_channel();
        let connection = tokio::spawn(run(events, says));
        // Its uptime and its numbers begin anew, so this is another boot.
        static BOOTS: AtomicU32 = AtomicU32::new(1);
        let boot = BOOTS.fetch_add(1, Ordering::Relaxed);
        let mut hand = Self {
            pile: PileId::new(user)?,
            client,
            events: heard,
            has_ended: false,
            connection,
            boot_id: format!("{user}-boot-{boot}"),
            seq: 0,
            born: Instant::now(),
            ran_ms: 0,
            clock: None,
            heard: VecDeque::new(),
            in_flight: BTreeMap::new(),
            waiting: VecDeque::new(),
            acknowledged: Vec::new(),
            tokens: 0,
        };
        loop {
            match tokio::time::timeout(PATIENCE, hand.event())
                .await
                .context("no CONNACK")?
            {
                Ok(Event::Incoming(Packet::ConnAck(_))) => return Ok(hand),
                Ok(_) => {}
                Err(ConnectionError::ConnectionRefused(code)) => return Err(Refused(code).into()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Connects as the pile itself and subscribes to what the station says to it.
    ///
    /// # Errors
    /// If the station refuses either.
    pub async fn connect(address: SocketAddr, pile: &str, secret: &str) -> anyhow::Result<Self> {
        Self::open(address, pile, pile, secret).await?.subscribed().await
    }

    /// As [`Hand::connect`], but nothing that the station says to it is ever acknowledged.
    ///
    /// # Errors
    /// If the station refuses either.
    pub async fn connect_deaf(address: SocketAddr, pile: &str, secret: &str) -> anyhow::Result<Self> {
        let hand = Self::open_as(address, pile, (pile, secret), true).await?;
        hand.subscribed().await
    }

    async fn subscribed(self) -> anyhow::Result<Self> {
        let mut hand = self;
        let filter = topics::down(&hand.pile, DownKind::Ack).replace("/ack", "/#");
        ensure!(
            hand.subscribe(&filter).await?,
            "the subscription to {filter} was refused"
        );
        Ok(hand)
    }

    /// Which pile it is.
    pub fn pile(&self) -> &PileId {
        &self.pile
    }

    /// Subscribes and returns whether that was granted.
    ///
    /// # Errors
    /// If there is no SUBACK.
    pub async fn subscribe(&mut self, filter: &str) -> anyhow::Result<bool> {
        self.client.try_subscribe(filter, QoS::AtLeastOnce)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(Packet::SubAck(answer)) = self.turn(deadline).await? {
                let granted = |code: &_| matches!(code, rumqttc::SubscribeReasonCode::Success(_));
                return Ok(answer.return_codes.iter().all(granted));
            }
        }
    }

    /// From now on the pile is in this boot.
    pub fn set_boot_id(&mut self, boot_id: &str) {
        boot_id.clone_into(&mut self.boot_id);
    }

    /// The pile has been in this boot for so long, in milliseconds, when it connected.
    pub fn go_on_in(&mut self, boot_id: &str, ran_ms: u64) {
        self.set_boot_id(boot_id);
        self.ran_ms = ran_ms;
    }

    /// What the pile's clock shows, once the station has told it the time.
    pub fn ts(&self) -> Option<Wall> {
        let (told, at) = self.clock?;
        Some(told.after_ms(i64::try_from(at.elapsed().as_millis()).unwrap_or(i64::MAX)))
    }

    /// Milliseconds since the pile started.
    pub fn mono_ms(&self) -> u64 {
        let since_ms = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.ran_ms.saturating_add(since_ms)
    }

    /// `body` with the fields that every message has.
    pub fn message(&mut self, body: &Value) -> Value {
        self.seq += 1;
        let mut message = json!({
            "boot_id": self.boot_id, "seq": self.seq, "mono_ms": self.mono_ms(), "ts": self.ts(),
            "msg_id": format!("m{}", self.seq),
        });
        if let (Some(message), Some(body)) = (message.as_object_mut(), body.as_object()) {
            message.extend(body.clone());
        }
        message
    }

    /// Says something and waits for its PUBACK; returns the message's id.
    ///
    /// # Errors
    /// If the connection ends or the PUBACK does not come.
    pub async fn say(&mut self, kind: UpKind, body: &Value) -> anyhow::Result<String> {
        let message = self.message(body);
        let topic = topics::up(&self.pile, kind);
        self.publish(&topic, serde_json::to_vec(&message)?).await?;
        Ok(message["msg_id"].as_str().unwrap_or_default().to_owned())
    }

    /// Publishes bytes at QoS 1 and waits for the PUBACK.
    ///
    /// # Errors
    /// If the connection ends or the PUBACK does not come.
    pub async fn publish(&mut self, topic: &str, payload: Vec<u8>) -> anyhow::Result<()> {
        let token = self.begin(topic, payload)?;
        let deadline = Instant::now() + PATIENCE;
        while !self.acknowledged.contains(&token) {
            self.turn(deadline).await?;
        }
        self.acknowledged.retain(|acknowledged| *acknowledged != token);
        Ok(())
    }

    /// Begins to publish at QoS 1 and does not wait; [`Hand::acknowledged`] will have the token that is returned.
    ///
    /// # Errors
    /// If too many wait already.
    pub fn begin(&mut self, topic: &str, payload: Vec<u8>) -> anyhow::Result<u64> {
        self.tokens += 1;
        self.client.try_publish(topic, QoS::AtLeastOnce, false, payload)?;
        self.waiting.push_back(self.tokens);
        Ok(self.tokens)
    }

    /// How many publishes have no PUBACK yet.
    pub fn unacknowledged(&self) -> usize {
        self.waiting.len() + self.in_flight.len()
    }

    /// What was acknowledged since this was last asked.
    pub fn acknowledged(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.acknowledged)
    }

    /// Waits for what the station says of this kind; what it says of others is kept for later.
    ///
    /// # Errors
    /// If the connection ends or it does not come.
    pub async fn hear(&mut self, kind: DownKind) -> anyhow::Result<Value> {
        self.hear_where(kind, |_| true).await
    }

    /// Waits for the `ack` of this message.
    ///
    /// # Errors
    /// If the connection ends or it does not come.
    pub async fn ack_of(&mut self, msg_id: &str) -> anyhow::Result<Value> {
        self.hear_where(DownKind::Ack, |ack| ack["msg_id"] == msg_id).await
    }

    /// Waits for a message of this kind that `is` the one.
    ///
    /// # Errors
    /// If the connection ends or it does not come.
    pub async fn hear_where(&mut self, kind: DownKind, is: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self
                .heard
                .iter()
                .position(|(heard, message)| *heard == kind && is(message))
                && let Some((_, message)) = self.heard.remove(at)
            {
                return Ok(message);
            }
            let turned = self.turn(deadline).await;
            turned.with_context(|| format!("waiting for {kind:?}; heard {:?}", self.heard))?;
        }
    }

    /// What the station says of this kind within this time, if it does.
    pub async fn hear_within(&mut self, kind: DownKind, time: Duration) -> Option<Value> {
        let deadline = Instant::now() + time;
        loop {
            if let Some(at) = self.heard.iter().position(|(heard, _)| *heard == kind) {
                return self.heard.remove(at).map(|(_, message)| message);
            }
            self.turn(deadline).await.ok()?;
        }
    }

    /// Waits for the end of the connection.
    ///
    /// # Errors
    /// If it does not end.
    pub async fn wait_for_end(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.turn(deadline).await {
                Ok(_) => {}
                Err(error) if error.is::<ConnectionError>() => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// What the connection did next.
    async fn event(&mut self) -> Result<Event, ConnectionError> {
        if self.has_ended {
            return Err(ConnectionError::RequestsDone);
        }
        let event = self.events.recv().await.unwrap_or(Err(ConnectionError::RequestsDone));
        self.has_ended = event.is_err();
        event
    }

    /// Takes one thing that the connection did; returns a packet that came.
    ///
    /// # Errors
    /// [`ConnectionError`] if the connection has ended; something else if nothing happens until `deadline`.
    pub async fn turn(&mut self, deadline: Instant) -> anyhow::Result<Option<Packet>> {
        let event = tokio::time::timeout_at(deadline.into(), self.event()).await;
        let packet = match event.context("nothing came in time")?? {
            Event::Outgoing(Outgoing::Publish(packet_id)) => {
                if let Some(token) = self.waiting.pop_front() {
                    self.in_flight.insert(packet_id, token);
                }
                return Ok(None);
            }
            Event::Outgoing(_) => return Ok(None),
            Event::Incoming(packet) => packet,
        };
        match &packet {
            Packet::PubAck(ack) => self.acknowledged.extend(self.in_flight.remove(&ack.pkid)),
            Packet::Publish(publish) => {
                let kinds = DownKind::ALL.iter().copied();
                let kind = kinds
                    .into_iter()
                    .find(|kind| topics::down(&self.pile, *kind) == publish.topic);
                let kind = kind.with_context(|| format!("a message on {}", publish.topic))?;
                let message: Value = serde_json::from_slice(&publish.payload)?;
                if kind == DownKind::Time {
                    let told = Wall::parse(message["ts"].as_str().unwrap_or_default());
                    self.clock = Some((told.map_err(anyhow::Error::msg)?, Instant::now()));
                }
                self.heard.push_back((kind, message));
            }
            Packet::Disconnect => bail!("the station said DISCONNECT"),
            _ => {}
        }
        Ok(Some(packet))
    }

    /// Leaves with a DISCONNECT.
    pub async fn leave(mut self) {
        let _full = self.client.try_disconnect();
        let gone = async { while !matches!(self.event().await, Ok(Event::Outgoing(Outgoing::Disconnect)) | Err(_)) {} };
        let _too_late = tokio::time::timeout(PATIENCE, gone).await;
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// Runs a connection until it ends. The client would connect again by itself; a hand does so only when its test says so.
async fn run(mut events: EventLoop, says: mpsc::UnboundedSender<Result<Event, ConnectionError>>) {
    loop {
        let event = events.poll().await;
        let is_end = event.is_err();
        if says.send(event).is_err() {
            return;
        }
        if is_end {
            // Whoever publishes still is told of the end when they look, and not before.
            std::future::pending::<()>().await;
        }
    }
}

/// CONNACK said no.
#[derive(Debug, thiserror::Error)]
#[error("CONNECT was answered {0:?}")]
pub struct Refused(pub ConnectReturnCode);
