//! WebSockets: the present state first, then what changes. A slow reader gets the latest and never a queue; one caller
//! has a share of the sockets, and a socket ends with the token that opened it.

use super::{
    access::{Caller, Tokens, WS_PROTOCOL},
    becomes_true,
    problem::Problem,
};
use axum::{
    extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code, rejection::WebSocketUpgradeRejection},
    http::StatusCode,
    response::Response,
};
use limits::{InUse, Place};
use std::{future::Future, sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, MissedTickBehavior},
};

/// The most WebSockets at once.
pub const SOCKETS_MAX: usize = 256;
/// The most of one caller. Everybody on the Unix socket without a token is one caller for each user.
pub const SOCKETS_PER_CALLER_MAX: usize = 64;
/// How often the other side is asked for a sign of life, and its token looked at.
const PING_EVERY: Duration = Duration::from_secs(20);
/// How long it may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// How long one message may take to be taken.
const SEND_TIME_MAX: Duration = Duration::from_secs(10);
/// The longest message that is taken; readers have nothing to say.
const MESSAGE_BYTES_MAX: usize = 4 * 1024;

/// What a socket shows.
pub trait Feed: Send + 'static {
    /// What is to be said now: at first the present state, or what is newer than the reader says to have seen; after that
    /// what is newer than what was said before. One JSON text a message.
    ///
    /// # Errors
    /// Nothing can be said any more: the daemon ends.
    fn next(&mut self) -> impl Future<Output = Result<Vec<String>, Ended>> + Send;

    /// Returns when there is something new to say.
    ///
    /// # Errors
    /// There never will be.
    fn changed(&mut self) -> impl Future<Output = Result<(), Ended>> + Send;
}

/// The daemon has nothing more to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended;

/// All open sockets of a daemon.
#[derive(Clone)]
pub struct Sockets {
    room: Arc<Semaphore>,
    by_caller: InUse<String>,
    tokens: Arc<dyn Tokens>,
    closing: Arc<watch::Sender<bool>>,
}

/// What a socket holds until it ends.
type Places = (OwnedSemaphorePermit, Place<String>);

impl Sockets {
    /// No sockets yet. They end when `closing` is true.
    pub fn new(tokens: Arc<dyn Tokens>, closing: Arc<watch::Sender<bool>>) -> Self {
        Self {
            room: Arc::new(Semaphore::new(SOCKETS_MAX)),
            by_caller: InUse::default(),
            tokens,
            closing,
        }
    }

    /// How many are open.
    pub fn open(&self) -> usize {
        SOCKETS_MAX.saturating_sub(self.room.available_permits())
    }

    /// Opens one that shows `feed`.
    ///
    /// # Errors
    /// It is no WebSocket, or there are too many, in all or of this caller.
    pub fn show(
        &self,
        caller: Caller,
        upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
        feed: impl Feed,
    ) -> Result<Response, Problem> {
        let upgrade = upgrade.map_err(|rejection| {
            let detail = format!("open this as a WebSocket: {rejection}");
            Problem::new(StatusCode::UPGRADE_REQUIRED, "not_a_websocket", detail)
        })?;
        let places = self.places(&caller)?;
        let sockets = self.clone();
        let response = upgrade
            .protocols([WS_PROTOCOL])
            .max_message_size(MESSAGE_BYTES_MAX)
            .max_frame_size(MESSAGE_BYTES_MAX)
            .on_upgrade(move |socket| sockets.run(socket, caller, feed, places));
        Ok(response)
    }

    fn places(&self, caller: &Caller) -> Result<Places, Problem> {
        let own = self.by_caller.admit(caller.name.clone(), SOCKETS_PER_CALLER_MAX);
        let own = own.ok_or_else(|| {
            let detail = format!(
                "{} has {SOCKETS_PER_CALLER_MAX} sockets open already; close some",
                caller.name
            );
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_sockets_of_caller", detail)
        })?;
        let permit = Arc::clone(&self.room).try_acquire_owned().map_err(|_| {
            let detail = format!("{SOCKETS_MAX} sockets are open already; try again later");
            Problem::unavailable("too_many_sockets", detail)
        })?;
        Ok((permit, own))
    }

    async fn run(self, mut socket: WebSocket, caller: Caller, feed: impl Feed, places: Places) {
        let (code, reason) = match self.feed(&mut socket, &caller, feed).await {
            Over::Gone => return,
            Over::Stopping => (close_code::AWAY, "the daemon is shutting down"),
            Over::TokenGone => (close_code::POLICY, "the token was taken back"),
        };
        let close = Message::Close(Some(CloseFrame {
            code,
            reason: reason.into(),
        }));
        let _gone = tokio::time::timeout(SEND_TIME_MAX, socket.send(close)).await;
        drop(places);
    }

    async fn feed(&self, socket: &mut WebSocket, caller: &Caller, mut feed: impl Feed) -> Over {
        let mut closing = self.closing.subscribe();
        let mut ping = tokio::time::interval_at(Instant::now() + PING_EVERY, PING_EVERY);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        if let Err(over) = say(socket, &mut feed).await {
            return over;
        }
        loop {
            tokio::select! {
                changed = feed.changed() => {
                    if changed.is_err() {
                        return Over::Stopping;
                    }
                    if let Err(over) = say(socket, &mut feed).await {
                        return over;
                    }
                }
                message = socket.recv() => match message {
                    None | Some(Err(_) | Ok(Message::Close(_))) => return Over::Gone,
                    Some(Ok(_)) => heard = Instant::now(),
                },
                _ = ping.tick() => {
                    // One that cannot be looked up now is looked up at the next ping.
                    if let Some(token) = &caller.token
                        && self.tokens.counts(token).await == Ok(false)
                    {
                        return Over::TokenGone;
                    }
                    if heard.elapsed() > SILENCE_MAX || send(socket, Message::Ping(bytes::Bytes::new())).await.is_err() {
                        return Over::Gone;
                    }
                }
                () = becomes_true(&mut closing) => return Over::Stopping,
            }
        }
    }
}

/// Why a socket ends.
enum Over {
    /// The other side is gone, or too slow.
    Gone,
    /// The daemon ends.
    Stopping,
    /// The token was taken back.
    TokenGone,
}

async fn say(socket: &mut WebSocket, feed: &mut impl Feed) -> Result<(), Over> {
    for text in feed.next().await.map_err(|Ended| Over::Stopping)? {
        send(socket, Message::text(text)).await?;
    }
    Ok(())
}

async fn send(socket: &mut WebSocket, message: Message) -> Result<(), Over> {
    match tokio::time::timeout(SEND_TIME_MAX, socket.send(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(Over::Gone),
    }
}
