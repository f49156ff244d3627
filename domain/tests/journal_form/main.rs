//! The form of the journal is a contract: what is written is what the golden files say, to the byte; what was written once
//! is read; and `docs/journal.md` describes each field of it.

#![allow(clippy::unwrap_used, reason = "what a test cannot go on without fails it")]

mod document;

use document::{Document, Met, Shape, object_at};
use domain::{
    fact::Fact,
    journal::{Entry, Hash, Head, NotReadable, Stamp, Written},
    time::{Mono, Wall},
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("facts").join(name)
}

/// The golden lines by kind of fact.
fn golden(of: &str) -> BTreeMap<String, Vec<String>> {
    let files = fs::read_dir(folder(of)).unwrap().map(|file| file.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|end| end == "jsonl"));
    let lines = files.map(|path| {
        let kind = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.ends_with('\n'), "{} ends with its last line", path.display());
        (kind, text.lines().map(str::to_owned).collect())
    });
    lines.collect()
}

fn document() -> Document {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/journal.md");
    Document::read(&fs::read_to_string(path).unwrap())
}

fn body(line: &str) -> Value {
    let fact: Value = serde_json::from_str(line).unwrap();
    fact.as_object().unwrap().values().next().unwrap().clone()
}

/// As a fact of this kind.
fn read(kind: &str, body: Value) -> Result<Fact, serde_json::Error> {
    serde_json::from_value(json!({ kind: body }))
}

fn entry_of(fact: Value) -> Vec<u8> {
    let entry = json!({ "site": "S1", "epoch": "e", "stamp": { "seq": 1, "at": "2026-03-01T00:00:00Z", "mono": 5 },
        "fact": fact });
    serde_json::to_vec(&entry).unwrap()
}

#[test]
fn every_kind_of_fact_has_golden_lines_and_nothing_else_has() {
    let files: BTreeSet<String> = golden("").into_keys().collect();
    let kinds: BTreeSet<String> = Fact::KINDS.iter().map(|kind| (*kind).to_owned()).collect();
    assert_eq!(files, kinds);
}

#[test]
fn a_fact_is_written_to_the_byte_as_its_golden_line_says() {
    for (kind, lines) in golden("") {
        for line in lines {
            let fact: Fact = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
            assert_eq!(serde_json::to_string(&fact).unwrap(), line);
            assert_eq!(fact.kind(), kind);
            let stamp = Stamp {
                seq: 7,
                at: Wall::parse("2026-03-01T00:00:00Z").unwrap(),
                mono: Mono(5),
            };
            let bytes = Entry::bytes_of(&"S1".parse().unwrap(), "e", stamp, &fact);
            let around = r#"{"site":"S1","epoch":"e","stamp":{"seq":7,"at":"2026-03-01T00:00:00Z","mono":5},"fact":"#;
            assert_eq!(String::from_utf8(bytes.clone()).unwrap(), format!("{around}{line}}}"));
            assert_eq!(Entry::from_bytes(&bytes).unwrap().fact, fact);
        }
    }
}

#[test]
fn what_earlier_versions_wrote_is_read() {
    for (kind, lines) in golden("earlier") {
        for line in lines {
            let fact: Fact = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
            assert_eq!(fact.kind(), kind);
            assert_ne!(
                serde_json::to_string(&fact).unwrap(),
                line,
                "it is written otherwise now"
            );
        }
    }
}

