//! `docs/pile-protocol.md` against the code: every example is read, every word and every limit is there, and the worked
//! session is played, by the commands as they are printed, to a station of its own.

use domain::{
    messages::{
        self, Ack, AckResult, CommandKind, CommandMessage, ConnectorStatus, Down, EventKind, PriceMessage, StopCode,
        StopReason, TimeMessage, Up,
    },
    rating::{self, Reading},
    tariff::{PeriodKind, Tariff},
    topics::{DownKind, UpKind},
};
use edge::{config::Config, daemon};
use serde::Serialize;
use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};
use tokio::sync::oneshot;

fn file(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn document() -> String {
    file("docs/pile-protocol.md")
}

/// A fenced block and the words of the comment on the line before it.
struct Example {
    tag: String,
    text: String,
}

fn examples(document: &str) -> Vec<Example> {
    let mut examples = Vec::new();
    let mut lines = document.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(tag) = line.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->")) else {
            continue;
        };
        let fence = lines.next().unwrap_or_default();
        assert!(fence.starts_with("```"), "`{line}` stands before a fenced block");
        let text: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        examples.push(Example {
            tag: tag.to_owned(),
            text: text.join("\n"),
        });
    }
    examples
}

fn tagged<'e>(examples: &'e [Example], tag: &str) -> Vec<&'e str> {
    let found = examples.iter().filter(|example| example.tag == tag);
    found.map(|example| example.text.as_str()).collect()
}

/// The word of a value on the wire.
fn word(value: impl Serialize) -> String {
    let value = serde_json::to_value(value).expect("words are written as JSON texts");
    value.as_str().expect("words are written as JSON texts").to_owned()
}

#[test]
fn every_json_block_is_tagged() {
    let document = document();
    let tagged = examples(&document)
        .iter()
        .filter(|example| example.tag != "play")
        .count();
    assert_eq!(document.matches("```json").count(), tagged);
}

#[test]
fn every_example_from_a_pile_is_read() {
    let examples = examples(&document());
    for kind in UpKind::ALL.iter().copied() {
        let of_kind = tagged(&examples, &format!("up: {}", kind.word()));
        assert!(!of_kind.is_empty(), "an example of `{}`", kind.word());
        for text in of_kind {
            messages::read_up(kind, text.as_bytes()).unwrap_or_else(|fault| panic!("{fault} in {text}"));
        }
    }
    let malformed = tagged(&examples, "up, malformed at meter_start_kwh: record");
    let fault = messages::read_up(UpKind::Record, malformed[0].as_bytes()).unwrap_err();
    assert_eq!(fault.path, "meter_start_kwh");
    let ack = tagged(&examples, "down: ack")[1];
    let ack: Ack = serde_json::from_str(ack).unwrap();
    assert_eq!(ack.result, AckResult::Malformed);
    assert_eq!(ack.detail, format!("record: {fault}"));
}

#[test]
fn every_example_to_a_pile_is_what_the_station_writes() {
    let examples = examples(&document());
    for kind in DownKind::ALL.iter().copied() {
        let of_kind = tagged(&examples, &format!("down: {}", kind.word()));
        assert!(!of_kind.is_empty(), "an example of `{}`", kind.word());
        for text in of_kind {
            let message = match kind {
                DownKind::Command => serde_json::from_str::<CommandMessage>(text).map(Down::Command),
                DownKind::Ack => serde_json::from_str::<Ack>(text).map(Down::Ack),
                DownKind::Time => serde_json::from_str::<TimeMessage>(text).map(Down::Time),
                DownKind::Price => serde_json::from_str::<PriceMessage>(text).map(Down::Price),
            };
            let written: serde_json::Value = serde_json::from_slice(&message.unwrap().to_json()).unwrap();
            let printed: serde_json::Value = serde_json::from_str(text).unwrap();
            assert_eq!(written, printed);
        }
    }
}

