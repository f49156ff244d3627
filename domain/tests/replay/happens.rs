//! What can happen at a station, and a station that lets it: journals as long and as odd as one likes.

use crate::{
    bench::*,
    told::{WALLETS, told},
};
use domain::{
    fact::{PaidFrom, Raw, TypedFigures},
    ids::{CardId, OrderId},
    messages::{BufferedSample, ConnectorStatus, EventKind, Malformed, Periods, Record},
    policy::Policy,
    rating::Reading,
    site::{Decision, Input, Place, Rejected},
    topics::UpKind,
    units::{Energy, Fen},
};
use proptest::prelude::*;

pub(crate) const PILES: [&str; 3] = ["P1", "P2", "P3"];
pub(crate) const MEMBERS: [&str; 3] = ["m", "n", "k"];
pub(crate) const CLERKS: [&str; 3] = ["alice", "bob", "local:0"];

/// One thing that happens. Numbers choose among what is there.
#[derive(Debug, Clone)]
pub(crate) enum Happens {
    Place {
        who: usize,
        at: usize,
        prepay: i64,
        until: u8,
    },
    Reply {
        order: usize,
        command: usize,
        ok: bool,
    },
    Heartbeat {
        at: usize,
        status: u8,
        order: Option<usize>,
        energy: i64,
    },
    OldHeartbeat {
        at: usize,
    },
    /// Current flows past the meter for eleven minutes, where an order charges.
    PastTheMeter {
        at: usize,
    },
    /// The pile starts anew under the same `boot_id`.
    SameBoot {
        at: usize,
    },
    Record {
        order: usize,
        at: usize,
        energy: i64,
        spoil: u8,
    },
    OfflineRecord {
        at: usize,
        counter: u8,
        card: u8,
        energy: i64,
    },
    Boot {
        at: usize,
        anew: bool,
        clock: u8,
    },
    Drop {
        at: usize,
        dropped: bool,
    },
    Connect {
        at: usize,
    },
    Event {
        at: usize,
        kind: u8,
    },
    Swipe {
        at: usize,
        card: u8,
    },
    Unreadable {
        at: usize,
        kind: usize,
        order: Option<usize>,
    },
    Stop {
        order: usize,
    },
    Close {
        order: usize,
    },
    Decide {
        order: usize,
        corrected: Option<(i64, i64)>,
    },
    Refund {
        order: usize,
        amount: i64,
    },
    TopUp {
        who: usize,
        amount: i64,
    },
    PayDebt {
        who: usize,
        amount: i64,
        cash: bool,
    },
    Block {
        who: usize,
        blocked: bool,
    },
    Quarantine {
        item: usize,
        bill_to: Option<usize>,
        typed: Option<(i64, i64)>,
    },
    BindCard {
        card: u8,
        who: usize,
    },
    Maintenance {
        at: usize,
        on: bool,
    },
    RemovePile {
        at: usize,
        back: bool,
    },
    ClearMeter {
        at: usize,
    },
    UnbindCard,
    Correct {
        order: usize,
        bill: (i64, i64),
        by: usize,
    },
    Approve {
        order: usize,
        withdraw: bool,
        by: usize,
    },
    ReverseTopUp {
        receipt: usize,
        amount: Option<i64>,
    },
    Shift {
        open: bool,
        by: usize,
    },
    Count {
        off: i64,
        reason: bool,
    },
    Bank {
        amount: i64,
        slip: u8,
    },
    /// Head office has the station do something, or comes into another life.
    Told {
        what: u8,
        who: usize,
        at: usize,
        order: usize,
        amount: i64,
    },
    /// A voucher is shown, or vouchers are closed.
    Voucher {
        id: u8,
        who: usize,
        hours: u8,
        close: bool,
    },
    Trust(bool),
    Advance {
        ms: u64,
    },
    Late {
        ms: u64,
    },
    ClockStep {
        ms: i64,
    },
    Restart {
        live: bool,
    },
}

