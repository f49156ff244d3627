//! Bills as channels write them, of what a test wants to be in them; and files that are wrong, each in one way. The parsers' own
//! tests take this file too.

use encoding_rs::GBK;
use flate2::{Compression, write::GzEncoder};
use std::io::{Cursor, Write};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

pub(crate) const DAY: &str = "2026-03-09";
pub(crate) const MERCHANT: &str = "1900000001";
/// Our number at Alipay.
pub(crate) const PARTNER: &str = "2088000000000001";

/// A payment, or a refund.
#[derive(Debug, Clone)]
pub(crate) struct Trade {
    /// The time of day, as in `10:00:00`.
    pub(crate) at: String,
    pub(crate) reference: String,
    pub(crate) out_no: String,
    /// Of a refund its own numbers.
    pub(crate) refund: Option<(String, String)>,
    /// Above zero, whichever it is.
    pub(crate) fen: i64,
    /// What the channel kept; of a refund what it gave back, below zero.
    pub(crate) fee: i64,
    pub(crate) name: String,
}

pub(crate) fn payment(n: u64, fen: i64, fee: i64) -> Trade {
    Trade {
        at: format!("{:02}:{:02}:{:02}", n / 3600 % 24, n / 60 % 60, n % 60),
        reference: format!("42000{n:08}"),
        out_no: format!("T{n:08}"),
        refund: None,
        fen,
        fee,
        name: "充电".to_owned(),
    }
}

pub(crate) fn refund(n: u64, of: u64, fen: i64, fee: i64) -> Trade {
    Trade {
        reference: format!("42000{of:08}"),
        out_no: format!("T{of:08}"),
        refund: Some((format!("50000{n:08}"), format!("R{n:08}"))),
        ..payment(n, fen, fee)
    }
}

pub(crate) fn yuan(fen: i64) -> String {
    let sign = if fen < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", fen.abs() / 100, fen.abs() % 100)
}

fn sum(trades: &[Trade], of: impl Fn(&Trade) -> i64) -> i64 {
    trades.iter().map(of).sum()
}

pub(crate) const WECHAT_TRADE: &str = "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,\
    交易状态,付款银行,货币种类,应结订单金额,代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,\
    商品名称,商户数据包,手续费,费率,订单金额,申请退款金额,费率备注";
const WECHAT_TOTALS: &str =
    "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额";

pub(crate) fn wechat_trade(trades: &[Trade]) -> String {
    let mut bill = format!("\u{feff}{WECHAT_TRADE}\r\n");
    for trade in trades {
        let (paid, back) = if trade.refund.is_some() {
            (0, trade.fen)
        } else {
            (trade.fen, 0)
        };
        let none = ("0".to_owned(), "0".to_owned());
        let (refund, out_refund) = trade.refund.clone().unwrap_or(none);
        let (state, how, done) = match trade.refund {
            Some(_) => ("REFUND", "ORIGINAL", "SUCCESS"),
            None => ("SUCCESS", "", ""),
        };
        let at = format!("{DAY} {}", trade.at);
        let (paid, back, fee) = (yuan(paid), yuan(back), format!("{}000", yuan(trade.fee)));
        let fields: [&str; 27] = [
            &at,
            "wx0000000000000001",
            MERCHANT,
            "0",
            "",
            &trade.reference,
            &trade.out_no,
            "o0000000000000000000000000001",
            "JSAPI",
            state,
            "OTHERS",
            "CNY",
            &paid,
            "0.00",
            &refund,
            &out_refund,
            &back,
            "0.00",
            how,
            done,
            &trade.name,
            "",
            &fee,
            "0.60%",
            &paid,
            &back,
            "",
        ];
        bill.push_str(&format!("`{}\r\n", fields.join(",`")));
    }
    let paid = yuan(sum(trades, |trade| if trade.refund.is_none() { trade.fen } else { 0 }));
    let back = yuan(sum(trades, |trade| if trade.refund.is_some() { trade.fen } else { 0 }));
    let fees = format!("{}000", yuan(sum(trades, |trade| trade.fee)));
    let totals = format!("`{},`{paid},`{back},`0.00,`{fees},`{paid},`{back}", trades.len());
    format!("{bill}{WECHAT_TOTALS}\r\n{totals}\r\n")
}

