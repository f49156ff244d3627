//! Reports go out by themselves, to real servers of mail and of webhooks: once for what a day has come to, to each receiver, whichever of them
//! is down meanwhile and whichever process it is that tells.

use crate::{
    on_both,
    receiver::{self, SECRET, header, plain_at},
    reports::{plant, read_by_another, report},
    sink,
    world::{World, day, paid},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use central::{
    alerts::{
        mail::Mail,
        smtp::Security,
        telling::{Senders, Telling},
    },
    config,
    desk::Clock,
    report::{
        Format, Sheet,
        delivery::{Receivers, Reporter},
        written::Which,
    },
    store::outbox::Channel,
    webhook::{Secret, Webhook, believed},
};
use serde_json::Value;
use std::{net::SocketAddr, sync::Arc};
use tokio::{net::TcpSocket, runtime::Runtime};

on_both! {
    a_final_day_goes_out_once_to_each_receiver_and_waits_for_one_that_is_down
    what_a_night_has_come_to_goes_out_where_that_is_wanted_and_again_when_it_is_something_else
    whoever_begins_to_be_told_is_told_of_the_last_final_day_alone
}

const D1: &str = "2026-03-09";
const D2: &str = "2026-03-10";
const D3: &str = "2026-03-11";

/// Two ports that are taken, and behind which nobody listens yet.
struct Ports {
    mail: TcpSocket,
    webhook: TcpSocket,
}

impl Ports {
    fn take() -> Self {
        let taken = || {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
            socket
        };
        Self {
            mail: taken(),
            webhook: taken(),
        }
    }

    fn addresses(&self) -> [SocketAddr; 2] {
        [&self.mail, &self.webhook].map(|socket| socket.local_addr().unwrap())
    }

    fn listen(self) -> (sink::Server, receiver::Server) {
        let mail = sink::Server::plain(self.mail.listen(16).unwrap());
        (mail, receiver::Server::at(self.webhook.listen(16).unwrap(), None))
    }
}

/// A process that has reports go out and tells them.
fn process(world: &World, [mail, webhook]: [SocketAddr; 2], provisional: bool) -> (Reporter, Telling) {
    let believed = believed(None).unwrap();
    let server = config::Mail {
        host: mail.ip().to_string(),
        port: mail.port(),
        security: Security::Plain,
        from: "holdfast@example.com".to_owned(),
        to: vec!["ops@example.com".to_owned()],
        user: None,
    };
    let secret = world.folder().join("secret");
    std::fs::write(&secret, SECRET).unwrap();
    let to = ["lead@example.com", "books@example.com"].map(str::to_owned).to_vec();
    let receivers = Receivers {
        mail: Some((Mail::open(&server, Arc::clone(&believed)).unwrap(), to)),
        webhook: Some(Webhook::open(&plain_at(webhook), &secret, believed).unwrap()),
        folder: world.folder().join("spool"),
    };
    let clock = || Arc::clone(&world.clock) as Arc<dyn Clock>;
    let telling = Telling {
        db: world.db.clone(),
        clock: clock(),
        senders: Senders {
            reports: Some(receivers.clone()),
            ..Senders::default()
        },
    };
    let reporter = Reporter {
        db: world.db.clone(),
        clock: clock(),
        receivers,
        provisional,
    };
    (reporter, telling)
}

/// A mail's headers, its text, and what goes with it.
fn read(mail: &str) -> (String, String, Vec<u8>) {
    let parts: Vec<&str> = mail.split("--=_part-of-a-report").collect();
    let [headers, text, file, end] = parts.as_slice() else {
        panic!("{mail}")
    };
    assert_eq!(*end, "--\r\n");
    assert!(
        headers.contains("Content-Type: multipart/mixed; boundary=\"=_part-of-a-report\"\r\n\r\n"),
        "{headers}"
    );
    let decoded = |part: &str| {
        let (_, body) = part.trim_start().split_once("\r\n\r\n").unwrap();
        assert!(body.lines().all(|line| line.len() <= 76));
        STANDARD.decode(body.replace("\r\n", "")).unwrap()
    };
    assert!(
        file.contains("Content-Disposition: attachment; filename=\"reconciliation-2026-03-09.xlsx\"\r\n"),
        "{file}"
    );
    (
        (*headers).to_owned(),
        String::from_utf8(decoded(text)).unwrap(),
        decoded(file),
    )
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

fn subject_of(mail: &str) -> String {
    let (headers, _) = mail.split_once("\r\n\r\n").unwrap();
    let (_, after) = headers.split_once("\r\nSubject: ").unwrap();
    let words = after.split("\r\n ").map(|word| word.split("\r\n").next().unwrap());
    let words = words.filter_map(|word| word.strip_prefix("=?utf-8?B?")?.strip_suffix("?="));
    let bytes: Vec<u8> = words.flat_map(|word| STANDARD.decode(word).unwrap()).collect();
    String::from_utf8(bytes).unwrap()
}

fn a_final_day_goes_out_once_to_each_receiver_and_waits_for_one_that_is_down(world: &World) {
    plant(world);
    let runtime = runtime();
    let guard = runtime.enter();
    let ports = Ports::take();
    let addresses = ports.addresses();
    let (reporter, telling) = process(world, addresses, false);
    assert_eq!(
        runtime.block_on(reporter.look()),
        Ok(1),
        "the first day is final, the second is not"
    );
    assert_eq!(runtime.block_on(reporter.look()), Ok(0));
    for channel in [Channel::ReportMail, Channel::ReportWebhook] {
        assert_eq!(runtime.block_on(telling.look(channel)), Ok(0), "nobody is there");
    }
    let waiting = world.query(
        "SELECT id FROM outbox WHERE state = 'waiting' AND trouble IS NOT NULL",
        vec![],
    );
    assert_eq!(waiting.len(), 3);
    drop((reporter, telling));

    // Another process, after a while.
    let (mail, webhook) = ports.listen();
    let (reporter, telling) = process(world, addresses, false);
    world.now("2026-03-11 09:05:00");
    assert_eq!(runtime.block_on(reporter.look()), Ok(0));
    assert_eq!(runtime.block_on(telling.look(Channel::ReportMail)), Ok(2));
    assert_eq!(runtime.block_on(telling.look(Channel::ReportWebhook)), Ok(1));
    for channel in [
        Channel::ReportMail,
        Channel::ReportWebhook,
        Channel::Mail,
        Channel::Webhook,
    ] {
        assert_eq!(runtime.block_on(telling.look(channel)), Ok(0), "once");
    }
    let mut to = mail.said("RCPT");
    to.sort();
    assert_eq!(to, ["RCPT TO:<books@example.com>", "RCPT TO:<lead@example.com>"]);
    let mails = mail.heard.mails.lock().unwrap().clone();
    assert_eq!(mails.len(), 2);
    let (bytes, summary) = report(world, Which::all(day(D1), day(D3)), (Format::Xlsx, Sheet::Summary)).unwrap();
    for mail in &mails {
        let (_, text, file) = read(mail);
        assert_eq!(subject_of(mail), format!("[Holdfast] {}", summary.title()));
        assert_eq!(text, summary.text().replace('\n', "\r\n"));
        assert_eq!(file, bytes, "the report as anybody gets it");
    }
    let read = read_by_another(world, &bytes);
    assert_eq!(read[0]["rows"][1][3]["text"], D1);

    let came = webhook.heard.came();
    let [(headers, body)] = came.as_slice() else {
        panic!("{came:?}")
    };
    let event: Value = serde_json::from_str(body).unwrap();
    assert_eq!(
        (&event["type"], &event["data"]["day"]),
        (&"report.final".into(), &D1.into())
    );
    assert_eq!(event["data"]["digest"], summary.digest);
    assert_eq!(event["data"]["channels"][0]["channel"], "bank");
    assert_eq!(event["data"]["open"]["amount_fen"], summary.open.told.amount_fen);
    let (id, at) = (header(headers, "webhook-id"), header(headers, "webhook-timestamp"));
    assert_eq!(id, format!("report.{D1}.final.{}", &summary.digest[..16]));
    let signature = Secret::of_text(SECRET)
        .unwrap()
        .signature(id, at.parse().unwrap(), body);
    assert_eq!(header(headers, "webhook-signature"), signature);

    // The next day, after its night.
    drop(guard);
    world.now("2026-03-12 02:00:00");
    assert_eq!(world.run(D2).status.word(), "final");
    assert_eq!(runtime.block_on(reporter.look()), Ok(1));
    assert_eq!(runtime.block_on(telling.look(Channel::ReportWebhook)), Ok(1));
    assert_eq!(webhook.heard.came().len(), 2);
}

fn what_a_night_has_come_to_goes_out_where_that_is_wanted_and_again_when_it_is_something_else(world: &World) {
    plant(world);
    let runtime = runtime();
    let guard = runtime.enter();
    let ports = Ports::take();
    let (reporter, telling) = process(world, ports.addresses(), true);
    let (mail, webhook) = ports.listen();
    drop(guard);
    assert_eq!(
        runtime.block_on(reporter.look()),
        Ok(2),
        "the first day is final, and the second is not"
    );
    assert_eq!(runtime.block_on(telling.look(Channel::ReportWebhook)), Ok(2));
    let kinds = |webhook: &receiver::Server| -> Vec<(String, String)> {
        let event = |body: &str| {
            let event: Value = serde_json::from_str(body).unwrap();
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            (text(&event["type"]), text(&event["data"]["day"]))
        };
        webhook.heard.came().iter().map(|(_, body)| event(body)).collect()
    };
    let told = |kind: &str, day: &str| (format!("report.{kind}"), day.to_owned());
    assert_eq!(kinds(&webhook), [told("final", D1), told("provisional", D2)]);
    assert_eq!(runtime.block_on(telling.look(Channel::ReportMail)), Ok(4));

    // At night the next day is reconciled without its bill, and nobody is told yet when that comes.
    world.now("2026-03-12 01:30:00");
    world.run(D3);
    assert_eq!(runtime.block_on(reporter.look()), Ok(2));
    world.now("2026-03-12 10:00:00");
    world.bill(D3, &[paid("p7", "T7", 700)]);
    world.run(D3);
    assert_eq!(runtime.block_on(reporter.look()), Ok(1));
    world.run(D3);
    assert_eq!(runtime.block_on(reporter.look()), Ok(0), "done again it is the same");
    assert_eq!(runtime.block_on(telling.look(Channel::ReportWebhook)), Ok(3));
    assert_eq!(
        kinds(&webhook)[2..],
        [told("final", D2), told("provisional", D3), told("provisional", D3)]
    );
    let ids = webhook.heard.ids();
    assert_ne!(ids[3], ids[4]);
    // By mail the night's run is not sent any more: what it had come to is something else.
    mail.heard.mails.lock().unwrap().clear();
    runtime.block_on(telling.look(Channel::ReportMail)).unwrap();
    let subjects: Vec<String> = mail
        .heard
        .mails
        .lock()
        .unwrap()
        .iter()
        .map(|mail| subject_of(mail))
        .collect();
    let of = |day: &str| subjects.iter().filter(|subject| subject.contains(day)).count();
    assert_eq!((of(D2), of(D3), subjects.len()), (2, 2, 4), "{subjects:?}");
}

fn whoever_begins_to_be_told_is_told_of_the_last_final_day_alone(world: &World) {
    plant(world);
    world.now("2026-03-12 10:00:00");
    world.bill(D3, &[]);
    world.run(D3);
    world.now("2026-03-13 10:00:00");
    assert_eq!(world.run(D3).status.word(), "final");
    let runtime = runtime();
    let guard = runtime.enter();
    let (reporter, _) = process(world, Ports::take().addresses(), true);
    drop(guard);
    assert_eq!(runtime.block_on(reporter.look()), Ok(1));
    let rows = world.query("SELECT id FROM outbox WHERE channel = 'report_webhook'", vec![]);
    let ids: Vec<String> = rows.into_iter().map(|mut row| row.text(0).unwrap()).collect();
    assert!(
        ids.len() == 1 && ids[0].starts_with(&format!("report.{D3}.final.")),
        "{ids:?}"
    );
    // Days that became final while nobody looked are told, one by one.
    for (of, next) in [("2026-03-12", "2026-03-13"), ("2026-03-13", "2026-03-14")] {
        world.now(&format!("{next} 12:00:00"));
        world.bill(of, &[]);
        world.run(of);
    }
    world.now("2026-03-15 12:00:00");
    assert_eq!(world.run("2026-03-13").status.word(), "final");
    assert_eq!(runtime.block_on(reporter.look()), Ok(2));
}
