//! A real server, the mini-program's back end, is told what members are told: each member's events in their order, until it has
//! taken them or a person must look.

use crate::{
    place::{BEGIN, Home, count, on_both},
    receiver::{NEVER, SECRET, Server, header, plain, plain_at},
};
use central::{
    config::WebhookAddress,
    desk::Clock,
    inbox::Delivery,
    store::{
        Db,
        inbox::{self, DeadLetter, Event},
    },
    webhook::{Secret, Webhook, believed},
};
use domain::{ids::MemberId, time::Wall};
use serde_json::{Value, json};
use std::{path::Path, sync::Arc, time::Duration};
use tokio::net::TcpSocket;

on_both! {
    each_members_events_come_in_their_order_signed_and_with_the_id_that_they_have_in_the_inbox
    several_that_tell_one_member_at_once_leave_no_gap_and_what_was_told_is_not_told_again
    a_back_end_that_is_down_for_a_day_is_told_everything_in_order_when_it_is_back
    a_back_end_that_does_not_answer_is_told_again
    what_is_told_while_another_members_event_gets_no_answer_does_not_wait_for_it
    a_redirect_is_not_followed_and_what_was_redirected_is_a_dead_letter
    nothing_is_sent_into_a_private_network_unless_that_is_configured
    an_event_that_is_answered_500_holds_up_its_member_and_nobody_else
    what_is_not_taken_in_time_is_a_dead_letter_and_the_next_is_sent
    a_dead_letter_is_sent_again_when_a_person_asks_and_holds_up_nobody
    of_two_processes_one_sends_an_event_and_what_a_killed_one_had_is_sent_by_another
    of_what_was_before_there_was_a_back_end_it_is_told_nothing
    what_was_told_long_ago_is_forgotten_but_for_what_waits
}

const MINUTE: i64 = 60_000;
const DAY: i64 = 86_400_000;
/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

fn webhook(home: &Home, address: &WebhookAddress, authority: Option<&Path>) -> Webhook {
    let secret = home.put("secret", SECRET);
    Webhook::open(address, &secret, believed(authority).unwrap()).unwrap()
}

/// A process that tells the back end, of everything from now on.
async fn telling(home: &Home, db: &Db, webhook: Webhook) -> Delivery {
    let delivery = Delivery {
        db: db.clone(),
        clock: Arc::clone(&home.clock) as Arc<dyn Clock>,
        webhook,
        tried_ms: 3 * DAY,
    };
    delivery.begin().await.unwrap();
    delivery
}

fn event(member: &str, id: &str) -> Event {
    Event {
        member: member.parse().unwrap(),
        id: id.to_owned(),
        kind: "settled".to_owned(),
        body: json!({ "n": id }).to_string(),
    }
}

/// Members are told these things; how many were new.
async fn tell(db: &Db, now: Wall, told: &[(&str, &str)]) -> usize {
    let events = told.iter().map(|(member, id)| event(member, id)).collect();
    db.write(move |tx| inbox::tell_all(tx, events, now)).await.unwrap()
}

async fn dead(db: &Db) -> Vec<DeadLetter> {
    let page = db.read(|tx| inbox::dead_letters(tx, None, None, 100));
    page.await.unwrap().items
}

