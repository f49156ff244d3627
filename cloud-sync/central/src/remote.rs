//! Sites at a broker of somebody else's: one connection of this process to it, which subscribes to what those sites say whose
//! desks are here. Each connection has a client of its own, and a session that ends with it (rumqtt issues 1014 and 1056):
//! what was lost on the way is sent again by the site, once an acknowledgement stays away.

use crate::{
    asks::Asks,
    door::{Door, Up},
    heard::Heard,
};
use broker::Receipt;
use domain::ids::SiteId;
use protocol::{
    frame::FRAME_MAX,
    topic::{Topic, client_id, up_filter},
};
use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, MqttOptions, Packet, QoS, TlsConfiguration, Transport,
};
use rustls::ClientConfig;
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::mpsc;

/// Messages to sites that wait for the connection.
const REQUESTS_MAX: usize = 4_096;
/// Unacknowledged publishes.
const INFLIGHT: u16 = 1_024;
/// How long CONNECT may take.
const SETUP_TIMEOUT: Duration = Duration::from_secs(20);
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// The shortest and the longest pause before another connection is tried.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(30)];

/// Where the broker is, and how this process proves who it is.
#[derive(Clone)]
pub struct Address {
    /// Host name or address, and TCP port, of each of its nodes; at least one. With TLS the host is also the name in the
    /// node's certificate.
    pub nodes: Vec<(String, u16)>,
    /// User name and password, where the broker wants them.
    pub user: Option<(String, String)>,
    /// TLS.
    pub tls: Option<Arc<ClientConfig>>,
}

/// The broker, from here.
#[derive(Clone)]
pub struct Remote(Arc<Inner>);

struct Inner {
    /// Its name as an MQTT client.
    process: String,
    address: Address,
    desks: Door,
    here: Mutex<Here>,
}

/// Which sites are here, and the connection while there is one.
#[derive(Default)]
struct Here {
    sites: BTreeSet<SiteId>,
    client: Option<AsyncClient>,
    trouble: Option<String>,
}

impl Remote {
    /// The broker at this address; `process` is this process's name there.
    pub fn new(process: &str, address: Address) -> Self {
        Self(Arc::new(Inner {
            process: process.to_owned(),
            address,
            desks: Door::default(),
            here: Mutex::default(),
        }))
    }

    fn here(&self) -> MutexGuard<'_, Here> {
        self.0.here.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is wrong with the connection, if anything is.
    pub fn trouble(&self) -> Option<String> {
        self.here().trouble.clone()
    }

    /// Answers and live frames of sites go to these.
    pub(crate) fn answer_to(&self, asks: Arc<Asks>) {
        self.0.desks.answer_to(asks);
    }

    /// Pings are answered by this from now on, and it notes who was heard.
    pub(crate) fn hear_by(&self, heard: Arc<Heard>) {
        self.0.desks.hear_by(heard);
    }

    /// What the site says goes to the receiver from now on.
    pub(crate) fn begin(&self, site: &SiteId) -> mpsc::Receiver<Up> {
        let hears = self.0.desks.begin(site);
        let mut here = self.here();
        here.sites.insert(site.clone());
        if let Some(client) = &here.client {
            // Where there is no room for it the connection is not well, and the next one subscribes to all.
            let _full = client.try_subscribe(up_filter(site), QoS::AtLeastOnce);
        }
        hears
    }

    /// And no longer.
    pub(crate) fn end(&self, site: &SiteId) {
        self.0.desks.end(site);
        let mut here = self.here();
        here.sites.remove(site);
        if let Some(client) = &here.client {
            let _full = client.try_unsubscribe(up_filter(site));
        }
    }

    /// Whether it is on its way. Nothing goes to a site whose desk is not here: only the process that has it hears the answer.
    pub(crate) fn publish(&self, topic: &Topic, payload: Vec<u8>) -> bool {
        let qos = match topic.kind.qos() {
            0 => QoS::AtMostOnce,
            _ => QoS::AtLeastOnce,
        };
        let here = self.here();
        let client = here.client.as_ref().filter(|_| here.sites.contains(&topic.site));
        client.is_some_and(|client| client.try_publish(topic.to_string(), qos, false, payload).is_ok())
    }

    /// Keeps a connection for ever: each is tried at another node than the one before.
    pub async fn run(self) {
        let mut pause = PAUSES[0];
        for (node, (host, port)) in self.0.address.nodes.iter().enumerate().cycle() {
            let begun = Instant::now();
            let id = client_id(&format!("holdfast-central.{}", self.0.process), node);
            let why = self.connected(&id, host, *port).await;
            self.here().client = None;
            // One that is ended again and again as soon as it is up is not hurried after.
            if begun.elapsed() >= PAUSES[1] {
                pause = PAUSES[0];
            }
            tracing::warn!("no connection to the broker at {host}:{port}: {why}; the next try is in {pause:?}");
            self.here().trouble = Some(why);
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSES[1]);
        }
    }

    /// One connection to a node, from its first packet to its last; why it ended.
    async fn connected(&self, id: &str, host: &str, port: u16) -> String {
        let Address { user, tls, .. } = &self.0.address;
        let mut options = MqttOptions::new(id, host, port);
        options.set_clean_session(true);
        options.set_keep_alive(KEEP_ALIVE);
        options.set_max_packet_size(FRAME_MAX + 1_024, FRAME_MAX + 1_024);
        options.set_inflight(INFLIGHT);
        if let Some((user, password)) = user {
            options.set_credentials(user, password);
        }
        if let Some(tls) = tls {
            options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::clone(tls))));
        }
        let (client, mut events) = AsyncClient::new(options, REQUESTS_MAX);
        let mut network = events.network_options();
        network.set_connection_timeout(SETUP_TIMEOUT.as_secs());
        network.set_tcp_nodelay(true);
        events.set_network_options(network);
        loop {
            match events.poll().await {
                Ok(Event::Incoming(Packet::ConnAck(ack))) if ack.code == ConnectReturnCode::Success => {
                    tracing::info!("connected to the broker at {host}:{port}");
                    let mut here = self.here();
                    for site in &here.sites {
                        if client.try_subscribe(up_filter(site), QoS::AtLeastOnce).is_err() {
                            return "there are more sites than a connection takes subscriptions at once".to_owned();
                        }
                    }
                    (here.client, here.trouble) = (Some(client.clone()), None);
                }
                Ok(Event::Incoming(Packet::Publish(publish))) => {
                    if let Some(Topic { site, kind }) = Topic::parse(&publish.topic).filter(|topic| topic.kind.is_up())
                    {
                        let (payload, receipt) = (publish.payload.to_vec(), Receipt::inert());
                        self.0.desks.hand(&site, Up { kind, payload, receipt });
                    }
                }
                Ok(Event::Incoming(Packet::SubAck(ack))) => {
                    let refused = |code: &rumqttc::SubscribeReasonCode| *code == rumqttc::SubscribeReasonCode::Failure;
                    if ack.return_codes.iter().any(refused) {
                        return "it does not let head office hear its sites; look at its access list (docs/sync-protocol.md says \
                                what it must allow)"
                            .to_owned();
                    }
                }
                Ok(_) => {}
                Err(ConnectionError::ConnectionRefused(code)) => return format!("it refuses the connection: {code:?}"),
                Err(error) => return error.to_string(),
            }
        }
    }
}
