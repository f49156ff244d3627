//! `docs/displays.md` is what the code does: its limits, and the fields of its examples. That real frames have these
//! fields is in `tests/tests/displays.rs`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

use edge::displays::{DISPLAYS_MAX, REST};
use serde_json::Value;
use std::collections::BTreeSet;

fn document() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/displays.md");
    std::fs::read_to_string(path).unwrap()
}

/// The fields of an object and of the objects in its lists.
fn fields(value: &Value) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (name, value) in value.as_object().unwrap() {
        names.insert(name.clone());
        for item in value.as_array().into_iter().flatten() {
            names.extend(fields(item));
        }
    }
    names
}

#[test]
fn each_example_has_the_fields_that_are_listed_below_it() {
    let document = document();
    for tag in ["state", "live"] {
        let (_, section) = document.split_once(&format!("<!-- {tag} -->\n```json\n")).unwrap();
        let (example, after) = section.split_once("\n```").unwrap();
        let rows = after.split("\n#").next().unwrap().lines();
        let listed = rows.filter_map(|row| row.strip_prefix("| `")?.split('`').next());
        let listed: BTreeSet<String> = listed.map(str::to_owned).collect();
        assert_eq!(fields(&serde_json::from_str(example).unwrap()), listed, "{tag}");
    }
}

#[test]
fn the_limits_are_those_of_the_code() {
    let document = document();
    let broker = broker::Config::default();
    let (packets, logins) = (broker.packet_rate.unwrap(), broker.login_rate.unwrap());
    for row in [
        format!("displays of a station | {DISPLAYS_MAX}"),
        format!("client ids of a display | {}", broker.client_ids_per_identity_max),
        format!("subscriptions of a connection | {}", broker.subscriptions_max),
        format!(
            "connections with subscriptions, of all displays | {}",
            broker.shared_links_max
        ),
        format!("different filters, of all displays | {}", broker.shared_filters_max),
        format!(
            "packets from a display | {} a second, {} at once",
            packets.per_second, packets.burst
        ),
        format!(
            "logins of a display | {} a second, {} at once",
            logins.per_second, logins.burst
        ),
        format!(
            "messages waiting for a connection | {}, {} KiB",
            broker.queue_messages_max,
            broker.queue_bytes_max / 1024
        ),
        format!(
            "retained messages of the station | {}, {} KiB",
            broker.retained_messages_max,
            broker.retained_bytes_max / 1024
        ),
    ] {
        assert!(document.contains(&format!("\n| {row} | ")), "| {row} |");
    }
    let each_s = 1_000 / REST.as_millis();
    assert!(document.contains(&format!("A topic has at most {each_s} frames a second")));
    let taken = broker.write_timeout.as_secs();
    assert!(document.contains(&format!("after {taken} s without a byte taken")));
}
