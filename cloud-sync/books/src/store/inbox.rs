//! What members are told: events in order for each member, and how far the mini-program's back end was told of them. It is told
//! in that order, so a number a member is all that has to be kept of it; what it did not take for good is a dead letter.

use super::{
    LookUp, Row, SetStatement, StoreError, Tx, Value,
    queries::Page,
    set::{Present, int, text},
};
use domain::{ids::MemberId, time::Wall};
use std::collections::{BTreeMap, BTreeSet};

/// The name of the one back end that there is.
const MINI_PROGRAM: &str = "mini_program";
/// For how long an event is kept, in milliseconds: 180 days, as a station keeps what its drivers were told.
const KEPT_MS: i64 = 180 * 86_400_000;

/// Something that a member is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Who is told.
    pub member: MemberId,
    /// Its id, the same wherever it is told: `{site}:{branch}:{seq}` of the entry that it follows from, or its cause's.
    pub id: String,
    /// What it is, in a stable word.
    pub kind: String,
    /// What there is to say, JSON; its fields depend on `kind`.
    pub body: String,
}

/// An event in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The event.
    pub event: Event,
    /// Its number among those of its member, counted from 1 without gaps.
    pub seq: u64,
    /// When it was written, by head office's clock.
    pub at: Wall,
}

const EVENTS: SetStatement = SetStatement {
    table: "inbox",
    keys: 1,
    columns: &[
        text("id"),
        text("member"),
        int("seq"),
        text("kind"),
        text("body"),
        int("at"),
    ],
    present: Present::Refuse,
};

const MEMBERS: SetStatement = SetStatement {
    table: "inbox_member",
    keys: 1,
    columns: &[
        text("member"),
        int("seq"),
        int("sent"),
        int("tries"),
        int("due_at"),
        int("claimed_until"),
    ],
    present: Present::Add("seq"),
};

const BY_ID: LookUp = LookUp {
    table: "inbox",
    keys: &[text("id")],
    columns: &[text("id")],
};

const LAST: LookUp = LookUp {
    table: "inbox_member",
    keys: &[text("member")],
    columns: &[text("member"), int("seq")],
};

/// Tells a member something, in the transaction that it follows from: it stands in the inbox, and the back end is told where
/// there is one. Whether it was not told before.
///
/// # Errors
/// [`StoreError`].
pub fn tell(
    tx: &mut dyn Tx,
    member: &MemberId,
    kind: &str,
    id: &str,
    body: &serde_json::Value,
    now: Wall,
) -> Result<bool, StoreError> {
    let event = Event {
        member: member.clone(),
        id: id.to_owned(),
        kind: kind.to_owned(),
        body: body.to_string(),
    };
    Ok(tell_all(tx, vec![event], now)? == 1)
}

/// Tells many things at once, each as [`tell`] does; those of one member in this order. How many were not told before.
///
/// # Errors
/// [`StoreError`].
pub fn tell_all(tx: &mut dyn Tx, events: Vec<Event>, now: Wall) -> Result<usize, StoreError> {
    if events.is_empty() {
        return Ok(0);
    }
    // Each member is held fast until the transaction ends: what others tell them at the same time has other numbers.
    count(tx, &per_member(&events), 1)?;
    let ids: BTreeSet<&str> = events.iter().map(|event| event.id.as_str()).collect();
    let mut known = BTreeSet::new();
    let ids: Vec<Vec<Value>> = ids.into_iter().map(|id| vec![id.into()]).collect();
    for mut row in tx.find_all(&BY_ID, &ids)? {
        known.insert(row.text(0)?);
    }
    let (new, again): (Vec<Event>, Vec<Event>) = events.into_iter().partition(|event| known.insert(event.id.clone()));
    count(tx, &per_member(&again), -1)?;
    let counts = per_member(&new);
    let members: Vec<Vec<Value>> = counts.keys().map(|member| vec![(*member).into()]).collect();
    let mut next = BTreeMap::new();
    for mut row in tx.find_all(&LAST, &members)? {
        let (member, last) = (row.text(0)?, row.int(1)?);
        let of_these = counts.get(member.as_str()).copied().unwrap_or_default();
        next.insert(member, last - of_these + 1);
    }
    let mut rows = Vec::with_capacity(new.len());
    for Event { member, id, kind, body } in &new {
        let seq = next.get_mut(member.as_str());
        let seq = seq.ok_or_else(|| StoreError::Broken(format!("the inbox of {member} is missing")))?;
        rows.push(vec![
            id.as_str().into(),
            member.as_str().into(),
            (*seq).into(),
            kind.as_str().into(),
            body.as_str().into(),
            now.0.into(),
        ]);
        *seq += 1;
    }
    tx.write_all(&EVENTS, &rows)?;
    Ok(new.len())
}

