//! CSV of a channel whose files have no format of their own here: the configuration says how its columns are called.

use crate::{
    Encoding, Expected, Kind, Line, Refusal, Stopped, Why,
    fields::{Columns, separated},
    read::Taker,
    text::Lines,
    values::{agree, fen, moment, other_merchant, total},
    wechat::{other_currency, unknown_word},
};
use domain::units::Fen;
use std::io::BufRead;

/// How the columns of a channel's files are called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// The channel.
    pub channel: String,
    /// How the text is written.
    pub encoding: Encoding,
    /// What stands between two fields.
    pub separator: char,
    /// The column with the channel's number of a payment.
    pub reference: String,
    /// That with our number of it.
    pub out_no: String,
    /// That with the amount, in yuan.
    pub amount: String,
    /// That with the time, by the channel's clocks.
    pub at: String,
    /// How times are written, as `strptime` has it, where it is not `2026-11-28 10:15:00`.
    pub at_form: Option<String>,
    /// That with what the channel owes us of it before its fee, where that is another amount: less where the shop gave a coupon.
    pub settled: Option<String>,
    /// The column that says payment or refund, where the sign of the amount does not.
    pub kind: Option<Kinds>,
    /// That with what the channel kept.
    pub fee: Option<String>,
    /// Those with the channel's and our own number of a refund.
    pub refund_reference: Option<String>,
    /// See `refund_reference`.
    pub refund_out_no: Option<String>,
    /// That with our number at the channel.
    pub merchant: Option<String>,
    /// That with the currency.
    pub currency: Option<String>,
    /// That with what became of it.
    pub status: Option<String>,
    /// That with what was bought.
    pub name: Option<String>,
    /// The word with which the line of totals begins, which is then the last: amounts and fees stand under their columns.
    pub total: Option<String>,
}

/// The column that says what a line is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kinds {
    /// What it is called.
    pub column: String,
    /// What stands there of a payment.
    pub payments: Vec<String>,
    /// Of a refund.
    pub refunds: Vec<String>,
}

/// The places of columns that need not be there, among those that were looked for.
struct Optional<'a> {
    wanted: Vec<&'a str>,
}

impl<'a> Optional<'a> {
    fn place(&mut self, name: Option<&'a String>) -> Option<usize> {
        name.map(|name| {
            self.wanted.push(name);
            self.wanted.len() - 1
        })
    }
}

