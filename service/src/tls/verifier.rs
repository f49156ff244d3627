//! Which certificates of clients are believed: those of the authority, within their dates by the time that is known for
//! certain. Whether a certificate still speaks for its client is the daemon's to decide.

use super::{KnownTime, TrueTime, x509};
use domain::time::Wall;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    pki_types::{CertificateDer, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use std::{sync::Arc, time::Duration};

/// As the verifier inside, but by what is known of the time, and with words for the log.
#[derive(Debug)]
pub(super) struct ClientVerifier {
    pub(super) inner: Arc<dyn ClientCertVerifier>,
    pub(super) clock: Arc<dyn TrueTime>,
    /// What to do about a certificate that has expired.
    pub(super) renew_with: &'static str,
}

/// The time by which a certificate is judged (decision 0015). While the clock is not trusted it is only known what is
/// over: whether something has begun cannot be told, and is believed.
fn judged_at(known: KnownTime, not_before: Wall) -> Wall {
    match known {
        KnownTime::Is(wall) => wall,
        KnownTime::NotBefore(wall) => wall.max(not_before),
        KnownTime::Unknown => not_before,
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.inner.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let chain = std::iter::once(end_entity).chain(intermediates);
        let begun = chain.filter_map(|der| x509::dates(der)).map(|dates| dates.not_before);
        let at = judged_at(self.clock.known(), begun.max().unwrap_or(Wall(0)));
        let at_s = u64::try_from(at.0 / 1_000).unwrap_or(0);
        let unix = UnixTime::since_unix_epoch(Duration::from_secs(at_s));
        let verified = self.inner.verify_client_cert(end_entity, intermediates, unix);
        if let Err(error) = &verified {
            // Nothing of it is believed yet: it may say anything.
            let name = x509::common_name(end_entity).unwrap_or_default();
            let name: String = name.escape_debug().take(64).collect();
            tracing::warn!(
                name,
                "a client's certificate is refused: {}",
                words(error, end_entity, at, self.renew_with)
            );
        }
        verified
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

/// What is wrong with it, and what to do.
fn words(error: &Error, certificate: &CertificateDer<'_>, now: Wall, renew_with: &str) -> String {
    let dates = x509::dates(certificate);
    match (error, dates) {
        (
            Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }),
            Some(dates),
        ) => format!(
            "it expired at {}, and it is {now}; make it a new one with {renew_with}",
            dates.not_after
        ),
        (
            Error::InvalidCertificate(CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }),
            Some(dates),
        ) => format!(
            "it is not valid before {}, and it is {now}: which clock is wrong?",
            dates.not_before
        ),
        (Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature), _) => {
            "it was not issued by the authority that is believed here".to_owned()
        }
        (error, _) => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_not_trusted_proves_only_what_is_over() {
        let (begins, before, after) = (Wall(2_000), Wall(1_000), Wall(3_000));
        assert_eq!(judged_at(KnownTime::Is(before), begins), before, "not yet valid");
        assert_eq!(judged_at(KnownTime::NotBefore(before), begins), begins);
        assert_eq!(judged_at(KnownTime::NotBefore(after), begins), after, "perhaps expired");
        assert_eq!(judged_at(KnownTime::Unknown, begins), begins);
    }
}
