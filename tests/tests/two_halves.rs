//! A real station and head office, and the line between them: what one journals the other has, through a line that is cut, a
//! head office that starts again, and a station that is restored from a copy. The books of both sides are equal to the fen.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

#[path = "office/books.rs"]
mod books;
#[allow(dead_code, reason = "the tests of the store use more of it")]
#[path = "../../cloud-sync/central/tests/store/cluster.rs"]
mod cluster;

use books::{PATIENCE, books_are_equal, charge};
use central::store::{Db, Place};
use cluster::Cluster;
use serde_json::{Value, json};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use world::{
    hand::Hand,
    head_office::{AgentProcess, HeadOfficeProcess},
    history,
    relay::Relay,
    station::{SITE, StationProcess},
};

/// For how long PostgreSQL is gone.
const GONE: Duration = Duration::from_secs(70);

/// A station that has enrolled at head office, the program on its box, and head office's database, looked at from beside.
struct Both {
    station: StationProcess,
    agent: AgentProcess,
    head_office: HeadOfficeProcess,
    db: Db,
}

async fn set_up(name: &str) -> Both {
    let head_office = HeadOfficeProcess::start(&format!("{name}-office")).await.unwrap();
    let database = Place::File(head_office.database());
    meet(name, head_office, database).await
}

async fn set_up_on(cluster: &Cluster, name: &str) -> Both {
    let address = cluster.new_database();
    let more = format!("[database]\nurl = \"{address}\"");
    let head_office = HeadOfficeProcess::start_with(&format!("{name}-office"), &more)
        .await
        .unwrap();
    meet(name, head_office, Place::Postgres(address)).await
}