pub(crate) fn happens() -> impl Strategy<Value = Happens> {
    use Happens::*;
    let (who, at, order) = (0..3_usize, 0..3_usize, 0..6_usize);
    let order2 = order.clone();
    let energy = prop_oneof![6 => 0..1_200_i64, 3 => 0..200_000_i64, 1 => 0..3_000_000_i64, 2 => -50_000..0_i64];
    // Most of what heartbeats report can be: 7 kW are 0.175 kWh in 90 s.
    let flow = prop_oneof![6 => 0..1_500_i64, 1 => energy.clone()];
    prop_oneof![
        6 => (who.clone(), at.clone(), -100..9_000_i64, any::<u8>())
            .prop_map(|(who, at, prepay, until)| Place { who, at, prepay, until }),
        6 => (order.clone(), 0..3_usize, prop::bool::weighted(0.8))
            .prop_map(|(order, command, ok)| Reply { order, command, ok }),
        12 => (at.clone(), any::<u8>(), prop::option::weighted(0.9, order.clone()), flow)
            .prop_map(|(at, status, order, energy)| Heartbeat { at, status, order, energy }),
        1 => at.clone().prop_map(|at| OldHeartbeat { at }),
        2 => at.clone().prop_map(|at| PastTheMeter { at }),
        1 => at.clone().prop_map(|at| SameBoot { at }),
        6 => (order.clone(), at.clone(), energy.clone(), any::<u8>())
            .prop_map(|(order, at, energy, spoil)| Record { order, at, energy, spoil }),
        2 => (at.clone(), 0..4_u8, 0..3_u8, energy)
            .prop_map(|(at, counter, card, energy)| OfflineRecord { at, counter, card, energy }),
        3 => (at.clone(), any::<bool>(), 0..5_u8).prop_map(|(at, anew, clock)| Boot { at, anew, clock }),
        2 => (at.clone(), any::<bool>()).prop_map(|(at, dropped)| Drop { at, dropped }),
        5 => at.clone().prop_map(|at| Connect { at }),
        8 => (0..40_u8, who.clone(), at.clone(), order.clone(), 0..9_000_i64)
            .prop_map(|(what, who, at, order, amount)| Told { what, who, at, order, amount }),
        2 => (0..4_u8, who.clone(), 0..4_u8, prop::bool::weighted(0.2))
            .prop_map(|(id, who, hours, close)| Voucher { id, who, hours, close }),
        1 => (at.clone(), any::<u8>()).prop_map(|(at, kind)| Event { at, kind }),
        2 => (at.clone(), 0..3_u8).prop_map(|(at, card)| Swipe { at, card }),
        2 => (at.clone(), 0..6_usize, prop::option::of(order.clone()))
            .prop_map(|(at, kind, order)| Unreadable { at, kind, order }),
        3 => order.clone().prop_map(|order| Stop { order }),
        2 => order.clone().prop_map(|order| Close { order }),
        4 => (order.clone(), prop::option::of((-10..9_000_i64, 0..9_000_i64)))
            .prop_map(|(order, corrected)| Decide { order, corrected }),
        2 => (order, -5..4_000_i64).prop_map(|(order, amount)| Refund { order, amount }),
        3 => (who.clone(), -5..20_000_i64).prop_map(|(who, amount)| TopUp { who, amount }),
        4 => (who.clone(), 0..6_000_i64, any::<bool>())
            .prop_map(|(who, amount, cash)| PayDebt { who, amount, cash }),
        1 => (who.clone(), prop::bool::weighted(0.3)).prop_map(|(who, blocked)| Block { who, blocked }),
        6 => (0..6_usize, prop::option::weighted(0.8, who.clone()), prop::option::of((0..200_000_i64, -50_000..200_000_i64)))
            .prop_map(|(item, bill_to, typed)| Quarantine { item, bill_to, typed }),
        1 => (0..3_u8, who).prop_map(|(card, who)| BindCard { card, who }),
        1 => (at.clone(), prop::bool::weighted(0.3)).prop_map(|(at, on)| Maintenance { at, on }),
        1 => at.clone().prop_map(|at| ClearMeter { at }),
        1 => (at, prop::bool::weighted(0.9)).prop_map(|(at, back)| RemovePile { at, back }),
        1 => Just(UnbindCard),
        4 => (order2.clone(), (-10..9_000_i64, 0..9_000_i64), 0..3_usize)
            .prop_map(|(order, bill, by)| Correct { order, bill, by }),
        4 => (order2, prop::bool::weighted(0.2), 0..3_usize)
            .prop_map(|(order, withdraw, by)| Approve { order, withdraw, by }),
        2 => (0..4_usize, prop::option::of(-5..9_000_i64))
            .prop_map(|(receipt, amount)| ReverseTopUp { receipt, amount }),
        2 => (any::<bool>(), 0..3_usize).prop_map(|(open, by)| Shift { open, by }),
        2 => (prop_oneof![Just(0_i64), -500..500_i64], prop::bool::weighted(0.8))
            .prop_map(|(off, reason)| Count { off, reason }),
        2 => (-5..9_000_i64, 0..6_u8).prop_map(|(amount, slip)| Bank { amount, slip }),
        1 => any::<bool>().prop_map(Trust),
        8 => prop_oneof![8 => 0..90_000_u64, 6 => 0..40 * MINUTE, 1 => 0..4 * DAY].prop_map(|ms| Advance { ms }),
        1 => prop_oneof![0..40 * MINUTE, 0..40 * DAY].prop_map(|ms| Late { ms }),
        1 => prop_oneof![-200_000..200_000_i64, -90_000_000_000..90_000_000_000_i64].prop_map(|ms| ClockStep { ms }),
        2 => any::<bool>().prop_map(|live| Restart { live }),
    ]
}

