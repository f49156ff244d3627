//! The daemon's API for commands, which wait for one answer after another.

use anyhow::Context;
use serde_json::{Value, json};
use service::client::{self, Call, new_key};
use std::{future::Future, path::PathBuf, time::Duration};

/// Asks the daemon.
pub(super) struct Client(client::Client);

impl Client {
    /// The daemon behind this socket; without a token who asks is anybody on this machine.
    pub(super) fn new(socket: PathBuf, token: Option<String>) -> Self {
        Self(client::Client::at_socket(socket).with_token(token))
    }

    pub(super) fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.read(Call::get(path))
    }

    /// An answer that is not JSON.
    pub(super) fn get_text(&self, path: &str) -> anyhow::Result<String> {
        wait(async { self.0.ask(Call::get(path)).await?.text() })
    }

    pub(super) fn put(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.read(Call::put(path).json(body)?)
    }

    /// Puts a TOML document.
    pub(super) fn put_toml(&self, path: &str, document: String) -> anyhow::Result<Value> {
        self.read(Call::put(path).content("application/toml", document))
    }

    pub(super) fn delete(&self, path: &str) -> anyhow::Result<Value> {
        self.read(Call::delete(path))
    }

    /// A request that may be made again as a new one.
    pub(super) fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let key = new_key().context("the operating system gives no randomness")?;
        self.post_once(path, &key, body)
    }

    /// A request that counts once for `key`.
    pub(super) fn post_once(&self, path: &str, key: &str, body: &Value) -> anyhow::Result<Value> {
        self.read(Call::post(path, key).json(body)?)
    }

    /// A PUT that may take this long.
    pub(super) fn put_slow(&self, path: &str, body: &Value, time_max: Duration) -> anyhow::Result<Value> {
        let slow = Self(self.0.clone().within(time_max));
        slow.put(path, body)
    }

    /// Every page of a list.
    pub(super) fn all(&self, path: &str) -> anyhow::Result<Value> {
        let items: Vec<Value> = wait(self.0.all(path))?;
        Ok(json!({ "items": items }))
    }

    fn read(&self, call: Call) -> anyhow::Result<Value> {
        wait(self.0.read(call))
    }
}

fn wait<T>(answer: impl Future<Output = Result<T, client::Failed>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(answer)?)
}
