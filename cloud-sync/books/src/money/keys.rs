//! Head office signs with another key (rule 11): it is announced to every site by a directive that the old one signs, and takes the
//! old one's place when every site has said that it counts there. Then the old one ends, a day after the last voucher that it
//! can have signed. It is done when a person asks, each time as far
//! as it can be; only that the old one has ended is said again by itself, to whoever could not be told.

use super::{Decided, Money, Refused, VOUCHER_MS_MAX};
use crate::store::{StoreError, at_sites, identity, sites};
use domain::{
    head_office::{Directive, HQ_KEYS_MAX, HqKey},
    ids::SiteId,
};
use protocol::key::PublicKey;

/// So much longer than a voucher the old key counts, in milliseconds: processes of head office may be that far behind each other.
const LATE_MS: i64 = 3_600_000;

/// Whether a site believes what the new key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Believes {
    /// Its journal says so.
    Yes,
    /// It was told, and has not said.
    Told,
    /// It cannot be told: its journal is not followed, and why.
    CannotBeTold(&'static str),
    /// A person has said that it is not waited for: its own configuration tells it.
    LeftOut,
}

impl Believes {
    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::Told => "told",
            Self::CannotBeTold(state) => state,
            Self::LeftOut => "left_out",
        }
    }
}

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// What head office signs with.
    pub key: PublicKey,
    /// What will take its place; none where it has.
    pub next: Option<PublicKey>,
    /// Every site that has come in, and may.
    pub sites: Vec<(SiteId, Believes)>,
}

impl Money<'_> {
    /// Announces a new key, if none is, to every site that was not told; and signs with it once every site believes it but those
    /// that are left out.
    ///
    /// # Errors
    /// [`Refused::UnknownSite`]: one that is left out; [`StoreError`].
    pub fn rotate_key(&mut self, left_out: &[SiteId]) -> Decided<Rotation> {
        for site in left_out {
            if sites::find(self.tx, site)?.is_none() {
                return Ok(Err(Refused::UnknownSite(site.clone())));
            }
        }
        self.end_keys()?;
        let next = identity::announced(self.tx)?.public();
        let mut believing = Vec::new();
        for site in sites::all(self.tx)? {
            // Whoever has not come in yet, or has to anew, is told of both when it does.
            let has_come_in = site.certificate.is_some() || site.epoch.is_some();
            if site.closed_at.is_some() || site.revoked_at.is_some() || !has_come_in {
                continue;
            }
            let believes = match left_out.contains(&site.id) {
                true => Believes::LeftOut,
                false => self.announce(&site.id, next.into())?,
            };
            believing.push((site.id, believes));
        }
        let is_ready = |of: &(SiteId, Believes)| matches!(of.1, Believes::Yes | Believes::LeftOut);
        if !believing.iter().all(is_ready) {
            return Ok(Ok(Rotation {
                key: identity::signs_with(self.tx)?.public(),
                next: Some(next),
                sites: believing,
            }));
        }
        identity::change_key(self.tx, self.now.after_ms(VOUCHER_MS_MAX + LATE_MS))?;
        self.end_keys()?;
        Ok(Ok(Rotation {
            key: next,
            next: None,
            sites: believing,
        }))
    }

    /// Tells sites which keys have ended, and again until their journals say so: one that stood still when it was said, or lives on
    /// a branch that knows nothing of it, would believe the old key for ever.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn end_keys(&mut self) -> Result<(), StoreError> {
        let ended = identity::ended_keys(self.tx)?;
        if ended.is_empty() {
            return Ok(());
        }
        let signs = HqKey::from(identity::signs_with(self.tx)?.public());
        for site in self.open_sites()? {
            let known = at_sites::head_offices_keys(self.tx, &site)?;
            // Where the key that signs stands in the configuration alone, that says which others count.
            if known.get(&signs) != Some(&None) {
                continue;
            }
            for &(key, ends) in &ended {
                let key = HqKey::from(key);
                let is_full = known.len() >= HQ_KEYS_MAX && !known.contains_key(&key);
                if is_full || known.get(&key).is_some_and(Option::is_some) {
                    continue;
                }
                let directive = Directive::Key { key, ends: Some(ends) };
                let last = self.last_told(&site, directive.kind(), &key.to_string())?;
                if last.as_ref() != Some(&directive) {
                    // One that is not followed since is told when it is.
                    let _told = self.direct(&site, &directive)?;
                }
            }
        }
        Ok(())
    }

    fn announce(&mut self, site: &SiteId, key: HqKey) -> Result<Believes, StoreError> {
        let known = at_sites::head_offices_keys(self.tx, site)?;
        if known.get(&key).is_some_and(Option::is_none) {
            return Ok(Believes::Yes);
        }
        let directive = Directive::Key { key, ends: None };
        if self.last_told(site, directive.kind(), &key.to_string())?.is_some() {
            return Ok(Believes::Told);
        }
        Ok(match self.direct(site, &directive)? {
            Ok(_) => Believes::Told,
            Err(Refused::NotFollowed { state, .. }) => Believes::CannotBeTold(state),
            Err(_) => Believes::CannotBeTold("gone"),
        })
    }
}
