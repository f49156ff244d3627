//! The plugin point: who may connect, publish, subscribe, and what must happen before a PUBACK.
//! The broker asks, the embedding program answers; no answer is given while a lock of the broker is held.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use crate::message::{Publish, QoS};
use crate::receipt::Receipt;

/// A boxed future, so that [`Gatekeeper`] can be used as `Arc<dyn Gatekeeper>`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Decides for the broker. Implemented by the embedding program (a site for its piles, head office for its sites).
///
/// Only [`authenticate`](Self::authenticate) may take its time (password hashing: use `spawn_blocking`). The others run
/// on the connection's task and must not block. All may call [`Handle`](crate::Handle).
pub trait Gatekeeper: Send + Sync + 'static {
    /// Says who the client is. Called once per CONNECT, at most `authentications_max` at a time; cancelled after
    /// `authenticate_timeout`, which answers CONNACK "server unavailable".
    ///
    /// # Errors
    /// The refusal is sent as the matching CONNACK code before the connection is closed.
    fn authenticate<'a>(&'a self, request: &'a ConnectRequest) -> BoxFuture<'a, Result<Admitted, ConnectRefusal>>;

    /// Does that by which this client was admitted still count? Asked again before and after it gets its session, since it
    /// may have been taken back since [`authenticate`](Self::authenticate) was answered, and by
    /// [`Handle::check_again`](crate::Handle::check_again). `false` ends the connection and its session.
    fn is_admitted(&self, _client: &Client) -> bool {
        true
    }

    /// May this client leave retained messages? `false` is said in CONNACK (MQTT 5: Retain Available 0); a retained will
    /// is refused then (CONNACK 5 / 0x9A), a retained publish closes the connection (MQTT 5: DISCONNECT 0x9A first).
    fn may_retain(&self, _client: &Client) -> bool {
        true
    }

    /// May this will be left? `false` refuses the connection (CONNACK 5 / 0x87).
    fn authorize_will(&self, client: &Client, topic: &str, qos: QoS, retain: bool) -> bool;

    /// May this be published? `false` closes the connection (MQTT 5: DISCONNECT 0x87 first).
    fn authorize_publish(&self, client: &Client, topic: &str, qos: QoS, retain: bool) -> bool;

    /// May this filter be subscribed to, and how is it served? Wildcards are in `filter` as sent; `$share/…` never gets
    /// this far.
    fn authorize_subscribe(&self, client: &Client, filter: &str) -> Subscribing;

    /// Takes a message that was authorised (a publish, or the client's will). For QoS 1 and 2 the acknowledgement is
    /// sent when `receipt` is resolved: at once, or later from any thread once the message is on disk. Acknowledgements
    /// go out in the order in which the messages came in, whatever the order of resolving (MQTT-4.6.0). A receipt
    /// dropped unresolved closes the connection without acknowledgement. A QoS 2 message is delivered once.
    fn deliver(&self, client: &Client, publish: &Publish, receipt: Receipt) -> Route;

    /// The client is connected and its session attached. Comes after `disconnected` of a connection it took over.
    fn connected(&self, _client: &Client) {}

    /// The connection has ended; exactly once for each `connected`.
    fn disconnected(&self, _client: &Client, _cause: DisconnectCause) {}
}

/// What a client said in CONNECT, and where it came from.
#[derive(Clone)]
pub struct ConnectRequest {
    /// Client identifier as sent; may be empty (the broker then assigns one).
    pub client_id: String,
    /// User name, if sent.
    pub user_name: Option<String>,
    /// Password, if sent; binary data (MQTT-3.1.3.5).
    pub password: Option<Vec<u8>>,
    /// The peer's address.
    pub peer: SocketAddr,
    /// Whether the connection is TLS.
    pub tls: bool,
    /// The client certificate, DER, if one was presented and verified. Who it speaks for is the gatekeeper's to say.
    pub certificate_der: Option<Vec<u8>>,
    /// The protocol it speaks.
    pub protocol: Protocol,
}

impl fmt::Debug for ConnectRequest {
    // By hand: the password must not reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectRequest")
            .field("client_id", &self.client_id)
            .field("user_name", &self.user_name)
            .field("password", &self.password.as_ref().map(|_| "…"))
            .field("peer", &self.peer)
            .field("tls", &self.tls)
            .field("certificate_der", &self.certificate_der.as_ref().map(Vec::len))
            .field("protocol", &self.protocol)
            .finish()
    }
}

/// MQTT protocol levels that are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// MQTT 3.1.1 (protocol level 4).
    V4,
    /// MQTT 5 (protocol level 5).
    V5,
}

/// Who a client is, as the gatekeeper sees it (for piles: the pile id). Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity(Arc<str>);

