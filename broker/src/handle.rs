//! What the embedding program does with a running broker: publish, disconnect, count.
//! All calls return at once; none waits for a client.

use std::fmt;
use std::sync::{Arc, MutexGuard};
use std::time::Instant;

use crate::codec::publish::properties_len;
use crate::core::Core;
use crate::gatekeeper::{DisconnectCause, Identity};
use crate::message::{Message, QoS};
use crate::router::{RouterError, SharedMessage};
use crate::session::{QueueFull, Queued, expires_at};
use crate::sessions::{CellState, SessionCell, wake};
use crate::stats::Stats;

/// A handle to a [`Broker`](crate::Broker). Cheap to clone, usable from any thread.
#[derive(Clone)]
pub struct Handle {
    core: Arc<Core>,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

/// What became of a message for one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It is on its way to the client (or waits for it, if it may).
    Queued,
    /// It is retained, and nobody is there to get it now.
    Retained,
}

/// Why a message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The topic has wildcards, is empty, too long or too deep.
    #[error("the topic is not a valid topic name within the limits")]
    InvalidTopic,
    /// A property is longer than 64 KiB or otherwise not one that MQTT 5 can carry.
    #[error("the message has properties that cannot be sent")]
    InvalidProperties,
    /// Above `packet_bytes_max`.
    #[error("the message is larger than the largest packet")]
    TooLarge,
    /// No session has this client id.
    #[error("no such client")]
    NoSession,
    /// The client is away and the message is not one to wait for it.
    #[error("the client is not connected")]
    NotConnected,
    /// The client has no subscription that matches.
    #[error("the client has not subscribed to the topic")]
    NotSubscribed,
    /// The client's queue is full.
    #[error("too many messages wait for the client")]
    QueueFull,
    /// A cap on retained messages is reached.
    #[error("too many retained messages")]
    RetainedFull,
    /// The router's queue is full.
    #[error("the router is busy")]
    RouterBusy,
    /// The router has died, see [`Broker::router_died`](crate::Broker::router_died).
    #[error("the router has died")]
    RouterDied,
}

impl Handle {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    /// Sends a message to one client, past the router, if it has subscribed to the topic (directly or shared). One copy
    /// is sent, at the lower of the message's QoS and the highest that was granted.
    ///
    /// A retained message is also kept for later subscribers of its topic, whoever they are; then it is no error if the
    /// client is not there.
    ///
    /// # Errors
    /// The message goes nowhere, except that a retained one is kept also when the client's queue is full. Where there is no
    /// room to keep it, which is counted, it still goes to the client.
    pub fn publish_to(&self, client_id: &str, message: Message) -> Result<Sent, PublishError> {
        let now = Instant::now();
        let message = self.checked(message, now)?;
        let kept = message.shared.retain.then(|| self.core.retain(now, &message.shared));
        let sent = self.send_to(client_id, &message);
        match (sent, kept) {
            (Err(PublishError::NoSession | PublishError::NotConnected | PublishError::NotSubscribed), Some(kept)) => {
                kept.map(|()| Sent::Retained).map_err(|_| PublishError::RetainedFull)
            }
            (sent, _) => sent,
        }
    }

    fn send_to(&self, client_id: &str, message: &Checked) -> Result<Sent, PublishError> {
        let cell = self.core.sessions.get(client_id).ok_or(PublishError::NoSession)?;
        let mut state = cell.lock();
        let waits = message.keep_while_offline && message.shared.qos != QoS::AtMostOnce;
        if state.attachment.is_none() && !waits {
            return Err(PublishError::NotConnected);
        }
        let found = state
            .session
            .matching(&message.shared.topic)
            .ok_or(PublishError::NotSubscribed)?;
        let queued = Queued {
            topic: message.shared.topic.clone(),
            payload: message.shared.payload.clone(),
            qos: message.shared.qos.min(found.qos),
            retain: message.shared.retain && found.retain_as_published,
            properties: message.shared.properties.clone(),
            subscription_ids: found.subscription_ids,
            expires_at: message.shared.expires_at,
            keep_while_offline: message.keep_while_offline,
        };
        state
            .session
            .enqueue(queued)
            .map_err(|QueueFull| PublishError::QueueFull)?;
        let waker = state.take_waker();
        drop(state);
        wake(waker);
        Ok(Sent::Queued)
    }

