//! Rows of the broker alone, with nobody behind it: who waits how long, and what a connection that says nothing costs.

use crate::{
    Scale,
    link::{Link, Packet},
    process::{mib, resident_bytes},
    spread::{Spread, ms},
    table::Row,
    yardstick::Mosquitto,
};
use anyhow::ensure;
use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use world::station::example;

/// How long the broker may take to come up.
const PATIENCE: Duration = Duration::from_secs(30);
/// What goes unmeasured until everything runs evenly.
const WARM_UP: Duration = Duration::from_secs(2);
/// For the allocator and the kernel to come to rest before memory is read.
const REST: Duration = Duration::from_secs(3);
/// What is published: as long as a heartbeat.
const PAYLOAD: [u8; 200] = [b'x'; 200];

/// The program of `broker/examples/open.rs`.
struct OpenBroker {
    child: Child,
    address: SocketAddr,
}

impl OpenBroker {
    fn start() -> anyhow::Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let child = Command::new(example("holdfast-broker", "open"))
            .arg(address.port().to_string())
            .stdin(Stdio::null())
            .spawn()?;
        let broker = Self { child, address };
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            ensure!(begun.elapsed() < PATIENCE, "the broker does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(broker)
    }
}

impl Drop for OpenBroker {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Many connections, each with one publish under way: whether some are served again and again while others wait.
pub(crate) async fn fair(scale: Scale) -> anyhow::Result<Row> {
    let connections = scale.of(1_000, 50);
    let broker = OpenBroker::start()?;
    let mut ours = one_in_flight(broker.address, connections, scale).await?;
    drop(broker);
    let mosquitto = Mosquitto::start()?;
    let mut theirs = one_in_flight(mosquitto.address, connections, scale).await?;
    let (p99, aim) = (ours.times.p99(), theirs.times.p99());
    Ok(Row {
        what: format!("the broker alone, {connections} connections × 1 in flight, QoS 1"),
        measured: ours.told(),
        yardstick: format!("mosquitto: {}", theirs.told()),
        ratio: Some(p99.as_secs_f64() / aim.as_secs_f64()),
        aim: "p99 at most mosquitto's".to_owned(),
        met: p99 <= aim,
    })
}

/// How the connections were served.
struct Served {
    /// Acknowledgements.
    per_second: f64,
    /// How long each took that was sent in time, however late its acknowledgement was.
    times: Spread,
    /// How many acknowledgements each connection had.
    shares: Vec<usize>,
}

impl Served {
    fn told(&mut self) -> String {
        self.shares.sort_unstable();
        let fewest = self.shares.first().copied().unwrap_or_default();
        let median = self.shares.get(self.shares.len() / 2).copied().unwrap_or_default();
        format!(
            "{:.0} acks/s, p50 {}, p99 {}, longest {}; fewest of a connection {fewest}, median {median}",
            self.per_second,
            ms(self.times.p50()),
            ms(self.times.p99()),
            ms(self.times.permille(1_000))
        )
    }
}

async fn one_in_flight(address: SocketAddr, connections: usize, scale: Scale) -> anyhow::Result<Served> {
    let mut links = Vec::new();
    for n in 0..connections {
        links.push(Link::open(address, &format!("c{n}"), "user", "password").await?);
    }
    let begin = Instant::now() + WARM_UP;
    let end = begin + scale.time(Duration::from_secs(10), Duration::from_secs(1));
    let mut senders = tokio::task::JoinSet::new();
    for (n, mut link) in links.into_iter().enumerate() {
        senders.spawn(async move {
            let (mut times, mut in_time) = (Spread::default(), 0);
            let topic = format!("load/{n}");
            loop {
                let sent = Instant::now();
                if sent >= end {
                    return anyhow::Ok((times, in_time));
                }
                let id = link.publish(&topic, &PAYLOAD);
                link.flush().await?;
                let answer = link.next().await?;
                ensure!(answer == Packet::PubAck(id), "{answer:?} and not PUBACK {id}");
                let now = Instant::now();
                if sent >= begin {
                    times.add(now - sent);
                    in_time += usize::from(now < end);
                }
            }
        });
    }
    let (mut times, mut shares) = (Spread::default(), Vec::new());
    while let Some(served) = senders.join_next().await {
        let (of_one, in_time) = served??;
        times.absorb(of_one);
        shares.push(in_time);
    }
    Ok(Served {
        per_second: shares.iter().sum::<usize>() as f64 / (end - begin).as_secs_f64(),
        times,
        shares,
    })
}

/// Memory of connections that have sent CONNECT and nothing else, and of those that have gone.
pub(crate) async fn idle(scale: Scale) -> anyhow::Result<Row> {
    let connections = scale.of(10_000, 100);
    let broker = OpenBroker::start()?;
    let (before, with, after) = come_and_go(broker.address, broker.child.id(), connections).await?;
    drop(broker);
    let mosquitto = Mosquitto::start()?;
    let (_, theirs, theirs_after) = come_and_go(mosquitto.address, mosquitto.pid(), connections).await?;
    Ok(Row {
        what: format!("the broker alone, {connections} idle connections"),
        measured: format!(
            "{} before, {} with them, {} after they have gone",
            mib(before),
            mib(with),
            mib(after)
        ),
        yardstick: format!(
            "mosquitto: {} with them, {} after they have gone",
            mib(theirs),
            mib(theirs_after)
        ),
        ratio: Some(with as f64 / theirs as f64),
        aim: "24 MB, half of what they took given back".to_owned(),
        met: with <= 24_000_000 && after <= before.midpoint(with),
    })
}

async fn come_and_go(address: SocketAddr, pid: u32, connections: usize) -> anyhow::Result<(u64, u64, u64)> {
    let before = resident_bytes(pid)?;
    let mut links = Vec::new();
    for n in 0..connections {
        links.push(Link::open(address, &format!("c{n}"), "user", "password").await?);
    }
    tokio::time::sleep(REST).await;
    let with = resident_bytes(pid)?;
    drop(links);
    tokio::time::sleep(REST).await;
    Ok((before, with, resident_bytes(pid)?))
}
