//! Commands to piles and their replies. While a command is valid it is sent again with the same id: a pile acts once.
//! A reply that comes too late starts nothing: the pile is told to stop.

use super::{Received, Turn};
use crate::{
    fact::Fact,
    ids::{OrderId, PileId},
    messages::{AckResult, CommandKind, CommandMessage, Common, Down, PriceEntry, Reply},
    order::{Command, FailReason, Order, State},
    planted::{Bug, is_planted},
    plausible::Source,
    rating::Reading,
    units::{Energy, Fen, Price},
};

/// How long a stop is worth sending before it is issued anew, in milliseconds.
const STOP_TTL_MS: u64 = 60_000;
/// How long new limits are worth sending, in milliseconds.
const LIMIT_TTL_MS: u64 = 60_000;
/// How long before the pile would stop by itself its limit is raised, in milliseconds of full power.
const LIMIT_AHEAD_MS: i64 = 120_000;
/// The least by which a limit is raised: 0.1 kWh.
const LIMIT_STEP_MIN: Energy = Energy(1_000);
/// How long a request for a record is worth sending, in milliseconds.
const REQUEST_TTL_MS: u64 = 600_000;

/// The energy that `fee` buys at `price`, rounded down; `None` where energy is free.
fn energy_for(fee: Fen, price: Price) -> Option<Energy> {
    (price.0 > 0).then(|| Energy(fee.0.max(0).saturating_mul(10_000_000) / price.0))
}

