//! Who comes to the station: drivers with little money who plug, place, swipe, cancel, stop and leave; and the desk, which
//! takes money, decides reviews, deals with what was put aside and puts piles back to work.

use super::{
    Event, HOUR, MINUTE, SECOND, Time, Unit, World,
    oracle::EPOCH,
    people::{Asked, Desk},
    prices,
    station::{self, Process, wall},
};
use crate::{
    pile::{Act, Behaviour, Car, ClockAtPowerOn, ClockSpec, Flash, Input, MeterFault, Pile, PileSpec},
    seed::Seed,
};
use domain::{
    fact::PaidFrom,
    ids::{CardId, ConnectorNo, MemberId, OrderId, Outlet, PileId},
    order::{State, Until},
    site::{Decision, Input as SiteInput, Place, Rejected},
    tariff::Tariff,
    time::Wall,
    units::{Energy, Fen, Power},
};
use edge::station::writer::Work;

/// Somebody's stay at a pile.
#[derive(Debug, Clone)]
pub(super) struct Visit {
    pub(super) card: CardId,
    pub(super) power: Power,
    began: Time,
    request: Option<u64>,
    pub(super) order: Option<OrderId>,
    pub(super) ended: Option<Time>,
    /// How often it was looked after.
    looks: u32,
}

/// What a driver wants of head office: an order at this pile, or the means to place one.
#[derive(Debug, Clone)]
pub(super) struct Want {
    pub(super) pile: usize,
    pub(super) member: MemberId,
    pub(super) prepay: Fen,
    pub(super) until: Until,
}

pub(super) const CONNECTOR: ConnectorNo = ConnectorNo(1);
/// Members of head office, who come to all its stations; each has a card.
pub(super) const TRAVELLERS: [&str; 5] = ["u", "v", "w", "x", "y"];

/// A member of head office's.
pub(super) fn traveller(who: &str) -> MemberId {
    MemberId::new(who).expect("a letter is a member id")
}

/// Their card.
pub(super) fn card_of(who: &str) -> CardId {
    CardId::new(format!("K-{who}")).expect("letters are a card id")
}

/// Whether a member is head office's.
pub(super) fn is_traveller(member: &MemberId) -> bool {
    TRAVELLERS.contains(&member.as_str())
}

/// What a car takes, and what a connector delivers.
const POWERS: [u64; 4] = [7_000, 11_000, 30_000, 60_000];

type Step = Result<(), String>;

impl World {
    /// Piles and members as the seed has them.
    pub(super) fn populate(&mut self, seed: u64) {
        let own = self.head_office.map_or(String::new(), |number| format!("s{number}_"));
        let many = if self.head_office.is_some() { 2 } else { 5 };
        for n in 0..many + self.rng.below(3) {
            let member = MemberId::new(format!("{own}m{n}")).expect("letters and numbers are a member id");
            let card = CardId::new(format!("{own}C{n}")).expect("letters and numbers are a card id");
            self.members.push((member, card));
        }
        if self.head_office.is_some() {
            // Some of them before the station's own, so that piles know their cards too.
            for (n, who) in TRAVELLERS.into_iter().enumerate() {
                let place = (2 * n).min(self.members.len());
                self.members.insert(place, (traveller(who), card_of(who)));
            }
        }
        for n in 0..3 + self.rng.below(2) {
            let id = PileId::new(format!("P{n}")).expect("a letter and a number are a pile id");
            let power = self.pick(&POWERS);
            let spec = self.spec(&id, Power(power.cast_signed()), 0, seed);
            let mut unit = Unit {
                id,
                pile: Pile::new(spec.clone(), Flash::default(), self.mono()),
                power: Power(power.cast_signed()),
                replaced: 0,
                visit: None,
                behaviours: Vec::new(),
                lies: false,
                step: Energy(1),
                rolls_over_at: None,
                clock_oddity: None,
                newest_first: false,
                hushed: false,
                speaks_since: 0,
            };
            unit.take_on(&spec);
            self.units.push(unit);
        }
    }

