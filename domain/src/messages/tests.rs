//! Messages by example, one fault at a time, and records by property: any value in any field.

use super::*;
use crate::{
    fact::Raw,
    ids::{CommandId, ConnectorNo, OrderId},
    json::Object as Nested,
    time::Wall,
    topics::UpKind,
    units::{Energy, Power},
};
use proptest::prelude::*;
use serde_json::{Value, json};

fn read(kind: UpKind, message: &Value) -> Result<UpMessage, Malformed> {
    read_up(kind, message.to_string().as_bytes())
}

fn common() -> Value {
    json!({ "boot_id": "b1", "seq": 1, "mono_ms": 5, "ts": "2026-03-01T08:40:00+08:00", "msg_id": "m1" })
}

fn with(mut message: Value, fields: Value) -> Value {
    let (Value::Object(message_fields), Value::Object(fields)) = (&mut message, fields) else {
        panic!("objects")
    };
    message_fields.extend(fields);
    message
}

/// A record with everything in it.
fn record() -> Value {
    with(
        common(),
        json!({
            "order_id": "o1", "connector": 1,
            "start_ts": "2026-03-01T08:00:00+08:00", "stop_ts": "2026-03-01T08:30:00+08:00",
            "start_mono_ms": 1_000, "stop_mono_ms": 1_801_000,
            "meter_start_kwh": "1234.5678", "meter_stop_kwh": "1240.0000",
            "reason": { "code": 7, "text": "full" }, "offline": true, "soc_start": 42, "soc_stop": 100,
            "samples": [
                { "ts": "2026-03-01T08:10:00+08:00", "mono_ms": 601_000, "meter_kwh": "1236.0000" },
                { "ts": null, "mono_ms": 901_000, "meter_kwh": "1237.0000" },
            ],
            "periods": { "sharp_kwh": "0", "peak_kwh": "5.4322", "flat_kwh": "0", "valley_kwh": "0" },
            "card_id": "CARD-7", "signed": { "format": "OCMF", "data": "OCMF|{}" },
            "session_boot_id": "b0",
        }),
    )
}

fn record_of(message: &UpMessage) -> &Record {
    match &message.body {
        Up::Record(record) => record,
        other => panic!("a record, not {other:?}"),
    }
}

fn unread(message: &UpMessage) -> Vec<&str> {
    message.unread.as_ref().map_or_else(Vec::new, |unread| {
        unread.fields.iter().map(|field| field.path.as_str()).collect()
    })
}

/// Puts `value` at a path such as `samples[0].ts`.
fn put(message: &mut Value, path: &str, value: Value) {
    let pointer = format!("/{}", path.replace(['.', '['], "/").replace(']', ""));
    *message.pointer_mut(&pointer).unwrap() = value;
}

#[test]
fn readings_as_numbers_are_exact_and_unknown_fields_ignored() {
    let text = r#"{"boot_id":"b1","seq":1,"mono_ms":5,"ts":null,"msg_id":"m1","order_id":"o1","connector":1,
        "start_ts":null,"stop_ts":null,"start_mono_ms":1,"stop_mono_ms":2,"vin":"x","extra":{},
        "meter_start_kwh":1234.5678,"meter_stop_kwh":"1240","reason":{"code":7}"#;
    let message = read_up(UpKind::Record, format!("{text}}}").as_bytes()).unwrap();
    assert_eq!(message.unread, None);
    assert_eq!(record_of(&message).meter_start_kwh, Energy(12_345_678));
    assert_eq!(record_of(&message).energy(), Energy(54_322));
    assert_eq!(record_of(&message).reason.meaning(), StopCode::Full);

    let leniently = read_up(UpKind::Record, format!("{text},\"soc_stop\":79.5}}").as_bytes()).unwrap();
    assert_eq!(unread(&leniently), ["soc_stop"]);
    assert_eq!(
        record_of(&leniently).meter_start_kwh,
        Energy(12_345_678),
        "never through a float"
    );
    let noise = text.replace("1234.5678", "1234.50000001");
    let error = read_up(UpKind::Record, format!("{noise},\"soc_stop\":79.5}}").as_bytes()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "meter_start_kwh: `1234.50000001` has more than 4 decimal places"
    );
}

