//! The demonstration: a real daemon, ten simulated piles in another process, and a story that ends with books at zero; then two
//! stations and their head office, and members who travel between them; then three days are reconciled, and the report names one error of
//! each class.
//! Every bill and balance is compared with `tests/demo/expected.json`, which a program without our code worked out.

#![allow(clippy::print_stdout, reason = "a demonstration is there to be read")]

mod head_office;
mod report;
mod three_books;
mod travelling;

use anyhow::{Context, bail, ensure};
use clap::Parser;
use domain::order::State;
use futures_util::StreamExt;
use serde_json::{Value, json};
use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest};
use world::station::{Setup, StationProcess, program, repository};

/// Station minutes pass in seconds.
const RATE: u32 = 60;
/// In the dearest hour; the next price comes at eight, long after all but one session is over.
const STARTS_AT: &str = "2026-03-02T07:20:00+08:00";
/// How long any one thing in the story may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// When every pile has its car, in seconds of the piles' time after they are online.
const CARS_COME_S: f64 = 3.0;

/// Ten cars at a station without internet.
#[derive(Debug, Parser)]
#[command(name = "demo", verbatim_doc_comment)]
struct Options {
    /// End after the story; the exit code says whether every figure was right.
    #[arg(long)]
    exit: bool,
    /// Only the last part: the reconciliation report.
    #[arg(long)]
    report: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    if options.report {
        return report::tell(Instant::now()).await;
    }
    let folder = repository().join("tests/demo");
    let setup = Setup {
        rate: RATE,
        clock_start: Some(domain::time::Wall::parse(STARTS_AT).map_err(anyhow::Error::msg)?),
        tariff: folder.join("tariff.toml"),
        policy: "offline_sessions = true\n".to_owned(),
        ..Setup::new()
    };
    // Built before the station's clock begins to run.
    program("holdfast-tests", "pile-sim");
    let station = StationProcess::start("demo", &setup).await?;
    let expected: Value = serde_json::from_str(&std::fs::read_to_string(folder.join("expected.json"))?)?;
    let mut story = Story {
        station,
        expected,
        begun: Instant::now(),
        wrong: Vec::new(),
    };
    let piles = story.tell(&folder).await;
    if let Err(error) = &piles {
        println!(
            "\nthe story broke off: {error:#}\nthe station's log:\n{}",
            story.station.log()
        );
    }
    let mut good = piles.is_ok() && story.wrong.is_empty();
    if good && let Err(error) = of_head_office(story.begun).await {
        println!("\nthe story of head office broke off: {error:#}");
        good = false;
    }
    println!();
    if good {
        println!(
            "Every bill and balance is what tests/demo/figures.py worked out. It took {:.0?}.",
            story.begun.elapsed()
        );
    } else {
        for line in &story.wrong {
            println!("WRONG: {line}");
        }
    }
    if !options.exit {
        println!(
            "The station stays up: http://{}/healthz, MQTT {}.",
            story.station.http, story.station.mqtt
        );
        println!("  holdfast-edge --socket {} status", story.station.socket().display());
        println!("Ctrl-C ends it.");
        tokio::signal::ctrl_c().await?;
    }
    if let Ok(mut piles) = piles {
        piles.end()?;
    }
    ensure!(story.station.terminate().await?, "the station did not end cleanly");
    ensure!(good, "the demonstration did not go as it should");
    Ok(())
}

/// Two stations and their head office, then the members who travel between them, then the reconciliation of three days.
async fn of_head_office(begun: Instant) -> anyhow::Result<()> {
    let mut chain = head_office::tell(begun).await?;
    travelling::tell(begun, &mut chain).await?;
    chain.north.end().await?;
    chain.south.end().await?;
    report::tell(begun).await
}

/// The simulated piles, another process.
struct Piles(Child);

