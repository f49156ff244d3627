//! The bench: a broker with a strict gatekeeper, and a client that speaks bytes.
//! Every wait has a limit, so a test that would hang fails.

use std::collections::{HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use broker::{
    Admitted, BoxFuture, Broker, Client, Config, ConnectRefusal, ConnectRequest, Credential, DisconnectCause,
    Gatekeeper, Handle, Identity, Publish, QoS, Receipt, Route, Subscribing,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};

/// Nothing here takes as long unless it is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// What the gatekeeper heard of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Authentication waits for [`Bench::answer`].
    Asked,
    Connected(String),
    Disconnected(String, DisconnectCause),
}

/// Identity = user name, password `secret`. Publishes to `up/{identity}/…` are consumed, those with a level `hold` are
/// kept unresolved; `open/…` is passed on. Subscribes to `down/{identity}/…` directly, to `open/…` shared. The identity
/// `all` may everything, shared; `plain` may not retain. The password `slow` is answered when the test says so; `{…}~undone`
/// loses what it was admitted by as soon as it is connected.
pub(crate) struct Strict {
    delivered: mpsc::UnboundedSender<Publish>,
    heard: mpsc::UnboundedSender<Heard>,
    held: Arc<Mutex<VecDeque<Receipt>>>,
    answer: Arc<Notify>,
    taken_back: Arc<Mutex<HashSet<Credential>>>,
}

/// By what a client is admitted whose password is `slow`.
pub(crate) const SLOW: Credential = Credential(1);

/// The subject's common name in a certificate of these tests: the last one in it, as a UTF-8 string.
fn name_in(certificate_der: &[u8]) -> Option<&str> {
    const COMMON_NAME: [u8; 4] = [0x55, 0x04, 0x03, 0x0C];
    let at = certificate_der.windows(4).rposition(|bytes| bytes == COMMON_NAME)?;
    let (len, name) = certificate_der.get(at + 4..)?.split_first()?;
    std::str::from_utf8(name.get(..usize::from(*len))?).ok()
}

fn may_everything(client: &Client) -> bool {
    client.identity.as_str() == "all"
}

impl Strict {
    fn may_publish(client: &Client, topic: &str) -> bool {
        topic.starts_with(&format!("up/{}/", client.identity)) || topic.starts_with("open/") || may_everything(client)
    }
}

impl Gatekeeper for Strict {
    fn authenticate<'a>(&'a self, request: &'a ConnectRequest) -> BoxFuture<'a, Result<Admitted, ConnectRefusal>> {
        Box::pin(async move {
            if let Some(name) = request.certificate_der.as_deref().and_then(name_in) {
                return Ok(Identity::new(name).into());
            }
            match (&request.user_name, request.password.as_deref()) {
                (Some(name), Some(b"secret")) => Ok(Identity::new(name.as_str()).into()),
                (Some(name), Some(b"slow")) => {
                    drop(self.heard.send(Heard::Asked));
                    self.answer.notified().await;
                    Ok(Admitted {
                        identity: Identity::new(name.as_str()),
                        credential: SLOW,
                    })
                }
                (_, Some(b"stall")) => std::future::pending().await,
                _ => Err(ConnectRefusal::BadUserNameOrPassword),
            }
        })
    }

    fn is_admitted(&self, client: &Client) -> bool {
        !self.taken_back.lock().unwrap().contains(&client.credential)
    }

    fn authorize_will(&self, client: &Client, topic: &str, _qos: QoS, _retain: bool) -> bool {
        Self::may_publish(client, topic)
    }

    fn authorize_publish(&self, client: &Client, topic: &str, _qos: QoS, _retain: bool) -> bool {
        Self::may_publish(client, topic)
    }

    fn authorize_subscribe(&self, client: &Client, filter: &str) -> Subscribing {
        if filter.starts_with(&format!("down/{}/", client.identity)) {
            Subscribing::Direct(QoS::ExactlyOnce)
        } else if filter.starts_with("open/") || may_everything(client) {
            Subscribing::Shared(QoS::ExactlyOnce)
        } else {
            Subscribing::Refused
        }
    }

    fn may_retain(&self, client: &Client) -> bool {
        client.identity.as_str() != "plain"
    }

    fn deliver(&self, client: &Client, publish: &Publish, receipt: Receipt) -> Route {
        drop(self.delivered.send(publish.clone()));
        if publish.topic.contains("/hold") {
            self.held.lock().unwrap().push_back(receipt);
        } else {
            receipt.acknowledge();
        }
        if publish.topic.starts_with("open/") || may_everything(client) {
            Route::PassOn
        } else {
            Route::Consume
        }
    }

    fn connected(&self, client: &Client) {
        if client.client_id.ends_with("~undone") {
            self.taken_back.lock().unwrap().insert(client.credential);
        }
        drop(self.heard.send(Heard::Connected(client.client_id.to_string())));
    }