/// Stored digests are taken of this text: it never changes.
#[test]
fn the_json_of_a_record_stays_as_it_is() {
    let message = read(UpKind::Record, &record()).unwrap();
    assert_eq!(
        serde_json::to_string(record_of(&message)).unwrap(),
        concat!(
            r#"{"order_id":"o1","connector":1,"start_ts":"2026-03-01T00:00:00Z","stop_ts":"2026-03-01T00:30:00Z","#,
            r#""start_mono_ms":1000,"stop_mono_ms":1801000,"meter_start_kwh":"1234.5678","meter_stop_kwh":"1240.0000","#,
            r#""reason":{"code":7,"text":"full"},"offline":true,"soc_start":42,"soc_stop":100,"#,
            r#""samples":[{"ts":"2026-03-01T00:10:00Z","mono_ms":601000,"meter_kwh":"1236.0000"},"#,
            r#"{"ts":null,"mono_ms":901000,"meter_kwh":"1237.0000"}],"#,
            r#""periods":{"sharp_kwh":"0.0000","peak_kwh":"5.4322","flat_kwh":"0.0000","valley_kwh":"0.0000"},"#,
            r#""card_id":"CARD-7","signed":{"format":"OCMF","data":"OCMF|{}"},"#,
            r#""session_boot_id":"b0"}"#
        )
    );
    let least = json!({ "order_id": "o1", "connector": 1, "meter_start_kwh": "1", "meter_stop_kwh": "2" });
    let message = read(UpKind::Record, &with(common(), least)).unwrap();
    assert_eq!(
        serde_json::to_string(record_of(&message)).unwrap(),
        concat!(
            r#"{"order_id":"o1","connector":1,"start_ts":null,"stop_ts":null,"start_mono_ms":0,"stop_mono_ms":0,"#,
            r#""meter_start_kwh":"1.0000","meter_stop_kwh":"2.0000","reason":{"code":255,"text":""},"offline":false,"#,
            r#""soc_start":null,"soc_stop":null}"#
        )
    );
    assert_eq!(message.unread, None, "what is missing says nothing");
}

#[test]
fn a_record_needs_its_order_connector_and_registers_and_nothing_else() {
    type Expected = fn(&Record) -> bool;
    let cases: Vec<(&str, Value, Expected)> = vec![
        ("start_ts", json!("1970-01-01T00:00:12+08:00"), |r| r.start_ts.is_none()),
        ("stop_ts", json!(1_772_323_200), |r| r.stop_ts.is_none()),
        ("start_mono_ms", json!(-1), |r| {
            r.start_mono_ms == 0 && r.uptime().is_none()
        }),
        ("stop_mono_ms", json!("x"), |r| r.stop_mono_ms == 0),
        ("reason", json!(7), |r| r.reason.code == 255 && r.reason.text.is_empty()),
        ("reason.code", json!(-1), |r| {
            r.reason.code == 255 && r.reason.text == "full"
        }),
        ("reason.code", json!(70_000), |r| {
            r.reason.meaning() == StopCode::Other && r.reason.is_abnormal()
        }),
        ("reason.text", json!(["full"]), |r| {
            r.reason.code == 7 && r.reason.text.is_empty()
        }),
        ("reason.text", json!("充".repeat(201)), |r| {
            r.reason.text == "充".repeat(200)
        }),
        ("offline", json!("yes"), |r| !r.offline),
        ("soc_start", json!("x"), |r| r.soc_start.is_none()),
        ("soc_stop", json!(79.5), |r| r.soc_stop.is_none()),
        ("soc_stop", json!(255), |r| {
            r.soc_stop.is_none() && r.soc_start == Some(42)
        }),
        ("soc_stop", json!(101), |r| r.soc_stop.is_none()),
        ("samples", json!({}), |r| r.samples.is_empty()),
        ("samples[0]", Value::Null, |r| r.samples.len() == 1),
        ("samples[0].ts", json!("1970-01-01T00:00:12+08:00"), |r| {
            r.samples.len() == 2 && r.samples[0].ts.is_none()
        }),
        ("periods", json!({ "peak_kwh": "NaN" }), |r| r.periods.is_none()),
        ("card_id", json!("卡"), |r| r.card_id.is_none()),
        ("signed", json!("OCMF|{}"), |r| r.signed.is_none()),
        ("session_boot_id", json!("a b"), |r| r.session_boot_id.is_none()),
    ];
    for (path, value, expected) in cases {
        let mut message = record();
        put(&mut message, path, value.clone());
        let read = read(UpKind::Record, &message).unwrap_or_else(|fault| panic!("{path} = {value}: {fault}"));
        assert!(expected(record_of(&read)), "{path} = {value}: {read:?}");
        assert_eq!(unread(&read), [path], "{value}");
        let unread = read.unread.unwrap();
        let [field] = &unread.fields[..] else {
            panic!("one field, not {unread:?}")
        };
        assert_eq!((unread.dropped, &field.raw), (1, &Raw::Text(value.to_string())));
        assert_eq!(field.cut_from, None);
    }
    for path in ["samples[1].mono_ms", "samples[1].meter_kwh"] {
        let mut message = record();
        put(&mut message, path, json!(-1));
        let read = read(UpKind::Record, &message).unwrap();
        assert_eq!((unread(&read), record_of(&read).samples.len()), (vec!["samples[1]"], 1));
    }
}

