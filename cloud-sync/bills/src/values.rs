//! What stands in fields: amounts, counts, times.

use crate::{Expected, Refusal, Why, quoted};
use domain::{
    time::{Day, Wall},
    units::Fen,
};
use jiff::{civil::DateTime, fmt::strtime, tz::TimeZone};

/// The largest amount on a line, in fen: ten billion yuan.
pub const AMOUNT_MAX: i64 = 1_000_000_000_000;

/// An amount in yuan, as in `-12.3`. WeChat writes fees with five places; what is beyond the fen must be zeros.
pub(super) fn fen(line: u64, column: &str, text: &str) -> Result<i64, Refusal> {
    let refused = |why, words: &str| {
        let words = format!("{column} is {}, which {words}", quoted(text));
        Refusal::new(line, why, words)
    };
    let no_amount = || refused(Why::Value, "is no amount in yuan, such as 12.30");
    let (negative, digits) = match text.as_bytes() {
        [b'-', ..] => (true, &text[1..]),
        [b'+', ..] => (false, &text[1..]),
        _ => (false, text),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !all_digits(whole) || !all_digits(part) {
        return Err(no_amount());
    }
    let (cents, rest) = part.split_at(part.len().min(2));
    if rest.bytes().any(|byte| byte != b'0') {
        return Err(refused(Why::Decimals, "has a part of a fen: amounts have two places"));
    }
    let too_large = || refused(Why::Value, "is more than any payment: at most ten billion yuan");
    let cents_scale = if cents.len() == 1 { 10 } else { 1 };
    let cents: i64 = cents.parse().map_err(|_| no_amount())?;
    let whole: i64 = whole.parse().map_err(|_| too_large())?;
    let fen = whole
        .checked_mul(100)
        .and_then(|fen| fen.checked_add(cents * cents_scale));
    let fen = fen.filter(|fen| *fen <= AMOUNT_MAX).ok_or_else(too_large)?;
    Ok(if negative { -fen } else { fen })
}

/// A sum, which may be as large as all lines together.
pub(super) fn total(line: u64, what: &str, text: &str) -> Result<i64, Refusal> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text),
    };
    let whole = digits.split('.').next().unwrap_or_default();
    let split = whole.len().saturating_sub(9);
    if split == 0 || !whole.bytes().all(|byte| byte.is_ascii_digit()) {
        return fen(line, what, text);
    }
    // What is beyond nine digits is counted in whole billions.
    let (billions, rest) = digits.split_at(split);
    let rest = fen(line, what, rest)?;
    let billions: Option<i64> = billions.parse().ok();
    let sum = billions.and_then(|billions| billions.checked_mul(100_000_000_000));
    let sum = sum.and_then(|sum| sum.checked_add(rest));
    sum.map(|sum| sum * sign).ok_or_else(|| {
        let words = format!("{what} is {}, which is more than all lines can come to", quoted(text));
        Refusal::new(line, Why::Value, words)
    })
}

/// How many; WeChat has written `20.0`.
pub(super) fn count(line: u64, what: &str, text: &str) -> Result<u64, Refusal> {
    let whole = match text.split_once('.') {
        Some((whole, zeros)) if zeros.bytes().all(|byte| byte == b'0') => whole,
        _ => text,
    };
    let is_number = !whole.is_empty() && whole.bytes().all(|byte| byte.is_ascii_digit());
    whole.parse().ok().filter(|_| is_number).ok_or_else(|| {
        let words = format!("{what} is {}, which is no count", quoted(text));
        Refusal::new(line, Why::Value, words)
    })
}

/// A day and a time of day by the channel's clocks, as in `2026-11-28 10:15:00`, or in another form.
pub(super) fn local(line: u64, column: &str, text: &str, form: Option<&str>) -> Result<DateTime, Refusal> {
    let at = match form {
        None => plain(text),
        Some(form) => strtime::parse(form, text).and_then(|parsed| parsed.to_datetime()).ok(),
    };
    at.ok_or_else(|| {
        let like = form.unwrap_or("2026-11-28 10:15:00");
        let words = format!("{column} is {}, which is no time like {like}", quoted(text));
        Refusal::new(line, Why::Value, words)
    })
}

/// `YYYY-MM-DD HH:MM:SS`. By hand: there are millions of them, and each in this form.
fn plain(text: &str) -> Option<DateTime> {
    let bytes: &[u8; 19] = text.as_bytes().try_into().ok()?;
    let digit = |at: usize| Some(i16::from(bytes[at].checked_sub(b'0').filter(|digit| *digit < 10)?));
    let two = |at: usize| Some(i8::try_from(digit(at)? * 10 + digit(at + 1)?).unwrap_or_default());
    let marks = [(4, b'-'), (7, b'-'), (10, b' '), (13, b':'), (16, b':')];
    if marks.iter().any(|(at, mark)| bytes[*at] != *mark) {
        return None;
    }
    let year = i16::from(two(0)?) * 100 + i16::from(two(2)?);
    DateTime::new(year, two(5)?, two(8)?, two(11)?, two(14)?, two(17)?, 0).ok()
}

