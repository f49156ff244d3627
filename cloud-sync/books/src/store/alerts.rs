//! Alerts in the database: what people must look at, from when to when. One of a kind about something is open at a time.

use super::{Row, StoreError, Tx, Value, queries::Page};
use domain::time::Wall;

/// What it is that people must look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A site was not heard for long.
    SiteSilent,
    /// Entries wait at a site for long.
    BacklogOld,
    /// A site's journal tells of something that this version does not know.
    Ahead,
    /// A site's journal contradicts itself.
    Broken,
    /// Two journals of one site are about.
    Forked,
    /// The certificate by which a site comes in ends soon.
    SiteCertificate,
    /// The certificate that head office shows ends soon.
    Certificate,
    /// The disk is nearly full.
    Disk,
    /// A site's balance sheet was not what its books are here.
    Books,
    /// A site's bills were others when they were rated again.
    Rating,
    /// A site knows of head office what its database does not: it was restored from a copy, or a failover lost its end.
    Restored,
    /// A site signs with a key that does not count: nothing of it can be taken.
    KeyUnknown,
    /// A site speaks another version of the line.
    ProtocolVersion,
    /// Standbys follow PostgreSQL and none is synchronous: a failover loses what was acknowledged.
    StandbyAsynchronous,
    /// Members' money is on the road to a site for long.
    OnRoadLong,
    /// A site has closed vouchers up to a time that has not come by head office's clock.
    VouchersClosedAhead,
    /// Nothing leaves any wallet.
    WalletsFrozen,
    /// What is in the folder for bills cannot be dealt with.
    BillsStuck,
    /// A channel's day is not reconciled: its control totals do not close.
    TotalsDoNotClose,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::SiteSilent,
        Self::BacklogOld,
        Self::Ahead,
        Self::Broken,
        Self::Forked,
        Self::SiteCertificate,
        Self::Certificate,
        Self::Disk,
        Self::Books,
        Self::Rating,
        Self::Restored,
        Self::KeyUnknown,
        Self::ProtocolVersion,
        Self::StandbyAsynchronous,
        Self::OnRoadLong,
        Self::VouchersClosedAhead,
        Self::WalletsFrozen,
        Self::BillsStuck,
        Self::TotalsDoNotClose,
    ];

    /// Its word, in the database and for people.
    pub const fn word(self) -> &'static str {
        match self {
            Self::SiteSilent => "site_silent",
            Self::BacklogOld => "backlog_old",
            Self::Ahead => "ahead",
            Self::Broken => "broken",
            Self::Forked => "forked",
            Self::SiteCertificate => "site_certificate",
            Self::Certificate => "certificate",
            Self::Disk => "disk",
            Self::Books => "books",
            Self::Rating => "rating",
            Self::Restored => "restored",
            Self::KeyUnknown => "key_unknown",
            Self::ProtocolVersion => "protocol_version",
            Self::StandbyAsynchronous => "standby_asynchronous",
            Self::OnRoadLong => "on_road_long",
            Self::VouchersClosedAhead => "vouchers_closed_ahead",
            Self::WalletsFrozen => "wallets_frozen",
            Self::BillsStuck => "bills_stuck",
            Self::TotalsDoNotClose => "totals_do_not_close",
        }
    }

    /// The kind of this word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// Whether it is about a process of head office, and its machine, which that process alone can see. Others are about sites.
    pub const fn is_of_a_process(self) -> bool {
        matches!(self, Self::Certificate | Self::Disk | Self::BillsStuck)
    }
}

/// An alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// Its id, the same wherever it is told.
    pub id: String,
    /// What it is.
    pub kind: Kind,
    /// The site it is about, the process, `channel:` and a channel, or `head office`.
    pub subject: String,
    /// When it began, by head office's clock.
    pub begun_at: Wall,
    /// When it was over; none while it is not.
    pub ended_at: Option<Wall>,
    /// What is the matter and what to do, as it was when it began.
    pub words: String,
}

const COLUMNS: &str = "id, kind, subject, begun_at, ended_at, words";

fn alert(mut row: Row) -> Result<Alert, StoreError> {
    let kind = row.text(1)?;
    Ok(Alert {
        id: row.text(0)?,
        kind: Kind::of_word(&kind).ok_or_else(|| StoreError::Broken(format!("the kind of an alert: {kind}")))?,
        subject: row.text(2)?,
        begun_at: Wall(row.int(3)?),
        ended_at: row.optional_int(4)?.map(Wall),
        words: row.text(5)?,
    })
}

/// Those that are open.
///
/// # Errors
/// [`StoreError`].
pub fn open(tx: &mut dyn Tx) -> Result<Vec<Alert>, StoreError> {
    let rows = tx.query(
        &format!("SELECT {COLUMNS} FROM alert WHERE open = 1 ORDER BY begun_at, id"),
        &[],
    )?;
    rows.into_iter().map(alert).collect()
}

/// Begins one; whether it was not open already.
///
/// # Errors
/// [`StoreError`].
pub fn begin(tx: &mut dyn Tx, alert: &Alert) -> Result<bool, StoreError> {
    let begun = tx.execute(
        "INSERT INTO alert (id, kind, subject, open, begun_at, words) VALUES ($1, $2, $3, 1, $4, $5) \
         ON CONFLICT (kind, subject) WHERE open = 1 DO NOTHING",
        &[
            alert.id.as_str().into(),
            alert.kind.word().into(),
            alert.subject.as_str().into(),
            alert.begun_at.0.into(),
            alert.words.as_str().into(),
        ],
    )?;
    Ok(begun == 1)
}

/// Ends one; whether it was open.
///
/// # Errors
/// [`StoreError`].
pub fn end(tx: &mut dyn Tx, id: &str, now: Wall) -> Result<bool, StoreError> {
    let ended = tx.execute(
        "UPDATE alert SET open = 0, ended_at = $1 WHERE id = $2 AND open = 1",
        &[now.0.into(), id.into()],
    )?;
    Ok(ended == 1)
}

/// Open ones first, then the newest, at most so many, after the one at which the page before ended.
///
/// # Errors
/// [`StoreError`].
pub fn list(
    tx: &mut dyn Tx,
    is_open: Option<bool>,
    after: Option<(bool, Wall, String)>,
    limit: usize,
) -> Result<Page<Alert>, StoreError> {
    let mut conditions = Vec::new();
    let mut values: Vec<Value> = vec![(limit as u64 + 1).into()];
    if let Some(is_open) = is_open {
        values.push(is_open.into());
        conditions.push(format!("open = ${}", values.len()));
    }
    if let Some((open, begun_at, id)) = after {
        let from = values.len() + 1;
        values.extend([open.into(), begun_at.0.into(), id.into()]);
        let (begun, id) = (from + 1, from + 2);
        conditions.push(format!("(open, begun_at, id) < (${from}, ${begun}, ${id})"));
    }
    let clause = match conditions.is_empty() {
        true => String::new(),
        false => format!(" WHERE {}", conditions.join(" AND ")),
    };
    let statement = format!("SELECT {COLUMNS} FROM alert{clause} ORDER BY open DESC, begun_at DESC, id DESC LIMIT $1");
    let rows = tx.query(&statement, &values)?;
    let items = rows
        .into_iter()
        .map(alert)
        .collect::<Result<Vec<Alert>, StoreError>>()?;
    Ok(Page::of(items, limit))
}