    /// A pile as it comes from its maker. Some clocks are wrong, some are never set, some piles have none.
    pub(super) fn spec(&mut self, id: &PileId, power: Power, replaced: u32, seed: u64) -> PileSpec {
        let off_ms = match self.rng.below(4) {
            0 => i64::try_from(self.rng.below(6 * HOUR)).unwrap_or(0) - 3 * 3_600_000,
            _ => i64::try_from(self.rng.below(4 * SECOND)).unwrap_or(0) - 2_000,
        };
        let mut spec = PileSpec::new(id.clone(), EPOCH);
        spec.connectors[0].max_power = power;
        // A meter that takes another's place is a new one, most of the time.
        let most = if replaced > 0 && self.chance(70) {
            500_000
        } else {
            50_000_000
        };
        spec.connectors[0].meter = Energy(i64::try_from(self.rng.below(most)).unwrap_or(0) + 10_000);
        if self.chance(15) {
            spec.connectors[0].step = Energy(10_000);
        }
        if self.chance(10) {
            // It begins again at zero after some sessions.
            let left = i64::try_from(self.between(100_000, 900_000)).unwrap_or(0);
            let digits = Energy(100_000_000);
            spec.connectors[0].meter = digits - Energy(left);
            spec.connectors[0].rolls_over_at = Some(digits);
        }
        let drift_ppm = i32::try_from(self.rng.below(30)).unwrap_or(0) - 15;
        spec.clock = (!self.chance(15)).then(|| ClockSpec {
            start: wall(self.now, off_ms),
            drift_ppm,
            follows_station: self.rng.below(4) > 0,
            at_power_on: match self.rng.below(4) {
                0 => ClockAtPowerOn::Resets(Wall(12_000)),
                1 => ClockAtPowerOn::IsSet(EPOCH.after_ms(i64::try_from(self.rng.below(2 * HOUR)).unwrap_or(0))),
                _ => ClockAtPowerOn::GoesOn,
            },
        });
        spec.seed = seed;
        spec.boot_tag = format!("{id}r{replaced}");
        spec.periods = self.chance(50) && spec.connectors[0].step == Energy(1);
        spec.newest_first = self.chance(30);
        spec.names_boot = self.chance(50);
        spec.heartbeat_charging_ms = MINUTE;
        spec.heartbeat_idle_ms = HOUR;
        spec.heartbeat_qos1 = self.chance(30);
        if self.chance(60) {
            spec.offline_cards = self.members.iter().take(3).map(|(_, card)| card.clone()).collect();
        }
        spec
    }

    /// The station is set up, and opens.
    pub(super) fn open(&mut self) -> Step {
        let image = station::fresh_image(&self.site);
        let random = self.random_of_process.clone();
        let process = Process::start(image, &self.site, &self.policy, self.now, 0, random);
        self.process = Some(process.map_err(|error| format!("the station does not start: {error}"))?);
        let tariff = Tariff::from_toml(prices::TARIFF, "Asia/Shanghai").map_err(|faults| faults.to_string())?;
        self.push(Work::Told(SiteInput::AddTariff {
            tariff,
            by: "setup".to_owned(),
        }));
        self.tell_the_time();
        for at in 0..self.units.len() {
            let pile = self.units[at].id.clone();
            self.push(Work::Told(SiteInput::ProvisionPile {
                pile,
                by: "setup".to_owned(),
            }));
        }
        for (member, card) in self.members.clone() {
            if is_traveller(&member) {
                continue;
            }
            let name = member.to_string();
            self.push(Work::Told(SiteInput::RegisterMember {
                member: member.clone(),
                by: "desk".to_owned(),
                name,
            }));
            self.push(Work::Told(SiteInput::BindCard {
                card,
                member: member.clone(),
                by: "desk".to_owned(),
            }));
            let amount = Fen(i64::try_from(self.between(2_000, 15_000)).unwrap_or(0));
            self.top_up(member, amount);
        }
        for pile in 0..self.units.len() {
            self.tell_pile(pile, Input::Wake)?;
            let comes = self.between(MINUTE, 20 * MINUTE);
            self.after(comes, Event::Driver { pile });
        }
        self.after(5 * MINUTE, Event::Backup);
        self.after(HOUR, Event::Desk);
        Ok(())
    }

