//! The daemon's HTTP API over its Unix socket. Whoever may open the socket may do everything; who shows a token there is
//! who the token says.

use anyhow::{Context, bail};
use domain::journal::hex;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, body::Bytes};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::{path::PathBuf, time::Duration};

const PATIENCE: Duration = Duration::from_secs(30);

enum Body<'a> {
    None,
    Json(&'a Value),
    Toml(String),
}

/// Asks the daemon.
pub(super) struct Client {
    socket: PathBuf,
    /// Who asks; without it, anybody on this machine.
    token: Option<String>,
}

impl Client {
    pub(super) fn new(socket: PathBuf, token: Option<String>) -> Self {
        Self { socket, token }
    }

    pub(super) fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.ask(Method::GET, path, Body::None, None)
    }

    /// An answer that is not JSON.
    pub(super) fn get_text(&self, path: &str) -> anyhow::Result<String> {
        let bytes = self.ask_bytes(PATIENCE, Method::GET, path, Body::None, None)?;
        String::from_utf8(bytes.into()).context("the daemon's answer is not text")
    }

    pub(super) fn put(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.ask(Method::PUT, path, Body::Json(body), None)
    }

    /// Puts a TOML document.
    pub(super) fn put_toml(&self, path: &str, document: String) -> anyhow::Result<Value> {
        self.ask(Method::PUT, path, Body::Toml(document), None)
    }

    pub(super) fn delete(&self, path: &str) -> anyhow::Result<Value> {
        self.ask(Method::DELETE, path, Body::None, None)
    }

    /// A request that may be made again as a new one.
    pub(super) fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let mut random = [0_u8; 16];
        getrandom::fill(&mut random).context("the operating system gives no randomness")?;
        self.post_once(path, &hex(&random), body)
    }

    /// A request that counts once for `key`.
    pub(super) fn post_once(&self, path: &str, key: &str, body: &Value) -> anyhow::Result<Value> {
        self.ask(Method::POST, path, Body::Json(body), Some(key))
    }

    /// A PUT that may take this long.
    pub(super) fn put_slow(&self, path: &str, body: &Value, patience: Duration) -> anyhow::Result<Value> {
        self.ask_within(patience, Method::PUT, path, Body::Json(body), None)
    }

    /// Every page of a list.
    pub(super) fn all(&self, path: &str) -> anyhow::Result<Value> {
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        let and = if path.contains('?') { '&' } else { '?' };
        loop {
            let page = match &cursor {
                None => self.get(&format!("{path}{and}limit=200"))?,
                Some(cursor) => self.get(&format!("{path}{and}limit=200&cursor={cursor}"))?,
            };
            items.extend(page["items"].as_array().cloned().unwrap_or_default());
            cursor = match &page["next"] {
                Value::Null => return Ok(json!({ "items": items })),
                Value::String(next) => Some(next.clone()),
                other => Some(other.to_string()),
            };
        }
    }

    fn ask(&self, method: Method, path: &str, body: Body<'_>, key: Option<&str>) -> anyhow::Result<Value> {
        self.ask_within(PATIENCE, method, path, body, key)
    }

    fn ask_within(
        &self,
        patience: Duration,
        method: Method,
        path: &str,
        body: Body<'_>,
        key: Option<&str>,
    ) -> anyhow::Result<Value> {
        let bytes = self.ask_bytes(patience, method, path, body, key)?;
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        Ok(serde_json::from_slice(&bytes)?)
    }

    fn ask_bytes(
        &self,
        patience: Duration,
        method: Method,
        path: &str,
        body: Body<'_>,
        key: Option<&str>,
    ) -> anyhow::Result<Bytes> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            tokio::time::timeout(patience, self.exchange(method, path, body, key))
                .await
                .with_context(|| format!("the daemon at {} did not answer in {patience:?}", self.socket.display()))?
        })
    }

    async fn exchange(&self, method: Method, path: &str, body: Body<'_>, key: Option<&str>) -> anyhow::Result<Bytes> {
        let stream = tokio::net::UnixStream::connect(&self.socket).await.with_context(|| {
            let socket = self.socket.display();
            format!("cannot reach the daemon at {socket}: is it running, and may you open the socket (group holdfast)?")
        })?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path).header("host", "localhost");
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let body = match body {
            Body::Json(body) => {
                request = request.header("content-type", "application/json");
                Full::new(Bytes::from(serde_json::to_vec(body)?))
            }
            Body::Toml(document) => {
                request = request.header("content-type", "application/toml");
                Full::new(Bytes::from(document))
            }
            Body::None => Full::new(Bytes::new()),
        };
        let response = sender.send_request(request.body(body)?).await?;
        let status = response.status();
        let bytes = response.into_body().collect().await?.to_bytes();
        drop(sender);
        connection.abort();
        if !status.is_success() {
            let answer: Value = serde_json::from_slice(&bytes).unwrap_or_default();
            let words = answer["detail"]
                .as_str()
                .or(answer["title"].as_str())
                .unwrap_or("no reason given");
            bail!("{words} ({status})");
        }
        Ok(bytes)
    }
}
