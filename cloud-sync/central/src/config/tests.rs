//! Configurations that are taken, and what is said of those that are not.

use super::{keys::KEYS, *};
use domain::time::Wall;
use service::config::split_address;

fn packaged() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/central.toml")
}

fn of(text: &str) -> Result<Config, ConfigFault> {
    Config::of_text(Path::new("/etc/holdfast/central.toml"), text, [])
}

/// Everything that is said of a text, without the file's name.
fn faults_of(text: &str) -> String {
    of(text)
        .expect_err(text)
        .to_string()
        .replace("/etc/holdfast/central.toml", "")
}

#[test]
fn the_packaged_file_and_an_empty_one_say_the_defaults_and_the_former_names_every_key() {
    assert_eq!(Config::load(&packaged(), []).unwrap(), Config::default());
    assert_eq!(of("").unwrap(), Config::default());
    let text = std::fs::read_to_string(packaged()).unwrap();
    let table: toml::Table = text.parse().unwrap();
    for key in KEYS {
        let mut at = Some(&table);
        let (tables, name) = key.path.rsplit_once('.').unwrap_or(("", key.path));
        for part in tables.split('.').filter(|part| !part.is_empty()) {
            at = at.and_then(|table| table.get(part)).and_then(toml::Value::as_table);
        }
        assert!(at.is_some_and(|table| table.contains_key(name)), "{}", key.path);
    }
}

#[test]
fn the_database_is_in_the_folder_unless_an_address_is_given() {
    let config = of("data_dir = \"/srv/central\"").unwrap();
    assert_eq!(config.database, Place::File("/srv/central/central.sqlite".into()));
    let config = of("[database]\nurl = \"host=/run/postgresql\"").unwrap();
    assert_eq!(config.database, Place::Postgres("host=/run/postgresql".to_owned()));
    assert!(
        !format!("{config:?}").contains("/run/postgresql"),
        "an address may have a password in it"
    );
    let both = faults_of("[database]\nurl = \"a\"\nurl_file = \"/b\"");
    assert!(both.contains(":3: database.url_file: is given beside `url`"), "{both}");
    let missing = faults_of("[database]\nurl_file = \"not-there\"");
    assert!(missing.contains("/etc/holdfast/not-there cannot be read"), "{missing}");
}

#[test]
fn a_demonstration_may_be_at_another_time() {
    let config = of("[clock]\ndemonstration = true\nstart = 2026-03-09T12:00:00+08:00").unwrap();
    assert_eq!(config.clock_start, Some(Wall(1_773_028_800_000)));
    assert_eq!(of("").unwrap().clock_start, None);
}

#[test]
fn one_address_takes_a_small_part_of_the_connections_of_sites() {
    let limits = |text: &str| door::limits(of(text).unwrap().sites.connections_per_address_max);
    let few = limits("");
    assert!(few.connections_per_address_max * 16 <= few.connections_max);
    // All sites may come through one gateway.
    let all = limits("[sites]\nconnections_per_address_max = 4096");
    assert_eq!(all.connections_per_address_max, all.connections_max);
    let none = faults_of("[sites]\nconnections_per_address_max = 0");
    assert!(none.contains("sites.connections_per_address_max"), "{none}");
}

#[test]
fn a_broker_of_somebody_elses_takes_the_place_of_the_own_listener() {
    let config = of("[sites.broker]\naddress = \"mq.example:8883\"").unwrap();
    assert_eq!(config.sites.listen, None);
    assert_eq!(config.sites.told(&[], 1), ["mq.example:8883"]);
    let broker = config.sites.broker.unwrap();
    let node = |name: &str| (name.to_owned(), 8883);
    assert_eq!((broker.addresses, broker.plain), (vec![node("mq.example")], false));
    let config =
        of("[sites]\naddress = \"outside.example:18883\"\n[sites.broker]\naddress = \"[fd00::1]:8883\"").unwrap();
    assert_eq!(config.sites.told(&[], 1), ["outside.example:18883"]);
    assert_eq!(config.sites.broker.unwrap().addresses, [node("fd00::1")]);
    // A cluster is reached at any of its nodes.
    let config = of("[sites.broker]\naddress = [\"a.example:8883\", \"b.example:8883\"]").unwrap();
    assert_eq!(config.sites.told(&[], 1), ["a.example:8883", "b.example:8883"]);
    assert_eq!(
        config.sites.broker.unwrap().addresses,
        [node("a.example"), node("b.example")]
    );
    let variable = (
        format!("{ENVIRONMENT}SITES__BROKER__ADDRESS"),
        "a.example:8883, b.example:8883".to_owned(),
    );
    let config = Config::of_text(Path::new("/etc/holdfast/central.toml"), "", [variable]).unwrap();
    assert_eq!(
        config.sites.broker.unwrap().addresses,
        [node("a.example"), node("b.example")]
    );
}

