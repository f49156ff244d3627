//! The door for piles and displays: who may come in, where they may publish and subscribe, and what happens before a
//! PUBACK. It reads messages on the connection's task and hands them to the station's loop.

use crate::{
    credentials::{CredentialChange, Credentials, Speaks, by_certificate},
    station::{Outbound, Reply, Request, RequestKey, Station},
    store::Retained,
    words::{LINES_OF_A_PILE, PILES_MAX},
};
use broker::{
    Admitted, BoxFuture, Client, ConnectRefusal, ConnectRequest, Credential, DisconnectCause, Gatekeeper, Handle,
    Identity, Limited, Message, Publish, QoS, Rate, RateLimits, Receipt, Route, Subscribing, network_of,
};
use domain::{
    fact::Raw,
    ids::{DisplayId, MsgId, PileId, SiteId},
    messages::{self, Down, Up},
    planted::{Bug, is_planted},
    site::Input,
    topics::{self, DownKind, UpKind},
};
use service::tls::common_name;
use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::Instant,
};

/// Log lines about certificates that are not let in, from one address.
const REFUSALS: Rate = Rate {
    per_second: 1,
    burst: 100,
};
/// Addresses for which they are counted.
const ADDRESSES_MAX: usize = 1_024;

/// Decides for the broker on behalf of the station.
pub struct Gate {
    station: Station,
    site: SiteId,
    credentials: Arc<Credentials>,
    any_certificate: bool,
    /// Log lines about certificates that are not let in, by address.
    refusals: Mutex<RateLimits<IpAddr>>,
    /// Log lines about messages of no kind.
    unknown: Mutex<RateLimits<PileId>>,
}

impl Gate {
    /// The door of `station`.
    pub fn new(station: Station) -> Self {
        let credentials = Arc::clone(&station.credentials);
        Self {
            site: station.store.identity().site.clone(),
            station,
            credentials,
            any_certificate: false,
            refusals: Mutex::new(RateLimits::new(REFUSALS, ADDRESSES_MAX)),
            unknown: Mutex::new(RateLimits::new(LINES_OF_A_PILE, PILES_MAX)),
        }
    }

    /// The same where any verified certificate speaks for the pile that it names, and not only the one that this station
    /// issued to it: another authority knows which of its certificates count.
    #[must_use]
    pub fn believing_any_certificate(mut self, any: bool) -> Self {
        self.any_certificate = any;
        self
    }

    /// The pile that a verified certificate speaks for.
    async fn by_certificate(&self, name: &str, request: &ConnectRequest) -> Result<Admitted, ConnectRefusal> {
        let refused = |why: &str| self.refuse_certificate(name, request, why);
        let Ok(pile) = PileId::new(name) else {
            return Err(refused("its common name is not a pile's id"));
        };
        if request.user_name.as_ref().is_some_and(|user| user != name) {
            return Err(refused("its user name is another pile's"));
        }
        if !self.credentials.knows_pile(&pile) {
            return Err(refused("this station has no such pile, or has it no more"));
        }
        let fingerprint = service::tls::fingerprint(request.certificate_der.as_deref().unwrap_or_default());
        let speaks = match self.credentials.certificate_speaks(&pile, &fingerprint) {
            Speaks::No if self.any_certificate => Speaks::Yes,
            speaks => speaks,
        };
        match speaks {
            Speaks::Yes => Ok(admitted(&pile, by_certificate(&fingerprint))),
            Speaks::No => Err(refused(
                "this is not the certificate that it got last. A later one counts instead, or the database was restored \
                 from a copy that is older than it; `holdfast-edge pile cert` makes another",
            )),
            Speaks::FirstTime => {
                let change = CredentialChange::UseCertificate {
                    pile: pile.clone(),
                    fingerprint: fingerprint.clone(),
                };
                let used = Request {
                    input: None,
                    key: None,
                    credentials: vec![change],
                    respond: Box::new(|_, _, _| Reply::default()),
                };
                // On disk before the pile is let in: the certificate before it must not come back with a restart.
                let committed = self.station.ask(used).await;
                committed.map_err(|_| ConnectRefusal::ServerBusy)?;
                // Another one may have been issued in its place meanwhile.
                if self.credentials.certificate_speaks(&pile, &fingerprint) != Speaks::Yes {
                    return Err(refused("it was taken back while it was used for the first time"));
                }
                tracing::info!(%pile, "pile came with its new certificate; the one before counts no more");
                Ok(admitted(&pile, by_certificate(&fingerprint)))
            }
        }
    }

