//! A record's PUBACK comes after the sync of the commit that holds it: SIGKILL forgives a missing fsync, this does not.
//! The real broker, loop and store, on a disk whose sync can be held up by hand.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

use broker::Broker;
use domain::{
    ids::{PileId, SiteId},
    messages::Down,
    policy::Policy,
    site::Input,
    time::Wall,
};
use edge::{
    clock::{Mark, SiteClock},
    credentials::{CredentialChange, Secret},
    gate::{Gate, ToPiles},
    station::{Outbound, Reply, Request, Station},
    store::{QuarantineFilter, Store},
};
use redb::{StorageBackend, backends::InMemoryBackend};
use std::{
    io,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// A disk that counts what reaches it and syncs only while it is let.
#[derive(Debug)]
struct HeldDisk {
    inner: InMemoryBackend,
    state: Arc<DiskState>,
}

#[derive(Debug, Default)]
struct DiskState {
    held: Mutex<bool>,
    released: Condvar,
    /// Bytes written since the last sync began.
    unsynced_writes: AtomicU64,
    /// Syncs that wait for their release.
    waiting: AtomicU64,
    synced: AtomicU64,
}

impl DiskState {
    fn hold(&self, held: bool) {
        *self.held.lock().unwrap() = held;
        self.released.notify_all();
    }
}

impl StorageBackend for HeldDisk {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        // The database grew, and wants its new length on disk before it writes there: nobody's commit yet.
        if self.state.unsynced_writes.load(Ordering::SeqCst) == 0 {
            return self.inner.sync_data();
        }
        let mut held = self.state.held.lock().unwrap();
        self.state.waiting.fetch_add(1, Ordering::SeqCst);
        while *held {
            held = self.state.released.wait(held).unwrap();
        }
        self.state.waiting.fetch_sub(1, Ordering::SeqCst);
        self.state.unsynced_writes.store(0, Ordering::SeqCst);
        self.state.synced.fetch_add(1, Ordering::SeqCst);
        self.inner.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.state
            .unsynced_writes
            .fetch_add(data.len() as u64, Ordering::SeqCst);
        self.inner.write(offset, data)
    }
}

const RECORD: &str = r#"{"boot_id":"b1","seq":1,"mono_ms":1,"ts":null,"msg_id":"m1","order_id":"lost-order","connector":1,
    "start_ts":null,"stop_ts":null,"start_mono_ms":0,"stop_mono_ms":1,"meter_start_kwh":"1","meter_stop_kwh":"2","reason":{"code":7}}"#;

