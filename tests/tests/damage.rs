//! A database that is cut off, scribbled over, gone or no database at all: the daemon says so, says the way back, changes
//! nothing, and never starts empty in its place.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

use domain::units::Fen;
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
};
use world::{history, station::StationProcess};

/// A station with a history that was ended in good order, its database, and a backup beside it.
async fn ended(name: &str) -> (StationProcess, Vec<u8>, PathBuf) {
    let mut station = StationProcess::start(name, &history::setup()).await.unwrap();
    let _piles = history::play(&station).await.unwrap();
    let backup = station.database().with_file_name("backup.redb");
    station.cli(&["backup", backup.to_str().unwrap()]).unwrap();
    assert!(station.terminate().await.unwrap());
    let good = fs::read(station.database()).unwrap();
    (station, good, backup)
}

/// What lies in the folder of the database, and how long it is.
fn folder(station: &StationProcess) -> Vec<(PathBuf, u64)> {
    let files = fs::read_dir(station.database().parent().unwrap()).unwrap();
    let about = |path: PathBuf| (path.clone(), path.metadata().unwrap().len());
    let mut files: Vec<_> = files.map(|file| about(file.unwrap().path())).collect();
    files.sort();
    files
}

/// The daemon refuses these bytes, says what to do, and leaves them and everything beside them as they are.
async fn is_refused(station: &mut StationProcess, how: &str, bytes: &[u8], backup: &Path) {
    fs::write(station.database(), bytes).unwrap();
    let before = folder(station);
    let said = station
        .refuses_to_start()
        .await
        .unwrap_or_else(|error| panic!("{how}: {error:#}"));
    for words in [
        station.database().to_str().unwrap(),
        "damaged",
        "Nothing was changed",
        "holdfast-edge restore --move-aside",
        backup.to_str().unwrap(),
    ] {
        assert!(said.contains(words), "{how}: no {words:?} in {said}");
    }
    assert!(
        fs::read(station.database()).unwrap() == bytes,
        "{how}: the file was changed"
    );
    assert_eq!(folder(station), before, "{how}");
}

/// The daemon refuses these bytes as above; or what is wrong lies where nothing is kept, and it says what it said before.
/// Returns whether it refused.
async fn is_refused_or_whole(
    station: &mut StationProcess,
    how: &str,
    bytes: &[u8],
    backup: &Path,
    told: &Value,
) -> bool {
    fs::write(station.database(), bytes).unwrap();
    if station.start_again().await.is_err() {
        is_refused(station, how, bytes, backup).await;
        return true;
    }
    let mut now = history::told(station).await.unwrap();
    now["journal"] = told["journal"].clone();
    assert_eq!(&now, told, "{how} was taken for what it is not");
    station.cli(&["journal", "verify"]).unwrap();
    station.kill().unwrap();
    false
}

#[tokio::test]
async fn a_database_that_was_cut_off_or_is_none_is_refused_and_the_printed_way_back_works() {
    let (mut station, good, backup) = ended("cut-off").await;
    let len = good.len();
    for kept in [0, 1, 8, 100, 4_095, 4_096, 8_192, len / 4, len / 2] {
        is_refused(&mut station, &format!("{kept} of {len} bytes"), &good[..kept], &backup).await;
    }
    // The last page may be one that nothing uses.
    fs::write(station.database(), &good).unwrap();
    station.start_again().await.unwrap();
    let told = history::told(&station).await.unwrap();
    station.kill().unwrap();
    for kept in [len - 4_096, len - 1] {
        let how = format!("{kept} of {len} bytes");
        is_refused_or_whole(&mut station, &how, &good[..kept], &backup, &told).await;
    }
    let zeros = vec![0; len];
    let mut scribbled = good.clone();
    scribbled[4_096..3 * 4_096].fill(0xAA);
    let texts = [
        ("zeros", &zeros[..]),
        ("scribbled over", &scribbled[..]),
        ("a text", b"site = \"test-site\"\n"),
        ("another program's", b"SQLite format 3\0\x10\0\x01\x01\0\x40\x20\x20"),
    ];
    for (how, bytes) in texts {
        is_refused(&mut station, how, bytes, &backup).await;
    }
    let config = station.config_path();
    let restore = [
        "restore",
        "--move-aside",
        backup.to_str().unwrap(),
        "--config",
        config.to_str().unwrap(),
    ];
    let said = station.offline(&restore).unwrap();
    let aside = said
        .lines()
        .find_map(|line| line.strip_prefix("the database that was there is now "));
    assert_eq!(fs::read(aside.unwrap()).unwrap(), texts[3].1, "{said}");
    station.start_again().await.unwrap();
    assert_eq!(station.books_total().await.unwrap(), Fen::ZERO);
    assert_eq!(station.all("/v1/orders").await.unwrap().len(), 6);
}

#[tokio::test]
async fn a_byte_that_flipped_keeps_the_daemon_from_starting_or_is_in_no_page_that_is_used() {
    let (mut station, good, backup) = ended("flipped").await;
    station.start_again().await.unwrap();
    let told = history::told(&station).await.unwrap();
    assert!(station.terminate().await.unwrap());
    let good = if fs::read(station.database()).unwrap().len() == good.len() {
        fs::read(station.database()).unwrap()
    } else {
        good
    };
    // Every page that holds a journal entry or an order has such a text; old versions of pages lie about too.
    let of_entries = |text: &[u8]| -> Vec<usize> {
        let found = good.windows(text.len()).enumerate();
        found.filter(|(_, window)| *window == text).map(|(at, _)| at).collect()
    };
    let mut places: Vec<usize> = (0..24).chain([64, 72, 128, 192]).collect();
    places.extend(of_entries(b"OrderPlaced"));
    places.extend(
        of_entries(b"\"REVIEW\"")
            .into_iter()
            .chain(of_entries(b"allowance:alice")),
    );
    let (mut refused, mut unused) = (0, 0);
    for at in places {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        let how = format!("byte {at}");
        match is_refused_or_whole(&mut station, &how, &bad, &backup, &told).await {
            true => refused += 1,
            false => unused += 1,
        }
    }
    println!("{refused} flips refused, {unused} in bytes that nothing uses");
    assert!(refused >= 10, "{refused} refused, {unused} unused");
}

#[tokio::test]
async fn where_a_station_was_none_is_begun_anew_until_a_person_says_so() {
    let (mut station, good, backup) = ended("gone").await;
    let database = station.database();
    fs::remove_file(&database).unwrap();
    let before = folder(&station);
    let said = station.refuses_to_start().await.unwrap();
    for words in [
        "is missing",
        "Is the right disk mounted?",
        "holdfast-edge restore",
        backup.to_str().unwrap(),
    ] {
        assert!(said.contains(words), "no {words:?} in {said}");
    }
    assert_eq!(folder(&station), before, "nothing was made in its place");

    // Somebody moved it to another name beside itself, and the mark away.
    let (mark, aside) = (
        database.with_added_extension("station"),
        database.with_added_extension("old"),
    );
    fs::remove_file(&mark).unwrap();
    fs::write(&aside, &good).unwrap();
    let said = station.refuses_to_start().await.unwrap();
    assert!(said.contains(aside.to_str().unwrap()), "{said}");

    fs::remove_file(&aside).unwrap();
    station.start_again().await.unwrap();
    assert!(station.all("/v1/orders").await.unwrap().is_empty(), "begun anew");
    assert!(mark.exists());
}
