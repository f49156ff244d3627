//! A server that takes mail, over a real socket, and does with it what a test wants.

use base64::{Engine, engine::general_purpose::STANDARD};
use central::alerts::smtp::Security;
use service::tls::Tls;
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

/// How a server behaves, and what it has heard.
#[derive(Default)]
pub(crate) struct Heard {
    /// Every line of a client, without the mail.
    pub(crate) lines: Mutex<Vec<String>>,
    /// The mails.
    pub(crate) mails: Mutex<Vec<String>>,
    /// What it answers instead to lines that begin so.
    pub(crate) answers: Mutex<Vec<(&'static str, &'static str)>>,
    pub(crate) offers_starttls: bool,
    /// What it says in the same breath as that TLS may begin.
    pub(crate) in_the_clear: &'static str,
}

pub(crate) struct Server {
    pub(crate) heard: Arc<Heard>,
    pub(crate) address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub(crate) async fn start(heard: Heard, tls: &Tls, security: Security) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::at(listener, heard, Some(tls), security)
    }

    /// One without TLS behind a socket that is there.
    pub(crate) fn plain(listener: TcpListener) -> Self {
        Self::at(listener, Heard::default(), None, Security::Plain)
    }

    fn at(listener: TcpListener, heard: Heard, tls: Option<&Tls>, security: Security) -> Self {
        let heard = Arc::new(heard);
        let address = listener.local_addr().unwrap();
        let acceptor = tls.map(|tls| TlsAcceptor::from(Arc::clone(&tls.https_configs().borrow())));
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

    pub(crate) fn said(&self, begins: &str) -> Vec<String> {
        let lines = self.heard.lines.lock().unwrap();
        lines.iter().filter(|line| line.starts_with(begins)).cloned().collect()
    }
}

async fn connection(
    stream: TcpStream,
    heard: Arc<Heard>,
    acceptor: Option<TlsAcceptor>,
    security: Security,
) -> std::io::Result<()> {
    if security == Security::Tls {
        let stream = BufReader::new(acceptor.unwrap().accept(stream).await?);
        return conversation(stream, &heard, true, true).await.map(drop);
    }
    if let Some(stream) = conversation(BufReader::new(stream), &heard, true, false).await? {
        let stream = BufReader::new(acceptor.unwrap().accept(stream.into_inner()).await?);
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

/// The headers of a mail, and its text.
pub(crate) fn read(mail: &str) -> (String, String) {
    let (headers, body) = mail.split_once("\r\n\r\n").unwrap();
    let body = STANDARD.decode(body.replace("\r\n", "")).unwrap();
    (headers.to_owned(), String::from_utf8(body).unwrap())
}
