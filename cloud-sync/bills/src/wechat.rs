//! WeChat's bills: a line of names, a line a trade whose fields begin with a backtick, then the names and the values of totals.

use crate::{
    Expected, Kind, Line, Refusal, Stopped, Why,
    fields::{Columns, after_backticks},
    quoted,
    read::Taker,
    text::Lines,
    values::{agree, agree_count, count, fen, moment, other_merchant, total},
};
use domain::units::Fen;
use std::{borrow::Cow, io::BufRead};

/// The columns of the trade bill that are read (交易账单, all trades).
const TRADE: [&str; 16] = [
    "交易时间",
    "商户号",
    "特约商户号",
    "微信订单号",
    "商户订单号",
    "交易状态",
    "货币种类",
    "微信退款单号",
    "商户退款单号",
    "退款状态",
    "商品名称",
    "手续费",
    "订单金额",
    "申请退款金额",
    "应结订单金额",
    "退款金额",
];
const TRADE_TOTALS: [&str; 6] = [
    "总交易单数",
    "手续费总金额",
    "订单总金额",
    "申请退款总金额",
    "应结订单总金额",
    "退款总金额",
];

/// The columns of the fund bill that are read (资金账单).
const FUND: [&str; 8] = [
    "记账时间",
    "微信支付业务单号",
    "资金流水单号",
    "业务名称",
    "业务类型",
    "收支类型",
    "收支金额(元)",
    "业务凭证号",
];
/// What stands after the payment's numbers in those of a reversal (`REVOKED`, 撤销) that has none of its own: there is one of a payment at
/// most, and no number of anybody's has a `#` in it.
const REVERSAL: &str = "#revoked";
const FUND_TOTALS: [&str; 5] = ["资金流水总笔数", "收入笔数", "收入金额", "支出笔数", "支出金额"];

/// What only the bill of refunds alone has (`REFUND`): its times are those at which was paid.
const OF_REFUNDS: [&str; 2] = ["退款申请时间", "退款成功时间"];
/// What the partners' bills call 特约商户号 in older ones.
const PARTNERS: [&str; 2] = ["子商户号", "特约商户号"];
/// Which bills are taken.
const ALL: &str = "this must be the trade bill of all trades: ask for `ALL` (所有交易账单)";
const FUNDS: &str = "this must be the fund bill (资金账单)";

/// The names of the columns, of which some stand for others.
fn header(text: &str) -> Vec<Cow<'_, str>> {
    let names = text
        .strip_prefix('`')
        .unwrap_or(text)
        .split(',')
        .map(|name| name.trim().trim_start_matches('`'));
    names
        .map(|name| Cow::Borrowed(if name == PARTNERS[0] { PARTNERS[1] } else { name }))
        .collect()
}

