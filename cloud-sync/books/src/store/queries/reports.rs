//! What reports tell: differences of a day as verdicts have them, and how far people are with each; sums of what is open, and where its
//! money is. A difference is read with what stands beside it, a page at a time, by indexes that end where a page does.

use crate::{
    reconcile::{
        stake::{Differs, Stake},
        words::{Class, Leg, Source},
    },
    store::{
        Row, StoreError, Tx, Value,
        discrepancies::State,
        reconcile_runs::{self, Run},
    },
};
use domain::{
    time::{Day, Wall},
    units::{Energy, Fen},
};
use std::collections::{BTreeMap, BTreeSet};

/// How many differences are read at a time.
const PAGE: i64 = 1_000;

/// A difference that was open on a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Of which leg.
    pub leg: Leg,
    /// What kind of row it is about.
    pub source: Source,
    /// What it is.
    pub class: Class,
    /// The number of the row: the channel's.
    pub reference: String,
    /// The payment that a refund is of.
    pub payment: Option<String>,
    /// Our number of it, as the line says.
    pub out_no: Option<String>,
    /// File and line, where it is a line.
    pub line: Option<(u64, u64)>,
    /// What the channel says in it of how far the payment or refund is, in its own word.
    pub status: Option<String>,
    /// The day of the row itself.
    pub of_day: Day,
    /// When it was.
    pub at: Wall,
    /// Since which day it is so.
    pub day: Day,
    /// On which day it was over.
    pub until: Option<Day>,
    /// By what, as a number.
    pub ended: Option<i64>,
    /// The row's amount; below zero: it went out.
    pub amount: Fen,
    /// What our books say.
    pub ours: Option<Fen>,
    /// What the channel says.
    pub theirs: Option<Fen>,
    /// How far people are with it; none where runs have not said so yet.
    pub work: Option<Work>,
}

/// How far people are with a difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// The number of the discrepancy.
    pub discrepancy: u64,
    /// How far it is.
    pub state: State,
    /// Who has it.
    pub assigned: Option<String>,
    /// Since which day it is open.
    pub since: Day,
    /// Its values, by which it is judged.
    pub values: Values,
    /// What stands in an account of its own.
    pub suspense: Option<Fen>,
    /// What was decided of it last, or waits.
    pub decision: Option<Decided>,
}

/// The values of a discrepancy, by which people judge it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Values {
    /// Its class.
    pub class: Class,
    /// The row's amount.
    pub amount: Fen,
    /// What our books say.
    pub ours: Option<Fen>,
    /// What the channel says.
    pub theirs: Option<Fen>,
    /// Whether its line is in a pair.
    pub is_matched: bool,
}

impl Values {
    /// All of them as one text that no spreadsheet takes for something else. What is judged by other values than it has now is refused.
    pub fn judged(&self) -> String {
        let value = |value: Option<Fen>| value.map_or_else(|| "-".to_owned(), |value| value.0.to_string());
        format!(
            "{} {}/{}/{}/{}",
            self.class.word(),
            self.amount.0,
            value(self.ours),
            value(self.theirs),
            u8::from(self.is_matched)
        )
    }
}

/// What was decided of a discrepancy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// What, in a word.
    pub kind: String,
    /// Whose wallet.
    pub member: Option<String>,
    /// Why.
    pub reason: String,
    /// Who proposed it.
    pub maker: String,
    /// `proposed`, `approved` or `rejected`.
    pub state: String,
    /// Who approved or rejected it.
    pub checker: Option<String>,
}

