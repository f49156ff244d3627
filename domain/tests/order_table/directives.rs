//! What each directive of head office's does where an order of its own stands: done or refused, what the station journals, and
//! where the money is then.

use super::{From, SILENT_MS, Scene, compare, follows, stands_at};
use crate::bench::*;
use domain::{
    fact::Fact,
    head_office::{Directive, DirectiveNo, DirectiveRow, HqEpoch, HqKey, VoucherRef},
    ids::CardId,
    order::Until,
    policy::Policy,
    site::{Decision, Input, Outcome, Told},
    tariff::Tariff,
    units::Fen,
};
use std::collections::BTreeSet;

const EPOCH: HqEpoch = HqEpoch([1; 16]);
/// The order that head office has placed.
const ORDER: &str = "hq-1";
/// Directives about orders and money that come before the one that is looked at: a lease, and the start.
const BEFORE: u64 = 2;

/// What head office has the station do.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Tells {
    Lease,
    LeaseOfAVoucher,
    Recall,
    StartAgain,
    StartHere,
    StartElsewhere,
    StartTooLate,
    StartAtNoTime,
    StartOfAWish,
    Stop,
    DebtPaid,
    DebtPaidTooMuch,
    ReviewAsIs,
    ReviewCorrected,
    ReviewFarByOne,
    ReviewFarByTwo,
    CorrectDown,
    CorrectUp,
    CorrectFarByOne,
    CorrectFarByTwo,
    CorrectAnotherVersion,
    Quarantine,
    RefundMark,
    RefundMarkTooMuch,
    Member,
    Block,
    Owes,
    CardGiven,
    CardTaken,
    Maintenance,
    Tariff,
    KeyCounts,
    KeyEnds,
    Unreadable,
    Again,
}

impl Tells {
    const ALL: [Tells; 35] = [
        Tells::Lease,
        Tells::LeaseOfAVoucher,
        Tells::Recall,
        Tells::StartAgain,
        Tells::StartHere,
        Tells::StartElsewhere,
        Tells::StartTooLate,
        Tells::StartAtNoTime,
        Tells::StartOfAWish,
        Tells::Stop,
        Tells::DebtPaid,
        Tells::DebtPaidTooMuch,
        Tells::ReviewAsIs,
        Tells::ReviewCorrected,
        Tells::ReviewFarByOne,
        Tells::ReviewFarByTwo,
        Tells::CorrectDown,
        Tells::CorrectUp,
        Tells::CorrectFarByOne,
        Tells::CorrectFarByTwo,
        Tells::CorrectAnotherVersion,
        Tells::Quarantine,
        Tells::RefundMark,
        Tells::RefundMarkTooMuch,
        Tells::Member,
        Tells::Block,
        Tells::Owes,
        Tells::CardGiven,
        Tells::CardTaken,
        Tells::Maintenance,
        Tells::Tariff,
        Tells::KeyCounts,
        Tells::KeyEnds,
        Tells::Unreadable,
        Tells::Again,
    ];
}

/// A station with a head office, which has leased ¥10 for `w`.
fn joined() -> Bench {
    let mut bench = Bench::with(Policy {
        silent_ms: SILENT_MS,
        ..Policy::default()
    });
    let policy = Policy {
        head_office: true,
        site_number: Some(7),
        ..bench.site.policy().clone()
    };
    bench.restart_as(policy, false);
    for pile in ["P1", "P2", "P3"] {
        bench.connect(pile);
    }
    bench.ok(Input::HeadOfficeSeen(EPOCH));
    bench.ok(Input::Line(true));
    let lease = Directive::Lease {
        member: member("w"),
        name: "w".to_owned(),
        amount: yuan("10"),
        voucher: None,
    };
    tell(&mut bench, 1, Ok(lease));
    bench
}

/// The same scenes as of inputs, whose order head office has placed: `w` has ¥60 there, of which ¥50 came with the order.
fn scene(from: From) -> Scene {
    stands_at(from, joined(), "w", |bench| {
        let ends = bench.now.wall.after_ms(60_000);
        let outcome = tell(bench, BEFORE, Ok(start(ORDER, "P1", "50", ends)));
        assert_eq!(refused(&outcome), None);
        order_id(ORDER)
    })
}

fn start(order: &str, at: &str, prepay: &str, expires_at: domain::time::Wall) -> Directive {
    Directive::Start {
        order: order_id(order),
        member: member("w"),
        name: "w".to_owned(),
        outlet: outlet(at),
        prepay: yuan(prepay),
        until: Until::default(),
        expires_at,
        wished: None,
    }
}

