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
mod budget;
mod cards;
mod classify;
mod commands;
mod corrections;
mod desk;
mod directives;
mod energy;
mod estimates;
mod faults;
mod heartbeats;
mod input;
mod invariants;
mod leases;
mod live;
mod missing_records;
mod needs;
mod outcome;
mod placing;
mod plain_facts;
mod presence;
mod quarantine;
mod readings;
mod record;
mod rejected;
mod replica;
mod rows;
mod runs;
mod settle;
mod sightings;
mod space;
mod station_clock;
mod stopping;
mod sums;
mod timers;
mod unordered;

pub use directives::WISH_MS;
pub use input::{Decision, Input, Place, Space, Told};
pub use invariants::Violation;
pub use live::{LiveView, OutletLive, Presence, UnorderedWatch};
pub use outcome::{Answer, Effect, Outcome};
pub use readings::{DoubtKind, RegisterDoubt};
pub use rejected::Rejected;
pub use replica::{Contradiction, NotFollowed, Replica};
pub use rows::{Changes, Key, Loaded, Rows};

use crate::{
    fact::Fact,
    ids::{OrderId, Outlet, PileId, Randomness},
    journal::Stamp,
    messages::{Ack, AckResult, Down, Up, UpMessage},
    notice::Notice,
    order::Order,
    planted::{Bug, is_planted},
    policy::Policy,
    settlement::Split,
    time::{Mono, Now, Wall},
    units::Fen,
};
use live::Live;
use quarantine::Closing;
use record::Said;
use rows::Kept;
use runs::Heard;

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

    /// The order that occupies a connector.
    pub fn order_at(&self, outlet: &Outlet) -> Option<&Order> {
        self.rows.order(self.live.occupied.get(outlet)?)
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

    /// What the clocks showed when an earlier run last wrote anything, a fact or not: the first step of the wall clock is
    /// measured from there.
    pub fn was_written_at(&mut self, then: Now) {
        self.live.written = Some(then);
    }

    /// The station was restored from a copy at this elapsed time, and head office's entries beyond it were applied: piles
    /// may have said since then what nobody heard. No deadline that an order has from before fires until its pile has been
    /// heard, or the whole time has run anew.
    pub fn was_restored_at(&mut self, then: Mono) {
        self.live.restored = Some(then);
    }

    /// The last journal entry says that the station was restored from a copy: nobody knows how long it was off before that.
    pub fn was_just_restored(&mut self) {
        self.live.just_restored = true;
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
        let speaks = input.pile().cloned();
        let answer = turn.dispatch(input);
        if let Some(pile) = speaks {
            turn.charge(&pile, own_facts);
        }
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
            Input::StopSent { order, cause } => self.stop_sent(&order, cause),
            Input::Close { order, by } => self.close(&order, &by),
            of_bill @ (Input::Decide { .. }
            | Input::Refund { .. }
            | Input::CorrectBill { .. }
            | Input::ApproveCorrection { .. }
            | Input::WithdrawCorrection { .. }) => self.dispatch_bill(of_bill),
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
            Input::RegisterMember { member, name, by } => self.register_member(member, name, by),
            Input::BlockMember { member, reason, by } => self.block_member(member, reason, by),
            of_desk @ (Input::TopUp { .. }
            | Input::PayDebt { .. }
            | Input::ReverseTopUp { .. }
            | Input::OpenShift { .. }
            | Input::CountCash { .. }
            | Input::BankCash { .. }
            | Input::CloseShift { .. }) => self.dispatch_desk(of_desk),
            Input::BindCard { card, member, by } => self.bind_card(card, member, by),
            Input::UnbindCard { card, by } => self.unbind_card(card, by),
            Input::AddTariff { tariff, by } => self.add_tariff(tariff, by),
            Input::ProvisionPile { pile, by } => self.provision_pile(pile, by),
            Input::RemovePile { pile, by } => self.remove_pile(pile, by),
            Input::SetMaintenance { pile, reason, by } => self.set_maintenance(pile, reason, by),
            Input::ClearMeter { pile, reason, by } => self.clear_meter(pile, reason, by),
            Input::ClockTrust(trusted) => self.clock_trust(trusted),
            Input::CertainTime(wall) => self.certain_time(wall),
            Input::ConfirmClock { by } => self.confirm_clock(by),
            Input::Space(space) => self.space(space),
            Input::Tick => self.tick(),
            Input::TakenOver { pile } => self.taken_over(&pile),
            Input::HeadOfficeSeen(hq_epoch) => self.head_office_seen(hq_epoch),
            Input::Directive(told) => self.directive(*told),
            Input::TakeVoucher { voucher, epoch } => self.take_voucher(*voucher, &epoch),
            Input::CloseVouchers { certainly } => self.close_vouchers(certainly),
            Input::LiftOwes { member, receipt, by } => self.lift_owes(member, receipt, by),
            Input::Line(up) => {
                self.site.live.line_up = up;
                Ok(Answer::Done)
            }
        }
    }

    /// What people do about an order's bill once it is there.
    fn dispatch_bill(&mut self, input: Input) -> Handled {
        match input {
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
            other => unreachable!("dispatch() sends only what is about a bill: {other:?}"),
        }
    }

    /// What the desk does with money.
    fn dispatch_desk(&mut self, input: Input) -> Handled {
        match input {
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
            other => unreachable!("dispatch() sends only what the desk does: {other:?}"),
        }
    }

    fn message(&mut self, pile: &PileId, mut message: UpMessage) -> Handled {
        let known = self.known_pile(pile).is_ok();
        let beyond_budget = known && self.has_spent_budget(pile);
        if let (true, Up::Heartbeat(heartbeat)) = (beyond_budget, &mut message.body)
            && !self.heartbeat_beyond_budget(pile, heartbeat)
        {
            return Ok(Answer::Done);
        }
        let mut heard = Heard::Late;
        if !known {
            self.ignore("unknown_pile");
        } else if !(beyond_budget && matches!(message.body, Up::Boot(_))) {
            heard = self.heard(pile, &message);
        }
        let UpMessage {
            common,
            body,
            unread,
            digest,
        } = message;
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
            Up::Boot(_) if beyond_budget => self.boot_beyond_budget(pile),
            Up::Event(event) if beyond_budget => self.event_beyond_budget(pile, &event),
            Up::Boot(boot) => self.boot(pile, &common, heard, boot),
            Up::Reply(reply) => self.reply(pile, &common, reply),
            Up::Record(record) => {
                let said = Said { record, digest, unread };
                self.record(pile, &common, said)?
            }
            Up::Event(event) => self.event(pile, &common, event),
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
