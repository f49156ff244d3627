//! The door for sites, on head office's own broker: who may come in, and that a site speaks for itself alone. Every site has a
//! queue of its own, so that one at its bound costs the others nothing.

use crate::{asks::Asks, heard::Heard};
use broker::{
    Admitted, BoxFuture, Client, ConnectRefusal, ConnectRequest, Credential, DisconnectCause, Gatekeeper, Identity,
    Publish, QoS, Rate, Receipt, Route, Subscribing,
};
use domain::ids::SiteId;
use protocol::{
    frame::FRAME_MAX,
    topic::{Kind, Topic, down_filter},
};
use service::tls::{common_name, fingerprint};
use std::{
    collections::BTreeMap,
    num::NonZeroU32,
    sync::{Arc, OnceLock, PoisonError, RwLock},
};
use tokio::sync::mpsc;

/// Messages of one site that wait: twice its window, and what it says besides.
pub const WAITING_MAX: usize = 64;

/// Connections in all.
pub const CONNECTIONS_MAX: usize = 4_096;
/// Connections from one address, where nothing else is configured: one machine takes no quarter of all.
pub const CONNECTIONS_PER_ADDRESS_MAX: usize = 256;

/// Packets that one site may send: its window of batches again and again, and what it says besides.
const PACKETS: Rate = Rate {
    per_second: 200,
    burst: 400,
};
/// KiB that one site may send: more than it can catch up with, and the longest packet several times at once.
const KIB: Rate = Rate {
    per_second: 16 * 1_024,
    burst: 64 * 1_024,
};

/// Bytes a second with which a packet of a site must come at least: behind the thinnest line a batch takes minutes.
const PACKET_RATE_MIN: NonZeroU32 = NonZeroU32::new(1_024).expect("a rate is not 0");

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
#[derive(Debug, Default)]
struct Known {
    /// SHA-256 (hex) of the certificate that speaks for it.
    fingerprint: Option<String>,
    /// Its desk, where this process has it.
    says: Option<mpsc::Sender<Up>>,
}

/// Decides for the broker on behalf of head office.
#[derive(Default)]
pub struct Door {
    sites: RwLock<BTreeMap<SiteId, Known>>,
    /// Who waits for answers and live frames: they do not queue behind batches.
    asks: OnceLock<Arc<Asks>>,
    /// Who answers pings, and notes what sites say of themselves: that does not either.
    heard: OnceLock<Arc<Heard>>,
}

impl Door {
    /// Which certificates speak for sites, all of them. Whoever came with another is to be asked again after this.
    pub fn know(&self, certificates: impl IntoIterator<Item = (SiteId, String)>) {
        let mut certificates: BTreeMap<SiteId, String> = certificates.into_iter().collect();
        let mut sites = self.sites.write().unwrap_or_else(PoisonError::into_inner);
        for (site, known) in sites.iter_mut() {
            known.fingerprint = certificates.remove(site);
        }
        for (site, fingerprint) in certificates {
            sites.entry(site).or_default().fingerprint = Some(fingerprint);
        }
        sites.retain(|_, known| known.fingerprint.is_some() || known.says.is_some());
    }

    /// This process has the site's desk: what the site says goes to the receiver.
    pub fn begin(&self, site: &SiteId) -> mpsc::Receiver<Up> {
        let (says, hears) = mpsc::channel(WAITING_MAX);
        let mut sites = self.sites.write().unwrap_or_else(PoisonError::into_inner);
        sites.entry(site.clone()).or_default().says = Some(says);
        hears
    }

    /// And has it no longer. Its connections are to be ended after this.
    pub fn end(&self, site: &SiteId) {
        let mut sites = self.sites.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = sites.get_mut(site) {
            known.says = None;
        }
    }

    /// Answers and live frames go to these from now on.
    pub fn answer_to(&self, asks: Arc<Asks>) {
        let _set_once = self.asks.set(asks);
    }

