//! Orders as callers see them, and what they send to place, stop, refund and decide one.

use super::{
    Noticed,
    amounts::{At, Kwh, Yuan, check_not_negative},
    described,
    live::LiveDto,
    unread::UnreadView,
    word,
};
use crate::http::{
    body::{Checked, check_positive, check_reason},
    problem::Problem,
};
use domain::{
    correction::Proposal,
    fact::QuarantineReason,
    ids::{ConnectorNo, MemberId, PileId},
    json,
    order::{Order, OrderItem, State, Until},
    units::Fen,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OrderState {
    /// Money is reserved, the pile has been told to start.
    Place,
    /// Energy flows, or may flow.
    Charging,
    /// Charging is over; an estimate waits for the pile's record.
    Settle,
    /// The money is held until a person decides.
    Review,
    /// Paid in full.
    Payed,
    /// Something is still owed.
    Unpaid,
    /// Never started; the hold was released.
    Fail,
}

impl From<State> for OrderState {
    fn from(state: State) -> Self {
        match state {
            State::Place => Self::Place,
            State::Charging => Self::Charging,
            State::Settle => Self::Settle,
            State::Review => Self::Review,
            State::Payed => Self::Payed,
            State::Unpaid => Self::Unpaid,
            State::Fail => Self::Fail,
        }
    }
}

impl From<OrderState> for State {
    fn from(state: OrderState) -> Self {
        match state {
            OrderState::Place => Self::Place,
            OrderState::Charging => Self::Charging,
            OrderState::Settle => Self::Settle,
            OrderState::Review => Self::Review,
            OrderState::Payed => Self::Payed,
            OrderState::Unpaid => Self::Unpaid,
            OrderState::Fail => Self::Fail,
        }
    }
}

/// A driver's wish to charge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlaceOrder {
    /// Who pays.
    #[schema(value_type = described::MemberId)]
    pub member: MemberId,
    /// At which pile.
    #[schema(value_type = described::PileId)]
    pub pile: PileId,
    /// At which connector of it, counted from 1.
    #[schema(value_type = u8, minimum = 1, example = 1)]
    pub connector: ConnectorNo,
    /// How much to reserve; the site's default if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<described::PositiveYuan>)]
    pub prepay: Option<Yuan>,
    /// Where to stop besides; all that are given apply.
    #[serde(default, deserialize_with = "json::object")]
    pub until: UntilDto,
}

/// The driver's own limits. Charging also ends when the reserved money is used.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = Until)]
pub struct UntilDto {
    /// At this fee.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<described::PositiveYuan>)]
    pub fee: Option<Yuan>,
    /// At this energy.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<described::PositiveKwh>)]
    pub kwh: Option<Kwh>,
    /// After this many minutes of charging.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub minutes: Option<u32>,
    /// At this state of charge, in per cent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 100)]
    pub soc_pct: Option<u8>,
}

impl Checked for PlaceOrder {
    fn check(&self) -> Result<(), Problem> {
        if self.connector.0 == 0 {
            return Err(Problem::field("connector", "connectors are counted from 1"));
        }
        if let Some(Yuan(prepay)) = self.prepay {
            check_positive("prepay", prepay.0, prepay)?;
        }
        if let Some(Yuan(fee)) = self.until.fee {
            check_positive("until.fee", fee.0, fee)?;
        }
        if let Some(Kwh(kwh)) = self.until.kwh {
            check_positive("until.kwh", kwh.0, kwh)?;
        }
        if self.until.minutes == Some(0) {
            return Err(Problem::field("until.minutes", "must be above zero"));
        }
        if self.until.soc_pct.is_some_and(|soc| soc == 0 || soc > 100) {
            return Err(Problem::field("until.soc_pct", "must be from 1 to 100"));
        }
        Ok(())
    }
}

impl From<UntilDto> for Until {
    fn from(until: UntilDto) -> Self {
        Self {
            fee: until.fee.map(|Yuan(fee)| fee),
            kwh: until.kwh.map(|Kwh(kwh)| kwh),
            minutes: until.minutes,
            soc_pct: until.soc_pct,
        }
    }
}

