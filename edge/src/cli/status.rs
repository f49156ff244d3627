//! `status` and `pile list`: what somebody who comes to a station wants to see first.

use super::table;
use serde_json::{Value, json};

/// The station: what needs attention, then how it is.
pub(super) fn text(station: &Value) -> String {
    let number = |key: &str| station[key].as_u64().unwrap_or(0);
    let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let (piles, online) = (number("piles"), number("piles_online"));
    let mut lines = Vec::new();
    if station["tariff_in_force"].is_null() {
        lines.push("! no tariff is in force: every order is refused (holdfast-edge tariff add FILE)".to_owned());
    }
    let disk = &station["disk"];
    if let Some(why) = disk["refusing_orders"].as_str() {
        lines.push(format!("! new orders are refused: {why}"));
    } else if disk["telemetry"] == false {
        let free = disk["free_bytes"].as_u64().unwrap_or(0) >> 20;
        lines.push(format!(
            "! the disk is filling up: telemetry is not written, {free} MiB are free; make room on it"
        ));
    }
    let mut attention = |count: u64, one: &str, many: &str| match count {
        0 => {}
        1 => lines.push(format!("! 1 {one}")),
        _ => lines.push(format!("! {count} {many}")),
    };
    attention(
        number("piles_faulted"),
        "pile with a fault (holdfast-edge pile list)",
        "piles with a fault (holdfast-edge pile list)",
    );
    attention(
        piles.saturating_sub(online),
        "pile offline (holdfast-edge pile list)",
        "piles offline (holdfast-edge pile list)",
    );
    attention(
        number("piles_in_maintenance"),
        "pile in maintenance: it takes no orders",
        "piles in maintenance: they take no orders",
    );
    attention(
        number("piles_meter_abnormal"),
        "pile with a meter in doubt (holdfast-edge pile list; holdfast-edge energy-report; holdfast-edge pile meter-cleared)",
        "piles with a meter in doubt (holdfast-edge pile list; holdfast-edge energy-report; holdfast-edge pile meter-cleared)",
    );
    attention(
        number("reviews_waiting"),
        "order waits for review (GET /v1/reviews)",
        "orders wait for review (GET /v1/reviews)",
    );
    attention(
        number("corrections_waiting"),
        "correction waits for a second person (holdfast-edge order corrections)",
        "corrections wait for a second person (holdfast-edge order corrections)",
    );
    attention(
        number("piles_quarantine_full"),
        "pile has its quarantine full: its records are refused until items are closed (GET /v1/quarantine)",
        "piles have their quarantine full: their records are refused until items are closed (GET /v1/quarantine)",
    );
    let since = station["quarantine_oldest"].as_str();
    let since = since
        .map(|oldest| format!(", the oldest since {oldest}"))
        .unwrap_or_default();
    attention(
        number("conflicts_open"),
        "record contradicts the one its order has (holdfast-edge quarantine list --why conflict)",
        "records contradict the ones their orders have (holdfast-edge quarantine list --why conflict)",
    );
    attention(
        number("rating_differences_open"),
        "bill that its pile splits otherwise (holdfast-edge quarantine list --why rating_differs)",
        "bills that their piles split otherwise (holdfast-edge quarantine list --why rating_differs)",
    );
    attention(
        number("quarantine_open"),
        &format!("item in quarantine{since} (holdfast-edge quarantine list)"),
        &format!("items in quarantine{since} (holdfast-edge quarantine list)"),
    );
    attention(
        number("orders_of_gone_piles"),
        "order charges at a pile that is gone: close it with what is known (holdfast-edge order close)",
        "orders charge at piles that are gone: close them with what is known (holdfast-edge order close)",
    );
    attention(
        number("connectors_unordered"),
        "connector charges without an order (holdfast-edge pile list)",
        "connectors charge without an order (holdfast-edge pile list)",
    );
    attention(
        number("piles_two_devices"),
        "pile whose identity two devices use: give one its own (holdfast-edge pile list, pile add)",
        "piles whose identity two devices use: give one its own (holdfast-edge pile list, pile add)",
    );
    attention(
        number("msg_ids_reused"),
        "message under a msg_id used before: a pile does not change its boot_id at a start; the log names it",
        "messages under a msg_id used before: a pile does not change its boot_id at a start; the log names it",
    );
    let tls = &station["tls"];
    attention(
        tls["pile_certificates_ending"].as_u64().unwrap_or(0),
        "pile whose certificate ends within 30 days or has ended (holdfast-edge pile list, pile cert)",
        "piles whose certificate ends within 30 days or has ended (holdfast-edge pile list, pile cert)",
    );
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
    if let Some(certain) = station["clock"]["doubted_since"].as_str() {
        lines.push(format!(
            "! the clock cannot be right: it was {certain} before. Set it (timedatectl set-time); if it is right, holdfast-edge clock-confirmed"
        ));
    }
    if station["clock"]["trusted"] != true {
        lines.push("! the clock is not trusted: piles are not told the time".to_owned());
    }
    if lines.is_empty() {
        lines.push("nothing needs attention".to_owned());
    }
    let trust = if station["clock"]["trusted"] == true {
        "trusted"
    } else {
        "not trusted"
    };
    let journal = &station["journal"];
    let (seq, begins_after) = (
        journal["seq"].as_u64().unwrap_or(0),
        &station["journal_begins_after"]["seq"],
    );
    let entries = seq - begins_after.as_u64().unwrap_or(0).min(seq);
    let acknowledged = match station["acknowledged"]["seq"].as_u64() {
        Some(place) => format!(", acknowledged up to entry {place}"),
        None => String::new(),
    };
    let rows = [
        (
            "site",
            format!("{} (run {})", word(&station["site"]), word(&station["epoch"])),
        ),
        ("tariff", word(&station["tariff_in_force"])),
        ("piles", format!("{online} of {piles} online")),
        ("orders", format!("{} open", number("open_orders"))),
        (
            "clock",
            format!(
                "{} {}, {trust}",
                word(&station["clock"]["wall"]),
                word(&station["time_zone"])
            ),
        ),
        (
            "journal",
            format!("{entries} entries{acknowledged}, head {seq}:{}", word(&journal["hash"])),
        ),
        (
            "tls",
            match tls["certificate_expires"].as_str() {
                Some(until) => format!("certificate until {until}"),
                None => "none: piles log in without it".to_owned(),
            },
        ),
        ("waiting", format!("{} inputs", number("waiting"))),
        (
            "version",
            format!("{}, schema {}", word(&station["version"]), number("schema_version")),
        ),
    ];
    lines.extend(rows.map(|(name, value)| format!("{name:8} {value}")));
    lines.join("\n")
}

