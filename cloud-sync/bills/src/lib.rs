//! Channels' bills (账单): what WeChat, Alipay or another channel says that it took, paid back, kept and paid out on a day. A file is
//! read whole or refused whole, with the line and what is wrong with it; `docs/bills.md` is the contract of the formats.
//!
//! | file | holds |
//! |---|---|
//! | here | what a bill's line says, and why a file is refused |
//! | [`read`] | a file's bytes to its lines; [`text`], `fields`, `values` are what all formats do alike |
//! | `wechat`, `alipay`, [`mapped`] | the formats |
//! | [`archive`] | a file, packed or not |
//! | `fuzz` | what must be so whatever bytes come, for `cargo xtask fuzz`; only with the feature of that name |
//!
//! *Architecture Invariant:* what reads a format does no I/O of its own, has no clock and holds one line at a time.

mod alipay;
pub mod archive;
#[cfg(test)]
mod bill_writer;
mod fields;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
pub mod mapped;
pub mod read;
#[cfg(test)]
mod tests;
mod text;
mod values;
mod wechat;

pub use fields::separated;
pub use text::{BYTES_MAX, Encoding};
pub use values::AMOUNT_MAX;

use domain::{
    time::{Day, Wall},
    units::Fen,
};
use jiff::tz::TimeZone;
use mapped::Mapping;
use std::{fmt, io, str::FromStr};

/// The most lines of one bill: a channel that has more is split over several merchants' numbers. With [`AMOUNT_MAX`] no sum of
/// a bill comes near what 64 bits hold.
pub const LINES_MAX: u64 = 5_000_000;

/// Whose bills a channel has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Biller {
    /// WeChat Pay (微信支付).
    Wechat,
    /// Alipay (支付宝).
    Alipay,
    /// Somebody whose files are CSV, by a mapping in the configuration.
    Csv,
}

impl Biller {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Wechat, Self::Alipay, Self::Csv];

    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Wechat => "wechat",
            Self::Alipay => "alipay",
            Self::Csv => "csv",
        }
    }

    /// The one of this word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|biller| biller.word() == word)
    }

    /// The file that comes for every day: payments and refunds one by one.
    pub const fn daily(self) -> Format {
        match self {
            Self::Wechat => Format::WechatTrade,
            Self::Alipay => Format::AlipayTrade,
            Self::Csv => Format::Csv,
        }
    }
}

/// What kind of file a bill is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// WeChat's trade bill (交易账单), of all trades.
    WechatTrade,
    /// WeChat's fund bill (资金账单).
    WechatFund,
    /// Alipay's detail of trades (业务明细).
    AlipayTrade,
    /// Alipay's detail of the account (账务明细).
    AlipayFund,
    /// CSV by a mapping.
    Csv,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::WechatTrade,
        Self::WechatFund,
        Self::AlipayTrade,
        Self::AlipayFund,
        Self::Csv,
    ];

    /// Its word, as in the API, in file names and in the database.
    pub const fn word(self) -> &'static str {
        match self {
            Self::WechatTrade => "wechat_trade",
            Self::WechatFund => "wechat_fund",
            Self::AlipayTrade => "alipay_trade",
            Self::AlipayFund => "alipay_fund",
            Self::Csv => "csv",
        }
    }

    /// Whether it is of trades, which a channel's day goes by; the others are of the account.
    pub const fn is_of_trades(self) -> bool {
        matches!(self, Self::WechatTrade | Self::AlipayTrade | Self::Csv)
    }

    /// Whose it is.
    pub const fn biller(self) -> Biller {
        match self {
            Self::WechatTrade | Self::WechatFund => Biller::Wechat,
            Self::AlipayTrade | Self::AlipayFund => Biller::Alipay,
            Self::Csv => Biller::Csv,
        }
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|format| format.word() == text);
        let words = Self::ALL.map(Self::word).join(", ");
        found.ok_or_else(|| format!("`{text}` is no format of a bill; give one of {words}"))
    }
}

impl<'de> serde::Deserialize<'de> for Format {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A driver paid.
    Payment,
    /// A driver got back.
    Refund,
    /// The channel kept its fee, or gave it back, on a line of its own.
    Fee,
    /// The channel paid out to the bank.
    Payout,
    /// Anything else that moved money at the channel.
    Other,
}

impl Kind {
    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Payment => "payment",
            Self::Refund => "refund",
            Self::Fee => "fee",
            Self::Payout => "payout",
            Self::Other => "other",
        }
    }
}

