//! What people do with sites: add one, invite it, take it back; and what sites do that come in.

use crate::{
    desk::{Clock, Office},
    enrol::{self, NotEnrolled},
    store::{Db, StoreError, enrolment, sites},
};
use domain::ids::SiteId;
use protocol::enrolment::{Enrolled, Invitation, Request};
use service::tls::Tls;
use std::sync::Arc;
use tokio::sync::Notify;

/// What sites are told of head office.
#[derive(Debug, Clone)]
pub struct Told {
    /// Where its HTTPS is: host and port.
    pub https: String,
    /// Where its broker is: host and port.
    pub broker: String,
    /// Whether that is spoken to without TLS.
    pub plain: bool,
    /// The authority of the broker's certificate, PEM.
    pub broker_authority: String,
    /// The authority of the certificate that HTTPS shows, PEM.
    pub https_authority: String,
}

/// Where sites are looked after.
#[derive(Clone)]
pub struct Sites {
    /// Head office.
    pub office: Arc<Office>,
    /// Its clock.
    pub clock: Arc<dyn Clock>,
    /// Its database.
    pub db: Db,
    /// By whose authority sites are let in.
    pub tls: Arc<Tls>,
    /// What sites are told.
    pub told: Arc<Told>,
    /// Rung when sites are to be looked at anew.
    pub look: Arc<Notify>,
}

/// Why something was not done with a site.
#[derive(Debug, thiserror::Error)]
pub enum NotDone {
    /// There is none.
    #[error("there is no site {0}; `holdfast-central site list` shows those that there are")]
    Unknown(SiteId),
    /// There is one.
    #[error("there is a site {0} already; to let it in anew, use `holdfast-central site enrol {0}`")]
    Exists(SiteId),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Sites {
    /// Adds a site, whose journal is followed from its beginning once it has enrolled.
    ///
    /// # Errors
    /// [`NotDone`].
    pub async fn add(&self, site: SiteId, name: String) -> Result<(), NotDone> {
        let of = site.clone();
        let added = self.db.write(move |tx| {
            if sites::find(tx, &of)?.is_some() {
                return Ok(false);
            }
            sites::add(tx, &of, &name, &[]).map(|()| true)
        });
        match added.await {
            Ok(true) => Ok(self.look.notify_one()),
            // Of two that add it at once the second finds the first.
            Ok(false) | Err(StoreError::Constraint(_)) => Err(NotDone::Exists(site)),
            Err(error) => Err(error.into()),
        }
    }

    /// Lets a site enrol, once. What counted before goes on counting until it has.
    ///
    /// # Errors
    /// [`NotDone`].
    pub async fn invite(&self, site: SiteId) -> Result<Invitation, NotDone> {
        let (of, now) = (site.clone(), self.clock.wall());
        let made = self.db.write(move |tx| {
            if sites::find(tx, &of)?.is_none() {
                return Ok(None);
            }
            enrol::invite(tx, &of, now).map(Some)
        });
        let Some((token, until)) = made.await? else {
            return Err(NotDone::Unknown(site));
        };
        Ok(Invitation {
            site,
            at: self.told.https.clone(),
            authority: self.told.https_authority.clone(),
            token: token.reveal().to_owned(),
            until,
        })
    }

    /// A site may not come in any more, until it enrols again. What it has said is kept.
    ///
    /// # Errors
    /// [`NotDone`].
    pub async fn revoke(&self, site: SiteId) -> Result<(), NotDone> {
        let (of, now) = (site.clone(), self.clock.wall());
        let revoked = self.db.write(move |tx| {
            enrolment::withdraw(tx, &of)?;
            sites::revoke(tx, &of, now)
        });
        match revoked.await? {
            true => Ok(self.look.notify_one()),
            false => Err(NotDone::Unknown(site)),
        }
    }

    /// A site comes in with its invitation.
    ///
    /// # Errors
    /// [`NotEnrolled`].
    pub async fn enrol(&self, request: Request) -> Result<Enrolled, NotEnrolled> {
        let (tls, now) = (Arc::clone(&self.tls), self.clock.wall());
        let done = self.db.write(move |tx| match enrol::enrol(tx, &tls, &request, now) {
            // Only the database's own troubles take back what was done: there is nothing to take back with the others.
            Err(NotEnrolled::Store(error)) => Err(error),
            done => Ok(done),
        });
        let (site, certificate) = done.await??;
        self.look.notify_one();
        tracing::info!(site = %site.id, "site has enrolled; the certificate before counts no more");
        Ok(Enrolled {
            site: site.id,
            number: site.number,
            broker: self.told.broker.clone(),
            plain: self.told.plain,
            authority: self.told.broker_authority.clone(),
            certificate,
            public_keys: vec![self.office.key.public()],
        })
    }
}