/// That moment where these clocks are. Of a time that they show twice it is the first; one that they pass over is as much later.
pub(super) fn wall(line: u64, at: DateTime, zone: &TimeZone) -> Result<Wall, Refusal> {
    let wall = zone.to_timestamp(at).ok().map(|at| Wall(at.as_millisecond()));
    wall.filter(|wall| Wall::RANGE.contains(wall))
        .ok_or_else(|| Refusal::new(line, Why::Value, format!("{at} is outside 1970 to 2200")))
}

/// The moment of a line, on the day that the file must be of. A refund may name an earlier time, that of the payment which it is of.
pub(super) fn moment(
    line: u64,
    (column, text): (&str, &str),
    form: Option<&str>,
    expected: &Expected,
    may_be_earlier: bool,
) -> Result<Wall, Refusal> {
    let at = local(line, column, text, form)?;
    let day = at.date().to_string().parse::<Day>().ok();
    match day {
        Some(day) if day == expected.day || (may_be_earlier && day < expected.day) => wall(line, at, &expected.zone),
        _ => Err(other_day(line, at.date(), expected)),
    }
}

pub(super) fn other_day(line: u64, found: impl std::fmt::Display, expected: &Expected) -> Refusal {
    let words = format!(
        "is of {found}, and the file was imported as the bill of {}; import it under its own day",
        expected.day
    );
    Refusal::new(line, Why::Day, words)
}

/// That the file is somebody else's.
pub(super) fn other_merchant(line: u64, found: &str, expected: &Expected) -> Refusal {
    let words = format!(
        "is of {}, and the channel's merchant number is {}; import the file under the channel that it is of",
        quoted(found),
        expected.merchant
    );
    Refusal::new(line, Why::Merchant, words)
}

/// Whether a total is the sum of the lines.
pub(super) fn agree(line: u64, what: &str, says: i64, is: i64) -> Result<(), Refusal> {
    if says == is {
        return Ok(());
    }
    let (says, is) = (Fen(says), Fen(is));
    let words = format!("{what} is {says}, and the lines come to {is}; get the file anew from the channel");
    Err(Refusal::new(line, Why::Totals, words))
}

/// Whether as many lines are there as the file says.
pub(super) fn agree_count(line: u64, what: &str, says: u64, is: u64) -> Result<(), Refusal> {
    if says == is {
        return Ok(());
    }
    let words = format!("{what} is {says}, and there are {is} lines; get the file anew from the channel");
    Err(Refusal::new(line, Why::Totals, words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_to_the_fen_and_no_further() {
        for (text, is) in [
            ("0", 0),
            ("12", 1_200),
            ("12.3", 1_230),
            ("12.30", 1_230),
            ("-0.05", -5),
            ("+7.00", 700),
            ("0.06000", 6),
            ("10000000000.00", AMOUNT_MAX),
        ] {
            assert_eq!(fen(1, "a", text), Ok(is), "{text}");
        }
        for (text, why) in [
            ("0.001", Why::Decimals),
            ("0.00020", Why::Decimals),
            ("", Why::Value),
            (".", Why::Value),
            ("1.", Why::Value),
            (".5", Why::Value),
            ("--1", Why::Value),
            ("1e2", Why::Value),
            ("1,000.00", Why::Value),
            ("１２", Why::Value),
            ("10000000000.01", Why::Value),
            ("99999999999999999999", Why::Value),
        ] {
            assert_eq!(fen(1, "a", text).unwrap_err().why, why, "{text}");
        }
    }

    #[test]
    fn a_total_may_be_as_large_as_the_most_lines_of_the_largest_amount() {
        assert_eq!(total(1, "a", "50000000000000000.00"), Ok(5_000_000_000_000_000_000));
        assert_eq!(total(1, "a", "-12345678901.23"), Ok(-1_234_567_890_123));
        assert_eq!(total(1, "a", "7.79000"), Ok(779));
        for wrong in [
            "99999999999999999999",
            "x2345678901.23",
            "1234567890x.23",
            "－１２３４５６７８９０",
        ] {
            assert_eq!(total(1, "a", wrong).unwrap_err().why, Why::Value, "{wrong}");
        }
    }

    #[test]
    fn counts_are_whole() {
        assert_eq!((count(1, "n", "3"), count(1, "n", "20.0")), (Ok(3), Ok(20)));
        for wrong in ["", "-1", "1.5", ".0", "three"] {
            assert!(count(1, "n", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_are_those_of_the_channels_clocks() {
        let zone = TimeZone::get("Asia/Shanghai").unwrap();
        let at = local(1, "t", "2026-11-28 00:00:01", None).unwrap();
        let shown = Wall::parse("2026-11-28T00:00:01+08:00").unwrap();
        assert_eq!(wall(1, at, &zone).unwrap(), shown);
        let other = local(1, "t", "28/11/2026 00:00", Some("%d/%m/%Y %H:%M")).unwrap();
        assert_eq!(other.to_string(), "2026-11-28T00:00:00");
        for wrong in [
            "2026-11-28",
            "2026-11-28T00:00:01",
            "2026-02-30 00:00:00",
            "2026-11-28 24:00:00",
            "2026-1a-28 00:00:00",
        ] {
            assert_eq!(local(1, "t", wrong, None).unwrap_err().why, Why::Value, "{wrong}");
        }
    }
}
