//! A site's end of the line without a station: enrolled as a box is, a real MQTT client over TLS, and batches from memory.

use anyhow::{Context, bail, ensure};
use domain::{ids::SiteId, journal::Head};
use protocol::{
    VERSION,
    enrolment::{Enrolled, Invitation, PATH, Request},
    frame::{Ack, FRAME_MAX, Nonce, State},
    key::{PublicKeys, SigningKey},
    status::{Hello, Status},
    topic::{Kind, Topic, down_filter},
};
use rumqttc::{AsyncClient, ConnectionError, Event, MqttOptions, Packet, QoS, TlsConfiguration, Transport};
use service::{
    client::{Call, Client, new_key},
    tls::client::{ClientKey, client_config},
};
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{sync::mpsc, task::JoinHandle};
use world::head_office::HeadOfficeProcess;

/// How long an answer may take before the run has failed.
const PATIENCE: Duration = Duration::from_secs(120);
/// The pause before a connection is tried again.
const AGAIN: Duration = Duration::from_millis(100);
/// Messages that wait for the client.
const REQUESTS_MAX: usize = 256;

/// One connection.
pub(crate) struct Uplink {
    site: SiteId,
    client: AsyncClient,
    acks: mpsc::UnboundedReceiver<Ack>,
    task: JoinHandle<()>,
}

impl Uplink {
    /// Has head office add the site, comes in with the invitation, connects, and says hello with this head. Head office must
    /// have nothing of it yet.
    pub(crate) async fn open(
        head_office: &HeadOfficeProcess,
        site: &SiteId,
        key: &SigningKey,
        head: Head,
    ) -> anyhow::Result<Self> {
        head_office.cli(&["site", "add", site.as_str(), "--name", site.as_str()])?;
        let file = head_office.folder().join(format!("{site}.invitation"));
        let invitation: Invitation = serde_json::from_str(&std::fs::read_to_string(file)?)?;
        let own = ClientKey::generate()?;
        let request = Request {
            token: invitation.token,
            agent_key: own.public().to_text(),
            edge_key: key.public(),
        };
        let at: SocketAddr = invitation.at.parse()?;
        let tls = Arc::new(client_config(&invitation.authority, None)?);
        let client = Client::at_https(at.ip().to_string(), at.port(), tls);
        let enrolled: Enrolled = client.read(Call::post(PATH, &new_key()?).json(&request)?).await?;

        let broker = enrolled.brokers.first().context("no broker was named")?;
        let broker: SocketAddr = broker.parse()?;
        let tls = client_config(&enrolled.authority, Some((&enrolled.certificate, &own.to_pem())))?;
        let mut options = MqttOptions::new(site.as_str(), broker.ip().to_string(), broker.port());
        options.set_clean_session(true);
        options.set_max_packet_size(FRAME_MAX, FRAME_MAX);
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::new(tls))));
        let (client, mut events) = AsyncClient::new(options, REQUESTS_MAX);
        let mut network = events.network_options();
        network.set_tcp_nodelay(true);
        events.set_network_options(network);
        client.try_subscribe(down_filter(site), QoS::AtLeastOnce)?;
        let begun = Instant::now();
        loop {
            match events.poll().await {
                Ok(Event::Incoming(Packet::SubAck(_))) => break,
                Ok(_) => {}
                // Who may come in is told to the door after the answer.
                Err(ConnectionError::ConnectionRefused(_)) if begun.elapsed() < PATIENCE => {
                    tokio::time::sleep(AGAIN).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        let (said, acks) = mpsc::unbounded_channel();
        let (of, keys) = (site.clone(), PublicKeys(enrolled.public_keys));
        let task = tokio::spawn(async move {
            let ack_topic = Topic::new(of.clone(), Kind::Ack).to_string();
            loop {
                match events.poll().await {
                    Ok(Event::Incoming(Packet::Publish(publish))) if publish.topic == ack_topic => {
                        match Ack::from_bytes(&publish.payload, &of, &keys) {
                            Ok(ack) if said.send(ack).is_ok() => {}
                            Ok(_) => return,
                            Err(error) => return eprintln!("an acknowledgement of {of}: {error}"),
                        }
                    }
                    Ok(_) => {}
                    Err(error) => return eprintln!("the line of {of}: {error}"),
                }
            }
        });
        let mut uplink = Self {
            site: site.clone(),
            client,
            acks,
            task,
        };
        uplink.greet(key, head).await?;
        Ok(uplink)
    }

    async fn greet(&mut self, key: &SigningKey, head: Head) -> anyhow::Result<()> {
        let nonce = Nonce::random().context("no randomness")?;
        let hello = Hello {
            site: self.site.clone(),
            protocol: VERSION,
            station: "bench".to_owned(),
            agent: "bench".to_owned(),
            epoch: "bench".to_owned(),
            begins_after: Head::START,
            head,
            acknowledged: None,
            recovering: false,
            hq_epoch: None,
            directives: protocol::status::DirectivesTaken::default(),
            waiting_since: None,
            time_zone: "Asia/Shanghai".to_owned(),
            key: Some(key.public()),
            nonce,
        };
        self.publish(Kind::Status, Status::Online(Box::new(hello)).to_bytes())?;
        loop {
            let ack = self.ack().await?;
            if ack.nonce == nonce {
                ensure!(ack.head == Head::START, "head office has {} already", ack.head);
                return Ok(());
            }
        }
    }

    fn publish(&self, kind: Kind, payload: Vec<u8>) -> anyhow::Result<()> {
        let topic = Topic::new(self.site.clone(), kind).to_string();
        let retain = kind == Kind::Status;
        Ok(self.client.try_publish(topic, QoS::AtLeastOnce, retain, payload)?)
    }

    /// Hands a batch to the client.
    pub(crate) fn send(&self, batch: Vec<u8>) -> anyhow::Result<()> {
        self.publish(Kind::Journal, batch)
    }

    /// The next acknowledgement; head office must be able to go on.
    pub(crate) async fn ack(&mut self) -> anyhow::Result<Ack> {
        let ack = tokio::time::timeout(PATIENCE, self.acks.recv()).await;
        let ack = ack.with_context(|| format!("{} is not acknowledged", self.site))?;
        let ack = ack.context("the line has ended")?;
        if ack.state != State::Following {
            bail!("{} is {} after {}", self.site, ack.state.word(), ack.head);
        }
        Ok(ack)
    }
}

impl Drop for Uplink {
    fn drop(&mut self) {
        self.task.abort();
    }
}
