//! The station's brain: one state machine that decides everything, without I/O, clock or randomness of its own.
//! It ties the small machines together: order, ledger, meter, pile, member.
//!
//! ```text
//! needs(&Input)             which rows must be in memory first
//! handle(now, rng, Input)   facts to journal + effects to perform + the answer, which may be a refusal
//! Rows::apply(stamp, &Fact) the only way money and order state change
//! next_deadline()           when to call again with Input::Tick; timers are state, not tasks
//! ```
//!
//! [`Site::handle`] applies each fact as it decides it, so that what it decides next sees it. An input that is
//! [`Rejected`] has changed nothing.

mod admin;
mod apply;
mod boots;
mod cards;
mod classify;
mod commands;
mod corrections;
mod desk;
mod energy;
mod estimates;
mod faults;
mod heartbeats;
mod input;
mod invariants;
mod live;
mod missing_records;
mod outcome;
mod placing;
mod presence;
mod quarantine;
mod readings;
mod record;
mod rejected;
mod rows;
mod runs;
mod settle;
mod space;
mod station_clock;
mod stopping;
mod sums;
mod timers;
mod unordered;

pub use input::{Decision, Input, Place, Space};
pub use invariants::Violation;
pub use live::{LiveView, OutletLive, Presence, UnorderedWatch};
pub use outcome::{Answer, Effect, Outcome};
pub use rejected::Rejected;
pub use rows::{Changes, Key, Loaded, Rows};

use crate::{
    card::Card,
    fact::{Fact, TypedFigures},
    ids::{CardId, OrderId, Outlet, PileId, Randomness},
    journal::Stamp,
    messages::{Ack, AckResult, Down, Record, Up, UpMessage},
    notice::Notice,
    order::{Command, Order},
    planted::{Bug, is_planted},
    policy::Policy,
    quarantine::QuarantineItem,
    register::{Cover, SessionId},
    settlement::Split,
    time::{Mono, Now, Wall},
    topics::UpKind,
    units::{Energy, Fen},
};
use live::Live;
use quarantine::Closing;
use rows::Kept;
use runs::Heard;
use std::cell::OnceCell;

/// A station.
#[derive(Debug, Clone)]
pub struct Site {
    policy: Policy,
    last: Stamp,
    rows: Kept,
    live: Live,
    changes: Changes,
}

impl Site {
    /// A station that continues after the journal entry `last`.
    ///
    /// `rows` are what is always in memory: all piles and tariffs, every open order with its member, and the accounts of
    /// both. Live data of an earlier run goes in with [`Site::restore_live`]. The first input says what time it is; until
    /// then no business day is waited for.
    pub fn new(policy: Policy, last: Stamp, rows: Rows) -> Self {
        let live = Live::new(&rows);
        Self {
            policy,
            last,
            rows: Kept::new(rows),
            live,
            changes: Changes::default(),
        }
    }

    /// The site's rules.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The last fact that was decided.
    pub fn last(&self) -> Stamp {
        self.last
    }

    /// The rows in memory.
    pub fn rows(&self) -> &Rows {
        &self.rows
    }

    /// What is known of a pile's connection.
    pub fn presence(&self, pile: &PileId) -> Option<&Presence> {
        self.live.piles.get(pile)
    }

    /// What a connector last said of itself.
    pub fn outlet(&self, outlet: &Outlet) -> Option<&OutletLive> {
        self.live.outlets.get(outlet)
    }

    /// Every connector that has said anything.
    pub fn outlets(&self) -> impl Iterator<Item = (&Outlet, &OutletLive)> {
        self.live.outlets.iter()
    }

    /// Whether the station's wall clock is trusted: piles are told the time, and people that it may be wrong.
    pub fn clock_trusted(&self) -> bool {
        self.live.clock_trusted
    }

    /// When a tariff must be in force to be in force now: by the clock, or by what is certain where that is later.
    pub fn tariff_time(&self, now: Now) -> Wall {
        let doubt = self.rows.clock.doubt.filter(|_| !is_planted(Bug::NoCertainTime));
        doubt.map_or(now.wall, |doubt| now.wall.max(doubt.not_before(now.mono)))
    }

