//! Listeners for callers who show tokens: TCP, and TLS over it. Everything is bounded: connections in all and by address,
//! handshakes, the size of a request's head and the time for it, and the time to finish when the daemon ends.

use super::{
    access::{LocalPeer, TcpPeer},
    becomes_true,
    problem::{PROBLEM_JSON, Problem},
    write_timeout::WriteTimeout,
};
use axum::{Router, extract::Request, http::StatusCode};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use limits::{InUse, Place, network_of};
use rustls::ServerConfig;
use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

/// The most connections over TCP, TLS or not, on one listener.
pub const TCP_CONNECTIONS_MAX: usize = 512;
/// How long the head of a request may take to arrive.
const HEAD_TIME_MAX: Duration = Duration::from_secs(10);
/// The largest head of a request, in bytes; so much is kept for each connection at most. A head that is larger is
/// answered 431.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;
/// How long a TLS handshake may take.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);
/// How long an answer may find nobody who reads it.
const UNREAD_TIME_MAX: Duration = Duration::from_secs(20);
/// How long requests get to finish when the daemon ends.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(4);
/// How long to wait after the system refused a connection, for want of file descriptors for instance.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// What all listeners of one API share.
#[derive(Clone)]
pub struct Api {
    router: Router,
    /// Whoever waits for something to happen is sent away when this is true.
    closing: Arc<watch::Sender<bool>>,
    counts: Arc<Counts>,
}

/// What listeners count.
#[derive(Debug, Default)]
pub struct Counts {
    /// TCP connections that were turned away because their address had too many.
    pub turned_away: AtomicU64,
    /// TLS handshakes that failed, or took too long.
    pub handshakes_failed: AtomicU64,
}

impl Api {
    /// An API whose handlers stop waiting when `closing` is true, and that counts into `counts`.
    pub fn new(router: Router, closing: Arc<watch::Sender<bool>>, counts: Arc<Counts>) -> Self {
        Self {
            router,
            closing,
            counts,
        }
    }
}

/// Serves the API on `listener` until `stopping` is true (or its sender is gone), then lets requests finish. One address
/// gets at most `per_address_max` connections at once. With `tls` callers speak HTTPS; a new configuration is for new
/// connections.
///
/// # Errors
/// None so far: a connection that fails ends alone.
pub async fn serve(
    listener: TcpListener,
    tls: Option<watch::Receiver<Arc<ServerConfig>>>,
    per_address_max: usize,
    api: Api,
    stopping: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let mut connections = Connections::new(&api, TCP_CONNECTIONS_MAX, stopping);
    let open = InUse::<IpAddr>::default();
    loop {
        let Some(permit) = connections.permit().await else {
            break;
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = connections.stopped() => break,
        };
        match accepted {
            Ok((stream, peer)) => match open.admit(network_of(peer.ip()), per_address_max) {
                Some(place) => {
                    let _best_effort = stream.set_nodelay(true);
                    let peer = Peer::Tcp(TcpPeer(peer.ip()));
                    let config = tls.as_ref().map(|configs| Arc::clone(&configs.borrow()));
                    connections.take_tcp(stream, config, peer, (permit, Some(place)));
                }
                None => {
                    api.counts.turned_away.fetch_add(1, Ordering::Relaxed);
                    if tls.is_none() {
                        turn_away(&stream, per_address_max);
                    }
                }
            },
            Err(error) => pause(&error).await,
        }
    }
    drop(listener);
    connections.drain(&api).await;
    Ok(())
}