/// Clocks that nobody moves: no deadline and no midnight comes in between.
fn standing(mark: &Mark) -> SiteClock {
    SiteClock::resume(mark).standing(Wall::parse("2026-03-01T10:00:00+08:00").unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_puback_while_the_sync_of_its_commit_is_held_up() {
    let disk = Arc::new(DiskState::default());
    let backend = HeldDisk {
        inner: InMemoryBackend::new(),
        state: Arc::clone(&disk),
    };
    let store = Store::on(backend, &SiteId::new("test").unwrap()).unwrap();
    let (station, brain) = Station::recover(store, Policy::default(), standing).unwrap();
    let broker = Broker::new(broker::Config::default(), Arc::new(Gate::new(station.clone())));
    let outbound = ToPiles(broker.handle());
    let brain = std::thread::spawn(move || brain.run(outbound));
    let pile = PileId::new("P1").unwrap();
    let secret = Secret::generate().unwrap();
    let provision = Request {
        input: Some(Input::ProvisionPile {
            pile: pile.clone(),
            by: "setup".to_owned(),
        }),
        key: None,
        credentials: vec![CredentialChange::SetPile(pile, secret.hash())],
        respond: Box::new(|_, _, _| Reply::default()),
    };
    station.ask(provision).await.unwrap();

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(broker.serve(listener));
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(&connect_packet("P1", secret.reveal())).await.unwrap();
    assert_eq!(read_packet(&mut socket).await, [0x20, 2, 0, 0], "CONNACK, accepted");

    disk.hold(true);
    let syncs_before = disk.synced.load(Ordering::SeqCst);
    socket
        .write_all(&publish_packet("hf/v1/pile/P1/up/record", 7, RECORD))
        .await
        .unwrap();
    // A PINGRESP overtakes a PUBACK that must wait: whatever the broker could send by now, it has sent.
    while disk.waiting.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    assert!(
        disk.unsynced_writes.load(Ordering::SeqCst) > 0,
        "the facts are written before their sync"
    );
    socket.write_all(&[0xc0, 0]).await.unwrap();
    assert_eq!(read_packet(&mut socket).await, [0xd0, 0], "PINGRESP and no PUBACK");
    assert_eq!(disk.synced.load(Ordering::SeqCst), syncs_before);

    disk.hold(false);
    assert_eq!(
        read_packet(&mut socket).await,
        [0x40, 2, 0, 7],
        "PUBACK once the sync is done"
    );
    assert!(disk.synced.load(Ordering::SeqCst) > syncs_before);
    assert_eq!(
        disk.unsynced_writes.load(Ordering::SeqCst),
        0,
        "nothing that the PUBACK promises is unsynced"
    );
    let quarantine = station
        .store
        .reader()
        .unwrap()
        .quarantine(QuarantineFilter::default(), None, 10)
        .unwrap();
    assert_eq!(quarantine.items.len(), 1, "the record is where it was promised to be");

    station.stop().await;
    brain.join().unwrap().unwrap();
}

/// A disk that fails.
#[derive(Debug)]
struct FailingDisk {
    inner: InMemoryBackend,
    fails: Arc<Mutex<bool>>,
}

impl StorageBackend for FailingDisk {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        if *self.fails.lock().unwrap() {
            Err(io::Error::from(io::ErrorKind::StorageFull))
        } else {
            self.inner.sync_data()
        }
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.inner.write(offset, data)
    }
}

struct Nobody;

impl Outbound for Nobody {
    fn send(&self, _pile: &PileId, _message: &Down) -> bool {
        panic!("no effect is performed for a commit that failed")
    }
    fn disconnect(&self, _pile: &PileId) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_commit_ends_the_loop_and_answers_nobody() {
    let fails = Arc::new(Mutex::new(false));
    let backend = FailingDisk {
        inner: InMemoryBackend::new(),
        fails: Arc::clone(&fails),
    };
    let store = Store::on(backend, &SiteId::new("test").unwrap()).unwrap();
    let (station, brain) = Station::recover(store, Policy::default(), standing).unwrap();
    let brain = std::thread::spawn(move || brain.run(Nobody));
    *fails.lock().unwrap() = true;
    let pile = PileId::new("P1").unwrap();
    let request = Request {
        input: Some(Input::ProvisionPile {
            pile,
            by: "setup".to_owned(),
        }),
        key: None,
        credentials: Vec::new(),
        respond: Box::new(|_, _, _| Reply::default()),
    };
    assert!(station.ask(request).await.is_err(), "no 2xx without a commit");
    assert!(brain.join().unwrap().is_err());
}

fn string(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap().to_be_bytes();
    [&length, text.as_bytes()].concat()
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first];
    let mut left = body.len();
    loop {
        let byte = u8::try_from(left % 128).unwrap();
        left /= 128;
        packet.push(if left > 0 { byte | 0x80 } else { byte });
        if left == 0 {
            break;
        }
    }
    packet.extend_from_slice(body);
    packet
}

/// MQTT 3.1.1 CONNECT, clean session, user name and password, keep-alive 60 s.
fn connect_packet(pile: &str, secret: &str) -> Vec<u8> {
    let body = [
        string("MQTT"),
        vec![4, 0b1100_0010, 0, 60],
        string(pile),
        string(pile),
        string(secret),
    ]
    .concat();
    packet(0x10, &body)
}

/// PUBLISH at QoS 1.
fn publish_packet(topic: &str, id: u16, payload: &str) -> Vec<u8> {
    packet(
        0x32,
        &[string(topic), id.to_be_bytes().to_vec(), payload.as_bytes().to_vec()].concat(),
    )
}

/// The next packet, which is shorter than 128 bytes.
async fn read_packet(socket: &mut TcpStream) -> Vec<u8> {
    let mut head = [0_u8; 2];
    socket.read_exact(&mut head).await.unwrap();
    let mut body = vec![0_u8; usize::from(head[1])];
    socket.read_exact(&mut body).await.unwrap();
    [&head[..], &body].concat()
}
