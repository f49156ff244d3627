//! A mail on its way to the server that takes it (RFC 5321): one conversation for one mail, over TLS or on this machine. Written
//! here because it is this little; the usual library brings forty crates for it (decision 0036).

use base64::{Engine, engine::general_purpose::STANDARD};
use rustls::{ClientConfig, pki_types::ServerName};
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

/// How long a conversation may take.
const TIME_MAX: Duration = Duration::from_secs(60);
/// The longest line of a server, in bytes, and the most lines of one answer.
const LINE_BYTES_MAX: u64 = 2_048;
const LINES_MAX: usize = 64;
/// How much of a server's own words is passed on, in characters.
const WORDS_CHARS_MAX: usize = 200;

/// How the connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Security {
    /// TLS from the first byte, usually on port 465.
    Tls,
    /// TLS from STARTTLS on, usually on port 587. A server that does not offer it is told nothing.
    #[default]
    StartTls,
    /// None: to a server on this machine.
    Plain,
}

/// A server that takes mail.
#[derive(Clone)]
pub struct Server {
    /// Host name or address, which with TLS is also the name in its certificate.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// How the connection is protected.
    pub security: Security,
    /// Whom head office believes.
    pub believed: Arc<ClientConfig>,
    /// Name and password, where the server wants them.
    pub user: Option<(String, String)>,
}

impl std::fmt::Debug for Server {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Server({}:{}, {:?})", self.host, self.port, self.security)
    }
}

/// What goes around a mail.
#[derive(Debug, Clone, Copy)]
pub struct Envelope<'a> {
    /// From whom.
    pub from: &'a str,
    /// To whom.
    pub to: &'a [String],
}

impl Server {
    /// Sends a mail, whose lines end with CR LF. Where some of those it is for are refused, the others get it.
    ///
    /// # Errors
    /// The server did not take it, and why, in words.
    pub async fn send(&self, envelope: Envelope<'_>, mail: &str) -> Result<(), String> {
        let sent = tokio::time::timeout(TIME_MAX, self.converse(envelope, mail)).await;
        let sent = sent.unwrap_or_else(|_| Err(format!("it took longer than {TIME_MAX:?}")));
        sent.map_err(|why| format!("the mail server {}:{}: {why}", self.host, self.port))
    }

    async fn converse(&self, envelope: Envelope<'_>, mail: &str) -> Result<(), String> {
        let stream = TcpStream::connect((self.host.as_str(), self.port))
            .await
            .map_err(words)?;
        let me = literal(stream.local_addr().map_err(words)?);
        match self.security {
            Security::Plain => {
                let mut said = Conversation::of(stream);
                said.expect("2", "its greeting").await?;
                let offers = said.hello(&me).await?;
                self.rest(said, &offers, envelope, mail).await
            }
            Security::StartTls => {
                let mut said = Conversation::of(stream);
                said.expect("2", "its greeting").await?;
                let offers = said.hello(&me).await?;
                if !offers.iter().any(|offer| offer == "STARTTLS") {
                    return Err("it does not offer STARTTLS".to_owned());
                }
                said.ask("STARTTLS", "2").await?;
                // What came before TLS in the same breath is nobody's word (CVE-2011-0411).
                if !said.0.buffer().is_empty() {
                    return Err("it said more than it was asked before TLS began".to_owned());
                }
                let mut said = Conversation::of(self.tls(said.0.into_inner()).await?);
                let offers = said.hello(&me).await?;
                self.rest(said, &offers, envelope, mail).await
            }
            Security::Tls => {
                let mut said = Conversation::of(self.tls(stream).await?);
                said.expect("2", "its greeting").await?;
                let offers = said.hello(&me).await?;
                self.rest(said, &offers, envelope, mail).await
            }
        }
    }

    async fn tls(&self, stream: TcpStream) -> Result<tokio_rustls::client::TlsStream<TcpStream>, String> {
        let name = ServerName::try_from(self.host.clone()).map_err(words)?;
        let connector = TlsConnector::from(Arc::clone(&self.believed));
        connector.connect(name, stream).await.map_err(words)
    }

