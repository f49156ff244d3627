//! What channels call back: signed, as often as they like, credited once; and kept as it came, for people who look for a payment.

use super::{ApiState, credits::Came, orders::moment, topups::ChannelName, wallets::check_amount};
use crate::{
    money::{Callback, Credited, Paid},
    store::{
        StoreError,
        callbacks::{self, Heard},
        channels::{self, Channel, Signs},
        queries::callbacks::{Which, callbacks as list},
    },
    webhook::Secret,
};
use axum::{
    Extension, Json,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use domain::time::Wall;
use serde::{Deserialize, Serialize};
use service::{
    http::{
        access::TcpPeer,
        body::{Asked, Checked, Of, parse},
        page::{Paging, cursor_of},
        problem::Problem,
    },
    wire::{At, PageOf, Yuan, described},
};
use std::time::Instant;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

/// The longest number of ours or of a channel's, in characters.
const REFERENCE_CHARS_MAX: usize = 64;
/// How far the time in a callback may be from ours, in milliseconds: as Standard Webhooks has it.
const CALLBACK_MS_MAX: i64 = 5 * 60_000;
/// The longest body of a callback, in bytes.
const CALLBACK_BYTES_MAX: usize = 16 * 1024;
/// The longest value of a header that is kept, in characters.
const HEADER_CHARS_MAX: usize = 512;
/// The headers that say who has signed a callback, and when.
const HEADERS: [&str; 4] = ["webhook-id", "webhook-timestamp", "webhook-signature", "x-signature"];

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(call_back))
        .routes(routes!(list_callbacks))
}

/// What a channel says of a payment.
#[derive(Debug, Deserialize, ToSchema)]
struct CallBack {
    /// Our number of the top-up.
    out_trade_no: String,
    /// The channel's number of the payment.
    transaction_id: String,
    /// How much was paid.
    #[schema(value_type = described::PositiveYuan)]
    amount: Yuan,
    /// `CNY`.
    currency: String,
    /// `paid`, or `closed`: it will not be paid.
    status: String,
}

impl Checked for CallBack {
    fn check(&self) -> Result<(), Problem> {
        for (path, text) in [
            ("out_trade_no", &self.out_trade_no),
            ("transaction_id", &self.transaction_id),
        ] {
            if text.is_empty() || text.chars().count() > REFERENCE_CHARS_MAX || text.chars().any(char::is_control) {
                return Err(Problem::field(
                    path,
                    format!("has 1 to {REFERENCE_CHARS_MAX} characters"),
                ));
            }
        }
        if self.currency != "CNY" {
            return Err(Problem::field("currency", "is CNY: wallets have yuan"));
        }
        if !["paid", "closed"].contains(&self.status.as_str()) {
            return Err(Problem::field("status", "is paid or closed"));
        }
        check_amount("amount", self.amount)
    }
}

/// What a callback came to.
#[derive(Debug, Serialize, ToSchema)]
struct CalledBackView {
    /// `credited`; `known`: it was dealt with before, or the top-up is closed.
    outcome: String,
}

/// Whether the channel has signed a callback, and lately where its signature says when.
fn verified(channel: &Channel, headers: &HeaderMap, body: &[u8], now: Wall) -> Result<(), String> {
    let secret = Secret::of_text(&channel.secret).map_err(|error| error.to_string())?;
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match channel.signs {
        Signs::StandardWebhooks => {
            let id = header("webhook-id").filter(|id| !id.is_empty() && id.len() <= 128);
            let id = id.ok_or("the header webhook-id is missing")?;
            let at = header("webhook-timestamp").and_then(|at| at.parse::<i64>().ok());
            let at = at.ok_or("the header webhook-timestamp is missing: seconds since 1970")?;
            let signatures = header("webhook-signature").ok_or("the header webhook-signature is missing")?;
            if !secret.has_signed(signatures, id, at, body) {
                return Err("the signature is not this channel's".to_owned());
            }
            // Only what was signed says anything of time.
            let apart = now.0.saturating_sub(at.saturating_mul(1_000)).saturating_abs();
            if apart > CALLBACK_MS_MAX {
                return Err(format!(
                    "it was signed {} s away from head office's time",
                    apart / 1_000
                ));
            }
            Ok(())
        }
        Signs::Hmac => {
            let signature = header("x-signature").and_then(|text| text.strip_prefix("sha256="));
            let signature = signature.ok_or("the header x-signature is missing: sha256=…")?;
            match secret.has_signed_body(signature, body) {
                true => Ok(()),
                false => Err("the signature is not this channel's".to_owned()),
            }
        }
    }
}

