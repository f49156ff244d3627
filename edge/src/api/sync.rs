//! The line to head office, for the program that carries it: on a socket of its own, whose callers may do nothing else.
//! It carries frames that it can neither make nor change: what head office signed is checked here.

use super::{
    ApiState,
    body::{Nothing, Of, Posted, Put, PutBytes},
    dto::{
        problem::ProblemDetails,
        sync::{
            DirectivesTakenView, GoOnAlone, HeadOfficeTime, LiftOwes, ShowVoucher, SyncAcknowledged, SyncHello,
            SyncPing, WentOn,
        },
    },
    members::member_in_memory,
    problem::Problem,
    refusal,
    respond::{Answered, Question, Shown},
    wire::{At, described, journal::JournalHead, member::MemberView},
};
use crate::{
    clock::KnownTime,
    head_office::{Believed, HeadOffice, Unbelieved},
    station::{Ended, Ending},
    store::{Reader, StoreError, TailRefused},
};
use axum::{Json, extract::State as Shared, http::StatusCode};
use domain::{
    fact::WentOnAlone,
    ids::MemberId,
    journal::{Head, Stamp},
    site::{Input, Rejected},
};
use protocol::frame::{DIRECTIVE_BYTES_MAX, FRAME_MAX, Malformed, State, Tail};
use std::sync::Arc;
use utoipa_axum::{router::OpenApiRouter, routes};

/// The longest acknowledgement or pong, in bytes.
const SHORT_FRAME_BYTES_MAX: usize = 1_024;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(say_hello))
        .routes(routes!(take_ack))
        .routes(routes!(ask_time))
        .routes(routes!(take_pong))
        .routes(routes!(take_tail))
        .routes(routes!(take_directive))
        .routes(routes!(take_voucher))
        .routes(routes!(lift_owes))
        .routes(routes!(go_on_alone))
}

/// This station's end of the line.
pub(super) fn end_of(api: &ApiState) -> Result<&Arc<HeadOffice>, Problem> {
    api.head_office
        .as_ref()
        .ok_or_else(|| unbelieved(&Unbelieved::NoHeadOffice))
}

/// The same, to check what head office has signed: by the keys that count by now.
async fn checking_end_of(api: &ApiState) -> Result<&Arc<HeadOffice>, Problem> {
    let end = end_of(api)?;
    end.know(&api.read(Reader::head_office).await?);
    Ok(end)
}

fn unbelieved(why: &Unbelieved) -> Problem {
    let (status, code) = match why {
        Unbelieved::Malformed(Malformed::NotSigned(_)) => (StatusCode::UNPROCESSABLE_ENTITY, "frame_not_signed"),
        Unbelieved::Malformed(_) => (StatusCode::UNPROCESSABLE_ENTITY, "frame_malformed"),
        Unbelieved::Stale => (StatusCode::CONFLICT, "answer_stale"),
        Unbelieved::NoHeadOffice => (StatusCode::CONFLICT, "no_head_office"),
    };
    Problem::new(status, code, why.to_string())
}

/// What head office has is another journal than the station's.
pub(super) fn fork(broken: &domain::journal::Broken) -> Problem {
    let detail = format!("{broken}: two journals of this site are about; a person has to look");
    Problem::new(StatusCode::CONFLICT, "journal_fork", detail)
}

/// Say hello to head office: what the station is, how far its journal goes, and a number that only a fresh answer repeats.
#[utoipa::path(
    put, path = "/v1/sync/hello", tag = "sync",
    description = "Each hello has another number, and an acknowledgement that says the number of an earlier one counts for \
        nothing.",
    request_body = Nothing,
    responses((status = 200, description = "What is to be said", body = SyncHello)),
    security(("bearer" = ["sync", "socket"])),
)]
async fn say_hello(Shared(api): Shared<ApiState>, _put: Put<Nothing>) -> Result<Json<SyncHello>, Problem> {
    let end = end_of(&api)?;
    let nonce = end.hello().map_err(Problem::internal)?;
    let (identity, key) = (api.station.store.identity(), end.own_key());
    let zone = api.time_zone.to_string();
    let hello = api
        .read(move |reader| {
            let (head, hash) = reader.head()?;
            let (begins_after, acknowledged) = (reader.checkpoint()?, reader.acknowledged()?);
            let known = acknowledged.map_or(begins_after.seq, |place| place.seq.max(begins_after.seq));
            let row = reader.head_office()?;
            Ok(SyncHello {
                site: identity.site.to_string(),
                protocol: protocol::VERSION,
                station: env!("CARGO_PKG_VERSION").to_owned(),
                epoch: identity.epoch.clone(),
                begins_after: begins_after.into(),
                head: Head { seq: head.seq, hash }.into(),
                acknowledged: acknowledged.map(Into::into),
                recovering: reader.recovery()?.is_some(),
                hq_epoch: row.hq_epoch.map(|epoch| epoch.to_string()),
                directives: (&row).into(),
                waiting_since: journaled_at(reader, known.saturating_add(1))?,
                time_zone: zone,
                key: key.to_string(),
                nonce: nonce.to_string(),
            })
        })
        .await?;
    Ok(Json(hello))
}

