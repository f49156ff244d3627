//! What is read of bills that a simple writer has written, and what is said of files that are wrong; the samples of `docs/bills.md`.

use super::{archive::read_file, bill_writer::*, mapped::*, *};
use proptest::prelude::*;
use std::{convert::Infallible, io::Cursor};

fn expected(merchant: &str, day: &str) -> Expected {
    Expected {
        merchant: merchant.to_owned(),
        day: day.parse().unwrap(),
        zone: TimeZone::get("Asia/Shanghai").unwrap(),
        mapping: None,
    }
}

fn merchant_of(format: Format) -> &'static str {
    match format.biller() {
        Biller::Alipay => PARTNER,
        Biller::Wechat | Biller::Csv => MERCHANT,
    }
}

fn read_as(format: Format, expected: &Expected, bytes: &[u8]) -> Result<(Vec<Line>, Sums), Refusal> {
    let mut lines = Vec::new();
    let read = read_file(Cursor::new(bytes), format, expected, |line| {
        lines.push(line);
        Ok::<(), Infallible>(())
    });
    match read {
        Ok(sums) => Ok((lines, sums)),
        Err(Stopped::Refused(refusal)) => Err(refusal),
        Err(stopped) => panic!("{stopped:?}"),
    }
}

fn lines_of(format: Format, bytes: &[u8]) -> Result<(Vec<Line>, Sums), Refusal> {
    read_as(format, &expected(merchant_of(format), DAY), bytes)
}

fn at(time: &str) -> Wall {
    Wall::parse(&format!("{DAY}T{time}+08:00")).unwrap()
}

#[test]
fn a_file_that_is_wrong_is_refused_with_its_line_and_reason() {
    for Wrong {
        what,
        format,
        bytes,
        why,
        line,
    } in wrong_files()
    {
        let refusal = lines_of(format.parse().unwrap(), &bytes).expect_err(what);
        assert_eq!(refusal.why.word(), why, "{what}: {refusal}");
        assert!(line.is_none() || refusal.line == line, "{what}: {refusal}");
        assert!(refusal.words.len() > 10, "{what}: {refusal}");
    }
}

#[test]
fn columns_may_stand_in_any_order() {
    let bill = wechat_trade(&trades());
    let (as_written, sums) = lines_of(Format::WechatTrade, bill.as_bytes()).unwrap();
    for turn in 0..27 {
        let turned: Vec<String> = bill
            .trim_start_matches('\u{feff}')
            .lines()
            .map(|line| {
                let (mark, separator) = if line.starts_with('`') { ("`", ",`") } else { ("", ",") };
                let mut fields: Vec<&str> = line.trim_start_matches('`').split(separator).collect();
                fields.reverse();
                let by = turn % fields.len();
                fields.rotate_left(by);
                format!("{mark}{}\n", fields.join(separator))
            })
            .collect();
        let read = lines_of(Format::WechatTrade, turned.concat().as_bytes()).unwrap();
        assert_eq!(read, (as_written.clone(), sums), "{turn}");
    }
}

#[test]
fn a_refund_has_numbers_of_its_own_and_names_its_payment() {
    for (format, bytes) in [
        (Format::WechatTrade, wechat_trade(&trades()).into_bytes()),
        (Format::AlipayTrade, alipay_zip(&alipay_trade(&trades()))),
        (Format::AlipayTrade, gbk(&alipay_trade(&trades()))),
    ] {
        let (lines, sums) = lines_of(format, &bytes).unwrap();
        let [first, _, refund] = &lines[..] else {
            panic!("{lines:?}")
        };
        assert_eq!(
            (first.kind, first.amount, first.fee),
            (Kind::Payment, Fen(5_000), Fen(30))
        );
        assert_eq!(
            (first.out_no.as_str(), &first.origin, first.at),
            ("T00036000", &None, at("10:00:00"))
        );
        assert_eq!(
            (refund.kind, refund.amount, refund.fee),
            (Kind::Refund, Fen(-700), Fen(-4))
        );
        assert_eq!(
            (refund.out_no.as_str(), refund.origin.as_deref()),
            ("R00036120", Some("T00036000"))
        );
        assert_eq!(
            (sums.lines, sums.income, sums.outgo, sums.fees),
            (3, Fen(7_000), Fen(700), Fen(38))
        );
    }
}

