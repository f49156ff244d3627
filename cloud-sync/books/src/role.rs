//! What somebody may do at head office. Roles are a set: none includes another.

use serde::{Deserialize, Serialize};
use service::http::roles::Roles;
use utoipa::ToSchema;

/// The role of whoever is logged in, and of no machine: what people may do about themselves.
pub const PERSON: &str = "person";

/// A role that is given to people and to tokens of machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads what the sites have: orders, members, piles, prices, energy.
    Viewer,
    /// Reads where to charge, what members are told and their orders, places and stops these: a mini-program's back end.
    Station,
    /// After-sales: complaints and refunds.
    Service,
    /// Blacklist, limits, large orders.
    Risk,
    /// Proposes what moves money.
    FinanceMaker,
    /// Approves what another has proposed, and reads who changed what.
    FinanceChecker,
    /// People, tokens, sites.
    Admin,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Viewer,
        Self::Station,
        Self::Service,
        Self::Risk,
        Self::FinanceMaker,
        Self::FinanceChecker,
        Self::Admin,
    ];

    /// Its word, as in the database and in the scopes of operations.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Station => "station",
            Self::Service => "service",
            Self::Risk => "risk",
            Self::FinanceMaker => "finance_maker",
            Self::FinanceChecker => "finance_checker",
            Self::Admin => "admin",
        }
    }

    /// What a caller with these roles holds.
    pub fn held(roles: &[Self]) -> Roles {
        Roles::of(roles.iter().map(|role| role.word()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_written_by_its_word_and_includes_no_other() {
        for role in Role::ALL {
            assert_eq!(serde_json::to_value(role).unwrap(), role.word());
            assert_eq!(Role::held(&[role]).words().collect::<Vec<_>>(), [role.word()]);
        }
    }
}
