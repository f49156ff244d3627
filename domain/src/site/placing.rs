//! Whether an order may be placed: by this member, at this outlet, with this prepayment.
//! What is placed holds the prepayment and sends the start.

use super::{Answer, Handled, Place, Rejected, Turn};
use crate::{
    fact::Fact,
    ids::{MemberId, OrderId, Outlet, uuid_v7},
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
        self.check_member(&member_id)?;
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
            meter: self
                .site
                .rows
                .connector(&outlet)
                .map(|connector| connector.meters_before),
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

    /// Whether the member may place another order, whatever it costs.
    fn check_member(&self, id: &MemberId) -> Result<(), Rejected> {
        let member = self.site.rows.member(id);
        let member = member.ok_or_else(|| Rejected::UnknownMember(id.clone()))?;
        if let Some(reason) = &member.blocked {
            return Err(Rejected::MemberBlocked {
                member: id.clone(),
                reason: reason.clone(),
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
