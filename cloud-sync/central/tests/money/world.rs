//! A small world of three sites and a head office, by the real rules: members travel, pay in through channels and at desks, charge with
//! leases, through head office, by card and by voucher, run into debt and pay; lines are cut and come back; sites are restored from
//! copies, with a head office and alone; another life of head office's begins. After every commit head office's books are whole; when
//! everything has come through, every account of every site is the site's own, and nothing is on the road.

use crate::{
    bench::*,
    company::{Company, id},
};
use central::{
    ingest::Taken,
    money::Refused,
    store::{branches, directives, identity, issues, sites},
    upkeep,
};
use domain::{
    fact::{Fact, PaidFrom},
    head_office::Voucher,
    ids::{CardId, OrderId, Randomness},
    order::State,
    site::Input,
    time::Now,
    units::Fen,
};
use std::collections::BTreeMap;

/// How many lives there are where nobody says (`HOLDFAST_SEEDS`), and how many steps each has.
const LIVES: u64 = 60;
const STEPS: usize = 150;
const MEMBERS: [&str; 5] = ["u", "v", "w", "x", "y"];
const PILES: [&str; 3] = ["P1", "P2", "P3"];

/// What has happened, over all lives.
type Counts = BTreeMap<String, u64>;

struct Life {
    company: Company,
    dice: Seeded,
    counts: Counts,
    /// In drivers' pockets, and for which station.
    vouchers: Vec<(usize, Voucher)>,
    /// Since when orders charge.
    began: BTreeMap<(usize, OrderId), Now>,
    orders: u64,
    runs: u64,
    paid_in: Fen,
    /// Entries were lost, or a branch was left: sales and cash of before are not in any station's rows.
    has_lost: bool,
}

impl Life {
    fn new(seed: u64) -> Self {
        let mut life = Self {
            company: Company::sqlite(),
            dice: Seeded(seed.wrapping_mul(7_919)),
            counts: Counts::new(),
            vouchers: Vec::new(),
            began: BTreeMap::new(),
            orders: 0,
            runs: 1,
            paid_in: Fen::ZERO,
            has_lost: false,
        };
        for who in MEMBERS {
            let amount = 20 + life.below(120);
            life.company.member(who, &amount.to_string());
            life.paid_in += Fen(amount as i64 * 100);
        }
        for who in &MEMBERS[..3] {
            let card = CardId::new(format!("card-{who}")).unwrap();
            let of = id(who);
            life.company.may(move |money| money.put_card(&card, Some(&of))).unwrap();
        }
        life
    }

    fn below(&mut self, n: u64) -> u64 {
        (self.dice.bits() % u128::from(n)) as u64
    }

    fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }

    fn note(&mut self, what: &str) {
        *self.counts.entry(what.to_owned()).or_default() += 1;
    }

    fn amount(&mut self, most: u64) -> String {
        format!("{}", 1 + self.below(most))
    }

    /// Orders that are not over at a station.
    fn open(&self, n: usize) -> Vec<OrderId> {
        let orders = self.company.stations[n].bench.disk.orders.values().flatten();
        let open = orders.filter(|order| matches!(order.state, State::Place | State::Charging | State::Settle));
        open.map(|order| order.id.clone()).collect()
    }

    fn free_pile(&mut self, n: usize) -> Option<&'static str> {
        let at = self.one_of(&PILES);
        let bench = &self.company.stations[n].bench;
        let is_taken = self
            .open(n)
            .iter()
            .any(|order| bench.order(order).outlet.pile.as_str() == at);
        (!is_taken).then_some(at)
    }

    fn refusal(&mut self, refused: &Refused) {
        let words = format!("{refused:?}");
        let name = words.split([' ', '(', '{']).next().unwrap_or_default().to_owned();
        self.note(&format!("refused at head office: {name}"));
    }

    fn step(&mut self) {
        let n = self.below(3) as usize;
        let who = self.one_of(&MEMBERS);
        match self.below(100) {
            0..5 => {
                let amount = self.amount(60);
                self.company.top_up(who, &amount);
                self.paid_in += yuan(&amount);
                self.note("top-up");
            }
            5..20 => self.place_through_head_office(n, who),
            20..26 => {
                let (site, of, amount) = (self.company.site(n), id(who), yuan(&self.amount(40)));
                match self.company.may(move |money| money.lease(&of, &site, amount)) {
                    Ok(_) => self.note("lease"),
                    Err(refused) => self.refusal(&refused),
                }
            }
            26..31 => {
                let (site, of, amount) = (self.company.site(n), id(who), yuan(&self.amount(60)));
                if !self.open(n).is_empty() {
                    self.note("recall while orders are open");
                }
                match self.company.may(move |money| money.recall(&of, &site, amount)) {
                    Ok(_) => self.note("recall"),
                    Err(refused) => self.refusal(&refused),
                }
            }
            31..37 => self.make_voucher(n, who),
            37..43 => self.show_voucher(),
            43..48 => self.swipe(n),
            48..55 => self.place_here(n, who),
            55..70 => self.go_on(n),
            70..78 => {
                let ms = self.one_of(&[10_000, 30_000, MINUTE, 20 * MINUTE, 3 * HOUR]);
                self.company.pass(ms);
            }
            78..83 => {
                let is_cut = !self.company.stations[n].is_cut;
                self.company.stations[n].is_cut = is_cut;
                self.note(if is_cut { "line cut" } else { "line back" });
            }
            83..88 if !self.company.stations[n].is_cut => {
                self.company.up(n);
            }
            88..91 if !self.company.stations[n].is_cut => {
                self.company.down(n);
            }
            83..91 => {}
            91..94 => self.pay_at_desk(n, who),
            94 => {
                let certainly = self.company.now();
                self.company.stations[n]
                    .bench
                    .handle(Input::CloseVouchers { certainly });
                self.note("vouchers closed");
            }
            95 => self.freeze(who),
            96 => self.restore(n),
            97 => self.go_alone(n),
            98 => self.another_life(),
            _ => self.company.settle(),
        }
    }

    fn place_through_head_office(&mut self, n: usize, who: &str) {
        let Some(at) = self.free_pile(n) else { return };
        self.orders += 1;
        let number = format!("hq-{}", self.orders);
        let prepay = format!("{}", 5 + self.below(20));
        let order = self.company.order(n, who, at, &prepay, &number);
        match self.company.may(move |money| money.place(&order)) {
            Ok(central::money::Placed::Gathering) => self.note("order that gathers money"),
            Ok(_) => self.note("order through head office"),
            Err(refused) => self.refusal(&refused),
        }
        if self.below(3) > 0 {
            self.company.settle();
            let of = order_id(&number);
            if self.company.stations[n]
                .bench
                .disk
                .orders
                .get(&of)
                .is_some_and(Option::is_some)
                && self.below(4) > 0
            {
                self.company.begin(n, at, &of);
                let now = self.company.stations[n].bench.now;
                self.began.insert((n, of), now);
            }
        }
    }

    fn make_voucher(&mut self, n: usize, who: &str) {
        self.orders += 1;
        let (site, of, amount, number) = (
            self.company.site(n),
            id(who),
            yuan(&self.amount(30)),
            format!("v{}", self.orders),
        );
        let ends = self.company.now().after_ms(self.one_of(&[1, 4, 24]) * 3_600_000);
        match self
            .company
            .may(move |money| money.voucher(&of, &site, amount, ends, number))
        {
            Ok(made) => {
                self.vouchers.push((n, made.voucher));
                self.note("voucher");
            }
            Err(refused) => self.refusal(&refused),
        }
    }

    fn show_voucher(&mut self) {
        if self.vouchers.is_empty() {
            return;
        }
        let at = self.below(self.vouchers.len() as u64) as usize;
        let (n, voucher) = self.vouchers[at].clone();
        let station = &mut self.company.stations[n];
        let epoch = station.run.clone();
        let before = station.bench.facts.len();
        let outcome = station.bench.handle(Input::TakeVoucher {
            voucher: Box::new(voucher),
            epoch,
        });
        let did = station.bench.facts.len() > before;
        match (outcome.answer, did) {
            (Ok(_), true) => self.note("voucher taken"),
            (Ok(_), false) => self.note("voucher shown again"),
            (Err(why), _) => {
                let words = format!("{why:?}");
                let name = words.split([' ', '(', '{']).next().unwrap_or_default().to_owned();
                self.note(&format!("voucher refused: {name}"));
            }
        }
    }

    fn swipe(&mut self, n: usize) {
        let Some(at) = self.free_pile(n) else { return };
        let who = self.one_of(&MEMBERS[..3]);
        let outcome = self.company.stations[n].bench.swipe(at, &format!("card-{who}"));
        if outcome
            .facts
            .iter()
            .any(|(_, fact)| matches!(fact, Fact::StartWished { .. }))
        {
            self.note("card that wishes for a start");
        }
    }

    fn place_here(&mut self, n: usize, who: &str) {
        let Some(at) = self.free_pile(n) else { return };
        let prepay = format!("{}", 5 + self.below(20));
        let bench = &mut self.company.stations[n].bench;
        let input = bench.place_input(who, at, &prepay);
        if bench.handle(input).answer.is_ok() {
            self.note("order at the station");
        }
    }

    /// One of a station's orders goes on.
    fn go_on(&mut self, n: usize) {
        let open = self.open(n);
        if open.is_empty() {
            return;
        }
        let order = open[self.below(open.len() as u64) as usize].clone();
        let row = self.company.stations[n].bench.order(&order);
        let at = PILES
            .into_iter()
            .find(|pile| row.outlet.pile.as_str() == *pile)
            .unwrap();
        match row.state {
            State::Place => {
                let Some(command) = row.commands.first().map(|command| command.id.clone()) else {
                    return;
                };
                let bench = &mut self.company.stations[n].bench;
                bench.reply(at, &command, true);
                bench.charging(at, &order);
                let now = bench.now;
                self.began.insert((n, order), now);
            }
            State::Charging => {
                let began = self
                    .began
                    .get(&(n, order.clone()))
                    .copied()
                    .unwrap_or(self.company.stations[n].bench.now);
                self.company.pass(3 * HOUR);
                let energy = self.amount(20);
                self.company.record(n, at, &order, began, &energy);
                self.note("record");
                if self.company.stations[n].bench.state(&order) == State::Unpaid {
                    self.note("debt");
                }
            }
            _ => {}
        }
    }

    fn pay_at_desk(&mut self, n: usize, who: &str) {
        let bench = &mut self.company.stations[n].bench;
        let owed = bench.debt(who);
        if owed == Fen::ZERO {
            return;
        }
        self.orders += 1;
        let receipt = format!("R-{}", self.orders);
        let on_road = self.company.on_road(who) > Fen::ZERO;
        let paid = self.company.stations[n].bench.handle(Input::PayDebt {
            member: id(who),
            amount: owed,
            from: PaidFrom::Cash,
            receipt,
            by: "desk".to_owned(),
        });
        if paid.answer.is_ok() {
            self.note(if on_road {
                "debt paid at the desk while money is on the road"
            } else {
                "debt paid at the desk"
            });
        }
    }

    fn freeze(&mut self, who: &str) {
        let (of, other) = (id(who), id(who));
        self.company.money(move |money| money.freeze(&of, Some("a claim")));
        self.company.settle();
        self.company.money(move |money| money.freeze(&other, None));
        self.note("wallet frozen and let go");
    }

    /// A site is restored from a copy; what head office has is handed back, and what it has not is lost.
    fn restore(&mut self, n: usize) {
        if !self.open(n).is_empty() || self.company.stations[n].sent < self.company.stations[n].bench.facts.len() {
            return;
        }
        self.runs += 1;
        let run = format!("e{}", self.runs);
        let copy = self.company.stations[n].sent;
        self.company.stations[n].restored(copy, &run, false);
        self.knows_run(n, &run);
        self.note("site restored");
    }

    fn knows_run(&self, n: usize, run: &str) {
        let (site, hello, now) = (
            self.company.site(n),
            format!("{{\"epoch\":\"{run}\"}}"),
            self.company.now(),
        );
        self.company
            .write(move |tx| sites::heard(tx, &site, Some(&hello), now))
            .unwrap();
    }

    /// A site is restored from a copy and goes on alone: a branch, which people accept.
    fn go_alone(&mut self, n: usize) {
        if !self.open(n).is_empty() {
            return;
        }
        let station = &self.company.stations[n];
        // Back to a step at which nothing was open: soon after an order was settled.
        let settled = |end: &usize| {
            let (from, to) = (end.saturating_sub(6), *end);
            station.bench.facts[from..to]
                .iter()
                .any(|(_, fact)| matches!(fact, Fact::OrderSettled { .. }))
        };
        let copies: Vec<usize> = station
            .bench
            .steps
            .iter()
            .copied()
            .filter(|end| *end < station.sent)
            .filter(settled)
            .collect();
        let Some(copy) = copies.last().copied() else { return };
        let is_open = |facts: &[(domain::journal::Stamp, Fact)]| {
            let placed = facts
                .iter()
                .filter(|(_, fact)| matches!(fact, Fact::OrderPlaced { .. }))
                .count();
            let ended = facts
                .iter()
                .filter(|(_, fact)| matches!(fact, Fact::OrderSettled { .. } | Fact::OrderFailed { .. }))
                .count();
            placed != ended
        };
        if is_open(&station.bench.facts[..copy]) || station.sent < station.bench.facts.len() {
            return;
        }
        self.runs += 1;
        let run = format!("e{}", self.runs);
        self.company.stations[n].restored(copy, &run, true);
        for batch in self.company.stations[n].batches() {
            let taken = self.company.takes(n, batch);
            assert!(matches!(taken, Taken::Stopped { .. } | Taken::Followed), "{taken:?}");
        }
        let (site, now) = (self.company.site(n), self.company.now());
        self.company
            .write(move |tx| {
                let found = sites::find(tx, &site)?.unwrap();
                let others = branches::others(tx, &site, found.branch)?;
                let Some(newest) = others.into_iter().max_by_key(|branch| branch.number) else {
                    return Ok(());
                };
                let accepted = upkeep::fork::accept(tx, crate::company::ME, &site, newest.head, now)?;
                assert_eq!(accepted.unwrap().trouble, None);
                Ok(())
            })
            .unwrap();
        self.company.check();
        self.knows_run(n, &run);
        self.has_lost = true;
        self.note("site that went on alone and was accepted");
    }

    /// Another life of head office's begins, as after a restore; people let wallets go.
    fn another_life(&mut self) {
        let now = self.company.now();
        self.company
            .write(move |tx| {
                identity::restored(tx, now)?;
                identity::freeze(tx, None)
            })
            .unwrap();
        self.note("another life of head office's");
    }

    /// Everything comes to its end, and through.
    fn end(&mut self) {
        for station in &mut self.company.stations {
            station.is_cut = false;
        }
        self.company.settle();
        for n in 0..3 {
            for _ in 0..40 {
                self.go_on(n);
            }
        }
        self.company.settle();
        self.company.pass(25 * HOUR);
        let certainly = self.company.now();
        for n in 0..3 {
            self.company.stations[n]
                .bench
                .handle(Input::CloseVouchers { certainly });
        }
        self.company.settle();
        self.company.check_equal();
        let on_road = self.company.read(|tx| issues::on_road(tx, 100));
        assert_eq!(on_road, [], "everything has arrived or come back");
        assert_eq!(self.company.balance("clearing:wechat"), Fen::ZERO - self.paid_in);
        for n in 0..3 {
            for directive in self.company.directives(n) {
                match directive.state {
                    directives::State::Waiting => panic!("not answered: {directive:?}"),
                    directives::State::Refused(why) => {
                        let what = format!("directive refused: {} {}", directive.kind, why.code);
                        self.note(&what);
                    }
                    _ => self.note("directive done or forgotten"),
                }
            }
        }
        if !self.has_lost {
            self.check_sales();
        }
    }

    /// What was sold is what orders were charged, by the rows of the stations themselves.
    fn check_sales(&self) {
        let mut charged = Fen::ZERO;
        let mut sold = Fen::ZERO;
        for station in &self.company.stations {
            charged += station
                .bench
                .disk
                .orders
                .values()
                .flatten()
                .map(|order| order.paid.charged())
                .sum();
            for part in ["electricity", "service"] {
                sold += self.company.balance(&format!("sales:{}:{part}", station.id));
            }
        }
        assert_eq!(sold, charged);
        let restored = self.company.read(|tx| central::store::ledger::of_kind(tx, "restore"));
        assert!(restored.is_empty(), "nothing was lost: {restored:?}");
    }
}

