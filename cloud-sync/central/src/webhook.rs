//! Webhooks: a POST of JSON to somebody else's server, signed as Standard Webhooks has it (standardwebhooks.com, specification of
//! 2023), so that whoever gets it knows from whom it is and whether it came before.

use crate::config::WebhookAddress;
use anyhow::{Context, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use domain::time::Wall;
use ring::hmac;
use rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer, pki_types::pem::PemObject};
use service::client::{Call, Client, Failed};
use std::{path::Path, sync::Arc, time::Duration};

/// How long whoever is told may take to answer.
const TIME_MAX: Duration = Duration::from_secs(30);
/// The longest answer that is read, in bytes: nothing of it counts but its status.
const ANSWER_MAX: usize = 64 * 1024;
/// What a secret begins with.
const SECRET_BEGINS: &str = "whsec_";
/// How long a secret is, in bytes.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// What messages are signed with.
#[derive(Clone)]
pub struct Secret(Arc<hmac::Key>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// Of its text: `whsec_` and 24 to 64 bytes in base64.
    ///
    /// # Errors
    /// It is something else, and how to make one.
    pub fn of_text(text: &str) -> anyhow::Result<Self> {
        let bytes = text
            .trim()
            .strip_prefix(SECRET_BEGINS)
            .and_then(|text| STANDARD.decode(text).ok());
        let bytes = bytes.filter(|bytes| SECRET_BYTES.contains(&bytes.len()));
        let bytes = bytes.context(
            "is no secret of a webhook: `whsec_` and 24 to 64 bytes in base64. Make one with: echo whsec_$(openssl rand -base64 32)",
        )?;
        Ok(Self(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &bytes))))
    }

    /// The header `webhook-signature` of a message.
    pub fn signature(&self, id: &str, timestamp_s: i64, body: &str) -> String {
        let tag = hmac::sign(&self.0, format!("{id}.{timestamp_s}.{body}").as_bytes());
        format!("v1,{}", STANDARD.encode(tag))
    }

    /// Whether one of the signatures of the header `webhook-signature` is of this secret.
    pub fn has_signed(&self, signatures: &str, id: &str, timestamp_s: i64, body: &[u8]) -> bool {
        let signed = [format!("{id}.{timestamp_s}.").as_bytes(), body].concat();
        let tags = signatures
            .split_ascii_whitespace()
            .filter_map(|one| one.strip_prefix("v1,"));
        let mut tags = tags.filter_map(|tag| STANDARD.decode(tag).ok());
        tags.any(|tag| hmac::verify(&self.0, &signed, &tag).is_ok())
    }

    /// Whether a signature, in hexadecimal digits, is of this secret over a body.
    pub fn has_signed_body(&self, signature: &str, body: &[u8]) -> bool {
        let digits = signature.as_bytes().chunks_exact(2);
        let is_whole = digits.remainder().is_empty();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        let tag: Option<Vec<u8>> = digits.map(byte).collect();
        is_whole && tag.is_some_and(|tag| hmac::verify(&self.0, body, &tag).is_ok())
    }
}

/// Why a message was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotTaken {
    /// In words.
    pub why: String,
    /// It will not be otherwise next time, as far as the server's answer or its address tells.
    pub for_good: bool,
}

impl NotTaken {
    fn later(why: impl Into<String>) -> Self {
        let (why, for_good) = (why.into(), false);
        Self { why, for_good }
    }

    fn never(why: impl Into<String>) -> Self {
        let (why, for_good) = (why.into(), true);
        Self { why, for_good }
    }

    /// What an answer with another status than 2xx means: a redirect is not followed, as nobody has said that head office may
    /// speak to whom it names, and 410 says that nothing is wanted any more.
    fn answered(status: u16) -> Self {
        match status {
            300..400 => Self::never(format!(
                "the server answered {status}, a redirect, which is not followed: give its address as it is"
            )),
            410 => Self::never("the server answered 410: it wants no more of them"),
            _ => Self::later(format!("the server answered {status}")),
        }
    }
}