#[test]
fn what_says_nothing_is_not_counted_as_unreadable() {
    let mut message = record();
    for field in [
        "offline",
        "samples",
        "reason",
        "periods",
        "signed",
        "soc_stop",
        "ts",
        "start_mono_ms",
    ] {
        message[field] = Value::Null;
    }
    message["card_id"] = json!("");
    let read_record = read(UpKind::Record, &message).unwrap();
    assert_eq!(read_record.unread, None);
    let record = record_of(&read_record);
    assert_eq!(
        (record.offline, record.samples.len(), record.card_id.as_ref()),
        (false, 0, None)
    );
    assert_eq!(record.reason.code, 255);

    let reply = json!({ "command_id": "o1:start:1", "ok": true, "message": null, "code": null });
    let reply = read(UpKind::Reply, &with(common(), reply)).unwrap();
    assert_eq!(reply.unread, None);
    assert!(matches!(reply.body, Up::Reply(Reply { ok: true, code: 0, .. })));
}

#[test]
fn more_samples_than_are_read_are_counted_and_the_first_ones_kept() {
    let mut message = record();
    let sample = |n: usize| json!({ "ts": null, "mono_ms": n + 1, "meter_kwh": "1236" });
    message["samples"] = (0..SAMPLES_MAX + 7).map(sample).collect();
    let read = read(UpKind::Record, &message).unwrap();
    let samples = &record_of(&read).samples;
    assert_eq!((samples.len(), samples[SAMPLES_MAX - 1].mono_ms), (SAMPLES_MAX, 500));
    assert_eq!(
        (unread(&read), read.unread.as_ref().unwrap().dropped),
        (vec!["samples[500]"], 7)
    );
}

#[test]
fn the_names_of_unreadable_fields_are_bounded_and_their_number_is_not() {
    let mut message = record();
    message["samples"] = (0..100).map(|_| json!("x")).collect();
    let unread = read(UpKind::Record, &message).unwrap().unread.unwrap();
    assert_eq!((unread.fields.len(), unread.dropped), (UNREAD_FIELDS_MAX, 100));
}

#[test]
fn a_reset_clock_leaves_any_message_readable_without_its_time() {
    let bodies = [
        (
            UpKind::Boot,
            json!({ "vendor": "v", "model": "m", "firmware": "1", "connectors": [] }),
        ),
        (UpKind::Heartbeat, json!({ "connectors": [] })),
        (UpKind::Reply, json!({ "command_id": "c", "ok": true })),
        (UpKind::Record, record()),
        (UpKind::Event, json!({ "connector": 1, "kind": "plugged" })),
        (UpKind::Card, json!({ "connector": 1, "card_id": "04:a3:5b" })),
    ];
    for (kind, body) in bodies {
        let times = [
            json!("1970-01-01T00:00:12+08:00"),
            json!("2201-01-01T00:00:00Z"),
            json!(0),
            json!("now"),
        ];
        for ts in times {
            let message = with(body.clone(), with(common(), json!({ "ts": ts })));
            let read = read(kind, &message).unwrap_or_else(|fault| panic!("{kind:?} {ts}: {fault}"));
            assert_eq!((read.common.ts, unread(&read)), (None, vec!["ts"]), "{kind:?} {ts}");
        }
        for field in ["seq", "mono_ms"] {
            let message = with(body.clone(), with(common(), json!({ field: -1 })));
            match read(kind, &message) {
                Err(fault) => assert_eq!(
                    (kind, fault.path.as_str()),
                    (UpKind::Heartbeat, field),
                    "it decides order"
                ),
                Ok(read) => assert_eq!((unread(&read), read.common.boot_id.as_str()), (vec![field], "b1")),
            }
        }
    }
}

fn boot(connector: Value) -> Result<(Boot, Vec<String>), Malformed> {
    let body = json!({ "vendor": "v", "model": "m", "firmware": "1", "connectors": [connector] });
    let read = read(UpKind::Boot, &with(common(), body))?;
    let fields = unread(&read).into_iter().map(str::to_owned).collect();
    match read.body {
        Up::Boot(boot) => Ok((boot, fields)),
        other => panic!("a boot, not {other:?}"),
    }
}

