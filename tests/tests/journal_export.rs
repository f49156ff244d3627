//! A real station's journal, exported, is checked by another program that shares no code with Holdfast: it is whole and its
//! books balance, and that program finds a changed byte, a missing entry, an end that was cut off, and money from nowhere.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

use domain::{
    fact::Fact,
    journal::{Entry, Hash, Head},
    units::Fen,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use world::{
    history,
    station::{StationProcess, repository},
};

/// What the other program says of a journal: that it is whole, or what is wrong.
fn judge(lines: &[Vec<u8>], folder: &Path, place: Option<&str>) -> Result<String, String> {
    let path = folder.join("judged.txt");
    let text: Vec<u8> = lines
        .iter()
        .flat_map(|line| [line.as_slice(), b"\n"].concat())
        .collect();
    fs::write(&path, text).unwrap();
    let mut python = Command::new("python3");
    python
        .arg(repository().join("tests/figures/journal.py"))
        .arg(&path)
        .args(place);
    let said = python.output().expect("python3 is there, as for figures.py");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap().trim().to_owned();
    match said.status.success() {
        true => Ok(text(&said.stdout)),
        false => Err(text(&said.stderr)),
    }
}

/// Number, hash and stored bytes of a line.
fn parts(line: &[u8]) -> (u64, Hash, &[u8]) {
    let mut parts = line.splitn(3, |byte| *byte == b' ');
    let mut word = || std::str::from_utf8(parts.next().unwrap()).unwrap();
    let (seq, hash) = (word().parse().unwrap(), word().parse().unwrap());
    (seq, hash, parts.next().unwrap_or_default())
}

/// The same journal with this entry changed, and everything after it sealed anew: only its content can tell.
fn forged(lines: &[Vec<u8>], at: usize, change: impl FnOnce(&mut Fact)) -> Vec<Vec<u8>> {
    let mut forged = lines[..at].to_vec();
    let (mut hash, mut change) = (parts(&lines[at - 1]).1, Some(change));
    for line in &lines[at..] {
        let (seq, _, bytes) = parts(line);
        let mut entry = Entry::from_bytes(bytes).unwrap();
        if let Some(change) = change.take() {
            change(&mut entry.fact);
        }
        let bytes = entry.to_bytes();
        hash = Hash::seal(&hash, &bytes);
        forged.push([format!("{seq} {hash} ").as_bytes(), &bytes].concat());
    }
    forged
}

async fn exported(station: &StationProcess) -> (Vec<Vec<u8>>, String, PathBuf) {
    let path = station.database().with_file_name("journal.txt");
    let said = station.cli(&["journal", "export", path.to_str().unwrap()]).unwrap();
    let head = said.trim().rsplit_once("head ").unwrap().1.to_owned();
    let text = fs::read(&path).unwrap();
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    (lines.map(<[u8]>::to_vec).collect(), head, path)
}

#[tokio::test]
async fn another_program_finds_a_real_stations_journal_whole_and_whatever_is_done_to_it() {
    let station = StationProcess::start("export", &history::setup()).await.unwrap();
    let _piles = history::play(&station).await.unwrap();
    let (lines, head, path) = exported(&station).await;
    let folder = path.parent().unwrap();
    assert!(lines.len() > 60, "{}", lines.len());

    let whole = judge(&lines, folder, Some(&head)).unwrap();
    assert!(whole.contains("all accounts come to 0"), "{whole}");
    // It comes to the same accounts as the station.
    let theirs: BTreeMap<String, String> = serde_json::from_str(whole.lines().nth(1).unwrap()).unwrap();
    let sheet = station
        .get("/v1/balance-sheet?detail=true")
        .await
        .unwrap()
        .success()
        .unwrap();
    let ours = sheet["accounts"].as_array().unwrap().iter().map(|account| {
        let word = |key: &str| account[key].as_str().unwrap().to_owned();
        (word("account"), word("balance"))
    });
    assert_eq!(theirs, ours.collect());

    // The file is not overwritten.
    let again = station
        .cli(&["journal", "export", path.to_str().unwrap()])
        .unwrap_err()
        .to_string();
    assert!(again.contains("must not be there yet"), "{again}");

    let finds = |lines: &[Vec<u8>], what: &str| {
        let said = judge(lines, folder, Some(&head)).unwrap_err();
        assert!(said.contains(what), "{said}");
    };
    // One byte, anywhere: in a few entries, and in a hash.
    for at in (1..lines.len()).step_by(9) {
        for byte in [lines[at].len() - 3, lines[at].len() / 2, 8] {
            let mut changed = lines.clone();
            changed[at][byte] ^= 1;
            finds(&changed, &format!("entry {at} is not what was sealed"));
        }
    }
    let mut without = lines.clone();
    without.remove(20);
    finds(&without, "entry 20 is missing");
    finds(&lines[..lines.len() - 5], "was there");
    // Whoever seals everything anew is found by the place that somebody wrote down, and by the money.
    let settled = (1..lines.len()).find(|at| {
        let entry = Entry::from_bytes(parts(&lines[*at]).2).unwrap();
        matches!(entry.fact, Fact::OrderSettled { .. })
    });
    let settled = settled.unwrap();
    let kinder = forged(&lines, settled, |fact| {
        let Fact::OrderSettled { payment, .. } = fact else {
            panic!("it is a settlement")
        };
        payment.release += Fen(100);
    });
    assert_ne!(parts(kinder.last().unwrap()).1, head.parse::<Head>().unwrap().hash);
    finds(&kinder, &format!("entry {settled} (OrderSettled)"));
    let back = forged(&lines, settled, |fact| {
        let Fact::OrderSettled { payment, .. } = fact else {
            panic!("it is a settlement")
        };
        payment.refund += Fen(1);
    });
    finds(&back, "no sale is taken back for it");
    let held = (1..lines.len()).find(|at| {
        let entry = Entry::from_bytes(parts(&lines[*at]).2).unwrap();
        matches!(entry.fact, Fact::HoldTaken { .. })
    });
    let more = forged(&lines, held.unwrap(), |fact| {
        let Fact::HoldTaken { amount, .. } = fact else {
            panic!("it is a hold")
        };
        *amount += Fen(1);
    });
    finds(&more, "its hold is not resolved");
}

#[tokio::test]
async fn the_feed_of_the_http_api_carries_the_same_bytes() {
    let station = StationProcess::start("export-feed", &history::setup()).await.unwrap();
    let _piles = history::play(&station).await.unwrap();
    let (lines, ..) = exported(&station).await;
    let page = station.get("/v1/journal?limit=1000").await.unwrap().success().unwrap();
    let entries = page["entries"].as_array().unwrap();
    assert_eq!(entries.len() + 1, lines.len());
    for (entry, line) in entries.iter().zip(&lines[1..]) {
        let (seq, hash, _) = parts(line);
        assert_eq!((&entry["seq"], &entry["hash"]), (&json!(seq), &json!(hash.to_string())));
    }
    assert_eq!(page["begins_after"]["seq"], Value::from(parts(&lines[0]).0));
}
