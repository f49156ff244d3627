//! What must be so of every `edge.toml`: what is accepted can be started with, a key more is refused by its line, and what is
//! refused is told in single lines that lead into the file.

use super::{Config, ConfigFault, Retention};
use jiff::tz::TimeZoneDatabase;
use service::config::Origin;
use std::path::Path;
use tracing_subscriber::EnvFilter;

/// The longest line about a fault, in characters: it is read in a terminal.
const SHOWN_CHARS_MAX: usize = 1000;
const FILE: &str = "/etc/holdfast/edge.toml";

/// The text of a configuration.
pub fn configuration(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match read(text) {
        Ok(config) => {
            can_be_started_with(&config);
            assert_eq!(read(&format!("{text}\n# A comment.")), Ok(config));
            a_key_more_is_refused(text);
        }
        Err(refused) => is_told_in_lines(text, &refused),
    }
}

fn read(text: &str) -> Result<Config, ConfigFault> {
    Config::of_text(Path::new(FILE), text, [])
}

fn can_be_started_with(config: &Config) {
    let zones = TimeZoneDatabase::bundled();
    assert!(zones.get(&config.time_zone).is_ok());
    assert!(EnvFilter::try_new(&config.log).is_ok());
    assert!(config.data_dir.is_absolute() && config.socket.is_absolute());
    let bound = &config.mqtt;
    assert!(
        bound.tls_listen.is_some() || !bound.listen.is_empty(),
        "piles can come in"
    );
    assert!(bound.connections_max > 0 && bound.connections_per_address_max > 0);
    assert!(config.http.connections_per_address_max > 0 && config.cache_bytes > 0 && config.reserve_bytes > 0);
    let days = Retention::DAYS_MIN..=Retention::DAYS_MAX;
    assert!(days.contains(&config.retention.days) && days.contains(&config.retention.samples_days));
    let policy = &config.policy;
    assert!(policy.prepay_min.0 > 0 && (policy.prepay_min..=policy.prepay_max).contains(&policy.prepay_default));
    assert!(policy.record_overdue_ms > policy.record_request_ms);
    assert!(policy.telemetry_below_bytes >= policy.orders_below_bytes);
    assert!(config.clock.rate > 0);
}

/// Nobody is left to think that a misspelt key has an effect.
fn a_key_more_is_refused(text: &str) {
    let more = format!("{text}\nno_such_key = 1\n");
    let refused = read(&more).expect_err("an unknown key is refused");
    let line = text.lines().count() + if text.ends_with('\n') { 2 } else { 1 };
    let is_named = refused
        .faults
        .iter()
        .any(|fault| fault.origin == Origin::File { line: Some(line) } && fault.key.ends_with("no_such_key"));
    assert!(is_named, "line {line}: {refused}");
}

fn is_told_in_lines(text: &str, refused: &ConfigFault) {
    assert!(!refused.faults.is_empty());
    let shown = refused.to_string();
    assert_eq!(
        shown.lines().count(),
        refused.faults.len(),
        "one line a fault: {shown:?}"
    );
    for (line, fault) in shown.lines().zip(&refused.faults) {
        assert!(line.starts_with(FILE) && !fault.message.is_empty(), "{line:?}");
        assert!(line.chars().count() <= SHOWN_CHARS_MAX, "{line:?}");
        assert!(
            !line.contains(char::is_control),
            "a terminal shows what it says: {line:?}"
        );
        if let Origin::File { line: Some(at) } = fault.origin {
            assert!((1..=text.split('\n').count()).contains(&at), "line {at} is in the file");
        }
    }
}
