//! Channels' bills: files, and their lines. A file's lines go in a part at a time, so that nobody waits for all of them; they count
//! from the moment in which the file does.

use super::{
    Row, SetStatement, StoreError, Tx, Value, jobs,
    set::{Present, int, text},
};
use ::bills::{Format, Line, Sums};
use domain::{
    time::{Day, Wall},
    units::Fen,
};

/// How long an import may say nothing before what it has left behind is taken away, in milliseconds.
pub const ALIVE_MS: i64 = 5 * 60_000;
/// How many lines of what was left behind are taken away in one transaction.
const SWEPT_MAX: i64 = 20_000;

/// A file that was imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its number.
    pub id: u64,
    /// Whose bill it is.
    pub channel: String,
    /// What kind of file.
    pub format: Format,
    /// Of which day.
    pub day: Day,
    /// The SHA-256 of its bytes, in hexadecimal digits.
    pub sha256: String,
    /// How many bytes.
    pub bytes: u64,
    /// What it comes to.
    pub sums: Sums,
    /// When it was imported.
    pub made_at: Wall,
    /// By whom.
    pub made_by: String,
}

/// The columns of a [`File`].
pub(super) const COLUMNS: &str =
    "id, channel, format, day, sha256, bytes, lines, income, outgo, fees, made_at, made_by";

pub(super) fn file(mut row: Row) -> Result<File, StoreError> {
    Ok(File {
        id: row.count(0)?,
        channel: row.text(1)?,
        format: row.text(2)?.parse().map_err(StoreError::Broken)?,
        day: row.text(3)?.parse().map_err(StoreError::Broken)?,
        sha256: row.text(4)?,
        bytes: row.count(5)?,
        sums: Sums {
            lines: row.count(6)?,
            income: Fen(row.int(7)?),
            outgo: Fen(row.int(8)?),
            fees: Fen(row.int(9)?),
        },
        made_at: Wall(row.int(10)?),
        made_by: row.text(11)?,
    })
}

/// Lines of trade formats.
const TRADES: SetStatement = SetStatement {
    table: "bill_trade",
    keys: 2,
    columns: &[
        int("file"),
        int("line"),
        text("channel"),
        text("kind"),
        text("ref"),
        text("out_no"),
        text("origin"),
        text("origin_ref"),
        int("amount"),
        int("settled"),
        int("fee"),
        text("status"),
        int("at"),
        text("name"),
    ],
    present: Present::Refuse,
};

/// Lines of bills of the account.
const FUNDS: SetStatement = SetStatement {
    table: "bill_fund",
    keys: 2,
    columns: &[
        int("file"),
        int("line"),
        text("channel"),
        text("kind"),
        text("ref"),
        text("out_no"),
        text("number"),
        int("amount"),
        text("status"),
        int("at"),
        text("name"),
    ],
    present: Present::Refuse,
};

/// Formats whose lines are trades, one by one, in the words of the database.
pub(super) const TRADE_FORMATS: &str = "'wechat_trade', 'alipay_trade', 'csv'";
/// The formats of bills of the account, as SQL.
pub(super) const FUND_FORMATS: &str = "'wechat_fund', 'alipay_fund'";

/// Where a format's lines are.
const fn lines_of(format: Format) -> &'static SetStatement {
    match format {
        Format::WechatTrade | Format::AlipayTrade | Format::Csv => &TRADES,
        Format::WechatFund | Format::AlipayFund => &FUNDS,
    }
}

/// A line of a channel's file as a row, for [`add`].
pub fn row(channel: &str, format: Format, file: u64, of: Line) -> Vec<Value> {
    let mut row = vec![
        file.into(),
        of.line.into(),
        channel.into(),
        of.kind.word().into(),
        of.reference.into(),
        of.out_no.into(),
    ];
    match format {
        Format::WechatTrade | Format::AlipayTrade | Format::Csv => row.extend([
            of.origin.into(),
            of.origin_ref.into(),
            of.amount.0.into(),
            of.settled.0.into(),
            of.fee.0.into(),
        ]),
        Format::WechatFund | Format::AlipayFund => row.extend([of.number.into(), of.amount.0.into()]),
    }
    row.extend([of.status.into(), of.at.0.into(), of.name.into()]);
    row
}

