//! What head office has a station do: directives, once and in order, and vouchers, which carry a lease while the line is cut.
//! The words of both and what the station remembers of them; `site/directives.rs` and `site/leases.rs` decide by them.

use crate::{
    fact::Fact,
    ids::{CardId, MemberId, OrderId, Outlet, PileId, SiteId},
    journal::{Stamp, hex},
    order::Until,
    planted::{Bug, is_planted},
    quarantine::CoveredBy,
    site::Decision,
    tariff::Tariff,
    time::Wall,
    units::Fen,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// Which life of head office's database speaks to a site: another one after it was restored from a copy, or after the site went
/// on with another branch of its journal. Directives and vouchers of another life than the last one seen count for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct HqEpoch(pub [u8; 16]);

impl fmt::Display for HqEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl From<HqEpoch> for String {
    fn from(epoch: HqEpoch) -> Self {
        epoch.to_string()
    }
}

impl TryFrom<String> for HqEpoch {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        of_hex(&text).map(Self)
    }
}

/// The public half of an Ed25519 key that head office signs with (rule 11). As text 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct HqKey(pub [u8; 32]);

impl fmt::Display for HqKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl From<HqKey> for String {
    fn from(key: HqKey) -> Self {
        key.to_string()
    }
}

impl TryFrom<String> for HqKey {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        of_hex(&text).map(Self)
    }
}

fn of_hex<const N: usize>(text: &str) -> Result<[u8; N], String> {
    let bad = || {
        let shown: String = text.chars().take(40).collect();
        format!("{shown:?} is not {} hexadecimal digits", 2 * N)
    };
    let mut bytes = [0; N];
    let is_hex = text.len() == 2 * N && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    for (byte, at) in bytes.iter_mut().zip((0..2 * N).step_by(2)) {
        let digits = text.get(at..at + 2).filter(|_| is_hex).ok_or_else(bad)?;
        *byte = u8::from_str_radix(digits, 16).map_err(|_| bad())?;
    }
    Ok(bytes)
}

/// So many keys of head office's a station remembers at most, those that count no more among them: one that it forgot would
/// count again where its configuration names it.
pub const HQ_KEYS_MAX: usize = 64;

/// Directives are numbered in two rows, so that a mass of blocks holds no stop back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DirectiveRow {
    /// Orders and money.
    Orders,
    /// Everything else.
    Others,
}

impl fmt::Display for DirectiveRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Orders => "orders",
            Self::Others => "others",
        })
    }
}

/// Which directive: numbers of a row count from 1 in each life of head office.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DirectiveNo {
    /// Of which life of head office.
    pub hq_epoch: HqEpoch,
    /// In which row.
    pub row: DirectiveRow,
    /// Its number there.
    pub n: u64,
}

impl fmt::Display for DirectiveNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { hq_epoch, row, n } = self;
        write!(f, "{hq_epoch}:{row}:{n}")
    }
}

