//! Limits and time-outs of the broker. Everything is bounded; the defaults suit a station of a few hundred piles.
//! Plain numbers and durations: reading them from a file is the embedding program's work.

use std::num::NonZeroU32;
use std::time::Duration;

use limits::Rate;

/// Longest duration that is taken at its word: adding it to any moment cannot overflow.
const DURATION_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// All limits. Construct with `Config { field: …, ..Config::default() }`.
#[derive(Debug, Clone)]
pub struct Config {
    /// Which client ids an identity may use.
    pub client_id_rule: ClientIdRule,
    /// Open sockets in all, TLS handshakes and logins included. A few more are answered that there are too many, the rest
    /// closed right after accept.
    pub connections_max: usize,
    /// Open sockets from one IP address; an IPv6 network of 64 bits counts as one.
    pub connections_per_address_max: usize,
    /// Client ids (connected or with a session kept) of one identity.
    pub client_ids_per_identity_max: usize,
    /// Sessions in all, connected or not.
    pub sessions_max: usize,

    /// Time for the TLS handshake.
    pub tls_handshake_timeout: Duration,
    /// Time from the first moment of a connection to a complete CONNECT.
    pub connect_timeout: Duration,
    /// Time for [`Gatekeeper::authenticate`](crate::Gatekeeper::authenticate), waiting for a turn included.
    pub authenticate_timeout: Duration,
    /// How many authentications run at once (password hashing is slow by design; a flood must not take every core).
    pub authentications_max: usize,
    /// Largest CONNECT in bytes, so that strangers cannot make the broker hold much.
    pub connect_packet_bytes_max: usize,

    /// Largest packet in bytes, fixed header included (MQTT5 3.2.2.3.6). Default: 256 KiB of payload and 4 KiB of header.
    pub packet_bytes_max: usize,
    /// Time from the first byte of a packet to its last; where a rate is given, the longest time in which none of its bytes come.
    pub partial_packet_timeout: Duration,
    /// Bytes a second that have come of a packet since its first byte, after that time, for it to be waited for; it is no silence
    /// meanwhile. For clients behind thin lines, with packets that such a line carries for minutes. `None`: only the time counts.
    pub partial_packet_rate_min: Option<NonZeroU32>,
    /// Longest time without a packet, whatever keep-alive the client chose (0 included).
    pub silence_max: Duration,
    /// A connection on which no byte could be written for this long, while there were some, is dropped.
    pub write_timeout: Duration,
    /// Longest topic name or filter, in bytes.
    pub topic_bytes_max: usize,
    /// Deepest topic name or filter, in levels.
    pub topic_levels_max: usize,

    /// Packets that an identity may send, over all its connections, those of before included; above that they are read
    /// more slowly (TCP holds the client back). `None`: any.
    pub packet_rate: Option<Rate>,
    /// KiB in packets that an identity may send, in the same way; a packet counts as its whole KiB. `None`: any.
    pub kib_rate: Option<Rate>,
    /// Connections that an identity may begin; above that they are refused (CONNACK 3 / 0x9F). `None`: any.
    pub login_rate: Option<Rate>,
    /// Messages of one identity that the gatekeeper has and has not resolved, over all its connections; they are read no
    /// further until some are. One always fits.
    pub unresolved_messages_max: usize,
    /// Bytes (whole packets) of the same.
    pub unresolved_bytes_max: usize,

    /// QoS 1 and 2 messages from one client under way at once (MQTT5 3.2.2.3.3 Receive Maximum). An MQTT 5 client that
    /// exceeds it is disconnected (0x93); a 3.1.1 client is read no further until acknowledgements have gone out.
    pub receive_maximum: u16,
    /// QoS 1 and 2 messages to one client under way at once (an MQTT 5 client may ask for fewer).
    pub send_maximum: u16,
    /// Messages waiting for one client, connected or not.
    pub queue_messages_max: usize,
    /// Bytes (topic, payload and properties) waiting for one client or under way to it. One message always fits.
    pub queue_bytes_max: usize,
    /// Subscriptions of one session.
    pub subscriptions_max: usize,
    /// Topic aliases that a client may set up (MQTT5 3.2.2.3.8), and that are set up towards it if it allows (3.1.2.11.5).
    /// 0: none.
    pub topic_alias_maximum: u16,
    /// Longest life of a session whose client is away, and of a delayed will. 3.1.1 clients without clean session get it
    /// in full, MQTT 5 clients what they ask for up to it.
    pub session_expiry_max: Duration,

    /// Retained messages in all.
    pub retained_messages_max: usize,
    /// Bytes (topic, payload and properties) of retained messages in all.
    pub retained_bytes_max: usize,

    /// Sessions with a shared subscription at once (each holds a link to the router).
    pub shared_links_max: usize,
    /// Distinct shared filters at once (each has a log of up to 256 KiB, or 4 messages if those are larger).
    pub shared_filters_max: usize,
    /// The router counts as dead when it does not take a message or a subscription, or does not pass one on, within
    /// about this time.
    pub router_timeout: Duration,
}

impl Config {
    /// The same with every duration bounded to ten years, so that no deadline can overflow.
    pub(crate) fn with_bounded_durations(mut self) -> Self {
        for duration in [
            &mut self.tls_handshake_timeout,
            &mut self.connect_timeout,
            &mut self.authenticate_timeout,
            &mut self.partial_packet_timeout,
            &mut self.silence_max,
            &mut self.write_timeout,
            &mut self.session_expiry_max,
            &mut self.router_timeout,
        ] {
            *duration = (*duration).min(DURATION_MAX);
        }
        self
    }
}

/// Which client ids an identity may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientIdRule {
    /// `{identity}` or `{identity}~{suffix}`; an empty one becomes `{identity}~auto-{n}`.
    OfIdentity,
    /// Any; but a session belongs to the identity that made it, and no other can take it over.
    Any,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            client_id_rule: ClientIdRule::OfIdentity,
            connections_max: 4096,
            connections_per_address_max: 1024,
            client_ids_per_identity_max: 4,
            sessions_max: 16_384,
            tls_handshake_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(5),
            authenticate_timeout: Duration::from_secs(10),
            authentications_max: 4,
            connect_packet_bytes_max: 16 * 1024,
            packet_bytes_max: 260 * 1024,
            partial_packet_timeout: Duration::from_secs(20),
            partial_packet_rate_min: None,
            silence_max: Duration::from_secs(3600),
            write_timeout: Duration::from_secs(10),
            topic_bytes_max: 256,
            topic_levels_max: 16,
            packet_rate: Some(Rate {
                per_second: 200,
                burst: 400,
            }),
            kib_rate: None,
            login_rate: Some(Rate {
                per_second: 1,
                burst: 60,
            }),
            unresolved_messages_max: 256,
            unresolved_bytes_max: 4 * 1024 * 1024,
            receive_maximum: 64,
            send_maximum: 32,
            queue_messages_max: 1000,
            queue_bytes_max: 1024 * 1024,
            subscriptions_max: 32,
            topic_alias_maximum: 16,
            session_expiry_max: Duration::from_secs(24 * 3600),
            retained_messages_max: 65_536,
            retained_bytes_max: 32 * 1024 * 1024,
            shared_links_max: 64,
            shared_filters_max: 256,
            router_timeout: Duration::from_secs(5),
        }
    }
}