/// A directive of the row `orders` or `others`, under this number, at the bench's time by head office's clock.
fn tell(bench: &mut Bench, n: u64, content: Result<Directive, String>) -> Outcome {
    let at_most = Some(bench.now.wall);
    let input = told(n, content, at_most);
    bench.ok(input)
}

fn told(n: u64, content: Result<Directive, String>, at_most: Option<domain::time::Wall>) -> Input {
    let row = content.as_ref().map_or(DirectiveRow::Orders, Directive::row);
    Input::Directive(Box::new(Told {
        directive: DirectiveNo {
            hq_epoch: EPOCH,
            row,
            n,
        },
        sha256: format!("{n:064x}"),
        content,
        at_most,
    }))
}

/// A key of head office's.
fn key(key: u8, ends: Option<domain::time::Wall>) -> Directive {
    Directive::Key {
        key: HqKey([key; 32]),
        ends,
    }
}

/// Why the directive of this step was refused; none where it was done.
fn refused(outcome: &Outcome) -> Option<String> {
    match outcome.facts.last() {
        Some((_, Fact::DirectiveTaken { refused, .. })) => refused.as_ref().map(|why| why.code.clone()),
        _ => None,
    }
}

fn review(decision: Decision, second: Option<&str>) -> Directive {
    Directive::Review {
        order: order_id(ORDER),
        decision,
        reason: "as it was".to_owned(),
        by: "li".to_owned(),
        second: second.map(str::to_owned),
    }
}

impl Scene {
    /// What the fee in force is, and how many versions the bill has.
    fn bill(&self) -> (Fen, usize) {
        let order = self.bench.disk.orders.get(&self.order).and_then(Option::as_ref);
        let fee = order
            .and_then(|order| order.bill())
            .map_or(yuan("10"), |bill| bill.fee());
        (fee, order.map_or(0, |order| order.bills.len()))
    }

    fn correct(&self, more: &str, second: Option<&str>, versions_on: usize) -> Directive {
        let (fee, versions) = self.bill();
        Directive::Correct {
            order: self.order.clone(),
            version: versions + versions_on,
            electricity: fee + yuan(more),
            service: Fen::ZERO,
            reason: "the register slipped".to_owned(),
            by: "li".to_owned(),
            second: second.map(str::to_owned),
        }
    }

    fn directive(&self, tells: Tells) -> Directive {
        let (order, w) = (order_id(ORDER), member("w"));
        let by = "li".to_owned();
        let now = self.bench.now.wall;
        let soon = now.after_ms(60_000);
        let lease = |voucher| Directive::Lease {
            member: w.clone(),
            name: "w".to_owned(),
            amount: yuan("20"),
            voucher,
        };
        let far = Decision::Corrected {
            electricity: yuan("90"),
            service: yuan("1"),
        };
        let debt = |amount: &str| Directive::DebtPaid {
            order: order.clone(),
            amount: yuan(amount),
            receipt: "HQ-1".to_owned(),
        };
        let refund = |amount: &str| Directive::RefundMark {
            order: order.clone(),
            amount: yuan(amount),
            reference: "R1".to_owned(),
        };
        let card = |member| Directive::Card {
            card: CardId::new("c9").unwrap(),
            member,
            by: by.clone(),
        };
        match tells {
            Tells::Lease | Tells::Again | Tells::Unreadable => lease(None),
            Tells::LeaseOfAVoucher => lease(Some(VoucherRef {
                id: "v1".to_owned(),
                expires_at: soon,
            })),
            Tells::Recall => Directive::Recall {
                member: w,
                up_to: yuan("100"),
            },
            Tells::StartAgain => start(ORDER, "P1", "50", soon),
            Tells::StartHere => start("hq-2", "P1", "20", soon),
            Tells::StartElsewhere | Tells::StartAtNoTime => start("hq-2", "P2", "20", soon),
            Tells::StartTooLate => start("hq-2", "P2", "20", now),
            Tells::StartOfAWish => match start("hq-2", "P2", "20", soon) {
                Directive::Start {
                    order,
                    member,
                    name,
                    outlet,
                    prepay,
                    until,
                    expires_at,
                    ..
                } => Directive::Start {
                    order,
                    member,
                    name,
                    outlet,
                    prepay,
                    until,
                    expires_at,
                    wished: Some(1),
                },
                other => unreachable!("it is a start: {other:?}"),
            },
            Tells::Stop => Directive::Stop { order, by },
            Tells::DebtPaid => debt("4"),
            Tells::DebtPaidTooMuch => debt("100"),
            Tells::ReviewAsIs => review(Decision::AsIs, None),
            Tells::ReviewCorrected => review(
                Decision::Corrected {
                    electricity: yuan("4"),
                    service: yuan("1"),
                },
                None,
            ),
            Tells::ReviewFarByOne => review(far, None),
            Tells::ReviewFarByTwo => review(far, Some("bo")),
            Tells::CorrectDown => self.correct("-8", None, 0),
            Tells::CorrectUp => self.correct("45", None, 0),
            Tells::CorrectFarByOne => self.correct("60", None, 0),
            Tells::CorrectFarByTwo => self.correct("60", Some("bo"), 0),
            Tells::CorrectAnotherVersion => self.correct("-8", None, 1),
            Tells::Quarantine => Directive::Quarantine {
                item: 1,
                bill_to: None,
                despite: Vec::new(),
                reason: "looked at".to_owned(),
                by,
            },
            Tells::RefundMark => refund("2"),
            Tells::RefundMarkTooMuch => refund("200"),
            Tells::Member => Directive::Member {
                member: w,
                name: "Wang".to_owned(),
                adopt: false,
            },
            Tells::Block => Directive::Block {
                member: w,
                reason: Some("never pays".to_owned()),
                by,
            },
            Tells::Owes => Directive::Owes {
                member: w,
                amount: yuan("5"),
            },
            Tells::CardGiven => card(Some(w)),
            Tells::CardTaken => card(None),
            Tells::Maintenance => Directive::Maintenance {
                pile: pile("P1"),
                reason: Some("water".to_owned()),
                by,
            },
            Tells::Tariff => {
                let text = TARIFF
                    .replacen("\"t1\"", "\"t2\"", 1)
                    .replacen("2026-01-01", "2027-01-01", 1);
                Directive::Tariff {
                    tariff: Box::new(Tariff::from_toml(&text, "Asia/Shanghai").unwrap()),
                    by,
                }
            }
            Tells::KeyCounts => key(2, None),
            Tells::KeyEnds => key(1, Some(soon)),
        }
    }

