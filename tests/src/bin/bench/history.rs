//! A station with a past: a hundred thousand settled orders of one day, ten thousand open ones, a million journal entries.
//! Made by the rules and the store themselves, in large batches; then the real daemon is started on it.

use crate::{
    Scale, load,
    pile::{self, world_wall},
    process::mib,
    spread::ms,
    table::Row,
};
use anyhow::{Context, bail, ensure};
use domain::{
    ids::{BootId, ConnectorNo, MemberId, MsgId, OrderId, Outlet, PileId, Randomness},
    journal::Hash,
    messages::{
        Boot, BootConnector, CommandKind, Common, ConnectorReport, ConnectorStatus, Down, Heartbeat, Record, Reply,
        StopReason, Up, UpMessage,
    },
    order::Until,
    policy::Policy,
    site::{Answer, Effect, Input, Outcome, Place, Site},
    tariff::Tariff,
    time::{Mono, Now, Wall},
    units::{Energy, Fen, Power},
};
use edge::{
    clock::Mark,
    store::{Batch, Store},
};
use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};
use world::station::{SITE, Setup};

/// Inputs that go to disk together.
const BATCH: usize = 4_000;
const DAY_MS: i64 = 86_400_000;
/// How often it is started; the slowest counts.
const STARTS: usize = 3;

struct Dice(u128);

impl Randomness for Dice {
    fn bits(&mut self) -> u128 {
        // Any sequence without repetitions will do.
        self.0 = self
            .0
            .wrapping_mul(0x2360_ED05_1FC6_5DA4_4385_DF64_9FCC_F645)
            .wrapping_add(0x5851_F42D_4C95_7F2D);
        self.0
    }
}

/// Rules and store, run by hand.
struct Past {
    site: Site,
    store: Store,
    head: Hash,
    batch: Batch,
    waiting: usize,
    now: Now,
    dice: Dice,
    seq: u64,
}

impl Past {
    fn begin(database: &Path, at: Wall) -> anyhow::Result<Self> {
        let store = Store::open(database, &SITE.parse()?, 256 << 20)?;
        let recovered = store.recover()?;
        let site = Site::new(Policy::default(), recovered.head, recovered.rows);
        let now = Now {
            mono: Mono(1_000_000),
            wall: at,
        };
        Ok(Self {
            site,
            store,
            head: recovered.head_hash,
            batch: Batch::default(),
            waiting: 0,
            now,
            dice: Dice(1),
            seq: 0,
        })
    }

    fn pass(&mut self, ms: u64) {
        self.now.mono = self.now.mono.after_ms(ms);
        self.now.wall = self.now.wall.after_ms(i64::try_from(ms).unwrap_or(i64::MAX));
    }

    fn input(&mut self, input: Input) -> anyhow::Result<Outcome> {
        loop {
            let missing = self.site.needs(&input);
            if missing.is_empty() {
                break;
            }
            let reader = self.store.reader()?;
            for key in &missing {
                self.site.load(reader.load(key)?);
            }
        }
        let mut outcome = self.site.handle(self.now, &mut self.dice, input)?;
        self.batch.facts.append(&mut outcome.facts);
        if let Err(rejected) = &outcome.answer {
            bail!("a rule refused: {rejected}");
        }
        self.waiting += 1;
        Ok(outcome)
    }

    /// Writes what waits if that is much; only between whole steps, as rows are forgotten then.
    fn write(&mut self, at_least: usize) -> anyhow::Result<()> {
        if self.waiting < at_least {
            return Ok(());
        }
        self.batch.changes = self.site.take_changes();
        let mark = Mark {
            mono: self.now.mono,
            wall: Some(self.now.wall),
            kernel_boot: None,
            kernel_uptime_ms: 0,
            certain: None,
        };
        self.head = self.store.commit(&self.batch, self.site.rows(), self.head, &mark)?;
        self.batch = Batch::default();
        self.waiting = 0;
        self.site.evict();
        Ok(())
    }

    fn say(&mut self, n: usize, body: Up) -> anyhow::Result<Outcome> {
        self.seq += 1;
        let common = Common {
            boot_id: BootId::new("boot-of-the-past")?,
            seq: self.seq,
            mono_ms: self.now.mono.0,
            ts: Some(self.now.wall),
            msg_id: Some(MsgId::new(format!("m{}", self.seq))?),
        };
        self.input(Input::Message {
            pile: PileId::new(pile::name(n))?,
            message: UpMessage::new(common, body),
        })
    }

    fn provision(&mut self, n: usize) -> anyhow::Result<()> {
        let (pile, member) = (PileId::new(pile::name(n))?, MemberId::new(pile::member(n))?);
        self.input(Input::ProvisionPile {
            pile: pile.clone(),
            by: "setup".to_owned(),
        })?;
        self.input(Input::Connected { pile })?;
        let boot = Boot {
            vendor: "Bench".to_owned(),
            model: "B1".to_owned(),
            firmware: "1.0".to_owned(),
            connectors: vec![BootConnector {
                no: ConnectorNo(1),
                max_kw: Some(Power(60_000)),
                meter_kwh: Energy(100_000_000),
                order_id: None,
            }],
        };
        self.say(n, Up::Boot(boot))?;
        self.input(Input::RegisterMember {
            member: member.clone(),
            by: "desk".to_owned(),
            name: format!("member {n}"),
        })?;
        let receipt = format!("R-{n}");
        self.input(Input::TopUp {
            member,
            amount: Fen(10_000_000),
            receipt,
            by: "desk".to_owned(),
        })?;
        self.write(BATCH)
    }