    /// Who knows this secret under this user name.
    fn by_secret(&self, user: &str, secret: &[u8]) -> Option<Admitted> {
        if let Some(display) = topics::parse_display_user(user) {
            let credential = self.credentials.by_display_secret(&display, secret)?;
            let identity = Identity::new(user);
            return Some(Admitted { identity, credential });
        }
        let pile = PileId::new(user).ok()?;
        let credential = self.credentials.by_secret(&pile, secret)?;
        Some(admitted(&pile, credential))
    }

    fn refuse_certificate(&self, name: &str, request: &ConnectRequest, why: &str) -> ConnectRefusal {
        let name = name.escape_debug().take(64).collect::<String>();
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        // The broker has a line about the refusal too, and says when there are too many.
        if let Limited::Within { left_out } = refusals.note(&network_of(request.peer.ip()), Instant::now()) {
            let peer = request.peer;
            tracing::warn!(name, %peer, left_out, "a pile came with a certificate and is not let in: {why}");
        }
        ConnectRefusal::NotAuthorized
    }

    /// A message whose topic names no kind. What gets a PUBACK is kept, as what cannot be read is; at QoS 0 nothing is
    /// promised, and it is counted.
    fn deliver_without_kind(&self, pile: PileId, word: &str, publish: &Publish, receipt: Receipt) {
        self.station.stats.unknown_kinds.fetch_add(1, Ordering::Relaxed);
        if publish.qos != QoS::AtMostOnce {
            let (input, repeat_key) = read_without_kind(pile, word, &publish.payload);
            self.station
                .pile_says(input, repeat_key, receipt, publish.payload.len());
            return;
        }
        let mut unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        if let Limited::Within { left_out } = unknown.note(&pile, Instant::now()) {
            let word = word.escape_debug().take(64).collect::<String>();
            tracing::warn!(%pile, word, left_out, "a message of an unknown kind is not looked at");
        }
        receipt.acknowledge();
    }
}

fn admitted(pile: &PileId, credential: Credential) -> Admitted {
    Admitted {
        identity: Identity::new(pile.as_str()),
        credential,
    }
}

/// The pile that a client speaks for.
fn pile_of(client: &Client) -> Option<PileId> {
    PileId::new(client.identity.as_str()).ok()
}

/// The display that a client is.
fn display_of(client: &Client) -> Option<DisplayId> {
    topics::parse_display_user(client.identity.as_str())
}

/// Whether the client is the pile itself and not a tool beside it (`{pile}~{suffix}`).
fn is_the_pile(client: &Client) -> bool {
    *client.client_id == *client.identity.as_str()
}

/// The name under which a message of a pile is known when it comes again.
fn repeat_key(pile: &PileId, boot_id: &str, msg_id: &MsgId, word: &str, payload: &[u8]) -> RequestKey {
    match is_planted(Bug::MsgIdAlone) {
        true => RequestKey::of_message(pile, "", msg_id, b""),
        // The same words under another topic are another message.
        false => RequestKey::of_message(pile, boot_id, msg_id, &[word.as_bytes(), b"\n", payload].concat()),
    }
}

/// What a message says whose topic names no kind: as what cannot be read.
fn read_without_kind(pile: PileId, word: &str, payload: &[u8]) -> (Input, Option<RequestKey>) {
    let fault = messages::read_without_kind(word, payload);
    let boot_id = fault.boot_id.as_ref().map_or("", |boot| boot.as_str());
    let msg_id = fault.msg_id.as_ref();
    let key = msg_id.map(|msg_id| repeat_key(&pile, boot_id, msg_id, word, payload));
    let raw = Raw::of(payload);
    let kind = None;
    (Input::Unreadable { pile, kind, fault, raw }, key)
}

