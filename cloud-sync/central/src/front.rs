//! Where sites and head office meet: head office's own broker, or one of somebody else's. Desks need not know which.

use crate::{
    asks::Asks,
    door::{Door, Up},
    heard::Heard,
    remote::Remote,
};
use broker::{Broker, Handle, Message, QoS};
use domain::ids::SiteId;
use protocol::topic::{Kind, Topic};
use std::sync::Arc;
use tokio::sync::mpsc;

/// One of the two.
pub enum Front {
    /// Head office's own broker, and the door that it asks.
    Own(Arc<Door>, Broker),
    /// A broker of somebody else's.
    Remote(Remote),
}

impl Front {
    /// Which certificates speak for sites, all of them.
    pub fn know(&self, certificates: Vec<(SiteId, String)>) {
        // Another broker knows by itself whom it lets in.
        if let Self::Own(door, broker) = self {
            let sites: Vec<SiteId> = certificates.iter().map(|(site, _)| site.clone()).collect();
            door.know(certificates);
            let handle = broker.handle();
            for site in sites {
                handle.check_again(&broker::Identity::new(site.as_str()));
            }
        }
    }

    /// Answers and live frames of sites go to these.
    pub fn answer_to(&self, asks: Arc<Asks>) {
        match self {
            Self::Own(door, _) => door.answer_to(asks),
            Self::Remote(remote) => remote.answer_to(asks),
        }
    }

    /// Sites' pings are answered by this, and it notes who was heard.
    pub fn hear_by(&self, heard: Arc<Heard>) {
        match self {
            Self::Own(door, _) => door.hear_by(heard),
            Self::Remote(remote) => remote.hear_by(heard),
        }
    }

    /// This process has the site's desk: what the site says goes to the receiver.
    pub fn begin(&self, site: &SiteId) -> mpsc::Receiver<Up> {
        match self {
            Self::Own(door, _) => door.begin(site),
            Self::Remote(remote) => remote.begin(site),
        }
    }

    /// And has it no longer.
    pub fn end(&self, site: &SiteId) {
        match self {
            Self::Own(door, broker) => {
                door.end(site);
                broker.handle().kick_identity(&broker::Identity::new(site.as_str()));
            }
            Self::Remote(remote) => remote.end(site),
        }
    }

    /// Sends to sites.
    pub fn to_sites(&self) -> ToSites {
        match self {
            Self::Own(_, broker) => ToSites::Own(broker.handle()),
            Self::Remote(remote) => ToSites::Remote(remote.clone()),
        }
    }
}

/// Sends to sites.
#[derive(Clone)]
pub enum ToSites {
    /// Through head office's own broker.
    Own(Handle),
    /// Through another.
    Remote(Remote),
}

impl ToSites {
    /// Whether it is on its way. Nobody waits for it: what must arrive is said again.
    pub fn send(&self, site: &SiteId, kind: Kind, payload: Vec<u8>) -> bool {
        let topic = Topic::new(site.clone(), kind);
        match self {
            Self::Own(handle) => {
                let qos = match kind.qos() {
                    0 => QoS::AtMostOnce,
                    _ => QoS::AtLeastOnce,
                };
                let sent = handle.publish_to(site.as_str(), Message::new(topic.to_string(), payload).qos(qos));
                sent.inspect_err(|error| tracing::debug!(%site, kind = kind.path(), %error, "not delivered"))
                    .is_ok()
            }
            Self::Remote(remote) => remote.publish(&topic, payload),
        }
    }
}
