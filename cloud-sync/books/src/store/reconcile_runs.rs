//! Runs of a scope: one at a time, up to a time at which whoever is at it has said that they are; one that counts of a day; and of those
//! that are final nothing is written again. And what verdicts there are, for totals and the digest.

use super::{Row, StoreError, Tx, Value, jobs, reconcile::PART};
use crate::reconcile::{
    totals::{Digest, Sum, Totals},
    words::{Class, Leg, Source},
};
use domain::{
    time::{Day, Wall},
    units::Fen,
};

/// How long a run may say nothing before it is taken for dead, in milliseconds.
pub const ALIVE_MS: i64 = 5 * 60_000;

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Somebody is at it.
    Running,
    /// It counts, until it is made again.
    Provisional,
    /// It counts for ever.
    Final,
    /// Another was made after it.
    Replaced,
    /// It was cut off.
    Left,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Running,
        Self::Provisional,
        Self::Final,
        Self::Replaced,
        Self::Left,
    ];

    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Provisional => "provisional",
            Self::Final => "final",
            Self::Replaced => "replaced",
            Self::Left => "left",
        }
    }
}

/// A run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Its number.
    pub id: u64,
    /// Of which scope: `channel:` and a channel's name.
    pub scope: String,
    /// Of which day.
    pub day: Day,
    /// The how manieth of that day.
    pub no: u64,
    /// How far it is.
    pub status: Status,
    /// What it went by, as JSON.
    pub inputs: String,
    /// What it came to, once it counts.
    pub totals: Option<Totals>,
    /// One number over everything that it found.
    pub digest: Option<String>,
    /// When it began.
    pub begun_at: Wall,
    /// By whom.
    pub begun_by: String,
    /// When it ended.
    pub ended_at: Option<Wall>,
}

/// The columns of a [`Run`].
pub(super) const COLUMNS: &str = "id, scope, day, no, status, inputs, totals, digest, begun_at, begun_by, ended_at";

pub(super) fn run(mut row: Row) -> Result<Run, StoreError> {
    let broken = |what: &str| StoreError::Broken(format!("a run has {what}"));
    let (id, scope) = (row.count(0)?, row.text(1)?);
    let day = row.text(2)?.parse().map_err(StoreError::Broken)?;
    let no = row.count(3)?;
    let word = row.text(4)?;
    let status = Status::ALL.into_iter().find(|status| status.word() == word);
    let totals = match row.optional_text(6)? {
        None => None,
        Some(json) => Some(serde_json::from_str(&json).map_err(|error| broken(&error.to_string()))?),
    };
    Ok(Run {
        id,
        scope,
        day,
        no,
        status: status.ok_or_else(|| broken("no status"))?,
        inputs: row.text(5)?,
        totals,
        digest: row.optional_text(7)?,
        begun_at: Wall(row.int(8)?),
        begun_by: row.text(9)?,
        ended_at: row.optional_int(10)?.map(Wall),
    })
}

/// What came of beginning a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// It has begun, under this number.
    Now(u64),
    /// Another of the scope is running.
    Running,
    /// The day is final.
    Final,
}

/// Holds the runs of a scope fast until the transaction ends: none begins meanwhile, and what [was found](is_all_found) stays so.
///
/// # Errors
/// [`StoreError`].
pub fn hold(tx: &mut dyn Tx, scope: &str) -> Result<(), StoreError> {
    jobs::hold(tx, "runs", scope)
}

/// Whether all is there that runs of a scope find of days from one to another, both included: none is at work, and none was cut off and left
/// days without theirs. Runs of later days are those of a clock that was ahead, or of a scope that ended before them; of earlier ones all is
/// final, or they are of no run any more.
///
/// # Errors
/// [`StoreError`].
pub fn is_all_found(tx: &mut dyn Tx, scope: &str, (from, to): (Day, Day)) -> Result<bool, StoreError> {
    let row = tx.query_optional(
        "SELECT COUNT(DISTINCT CASE WHEN day >= $2 AND day <= $3 THEN day END) \
         - COUNT(DISTINCT CASE WHEN day >= $2 AND day <= $3 AND status IN ('provisional', 'final') THEN day END), \
         COUNT(CASE WHEN status = 'running' THEN 1 END) FROM run WHERE scope = $1",
        &[scope.into(), from.to_string().into(), to.to_string().into()],
    )?;
    row.map_or(Ok(true), |mut row| Ok(row.int(0)? == 0 && row.int(1)? == 0))
}