/// A movement on an account: time, the channel's number, the word for it, fen with its sign.
pub(crate) type Movement = (String, String, String, i64);

fn ways(movements: &[Movement]) -> [(usize, i64); 2] {
    let way = |is_in: bool| {
        let of_way = movements.iter().filter(move |(.., fen)| (*fen >= 0) == is_in);
        (of_way.clone().count(), of_way.map(|(.., fen)| fen.abs()).sum())
    };
    [way(true), way(false)]
}

pub(crate) fn wechat_fund(movements: &[Movement]) -> String {
    let mut bill =
        "\u{feff}记账时间,微信支付业务单号,资金流水单号,业务名称,业务类型,收支类型,收支金额(元),账户结余(元),\
        资金变更提交申请人,备注,业务凭证号\r\n"
            .to_owned();
    for (at, reference, word, fen) in movements {
        let way = if *fen >= 0 { "收入" } else { "支出" };
        let fen = yuan(fen.abs());
        bill.push_str(&format!(
            "`{DAY} {at},`{reference},`F{reference},`{word},`{word},`{way},`{fen},`0.00,`system,`,`V{reference}\r\n"
        ));
    }
    let [(came, income), (went, outgo)] = ways(movements);
    let totals = format!(
        "`{},`{came},`{},`{went},`{}",
        movements.len(),
        yuan(income),
        yuan(outgo)
    );
    format!("{bill}资金流水总笔数,收入笔数,收入金额,支出笔数,支出金额\r\n{totals}\r\n")
}

pub(crate) const ALIPAY_TRADE: &str = "支付宝交易号,商户订单号,业务类型,商品名称,创建时间,完成时间,门店编号,门店名称,操作员,终端号,\
    对方账户,订单金额（元）,商家实收（元）,支付宝红包（元）,集分宝（元）,支付宝优惠（元）,商家优惠（元）,券核销金额（元）,券名称,\
    商家红包消费金额（元）,卡消费金额（元）,退款批次号/请求号,服务费（元）,分润（元）,备注";

fn alipay_head(what: &str) -> String {
    format!(
        "#支付宝{what}查询\r\n#账号：[{PARTNER}0156]\r\n\
         #起始日期：[2026年03月09日 00:00:00]   终止日期：[2026年03月10日 00:00:00]\r\n\
         #-----------------------------------------{what}列表----------------------------------------\r\n"
    )
}

fn alipay_end(what: &str) -> String {
    format!("#-----------------------------------------{what}列表结束------------------------------------\r\n")
}

const EXPORTED: &str = "#导出时间：[2026年03月10日 09:12:51]\r\n";

/// As text: the file is GBK.
pub(crate) fn alipay_trade(trades: &[Trade]) -> String {
    let mut bill = alipay_head("业务明细") + ALIPAY_TRADE + "\r\n";
    for trade in trades {
        let (word, sign) = if trade.refund.is_some() {
            ("退款", -1)
        } else {
            ("交易", 1)
        };
        let amount = yuan(trade.fen * sign);
        let request = trade.refund.as_ref().map_or("", |(_, out_no)| out_no);
        let name = match trade.name.contains([',', '"']) {
            true => format!("\"{}\"", trade.name.replace('"', "\"\"")),
            false => trade.name.clone(),
        };
        bill.push_str(&format!(
            "{}\t,{}\t,{word},{name},{DAY} {at},{DAY} {at},,,,,*车(138****0001),{amount},{amount},0.00,0.00,0.00,0.00,0.00,,0.00,\
             0.00,{request}\t,{},0.00,\r\n",
            trade.reference,
            trade.out_no,
            yuan(-trade.fee),
            at = trade.at,
        ));
    }
    let count = |refunds: bool| trades.iter().filter(|trade| trade.refund.is_some() == refunds).count();
    let paid = yuan(sum(trades, |trade| if trade.refund.is_none() { trade.fen } else { 0 }));
    let back = yuan(sum(trades, |trade| if trade.refund.is_some() { -trade.fen } else { 0 }));
    bill + &alipay_end("业务明细")
        + &format!(
            "#交易合计：{}笔，商家实收共{paid}元，商家优惠共0.00元\r\n",
            count(false)
        )
        + &format!(
            "#退款合计：{}笔，商家实收退款共{back}元，商家优惠退款共0.00元\r\n",
            count(true)
        )
        + EXPORTED
}