#[test]
fn a_boot_needs_its_connectors_and_their_registers() {
    let connector = json!({ "no": 1, "max_kw": "7", "meter_kwh": "1", "order_id": "o1" });
    for order in [json!(""), Value::Null] {
        let (read, unread) = boot(with(connector.clone(), json!({ "order_id": order }))).unwrap();
        assert_eq!(
            (&read.connectors[0].order_id, unread.len()),
            (&None, 0),
            "it is in no session"
        );
    }
    let odd = with(connector.clone(), json!({ "order_id": "an order", "max_kw": "7 kW" }));
    let (odd, unread) = boot(odd).unwrap();
    assert_eq!(odd.connectors[0].order_id, None);
    assert_eq!((odd.connectors[0].max_kw, odd.fault()), (None, None), "unknown");
    assert_eq!(unread, ["connectors[0].max_kw", "connectors[0].order_id"]);
    for (field, value) in [("no", json!(0)), ("no", json!("1")), ("meter_kwh", json!("-1"))] {
        let error = boot(with(connector.clone(), json!({ field: value }))).unwrap_err();
        assert_eq!(error.path, format!("connectors[0].{field}"));
    }
    let bare = json!({ "connectors": [{ "no": 1, "meter_kwh": "1" }] });
    assert_eq!(
        read_up(UpKind::Boot, with(common(), bare).to_string().as_bytes())
            .unwrap()
            .unread,
        None
    );
    let many: Value = (0..=CONNECTORS_MAX).map(|_| connector.clone()).collect();
    let many = with(
        common(),
        json!({ "vendor": "v", "model": "m", "firmware": "1", "connectors": many }),
    );
    assert_eq!(read(UpKind::Boot, &many).unwrap_err().path, "connectors");
}

#[test]
fn a_boot_that_cannot_be_meant_says_what_to_do() {
    let of_power = |power: &str| {
        let (boot, unread) = boot(json!({ "no": 1, "max_kw": power, "meter_kwh": "1" })).unwrap();
        assert!(unread.is_empty());
        boot.fault()
    };
    assert_eq!((of_power("7"), of_power("4000")), (None, None));
    let watts = of_power("7000").unwrap();
    assert!(
        watts.contains("connectors[0].max_kw") && watts.contains("write it in kW, not in W"),
        "{watts}"
    );
    for power in ["0", "-7"] {
        assert!(of_power(power).unwrap().contains("not above zero"), "{power}");
    }
    let (mut twice, _) = boot(json!({ "no": 3, "max_kw": "7", "meter_kwh": "1" })).unwrap();
    twice.connectors.push(twice.connectors[0].clone());
    assert_eq!(
        twice.fault().unwrap(),
        "connectors[1].no: connector 3 is listed twice; list each connector once"
    );
}

#[test]
fn a_stored_boot_of_an_earlier_version_is_read() {
    let stored = r#"{"no":1,"max_kw":"7.000","meter_kwh":"1.0000","order_id":null}"#;
    let connector: BootConnector = serde_json::from_str(stored).unwrap();
    assert_eq!(connector.max_kw, Some(Power(7_000)));
    assert_eq!(serde_json::to_string(&connector).unwrap(), stored);
}

fn report(fields: Value) -> Result<(ConnectorReport, Vec<String>), Malformed> {
    let connector = json!({ "no": 1, "status": "charging", "order_id": "o1", "voltage_v": 230, "current_a": 30.5,
        "soc_pct": 47, "temp_c": 35, "meter_kwh": "1", "faults": [] });
    let body = json!({ "connectors": [with(connector, fields)] });
    let read = read(UpKind::Heartbeat, &with(common(), body))?;
    let fields = unread(&read).into_iter().map(str::to_owned).collect();
    match read.body {
        Up::Heartbeat(heartbeat) => Ok((heartbeat.connectors[0].clone(), fields)),
        other => panic!("a heartbeat, not {other:?}"),
    }
}