fn per_member(events: &[Event]) -> BTreeMap<&str, i64> {
    let mut counts = BTreeMap::new();
    for event in events {
        *counts.entry(event.member.as_str()).or_default() += 1;
    }
    counts
}

fn count(tx: &mut dyn Tx, counts: &BTreeMap<&str, i64>, sign: i64) -> Result<(), StoreError> {
    let nothing = || Value::Int(0);
    let row = |(member, count): (&&str, &i64)| {
        let seq = Value::Int(sign * count);
        vec![(*member).into(), seq, nothing(), nothing(), nothing(), nothing()]
    };
    tx.write_all(&MEMBERS, &counts.iter().map(row).collect::<Vec<_>>())
}

const TOLD: &str = "i.id, i.member, i.kind, i.body, i.seq, i.at";

fn told(row: &mut Row) -> Result<Told, StoreError> {
    let member = row.text(1)?;
    Ok(Told {
        event: Event {
            id: row.text(0)?,
            member: member
                .parse()
                .map_err(|error| StoreError::Broken(format!("a member in the inbox: {error}")))?,
            kind: row.text(2)?,
            body: row.text(3)?,
        },
        seq: row.count(4)?,
        at: Wall(row.int(5)?),
    })
}

/// Which events of a member are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only those of this kind.
    pub kind: Option<String>,
    /// Only those after this number.
    pub after: Option<u64>,
}

/// A member's events, the newest first, from before this number on.
///
/// # Errors
/// [`StoreError`].
pub fn list(
    tx: &mut dyn Tx,
    member: &MemberId,
    filter: &Filter,
    before: Option<u64>,
    limit: usize,
) -> Result<Page<Told>, StoreError> {
    let mut values: Vec<Value> = vec![member.as_str().into(), (limit as u64 + 1).into()];
    let mut conditions = String::new();
    let mut and = |condition: &str, value: Value| {
        values.push(value);
        conditions.push_str(&format!(" AND {condition} ${}", values.len()));
    };
    if let Some(kind) = &filter.kind {
        and("i.kind =", kind.as_str().into());
    }
    if let Some(after) = filter.after {
        and("i.seq >", after.into());
    }
    if let Some(before) = before {
        and("i.seq <", before.into());
    }
    let statement = format!("SELECT {TOLD} FROM inbox i WHERE i.member = $1{conditions} ORDER BY i.seq DESC LIMIT $2");
    let rows = tx.query(&statement, &values)?;
    let items = rows.into_iter().map(|mut row| told(&mut row));
    Ok(Page::of(items.collect::<Result<_, _>>()?, limit))
}

/// From now on there is a back end that is told; of what was before the first time it is not.
///
/// # Errors
/// [`StoreError`].
pub fn begin(tx: &mut dyn Tx, now: Wall) -> Result<(), StoreError> {
    let begun = tx.execute(
        "INSERT INTO webhook (name, since) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING",
        &[MINI_PROGRAM.into(), now.0.into()],
    )?;
    if begun == 1 {
        tx.execute("UPDATE inbox_member SET sent = seq WHERE sent < seq", &[])?;
    }
    Ok(())
}

/// Whose events are sent: each member's in their order, a dead letter by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lane {
    /// The next event of this member.
    Member(MemberId),
    /// The dead letter of this id.
    Dead(String),
}

/// An event that this process has to itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// Where it stands.
    pub lane: Lane,
    /// The event.
    pub told: Told,
    /// How often it was tried, with the try for which it was claimed.
    pub tries: u64,
    /// When it was first tried; none before that.
    pub tried_since: Option<Wall>,
    /// Until when it is this process's.
    until: Wall,
}

