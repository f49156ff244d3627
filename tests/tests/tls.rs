//! Piles over TLS, with real clients against the real daemon: who is let in, who is refused and told why, and how
//! certificates change while the station runs.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

use domain::{ids::PileId, order::State, time::Wall};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, date_time_ymd,
};
use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, MqttOptions, Packet, TlsConfiguration, Transport,
};
use rustls::ClientConfig;
use serde_json::{Value, json};
use std::{
    net::{SocketAddr, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};
use world::{
    pile::{self, Flash, PileSpec, SimTime, Station, spawn},
    station::{Folder, Setup, StationProcess, program, repository},
};

const PATIENCE: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_millis(50);

/// A certificate with its key, PEM.
struct Identity {
    certificate: String,
    key: String,
}

impl Identity {
    /// As the command line wrote it.
    fn in_folder(folder: &Path, pile: &str) -> Self {
        let read = |name: String| std::fs::read_to_string(folder.join(name)).unwrap();
        Self {
            certificate: read(format!("{pile}.crt")),
            key: read(format!("{pile}.key")),
        }
    }
}

/// Somebody else's authority.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Another authority");
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    /// For this name, from the first day of one year to that of another.
    fn issue(&self, name: &str, years: (i32, i32), usage: ExtendedKeyUsagePurpose) -> Identity {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        (params.not_before, params.not_after) = (date_time_ymd(years.0, 1, 1), date_time_ymd(years.1, 1, 1));
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        Identity {
            certificate: params.signed_by(&key, &self.0).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    fn pile(&self, name: &str, years: (i32, i32)) -> Identity {
        self.issue(name, years, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn station(&self) -> Identity {
        self.issue("127.0.0.1", (2020, 2049), ExtendedKeyUsagePurpose::ServerAuth)
    }
}

fn trusting(ca: &str, identity: Option<&Identity>) -> Arc<ClientConfig> {
    let identity = identity.map(|identity| (identity.certificate.as_bytes(), identity.key.as_bytes()));
    pile::tls(ca.as_bytes(), identity).unwrap()
}

/// What became of an attempt to connect.
#[derive(Debug, PartialEq, Eq)]
enum Met {
    LetIn,
    Connack(ConnectReturnCode),
    /// There was no CONNACK: the TLS handshake failed, on either side.
    NoTls,
}

/// Connects as `client_id`, and leaves again.
async fn come(to: SocketAddr, tls: Arc<ClientConfig>, client_id: &str, login: Option<(&str, &str)>) -> Met {
    let mut options = MqttOptions::new(client_id, to.ip().to_string(), to.port());
    options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(tls)));
    if let Some((user, password)) = login {
        options.set_credentials(user, password);
    }
    let (client, mut events) = AsyncClient::new(options, 8);
    let mut network = events.network_options();
    network.set_connection_timeout(PATIENCE.as_secs());
    events.set_network_options(network);
    let met = async {
        loop {
            match events.poll().await {
                Ok(Event::Incoming(Packet::ConnAck(_))) => return Met::LetIn,
                Ok(_) => {}
                Err(ConnectionError::ConnectionRefused(code)) => return Met::Connack(code),
                Err(ConnectionError::NetworkTimeout) => panic!("the station does not answer"),
                Err(_) => return Met::NoTls,
            }
        }
    };
    let met = tokio::time::timeout(PATIENCE, met)
        .await
        .expect("the station does not answer");
    if met == Met::LetIn {
        client.disconnect().await.unwrap();
        while events.poll().await.is_ok() {}
    }
    met
}

const REFUSED: Met = Met::Connack(ConnectReturnCode::NotAuthorized);

/// A station that piles reach over TLS, and a folder for what is carried to them.
struct World {
    station: StationProcess,
    folder: Folder,
}

impl World {
    async fn begin(name: &str, tls: &str) -> Self {
        Self::set_up(name, Setup::new(), tls).await
    }

    async fn set_up(name: &str, setup: Setup, tls: &str) -> Self {
        let tls = Some(tls.to_owned());
        let station = StationProcess::start(name, &Setup { tls, ..setup }).await.unwrap();
        let folder = Folder::new(&format!("{name}-certs")).unwrap();
        Self { station, folder }
    }

    /// Certificates in a folder of their own.
    fn certify(&self, pile: &str, into: &str, more: &[&str]) -> (Identity, PathBuf) {
        let out = self.folder.path().join(into);
        let arguments = ["pile", "cert", pile, "--out", out.to_str().unwrap()];
        self.station.cli(&[&arguments, more].concat()).unwrap();
        (Identity::in_folder(&out, pile), out)
    }

    fn authority(&self) -> String {
        self.station.cli(&["authority"]).unwrap()
    }

    async fn come(&self, ca: &str, identity: Option<&Identity>, client_id: &str) -> Met {
        come(self.station.mqtt_tls, trusting(ca, identity), client_id, None).await
    }

    async fn view(&self) -> Value {
        self.station.get("/v1/station").await.unwrap().success().unwrap()
    }

    async fn until_log(&self, words: &str) {
        let begun = Instant::now();
        while !self.station.log().contains(words) {
            assert!(
                begun.elapsed() < PATIENCE,
                "not in the log: {words}\n{}",
                self.station.log()
            );
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Writes files of somebody else's making where the configuration names them; `None` leaves one as it is.
    fn put(folder: &Path, station: Option<&Identity>, client_ca: Option<&str>) {
        if let Some(Identity { certificate, key }) = station {
            std::fs::write(folder.join("station.key"), key).unwrap();
            std::fs::write(folder.join("station.crt"), certificate).unwrap();
        }
        if let Some(client_ca) = client_ca {
            std::fs::write(folder.join("piles.crt"), client_ca).unwrap();
        }
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn a_pile_with_a_certificate_charges_without_a_secret() {
    let world = World::begin("tls-charge", "").await;
    world.station.add_pile("P1").await.unwrap();
    world.station.add_member("alice", "50.00").await.unwrap();
    let (identity, out) = world.certify("P1", "p1", &[]);
    assert_eq!((mode(&out.join("P1.key")), mode(&out.join("P1.crt"))), (0o600, 0o644));
    let own = world.station.folder().join("data/tls");
    assert_eq!((mode(&own), mode(&own.join("ca.key"))), (0o700, 0o600));
    let printed = format!("{}{}", world.station.log(), world.authority());
    assert!(!printed.contains("PRIVATE"), "{printed}");

    let ca = std::fs::read_to_string(out.join("ca.crt")).unwrap();
    assert_eq!(ca.trim(), world.authority().trim());
    let to = world.station.mqtt_tls;
    let link = Station {
        host: to.ip().to_string(),
        port: to.port(),
        secret: None,
        tls: Some(trusting(&ca, Some(&identity))),
    };
    let spec = PileSpec::new(PileId::new("P1").unwrap(), world.station.wall());
    let pile = spawn(spec, Flash::default(), link, SimTime::begin(1));
    pile.plug(1).await;
    let begun = Instant::now();
    let order = loop {
        match world.station.place("alice", "P1", "30.00").await {
            Ok(order) => break order,
            Err(error) => assert!(begun.elapsed() < PATIENCE, "{error:#}\n{}", world.station.log()),
        }
        tokio::time::sleep(AGAIN).await;
    };
    world
        .station
        .wait_for_order(&order, State::Charging, PATIENCE)
        .await
        .unwrap();
    pile.stop_at_pile(1).await;
    world
        .station
        .wait_for_order(&order, State::Payed, PATIENCE)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_secret_over_tls_needs_the_authority_alone() {
    let world = World::begin("tls-secret", "").await;
    let secret = world.station.add_pile("P1").await.unwrap();
    let plain = trusting(&world.authority(), None);
    let to = world.station.mqtt_tls;
    assert_eq!(
        come(to, Arc::clone(&plain), "P1", Some(("P1", &secret))).await,
        Met::LetIn
    );
    let wrong = come(to, Arc::clone(&plain), "P1", Some(("P1", "guessed"))).await;
    assert_eq!(wrong, Met::Connack(ConnectReturnCode::BadUserNamePassword));
    // Whoever does not know this station's authority does not give it the secret.
    let stranger = trusting(&Authority::new().pem(), None);
    assert_eq!(come(to, stranger, "P1", Some(("P1", &secret))).await, Met::NoTls);
}

#[tokio::test]
async fn a_certificate_speaks_for_the_pile_it_names_and_for_no_other() {
    let world = World::begin("tls-names", "").await;
    let secret = world.station.add_pile("P1").await.unwrap();
    world.station.add_pile("P2").await.unwrap();
    let ca = world.authority();
    let (one, _) = world.certify("P1", "p1", &[]);
    let to = world.station.mqtt_tls;
    assert_eq!(world.come(&ca, Some(&one), "P1").await, Met::LetIn);
    assert_eq!(world.come(&ca, Some(&one), "P1~tool").await, Met::LetIn);
    assert_eq!(
        world.come(&ca, Some(&one), "P2").await,
        Met::Connack(ConnectReturnCode::BadClientId)
    );
    let named = come(to, trusting(&ca, Some(&one)), "P2", Some(("P2", ""))).await;
    assert_eq!(named, REFUSED);
    world.until_log("its user name is another pile's").await;
    // Of another authority, whatever it says it is; and none at all.
    let foreign = Authority::new().pile("P1", (2020, 2049));
    assert_eq!(world.come(&ca, Some(&foreign), "P1").await, Met::NoTls);
    world
        .until_log("not issued by the authority that is believed here")
        .await;
    let foreign_with_secret = come(to, trusting(&ca, Some(&foreign)), "P1", Some(("P1", &secret))).await;
    assert_eq!(foreign_with_secret, Met::NoTls);
    assert_eq!(
        world.come(&ca, None, "P1").await,
        Met::Connack(ConnectReturnCode::BadUserNamePassword)
    );
    let out = world.folder.path().join("p9");
    let unknown = world
        .station
        .cli(&["pile", "cert", "P9", "--out", out.to_str().unwrap()])
        .unwrap_err();
    assert!(unknown.to_string().contains("P9"), "{unknown}");
}

#[tokio::test]
async fn a_removed_pile_is_refused_whatever_it_shows_and_its_certificate_stays_worthless() {
    let world = World::begin("tls-removed", "").await;
    world.station.add_pile("P1").await.unwrap();
    let ca = world.authority();
    let (first, _) = world.certify("P1", "first", &[]);
    assert_eq!(world.come(&ca, Some(&first), "P1").await, Met::LetIn);
    world.station.cli(&["pile", "remove", "P1"]).unwrap();
    assert_eq!(world.come(&ca, Some(&first), "P1").await, REFUSED);
    world
        .until_log("this station has no such pile, or has it no more")
        .await;
    world.station.add_pile("P1").await.unwrap();
    assert_eq!(world.come(&ca, Some(&first), "P1").await, REFUSED);
    let (second, _) = world.certify("P1", "second", &[]);
    assert_eq!(world.come(&ca, Some(&second), "P1").await, Met::LetIn);
    assert_eq!(world.come(&ca, Some(&first), "P1").await, REFUSED);
}

#[tokio::test]
async fn a_certificate_counts_until_its_successor_is_used_and_a_lost_one_no_more_at_once() {
    let mut world = World::begin("tls-rotate", "").await;
    world.station.add_pile("P1").await.unwrap();
    let ca = world.authority();
    let (first, _) = world.certify("P1", "1", &[]);
    let (second, _) = world.certify("P1", "2", &[]);
    assert_eq!(world.come(&ca, Some(&first), "P1").await, Met::LetIn);
    assert_eq!(world.come(&ca, Some(&second), "P1").await, Met::LetIn);
    assert_eq!(world.come(&ca, Some(&first), "P1").await, REFUSED);
    // On disk, like the authority.
    world.station.kill().unwrap();
    world.station.start_again().await.unwrap();
    assert_eq!(world.authority(), ca);
    assert_eq!(world.come(&ca, Some(&first), "P1").await, REFUSED);
    assert_eq!(world.come(&ca, Some(&second), "P1").await, Met::LetIn);

    let to = world.station.mqtt_tls;
    let mut options = MqttOptions::new("P1", to.ip().to_string(), to.port());
    options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(trusting(
        &ca,
        Some(&second),
    ))));
    let (_client, mut held) = AsyncClient::new(options, 8);
    assert!(matches!(held.poll().await, Ok(Event::Incoming(Packet::ConnAck(_)))));
    let (third, _) = world.certify("P1", "3", &["--revoke"]);
    let ended = async { while held.poll().await.is_ok() {} };
    tokio::time::timeout(PATIENCE, ended)
        .await
        .expect("the lost certificate's connection is closed");
    assert_eq!(world.come(&ca, Some(&second), "P1").await, REFUSED);
    assert_eq!(world.come(&ca, Some(&third), "P1").await, Met::LetIn);
}

#[tokio::test]
async fn an_authority_that_is_lost_or_halved_is_not_replaced_without_a_word() {
    let mut world = World::begin("tls-lost", "").await;
    world.station.add_pile("P1").await.unwrap();
    let (identity, _) = world.certify("P1", "p1", &[]);
    let old = world.authority();
    let folder = world.station.folder().join("data/tls");
    world.station.terminate().await.unwrap();
    let key = std::fs::read(folder.join("ca.key")).unwrap();
    std::fs::remove_file(folder.join("ca.key")).unwrap();
    let said = world.station.start_again().await.unwrap_err().to_string();
    assert!(
        said.contains("ca.key is missing") && said.contains("put the folder back from a copy"),
        "{said}"
    );
    std::fs::rename(&folder, world.folder.path().join("aside")).unwrap();
    world.station.start_again().await.unwrap();
    world.until_log("1 piles hold certificates of another authority").await;
    assert_ne!(world.authority(), old);
    assert_eq!(world.come(&world.authority(), Some(&identity), "P1").await, Met::NoTls);
    // The folder comes back from the copy, and so does the pile.
    world.station.terminate().await.unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::rename(world.folder.path().join("aside"), &folder).unwrap();
    std::fs::write(folder.join("ca.key"), key).unwrap();
    world.station.start_again().await.unwrap();
    assert_eq!(world.come(&old, Some(&identity), "P1").await, Met::LetIn);
}

#[tokio::test]
async fn certificates_outside_their_dates_are_refused() {
    let clock_start = Wall::parse("2026-06-01T00:00:00Z").ok();
    let folder = Folder::new("tls-dates-files").unwrap();
    let theirs = Authority::new();
    World::put(folder.path(), None, Some(&theirs.pem()));
    let tls = format!("client_ca = {:?}", folder.path().join("piles.crt"));
    let setup = Setup {
        clock_start,
        ..Setup::new()
    };
    let world = World::set_up("tls-dates", setup, &tls).await;
    world.station.add_pile("P1").await.unwrap();
    let ca = world.authority();
    for (years, met) in [
        ((2020, 2049), Met::LetIn),
        ((2020, 2026), Met::NoTls),
        ((2027, 2049), Met::NoTls),
    ] {
        assert_eq!(
            world.come(&ca, Some(&theirs.pile("P1", years)), "P1").await,
            met,
            "{years:?}"
        );
    }
    world.until_log("it expired at 2026-01-01T00:00:00Z").await;
    world.until_log("it is not valid before 2027-01-01T00:00:00Z").await;
    // A certificate for servers is none for piles, and a stranger's pile is no pile of ours.
    let server = theirs.issue("P1", (2020, 2049), ExtendedKeyUsagePurpose::ServerAuth);
    assert_eq!(world.come(&ca, Some(&server), "P1").await, Met::NoTls);
    assert_eq!(
        world.come(&ca, Some(&theirs.pile("P7", (2020, 2049))), "P7").await,
        REFUSED
    );
    let refused = world
        .station
        .cli(&["pile", "cert", "P1", "--out", folder.path().to_str().unwrap()]);
    assert!(refused.unwrap_err().to_string().contains("client_ca"));
}

#[tokio::test]
async fn a_clock_that_is_wrong_at_boot_locks_no_pile_out_and_brings_no_expired_certificate_back() {
    let at = |text: &str| Wall::parse(text).unwrap();
    let clock_start = Some(at("2026-06-01T00:00:00Z"));
    let mut world = World::set_up(
        "tls-clock",
        Setup {
            clock_start,
            ..Setup::new()
        },
        "",
    )
    .await;
    world.station.add_pile("P1").await.unwrap();
    world.station.add_pile("P2").await.unwrap();
    let ca = world.authority();
    let (long, _) = world.certify("P1", "long", &[]);
    let (short, _) = world.certify("P2", "short", &["--days", "10"]);
    // A month later the short one is over, and the station knows it.
    world.station.terminate().await.unwrap();
    world.station.set_clock(at("2026-07-01T00:00:00Z"));
    world.station.start_again().await.unwrap();
    assert_eq!(world.come(&ca, Some(&long), "P1").await, Met::LetIn);
    assert_eq!(world.come(&ca, Some(&short), "P2").await, Met::NoTls);
    world.station.terminate().await.unwrap();
    // A power cut, no battery and no time server: 1970, or any time at all.
    world.station.setup_mut().clock_trusted = false;
    for clock in ["1970-01-02T00:00:00Z", "2026-06-02T00:00:00Z", "2099-01-01T00:00:00Z"] {
        world.station.set_clock(at(clock));
        world.station.start_again().await.unwrap();
        assert_eq!(world.come(&ca, Some(&long), "P1").await, Met::LetIn, "{clock}");
        assert_eq!(world.come(&ca, Some(&short), "P2").await, Met::NoTls, "{clock}");
        world.station.terminate().await.unwrap();
    }
}

#[tokio::test]
async fn files_of_the_operators_change_without_a_restart_and_broken_ones_change_nothing() {
    let folder = Folder::new("tls-files").unwrap();
    let (old, new) = (Authority::new(), Authority::new());
    World::put(folder.path(), Some(&old.station()), Some(&old.pem()));
    let path = |name: &str| folder.path().join(name);
    let tls = format!(
        "certificate = {:?}\nprivate_key = {:?}\nclient_ca = {:?}",
        path("station.crt"),
        path("station.key"),
        path("piles.crt")
    );
    let world = World::begin("tls-files", &tls).await;
    world.station.add_pile("P1").await.unwrap();
    let pile = |authority: &Authority| authority.pile("P1", (2020, 2049));
    assert_eq!(world.come(&old.pem(), Some(&pile(&old)), "P1").await, Met::LetIn);
    assert!(
        !world.station.folder().join("data/tls").exists(),
        "no authority is made that nobody needs"
    );

    // A key that belongs to another certificate.
    std::fs::write(path("station.key"), new.station().key).unwrap();
    world.station.signal("HUP").unwrap();
    world
        .until_log("new TLS files cannot be used, the ones before them stay in use")
        .await;
    let problem = world.view().await["tls"]["problem"].clone();
    assert!(
        problem.as_str().is_some_and(|said| said.contains("station.key")),
        "{problem}"
    );
    assert!(
        world
            .station
            .cli(&["status"])
            .unwrap()
            .contains("! new TLS files cannot be used")
    );
    assert_eq!(world.come(&old.pem(), Some(&pile(&old)), "P1").await, Met::LetIn);

    World::put(folder.path(), Some(&new.station()), Some(&new.pem()));
    world.station.signal("HUP").unwrap();
    world.until_log("new TLS files are in use").await;
    assert_eq!(world.view().await["tls"]["problem"], Value::Null);
    assert_eq!(world.come(&old.pem(), Some(&pile(&old)), "P1").await, Met::NoTls);
    assert_eq!(world.come(&new.pem(), Some(&pile(&old)), "P1").await, Met::NoTls);
    assert_eq!(world.come(&new.pem(), Some(&pile(&new)), "P1").await, Met::LetIn);

    // Under another name the station is somebody else.
    let elsewhere = new.issue("edge.example", (2020, 2049), ExtendedKeyUsagePurpose::ServerAuth);
    let in_use = world.station.log().matches("new TLS files are in use").count();
    World::put(folder.path(), Some(&elsewhere), None);
    world.station.signal("HUP").unwrap();
    let begun = Instant::now();
    while world.station.log().matches("new TLS files are in use").count() == in_use {
        assert!(begun.elapsed() < PATIENCE, "{}", world.station.log());
        tokio::time::sleep(AGAIN).await;
    }
    assert_eq!(world.come(&new.pem(), Some(&pile(&new)), "P1").await, Met::NoTls);

    // Without being asked, at a steady pace; and a certificate that ends soon is warned about.
    let soon = new.issue("127.0.0.1", (2020, 2021), ExtendedKeyUsagePurpose::ServerAuth);
    World::put(folder.path(), Some(&soon), None);
    world
        .until_log("the TLS certificate expired at 2021-01-01T00:00:00Z")
        .await;
    assert_eq!(world.view().await["tls"]["expires_soon"], json!(true));
    let metrics = world.station.get("/metrics").await.unwrap().success().unwrap();
    assert!(
        metrics
            .as_str()
            .unwrap()
            .contains("holdfast_tls_certificate_expires_seconds 1609459200")
    );
    assert_eq!(
        world.come(&new.pem(), Some(&pile(&new)), "P1").await,
        Met::NoTls,
        "the pile looks at it too"
    );
}

#[tokio::test]
async fn peers_that_say_nothing_on_the_tls_port_stop_nobody() {
    let world = World::begin("tls-silent", "").await;
    world.station.add_pile("P1").await.unwrap();
    let ca = world.authority();
    let (identity, _) = world.certify("P1", "p1", &[]);
    let silent: Vec<TcpStream> = (0..32)
        .map(|_| TcpStream::connect(world.station.mqtt_tls).unwrap())
        .collect();
    // Each of them is given five seconds for its handshake: one after the other they would take longer than a pile waits
    // here.
    assert_eq!(world.come(&ca, Some(&identity), "P1").await, Met::LetIn);
    drop(silent);
}

/// The fenced blocks of a language in the contract's chapter on TLS.
fn blocks(language: &str) -> String {
    let document = std::fs::read_to_string(repository().join("docs/pile-protocol.md")).unwrap();
    let (_, chapter) = document
        .split_once("\n## Over TLS\n")
        .expect("the contract has a chapter on TLS");
    let chapter = chapter.split("\n## ").next().unwrap();
    let fence = format!("```{language}\n");
    let blocks = chapter
        .split(fence.as_str())
        .skip(1)
        .map(|rest| rest.split("\n```").next().unwrap());
    blocks.collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn the_commands_in_the_contract_bring_a_pile_in_with_mosquitto_alone() {
    let world = World::begin("tls-mosquitto", "").await;
    let certs = world.folder.path().join("certs");
    for line in blocks("sh").lines() {
        let words: Vec<&str> = line.split('#').next().unwrap().split_whitespace().collect();
        let [sudo, program, arguments @ ..] = words.as_slice() else {
            panic!("not a command: {line}")
        };
        assert_eq!((*sudo, *program), ("sudo", "holdfast-edge"), "{line}");
        let arguments: Vec<&str> = arguments
            .iter()
            .map(|word| {
                if *word == "certs" {
                    certs.to_str().unwrap()
                } else {
                    word
                }
            })
            .collect();
        world.station.cli(&arguments).unwrap();
    }
    let to = world.station.mqtt_tls;
    let played = Command::new("bash")
        .args(["-eu", "-c", &blocks("bash")])
        .env("HOST", to.ip().to_string())
        .env("PORT", to.port().to_string())
        .current_dir(&certs)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&played.stderr);
    assert!(played.status.success(), "{said}\n{}", world.station.log());
    let pile = world.station.get("/v1/piles/P01").await.unwrap().success().unwrap();
    assert_eq!(
        (&pile["boot_id"], &pile["vendor"]),
        (&json!("b-tls"), &json!("Example")),
        "{pile}"
    );
    assert!(pile["certificate_expires"].is_string(), "{pile}");
}

#[tokio::test]
async fn a_plain_listener_beyond_this_machine_is_asked_for_and_warned_about() {
    let folder = Folder::new("tls-plain").unwrap();
    let path = folder.path().join("edge.toml");
    let check = |mqtt: &str| {
        let text = format!("site = \"s1\"\ndata_dir = \"data\"\nsocket = \"s\"\n[mqtt]\n{mqtt}\n");
        std::fs::write(&path, text).unwrap();
        let output = Command::new(program("holdfast-edge", "holdfast-edge"))
            .args(["check-config", "--config"])
            .arg(&path)
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).unwrap())
    };
    let (good, said) = check("");
    assert!(good && said.contains("piles without TLS: 127.0.0.1:1883"), "{said}");
    assert!(
        said.contains("piles with TLS: 0.0.0.0:8883") && !said.contains('!'),
        "{said}"
    );
    assert!(!folder.path().join("data").exists(), "a check makes nothing");
    let (good, said) = check("listen = [\"0.0.0.0:1883\"]");
    assert!(!good && said.contains("plain_beyond_loopback = true"), "{said}");
    let (good, said) = check("listen = [\"0.0.0.0:1883\"]\nplain_beyond_loopback = true");
    assert!(
        good && said.contains("! piles log in on 0.0.0.0:1883 without TLS"),
        "{said}"
    );
    let theirs = Authority::new();
    World::put(
        folder.path(),
        Some(&theirs.issue("s1", (2020, 2021), ExtendedKeyUsagePurpose::ServerAuth)),
        None,
    );
    let (good, said) = check("tls.certificate = \"station.crt\"\ntls.private_key = \"station.key\"");
    assert!(good && said.contains("certificate expired at 2021-01-01"), "{said}");
    let (good, said) = check("tls.certificate = \"station.key\"\ntls.private_key = \"station.key\"");
    assert!(!good && said.contains("station.key"), "{said}");
}
