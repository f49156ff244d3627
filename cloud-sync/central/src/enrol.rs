//! How a site comes in for the first time, or with new keys (rule 11): a person invites it and gets a file with a one-time
//! token, the program on the box shows that token over HTTPS with its own public key and the station's, and gets a certificate
//! for its connection, where head office's broker is, and what head office signs with.

use crate::{
    bell::Bell,
    enrolments::Enrolments,
    store::{
        StoreError, Tx,
        enrolment::{self, Enrolment},
        identity,
        sites::{self, Site},
    },
};
use domain::{ids::SiteId, time::Wall};
use protocol::enrolment::{Enrolled, Invitation, Request};
use service::{
    secret::{Secret, SecretHash},
    tls::{NotIssued, Tls, client::ClientPublicKey},
};
use std::sync::Arc;

/// How long a token counts, in milliseconds: a box is taken to its station within a week.
pub const TOKEN_MS: i64 = 7 * 86_400_000;
/// How long a site's certificate is valid, in days.
pub const CERTIFICATE_DAYS: i64 = 1_095;

/// What sites are told of head office.
#[derive(Debug, Clone)]
pub struct Told {
    /// Where its HTTPS is: host and port.
    pub https: String,
    /// Where its broker is: host and port of each of its nodes; at least one.
    pub brokers: Vec<String>,
    /// Whether that is spoken to without TLS.
    pub plain: bool,
    /// The authority of the broker's certificate, PEM.
    pub broker_authority: String,
    /// The authority of the certificate that HTTPS shows, PEM.
    pub https_authority: String,
}

/// Where sites come in.
#[derive(Debug)]
pub struct Entrance {
    /// By whose authority.
    pub tls: Arc<Tls>,
    /// What they are told.
    pub told: Told,
    /// Rung when it has changed who may come in.
    pub bell: Bell,
    /// The name of this process, which has sites.
    pub process: String,
    /// Who has come in, beside the database.
    pub enrolments: Enrolments,
}

/// What a token opens.
#[derive(Debug)]
pub struct Opened {
    agent_key: ClientPublicKey,
    token: SecretHash,
    offer: Enrolment,
    /// What the token is used up for: who may show it again.
    this: String,
}

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
    /// It counts for longer than any is given out for.
    #[error(
        "this token was made by a clock that was off: it would count until {0}. Have a new one made with `holdfast-central site enrol \
         SITE`"
    )]
    TooNew(Wall),
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

impl Entrance {
    /// Invites a site; the token in it is shown this once. What counted before goes on counting until the site has come in.
    /// None: there is no such site.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn invite(&self, tx: &mut dyn Tx, site: &SiteId, now: Wall) -> Result<Option<Invitation>, StoreError> {
        if sites::find(tx, site)?.is_none() {
            return Ok(None);
        }
        let token = Secret::generate()
            .map_err(|error| StoreError::Unavailable(format!("the system gives no randomness: {error}")))?;
        let until = now.after_ms(TOKEN_MS);
        enrolment::offer(tx, site, &token.hash(), until)?;
        Ok(Some(Invitation {
            site: site.clone(),
            at: self.told.https.clone(),
            authority: self.told.https_authority.clone(),
            token: token.reveal().to_owned(),
            until,
        }))
    }

    /// What a token opens for whoever shows it, if it counts for them. Nothing is changed.
    ///
    /// # Errors
    /// [`NotEnrolled`].
    pub fn opens(tx: &mut dyn Tx, request: &Request, now: Wall) -> Result<Opened, NotEnrolled> {
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
        if offer.until > now.after_ms(2 * TOKEN_MS) {
            return Err(NotEnrolled::TooNew(offer.until));
        }
        Ok(Opened {
            agent_key,
            token,
            offer,
            this,
        })
    }

    /// Lets a site in that shows a token. The certificate before counts no more.
    ///
    /// The same request again, where its answer was lost, gets another certificate for the same key.
    ///
    /// # Errors
    /// [`NotEnrolled`].
    pub fn enrol(&self, tx: &mut dyn Tx, request: &Request, now: Wall) -> Result<Enrolled, NotEnrolled> {
        let Opened {
            agent_key,
            token,
            offer,
            this,
        } = Self::opens(tx, request, now)?;
        if offer.used_for.is_none() && !enrolment::use_up(tx, &token, &this)? {
            // Somebody else was quicker.
            return Err(NotEnrolled::Used);
        }
        let Site { number, .. } = sites::find(tx, &offer.site)?.ok_or(NotEnrolled::UnknownToken)?;
        let certified = self.tls.certify(offer.site.as_str(), &agent_key, CERTIFICATE_DAYS)?;
        let certificate = sites::Certificate {
            fingerprint: certified.fingerprint,
            until: certified.expires,
        };
        sites::re_enrol(tx, &offer.site, request.edge_key)?;
        sites::let_in(tx, &offer.site, &certificate)?;
        Ok(Enrolled {
            site: offer.site,
            number,
            brokers: self.told.brokers.clone(),
            plain: self.told.plain,
            authority: self.told.broker_authority.clone(),
            certificate: certified.certificate,
            public_keys: identity::public_keys(tx)?,
        })
    }
}

/// A site may not come in any more, until it enrols again. Whether there is such a site.
///
/// # Errors
/// [`StoreError`].
pub fn revoke(tx: &mut dyn Tx, site: &SiteId, now: Wall) -> Result<bool, StoreError> {
    enrolment::withdraw(tx, site)?;
    sites::revoke(tx, site, now)
}