/// What head office has a station do. Whatever of it the station cannot do ends in [`Fact::DirectiveTaken`] with the reason.
/// As in the journal, a field that is not known is passed over, and whatever must not be misread is a new kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Directive {
    /// Money for a member, to be spent here.
    Lease {
        /// Whose.
        member: MemberId,
        /// A name for people at the desk.
        name: String,
        /// How much.
        amount: Fen,
        /// The voucher that carries the same lease: whichever comes first counts.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        voucher: Option<VoucherRef>,
    },
    /// So much of a member's allowance goes back, or as much as is not reserved.
    Recall {
        /// Whose.
        member: MemberId,
        /// At most.
        up_to: Fen,
    },
    /// An order with money for it, placed in one step.
    Start {
        /// Its number, which head office has made.
        order: OrderId,
        /// Who pays.
        member: MemberId,
        /// A name for people at the desk.
        name: String,
        /// Where.
        outlet: Outlet,
        /// How much is leased and reserved.
        prepay: Fen,
        /// The driver's own limits.
        #[serde(default)]
        until: Until,
        /// From then on by head office's clock it is not begun any more.
        expires_at: Wall,
        /// The entry by which the station wished for it: a card was swiped there. A later swipe or order takes its place.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        wished: Option<u64>,
    },
    /// An order is stopped, or cancelled before its start. It never expires.
    Stop {
        /// Which.
        order: OrderId,
        /// Who asks.
        by: String,
    },
    /// A member's wallet has paid what an order owes here; what is not owed any more goes back.
    DebtPaid {
        /// Which order.
        order: OrderId,
        /// How much.
        amount: Fen,
        /// Head office's receipt.
        receipt: String,
    },
    /// A member is to be served here.
    Member {
        /// Who.
        member: MemberId,
        /// A name for people at the desk.
        name: String,
        /// The station's own member of this id is head office's from now on, as an admin has said.
        #[serde(default)]
        adopt: bool,
    },
    /// A member goes on head office's blacklist, or off it.
    Block {
        /// Who.
        member: MemberId,
        /// Why; none takes them off.
        #[serde(default)]
        reason: Option<String>,
        /// Who decided.
        by: String,
    },
    /// What a member owes elsewhere: there is no new order before it is paid.
    Owes {
        /// Who.
        member: MemberId,
        /// How much; nothing any more at zero.
        amount: Fen,
    },
    /// A card is a member's, or nobody's.
    Card {
        /// Which.
        card: CardId,
        /// Whose.
        #[serde(default)]
        member: Option<MemberId>,
        /// Who gave it out.
        by: String,
    },
    /// A person has decided an order under review.
    Review {
        /// Which.
        order: OrderId,
        /// How.
        decision: Decision,
        /// Why.
        reason: String,
        /// Who.
        by: String,
        /// The second person, where it took two.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        second: Option<String>,
    },
    /// A person has set the bill of a settled order.
    Correct {
        /// Which.
        order: OrderId,
        /// How many versions its bill had when they did: the station's first decision stands.
        version: usize,
        /// For electricity.
        electricity: Fen,
        /// For service.
        service: Fen,
        /// Why.
        reason: String,
        /// Who.
        by: String,
        /// The second person, where it took two.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        second: Option<String>,
    },
    /// A person has dealt with a quarantine item.
    Quarantine {
        /// Its number.
        item: u64,
        /// The member to bill, or nobody.
        #[serde(default)]
        bill_to: Option<MemberId>,
        /// What else covers its readings, as the person was told.
        #[serde(default)]
        despite: Vec<CoveredBy>,
        /// Why.
        reason: String,
        /// Who.
        by: String,
    },
    /// Money is given back for an order (售后退款), out of head office's books: the station marks it.
    RefundMark {
        /// Which order.
        order: OrderId,
        /// How much.
        amount: Fen,
        /// Head office's number of the refund: one counts once.
        reference: String,
    },
    /// A pile is fenced off, or put back to work.
    Maintenance {
        /// Which.
        pile: PileId,
        /// Why; none puts it back.
        #[serde(default)]
        reason: Option<String>,
        /// Who decided.
        by: String,
    },
    /// A tariff version is added.
    Tariff {
        /// All of it.
        tariff: Box<Tariff>,
        /// Who adds it.
        by: String,
    },
    /// A key that head office signs with counts from now on, beside those that count; or it ends, as another has taken its place.
    Key {
        /// Which.
        key: HqKey,
        /// It counts until the mark of vouchers has come there; none: for good.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ends: Option<Wall>,
    },
}

impl Directive {
    /// In which row it is numbered.
    pub fn row(&self) -> DirectiveRow {
        match self {
            Self::Lease { .. }
            | Self::Recall { .. }
            | Self::Start { .. }
            | Self::Stop { .. }
            | Self::DebtPaid { .. }
            | Self::Review { .. }
            | Self::Correct { .. }
            | Self::Quarantine { .. }
            | Self::RefundMark { .. } => DirectiveRow::Orders,
            Self::Member { .. }
            | Self::Block { .. }
            | Self::Owes { .. }
            | Self::Card { .. }
            | Self::Maintenance { .. }
            | Self::Tariff { .. }
            | Self::Key { .. } => DirectiveRow::Others,
        }
    }

    /// Its kind, as it stands in its JSON.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Lease { .. } => "lease",
            Self::Recall { .. } => "recall",
            Self::Start { .. } => "start",
            Self::Stop { .. } => "stop",
            Self::DebtPaid { .. } => "debt_paid",
            Self::Member { .. } => "member",
            Self::Block { .. } => "block",
            Self::Owes { .. } => "owes",
            Self::Card { .. } => "card",
            Self::Review { .. } => "review",
            Self::Correct { .. } => "correct",
            Self::Quarantine { .. } => "quarantine",
            Self::RefundMark { .. } => "refund_mark",
            Self::Maintenance { .. } => "maintenance",
            Self::Tariff { .. } => "tariff",
            Self::Key { .. } => "key",
        }
    }

    /// How much money it carries to the station.
    pub fn carries(&self) -> Fen {
        match self {
            Self::Lease { amount, .. } | Self::DebtPaid { amount, .. } => *amount,
            Self::Start { prepay, .. } => *prepay,
            _ => Fen::ZERO,
        }
    }
}

