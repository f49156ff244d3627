//! What counts as a pile's, a display's or a caller's credential: secrets and tokens, kept as hashes, and certificates.
//! Every change is on disk before it counts.

use broker::Credential;
use domain::{
    correction::ANONYMOUS,
    ids::{DisplayId, PileId},
    time::Wall,
};
use serde::{Deserialize, Serialize};
use service::http::{
    access::{Caller, Lookup, Tokens},
    roles::Roles,
};
pub use service::secret::{Secret, SecretHash};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    future::ready,
    sync::{PoisonError, RwLock},
};

/// Set in what is admitted by a certificate, and not in what is admitted by a secret.
const BY_CERTIFICATE: u128 = 1;

/// What a client that shows the certificate of this fingerprint is admitted by.
pub(crate) fn by_certificate(fingerprint: &str) -> Credential {
    Credential(number_of(fingerprint) | BY_CERTIFICATE)
}

/// What a client that shows the secret is admitted by: a hash of the hash, since it may be logged.
fn by_secret_hash(hash: &SecretHash) -> Credential {
    Credential(number_of(hash.as_str()) & !BY_CERTIFICATE)
}

/// 128 bits by which a text is known again.
fn number_of(text: &str) -> u128 {
    let digest: [u8; 32] = Sha256::digest(text).into();
    let (first, _) = digest.split_at(16);
    first.iter().fold(0, |number, byte| (number << 8) | u128::from(*byte))
}

/// The role of callers on the socket of head office's line, and of no token.
pub const SYNC_ROLE: &str = "sync";

/// What a caller of the API may do. Each role includes the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Places and stops orders: a mini-program's back end, a kiosk.
    Station,
    /// Decides reviews and quarantine, refunds, tops up, takes payments: the desk.
    Service,
    /// Everything: piles, tariffs, tokens.
    Admin,
}

impl Role {
    const ALL: [Self; 4] = [Self::Viewer, Self::Station, Self::Service, Self::Admin];

    /// Its word, as in tokens and in the scopes of operations.
    pub fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Station => "station",
            Self::Service => "service",
            Self::Admin => "admin",
        }
    }

    /// The roles that come with it.
    pub fn grants(self) -> Roles {
        Roles::of(Self::ALL.into_iter().filter(|role| *role <= self).map(Self::word))
    }
}

/// A token as it is kept.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// A name for people and logs.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// What is kept of it.
    pub hash: SecretHash,
}

/// A certificate that the station has issued to a pile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuedCertificate {
    /// SHA-256 of its DER, hex.
    pub fingerprint: String,
    /// When it ends.
    pub expires: Wall,
}

/// Which of the certificates that were issued to a pile speak for it: the latest, and until that is used the one before
/// (decision 0015).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PileCertificates {
    /// The one that the pile came with last, or the only one.
    pub in_use: Option<IssuedCertificate>,
    /// Issued since, and not used yet.
    pub next: Option<IssuedCertificate>,
}

impl PileCertificates {
    /// After another one was issued; `revoke` those before count no more at once.
    pub(crate) fn issue(&mut self, issued: IssuedCertificate, revoke: bool) {
        if revoke || self.in_use.is_none() {
            (self.in_use, self.next) = (Some(issued), None);
        } else {
            self.next = Some(issued);
        }
    }

    /// After the pile came with this one: what was issued before it counts no more.
    pub(crate) fn come_with(&mut self, fingerprint: &str) {
        if self.next.as_ref().is_some_and(|next| next.fingerprint == fingerprint) {
            self.in_use = self.next.take();
        }
    }

    /// The one that will count longest.
    pub fn latest(&self) -> Option<&IssuedCertificate> {
        self.next.as_ref().or(self.in_use.as_ref())
    }
}

/// What a certificate that a pile comes with is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    /// It speaks for the pile.
    Yes,
    /// It does, for the first time: the one before counts no more from now on.
    FirstTime,
    /// It is none that the station issued to the pile last.
    No,
}

/// All secrets, in memory; every change is on disk before it counts.
#[derive(Default)]
pub struct Credentials {
    piles: RwLock<BTreeMap<PileId, SecretHash>>,
    certificates: RwLock<BTreeMap<PileId, PileCertificates>>,
    displays: RwLock<BTreeMap<DisplayId, SecretHash>>,
    tokens: RwLock<BTreeMap<String, Token>>,
}

/// Who may have come in by something that counts no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TakenBack {
    /// A pile.
    Pile(PileId),
    /// A display.
    Display(DisplayId),
}