/// The file of a channel's day, of this format.
///
/// # Errors
/// [`StoreError`].
pub fn of_day(tx: &mut dyn Tx, channel: &str, format: Format, day: Day) -> Result<Option<File>, StoreError> {
    let row = tx.query_optional(
        &format!(
            "SELECT {COLUMNS} FROM bill_file WHERE channel = $1 AND format = $2 AND day = $3 AND state = 'imported'"
        ),
        &[channel.into(), format.word().into(), day.to_string().into()],
    )?;
    row.map(file).transpose()
}

/// A file with these bytes and a line in it: bytes without a line may be those of several days on which nothing was.
///
/// # Errors
/// [`StoreError`].
pub fn with_bytes(tx: &mut dyn Tx, sha256: &str) -> Result<Option<File>, StoreError> {
    let row = tx.query_optional(
        &format!(
            "SELECT {COLUMNS} FROM bill_file WHERE sha256 = $1 AND state = 'imported' AND lines > 0 ORDER BY id LIMIT 1"
        ),
        &[sha256.into()],
    )?;
    row.map(file).transpose()
}

/// A file of this number.
///
/// # Errors
/// [`StoreError`].
pub fn find(tx: &mut dyn Tx, id: u64) -> Result<Option<File>, StoreError> {
    let row = tx.query_optional(
        &format!("SELECT {COLUMNS} FROM bill_file WHERE id = $1 AND state = 'imported'"),
        &[id.into()],
    )?;
    row.map(file).transpose()
}

/// The files of a channel's days from one day to another, both included.
///
/// # Errors
/// [`StoreError`].
pub fn of_days(tx: &mut dyn Tx, channel: &str, from: Day, to: Day) -> Result<Vec<File>, StoreError> {
    let mut files = Vec::new();
    for format in Format::ALL {
        let rows = tx.query(
            &format!(
                "SELECT {COLUMNS} FROM bill_file WHERE channel = $1 AND format = $2 AND day >= $3 AND day <= $4 \
                 AND state = 'imported' ORDER BY day"
            ),
            &[
                channel.into(),
                format.word().into(),
                from.to_string().into(),
                to.to_string().into(),
            ],
        )?;
        for row in rows {
            files.push(file(row)?);
        }
    }
    Ok(files)
}

/// A word for which trade bills of a channel are there: another where one has come, or was withdrawn.
///
/// # Errors
/// [`StoreError`].
pub fn which_trades(tx: &mut dyn Tx, channel: &str) -> Result<String, StoreError> {
    which(tx, channel, TRADE_FORMATS)
}

/// The same of the bills of its account.
///
/// # Errors
/// [`StoreError`].
pub fn which_funds(tx: &mut dyn Tx, channel: &str) -> Result<String, StoreError> {
    which(tx, channel, FUND_FORMATS)
}

fn which(tx: &mut dyn Tx, channel: &str, formats: &str) -> Result<String, StoreError> {
    let row = tx.query_optional(
        &format!(
            "SELECT COUNT(*), COALESCE(MAX(id), 0) FROM bill_file WHERE channel = $1 AND format IN ({formats}) AND state = 'imported'"
        ),
        &[channel.into()],
    )?;
    row.map_or(Ok(String::new()), |mut row| {
        Ok(format!("{}-{}", row.count(0)?, row.count(1)?))
    })
}

/// The last day of which there is a trade bill of a channel's.
///
/// # Errors
/// [`StoreError`].
pub fn last_trade_day(tx: &mut dyn Tx, channel: &str) -> Result<Option<Day>, StoreError> {
    let row = tx.query_optional(
        &format!(
            "SELECT MAX(day) FROM bill_file WHERE channel = $1 AND format IN ({TRADE_FORMATS}) AND state = 'imported'"
        ),
        &[channel.into()],
    )?;
    let day = row.map(|mut row| row.optional_text(0)).transpose()?.flatten();
    day.map(|day| day.parse().map_err(StoreError::Broken)).transpose()
}

