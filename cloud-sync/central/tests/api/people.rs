//! People: how they are let in, log in, change their password and are shut out.

use crate::office::{Office, Reply, Somebody};
use serde_json::{Value, json};

const OWN: &str = "correct horse battery";

/// A browser: its cookie and what its page says beside it.
struct Browser {
    cookie: String,
    csrf: String,
}

impl Browser {
    fn of(reply: Reply) -> Self {
        let cookie = reply.headers["set-cookie"].to_str().unwrap().to_owned();
        let body = reply.expect(201);
        for word in ["HttpOnly", "Secure", "SameSite=Strict", "Path=/"] {
            assert!(cookie.contains(word), "{cookie}");
        }
        Self {
            cookie: cookie.split(';').next().unwrap().to_owned(),
            csrf: body["csrf_token"].as_str().unwrap().to_owned(),
        }
    }

    fn reads(&self) -> Somebody {
        Somebody::default().with("cookie", &self.cookie)
    }

    fn writes(&self) -> Somebody {
        self.reads().with("x-csrf-token", &self.csrf)
    }
}

async fn log_in(office: &Office, name: &str, password: &str) -> Reply {
    let body = json!({ "name": name, "password": password });
    office
        .ask(&Somebody::default(), "POST", "/v1/sessions", Some(&body))
        .await
}

/// Somebody with a password of their own, who has just logged in.
async fn person(office: &Office, name: &str, roles: &[&str]) -> Browser {
    let made = office
        .local("POST", "/v1/users", Some(&json!({ "name": name, "roles": roles })))
        .await
        .expect(201);
    let made = made["password"].as_str().unwrap();
    let browser = Browser::of(log_in(office, name, made).await);
    let change = json!({ "password": made, "new_password": OWN });
    let writes = browser.writes();
    let changed = office.ask(&writes, "PUT", "/v1/sessions/current/password", Some(&change));
    changed.await.expect(204);
    browser
}

pub(crate) async fn the_first_administrator_is_made_on_the_machine_and_lets_others_in(office: Office) {
    let made = office
        .local(
            "POST",
            "/v1/users",
            Some(&json!({ "name": "root", "roles": ["admin"] })),
        )
        .await
        .expect(201);
    let made = made["password"].as_str().unwrap().to_owned();
    let first = Browser::of(log_in(&office, "root", &made).await);
    // Until the password is their own they may do nothing else.
    office
        .get(&first.reads(), "/v1/users")
        .await
        .problem(403, "role-too-low");
    let current = office.get(&first.reads(), "/v1/sessions/current").await.expect(200);
    assert_eq!(
        (&current["name"], &current["must_change_password"]),
        (&json!("root"), &json!(true))
    );
    assert_eq!(current["csrf_token"], first.csrf);
    for (new, code) in [
        ("short", "invalid-body"),
        ("my name is root, yes", "invalid-body"),
        (made.as_str(), "invalid-body"),
    ] {
        let change = json!({ "password": made, "new_password": new });
        let refused = office
            .ask(&first.writes(), "PUT", "/v1/sessions/current/password", Some(&change))
            .await;
        assert_eq!(refused.problem(422, code)["path"], "new_password");
    }
    let change = json!({ "password": "something else", "new_password": OWN });
    let refused = office
        .ask(&first.writes(), "PUT", "/v1/sessions/current/password", Some(&change))
        .await;
    assert_eq!(refused.problem(422, "password-wrong")["path"], "password");
    let change = json!({ "password": made, "new_password": OWN });
    office
        .ask(&first.writes(), "PUT", "/v1/sessions/current/password", Some(&change))
        .await
        .expect(204);
    log_in(&office, "root", &made).await.problem(401, "login-failed");
    let browser = Browser::of(log_in(&office, "root", OWN).await);
    office
        .post(
            &browser.writes(),
            "/v1/users",
            &json!({ "name": "ann", "roles": ["viewer"] }),
        )
        .await
        .expect(201);
    let users = office.all(&browser.reads(), "/v1/users", 1).await;
    let names: Vec<&Value> = users.iter().map(|user| &user["name"]).collect();
    assert_eq!(names, ["ann", "root"]);
}

