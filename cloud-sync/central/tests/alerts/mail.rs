//! A real SMTP conversation over a real socket: in the clear on this machine, after STARTTLS, and over TLS from the first byte.

use crate::place::{BEGIN, Home, messages, on_both};
use base64::{Engine, engine::general_purpose::STANDARD};
use central::{
    alerts::{mail::Mail, smtp::Security, telling::Senders},
    config,
    store::outbox::{self, Channel},
    webhook::believed,
};
use service::tls::Tls;
use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

on_both! {
    people_get_a_mail_when_an_alert_begins_and_when_it_is_over
    a_mail_goes_only_over_the_tls_that_was_asked_for
    a_server_that_refuses_is_asked_again_and_one_address_that_is_wrong_holds_up_no_other
}

/// How a server behaves, and what it has heard.
#[derive(Default)]
struct Heard {
    /// Every line of a client, without the mail.
    lines: Mutex<Vec<String>>,
    /// The mails.
    mails: Mutex<Vec<String>>,
    /// What it answers instead to lines that begin so.
    answers: Mutex<Vec<(&'static str, &'static str)>>,
    offers_starttls: bool,
    /// What it says in the same breath as that TLS may begin.
    in_the_clear: &'static str,
}

struct Server {
    heard: Arc<Heard>,
    address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    async fn start(heard: Heard, tls: &Tls, security: Security) -> Self {
        let heard = Arc::new(heard);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = TlsAcceptor::from(Arc::clone(&tls.https_configs().borrow()));
        let of_task = Arc::clone(&heard);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (heard, acceptor) = (Arc::clone(&of_task), acceptor.clone());
                // A client that goes away in the middle ends it.
                tokio::spawn(async move { connection(stream, heard, acceptor, security).await.unwrap_or_default() });
            }
        });
        Self { heard, address, task }
    }

    fn said(&self, begins: &str) -> Vec<String> {
        let lines = self.heard.lines.lock().unwrap();
        lines.iter().filter(|line| line.starts_with(begins)).cloned().collect()
    }
}

async fn connection(
    stream: TcpStream,
    heard: Arc<Heard>,
    acceptor: TlsAcceptor,
    security: Security,
) -> std::io::Result<()> {
    if security == Security::Tls {
        let stream = BufReader::new(acceptor.accept(stream).await?);
        return conversation(stream, &heard, true, true).await.map(drop);
    }
    if let Some(stream) = conversation(BufReader::new(stream), &heard, true, false).await? {
        let stream = BufReader::new(acceptor.accept(stream.into_inner()).await?);
        conversation(stream, &heard, false, true).await?;
    }
    Ok(())
}

/// One conversation; gives the stream back where the client wants TLS on it.
async fn conversation<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: BufReader<S>,
    heard: &Heard,
    greets: bool,
    is_tls: bool,
) -> std::io::Result<Option<BufReader<S>>> {
    if greets {
        stream.write_all(b"220 mail.example\r\n").await?;
    }
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        let line = line.trim_end().to_owned();
        heard.lines.lock().unwrap().push(line.clone());
        let instead = {
            let answers = heard.answers.lock().unwrap();
            answers
                .iter()
                .find(|(begins, _)| line.starts_with(begins))
                .map(|(_, answer)| *answer)
        };
        let answer = match line.split(' ').next().unwrap() {
            _ if instead.is_some() => format!("{}\r\n", instead.unwrap()),
            "EHLO" if heard.offers_starttls && !is_tls => {
                "250-mail.example\r\n250-STARTTLS\r\n250 SIZE 1000000\r\n".into()
            }
            "EHLO" => "250-mail.example\r\n250-AUTH PLAIN LOGIN\r\n250 SIZE 1000000\r\n".into(),
            "STARTTLS" => {
                let answer = format!("220 go on\r\n{}", heard.in_the_clear);
                stream.write_all(answer.as_bytes()).await?;
                return Ok(Some(stream));
            }
            "AUTH" => "235 you are who you say\r\n".into(),
            "MAIL" | "RCPT" => "250 well\r\n".into(),
            "DATA" => {
                stream.write_all(b"354 go on\r\n").await?;
                let mut mail = String::new();
                loop {
                    let mut line = String::new();
                    stream.read_line(&mut line).await?;
                    if line == ".\r\n" || line.is_empty() {
                        break;
                    }
                    mail.push_str(line.strip_prefix('.').unwrap_or(&line));
                }
                heard.mails.lock().unwrap().push(mail);
                "250 taken\r\n".into()
            }
            "QUIT" => {
                stream.write_all(b"221 bye\r\n").await?;
                return Ok(None);
            }
            _ => "500 what?\r\n".into(),
        };
        stream.write_all(answer.as_bytes()).await?;
    }
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
    }
}

/// The headers of a mail, and its text.
fn read(mail: &str) -> (String, String) {
    let (headers, body) = mail.split_once("\r\n\r\n").unwrap();
    let body = STANDARD.decode(body.replace("\r\n", "")).unwrap();
    (headers.to_owned(), String::from_utf8(body).unwrap())
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