/// Says why, as far as the system takes it at once, and closes.
fn turn_away(stream: &TcpStream, per_address_max: usize) {
    let detail = format!(
        "{per_address_max} connections from this address are open already; close some, or set `connections_per_address_max` under `[http]`"
    );
    let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_connections", detail);
    let body = serde_json::to_string(problem.details()).unwrap_or_default();
    let answer = format!(
        "HTTP/1.1 429 Too Many Requests\r\ncontent-type: {PROBLEM_JSON}\r\nretry-after: 5\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let _best_effort = stream.try_write(answer.as_bytes());
}

/// Waits a little after the system refused a connection.
pub(super) async fn pause(error: &std::io::Error) {
    tracing::warn!(%error, "a connection could not be accepted");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

/// Who is at the other end.
#[derive(Debug, Clone, Copy)]
pub(super) enum Peer {
    Tcp(TcpPeer),
    Local(LocalPeer),
}

/// What a connection holds until it ends: a place among all, and one of its address.
type Places = (OwnedSemaphorePermit, Option<Place<IpAddr>>);

/// The open connections of one listener.
pub(super) struct Connections {
    router: Router,
    counts: Arc<Counts>,
    room: Arc<Semaphore>,
    stopping: watch::Receiver<bool>,
    tasks: JoinSet<()>,
}

impl Connections {
    pub(super) fn new(api: &Api, most: usize, stopping: watch::Receiver<bool>) -> Self {
        Self {
            router: api.router.clone(),
            counts: Arc::clone(&api.counts),
            room: Arc::new(Semaphore::new(most)),
            stopping,
            tasks: JoinSet::new(),
        }
    }

    /// Room for one more connection; `None` when it is time to stop. While there is none, callers wait in the backlog.
    pub(super) async fn permit(&mut self) -> Option<OwnedSemaphorePermit> {
        while self.tasks.try_join_next().is_some() {}
        let room = Arc::clone(&self.room);
        tokio::select! {
            permit = room.acquire_owned() => permit.ok(),
            () = self.stopped() => None,
        }
    }

    pub(super) async fn stopped(&self) {
        becomes_true(&mut self.stopping.clone()).await;
    }

    fn take_tcp(&mut self, stream: TcpStream, tls: Option<Arc<ServerConfig>>, peer: Peer, places: Places) {
        let Some(config) = tls else {
            return self.take(stream, peer, places);
        };
        let (router, counts, stopping) = (self.router.clone(), Arc::clone(&self.counts), self.stopping.clone());
        self.tasks.spawn(async move {
            // In the connection's own task: one that says nothing holds up nobody.
            let handshake = TlsAcceptor::from(config).accept(stream);
            match tokio::time::timeout(HANDSHAKE_TIME_MAX, handshake).await {
                Ok(Ok(stream)) => serve_one(router, stream, peer, stopping).await,
                failed => {
                    counts.handshakes_failed.fetch_add(1, Ordering::Relaxed);
                    let why = failed.map_or_else(
                        |_| "it took too long".to_owned(),
                        |done| match done {
                            Ok(_) => String::new(),
                            Err(error) => error.to_string(),
                        },
                    );
                    tracing::debug!(why, "a TLS handshake over HTTP failed");
                }
            }
            drop(places);
        });
    }

    pub(super) fn take<S>(&mut self, stream: S, peer: Peer, places: Places)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (router, stopping) = (self.router.clone(), self.stopping.clone());
        self.tasks.spawn(async move {
            serve_one(router, stream, peer, stopping).await;
            drop(places);
        });
    }

    /// Lets what is under way finish, for a while.
    pub(super) async fn drain(mut self, api: &Api) {
        api.closing.send_replace(true);
        let all_done = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN_TIME_MAX, all_done).await.is_err() {
            tracing::warn!("some HTTP requests were cut off");
        }
    }
}

/// Serves one connection until it ends, or the daemon does.
async fn serve_one<S>(router: Router, stream: S, peer: Peer, mut stopping: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let inner = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        let extensions = request.extensions_mut();
        match peer {
            Peer::Tcp(peer) => {
                extensions.insert(peer);
            }
            Peer::Local(peer) => {
                extensions.insert(peer);
            }
        }
        hyper::service::Service::call(&inner, request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(WriteTimeout::new(stream, UNREAD_TIME_MAX)), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = becomes_true(&mut stopping) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an HTTP connection ended early");
    }
}
