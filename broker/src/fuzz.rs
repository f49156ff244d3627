//! What must be so whatever bytes come: MQTT packets, and a session under any sequence of them. `cargo xtask fuzz` looks for
//! bytes by which it is not; what was found, and a case of every kind, lies in `fuzz/corpus/` and is played again by the
//! tests here.

pub use crate::codec::fuzz::packets;
pub use crate::session::fuzz::session;

#[cfg(test)]
#[path = "../../fuzz/src/corpus.rs"]
mod corpus;

#[cfg(test)]
mod tests {
    use super::corpus::play;

    #[test]
    fn packets_that_were_found_keep_the_rules() {
        play("mqtt", super::packets);
    }

    #[test]
    fn sessions_that_were_found_keep_the_rules() {
        play("session", super::session);
    }
}
