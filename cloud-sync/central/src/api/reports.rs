//! Reports of days that were reconciled, as JSON, CSV or XLSX; and the table of differences, filled in and sent back.

use super::{
    ApiState,
    answered::{Answered, Shown, Told},
};
use crate::{
    bills::spool::nameless,
    money::sent_back::{May, Verdict},
    report::{
        Format, Sheet,
        sent_back::{self, BYTES_MAX},
        written::{NotWritten, Which, write},
    },
    role::Role,
    store::{Tx, audit},
};
use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use domain::{ids::SiteId, journal::hex, time::Day};
use serde::{Deserialize, Serialize};
use serde_json::json;
use service::http::{
    access::Caller,
    body::{Asked, Of, PostedBytes},
    problem::Problem,
};
use sha2::{Digest, Sha256};
use std::{
    fs::File,
    io::{self, BufWriter, Read, Seek},
    path::Path,
};
use tokio::sync::mpsc;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

/// So many lines of a table are done by one request at most.
const AT_ONCE: usize = 1_000;
/// How much of a file is read at a time, in bytes; and how many such pieces wait for whoever reads them.
const PIECE_BYTES: usize = 1 << 16;
const PIECES_MAX: usize = 8;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(get_report))
        .routes(routes!(send_back))
}

#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct GetReport {
    /// `json`, `csv` or `xlsx`; `json` if left out.
    #[serde(default)]
    format: Option<String>,
    /// Which table, of CSV: `summary`, `totals`, `differences`, `bills`, `suspense` or `sites`; `differences` if left out.
    #[serde(default)]
    sheet: Option<String>,
    /// Only this channel.
    #[serde(default)]
    channel: Option<String>,
    /// Only this site.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    site: Option<SiteId>,
}

impl From<NotWritten> for Problem {
    fn from(not: NotWritten) -> Self {
        let words = not.to_string();
        match not {
            NotWritten::UnknownChannel(name) => Self::unknown("channel", name),
            NotWritten::UnknownSite(id) => Self::unknown("site", id),
            NotWritten::NothingOf(_) => Self::new(StatusCode::NOT_FOUND, "unknown_report", words),
            NotWritten::Store(error) => error.into(),
            NotWritten::Broken(error) => Self::internal(error),
        }
    }
}

