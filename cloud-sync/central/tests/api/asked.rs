//! What only a station knows: questions over the line, played by hand, and an order that somebody watches.

use crate::{
    office::{Office, Somebody},
    station::lived,
};
use central::asks::{Asks, NotAnswered};
use domain::ids::{OrderId, SiteId};
use futures_util::StreamExt;
use protocol::{
    read_through::{AnswerPart, Ask, PART_MAX, Question},
    topic::Kind,
};
use serde_json::{Value, json};
use std::{
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest};

fn site(id: &str) -> SiteId {
    SiteId::new(id).unwrap()
}

/// The next question that goes to a site.
pub(crate) async fn asked(office: &Office) -> (SiteId, Ask) {
    loop {
        let next = {
            let mut frames = office.sent.frames.lock().unwrap();
            let at = frames.iter().position(|(_, kind, _)| *kind == Kind::Ask);
            at.map(|at| frames.remove(at))
        };
        if let Some((site, _, payload)) = next {
            return (site, serde_json::from_slice(&payload).unwrap());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A station answers the next question with this, if it is the one that is expected.
pub(crate) async fn answer(office: &Office, expected: &Question, status: u16, body: &[u8]) {
    let (from, ask) = asked(office).await;
    assert_eq!(ask.what, *expected);
    for part in AnswerPart::split(ask.id, status, body).unwrap() {
        assert!(office.asks.hear(&from, &part.to_bytes()));
    }
}

pub(crate) async fn a_station_is_asked_and_its_answer_is_passed_on(office: Office) {
    let lived = lived();
    office.follow(&lived.journal("s1")).await;
    let reader = office.machine("reader", &["viewer"]).await;
    let order = &lived.paid[0];
    for (path, question) in [
        ("/v1/sites/s1/station".to_owned(), Question::Station),
        ("/v1/sites/s1/balance-sheet".to_owned(), Question::BalanceSheet),
        (
            format!("/v1/sites/s1/orders/{order}/curve"),
            Question::Curve { order: order.clone() },
        ),
    ] {
        let text = json!({ "what": path, "filling": "x".repeat(2 * PART_MAX) }).to_string();
        let (reply, ()) = tokio::join!(
            office.get(&reader, &path),
            answer(&office, &question, 200, text.as_bytes())
        );
        assert_eq!(reply.headers["content-type"], "application/json");
        assert_eq!(reply.text, text);
        // What a station refuses is told in its words, and what is no JSON is not passed on.
        let refusal = json!({ "type": "urn:holdfast:problem:x", "title": "X", "status": 404, "detail": "it is gone" });
        let refusal = refusal.to_string();
        let (reply, ()) = tokio::join!(
            office.get(&reader, &path),
            answer(&office, &question, 404, refusal.as_bytes())
        );
        let problem = reply.problem(404, "unknown-at-site");
        assert!(problem["detail"].as_str().unwrap().contains("it is gone"));
        assert_eq!((&problem["site"], &problem["site_status"]), (&json!("s1"), &json!(404)));
        for (status, body, told, code) in [
            (503, "{\"detail\":\"later\"}", 503, "site-busy"),
            (413, "", 502, "site-refused"),
            (200, "<script>", 502, "site-refused"),
        ] {
            let (reply, ()) = tokio::join!(
                office.get(&reader, &path),
                answer(&office, &question, status, body.as_bytes())
            );
            reply.problem(told, code);
        }
    }
}

pub(crate) async fn a_site_that_is_away_or_unknown_is_said_to_be(office: Office) {
    let lived = lived();
    office.follow(&lived.journal("s1")).await;
    let reader = office.machine("reader", &["viewer"]).await;
    office.sent.is_away.store(true, Ordering::SeqCst);
    let away = office.get(&reader, "/v1/sites/s1/station").await;
    assert!(away.headers.contains_key("retry-after"));
    let away = away.problem(503, "site-away");
    assert!(away["detail"].as_str().unwrap().contains("GET /v1/sites/s1"), "{away}");
    office
        .get(&reader, "/v1/sites/s9/station")
        .await
        .problem(404, "unknown-site");
    office
        .get(&reader, "/v1/sites/s1/orders/nobodys/curve")
        .await
        .problem(404, "unknown-order");
    assert_eq!(office.asks.counts(), (0, 0));
}

/// An open WebSocket.
pub(crate) type Socket = tokio_tungstenite::WebSocketStream<tokio::net::TcpStream>;

/// Somebody watches an order, and its site is told so.
pub(crate) async fn watching(office: &Office, who: &Somebody, site: &SiteId, order: &OrderId) -> Socket {
    let mut request = format!("ws://{}/v1/sites/{site}/orders/{order}/live", office.address)
        .into_client_request()
        .unwrap();
    let token = who.0[0].1.trim_start_matches("Bearer ");
    let protocols = format!("bearer, {token}");
    request
        .headers_mut()
        .insert("sec-websocket-protocol", protocols.parse().unwrap());
    let stream = tokio::net::TcpStream::connect(office.address).await.unwrap();
    let (socket, _) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    loop {
        let told = office
            .sent
            .frames
            .lock()
            .unwrap()
            .iter()
            .any(|(to, kind, payload)| to == site && *kind == Kind::Watch && payload == order.as_str().as_bytes());
        if told {
            return socket;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The next that it is shown.
pub(crate) async fn next_frame(socket: &mut Socket) -> String {
    loop {
        match socket.next().await.unwrap().unwrap() {
            Message::Text(text) => return text.to_string(),
            Message::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) async fn whoever_watches_an_order_sees_its_newest_frame_while_they_do(office: Office) {
    let lived = lived();
    office.follow(&lived.journal("s1")).await;
    let reader = office.machine("board", &["viewer"]).await;
    let (s1, order) = (site("s1"), lived.open.clone());
    let frame = |seq: u64| json!({ "seq": seq, "order_id": order.as_str(), "state": "CHARGING" }).to_string();
    assert!(!office.asks.hear_live(&s1, frame(1).as_bytes()), "nobody watches");
    let mut socket = watching(&office, &reader, &s1, &order).await;
    assert!(
        !office.asks.hear_live(&site("s2"), frame(1).as_bytes()),
        "another site's"
    );
    assert!(!office.asks.hear_live(&s1, br#"{"seq":1,"order_id":"other"}"#));
    assert!(!office.asks.hear_live(&s1, b"nonsense"));
    for seq in [2, 3] {
        assert!(office.asks.hear_live(&s1, frame(seq).as_bytes()));
        let shown = next_frame(&mut socket).await;
        assert_eq!(shown, frame(seq));
    }
    assert_eq!(office.asks.counts(), (0, 1));
    socket.close(None).await.unwrap();
    while office.asks.counts() != (0, 0) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    office
        .get(&reader, &format!("/v1/sites/s1/orders/{order}/live"))
        .await
        .problem(426, "not-a-websocket");
    office
        .get(&reader, "/v1/sites/s1/orders/nobodys/live")
        .await
        .problem(404, "unknown-order");
}

type Frames = Arc<Mutex<Vec<(SiteId, Ask)>>>;

/// Questions alone, and what was asked.
fn asks() -> (Arc<Asks>, Frames) {
    let frames = Frames::default();
    let catch = Arc::clone(&frames);
    let asks = Asks::new(move |site, kind, payload| {
        assert_eq!(kind, Kind::Ask);
        catch
            .lock()
            .unwrap()
            .push((site.clone(), serde_json::from_slice(&payload).unwrap()));
        true
    });
    (Arc::new(asks.unwrap()), frames)
}

#[tokio::test]
async fn whoever_gets_no_answer_is_told_and_the_answer_that_comes_after_it_is_nobodys() {
    let (asks, frames) = asks();
    let silent = asks
        .get(&site("s1"), None, Question::Station, Duration::from_millis(1))
        .await;
    assert_eq!(silent, Err(NotAnswered::Silent));
    assert_eq!(asks.counts(), (0, 0));
    let id = frames.lock().unwrap()[0].1.id;
    let late = AnswerPart::split(id, 200, b"{}").unwrap();
    assert!(!asks.hear(&site("s1"), &late[0].to_bytes()));
}

#[tokio::test]
async fn questions_are_bounded_for_each_site_and_a_caller_who_goes_away_takes_theirs_back() {
    let (asks, frames) = asks();
    let long = Duration::from_secs(600);
    let mut waiting = Vec::new();
    for _ in 0..4 {
        let asks = Arc::clone(&asks);
        waiting.push(tokio::spawn(async move {
            asks.get(&site("s1"), None, Question::Station, long).await
        }));
    }
    while frames.lock().unwrap().len() < 4 {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        asks.get(&site("s1"), None, Question::Station, long).await,
        Err(NotAnswered::Busy)
    );
    waiting.pop().unwrap().abort();
    while asks.counts().0 == 4 {
        tokio::task::yield_now().await;
    }
    let other = Arc::clone(&asks);
    waiting.push(tokio::spawn(async move {
        other.get(&site("s2"), None, Question::Station, long).await
    }));
    while frames.lock().unwrap().len() < 5 {
        tokio::task::yield_now().await;
    }
    // Each gets its own answer, whatever order they come in.
    let asked: Vec<(SiteId, Ask)> = frames.lock().unwrap().clone();
    let mut answers = 0;
    for (site, ask) in asked.into_iter().rev() {
        let body = ask.id.to_string();
        for part in AnswerPart::split(ask.id, 200, body.as_bytes()).unwrap() {
            answers += usize::from(asks.hear(&site, &part.to_bytes()));
        }
    }
    assert_eq!(answers, 4, "that of the caller who went away is nobody's");
    for task in waiting {
        assert_eq!(task.await.unwrap().unwrap().status, 200);
    }
    assert_eq!(asks.counts(), (0, 0));
}

#[tokio::test]
async fn one_caller_has_two_questions_and_some_are_kept_for_head_office_itself() {
    let (asks, frames) = asks();
    let mut waiting = Vec::new();
    let mut ask = |by: Option<String>, at: &str| {
        let (asks, at) = (Arc::clone(&asks), site(at));
        waiting.push(tokio::spawn(async move {
            asks.get(&at, by.as_deref(), Question::Station, Duration::from_secs(600))
                .await
        }));
    };
    for n in 0..7 {
        ask(Some(format!("caller {n}")), &format!("s{n}"));
        ask(Some(format!("caller {n}")), &format!("t{n}"));
    }
    let asked = async |count| {
        while frames.lock().unwrap().len() < count {
            tokio::task::yield_now().await;
        }
    };
    asked(14).await;
    let more = async |by: Option<&str>| {
        asks.get(&site("more"), by, Question::Station, Duration::from_secs(600))
            .await
    };
    assert_eq!(more(Some("caller 3")).await, Err(NotAnswered::CallerBusy));
    assert_eq!(more(Some("another")).await, Err(NotAnswered::Busy));
    ask(None, "s0");
    ask(None, "s1");
    asked(16).await;
    assert_eq!(more(None).await, Err(NotAnswered::Busy));
    for task in waiting {
        task.abort();
    }
}

#[tokio::test]
async fn parts_come_in_any_order_and_what_contradicts_them_is_dropped() {
    let (asks, frames) = asks();
    let body: Vec<u8> = (0..2 * PART_MAX + 5).map(|n| (n % 251) as u8).collect();
    let waiting = {
        let asks = Arc::clone(&asks);
        tokio::spawn(async move {
            asks.get(&site("s1"), None, Question::Station, Duration::from_secs(600))
                .await
        })
    };
    while frames.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    let id = frames.lock().unwrap()[0].1.id;
    let parts = AnswerPart::split(id, 200, &body).unwrap();
    assert!(!asks.hear(&site("s2"), &parts[0].to_bytes()), "nobody asked that site");
    assert!(asks.hear(&site("s1"), &parts[2].to_bytes()));
    let other = AnswerPart {
        status: 404,
        ..parts[0].clone()
    };
    assert!(!asks.hear(&site("s1"), &other.to_bytes()));
    let other = AnswerPart {
        parts: 4,
        ..parts[0].clone()
    };
    assert!(!asks.hear(&site("s1"), &other.to_bytes()));
    assert!(!asks.hear(&site("s1"), b"nonsense"));
    for part in [&parts[0], &parts[0], &parts[1]] {
        assert!(asks.hear(&site("s1"), &part.to_bytes()));
    }
    assert_eq!(waiting.await.unwrap().unwrap().body, body);
    assert_eq!(Value::from(asks.counts().0), 0);
}

#[tokio::test]
async fn an_answer_whose_line_is_cut_between_its_parts_is_none_and_asked_again_it_is_whole() {
    let (asks, frames) = asks();
    let body: Vec<u8> = (0..2 * PART_MAX + 5).map(|n| (n % 251) as u8).collect();
    // The question that comes next.
    let next = async || {
        loop {
            if let Some((_, ask)) = frames.lock().unwrap().pop() {
                return ask.id;
            }
            tokio::task::yield_now().await;
        }
    };
    let parts_of = |id: u64| AnswerPart::split(id, 200, &body).unwrap();
    for arrived in 0..3 {
        let site = site("s1");
        let get = asks.get(&site, None, Question::Station, Duration::from_secs(300));
        let cut = async {
            let parts = parts_of(next().await);
            for part in &parts[..arrived] {
                assert!(asks.hear(&site, &part.to_bytes()));
            }
            parts
        };
        // Whoever asked gives up: no more comes.
        let parts = tokio::select! {
            biased;
            answer = get => panic!("{arrived} parts came: {answer:?}"),
            parts = cut => parts,
        };
        assert_eq!(asks.counts(), (0, 0), "nothing of it is kept");
        for part in &parts[arrived..] {
            assert!(!asks.hear(&site, &part.to_bytes()), "it is nobody's any more");
        }
        let again = asks.get(&site, None, Question::Station, Duration::from_secs(300));
        let whole = async {
            let id = next().await;
            assert_ne!(id, parts[0].id);
            for part in parts_of(id) {
                assert!(asks.hear(&site, &part.to_bytes()));
            }
        };
        let (answer, ()) = tokio::join!(again, whole);
        assert_eq!(answer.unwrap().body, body);
    }
}
