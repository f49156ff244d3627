//! Findings in the database: where a site's journal says one thing, and what is worked out here another. The site's own word
//! stands; people look at it.

use super::{
    Row, SetStatement, StoreError, Tx, Value,
    adjustments::OfFinding,
    set::{Present, int, text},
};
use domain::{
    ids::{OrderId, SiteId},
    time::Wall,
};
use std::collections::{BTreeMap, BTreeSet};

/// What kind of difference it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// A bill is another one when it is rated again.
    Rating,
    /// A site's balance sheet is not what its books are here.
    Books,
    /// An order was settled on two branches of a site's journal.
    Fork,
    /// Two people have set an entry aside: nothing of it is applied here.
    SetAside,
    /// A site was closed: what is open by its rows.
    Closed,
    /// A member was made at a site's desk with an id that is another site's.
    MemberId,
    /// Money has arrived at a site of a cause that head office's database has forgotten: out of the wallet, and what that had not is
    /// owed (rule 4).
    Forgotten,
    /// More was given back for an order than the bill in force says that it cost; or what was given back does not stand in its row.
    OverRefund,
    /// A till is short of what was typed wrong and a member has not there any more (rule 20).
    Cash,
    /// What members had at a site by the entries of a branch that it has left, and have not on the one that lives (rule 8). It stands at
    /// the last entry of the one that was left.
    AboveFork,
}

impl Class {
    const ALL: [Self; 10] = [
        Self::Rating,
        Self::Books,
        Self::Fork,
        Self::SetAside,
        Self::Closed,
        Self::MemberId,
        Self::Forgotten,
        Self::OverRefund,
        Self::Cash,
        Self::AboveFork,
    ];

    /// Its name, in the database and for people: `RATING`, `BOOKS`, `FORK`, `SET_ASIDE`, `CLOSED`, `MEMBER_ID`,
    /// `FORGOTTEN`, `OVER_REFUND`, `CASH`, `ABOVE_FORK`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Rating => "RATING",
            Self::Books => "BOOKS",
            Self::Fork => "FORK",
            Self::SetAside => "SET_ASIDE",
            Self::Closed => "CLOSED",
            Self::MemberId => "MEMBER_ID",
            Self::Forgotten => "FORGOTTEN",
            Self::OverRefund => "OVER_REFUND",
            Self::Cash => "CASH",
            Self::AboveFork => "ABOVE_FORK",
        }
    }

    /// The class of this name.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.word() == word)
    }
}

/// A difference. There is at most one of a class at a place in a site's journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Of what kind.
    pub class: Class,
    /// The entry at which it shows.
    pub seq: u64,
    /// The order it is about, if it is about one.
    pub order: Option<OrderId>,
    /// JSON: `why` in words, and what `site` and `here` have.
    pub detail: String,
}

/// A finding as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// In whose journal.
    pub site: SiteId,
    /// On which branch of it.
    pub branch: u64,
    /// What.
    pub finding: Finding,
    /// When it was found, by head office's clock.
    pub found_at: Wall,
}

pub(super) const COLUMNS: &str = "site, branch, seq, class, order_id, detail, found_at";

const FINDINGS: SetStatement = SetStatement {
    table: "finding",
    keys: 4,
    columns: &[
        text("site"),
        int("branch"),
        int("seq"),
        text("class"),
        text("order_id"),
        text("detail"),
        int("found_at"),
    ],
    present: Present::Keep,
};

/// Keeps findings. One that is there stays as it was, so that a journal that is followed again finds nothing twice.
///
/// # Errors
/// [`StoreError`].
pub fn add(tx: &mut dyn Tx, site: &SiteId, branch: u64, findings: &[Finding], now: Wall) -> Result<(), StoreError> {
    let row = |finding: &Finding| {
        vec![
            site.as_str().into(),
            branch.into(),
            finding.seq.into(),
            finding.class.word().into(),
            finding.order.as_ref().map(|order| order.as_str()).into(),
            finding.detail.as_str().into(),
            now.0.into(),
        ]
    };
    tx.write_all(&FINDINGS, &findings.iter().map(row).collect::<Vec<_>>())
}

/// The finding at a place.
///
/// # Errors
/// [`StoreError`].
pub fn find(tx: &mut dyn Tx, of: &OfFinding) -> Result<Option<Found>, StoreError> {
    let row = tx.query_optional(
        &format!("SELECT {COLUMNS} FROM finding WHERE site = $1 AND branch = $2 AND seq = $3 AND class = $4"),
        &[
            of.site.as_str().into(),
            of.branch.into(),
            of.seq.into(),
            of.class.word().into(),
        ],
    )?;
    row.map(found).transpose()
}