/// A callback as it came, before anything is made of it.
fn came(name: &str, peer: Option<&TcpPeer>, headers: &HeaderMap, body: &Bytes, now: Wall) -> Heard {
    let kept = HEADERS.into_iter().filter_map(|name| {
        let value = headers.get(name)?;
        let value: String = String::from_utf8_lossy(value.as_bytes())
            .chars()
            .take(HEADER_CHARS_MAX)
            .collect();
        Some((name.to_owned(), serde_json::Value::from(value)))
    });
    Heard {
        id: String::new(),
        channel: name.to_owned(),
        at: now,
        address: peer.map(|TcpPeer(address)| address.to_string()),
        headers: serde_json::Value::Object(kept.collect()).to_string(),
        body: body.to_vec(),
        is_signed: false,
        reference: None,
        transaction: None,
        status: 0,
        outcome: String::new(),
        why: None,
    }
}

/// How a callback is answered: with which status, under which stable word, and why where it is refused.
pub(super) fn answer(said: &Callback, credited: &Credited) -> (StatusCode, &'static str, Option<String>) {
    let refused = |word, why| (StatusCode::CONFLICT, word, Some(why));
    match credited {
        Credited::Now(_) => (StatusCode::OK, "credited", None),
        Credited::Before | Credited::Closed => (StatusCode::OK, "known", None),
        Credited::Unknown => refused(
            "unknown_top_up",
            format!("nobody asked for a top-up {} through {}", said.reference, said.channel),
        ),
        Credited::OtherPayment => refused(
            "other_payment",
            format!(
                "top-up {} was paid by another transaction, or transaction {} has paid another: people look at it",
                said.reference, said.transaction
            ),
        ),
        Credited::OtherAmount { asked } => refused(
            "other_amount",
            format!(
                "{asked} yuan were asked for under {}, not {}",
                said.reference, said.amount
            ),
        ),
    }
}

impl ApiState {
    /// Keeps a callback that moves nothing, with what it is answered. Where the database is away the answer stands all the same.
    async fn keep_refused(&self, heard: Heard, refused: &Problem) {
        let heard = Heard {
            status: refused.status().as_u16(),
            outcome: refused.details().code().replace('-', "_"),
            why: Some(refused.details().detail.clone()),
            ..heard
        };
        if let Err(error) = self.keep(heard).await {
            tracing::warn!("a callback that was refused is not kept: {error}");
        }
    }

    async fn keep(&self, heard: Heard) -> Result<(), StoreError> {
        if !heard.is_signed {
            // Whoever has no name does not get to the database's writer, of which SQLite has one, but for what is kept.
            let of = heard.clone();
            if !self
                .db
                .read(move |tx| callbacks::has_room_for_unsigned(tx, &of))
                .await?
            {
                return Ok(());
            }
        }
        let kept = self.db.write(move |tx| {
            if !heard.is_signed && !callbacks::has_room_for_unsigned(tx, &heard)? {
                return Ok(());
            }
            let id = format!("{:032x}", tx.random()?);
            callbacks::add_all(tx, &[Heard { id, ..heard }])
        });
        kept.await
    }
}

/// A channel says what became of a payment: signed, and as often as it likes; a payment is credited once.
#[utoipa::path(
    post, path = "/v1/channels/{channel}/callbacks", tag = "top-ups",
    params(("channel" = String, Path, description = "The channel's name")),
    request_body = CallBack,
    responses(
        (status = 200, description = "It was dealt with, now or before", body = CalledBackView),
        (status = 401, description = "`not_signed`: the channel has not signed it, or not lately",
            body = super::dto::problem::ProblemDetails, content_type = "application/problem+json"),
        (status = 409, description = "`unknown_top_up`, `other_amount` or `other_payment`: people look at it",
            body = super::dto::problem::ProblemDetails, content_type = "application/problem+json"),
    ),
    security(()),
)]
async fn call_back(
    State(api): State<ApiState>,
    Of(ChannelName(name)): Of<ChannelName>,
    peer: Option<Extension<TcpPeer>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<CalledBackView>, Problem> {
    let (of, now) = (name.clone(), api.clock.wall());
    if body.len() > CALLBACK_BYTES_MAX {
        let detail = format!("a callback has at most {CALLBACK_BYTES_MAX} bytes");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail));
    }
    let found = api.read(move |tx| channels::find(tx, &of)).await?;
    let found = found.ok_or_else(|| Problem::unknown("channel", &name))?;
    let peer = peer.map(|Extension(peer)| peer);
    let heard = came(&name, peer.as_ref(), &headers, &body, now);
    if let Err(why) = verified(&found, &headers, &body, now) {
        if let Some(TcpPeer(address)) = peer
            && api.logins.note(address, Instant::now()).is_err()
        {
            let detail = "too many callbacks that no channel has signed came from this address";
            return Err(Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_failed_logins",
                detail,
            ));
        }
        tracing::warn!(channel = name, "a callback is refused: {why}");
        let refused = Problem::new(StatusCode::UNAUTHORIZED, "not_signed", why);
        api.keep_refused(heard, &refused).await;
        return Err(refused);
    }
    let heard = Heard {
        is_signed: true,
        ..heard
    };
    let said: CallBack = match parse(&headers, &body) {
        Ok(said) => said,
        Err(refused) => {
            api.keep_refused(heard, &refused).await;
            return Err(refused);
        }
    };
    let said = Callback {
        channel: name,
        reference: said.out_trade_no,
        transaction: said.transaction_id,
        amount: said.amount.0,
        paid: if said.status == "paid" {
            Paid::Paid
        } else {
            Paid::Closed
        },
    };
    let credited = api
        .credit(Came {
            said: said.clone(),
            heard,
        })
        .await?;
    match answer(&said, &credited) {
        (_, outcome, None) => Ok(Json(CalledBackView {
            outcome: outcome.to_owned(),
        })),
        (status, code, Some(why)) => Err(Problem::new(status, code, why)),
    }
}