/// Whom messages are sent to.
#[derive(Debug, Clone)]
pub struct Webhook {
    client: Client,
    path: String,
    secret: Secret,
}

impl Webhook {
    /// At this address, with the secret of this file; `believed` for HTTPS.
    ///
    /// # Errors
    /// The file cannot be read, or is no secret.
    pub fn open(address: &WebhookAddress, secret_file: &Path, believed: Arc<ClientConfig>) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(secret_file).with_context(|| secret_file.display().to_string())?;
        let secret = Secret::of_text(&text).with_context(|| secret_file.display().to_string())?;
        let client = match address {
            WebhookAddress::Plain { at, .. } => Client::at_address(*at),
            WebhookAddress::Https { host, port, .. } => Client::at_https(host.clone(), *port, believed),
        };
        let (WebhookAddress::Plain { path, .. } | WebhookAddress::Https { path, .. }) = address;
        Ok(Self {
            client: client.within(TIME_MAX).answers_up_to(ANSWER_MAX),
            path: path.clone(),
            secret,
        })
    }

    /// The same, where the server may take only so long to answer.
    #[must_use]
    pub fn within(mut self, time_max: Duration) -> Self {
        self.client = self.client.within(time_max);
        self
    }

    /// The same, where it is told nothing unless it is on the Internet.
    #[must_use]
    pub fn on_the_internet_alone(mut self) -> Self {
        self.client = self.client.on_the_internet_alone();
        self
    }

    /// Sends a message, which has this id at every try; it is taken where the answer is 2xx.
    ///
    /// # Errors
    /// [`NotTaken`].
    pub async fn send(&self, id: &str, body: &str, now: Wall) -> Result<(), NotTaken> {
        let timestamp_s = now.0.div_euclid(1_000);
        let signature = self.secret.signature(id, timestamp_s, body);
        let call = Call::new(axum::http::Method::POST, self.path.clone())
            .content("application/json", body.to_owned())
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp_s.to_string())
            .header("webhook-signature", signature);
        match self.client.ask(call).await {
            Ok(answer) if (200..300).contains(&answer.status) => Ok(()),
            Ok(answer) => Err(NotTaken::answered(answer.status)),
            Err(Failed::Unreachable { at, cause }) => Err(NotTaken::later(format!("{at} cannot be reached: {cause}"))),
            Err(Failed::Broken { at, cause }) => Err(NotTaken::later(format!("{at} did not answer: {cause}"))),
            Err(Failed::TooSlow { at, time_max }) => {
                Err(NotTaken::later(format!("{at} did not answer in {time_max:?}")))
            }
            Err(error @ Failed::Private { .. }) => Err(NotTaken::never(format!(
                "{error}: set `allow_private` if it belongs there"
            ))),
            Err(error) => Err(NotTaken::later(error.to_string())),
        }
    }
}

/// Whom head office believes when it speaks to others' servers: authorities that the machine believes, and one more where that
/// is given, PEM.
///
/// # Errors
/// The file cannot be read, or there is no authority at all.
pub fn believed(authority: Option<&Path>) -> anyhow::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    let (_, _unreadable) = roots.add_parsable_certificates(system.certs);
    if let Some(path) = authority {
        let of = || path.display().to_string();
        let pem = std::fs::read(path).with_context(of)?;
        let before = roots.len();
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            roots.add(certificate.with_context(of)?).with_context(of)?;
        }
        ensure!(roots.len() > before, "{}: there is no certificate in it", of());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_signed_as_standard_webhooks_has_it() {
        // The example of the specification's reference libraries.
        let secret = Secret::of_text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
        let signature = secret.signature("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        for wrong in [
            "",
            "whsec_",
            "whsec_!",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_c2hvcnQ=",
        ] {
            let error = Secret::of_text(wrong).unwrap_err().to_string();
            assert!(error.contains("openssl rand"), "{error}");
        }
    }
}
