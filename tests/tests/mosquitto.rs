//! `mosquitto_pub` and `mosquitto_sub` alone play a pile through a whole session, by the commands that the contract prints:
//! those for the station go to the real command line, those for the pile to bash. What is printed cannot drift from what works.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

use serde_json::json;
use std::process::Command;
use world::station::{Folder, Setup, StationProcess, repository};

/// One price all day, so that the fee is known whatever the hour: 0.0700 kWh are 0.07 and 0.035 yuan.
const TARIFF: &str = r#"
id = "one-price"
effective_from = 2026-01-01T00:00:00+08:00
currency = "CNY"
prices.flat = { electricity = "1.00000", service = "0.50000" }
schedules = [{ periods = [{ from = "00:00", to = "24:00", kind = "flat" }] }]
"#;
const FEE: &str = "0.11";

/// The fenced blocks of a language in the worked session.
fn blocks(language: &str) -> Vec<String> {
    let document = std::fs::read_to_string(repository().join("docs/pile-protocol.md")).unwrap();
    let (_, session) = document
        .split_once("\n## A worked session\n")
        .expect("the contract has a worked session");
    let session = session.split("\n## ").next().unwrap();
    let fence = format!("```{language}\n");
    session
        .split(fence.as_str())
        .skip(1)
        .map(|rest| rest.split("\n```").next().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn two_shell_commands_play_a_pile_from_boot_to_bill() {
    for program in ["mosquitto_pub", "mosquitto_sub"] {
        let there = Command::new(program).arg("--help").output().is_ok();
        assert!(
            there,
            "{program} is missing; run `cargo xtask test`, which installs it (Debian: mosquitto-clients)"
        );
    }
    let folder = Folder::new("mosquitto-tariff").unwrap();
    let tariff = folder.path().join("tariff.toml");
    std::fs::write(&tariff, TARIFF).unwrap();
    let mut station = StationProcess::start("mosquitto", &Setup { tariff, ..Setup::new() })
        .await
        .unwrap();

    let mut secret = String::new();
    let at_the_station = blocks("sh").join("\n");
    for line in at_the_station.lines() {
        let words = line.split('#').next().unwrap().split_whitespace().collect::<Vec<_>>();
        let [sudo, program, arguments @ ..] = words.as_slice() else {
            panic!("not a command: {line}")
        };
        assert_eq!((*sudo, *program), ("sudo", "holdfast-edge"), "{line}");
        let said = station.cli(arguments).unwrap();
        secret.extend(
            said.lines()
                .filter_map(|line| line.strip_prefix("secret"))
                .map(str::trim),
        );
    }
    assert!(!secret.is_empty(), "no secret was printed");

    let script = format!(
        "set -eu\n{}\nwait \"$EARS\" || true\necho \"order $ORDER\"",
        blocks("bash").join("\n")
    );
    let played = Command::new("bash")
        .args(["-c", &script])
        .env("HOST", station.mqtt.ip().to_string())
        .env("PORT", station.mqtt.port().to_string())
        .env("SECRET", &secret)
        .env("TMPDIR", folder.path())
        .output()
        .unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&played.stdout),
        String::from_utf8_lossy(&played.stderr),
    );
    assert!(played.status.success(), "{out}\n{err}\n{}", station.log());
    let order = out.lines().find_map(|line| line.strip_prefix("order ")).unwrap();

    let order = station
        .get(&format!("/v1/orders/{order}"))
        .await
        .unwrap()
        .success()
        .unwrap();
    assert_eq!(order["state"], "PAYED", "{order}");
    assert_eq!((&order["member"], &order["source"]), (&json!("m-1001"), &json!("card")));
    let bill = &order["bill"];
    assert_eq!(
        (&bill["energy_kwh"], &bill["fee"]),
        (&json!("0.0700"), &json!(FEE)),
        "{order}"
    );
    assert_eq!(
        (&bill["electricity"], &bill["service"]),
        (&json!("0.07"), &json!("0.04"))
    );
    let member = station.get("/v1/members/m-1001").await.unwrap().success().unwrap();
    assert_eq!(
        (&member["allowance"], &member["held"]),
        (&json!("99.89"), &json!("0.00"))
    );
    let kept = station.all("/v1/quarantine").await.unwrap();
    let why: Vec<_> = kept.iter().map(|item| item["why"].as_str().unwrap()).collect();
    assert_eq!(kept.len(), 2, "{why:?}");
    assert!(why.contains(&"malformed"), "{why:?}");
    assert!(station.terminate().await.unwrap());
}
