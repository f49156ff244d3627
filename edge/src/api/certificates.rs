//! Certificates: one for a pile, and what a pile knows the station by.

use super::{
    ApiState,
    body::{Of, Posted},
    dto::pile::{AuthorityView, IssueCertificate, PileCertificateView},
    piles::is_known,
    problem::Problem,
    respond::{Answered, Question, Shown},
    wire::{At, described},
};
use crate::{
    credentials::{CredentialChange, IssuedCertificate},
    station::Objection,
};
use axum::{Json, extract::State, http::StatusCode};
use domain::ids::PileId;
use service::tls::{NotIssued, Tls};
use std::sync::Arc;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(issue_certificate))
        .routes(routes!(get_authority))
}

fn tls_of(api: &ApiState) -> Result<Arc<Tls>, Problem> {
    api.tls.clone().ok_or_else(|| {
        let detail = "this station has no TLS listener: give `listen` under `[mqtt.tls]` of the configuration";
        Problem::new(StatusCode::CONFLICT, "no_tls", detail)
    })
}

fn not_issued(error: NotIssued) -> Problem {
    match &error {
        NotIssued::OtherAuthority(_) => Problem::new(StatusCode::CONFLICT, "other_authority", error.to_string()),
        NotIssued::ClockNotSet(_) => Problem::new(StatusCode::CONFLICT, "clock_not_set", error.to_string()),
        NotIssued::Failed(_) => Problem::internal(error),
    }
}

/// Give a pile a certificate to show in place of its secret. Its private key is shown this once, and to callers on this
/// machine's Unix socket alone. The one before counts until the pile comes with the new one.
#[utoipa::path(
    post, path = "/v1/piles/{id}/certificate", tag = "piles",
    params(("id" = inline(described::PileId), Path, description = "The pile's id")),
    request_body = IssueCertificate,
    responses((status = 201, description = "The certificate and its key", body = PileCertificateView)),
    security(("bearer" = ["admin", "socket"])),
)]
async fn issue_certificate(
    State(api): State<ApiState>,
    Of(pile): Of<PileId>,
    posted: Posted<IssueCertificate>,
) -> Result<Answered, Problem> {
    let IssueCertificate { days, revoke } = posted.body;
    let made = tls_of(&api)?.issue_to_client(pile.as_str(), days).map_err(not_issued)?;
    let view = |private_key| PileCertificateView {
        id: pile.to_string(),
        certificate: made.certificate.clone(),
        private_key,
        authority: api.tls.as_ref().and_then(|tls| tls.authority_pem()).map(str::to_owned),
        expires: At(made.expires),
    };
    let (shown, repeated) = (view(Some(made.private_key.clone())), view(None));
    let (known, by) = (pile.clone(), posted.caller.name);
    tracing::info!(%pile, by, revoke, expires = %made.expires, "a certificate is asked for");
    let issued = IssuedCertificate {
        fingerprint: made.fingerprint,
        expires: made.expires,
    };
    Question::without_input(Some(posted.key))
        .changing(CredentialChange::IssueCertificate { pile, issued, revoke })
        .unless(move |site, _| (!is_known(site, &known)).then_some(Objection::UnknownPile(known)))
        .ask(&api, move |_, _, _| {
            Ok(Shown::new(StatusCode::CREATED, &shown).remembered_as(&repeated))
        })
        .await
}

/// What piles know this station by: the certificate of its own authority, which issued the certificate that it shows.
#[utoipa::path(
    get, path = "/v1/authority", tag = "piles",
    responses((status = 200, description = "The authority", body = AuthorityView)),
    security(("bearer" = ["viewer"])),
)]
async fn get_authority(State(api): State<ApiState>) -> Result<Json<AuthorityView>, Problem> {
    let tls = tls_of(&api)?;
    let certificate = tls.authority_pem().map(str::to_owned).ok_or_else(|| {
        let detail = "the station's certificate was issued by somebody else: piles need that authority's certificate";
        Problem::new(StatusCode::CONFLICT, "other_authority", detail)
    })?;
    Ok(Json(AuthorityView { certificate }))
}
