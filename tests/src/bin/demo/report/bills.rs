//! Files of bills as the two channels write them, of what the story wants to be in them.

use super::chain::BANK;
use std::fmt::Write as _;
use world::back_end::{CHANNEL, MERCHANT};

/// A line of a bill: a payment, or a refund of one.
#[derive(Debug, Clone)]
pub(super) struct Line {
    /// The channel's number of the payment.
    pub(super) reference: String,
    /// Our number of it.
    pub(super) out_no: String,
    /// Above zero, whichever it is.
    pub(super) fen: i64,
    /// What the channel keeps of it.
    pub(super) fee: i64,
    /// Of a refund its own number.
    pub(super) refund: Option<String>,
    /// What became of it, in the bank's words.
    pub(super) status: &'static str,
}

impl Line {
    /// A payment of which the channel keeps what was agreed on: 0.6 %, rounded half away from zero.
    pub(super) fn paid(reference: &str, out_no: &str, fen: i64) -> Self {
        Self {
            reference: reference.to_owned(),
            out_no: out_no.to_owned(),
            fen,
            fee: (fen * 6_000 + 500_000) / 1_000_000,
            refund: None,
            status: "成功",
        }
    }

    /// What is given back of it.
    pub(super) fn refunded(&self, reference: &str, fen: i64) -> Self {
        Self {
            fen,
            fee: 0,
            refund: Some(reference.to_owned()),
            ..self.clone()
        }
    }
}

/// An amount in yuan.
pub(super) fn yuan(fen: i64) -> String {
    domain::units::Fen(fen).to_string()
}

/// What reaches the bank of the lines of a day: what is owed, less the fee.
pub(super) fn net(lines: &[Line]) -> i64 {
    let of = |line: &Line| match line.refund {
        Some(_) => -line.fen - line.fee,
        None => line.fen - line.fee,
    };
    lines.iter().map(of).sum()
}

/// The channel's bill of a day: its name in the folder of bills, and its text.
pub(super) fn file(channel: &str, day: &str, lines: &[Line]) -> (String, String) {
    match channel {
        BANK => (format!("{day}.csv"), csv(day, lines)),
        _ => (format!("{day}.{CHANNEL}_trade.csv"), wechat_trade(day, lines)),
    }
}

fn sum(lines: &[Line], of: impl Fn(&Line) -> i64) -> String {
    yuan(lines.iter().map(of).sum())
}

const WECHAT_TRADE: &str = "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,\
    货币种类,应结订单金额,代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,手续费,\
    费率,订单金额,申请退款金额,费率备注";
const WECHAT_TOTALS: &str =
    "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额";

/// WeChat's bill of all trades of a day, as docs/bills.md has it.
fn wechat_trade(day: &str, lines: &[Line]) -> String {
    let mut bill = format!("\u{feff}{WECHAT_TRADE}\r\n");
    let paid = |line: &Line| if line.refund.is_some() { 0 } else { line.fen };
    let back = |line: &Line| if line.refund.is_some() { line.fen } else { 0 };
    for (n, line) in lines.iter().enumerate() {
        let (state, how, done) = match line.refund {
            Some(_) => ("REFUND", "ORIGINAL", "SUCCESS"),
            None => ("SUCCESS", "", ""),
        };
        let none = "0".to_owned();
        let refund = line.refund.as_ref().unwrap_or(&none);
        let out_refund = line
            .refund
            .as_ref()
            .map_or(none.clone(), |refund| format!("our-{refund}"));
        let (paid, back, fee) = (yuan(paid(line)), yuan(back(line)), yuan(line.fee));
        let (reference, out_no) = (&line.reference, &line.out_no);
        let _infallible = write!(
            bill,
            "`{day} 12:{n:02}:00,`wx0000000000000001,`{MERCHANT},`0,`,`{reference},`{out_no},`o0000000000000000000000000001,`JSAPI,\
             `{state},`OTHERS,`CNY,`{paid},`0.00,`{refund},`{out_refund},`{back},`0.00,`{how},`{done},`充电,`,`{fee}000,`0.60%,\
             `{paid},`{back},`\r\n"
        );
    }
    let (paid, back, fees) = (sum(lines, paid), sum(lines, back), sum(lines, |line| line.fee));
    let totals = format!("`{},`{paid},`{back},`0.00,`{fees}000,`{paid},`{back}", lines.len());
    format!("{bill}{WECHAT_TOTALS}\r\n{totals}\r\n")
}

/// The bank's file of a day, with the columns that head office's configuration names.
fn csv(day: &str, lines: &[Line]) -> String {
    let mut bill = "类型,流水号,订单号,退货流水号,退货单号,时间,金额,手续费,商户号,币种,状态\r\n".to_owned();
    for (n, line) in lines.iter().enumerate() {
        let kind = if line.refund.is_some() { "退货" } else { "消费" };
        let refund = line.refund.clone().unwrap_or_default();
        let out_refund = line
            .refund
            .as_ref()
            .map_or(String::new(), |refund| format!("our-{refund}"));
        let _infallible = write!(
            bill,
            "{kind},{},{},{refund},{out_refund},{day} 12:{n:02}:00,{},{},{MERCHANT},CNY,{}\r\n",
            line.reference,
            line.out_no,
            yuan(line.fen),
            yuan(line.fee),
            line.status
        );
    }
    let (amounts, fees) = (sum(lines, |line| line.fen), sum(lines, |line| line.fee));
    bill + &format!("合计,,,,,,{amounts},{fees},,,\r\n")
}
