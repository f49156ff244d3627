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
use std::{borrow::Cow, io::BufRead};

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
    /// The word with which the line of totals begins, which is then the last.
    pub total: Option<String>,
    /// Under which of `amount`, `settled` and `fee` that line has a sum; all of them that are given where this names none.
    pub total_of: Vec<String>,
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
    /// Of a line that is neither and is passed over; but for what it adds to the totals.
    pub ignored: Vec<String>,
}

/// What is read, in the order in which [`Places`] has it. Every mapping names the first four.
const REFERENCE: usize = 0;
const OUT_NO: usize = 1;
const AMOUNT: usize = 2;
const AT: usize = 3;
const SETTLED: usize = 4;
const FEE: usize = 5;
const KIND: usize = 6;
const REFUND_REFERENCE: usize = 7;
const REFUND_OUT_NO: usize = 8;
const MERCHANT: usize = 9;
const CURRENCY: usize = 10;
const STATUS: usize = 11;
const NAME: usize = 12;

/// What a line of totals may have a sum of.
const SUMMED: [usize; 3] = [AMOUNT, SETTLED, FEE];

/// Where the columns are that a mapping names.
struct Places<'a> {
    names: [Option<&'a str>; 13],
    columns: Columns,
    /// Which of the columns is each.
    places: [Option<usize>; 13],
}