pub(crate) async fn a_cookie_alone_changes_nothing(office: Office) {
    let browser = person(&office, "ann", &["admin"]).await;
    let body = json!({ "name": "bob", "roles": [] });
    let without = browser.reads();
    office
        .post(&without, "/v1/users", &body)
        .await
        .problem(403, "csrf-token-wrong");
    let wrong = browser.reads().with("x-csrf-token", "0000");
    office
        .post(&wrong, "/v1/users", &body)
        .await
        .problem(403, "csrf-token-wrong");
    // That of another session is another.
    let other = Browser::of(log_in(&office, "ann", OWN).await);
    let crossed = browser.reads().with("x-csrf-token", &other.csrf);
    office
        .ask(&crossed, "DELETE", "/v1/sessions/current", None)
        .await
        .problem(403, "csrf-token-wrong");
    office.get(&without, "/v1/users/bob").await.problem(404, "unknown-user");
    office.post(&browser.writes(), "/v1/users", &body).await.expect(201);
}

pub(crate) async fn a_session_ends_when_it_is_idle_when_it_is_old_and_when_somebody_logs_out(office: Office) {
    let browser = person(&office, "ann", &["viewer"]).await;
    let hour = 3_600_000;
    office.pass(2 * hour);
    office
        .get(&browser.reads(), "/v1/sites")
        .await
        .problem(401, "session-ended");
    let browser = Browser::of(log_in(&office, "ann", OWN).await);
    for _ in 0..11 {
        office.pass(hour);
        office.get(&browser.reads(), "/v1/sites").await.expect(200);
    }
    office.pass(hour);
    office
        .get(&browser.reads(), "/v1/sites")
        .await
        .problem(401, "session-ended");
    let (one, other) = (
        Browser::of(log_in(&office, "ann", OWN).await),
        Browser::of(log_in(&office, "ann", OWN).await),
    );
    let out = office.ask(&one.writes(), "DELETE", "/v1/sessions/current", None).await;
    assert!(out.headers["set-cookie"].to_str().unwrap().contains("Max-Age=0"));
    out.expect(204);
    office
        .get(&one.reads(), "/v1/sites")
        .await
        .problem(401, "session-ended");
    office.get(&other.reads(), "/v1/sites").await.expect(200);
    // A process whose clock was years ahead let somebody in: that does not count for years.
    office.pass(10 * 365 * 24 * hour);
    let years = Browser::of(log_in(&office, "ann", OWN).await);
    office.pass(-10 * 365 * 24 * hour);
    office
        .get(&years.reads(), "/v1/sites")
        .await
        .problem(401, "session-ended");
    // What is over is forgotten; what counts is not.
    office.state.prune().await.unwrap();
    office.get(&other.reads(), "/v1/sites").await.expect(200);
    let left = office
        .db
        .read(|tx| tx.query("SELECT COUNT(*) FROM session", &[])?.remove(0).int(0));
    assert_eq!(left.await.unwrap(), 1);
}