    fn disconnected(&self, client: &Client, cause: DisconnectCause) {
        drop(
            self.heard
                .send(Heard::Disconnected(client.client_id.to_string(), cause)),
        );
    }
}

pub(crate) struct Bench {
    pub(crate) broker: Broker,
    pub(crate) handle: Handle,
    pub(crate) address: SocketAddr,
    delivered: mpsc::UnboundedReceiver<Publish>,
    heard: mpsc::UnboundedReceiver<Heard>,
    held: Arc<Mutex<VecDeque<Receipt>>>,
    pub(crate) answer: Arc<Notify>,
    pub(crate) taken_back: Arc<Mutex<HashSet<Credential>>>,
}

pub(crate) async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited in vain: {what}"),
    }
}

impl Bench {
    pub(crate) async fn new() -> Self {
        Self::with(Config::default()).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        let (delivered_sender, delivered) = mpsc::unbounded_channel();
        let (heard_sender, heard) = mpsc::unbounded_channel();
        let held = Arc::default();
        let strict = Strict {
            delivered: delivered_sender,
            heard: heard_sender,
            held: Arc::clone(&held),
            answer: Arc::default(),
            taken_back: Arc::default(),
        };
        let (answer, taken_back) = (Arc::clone(&strict.answer), Arc::clone(&strict.taken_back));
        let broker = Broker::new(config, Arc::new(strict));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(broker.serve(listener));
        Self {
            handle: broker.handle(),
            broker,
            address,
            delivered,
            heard,
            held,
            answer,
            taken_back,
        }
    }

    pub(crate) async fn raw(&self) -> Raw<TcpStream> {
        Raw::new(TcpStream::connect(self.address).await.unwrap())
    }

    /// A connected client (clean session, no keep-alive).
    pub(crate) async fn client(&self, protocol: u8, client_id: &str) -> Raw<TcpStream> {
        let connect = Connect {
            protocol,
            client_id,
            ..Connect::default()
        };
        self.connect(&connect).await.0
    }

    /// A connected client and its CONNACK.
    pub(crate) async fn connect(&self, connect: &Connect<'_>) -> (Raw<TcpStream>, Vec<u8>) {
        let mut raw = self.raw().await;
        raw.send(&connect.bytes()).await;
        let connack = raw.packet().await;
        assert_eq!((connack[0], connack[3]), (0x20, 0), "accepted: {connack:02x?}");
        (raw, connack)
    }

    pub(crate) async fn delivered(&mut self) -> Publish {
        in_time("a delivered message", self.delivered.recv()).await.unwrap()
    }

    pub(crate) fn no_more_delivered(&mut self) {
        assert!(self.delivered.try_recv().is_err());
    }

    pub(crate) async fn heard(&mut self) -> Heard {
        in_time("news of a client", self.heard.recv()).await.unwrap()
    }

    /// The causes of all disconnects so far, until one is for this client.
    pub(crate) async fn cause_for(&mut self, client_id: &str) -> DisconnectCause {
        loop {
            if let Heard::Disconnected(id, cause) = self.heard().await
                && id == client_id
            {
                return cause;
            }
        }
    }

    /// The oldest receipt that is held.
    pub(crate) fn take_receipt(&self) -> Receipt {
        self.held.lock().unwrap().pop_front().unwrap()
    }
}

/// A CONNECT to be written.
#[derive(Clone)]
pub(crate) struct Connect<'a> {
    pub(crate) protocol: u8,
    pub(crate) client_id: &'a str,
    pub(crate) user_name: Option<&'a str>,
    pub(crate) password: &'a str,
    pub(crate) clean: bool,
    pub(crate) keep_alive_s: u16,
    pub(crate) properties: &'a [u8],
    pub(crate) will: Option<(&'a str, &'a str, u8)>,
    pub(crate) will_properties: &'a [u8],
}

impl Default for Connect<'_> {
    fn default() -> Self {
        Self {
            protocol: 4,
            client_id: "P1",
            user_name: None,
            password: "secret",
            clean: true,
            keep_alive_s: 0,
            properties: &[],
            will: None,
            will_properties: &[],
        }
    }
}

impl Connect<'_> {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        // The identity is what comes before ~ unless said otherwise.
        let user_name = self
            .user_name
            .unwrap_or_else(|| self.client_id.split('~').next().unwrap());
        let mut flags = 0xC0 | (u8::from(self.clean) << 1);
        if let Some((_, _, qos)) = self.will {
            flags |= 0x04 | (qos << 3);
        }
        let mut body = text("MQTT");
        body.extend([self.protocol, flags]);
        body.extend(self.keep_alive_s.to_be_bytes());
        if self.protocol == 5 {
            body.push(self.properties.len() as u8);
            body.extend(self.properties);
        }
        body.extend(text(self.client_id));
        if let Some((topic, payload, _)) = self.will {
            if self.protocol == 5 {
                body.push(self.will_properties.len() as u8);
                body.extend(self.will_properties);
            }
            body.extend(text(topic));
            body.extend(text(payload));
        }
        body.extend(text(user_name));
        body.extend(text(self.password));
        packet(0x10, &body)
    }
}