/// A time of now that is of no day of a scope that is final: where the clock was put back, when the last of these was over.
///
/// # Errors
/// [`StoreError`].
pub fn not_final(tx: &mut dyn Tx, scope: &str, now: Wall) -> Result<Wall, StoreError> {
    let row = tx.query_optional(
        "SELECT ends_at FROM run WHERE scope = $1 AND status IN ('provisional', 'final') AND status = 'final' ORDER BY day DESC LIMIT 1",
        &[scope.into()],
    )?;
    let ends_at = row.map_or(Ok(None), |mut row| row.optional_int(0))?;
    Ok(ends_at.map_or(now, |ends_at| now.max(Wall(ends_at))))
}

/// Begins a run. What was found of the day and of all days after it does not count any more.
///
/// # Errors
/// [`StoreError`]; [`StoreError::Constraint`] also where somebody else began one at the same moment.
pub fn begin(tx: &mut dyn Tx, scope: &str, day: Day, inputs: &str, by: &str, now: Wall) -> Result<Begun, StoreError> {
    hold(tx, scope)?;
    tx.execute(
        "UPDATE run SET status = 'left', ended_at = $1 WHERE scope = $2 AND status = 'running' \
         AND (alive_until <= $1 OR alive_until > $3)",
        &[now.0.into(), scope.into(), now.after_ms(jobs::AHEAD_MS_MAX).0.into()],
    )?;
    let running = "SELECT 1 FROM run WHERE scope = $1 AND status = 'running'";
    if tx.query_optional(running, &[scope.into()])?.is_some() {
        return Ok(Begun::Running);
    }
    let text: Value = day.to_string().into();
    let is_final = "SELECT 1 FROM run WHERE scope = $1 AND day >= $2 AND status = 'final' LIMIT 1";
    if tx.query_optional(is_final, &[scope.into(), text.clone()])?.is_some() {
        return Ok(Begun::Final);
    }
    tx.execute(
        "UPDATE run SET status = 'replaced' WHERE scope = $1 AND day >= $2 AND status = 'provisional'",
        &[scope.into(), text.clone()],
    )?;
    let row = tx.query_optional(
        "SELECT (SELECT COALESCE(MAX(id), 0) + 1 FROM run), (SELECT COALESCE(MAX(no), 0) + 1 FROM run WHERE scope = $1 AND day = $2)",
        &[scope.into(), text.clone()],
    )?;
    let mut row = row.ok_or_else(|| StoreError::Broken("runs have no numbers".to_owned()))?;
    let (id, no) = (row.count(0)?, row.count(1)?);
    tx.execute(
        "INSERT INTO run (id, scope, day, no, status, inputs, alive_until, begun_at, begun_by) \
         VALUES ($1, $2, $3, $4, 'running', $5, $6, $7, $8)",
        &[
            id.into(),
            scope.into(),
            text,
            no.into(),
            inputs.into(),
            now.after_ms(ALIVE_MS).0.into(),
            now.0.into(),
            by.into(),
        ],
    )?;
    Ok(Begun::Now(id))
}

/// Whether a run is still whoever's who asks; it is held fast until the transaction ends, and alive for a while from now.
///
/// # Errors
/// [`StoreError`].
pub fn is_alive(tx: &mut dyn Tx, id: u64, now: Wall) -> Result<bool, StoreError> {
    let alive = tx.execute(
        "UPDATE run SET alive_until = $1 WHERE id = $2 AND status = 'running'",
        &[now.after_ms(ALIVE_MS).0.into(), id.into()],
    )?;
    Ok(alive == 1)
}

/// A run is done: from now on it counts, until it is made again.
///
/// # Errors
/// [`StoreError`].
pub fn finish(tx: &mut dyn Tx, id: u64, totals: &Totals, digest: &str, now: Wall) -> Result<(), StoreError> {
    let json = serde_json::to_string(totals).map_err(|error| StoreError::Broken(error.to_string()))?;
    tx.execute(
        "UPDATE run SET status = 'provisional', totals = $1, digest = $2, ended_at = $3 WHERE id = $4 AND status = 'running'",
        &[json.into(), digest.into(), now.0.into(), id.into()],
    )
    .map(drop)
}

