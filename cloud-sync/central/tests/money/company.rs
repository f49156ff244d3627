//! A head office with its database, and stations whose journals it follows and which do what it says.

use crate::{bench::*, cluster::Cluster};
use central::{
    ingest::{Read, SiteCopy, Taken, take},
    money::{Callback, Credited, Decided, Money, Paid, Refused},
    store::{Db, Place, StoreError, Tx, at_sites, directives, identity, issues, ledger, members, sites},
    upkeep,
};
use domain::{
    fact::{Fact, WentOnAlone},
    head_office::{DirectiveNo, DirectiveRow, HqEpoch},
    ids::{MemberId, OrderId, SiteId},
    journal::{Entry, Hash, Head, Stamp},
    order::{State, Until},
    policy::Policy,
    site::{Changes, Input, Site, Told},
    time::{Now, Wall},
    units::Fen,
};
use protocol::{
    frame::{Batch, SignedDirective},
    key::{PublicKeys, SigningKey},
    pack::Packer,
};
use std::{collections::BTreeSet, sync::Arc};

pub(crate) const ME: &str = "here";
/// The run of every station's journal, until it is restored.
pub(crate) const RUN: &str = "e1";
const KEY: [u8; 32] = [9; 32];

/// A station of the company's.
pub(crate) struct Station {
    pub(crate) id: SiteId,
    pub(crate) bench: Bench,
    /// How many of its facts head office has.
    pub(crate) sent: usize,
    /// The place after them, and after each of them: they were journaled under several runs.
    pub(crate) head: Head,
    places: Vec<Head>,
    pub(crate) is_cut: bool,
    pub(crate) run: String,
}

impl Station {
    fn new(id: &str, number: u64) -> Self {
        let mut bench = Bench::new();
        let policy = Policy {
            head_office: true,
            site_number: Some(number),
            ..bench.site.policy().clone()
        };
        bench.restart_as(policy, false);
        for pile in ["P1", "P2", "P3"] {
            bench.connect(pile);
        }
        Self {
            id: id.parse().unwrap(),
            bench,
            sent: 0,
            head: Head::START,
            places: Vec::new(),
            is_cut: false,
            run: RUN.to_owned(),
        }
    }

    /// It was restored from a copy that has so many of its facts, and goes on under another run: with what head office has of the
    /// rest handed back, or alone.
    pub(crate) fn restored(&mut self, copy: usize, run: &str, alone: bool) {
        let bench = &mut self.bench;
        let kept = if alone { copy } else { self.sent.max(copy) };
        assert!(bench.steps.contains(&kept), "a copy is of whole steps");
        bench.facts.truncate(kept);
        bench.steps.retain(|end| *end <= kept);
        let stamp = Stamp {
            seq: kept as u64 + 1,
            at: bench.now.wall,
            mono: bench.now.mono,
        };
        let fact = Fact::Restored {
            epoch_before: self.run.clone(),
            alone: alone.then(|| WentOnAlone {
                reason: "the line is down for days".to_owned(),
                by: "wang".to_owned(),
            }),
        };
        if self.sent > kept {
            // Head office has more: what is journaled now leaves that.
            self.places.truncate(kept);
            let head = self.places.last().copied().unwrap_or(Head::START);
            (self.sent, self.head) = (kept, head);
        }
        assert_eq!(
            self.sent, kept,
            "what is not sent has the run under which it was journaled"
        );
        self.run = run.to_owned();
        let mut rows = bench.replayed();
        rows.apply(stamp, &fact, &mut Changes::default());
        bench.facts.push((stamp, fact));
        bench.steps.push(kept + 1);
        bench.disk = rows.clone();
        bench.site = Site::new(bench.site.policy().clone(), stamp, rows);
        bench.evicts = false;
        for pile in ["P1", "P2", "P3"] {
            bench.connect(pile);
        }
    }

    /// Another box with its disk as that was after so many facts goes on in its place, under the same run and without a word of it.
    pub(crate) fn cloned(&mut self, copy: usize) {
        let bench = &mut self.bench;
        assert!(bench.steps.contains(&copy), "a copy is of whole steps");
        bench.facts.truncate(copy);
        bench.steps.retain(|end| *end <= copy);
        self.places.truncate(copy);
        (self.sent, self.head) = (copy, self.places.last().copied().unwrap_or(Head::START));
        let rows = bench.replayed();
        let (stamp, _) = bench.facts[copy - 1];
        bench.disk = rows.clone();
        bench.site = Site::new(bench.site.policy().clone(), stamp, rows);
        bench.evicts = false;
        for pile in ["P1", "P2", "P3"] {
            bench.connect(pile);
        }
    }

