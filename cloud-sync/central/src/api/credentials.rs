//! Who asks: tokens of machines, and people by the cookie of their session. Both are in the database, which all processes of
//! head office share, so that what is taken back counts nowhere from then on.

use crate::{
    desk::Clock,
    role::{PERSON, Role},
    store::{
        Db,
        people::{self, MACHINE},
    },
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use domain::correction::ANONYMOUS;
use service::{
    http::{
        access::{Caller, Lookup, Tokens},
        problem::Problem,
        roles::Roles,
    },
    secret::{Secret, SecretHash},
};
use std::sync::Arc;

/// Browsers take a cookie of this name only over TLS, for this host alone and for all of its paths (RFC 6265bis).
pub(super) const COOKIE: &str = "__Host-holdfast";
/// What a page says besides, so that no other page can use the cookie.
pub(super) const CSRF: HeaderName = HeaderName::from_static("x-csrf-token");

/// Looks up who shows what.
pub(super) struct Credentials {
    pub(super) db: Db,
    pub(super) clock: Arc<dyn Clock>,
}

/// What a page of a session says in [`CSRF`]: it follows from the session's secret, which no page can read.
pub(super) fn csrf_of(session: &str) -> SecretHash {
    SecretHash::of(format!("csrf:{session}").as_bytes())
}

/// The cookie of a session.
pub(super) fn cookie(session: &Secret) -> String {
    let longest_s = people::SESSION_MS / 1_000;
    let secret = session.reveal();
    format!("{COOKIE}={secret}; Path=/; Max-Age={longest_s}; HttpOnly; Secure; SameSite=Strict")
}

/// The cookie that takes its place when a session ends.
pub(super) fn no_cookie() -> HeaderValue {
    HeaderValue::from_static("__Host-holdfast=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Strict")
}

/// The secret of the session in the headers.
pub(super) fn session_in(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter();
    let mut pairs = cookies
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(';'));
    pairs.find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

/// What somebody who is logged in may do: nothing but about themselves, until the password is their own.
pub(super) fn roles_of(person: &people::Person) -> Roles {
    let given = if person.must_change { &[] } else { &person.roles[..] };
    Roles::of(given.iter().map(|role| role.word()).chain([PERSON]))
}

impl Credentials {
    async fn token(&self, presented: &str) -> Result<Option<Caller>, Problem> {
        let hash = SecretHash::of(presented.as_bytes());
        let wanted = hash.clone();
        let found = self.db.read(move |tx| people::find_token(tx, &wanted)).await?;
        Ok(found.map(|token| Caller {
            name: format!("{MACHINE}{}", token.name),
            roles: Role::held(&token.roles),
            local: false,
            token: Some(hash),
        }))
    }

    async fn session(&self, method: &Method, headers: &HeaderMap) -> Result<Option<Caller>, Problem> {
        let Some(secret) = session_in(headers) else {
            return Ok(None);
        };
        let (hash, now) = (SecretHash::of(secret.as_bytes()), self.clock.wall());
        let wanted = hash.clone();
        let found = self.db.read(move |tx| people::session(tx, &wanted, now)).await?;
        let Some(people::Session { person, is_to_be_noted }) = found else {
            let detail = "the session has ended; log in again with POST /v1/sessions";
            return Err(Problem::new(StatusCode::UNAUTHORIZED, "session_ended", detail));
        };
        let said = headers
            .get(CSRF)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        if ![Method::GET, Method::HEAD].contains(method) && !csrf_of(secret).is(&SecretHash::stored(said)) {
            let detail = "a request of a browser that changes something needs the header X-CSRF-Token: the `csrf_token` that \
                          the login answered, or GET /v1/sessions/current answers";
            return Err(Problem::new(StatusCode::FORBIDDEN, "csrf_token_wrong", detail));
        }
        if is_to_be_noted {
            let noted = hash.clone();
            self.db.write(move |tx| people::note_session(tx, &noted, now)).await?;
        }
        Ok(Some(Caller {
            name: person.name.clone(),
            roles: roles_of(&person),
            local: false,
            token: Some(hash),
        }))
    }

    async fn still_counts(&self, token: &SecretHash) -> Result<bool, Problem> {
        let (token, now) = (token.clone(), self.clock.wall());
        let counts = self.db.read(move |tx| {
            Ok(people::find_token(tx, &token)?.is_some() || people::session(tx, &token, now)?.is_some())
        });
        Ok(counts.await?)
    }
}

impl Tokens for Credentials {
    fn caller<'a>(&'a self, presented: &'a str) -> Lookup<'a, Option<Caller>> {
        Box::pin(self.token(presented))
    }

    fn counts<'a>(&'a self, token: &'a SecretHash) -> Lookup<'a, bool> {
        Box::pin(self.still_counts(token))
    }

    fn by_cookie<'a>(&'a self, method: &'a Method, headers: &'a HeaderMap) -> Lookup<'a, Option<Caller>> {
        Box::pin(self.session(method, headers))
    }

    /// Whoever may open the socket is an administrator, and may do everything but what a person does about themselves.
    fn local_caller(&self, uid: Option<u32>) -> Caller {
        let uid = uid.map_or_else(|| "unknown".to_owned(), |uid| uid.to_string());
        Caller {
            name: format!("{ANONYMOUS}{uid}"),
            roles: Role::held(&Role::ALL),
            local: true,
            token: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_found_among_other_cookies_by_its_whole_name() {
        let found = |cookies: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in cookies {
                headers.append(header::COOKIE, HeaderValue::from_static(value));
            }
            session_in(&headers).map(str::to_owned)
        };
        assert_eq!(found(&["a=1; __Host-holdfast=x; b=2"]).as_deref(), Some("x"));
        assert_eq!(found(&["a=1", "__Host-holdfast=x"]).as_deref(), Some("x"));
        assert_eq!(found(&["__Host-holdfast2=x; my__Host-holdfast=y"]), None);
        assert_eq!(found(&[]), None);
    }

    #[test]
    fn a_cookie_is_for_this_host_over_tls_and_no_script_reads_it() {
        let cookie = cookie(&Secret::generate().unwrap());
        for word in ["__Host-holdfast=", "Path=/", "HttpOnly", "Secure", "SameSite=Strict"] {
            assert!(cookie.contains(word), "{cookie}");
        }
        assert!(!cookie.contains("Domain"));
    }

    #[test]
    fn whoever_has_a_password_made_for_them_may_only_change_it() {
        let mut person = people::Person {
            name: "ann".to_owned(),
            roles: vec![Role::Admin],
            must_change: true,
            disabled: false,
            made_at: domain::time::Wall(0),
        };
        assert_eq!(roles_of(&person).words().collect::<Vec<_>>(), [PERSON]);
        person.must_change = false;
        assert_eq!(roles_of(&person).words().collect::<Vec<_>>(), ["admin", PERSON]);
    }
}
