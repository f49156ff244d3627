//! What must be so whatever bytes come: configurations, and what callers of the HTTP API send. `cargo xtask fuzz` looks for
//! bytes by which it is not; what was found, and a case of every kind, lies in `fuzz/corpus/` and is played again by the
//! tests here.

pub use crate::api::fuzz::request;
pub use crate::config::fuzz::configuration;

#[cfg(test)]
#[path = "../../fuzz/src/corpus.rs"]
mod corpus;

#[cfg(test)]
mod tests {
    use super::corpus::play;

    #[test]
    fn configurations_that_were_found_keep_the_rules() {
        play("config", super::configuration);
    }

    #[test]
    fn requests_that_were_found_keep_the_rules() {
        play("http", super::request);
    }
}