#[test]
fn what_is_wrong_is_told_with_its_line_and_what_to_do() {
    for (text, part) in [
        ("process = \"a b\"", ":1: process: `a b` is not a name for a process"),
        ("log = \"[\"", ":1: log: `[` is not a log filter"),
        (
            "[clock]\nstart = 2026-03-09T12:00:00+08:00",
            ":2: clock.start: money would be booked at a time that is not so. For a demonstration set",
        ),
        (
            "[http]\nlisten = \"0.0.0.0:80\"",
            ":2: http.listen: 0.0.0.0:80 would carry access tokens",
        ),
        (
            "[http.tls]\nlisten = \"0.0.0.0:8884\"",
            ":2: http.tls.listen: 0.0.0.0:8884 is `sites.listen` too",
        ),
        ("[sites.broker]\nplain = true", "sites.broker.address: is missing"),
        (
            "[sites.broker]\naddress = \"x\"",
            ":2: sites.broker.address: `x` is not a host name",
        ),
        (
            "[sites.broker]\naddress = [\"x:1\", \"y\"]",
            ":2: sites.broker.address: `y` is not a host name",
        ),
        (
            "[sites.broker]\naddress = \"x:1\"\nuser = \"u\"",
            "sites.broker.password_file: is missing",
        ),
        ("[tls]\ncertificate = \"/c\"", "tls.private_key: is missing"),
        ("[site]\nlisten = \"x\"", "sites"),
        (
            "[alerts.webhook]\nurl = \"https://x/y\"",
            "alerts.webhook.secret_file: is missing",
        ),
        (
            "[alerts.webhook]\nsecret_file = \"/s\"",
            "alerts.webhook.url: is missing",
        ),
        (
            "[alerts.webhook]\nurl = \"http://alerts.example/\"",
            ":2: alerts.webhook.url: `http://alerts.example/` is not an address such as",
        ),
        (
            "[alerts.webhook]\nurl = \"https://u:p@alerts.example/\"",
            ":2: alerts.webhook.url: ",
        ),
        ("[alerts.mail]\nto = [\"a@b\"]", "alerts.mail.server: is missing"),
        (
            "[alerts.mail]\nserver = \"mail.example:587\"",
            "alerts.mail.from: is missing",
        ),
        (
            "[alerts.mail]\nserver = \"mail.example:587\"\nfrom = \"a@b\"",
            "alerts.mail.to: is empty",
        ),
        (
            "[alerts.mail]\nserver = \"mail.example:25\"\nsecurity = \"plain\"\nfrom = \"a@b\"\nto = [\"c@d\"]",
            ":3: alerts.mail.security: would send mail, and a password",
        ),
        (
            "[alerts.mail]\nfrom = \"a@b>\\r\\nRCPT TO:<c@d\"",
            ":2: alerts.mail.from: ",
        ),
        (
            "[alerts.mail]\nserver = \"mail.example:25\"\nfrom = \"a@b\"\nto = [\"c@d\"]\nuser = \"u\"",
            "alerts.mail.password_file: is missing",
        ),
        ("[alerts]\nsilent_after = \"1m\"", ":2: alerts.silent_after: "),
        (
            "[mini_program.webhook]\nurl = \"https://x/y\"",
            "mini_program.webhook.secret_file: is missing",
        ),
        (
            "[mini_program.webhook]\nauthority = \"/a\"",
            "mini_program.webhook.url: is missing",
        ),
        (
            "[mini_program.webhook]\nurl = \"https://10.0.0.7/y\"\nsecret_file = \"/s\"",
            ":2: mini_program.webhook.url: 10.0.0.7 is inside of a private network; set `allow_private = true`",
        ),
        (
            "[mini_program.webhook]\nurl = \"http://[::1]:9000/y\"\nsecret_file = \"/s\"",
            ":2: mini_program.webhook.url: ::1 is inside of a private network; set `allow_private = true`",
        ),
        (
            "[mini_program.webhook]\ntry_for = \"1m\"",
            ":2: mini_program.webhook.try_for: ",
        ),
    ] {
        let faults = faults_of(text);
        assert!(faults.contains(part), "{text}: {faults}");
    }
}