    /// Pings are answered by this from now on, and it notes who was heard.
    pub fn hear_by(&self, heard: Arc<Heard>) {
        let _set_once = self.heard.set(heard);
    }

    /// Hands what a site said to its desk. Where that has its hands full it is dropped, and the site says it again.
    pub(crate) fn hand(&self, site: &SiteId, up: Up) {
        if let (Some(asks), Kind::Answer | Kind::Live) = (self.asks.get(), up.kind) {
            let _waited_for = match up.kind {
                Kind::Answer => asks.hear(site, &up.payload),
                _ => asks.hear_live(site, &up.payload),
            };
            up.receipt.acknowledge();
            return;
        }
        let says = self.with(site, |known| known.says.clone()).flatten();
        if let Some(says) = says {
            if let Some(heard) = self.heard.get() {
                match up.kind {
                    Kind::Status => heard.status(site, &up.payload),
                    Kind::Ping => {
                        heard.ping(site, &up.payload);
                        up.receipt.acknowledge();
                        return;
                    }
                    _ => {}
                }
            }
            let _full_or_gone = says.try_send(up);
        }
    }

    fn with<T>(&self, site: &SiteId, then: impl FnOnce(&Known) -> T) -> Option<T> {
        let sites = self.sites.read().unwrap_or_else(PoisonError::into_inner);
        sites.get(site).map(then)
    }
}

/// A number that stands for a certificate.
fn credential(fingerprint: &str) -> Credential {
    let digits = fingerprint.get(..32).unwrap_or_default();
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
        let admitted = || {
            let certificate = request.certificate_der.as_deref()?;
            let site: SiteId = common_name(certificate)?.parse().ok()?;
            let shown = fingerprint(certificate);
            let known = self.with(&site, |known| {
                let counts = known.fingerprint.as_ref() == Some(&shown);
                counts.then_some(known.says.is_some())
            });
            Some((site, credential(&shown), known.flatten()?))
        };
        let decided = match admitted() {
            Some((site, credential, true)) => Ok(Admitted {
                identity: Identity::new(site.as_str()),
                credential,
            }),
            // Another process has its desk, or this one is only beginning.
            Some((_, _, false)) => Err(ConnectRefusal::ServerUnavailable),
            // The broker says so, as often as one address may have it logged.
            None => Err(ConnectRefusal::BadUserNameOrPassword),
        };
        Box::pin(async move { decided })
    }

    fn is_admitted(&self, client: &Client) -> bool {
        let counts = |known: &Known| {
            known.says.is_some() && known.fingerprint.as_deref().map(credential) == Some(client.credential)
        };
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
        if let Some((site, kind)) = site_of(client).zip(may_publish(client, &publish.topic)) {
            // Where it is full the receipt goes with the message: the connection ends, and the site says it again later.
            let payload = publish.payload.to_vec();
            self.hand(&site, Up { kind, payload, receipt });
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

/// The broker's limits for sites: few clients, large messages, and thin lines.
pub fn limits(connections_per_address_max: usize) -> broker::Config {
    broker::Config {
        connections_max: CONNECTIONS_MAX,
        connections_per_address_max,
        packet_bytes_max: FRAME_MAX + 1_024,
        partial_packet_rate_min: Some(PACKET_RATE_MIN),
        unresolved_messages_max: WAITING_MAX,
        unresolved_bytes_max: 2 * FRAME_MAX,
        queue_bytes_max: 2 * FRAME_MAX,
        packet_rate: Some(PACKETS),
        kib_rate: Some(KIB),
        client_ids_per_identity_max: 2,
        ..broker::Config::default()
    }
}

/// A door and the broker that asks it, which takes so many connections from one address.
pub fn open(door: &Arc<Door>, connections_per_address_max: usize) -> broker::Broker {
    let limits = limits(connections_per_address_max);
    broker::Broker::new(limits, Arc::clone(door) as Arc<dyn Gatekeeper>)
}
