//! TLS of a daemon: the certificate that it shows, and the authority whose certificates it believes. Either half comes from
//! files of the operator's or from an authority of the daemon's own, and changes without a restart (decision 0015).

mod authority;
pub mod client;
mod names;
mod verifier;
mod x509;

pub use authority::{fingerprint, put};
pub use x509::common_name;

use anyhow::{Context, bail, ensure};
use authority::{Authority, DAY_MS, ENDS, Issued};
use client::ClientPublicKey;
use domain::{station_clock::EARLIEST, time::Wall};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{NoServerSessionStorage, WebPkiClientVerifier},
};
use std::{
    fmt,
    io::Read,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;
use verifier::ClientVerifier;

/// What is known of the true time, whatever a wall clock shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KnownTime {
    /// The wall clock is trusted, and shows this.
    Is(Wall),
    /// It is not; but it was, and so much time has passed since, or more.
    NotBefore(Wall),
    /// It never was.
    Unknown,
}

/// Where the time comes from by which certificates are judged and issued.
pub trait TrueTime: fmt::Debug + Send + Sync {
    /// What the wall clock shows.
    fn wall(&self) -> Wall;
    /// What is known.
    fn known(&self) -> KnownTime;
}

/// What a daemon's TLS is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The table of the configuration that says so, for what is to be said about it: `mqtt.tls`.
    pub table: &'static str,
    /// How a client gets a new certificate, for what is to be said about one that has expired.
    pub renew_with: &'static str,
    /// Names and addresses besides this machine's own, for the certificate that the daemon makes itself.
    pub names: Vec<String>,
    /// A certificate of somebody else's making; the daemon makes one itself if not given.
    pub own: Option<CertificateFiles>,
    /// The authority whose certificates clients show, PEM; the daemon's own if not given.
    pub client_ca: Option<PathBuf>,
}

/// A certificate of somebody else's making.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate chain, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub private_key: PathBuf,
}

/// How long a certificate is valid that the daemon issues to itself, in days.
const STATION_DAYS: i64 = 365;
/// How long before its end the daemon makes itself a new one, in days.
const RENEW_DAYS: i64 = 60;
/// How long before its end a certificate is warned about, in milliseconds.
pub const WARN_MS: i64 = 30 * DAY_MS;
/// The largest file that is read as a certificate or key, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What TLS on a daemon's listeners is made of, as it stands.
pub struct Tls {
    given: Config,
    clock: Arc<dyn TrueTime>,
    /// Where either half is of the daemon's own making.
    authority: Option<Authority>,
    in_use: Mutex<InUse>,
    with_clients: watch::Sender<Arc<ServerConfig>>,
    https: watch::Sender<Arc<ServerConfig>>,
}

struct InUse {
    files: Files,
    /// The certificate that the daemon made itself, and for which names.
    issued: Option<(Issued, Vec<String>)>,
    expires: Wall,
    /// Files that cannot be used, and why; each is told once.
    refused: Option<(Option<Files>, String)>,
    /// The day on which it was last warned that the certificate ends.
    warned_day: i64,
}

/// The operator's files, to the byte.
#[derive(Clone, PartialEq, Eq)]
struct Files {
    /// Certificate chain and key.
    own: Option<(Vec<u8>, Vec<u8>)>,
    client_ca: Option<Vec<u8>>,
}

/// How TLS stands, for whoever looks at the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsState {
    /// When the certificate ends that is shown.
    pub expires: Wall,
    /// It ends soon, and nobody renews it by itself.
    pub expires_soon: bool,
    /// Why new files are not used; the ones before them are.
    pub problem: Option<String>,
}

/// A certificate for a client, with its key: shown once.
pub struct ClientCertificate {
    /// The certificate, PEM.
    pub certificate: String,
    /// Its private key, PEM (PKCS #8).
    pub private_key: String,
    /// SHA-256 of the certificate (DER), hex.
    pub fingerprint: String,
    /// When it ends.
    pub expires: Wall,
}

/// A certificate for a client whose key is its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certified {
    /// The certificate, PEM.
    pub certificate: String,
    /// SHA-256 of the certificate (DER), hex.
    pub fingerprint: String,
    /// When it ends.
    pub expires: Wall,
}