    async fn rest<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        mut said: Conversation<S>,
        offers: &[String],
        Envelope { from, to }: Envelope<'_>,
        mail: &str,
    ) -> Result<(), String> {
        if let Some((user, password)) = &self.user {
            said.log_in(offers, user, password).await?;
        }
        said.ask(&format!("MAIL FROM:<{from}>"), "2").await?;
        let mut refused = Vec::new();
        for whom in to {
            if let Err(why) = said.ask(&format!("RCPT TO:<{whom}>"), "2").await {
                refused.push(format!("{whom}: {why}"));
            }
        }
        if refused.len() == to.len() {
            return Err(refused.join("; "));
        }
        for one in refused {
            tracing::warn!("a mail does not reach {one}");
        }
        said.ask("DATA", "3").await?;
        said.write(&stuffed(mail)).await?;
        said.expect("2", "the mail").await?;
        // It has it; what it says to this does not matter.
        let _taken_already = said.write("QUIT\r\n").await;
        Ok(())
    }
}

/// A conversation with a server.
struct Conversation<S>(BufReader<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> Conversation<S> {
    fn of(stream: S) -> Self {
        Self(BufReader::new(stream))
    }

    async fn write(&mut self, text: &str) -> Result<(), String> {
        self.0.write_all(text.as_bytes()).await.map_err(words)?;
        self.0.flush().await.map_err(words)
    }

    /// Says a line, and reads the answer, whose code must begin so.
    async fn ask(&mut self, line: &str, code: &str) -> Result<Vec<String>, String> {
        self.write(&format!("{line}\r\n")).await?;
        let command = line.split(' ').next().unwrap_or_default();
        self.expect(code, command).await
    }

    /// Reads an answer, whose code must begin so; its lines without the code.
    async fn expect(&mut self, code: &str, what: &str) -> Result<Vec<String>, String> {
        let mut lines = Vec::new();
        for _ in 0..LINES_MAX {
            let mut line = String::new();
            let read = (&mut self.0).take(LINE_BYTES_MAX).read_line(&mut line).await;
            if read.map_err(words)? == 0 || !line.ends_with('\n') {
                return Err(format!("it broke off at {what}"));
            }
            let line = line.trim_end();
            let (Some(given), rest) = (line.get(..3), line.get(4..).unwrap_or_default()) else {
                return Err(format!("it answered {what} by something that is not SMTP"));
            };
            lines.push(rest.to_owned());
            if line.as_bytes().get(3) != Some(&b'-') {
                let said: String = lines.join(" ").chars().take(WORDS_CHARS_MAX).collect();
                return match given.starts_with(code) {
                    true => Ok(lines),
                    false => Err(format!("it answered {what} by {given} {said}")),
                };
            }
        }
        Err(format!("its answer to {what} has no end"))
    }

    /// Says who is here; what the server offers, in capitals.
    async fn hello(&mut self, me: &str) -> Result<Vec<String>, String> {
        let lines = self.ask(&format!("EHLO {me}"), "2").await?;
        Ok(lines.iter().skip(1).map(|line| line.to_ascii_uppercase()).collect())
    }

    async fn log_in(&mut self, offers: &[String], user: &str, password: &str) -> Result<(), String> {
        let offers = |way: &str| {
            let ways = |offer: &String| {
                offer
                    .strip_prefix("AUTH ")
                    .is_some_and(|ways| ways.split(' ').any(|one| one == way))
            };
            offers.iter().any(ways)
        };
        if offers("PLAIN") {
            let both = STANDARD.encode(format!("\0{user}\0{password}"));
            self.ask(&format!("AUTH PLAIN {both}"), "2").await?;
        } else if offers("LOGIN") {
            self.ask("AUTH LOGIN", "3").await?;
            // Not by `ask`: what it says of a failure names the command, and here that would be the secret.
            for (secret, code) in [(user, "3"), (password, "2")] {
                self.write(&format!("{}\r\n", STANDARD.encode(secret))).await?;
                self.expect(code, "AUTH").await?;
            }
        } else {
            return Err("it offers neither AUTH PLAIN nor AUTH LOGIN".to_owned());
        }
        Ok(())
    }
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// This machine's name for a server: its address, as it has no other that is sure.
fn literal(address: SocketAddr) -> String {
    match address.ip() {
        IpAddr::V4(ip) => format!("[{ip}]"),
        IpAddr::V6(ip) => format!("[IPv6:{ip}]"),
    }
}

/// A mail with its end: a line of it that begins with a dot has another one before it (RFC 5321 §4.5.2).
fn stuffed(mail: &str) -> String {
    let mut text = String::with_capacity(mail.len() + 8);
    for line in mail.split_inclusive("\r\n") {
        if line.starts_with('.') {
            text.push('.');
        }
        text.push_str(line);
    }
    if !text.ends_with("\r\n") {
        text.push_str("\r\n");
    }
    text + ".\r\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_dot_is_not_the_end_of_a_mail() {
        assert_eq!(stuffed("a\r\n.\r\n..b"), "a\r\n..\r\n...b\r\n.\r\n");
    }
}
