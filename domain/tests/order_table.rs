//! Every (state, input) pair of the order table, reached through inputs a station really gets; and every (state, directive) pair,
//! of orders that head office has placed; and every (state, fact) pair for whoever follows the journal. What must follow is written
//! down as tables, `order_table/expected.txt`, `directives.txt` and `followed.txt`: one line for each pair.

#![allow(clippy::unwrap_used, reason = "what a test cannot go on without fails it")]

mod bench;
#[path = "order_table/directives.rs"]
mod directives;
#[path = "order_table/followed.rs"]
mod followed;

use bench::*;
use domain::{
    fact::{PaidFrom, QuarantineReason},
    messages::{ConnectorStatus, Record},
    order::State,
    policy::Policy,
    site::{Answer, Decision, Input, Outcome, Rejected},
};
use std::fmt::Write;

/// Where the order stands when the input comes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum From {
    NoOrder,
    Place,
    Charging,
    ChargingStopping,
    ChargingLost,
    SettleEstimated,
    Review,
    ReviewEstimated,
    Payed,
    PayedEstimated,
    Unpaid,
    UnpaidEstimated,
    Fail,
}

impl From {
    const ALL: [From; 13] = [
        From::NoOrder,
        From::Place,
        From::Charging,
        From::ChargingStopping,
        From::ChargingLost,
        From::SettleEstimated,
        From::Review,
        From::ReviewEstimated,
        From::Payed,
        From::PayedEstimated,
        From::Unpaid,
        From::UnpaidEstimated,
        From::Fail,
    ];
}

/// What comes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Comes {
    PlaceAgain,
    ReplyOk,
    ReplyNotOk,
    HeartbeatCharging,
    HeartbeatIdle,
    Record,
    RecordTwice,
    RecordThenAnother,
    SuspectRecord,
    StartDeadline,
    RecordOverdue,
    RemainderDue,
    Stop,
    Close,
    CloseAfter72h,
    DecideAsIs,
    DecideCorrected,
    PayDebt,
    Refund,
    CardSwipe,
    Boot,
    PileDrops,
    StationRestarts,
    ClockStep,
    Blacklisted,
    HeartbeatPaused,
    BootWithoutSession,
    Silence,
    CorrectDown,
    CorrectUp,
    CorrectFar,
    ApproveCorrection,
    WithdrawCorrection,
}

impl Comes {
    const ALL: [Comes; 33] = [
        Comes::PlaceAgain,
        Comes::ReplyOk,
        Comes::ReplyNotOk,
        Comes::HeartbeatCharging,
        Comes::HeartbeatIdle,
        Comes::Record,
        Comes::RecordTwice,
        Comes::RecordThenAnother,
        Comes::SuspectRecord,
        Comes::StartDeadline,
        Comes::RecordOverdue,
        Comes::RemainderDue,
        Comes::Stop,
        Comes::Close,
        Comes::CloseAfter72h,
        Comes::DecideAsIs,
        Comes::DecideCorrected,
        Comes::PayDebt,
        Comes::Refund,
        Comes::CardSwipe,
        Comes::Boot,
        Comes::PileDrops,
        Comes::StationRestarts,
        Comes::ClockStep,
        Comes::Blacklisted,
        Comes::HeartbeatPaused,
        Comes::BootWithoutSession,
        Comes::Silence,
        Comes::CorrectDown,
        Comes::CorrectUp,
        Comes::CorrectFar,
        Comes::ApproveCorrection,
        Comes::WithdrawCorrection,
    ];
}

/// For longer than any other deadline of the table.
const SILENT_MS: u64 = 30 * HOUR;

/// A station whose one order stands at `from`.
struct Scene {
    bench: Bench,
    /// Who pays for it.
    payer: &'static str,
    order: domain::ids::OrderId,
    record: Record,
}

/// Member `m` has ¥60 and reserves ¥50; ¥1.00 a kWh. Sessions deliver 10 kWh, those that end in debt 70 kWh, a start that
/// the station has not heard of 0.05 kWh.
fn scene(from: From) -> Scene {
    let bench = Bench::with(Policy {
        silent_ms: SILENT_MS,
        ..Policy::default()
    });
    stands_at(from, bench, "m", |bench| bench.place("m", "P1", "50"))
}