#[test]
fn coupons_lessen_what_the_channel_owes_and_not_what_was_paid() {
    let wechat = wechat_trade(&trades())
        .replacen("`CNY,`50.00,", "`CNY,`48.00,", 1)
        .replacen("`R00036120,`7.00,", "`R00036120,`6.72,", 1)
        .replacen("`3,`70.00,`7.00,", "`3,`68.00,`6.72,", 1);
    let alipay = alipay_trade(&trades())
        .replacen(",50.00,50.00,", ",50.00,48.00,", 1)
        .replacen(",-7.00,-7.00,", ",-7.00,-6.72,", 1)
        .replacen("实收共70.00", "实收共68.00", 1)
        .replacen("退款共-7.00", "退款共-6.72", 1);
    for (format, bytes) in [
        (Format::WechatTrade, wechat.into_bytes()),
        (Format::AlipayTrade, gbk(&alipay)),
    ] {
        let (lines, _) = lines_of(format, &bytes).unwrap();
        let both = |line: &Line| (line.amount.0, line.settled.0);
        let is: Vec<_> = lines.iter().map(both).collect();
        assert_eq!(is, [(5_000, 4_800), (2_000, 2_000), (-700, -672)], "{format}");
    }
}

#[test]
fn a_refund_keeps_the_channels_number_of_its_payment() {
    for (format, bytes, refunds_own) in [
        (
            Format::WechatTrade,
            wechat_trade(&trades()).into_bytes(),
            "5000000036120",
        ),
        (Format::AlipayTrade, gbk(&alipay_trade(&trades())), "4200000036000"),
    ] {
        let (lines, _) = lines_of(format, &bytes).unwrap();
        assert_eq!(lines[0].origin_ref, None);
        assert_eq!(lines[2].reference, refunds_own, "{format}");
        assert_eq!(lines[2].origin_ref.as_deref(), Some("4200000036000"), "{format}");
    }
}

#[test]
fn reversals_without_numbers_have_those_of_their_payments_with_a_mark() {
    let reversal = |n: u64, of: u64| {
        let trade = refund(n, of, 700, -4);
        let none = ("0".to_owned(), "0".to_owned());
        Trade {
            refund: Some(none),
            ..trade
        }
    };
    let trades = [payment(1, 5_000, 30), reversal(2, 1), reversal(3, 9)];
    let bill = wechat_trade(&trades).replace("`REFUND,", "`REVOKED,");
    let (lines, _) = lines_of(Format::WechatTrade, bill.as_bytes()).unwrap();
    let numbers = |line: &Line| (line.reference.clone(), line.out_no.clone());
    let numbered = |reference: &str, out_no: &str| (reference.to_owned(), out_no.to_owned());
    assert_eq!(
        lines.iter().map(numbers).collect::<Vec<_>>(),
        [
            numbered("4200000000001", "T00000001"),
            numbered("4200000000001#revoked", "T00000001#revoked"),
            numbered("4200000000009#revoked", "T00000009#revoked"),
        ]
    );
    assert_eq!(lines[1].origin.as_deref(), Some("T00000001"));
}

#[test]
fn entries_of_an_account_have_numbers_of_their_own() {
    let movement = |n: usize, word: &str, fen| (format!("10:00:{n:02}"), "1".to_owned(), word.to_owned(), fen);
    let movements = [movement(1, "交易", 5_000), movement(1, "扣除交易手续费", -30)];
    for (format, bytes) in [
        (
            Format::WechatFund,
            wechat_fund(&movements).replacen("`F1", "`F2", 1).into_bytes(),
        ),
        (
            Format::AlipayFund,
            gbk(&alipay_fund(&movements).replacen("F1", "F2", 1)),
        ),
    ] {
        let (lines, _) = lines_of(format, &bytes).unwrap();
        let is: Vec<_> = lines
            .iter()
            .map(|line| (line.number.as_str(), line.reference.as_str()))
            .collect();
        assert_eq!(is, [("F2", "1"), ("F1", "1")], "{format}");
    }
}

