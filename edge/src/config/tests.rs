//! Configurations that are taken, and what is said of those that are not, with line and key.

use super::{keys::KEYS, *};
use crate::own_path::own_path;

/// A file of its own for each text, gone with it.
struct File(PathBuf);

impl File {
    fn new(text: &str) -> Self {
        let path = own_path("config").with_extension("toml");
        std::fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).unwrap();
    }
}

fn load_with(text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigFault> {
    let file = File::new(text);
    let environment = environment
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::load(&file.0, environment)
}

fn load(text: &str) -> Result<Config, ConfigFault> {
    load_with(text, &[])
}

/// The faults of a file that has `site` on its first line and `text` from the second on, without the file's name.
fn faults_of(text: &str) -> Vec<String> {
    let file = File::new(&format!("site = \"s1\"\n{text}"));
    let fault = Config::load(&file.0, []).expect_err(text);
    let name = file.0.display().to_string();
    let shown = fault.to_string();
    shown
        .lines()
        .map(|line| line.strip_prefix(&name).unwrap_or(line).to_owned())
        .collect()
}

fn packaged() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/edge.toml")
}

#[test]
fn the_packaged_file_says_the_defaults_and_names_every_key() {
    let config = Config::load(&packaged(), []).unwrap();
    assert_eq!(config, Config::new(SiteId::new("station-1").unwrap()));

    let text = std::fs::read_to_string(packaged()).unwrap();
    let table: toml::Table = text.parse().unwrap();
    for key in KEYS {
        let mut at = Some(&table);
        let (tables, name) = key.path.rsplit_once('.').unwrap_or(("", key.path));
        for part in tables.split('.').filter(|part| !part.is_empty()) {
            at = at.and_then(|table| table.get(part)).and_then(toml::Value::as_table);
        }
        assert!(
            at.is_some_and(|table| table.contains_key(name)),
            "{} is not in config/edge.toml",
            key.path
        );
    }
}

#[test]
fn every_rule_of_the_policy_can_be_set() {
    let policy = serde_json::to_value(Policy::default()).unwrap();
    for field in policy.as_object().unwrap().keys() {
        // The disk's are with the rest of what is said of it.
        let (table, name) = match field.as_str() {
            "telemetry_below_bytes" | "orders_below_bytes" => ("disk", field.strip_suffix("_bytes")),
            "quarantine_bytes_max" => ("policy", Some("quarantine_max")),
            "journal_bytes_max" => ("policy", Some("journal_per_pile_max")),
            _ => ("policy", field.strip_suffix("_ms")),
        };
        let path = format!("{table}.{}", name.unwrap_or(field));
        assert!(KEYS.iter().any(|key| key.path == path), "{path}");
    }
}

#[test]
fn a_file_with_nothing_but_the_site_has_the_defaults() {
    let config = load("site = \"s1\"").unwrap();
    assert_eq!(config, Config::new(SiteId::new("s1").unwrap()));
}