impl Turn<'_> {
    /// Issues a command for an order and sends it if the pile is there.
    pub(super) fn issue(&mut self, id: &OrderId, kind: CommandKind, ttl_ms: u64) {
        let order = self.order(id).expect("commands are issued for orders in memory");
        let mut command = Command {
            id: Command::id_for(id, kind, order.command_count + 1),
            kind,
            expires: self.now.mono.after_ms(ttl_ms),
            limit_fee: None,
            limit_kwh: None,
        };
        if matches!(kind, CommandKind::Start | CommandKind::Limit) {
            command.limit_fee = Some(order.limit_fee);
            command.limit_kwh = self.energy_limit(order);
        }
        self.journal(Fact::CommandIssued {
            order: id.clone(),
            command: command.clone(),
        });
        self.send_command(id, &command);
    }

    fn send_command(&mut self, id: &OrderId, command: &Command) {
        let order = self.order(id).expect("commands are sent for orders in memory");
        let outlet = order.outlet.clone();
        let prices = if command.kind == CommandKind::Start {
            self.site
                .rows
                .tariff_of(order)
                .day_table(self.now.wall)
                .into_iter()
                .map(PriceEntry::from)
                .collect()
        } else {
            Vec::new()
        };
        if self.site.live.is_online(&outlet.pile) {
            let message = CommandMessage {
                command_id: command.id.clone(),
                kind: command.kind,
                ttl_ms: command.expires.ms_since(self.now.mono),
                order_id: id.clone(),
                connector: outlet.connector,
                limit_fee: command.limit_fee,
                limit_kwh: command.limit_kwh,
                prices,
            };
            self.send(&outlet.pile, Down::Command(message));
        }
    }

    /// After a `boot`: what is still worth doing goes again, with the same id and what is left of its time.
    pub(super) fn resend_commands(&mut self, pile: &PileId) {
        // What happens to be in memory of ended orders decides nothing: a heartbeat that charges one stops it.
        let open: Vec<OrderId> = self
            .site
            .rows
            .orders()
            .filter(|order| order.outlet.pile == *pile && order.state.is_open())
            .map(|order| order.id.clone())
            .collect();
        for id in open {
            let Some(order) = self.order(&id) else { continue };
            let (commands, stopping) = (order.commands.clone(), order.stopping && order.state == State::Charging);
            let now = self.now.mono;
            for command in commands
                .iter()
                .filter(|command| command.expires > now && command.kind != CommandKind::Stop)
            {
                self.send_command(&id, command);
            }
            if stopping {
                self.ask_to_stop(&id);
            }
        }
    }

    /// Sends the stop that is still valid, with the same id, or issues a new one: a pile acts on an id once, and one that
    /// charges on may never have got it.
    pub(super) fn ask_to_stop(&mut self, id: &OrderId) {
        let now = self.now.mono;
        let Some(order) = self.order(id) else { return };
        match order.valid_command(CommandKind::Stop, now).cloned() {
            Some(command) => self.send_command(id, &command),
            None => self.issue(id, CommandKind::Stop, STOP_TTL_MS),
        }
    }

    /// Asks for a record unless that was asked lately.
    pub(super) fn request_record_once(&mut self, id: &OrderId) {
        let now = self.now.mono;
        if self
            .order(id)
            .is_some_and(|order| order.valid_command(CommandKind::RequestRecord, now).is_none())
        {
            self.issue(id, CommandKind::RequestRecord, REQUEST_TTL_MS);
        }
    }

    /// Raises the pile's own limit on the energy while the session is cheaper than the worst that was assumed, shortly
    /// before the pile would stop by itself.
    pub(super) fn raise_limit(&mut self, id: &OrderId, energy: Energy) {
        let Some(order) = self.order(id) else { return };
        let Some(told) = order.limit_kwh else { return };
        let power = self.power_of(&order.outlet);
        if energy + power.energy_in_ms(LIMIT_AHEAD_MS) < told {
            return;
        }
        // Steps worth a command, so that the last of the money does not cost one with every heartbeat.
        let step = power.energy_in_ms(LIMIT_AHEAD_MS / 4).max(LIMIT_STEP_MIN);
        let raised = self.energy_limit(order).is_some_and(|limit| limit >= told + step);
        if raised && self.site.live.is_online(&order.outlet.pile) {
            self.issue(id, CommandKind::Limit, LIMIT_TTL_MS);
        }
    }

    /// The energy that an order can pay for, whatever the hour: what it has had, and the rest of its money at the highest
    /// price.
    fn energy_limit(&self, order: &Order) -> Option<Energy> {
        let live = self.site.live.outlets.get(&order.outlet);
        let bill = live.and_then(|live| live.bill_so_far(order, &self.site.rows));
        let (energy, fee) = bill.map_or((Energy::ZERO, Fen::ZERO), |bill| (bill.energy, bill.fee));
        let by_fee = energy_for(order.limit_fee - fee, self.site.rows.tariff_of(order).highest_price());
        let by_fee = by_fee.map(|rest| energy + rest);
        let own = order.until.kwh.map(|kwh| kwh.max(Energy::ZERO));
        by_fee.into_iter().chain(own).min()
    }

    pub(super) fn reply(&mut self, pile: &PileId, common: &Common, reply: Reply) -> Received {
        let order = Command::order_of(&reply.command_id).and_then(|id| self.order(&id).cloned());
        let Some(order) = order.filter(|order| order.outlet.pile == *pile) else {
            if self.is_unordered_stop(pile, &reply.command_id) {
                return Received::ok();
            }
            self.ignore("reply_to_unknown_command");
            return Received::rejected("no such command of this station");
        };
        let Some(command) = order.commands.iter().find(|command| command.id == reply.command_id) else {
            return self.late_reply(&order, &reply);
        };
        let kind = command.kind;
        let expired = command.expires <= self.now.mono;
        self.journal(Fact::CommandAnswered {
            order: order.id.clone(),
            command: reply.command_id.clone(),
            ok: reply.ok,
            code: reply.code,
            message: reply.message.clone(),
        });
        if kind == CommandKind::Start && order.state == State::Place {
            if expired && reply.ok {
                self.fail(&order.id, FailReason::TimedOut);
                self.ask_to_stop(&order.id);
                return Received::rejected("the start had timed out; stop").about(&order.id);
            }
            if reply.ok {
                let first = reply.meter_kwh.filter(|register| {
                    // Bounded by what the connector can deliver, as every reading is.
                    self.read_register(&order.outlet, *register, Source::Heartbeat)
                        .is_believed()
                });
                self.confirm_start(&order, common, first);
            } else {
                self.fail(
                    &order.id,
                    FailReason::Refused {
                        code: reply.code,
                        message: reply.message,
                    },
                );
            }
        }
        Received::ok().about(&order.id)
    }

    /// A reply to a command that is not waiting any more.
    fn late_reply(&mut self, order: &Order, reply: &Reply) -> Received {
        let is_start = reply.command_id.as_str().contains(":start:");
        if is_start && reply.ok && order.state == State::Fail && self.may_stop_late(order) {
            self.ask_to_stop(&order.id);
            return Received::rejected("the order had failed before this reply; stop").about(&order.id);
        }
        let mut received = Received::ok().about(&order.id);
        received.result = AckResult::Duplicate;
        received
    }

    /// `first` is the register under this order, where the message that confirms the start has it. What was read before
    /// is not the driver's: energy may have flowed since.
    pub(super) fn confirm_start(&mut self, order: &Order, common: &Common, first: Option<Energy>) {
        let register = match is_planted(Bug::ChargeTheGap) {
            true => self.site.live.last_known_register(&order.outlet, &self.site.rows),
            false => first,
        };
        self.journal(Fact::StartAcknowledged {
            order: order.id.clone(),
            register,
            boot_id: Some(common.boot_id.clone()),
        });
        if let Some(live) = self.site.live.outlets.get_mut(&order.outlet) {
            let first = register.map(|register| Reading {
                at: self.now.wall,
                register,
            });
            live.begin(&order.id, self.site.rows.tariff_of(order), first);
        }
        self.watch_silence(&order.outlet, self.now.mono);
        self.seen(&order.id);
    }
}