/// A line of a bill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Which line of the file, counted from 1.
    pub line: u64,
    /// What it is about.
    pub kind: Kind,
    /// The channel's number of it (transaction_id); of a refund the refund's own.
    pub reference: String,
    /// Our number (out_trade_no); of a refund the refund's own (out_refund_no).
    pub out_no: String,
    /// Of a refund our number of the payment that it is of.
    pub origin: Option<String>,
    /// Of a refund the channel's number of that payment, where the format has it.
    pub origin_ref: Option<String>,
    /// The entry's own number in a bill of an account, where one payment has several; empty in other bills.
    pub number: String,
    /// What came in, or, below zero, went out: what was asked for, before the channel's fee.
    pub amount: Fen,
    /// What the channel owes us of it, with the sign of `amount`, before its fee: less than `amount` where the shop gave a coupon.
    pub settled: Fen,
    /// What the channel kept of it; below zero: gave back.
    pub fee: Fen,
    /// What became of it, in the channel's own word.
    pub status: String,
    /// When, by the channel's clock.
    pub at: Wall,
    /// What was bought, as it is written there. Whoever shows it in a spreadsheet takes care that it is no formula.
    pub name: String,
}

/// What a bill comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sums {
    /// How many lines.
    pub lines: u64,
    /// Σ of what came in.
    pub income: Fen,
    /// Σ of what went out, above zero.
    pub outgo: Fen,
    /// Σ of fees.
    pub fees: Fen,
}

impl Sums {
    /// With another line. Whoever counts lines refuses more than [`LINES_MAX`].
    fn add(&mut self, line: &Line) {
        self.lines += 1;
        match line.amount.0 {
            amount @ 0.. => self.income.0 += amount,
            amount => self.outgo.0 -= amount,
        }
        self.fees.0 += line.fee.0;
    }
}

/// What a file must be about.
#[derive(Debug, Clone)]
pub struct Expected {
    /// Our number at the channel.
    pub merchant: String,
    /// The day, from 00:00 to 24:00 by the channel's clocks.
    pub day: Day,
    /// Where these are.
    pub zone: TimeZone,
    /// How the columns of a CSV file are called.
    pub mapping: Option<Mapping>,
}

/// Why a file is refused, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It is not written in its format's encoding.
    Encoding,
    /// A column is missing, or is there twice.
    Columns,
    /// A line has more or fewer fields than there are columns, or a quote that does not end.
    Fields,
    /// It ends before its end.
    Cut,
    /// An amount, count or time is none.
    Value,
    /// An amount has a part of a fen.
    Decimals,
    /// An amount is in another currency than yuan.
    Currency,
    /// It is somebody else's.
    Merchant,
    /// It is another day's.
    Day,
    /// Its totals are not the sums of its lines.
    Totals,
    /// A word that says what a line is about is not known.
    Word,
    /// It is larger than bills are.
    TooLarge,
    /// It is packed, and cannot be unpacked.
    Archive,
}

impl Why {
    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Encoding => "encoding",
            Self::Columns => "columns",
            Self::Fields => "fields",
            Self::Cut => "cut",
            Self::Value => "value",
            Self::Decimals => "decimals",
            Self::Currency => "currency",
            Self::Merchant => "merchant",
            Self::Day => "day",
            Self::Totals => "totals",
            Self::Word => "word",
            Self::TooLarge => "too_large",
            Self::Archive => "archive",
        }
    }
}

/// A file is refused, the whole of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Refusal {
    /// At which line, counted from 1; none where the whole file is meant.
    pub line: Option<u64>,
    /// Why, for programs.
    pub why: Why,
    /// Why, and what to do.
    pub words: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.words),
            None => f.write_str(&self.words),
        }
    }
}

impl Refusal {
    /// A refusal of this line.
    pub fn new(line: impl Into<Option<u64>>, why: Why, words: impl Into<String>) -> Self {
        Self {
            line: line.into(),
            why,
            words: words.into(),
        }
    }
}

/// Why a file was not read to its end.
#[derive(Debug)]
pub enum Stopped<E> {
    /// It is refused.
    Refused(Refusal),
    /// Its bytes could not be had.
    Broken(io::Error),
    /// Whoever took the lines did not want more.
    Taker(E),
}

impl<E> From<Refusal> for Stopped<E> {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// As much of a text from a file as is told of it.
fn quoted(text: &str) -> String {
    const TOLD_CHARS_MAX: usize = 60;
    let mut told: String = text.chars().take(TOLD_CHARS_MAX).collect();
    if told.len() < text.len() {
        told.push('…');
    }
    format!("`{told}`")
}
