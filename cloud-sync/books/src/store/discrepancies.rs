//! Discrepancies: named once, whichever runs find them, and told by their events. What runs have found is brought over in parts, and as
//! often as one likes: where nothing has changed, nothing is written.

use super::{Row, StoreError, Tx, Value, discrepancy_decisions as decisions, reconcile::PART};
use crate::reconcile::words::{Class, Leg, Source};
use domain::{
    time::{Day, Wall},
    units::Fen,
};

/// How far a discrepancy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Somebody must look at it.
    Open,
    /// Somebody has proposed what to do.
    Proposed,
    /// Somebody else has approved it, and it is posted.
    Posted,
    /// Runs find it no more.
    Cleared,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Open, Self::Proposed, Self::Posted, Self::Cleared];

    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Proposed => "proposed",
            Self::Posted => "posted",
            Self::Cleared => "cleared",
        }
    }
}

/// A discrepancy, as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discrepancy {
    /// Its number.
    pub id: u64,
    /// Of which scope.
    pub scope: String,
    /// Of which leg.
    pub leg: Leg,
    /// What kind of row it is about.
    pub source: Source,
    /// The number of that row: the channel's.
    pub reference: String,
    /// The file and the line, where it is a line.
    pub line: Option<(u64, u64)>,
    /// What it is.
    pub class: Class,
    /// Whether the line is in a pair: of one that is not nobody was credited with any of it.
    pub is_matched: bool,
    /// Since which day it has its values.
    pub day: Day,
    /// Since which day it is open.
    pub since: Day,
    /// The day of the row itself.
    pub of_day: Day,
    /// How far it is.
    pub state: State,
    /// The row's amount; below zero: it went out.
    pub amount: Fen,
    /// What our books say.
    pub ours: Option<Fen>,
    /// What the channel says.
    pub theirs: Option<Fen>,
    /// Who has it.
    pub assigned: Option<String>,
    /// When it was found.
    pub opened_at: Wall,
    /// When it was over.
    pub closed_at: Option<Wall>,
}

/// The columns of a [`Discrepancy`].
pub(super) const COLUMNS: &str = "id, scope, leg, source, ref, file, line, class, day, of_day, state, amount, ours, theirs, assigned, \
     opened_at, closed_at, is_matched, since";

pub(super) fn discrepancy(mut row: Row) -> Result<Discrepancy, StoreError> {
    let broken = || StoreError::Broken("a discrepancy".to_owned());
    let (file, line) = (row.count(5)?, row.count(6)?);
    let word = row.text(10)?;
    Ok(Discrepancy {
        id: row.count(0)?,
        scope: row.text(1)?,
        leg: Leg::of_code(row.int(2)?).ok_or_else(broken)?,
        source: Source::of_code(row.int(3)?).ok_or_else(broken)?,
        reference: row.text(4)?,
        line: (line > 0).then_some((file, line)),
        class: Class::of_code(row.int(7)?).ok_or_else(broken)?,
        day: row.text(8)?.parse().map_err(StoreError::Broken)?,
        of_day: row.text(9)?.parse().map_err(StoreError::Broken)?,
        state: State::ALL
            .into_iter()
            .find(|state| state.word() == word)
            .ok_or_else(broken)?,
        amount: Fen(row.int(11)?),
        ours: row.optional_int(12)?.map(Fen),
        theirs: row.optional_int(13)?.map(Fen),
        assigned: row.optional_text(14)?,
        opened_at: Wall(row.int(15)?),
        closed_at: row.optional_int(16)?.map(Wall),
        is_matched: row.int(17)? != 0,
        since: row.text(18)?.parse().map_err(StoreError::Broken)?,
    })
}

/// A discrepancy of this number.
///
/// # Errors
/// [`StoreError`].
pub fn find(tx: &mut dyn Tx, id: u64) -> Result<Option<Discrepancy>, StoreError> {
    let row = tx.query_optional(
        &format!("SELECT {COLUMNS} FROM discrepancy WHERE id = $1"),
        &[id.into()],
    )?;
    row.map(discrepancy).transpose()
}

