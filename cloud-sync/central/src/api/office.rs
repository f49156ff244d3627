//! Sites: add one, invite it, take its certificate back; and how one comes in.

use super::{
    ApiState,
    answered::{Answered, Shown, Told},
};
use crate::{
    bell::Ring,
    enrol::{self, Entrance, NotEnrolled},
    enrolments,
    money::{Money, RULE},
    store::{audit, sites},
};
use axum::{Extension, Json, extract::State, http::StatusCode};
use domain::{ids::SiteId, time::Wall};
use protocol::{enrolment, key::PublicKey};
use serde::{Deserialize, Serialize};
use serde_json::json;
use service::{
    http::{
        access::{Caller, TcpPeer},
        body::{Checked, Nothing, Of, Put, Sent},
        limit::FailedLogins,
        problem::Problem,
    },
    wire::described,
};
use std::{sync::Arc, time::Instant};
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
    /// Where head office's broker is: host and port of each of its nodes, which are tried in turn; at least one.
    brokers: Vec<String>,
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

impl ApiState {
    pub(super) fn entrance(&self) -> Result<Arc<Entrance>, Problem> {
        let missing = || {
            Problem::unavailable(
                "no_entrance",
                "this process of head office lets no site in; ask another",
            )
        };
        self.entrance.clone().ok_or_else(missing)
    }
}

pub(super) fn unknown(site: &SiteId) -> Problem {
    Problem::unknown("site", site).with("site", site.as_str())
}

/// Add a site. It may come in once it was invited.
#[utoipa::path(
    put, path = "/v1/sites/{site}", tag = "sites",
    params(("site" = inline(described::SiteId), Path, description = "Its id, as `site` in its edge.toml")),
    request_body = AddSite,
    responses((status = 204, description = "Added")),
    security(("bearer" = ["admin"])),
)]
async fn add_site(State(api): State<ApiState>, Of(site): Of<SiteId>, put: Put<AddSite>) -> Result<Answered, Problem> {
    let entrance = api.entrance()?;
    let name = put.body.name;
    let added = api.change(put.caller, None, move |tx, now| {
        if sites::find(tx, &site)?.is_some() {
            let detail =
                format!("there is a site {site} already; to let it in anew, use `holdfast-central site enrol {site}`");
            return Ok(Err(Problem::new(StatusCode::CONFLICT, "site_exists", detail)));
        }
        sites::add(tx, &site, &name, &[])?;
        // They wait for it until it comes in.
        Money::new(tx, now, RULE).tell_all_cards(&site)?;
        let told = Told {
            action: "site_added",
            subject: site.to_string(),
            detail: json!({ "name": name }),
        };
        Ok(Ok((Shown::nothing(), told)))
    });
    let added = added.await?;
    entrance.bell.ring(Ring::Sites).await;
    Ok(added)
}

/// Invite a site to come in, for the first time or with new keys: a one-time token, shown this once. What counted before goes
/// on counting until the site has come in with it.
#[utoipa::path(
    put, path = "/v1/sites/{site}/invitation", tag = "sites",
    params(("site" = inline(described::SiteId), Path, description = "Its id")),
    request_body = Nothing,
    responses((status = 200, description = "To be taken to the site's box", body = InvitationView)),
    security(("bearer" = ["admin"])),
)]
async fn invite_site(
    State(api): State<ApiState>,
    Of(site): Of<SiteId>,
    put: Put<Nothing>,
) -> Result<Answered, Problem> {
    let entrance = api.entrance()?;
    api.change(put.caller, None, move |tx, now| {
        let Some(invitation) = entrance.invite(tx, &site, now)? else {
            return Ok(Err(unknown(&site)));
        };
        let enrolment::Invitation {
            site,
            at,
            authority,
            token,
            until,
        } = invitation;
        let told = Told {
            action: "site_invited",
            subject: site.to_string(),
            detail: json!({ "until": until }),
        };
        let view = InvitationView {
            site,
            at,
            authority,
            token,
            until,
        };
        Ok(Ok((Shown::new(StatusCode::OK, &view)?, told)))
    })
    .await
}

