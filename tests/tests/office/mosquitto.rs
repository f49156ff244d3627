//! A mosquitto of the tests' own: Debian's, on a free port, as its own user, with an access list that keeps sites apart. Sites show
//! the certificates that head office gave them, head office one of the operator's authority.

use crate::cluster::{Folder, as_user, give, wait_until};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use std::{
    fs::{self, File},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Stdio},
};
use tokio::net::TcpSocket;
use world::head_office::reserve_port;

/// Whom Debian made for it.
const USER: &str = "mosquitto";
/// Who head office is there: no site can have this name, which has a dot in it.
const HEAD_OFFICE: &str = "head.office";

pub(crate) struct Mosquitto {
    folder: Folder,
    at: SocketAddr,
    _reserved: TcpSocket,
    server: Option<Child>,
}

impl Mosquitto {
    /// One that does not run yet.
    pub(crate) fn new() -> Self {
        let reserved = reserve_port().unwrap();
        let broker = Self {
            folder: Folder::new("mosquitto"),
            at: reserved.local_addr().unwrap(),
            _reserved: reserved,
            server: None,
        };
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.distinguished_name.push(DnType::CommonName, "The operator");
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        broker.put("operator.crt", &authority.pem());
        let host = broker.at.ip().to_string();
        for (file, name, usage) in [
            ("broker", host.as_str(), ExtendedKeyUsagePurpose::ServerAuth),
            ("head-office", HEAD_OFFICE, ExtendedKeyUsagePurpose::ClientAuth),
        ] {
            let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
            params.distinguished_name = rcgen::DistinguishedName::new();
            params.distinguished_name.push(DnType::CommonName, name);
            params.extended_key_usages = vec![usage];
            let key = KeyPair::generate().unwrap();
            broker.put(
                &format!("{file}.crt"),
                &params.signed_by(&key, &authority).unwrap().pem(),
            );
            broker.put(&format!("{file}.key"), &key.serialize_pem());
        }
        broker
    }

    fn put(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// How head office is told of it.
    pub(crate) fn in_central_toml(&self) -> String {
        let folder = self.folder.path().display();
        format!(
            "[sites.broker]\naddress = \"{}\"\nauthority = \"{folder}/operator.crt\"\n\
             certificate = \"{folder}/head-office.crt\"\nprivate_key = \"{folder}/head-office.key\"\n",
            self.at
        )
    }

    /// Starts it, for sites that have certificates of this authority.
    pub(crate) fn start(&mut self, authority_of_sites: &Path) {
        let believed = [authority_of_sites, &self.path("operator.crt")].map(|file| fs::read_to_string(file).unwrap());
        self.put("believed.crt", &believed.concat());
        self.put(
            "access",
            &format!(
                "user {HEAD_OFFICE}\ntopic read hf/v1/site/+/up/#\ntopic write hf/v1/site/+/down/#\n\
                 pattern write hf/v1/site/%u/up/#\npattern read hf/v1/site/%u/down/#\n"
            ),
        );
        let folder = self.folder.path().display();
        self.put(
            "mosquitto.conf",
            &format!(
                "listener {} {}\ncafile {folder}/believed.crt\ncertfile {folder}/broker.crt\nkeyfile {folder}/broker.key\n\
                 require_certificate true\nuse_identity_as_username true\nacl_file {folder}/access\n",
                self.at.port(),
                self.at.ip()
            ),
        );
        give(self.folder.path(), USER);
        self.start_again();
    }

    /// Starts it with what is in its folder.
    pub(crate) fn start_again(&mut self) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.path("log"))
            .unwrap();
        let mut server = as_user(USER, Path::new("/usr/sbin/mosquitto"));
        server.arg("-c").arg(self.path("mosquitto.conf"));
        server.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let started = server
            .spawn()
            .expect("mosquitto is not installed: `cargo xtask test` does it");
        let server = self.server.insert(started);
        let (at, log) = (self.at, self.folder.path().join("log"));
        wait_until("mosquitto listens", || {
            if let Some(status) = server.try_wait().unwrap() {
                panic!("mosquitto ended with {status}: {}", fs::read_to_string(&log).unwrap());
            }
            TcpStream::connect(at).is_ok()
        });
    }

    /// Ends it as a power cut does.
    pub(crate) fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill().unwrap();
            server.wait().unwrap();
        }
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _gone = server.kill();
            let _reaped = server.wait();
        }
    }
}
