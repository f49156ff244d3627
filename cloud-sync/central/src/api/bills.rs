//! Channels' bills: a file is streamed in and imported whole or refused whole; which day of which channel has its bill.

use super::{ApiState, orders::moment, topups::ChannelName};
use crate::{
    bills::{
        Format,
        import::{Importer, NotImported, Wanted},
        mapped::Mapping,
        spool::{NotReceived, Received, Spool},
    },
    store::{
        bills::{self, File},
        channel_settings, channels,
        queries::bills::list,
    },
};
use axum::{
    Json,
    body::{Body, HttpBody},
    extract::State,
    http::StatusCode,
};
use domain::time::{Day, Zone};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use service::{
    http::{
        access::Caller,
        body::{Asked, Of},
        page::{Paging, bad_cursor, cursor_of},
        problem::Problem,
    },
    wire::{At, PageOf, Yuan},
};
use std::{io, path::PathBuf, sync::Arc, time::Duration};
use tokio::{sync::mpsc, time::timeout};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

/// How long a body may stand still.
const STILL_MAX: Duration = Duration::from_secs(20);
/// Parts of a body that wait for the disk.
const PARTS_MAX: usize = 16;
/// The most days of one answer.
const DAYS_MAX: i64 = 400;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(put_bill))
        .routes(routes!(list_bills))
        .routes(routes!(get_bill))
        .routes(routes!(list_days))
}

/// What imports need: where files are kept meanwhile, and how columns of CSV files are called.
#[derive(Debug, Clone)]
pub struct Bills {
    /// The folder for files on their way in.
    pub spool: PathBuf,
    /// Mappings, by channel.
    pub csv: Arc<[Mapping]>,
}

impl Default for Bills {
    /// In the system's folder for what is passing, and without mappings.
    fn default() -> Self {
        Self {
            spool: std::env::temp_dir().join("holdfast-central-bills"),
            csv: Arc::new([]),
        }
    }
}

/// A file of a bill.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Bill)]
struct BillView {
    /// Its number.
    file: u64,
    /// The channel.
    channel: String,
    /// `wechat_trade`, `wechat_fund`, `alipay_trade`, `alipay_fund` or `csv`.
    format: String,
    /// The day, by the channel's clocks.
    #[schema(value_type = String, format = Date)]
    day: Day,
    /// The SHA-256 of the file, in hexadecimal digits.
    sha256: String,
    /// Its size.
    bytes: u64,
    /// How many lines.
    lines: u64,
    /// Σ of what came in.
    income: Yuan,
    /// Σ of what went out.
    outgo: Yuan,
    /// Σ of what the channel kept.
    fees: Yuan,
    /// When it was imported.
    imported_at: At,
    /// By whom.
    imported_by: String,
}

impl From<&File> for BillView {
    fn from(of: &File) -> Self {
        Self {
            file: of.id,
            channel: of.channel.clone(),
            format: of.format.word().to_owned(),
            day: of.day,
            sha256: of.sha256.clone(),
            bytes: of.bytes,
            lines: of.sums.lines,
            income: Yuan(of.sums.income),
            outgo: Yuan(of.sums.outgo),
            fees: Yuan(of.sums.fees),
            imported_at: At(of.made_at),
            imported_by: of.made_by.clone(),
        }
    }
}

/// What an import came to.
#[derive(Debug, Serialize, ToSchema)]
struct BillImported {
    /// `imported`; or `known`: this very file was imported before, and nothing changed.
    outcome: String,
    /// The file.
    bill: BillView,
}

/// A day of a channel.
#[derive(Debug, Serialize, ToSchema)]
struct BillDay {
    /// The day, by the channel's clocks.
    #[schema(value_type = String, format = Date)]
    day: Day,
    /// Whether the bill that every day must have is there.
    present: bool,
    /// The files that are there.
    files: Vec<BillView>,
}

/// A channel's days.
#[derive(Debug, Serialize, ToSchema)]
struct BillDays {
    /// The channel.
    channel: String,
    /// The format of the bill that every day must have; none where no bills are expected.
    #[schema(required)]
    daily: Option<String>,
    /// The days, in their order.
    days: Vec<BillDay>,
}

impl From<NotImported> for Problem {
    fn from(not: NotImported) -> Self {
        let words = not.to_string();
        match not {
            NotImported::UnknownChannel(name) => Self::unknown("channel", name),
            NotImported::OtherBiller { .. } => Self::new(StatusCode::CONFLICT, "no_such_bills", words),
            NotImported::Refused(refusal) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "bill_refused", words)
                .with("reason", refusal.why.word())
                .with("line", refusal.line),
            NotImported::Present(file) => Self::new(StatusCode::CONFLICT, "other_bill", words).with("file", file.id),
            NotImported::Elsewhere(file) => {
                Self::new(StatusCode::CONFLICT, "bill_elsewhere", words).with("file", file.id)
            }
            NotImported::Store(error) => error.into(),
            NotImported::Broken(error) => Self::internal(error),
        }
    }
}

