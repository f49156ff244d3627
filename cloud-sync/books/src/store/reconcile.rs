//! The funds leg of a channel's day, in sets: lines of trade bills against credits, by the channel's number, with an index for every look
//! at the other side. Each function is a part of a run and fits into a transaction that nobody waits long for; what a day's parts leave
//! behind is dated, so that a day is taken back and done again without its past. `reconcile::funds` says which comes after which.

use super::{
    Dialect, Row, StoreError, Tx, Value,
    bills::TRADE_FORMATS,
    reconcile_judge::{COLUMNS, Payments, differs, payments, refunds},
};
use crate::reconcile::{
    days::Window,
    totals::{Bill, Sum},
    words::Class,
};
use domain::{
    time::{Day, Wall},
    units::Fen,
};

/// The most rows that one transaction writes.
pub const PART: i64 = 20_000;

/// A transaction that is looked up by its number was credited before a time. The sums are nothing to an index: PostgreSQL, which knows
/// little of tables that were just filled, would read all credits up to that time for each number.
pub(super) const CREDITED: &str = "t.credited + 0 = 1 AND t.at + 0 <";

pub(super) const KEY: &str = "scope, leg, source, ref, file, line, class, is_matched";

/// How much earlier than the channel says of a payment, and how much later, most are credited, in milliseconds.
const CREDITED_BEFORE_MS: i64 = 60_000;
const CREDITED_AFTER_MS: i64 = 600_000;
/// The most credits that are held against a part's lines together.
const TOGETHER: i64 = 4 * PART;

/// What a run is about.
#[derive(Debug, Clone)]
pub struct Scope {
    /// Its name: `channel:` and the channel's.
    pub name: String,
    /// The channel.
    pub channel: String,
    /// What it keeps of a payment, in millionths.
    pub fee_ppm: u32,
    /// The day.
    pub window: Window,
    /// Whether the bill of the day, and of every day before it, is there.
    pub is_complete: bool,
}

impl Scope {
    pub(super) fn day(&self) -> Value {
        self.window.day.to_string().into()
    }

    pub(super) fn name(&self) -> Value {
        self.name.as_str().into()
    }

    pub(super) fn channel(&self) -> Value {
        self.channel.as_str().into()
    }
}

/// A trade bill that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TradeFile {
    /// Its number.
    pub id: u64,
    /// Its format.
    pub format: String,
    /// Its day.
    pub day: Day,
    /// The SHA-256 of its bytes.
    pub sha256: String,
    /// How many lines it has.
    pub lines: i64,
    /// When it came.
    pub made_at: Wall,
}

/// Whether a day's bill has many lines.
pub fn is_large(files: &[TradeFile]) -> bool {
    files.iter().any(|file| file.lines > PART)
}

/// The trade bills of a channel's days from one to another, in their order.
///
/// # Errors
/// [`StoreError`].
pub fn files(tx: &mut dyn Tx, channel: &str, from: Day, to: Day) -> Result<Vec<TradeFile>, StoreError> {
    let rows = tx.query(
        &format!(
            "SELECT id, format, day, sha256, lines, made_at FROM bill_file WHERE channel = $1 AND format IN ({TRADE_FORMATS}) AND day >= $2 \
             AND day <= $3 AND state = 'imported' ORDER BY day, id"
        ),
        &[channel.into(), from.to_string().into(), to.to_string().into()],
    )?;
    let file = |mut row: Row| {
        Ok(TradeFile {
            id: row.count(0)?,
            format: row.text(1)?,
            day: row.text(2)?.parse().map_err(StoreError::Broken)?,
            sha256: row.text(3)?,
            lines: row.int(4)?,
            made_at: Wall(row.int(5)?),
        })
    };
    rows.into_iter().map(file).collect()
}

/// Has PostgreSQL go by indexes, whatever it thinks of tables that were just filled. SQLite has no other way. What is forbidden costs as
/// much as a statement that takes hours, and would be compiled each time as if it did: that takes longer than the statement.
pub(super) fn by_index(tx: &mut dyn Tx) -> Result<(), StoreError> {
    if tx.dialect() == Dialect::Postgres {
        for way in ["enable_seqscan", "enable_hashjoin", "enable_mergejoin", "jit"] {
            tx.execute(&format!("SET LOCAL {way} = off"), &[])?;
        }
    }
    Ok(())
}

/// The pair of a line, if it has one.
pub(super) const PAIR: &str = "LEFT JOIN matched m ON m.file = l.file AND m.line = l.line";