/// A log whose newest entry comes first: one a line, the newest last.
pub(super) fn log(answer: &Value) -> String {
    let items = answer["items"].as_array().map_or(&[][..], Vec::as_slice);
    let rows = items.iter().rev().map(|entry| {
        json!({
            "seq": entry["seq"], "at": entry["at"], "kind": entry["kind"], "what": crate::words::told(&entry["body"]),
        })
    });
    table::columns(
        &json!({ "items": rows.collect::<Vec<_>>() }),
        &["seq", "at", "kind", "what"],
    )
}

/// All piles, one a line.
pub(super) fn piles(answer: &Value) -> String {
    let rows = answer["items"]
        .as_array()
        .map_or(&[][..], Vec::as_slice)
        .iter()
        .map(|pile| {
            let connectors = pile["connectors"].as_array().map_or(&[][..], Vec::as_slice);
            let orders: Vec<&Value> = connectors
                .iter()
                .map(|connector| &connector["order"])
                .filter(|order| !order.is_null())
                .collect();
            let unordered = connectors.iter().any(|connector| !connector["unordered"].is_null());
            let state = if pile["two_devices"] == true {
                "two devices".to_owned()
            } else if !pile["maintenance"].is_null() {
                format!("maintenance: {}", pile["maintenance"]["reason"].as_str().unwrap_or("-"))
            } else if unordered {
                "charges without order".to_owned()
            } else if connectors.iter().any(|connector| connector["emergency_stop"] == true) {
                "emergency stop".to_owned()
            } else if connectors.iter().any(|connector| connector["faulted"] == true) {
                "fault".to_owned()
            } else if !pile["meter_abnormal"].is_null() {
                "meter abnormal".to_owned()
            } else if let Some(doubt) = connectors
                .iter()
                .find_map(|connector| connector["register_doubt"]["kind"].as_str())
            {
                format!("register {doubt} (pile meter-cleared)")
            } else {
                let words = connectors
                    .iter()
                    .map(|connector| connector["report"]["status"].as_str().unwrap_or("-"));
                words.collect::<Vec<_>>().join(" ")
            };
            let heard = pile["heard_ago_s"].as_u64().map(|seconds| format!("{seconds} s ago"));
            json!({
                "id": pile["id"],
                "online": if pile["online"] == true { "yes" } else { "NO" },
                "state": state,
                "orders": orders,
                "heard": heard,
                "vendor": pile["vendor"],
                "model": pile["model"],
                "firmware": pile["firmware"],
                "certificate": pile["certificate_expires"].as_str().and_then(|until| until.get(..10)),
            })
        });
    let rows = json!({ "items": rows.collect::<Vec<_>>() });
    table::columns(
        &rows,
        &[
            "id",
            "online",
            "state",
            "orders",
            "heard",
            "vendor",
            "model",
            "firmware",
            "certificate",
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

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
                "! 1 pile with a fault (holdfast-edge pile list)",
                "! 2 piles offline (holdfast-edge pile list)",
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
        let unordered = json!({ "no": 1, "unordered": { "since": "s", "from_kwh": "1", "named": null } });
        let answer = json!({ "items": [
            { "id": "P1", "online": true, "two_devices": true, "connectors": [] },
            { "id": "P2", "online": true, "two_devices": false, "connectors": [unordered] },
        ] });
        let listed = piles(&answer);
        assert!(listed.contains("P1  yes     two devices"), "{listed}");
        assert!(listed.contains("P2  yes     charges without order"), "{listed}");
    }

    #[test]
    fn a_piles_log_ends_with_what_came_last() {
        let entry = |seq: u64, kind: &str, body: Value| json!({ "seq": seq, "at": "2026-03-01T10:00:00+08:00", "kind": kind, "body": body });
        let answer = json!({ "items": [
            entry(9, "PileDropped", json!({ "pile": "P1", "at": 5 })),
            entry(4, "PileProvisioned", json!({ "pile": "P1" })),
        ] });
        let expected = "\
seq  at                         kind             what
4    2026-03-01T10:00:00+08:00  PileProvisioned  pile=P1
9    2026-03-01T10:00:00+08:00  PileDropped      at=5 pile=P1";
        assert_eq!(log(&answer), expected);
    }

    #[test]
    fn piles_stand_in_columns_that_matter() {
        let connector = |faulted: bool, status: &str| json!({ "no": 1, "faulted": faulted, "order": null, "report": { "status": status } });
        let pile = |id: &str, online: bool, connectors: Value| {
            json!({
                "id": id, "online": online, "maintenance": null, "heard_ago_s": online.then_some(3), "vendor": "v",
                "model": "m", "firmware": "1", "connectors": connectors,
                "certificate_expires": online.then_some("2029-03-01T10:00:00+08:00"),
            })
        };
        let mut busy = connector(false, "charging");
        busy["order"] = "o1".into();
        let mut stopped = connector(true, "idle");
        stopped["emergency_stop"] = true.into();
        let answer = json!({ "items": [
            pile("P01", true, json!([connector(false, "idle"), busy])),
            pile("P02", false, json!([connector(true, "fault")])),
            pile("P03", false, json!([stopped])),
        ] });
        let expected = "\
id   online  state           orders  heard    vendor  model  firmware  certificate
P01  yes     idle charging   o1      3 s ago  v       m      1         2029-03-01
P02  NO      fault           -       -        v       m      1         -
P03  NO      emergency stop  -       -        v       m      1         -";
        assert_eq!(piles(&answer), expected);
        assert_eq!(piles(&json!({ "items": [] })), "none");
    }
}