pub(crate) fn policy() -> Policy {
    Policy {
        offline_sessions: true,
        open_orders_max: 2,
        start_timeout_ms: 10 * MINUTE,
        faults_max: 20,
        drops_max: 4,
        ..Policy::default()
    }
}

/// Lets one thing happen at a station.
pub(crate) fn happen(bench: &mut Bench, what: &Happens) {
    let nth = |bench: &Bench, n: usize| -> OrderId {
        // The newest first, and now and then one that nobody knows.
        let ids: Vec<&OrderId> = bench.disk.orders.keys().rev().collect();
        ids.get(n).map_or_else(|| order_id("nobody"), |id| (*id).clone())
    };
    match what {
        Happens::Place { who, at, prepay, until } => {
            let limit = |bit: u8, value: i64| (until & bit != 0).then_some(value);
            let place = Place {
                member: member(MEMBERS[*who]),
                outlet: outlet(PILES[*at]),
                prepay: (until & 16 == 0).then_some(Fen(*prepay)),
                until: domain::order::Until {
                    fee: limit(1, *prepay / 2).filter(|_| until & 32 != 0).map(Fen),
                    kwh: limit(2, *prepay).filter(|_| until & 32 != 0).map(Energy),
                    minutes: limit(4, 30).map(|minutes| u32::try_from(minutes).unwrap()),
                    soc_pct: limit(8, 80).map(|soc| u8::try_from(soc).unwrap()),
                },
            };
            bench.handle(Input::Place(place));
        }
        Happens::Reply { order, command, ok } => {
            let waiting = bench
                .disk
                .orders()
                .find(|order| order.state == domain::order::State::Place);
            let id = waiting.map(|order| order.id.clone()).filter(|_| *order < 4);
            let id = id.unwrap_or_else(|| nth(bench, *order));
            let order = bench.disk.orders.get(&id).and_then(Option::as_ref);
            let known = order.and_then(|order| order.commands.get(*command).map(|command| command.id.clone()));
            let start = domain::order::Command::id_for(&id, domain::messages::CommandKind::Start, 1);
            let pile = order.map_or("P1", |order| {
                PILES
                    .into_iter()
                    .find(|known| *known == order.outlet.pile.as_str())
                    .unwrap()
            });
            bench.reply(pile, &known.unwrap_or(start), *ok);
        }
        Happens::Heartbeat {
            at,
            status,
            order,
            energy,
        } => {
            let here = |bench: &Bench| {
                let open = bench
                    .disk
                    .orders()
                    .find(|order| order.outlet == outlet(PILES[*at]) && order.state.occupies_connector());
                open.map(|order| order.id.clone())
            };
            let named = match order {
                Some(0..=3) => here(bench),
                Some(n) => Some(nth(bench, *n)),
                None => None,
            };
            let status = match status % 12 {
                0 => ConnectorStatus::Idle,
                1 => ConnectorStatus::Plugged,
                2 => ConnectorStatus::Finished,
                3 => ConnectorStatus::Fault,
                4 => ConnectorStatus::Unavailable,
                _ => ConnectorStatus::Charging,
            };
            let sim = bench.sim(PILES[*at]);
            sim.meter = Energy((sim.meter + Energy(*energy)).0.max(0));
            bench.heartbeat(PILES[*at], status, named.as_ref());
        }
        Happens::OldHeartbeat { at } => {
            let sim = bench.sim(PILES[*at]);
            let (boot, seq) = (sim.boot.clone(), sim.seq);
            sim.seq = 0;
            sim.boot = format!("{}-boot{}", PILES[*at], sim.boots.max(2) - 1);
            bench.idle(PILES[*at]);
            let sim = bench.sim(PILES[*at]);
            (sim.boot, sim.seq) = (boot, seq);
        }
        Happens::PastTheMeter { at } => {
            let charges = |order: &&domain::order::Order| {
                order.outlet == outlet(PILES[*at]) && order.state == domain::order::State::Charging
            };
            let here = bench.disk.orders().find(charges).map(|order| order.id.clone());
            if let Some(id) = here {
                bench.charging(PILES[*at], &id);
                bench.sim(PILES[*at]).meter += kwh("0.0291");
                for _ in 0..45 {
                    bench.advance(15 * SECOND);
                    bench.charging(PILES[*at], &id);
                }
            }
        }
        Happens::SameBoot { at } => {
            let boot = bench.sim(PILES[*at]).boot.clone();
            bench.restart_pile(PILES[*at]);
            bench.sim(PILES[*at]).boot = boot;
            for _ in 0..6 {
                bench.advance(15 * SECOND);
                bench.idle(PILES[*at]);
            }
        }
        Happens::Record {
            order,
            at,
            energy,
            spoil,
        } => {
            let id = nth(bench, *order);
            let known = bench.disk.orders.get(&id).cloned().flatten();
            let pile = known.as_ref().filter(|_| spoil % 8 != 0).map_or(PILES[*at], |order| {
                PILES
                    .into_iter()
                    .find(|known| *known == order.outlet.pile.as_str())
                    .unwrap()
            });
            let record = record(bench, pile, &id, *energy, *spoil);
            bench.send_record(pile, &record);
        }
        Happens::OfflineRecord {
            at,
            counter,
            card,
            energy,
        } => {
            let id = order_id(&format!("off-{}-1-{counter}", PILES[*at]));
            let mut record = record(bench, PILES[*at], &id, *energy, 7);
            record.card_id = (*card > 0).then(|| CardId::new(format!("c{card}")).unwrap());
            bench.send_record(PILES[*at], &record);
        }
        Happens::Boot { at, anew, clock } => {
            if *anew {
                bench.restart_pile(PILES[*at]);
                bench.sim(PILES[*at]).clock_ahead_ms = [
                    Some(0),
                    None,
                    Some(3_600_000),
                    Some(-1_700_000_000_000),
                    Some(5_000_000_000_000),
                ][usize::from(*clock)];
            }
            bench.connect_any(PILES[*at]);
        }
        Happens::Drop { at, dropped } => {
            bench.disconnect(PILES[*at], *dropped);
        }
        Happens::Connect { at } => bench.connect_any(PILES[*at]),
        Happens::Event { at, kind } => {
            let kinds = [
                EventKind::Fault,
                EventKind::FaultCleared,
                EventKind::Estop,
                EventKind::Plugged,
            ];
            bench.event(PILES[*at], kinds[usize::from(*kind) % 4]);
        }
        Happens::Swipe { at, card } => {
            bench.swipe(PILES[*at], &format!("c{card}"));
        }
        Happens::Unreadable { at, kind, order } => {
            let order_id = order.map(|order| nth(bench, order));
            let named = order_id.as_ref().map_or("", |order| order.as_str());
            bench.handle(Input::Unreadable {
                pile: pile(PILES[*at]),
                kind: Some(UpKind::ALL[*kind]),
                fault: Malformed {
                    msg_id: None,
                    boot_id: None,
                    order_id: order_id.clone(),
                    connector: order.map(|_| domain::ids::ConnectorNo(1)),
                    path: ".".to_owned(),
                    detail: "odd".to_owned(),
                },
                raw: if kind % 2 == 0 {
                    Raw::Text(format!("{kind} {named}"))
                } else {
                    Raw::Bytes {
                        base64: "/w==".to_owned(),
                    }
                },
            });
        }
        Happens::Stop { order } => {
            bench.handle(Bench::stop_input(&nth(bench, *order)));
        }
        Happens::Close { order } => {
            bench.handle(Bench::close_input(&nth(bench, *order)));
        }
        Happens::Decide { order, corrected } => {
            let decision = corrected.map_or(Decision::AsIs, |(electricity, service)| Decision::Corrected {
                electricity: Fen(electricity),
                service: Fen(service),
            });
            // Reviews are rare among many orders: the first that waits, or any.
            let waiting = bench
                .disk
                .orders()
                .find(|order| order.state == domain::order::State::Review);
            let id = waiting.map(|order| order.id.clone()).filter(|_| *order < 4);
            let id = id.unwrap_or_else(|| nth(bench, *order));
            bench.handle(Bench::decide_input(&id, decision));
        }
        Happens::Refund { order, amount } => {
            let id = nth(bench, *order);
            bench.handle(Bench::refund_input(&id, &Fen(*amount).to_string()));
        }
        Happens::TopUp { who, amount } => {
            bench.handle(Input::TopUp {
                member: member(MEMBERS[*who]),
                amount: Fen(*amount),
                receipt: format!("r{}", bench.facts.len() / 20),
                by: "desk".to_owned(),
            });
        }
        Happens::PayDebt { who, amount, cash } => {
            let from = if *cash { PaidFrom::Cash } else { PaidFrom::Allowance };
            let owed = bench.debt(MEMBERS[*who]).0;
            let amount = if owed > 0 { (*amount).min(owed) } else { *amount };
            // Now and then two payments have the same receipt.
            let receipt = format!("r{}", bench.facts.len() / 20);
            bench.handle(Input::PayDebt {
                member: member(MEMBERS[*who]),
                amount: Fen(amount),
                from,
                receipt,
                by: "desk".to_owned(),
            });
        }
        Happens::Block { who, blocked } => {
            bench.handle(Input::BlockMember {
                member: member(MEMBERS[*who]),
                reason: blocked.then(|| "bad".to_owned()),
                by: "desk".to_owned(),
            });
        }
        Happens::Quarantine { item, bill_to, typed } => close_item(bench, *item, *bill_to, *typed),
        Happens::BindCard { card, who } => {
            bench.handle(Input::BindCard {
                card: CardId::new(format!("c{card}")).unwrap(),
                by: "desk".to_owned(),
                member: member(MEMBERS[*who]),
            });
        }
        Happens::Maintenance { at, on } => {
            bench.handle(Input::SetMaintenance {
                pile: pile(PILES[*at]),
                reason: on.then(|| "broken".to_owned()),
                by: "desk".to_owned(),
            });
        }
        Happens::RemovePile { at, back } => {
            bench.handle(Input::RemovePile {
                pile: pile(PILES[*at]),
                by: "desk".to_owned(),
            });
            if *back {
                bench.handle(Input::ProvisionPile {
                    pile: pile(PILES[*at]),
                    by: "setup".to_owned(),
                });
            }
        }
        Happens::ClearMeter { at } => {
            bench.handle(Input::ClearMeter {
                pile: pile(PILES[*at]),
                reason: "looked".to_owned(),
                by: "service".to_owned(),
            });
        }
        Happens::UnbindCard => {
            bench.handle(Input::UnbindCard {
                card: CardId::new("c1").unwrap(),
                by: "desk".to_owned(),
            });
        }
        Happens::Correct { order, bill, by } => {
            let id = settled(bench, *order).unwrap_or_else(|| nth(bench, *order));
            bench.handle(Input::CorrectBill {
                order: id,
                electricity: Fen(bill.0),
                service: Fen(bill.1),
                reason: "complaint".to_owned(),
                by: CLERKS[*by].to_owned(),
            });
        }
        Happens::Approve { order, withdraw, by } => {
            let waiting = bench.disk.orders().find(|order| order.proposal.is_some());
            let proposal = waiting
                .and_then(|order| order.proposal.as_ref())
                .map_or(1, |one| one.number);
            let id = waiting.map_or_else(|| nth(bench, *order), |order| order.id.clone());
            let by = CLERKS[*by].to_owned();
            bench.handle(match withdraw {
                true => Input::WithdrawCorrection {
                    order: id,
                    proposal,
                    reason: "no".to_owned(),
                    by,
                },
                false => Input::ApproveCorrection {
                    order: id,
                    proposal,
                    by,
                },
            });
        }
        Happens::ReverseTopUp { receipt, amount } => {
            let used = bench.disk.receipts.iter().rev().nth(*receipt);
            let used = used.and_then(|(number, used)| Some((number.clone(), used.as_ref()?.member.clone())));
            let (receipt, who) = used.unwrap_or_else(|| ("none".to_owned(), member("m")));
            bench.handle(Input::ReverseTopUp {
                member: who,
                receipt,
                amount: amount.map(Fen),
                reason: format!("typed wrong {}", bench.facts.len() / 20),
                by: "desk".to_owned(),
            });
        }
        Happens::Shift { open, by } => {
            let by = CLERKS[*by].to_owned();
            bench.handle(match open {
                true => Input::OpenShift { by },
                false => Input::CloseShift { by },
            });
        }
        Happens::Count { off, reason } => {
            let counted = bench.disk.till() + Fen(*off);
            bench.handle(Input::CountCash {
                counted,
                reason: reason.then(|| "change given wrong".to_owned()),
                by: "desk".to_owned(),
            });
        }
        Happens::Bank { amount, slip } => {
            bench.handle(Input::BankCash {
                amount: Fen(*amount),
                slip: format!("s{slip}-{}", bench.facts.len() / 40),
                by: "desk".to_owned(),
            });
        }
        Happens::Told {
            what,
            who,
            at,
            order,
            amount,
        } => {
            let order = nth(bench, *order);
            told(bench, *what, *who, *at, order, Fen(*amount));
        }
        Happens::Voucher { id, who, hours, close } => {
            let expires_at = bench.now.wall.after_ms(i64::from(*hours) * 3_600_000);
            if *close {
                bench.ok(Input::CloseVouchers { certainly: expires_at });
            } else if let Some(hq_epoch) = bench.disk.head_office.hq_epoch {
                let voucher = domain::head_office::Voucher {
                    site: "S1".parse().unwrap(),
                    hq_epoch,
                    epoch: "e".to_owned(),
                    id: id.to_string(),
                    member: member(WALLETS[*who]),
                    name: String::new(),
                    amount: Fen(1_000),
                    expires_at,
                };
                let epoch = "e".to_owned();
                bench.handle(Input::TakeVoucher {
                    voucher: Box::new(voucher),
                    epoch,
                });
            }
        }
        Happens::Trust(trusted) => {
            bench.handle(Input::ClockTrust(*trusted));
        }
        Happens::Advance { ms } => {
            bench.advance(*ms);
        }
        Happens::Late { ms } => {
            // The station slept: what was due is noticed afterwards, with whatever comes next.
            bench.pass(*ms);
        }
        Happens::ClockStep { ms } => bench.now.wall = bench.now.wall.after_ms(*ms),
        Happens::Restart { live } => bench.restart(*live),
    }
}

