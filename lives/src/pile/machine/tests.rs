//! The pile against a pretend station in virtual time: no sockets, no sleeps, every number predicted.
//! Whatever the pile publishes is read back with the station's own reader on the way.

use super::{
    super::{behaviour::read_behaviours, spec::Customers},
    *,
};
use domain::{
    ids::{CommandId, OrderId},
    messages::{
        Ack, AckResult, CommandKind, ConnectorStatus, EventKind, PriceMessage, Reply, TimeMessage, Up, read_up,
    },
    units::Fen,
};

const NO: ConnectorNo = ConnectorNo(1);
const MINUTE: u64 = 60_000;
const HOUR: u64 = 3_600_000;

/// A pile and the other end of its connection.
struct Bench {
    pile: Pile,
    now: Mono,
    /// Whether a connection can be made.
    reachable: bool,
    pubacks: bool,
    acks: bool,
    sent: Vec<(Mono, UpMessage)>,
    raw: Vec<(String, Vec<u8>)>,
    events: Vec<PileEvent>,
    closed: Vec<bool>,
    connects: Vec<Mono>,
}

fn spec() -> PileSpec {
    PileSpec::new(
        PileId::new("P1").unwrap(),
        Wall::parse("2026-03-01T07:00:00+08:00").unwrap(),
    )
}

fn behaving(texts: &[&str]) -> PileSpec {
    spec().behaving(read_behaviours(texts.iter().copied()).unwrap())
}

impl Bench {
    fn new(spec: PileSpec) -> Self {
        let mut bench = Self {
            pile: Pile::new(spec, Flash::default(), Mono(0)),
            now: Mono(0),
            reachable: true,
            pubacks: true,
            acks: true,
            sent: Vec::new(),
            raw: Vec::new(),
            events: Vec::new(),
            closed: Vec::new(),
            connects: Vec::new(),
        };
        bench.drain();
        bench
    }

    /// A pile that is connected and has a car at its connector.
    fn plugged(spec: PileSpec) -> Self {
        let mut bench = Self::new(spec);
        bench.act(Act::Plug {
            connector: NO,
            car: None,
        });
        bench
    }

    fn input(&mut self, input: Input) {
        self.pile.handle(self.now, input);
        self.drain();
    }

    fn act(&mut self, act: Act) {
        self.input(Input::Act(act));
    }

    fn drain(&mut self) {
        while let Some(output) = self.pile.poll() {
            match output {
                Output::Connect { attempt } => {
                    self.connects.push(self.now);
                    let answer = if self.reachable {
                        Input::LinkUp { attempt }
                    } else {
                        Input::LinkDown {
                            attempt,
                            reason: "unreachable".to_owned(),
                        }
                    };
                    self.pile.handle(self.now, answer);
                }
                Output::Disconnect { clean } => self.closed.push(clean),
                Output::Publish(publish) => self.published(publish),
                Output::Event(event) => self.events.push(event),
                Output::Persist => {}
            }
        }
    }

    fn published(&mut self, publish: Publish) {
        let topic = publish.topic(self.pile.id());
        let payload = publish.payload();
        match publish.body {
            Body::Raw { kind, payload } => self.raw.push((kind, payload)),
            Body::Message(message) => {
                let (pile, kind) = topics::parse_up(&topic).unwrap();
                assert_eq!(
                    read_up(kind, &payload).unwrap(),
                    message,
                    "the station reads what the pile wrote"
                );
                assert_eq!(&pile, self.pile.id());
                assert_eq!(publish.qos1, kind != topics::UpKind::Heartbeat);
                let record = match &message.body {
                    Up::Record(record) => Some(record.order_id.clone()),
                    _ => None,
                };
                let id = message.common.msg_id.clone();
                self.sent.push((self.now, message));
                if self.pubacks {
                    self.pile.handle(self.now, Input::Puback { token: publish.token });
                }
                if let Some(order) = record.filter(|_| self.acks) {
                    self.ack(id, AckResult::Ok, Some(order));
                }
            }
        }
    }

    fn ack(&mut self, msg_id: Option<MsgId>, result: AckResult, order_id: Option<OrderId>) {
        let ack = Ack {
            msg_id,
            result,
            order_id,
            fee: Some(Fen(100)),
            detail: String::new(),
        };
        self.pile.handle(self.now, Input::Down(Down::Ack(ack)));
    }

