//! One MQTT connection to the broker of head office: connect, subscribe and check the answer, then carry messages both ways
//! until it ends. Each connection has a client of its own: one whose broker lost the session would hold messages for ever
//! (rumqtt issues 1014 and 1056).

use crate::courier::WINDOW;
use domain::ids::SiteId;
use protocol::{
    frame::FRAME_MAX,
    status::Status,
    topic::{Kind, Topic, client_id, down_filter},
};
use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, LastWill, MqttOptions, Packet, QoS,
    SubscribeReasonCode, TlsConfiguration, Transport,
};
use rustls::ClientConfig;
use std::{sync::Arc, time::Duration};
use tokio::{sync::mpsc, task::JoinHandle};

/// Messages that wait for the client. The courier has no more than its window of batches on the way; the rest is small.
const REQUESTS_MAX: usize = 16 * WINDOW;
/// Unacknowledged publishes: far above the window, so that no packet id is ever met again (rumqtt issue 1056).
const INFLIGHT: u16 = 8 * WINDOW as u16;
/// How long CONNECT and SUBSCRIBE may take.
const SETUP_TIMEOUT: Duration = Duration::from_secs(20);
/// MQTT's own keep-alive. Pings of our own say more, and sooner. A thin line carries a long batch for minutes, behind which that of
/// MQTT would have to wait.
const KEEP_ALIVE: Duration = Duration::from_secs(300);
/// How long a message may take to be handed to the system, as long as pings of our own find nothing wrong with the line.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(900);
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(2);

/// Where head office's broker is, and how a site proves who it is.
#[derive(Clone)]
pub struct Broker {
    /// Host name or address, and TCP port, of each of its nodes; at least one. With TLS the host is also the name in the
    /// node's certificate.
    pub nodes: Vec<(String, u16)>,
    /// User name and password, where the broker wants them.
    pub credentials: Option<(String, String)>,
    /// TLS, with the site's certificate.
    pub tls: Option<Arc<ClientConfig>>,
}

impl std::fmt::Debug for Broker {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tls = self.tls.is_some();
        write!(f, "Broker({:?}, tls: {tls})", self.nodes)
    }
}

impl Broker {
    /// The node to try after so many tries: its place in the list, host and port.
    pub(crate) fn node(&self, tries: usize) -> (usize, &str, u16) {
        let place = tries % self.nodes.len().max(1);
        let node = self.nodes.get(place);
        node.map_or((place, "localhost", 0), |(host, port)| (place, host, *port))
    }
}

/// What a connection reports.
#[derive(Debug)]
pub(crate) enum Heard {
    /// Connected and subscribed.
    Up,
    /// Not connected (any more); the last thing it reports.
    Down(String),
    /// A message came.
    Message(Kind, Vec<u8>),
}

/// A connection, from its first packet to its last.
pub(crate) struct Line {
    site: SiteId,
    client: AsyncClient,
    task: JoinHandle<()>,
}