/// A person deals with a quarantine item, and insists if told that something else covers it.
fn close_item(bench: &mut Bench, item: usize, bill_to: Option<usize>, typed: Option<(i64, i64)>) {
    let items: Vec<u64> = bench.disk.quarantine.keys().rev().copied().collect();
    let item = items.get(item).copied().unwrap_or(9_999);
    let row = bench.disk.quarantine.get(&item).and_then(Option::as_ref);
    let is_raw = row.is_some_and(|row| row.raw.is_some());
    let of_order = row
        .and_then(|row| row.order.as_ref())
        .and_then(|id| bench.disk.order(id));
    // An order's own late or other record is the order's member's.
    let payer = of_order.map_or(bill_to.map(|who| member(MEMBERS[who])), |order| {
        bill_to.map(|who| {
            if who < 2 {
                order.member.clone()
            } else {
                member(MEMBERS[who])
            }
        })
    });
    let typed = typed.filter(|_| is_raw).map(|(from, energy)| {
        let reading = |register: i64, ago: i64| Reading {
            at: bench.now.wall.after_ms(-ago),
            register: kwh("1000") + Energy(register),
        };
        Box::new(TypedFigures {
            connector: domain::ids::ConnectorNo(1),
            start: reading(from, 7_200_000),
            stop: reading(from + energy, 3_600_000),
        })
    });
    let close = |despite| Input::CloseQuarantine {
        item,
        bill_to: payer.clone(),
        despite,
        typed: typed.clone(),
        reason: "looked".to_owned(),
        by: "desk".to_owned(),
    };
    let outcome = bench.handle(close(Vec::new()));
    if let Err(Rejected::Covered { covers, .. }) = outcome.answer {
        let despite = covers.into_iter().map(|claim| claim.by).collect();
        let outcome = bench.handle(close(despite));
        assert!(outcome.answer.is_ok(), "{:?}", outcome.answer);
    }
}

