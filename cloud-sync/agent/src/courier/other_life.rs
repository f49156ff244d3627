//! Acknowledgements of another life of head office's than the one that has answered the last hello. Nobody here can tell a new life from
//! an old acknowledgement that a broker sends once more: the station goes by what answers a hello, so it is greeted, and not each time.

use super::HELLO_MS;
use domain::time::Mono;

/// When head office is greeted because another life of it was heard.
#[derive(Debug, Default)]
pub(super) struct OtherLife {
    /// It was heard since the last hello.
    is_heard: bool,
    /// When head office was last greeted for it.
    greeted_at: Option<Mono>,
}

impl OtherLife {
    /// An acknowledgement of another life has come.
    pub(super) fn heard(&mut self) {
        self.is_heard = true;
    }

    /// From when on head office is greeted for it.
    pub(super) fn due_at(&self) -> Option<Mono> {
        self.is_heard
            .then(|| self.greeted_at.map_or(Mono(0), |at| at.after_ms(HELLO_MS)))
    }

    /// Head office is greeted, for whichever reason.
    pub(super) fn greeted(&mut self, now: Mono) {
        if std::mem::take(&mut self.is_heard) {
            self.greeted_at = Some(now);
        }
    }

    /// The connection is gone: the next one begins with a hello.
    pub(super) fn lost(&mut self) {
        self.is_heard = false;
    }
}
