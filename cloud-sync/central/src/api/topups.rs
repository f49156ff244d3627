//! Channels, and top-ups through them: the mini-program asks for one, the driver pays the channel, the channel calls back
//! (`callbacks`).

use super::{
    ApiState,
    answered::{Answered, Shown, Told},
    wallets::check_amount,
};
use crate::{
    bills::Biller,
    store::{
        channels::{self, Channel, Signs},
        topups::{self, TopUp},
    },
    webhook::Secret,
};
use axum::{Json, extract::State, http::StatusCode};
use domain::ids::MemberId;
use serde::{Deserialize, Serialize};
use serde_json::json;
use service::{
    http::{
        body::{Checked, Of, Posted, Put, check_name},
        problem::Problem,
    },
    wire::{At, PageOf, Yuan, described},
};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

/// The most rows of a list that has no pages.
const ROWS_MAX: u64 = 200;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(put_channel, get_channel))
        .routes(routes!(list_channels))
        .routes(routes!(ask_top_up, list_top_ups))
}

/// A channel's name in a path: 1 to 32 of `a-z`, `0-9` and `_`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ChannelName(pub(super) String);

impl std::str::FromStr for ChannelName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        match !text.is_empty() && text.len() <= 32 && text.bytes().all(is_name) {
            true => Ok(Self(text.to_owned())),
            false => Err("a channel's name is 1 to 32 of a-z, 0-9 and _".to_owned()),
        }
    }
}

impl<'de> Deserialize<'de> for ChannelName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A channel.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PutChannel {
    /// How it signs its callbacks: `standard_webhooks`, or `hmac` (HMAC-SHA256 of the body in hexadecimal digits, in the header
    /// `x-signature: sha256=…`).
    signs: String,
    /// What with: `whsec_` and 24 to 64 bytes in base64. Left out, the one before stays.
    #[serde(default)]
    secret: Option<String>,
    /// Our number at the channel.
    #[schema(max_length = 64)]
    merchant: String,
    /// What it keeps of each payment, in millionths.
    #[schema(maximum = 100_000)]
    fee_ppm: u32,
    /// After so many calendar days a payment is in its bill (T+n); 3 if left out.
    #[serde(default)]
    #[schema(maximum = 60)]
    settle_days: Option<u32>,
    /// Where its days begin; `Asia/Shanghai` if left out.
    #[serde(default)]
    zone: Option<String>,
    /// Whose files its bills are: `wechat`, `alipay`, or `csv` by a mapping in the configuration; no bills if left out.
    #[serde(default)]
    bills: Option<String>,
}

impl Checked for PutChannel {
    fn check(&self) -> Result<(), Problem> {
        if Signs::of_word(&self.signs).is_none() {
            return Err(Problem::field("signs", "is standard_webhooks or hmac"));
        }
        if let Some(secret) = &self.secret {
            Secret::of_text(secret).map_err(|error| Problem::field("secret", error.to_string()))?;
        }
        check_name("merchant", &self.merchant, 1)?;
        if self.fee_ppm > 100_000 {
            return Err(Problem::field("fee_ppm", "is at most 100000, which is a tenth"));
        }
        if self.settle_days.is_some_and(|days| days > 60) {
            return Err(Problem::field("settle_days", "is at most 60"));
        }
        if let Some(zone) = &self.zone
            && jiff::tz::TimeZone::get(zone).is_err()
        {
            return Err(Problem::field("zone", "is no name of the IANA time-zone database"));
        }
        if let Some(bills) = &self.bills
            && Biller::of_word(bills).is_none()
        {
            return Err(Problem::field("bills", "is wechat, alipay or csv"));
        }
        Ok(())
    }
}

/// A channel, without its secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Channel)]
struct ChannelView {
    /// Its name.
    name: String,
    /// How it signs.
    signs: String,
    /// Our number at the channel.
    merchant: String,
    /// What it keeps of each payment, in millionths.
    fee_ppm: u32,
    /// T+n.
    settle_days: u32,
    /// Where its days begin.
    zone: String,
    /// Whose files its bills are; none where no bills are expected.
    #[schema(required)]
    bills: Option<String>,
}

impl From<&Channel> for ChannelView {
    fn from(of: &Channel) -> Self {
        Self {
            name: of.name.clone(),
            signs: of.signs.word().to_owned(),
            merchant: of.merchant.clone(),
            fee_ppm: of.fee_ppm,
            settle_days: of.settle_days,
            zone: of.zone.clone(),
            bills: of.bills.map(|biller| biller.word().to_owned()),
        }
    }
}

/// A top-up to be asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AskTopUp {
    /// Through which channel.
    channel: String,
    /// How much.
    #[schema(value_type = described::PositiveYuan)]
    amount: Yuan,
}

impl Checked for AskTopUp {
    fn check(&self) -> Result<(), Problem> {
        check_amount("amount", self.amount)
    }
}

/// A top-up.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TopUp)]
struct TopUpView {
    /// Through which channel.
    channel: String,
    /// Our number, which the channel is given (out_trade_no).
    out_trade_no: String,
    /// Whose wallet.
    member: String,
    /// How much.
    amount: Yuan,
    /// `pending`, `credited` or `closed`.
    state: String,
    /// When it was asked for.
    made_at: At,
    /// When the wallet got it.
    #[schema(required)]
    credited_at: Option<At>,
}

impl From<&TopUp> for TopUpView {
    fn from(of: &TopUp) -> Self {
        Self {
            channel: of.channel.clone(),
            out_trade_no: of.reference.clone(),
            member: of.member.to_string(),
            amount: Yuan(of.amount),
            state: of.state.word().to_owned(),
            made_at: At(of.made_at),
            credited_at: of.credited_at.map(At),
        }
    }
}

