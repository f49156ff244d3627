//! What a test asks a daemon: any request over its Unix socket, and the few that most tests begin with.

use super::StationProcess;
use anyhow::{Context, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use domain::{journal::Entry, order::State, units::Fen};
use hyper::Method;
use serde_json::{Value, json};
use service::{
    client::{Call, Client},
    http::idempotency::IDEMPOTENCY_KEY,
};
use std::{
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

/// An answer of the API.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The JSON body, or a text where it is something else.
    pub body: Value,
}

impl StationProcess {
    /// One of the daemon's metrics, by its name and label as they stand in `/metrics`; zero if it is not there.
    ///
    /// # Errors
    /// If the daemon does not answer.
    pub async fn metric(&self, name: &str) -> anyhow::Result<u64> {
        let metrics = self.get("/metrics").await?.success()?;
        let lines = metrics.as_str().context("metrics are a text")?.lines();
        let value = lines
            .filter_map(|line| line.rsplit_once(' '))
            .find(|(key, _)| *key == name);
        Ok(value.map_or(Ok(0), |(_, value)| value.parse())?)
    }

    /// Lets a pile in and returns its secret.
    ///
    /// # Errors
    /// If the station refuses.
    pub async fn add_pile(&self, id: &str) -> anyhow::Result<String> {
        let answer = self.post("/v1/piles", &json!({ "id": id })).await?.expect(201)?;
        Ok(answer["secret"].as_str().context("no secret in the answer")?.to_owned())
    }

    /// Registers a member and takes money in for them.
    ///
    /// # Errors
    /// If the station refuses.
    pub async fn add_member(&self, id: &str, money: &str) -> anyhow::Result<()> {
        self.ask(
            Method::PUT,
            &format!("/v1/members/{id}"),
            Some(&json!({ "name": id })),
            None,
        )
        .await?
        .success()?;
        if money != "0.00" {
            let body = json!({ "amount": money, "receipt": format!("first-{id}") });
            self.post(&format!("/v1/members/{id}/topups"), &body).await?.success()?;
        }
        Ok(())
    }

    /// Places an order on connector 1 of a pile and returns its number.
    ///
    /// # Errors
    /// If the station refuses.
    pub async fn place(&self, member: &str, pile: &str, prepay: &str) -> anyhow::Result<String> {
        let body = json!({ "member": member, "pile": pile, "connector": 1, "prepay": prepay });
        let answer = self.post("/v1/orders", &body).await?.expect(201)?;
        Ok(answer["id"]
            .as_str()
            .context("no order number in the answer")?
            .to_owned())
    }

    /// Waits until an order is in `state`, and returns it.
    ///
    /// # Errors
    /// If it is not within `patience`.
    pub async fn wait_for_order(&self, id: &str, state: State, patience: Duration) -> anyhow::Result<Value> {
        let begun = Instant::now();
        loop {
            let order = self.get(&format!("/v1/orders/{id}")).await?.success()?;
            if order["state"] == state.word() {
                return Ok(order);
            }
            ensure!(
                begun.elapsed() < patience,
                "order {id} is not {state}: {order}\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The balance sheet's total, which must be zero.
    ///
    /// # Errors
    /// If there is none.
    pub async fn books_total(&self) -> anyhow::Result<Fen> {
        let sheet = self.get("/v1/balance-sheet").await?.success()?;
        Ok(sheet["total"].as_str().context("no total")?.parse()?)
    }

    /// The journal's first thousand entries.
    ///
    /// # Errors
    /// If they cannot be read.
    pub async fn journal(&self) -> anyhow::Result<Vec<Entry>> {
        let page = self.get("/v1/journal?limit=1000").await?.success()?;
        let entries = page["entries"].as_array().context("no entries")?.iter();
        let read = entries.map(|entry| {
            let bytes = STANDARD.decode(entry["bytes"].as_str().context("no bytes")?)?;
            Ok(Entry::from_bytes(&bytes)?)
        });
        read.collect()
    }

    /// GET.
    ///
    /// # Errors
    /// If the daemon does not answer.
    pub async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.ask(Method::GET, path, None, None).await
    }

    /// POST with a fresh `Idempotency-Key`.
    ///
    /// # Errors
    /// If the daemon does not answer.
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let key = format!("test-{}-{n}", std::process::id());
        self.ask(Method::POST, path, Some(body), Some(&key)).await
    }

    /// Any request.
    ///
    /// # Errors
    /// If the daemon does not answer.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        key: Option<&str>,
    ) -> anyhow::Result<Answer> {
        self.api().ask(method, path, body, key).await
    }

    /// Every item of a list, page by page.
    ///
    /// # Errors
    /// If the daemon does not answer, or says no.
    pub async fn all(&self, path: &str) -> anyhow::Result<Vec<Value>> {
        let mut items = Vec::new();
        let mut cursor = String::new();
        loop {
            let sign = if path.contains('?') { '&' } else { '?' };
            let page = self.get(&format!("{path}{sign}limit=200{cursor}")).await?.success()?;
            items.extend(page["items"].as_array().context("no items")?.iter().cloned());
            match page["next"].as_str() {
                None => return Ok(items),
                Some(next) => cursor = format!("&cursor={next}"),
            }
        }
    }

    /// The daemon's API, for whoever asks beside this.
    pub fn api(&self) -> Api {
        Api(self.socket())
    }
}

/// A daemon's API on its Unix socket, whether or not the daemon runs.
#[derive(Debug, Clone)]
pub struct Api(PathBuf);

impl Api {
    /// Any request.
    ///
    /// # Errors
    /// If the daemon does not answer.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        key: Option<&str>,
    ) -> anyhow::Result<Answer> {
        let mut call = Call::new(method, path);
        if let Some(key) = key {
            call = call.header(IDEMPOTENCY_KEY, key);
        }
        if let Some(body) = body {
            call = call.json(body)?;
        }
        // Each test has a patience of its own.
        let client = Client::at_socket(&self.0).within(Duration::from_secs(600));
        let answer = client.ask(call).await?;
        let (status, bytes) = (answer.status, answer.body);
        let body = if bytes.is_empty() {
            Value::Null
        } else {
            let text = || String::from_utf8_lossy(&bytes).into_owned();
            serde_json::from_slice(&bytes).unwrap_or_else(|_| Value::String(text()))
        };
        Ok(Answer { status, body })
    }
}

impl Answer {
    /// The body, if the status is this one.
    ///
    /// # Errors
    /// With the body, if it is another.
    pub fn expect(self, status: u16) -> anyhow::Result<Value> {
        ensure!(
            self.status == status,
            "answered {} and not {status}: {}",
            self.status,
            self.body
        );
        Ok(self.body)
    }

    /// The body, if the status says success.
    ///
    /// # Errors
    /// With the body, if not.
    pub fn success(self) -> anyhow::Result<Value> {
        ensure!(
            (200..300).contains(&self.status),
            "answered {}: {}",
            self.status,
            self.body
        );
        Ok(self.body)
    }
}