pub(super) fn lines<R, F, E>(input: R, expected: &Expected, taker: &mut Taker<F>) -> Result<(), Stopped<E>>
where
    R: BufRead,
    F: FnMut(Line) -> Result<(), E>,
{
    let Some(mapping) = &expected.mapping else {
        let words = "its channel has no mapping; say under [[bills.csv]] in central.toml how its columns are called";
        return Err(Refusal::new(None, Why::Columns, words).into());
    };
    let mut lines = Lines::new(input, mapping.encoding);
    let mut wanted = Optional {
        wanted: [&mapping.reference, &mapping.out_no, &mapping.amount, &mapping.at]
            .map(String::as_str)
            .to_vec(),
    };
    let fee = wanted.place(mapping.fee.as_ref());
    let settled = wanted.place(mapping.settled.as_ref());
    let kind = wanted.place(mapping.kind.as_ref().map(|kind| &kind.column));
    let refund_reference = wanted.place(mapping.refund_reference.as_ref());
    let refund_out_no = wanted.place(mapping.refund_out_no.as_ref());
    let merchant = wanted.place(mapping.merchant.as_ref());
    let currency = wanted.place(mapping.currency.as_ref());
    let status = wanted.place(mapping.status.as_ref());
    let name = wanted.place(mapping.name.as_ref());

    let found = match lines.next::<E>()? {
        None => return Err(lines.cut("the line that names the columns").into()),
        Some((number, text)) => {
            separated(number, &text, mapping.separator).and_then(|names| Columns::find(number, &names, &wanted.wanted))
        }
    };
    let columns = found.map_err(|refusal| lines.other_encoding().unwrap_or(refusal))?;
    // As they are written.
    let (mut amounts, mut totals) = (0, None);
    while let Some((number, text)) = lines.next::<E>()? {
        let fields = separated(number, &text, mapping.separator)?;
        if totals.is_some() {
            let words = "comes after the line of totals, where nothing comes";
            return Err(Refusal::new(number, Why::Totals, words).into());
        }
        if let Some(word) = &mapping.total
            && fields.first().is_some_and(|first| first.as_ref() == word.as_str())
        {
            let cell = |at: Option<usize>| at.map_or("", |at| columns.get(&fields, at));
            totals = Some((number, cell(Some(2)).to_owned(), cell(fee).to_owned()));
            continue;
        }
        if let Err(refusal) = columns.fit(number, &fields) {
            return Err(if lines.has_end() {
                refusal
            } else {
                lines.cut("the rest of this line")
            }
            .into());
        }
        let get = |at: Option<usize>| at.map_or("", |at| columns.get(&fields, at));
        if merchant.is_some() && get(merchant) != expected.merchant {
            return Err(other_merchant(number, get(merchant), expected).into());
        }
        if currency.is_some() && !["CNY", "RMB", "人民币", "156"].contains(&get(currency)) {
            return Err(other_currency(number, get(currency)).into());
        }
        let written = fen(number, &mapping.amount, get(Some(2)))?;
        let is_payment = match &mapping.kind {
            None => written >= 0,
            Some(kinds) if kinds.payments.iter().any(|word| word == get(kind)) => true,
            Some(kinds) if kinds.refunds.iter().any(|word| word == get(kind)) => false,
            Some(kinds) => return Err(unknown_word(number, &kinds.column, get(kind)).into()),
        };
        if is_payment && written < 0 {
            let words = format!("{} is {}, which a payment cannot be", mapping.amount, get(Some(2)));
            return Err(Refusal::new(number, Why::Value, words).into());
        }
        amounts += written;
        let own = |own: Option<usize>, of: usize| match get(own) {
            "" => get(Some(of)),
            own => own,
        };
        let (reference, out_no) = match is_payment {
            true => (get(Some(0)), get(Some(1))),
            false => (own(refund_reference, 0), own(refund_out_no, 1)),
        };
        let fee = match get(fee) {
            "" => 0,
            text => fen(number, mapping.fee.as_deref().unwrap_or_default(), text)?,
        };
        // As the amount's is, whichever sign the file gives it.
        let signed = |written: i64| if is_payment { written } else { -written.abs() };
        let settled = match (get(settled), &mapping.settled) {
            (_, None) => written,
            (text, Some(column)) => fen(number, column, text)?,
        };
        let when = (mapping.at.as_str(), get(Some(3)));
        taker.take(Line {
            line: number,
            kind: if is_payment { Kind::Payment } else { Kind::Refund },
            reference: reference.to_owned(),
            out_no: out_no.to_owned(),
            origin: (!is_payment).then(|| get(Some(1)).to_owned()),
            origin_ref: (!is_payment && refund_reference.is_some()).then(|| get(Some(0)).to_owned()),
            number: String::new(),
            amount: Fen(signed(written)),
            settled: Fen(signed(settled)),
            fee: Fen(fee),
            status: get(status).to_owned(),
            at: moment(number, when, mapping.at_form.as_deref(), expected, !is_payment)?,
            name: get(name).to_owned(),
        })?;
    }
    match (totals, &mapping.total) {
        (Some((number, says_amounts, says_fees)), _) => {
            for (what, says, is) in [
                (mapping.amount.as_str(), says_amounts, amounts),
                (
                    mapping.fee.as_deref().unwrap_or_default(),
                    says_fees,
                    taker.sums().fees.0,
                ),
            ] {
                if !says.is_empty() {
                    agree(number, what, total(number, what, &says)?, is)?;
                }
            }
            Ok(())
        }
        (None, Some(word)) => Err(lines
            .cut(&format!("the line of totals, which begins with {word},"))
            .into()),
        (None, None) if !lines.has_end() => Err(lines.cut("the end of its last line").into()),
        (None, None) => Ok(()),
    }
}
