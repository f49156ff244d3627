//! The log tells of a step when it is on disk, and not before: after a commit that failed nobody reads of a settlement that
//! is not there. The real writer and store, on a disk whose sync fails.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

use domain::{
    ids::{PileId, Randomness, SiteId},
    messages::{Common, Event, EventKind, Up, UpMessage},
    policy::Policy,
    site::Input,
    time::{Mono, Now, Wall},
};
use edge::{
    clock::Mark,
    station::writer::{Work, Writer},
    store::Store,
};
use redb::{StorageBackend, backends::InMemoryBackend};
use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

const NOW: Now = Now {
    mono: Mono(1_000),
    wall: Wall(1_772_323_200_000),
};

/// A disk whose syncs fail when they are told to.
#[derive(Debug)]
struct FailingDisk {
    inner: InMemoryBackend,
    fails: Arc<AtomicBool>,
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
        match self.fails.load(Ordering::SeqCst) {
            true => Err(io::Error::from(io::ErrorKind::StorageFull)),
            false => self.inner.sync_data(),
        }
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.inner.write(offset, data)
    }
}

struct Zero;

impl Randomness for Zero {
    fn bits(&mut self) -> u128 {
        0
    }
}

/// What is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// What was logged since this was last asked.
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn provision(pile: &PileId) -> Work<(), ()> {
    Work::Told(Input::ProvisionPile {
        pile: pile.clone(),
        by: "setup".to_owned(),
    })
}

/// An event of a connector that the pile does not have: it is rejected.
fn rejected_event(pile: &PileId) -> Work<(), ()> {
    let common = Common {
        boot_id: "b1".parse().unwrap(),
        seq: 1,
        mono_ms: 1,
        ts: None,
        msg_id: Some("m1".parse().unwrap()),
    };
    let event = Event {
        connector: domain::ids::ConnectorNo(9),
        kind: EventKind::Plugged,
        code: 0,
        text: String::new(),
    };
    let message = UpMessage::new(common, Up::Event(event));
    Work::Pile {
        input: Input::Message {
            pile: pile.clone(),
            message,
        },
        repeat_key: None,
        receipt: None,
    }
}

#[test]
fn nothing_of_a_step_is_logged_before_its_commit_nor_after_one_that_failed() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
    let _logging = tracing::subscriber::set_default(subscriber);

    let fails = Arc::new(AtomicBool::new(false));
    let backend = FailingDisk {
        inner: InMemoryBackend::new(),
        fails: Arc::clone(&fails),
    };
    let store = Store::on(backend, &SiteId::new("test").unwrap()).unwrap();
    let (mut writer, _) = Writer::<(), ()>::recover(store, Policy::default(), Arc::default()).unwrap();
    let (first, second) = ("P1".parse().unwrap(), "P2".parse().unwrap());

    writer.take(provision(&first), NOW, &mut Zero).unwrap();
    writer.take(rejected_event(&first), NOW, &mut Zero).unwrap();
    assert_eq!(log.take(), "", "decided, and not on disk");
    writer.commit(NOW, &Mark::default(), false).unwrap();
    let said = log.take();
    assert!(said.contains("pile provisioned") && said.contains("P1"), "{said}");
    assert!(said.contains("a message was rejected"), "{said}");

    writer.take(provision(&second), NOW, &mut Zero).unwrap();
    writer.take(rejected_event(&second), NOW, &mut Zero).unwrap();
    fails.store(true, Ordering::SeqCst);
    assert!(writer.commit(NOW, &Mark::default(), false).is_err());
    assert_eq!(log.take(), "", "it is not on disk");
}