/// A run that counts does so for ever: its day, which was over then, is final. Whether it is. Whoever calls [holds](hold) the scope's runs.
///
/// # Errors
/// [`StoreError`].
pub fn close(tx: &mut dyn Tx, id: u64, ends_at: Wall) -> Result<bool, StoreError> {
    let closed = tx.execute(
        "UPDATE run SET status = 'final', ends_at = $1 WHERE id = $2 AND status = 'provisional'",
        &[ends_at.0.into(), id.into()],
    )?;
    Ok(closed == 1)
}

/// How many days from one to another have a run that counts.
///
/// # Errors
/// [`StoreError`].
pub fn count(tx: &mut dyn Tx, scope: &str, from: Day, to: Day) -> Result<i64, StoreError> {
    let row = tx.query_optional(
        "SELECT COUNT(*) FROM run WHERE scope = $1 AND day >= $2 AND day <= $3 AND status IN ('provisional', 'final')",
        &[scope.into(), from.to_string().into(), to.to_string().into()],
    )?;
    row.map_or(Ok(0), |mut row| row.int(0))
}

/// Runs of days after one count no more.
///
/// # Errors
/// [`StoreError`].
pub fn take_back(tx: &mut dyn Tx, scope: &str, after: Day) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE run SET status = 'replaced' WHERE scope = $1 AND day > $2 AND status = 'provisional'",
        &[scope.into(), after.to_string().into()],
    )
    .map(drop)
}

/// A word for the runs of a scope that count: another where one was made again, or has become final.
///
/// # Errors
/// [`StoreError`].
pub fn which(tx: &mut dyn Tx, scope: &str) -> Result<String, StoreError> {
    let row = tx.query_optional(
        "SELECT COALESCE(MAX(id), 0), COUNT(CASE WHEN status = 'final' THEN 1 END) FROM run WHERE scope = $1 \
         AND status IN ('provisional', 'final')",
        &[scope.into()],
    )?;
    row.map_or(Ok(String::new()), |mut row| {
        Ok(format!("{}-{}", row.count(0)?, row.count(1)?))
    })
}

/// A run does not come to its end.
///
/// # Errors
/// [`StoreError`].
pub fn leave(tx: &mut dyn Tx, id: u64, now: Wall) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE run SET status = 'left', ended_at = $1 WHERE id = $2 AND status = 'running'",
        &[now.0.into(), id.into()],
    )
    .map(drop)
}

/// The runs of a scope that count, by their days, from one on.
///
/// # Errors
/// [`StoreError`].
pub fn counting(tx: &mut dyn Tx, scope: &str, from: Day) -> Result<Vec<Run>, StoreError> {
    let rows = tx.query(
        &format!(
            "SELECT {COLUMNS} FROM run WHERE scope = $1 AND day >= $2 AND status IN ('provisional', 'final') ORDER BY day"
        ),
        &[scope.into(), from.to_string().into()],
    )?;
    rows.into_iter().map(run).collect()
}

/// The last run of a scope before a day that counts.
///
/// # Errors
/// [`StoreError`].
pub fn before(tx: &mut dyn Tx, scope: &str, day: Day) -> Result<Option<Run>, StoreError> {
    let row = tx.query_optional(
        &format!(
            "SELECT {COLUMNS} FROM run WHERE scope = $1 AND day < $2 AND status IN ('provisional', 'final') ORDER BY day DESC LIMIT 1"
        ),
        &[scope.into(), day.to_string().into()],
    )?;
    row.map(run).transpose()
}

/// The last day of a scope that is final.
///
/// # Errors
/// [`StoreError`].
pub fn last_final(tx: &mut dyn Tx, scope: &str) -> Result<Option<Day>, StoreError> {
    let row = tx.query_optional(
        "SELECT day FROM run WHERE scope = $1 AND status IN ('provisional', 'final') AND status = 'final' ORDER BY day DESC LIMIT 1",
        &[scope.into()],
    )?;
    let day = row.map(|mut row| row.text(0)).transpose()?;
    day.map(|day| day.parse().map_err(StoreError::Broken)).transpose()
}

