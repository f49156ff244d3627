//! The life of a session between connections: attach, take-over, leave, expiry, will.
//! Everything that the gatekeeper hears of a client id happens here, one step at a time under the session's turn.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Instant;

use crate::codec::connect::Will;
use crate::core::Core;
use crate::gatekeeper::{Client, ConnectRefusal, DisconnectCause, Gatekeeper, Route};
use crate::message::Publish;
use crate::receipt::Receipt;
use crate::retained::RetainedMessage;
use crate::router::SharedMessage;
use crate::session::{Aftermath, Attach, Session, expires_at};
use crate::sessions::{Attachment, CellState, SessionCell, SessionRefused, wake};
use crate::stats::Counters;

/// A connection that has its session.
#[derive(Debug)]
pub(crate) struct Attached {
    pub(crate) cell: Arc<SessionCell>,
    pub(crate) session_present: bool,
}

/// What came out of giving a session to a new connection.
struct Exchange {
    /// The connection that was taken over.
    old: Option<Attachment>,
    /// On whose behalf `will` is published.
    old_client: Option<Arc<Client>>,
    will: Option<Will>,
    session_present: bool,
}

impl Core {
    /// Gives a client its session. One that is connected already is taken over (MQTT-3.1.4-2).
    pub(crate) async fn attach(&self, client: &Arc<Client>, attach: Attach) -> Result<Attached, ConnectRefusal> {
        loop {
            if self.is_closing() {
                return Err(ConnectRefusal::ServerUnavailable);
            }
            let cell = match self.sessions.get_or_create(&client.client_id, &client.identity) {
                Ok(cell) => cell,
                Err(SessionRefused::Refuse(refusal)) => return Err(refusal),
                Err(SessionRefused::Evict(cell)) => {
                    self.end_if_away(&cell).await;
                    continue;
                }
            };
            let turn = cell.turn.lock().await;
            if cell.lock().removed {
                continue;
            }
            // Whatever it is that was taken back, nothing of the session is touched for it.
            if !self.gatekeeper.is_admitted(client) {
                if cell.lock().last_client.is_none() {
                    self.sessions.remove(&cell);
                }
                return Err(ConnectRefusal::NotAuthorized);
            }
            let attached = self.attach_in_turn(&cell, client, attach).await;
            drop(turn);
            // What is taken back from now on finds it attached.
            if !self.gatekeeper.is_admitted(client) {
                cell.lock().session.end_with_connection(Instant::now());
                self.leave(&cell, client, DisconnectCause::AdministrativeAction).await;
                return Err(ConnectRefusal::NotAuthorized);
            }
            return Ok(attached);
        }
    }

    async fn attach_in_turn(&self, cell: &Arc<SessionCell>, client: &Arc<Client>, attach: Attach) -> Attached {
        let now = Instant::now();
        let Exchange {
            old,
            old_client,
            will,
            session_present,
        } = self.exchange(&mut cell.lock(), now, client, attach);
        self.sessions.schedule(cell, None);

        if let Some(mut old) = old {
            Counters::one(&self.counters.taken_over);
            self.connected.fetch_sub(1, Ordering::Relaxed);
            wake(old.take_waker());
            self.gatekeeper.disconnected(&old.client, DisconnectCause::TakenOver);
        }
        if let (Some(will), Some(old_client)) = (will, old_client) {
            self.publish_will(&old_client, will).await;
        }
        self.connected.fetch_add(1, Ordering::Relaxed);
        self.gatekeeper.connected(client);
        Attached {
            cell: cell.clone(),
            session_present,
        }
    }

    /// Takes the session from its old connection, if it has one, and gives it to the new.
    fn exchange(&self, state: &mut CellState, now: Instant, client: &Arc<Client>, attach: Attach) -> Exchange {
        let is_new = state.last_client.is_none();
        let old = state.attachment.take();
        let mut aftermath = match &old {
            Some(_) => state.session.detach(now, DisconnectCause::TakenOver),
            None => Aftermath::default(),
        };
        if attach.clean_start && !aftermath.ended {
            let end = state.session.end();
            aftermath = Aftermath {
                will: aftermath.will.or(end.will),
                ended: true,
            };
        }
        if aftermath.ended {
            self.release_shared(state);
        }
        let session_present = !is_new && !aftermath.ended;
        state.session.attach(Attach {
            clean_start: !session_present,
            ..attach
        });
        let mut attachment = Attachment::new(client.clone());
        if self.is_closing() {
            // A shutdown that began since may have looked for connections already.
            attachment.close = Some(DisconnectCause::ServerShuttingDown);
        }
        state.attachment = Some(attachment);
        Exchange {
            old,
            old_client: state.last_client.replace(client.clone()),
            will: aftermath.will,
            session_present,
        }
    }