#[test]
fn the_figures_of_the_examples_are_those_of_the_example_tariff() {
    let examples = examples(&document());
    let tariff = Tariff::from_toml(&file("config/tariffs/example.toml"), "Asia/Shanghai").unwrap();

    let record = tagged(&examples, "up: record")[0];
    let Up::Record(record) = messages::read_up(UpKind::Record, record.as_bytes()).unwrap().body else {
        panic!("a record")
    };
    let reading = |at, register| Reading { at, register };
    let (start_at, stop_at) = (record.start_ts.unwrap(), record.stop_ts.unwrap());
    let samples = record
        .samples
        .iter()
        .map(|sample| reading(sample.ts.unwrap(), sample.meter_kwh));
    let samples: Vec<Reading> = samples.collect();
    let start = reading(start_at, record.meter_start_kwh);
    let bill = rating::rate(&tariff, start, &samples, reading(stop_at, record.meter_stop_kwh)).unwrap();
    let ack: Ack = serde_json::from_str(tagged(&examples, "down: ack")[0]).unwrap();
    assert_eq!(ack.fee, Some(bill.fee));
    let periods = record.periods.unwrap();
    assert_eq!(periods.peak_kwh + periods.flat_kwh, record.energy());

    let command: CommandMessage = serde_json::from_str(tagged(&examples, "down: command")[0]).unwrap();
    let table: Vec<_> = tariff.day_table(start_at).into_iter().map(Into::into).collect();
    assert_eq!(command.prices, table);
    let price: PriceMessage = serde_json::from_str(tagged(&examples, "down: price")[0]).unwrap();
    assert_eq!(
        (price.prices, price.tariff.as_str()),
        (table, tariff.spec().id.as_str())
    );
}

#[test]
fn every_word_of_the_contract_is_in_the_document() {
    use {AckResult as A, CommandKind as C, ConnectorStatus as S, EventKind as E};
    // A new variant does not compile until it is listed here, and so in the document.
    let listed = |kind: C, result: A, status: S, event: E| {
        match kind {
            C::Start | C::Stop | C::Limit | C::RequestRecord | C::Reboot => {}
        }
        match result {
            A::Ok | A::Duplicate | A::Orphan | A::Rejected | A::Malformed => {}
        }
        match status {
            S::Idle | S::Plugged | S::Charging | S::Finished | S::Fault | S::Unavailable => {}
        }
        match event {
            E::Plugged | E::Unplugged | E::Fault | E::FaultCleared | E::Estop | E::Reboot => {}
        }
    };
    listed(C::Start, A::Ok, S::Idle, E::Plugged);
    let commands = [C::Start, C::Stop, C::Limit, C::RequestRecord, C::Reboot].map(word);
    let results = [A::Ok, A::Duplicate, A::Orphan, A::Rejected, A::Malformed].map(word);
    let statuses = [S::Idle, S::Plugged, S::Charging, S::Finished, S::Fault, S::Unavailable].map(word);
    let events = [E::Plugged, E::Unplugged, E::Fault, E::FaultCleared, E::Estop, E::Reboot].map(word);
    let document = document();
    for word in commands.iter().chain(&results).chain(&statuses).chain(&events) {
        assert!(document.contains(&format!("\n| `{word}` | ")), "a row for `{word}`");
    }
    for kind in PeriodKind::ALL {
        assert!(document.contains(&format!("`{kind}`")), "{kind}");
    }
    for kind in UpKind::ALL {
        assert!(document.contains(&format!("\n### `{}`\n", kind.word())), "{kind:?}");
    }
    for kind in DownKind::ALL {
        assert!(document.contains(&format!("\n### `{}`\n", kind.word())), "{kind:?}");
    }
}