    /// Publishes to all shared subscribers of the topic. A retained message is kept for later ones.
    ///
    /// # Errors
    /// The message goes nowhere, except that a retained one is kept also when the router is busy or has died; and where
    /// there is no room to keep it, which is counted, it still goes to those who are there.
    pub fn publish_shared(&self, message: Message) -> Result<(), PublishError> {
        let now = Instant::now();
        let message = self.checked(message, now)?.shared;
        let kept = message.retain.then(|| self.core.retain(now, &message));
        // Not counted as lost: whoever is told may send it again.
        self.core.router.try_publish(&message).map_err(|error| match error {
            RouterError::Full => PublishError::RouterBusy,
            RouterError::Dead => PublishError::RouterDied,
        })?;
        match kept {
            Some(Err(_)) => Err(PublishError::RetainedFull),
            _ => Ok(()),
        }
    }

    /// Keeps a message as the retained one of its topic and sends it to nobody: what the program has kept of the time
    /// before a restart, with what is left of its expiry. Call it before the listeners are served.
    ///
    /// # Errors
    /// The message is not kept.
    pub fn restore(&self, message: Message) -> Result<(), PublishError> {
        let now = Instant::now();
        let message = self.checked(message, now)?.shared;
        self.core.retain(now, &message).map_err(|_| PublishError::RetainedFull)
    }

    fn checked(&self, message: Message, now: Instant) -> Result<Checked, PublishError> {
        /// More than any fixed header, packet id and empty properties take.
        const HEADER_BYTES: usize = 16;
        if !self.core.topics.is_name(&message.topic) {
            return Err(PublishError::InvalidTopic);
        }
        if message
            .properties
            .as_ref()
            .is_some_and(|properties| !properties.can_be_sent())
        {
            return Err(PublishError::InvalidProperties);
        }
        let properties_len = properties_len(message.properties.as_deref());
        if message.topic.len() + message.payload.len() + properties_len + HEADER_BYTES
            > self.core.config.packet_bytes_max
        {
            return Err(PublishError::TooLarge);
        }
        let shared = SharedMessage {
            topic: message.topic,
            payload: message.payload,
            qos: message.qos,
            retain: message.retain,
            properties: message.properties,
            expires_at: expires_at(now, message.expiry),
            origin: 0,
        };
        Ok(Checked {
            shared,
            keep_while_offline: message.keep_while_offline,
        })
    }

    /// Closes a client's connection (MQTT 5: with the cause's reason code); its session lives on as agreed. False if it
    /// is not connected.
    pub fn disconnect(&self, client_id: &str, cause: DisconnectCause) -> bool {
        self.core.sessions.get(client_id).is_some_and(|cell| cell.close(cause))
    }

    /// Ends all connections and sessions of an identity (0x98). Returns how many sessions there were.
    pub fn kick_identity(&self, identity: &Identity) -> usize {
        let cells = self.core.sessions.of_identity(identity);
        for cell in &cells {
            self.end(cell, cell.lock());
        }
        cells.len()
    }

    /// Asks the gatekeeper again about every client of an identity, and ends the connections and sessions (0x98) of those
    /// that are not admitted any more. Returns how many sessions there were. Call it when something was taken back: who
    /// is about to get a session is asked about after this, and refused.
    pub fn check_again(&self, identity: &Identity) -> usize {
        let mut ended = 0;
        for cell in &self.core.sessions.of_identity(identity) {
            let client = cell.lock().last_client.clone();
            // Without one nobody has got the session yet.
            let Some(client) = client.filter(|client| !self.core.gatekeeper.is_admitted(client)) else {
                continue;
            };
            let state = cell.lock();
            if state
                .last_client
                .as_ref()
                .is_some_and(|last| last.connection == client.connection)
            {
                self.end(cell, state);
                ended += 1;
            }
        }
        ended
    }

    /// Ends a session, and its connection if there is one.
    fn end(&self, cell: &SessionCell, mut state: MutexGuard<'_, CellState>) {
        state.session.end_with_connection(Instant::now());
        let deadline = state.session.deadline();
        let is_attached = state.attachment.is_some();
        drop(state);
        if is_attached {
            cell.close(DisconnectCause::AdministrativeAction);
        } else {
            self.core.sessions.schedule(cell, deadline);
        }
    }

    /// Whether a client is connected now.
    pub fn is_connected(&self, client_id: &str) -> bool {
        self.core
            .sessions
            .get(client_id)
            .is_some_and(|cell| cell.lock().attachment.is_some())
    }

    /// The counters.
    pub fn stats(&self) -> Stats {
        self.core.stats()
    }
}

struct Checked {
    shared: SharedMessage,
    keep_while_offline: bool,
}