#[test]
fn whoever_brings_a_bill_of_some_trades_is_told_which_to_ask_for() {
    let all = wechat_trade(&trades());
    let payments_alone = all.replacen(",微信退款单号,商户退款单号", ",一,二", 1);
    let refunds_alone = all.replacen("设备号", "退款申请时间", 1);
    for bill in [payments_alone, refunds_alone] {
        let refusal = lines_of(Format::WechatTrade, bill.as_bytes()).unwrap_err();
        assert_eq!((refusal.why, refusal.line), (Why::Columns, Some(1)));
        assert!(refusal.words.contains("ask for `ALL` (所有交易账单)"), "{refusal}");
    }
    let refusal = lines_of(Format::WechatFund, all.as_bytes()).unwrap_err();
    assert!(refusal.words.contains("资金账单"), "{refusal}");
}

#[test]
fn a_refund_of_alipays_may_name_the_time_of_its_payment() {
    // Which day the file is of stands at its beginning.
    let bill = alipay_trade(&trades()).replace("2026-03-09 10:02:00", "2026-03-01 10:02:00");
    let (lines, _) = lines_of(Format::AlipayTrade, &gbk(&bill)).unwrap();
    assert_eq!(lines[2].at, Wall::parse("2026-03-01T10:02:00+08:00").unwrap());
}

#[test]
fn a_partners_bill_names_the_merchant_beside_the_partner() {
    let bill = wechat_trade(&trades())
        .replacen("特约商户号", "子商户号", 1)
        .replace("`1900000001,`0,", "`1800000000,`1900000001,");
    assert_eq!(lines_of(Format::WechatTrade, bill.as_bytes()).unwrap().1.lines, 3);
    let others = bill.replace("`1900000001,", "`1900000002,");
    assert_eq!(
        lines_of(Format::WechatTrade, others.as_bytes()).unwrap_err().why,
        Why::Merchant
    );
}

#[test]
fn a_bill_comes_packed_or_not() {
    let wechat = wechat_trade(&trades());
    let as_it_is = lines_of(Format::WechatTrade, wechat.as_bytes()).unwrap();
    for packed in [gzipped(wechat.as_bytes()), zipped(&[("a.csv", wechat.as_bytes())])] {
        assert_eq!(lines_of(Format::WechatTrade, &packed).unwrap(), as_it_is);
    }
    let movements = [("10:00:00".to_owned(), "1".to_owned(), "收费".to_owned(), -30)];
    let alipay = gbk(&alipay_fund(&movements));
    let as_it_is = lines_of(Format::AlipayFund, &alipay).unwrap();
    assert_eq!(lines_of(Format::AlipayFund, &gzipped(&alipay)).unwrap(), as_it_is);
}

#[test]
fn tabs_are_text_and_what_else_moves_a_cursor_is_none() {
    let with = |name: &str| {
        let bill = wechat_trade(&trades()).replacen("`充电", &format!("`{name}"), 1);
        let read = lines_of(Format::WechatTrade, bill.as_bytes());
        read.map(|(lines, _)| lines[0].name.clone())
            .map_err(|refusal| (refusal.why, refusal.line))
    };
    assert_eq!(with("a\tb"), Ok("a\tb".to_owned()));
    for control in ["\0", "\u{1}", "\r", "\u{7f}", "\u{85}", "\u{9b}"] {
        let named = with(&format!("充{control}电"));
        assert_eq!(named, Err((Why::Encoding, Some(2))), "{control:?}");
        assert_eq!(with(&format!("a{control}b")), named, "{control:?}");
    }
}

#[test]
fn a_name_that_a_spreadsheet_would_run_is_text() {
    let mut trades = trades();
    for (trade, name) in trades.iter_mut().zip(["=HYPERLINK(\"http://x\")", "+1+1", "@a, \"b\""]) {
        trade.name = name.to_owned();
    }
    let names = |format, bytes: &[u8]| {
        let lines = lines_of(format, bytes).unwrap().0;
        lines.into_iter().map(|line| line.name).collect::<Vec<_>>()
    };
    let written: Vec<String> = trades.iter().map(|trade| trade.name.clone()).collect();
    assert_eq!(names(Format::WechatTrade, wechat_trade(&trades).as_bytes()), written);
    assert_eq!(names(Format::AlipayTrade, &gbk(&alipay_trade(&trades))), written);
}

#[test]
fn a_day_on_which_nothing_was_has_a_bill_without_lines() {
    for (format, bytes) in [
        (Format::WechatTrade, wechat_trade(&[]).into_bytes()),
        (Format::WechatFund, wechat_fund(&[]).into_bytes()),
        (Format::AlipayTrade, gbk(&alipay_trade(&[]))),
        (Format::AlipayFund, gbk(&alipay_fund(&[]))),
    ] {
        assert_eq!(lines_of(format, &bytes).unwrap(), (vec![], Sums::default()), "{format}");
    }
}

