//! Accept loops for plain TCP and TLS. The loop itself only accepts: handshakes and logins have tasks of their own.
//! A peer that says nothing therefore delays nobody.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::core::Core;
use crate::front::login::{self, Peer};
use crate::stats::Counters;

pub(crate) type TlsConfigs = watch::Receiver<Arc<rustls::ServerConfig>>;

/// Pause after accept has failed, for instance for want of file descriptors: those come back when connections end.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Time for a client above the caps to say CONNECT and to hear that it cannot come in.
const TURN_AWAY: Duration = Duration::from_secs(2);

pub(crate) async fn serve(core: Arc<Core>, listener: TcpListener, tls: Option<TlsConfigs>) {
    let closing = core.closing();
    tokio::pin!(closing);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut closing => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, address)) => admit(&core, socket, address, tls.as_ref()),
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

fn admit(core: &Arc<Core>, socket: TcpStream, address: SocketAddr, tls: Option<&TlsConfigs>) {
    Counters::one(&core.counters.sockets_accepted);
    let Some(place) = core.admission.admit(address.ip()) else {
        Counters::one(&core.counters.sockets_over_cap);
        turn_away(core, socket, address, tls);
        return;
    };
    // Acknowledgements are small and waited for. Failing to set it costs time, nothing else.
    drop(socket.set_nodelay(true));
    let core = core.clone();
    match tls {
        None => {
            tokio::spawn(async move {
                login::run(
                    core,
                    socket,
                    Peer {
                        address,
                        tls: false,
                        certificate_der: None,
                    },
                )
                .await;
                drop(place);
            });
        }
        Some(configs) => {
            let config = configs.borrow().clone();
            tokio::spawn(async move {
                let greeted = Box::pin(handshake(&core, socket, address, config)).await;
                if let Some((stream, peer)) = greeted {
                    login::run(core, stream, peer).await;
                }
                drop(place);
            });
        }
    }
}

/// Answers a CONNECT above the caps, if there is a place to do so: a client that is told comes back later, and its
/// maker sees why.
fn turn_away(core: &Arc<Core>, socket: TcpStream, address: SocketAddr, tls: Option<&TlsConfigs>) {
    let Some(place) = core.admission.turn_away() else {
        tracing::debug!(%address, "closed: too many connections");
        return;
    };
    let config = tls.map(|configs| configs.borrow().clone());
    let core = core.clone();
    tokio::spawn(async move {
        let answer = async {
            match config {
                None => login::turn_away(&core, socket, address).await,
                Some(config) => {
                    if let Some((stream, _)) = handshake(&core, socket, address, config).await {
                        login::turn_away(&core, stream, address).await;
                    }
                }
            }
        };
        drop(tokio::time::timeout(TURN_AWAY, answer).await);
        drop(place);
    });
}

async fn handshake(
    core: &Core,
    socket: TcpStream,
    address: SocketAddr,
    config: Arc<rustls::ServerConfig>,
) -> Option<(TlsStream<TcpStream>, Peer)> {
    let handshake = TlsAcceptor::from(config).accept(socket);
    let outcome = tokio::select! {
        outcome = tokio::time::timeout(core.config.tls_handshake_timeout, handshake) => outcome,
        () = core.closing() => return None,
    };
    let why = match outcome {
        Ok(Ok(stream)) => {
            let certificates = stream.get_ref().1.peer_certificates();
            let certificate_der = certificates.and_then(|chain| chain.first()).map(|der| der.to_vec());
            return Some((
                stream,
                Peer {
                    address,
                    tls: true,
                    certificate_der,
                },
            ));
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => "time-out".to_owned(),
    };
    Counters::one(&core.counters.tls_failed);
    tracing::debug!(%address, why, "TLS handshake failed");
    None
}
