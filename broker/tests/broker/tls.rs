//! TLS: handshakes beside each other, client certificates, rotation without a restart.

use std::sync::Arc;
use std::time::Duration;

use broker::Config;
use rcgen::{BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::bench::{Bench, Connect, Heard, Raw, in_time};

struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self {
            issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap(),
        }
    }

    fn issue(&self, name: &str) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate: Certificate = params.signed_by(&key, &self.issuer).unwrap();
        (
            vec![certificate.der().clone()],
            PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        )
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        roots
    }

    fn server(&self) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(self.roots()), provider.clone())
            .allow_unauthenticated()
            .build()
            .unwrap();
        let (chain, key) = self.issue("server");
        let builder = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap();
        Arc::new(
            builder
                .with_client_cert_verifier(verifier)
                .with_single_cert(chain, key)
                .unwrap(),
        )
    }

    fn client(&self, name: Option<&str>) -> Arc<ClientConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots());
        Arc::new(match name {
            Some(name) => {
                let (chain, key) = self.issue(name);
                builder.with_client_auth_cert(chain, key).unwrap()
            }
            None => builder.with_no_client_auth(),
        })
    }
}

struct TlsBench {
    bench: Bench,
    address: std::net::SocketAddr,
    configs: watch::Sender<Arc<ServerConfig>>,
}

async fn tls_bench(authority: &Authority, config: Config) -> TlsBench {
    let bench = Bench::with(config).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (configs, receiver) = watch::channel(authority.server());
    tokio::spawn(bench.broker.serve_tls(listener, receiver));
    TlsBench {
        bench,
        address,
        configs,
    }
}

impl TlsBench {
    async fn try_connect(&self, config: Arc<ClientConfig>) -> std::io::Result<TlsStream<TcpStream>> {
        let socket = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        in_time("a TLS handshake", TlsConnector::from(config).connect(name, socket)).await
    }

    async fn log_in(&self, config: Arc<ClientConfig>, connect: &Connect<'_>) -> Raw<TlsStream<TcpStream>> {
        let mut raw = Raw::new(self.try_connect(config).await.unwrap());
        raw.send(&connect.bytes()).await;
        assert_eq!(raw.packet().await[3], 0);
        raw
    }
}

#[tokio::test]
async fn peers_that_are_silent_in_the_handshake_delay_nobody_and_are_closed() {
    let authority = Authority::new();
    let config = Config {
        // Enough for a handshake on any machine.
        tls_handshake_timeout: Duration::from_secs(4),
        ..Config::default()
    };
    let tls = tls_bench(&authority, config).await;
    let mut silent = Vec::new();
    for _ in 0..5 {
        silent.push(Raw::new(TcpStream::connect(tls.address).await.unwrap()));
    }
    let mut raw = tls.log_in(authority.client(None), &Connect::default()).await;
    raw.ping().await;
    for raw in &mut silent {
        raw.expect_closed().await;
    }
    assert_eq!(tls.bench.handle.stats().tls_failed, 5);
    raw.ping().await;
}

#[tokio::test]
async fn the_certificate_says_who_the_client_is() {
    let authority = Authority::new();
    let mut tls = tls_bench(&authority, Config::default()).await;
    let connect = Connect {
        client_id: "pile-7",
        password: "none",
        ..Connect::default()
    };
    let mut raw = tls.log_in(authority.client(Some("pile-7")), &connect).await;
    raw.ping().await;
    assert_eq!(tls.bench.heard().await, Heard::Connected("pile-7".into()));
    let stranger = Authority::new();
    let mut config = (*stranger.client(Some("pile-7"))).clone();
    config = {
        let (chain, key) = stranger.issue("pile-7");
        let provider = config.crypto_provider().clone();
        ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(authority.roots())
            .with_client_auth_cert(chain, key)
            .unwrap()
    };
    // In TLS 1.3 the client learns of the refusal with its first read.
    let refused = match tls.try_connect(Arc::new(config)).await {
        Ok(stream) => {
            let mut raw = Raw::new(stream);
            raw.next().await.is_none()
        }
        Err(_) => true,
    };
    assert!(refused);
    assert_eq!(tls.bench.handle.stats().connects_accepted, 1);
}

#[tokio::test]
async fn certificates_are_rotated_without_a_restart() {
    let (old, new) = (Authority::new(), Authority::new());
    let tls = tls_bench(&old, Config::default()).await;
    let mut before = tls.log_in(old.client(None), &Connect::default()).await;
    tls.configs.send(new.server()).unwrap();
    assert!(tls.try_connect(old.client(None)).await.is_err());
    let mut after = tls
        .log_in(
            new.client(None),
            &Connect {
                client_id: "P2",
                ..Connect::default()
            },
        )
        .await;
    before.ping().await;
    after.ping().await;
}

#[tokio::test]
async fn a_large_message_passes_through_tls_both_ways() {
    let authority = Authority::new();
    let mut tls = tls_bench(&authority, Config::default()).await;
    let mut raw = tls.log_in(authority.client(None), &Connect::default()).await;
    let large = "x".repeat(200_000);
    raw.send(&crate::bench::publish(4, 1, 1, "up/P1/x", &large)).await;
    assert_eq!(tls.bench.delivered().await.payload.len(), large.len());
    assert_eq!(raw.packet().await, b"\x40\x02\x00\x01");
    raw.subscribe(4, "down/P1/#", 1).await;
    tls.bench
        .handle
        .publish_to("P1", broker::Message::new("down/P1/x", large.clone()))
        .unwrap();
    assert_eq!(raw.packet().await, crate::bench::publish(4, 0, 0, "down/P1/x", &large));
}
