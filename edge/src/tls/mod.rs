//! TLS for piles: the certificate that the station shows, and the authority whose certificates it believes.
//! Either half comes from files of the operator's or from the site's own authority, and changes without a restart
//! (decision 0015).

mod authority;
mod names;
mod verifier;
mod x509;

pub use authority::put;

use crate::{
    clock::{EARLIEST, KnownTime, SiteClock},
    config::MqttTls,
};
use anyhow::{Context, bail, ensure};
use authority::{Authority, DAY_MS, ENDS, Issued};
use domain::{
    ids::{PileId, SiteId},
    time::Wall,
};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{NoServerSessionStorage, WebPkiClientVerifier},
};
use std::{
    fmt,
    io::Read,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;
use verifier::PileVerifier;

/// How long a certificate is valid that the station issues to itself, in days.
const STATION_DAYS: i64 = 365;
/// How long before its end the station makes itself a new one, in days.
const RENEW_DAYS: i64 = 60;
/// How long before its end a certificate is warned about, in milliseconds.
pub const WARN_MS: i64 = 30 * DAY_MS;
/// The largest file that is read as a certificate or key, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What TLS on the station's listener is made of.
pub struct Tls {
    given: MqttTls,
    clock: Arc<SiteClock>,
    /// Where either half is the station's own making.
    authority: Option<Authority>,
    in_use: Mutex<InUse>,
    configs: watch::Sender<Arc<ServerConfig>>,
}

struct InUse {
    files: Files,
    /// The certificate that the station made itself, and for which names.
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
    station: Option<(Vec<u8>, Vec<u8>)>,
    client_ca: Option<Vec<u8>>,
}

/// How TLS stands, for whoever looks at the station.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsState {
    /// When the station's certificate ends.
    pub expires: Wall,
    /// It ends soon, and nobody renews it by itself.
    pub expires_soon: bool,
    /// Why new files are not used; the ones before them are.
    pub problem: Option<String>,
}

/// A certificate for a pile, with its key: shown once.
pub struct PileCertificate {
    /// The certificate, PEM.
    pub certificate: String,
    /// Its private key, PEM (PKCS #8).
    pub private_key: String,
    /// SHA-256 of the certificate (DER), hex.
    pub fingerprint: String,
    /// When it ends.
    pub expires: Wall,
}

