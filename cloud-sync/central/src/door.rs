//! The door for sites, on head office's own broker: who may come in, and that a site speaks for itself alone. Every site has a
//! queue of its own, so that one at its bound costs the others nothing.

use broker::{
    Admitted, BoxFuture, Client, ConnectRefusal, ConnectRequest, Credential, DisconnectCause, Gatekeeper, Handle,
    Identity, Message, Publish, QoS, Receipt, Route, Subscribing,
};
use domain::ids::SiteId;
use protocol::{
    frame::FRAME_MAX,
    topic::{Kind, Topic, down_filter},
};
use service::secret::SecretHash;
use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};
use tokio::sync::mpsc;

/// Messages of one site that wait: twice its window, and what it says besides.
pub const WAITING_MAX: usize = 64;

/// A message of a site.
#[derive(Debug)]
pub struct Up {
    /// Of what.
    pub kind: Kind,
    /// What was sent.
    pub payload: Vec<u8>,
    /// To be resolved when it is dealt with.
    pub receipt: Receipt,
}

/// A site that may come in.
#[derive(Debug)]
struct Known {
    secret: SecretHash,
    /// Another one for each secret, so that an older one can be told from it.
    credential: Credential,
    says: mpsc::Sender<Up>,
}

/// Decides for the broker on behalf of head office.
#[derive(Debug, Default)]
pub struct Door {
    sites: RwLock<BTreeMap<SiteId, Known>>,
}

impl Door {
    /// Lets a site in that shows a secret with this hash; what it says goes to the receiver. What was known of it before is
    /// replaced.
    pub fn admit(&self, site: SiteId, secret: SecretHash) -> mpsc::Receiver<Up> {
        let (says, hears) = mpsc::channel(WAITING_MAX);
        let credential = credential(&secret);
        let known = Known {
            secret,
            credential,
            says,
        };
        let mut sites = self.sites.write().unwrap_or_else(PoisonError::into_inner);
        sites.insert(site, known);
        hears
    }

    /// A site does not come in any more. Its connections are to be ended after this.
    pub fn forget(&self, site: &SiteId) {
        let mut sites = self.sites.write().unwrap_or_else(PoisonError::into_inner);
        sites.remove(site);
    }

    fn with<T>(&self, site: &SiteId, then: impl FnOnce(&Known) -> T) -> Option<T> {
        let sites = self.sites.read().unwrap_or_else(PoisonError::into_inner);
        sites.get(site).map(then)
    }
}

/// A number that stands for a secret.
fn credential(secret: &SecretHash) -> Credential {
    let digits = secret.as_str().get(..32).unwrap_or_default();
    Credential(u128::from_str_radix(digits, 16).unwrap_or_default())
}

fn site_of(client: &Client) -> Option<SiteId> {
    client.identity.as_str().parse().ok()
}

/// What a client may publish: everything of its own site that goes up.
fn may_publish(client: &Client, topic: &str) -> Option<Kind> {
    let Topic { site, kind } = Topic::parse(topic)?;
    (site_of(client)? == site && kind.is_up()).then_some(kind)
}

impl Gatekeeper for Door {
    fn authenticate<'a>(&'a self, request: &'a ConnectRequest) -> BoxFuture<'a, Result<Admitted, ConnectRefusal>> {
        let presented = request.password.as_deref().unwrap_or_default();
        let site = request
            .user_name
            .as_deref()
            .and_then(|user| user.parse::<SiteId>().ok());
        let known = site.and_then(|site| {
            let matches = |known: &Known| known.secret.matches(presented).then_some(known.credential);
            Some((self.with(&site, matches)??, site))
        });
        let admitted = known.map(|(credential, site)| Admitted {
            identity: Identity::new(site.as_str()),
            credential,
        });
        Box::pin(async move { admitted.ok_or(ConnectRefusal::BadUserNameOrPassword) })
    }

    fn is_admitted(&self, client: &Client) -> bool {
        let counts = |known: &Known| known.credential == client.credential;
        site_of(client)
            .and_then(|site| self.with(&site, counts))
            .unwrap_or(false)
    }

    fn authorize_will(&self, client: &Client, topic: &str, _qos: QoS, _retain: bool) -> bool {
        may_publish(client, topic) == Some(Kind::Status)
    }

    fn authorize_publish(&self, client: &Client, topic: &str, _qos: QoS, retain: bool) -> bool {
        // Nobody needs what a site said to last: it says so again on every connection.
        may_publish(client, topic).is_some_and(|kind| !retain || kind == Kind::Status)
    }

    fn authorize_subscribe(&self, client: &Client, filter: &str) -> Subscribing {
        match site_of(client) {
            Some(site) if filter == down_filter(&site) => Subscribing::Direct(QoS::AtLeastOnce),
            _ => Subscribing::Refused,
        }
    }

    fn deliver(&self, client: &Client, publish: &Publish, receipt: Receipt) -> Route {
        let says = site_of(client).and_then(|site| self.with(&site, |known| known.says.clone()));
        let kind = may_publish(client, &publish.topic);
        if let Some((says, kind)) = says.zip(kind) {
            let up = Up {
                kind,
                payload: publish.payload.to_vec(),
                receipt,
            };
            // Where it is full the receipt goes with the message: the connection ends, and the site says it again later.
            let _full_or_gone = says.try_send(up);
        }
        Route::Consume
    }

    fn connected(&self, client: &Client) {
        tracing::info!(site = client.identity.as_str(), peer = %client.peer, "site connected");
    }

    fn disconnected(&self, client: &Client, cause: DisconnectCause) {
        tracing::info!(site = client.identity.as_str(), "site disconnected: {}", cause.words());
    }
}

/// The broker's limits for sites: few clients, large messages.
pub fn limits() -> broker::Config {
    broker::Config {
        packet_bytes_max: FRAME_MAX + 1_024,
        unresolved_messages_max: WAITING_MAX,
        unresolved_bytes_max: 2 * FRAME_MAX,
        queue_bytes_max: 2 * FRAME_MAX,
        packet_rate: None,
        client_ids_per_identity_max: 2,
        ..broker::Config::default()
    }
}

/// Sends to sites through head office's own broker.
#[derive(Clone)]
pub struct ToSites(pub Handle);

impl ToSites {
    /// Whether the site is there and takes it.
    pub fn send(&self, site: &SiteId, kind: Kind, payload: Vec<u8>) -> bool {
        let topic = Topic::new(site.clone(), kind).to_string();
        let qos = match kind.qos() {
            0 => QoS::AtMostOnce,
            _ => QoS::AtLeastOnce,
        };
        match self.0.publish_to(site.as_str(), Message::new(topic, payload).qos(qos)) {
            Ok(_) => true,
            Err(error) => {
                tracing::debug!(%site, kind = kind.path(), %error, "not delivered");
                false
            }
        }
    }
}

/// A door and the broker that asks it.
pub fn open(door: &Arc<Door>) -> broker::Broker {
    broker::Broker::new(limits(), Arc::clone(door) as Arc<dyn Gatekeeper>)
}