/// What judging payments goes by.
pub(super) fn judging(of: &Scope) -> Vec<Value> {
    vec![
        of.name(),
        of.day(),
        of.window.end.0.into(),
        of.window.grace_from.0.into(),
        u64::from(of.fee_ppm).into(),
    ]
}

/// The last line of the next part of a file after a line; none where there is no more.
///
/// # Errors
/// [`StoreError`].
pub fn part_of_lines(tx: &mut dyn Tx, file: u64, after: i64) -> Result<Option<i64>, StoreError> {
    let row = tx.query_optional(
        "SELECT line FROM bill_trade WHERE file = $1 AND line > $2 ORDER BY line LIMIT 1",
        &[file.into(), after.into()],
    )?;
    Ok(row.map(|mut row| row.int(0)).transpose()?.map(|first| first + PART - 1))
}

/// A part of the lines of the day's bill, from after a line up to another: pairs, and what is to be said of the others.
///
/// # Errors
/// [`StoreError`].
pub fn new_lines(tx: &mut dyn Tx, of: &Scope, file: u64, (after, to): (i64, i64)) -> Result<(), StoreError> {
    let part: [Value; 3] = [file.into(), after.into(), to.into()];
    let columns = "channel, ref, out_no, file, line, amount, settled, fee, status";
    let lines = "bill_trade WHERE file = $1 AND line > $2 AND line <= $3 AND kind = 'payment'";
    let without_pair = format!(
        "SELECT {columns} FROM {lines} AND NOT EXISTS (SELECT 1 FROM matched m WHERE m.file = bill_trade.file \
         AND m.line = bill_trade.line)"
    );
    let rest = match tx.dialect() {
        Dialect::Postgres => {
            most_pairs(tx, of, &part)?;
            // Those first, and then their credits.
            format!("({without_pair} OFFSET 0) l")
        }
        Dialect::Sqlite => format!("(SELECT {columns} FROM {lines}) l"),
    };
    by_index(tx)?;
    let differs = differs("CAST($4 AS BIGINT)");
    let mut values = part.to_vec();
    values.extend([u64::from(of.fee_ppm).into(), of.window.end.0.into()]);
    tx.execute(
        &format!(
            "INSERT INTO matched (channel, ref, file, line, amount, differs) \
             SELECT t.channel, t.id, l.file, l.line, t.amount, {differs} FROM {rest} CROSS JOIN channel_transaction t \
             WHERE t.channel = l.channel AND t.id = l.ref AND {CREDITED} $5 ORDER BY l.line ON CONFLICT (channel, ref) DO NOTHING"
        ),
        &values,
    )?;
    let judge = payments(&Payments {
        of_day: "CAST($2 AS TEXT)",
        fee_ppm: "CAST($5 AS BIGINT)",
        was: "0",
        from: &format!(
            "bill_trade l {PAIR} WHERE l.file = $6 AND l.line > $7 AND l.line <= $8 AND l.kind = 'payment' \
             AND (m.ref IS NULL OR m.differs = 1)"
        ),
    });
    let mut values = judging(of);
    values.extend(part.clone());
    tx.execute(&judge, &values)?;
    let mut values = vec![of.name(), of.day()];
    values.extend(part);
    let lines = "bill_trade r WHERE r.kind = 'refund' AND r.file = $3 AND r.line > $4 AND r.line <= $5";
    tx.execute(&refunds("CAST($2 AS TEXT)", "0", lines), &values).map(drop)
}

/// Has PostgreSQL learn how tables are filled of which a day has just filled much: without it all indexes are the same to it, and the one
/// that leads to a channel's lines as good as the one that leads to a line's number.
///
/// # Errors
/// [`StoreError`].
pub fn learn(tx: &mut dyn Tx, tables: &[&str]) -> Result<(), StoreError> {
    if tx.dialect() == Dialect::Postgres {
        for table in tables {
            tx.execute(&format!("ANALYZE {table}"), &[])?;
        }
    }
    Ok(())
}

