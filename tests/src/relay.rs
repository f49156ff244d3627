//! The way between a site and head office, which can be cut: a TCP relay on this machine.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// A relay that runs as long as it lives.
#[derive(Debug)]
pub struct Relay {
    /// Where it listens.
    pub address: SocketAddr,
    is_cut: watch::Sender<bool>,
    bytes: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Relay {
    /// A relay to this address.
    ///
    /// # Errors
    /// It cannot listen.
    pub async fn to(target: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let address = listener.local_addr()?;
        let (is_cut, seen) = watch::channel(false);
        let bytes = Arc::<AtomicU64>::default();
        let counted = Arc::clone(&bytes);
        let task = tokio::spawn(async move {
            while let Ok((from, _)) = listener.accept().await {
                if *seen.borrow() {
                    continue;
                }
                let (mut seen, counted) = (seen.clone(), Arc::clone(&counted));
                tokio::spawn(async move {
                    let Ok(to) = TcpStream::connect(target).await else {
                        return;
                    };
                    tokio::select! {
                        () = both_ways(from, to, &counted) => {}
                        _ = seen.wait_for(|cut| *cut) => {}
                    }
                });
            }
        });
        Ok(Self {
            address,
            is_cut,
            bytes,
            task,
        })
    }

    /// Ends all connections, and lets none through.
    pub fn cut(&self) {
        self.is_cut.send_replace(true);
    }

    /// Lets connections through again.
    pub fn mend(&self) {
        self.is_cut.send_replace(false);
    }

    /// What has gone through, both ways.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.cut();
        self.task.abort();
    }
}

async fn both_ways(mut from: TcpStream, mut to: TcpStream, bytes: &AtomicU64) {
    let _set = (from.set_nodelay(true), to.set_nodelay(true));
    let (mut from_read, mut from_write) = from.split();
    let (mut to_read, mut to_write) = to.split();
    tokio::select! {
        () = pass_on(&mut from_read, &mut to_write, bytes) => {}
        () = pass_on(&mut to_read, &mut from_write, bytes) => {}
    }
}

async fn pass_on(from: &mut (impl AsyncReadExt + Unpin), to: &mut (impl AsyncWriteExt + Unpin), bytes: &AtomicU64) {
    let mut piece = vec![0; 16 * 1_024];
    while let Ok(some) = from.read(&mut piece).await {
        bytes.fetch_add(some as u64, Ordering::Relaxed);
        if some == 0 || to.write_all(&piece[..some]).await.is_err() {
            return;
        }
    }
}