impl Identity {
    /// An identity of this name. With [`ClientIdRule::OfIdentity`](crate::ClientIdRule) it should not contain `~`.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// By what a client was admitted: a number that the gatekeeper chooses and the broker only carries, another one for each
/// secret or certificate that can be taken back on its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Credential(pub u128);

/// A client that may come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// Who it is.
    pub identity: Identity,
    /// By what.
    pub credential: Credential,
}

impl From<Identity> for Admitted {
    /// Where nothing is ever taken back.
    fn from(identity: Identity) -> Self {
        Self {
            identity,
            credential: Credential::default(),
        }
    }
}

/// One authenticated connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Who it is.
    pub identity: Identity,
    /// By what it was admitted.
    pub credential: Credential,
    /// Its client identifier (assigned by the broker if it sent none).
    pub client_id: Arc<str>,
    /// The peer's address.
    pub peer: SocketAddr,
    /// The protocol it speaks.
    pub protocol: Protocol,
    /// Number of the connection, unique while the process lives and increasing.
    pub connection: u64,
}

/// How a filter is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subscribing {
    /// Only messages that [`Handle::publish_to`](crate::Handle::publish_to) sends to this very client, and retained
    /// ones; costs no link to the router. QoS up to the given one is granted.
    Direct(QoS),
    /// Everything published to matching topics with [`Route::PassOn`] or
    /// [`Handle::publish_shared`](crate::Handle::publish_shared). QoS up to the given one is granted.
    Shared(QoS),
    /// Refused in SUBACK (0x80 / 0x87).
    Refused,
}

/// Where a delivered message goes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// Nowhere: the gatekeeper took it.
    Consume,
    /// To the shared subscribers; retained if it says so. This happens at once, not after the receipt is resolved. A
    /// gatekeeper that wants retained messages to survive a restart keeps them before it resolves the receipt (an empty
    /// payload deletes) and gives them back with [`Handle::restore`](crate::Handle::restore).
    PassOn,
}

/// Why a connection is refused; each has its CONNACK code in both protocols.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConnectRefusal {
    /// Protocol level not served (1 / 0x84).
    UnsupportedProtocolVersion,
    /// Client identifier not acceptable, or another identity's (2 / 0x85).
    ClientIdentifierNotValid,
    /// Server unavailable (3 / 0x88).
    ServerUnavailable,
    /// Too much to do now, try again later (3 / 0x89).
    ServerBusy,
    /// User name or password wrong (4 / 0x86).
    BadUserNameOrPassword,
    /// Known, but not allowed: not on this listener, not this will (5 / 0x87).
    NotAuthorized,
    /// Barred (5 / 0x8A).
    Banned,
    /// Enhanced authentication is not supported (MQTT 5: 0x8C).
    BadAuthenticationMethod,
    /// A cap is reached: client ids of the identity, sessions (3 / 0x97).
    QuotaExceeded,
    /// Will topic malformed, too long or too deep (5 / 0x90).
    TopicNameInvalid,
    /// It takes no packets as large as the answer to its CONNECT would be (3 / 0x83).
    MaximumPacketSizeTooSmall,
    /// A retained will of a client that may not retain (5 / 0x9A).
    RetainNotSupported,
    /// It connects again and again, above `login_rate` (3 / 0x9F).
    ConnectionRateExceeded,
}

