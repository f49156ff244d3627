//! Who may do what: one table of all operations, held against the document, and walked with every role and with none.

use crate::office::{Office, Reply, Somebody};
use axum::http::HeaderName;
use serde_json::{Value, json};
use std::{collections::BTreeSet, net::Ipv4Addr, sync::atomic::Ordering};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
};

const ROLES: [&str; 7] = [
    "viewer",
    "station",
    "service",
    "risk",
    "finance_maker",
    "finance_checker",
    "admin",
];

const ADMIN: &[&str] = &["admin"];
const VIEWER: &[&str] = &["viewer"];
const BOOKS: &[&str] = &["viewer", "finance_maker", "finance_checker"];
const CHAIN: &[&str] = &["admin", "finance_checker"];
const FINANCE: &[&str] = &["finance_maker", "finance_checker"];
/// A mini-program's back end, and whoever looks.
const SHOWN: &[&str] = &["station", "viewer"];
const DEAD: &[&str] = &["admin", "service"];
/// Administrators on this machine's Unix socket alone.
const SOCKET: &[&str] = &["admin", "socket"];
/// Whoever is logged in.
const PERSON: &[&str] = &["person"];
/// Everybody.
const PUBLIC: &[&str] = &[];

/// Whose programs place orders, and who helps drivers.
const DRIVERS: &[&str] = &["station", "service"];
const STATION: &[&str] = &["station"];
/// Whoever looks at what is given back.
const AFTER_SALES: &[&str] = &["viewer", "service", "finance_maker", "finance_checker"];
const RISK: &[&str] = &["risk"];

