//! Head office's books: accounts, the movements between them, and what they come to.

use super::{
    ApiState,
    dto::books::{AccountView, SumsView, TransferView},
    orders::{day, moment},
};
use crate::store::queries::books::{self, TransferFilter};
use axum::{Json, extract::State};
use domain::{
    ids::{MemberId, OrderId, SiteId},
    time::Wall,
    units::Fen,
};
use serde::Deserialize;
use service::{
    http::{
        body::Asked,
        page::{Paging, cursor_of},
        problem::Problem,
    },
    wire::{PageOf, Yuan, described},
};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

/// The longest word of a code or a kind, in characters.
const WORD_CHARS_MAX: usize = 32;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list_transfers))
        .routes(routes!(sum_transfers))
        .routes(routes!(list_accounts))
        .routes(routes!(sum_accounts))
}

/// Which movements.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct SumTransfers {
    /// Only of this site; this or `member` must be given.
    #[serde(default)]
    #[param(value_type = Option<described::SiteId>, inline)]
    site: Option<SiteId>,
    /// Only this member's; this or `site` must be given.
    #[serde(default)]
    #[param(value_type = Option<described::MemberId>, inline)]
    member: Option<MemberId>,
    /// Only about this order of the site, which must be named too.
    #[serde(default)]
    #[param(value_type = Option<described::OrderId>, inline)]
    order: Option<OrderId>,
    /// Only of this code, such as `CAPTURE`.
    #[serde(default)]
    code: Option<String>,
    /// Only of this business day.
    #[serde(default)]
    #[param(value_type = Option<String>, format = Date, example = "2026-03-01")]
    day: Option<String>,
    /// Only those at this moment or later, RFC 3339.
    #[serde(default)]
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<Wall>,
    /// Only those before this moment, RFC 3339.
    #[serde(default)]
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<Wall>,
}

/// Which movements, and which page of them.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListTransfers {
    /// Only of this site; this or `member` must be given.
    #[serde(default)]
    #[param(value_type = Option<described::SiteId>, inline)]
    site: Option<SiteId>,
    /// Only this member's; this or `site` must be given.
    #[serde(default)]
    #[param(value_type = Option<described::MemberId>, inline)]
    member: Option<MemberId>,
    /// Only about this order of the site, which must be named too.
    #[serde(default)]
    #[param(value_type = Option<described::OrderId>, inline)]
    order: Option<OrderId>,
    /// Only of this code, such as `CAPTURE`.
    #[serde(default)]
    code: Option<String>,
    /// Only of this business day.
    #[serde(default)]
    #[param(value_type = Option<String>, format = Date, example = "2026-03-01")]
    day: Option<String>,
    /// Only those at this moment or later, RFC 3339.
    #[serde(default)]
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<Wall>,
    /// Only those before this moment, RFC 3339.
    #[serde(default)]
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<Wall>,
    /// Where the page begins: `next` of the page before.
    #[serde(default)]
    cursor: Option<String>,
    /// How many rows at most, 1 to 200; 50 if left out.
    #[serde(default)]
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