impl ConnectRefusal {
    /// For people.
    pub fn words(self) -> &'static str {
        match self {
            Self::UnsupportedProtocolVersion => "it speaks a version of MQTT that is not served",
            Self::ClientIdentifierNotValid => "its client id is not acceptable, or belongs to another user name",
            Self::ServerUnavailable => "nobody could be asked about it in time",
            Self::ServerBusy => "too many are connected, from its address or in all, or there is too much to do now",
            Self::BadUserNameOrPassword => "its user name or password is wrong",
            Self::NotAuthorized => "it is known but not allowed to do this",
            Self::Banned => "it is barred",
            Self::BadAuthenticationMethod => "it asks for enhanced authentication, which is not supported",
            Self::QuotaExceeded => "it has too many sessions",
            Self::TopicNameInvalid => "its will has a topic that is not acceptable",
            Self::MaximumPacketSizeTooSmall => "it takes no packet as large as the answer to it",
            Self::RetainNotSupported => "its will is retained, which it may not be",
            Self::ConnectionRateExceeded => "it connects again and again",
        }
    }

    /// All, in the order of their counters in [`Stats`](crate::Stats).
    pub const ALL: [Self; 13] = [
        Self::UnsupportedProtocolVersion,
        Self::ClientIdentifierNotValid,
        Self::ServerUnavailable,
        Self::ServerBusy,
        Self::BadUserNameOrPassword,
        Self::NotAuthorized,
        Self::Banned,
        Self::BadAuthenticationMethod,
        Self::QuotaExceeded,
        Self::TopicNameInvalid,
        Self::MaximumPacketSizeTooSmall,
        Self::RetainNotSupported,
        Self::ConnectionRateExceeded,
    ];

    /// CONNACK return code of MQTT 3.1.1 (table 3.1).
    pub fn code_v4(self) -> u8 {
        match self {
            Self::UnsupportedProtocolVersion => 1,
            Self::ClientIdentifierNotValid => 2,
            Self::ServerUnavailable
            | Self::ServerBusy
            | Self::QuotaExceeded
            | Self::ConnectionRateExceeded
            | Self::MaximumPacketSizeTooSmall => 3,
            Self::BadUserNameOrPassword => 4,
            Self::NotAuthorized
            | Self::Banned
            | Self::BadAuthenticationMethod
            | Self::TopicNameInvalid
            | Self::RetainNotSupported => 5,
        }
    }

    /// CONNACK reason code of MQTT 5 (table 3-1).
    pub fn code_v5(self) -> u8 {
        match self {
            Self::UnsupportedProtocolVersion => 0x84,
            Self::ClientIdentifierNotValid => 0x85,
            Self::MaximumPacketSizeTooSmall => 0x83,
            Self::BadUserNameOrPassword => 0x86,
            Self::NotAuthorized => 0x87,
            Self::ServerUnavailable => 0x88,
            Self::ServerBusy => 0x89,
            Self::Banned => 0x8A,
            Self::BadAuthenticationMethod => 0x8C,
            Self::TopicNameInvalid => 0x90,
            Self::QuotaExceeded => 0x97,
            Self::RetainNotSupported => 0x9A,
            Self::ConnectionRateExceeded => 0x9F,
        }
    }
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DisconnectCause {
    /// The client sent DISCONNECT; its will is discarded.
    Clean,
    /// The client sent DISCONNECT 0x04: its will is to be published (MQTT 5).
    CleanWithWill,
    /// The socket ended or failed without DISCONNECT.
    Dropped,
    /// Nothing came for 1.5 times the keep-alive, or for `silence_max` (0x8D).
    KeepAliveTimeout,
    /// A packet was begun and not finished in time.
    PartialPacketTimeout,
    /// The client does not read what is sent to it.
    SlowReader,
    /// The same client id connected anew (0x8E).
    TakenOver,
    /// A packet that cannot be parsed (0x81).
    MalformedPacket,
    /// A packet that is not allowed here (0x82), or a broken limit of the protocol (0x93, 0x94, 0x9B …).
    ProtocolError,
    /// Packet above the size limit (0x95).
    PacketTooLarge,
    /// More in one packet than the broker takes: filters, user properties (0x97).
    QuotaExceeded,
    /// Published where it may not (0x87).
    NotAuthorized,
    /// Topic name malformed, too long or too deep (0x90).
    TopicNameInvalid,
    /// A receipt was dropped unresolved, or refused to a client that cannot be told (0x83).
    DeliveryFailed,
    /// The embedding program asked for it (0x98).
    AdministrativeAction,
    /// The broker is shutting down (0x8B).
    ServerShuttingDown,
}

impl DisconnectCause {
    /// For people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Clean | Self::CleanWithWill => "it said goodbye",
            Self::Dropped => "the connection broke",
            Self::KeepAliveTimeout => "it was silent for too long",
            Self::PartialPacketTimeout => "it began a packet and did not finish it",
            Self::SlowReader => "it does not read what is sent to it",
            Self::TakenOver => "it connected anew",
            Self::MalformedPacket => "it sent a packet that cannot be parsed",
            Self::ProtocolError => "it sent a packet that is not allowed",
            Self::PacketTooLarge => "it sent a packet that is too large",
            Self::QuotaExceeded => "it sent a packet with more in it than is taken",
            Self::NotAuthorized => "it published where it may not",
            Self::TopicNameInvalid => "it published to a topic that is not acceptable",
            Self::DeliveryFailed => "its message could not be kept",
            Self::AdministrativeAction => "the station ended it",
            Self::ServerShuttingDown => "the station is going down",
        }
    }
}

impl DisconnectCause {
    /// The reason code that an MQTT 5 client is told in DISCONNECT; `None` where nothing is sent.
    pub fn code_v5(self) -> Option<u8> {
        match self {
            Self::Clean | Self::CleanWithWill | Self::Dropped | Self::SlowReader => None,
            Self::PartialPacketTimeout | Self::MalformedPacket => Some(0x81),
            Self::ProtocolError => Some(0x82),
            Self::DeliveryFailed => Some(0x83),
            Self::NotAuthorized => Some(0x87),
            Self::ServerShuttingDown => Some(0x8B),
            Self::KeepAliveTimeout => Some(0x8D),
            Self::TakenOver => Some(0x8E),
            Self::TopicNameInvalid => Some(0x90),
            Self::PacketTooLarge => Some(0x95),
            Self::QuotaExceeded => Some(0x97),
            Self::AdministrativeAction => Some(0x98),
        }
    }
}
