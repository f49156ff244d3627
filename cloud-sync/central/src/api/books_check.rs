//! Whether a site's own balance sheet is what its books are here, asked for now; once in each business day it is done anyway.

use super::{ApiState, dto::problem::ProblemDetails, station::not_answered};
use crate::{
    daily::{self, NotCompared},
    ingest::books::Compared,
    store::{audit, findings::Class},
};
use axum::{Json, extract::State, http::StatusCode};
use domain::{ids::SiteId, time::Day};
use serde::Serialize;
use serde_json::json;
use service::{
    http::{
        body::{Nothing, Of, Put},
        problem::Problem,
    },
    wire::described,
};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(check_books))
}

/// What a comparison came to.
#[derive(Debug, Serialize, ToSchema)]
struct BooksCheckView {
    /// Whether the books are equal.
    right: bool,
    /// `equal`; `differ`: a finding of class `BOOKS` says in what; `behind`: the site's last entries are not here yet; `forked`:
    /// the site goes on with another journal than the one that is here.
    #[schema(example = "equal")]
    result: String,
    /// The entry after which the site drew up its sheet.
    seq: u64,
    /// What differs: `why` in words, and what `site` and `here` have; `null` where nothing does.
    #[schema(required, value_type = Option<Object>)]
    detail: Option<serde_json::Value>,
}

impl BooksCheckView {
    fn of(seq: u64, compared: &Compared) -> Self {
        let (result, detail) = match compared {
            Compared::Equal => (daily::EQUAL, None),
            Compared::Differ(finding) => (daily::DIFFER, serde_json::from_str(&finding.detail).ok()),
            Compared::Behind { head } => ("behind", Some(json!({ "head": head }))),
            Compared::Forked => ("forked", None),
        };
        Self {
            right: *compared == Compared::Equal,
            result: result.to_owned(),
            seq,
            detail,
        }
    }
}

/// Ask a station for its balance sheet, and compare it with its books here. What differs is kept as a finding.
#[utoipa::path(
    put, path = "/v1/sites/{site}/books-check", tag = "upkeep",
    params(("site" = inline(described::SiteId), Path, description = "Its id")),
    request_body = Nothing,
    responses(
        (status = 200, description = "What it came to", body = BooksCheckView),
        (status = 503, description = "`site_away`, `site_silent` or `site_busy`: the station cannot be asked just now",
            body = ProblemDetails, content_type = "application/problem+json"),
    ),
    security(("bearer" = ["admin"]), ("bearer" = ["finance_checker"])),
)]
async fn check_books(
    State(api): State<ApiState>,
    Of(id): Of<SiteId>,
    put: Put<Nothing>,
) -> Result<Json<BooksCheckView>, Problem> {
    let site = api.site(&id).await?;
    let by = Some(put.caller.name.as_str());
    let compared = daily::compare(&api.db, &api.asks, &*api.clock, (&id, by), api.ask_time_max).await;
    let (seq, compared) = compared.map_err(|why| refused(&id, why))?;
    let view = BooksCheckView::of(seq, &compared);
    let day = site.day.as_deref().and_then(|day| Day::parse(day).ok());
    let (by, now) = (put.caller.name, api.clock.wall());
    let told = json!({ "seq": seq, "result": view.result, "class": Class::Books.word() });
    let noted = api.db.write(move |tx| {
        daily::note(tx, &id, day, Some(&compared), now)?;
        audit::append(tx, now, &by, "books_compared", id.as_str(), told)
    });
    noted.await?;
    Ok(Json(view))
}

/// Why nothing was compared, and what to do.
fn refused(site: &SiteId, why: NotCompared) -> Problem {
    match why {
        NotCompared::NotAnswered(why) => not_answered(site, why),
        NotCompared::NoSheet { status, .. } => {
            let detail = format!("site {site}: {why}; ask again, and look at the station's log if it stays so");
            let problem = match status {
                503 => Problem::unavailable("site_busy", detail),
                _ => Problem::new(StatusCode::BAD_GATEWAY, "site_refused", detail),
            };
            problem.with("site", site.as_str()).with("site_status", status)
        }
        NotCompared::Store(error) => error.into(),
    }
}