    fn run(&mut self, ms: u64) {
        let end = self.now.after_ms(ms);
        while let Some(at) = self.pile.next_wake().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.input(Input::Wake);
        }
        self.now = end;
        self.input(Input::Wake);
    }

    fn command(&mut self, kind: CommandKind, id: &str, edit: impl FnOnce(&mut CommandMessage)) {
        let mut command = CommandMessage {
            command_id: CommandId::new(id).unwrap(),
            kind,
            ttl_ms: 60_000,
            order_id: OrderId::new("o1").unwrap(),
            connector: NO,
            limit_fee: None,
            limit_kwh: None,
            prices: Vec::new(),
        };
        edit(&mut command);
        self.input(Input::Down(Down::Command(command)));
    }

    fn start(&mut self) {
        self.command(CommandKind::Start, "c1", |_| {});
    }

    fn records(&self) -> Vec<&Record> {
        self.sent
            .iter()
            .filter_map(|(_, message)| match &message.body {
                Up::Record(record) => Some(&**record),
                _ => None,
            })
            .collect()
    }

    fn replies(&self) -> Vec<(u64, &Reply)> {
        self.sent
            .iter()
            .filter_map(|(at, message)| match &message.body {
                Up::Reply(reply) => Some((at.0, reply)),
                _ => None,
            })
            .collect()
    }

    fn count(&self, is: impl Fn(&Up) -> bool) -> usize {
        self.sent.iter().filter(|(_, message)| is(&message.body)).count()
    }

    fn told(&self, is: impl Fn(&What) -> bool) -> usize {
        self.events.iter().filter(|event| is(&event.what)).count()
    }

    fn no_surprise(&self) {
        let surprises: Vec<_> = self
            .events
            .iter()
            .filter(|e| matches!(e.what, What::Unexpected { .. }))
            .collect();
        assert!(surprises.is_empty(), "{surprises:?}");
    }
}

#[test]
fn a_session_is_predicted_to_the_digit() {
    let mut bench = Bench::plugged(spec());
    bench.run(1_000);
    bench.start();
    bench.run(HOUR + 1);
    bench.command(CommandKind::Stop, "c2", |_| {});
    let record = bench.records()[0].clone();
    assert_eq!(record.meter_start_kwh, "1000".parse().unwrap());
    assert_eq!(record.meter_stop_kwh, "1007".parse().unwrap());
    assert_eq!(
        (record.reason.code, record.offline, record.samples.len()),
        (9, false, 0)
    );
    assert_eq!((record.start_mono_ms, record.stop_mono_ms), (1_000, HOUR + 1_001));
    assert_eq!(record.start_ts, Some(Wall::parse("2026-03-01T07:00:01+08:00").unwrap()));
    assert_eq!(
        bench
            .replies()
            .iter()
            .map(|(at, reply)| (*at, reply.ok))
            .collect::<Vec<_>>(),
        [(1_000, true), (HOUR + 1_001, true)]
    );
    assert_eq!(bench.pile.status().unacked_records, 0);
    assert_eq!(
        bench.told(|what| matches!(
            what,
            What::RecordAcked {
                fee: Some(Fen(100)),
                ..
            }
        )),
        1
    );
    bench.no_surprise();
}

#[test]
fn heartbeats_come_on_change_every_15_s_charging_and_every_5_min_idle() {
    let mut bench = Bench::plugged(spec());
    bench.start();
    bench.run(MINUTE);
    let times: Vec<(u64, ConnectorStatus)> = bench
        .sent
        .iter()
        .filter_map(|(at, message)| match &message.body {
            Up::Heartbeat(heartbeat) => Some((at.0, heartbeat.connectors[0].status)),
            _ => None,
        })
        .collect();
    use ConnectorStatus::{Charging, Idle, Plugged};
    let start = [(0, Idle), (0, Plugged), (0, Charging)];
    let rest = [
        (15_000, Charging),
        (30_000, Charging),
        (45_000, Charging),
        (60_000, Charging),
    ];
    assert_eq!(times, [&start[..], &rest[..]].concat());
    bench.act(Act::Unplug { connector: NO });
    let before = bench.pile.status().heartbeats;
    bench.run(HOUR);
    assert_eq!(bench.pile.status().heartbeats, before + 12);
}

#[test]
fn a_car_that_is_full_ends_the_session_and_its_battery_shows_it() {
    let car = Car::new("10".parse().unwrap(), 30, Power(11_000));
    let mut bench = Bench::new(PileSpec {
        car: Some(car),
        ..spec()
    });
    bench.act(Act::Plug {
        connector: NO,
        car: None,
    });
    bench.start();
    bench.run(2 * HOUR);
    let record = bench.records()[0].clone();
    assert_eq!(
        (record.reason.code, record.stop_mono_ms - record.start_mono_ms),
        (7, HOUR)
    );
    assert_eq!(
        (record.energy(), record.soc_start, record.soc_stop),
        ("7".parse().unwrap(), Some(30), Some(100))
    );
}

#[test]
fn a_limit_that_is_lowered_below_what_was_delivered_ends_the_session_at_once() {
    let mut bench = Bench::plugged(spec());
    bench.command(CommandKind::Start, "c1", |start| {
        start.limit_kwh = Some("3.5".parse().unwrap())
    });
    bench.run(10 * MINUTE);
    bench.command(CommandKind::Limit, "c2", |limit| {
        limit.limit_kwh = Some("7".parse().unwrap())
    });
    bench.run(30 * MINUTE);
    assert!(bench.records().is_empty(), "the raised limit holds");
    bench.command(CommandKind::Limit, "c3", |limit| {
        limit.limit_kwh = Some("1".parse().unwrap())
    });
    let record = bench.records()[0];
    assert_eq!((record.reason.code, record.stop_mono_ms), (8, 40 * MINUTE));
}