#[test]
fn every_key_reaches_its_own_field() {
    let text = r#"
        site = "s1"
        time_zone = "Europe/Berlin"
        data_dir = "/data"
        socket = "/run/other.sock"
        sync_socket = "/run/another.sock"
        cache = "32 MiB"
        log = "info,broker=debug"
        first_tariff = "/tariff.toml"
        [mqtt]
        listen = ["0.0.0.0:1", "[::1]:2"]
        plain_beyond_loopback = true
        connections_max = 11
        connections_per_address_max = 12
        [mqtt.tls]
        listen = "0.0.0.0:3"
        certificate = "/c.pem"
        private_key = "/k.pem"
        client_ca = "/ca.pem"
        [http]
        listen = "192.0.2.1:4"
        plain_beyond_loopback = true
        connections_per_address_max = 13
        [http.tls]
        listen = "0.0.0.0:5"
        [disk]
        reserve = "21MiB"
        telemetry_below = "23MiB"
        orders_below = "22MiB"
        [clock]
        trusted = true
        demonstration = true
        rate = 60
        start = 2026-03-01T07:50:00+08:00
        [retention]
        days = 36
        samples_days = 37
        until_acknowledged = true
        [head_office]
        public_key = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
        site_number = 12
        [policy]
        start_timeout = "2s"
        prepay_min = "0.03"
        prepay_max = "5"
        prepay_default = "0.4"
        open_orders_max = 6
        review_above = "7.00"
        notice = "8s"
        power_default = "9"
        record_request = "10s"
        record_overdue = "1m 1s"
        remainder = "12s"
        gone = "13s"
        faults_max = 14
        drops_max = 15
        sick_window = "1500ms"
        fake_charging_window = "20s"
        fake_charging_pct = 21
        offline_sessions = true
        offline_session_cap = "17.18"
        quarantine_max = "24MiB"
        journal_per_pile_max = "27MiB"
        clock_step = "19s"
        silent = "25s"
        stop_unordered = true
        second_person_above = "25.26"
    "#;
    let address = |text: &str| text.parse::<SocketAddr>().unwrap();
    let fen = |text: &str| text.parse().unwrap();
    let expected = Config {
        site: SiteId::new("s1").unwrap(),
        time_zone: "Europe/Berlin".to_owned(),
        data_dir: "/data".into(),
        socket: "/run/other.sock".into(),
        sync_socket: Some("/run/another.sock".into()),
        cache_bytes: 32 * 1024 * 1024,
        reserve_bytes: 21 << 20,
        log: "info,broker=debug".to_owned(),
        first_tariff: Some("/tariff.toml".into()),
        mqtt: Mqtt {
            listen: vec![address("0.0.0.0:1"), address("[::1]:2")],
            tls_listen: Some(address("0.0.0.0:3")),
            connections_max: 11,
            connections_per_address_max: 12,
        },
        http: Http {
            listen: Some(address("192.0.2.1:4")),
            tls_listen: Some(address("0.0.0.0:5")),
            connections_per_address_max: 13,
        },
        tls: tls::Config {
            own: Some(tls::CertificateFiles {
                certificate: "/c.pem".into(),
                private_key: "/k.pem".into(),
            }),
            client_ca: Some("/ca.pem".into()),
            ..Config::new(SiteId::new("s1").unwrap()).tls
        },
        policy: Policy {
            start_timeout_ms: 2_000,
            prepay_min: fen("0.03"),
            prepay_max: fen("5.00"),
            prepay_default: fen("0.40"),
            open_orders_max: 6,
            review_above: fen("7.00"),
            notice_ms: 8_000,
            power_default: "9.000".parse().unwrap(),
            record_request_ms: 10_000,
            record_overdue_ms: 61_000,
            remainder_ms: 12_000,
            gone_ms: 13_000,
            faults_max: 14,
            drops_max: 15,
            sick_window_ms: 1_500,
            fake_charging_window_ms: 20_000,
            fake_charging_pct: 21,
            offline_sessions: true,
            offline_session_cap: fen("17.18"),
            quarantine_bytes_max: 24 << 20,
            journal_bytes_max: 27 << 20,
            telemetry_below_bytes: 23 << 20,
            orders_below_bytes: 22 << 20,
            clock_step_ms: 19_000,
            silent_ms: 25_000,
            stop_unordered: true,
            second_person_above: fen("25.26"),
            time_zone: domain::time::Zone::default(), // the station's, and no key of `[policy]`
            head_office: true,                        // these two stand under `[head_office]`
            site_number: Some(12),
        },
        clock: ClockConfig {
            trusted: true,
            rate: 60,
            start: Some(Wall::parse("2026-03-01T07:50:00+08:00").unwrap()),
        },
        retention: Retention {
            days: 36,
            samples_days: 37,
            until_acknowledged: true,
        },
        head_office: HeadOffice {
            public_keys: PublicKeys(vec![HEAD_OFFICE.parse().unwrap()]),
            site_number: Some(12),
        },
    };
    assert_eq!(load(text).unwrap(), expected);
}

#[test]
fn a_typing_error_is_told_with_its_line_and_the_nearest_name() {
    assert_eq!(
        faults_of("\n[mqtt]\nlisten = []\nlisen = [\"127.0.0.1:1883\"]\n[policy]\nprepay_mn = \"1.00\""),
        [
            ":5: mqtt.lisen: is not a known key; did you mean `listen`?",
            ":7: policy.prepay_mn: is not a known key; did you mean `prepay_min`?",
        ]
    );
}

