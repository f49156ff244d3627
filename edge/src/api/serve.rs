//! Listeners: TCP, where callers show tokens, and the Unix socket, where the file's permissions decide.
//! Everything is bounded: connections, the time for a request's head, the time to finish when the daemon ends.

use super::{
    ApiState,
    access::{LocalPeer, TcpPeer},
    limit::{OpenConnections, Place},
    patience::Patience,
    problem::{PROBLEM_JSON, Problem},
    router,
};
use anyhow::{Context, bail};
use axum::{Router, extract::Request, http::StatusCode};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{
    io::ErrorKind,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::{Semaphore, watch},
    task::JoinSet,
};

/// The most connections over TCP.
pub const TCP_CONNECTIONS_MAX: usize = 512;
/// The most connections on the Unix socket.
pub const UNIX_CONNECTIONS_MAX: usize = 64;
/// How long the head of a request may take to arrive.
const HEAD_TIME_MAX: Duration = Duration::from_secs(10);
/// How long an answer may find nobody who reads it.
const UNREAD_TIME_MAX: Duration = Duration::from_secs(20);
/// How long requests get to finish when the daemon ends.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(4);
/// How long to wait after the system refused a connection, for want of file descriptors for instance.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Serves the API on `listener` until `stopping` is true (or its sender is gone), then lets requests finish. One address
/// gets at most `per_address_max` connections at once.
///
/// # Errors
/// None so far: a connection that fails ends alone.
pub async fn serve(
    listener: TcpListener,
    per_address_max: usize,
    state: ApiState,
    stopping: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let mut connections = Connections::new(&state, TCP_CONNECTIONS_MAX, stopping);
    let open = OpenConnections::default();
    loop {
        let Some(permit) = connections.permit().await else {
            break;
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = connections.stopped() => break,
        };
        match accepted {
            Ok((stream, peer)) => match open.admit(peer.ip(), per_address_max) {
                Some(place) => {
                    let _best_effort = stream.set_nodelay(true);
                    connections.take(stream, Peer::Tcp(TcpPeer(peer.ip())), (permit, Some(place)));
                }
                None => {
                    state.turned_away.fetch_add(1, Ordering::Relaxed);
                    turn_away(&stream, per_address_max);
                }
            },
            Err(error) => pause(&error).await,
        }
    }
    drop(listener);
    connections.drain(&state).await;
    Ok(())
}

/// A Unix socket that listens. Callers wait until it is served.
#[derive(Debug)]
pub struct UnixSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl UnixSocket {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Serves the API on a Unix socket, as [`serve`] does, and removes it at the end. Whoever may open the file is an
/// administrator.
///
/// # Errors
/// None so far: a connection that fails ends alone.
pub async fn serve_unix(socket: UnixSocket, state: ApiState, stopping: watch::Receiver<bool>) -> anyhow::Result<()> {
    let UnixSocket { listener, path } = socket;
    let mut connections = Connections::new(&state, UNIX_CONNECTIONS_MAX, stopping);
    loop {
        let Some(permit) = connections.permit().await else {
            break;
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = connections.stopped() => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let uid = stream.peer_cred().ok().map(|credentials| credentials.uid());
                connections.take(stream, Peer::Local(LocalPeer { uid }), (permit, None));
            }
            Err(error) => pause(&error).await,
        }
    }
    drop(listener);
    let _already_gone = std::fs::remove_file(&path);
    connections.drain(&state).await;
    Ok(())
}

/// Listens on a Unix socket at `path`. It appears there with its permissions (0660) set, or not at all; a file left
/// behind by a daemon that is gone is replaced.
///
/// # Errors
/// If another process answers on the socket, or something else than a socket is there, or it cannot be made.
pub async fn bind_unix(path: &Path) -> anyhow::Result<UnixSocket> {
    match UnixStream::connect(path).await {
        Ok(_) => bail!(
            "another process answers on {}: a running daemon? Stop it first, or set another `socket`",
            path.display()
        ),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {}
        Err(error) => {
            return Err(error).with_context(|| format!("cannot tell whether {} is in use", path.display()));
        }
    }
    let is_other = std::fs::symlink_metadata(path)
        .is_ok_and(|found| !std::os::unix::fs::FileTypeExt::is_socket(&found.file_type()));
    if is_other {
        bail!("{} is there and is not a socket; set another `socket`", path.display());
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    let _left_behind = std::fs::remove_file(&new);
    let listener = UnixListener::bind(&new).with_context(|| format!("cannot listen on {}", new.display()))?;
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o660))
        .with_context(|| format!("cannot set the permissions of {}", new.display()))?;
    std::fs::rename(&new, path).with_context(|| format!("cannot put the socket at {}", path.display()))?;
    Ok(UnixSocket {
        listener,
        path: path.to_owned(),
    })
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

async fn pause(error: &std::io::Error) {
    tracing::warn!(%error, "a connection could not be accepted");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

type Permit = tokio::sync::OwnedSemaphorePermit;

/// Who is at the other end.
#[derive(Debug, Clone, Copy)]
enum Peer {
    Tcp(TcpPeer),
    Local(LocalPeer),
}

/// The open connections of one listener.
struct Connections {
    router: Router,
    room: Arc<Semaphore>,
    stopping: watch::Receiver<bool>,
    tasks: JoinSet<()>,
}

impl Connections {
    fn new(state: &ApiState, most: usize, stopping: watch::Receiver<bool>) -> Self {
        Self {
            router: router(state.clone()),
            room: Arc::new(Semaphore::new(most)),
            stopping,
            tasks: JoinSet::new(),
        }
    }

    /// Room for one more connection; `None` when it is time to stop. While there is none, callers wait in the backlog.
    async fn permit(&mut self) -> Option<Permit> {
        while self.tasks.try_join_next().is_some() {}
        let room = Arc::clone(&self.room);
        tokio::select! {
            permit = room.acquire_owned() => permit.ok(),
            () = self.stopped() => None,
        }
    }

    async fn stopped(&self) {
        super::becomes_true(&mut self.stopping.clone()).await;
    }

    fn take<S>(&mut self, stream: S, peer: Peer, places: (Permit, Option<Place>))
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let inner = TowerToHyperService::new(self.router.clone());
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
        let mut stopping = self.stopping.clone();
        self.tasks.spawn(async move {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIME_MAX)
                .serve_connection(TokioIo::new(Patience::new(stream, UNREAD_TIME_MAX)), service)
                .with_upgrades();
            let mut connection = std::pin::pin!(connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = super::becomes_true(&mut stopping) => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "an HTTP connection ended early");
            }
            drop(places);
        });
    }

    /// Lets what is under way finish, for a while.
    async fn drain(mut self, state: &ApiState) {
        state.close();
        let all_done = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN_TIME_MAX, all_done).await.is_err() {
            tracing::warn!("some HTTP requests were cut off");
        }
    }
}
