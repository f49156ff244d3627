//! What must be so whatever bytes come: files of channels' bills. `cargo xtask fuzz` looks for bytes by which it is not; what was
//! found, and a case of every kind, lies in `fuzz/corpus/` and is played again by the tests here.

pub use crate::bills::fuzz::bill;

#[cfg(test)]
#[path = "../../../fuzz/src/corpus.rs"]
mod corpus;

#[cfg(test)]
mod tests {
    use super::corpus::play;

    #[test]
    fn bills_that_were_found_keep_the_rules() {
        play("bill", super::bill);
    }
}
