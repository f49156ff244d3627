//! A member's account over a time: what they had when it began, every movement in it, what they had when it ended. A member's money
//! is in the wallet, on the road, at sites and reserved there for orders; what they owe there is less than nothing.

use crate::store::{Row, StoreError, Tx, Value, at_sites};
use domain::{
    ids::{MemberId, SiteId},
    time::Wall,
    units::Fen,
};

/// The most movements of one statement.
pub const LINES_MAX: usize = 10_000;

/// Where a member's money is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Balances {
    /// In the wallet.
    pub wallet: Fen,
    /// On the road to a site, or back.
    pub on_road: Fen,
    /// At sites, to be spent there.
    pub at_sites: Fen,
    /// Reserved there for orders.
    pub reserved: Fen,
    /// Owed there, from zero up.
    pub owed: Fen,
}

impl Balances {
    /// What the member has in all.
    pub fn together(&self) -> Fen {
        self.wallet + self.on_road + self.at_sites + self.reserved - self.owed
    }

    /// Where money of an account is counted; nowhere where it is nobody's in particular.
    fn place(&mut self, account: &str) -> Option<(&mut Fen, i64)> {
        Some(match account.split(':').next()? {
            "wallet" => (&mut self.wallet, 1),
            "transit" => (&mut self.on_road, 1),
            "allowance" => (&mut self.at_sites, 1),
            "held" => (&mut self.reserved, 1),
            "debt" => (&mut self.owed, -1),
            _ => return None,
        })
    }

    /// Takes a movement into account.
    pub fn apply(&mut self, line: &Line) {
        for (account, by) in [(&line.debit, -line.amount), (&line.credit, line.amount)] {
            if let Some((balance, sign)) = self.place(account) {
                *balance += Fen(by.0 * sign);
            }
        }
    }
}

/// A movement of a member's money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its id.
    pub id: String,
    /// The account that gives.
    pub debit: String,
    /// The account that receives.
    pub credit: String,
    /// How much.
    pub amount: Fen,
    /// Why, in a word of the books.
    pub code: String,
    /// The site that it has to do with.
    pub site: Option<String>,
    /// The order that it is for.
    pub order: Option<String>,
    /// When.
    pub at: Wall,
}

/// A member's account over a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// When it began.
    pub opening: Balances,
    /// Every movement, in the order of time.
    pub lines: Vec<Line>,
    /// There are more movements than a statement has.
    pub is_cut: bool,
}

/// Movements of a member: those under their name, and those by which an order of theirs was brought along with a site (fork,
/// opening). Not those of a site that has a member of its own under this id.
struct Movements {
    table: String,
    values: Vec<Value>,
}

impl Movements {
    fn of(tx: &mut dyn Tx, member: &MemberId) -> Result<Self, StoreError> {
        const COLUMNS: &str = "t.id, t.debit, t.credit, t.amount, t.code, t.site, t.order_id, t.at";
        let rows = tx.query(
            "SELECT site FROM r_member WHERE id = $1 ORDER BY site",
            &[member.as_str().into()],
        )?;
        let mut values: Vec<Value> = vec![member.as_str().into()];
        let mut others = Vec::new();
        for mut row in rows {
            let site: SiteId = row
                .text(0)?
                .parse()
                .map_err(|_| StoreError::Broken("the site of a member".to_owned()))?;
            if at_sites::has_its_own(tx, &site, member)? {
                values.push(site.as_str().into());
                others.push(format!("${}", values.len()));
            }
        }
        let but = match others.is_empty() {
            true => String::new(),
            false => format!(" WHERE site IS NULL OR site NOT IN ({})", others.join(", ")),
        };
        let table = format!(
            "(SELECT * FROM (SELECT {COLUMNS} FROM transfer t WHERE t.member = $1 UNION ALL SELECT {COLUMNS} FROM r_order o \
             JOIN transfer t ON t.site = o.site AND t.order_id = o.id WHERE o.member = $1 AND t.member IS NULL) AS every{but}) \
             AS of_member"
        );
        Ok(Self { table, values })
    }

    /// The values of the table and more; the places of those.
    fn with<const N: usize>(&self, more: [Value; N]) -> (Vec<Value>, [String; N]) {
        let mut n = self.values.len();
        let places = std::array::from_fn(|_| {
            n += 1;
            format!("${n}")
        });
        let mut values = self.values.clone();
        values.extend(more);
        (values, places)
    }
}

fn line(mut row: Row) -> Result<Line, StoreError> {
    Ok(Line {
        id: row.text(0)?,
        debit: row.text(1)?,
        credit: row.text(2)?,
        amount: Fen(row.int(3)?),
        code: row.text(4)?,
        site: row.optional_text(5)?,
        order: row.optional_text(6)?,
        at: Wall(row.int(7)?),
    })
}

/// A member's account from one moment, included, to another, which is not.
///
/// # Errors
/// [`StoreError`].
pub fn statement(tx: &mut dyn Tx, member: &MemberId, from: Wall, to: Wall) -> Result<Statement, StoreError> {
    let movements = Movements::of(tx, member)?;
    let table = &movements.table;
    let opening = opening(tx, &movements, from)?;
    let most = Value::from(LINES_MAX as u64 + 1);
    let (values, [from, to, most]) = movements.with([from.0.into(), to.0.into(), most]);
    let rows = tx.query(
        &format!(
            "SELECT id, debit, credit, amount, code, site, order_id, at FROM {table} WHERE at >= {from} AND at < {to} \
             ORDER BY at, id LIMIT {most}"
        ),
        &values,
    )?;
    let mut lines = rows.into_iter().map(line).collect::<Result<Vec<Line>, StoreError>>()?;
    let is_cut = lines.len() > LINES_MAX;
    lines.truncate(LINES_MAX);
    Ok(Statement { opening, lines, is_cut })
}

/// What all movements before a moment come to.
fn opening(tx: &mut dyn Tx, movements: &Movements, before: Wall) -> Result<Balances, StoreError> {
    const KINDS: [&str; 5] = ["wallet", "transit", "allowance", "held", "debt"];
    let sums = KINDS.map(|kind| {
        let of = |side: &str| format!("SUM(CASE WHEN {side} LIKE '{kind}:%' THEN amount ELSE 0 END)");
        format!("CAST(COALESCE({} - {}, 0) AS BIGINT)", of("credit"), of("debit"))
    });
    let (values, [before]) = movements.with([before.0.into()]);
    let row = tx.query_optional(
        &format!(
            "SELECT {} FROM {} WHERE at < {before}",
            sums.join(", "),
            movements.table
        ),
        &values,
    )?;
    let Some(mut row) = row else {
        return Ok(Balances::default());
    };
    Ok(Balances {
        wallet: Fen(row.int(0)?),
        on_road: Fen(row.int(1)?),
        at_sites: Fen(row.int(2)?),
        reserved: Fen(row.int(3)?),
        owed: -Fen(row.int(4)?),
    })
}