/// What every bill of WeChat's has alike: calls `line` for each line, and returns the totals with their line's number.
fn walk<R, E, const N: usize>(
    lines: &mut Lines<R>,
    columns: &[&str],
    totals: [&str; N],
    which: &str,
    mut line: impl FnMut(u64, &Columns, &[Cow<'_, str>]) -> Result<(), Stopped<E>>,
) -> Result<(u64, [String; N]), Stopped<E>>
where
    R: BufRead,
{
    let columns = match lines.next::<E>()? {
        None => return Err(lines.cut("the line that names the columns").into()),
        Some((number, text)) => {
            let names = header(&text);
            if let Some(name) = OF_REFUNDS.iter().find(|name| names.contains(&Cow::Borrowed(**name))) {
                let words = format!("names the column {name}, which the bill of refunds alone has; {which}");
                return Err(Refusal::new(number, Why::Columns, words).into());
            }
            Columns::find(number, &names, columns).map_err(|mut refusal| {
                refusal.words = format!("{}; {which}", refusal.words);
                refusal
            })?
        }
    };
    let names = loop {
        let Some((number, text)) = lines.next::<E>()? else {
            return Err(lines.cut("the line of totals").into());
        };
        if !text.starts_with('`') {
            break Columns::find(number, &header(&text), &totals)?;
        }
        let fields = after_backticks(&text);
        if let Err(refusal) = columns.fit(number, &fields) {
            return Err(if lines.has_end() {
                refusal
            } else {
                lines.cut("the rest of this line")
            }
            .into());
        }
        line(number, &columns, &fields)?;
    };
    let (number, values) = match lines.next::<E>()? {
        None => return Err(lines.cut("the line of totals").into()),
        Some((number, text)) => {
            let fields = after_backticks(&text);
            names.fit(number, &fields)?;
            (number, std::array::from_fn(|at| names.get(&fields, at).to_owned()))
        }
    };
    if let Some((number, _)) = lines.next::<E>()? {
        let words = "comes after the totals, where nothing comes; import each bill by itself";
        return Err(Refusal::new(number, Why::Totals, words).into());
    }
    Ok((number, values))
}

pub(super) fn trade<R, F, E>(mut lines: Lines<R>, expected: &Expected, taker: &mut Taker<F>) -> Result<(), Stopped<E>>
where
    R: BufRead,
    F: FnMut(Line) -> Result<(), E>,
{
    // What is summed and is no part of a line.
    let (mut settled, mut settled_back) = (0, 0);
    let (number, totals) = walk(&mut lines, &TRADE, TRADE_TOTALS, ALL, |number, columns, fields| {
        let get = |at| columns.get(fields, at);
        let amount = |at: usize| fen(number, columns.name(at), get(at));
        if ![get(1), get(2)].contains(&expected.merchant.as_str()) {
            return Err(other_merchant(number, get(1), expected).into());
        }
        if get(6) != "CNY" {
            return Err(other_currency(number, get(6)).into());
        }
        let is_payment = match get(5) {
            "SUCCESS" => true,
            "REFUND" | "REVOKED" => false,
            other => return Err(unknown_word(number, columns.name(5), other).into()),
        };
        let (owed, owed_back) = (amount(14)?, amount(15)?);
        settled += owed;
        settled_back += owed_back;
        let (paid, back, fee) = (amount(12)?, amount(13)?, amount(11)?);
        if paid < 0 || back < 0 || if is_payment { back != 0 } else { paid != 0 } {
            let words = format!("a line of state {} cannot have {} and {}", get(5), get(12), get(13));
            return Err(Refusal::new(number, Why::Value, words).into());
        }
        // A payment has "0" where a refund has its numbers, and a reversal may.
        let own = |own: usize, of: usize| match get(own) {
            _ if is_payment => get(of).to_owned(),
            "" | "0" if get(5) == "REVOKED" => format!("{}{REVERSAL}", get(of)),
            own => own.to_owned(),
        };
        taker.take(Line {
            line: number,
            kind: if is_payment { Kind::Payment } else { Kind::Refund },
            reference: own(7, 3),
            out_no: own(8, 4),
            origin: (!is_payment).then(|| get(4).to_owned()),
            origin_ref: (!is_payment).then(|| get(3).to_owned()),
            number: String::new(),
            amount: Fen(if is_payment { paid } else { -back }),
            settled: Fen(if is_payment { owed } else { -owed_back }),
            fee: Fen(fee),
            status: get(if is_payment { 5 } else { 9 }).to_owned(),
            at: moment(number, (columns.name(0), get(0)), None, expected, false)?,
            name: get(10).to_owned(),
        })
    })?;
    let sums = taker.sums();
    let is = [sums.fees.0, sums.income.0, sums.outgo.0, settled, settled_back];
    agree_count(
        number,
        TRADE_TOTALS[0],
        count(number, TRADE_TOTALS[0], &totals[0])?,
        sums.lines,
    )?;
    for ((what, says), is) in TRADE_TOTALS.iter().zip(&totals).skip(1).zip(is) {
        agree(number, what, total(number, what, says)?, is)?;
    }
    Ok(())
}

pub(super) fn fund<R, F, E>(mut lines: Lines<R>, expected: &Expected, taker: &mut Taker<F>) -> Result<(), Stopped<E>>
where
    R: BufRead,
    F: FnMut(Line) -> Result<(), E>,
{
    let (mut incomes, mut outgoes) = (0, 0);
    let (number, totals) = walk(&mut lines, &FUND, FUND_TOTALS, FUNDS, |number, columns, fields| {
        let get = |at| columns.get(fields, at);
        let amount = fen(number, columns.name(6), get(6))?;
        let amount = match get(5) {
            "收入" if amount >= 0 => {
                incomes += 1;
                amount
            }
            "支出" if amount >= 0 => {
                outgoes += 1;
                -amount
            }
            "收入" | "支出" => {
                let words = format!("{} is {}, below zero", columns.name(6), get(6));
                return Err(Refusal::new(number, Why::Value, words).into());
            }
            other => return Err(unknown_word(number, columns.name(5), other).into()),
        };
        taker.take(Line {
            line: number,
            kind: kind_of_movement(get(4)),
            reference: get(1).to_owned(),
            out_no: get(7).to_owned(),
            origin: None,
            origin_ref: None,
            number: get(2).to_owned(),
            amount: Fen(amount),
            settled: Fen(amount),
            fee: Fen(0),
            status: get(4).to_owned(),
            at: moment(number, (columns.name(0), get(0)), None, expected, false)?,
            name: get(3).to_owned(),
        })
    })?;
    let sums = taker.sums();
    for (at, is) in [(0, sums.lines), (1, incomes), (3, outgoes)] {
        agree_count(
            number,
            FUND_TOTALS[at],
            count(number, FUND_TOTALS[at], &totals[at])?,
            is,
        )?;
    }
    for (at, is) in [(2, sums.income.0), (4, sums.outgo.0)] {
        agree(
            number,
            FUND_TOTALS[at],
            total(number, FUND_TOTALS[at], &totals[at])?,
            is,
        )?;
    }
    Ok(())
}

/// What a movement on the account is about, by the channel's word for it. There are many, and new ones come: what is not known
/// is something else, and not wrong.
pub(super) fn kind_of_movement(word: &str) -> Kind {
    match word {
        word if word.contains("手续费") || word.contains("服务费") || word == "收费" || word == "退费" => {
            Kind::Fee
        }
        word if word.contains("提现") => Kind::Payout,
        word if word.contains("退款") => Kind::Refund,
        "交易" | "交易付款" | "在线支付" => Kind::Payment,
        _ => Kind::Other,
    }
}

pub(super) fn other_currency(number: u64, found: &str) -> Refusal {
    let words = format!(
        "is in {}: wallets have yuan (CNY); this payment cannot be one of ours",
        quoted(found)
    );
    Refusal::new(number, Why::Currency, words)
}

pub(super) fn unknown_word(number: u64, column: &str, found: &str) -> Refusal {
    let words = format!(
        "{column} is {}, which is not known; docs/bills.md lists what is",
        quoted(found)
    );
    Refusal::new(number, Why::Word, words)
}