#[test]
fn the_fee_limit_follows_the_price_table_of_the_start() {
    let mut bench = Bench::plugged(PileSpec {
        periods: true,
        ..spec()
    });
    let rows = r#"[{"from":"00:00","kind":"valley","price_per_kwh":"0.5"},{"from":"08:00","kind":"peak","price_per_kwh":"1.2"}]"#;
    bench.command(CommandKind::Start, "c1", |start| {
        start.limit_fee = Some(Fen(590));
        start.prices = serde_json::from_str(rows).unwrap();
    });
    bench.run(5 * HOUR);
    let record = bench.records()[0];
    assert_eq!((record.reason.code, record.energy()), (8, "9".parse().unwrap()));
    assert_eq!(record.samples.len(), 1);
    assert_eq!(
        record.samples[0].ts,
        Some(Wall::parse("2026-03-01T08:00:00+08:00").unwrap())
    );
    let periods = record.periods.unwrap();
    assert_eq!(
        (periods.valley_kwh, periods.peak_kwh),
        ("7".parse().unwrap(), "2".parse().unwrap())
    );
    let counted = |what: &What| {
        matches!(
            what,
            What::Stopped {
                counted_fee: Some(Fen(590)),
                ..
            }
        )
    };
    assert_eq!(bench.told(counted), 1);
}

#[test]
fn a_command_is_acted_on_once_and_answered_the_same_again() {
    let mut bench = Bench::plugged(spec());
    bench.start();
    bench.run(MINUTE);
    bench.start();
    bench.command(CommandKind::Start, "c2", |start| {
        start.order_id = OrderId::new("o2").unwrap()
    });
    let answers: Vec<_> = bench
        .replies()
        .iter()
        .map(|(_, r)| (r.command_id.to_string(), r.ok, r.code))
        .collect();
    assert_eq!(
        answers,
        [("c1".into(), true, 0), ("c1".into(), true, 0), ("c2".into(), false, 1)]
    );
    assert_eq!(bench.told(|what| matches!(what, What::Started { .. })), 1);
}

#[test]
fn a_pile_says_why_it_does_not_start() {
    let mut bench = Bench::new(spec());
    bench.start();
    bench.command(CommandKind::Start, "c2", |start| start.connector = ConnectorNo(9));
    bench.act(Act::Plug {
        connector: NO,
        car: None,
    });
    bench.act(Act::Fault {
        connector: NO,
        code: 3,
        text: String::new(),
    });
    bench.command(CommandKind::Start, "c3", |_| {});
    bench.run(2 * MINUTE);
    bench.command(CommandKind::Stop, "c4", |_| {});
    let rows = r#"[{"from":"00:00","kind":"flat","price_per_kwh":"-1"}]"#;
    bench.command(CommandKind::Start, "c5", |start| {
        start.prices = serde_json::from_str(rows).unwrap()
    });
    bench.command(CommandKind::Start, "c6", |start| start.ttl_ms = 0);
    let codes: Vec<_> = bench.replies().iter().map(|(_, reply)| reply.code).collect();
    assert_eq!(codes, [2, 5, 3, 4, 9, 6]);
    assert_eq!(
        bench.pile.status().visits,
        5,
        "every start that led to nothing is a visit"
    );
    assert!(bench.records().is_empty());
}

#[test]
fn an_ok_that_is_not_acknowledged_within_its_ttl_stops_with_reason_10() {
    let mut bench = Bench::plugged(spec());
    bench.pubacks = false;
    bench.start();
    bench.run(59_999);
    assert_eq!(bench.pile.status().charging, 1);
    bench.run(1);
    let record = bench.records()[0];
    assert_eq!(
        (record.reason.code, record.stop_mono_ms, record.energy()),
        (10, 60_000, "0.1166".parse().unwrap())
    );
}

#[test]
fn an_ack_that_overtakes_the_puback_of_an_ok_is_as_good() {
    let mut bench = Bench::plugged(spec());
    bench.pubacks = false;
    bench.start();
    let msg_id = bench.sent.iter().rev().find_map(|(_, m)| match m.body {
        Up::Reply(_) => m.common.msg_id.clone(),
        _ => None,
    });
    bench.ack(msg_id, AckResult::Ok, None);
    bench.run(HOUR);
    assert_eq!(bench.pile.status().charging, 1);
}

#[test]
fn an_acknowledgement_of_the_repeated_ok_is_as_good_as_of_the_first() {
    let mut bench = Bench::plugged(spec());
    bench.pubacks = false;
    bench.start();
    bench.run(10_000);
    bench.pubacks = true;
    bench.act(Act::CutNetwork);
    bench.run(10_000);
    bench.act(Act::RestoreNetwork);
    assert_eq!(bench.replies().len(), 2, "sent again on the new connection");
    assert_eq!(bench.replies()[0], (0, bench.replies()[1].1));
    bench.run(HOUR);
    assert_eq!(bench.pile.status().charging, 1);
}

