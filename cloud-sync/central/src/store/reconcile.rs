//! The funds leg of a channel's day, in sets: lines of trade bills against credits, by the channel's number, with an index for every look
//! at the other side. Each function is a part of a run and fits into a transaction that nobody waits long for; what a day's parts leave
//! behind is dated, so that a day is taken back and done again without its past. `reconcile::funds` says which comes after which.

use super::{Dialect, Row, StoreError, Tx, Value, bills::TRADE_FORMATS};
use crate::reconcile::{
    days::Window,
    totals::{Bill, Sum},
    words::{Class, Ended, Source},
};
use domain::{
    time::{Day, Wall},
    units::Fen,
};

/// The most rows that one transaction writes.
pub const PART: i64 = 20_000;

/// Words with which channels say of a payment that it was paid; `STATUS` is any other. A file without such a column has none.
const PAID: &str = "'', 'SUCCESS', '交易', '成功', '交易成功', '支付成功'";
/// And of a refund that it is done or under way.
const GIVEN_BACK: &str = "'', 'SUCCESS', 'PROCESSING', 'REVOKED', '退款', '成功', '退款成功'";

/// A transaction that is looked up by its number was credited before a time. The sums are nothing to an index: PostgreSQL, which knows
/// little of tables that were just filled, would read all credits up to that time for each number.
const CREDITED: &str = "t.credited + 0 = 1 AND t.at + 0 <";

const COLUMNS: &str =
    "scope, leg, source, ref, file, line, class, is_matched, day, of_day, at, amount, ours, theirs, other";
const KEY: &str = "scope, leg, source, ref, file, line, class, is_matched";

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
    fn day(&self) -> Value {
        self.window.day.to_string().into()
    }

    fn name(&self) -> Value {
        self.name.as_str().into()
    }

    fn channel(&self) -> Value {
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
}

/// The trade bills of a channel's days from one to another, in their order.
///
/// # Errors
/// [`StoreError`].
pub fn files(tx: &mut dyn Tx, channel: &str, from: Day, to: Day) -> Result<Vec<TradeFile>, StoreError> {
    let rows = tx.query(
        &format!(
            "SELECT id, format, day, sha256 FROM bill_file WHERE channel = $1 AND format IN ({TRADE_FORMATS}) AND day >= $2 \
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
        })
    };
    rows.into_iter().map(file).collect()
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

/// Has PostgreSQL go by indexes, whatever it thinks of tables that were just filled. SQLite has no other way.
fn by_index(tx: &mut dyn Tx) -> Result<(), StoreError> {
    if tx.dialect() == Dialect::Postgres {
        for way in ["seqscan", "hashjoin", "mergejoin"] {
            tx.execute(&format!("SET LOCAL enable_{way} = off"), &[])?;
        }
    }
    Ok(())
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
    // Pairs of lines that had waited.
    let parted = tx.execute(
        "DELETE FROM matched WHERE (file, line) IN (SELECT file, line FROM verdict WHERE scope = $1 AND until >= $2 AND leg = 1 \
         AND source = 1 AND ended = 1)",
        &[of.name(), of.day()],
    )?;
    let opened = tx.execute(
        &format!(
            "UPDATE verdict SET until = NULL, ended = NULL WHERE ({KEY}) IN (SELECT {KEY} FROM verdict WHERE scope = $1 \
             AND until >= $2 AND ended <> 4 LIMIT {PART})"
        ),
        &[of.name(), of.day()],
    )?;
    let forgotten = tx.execute(
        &format!(
            "DELETE FROM verdict WHERE ({KEY}) IN (SELECT {KEY} FROM verdict WHERE scope = $1 AND day >= $2 LIMIT {PART})"
        ),
        &[of.name(), of.day()],
    )?;
    Ok(parted + opened + forgotten > 0)
}

// Lines that are looked for by a number lead to their files (`f.id = e.file + 0`), and never files to all of their lines.

