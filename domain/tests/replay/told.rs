//! What head office has a station do, where anything may happen: each in its turn, whatever it is about.

use crate::{bench::*, happens::PILES};
use domain::{
    head_office::{Directive, DirectiveNo, HqEpoch, HqKey, VoucherRef},
    ids::{CardId, OrderId},
    order::Until,
    site::{Decision, Input},
    units::Fen,
};

/// Two of head office's members, and one who was the station's own.
pub(crate) const WALLETS: [&str; 3] = ["w", "v", "m"];

/// What head office says, in its turn.
pub(crate) fn told(bench: &mut Bench, what: u8, who: usize, at: usize, order: OrderId, amount: Fen) {
    let row = bench.disk.head_office.clone();
    let Some(hq_epoch) = row.hq_epoch.filter(|_| what != 39) else {
        bench.ok(Input::HeadOfficeSeen(HqEpoch(
            [u8::try_from(bench.facts.len() % 251).unwrap(); 16],
        )));
        return;
    };
    let (wallet, by) = (member(WALLETS[who]), "li".to_owned());
    let name = wallet.to_string();
    let directive = match what {
        0..10 => Directive::Start {
            order: order_id(&format!("hq-{}", bench.facts.len())),
            member: wallet,
            name,
            outlet: outlet(PILES[at]),
            prepay: amount,
            until: Until::default(),
            expires_at: bench.now.wall.after_ms(1_000),
            wished: (what == 0).then_some(1),
        },
        10..14 => Directive::Lease {
            member: wallet,
            name,
            amount,
            voucher: (what == 10).then(|| VoucherRef {
                id: who.to_string(),
                expires_at: bench.now.wall,
            }),
        },
        14..17 => Directive::Recall {
            member: wallet,
            up_to: amount,
        },
        17..19 => Directive::Stop { order, by },
        19..22 => Directive::DebtPaid {
            order,
            amount,
            receipt: "hq".to_owned(),
        },
        22..24 => Directive::Member {
            member: wallet,
            name,
            adopt: what == 22,
        },
        24 => Directive::Block {
            member: wallet,
            reason: (at > 0).then(|| "debts".to_owned()),
            by,
        },
        25 => Directive::Owes {
            member: wallet,
            amount: amount.max(Fen(at as i64 - 1)),
        },
        26 => Directive::Card {
            card: CardId::new("c9").unwrap(),
            member: (at > 0).then_some(wallet),
            by,
        },
        27..29 => Directive::Review {
            order,
            decision: Decision::Corrected {
                electricity: amount,
                service: Fen::ZERO,
            },
            reason: "seen".to_owned(),
            by,
            second: (at > 0).then(|| "zhou".to_owned()),
        },
        29..32 => Directive::Correct {
            version: bench
                .disk
                .orders
                .get(&order)
                .and_then(Option::as_ref)
                .map_or(0, |order| order.bills.len()),
            order,
            electricity: amount,
            service: Fen::ZERO,
            reason: "seen".to_owned(),
            by,
            second: (at > 0).then(|| "zhou".to_owned()),
        },
        32..36 => Directive::RefundMark {
            order,
            amount: Fen(amount.0 / 20),
            reference: format!("r{who}"),
        },
        36 => Directive::Maintenance {
            pile: pile(PILES[at]),
            reason: None,
            by,
        },
        37 => Directive::Key {
            key: HqKey([who as u8; 32]),
            ends: (at > 0).then_some(bench.now.wall),
        },
        _ => Directive::Quarantine {
            item: 1,
            bill_to: None,
            despite: Vec::new(),
            reason: "seen".to_owned(),
            by,
        },
    };
    let row_of = directive.row();
    let directive_no = DirectiveNo {
        hq_epoch,
        row: row_of,
        n: row.taken(row_of).n + 1,
    };
    bench.ok(Input::Directive(Box::new(domain::site::Told {
        directive: directive_no,
        sha256: String::new(),
        content: Ok(directive),
        at_most: Some(bench.now.wall),
    })));
}
