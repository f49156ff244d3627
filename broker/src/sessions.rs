//! All sessions by client id, and the cell in which each meets its connection, the gatekeeper and the router.
//! Lock order: table before cell; neither is held while the gatekeeper is asked or anything is awaited.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Instant;

use tokio::sync::Notify;

use crate::config::{ClientIdRule, Config};
use crate::gatekeeper::{Client, ConnectRefusal, DisconnectCause, Identity};
use crate::receipt::{Outcome, Resolve};
use crate::router::SharedLink;
use crate::session::{Aftermath, Resolution, Session, SessionLimits};

/// A session and whoever is attached to it.
#[derive(Debug)]
pub(crate) struct SessionCell {
    pub(crate) client_id: Arc<str>,
    pub(crate) identity: Identity,
    /// Number of the session, from 1, unique while the process lives.
    pub(crate) serial: u64,
    /// Held while a connection comes or goes, so that the gatekeeper hears of it in the right order.
    pub(crate) turn: tokio::sync::Mutex<()>,
    state: Mutex<CellState>,
}

#[derive(Debug)]
pub(crate) struct CellState {
    pub(crate) session: Session,
    pub(crate) attachment: Option<Attachment>,
    /// The last client attached, on whose behalf a delayed will is published.
    pub(crate) last_client: Option<Arc<Client>>,
    /// Link to the router, while there are shared subscriptions.
    pub(crate) link: Option<SharedLink>,
    /// Taken out of the table: whoever still holds the cell must look it up anew.
    pub(crate) removed: bool,
}

/// The connection of a session.
#[derive(Debug)]
pub(crate) struct Attachment {
    pub(crate) client: Arc<Client>,
    /// Why the connection is to be closed, once somebody wants it to be.
    pub(crate) close: Option<DisconnectCause>,
    waker: Option<Waker>,
}

impl Attachment {
    pub(crate) fn new(client: Arc<Client>) -> Self {
        Self {
            client,
            close: None,
            waker: None,
        }
    }

    pub(crate) fn take_waker(&mut self) -> Option<Waker> {
        self.waker.take()
    }
}

impl SessionCell {
    pub(crate) fn lock(&self) -> MutexGuard<'_, CellState> {
        // The state is changed by code that does not panic half-way; if it ever does, one session is odd, not all.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, as long as it is this connection's: packets of one that was taken over mean nothing to the next.
    pub(crate) fn lock_for(&self, client: &Client) -> Result<MutexGuard<'_, CellState>, DisconnectCause> {
        let state = self.lock();
        if state.is_attached(client.connection) {
            Ok(state)
        } else {
            Err(DisconnectCause::TakenOver)
        }
    }

    /// Asks the connection to close; the first cause stays. False if there is none.
    pub(crate) fn close(&self, cause: DisconnectCause) -> bool {
        let mut state = self.lock();
        let Some(attachment) = &mut state.attachment else {
            return false;
        };
        attachment.close.get_or_insert(cause);
        let waker = state.take_waker();
        drop(state);
        wake(waker);
        true
    }
}

impl CellState {
    /// Whether this very connection is attached.
    pub(crate) fn is_attached(&self, connection: u64) -> bool {
        self.attachment
            .as_ref()
            .is_some_and(|attachment| attachment.client.connection == connection)
    }

    /// Asks the session for what its client's absence brings; `None` if the client is there, or the session not.
    pub(crate) fn while_away(&mut self, ask: impl FnOnce(&mut Session) -> Aftermath) -> Option<Aftermath> {
        (self.attachment.is_none() && !self.removed).then(|| ask(&mut self.session))
    }

    /// The waker of the attached connection, to be woken once the lock is released.
    pub(crate) fn take_waker(&mut self) -> Option<Waker> {
        self.attachment.as_mut().and_then(Attachment::take_waker)
    }

    pub(crate) fn set_waker(&mut self, waker: &Waker) {
        if let Some(attachment) = &mut self.attachment {
            match &attachment.waker {
                Some(old) if old.will_wake(waker) => {}
                _ => attachment.waker = Some(waker.clone()),
            }
        }
    }
}

pub(crate) fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl Resolve for SessionCell {
    fn resolve(&self, ticket: u64, outcome: Outcome) {
        let mut state = self.lock();
        match state.session.resolve(ticket, outcome) {
            Resolution::Nothing => return,
            Resolution::Output => {}
            Resolution::Close(cause) => {
                if let Some(attachment) = &mut state.attachment {
                    attachment.close.get_or_insert(cause);
                }
            }
        }
        let waker = state.take_waker();
        drop(state);
        wake(waker);
    }
}