#[test]
fn every_fault_names_its_line_its_key_and_what_to_do() {
    for (text, expected) in [
        (
            "tme_zone = \"UTC\"",
            ":2: tme_zone: is not a known key; did you mean `time_zone`?",
        ),
        (
            "[mqqt]\nlisten = []",
            ":2: mqqt: is not a known key; did you mean `mqtt`?",
        ),
        (
            "start_timeout = \"60s\"",
            ":2: start_timeout: is not a known key here; `start_timeout` stands under `[policy]`",
        ),
        (
            "[http]\nport = 80",
            ":3: http.port: is not a known key; known here are `connections_per_address_max`, `listen`, `plain_beyond_loopback`, `tls`",
        ),
        (
            "mqtt = 1883",
            ":2: mqtt: is a number, but names a table; write its keys under `[mqtt]`",
        ),
        ("[log]\nlevel = \"info\"", ":2: log: is a table; give a text in quotes"),
        ("site = \"s2\"", ":2: is not TOML: duplicate key"),
        (
            "time_zone = \"Asia/Shangai\"",
            ":2: time_zone: `Asia/Shangai` is not a known time zone; did you mean \"Asia/Shanghai\"?",
        ),
        (
            "time_zone = \"China\"",
            ":2: time_zone: `China` is not a known time zone; give an IANA name such as \"Asia/Shanghai\"",
        ),
        ("data_dir = \"\"", ":2: data_dir: is empty; give a path"),
        ("data_dir = 7", ":2: data_dir: is a number; give a text in quotes"),
        (
            "cache = 8",
            ":2: cache: is a number; give a size with its unit, in quotes, such as \"8MiB\"",
        ),
        (
            "cache = \"8MB\"",
            ":2: cache: `8MB` is not a size; give a size with its unit, in quotes, such as \"8MiB\"",
        ),
        (
            "cache = \"512KiB\"",
            ":2: cache: `512KiB` is out of range; give a size from \"1MiB\" to \"4096MiB\"",
        ),
        (
            "[mqtt]\nlisten = \"127.0.0.1:1883\"",
            ":3: mqtt.listen: is a text; give a list of addresses such as [\"127.0.0.1:1883\"]",
        ),
        (
            "[mqtt]\nlisten = [\"localhost:1883\"]",
            ":3: mqtt.listen: `localhost:1883` is not an address; give an IP address and a port in quotes, such as \"127.0.0.1:1883\" or \"[::1]:1883\"",
        ),
        (
            "[mqtt]\nlisten = [\"[::1]:1\", \"[::1]:1\"]",
            ":3: mqtt.listen: lists [::1]:1 twice",
        ),
        (
            "[mqtt]\nlisten = []\ntls.listen = \"\"",
            ":3: mqtt.listen: is empty and there is no `[mqtt.tls]` listener: no pile could connect; give an address",
        ),
        (
            "[mqtt]\nlisten = [\"0.0.0.0:1883\"]",
            ":3: mqtt.listen: 0.0.0.0:1883 would carry the piles' secrets over the network in the clear; let piles use TLS (`[mqtt.tls]`), or set `plain_beyond_loopback = true` under `[mqtt]` for a LAN that only piles are on",
        ),
        (
            "[http]\nlisten = \"[::]:8080\"",
            ":3: http.listen: [::]:8080 would carry access tokens over the network in the clear; let callers use HTTPS (`[http.tls]`), or set `plain_beyond_loopback = true` under `[http]` for a network that you trust",
        ),
        (
            "[http]\nlisten = \"127.0.0.1:1883\"",
            ":3: http.listen: 127.0.0.1:1883 is taken by MQTT; give another port",
        ),
        (
            "[mqtt]\nconnections_max = 0",
            ":3: mqtt.connections_max: `0` is not a whole number from 1 to 65536",
        ),
        (
            "[mqtt]\nconnections_max = \"9\"",
            ":3: mqtt.connections_max: is a text; give a whole number from 1 to 65536, without quotes",
        ),
        (
            "[mqtt]\nplain_beyond_loopback = 1",
            ":3: mqtt.plain_beyond_loopback: is a number; give true or false, without quotes",
        ),
        (
            "[clock]\nrate = 60",
            ":3: clock.rate: 60 is not the speed of time; orders would be rated by a time that is not so. For a demonstration set `demonstration = true` under `[clock]`; otherwise remove it",
        ),
        (
            "[clock]\nstart = 2026-03-01T07:50:00+08:00",
            ":3: clock.start: orders would be rated by a time that is not so. For a demonstration set `demonstration = true` under `[clock]`; otherwise remove it",
        ),
        (
            "[clock]\ndemonstration = true\nstart = 2026-03-01T07:50:00",
            ":4: clock.start: `2026-03-01T07:50:00` is not an RFC 3339 time such as 2026-03-01T08:00:00+08:00",
        ),
        (
            "[clock]\ndemonstration = true\nrate = 0",
            ":4: clock.rate: `0` is not a whole number from 1 to 3600",
        ),
        (
            "[policy]\nstart_timeout = 60",
            ":3: policy.start_timeout: is a number; give a duration with its unit, in quotes, such as \"60s\", \"30m\" or \"24h\"",
        ),
        (
            "[policy]\nstart_timeout = \"60\"",
            ":3: policy.start_timeout: `60` is not a duration; give a duration with its unit, in quotes, such as \"60s\", \"30m\" or \"24h\"",
        ),
        (
            "[policy]\nstart_timeout = \"2h\"",
            ":3: policy.start_timeout: `2h` is not within 1s to 1h in whole milliseconds",
        ),
        (
            "[policy]\nstart_timeout = \"-5s\"",
            ":3: policy.start_timeout: `-5s` is not within 1s to 1h in whole milliseconds",
        ),
        (
            "[policy]\nstart_timeout = \"1s 1us\"",
            ":3: policy.start_timeout: `1s 1us` is not within 1s to 1h in whole milliseconds",
        ),
        (
            "[policy]\nreview_above = 200.00",
            ":3: policy.review_above: is a number; give yuan in quotes, from \"0.01\" to \"100000.00\"",
        ),
        (
            "[policy]\nreview_above = \"200.005\"",
            ":3: policy.review_above: `200.005` has more than 2 decimal places",
        ),
        (
            "[policy]\nreview_above = \"¥200\"",
            ":3: policy.review_above: `¥200` is not a decimal number such as \"12.34\"",
        ),
        (
            "[policy]\nreview_above = \"-1\"",
            ":3: policy.review_above: `-1` is out of range; give yuan from \"0.01\" to \"100000.00\"",
        ),
        (
            "[policy]\npower_default = \"0\"",
            ":3: policy.power_default: `0` is out of range; give kW from \"0.001\" to \"10000.000\"",
        ),
        (
            "[policy]\nprepay_default = \"600.00\"",
            ":3: policy.prepay_default: \"600.00\" is not between `prepay_min` \"5.00\" and `prepay_max` \"500.00\"",
        ),
        (
            "[policy]\nrecord_overdue = \"60s\"",
            ":3: policy.record_overdue: is not longer than `record_request`: an estimate would take the record's place before the pile was asked for it; give a longer time",
        ),
    ] {
        assert_eq!(faults_of(text), [expected], "{text}");
    }
}

