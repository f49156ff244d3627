//! A pile for load: says what the contract asks for, in as few instructions as can be, and believes what it is told.
//! `world::pile` plays real piles; ten thousand of those would measure themselves.

use crate::{
    http::{Door, Http},
    link::{Link, Packet},
};
use anyhow::{Context, bail};
use domain::{
    ids::PileId,
    time::Wall,
    topics::{self, UpKind},
    units::Energy,
};
use hyper::Method;
use serde::Deserialize;
use serde_json::json;
use std::{
    net::SocketAddr,
    time::{Instant, UNIX_EPOCH},
};

/// A pile's id.
pub(crate) fn name(n: usize) -> String {
    format!("B{n:05}")
}

/// The member who charges there.
pub(crate) fn member(n: usize) -> String {
    format!("bench-{n}")
}

/// Lets piles in, and where `money` is given registers a member for each; returns the piles' secrets.
pub(crate) async fn provision(
    door: &Door,
    piles: std::ops::Range<usize>,
    money: Option<&str>,
) -> anyhow::Result<Vec<String>> {
    const CALLERS: usize = 64;
    let share = piles.len().div_ceil(CALLERS).max(1);
    let mut callers = tokio::task::JoinSet::new();
    let (first, end) = (piles.start, piles.end);
    for begin in piles.step_by(share) {
        let (door, money) = (door.clone(), money.map(str::to_owned));
        callers.spawn(async move {
            let mut http = Http::open(&door, &format!("provision-{begin}")).await?;
            let mut secrets = Vec::new();
            for n in begin..(begin + share).min(end) {
                let made = http.post("/v1/piles", &json!({ "id": name(n) })).await?;
                secrets.push((n, made["secret"].as_str().context("no secret")?.to_owned()));
                if let Some(money) = &money {
                    let member = member(n);
                    let path = format!("/v1/members/{member}");
                    http.ask(Method::PUT, &path, Some(&json!({ "name": member }))).await?;
                    let body = json!({ "amount": money, "receipt": format!("R-{member}") });
                    http.post(&format!("{path}/topups"), &body).await?;
                }
            }
            anyhow::Ok(secrets)
        });
    }
    let mut all = vec![String::new(); end - first];
    while let Some(secrets) = callers.join_next().await {
        for (n, secret) in secrets?? {
            all[n - first] = secret;
        }
    }
    Ok(all)
}

/// What the station says that a pile acts on.
#[derive(Debug)]
pub(crate) enum Told {
    Ack(AckSaid),
    Start(StartSaid),
}

#[derive(Debug, Deserialize)]
pub(crate) struct AckSaid {
    pub(crate) msg_id: Option<String>,
    pub(crate) result: String,
    pub(crate) fee: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct StartSaid {
    pub(crate) command_id: String,
    kind: String,
    pub(crate) order_id: Option<String>,
}

/// One pile with one connector.
#[derive(Debug)]
pub(crate) struct Pile {
    pub(crate) n: usize,
    pub(crate) link: Link,
    topics: [String; 6],
    boot_id: String,
    born: Instant,
    seq: u64,
    /// The register, in 0.1 Wh.
    pub(crate) meter: Energy,
    /// The session it is in, with the uptime and register at its start.
    session: Option<(String, u64, Wall, Energy)>,
    scratch: Vec<u8>,
}

impl Pile {
    /// Connects and subscribes, and says nothing yet.
    pub(crate) async fn connect(address: SocketAddr, n: usize, secret: &str) -> anyhow::Result<Self> {
        let name = name(n);
        let id = PileId::new(&name)?;
        let mut link = Link::open(address, &name, &name, secret).await?;
        link.subscribe(&format!("hf/v1/pile/{name}/down/#")).await?;
        let topics = [
            UpKind::Boot,
            UpKind::Heartbeat,
            UpKind::Reply,
            UpKind::Record,
            UpKind::Event,
            UpKind::Card,
        ]
        .map(|kind| topics::up(&id, kind));
        Ok(Self {
            n,
            link,
            topics,
            boot_id: format!("boot-{name}-{}", world_wall().0),
            born: Instant::now(),
            seq: 0,
            meter: Energy(100_000_000),
            session: None,
            scratch: Vec::with_capacity(1024),
        })
    }

