//! One MQTT connection of a pile: connect, subscribe and check the answer, then carry messages both ways until it ends.
//! Each connection has a client of its own, so nothing of an old one can leak into a new one.

use super::{machine::Publish, wire};
use domain::ids::PileId;
use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, MqttOptions, Outgoing, Packet, QoS, StateError,
    SubscribeReasonCode, TlsConfiguration, Transport,
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::mpsc, task::JoinHandle};

/// Messages that wait for the client; the pile keeps the rest.
const REQUESTS_MAX: usize = 128;
/// The contract allows 256 KiB of payload; the rest is room for the topic and for a station that sends more.
const PACKET_BYTES_MAX: usize = 1024 * 1024;
const SETUP_TIMEOUT: Duration = Duration::from_secs(10);
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(2);

/// Where the station is and how a pile proves who it is.
#[derive(Clone)]
pub struct Station {
    /// Host name or address; with TLS also the name in the station's certificate.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The pile's secret; `None` where a client certificate stands for it.
    pub secret: Option<String>,
    /// TLS, see [`tls`].
    pub tls: Option<Arc<ClientConfig>>,
}

impl fmt::Debug for Station {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tls = self.tls.is_some();
        f.debug_struct("Station")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("tls", &tls)
            .finish()
    }
}

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsSetup {
    /// A PEM file does not hold what it should.
    #[error("{0} cannot be read as PEM: {1}")]
    Pem(&'static str, rustls::pki_types::pem::Error),
    /// A PEM file is empty.
    #[error("no certificate in {0}")]
    Empty(&'static str),
    /// The certificate or key is of no use.
    #[error("TLS: {0}")]
    Rustls(#[from] rustls::Error),
}

/// TLS that trusts the authorities in `ca` and, with `identity` (certificate chain, key), shows a client certificate.
/// All of it is PEM.
pub fn tls(ca: &[u8], identity: Option<(&[u8], &[u8])>) -> Result<Arc<ClientConfig>, TlsSetup> {
    let certificates = |what, pem| {
        let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        let all = all.map_err(|error| TlsSetup::Pem(what, error))?;
        if all.is_empty() {
            Err(TlsSetup::Empty(what))
        } else {
            Ok(all)
        }
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates("the CA file", ca)? {
        roots.add(certificate)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| TlsSetup::Pem("the key file", error))?;
            builder.with_client_auth_cert(certificates("the certificate file", chain)?, key)?
        }
    };
    Ok(Arc::new(config))
}

/// What a connection reports.
#[derive(Debug)]
pub(crate) enum Heard {
    /// Connected and subscribed.
    Up,
    /// Not connected (any more); the last thing it reports.
    Down { reason: String },
    /// A publish was acknowledged.
    Puback { token: u64 },
    /// A message came.
    Message { topic: String, payload: Vec<u8> },
}

/// A connection, from its first packet to its last.
pub(crate) struct Connection {
    client: AsyncClient,
    tokens: Tokens,
    task: JoinHandle<()>,
}

/// The publishes handed to the client, in the order in which it will give them packet ids.
type Tokens = Arc<Mutex<VecDeque<u64>>>;

impl Connection {
    /// Begins to connect. Everything it reports goes to `heard` with `attempt` beside it.
    pub(crate) fn open(pile: &PileId, station: &Station, attempt: u64, heard: mpsc::Sender<(u64, Heard)>) -> Self {
        let mut options = MqttOptions::new(pile.as_str(), station.host.clone(), station.port);
        options.set_clean_session(true);
        options.set_keep_alive(Duration::from_secs(30));
        options.set_max_packet_size(PACKET_BYTES_MAX, PACKET_BYTES_MAX);
        options.set_credentials(pile.as_str(), station.secret.clone().unwrap_or_default());
        if let Some(tls) = &station.tls {
            options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::clone(tls))));
        }
        let (client, mut events) = AsyncClient::new(options, REQUESTS_MAX);
        let mut network = events.network_options();
        network.set_connection_timeout(SETUP_TIMEOUT.as_secs());
        network.set_tcp_nodelay(true);
        events.set_network_options(network);
        let tokens = Tokens::default();
        let carrier = Carrier {
            filter: wire::down_filter(pile),
            attempt,
            client: client.clone(),
            events,
            tokens: Arc::clone(&tokens),
            in_flight: HashMap::new(),
            heard,
        };
        Self {
            client,
            tokens,
            task: tokio::spawn(carrier.run()),
        }
    }

    /// Hands a message to the client; `false` if it has its hands full.
    pub(crate) fn publish(&self, pile: &PileId, publish: &Publish) -> bool {
        let qos = if publish.qos1 {
            QoS::AtLeastOnce
        } else {
            QoS::AtMostOnce
        };
        // Before the client can have it, so that its packet id never comes before its token.
        lock(&self.tokens).push_back(publish.token);
        let taken = self
            .client
            .try_publish(publish.topic(pile), qos, false, publish.payload())
            .is_ok();
        if !taken {
            lock(&self.tokens).pop_back();
        }
        taken
    }

    /// Ends it now, without a word: the socket is closed when this returns.
    pub(crate) async fn cut(self) {
        self.task.abort();
        // Its only possible answer is that it was aborted.
        let _ = self.task.await;
    }

    /// Ends it with an MQTT DISCONNECT, after everything that was published.
    pub(crate) async fn say_goodbye(self) {
        let mut task = self.task;
        let said = self.client.disconnect();
        let gone = async { (said.await.is_ok(), (&mut task).await) };
        if tokio::time::timeout(GOODBYE_TIMEOUT, gone).await.is_err() {
            task.abort();
        }
    }
}