/// Whether something is due.
///
/// # Errors
/// [`StoreError`].
pub fn is_due(tx: &mut dyn Tx, now: Wall) -> Result<bool, StoreError> {
    for statement in [
        "SELECT 1 FROM inbox_member WHERE sent < seq AND due_at <= $1 AND claimed_until <= $2 LIMIT 1",
        "SELECT 1 FROM dead_letter WHERE waits = 1 AND due_at <= $1 AND claimed_until <= $2 LIMIT 1",
    ] {
        if !tx.query(statement, &[now.0.into(), now.0.into()])?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Takes what is due for this process until then: of a member the next event alone.
///
/// # Errors
/// [`StoreError`].
pub fn claim(tx: &mut dyn Tx, now: Wall, until: Wall, limit: u64) -> Result<Vec<Claimed>, StoreError> {
    let due = tx.query(
        "SELECT member FROM inbox_member WHERE sent < seq AND due_at <= $1 AND claimed_until <= $2 ORDER BY due_at, member \
         LIMIT $3",
        &[now.0.into(), now.0.into(), limit.into()],
    )?;
    let mut members = BTreeSet::new();
    for mut row in due {
        members.insert(row.text(0)?);
    }
    let mut claimed = Vec::new();
    // In one order, as whoever tells many holds them fast.
    for member in members {
        // Another process may have claimed it since: then it is not changed.
        let taken = tx.execute(
            "UPDATE inbox_member SET claimed_until = $1, tries = tries + 1 \
             WHERE member = $2 AND sent < seq AND due_at <= $3 AND claimed_until <= $4",
            &[until.0.into(), member.as_str().into(), now.0.into(), now.0.into()],
        )?;
        if taken == 1 {
            claimed.push(next_of(tx, &member, until)?);
        }
    }
    let due = tx.query(
        "SELECT id FROM dead_letter WHERE waits = 1 AND due_at <= $1 AND claimed_until <= $2 ORDER BY due_at, id LIMIT $3",
        &[now.0.into(), now.0.into(), limit.into()],
    )?;
    for mut row in due {
        let id = row.text(0)?;
        let taken = tx.execute(
            "UPDATE dead_letter SET claimed_until = $1, tries = tries + 1 \
             WHERE id = $2 AND waits = 1 AND due_at <= $3 AND claimed_until <= $4",
            &[until.0.into(), id.as_str().into(), now.0.into(), now.0.into()],
        )?;
        if taken == 1 {
            claimed.push(dead_of(tx, &id, until)?);
        }
    }
    Ok(claimed)
}

/// The next event of a member that this process has claimed.
fn next_of(tx: &mut dyn Tx, member: &str, until: Wall) -> Result<Claimed, StoreError> {
    let row = tx.query_optional(
        &format!(
            "SELECT {TOLD}, m.tries, m.tried_since FROM inbox_member m JOIN inbox i ON i.member = m.member AND i.seq = m.sent + 1 \
             WHERE m.member = $1"
        ),
        &[member.into()],
    )?;
    let mut row = row.ok_or_else(|| StoreError::Broken(format!("the next event of {member} is missing")))?;
    let told = told(&mut row)?;
    Ok(Claimed {
        lane: Lane::Member(told.event.member.clone()),
        tries: row.count(6)?,
        tried_since: row.optional_int(7)?.map(Wall),
        told,
        until,
    })
}

fn dead_of(tx: &mut dyn Tx, id: &str, until: Wall) -> Result<Claimed, StoreError> {
    let row = tx.query_optional(
        &format!(
            "SELECT {TOLD}, d.tries, d.tried_since FROM dead_letter d JOIN inbox i ON i.id = d.id WHERE d.id = $1"
        ),
        &[id.into()],
    )?;
    let mut row = row.ok_or_else(|| StoreError::Broken(format!("the dead letter {id} is missing")))?;
    Ok(Claimed {
        lane: Lane::Dead(id.to_owned()),
        told: told(&mut row)?,
        tries: row.count(6)?,
        tried_since: row.optional_int(7)?.map(Wall),
        until,
    })
}

/// It was taken. Where this process is to go on with the member's next event until then, that one, if there is one; otherwise, and
/// where its time was over, whoever claims it does.
///
/// # Errors
/// [`StoreError`].
pub fn taken(tx: &mut dyn Tx, claimed: &Claimed, until: Option<Wall>) -> Result<Option<Claimed>, StoreError> {
    match &claimed.lane {
        Lane::Member(member) => pass(tx, member, claimed, until),
        Lane::Dead(id) => {
            tx.execute(
                "DELETE FROM dead_letter WHERE id = $1 AND claimed_until = $2",
                &[id.as_str().into(), claimed.until.0.into()],
            )?;
            Ok(None)
        }
    }
}

/// Goes on to the next event of a member.
fn pass(
    tx: &mut dyn Tx,
    member: &MemberId,
    claimed: &Claimed,
    until: Option<Wall>,
) -> Result<Option<Claimed>, StoreError> {
    let row = tx.query_optional(
        "UPDATE inbox_member SET sent = $1, tries = 0, tried_since = NULL, due_at = 0, claimed_until = 0 \
         WHERE member = $2 AND claimed_until = $3 RETURNING seq",
        &[claimed.told.seq.into(), member.as_str().into(), claimed.until.0.into()],
    )?;
    let last = row.map_or(Ok(0), |mut row| row.count(0))?;
    let Some(until) = until.filter(|_| last > claimed.told.seq) else {
        return Ok(None);
    };
    tx.execute(
        "UPDATE inbox_member SET claimed_until = $1, tries = 1 WHERE member = $2",
        &[until.0.into(), member.as_str().into()],
    )?;
    next_of(tx, member.as_str(), until).map(Some)
}

fn place(lane: &Lane) -> (&'static str, &'static str, &str) {
    match lane {
        Lane::Member(member) => ("inbox_member", "member", member.as_str()),
        Lane::Dead(id) => ("dead_letter", "id", id),
    }
}

/// It could not be told: it is tried again then, and nothing after it before that.
///
/// # Errors
/// [`StoreError`].
pub fn later(tx: &mut dyn Tx, claimed: &Claimed, since: Wall, again_at: Wall) -> Result<(), StoreError> {
    let (table, key, id) = place(&claimed.lane);
    tx.execute(
        &format!(
            "UPDATE {table} SET tried_since = $1, due_at = $2, claimed_until = 0 WHERE {key} = $3 AND claimed_until = $4"
        ),
        &[since.0.into(), again_at.0.into(), id.into(), claimed.until.0.into()],
    )
    .map(drop)
}

/// It could not be told and is not tried any more: a dead letter, and the member's next event is due.
///
/// # Errors
/// [`StoreError`].
pub fn dead(tx: &mut dyn Tx, claimed: &Claimed, why: &str, now: Wall) -> Result<(), StoreError> {
    let Lane::Member(member) = &claimed.lane else {
        return dead_again(tx, claimed, why, now);
    };
    let held = tx.query_optional(
        "UPDATE inbox_member SET claimed_until = claimed_until WHERE member = $1 AND claimed_until = $2 RETURNING seq",
        &[member.as_str().into(), claimed.until.0.into()],
    )?;
    if held.is_none() {
        return Ok(());
    }
    tx.execute(
        "INSERT INTO dead_letter (id, died_at, tries, why, waits, tried_since, due_at, claimed_until) \
         VALUES ($1, $2, $3, $4, 0, NULL, 0, 0) ON CONFLICT (id) DO NOTHING",
        &[
            claimed.told.event.id.as_str().into(),
            now.0.into(),
            claimed.tries.into(),
            why.into(),
        ],
    )?;
    pass(tx, member, claimed, None).map(drop)
}

fn dead_again(tx: &mut dyn Tx, claimed: &Claimed, why: &str, now: Wall) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE dead_letter SET died_at = $1, why = $2, waits = 0, tried_since = NULL, claimed_until = 0 \
         WHERE id = $3 AND claimed_until = $4",
        &[
            now.0.into(),
            why.into(),
            claimed.told.event.id.as_str().into(),
            claimed.until.0.into(),
        ],
    )
    .map(drop)
}

