//! Alipay's bills: lines that begin with `#` say whose and when, then names, lines, and again lines with `#` that have the totals.

use crate::{
    Expected, Kind, Line, Refusal, Stopped, Why,
    fields::{Columns, separated},
    quoted,
    read::Taker,
    text::Lines,
    values::{agree, agree_count, count, fen, moment, other_day, other_merchant, total},
    wechat::{kind_of_movement, unknown_word},
};
use domain::units::Fen;
use std::{borrow::Cow, io::BufRead};

/// The columns of the detail of trades that are read (业务明细).
const TRADE: [&str; 9] = [
    "支付宝交易号",
    "商户订单号",
    "业务类型",
    "商品名称",
    "完成时间",
    "订单金额（元）",
    "商家实收（元）",
    "退款批次号/请求号",
    "服务费（元）",
];

/// The columns of the detail of the account that are read (账务明细).
const FUND: [&str; 8] = [
    "账务流水号",
    "业务流水号",
    "商户订单号",
    "商品名称",
    "发生时间",
    "收入金额（+元）",
    "支出金额（-元）",
    "业务类型",
];

/// What stands after the account's number where the file is of the merchant's first account.
const ACCOUNT_TAIL: &str = "0156";

/// A line that begins with `#`, without that, the commas that a spreadsheet leaves, and full-width punctuation.
fn remark(text: &str) -> Option<String> {
    let text = text.trim().strip_prefix('#')?.trim_matches(['#', ',', ' ', '\t']);
    Some(
        text.replace('：', ":")
            .replace('，', ",")
            .replace('（', "(")
            .replace('）', ")"),
    )
}

/// What stands between two texts.
fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(found, _)| found.trim())
}

/// What the lines before the names must say.
#[derive(Default)]
struct Head {
    title: bool,
    account: bool,
    period: bool,
}

impl Head {
    /// Reads one of them.
    fn read(&mut self, number: u64, text: &str, title: &str, expected: &Expected) -> Result<(), Refusal> {
        self.title |= text.contains(title);
        if let Some(account) = between(text, "账号:[", "]") {
            let own = expected.merchant.as_str();
            let is_own = account == own || account.strip_suffix(ACCOUNT_TAIL) == Some(own);
            if !is_own {
                return Err(other_merchant(number, account, expected));
            }
            self.account = true;
        }
        if let Some(from) = between(text, "起始日期:[", "]") {
            let until = between(text, "终止日期:[", "]").unwrap_or_default();
            let plain = |time: &str| time.replace(['年', '月'], "-").replace('日', "");
            let (day, next) = (expected.day, expected.day.plus(1));
            let until_ends = [format!("{next} 00:00:00"), format!("{day} 23:59:59")];
            if plain(from) != format!("{day} 00:00:00") || !until_ends.contains(&plain(until)) {
                return Err(other_day(number, format!("{from} to {until}"), expected));
            }
            self.period = true;
        }
        Ok(())
    }

    fn is_whole(&self, number: u64, title: &str) -> Result<(), Refusal> {
        let missing = [
            (self.title, format!("#支付宝{title}")),
            (self.account, "#账号".to_owned()),
            (self.period, "#起始日期".to_owned()),
        ];
        match missing.iter().find(|(found, _)| !found) {
            None => Ok(()),
            Some((_, what)) => {
                let words = format!("comes where a line that begins with {what} must stand before it");
                Err(Refusal::new(number, Why::Columns, words))
            }
        }
    }
}