/// The order is placed, and brought to where it is to stand.
fn stands_at(
    from: From,
    mut bench: Bench,
    payer: &'static str,
    place: impl Fn(&mut Bench) -> domain::ids::OrderId,
) -> Scene {
    let mut order = order_id("019cab00-0000-7000-8000-000000000000");
    let mut start = bench.now;
    let mut delivered = "1010";
    match from {
        From::NoOrder => {}
        From::Place => {
            order = place(&mut bench);
            bench.advance(30 * SECOND);
            delivered = "1000.05";
        }
        From::Fail => {
            order = place(&mut bench);
            bench.advance(MINUTE);
            delivered = "1000.05";
        }
        _ => {
            order = place(&mut bench);
            let command = bench.order(&order).commands[0].id.clone();
            bench.reply("P1", &command, true);
            bench.charging("P1", &order);
            start = bench.now;
            if matches!(from, From::Unpaid | From::UnpaidEstimated) {
                delivered = "1070";
                bench.deliver("P1", &order, 21 * HOUR / 2, delivered);
            } else {
                bench.deliver("P1", &order, 2 * HOUR, delivered);
            }
        }
    }
    if from == From::ChargingStopping {
        bench.ok(Bench::stop_input(&order));
    }
    if from == From::ReviewEstimated {
        bench.now.wall = bench.now.wall.after_ms(3_600_000);
        bench.handle(Input::Tick);
    }
    if matches!(
        from,
        From::ChargingLost
            | From::SettleEstimated
            | From::ReviewEstimated
            | From::PayedEstimated
            | From::UnpaidEstimated
    ) {
        bench.idle("P1");
        bench.advance(MINUTE);
    }
    let mut record = bench.record_since("P1", &order, start, "1000", delivered);
    match from {
        From::SettleEstimated | From::ReviewEstimated => {
            bench.advance(30 * MINUTE);
        }
        From::PayedEstimated | From::UnpaidEstimated => {
            bench.advance(30 * MINUTE + DAY);
        }
        From::Payed | From::Unpaid => {
            bench.send_record("P1", &record);
        }
        From::Review => {
            record.meter_start_kwh = kwh("999");
            bench.send_record("P1", &record);
        }
        _ => {}
    }
    let there = bench
        .disk
        .orders
        .get(&order)
        .and_then(Option::as_ref)
        .map(|order| (order.state, order.estimated, order.stopping, order.deadline.is_some()));
    let expected = match from {
        From::NoOrder => None,
        From::Place => Some((State::Place, false, false, true)),
        From::Charging => Some((State::Charging, false, false, false)),
        From::ChargingStopping => Some((State::Charging, false, true, false)),
        From::ChargingLost => Some((State::Charging, false, false, true)),
        From::SettleEstimated => Some((State::Settle, true, false, true)),
        From::Review => Some((State::Review, false, false, false)),
        From::ReviewEstimated => Some((State::Review, true, false, false)),
        From::Payed => Some((State::Payed, false, false, false)),
        From::PayedEstimated => Some((State::Payed, true, false, false)),
        From::Unpaid => Some((State::Unpaid, false, true, false)),
        From::UnpaidEstimated => Some((State::Unpaid, true, true, false)),
        From::Fail => Some((State::Fail, false, false, false)),
    };
    assert_eq!(there, expected, "the scene {from:?}");
    Scene {
        bench,
        payer,
        order,
        record,
    }
}