async fn meet(name: &str, head_office: HeadOfficeProcess, database: Place) -> Both {
    let mut station = StationProcess::start(name, &history::setup()).await.unwrap();
    let agent = head_office.join(&mut station, SITE).await.unwrap();
    let db = books::database(database).await;
    Both {
        station,
        agent,
        head_office,
        db,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_station_books_while_the_line_is_cut_and_head_office_starts_again_is_there_afterwards() {
    let mut both = set_up("two-halves-cut").await;
    cut_and_killed(&mut both).await;
    both.agent.terminate().await.unwrap();
    both.head_office.terminate().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgresql_it_is_there_as_well_and_goes_on_by_itself_when_that_was_gone() {
    let cluster = Cluster::start();
    let mut both = set_up_on(&cluster, "two-halves-pg").await;
    let mut pile = cut_and_killed(&mut both).await;

    cluster.kill();
    let gone = Instant::now();
    charge(&both.station, &mut pile, "P1", "1006.0000", "1007.0000").await;
    // Both have met it: the site's desk with a batch in hand, and whoever looks which sites are here.
    for noticed in ["it is tried again", "which sites this process has cannot be looked up"] {
        let deadline = Instant::now() + PATIENCE;
        while !both.head_office.log().contains(noticed) {
            assert!(Instant::now() < deadline, "{noticed}:\n{}", both.head_office.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    charge(&both.station, &mut pile, "P1", "1007.0000", "1008.0000").await;
    // Longer than a lease of a site lasts, and than an agent waits for an answer to its pings: those need no database.
    tokio::time::sleep_until((gone + GONE).into()).await;
    cluster.start_again();
    books_are_equal(&both.station, &both.db).await;
    let log = both.agent.log();
    assert!(!log.contains("has not answered for a minute"), "{log}");
    both.agent.terminate().await.unwrap();
    both.head_office.terminate().await.unwrap();
}

/// The line is cut, and both ends are killed, while cars go on charging: nothing is lost, nothing is there twice. Returns the
/// pile, whose register shows 1006 kWh.
async fn cut_and_killed(both: &mut Both) -> Hand {
    let Both {
        station,
        agent,
        head_office,
        db,
    } = both;
    station.add_member("anna", "100.00").await.unwrap();
    let pile_secret = station.add_pile("P1").await.unwrap();
    let mut pile = history::boot(station, "P1", &pile_secret).await.unwrap();
    charge(station, &mut pile, "P1", history::REGISTER, "1001.0000").await;
    let before = books_are_equal(station, db).await;

    // The line is cut: cars go on charging.
    head_office.terminate().await.unwrap();
    charge(station, &mut pile, "P1", "1001.0000", "1003.0000").await;
    charge(station, &mut pile, "P1", "1003.0000", "1004.0000").await;
    head_office.start_again().await.unwrap();
    let after = books_are_equal(station, db).await;
    assert!(after > before + 15, "{before} {after}");

    // Killed in the middle of it, both: nothing lost, nothing twice.
    charge(station, &mut pile, "P1", "1004.0000", "1005.0000").await;
    agent.kill().unwrap();
    agent.start().await.unwrap();
    charge(station, &mut pile, "P1", "1005.0000", "1006.0000").await;
    head_office.kill().unwrap();
    head_office.start_again().await.unwrap();
    let last = books_are_equal(station, db).await;
    assert!(last > after + 15, "{after} {last}");

    // The station knows how far it is, by head office's own word.
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = station.get("/v1/station").await.unwrap().success().unwrap();
        if seen["acknowledged"]["seq"].as_u64().is_some_and(|seq| seq > 0) {
            break;
        }
        assert!(Instant::now() < deadline, "{seen}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let status = agent.cli(&["status"]).unwrap();
    assert!(status.contains("connected") && status.contains("following"), "{status}");
    pile
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_station_that_is_restored_from_a_copy_gets_its_lost_hours_back_over_the_line() {
    let Both {
        mut station,
        agent: _agent,
        head_office: _head_office,
        db,
    } = set_up("two-halves-restore").await;
    station.add_member("anna", "100.00").await.unwrap();
    let pile_secret = station.add_pile("P1").await.unwrap();
    let mut pile = history::boot(&station, "P1", &pile_secret).await.unwrap();
    charge(&station, &mut pile, "P1", history::REGISTER, "1001.0000").await;
    let copy = station.folder().join("data/copy.redb");
    station.cli(&["backup", copy.to_str().unwrap()]).unwrap();
    let lost = charge(&station, &mut pile, "P1", "1001.0000", "1003.0000").await;
    let head = books_are_equal(&station, &db).await;
    let (_, fee) = told(&station, &lost).await;

    station.kill().unwrap();
    drop(pile);
    let config = station.config_path();
    let words = [
        "restore",
        "--move-aside",
        copy.to_str().unwrap(),
        "--config",
        config.to_str().unwrap(),
    ];
    station.offline(&words).unwrap();
    station.start_again().await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = station.get("/v1/station").await.unwrap().success().unwrap();
        if seen["recovering"].is_null() {
            break;
        }
        assert!(Instant::now() < deadline, "{seen}\n{}", station.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(
        told(&station, &lost).await,
        ("PAYED".to_owned(), fee),
        "nothing that head office has is lost"
    );
    let after = books_are_equal(&station, &db).await;
    assert!(after > head, "another run of the journal goes on after entry {head}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invitation_counts_once_and_a_site_that_is_revoked_or_a_stranger_is_not_let_in() {
    let mut station = StationProcess::start("two-halves-door", &history::setup())
        .await
        .unwrap();
    let head_office = HeadOfficeProcess::start("two-halves-door-office").await.unwrap();
    let mut agent = head_office.join(&mut station, SITE).await.unwrap();
    let db = Db::open(&Place::File(head_office.database())).unwrap();
    station.add_member("anna", "1.00").await.unwrap();
    books_are_equal(&station, &db).await;
    let invitation = head_office.folder().join(format!("{SITE}.invitation"));

    // The same box may show it again, where the answer was lost. Its certificate is another one, and the one before is over.
    agent.enrol(&invitation).unwrap();
    // Another box has another key.
    let stolen = StationProcess::start("two-halves-stolen", &history::setup())
        .await
        .unwrap();
    let thief = AgentProcess::beside(&stolen).unwrap();
    let refused = thief.enrol(&invitation).unwrap_err().to_string();
    assert!(refused.contains("this token was used already"), "{refused}");
    // Nor is it any other site's.
    let mut other = StationProcess::new("two-halves-other", &history::setup()).unwrap();
    other.set_site("elsewhere");
    other.start_again().await.unwrap();
    let refused = AgentProcess::beside(&other).unwrap().enrol(&invitation).unwrap_err();
    assert!(
        refused.to_string().contains("the station here is elsewhere"),
        "{refused}"
    );
    let again = head_office.cli(&["site", "add", SITE]).unwrap_err().to_string();
    assert!(again.contains("there is a site test-site already"), "{again}");

    // A forged invitation of an unknown token.
    let text = std::fs::read_to_string(&invitation).unwrap();
    let mut forged: Value = serde_json::from_str(&text).unwrap();
    forged["token"] = json!("x".repeat(43));
    let path = head_office.folder().join("forged");
    std::fs::write(&path, forged.to_string()).unwrap();
    let refused = thief.enrol(&path).unwrap_err().to_string();
    assert!(refused.contains("this token is not known"), "{refused}");

    // Revoked: what it says does not arrive any more, and it is told why.
    agent.terminate().await.unwrap();
    agent.start().await.unwrap();
    station.add_member("berta", "1.00").await.unwrap();
    books_are_equal(&station, &db).await;
    head_office.cli(&["site", "revoke", SITE]).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !agent.log().contains("was it revoked") {
        assert!(Instant::now() < deadline, "{}", agent.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    station.add_member("clara", "1.00").await.unwrap();

    // Let in anew, with the same keys: everything goes on where it was.
    head_office.cli(&["site", "enrol", SITE]).unwrap();
    agent.enrol(&invitation).unwrap();
    agent.terminate().await.unwrap();
    agent.start().await.unwrap();
    books_are_equal(&station, &db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_a_stations_disk_that_goes_on_by_itself_can_be_accepted() {
    let Both {
        mut station,
        mut agent,
        head_office,
        db,
    } = set_up("two-halves-cloned").await;
    station.add_member("anna", "100.00").await.unwrap();
    let pile_secret = station.add_pile("P1").await.unwrap();
    let mut pile = history::boot(&station, "P1", &pile_secret).await.unwrap();
    charge(&station, &mut pile, "P1", history::REGISTER, "1001.0000").await;
    books_are_equal(&station, &db).await;
    drop(pile);
    assert!(station.terminate().await.unwrap());
    let (disk, copy) = (station.database(), station.folder().join("data/copy.redb"));
    std::fs::copy(&disk, &copy).unwrap();

    // The station goes on, and head office with it.
    station.start_again().await.unwrap();
    let mut pile = history::boot_at(&station, "P1", &pile_secret, "1001.0000")
        .await
        .unwrap();
    charge(&station, &mut pile, "P1", "1001.0000", "1003.0000").await;
    charge(&station, &mut pile, "P1", "1003.0000", "1004.0000").await;
    let followed = books_are_equal(&station, &db).await;
    drop(pile);

    // And then its copy does, which has less.
    assert!(station.terminate().await.unwrap());
    std::fs::rename(&copy, &disk).unwrap();
    station.start_again().await.unwrap();
    let mut pile = history::boot_at(&station, "P1", &pile_secret, "1001.0000")
        .await
        .unwrap();
    charge(&station, &mut pile, "P1", "1001.0000", "1002.0000").await;
    agent.terminate().await.unwrap();
    agent.start().await.unwrap();
    let head = |seen: &Value| {
        format!(
            "{}:{}",
            seen["journal"]["seq"],
            seen["journal"]["hash"].as_str().unwrap()
        )
    };
    let deadline = Instant::now() + PATIENCE;
    let place = loop {
        let seen = station.get("/v1/station").await.unwrap().success().unwrap();
        let place = head(&seen);
        let branches = head_office.cli(&["site", "branches", SITE]).unwrap();
        if branches.contains(&place) {
            assert!(seen["journal"]["seq"].as_u64().unwrap() < followed, "{seen}");
            break place;
        }
        assert!(Instant::now() < deadline, "{place}\n{branches}\n{}", agent.log());
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let shown = head_office.cli(&["site", "show", SITE]).unwrap();
    assert!(shown.contains("forked"), "{shown}");
    let accepted = head_office.cli(&["site", "accept", SITE, &place, "--reason", "the other disk is broken"]);
    assert!(accepted.is_ok(), "{accepted:?}");
    books_are_equal(&station, &db).await;
    charge(&station, &mut pile, "P1", "1002.0000", "1005.0000").await;
    books_are_equal(&station, &db).await;
    let status = agent.cli(&["status"]).unwrap();
    assert!(status.contains("following"), "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_office_that_was_restored_asks_people_first_and_then_gets_again_what_it_forgot() {
    let Both {
        station,
        mut agent,
        mut head_office,
        db,
    } = set_up("two-halves-forgotten").await;
    station.add_member("anna", "100.00").await.unwrap();
    let pile_secret = station.add_pile("P1").await.unwrap();
    let mut pile = history::boot(&station, "P1", &pile_secret).await.unwrap();
    charge(&station, &mut pile, "P1", history::REGISTER, "1001.0000").await;
    books_are_equal(&station, &db).await;
    let copy = head_office.folder().join("copy.sqlite");
    head_office.cli(&["backup", copy.to_str().unwrap()]).unwrap();
    charge(&station, &mut pile, "P1", "1001.0000", "1003.0000").await;
    let head = books_are_equal(&station, &db).await;
    // The station is told how far head office is after its hello.
    agent.terminate().await.unwrap();
    agent.start().await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = station.get("/v1/station").await.unwrap().success().unwrap();
        if seen["acknowledged"]["seq"].as_u64() >= Some(head) {
            break;
        }
        assert!(Instant::now() < deadline, "{seen}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(db);

    // Somebody puts the copy in its place, and says nothing.
    head_office.terminate().await.unwrap();
    let database = head_office.database();
    for beside in ["-wal", "-shm"] {
        let _none = std::fs::remove_file(format!("{}{beside}", database.display()));
    }
    std::fs::copy(&copy, &database).unwrap();
    head_office.start_again().await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        let status = head_office.cli(&["status"]).unwrap();
        if status.contains("has forgotten something") {
            break status;
        }
        assert!(Instant::now() < deadline, "{status}\n{}", agent.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert!(status.contains("holdfast-central restored"), "{status}");
    charge(&station, &mut pile, "P1", "1003.0000", "1004.0000").await;
    let db = books::database(Place::File(head_office.database())).await;
    let here = db.read(|tx| central::store::sites::find(tx, &books::site()));
    let here = here.await.unwrap().unwrap().head.seq;
    assert!(here < head, "nothing is taken meanwhile: {here}");
    drop(db);

    let restored = ["restored", "--reason", "the disk broke", "--config", "central.toml"];
    let refused = head_office.cli(&restored).unwrap_err().to_string();
    assert!(refused.contains("stop it first"), "{refused}");
    head_office.terminate().await.unwrap();
    head_office.cli(&restored).unwrap();
    head_office.start_again().await.unwrap();
    let db = books::database(Place::File(head_office.database())).await;
    let after = books_are_equal(&station, &db).await;
    assert!(after > head, "{after}");
    let status = head_office.cli(&["status"]).unwrap();
    assert!(!status.contains("has forgotten"), "{status}");
}

/// A line of 64 kbit/s, and what takes it more than half a minute: nothing is sent again behind itself, and no end gives up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thin_line_carries_what_has_piled_up_on_one_connection() {
    let Both {
        station,
        mut agent,
        head_office: _head_office,
        db,
    } = set_up("two-halves-thin").await;
    books_are_equal(&station, &db).await;
    agent.terminate().await.unwrap();
    let line = Relay::thin(agent.broker().unwrap(), 8 * 1_024).await.unwrap();
    agent.meet_at(line.address).unwrap();
    station.add_member("anna", "0.00").await.unwrap();
    history::much(&station, "anna").await.unwrap();
    agent.start().await.unwrap();
    books_are_equal(&station, &db).await;
    let packed = db.read(|tx| {
        tx.query("SELECT CAST(SUM(LENGTH(body)) AS BIGINT) FROM batch", &[])?
            .remove(0)
            .int(0)
    });
    let packed = u64::try_from(packed.await.unwrap()).unwrap();
    assert!(packed > 25 * 8 * 1_024, "{packed}");
    let (connections, bytes) = (line.connections(), line.bytes());
    assert_eq!(connections, 1, "{}", agent.log());
    assert!(bytes < packed * 3 / 2 + 32 * 1_024, "{bytes} for {packed}");
    agent.terminate().await.unwrap();
}

async fn head_of(db: &Db) -> u64 {
    let found = db.read(|tx| central::store::sites::find(tx, &books::site()));
    found.await.unwrap().unwrap().head.seq
}

/// Each end is killed while batches are on their way: head office has some of what the station sends, and the rest cannot arrive
/// before the kill, because the line holds it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn either_end_is_killed_while_batches_are_on_their_way_and_nothing_is_lost_or_there_twice() {
    let Both {
        station,
        mut agent,
        mut head_office,
        db,
    } = set_up("two-halves-killed").await;
    station.add_member("anna", "0.00").await.unwrap();
    books_are_equal(&station, &db).await;
    let line = Relay::to(agent.broker().unwrap()).await.unwrap();
    for is_head_office in [true, false] {
        agent.terminate().await.unwrap();
        agent.meet_at(line.address).unwrap();
        let before = head_of(&db).await;
        history::much(&station, "anna").await.unwrap();
        let seen = station.get("/v1/station").await.unwrap().success().unwrap();
        let last = seen["journal"]["seq"].as_u64().unwrap();
        // More than the first batch, and less than half of it all.
        line.hold_after(128 * 1_024);
        agent.start().await.unwrap();
        let deadline = Instant::now() + PATIENCE;
        let mut here = before;
        while here == before {
            assert!(Instant::now() < deadline, "{}", head_office.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
            here = head_of(&db).await;
        }
        match is_head_office {
            true => head_office.kill().unwrap(),
            false => agent.kill().unwrap(),
        }
        let here = head_of(&db).await;
        assert!(before < here && here < last, "{before} {here} {last}");
        line.let_go();
        match is_head_office {
            true => head_office.start_again().await.unwrap(),
            false => agent.start().await.unwrap(),
        }
        let equal = books_are_equal(&station, &db).await;
        assert!(equal >= last, "{equal} {last}");
        for command in [["replica", "verify", SITE], ["journal", "verify", SITE]] {
            let right = head_office.cli(&command);
            assert!(right.is_ok(), "{right:?}");
        }
    }
    agent.terminate().await.unwrap();
    head_office.terminate().await.unwrap();
}

/// Shows one time for ever.
#[derive(Debug)]
struct Shows(u64);

impl rustls::time_provider::TimeProvider for Shows {
    fn current_time(&self) -> Option<rustls::pki_types::UnixTime> {
        Some(rustls::pki_types::UnixTime::since_unix_epoch(Duration::from_secs(
            self.0,
        )))
    }
}

/// The clock of a box that stands at a station may be off by years (decision 0032).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_on_the_box_believes_head_office_with_a_clock_that_is_off_by_years_and_nobody_else() {
    let Both {
        station,
        mut agent,
        mut head_office,
        db,
    } = set_up("two-halves-clock").await;
    books_are_equal(&station, &db).await;
    agent.terminate().await.unwrap();
    let config = sync::config::Config {
        station_socket: station.sync_socket(),
        data_dir: agent.data(),
        ..sync::config::Config::default()
    };
    // 1970, 2001, 2100, 2200.
    for clock_s in [0, 978_307_200, 4_102_444_800, 7_258_118_400] {
        station.add_member(&format!("m{clock_s}"), "0.00").await.unwrap();
        let mut speaks = sync::enrol::agent(&config).unwrap();
        let mut tls = rustls::ClientConfig::clone(speaks.broker.tls.as_ref().unwrap());
        tls.time_provider = Arc::new(Shows(clock_s));
        speaks.broker.tls = Some(Arc::new(tls));
        let (told, _progress) = tokio::sync::watch::channel(sync::courier::Progress::default());
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let carried = async {
            books_are_equal(&station, &db).await;
            drop(stop);
        };
        tokio::join!(sync::run::run(speaks, told, async { drop(stopped.await) }), carried);
    }

    // Another authority's head office is none, and the program says so: a clock is no reason to be believed.
    let mut strange = rcgen::CertificateParams::default();
    strange.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let strange = strange.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem();
    let mut enrolled = sync::enrol::enrolled(&config).unwrap();
    enrolled.authority = strange;
    let text = serde_json::to_string(&enrolled).unwrap();
    std::fs::write(config.data_dir.join("enrolment.json"), text).unwrap();
    agent.start().await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !agent.log().contains("invalid peer certificate: UnknownIssuer") {
        assert!(Instant::now() < deadline, "{}", agent.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let status = agent.cli(&["status"]).unwrap();
    assert!(status.contains("not connected"), "{status}");
    agent.terminate().await.unwrap();
    head_office.terminate().await.unwrap();
}

/// What `holdfast-sync check` says of a box: good, and each way in which it is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_check_of_a_box_says_what_is_wrong_with_it_and_of_a_good_one_that_nothing_is() {
    let Both {
        mut station,
        mut agent,
        mut head_office,
        db,
    } = set_up("two-halves-check").await;
    drop(db);
    let good = agent.cli(&["check"]).unwrap();
    let broker = agent.broker().unwrap().to_string();
    for part in ["nothing wrong", &format!("site {SITE}"), &broker, "certificate ends "] {
        assert!(good.contains(part), "{part}: {good}");
    }
    agent.terminate().await.unwrap();
    assert_eq!(agent.cli(&["check"]).unwrap(), good, "it need not run");
    let wrong = |parts: &[&str]| {
        let said = agent.cli(&["check"]).unwrap_err().to_string();
        for part in parts {
            assert!(said.contains(part), "{part}: {said}");
        }
    };
    // Each is changed, looked at, and put back.
    let changed = |file: std::path::PathBuf, text: Option<&str>, parts: &[&str]| {
        let before = std::fs::read(&file).unwrap();
        match text {
            Some(text) => std::fs::write(&file, text).unwrap(),
            None => std::fs::remove_file(&file).unwrap(),
        }
        wrong(parts);
        std::fs::write(&file, before).unwrap();
    };
    let config = agent.data().join("../sync.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let unknown = format!("{text}colour = 1\n");
    changed(config.clone(), Some(&unknown), &["colour"]);
    changed(
        config.clone(),
        Some(&text.replace("\"info\"", "\"a=b=c\"")),
        &["log", "is not a log filter"],
    );
    changed(config.clone(), Some("station_socket ="), &["sync.toml"]);
    changed(config.clone(), None, &["sync.toml"]);
    let enrolment = agent.data().join("enrolment.json");
    let enrolled = std::fs::read_to_string(&enrolment).unwrap();
    changed(
        enrolment.clone(),
        None,
        &["this box has not enrolled", "holdfast-central site enrol SITE"],
    );
    changed(
        enrolment.clone(),
        Some("{}"),
        &["is not what it got when it enrolled: enrol again"],
    );
    let nowhere = enrolled.replace(&broker, "somewhere");
    changed(
        enrolment.clone(),
        Some(&nowhere),
        &["names no host and port of a broker", "somewhere"],
    );
    let other = enrolled.replacen(&format!("\"{SITE}\""), "\"another\"", 1);
    changed(
        enrolment.clone(),
        Some(&other),
        &[&format!("the station is {SITE}"), "enrolled for another"],
    );
    let key = agent.data().join("agent.key");
    changed(key.clone(), None, &["agent.key"]);
    changed(key.clone(), Some("no key"), &["the own key"]);
    let stranger = rcgen::KeyPair::generate().unwrap().serialize_pem();
    changed(key.clone(), Some(&stranger), &["the own certificate and its key"]);
    assert_eq!(agent.cli(&["check"]).unwrap(), good, "all of it is put back");
    station.terminate().await.unwrap();
    wrong(&["the station does not answer"]);
    head_office.terminate().await.unwrap();
}

/// State and fee of an order.
async fn told(station: &StationProcess, order: &str) -> (String, Value) {
    let order = station
        .get(&format!("/v1/orders/{order}"))
        .await
        .unwrap()
        .success()
        .unwrap();
    (order["state"].as_str().unwrap().to_owned(), order["fee"].clone())
}
