//! How a site comes in for the first time, or with new keys (rule 11): a person lets it enrol and gets a file with a one-time
//! token, the program on the box shows that token over HTTPS with its own public key and the station's, and gets a certificate
//! for its connection, where head office's broker is, and what head office signs with.

use crate::store::{
    StoreError, Tx, enrolment,
    sites::{self, Site},
};
use domain::{ids::SiteId, time::Wall};
use protocol::enrolment::Request;
use service::{
    secret::{Secret, SecretHash},
    tls::{NotIssued, Tls, client::ClientPublicKey},
};

/// How long a token counts, in milliseconds: a box is taken to its station within a week.
pub const TOKEN_MS: i64 = 7 * 86_400_000;
/// How long a site's certificate is valid, in days.
pub const CERTIFICATE_DAYS: i64 = 1_095;

/// Why a site does not come in.
#[derive(Debug, thiserror::Error)]
pub enum NotEnrolled {
    /// Nobody gave out such a token, or a later one of the site counts.
    #[error("this token is not known: have a new one made with `holdfast-central site enrol SITE`")]
    UnknownToken,
    /// It was used by somebody else.
    #[error(
        "this token was used already, with other keys: if that was not this box, take the site's certificate back with \
         `holdfast-central site revoke SITE`; have a new token made with `holdfast-central site enrol SITE`"
    )]
    Used,
    /// It is too old.
    #[error("this token counted until {0}: have a new one made with `holdfast-central site enrol SITE`")]
    TooOld(Wall),
    /// The public key is none.
    #[error("agent_key: {0}")]
    BadKey(&'static str),
    /// No certificate can be made.
    #[error(transparent)]
    NotIssued(#[from] NotIssued),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Lets a site enrol; gives the token that is shown once.
///
/// # Errors
/// [`StoreError`].
pub fn invite(tx: &mut dyn Tx, site: &SiteId, now: Wall) -> Result<(Secret, Wall), StoreError> {
    let token = Secret::generate()
        .map_err(|error| StoreError::Unavailable(format!("the system gives no randomness: {error}")))?;
    let until = now.after_ms(TOKEN_MS);
    enrolment::offer(tx, site, &token.hash(), until)?;
    Ok((token, until))
}

/// Lets a site in that shows a token. The certificate before counts no more.
///
/// The same request again, where its answer was lost, gets another certificate for the same key.
///
/// # Errors
/// [`NotEnrolled`].
pub fn enrol(tx: &mut dyn Tx, tls: &Tls, request: &Request, now: Wall) -> Result<(Site, String), NotEnrolled> {
    let agent_key: ClientPublicKey = request.agent_key.parse().map_err(NotEnrolled::BadKey)?;
    let token = SecretHash::of(request.token.as_bytes());
    let offer = enrolment::find(tx, &token)?.ok_or(NotEnrolled::UnknownToken)?;
    let this = format!("{} {}", agent_key.to_text(), request.edge_key);
    if offer.used_for.as_ref().is_some_and(|used_for| *used_for != this) {
        return Err(NotEnrolled::Used);
    }
    if now > offer.until {
        return Err(NotEnrolled::TooOld(offer.until));
    }
    if offer.used_for.is_none() && !enrolment::use_up(tx, &token, &this)? {
        // Somebody else was quicker.
        return Err(NotEnrolled::Used);
    }
    let site = sites::find(tx, &offer.site)?.ok_or(NotEnrolled::UnknownToken)?;
    let certified = tls.certify(offer.site.as_str(), &agent_key, CERTIFICATE_DAYS)?;
    sites::re_enrol(tx, &offer.site, request.edge_key)?;
    let certificate = sites::Certificate {
        fingerprint: certified.fingerprint,
        until: certified.expires,
    };
    sites::let_in(tx, &offer.site, &certificate)?;
    Ok((site, certified.certificate))
}
