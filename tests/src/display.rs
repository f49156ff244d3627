//! A display played by `mosquitto_sub`, as the contract has it: `docs/displays.md`.

use crate::station::{SITE, StationProcess};
use anyhow::{Context, ensure};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};
use tokio::sync::mpsc;

/// How long the station may take to say anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// A frame that was heard.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    /// Its topic, without what all have in common: `pile/P1/state`, `live/{order}`.
    pub topic: String,
    /// What it says; `None` is the empty payload.
    pub frame: Option<Value>,
}

/// A program that prints what it hears, one line a message: topic and payload.
#[derive(Debug)]
pub struct Display {
    child: Child,
    lines: mpsc::UnboundedReceiver<String>,
    /// Everything that was heard, for whoever wonders.
    pub heard: Vec<Heard>,
}

/// Lets a display in and returns its secret.
///
/// # Errors
/// If the station refuses.
pub async fn add(station: &StationProcess, id: &str) -> anyhow::Result<String> {
    let answer = station.post("/v1/displays", &json!({ "id": id })).await?.expect(201)?;
    Ok(answer["secret"].as_str().context("no secret in the answer")?.to_owned())
}

/// `mosquitto_sub` or `mosquitto_pub` as the display `id`; `more` are its further arguments.
///
/// # Errors
/// If it is not installed.
pub fn program(
    name: &str,
    station: &StationProcess,
    (id, secret): (&str, &str),
    more: &[&str],
) -> anyhow::Result<Command> {
    let there = Command::new(name).arg("--help").output().is_ok();
    ensure!(
        there,
        "{name} is missing; run `cargo xtask test`, which installs it (Debian: mosquitto-clients)"
    );
    let user = format!("display:{id}");
    let (host, port) = (station.mqtt.ip().to_string(), station.mqtt.port().to_string());
    let mut command = Command::new(name);
    command
        .args(["-h", &host, "-p", &port, "-u", &user, "-P", secret])
        .args(more);
    Ok(command)
}

impl Display {
    /// One that has subscribed to everything there is for displays, as the client `display:{id}~{suffix}`.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn subscribed(station: &StationProcess, id: &str, secret: &str, suffix: &str) -> anyhow::Result<Self> {
        let (client_id, filter) = (format!("display:{id}~{suffix}"), format!("hf/v1/site/{SITE}/#"));
        let more = ["-i", &client_id, "-v", "-t", &filter];
        Self::started(program("mosquitto_sub", station, (id, secret), &more)?)
    }

    /// The program of this command.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn started(mut command: Command) -> anyhow::Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        // A shell is ended together with what it has started.
        let mut child = command.process_group(0).spawn()?;
        let stdout = child.stdout.take().context("its output is piped")?;
        let (tell, lines) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            let said = BufReader::new(stdout).lines().map_while(Result::ok);
            said.map(|line| tell.send(line)).take_while(Result::is_ok).count()
        });
        Ok(Self {
            child,
            lines,
            heard: Vec::new(),
        })
    }

    /// The next frame, whatever it is.
    ///
    /// # Errors
    /// If none comes, or what comes is none.
    pub async fn hear(&mut self) -> anyhow::Result<Heard> {
        let line = tokio::time::timeout(PATIENCE, self.lines.recv()).await;
        let line = line.with_context(|| format!("nothing more came after {:?}", self.heard))?;
        let line = line.with_context(|| format!("the display ended after {:?}", self.heard))?;
        let (topic, payload) = line.split_once(' ').with_context(|| format!("no frame: {line}"))?;
        let root = format!("hf/v1/site/{SITE}/");
        let heard = Heard {
            topic: topic.strip_prefix(&root).unwrap_or(topic).to_owned(),
            frame: match payload {
                "(null)" => None,
                text => Some(serde_json::from_str(text).with_context(|| format!("no JSON: {line}"))?),
            },
        };
        self.heard.push(heard.clone());
        Ok(heard)
    }

    /// The next frame on this topic that `is` the one; others are passed over.
    ///
    /// # Errors
    /// If it does not come.
    pub async fn hear_where(&mut self, topic: &str, is: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
        loop {
            let heard = self.hear().await.with_context(|| format!("waiting on {topic}"))?;
            if let Some(frame) = heard.frame.filter(|frame| heard.topic == topic && is(frame)) {
                return Ok(frame);
            }
        }
    }

    /// Waits until the program ends by itself.
    ///
    /// # Errors
    /// If it goes on.
    pub async fn ended(&mut self) -> anyhow::Result<ExitStatus> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            ensure!(begun.elapsed() < PATIENCE, "the display goes on");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        let group = i32::try_from(self.child.id()).map(Pid::from_raw);
        let _gone = group.map(|group| killpg(group, Signal::SIGKILL));
        let _reaped = self.child.wait();
    }
}
