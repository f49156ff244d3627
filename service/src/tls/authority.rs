//! A daemon's own certificate authority: a key and a certificate in a folder, made once.
//! It issues the daemon's certificate and those of its clients, and nothing else.

use super::x509;
use anyhow::{Context, bail, ensure};
use domain::{journal::hex, time::Wall};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, SanType, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject};
use sha2::{Digest, Sha256};
use std::{
    fs::{File, OpenOptions},
    io::{ErrorKind, Write},
    net::IpAddr,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

/// The end of the authority, and of whatever it issues: the last second of the years that are written in the short form
/// (RFC 5280 §4.1.2.5), which the oldest firmware reads.
pub(super) const ENDS: Wall = Wall(2_524_607_999_000);
/// A day in milliseconds.
pub(super) const DAY_MS: i64 = 86_400_000;

/// A certificate with its key, to be handed out.
pub(super) struct Issued {
    /// The certificate.
    pub(super) der: CertificateDer<'static>,
    pub(super) pem: String,
    pub(super) key_pem: String,
    pub(super) key: PrivateKeyDer<'static>,
    pub(super) not_after: Wall,
}

/// Who issues.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(super) der: CertificateDer<'static>,
    pub(super) pem: String,
    /// It was made just now.
    pub(super) is_new: bool,
}

impl Authority {
    /// The files of an authority in this folder.
    pub(super) fn files(folder: &Path) -> (PathBuf, PathBuf) {
        (folder.join("ca.crt"), folder.join("ca.key"))
    }

    /// Reads the authority of this name from `folder`, or makes one where there is none.
    ///
    /// # Errors
    /// Half of it is missing, or the halves do not belong together: it is never replaced silently, as every client would
    /// need a new certificate.
    pub(super) fn open(folder: &Path, of: &str) -> anyhow::Result<Self> {
        make_folder(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let (certificate, key) = Self::files(folder);
        let advice = || {
            format!(
                "the own certificate authority ({} and ca.key) is not whole: put the folder back from a copy; or move it \
                 aside, then a new authority is made and everyone who has a certificate of it needs a new one",
                certificate.display()
            )
        };
        match (read(&certificate)?, read(&key)?) {
            (Some(pem), Some(key_pem)) => Self::from_pem(&pem, &key_pem, of).with_context(advice),
            // The certificate is written last: without it nothing was ever issued.
            (None, _) => {
                let (authority, key_pem) = Self::make(of).context("cannot make a certificate authority")?;
                put(&key, &key_pem, 0o600)?;
                put(&certificate, &authority.pem, 0o644)?;
                tracing::info!(
                    "made the certificate authority of {of}: {}. Keep a copy of its folder with the copies of the database",
                    certificate.display()
                );
                Ok(authority)
            }
            (Some(_), None) => bail!("{} is missing: {}", key.display(), advice()),
        }
    }

    fn make(of: &str) -> anyhow::Result<(Self, String)> {
        let key = KeyPair::generate()?;
        let key_pem = key.serialize_pem();
        let params = authority_params(of, &key);
        let certificate = params.self_signed(&key)?;
        let authority = Self {
            der: certificate.der().clone(),
            pem: certificate.pem(),
            issuer: Issuer::new(params, key),
            is_new: true,
        };
        Ok((authority, key_pem))
    }

    fn from_pem(pem: &str, key_pem: &str, of: &str) -> anyhow::Result<Self> {
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| anyhow::anyhow!("ca.crt: {error}"))?;
        let key = KeyPair::from_pem(key_pem).context("ca.key")?;
        let params = authority_params(of, &key);
        // Its name follows from whose it is and the key.
        let name = params.distinguished_name.get(&DnType::CommonName);
        let said = x509::common_name(&der);
        ensure!(
            name.is_some_and(|name| said.is_some_and(|said| *name == rcgen::DnValue::from(said.as_str()))),
            "ca.crt is not of {of} and this key"
        );
        Ok(Self {
            der,
            pem: pem.to_owned(),
            issuer: Issuer::new(params, key),
            is_new: false,
        })
    }

    /// A certificate for the daemon itself, for these names and addresses.
    pub(super) fn issue_to_server(&self, names: &[String], not_after: Wall) -> anyhow::Result<Issued> {
        let name = names.first().map_or("holdfast", String::as_str);
        let mut params = params(name, not_after);
        params.subject_alt_names = names
            .iter()
            .map(|name| match name.parse::<IpAddr>() {
                Ok(address) => Ok(SanType::IpAddress(address)),
                Err(_) => Ok(SanType::DnsName(name.as_str().try_into()?)),
            })
            .collect::<anyhow::Result<_>>()?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(params, not_after)
    }