fn not_received(error: NotReceived) -> Problem {
    match error {
        NotReceived::TooLarge => Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", error.to_string()),
        NotReceived::NoRoom { .. } => Problem::new(StatusCode::INSUFFICIENT_STORAGE, "no_room", error.to_string()),
        NotReceived::Broken(error) => Problem::internal(error),
    }
}

impl ApiState {
    /// The same, with what imports of bills need.
    #[must_use]
    pub fn with_bills(mut self, bills: Bills) -> Self {
        self.bills = Arc::new(bills);
        self
    }

    /// Keeps a body as it comes. On the disk it is written by a thread of its own.
    async fn receive(&self, body: Body) -> Result<Received, Problem> {
        let (parts, mut come) = mpsc::channel::<axum::body::Bytes>(PARTS_MAX);
        let (folder, bytes) = (self.bills.spool.clone(), body.size_hint().lower());
        let kept = tokio::task::spawn_blocking(move || {
            let mut spool = Spool::begin(&folder, bytes)?;
            while let Some(part) = come.blocking_recv() {
                spool.add(&part)?;
            }
            spool.end()
        });
        let mut stream = body.into_data_stream();
        let mut refused = None;
        loop {
            match timeout(STILL_MAX, stream.next()).await {
                Ok(None) => break,
                Ok(Some(Ok(part))) => {
                    // Whoever writes has given up: it says why.
                    if parts.send(part).await.is_err() {
                        break;
                    }
                }
                Ok(Some(Err(error))) => {
                    let detail = format!("the body could not be read: {error}");
                    refused = Some(Problem::new(StatusCode::BAD_REQUEST, "malformed_body", detail));
                    break;
                }
                Err(_) => {
                    let detail = format!("nothing of the body came for {} s", STILL_MAX.as_secs());
                    refused = Some(Problem::new(StatusCode::REQUEST_TIMEOUT, "body_too_slow", detail));
                    break;
                }
            }
        }
        drop(parts);
        let kept = kept.await.map_err(io::Error::other).map_err(Problem::internal)?;
        match refused {
            Some(problem) => Err(problem),
            None => kept.map_err(not_received),
        }
    }
}

/// Import a channel's bill of a day: the body is the file as the channel made it. It is imported whole, or refused whole with the
/// line and what is wrong with it; the same file again is answered as known, and changes nothing. `docs/bills.md` has the formats.
#[utoipa::path(
    put, path = "/v1/channels/{channel}/bills/{day}/{format}", tag = "bills",
    params(
        ("channel" = String, Path, description = "The channel's name"),
        ("day" = String, Path, description = "The day, by the channel's clocks"),
        ("format" = String, Path, description = "`wechat_trade`, `wechat_fund`, `alipay_trade`, `alipay_fund` or `csv`"),
    ),
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "The file, of at most 1 GiB"),
    responses(
        (status = 201, description = "It is imported", body = BillImported),
        (status = 200, description = "This very file was imported before", body = BillImported),
        (status = 409, description = "`no_such_bills`, `other_bill`: the day has its bill from another file; `bill_elsewhere`: the \
            same file is another bill",
            body = super::dto::problem::ProblemDetails, content_type = "application/problem+json"),
        (status = 422, description = "`bill_refused`, with `line` and `reason`",
            body = super::dto::problem::ProblemDetails, content_type = "application/problem+json"),
    ),
    security(("bearer" = ["finance_maker"])),
)]
async fn put_bill(
    State(api): State<ApiState>,
    Of((channel, day, format)): Of<(ChannelName, Day, Format)>,
    caller: Caller,
    body: Body,
) -> Result<(StatusCode, Json<BillImported>), Problem> {
    let turn = api.turn(&caller)?;
    let received = api.receive(body).await?;
    let importer = Importer {
        db: api.db.clone(),
        clock: Arc::clone(&api.clock),
        csv: Arc::clone(&api.bills.csv),
    };
    // What was begun goes on where the caller goes away.
    let imported = tokio::spawn(async move {
        let _until_done = turn;
        let channel = channel.0;
        let wanted = Wanted { channel, format, day };
        importer.import(&wanted, received, &caller.name).await
    });
    let imported = imported.await.map_err(Problem::internal)??;
    let (status, outcome) = match imported.is_new {
        true => (StatusCode::CREATED, "imported"),
        false => (StatusCode::OK, "known"),
    };
    let bill = BillView::from(&imported.file);
    let outcome = outcome.to_owned();
    Ok((status, Json(BillImported { outcome, bill })))
}

