//! Answers of the station's loop as HTTP answers: rendered in the loop from the rows as decided, and remembered with them.
//! Nothing in here may panic: it runs in the only thread that decides.

use super::{
    ApiState,
    problem::{PROBLEM_JSON, Problem, decorate},
};
use crate::{
    credentials::CredentialChange,
    station::{Guard, Request, RequestKey, Respond, Response as Answer},
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

/// Marks an answer that was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// An answer of the loop on its way out.
#[derive(Debug)]
pub(super) struct Answered(pub(super) Answer);

impl IntoResponse for Answered {
    fn into_response(self) -> Response {
        let Self(answer) = self;
        let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let kind = if status.as_u16() >= 400 {
            PROBLEM_JSON
        } else {
            "application/json"
        };
        let refusal = (status.as_u16() >= 400).then(|| Refusal::of(&answer.body)).flatten();
        let mut response = if answer.body.is_empty() {
            status.into_response()
        } else {
            let kind = HeaderValue::from_static(kind);
            (status, [(header::CONTENT_TYPE, kind)], answer.body).into_response()
        };
        if let Some(refusal) = refusal {
            response.extensions_mut().insert(refusal);
        }
        if answer.replayed {
            let yes = HeaderValue::from_static("true");
            response.headers_mut().insert(REPLAYED, yes);
        }
        decorate(&mut response);
        response
    }
}

/// Why a request was refused, for the log.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    /// The problem's stable name.
    pub(super) code: String,
    pub(super) detail: String,
}

impl Refusal {
    fn of(problem: &str) -> Option<Self> {
        let problem: serde_json::Value = serde_json::from_str(problem).ok()?;
        Some(Self {
            code: problem["type"].as_str()?.rsplit(':').next()?.to_owned(),
            detail: problem["detail"].as_str()?.to_owned(),
        })
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

    fn into_answer(self) -> Result<Answer, Problem> {
        let mut answer = Answer::new(self.status.as_u16(), self.body.map_err(Problem::internal)?);
        answer.body_remembered = self.remembered.transpose().map_err(Problem::internal)?;
        Ok(answer)
    }
}

/// Makes the answer in the loop: refusals become problems, anything else is rendered.
pub(super) fn respond<F>(render: F) -> Respond
where
    F: FnOnce(&Decided, &Site, Now) -> Result<Shown, Problem> + Send + 'static,
{
    Box::new(move |decided, site, now| {
        let shown = match decided {
            Ok(decided) => render(decided, site, now).and_then(Shown::into_answer),
            Err(rejected) => Err(Problem::from(rejected)),
        };
        shown.unwrap_or_else(|problem| problem.to_answer())
    })
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
    pub(super) fn new(input: Input, key: Option<RequestKey>) -> Self {
        Self {
            input: Some(input),
            key,
            credentials: Vec::new(),
            guard: None,
        }
    }

    /// No decision for the site: credentials alone, or an answer to be remembered.
    pub(super) fn without_input(key: Option<RequestKey>) -> Self {
        Self {
            input: None,
            key,
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
        F: FnOnce(&Site, &[CredentialChange]) -> Option<Problem> + Send + 'static,
    {
        self.guard = Some(Box::new(move |site, pending| {
            objects(site, pending).map(|problem| problem.to_answer())
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
            respond: respond(render),
        };
        let answer = api.station.ask_guarded(request, self.guard).await?;
        Ok(Answered(answer))
    }
}