impl Scene {
    /// The input, and everything that comes of it.
    fn take(&mut self, comes: Comes) -> Vec<Outcome> {
        let (bench, id, record) = (&mut self.bench, &self.order, &self.record);
        let start = domain::order::Command::id_for(id, domain::messages::CommandKind::Start, 1);
        match comes {
            Comes::PlaceAgain => {
                let input = bench.place_input("m", "P2", "10");
                vec![bench.handle(input)]
            }
            Comes::ReplyOk => vec![bench.reply("P1", &start, true)],
            Comes::ReplyNotOk => vec![bench.reply("P1", &start, false)],
            Comes::HeartbeatCharging => vec![bench.charging("P1", id)],
            Comes::HeartbeatIdle => vec![bench.idle("P1")],
            Comes::Record => vec![bench.send_record("P1", record)],
            Comes::RecordTwice => vec![bench.send_record("P1", record), bench.send_record("P1", record)],
            Comes::RecordThenAnother => {
                let mut other = record.clone();
                other.meter_stop_kwh += kwh("1");
                vec![bench.send_record("P1", record), bench.send_record("P1", &other)]
            }
            Comes::SuspectRecord => {
                let mut suspect = record.clone();
                suspect.meter_start_kwh = kwh("998");
                vec![bench.send_record("P1", &suspect)]
            }
            Comes::StartDeadline => bench.advance(MINUTE),
            Comes::RecordOverdue => bench.advance(30 * MINUTE),
            Comes::RemainderDue => bench.advance(DAY),
            Comes::Stop => vec![bench.handle(Bench::stop_input(id))],
            Comes::Close => vec![bench.handle(Bench::close_input(id))],
            Comes::CloseAfter72h => {
                bench.disconnect("P1", false);
                let mut outcomes = bench.advance(72 * HOUR);
                outcomes.push(bench.handle(Bench::close_input(id)));
                outcomes
            }
            Comes::DecideAsIs => vec![bench.handle(Bench::decide_input(id, Decision::AsIs))],
            Comes::DecideCorrected => {
                let decision = Decision::Corrected {
                    electricity: yuan("4"),
                    service: yuan("1"),
                };
                vec![bench.handle(Bench::decide_input(id, decision))]
            }
            Comes::PayDebt => vec![bench.handle(Bench::pay_debt_input("m", "10", PaidFrom::Cash))],
            Comes::Refund => vec![bench.handle(Bench::refund_input(id, "2"))],
            Comes::CardSwipe => vec![bench.swipe("P1", "c1")],
            Comes::Boot => {
                bench.disconnect("P1", false);
                vec![bench.connect("P1")]
            }
            Comes::PileDrops => {
                let mut outcomes = vec![bench.disconnect("P1", true)];
                outcomes.extend(bench.advance(45 * SECOND));
                outcomes
            }
            Comes::StationRestarts => {
                bench.restart(true);
                vec![bench.connect("P1")]
            }
            Comes::ClockStep => {
                bench.now.wall = bench.now.wall.after_ms(-600_000);
                vec![bench.handle(Input::Tick)]
            }
            Comes::Blacklisted => vec![bench.handle(Input::BlockMember {
                member: member("m"),
                reason: Some("never pays".to_owned()),
                by: "desk".to_owned(),
            })],
            Comes::HeartbeatPaused => vec![bench.heartbeat("P1", ConnectorStatus::Plugged, Some(id))],
            Comes::BootWithoutSession => {
                bench.sim("P1").session = None;
                bench.disconnect("P1", false);
                vec![bench.connect("P1")]
            }
            Comes::Silence => bench.advance(SILENT_MS),
            Comes::CorrectDown => vec![correct_by(bench, id, yuan("-8"))],
            Comes::CorrectUp => vec![correct_by(bench, id, yuan("45"))],
            Comes::CorrectFar => vec![correct_by(bench, id, yuan("60"))],
            Comes::ApproveCorrection => {
                let (first, number) = propose(bench, id);
                vec![first, bench.handle(Bench::approve_input(id, number, "bob"))]
            }
            Comes::WithdrawCorrection => {
                let (first, number) = propose(bench, id);
                let withdraw = Input::WithdrawCorrection {
                    order: id.clone(),
                    proposal: number,
                    reason: "not so".to_owned(),
                    by: "bob".to_owned(),
                };
                vec![first, bench.handle(withdraw)]
            }
        }
    }

    /// One line: the last answer, where the order stands, its money, and what was sent and said.
    fn line(&self, from: From, comes: Comes, outcomes: &[Outcome]) -> String {
        let answer = match outcomes.last().map(|outcome| &outcome.answer) {
            None => "-".to_owned(),
            Some(Ok(Answer::Done)) => "done".to_owned(),
            Some(Ok(Answer::Order(id))) if *id == self.order => "order".to_owned(),
            Some(Ok(Answer::Order(_))) => "new order".to_owned(),
            Some(Ok(Answer::Proposed { .. })) => "proposed".to_owned(),
            Some(Ok(Answer::Stopping { pile_online, .. })) => {
                format!("stopping {}", if *pile_online { "now" } else { "later" })
            }
            Some(Ok(Answer::Ack(ack))) => {
                let word = format!("{:?}", ack.result).to_lowercase();
                ack.fee.map_or(format!("ack {word}"), |fee| format!("ack {word} {fee}"))
            }
            Some(Err(Rejected::Illegal { illegal, .. })) => format!("illegal {:?}", illegal.step),
            Some(Err(rejected)) => rejected.code().to_owned(),
        };
        let (allowance, debt) = (self.bench.allowance(self.payer), self.bench.debt(self.payer));
        let (stands, follows) = (self.stands(), follows(outcomes));
        format!("{from:?} | {comes:?} | {answer} | {stands} | {allowance} {debt} | {follows}")
            .trim_end()
            .to_owned()
    }

