//! What waits for a person's decision: it is decided once, and where it takes two people, by two.

use super::{Decided, Money, Refused};
use crate::store::{StoreError, people};
use domain::time::Wall;
use std::fmt::Display;

/// Something that somebody has proposed.
pub(super) trait Proposed: Sized {
    /// What it is known by.
    type Id: ?Sized + Display;
    /// The one of this number.
    fn find(money: &mut Money<'_>, id: &Self::Id) -> Result<Option<Self>, StoreError>;
    /// Holds fast what others must hold who decide it.
    fn hold(&self, money: &mut Money<'_>) -> Result<(), StoreError>;
    /// Who has proposed it, and when, where nobody has decided it.
    fn waits(&self) -> Option<(&str, Wall)>;
    /// There is none of this number.
    fn unknown(id: &Self::Id) -> Refused;
    /// Somebody has decided it.
    fn decided(self) -> Refused;
}

impl Money<'_> {
    /// What waits under a number, held fast: of two who decide it at once the later finds it decided.
    pub(super) fn waiting<T: Proposed>(&mut self, id: &T::Id) -> Decided<T> {
        let Some(found) = T::find(self, id)? else {
            return Ok(Err(T::unknown(id)));
        };
        found.hold(self)?;
        let again = T::find(self, id)?;
        let found = again.ok_or_else(|| StoreError::Broken(format!("{id} was there, and is not")))?;
        Ok(match found.waits() {
            Some(_) => Ok(found),
            None => Err(found.decided()),
        })
    }

    /// The same where it takes a second person, whom this one is.
    pub(super) fn waiting_for_second<T: Proposed>(&mut self, id: &T::Id) -> Decided<T> {
        let found = match self.waiting::<T>(id)? {
            Ok(found) => found,
            Err(refused) => return Ok(Err(refused)),
        };
        let refused = match found.waits() {
            Some(maker) => self.second(maker)?.err(),
            None => None,
        };
        Ok(refused.map_or(Ok(found), Err))
    }

    /// Whether whoever asks is another person than whoever has proposed something.
    pub(super) fn second(&mut self, maker: (&str, Wall)) -> Decided<()> {
        if people::are_two(self.tx, maker, (&self.by, self.now))? {
            return Ok(Ok(()));
        }
        Ok(Err(Refused::SamePerson {
            proposed_by: maker.0.to_owned(),
            by: self.by.clone(),
        }))
    }
}
