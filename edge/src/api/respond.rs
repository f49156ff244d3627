//! Answers of the station's loop as HTTP answers: rendered in the loop from the rows as decided, and remembered with them.
//! Nothing in here may panic: it runs in the only thread that decides.

use super::{ApiState, refusal};
use crate::{
    credentials::CredentialChange,
    station::{Guard, Objection, Reply, Request, RequestKey},
};
use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use domain::{
    site::{Answer as Decided, Input, Site},
    time::Now,
};
use serde::Serialize;
use service::http::{
    idempotency::IdempotencyKey,
    problem::{PROBLEM_JSON, Problem},
};

/// Marks an answer that was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// An answer of the loop on its way out. Its tag is the HTTP status.
#[derive(Debug)]
pub(super) struct Answered(Reply);

impl IntoResponse for Answered {
    fn into_response(self) -> Response {
        let Self(reply) = self;
        let status = StatusCode::from_u16(reply.tag).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let kind = if status.as_u16() >= 400 {
            PROBLEM_JSON
        } else {
            "application/json"
        };
        let mut response = if reply.body.is_empty() {
            status.into_response()
        } else {
            let kind = HeaderValue::from_static(kind);
            (status, [(header::CONTENT_TYPE, kind)], reply.body).into_response()
        };
        if reply.replayed {
            let yes = HeaderValue::from_static("true");
            response.headers_mut().insert(REPLAYED, yes);
        }
        response
    }
}

/// What a render function makes.
pub(super) struct Shown {
    status: StatusCode,
    body: Result<String, serde_json::Error>,
    remembered: Option<Result<String, serde_json::Error>>,
}

impl Shown {
    /// `value` with `status`.
    pub(super) fn new(status: StatusCode, value: &impl Serialize) -> Self {
        Self {
            status,
            body: serde_json::to_string(value),
            remembered: None,
        }
    }

    /// `value` with 200.
    pub(super) fn ok(value: &impl Serialize) -> Self {
        Self::new(StatusCode::OK, value)
    }

    /// 204.
    pub(super) fn nothing() -> Self {
        Self {
            status: StatusCode::NO_CONTENT,
            body: Ok(String::new()),
            remembered: None,
        }
    }

    /// A repetition of the request gets `value` instead: for answers that hold a secret.
    pub(super) fn remembered_as(mut self, value: &impl Serialize) -> Self {
        self.remembered = Some(serde_json::to_string(value));
        self
    }

    fn into_reply(self) -> Result<Reply, Problem> {
        Ok(Reply {
            tag: self.status.as_u16(),
            body: self.body.map_err(Problem::internal)?,
            body_remembered: self.remembered.transpose().map_err(Problem::internal)?,
            replayed: false,
        })
    }
}

/// What could not be shown was decided all the same.
fn not_shown(problem: &Problem) -> Reply {
    Reply {
        tag: problem.status().as_u16(),
        body: serde_json::to_string(problem.details()).unwrap_or_default(),
        ..Reply::default()
    }
}

/// Something to decide, on its way to the loop.
#[must_use]
pub(super) struct Question {
    input: Option<Input>,
    key: Option<RequestKey>,
    credentials: Vec<CredentialChange>,
    guard: Option<Guard>,
}

impl Question {
    /// A decision for the site. Without a key (PUT, DELETE) it is idempotent by nature.
    pub(super) fn new(input: Input, key: Option<IdempotencyKey>) -> Self {
        Self {
            input: Some(input),
            key: key.map(RequestKey::of_http),
            credentials: Vec::new(),
            guard: None,
        }
    }

    /// No decision for the site: credentials alone, or an answer to be remembered.
    pub(super) fn without_input(key: Option<IdempotencyKey>) -> Self {
        Self {
            input: None,
            key: key.map(RequestKey::of_http),
            credentials: Vec::new(),
            guard: None,
        }
    }

    /// Commits this with it.
    pub(super) fn changing(mut self, change: CredentialChange) -> Self {
        self.credentials.push(change);
        self
    }

    /// Refuses what is new and `objects` to; a repetition is answered all the same.
    pub(super) fn unless<F>(mut self, objects: F) -> Self
    where
        F: FnOnce(&Site, &[CredentialChange]) -> Option<Objection> + Send + 'static,
    {
        self.guard = Some(Box::new(move |site, pending| {
            objects(site, pending).map_or(Ok(()), Err)
        }));
        self
    }

    /// Asks, and answers when it is on disk.
    pub(super) async fn ask<F>(self, api: &ApiState, render: F) -> Result<Answered, Problem>
    where
        F: FnOnce(&Decided, &Site, Now) -> Result<Shown, Problem> + Send + 'static,
    {
        let request = Request {
            input: self.input,
            key: self.key,
            credentials: self.credentials,
            respond: Box::new(move |decided, site, now| {
                let shown = render(decided, site, now).and_then(Shown::into_reply);
                shown.unwrap_or_else(|problem| not_shown(&problem))
            }),
        };
        let replied = api.station.ask_guarded(request, self.guard).await;
        replied.map(Answered).map_err(|refused| refusal::of(&refused))
    }
}