fn journaled_at(reader: &Reader, seq: u64) -> Result<Option<At>, StoreError> {
    let entry = reader.journal(seq, 1)?.into_iter().next();
    let stamp = entry.map(|(_, _, bytes)| Stamp::of_entry(&bytes));
    let stamp = stamp
        .transpose()
        .map_err(|error| StoreError::Corrupt(error.to_string()))?;
    Ok(stamp.map(|stamp| At(stamp.at)))
}

/// Head office has the journal up to a place: its acknowledgement, as it came.
#[utoipa::path(
    put, path = "/v1/sync/ack", tag = "sync",
    description = "An acknowledgement counts where head office has signed it for this site; what is acknowledged may be pruned \
        when it is old enough. Only one that answers the latest hello says which life of head office's it is, and ends a recovery \
        where the station has its place.",
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "The frame `HFA1`"),
    responses(
        (status = 200, description = "What came of it", body = SyncAcknowledged),
        (status = 409, description = "`answer_stale`; `journal_fork`: another entry stands there, or none; `no_head_office`",
            body = ProblemDetails, content_type = "application/problem+json"),
        (status = 422, description = "`frame_not_signed`; `frame_malformed`", body = ProblemDetails,
            content_type = "application/problem+json"),
    ),
    security(("bearer" = ["sync", "socket"])),
)]
async fn take_ack(
    Shared(api): Shared<ApiState>,
    put: PutBytes<SHORT_FRAME_BYTES_MAX>,
) -> Result<Json<SyncAcknowledged>, Problem> {
    let believed = checking_end_of(&api)
        .await?
        .ack(&put.bytes)
        .map_err(|why| unbelieved(&why))?;
    let Believed {
        state,
        head,
        hq_epoch,
        is_fresh,
    } = believed;
    let mut recovering = api.read(|reader| Ok(reader.recovery()?.is_some())).await?;
    if recovering && believed.may_end_recovery() {
        let ended = api.station.end_recovery(Ending::HeadOfficeHas(head)).await?;
        recovering = match ended {
            Ok(ended) => ended == Ended::MoreIsToCome,
            Err(StoreError::Journal(broken)) => return Err(fork(&broken)),
            Err(other) => return Err(other.into()),
        };
    }
    let store = api.station.store.clone();
    let counts = believed.acknowledges(recovering);
    let done = tokio::task::spawn_blocking(move || {
        if counts {
            store.acknowledge(&store.identity().epoch, head)?;
        }
        store.reader()?.acknowledged()
    });
    let acknowledged = match done.await.map_err(Problem::internal)? {
        Err(StoreError::Journal(broken)) => return Err(fork(&broken)),
        done => done?,
    };
    // Only where it is this journal: until head office follows the branch of a station that went on alone, its leases stay frozen.
    if is_fresh && state == State::Following && !recovering {
        api.station.tell(Input::HeadOfficeSeen(hq_epoch));
        // Whoever hands on a directive after this finds it on disk.
        api.station.look(|_, _| ()).await?;
    }
    Ok(Json(SyncAcknowledged {
        state: state.word().to_owned(),
        acknowledged: acknowledged.map(Into::into),
        epoch: api.station.store.identity().epoch.clone(),
        recovering,
    }))
}

/// Ask head office what time it is: a number that only the answer to this repeats.
#[utoipa::path(
    put, path = "/v1/sync/ping", tag = "sync",
    request_body = Nothing,
    responses((status = 200, description = "What is to be asked", body = SyncPing)),
    security(("bearer" = ["sync", "socket"])),
)]
async fn ask_time(Shared(api): Shared<ApiState>, _put: Put<Nothing>) -> Result<Json<SyncPing>, Problem> {
    let nonce = end_of(&api)?.ping(api.station.clock.now()).map_err(Problem::internal)?;
    Ok(Json(SyncPing {
        nonce: nonce.to_string(),
    }))
}

