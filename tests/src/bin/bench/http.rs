//! The station's HTTP API over TCP with a token, as a mini-program's back end uses it: connections are kept.

use anyhow::Context;
use hyper::Method;
use serde_json::{Value, json};
use service::{
    client::{Call, Client, Kept},
    http::idempotency::IDEMPOTENCY_KEY,
};
use std::net::SocketAddr;
use world::station::StationProcess;

/// Who may come in: where, and with which token.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    pub(crate) address: SocketAddr,
    pub(crate) token: String,
}

impl Door {
    /// Has the station make a token that may do everything.
    pub(crate) async fn of(station: &StationProcess) -> anyhow::Result<Self> {
        let made = station
            .post("/v1/tokens", &json!({ "name": "bench", "role": "admin" }))
            .await?
            .expect(201)?;
        let token = made["token"].as_str().context("no token in the answer")?.to_owned();
        Ok(Self {
            address: station.http,
            token,
        })
    }
}

/// One kept connection.
#[derive(Debug)]
pub(crate) struct Http {
    station: Kept,
    keys: String,
    asked: u64,
}

impl Http {
    /// Connects; `name` makes this connection's idempotency keys its own.
    pub(crate) async fn open(door: &Door, name: &str) -> anyhow::Result<Self> {
        let station = Client::at_address(door.address).with_token(Some(door.token.clone()));
        Ok(Self {
            station: station.kept().await?,
            keys: name.to_owned(),
            asked: 0,
        })
    }

    /// Asks with a fresh Idempotency-Key; anything but success is an error.
    pub(crate) async fn ask(&mut self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        self.asked += 1;
        let key = format!("{}-{}", self.keys, self.asked);
        let mut call = Call::new(method, path).header(IDEMPOTENCY_KEY, key);
        if let Some(body) = body {
            call = call.json(body)?;
        }
        let answer = self.station.ask(call).await?;
        answer.read().with_context(|| path.to_owned())
    }

    pub(crate) async fn post(&mut self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.ask(Method::POST, path, Some(body)).await
    }
}