const OPERATIONS: &[(&str, &str, &[&str])] = &[
    ("GET", "/v1/bills", BOOKS),
    ("GET", "/v1/bills/{file}", BOOKS),
    ("POST", "/v1/bills/{file}/withdrawal", &["finance_maker"]),
    ("GET", "/v1/bill-proposals", BOOKS),
    ("POST", "/v1/bill-proposals/{proposal}/approve", &["finance_checker"]),
    ("POST", "/v1/bill-proposals/{proposal}/reject", FINANCE),
    (
        "POST",
        "/v1/channels/{channel}/bills/{day}/{format}/nothing",
        &["finance_maker"],
    ),
    ("PUT", "/v1/cards/{card}", DRIVERS),
    ("GET", "/v1/channels/{channel}/bills", BOOKS),
    ("PUT", "/v1/channels/{channel}/bills/{day}/{format}", &["finance_maker"]),
    ("GET", "/v1/channels/{channel}", &["viewer", "admin"]),
    ("PUT", "/v1/channels/{channel}", ADMIN),
    ("POST", "/v1/channels/{channel}/callbacks", PUBLIC),
    ("GET", "/v1/channels/{channel}/callbacks", BOOKS),
    ("PUT", "/v1/head-office/wallets", ADMIN),
    ("PUT", "/v1/members/{member}", DRIVERS),
    ("PUT", "/v1/members/{member}/block", RISK),
    ("POST", "/v1/members/{member}/leases", DRIVERS),
    ("POST", "/v1/members/{member}/recalls", DRIVERS),
    (
        "GET",
        "/v1/members/{member}/statement",
        &["viewer", "station", "service", "finance_maker", "finance_checker"],
    ),
    ("GET", "/v1/members/{member}/top-ups", &["viewer", "station", "service"]),
    ("POST", "/v1/members/{member}/top-ups", STATION),
    ("GET", "/v1/members/{member}/vouchers", DRIVERS),
    ("POST", "/v1/members/{member}/vouchers", DRIVERS),
    ("GET", "/v1/members/{member}/wallet", &["viewer", "station", "service"]),
    ("PUT", "/v1/members/{member}/wallet/freeze", RISK),
    (
        "GET",
        "/v1/bill-decisions",
        &["viewer", "service", "risk", "finance_checker"],
    ),
    ("POST", "/v1/bill-decisions/{decision}/approve", &["finance_checker"]),
    (
        "POST",
        "/v1/bill-decisions/{decision}/reject",
        &["service", "risk", "finance_checker"],
    ),
    ("GET", "/v1/on-road", BOOKS),
    ("GET", "/v1/payouts", &["viewer", "finance_maker", "finance_checker"]),
    ("POST", "/v1/channels/{channel}/payouts", &["finance_maker"]),
    ("POST", "/v1/payouts/{payout}/approve", &["finance_checker"]),
    (
        "POST",
        "/v1/payouts/{payout}/reject",
        &["finance_maker", "finance_checker"],
    ),
    ("GET", "/v1/adjustments", AFTER_SALES),
    ("GET", "/v1/adjustments/{adjustment}", AFTER_SALES),
    ("POST", "/v1/adjustments/{adjustment}/approve", &["finance_checker"]),
    (
        "POST",
        "/v1/adjustments/{adjustment}/reject",
        &["service", "finance_maker", "finance_checker"],
    ),
    (
        "POST",
        "/v1/members/{member}/adjustments",
        &["service", "finance_maker"],
    ),
    ("GET", "/v1/refunds", AFTER_SALES),
    ("GET", "/v1/refunds/{refund}", AFTER_SALES),
    ("POST", "/v1/refunds/{refund}/approve", &["finance_checker"]),
    ("POST", "/v1/refunds/{refund}/reject", &["service", "finance_checker"]),
    (
        "POST",
        "/v1/sites/{site}/orders/{order}/refunds",
        &["service", "finance_maker"],
    ),
    ("POST", "/v1/sites/{site}/orders/{order}/review", &["service", "risk"]),
    ("GET", "/v1/payments/set-aside", BOOKS),
    ("GET", "/v1/discrepancies", BOOKS),
    ("GET", "/v1/discrepancies/{discrepancy}", BOOKS),
    ("POST", "/v1/discrepancies/proposals", &["finance_maker"]),
    ("POST", "/v1/discrepancies/approvals", &["finance_checker"]),
    ("POST", "/v1/discrepancies/{discrepancy}/proposal", &["finance_maker"]),
    ("POST", "/v1/discrepancies/{discrepancy}/approve", &["finance_checker"]),
    ("POST", "/v1/discrepancies/{discrepancy}/reject", FINANCE),
    ("POST", "/v1/discrepancies/{discrepancy}/assign", FINANCE),
    ("POST", "/v1/discrepancies/{discrepancy}/comments", FINANCE),
    (
        "GET",
        "/v1/channels",
        &["viewer", "finance_maker", "finance_checker", "admin"],
    ),
    ("GET", "/v1/reports/{day}", BOOKS),
    ("POST", "/v1/discrepancies/csv", FINANCE),
    ("GET", "/v1/reconciliation/runs", BOOKS),
    ("POST", "/v1/reconciliation/runs", FINANCE),
    ("GET", "/v1/reconciliation/runs/{run}", BOOKS),
    ("POST", "/v1/orders", STATION),
    ("GET", "/v1/orders/{order}", &["viewer", "station"]),
    ("GET", "/v1/sites/{site}/directives", VIEWER),
    ("PUT", "/v1/sites/{site}/members/{member}/adopted", ADMIN),
    ("PUT", "/v1/sites/{site}/piles/{pile}/maintenance", STATION),
    ("PUT", "/v1/sites/{site}/tariffs/{id}", ADMIN),
    ("POST", "/v1/sites/{site}/orders/{order}/stop", DRIVERS),
    ("GET", "/healthz", PUBLIC),
    ("GET", "/metrics", VIEWER),
    ("GET", "/openapi.json", PUBLIC),
    ("GET", "/v1/accounts", BOOKS),
    ("GET", "/v1/accounts/sums", BOOKS),
    ("GET", "/v1/alerts", VIEWER),
    ("GET", "/v1/audit", CHAIN),
    ("PUT", "/v1/backup", SOCKET),
    ("GET", "/v1/energy-reports", VIEWER),
    ("POST", "/v1/enrolments", PUBLIC),
    ("GET", "/v1/head-office", VIEWER),
    ("PUT", "/v1/head-office/key", ADMIN),
    ("GET", "/v1/ledger/export", FINANCE),
    ("GET", "/v1/ledger/verification", CHAIN),
    ("GET", "/v1/findings", BOOKS),
    ("GET", "/v1/members", VIEWER),
    ("GET", "/v1/members/{member}/inbox", SHOWN),
    ("GET", "/v1/orders", VIEWER),
    ("GET", "/v1/quarantine", VIEWER),
    ("POST", "/v1/sessions", PUBLIC),
    ("DELETE", "/v1/sessions/current", PERSON),
    ("GET", "/v1/sessions/current", PERSON),
    ("PUT", "/v1/sessions/current/password", PERSON),
    ("GET", "/v1/sites", VIEWER),
    ("GET", "/v1/sites/{site}", VIEWER),
    ("PUT", "/v1/sites/{site}", ADMIN),
    ("GET", "/v1/sites/{site}/balance-sheet", BOOKS),
    ("PUT", "/v1/sites/{site}/branch", ADMIN),
    ("GET", "/v1/sites/{site}/branches", VIEWER),
    ("PUT", "/v1/sites/{site}/books-check", CHAIN),
    ("DELETE", "/v1/sites/{site}/certificate", ADMIN),
    ("PUT", "/v1/sites/{site}/closure", ADMIN),
    ("PUT", "/v1/sites/{site}/closure/approval", ADMIN),
    ("GET", "/v1/sites/{site}/energy-reports/{day}", VIEWER),
    ("PUT", "/v1/sites/{site}/invitation", ADMIN),
    ("GET", "/v1/sites/{site}/journal", ADMIN),
    ("GET", "/v1/sites/{site}/journal/verification", CHAIN),
    ("GET", "/v1/sites/{site}/members/{member}", VIEWER),
    ("GET", "/v1/sites/{site}/opening", ADMIN),
    ("PUT", "/v1/sites/{site}/opening", SOCKET),
    ("PUT", "/v1/sites/{site}/opening/approval", ADMIN),
    ("GET", "/v1/sites/{site}/orders/{order}", &["viewer", "station"]),
    ("GET", "/v1/sites/{site}/orders/{order}/bill", VIEWER),
    ("GET", "/v1/sites/{site}/orders/{order}/curve", VIEWER),
    ("GET", "/v1/sites/{site}/orders/{order}/live", &["viewer", "station"]),
    ("GET", "/v1/sites/{site}/orders/{order}/log", VIEWER),
    ("GET", "/v1/sites/{site}/piles", VIEWER),
    ("GET", "/v1/sites/{site}/quarantine/{item}", VIEWER),
    ("PUT", "/v1/sites/{site}/replica", ADMIN),
    ("GET", "/v1/sites/{site}/replica/verification", CHAIN),
    ("PUT", "/v1/sites/{site}/set-aside/{entry}", ADMIN),
    ("PUT", "/v1/sites/{site}/set-aside/{entry}/approval", ADMIN),
    ("GET", "/v1/sites/{site}/station", VIEWER),
    ("GET", "/v1/sites/{site}/tariffs", VIEWER),
    ("GET", "/v1/sites/{site}/tariffs/{id}", VIEWER),
    ("PUT", "/v1/sites/{site}/trial", ADMIN),
    ("GET", "/v1/stations", SHOWN),
    ("GET", "/v1/stations/{site}", SHOWN),
    ("GET", "/v1/tokens", ADMIN),
    ("POST", "/v1/tokens", ADMIN),
    ("DELETE", "/v1/tokens/{name}", ADMIN),
    ("GET", "/v1/transfers", BOOKS),
    ("GET", "/v1/transfers/sums", BOOKS),
    ("GET", "/v1/users", ADMIN),
    ("POST", "/v1/users", ADMIN),
    ("GET", "/v1/users/{name}", ADMIN),
    ("PUT", "/v1/users/{name}/disabled", ADMIN),
    ("POST", "/v1/users/{name}/password", ADMIN),
    ("PUT", "/v1/users/{name}/roles", ADMIN),
    ("GET", "/v1/webhooks/dead", DEAD),
    ("POST", "/v1/webhooks/dead/{id}/resend", DEAD),
];