impl From<&Until> for UntilDto {
    fn from(until: &Until) -> Self {
        Self {
            fee: until.fee.map(Yuan),
            kwh: until.kwh.map(Kwh),
            minutes: until.minutes,
            soc_pct: until.soc_pct,
        }
    }
}

/// Money to give back after settlement (售后退款).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefundOrder {
    /// How much; never more than was paid and not yet given back.
    #[schema(value_type = described::PositiveYuan)]
    pub amount: Yuan,
    /// Why.
    pub reason: String,
}

impl Checked for RefundOrder {
    fn check(&self) -> Result<(), Problem> {
        check_positive("amount", self.amount.0.0, self.amount.0)?;
        check_reason("reason", &self.reason)
    }
}

/// A person's decision on an order under review.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DecideReview {
    /// `"as_is"`, or `{"corrected": {"electricity": "3.00", "service": "1.00"}}`.
    pub decision: ReviewDecision,
    /// Why.
    pub reason: String,
}

/// What becomes of the bill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReviewDecision {
    /// It stands.
    AsIs,
    /// It is this, as a new version.
    Corrected(CorrectedBill),
}

/// The bill a person sets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CorrectedBill {
    /// For electricity, zero or more.
    #[schema(value_type = described::YuanOrNone)]
    pub electricity: Yuan,
    /// For service, zero or more.
    #[schema(value_type = described::YuanOrNone)]
    pub service: Yuan,
}

impl Checked for DecideReview {
    fn check(&self) -> Result<(), Problem> {
        if let ReviewDecision::Corrected(bill) = &self.decision {
            check_not_negative("decision.corrected.electricity", bill.electricity)?;
            check_not_negative("decision.corrected.service", bill.service)?;
        }
        check_reason("reason", &self.reason)
    }
}

/// Another bill for an order that was settled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CorrectBill {
    /// For electricity, zero or more.
    #[schema(value_type = described::YuanOrNone)]
    pub electricity: Yuan,
    /// For service, zero or more.
    #[schema(value_type = described::YuanOrNone)]
    pub service: Yuan,
    /// Why.
    pub reason: String,
}

impl Checked for CorrectBill {
    fn check(&self) -> Result<(), Problem> {
        check_not_negative("electricity", self.electricity)?;
        check_not_negative("service", self.service)?;
        check_reason("reason", &self.reason)
    }
}

/// Why a correction that waits is not made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WithdrawCorrection {
    /// Why not.
    pub reason: String,
}

impl Checked for WithdrawCorrection {
    fn check(&self) -> Result<(), Problem> {
        check_reason("reason", &self.reason)
    }
}

/// A correction that waits for a second person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProposalView {
    /// Its number, by which it is approved or withdrawn.
    pub number: u64,
    /// For electricity.
    pub electricity: Yuan,
    /// For service.
    pub service: Yuan,
    /// Both together: what the driver would pay.
    pub fee: Yuan,
    /// Why.
    pub reason: String,
    /// Who wants it; somebody else must approve it.
    pub by: String,
    /// Since when it waits.
    pub at: At,
}

impl From<&Proposal> for ProposalView {
    fn from(proposal: &Proposal) -> Self {
        Self {
            number: proposal.number,
            electricity: Yuan(proposal.electricity),
            service: Yuan(proposal.service),
            fee: Yuan(proposal.bill().total()),
            reason: proposal.reason.clone(),
            by: proposal.by.clone(),
            at: At(proposal.at),
        }
    }
}

/// Money reserved for an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HoldView {
    /// Reserved (冻结).
    pub taken: Yuan,
    /// Became revenue (扣款).
    pub captured: Yuan,
    /// Went back (解冻).
    pub released: Yuan,
    /// Still reserved.
    pub remaining: Yuan,
}