/// An event that the back end did not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The event.
    pub told: Told,
    /// When it was given up.
    pub died_at: Wall,
    /// How often it was tried.
    pub tries: u64,
    /// Why it was not taken, the last time.
    pub why: String,
    /// Somebody has it sent again, and it was not taken yet.
    pub waits: bool,
}

const DEAD: &str = "d.died_at, d.tries, d.why, d.waits";

fn dead_letter(mut row: Row) -> Result<DeadLetter, StoreError> {
    Ok(DeadLetter {
        told: told(&mut row)?,
        died_at: Wall(row.int(6)?),
        tries: row.count(7)?,
        why: row.text(8)?,
        waits: row.int(9)? != 0,
    })
}

/// Dead letters, the last given up first, after the one at which the page before ended.
///
/// # Errors
/// [`StoreError`].
pub fn dead_letters(
    tx: &mut dyn Tx,
    member: Option<&MemberId>,
    after: Option<(Wall, String)>,
    limit: usize,
) -> Result<Page<DeadLetter>, StoreError> {
    let mut values: Vec<Value> = vec![(limit as u64 + 1).into()];
    let mut conditions = Vec::new();
    if let Some(member) = member {
        values.push(member.as_str().into());
        conditions.push(format!("i.member = ${}", values.len()));
    }
    if let Some((died_at, id)) = after {
        values.extend([died_at.0.into(), id.into()]);
        conditions.push(format!(
            "(d.died_at, d.id) < (${}, ${})",
            values.len() - 1,
            values.len()
        ));
    }
    let clause = match conditions.is_empty() {
        true => String::new(),
        false => format!(" WHERE {}", conditions.join(" AND ")),
    };
    let statement = format!(
        "SELECT {TOLD}, {DEAD} FROM dead_letter d JOIN inbox i ON i.id = d.id{clause} ORDER BY d.died_at DESC, d.id DESC LIMIT $1"
    );
    let rows = tx.query(&statement, &values)?;
    let items = rows.into_iter().map(dead_letter).collect::<Result<_, _>>()?;
    Ok(Page::of(items, limit))
}

