//! A day's bills, worked out again.

use super::{
    ApiState,
    access::Caller,
    body::Asked,
    problem::Problem,
    wire::{
        At, Yuan,
        bill::{BillAuditView, BillDifference},
    },
};
use axum::{Json, extract::State, http::StatusCode};
use domain::time::Wall;
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

/// The most audits of one caller at once: each reads a day of the journal.
const AUDITS_PER_CALLER_MAX: usize = 1;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(audit_bills))
}

#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct OfDay {
    /// The day by the site's clock.
    #[param(example = "2026-03-01")]
    day: String,
}

/// Work a day's bills out again from the readings that the journal kept.
///
/// Every bill that was journaled on that day, by the tariff it was rated by. Any that comes out otherwise is named.
#[utoipa::path(
    get, path = "/v1/bills/audit", tag = "books",
    params(OfDay),
    responses((status = 200, description = "How many are the same to the fen, and which are not", body = BillAuditView)),
    security(("bearer" = ["service"])),
)]
async fn audit_bills(
    State(api): State<ApiState>,
    Asked(asked): Asked<OfDay>,
    caller: Caller,
) -> Result<Json<BillAuditView>, Problem> {
    let turn = api.audits.admit(caller.name, AUDITS_PER_CALLER_MAX).ok_or_else(|| {
        let detail = "an audit of yours is being made already; wait until it is done";
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "audit_running", detail)
    })?;
    let (from, to) = bounds(&asked.day, &api.time_zone)?;
    let store = api.station.store.clone();
    let audit = tokio::task::spawn_blocking(move || {
        // Until the work is done, also for somebody who hangs up before.
        let _turn = turn;
        store.audit_bills(from, to)
    })
    .await;
    let audit = audit.map_err(Problem::internal)??;
    Ok(Json(BillAuditView {
        from: At(from),
        to: At(to),
        rated: audit.rated,
        same: audit.same,
        differences: audit
            .differences
            .into_iter()
            .map(|difference| BillDifference {
                seq: difference.seq,
                order_id: difference.order.as_str().to_owned(),
                fee: Yuan(difference.fee),
                again: difference.again.map(Yuan),
            })
            .collect(),
    }))
}

/// When a day of the site begins, and when the next one does.
fn bounds(day: &str, time_zone: &str) -> Result<(Wall, Wall), Problem> {
    let wrong = || Problem::field("day", "give a day as in 2026-03-01");
    let day: Date = day.parse().map_err(|_| wrong())?;
    let zone = TimeZone::get(time_zone).map_err(Problem::internal)?;
    let begins = |day: Date| -> Result<Wall, Problem> {
        let begin: Timestamp = day.to_zoned(zone.clone()).map_err(|_| wrong())?.timestamp();
        Ok(Wall(begin.as_millisecond()))
    };
    Ok((begins(day)?, begins(day.tomorrow().map_err(|_| wrong())?)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_the_sites_own() {
        let (from, to) = bounds("2026-03-01", "Asia/Shanghai").unwrap();
        assert_eq!(from, Wall::parse("2026-03-01T00:00:00+08:00").unwrap());
        assert_eq!(to.ms_since(from), 86_400_000);
        let (from, to) = bounds("2026-10-25", "Europe/Berlin").unwrap();
        assert_eq!(to.ms_since(from), 25 * 3_600_000, "a day can have 25 hours");
        assert!(bounds("2026-02-30", "Asia/Shanghai").is_err());
    }
}