/// Discrepancies that are open since a day that is final and of which nothing is in suspense, after this one: at most so many. Not those of
/// which something is decided still that [is to be taken back](super::suspense::doubtful) first.
///
/// # Errors
/// [`StoreError`].
pub fn final_and_open(tx: &mut dyn Tx, scope: &str, after: u64, limit: u64) -> Result<Vec<Discrepancy>, StoreError> {
    let rows = tx.query(
        &format!(
            "SELECT {COLUMNS} FROM discrepancy d WHERE scope = $1 AND closed_at IS NULL AND id > $2 \
             AND day <= (SELECT MAX(day) FROM run WHERE scope = $1 AND status = 'final') AND NOT EXISTS (SELECT 1 FROM suspense s \
             WHERE s.discrepancy = d.id AND s.state IN ('parked', 'written_off', 'recovered')) ORDER BY id LIMIT $3"
        ),
        &[scope.into(), after.into(), limit.into()],
    )?;
    rows.into_iter().map(discrepancy).collect()
}

/// Whether a verdict says that it is so.
///
/// # Errors
/// [`StoreError`].
pub fn is_found(tx: &mut dyn Tx, id: u64) -> Result<bool, StoreError> {
    let row = tx.query_optional(
        &format!("SELECT 1 FROM discrepancy d JOIN verdict v ON {SAME} WHERE d.id = $1 LIMIT 1"),
        &[id.into()],
    )?;
    Ok(row.is_some())
}

/// The number of the payment that a refund is of, which a discrepancy is about.
///
/// # Errors
/// [`StoreError`].
pub fn payment_of(tx: &mut dyn Tx, of: &Discrepancy) -> Result<Option<String>, StoreError> {
    let row = tx.query_optional(
        "SELECT other FROM verdict WHERE scope = $1 AND leg = $2 AND source = $3 AND ref = $4 AND other IS NOT NULL LIMIT 1",
        &[
            of.scope.as_str().into(),
            of.leg.code().into(),
            of.source.code().into(),
            of.reference.as_str().into(),
        ],
    )?;
    row.map_or(Ok(None), |mut row| row.optional_text(0))
}

/// Our number of the payment, as the line says that a discrepancy is about.
///
/// # Errors
/// [`StoreError`].
pub fn out_no(tx: &mut dyn Tx, of: &Discrepancy) -> Result<Option<String>, StoreError> {
    let Some((file, line)) = of.line else { return Ok(None) };
    let row = tx.query_optional(
        "SELECT out_no FROM bill_trade WHERE file = $1 AND line = $2",
        &[file.into(), line.into()],
    )?;
    let out_no = row.map_or(Ok(None), |mut row| row.optional_text(0))?;
    Ok(out_no.filter(|out_no| !out_no.is_empty()))
}

/// What happened to a discrepancy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What.
    pub kind: String,
    /// When.
    pub at: Wall,
    /// Who, or what run.
    pub by: String,
    /// The row's amount then.
    pub amount: Fen,
    /// What our books said then.
    pub ours: Option<Fen>,
    /// What the channel said then.
    pub theirs: Option<Fen>,
    /// What was said, or to whom it was given, or which movement it is.
    pub body: Option<String>,
}

/// What happened to a discrepancy, in its order.
///
/// # Errors
/// [`StoreError`].
pub fn events(tx: &mut dyn Tx, id: u64) -> Result<Vec<Event>, StoreError> {
    let rows = tx.query(
        "SELECT kind, at, by, amount, ours, theirs, body FROM discrepancy_event WHERE discrepancy = $1 ORDER BY no",
        &[id.into()],
    )?;
    let event = |mut row: Row| {
        Ok(Event {
            kind: row.text(0)?,
            at: Wall(row.int(1)?),
            by: row.text(2)?,
            amount: Fen(row.int(3)?),
            ours: row.optional_int(4)?.map(Fen),
            theirs: row.optional_int(5)?.map(Fen),
            body: row.optional_text(6)?,
        })
    };
    rows.into_iter().map(event).collect()
}

/// The open verdict that a discrepancy is about: of the how manieth line of a number on a day, whichever file that is in.
pub(super) const SAME: &str = "v.scope = d.scope AND v.leg = d.leg AND v.source = d.source AND v.ref = d.ref \
     AND v.of_day = d.of_day AND v.n = d.n AND v.class = d.class AND v.until IS NULL";