    /// Messages that were counted and otherwise ignored, by reason.
    pub fn ignored(&self) -> &std::collections::BTreeMap<&'static str, u64> {
        &self.live.ignored
    }

    /// Live data of an earlier run: what the telemetry write class kept.
    pub fn restore_live(&mut self, outlet: Outlet, live: OutletLive) {
        self.live
            .restore(outlet, live, &self.rows, self.policy.record_request_ms);
    }

    /// Rows that changed since this was last called, to be written with the facts that changed them.
    pub fn take_changes(&mut self) -> Changes {
        std::mem::take(&mut self.changes)
    }

    /// Rows that `input` needs and that are not in memory. Load them with [`Site::load`] and ask again, until none is
    /// left: one row may name another.
    pub fn needs(&self, input: &Input) -> Vec<Key> {
        let mut keys = Vec::new();
        match input {
            Input::Message { pile, message } => match &message.body {
                Up::Heartbeat(heartbeat) => {
                    for report in &heartbeat.connectors {
                        if let Some(order) = &report.order_id {
                            self.needs_order(order, &mut keys);
                        }
                    }
                }
                Up::Reply(reply) => {
                    if let Some(order) = Command::order_of(&reply.command_id) {
                        self.needs_order(&order, &mut keys);
                    }
                }
                Up::Record(record) => self.needs_of_record(pile, record, &mut keys),
                Up::Card(swipe) => {
                    self.needs_card(&swipe.card_id, &mut keys);
                    if let Some(holder) = self.rows.card(&swipe.card_id).and_then(Card::holder) {
                        self.rows.needs_member(holder, &mut keys);
                    }
                }
                Up::Boot(_) | Up::Event(_) => {}
            },
            Input::Place(place) => self.rows.needs_member(&place.member, &mut keys),
            Input::Stop { order, .. }
            | Input::Close { order, .. }
            | Input::Decide { order, .. }
            | Input::CorrectBill { order, .. }
            | Input::ApproveCorrection { order, .. }
            | Input::WithdrawCorrection { order, .. }
            | Input::Refund { order, .. } => self.needs_order(order, &mut keys),
            Input::CloseQuarantine {
                item, bill_to, typed, ..
            } => {
                match self.rows.quarantine.get(item) {
                    None => keys.push(Key::Quarantine(*item)),
                    Some(Some(found)) => {
                        let recorded = found.record.as_ref().map(|record| &record.order_id);
                        for order in found.order.iter().chain(recorded) {
                            self.needs_order(order, &mut keys);
                        }
                        self.needs_covering_items(found, typed.as_deref(), &mut keys);
                    }
                    Some(None) => {}
                }
                if let Some(member) = bill_to {
                    self.rows.needs_member(member, &mut keys);
                }
            }
            Input::RegisterMember { member, .. } | Input::BlockMember { member, .. } => {
                self.rows.needs_member(member, &mut keys);
            }
            Input::BindCard { card, member } => {
                self.rows.needs_member(member, &mut keys);
                self.needs_card(card, &mut keys);
            }
            Input::TopUp { member, receipt, .. } | Input::ReverseTopUp { member, receipt, .. } => {
                self.rows.needs_member(member, &mut keys);
                self.needs_receipt(receipt, &mut keys);
            }
            Input::PayDebt { member, receipt, .. } => {
                self.rows.needs_member(member, &mut keys);
                self.needs_receipt(receipt, &mut keys);
                if let Some(Some(member)) = self.rows.members.get(member) {
                    for order in &member.unpaid_orders {
                        self.needs_order(order, &mut keys);
                    }
                }
            }
            Input::Unreadable { pile, kind, raw, fault } => {
                if *kind != UpKind::Heartbeat {
                    if let Some(order) = &fault.order_id {
                        self.needs_order(order, &mut keys);
                    }
                    self.needs_set_aside(pile, record::digest_of(raw.content()), &mut keys);
                }
            }
            Input::UnbindCard { card } => self.needs_card(card, &mut keys),
            Input::BankCash { slip, .. } => {
                if !self.rows.slips.contains_key(slip) {
                    keys.push(Key::Slip(slip.clone()));
                }
            }
            Input::Connected { .. }
            | Input::Disconnected { .. }
            | Input::TakenOver { .. }
            | Input::AddTariff { .. }
            | Input::ProvisionPile { .. }
            | Input::RemovePile { .. }
            | Input::SetMaintenance { .. }
            | Input::ClearMeter { .. }
            | Input::OpenShift { .. }
            | Input::CountCash { .. }
            | Input::CloseShift { .. }
            | Input::ClockTrust(_)
            | Input::CertainTime(_)
            | Input::ConfirmClock { .. }
            | Input::Space(_)
            | Input::Tick => {}
        }
        keys
    }

    fn needs_order(&self, id: &OrderId, keys: &mut Vec<Key>) {
        match self.rows.orders.get(id) {
            None => keys.push(Key::Order(id.clone())),
            Some(Some(order)) => self.rows.needs_member(&order.member, keys),
            Some(None) => {}
        }
    }

    /// A record's order; its card with everybody who may pay; and whether it was put aside before, where that matters.
    fn needs_of_record(&self, pile: &PileId, record: &Record, keys: &mut Vec<Key>) {
        self.needs_order(&record.order_id, keys);
        if let Some(card) = &record.card_id {
            self.needs_card(card, keys);
            for member in self.rows.card(card).into_iter().flat_map(Card::members) {
                self.rows.needs_member(member, keys);
            }
        }
        if !keys.is_empty() {
            return;
        }
        let outlet = Outlet {
            pile: pile.clone(),
            connector: record.connector,
        };
        let digest = OnceCell::new();
        let digest = || digest.get_or_init(|| record::digest(record)).clone();
        if self.classify(&outlet, record, digest).asks_for_quarantine() {
            self.needs_set_aside(pile, digest(), keys);
        }
    }

    /// Other items that cover the readings of one that is to be billed: whether they are open.
    fn needs_covering_items(&self, item: &QuarantineItem, typed: Option<&TypedFigures>, keys: &mut Vec<Key>) {
        let recorded = item.record.as_ref();
        let recorded = recorded.map(|record| (record.connector, record.meter_start_kwh, record.meter_stop_kwh));
        let typed = typed.map(|typed| (typed.connector, typed.start.register, typed.stop.register));
        let Some((connector, from, to)) = recorded.or(typed) else {
            return;
        };
        let pile = item.pile.clone();
        // On whichever of its meters it ran.
        let connector = self.rows.connector(&Outlet { pile, connector });
        let books = connector.into_iter().flat_map(|connector| {
            let before = connector.meters_before.checked_sub(1);
            let meters = before.into_iter().chain([connector.meters_before]);
            meters.filter_map(|meter| connector.book_for(meter))
        });
        for cover in books.flat_map(|book| book.overlapping(from, to)) {
            if let Some(SessionId::Item(number)) = cover.by
                && !self.rows.quarantine.contains_key(&number)
            {
                keys.push(Key::Quarantine(number));
            }
        }
    }

    /// What covers these readings of a connector, by the book of the meter that a session from `from` on is of.
    fn overlapping(&self, outlet: &Outlet, from: Energy, to: Energy) -> Vec<Cover> {
        let connector = self.rows.connector(outlet);
        let book = connector.and_then(|connector| connector.book_for(connector.meter_of_late_session(from)));
        book.map(|book| book.overlapping(from, to)).unwrap_or_default()
    }

    fn needs_set_aside(&self, pile: &PileId, digest: String, keys: &mut Vec<Key>) {
        let content = (pile.clone(), digest);
        if !self.rows.set_aside.contains_key(&content) {
            keys.push(Key::SetAside(content.0, content.1));
        }
    }

    fn needs_receipt(&self, receipt: &str, keys: &mut Vec<Key>) {
        if !receipt.is_empty() && !self.rows.receipts.contains_key(receipt) {
            keys.push(Key::Receipt(receipt.to_owned()));
        }
    }

    fn needs_card(&self, card: &CardId, keys: &mut Vec<Key>) {
        if !self.rows.cards.contains_key(card) {
            keys.push(Key::Card(card.clone()));
        }
    }

    /// Puts a row in memory that [`Site::needs`] named.
    pub fn load(&mut self, row: Loaded) {
        self.rows.load(row);
    }

    /// Takes out of memory what nothing open needs. Call when no change is waiting to be written.
    pub fn evict(&mut self) {
        debug_assert!(
            self.changes.is_empty(),
            "changed rows are written before they are forgotten"
        );
        self.rows.evict();
    }

    /// Decides.
    ///
    /// All rows that [`Site::needs`] names must be in memory. Facts come back even with a refusal where the station's
    /// clock was found to have been stepped, or another day to have begun: that is true whatever was asked.
    ///
    /// # Errors
    /// The books would be wrong. Nothing of this step may be written, and the site must be made anew from disk.
    pub fn handle(&mut self, now: Now, random: &mut dyn Randomness, input: Input) -> Result<Outcome, Violation> {
        let mut turn = Turn {
            site: self,
            now,
            random,
            outcome: Outcome::default(),
        };
        turn.notice_clock_step();
        turn.notice_day();
        let own_facts = turn.outcome.facts.len();
        let answer = turn.dispatch(input);
        let mut outcome = turn.outcome;
        if let Err(rejected) = &answer {
            assert_eq!(
                outcome.facts.len(),
                own_facts,
                "a refusal comes before the first fact: {rejected}"
            );
        }
        outcome.answer = answer;
        let drift = self.rows.take_drift();
        invariants::check(&self.rows, &outcome.facts, drift)?;
        Ok(outcome)
    }

    /// When [`Input::Tick`] is next due, in elapsed time.
    pub fn next_deadline(&self) -> Option<Mono> {
        self.live.timers.first().map(|(at, _)| *at)
    }
}

