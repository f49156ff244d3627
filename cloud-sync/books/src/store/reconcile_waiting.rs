//! What was made before, in a day's run: what is taken back before a day is done anew, and what of the day before waits still, asked again
//! by what is there on this day. In parts, by their numbers, so that none is a long transaction and none reads what another has read.

use super::{
    Row, StoreError, Tx, Value,
    bills::TRADE_FORMATS,
    reconcile::{CREDITED, KEY, PAIR, PART, Scope, by_index, judging},
    reconcile_judge::{COLUMNS, GIVEN_BACK, Payments, UNDER_WAY, differs, is_nameless, payments, refunds},
};
use crate::reconcile::words::{Class, Ended, Source};
use domain::time::Day;

/// Classes of payments that wait for a credit. A line that was not paid comes first: of two lines of a number the first has the credit.
const WAITING: [Class; 5] = [
    Class::Status,
    Class::Pending,
    Class::Long,
    Class::Amount,
    Class::Ambiguous,
];
const WAITING_CODES: &str = "1, 2, 4, 5, 8";
/// Those that are over when the channel has given the payment back: of the others it does not say that it has it.
const HAD_CODES: &str = "1, 2, 4, 8";

/// Where in a class a part ends: a row's number, its file and its line.
pub type Place = (String, u64, u64);

/// What there is to be asked of what waits, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waits {
    /// Payments of a class, before the day's bill.
    Payments(Class),
    /// Refunds whose payment was on no bill, after it.
    Orphans,
    /// Credits of a class.
    Credits(Class),
}

impl Waits {
    /// Before the day's bill.
    pub const BEFORE: [Self; 5] = {
        let [a, b, c, d, e] = WAITING;
        [
            Self::Payments(a),
            Self::Payments(b),
            Self::Payments(c),
            Self::Payments(d),
            Self::Payments(e),
        ]
    };
    /// After its lines.
    pub const AFTER_LINES: [Self; 1] = [Self::Orphans];
    /// After the day's credits.
    pub const AFTER_CREDITS: [Self; 2] = [Self::Credits(Class::Short), Self::Credits(Class::Pending)];

    const fn source(self) -> Source {
        match self {
            Self::Payments(_) => Source::Payment,
            Self::Orphans => Source::Refund,
            Self::Credits(_) => Source::Credit,
        }
    }

    const fn class(self) -> Class {
        match self {
            Self::Payments(class) | Self::Credits(class) => class,
            Self::Orphans => Class::RefundOrphan,
        }
    }

    /// Where its next part ends, after a place; none where there is no more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn part(self, tx: &mut dyn Tx, of: &Scope, after: &Place) -> Result<Option<Place>, StoreError> {
        let rows = tx.query(
            &format!(
                "SELECT ref, file, line FROM verdict WHERE scope = $1 AND leg = 1 AND source = $2 AND class = $3 AND until IS NULL \
                 AND is_matched = 0 AND (ref, file, line) > ($4, $5, $6) ORDER BY ref, file, line LIMIT {PART}"
            ),
            &[
                of.name(),
                self.source().code().into(),
                self.class().code().into(),
                after.0.as_str().into(),
                after.1.into(),
                after.2.into(),
            ],
        )?;
        let place = |mut row: Row| Ok((row.text(0)?, row.count(1)?, row.count(2)?));
        rows.into_iter().next_back().map(place).transpose()
    }

    /// Asks a part again, from after one place up to another.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn ask(self, tx: &mut dyn Tx, of: &Scope, (after, to): (&Place, &Place)) -> Result<(), StoreError> {
        by_index(tx)?;
        let ask = Ask {
            of,
            which: self,
            part: [after, to],
        };
        match self {
            Self::Payments(_) => ask.payments(tx),
            Self::Orphans => ask.orphans(tx),
            Self::Credits(_) => ask.credits(tx),
        }
    }
}

/// A part that is asked again.
struct Ask<'a> {
    of: &'a Scope,
    which: Waits,
    part: [&'a Place; 2],
}

