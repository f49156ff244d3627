//! The station's HTTP API over TCP with a token, as a mini-program's back end uses it: connections are kept.

use anyhow::{Context, ensure};
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, body::Bytes, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio::net::TcpStream;
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
    sender: SendRequest<Full<Bytes>>,
    door: Door,
    keys: String,
    asked: u64,
}

async fn connect(door: &Door) -> anyhow::Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(door.address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        let _ended = connection.await;
    });
    Ok(sender)
}

impl Http {
    /// Connects; `name` makes this connection's idempotency keys its own.
    pub(crate) async fn open(door: &Door, name: &str) -> anyhow::Result<Self> {
        Ok(Self {
            sender: connect(door).await?,
            door: door.clone(),
            keys: name.to_owned(),
            asked: 0,
        })
    }

    /// Asks with a fresh Idempotency-Key; anything but success is an error with the answer in it.
    pub(crate) async fn ask(&mut self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        self.asked += 1;
        let bytes = body.map(serde_json::to_vec).transpose()?.unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("authorization", format!("Bearer {}", self.door.token))
            .header("content-type", "application/json")
            .header("idempotency-key", format!("{}-{}", self.keys, self.asked))
            .body(Full::new(Bytes::from(bytes)))?;
        // The daemon ends connections that nobody asks anything on.
        if self.sender.ready().await.is_err() {
            self.sender = connect(&self.door).await?;
        }
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        let bytes = response.into_body().collect().await?.to_bytes();
        ensure!(
            status.is_success(),
            "{path} was answered {status}: {}",
            String::from_utf8_lossy(&bytes)
        );
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        Ok(serde_json::from_slice(&bytes)?)
    }

    pub(crate) async fn post(&mut self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.ask(Method::POST, path, Some(body)).await
    }
}