/// The voucher that a lease is on as well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoucherRef {
    /// Its number.
    pub id: String,
    /// When it ends.
    pub expires_at: Wall,
}

/// A lease in a driver's hands (凭证): the station takes it from them while its line is cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Voucher {
    /// For which site.
    pub site: SiteId,
    /// Of which life of head office.
    pub hq_epoch: HqEpoch,
    /// For which run of the site's journal: a station that was restored from a copy does not know which it has taken.
    pub epoch: String,
    /// Its number: it counts once.
    pub id: String,
    /// Whose.
    pub member: MemberId,
    /// A name for people at the desk.
    pub name: String,
    /// How much.
    pub amount: Fen,
    /// When it ends, by head office's clock.
    pub expires_at: Wall,
}

/// Under which name a voucher's number stands among the desk's receipts.
pub fn voucher_receipt(id: &str) -> String {
    format!("voucher:{id}")
}

/// By what a lease came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeasedBy {
    /// Over the line.
    Directive(DirectiveNo),
    /// In the driver's hands.
    Voucher {
        /// Its number.
        id: String,
        /// Of which life of head office it is.
        hq_epoch: HqEpoch,
    },
}

/// Why a directive was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedDirective {
    /// A stable word for programs.
    pub code: String,
    /// In words.
    pub detail: String,
}

/// How far directives of one row were taken.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Taken {
    /// The number of the last; 0 before the first.
    pub n: u64,
    /// SHA-256 of the last one's bytes, hex.
    pub sha256: String,
}

/// What the station remembers of head office.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HeadOfficeRow {
    /// The life of head office that it goes by; none before it has heard of one.
    pub hq_epoch: Option<HqEpoch>,
    /// Directives about orders and money.
    pub orders: Taken,
    /// All others.
    pub others: Taken,
    /// Vouchers that end at this time or before are not taken any more: what they carried goes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vouchers_closed: Option<Wall>,
    /// The entry from which on it goes on without what head office has: leases from before are frozen, as they may have been
    /// spent or recalled on what was lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alone_since: Option<u64>,
    /// The keys that it has told the station of, and when each ends: at the time that the mark of vouchers has come there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub keys: BTreeMap<HqKey, Option<Wall>>,
}

impl HeadOfficeRow {
    /// How far the directives of a row were taken.
    pub fn taken(&self, row: DirectiveRow) -> &Taken {
        match row {
            DirectiveRow::Orders => &self.orders,
            DirectiveRow::Others => &self.others,
        }
    }

    /// The keys that count, of those in the station's configuration and those that head office has told it of. One that has ended
    /// counts no more, wherever it stands: by then every voucher that it has signed is closed (rule 11).
    pub fn counting(&self, configured: &[HqKey]) -> BTreeSet<HqKey> {
        let told = self.keys.keys();
        told.chain(configured)
            .copied()
            .filter(|key| !self.has_ended(key))
            .collect()
    }

    fn has_ended(&self, key: &HqKey) -> bool {
        let ends = self.keys.get(key).copied().flatten();
        ends.is_some_and(|ends| self.vouchers_closed.is_some_and(|until| until >= ends))
    }

    /// Takes a fact into account; whether anything has changed.
    pub(crate) fn apply(&mut self, stamp: Stamp, fact: &Fact) -> bool {
        match fact {
            Fact::HeadOfficeSeen { hq_epoch } => {
                if self.hq_epoch != Some(*hq_epoch) && !is_planted(Bug::NumberWithoutEpoch) {
                    (self.orders, self.others) = Default::default();
                }
                (self.hq_epoch, self.alone_since) = (Some(*hq_epoch), None);
            }
            Fact::DirectiveTaken { directive, sha256, .. } => {
                let taken = match directive.row {
                    DirectiveRow::Orders => &mut self.orders,
                    DirectiveRow::Others => &mut self.others,
                };
                *taken = Taken {
                    n: directive.n,
                    sha256: sha256.clone(),
                };
            }
            Fact::VouchersClosed { until } => self.vouchers_closed = Some(*until),
            Fact::HeadOfficeKeySet { key, ends } => {
                self.keys.insert(*key, *ends);
            }
            Fact::Restored { alone: Some(_), .. } => self.alone_since = Some(stamp.seq),
            _ => return false,
        }
        true
    }
}