/// A change to be committed with the facts it belongs to.
#[derive(Clone, PartialEq, Eq)]
pub enum CredentialChange {
    /// A pile has this secret now.
    SetPile(PileId, SecretHash),
    /// A pile has none, and no certificate either.
    RemovePile(PileId),
    /// A certificate was issued to a pile.
    IssueCertificate {
        /// To which.
        pile: PileId,
        /// The certificate.
        issued: IssuedCertificate,
        /// Those before count no more at once.
        revoke: bool,
    },
    /// A pile came with a new certificate: those before count no more.
    UseCertificate {
        /// Which pile.
        pile: PileId,
        /// The certificate's fingerprint.
        fingerprint: String,
    },
    /// A display has this secret.
    SetDisplay(DisplayId, SecretHash),
    /// A display has none.
    RemoveDisplay(DisplayId),
    /// A token was made.
    SetToken(Token),
    /// A token was taken back.
    RemoveToken(String),
}

impl CredentialChange {
    /// Who may have come in by something that counts no more after this.
    pub(crate) fn takes_back(&self) -> Option<TakenBack> {
        match self {
            Self::SetPile(pile, _)
            | Self::RemovePile(pile)
            | Self::UseCertificate { pile, .. }
            | Self::IssueCertificate { pile, revoke: true, .. } => Some(TakenBack::Pile(pile.clone())),
            Self::SetDisplay(display, _) | Self::RemoveDisplay(display) => Some(TakenBack::Display(display.clone())),
            Self::IssueCertificate { .. } | Self::SetToken(_) | Self::RemoveToken(_) => None,
        }
    }
}

impl Credentials {
    /// As stored.
    pub fn new(
        piles: BTreeMap<PileId, SecretHash>,
        certificates: BTreeMap<PileId, PileCertificates>,
        displays: BTreeMap<DisplayId, SecretHash>,
        tokens: BTreeMap<String, Token>,
    ) -> Self {
        Self {
            piles: RwLock::new(piles),
            certificates: RwLock::new(certificates),
            displays: RwLock::new(displays),
            tokens: RwLock::new(tokens),
        }
    }

    /// Whether a pile is let in at all: every pile has a secret, and a removed one has none.
    pub fn knows_pile(&self, pile: &PileId) -> bool {
        let piles = self.piles.read().unwrap_or_else(PoisonError::into_inner);
        piles.contains_key(pile)
    }

    /// Whether a certificate that was verified speaks for this pile.
    pub fn certificate_speaks(&self, pile: &PileId, fingerprint: &str) -> Speaks {
        let known = self.certificates.read().unwrap_or_else(PoisonError::into_inner);
        let Some(PileCertificates { in_use, next }) = known.get(pile) else {
            return Speaks::No;
        };
        let is = |known: &Option<IssuedCertificate>| known.as_ref().is_some_and(|k| k.fingerprint == fingerprint);
        match (is(in_use), is(next)) {
            (true, _) => Speaks::Yes,
            (false, true) => Speaks::FirstTime,
            (false, false) => Speaks::No,
        }
    }

    /// When the latest certificate that was issued to a pile ends.
    pub fn certificate_expires(&self, pile: &PileId) -> Option<Wall> {
        let known = self.certificates.read().unwrap_or_else(PoisonError::into_inner);
        Some(known.get(pile)?.latest()?.expires)
    }

    /// How many piles have a certificate, their latest, that ends before this.
    pub fn certificates_ending_before(&self, at: Wall) -> usize {
        let known = self.certificates.read().unwrap_or_else(PoisonError::into_inner);
        let ends = |known: &PileCertificates| known.latest().is_some_and(|latest| latest.expires < at);
        known.values().filter(|known| ends(known)).count()
    }

    /// Whether `secret` is this pile's.
    pub fn pile_matches(&self, pile: &PileId, secret: &[u8]) -> bool {
        self.by_secret(pile, secret).is_some()
    }

    /// What a client that shows this secret is admitted by, if it is the pile's.
    pub fn by_secret(&self, pile: &PileId, secret: &[u8]) -> Option<Credential> {
        let piles = self.piles.read().unwrap_or_else(PoisonError::into_inner);
        let hash = piles.get(pile).filter(|hash| hash.matches(secret))?;
        Some(by_secret_hash(hash))
    }

    /// Whether a client of this pile that was admitted by `credential` still is; `any_certificate` of a pile that is known
    /// counts where another authority says which do.
    pub fn counts(&self, pile: &PileId, credential: Credential, any_certificate: bool) -> bool {
        let piles = self.piles.read().unwrap_or_else(PoisonError::into_inner);
        let Some(hash) = piles.get(pile) else { return false };
        if credential.0 & BY_CERTIFICATE == 0 {
            return by_secret_hash(hash) == credential;
        }
        let certificates = self.certificates.read().unwrap_or_else(PoisonError::into_inner);
        // The next one speaks only once its first use is on disk, and is then the one in use.
        let in_use = certificates.get(pile).and_then(|known| known.in_use.as_ref());
        any_certificate || in_use.is_some_and(|known| by_certificate(&known.fingerprint) == credential)
    }

