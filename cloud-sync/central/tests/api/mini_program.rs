//! `docs/mini-program.md` is what is asked and answered: its examples are those of the day that this test plays.

use crate::{
    cluster::Folder,
    inbox::one_order,
    office::{BEGIN, Office},
    receiver::{SECRET, Server, header, plain},
    station::Journal,
};
use central::{
    desk::Clock,
    inbox::delivery::Delivery,
    store::sites,
    webhook::{Webhook, believed},
};
use serde_json::Value;
use std::sync::Arc;

fn document() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/mini-program.md");
    std::fs::read_to_string(path).unwrap()
}

/// The block of code after the mark `<!-- name -->`.
fn block(name: &str) -> String {
    let text = document();
    let mark = format!("<!-- {name} -->\n```");
    let at = text
        .find(&mark)
        .unwrap_or_else(|| panic!("docs/mini-program.md has no {mark}"));
    let (_, code) = text[at + mark.len()..].split_once('\n').unwrap();
    code[..code.find("```").unwrap()].to_owned()
}

/// Where an example of the document is not what is served: all of that at once, so that it can be put right at once.
#[derive(Default)]
struct Differs(String);

impl Differs {
    fn note(&mut self, name: &str, served: &str) {
        self.0.push_str(&format!("--- {name}: served is\n{served}\n"));
    }

    fn hold(&mut self, name: &str, served: &Value) {
        if serde_json::from_str::<Value>(&block(name)).ok().as_ref() != Some(served) {
            self.note(name, &served.to_string());
        }
    }
}

pub(crate) async fn the_examples_of_the_document_are_what_is_asked_and_answered(office: Office) {
    let (server, folder) = (Server::start(None).await, Folder::new("mini-program"));
    let secret = folder.path().join("secret");
    std::fs::write(&secret, SECRET).unwrap();
    let delivery = Delivery {
        db: office.db.clone(),
        clock: Arc::clone(&office.clock) as Arc<dyn Clock>,
        webhook: Webhook::open(&plain(&server), &secret, believed(None).unwrap()).unwrap(),
        tried_ms: 3 * 86_400_000,
    };
    delivery.begin().await.unwrap();
    let site = one_order();
    office.follow(&Journal::of(&site.bench, "s1")).await;
    let heard = office
        .db
        .write(|tx| sites::heard(tx, &"s1".parse().unwrap(), None, BEGIN.after_ms(-12_000)));
    heard.await.unwrap();
    let back_end = office.machine("back-end", &["station"]).await;

    let mut differs = Differs::default();
    let stations = office.get(&back_end, "/v1/stations").await.expect(200);
    differs.hold("stations", &stations);
    let inbox = office.get(&back_end, "/v1/members/w/inbox?after=2").await.expect(200);
    differs.hold("inbox", &inbox);

    let inbox = office.all(&back_end, "/v1/members/w/inbox", 50).await;
    let started = inbox.iter().find(|event| event["kind"] == "charging_started").unwrap();
    server.heard.answer_to(started["id"].as_str().unwrap(), 410);
    assert_eq!(delivery.look().await, Ok(3));
    let came = server.heard.came();
    let (headers, body) = came.last().unwrap();
    differs.hold("webhook", &serde_json::from_str(body).unwrap());
    let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
    let lines = names.map(|name| format!("{name}: {}", header(headers, name)));
    if block("headers").lines().ne(lines.iter().map(String::as_str)) {
        differs.note("headers", &lines.join("\n"));
    }
    assert!(document().contains(SECRET), "what the example is signed with");

    let service = office.machine("service", &["service"]).await;
    differs.hold("dead", &office.get(&service, "/v1/webhooks/dead").await.expect(200));
    assert!(differs.0.is_empty(), "docs/mini-program.md\n{}", differs.0);
}

#[test]
fn whatever_the_document_names_is_served() {
    let served = serde_json::to_value(central::api::openapi()).unwrap();
    let (text, mut named) = (document(), 0);
    for (at, _) in text.match_indices(" /v1/") {
        let rest = &text[at + 1..];
        let path = &rest[..rest
            .find(|c: char| c.is_whitespace() || "`?)|,;".contains(c))
            .unwrap_or(rest.len())];
        let method = text[..at].rsplit(|c: char| !c.is_ascii_uppercase()).next().unwrap();
        let path = path.trim_end_matches('.').replace("/members/w/", "/members/{member}/");
        let operation = &served["paths"][&path][method.to_ascii_lowercase()];
        assert!(
            operation.is_object(),
            "docs/mini-program.md names {method} {path}, which is not served"
        );
        named += 1;
    }
    assert!(named >= 6, "{named}");
}