/// A statement that reads differences: `which` of a scope's verdicts, in this order.
fn statement(which: &str, order: &str) -> String {
    let outer = order.replace(", ", ", n.");
    format!(
        "SELECT n.leg, n.source, n.class, n.ref, n.file, n.line, n.is_matched, n.day, n.until, n.ended, n.of_day, n.at, n.amount, n.ours, \
         n.theirs, n.other, l.out_no, d.id, d.state, d.assigned, d.amount, d.ours, d.theirs, d.is_matched, s.amount, s.state, \
         c.kind, c.member, c.reason, c.maker, c.state, c.checker, d.since, l.status \
         FROM (SELECT * FROM verdict WHERE scope = $1 AND {which} ORDER BY {order} LIMIT {PAGE}) n \
         LEFT JOIN discrepancy d ON d.scope = n.scope AND d.leg = n.leg AND d.source = n.source AND d.ref = n.ref AND d.of_day = n.of_day \
         AND d.n = n.n AND d.class = n.class \
         LEFT JOIN bill_trade l ON l.file = n.file AND l.line = n.line \
         LEFT JOIN suspense s ON s.discrepancy = d.id \
         LEFT JOIN discrepancy_decision c ON c.discrepancy = d.id AND c.no = (SELECT MAX(w.no) FROM discrepancy_decision w \
         WHERE w.discrepancy = d.id) ORDER BY n.{outer}"
    )
}

fn difference(mut row: Row) -> Result<Difference, StoreError> {
    let broken = || StoreError::Broken("a verdict".to_owned());
    let (leg, source) = (Leg::of_code(row.int(0)?), Source::of_code(row.int(1)?));
    let class = Class::of_code(row.int(2)?).ok_or_else(broken)?;
    let (file, line) = (row.count(4)?, row.count(5)?);
    let day = |text: String| text.parse::<Day>().map_err(StoreError::Broken);
    Ok(Difference {
        leg: leg.ok_or_else(broken)?,
        source: source.ok_or_else(broken)?,
        class,
        reference: row.text(3)?,
        payment: row.optional_text(15)?,
        out_no: row.optional_text(16)?.filter(|out_no| !out_no.is_empty()),
        line: (line > 0).then_some((file, line)),
        status: row.optional_text(33)?,
        of_day: day(row.text(10)?)?,
        at: Wall(row.int(11)?),
        day: day(row.text(7)?)?,
        until: row.optional_text(8)?.map(day).transpose()?,
        ended: row.optional_int(9)?,
        amount: Fen(row.int(12)?),
        ours: row.optional_int(13)?.map(Fen),
        theirs: row.optional_int(14)?.map(Fen),
        work: work(&mut row, class)?,
    })
}

fn work(row: &mut Row, class: Class) -> Result<Option<Work>, StoreError> {
    let Some(discrepancy) = row.optional_int(17)? else {
        return Ok(None);
    };
    let word = row.text(18)?;
    let state = State::ALL.into_iter().find(|state| state.word() == word);
    let (in_suspense, stands) = (row.optional_int(24)?, row.optional_text(25)?);
    let decision = match row.optional_text(26)? {
        None => None,
        Some(kind) => Some(Decided {
            kind,
            member: row.optional_text(27)?,
            reason: row.text(28)?,
            maker: row.text(29)?,
            state: row.text(30)?,
            checker: row.optional_text(31)?,
        }),
    };
    Ok(Some(Work {
        discrepancy: discrepancy.unsigned_abs(),
        state: state.ok_or_else(|| StoreError::Broken("a discrepancy".to_owned()))?,
        assigned: row.optional_text(19)?,
        since: row.text(32)?.parse().map_err(StoreError::Broken)?,
        values: Values {
            class,
            amount: Fen(row.int(20)?),
            ours: row.optional_int(21)?.map(Fen),
            theirs: row.optional_int(22)?.map(Fen),
            is_matched: row.int(23)? != 0,
        },
        suspense: in_suspense.map(Fen).filter(|_| stands.as_deref() == Some("parked")),
        decision,
    }))
}