#[test]
fn the_reason_codes_are_those_of_the_code() {
    let document = document();
    let rows: Vec<Vec<&str>> = document
        .lines()
        .skip_while(|line| *line != "#### Reason codes")
        .skip_while(|line| !line.starts_with('|'))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let reason = |code: u16| StopReason {
        code,
        text: String::new(),
    };
    let named: Vec<u16> = (0..=255)
        .filter(|code| *code == 255 || reason(*code).meaning() != StopCode::Other)
        .collect();
    let codes: Vec<u16> = rows.iter().map(|row| row[0].parse().unwrap()).collect();
    assert_eq!(codes, named);
    for row in rows {
        let told = reason(row[0].parse().unwrap()).is_abnormal();
        assert_eq!(row[2], if told { "yes" } else { "no" }, "reason {}", row[0]);
    }
}

#[test]
fn the_limits_are_those_of_the_code() {
    let document = document();
    let broker = broker::Config::default();
    let rate = broker.packet_rate.unwrap();
    for row in [
        format!("message | {} KiB", messages::PAYLOAD_BYTES_MAX / 1024),
        format!("MQTT packet | {} KiB", broker.packet_bytes_max / 1024),
        format!("`samples` of a record | {}", messages::SAMPLES_MAX),
        format!("connectors of a pile | {}", messages::CONNECTORS_MAX),
        format!("`faults` of a connector | {}", messages::FAULTS_MAX),
        format!("any text | {} characters", messages::TEXT_CHARS_MAX),
        format!(
            "packets from a connection | {} a second, {} at once",
            rate.per_second, rate.burst
        ),
        format!("unacknowledged messages from a pile | {}", broker.receive_maximum),
        format!("client ids of a pile | {}", broker.client_ids_per_identity_max),
        format!("subscriptions of a connection | {}", broker.subscriptions_max),
        format!(
            "topic | {} bytes, {} levels",
            broker.topic_bytes_max, broker.topic_levels_max
        ),
        format!(
            "from the connection to a complete CONNECT | {} s",
            broker.connect_timeout.as_secs()
        ),
        format!(
            "from the first byte of a packet to its last | {} s",
            broker.partial_packet_timeout.as_secs()
        ),
        format!(
            "silence, whatever the keep-alive (0 is allowed) | {} s",
            broker.silence_max.as_secs()
        ),
        format!(
            "messages waiting for a pile that does not read | {}",
            broker.queue_messages_max
        ),
    ] {
        assert!(document.contains(&format!("\n| {row} | ")), "| {row} |");
    }
    assert!(document.contains(&format!(
        "after {} s without a byte taken",
        broker.write_timeout.as_secs()
    )));
}

#[test]
fn what_the_document_does_not_require_is_not_required() {
    let document = document();
    let rows = document
        .lines()
        .skip_while(|line| *line != "### What is required")
        .skip_while(|line| !line.starts_with('|'))
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let named = |cell: &str| -> Vec<String> {
        let parts = cell.split('`').skip(1).step_by(2);
        parts.map(str::to_owned).collect()
    };
    let rows: Vec<(Vec<String>, Vec<String>)> = rows
        .map(|row| row.trim_matches('|').split_once('|').unwrap())
        .map(|(message, required)| (named(message), named(required)))
        .collect();
    let of_every_one = &rows[0].1;
    let examples = examples(&document);
    for kind in UpKind::ALL.iter().copied() {
        let required = &rows.iter().find(|(message, _)| *message == [kind.word()]).unwrap().1;
        let is_required = |field: &str| {
            let common = of_every_one.iter().any(|name| name == field);
            (common && !(kind == UpKind::Heartbeat && field == "msg_id")) || required.iter().any(|name| name == field)
        };
        let example: serde_json::Value =
            serde_json::from_str(tagged(&examples, &format!("up: {}", kind.word()))[0]).unwrap();
        for field in example.as_object().unwrap().keys() {
            let mut without = example.clone();
            without.as_object_mut().unwrap().remove(field);
            let read = messages::read_up(kind, without.to_string().as_bytes());
            assert_eq!(read.is_err(), is_required(field), "`{field}` of `{}`", kind.word());
        }
        let connector = example["connectors"].get(0).and_then(serde_json::Value::as_object);
        for field in connector.into_iter().flat_map(serde_json::Map::keys) {
            let mut without = example.clone();
            without["connectors"][0].as_object_mut().unwrap().remove(field);
            // Beside others that can be read, one that cannot be is dropped alone.
            without["connectors"].as_array_mut().unwrap().truncate(1);
            let read = messages::read_up(kind, without.to_string().as_bytes());
            assert_eq!(
                read.is_err(),
                is_required(field),
                "`connectors[0].{field}` of `{}`",
                kind.word()
            );
        }
    }
}