/// Take a site's certificate back: it may not come in any more until it was invited again. What it has said is kept.
#[utoipa::path(
    delete, path = "/v1/sites/{site}/certificate", tag = "sites",
    params(("site" = inline(described::SiteId), Path, description = "Its id")),
    responses((status = 204, description = "Taken back")),
    security(("bearer" = ["admin"])),
)]
async fn revoke_site(State(api): State<ApiState>, Of(site): Of<SiteId>, caller: Caller) -> Result<Answered, Problem> {
    let (entrance, of, at) = (api.entrance()?, site.clone(), api.clock.wall());
    let revoked = api.change(caller, None, move |tx, now| {
        if !enrol::revoke(tx, &site, now)? {
            return Ok(Err(unknown(&site)));
        }
        let told = Told {
            action: "site_revoked",
            subject: site.to_string(),
            detail: json!({}),
        };
        Ok(Ok((Shown::nothing(), told)))
    });
    let revoked = revoked.await?;
    write_down(&entrance, enrolments::Line::Revoked { site: of, at }).await?;
    entrance.bell.ring(Ring::Sites).await;
    Ok(revoked)
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
    peer: Option<Extension<TcpPeer>>,
    Sent(body): Sent<EnrolSite>,
) -> Result<Json<EnrolledView>, Problem> {
    let (entrance, now) = (api.entrance()?, api.clock.wall());
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
    let peer = peer.map(|Extension(peer)| peer);
    let refused = |error| not_enrolled(error, peer, &api.logins);
    // Strangers wait for no writer, and no writer for them: what does not count is found by reading.
    let shown = request.clone();
    let opens = api.read(move |tx| match Entrance::opens(tx, &shown, now) {
        Err(NotEnrolled::Store(error)) => Err(error),
        opens => Ok(opens.map(drop)),
    });
    opens.await?.map_err(refused)?;
    let of = Arc::clone(&entrance);
    let enrolled = api.db.write(move |tx| {
        let enrolled = match of.enrol(tx, &request, now) {
            Ok(enrolled) => enrolled,
            Err(NotEnrolled::Store(error)) => return Err(error),
            // Nothing was written.
            Err(other) => return Ok(Err(other)),
        };
        let site = enrolled.site.as_str();
        audit::append(
            tx,
            now,
            site,
            "site_enrolled",
            site,
            json!({ "edge_key": request.edge_key }),
        )?;
        let site = sites::find(tx, &enrolled.site)?;
        let line = site.and_then(|site| enrolments::Line::enrolled(&site, now));
        Ok(Ok((enrolled, line)))
    });
    let (enrolled, line) = enrolled.await?.map_err(refused)?;
    if let Some(line) = line {
        // Before the answer: a box that was not answered asks again.
        write_down(&entrance, line).await?;
    }
    entrance.bell.ring(Ring::Sites).await;
    tracing::info!(site = %enrolled.site, "site has enrolled; the certificate before counts no more");
    Ok(Json(EnrolledView {
        site: enrolled.site,
        number: enrolled.number,
        brokers: enrolled.brokers,
        plain: enrolled.plain,
        authority: enrolled.authority,
        certificate: enrolled.certificate,
        public_keys: enrolled.public_keys,
    }))
}

/// Writes down who has come in or was shut out, beside the database.
pub(super) async fn write_down(entrance: &Entrance, line: enrolments::Line) -> Result<(), Problem> {
    let enrolments = entrance.enrolments.clone();
    let path = enrolments.path().to_owned();
    let written = tokio::task::spawn_blocking(move || enrolments.add(&line));
    written.await.map_err(Problem::internal)?.map_err(|error| {
        tracing::error!("{} cannot be written: {error}", path.display());
        Problem::internal(error)
    })
}

/// A token that does not count is a login that failed: whoever tries many is answered later.
fn not_enrolled(error: NotEnrolled, peer: Option<TcpPeer>, logins: &FailedLogins) -> Problem {
    let words = error.to_string();
    let code = match error {
        NotEnrolled::UnknownToken => "unknown_token",
        NotEnrolled::Used => "used_token",
        NotEnrolled::TooOld(_) | NotEnrolled::TooNew(_) => "old_token",
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
