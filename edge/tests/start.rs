//! Starting and what keeps a station from it: everything listens before it says so, or it does not start.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use domain::ids::SiteId;
use edge::{config::Config, daemon, store::Store};
use std::{
    cell::Cell,
    future::{pending, ready},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

fn folder(name: &str) -> PathBuf {
    let unique = getrandom::u64().unwrap();
    let folder = std::env::temp_dir().join(format!("holdfast-start-{name}-{unique:016x}"));
    std::fs::create_dir(&folder).unwrap();
    folder
}

fn config(folder: &Path) -> Config {
    let mut config = Config::new(SiteId::new("test-site").unwrap());
    config.data_dir = folder.join("data");
    config.socket = folder.join("edge.sock");
    config.sync_socket = Some(folder.join("sync/sync.sock"));
    config.mqtt.listen = vec!["127.0.0.1:0".parse().unwrap()];
    config.mqtt.tls_listen = Some("127.0.0.1:0".parse().unwrap());
    config.http.listen = None;
    config
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_that_cannot_be_made_keeps_the_station_from_starting() {
    let folder = folder("socket");
    let config = config(&folder);
    std::fs::write(&config.socket, "precious").unwrap();
    let said_ready = Cell::new(false);
    let error = daemon::run(config.clone(), |_| said_ready.set(true), pending())
        .await
        .unwrap_err();
    let said = format!("{error:#}");
    assert!(said.contains("edge.sock") && said.contains("not a socket"), "{said}");
    assert!(!said_ready.get());
    assert_eq!(std::fs::read_to_string(&config.socket).unwrap(), "precious");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn once_it_is_ready_the_socket_answers_and_the_data_is_its_owners_alone() {
    let folder = folder("ready");
    let config = config(&folder);
    let (socket, data) = (config.socket.clone(), config.data_dir.clone());
    let (told, hears) = tokio::sync::oneshot::channel();
    let announce = move |listening: &daemon::Listening| {
        std::os::unix::net::UnixStream::connect(&socket).unwrap();
        told.send(listening.to_string()).unwrap();
    };
    let stop = async {
        let listening = hears.await.unwrap();
        assert!(
            listening.starts_with("MQTT on 127.0.0.1:") && listening.ends_with("edge.sock"),
            "{listening}"
        );
    };
    daemon::run(config.clone(), announce, stop).await.unwrap();
    assert!(!config.socket.exists());
    assert_eq!((mode(&data), mode(&data.join("holdfast.redb"))), (0o700, 0o600));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_can_be_ended_before_it_is_through() {
    let config = config(&folder("ended"));
    let said_ready = Cell::new(false);
    daemon::run(config, |_| said_ready.set(true), ready(())).await.unwrap();
    assert!(!said_ready.get());
}

#[test]
fn a_copy_is_looked_at_without_being_changed() {
    let folder = folder("copy");
    let (path, copy) = (folder.join("station.redb"), folder.join("copy.redb"));
    let site = SiteId::new("test-site").unwrap();
    let store = Store::open(&path, &site, 1 << 20).unwrap();
    // Taken while it is open, so it needs repair.
    std::fs::copy(&path, &copy).unwrap();
    let before = std::fs::read(&copy).unwrap();
    let looked = Store::look_at(&copy, 1 << 20).unwrap();
    assert_eq!(looked.identity(), store.identity());
    drop(looked);
    assert!(std::fs::read(&copy).unwrap() == before);
    let in_use = Store::look_at(&path, 1 << 20).err().unwrap().to_string();
    assert!(in_use.contains("in use"), "{in_use}");
}

#[test]
fn a_database_that_needs_repair_and_is_refused_stays_as_it_is() {
    let folder = folder("refused");
    let (path, copy) = (folder.join("station.redb"), folder.join("holdfast.redb"));
    let site = SiteId::new("test-site").unwrap();
    let store = Store::open(&path, &site, 1 << 20).unwrap();
    // Taken while it is open: as after a crash.
    let crashed = std::fs::read(&path).unwrap();
    let refused = |bytes: &[u8], site: &str| {
        std::fs::write(&copy, bytes).unwrap();
        let said = Store::open(&copy, &SiteId::new(site).unwrap(), 1 << 20);
        let said = said.err().unwrap().to_string();
        assert!(std::fs::read(&copy).unwrap() == bytes, "{said}");
        said
    };
    let said = refused(&crashed, "elsewhere");
    assert!(said.contains("elsewhere"), "{said}");
    let mut damaged = crashed.clone();
    let name = damaged.windows(9).rposition(|name| name == b"test-site").unwrap();
    // Every version of the page that it stands in.
    for at in 0..=name {
        if damaged[at..].starts_with(b"test-site") {
            damaged[at] ^= 0x10;
        }
    }
    let said = refused(&damaged, "test-site");
    assert!(
        said.contains("is damaged") && said.contains("Nothing was changed"),
        "{said}"
    );

    std::fs::write(&copy, &crashed).unwrap();
    let opened = Store::open(&copy, &site, 1 << 20).unwrap();
    assert_eq!(opened.identity(), store.identity());
    for second in [
        Store::open(&copy, &site, 1 << 20).err().unwrap(),
        Store::look_at(&copy, 1 << 20).err().unwrap(),
    ] {
        assert!(second.to_string().contains("in use"), "{second}");
    }
    drop(opened);
    // Ended in good order, with what was repaired in it.
    assert_eq!(Store::open(&copy, &site, 1 << 20).unwrap().identity(), store.identity());
}

#[test]
fn a_disk_that_fails_is_not_a_damaged_file() {
    let folder = folder("disk");
    let site = SiteId::new("test-site").unwrap();
    let beyond = Store::open(&folder.join("missing/holdfast.redb"), &site, 1 << 20)
        .err()
        .unwrap()
        .to_string();
    assert!(
        beyond.starts_with("the disk failed") && !beyond.contains("restore"),
        "{beyond}"
    );
    let path = folder.join("holdfast.redb");
    std::fs::write(&path, "site = 1").unwrap();
    let damaged = Store::open(&path, &site, 1 << 20).err().unwrap().to_string();
    assert!(
        damaged.contains("is damaged") && damaged.contains("restore --move-aside"),
        "{damaged}"
    );
}