#[test]
fn a_record_is_repeated_unchanged_until_its_ack() {
    let mut bench = Bench::plugged(spec());
    bench.acks = false;
    bench.start();
    bench.run(MINUTE);
    bench.act(Act::StopAtPile { connector: NO });
    bench.run(200_000);
    let at: Vec<u64> = bench
        .sent
        .iter()
        .filter(|(_, message)| matches!(message.body, Up::Record(_)))
        .map(|(at, _)| at.0 - MINUTE)
        .collect();
    assert_eq!(at, [0, 5_000, 15_000, 35_000, 75_000, 135_000, 195_000]);
    let texts: Vec<Vec<u8>> = bench
        .sent
        .iter()
        .filter(|(_, m)| matches!(m.body, Up::Record(_)))
        .map(|(_, m)| wire::write_up(m))
        .collect();
    assert!(
        texts.iter().all(|text| *text == texts[0]),
        "same msg_id, same everything"
    );
    let msg_id = bench.sent.iter().rev().find_map(|(_, m)| match m.body {
        Up::Record(_) => m.common.msg_id.clone(),
        _ => None,
    });
    bench.ack(msg_id.clone(), AckResult::Duplicate, None);
    bench.run(HOUR);
    assert_eq!((bench.records().len(), bench.pile.status().unacked_records), (7, 0));
    bench.ack(msg_id, AckResult::Ok, None);
    bench.drain();
    bench.no_surprise();
}

#[test]
fn a_drop_goes_on_to_the_limit_and_returns_with_readings() {
    let mut bench = Bench::plugged(behaving(&["drop=after:120s,for:2h"]));
    bench.command(CommandKind::Start, "c1", |start| {
        start.limit_kwh = Some("7".parse().unwrap())
    });
    bench.run(2 * HOUR);
    assert!(
        bench.records().is_empty() && bench.closed == [false],
        "gone without a word"
    );
    bench.run(121_000);
    let record = bench.records()[0];
    assert_eq!(
        (record.reason.code, record.stop_mono_ms, record.offline),
        (8, HOUR, true)
    );
    let samples: Vec<u64> = record.samples.iter().map(|sample| sample.mono_ms).collect();
    assert_eq!((samples[0], samples[1], samples.len()), (180_000, 240_000, 57));
    assert_eq!(record.samples[0].meter_kwh, "1000.35".parse().unwrap());
}

#[test]
fn a_drop_without_samples_brings_none_not_even_at_a_boundary() {
    let mut bench = Bench::plugged(behaving(&["drop=after:120s,for:2h,no-samples", "user-stop=after:90m"]));
    let rows = r#"[{"from":"00:00","kind":"valley","price_per_kwh":"0.5"},{"from":"08:00","kind":"peak","price_per_kwh":"1.2"}]"#;
    bench.command(CommandKind::Start, "c1", |start| {
        start.prices = serde_json::from_str(rows).unwrap()
    });
    bench.run(3 * HOUR);
    let record = bench.records()[0];
    assert_eq!(
        (record.reason.code, record.samples.len(), record.offline, record.periods),
        (0, 0, true, None)
    );
}

#[test]
fn while_cut_off_nothing_is_sent_and_the_boot_comes_first_afterwards() {
    let mut bench = Bench::plugged(spec());
    bench.start();
    bench.act(Act::CutNetwork);
    let before = bench.sent.len();
    bench.run(10 * MINUTE);
    bench.act(Act::Unplug { connector: NO });
    assert_eq!(bench.sent.len(), before);
    bench.act(Act::RestoreNetwork);
    bench.run(0);
    let kinds: Vec<_> = bench.sent[before..]
        .iter()
        .map(|(_, message)| wire::kind_of(&message.body).word())
        .collect();
    assert_eq!(kinds, ["boot", "record", "event", "heartbeat"]);
    let seqs: Vec<u64> = bench.sent.iter().map(|(_, message)| message.common.seq).collect();
    let unique: std::collections::BTreeSet<_> = seqs.iter().collect();
    assert_eq!(unique.len(), seqs.len());
}

#[test]
fn reconnects_back_off_to_a_minute_with_jitter() {
    let mut bench = Bench::new(spec());
    bench.reachable = false;
    bench.input(Input::LinkDown {
        attempt: 1,
        reason: "reset".to_owned(),
    });
    bench.run(10 * MINUTE);
    let gaps: Vec<u64> = bench.connects.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    for (gap, least) in gaps
        .iter()
        .zip([1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000])
    {
        assert!((least..=(least * 5 / 4).min(60_000)).contains(gap), "{gaps:?}");
    }
    let mut other = Bench::new(PileSpec { seed: 2, ..spec() });
    other.reachable = false;
    other.input(Input::LinkDown {
        attempt: 1,
        reason: "reset".to_owned(),
    });
    other.run(10 * MINUTE);
    assert_ne!(bench.connects, other.connects, "the jitter comes from the seed");
}

