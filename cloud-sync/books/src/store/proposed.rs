//! How far something is that one person proposes and another approves.

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It waits for a second person.
    Proposed,
    /// It was done.
    Approved,
    /// A person has said no, or there was nothing to decide any more.
    Rejected,
}

impl State {
    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
        }
    }

    /// The one of this word.
    pub fn of_word(word: &str) -> Option<Self> {
        let all = [Self::Proposed, Self::Approved, Self::Rejected];
        all.into_iter().find(|state| state.word() == word)
    }
}
