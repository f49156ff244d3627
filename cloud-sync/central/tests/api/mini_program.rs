//! `docs/mini-program.md` is what is asked and answered: its examples are those of the day that this test plays.

use crate::{
    asked::{next_frame, watching},
    bench::{Bench, HOUR, kwh, order_id, yuan},
    cluster::Folder,
    inbox::one_order,
    office::{BEGIN, Office, Somebody},
    receiver::{SECRET, Server, header, plain},
    station::Journal,
};
use central::{
    desk::Clock,
    inbox::Delivery,
    store::{directives, identity, sites},
    webhook::{Secret, Webhook, believed},
};
use domain::{
    head_office::{DirectiveRow, HqEpoch},
    messages::CommandKind,
    order::State,
    policy::Policy,
    site::{Input, Told},
};
use serde_json::{Value, json};
use std::{collections::BTreeSet, sync::Arc};

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

    /// The same where numbers that are made by chance stand in the document as others.
    fn hold_named(&mut self, name: &str, served: &Value, chance: &[(&str, &str)]) {
        let mut text = served.to_string();
        for (made, named) in chance {
            text = text.replace(made, named);
        }
        self.hold(name, &serde_json::from_str(&text).unwrap());
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

/// A driver's day between a station and head office, whose books are written down as they move.
struct Day {
    office: Office,
    bench: Bench,
    epoch: HqEpoch,
    known: BTreeSet<String>,
    /// Numbers that are made by chance, and what the document has in their place.
    names: Vec<(String, &'static str)>,
    written: String,
}

impl Day {
    async fn new(office: Office) -> Self {
        let mut bench = Bench::new();
        let policy = Policy {
            head_office: true,
            site_number: Some(1),
            ..bench.site.policy().clone()
        };
        bench.restart_as(policy, false);
        for pile in ["P1", "P2", "P3"] {
            bench.connect(pile);
        }
        let identity = office.db.write(|tx| identity::of(tx, BEGIN)).await.unwrap();
        bench.ok(Input::HeadOfficeSeen(identity.hq_epoch));
        bench.ok(Input::Line(true));
        office.enter(&Journal::of(&bench, "s1")).await;
        let mut day = Self {
            office,
            bench,
            epoch: identity.hq_epoch,
            known: BTreeSet::new(),
            names: Vec::new(),
            written: String::new(),
        };
        day.up().await;
        let heard = day
            .office
            .db
            .write(|tx| sites::heard(tx, &"s1".parse().unwrap(), None, BEGIN));
        heard.await.unwrap();
        let before = day.moved().await;
        day.known.extend(before.into_iter().map(|(id, _)| id));
        day
    }

    /// What the station has journaled is at head office.
    async fn up(&self) {
        let journal = Journal::of(&self.bench, "s1");
        self.office.take(&journal, journal.batches(1)).await;
    }

    /// What head office has told the station comes there, and what it did goes up.
    async fn down(&mut self) {
        let epoch = self.epoch;
        let waiting = self.office.db.read(move |tx| {
            let site = "s1".parse().unwrap();
            let mut waiting = directives::waiting(tx, (&site, epoch), DirectiveRow::Others, 8)?;
            waiting.extend(directives::waiting(tx, (&site, epoch), DirectiveRow::Orders, 8)?);
            Ok(waiting)
        });
        for told in waiting.await.unwrap() {
            let at_most = Some(self.bench.now.wall.min(BEGIN));
            self.bench.ok(Input::Directive(Box::new(Told {
                directive: told.no,
                sha256: told.sha256(),
                content: Ok(told.directive().unwrap()),
                at_most,
            })));
        }
        self.up().await;
    }

    /// Every movement of the books, with its id.
    async fn moved(&self) -> Vec<(String, String)> {
        let rows = self.office.db.read(|tx| {
            let rows = tx.query(
                "SELECT id, debit, credit, amount, code FROM transfer ORDER BY at, id",
                &[],
            )?;
            rows.into_iter()
                .map(|mut row| {
                    let id = row.text(0)?;
                    let (debit, credit) = (row.text(1)?, row.text(2)?);
                    Ok((id, format!("{debit} → {credit}  {}  {}", row.int(3)?, row.text(4)?)))
                })
                .collect()
        });
        rows.await.unwrap()
    }

    /// What has moved since the step before, under this heading.
    async fn writes(&mut self, heading: &str) {
        self.written.push_str(heading);
        self.written.push('\n');
        for (id, line) in self.moved().await {
            if self.known.insert(id) {
                let line = self
                    .names
                    .iter()
                    .fold(line, |line, (number, name)| line.replace(number, name));
                self.written.push_str(&format!("    {line}\n"));
            }
        }
    }

    /// The member `w` is made, and pays 50.00 in through a channel.
    /// Returns what the back end was answered when it asked for the top-up.
    async fn pays_in(&self, back_end: &Somebody) -> Value {
        let put = json!({ "name": "Wang" });
        self.office
            .ask(back_end, "PUT", "/v1/members/w", Some(&put))
            .await
            .expect(204);
        let channel =
            json!({ "signs": "standard_webhooks", "secret": SECRET, "merchant": "1900000001", "fee_ppm": 6_000 });
        self.office
            .local("PUT", "/v1/channels/wechat", Some(&channel))
            .await
            .expect(200);
        let wanted = json!({ "channel": "wechat", "amount": "50.00" });
        let asked = self
            .office
            .post(back_end, "/v1/members/w/top-ups", &wanted)
            .await
            .expect(201);
        let paid = json!({
            "out_trade_no": asked["out_trade_no"], "transaction_id": "4200001", "amount": "50.00", "currency": "CNY", "status": "paid",
        });
        let at_s = BEGIN.0 / 1_000;
        let signature = Secret::of_text(SECRET)
            .unwrap()
            .signature("m1", at_s, &paid.to_string());
        let signed = Somebody::default()
            .with("webhook-id", "m1")
            .with("webhook-timestamp", &at_s.to_string())
            .with("webhook-signature", &signature);
        let path = "/v1/channels/wechat/callbacks";
        self.office.ask(&signed, "POST", path, Some(&paid)).await.expect(200);
        asked
    }

    /// An order through head office that charges `energy` from the register `from` on.
    async fn charges(&mut self, who: &Somebody, (name, prepay): (&'static str, &str), (from, energy): (&str, &str)) {
        let wanted = json!({ "site": "s1", "member": "w", "pile": "P1", "connector": 1, "prepay": prepay });
        let placed = self.office.post(who, "/v1/orders", &wanted).await.expect(202);
        let order = placed["order"].as_str().unwrap().to_owned();
        self.names.push((order.clone(), name));
        self.writes(&format!("order {name}: {prepay} are prepaid")).await;
        self.down().await;
        self.writes("the site has placed it").await;
        let (id, bench) = (order_id(&order), &mut self.bench);
        let command = bench.order(&id).commands[0].id.clone();
        bench.reply("P1", &command, true);
        let begun = bench.now;
        bench.charging("P1", &id);
        bench.pass(3 * HOUR);
        let to = kwh(from) + kwh(energy);
        bench.sim("P1").meter = to;
        let record = bench.record_since("P1", &id, begun, from, &to.to_string());
        bench.send_record("P1", &record);
        bench.idle("P1");
        self.up().await;
    }
}

pub(crate) async fn the_postings_of_the_document_are_what_a_drivers_day_moves(office: Office) {
    let back_end = office.machine("back-end", &["station"]).await;
    let service = office.machine("service", &["service"]).await;
    let mut day = Day::new(office).await;
    day.pays_in(&back_end).await;
    day.writes("top-up: the channel has called back, 50.00").await;

    let lease = json!({ "site": "s1", "amount": "10.00" });
    day.office
        .post(&back_end, "/v1/members/w/leases", &lease)
        .await
        .expect(202);
    day.writes("lease: 10.00 goes to s1").await;
    day.down().await;
    day.writes("the site has it").await;

    day.charges(&back_end, ("hq-1", "20.00"), ("1000", "3")).await;
    day.writes("it cost 3.00: the rest is back at once").await;

    day.charges(&back_end, ("hq-2", "5.00"), ("1003", "20")).await;
    day.writes("it cost 20.00: the hold, then what the member has there, then debt; the wallet pays at once")
        .await;
    day.down().await;
    day.writes("the site has that").await;
    let (_, order) = (day.names[1].1, order_id(&day.names[1].0));
    assert_eq!(day.bench.state(&order), State::Payed);

    let back = json!({ "amount": "2.00", "reason": "the pile had stopped twice" });
    let path = format!("/v1/sites/s1/orders/{}/refunds", day.names[0].0);
    day.office.post(&service, &path, &back).await.expect(202);
    day.writes("refund: 2.00 of hq-1 are approved").await;
    day.down().await;
    day.writes("the site has marked it").await;

    let wallet = day.office.get(&back_end, "/v1/members/w/wallet").await.expect(200);
    assert_eq!(yuan(wallet["balance"].as_str().unwrap()), yuan("29"), "50 − 3 − 20 + 2");
    assert_eq!(
        block("postings"),
        day.written,
        "docs/mini-program.md: served is\n{}",
        day.written
    );
}

/// Everything that a driver's mini-program does about an order, by the token that `docs/mini-program.md` has it made with.
pub(crate) async fn its_own_token_starts_an_order_reads_it_follows_it_and_stops_it(office: Office) {
    let back_end = office.machine("back-end", &["station"]).await;
    let mut day = Day::new(office).await;
    let mut differs = Differs::default();
    let topped_up = day.pays_in(&back_end).await;
    let out_trade_no = topped_up["out_trade_no"].as_str().unwrap().to_owned();
    differs.hold_named("top-up", &topped_up, &[(&out_trade_no, "hq-topup-1")]);
    let wallet = day.office.get(&back_end, "/v1/members/w/wallet").await.expect(200);
    differs.hold("wallet", &wallet);
    let wanted: Value = serde_json::from_str(&block("order-wanted")).unwrap();
    let placed = day.office.post(&back_end, "/v1/orders", &wanted).await.expect(202);
    let order = order_id(placed["order"].as_str().unwrap());
    let epoch = day.epoch.to_string();
    let named = [(order.as_str(), "hq-1"), (&epoch, "…")];
    differs.hold_named("order-sent", &placed, &named);
    day.down().await;
    let command = day.bench.order(&order).commands[0].id.clone();
    day.bench.reply("P1", &command, true);
    day.bench.charging("P1", &order);
    // The site has another, of its own member, of whom head office knows nothing else.
    let own = day.bench.place("m", "P2", "20");
    day.up().await;
    let path = format!("/v1/orders/{order}");
    let shown = day.office.get(&back_end, &path).await.expect(200);
    assert_eq!(shown["state"], "placed");
    differs.hold_named("order-placed", &shown, &named);
    let path = format!("/v1/sites/s1/orders/{order}");
    let shown = day.office.get(&back_end, &path).await.expect(200);
    assert_eq!(
        (&shown["id"], &shown["member"], &shown["state"]),
        (&json!(order.as_str()), &json!("w"), &json!("CHARGING"))
    );

    let s1 = "s1".parse().unwrap();
    let mut socket = watching(&day.office, &back_end, &s1, &order).await;
    let frame = json!({ "seq": 1, "order_id": order.as_str(), "state": "CHARGING" }).to_string();
    assert!(day.office.asks.hear_live(&s1, frame.as_bytes()));
    assert_eq!(next_frame(&mut socket).await, frame);

    let viewer = day.office.machine("viewer", &["viewer"]).await;
    let path_of_own = format!("/v1/sites/s1/orders/{own}");
    for path in [path_of_own.clone(), format!("{path_of_own}/live")] {
        let reply = day.office.get(&back_end, &path).await;
        reply.problem(404, "unknown-order");
    }
    let stop_own = format!("{path_of_own}/stop");
    let reply = day.office.post(&back_end, &stop_own, &json!({})).await;
    reply.problem(404, "unknown-order");
    let service = day.office.machine("service", &["service"]).await;
    day.office.post(&service, &stop_own, &json!({})).await.expect(202);
    day.office.get(&viewer, &path_of_own).await.expect(200);
    for path in [format!("{path}/bill"), format!("{path}/log"), "/v1/orders".to_owned()] {
        let reply = day.office.get(&back_end, &path).await;
        reply.problem(403, "role-too-low");
    }

    let stopped = day.office.post(&back_end, &format!("{path}/stop"), &json!({})).await;
    let stopped = stopped.expect(202);
    differs.hold_named("order-stopped", &stopped, &named);
    day.down().await;
    let wanted: Value = serde_json::from_str(&block("voucher-wanted")).unwrap();
    let voucher = day
        .office
        .post(&back_end, "/v1/members/w/vouchers", &wanted)
        .await
        .expect(201);
    let [text, id] = ["text", "id"].map(|key| voucher[key].as_str().unwrap().to_owned());
    differs.hold_named("voucher", &voucher, &[(&text, "…"), (&id, "v1")]);
    assert!(differs.0.is_empty(), "docs/mini-program.md\n{}", differs.0);
    let told: Vec<_> = day
        .bench
        .order(&order)
        .commands
        .iter()
        .map(|command| command.kind)
        .collect();
    assert_eq!(told, [CommandKind::Stop], "its pile is told");
}

#[test]
fn whatever_the_document_names_is_served_to_the_roles_that_it_says() {
    let served = serde_json::to_value(central::api::openapi()).unwrap();
    let (text, mut named) = (document(), 0);
    let mut asked = |what: &str, method: &str, path: &str, sentence: &str| {
        let operation = &served["paths"][path][method.to_ascii_lowercase()];
        assert!(
            operation.is_object(),
            "docs/mini-program.md names {what}, which is not served"
        );
        let ways = operation["security"].as_array().unwrap();
        let roles: BTreeSet<&str> = ways
            .iter()
            .filter_map(|way| way["bearer"].as_array())
            .flatten()
            .map(|role| role.as_str().unwrap())
            .collect();
        // Without a word about it, it is the back end's own, or everybody's.
        let said: Vec<&str> = match sentence.split_once("(role ") {
            None => vec!["station"],
            Some((_, rest)) => rest.split(')').next().unwrap().split('`').skip(1).step_by(2).collect(),
        };
        for role in said {
            assert!(
                ways.iter().any(|way| way == &json!({})) || roles.is_empty() || roles.contains(role),
                "docs/mini-program.md has the role {role} ask {what}, and it is for {roles:?}"
            );
        }
        named += 1;
    };
    for (at, _) in text.match_indices(" /v1/") {
        let rest = &text[at + 1..];
        let path = &rest[..rest
            .find(|c: char| c.is_whitespace() || "`?)|,;".contains(c))
            .unwrap_or(rest.len())];
        let method = text[..at].rsplit(|c: char| !c.is_ascii_uppercase()).next().unwrap();
        let path = path.trim_end_matches('.').replace("/members/w/", "/members/{member}/");
        // Up to the end of the sentence, in which its role is named if it is another.
        let sentence = rest.split(". ").next().unwrap().split("\n\n").next().unwrap();
        asked(&format!("{method} {path}"), method, &path, sentence);
        // What is named after it as only the end of a path.
        if path == "/v1/sites/{site}/orders/{order}" && sentence.contains("its `/live`") {
            asked("GET …/live", "GET", &format!("{path}/live"), sentence);
        }
    }
    assert!(named >= 20, "{named}");
}