    fn hear(&mut self, from: From, tells: Tells) -> Outcome {
        let directive = self.directive(tells);
        let n = match directive.row() {
            DirectiveRow::Others => 1,
            DirectiveRow::Orders if from == From::NoOrder => BEFORE,
            DirectiveRow::Orders => BEFORE + 1,
        };
        match tells {
            // The one that takes its place counts already: a station is never left without one.
            Tells::KeyEnds => {
                tell(&mut self.bench, n, Ok(key(2, None)));
                tell(&mut self.bench, n + 1, Ok(directive))
            }
            Tells::Unreadable => tell(&mut self.bench, n, Err("unknown variant `teleport`".to_owned())),
            Tells::StartAtNoTime => self.bench.ok(told(n, Ok(directive), None)),
            Tells::Again => {
                tell(&mut self.bench, n, Ok(directive.clone()));
                tell(&mut self.bench, n, Ok(directive))
            }
            _ => tell(&mut self.bench, n, Ok(directive)),
        }
    }
}

fn line(from: From, tells: Tells) -> String {
    let mut scene = scene(from);
    let outcome = scene.hear(from, tells);
    assert_eq!(
        scene.bench.replayed_orders(),
        scene.bench.disk.orders,
        "{from:?} {tells:?}"
    );
    let answer = refused(&outcome).map_or_else(|| "done".to_owned(), |code| format!("refused {code}"));
    let kinds = outcome.facts.iter().map(|(_, fact)| fact.kind());
    let journaled: Vec<&str> = kinds.filter(|kind| *kind != "DirectiveTaken").collect();
    let (allowance, debt) = (scene.bench.allowance("w"), scene.bench.debt("w"));
    let given = -scene.bench.disk.ledger.balance(&domain::ledger::Account::HeadOffice);
    let text = format!(
        "{from:?} | {tells:?} | {answer} | {} | {allowance} {debt} {given} | {} | {}",
        scene.stands(),
        journaled.join(" "),
        follows(&[outcome])
    );
    text.trim_end().to_owned()
}

#[test]
fn every_state_and_directive_leads_where_the_table_says() {
    let pairs = From::ALL
        .into_iter()
        .flat_map(|from| Tells::ALL.map(|tells| (from, tells)));
    let reached = pairs.map(|(from, tells)| line(from, tells));
    let table = include_str!("directives.txt");
    compare("state, directive", table, From::ALL.len() * Tells::ALL.len(), reached);
}

#[test]
fn the_table_has_every_kind_of_directive_that_the_contract_has() {
    let scene = scene(From::NoOrder);
    let in_table: BTreeSet<&str> = Tells::ALL.map(|tells| scene.directive(tells).kind()).into();
    let contract = include_str!("../../../cloud-sync/protocol/tests/directives.jsonl");
    let read = |line: &str| serde_json::from_str::<Directive>(line).unwrap().kind();
    let in_contract: BTreeSet<&str> = contract.lines().map(read).collect();
    assert_eq!(in_table, in_contract);
}