async fn each_members_events_come_in_their_order_signed_and_with_the_id_that_they_have_in_the_inbox(home: Home) {
    let db = home.open().await;
    let (tls, authority) = home.tls();
    let server = Server::start(Some(&tls)).await;
    let address = WebhookAddress::Https {
        host: "127.0.0.1".to_owned(),
        port: server.address.port(),
        path: "/told".to_owned(),
    };
    let delivery = telling(&home, &db, webhook(&home, &address, Some(&authority))).await;
    let mut all = Vec::new();
    for n in 0..40 {
        for member in ["ann", "bob", "cho"] {
            all.push((member, format!("{member}:0:{n}")));
        }
    }
    let told: Vec<(&str, &str)> = all.iter().map(|(member, id)| (*member, id.as_str())).collect();
    assert_eq!(tell(&db, BEGIN, &told).await, 120);
    assert_eq!(delivery.look().await, Ok(120));
    assert_eq!(delivery.look().await, Ok(0), "once");
    let (came, secret) = (server.heard.came(), Secret::of_text(SECRET).unwrap());
    assert_eq!(came.len(), 120);
    for member in ["ann", "bob", "cho"] {
        let of = member.parse::<MemberId>().unwrap();
        let listed = db.read(move |tx| inbox::list(tx, &of, &inbox::Filter::default(), None, 100));
        let listed = listed.await.unwrap().items;
        let of_member = came
            .iter()
            .filter(|(_, body)| body.contains(&format!("\"member\":\"{member}\"")));
        for ((headers, body), told) in of_member.zip(listed.iter().rev()) {
            let body: Value = serde_json::from_str(body).unwrap();
            assert_eq!(body["type"], "inbox.settled");
            let id = header(headers, "webhook-id");
            assert_eq!((id, &body["data"]["id"]), (told.event.id.as_str(), &json!(id)));
            assert_eq!(body["data"]["seq"], told.seq);
            assert_eq!(body["data"]["body"], json!({ "n": id }));
        }
        assert_eq!(
            listed.iter().rev().map(|told| told.seq).collect::<Vec<_>>(),
            (1..=40).collect::<Vec<_>>()
        );
    }
    for (headers, body) in &came {
        let (id, at) = (header(headers, "webhook-id"), header(headers, "webhook-timestamp"));
        let signature = secret.signature(id, at.parse().unwrap(), body);
        assert_eq!(header(headers, "webhook-signature"), signature);
        assert_eq!(at, (BEGIN.0 / 1_000).to_string());
    }
}

async fn several_that_tell_one_member_at_once_leave_no_gap_and_what_was_told_is_not_told_again(home: Home) {
    let processes = [home.open().await, home.open().await, home.open().await];
    for round in 0..20 {
        let own = ["a", "b", "c"].map(|process| format!("{process}:0:{round}"));
        let all: Vec<[(&str, &str); 3]> = own
            .iter()
            .map(|id| [("ann", id.as_str()), ("bob", "x"), ("bob", "x")])
            .collect();
        let (one, two, three) = tokio::join!(
            tell(&processes[0], BEGIN, &all[0][..1]),
            tell(&processes[1], BEGIN, &all[1][..1]),
            tell(&processes[2], BEGIN, &all[2][..1]),
        );
        assert_eq!(one + two + three, 3);
        assert_eq!(tell(&processes[0], BEGIN, &all[1]).await, usize::from(round == 0));
    }
    let of = async |member: &str| -> Vec<u64> {
        let member = member.parse::<MemberId>().unwrap();
        let listed = processes[0].read(move |tx| inbox::list(tx, &member, &inbox::Filter::default(), None, 200));
        listed.await.unwrap().items.iter().rev().map(|told| told.seq).collect()
    };
    assert_eq!(of("ann").await, (1..=60).collect::<Vec<_>>());
    assert_eq!(of("bob").await, [1]);
    let member = "bob".parse().unwrap();
    let again = processes[1].write(move |tx| inbox::tell(tx, &member, "settled", "x", &json!({}), BEGIN));
    assert_eq!(again.await, Ok(false));
}

async fn a_back_end_that_is_down_for_a_day_is_told_everything_in_order_when_it_is_back(home: Home) {
    let db = home.open().await;
    // Its port is taken, and nobody listens: a connection is refused.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let delivery = telling(
        &home,
        &db,
        webhook(&home, &plain_at(socket.local_addr().unwrap()), None),
    )
    .await;
    tell(&db, BEGIN, &[("ann", "a1"), ("ann", "a2"), ("bob", "b1")]).await;
    for _ in 0..96 {
        assert_eq!(delivery.look().await, Ok(0));
        home.pass(15 * MINUTE);
    }
    tell(&db, home.clock.wall(), &[("ann", "a3")]).await;
    assert_eq!(
        count(&db, "SELECT tries FROM inbox_member WHERE member = 'ann'").await,
        96
    );
    assert_eq!(dead(&db).await, []);
    let server = Server::at(socket.listen(16).unwrap(), None);
    assert_eq!(delivery.look().await, Ok(4));
    let of_ann: Vec<String> = server
        .heard
        .ids()
        .into_iter()
        .filter(|id| id.starts_with('a'))
        .collect();
    assert_eq!(of_ann, ["a1", "a2", "a3"]);
}