/// What a pile says, as the station takes it in, and the key by which the same message is known when it comes again.
///
/// Heartbeats and boots say how things are, and are heard each time: a boot that is said again on a new connection gets
/// the time and the commands that are still valid again.
pub fn read(pile: PileId, kind: UpKind, payload: &[u8]) -> (Input, Option<RequestKey>) {
    let key = |boot_id: &str, msg_id: &MsgId| repeat_key(&pile, boot_id, msg_id, kind.word(), payload);
    match messages::read_up(kind, payload) {
        Ok(message) => {
            let common = &message.common;
            let msg_id = common.msg_id.as_ref();
            let repeat_key = msg_id
                .filter(|_| !matches!(message.body, Up::Heartbeat(_) | Up::Boot(_)))
                .map(|msg_id| key(common.boot_id.as_str(), msg_id));
            (Input::Message { pile, message }, repeat_key)
        }
        Err(fault) => {
            let boot_id = fault.boot_id.as_ref().map_or("", |boot| boot.as_str());
            let msg_id = fault.msg_id.as_ref();
            let repeat_key = msg_id
                .filter(|_| kind != UpKind::Heartbeat)
                .map(|msg_id| key(boot_id, msg_id));
            let (raw, kind) = (Raw::of(payload), Some(kind));
            (Input::Unreadable { pile, kind, fault, raw }, repeat_key)
        }
    }
}

impl Gatekeeper for Gate {
    fn authenticate<'a>(&'a self, request: &'a ConnectRequest) -> BoxFuture<'a, Result<Admitted, ConnectRefusal>> {
        Box::pin(async move {
            let name = request.certificate_der.as_deref().and_then(common_name);
            match (&name, &request.user_name) {
                // A verified certificate speaks for the pile in its common name.
                (Some(name), _) => self.by_certificate(name, request).await,
                (None, Some(user)) => {
                    let secret = request.password.as_deref().unwrap_or_default();
                    let admitted = self.by_secret(user, secret);
                    admitted.ok_or(ConnectRefusal::BadUserNameOrPassword)
                }
                (None, None) => Err(ConnectRefusal::BadUserNameOrPassword),
            }
        })
    }

    fn is_admitted(&self, client: &Client) -> bool {
        if let Some(display) = display_of(client) {
            return self.credentials.display_counts(&display, client.credential);
        }
        let any_certificate = self.any_certificate;
        pile_of(client).is_some_and(|pile| self.credentials.counts(&pile, client.credential, any_certificate))
    }

    /// What is retained is the station's to say.
    fn may_retain(&self, _client: &Client) -> bool {
        false
    }

    fn authorize_will(&self, client: &Client, topic: &str, _qos: QoS, _retain: bool) -> bool {
        pile_of(client).is_some_and(|pile| topics::may_publish(&pile, topic))
    }

    fn authorize_publish(&self, client: &Client, topic: &str, _qos: QoS, _retain: bool) -> bool {
        pile_of(client).is_some_and(|pile| topics::may_publish(&pile, topic))
    }

    fn authorize_subscribe(&self, client: &Client, filter: &str) -> Subscribing {
        match pile_of(client) {
            Some(pile) if topics::may_subscribe(&pile, filter) => Subscribing::Direct(QoS::AtLeastOnce),
            None if display_of(client).is_some() && topics::may_display(&self.site, filter) => {
                self.station.displays.begin();
                // What it missed while it was away is old: it gets the present state when it subscribes again.
                Subscribing::Shared(QoS::AtMostOnce)
            }
            _ => Subscribing::Refused,
        }
    }

    fn deliver(&self, client: &Client, publish: &Publish, receipt: Receipt) -> Route {
        let Some((pile, kind)) = topics::parse_up(&publish.topic) else {
            // Nobody publishes but a pile under its own `up/`. Should anybody, dropping the receipt refuses it.
            let pile = pile_of(client);
            let own = pile.and_then(|pile| Some((topics::up_word(&pile, &publish.topic)?, pile)));
            if let Some((word, pile)) = own {
                self.deliver_without_kind(pile, word, publish, receipt);
            }
            return Route::Consume;
        };
        let bytes = publish.payload.len();
        let (input, repeat_key) = read(pile, kind, &publish.payload);
        self.station.pile_says(input, repeat_key, receipt, bytes);
        Route::Consume
    }

    fn connected(&self, client: &Client) {
        if let Some(pile) = pile_of(client).filter(|_| is_the_pile(client)) {
            tracing::info!(%pile, peer = %client.peer, "pile connected");
            self.station.pile_connection(Input::Connected { pile });
        }
        if display_of(client).is_some() {
            tracing::info!(client_id = &*client.client_id, peer = %client.peer, "display connected");
        }
    }