/// What the document says.
fn documented() -> BTreeSet<(String, String, Vec<String>)> {
    let document = serde_json::to_value(central::api::openapi()).unwrap();
    let mut found = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let what = format!("{method} {path}");
            let security = operation["security"].as_array();
            let security = security.unwrap_or_else(|| panic!("{what} declares no security"));
            let scopes = |way: &Value| way.get("bearer").and_then(Value::as_array).cloned();
            let roles: Vec<String> = security
                .iter()
                .filter_map(scopes)
                .flatten()
                .map(|role| role.as_str().unwrap().to_owned())
                .collect();
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let has_key = parameters
                .iter()
                .any(|parameter| parameter["name"] == "Idempotency-Key");
            assert_eq!(has_key, method == "post" && !roles.is_empty(), "{what}");
            assert!(
                operation["summary"].as_str().is_some_and(|text| !text.is_empty()),
                "{what}"
            );
            found.insert((method.to_ascii_uppercase(), path.clone(), roles));
        }
    }
    found
}

#[test]
fn the_table_is_the_document() {
    let owned = |(method, path, roles): &(&str, &str, &[&str])| {
        let roles = roles.iter().map(|role| (*role).to_owned()).collect();
        ((*method).to_owned(), (*path).to_owned(), roles)
    };
    let table: BTreeSet<(String, String, Vec<String>)> = OPERATIONS.iter().map(owned).collect();
    assert_eq!(table, documented());
}

fn path_of(path: &str) -> String {
    path.replace("{item}", "1")
        .replace("{seq}", "1")
        .replace("{file}", "1")
        .replace("{discrepancy}", "1")
        .replace("{format}", "csv")
        .replace("{day}", "2026-03-01")
        .replace(['{', '}'], "")
}