/// What time it is at head office: its answer to the latest ping, as it came.
#[utoipa::path(
    put, path = "/v1/sync/pong", tag = "sync",
    description = "Head office's time counts as certain: it is that late at least. How long the answer took is what the station \
        itself has counted.",
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "The frame `HFP1`"),
    responses(
        (status = 200, description = "Head office's time", body = HeadOfficeTime),
        (status = 409, description = "`answer_stale`; `no_head_office`", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 422, description = "`frame_not_signed`; `frame_malformed`", body = ProblemDetails,
            content_type = "application/problem+json"),
    ),
    security(("bearer" = ["sync", "socket"])),
)]
async fn take_pong(
    Shared(api): Shared<ApiState>,
    put: PutBytes<SHORT_FRAME_BYTES_MAX>,
) -> Result<Json<HeadOfficeTime>, Problem> {
    let now = api.station.clock.now();
    let time = checking_end_of(&api)
        .await?
        .pong(&put.bytes, now)
        .map_err(|why| unbelieved(&why))?;
    time.tell(&api.station);
    if let Some(up) = end_of(&api)?.line_changed(now.mono) {
        api.station.tell(Input::Line(up));
    }
    Ok(Json(HeadOfficeTime {
        wall: At(time.wall),
        error_ms: time.error_ms,
    }))
}

/// Entries that head office hands back to a station that is recovering, as they came.
#[utoipa::path(
    put, path = "/v1/sync/tail", tag = "sync",
    description = "What proves them is head office's signature and the chain: they follow on the journal's last entry. They are \
        appended as they are, all of them or none, and have no effect but the rows that follow from them.",
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "The frame `HFT1`"),
    responses(
        (status = 200, description = "The journal's last entry, on disk", body = JournalHead),
        (status = 409, description = "`not_recovering`; `tail_does_not_follow`: on the journal's last entry; `tail_ahead`: a newer \
            program wrote it; `tail_contradicts`; `no_head_office`", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 422, description = "`frame_not_signed`; `frame_malformed`", body = ProblemDetails,
            content_type = "application/problem+json"),
    ),
    security(("bearer" = ["sync", "socket"])),
)]
async fn take_tail(Shared(api): Shared<ApiState>, put: PutBytes<FRAME_MAX>) -> Result<Json<JournalHead>, Problem> {
    let end = Arc::clone(checking_end_of(&api).await?);
    if !end.is_set() {
        return Err(unbelieved(&Unbelieved::NoHeadOffice));
    }
    let site = api.station.store.identity().site.clone();
    // Large ones take a while to unpack.
    let unpacked = tokio::task::spawn_blocking(move || {
        let Tail(batch) = Tail::from_bytes(&put.bytes, &site, &end.keys())?;
        batch.unpack()
    });
    let unpacked = unpacked.await.map_err(Problem::internal)?;
    let unpacked = unpacked.map_err(|malformed| unbelieved(&malformed.into()))?;
    let taken = api.station.take_tail(unpacked).await?;
    taken
        .map(|head| Json(head.into()))
        .map_err(|refused| refused_tail(&refused))
}

fn refused_tail(refused: &TailRefused) -> Problem {
    let conflict = |code| Problem::new(StatusCode::CONFLICT, code, refused.to_string());
    match refused {
        TailRefused::NotRecovering => conflict("not_recovering"),
        TailRefused::DoNotFollow { .. } => conflict("tail_does_not_follow"),
        TailRefused::Unknown { .. } => conflict("tail_ahead"),
        TailRefused::Broken(_) | TailRefused::OtherSite { .. } | TailRefused::Contradicts(_) => {
            conflict("tail_contradicts")
        }
        TailRefused::Store(error) => Problem::internal(error),
    }
}

/// What head office has the station do, as it came.
#[utoipa::path(
    put, path = "/v1/sync/directive", tag = "sync",
    description = "Directives are taken once, in order, in two rows of numbers. One that cannot be done is taken all the same, and the \
        journal says why it was refused. Until the answer is there nothing of it is on disk.",
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "The frame `HFD1`"),
    responses(
        (status = 200, description = "How far directives were taken, on disk", body = DirectivesTakenView),
        (status = 409, description = "`directive_out_of_order`: `expected` comes next; `other_hq_epoch`; `other_directive`: its number \
            was taken with another content; `no_head_office`",
            body = ProblemDetails, content_type = "application/problem+json"),
        (status = 422, description = "`frame_not_signed`; `frame_malformed`", body = ProblemDetails,
            content_type = "application/problem+json"),
    ),
    security(("bearer" = ["sync", "socket"])),
)]
async fn take_directive(
    Shared(api): Shared<ApiState>,
    put: PutBytes<DIRECTIVE_BYTES_MAX>,
) -> Result<Answered, Problem> {
    let (now, trusted) = (
        api.station.clock.now(),
        matches!(api.station.clock.known(), KnownTime::Is(_)),
    );
    let told = checking_end_of(&api).await?.directive(&put.bytes, now, trusted);
    let told = Box::new(told.map_err(|why| unbelieved(&why))?);
    Question::new(Input::Directive(told), None)
        .ask(&api, |_, site, _| {
            Ok(Shown::ok(&DirectivesTakenView::from(&site.rows().head_office)))
        })
        .await
}

