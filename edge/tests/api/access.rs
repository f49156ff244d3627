//! Who may do what: every operation of the document is walked, so that none can be forgotten.

use crate::bench::Bench;
use edge::api::{self, ApiState};
use serde_json::{Value, json};
use service::http::unix::{bind_unix, serve_unix};
use std::os::unix::fs::PermissionsExt;
use tokio::sync::watch;

const ROLES: [&str; 4] = ["viewer", "station", "service", "admin"];
/// The least role of what no token may do.
const NOBODY: usize = ROLES.len();

struct Operation {
    method: String,
    path: String,
    /// The least role; `None` where no token is needed.
    least: Option<usize>,
    socket_only: bool,
    /// Callers on the socket of the line to head office may do it.
    by_sync: bool,
}

fn operations() -> Vec<Operation> {
    let document = serde_json::to_value(api::openapi()).unwrap();
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let what = format!("{method} {path}");
            let security = operation["security"].as_array();
            let security = security.unwrap_or_else(|| panic!("{what} declares no security"));
            let by_sync = |way: &Value| *way == json!({ "bearer": ["sync", "socket"] });
            let (of_sync, of_people): (Vec<&Value>, Vec<&Value>) = security.iter().partition(|way| by_sync(way));
            assert!(of_sync.len() <= 1 && of_people.len() <= 1, "{what}");
            let by_sync = !of_sync.is_empty();
            let scopes = security[0].get("bearer").and_then(Value::as_array);
            let least = scopes.map(|scopes| {
                let role = scopes[0].as_str().unwrap();
                if role == "sync" {
                    return NOBODY;
                }
                ROLES
                    .iter()
                    .position(|known| *known == role)
                    .unwrap_or_else(|| panic!("{what}: no role {role}"))
            });
            if method == "post" {
                let parameters = operation["parameters"].as_array().unwrap();
                let key = parameters
                    .iter()
                    .find(|parameter| parameter["name"] == "Idempotency-Key");
                assert_eq!(key.unwrap()["required"], true, "{what}");
            }
            assert!(
                operation["summary"].as_str().is_some_and(|summary| !summary.is_empty()),
                "{what}"
            );
            found.push(Operation {
                method: method.to_ascii_uppercase(),
                path: path
                    .replace("{item}", "1")
                    .replace("{proposal}", "1")
                    .replace(['{', '}'], ""),
                least,
                by_sync,
                socket_only: scopes.is_some_and(|scopes| scopes.iter().any(|scope| scope == "socket")),
            });
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_wants_a_token_with_its_role() {
    let operations = operations();
    assert!(operations.len() > 40, "{}", operations.len());
    // So many failed logins are too many for one station: several are asked, some operations each.
    for some in operations.chunks(25) {
        let bench = Bench::new().await;
        let mut tokens = Vec::new();
        for role in ROLES {
            tokens.push(format!("Bearer {}", bench.token(&format!("a-{role}"), role).await));
        }
        for Operation {
            method,
            path,
            least,
            socket_only,
            by_sync: _,
        } in some
        {
            let what = format!("{method} {path}");
            let ask = async |headers: &[(&str, &str)]| bench.raw(method, path, headers, None).await;
            let Some(least) = least else {
                assert!(
                    ["/healthz", "/readyz", "/openapi.json"].contains(&&**path),
                    "{what} is public"
                );
                assert_eq!(ask(&[]).await.status, 200, "{what}");
                continue;
            };
            let missing = ask(&[]).await;
            assert_eq!(
                missing.headers["www-authenticate"], "Bearer realm=\"holdfast\"",
                "{what}"
            );
            missing.problem(401, "token-missing");
            ask(&[("authorization", "Bearer nonsense")])
                .await
                .problem(401, "token-unknown");
            ask(&[("authorization", "Basic cm9vdDpyb290")])
                .await
                .problem(401, "token-missing");
            if *least == NOBODY {
                ask(&[("authorization", &tokens[least - 1])])
                    .await
                    .problem(403, "role-too-low");
                continue;
            }
            if *least > 0 {
                let low = ask(&[("authorization", &tokens[least - 1])])
                    .await
                    .problem(403, "role-too-low");
                assert!(low["detail"].as_str().unwrap().contains(ROLES[*least]), "{what}: {low}");
            }
            // With the role the request gets further: to a problem of its own, since it says nothing sensible.
            let enough = ask(&[("authorization", &tokens[*least])]).await;
            match socket_only {
                true => drop(enough.problem(403, "socket-only")),
                false => assert!(![401, 403].contains(&enough.status), "{what}: {}", enough.text),
            }
            if method == "POST" && !socket_only {
                ask(&[("authorization", &tokens[*least])])
                    .await
                    .problem(400, "idempotency-key-missing");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_request_needs_the_same_token_as_a_get() {
    let bench = Bench::new().await;
    assert_eq!(bench.raw("HEAD", "/v1/orders", &[], None).await.status, 401);
    let bearer = format!("Bearer {}", bench.admin);
    assert_eq!(
        bench
            .raw("HEAD", "/v1/orders", &[("authorization", &bearer)], None)
            .await
            .status,
        200
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_the_unix_socket_the_files_permissions_decide() {
    let bench = Bench::new().await;
    let mode = std::fs::metadata(&bench.socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    bench.local("GET", "/v1/tokens").await.expect(200);
    let api = api::api(ApiState::new(bench.station.clone(), "Asia/Shanghai", ()).unwrap());
    let taken = bind_unix(&bench.socket).await.unwrap_err();
    assert!(taken.to_string().contains("another process answers"), "{taken}");
    let file = bench.socket.with_file_name("not-a-socket");
    std::fs::write(&file, "precious").unwrap();
    let other = bind_unix(&file).await.unwrap_err();
    assert!(other.to_string().contains("not"), "{other}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");

    // A file that a daemon left behind is replaced.
    let stale = bench.socket.with_file_name("stale.sock");
    drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
    let (stop, stopping) = watch::channel(false);
    let socket = bind_unix(&stale).await.unwrap();
    tokio::net::UnixStream::connect(&stale).await.unwrap();
    let server = tokio::spawn(serve_unix(socket, api, stopping));
    stop.send_replace(true);
    server.await.unwrap().unwrap();
    assert!(!stale.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_callers_of_the_sync_socket_may_do_what_the_line_needs_and_nothing_else() {
    let bench = Bench::new().await;
    let mode = std::fs::metadata(&bench.sync_socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    let bearer = format!("Bearer {}", bench.admin);
    let mut may = Vec::new();
    for Operation {
        method,
        path,
        least,
        by_sync,
        ..
    } in operations()
    {
        let what = format!("{method} {path}");
        // An administrator's token makes nobody an administrator there.
        for headers in [&[][..], &[("authorization", &*bearer)]] {
            let answer = bench.on_sync(&method, &path, headers).await;
            match (least, by_sync) {
                (None, _) => assert_eq!(answer.status, 200, "{what}"),
                (Some(_), true) => assert!(![401, 403].contains(&answer.status), "{what}: {}", answer.text),
                (Some(_), false) => drop(answer.problem(403, "role-too-low")),
            }
        }
        if by_sync {
            may.push(what);
        }
    }
    may.sort();
    assert_eq!(
        may,
        [
            "GET /v1/balance-sheet",
            "GET /v1/journal",
            "GET /v1/orders/id/curve",
            "GET /v1/orders/id/live",
            "GET /v1/orders/id/log",
            "GET /v1/quarantine/1",
            "GET /v1/station",
            "PUT /v1/journal/acknowledged",
            "PUT /v1/sync/ack",
            "PUT /v1/sync/directive",
            "PUT /v1/sync/hello",
            "PUT /v1/sync/ping",
            "PUT /v1/sync/pong",
            "PUT /v1/sync/tail",
        ]
    );
    // Whoever opens the first one is an administrator as before, and not the line.
    bench.local("GET", "/v1/tokens").await.expect(200);
    bench.local("PUT", "/v1/sync/hello").await.problem(403, "role-too-low");
}