    /// The network tells the station what time it is, if it does; else what was certain is all there is.
    pub(super) fn tell_the_time(&mut self) {
        let known = self.process.as_ref().and_then(|process| process.not_before(self.now));
        match self.physics.clock_lost_ms {
            None => self.push(Work::Told(SiteInput::ClockTrust(true))),
            Some(_) => known
                .into_iter()
                .for_each(|wall| self.push(Work::Told(SiteInput::CertainTime(wall)))),
        }
    }

    /// Head office says that it is that late at least.
    pub(super) fn time_is_heard(&mut self, wall: Wall) {
        let now = self.now;
        if let Some(process) = &mut self.process {
            process.was_certainly(now, wall);
            self.push(Work::Told(SiteInput::CertainTime(wall)));
        }
    }

    pub(super) fn ask(&mut self, asked: Asked) -> u64 {
        self.note(|| format!("somebody asks for {asked:?}"));
        let number = self.desk.ask(asked);
        let takes = self.between(5, 2 * SECOND);
        self.after(takes, Event::Asked(number));
        number
    }

    fn top_up(&mut self, member: MemberId, amount: Fen) {
        let receipt = format!("R-{}", self.desk.requests.len());
        self.ask(Asked::TopUp(member, amount, receipt));
    }

    /// Whoever asked has an answer.
    pub(super) fn answered(&mut self, number: u64, answer: Result<String, Rejected>) -> Step {
        let restored = self.restores > 0;
        let Some(request) = self.desk.requests.get_mut(&number) else {
            return Ok(());
        };
        if let Some(first) = &request.answer {
            // What was decided once has one answer; what a restore forgot may be answered anew. A refusal decided nothing.
            if first.is_ok() && *first != answer && !restored {
                return Err(format!("request {number} was answered {first:?} and then {answer:?}"));
            }
            if first.is_ok() || answer.is_err() {
                return Ok(());
            }
        }
        request.answer = Some(answer.clone());
        let asked = request.asked.clone();
        match (asked, answer) {
            (asked, Err(Rejected::NoTariff)) => return Err(format!("request {number} ({asked:?}) found no tariff")),
            (Asked::CloseQuarantine(item, Some(payer), _), Err(Rejected::Covered { covers, .. })) => {
                // Whoever is told may let somebody pay all the same, and mostly does not.
                if self.chance(40) {
                    let despite = covers.into_iter().map(|cover| cover.by).collect();
                    self.ask(Asked::CloseQuarantine(item, Some(payer), despite));
                } else {
                    self.ask(Asked::CloseQuarantine(item, None, Vec::new()));
                }
            }
            (Asked::Place(place), Ok(order)) => {
                let order = OrderId::new(&order).map_err(|error| error.to_string())?;
                let pile = self.unit_of(&place.outlet.pile);
                let visit = pile.and_then(|pile| self.units[pile].visit.as_mut());
                if let Some(visit) = visit.filter(|visit| visit.request == Some(number)) {
                    visit.order = Some(order.clone());
                }
                if self.chance(8) {
                    self.ask(Asked::Stop(order));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The driver holds the card to the pile.
    pub(super) fn swipes(&mut self, want: &Want) -> Step {
        let connector = CONNECTOR;
        let card_id = card_of(want.member.as_str());
        self.tell_pile(want.pile, Input::Act(Act::Swipe { connector, card_id }))
    }

    /// What a driver wanted of head office led to an order, which their visit is about if it is still theirs; or they place one
    /// at the station, with what they have there.
    pub(super) fn wanted(&mut self, want: &Want, order: Option<OrderId>) {
        let is_theirs = |visit: &&mut Visit| visit.ended.is_none() && visit.order.is_none() && visit.request.is_none();
        if self.units[want.pile].visit.as_mut().filter(is_theirs).is_none() {
            return;
        }
        let request = match order {
            Some(_) => None,
            None => Some(self.ask(Asked::Place(Place {
                member: want.member.clone(),
                outlet: Outlet {
                    pile: self.units[want.pile].id.clone(),
                    connector: CONNECTOR,
                },
                prepay: Some(want.prepay),
                until: want.until.clone(),
            }))),
        };
        if let Some(visit) = &mut self.units[want.pile].visit {
            (visit.order, visit.request) = (order, request);
        }
    }

    /// Somebody looks after the car at a pile, or comes there.
    pub(super) fn look_after(&mut self, pile: usize) -> Step {
        let again = self.between(2 * MINUTE, 12 * MINUTE);
        self.after(again, Event::Driver { pile });
        let closing = self.closing.is_some();
        let Some(mut visit) = self.units[pile].visit.clone() else {
            return if closing { Ok(()) } else { self.come(pile) };
        };
        visit.looks += 1;
        let charging = self.units[pile].pile.status().charging > 0;
        self.units[pile].visit = Some(visit.clone());
        if charging {
            let patience = if closing { 70 } else { 20 };
            if !self.chance(patience) {
                return Ok(());
            }
            let act = match (self.rng.below(8), visit.order.clone()) {
                (0..4, Some(order)) => {
                    self.ask(Asked::Stop(order));
                    return Ok(());
                }
                (4, _) => Act::Swipe {
                    connector: CONNECTOR,
                    card_id: visit.card,
                },
                (5, _) => Act::Unplug { connector: CONNECTOR },
                _ => Act::StopAtPile { connector: CONNECTOR },
            };
            return self.tell_pile(pile, Input::Act(act));
        }
        let ended = visit.ended.is_some_and(|at| self.now > at + 2 * MINUTE);
        if ended || self.now > visit.began + 25 * MINUTE {
            self.units[pile].visit = None;
            return self.tell_pile(pile, Input::Act(Act::Unplug { connector: CONNECTOR }));
        }
        Ok(())
    }

    fn come(&mut self, pile: usize) -> Step {
        let somebody = usize::try_from(self.rng.below(self.members.len() as u64)).unwrap_or(0);
        let (member, card) = self.members[somebody].clone();
        let max = self.units[pile].power;
        let power = Power(i64::try_from(self.pick(&POWERS)).unwrap_or(0)).min(max);
        let soc = u8::try_from(self.between(10, 85)).unwrap_or(50);
        let battery = Energy(i64::try_from(self.between(200_000, 900_000)).unwrap_or(0));
        let behaviours = self.behaviours();
        let unit = &mut self.units[pile];
        unit.lies = behaviours.iter().any(|behaviour| {
            matches!(
                behaviour,
                Behaviour::Meter(MeterFault::ZeroStart | MeterFault::Backwards | MeterFault::Jump(_))
                    | Behaviour::StuckMeter { .. }
                    | Behaviour::ConflictingRecord
                    | Behaviour::ConflictingRecords { .. }
                    | Behaviour::ShortRecord
            )
        });
        unit.behaviours.clone_from(&behaviours);
        unit.visit = Some(Visit {
            card: card.clone(),
            power,
            began: self.now,
            request: None,
            order: None,
            ended: None,
            looks: 0,
        });
        self.tell_pile(pile, Input::Act(Act::Behave(behaviours)))?;
        let car = Some(Car::new(battery, soc, power));
        let connector = CONNECTOR;
        self.tell_pile(pile, Input::Act(Act::Plug { connector, car }))?;
        let offline = !self.units[pile].pile.status().linked;
        if offline || self.chance(25) {
            let card_id = card;
            return self.tell_pile(pile, Input::Act(Act::Swipe { connector, card_id }));
        }
        let travels = is_traveller(&member);
        let prepay = i64::try_from(self.between(600, 9_000)).unwrap_or(0);
        if self.oracle.allowance(&member) < prepay && self.chance(if travels { 8 } else { 80 }) {
            self.top_up(member.clone(), Fen(prepay));
        }
        let until = Until {
            fee: self.chance(10).then_some(Fen(prepay / 2)),
            kwh: self.chance(10).then_some(Energy(30_000)),
            minutes: self.chance(10).then_some(20),
            soc_pct: self.chance(5).then_some(90),
        };
        let outlet = Outlet {
            pile: self.units[pile].id.clone(),
            connector,
        };
        if travels && (self.oracle.allowance(&member) < prepay || self.chance(60)) {
            let prepay = Fen(prepay);
            self.wants.push(Want {
                pile,
                member,
                prepay,
                until,
            });
            return Ok(());
        }
        let prepay = Some(Fen(prepay));
        let request = self.ask(Asked::Place(Place {
            member,
            outlet,
            prepay,
            until,
        }));
        if let Some(visit) = &mut self.units[pile].visit {
            visit.request = Some(request);
        }
        Ok(())
    }

    /// Most of the time a pile does as it should.
    fn behaviours(&mut self) -> Vec<Behaviour> {
        let after_ms = self.between(30 * SECOND, 20 * MINUTE);
        let for_ms = self.between(20 * SECOND, 30 * MINUTE);
        let one = match self.rng.below(64) {
            0 => Behaviour::SlowReply { by_ms: 20_000 },
            1 => Behaviour::SlowReply { by_ms: 70_000 },
            2 => Behaviour::NoReply,
            3 => Behaviour::SilentStart,
            4 => Behaviour::Refuse { code: 7 },
            5 => Behaviour::LateStart { by_ms: 70_000 },
            6 => Behaviour::FailStart { after_ms: 5_000 },
            7..=10 => Behaviour::Drop {
                after_ms,
                for_ms,
                samples: self.chance(70),
            },
            11..=12 => Behaviour::PowerLoss { after_ms, for_ms },
            13 => Behaviour::Fault { after_ms, code: 1 },
            14 => Behaviour::EmergencyStop { after_ms },
            15 => Behaviour::Unplug { after_ms },
            16 => Behaviour::UserStop { after_ms },
            17..=18 => Behaviour::DuplicateRecord,
            19 => Behaviour::ConflictingRecord,
            20 => Behaviour::StuckMeter { after_ms },
            21..=22 => Behaviour::Meter(MeterFault::ZeroStart),
            23 => Behaviour::Meter(MeterFault::Backwards),
            24..=25 => Behaviour::Meter(MeterFault::Jump(Energy(90_000_000))),
            26 => Behaviour::Meter(MeterFault::Gap(Energy(15_000))),
            27 => Behaviour::WrongPeriods,
            28..=29 => Behaviour::ShortRecord,
            30 => Behaviour::ConflictingRecords { many: 20 },
            31 => Behaviour::Meter(MeterFault::Gap(Energy(130_000))),
            _ => return Vec::new(),
        };
        vec![one]
    }

    /// What nobody has asked for yet is asked for.
    fn unasked(&self, same: impl Fn(&Asked) -> bool) -> bool {
        let mut open = self.desk.open();
        !open.any(|number| {
            self.desk
                .requests
                .get(&number)
                .is_some_and(|request| same(&request.asked))
        })
    }

    /// The desk deals with what has come up.
    pub(super) fn desk_looks_around(&mut self) {
        let again = if self.closing.is_some() {
            self.between(20 * MINUTE, 2 * HOUR)
        } else {
            self.between(10 * MINUTE, 90 * MINUTE)
        };
        self.after(again, Event::Desk);
        let rows: Vec<_> = self
            .oracle
            .rows
            .orders()
            .map(|order| (order.id.clone(), order.state, order.placed_at, order.paid.refundable()))
            .collect();
        self.mind_the_till();
        for (order, state, placed_at, refundable) in rows {
            match state {
                State::Review => self.review(order),
                State::Payed | State::Unpaid if self.closing.is_none() && self.chance(3) => self.correct(order),
                State::Charging
                    if self.policy.gone_ms < wall(self.now, 0).ms_since(placed_at).unsigned_abs()
                        && self.chance(50)
                        && self.unasked(|asked| *asked == Asked::Close(order.clone())) =>
                {
                    self.ask(Asked::Close(order));
                }
                State::Payed if refundable > Fen(50) && self.chance(1) => {
                    let amount = Fen(1 + i64::try_from(self.rng.below(refundable.0.unsigned_abs())).unwrap_or(0));
                    self.ask(Asked::Refund(order, amount));
                }
                _ => {}
            }
        }
        let items: Vec<_> = self
            .oracle
            .quarantine
            .iter()
            .filter(|(_, item)| item.open)
            .map(|(number, item)| (*number, item.billable))
            .collect();
        for (number, billable) in items {
            let asked = |asked: &Asked| matches!(asked, Asked::CloseQuarantine(which, ..) if *which == number);
            if self.chance(50) && self.unasked(asked) {
                let payer = usize::try_from(self.rng.below(self.members.len() as u64)).unwrap_or(0);
                let payer = self.members[payer].0.clone();
                let bill_to = (billable && self.chance(50)).then_some(payer);
                self.ask(Asked::CloseQuarantine(number, bill_to, Vec::new()));
            }
        }
        let doubted: Vec<PileId> = self.oracle.doubted_meters().cloned().collect();
        for pile in doubted {
            if self.chance(30) && self.unasked(|asked| *asked == Asked::ClearMeter(pile.clone())) {
                self.ask(Asked::ClearMeter(pile));
            }
        }
        for (member, _) in self.members.clone() {
            let (debt, allowance) = (self.oracle.debt(&member), self.oracle.allowance(&member));
            let pays = |asked: &Asked| matches!(asked, Asked::PayDebt(who, ..) if *who == member);
            if debt > 0 && self.chance(30) && self.unasked(pays) {
                let (from, most) = if allowance > 0 && self.chance(50) {
                    (PaidFrom::Allowance, debt.min(allowance))
                } else {
                    (PaidFrom::Cash, debt)
                };
                let part = if self.chance(70) { most } else { most.min(1 + most / 2) };
                self.ask(Asked::PayDebt(member.clone(), Fen(part), from));
            }
            let pays_in = |asked: &Asked| matches!(asked, Asked::TopUp(who, ..) if *who == member);
            if allowance < 2_000 && self.closing.is_none() && self.chance(40) && self.unasked(pays_in) {
                let amount = Fen(i64::try_from(self.between(1_000, 8_000)).unwrap_or(0));
                self.top_up(member, amount);
            }
        }
        let fenced: Vec<PileId> = self
            .oracle
            .rows
            .piles
            .values()
            .filter(|pile| pile.fenced_off().is_some())
            .map(|pile| pile.id.clone())
            .collect();
        for pile in fenced {
            if self.unasked(|asked| *asked == Asked::Maintenance(pile.clone())) {
                self.ask(Asked::Maintenance(pile));
            }
        }
    }

    /// Whoever has the desk opens it, counts, banks and closes; and sees that a top-up was typed wrong.
    fn mind_the_till(&mut self) {
        if self.closing.is_some() {
            return;
        }
        let till = self.oracle.till();
        let counted = self.oracle.rows.open_shift().is_some_and(|shift| shift.is_counted);
        match self.rng.below(14) {
            0 => {
                self.ask(Asked::OpenShift);
            }
            1..=2 => {
                let off = i64::try_from(self.rng.below(400)).unwrap_or(0) - 200;
                let counted = if self.chance(70) { till } else { till + off };
                self.ask(Asked::CountCash(Fen(counted.max(0))));
            }
            3 if till > 1 => {
                let amount = 1 + i64::try_from(self.rng.below(till.unsigned_abs())).unwrap_or(0);
                let slip = format!("B-{}", self.desk.requests.len());
                self.ask(Asked::BankCash(Fen(amount), slip));
            }
            4 => {
                self.ask(Asked::CloseShift);
            }
            6..=9 if counted => {
                self.ask(Asked::CloseShift);
            }
            5 => {
                let top_ups = self.desk.requests.values().filter_map(|request| match &request.asked {
                    Asked::TopUp(member, amount, receipt) => Some((member.clone(), *amount, receipt.clone())),
                    _ => None,
                });
                let top_ups: Vec<_> = top_ups.collect();
                let at = usize::try_from(self.rng.below(top_ups.len() as u64)).unwrap_or(0);
                if let Some((member, amount, receipt)) = top_ups.get(at).cloned() {
                    let part = Fen(1 + amount.0 / 3);
                    let amount = self.chance(50).then_some(part);
                    self.ask(Asked::ReverseTopUp(member, receipt, amount));
                }
            }
            _ => {}
        }
    }

    /// A complaint about a settled bill is upheld, or it was too low.
    fn correct(&mut self, order: OrderId) {
        let row = self.oracle.rows.order(&order);
        let waits = row.and_then(|row| row.proposal.as_ref()).map(|waits| waits.number);
        if let Some(number) = waits {
            let approves = Asked::Approve(order, number);
            if self.unasked(|asked| *asked == approves) {
                self.ask(approves);
            }
            return;
        }
        let most = if self.chance(70) { 3_000 } else { 9_000 };
        let electricity = Fen(i64::try_from(self.rng.below(most)).unwrap_or(0));
        let service = Fen(i64::try_from(self.rng.below(most)).unwrap_or(0));
        self.ask(Asked::Correct(order, electricity, service));
    }

    fn review(&mut self, order: OrderId) {
        let row = self.oracle.rows.order(&order);
        let waits = row.and_then(|row| row.proposal.as_ref()).map(|waits| waits.number);
        if let Some(number) = waits.filter(|_| self.chance(80)) {
            let approves = Asked::Approve(order, number);
            if self.unasked(|asked| *asked == approves) {
                self.ask(approves);
            }
            return;
        }
        let same = |asked: &Asked| matches!(asked, Asked::Decide(which, _) if *which == order);
        if !self.chance(45) || !self.unasked(same) {
            return;
        }
        let decision = if self.chance(40) {
            Decision::AsIs
        } else {
            let most = if self.chance(50) { 1_000 } else { 9_000 };
            Decision::Corrected {
                electricity: Fen(i64::try_from(self.rng.below(most)).unwrap_or(0)),
                service: Fen(i64::try_from(self.rng.below(most)).unwrap_or(0)),
            }
        };
        self.ask(Asked::Decide(order, decision));
    }

    /// The last customer has come.
    pub(super) fn close(&mut self) -> Step {
        self.note(|| "closing time".to_owned());
        self.closing = Some(self.now);
        for pile in 0..self.units.len() {
            self.units[pile].behaviours.clear();
            self.tell_pile(pile, Input::Act(Act::Behave(Vec::new())))?;
            self.tell_pile(pile, Input::Act(Act::RestoreNetwork))?;
            self.tell_pile(pile, Input::Act(Act::PowerOn))?;
            self.speaks_again(pile)?;
            self.resume(pile)?;
        }
        Ok(())
    }

    /// What the desk had paid in after the copy was made that the station now runs on.
    pub(super) fn enter_receipts_again(&mut self) {
        let oracle = &self.oracle;
        let again = self.desk.enter_again(|by| !oracle.has_done(by));
        for number in again {
            let takes = self.between(MINUTE, 10 * MINUTE);
            self.after(takes, Event::Asked(number));
        }
    }

    pub(super) fn signature_is_journaled(&self, number: u64) -> bool {
        self.oracle.has_done(&Desk::signature(number))
    }

    pub(super) fn fresh_seed(&mut self) -> Seed {
        Seed::new(self.rng.next_u64())
    }
}