#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListBills {
    /// Only of this channel.
    #[serde(default)]
    channel: Option<String>,
    /// Where the page begins: `next` of the page before.
    #[serde(default)]
    cursor: Option<String>,
    /// How many rows at most, 1 to 200; 50 if left out.
    #[serde(default)]
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// Files that were imported, the newest first.
#[utoipa::path(
    get, path = "/v1/bills", tag = "bills",
    params(ListBills),
    responses((status = 200, description = "One page", body = PageOf<BillView>)),
    security(("bearer" = ["viewer"]), ("bearer" = ["finance_maker"]), ("bearer" = ["finance_checker"])),
)]
async fn list_bills(
    State(api): State<ApiState>,
    Asked(query): Asked<ListBills>,
) -> Result<Json<PageOf<BillView>>, Problem> {
    let paging = Paging::new(query.cursor, query.limit);
    let limit = paging.limit()?;
    let after = match paging.parts()? {
        None => None,
        Some([at, id]) => Some((moment(at)?, id.parse().map_err(|_| bad_cursor())?)),
    };
    let channel = query.channel;
    let page = api.read(move |tx| list(tx, channel.as_deref(), after, limit)).await?;
    let next = page.next_after();
    Ok(Json(PageOf {
        next: next.map(|last| cursor_of([last.made_at.0.to_string(), last.id.to_string()])),
        items: page.items.iter().map(BillView::from).collect(),
    }))
}

/// A file that was imported.
#[utoipa::path(
    get, path = "/v1/bills/{file}", tag = "bills",
    params(("file" = u64, Path, description = "Its number")),
    responses((status = 200, description = "The file", body = BillView)),
    security(("bearer" = ["viewer"]), ("bearer" = ["finance_maker"]), ("bearer" = ["finance_checker"])),
)]
async fn get_bill(State(api): State<ApiState>, Of(file): Of<u64>) -> Result<Json<BillView>, Problem> {
    let found = api.read(move |tx| bills::find(tx, file)).await?;
    let found = found.ok_or_else(|| Problem::unknown("bill", file))?;
    Ok(Json(BillView::from(&found)))
}

#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListDays {
    /// The first day; the channel's first one if left out, or the 400th before the last.
    #[serde(default)]
    #[param(value_type = Option<String>, format = Date)]
    from: Option<Day>,
    /// The last day; the last that is over if left out.
    #[serde(default)]
    #[param(value_type = Option<String>, format = Date)]
    to: Option<Day>,
}

/// The days of a channel, and whether the bill of each is there.
#[utoipa::path(
    get, path = "/v1/channels/{channel}/bills", tag = "bills",
    params(("channel" = String, Path, description = "The channel's name"), ListDays),
    responses((status = 200, description = "The days", body = BillDays)),
    security(("bearer" = ["viewer"]), ("bearer" = ["finance_maker"]), ("bearer" = ["finance_checker"])),
)]
async fn list_days(
    State(api): State<ApiState>,
    Of(ChannelName(name)): Of<ChannelName>,
    Asked(query): Asked<ListDays>,
) -> Result<Json<BillDays>, Problem> {
    let of = name.clone();
    let found = api.read(move |tx| {
        let Some(channel) = channels::find(tx, &of)? else {
            return Ok(None);
        };
        let settings = channel_settings::load(tx, &channel)?;
        Ok(Some((channel, settings)))
    });
    let (channel, settings) = found.await?.ok_or_else(|| Problem::unknown("channel", &name))?;
    let zone = Zone::named(&channel.zone).map_err(Problem::internal)?;
    let over = zone.day_of(api.clock.wall()).plus(-1);
    let to = query.to.unwrap_or(over).min(over);
    let earliest = to.plus(1 - i32::try_from(DAYS_MAX).unwrap_or(i32::MAX));
    let first = settings.map_or_else(|| zone.day_of(channel.made_at), |settings| settings.first());
    let from = query.from.unwrap_or(first).max(earliest);
    let daily = channel.bills.map(|biller| biller.daily());
    let of = name.clone();
    let files = api.read(move |tx| bills::of_days(tx, &of, from, to)).await?;
    let mut days = Vec::new();
    let mut day = from;
    while day <= to {
        let files: Vec<&File> = files.iter().filter(|file| file.day == day).collect();
        days.push(BillDay {
            day,
            present: daily.is_some_and(|daily| files.iter().any(|file| file.format == daily)),
            files: files.into_iter().map(BillView::from).collect(),
        });
        day = day.plus(1);
    }
    Ok(Json(BillDays {
        channel: name,
        daily: daily.map(|format| format.word().to_owned()),
        days,
    }))
}