/// Hands on every difference of a scope that was open at some time of a day, each once: those that are open still by their classes, then
/// those that were over on the day or later.
///
/// # Errors
/// [`StoreError`], or what `take` says.
pub fn each_difference<E: From<StoreError>>(
    tx: &mut dyn Tx,
    scope: &str,
    day: Day,
    mut take: impl FnMut(Difference) -> Result<(), E>,
) -> Result<(), E> {
    let open = statement(
        "until IS NULL AND leg = $3 AND source = $4 AND class = $5 AND day <= $2 AND (ref, file, line, is_matched) > ($6, $7, $8, $9)",
        "ref, file, line, is_matched",
    );
    for (class, leg, source) in open_kinds(tx, scope)? {
        let of = [leg.code().into(), source.code().into(), class.code().into()];
        let begin = vec!["".into(), Value::Int(0), Value::Int(0), Value::Int(-1)];
        pages(tx, &open, (scope, day, &of), begin, &[3, 4, 5, 6], &mut take)?;
    }
    let over = statement(
        "until >= $2 AND day <= $2 AND class > 1 AND (until, leg, source, ref, file, line, class, is_matched) > ($3, $4, $5, $6, $7, $8, $9, \
         $10)",
        "until, leg, source, ref, file, line, class, is_matched",
    );
    let zero = || Value::Int(0);
    let begin = vec![
        day.to_string().into(),
        zero(),
        zero(),
        "".into(),
        zero(),
        zero(),
        zero(),
        zero(),
    ];
    pages(
        tx,
        &over,
        (scope, day, &[]),
        begin,
        &[8, 0, 1, 3, 4, 5, 2, 6],
        &mut take,
    )
}

/// Which differences of a scope are open, by their classes: each kind is found by where the index goes on after the one before, so that it
/// costs nothing how many there are of one.
fn open_kinds(tx: &mut dyn Tx, scope: &str) -> Result<Vec<(Class, Leg, Source)>, StoreError> {
    let broken = || StoreError::Broken("a verdict".to_owned());
    let (mut kinds, mut after) = (Vec::new(), (0, 0, 0));
    loop {
        let next = tx.query_optional(
            "SELECT leg, source, class FROM verdict WHERE scope = $1 AND until IS NULL AND (leg, source, class) > ($2, $3, $4) \
             ORDER BY leg, source, class LIMIT 1",
            &[scope.into(), after.0.into(), after.1.into(), after.2.into()],
        )?;
        let Some(mut row) = next else { break };
        after = (row.int(0)?, row.int(1)?, row.int(2)?);
        let class = Class::of_code(after.2).ok_or_else(broken)?;
        let (leg, source) = (Leg::of_code(after.0), Source::of_code(after.1));
        if class != Class::Pending {
            kinds.push((class, leg.ok_or_else(broken)?, source.ok_or_else(broken)?));
        }
    }
    kinds.sort_unstable();
    Ok(kinds)
}

/// Reads page after page; a page begins after the columns `key` of the last row of the one before it.
fn pages<E: From<StoreError>>(
    tx: &mut dyn Tx,
    statement: &str,
    (scope, day, of): (&str, Day, &[Value]),
    mut after: Vec<Value>,
    key: &[usize],
    take: &mut impl FnMut(Difference) -> Result<(), E>,
) -> Result<(), E> {
    loop {
        let mut values: Vec<Value> = vec![scope.into(), day.to_string().into()];
        values.extend(of.iter().cloned());
        values.append(&mut after);
        let rows = tx.query(statement, &values)?;
        let is_last = (rows.len() as u64) < PAGE.unsigned_abs();
        if let Some(last) = rows.last() {
            after = key.iter().map(|at| last.0[*at].clone()).collect();
        }
        for row in rows {
            take(difference(row)?)?;
        }
        if is_last {
            return Ok(());
        }
    }
}