/// Pairs of a part's lines with what was credited about the time at which the channel says that it was paid: nearly all of them, without
/// looking for each by its number. What comes of a day does not depend on it.
fn most_pairs(tx: &mut dyn Tx, of: &Scope, part: &[Value]) -> Result<(), StoreError> {
    let times = "SELECT MIN(at), MAX(at) FROM bill_trade WHERE file = $1 AND line > $2 AND line <= $3";
    let mut row = one(tx, times, part)?;
    let (Some(first), Some(last)) = (row.optional_int(0)?, row.optional_int(1)?) else {
        return Ok(());
    };
    let from = first.saturating_sub(CREDITED_BEFORE_MS);
    let to = last.saturating_add(CREDITED_AFTER_MS).min(of.window.end.0);
    let mut row = one(
        tx,
        &format!(
            "SELECT COUNT(*) FROM (SELECT 1 FROM channel_transaction WHERE channel = $1 AND credited = 1 AND at >= $2 AND at < $3 \
             LIMIT {TOGETHER} + 1) near"
        ),
        &[of.channel(), from.into(), to.into()],
    )?;
    if row.int(0)? > TOGETHER {
        // Lines that do not stand by their times.
        return Ok(());
    }
    for way in ["enable_nestloop", "enable_seqscan", "jit"] {
        tx.execute(&format!("SET LOCAL {way} = off"), &[])?;
    }
    let differs = differs("CAST($4 AS BIGINT)");
    let mut values = part.to_vec();
    values.extend([u64::from(of.fee_ppm).into(), of.channel(), from.into(), to.into()]);
    tx.execute(
        &format!(
            "INSERT INTO matched (channel, ref, file, line, amount, differs) SELECT t.channel, t.id, l.file, l.line, t.amount, {differs} \
             FROM (SELECT * FROM bill_trade WHERE file = $1 AND line > $2 AND line <= $3 AND kind = 'payment') l \
             JOIN (SELECT * FROM channel_transaction WHERE channel = $5 AND credited = 1 AND at >= $6 AND at < $7) t ON t.id = l.ref \
             ORDER BY l.line ON CONFLICT (channel, ref) DO NOTHING"
        ),
        &values,
    )?;
    tx.execute("SET LOCAL enable_nestloop = on", &[]).map(drop)
}

/// Where the next part of the day's credits ends that begins at a time; none where there are none.
///
/// # Errors
/// [`StoreError`].
pub fn part_of_credits(tx: &mut dyn Tx, of: &Scope, from: Wall) -> Result<Option<Wall>, StoreError> {
    let row = tx.query_optional(
        &format!(
            "SELECT MAX(at) FROM (SELECT at FROM channel_transaction WHERE channel = $1 AND credited = 1 AND at >= $2 AND at < $3 \
             ORDER BY at LIMIT {PART}) part"
        ),
        &[of.channel(), from.0.into(), of.window.end.0.into()],
    )?;
    let last = row.map(|mut row| row.optional_int(0)).transpose()?.flatten();
    Ok(last.map(|last| Wall(last + 1)))
}

/// A part of the day's credits, by their times: those that are in no pair.
///
/// # Errors
/// [`StoreError`].
pub fn new_credits(tx: &mut dyn Tx, of: &Scope, (from, to): (Wall, Wall)) -> Result<(), StoreError> {
    by_index(tx)?;
    // Whatever was booked before this is due; nothing is where a bill is missing.
    let due_before = if of.is_complete {
        of.window.due_before.0
    } else {
        i64::MIN
    };
    tx.execute(
        &format!(
            "INSERT INTO verdict ({COLUMNS}) SELECT CAST($1 AS TEXT), 1, 2, t.id, 0, 0, \
             CASE WHEN t.at < CAST($6 AS BIGINT) THEN {} ELSE {} END, 0, CAST($2 AS TEXT), CAST($2 AS TEXT), t.at, t.amount, \
             t.amount, NULL, NULL, 0 FROM channel_transaction t WHERE t.channel = $3 AND t.credited = 1 AND t.at >= $4 AND t.at < $5 \
             AND NOT EXISTS (SELECT 1 FROM matched m WHERE m.channel = t.channel AND m.ref = t.id)",
            Class::Short.code(),
            Class::Pending.code()
        ),
        &[of.name(), of.day(), of.channel(), from.0.into(), to.0.into(), due_before.into()],
    )
    .map(drop)
}

/// Days before this one whose bill was due this morning and is not there.
///
/// # Errors
/// [`StoreError`].
pub fn missing_files(tx: &mut dyn Tx, of: &Scope, missing: &[Day]) -> Result<(), StoreError> {
    for day in missing.iter().filter(|day| **day < of.window.day) {
        tx.execute(
            &format!(
                "INSERT INTO verdict ({COLUMNS}) VALUES ($1, 2, 3, $3, 0, 0, {}, 0, $2, $3, $4, 0, NULL, NULL, NULL, 0) \
                 ON CONFLICT ({KEY}) DO NOTHING",
                Class::FileMissing.code()
            ),
            &[of.name(), of.day(), day.to_string().into(), of.window.begin.0.into()],
        )?;
    }
    Ok(())
}