/// Whether it got beyond the door: to the operation, which finds what is asked senseless.
fn is_in(reply: &Reply, what: &str) {
    assert!(![401, 403].contains(&reply.status), "{what}: {}", reply.text);
    assert_ne!(reply.body["type"], "urn:holdfast:problem:unknown-path", "{what}");
    assert!(reply.status < 500 || reply.status == 503, "{what}: {}", reply.text);
}

/// A request without a token, from an address of its own: of one address so many would be too many.
async fn nobody_asks(office: &Office, nth: usize, method: &str, path: &str) -> Reply {
    let from = Ipv4Addr::new(127, 0, 1, u8::try_from(nth / 10 + 1).unwrap());
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    let mut stream = socket.connect(office.address).await.unwrap();
    let asked = format!("{method} {path} HTTP/1.1\r\nhost: office\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    stream.write_all(asked.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, text) = answer.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines.map(|line| line.split_once(": ").unwrap());
    let headers = headers.map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap()));
    Reply {
        status,
        headers: headers.collect(),
        text: text.to_owned(),
        body: serde_json::from_str(text).unwrap_or_default(),
    }
}

pub(crate) async fn every_operation_wants_one_of_its_roles(office: Office) {
    // Nobody waits for a station that is not there.
    office.sent.is_away.store(true, Ordering::SeqCst);
    let mut machines = Vec::new();
    for role in ROLES {
        machines.push((role, office.machine(&format!("a-{role}"), &[role]).await));
    }
    for (nth, (method, path, roles)) in OPERATIONS.iter().enumerate() {
        let (what, path) = (format!("{method} {path}"), path_of(path));
        let nobody = nobody_asks(&office, nth, method, &path).await;
        if roles.is_empty() {
            is_in(&nobody, &what);
            continue;
        }
        nobody.problem(401, "token-missing");
        for (role, machine) in &machines {
            let reply = office.ask(machine, method, &path, None).await;
            match (roles.contains(role), *roles == SOCKET) {
                (true, false) => is_in(&reply, &format!("{what} by {role}")),
                (true, true) => drop(reply.problem(403, "socket-only")),
                (false, _) => drop(reply.problem(403, "role-too-low")),
            }
        }
        // Whoever has all roles but the right ones is not let in either.
        let others: Vec<&str> = ROLES.into_iter().filter(|role| !roles.contains(role)).collect();
        let name = format!(
            "others-{}",
            OPERATIONS
                .iter()
                .position(|(m, p, _)| m == method && path_of(p) == path)
                .unwrap()
        );
        let machine = office.machine(&name, &others).await;
        office
            .ask(&machine, method, &path, None)
            .await
            .problem(403, "role-too-low");
        if *method == "POST" {
            let (_, one) = machines.iter().find(|(role, _)| roles.contains(role)).unwrap();
            office
                .ask(one, method, &path, None)
                .await
                .problem(400, "idempotency-key-missing");
        }
    }
}

pub(crate) async fn what_nobody_made_is_not_known_and_head_asks_as_get_does(office: Office) {
    let nonsense = Somebody::with_token("nonsense");
    office.get(&nonsense, "/v1/sites").await.problem(401, "token-unknown");
    for other in ["Bearer", "Basic cm9vdDpyb290"] {
        let other = Somebody::default().with("authorization", other);
        office.get(&other, "/v1/sites").await.problem(401, "token-missing");
    }
    assert_eq!(
        office.ask(&Somebody::default(), "HEAD", "/v1/sites", None).await.status,
        401
    );
    let viewer = office.machine("viewer", &["viewer"]).await;
    assert_eq!(office.ask(&viewer, "HEAD", "/v1/sites", None).await.status, 200);
    office.get(&viewer, "/v1/nothing").await.problem(404, "unknown-path");
    office
        .ask(&viewer, "DELETE", "/v1/sites", None)
        .await
        .problem(405, "wrong-method");
}

pub(crate) async fn whoever_opens_the_socket_is_an_administrator_and_no_person(office: Office) {
    office.local("GET", "/v1/users", None).await.expect(200);
    office.local("GET", "/v1/sites", None).await.expect(200);
    office
        .local("GET", "/v1/sessions/current", None)
        .await
        .problem(403, "role-too-low");
    let made = office.local("GET", "/v1/audit", None).await.expect(200);
    assert_eq!(made["items"], json!([]), "who reads changes nothing");
    office.machine("kiosk", &["station"]).await;
    let made = office.local("GET", "/v1/audit", None).await.expect(200);
    assert!(made["items"][0]["by"].as_str().unwrap().starts_with("local:"), "{made}");
}