    /// Where the order stands, and its money.
    fn stands(&self) -> String {
        match self.bench.disk.orders.get(&self.order).and_then(Option::as_ref) {
            None => "- | -".to_owned(),
            Some(order) => {
                let mut flags = String::new();
                for (flag, set) in [
                    (" estimated", order.estimated),
                    (" stopping", order.stopping),
                    (" waiting", order.deadline.is_some()),
                    (" stepped", order.clock_stepped),
                    (" after-sales", order.after_sales),
                    (
                        " conflict",
                        order.items.iter().any(|item| item.why == QuarantineReason::Conflict),
                    ),
                    (" conflict", !order.conflicts.is_empty()),
                    (" proposal", order.proposal.is_some()),
                ] {
                    flags.push_str(if set { flag } else { "" });
                }
                let hold = &order.hold;
                format!(
                    "{}{flags} | {} {} {}",
                    order.state.word(),
                    hold.remaining(),
                    hold.captured,
                    hold.released
                )
            }
        }
    }
}

/// What was sent and said.
fn follows(outcomes: &[Outcome]) -> String {
    let mut follows: Vec<String> = Vec::new();
    for outcome in outcomes {
        follows.extend(commands(outcome).iter().map(|command| command.kind.word().to_owned()));
        follows.extend(notices(outcome).iter().map(|(key, _)| format!("\"{key:?}\"")));
    }
    follows.join(" ")
}

/// Alice asks for a bill that is so much more than the one there is.
fn correct_by(bench: &mut Bench, id: &domain::ids::OrderId, more: domain::units::Fen) -> Outcome {
    let order = bench.disk.orders.get(id).and_then(Option::as_ref);
    let fee = order
        .and_then(|order| order.bill())
        .map_or(yuan("10"), |bill| bill.fee());
    bench.handle(Bench::correct_input(id, &(fee + more).to_string(), "0", "alice"))
}

/// A bill so far from the one first settled that a second person must agree. Returns its number.
fn propose(bench: &mut Bench, id: &domain::ids::OrderId) -> (Outcome, u64) {
    let outcome = correct_by(bench, id, yuan("60"));
    let number = match outcome.answer {
        Ok(Answer::Proposed { proposal, .. }) => proposal,
        _ => 0,
    };
    (outcome, number)
}

/// Holds lines that were reached against those of a table.
fn compare(what: &str, table: &str, pairs: usize, reached: impl Iterator<Item = String>) {
    let is_line = |line: &&str| !line.is_empty() && !line.starts_with('#');
    let expected: Vec<&str> = table.lines().filter(is_line).collect();
    let (mut count, mut wrong) = (0, String::new());
    let mut lines = expected.iter();
    for line in reached {
        count += 1;
        match lines.next() {
            Some(expected) if *expected == line => {}
            other => writeln!(wrong, "- {}\n+ {line}", other.unwrap_or(&"(no line)")).unwrap(),
        }
    }
    // Past the test runner's capture: the count is printed whether the test passes or not.
    let line = format!("order table: {count} of {pairs} ({what}) pairs reached\n");
    std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()).unwrap();
    assert!(wrong.is_empty(), "the table and the station differ:\n{wrong}");
    assert_eq!((count, expected.len()), (pairs, pairs));
}

#[test]
fn every_state_and_input_leads_where_the_table_says() {
    let pairs = From::ALL
        .into_iter()
        .flat_map(|from| Comes::ALL.map(|comes| (from, comes)));
    let reached = pairs.map(|(from, comes)| {
        let mut scene = scene(from);
        let outcomes = scene.take(comes);
        let line = scene.line(from, comes, &outcomes);
        assert_eq!(scene.bench.replayed_orders(), scene.bench.disk.orders, "{line}");
        line
    });
    let table = include_str!("order_table/expected.txt");
    compare("state, input", table, From::ALL.len() * Comes::ALL.len(), reached);
}
