//! From a fresh stream to an attached session: CONNECT within its time and size, then who, may they, which session.
//! Every refusal that can be answered is answered with its CONNACK code before the stream is closed.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::codec::connect::{self, Accepted, Connect, ConnectError, Will};
use crate::codec::{self, DecodeError};
use crate::config::ClientIdRule;
use crate::core::Core;
use crate::front::connection::{self, Connection};
use crate::front::refusals::Line;
use crate::gatekeeper::{Admitted, Client, ConnectRefusal, ConnectRequest, Identity, Protocol};
use crate::session::{Attach, granted_expiry};
use crate::stats::Counters;

/// Longest client id; more than any scheme needs, as it is kept as long as the session.
const CLIENT_ID_BYTES_MAX: usize = 256;

/// Room made for each read of a CONNECT: most need one.
const CONNECT_READ_BYTES: usize = 512;

/// The other end of a stream.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    pub(super) tls: bool,
    pub(super) certificate_der: Option<Vec<u8>>,
}

/// Serves one stream to its end. What logging in takes is given back before the connection begins, which may be idle for
/// hours: ten thousand of them are held in memory by what they need then.
pub(super) async fn run<S: AsyncRead + AsyncWrite + Unpin>(core: Arc<Core>, stream: S, peer: Peer) {
    let connection = Box::pin(admit(&core, stream, peer)).await;
    drop(core);
    if let Some(connection) = connection {
        connection.run().await;
    }
}

/// Hears CONNECT and answers it; nothing if the stream has been refused.
async fn admit<S: AsyncRead + AsyncWrite + Unpin>(
    core: &Arc<Core>,
    mut stream: S,
    peer: Peer,
) -> Option<Connection<S>> {
    let mut input = BytesMut::new();
    let received = tokio::select! {
        received = tokio::time::timeout(core.config.connect_timeout, read_connect(core, &mut stream, &mut input)) => {
            received.unwrap_or(Err(NoConnect::Silent))
        }
        () = core.closing() => return None,
    };
    let address = peer.address;
    let connect = match received {
        Ok(connect) => connect,
        Err(NoConnect::UnsupportedLevel(level)) => {
            // A newer client is answered in the newest form we know, an older one in the oldest.
            let protocol = if level > 5 { Protocol::V5 } else { Protocol::V4 };
            refuse(
                core,
                stream,
                protocol,
                ConnectRefusal::UnsupportedProtocolVersion,
                address,
                &Claimed::default(),
            )
            .await;
            return None;
        }
        Err(no_connect) => {
            Counters::one(&core.counters.connects_missing);
            tracing::debug!(%address, why = %no_connect, "no CONNECT");
            if let NoConnect::Decode(error) = no_connect {
                answer_broken(core, stream, &input, error).await;
            }
            return None;
        }
    };
    let protocol = connect.protocol;
    let claimed = Claimed::of(&connect);
    match log_in(core, &peer, connect).await {
        Ok(login) => {
            Counters::one(&core.counters.connects_accepted);
            let Login { connack, start } = login;
            Some(Connection::new(core.clone(), stream, start, input, connack))
        }
        Err(refusal) => {
            refuse(core, stream, protocol, refusal, address, &claimed).await;
            None
        }
    }
}

/// Hears a CONNECT and refuses it, because there are too many connections.
pub(super) async fn turn_away<S: AsyncRead + AsyncWrite + Unpin>(core: &Core, mut stream: S, address: SocketAddr) {
    let mut input = BytesMut::new();
    if let Ok(connect) = read_connect(core, &mut stream, &mut input).await {
        let claimed = Claimed::of(&connect);
        refuse(
            core,
            stream,
            connect.protocol,
            ConnectRefusal::ServerBusy,
            address,
            &claimed,
        )
        .await;
    }
}

/// Who a refused client says it is, fit for a log: anybody can send anything here.
#[derive(Debug)]
struct Claimed {
    user_name: String,
    client_id: String,
    /// The largest packet that it takes.
    packet_bytes_max: usize,
}