    /// A certificate with which a client of this name shows who it is.
    pub(super) fn issue_to_client(&self, name: &str, not_after: Wall) -> anyhow::Result<Issued> {
        self.issue(client_params(name, not_after)?, not_after)
    }

    /// A certificate for the key of a client of this name.
    pub(super) fn certify(
        &self,
        name: &str,
        key: &impl PublicKeyData,
        not_after: Wall,
    ) -> anyhow::Result<rcgen::Certificate> {
        self.sign(client_params(name, not_after)?, key)
    }

    fn issue(&self, params: CertificateParams, not_after: Wall) -> anyhow::Result<Issued> {
        let key = KeyPair::generate()?;
        let certificate = self.sign(params, &key)?;
        Ok(Issued {
            der: certificate.der().clone(),
            pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            not_after: not_after.min(ENDS),
        })
    }

    fn sign(&self, mut params: CertificateParams, key: &impl PublicKeyData) -> anyhow::Result<rcgen::Certificate> {
        let mut serial = [0_u8; 16];
        getrandom::fill(&mut serial).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
        // Positive and of full length (RFC 5280 §4.1.2.2).
        serial[0] = serial[0] & 0x7f | 0x40;
        params.serial_number = Some(rcgen::SerialNumber::from_slice(&serial));
        Ok(params.signed_by(key, &self.issuer)?)
    }
}

fn authority_params(of: &str, key: &KeyPair) -> CertificateParams {
    let of_key = fingerprint(key.public_key_raw());
    let name = format!("Holdfast {of} CA {}", &of_key[..8]);
    let mut params = params(&name, ENDS);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.extended_key_usages = Vec::new();
    params.use_authority_key_identifier_extension = false;
    params
}

fn client_params(name: &str, not_after: Wall) -> anyhow::Result<CertificateParams> {
    let mut params = params(name, not_after);
    params.subject_alt_names = vec![SanType::DnsName(name.try_into()?)];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    Ok(params)
}

/// Everything is valid from 2000 on, which is what a clock with an empty battery shows: nobody finds a certificate of
/// the own authority not yet valid (decision 0015).
fn params(common_name: &str, not_after: Wall) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = date_time_ymd(2000, 1, 1);
    let until_s = u64::try_from(not_after.min(ENDS).0 / 1_000).unwrap_or(0);
    params.not_after = date_time_ymd(1970, 1, 1) + Duration::from_secs(until_s);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    params
}

/// By which a certificate (DER) is told from others: SHA-256, hex.
pub fn fingerprint(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn make_folder(folder: &Path) -> std::io::Result<()> {
    match std::fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// A small text file; `None` if it is not there.
pub(super) fn read(path: &Path) -> anyhow::Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Writes a file whole or not at all, with these permissions or fewer.
///
/// # Errors
/// The system says no.
pub fn put(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let write = || {
        let unfinished = path.with_extension("unfinished");
        let _left_over = std::fs::remove_file(&unfinished);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&unfinished)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&unfinished, path)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_ends_before_the_long_form_of_dates_begins() {
        assert_eq!(ENDS, Wall::parse("2049-12-31T23:59:59Z").unwrap());
        let (authority, _) = Authority::make("s1").unwrap();
        let late = Wall::parse("2060-01-01T00:00:00Z").unwrap();
        let issued = authority.issue_to_client("P_1-a", late).unwrap();
        for der in [&authority.der, &issued.der] {
            let dates = x509::dates(der).unwrap();
            assert_eq!(dates.not_before, Wall::parse("2000-01-01T00:00:00Z").unwrap());
            assert_eq!(dates.not_after, ENDS);
        }
        assert_eq!(issued.not_after, ENDS);
        assert_eq!(x509::common_name(&issued.der).as_deref(), Some("P_1-a"));
    }

    #[test]
    fn an_authority_of_another_name_or_key_is_not_taken() {
        let (authority, key) = Authority::make("s1").unwrap();
        let (_, other_key) = Authority::make("s1").unwrap();
        assert!(Authority::from_pem(&authority.pem, &key, "s1").is_ok());
        assert!(Authority::from_pem(&authority.pem, &other_key, "s1").is_err());
        assert!(Authority::from_pem(&authority.pem, &key, "s2").is_err());
    }
}