async fn a_back_end_that_does_not_answer_is_told_again(home: Home) {
    let db = home.open().await;
    let server = Server::start(None).await;
    let hook = webhook(&home, &plain(&server), None).within(Duration::from_millis(50));
    let delivery = telling(&home, &db, hook).await;
    tell(&db, BEGIN, &[("ann", "a1"), ("ann", "a2")]).await;
    server.heard.answer(NEVER);
    assert_eq!(delivery.look().await, Ok(0));
    assert_eq!(delivery.look().await, Ok(0), "not before its time");
    assert_eq!(server.heard.ids(), ["a1"]);
    home.pass(5_000);
    assert_eq!(delivery.look().await, Ok(0));
    home.pass(19_999);
    assert_eq!(delivery.look().await, Ok(0), "the pause has grown");
    assert_eq!(server.heard.ids(), ["a1", "a1"]);
    server.heard.answer(200);
    home.pass(1);
    let patient = telling(&home, &db, webhook(&home, &plain(&server), None)).await;
    assert_eq!(patient.look().await, Ok(2));
    assert_eq!(server.heard.ids(), ["a1", "a1", "a1", "a2"]);
}

async fn what_is_told_while_another_members_event_gets_no_answer_does_not_wait_for_it(home: Home) {
    let db = home.open().await;
    let server = Server::start(None).await;
    // It is given up long after the test has.
    let hook = webhook(&home, &plain(&server), None).within(20 * PATIENCE);
    let delivery = telling(&home, &db, hook).await;
    server.heard.answer_to("a1", NEVER);
    tell(&db, BEGIN, &[("ann", "a1")]).await;
    let hears = &server.heard;
    let heard = |ids: &'static [&'static str]| async move {
        while hears.ids() != ids {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let others = async {
        heard(&["a1"]).await;
        tell(&db, BEGIN, &[("bob", "b1")]).await;
        heard(&["a1", "b1"]).await;
    };
    let told = async {
        tokio::select! {
            looked = delivery.look() => panic!("nobody answered: {looked:?}"),
            () = others => {}
        }
    };
    tokio::time::timeout(PATIENCE, told)
        .await
        .expect("bob is told meanwhile");
}

async fn a_redirect_is_not_followed_and_what_was_redirected_is_a_dead_letter(home: Home) {
    let db = home.open().await;
    let (server, elsewhere) = (Server::start(None).await, Server::start(None).await);
    let delivery = telling(&home, &db, webhook(&home, &plain(&server), None)).await;
    server.heard.redirect_to(&format!("http://{}/told", elsewhere.address));
    for (n, status) in (0..).zip([301, 302, 307, 308]) {
        server.heard.answer_to(&format!("a{n}"), status);
        tell(&db, BEGIN, &[("ann", &format!("a{n}"))]).await;
    }
    tell(&db, BEGIN, &[("ann", "a4")]).await;
    assert_eq!(delivery.look().await, Ok(1), "the next one is sent");
    assert_eq!(server.heard.ids(), ["a0", "a1", "a2", "a3", "a4"]);
    assert_eq!(elsewhere.heard.ids(), Vec::<String>::new());
    let dead = dead(&db).await;
    assert_eq!(dead.len(), 4);
    assert!(
        dead.iter()
            .all(|dead| dead.why.contains("a redirect, which is not followed") && dead.tries == 1)
    );
}

async fn nothing_is_sent_into_a_private_network_unless_that_is_configured(home: Home) {
    let db = home.open().await;
    let (tls, authority) = home.tls();
    let (server, secure) = (Server::start(None).await, Server::start(Some(&tls)).await);
    // By its address, and by a name that leads there.
    let by_name = WebhookAddress::Https {
        host: "localhost".to_owned(),
        port: secure.address.port(),
        path: "/told".to_owned(),
    };
    for (n, address) in (0..).zip([plain(&server), by_name.clone()]) {
        let hook = webhook(&home, &address, Some(&authority)).on_the_internet_alone();
        let delivery = telling(&home, &db, hook).await;
        tell(&db, BEGIN, &[("ann", &format!("a{n}"))]).await;
        assert_eq!(delivery.look().await, Ok(0));
    }
    assert_eq!((server.heard.came().len(), secure.heard.came().len()), (0, 0));
    let dead = dead(&db).await;
    assert_eq!(dead.len(), 2);
    for dead in dead {
        assert!(
            dead.why.contains("inside of a private network: set `allow_private`"),
            "{}",
            dead.why
        );
    }
    tell(&db, BEGIN, &[("ann", "a2")]).await;
    let delivery = telling(&home, &db, webhook(&home, &by_name, Some(&authority))).await;
    assert_eq!(delivery.look().await, Ok(1));
    assert_eq!(secure.heard.ids(), ["a2"]);
}

async fn an_event_that_is_answered_500_holds_up_its_member_and_nobody_else(home: Home) {
    let db = home.open().await;
    let server = Server::start(None).await;
    let delivery = telling(&home, &db, webhook(&home, &plain(&server), None)).await;
    server.heard.answer_to("a1", 500);
    tell(
        &db,
        BEGIN,
        &[("ann", "a1"), ("ann", "a2"), ("bob", "b1"), ("bob", "b2")],
    )
    .await;
    assert_eq!(delivery.look().await, Ok(2));
    for _ in 0..10 {
        home.pass(15 * MINUTE);
        tell(&db, home.clock.wall(), &[("bob", &format!("b{}", home.clock.wall().0))]).await;
        assert_eq!(delivery.look().await, Ok(1), "bob's, and not the second of ann's");
    }
    let of_ann = || {
        server
            .heard
            .ids()
            .into_iter()
            .filter(|id| id.starts_with('a'))
            .collect::<Vec<_>>()
    };
    assert_eq!(of_ann(), vec!["a1"; 11]);
    server.heard.answer_to("a1", 200);
    home.pass(15 * MINUTE);
    assert_eq!(delivery.look().await, Ok(2));
    assert_eq!(of_ann()[11..], ["a1", "a2"]);
}

async fn what_is_not_taken_in_time_is_a_dead_letter_and_the_next_is_sent(home: Home) {
    let db = home.open().await;
    let server = Server::start(None).await;
    let mut delivery = telling(&home, &db, webhook(&home, &plain(&server), None)).await;
    delivery.tried_ms = DAY;
    // Head office itself was down for long: that is no time in which it was tried.
    tell(&db, BEGIN, &[("ann", "a1"), ("ann", "a2")]).await;
    home.pass(10 * DAY);
    server.heard.answer_to("a1", 503);
    let mut looks = 0;
    while dead(&db).await.is_empty() {
        let taken = delivery.look().await.unwrap();
        looks += 1;
        assert_eq!(taken, usize::from(looks == 97), "look {looks}");
        home.pass(15 * MINUTE);
    }
    assert_eq!(
        looks, 97,
        "each quarter of an hour, from the first moment to the last of the day"
    );
    let dead = dead(&db).await;
    let [dead] = dead.as_slice() else { panic!("{dead:?}") };
    assert_eq!((dead.told.event.id.as_str(), dead.tries, dead.waits), ("a1", 97, false));
    assert_eq!(dead.died_at, BEGIN.after_ms(11 * DAY));
    assert_eq!(dead.why, "the server answered 503");
    assert_eq!(server.heard.ids()[96..], ["a1", "a2"]);
}

async fn a_dead_letter_is_sent_again_when_a_person_asks_and_holds_up_nobody(home: Home) {
    let db = home.open().await;
    let server = Server::start(None).await;
    let delivery = telling(&home, &db, webhook(&home, &plain(&server), None)).await;
    server.heard.answer_to("a1", 410);
    tell(&db, BEGIN, &[("ann", "a1")]).await;
    assert_eq!(delivery.look().await, Ok(0));
    assert_eq!(
        dead(&db).await[0].why,
        "the server answered 410: it wants no more of them"
    );
    home.pass(DAY);
    assert_eq!(delivery.look().await, Ok(0));
    assert_eq!(server.heard.ids(), ["a1"], "not by itself");
    let resend = async |id: &'static str| {
        let now = home.clock.wall();
        db.write(move |tx| inbox::resend(tx, id, now)).await.unwrap()
    };
    assert_eq!(resend("b1").await, None);
    // It fails again for now, and what is new is sent meanwhile.
    server.heard.answer_to("a1", 500);
    assert!(resend("a1").await.is_some_and(|dead| dead.waits));
    tell(&db, home.clock.wall(), &[("ann", "a2")]).await;
    assert_eq!(delivery.look().await, Ok(1));
    assert_eq!(delivery.look().await, Ok(0), "not before its time");
    // And for good.
    server.heard.answer_to("a1", 410);
    home.pass(5_000);
    assert_eq!(delivery.look().await, Ok(0));
    let again = dead(&db).await.remove(0);
    assert_eq!((again.waits, again.tries), (false, 2));
    server.heard.answer_to("a1", 200);
    assert!(resend("a1").await.is_some());
    assert!(resend("a1").await.is_some(), "asked twice is sent once");
    assert_eq!(delivery.look().await, Ok(1));
    assert_eq!(delivery.look().await, Ok(0));
    assert_eq!(dead(&db).await, []);
    let of = |id: &str| server.heard.ids().iter().filter(|came| *came == id).count();
    assert_eq!((of("a1"), of("a2")), (4, 1));
}