    /// What it has journaled and head office has not: batches that end where steps do.
    pub(crate) fn batches(&mut self) -> Vec<Vec<u8>> {
        let mut batches = Vec::new();
        let (key, mut packer) = (SigningKey::from_seed(KEY), Packer::new());
        let ends: Vec<usize> = self
            .bench
            .steps
            .iter()
            .copied()
            .filter(|end| *end > self.sent)
            .collect();
        let ends: BTreeSet<usize> = ends.into_iter().collect();
        for end in ends {
            let entries: Vec<Vec<u8>> = self.bench.facts[self.sent..end]
                .iter()
                .map(|(stamp, fact)| Entry::bytes_of(&self.id, &self.run, *stamp, fact))
                .collect();
            let before = self.head;
            for bytes in &entries {
                self.head = Head {
                    seq: self.head.seq + 1,
                    hash: Hash::seal(&self.head.hash, bytes),
                };
                self.places.push(self.head);
            }
            let signature = Batch::sign(&self.id, self.head, &key);
            let batch = Batch::pack(before, &entries, signature, &mut packer).unwrap();
            batches.push(batch.to_bytes());
            self.sent = end;
        }
        batches
    }
}

pub(crate) struct Company {
    pub(crate) db: Db,
    pub(crate) stations: Vec<Station>,
    runtime: tokio::runtime::Runtime,
    key: SigningKey,
    pub(crate) epoch: HqEpoch,
    callbacks: u64,
    _cluster: Option<Arc<Cluster>>,
}

impl Company {
    pub(crate) fn sqlite() -> Self {
        Self::at(Place::Memory, None)
    }

    pub(crate) fn postgresql() -> Self {
        let cluster = Cluster::shared();
        Self::at(Place::Postgres(cluster.new_database()), Some(cluster))
    }