/// The kinds of rows that verdicts are about, with their legs.
const KINDS: [(Leg, Source); 10] = [
    (Leg::Funds, Source::Payment),
    (Leg::Funds, Source::Refund),
    (Leg::Funds, Source::Credit),
    (Leg::Sources, Source::Day),
    (Leg::Orders, Source::Order),
    (Leg::Orders, Source::Entry),
    (Leg::Meters, Source::Connector),
    (Leg::Meters, Source::Day),
    (Leg::Till, Source::Entry),
    (Leg::Bank, Source::Payout),
];

/// Brings over some of what the runs of a scope have found: opens what is new, opens again what is found again, says what has other
/// values, clears what is found no more. Whether there may be more.
///
/// # Errors
/// [`StoreError`]; [`StoreError::Constraint`] also where another scope took the same numbers at the same moment.
pub fn bring_over(tx: &mut dyn Tx, scope: &str, by: &str, now: Wall) -> Result<bool, StoreError> {
    for kind in KINDS {
        if open(tx, scope, kind, by, now)? {
            return Ok(true);
        }
        for turn in [Turn::OpenedAgain, Turn::Changed, Turn::ChangedSince] {
            if turn.take(tx, scope, Some(kind), by, now)? {
                return Ok(true);
            }
        }
    }
    Turn::Cleared.take(tx, scope, None, by, now)
}

fn open(tx: &mut dyn Tx, scope: &str, (leg, source): (Leg, Source), by: &str, now: Wall) -> Result<bool, StoreError> {
    let last = tx.query_optional("SELECT COALESCE(MAX(id), 0) FROM discrepancy", &[])?;
    let last = last.map_or(Ok(0), |mut row| row.int(0))?;
    let opened = tx.execute(
        &format!(
            "INSERT INTO discrepancy (id, scope, leg, source, ref, file, line, class, day, of_day, n, state, amount, ours, theirs, \
             opened_at, is_matched, since) SELECT CAST($4 AS BIGINT) + ROW_NUMBER() OVER (ORDER BY n.day, n.of_day, n.line, n.at, n.ref, n.class), \
             n.scope, n.leg, n.source, n.ref, n.file, n.line, n.class, n.day, n.of_day, n.n, 'open', n.amount, n.ours, n.theirs, \
             CAST($5 AS BIGINT), n.is_matched, n.day FROM (SELECT v.* FROM verdict v WHERE v.scope = $1 AND v.leg = $2 AND v.source = $3 AND v.class > 1 \
             AND v.until IS NULL AND NOT EXISTS (SELECT 1 FROM discrepancy d WHERE {SAME}) LIMIT {PART}) n"
        ),
        &[
            scope.into(),
            leg.code().into(),
            source.code().into(),
            last.into(),
            now.0.into(),
        ],
    )?;
    if opened > 0 {
        tx.execute(
            "INSERT INTO discrepancy_event (discrepancy, no, kind, at, by, amount, ours, theirs) \
             SELECT id, 1, 'opened', CAST($2 AS BIGINT), CAST($3 AS TEXT), amount, ours, theirs FROM discrepancy WHERE id > $1",
            &[last.into(), now.0.into(), by.into()],
        )?;
    }
    Ok(opened >= PART.unsigned_abs())
}

/// A turn that a discrepancy takes by what runs find.
#[derive(Debug, Clone, Copy)]
enum Turn {
    OpenedAgain,
    Changed,
    /// It was decided, and has other values since: people decide anew.
    ChangedSince,
    Cleared,
}

