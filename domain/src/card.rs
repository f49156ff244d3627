//! A card: who holds it, and who held it before. A session is paid by whoever held the card when it began, however late its
//! record comes.

use crate::{ids::MemberId, time::Wall};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The most holdings that are kept of one card; of more the oldest go.
pub const HOLDERS_MAX: usize = 16;

/// From when on a card was whose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    /// Whose; none once the card was taken back.
    pub member: Option<MemberId>,
    /// Since when, by the station's clock.
    pub since: Wall,
}

/// Who pays for a session that a card began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeldBy<'a> {
    /// This member held it then.
    Member(&'a MemberId),
    /// Nobody did, for all that is known.
    Nobody,
    /// It has changed hands, and it cannot be told when in relation to the session.
    Unclear,
}

fn by(holding: Option<&Holding>) -> HeldBy<'_> {
    let member = holding.and_then(|holding| holding.member.as_ref());
    member.map_or(HeldBy::Nobody, HeldBy::Member)
}

/// A card with its holders. Only facts add to them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Card {
    holders: Vec<Holding>,
}

impl Card {
    /// A card with these holdings, oldest first.
    pub fn with(holdings: impl IntoIterator<Item = Holding>) -> Self {
        let mut card = Self::default();
        for holding in holdings {
            card.pass_on(holding.member.as_ref(), holding.since);
        }
        card
    }

    /// Its holdings, oldest first.
    pub fn holders(&self) -> &[Holding] {
        &self.holders
    }

    /// Whose it is now.
    pub fn holder(&self) -> Option<&MemberId> {
        self.holders.last()?.member.as_ref()
    }

    /// Everybody who holds it or held it.
    pub fn members(&self) -> BTreeSet<&MemberId> {
        self.holders
            .iter()
            .filter_map(|holding| holding.member.as_ref())
            .collect()
    }

    /// Whose it was at `at`; `None` where the time cannot be believed.
    pub fn held_at(&self, at: Option<Wall>) -> HeldBy<'_> {
        let is_in_order = self.holders.is_sorted_by_key(|holding| holding.since);
        match at {
            _ if self.holders.is_empty() => HeldBy::Nobody,
            Some(at) if is_in_order => by(self.holders.iter().rev().find(|holding| holding.since <= at)),
            _ if self.holders.len() == 1 => by(self.holders.first()),
            _ => HeldBy::Unclear,
        }
    }

    /// From `since` on it is this member's, or nobody's.
    pub(crate) fn pass_on(&mut self, member: Option<&MemberId>, since: Wall) {
        if self.holder() == member {
            return;
        }
        if self.holders.len() == HOLDERS_MAX {
            self.holders.remove(0);
        }
        self.holders.push(Holding {
            member: member.cloned(),
            since,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: &str) -> MemberId {
        id.parse().unwrap()
    }

    fn card(holdings: &[(Option<&str>, i64)]) -> Card {
        Card::with(holdings.iter().map(|(id, since)| Holding {
            member: id.map(member),
            since: Wall(*since),
        }))
    }

    #[test]
    fn whoever_held_the_card_then_pays() {
        let (m, n) = (member("m"), member("n"));
        let changed = card(&[(Some("m"), 10), (None, 20), (Some("n"), 30)]);
        for (at, by) in [
            (Some(9), HeldBy::Nobody),
            (Some(10), HeldBy::Member(&m)),
            (Some(19), HeldBy::Member(&m)),
            (Some(20), HeldBy::Nobody),
            (Some(30), HeldBy::Member(&n)),
            (None, HeldBy::Unclear),
        ] {
            assert_eq!(changed.held_at(at.map(Wall)), by, "{at:?}");
        }
        assert_eq!(changed.holder(), Some(&n));
        assert_eq!(changed.members(), [&m, &n].into());
        let only = card(&[(Some("m"), 10), (Some("m"), 40)]);
        assert_eq!(
            only.holders().len(),
            1,
            "given to its holder again, a card does not change hands"
        );
        assert_eq!(only.held_at(None), HeldBy::Member(&m));
        assert_eq!(Card::default().held_at(Some(Wall(0))), HeldBy::Nobody);
    }

    #[test]
    fn holdings_that_a_wrong_clock_wrote_tell_nothing() {
        let odd = card(&[(Some("m"), 100), (Some("n"), 0)]);
        assert_eq!(odd.held_at(Some(Wall(50))), HeldBy::Unclear);
        assert_eq!(odd.holder(), Some(&member("n")));
    }

    #[test]
    fn the_oldest_holders_go() {
        let names: Vec<String> = (0..20).map(|n| format!("m{n}")).collect();
        let holdings: Vec<(Option<&str>, i64)> =
            names.iter().zip(0..).map(|(id, at)| (Some(id.as_str()), at)).collect();
        let card = card(&holdings);
        assert_eq!(card.holders().len(), HOLDERS_MAX);
        assert_eq!(card.held_at(Some(Wall(3))), HeldBy::Nobody, "it is not known any more");
    }
}