impl Piles {
    fn end(&mut self) -> anyhow::Result<()> {
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for Piles {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

struct Story {
    station: StationProcess,
    expected: Value,
    begun: Instant,
    wrong: Vec<String>,
}

impl Story {
    async fn tell(&mut self, folder: &Path) -> anyhow::Result<Piles> {
        self.row(
            1,
            "Ten piles connect to the broker inside the daemon. There is no line to the outside.",
        );
        let secrets = self.let_in().await?;
        let piles = self.start_piles(folder, &secrets)?;
        self.wait_for_piles().await?;

        let p02 = self.order("m-02", "P02", "50.00").await?;
        let p03 = self.order("m-03", "P03", "50.00").await?;
        let p08 = self.order("m-08", "P08", "400.00").await?;
        let p05 = self.order("m-05", "P05", "10.00").await?;
        let p06 = self.order("m-06", "P06", "50.00").await?;
        let p07 = self.order("m-07", "P07", "50.00").await?;
        let p09 = self.order("m-09", "P09", "50.00").await?;
        let p01 = self.order("m-01", "P01", "50.00").await?;

        self.row(
            9,
            "m-01 watches: power, state of charge, energy and fee arrive with every report.",
        );
        self.watch(&p01).await?;
        self.settled("P01", &p01).await?;

        self.row(
            3,
            "P02 does not answer. After 60 s the order fails and the whole hold goes back.",
        );
        self.station.wait_for_order(&p02, State::Fail, PATIENCE).await?;
        self.told(&p02, "启动超时，请重试").await?;
        let hold = self.get(&format!("/v1/orders/{p02}")).await?["hold"].clone();
        self.same(
            "P02 released",
            &hold["released"],
            &self.expected["orders"]["P02"]["released"].clone(),
        );

        self.row(
            4,
            "P03 loses its network and charges on. m-03 asks to stop: accepted, and remembered.",
        );
        self.stop_while_offline("P03", &p03).await?;

        self.row(
            10,
            "P06 overheats, P07's emergency stop is pressed: what was delivered is settled, the rest goes back.",
        );
        for (pile, order) in [("P06", &p06), ("P07", &p07)] {
            self.settled(pile, order).await?;
            self.told(order, "充电异常结束，余额已退回").await?;
        }
        self.quarantined("P09").await?;

        self.row(
            7,
            "m-09 stops at the pile: the hold was more than the fee, the rest is released at once.",
        );
        self.settled("P09", &p09).await?;
        let p10 = self.first_order_at("P10").await?;
        println!("       m-10 just swiped a card; the pile repeats its record and is told it is known.");
        self.settled("P10", &p10).await?;

        self.row(
            5,
            "P04 ran a session alone for a card; the fee is above all there is. Next start refused until paid.",
        );
        self.run_into_debt().await?;

        println!("\n       m-05's money runs dry: P05 stops where the hold ends.");
        self.settled("P05", &p05).await?;

        self.row(
            8,
            "P08 delivered 240 kWh: above ¥200 a person looks before money moves.",
        );
        self.station.wait_for_order(&p08, State::Review, PATIENCE).await?;
        let decision = json!({ "decision": "as_is", "reason": "a truck, register checked" });
        self.station
            .post(&format!("/v1/reviews/{p08}/decision"), &decision)
            .await?
            .success()?;
        self.settled("P08", &p08).await?;

        self.row(
            4,
            "P03 is back after eight, when energy is cheaper; its record is rated by when it really charged.",
        );
        self.settled("P03", &p03).await?;

        self.close_the_books().await?;
        Ok(piles)
    }

    fn row(&self, row: u8, text: &str) {
        println!("\n[{:>4.1}s] row {row}: {text}", self.begun.elapsed().as_secs_f32());
    }

    /// Provisions piles, members, money and cards; returns the secrets file's text.
    async fn let_in(&self) -> anyhow::Result<String> {
        let mut secrets = String::new();
        for n in 1..=10 {
            let secret = self.station.add_pile(&format!("P{n:02}")).await?;
            secrets.push_str(&format!("P{n:02}={secret}\n"));
            let money = match n {
                4 => "5.00",
                8 => "500.00",
                _ => "100.00",
            };
            self.station.add_member(&format!("m-{n:02}"), money).await?;
        }
        for (card, member) in [("C04", "m-04"), ("C10", "m-10")] {
            self.station.cli(&["card", "bind", card, member])?;
        }
        Ok(secrets)
    }

    fn start_piles(&self, folder: &Path, secrets: &str) -> anyhow::Result<Piles> {
        let path = self.station.folder().join("secrets");
        std::fs::write(&path, secrets)?;
        let log = std::fs::File::create(self.station.folder().join("pile-sim.log"))?;
        let mqtt = self.station.mqtt;
        let child = Command::new(program("holdfast-tests", "pile-sim"))
            .args(["--speed", &RATE.to_string(), "--clock-start", STARTS_AT])
            .args(["--host", &mqtt.ip().to_string(), "--port", &mqtt.port().to_string()])
            .arg("--secrets")
            .arg(&path)
            .arg("--config")
            .arg(folder.join("piles.toml"))
            .args(["--sessions", "1"])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot start pile-sim")?;
        Ok(Piles(child))
    }

    async fn wait_for_piles(&self) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            let piles = self.get("/v1/piles?limit=200").await?;
            let online = piles["items"].as_array().context("no list of piles")?;
            let online = online
                .iter()
                .filter(|pile| pile["online"] == true && !pile["model"].is_null())
                .count();
            if online >= 9 {
                println!("       {online} piles are online; P04 goes its own way in a moment.");
                // A car comes a second after its pile has power, and that was before it came online.
                tokio::time::sleep(Duration::from_secs_f64(CARS_COME_S / f64::from(RATE))).await;
                return Ok(());
            }
            ensure!(begun.elapsed() < PATIENCE, "only {online} piles came online");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn order(&self, member: &str, pile: &str, prepay: &str) -> anyhow::Result<String> {
        let id = self.station.place(member, pile, prepay).await?;
        println!("       {member} starts at {pile}, ¥{prepay} held: order {id}");
        Ok(id)
    }

    async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.station.get(path).await?.success()
    }

    /// Follows the live view over a WebSocket until charging is over.
    async fn watch(&self, order: &str) -> anyhow::Result<()> {
        let token = self
            .station
            .post("/v1/tokens", &json!({ "name": "demo", "role": "viewer" }))
            .await?
            .success()?;
        let token = token["token"]
            .as_str()
            .or(token["secret"].as_str())
            .context("no token")?
            .to_owned();
        let url = format!("ws://{}/v1/orders/{order}/live", self.station.http);
        let mut request = url.into_client_request()?;
        request
            .headers_mut()
            .insert("authorization", format!("Bearer {token}").parse()?);
        let (mut socket, _) = tokio_tungstenite::connect_async(request).await?;
        let mut frames = 0_u32;
        loop {
            let message = tokio::time::timeout(PATIENCE, socket.next())
                .await
                .context("no live frame")?;
            let Some(message) = message.transpose()? else {
                bail!("the live view ended early")
            };
            let Message::Text(text) = message else { continue };
            let frame: Value = serde_json::from_str(&text)?;
            let state = frame["state"].as_str().unwrap_or_default().to_owned();
            if frames % 4 == 1 || state == "PAYED" {
                let field = |name: &str| {
                    frame[name]
                        .as_str()
                        .map_or_else(|| frame[name].to_string(), str::to_owned)
                };
                println!(
                    "       {state:8} {} kW  SOC {} %  {} kWh  ¥{}  expected end {}",
                    field("power_kw"),
                    field("soc_pct"),
                    field("energy_kwh"),
                    field("fee"),
                    field("expected_end"),
                );
            }
            frames += 1;
            if state == "PAYED" {
                ensure!(frames > 5, "only {frames} live frames for a whole session");
                return Ok(());
            }
        }
    }

    /// Waits until an order is paid, prints its bill, and compares it.
    async fn settled(&mut self, pile: &str, order: &str) -> anyhow::Result<()> {
        let settled = self.station.wait_for_order(order, State::Payed, PATIENCE).await?;
        let bill = self.get(&format!("/v1/orders/{order}/bill")).await?;
        let version = bill["versions"]
            .as_array()
            .and_then(|versions| versions.last())
            .context("no bill")?
            .clone();
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let detail = &version["detail"];
        println!(
            "       bill of {pile}: {} kWh, electricity ¥{} + service ¥{} = ¥{}; held ¥{}, released ¥{}",
            text(&detail["energy_kwh"]),
            text(&version["electricity"]),
            text(&version["service"]),
            text(&version["fee"]),
            text(&settled["hold"]["taken"]),
            text(&settled["hold"]["released"]),
        );
        for segment in detail["segments"].as_array().into_iter().flatten() {
            println!(
                "         {} to {}  {:6} {} kWh  {} + {}",
                text(&segment["from"]),
                text(&segment["to"]),
                text(&segment["kind"]),
                text(&segment["energy_kwh"]),
                text(&segment["electricity_amount"]),
                text(&segment["service_amount"]),
            );
        }
        let expected = self.expected["orders"][pile].clone();
        self.same(
            &format!("{pile} energy"),
            &detail["energy_kwh"],
            &expected["energy_kwh"],
        );
        for part in ["electricity", "service", "fee"] {
            self.same(&format!("{pile} {part}"), &version[part], &expected[part]);
        }
        self.same(
            &format!("{pile} released"),
            &settled["hold"]["released"],
            &expected["released"],
        );
        Ok(())
    }

    fn same(&mut self, what: &str, found: &Value, expected: &Value) {
        if found != expected {
            self.wrong.push(format!("{what}: {found}, expected {expected}"));
        }
    }

    /// What the driver was told about an order.
    async fn told(&mut self, order: &str, text: &str) -> anyhow::Result<()> {
        let log = self.get(&format!("/v1/orders/{order}/log")).await?;
        let told = log.to_string().contains(text);
        println!("       the driver is told: {text}");
        if !told {
            self.wrong.push(format!("order {order}: nobody was told {text}"));
        }
        Ok(())
    }

    async fn stop_while_offline(&mut self, pile: &str, order: &str) -> anyhow::Result<()> {
        let begun = Instant::now();
        while self.get(&format!("/v1/piles/{pile}")).await?["online"] != false {
            ensure!(begun.elapsed() < PATIENCE, "{pile} does not lose its network");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let answer = self
            .station
            .post(&format!("/v1/orders/{order}/stop"), &json!({}))
            .await?;
        println!(
            "       {}: {}",
            answer.status,
            answer.body["message"].as_str().unwrap_or_default()
        );
        if answer.status != 202 {
            self.wrong
                .push(format!("a stop while {pile} is offline: {} and not 202", answer.status));
        }
        Ok(())
    }

    async fn quarantined(&mut self, pile: &str) -> anyhow::Result<()> {
        let list = self.get("/v1/quarantine").await?;
        let items = list["items"].as_array().context("no quarantine list")?;
        let orphan = items
            .iter()
            .find(|item| item["pile"] == pile && item["why"] == "orphan");
        match orphan {
            Some(orphan) => println!(
                "       {pile} also sent a record of an order nobody knows; kept: {}",
                orphan["detail"]
            ),
            None => self
                .wrong
                .push(format!("{pile}'s record of an unknown order is not in quarantine")),
        }
        Ok(())
    }

    async fn first_order_at(&self, pile: &str) -> anyhow::Result<String> {
        let begun = Instant::now();
        loop {
            let orders = self.get(&format!("/v1/orders?pile={pile}")).await?;
            if let Some(id) = orders["items"][0]["id"].as_str() {
                return Ok(id.to_owned());
            }
            ensure!(begun.elapsed() < PATIENCE, "no order at {pile}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn run_into_debt(&mut self) -> anyhow::Result<()> {
        let order = self.first_order_at("P04").await?;
        let unpaid = self.station.wait_for_order(&order, State::Unpaid, PATIENCE).await?;
        let debt = unpaid["paid"]["debt"].clone();
        println!(
            "       order {order}: fee ¥{}, owed ¥{}",
            unpaid["bill"]["fee"].as_str().unwrap_or("-"),
            debt.as_str().unwrap_or("-")
        );
        self.same(
            "P04 debt",
            &debt,
            &self.expected["orders"]["P04"]["debt_before_payment"].clone(),
        );
        let body = json!({ "member": "m-04", "pile": "P09", "connector": 1, "prepay": "5.00" });
        let refused = self.station.post("/v1/orders", &body).await?;
        println!(
            "       the next start: {} {}",
            refused.status,
            refused.body["detail"].as_str().unwrap_or_default()
        );
        if (200..300).contains(&refused.status) {
            self.wrong.push("a member in debt could start".to_owned());
        }
        let payment = json!({ "amount": debt, "from": "cash", "receipt": "demo-1" });
        self.station
            .post("/v1/members/m-04/payments", &payment)
            .await?
            .success()?;
        println!("       m-04 pays at the desk.");
        self.settled("P04", &order).await
    }

    async fn close_the_books(&mut self) -> anyhow::Result<()> {
        println!("\n[{:>4.1}s] the books", self.begun.elapsed().as_secs_f32());
        for n in 1..=10 {
            let id = format!("m-{n:02}");
            let member = self.get(&format!("/v1/members/{id}")).await?;
            let expected = self.expected["members"][&id].clone();
            self.same(&format!("{id} allowance"), &member["allowance"], &expected["allowance"]);
            self.same(&format!("{id} debt"), &member["debt"], &expected["debt"]);
        }
        let sheet = self.get("/v1/balance-sheet").await?;
        let expected = self.expected["balance_sheet"].clone();
        for (name, figure) in expected.as_object().context("no figures for the balance sheet")? {
            println!("       {name:18} {:>10}", sheet[name].as_str().unwrap_or("-"));
            self.same(name, &sheet[name], figure);
        }
        println!("       {}", self.station.cli(&["journal", "verify"])?.trim());
        Ok(())
    }
}
