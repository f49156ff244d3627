//! Everything the station listens on, bound before anything is served.

use crate::{config::Config, credentials::SYNC_ROLE};
use anyhow::Context;
use service::http::unix::{UnixSocket, bind_unix};
use std::{fmt, net::SocketAddr, path::PathBuf};
use tokio::net::{TcpListener, TcpSocket};

/// How many connections may wait to be accepted: a station full of piles comes back at once after a power cut.
const BACKLOG: u32 = 4_096;
/// How much the kernel keeps for a connection that does not read; it counts twice as much, with its own bookkeeping.
const SEND_BUFFER_BYTES: u32 = 128 * 1_024;

/// Where a running daemon listens; useful where the configuration asked for port 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listening {
    /// MQTT without TLS.
    pub mqtt: Vec<SocketAddr>,
    /// MQTT over TLS.
    pub mqtt_tls: Option<SocketAddr>,
    /// HTTP.
    pub http: Option<SocketAddr>,
    /// HTTPS.
    pub https: Option<SocketAddr>,
    /// The Unix socket of the command line.
    pub socket: PathBuf,
    /// The Unix socket of the line to head office.
    pub sync_socket: Option<PathBuf>,
}

impl fmt::Display for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for address in &self.mqtt {
            write!(f, "MQTT on {address}, ")?;
        }
        if let Some(address) = self.mqtt_tls {
            write!(f, "MQTT over TLS on {address}, ")?;
        }
        if let Some(address) = self.http {
            write!(f, "HTTP on {address}, ")?;
        }
        if let Some(address) = self.https {
            write!(f, "HTTPS on {address}, ")?;
        }
        if let Some(path) = &self.sync_socket {
            write!(f, "head office's line on {}, ", path.display())?;
        }
        write!(f, "command line on {}", self.socket.display())
    }
}

/// Everything the station listens on, bound but not served yet.
pub(super) struct Doors {
    pub(super) mqtt: Vec<TcpListener>,
    pub(super) mqtt_tls: Option<TcpListener>,
    pub(super) http: Option<TcpListener>,
    pub(super) https: Option<TcpListener>,
    pub(super) socket: UnixSocket,
    pub(super) sync_socket: Option<UnixSocket>,
}

impl Doors {
    pub(super) async fn open(config: &Config) -> anyhow::Result<Self> {
        let mut mqtt = Vec::new();
        for address in &config.mqtt.listen {
            mqtt.push(bind(*address, "mqtt.listen")?);
        }
        let optional = |address: Option<SocketAddr>, key| address.map(|address| bind(address, key)).transpose();
        let mqtt_tls = optional(config.mqtt.tls_listen, "mqtt.tls.listen")?;
        let http = optional(config.http.listen, "http.listen")?;
        let https = optional(config.http.tls_listen, "http.tls.listen")?;
        // The last, as they leave files behind.
        let sync_socket = match &config.sync_socket {
            Some(path) => {
                let bound = bind_unix(path).await;
                let bound = bound.context("the socket of head office's line (sync_socket in the configuration)")?;
                Some(bound.only_for(SYNC_ROLE))
            }
            None => None,
        };
        let socket = bind_unix(&config.socket)
            .await
            .context("the command line's socket (socket in the configuration)")?;
        Ok(Self {
            mqtt,
            mqtt_tls,
            http,
            https,
            socket,
            sync_socket,
        })
    }

    pub(super) fn listening(&self) -> anyhow::Result<Listening> {
        Ok(Listening {
            mqtt: self
                .mqtt
                .iter()
                .map(TcpListener::local_addr)
                .collect::<Result<_, _>>()?,
            mqtt_tls: self.mqtt_tls.as_ref().map(TcpListener::local_addr).transpose()?,
            http: self.http.as_ref().map(TcpListener::local_addr).transpose()?,
            https: self.https.as_ref().map(TcpListener::local_addr).transpose()?,
            socket: self.socket.path().to_owned(),
            sync_socket: self.sync_socket.as_ref().map(|socket| socket.path().to_owned()),
        })
    }
}

/// What to say of listeners that a person opened to the network without TLS.
pub fn plain_beyond_loopback(config: &Config) -> Vec<String> {
    let beyond = config.mqtt.listen.iter().filter(|address| !address.ip().is_loopback());
    let words = |address| {
        format!(
            "piles log in on {address} without TLS: whoever is on that network can read their secrets \
             (plain_beyond_loopback in the configuration)"
        )
    };
    beyond.map(words).collect()
}

fn bind(address: SocketAddr, key: &str) -> anyhow::Result<TcpListener> {
    let listen = || {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()
        } else {
            TcpSocket::new_v6()
        }?;
        socket.set_reuseaddr(true)?;
        // Connections have it from the listener. Left alone, the kernel lets megabytes wait for one that does not read.
        socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listen().with_context(|| format!("cannot listen on {address} ({key} in the configuration)"))
}
