//! `status`: what somebody who comes to a station wants to see first.

use serde_json::Value;

/// What is counted and needs somebody, in this order: the field, what one of them is, what several are, and what to do.
const COUNTED: [(&str, &str, &str, &str); 13] = [
    (
        "piles_faulted",
        "pile with a fault",
        "piles with a fault",
        " (holdfast-edge pile list)",
    ),
    (
        "piles_in_maintenance",
        "pile in maintenance: it takes no orders",
        "piles in maintenance: they take no orders",
        "",
    ),
    (
        "piles_journal_full",
        "pile has filled its share of the day's journal: it takes no orders until midnight",
        "piles have filled their share of the day's journal: they take no orders until midnight",
        " (holdfast-edge pile log)",
    ),
    (
        "piles_meter_abnormal",
        "pile with a meter in doubt",
        "piles with a meter in doubt",
        " (holdfast-edge pile list; holdfast-edge energy-report; holdfast-edge pile meter-cleared)",
    ),
    (
        "reviews_waiting",
        "order waits for review",
        "orders wait for review",
        " (GET /v1/reviews)",
    ),
    (
        "corrections_waiting",
        "correction waits for a second person",
        "corrections wait for a second person",
        " (holdfast-edge order corrections)",
    ),
    (
        "piles_quarantine_full",
        "pile has its quarantine full: its records are refused until items are closed",
        "piles have their quarantine full: their records are refused until items are closed",
        " (GET /v1/quarantine)",
    ),
    (
        "conflicts_open",
        "record contradicts the one its order has",
        "records contradict the ones their orders have",
        " (holdfast-edge quarantine list --why conflict)",
    ),
    (
        "rating_differences_open",
        "bill that its pile splits otherwise",
        "bills that their piles split otherwise",
        " (holdfast-edge quarantine list --why rating_differs)",
    ),
    (
        "orders_of_gone_piles",
        "order charges at a pile that is gone: close it with what is known",
        "orders charge at piles that are gone: close them with what is known",
        " (holdfast-edge order close)",
    ),
    (
        "connectors_unordered",
        "connector charges without an order",
        "connectors charge without an order",
        " (holdfast-edge pile list)",
    ),
    (
        "piles_two_devices",
        "pile whose identity two devices use: give one its own",
        "piles whose identity two devices use: give one its own",
        " (holdfast-edge pile list, pile add)",
    ),
    (
        "msg_ids_reused",
        "message under a msg_id used before",
        "messages under a msg_id used before",
        ": a pile does not change its boot_id at a start; the log names it",
    ),
];