pub(crate) fn text(text: &str) -> Vec<u8> {
    let mut bytes = (text.len() as u16).to_be_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes
}

pub(crate) fn packet(first_byte: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first_byte];
    let mut len = body.len();
    loop {
        let byte = (len % 128) as u8;
        len /= 128;
        if len == 0 {
            bytes.push(byte);
            break;
        }
        bytes.push(byte | 0x80);
    }
    bytes.extend(body);
    bytes
}

/// PUBLISH without properties.
pub(crate) fn publish(protocol: u8, qos: u8, packet_id: u16, topic: &str, payload: &str) -> Vec<u8> {
    publish_with(protocol, qos << 1, packet_id, topic, payload, &[])
}

pub(crate) fn publish_with(
    protocol: u8,
    flags: u8,
    packet_id: u16,
    topic: &str,
    payload: &str,
    properties: &[u8],
) -> Vec<u8> {
    let mut body = text(topic);
    if flags & 0x06 != 0 {
        body.extend(packet_id.to_be_bytes());
    }
    if protocol == 5 {
        body.push(properties.len() as u8);
        body.extend(properties);
    }
    body.extend(payload.as_bytes());
    packet(0x30 | flags, &body)
}

pub(crate) fn subscribe(protocol: u8, packet_id: u16, filters: &[(&str, u8)]) -> Vec<u8> {
    let mut body = packet_id.to_be_bytes().to_vec();
    if protocol == 5 {
        body.push(0);
    }
    for (filter, options) in filters {
        body.extend(text(filter));
        body.push(*options);
    }
    packet(0x82, &body)
}

/// The last byte of SUBACK is the code of the last filter in both protocols.
pub(crate) fn suback_code(suback: &[u8]) -> u8 {
    assert_eq!(suback[0], 0x90, "{suback:02x?}");
    suback[suback.len() - 1]
}

/// A client that sends and reads bytes.
pub(crate) struct Raw<S> {
    stream: S,
    buffer: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        in_time("sending", self.stream.write_all(bytes)).await.unwrap();
    }

    /// Sends to a peer that may have closed.
    pub(crate) async fn try_send(&mut self, bytes: &[u8]) {
        let _closed = in_time("sending", self.stream.write_all(bytes)).await;
    }

    async fn fill(&mut self) -> usize {
        // A reset is an end too.
        in_time("bytes from the broker", self.stream.read_buf(&mut self.buffer))
            .await
            .unwrap_or_default()
    }

    /// The next packet, or `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(len) = packet_len(&self.buffer)
                && self.buffer.len() >= len
            {
                return Some(self.buffer.drain(..len).collect());
            }
            if self.fill().await == 0 {
                assert!(self.buffer.is_empty(), "half a packet: {:02x?}", self.buffer);
                return None;
            }
        }
    }

    pub(crate) async fn packet(&mut self) -> Vec<u8> {
        self.next().await.expect("a packet, not the end")
    }

    /// The broker closes without another packet.
    pub(crate) async fn expect_closed(&mut self) {
        let packet = self.next().await;
        assert_eq!(packet, None, "{packet:02x?}");
    }

    /// MQTT 5: DISCONNECT with this reason, then the end. 3.1.1: the end.
    pub(crate) async fn expect_disconnect(&mut self, protocol: u8, reason: u8) {
        if protocol == 5 {
            assert_eq!(self.packet().await, [0xE0, 1, reason]);
        }
        self.expect_closed().await;
    }

    /// Everything sent before has been handled, and nothing but the answer has come.
    pub(crate) async fn ping(&mut self) {
        self.send(b"\xC0\x00").await;
        assert_eq!(self.packet().await, b"\xD0\x00");
    }

    /// Whether a packet gets this answer, and not the end.
    pub(crate) async fn is_answered(&mut self, packet: &[u8], answer: &[u8]) -> bool {
        let sent = in_time("sending", self.stream.write_all(packet)).await;
        sent.is_ok() && self.next().await.is_some_and(|packet| packet == answer)
    }

    pub(crate) async fn subscribe(&mut self, protocol: u8, filter: &str, options: u8) {
        self.send(&subscribe(protocol, 1, &[(filter, options)])).await;
        assert_eq!(suback_code(&self.packet().await), options & 0x03);
    }
}

fn packet_len(buffer: &[u8]) -> Option<usize> {
    let mut len = 0;
    for (at, byte) in buffer.iter().skip(1).enumerate() {
        len |= usize::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            return Some(2 + at + len);
        }
    }
    None
}