#[test]
fn what_a_connector_cannot_measure_is_unknown() {
    let impossible = [
        (
            "soc_pct",
            vec![json!(65_535), json!(255), json!(101), json!(-1), json!("47")],
        ),
        ("voltage_v", vec![json!(-1), json!(2_001), json!("230"), json!([])]),
        ("current_a", vec![json!(5_001), json!(-5_001), json!("x")]),
        ("temp_c", vec![json!(-61), json!(201), json!({})]),
        ("order_id", vec![json!("an order"), json!(7)]),
        ("faults", vec![json!("hot"), json!(0)]),
    ];
    for (field, values) in impossible {
        for value in values {
            let (read, unread) = report(json!({ field: value })).unwrap();
            assert_eq!(unread, [format!("connectors[0].{field}")], "{value}");
            let written = serde_json::to_value(&read).unwrap();
            assert!(
                written[field].is_null() || written[field] == json!([]),
                "{field}: {written}"
            );
            assert_eq!(read.meter_kwh, Energy(10_000));
            assert_eq!(read.watts().is_none(), ["voltage_v", "current_a"].contains(&field));
        }
    }
    let edges = json!({ "soc_pct": 100, "voltage_v": 0, "current_a": -5_000, "temp_c": -60, "order_id": "" });
    let (read, unread) = report(edges).unwrap();
    assert!(unread.is_empty(), "{unread:?}");
    assert_eq!(
        (read.soc_pct, read.current_a, read.order_id),
        (Some(100.0), Some(-5_000.0), None)
    );
    for (field, value) in [
        ("no", json!(null)),
        ("status", json!("busy")),
        ("meter_kwh", json!("x")),
    ] {
        let path = format!("connectors[0].{field}");
        assert_eq!(report(json!({ field: value })).unwrap_err().path, path);
    }
}

#[test]
fn a_fault_that_is_a_number_is_a_fault() {
    let (read, unread) = report(json!({ "faults": [17, "hot", null, "x".repeat(300)] })).unwrap();
    assert_eq!(
        read.faults,
        ["17".to_owned(), "hot".to_owned(), "x".repeat(TEXT_CHARS_MAX)]
    );
    let path = |i: usize| format!("connectors[0].faults[{i}]");
    assert_eq!(unread, [path(0), path(2), path(3)]);
    let many: Value = (0..FAULTS_MAX + 2).map(|_| "hot").collect();
    let (read, unread) = report(json!({ "faults": many })).unwrap();
    assert_eq!((read.faults.len(), unread), (FAULTS_MAX, vec![path(FAULTS_MAX)]));
}

#[test]
fn a_reply_may_say_where_the_register_stands() {
    let reply = |meter: Value| {
        let body = json!({ "command_id": "o1:start:1", "ok": true, "meter_kwh": meter, "code": 1.5 });
        match read(UpKind::Reply, &with(common(), body)).unwrap().body {
            Up::Reply(reply) => (reply.meter_kwh, reply.code),
            other => panic!("a reply, not {other:?}"),
        }
    };
    assert_eq!(reply(json!("1234.5")), (Some(Energy(12_345_000)), 0));
    assert_eq!((reply(json!("-1")).0, reply(json!("x")).0), (None, None));
}

#[test]
fn texts_in_another_encoding_lose_their_characters_and_nothing_else() {
    let mut message = record();
    message["reason"]["text"] = json!("GBK");
    let mut bytes = message.to_string().into_bytes();
    let at = bytes.windows(3).position(|part| part == b"GBK").unwrap();
    bytes.splice(at..at + 3, [0xb3, 0xe4, 0xc2, 0xfa]);
    let read = read_up(UpKind::Record, &bytes).unwrap();
    assert_eq!(
        (unread(&read), record_of(&read).energy()),
        (vec!["reason.text"], Energy(54_322))
    );
    let kept = &read.unread.unwrap().fields[0].raw;
    assert_eq!(*kept, Raw::of(b"\"\xb3\xe4\xc2\xfa\""), "the pile's own bytes");
    assert!(matches!(kept, Raw::Bytes { .. }));
}

#[test]
fn a_replacement_character_that_the_pile_wrote_is_no_lost_one() {
    let mut message = record();
    message["reason"]["text"] = json!("\u{FFFD}");
    assert_eq!(unread(&read(UpKind::Record, &message).unwrap()), [""; 0]);
    // Nor where another field sends the message to the other reader.
    message["soc_stop"] = json!(101);
    assert_eq!(unread(&read(UpKind::Record, &message).unwrap()), ["soc_stop"]);
}