#[test]
fn the_document_describes_every_field_of_every_golden_line_and_no_other() {
    let document = document();
    let mut met: BTreeSet<Met> = BTreeSet::new();
    for (kind, lines) in golden("").into_iter().chain(golden("earlier")) {
        for line in lines {
            let checked = document.check(&kind, &body(&line), &mut met);
            checked.unwrap_or_else(|wrong| panic!("{wrong}\n{line}"));
        }
    }
    let entry: Value = serde_json::from_slice(&entry_of(json!(null))).unwrap();
    document.check("Stamp", &entry["stamp"], &mut met).unwrap();
    let Shape::Fields(of_entry) = &document.shapes["Entry"] else {
        panic!("an entry has fields")
    };
    let keys: BTreeSet<&str> = of_entry.iter().map(|field| field.name.as_str()).collect();
    assert_eq!(keys, entry.as_object().unwrap().keys().map(String::as_str).collect());

    let mut missing = Vec::new();
    for table in document.shapes.keys().filter(|table| *table != "Entry") {
        for (field, must_be_left_out_too) in document.described(table) {
            let without = Met {
                there: false,
                ..field.clone()
            };
            if !met.contains(&field) {
                missing.push(format!("no golden line has {}.{}", field.table, field.field));
            }
            if must_be_left_out_too && !met.contains(&without) {
                missing.push(format!("no golden line is without {}.{}", field.table, field.field));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn a_field_that_need_not_be_there_is_described_so() {
    let document = document();
    let mut wrong = BTreeSet::new();
    for (kind, lines) in golden("") {
        for line in lines {
            let whole = body(&line);
            for path in document.objects(&kind, &whole) {
                let mut copy = whole.clone();
                let keys: Vec<String> = object_at(&mut copy, &path).keys().cloned().collect();
                for key in keys {
                    let mut without = whole.clone();
                    object_at(&mut without, &path).remove(&key);
                    let mut null = whole.clone();
                    object_at(&mut null, &path).insert(key.clone(), Value::Null);
                    let is_described = [&without, &null]
                        .iter()
                        .any(|body| document.check(&kind, body, &mut BTreeSet::new()).is_ok());
                    let is_read = read(&kind, without).is_ok() || read(&kind, null).is_ok();
                    if is_read && !is_described && !document.reads_where_absent(&kind, &path, &key) {
                        wrong.insert(format!("{kind} {path:?} {key}"));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_field_that_is_not_known_is_passed_over() {
    let document = document();
    let mut objects = 0;
    for (kind, lines) in golden("") {
        for line in lines {
            let fact: Fact = serde_json::from_str(&line).unwrap();
            let whole = body(&line);
            for path in document.objects(&kind, &whole) {
                let mut newer = whole.clone();
                object_at(&mut newer, &path).insert("from_a_newer_program".to_owned(), json!({ "a": [1] }));
                let read = read(&kind, newer).unwrap_or_else(|error| panic!("{kind} {path:?}: {error}"));
                assert_eq!(read, fact, "{path:?}");
                objects += 1;
            }
        }
    }
    assert!(objects > 500, "{objects}");
}

#[test]
fn a_kind_that_is_not_known_stops_who_draws_conclusions_and_nobody_else() {
    let bytes = entry_of(json!({ "PileMelted": { "pile": "P1", "order": "o1", "degrees": 1085 } }));
    let stopped = Entry::from_bytes(&bytes).unwrap_err();
    let kind = "PileMelted".to_owned();
    assert_eq!(stopped, NotReadable::UnknownKind { seq: 1, kind });
    assert!(
        stopped
            .to_string()
            .contains("a newer one wrote it, so install that one"),
        "{stopped}"
    );

    let written = Written::from_bytes(&bytes).unwrap();
    assert_eq!(
        (written.fact.kind.as_str(), written.fact.body["degrees"].clone()),
        ("PileMelted", json!(1085))
    );
    assert_eq!(written.fact.pile(), Some("P1".parse().unwrap()));
    assert_eq!(written.fact.order(), Some("o1".parse().unwrap()));
    assert_eq!(Stamp::of_entry(&bytes).unwrap().seq, 1);

    let mut head = Head::START;
    head.follow(1, Hash::seal(&Hash::GENESIS, &bytes), &bytes).unwrap();
    assert_eq!(head.seq, 1);
}

#[test]
fn a_word_that_is_not_known_stops_likewise_and_what_is_no_entry_is_none() {
    let outlet = json!({ "pile": "P1", "connector": 1 });
    let event = json!({ "PileEvent": { "outlet": outlet, "kind": "melted", "code": 0, "text": "" } });
    let bytes = entry_of(event);
    let stopped = Entry::from_bytes(&bytes).unwrap_err();
    assert!(
        matches!(&stopped, NotReadable::UnknownWord { seq: 1, kind, .. } if kind == "PileEvent"),
        "{stopped}"
    );
    assert_eq!(
        Written::from_bytes(&bytes).unwrap().fact.pile(),
        Some("P1".parse().unwrap())
    );

    for none in [json!([]), json!({ "A": {}, "B": {} }), json!({ "A": 1 }), json!("A")] {
        let said = Entry::from_bytes(&entry_of(none.clone())).unwrap_err();
        assert!(matches!(said, NotReadable::NoEntry { .. }), "{none}: {said}");
    }
}