#[test]
fn slow_silent_and_unwilling_piles() {
    let mut slow = Bench::plugged(behaving(&["slow-reply=20s"]));
    slow.start();
    slow.start();
    slow.run(MINUTE);
    assert_eq!(
        slow.replies()
            .iter()
            .map(|(at, reply)| (*at, reply.ok))
            .collect::<Vec<_>>(),
        [(20_000, true)]
    );

    let mut too_slow = Bench::plugged(behaving(&["slow-reply=61s"]));
    too_slow.start();
    too_slow.run(2 * MINUTE);
    assert_eq!((too_slow.replies()[0].1.code, too_slow.pile.status().charging), (6, 0));

    let mut mute = Bench::plugged(behaving(&["no-reply"]));
    mute.start();
    mute.run(HOUR);
    assert_eq!(
        (
            mute.replies().len(),
            mute.pile.status().charging,
            mute.pile.status().visits
        ),
        (0, 0, 1)
    );

    let mut silent = Bench::plugged(behaving(&["silent-start"]));
    silent.start();
    silent.run(HOUR);
    assert_eq!((silent.replies().len(), silent.pile.status().charging), (0, 1));

    let mut unwilling = Bench::plugged(behaving(&["refuse=42"]));
    unwilling.start();
    assert_eq!(
        (unwilling.replies()[0].1.ok, unwilling.replies()[0].1.code),
        (false, 42)
    );

    let mut late = Bench::plugged(behaving(&["late-start=70s"]));
    late.start();
    late.run(69_999);
    assert_eq!((late.replies().len(), late.pile.status().charging), (0, 0));
    late.run(1);
    assert_eq!((late.replies()[0].1.ok, late.pile.status().charging), (true, 1));

    let mut failing = Bench::plugged(behaving(&["fail-start=5s"]));
    failing.start();
    failing.run(MINUTE);
    let record = failing.records()[0];
    assert_eq!(
        (record.reason.code, record.energy(), record.stop_mono_ms),
        (10, Energy::ZERO, 5_000)
    );
}

#[test]
fn sessions_end_badly_with_the_right_code_and_event() {
    for (behaviour, code, event) in [
        ("fault=after:90s,code:5", 5, EventKind::Fault),
        ("estop=after:90s", 2, EventKind::Estop),
        ("unplug=after:90s", 4, EventKind::Unplugged),
    ] {
        let mut bench = Bench::plugged(behaving(&[behaviour]));
        bench.start();
        bench.run(5 * MINUTE);
        let record = bench.records()[0];
        assert_eq!((record.reason.code, record.stop_mono_ms), (code, 90_000), "{behaviour}");
        assert_eq!(
            bench.count(|up| matches!(up, Up::Event(e) if e.kind == event)),
            1,
            "{behaviour}"
        );
        let cleared = bench.count(|up| matches!(up, Up::Event(e) if e.kind == EventKind::FaultCleared));
        assert_eq!(cleared, usize::from(event != EventKind::Unplugged), "{behaviour}");
    }
}

#[test]
fn a_loss_of_power_ends_the_session_and_the_record_survives_it() {
    let mut bench = Bench::plugged(behaving(&["power-loss=after:120s,for:60s"]));
    bench.start();
    bench.run(179_999);
    assert!(bench.records().is_empty() && !bench.pile.status().linked);
    assert_eq!(bench.pile.flash().records.len(), 1);
    bench.run(1);
    let (at, message) = bench
        .sent
        .iter()
        .find(|(_, m)| matches!(m.body, Up::Record(_)))
        .unwrap();
    let Up::Record(record) = &message.body else {
        panic!("a record")
    };
    assert_eq!(
        (at.0, record.reason.code, record.energy()),
        (180_000, 6, "0.2333".parse().unwrap())
    );
    assert!(
        message.common.boot_id.as_str().ends_with("-2"),
        "under the new boot's name"
    );
    assert_eq!(message.common.mono_ms, 0);
    assert!(bench.pile.flash().records.is_empty());
}

#[test]
fn what_is_in_the_flash_is_sent_by_the_next_pile_made_from_it() {
    let mut bench = Bench::plugged(spec());
    bench.acks = false;
    bench.start();
    bench.run(HOUR);
    bench.act(Act::Retire);
    let flash = bench.pile.flash();
    let kept: Flash = serde_json::from_str(&serde_json::to_string(&flash).unwrap()).unwrap();
    assert_eq!(
        (kept.meters[0], kept.records[0].reason.code),
        ("1007".parse().unwrap(), 6)
    );
    let mut next = Bench::new(spec());
    next.pile = Pile::new(spec(), kept, Mono(0));
    next.sent.clear();
    next.drain();
    assert_eq!(next.records()[0].meter_stop_kwh, "1007".parse().unwrap());
    assert_eq!(next.sent[0].1.common.boot_id.as_str().rsplit('-').next(), Some("2"));
    assert_eq!(next.pile.meter(NO), Some("1007".parse().unwrap()));
}