/// The nth settled order, newest first.
fn settled(bench: &Bench, n: usize) -> Option<OrderId> {
    use domain::order::State::{Payed, Unpaid};
    let mut settled = bench
        .disk
        .orders()
        .filter(|order| matches!(order.state, Payed | Unpaid));
    settled.nth(n).map(|order| order.id.clone())
}

/// A record with energy, and with something wrong in it most of the time.
fn record(bench: &mut Bench, pile: &str, id: &OrderId, energy: i64, spoil: u8) -> Record {
    let meter = bench.sim(pile).meter;
    let start = domain::time::Now {
        mono: domain::time::Mono(bench.now.mono.0.saturating_sub(3_600_000)),
        wall: bench.now.wall.after_ms(-3_600_000),
    };
    let stop = Energy((meter + Energy(energy)).0.max(0));
    let mut record = bench.record_since(pile, id, start, &meter.to_string(), &stop.to_string());
    record.reason.code = u16::from(spoil % 12);
    match spoil / 8 % 10 {
        0 => record.start_ts = None,
        1 => std::mem::swap(&mut record.start_ts, &mut record.stop_ts),
        2 => (record.start_mono_ms, record.stop_mono_ms) = (u64::MAX, u64::MAX),
        3 => record.meter_start_kwh = Energy::ZERO,
        4 => record.start_ts = Some(wall("1970-01-01T00:00:00Z")),
        5 => record.stop_ts = Some(wall("2199-01-01T00:00:00Z")),
        6 => record.meter_stop_kwh = Energy(100_000_000_000_000),
        7 => {
            record.periods = Some(Periods::default());
            record.samples = vec![
                BufferedSample {
                    ts: record.start_ts,
                    mono_ms: u64::MAX,
                    meter_kwh: stop,
                };
                3
            ];
        }
        _ => {}
    }
    record
}

trait ConnectAny {
    fn connect_any(&mut self, id: &str);
}

impl ConnectAny for Bench {
    /// A pile that may have been removed connects, and says what it is if it was let in.
    fn connect_any(&mut self, id: &str) {
        self.handle(Input::Connected { pile: pile(id) });
        self.boot(id);
    }
}

pub(crate) fn station(evicts: bool) -> Bench {
    let mut bench = Bench::with(policy());
    bench.evicts = evicts;
    bench.member("n", "30");
    bench.member("k", "0");
    bench.handle(Input::BindCard {
        card: CardId::new("c2").unwrap(),
        by: "desk".to_owned(),
        member: member("n"),
    });
    bench
}
