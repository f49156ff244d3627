//! Changes as HTTP answers: decided in one transaction with what the audit chain says of it and with the answer that a
//! repetition gets.

use super::ApiState;
use crate::store::{StoreError, Tx, answers, audit};
use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use domain::time::Wall;
use serde::Serialize;
use service::http::{access::Caller, idempotency::IdempotencyKey, problem::Problem};

/// Marks an answer that was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// An answer on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answered {
    status: StatusCode,
    body: String,
    replayed: bool,
}

impl IntoResponse for Answered {
    fn into_response(self) -> Response {
        let mut response = match self.body.is_empty() {
            true => self.status.into_response(),
            false => {
                let kind = HeaderValue::from_static("application/json");
                (self.status, [(header::CONTENT_TYPE, kind)], self.body).into_response()
            }
        };
        if self.replayed {
            response
                .headers_mut()
                .insert(REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }
}

/// What was decided, to be shown.
#[derive(Debug)]
pub(super) struct Shown {
    status: StatusCode,
    body: String,
    remembered: Option<String>,
}

impl Shown {
    /// `value` with `status`.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub(super) fn new(status: StatusCode, value: &impl Serialize) -> Result<Self, StoreError> {
        let remembered = None;
        let body = json(value)?;
        Ok(Self {
            status,
            body,
            remembered,
        })
    }

    /// 204.
    pub(super) fn nothing() -> Self {
        Self {
            status: StatusCode::NO_CONTENT,
            body: String::new(),
            remembered: None,
        }
    }

    /// A repetition of the request gets `value` instead: for answers that hold a secret.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub(super) fn remembered_as(mut self, value: &impl Serialize) -> Result<Self, StoreError> {
        self.remembered = Some(json(value)?);
        Ok(self)
    }
}

fn json(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Broken(error.to_string()))
}

/// Whether it is decided, or refused before anything was written.
pub(super) type Decided<T> = Result<Result<T, Problem>, StoreError>;

/// What the audit chain says of a change.
pub(super) struct Told {
    /// What was done, in a stable word.
    pub(super) action: &'static str,
    /// To whom or what.
    pub(super) subject: String,
    /// What else there is to say.
    pub(super) detail: serde_json::Value,
}

impl ApiState {
    /// Decides something. `work` says what is shown of it and what the audit chain says, or refuses before it has written
    /// anything.
    ///
    /// # Errors
    /// It was refused, or cannot be done now.
    pub(super) async fn change<F>(
        &self,
        caller: Caller,
        key: Option<IdempotencyKey>,
        work: F,
    ) -> Result<Answered, Problem>
    where
        F: FnOnce(&mut dyn Tx, Wall) -> Decided<(Shown, Told)> + Send + 'static,
    {
        let now = self.clock.wall();
        let done = self.db.write(move |tx| decide(tx, now, &caller, key.as_ref(), work));
        done.await?
    }
}

fn decide<F>(tx: &mut dyn Tx, now: Wall, caller: &Caller, key: Option<&IdempotencyKey>, work: F) -> Decided<Answered>
where
    F: FnOnce(&mut dyn Tx, Wall) -> Decided<(Shown, Told)>,
{
    match key.map(|key| answers::claim(tx, key, now)).transpose()? {
        None | Some(answers::Claim::Taken) => {}
        Some(answers::Claim::OtherBody) => {
            let detail = "this Idempotency-Key was used for another request; send a new one with each request";
            let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", detail);
            return Ok(Err(problem));
        }
        Some(answers::Claim::Answered { status, answer }) => {
            return Ok(Ok(Answered {
                status: StatusCode::from_u16(status).map_err(|error| StoreError::Broken(error.to_string()))?,
                body: answer,
                replayed: true,
            }));
        }
    }
    let (shown, told) = match work(tx, now)? {
        Ok(done) => done,
        Err(problem) => {
            key.map(|key| answers::give_up(tx, key)).transpose()?;
            return Ok(Err(problem));
        }
    };
    let Shown {
        status,
        body,
        remembered,
    } = shown;
    if let Some(key) = key {
        answers::keep(tx, key, status.as_u16(), remembered.as_ref().unwrap_or(&body))?;
    }
    audit::append(tx, now, &caller.name, told.action, &told.subject, told.detail)?;
    Ok(Ok(Answered {
        status,
        body,
        replayed: false,
    }))
}