/// As text: the file is GBK.
pub(crate) fn alipay_fund(movements: &[Movement]) -> String {
    let mut bill = alipay_head("账务明细")
        + "账务流水号,业务流水号,商户订单号,商品名称,发生时间,对方账号,收入金额（+元）,支出金额（-元）,账户余额（元）,交易渠道,\
           业务类型,备注\r\n";
    for (at, reference, word, fen) in movements {
        let (came, went) = if *fen >= 0 { (*fen, 0) } else { (0, *fen) };
        let (came, went) = (yuan(came), yuan(went));
        bill.push_str(&format!(
            "F{reference}\t,{reference}\t,T{reference}\t,充电\t,{DAY} {at},*车\t,{came},{went},0.00,支付宝,{word},\r\n"
        ));
    }
    let [(came, income), (went, outgo)] = ways(movements);
    bill + &alipay_end("账务明细")
        + &format!("#支出合计：{went}笔，共-{}元\r\n", yuan(outgo))
        + &format!("#收入合计：{came}笔，共{}元\r\n", yuan(income))
        + EXPORTED
}

pub(crate) fn gbk(text: &str) -> Vec<u8> {
    let (bytes, _, lost) = GBK.encode(text);
    assert!(!lost, "there are characters that GBK has not");
    bytes.into_owned()
}