#[test]
fn who_is_told_of_alerts_is_read() {
    let config = of(
        "[alerts]\nsilent_after = \"5m\"\ndisk_free = \"2GiB\"\n[alerts.webhook]\nurl = \"https://alerts.example/a?b=c\"\n\
         secret_file = \"secret\"\n[alerts.mail]\nserver = \"mail.example:465\"\nsecurity = \"tls\"\nfrom = \"a@b\"\nto = \
         [\"c@d\"]\nuser = \"u\"\npassword_file = \"/p\"",
    )
    .unwrap();
    let alerts = config.alerts;
    assert_eq!(
        (alerts.thresholds.silent_after_ms, alerts.thresholds.disk_free),
        (300_000, 2 << 30)
    );
    let webhook = alerts.webhook.unwrap();
    let address = WebhookAddress::Https {
        host: "alerts.example".to_owned(),
        port: 443,
        path: "/a?b=c".to_owned(),
    };
    assert_eq!(webhook.address, address);
    assert_eq!(webhook.secret_file, Path::new("/etc/holdfast/secret"));
    let mail = alerts.mail.unwrap();
    assert_eq!(
        (mail.host.as_str(), mail.port, mail.security),
        ("mail.example", 465, Security::Tls)
    );
    assert_eq!(mail.user, Some(("u".to_owned(), "/p".into())));
    let here = of("[alerts.webhook]\nurl = \"http://[::1]:9000\"\nsecret_file = \"/s\"").unwrap();
    let address = WebhookAddress::Plain {
        at: "[::1]:9000".parse().unwrap(),
        path: "/".to_owned(),
    };
    assert_eq!(here.alerts.webhook.unwrap().address, address);
}

#[test]
fn who_gets_reports_is_read() {
    let mail = "[alerts.mail]\nserver = \"mail.example:587\"\nfrom = \"a@b\"\nto = [\"c@d\"]\n";
    let config = of(&format!(
        "{mail}[reports]\nmail_to = [\"lead@b\", \"books@b\"]\nprovisional = true\n[reports.webhook]\n\
         url = \"https://finance.example/told\"\nsecret_file = \"secret\""
    ));
    let reports = config.unwrap().reports;
    assert_eq!((reports.mail_to.len(), reports.provisional), (2, true));
    assert_eq!(reports.webhook.unwrap().secret_file, Path::new("/etc/holdfast/secret"));
    for (text, part) in [
        (
            "[reports]\nmail_to = [\"lead@b\"]",
            ":2: reports.mail_to: needs a mail server: give `server`",
        ),
        (
            "[reports]\nprovisional = true",
            ":2: reports.provisional: is of no use without somebody",
        ),
        (
            "[reports.webhook]\nurl = \"https://x\"",
            "reports.webhook.secret_file: is missing",
        ),
        (
            "[reports]\nmail_to = [\"nobody\"]",
            ":2: reports.mail_to: `nobody` is not a mail address",
        ),
    ] {
        let faults = faults_of(text);
        assert!(faults.contains(part), "{text}: {faults}");
    }
}

#[test]
fn the_back_end_that_is_told_is_read() {
    let config = of(
        "[mini_program.webhook]\nurl = \"https://back-end.example/told\"\nsecret_file = \"secret\"\nauthority = \"ca.pem\"\n\
         try_for = \"120h\"",
    )
    .unwrap();
    let told = config.mini_program.unwrap();
    let address = WebhookAddress::Https {
        host: "back-end.example".to_owned(),
        port: 443,
        path: "/told".to_owned(),
    };
    assert_eq!(told.webhook.address, address);
    assert_eq!(told.webhook.secret_file, Path::new("/etc/holdfast/secret"));
    assert_eq!(told.authority, Some("/etc/holdfast/ca.pem".into()));
    assert_eq!((told.allow_private, told.tried_ms), (false, 5 * 86_400_000));
    let inside =
        of("[mini_program.webhook]\nurl = \"http://localhost:9000\"\nsecret_file = \"/s\"\nallow_private = true")
            .unwrap();
    let told = inside.mini_program.unwrap();
    assert_eq!((told.allow_private, told.tried_ms), (true, 3 * 86_400_000));
    assert_eq!(told.webhook.address.ip(), Some("127.0.0.1".parse().unwrap()));
}

#[test]
fn addresses_are_split_into_host_and_port() {
    assert_eq!(split_address("a.example:1"), Some(("a.example", 1)));
    assert_eq!(split_address("[::1]:2"), Some(("::1", 2)));
    for wrong in ["", "a", "a:", ":1", "a:0", "a:65536", "::1", "[::1:2", "a b:1"] {
        assert_eq!(split_address(wrong), None, "{wrong}");
    }
}