/// One input being handled.
struct Turn<'a> {
    site: &'a mut Site,
    now: Now,
    random: &'a mut dyn Randomness,
    outcome: Outcome,
}

type Handled = Result<Answer, Rejected>;

impl Turn<'_> {
    fn dispatch(&mut self, input: Input) -> Handled {
        match input {
            Input::Connected { pile } => self.connected(&pile),
            Input::Disconnected { pile, dropped } => self.disconnected(&pile, dropped),
            Input::Message { pile, message } => self.message(&pile, message),
            Input::Unreadable { pile, kind, fault, raw } => self.unreadable(&pile, kind, fault, raw),
            Input::Place(place) => self.place(place, crate::order::Source::Api),
            Input::Stop { order, by } => self.stop(&order, by),
            Input::Close { order, by } => self.close(&order, &by),
            Input::Decide {
                order,
                decision,
                reason,
                by,
            } => self.decide(&order, decision, reason, by),
            Input::Refund {
                order,
                amount,
                reason,
                by,
            } => self.refund(&order, amount, reason, by),
            Input::CloseQuarantine {
                item,
                bill_to,
                despite,
                typed,
                reason,
                by,
            } => self.close_quarantine(
                item,
                Closing {
                    bill_to,
                    despite,
                    typed,
                    reason,
                    by,
                },
            ),
            Input::RegisterMember { member, name } => self.register_member(member, name),
            Input::BlockMember { member, reason, by } => self.block_member(member, reason, by),
            Input::TopUp {
                member,
                amount,
                receipt,
                by,
            } => self.top_up(member, amount, receipt, by),
            Input::PayDebt {
                member,
                amount,
                from,
                receipt,
                by,
            } => self.pay_debt(&member, amount, from, &receipt, &by),
            Input::BindCard { card, member } => self.bind_card(card, member),
            Input::UnbindCard { card } => self.unbind_card(card),
            Input::AddTariff { tariff } => self.add_tariff(tariff),
            Input::ProvisionPile { pile } => self.provision_pile(pile),
            Input::RemovePile { pile, by } => self.remove_pile(pile, by),
            Input::SetMaintenance { pile, reason, by } => self.set_maintenance(pile, reason, by),
            Input::ClearMeter { pile, reason, by } => self.clear_meter(pile, reason, by),
            Input::CorrectBill {
                order,
                electricity,
                service,
                reason,
                by,
            } => self.correct_bill(&order, Split { electricity, service }, reason, by),
            Input::ApproveCorrection { order, proposal, by } => self.approve_correction(&order, proposal, by),
            Input::WithdrawCorrection {
                order,
                proposal,
                reason,
                by,
            } => self.withdraw_correction(&order, proposal, reason, by),
            Input::ReverseTopUp {
                member,
                receipt,
                amount,
                reason,
                by,
            } => self.reverse_top_up(member, receipt, amount, reason, by),
            Input::OpenShift { by } => self.open_shift(by),
            Input::CountCash { counted, reason, by } => self.count_cash(counted, reason, by),
            Input::BankCash { amount, slip, by } => self.bank_cash(amount, slip, by),
            Input::CloseShift { by } => self.close_shift(by),
            Input::ClockTrust(trusted) => self.clock_trust(trusted),
            Input::CertainTime(wall) => self.certain_time(wall),
            Input::ConfirmClock { by } => self.confirm_clock(by),
            Input::Space(space) => self.space(space),
            Input::Tick => self.tick(),
            Input::TakenOver { pile } => self.taken_over(&pile),
        }
    }

    fn message(&mut self, pile: &PileId, message: UpMessage) -> Handled {
        let known = self.known_pile(pile).is_ok();
        let mut heard = Heard::Late;
        if known {
            heard = self.heard(pile, &message);
        } else {
            self.ignore("unknown_pile");
        }
        let UpMessage { common, body, unread } = message;
        if unread.is_some() {
            self.ignore("unreadable_fields");
        }
        let (result, order, fee, detail) = match body {
            // What a pile says on its way out changes nothing, but its records carry money.
            Up::Heartbeat(_) if !known => return Ok(Answer::Done),
            Up::Boot(_) | Up::Reply(_) | Up::Event(_) | Up::Card(_) if !known => Received::rejected("unknown pile"),
            Up::Heartbeat(heartbeat) => {
                self.heartbeat(pile, &common, heard, heartbeat);
                return Ok(Answer::Done);
            }
            Up::Boot(boot) => self.boot(pile, &common, heard, boot),
            Up::Reply(reply) => self.reply(pile, &common, reply),
            Up::Record(record) => self.record(pile, &common, *record)?,
            Up::Event(event) => self.event(pile, event),
            Up::Card(swipe) => self.card(pile, swipe),
        }
        .into_parts();
        let ack = Ack {
            msg_id: common.msg_id,
            result,
            order_id: order,
            fee,
            detail,
        };
        self.send(pile, Down::Ack(ack.clone()));
        Ok(Answer::Ack(ack))
    }

    /// Journals a fact: from here on it is true.
    fn journal(&mut self, fact: Fact) {
        let stamp = Stamp {
            seq: self.site.last.seq + 1,
            at: self.now.wall,
            mono: self.now.mono,
        };
        self.site.last = stamp;
        self.site.rows.apply(stamp, &fact, &mut self.site.changes);
        self.site.live.follow(&fact, &self.site.rows);
        self.outcome.facts.push((stamp, fact));
    }

    /// Tells a driver, and remembers having told them.
    fn notify(&mut self, order: &Order, notice: Notice) {
        let (member, order) = (order.member.clone(), order.id.clone());
        self.journal(Fact::Notified {
            member: member.clone(),
            order: order.clone(),
            notice: notice.clone(),
        });
        self.outcome.effects.push(Effect::Notify { member, order, notice });
    }

    fn send(&mut self, pile: &PileId, message: Down) {
        self.outcome.effects.push(Effect::Send {
            pile: pile.clone(),
            message,
        });
    }

    fn seen(&mut self, order: &OrderId) {
        if !self.outcome.seen.contains(order) {
            self.outcome.seen.push(order.clone());
        }
    }

    fn ignore(&mut self, why: &'static str) {
        *self.site.live.ignored.entry(why).or_default() += 1;
    }

    fn policy(&self) -> &Policy {
        &self.site.policy
    }

    /// An order that is in memory.
    fn order(&self, id: &OrderId) -> Option<&Order> {
        self.site.rows.orders.get(id)?.as_ref()
    }

    /// An order that a person named.
    fn known_order(&self, id: &OrderId) -> Result<Order, Rejected> {
        self.order(id)
            .cloned()
            .ok_or_else(|| Rejected::UnknownOrder(id.clone()))
    }
}

/// What became of a message from a pile: the content of its `ack`.
struct Received {
    result: AckResult,
    order: Option<OrderId>,
    fee: Option<Fen>,
    detail: String,
}

impl Received {
    fn ok() -> Self {
        Self {
            result: AckResult::Ok,
            order: None,
            fee: None,
            detail: String::new(),
        }
    }

    fn rejected(detail: impl Into<String>) -> Self {
        Self {
            result: AckResult::Rejected,
            order: None,
            fee: None,
            detail: detail.into(),
        }
    }

    fn about(mut self, order: &OrderId) -> Self {
        self.order = Some(order.clone());
        self
    }

    fn into_parts(self) -> (AckResult, Option<OrderId>, Option<Fen>, String) {
        (self.result, self.order, self.fee, self.detail)
    }
}