impl Turn {
    const fn event(self) -> &'static str {
        match self {
            Self::OpenedAgain => "opened",
            Self::Changed | Self::ChangedSince => "changed",
            Self::Cleared => "cleared",
        }
    }

    /// Which discrepancies, with what is said of them now. `$1` scope, `$2` leg, `$3` source.
    fn which(self) -> String {
        let now = "v.day, v.amount, v.ours, v.theirs, v.file, v.line, v.is_matched";
        let is_other = "d.amount <> v.amount OR d.day <> v.day OR COALESCE(d.ours, 0) <> COALESCE(v.ours, 0) \
             OR COALESCE(d.theirs, 0) <> COALESCE(v.theirs, 0)";
        let found = format!(
            "SELECT d.id, {now}, CASE WHEN {is_other} THEN 1 ELSE 0 END FROM verdict v CROSS JOIN discrepancy d \
             WHERE v.scope = $1 AND v.leg = $2 AND v.source = $3 AND v.class > 1 AND {SAME}"
        );
        match self {
            Self::OpenedAgain => format!("{found} AND d.state = 'cleared'"),
            // A bill that was brought anew has another number, and that is all.
            Self::Changed => {
                format!(
                    "{found} AND d.closed_at IS NULL AND ({is_other} OR d.file <> v.file OR d.line <> v.line \
                     OR d.is_matched <> v.is_matched)"
                )
            }
            Self::ChangedSince => format!(
                "{found} AND d.state = 'posted' AND (d.amount <> v.amount OR COALESCE(d.ours, 0) <> COALESCE(v.ours, 0) \
                 OR COALESCE(d.theirs, 0) <> COALESCE(v.theirs, 0) OR d.is_matched <> v.is_matched)"
            ),
            Self::Cleared => format!(
                "SELECT d.id, d.day, d.amount, d.ours, d.theirs, d.file, d.line, d.is_matched, 1 FROM discrepancy d WHERE d.scope = $1 \
                 AND d.state IN ('open', 'proposed') AND d.closed_at IS NULL AND NOT EXISTS (SELECT 1 FROM verdict v WHERE {SAME})"
            ),
        }
    }

    /// As it must be when the turn is taken: somebody may have decided it since it was read.
    const fn expected(self) -> &'static str {
        match self {
            Self::OpenedAgain => "state = 'cleared'",
            Self::Changed => "closed_at IS NULL",
            Self::ChangedSince => "state = 'posted'",
            Self::Cleared => "state IN ('open', 'proposed')",
        }
    }

    fn take(
        self,
        tx: &mut dyn Tx,
        scope: &str,
        kind: Option<(Leg, Source)>,
        by: &str,
        now: Wall,
    ) -> Result<bool, StoreError> {
        let mut values: Vec<Value> = vec![scope.into()];
        if let Some((leg, source)) = kind {
            values.extend([leg.code().into(), source.code().into()]);
        }
        // In their order: whoever decides many holds them so too.
        let rows = tx.query(&format!("{} ORDER BY 1 LIMIT {PART}", self.which()), &values)?;
        let mut more = rows.len() as u64 >= PART.unsigned_abs();
        let (state, closed_at, since) = match self {
            Self::OpenedAgain | Self::ChangedSince => ("'open'", "NULL", "$2"),
            // What grows from day to day is as old as its first.
            Self::Changed => ("state", "NULL", "CASE WHEN since < $2 THEN since ELSE $2 END"),
            Self::Cleared => ("'cleared'", "CAST($9 AS BIGINT)", "since"),
        };
        let set = format!(
            "UPDATE discrepancy SET state = {state}, closed_at = {closed_at}, since = {since}, day = $2, amount = $3, ours = $4, theirs = $5, file = $6, \
             line = $7, is_matched = $8 WHERE id = $1 AND {}",
            self.expected()
        );
        for row in rows {
            let [id, _, amount, ours, theirs, _, _, _, is_other] = &row.0[..] else {
                return Err(StoreError::Broken("a discrepancy".to_owned()));
            };
            let mut values: Vec<Value> = row.0[..8].to_vec();
            if matches!(self, Self::Cleared) {
                values.push(now.0.into());
            }
            let is_told = !matches!(self, Self::Changed) || *is_other == Value::Int(1);
            if tx.execute(&set, &values)? == 0 {
                continue;
            }
            // What follows holds other rows: it is another transaction's.
            more = true;
            if let (Self::ChangedSince, Value::Int(id)) = (self, id) {
                decisions::end(tx, (scope, id.unsigned_abs()), now)?;
            }
            if !is_told {
                continue;
            }
            tx.execute(
                "INSERT INTO discrepancy_event (discrepancy, no, kind, at, by, amount, ours, theirs) \
                 SELECT CAST($1 AS BIGINT), COALESCE(MAX(no), 0) + 1, CAST($2 AS TEXT), CAST($3 AS BIGINT), CAST($4 AS TEXT), \
                 CAST($5 AS BIGINT), CAST($6 AS BIGINT), CAST($7 AS BIGINT) FROM discrepancy_event WHERE discrepancy = $1",
                &[
                    id.clone(),
                    self.event().into(),
                    now.0.into(),
                    by.into(),
                    amount.clone(),
                    ours.clone(),
                    theirs.clone(),
                ],
            )?;
        }
        Ok(more)
    }
}