pub(crate) async fn what_an_administrator_takes_from_somebody_counts_at_once(office: Office) {
    let (admin, ann) = (
        office.machine("root", &["admin"]).await,
        person(&office, "ann", &["viewer"]).await,
    );
    office.get(&ann.reads(), "/v1/sites").await.expect(200);
    office.get(&ann.reads(), "/v1/audit").await.problem(403, "role-too-low");
    let put = async |path: &str, body: Value| office.ask(&admin, "PUT", path, Some(&body)).await.expect(200);
    put("/v1/users/ann/roles", json!({ "roles": ["finance_checker"] })).await;
    office.get(&ann.reads(), "/v1/sites").await.problem(403, "role-too-low");
    office.get(&ann.reads(), "/v1/audit").await.expect(200);
    put("/v1/users/ann/disabled", json!({ "disabled": true })).await;
    office
        .get(&ann.reads(), "/v1/audit")
        .await
        .problem(401, "session-ended");
    log_in(&office, "ann", OWN).await.problem(401, "login-failed");
    put("/v1/users/ann/disabled", json!({ "disabled": false })).await;
    office
        .get(&ann.reads(), "/v1/audit")
        .await
        .problem(401, "session-ended");
    let ann = Browser::of(log_in(&office, "ann", OWN).await);
    let made = office
        .post(&admin, "/v1/users/ann/password", &json!({}))
        .await
        .expect(201);
    office
        .get(&ann.reads(), "/v1/audit")
        .await
        .problem(401, "session-ended");
    log_in(&office, "ann", OWN).await.problem(401, "login-failed");
    let made = made["password"].as_str().unwrap();
    let ann = Browser::of(log_in(&office, "ann", made).await);
    office.get(&ann.reads(), "/v1/audit").await.problem(403, "role-too-low");
    for path in ["/v1/users/bob/roles", "/v1/users/bob/disabled"] {
        let body = if path.ends_with("roles") {
            json!({ "roles": [] })
        } else {
            json!({ "disabled": true })
        };
        office
            .ask(&admin, "PUT", path, Some(&body))
            .await
            .problem(404, "unknown-user");
    }
    office
        .post(&admin, "/v1/users/bob/password", &json!({}))
        .await
        .problem(404, "unknown-user");
}

pub(crate) async fn another_password_ends_ones_other_sessions(office: Office) {
    let first = person(&office, "ann", &["viewer"]).await;
    let second = Browser::of(log_in(&office, "ann", OWN).await);
    let change = json!({ "password": OWN, "new_password": "another horse battery" });
    office
        .ask(&second.writes(), "PUT", "/v1/sessions/current/password", Some(&change))
        .await
        .expect(204);
    office
        .get(&first.reads(), "/v1/sites")
        .await
        .problem(401, "session-ended");
    office.get(&second.reads(), "/v1/sites").await.expect(200);
}

pub(crate) async fn wrong_passwords_are_told_alike_and_make_one_wait(office: Office) {
    person(&office, "ann", &["viewer"]).await;
    let unknown = log_in(&office, "nobody", OWN).await.problem(401, "login-failed");
    let wrong = log_in(&office, "ann", "wrong wrong wrong")
        .await
        .problem(401, "login-failed");
    assert_eq!(unknown["detail"], wrong["detail"]);
    let mut waits = Vec::new();
    while waits.len() < 3 {
        let reply = log_in(&office, "ann", "wrong wrong wrong").await;
        if reply.status == 401 {
            continue;
        }
        let seconds: i64 = reply.headers["retry-after"].to_str().unwrap().parse().unwrap();
        reply.problem(429, "too-many-failed-logins");
        // Nor does the right one count before its time.
        log_in(&office, "ann", OWN).await.problem(429, "too-many-failed-logins");
        waits.push(seconds);
        office.pass(seconds * 1_000);
    }
    assert_eq!(waits, [2, 4, 8]);
    Browser::of(log_in(&office, "ann", OWN).await);
    log_in(&office, "ann", "wrong wrong wrong")
        .await
        .problem(401, "login-failed");
    // Other people of this network were not meant.
    log_in(&office, "bob", "wrong wrong wrong")
        .await
        .problem(401, "login-failed");
}

pub(crate) async fn nothing_of_a_password_or_a_session_is_in_the_database(office: Office) {
    let browser = person(&office, "ann", &["viewer"]).await;
    let secret = browser.cookie.split_once('=').unwrap().1.to_owned();
    for table in ["person", "session", "audit", "idempotency", "token"] {
        let rows = office
            .db
            .read(move |tx| tx.query(&format!("SELECT * FROM {table}"), &[]));
        let rows = format!("{:?}", rows.await.unwrap());
        assert!(
            !rows.contains(OWN) && !rows.contains(&secret) && !rows.contains(&browser.csrf),
            "{table}"
        );
    }
}