/// Add a channel, or change one.
#[utoipa::path(
    put, path = "/v1/channels/{channel}", tag = "top-ups",
    params(("channel" = String, Path, description = "Its name: 1 to 32 of a-z, 0-9 and _")),
    request_body = PutChannel,
    responses((status = 200, description = "The channel", body = ChannelView)),
    security(("bearer" = ["admin"])),
)]
async fn put_channel(
    State(api): State<ApiState>,
    Of(ChannelName(name)): Of<ChannelName>,
    put: Put<PutChannel>,
) -> Result<Answered, Problem> {
    let body = put.body;
    api.change(put.caller, None, move |tx, now| {
        let before = channels::find(tx, &name)?;
        let made_at = before.as_ref().map_or(now, |before| before.made_at);
        let Some(secret) = body.secret.or(before.map(|before| before.secret)) else {
            return Ok(Err(Problem::field("secret", "must be given for a new channel")));
        };
        let signs = Signs::of_word(&body.signs);
        let channel = Channel {
            name: name.clone(),
            signs: signs.unwrap_or(Signs::StandardWebhooks),
            secret,
            merchant: body.merchant,
            fee_ppm: body.fee_ppm,
            settle_days: body.settle_days.unwrap_or(3),
            zone: body.zone.unwrap_or_else(|| "Asia/Shanghai".to_owned()),
            bills: body.bills.as_deref().and_then(Biller::of_word),
            made_at,
        };
        channels::put(tx, &channel, now)?;
        let view = ChannelView::from(&channel);
        let told = Told {
            action: "channel_put",
            subject: name,
            detail: serde_json::to_value(&view).unwrap_or_default(),
        };
        Ok(Ok((Shown::new(StatusCode::OK, &view)?, told)))
    })
    .await
}

/// A channel.
#[utoipa::path(
    get, path = "/v1/channels/{channel}", tag = "top-ups",
    params(("channel" = String, Path, description = "Its name")),
    responses((status = 200, description = "The channel", body = ChannelView)),
    security(("bearer" = ["viewer"]), ("bearer" = ["admin"])),
)]
async fn get_channel(
    State(api): State<ApiState>,
    Of(ChannelName(name)): Of<ChannelName>,
) -> Result<Json<ChannelView>, Problem> {
    let of = name.clone();
    let found = api.read(move |tx| channels::find(tx, &of)).await?;
    let found = found.ok_or_else(|| Problem::unknown("channel", &name))?;
    Ok(Json(ChannelView::from(&found)))
}

/// All channels, by name.
#[utoipa::path(
    get, path = "/v1/channels", tag = "top-ups",
    responses((status = 200, description = "One page: they are few", body = PageOf<ChannelView>)),
    security(
        ("bearer" = ["viewer"]), ("bearer" = ["finance_maker"]), ("bearer" = ["finance_checker"]), ("bearer" = ["admin"]),
    ),
)]
async fn list_channels(State(api): State<ApiState>) -> Result<Json<PageOf<ChannelView>>, Problem> {
    let found = api.read(channels::all).await?;
    Ok(Json(PageOf {
        items: found.iter().map(ChannelView::from).collect(),
        next: None,
    }))
}

/// Ask for a top-up: its number goes to the channel with the payment, and comes back in the channel's callback.
#[utoipa::path(
    post, path = "/v1/members/{member}/top-ups", tag = "top-ups",
    params(("member" = inline(described::MemberId), Path, description = "The member's id")),
    request_body = AskTopUp,
    responses((status = 201, description = "It is pending", body = TopUpView)),
    security(("bearer" = ["station"])),
)]
async fn ask_top_up(
    State(api): State<ApiState>,
    Of(member): Of<MemberId>,
    posted: Posted<AskTopUp>,
) -> Result<Answered, Problem> {
    let Posted { body, key, caller } = posted;
    let AskTopUp { channel, amount } = body;
    let reference = super::placing::new_id("T")?;
    let (name, of) = (channel.clone(), channel.clone());
    if api.read(move |tx| channels::find(tx, &of)).await?.is_none() {
        return Err(Problem::field("channel", format!("there is no channel {name}")));
    }
    api.with_money(caller, Some(key), move |money| {
        if let Err(refused) = money.ask_top_up(&member, &channel, &reference, amount.0)? {
            return Ok(Err(refused.into()));
        }
        let Some(asked) = money.top_up(&channel, &reference)? else {
            return Err(crate::store::StoreError::Broken(
                "a top-up that was asked for is not there".to_owned(),
            ));
        };
        let told = Told {
            action: "top_up_asked",
            subject: member.to_string(),
            detail: json!({ "channel": channel, "out_trade_no": reference, "amount": amount }),
        };
        Ok(Ok((Shown::new(StatusCode::CREATED, &TopUpView::from(&asked))?, told)))
    })
    .await
}

/// A member's top-ups, the newest first, at most 200.
#[utoipa::path(
    get, path = "/v1/members/{member}/top-ups", tag = "top-ups",
    params(("member" = inline(described::MemberId), Path, description = "The member's id")),
    responses((status = 200, description = "The top-ups", body = Vec<TopUpView>)),
    security(("bearer" = ["viewer"]), ("bearer" = ["station"]), ("bearer" = ["service"])),
)]
async fn list_top_ups(State(api): State<ApiState>, Of(member): Of<MemberId>) -> Result<Json<Vec<TopUpView>>, Problem> {
    let found = api.read(move |tx| topups::of_member(tx, &member, ROWS_MAX)).await?;
    Ok(Json(found.iter().map(TopUpView::from).collect()))
}