impl Line {
    /// Begins to connect to the node whose turn it is after so many tries. What it hears goes to the receiver, in order.
    pub(crate) fn open(site: &SiteId, broker: &Broker, tries: usize) -> (Self, mpsc::Receiver<Heard>) {
        let (place, host, port) = broker.node(tries);
        let mut options = MqttOptions::new(client_id(site.as_str(), place), host, port);
        options.set_clean_session(true);
        options.set_keep_alive(KEEP_ALIVE);
        options.set_max_packet_size(FRAME_MAX, FRAME_MAX);
        options.set_inflight(INFLIGHT);
        let gone = Status::Offline { site: site.clone() };
        let topic = Topic::new(site.clone(), Kind::Status).to_string();
        options.set_last_will(LastWill::new(topic, gone.to_bytes(), QoS::AtLeastOnce, true));
        if let Some((user, password)) = &broker.credentials {
            options.set_credentials(user, password);
        }
        if let Some(tls) = &broker.tls {
            options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::clone(tls))));
        }
        let (client, mut events) = AsyncClient::new(options, REQUESTS_MAX);
        let mut network = events.network_options();
        network.set_connection_timeout(SETUP_TIMEOUT.as_secs());
        network.set_tcp_nodelay(true);
        events.set_network_options(network);
        let (heard, hears) = mpsc::channel(REQUESTS_MAX);
        let carrier = Carrier {
            site: site.clone(),
            client: client.clone(),
            events,
            heard,
        };
        let line = Self {
            site: site.clone(),
            client,
            task: tokio::spawn(carrier.run()),
        };
        (line, hears)
    }

    /// Hands a message to the client; `false` if it has its hands full, which ends the connection's use.
    pub(crate) fn publish(&self, kind: Kind, payload: Vec<u8>) -> bool {
        let qos = match kind.qos() {
            0 => QoS::AtMostOnce,
            _ => QoS::AtLeastOnce,
        };
        let topic = Topic::new(self.site.clone(), kind).to_string();
        self.client
            .try_publish(topic, qos, kind == Kind::Status, payload)
            .is_ok()
    }

    /// Ends it with an MQTT DISCONNECT. Its will is discarded then, so that it says itself that it is gone.
    pub(crate) async fn say_goodbye(self) {
        let gone = Status::Offline {
            site: self.site.clone(),
        };
        self.publish(Kind::Status, gone.to_bytes());
        let mut task = self.task;
        let said = self.client.disconnect();
        let gone = async { (said.await.is_ok(), (&mut task).await) };
        if tokio::time::timeout(GOODBYE_TIMEOUT, gone).await.is_err() {
            task.abort();
        }
    }

    /// Ends it now.
    pub(crate) fn cut(self) {
        self.task.abort();
    }
}

/// The task that owns the socket.
struct Carrier {
    site: SiteId,
    client: AsyncClient,
    events: EventLoop,
    heard: mpsc::Sender<Heard>,
}

impl Carrier {
    async fn run(mut self) {
        let reason = match tokio::time::timeout(SETUP_TIMEOUT, self.set_up()).await {
            Err(_) => "no answer to CONNECT or SUBSCRIBE".to_owned(),
            Ok(Err(reason)) => reason,
            Ok(Ok(())) => self.carry().await,
        };
        let _nobody_listens = self.heard.send(Heard::Down(reason)).await;
    }

    async fn set_up(&mut self) -> Result<(), String> {
        let filter = down_filter(&self.site);
        loop {
            match self.events.poll().await.map_err(|error| words(&error))? {
                Event::Incoming(Packet::ConnAck(_)) => {
                    let asked = self.client.try_subscribe(filter.clone(), QoS::AtLeastOnce);
                    asked.map_err(|error| error.to_string())?;
                }
                Event::Incoming(Packet::SubAck(answer)) => {
                    let granted = |code: &SubscribeReasonCode| matches!(code, SubscribeReasonCode::Success(_));
                    return match answer.return_codes.iter().all(granted) {
                        true => Ok(()),
                        false => Err(format!("SUBSCRIBE to {filter} was answered {:?}", answer.return_codes)),
                    };
                }
                _ => {}
            }
        }
    }

    /// Carries messages until the connection ends; returns why it did.
    async fn carry(&mut self) -> String {
        // The client has one time-out for connecting and for this.
        let mut network = self.events.network_options();
        network.set_connection_timeout(FLUSH_TIMEOUT.as_secs());
        self.events.set_network_options(network);
        if self.heard.send(Heard::Up).await.is_err() {
            return String::new();
        }
        loop {
            let publish = match self.events.poll().await {
                Err(error) => return words(&error),
                Ok(Event::Incoming(Packet::Publish(publish))) => publish,
                Ok(Event::Incoming(Packet::Disconnect)) => return "DISCONNECT from the broker".to_owned(),
                Ok(Event::Outgoing(rumqttc::Outgoing::Disconnect)) => return "goodbye".to_owned(),
                Ok(_) => continue,
            };
            let topic = Topic::parse(&publish.topic).filter(|topic| topic.site == self.site && !topic.kind.is_up());
            if let Some(Topic { kind, .. }) = topic
                && self
                    .heard
                    .send(Heard::Message(kind, publish.payload.to_vec()))
                    .await
                    .is_err()
            {
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
        ) => "the broker refuses this site: was it revoked, or enrolled anew elsewhere?".to_owned(),
        ConnectionError::ConnectionRefused(code) => format!("CONNECT was answered {code:?}"),
        ConnectionError::NetworkTimeout | ConnectionError::FlushTimeout => "the broker does not answer".to_owned(),
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
