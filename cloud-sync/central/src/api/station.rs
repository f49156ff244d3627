//! What only a station knows: it is asked over the line, and what it answers is passed on as it came.

use super::{ApiState, dto::problem::ProblemDetails};
use crate::asks::{Answer, NotAnswered};
use axum::{
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use domain::ids::SiteId;
use protocol::read_through::Question;
use service::{
    http::{
        access::Caller,
        body::Of,
        problem::{Details, Problem},
    },
    wire::described,
};
use utoipa_axum::{router::OpenApiRouter, routes};

/// How much of a station's own words is passed on, in characters.
const WORDS_CHARS_MAX: usize = 500;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(get_station))
        .routes(routes!(get_balance_sheet))
}

/// A station's answer as it came: JSON.
#[derive(Debug)]
pub(super) struct Passed(Vec<u8>);

impl IntoResponse for Passed {
    fn into_response(self) -> Response {
        let kind = HeaderValue::from_static("application/json");
        ([(header::CONTENT_TYPE, kind)], self.0).into_response()
    }
}

impl ApiState {
    /// Asks a station.
    pub(super) async fn ask(&self, caller: &Caller, site: &SiteId, what: Question) -> Result<Passed, Problem> {
        match self.asks.get(site, Some(&caller.name), what, self.ask_time_max).await {
            Ok(answer) => passed(site, answer),
            Err(why) => Err(not_answered(site, why)),
        }
    }
}

/// Why a site cannot be asked, and what to do.
pub(super) fn not_answered(site: &SiteId, why: NotAnswered) -> Problem {
    let (code, way_out) = match why {
        NotAnswered::Away => (
            "site_away",
            format!(
                "GET /v1/sites/{site} says when it was last heard. What its journal has is here all the same; ask again when its line is back"
            ),
        ),
        NotAnswered::Silent => ("site_silent", "its line may be slow: ask again".to_owned()),
        NotAnswered::Busy => ("site_busy", "ask again in a moment".to_owned()),
        NotAnswered::CallerBusy => {
            let detail = format!("site {site}: {why}; ask again when one of them is answered");
            let busy = Problem::new(StatusCode::TOO_MANY_REQUESTS, "busy", detail).until(1);
            return busy.with("site", site.as_str());
        }
    };
    Problem::unavailable(code, format!("site {site}: {why}; {way_out}")).with("site", site.as_str())
}

/// What the station answered, where it is what was asked for.
fn passed(site: &SiteId, Answer { status, body }: Answer) -> Result<Passed, Problem> {
    // Whatever comes over the line goes out as JSON only if it is.
    let is_json = || serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_ok();
    if status == 200 && is_json() {
        return Ok(Passed(body));
    }
    let said = serde_json::from_slice::<Details>(&body).map(|details| details.detail);
    let words: String = said.unwrap_or_default().chars().take(WORDS_CHARS_MAX).collect();
    let detail = format!("the station of site {site} answered {status}: {words}");
    let problem = match status {
        404 => Problem::new(StatusCode::NOT_FOUND, "unknown_at_site", detail),
        503 => Problem::unavailable("site_busy", detail),
        _ => Problem::new(StatusCode::BAD_GATEWAY, "site_refused", detail),
    };
    Err(problem.with("site", site.as_str()).with("site_status", status))
}

/// The station as it is now, as its own `GET /v1/station` shows it: its piles, clocks and disk. It is asked over the line.
#[utoipa::path(
    get, path = "/v1/sites/{site}/station", tag = "sites",
    params(("site" = inline(described::SiteId), Path, description = "The site's id")),
    responses(
        (status = 200, description = "`StationView` of the station's own document", body = serde_json::Value),
        (status = 503, description = "`site_away`, `site_silent` or `site_busy`: the station cannot be asked just now",
            body = ProblemDetails, content_type = "application/problem+json"),
    ),
    security(("bearer" = ["viewer"])),
)]
async fn get_station(State(api): State<ApiState>, Of(site): Of<SiteId>, caller: Caller) -> Result<Passed, Problem> {
    api.site(&site).await?;
    api.ask(&caller, &site, Question::Station).await
}

/// The station's own books, as its `GET /v1/balance-sheet?detail=true` shows them. It is asked over the line.
#[utoipa::path(
    get, path = "/v1/sites/{site}/balance-sheet", tag = "books",
    params(("site" = inline(described::SiteId), Path, description = "The site's id")),
    responses(
        (status = 200, description = "`BalanceSheet` of the station's own document", body = serde_json::Value),
        (status = 503, description = "`site_away`, `site_silent` or `site_busy`: the station cannot be asked just now",
            body = ProblemDetails, content_type = "application/problem+json"),
    ),
    security(("bearer" = ["viewer"]), ("bearer" = ["finance_maker"]), ("bearer" = ["finance_checker"])),
)]
async fn get_balance_sheet(
    State(api): State<ApiState>,
    Of(site): Of<SiteId>,
    caller: Caller,
) -> Result<Passed, Problem> {
    api.site(&site).await?;
    api.ask(&caller, &site, Question::BalanceSheet).await
}
