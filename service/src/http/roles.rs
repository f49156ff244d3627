//! Roles as sets of words: what a caller holds, and what an operation asks for. Which words there are is the daemon's to say.

use std::collections::BTreeSet;

/// The roles that a caller holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roles(BTreeSet<&'static str>);

impl Roles {
    /// These roles.
    pub fn of(words: impl IntoIterator<Item = &'static str>) -> Self {
        Self(words.into_iter().collect())
    }

    /// Whether this role is among them.
    pub fn contains(&self, role: &str) -> bool {
        self.0.contains(role)
    }

    /// Their words, in alphabetical order.
    pub fn words(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_that_is_not_held_is_not_there() {
        let maker = Roles::of(["viewer", "maker"]);
        assert!(maker.contains("viewer") && maker.contains("maker"));
        assert!(!maker.contains("checker") && !Roles::default().contains("viewer"));
        assert_eq!(maker.words().collect::<Vec<_>>(), ["maker", "viewer"]);
    }
}