#[test]
fn a_duplicate_comes_under_the_same_name_and_under_another() {
    let mut bench = Bench::plugged(behaving(&["duplicate-record"]));
    bench.acks = false;
    bench.start();
    bench.run(MINUTE);
    bench.act(Act::StopAtPile { connector: NO });
    let ids = |bench: &Bench| -> Vec<MsgId> {
        let records = bench.sent.iter().filter(|(_, m)| matches!(m.body, Up::Record(_)));
        records
            .filter_map(|(_, message)| message.common.msg_id.clone())
            .collect()
    };
    let first = ids(&bench);
    assert_eq!((first.len(), &first[0]), (2, &first[1]));
    bench.ack(Some(first[0].clone()), AckResult::Ok, None);
    bench.drain();
    let all = ids(&bench);
    assert!(all.len() == 3 && all[2] != all[0]);
    assert_eq!(bench.records()[2], bench.records()[0]);
    bench.no_surprise();
    bench.ack(Some(all[2].clone()), AckResult::Ok, None);
    bench.drain();
    assert_eq!(
        bench.told(|what| matches!(what, What::Unexpected { .. })),
        1,
        "a duplicate is not new"
    );
}

#[test]
fn a_conflicting_record_and_an_orphan_follow_when_told() {
    let mut bench = Bench::plugged(behaving(&["conflicting-record", "orphan-record"]));
    assert_eq!(bench.records().len(), 1, "the orphan, with the first connection");
    assert_ne!(bench.records()[0].order_id.as_str(), "o1");
    assert_eq!(
        bench.told(|what| matches!(what, What::Unexpected { .. })),
        1,
        "an orphan must not be answered ok"
    );
    bench.start();
    bench.run(MINUTE);
    bench.act(Act::StopAtPile { connector: NO });
    let records = bench.records();
    assert_eq!((records.len(), &records[1].order_id), (3, &records[2].order_id));
    assert_eq!(records[2].meter_stop_kwh, records[1].meter_stop_kwh + Energy(5_000));
    assert!(bench.pile.flash().records.is_empty() && bench.pile.status().unacked_records == 0);
}

#[test]
fn a_known_card_charges_offline_under_an_id_of_the_piles_own() {
    let mut bench = Bench::new(behaving(&["offline-card=card:C1,after:30s,for:10m"]));
    bench.run(HOUR);
    let (at, message) = bench
        .sent
        .iter()
        .find(|(_, m)| matches!(m.body, Up::Record(_)))
        .unwrap();
    let Up::Record(record) = &message.body else {
        panic!("a record")
    };
    assert_eq!((at.0, record.stop_mono_ms, record.reason.code), (635_000, 630_000, 0));
    assert_eq!((record.order_id.as_str(), record.offline), ("off-P1-1-1", true));
    assert_eq!(record.card_id.as_ref().map(CardId::as_str), Some("C1"));
    assert!(!record.samples.is_empty());
    assert_eq!(bench.pile.flash().offline_sessions, 1);
}

#[test]
fn swipes_go_to_the_station_and_are_never_queued() {
    let card = CardId::new("C1").unwrap();
    let swipe = || Act::Swipe {
        connector: NO,
        card_id: CardId::new("C1").unwrap(),
    };
    let mut bench = Bench::plugged(PileSpec {
        offline_cards: vec![card],
        ..spec()
    });
    bench.act(swipe());
    assert_eq!(bench.count(|up| matches!(up, Up::Card(_))), 1);
    bench.act(Act::CutNetwork);
    bench.act(Act::Swipe {
        connector: NO,
        card_id: CardId::new("C2").unwrap(),
    });
    assert_eq!(bench.told(|what| matches!(what, What::SwipeLost { .. })), 1);
    bench.act(swipe());
    assert_eq!(bench.pile.status().charging, 1);
    bench.act(swipe());
    assert_eq!(bench.pile.status().charging, 0, "the same card ends it");
    bench.act(Act::RestoreNetwork);
    assert_eq!(bench.count(|up| matches!(up, Up::Card(_))), 1, "nothing was queued");
    assert_eq!(bench.records().len(), 1);
}

#[test]
fn every_kind_of_garbage_is_refused_by_the_stations_reader() {
    let mut bench = Bench::plugged(behaving(&["garbage=30s"]));
    bench.run(30_000 * garbage::KINDS.len() as u64);
    assert_eq!(bench.raw.len(), garbage::KINDS.len());
    for (kind, (topic, payload)) in garbage::KINDS.iter().zip(&bench.raw) {
        let known = topics::UpKind::ALL.iter().find(|known| known.word() == topic);
        assert!(
            known.is_none_or(|known| read_up(*known, payload).is_err()),
            "{kind} was read"
        );
        assert!(payload.len() <= domain::messages::PAYLOAD_BYTES_MAX);
    }
    bench.ack(None, AckResult::Malformed, None);
    bench.drain();
    bench.no_surprise();
}

