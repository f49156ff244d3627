//! A station on a bench: a `Site`, a clock that moves when told, random numbers from a seed, and piles that say what a
//! test wants. Around the site it does what the edge does: load what is needed, decide, write what changed, evict.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part of the bench")]
#![allow(clippy::unwrap_used, reason = "what a test cannot go on without fails it")]

use domain::{
    fact::{Fact, PaidFrom},
    ids::{BootId, CardId, CommandId, ConnectorNo, MemberId, MsgId, OrderId, Outlet, PileId, Randomness},
    journal::{Entry, Stamp},
    ledger::{Account, Transfer},
    messages::{
        Ack, Boot, BootConnector, CommandKind, CommandMessage, Common, ConnectorReport, ConnectorStatus, Down, Event,
        EventKind, Heartbeat, Record, Reply, StopReason, Swipe, Up, UpMessage,
    },
    notice::NoticeKey,
    order::{Order, OrderRow, State, Until},
    policy::Policy,
    site::{Answer, Changes, Effect, Input, Key, Loaded, Outcome, OutletLive, Place, Rejected, Rows, Site},
    tariff::Tariff,
    time::{Mono, Now, Wall},
    units::{Energy, Fen, Power},
};
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

pub const SECOND: u64 = 1_000;
pub const MINUTE: u64 = 60 * SECOND;
pub const HOUR: u64 = 60 * MINUTE;
pub const DAY: u64 = 24 * HOUR;

/// Valley 0.60, flat 1.00, peak 1.50 yuan per kWh; flat from noon to midnight.
pub const TARIFF: &str = r#"
id = "t1"
effective_from = 2026-01-01T00:00:00+08:00
currency = "CNY"
[prices]
peak   = { electricity = "1.00", service = "0.50" }
flat   = { electricity = "0.60", service = "0.40" }
valley = { electricity = "0.30", service = "0.30" }
[[schedules]]
periods = [
    { from = "00:00", to = "08:00", kind = "valley" },
    { from = "08:00", to = "12:00", kind = "peak" },
    { from = "12:00", to = "24:00", kind = "flat" },
]
"#;

pub fn pile(id: &str) -> PileId {
    PileId::new(id).unwrap()
}

pub fn member(id: &str) -> MemberId {
    MemberId::new(id).unwrap()
}

pub fn outlet(id: &str) -> Outlet {
    Outlet {
        pile: pile(id),
        connector: ConnectorNo(1),
    }
}

pub fn order_id(id: &str) -> OrderId {
    OrderId::new(id).unwrap()
}

pub fn kwh(text: &str) -> Energy {
    text.parse().unwrap()
}

pub fn yuan(text: &str) -> Fen {
    text.parse().unwrap()
}

pub fn wall(text: &str) -> Wall {
    Wall::parse(text).unwrap()
}

/// A number that no receipt had before.
fn next_receipt() -> String {
    static RECEIPTS: AtomicU64 = AtomicU64::new(0);
    format!("r{}", RECEIPTS.fetch_add(1, Ordering::Relaxed))
}

