//! A real server is told by webhook: signed, over HTTP and HTTPS, again until it takes it, and by one process alone.

use crate::{
    place::{BEGIN, Home, messages, on_both},
    receiver::{SECRET, Server, header, plain},
};
use central::{
    alerts::telling::Senders,
    config::WebhookAddress,
    desk::Clock,
    store::outbox::{self, Channel},
    webhook::{Secret, Webhook, believed},
};
use serde_json::Value;
use std::path::Path;

on_both! {
    a_server_is_told_once_with_a_signature_when_an_alert_begins_and_when_it_is_over
    a_server_that_fails_is_told_again_until_it_takes_it
    of_two_processes_one_sends_a_message
    what_is_not_taken_in_three_days_is_given_up
}

fn senders(home: &Home, address: &WebhookAddress, authority: Option<&Path>) -> Senders {
    let secret = home.put("secret", SECRET);
    let webhook = Webhook::open(address, &secret, believed(authority).unwrap()).unwrap();
    Senders {
        webhook: Some(webhook),
        mail: None,
        reports: None,
    }
}

async fn a_server_is_told_once_with_a_signature_when_an_alert_begins_and_when_it_is_over(home: Home) {
    let db = home.open().await;
    let (tls, authority) = home.tls();
    let server = Server::start(Some(&tls)).await;
    let address = WebhookAddress::Https {
        host: "127.0.0.1".to_owned(),
        port: server.address.port(),
        path: "/told".to_owned(),
    };
    let telling = home.telling(&db, senders(&home, &address, Some(&authority)));
    let watch = home.watch(&db, "p1", &telling.senders.channels());
    home.hear(&db, "s1").await;
    home.pass(3_600_000);
    watch.look(BEGIN).await.unwrap();
    assert_eq!(telling.look(Channel::Webhook).await, Ok(1));
    assert_eq!(telling.look(Channel::Webhook).await, Ok(0), "once");
    home.hear(&db, "s1").await;
    watch.look(BEGIN).await.unwrap();
    assert_eq!(telling.look(Channel::Webhook).await, Ok(1));
    let came = server.heard.came();
    assert_eq!(came.len(), 2);
    let secret = Secret::of_text(SECRET).unwrap();
    for ((headers, body), what) in came.iter().zip(["begun", "ended"]) {
        let event: Value = serde_json::from_str(body).unwrap();
        assert_eq!(event["type"], format!("alert.{what}"));
        assert_eq!(
            (&event["data"]["kind"], &event["data"]["subject"]),
            (&"site_silent".into(), &"s1".into())
        );
        assert_eq!(event["data"]["ended_at"].is_null(), what == "begun");
        let id = header(headers, "webhook-id");
        assert_eq!(id, format!("{}.{what}", event["data"]["id"].as_str().unwrap()));
        let timestamp: i64 = header(headers, "webhook-timestamp").parse().unwrap();
        assert_eq!(timestamp, home.clock.wall().0 / 1_000);
        assert_eq!(
            header(headers, "webhook-signature"),
            secret.signature(id, timestamp, body)
        );
        assert_eq!(header(headers, "content-type"), "application/json");
        assert_eq!(header(headers, "host"), format!("127.0.0.1:{}", server.address.port()));
    }
    // A server whose authority nobody has named is told nothing.
    let stranger = home.telling(&db, senders(&home, &address, None));
    db.write(|tx| outbox::add(tx, "x.begun", Channel::Webhook, "{}", BEGIN))
        .await
        .unwrap();
    assert_eq!(stranger.look(Channel::Webhook).await, Ok(0));
    assert_eq!(server.heard.came().len(), 2);
}

async fn a_server_that_fails_is_told_again_until_it_takes_it(home: Home) {
    let db = home.open().await;
    let server = Server::start(None).await;
    let telling = home.telling(&db, senders(&home, &plain(&server), None));
    db.write(|tx| outbox::add(tx, "a.begun", Channel::Webhook, "{}", BEGIN))
        .await
        .unwrap();
    server.heard.answer(500);
    assert_eq!(telling.look(Channel::Webhook).await, Ok(0));
    assert_eq!(telling.look(Channel::Webhook).await, Ok(0));
    assert_eq!(server.heard.came().len(), 1, "not before its time");
    home.pass(5_000);
    assert_eq!(telling.look(Channel::Webhook).await, Ok(0));
    assert_eq!(server.heard.came().len(), 2);
    server.heard.answer(200);
    home.pass(19_999);
    assert_eq!(telling.look(Channel::Webhook).await, Ok(0), "the pause has grown");
    home.pass(1);
    assert_eq!(telling.look(Channel::Webhook).await, Ok(1));
    let came = server.heard.came();
    assert!(
        came.iter()
            .all(|(headers, _)| header(headers, "webhook-id") == "a.begun")
    );
    assert_eq!(
        messages(&db).await,
        [("a.begun".into(), "webhook".into(), "sent".into(), 3)]
    );
    home.pass(86_400_000);
    assert_eq!(telling.look(Channel::Webhook).await, Ok(0));
    assert_eq!(server.heard.came().len(), 3);
}

async fn of_two_processes_one_sends_a_message(home: Home) {
    let (one, other) = (home.open().await, home.open().await);
    let server = Server::start(None).await;
    let both = [&one, &other].map(|db| home.telling(db, senders(&home, &plain(&server), None)));
    for n in 0..20 {
        let id = format!("a{n}.begun");
        one.write(move |tx| outbox::add(tx, &id, Channel::Webhook, "{}", BEGIN))
            .await
            .unwrap();
    }
    for _ in 0..2 {
        let (here, there) = tokio::join!(both[0].look(Channel::Webhook), both[1].look(Channel::Webhook));
        here.unwrap();
        there.unwrap();
    }
    let came = server.heard.came();
    let mut ids: Vec<&str> = came.iter().map(|(headers, _)| header(headers, "webhook-id")).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((ids.len(), came.len()), (20, 20));
    // One that was killed after it had claimed: when its time is over, another sends it.
    one.write(|tx| {
        outbox::add(tx, "b.begun", Channel::Webhook, "{}", BEGIN)?;
        outbox::claim(tx, Channel::Webhook, BEGIN, BEGIN.after_ms(60_000), 1)
    })
    .await
    .unwrap();
    assert_eq!(both[1].look(Channel::Webhook).await, Ok(0));
    home.pass(60_000);
    assert_eq!(both[1].look(Channel::Webhook).await, Ok(1));
}

async fn what_is_not_taken_in_three_days_is_given_up(home: Home) {
    let db = home.open().await;
    let server = Server::start(None).await;
    let telling = home.telling(&db, senders(&home, &plain(&server), None));
    db.write(|tx| outbox::add(tx, "a.begun", Channel::Webhook, "{}", BEGIN))
        .await
        .unwrap();
    server.heard.answer(410);
    let mut looks = 0;
    while messages(&db).await[0].2 == "waiting" {
        assert_eq!(telling.look(Channel::Webhook).await, Ok(0));
        home.pass(3 * 3_600_000);
        looks += 1;
    }
    assert_eq!(looks, 25, "each 3 hours, from the first moment to the last of 3 days");
    assert_eq!(messages(&db).await[0].2, "given_up");
    server.heard.answer(200);
    assert_eq!(telling.look(Channel::Webhook).await, Ok(0));
    assert_eq!(server.heard.came().len(), 25);
}