/// Money that moved for an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PaidView {
    /// What the driver is charged, paid or owed.
    pub charged: Yuan,
    /// Of this, still owed (欠费).
    pub debt: Yuan,
    /// Given back after settlement (售后退款).
    pub refunded: Yuan,
    /// What can still be given back.
    pub refundable: Yuan,
}

/// The bill that counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BillSummary {
    /// Which version, counted from 1.
    pub version: usize,
    /// `record`, `estimate` or `correction`.
    #[schema(example = "record")]
    pub basis: String,
    /// What was delivered, where it was rated.
    pub energy_kwh: Option<Kwh>,
    /// For electricity.
    pub electricity: Yuan,
    /// For service.
    pub service: Yuan,
    /// Both together: what the driver pays.
    pub fee: Yuan,
}

/// Why charging ended, as the pile says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EndReason {
    /// The code of the pile contract.
    pub code: u16,
    /// The pile's words.
    pub text: String,
    /// Charging ended abnormally.
    pub abnormal: bool,
}

/// An order (订单).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OrderView {
    /// Its number.
    #[schema(example = "01957c3e-7d5a-7b1e-8c35-2f6b4a1d9e07")]
    pub id: String,
    /// Where it stands.
    pub state: OrderState,
    /// Who pays.
    pub member: String,
    /// At which pile.
    pub pile: String,
    /// At which connector.
    pub connector: u8,
    /// The tariff version it is pinned to.
    pub tariff: String,
    /// How it came about: `api`, `card`, `offline_session` or `quarantine`.
    #[schema(example = "api")]
    pub source: String,
    /// The driver's own limits.
    pub until: UntilDto,
    /// The fee at which the station stops it.
    pub limit_fee: Yuan,
    /// Money reserved for it.
    pub hold: HoldView,
    /// Money that moved for it.
    pub paid: PaidView,
    /// The bill that counts; `null` before it is rated.
    #[schema(required)]
    pub bill: Option<BillSummary>,
    /// A stop has been asked for.
    pub stopping: bool,
    /// The bill is an estimate: the pile's record has not come.
    pub estimated: bool,
    /// Money went back after settlement (已售后).
    pub after_sales: bool,
    /// The station's clock was stepped while it ran.
    pub clock_stepped: bool,
    /// When it was placed.
    pub placed_at: At,
    /// When charging was confirmed.
    #[schema(required)]
    pub started_at: Option<At>,
    /// When charging ended, by the record.
    #[schema(required)]
    pub ended_at: Option<At>,
    /// When its money was last settled.
    #[schema(required)]
    pub settled_at: Option<At>,
    /// Why charging ended, by the record.
    #[schema(required)]
    pub end_reason: Option<EndReason>,
    /// Why it failed.
    #[schema(required)]
    pub failure: Option<Noticed>,
    /// Why a person must look, or had to.
    pub suspicions: Vec<Noticed>,
    /// How many other records came that contradict the one it has.
    pub conflicting_records: usize,
    /// What lies in quarantine about it, or lay there: the last 32 items, oldest first. All of them are in its log.
    pub items: Vec<OrderItemView>,
    /// The fee by which it was first settled: corrections of the bill are measured by it.
    #[schema(required)]
    pub first_settled_fee: Option<Yuan>,
    /// A correction of the bill that waits for a second person.
    #[schema(required)]
    pub correction: Option<ProposalView>,
    /// What of its record could not be read; for a single order only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unread: Option<UnreadView>,
    /// What the driver sees, for a single order that is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub live: Option<LiveDto>,
}