/// A folder of its own, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let unique = getrandom::u64().expect("the operating system gives randomness");
        let path = std::env::temp_dir().join(format!("holdfast-played-{unique:016x}"));
        std::fs::create_dir(&path).expect("the folder for temporary files can be written");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left is the system's to clean up.
        drop(std::fs::remove_dir_all(&self.0));
    }
}

fn output(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("the command can be started");
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{command:?}: {status}\n{stdout}\n{stderr}");
    stdout.into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_worked_session_can_be_played_with_mosquitto_alone() {
    assert!(
        Command::new("mosquitto_pub").arg("--help").output().is_ok(),
        "mosquitto_pub is missing; `cargo xtask test` installs it"
    );
    let folder = Folder::new();
    let text = format!(
        "site = \"played\"\ndata_dir = \".\"\nsocket = \"s\"\nsync_socket = \"\"\nfirst_tariff = {:?}\n\
         [mqtt]\nlisten = [\"127.0.0.1:0\"]\ntls.listen = \"\"\n[http]\nlisten = \"\"\n",
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/tariffs/example.toml")
    );
    let path = folder.0.join("edge.toml");
    std::fs::write(&path, text).unwrap();
    let config = Config::load(&path, []).unwrap();
    let socket = config.socket.clone();
    let (ready, is_ready) = oneshot::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let station = tokio::spawn(daemon::run(
        config,
        |listening| ready.send(listening.clone()).unwrap(),
        async { drop(stopped.await) },
    ));
    let port = is_ready.await.expect("the station starts").mqtt[0].port().to_string();

    let play: Vec<String> = tagged(&examples(&document()), "play")
        .into_iter()
        .map(str::to_owned)
        .collect();
    let heard = tokio::task::spawn_blocking(move || {
        let station = |arguments: &str| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast-edge"));
            command.arg("--socket").arg(&socket).arg("--json");
            output(command.args(arguments.split(' ')))
        };
        let pile: serde_json::Value = serde_json::from_str(&station("pile add P01")).unwrap();
        station("member add m-1001");
        station("member topup m-1001 100.00 --receipt R-0001");
        station("card bind CARD-7 m-1001");
        let mut bash = Command::new("bash");
        // Should a step fail, the ears must not keep the pipe open.
        let play = format!("trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{}", play.join("\n"));
        bash.args(["-eu", "-c", &play]);
        let heard = output(bash.env("SECRET", pile["secret"].as_str().unwrap()).env("PORT", port));
        let member: serde_json::Value = serde_json::from_str(&station("member show m-1001")).unwrap();
        (heard, member)
    });
    let (heard, member) = heard.await.unwrap();
    for said in [
        "\"kind\":\"start\"",
        "\"kind\":\"stop\"",
        "duplicate",
        "orphan",
        "malformed",
    ] {
        assert!(heard.contains(said), "{said} in {heard}");
    }
    assert_eq!((&member["held"], &member["debt"]), (&"0.00".into(), &"0.00".into()));
    let allowance: domain::units::Fen = member["allowance"].as_str().unwrap().parse().unwrap();
    assert!(allowance < domain::units::Fen(10_000), "0.0700 kWh were paid: {member}");

    stop.send(()).unwrap();
    station.await.unwrap().unwrap();
}
