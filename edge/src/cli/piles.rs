//! `pile list` and `pile log`: every pile on one line, and what one of them said and did.

use serde_json::{Value, json};
use service::table;

/// All piles, one a line.
pub(super) fn list(answer: &Value) -> String {
    let piles = items(&answer["items"]).iter().map(row);
    let columns = [
        "id",
        "online",
        "state",
        "orders",
        "heard",
        "vendor",
        "model",
        "firmware",
        "certificate",
    ];
    table::columns(&json!({ "items": piles.collect::<Vec<_>>() }), &columns)
}

fn items(list: &Value) -> &[Value] {
    list.as_array().map_or(&[][..], Vec::as_slice)
}

fn row(pile: &Value) -> Value {
    let connectors = items(&pile["connectors"]).iter();
    let orders = connectors
        .map(|connector| &connector["order"])
        .filter(|order| !order.is_null());
    let heard = pile["heard_ago_s"].as_u64().map(|seconds| format!("{seconds} s ago"));
    json!({
        "id": pile["id"],
        "online": if pile["online"] == true { "yes" } else { "NO" },
        "state": state(pile),
        "orders": orders.collect::<Vec<_>>(),
        "heard": heard,
        "vendor": pile["vendor"],
        "model": pile["model"],
        "firmware": pile["firmware"],
        "certificate": pile["certificate_expires"].as_str().and_then(|until| until.get(..10)),
    })
}

/// What most needs somebody; what its connectors say where nothing does.
fn state(pile: &Value) -> String {
    let connectors = items(&pile["connectors"]);
    let any = |is: &dyn Fn(&Value) -> bool| connectors.iter().any(is);
    if pile["two_devices"] == true {
        return "two devices".to_owned();
    }
    if !pile["maintenance"].is_null() {
        return format!("maintenance: {}", pile["maintenance"]["reason"].as_str().unwrap_or("-"));
    }
    if any(&|connector| !connector["unordered"].is_null()) {
        return "charges without order".to_owned();
    }
    if any(&|connector| connector["emergency_stop"] == true) {
        return "emergency stop".to_owned();
    }
    if any(&|connector| connector["faulted"] == true) {
        return "fault".to_owned();
    }
    if !pile["meter_abnormal"].is_null() {
        return "meter abnormal".to_owned();
    }
    let mut doubts = connectors.iter().map(|connector| &connector["register_doubt"]["kind"]);
    if let Some(doubt) = doubts.find_map(Value::as_str) {
        return format!("register {doubt} (pile meter-cleared)");
    }
    let words = connectors
        .iter()
        .map(|connector| connector["report"]["status"].as_str().unwrap_or("-"));
    words.collect::<Vec<_>>().join(" ")
}

/// A log whose newest entry comes first: one a line, the newest last.
pub(super) fn log(answer: &Value) -> String {
    let rows = items(&answer["items"]).iter().rev().map(|entry| {
        json!({
            "seq": entry["seq"], "at": entry["at"], "kind": entry["kind"], "what": crate::words::told(&entry["body"]),
        })
    });
    table::columns(
        &json!({ "items": rows.collect::<Vec<_>>() }),
        &["seq", "at", "kind", "what"],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(list(&answer), expected);
        assert_eq!(list(&json!({ "items": [] })), "none");
    }

    #[test]
    fn what_piles_do_behind_the_stations_back_is_in_their_line() {
        let unordered = json!({ "no": 1, "unordered": { "since": "s", "from_kwh": "1", "named": null } });
        let answer = json!({ "items": [
            { "id": "P1", "online": true, "two_devices": true, "connectors": [] },
            { "id": "P2", "online": true, "two_devices": false, "connectors": [unordered] },
        ] });
        let listed = list(&answer);
        assert!(listed.contains("P1  yes     two devices"), "{listed}");
        assert!(listed.contains("P2  yes     charges without order"), "{listed}");
    }
}
