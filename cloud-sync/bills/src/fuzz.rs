//! What must be so whatever bytes come: files of channels' bills. `cargo xtask fuzz` looks for bytes by which it is not; what was
//! found, and a case of every kind, lies in `fuzz/corpus/` and is played again by the tests here.

use crate::{
    AMOUNT_MAX, Biller, Encoding, Expected, Format, Kind, Line, Refusal, Stopped, Sums,
    archive::read_file,
    mapped::{Kinds, Mapping},
};
use jiff::tz::TimeZone;
use std::{convert::Infallible, io::Cursor};

/// A file, packed or not; a line before it says the format.
///
/// What is read comes to the sums that are said, in the order of the file, each line with the sign of what it is about. What is
/// refused says so in few words. A file of which half is missing is refused, unless that half said nothing.
pub fn bill(data: &[u8]) {
    let Some(end) = data.iter().position(|byte| *byte == b'\n') else {
        return;
    };
    let word = String::from_utf8_lossy(&data[..end]);
    let Ok(format) = word.parse::<Format>() else { return };
    let file = &data[end + 1..];
    match lines_of(format, file) {
        Err(refusal) => {
            assert!((10..2_000).contains(&refusal.words.chars().count()), "{refusal}");
            assert!(refusal.line.is_none_or(|line| line > 0), "{refusal}");
        }
        Ok((lines, sums)) => {
            hold(format, &lines, sums);
            let half = &file[..file.len() / 2];
            if let Ok(of_half) = lines_of(format, half) {
                assert_eq!(of_half, (lines, sums), "half of a file is not another file");
            }
        }
    }
}

fn hold(format: Format, lines: &[Line], sums: Sums) {
    assert_eq!(sums.lines, lines.len() as u64);
    let total: i64 = lines.iter().map(|line| line.amount.0).sum();
    assert_eq!(sums.income.0 - sums.outgo.0, total);
    assert_eq!(sums.fees.0, lines.iter().map(|line| line.fee.0).sum::<i64>());
    assert!(lines.is_sorted_by(|one, next| one.line < next.line));
    for line in lines {
        assert!(line.amount.0.abs() <= AMOUNT_MAX && line.fee.0.abs() <= AMOUNT_MAX);
        let fits = match line.kind {
            Kind::Payment => line.amount.0 >= 0 && line.origin.is_none(),
            Kind::Refund => line.amount.0 <= 0 && line.origin.is_some(),
            Kind::Fee | Kind::Payout | Kind::Other => false,
        };
        assert!(!format.is_of_trades() || fits, "{line:?}");
    }
}

fn lines_of(format: Format, file: &[u8]) -> Result<(Vec<Line>, Sums), Refusal> {
    let merchant = if format.biller() == Biller::Alipay {
        "2088000000000001"
    } else {
        "1900000001"
    };
    let expected = Expected {
        merchant: merchant.to_owned(),
        day: "2026-03-09".parse().expect("this is a day"),
        zone: TimeZone::get("Asia/Shanghai").expect("the bundled time zones hold it"),
        mapping: Some(mapping()),
    };
    let mut lines = Vec::new();
    let read = read_file(Cursor::new(file), format, &expected, |line| {
        lines.push(line);
        Ok::<(), Infallible>(())
    });
    match read {
        Ok(sums) => Ok((lines, sums)),
        Err(Stopped::Refused(refusal)) => Err(refusal),
        Err(stopped) => panic!("{stopped:?}: bytes in memory can be read"),
    }
}

fn mapping() -> Mapping {
    let column = |name: &str| Some(name.to_owned());
    Mapping {
        channel: "unionpay".to_owned(),
        encoding: Encoding::Utf8,
        separator: ';',
        reference: "流水号".to_owned(),
        out_no: "订单号".to_owned(),
        amount: "金额".to_owned(),
        at: "时间".to_owned(),
        at_form: column("%Y%m%d %H%M%S"),
        kind: Some(Kinds {
            column: "类型".to_owned(),
            payments: vec!["消费".to_owned()],
            refunds: vec!["退货".to_owned()],
            ignored: vec!["查询".to_owned()],
        }),
        settled: None,
        fee: column("手续费"),
        refund_reference: None,
        refund_out_no: column("退货单号"),
        merchant: column("商户"),
        currency: column("币种"),
        status: None,
        name: None,
        total: column("合计"),
        total_of: Vec::new(),
    }
}

#[cfg(test)]
#[path = "../../../fuzz/src/corpus.rs"]
mod corpus;

#[cfg(test)]
mod tests {
    use super::corpus::play;

    #[test]
    fn bills_that_were_found_keep_the_rules() {
        play("bill", super::bill);
    }
}