#[test]
fn a_certificate_comes_with_its_key_and_a_listener() {
    assert_eq!(
        faults_of("[mqtt.tls]\ncertificate = \"c.pem\""),
        [
            ": mqtt.tls.private_key: is missing; `certificate` needs `private_key`, or leave both out for a certificate of the station's own"
        ]
    );
    assert_eq!(
        faults_of("[mqtt.tls]\ncertificate = \"\"\nprivate_key = \"k.pem\""),
        [
            ":3: mqtt.tls.certificate: is missing; `private_key` needs `certificate`, or leave both out for a certificate of the station's own"
        ]
    );
    assert_eq!(
        faults_of("[mqtt.tls]\nlisten = \"\"\nclient_ca = \"ca.pem\""),
        [
            ":3: mqtt.tls.listen: is empty, and so is `http.tls.listen`: nothing uses the other keys under `[mqtt.tls]`; give an address such as \"0.0.0.0:8883\""
        ]
    );
    assert_eq!(
        faults_of("[mqtt.tls]\nnames = [\"a b\"]"),
        [
            ":3: mqtt.tls.names: `a b` is neither a host name nor an address; give a list of names and addresses such as [\"edge.example\", \"192.168.1.10\"]"
        ]
    );
    let names = "[mqtt.tls]\nnames = [\"edge\"]\ncertificate = \"c.pem\"\nprivate_key = \"k.pem\"";
    assert!(faults_of(names)[0].contains("mqtt.tls.names: is for the certificate that the station makes itself"));
}

