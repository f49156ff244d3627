//! What a driver is told, in the words of the user's documents.

use crate::{messages::StopReason, order::FailReason, units::Fen};
use serde::{Deserialize, Serialize};

/// One message to a driver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Stable, for programs.
    pub key: NoticeKey,
    /// For the driver.
    pub text: String,
}

/// What a notice is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKey {
    /// The pile did not answer.
    StartTimedOut,
    /// The pile said no.
    StartRefused,
    /// The order was cancelled.
    Cancelled,
    /// The order was settled and the rest given back.
    Settled,
    /// As above, after a fault.
    AbnormalEnd,
    /// More was delivered than could be paid.
    InDebt,
    /// The order waits for a person.
    UnderReview,
    /// Settled for now without the pile's record.
    Estimated,
    /// A better reading changed the bill.
    Rerated,
    /// A debt was paid.
    DebtCleared,
    /// Money was given back.
    Refunded,
    /// The station cannot reach the pile; the stop is remembered.
    StopRemembered,
}

impl Notice {
    /// The order failed (S05 §2.1 for the time-out).
    pub fn failed(reason: &FailReason) -> Self {
        let (key, text) = match reason {
            FailReason::TimedOut => (NoticeKey::StartTimedOut, "启动超时，请重试".to_owned()),
            FailReason::Refused { message, .. } if message.is_empty() => {
                (NoticeKey::StartRefused, "充电桩拒绝启动，预付款已退回".to_owned())
            }
            FailReason::Refused { message, .. } => (
                NoticeKey::StartRefused,
                format!("充电桩拒绝启动（{message}），预付款已退回"),
            ),
            FailReason::Cancelled => (NoticeKey::Cancelled, "订单已取消，预付款已退回".to_owned()),
            FailReason::NeverStarted => (NoticeKey::StartRefused, "充电未能开始，预付款已退回".to_owned()),
        };
        Self { key, text }
    }

    /// The order was settled (S03 §3.1, S05 §2.3, §4.1). `returned` is what went back of the prepayment: nobody is told of
    /// money that did not.
    pub fn settled(reason: Option<&StopReason>, fee: Fen, returned: Fen, debt: Fen) -> Self {
        if debt > Fen::ZERO {
            let text = format!("充电已结束，费用 {fee} 元，余额不足，欠费 {debt} 元，请补缴");
            return Self {
                key: NoticeKey::InDebt,
                text,
            };
        }
        if reason.is_some_and(StopReason::is_abnormal) {
            let text = match returned > Fen::ZERO {
                true => "充电异常结束，余额已退回".to_owned(),
                false => format!("充电异常结束，费用 {fee} 元"),
            };
            return Self {
                key: NoticeKey::AbnormalEnd,
                text,
            };
        }
        Self {
            key: NoticeKey::Settled,
            text: format!("充电已结束，费用 {fee} 元，已退回 {returned} 元"),
        }
    }

    /// The order waits for a person.
    pub fn under_review() -> Self {
        Self {
            key: NoticeKey::UnderReview,
            text: "订单需人工审核，确认后再扣费".to_owned(),
        }
    }

    /// The order was settled without the pile's record: `captured` was taken, of `fee` by the last reading.
    pub fn estimated(fee: Fen, captured: Fen) -> Self {
        let text = if fee > captured {
            format!("充电桩未上报记录，按最后读数费用 {fee} 元，暂扣 {captured} 元，收到记录后多退少补")
        } else {
            format!("充电桩未上报记录，暂按 {captured} 元结算，收到记录后多退少补")
        };
        Self {
            key: NoticeKey::Estimated,
            text,
        }
    }

    /// A better reading changed the bill.
    pub fn rerated(fee: Fen, refund: Fen, debt: Fen) -> Self {
        let text = if debt > Fen::ZERO {
            format!("订单已重新计费：{fee} 元，欠费 {debt} 元，请补缴")
        } else if refund > Fen::ZERO {
            format!("订单已重新计费：{fee} 元，已退回 {refund} 元")
        } else {
            format!("订单已重新计费：{fee} 元")
        };
        Self {
            key: NoticeKey::Rerated,
            text,
        }
    }

    /// What was owed for an order has been paid.
    pub fn debt_cleared() -> Self {
        Self {
            key: NoticeKey::DebtCleared,
            text: "欠费已结清".to_owned(),
        }
    }

    /// Money was given back (S05 §4.2).
    pub fn refunded(amount: Fen) -> Self {
        Self {
            key: NoticeKey::Refunded,
            text: format!("售后退款 {amount} 元已退回余额"),
        }
    }

    /// The pile is offline; the stop is remembered (S05 §2.2).
    pub fn stop_remembered() -> Self {
        Self {
            key: NoticeKey::StopRemembered,
            text: "充电桩离线，已记录停止请求，恢复后按实际用电结算".to_owned(),
        }
    }
}