#[test]
fn a_register_lies_in_the_record_only_where_it_is_told_to() {
    let energies = |behaviour: &str| {
        let mut bench = Bench::plugged(behaving(&[behaviour]));
        bench.start();
        bench.run(HOUR);
        bench.act(Act::StopAtPile { connector: NO });
        let record = bench.records()[0];
        (record.meter_start_kwh.to_string(), record.meter_stop_kwh.to_string())
    };
    let is = |start: &str, stop: &str| (start.to_owned(), stop.to_owned());
    assert_eq!(energies("meter=zero-start"), is("0.0000", "1007.0000"));
    assert_eq!(energies("meter=backwards"), is("1000.0000", "999.0000"));
    assert_eq!(energies("meter=jump:50"), is("1000.0000", "1057.0000"));
    assert_eq!(energies("meter=gap:1.5"), is("1001.5000", "1008.5000"));
    assert_eq!(energies("meter=rollback:400"), is("600.0000", "607.0000"));
    assert_eq!(energies("stuck-meter=after:30m"), is("1000.0000", "1003.5000"));
}

#[test]
fn a_flapping_pile_goes_without_a_word_and_comes_back_again_and_again() {
    let mut bench = Bench::plugged(behaving(&["flapping=every:60s,for:5s"]));
    bench.start();
    bench.run(5 * MINUTE + 6_000);
    assert_eq!(bench.told(|what| *what == What::Network { up: false }), 5);
    assert_eq!(bench.told(|what| *what == What::Network { up: true }), 5);
    assert_eq!(bench.closed, [false; 5]);
    assert_eq!(bench.pile.status().charging, 1, "the session goes on");
    bench.act(Act::Retire);
    bench.run(HOUR);
    assert!(bench.pile.status().linked);
    assert_eq!(bench.closed.len(), 5, "it has come to rest");
    bench.no_surprise();
}

#[test]
fn a_clock_that_is_off_stays_off_whatever_the_station_says() {
    for (text, shown) in [
        ("clock=ahead:5h", "2026-03-01T12:00:00+08:00"),
        ("clock=behind:5h", "2026-03-01T02:00:00+08:00"),
    ] {
        let mut bench = Bench::new(behaving(&[text]));
        let shown = Wall::parse(shown).unwrap();
        let ts = Wall::parse("2026-03-01T07:00:00+08:00").unwrap();
        bench.input(Input::Down(Down::Time(TimeMessage { ts })));
        assert_eq!(bench.sent[0].1.common.ts, Some(shown));
        bench.run(HOUR);
        assert_eq!(bench.sent.last().unwrap().1.common.ts, Some(shown.after_ms(3_600_000)));
    }
}

#[test]
fn wrong_periods_still_add_up_to_what_was_delivered() {
    let mut bench = Bench::plugged(behaving(&["wrong-periods"]));
    let rows = r#"[{"from":"00:00","kind":"valley","price_per_kwh":"0.5"},{"from":"08:00","kind":"peak","price_per_kwh":"1.2"}]"#;
    bench.command(CommandKind::Start, "c1", |start| {
        start.prices = serde_json::from_str(rows).unwrap()
    });
    bench.run(2 * HOUR);
    bench.act(Act::StopAtPile { connector: NO });
    let periods = bench.records()[0].periods.unwrap();
    assert_eq!(
        (periods.valley_kwh, periods.peak_kwh),
        ("6.3".parse().unwrap(), "7.7".parse().unwrap())
    );
}

#[test]
fn the_clock_follows_the_station_and_a_pile_without_one_says_null() {
    let mut bench = Bench::plugged(spec());
    bench.run(1_000);
    let ts = Wall::parse("2026-03-01T09:00:00+08:00").unwrap();
    bench.input(Input::Down(Down::Time(TimeMessage { ts })));
    let behind = 2 * 3_600_000 - 1_000;
    assert_eq!(
        bench.told(|what| *what
            == What::TimeSet {
                to: ts,
                behind_ms: Some(behind)
            }),
        1
    );
    bench.run(500);
    bench.act(Act::StepClock { by_ms: -400_000 });
    bench.act(Act::Unplug { connector: NO });
    assert_eq!(bench.sent.last().unwrap().1.common.ts, Some(ts.after_ms(500 - 400_000)));

    let mut none = Bench::plugged(PileSpec { clock: None, ..spec() });
    none.input(Input::Down(Down::Time(TimeMessage { ts })));
    none.start();
    none.run(HOUR);
    none.act(Act::StopAtPile { connector: NO });
    let record = none.records()[0];
    assert_eq!(
        (record.start_ts, record.stop_ts, record.stop_mono_ms),
        (None, None, HOUR)
    );
}