async fn of_two_processes_one_sends_an_event_and_what_a_killed_one_had_is_sent_by_another(home: Home) {
    let (one, other) = (home.open().await, home.open().await);
    let server = Server::start(None).await;
    let here = telling(&home, &one, webhook(&home, &plain(&server), None)).await;
    let there = telling(&home, &other, webhook(&home, &plain(&server), None)).await;
    let names: Vec<(String, String)> = (0..90)
        .map(|n| (format!("m{}", n % 30), format!("m{}:{n}", n % 30)))
        .collect();
    let told: Vec<(&str, &str)> = names
        .iter()
        .map(|(member, id)| (member.as_str(), id.as_str()))
        .collect();
    tell(&one, BEGIN, &told).await;
    let (mine, theirs) = tokio::join!(here.look(), there.look());
    assert_eq!(mine.unwrap() + theirs.unwrap(), 90);
    let mut ids = server.heard.ids();
    for member in 0..30 {
        let of_member = ids.iter().filter(|id| id.starts_with(&format!("m{member}:")));
        let expected = [0, 30, 60].map(|n| format!("m{member}:{}", n + member));
        assert!(of_member.eq(expected.iter()), "{member}");
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 90);
    // One that was killed after it had claimed: when its time is over another sends it, and what the killed one notes after all
    // counts for nothing.
    tell(&one, BEGIN, &[("m0", "x1"), ("m0", "x2")]).await;
    let late = one
        .write(|tx| inbox::claim(tx, BEGIN, BEGIN.after_ms(120_000), 1))
        .await
        .unwrap();
    assert_eq!(there.look().await, Ok(0));
    home.pass(120_000);
    server.heard.answer_to("x1", 500);
    assert_eq!(there.look().await, Ok(0));
    let noted = one.write(move |tx| inbox::taken(tx, &late[0], None)).await;
    assert_eq!(noted, Ok(None));
    server.heard.answer_to("x1", 200);
    home.pass(15 * MINUTE);
    assert_eq!(there.look().await, Ok(2));
    assert_eq!(server.heard.ids()[90..], ["x1", "x1", "x2"]);
}

