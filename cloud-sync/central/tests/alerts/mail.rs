//! A real SMTP conversation over a real socket: in the clear on this machine, after STARTTLS, and over TLS from the first byte.

use crate::{
    place::{BEGIN, Home, messages, on_both},
    sink::{Heard, Server, read},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use central::{
    alerts::{mail::Mail, smtp::Security, telling::Senders},
    config,
    store::outbox::{self, Channel},
    webhook::believed,
};
use std::path::Path;

on_both! {
    people_get_a_mail_when_an_alert_begins_and_when_it_is_over
    a_mail_goes_only_over_the_tls_that_was_asked_for
    a_server_that_refuses_is_asked_again_and_one_address_that_is_wrong_holds_up_no_other
}

fn senders(home: &Home, server: &Server, security: Security, authority: &Path) -> Senders {
    let given = config::Mail {
        host: "127.0.0.1".to_owned(),
        port: server.address.port(),
        security,
        from: "holdfast@example.com".to_owned(),
        to: vec!["ops@example.com".to_owned(), "night@example.com".to_owned()],
        user: Some(("holdfast".to_owned(), home.put("password", "open sesame\n"))),
    };
    let mail = Mail::open(&given, believed(Some(authority)).unwrap()).unwrap();
    Senders {
        webhook: None,
        mail: Some(mail),
        reports: None,
    }
}

async fn people_get_a_mail_when_an_alert_begins_and_when_it_is_over(home: Home) {
    let db = home.open().await;
    let (tls, authority) = home.tls();
    let heard = Heard {
        offers_starttls: true,
        ..Heard::default()
    };
    let server = Server::start(heard, &tls, Security::StartTls).await;
    let telling = home.telling(&db, senders(&home, &server, Security::StartTls, &authority));
    let watch = home.watch(&db, "p1", &telling.senders.channels());
    home.hear(&db, "s1").await;
    home.pass(3_600_000);
    watch.look(BEGIN).await.unwrap();
    assert_eq!(telling.look(Channel::Mail).await, Ok(1));
    assert_eq!(telling.look(Channel::Mail).await, Ok(0), "once");
    home.hear(&db, "s1").await;
    watch.look(BEGIN).await.unwrap();
    assert_eq!(telling.look(Channel::Mail).await, Ok(1));
    let mails = server.heard.mails.lock().unwrap().clone();
    let [begun, ended] = [&mails[0], &mails[1]].map(|mail| read(mail));
    assert_eq!(mails.len(), 2);
    for (headers, subject, what) in [
        (&begun.0, "Subject: [Holdfast] s1: site_silent\r\n", "begun"),
        (&ended.0, "Subject: [Holdfast] over: s1: site_silent\r\n", "ended"),
    ] {
        assert!(headers.contains(subject), "{headers}");
        assert!(
            headers.contains("From: <holdfast@example.com>\r\nTo: <ops@example.com>,\r\n <night@example.com>"),
            "{headers}"
        );
        assert!(headers.contains("Date: Tue, 10 Mar 2026 05:00:00 "), "{headers}");
        assert!(headers.contains(&format!(".{what}@example.com>\r\n")), "{headers}");
    }
    assert!(
        begun.1.starts_with("site s1: not heard since 2026-03-10T04:00:00"),
        "{}",
        begun.1
    );
    assert!(ended.1.contains("It is over: 2026-03-10T05:00:00"), "{}", ended.1);
    let password = STANDARD.encode("\0holdfast\0open sesame");
    assert_eq!(
        server.said("AUTH"),
        [format!("AUTH PLAIN {password}"), format!("AUTH PLAIN {password}")]
    );
    assert_eq!(server.said("MAIL")[0], "MAIL FROM:<holdfast@example.com>");
    assert_eq!(
        server.said("RCPT")[..2],
        ["RCPT TO:<ops@example.com>", "RCPT TO:<night@example.com>"]
    );
}

async fn a_mail_goes_only_over_the_tls_that_was_asked_for(home: Home) {
    let db = home.open().await;
    let (tls, authority) = home.tls();
    let told = |n: u32| {
        let body = format!(
            r#"{{"type":"alert.begun","timestamp":"2026-03-10T04:00:00Z","data":{{"id":"a{n}","kind":"disk","subject":"场站",
               "words":"w","begun_at":"2026-03-10T04:00:00Z","ended_at":null}}}}"#
        );
        db.write(move |tx| outbox::add(tx, &format!("a{n}.begun"), Channel::Mail, &body, BEGIN))
    };
    for (n, security, offers_starttls, in_the_clear, taken) in [
        (0, Security::Plain, false, "", 1),
        (1, Security::Tls, false, "", 1),
        (2, Security::StartTls, true, "", 1),
        (3, Security::StartTls, false, "", 0),
        (4, Security::StartTls, true, "250 and this\r\n", 0),
    ] {
        let heard = Heard {
            offers_starttls,
            in_the_clear,
            ..Heard::default()
        };
        let server = Server::start(heard, &tls, security).await;
        told(n).await.unwrap();
        let telling = home.telling(&db, senders(&home, &server, security, &authority));
        assert_eq!(telling.look(Channel::Mail).await, Ok(taken), "{security:?}");
        assert_eq!(server.heard.mails.lock().unwrap().len(), taken);
        assert_eq!(server.said("AUTH").len(), taken, "nobody hears the password otherwise");
        if taken == 1 {
            let (headers, _) = read(&server.heard.mails.lock().unwrap()[0]);
            assert!(
                headers.is_ascii() && headers.contains("Subject: =?utf-8?B?"),
                "{headers}"
            );
        }
    }
}

async fn a_server_that_refuses_is_asked_again_and_one_address_that_is_wrong_holds_up_no_other(home: Home) {
    let db = home.open().await;
    let (tls, authority) = home.tls();
    let server = Server::start(Heard::default(), &tls, Security::Plain).await;
    let answer = |answers: &[(&'static str, &'static str)]| *server.heard.answers.lock().unwrap() = answers.to_vec();
    let telling = home.telling(&db, senders(&home, &server, Security::Plain, &authority));
    let body = r#"{"type":"alert.begun","timestamp":"2026-03-10T04:00:00Z","data":{"id":"a","kind":"disk","subject":"p1",
        "words":"w","begun_at":"2026-03-10T04:00:00Z","ended_at":null}}"#;
    db.write(move |tx| outbox::add(tx, "a.begun", Channel::Mail, body, BEGIN))
        .await
        .unwrap();
    for (begins, answers) in [
        ("EHLO", "502 no"),
        ("AUTH", "535 who are you?"),
        ("MAIL", "451 later"),
        ("RCPT", "550 nobody"),
        ("DATA", "452 full"),
        ("MAIL", "nonsense"),
    ] {
        answer(&[(begins, answers)]);
        assert_eq!(telling.look(Channel::Mail).await, Ok(0), "{begins}");
        home.pass(3 * 3_600_000);
    }
    assert_eq!(server.heard.mails.lock().unwrap().len(), 0);
    let trouble = db
        .read(|tx| tx.query_optional("SELECT trouble FROM outbox", &[]))
        .await
        .unwrap();
    let trouble = trouble.unwrap().text(0).unwrap();
    assert!(trouble.contains("MAIL"), "{trouble}");
    answer(&[("RCPT TO:<ops", "550 nobody")]);
    assert_eq!(telling.look(Channel::Mail).await, Ok(1));
    assert_eq!(server.heard.mails.lock().unwrap().len(), 1);
    assert_eq!(
        messages(&db).await,
        [("a.begun".into(), "mail".into(), "sent".into(), 7)]
    );
}
