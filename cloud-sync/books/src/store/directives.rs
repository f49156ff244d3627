//! Directives in the database: numbered without gaps in two rows for each site and life of head office's, kept as they are sent,
//! until the site's journal says what came of them.

use super::{Row, StoreError, Tx, identity};
use domain::{
    head_office::{Directive, DirectiveNo, DirectiveRow, HqEpoch, RefusedDirective},
    ids::{MemberId, OrderId, SiteId},
    time::Wall,
    units::Fen,
};
use protocol::{frame::SignedDirective, status::DirectivesTaken};
use ring::digest::{SHA256, digest};

/// What became of a directive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// The site has not said yet.
    Waiting,
    /// It was done.
    Done,
    /// It could not be done.
    Refused(RefusedDirective),
    /// Another life of head office's has begun before the site has said anything.
    Forgotten,
}

impl State {
    /// Its word.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Done => "done",
            Self::Refused(_) => "refused",
            Self::Forgotten => "forgotten",
        }
    }
}

/// A directive.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// To which site.
    pub site: SiteId,
    /// Which.
    pub no: DirectiveNo,
    /// Of what kind.
    pub kind: String,
    /// Its JSON, which is signed.
    pub body: String,
    /// What became of it.
    pub state: State,
    /// When it was made.
    pub made_at: Wall,
    /// By whom.
    pub made_by: String,
    /// When the site has said what came of it.
    pub ended_at: Option<Wall>,
}

fn bad(what: &str) -> StoreError {
    StoreError::Broken(format!("{what} of a directive"))
}

const fn row_word(row: DirectiveRow) -> &'static str {
    match row {
        DirectiveRow::Orders => "orders",
        DirectiveRow::Others => "others",
    }
}

/// The next number of a row. Whoever else takes one waits until this transaction ends.
fn next_number(tx: &mut dyn Tx, site: &SiteId, epoch: HqEpoch, row: DirectiveRow) -> Result<u64, StoreError> {
    let next = tx.query_optional(
        "INSERT INTO directive_row (site, hq_epoch, row, n) VALUES ($1, $2, $3, 1) \
         ON CONFLICT (site, hq_epoch, row) DO UPDATE SET n = directive_row.n + 1 RETURNING n",
        &[site.as_str().into(), epoch.to_string().into(), row_word(row).into()],
    )?;
    next.ok_or_else(|| bad("the number"))?.count(0)
}