    /// Takes a connection off its session, unless another has taken over.
    pub(crate) async fn leave(&self, cell: &Arc<SessionCell>, client: &Client, cause: DisconnectCause) {
        let _turn = cell.turn.lock().await;
        let aftermath = {
            let mut state = cell.lock();
            if !state.is_attached(client.connection) {
                return;
            }
            state.attachment = None;
            state.session.detach(Instant::now(), cause)
        };
        self.connected.fetch_sub(1, Ordering::Relaxed);
        self.gatekeeper.disconnected(client, cause);
        self.settle(cell, aftermath).await;
    }

    /// Ends a session to make room, if its client has not come back meanwhile.
    async fn end_if_away(&self, cell: &Arc<SessionCell>) {
        let _turn = cell.turn.lock().await;
        let aftermath = cell.lock().while_away(Session::end);
        if let Some(aftermath) = aftermath {
            self.settle(cell, aftermath).await;
        }
    }

    /// Does what a session without connection asks for. The caller holds its turn.
    async fn settle(&self, cell: &Arc<SessionCell>, aftermath: Aftermath) {
        let (client, deadline) = {
            let mut state = cell.lock();
            if aftermath.ended {
                self.release_shared(&mut state);
            }
            (state.last_client.clone(), state.session.deadline())
        };
        if aftermath.ended {
            self.sessions.remove(cell);
        } else {
            self.sessions.schedule(cell, deadline);
        }
        if let (Some(will), Some(client)) = (aftermath.will, client) {
            self.publish_will(&client, will).await;
        }
    }

    fn release_shared(&self, state: &mut CellState) {
        state.link = None;
        for filter in state.session.shared_filters() {
            self.router.release(filter);
        }
        state.session.forget_subscriptions();
    }

    async fn publish_will(&self, client: &Client, will: Will) {
        Counters::one(&self.counters.wills_published);
        if self.gatekeeper.deliver(client, &will.publish, Receipt::inert()) == Route::PassOn {
            self.pass_on(0, vec![will.publish]).await;
        }
    }

    /// Keeps what is to be retained and forwards to the shared subscribers. `origin`: serial of the session, 0: none.
    pub(crate) async fn pass_on(&self, origin: u64, batch: Vec<Publish>) {
        let now = Instant::now();
        let messages: Vec<SharedMessage> = batch
            .into_iter()
            .map(|publish| {
                let expiry_s = publish.properties.as_ref().and_then(|p| p.message_expiry_interval_s);
                SharedMessage {
                    topic: publish.topic,
                    payload: publish.payload,
                    qos: publish.qos,
                    retain: publish.retain,
                    properties: publish.properties.map(Arc::from),
                    expires_at: expires_at(now, expiry_s.map(|s| std::time::Duration::from_secs(s.into()))),
                    origin,
                }
            })
            .collect();
        for message in messages.iter().filter(|message| message.retain) {
            // Not retained is counted; the message still goes to those who are there.
            let _ = self.retain(now, message);
        }
        if self.router.publish(&messages).await.is_err() {
            Counters::add(&self.counters.shared_lost, messages.len() as u64);
        }
    }

    pub(crate) fn retain(&self, now: Instant, message: &SharedMessage) -> Result<(), crate::retained::RetainedFull> {
        let kept = RetainedMessage {
            payload: message.payload.clone(),
            qos: message.qos,
            properties: message.properties.clone(),
            expires_at: message.expires_at,
        };
        let result = self.lock_retained().set(now, &message.topic, kept);
        if result.is_err() {
            Counters::one(&self.counters.retained_full);
        }
        result
    }
}

/// Looks after sessions whose clients are away, until the broker is closed or gone.
pub(crate) async fn sweep(core: Weak<Core>) {
    loop {
        let Some(strong) = core.upgrade() else { return };
        let now = Instant::now();
        let (due, next) = strong.sessions.due(now);
        for cell in due {
            let _turn = cell.turn.lock().await;
            let aftermath = cell.lock().while_away(|session| session.poll_deadlines(now));
            if let Some(aftermath) = aftermath {
                strong.settle(&cell, aftermath).await;
            }
        }
        let changed = strong.deadlines_changed.clone();
        drop(strong);
        match next {
            Some(at) => drop(tokio::time::timeout_at(at.into(), changed.notified()).await),
            None => changed.notified().await,
        }
    }
}

impl std::fmt::Debug for dyn Gatekeeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("dyn Gatekeeper")
    }
}