#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListCallbacks {
    /// Only those that name this number of ours.
    #[serde(default)]
    out_trade_no: Option<String>,
    /// Only those that name this number of the channel's.
    #[serde(default)]
    transaction_id: Option<String>,
    /// Only those that the channel has signed, or has not.
    #[serde(default)]
    signed: Option<bool>,
    /// Where the page begins: `next` of the page before.
    #[serde(default)]
    cursor: Option<String>,
    /// How many rows at most, 1 to 200; 50 if left out.
    #[serde(default)]
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// A callback as it came, and what it was answered.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Callback)]
struct CallbackView {
    /// When it came.
    at: At,
    /// From which address; `null` where it came over the socket.
    #[schema(required)]
    address: Option<String>,
    /// The headers that say who has signed it, and when.
    #[schema(value_type = Object)]
    headers: serde_json::Value,
    /// What it said, byte by byte; what is no UTF-8 in it is shown as `U+FFFD`.
    body: String,
    /// Whether the channel has signed it, within five minutes.
    signed: bool,
    /// Our number that it names.
    #[schema(required)]
    out_trade_no: Option<String>,
    /// The channel's number that it names.
    #[schema(required)]
    transaction_id: Option<String>,
    /// The status of our answer.
    status: u16,
    /// `credited`, `known`, `unknown_top_up`, `other_amount`, `other_payment`, `not_signed`, `invalid_body`, …
    outcome: String,
    /// Why it was refused.
    #[schema(required)]
    why: Option<String>,
}

impl From<&Heard> for CallbackView {
    fn from(of: &Heard) -> Self {
        Self {
            at: At(of.at),
            address: of.address.clone(),
            headers: serde_json::from_str(&of.headers).unwrap_or_default(),
            body: String::from_utf8_lossy(&of.body).into_owned(),
            signed: of.is_signed,
            out_trade_no: of.reference.clone(),
            transaction_id: of.transaction.clone(),
            status: of.status,
            outcome: of.outcome.clone(),
            why: of.why.clone(),
        }
    }
}

/// A channel's callbacks as they came, the newest first: what to look at where money is missing on one side. They are kept for 400 days; of
/// those that the channel has not signed a hundred an hour, twenty from one address, and from the channel's own addresses whatever strangers
/// send.
#[utoipa::path(
    get, path = "/v1/channels/{channel}/callbacks", tag = "top-ups",
    params(("channel" = String, Path, description = "The channel's name"), ListCallbacks),
    responses((status = 200, description = "One page", body = PageOf<CallbackView>)),
    security(("bearer" = ["viewer"]), ("bearer" = ["finance_maker"]), ("bearer" = ["finance_checker"])),
)]
async fn list_callbacks(
    State(api): State<ApiState>,
    Of(ChannelName(name)): Of<ChannelName>,
    Asked(query): Asked<ListCallbacks>,
) -> Result<Json<PageOf<CallbackView>>, Problem> {
    let paging = Paging::new(query.cursor, query.limit);
    let limit = paging.limit()?;
    let after = match paging.parts()? {
        None => None,
        Some([at, id]) => Some((moment(at)?, id.to_owned())),
    };
    let which = Which {
        reference: query.out_trade_no,
        transaction: query.transaction_id,
        is_signed: query.signed,
    };
    let page = api.read(move |tx| list(tx, &name, &which, after, limit)).await?;
    let next = page.next_after();
    Ok(Json(PageOf {
        next: next.map(|last| cursor_of([last.at.0.to_string(), last.id.clone()])),
        items: page.items.iter().map(CallbackView::from).collect(),
    }))
}