/// How far people are with a discrepancy, and the values by which they judge it now.
///
/// # Errors
/// [`StoreError`].
pub fn work_of(tx: &mut dyn Tx, discrepancy: u64) -> Result<Option<Work>, StoreError> {
    // What a verdict has beside it, without one: it may be over.
    let blank = vec!["NULL"; 17].join(", ");
    let row = tx.query_optional(
        &format!(
            "SELECT {blank}, d.id, d.state, d.assigned, d.amount, d.ours, d.theirs, d.is_matched, s.amount, s.state, \
             c.kind, c.member, c.reason, c.maker, c.state, c.checker, d.since, d.class FROM discrepancy d LEFT JOIN suspense s ON s.discrepancy = d.id \
             LEFT JOIN discrepancy_decision c ON c.discrepancy = d.id AND c.no = (SELECT MAX(w.no) FROM discrepancy_decision w \
             WHERE w.discrepancy = d.id) WHERE d.id = $1"
        ),
        &[discrepancy.into()],
    )?;
    let Some(mut row) = row else { return Ok(None) };
    let class = Class::of_code(row.int(33)?).ok_or_else(|| StoreError::Broken("a discrepancy".to_owned()))?;
    work(&mut row, class)
}

/// Discrepancies that are open, and have in common what is told here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenGroup {
    /// Of which scope.
    pub scope: String,
    /// What they are.
    pub class: Class,
    /// How far people are.
    pub state: State,
    /// Since which day they are open.
    pub since: Day,
    /// Who has them.
    pub assigned: Option<String>,
    /// How many.
    pub count: i64,
    /// Σ of their amounts, without their signs.
    pub amount: Fen,
    /// Σ of what is at stake in them.
    pub stake: Stake,
    /// Of the meters' leg Σ of how far apart both values are; of others none.
    pub energy: Energy,
}

/// What is open now and was so on a day, with its values of that day: these change from day to day.
///
/// What is at stake is a sum of the amount and both values as long as the same of them is the larger one. So those of which that holds are
/// summed, and [`Differs`] is asked of each sum.
///
/// # Errors
/// [`StoreError`].
pub fn open_groups(tx: &mut dyn Tx, day: Day) -> Result<Vec<OpenGroup>, StoreError> {
    let (ours, theirs) = ("COALESCE(v.ours, 0)", "COALESCE(v.theirs, 0)");
    let common = format!(
        "d.scope, d.class, d.state, d.since, d.assigned, v.leg, v.source, v.is_matched, CASE WHEN {theirs} > 0 THEN 1 ELSE 0 END \
         + CASE WHEN {theirs} > {ours} THEN 2 ELSE 0 END + CASE WHEN ABS(v.amount) > {ours} THEN 4 ELSE 0 END"
    );
    let rows = tx.query(
        &format!(
            "SELECT {common}, COUNT(*), CAST(SUM(ABS(v.amount)) AS BIGINT), CAST(SUM({ours}) AS BIGINT), CAST(SUM({theirs}) AS BIGINT), \
             CAST(SUM(ABS({theirs} - {ours})) AS BIGINT) FROM discrepancy d CROSS JOIN verdict v WHERE d.closed_at IS NULL \
             AND d.since <= $1 AND v.scope = d.scope AND v.leg = d.leg AND v.source = d.source AND v.ref = d.ref AND v.of_day = d.of_day \
             AND v.n = d.n AND v.class = d.class AND v.day <= $1 AND (v.until IS NULL OR v.until > $1) GROUP BY {common} ORDER BY {common}"
        ),
        &[day.to_string().into()],
    )?;
    let broken = || StoreError::Broken("a discrepancy".to_owned());
    let group = |mut row: Row| {
        let word = row.text(2)?;
        let state = State::ALL.into_iter().find(|state| state.word() == word);
        let class = Class::of_code(row.int(1)?).ok_or_else(broken)?;
        let (leg, amount) = (Leg::of_code(row.int(5)?), Fen(row.int(10)?));
        let differs = Differs {
            class,
            source: Source::of_code(row.int(6)?).ok_or_else(broken)?,
            amount,
            is_matched: row.int(7)? != 0,
            ours: Some(Fen(row.int(11)?)),
            theirs: Some(Fen(row.int(12)?)),
        };
        Ok(OpenGroup {
            scope: row.text(0)?,
            class,
            state: state.ok_or_else(broken)?,
            since: row.text(3)?.parse().map_err(StoreError::Broken)?,
            assigned: row.optional_text(4)?,
            count: row.int(9)?,
            amount,
            stake: differs.stake(),
            energy: match leg.ok_or_else(broken)? {
                Leg::Meters => Energy(row.int(13)?),
                _ => Energy::ZERO,
            },
        })
    };
    rows.into_iter().map(group).collect()
}