#[test]
fn piles_get_tls_everywhere_and_without_it_this_machine_alone() {
    let config = load("site = \"s1\"").unwrap();
    assert_eq!(config.mqtt.tls_listen, Some("0.0.0.0:8883".parse().unwrap()));
    assert_eq!((config.tls.own, config.http.tls_listen), (None, None));
    assert!(config.mqtt.listen.iter().all(|address| address.ip().is_loopback()));
    let named = load("site = \"s1\"\n[mqtt.tls]\nnames = [\"edge.example\", \"192.0.2.7\", \"fd00::7\"]").unwrap();
    assert_eq!(named.tls.names, ["edge.example", "192.0.2.7", "fd00::7"]);
    assert!(!load("site = \"s1\"\n[mqtt.tls]\nlisten = \"\"").unwrap().has_tls());
    assert!(
        load("site = \"s1\"\n[mqtt.tls]\nlisten = \"\"\n[http.tls]\nlisten = \"127.0.0.1:8443\"")
            .unwrap()
            .has_tls()
    );
}

#[test]
fn a_missing_site_is_told_once() {
    let message = |text| load(text).unwrap_err().faults;
    let missing = message("time_zone = \"UTC\"");
    assert_eq!(missing.len(), 1);
    assert_eq!(missing[0].key, "site");
    assert!(missing[0].message.contains("`site = \"station-1\"`"), "{missing:?}");

    let wrong = message("site = \"上海 1\"");
    assert_eq!(wrong.len(), 1);
    assert_eq!(
        wrong[0].message,
        "`上海 1` is not a valid site id: 1 to 32 of A-Z a-z 0-9 _ -"
    );
}

#[test]
fn the_environment_goes_over_the_file() {
    let config = load_with(
        "site = \"s1\"\n[mqtt]\nlisten = [\"127.0.0.1:1\"]\n[policy]\nreview_above = \"1.00\"",
        &[
            ("HOLDFAST_EDGE__SITE", "s2"),
            ("HOLDFAST_EDGE__MQTT__LISTEN", "127.0.0.1:5, 127.0.0.1:6"),
            ("HOLDFAST_EDGE__MQTT__CONNECTIONS_MAX", "7"),
            ("HOLDFAST_EDGE__HTTP__LISTEN", ""),
            ("HOLDFAST_EDGE__POLICY__REVIEW_ABOVE", "150.00"),
            ("HOLDFAST_EDGE__POLICY__OFFLINE_SESSIONS", "true"),
            ("PATH", "/bin"),
        ],
    )
    .unwrap();
    assert_eq!(config.site.as_str(), "s2");
    assert_eq!(config.mqtt.listen.len(), 2);
    assert_eq!(config.mqtt.connections_max, 7);
    assert_eq!(config.http.listen, None);
    assert_eq!(config.policy.review_above.to_string(), "150.00");
    assert!(config.policy.offline_sessions);
}

#[test]
fn a_fault_of_the_environment_names_the_variable() {
    let shown = |name, value| load_with("site = \"s1\"", &[(name, value)]).unwrap_err().to_string();
    assert_eq!(
        shown("HOLDFAST_EDGE__MQTT__LISEN", "127.0.0.1:1"),
        "environment variable HOLDFAST_EDGE__MQTT__LISEN: overrides no key; did you mean HOLDFAST_EDGE__MQTT__LISTEN?"
    );
    assert_eq!(
        shown("HOLDFAST_EDGE__COLOUR", "red"),
        "environment variable HOLDFAST_EDGE__COLOUR: overrides no key; remove it, or see the configuration file for the keys there are"
    );
    assert_eq!(
        shown("HOLDFAST_EDGE__CLOCK__RATE", "fast"),
        "environment variable HOLDFAST_EDGE__CLOCK__RATE: clock.rate: `fast` is not a whole number from 1 to 3600"
    );
    assert!(shown("HOLDFAST_EDGE__MQTT__LISTEN", "0.0.0.0:1883").starts_with(
        "environment variable HOLDFAST_EDGE__MQTT__LISTEN: mqtt.listen: 0.0.0.0:1883 would carry the piles' secrets"
    ));
    assert_eq!(
        shown("HOLDFAST_EDGE__POLICY__OFFLINE_SESSIONS", "yes"),
        "environment variable HOLDFAST_EDGE__POLICY__OFFLINE_SESSIONS: policy.offline_sessions: `yes` is neither true nor false"
    );
}

#[test]
fn relative_paths_count_from_the_folder_of_the_file() {
    let config = load("site = \"s1\"\ndata_dir = \"data\"\nfirst_tariff = \"tariffs/t.toml\"").unwrap();
    assert_eq!(config.data_dir, std::env::temp_dir().join("data"));
    assert_eq!(config.first_tariff, Some(std::env::temp_dir().join("tariffs/t.toml")));
}

