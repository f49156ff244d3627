//! A station with a head office, which has it do what a test wants.

use crate::bench::*;
use domain::{
    fact::Fact,
    head_office::{Directive, DirectiveNo, DirectiveRow, HqEpoch, RefusedDirective},
    ids::OrderId,
    order::Until,
    policy::Policy,
    site::{Input, Outcome, Told},
    time::Wall,
    units::Fen,
};

pub(crate) const EPOCH: HqEpoch = HqEpoch([1; 16]);

/// A station with a head office, at its site number 7: the bench's, with its own member `m` from before.
pub(crate) struct Joined {
    pub(crate) bench: Bench,
    orders: u64,
    others: u64,
}

impl Joined {
    pub(crate) fn new() -> Self {
        let mut bench = Bench::new();
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
        Self {
            bench,
            orders: 0,
            others: 0,
        }
    }

    pub(crate) fn no(&mut self, row: DirectiveRow) -> DirectiveNo {
        let n = match row {
            DirectiveRow::Orders => &mut self.orders,
            DirectiveRow::Others => &mut self.others,
        };
        *n += 1;
        DirectiveNo {
            hq_epoch: EPOCH,
            row,
            n: *n,
        }
    }

    /// It comes in its turn, at the bench's time by head office's clock.
    pub(crate) fn told(&mut self, directive: Directive) -> Input {
        let no = self.no(directive.row());
        let sha256 = format!("{:064x}", no.n);
        Input::Directive(Box::new(Told {
            directive: no,
            sha256,
            content: Ok(directive),
            at_most: Some(self.bench.now.wall),
        }))
    }

    /// It is taken; why it was refused, if it was.
    pub(crate) fn tell(&mut self, directive: Directive) -> Option<RefusedDirective> {
        let input = self.told(directive);
        taken(&self.bench.ok(input))
    }

    pub(crate) fn done(&mut self, directive: Directive) {
        let shown = format!("{directive:?}");
        assert_eq!(self.tell(directive), None, "{shown}");
    }

    pub(crate) fn refused(&mut self, directive: Directive) -> String {
        let before = self.bench.facts.len();
        let why = self.tell(directive).expect("refused");
        assert_eq!(self.bench.facts.len(), before + 1, "a refusal is one fact");
        why.code
    }

    pub(crate) fn leased(&self, who: &str) -> Fen {
        -self.bench.disk.ledger.balance(&domain::ledger::Account::HeadOffice) - self.bench.debt(who)
    }
}

/// Why the directive of this step was refused; none where it was done.
pub(crate) fn taken(outcome: &Outcome) -> Option<RefusedDirective> {
    match outcome.facts.last() {
        Some((_, Fact::DirectiveTaken { refused, .. })) => refused.clone(),
        other => panic!("a directive's step ends with DirectiveTaken: {other:?}"),
    }
}

pub(crate) fn lease(who: &str, amount: &str) -> Directive {
    Directive::Lease {
        member: member(who),
        name: who.to_owned(),
        amount: yuan(amount),
        voucher: None,
    }
}

pub(crate) fn start(order: &str, who: &str, at: &str, prepay: &str, expires_at: Wall) -> Directive {
    Directive::Start {
        order: order_id(order),
        member: member(who),
        name: who.to_owned(),
        outlet: outlet(at),
        prepay: yuan(prepay),
        until: Until::default(),
        expires_at,
        wished: None,
    }
}

pub(crate) fn soon(bench: &Bench) -> Wall {
    bench.now.wall.after_ms(60_000)
}

/// Charged to the end: the record is the register moved by so many kWh.
pub(crate) fn charged(site: &mut Joined, order: &OrderId, at: &str, to: &str) {
    let bench = &mut site.bench;
    let command = bench.order(order).commands[0].id.clone();
    bench.reply(at, &command, true);
    let start = bench.now;
    bench.charging(at, order);
    bench.pass(3 * HOUR);
    let record = bench.record_since(at, order, start, "1000", to);
    bench.send_record(at, &record);
}