/// Money of a channel that is on one side alone: `long` or `short`, where it is, how many and how much.
///
/// # Errors
/// [`StoreError`].
pub fn suspense_sums(tx: &mut dyn Tx, channel: &str) -> Result<Vec<(String, String, i64, Fen)>, StoreError> {
    let rows = tx.query(
        "SELECT kind, state, COUNT(*), CAST(SUM(amount) AS BIGINT) FROM suspense WHERE channel = $1 GROUP BY kind, state ORDER BY kind, state",
        &[channel.into()],
    )?;
    let sum = |mut row: Row| Ok((row.text(0)?, row.text(1)?, row.int(2)?, Fen(row.int(3)?)));
    rows.into_iter().map(sum).collect()
}

/// Findings that were made from a time up to another: site, class, how many.
///
/// # Errors
/// [`StoreError`].
pub fn findings(tx: &mut dyn Tx, from: Wall, to: Wall) -> Result<Vec<(String, String, i64)>, StoreError> {
    let rows = tx.query(
        "SELECT site, class, COUNT(*) FROM finding WHERE found_at >= $1 AND found_at < $2 GROUP BY site, class ORDER BY site, class",
        &[from.0.into(), to.0.into()],
    )?;
    let found = |mut row: Row| Ok((row.text(0)?, row.text(1)?, row.int(2)?));
    rows.into_iter().map(found).collect()
}

/// Sites that were closed or shut out: nothing comes of them any more.
///
/// # Errors
/// [`StoreError`].
pub fn gone_sites(tx: &mut dyn Tx) -> Result<BTreeSet<String>, StoreError> {
    let rows = tx.query(
        "SELECT id FROM site WHERE closed_at IS NOT NULL OR revoked_at IS NOT NULL",
        &[],
    )?;
    rows.into_iter().map(|mut row| row.text(0)).collect()
}

/// The runs of a day that count, by what they are of.
#[derive(Debug, Clone, Default)]
pub struct RunsOf {
    /// Of channels, by their names.
    pub channels: BTreeMap<String, Run>,
    /// Of what channels have paid out, by their names.
    pub payouts: BTreeMap<String, Run>,
    /// Of sites, by their ids.
    pub sites: BTreeMap<String, Run>,
}

/// The runs of a day that count.
///
/// # Errors
/// [`StoreError`].
pub fn runs_of(tx: &mut dyn Tx, day: Day) -> Result<RunsOf, StoreError> {
    let columns = reconcile_runs::COLUMNS;
    let rows = tx.query(
        &format!("SELECT {columns} FROM run WHERE day = $1 AND status IN ('provisional', 'final') ORDER BY scope"),
        &[day.to_string().into()],
    )?;
    let mut found = RunsOf::default();
    for row in rows {
        let run = reconcile_runs::run(row)?;
        let (kind, name) = run.scope.split_once(':').unwrap_or_default();
        let name = name.to_owned();
        let runs = match kind {
            "channel" => &mut found.channels,
            "payouts" => &mut found.payouts,
            "site" => &mut found.sites,
            _ => return Err(StoreError::Broken(format!("a run is of {}", run.scope))),
        };
        runs.insert(name, run);
    }
    Ok(found)
}

/// Whether a run of any channel is at work.
///
/// # Errors
/// [`StoreError`].
pub fn is_running(tx: &mut dyn Tx) -> Result<bool, StoreError> {
    let row = tx.query_optional(
        "SELECT 1 FROM run WHERE status = 'running' AND scope LIKE 'channel:%' LIMIT 1",
        &[],
    )?;
    Ok(row.is_some())
}