fn check_word(path: &str, word: Option<&String>) -> Result<(), Problem> {
    let plain = |word: &String| {
        (1..=WORD_CHARS_MAX).contains(&word.len())
            && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    match word.is_none_or(plain) {
        true => Ok(()),
        false => Err(Problem::url(
            path,
            format!("a word of 1 to {WORD_CHARS_MAX} of A-Z a-z 0-9 _"),
        )),
    }
}

impl SumTransfers {
    fn filter(self) -> Result<TransferFilter, Problem> {
        if self.site.is_none() && self.member.is_none() {
            return Err(Problem::url(
                "site",
                "name a site or a member: the movements of all are too many to look through",
            ));
        }
        if self.order.is_some() && self.site.is_none() {
            let detail = "name the site of the order too: other sites may have one of the same number";
            return Err(Problem::url("order", detail));
        }
        check_word("code", self.code.as_ref())?;
        Ok(TransferFilter {
            site: self.site.map(|site| site.to_string()),
            member: self.member.map(|member| member.to_string()),
            order: self.order.map(|order| order.to_string()),
            code: self.code,
            day: day(self.day)?.map(|day| day.to_string()),
            from: self.from,
            to: self.to,
        })
    }
}

/// Movements of head office's books, the latest first.
#[utoipa::path(
    get, path = "/v1/transfers", tag = "books",
    params(ListTransfers),
    responses((status = 200, description = "One page", body = PageOf<TransferView>)),
    security(("bearer" = ["viewer"]), ("bearer" = ["finance_maker"]), ("bearer" = ["finance_checker"])),
)]
async fn list_transfers(
    State(api): State<ApiState>,
    Asked(query): Asked<ListTransfers>,
) -> Result<Json<PageOf<TransferView>>, Problem> {
    let ListTransfers {
        site,
        member,
        order,
        code,
        day,
        from,
        to,
        cursor,
        limit,
    } = query;
    let paging = Paging::new(cursor, limit);
    let limit = paging.limit()?;
    let after = match paging.parts()? {
        None => None,
        Some([at, id]) => Some((moment(at)?, id.to_owned())),
    };
    let which = SumTransfers {
        site,
        member,
        order,
        code,
        day,
        from,
        to,
    };
    let filter = which.filter()?;
    let page = api.read(move |tx| books::transfers(tx, &filter, after, limit)).await?;
    let next = page.next_after();
    Ok(Json(PageOf {
        next: next.map(|last| cursor_of([last.at.0.to_string(), last.id.clone()])),
        items: page.items.iter().map(TransferView::from).collect(),
    }))
}

/// What movements come to, by code.
#[utoipa::path(
    get, path = "/v1/transfers/sums", tag = "books",
    params(SumTransfers),
    responses((status = 200, description = "A row for each code", body = SumsView)),
    security(("bearer" = ["viewer"]), ("bearer" = ["finance_maker"]), ("bearer" = ["finance_checker"])),
)]
async fn sum_transfers(
    State(api): State<ApiState>,
    Asked(query): Asked<SumTransfers>,
) -> Result<Json<SumsView>, Problem> {
    let filter = query.filter()?;
    let sums = api.read(move |tx| books::transfer_sums(tx, &filter)).await?;
    Ok(Json(SumsView::of(&sums)))
}

#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListAccounts {
    /// Only of this kind, such as `allowance`.
    #[serde(default)]
    kind: Option<String>,
    /// Where the page begins: `next` of the page before.
    #[serde(default)]
    cursor: Option<String>,
    /// How many rows at most, 1 to 200; 50 if left out.
    #[serde(default)]
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// Accounts of head office's books in the order of their names.
#[utoipa::path(
    get, path = "/v1/accounts", tag = "books",
    params(ListAccounts),
    responses((status = 200, description = "One page", body = PageOf<AccountView>)),
    security(("bearer" = ["viewer"]), ("bearer" = ["finance_maker"]), ("bearer" = ["finance_checker"])),
)]
async fn list_accounts(
    State(api): State<ApiState>,
    Asked(query): Asked<ListAccounts>,
) -> Result<Json<PageOf<AccountView>>, Problem> {
    check_word("kind", query.kind.as_ref())?;
    let paging = Paging::new(query.cursor, query.limit);
    let (after, limit) = (paging.parts()?.map(|[name]| name.to_owned()), paging.limit()?);
    let kind = query.kind;
    let page = api
        .read(move |tx| books::accounts(tx, kind.as_deref(), after.as_deref(), limit))
        .await?;
    Ok(Json(PageOf {
        next: page.next_after().map(|(name, ..)| name.clone()),
        items: page
            .items
            .into_iter()
            .map(|(name, kind, balance)| AccountView {
                name,
                kind,
                balance: Yuan(Fen(balance)),
            })
            .collect(),
    }))
}

/// What all accounts of each kind come to; all kinds together are zero.
#[utoipa::path(
    get, path = "/v1/accounts/sums", tag = "books",
    responses((status = 200, description = "A row for each kind", body = SumsView)),
    security(("bearer" = ["viewer"]), ("bearer" = ["finance_maker"]), ("bearer" = ["finance_checker"])),
)]
async fn sum_accounts(State(api): State<ApiState>) -> Result<Json<SumsView>, Problem> {
    let sums = api.read(books::account_sums).await?;
    Ok(Json(SumsView::of(&sums)))
}
