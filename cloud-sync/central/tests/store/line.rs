//! A line between a program and PostgreSQL that breaks in the middle of COMMIT: before the server has it, or after it is done and
//! before the answer is here.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

/// Where it breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Break {
    /// The server never sees COMMIT.
    BeforeCommit,
    /// The server has committed and answered.
    BeforeTheAnswer,
}

pub(crate) struct Line {
    pub(crate) port: u16,
    next: Arc<Mutex<Option<Break>>>,
    broken: Arc<AtomicBool>,
}

impl Line {
    /// To the server's socket. The thread that takes connections ends with the tests.
    pub(crate) fn new(socket: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let line = Self {
            port: listener.local_addr().unwrap().port(),
            next: Arc::default(),
            broken: Arc::default(),
        };
        let (socket, next, broken) = (socket.to_owned(), Arc::clone(&line.next), Arc::clone(&line.broken));
        thread::spawn(move || {
            for client in listener.incoming() {
                carry(client.unwrap(), &socket, &next, &broken);
            }
        });
        line
    }

    /// The next COMMIT meets a line that breaks.
    pub(crate) fn break_at(&self, place: Break) {
        self.broken.store(false, Ordering::SeqCst);
        *self.next.lock().unwrap() = Some(place);
    }

    /// Whether it broke.
    pub(crate) fn has_broken(&self) -> bool {
        self.broken.load(Ordering::SeqCst)
    }
}

fn carry(client: TcpStream, socket: &PathBuf, next: &Arc<Mutex<Option<Break>>>, broken: &Arc<AtomicBool>) {
    let server = UnixStream::connect(socket).unwrap();
    let (mut from_client, mut to_client) = (client.try_clone().unwrap(), client);
    let (mut from_server, mut to_server) = (server.try_clone().unwrap(), server);
    let silent = Arc::new(AtomicBool::new(false));
    let (is_silent, next, broken) = (Arc::clone(&silent), Arc::clone(next), Arc::clone(broken));
    thread::spawn(move || {
        let mut bytes = [0; 65536];
        while let Ok(count @ 1..) = from_client.read(&mut bytes) {
            // A message of its own, sent alone, as the client waits for each answer.
            let commit = bytes[..count].windows(7).any(|window| window == b"COMMIT\0");
            let place = if commit { next.lock().unwrap().take() } else { None };
            if place.is_some() {
                broken.store(true, Ordering::SeqCst);
            }
            match place {
                Some(Break::BeforeCommit) => break,
                Some(Break::BeforeTheAnswer) => silent.store(true, Ordering::SeqCst),
                None => {}
            }
            if to_server.write_all(&bytes[..count]).is_err() {
                break;
            }
        }
        let _closed = (from_client.shutdown(Shutdown::Both), to_server.shutdown(Shutdown::Both));
    });
    thread::spawn(move || {
        let mut bytes = [0; 65536];
        while let Ok(count @ 1..) = from_server.read(&mut bytes) {
            if is_silent.load(Ordering::SeqCst) || to_client.write_all(&bytes[..count]).is_err() {
                break;
            }
        }
        let _closed = (to_client.shutdown(Shutdown::Both), from_server.shutdown(Shutdown::Both));
    });
}