    fn disconnected(&self, client: &Client, cause: DisconnectCause) {
        if let Some(pile) = pile_of(client).filter(|_| is_the_pile(client)) {
            tracing::info!(%pile, "pile disconnected: {}", cause.words());
            if matches!(cause, DisconnectCause::TakenOver) {
                self.station.pile_connection(Input::TakenOver { pile });
                return;
            }
            // A drop is the network's or the pile's doing; a clean end or the station's own is not.
            let dropped = matches!(
                cause,
                DisconnectCause::Dropped
                    | DisconnectCause::KeepAliveTimeout
                    | DisconnectCause::PartialPacketTimeout
                    | DisconnectCause::SlowReader
            );
            self.station.pile_connection(Input::Disconnected { pile, dropped });
        }
        if display_of(client).is_some() {
            tracing::info!(
                client_id = &*client.client_id,
                "display disconnected: {}",
                cause.words()
            );
        }
    }
}

/// Sends through the broker, straight to the pile's session.
pub struct ToPiles(pub Handle);

impl Outbound for ToPiles {
    fn send(&self, pile: &PileId, message: &Down) -> bool {
        let kind = message.kind();
        let mut publish = Message::new(topics::down(pile, kind), message.to_json()).qos(QoS::AtLeastOnce);
        if kind.is_retained() {
            publish = publish.retain();
        }
        match self.0.publish_to(pile.as_str(), publish) {
            Ok(_) => true,
            Err(error) => {
                tracing::debug!(%pile, kind = kind.word(), %error, "not delivered");
                false
            }
        }
    }

    fn disconnect(&self, pile: &PileId) {
        self.0.kick_identity(&Identity::new(pile.as_str()));
    }

    fn check_again(&self, pile: &PileId) {
        self.0.check_again(&Identity::new(pile.as_str()));
    }

    fn check_display_again(&self, display: &DisplayId) {
        self.0.check_again(&Identity::new(topics::display_user(display)));
    }

    fn forget(&self, pile: &PileId) {
        let nothing = Message::new(topics::down(pile, DownKind::Price), "").retain();
        if let Err(error) = self.0.restore(nothing) {
            tracing::warn!(%pile, %error, "its retained price stays until the next start");
        }
    }
}

/// Gives the broker what was retained before this start.
pub fn restore_retained(to: &Handle, retained: &Retained) {
    for (topic, payload) in retained.iter() {
        let message = Message::new(topic, payload.to_vec()).qos(QoS::AtLeastOnce).retain();
        if let Err(error) = to.restore(message) {
            tracing::warn!(topic, %error, "a retained message was not taken up again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::{Engine, engine::general_purpose::STANDARD};

    #[test]
    fn what_is_not_utf_8_is_kept_to_the_byte() {
        assert_eq!(Raw::of("{\"电\":".as_bytes()), Raw::Text("{\"电\":".to_owned()));
        let Raw::Bytes { base64 } = Raw::of(b"{\xff\xfe\0") else {
            panic!("it is not UTF-8");
        };
        assert_eq!(STANDARD.decode(base64).unwrap(), b"{\xff\xfe\0");
    }

    #[test]
    fn a_msg_id_in_another_start_of_the_pile_names_another_message() {
        let said = |pile: &str, boot: &str| {
            let event = format!(
                r#"{{"boot_id":"{boot}","seq":1,"mono_ms":1,"ts":null,"msg_id":"m1","connector":1,"kind":"plugged","code":0,
                "text":""}}"#
            );
            let (_, key) = read(PileId::new(pile).unwrap(), UpKind::Event, event.as_bytes());
            key.unwrap().key
        };
        assert_eq!(said("P1", "b1"), said("P1", "b1"));
        assert_ne!(said("P1", "b1"), said("P1", "b2"));
        assert_ne!(said("P1", "b1"), said("P2", "b1"));
    }

    #[test]
    fn the_same_words_under_another_topic_are_another_message() {
        // An unreadable one keeps its name all the same.
        let text = br#"{"msg_id":"m1","boot_id":"b1"}"#;
        let hash = |kind| read(PileId::new("P1").unwrap(), kind, text).1.unwrap().body_hash;
        assert_ne!(hash(UpKind::Event), hash(UpKind::Record));
    }
}