#[test]
fn a_socket_path_that_the_system_cannot_take_is_refused_before_it_is_tried() {
    let long = format!("socket = \"/{}\"", "x".repeat(107));
    assert_eq!(
        faults_of(&long),
        [":2: socket: is 108 bytes long, and the system allows 107; give a shorter path"]
    );
}

/// A key of RFC 8032.
const HEAD_OFFICE: &str = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";

#[test]
fn with_a_head_office_nothing_goes_that_it_does_not_have() {
    for (line, keys) in [
        (String::new(), 0),
        ("public_key = \"\"".to_owned(), 0),
        ("public_key = []".to_owned(), 0),
        (format!("public_key = \"{HEAD_OFFICE}\""), 1),
        (format!("public_key = [\"{HEAD_OFFICE}\", \"{HEAD_OFFICE}\"]"), 2),
    ] {
        let config = load(&format!("site = \"s1\"\n[head_office]\n{line}")).unwrap();
        assert_eq!(config.head_office.public_keys.0.len(), keys, "{line}");
        assert_eq!(config.retention.until_acknowledged, keys > 0, "{line}");
    }
    let wrong = faults_of("[head_office]\npublic_key = \"3d40\"");
    assert!(
        wrong[0].contains("head_office.public_key") && wrong[0].contains("64 hexadecimal"),
        "{wrong:?}"
    );
}

#[test]
fn head_office_owns_what_it_owns_once_the_site_has_its_number() {
    let joined = load(&format!(
        "site = \"s1\"\n[head_office]\npublic_key = \"{HEAD_OFFICE}\"\nsite_number = 7"
    ));
    let policy = joined.unwrap().policy;
    assert_eq!((policy.head_office, policy.site_number), (true, Some(7)));
    let copied = load(&format!(
        "site = \"s1\"\n[head_office]\npublic_key = \"{HEAD_OFFICE}\"\nsite_number = \"\""
    ))
    .unwrap();
    assert!(!copied.policy.head_office);
    let keyless = faults_of("[head_office]\nsite_number = 7");
    assert!(
        keyless[0].contains("head_office.site_number") && keyless[0].contains("public_key"),
        "{keyless:?}"
    );
    let none = faults_of("[head_office]\nsite_number = 0");
    assert!(none[0].contains("head_office.site_number"), "{none:?}");
}

#[test]
fn the_socket_of_the_line_to_head_office_is_not_the_administrators() {
    let same = faults_of("socket = \"/run/s\"\nsync_socket = \"/run/s\"");
    assert!(
        same[0].contains("sync_socket") && same[0].contains("administrators"),
        "{same:?}"
    );
    let none = load("site = \"s1\"\nsync_socket = \"\"").unwrap();
    assert_eq!(none.sync_socket, None);
}

#[test]
fn a_file_that_is_not_there_is_told_by_name() {
    let fault = Config::load(Path::new("/nonexistent/edge.toml"), [])
        .unwrap_err()
        .to_string();
    assert!(fault.starts_with("/nonexistent/edge.toml: cannot be read: "), "{fault}");
}

#[test]
fn nothing_that_a_file_says_panics() {
    let deep = format!("a = {}{}", "[".repeat(10_000), "]".repeat(10_000));
    for text in [
        "\u{feff}",
        "site",
        "site = ",
        "[",
        "[[mqtt]]",
        "mqtt.tls = 1",
        "= 1",
        "\"\" = 1",
        "a.b.c = 1",
        &deep,
    ] {
        assert!(load(text).is_err(), "{text:.40}");
    }
    let many: String = (0..1_000).map(|n| format!("key{n} = 1\n")).collect();
    assert!(load(&many).unwrap_err().faults.len() <= 50);
}

#[test]
fn what_a_terminal_would_obey_is_shown_in_what_is_said_of_it() {
    let told = faults_of("time_zone = \"\\u001b[2J\"\n\"a\\nb\" = 1\n");
    assert!(told[0].starts_with(":3: a\\nb: is not a known key"), "{told:?}");
    assert_eq!(
        told[1],
        ":2: time_zone: `\\u{1b}[2J` is not a known time zone; give an IANA name such as \"Asia/Shanghai\""
    );
    assert_eq!(told.len(), 2);
}