    fn mono_ms(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Puts a message in line: the common fields, then `rest`. Returns its packet id; its `msg_id` is `m` and its `seq`.
    fn say(&mut self, kind: UpKind, rest: impl FnOnce(&Self, &mut Vec<u8>)) -> u16 {
        use std::io::Write;
        self.seq += 1;
        let mut out = std::mem::take(&mut self.scratch);
        out.clear();
        let (boot_id, seq, mono_ms, ts) = (&self.boot_id, self.seq, self.mono_ms(), world_wall());
        let _never_fails = write!(
            out,
            r#"{{"boot_id":"{boot_id}","seq":{seq},"mono_ms":{mono_ms},"ts":"{ts}","msg_id":"m{seq}","#
        );
        rest(self, &mut out);
        out.push(b'}');
        let packet_id = self.link.publish(&self.topics[kind as usize], &out);
        self.scratch = out;
        packet_id
    }

    /// The `msg_id` of what was said last.
    pub(crate) fn last_msg_id(&self) -> String {
        format!("m{}", self.seq)
    }

    pub(crate) fn say_boot(&mut self) -> u16 {
        self.say(UpKind::Boot, |pile, out| {
            put(out, format_args!(
                r#""vendor":"Bench","model":"B1","firmware":"1.0","connectors":[{{"no":1,"max_kw":"7.0","meter_kwh":"{}"}}]"#,
                pile.meter
            ));
        })
    }

    /// A heartbeat with the present register: charging if a session runs, else idle.
    pub(crate) fn say_heartbeat(&mut self) -> u16 {
        self.say(UpKind::Heartbeat, |pile, out| match &pile.session {
            Some((order, ..)) => put(out, format_args!(
                r#""connectors":[{{"no":1,"status":"charging","order_id":"{order}","voltage_v":221.5,"current_a":31.8,"soc_pct":47,"temp_c":35,"meter_kwh":"{}","faults":[]}}]"#,
                pile.meter
            )),
            None => put(out, format_args!(
                r#""connectors":[{{"no":1,"status":"idle","voltage_v":221.5,"current_a":0.0,"temp_c":25,"meter_kwh":"{}","faults":[]}}]"#,
                pile.meter
            )),
        })
    }

    /// Begins the session and says that it did.
    pub(crate) fn say_started(&mut self, start: &StartSaid) -> u16 {
        let order = start.order_id.clone().unwrap_or_default();
        self.session = Some((order, self.mono_ms(), world_wall(), self.meter));
        self.say(UpKind::Reply, |_, out| {
            put(
                out,
                format_args!(r#""command_id":"{}","ok":true,"code":0,"message":"""#, start.command_id),
            );
        })
    }

    /// Ends the session and says its record.
    pub(crate) fn say_record(&mut self) -> anyhow::Result<u16> {
        let (order, mono, ts, meter) = self.session.take().context("no session runs")?;
        Ok(self.record_of(&order, mono, ts, meter))
    }

    /// The record of a session that nobody ordered.
    pub(crate) fn say_unknown_record(&mut self) -> u16 {
        let order = format!("local-{}-{}", self.n, self.seq + 1);
        let (mono, ts, meter) = (self.mono_ms(), world_wall(), self.meter);
        self.meter = Energy(self.meter.0 + 500);
        self.record_of(&order, mono, ts, meter)
    }

    fn record_of(&mut self, order: &str, mono: u64, ts: Wall, meter: Energy) -> u16 {
        self.say(UpKind::Record, |pile, out| {
            let (stop_ts, stop_mono, stop) = (world_wall(), pile.mono_ms(), pile.meter);
            put(out, format_args!(
                r#""order_id":"{order}","connector":1,"start_ts":"{ts}","stop_ts":"{stop_ts}","start_mono_ms":{mono},"stop_mono_ms":{stop_mono},"meter_start_kwh":"{meter}","meter_stop_kwh":"{stop}","reason":{{"code":7,"text":"full"}},"soc_start":20,"soc_stop":80,"offline":false"#
            ));
        })
    }

    /// Waits for what the pile must act on.
    pub(crate) async fn told(&mut self) -> anyhow::Result<Told> {
        loop {
            if let Packet::Publish { topic, payload } = self.link.next().await?
                && let Some(told) = read(&topic, &payload)?
            {
                return Ok(told);
            }
        }
    }

    /// Waits for the `start` command.
    pub(crate) async fn told_start(&mut self) -> anyhow::Result<StartSaid> {
        loop {
            if let Told::Start(start) = self.told().await? {
                return Ok(start);
            }
        }
    }

    /// Waits for the PUBACK of `packet_id`; what is said to the pile meanwhile is let go.
    pub(crate) async fn acknowledged(&mut self, packet_id: u16) -> anyhow::Result<()> {
        while self.link.next().await? != Packet::PubAck(packet_id) {}
        Ok(())
    }

    /// Waits for the `ack` of the last message, and that it is a plain ok. Returns when the PUBACK had come.
    pub(crate) async fn settled(&mut self, packet_id: u16) -> anyhow::Result<(Instant, String)> {
        let msg_id = self.last_msg_id();
        let mut acknowledged = None;
        loop {
            match self.link.next().await? {
                Packet::PubAck(id) if id == packet_id => acknowledged = Some(Instant::now()),
                Packet::Publish { topic, payload } => {
                    let Some(Told::Ack(ack)) = read(&topic, &payload)? else {
                        continue;
                    };
                    if ack.msg_id.as_deref() == Some(&msg_id) {
                        if ack.result != "ok" {
                            bail!("the record of {} was answered {}", name(self.n), ack.result);
                        }
                        let at = acknowledged.context("`ack` came before PUBACK")?;
                        return Ok((at, ack.fee.context("settled without a fee")?));
                    }
                }
                _ => {}
            }
        }
    }

    /// Connects, boots and says how it is: a pile at rest.
    pub(crate) async fn at_rest(address: SocketAddr, n: usize, secret: &str) -> anyhow::Result<Self> {
        let mut pile = Self::connect(address, n, secret).await?;
        let boot = pile.say_boot();
        pile.acknowledged(boot).await?;
        let heartbeat = pile.say_heartbeat();
        pile.acknowledged(heartbeat).await?;
        Ok(pile)
    }
}

/// Many piles at rest, a hundred at a time.
pub(crate) async fn crowd(address: SocketAddr, first: usize, secrets: &[String]) -> anyhow::Result<Vec<Pile>> {
    let mut piles = Vec::with_capacity(secrets.len());
    for (at, some) in secrets.chunks(100).enumerate() {
        let opening = some
            .iter()
            .enumerate()
            .map(|(n, secret)| Pile::at_rest(address, first + at * 100 + n, secret));
        for pile in futures_util::future::join_all(opening).await {
            piles.push(pile?);
        }
    }
    Ok(piles)
}

/// Places an order at the pile, which begins to charge.
pub(crate) async fn charge(http: &mut Http, pile: &mut Pile) -> anyhow::Result<String> {
    let body = json!({ "member": member(pile.n), "pile": name(pile.n), "connector": 1, "prepay": "50.00" });
    let (placed, start) = tokio::join!(http.post("/v1/orders", &body), pile.told_start());
    let (placed, start) = (placed?, start?);
    let reply = pile.say_started(&start);
    pile.acknowledged(reply).await?;
    Ok(placed["id"].as_str().context("no order number")?.to_owned())
}

fn read(topic: &str, payload: &[u8]) -> anyhow::Result<Option<Told>> {
    if topic.ends_with("/ack") {
        return Ok(Some(Told::Ack(serde_json::from_slice(payload)?)));
    }
    if topic.ends_with("/command") {
        let start: StartSaid = serde_json::from_slice(payload)?;
        return Ok((start.kind == "start").then_some(Told::Start(start)));
    }
    Ok(None)
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    use std::io::Write;
    out.write_fmt(text).expect("a vector takes everything");
}

/// What the world's clock shows.
pub(crate) fn world_wall() -> Wall {
    let since = UNIX_EPOCH.elapsed().unwrap_or_default();
    Wall(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