#[test]
fn unreadable_fields_keep_their_own_bytes_wherever_others_are_in_another_encoding() {
    let mut bytes = br#"{"boot_id":"b1","msg_id":"m1","order_id":"o1","connector":1,"meter_start_kwh":"1","#.to_vec();
    bytes.extend(
        b"\"meter_stop_kwh\":\"2\",\"x\":\"\xb3\xe4\xff\",\"periods\":\"\xfa\",\"signed\": [7, \"\xe5\x85\"] ,",
    );
    bytes.extend(b"\"reason\":{\"text\":\"\xb3\xe4 \xff\"},\"soc_stop\":79.5,\"soc_stop\":80}");
    let unread = read_up(UpKind::Record, &bytes).unwrap().unread.unwrap();
    let kept: Vec<(&str, &Raw)> = unread
        .fields
        .iter()
        .map(|field| (field.path.as_str(), &field.raw))
        .collect();
    let expected: [(&str, &[u8]); 4] = [
        ("reason.text", b"\"\xb3\xe4 \xff\""),
        // Written twice: the first of them.
        ("soc_stop", b"79.5"),
        ("periods", b"\"\xfa\""),
        ("signed", b"[7, \"\xe5\x85\"]"),
    ];
    let expected = expected.map(|(path, written)| (path, Raw::of(written)));
    assert_eq!(kept, expected.each_ref().map(|(path, raw)| (*path, raw)));
}

#[test]
fn what_is_kept_of_unreadable_fields_is_bounded_and_says_what_it_was_cut_from() {
    let mut message = record();
    let long = "充".repeat(UNREAD_FIELD_BYTES_MAX);
    let number = u32::try_from(long.len() + 2).unwrap();
    (message["periods"], message["signed"], message["card_id"]) = (json!(long), json!(long), json!(long));
    message["soc_stop"] = json!(79.5);
    let unread = read(UpKind::Record, &message).unwrap().unread.unwrap();
    assert_eq!((unread.dropped, unread.fields.len()), (4, 4));
    for field in &unread.fields {
        let Raw::Text(text) = &field.raw else {
            panic!("cut between characters: {field:?}")
        };
        let is_short = field.path == "soc_stop";
        assert_eq!(field.cut_from, (!is_short).then_some(number), "{}", field.path);
        assert!(text.len() <= UNREAD_FIELD_BYTES_MAX && message[&field.path].to_string().starts_with(text));
    }
    let kept: usize = unread.fields.iter().map(|field| field.raw.content().len()).sum();
    assert!((UNREAD_BYTES_MAX - 4..=UNREAD_BYTES_MAX).contains(&kept), "{kept}");
}

#[test]
fn a_fault_in_a_message_is_named_by_its_path() {
    for field in [
        "boot_id",
        "msg_id",
        "order_id",
        "connector",
        "meter_start_kwh",
        "meter_stop_kwh",
    ] {
        let mut message = record();
        message.as_object_mut().unwrap().remove(field);
        let error = read(UpKind::Record, &message).unwrap_err();
        assert_eq!(
            (error.path.as_str(), error.detail),
            (field, format!("missing field `{field}`"))
        );
    }
    let negative = with(record(), json!({ "meter_stop_kwh": "-1" }));
    let error = read(UpKind::Record, &negative).unwrap_err();
    assert_eq!(error.to_string(), "meter_stop_kwh: a register is never negative");
    assert_eq!(
        (
            error.order_id.unwrap().as_str(),
            error.connector,
            error.msg_id.unwrap().as_str()
        ),
        ("o1", Some(ConnectorNo(1)), "m1"),
        "it stands in the log of its order"
    );
    for junk in ["", "{", "[]", "null", "\u{0}", "{\"a\":NaN}", "\"x\""] {
        let error = read_up(UpKind::Heartbeat, junk.as_bytes()).unwrap_err();
        assert_eq!(error.path, ".", "{junk}");
    }
    let twice = record().to_string().replacen('{', "{\"meter_stop_kwh\":\"9\",", 1);
    assert_eq!(
        read_up(UpKind::Record, twice.as_bytes()).unwrap_err().to_string(),
        "meter_stop_kwh: duplicate field `meter_stop_kwh`"
    );
    let long = with(record(), json!({ "vin": "x".repeat(PAYLOAD_BYTES_MAX) }));
    let error = read(UpKind::Record, &long).unwrap_err();
    assert!(
        error.detail.contains("longer than") && error.msg_id.is_some(),
        "{error}"
    );
}

#[test]
fn what_stands_before_a_break_in_the_json_tells_whose_message_it_is() {
    let broken = r#"{"boot_id":"b1","msg_id":"m1","order_id":"o1","connector":0,"soc_stop":nan,"seq":1}"#;
    let error = read_up(UpKind::Record, broken.as_bytes()).unwrap_err();
    assert_eq!(error.path, ".");
    assert_eq!(
        (
            error.boot_id.unwrap().as_str(),
            error.msg_id.unwrap().as_str(),
            error.order_id.unwrap().as_str()
        ),
        ("b1", "m1", "o1")
    );
    assert_eq!(error.connector, None, "there is no connector 0");
}