/// An earlier line of this kind with the same number: in a file of an earlier day, or before it.
fn earlier(kind: &str, same: &str, of_day: &str) -> String {
    format!(
        "EXISTS (SELECT 1 FROM bill_trade e JOIN bill_file f ON f.id = e.file + 0 WHERE e.kind = '{kind}' AND e.channel = l.channel \
         AND {same} AND f.state = 'imported' AND (f.day < {of_day} OR (f.day = {of_day} AND (e.file < l.file OR (e.file = l.file \
         AND e.line < l.line)))))"
    )
}

/// Verdicts of payments that are not simply in a pair. `$1` scope, `$2` day, `$3` its end, `$4` from where on it is early, `$5` fee.
fn judge_payments(of_day: &str, from: &str) -> String {
    let duplicate = earlier("payment", "e.ref = l.ref", of_day);
    format!(
        "INSERT INTO verdict ({COLUMNS}) \
         SELECT CAST($1 AS TEXT), 1, 1, j.ref, j.file, j.line, j.class, j.is_matched, CAST($2 AS TEXT), j.of_day, j.at, j.amount, \
         CASE j.class WHEN 6 THEN j.due ELSE j.credited END, CASE j.class WHEN 6 THEN j.fee ELSE j.amount END, NULL \
         FROM (SELECT l.ref, l.file, l.line, l.at, l.amount, l.fee, {of_day} AS of_day, t.amount AS credited, \
         (l.settled * CAST($5 AS BIGINT) + 500000) / 1000000 AS due, CASE WHEN m.ref IS NULL THEN 0 ELSE 1 END AS is_matched, \
         CASE WHEN m.ref IS NULL THEN CASE \
         WHEN {duplicate} THEN 7 \
         WHEN NOT EXISTS (SELECT 1 FROM topup u WHERE u.channel = l.channel AND u.ref = l.out_no) \
         AND (SELECT COUNT(*) FROM (SELECT 1 FROM topup c WHERE c.channel = l.channel AND c.amount = l.amount \
         AND c.made_at > l.at - 86400000 AND c.made_at <= l.at \
         AND (c.credited_at IS NULL OR c.credited_at >= CAST($3 AS BIGINT)) LIMIT 2) candidates) = 2 THEN 8 \
         WHEN l.at >= CAST($4 AS BIGINT) THEN 1 ELSE 2 END \
         WHEN t.ref <> l.out_no THEN 8 \
         WHEN t.amount <> l.amount THEN 4 \
         WHEN l.status NOT IN ({PAID}) THEN 5 \
         WHEN l.fee <> (l.settled * CAST($5 AS BIGINT) + 500000) / 1000000 THEN 6 \
         ELSE 0 END AS class \
         FROM {from}) j WHERE j.class <> 0"
    )
}

/// The credit of a line's pair, if it has one.
const PAIR: &str = "LEFT JOIN matched m ON m.file = l.file AND m.line = l.line \
     LEFT JOIN channel_transaction t ON t.channel = m.channel AND t.id = m.ref";

fn judging(of: &Scope) -> Vec<Value> {
    vec![
        of.name(),
        of.day(),
        of.window.end.0.into(),
        of.window.grace_from.0.into(),
        u64::from(of.fee_ppm).into(),
    ]
}