/// A run of this number.
///
/// # Errors
/// [`StoreError`].
pub fn find(tx: &mut dyn Tx, id: u64) -> Result<Option<Run>, StoreError> {
    let row = tx.query_optional(&format!("SELECT {COLUMNS} FROM run WHERE id = $1"), &[id.into()])?;
    row.map(run).transpose()
}

/// Verdicts of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group {
    /// Which leg.
    pub leg: Leg,
    /// Of which rows.
    pub source: Source,
    /// What they are.
    pub class: Class,
    /// Whether they are in a pair all the same.
    pub is_matched: bool,
    /// By what they are over, as a number.
    pub ended: Option<i64>,
    /// How many, and how much.
    pub sum: Sum,
}

/// How verdicts stand on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Those that begin on the day.
    New,
    /// Those that are over on it.
    Over,
    /// Those that are open.
    Open,
}

impl Standing {
    const fn condition(self) -> &'static str {
        match self {
            Self::New => "scope = $1 AND day = $2",
            Self::Over => "scope = $1 AND until = $2",
            // The day says nothing: nothing begins after it.
            Self::Open => "scope = $1 AND day <= $2 AND until IS NULL",
        }
    }
}

/// The verdicts of a scope's last day, summed by kind.
///
/// # Errors
/// [`StoreError`].
pub fn groups(tx: &mut dyn Tx, scope: &str, day: Day, which: Standing) -> Result<Vec<Group>, StoreError> {
    let statement = format!(
        "SELECT leg, source, class, is_matched, COALESCE(ended, 0), COUNT(*), CAST(SUM(amount) AS BIGINT) FROM verdict WHERE {} \
         GROUP BY leg, source, class, is_matched, COALESCE(ended, 0)",
        which.condition()
    );
    let rows = tx.query(&statement, &[scope.into(), day.to_string().into()])?;
    rows.into_iter().map(group).collect()
}

/// A group, in the order of [`groups`].
pub(super) fn group(mut row: Row) -> Result<Group, StoreError> {
    let broken = || StoreError::Broken("a verdict has a number that is none".to_owned());
    Ok(Group {
        leg: Leg::of_code(row.int(0)?).ok_or_else(broken)?,
        source: Source::of_code(row.int(1)?).ok_or_else(broken)?,
        class: Class::of_code(row.int(2)?).ok_or_else(broken)?,
        is_matched: row.int(3)? != 0,
        ended: Some(row.int(4)?).filter(|ended| *ended != 0),
        sum: Sum {
            count: row.int(5)?,
            amount: Fen(row.int(6)?),
        },
    })
}

/// What is said on a day, and what is over on it, as one number. Files go by their days: their numbers are another database's otherwise.
///
/// # Errors
/// [`StoreError`].
pub fn digest(tx: &mut dyn Tx, scope: &str, day: Day) -> Result<Digest, StoreError> {
    let mut digest = Digest::default();
    for which in [Standing::New, Standing::Over] {
        let statement = format!(
            "SELECT leg, source, ref, file, line, class, is_matched, day, until, ended, of_day, at, amount, ours, theirs, other \
             FROM verdict WHERE {} AND (leg, source, ref, file, line, class, is_matched) > ($3, $4, $5, $6, $7, $8, $9) \
             ORDER BY leg, source, ref, file, line, class, is_matched LIMIT {PART}",
            which.condition()
        );
        let zero = || Value::Int(0);
        let mut after = vec![zero(), zero(), "".into(), zero(), zero(), zero(), zero()];
        loop {
            let mut values = vec![scope.into(), day.to_string().into()];
            values.append(&mut after);
            let rows = tx.query(&statement, &values)?;
            for row in &rows {
                let told = row.0.iter().enumerate().filter(|(at, _)| *at != 3);
                let told: Vec<String> = told.map(|(_, value)| told_of(value)).collect();
                digest.add(&format!("{which:?}|{}", told.join("|")));
            }
            match rows.into_iter().next_back() {
                Some(last) => after = last.0.into_iter().take(7).collect(),
                None => break,
            }
        }
    }
    Ok(digest)
}

fn told_of(value: &Value) -> String {
    match value {
        Value::Int(number) => number.to_string(),
        Value::Text(text) => text.clone(),
        Value::Null | Value::Bytes(_) => String::new(),
    }
}