#[test]
fn movements_are_told_apart_by_their_words() {
    let movement = |n: usize, word: &str, fen| (format!("10:00:{n:02}"), n.to_string(), word.to_owned(), fen);
    let movements = [
        movement(1, "交易", 5_000),
        movement(2, "扣除交易手续费", -30),
        movement(3, "退款", -700),
        movement(4, "提现", -4_000),
        movement(5, "分账", -1),
        movement(6, "退费", 4),
    ];
    let kinds = [
        Kind::Payment,
        Kind::Fee,
        Kind::Refund,
        Kind::Payout,
        Kind::Other,
        Kind::Fee,
    ];
    for (format, bytes) in [
        (Format::WechatFund, wechat_fund(&movements).into_bytes()),
        (Format::AlipayFund, gbk(&alipay_fund(&movements))),
    ] {
        let (lines, sums) = lines_of(format, &bytes).unwrap();
        assert_eq!(
            lines.iter().map(|line| line.kind).collect::<Vec<_>>(),
            kinds,
            "{format}"
        );
        assert_eq!(lines[3].amount, Fen(-4_000));
        assert_eq!((sums.income, sums.outgo), (Fen(5_004), Fen(4_731)));
    }
}

fn mapping() -> Mapping {
    Mapping {
        channel: "unionpay".to_owned(),
        encoding: Encoding::Gbk,
        separator: ';',
        reference: "流水号".to_owned(),
        out_no: "订单号".to_owned(),
        amount: "金额".to_owned(),
        at: "时间".to_owned(),
        at_form: Some("%Y%m%d %H%M%S".to_owned()),
        kind: Some(Kinds {
            column: "类型".to_owned(),
            payments: vec!["消费".to_owned()],
            refunds: vec!["退货".to_owned()],
            ignored: vec!["查询".to_owned()],
        }),
        settled: None,
        fee: Some("手续费".to_owned()),
        refund_reference: None,
        refund_out_no: Some("退货单号".to_owned()),
        merchant: Some("商户".to_owned()),
        currency: Some("币种".to_owned()),
        status: None,
        name: None,
        total: Some("合计".to_owned()),
        total_of: Vec::new(),
    }
}