/// Why no certificate is issued to a client.
#[derive(Debug, thiserror::Error)]
pub enum NotIssued {
    /// Somebody else issues them.
    #[error("certificates come from the authority in `{0}.client_ca` of the configuration; none is issued here")]
    OtherAuthority(&'static str),
    /// It would have expired when the clock is put right.
    #[error("the clock here says {0}: set it first, or the certificate would be over before it is used")]
    ClockNotSet(Wall),
    /// It could not be made.
    #[error("the certificate could not be made: {0:#}")]
    Failed(anyhow::Error),
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("given", &self.given)
            .finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files that are given, and the authority of this name in `folder` for what is not; makes that at need.
    ///
    /// # Errors
    /// What cannot be used, and what to do about it.
    pub fn open(given: &Config, folder: &Path, name: &str, clock: Arc<dyn TrueTime>) -> anyhow::Result<Self> {
        let authority = if given.own.is_some() && given.client_ca.is_some() {
            None
        } else {
            Some(Authority::open(folder, name)?)
        };
        let files = Files::read(given)?;
        let issued = match (&files.own, &authority) {
            (None, Some(authority)) => {
                let names = names::of_this_machine(&given.names);
                let issued = authority.issue_to_server(&names, ends(issuing_at(&*clock), STATION_DAYS));
                Some((issued.context("the own certificate")?, names))
            }
            _ => None,
        };
        let (configs, expires) = build(
            given,
            &files,
            issued.as_ref().map(|(issued, _)| issued),
            authority.as_ref(),
            &clock,
        )?;
        Ok(Self {
            given: given.clone(),
            clock,
            authority,
            in_use: Mutex::new(InUse {
                files,
                issued,
                expires,
                refused: None,
                warned_day: 0,
            }),
            with_clients: watch::Sender::new(configs.with_clients),
            https: watch::Sender::new(configs.https),
        })
    }

    /// What new connections are served with whose clients may show a certificate.
    pub fn configs(&self) -> watch::Receiver<Arc<ServerConfig>> {
        self.with_clients.subscribe()
    }

    /// What new HTTPS connections are served with.
    pub fn https_configs(&self) -> watch::Receiver<Arc<ServerConfig>> {
        self.https.subscribe()
    }

    fn serve_with(&self, configs: Configs) {
        self.with_clients.send_replace(configs.with_clients);
        self.https.send_replace(configs.https);
    }

    /// Whether any certificate of the authority speaks for the client it names, and not only the one that was issued to it
    /// here: so it is with an authority of somebody else's.
    pub fn believes_any_certificate(&self) -> bool {
        self.given.client_ca.is_some()
    }

    /// Whether the own authority was made just now: no certificate that was issued before is one of it.
    pub fn authority_is_new(&self) -> bool {
        self.authority.as_ref().is_some_and(|authority| authority.is_new)
    }

    /// The certificate of the own authority, PEM, where the daemon shows a certificate of its own making: what a client
    /// needs to know the daemon by.
    pub fn authority_pem(&self) -> Option<&str> {
        let authority = self.authority.as_ref().filter(|_| self.given.own.is_none());
        authority.map(|authority| authority.pem.as_str())
    }

    /// Looks whether the files have changed or the own certificate is to be renewed, and serves new connections
    /// accordingly. Blocks for as long as files do.
    pub fn look(&self) {
        let mut in_use = self.lock();
        self.follow_files(&mut in_use);
        self.renew(&mut in_use);
        self.warn_of_the_end(&mut in_use);
    }

    fn follow_files(&self, in_use: &mut InUse) {
        let read = Files::read(&self.given);
        if read.as_ref().is_ok_and(|files| *files == in_use.files) {
            if in_use.refused.take().is_some() {
                tracing::info!("the TLS files are again those that are in use");
            }
            return;
        }
        let files = read.as_ref().ok().cloned();
        if let (Some(files), Some((Some(refused), _))) = (&files, &in_use.refused)
            && files == refused
        {
            return;
        }
        let built = read.and_then(|files| {
            let issued = in_use.issued.as_ref().map(|(issued, _)| issued);
            let (configs, expires) = build(&self.given, &files, issued, self.authority.as_ref(), &self.clock)?;
            Ok((files, configs, expires))
        });
        match built {
            Ok((files, configs, expires)) => {
                tracing::info!("new TLS files are in use; the certificate is valid until {expires}");
                (in_use.files, in_use.expires, in_use.refused) = (files, expires, None);
                in_use.warned_day = 0;
                self.serve_with(configs);
            }
            Err(error) => {
                let why = format!("{error:#}");
                if in_use.refused.as_ref().is_none_or(|(_, told)| *told != why) {
                    tracing::warn!("new TLS files cannot be used, the ones before them stay in use: {why}");
                }
                in_use.refused = Some((files, why));
            }
        }
    }

    /// The own certificate, before its end or when the machine's names and addresses have changed.
    fn renew(&self, in_use: &mut InUse) {
        let (Some((issued, names)), Some(authority)) = (&in_use.issued, &self.authority) else {
            return;
        };
        let now = issuing_at(&*self.clock);
        let (new_names, new_end) = (names::of_this_machine(&self.given.names), ends(now, STATION_DAYS));
        let is_due = issued.not_after.ms_since(now) < RENEW_DAYS * DAY_MS && new_end > issued.not_after;
        if !is_due && new_names == *names {
            return;
        }
        let renewed = authority.issue_to_server(&new_names, new_end).and_then(|issued| {
            let (configs, expires) = build(&self.given, &in_use.files, Some(&issued), Some(authority), &self.clock)?;
            Ok((issued, configs, expires))
        });
        match renewed {
            Ok((issued, configs, expires)) => {
                tracing::info!(
                    "there is a new certificate of the own authority, for {}, until {expires}",
                    new_names.join(" ")
                );
                (in_use.issued, in_use.expires) = (Some((issued, new_names)), expires);
                self.serve_with(configs);
            }
            Err(error) => tracing::warn!("the own certificate cannot be renewed: {error:#}"),
        }
    }

    fn warn_of_the_end(&self, in_use: &mut InUse) {
        let now = issuing_at(&*self.clock);
        let day = now.0 / DAY_MS;
        if ends_soon(in_use.expires, now) && in_use.warned_day != day {
            in_use.warned_day = day;
            tracing::warn!("{}", words_of_the_end(in_use.expires, now));
        }
    }

    /// Makes a certificate with which the client of this name shows who it is, for so many days.
    ///
    /// # Errors
    /// [`NotIssued`].
    pub fn issue_to_client(&self, name: &str, days: i64) -> Result<ClientCertificate, NotIssued> {
        let (authority, not_after) = self.issuing(days)?;
        let issued = authority.issue_to_client(name, not_after).map_err(NotIssued::Failed)?;
        Ok(ClientCertificate {
            fingerprint: fingerprint(&issued.der),
            certificate: issued.pem,
            private_key: issued.key_pem,
            expires: issued.not_after,
        })
    }

    /// Makes a certificate with which the client of this name shows who it is, for a key that it keeps to itself.
    ///
    /// # Errors
    /// [`NotIssued`].
    pub fn certify(&self, name: &str, key: &ClientPublicKey, days: i64) -> Result<Certified, NotIssued> {
        let (authority, not_after) = self.issuing(days)?;
        let issued = authority.certify(name, key, not_after).map_err(NotIssued::Failed)?;
        Ok(Certified {
            fingerprint: fingerprint(issued.der()),
            certificate: issued.pem(),
            expires: not_after,
        })
    }

    /// Who issues, and the end of what is issued now for so many days.
    fn issuing(&self, days: i64) -> Result<(&Authority, Wall), NotIssued> {
        let authority = self.authority.as_ref().filter(|_| self.given.client_ca.is_none());
        let authority = authority.ok_or(NotIssued::OtherAuthority(self.given.table))?;
        let wall = self.clock.wall();
        let now = match self.clock.known() {
            KnownTime::Unknown => wall,
            KnownTime::Is(known) | KnownTime::NotBefore(known) => known.max(wall),
        };
        if now < EARLIEST {
            return Err(NotIssued::ClockNotSet(now));
        }
        Ok((authority, ends(now, days)))
    }

    /// How it stands.
    pub fn state(&self) -> TlsState {
        let in_use = self.lock();
        TlsState {
            expires: in_use.expires,
            expires_soon: ends_soon(in_use.expires, issuing_at(&*self.clock)),
            problem: in_use.refused.as_ref().map(|(_, why)| why.clone()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, InUse> {
        self.in_use.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ends_soon(expires: Wall, now: Wall) -> bool {
    expires.ms_since(now) < WARN_MS
}

fn words_of_the_end(expires: Wall, now: Wall) -> String {
    let ms = expires.ms_since(now);
    let advice = "put a new one in its place; it is read without a restart";
    if ms < 0 {
        format!("the TLS certificate expired at {expires}: whoever looks at it stays away; {advice}")
    } else {
        format!(
            "the TLS certificate expires at {expires}, in {} days; {advice}",
            ms / DAY_MS
        )
    }
}

/// The names and addresses by which this machine may be reached, these first.
pub fn names_of_this_machine(configured: &[String]) -> Vec<String> {
    names::of_this_machine(configured)
}

/// The present for what is issued: never before this program was written, which would end before it is used.
fn issuing_at(clock: &dyn TrueTime) -> Wall {
    let now = match clock.known() {
        KnownTime::Is(wall) => wall,
        KnownTime::NotBefore(wall) => wall.max(clock.wall()),
        KnownTime::Unknown => clock.wall(),
    };
    now.max(EARLIEST)
}

fn ends(now: Wall, days: i64) -> Wall {
    now.after_ms(days.saturating_mul(DAY_MS)).min(ENDS)
}

/// Reads the files that a configuration names, and says what is to be said of them. Makes nothing.
///
/// # Errors
/// What cannot be used, and why.
pub fn check(given: &Config, folder: &Path, now: Wall) -> anyhow::Result<Vec<String>> {
    let files = Files::read(given)?;
    let mut warnings = Vec::new();
    if let Some((chain, key)) = &files.own {
        let (chain, key) = own_files(given, chain, key)?;
        let provider = rustls::crypto::ring::default_provider();
        rustls::sign::CertifiedKey::from_der(chain.clone(), key, &provider).context("the certificate and its key")?;
        let dates = chain
            .first()
            .and_then(|der| x509::dates(der))
            .context("the certificate has no dates")?;
        if ends_soon(dates.not_after, now) {
            warnings.push(words_of_the_end(dates.not_after, now));
        }
    }
    if let Some(roots) = &files.client_ca {
        roots_of(given, roots)?;
    }
    let (certificate, _) = Authority::files(folder);
    if (files.own.is_none() || files.client_ca.is_none()) && !certificate.exists() {
        warnings.push(format!(
            "the own certificate authority will be made at the next start: {}",
            certificate.display()
        ));
    }
    Ok(warnings)
}

impl Files {
    fn read(given: &Config) -> anyhow::Result<Self> {
        let own = given.own.as_ref();
        Ok(Self {
            own: own
                .map(|own| anyhow::Ok((bytes(&own.certificate)?, bytes(&own.private_key)?)))
                .transpose()?,
            client_ca: given.client_ca.as_deref().map(bytes).transpose()?,
        })
    }
}

fn bytes(path: &Path) -> anyhow::Result<Vec<u8>> {
    let read = || {
        let mut bytes = Vec::new();
        std::fs::File::open(path)?
            .take(FILE_BYTES_MAX + 1)
            .read_to_end(&mut bytes)?;
        std::io::Result::Ok(bytes)
    };
    let bytes = read().with_context(|| path.display().to_string())?;
    ensure!(
        bytes.len() as u64 <= FILE_BYTES_MAX,
        "{} is larger than any certificate",
        path.display()
    );
    Ok(bytes)
}

type Chain = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn certificates(path: &Path, pem: &[u8]) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(found) if found.is_empty() => bail!("{}: there is no certificate in it", path.display()),
        Ok(found) => Ok(found),
        Err(error) => bail!("{}: {error}", path.display()),
    }
}

fn own_files(given: &Config, chain: &[u8], key: &[u8]) -> anyhow::Result<Chain> {
    let own = given.own.as_ref().context("no certificate is configured")?;
    let chain = certificates(&own.certificate, chain)?;
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|error| anyhow::anyhow!("{}: {error}", own.private_key.display()))?;
    Ok((chain, key))
}

fn roots_of(given: &Config, pem: &[u8]) -> anyhow::Result<RootCertStore> {
    let path = given.client_ca.as_deref().context("no client_ca is configured")?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, pem)? {
        roots.add(certificate).with_context(|| path.display().to_string())?;
    }
    Ok(roots)
}

/// What new connections are served with.
struct Configs {
    with_clients: Arc<ServerConfig>,
    https: Arc<ServerConfig>,
}

/// What new connections are served with, and when the certificate ends.
fn build(
    given: &Config,
    files: &Files,
    issued: Option<&Issued>,
    authority: Option<&Authority>,
    clock: &Arc<dyn TrueTime>,
) -> anyhow::Result<(Configs, Wall)> {
    let (chain, key) = match (&files.own, issued, authority) {
        (Some((chain, key)), _, _) => own_files(given, chain, key)?,
        (None, Some(issued), Some(authority)) => {
            (vec![issued.der.clone(), authority.der.clone()], issued.key.clone_key())
        }
        _ => bail!("there is no certificate to show"),
    };
    let expires = chain
        .first()
        .and_then(|der| x509::dates(der))
        .context("a certificate without dates")?
        .not_after;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let of = || match &given.own {
        Some(own) => format!(
            "{} and {} cannot be used together",
            own.certificate.display(),
            own.private_key.display()
        ),
        None => "the own certificate".to_owned(),
    };
    let mut https = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain.clone(), key.clone_key())
        .with_context(of)?;
    let verifier = ClientVerifier {
        // A client need not have a certificate: it may as well log in with its secret.
        inner: WebPkiClientVerifier::builder_with_provider(
            Arc::new(roots(given, files, authority)?),
            Arc::clone(&provider),
        )
        .allow_unauthenticated()
        .build()?,
        clock: Arc::clone(clock),
        renew_with: given.renew_with,
    };
    let mut with_clients = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_single_cert(chain, key)
        .with_context(of)?;
    // A resumed session would be believed without a look at the certificate: one that has expired meanwhile too.
    with_clients.session_storage = Arc::new(NoServerSessionStorage {});
    with_clients.send_tls13_tickets = 0;
    https.alpn_protocols = vec![b"http/1.1".to_vec()];
    let configs = Configs {
        with_clients: Arc::new(with_clients),
        https: Arc::new(https),
    };
    Ok((configs, expires))
}

/// Whose certificates are believed.
fn roots(given: &Config, files: &Files, authority: Option<&Authority>) -> anyhow::Result<RootCertStore> {
    match (&files.client_ca, authority) {
        (Some(pem), _) => roots_of(given, pem),
        (None, Some(authority)) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.der.clone()).context("the own authority")?;
            Ok(roots)
        }
        (None, None) => bail!("there is no authority for certificates of clients"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicI64, Ordering};