/// Payments that waited on the day before: those that are credited by now, and those that waited for the next day's callbacks only.
///
/// # Errors
/// [`StoreError`].
pub fn waiting_payments(tx: &mut dyn Tx, of: &Scope) -> Result<(), StoreError> {
    by_index(tx)?;
    let waiting = "scope = $1 AND leg = 1 AND source = 1 AND class IN (1, 2, 8) AND until IS NULL AND is_matched = 0";
    tx.execute(
        &format!(
            "INSERT INTO matched (channel, ref, file, line, amount) \
             SELECT t.channel, t.id, v.file, v.line, t.amount FROM (SELECT ref, file, line FROM verdict WHERE {waiting}) v \
             CROSS JOIN channel_transaction t WHERE t.channel = $2 AND t.id = v.ref AND {CREDITED} $3 \
             ORDER BY v.file, v.line ON CONFLICT (channel, ref) DO NOTHING"
        ),
        &[of.name(), of.channel(), of.window.end.0.into()],
    )?;
    tx.execute(
        &format!(
            "UPDATE verdict SET until = $2, ended = {} WHERE {waiting} AND EXISTS (SELECT 1 FROM matched m \
             WHERE m.file = verdict.file AND m.line = verdict.line)",
            Ended::Matched.code()
        ),
        &[of.name(), of.day()],
    )?;
    tx.execute(
        &format!(
            "UPDATE verdict SET until = $2, ended = {} WHERE {waiting} AND class = 1",
            Ended::Changed.code()
        ),
        &[of.name(), of.day()],
    )?;
    let from = format!(
        "(SELECT of_day, file, line FROM verdict WHERE scope = $1 AND leg = 1 AND source = 1 AND until = $2 AND ended IN (1, 2) \
         AND is_matched = 0) v CROSS JOIN bill_trade l {PAIR} WHERE l.file = v.file AND l.line = v.line"
    );
    tx.execute(&judge_payments("v.of_day", &from), &judging(of)).map(drop)
}

/// The last line of the next part of a file after a line; none where there is no more.
///
/// # Errors
/// [`StoreError`].
pub fn part_of_lines(tx: &mut dyn Tx, file: u64, after: i64) -> Result<Option<i64>, StoreError> {
    let row = tx.query_optional(
        &format!(
            "SELECT MAX(line) FROM (SELECT line FROM bill_trade WHERE file = $1 AND line > $2 ORDER BY line LIMIT {PART}) part"
        ),
        &[file.into(), after.into()],
    )?;
    Ok(row.map(|mut row| row.optional_int(0)).transpose()?.flatten())
}

/// A part of the lines of the day's bill, from after a line up to another: pairs, and what is to be said of the others.
///
/// # Errors
/// [`StoreError`].
pub fn new_lines(tx: &mut dyn Tx, of: &Scope, file: u64, (after, to): (i64, i64)) -> Result<(), StoreError> {
    by_index(tx)?;
    tx.execute(
        &format!(
            "INSERT INTO matched (channel, ref, file, line, amount) SELECT t.channel, t.id, l.file, l.line, t.amount \
         FROM bill_trade l CROSS JOIN channel_transaction t WHERE l.file = $1 AND l.line > $2 AND l.line <= $3 \
         AND l.kind = 'payment' AND t.channel = l.channel AND t.id = l.ref AND {CREDITED} $4 \
         ORDER BY l.line ON CONFLICT (channel, ref) DO NOTHING"
        ),
        &[file.into(), after.into(), to.into(), of.window.end.0.into()],
    )?;
    let part: [Value; 3] = [file.into(), after.into(), to.into()];
    let from = format!("bill_trade l {PAIR} WHERE l.file = $6 AND l.line > $7 AND l.line <= $8 AND l.kind = 'payment'");
    let mut values = judging(of);
    values.extend(part.clone());
    tx.execute(&judge_payments("CAST($2 AS TEXT)", &from), &values)?;
    let mut values = vec![of.name(), of.day(), of.window.end.0.into()];
    values.extend(part);
    tx.execute(&judge_refunds(), &values).map(drop)
}