/// Any JSON, of the sort that piles write by mistake.
#[test]
fn what_stands_behind_the_object_makes_a_message_malformed() {
    let event = with(
        common(),
        json!({ "connector": 1, "kind": "plugged", "code": 0, "text": "" }),
    )
    .to_string();
    let lenient = with(
        common(),
        json!({ "connector": 1, "kind": "plugged", "code": "?", "text": "" }),
    )
    .to_string();
    for said in [&event, &lenient] {
        assert!(read_up(UpKind::Event, said.as_bytes()).is_ok(), "{said}");
        for behind in [&event, "}", "x", ",", "\0\0", "\0 x", " \0\0"] {
            let two = format!("{said}{behind}");
            let fault = read_up(UpKind::Event, two.as_bytes()).expect_err(&two);
            assert_eq!(
                (fault.path.as_str(), fault.connector),
                (".", Some(ConnectorNo(1))),
                "{two}"
            );
        }
        for harmless in [" ", "\n", "\r\n", "\0", "\n\0"] {
            let ended = format!("{said}{harmless}");
            let message = read_up(UpKind::Event, ended.as_bytes()).unwrap_or_else(|fault| panic!("{ended:?}: {fault}"));
            assert_eq!(message.body, read_up(UpKind::Event, said.as_bytes()).unwrap().body);
        }
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "[a-zA-Z0-9 :._-]{0,40}",
        any::<String>(),
        Just("\u{FFFD}".to_owned()),
        (-10_000..10_000_000_i64).prop_map(|n| format!("{}.{:04}", n / 10_000, (n % 10_000).abs())),
        Just("1970-01-01T00:00:12+08:00".to_owned()),
        Just("x".repeat(TEXT_CHARS_MAX + 1)),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0..300_u64).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::hash_map("[a-z_]{0,6}", inner, 0..4).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

/// Whether `value` is what the contract has for the field, or says nothing.
fn is_readable<T: serde::de::DeserializeOwned>(value: &Value, is_possible: impl Fn(&T) -> bool) -> bool {
    value.is_null() || serde_json::from_str(&value.to_string()).is_ok_and(|read| is_possible(&read))
}

fn is_any<T: serde::de::DeserializeOwned>(value: &Value) -> bool {
    is_readable::<T>(value, |_| true)
}

type Judge = fn(&Value) -> bool;

/// Every field of a record that may be anything, and what can be read of it.
const OPTIONAL: [(&str, Judge); 20] = [
    ("seq", is_any::<u64>),
    ("mono_ms", is_any::<u64>),
    ("ts", is_any::<Wall>),
    ("start_ts", is_any::<Wall>),
    ("stop_ts", is_any::<Wall>),
    ("start_mono_ms", is_any::<u64>),
    ("stop_mono_ms", is_any::<u64>),
    ("reason.code", is_any::<u16>),
    ("reason.text", |value| {
        is_readable::<String>(value, |text| text.chars().count() <= TEXT_CHARS_MAX)
    }),
    ("offline", is_any::<bool>),
    ("soc_start", |value| is_readable::<u8>(value, |soc| *soc <= 100)),
    ("soc_stop", |value| is_readable::<u8>(value, |soc| *soc <= 100)),
    ("samples[0]", |value| {
        !value.is_null() && is_readable::<Nested<BufferedSample>>(value, |_| true)
    }),
    ("samples[0].ts", is_any::<Wall>),
    ("periods", is_any::<Nested<Periods>>),
    ("card_id", |value| *value == "" || is_any::<crate::ids::CardId>(value)),
    ("signed", is_any::<Nested<Signed>>),
    ("reason", |value| {
        is_any::<Nested<StopReason>>(value) || value.is_object()
    }),
    ("samples", |value| {
        is_any::<Vec<Nested<BufferedSample>>>(value) || value.is_array()
    }),
    ("vin", |_| true),
];

const REQUIRED: [&str; 6] = [
    "boot_id",
    "msg_id",
    "order_id",
    "connector",
    "meter_start_kwh",
    "meter_stop_kwh",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_an_optional_field_of_a_record_says_the_money_fields_are_read(
        field in 0..OPTIONAL.len(),
        value in any_json(),
    ) {
        let (path, is_readable) = OPTIONAL[field];
        let mut message = with(record(), json!({ "vin": "x" }));
        put(&mut message, path, value.clone());
        let read_message = read(UpKind::Record, &message).expect(path);
        let record = record_of(&read_message);
        prop_assert_eq!(
            (record.order_id.as_str(), record.connector, record.meter_start_kwh, record.meter_stop_kwh),
            ("o1", ConnectorNo(1), Energy(12_345_678), Energy(12_400_000))
        );
        let named = unread(&read_message).iter().any(|field| field.starts_with(path));
        if path == "reason" || path == "samples" {
            // Judged as a whole here, and part by part above.
            prop_assert!(named || is_readable(&value), "{} = {}", path, value);
        } else {
            prop_assert_eq!(named, !is_readable(&value), "{} = {}", path, value);
        }
        // What is kept of it is what the contract allows: it reads again, strictly and as the same.
        let written = with(common(), serde_json::to_value(record).unwrap());
        let again = read(UpKind::Record, &written).unwrap();
        prop_assert_eq!(record_of(&again), record);
        prop_assert_eq!(again.unread, None);
    }

    #[test]
    fn whatever_a_required_field_of_a_record_says_it_is_read_or_named(
        field in 0..REQUIRED.len(),
        value in any_json(),
    ) {
        let path = REQUIRED[field];
        let mut message = record();
        put(&mut message, path, value.clone());
        match read(UpKind::Record, &message) {
            Ok(read) => prop_assert_eq!(read.unread, None),
            Err(fault) => {
                prop_assert_eq!(fault.path.as_str(), path);
                prop_assert!(fault.detail.chars().count() <= TEXT_CHARS_MAX);
                prop_assert_eq!(fault.order_id.is_some(), path != "order_id");
                prop_assert_eq!(fault.msg_id.is_some(), path != "msg_id");
            }
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(mut bytes in proptest::collection::vec(any::<u8>(), 0..80), at in 0..400_usize) {
        for kind in UpKind::ALL.iter().copied() {
            let _ = read_up(kind, &bytes);
        }
        let mut message = record().to_string().into_bytes();
        message.splice(at..at, bytes.drain(..));
        let _ = read_up(UpKind::Record, &message);
    }
}

#[test]
fn a_command_carries_only_what_its_kind_needs() {
    let stop = CommandMessage {
        command_id: CommandId::new("o1:stop:1").unwrap(),
        kind: CommandKind::Stop,
        ttl_ms: 60_000,
        order_id: OrderId::new("o1").unwrap(),
        connector: ConnectorNo(1),
        limit_fee: None,
        limit_kwh: None,
        prices: Vec::new(),
    };
    let json = String::from_utf8(Down::Command(stop).to_json()).unwrap();
    assert_eq!(
        json,
        r#"{"command_id":"o1:stop:1","kind":"stop","ttl_ms":60000,"order_id":"o1","connector":1}"#
    );
}

#[test]
fn a_connector_that_cannot_be_read_is_dropped_alone() {
    let connector = |no: u64, fields: Value| {
        let whole = json!({ "no": no, "status": "idle", "meter_kwh": "1000.0000", "faults": [], "max_kw": "7" });
        with(whole, fields)
    };
    let wrong = [
        (json!({ "status": "sleeping" }), "connectors[1].status"),
        (json!({ "meter_kwh": "lots" }), "connectors[1].meter_kwh"),
        (json!({ "no": 0 }), "connectors[1].no"),
    ];
    for (fields, path) in wrong {
        let list =
            json!({ "connectors": [connector(1, json!({})), connector(2, fields.clone()), connector(3, json!({}))] });
        let message = read(UpKind::Heartbeat, &with(common(), list.clone())).unwrap();
        let Up::Heartbeat(heartbeat) = &message.body else {
            panic!("{message:?}")
        };
        let read_of: Vec<u16> = heartbeat.connectors.iter().map(|report| report.no.0.into()).collect();
        assert_eq!((read_of, unread(&message)), (vec![1, 3], vec![path]));
        if path.ends_with("status") {
            continue;
        }
        let message = read(UpKind::Boot, &with(common(), list)).unwrap();
        let Up::Boot(boot) = &message.body else {
            panic!("{message:?}")
        };
        assert_eq!((boot.connectors.len(), unread(&message)), (2, vec![path]));
    }
    let list = json!({ "connectors": [connector(1, json!({})), 7] });
    let message = read(UpKind::Heartbeat, &with(common(), list)).unwrap();
    assert_eq!(unread(&message), ["connectors[1]"]);
    let none = json!({ "connectors": [connector(1, json!({ "meter_kwh": null }))] });
    assert!(
        read(UpKind::Heartbeat, &with(common(), none)).is_err(),
        "where none can be read the whole cannot"
    );
}
