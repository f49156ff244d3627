//! A person at head office who logs in as with a browser: who approves has to be another one than who proposed.

use anyhow::{Context, ensure};
use hyper::Method;
use serde_json::{Value, json};
use service::client::{Answer, Call, Client};
use world::{back_end, head_office::HeadOfficeProcess};

/// What they choose for a password.
const OWN: &str = "correct horse battery";

/// Who is logged in.
pub(super) struct Person {
    client: Client,
    cookie: String,
    csrf: String,
}

impl Person {
    /// Lets somebody in, who logs in with the password that was printed and chooses one of their own.
    ///
    /// # Errors
    /// Head office does not let them in.
    pub(super) async fn new(office: &HeadOfficeProcess, name: &str, role: &str) -> anyhow::Result<Self> {
        let made = office.cli(&["--json", "user", "add", name, "--role", role])?;
        let made: Value = serde_json::from_str(&made)?;
        let printed = made["password"].as_str().context("no password was printed")?;
        let person = Self::log_in(office, name, printed).await?;
        let own = json!({ "password": printed, "new_password": OWN });
        let changed = person.says(Method::PUT, "/v1/sessions/current/password", &own).await?;
        ensure!(changed.status == 204, "{}", String::from_utf8_lossy(&changed.body));
        Ok(person)
    }

    /// Somebody who was let in before logs in again.
    ///
    /// # Errors
    /// Head office does not let them in.
    pub(super) async fn again(office: &HeadOfficeProcess, name: &str) -> anyhow::Result<Self> {
        Self::log_in(office, name, OWN).await
    }

    async fn log_in(office: &HeadOfficeProcess, name: &str, password: &str) -> anyhow::Result<Self> {
        let client = Client::at_address(office.http);
        let log_in = json!({ "name": name, "password": password });
        let answer = client
            .ask(Call::new(Method::POST, "/v1/sessions").json(&log_in)?)
            .await?;
        let cookie = answer.headers.get("set-cookie").context("no cookie")?.to_str()?;
        let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
        let session: Value = answer.read()?;
        Ok(Self {
            client,
            cookie,
            csrf: session["csrf_token"].as_str().unwrap_or_default().to_owned(),
        })
    }

    async fn says(&self, method: Method, path: &str, body: &Value) -> anyhow::Result<Answer> {
        let call = back_end::call(method, path, body)?;
        let call = call.header("cookie", &self.cookie).header("x-csrf-token", &self.csrf);
        Ok(self.client.ask(call).await?)
    }

    /// Does something.
    ///
    /// # Errors
    /// Head office refuses it.
    pub(super) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.says(Method::POST, path, body)
            .await?
            .read()
            .with_context(|| path.to_owned())
    }

    /// Sets something.
    ///
    /// # Errors
    /// Head office refuses it.
    pub(super) async fn put(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.says(Method::PUT, path, body)
            .await?
            .read()
            .with_context(|| path.to_owned())
    }
}