#[test]
fn a_csv_file_is_read_by_its_mapping_and_held_to_its_totals() {
    let bill = "类型;流水号;订单号;退货单号;时间;金额;手续费;商户;币种\n\
                消费;9001;T1;;20260309 101500;50.00;0.30;1900000001;CNY\n\
                退货;9002;T1;R1;20260309 111500;7.00;-0.04;1900000001;人民币\n\
                合计;;;;;57.00;0.26;;\n";
    let with = |mapping: Mapping| Expected {
        mapping: Some(mapping),
        ..expected(MERCHANT, DAY)
    };
    let (lines, sums) = read_as(Format::Csv, &with(mapping()), &gbk(bill)).unwrap();
    assert_eq!(
        (lines[0].kind, lines[0].amount, lines[0].at),
        (Kind::Payment, Fen(5_000), at("10:15:00"))
    );
    let refund = &lines[1];
    assert_eq!(
        (refund.kind, refund.amount, refund.fee),
        (Kind::Refund, Fen(-700), Fen(-4))
    );
    assert_eq!((refund.reference.as_str(), refund.out_no.as_str()), ("9002", "R1"));
    assert_eq!(refund.origin.as_deref(), Some("T1"));
    assert_eq!((sums.income, sums.outgo, sums.fees), (Fen(5_000), Fen(700), Fen(26)));

    let why = |text: &str, mapping: Mapping| {
        let refused = read_as(Format::Csv, &with(mapping), &gbk(text));
        refused.map(drop).map_err(|refusal| (refusal.why, refusal.line))
    };
    for (from, to, is) in [
        ("57.00", "57.01", (Why::Totals, Some(4))),
        ("0.26", "0.27", (Why::Totals, Some(4))),
        ("合计;;;;;57.00;0.26;;\n", "", (Why::Cut, Some(3))),
        // Cut off in the line of totals, or a line of totals without a sum.
        (";57.00;0.26;;\n", "", (Why::Cut, Some(4))),
        (";57.00;0.26;;\n", ";57.00", (Why::Cut, Some(4))),
        (";57.00;0.26;;", ";57.00;;;", (Why::Cut, Some(4))),
        (";57.00;0.26;;", ";;0.26;;", (Why::Cut, Some(4))),
        (";CNY", ";USD", (Why::Currency, Some(2))),
        (";1900000001;CNY", ";19;CNY", (Why::Merchant, Some(2))),
        ("消费;", "充值;", (Why::Word, Some(2))),
        ("20260309 101500", "2026-03-09 10:15:00", (Why::Value, Some(2))),
        ("20260309 101500", "20260308 101500", (Why::Day, Some(2))),
        (";50.00", ";50.001", (Why::Decimals, Some(2))),
        (";50.00", ";-50.00", (Why::Value, Some(2))),
        ("币种", "币", (Why::Columns, Some(1))),
    ] {
        assert_eq!(why(&bill.replacen(from, to, 1), mapping()), Err(is), "{from} {to}");
    }
    // A line that carries no trade is passed over, but for what it adds to the totals.
    let queried = bill
        .replacen("合计;", "查询;;;;;1.00;;;\n查询;;;;;;;;\n合计;", 1)
        .replacen("57.00", "58.00", 1);
    let (of_queried, sums_of_queried) = read_as(Format::Csv, &with(mapping()), &gbk(&queried)).unwrap();
    assert_eq!((of_queried, sums_of_queried), (lines.clone(), sums));
    // Where the totals have a sum of some columns alone.
    let of_amounts = Mapping {
        total_of: vec!["金额".to_owned()],
        ..mapping()
    };
    let some = bill.replacen(";57.00;0.26;;", ";57.00;;;", 1);
    assert_eq!(why(&some, of_amounts.clone()), Ok(()));
    let wrong = some.replacen("57.00", "57.01", 1);
    assert_eq!(why(&wrong, of_amounts), Err((Why::Totals, Some(4))));
    // What the channel owes, where another column says it.
    let coupons = bill
        .replacen("币种", "结算", 1)
        .replacen(";CNY", ";48.00", 1)
        .replacen(";人民币", ";6.72", 1);
    let settled = Mapping {
        currency: None,
        settled: Some("结算".to_owned()),
        total: None,
        ..mapping()
    };
    let (owed, _) = read_as(Format::Csv, &with(settled), &gbk(&without_totals(&coupons))).unwrap();
    let both: Vec<_> = owed.iter().map(|line| (line.amount, line.settled)).collect();
    assert_eq!(both, [(Fen(5_000), Fen(4_800)), (Fen(-700), Fen(-672))]);
    let utf8 = read_as(Format::Csv, &with(mapping()), bill.as_bytes()).unwrap_err();
    assert_eq!(utf8.why, Why::Encoding, "{utf8}");
    // Without totals only a line that is cut off is noticed.
    let plain = Mapping {
        total: None,
        ..mapping()
    };
    let without = without_totals(bill);
    assert_eq!(why(&without, plain.clone()), Ok(()));
    assert_eq!(why(without.trim_end(), plain.clone()), Err((Why::Cut, Some(3))));
    let unmapped = read_as(Format::Csv, &expected(MERCHANT, DAY), &gbk(bill)).unwrap_err();
    assert!(unmapped.words.contains("[[bills.csv]]"), "{unmapped}");
    // The sign says what it is.
    let signed = Mapping {
        kind: None,
        total: None,
        ..mapping()
    };
    let (lines, _) = read_as(Format::Csv, &with(signed), &gbk(&without.replace(";7.00", ";-7.00"))).unwrap();
    assert_eq!(
        (lines[0].kind, lines[1].kind, lines[1].amount),
        (Kind::Payment, Kind::Refund, Fen(-700))
    );
}

fn without_totals(bill: &str) -> String {
    let lines: Vec<&str> = bill.split_inclusive('\n').collect();
    lines[..lines.len() - 1].concat()
}

/// The block of code after the mark `<!-- name -->` of `docs/bills.md`.
fn sample(name: &str) -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/bills.md");
    let text = std::fs::read_to_string(path).unwrap();
    let mark = format!("<!-- {name} -->\n```");
    let at = text
        .find(&mark)
        .unwrap_or_else(|| panic!("docs/bills.md has no {mark}"));
    let (_, code) = text[at + mark.len()..].split_once('\n').unwrap();
    code[..code.find("```").unwrap()].to_owned()
}