/// A ZIP with these files in it.
pub(crate) fn zipped(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    for (name, bytes) in files {
        zip.start_file(*name, options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// As WeChat's API packs a bill.
pub(crate) fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

/// A detail with the file of sums that comes with it.
pub(crate) fn alipay_zip(detail: &str) -> Vec<u8> {
    let sums = gbk("#支付宝业务汇总查询\r\n");
    let name = format!("{PARTNER}0156_20260309_业务明细");
    let (detail_name, sums_name) = (format!("{name}.csv"), format!("{name}(汇总).csv"));
    zipped(&[(&sums_name, &sums), (&detail_name, &gbk(detail))])
}

/// Two payments and a refund.
pub(crate) fn trades() -> Vec<Trade> {
    vec![
        payment(36_000, 5_000, 30),
        payment(36_061, 2_000, 12),
        refund(36_120, 36_000, 700, -4),
    ]
}

/// A file that is refused.
pub(crate) struct Wrong {
    pub(crate) what: &'static str,
    pub(crate) format: &'static str,
    pub(crate) bytes: Vec<u8>,
    /// The word of the reason.
    pub(crate) why: &'static str,
    pub(crate) line: Option<u64>,
}

fn without_last_lines(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.split_inclusive('\n').collect();
    all[..all.len() - lines].concat()
}

/// The bill of all trades with the columns that WeChat's bill of refunds has besides.
fn refunds_alone(all: &str) -> String {
    all.replacen(",微信退款单号,", ",退款申请时间,退款成功时间,微信退款单号,", 1)
        .replace(
            "`CNY,`50.00,`0.00,",
            "`CNY,`50.00,`0.00,`2026-03-09 10:02:00,`2026-03-09 10:02:00,",
        )
        .replace(
            "`CNY,`20.00,`0.00,",
            "`CNY,`20.00,`0.00,`2026-03-09 10:02:00,`2026-03-09 10:02:00,",
        )
        .replace(
            "`CNY,`0.00,`0.00,",
            "`CNY,`0.00,`0.00,`2026-03-09 10:02:00,`2026-03-09 10:02:00,",
        )
}

/// Files that are wrong, each in one way.
pub(crate) fn wrong_files() -> Vec<Wrong> {
    let (wechat, alipay) = (wechat_trade(&trades()), alipay_trade(&trades()));
    let movements = [("10:00:00".to_owned(), "1".to_owned(), "交易".to_owned(), 5_000)];
    let (fund, account) = (wechat_fund(&movements), alipay_fund(&movements));
    let of_wechat = |what, text: String, why, line| Wrong {
        what,
        format: "wechat_trade",
        bytes: text.into_bytes(),
        why,
        line,
    };
    let of_alipay = |what, text: String, why, line| Wrong {
        what,
        format: "alipay_trade",
        bytes: alipay_zip(&text),
        why,
        line,
    };
    let replaced = |text: &str, from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    };
    vec![
        Wrong {
            what: "WeChat's bill, saved by a spreadsheet in GBK",
            format: "wechat_trade",
            bytes: gbk(wechat.trim_start_matches('\u{feff}')),
            why: "encoding",
            line: Some(1),
        },
        Wrong {
            what: "Alipay's bill in UTF-8",
            format: "alipay_trade",
            bytes: alipay.clone().into_bytes(),
            why: "encoding",
            line: None,
        },
        of_wechat(
            "a column that is missing",
            replaced(&wechat, ",商户订单号", ""),
            "columns",
            Some(1),
        ),
        of_wechat(
            "a column that has another name",
            replaced(&wechat, ",订单金额,申请", ",订单金额(元),申请"),
            "columns",
            Some(1),
        ),
        of_wechat(
            "a column that is there twice",
            replaced(&wechat, "设备号", "商户订单号"),
            "columns",
            Some(1),
        ),
        of_alipay(
            "a column of Alipay's that is missing",
            replaced(&alipay, ",服务费（元）", ""),
            "columns",
            Some(5),
        ),
        of_wechat("dollars", replaced(&wechat, "`CNY", "`USD"), "currency", Some(2)),
        of_wechat(
            "one payment more than is said",
            replaced(&wechat, "\n`3,", "\n`2,"),
            "totals",
            Some(6),
        ),
        of_wechat(
            "a total that is a fen less",
            replaced(&wechat, ",`70.00,`7.00\r\n", ",`69.99,`7.00\r\n"),
            "totals",
            Some(6),
        ),
        of_wechat(
            "fees that are a fen more",
            replaced(&wechat, "`0.38000", "`0.39000"),
            "totals",
            Some(6),
        ),
        of_alipay(
            "Alipay's total a fen less",
            replaced(&alipay, "实收共70.00", "实收共69.99"),
            "totals",
            Some(10),
        ),
        of_alipay(
            "Alipay's count one more",
            replaced(&alipay, "退款合计：1笔", "退款合计：2笔"),
            "totals",
            Some(11),
        ),
        Wrong {
            what: "a movement's total a fen less",
            format: "wechat_fund",
            bytes: replaced(&fund, "`1,`1,`50.00", "`1,`1,`49.99").into_bytes(),
            why: "totals",
            line: Some(4),
        },
        Wrong {
            what: "a movement's total at Alipay a fen less",
            format: "alipay_fund",
            bytes: gbk(&replaced(&account, "共50.00", "共49.99")),
            why: "totals",
            line: Some(9),
        },
        of_wechat(
            "half a file, without its totals",
            without_last_lines(&wechat, 2),
            "cut",
            Some(4),
        ),
        of_wechat(
            "half a file, without the totals' values",
            without_last_lines(&wechat, 1),
            "cut",
            Some(5),
        ),
        of_wechat(
            "half a file, in the middle of a line",
            wechat[..wechat.find("`OTHERS").unwrap()].to_owned(),
            "cut",
            Some(2),
        ),
        of_wechat("nothing", String::new(), "cut", Some(1)),
        of_alipay(
            "half a file of Alipay's",
            without_last_lines(&alipay, 4),
            "cut",
            Some(8),
        ),
        of_alipay(
            "half a file of Alipay's, without its totals",
            without_last_lines(&alipay, 3),
            "cut",
            Some(9),
        ),
        Wrong {
            what: "half a ZIP",
            format: "alipay_trade",
            bytes: alipay_zip(&alipay)[..400].to_vec(),
            why: "archive",
            line: None,
        },
        of_wechat(
            "another day",
            replaced(&wechat, "`2026-03-09", "`2026-03-08"),
            "day",
            Some(2),
        ),
        of_wechat(
            "a refund of the day after",
            wechat.replacen("`2026-03-09 10:02:00", "`2026-03-10 10:02:00", 1),
            "day",
            Some(4),
        ),
        of_wechat(
            "a refund of the day before",
            wechat.replacen("`2026-03-09 10:02:00", "`2026-03-08 10:02:00", 1),
            "day",
            Some(4),
        ),
        of_wechat(
            "the bill of refunds alone, which has the times of their payments",
            refunds_alone(&wechat),
            "columns",
            Some(1),
        ),
        of_wechat(
            "a character that no database takes",
            replaced(&wechat, "充电", "充\0电"),
            "encoding",
            Some(2),
        ),
        of_wechat(
            "a character that moves the cursor",
            replaced(&wechat, "充电", "\u{1b}[2J"),
            "encoding",
            Some(2),
        ),
        of_alipay(
            "a line's end within a line of Alipay's",
            replaced(&alipay, "充电", "充\r电"),
            "encoding",
            Some(6),
        ),
        Wrong {
            what: "half a GZIP",
            format: "wechat_trade",
            bytes: gzipped(wechat.as_bytes())[..300].to_vec(),
            why: "archive",
            line: None,
        },
        Wrong {
            what: "a GZIP that unpacks to a line without an end",
            format: "wechat_trade",
            bytes: gzipped(&vec![b'0'; 32 << 20]),
            why: "too_large",
            line: Some(1),
        },
        of_alipay(
            "another day at Alipay",
            replaced(&alipay, "[2026年03月09日", "[2026年03月08日"),
            "day",
            Some(3),
        ),
        of_wechat(
            "another merchant",
            replaced(&wechat, "`1900000001", "`1900000002"),
            "merchant",
            Some(2),
        ),
        of_alipay(
            "another merchant at Alipay",
            replaced(&alipay, "[2088000000000001", "[2088000000000002"),
            "merchant",
            Some(2),
        ),
        of_wechat(
            "an amount with three places",
            replaced(&wechat, ",`0.60%,`50.00,", ",`0.60%,`50.001,"),
            "decimals",
            Some(2),
        ),
        of_alipay(
            "an amount of Alipay's with three places",
            replaced(&alipay, ",50.00,", ",50.001,"),
            "decimals",
            Some(6),
        ),
        of_wechat(
            "an amount in words",
            replaced(&wechat, ",`0.60%,`50.00,", ",`0.60%,`fifty,"),
            "value",
            Some(2),
        ),
        of_wechat(
            "a line with a field too much",
            replaced(&wechat, "`OTHERS", "`OTHERS,`X"),
            "fields",
            Some(2),
        ),
        of_wechat(
            "a state that nobody knows",
            replaced(&wechat, "`SUCCESS,`OTHERS", "`MAYBE,`OTHERS"),
            "word",
            Some(2),
        ),
        of_wechat("two bills in one file", format!("{wechat}{wechat}"), "totals", Some(7)),
        Wrong {
            what: "a ZIP with two bills",
            format: "alipay_trade",
            bytes: zipped(&[("a.csv", &gbk(&alipay)), ("b.csv", &gbk(&alipay))]),
            why: "archive",
            line: None,
        },
        Wrong {
            what: "a ZIP that unpacks to a line without an end",
            format: "wechat_trade",
            bytes: zipped(&[("a.csv", &vec![b'0'; 32 << 20])]),
            why: "too_large",
            line: Some(1),
        },
        Wrong {
            what: "a ZIP that unpacks to lines with nothing in them",
            format: "wechat_trade",
            bytes: zipped(&[("a.csv", &vec![b'\n'; 6 << 20])]),
            why: "too_large",
            line: None,
        },
    ]
}
