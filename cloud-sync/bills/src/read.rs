//! A file's bytes to its lines, one after the other: whoever takes them has all of them only when the sums are returned.

use crate::{
    Encoding, Expected, Format, LINES_MAX, Line, Refusal, Stopped, Sums, Why, alipay, mapped, text::Lines, wechat,
};
use std::io::BufRead;

/// Whoever takes a bill's lines, and what they come to.
pub(super) struct Taker<F> {
    take: F,
    sums: Sums,
}

impl<F> Taker<F> {
    pub(super) fn sums(&self) -> Sums {
        self.sums
    }

    pub(super) fn take<E>(&mut self, line: Line) -> Result<(), Stopped<E>>
    where
        F: FnMut(Line) -> Result<(), E>,
    {
        if self.sums.lines == LINES_MAX {
            let words = format!("a bill has at most {LINES_MAX} lines");
            return Err(Refusal::new(line.line, Why::TooLarge, words).into());
        }
        self.sums.add(&line);
        (self.take)(line).map_err(Stopped::Taker)
    }
}

/// Reads a bill. `take` gets every line; they count when the sums are returned, and not before: what is wrong may stand at the end.
///
/// # Errors
/// [`Stopped::Refused`]: the file is no such bill, and nothing of it counts.
pub fn read<R, F, E>(format: Format, expected: &Expected, input: R, take: F) -> Result<Sums, Stopped<E>>
where
    R: BufRead,
    F: FnMut(Line) -> Result<(), E>,
{
    let sums = Sums::default();
    let mut taker = Taker { take, sums };
    match format {
        Format::WechatTrade => wechat::trade(Lines::new(input, Encoding::Utf8), expected, &mut taker)?,
        Format::WechatFund => wechat::fund(Lines::new(input, Encoding::Utf8), expected, &mut taker)?,
        Format::AlipayTrade => alipay::trade(Lines::new(input, Encoding::Gbk), expected, &mut taker)?,
        Format::AlipayFund => alipay::fund(Lines::new(input, Encoding::Gbk), expected, &mut taker)?,
        Format::Csv => mapped::lines(input, expected, &mut taker)?,
    }
    Ok(taker.sums)
}