    /// A clock that stands where it is put, and is trusted.
    #[derive(Debug)]
    struct Standing(AtomicI64);

    impl TrueTime for Standing {
        fn wall(&self) -> Wall {
            Wall(self.0.load(Ordering::Relaxed))
        }

        fn known(&self) -> KnownTime {
            KnownTime::Is(self.wall())
        }
    }

    #[test]
    fn the_own_certificate_is_renewed_before_it_ends() {
        let unique = getrandom::u64().unwrap();
        let folder = std::env::temp_dir().join(format!("holdfast-renewal-{unique:016x}"));
        let given = Config {
            table: "mqtt.tls",
            renew_with: "`pile cert`",
            names: vec!["edge.example".to_owned()],
            own: None,
            client_ca: None,
        };
        let start = Wall::parse("2026-03-01T00:00:00Z").unwrap();
        let clock = Arc::new(Standing(AtomicI64::new(start.0)));
        let tls = Tls::open(&given, &folder, "s1", Arc::clone(&clock) as Arc<dyn TrueTime>).unwrap();
        let (first, mut configs, mut https) = (tls.state().expires, tls.configs(), tls.https_configs());
        clock.0.fetch_add(DAY_MS, Ordering::Relaxed);
        tls.look();
        assert_eq!(tls.state().expires, first, "it is new");
        clock.0.store(first.0 - DAY_MS, Ordering::Relaxed);
        tls.look();
        assert!(configs.has_changed().unwrap(), "new connections get the new one");
        assert!(https.has_changed().unwrap(), "over HTTPS too");
        configs.mark_unchanged();
        https.mark_unchanged();
        assert!(tls.state().expires > first);
        // The authority is the one that clients know.
        let again = Tls::open(&given, &folder, "s1", clock).unwrap();
        assert_eq!(again.authority_pem(), tls.authority_pem());
        assert!(tls.authority_is_new() && !again.authority_is_new());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