async fn of_what_was_before_there_was_a_back_end_it_is_told_nothing(home: Home) {
    let db = home.open().await;
    tell(&db, BEGIN, &[("ann", "a1"), ("ann", "a2"), ("bob", "b1")]).await;
    let server = Server::start(None).await;
    let delivery = telling(&home, &db, webhook(&home, &plain(&server), None)).await;
    assert_eq!(delivery.look().await, Ok(0));
    tell(&db, BEGIN, &[("ann", "a3")]).await;
    // A later start of it is not the first time.
    delivery.begin().await.unwrap();
    assert_eq!(delivery.look().await, Ok(1));
    assert_eq!(server.heard.ids(), ["a3"]);
}

async fn what_was_told_long_ago_is_forgotten_but_for_what_waits(home: Home) {
    let db = home.open().await;
    let server = Server::start(None).await;
    let delivery = telling(&home, &db, webhook(&home, &plain(&server), None)).await;
    server.heard.answer_to("b1", 410);
    tell(&db, BEGIN, &[("ann", "a1"), ("bob", "b1")]).await;
    assert_eq!(delivery.look().await, Ok(1));
    tell(&db, BEGIN, &[("ann", "a2")]).await;
    let prune = async |days: i64| {
        let now = BEGIN.after_ms(days * DAY);
        db.write(move |tx| inbox::prune(tx, now)).await.unwrap();
        count(&db, "SELECT COUNT(*) FROM inbox").await
    };
    assert_eq!(prune(180).await, 3);
    assert_eq!(prune(181).await, 1, "what waits to be told is kept");
    assert_eq!(dead(&db).await, []);
    assert_eq!(delivery.look().await, Ok(1));
    assert_eq!(prune(181).await, 0);
    tell(&db, BEGIN, &[("ann", "a3")]).await;
    assert_eq!(count(&db, "SELECT seq FROM inbox").await, 3, "numbers go on");
}
