//! Requests that are not as they should be: each gets a problem that names the place and says what to do.

use crate::bench::{Bench, tariff};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_key_with_the_same_body_gets_the_same_answer() {
    let bench = Bench::new().await;
    bench.flat_tariff().await;
    bench.member("m1", "100.00").await;
    bench.pile("P1").await;
    let body = json!({ "member": "m1", "pile": "P1", "connector": 1, "prepay": "20.00" });
    let first = bench.post_with("/v1/orders", "same", &body.to_string()).await;
    assert!(!first.replayed());
    let again = bench.post_with("/v1/orders", "same", &body.to_string()).await;
    assert!(again.replayed());
    assert_eq!((first.status, &first.text), (201, &again.text));
    let other = body.to_string().replace("20.00", "30.00");
    bench
        .post_with("/v1/orders", "same", &other)
        .await
        .problem(422, "idempotency-key-reused");
    assert_eq!(
        bench.get("/v1/orders").await.expect(200)["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );

    // A refusal decided nothing: it is not remembered. Another route or another caller has keys of its own.
    let refused = bench
        .post_with("/v1/members/m1/topups", "same", r#"{"amount":"1.00","receipt":"R"}"#)
        .await;
    assert_eq!((refused.status, refused.replayed()), (201, false));
    let too_many = bench.post_with("/v1/orders", "k2", &body.to_string()).await;
    let repeated = bench.post_with("/v1/orders", "k2", &body.to_string()).await;
    assert_eq!(
        (too_many.status, repeated.replayed(), repeated.status),
        (409, false, 409)
    );
    assert_eq!(repeated.headers["content-type"], "application/problem+json");
    let desk = bench.token("desk", "station").await;
    let bearer = format!("Bearer {desk}");
    let headers = [
        ("authorization", &*bearer),
        ("content-type", "application/json"),
        ("idempotency-key", "same"),
    ];
    let of_desk = bench.raw("POST", "/v1/orders", &headers, Some(&body.to_string())).await;
    assert_eq!((of_desk.status, of_desk.replayed()), (409, false), "{}", of_desk.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_must_be_there_and_plain() {
    let bench = Bench::new().await;
    let bearer = format!("Bearer {}", bench.admin);
    let plain = [("authorization", &*bearer), ("content-type", "application/json")];
    let missing = bench.raw("POST", "/v1/piles", &plain, Some(r#"{"id":"P1"}"#)).await;
    let detail = missing.problem(400, "idempotency-key-missing")["detail"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(detail.contains("UUID"), "{detail}");
    let long = "x".repeat(65);
    for bad in ["", "\u{e9}", "tab\tin it", &long] {
        bench
            .post_with("/v1/piles", bad, r#"{"id":"P1"}"#)
            .await
            .problem(400, "idempotency-key-invalid");
    }
    let twice = [plain[0], plain[1], ("idempotency-key", "a"), ("idempotency-key", "b")];
    bench
        .raw("POST", "/v1/piles", &twice, Some(r#"{"id":"P1"}"#))
        .await
        .problem(400, "idempotency-key-invalid");
    bench
        .post_with("/v1/piles", &"x".repeat(64), r#"{"id":"P1"}"#)
        .await
        .expect(201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_cannot_be_read_is_refused_with_the_place() {
    let bench = Bench::new().await;
    bench.member("m1", "100.00").await;
    let order = |change: &dyn Fn(&mut Value)| {
        let mut body = json!({ "member": "m1", "pile": "P1", "connector": 1, "prepay": "20.00", "until": {} });
        change(&mut body);
        body
    };
    type Change<'a> = &'a dyn Fn(&mut Value);
    let cases: [(Change<'_>, &str); 16] = [
        (&|body| body["prepay"] = json!("20.001"), "prepay"),
        (&|body| body["prepay"] = json!("-20.00"), "prepay"),
        (&|body| body["prepay"] = json!("0"), "prepay"),
        (&|body| body["prepay"] = json!("1e3"), "prepay"),
        (&|body| body["prepay"] = json!("NaN"), "prepay"),
        (&|body| body["prepay"] = json!(" 1"), "prepay"),
        (&|body| body["prepay"] = json!(true), "prepay"),
        (&|body| body["prepay"] = json!("99999999999999999999"), "prepay"),
        (&|body| body["until"]["kwh"] = json!("1.00001"), "until.kwh"),
        (&|body| body["until"]["kwh"] = json!("-1"), "until.kwh"),
        (&|body| body["until"]["fee"] = json!("1.005"), "until.fee"),
        (&|body| body["until"]["minutes"] = json!(0), "until.minutes"),
        (&|body| body["until"]["soc_pct"] = json!(101), "until.soc_pct"),
        (&|body| body["connector"] = json!(0), "connector"),
        (&|body| body["connector"] = json!("1"), "connector"),
        (&|body| body["member"] = json!("no spaces please"), "member"),
    ];
    for (change, path) in cases {
        let body = order(change);
        let problem = bench.post("/v1/orders", &body).await.problem(422, "invalid-body");
        assert_eq!(problem["path"], path, "{body}: {problem}");
    }
    let unknown = bench
        .post("/v1/orders", &order(&|body| body["colour"] = json!("red")))
        .await;
    assert!(
        unknown.problem(422, "invalid-body")["detail"]
            .as_str()
            .unwrap()
            .contains("colour")
    );
    let nested = bench
        .post("/v1/orders", &order(&|body| body["until"]["colour"] = json!("red")))
        .await;
    assert!(
        nested.problem(422, "invalid-body")["path"]
            .as_str()
            .unwrap()
            .starts_with("until")
    );
    let missing = bench.post("/v1/orders", &json!({ "member": "m1", "pile": "P1" })).await;
    assert!(
        missing.problem(422, "invalid-body")["detail"]
            .as_str()
            .unwrap()
            .contains("connector")
    );
    // Digits count: a number without quotes is read by them and never as a float.
    let exact = bench
        .post_with("/v1/members/m1/topups", "digits", r#"{"amount": 0.10, "receipt": "R"}"#)
        .await;
    assert_eq!(exact.expect(201)["allowance"], "100.10");
    let float = bench
        .post_with(
            "/v1/members/m1/topups",
            "float",
            r#"{"amount": 0.1000000000000001, "receipt": "R"}"#,
        )
        .await;
    assert_eq!(float.problem(422, "invalid-body")["path"], "amount");

    for broken in ["{", "{\"id\"", "{\"id\":nul}", "{\"id\":\"P1\"} {}", "{\u{1}}"] {
        bench
            .post_with("/v1/piles", &bench.key(), broken)
            .await
            .problem(400, "malformed-json");
    }
    for not_an_object in ["[]", "[\"P1\"]", "7", "\"x\"", "null", "\u{1}", " "] {
        bench
            .post_with("/v1/piles", &bench.key(), not_an_object)
            .await
            .problem(422, "invalid-body");
    }
    let deep = format!(r#"{{"id":"P1","x":{}"#, "[".repeat(10_000));
    let refused = bench.post_with("/v1/piles", &bench.key(), &deep).await;
    assert!([400, 422].contains(&refused.status), "{}", refused.text);
    let long = format!(r#"{{"id":"{}"}}"#, "x".repeat(256 * 1024));
    bench
        .post_with("/v1/piles", &bench.key(), &long)
        .await
        .problem(413, "body-too-large");
    let bearer = format!("Bearer {}", bench.admin);
    let form = [
        ("authorization", &*bearer),
        ("idempotency-key", "form"),
        ("content-type", "text/plain"),
    ];
    bench
        .raw("POST", "/v1/piles", &form, Some(r#"{"id":"P1"}"#))
        .await
        .problem(415, "not-json");
    let stop = bench.post("/v1/orders/x/stop", &json!({ "force": true })).await;
    assert!(
        stop.problem(422, "invalid-body")["detail"]
            .as_str()
            .unwrap()
            .contains("force")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_at_the_desk_is_checked_field_by_field() {
    let bench = Bench::new().await;
    bench.member("m1", "100.00").await;
    let cases = [
        (
            "/v1/members/m1/topups",
            json!({ "amount": "-1.00", "receipt": "R" }),
            "amount",
        ),
        (
            "/v1/members/m1/topups",
            json!({ "amount": "1.234", "receipt": "R" }),
            "amount",
        ),
        (
            "/v1/members/m1/topups",
            json!({ "amount": "0.00", "receipt": "R" }),
            "amount",
        ),
        (
            "/v1/members/m1/topups",
            json!({ "amount": "1.00", "receipt": " " }),
            "receipt",
        ),
        (
            "/v1/members/m1/payments",
            json!({ "amount": "-1.00", "from": "cash", "receipt": "R" }),
            "amount",
        ),
        (
            "/v1/members/m1/payments",
            json!({ "amount": "1.00", "from": "cash" }),
            "receipt",
        ),
        (
            "/v1/members/m1/payments",
            json!({ "amount": "1.00", "from": "card", "receipt": "R" }),
            "from",
        ),
        (
            "/v1/orders/x/refunds",
            json!({ "amount": "-0.01", "reason": "r" }),
            "amount",
        ),
        (
            "/v1/orders/x/refunds",
            json!({ "amount": "0.01", "reason": "" }),
            "reason",
        ),
        (
            "/v1/reviews/x/decision",
            json!({ "decision": { "corrected": { "electricity": "-1", "service": "0" } }, "reason": "r" }),
            "decision.corrected.electricity",
        ),
        (
            "/v1/reviews/x/decision",
            json!({ "decision": { "corrected": { "electricity": "1", "service": "0.001" } }, "reason": "r" }),
            "decision.corrected.service",
        ),
    ];
    for (path, body, field) in cases {
        let problem = bench.post(path, &body).await.problem(422, "invalid-body");
        assert_eq!(problem["path"], field, "{path} {body}: {problem}");
    }
    let much = bench
        .post(
            "/v1/members/m1/topups",
            &json!({ "amount": "10000000.01", "receipt": "R" }),
        )
        .await;
    assert_eq!(much.problem(422, "amount-too-large")["most"], "10000000.00");
    bench
        .put("/v1/members/m1/block", &json!({ "on": true }))
        .await
        .problem(422, "invalid-body");
    bench
        .put("/v1/members/bad%20id", &json!({ "name": "x" }))
        .await
        .problem(400, "invalid-url");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tariff_is_refused_with_every_fault_by_key() {
    let bench = Bench::new().await;
    let mut bad = tariff("t1", "2026-01-01T00:00:00+08:00");
    bad["prices"]["flat"]["electricity"] = json!("0.123456");
    bad["schedules"][0]["periods"][0]["to"] = json!("23:00");
    let verdict = bench.post("/v1/tariffs/validate", &bad).await.expect(200);
    assert_eq!(verdict["valid"], false);
    let paths: Vec<&str> = verdict["faults"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| f["path"].as_str().unwrap())
        .collect();
    assert!(
        paths.iter().any(|path| path.contains("electricity")) && paths.len() >= 2,
        "{verdict}"
    );
    let problem = bench.put("/v1/tariffs/t1", &bad).await.problem(422, "invalid-tariff");
    assert_eq!(problem["faults"], verdict["faults"]);
    bench.get("/v1/tariffs/in-force").await.problem(404, "no-tariff");

    let good = tariff("t1", "2026-01-01T00:00:00+08:00");
    assert_eq!(
        bench.post("/v1/tariffs/validate", &good).await.expect(200),
        json!({ "valid": true, "faults": [] })
    );
    assert_eq!(
        bench.put("/v1/tariffs/t2", &good).await.problem(422, "invalid-body")["path"],
        "id"
    );
    bench.put("/v1/tariffs/t1", &good).await.expect(200);
    bench.put("/v1/tariffs/t1", &good).await.expect(200);
    let mut other = good.clone();
    other["prices"]["flat"]["electricity"] = json!("0.70");
    bench.put("/v1/tariffs/t1", &other).await.problem(409, "tariff-exists");
    let past = tariff("t0", "2026-02-01T00:00:00+08:00");
    assert_eq!(
        bench
            .put("/v1/tariffs/t0", &past)
            .await
            .problem(422, "tariff-in-the-past")["path"],
        "effective_from"
    );
    let in_force = bench.get("/v1/tariffs/in-force").await.expect(200);
    assert_eq!(
        (&in_force["tariff"]["id"], &in_force["price"]["service"]),
        (&json!("t1"), &json!("0.25000"))
    );
    assert_eq!(
        in_force["today"],
        json!([{ "from": "00:00", "kind": "flat", "price_per_kwh": "0.85000" }])
    );
    assert_eq!(
        bench.get("/v1/tariffs/t1").await.expect(200)["time_zone"],
        "Asia/Shanghai"
    );
    bench.get("/v1/tariffs/t9").await.problem(404, "unknown-tariff");
    assert_eq!(bench.get("/v1/tariffs").await.expect(200)["in_force"], "t1");

    let toml = "id = \"t3\"\neffective_from = \"2027-01-01T00:00:00+08:00\"\ncurrency = \"CNY\"\n\
        [prices.flat]\nelectricity = \"0.5\"\nservice = \"0.1\"\n\
        [[schedules]]\nperiods = [{ from = \"00:00\", to = \"24:00\", kind = \"flat\" }]\n";
    let bearer = format!("Bearer {}", bench.admin);
    let headers = [("authorization", &*bearer), ("content-type", "application/toml")];
    bench
        .raw("PUT", "/v1/tariffs/t3", &headers, Some(toml))
        .await
        .expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paths_methods_and_queries_that_are_not_there_are_problems_too() {
    let bench = Bench::new().await;
    bench.get("/v2/orders").await.problem(404, "unknown-path");
    bench.delete("/v1/orders").await.problem(405, "wrong-method");
    bench.get("/v1/orders?limit=0").await.problem(400, "invalid-url");
    bench.get("/v1/orders?limit=201").await.problem(400, "invalid-url");
    bench.get("/v1/orders?cursor=abc").await.problem(400, "invalid-url");
    bench.get("/v1/orders?state=paid").await.problem(400, "invalid-url");
    bench.get("/v1/orders?color=red").await.problem(400, "invalid-url");
    bench.get("/v1/orders/no%2Fslash").await.problem(400, "invalid-url");
    bench.get("/v1/quarantine/x").await.problem(400, "invalid-url");
    bench
        .get("/v1/quarantine/7")
        .await
        .problem(404, "unknown-quarantine-item");
    bench.get("/v1/members/nobody").await.problem(404, "unknown-member");
    bench.get("/v1/cards/none").await.problem(404, "unknown-card");
    bench.get("/v1/live").await.problem(426, "not-a-websocket");
    for path in ["/healthz", "/readyz"] {
        assert_eq!(
            bench.raw("GET", path, &[], None).await.expect(200),
            json!({ "status": "ok" })
        );
    }
    let metrics = bench.get("/metrics").await;
    assert_eq!(metrics.status, 200);
    for line in [
        "# TYPE holdfast_commits_total counter",
        "holdfast_open_orders{state=\"CHARGING\"} 0",
        "holdfast_piles 0",
    ] {
        assert!(
            metrics.text.lines().any(|found| found == line),
            "{line}\n{}",
            metrics.text
        );
    }
    let station = bench.get("/v1/station").await.expect(200);
    assert_eq!(
        (&station["site"], &station["clock"]["trusted"]),
        (&json!(crate::bench::SITE), &json!(false))
    );
}
