//! Sites: add one, invite it, take its certificate back; and how one comes in.

use super::ApiState;
use crate::{enrol::NotEnrolled, office::NotDone};
use axum::{Json, extract::State, http::StatusCode};
use domain::{ids::SiteId, time::Wall};
use protocol::{enrolment, key::PublicKey};
use serde::{Deserialize, Serialize};
use service::http::{
    access::TcpPeer,
    body::{Checked, Nothing, Of, PostedByAnyone, Put},
    limit::FailedLogins,
    problem::Problem,
};
use std::time::Instant;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(add_site))
        .routes(routes!(invite_site))
        .routes(routes!(revoke_site))
        .routes(routes!(enrol_site))
}

/// The longest name of a site, in characters.
const NAME_CHARS_MAX: usize = 100;

/// A site to be added.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AddSite {
    /// A name for people.
    #[serde(default)]
    #[schema(max_length = 100)]
    name: String,
}

impl Checked for AddSite {
    fn check(&self) -> Result<(), Problem> {
        if self.name.chars().count() > NAME_CHARS_MAX || self.name.chars().any(char::is_control) {
            let detail =
                format!("a name has at most {NAME_CHARS_MAX} characters, none of which is a control character");
            return Err(Problem::field("name", detail));
        }
        Ok(())
    }
}

/// What a person takes to the box, in a file.
#[derive(Debug, Serialize, ToSchema)]
struct InvitationView {
    /// Which site it is for.
    #[schema(value_type = String)]
    site: SiteId,
    /// Where head office's HTTPS is: host and port.
    at: String,
    /// The certificate of the authority that it is known by, PEM.
    authority: String,
    /// The one-time token, shown this once.
    token: String,
    /// Until when it counts.
    #[schema(value_type = String, format = DateTime)]
    until: Wall,
}

/// What the program on a box shows.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct EnrolSite {
    /// The one-time token.
    token: String,
    /// Its own public key: a point of P-256 that is not compressed, in hexadecimal digits.
    agent_key: String,
    /// The station's public key: Ed25519, in hexadecimal digits.
    #[schema(value_type = String)]
    edge_key: PublicKey,
}

impl Checked for EnrolSite {}

/// What it gets.
#[derive(Debug, Serialize, ToSchema)]
struct EnrolledView {
    /// Which site it speaks for.
    #[schema(value_type = String)]
    site: SiteId,
    /// The site's number.
    number: u64,
    /// Where head office's broker is: host and port.
    broker: String,
    /// Whether that is spoken to without TLS.
    plain: bool,
    /// The authority of the broker's certificate, PEM.
    authority: String,
    /// The certificate for its connection, PEM.
    certificate: String,
    /// What head office signs with: Ed25519, in hexadecimal digits.
    #[schema(value_type = Vec<String>)]
    public_keys: Vec<PublicKey>,
}

impl From<NotDone> for Problem {
    fn from(error: NotDone) -> Self {
        let words = error.to_string();
        match error {
            NotDone::Unknown(_) => Self::new(StatusCode::NOT_FOUND, "unknown_site", words),
            NotDone::Exists(_) => Self::new(StatusCode::CONFLICT, "site_exists", words),
            NotDone::Store(error) => error.into(),
        }
    }
}

/// Add a site. It may come in once it was invited.
#[utoipa::path(
    put, path = "/v1/sites/{site}", tag = "sites",
    params(("site" = String, Path, description = "Its id: 1 to 32 of A-Z a-z 0-9 _ -, as `site` in its edge.toml")),
    request_body = AddSite,
    responses((status = 204, description = "Added")),
    security(("bearer" = ["admin"])),
)]
async fn add_site(State(api): State<ApiState>, Of(site): Of<SiteId>, put: Put<AddSite>) -> Result<StatusCode, Problem> {
    tracing::info!(%site, by = put.caller.name, "a site is added");
    api.sites.add(site, put.body.name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Let a site come in, for the first time or with new keys: a one-time token, shown this once. What counted before goes on
/// counting until the site has come in with it.
#[utoipa::path(
    put, path = "/v1/sites/{site}/invitation", tag = "sites",
    params(("site" = String, Path, description = "Its id")),
    request_body = Nothing,
    responses((status = 200, description = "To be taken to the site's box", body = InvitationView)),
    security(("bearer" = ["admin"])),
)]
async fn invite_site(
    State(api): State<ApiState>,
    Of(site): Of<SiteId>,
    put: Put<Nothing>,
) -> Result<Json<InvitationView>, Problem> {
    tracing::info!(%site, by = put.caller.name, "a site is invited");
    let enrolment::Invitation {
        site,
        at,
        authority,
        token,
        until,
    } = api.sites.invite(site).await?;
    Ok(Json(InvitationView {
        site,
        at,
        authority,
        token,
        until,
    }))
}

/// Take a site's certificate back: it may not come in any more until it was invited again. What it has said is kept.
#[utoipa::path(
    delete, path = "/v1/sites/{site}/certificate", tag = "sites",
    params(("site" = String, Path, description = "Its id")),
    responses((status = 204, description = "Taken back")),
    security(("bearer" = ["admin"])),
)]
async fn revoke_site(State(api): State<ApiState>, Of(site): Of<SiteId>) -> Result<StatusCode, Problem> {
    tracing::warn!(%site, "a site's certificate is taken back");
    api.sites.revoke(site).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Come in: for the program on a site's box, which shows a one-time token. The same request again, where the answer was lost,
/// gets another certificate for the same key.
#[utoipa::path(
    post, path = "/v1/enrolments", tag = "sites",
    request_body = EnrolSite,
    responses((status = 200, description = "Its place at head office", body = EnrolledView)),
    security(()),
)]
async fn enrol_site(
    State(api): State<ApiState>,
    posted: PostedByAnyone<EnrolSite>,
) -> Result<Json<EnrolledView>, Problem> {
    let PostedByAnyone { body, peer } = posted;
    let EnrolSite {
        token,
        agent_key,
        edge_key,
    } = body;
    let request = enrolment::Request {
        token,
        agent_key,
        edge_key,
    };
    let enrolled = api
        .sites
        .enrol(request)
        .await
        .map_err(|error| not_enrolled(error, peer, &api.logins))?;
    Ok(Json(EnrolledView {
        site: enrolled.site,
        number: enrolled.number,
        broker: enrolled.broker,
        plain: enrolled.plain,
        authority: enrolled.authority,
        certificate: enrolled.certificate,
        public_keys: enrolled.public_keys,
    }))
}

/// A token that does not count is a login that failed: whoever tries many is answered later.
fn not_enrolled(error: NotEnrolled, peer: Option<TcpPeer>, logins: &FailedLogins) -> Problem {
    let words = error.to_string();
    let code = match error {
        NotEnrolled::UnknownToken => "unknown_token",
        NotEnrolled::Used => "used_token",
        NotEnrolled::TooOld(_) => "old_token",
        NotEnrolled::BadKey(_) => return Problem::field("agent_key", words),
        NotEnrolled::NotIssued(_) => return Problem::new(StatusCode::CONFLICT, "not_issued", words),
        NotEnrolled::Store(error) => return error.into(),
    };
    if let Some(TcpPeer(address)) = peer
        && let Err(too_many) = logins.note(address, Instant::now())
    {
        if too_many.is_first {
            tracing::warn!(%address, "too many tokens that do not count come from this address: it is answered later");
        }
        let detail = "too many tokens that do not count came from this address";
        return Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_failed_logins", detail);
    }
    tracing::warn!("a site is not let in: {words}");
    Problem::new(StatusCode::FORBIDDEN, code, words)
}