    fn at(place: Place, cluster: Option<Arc<Cluster>>) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let db = Db::open(&place).unwrap();
        let mut company = Self {
            db,
            stations: Vec::new(),
            runtime,
            key: SigningKey::from_seed([1; 32]),
            epoch: HqEpoch([0; 16]),
            callbacks: 0,
            _cluster: cluster,
        };
        let now = Bench::new().now.wall;
        let identity = company.write(move |tx| identity::of(tx, now)).unwrap();
        (company.key, company.epoch) = (identity.key, identity.hq_epoch);
        for (n, id) in ["A", "B", "C"].into_iter().enumerate() {
            company.join(id, n as u64 + 1);
        }
        company
    }

    fn join(&mut self, id: &str, number: u64) {
        let mut station = Station::new(id, number);
        let (site, key, now) = (
            station.id.clone(),
            SigningKey::from_seed(KEY).public(),
            station.bench.now.wall,
        );
        self.write(move |tx| {
            sites::add(tx, &site, &format!("site {site}"), &[sites::EdgeKey { key, from: 0 }])?;
            sites::own(tx, &site, ME, now, now.after_ms(i64::from(i32::MAX)))?;
            sites::heard(tx, &site, Some(&format!("{{\"epoch\":\"{RUN}\"}}")), now)
        })
        .unwrap();
        station.bench.ok(Input::HeadOfficeSeen(self.epoch));
        station.bench.ok(Input::Line(true));
        self.stations.push(station);
        self.up(self.stations.len() - 1);
    }

    pub(crate) fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn Tx) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.runtime.block_on(self.db.write(work))
    }

    pub(crate) fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn Tx) -> Result<T, StoreError> + Send + 'static,
    ) -> T {
        self.runtime.block_on(self.db.read(work)).unwrap()
    }

    /// By head office's clock: that of the first station, whose clock is right.
    pub(crate) fn now(&self) -> Wall {
        self.stations[0].bench.now.wall
    }

    pub(crate) fn site(&self, n: usize) -> SiteId {
        self.stations[n].id.clone()
    }

    /// Does something with members' money, as head office's API does; the books are looked at after it.
    pub(crate) fn money<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Money<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> T {
        self.money_as("li", work)
    }

    /// The same by somebody else.
    pub(crate) fn money_as<T: Send + 'static>(
        &self,
        who: &'static str,
        work: impl FnOnce(&mut Money<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> T {
        let now = self.now();
        let done = self.write(move |tx| {
            let mut money = Money::new(tx, now, who);
            work(&mut money)
        });
        self.check();
        done.unwrap()
    }

    /// The same where it may be refused; nothing was written then.
    pub(crate) fn may_as<T: Send + 'static>(
        &self,
        who: &'static str,
        work: impl FnOnce(&mut Money<'_>) -> Decided<T> + Send + 'static,
    ) -> Result<T, Refused> {
        self.money_as(who, work)
    }

    /// The same where it may be refused; nothing was written then.
    pub(crate) fn may<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Money<'_>) -> Decided<T> + Send + 'static,
    ) -> Result<T, Refused> {
        self.money(work)
    }

    /// The hourly look at who owes something; the sites that something was issued to.
    pub(crate) fn pay_again(&self) -> BTreeSet<SiteId> {
        let now = self.now();
        let rung = self.runtime.block_on(central::money::pay_again(&self.db, || now));
        self.check();
        rung
    }

    /// What a station has journaled goes up; whether it was anything.
    pub(crate) fn up(&mut self, n: usize) -> bool {
        let batches = self.stations[n].batches();
        let any = !batches.is_empty();
        for batch in batches {
            self.take(n, batch);
        }
        any
    }

    fn take(&mut self, n: usize, batch: Vec<u8>) {
        let taken = self.takes(n, batch);
        assert_eq!(taken, Taken::Followed, "site {}", self.stations[n].id);
    }

    /// Takes a batch of a station's; what came of it.
    pub(crate) fn takes(&mut self, n: usize, batch: Vec<u8>) -> Taken {
        let (site, now) = (self.site(n), self.now());
        let taken = self.write(move |tx| {
            let found = sites::find(tx, &site)?.unwrap();
            let keys = found.keys.clone();
            let mut copy = SiteCopy::load(tx, found)?;
            let read = Read::of(&batch, &site, &keys).unwrap();
            sites::heard(tx, &site, None, now)?;
            take(tx, ME, &mut copy, &read, now)
        });
        self.check();
        taken.unwrap()
    }

    /// What head office has told a station comes down, each once more if it was not answered; whether it did anything.
    pub(crate) fn down(&mut self, n: usize) -> bool {
        let (site, now) = (self.site(n), self.now());
        let of = site.clone();
        let epoch = self.read(move |tx| match sites::find(tx, &of)?.unwrap().hq_epoch {
            Some(own) => Ok(own),
            None => Ok(identity::epoch(tx)?.unwrap()),
        });
        let bench = &mut self.stations[n].bench;
        let mut did = bench.disk.head_office.hq_epoch != Some(epoch);
        if did {
            // As the acknowledgement of its hello says.
            bench.ok(Input::HeadOfficeSeen(epoch));
        }
        for row in [DirectiveRow::Orders, DirectiveRow::Others] {
            let of = site.clone();
            let waiting = self.read(move |tx| directives::waiting(tx, (&of, epoch), row, 8));
            for directive in waiting {
                let bytes = SignedDirective::to_bytes(directive.body.as_bytes(), &site, &self.key);
                let keys = PublicKeys::from(self.key.public());
                let signed = SignedDirective::from_bytes(&bytes, &site, &keys).unwrap();
                let bench = &mut self.stations[n].bench;
                let before = bench.facts.len();
                bench.handle(Input::Directive(Box::new(Told {
                    directive: signed.no,
                    sha256: signed.sha256,
                    content: signed.content,
                    at_most: Some(now),
                })));
                did |= bench.facts.len() > before;
            }
        }
        did
    }

    /// Everything goes up and down until nobody has anything to say, where there is a line.
    pub(crate) fn settle(&mut self) {
        for round in 0.. {
            assert!(round < 50, "they come to an end");
            let mut did = false;
            for n in 0..self.stations.len() {
                if !self.stations[n].is_cut {
                    did |= self.up(n);
                    did |= self.down(n);
                }
            }
            if !did {
                return;
            }
        }
    }

    /// Time passes everywhere; whatever is due at stations is done.
    pub(crate) fn pass(&mut self, ms: u64) {
        for station in &mut self.stations {
            station.bench.advance(ms);
        }
        let now = self.now();
        for n in 0..self.stations.len() {
            let (site, is_cut) = (self.site(n), self.stations[n].is_cut);
            if !is_cut {
                self.write(move |tx| sites::heard(tx, &site, None, now)).unwrap();
            }
        }
    }

    /// A member, with this in the wallet.
    pub(crate) fn member(&mut self, who: &str, amount: &str) {
        let (id, name, now) = (member(who), who.to_owned(), self.now());
        self.write(move |tx| members::put(tx, &id, &name, "li", now)).unwrap();
        if yuan(amount) > Fen::ZERO {
            self.top_up(who, amount);
        }
    }

    /// They pay in through a channel.
    pub(crate) fn top_up(&mut self, who: &str, amount: &str) {
        self.callbacks += 1;
        let (id, of, amount) = (member(who), self.callbacks, yuan(amount));
        let reference = format!("T{of}");
        let asked = reference.clone();
        self.may(move |money| money.ask_top_up(&id, "wechat", &asked, amount))
            .unwrap();
        let said = callback(&reference, &format!("tx{of}"), amount);
        let credited = self.money(move |money| money.called_back(&said));
        assert_eq!(credited, Credited::Now(member(who)));
    }

    pub(crate) fn wallet(&self, who: &str) -> Fen {
        let id = member(who);
        self.read(move |tx| ledger::balance(tx, &ledger::wallet(&id)))
    }

    pub(crate) fn on_road(&self, who: &str) -> Fen {
        let id = member(who);
        let on_road = self.read(move |tx| issues::on_road_of(tx, &id));
        on_road.iter().map(|issue| issue.rest).sum()
    }

    pub(crate) fn balance(&self, name: &str) -> Fen {
        let name = name.to_owned();
        self.read(move |tx| ledger::balance(tx, &name))
    }

    /// What a member has at a station, by its own books.
    pub(crate) fn there(&self, n: usize, who: &str) -> Fen {
        self.stations[n].bench.allowance(who)
    }

    pub(crate) fn order(&self, n: usize, who: &str, at: &str, prepay: &str, id: &str) -> central::money::Order {
        central::money::Order {
            id: order_id(id),
            member: member(who),
            site: self.site(n),
            outlet: outlet(at),
            prepay: yuan(prepay),
            until: Until::default(),
            wished: None,
        }
    }

    /// An order through head office that charges from here on.
    pub(crate) fn charge(&mut self, n: usize, who: &str, at: &str, prepay: &str, id: &str) -> OrderId {
        let order = self.order(n, who, at, prepay, id);
        let of = order.id.clone();
        self.may(move |money| money.place(&order)).unwrap();
        self.settle();
        self.begin(n, at, &of);
        of
    }

    /// The pile has begun an order that the station has placed.
    pub(crate) fn begin(&mut self, n: usize, at: &str, order: &OrderId) {
        let bench = &mut self.stations[n].bench;
        let command = bench.order(order).commands[0].id.clone();
        bench.reply(at, &command, true);
        bench.charging(at, order);
        assert_eq!(bench.state(order), State::Charging);
    }

    /// Its record comes: so many kWh in three hours.
    pub(crate) fn end(&mut self, n: usize, at: &str, order: &OrderId, energy: &str) {
        let started = self.stations[n].bench.now;
        self.pass(3 * HOUR);
        self.record(n, at, order, started, energy);
    }

    /// The record of an order that has charged since then.
    pub(crate) fn record(&mut self, n: usize, at: &str, order: &OrderId, started: Now, energy: &str) {
        let bench = &mut self.stations[n].bench;
        let from = bench.sim(at).meter;
        let to = from + kwh(energy);
        bench.sim(at).meter = to;
        let record = bench.record_since(at, order, started, &from.to_string(), &to.to_string());
        bench.send_record(at, &record);
        bench.idle(at);
    }

    /// Head office's books, whole: their sum, every balance by its movements, what is on the road by issues, and every site's
    /// accounts as its rows have them.
    pub(crate) fn check(&self) {
        let verified = self.read(upkeep::ledger::verify);
        assert!(verified.differences.is_empty(), "{verified:?}");
    }

    /// With nothing on the way, what head office knows of every station is what that has.
    pub(crate) fn check_equal(&self) {
        self.check();
        for station in &self.stations {
            let of = station.id.clone();
            let here = self.read(move |tx| central::store::replica::balances(tx, &of));
            for (account, balance) in here {
                assert_eq!(
                    balance,
                    station.bench.disk.ledger.balance(&account),
                    "{account} of {}",
                    station.id
                );
            }
        }
    }

    /// All that a member has, wherever it is, less what they owe.
    pub(crate) fn worth(&self, who: &str) -> Fen {
        let id = member(who);
        let (wallet, on_road, at) = self.read(move |tx| {
            Ok((
                ledger::balance(tx, &ledger::wallet(&id))?,
                issues::on_road_of(tx, &id)?,
                at_sites::of_member(tx, &id)?,
            ))
        });
        let on_road: Fen = on_road.iter().map(|issue| issue.rest).sum();
        let at: Fen = at.iter().map(|at| at.allowance - at.debt).sum();
        wallet + on_road + at
    }

    pub(crate) fn directives(&self, n: usize) -> Vec<directives::Kept> {
        let site = self.site(n);
        self.read(move |tx| directives::of_site(tx, &site, None, 1_000))
    }

    pub(crate) fn refused(&self, n: usize, no: DirectiveNo) -> Option<String> {
        let site = self.site(n);
        let found = self.read(move |tx| directives::find(tx, &site, no)).unwrap();
        match found.state {
            directives::State::Refused(why) => Some(why.code),
            _ => None,
        }
    }
}

pub(crate) fn callback(reference: &str, transaction: &str, amount: Fen) -> Callback {
    Callback {
        channel: "wechat".to_owned(),
        reference: reference.to_owned(),
        transaction: transaction.to_owned(),
        amount,
        paid: Paid::Paid,
    }
}

pub(crate) fn id(who: &str) -> MemberId {
    member(who)
}