    /// All displays, by id.
    pub fn displays(&self) -> Vec<DisplayId> {
        let displays = self.displays.read().unwrap_or_else(PoisonError::into_inner);
        displays.keys().cloned().collect()
    }

    /// What a client that shows this secret is admitted by, if it is the display's.
    pub fn by_display_secret(&self, display: &DisplayId, secret: &[u8]) -> Option<Credential> {
        let displays = self.displays.read().unwrap_or_else(PoisonError::into_inner);
        let hash = displays.get(display).filter(|hash| hash.matches(secret))?;
        Some(by_secret_hash(hash))
    }

    /// Whether a client of this display that was admitted by `credential` still is.
    pub fn display_counts(&self, display: &DisplayId, credential: Credential) -> bool {
        let displays = self.displays.read().unwrap_or_else(PoisonError::into_inner);
        displays
            .get(display)
            .is_some_and(|hash| by_secret_hash(hash) == credential)
    }

    /// All tokens' names and roles.
    pub fn tokens(&self) -> Vec<(String, Role)> {
        let tokens = self.tokens.read().unwrap_or_else(PoisonError::into_inner);
        tokens.values().map(|token| (token.name.clone(), token.role)).collect()
    }

    /// Makes a committed change count.
    pub fn apply(&self, change: CredentialChange) {
        let mut piles = self.piles.write().unwrap_or_else(PoisonError::into_inner);
        let mut certificates = self.certificates.write().unwrap_or_else(PoisonError::into_inner);
        let mut displays = self.displays.write().unwrap_or_else(PoisonError::into_inner);
        let mut tokens = self.tokens.write().unwrap_or_else(PoisonError::into_inner);
        match change {
            CredentialChange::SetPile(pile, hash) => {
                piles.insert(pile, hash);
            }
            CredentialChange::RemovePile(pile) => {
                piles.remove(&pile);
                certificates.remove(&pile);
            }
            CredentialChange::IssueCertificate { pile, issued, revoke } => {
                certificates.entry(pile).or_default().issue(issued, revoke);
            }
            CredentialChange::UseCertificate { pile, fingerprint } => {
                if let Some(known) = certificates.get_mut(&pile) {
                    known.come_with(&fingerprint);
                }
            }
            CredentialChange::SetDisplay(display, hash) => {
                displays.insert(display, hash);
            }
            CredentialChange::RemoveDisplay(display) => {
                displays.remove(&display);
            }
            CredentialChange::SetToken(token) => {
                tokens.insert(token.name.clone(), token);
            }
            CredentialChange::RemoveToken(name) => {
                tokens.remove(&name);
            }
        }
    }
}

impl Credentials {
    fn known(&self, presented: &str) -> Option<Caller> {
        let tokens = self.tokens.read().unwrap_or_else(PoisonError::into_inner);
        let presented = SecretHash::of(presented.as_bytes());
        let found = tokens.values().find(|token| token.hash.is(&presented))?;
        Some(Caller {
            name: found.name.clone(),
            roles: found.role.grants(),
            local: false,
            token: Some(presented),
        })
    }

    fn has_token(&self, token: &SecretHash) -> bool {
        let tokens = self.tokens.read().unwrap_or_else(PoisonError::into_inner);
        tokens.values().any(|known| known.hash.is(token))
    }
}

/// All of them are in memory.
impl Tokens for Credentials {
    fn caller<'a>(&'a self, presented: &'a str) -> Lookup<'a, Option<Caller>> {
        Box::pin(ready(Ok(self.known(presented))))
    }

    fn counts<'a>(&'a self, token: &'a SecretHash) -> Lookup<'a, bool> {
        Box::pin(ready(Ok(self.has_token(token))))
    }