/// SplitMix64: enough for ids.
#[derive(Clone)]
pub struct Seeded(pub u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Randomness for Seeded {
    fn bits(&mut self) -> u128 {
        (u128::from(self.next()) << 64) | u128::from(self.next())
    }
}

/// A row as a store has it that keeps what [`keep`] writes.
pub fn stored(disk: &Rows, key: Key) -> Loaded {
    let balance = |account: Account| disk.ledger.balance(&account);
    match key {
        Key::Order(id) => Loaded::Order {
            held: balance(Account::Held(id.clone())),
            order: disk.orders.get(&id).cloned().flatten(),
            id,
        },
        Key::Member(id) => Loaded::Member {
            allowance: balance(Account::Allowance(id.clone())),
            debt: balance(Account::Debt(id.clone())),
            member: disk.members.get(&id).cloned().flatten(),
            id,
        },
        Key::Card(id) => Loaded::Card {
            card: disk.cards.get(&id).cloned().flatten(),
            id,
        },
        Key::Quarantine(item) => Loaded::Quarantine {
            item,
            row: disk.quarantine.get(&item).cloned().flatten(),
        },
        Key::SetAside(pile, digest) => {
            let content = (pile, digest);
            let item = disk.set_aside.get(&content).copied().flatten();
            Loaded::SetAside { content, item }
        }
        Key::Receipt(receipt) => Loaded::Receipt {
            used: disk.receipts.get(&receipt).cloned().flatten(),
            receipt,
        },
        Key::Slip(slip) => Loaded::Slip {
            used: disk.slips.get(&slip).cloned().flatten(),
            slip,
        },
    }
}

/// Writes everything that changed, and nothing else.
pub fn keep(disk: &mut Rows, rows: &Rows, changes: &Changes) {
    for id in &changes.piles {
        disk.piles.insert(id.clone(), rows.piles[id].clone());
    }
    for id in &changes.tariffs {
        disk.tariffs.insert(id.clone(), rows.tariffs[id].clone());
    }
    for id in &changes.orders {
        disk.orders.insert(id.clone(), rows.orders[id].clone());
    }
    for id in &changes.members {
        disk.members.insert(id.clone(), rows.members[id].clone());
    }
    for id in &changes.cards {
        disk.cards.insert(id.clone(), rows.cards[id].clone());
    }
    for id in &changes.quarantine {
        let item = rows.quarantine[id].clone();
        let content = item.as_ref().map(|item| (item.pile.clone(), item.digest.clone()));
        disk.set_aside.extend(content.map(|content| (content, Some(*id))));
        disk.quarantine.insert(*id, item);
    }
    for receipt in &changes.receipts {
        disk.receipts.insert(receipt.clone(), rows.receipts[receipt].clone());
    }
    if changes.day_began {
        disk.energy.days = rows.energy.days;
    }
    for key in &changes.energy_days {
        match rows.energy.open.get(key) {
            Some(sums) => disk.energy.open.insert(key.clone(), sums.clone()),
            None => disk.energy.open.remove(key),
        };
    }
    for day in &changes.energy_reports {
        disk.energy_reports.insert(*day, rows.energy_reports[day].clone());
        disk.energy.reported.clone_from(&rows.energy.reported);
    }
    if changes.clock {
        disk.clock.clone_from(&rows.clock);
    }
    if changes.desk {
        disk.desk = rows.desk;
    }
    for shift in &changes.shifts {
        disk.shifts.insert(*shift, rows.shifts[shift].clone());
    }
    for key in &changes.desk_days {
        disk.desk_days.insert(*key, rows.desk_days[key].clone());
    }
    if changes.head_office {
        disk.head_office = rows.head_office.clone();
    }
    for slip in &changes.slips {
        disk.slips.insert(slip.clone(), rows.slips[slip].clone());
    }
    for account in &changes.accounts {
        disk.ledger.load(account.clone(), rows.ledger.balance(account));
    }
}

/// What a pile on the bench knows of itself.
#[derive(Clone)]
pub struct SimPile {
    pub boot: String,
    pub boots: u32,
    pub booted_at: Mono,
    pub seq: u64,
    /// How far its clock is ahead of the station's, or that it has none.
    pub clock_ahead_ms: Option<i64>,
    pub meter: Energy,
    pub max_kw: Power,
    /// The order it says it is in, as its last heartbeat had it: its next boot says the same.
    pub session: Option<OrderId>,
}

impl SimPile {
    /// What it puts on the wire at that moment; a time that cannot be read would be malformed.
    pub fn clock_says(&self, wall: Wall) -> Option<Wall> {
        let last = Wall(Wall::RANGE.end.0 - 1);
        self.clock_ahead_ms
            .map(|ahead| wall.after_ms(ahead).clamp(Wall::RANGE.start, last))
    }
}

pub struct Bench {
    pub site: Site,
    pub now: Now,
    pub disk: Rows,
    pub facts: Vec<(Stamp, Fact)>,
    /// After how many facts each step ended.
    pub steps: Vec<usize>,
    pub transfers: Vec<Transfer>,
    pub piles: BTreeMap<PileId, SimPile>,
    pub evicts: bool,
    pub rng: Seeded,
    messages: u64,
}

impl Bench {
    /// A station without anything, on Monday 2 March 2026 at 12:30.
    pub fn bare(policy: Policy) -> Self {
        let start = Stamp {
            seq: 0,
            at: Wall(0),
            mono: Mono(0),
        };
        Self {
            site: Site::new(policy, start, Rows::default()),
            now: Now {
                mono: Mono(5_000_000),
                wall: wall("2026-03-02T12:30:00+08:00"),
            },
            disk: Rows::default(),
            facts: Vec::new(),
            steps: Vec::new(),
            transfers: Vec::new(),
            piles: BTreeMap::new(),
            evicts: true,
            rng: Seeded(7),
            messages: 0,
        }
    }

    /// With the tariff, piles P1, P2 and P3 of 7 kW connected and booted at 1000 kWh, and member `m` with ¥60 and card
    /// `c1`. Piles on the bench speak when a test has them speak, so silence means nothing here, unless the policy says a
    /// time of its own for it: [`Bench::watchful`].
    pub fn with(mut policy: Policy) -> Self {
        if policy.silent_ms == Policy::default().silent_ms {
            policy.silent_ms = 1_000 * DAY;
        }
        let mut bench = Self::bare(policy);
        bench.furnish();
        bench
    }

    pub fn new() -> Self {
        Self::with(Policy::default())
    }

    /// One where a connector that says nothing for ten minutes counts as not charging.
    pub fn watchful() -> Self {
        let mut bench = Self::bare(Policy::default());
        bench.furnish();
        bench
    }

    pub fn furnish(&mut self) {
        let tariff = Tariff::from_toml(TARIFF, "Asia/Shanghai").unwrap();
        self.ok(Input::AddTariff {
            tariff,
            by: "setup".to_owned(),
        });
        for id in ["P1", "P2", "P3"] {
            self.ok(Input::ProvisionPile {
                pile: pile(id),
                by: "setup".to_owned(),
            });
            self.piles.insert(
                pile(id),
                SimPile {
                    boot: format!("{id}-boot1"),
                    boots: 1,
                    booted_at: self.now.mono,
                    seq: 0,
                    clock_ahead_ms: Some(0),
                    meter: kwh("1000"),
                    max_kw: "7".parse().unwrap(),
                    session: None,
                },
            );
            self.connect(id);
        }
        self.member("m", "60");
        self.ok(Input::BindCard {
            card: CardId::new("c1").unwrap(),
            by: "desk".to_owned(),
            member: member("m"),
        });
    }

    pub fn member(&mut self, id: &str, money: &str) {
        self.ok(Input::RegisterMember {
            member: member(id),
            by: "desk".to_owned(),
            name: id.to_owned(),
        });
        if yuan(money) > Fen::ZERO {
            self.top_up(id, money);
        }
    }

    pub fn top_up(&mut self, id: &str, money: &str) {
        self.ok(Input::TopUp {
            member: member(id),
            amount: yuan(money),
            receipt: format!("top-up {}", self.facts.len()),
            by: "desk".to_owned(),
        });
    }

    /// Loads, decides, writes, evicts; checks the books on disk.
    pub fn handle(&mut self, input: Input) -> Outcome {
        for round in 0.. {
            let keys = self.site.needs(&input);
            if keys.is_empty() {
                break;
            }
            assert!(round < 10, "needs are met in the end: {keys:?}");
            for key in keys {
                self.load(key);
            }
        }
        let outcome = self
            .site
            .handle(self.now, &mut self.rng, input)
            .expect("the books are right");
        let changes = self.site.take_changes();
        self.write(&changes);
        self.facts.extend(outcome.facts.iter().cloned());
        self.steps.push(self.facts.len());
        if self.evicts {
            self.site.evict();
        }
        self.check_books();
        outcome
    }

    pub fn load(&mut self, key: Key) {
        self.site.load(stored(&self.disk, key));
    }

    fn write(&mut self, changes: &Changes) {
        keep(&mut self.disk, self.site.rows(), changes);
        self.transfers.extend(changes.transfers.iter().cloned());
    }

    /// Money is conserved, holds and debts agree with the orders, and what is open is in memory.
    pub fn check_books(&self) {
        assert_eq!(self.disk.ledger.total(), Fen::ZERO, "all accounts sum to zero");
        let mut debts: BTreeMap<&MemberId, Fen> = BTreeMap::new();
        let (mut electricity, mut service, mut refunded) = (Fen::ZERO, Fen::ZERO, Fen::ZERO);
        for order in self.disk.orders() {
            let held = self.disk.ledger.balance(&Account::Held(order.id.clone()));
            assert_eq!(held, order.hold.remaining(), "the hold of {}", order.id);
            assert!(!held.is_negative());
            *debts.entry(&order.member).or_default() += order.paid.debt;
            electricity += order.paid.electricity;
            service += order.paid.service;
            refunded += order.paid.refunded;
            if order.state.is_open() {
                assert_eq!(
                    self.site.rows().orders.get(&order.id),
                    Some(&Some(order.clone())),
                    "open orders are in memory"
                );
            }
            let listed = &self.disk.members[&order.member].as_ref().unwrap().open_orders;
            assert_eq!(
                listed.contains(&order.id),
                order.state.is_open(),
                "{} is listed",
                order.id
            );
            if matches!(order.state, State::Payed | State::Unpaid) && order.paid.refunded == Fen::ZERO {
                let bill = order.bill().expect("a settled order has a bill");
                let booked = (order.paid.electricity, order.paid.service);
                assert_eq!(
                    booked,
                    (bill.electricity, bill.service),
                    "{} is booked as billed",
                    order.id
                );
            }
        }
        for (account, balance) in self.disk.ledger.accounts() {
            match account {
                Account::Allowance(_) | Account::Held(_) => assert!(!balance.is_negative(), "{account}"),
                Account::Debt(member) => {
                    assert_eq!(-balance, debts.get(member).copied().unwrap_or_default(), "{account}");
                }
                Account::SalesElectricity => assert_eq!(balance, electricity),
                Account::SalesService => assert_eq!(balance, service),
                Account::Refund => assert_eq!(-balance, refunded - self.marked()),
                Account::Cash | Account::CashOver | Account::Bank => {}
                Account::HeadOffice => assert_eq!(-balance, self.on_site(), "what head office has here"),
            }
        }
        self.check_desk();
    }

    /// What head office has given back for orders.
    fn marked(&self) -> Fen {
        let marks = self.facts.iter().filter_map(|(_, fact)| match fact {
            Fact::RefundMarked { amount, .. } => Some(*amount),
            _ => None,
        });
        marks.sum()
    }

    /// What came out of wallets and has not gone back.
    fn on_site(&self) -> Fen {
        let moved = self.facts.iter().map(|(_, fact)| match fact {
            Fact::LeaseReceived { amount, .. }
            | Fact::DebtPaid {
                from: PaidFrom::HeadOffice,
                amount,
                ..
            } => *amount,
            Fact::LeaseReturned { amount, .. } => -*amount,
            _ => Fen::ZERO,
        });
        moved.sum()
    }

    /// Shifts and days hold what the account `cash` moved, and nothing of it is missing between two days.
    fn check_desk(&self) {
        let (disk, mut till) = (&self.disk, Fen::ZERO);
        let days: BTreeMap<u64, _> = disk.desk_days.values().map(|day| (day.first, day)).collect();
        for (n, day) in days.values().enumerate() {
            assert!(
                n == 0 || day.opening == till,
                "{day:?} begins where the day before ended"
            );
            till = day.closing();
        }
        assert_eq!(till, disk.till(), "the days add up to the till");
        let (over, banked) = days.values().fold((Fen::ZERO, Fen::ZERO), |(over, banked), day| {
            (over + day.moved.over, banked + day.moved.banked)
        });
        let balance = |account| disk.ledger.balance(&account);
        assert_eq!((balance(Account::CashOver), -balance(Account::Bank)), (over, banked));
        for shift in disk.shifts.values() {
            let last = shift.closed.as_ref().map_or(u64::MAX, |_| {
                let closes =
                    |fact: &Fact| matches!(fact, Fact::ShiftClosed { shift: number, .. } if *number == shift.number);
                let closed = self.facts.iter().find(|(_, fact)| closes(fact));
                closed.expect("a closed shift has its fact").0.seq
            });
            let moved = self
                .transfers
                .iter()
                .filter(|one| (shift.number..=last).contains(&one.cause));
            let moved: Fen = moved
                .map(|one| match (&one.debit, &one.credit) {
                    (Account::Cash, _) => one.amount,
                    (_, Account::Cash) => -one.amount,
                    _ => Fen::ZERO,
                })
                .sum();
            assert_eq!(shift.moved.net(), moved, "{shift:?}");
        }
    }

    /// The process ends and starts again from disk; live data of the connectors survives if `live` says so.
    pub fn restart(&mut self, live: bool) {
        self.restart_as(self.site.policy().clone(), live);
    }

    /// The same with other rules.
    pub fn restart_as(&mut self, policy: Policy, live: bool) {
        let mut rows = Rows {
            piles: self.disk.piles.clone(),
            tariffs: self.disk.tariffs.clone(),
            energy: self.disk.energy.clone(),
            clock: self.disk.clock.clone(),
            desk: self.disk.desk,
            head_office: self.disk.head_office.clone(),
            ..Rows::default()
        };
        let mut accounts = Account::OF_STATION.to_vec();
        if let Some(number) = self.disk.desk.shift {
            rows.shifts.insert(number, self.disk.shifts[&number].clone());
        }
        if let Some(key) = self.disk.desk.day {
            rows.desk_days.insert(key, self.disk.desk_days[&key].clone());
        }
        for order in self.disk.orders().filter(|order| order.state.is_open()) {
            let member = &order.member;
            rows.orders.insert(order.id.clone(), Some(order.clone()));
            rows.members.insert(member.clone(), self.disk.members[member].clone());
            accounts.extend([
                Account::Held(order.id.clone()),
                Account::Allowance(member.clone()),
                Account::Debt(member.clone()),
            ]);
        }
        for account in accounts {
            let balance = self.disk.ledger.balance(&account);
            rows.ledger.load(account, balance);
        }
        let kept: Vec<(Outlet, OutletLive)> = self
            .site
            .outlets()
            .map(|(outlet, live)| (outlet.clone(), live.clone()))
            .collect();
        self.site = Site::new(policy, self.site.last(), rows);
        if live {
            for (outlet, kept) in kept {
                self.site.restore_live(outlet, kept);
            }
        }
    }

    /// What the journal alone says the rows are; every fact goes through its stored bytes.
    pub fn replayed(&self) -> Rows {
        let mut rows = Rows::default();
        let mut changes = Changes::default();
        for (stamp, fact) in &self.facts {
            let entry = Entry {
                site: "S1".parse().unwrap(),
                epoch: "e".to_owned(),
                stamp: *stamp,
                fact: fact.clone(),
            };
            let read = Entry::from_bytes(&entry.to_bytes()).expect("a stored fact can be read");
            assert_eq!(read, entry);
            rows.apply(read.stamp, &read.fact, &mut changes);
        }
        rows
    }

    /// The orders that the journal alone says there are.
    pub fn replayed_orders(&self) -> BTreeMap<OrderId, Option<Order>> {
        self.replayed().orders
    }

    // Time.

    /// Lets time pass; deadlines are kept on the way.
    pub fn advance(&mut self, ms: u64) -> Vec<Outcome> {
        let until = self.now.mono.after_ms(ms);
        let mut outcomes = Vec::new();
        while let Some(at) = self.site.next_deadline().filter(|at| *at <= until) {
            self.pass(at.ms_since(self.now.mono));
            outcomes.push(self.handle(Input::Tick));
        }
        self.pass(until.ms_since(self.now.mono));
        outcomes
    }

    /// Lets time pass without anybody looking.
    pub fn pass(&mut self, ms: u64) {
        self.now.mono = self.now.mono.after_ms(ms);
        self.now.wall = self.now.wall.after_ms(i64::try_from(ms).unwrap());
    }

    // People.

    pub fn ok(&mut self, input: Input) -> Outcome {
        let shown = format!("{input:?}");
        let outcome = self.handle(input);
        assert!(outcome.answer.is_ok(), "{shown}: {:?}", outcome.answer);
        outcome
    }

    pub fn refused(&mut self, input: Input) -> Rejected {
        let before = (self.disk.clone(), self.facts.len());
        let outcome = self.handle(input);
        assert_eq!(
            (&self.disk, self.facts.len()),
            (&before.0, before.1),
            "a refusal changes nothing"
        );
        outcome.answer.expect_err("refused")
    }

    pub fn place_input(&self, who: &str, at: &str, prepay: &str) -> Input {
        Input::Place(Place {
            member: member(who),
            outlet: outlet(at),
            prepay: Some(yuan(prepay)),
            until: Until::default(),
        })
    }

    pub fn place(&mut self, who: &str, at: &str, prepay: &str) -> OrderId {
        let input = self.place_input(who, at, prepay);
        placed(&self.ok(input))
    }

    pub fn stop_input(id: &OrderId) -> Input {
        Input::Stop {
            order: id.clone(),
            by: "driver".to_owned(),
        }
    }

    pub fn close_input(id: &OrderId) -> Input {
        Input::Close {
            order: id.clone(),
            by: "desk".to_owned(),
        }
    }

    pub fn decide_input(id: &OrderId, decision: domain::site::Decision) -> Input {
        Input::Decide {
            order: id.clone(),
            decision,
            reason: "looked".to_owned(),
            by: "desk".to_owned(),
        }
    }

    /// A person has `bill_to` pay for a quarantine item, or dismisses it.
    pub fn close_item_input(item: u64, bill_to: Option<&str>) -> Input {
        Input::CloseQuarantine {
            item,
            bill_to: bill_to.map(member),
            despite: Vec::new(),
            typed: None,
            reason: "the driver called".to_owned(),
            by: "desk".to_owned(),
        }
    }

    pub fn refund_input(id: &OrderId, amount: &str) -> Input {
        Input::Refund {
            order: id.clone(),
            amount: yuan(amount),
            reason: "sorry".to_owned(),
            by: "desk".to_owned(),
        }
    }

    pub fn correct_input(id: &OrderId, electricity: &str, service: &str, by: &str) -> Input {
        Input::CorrectBill {
            order: id.clone(),
            electricity: yuan(electricity),
            service: yuan(service),
            reason: "complaint upheld".to_owned(),
            by: by.to_owned(),
        }
    }

    pub fn approve_input(id: &OrderId, proposal: u64, by: &str) -> Input {
        Input::ApproveCorrection {
            order: id.clone(),
            proposal,
            by: by.to_owned(),
        }
    }

    pub fn pay_debt_input(who: &str, amount: &str, from: domain::fact::PaidFrom) -> Input {
        Input::PayDebt {
            member: member(who),
            amount: yuan(amount),
            from,
            receipt: next_receipt(),
            by: "desk".to_owned(),
        }
    }

    // Piles.

    pub fn sim(&mut self, id: &str) -> &mut SimPile {
        self.piles.get_mut(&pile(id)).unwrap()
    }

    pub fn message(&mut self, id: &str, body: Up) -> Input {
        self.messages += 1;
        let (now, number) = (self.now, self.messages);
        let sim = self.sim(id);
        sim.seq += 1;
        let common = Common {
            boot_id: BootId::new(&sim.boot).unwrap(),
            seq: sim.seq,
            mono_ms: now.mono.ms_since(sim.booted_at),
            ts: sim.clock_says(now.wall),
            msg_id: Some(MsgId::new(format!("m{number}")).unwrap()),
        };
        Input::Message {
            pile: pile(id),
            message: UpMessage::new(common, body),
        }
    }

    pub fn say(&mut self, id: &str, body: Up) -> Outcome {
        let input = self.message(id, body);
        self.handle(input)
    }

    pub fn connect(&mut self, id: &str) -> Outcome {
        self.ok(Input::Connected { pile: pile(id) });
        self.boot(id)
    }

    pub fn boot(&mut self, id: &str) -> Outcome {
        let sim = self.sim(id);
        let boot = Boot {
            vendor: "v".to_owned(),
            model: "m".to_owned(),
            firmware: "1".to_owned(),
            connectors: vec![BootConnector {
                no: ConnectorNo(1),
                max_kw: Some(sim.max_kw),
                meter_kwh: sim.meter,
                order_id: sim.session.clone(),
            }],
        };
        self.say(id, Up::Boot(boot))
    }

    /// The pile starts anew: another boot id, its uptime begins again.
    pub fn restart_pile(&mut self, id: &str) {
        let mono = self.now.mono;
        let sim = self.sim(id);
        sim.boots += 1;
        sim.boot = format!("{id}-boot{}", sim.boots);
        sim.booted_at = mono;
        sim.seq = 0;
        sim.session = None;
    }

    pub fn disconnect(&mut self, id: &str, dropped: bool) -> Outcome {
        self.handle(Input::Disconnected {
            pile: pile(id),
            dropped,
        })
    }

    pub fn heartbeat(&mut self, id: &str, status: ConnectorStatus, order: Option<&OrderId>) -> Outcome {
        let sim = self.sim(id);
        sim.session = order.cloned();
        let meter_kwh = sim.meter;
        let flowing = status == ConnectorStatus::Charging;
        let report = ConnectorReport {
            no: ConnectorNo(1),
            status,
            order_id: order.cloned(),
            voltage_v: Some(220.0),
            current_a: Some(if flowing { 31.8 } else { 0.0 }),
            soc_pct: None,
            temp_c: None,
            meter_kwh,
            faults: Vec::new(),
        };
        self.report(id, report)
    }

    pub fn report(&mut self, id: &str, report: ConnectorReport) -> Outcome {
        let connectors = vec![report];
        self.say(id, Up::Heartbeat(Heartbeat { connectors }))
    }

    pub fn charging(&mut self, id: &str, order: &OrderId) -> Outcome {
        self.heartbeat(id, ConnectorStatus::Charging, Some(order))
    }

    pub fn idle(&mut self, id: &str) -> Outcome {
        self.heartbeat(id, ConnectorStatus::Idle, None)
    }

    pub fn reply(&mut self, id: &str, command: &CommandId, ok: bool) -> Outcome {
        let reply = Reply {
            command_id: command.clone(),
            ok,
            code: i32::from(!ok) * 7,
            message: if ok { String::new() } else { "no car".to_owned() },
            meter_kwh: None,
        };
        self.say(id, Up::Reply(reply))
    }

    pub fn event(&mut self, id: &str, kind: EventKind) -> Outcome {
        let event = Event {
            connector: ConnectorNo(1),
            kind,
            code: 3,
            text: "hot".to_owned(),
        };
        self.say(id, Up::Event(event))
    }

    pub fn swipe(&mut self, id: &str, card: &str) -> Outcome {
        let swipe = Swipe {
            connector: ConnectorNo(1),
            card_id: CardId::new(card).unwrap(),
        };
        self.say(id, Up::Card(swipe))
    }

    /// The record of a session from `start` to now, from `from` to `to` on the register; the pile's clock and uptime tell
    /// the times. While nobody hears of the pile, its meter has gone along.
    pub fn record_since(&mut self, id: &str, order: &OrderId, start: Now, from: &str, to: &str) -> Record {
        let now = self.now;
        let presence = self.site.presence(&pile(id));
        let is_away = presence.is_none_or(|presence| presence.online_since.is_none());
        let sim = self.sim(id);
        if is_away {
            sim.meter = sim.meter.max(kwh(to));
        }
        Record {
            order_id: order.clone(),
            connector: ConnectorNo(1),
            start_ts: sim.clock_says(start.wall),
            stop_ts: sim.clock_says(now.wall),
            start_mono_ms: start.mono.ms_since(sim.booted_at),
            stop_mono_ms: now.mono.ms_since(sim.booted_at),
            meter_start_kwh: kwh(from),
            meter_stop_kwh: kwh(to),
            reason: StopReason {
                code: 7,
                text: String::new(),
            },
            offline: false,
            soc_start: None,
            soc_stop: None,
            samples: Vec::new(),
            periods: None,
            card_id: None,
            signed: None,
            session_boot_id: None,
        }
    }

    pub fn send_record(&mut self, id: &str, record: &Record) -> Outcome {
        let sim = self.sim(id);
        sim.session = sim.session.take().filter(|session| *session != record.order_id);
        self.say(id, Up::Record(Box::new(record.clone())))
    }

    // What is there.

    pub fn order(&self, id: &OrderId) -> OrderRow {
        self.disk.orders[id].clone().expect("the order is on disk").into_row()
    }

    pub fn state(&self, id: &OrderId) -> State {
        self.order(id).state
    }

    pub fn allowance(&self, who: &str) -> Fen {
        self.disk.ledger.allowance(&member(who))
    }

    pub fn debt(&self, who: &str) -> Fen {
        self.disk.ledger.debt(&member(who))
    }

    pub fn kinds(&self) -> Vec<String> {
        self.facts.iter().map(|(_, fact)| kind(fact)).collect()
    }

    /// An order that charges since a moment ago, confirmed by the pile's reply; the first heartbeat of it has come.
    pub fn charge(&mut self, who: &str, at: &str, prepay: &str) -> (OrderId, Now) {
        let id = self.place(who, at, prepay);
        let command = self.order(&id).commands[0].id.clone();
        self.reply(at, &command, true);
        assert_eq!(self.state(&id), State::Charging);
        self.charging(at, &id);
        (id, self.now)
    }

    /// Charging goes on for `ms`, the register rises to `to`, and one heartbeat says so.
    pub fn deliver(&mut self, at: &str, order: &OrderId, ms: u64, to: &str) -> Outcome {
        self.advance(ms);
        self.sim(at).meter = kwh(to);
        self.charging(at, order)
    }
}

/// The name of a fact.
pub fn kind(fact: &Fact) -> String {
    fact.kind().to_owned()
}

pub fn placed(outcome: &Outcome) -> OrderId {
    match &outcome.answer {
        Ok(Answer::Order(id)) => id.clone(),
        other => panic!("an order was expected, not {other:?}"),
    }
}

pub fn ack(outcome: &Outcome) -> Ack {
    match &outcome.answer {
        Ok(Answer::Ack(ack)) => ack.clone(),
        other => panic!("an ack was expected, not {other:?}"),
    }
}

pub fn commands(outcome: &Outcome) -> Vec<CommandMessage> {
    let sent = outcome.effects.iter().filter_map(|effect| match effect {
        Effect::Send {
            message: Down::Command(command),
            ..
        } => Some(command.clone()),
        _ => None,
    });
    sent.collect()
}

pub fn command_kinds(outcome: &Outcome) -> Vec<CommandKind> {
    commands(outcome).iter().map(|command| command.kind).collect()
}

pub fn notices(outcome: &Outcome) -> Vec<(NoticeKey, String)> {
    let told = outcome.effects.iter().filter_map(|effect| match effect {
        Effect::Notify { notice, .. } => Some((notice.key, notice.text.clone())),
        _ => None,
    });
    told.collect()
}