    /// Places an order; the pile confirms the start.
    fn start(&mut self, n: usize) -> anyhow::Result<OrderId> {
        let outlet = Outlet {
            pile: PileId::new(pile::name(n))?,
            connector: ConnectorNo(1),
        };
        let place = Place {
            member: MemberId::new(pile::member(n))?,
            outlet,
            prepay: Some(Fen(5_000)),
            until: Until::default(),
        };
        let placed = self.input(Input::Place(place))?;
        let Ok(Answer::Order(order)) = placed.answer else {
            bail!("no order was placed");
        };
        let command = placed.effects.into_iter().find_map(|effect| match effect {
            Effect::Send {
                message: Down::Command(command),
                ..
            } if command.kind == CommandKind::Start => Some(command),
            _ => None,
        });
        let command_id = command.context("the pile was not told to start")?.command_id;
        self.pass(1);
        self.say(
            n,
            Up::Reply(Reply {
                command_id,
                ok: true,
                code: 0,
                message: String::new(),
                meter_kwh: None,
            }),
        )?;
        Ok(order)
    }

    /// The pile's record of a session that began at `began` and ends now; it is settled.
    fn settle(&mut self, n: usize, order: &OrderId, began: Now, start: Energy, stop: Energy) -> anyhow::Result<()> {
        let record = Record {
            order_id: order.clone(),
            connector: ConnectorNo(1),
            start_ts: Some(began.wall),
            stop_ts: Some(self.now.wall),
            start_mono_ms: began.mono.0,
            stop_mono_ms: self.now.mono.0,
            meter_start_kwh: start,
            meter_stop_kwh: stop,
            reason: StopReason {
                code: 7,
                text: "full".to_owned(),
            },
            offline: false,
            soc_start: Some(20),
            soc_stop: Some(80),
            samples: Vec::new(),
            periods: None,
            card_id: None,
            signed: None,
            session_boot_id: None,
        };
        self.say(n, Up::Record(Box::new(record))).map(drop)
    }

    /// A heartbeat: charging the order, or at rest.
    fn heartbeat(&mut self, n: usize, order: Option<&OrderId>, meter: Energy) -> anyhow::Result<()> {
        let report = ConnectorReport {
            no: ConnectorNo(1),
            status: order.map_or(ConnectorStatus::Idle, |_| ConnectorStatus::Charging),
            order_id: order.cloned(),
            voltage_v: Some(221.5),
            current_a: Some(if order.is_some() { 31.8 } else { 0.0 }),
            soc_pct: Some(47.0),
            temp_c: Some(35.0),
            meter_kwh: meter,
            faults: Vec::new(),
        };
        self.say(
            n,
            Up::Heartbeat(Heartbeat {
                connectors: vec![report],
            }),
        )?;
        Ok(())
    }

    /// Keeps what the connector last said, as the daemon does every 30 s.
    fn keep_live(&mut self, n: usize) -> anyhow::Result<()> {
        let outlet = Outlet {
            pile: PileId::new(pile::name(n))?,
            connector: ConnectorNo(1),
        };
        let live = self
            .site
            .outlet(&outlet)
            .cloned()
            .context("the heartbeat was not taken")?;
        self.batch.live.push((outlet, live));
        Ok(())
    }

    /// Every pile charges one car for two hours.
    fn round(&mut self, meters: &mut [Energy]) -> anyhow::Result<()> {
        const HOUR_MS: u64 = 3_600_000;
        let mut running = Vec::with_capacity(meters.len());
        let round_began = self.now;
        for n in 0..meters.len() {
            running.push((self.start(n)?, self.now));
            self.write(BATCH)?;
        }
        for part in 1..=2 {
            let passed = self.now.mono.ms_since(round_began.mono);
            self.pass((HOUR_MS * part).saturating_sub(passed));
            for (n, (order, began)) in running.iter().enumerate() {
                let start = meters[n];
                let delivered = 60_000 + (n % 1_000) as i64 * 7;
                if part == 1 {
                    self.heartbeat(n, Some(order), Energy(start.0 + delivered))?;
                } else {
                    meters[n] = Energy(start.0 + 2 * delivered - 3);
                    self.settle(n, order, *began, start, meters[n])?;
                    self.heartbeat(n, None, meters[n])?;
                }
                self.pass(1);
                self.write(BATCH)?;
            }
        }
        self.write(1)
    }
}

/// What the past came to.
struct Made {
    entries: u64,
    /// The day, as people write it, and how many orders were settled on it.
    day: String,
    settled: usize,
    open: usize,
}