/// The station: what needs attention, then how it is.
pub(super) fn text(station: &Value) -> String {
    let mut lines = of_recovery(&station["recovering"]);
    lines.extend(without_orders(station));
    lines.extend(without_answers(station));
    lines.extend(offline(station));
    let counted = COUNTED.iter();
    lines.extend(counted.filter_map(|(field, one, many, what_to_do)| told(&station[*field], one, many, what_to_do)));
    lines.extend(in_quarantine(station));
    lines.extend(of_certificates(&station["tls"]));
    lines.extend(of_clock(&station["clock"]));
    if lines.is_empty() {
        lines.push("nothing needs attention".to_owned());
    }
    lines.extend(figures(station).map(|(name, value)| format!("{name:8} {value}")));
    lines.join("\n")
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

/// A restored station that books nothing yet: since when, how far it is, and what to do.
fn of_recovery(recovery: &Value) -> Vec<String> {
    let Some(since) = recovery["since"].as_str() else {
        return Vec::new();
    };
    let far = match recovery["head_office_has"]["seq"].as_u64() {
        Some(place) => format!("head office has it up to entry {place}"),
        None => "head office has not been heard: is holdfast-sync running, and the line up?".to_owned(),
    };
    let end = number(&recovery["copy_end"]["seq"]);
    vec![format!(
        "! recovering since {since} from a copy that ends at entry {end}; {far}. Nothing is booked meanwhile, and cars go on \
         charging; if head office cannot be reached for long, holdfast-edge recover --alone REASON goes on without it"
    )]
}

/// Why nobody can charge, or soon nobody can.
fn without_orders(station: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    if station["tariff_in_force"].is_null() {
        lines.push("! no tariff is in force: every order is refused (holdfast-edge tariff add FILE)".to_owned());
    }
    let disk = &station["disk"];
    if let Some(why) = disk["refusing_orders"].as_str() {
        lines.push(format!("! new orders are refused: {why}"));
    } else if disk["telemetry"] == false {
        let free = number(&disk["free_bytes"]) >> 20;
        lines.push(format!(
            "! the disk is filling up: telemetry is not written, {free} MiB are free; make room on it"
        ));
    }
    lines
}

/// Whose requests about money are refused, so that none is booked twice.
fn without_answers(station: &Value) -> Option<String> {
    let callers = station["answers_full"].as_array()?.iter().map(word);
    let callers = callers.collect::<Vec<_>>().join(", ");
    (!callers.is_empty()).then(|| {
        format!(
            "! requests about money are refused (503 answers-full) for {callers}: too many were answered within 24 h. Which \
             program asks so often? For what cannot wait: holdfast-edge token add, another token has room of its own"
        )
    })
}

fn offline(station: &Value) -> Option<String> {
    let offline = number(&station["piles"]).saturating_sub(number(&station["piles_online"]));
    told(
        &offline.into(),
        "pile offline",
        "piles offline",
        " (holdfast-edge pile list)",
    )
}

fn in_quarantine(station: &Value) -> Option<String> {
    let oldest = station["quarantine_oldest"].as_str();
    let since = oldest.map_or_else(String::new, |oldest| format!(", the oldest since {oldest}"));
    let more = format!("{since} (holdfast-edge quarantine list)");
    told(
        &station["quarantine_open"],
        "item in quarantine",
        "items in quarantine",
        &more,
    )
}

/// A line about so many, if there are any.
fn told(count: &Value, one: &str, many: &str, what_to_do: &str) -> Option<String> {
    match number(count) {
        0 => None,
        1 => Some(format!("! 1 {one}{what_to_do}")),
        count => Some(format!("! {count} {many}{what_to_do}")),
    }
}

fn of_certificates(tls: &Value) -> Vec<String> {
    let ending = told(
        &tls["pile_certificates_ending"],
        "pile whose certificate ends within 30 days or has ended",
        "piles whose certificate ends within 30 days or has ended",
        " (holdfast-edge pile list, pile cert)",
    );
    let mut lines: Vec<String> = ending.into_iter().collect();
    if tls["expires_soon"] == true {
        let until = word(&tls["certificate_expires"]);
        lines.push(format!(
            "! the station's TLS certificate ends at {until}: put a new one in its place"
        ));
    }
    if let Some(problem) = tls["problem"].as_str() {
        lines.push(format!(
            "! new TLS files cannot be used, the ones before them are: {problem}"
        ));
    }
    lines
}

fn of_clock(clock: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(certain) = clock["doubted_since"].as_str() {
        lines.push(format!(
            "! the clock cannot be right: it was {certain} before. Set it (timedatectl set-time); if it is right, holdfast-edge clock-confirmed"
        ));
    }
    if clock["trusted"] != true {
        lines.push("! the clock is not trusted: piles are not told the time".to_owned());
    }
    lines
}

fn figures(station: &Value) -> [(&'static str, String); 9] {
    let (clock, journal) = (&station["clock"], &station["journal"]);
    let trust = match clock["trusted"] == true {
        true => "trusted",
        false => "not trusted",
    };
    let seq = number(&journal["seq"]);
    let entries = seq.saturating_sub(number(&station["journal_begins_after"]["seq"]));
    let acknowledged = match station["acknowledged"]["seq"].as_u64() {
        Some(place) => format!(", acknowledged up to entry {place}"),
        None => String::new(),
    };
    let tls = match station["tls"]["certificate_expires"].as_str() {
        Some(until) => format!("certificate until {until}"),
        None => "none: piles log in without it".to_owned(),
    };
    [
        (
            "site",
            format!("{} (run {})", word(&station["site"]), word(&station["epoch"])),
        ),
        ("tariff", word(&station["tariff_in_force"]).to_owned()),
        (
            "piles",
            format!(
                "{} of {} online",
                number(&station["piles_online"]),
                number(&station["piles"])
            ),
        ),
        ("orders", format!("{} open", number(&station["open_orders"]))),
        (
            "clock",
            format!("{} {}, {trust}", word(&clock["wall"]), word(&station["time_zone"])),
        ),
        (
            "journal",
            format!("{entries} entries{acknowledged}, head {seq}:{}", word(&journal["hash"])),
        ),
        ("tls", tls),
        ("waiting", format!("{} inputs", number(&station["waiting"]))),
        (
            "version",
            format!(
                "{}, schema {}",
                word(&station["version"]),
                number(&station["schema_version"])
            ),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn station() -> Value {
        json!({
            "site": "station-1", "epoch": "e1", "version": "0.1.0", "schema_version": 1, "time_zone": "Asia/Shanghai",
            "clock": { "wall": "2026-03-01T10:00:00+08:00", "mono_ms": 5, "trusted": true },
            "journal": { "seq": 7, "hash": "0123456789abcdef0123" }, "waiting": 0, "open_orders": 1, "piles": 3,
            "piles_online": 3, "piles_in_maintenance": 0, "piles_faulted": 0, "reviews_waiting": 0,
            "quarantine_open": 0, "piles_quarantine_full": 0, "tariff_in_force": "t1",
            "disk": { "free_bytes": 1_u64 << 40, "reserve": true, "telemetry": true, "refusing_orders": null },
            "tls": { "certificate_expires": "2027-03-01T10:00:00+08:00", "expires_soon": false, "problem": null,
                "pile_certificates_ending": 0 },
        })
    }

    #[test]
    fn a_station_that_is_recovering_says_since_when_how_far_it_is_and_what_to_do() {
        let mut station = station();
        station["recovering"] = json!({
            "since": "2026-03-01T10:00:00+08:00", "copy_end": { "seq": 40, "hash": "00" }, "head_office_has": null,
            "stops": 0, "waiting": 0,
        });
        let said = text(&station);
        assert!(
            said.starts_with("! recovering since 2026-03-01T10:00:00+08:00 from a copy that ends at entry 40"),
            "{said}"
        );
        assert!(
            said.contains("has not been heard") && said.contains("recover --alone REASON"),
            "{said}"
        );
        station["recovering"]["head_office_has"] = json!({ "seq": 57, "hash": "00" });
        assert!(text(&station).contains("head office has it up to entry 57"));
    }

    #[test]
    fn what_is_told_stands_in_the_answer() {
        let document = serde_json::to_value(crate::api::openapi()).unwrap();
        let fields = |schema: &str| document["components"]["schemas"][schema]["properties"].clone();
        let station = fields("StationView");
        let counted = COUNTED.iter().map(|(field, ..)| *field);
        for field in counted.chain([
            "piles",
            "piles_online",
            "quarantine_open",
            "quarantine_oldest",
            "answers_full",
            "tariff_in_force",
            "acknowledged",
        ]) {
            assert!(station[field].is_object(), "{field}");
        }
        let nested = [
            (
                "TlsView",
                ["pile_certificates_ending", "certificate_expires", "problem"],
            ),
            ("ClockView", ["doubted_since", "trusted", "wall"]),
            ("DiskView", ["refusing_orders", "telemetry", "free_bytes"]),
        ];
        for (schema, of_it) in nested {
            for field in of_it {
                assert!(fields(schema)[field].is_object(), "{schema}.{field}");
            }
        }
    }

    #[test]
    fn a_station_that_is_well_says_so_first() {
        let expected = "\
nothing needs attention
site     station-1 (run e1)
tariff   t1
piles    3 of 3 online
orders   1 open
clock    2026-03-01T10:00:00+08:00 Asia/Shanghai, trusted
journal  7 entries, head 7:0123456789abcdef0123
tls      certificate until 2027-03-01T10:00:00+08:00
waiting  0 inputs
version  0.1.0, schema 1";
        assert_eq!(text(&station()), expected);
    }

    #[test]
    fn what_needs_attention_comes_first() {
        let mut station = station();
        station["tariff_in_force"] = Value::Null;
        station["piles_online"] = 1.into();
        station["piles_faulted"] = 1.into();
        station["reviews_waiting"] = 4.into();
        station["corrections_waiting"] = 2.into();
        station["tls"] = json!({ "certificate_expires": "2026-03-02T00:00:00Z", "expires_soon": true,
            "problem": "a.pem: no certificate", "pile_certificates_ending": 2 });
        station["clock"]["trusted"] = false.into();
        let said = text(&station);
        let first: Vec<&str> = said.lines().take(9).collect();
        assert_eq!(
            first,
            [
                "! no tariff is in force: every order is refused (holdfast-edge tariff add FILE)",
                "! 2 piles offline (holdfast-edge pile list)",
                "! 1 pile with a fault (holdfast-edge pile list)",
                "! 4 orders wait for review (GET /v1/reviews)",
                "! 2 corrections wait for a second person (holdfast-edge order corrections)",
                "! 2 piles whose certificate ends within 30 days or has ended (holdfast-edge pile list, pile cert)",
                "! the station's TLS certificate ends at 2026-03-02T00:00:00Z: put a new one in its place",
                "! new TLS files cannot be used, the ones before them are: a.pem: no certificate",
                "! the clock is not trusted: piles are not told the time",
            ]
        );
    }

    #[test]
    fn one_is_one_and_a_disk_that_fills_is_told_before_all_else() {
        let mut station = station();
        for count in [
            "piles_in_maintenance",
            "reviews_waiting",
            "quarantine_open",
            "conflicts_open",
            "piles_quarantine_full",
        ] {
            station[count] = 1.into();
        }
        station["quarantine_oldest"] = "2026-03-01T02:00:00Z".into();
        station["piles_online"] = 2.into();
        station["disk"]["telemetry"] = false.into();
        station["disk"]["free_bytes"] = (200_u64 << 20).into();
        let said = text(&station);
        let first: Vec<&str> = said.lines().take(7).collect();
        assert_eq!(
            first,
            [
                "! the disk is filling up: telemetry is not written, 200 MiB are free; make room on it",
                "! 1 pile offline (holdfast-edge pile list)",
                "! 1 pile in maintenance: it takes no orders",
                "! 1 order waits for review (GET /v1/reviews)",
                "! 1 pile has its quarantine full: its records are refused until items are closed (GET /v1/quarantine)",
                "! 1 record contradicts the one its order has (holdfast-edge quarantine list --why conflict)",
                "! 1 item in quarantine, the oldest since 2026-03-01T02:00:00Z (holdfast-edge quarantine list)",
            ]
        );
        station["disk"]["refusing_orders"] = "the disk is nearly full".into();
        let said = text(&station);
        assert!(
            said.starts_with("! new orders are refused: the disk is nearly full\n! 1 pile offline"),
            "{said}"
        );
    }

    #[test]
    fn what_piles_do_behind_the_stations_back_is_told() {
        let mut station = station();
        station["orders_of_gone_piles"] = 1.into();
        station["connectors_unordered"] = 2.into();
        station["piles_two_devices"] = 1.into();
        station["msg_ids_reused"] = 3.into();
        let said = text(&station);
        let first: Vec<&str> = said.lines().take(4).collect();
        assert_eq!(
            first,
            [
                "! 1 order charges at a pile that is gone: close it with what is known (holdfast-edge order close)",
                "! 2 connectors charge without an order (holdfast-edge pile list)",
                "! 1 pile whose identity two devices use: give one its own (holdfast-edge pile list, pile add)",
                "! 3 messages under a msg_id used before: a pile does not change its boot_id at a start; the log names it",
            ]
        );
    }

    #[test]
    fn whose_requests_about_money_are_refused_is_told_before_what_piles_do() {
        let mut station = station();
        station["answers_full"] = json!([]);
        station["piles_online"] = 2.into();
        assert!(text(&station).starts_with("! 1 pile offline"));
        station["answers_full"] = json!(["desk", "local:1000"]);
        let said = text(&station);
        let first: Vec<&str> = said.lines().take(2).collect();
        assert!(
            first[0].contains("refused (503 answers-full) for desk, local:1000: "),
            "{said}"
        );
        assert!(first[1].starts_with("! 1 pile offline"), "{said}");
    }

    #[test]
    fn a_pile_that_says_too_much_is_told() {
        let mut station = station();
        station["piles_journal_full"] = 1.into();
        let said = text(&station);
        assert!(
            said.starts_with("! 1 pile has filled its share of the day's journal: it takes no orders until midnight"),
            "{said}"
        );
    }
}
