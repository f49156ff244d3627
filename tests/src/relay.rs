//! The way between a site and head office, which can be cut, be thin and be long: a TCP relay on this machine.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    task::JoinHandle,
    time::Instant,
};

/// Pieces that are on the way at once, each way.
const PIECES_MAX: usize = 1_024;

/// A relay that runs as long as it lives.
#[derive(Debug)]
pub struct Relay {
    /// Where it listens.
    pub address: SocketAddr,
    is_cut: watch::Sender<bool>,
    /// What may still go to the other end before everything waits.
    room: watch::Sender<u64>,
    bytes: Arc<AtomicU64>,
    connections: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Relay {
    /// A relay to this address.
    ///
    /// # Errors
    /// It cannot listen.
    pub async fn to(target: SocketAddr) -> std::io::Result<Self> {
        Self::new(target, Way::default()).await
    }

    /// A relay through which no more than so many bytes a second go, each way.
    ///
    /// # Errors
    /// It cannot listen.
    pub async fn thin(target: SocketAddr, bytes_per_second: u32) -> std::io::Result<Self> {
        let rate = Some(bytes_per_second);
        let way = Way { rate, ..Way::default() };
        Self::new(target, way).await
    }

    /// A relay through which everything takes so long, each way, however much there is.
    ///
    /// # Errors
    /// It cannot listen.
    pub async fn long(target: SocketAddr, each_way: Duration) -> std::io::Result<Self> {
        let way = Way {
            each_way,
            ..Way::default()
        };
        Self::new(target, way).await
    }

    async fn new(target: SocketAddr, way: Way) -> std::io::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let address = listener.local_addr()?;
        let (is_cut, seen) = watch::channel(false);
        let (room, _) = watch::channel(u64::MAX);
        let of_all = room.clone();
        let bytes = Arc::<AtomicU64>::default();
        let counted = Arc::clone(&bytes);
        let connections = Arc::<AtomicU64>::default();
        let begun = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            while let Ok((from, _)) = listener.accept().await {
                if *seen.borrow() {
                    continue;
                }
                begun.fetch_add(1, Ordering::Relaxed);
                let (mut seen, counted, room) = (seen.clone(), Arc::clone(&counted), of_all.clone());
                tokio::spawn(async move {
                    let Ok(to) = TcpStream::connect(target).await else {
                        return;
                    };
                    tokio::select! {
                        () = both_ways(from, to, way, (&counted, &room)) => {}
                        _ = seen.wait_for(|cut| *cut) => {}
                    }
                });
            }
        });
        Ok(Self {
            address,
            is_cut,
            room,
            bytes,
            connections,
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

    /// From now on so many bytes go to the other end, over all connections, and then nothing, while connections stand: what is
    /// sent behind them is on its way until [`Relay::let_go`].
    pub fn hold_after(&self, bytes: u64) {
        self.room.send_replace(bytes);
    }

    /// What is held goes on.
    pub fn let_go(&self) {
        self.room.send_replace(u64::MAX);
    }

    /// What has gone through, both ways.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// How many connections were begun.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.cut();
        self.task.abort();
    }
}

/// How what goes through is held up.
#[derive(Debug, Clone, Copy, Default)]
struct Way {
    /// How many bytes a second, each way.
    rate: Option<u32>,
    /// How long everything takes besides, each way.
    each_way: Duration,
}

async fn both_ways(mut from: TcpStream, mut to: TcpStream, way: Way, (bytes, room): (&AtomicU64, &watch::Sender<u64>)) {
    let _set = (from.set_nodelay(true), to.set_nodelay(true));
    let (mut from_read, mut from_write) = from.split();
    let (mut to_read, mut to_write) = to.split();
    tokio::select! {
        () = pass_on(&mut from_read, &mut to_write, way, (bytes, Some(room))) => {}
        () = pass_on(&mut to_read, &mut from_write, way, (bytes, None)) => {}
    }
}

async fn pass_on(
    from: &mut (impl AsyncReadExt + Unpin),
    to: &mut (impl AsyncWriteExt + Unpin),
    way: Way,
    (bytes, room): (&AtomicU64, Option<&watch::Sender<u64>>),
) {
    // What is on the way is read on meanwhile: a long line is no thin one.
    let (sent, mut on_the_way) = mpsc::channel::<(Instant, Vec<u8>)>(PIECES_MAX);
    let sends = async move {
        let mut piece = vec![0; if way.rate.is_some() { 1_024 } else { 16 * 1_024 }];
        let mut free_at = Instant::now();
        while let Ok(some) = from.read(&mut piece).await {
            if let Some(rate) = way.rate {
                let takes = Duration::from_secs(some as u64) / rate;
                free_at = free_at.max(Instant::now()) + takes;
                tokio::time::sleep_until(free_at).await;
            }
            let there_at = Instant::now() + way.each_way;
            if some == 0 || sent.send((there_at, piece[..some].to_vec())).await.is_err() {
                return;
            }
        }
    };
    let arrives = async {
        while let Some((there_at, piece)) = on_the_way.recv().await {
            tokio::time::sleep_until(there_at).await;
            let mut rest = piece.as_slice();
            while !rest.is_empty() {
                let some = match room {
                    Some(room) => room_for(rest.len(), room).await,
                    None => rest.len(),
                };
                let (now, later) = rest.split_at(some);
                bytes.fetch_add(some as u64, Ordering::Relaxed);
                if to.write_all(now).await.is_err() {
                    return;
                }
                rest = later;
            }
        }
    };
    // What was sent before the end of a connection still arrives; where nothing arrives any more, nothing is read either.
    let sends = async move {
        sends.await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = arrives => {}
        () = sends => {}
    }
}

/// Waits until some of it may go on, and takes the room for that: how much.
async fn room_for(wanted: usize, room: &watch::Sender<u64>) -> usize {
    let mut news = room.subscribe();
    loop {
        let mut taken = 0;
        room.send_if_modified(|left| {
            taken = usize::try_from(*left).unwrap_or(usize::MAX).min(wanted);
            if *left != u64::MAX {
                *left -= taken as u64;
            }
            false
        });
        if taken > 0 || news.changed().await.is_err() {
            return taken;
        }
    }
}