/// Verdicts of refunds. `$1` scope, `$2` day, `$3` its end, `$4` file, `$5` after which line, `$6` up to which.
fn judge_refunds() -> String {
    let duplicate = earlier("refund", "e.ref = l.ref AND e.out_no = l.out_no", "CAST($2 AS TEXT)");
    format!(
        "INSERT INTO verdict ({COLUMNS}) \
         SELECT CAST($1 AS TEXT), 1, 4, j.ref, j.file, j.line, j.class, 0, CAST($2 AS TEXT), CAST($2 AS TEXT), j.at, j.amount, \
         CASE j.class WHEN 10 THEN j.captured WHEN 3 THEN j.credited END, CASE j.class WHEN 10 THEN -j.back ELSE j.amount END, \
         j.payment FROM (SELECT l.*, CASE WHEN {duplicate} THEN 7 WHEN l.status NOT IN ({GIVEN_BACK}) THEN 5 \
         WHEN l.payment IS NULL THEN 9 WHEN l.back > l.captured THEN 10 WHEN l.credited IS NOT NULL THEN 3 ELSE 1 END AS class \
         FROM (SELECT k.*, \
         (SELECT MIN(p.amount) FROM bill_trade p JOIN bill_file f ON f.id = p.file + 0 WHERE p.kind = 'payment' \
         AND p.channel = k.channel AND p.ref = k.payment AND f.state = 'imported') AS captured, \
         (SELECT t.amount FROM channel_transaction t WHERE t.channel = k.channel AND t.id = k.payment \
         AND {CREDITED} CAST($3 AS BIGINT)) AS credited, \
         (SELECT CAST(COALESCE(SUM(y.back), 0) AS BIGINT) FROM (SELECT MAX(-x.amount) AS back FROM bill_trade x \
         JOIN bill_file f ON f.id = x.file + 0 WHERE x.kind = 'refund' AND x.channel = k.channel AND x.origin = k.origin \
         AND (x.origin_ref IS NULL OR k.origin_ref IS NULL OR x.origin_ref = k.origin_ref) AND x.status IN ({GIVEN_BACK}) \
         AND f.state = 'imported' AND (f.day < CAST($2 AS TEXT) OR (f.day = CAST($2 AS TEXT) AND (x.file < k.file \
         OR (x.file = k.file AND x.line <= k.line)))) GROUP BY x.ref, x.out_no) y) AS back \
         FROM (SELECT r.channel, r.ref, r.out_no, r.origin, r.origin_ref, r.file, r.line, r.at, r.amount, r.status, \
         (SELECT MIN(p.ref) FROM bill_trade p JOIN bill_file f ON f.id = p.file + 0 WHERE p.kind = 'payment' AND p.channel = r.channel \
         AND p.out_no = r.origin AND (r.origin_ref IS NULL OR p.ref = r.origin_ref) AND f.state = 'imported' \
         AND f.day <= CAST($2 AS TEXT)) AS payment \
         FROM bill_trade r WHERE r.kind = 'refund' AND r.file = $4 AND r.line > $5 AND r.line <= $6) k) l) j"
    )
}

/// Refunds that waited: those whose payment is credited by now, and those that together are all of a payment that nobody was credited
/// for, which is done with then.
///
/// # Errors
/// [`StoreError`].
pub fn waiting_refunds(tx: &mut dyn Tx, of: &Scope) -> Result<(), StoreError> {
    by_index(tx)?;
    tx.execute(
        &format!(
            "INSERT INTO verdict ({COLUMNS}) SELECT v.scope, 1, 4, v.ref, v.file, v.line, 3, 0, CAST($2 AS TEXT), v.of_day, v.at, \
             v.amount, t.amount, v.amount, v.other FROM (SELECT * FROM verdict WHERE scope = $1 AND leg = 1 AND source = 4 \
             AND class = 1 AND until IS NULL) v CROSS JOIN channel_transaction t WHERE t.channel = $3 AND t.id = v.other \
             AND {CREDITED} $4"
        ),
        &[of.name(), of.day(), of.channel(), of.window.end.0.into()],
    )?;
    taken_over(tx, of, Source::Refund)?;
    tx.execute(
        &format!(
            "UPDATE verdict SET until = $2, ended = {} WHERE scope = $1 AND leg = 1 AND source = 1 AND class IN (1, 2, 8) \
             AND until IS NULL AND is_matched = 0 AND amount > 0 AND amount = (SELECT SUM(-r.amount) FROM verdict r \
             WHERE r.scope = verdict.scope AND r.other = verdict.ref AND r.leg = 1 AND r.source = 4 AND r.class = 1 \
             AND r.until IS NULL)",
            Ended::Refunded.code()
        ),
        &[of.name(), of.day()],
    )?;
    tx.execute(
        &format!(
            "UPDATE verdict SET until = $2, ended = {0} WHERE scope = $1 AND leg = 1 AND source = 4 AND class = 1 \
             AND until IS NULL AND EXISTS (SELECT 1 FROM verdict p WHERE p.scope = verdict.scope AND p.leg = 1 AND p.source = 1 \
             AND p.ref = verdict.other AND p.until = $2 AND p.ended = {0})",
            Ended::Refunded.code()
        ),
        &[of.name(), of.day()],
    )
    .map(drop)
}

