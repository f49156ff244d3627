//! A card: who holds it, and who held it before. A session is paid by whoever held the card when it began, however late its
//! record comes.

use crate::{
    ids::MemberId,
    station_clock::StationClock,
    time::{Mono, Wall},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The most holdings that are kept of one card; of more the oldest go.
pub const HOLDERS_MAX: usize = 16;

/// From when on a card was whose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    /// Whose; none once the card was taken back.
    pub member: Option<MemberId>,
    /// Since when, by the station's clock as it was then.
    pub since: Wall,
    /// The same by elapsed time, which no step of the clock moves; not known of cards that an earlier version gave out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mono: Option<Mono>,
}

impl Holding {
    /// Since when, by the station's clock as it is now.
    fn since(&self, clock: &StationClock) -> Wall {
        let steps = self.mono.into_iter().flat_map(|mono| clock.steps_since(mono));
        // A step in the very moment came first: what is done then is by the clock as it is afterwards.
        let later = steps.filter(|step| Some(step.mono) != self.mono);
        let moved_ms = later.fold(0_i64, |moved, step| moved.saturating_add(step.by_ms));
        self.since.after_ms(moved_ms)
    }
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
            card.pass_on(holding);
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

    /// Whose it was at `at` by the station's clock as it is now, with the steps it took; `None` where the time cannot be
    /// believed.
    pub fn held_at(&self, at: Option<Wall>, clock: &StationClock) -> HeldBy<'_> {
        let is_in_order = self.holders.is_sorted_by_key(|holding| holding.since(clock));
        match at {
            _ if self.holders.is_empty() => HeldBy::Nobody,
            Some(at) if is_in_order => by(self.holders.iter().rev().find(|holding| holding.since(clock) <= at)),
            _ if self.holders.len() == 1 => by(self.holders.first()),
            _ => HeldBy::Unclear,
        }
    }

    /// From then on it is this member's, or nobody's.
    pub(crate) fn pass_on(&mut self, holding: Holding) {
        if self.holder() == holding.member.as_ref() {
            return;
        }
        if self.holders.len() == HOLDERS_MAX {
            self.holders.remove(0);
        }
        self.holders.push(holding);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::station_clock::ClockStep;

    fn member(id: &str) -> MemberId {
        id.parse().unwrap()
    }

    fn card(holdings: &[(Option<&str>, i64)]) -> Card {
        Card::with(holdings.iter().map(|(id, since)| Holding {
            member: id.map(member),
            since: Wall(*since),
            mono: None,
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
            assert_eq!(changed.held_at(at.map(Wall), &StationClock::default()), by, "{at:?}");
        }
        assert_eq!(changed.holder(), Some(&n));
        assert_eq!(changed.members(), [&m, &n].into());
        let only = card(&[(Some("m"), 10), (Some("m"), 40)]);
        assert_eq!(
            only.holders().len(),
            1,
            "given to its holder again, a card does not change hands"
        );
        let clock = StationClock::default();
        assert_eq!(only.held_at(None, &clock), HeldBy::Member(&m));
        assert_eq!(Card::default().held_at(Some(Wall(0)), &clock), HeldBy::Nobody);
    }

    #[test]
    fn a_step_of_the_stations_clock_moves_what_was_before_it_along() {
        let (m, n) = (member("m"), member("n"));
        let holding = |of: &MemberId, since, mono| Holding {
            member: Some(of.clone()),
            since: Wall(since),
            mono: Some(Mono(mono)),
        };
        let card = Card::with([holding(&m, 1_000, 0), holding(&n, 5_000, 4_000)]);
        let step = |mono, by_ms| ClockStep {
            mono: Mono(mono),
            at: Wall(0),
            by_ms,
        };
        let clock = StationClock {
            steps: vec![step(4_000, 1_000), step(6_000, -3_000)],
            ..StationClock::default()
        };
        // It changed hands at 2000 by the clock as it is now.
        assert_eq!(card.held_at(Some(Wall(1_999)), &clock), HeldBy::Member(&m));
        assert_eq!(card.held_at(Some(Wall(2_000)), &clock), HeldBy::Member(&n));
    }

    #[test]
    fn holdings_that_a_wrong_clock_wrote_tell_nothing() {
        let odd = card(&[(Some("m"), 100), (Some("n"), 0)]);
        assert_eq!(odd.held_at(Some(Wall(50)), &StationClock::default()), HeldBy::Unclear);
        assert_eq!(odd.holder(), Some(&member("n")));
    }

    #[test]
    fn the_oldest_holders_go() {
        let names: Vec<String> = (0..20).map(|n| format!("m{n}")).collect();
        let holdings: Vec<(Option<&str>, i64)> =
            names.iter().zip(0..).map(|(id, at)| (Some(id.as_str()), at)).collect();
        let card = card(&holdings);
        assert_eq!(card.holders().len(), HOLDERS_MAX);
        assert_eq!(
            card.held_at(Some(Wall(3)), &StationClock::default()),
            HeldBy::Nobody,
            "it is not known any more"
        );
    }
}