fn lives() -> u64 {
    let said = std::env::var("HOLDFAST_SEEDS").ok();
    said.map_or(LIVES, |said| said.parse().expect("HOLDFAST_SEEDS is a number"))
}

#[test]
fn three_sites_and_a_head_office_conserve_money_whatever_happens() {
    let mut counts = Counts::new();
    for seed in 0..lives() {
        let lived = std::panic::catch_unwind(|| {
            let mut life = Life::new(seed);
            for _ in 0..STEPS {
                life.step();
            }
            life.end();
            life.counts
        });
        match lived {
            Ok(lived) => lived
                .into_iter()
                .for_each(|(what, times)| *counts.entry(what).or_default() += times),
            Err(panic) => {
                println!("life {seed} has failed");
                std::panic::resume_unwind(panic);
            }
        }
    }
    for (what, times) in &counts {
        println!("{times:6} × {what}");
    }
    for what in [
        "order through head office",
        "order that gathers money",
        "recall while orders are open",
        "voucher taken",
        "debt",
        "site restored",
        "site that went on alone and was accepted",
        "another life of head office's",
        "card that wishes for a start",
        "directive refused: start expired",
    ] {
        assert!(
            counts.get(what).is_some_and(|times| *times > 0),
            "no life has met: {what}"
        );
    }
}
