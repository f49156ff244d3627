//! Whom a client of TLS believes, by an authority of its own, whatever its clock shows: a handshake in memory.

#![allow(clippy::unwrap_used, reason = "what a test cannot go on without fails it")]

use rcgen::KeyPair;
use rustls::{
    ClientConfig, Error,
    pki_types::{PrivateKeyDer, ServerName, UnixTime},
};
use service::tls::client::{believed, client_config};
use std::{sync::Arc, time::Duration};

/// Shows one time for ever, in seconds since 1970.
#[derive(Debug)]
struct Shows(u64);

impl rustls::time_provider::TimeProvider for Shows {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0)))
    }
}

/// An authority's certificate, PEM, and how a server speaks that has one of its for `localhost`, of some days of 2026.
fn authority(name: &str) -> (String, Arc<rustls::ServerConfig>) {
    let (of_authority, of_server) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let dated = |names: Vec<String>| {
        let mut parameters = rcgen::CertificateParams::new(names).unwrap();
        parameters.not_before = rcgen::date_time_ymd(2026, 3, 1);
        parameters.not_after = rcgen::date_time_ymd(2026, 3, 11);
        parameters
    };
    let mut parameters = dated(Vec::new());
    parameters.distinguished_name.push(rcgen::DnType::CommonName, name);
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let own = parameters.self_signed(&of_authority).unwrap().pem();
    let issuer = rcgen::Issuer::new(parameters, of_authority);
    let certificate = dated(vec!["localhost".to_owned()])
        .signed_by(&of_server, &issuer)
        .unwrap();
    let key = PrivateKeyDer::try_from(of_server.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    (own, Arc::new(server))
}

/// A handshake in memory: whether the client believes this server under this name.
fn meet(client: ClientConfig, name: &str, server: &Arc<rustls::ServerConfig>) -> Result<(), Error> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = rustls::ClientConnection::new(Arc::new(client), name).unwrap();
    let mut server = rustls::ServerConnection::new(Arc::clone(server)).unwrap();
    while client.is_handshaking() {
        let mut sent = Vec::new();
        client.write_tls(&mut sent).unwrap();
        server.read_tls(&mut sent.as_slice()).unwrap();
        server.process_new_packets()?;
        let mut answered = Vec::new();
        server.write_tls(&mut answered).unwrap();
        client.read_tls(&mut answered.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    Ok(())
}

/// The clock of a box at a station may be off by years (decision 0032).
#[test]
fn whom_a_client_believes_hangs_on_authority_and_name_and_not_on_its_clock() {
    let ((own, server), (strange, _)) = (authority("own"), authority("strange"));
    let of = |authority: &str, at: u64| {
        let mut config = client_config(authority, None).unwrap();
        config.time_provider = Arc::new(Shows(at));
        config
    };
    // 1970, 2001, within, a second after its end, 2100, 2200.
    for at in [
        0,
        978_307_200,
        1_772_668_800,
        1_773_187_201,
        4_102_444_800,
        7_258_118_400,
    ] {
        assert_eq!(
            meet(of(&own, at), "localhost", &server),
            Ok(()),
            "its clock shows {at} s"
        );
        let unknown = Err(Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer));
        assert_eq!(meet(of(&strange, at), "localhost", &server), unknown, "{at}");
        let other_name = meet(of(&own, at), "head.office", &server).unwrap_err().to_string();
        assert!(other_name.contains("not valid for"), "{at}: {other_name}");
    }
    // Whoever goes by the clock does not believe it.
    let plain = |at: u64| {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(believed(&own).unwrap())
            .with_no_client_auth();
        config.time_provider = Arc::new(Shows(at));
        meet(config, "localhost", &server)
    };
    assert_eq!(plain(1_772_668_800), Ok(()));
    assert!(plain(978_307_200).is_err() && plain(4_102_444_800).is_err());
}