/// What was PENDING is SHORT from today on, where a verdict says so.
fn taken_over(tx: &mut dyn Tx, of: &Scope, source: Source) -> Result<(), StoreError> {
    tx.execute(
        &format!(
            "UPDATE verdict SET until = $2, ended = {} WHERE scope = $1 AND leg = 1 AND source = {} AND class = 1 AND until IS NULL \
             AND EXISTS (SELECT 1 FROM verdict s WHERE s.scope = verdict.scope AND s.leg = 1 AND s.source = verdict.source \
             AND s.ref = verdict.ref AND s.file = verdict.file AND s.line = verdict.line AND s.class = 3 AND s.is_matched = 0 \
             AND s.day = $2)",
            Ended::Changed.code(),
            source.code()
        ),
        &[of.name(), of.day()],
    )
    .map(drop)
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
             t.amount, NULL, NULL FROM channel_transaction t WHERE t.channel = $3 AND t.credited = 1 AND t.at >= $4 AND t.at < $5 \
             AND NOT EXISTS (SELECT 1 FROM matched m WHERE m.channel = t.channel AND m.ref = t.id)",
            Class::Short.code(),
            Class::Pending.code()
        ),
        &[of.name(), of.day(), of.channel(), from.0.into(), to.0.into(), due_before.into()],
    )
    .map(drop)
}

/// Some of the credits that waited: those that have found their line, and those that are due now. Whether there may be more.
///
/// # Errors
/// [`StoreError`].
pub fn waiting_credits(tx: &mut dyn Tx, of: &Scope) -> Result<bool, StoreError> {
    by_index(tx)?;
    let open = "scope = $1 AND leg = 1 AND source = 2 AND until IS NULL";
    let found = tx.execute(
        &format!(
            "UPDATE verdict SET until = $2, ended = {} WHERE ({KEY}) IN (SELECT {KEY} FROM verdict v WHERE {open} AND EXISTS \
             (SELECT 1 FROM matched m WHERE m.channel = $3 AND m.ref = v.ref) LIMIT {PART})",
            Ended::Matched.code()
        ),
        &[of.name(), of.day(), of.channel()],
    )?;
    if found > 0 || !of.is_complete {
        return Ok(found > 0);
    }
    let due = tx.execute(
        &format!(
            "INSERT INTO verdict ({COLUMNS}) SELECT scope, 1, 2, ref, 0, 0, {}, 0, CAST($2 AS TEXT), of_day, at, amount, ours, NULL, \
             NULL FROM verdict WHERE {open} AND class = {} AND at < $3 LIMIT {PART}",
            Class::Short.code(),
            Class::Pending.code()
        ),
        &[of.name(), of.day(), of.window.due_before.0.into()],
    )?;
    taken_over(tx, of, Source::Credit)?;
    Ok(due > 0)
}

/// Days before this one whose bill was due this morning and is not there.
///
/// # Errors
/// [`StoreError`].
pub fn missing_files(tx: &mut dyn Tx, of: &Scope, missing: &[Day]) -> Result<(), StoreError> {
    for day in missing.iter().filter(|day| **day < of.window.day) {
        tx.execute(
            &format!(
                "INSERT INTO verdict ({COLUMNS}) VALUES ($1, 2, 3, $3, 0, 0, {}, 0, $2, $3, $4, 0, NULL, NULL, NULL) \
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