impl<'a> Places<'a> {
    fn find(number: u64, header: &[Cow<'_, str>], of: &'a Mapping) -> Result<Self, Refusal> {
        let names = [
            Some(of.reference.as_str()),
            Some(of.out_no.as_str()),
            Some(of.amount.as_str()),
            Some(of.at.as_str()),
            of.settled.as_deref(),
            of.fee.as_deref(),
            of.kind.as_ref().map(|kind| kind.column.as_str()),
            of.refund_reference.as_deref(),
            of.refund_out_no.as_deref(),
            of.merchant.as_deref(),
            of.currency.as_deref(),
            of.status.as_deref(),
            of.name.as_deref(),
        ];
        let wanted: Vec<&str> = names.into_iter().flatten().collect();
        let columns = Columns::find(number, header, &wanted)?;
        let mut next = 0..;
        let places = names.map(|name| name.and_then(|_| next.next()));
        Ok(Self { names, columns, places })
    }

    /// What stands there in a line that fits; nothing where the mapping does not name it.
    fn get<'b>(&self, fields: &'b [Cow<'_, str>], what: usize) -> &'b str {
        self.places[what].map_or("", |place| self.columns.get(fields, place))
    }

    /// The name of that column.
    fn name(&self, what: usize) -> &'a str {
        self.names[what].unwrap_or_default()
    }

    /// An amount; nothing is none where it need not be there.
    fn fen(&self, number: u64, fields: &[Cow<'_, str>], what: usize, may_be_empty: bool) -> Result<i64, Refusal> {
        match self.get(fields, what) {
            "" if may_be_empty => Ok(0),
            text => fen(number, self.name(what), text),
        }
    }
}

/// What a line is about.
enum About {
    Payment,
    Refund,
    Ignored,
}

/// One file by its mapping.
struct Reading<'a> {
    mapping: &'a Mapping,
    expected: &'a Expected,
    places: Places<'a>,
    /// What has stood under the columns that are summed, as it is written.
    sums: [i64; SUMMED.len()],
}

impl Reading<'_> {
    fn about(&self, number: u64, fields: &[Cow<'_, str>]) -> Result<About, Refusal> {
        let Some(kinds) = &self.mapping.kind else {
            let amount = self.places.fen(number, fields, AMOUNT, false)?;
            return Ok(if amount >= 0 { About::Payment } else { About::Refund });
        };
        let found = self.places.get(fields, KIND);
        let is_one_of = |words: &[String]| words.iter().any(|word| word == found);
        if is_one_of(&kinds.payments) {
            return Ok(About::Payment);
        }
        if is_one_of(&kinds.refunds) {
            return Ok(About::Refund);
        }
        match is_one_of(&kinds.ignored) {
            true => Ok(About::Ignored),
            false => Err(unknown_word(number, &kinds.column, found)),
        }
    }

    /// A line that fits; none where it is passed over.
    fn line(&mut self, number: u64, fields: &[Cow<'_, str>]) -> Result<Option<Line>, Refusal> {
        let about = self.about(number, fields)?;
        let is_ignored = matches!(about, About::Ignored);
        let places = &self.places;
        let amount = places.fen(number, fields, AMOUNT, is_ignored)?;
        let fee = places.fen(number, fields, FEE, true)?;
        let settled = match self.mapping.settled {
            Some(_) => places.fen(number, fields, SETTLED, is_ignored)?,
            None => amount,
        };
        // None comes near what 64 bits hold: there are as many lines at most.
        for (sum, written) in self.sums.iter_mut().zip([amount, settled, fee]) {
            *sum += written;
        }
        let get = |what| places.get(fields, what);
        let is_payment = match about {
            About::Payment => true,
            About::Refund => false,
            About::Ignored => return Ok(None),
        };
        let merchant = get(MERCHANT);
        if self.mapping.merchant.is_some() && merchant != self.expected.merchant {
            return Err(other_merchant(number, merchant, self.expected));
        }
        if self.mapping.currency.is_some() && !["CNY", "RMB", "人民币", "156"].contains(&get(CURRENCY)) {
            return Err(other_currency(number, get(CURRENCY)));
        }
        if is_payment && amount < 0 {
            let words = format!("{} is {}, which a payment cannot be", self.mapping.amount, get(AMOUNT));
            return Err(Refusal::new(number, Why::Value, words));
        }
        let own = |own: usize, of: usize| match get(own) {
            own if !is_payment && !own.is_empty() => own.to_owned(),
            _ => get(of).to_owned(),
        };
        // Of a refund as the amount's is, whichever the file gives it.
        let signed = |written: i64| Fen(if is_payment { written } else { -written.abs() });
        let (at, form) = ((self.mapping.at.as_str(), get(AT)), self.mapping.at_form.as_deref());
        let has_both = !is_payment && self.mapping.refund_reference.is_some();
        Ok(Some(Line {
            line: number,
            kind: if is_payment { Kind::Payment } else { Kind::Refund },
            reference: own(REFUND_REFERENCE, REFERENCE),
            out_no: own(REFUND_OUT_NO, OUT_NO),
            origin: (!is_payment).then(|| get(OUT_NO).to_owned()),
            origin_ref: has_both.then(|| get(REFERENCE).to_owned()),
            number: String::new(),
            amount: signed(amount),
            settled: signed(settled),
            fee: Fen(fee),
            status: get(STATUS).to_owned(),
            at: moment(number, at, form, self.expected, false)?,
            name: get(NAME).to_owned(),
        }))
    }

    /// Holds a line of totals to what stood above it, under every column of which it has a sum.
    fn totals(&self, number: u64, fields: &[Cow<'_, str>]) -> Result<(), Refusal> {
        for (what, is) in SUMMED.into_iter().zip(self.sums) {
            let name = self.places.name(what);
            let has_sum = match &self.mapping.total_of[..] {
                [] => self.places.places[what].is_some(),
                some => some.iter().any(|one| one == name),
            };
            if !has_sum {
                continue;
            }
            let says = self.places.get(fields, what);
            if says.is_empty() {
                let words = format!("has no sum under {name}; import the whole file that the channel has");
                return Err(Refusal::new(number, Why::Cut, words));
            }
            agree(number, name, total(number, name, says)?, is)?;
        }
        Ok(())
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
    let found = match lines.next::<E>()? {
        None => return Err(lines.cut("the line that names the columns").into()),
        Some((number, text)) => {
            separated(number, &text, mapping.separator).and_then(|names| Places::find(number, &names, mapping))
        }
    };
    let places = found.map_err(|refusal| lines.other_encoding().unwrap_or(refusal))?;
    let mut reading = Reading {
        mapping,
        expected,
        places,
        sums: [0; SUMMED.len()],
    };
    let mut has_totals = false;
    while let Some((number, text)) = lines.next::<E>()? {
        let fields = separated(number, &text, mapping.separator)?;
        if has_totals {
            let words = "comes after the line of totals, where nothing comes";
            return Err(Refusal::new(number, Why::Totals, words).into());
        }
        let first = fields.first().map(AsRef::as_ref);
        has_totals = mapping.total.is_some() && first == mapping.total.as_deref();
        let read = match reading.places.columns.fit(number, &fields) {
            // That line may be a shorter one.
            _ if has_totals => reading.totals(number, &fields).map(|()| None),
            Ok(()) => reading.line(number, &fields),
            Err(_) if !lines.has_end() => Err(lines.cut("the rest of this line")),
            Err(refusal) => Err(refusal),
        };
        if let Some(line) = read? {
            taker.take(line)?;
        }
    }
    match &mapping.total {
        Some(word) if !has_totals => Err(lines
            .cut(&format!("the line of totals, which begins with {word},"))
            .into()),
        None if !lines.has_end() => Err(lines.cut("the end of its last line").into()),
        _ => Ok(()),
    }
}