#[test]
fn the_samples_of_the_document_are_bills() {
    let of = |format: Format, text: &str| {
        let bytes = match format.biller() {
            Biller::Alipay => gbk(text),
            Biller::Wechat | Biller::Csv => text.as_bytes().to_vec(),
        };
        let sums = lines_of(format, &bytes)
            .unwrap_or_else(|refusal| panic!("{format}: {refusal}"))
            .1;
        (sums.lines, sums.income, sums.outgo, sums.fees)
    };
    for format in [Format::WechatTrade, Format::AlipayTrade] {
        assert_eq!(
            of(format, &sample(format.word())),
            (3, Fen(7_000), Fen(700), Fen(38)),
            "{format}"
        );
    }
    for format in [Format::WechatFund, Format::AlipayFund] {
        assert_eq!(
            of(format, &sample(format.word())),
            (4, Fen(5_000), Fen(4_730), Fen(0)),
            "{format}"
        );
    }
}

/// What WeChat and Alipay may write in a name: no comma there, no line's end, nothing that GBK has not.
fn names() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9=+@'\"充电站桩费 -]{0,12}".prop_map(|name| name.trim().to_owned())
}

fn some_trades() -> impl Strategy<Value = Vec<Trade>> {
    let trade = (
        0..86_400_u64,
        1..100_000_000_i64,
        0..1_000_000_i64,
        any::<bool>(),
        names(),
    );
    proptest::collection::vec(trade, 0..40).prop_map(|trades| {
        let numbered = trades.into_iter().zip(0_u64..);
        numbered
            .map(|((second, fen, fee, is_refund, name), n)| {
                let trade = match is_refund {
                    true => refund(n, n / 2, fen, -fee),
                    false => payment(n, fen, fee),
                };
                let at = format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60);
                Trade { at, name, ..trade }
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn what_was_written_is_read_back(trades in some_trades()) {
        for format in [Format::WechatTrade, Format::AlipayTrade] {
            let is_wechat = format == Format::WechatTrade;
            let bytes = if is_wechat { wechat_trade(&trades).into_bytes() } else { gbk(&alipay_trade(&trades)) };
            let (lines, sums) = lines_of(format, &bytes).unwrap();
            prop_assert_eq!(lines.len(), trades.len());
            for (line, trade) in lines.iter().zip(&trades) {
                let sign = if trade.refund.is_some() { -1 } else { 1 };
                prop_assert_eq!(line.amount, Fen(trade.fen * sign));
                prop_assert_eq!(line.fee, Fen(trade.fee));
                prop_assert_eq!(&line.name, &trade.name);
                prop_assert_eq!(line.at, at(&trade.at));
                let (reference, out_no) = match &trade.refund {
                    // Alipay's refunds have the number of their payment.
                    Some((reference, out_no)) => (if is_wechat { reference } else { &trade.reference }, out_no),
                    None => (&trade.reference, &trade.out_no),
                };
                prop_assert_eq!(&line.reference, reference);
                prop_assert_eq!(&line.out_no, out_no);
                prop_assert_eq!(line.origin.as_ref(), trade.refund.as_ref().map(|_| &trade.out_no));
            }
            prop_assert_eq!(sums.lines, trades.len() as u64);
            prop_assert_eq!(sums.income.0 - sums.outgo.0, lines.iter().map(|line| line.amount.0).sum::<i64>());
            prop_assert_eq!(sums.fees.0, trades.iter().map(|trade| trade.fee).sum::<i64>());
        }
    }

    #[test]
    fn a_file_that_is_cut_off_anywhere_is_refused_or_has_lost_nothing(trades in some_trades(), at in 0.0..1.0_f64) {
        for format in [Format::WechatTrade, Format::AlipayTrade] {
            let bytes = match format {
                Format::WechatTrade => wechat_trade(&trades).into_bytes(),
                _ => gbk(&alipay_trade(&trades)),
            };
            let cut = (bytes.len() as f64 * at) as usize;
            // What may be missing is the end of a last line that says nothing, or zeros of the last total.
            if let Ok(read) = lines_of(format, &bytes[..cut]) {
                prop_assert_eq!(read, lines_of(format, &bytes).unwrap());
                prop_assert!(cut + 100 > bytes.len());
            }
        }
    }
}