/// Why no certificate is issued to a pile.
#[derive(Debug, thiserror::Error)]
pub enum NotIssued {
    /// Somebody else issues them.
    #[error(
        "certificates of piles come from the authority in `mqtt.tls.client_ca` of the configuration; this station issues none"
    )]
    OtherAuthority,
    /// It would have expired when the clock is put right.
    #[error("the station's clock says {0}: set it first, or the certificate would be over before it is used")]
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
    /// Reads the files that are given, and the site's own authority for what is not; makes that at need.
    ///
    /// # Errors
    /// What cannot be used, and what to do about it.
    pub fn open(given: &MqttTls, data_dir: &Path, site: &SiteId, clock: Arc<SiteClock>) -> anyhow::Result<Self> {
        let authority = if given.station.is_some() && given.client_ca.is_some() {
            None
        } else {
            Some(Authority::open(&data_dir.join("tls"), site)?)
        };
        let files = Files::read(given)?;
        let issued = match (&files.station, &authority) {
            (None, Some(authority)) => {
                let names = names::of_this_machine(&given.names);
                let issued = authority.issue_to_station(&names, ends(issuing_at(&clock), STATION_DAYS));
                Some((issued.context("the station's own certificate")?, names))
            }
            _ => None,
        };
        let (config, expires) = build(
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
            configs: watch::Sender::new(Arc::new(config)),
        })
    }

    /// What new connections are served with.
    pub fn configs(&self) -> watch::Receiver<Arc<ServerConfig>> {
        self.configs.subscribe()
    }

    /// Whether any certificate of the authority speaks for the pile it names, and not only the one that the station
    /// issued to it: so it is with an authority of somebody else's.
    pub fn believes_any_certificate(&self) -> bool {
        self.given.client_ca.is_some()
    }

    /// Whether the site's own authority was made just now: no certificate that was issued before is one of it.
    pub fn authority_is_new(&self) -> bool {
        self.authority.as_ref().is_some_and(|authority| authority.is_new)
    }

    /// The certificate of the site's own authority, PEM, where the station shows a certificate of its own making: what a
    /// pile needs to know the station by.
    pub fn authority_pem(&self) -> Option<&str> {
        let authority = self.authority.as_ref().filter(|_| self.given.station.is_none());
        authority.map(|authority| authority.pem.as_str())
    }

    /// Looks whether the files have changed or the station's certificate is to be renewed, and serves new connections
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
            let (config, expires) = build(&self.given, &files, issued, self.authority.as_ref(), &self.clock)?;
            Ok((files, config, expires))
        });
        match built {
            Ok((files, config, expires)) => {
                tracing::info!("new TLS files are in use; the station's certificate is valid until {expires}");
                (in_use.files, in_use.expires, in_use.refused) = (files, expires, None);
                in_use.warned_day = 0;
                self.configs.send_replace(Arc::new(config));
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

    /// The station's own certificate, before its end or when the machine's names and addresses have changed.
    fn renew(&self, in_use: &mut InUse) {
        let (Some((issued, names)), Some(authority)) = (&in_use.issued, &self.authority) else {
            return;
        };
        let now = issuing_at(&self.clock);
        let (new_names, new_end) = (names::of_this_machine(&self.given.names), ends(now, STATION_DAYS));
        let is_due = issued.not_after.ms_since(now) < RENEW_DAYS * DAY_MS && new_end > issued.not_after;
        if !is_due && new_names == *names {
            return;
        }
        let renewed = authority.issue_to_station(&new_names, new_end).and_then(|issued| {
            let (config, expires) = build(&self.given, &in_use.files, Some(&issued), Some(authority), &self.clock)?;
            Ok((issued, config, expires))
        });
        match renewed {
            Ok((issued, config, expires)) => {
                tracing::info!(
                    "the station has a new certificate, for {}, until {expires}",
                    new_names.join(" ")
                );
                (in_use.issued, in_use.expires) = (Some((issued, new_names)), expires);
                self.configs.send_replace(Arc::new(config));
            }
            Err(error) => tracing::warn!("the station's certificate cannot be renewed: {error:#}"),
        }
    }

    fn warn_of_the_end(&self, in_use: &mut InUse) {
        let now = issuing_at(&self.clock);
        let day = now.0 / DAY_MS;
        if ends_soon(in_use.expires, now) && in_use.warned_day != day {
            in_use.warned_day = day;
            tracing::warn!("{}", words_of_the_end(in_use.expires, now));
        }
    }

    /// Makes a certificate with which this pile shows who it is, for so many days.
    ///
    /// # Errors
    /// [`NotIssued`].
    pub fn issue_to_pile(&self, pile: &PileId, days: i64) -> Result<PileCertificate, NotIssued> {
        let authority = self.authority.as_ref().filter(|_| self.given.client_ca.is_none());
        let authority = authority.ok_or(NotIssued::OtherAuthority)?;
        let wall = self.clock.now().wall;
        let now = match self.clock.known() {
            KnownTime::Unknown => wall,
            KnownTime::Is(known) | KnownTime::NotBefore(known) => known.max(wall),
        };
        if now < EARLIEST {
            return Err(NotIssued::ClockNotSet(now));
        }
        let issued = authority
            .issue_to_pile(pile, ends(now, days))
            .map_err(NotIssued::Failed)?;
        Ok(PileCertificate {
            fingerprint: authority::fingerprint(&issued.der),
            certificate: issued.pem,
            private_key: issued.key_pem,
            expires: issued.not_after,
        })
    }

    /// How it stands.
    pub fn state(&self) -> TlsState {
        let in_use = self.lock();
        TlsState {
            expires: in_use.expires,
            expires_soon: ends_soon(in_use.expires, issuing_at(&self.clock)),
            problem: in_use.refused.as_ref().map(|(_, why)| why.clone()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, InUse> {
        self.in_use.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// By which a certificate that a pile showed is told from others: SHA-256 of its DER, hex.
pub fn fingerprint(certificate_der: &[u8]) -> String {
    authority::fingerprint(certificate_der)
}

fn ends_soon(expires: Wall, now: Wall) -> bool {
    expires.ms_since(now) < WARN_MS
}

fn words_of_the_end(expires: Wall, now: Wall) -> String {
    let ms = expires.ms_since(now);
    let advice = "put a new one in its place; it is read without a restart";
    if ms < 0 {
        format!("the station's TLS certificate expired at {expires}: piles that look at it stay away; {advice}")
    } else {
        format!(
            "the station's TLS certificate expires at {expires}, in {} days; {advice}",
            ms / DAY_MS
        )
    }
}

/// The present for what is issued: never before this program was written, which would end before it is used.
fn issuing_at(clock: &SiteClock) -> Wall {
    let now = match clock.known() {
        KnownTime::Is(wall) => wall,
        KnownTime::NotBefore(wall) => wall.max(clock.now().wall),
        KnownTime::Unknown => clock.now().wall,
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
pub fn check(given: &MqttTls, data_dir: &Path, now: Wall) -> anyhow::Result<Vec<String>> {
    let files = Files::read(given)?;
    let mut warnings = Vec::new();
    if let Some((chain, key)) = &files.station {
        let (chain, key) = station_files(given, chain, key)?;
        let provider = rustls::crypto::ring::default_provider();
        rustls::sign::CertifiedKey::from_der(chain.clone(), key, &provider).context("mqtt.tls.certificate")?;
        let dates = chain
            .first()
            .and_then(|der| x509::dates(der))
            .context("mqtt.tls.certificate has no dates")?;
        if ends_soon(dates.not_after, now) {
            warnings.push(words_of_the_end(dates.not_after, now));
        }
    }
    if let Some(roots) = &files.client_ca {
        roots_of(given, roots)?;
    }
    let (certificate, _) = Authority::files(&data_dir.join("tls"));
    if (files.station.is_none() || files.client_ca.is_none()) && !certificate.exists() {
        warnings.push(format!(
            "the site's own certificate authority will be made at the next start: {}",
            certificate.display()
        ));
    }
    Ok(warnings)
}

impl Files {
    fn read(given: &MqttTls) -> anyhow::Result<Self> {
        let station = given.station.as_ref();
        Ok(Self {
            station: station
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

fn station_files(given: &MqttTls, chain: &[u8], key: &[u8]) -> anyhow::Result<Chain> {
    let own = given.station.as_ref().context("no certificate is configured")?;
    let chain = certificates(&own.certificate, chain)?;
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|error| anyhow::anyhow!("{}: {error}", own.private_key.display()))?;
    Ok((chain, key))
}

fn roots_of(given: &MqttTls, pem: &[u8]) -> anyhow::Result<RootCertStore> {
    let path = given.client_ca.as_deref().context("no client_ca is configured")?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, pem)? {
        roots.add(certificate).with_context(|| path.display().to_string())?;
    }
    Ok(roots)
}

/// A configuration for new connections, and when the station's certificate ends.
fn build(
    given: &MqttTls,
    files: &Files,
    issued: Option<&Issued>,
    authority: Option<&Authority>,
    clock: &Arc<SiteClock>,
) -> anyhow::Result<(ServerConfig, Wall)> {
    let (chain, key) = match (&files.station, issued, authority) {
        (Some((chain, key)), _, _) => station_files(given, chain, key)?,
        (None, Some(issued), Some(authority)) => {
            (vec![issued.der.clone(), authority.der.clone()], issued.key.clone_key())
        }
        _ => bail!("there is no certificate for the station"),
    };
    let roots = match (&files.client_ca, authority) {
        (Some(pem), _) => roots_of(given, pem)?,
        (None, Some(authority)) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.der.clone()).context("the site's own authority")?;
            roots
        }
        (None, None) => bail!("there is no authority for certificates of piles"),
    };
    let expires = chain
        .first()
        .and_then(|der| x509::dates(der))
        .context("a certificate without dates")?
        .not_after;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    // A pile need not have a certificate: it may as well log in with its secret.
    let inner = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .allow_unauthenticated()
        .build()?;
    let verifier = PileVerifier {
        inner,
        clock: Arc::clone(clock),
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_single_cert(chain, key)
        .with_context(|| match &given.station {
            Some(own) => format!(
                "{} and {} cannot be used together",
                own.certificate.display(),
                own.private_key.display()
            ),
            None => "the station's own certificate".to_owned(),
        })?;
    // A resumed session would be believed without a look at the certificate: one that has expired meanwhile too.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok((config, expires))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::Mark, own_path::own_path};

    #[test]
    fn the_station_renews_its_own_certificate_before_it_ends() {
        let folder = own_path("renewal");
        std::fs::create_dir(&folder).unwrap();
        let given = MqttTls {
            listen: "127.0.0.1:0".parse().unwrap(),
            names: vec!["edge.example".to_owned()],
            station: None,
            client_ca: None,
        };
        let start = Wall::parse("2026-03-01T00:00:00Z").unwrap();
        let clock = SiteClock::resume(&Mark::default()).standing(start);
        clock.set_trusted(true);
        let clock = Arc::new(clock);
        let site = SiteId::new("s1").unwrap();
        let tls = Tls::open(&given, &folder, &site, Arc::clone(&clock)).unwrap();
        let (first, mut configs) = (tls.state().expires, tls.configs());
        let days = |count: i64| u64::try_from(count * 86_400_000).unwrap();
        let ends_in = u64::try_from(first.ms_since(start)).unwrap();
        clock.advance(days(1));
        tls.look();
        assert_eq!(tls.state().expires, first, "it is new");
        clock.advance(ends_in - days(2));
        tls.look();
        assert!(configs.has_changed().unwrap(), "new connections get the new one");
        configs.mark_unchanged();
        assert!(tls.state().expires > first);
        // The authority is the one that piles know.
        let again = Tls::open(&given, &folder, &site, clock).unwrap();
        assert_eq!(again.authority_pem(), tls.authority_pem());
        assert!(tls.authority_is_new() && !again.authority_is_new());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