impl Ask<'_> {
    /// The rows of the part, as they are open still; `at` is the place of the first of their six values, after the scope in `$1`.
    fn open(&self, at: usize) -> String {
        format!("{} AND until IS NULL", self.rows(at))
    }

    fn rows(&self, at: usize) -> String {
        let (source, class) = (self.which.source().code(), self.which.class().code());
        let [a, b, c, d, e, f] = [at, at + 1, at + 2, at + 3, at + 4, at + 5];
        format!(
            "scope = $1 AND leg = 1 AND source = {source} AND class = {class} AND is_matched = 0 \
             AND (ref, file, line) > (${a}, ${b}, ${c}) AND (ref, file, line) <= (${d}, ${e}, ${f})"
        )
    }

    fn with_part(&self, values: Vec<Value>) -> Vec<Value> {
        let places = self.part.into_iter();
        let places = places.flat_map(|(number, file, line)| [number.as_str().into(), (*file).into(), (*line).into()]);
        values.into_iter().chain(places).collect()
    }

    /// What has another verdict from today on is over.
    fn taken_over(&self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        let open = self.open(3);
        tx.execute(
            &format!(
                "UPDATE verdict SET until = $2, ended = {} WHERE {open} AND EXISTS (SELECT 1 FROM verdict s \
                 WHERE s.scope = verdict.scope AND s.leg = 1 AND s.source = verdict.source AND s.ref = verdict.ref \
                 AND s.file = verdict.file AND s.line = verdict.line AND s.class <> verdict.class AND s.is_matched = 0 AND s.day = $2)",
                Ended::Changed.code()
            ),
            &self.with_part(vec![self.of.name(), self.of.day()]),
        )
        .map(drop)
    }

    /// Those that are credited by now are in a pair; each is asked what it is by now.
    fn payments(&self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        let of = self.of;
        // What was agreed on for the day of the line.
        let fee_ppm = |given: &str| {
            format!(
                "COALESCE((SELECT s.fee_ppm FROM channel_setting s WHERE s.channel = l.channel AND s.from_day <= v.of_day \
                 ORDER BY s.from_day DESC LIMIT 1), CAST({given} AS BIGINT))"
            )
        };
        let (open, differs) = (self.open(5), differs(&fee_ppm("$4")));
        tx.execute(
            &format!(
                "INSERT INTO matched (channel, ref, file, line, amount, differs) \
                 SELECT t.channel, t.id, v.file, v.line, t.amount, {differs} \
                 FROM (SELECT scope, ref, file, line, of_day FROM verdict WHERE {open}) v CROSS JOIN channel_transaction t \
                 CROSS JOIN bill_trade l WHERE t.channel = $2 AND t.id = v.ref AND {CREDITED} $3 AND l.file = v.file AND l.line = v.line \
                 AND NOT EXISTS (SELECT 1 FROM verdict w WHERE w.scope = v.scope AND w.leg = 1 AND w.source = 1 AND w.ref = v.ref \
                 AND w.class IN ({WAITING_CODES}) AND w.until IS NULL AND w.is_matched = 0 \
                 AND (w.of_day, w.file, w.line) < (v.of_day, v.file, v.line)) ON CONFLICT (channel, ref) DO NOTHING"
            ),
            &self.with_part(vec![
                of.name(),
                of.channel(),
                of.window.end.0.into(),
                u64::from(of.fee_ppm).into(),
            ]),
        )?;
        let open = self.open(3);
        tx.execute(
            &format!(
                "UPDATE verdict SET until = $2, ended = {} WHERE {open} AND EXISTS (SELECT 1 FROM matched m \
                 WHERE m.file = verdict.file AND m.line = verdict.line)",
                Ended::Matched.code()
            ),
            &self.with_part(vec![of.name(), of.day()]),
        )?;
        let (open, rows) = (self.open(6), self.rows(6));
        let judge = payments(&Payments {
            of_day: "v.of_day",
            fee_ppm: &fee_ppm("$5"),
            was: "v.class",
            from: &format!(
                "(SELECT of_day, file, line, class FROM verdict WHERE {open} UNION ALL SELECT of_day, file, line, class FROM verdict \
                 WHERE {rows} AND until = $2 AND ended = {}) v CROSS JOIN bill_trade l {PAIR} WHERE l.file = v.file AND l.line = v.line",
                Ended::Matched.code()
            ),
        });
        tx.execute(&judge, &self.with_part(judging(of)))?;
        self.taken_over(tx)
    }

    /// Those whose payment is on a bill by now.
    fn orphans(&self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        let of = self.of;
        let open = self.open(3);
        let from = format!(
            "(SELECT of_day, file, line, class FROM verdict WHERE {open}) v CROSS JOIN bill_trade r WHERE r.file = v.file AND r.line = v.line"
        );
        let judge = refunds("v.of_day", "v.class", &from);
        let values = vec![of.name(), of.day()];
        tx.execute(&judge, &self.with_part(values))?;
        self.taken_over(tx)
    }

    /// Those that have found their line, and those that are due by now.
    fn credits(&self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        let (of, open) = (self.of, self.open(4));
        tx.execute(
            &format!(
                "UPDATE verdict SET until = $2, ended = {} WHERE {open} AND EXISTS (SELECT 1 FROM matched m WHERE m.channel = $3 \
                 AND m.ref = verdict.ref)",
                Ended::Matched.code()
            ),
            &self.with_part(vec![of.name(), of.day(), of.channel()]),
        )?;
        if !of.is_complete || self.which.class() != Class::Pending {
            return Ok(());
        }
        tx.execute(
            &format!(
                "INSERT INTO verdict ({COLUMNS}) SELECT scope, 1, 2, ref, 0, 0, {}, 0, CAST($2 AS TEXT), of_day, at, amount, ours, NULL, \
                 NULL, 0 FROM verdict WHERE {open} AND at < $3",
                Class::Short.code()
            ),
            &self.with_part(vec![of.name(), of.day(), of.window.due_before.0.into()]),
        )?;
        self.taken_over(tx)
    }
}