/// What every bill of Alipay's has alike: calls `line` for each line, and returns the remarks after them with their numbers.
fn walk<R, E>(
    lines: &mut Lines<R>,
    title: &str,
    columns: &[&str],
    expected: &Expected,
    mut line: impl FnMut(u64, &Columns, &[Cow<'_, str>]) -> Result<(), Stopped<E>>,
) -> Result<Vec<(u64, String)>, Stopped<E>>
where
    R: BufRead,
{
    const REMARKS_MAX: usize = 32;
    let mut head = Head::default();
    let columns = loop {
        let Some((number, text)) = lines.next::<E>()? else {
            return Err(lines.cut("the line that names the columns").into());
        };
        let found = match remark(&text) {
            Some(remark) => head.read(number, &remark, title, expected).map(|()| None),
            None => head.is_whole(number, title).and_then(|()| {
                let names = separated(number, &text, ',')?;
                Columns::find(number, &names, columns).map(Some)
            }),
        };
        match found {
            Ok(Some(columns)) => break columns,
            Ok(None) => {}
            Err(refusal) => return Err(lines.other_encoding().unwrap_or(refusal).into()),
        }
    };
    let ended = loop {
        let Some((number, text)) = lines.next::<E>()? else {
            return Err(lines.cut("the line with 列表结束 that ends the list").into());
        };
        if let Some(remark) = remark(&text) {
            break (number, remark);
        }
        let fields = separated(number, &text, ',')?;
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
    if !ended.1.contains("列表结束") {
        let words = format!("is {}, where #…列表结束 ends the list", quoted(&ended.1));
        return Err(Refusal::new(ended.0, Why::Cut, words).into());
    }
    let mut remarks = Vec::new();
    while let Some((number, text)) = lines.next::<E>()? {
        match remark(&text) {
            Some(remark) if remarks.len() < REMARKS_MAX => remarks.push((number, remark)),
            _ => {
                let words = "comes after the end of the list, where only totals come";
                return Err(Refusal::new(number, Why::Totals, words).into());
            }
        }
    }
    Ok(remarks)
}

/// Compares a line of totals: how many, and how much stands after `before`.
fn compare<R: BufRead>(
    lines: &Lines<R>,
    remarks: &[(u64, String)],
    (name, before): (&str, &str),
    (number_is, sum_is): (u64, i64),
) -> Result<(), Refusal> {
    let found = remarks.iter().find(|(_, text)| text.starts_with(&format!("{name}:")));
    let (number, text) = found.ok_or_else(|| lines.cut(&format!("the line of totals #{name}")))?;
    let says = between(text, ":", "笔").unwrap_or_default();
    agree_count(*number, name, count(*number, name, says)?, number_is)?;
    let says = between(text, before, "元").unwrap_or_default();
    agree(*number, name, total(*number, name, says)?, sum_is)
}

pub(super) fn trade<R, F, E>(mut lines: Lines<R>, expected: &Expected, taker: &mut Taker<F>) -> Result<(), Stopped<E>>
where
    R: BufRead,
    F: FnMut(Line) -> Result<(), E>,
{
    let (mut payments, mut refunds) = ((0, 0), (0, 0));
    let remarks = walk(
        &mut lines,
        "业务明细查询",
        &TRADE,
        expected,
        |number, columns, fields| {
            let get = |at| columns.get(fields, at);
            let amount = |at: usize| fen(number, columns.name(at), get(at));
            let (paid, received, fee) = (amount(5)?, amount(6)?, amount(8)?);
            let is_payment = match get(2) {
                "交易" => true,
                "退款" => false,
                other => return Err(unknown_word(number, columns.name(2), other).into()),
            };
            if paid != 0 && is_payment != (paid > 0) {
                let words = format!(
                    "{} is {}, which a line of kind {} cannot be",
                    columns.name(5),
                    get(5),
                    get(2)
                );
                return Err(Refusal::new(number, Why::Value, words).into());
            }
            let of_kind = if is_payment { &mut payments } else { &mut refunds };
            of_kind.0 += 1;
            of_kind.1 += received;
            let own = |own: usize, of: usize| if is_payment { get(of) } else { get(own) };
            taker.take(Line {
                line: number,
                kind: if is_payment { Kind::Payment } else { Kind::Refund },
                // A refund has the number of its payment, and a number of ours of its own.
                reference: get(0).to_owned(),
                out_no: own(7, 1).to_owned(),
                origin: (!is_payment).then(|| get(1).to_owned()),
                origin_ref: (!is_payment).then(|| get(0).to_owned()),
                number: String::new(),
                amount: Fen(paid),
                settled: Fen(received),
                // What it kept stands there as what went out.
                fee: Fen(-fee),
                status: get(2).to_owned(),
                at: moment(number, (columns.name(4), get(4)), None, expected, !is_payment)?,
                name: get(3).to_owned(),
            })
        },
    )?;
    compare(&lines, &remarks, ("交易合计", "商家实收共"), payments)?;
    compare(&lines, &remarks, ("退款合计", "商家实收退款共"), refunds)?;
    Ok(())
}

pub(super) fn fund<R, F, E>(mut lines: Lines<R>, expected: &Expected, taker: &mut Taker<F>) -> Result<(), Stopped<E>>
where
    R: BufRead,
    F: FnMut(Line) -> Result<(), E>,
{
    let (mut incomes, mut outgoes) = ((0, 0), (0, 0));
    let remarks = walk(
        &mut lines,
        "账务明细查询",
        &FUND,
        expected,
        |number, columns, fields| {
            let get = |at| columns.get(fields, at);
            let amount = |at: usize| match get(at) {
                "" => Ok(0),
                text => fen(number, columns.name(at), text),
            };
            // What went out has a minus in some files and none in others.
            let (came_in, went_out) = (amount(5)?, amount(6)?.abs());
            if came_in < 0 || (came_in == 0) == (went_out == 0) {
                let words = format!("is neither income nor outgo alone: {} and {}", get(5), get(6));
                return Err(Refusal::new(number, Why::Value, words).into());
            }
            let of_kind = if came_in > 0 { &mut incomes } else { &mut outgoes };
            of_kind.0 += 1;
            of_kind.1 += came_in + went_out;
            taker.take(Line {
                line: number,
                kind: kind_of_movement(get(7)),
                reference: get(1).to_owned(),
                out_no: get(2).to_owned(),
                origin: None,
                origin_ref: None,
                number: get(0).to_owned(),
                amount: Fen(came_in - went_out),
                settled: Fen(came_in - went_out),
                fee: Fen(0),
                status: get(7).to_owned(),
                at: moment(number, (columns.name(4), get(4)), None, expected, false)?,
                name: get(3).to_owned(),
            })
        },
    )?;
    compare(&lines, &remarks, ("收入合计", ",共"), incomes)?;
    let says_minus = |(number, text): &(u64, String)| (*number, text.replace(",共-", ",共"));
    let remarks: Vec<(u64, String)> = remarks.iter().map(says_minus).collect();
    compare(&lines, &remarks, ("支出合计", ",共"), outgoes)?;
    Ok(())
}
