//! Placing, starting, stopping and giving up orders: the commands that go to a pile and what it answers.

use super::{Answer, Handled, Place, Received, Rejected, Turn};
use crate::{
    fact::{Fact, StopCause},
    ids::{OrderId, Outlet, PileId, uuid_v7},
    messages::{AckResult, CommandKind, CommandMessage, Common, ConnectorStatus, Down, PriceEntry, Reply, Swipe},
    notice::Notice,
    order::{self, Basis, Command, FailReason, Illegal, Order, Source, State, Step, Until},
    rating::{self, Reading},
    tariff::{self, Tariff},
    units::{Energy, Fen, Power, Price},
};

/// The same card within this time is one swipe, in milliseconds.
const SWIPE_ONCE_MS: u64 = 10_000;
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

/// What `power` can cost at `price` in `ms` milliseconds, rounded up to the fen: what a connector may still deliver
/// between the station noticing a limit and the pile stopping.
fn margin(power: Power, price: Price, ms: u64) -> Fen {
    let energy = power.energy_in_ms(i64::try_from(ms).unwrap_or(i64::MAX));
    let scaled = i128::from(price.0) * i128::from(energy.0);
    Fen(i64::try_from((scaled + 9_999_999) / 10_000_000).unwrap_or(i64::MAX))
}

/// The energy that `fee` buys at `price`, rounded down; `None` where energy is free.
fn energy_for(fee: Fen, price: Price) -> Option<Energy> {
    (price.0 > 0).then(|| Energy(fee.0.max(0).saturating_mul(10_000_000) / price.0))
}

