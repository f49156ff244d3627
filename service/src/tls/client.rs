//! TLS from a client's side: a key of its own that never leaves its machine, and whom it believes.

use super::{authority, x509};
use anyhow::{Context, ensure};
use domain::{journal::hex, time::Wall};
use rcgen::{KeyPair, PublicKeyData, SignatureAlgorithm};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};
use std::{sync::Arc, time::Duration};

/// A P-256 public key as a point that is not compressed (SEC 1 §2.3.3).
const POINT_LEN: usize = 65;

/// A client's own key.
pub struct ClientKey(KeyPair);

impl ClientKey {
    /// A new one.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn generate() -> anyhow::Result<Self> {
        Ok(Self(KeyPair::generate()?))
    }

    /// Reads one, PEM (PKCS #8).
    ///
    /// # Errors
    /// It is none.
    pub fn from_pem(pem: &str) -> anyhow::Result<Self> {
        Ok(Self(KeyPair::from_pem(pem)?))
    }

    /// PEM (PKCS #8).
    pub fn to_pem(&self) -> String {
        self.0.serialize_pem()
    }

    /// What an authority needs of it to issue a certificate.
    pub fn public(&self) -> ClientPublicKey {
        ClientPublicKey(self.0.public_key_raw().to_vec())
    }
}

/// What an authority needs of a client's key, in hexadecimal digits: a point of P-256.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientPublicKey(Vec<u8>);

impl ClientPublicKey {
    /// As it is sent.
    pub fn to_text(&self) -> String {
        hex(&self.0)
    }
}

impl std::str::FromStr for ClientPublicKey {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WANTED: &str =
            "a client's public key is a point of P-256 that is not compressed: 04 and 64 bytes, in hexadecimal digits";
        let digit = |place: usize| {
            text.get(place..place + 2)
                .and_then(|two| u8::from_str_radix(two, 16).ok())
        };
        let bytes: Option<Vec<u8>> = (0..text.len()).step_by(2).map(digit).collect();
        let point = |bytes: &Vec<u8>| bytes.len() == POINT_LEN && bytes[0] == 4 && text.len() == 2 * POINT_LEN;
        bytes.filter(point).map(Self).ok_or(WANTED)
    }
}

impl PublicKeyData for ClientPublicKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

/// The certificates that a client believes, PEM.
///
/// # Errors
/// There is none in it.
pub fn believed(authority_pem: &str) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authority_pem.as_bytes()) {
        roots.add(certificate.map_err(|error| anyhow::anyhow!("the authority's certificate: {error}"))?)?;
    }
    ensure!(!roots.is_empty(), "there is no certificate of an authority");
    Ok(roots)
}

/// How a client speaks that believes the certificates of these authorities, whatever its clock says, and shows this
/// certificate, PEM, with its key, PEM.
///
/// # Errors
/// One of them cannot be read, or they do not belong together.
pub fn client_config(authority_pem: &str, own: Option<(&str, &str)>) -> anyhow::Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = Arc::new(believed(authority_pem)?);
    let inner = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider)).build()?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(ServerVerifier { inner }));
    let Some((certificate, key)) = own else {
        return Ok(builder.with_no_client_auth());
    };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate.as_bytes()).collect();
    let chain = chain.map_err(|error| anyhow::anyhow!("the own certificate: {error}"))?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|error| anyhow::anyhow!("the own key: {error}"))?;
    builder
        .with_client_auth_cert(chain, key)
        .context("the own certificate and its key")
}

/// When a certificate, PEM, ends.
///
/// # Errors
/// It cannot be read.
pub fn end_of(certificate_pem: &str) -> anyhow::Result<Wall> {
    let der = CertificateDer::from_pem_slice(certificate_pem.as_bytes());
    let der = der.map_err(|error| anyhow::anyhow!("the certificate: {error}"))?;
    Ok(x509::dates(&der).context("the certificate has no dates")?.not_after)
}

/// As the verifier inside, but by a time that is within the certificate's own dates: the clock of a box that stands at a
/// station may be off by years, and it is the answers from behind this connection that put it right (decision 0032).
#[derive(Debug)]
struct ServerVerifier {
    inner: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let s = |wall: Wall| u64::try_from(wall.0 / 1_000).unwrap_or(0);
        let within = std::iter::once(end_entity)
            .chain(intermediates)
            .filter_map(|der| x509::dates(der))
            .fold(now.as_secs(), |at, dates| {
                at.max(s(dates.not_before)).min(s(dates.not_after))
            });
        let now = UnixTime::since_unix_epoch(Duration::from_secs(within));
        self.inner
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Writes a file with a secret in it, whole or not at all, for its owner alone.
///
/// # Errors
/// The system says no.
pub fn put_secret(path: &std::path::Path, text: &str) -> anyhow::Result<()> {
    authority::put(path, text, 0o600)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_key_is_a_point_and_nothing_else() {
        let key = ClientKey::generate().unwrap();
        let text = key.public().to_text();
        assert_eq!(text.parse(), Ok(key.public()));
        assert_eq!(ClientKey::from_pem(&key.to_pem()).unwrap().public(), key.public());
        for wrong in [
            "",
            "04",
            "äö",
            &text[2..],
            &format!("02{}", &text[2..]),
            &format!("{text}0"),
        ] {
            assert!(wrong.parse::<ClientPublicKey>().is_err(), "{wrong}");
        }
    }
}