/// A day's report: whether it balances, what does not, how old that is and who has it, first; then every difference once, with both values.
/// As JSON and as XLSX all tables, as CSV one. The table `differences` may be filled in and sent back. `docs/reconciliation.md` has the columns.
#[utoipa::path(
    get, path = "/v1/reports/{day}", tag = "reconciliation",
    params(("day" = String, Path, description = "The day, by the channels' clocks"), GetReport),
    responses(
        (status = 200, description = "The report",
            content((serde_json::Value = "application/json"), (String = "text/csv"),
                (Vec<u8> = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"))),
        (status = 404, description = "`unknown_report`: no channel's day has been reconciled; `unknown_channel`, `unknown_site`",
            body = super::dto::problem::ProblemDetails, content_type = "application/problem+json"),
    ),
    security(("bearer" = ["viewer"]), ("bearer" = ["finance_maker"]), ("bearer" = ["finance_checker"])),
)]
async fn get_report(
    State(api): State<ApiState>,
    Of(day): Of<Day>,
    Asked(query): Asked<GetReport>,
    caller: Caller,
) -> Result<Response, Problem> {
    let format: Format = match query.format.as_deref() {
        None => Format::Json,
        Some(word) => word.parse().map_err(|why| Problem::url("format", why))?,
    };
    let sheet = match query.sheet.as_deref() {
        None => Sheet::Differences,
        Some(word) => Sheet::of_word(word).ok_or_else(|| {
            let words = Sheet::ALL.map(Sheet::word).join(", ");
            Problem::url("sheet", format!("is one of {words}"))
        })?,
    };
    if query.channel.is_some() && query.site.is_some() {
        return Err(Problem::url(
            "site",
            "goes without channel: a report is of one of them, or of all",
        ));
    }
    let which = Which {
        day,
        on: api.today(),
        channel: query.channel,
        site: query.site.map(|site| site.to_string()),
    };
    let folder = api.bills.spool.clone();
    // It is written to its end first: whoever reads it slowly holds no state of the database.
    let written = api.read_long(&caller, move |tx| Ok(spooled(tx, &which, (format, sheet), &folder)));
    let (file, digest) = written.await??;
    let (now, by) = (api.clock.wall(), caller.name);
    let detail = json!({ "format": format.word(), "digest": digest });
    let told = api
        .db
        .write(move |tx| audit::append(tx, now, &by, "report_read", &day.to_string(), detail));
    told.await?;
    let name = match format {
        Format::Csv => format!("reconciliation-{day}-{}.csv", sheet.word()),
        _ => format!("reconciliation-{day}.{}", format.word()),
    };
    let bytes = file.metadata().map_err(Problem::internal)?.len();
    let headers = [
        (header::CONTENT_TYPE, format.media_type().to_owned()),
        (header::CONTENT_LENGTH, bytes.to_string()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
    ];
    Ok((headers, body_of(file)).into_response())
}

/// A report in a file of its own, and its digest.
fn spooled(
    tx: &mut dyn Tx,
    which: &Which,
    format: (Format, Sheet),
    folder: &Path,
) -> Result<(File, String), NotWritten> {
    service::folder::make_private(folder)?;
    let mut file = nameless(folder, "report")?;
    let summary = write(tx, which, format, BufWriter::with_capacity(PIECE_BYTES, &mut file))?;
    file.rewind()?;
    Ok((file, summary.digest))
}

/// What is in a file, read by a thread that may wait for the disk.
fn body_of(mut file: File) -> Body {
    let (pieces, come) = mpsc::channel::<io::Result<Bytes>>(PIECES_MAX);
    tokio::task::spawn_blocking(move || {
        loop {
            let mut piece = vec![0; PIECE_BYTES];
            let read = match file.read(&mut piece) {
                Ok(0) => return,
                Ok(read) => {
                    piece.truncate(read);
                    Ok(Bytes::from(piece))
                }
                Err(error) => Err(error),
            };
            // Whoever reads may have gone.
            if pieces.blocking_send(read).is_err() {
                return;
            }
        }
    });
    Body::from_stream(futures_util::stream::unfold(come, async |mut come| {
        Some((come.recv().await?, come))
    }))
}

/// What came of a line.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SentBackLine)]
struct LineView {
    /// The line, counted from 1.
    line: u64,
    /// The discrepancy as it stands there.
    discrepancy: String,
    /// `proposed`, `approved`; `known`: it was so before, and nothing changed; `refused`.
    verdict: String,
    /// Why it was refused.
    #[schema(required)]
    detail: Option<String>,
}

/// What came of a table.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = SentBack)]
struct SentBackView {
    /// So many were proposed.
    proposed: u64,
    /// So many were approved.
    approved: u64,
    /// So many were so before.
    known: u64,
    /// So many were refused.
    refused: u64,
    /// There are more: the same file, under another Idempotency-Key, goes on.
    more: bool,
    /// Every line that wants something and was looked at.
    lines: Vec<LineView>,
}

/// Do what stands in the table of differences of a report that a person has filled in: of each line with a `proposal` that is proposed, with a
/// `reason` and, for a credit, whose `member`; of each line with `yes` under `approve` what stands there is approved, by somebody else. A line
/// whose discrepancy has changed since the table was taken is refused, and the others are done. The same file again changes nothing.
#[utoipa::path(
    post, path = "/v1/discrepancies/csv", tag = "reconciliation",
    request_body(content = String, content_type = "text/csv", description = "The table, of at most 8 MiB, in UTF-8"),
    responses(
        (status = 200, description = "What came of it, line by line", body = SentBackView),
        (status = 422, description = "`csv_unreadable`, with `line`: nothing of it was done",
            body = super::dto::problem::ProblemDetails, content_type = "application/problem+json"),
    ),
    security(("bearer" = ["finance_maker"]), ("bearer" = ["finance_checker"])),
)]
async fn send_back(State(api): State<ApiState>, posted: PostedBytes<BYTES_MAX>) -> Result<Answered, Problem> {
    let PostedBytes { bytes, key, caller } = posted;
    let lines = sent_back::read(&bytes).map_err(|unreadable| {
        let words = unreadable.to_string();
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "csv_unreadable", words).with("line", unreadable.line)
    })?;
    let may = May {
        propose: caller.roles.contains(Role::FinanceMaker.word()),
        approve: caller.roles.contains(Role::FinanceChecker.word()),
    };
    let sha256 = hex(&Sha256::digest(&bytes));
    api.with_money(caller, Some(key), move |money| {
        let mut view = SentBackView::default();
        let (done, more) = money.take_lines(&lines, may, AT_ONCE)?;
        view.more = more;
        for (line, verdict) in done {
            match verdict {
                Verdict::Proposed => view.proposed += 1,
                Verdict::Approved => view.approved += 1,
                Verdict::Known => view.known += 1,
                Verdict::Refused(_) => view.refused += 1,
            }
            view.lines.push(LineView {
                line: line.number,
                discrepancy: line.discrepancy.clone(),
                verdict: verdict.word().to_owned(),
                detail: match verdict {
                    Verdict::Refused(why) => Some(why),
                    _ => None,
                },
            });
        }
        let told = Told {
            action: "discrepancies_sent_back",
            subject: sha256,
            detail: json!({
                "proposed": view.proposed, "approved": view.approved, "known": view.known, "refused": view.refused,
            }),
        };
        Ok(Ok((Shown::new(StatusCode::OK, &view)?, told)))
    })
    .await
}