/// Has a dead letter sent again, as if it were new: it, as it stands then. None where there is none of this id.
///
/// # Errors
/// [`StoreError`].
pub fn resend(tx: &mut dyn Tx, id: &str, now: Wall) -> Result<Option<DeadLetter>, StoreError> {
    tx.execute(
        "UPDATE dead_letter SET waits = 1, tries = 0, tried_since = NULL, due_at = $1 WHERE id = $2 AND waits = 0",
        &[now.0.into(), id.into()],
    )?;
    let row = tx.query_optional(
        &format!("SELECT {TOLD}, {DEAD} FROM dead_letter d JOIN inbox i ON i.id = d.id WHERE d.id = $1"),
        &[id.into()],
    )?;
    row.map(dead_letter).transpose()
}

/// How many members have something that the back end was not told, and how many dead letters there are; nobody waits where there
/// is no back end.
///
/// # Errors
/// [`StoreError`].
pub fn counts(tx: &mut dyn Tx) -> Result<(u64, u64), StoreError> {
    let mut count = |statement: &str| -> Result<u64, StoreError> {
        let row = tx.query_optional(statement, &[])?;
        row.map_or(Ok(0), |mut row| row.count(0))
    };
    let has_one = count("SELECT COUNT(*) FROM webhook")? > 0;
    let waiting = match has_one {
        true => count("SELECT COUNT(*) FROM inbox_member WHERE sent < seq")?,
        false => 0,
    };
    Ok((waiting, count("SELECT COUNT(*) FROM dead_letter")?))
}

/// Forgets what was told long ago, dead letters among it; not what the back end has yet to be told.
///
/// # Errors
/// [`StoreError`].
pub fn prune(tx: &mut dyn Tx, now: Wall) -> Result<u64, StoreError> {
    let before = Value::from(now.after_ms(-KEPT_MS).0);
    tx.execute(
        "DELETE FROM dead_letter WHERE waits = 0 AND id IN (SELECT id FROM inbox WHERE at < $1)",
        std::slice::from_ref(&before),
    )?;
    // Where there is no back end nothing waits to be told.
    tx.execute(
        "DELETE FROM inbox WHERE at < $1 AND NOT EXISTS (SELECT 1 FROM dead_letter d WHERE d.id = inbox.id) \
         AND (NOT EXISTS (SELECT 1 FROM webhook) \
              OR seq <= (SELECT m.sent FROM inbox_member m WHERE m.member = inbox.member))",
        &[before],
    )
}