/// The table of sessions.
#[derive(Debug)]
pub(crate) struct Sessions {
    table: Mutex<Table>,
    /// Told when a deadline has been entered.
    deadlines_changed: Arc<Notify>,
    limits: SessionLimits,
    rule: ClientIdRule,
    sessions_max: usize,
    per_identity_max: usize,
}

#[derive(Debug, Default)]
struct Table {
    by_client_id: HashMap<Arc<str>, Arc<SessionCell>>,
    by_identity: HashMap<Identity, Vec<Arc<str>>>,
    /// When to look at sessions without a connection: expiry, delayed will.
    deadlines: BTreeSet<(Instant, Arc<str>)>,
    deadline_of: HashMap<Arc<str>, Instant>,
    last_serial: u64,
}

impl Table {
    fn clear_deadline(&mut self, client_id: &Arc<str>) {
        if let Some(at) = self.deadline_of.remove(client_id) {
            self.deadlines.remove(&(at, client_id.clone()));
        }
    }

    fn remove(&mut self, cell: &Arc<SessionCell>) -> bool {
        match self.by_client_id.get(&cell.client_id) {
            Some(listed) if Arc::ptr_eq(listed, cell) => {}
            _ => return false,
        }
        self.by_client_id.remove(&cell.client_id);
        self.clear_deadline(&cell.client_id);
        if let Entry::Occupied(mut ids) = self.by_identity.entry(cell.identity.clone()) {
            ids.get_mut().retain(|id| *id != cell.client_id);
            if ids.get().is_empty() {
                ids.remove();
            }
        }
        true
    }
}

