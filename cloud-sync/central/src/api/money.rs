//! What every change of members' money does alike: the rules of [`crate::money`] in one transaction with what the audit chain says
//! of it; then whoever has the line of a site is told that something was issued to it.

use super::{
    ApiState,
    answered::{Answered, Decided, Shown, Told},
};
use crate::{
    money::{self, Money},
    store::{StoreError, Tx},
};
use axum::http::StatusCode;
use domain::ids::SiteId;
use service::http::{access::Caller, body::Posted, idempotency::IdempotencyKey, problem::Problem};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

/// Something that people propose and decide: what is shown of it, and what the audit chain says.
pub(super) trait Tells {
    /// Both, for an answer of this status to an action of this word.
    fn told(&self, tx: &mut dyn Tx, status: StatusCode, action: &'static str) -> Result<(Shown, Told), StoreError>;
}

impl ApiState {
    /// Has somebody propose or decide something.
    pub(super) async fn decides<T, D, F>(
        &self,
        posted: Posted<T>,
        (status, action): (StatusCode, &'static str),
        work: F,
    ) -> Result<Answered, Problem>
    where
        T: Send + 'static,
        D: Tells,
        F: FnOnce(&mut Money<'_>, T) -> money::Decided<D> + Send + 'static,
    {
        let Posted { body, key, caller } = posted;
        self.with_money(caller, Some(key), move |money| match work(money, body)? {
            Ok(decided) => decided.told(money.tx(), status, action).map(Ok),
            Err(refused) => Ok(Err(refused.into())),
        })
        .await
    }

    /// Does something with members' money, for a caller.
    pub(super) async fn with_money<F>(
        &self,
        caller: Caller,
        key: Option<IdempotencyKey>,
        work: F,
    ) -> Result<Answered, Problem>
    where
        F: FnOnce(&mut Money<'_>) -> Decided<(Shown, Told)> + Send + 'static,
    {
        let rung: Arc<Mutex<BTreeSet<SiteId>>> = Arc::default();
        let (by, rings) = (caller.name.clone(), Arc::clone(&rung));
        let done = self
            .change(caller, key, move |tx, now| {
                let mut money = Money::new(tx, now, &by);
                let done = work(&mut money)?;
                *rings.lock().unwrap_or_else(PoisonError::into_inner) = money.into_rung();
                Ok(done)
            })
            .await?;
        let rung = std::mem::take(&mut *rung.lock().unwrap_or_else(PoisonError::into_inner));
        self.ring(rung);
        Ok(done)
    }

    /// Something was issued to these sites.
    pub(super) fn ring(&self, sites: BTreeSet<SiteId>) {
        if let Some(entrance) = &self.entrance {
            for site in sites {
                entrance.bell.issued(&site);
            }
        }
    }
}
