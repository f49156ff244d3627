//! What a mini-program's back end asks of head office, and what a payment channel says to it: members, signed callbacks, wallets,
//! orders. Over head office's own API, as they would.

use crate::head_office::HeadOfficeProcess;
use anyhow::{Context, ensure};
use central::webhook::Secret;
use domain::{time::Wall, units::Fen};
use hyper::Method;
use serde_json::{Value, json};
use service::client::{Answer, Call, Client};
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// The channel that money comes in through.
pub const CHANNEL: &str = "wechat";
/// Our number at every channel.
pub const MERCHANT: &str = "1900000001";
/// What channels sign with.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A number that nothing else in this process has.
fn number() -> u64 {
    static NUMBERS: AtomicU64 = AtomicU64::new(1);
    NUMBERS.fetch_add(1, Ordering::Relaxed)
}

/// A request with an `Idempotency-Key` of its own.
///
/// # Errors
/// The body is no JSON.
pub fn call(method: Method, path: &str, body: &Value) -> anyhow::Result<Call> {
    let key = format!("back-end-{}", number());
    Ok(Call::new(method, path).header("idempotency-key", key).json(body)?)
}

/// Asks head office on its Unix socket, whatever it answers.
///
/// # Errors
/// It does not answer.
pub async fn ask(office: &HeadOfficeProcess, method: Method, path: &str, body: &Value) -> anyhow::Result<Answer> {
    let answer = Client::at_socket(office.socket()).ask(call(method, path, body)?).await;
    answer.with_context(|| path.to_owned())
}

/// What it answers; nothing where that is empty.
///
/// # Errors
/// It refuses, or does not answer.
pub async fn told(office: &HeadOfficeProcess, method: Method, path: &str, body: &Value) -> anyhow::Result<Value> {
    let answer = ask(office, method, path, body).await?;
    answer.read().with_context(|| path.to_owned())
}

/// Head office's answer, once it is so.
///
/// # Errors
/// It never is.
pub async fn once(
    office: &HeadOfficeProcess,
    path: &str,
    patience: Duration,
    is: impl Fn(&Value) -> bool,
) -> anyhow::Result<Value> {
    let begun = Instant::now();
    loop {
        let answer = office.get(path).await?;
        let shown: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        if is(&shown) {
            return Ok(shown);
        }
        ensure!(begun.elapsed() < patience, "{path}: {shown}\n{}", office.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The channel, whose callbacks count from now on.
///
/// # Errors
/// Head office refuses it.
pub async fn open_channel(office: &HeadOfficeProcess) -> anyhow::Result<()> {
    put_channel(office, CHANNEL, &json!({})).await
}

/// A channel that signs its callbacks and keeps 0.6 %, with what else is said of it.
///
/// # Errors
/// Head office refuses it.
pub async fn put_channel(office: &HeadOfficeProcess, name: &str, more: &Value) -> anyhow::Result<()> {
    let mut channel = json!({ "signs": "standard_webhooks", "secret": SECRET, "merchant": MERCHANT, "fee_ppm": 6_000 });
    if let (Some(channel), Some(more)) = (channel.as_object_mut(), more.as_object()) {
        channel.extend(more.clone());
    }
    let path = format!("/v1/channels/{name}");
    told(office, Method::PUT, &path, &channel).await.map(drop)
}

/// What a channel says of a payment.
#[derive(Debug, Clone, Copy)]
pub struct Paid<'a> {
    /// Which channel.
    pub channel: &'a str,
    /// Its number of the payment; no two have one.
    pub transaction_id: &'a str,
    /// Our number of it.
    pub out_trade_no: &'a str,
    /// How much, in yuan.
    pub amount: &'a str,
}

impl Paid<'_> {
    /// The callback, signed at that moment.
    ///
    /// # Errors
    /// It is no JSON.
    pub fn signed(&self, at: Wall) -> anyhow::Result<Call> {
        let paid = json!({
            "out_trade_no": self.out_trade_no, "transaction_id": self.transaction_id, "amount": self.amount,
            "currency": "CNY", "status": "paid",
        });
        let at_s = at.0.div_euclid(1_000);
        let id = format!("callback-{}", number());
        let secret = Secret::of_text(SECRET)?;
        let signature = secret.signature(&id, at_s, &paid.to_string());
        let call = Call::new(Method::POST, format!("/v1/channels/{}/callbacks", self.channel))
            .header("webhook-id", id)
            .header("webhook-timestamp", at_s.to_string())
            .header("webhook-signature", signature);
        Ok(call.json(&paid)?)
    }
}

/// What the channel says of a payment, signed at that moment. No two payments have one number.
///
/// # Errors
/// It is no JSON.
pub fn callback(out_trade_no: &str, amount: &str, at: Wall) -> anyhow::Result<Call> {
    let paid = Paid {
        channel: CHANNEL,
        transaction_id: &format!("42000{:08}", number()),
        out_trade_no,
        amount,
    };
    paid.signed(at)
}

/// A member, who has a wallet from now on.
///
/// # Errors
/// Head office refuses them.
pub async fn add_member(office: &HeadOfficeProcess, member: &str, name: &str) -> anyhow::Result<()> {
    let path = format!("/v1/members/{member}");
    told(office, Method::PUT, &path, &json!({ "name": name }))
        .await
        .map(drop)
}

/// A member pays in through the channel, which calls back.
///
/// # Errors
/// It is not credited.
pub async fn top_up(office: &HeadOfficeProcess, member: &str, amount: &str) -> anyhow::Result<()> {
    let reference = ask_top_up(office, CHANNEL, member, amount).await?;
    credited(office, callback(&reference, amount, office.wall())?).await
}

/// A member asks for a top-up: our number of it.
///
/// # Errors
/// Head office refuses it.
pub async fn ask_top_up(
    office: &HeadOfficeProcess,
    channel: &str,
    member: &str,
    amount: &str,
) -> anyhow::Result<String> {
    let wanted = json!({ "channel": channel, "amount": amount });
    let asked = told(office, Method::POST, &format!("/v1/members/{member}/top-ups"), &wanted).await?;
    let reference = asked["out_trade_no"].as_str();
    Ok(reference.context("a top-up without a number")?.to_owned())
}

/// A callback comes in, and a wallet is credited.
///
/// # Errors
/// It is not.
pub async fn credited(office: &HeadOfficeProcess, callback: Call) -> anyhow::Result<()> {
    let answer = Client::at_socket(office.socket()).ask(callback).await?;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    ensure!(answer.status == 200 && text.contains("credited"), "{text}");
    Ok(())
}

/// An order through head office; its number.
///
/// # Errors
/// Head office refuses it.
pub async fn place(office: &HeadOfficeProcess, site: &str, member: &str, prepay: &str) -> anyhow::Result<String> {
    let wish = json!({ "site": site, "member": member, "pile": "P1", "connector": 1, "prepay": prepay });
    let placed = told(office, Method::POST, "/v1/orders", &wish).await?;
    Ok(placed["order"]
        .as_str()
        .context("an order without a number")?
        .to_owned())
}

/// A member's wallet, as head office shows it.
///
/// # Errors
/// Head office does not show it.
pub async fn wallet(office: &HeadOfficeProcess, member: &str) -> anyhow::Result<Value> {
    Ok(office.get(&format!("/v1/members/{member}/wallet")).await?.read()?)
}

/// An amount of an answer.
///
/// # Errors
/// It is none.
pub fn yuan(value: &Value) -> anyhow::Result<Fen> {
    let text = value.as_str().with_context(|| format!("{value} is no amount"))?;
    text.parse().with_context(|| format!("{text} is no amount"))
}