/// Makes the past at `database`: rounds on the day before yesterday until there are entries enough, then the day that is
/// audited, then the orders that are open.
fn make(database: &Path, scale: Scale) -> anyhow::Result<Made> {
    let piles = scale.of(10_000, 100);
    let (rounds, entries) = (10, scale.of(1_000_000, 10_000) as u64);
    // The site's days begin at 16:00 UTC.
    let zone_ms = 8 * 3_600_000;
    let yesterday = (world_wall().0 + zone_ms).div_euclid(DAY_MS) * DAY_MS - zone_ms - DAY_MS;
    let minutes_past = 5 * 60_000;
    let mut past = Past::begin(database, Wall(yesterday - 2 * DAY_MS))?;
    let text = std::fs::read_to_string(Setup::new().tariff)?;
    let tariff = Tariff::from_toml(&text, "Asia/Shanghai").map_err(|faults| anyhow::anyhow!("{faults}"))?;
    past.input(Input::AddTariff {
        tariff,
        by: "setup".to_owned(),
    })?;
    past.input(Input::ClockTrust(true))?;
    for n in 0..piles {
        past.provision(n)?;
    }
    past.write(1)?;
    let provisioned = past.site.last().seq;
    let mut meters = vec![Energy(100_000_000); piles];
    let mut before = 0;
    loop {
        past.round(&mut meters)?;
        before += 1;
        let a_round = (past.site.last().seq - provisioned) / before;
        if provisioned + a_round * (before + rounds) >= entries {
            break;
        }
    }
    let begin = Wall(yesterday + minutes_past);
    let wait = begin.ms_since(past.now.wall);
    ensure!(wait >= 0, "the day before was too short for its rounds");
    past.pass(wait.unsigned_abs());
    for _ in 0..rounds {
        past.round(&mut meters)?;
    }
    for (n, meter) in meters.iter().enumerate() {
        let order = past.start(n)?;
        past.pass(1);
        past.heartbeat(n, Some(&order), Energy(meter.0 + 100))?;
        past.keep_live(n)?;
        past.write(BATCH)?;
    }
    past.write(1)?;
    Ok(Made {
        entries: past.site.last().seq,
        day: Wall(begin.0 + zone_ms).to_string()[..10].to_owned(),
        settled: piles * rounds as usize,
        open: piles,
    })
}

/// Both rows of a station with a past.
pub(crate) async fn history(scale: Scale, start: bool, bills: bool) -> anyhow::Result<Vec<Row>> {
    let mut station = load::unstarted("history")?;
    let database = station.database();
    std::fs::create_dir_all(database.parent().context("the database lies in a folder")?)?;
    let begun = Instant::now();
    let made = tokio::task::spawn_blocking({
        let database = database.clone();
        move || make(&database, scale)
    })
    .await??;
    let bytes = std::fs::metadata(&database)?.len();
    eprintln!(
        "made {} entries, {} in {:.0} s",
        made.entries,
        mib(bytes),
        begun.elapsed().as_secs_f64()
    );
    let mut rows = Vec::new();
    station.start_again().await?;
    if start {
        let mut times = Vec::new();
        for n in 0..STARTS {
            // Something is committed, so that the file is that of a station at work.
            station.add_member(&format!("after-{n}"), "1.00").await?;
            station.kill()?;
            drop_cache(&database)?;
            let begun = Instant::now();
            station.start_again().await?;
            times.push(begun.elapsed());
        }
        let slowest = times.iter().max().copied().unwrap_or_default();
        rows.push(Row {
            what: format!(
                "start after SIGKILL, cold cache, {} open orders, {} journal entries",
                made.open, made.entries
            ),
            measured: format!("{} (slowest of {STARTS}; database {})", ms(slowest), mib(bytes)),
            yardstick: "–".to_owned(),
            ratio: None,
            aim: "1 s".to_owned(),
            met: slowest <= Duration::from_secs(1),
        });
    }
    if bills {
        let begun = Instant::now();
        let path = format!("/v1/bills/audit?day={}", made.day);
        let audit = station.get(&path).await?.success()?;
        let took = begun.elapsed();
        let count = |key: &str| audit[key].as_u64().with_context(|| format!("no {key} in {audit}"));
        let (rated, same) = (count("rated")?, count("same")?);
        ensure!(
            rated == made.settled as u64,
            "{rated} bills were rated again, {} settled",
            made.settled
        );
        rows.push(Row {
            what: format!("a day's bill run: {rated} orders re-rated"),
            measured: format!("{}, {same} the same to the fen", ms(took)),
            yardstick: "–".to_owned(),
            ratio: None,
            aim: "1 s".to_owned(),
            met: took <= Duration::from_secs(1) && same == rated,
        });
    }
    Ok(rows)
}

/// Has the kernel forget what it holds of a file: `dd` advises it so.
fn drop_cache(file: &Path) -> anyhow::Result<()> {
    let mut of = std::ffi::OsString::from("if=");
    of.push(file);
    let status = Command::new("dd")
        .arg(of)
        .args(["iflag=nocache", "count=0", "status=none"])
        .status()?;
    ensure!(status.success(), "dd failed");
    Ok(())
}