impl Sessions {
    pub(crate) fn new(config: &Config, deadlines_changed: Arc<Notify>) -> Self {
        Self {
            table: Mutex::default(),
            deadlines_changed,
            limits: SessionLimits::from(config),
            rule: config.client_id_rule,
            sessions_max: config.sessions_max,
            per_identity_max: config.client_ids_per_identity_max.max(1),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().by_client_id.len()
    }

    pub(crate) fn get(&self, client_id: &str) -> Option<Arc<SessionCell>> {
        self.lock().by_client_id.get(client_id).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<SessionCell>> {
        self.lock().by_client_id.values().cloned().collect()
    }

    pub(crate) fn of_identity(&self, identity: &Identity) -> Vec<Arc<SessionCell>> {
        let table = self.lock();
        let ids = table.by_identity.get(identity).map_or(&[][..], Vec::as_slice);
        ids.iter()
            .filter_map(|id| table.by_client_id.get(id).cloned())
            .collect()
    }

    /// The session of a client id, made if need be. Nobody gets another identity's.
    ///
    /// # Errors
    /// [`SessionRefused::Evict`] names a session without connection that must be ended first to keep within the
    /// identity's cap; the caller does so and asks again.
    pub(crate) fn get_or_create(
        &self,
        client_id: &Arc<str>,
        identity: &Identity,
    ) -> Result<Arc<SessionCell>, SessionRefused> {
        let mut table = self.lock();
        if let Some(cell) = table.by_client_id.get(client_id) {
            return if cell.identity == *identity {
                Ok(cell.clone())
            } else {
                Err(SessionRefused::Refuse(ConnectRefusal::ClientIdentifierNotValid))
            };
        }
        if table.by_client_id.len() >= self.sessions_max {
            return Err(SessionRefused::Refuse(ConnectRefusal::QuotaExceeded));
        }
        self.check_identity_cap(&table, client_id, identity)?;
        table.last_serial += 1;
        let cell = Arc::new(SessionCell {
            client_id: client_id.clone(),
            identity: identity.clone(),
            serial: table.last_serial,
            turn: tokio::sync::Mutex::new(()),
            state: Mutex::new(CellState {
                session: Session::new(self.limits),
                attachment: None,
                last_client: None,
                link: None,
                removed: false,
            }),
        });
        table.by_client_id.insert(client_id.clone(), cell.clone());
        table
            .by_identity
            .entry(identity.clone())
            .or_default()
            .push(client_id.clone());
        Ok(cell)
    }

    /// Under [`ClientIdRule::OfIdentity`] the client id that is the identity itself always has a place: tools beside a
    /// pile must not lock the pile out.
    fn check_identity_cap(&self, table: &Table, client_id: &str, identity: &Identity) -> Result<(), SessionRefused> {
        let Some(ids) = table.by_identity.get(identity) else {
            return Ok(());
        };
        let is_main = |id: &str| self.rule == ClientIdRule::OfIdentity && id == identity.as_str();
        let (used, max) = if self.rule == ClientIdRule::OfIdentity {
            (ids.iter().filter(|id| !is_main(id)).count(), self.per_identity_max - 1)
        } else {
            (ids.len(), self.per_identity_max)
        };
        if is_main(client_id) || used < max {
            return Ok(());
        }
        // The deadline of a session without connection is the older the longer its client has been away.
        let away = ids
            .iter()
            .filter(|id| !is_main(id))
            .filter_map(|id| Some((table.deadline_of.get(id)?, id)))
            .min();
        match away.and_then(|(_, id)| table.by_client_id.get(id)) {
            Some(cell) => Err(SessionRefused::Evict(cell.clone())),
            None => Err(SessionRefused::Refuse(ConnectRefusal::QuotaExceeded)),
        }
    }

    /// Takes a session out of the table. The caller holds its turn.
    pub(crate) fn remove(&self, cell: &Arc<SessionCell>) {
        if self.lock().remove(cell) {
            cell.lock().removed = true;
        }
    }

    /// Enters when to look at the session again; `None`: it is connected.
    pub(crate) fn schedule(&self, cell: &SessionCell, deadline: Option<Instant>) {
        let mut table = self.lock();
        table.clear_deadline(&cell.client_id);
        if let Some(at) = deadline {
            table.deadlines.insert((at, cell.client_id.clone()));
            table.deadline_of.insert(cell.client_id.clone(), at);
            drop(table);
            self.deadlines_changed.notify_one();
        }
    }

    /// Sessions whose deadline has come, and the next deadline after that.
    pub(crate) fn due(&self, now: Instant) -> (Vec<Arc<SessionCell>>, Option<Instant>) {
        let mut table = self.lock();
        let mut due = Vec::new();
        while let Some((at, client_id)) = table.deadlines.first().cloned() {
            if at > now {
                return (due, Some(at));
            }
            table.clear_deadline(&client_id);
            due.extend(table.by_client_id.get(&client_id).cloned());
        }
        (due, None)
    }
}

/// Why there is no session for a client.
#[derive(Debug)]
pub(crate) enum SessionRefused {
    Refuse(ConnectRefusal),
    Evict(Arc<SessionCell>),
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn sessions(rule: ClientIdRule) -> Sessions {
        let config = Config {
            client_id_rule: rule,
            client_ids_per_identity_max: 3,
            sessions_max: 5,
            ..Config::default()
        };
        Sessions::new(&config, Arc::default())
    }

    fn create(sessions: &Sessions, client_id: &str, identity: &str) -> Result<Arc<SessionCell>, SessionRefused> {
        sessions.get_or_create(&client_id.into(), &Identity::new(identity))
    }

    #[test]
    fn nobody_gets_the_session_of_another_identity() {
        let sessions = sessions(ClientIdRule::Any);
        let mine = create(&sessions, "x", "me").unwrap();
        assert!(Arc::ptr_eq(&mine, &create(&sessions, "x", "me").unwrap()));
        assert!(matches!(
            create(&sessions, "x", "you"),
            Err(SessionRefused::Refuse(ConnectRefusal::ClientIdentifierNotValid))
        ));
    }

    #[test]
    fn the_identity_itself_always_has_a_place() {
        let sessions = sessions(ClientIdRule::OfIdentity);
        create(&sessions, "P1~a", "P1").unwrap();
        let away = create(&sessions, "P1~b", "P1").unwrap();
        assert!(matches!(
            create(&sessions, "P1~c", "P1"),
            Err(SessionRefused::Refuse(ConnectRefusal::QuotaExceeded))
        ));
        create(&sessions, "P1", "P1").unwrap();
        sessions.schedule(&away, Some(Instant::now()));
        match create(&sessions, "P1~c", "P1") {
            Err(SessionRefused::Evict(cell)) => assert!(Arc::ptr_eq(&cell, &away)),
            other => panic!("{other:?}"),
        }
        sessions.remove(&away);
        assert!(away.lock().removed);
        create(&sessions, "P1~c", "P1").unwrap();
        create(&sessions, "P2", "P2").unwrap();
        create(&sessions, "P3", "P3").unwrap();
        assert!(matches!(
            create(&sessions, "P4", "P4"),
            Err(SessionRefused::Refuse(ConnectRefusal::QuotaExceeded))
        ));
    }

    #[test]
    fn deadlines_come_in_order_and_once() {
        let sessions = sessions(ClientIdRule::Any);
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let (a, b) = (
            create(&sessions, "a", "a").unwrap(),
            create(&sessions, "b", "b").unwrap(),
        );
        sessions.schedule(&a, Some(now + 2 * second));
        sessions.schedule(&b, Some(now + second));
        assert!(sessions.due(now).0.is_empty());
        let (due, next) = sessions.due(now + second);
        assert_eq!(
            (due.len(), &due[0].client_id, next),
            (1, &b.client_id, Some(now + 2 * second))
        );
        sessions.schedule(&a, None);
        assert_eq!(sessions.due(now + 9 * second).1, None);
        assert!(sessions.due(now + 9 * second).0.is_empty());
    }
}