fn lock(tokens: &Tokens) -> std::sync::MutexGuard<'_, VecDeque<u64>> {
    // Nothing can panic while it is held.
    tokens.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The task that owns the socket.
struct Carrier {
    filter: String,
    attempt: u64,
    client: AsyncClient,
    events: EventLoop,
    tokens: Tokens,
    in_flight: HashMap<u16, u64>,
    heard: mpsc::Sender<(u64, Heard)>,
}

impl Carrier {
    async fn run(mut self) {
        let reason = match tokio::time::timeout(SETUP_TIMEOUT, self.set_up()).await {
            Err(_) => "no answer to CONNECT or SUBSCRIBE".to_owned(),
            Ok(Err(reason)) => reason,
            Ok(Ok(early)) => self.carry(early).await,
        };
        self.report(Heard::Down { reason }).await;
    }

    async fn report(&mut self, heard: Heard) -> bool {
        self.heard.send((self.attempt, heard)).await.is_ok()
    }

    /// Connects and subscribes; returns what came before the SUBACK, as a retained message may.
    async fn set_up(&mut self) -> Result<Vec<Heard>, String> {
        let mut early = Vec::new();
        loop {
            match self.events.poll().await.map_err(|error| words(&error))? {
                Event::Incoming(Packet::ConnAck(_)) => {
                    let asked = self.client.try_subscribe(self.filter.clone(), QoS::AtLeastOnce);
                    asked.map_err(|error| error.to_string())?;
                }
                Event::Incoming(Packet::SubAck(answer)) => {
                    let granted = |code: &SubscribeReasonCode| *code == SubscribeReasonCode::Success(QoS::AtLeastOnce);
                    return if !answer.return_codes.is_empty() && answer.return_codes.iter().all(granted) {
                        Ok(early)
                    } else {
                        Err(format!(
                            "SUBSCRIBE to {} was answered {:?}",
                            self.filter, answer.return_codes
                        ))
                    };
                }
                Event::Incoming(Packet::Publish(publish)) if early.len() < 64 => {
                    early.push(Heard::Message {
                        topic: publish.topic,
                        payload: publish.payload.to_vec(),
                    });
                }
                _ => {}
            }
        }
    }

    /// Carries messages until the connection ends; returns why it did.
    async fn carry(&mut self, early: Vec<Heard>) -> String {
        for heard in std::iter::once(Heard::Up).chain(early) {
            if !self.report(heard).await {
                return String::new();
            }
        }
        loop {
            let heard = match self.events.poll().await {
                Err(error) => return words(&error),
                Ok(Event::Incoming(Packet::Publish(publish))) => Heard::Message {
                    topic: publish.topic,
                    payload: publish.payload.to_vec(),
                },
                Ok(Event::Incoming(Packet::PubAck(ack))) => match self.in_flight.remove(&ack.pkid) {
                    Some(token) => Heard::Puback { token },
                    None => continue,
                },
                Ok(Event::Incoming(Packet::Disconnect)) => return "DISCONNECT from the station".to_owned(),
                Ok(Event::Outgoing(Outgoing::Publish(packet_id))) => {
                    let token = lock(&self.tokens).pop_front();
                    if let Some(token) = token.filter(|_| packet_id != 0) {
                        self.in_flight.insert(packet_id, token);
                    }
                    continue;
                }
                Ok(Event::Outgoing(Outgoing::Disconnect)) => return "goodbye".to_owned(),
                Ok(Event::Incoming(_) | Event::Outgoing(_)) => continue,
            };
            if !self.report(heard).await {
                return String::new();
            }
        }
    }
}

/// What to tell whoever looks for the reason.
fn words(error: &ConnectionError) -> String {
    match error {
        ConnectionError::ConnectionRefused(
            ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized,
        ) => "the station refuses this user name and secret".to_owned(),
        ConnectionError::ConnectionRefused(code) => format!("CONNECT was answered {code:?}"),
        ConnectionError::NetworkTimeout | ConnectionError::FlushTimeout => "the station does not answer".to_owned(),
        ConnectionError::MqttState(StateError::ConnectionAborted) => "the station closed the connection".to_owned(),
        other => {
            // The outer words only say which layer it passed through.
            let mut cause: &dyn std::error::Error = other;
            while let Some(inner) = cause.source() {
                cause = inner;
            }
            cause.to_string()
        }
    }
}