/// The findings of a class on a branch, in the order of their entries.
///
/// # Errors
/// [`StoreError`].
pub fn on_branch(tx: &mut dyn Tx, site: &SiteId, branch: u64, class: Class) -> Result<Vec<Found>, StoreError> {
    let rows = tx.query(
        &format!("SELECT {COLUMNS} FROM finding WHERE site = $1 AND branch = $2 AND class = $3 ORDER BY seq"),
        &[site.as_str().into(), branch.into(), class.word().into()],
    )?;
    rows.into_iter().map(found).collect()
}

/// The orders that a site's findings of a class are about, on whichever branch.
///
/// # Errors
/// [`StoreError`].
pub fn orders_of(tx: &mut dyn Tx, site: &SiteId, class: Class) -> Result<BTreeSet<OrderId>, StoreError> {
    let rows = tx.query(
        "SELECT DISTINCT order_id FROM finding WHERE site = $1 AND class = $2 AND order_id IS NOT NULL",
        &[site.as_str().into(), class.word().into()],
    )?;
    let order = |mut row: Row| {
        let order = row.text(0)?.parse();
        order.map_err(|error| StoreError::Broken(format!("the order of a finding: {error}")))
    };
    rows.into_iter().map(order).collect()
}

/// Gives the findings up to an entry to another branch, which has the journal up to there in common.
///
/// # Errors
/// [`StoreError`].
pub fn give(tx: &mut dyn Tx, site: &SiteId, from: u64, to: u64, seq: u64) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE finding SET branch = $1 WHERE site = $2 AND branch = $3 AND seq <= $4",
        &[to.into(), site.as_str().into(), from.into(), seq.into()],
    )
    .map(drop)
}

/// Which findings are asked for: those for which everything that is given holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Of this site.
    pub site: Option<SiteId>,
    /// Of this class.
    pub class: Option<Class>,
    /// About this order.
    pub order: Option<OrderId>,
}

/// The newest findings first, at most so many, after the one at which the page before ended.
///
/// # Errors
/// [`StoreError`].
pub fn list(tx: &mut dyn Tx, filter: &Filter, after: Option<&Found>, limit: u64) -> Result<Vec<Found>, StoreError> {
    let mut values: Vec<Value> = Vec::new();
    let mut place = |value: Value| {
        values.push(value);
        format!("${}", values.len())
    };
    let mut conditions = Vec::new();
    if let Some(site) = &filter.site {
        conditions.push(format!("site = {}", place(site.as_str().into())));
    }
    if let Some(class) = filter.class {
        conditions.push(format!("class = {}", place(class.word().into())));
    }
    if let Some(order) = &filter.order {
        conditions.push(format!("order_id = {}", place(order.as_str().into())));
    }
    if let Some(after) = after {
        let cursor: [Value; 5] = [
            after.found_at.0.into(),
            after.site.as_str().into(),
            after.branch.into(),
            after.finding.seq.into(),
            after.finding.class.word().into(),
        ];
        let cursor = cursor.map(&mut place).join(", ");
        conditions.push(format!("(found_at, site, branch, seq, class) < ({cursor})"));
    }
    let limit = place(limit.into());
    let conditions = match conditions.is_empty() {
        true => String::new(),
        false => format!(" WHERE {}", conditions.join(" AND ")),
    };
    let statement = format!(
        "SELECT {COLUMNS} FROM finding{conditions} \
         ORDER BY found_at DESC, site DESC, branch DESC, seq DESC, class DESC LIMIT {limit}"
    );
    tx.query(&statement, &values)?.into_iter().map(found).collect()
}

/// How many findings of a class each site has since then, without sites that have none.
///
/// # Errors
/// [`StoreError`].
pub fn counts_since(tx: &mut dyn Tx, class: Class, since: Wall) -> Result<BTreeMap<String, u64>, StoreError> {
    let rows = tx.query(
        "SELECT site, COUNT(*) FROM finding WHERE found_at >= $1 AND class = $2 GROUP BY site",
        &[since.0.into(), class.word().into()],
    )?;
    rows.into_iter()
        .map(|mut row| Ok((row.text(0)?, row.count(1)?)))
        .collect()
}

pub(super) fn found(mut row: Row) -> Result<Found, StoreError> {
    let bad = |what: &str, why: &dyn std::fmt::Display| StoreError::Broken(format!("{what} of a finding: {why}"));
    let class = row.text(3)?;
    let order = row.optional_text(4)?;
    Ok(Found {
        site: row.text(0)?.parse().map_err(|error| bad("the site", &error))?,
        branch: row.count(1)?,
        finding: Finding {
            class: Class::of_word(&class).ok_or_else(|| bad("the class", &class))?,
            seq: row.count(2)?,
            order: order
                .map(|order| order.parse().map_err(|error| bad("the order", &error)))
                .transpose()?,
            detail: row.text(5)?,
        },
        found_at: Wall(row.int(6)?),
    })
}