/// Whether a life of head office's has issued this many directives of each row to a site: what was taken is in the database.
///
/// # Errors
/// [`StoreError`].
pub fn reach(tx: &mut dyn Tx, (site, epoch): (&SiteId, HqEpoch), taken: DirectivesTaken) -> Result<bool, StoreError> {
    for (row, n) in [
        (DirectiveRow::Orders, taken.orders),
        (DirectiveRow::Others, taken.others),
    ] {
        let last = tx.query_optional(
            "SELECT n FROM directive_row WHERE site = $1 AND hq_epoch = $2 AND row = $3",
            &[site.as_str().into(), epoch.to_string().into(), row_word(row).into()],
        )?;
        let last = last.map(|mut row| row.count(0)).transpose()?;
        if n > last.unwrap_or(0) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Holds a site's numbers fast: whoever issues anything to it meanwhile waits, and sees what became of the site.
///
/// # Errors
/// [`StoreError`].
pub fn hold_numbers(tx: &mut dyn Tx, site: &SiteId, hq_epoch: HqEpoch) -> Result<(), StoreError> {
    for row in [DirectiveRow::Orders, DirectiveRow::Others] {
        tx.execute(
            "INSERT INTO directive_row (site, hq_epoch, row, n) VALUES ($1, $2, $3, 0) \
             ON CONFLICT (site, hq_epoch, row) DO UPDATE SET n = directive_row.n",
            &[site.as_str().into(), hq_epoch.to_string().into(), row_word(row).into()],
        )?;
    }
    Ok(())
}

/// Adds a directive; its number.
///
/// # Errors
/// [`StoreError`].
pub fn add(
    tx: &mut dyn Tx,
    (site, hq_epoch): (&SiteId, HqEpoch),
    directive: &Directive,
    by_at: (&str, Wall),
) -> Result<DirectiveNo, StoreError> {
    add_in(tx, (site, hq_epoch), directive.row(), directive, by_at)
}

/// The same in this row, whichever row such a directive is numbered in otherwise: sites go by what it says itself.
///
/// # Errors
/// [`StoreError`].
pub fn add_in(
    tx: &mut dyn Tx,
    (site, hq_epoch): (&SiteId, HqEpoch),
    row: DirectiveRow,
    directive: &Directive,
    (by, now): (&str, Wall),
) -> Result<DirectiveNo, StoreError> {
    let n = next_number(tx, site, hq_epoch, row)?;
    let no = DirectiveNo { hq_epoch, row, n };
    let body = SignedDirective::json(no, directive);
    let body = String::from_utf8(body).map_err(|_| bad("the text"))?;
    tx.execute(
        "INSERT INTO directive (site, hq_epoch, row, n, kind, body, member, order_id, about, state, made_at, made_by) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'waiting', $10, $11)",
        &[
            site.as_str().into(),
            hq_epoch.to_string().into(),
            row_word(row).into(),
            n.into(),
            directive.kind().into(),
            body.into(),
            member_of(directive).map(MemberId::as_str).into(),
            order_of(directive).map(OrderId::as_str).into(),
            about(directive).as_deref().into(),
            now.0.into(),
            by.into(),
        ],
    )?;
    Ok(no)
}

fn member_of(directive: &Directive) -> Option<&MemberId> {
    match directive {
        Directive::Lease { member, .. }
        | Directive::Recall { member, .. }
        | Directive::Start { member, .. }
        | Directive::Member { member, .. }
        | Directive::Block { member, .. }
        | Directive::Owes { member, .. } => Some(member),
        Directive::Card { member, .. } => member.as_ref(),
        _ => None,
    }
}

fn order_of(directive: &Directive) -> Option<&OrderId> {
    match directive {
        Directive::Start { order, .. }
        | Directive::Stop { order, .. }
        | Directive::DebtPaid { order, .. }
        | Directive::Review { order, .. }
        | Directive::Correct { order, .. }
        | Directive::RefundMark { order, .. } => Some(order),
        _ => None,
    }
}

const COLUMNS: &str = "site, hq_epoch, row, n, kind, body, state, refused, made_at, made_by, ended_at";

fn kept(mut row: Row) -> Result<Kept, StoreError> {
    let refused = row.optional_text(7)?;
    let state = match row.text(6)?.as_str() {
        "waiting" => State::Waiting,
        "done" => State::Done,
        "forgotten" => State::Forgotten,
        _ => {
            let why = refused.ok_or_else(|| bad("the reason"))?;
            State::Refused(serde_json::from_str(&why).map_err(|_| bad("the reason"))?)
        }
    };
    Ok(Kept {
        site: row.text(0)?.parse().map_err(|_| bad("the site"))?,
        no: DirectiveNo {
            hq_epoch: HqEpoch::try_from(row.text(1)?).map_err(|_| bad("the epoch"))?,
            row: match row.text(2)?.as_str() {
                "orders" => DirectiveRow::Orders,
                _ => DirectiveRow::Others,
            },
            n: row.count(3)?,
        },
        kind: row.text(4)?,
        body: row.text(5)?,
        state,
        made_at: Wall(row.int(8)?),
        made_by: row.text(9)?,
        ended_at: row.optional_int(10)?.map(Wall),
    })
}

/// The first directives of a row that a site has not answered, in their order, at most so many.
///
/// # Errors
/// [`StoreError`].
pub fn waiting(
    tx: &mut dyn Tx,
    (site, epoch): (&SiteId, HqEpoch),
    row: DirectiveRow,
    limit: u64,
) -> Result<Vec<Kept>, StoreError> {
    let rows = tx.query(
        &format!(
            "SELECT {COLUMNS} FROM directive WHERE site = $1 AND row = $2 AND hq_epoch = $3 AND state = 'waiting' \
             ORDER BY n LIMIT $4"
        ),
        &[
            site.as_str().into(),
            row_word(row).into(),
            epoch.to_string().into(),
            limit.into(),
        ],
    )?;
    rows.into_iter().map(kept).collect()
}

/// A site's journal has forked: stops that stand behind money, which may not go there now, are said once more in the row that
/// carries none (rule 10). Taken twice a stop changes nothing.
///
/// Recalls that stand behind money wait with it. Said once more one would be done twice in the end, and take twice as much; whoever
/// needs the money asks for it again, which goes past ([`crate::money::Money::recall`]).
///
/// # Errors
/// [`StoreError`].
pub fn stops_past_money(tx: &mut dyn Tx, (site, epoch): (&SiteId, HqEpoch), now: Wall) -> Result<(), StoreError> {
    let all = waiting(tx, (site, epoch), DirectiveRow::Orders, i64::MAX.unsigned_abs())?;
    let mut is_behind = false;
    for told in all {
        let directive = told.directive()?;
        is_behind |= directive.carries() > Fen::ZERO;
        if is_behind && matches!(directive, Directive::Stop { .. }) {
            add_in(
                tx,
                (site, epoch),
                DirectiveRow::Others,
                &directive,
                (&told.made_by, now),
            )?;
        }
    }
    Ok(())
}

/// The sites that have directives to answer.
///
/// # Errors
/// [`StoreError`].
pub fn sites_waiting(tx: &mut dyn Tx) -> Result<Vec<SiteId>, StoreError> {
    let rows = tx.query("SELECT DISTINCT site FROM directive WHERE state = 'waiting'", &[])?;
    let site = |mut row: Row| row.text(0)?.parse().map_err(|_| bad("the site"));
    rows.into_iter().map(site).collect()
}

/// A directive.
///
/// # Errors
/// [`StoreError`].
pub fn find(tx: &mut dyn Tx, site: &SiteId, no: DirectiveNo) -> Result<Option<Kept>, StoreError> {
    let row = tx.query_optional(
        &format!("SELECT {COLUMNS} FROM directive WHERE site = $1 AND hq_epoch = $2 AND row = $3 AND n = $4"),
        &[
            site.as_str().into(),
            no.hq_epoch.to_string().into(),
            row_word(no.row).into(),
            no.n.into(),
        ],
    )?;
    row.map(kept).transpose()
}

impl Kept {
    /// SHA-256 of its JSON, hex: what the site says again when it has taken it.
    pub fn sha256(&self) -> String {
        domain::journal::hex(digest(&SHA256, self.body.as_bytes()).as_ref())
    }

    /// What it says.
    ///
    /// # Errors
    /// [`StoreError::Broken`].
    pub fn directive(&self) -> Result<Directive, StoreError> {
        #[derive(serde::Deserialize)]
        struct Said {
            #[serde(rename = "do")]
            what: Directive,
        }
        let said: Said = serde_json::from_str(&self.body).map_err(|_| bad("the text"))?;
        Ok(said.what)
    }
}

/// The site has said what came of a directive, by an entry of its journal.
///
/// # Errors
/// [`StoreError`].
pub fn end(
    tx: &mut dyn Tx,
    site: &SiteId,
    no: DirectiveNo,
    refused: Option<&RefusedDirective>,
    ((branch, seq), now): ((u64, u64), Wall),
) -> Result<(), StoreError> {
    let why = refused.map(serde_json::to_string).transpose();
    let why = why.map_err(|error| StoreError::Broken(error.to_string()))?;
    let state = if why.is_some() { "refused" } else { "done" };
    tx.execute(
        "UPDATE directive SET state = $1, refused = $2, ended_at = $3, branch = $8, seq = $9 \
         WHERE site = $4 AND hq_epoch = $5 AND row = $6 AND n = $7",
        &[
            state.into(),
            why.into(),
            now.0.into(),
            site.as_str().into(),
            no.hq_epoch.to_string().into(),
            row_word(no.row).into(),
            no.n.into(),
            branch.into(),
            seq.into(),
        ],
    )
    .map(drop)
}

/// Directives for people, the newest first: of a site, those after a place (`made_at`, row, number) at most so many.
///
/// # Errors
/// [`StoreError`].
pub fn of_site(tx: &mut dyn Tx, site: &SiteId, state: Option<&str>, limit: u64) -> Result<Vec<Kept>, StoreError> {
    let rows = tx.query(
        &format!(
            "SELECT {COLUMNS} FROM directive WHERE site = $1 AND ($2 = '' OR state = $2) \
             ORDER BY made_at DESC, row, n DESC LIMIT $3"
        ),
        &[site.as_str().into(), state.unwrap_or_default().into(), limit.into()],
    )?;
    rows.into_iter().map(kept).collect()
}

/// Whether money of a member was asked back from a site since a time.
///
/// # Errors
/// [`StoreError`].
pub fn was_recalled(tx: &mut dyn Tx, site: &SiteId, member: &MemberId, since: Wall) -> Result<bool, StoreError> {
    let row = tx.query_optional(
        "SELECT 1 FROM directive WHERE site = $1 AND member = $2 AND kind = 'recall' AND made_at >= $3",
        &[site.as_str().into(), member.as_str().into(), since.0.into()],
    )?;
    Ok(row.is_some())
}

/// What lives of head office's before this one have told a site and it has not answered, in order.
///
/// # Errors
/// [`StoreError`].
pub fn waiting_from_before(tx: &mut dyn Tx, site: &SiteId, epoch: HqEpoch) -> Result<Vec<Kept>, StoreError> {
    let rows = tx.query(
        &format!(
            "SELECT {COLUMNS} FROM directive WHERE site = $1 AND state = 'waiting' AND {} ORDER BY made_at, row, n",
            identity::began_before("$2")
        ),
        &[site.as_str().into(), epoch.to_string().into()],
    )?;
    rows.into_iter().map(kept).collect()
}

/// What a directive is about, so that a newer one stands over it.
fn about(directive: &Directive) -> Option<String> {
    match directive {
        Directive::Card { card, .. } => Some(card.to_string()),
        Directive::Maintenance { pile, .. } => Some(pile.to_string()),
        Directive::Key { key, .. } => Some(key.to_string()),
        // Each is one of its own: a later one of the same order takes no other's place.
        Directive::RefundMark { reference, .. } => Some(reference.clone()),
        other => member_of(other)
            .map(ToString::to_string)
            .or_else(|| order_of(other).map(ToString::to_string)),
    }
}

/// Whether a life of head office's has told a site something of the same kind about the same thing.
///
/// # Errors
/// [`StoreError`].
pub fn has_newer(tx: &mut dyn Tx, site: &SiteId, epoch: HqEpoch, of: &Directive) -> Result<bool, StoreError> {
    let row = tx.query_optional(
        "SELECT 1 FROM directive WHERE site = $1 AND kind = $2 AND about = $3 AND hq_epoch = $4 LIMIT 1",
        &[
            site.as_str().into(),
            of.kind().into(),
            about(of).into(),
            epoch.to_string().into(),
        ],
    )?;
    Ok(row.is_some())
}

/// What a life of head office's last had a site do about something and the site has not answered, by the kind of directive.
///
/// # Errors
/// [`StoreError`].
pub fn last_waiting(
    tx: &mut dyn Tx,
    (site, epoch): (&SiteId, HqEpoch),
    kind: &str,
    about: &str,
) -> Result<Option<Directive>, StoreError> {
    let row = tx.query_optional(
        &format!(
            "SELECT {COLUMNS} FROM directive WHERE site = $1 AND kind = $2 AND about = $3 AND hq_epoch = $4 \
             AND state = 'waiting' ORDER BY n DESC LIMIT 1"
        ),
        &[
            site.as_str().into(),
            kind.into(),
            about.into(),
            epoch.to_string().into(),
        ],
    )?;
    row.map(|row| kept(row)?.directive()).transpose()
}

/// What a site was last told about something, by the kind of directive, whichever life of head office's told it.
///
/// # Errors
/// [`StoreError`].
pub fn last_about(tx: &mut dyn Tx, site: &SiteId, kind: &str, about: &str) -> Result<Option<Kept>, StoreError> {
    let row = tx.query_optional(
        &format!(
            "SELECT {COLUMNS} FROM directive WHERE site = $1 AND kind = $2 AND about = $3 ORDER BY made_at DESC, n DESC LIMIT 1"
        ),
        &[site.as_str().into(), kind.into(), about.into()],
    )?;
    row.map(kept).transpose()
}

/// A site goes by this life of head office's: what those before have told it and it has not done it never will.
///
/// # Errors
/// [`StoreError`].
pub fn forget_from_before(tx: &mut dyn Tx, site: &SiteId, epoch: HqEpoch, now: Wall) -> Result<(), StoreError> {
    tx.execute(
        &format!(
            "UPDATE directive SET state = 'forgotten', ended_at = $1 WHERE site = $2 AND state = 'waiting' AND {}",
            identity::began_before("$3")
        ),
        &[now.0.into(), site.as_str().into(), epoch.to_string().into()],
    )
    .map(drop)
}

/// A site was closed: what it was told and has not done it never will.
///
/// # Errors
/// [`StoreError`].
pub fn forget_all(tx: &mut dyn Tx, site: &SiteId, now: Wall) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE directive SET state = 'forgotten', ended_at = $1 WHERE site = $2 AND state = 'waiting'",
        &[now.0.into(), site.as_str().into()],
    )
    .map(drop)
}

/// What entries of a branch after this one have answered is to be answered again: the branch that is followed now knows nothing of it.
///
/// # Errors
/// [`StoreError`].
pub fn reopen_after(tx: &mut dyn Tx, site: &SiteId, branch: u64, seq: u64) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE directive SET state = 'waiting', refused = NULL, ended_at = NULL, branch = NULL, seq = NULL \
         WHERE site = $1 AND branch = $2 AND seq > $3",
        &[site.as_str().into(), branch.into(), seq.into()],
    )
    .map(drop)
}
