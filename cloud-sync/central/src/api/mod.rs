//! Head office's HTTP API.

mod office;

use crate::{office::Sites, store::StoreError};
use axum::{Router, http::StatusCode, middleware};
use service::{
    http::{
        access::{self, Access, Caller, Tokens},
        limit::FailedLogins,
        problem::Problem,
        request_id::Numbers,
        roles::Roles,
        serve::{Api, Counts},
    },
    secret::SecretHash,
};
use std::sync::Arc;
use tokio::sync::watch;
use utoipa_axum::router::OpenApiRouter;

/// What handlers need.
#[derive(Clone)]
pub struct ApiState {
    sites: Sites,
    logins: Arc<FailedLogins>,
}

struct NoTokens;

impl Tokens for NoTokens {
    fn caller(&self, _: &str) -> Option<Caller> {
        None
    }

    fn counts(&self, _: &SecretHash) -> bool {
        false
    }

    fn local_caller(&self, _: Option<u32>) -> Caller {
        Caller {
            name: "local".to_owned(),
            roles: Roles::of(["admin", "viewer"]),
            token: None,
            local: true,
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        if error.is_transient() {
            return Self::new(StatusCode::SERVICE_UNAVAILABLE, "database_away", error.to_string());
        }
        Self::internal(error)
    }
}

/// All operations, to be served.
pub fn api(sites: Sites) -> anyhow::Result<Api> {
    let (router, openapi) = OpenApiRouter::<ApiState>::new()
        .merge(office::routes())
        .split_for_parts();
    let logins = Arc::<FailedLogins>::default();
    let numbers = Arc::new(Numbers::of_this_run().map_err(anyhow::Error::msg)?);
    let access = Access::new(&openapi, Arc::new(NoTokens), Arc::clone(&logins), numbers, &[]);
    let router: Router = router
        .layer(middleware::from_fn_with_state(access, access::guard))
        .with_state(ApiState { sites, logins });
    Ok(Api::new(
        router,
        Arc::new(watch::Sender::new(false)),
        Arc::new(Counts::default()),
    ))
}