/// Take a voucher (凭证): money of a member's wallet, which they carry themselves while the line to head office is cut.
#[utoipa::path(
    post, path = "/v1/vouchers", tag = "members",
    description = "A voucher counts once, however often it is shown. It is taken by what head office has signed, without asking it.",
    request_body = ShowVoucher,
    responses(
        (status = 201, description = "The member, with the money", body = MemberView),
        (status = 409, description = "`voucher_closed`; `voucher_before_restore`; `voucher_of_other_site`; `other_hq_epoch`; \
            `not_head_offices`; `no_head_office`",
            body = ProblemDetails, content_type = "application/problem+json"),
        (status = 422, description = "`frame_not_signed`; `frame_malformed`", body = ProblemDetails,
            content_type = "application/problem+json"),
    ),
    security(("bearer" = ["service"])),
)]
async fn take_voucher(Shared(api): Shared<ApiState>, posted: Posted<ShowVoucher>) -> Result<Answered, Problem> {
    let Posted { body, key, .. } = posted;
    let voucher = checking_end_of(&api).await?.voucher(&body.voucher);
    let voucher = Box::new(voucher.map_err(|why| unbelieved(&why))?);
    let identity = api.station.store.identity();
    if voucher.site != identity.site {
        let other = Rejected::VoucherOfOtherSite(voucher.site.clone());
        return Err(refusal::of(&other.into()));
    }
    let (id, epoch) = (voucher.member.clone(), identity.epoch.clone());
    Question::new(Input::TakeVoucher { voucher, epoch }, Some(key))
        .ask(&api, move |_, site, _| {
            Ok(Shown::new(StatusCode::CREATED, &member_in_memory(site, &id)?))
        })
        .await
}

/// What a member owed at another site is paid, as head office's receipt says that they show.
#[utoipa::path(
    put, path = "/v1/members/{id}/owes", tag = "members",
    description = "For a member whom the station believes to owe elsewhere while its line is cut. Head office's next word stands over it.",
    params(("id" = inline(described::MemberId), Path, description = "The member's id")),
    request_body = LiftOwes,
    responses((status = 200, description = "The member", body = MemberView)),
    security(("bearer" = ["service"])),
)]
async fn lift_owes(
    Shared(api): Shared<ApiState>,
    Of(member): Of<MemberId>,
    put: Put<LiftOwes>,
) -> Result<Answered, Problem> {
    let (id, by, receipt) = (member.clone(), put.caller.name, put.body.receipt);
    Question::new(Input::LiftOwes { member, receipt, by }, None)
        .ask(&api, move |_, site, _| Ok(Shown::ok(&member_in_memory(site, &id)?)))
        .await
}

/// Go on after a restore without what head office has beyond the copy.
#[utoipa::path(
    put, path = "/v1/recovery/alone", tag = "station",
    description = "Served on the station's Unix socket only. It makes a branch of the journal: what was booked after the copy was \
        made is head office's alone, and its people must accept the branch.",
    request_body = GoOnAlone,
    responses(
        (status = 200, description = "The run of the journal that began", body = WentOn),
        (status = 409, description = "`not_recovering`", body = ProblemDetails, content_type = "application/problem+json"),
    ),
    security(("bearer" = ["admin", "socket"])),
)]
async fn go_on_alone(Shared(api): Shared<ApiState>, put: Put<GoOnAlone>) -> Result<Json<WentOn>, Problem> {
    let alone = WentOnAlone {
        reason: put.body.reason,
        by: put.caller.name,
    };
    match api.station.end_recovery(Ending::Alone(alone)).await?? {
        Ended::GoesOn(head) => Ok(Json(WentOn::new(&api.station.store.identity().epoch, head))),
        Ended::WasNot | Ended::MoreIsToCome => Err(refused_tail(&TailRefused::NotRecovering)),
    }
}