#[test]
fn a_record_is_sent_again_on_request_also_after_its_ack() {
    let mut bench = Bench::plugged(spec());
    bench.start();
    bench.run(MINUTE);
    bench.act(Act::StopAtPile { connector: NO });
    bench.command(CommandKind::RequestRecord, "c2", |_| {});
    bench.command(CommandKind::RequestRecord, "c3", |request| {
        request.order_id = OrderId::new("o9").unwrap()
    });
    let answers: Vec<bool> = bench.replies().iter().map(|(_, reply)| reply.ok).collect();
    assert_eq!(answers, [true, true, false]);
    assert_eq!((bench.records().len(), bench.records()[0]), (2, bench.records()[1]));
}

#[test]
fn a_reboot_ends_sessions_and_comes_back_as_a_new_boot() {
    let mut bench = Bench::plugged(spec());
    bench.start();
    bench.run(MINUTE);
    bench.command(CommandKind::Reboot, "c2", |_| {});
    bench.run(MINUTE);
    assert_eq!(bench.closed, [true]);
    assert_eq!(bench.told(|what| matches!(what, What::Booted { .. })), 2);
    assert_eq!(
        bench
            .records()
            .iter()
            .map(|record| record.reason.code)
            .collect::<Vec<_>>(),
        [255]
    );
    assert_eq!(bench.pile.status().unacked_records, 0);
}

#[test]
fn customers_come_swipe_and_go_until_there_were_enough() {
    let customers = Customers {
        pause_ms: 10_000,
        card: CardId::new("C1").ok(),
        visits_max: Some(2),
    };
    let mut bench = Bench::new(PileSpec {
        customers: Some(customers),
        ..behaving(&["user-stop=after:10m"])
    });
    for n in 0..4 {
        bench.run(3_000);
        bench.command(CommandKind::Start, &format!("c{n}"), |start| {
            start.order_id = OrderId::new(format!("o{n}")).unwrap()
        });
        bench.run(10 * MINUTE + 20_000);
    }
    let status = bench.pile.status();
    assert_eq!(
        (
            status.sessions,
            status.visits,
            bench.count(|up| matches!(up, Up::Card(_)))
        ),
        (2, 4, 2)
    );
    assert_eq!(
        bench.replies().iter().filter(|(_, reply)| reply.code == 2).count(),
        2,
        "nobody is there any more"
    );
}

#[test]
fn what_the_station_should_not_say_is_told() {
    let mut bench = Bench::plugged(spec());
    bench.input(Input::Unreadable {
        detail: "nonsense".to_owned(),
    });
    bench.ack(MsgId::new("7-7").ok(), AckResult::Ok, None);
    bench.ack(MsgId::new("1-1").ok(), AckResult::Malformed, None);
    bench.act(Act::Plug {
        connector: ConnectorNo(4),
        car: None,
    });
    assert_eq!(bench.pile.status().unexpected, 4);
    let rows = r#"[{"from":"00:00","kind":"flat","price_per_kwh":"1"}]"#;
    let price = PriceMessage {
        currency: "CNY".to_owned(),
        tariff: domain::ids::TariffId::new("t").unwrap(),
        prices: serde_json::from_str(rows).unwrap(),
    };
    bench.input(Input::Down(Down::Price(price)));
    assert_eq!(
        (
            bench.told(|what| *what == What::Prices { rows: 1 }),
            bench.pile.status().unexpected
        ),
        (1, 4)
    );
}

#[test]
fn late_wakes_change_no_number() {
    let run = |step: u64| {
        let mut bench = Bench::plugged(behaving(&["drop=after:125s,for:20m"]));
        bench.command(CommandKind::Start, "c1", |start| {
            start.limit_kwh = Some("2.3456".parse().unwrap())
        });
        let mut passed = 0;
        while passed < HOUR {
            bench.now = bench.now.after_ms(step);
            bench.input(Input::Wake);
            passed += step;
        }
        bench.records()[0].clone()
    };
    assert_eq!(run(100), run(97_000));
}

#[test]
fn a_station_at_the_end_of_time_does_not_stop_the_pile() {
    let mut bench = Bench::plugged(spec());
    let rows = r#"[{"from":"00:00","kind":"valley","price_per_kwh":"0.5"},{"from":"08:00","kind":"peak","price_per_kwh":"1.2"}]"#;
    bench.command(CommandKind::Start, "c1", |start| {
        start.prices = serde_json::from_str(rows).unwrap()
    });
    let ts = Wall(Wall::RANGE.end.0 - 1);
    bench.input(Input::Down(Down::Time(TimeMessage { ts })));
    bench.run(24 * HOUR);
    bench.act(Act::StepClock { by_ms: i64::MIN });
    bench.run(HOUR);
    bench.act(Act::StopAtPile { connector: NO });
    assert_eq!(bench.records()[0].energy(), "175".parse().unwrap());
}