    /// Whoever may open the socket is an administrator.
    fn local_caller(&self, uid: Option<u32>) -> Caller {
        let uid = uid.map_or_else(|| "unknown".to_owned(), |uid| uid.to_string());
        Caller {
            name: format!("{ANONYMOUS}{uid}"),
            roles: Role::Admin.grants(),
            local: true,
            token: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_certificate_takes_the_place_of_the_one_before_when_it_is_used() {
        let pile = PileId::new("P1").unwrap();
        let credentials = Credentials::default();
        let issue = |name: &str, revoke| {
            credentials.apply(CredentialChange::IssueCertificate {
                pile: pile.clone(),
                issued: IssuedCertificate {
                    fingerprint: name.to_owned(),
                    expires: Wall(1),
                },
                revoke,
            });
        };
        let come_with = |name: &str| {
            let fingerprint = name.to_owned();
            let pile = pile.clone();
            credentials.apply(CredentialChange::UseCertificate { pile, fingerprint });
        };
        let speak = |names: [&str; 3]| names.map(|name| credentials.certificate_speaks(&pile, name));
        assert_eq!(speak(["a", "b", "c"]), [Speaks::No; 3]);
        issue("a", false);
        issue("b", false);
        assert_eq!(speak(["a", "b", "c"]), [Speaks::Yes, Speaks::FirstTime, Speaks::No]);
        issue("c", false);
        assert_eq!(
            speak(["a", "b", "c"]),
            [Speaks::Yes, Speaks::No, Speaks::FirstTime],
            "one that was never used is forgotten"
        );
        come_with("a");
        assert_eq!(speak(["a", "b", "c"]), [Speaks::Yes, Speaks::No, Speaks::FirstTime]);
        come_with("c");
        assert_eq!(speak(["a", "b", "c"]), [Speaks::No, Speaks::No, Speaks::Yes]);
        issue("b", true);
        assert_eq!(speak(["a", "b", "c"]), [Speaks::No, Speaks::Yes, Speaks::No]);
        credentials.apply(CredentialChange::RemovePile(pile.clone()));
        assert_eq!(speak(["a", "b", "c"]), [Speaks::No; 3]);
    }

    #[test]
    fn a_removed_pile_has_no_secret() {
        let secret = Secret::generate().unwrap();
        let credentials = Credentials::default();
        let pile = PileId::new("P1").unwrap();
        assert!(!credentials.pile_matches(&pile, b""));
        credentials.apply(CredentialChange::SetPile(pile.clone(), secret.hash()));
        assert!(credentials.pile_matches(&pile, secret.reveal().as_bytes()));
        credentials.apply(CredentialChange::RemovePile(pile.clone()));
        assert!(!credentials.pile_matches(&pile, secret.reveal().as_bytes()));
    }

    #[test]
    fn a_display_that_was_made_again_is_not_the_one_before() {
        let credentials = Credentials::default();
        let board = DisplayId::new("board").unwrap();
        let make = |secret: &Secret| credentials.apply(CredentialChange::SetDisplay(board.clone(), secret.hash()));
        let (first, second) = (Secret::generate().unwrap(), Secret::generate().unwrap());
        make(&first);
        // A pile of the same name is another.
        let pile = PileId::new("board").unwrap();
        assert!(!credentials.pile_matches(&pile, first.reveal().as_bytes()));
        let came_by = credentials
            .by_display_secret(&board, first.reveal().as_bytes())
            .unwrap();
        assert!(credentials.display_counts(&board, came_by));
        let removed = CredentialChange::RemoveDisplay(board.clone());
        assert_eq!(removed.takes_back(), Some(TakenBack::Display(board.clone())));
        credentials.apply(removed);
        assert!(!credentials.display_counts(&board, came_by));
        make(&second);
        assert!(!credentials.display_counts(&board, came_by), "by the secret of before");
        assert_eq!(credentials.by_display_secret(&board, first.reveal().as_bytes()), None);
    }

    #[test]
    fn each_role_grants_those_below_it() {
        let words = |role: Role| role.grants().words().collect::<Vec<_>>();
        assert_eq!(words(Role::Viewer), ["viewer"]);
        assert_eq!(words(Role::Service), ["service", "station", "viewer"]);
        assert!(words(Role::Admin).contains(&"admin"));
        for role in Role::ALL {
            assert_eq!(serde_json::to_value(role).unwrap(), role.word());
        }
    }

    #[test]
    fn a_token_made_again_under_the_same_name_is_another() {
        let credentials = Credentials::default();
        let make = |secret: &Secret| {
            credentials.apply(CredentialChange::SetToken(Token {
                name: "kiosk".to_owned(),
                role: Role::Viewer,
                hash: secret.hash(),
            }));
        };
        let (first, second) = (Secret::generate().unwrap(), Secret::generate().unwrap());
        make(&first);
        let caller = credentials.known(first.reveal()).unwrap();
        let token = caller.token.unwrap();
        assert!(credentials.has_token(&token));
        credentials.apply(CredentialChange::RemoveToken("kiosk".to_owned()));
        make(&second);
        assert!(!credentials.has_token(&token) && credentials.known(first.reveal()).is_none());
    }
}