/// A file's lines are going to come. Returns its number; `id` and `made_at` of the file given say nothing.
///
/// # Errors
/// [`StoreError`]; [`StoreError::Constraint`] also where another file took the number at the same moment.
pub fn begin(tx: &mut dyn Tx, of: &File, now: Wall) -> Result<u64, StoreError> {
    let last = tx.query_optional("SELECT COALESCE(MAX(id), 0) FROM bill_file", &[])?;
    let id = last.map_or(Ok(0), |mut row| row.count(0))? + 1;
    tx.execute(
        "INSERT INTO bill_file (id, channel, format, day, sha256, bytes, state, lines, income, outgo, fees, alive_until, \
         made_at, made_by) VALUES ($1, $2, $3, $4, $5, $6, 'loading', $7, $8, $9, $10, $11, $12, $13)",
        &[
            id.into(),
            of.channel.as_str().into(),
            of.format.word().into(),
            of.day.to_string().into(),
            of.sha256.as_str().into(),
            of.bytes.into(),
            of.sums.lines.into(),
            of.sums.income.0.into(),
            of.sums.outgo.0.into(),
            of.sums.fees.0.into(),
            now.after_ms(ALIVE_MS).0.into(),
            now.0.into(),
            of.made_by.as_str().into(),
        ],
    )?;
    Ok(id)
}

/// Some of a file's lines, as [`row`] makes them. Whether they were taken: not where the import was taken for dead.
///
/// # Errors
/// [`StoreError`].
pub fn add(tx: &mut dyn Tx, id: u64, format: Format, rows: &[Vec<Value>], now: Wall) -> Result<bool, StoreError> {
    let alive = tx.execute(
        "UPDATE bill_file SET alive_until = $1 WHERE id = $2 AND state = 'loading' AND alive_until > 0",
        &[now.after_ms(ALIVE_MS).0.into(), id.into()],
    )?;
    if alive == 1 {
        tx.write_all(lines_of(format), rows)?;
    }
    Ok(alive == 1)
}

/// All lines of a file are there: from now on they count. Whether they do: not where the import was taken for dead.
///
/// # Errors
/// [`StoreError::Constraint`]: another file of the same day was faster.
pub fn finish(tx: &mut dyn Tx, id: u64, now: Wall) -> Result<bool, StoreError> {
    let finished = tx.execute(
        "UPDATE bill_file SET state = 'imported', made_at = $1 WHERE id = $2 AND state = 'loading' AND alive_until > 0",
        &[now.0.into(), id.into()],
    )?;
    Ok(finished == 1)
}

/// A file does not come whole: its lines are taken away by the next sweep.
///
/// # Errors
/// [`StoreError`].
pub fn leave(tx: &mut dyn Tx, id: u64) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE bill_file SET alive_until = 0 WHERE id = $1 AND state = 'loading'",
        &[id.into()],
    )
    .map(drop)
}

/// Takes some lines away that an import has left behind. Whether there may be more.
///
/// # Errors
/// [`StoreError`].
pub fn sweep(tx: &mut dyn Tx, now: Wall) -> Result<bool, StoreError> {
    let far = now.after_ms(jobs::AHEAD_MS_MAX);
    let row = tx.query_optional(
        "SELECT id, format FROM bill_file WHERE state = 'loading' AND (alive_until <= $1 OR alive_until > $2) ORDER BY id LIMIT 1",
        &[now.0.into(), far.0.into()],
    )?;
    let Some(mut row) = row else { return Ok(false) };
    let id = row.count(0)?;
    let format: Format = row.text(1)?.parse().map_err(StoreError::Broken)?;
    let table = lines_of(format).table;
    // Held fast: an import that is alive after all finds itself taken for dead.
    let held = tx.execute(
        "UPDATE bill_file SET alive_until = 0 WHERE id = $1 AND state = 'loading'",
        &[id.into()],
    )?;
    if held != 1 {
        // It was finished while this waited for it: its lines count.
        return Ok(true);
    }
    let first = tx.query_optional(&format!("SELECT MIN(line) FROM {table} WHERE file = $1"), &[id.into()])?;
    match first.map(|mut row| row.optional_int(0)).transpose()?.flatten() {
        Some(first) => {
            tx.execute(
                &format!("DELETE FROM {table} WHERE file = $1 AND line < $2"),
                &[id.into(), (first + SWEPT_MAX).into()],
            )?;
        }
        None => {
            tx.execute("UPDATE bill_file SET state = 'left' WHERE id = $1", &[id.into()])?;
        }
    }
    Ok(true)
}