fn sum_at(row: &mut Row, at: usize) -> Result<Sum, StoreError> {
    Ok(Sum {
        count: row.int(at)?,
        amount: Fen(row.optional_int(at + 1)?.unwrap_or(0)),
    })
}

fn one(tx: &mut dyn Tx, statement: &str, values: &[Value]) -> Result<Row, StoreError> {
    let row = tx.query_optional(statement, values)?;
    row.ok_or_else(|| StoreError::Broken("a sum has no row".to_owned()))
}

/// Credits from one time up to another.
///
/// # Errors
/// [`StoreError`].
pub fn credits(tx: &mut dyn Tx, channel: &str, window: &Window) -> Result<Sum, StoreError> {
    let mut row = one(
        tx,
        "SELECT COUNT(*), CAST(SUM(amount) AS BIGINT) FROM channel_transaction WHERE channel = $1 AND credited = 1 AND at >= $2 \
         AND at < $3",
        &[channel.into(), window.begin.0.into(), window.end.0.into()],
    )?;
    sum_at(&mut row, 0)
}

/// Credits of a day whose bill is not there, that are in no pair.
///
/// # Errors
/// [`StoreError`].
pub fn unlisted(tx: &mut dyn Tx, channel: &str, window: &Window) -> Result<Sum, StoreError> {
    let mut row = one(
        tx,
        "SELECT COUNT(*), CAST(SUM(t.amount) AS BIGINT) FROM channel_transaction t WHERE t.channel = $1 AND t.credited = 1 \
         AND t.at >= $2 AND t.at < $3 AND NOT EXISTS (SELECT 1 FROM matched m WHERE m.channel = t.channel AND m.ref = t.id)",
        &[channel.into(), window.begin.0.into(), window.end.0.into()],
    )?;
    sum_at(&mut row, 0)
}

/// What the day's bill comes to.
///
/// # Errors
/// [`StoreError`].
pub fn bill(tx: &mut dyn Tx, files: &[TradeFile]) -> Result<Bill, StoreError> {
    let mut bill = Bill::default();
    for file in files {
        let rows = tx.query(
            "SELECT kind, COUNT(*), CAST(SUM(amount) AS BIGINT), CAST(SUM(settled) AS BIGINT), CAST(SUM(fee) AS BIGINT) \
             FROM bill_trade WHERE file = $1 GROUP BY kind",
            &[file.id.into()],
        )?;
        for mut row in rows {
            let of_kind = match row.text(0)?.as_str() {
                "payment" => &mut bill.gross,
                _ => &mut bill.refunds,
            };
            *of_kind = of_kind.plus(sum_at(&mut row, 1)?);
            let (settled, fee) = (row.int(3)?, row.int(4)?);
            bill.fees.0 += fee;
            bill.net.0 += settled - fee;
        }
    }
    Ok(bill)
}

/// Pairs that were made on the day: by the amounts of credits, and by those of lines.
///
/// # Errors
/// [`StoreError`].
pub fn pairs(tx: &mut dyn Tx, of: &Scope, files: &[TradeFile]) -> Result<(Sum, Sum), StoreError> {
    let sums = "SELECT COUNT(*), CAST(SUM(m.amount) AS BIGINT), COUNT(*), CAST(SUM(l.amount) AS BIGINT)";
    let pair = "m.file = l.file AND m.line = l.line";
    let (mut by_credits, mut by_lines) = (Sum::default(), Sum::default());
    let mut rows = Vec::new();
    for file in files {
        let of_file = format!("{sums} FROM bill_trade l JOIN matched m ON {pair} WHERE l.file = $1");
        rows.push(one(tx, &of_file, &[file.id.into()])?);
    }
    let waited = format!(
        "{sums} FROM (SELECT file, line FROM verdict WHERE scope = $1 AND until = $2 AND leg = 1 AND source = 1 AND ended = 1) v \
         CROSS JOIN bill_trade l CROSS JOIN matched m WHERE l.file = v.file AND l.line = v.line AND {pair}"
    );
    rows.push(one(tx, &waited, &[of.name(), of.day()])?);
    for mut row in rows {
        by_credits = by_credits.plus(sum_at(&mut row, 0)?);
        by_lines = by_lines.plus(sum_at(&mut row, 2)?);
    }
    Ok((by_credits, by_lines))
}