impl Turn<'_> {
    pub(super) fn place(&mut self, place: Place, source: Source) -> Handled {
        let Place {
            member: member_id,
            outlet,
            prepay,
            until,
        } = place;
        self.check_takes_orders()?;
        let policy = self.policy().clone();
        let member = self
            .site
            .rows
            .member(&member_id)
            .ok_or(Rejected::UnknownMember(member_id.clone()))?;
        if let Some(reason) = &member.blocked {
            return Err(Rejected::MemberBlocked {
                member: member_id,
                reason: reason.clone(),
            });
        }
        let debt = self.site.rows.ledger.debt(&member_id);
        if debt > Fen::ZERO {
            return Err(Rejected::UnpaidDebt {
                member: member_id,
                debt,
            });
        }
        let running = member.open_orders.iter().filter_map(|id| self.order(id));
        if running.filter(|order| order.state.occupies_connector()).count() >= policy.open_orders_max {
            return Err(Rejected::TooManyOpenOrders(member_id));
        }
        let power = self.check_outlet(&outlet)?;
        let tariff = self.tariff_in_force()?.clone();

        let prepay = prepay.unwrap_or(policy.prepay_default);
        if prepay < policy.prepay_min || prepay > policy.prepay_max {
            let (min, max) = (policy.prepay_min, policy.prepay_max);
            return Err(Rejected::PrepayOutsideLimits { prepay, min, max });
        }
        if let Some(fee) = until.fee.filter(|fee| *fee <= Fen::ZERO) {
            return Err(Rejected::NotPositive(fee));
        }
        let margin = margin(power, tariff.highest_price(), policy.notice_ms);
        if prepay <= margin {
            return Err(Rejected::PrepayBelowMargin { prepay, margin });
        }
        let available = self.site.rows.ledger.allowance(&member_id);
        if available < prepay {
            return Err(Rejected::InsufficientFunds {
                needed: prepay,
                available,
            });
        }

        let id = OrderId::new(uuid_v7(self.now.wall.0, self.random.bits())).expect("a UUID is within the rule for ids");
        let funds = prepay - margin;
        let limit_fee = until.fee.map_or(funds, |fee| fee.min(funds));
        self.journal(Fact::OrderPlaced {
            order: id.clone(),
            outlet: outlet.clone(),
            member: member_id,
            tariff: tariff.spec().id.clone(),
            source,
            until,
            limit_fee,
            baseline: self.site.live.last_known_register(&outlet, &self.site.rows),
            start_by: Some(self.now.mono.after_ms(policy.start_timeout_ms)),
        });
        self.journal(Fact::HoldTaken {
            order: id.clone(),
            amount: prepay,
        });
        self.issue(&id, CommandKind::Start, policy.start_timeout_ms);
        self.seen(&id);
        Ok(Answer::Order(id))
    }

    /// Whether the outlet can take an order, and the most it delivers.
    fn check_outlet(&self, outlet: &Outlet) -> Result<Power, Rejected> {
        let known = self.site.rows.piles.get(&outlet.pile).filter(|pile| !pile.removed);
        let pile = known.ok_or_else(|| Rejected::UnknownPile(outlet.pile.clone()))?;
        if let Some(maintenance) = &pile.maintenance {
            let reason = maintenance.reason.clone();
            return Err(Rejected::PileInMaintenance {
                pile: pile.id.clone(),
                reason,
            });
        }
        if !self.site.live.is_online(&pile.id) {
            return Err(Rejected::PileOffline(pile.id.clone()));
        }
        let connector = pile
            .connectors
            .get(&outlet.connector)
            .ok_or_else(|| Rejected::UnknownConnector(outlet.clone()))?;
        let status = self.site.live.outlets.get(outlet).map(|live| live.report.status);
        if connector.faulted || matches!(status, Some(ConnectorStatus::Fault | ConnectorStatus::Unavailable)) {
            return Err(Rejected::ConnectorUnavailable(outlet.clone()));
        }
        if self.site.live.occupied.contains_key(outlet) || status == Some(ConnectorStatus::Charging) {
            return Err(Rejected::ConnectorBusy(outlet.clone()));
        }
        Ok(self.power_of(outlet))
    }

    pub(super) fn tariff_in_force(&self) -> Result<&Tariff, Rejected> {
        tariff::in_force(self.site.rows.tariffs.values(), self.now.wall).ok_or(Rejected::NoTariff)
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

    pub(super) fn stop(&mut self, id: &OrderId, by: String) -> Handled {
        let order = self.known_order(id)?;
        match order.state {
            State::Place => {
                self.fail(id, FailReason::Cancelled);
                self.ask_to_stop(id);
                Ok(Answer::Order(id.clone()))
            }
            State::Charging => {
                let pile_online = self.request_stop(&order, StopCause::Asked { by });
                Ok(Answer::Stopping {
                    order: id.clone(),
                    pile_online,
                })
            }
            state => Err(illegal(id, state, Step::StopAsked)),
        }
    }

    /// Asks a charging order's pile to stop; asking again changes nothing. Returns whether the pile can be reached.
    pub(super) fn request_stop(&mut self, order: &Order, cause: StopCause) -> bool {
        let pile_online = self.site.live.is_online(&order.outlet.pile);
        if !order.stopping {
            self.journal(Fact::StopRequested {
                order: order.id.clone(),
                cause,
                pile_online,
            });
            if !pile_online {
                self.notify(order, Notice::stop_remembered());
            }
            self.seen(&order.id);
        }
        if pile_online {
            self.ask_to_stop(&order.id);
        }
        pile_online
    }

    /// A placed order comes to nothing: the whole hold goes back (S05 §2.1).
    pub(super) fn fail(&mut self, id: &OrderId, reason: FailReason) {
        self.journal(Fact::OrderFailed {
            order: id.clone(),
            reason: reason.clone(),
        });
        let order = self.order(id).expect("the order was in memory a line above").clone();
        self.notify(&order, Notice::failed(&reason));
        self.seen(id);
    }

    pub(super) fn close(&mut self, id: &OrderId, by: &str) -> Handled {
        let order = self.known_order(id)?;
        if order.state != State::Charging {
            return Err(illegal(id, order.state, Step::Estimate));
        }
        let heard = self.site.live.outlets.get(&order.outlet).map(|live| live.received);
        let since = heard
            .into_iter()
            .chain(order.started.as_ref().map(|started| started.mono))
            .max();
        let gone_ms = self.now.mono.ms_since(since.unwrap_or_default());
        let needed_ms = self.policy().gone_ms;
        if self.site.live.is_online(&order.outlet.pile) || gone_ms < needed_ms {
            let hour = 3_600_000;
            return Err(Rejected::PileNotGone {
                order: id.clone(),
                hours: gone_ms / hour,
                needed: needed_ms / hour,
            });
        }
        if !order.stopping {
            let cause = StopCause::Asked { by: by.to_owned() };
            self.journal(Fact::StopRequested {
                order: id.clone(),
                cause,
                pile_online: false,
            });
        }
        self.estimate(id);
        Ok(Answer::Order(id.clone()))
    }

    pub(super) fn reply(&mut self, pile: &PileId, common: &Common, reply: Reply) -> Received {
        let order = Command::order_of(&reply.command_id).and_then(|id| self.order(&id).cloned());
        let Some(order) = order.filter(|order| order.outlet.pile == *pile) else {
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
                self.confirm_start(&order, common);
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
        if is_start && reply.ok && order.state == State::Fail {
            self.ask_to_stop(&order.id);
            return Received::rejected("the order had failed before this reply; stop").about(&order.id);
        }
        let mut received = Received::ok().about(&order.id);
        received.result = AckResult::Duplicate;
        received
    }

    pub(super) fn confirm_start(&mut self, order: &Order, common: &Common) {
        let register = self.site.live.last_known_register(&order.outlet, &self.site.rows);
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
        self.seen(&order.id);
    }

    /// A card starts an order for its member, or stops theirs.
    pub(super) fn card(&mut self, pile: &PileId, swipe: Swipe) -> Received {
        let outlet = Outlet {
            pile: pile.clone(),
            connector: swipe.connector,
        };
        let now = self.now.mono;
        if let Some(presence) = self.site.live.piles.get_mut(pile) {
            let again = presence
                .swipe
                .as_ref()
                .is_some_and(|(card, at)| *card == swipe.card_id && now.ms_since(*at) < SWIPE_ONCE_MS);
            if again {
                return Received {
                    result: AckResult::Duplicate,
                    ..Received::ok()
                };
            }
            presence.swipe = Some((swipe.card_id.clone(), now));
        }
        let Some(member) = self.site.rows.cards.get(&swipe.card_id).cloned().flatten() else {
            self.ignore("unknown_card");
            return Received::rejected("unknown card");
        };
        let here = self
            .site
            .live
            .occupied
            .get(&outlet)
            .and_then(|id| self.order(id))
            .cloned();
        if let Some(order) = here.filter(|order| order.member == member) {
            return match order.state {
                State::Place => {
                    self.fail(&order.id, FailReason::Cancelled);
                    self.ask_to_stop(&order.id);
                    Received::ok().about(&order.id)
                }
                _ => {
                    self.request_stop(&order, StopCause::Card);
                    Received::ok().about(&order.id)
                }
            };
        }
        let allowance = self.site.rows.ledger.allowance(&member);
        let policy = self.policy();
        let prepay = Some(policy.prepay_default.min(allowance).max(policy.prepay_min));
        match self.place(
            Place {
                member,
                outlet,
                prepay,
                until: Until::default(),
            },
            Source::Card,
        ) {
            Ok(Answer::Order(id)) => Received::ok().about(&id),
            Ok(_) => Received::ok(),
            Err(rejected) => Received::rejected(rejected.to_string()),
        }
    }

    /// An estimate takes the record's place: captured from the last reading, the remainder stays held.
    pub(super) fn estimate(&mut self, id: &OrderId) {
        let order = self
            .order(id)
            .expect("an estimate is made for an order in memory")
            .clone();
        let live = self.site.live.outlets.get(&order.outlet);
        let bill = live
            .and_then(|live| live.bill_so_far(&order, &self.site.rows))
            .or_else(|| {
                let at = order.started.as_ref().map_or(order.placed_at, |started| started.at);
                let nothing = Reading {
                    at,
                    register: order.baseline.unwrap_or_default(),
                };
                rating::rate(self.site.rows.tariff_of(&order), nothing, &[], nothing).ok()
            });
        let bill = bill.expect("a session from a reading to itself can always be rated");
        self.journal(Fact::OrderRated {
            order: id.clone(),
            basis: Basis::Estimate,
            bill,
        });
        self.settle_estimate(id);
    }
}

pub(super) fn illegal(order: &OrderId, state: State, step: Step) -> Rejected {
    let illegal = order::next(Some(state), step).err().unwrap_or(Illegal {
        state: Some(state),
        step,
    });
    Rejected::Illegal {
        order: order.clone(),
        illegal,
    }
}
