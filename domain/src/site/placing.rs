//! Whether an order may be placed: by this member, at this outlet, with this prepayment.
//! What is placed holds the prepayment and sends the start.

use super::{Answer, Handled, Place, Rejected, Turn};
use crate::{
    fact::Fact,
    ids::{MemberId, OrderId, Outlet, TariffId, uuid_v7},
    messages::{CommandKind, ConnectorStatus},
    order::Source,
    tariff::{self, Tariff},
    units::{Fen, Power, Price},
};

/// What `power` can cost at `price` in `ms` milliseconds, rounded up to the fen: what a connector may still deliver
/// between the station noticing a limit and the pile stopping.
fn margin(power: Power, price: Price, ms: u64) -> Fen {
    let energy = power.energy_in_ms(i64::try_from(ms).unwrap_or(i64::MAX));
    let scaled = i128::from(price.0) * i128::from(energy.0);
    Fen(i64::try_from((scaled + 9_999_999) / 10_000_000).unwrap_or(i64::MAX))
}

/// An order that may be placed.
pub(super) struct Placing {
    place: Place,
    /// What is reserved.
    prepay: Fen,
    /// What of it the connector may still deliver while it is being stopped.
    margin: Fen,
    tariff: TariffId,
}

impl Turn<'_> {
    pub(super) fn place(&mut self, place: Place, source: Source) -> Handled {
        let placing = self.may_place(place, Fen::ZERO)?;
        let id = OrderId::new(uuid_v7(self.now.wall.0, self.random.bits())).expect("a UUID is within the rule for ids");
        self.put(placing, id.clone(), source);
        Ok(Answer::Order(id))
    }

    /// Whether the order may be placed, with so much that comes along with it, and then perhaps with its member.
    pub(super) fn may_place(&self, place: Place, comes_along: Fen) -> Result<Placing, Rejected> {
        self.check_takes_orders()?;
        let policy = self.policy();
        if comes_along == Fen::ZERO || self.site.rows.member(&place.member).is_some() {
            self.check_member(&place.member)?;
        }
        let power = self.check_outlet(&place.outlet)?;
        let tariff = self.tariff_in_force()?;

        let prepay = place.prepay.unwrap_or(policy.prepay_default);
        if prepay < policy.prepay_min || prepay > policy.prepay_max {
            let (min, max) = (policy.prepay_min, policy.prepay_max);
            return Err(Rejected::PrepayOutsideLimits { prepay, min, max });
        }
        if let Some(fee) = place.until.fee.filter(|fee| *fee <= Fen::ZERO) {
            return Err(Rejected::NotPositive(fee));
        }
        let margin = margin(power, tariff.highest_price(), policy.notice_ms);
        if prepay <= margin {
            return Err(Rejected::PrepayBelowMargin { prepay, margin });
        }
        self.check_spendable(&place.member, prepay, comes_along)?;
        let tariff = tariff.spec().id.clone();
        Ok(Placing {
            place,
            prepay,
            margin,
            tariff,
        })
    }

    /// Whether a member has so much here that is neither reserved nor frozen, with what comes along.
    pub(super) fn check_spendable(&self, id: &MemberId, needed: Fen, comes_along: Fen) -> Result<(), Rejected> {
        let rows = &self.site.rows;
        let allowance = rows.ledger.allowance(id);
        let frozen = rows.member(id).map_or(Fen::ZERO, |member| {
            member.frozen(allowance, rows.head_office.alone_since)
        });
        let available = allowance + comes_along;
        if available < needed {
            return Err(Rejected::InsufficientFunds { needed, available });
        }
        match available - frozen < needed {
            true => Err(Rejected::LeasesFrozen {
                member: id.clone(),
                frozen,
            }),
            false => Ok(()),
        }
    }

    /// Places it, reserves the prepayment and sends the start.
    pub(super) fn put(&mut self, placing: Placing, id: OrderId, source: Source) {
        let Placing {
            place: Place {
                member, outlet, until, ..
            },
            prepay,
            margin,
            tariff,
        } = placing;
        let start_timeout_ms = self.policy().start_timeout_ms;
        let funds = prepay - margin;
        let limit_fee = until.fee.map_or(funds, |fee| fee.min(funds));
        self.journal(Fact::OrderPlaced {
            order: id.clone(),
            outlet: outlet.clone(),
            member,
            tariff,
            source,
            until,
            limit_fee,
            baseline: self.site.live.last_known_register(&outlet, &self.site.rows),
            meter: self
                .site
                .rows
                .connector(&outlet)
                .map(|connector| connector.meters_before),
            start_by: Some(self.now.mono.after_ms(start_timeout_ms)),
        });
        self.journal(Fact::HoldTaken {
            order: id.clone(),
            amount: prepay,
        });
        self.issue(&id, CommandKind::Start, start_timeout_ms);
        self.seen(&id);
    }

    /// Whether the member may place another order, whatever it costs.
    fn check_member(&self, id: &MemberId) -> Result<(), Rejected> {
        let member = self.site.rows.member(id);
        let member = member.ok_or_else(|| Rejected::UnknownMember(id.clone()))?;
        if let Some(reason) = member.blocked_for() {
            return Err(Rejected::MemberBlocked {
                member: id.clone(),
                reason: reason.to_owned(),
            });
        }
        if member.owes > Fen::ZERO {
            return Err(Rejected::OwesElsewhere {
                member: id.clone(),
                amount: member.owes,
            });
        }
        let debt = self.site.rows.ledger.debt(id);
        if debt > Fen::ZERO {
            return Err(Rejected::UnpaidDebt {
                member: id.clone(),
                debt,
            });
        }
        let running = member.open_orders.iter().filter_map(|id| self.order(id));
        if running.filter(|order| order.state.occupies_connector()).count() >= self.policy().open_orders_max {
            return Err(Rejected::TooManyOpenOrders(id.clone()));
        }
        Ok(())
    }

    /// Whether the outlet can take an order, and the most it delivers.
    fn check_outlet(&self, outlet: &Outlet) -> Result<Power, Rejected> {
        let known = self.site.rows.piles.get(&outlet.pile).filter(|pile| !pile.removed);
        let pile = known.ok_or_else(|| Rejected::UnknownPile(outlet.pile.clone()))?;
        if let Some(fenced) = pile.fenced_off() {
            return Err(Rejected::PileInMaintenance {
                pile: pile.id.clone(),
                reason: fenced.reason,
            });
        }
        if !self.site.live.is_online(&pile.id) {
            return Err(Rejected::PileOffline(pile.id.clone()));
        }
        let connector = self.site.rows.known_connector(outlet)?;
        let status = self.site.live.outlets.get(outlet).map(|live| live.report.status);
        if connector.fault.is_at_fault()
            || matches!(status, Some(ConnectorStatus::Fault | ConnectorStatus::Unavailable))
        {
            return Err(Rejected::ConnectorUnavailable(outlet.clone()));
        }
        if self.site.live.occupied.contains_key(outlet) || status == Some(ConnectorStatus::Charging) {
            return Err(Rejected::ConnectorBusy(outlet.clone()));
        }
        Ok(self.power_of(outlet))
    }

    pub(super) fn tariff_in_force(&self) -> Result<&Tariff, Rejected> {
        tariff::in_force(self.site.rows.tariffs.values(), self.site.tariff_time(self.now)).ok_or(Rejected::NoTariff)
    }
}