/// Refunds of which the channel says only now how they ended, and refunds that together are all of a payment that nobody was credited for,
/// which is over with them.
///
/// # Errors
/// [`StoreError`].
pub fn given_back(tx: &mut dyn Tx, of: &Scope) -> Result<(), StoreError> {
    by_index(tx)?;
    let open = "scope = $1 AND leg = 1 AND source = 4 AND until IS NULL";
    let nameless = is_nameless("l");
    // Of what is under way any line says how it ended that does not say the same; of what was not done a later one says that it is.
    tx.execute(
        &format!(
            "UPDATE verdict SET until = $2, ended = {} WHERE {open} AND class IN (1, 5) AND EXISTS (SELECT 1 FROM bill_trade l \
             JOIN bill_trade x ON x.kind = 'refund' AND x.channel = l.channel AND x.ref = l.ref AND x.out_no = l.out_no \
             JOIN bill_file f ON f.id = x.file + 0 WHERE l.file = verdict.file AND l.line = verdict.line \
             AND NOT {nameless} AND f.state = 'imported' AND f.day <= $2 AND ((verdict.class = 1 AND x.status NOT IN ({UNDER_WAY})) \
             OR (verdict.class = 5 AND x.status IN ({GIVEN_BACK}) AND (f.day > verdict.of_day OR (f.day = verdict.of_day \
             AND (x.file > l.file OR (x.file = l.file AND x.line > l.line)))))))",
            Ended::Said.code()
        ),
        &[of.name(), of.day()],
    )?;
    tx.execute(
        &format!(
            "UPDATE verdict SET until = $2, ended = {} WHERE scope = $1 AND leg = 1 AND source = 1 AND class IN ({HAD_CODES}) \
             AND until IS NULL AND is_matched = 0 AND amount > 0 AND amount = (SELECT SUM(-r.amount) FROM verdict r \
             WHERE r.scope = verdict.scope AND r.other = verdict.ref AND r.leg = 1 AND r.source = 4 AND r.class = 3 \
             AND r.until IS NULL)",
            Ended::Refunded.code()
        ),
        &[of.name(), of.day()],
    )?;
    tx.execute(
        &format!(
            "UPDATE verdict SET until = $2, ended = {0} WHERE {open} AND class = 3 AND EXISTS (SELECT 1 FROM verdict p \
             WHERE p.scope = verdict.scope AND p.leg = 1 AND p.source = 1 AND p.ref = verdict.other AND p.until = $2 AND p.ended = {0})",
            Ended::Refunded.code()
        ),
        &[of.name(), of.day()],
    )
    .map(drop)
}

/// Takes back some of what was made on the day or after it. Whether there may be more.
///
/// # Errors
/// [`StoreError`].
pub fn take_back(tx: &mut dyn Tx, of: &Scope) -> Result<bool, StoreError> {
    by_index(tx)?;
    for file in ever_files(tx, &of.channel, of.window.day)? {
        let first = tx.query_optional("SELECT MIN(line) FROM matched WHERE file = $1", &[file.into()])?;
        if let Some(first) = first.map(|mut row| row.optional_int(0)).transpose()?.flatten() {
            tx.execute(
                "DELETE FROM matched WHERE file = $1 AND line < $2",
                &[file.into(), (first + PART).into()],
            )?;
            return Ok(true);
        }
    }
    // Pairs of lines that had waited, before it is forgotten that they had.
    let parted = tx.execute(
        &format!(
            "DELETE FROM matched WHERE (file, line) IN (SELECT m.file, m.line FROM verdict v JOIN matched m ON m.file = v.file \
             AND m.line = v.line WHERE v.scope = $1 AND v.until >= $2 AND v.leg = 1 AND v.source = 1 AND v.ended = 1 LIMIT {PART})"
        ),
        &[of.name(), of.day()],
    )?;
    if parted > 0 {
        return Ok(true);
    }
    let opened = tx.execute(
        &format!(
            "UPDATE verdict SET until = NULL, ended = NULL WHERE ({KEY}) IN (SELECT {KEY} FROM verdict WHERE scope = $1 \
             AND until >= $2 LIMIT {PART})"
        ),
        &[of.name(), of.day()],
    )?;
    if opened > 0 {
        return Ok(true);
    }
    let forgotten = tx.execute(
        &format!(
            "DELETE FROM verdict WHERE ({KEY}) IN (SELECT {KEY} FROM verdict WHERE scope = $1 AND day >= $2 LIMIT {PART})"
        ),
        &[of.name(), of.day()],
    )?;
    Ok(forgotten > 0)
}

/// Files of trade formats of a channel's days from one on, whatever became of them: also of one that was withdrawn there may be pairs.
///
/// # Errors
/// [`StoreError`].
pub fn ever_files(tx: &mut dyn Tx, channel: &str, from: Day) -> Result<Vec<u64>, StoreError> {
    let rows = tx.query(
        &format!(
            "SELECT id FROM bill_file WHERE channel = $1 AND format IN ({TRADE_FORMATS}) AND day >= $2 ORDER BY id"
        ),
        &[channel.into(), from.to_string().into()],
    )?;
    rows.into_iter().map(|mut row| row.count(0)).collect()
}