impl Default for Claimed {
    fn default() -> Self {
        Self {
            user_name: String::new(),
            client_id: String::new(),
            packet_bytes_max: usize::MAX,
        }
    }
}

impl Claimed {
    fn of(connect: &Connect) -> Self {
        Self {
            user_name: printable(connect.user_name.as_deref().unwrap_or_default()),
            client_id: printable(&connect.client_id),
            packet_bytes_max: connect.packet_bytes_max.map_or(usize::MAX, |max| max as usize),
        }
    }
}

/// A text from outside, escaped and cut.
pub(super) fn printable(text: &str) -> String {
    const CHARS_MAX: usize = 64;
    let mut printable: String = text.escape_debug().take(CHARS_MAX).collect();
    if text.escape_debug().nth(CHARS_MAX).is_some() {
        printable.push('…');
    }
    printable
}

/// Why there was no CONNECT to answer.
#[derive(Debug, thiserror::Error)]
enum NoConnect {
    #[error("nothing complete in time")]
    Silent,
    #[error("the peer has closed")]
    Closed,
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Decode(#[from] DecodeError),
    #[error("protocol level {0} is not served")]
    UnsupportedLevel(u8),
}

async fn read_connect<S: AsyncRead + Unpin>(
    core: &Core,
    stream: &mut S,
    input: &mut BytesMut,
) -> Result<Connect, NoConnect> {
    loop {
        if let Some(frame) = codec::frame(input, core.config.connect_packet_bytes_max)? {
            let connect = connect::read(frame, input).map_err(|error| match error {
                ConnectError::UnsupportedLevel(level) => NoConnect::UnsupportedLevel(level),
                ConnectError::Decode(error) => NoConnect::Decode(error),
            })?;
            input.advance(frame.len);
            return Ok(connect);
        }
        codec::expect_connect(input)?;
        input.reserve(CONNECT_READ_BYTES);
        let read = stream.read_buf(input).await?;
        if read == 0 {
            return Err(NoConnect::Closed);
        }
        Counters::add(&core.counters.bytes_in, read as u64);
    }
}

async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(
    core: &Core,
    stream: S,
    protocol: Protocol,
    refusal: ConnectRefusal,
    address: SocketAddr,
    claimed: &Claimed,
) {
    core.counters.connect_refused(refusal);
    let Claimed {
        user_name, client_id, ..
    } = claimed;
    match core.refusals.note(address.ip(), Instant::now()) {
        Line::Write { left_out } => {
            tracing::warn!(%address, user_name, client_id, left_out, "connection refused: {}", refusal.words());
        }
        Line::NoMore => tracing::warn!(
            %address,
            "too many connections are refused: further ones are counted and not logged one by one"
        ),
        Line::LeaveOut => {}
    }
    let mut connack = BytesMut::new();
    connect::write_refused(&mut connack, protocol, refusal);
    if connack.len() > claimed.packet_bytes_max {
        return;
    }
    say(core, stream, &connack).await;
}

/// Tells an MQTT 5 client what is wrong with its CONNECT; 3.1.1 has no code for that (MQTT5 4.13.1).
async fn answer_broken<S: AsyncRead + AsyncWrite + Unpin>(core: &Core, stream: S, input: &[u8], error: DecodeError) {
    if let (Some(Protocol::V5), Some(code)) = (connect::protocol_of(input), error.cause().code_v5()) {
        let mut connack = BytesMut::new();
        connect::write_refused_v5(&mut connack, code);
        say(core, stream, &connack).await;
    }
}

/// The last word to a peer.
async fn say<S: AsyncRead + AsyncWrite + Unpin>(core: &Core, mut stream: S, connack: &[u8]) {
    let answer = async {
        stream.write_all(connack).await?;
        connection::close_gently(&mut stream).await
    };
    // The peer may be gone; it has been counted.
    drop(tokio::time::timeout(core.config.write_timeout, answer).await);
}

/// An accepted CONNECT.
struct Login {
    /// The CONNACK to begin with.
    connack: BytesMut,
    start: connection::Start,
}

async fn log_in(core: &Arc<Core>, peer: &Peer, connect: Connect) -> Result<Login, ConnectRefusal> {
    if connect.enhanced_authentication {
        return Err(ConnectRefusal::BadAuthenticationMethod);
    }
    let request = ConnectRequest {
        client_id: connect.client_id,
        user_name: connect.user_name,
        password: connect.password,
        peer: peer.address,
        tls: peer.tls,
        certificate_der: peer.certificate_der.clone(),
        protocol: connect.protocol,
    };
    let Admitted { identity, credential } = authenticate(core, &request).await?;
    let now = Instant::now();
    let quota = core.quotas.of(&identity, now).ok_or(ConnectRefusal::ServerBusy)?;
    if quota.take_login(now).is_err() {
        return Err(ConnectRefusal::ConnectionRateExceeded);
    }
    let connection = core.next_connection();
    let chosen = choose_client_id(
        core,
        &request.client_id,
        &identity,
        connect.protocol,
        connect.clean_start,
        connection,
    )?;
    let client = Arc::new(Client {
        identity,
        credential,
        client_id: chosen.client_id.as_str().into(),
        peer: peer.address,
        protocol: connect.protocol,
        connection,
    });
    let may_retain = core.gatekeeper.may_retain(&client);
    check_will(core, &client, connect.will.as_ref(), may_retain)?;
    let keep_alive = KeepAlive::new(connect.keep_alive_s, core.config.silence_max);
    let attach = Attach {
        protocol: connect.protocol,
        clean_start: connect.clean_start,
        session_expiry_s: connect.session_expiry_s,
        receive_maximum: connect.receive_maximum,
        packet_bytes_max: connect.packet_bytes_max,
        topic_alias_maximum: connect.topic_alias_maximum,
        will: connect.will,
    };
    let granted_s = granted_expiry(connect.session_expiry_s, core.config.session_expiry_max).as_secs();
    let granted_s = u32::try_from(granted_s).unwrap_or(u32::MAX);
    let mut accepted = Accepted {
        session_present: false,
        session_expiry_s: (granted_s != connect.session_expiry_s).then_some(granted_s),
        receive_maximum: core.config.receive_maximum.max(1),
        packet_bytes_max: u32::try_from(core.config.packet_bytes_max).unwrap_or(u32::MAX),
        assigned_client_id: chosen.assigned.then_some(&*client.client_id),
        topic_alias_maximum: core.config.topic_alias_maximum,
        server_keep_alive_s: keep_alive.server_keep_alive_s,
        retain_unavailable: !may_retain,
    };
    let mut connack = BytesMut::new();
    connect::write_accepted(&mut connack, connect.protocol, &accepted);
    // Nothing larger may be sent to it (MQTT-3.1.2-24); said before anybody's session is touched.
    if connack.len() > connect.packet_bytes_max.map_or(usize::MAX, |max| max as usize) {
        return Err(ConnectRefusal::MaximumPacketSizeTooSmall);
    }
    let attached = core.attach(&client, attach).await?;
    accepted.session_present = attached.session_present;
    connack.clear();
    connect::write_accepted(&mut connack, connect.protocol, &accepted);
    Ok(Login {
        connack,
        start: connection::Start {
            cell: attached.cell,
            client,
            quota,
            silence_max: keep_alive.silence_max,
        },
    })
}

/// Whether this client may leave such a will, if it leaves one.
fn check_will(core: &Core, client: &Client, will: Option<&Will>, may_retain: bool) -> Result<(), ConnectRefusal> {
    let Some(Will { publish: will, .. }) = will else {
        return Ok(());
    };
    if will.retain && !may_retain {
        return Err(ConnectRefusal::RetainNotSupported);
    }
    if !core.topics.is_name(&will.topic) {
        return Err(ConnectRefusal::TopicNameInvalid);
    }
    let gatekeeper = &core.gatekeeper;
    if !gatekeeper.authorize_will(client, &will.topic, will.qos, will.retain) {
        return Err(ConnectRefusal::NotAuthorized);
    }
    Ok(())
}

/// Asks the gatekeeper, in turn and in time.
async fn authenticate(core: &Core, request: &ConnectRequest) -> Result<Admitted, ConnectRefusal> {
    let ask = async {
        // The semaphore is never closed.
        let _turn = core
            .authentications
            .acquire()
            .await
            .map_err(|_| ConnectRefusal::ServerUnavailable)?;
        core.gatekeeper.authenticate(request).await
    };
    tokio::select! {
        answer = tokio::time::timeout(core.config.authenticate_timeout, ask) => {
            answer.unwrap_or(Err(ConnectRefusal::ServerUnavailable))
        }
        () = core.closing() => Err(ConnectRefusal::ServerUnavailable),
    }
}

struct ChosenId {
    client_id: String,
    assigned: bool,
}

/// The client id under the configured rule; an empty one is replaced, if there is no old session that it could mean
/// (MQTT-3.1.3-6, -7, -8).
fn choose_client_id(
    core: &Core,
    asked: &str,
    identity: &Identity,
    protocol: Protocol,
    clean_start: bool,
    connection: u64,
) -> Result<ChosenId, ConnectRefusal> {
    let rule = core.config.client_id_rule;
    if asked.is_empty() {
        if protocol == Protocol::V4 && !clean_start {
            return Err(ConnectRefusal::ClientIdentifierNotValid);
        }
        let client_id = match rule {
            ClientIdRule::OfIdentity => format!("{identity}~auto-{connection}"),
            ClientIdRule::Any => format!("auto-{connection}"),
        };
        return if client_id.len() <= CLIENT_ID_BYTES_MAX {
            Ok(ChosenId {
                client_id,
                assigned: true,
            })
        } else {
            Err(ConnectRefusal::ClientIdentifierNotValid)
        };
    }
    let is_allowed = match rule {
        ClientIdRule::Any => true,
        ClientIdRule::OfIdentity => match asked.strip_prefix(identity.as_str()) {
            Some("") => true,
            Some(suffix) => suffix.len() > 1 && suffix.starts_with('~'),
            None => false,
        },
    };
    if is_allowed && asked.len() <= CLIENT_ID_BYTES_MAX {
        Ok(ChosenId {
            client_id: asked.to_owned(),
            assigned: false,
        })
    } else {
        Err(ConnectRefusal::ClientIdentifierNotValid)
    }
}

/// How long a client may be silent (MQTT-3.1.2-24), and what an MQTT 5 client is told if that is less than it asked for;
/// 0 asks for any time (MQTT5 3.2.2.3.14).
struct KeepAlive {
    silence_max: Duration,
    server_keep_alive_s: Option<u16>,
}

impl KeepAlive {
    fn new(keep_alive_s: u16, silence_max: Duration) -> Self {
        let allowed = Duration::from_secs(keep_alive_s.into()) * 3 / 2;
        if keep_alive_s != 0 && allowed <= silence_max {
            return Self {
                silence_max: allowed,
                server_keep_alive_s: None,
            };
        }
        // At least 1: 0 would switch it off. Above what two bytes can say, 0 is as good as kept.
        let told = u16::try_from((silence_max * 2 / 3).as_secs()).ok();
        Self {
            silence_max,
            server_keep_alive_s: told.map(|s| s.max(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_outside_are_escaped_and_cut_for_the_log() {
        assert_eq!(printable("P01"), "P01");
        assert_eq!(printable("P1\n\u{1b}[2J"), "P1\\n\\u{1b}[2J");
        let long = printable(&"桩".repeat(500));
        assert_eq!((long.chars().count(), long.ends_with('…')), (65, true));
    }

    #[test]
    fn silence_is_bounded_by_the_shorter_of_keep_alive_and_maximum() {
        let max = Duration::from_secs(60);
        for (asked, silence_s, told) in [(0, 60, Some(40)), (10, 15, None), (40, 60, None), (41, 60, Some(40))] {
            let keep_alive = KeepAlive::new(asked, max);
            assert_eq!(
                (keep_alive.silence_max.as_secs(), keep_alive.server_keep_alive_s),
                (silence_s, told),
                "keep-alive {asked}"
            );
        }
    }
}
