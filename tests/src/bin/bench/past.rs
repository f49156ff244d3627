//! A station's past, made by the rules themselves with nobody waiting: orders on piles, one input after the other.

use crate::pile;
use anyhow::{Context, bail};
use domain::{
    fact::Fact,
    ids::{BootId, ConnectorNo, MemberId, MsgId, OrderId, Outlet, PileId, Randomness},
    journal::Stamp,
    messages::{
        Boot, BootConnector, CommandKind, Common, ConnectorReport, ConnectorStatus, Down, Heartbeat, Record, Reply,
        StopReason, Up, UpMessage,
    },
    order::Until,
    policy::Policy,
    site::{Answer, Effect, Input, Key, Loaded, Outcome, Place, Rows, Site},
    tariff::Tariff,
    time::{Mono, Now, Wall},
    units::{Energy, Fen, Power},
};
use world::station::Setup;

/// Inputs that are kept together.
pub(crate) const BATCH: usize = 4_000;
const HOUR_MS: u64 = 3_600_000;

/// Where a past goes.
pub(crate) trait Keep {
    /// A row that the rules need and do not have in memory.
    fn load(&self, key: Key) -> anyhow::Result<Loaded>;
    /// Keeps what was decided since the last time.
    fn keep(&mut self, site: &mut Site, now: Now, facts: Vec<(Stamp, Fact)>) -> anyhow::Result<()>;
}

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

/// Rules, run by hand, and where their facts go.
pub(crate) struct Past<K> {
    pub(crate) site: Site,
    pub(crate) kept: K,
    facts: Vec<(Stamp, Fact)>,
    waiting: usize,
    pub(crate) now: Now,
    dice: Dice,
    seq: u64,
}

impl<K: Keep> Past<K> {
    /// Goes on after these rows, whose last entry has this stamp, from a point in time.
    pub(crate) fn begin(kept: K, last: Stamp, rows: Rows, at: Wall) -> Self {
        Self {
            site: Site::new(Policy::default(), last, rows),
            kept,
            facts: Vec::new(),
            waiting: 0,
            now: Now {
                mono: Mono(1_000_000),
                wall: at,
            },
            dice: Dice(1),
            seq: 0,
        }
    }

    /// The first entries: a tariff, and a clock that can be trusted.
    pub(crate) fn open(&mut self) -> anyhow::Result<()> {
        let text = std::fs::read_to_string(Setup::new().tariff)?;
        let tariff = Tariff::from_toml(&text, "Asia/Shanghai").map_err(|faults| anyhow::anyhow!("{faults}"))?;
        let by = "setup".to_owned();
        self.input(Input::AddTariff { tariff, by })?;
        self.input(Input::ClockTrust(true))?;
        Ok(())
    }

    pub(crate) fn pass(&mut self, ms: u64) {
        self.now.mono = self.now.mono.after_ms(ms);
        self.now.wall = self.now.wall.after_ms(i64::try_from(ms).unwrap_or(i64::MAX));
    }

    pub(crate) fn input(&mut self, input: Input) -> anyhow::Result<Outcome> {
        loop {
            let missing = self.site.needs(&input);
            if missing.is_empty() {
                break;
            }
            for key in missing {
                let row = self.kept.load(key)?;
                self.site.load(row);
            }
        }
        let mut outcome = self.site.handle(self.now, &mut self.dice, input)?;
        self.facts.append(&mut outcome.facts);
        if let Err(rejected) = &outcome.answer {
            bail!("a rule refused: {rejected}");
        }
        self.waiting += 1;
        Ok(outcome)
    }

    /// Keeps what waits if that is much; only between whole steps, as rows may be forgotten then.
    pub(crate) fn write(&mut self, at_least: usize) -> anyhow::Result<()> {
        if self.waiting < at_least {
            return Ok(());
        }
        self.waiting = 0;
        let facts = std::mem::take(&mut self.facts);
        self.kept.keep(&mut self.site, self.now, facts)
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

    /// A pile that has said how it is, with one connector.
    pub(crate) fn provision(&mut self, n: usize) -> anyhow::Result<()> {
        let pile = PileId::new(pile::name(n))?;
        // Steps of one time are taken for one.
        self.pass(1);
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
        self.write(BATCH)
    }

    /// A member with money.
    pub(crate) fn register(&mut self, n: usize) -> anyhow::Result<()> {
        let member = MemberId::new(pile::member(n))?;
        self.pass(1);
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
    pub(crate) fn start(&mut self, n: usize, member: usize) -> anyhow::Result<OrderId> {
        let outlet = Outlet {
            pile: PileId::new(pile::name(n))?,
            connector: ConnectorNo(1),
        };
        let place = Place {
            member: MemberId::new(pile::member(member))?,
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
    pub(crate) fn heartbeat(&mut self, n: usize, order: Option<&OrderId>, meter: Energy) -> anyhow::Result<()> {
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

    /// Every pile charges one car for two hours; `member` says whose.
    pub(crate) fn round(&mut self, meters: &mut [Energy], member: impl Fn(usize) -> usize) -> anyhow::Result<()> {
        let mut running = Vec::with_capacity(meters.len());
        let round_began = self.now;
        for n in 0..meters.len() {
            running.push((self.start(n, member(n))?, self.now));
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
