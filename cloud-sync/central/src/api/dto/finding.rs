//! Where a site says one thing, and another is worked out here.

use crate::store::findings::{Class, Found};
use serde::{Deserialize, Serialize};
use service::wire::At;
use utoipa::ToSchema;

/// What kind of difference it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FindingClass {
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
    /// Money has arrived at a site of a cause that head office's database has forgotten.
    Forgotten,
    /// More was given back for an order than the bill in force says that it cost; or what was given back does not stand in its row.
    OverRefund,
    /// A till is short of what was typed wrong and a member has not there any more.
    Cash,
    /// What members had on a branch of a site's journal that was left.
    AboveFork,
}

impl From<FindingClass> for Class {
    fn from(class: FindingClass) -> Self {
        match class {
            FindingClass::Rating => Self::Rating,
            FindingClass::Books => Self::Books,
            FindingClass::Fork => Self::Fork,
            FindingClass::SetAside => Self::SetAside,
            FindingClass::Closed => Self::Closed,
            FindingClass::MemberId => Self::MemberId,
            FindingClass::Forgotten => Self::Forgotten,
            FindingClass::OverRefund => Self::OverRefund,
            FindingClass::Cash => Self::Cash,
            FindingClass::AboveFork => Self::AboveFork,
        }
    }
}

impl From<Class> for FindingClass {
    fn from(class: Class) -> Self {
        match class {
            Class::Rating => Self::Rating,
            Class::Books => Self::Books,
            Class::Fork => Self::Fork,
            Class::SetAside => Self::SetAside,
            Class::Closed => Self::Closed,
            Class::MemberId => Self::MemberId,
            Class::Forgotten => Self::Forgotten,
            Class::OverRefund => Self::OverRefund,
            Class::Cash => Self::Cash,
            Class::AboveFork => Self::AboveFork,
        }
    }
}

/// A difference. The site's own word stands; people look at it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Finding)]
pub struct FindingView {
    /// In whose journal.
    pub site: String,
    /// On which branch of it.
    pub branch: u64,
    /// The entry at which it shows.
    pub seq: u64,
    /// `RATING`, `BOOKS`, `FORK`, `SET_ASIDE`, `CLOSED`, `MEMBER_ID`, `FORGOTTEN`, `OVER_REFUND`, `CASH` or
    /// `ABOVE_FORK`.
    #[schema(example = "RATING")]
    pub class: String,
    /// The order it is about, if it is about one.
    #[schema(required)]
    pub order: Option<String>,
    /// `why` in words, and what `site` and `here` have.
    #[schema(value_type = Object)]
    pub detail: serde_json::Value,
    /// When it was found, by head office's clock.
    pub found_at: At,
}

impl From<&Found> for FindingView {
    fn from(found: &Found) -> Self {
        let finding = &found.finding;
        Self {
            site: found.site.to_string(),
            branch: found.branch,
            seq: finding.seq,
            class: finding.class.word().to_owned(),
            order: finding.order.as_ref().map(ToString::to_string),
            // What is kept is JSON; where it were not, its text is shown.
            detail: serde_json::from_str(&finding.detail).unwrap_or_else(|_| finding.detail.as_str().into()),
            found_at: At(found.found_at),
        }
    }
}