impl From<&Order> for OrderView {
    fn from(order: &Order) -> Self {
        let (hold, paid, ending) = (&order.hold, &order.paid, order.ending.as_ref());
        let conflicts = order.items.iter().filter(|item| item.why == QuarantineReason::Conflict);
        let bill = order.bill().map(|bill| BillSummary {
            version: order.bills.len(),
            basis: word(&bill.basis),
            energy_kwh: bill.detail.as_ref().map(|detail| Kwh(detail.energy)),
            electricity: Yuan(bill.electricity),
            service: Yuan(bill.service),
            fee: Yuan(bill.fee()),
        });
        Self {
            id: order.id.to_string(),
            state: order.state.into(),
            member: order.member.to_string(),
            pile: order.outlet.pile.to_string(),
            connector: order.outlet.connector.0,
            tariff: order.tariff.to_string(),
            source: word(&order.source),
            until: (&order.until).into(),
            limit_fee: Yuan(order.limit_fee),
            hold: HoldView {
                taken: Yuan(hold.taken),
                captured: Yuan(hold.captured),
                released: Yuan(hold.released),
                remaining: Yuan(hold.remaining()),
            },
            paid: PaidView {
                charged: Yuan(paid.charged()),
                debt: Yuan(paid.debt),
                refunded: Yuan(paid.refunded),
                refundable: Yuan(paid.refundable().max(Fen::ZERO)),
            },
            bill,
            stopping: order.stopping,
            estimated: order.estimated,
            after_sales: order.after_sales,
            clock_stepped: order.clock_stepped,
            placed_at: At(order.placed_at),
            started_at: order.started.as_ref().map(|started| At(started.at)),
            ended_at: ending.map(|ending| At(ending.stop.at)),
            settled_at: order.settled_at.map(At),
            end_reason: ending.map(|ending| EndReason {
                code: ending.reason.code,
                text: ending.reason.text.clone(),
                abnormal: ending.reason.is_abnormal(),
            }),
            failure: order.fail.as_ref().map(Noticed::of),
            suspicions: order.suspicions.iter().map(Noticed::of).collect(),
            conflicting_records: order.conflicts.len() + conflicts.count(),
            items: order.items.iter().map(OrderItemView::of).collect(),
            first_settled_fee: order.measured_by().map(|first| Yuan(first.fee)),
            correction: order.proposal.as_ref().map(Into::into),
            unread: None,
            live: None,
        }
    }
}

/// A quarantine item about an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OrderItemView {
    /// Its number: `GET /v1/quarantine/{item}`.
    pub item: u64,
    /// Why it was put aside.
    #[schema(example = "conflict")]
    pub why: String,
    /// Nobody has dealt with it.
    pub open: bool,
}

impl OrderItemView {
    fn of(item: &OrderItem) -> Self {
        Self {
            item: item.item,
            why: item.why.word().to_owned(),
            open: item.open,
        }
    }
}

/// What a stop led to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StopAccepted {
    /// The order.
    pub order: OrderView,
    /// Whether the pile could be reached.
    pub pile_online: bool,
    /// Words for the driver, where the pile is offline and the stop is remembered.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "充电桩离线，已记录停止请求，恢复后按实际用电结算")]
    pub message: Option<String>,
}

/// One line of an order's log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LogEntry {
    /// The number of the fact in the station's journal.
    pub seq: u64,
    /// When it was journaled.
    pub at: At,
    /// What happened, such as `OrderPlaced`.
    pub kind: String,
    /// The whole fact; its fields depend on `kind`.
    #[schema(value_type = Object)]
    pub body: serde_json::Value,
}

/// One point of an order's curve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CurvePoint {
    /// When it was received.
    pub at: At,
    /// Volts × amperes ÷ 1000; `null` where either is unknown.
    #[schema(required)]
    pub power_kw: Option<f64>,
    /// Volts; `null` where the pile did not say, or said what cannot be.
    #[schema(required)]
    pub voltage_v: Option<f64>,
    /// Amperes, likewise.
    #[schema(required)]
    pub current_a: Option<f64>,
    /// The car's state of charge in per cent.
    #[schema(required)]
    pub soc_pct: Option<f64>,
    /// Degrees Celsius at the plug.
    #[schema(required)]
    pub temp_c: Option<f64>,
    /// The register.
    pub meter_kwh: Kwh,
}

/// An order's curve, or a part of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Curve {
    /// In order of time. Live samples reach the disk with a delay of up to 30 s.
    pub points: Vec<CurvePoint>,
    /// Send it as `after` to get what follows; `null` at the end of what there is.
    #[schema(required)]
    pub next: Option<At>,
}
