//! A daemon's HTTP API from the other side: over its Unix socket, or over TCP; one connection a
//! request, or one for all of them.
//! Whoever may open the socket may do everything; who shows a token there is who the token says.

mod content;

use crate::{
    escape::Escaped,
    http::{idempotency::IDEMPOTENCY_KEY, problem::Details},
    public::is_public,
};
use bytes::Bytes;
use content::{Content, OfFile, Sent};
use domain::journal::hex;
use http_body_util::{BodyExt, Limited};
use hyper::{HeaderMap, Method, Request, Response, body::Incoming, client::conn::http1::SendRequest, header};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde::{Serialize, de::DeserializeOwned};
use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream, lookup_host},
};
use tokio_rustls::TlsConnector;

/// How long an answer may take where the caller says nothing else.
const TIME_MAX: Duration = Duration::from_secs(30);

/// Where a daemon is, and who asks.
#[derive(Debug, Clone)]
pub struct Client {
    at: At,
    token: Option<String>,
    time_max: Duration,
    answer_max: usize,
    public_only: bool,
}

#[derive(Debug, Clone)]
enum At {
    Socket(PathBuf),
    Tcp(SocketAddr),
    Tls {
        /// Host name or address, which is also the name in the daemon's certificate.
        host: String,
        port: u16,
        config: TlsClient,
    },
}

/// What HTTPS is spoken with.
#[derive(Clone)]
struct TlsClient(Arc<rustls::ClientConfig>);

impl std::fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsClient")
    }
}

/// One connection to a daemon, made again where it is found closed.
#[derive(Debug)]
pub struct Kept {
    client: Client,
    sender: Option<Sender>,
}

type Sender = SendRequest<Sent>;

/// A request on its way.
#[derive(Debug, Clone)]
pub struct Call {
    method: Method,
    path: String,
    headers: Vec<(String, String)>,
    body: Content,
}

/// What came back, whatever its status.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// Why there is no answer, or not the one that was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// Nobody is there.
    #[error("cannot reach the daemon at {at}: is it running, and may you open the socket (group holdfast)? ({cause})")]
    Unreachable {
        /// Where it should be.
        at: String,
        /// What the system says.
        cause: io::Error,
    },
    /// Nobody is asked: the server is inside of a private network, and only those on the Internet may be asked.
    #[error("{at} is at {address}, which is inside of a private network")]
    Private {
        /// Where it is.
        at: String,
        /// Its address.
        address: IpAddr,
    },
    /// The connection broke, or is no HTTP.
    #[error("the daemon at {at} did not answer: {cause}")]
    Broken {
        /// Where it is.
        at: String,
        /// What went wrong.
        cause: String,
    },
    /// No answer in time.
    #[error("the daemon at {at} did not answer in {time_max:?}")]
    TooSlow {
        /// Where it is.
        at: String,
        /// How long was waited.
        time_max: Duration,
    },
    /// The daemon says no.
    #[error("{} ({status})", Escaped(problem.as_ref().map_or("no reason given", |problem| &problem.detail)))]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Why, where it said so.
        problem: Option<Box<Details>>,
    },
    /// The answer is not what was asked for.
    #[error("the daemon's answer cannot be read: {0}")]
    Unreadable(String),
}

impl Call {
    /// A request without a body.
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            headers: Vec::new(),
            body: Content::Bytes(Bytes::new()),
        }
    }

    /// GET.
    pub fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    /// PUT.
    pub fn put(path: impl Into<String>) -> Self {
        Self::new(Method::PUT, path)
    }

    /// DELETE.
    pub fn delete(path: impl Into<String>) -> Self {
        Self::new(Method::DELETE, path)
    }

    /// A POST that counts once for `key`.
    pub fn post(path: impl Into<String>, key: &str) -> Self {
        Self::new(Method::POST, path).header(IDEMPOTENCY_KEY, key)
    }

    /// Whether it does no more when it comes twice: by its method (RFC 9110 §9.2.2), or by its key.
    fn counts_once(&self) -> bool {
        let has_key = || {
            self.headers
                .iter()
                .any(|(name, _)| name.eq_ignore_ascii_case(IDEMPOTENCY_KEY))
        };
        self.method.is_idempotent() || has_key()
    }

    /// The same with a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The same with a JSON body.
    ///
    /// # Errors
    /// The value cannot be written as JSON.
    pub fn json(self, body: &impl Serialize) -> Result<Self, Failed> {
        let body = serde_json::to_vec(body).map_err(|error| Failed::Unreadable(error.to_string()))?;
        Ok(self.content("application/json", body))
    }

    /// The same with a body, whatever it is.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Content::Bytes(body.into());
        self
    }

    /// The same with what is in a file, which is read as it is sent. For command lines: whoever else is served by this thread waits for the
    /// disk.
    ///
    /// # Errors
    /// The system says no.
    pub fn file(mut self, media_type: &str, file: std::fs::File) -> io::Result<Self> {
        self.body = Content::File(OfFile::new(file)?);
        Ok(self.header(header::CONTENT_TYPE.as_str(), media_type))
    }

    /// The same with a body of this media type.
    #[must_use]
    pub fn content(self, media_type: &str, body: impl Into<Bytes>) -> Self {
        self.body(body).header(header::CONTENT_TYPE.as_str(), media_type)
    }
}

impl Client {
    /// The daemon behind this Unix socket.
    pub fn at_socket(path: impl Into<PathBuf>) -> Self {
        Self {
            at: At::Socket(path.into()),
            token: None,
            time_max: TIME_MAX,
            answer_max: usize::MAX,
            public_only: false,
        }
    }

    /// The daemon behind this address, without TLS.
    pub fn at_address(address: SocketAddr) -> Self {
        Self {
            at: At::Tcp(address),
            ..Self::at_socket("")
        }
    }

    /// The daemon at this host and port, over TLS.
    pub fn at_https(host: impl Into<String>, port: u16, config: Arc<rustls::ClientConfig>) -> Self {
        let (host, config) = (host.into(), TlsClient(config));
        Self {
            at: At::Tls { host, port, config },
            ..Self::at_socket("")
        }
    }

    /// The same with a token.
    #[must_use]
    pub fn with_token(mut self, token: Option<String>) -> Self {
        self.token = token;
        self
    }

    /// The same with more patience, or less.
    #[must_use]
    pub fn within(mut self, time_max: Duration) -> Self {
        self.time_max = time_max;
        self
    }

    /// The same, where no answer may have a body of more bytes.
    #[must_use]
    pub fn answers_up_to(mut self, answer_max: usize) -> Self {
        self.answer_max = answer_max;
        self
    }

    /// The same for a server of somebody else's: it is asked only where it is on the Internet, whatever its name says by then.
    #[must_use]
    pub fn on_the_internet_alone(mut self) -> Self {
        self.public_only = true;
        self
    }

    /// Asks, and gives back whatever is answered.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn ask(&self, call: Call) -> Result<Answer, Failed> {
        let (client, sender) = (self.clone(), None);
        Kept { client, sender }.ask(call).await
    }

    /// Asks, and reads the answer of a request that succeeds.
    ///
    /// # Errors
    /// There is no answer, it is a refusal, or something else than a `T`.
    pub async fn read<T: DeserializeOwned>(&self, call: Call) -> Result<T, Failed> {
        self.ask(call).await?.read()
    }

    /// Asks, and writes the body of an answer that succeeds as it comes: how many bytes. For command lines: whoever else is served by
    /// this thread waits for the disk.
    ///
    /// # Errors
    /// There is no answer, it is a refusal, or it cannot be written.
    pub async fn save(&self, call: Call, to: &mut impl io::Write) -> Result<u64, Failed> {
        let saved = tokio::time::timeout(self.time_max, self.save_at_leisure(call, to)).await;
        saved.unwrap_or_else(|_| {
            Err(Failed::TooSlow {
                at: self.place(),
                time_max: self.time_max,
            })
        })
    }

    async fn save_at_leisure(&self, call: Call, to: &mut impl io::Write) -> Result<u64, Failed> {
        let mut sender = self.connect().await?;
        let response = self.send(&mut sender, call).await?;
        if !response.status().is_success() {
            let refused = self.read_whole(response).await?.success()?;
            return Ok(refused.body.len() as u64);
        }
        let (mut body, mut bytes) = (response.into_body(), 0);
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame.map_err(|error| self.broken(&error))?.into_data() {
                bytes += data.len() as u64;
                to.write_all(&data).map_err(|error| self.broken(&error))?;
            }
        }
        Ok(bytes)
    }

    /// Every item of a list, page by page. `path` may have a query.
    ///
    /// # Errors
    /// As [`Client::read`].
    pub async fn all<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, Failed> {
        #[derive(serde::Deserialize)]
        struct Page<T> {
            items: Vec<T>,
            next: Option<Next>,
        }
        #[derive(serde::Deserialize)]
        #[serde(untagged)]
        enum Next {
            Text(String),
            Number(u64),
        }
        let and = if path.contains('?') { '&' } else { '?' };
        let (mut items, mut cursor) = (Vec::new(), String::new());
        loop {
            let page: Page<T> = self.read(Call::get(format!("{path}{and}limit=200{cursor}"))).await?;
            items.extend(page.items);
            cursor = match page.next {
                None => return Ok(items),
                Some(Next::Text(next)) => format!("&cursor={next}"),
                Some(Next::Number(next)) => format!("&cursor={next}"),
            };
        }
    }

    /// The same on one connection, which is made now and kept for the next request.
    ///
    /// # Errors
    /// Nobody is there.
    pub async fn kept(self) -> Result<Kept, Failed> {
        let sender = Some(self.connect().await?);
        Ok(Kept { client: self, sender })
    }

    async fn connect(&self) -> Result<Sender, Failed> {
        let unreachable = |cause| Failed::Unreachable {
            at: self.place(),
            cause,
        };
        match &self.at {
            At::Socket(path) => self.begin(UnixStream::connect(path).await.map_err(unreachable)?).await,
            At::Tcp(address) => {
                let allowed = self.allowed([*address])?;
                let stream = TcpStream::connect(&*allowed).await.map_err(unreachable)?;
                stream.set_nodelay(true).map_err(unreachable)?;
                self.begin(stream).await
            }
            At::Tls { host, port, config } => {
                let found = lookup_host((host.as_str(), *port)).await.map_err(unreachable)?;
                // Connected to is what was looked at: a name may mean another address the next moment.
                let allowed = self.allowed(found)?;
                let stream = TcpStream::connect(&*allowed).await.map_err(unreachable)?;
                stream.set_nodelay(true).map_err(unreachable)?;
                let name = ServerName::try_from(host.clone()).map_err(|error| self.broken(&error))?;
                let tls = TlsConnector::from(Arc::clone(&config.0));
                let stream = tls.connect(name, stream).await.map_err(|error| self.broken(&error))?;
                self.begin(stream).await
            }
        }
    }

    /// Those of a server's addresses at which it may be asked; all of them must be such.
    fn allowed(&self, found: impl IntoIterator<Item = SocketAddr>) -> Result<Vec<SocketAddr>, Failed> {
        let found: Vec<SocketAddr> = found.into_iter().collect();
        let inside = found.iter().find(|address| !is_public(address.ip()));
        match inside {
            Some(address) if self.public_only => Err(Failed::Private {
                at: self.place(),
                address: address.ip(),
            }),
            _ => Ok(found),
        }
    }

    /// The connection's task ends with its sender.
    async fn begin<S>(&self, stream: S) -> Result<Sender, Failed>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.broken(&error))?;
        tokio::spawn(async move {
            // Whoever asked is told.
            let _ended = connection.await;
        });
        Ok(sender)
    }

    /// Sends a request and waits for the head of its answer.
    async fn send(&self, sender: &mut Sender, call: Call) -> Result<Response<Incoming>, Failed> {
        let mut request = Request::builder()
            .method(call.method)
            .uri(call.path)
            .header(header::HOST, self.host());
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        for (name, value) in &call.headers {
            request = request.header(name, value);
        }
        let request = request.body(call.body.send()).map_err(|error| self.broken(&error))?;
        sender.send_request(request).await.map_err(|error| self.broken(&error))
    }

    async fn read_whole(&self, response: Response<Incoming>) -> Result<Answer, Failed> {
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, self.answer_max).collect().await;
        let body = body.map_err(|error| self.broken(&error))?.to_bytes();
        Ok(Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body,
        })
    }

    fn broken(&self, cause: &dyn std::fmt::Display) -> Failed {
        Failed::Broken {
            at: self.place(),
            cause: cause.to_string(),
        }
    }

    /// What a server that has several names goes by.
    fn host(&self) -> String {
        match &self.at {
            At::Socket(_) | At::Tcp(_) => "localhost".to_owned(),
            At::Tls { host, port: 443, .. } => host.clone(),
            At::Tls { host, port, .. } => format!("{host}:{port}"),
        }
    }

    fn place(&self) -> String {
        match &self.at {
            At::Socket(path) => path.display().to_string(),
            At::Tcp(address) => address.to_string(),
            At::Tls { host, port, .. } => format!("https://{host}:{port}"),
        }
    }
}

impl Kept {
    /// Asks, and gives back whatever is answered. A connection that is found closed is made again. Where the daemon closes it
    /// in this very moment, nobody knows whether it has heard: what counts once however often it comes is sent again, once,
    /// on a new connection; anything else is broken.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn ask(&mut self, call: Call) -> Result<Answer, Failed> {
        let time_max = self.client.time_max;
        let asked = tokio::time::timeout(time_max, self.ask_at_leisure(call)).await;
        asked.unwrap_or_else(|_| {
            Err(Failed::TooSlow {
                at: self.client.place(),
                time_max,
            })
        })
    }

    async fn ask_at_leisure(&mut self, call: Call) -> Result<Answer, Failed> {
        // What is cut off in the middle of an answer is not used again.
        if let Some(mut sender) = self.sender.take()
            && sender.ready().await.is_ok()
        {
            match self.client.send(&mut sender, call.clone()).await {
                Err(Failed::Broken { .. }) if call.counts_once() => {}
                sent => return self.finish(sender, sent?).await,
            }
        }
        let mut sender = self.client.connect().await?;
        let sent = self.client.send(&mut sender, call).await?;
        self.finish(sender, sent).await
    }

    async fn finish(&mut self, sender: Sender, sent: Response<Incoming>) -> Result<Answer, Failed> {
        let answer = self.client.read_whole(sent).await?;
        self.sender = Some(sender);
        Ok(answer)
    }
}

impl Answer {
    /// The same, if its status says success.
    ///
    /// # Errors
    /// It is a refusal.
    pub fn success(self) -> Result<Self, Failed> {
        if (200..300).contains(&self.status) {
            return Ok(self);
        }
        Err(Failed::Refused {
            status: self.status,
            problem: serde_json::from_slice(&self.body).ok(),
        })
    }

    /// Its JSON, if its status says success. An answer without content reads as `null`.
    ///
    /// # Errors
    /// It is a refusal, or something else than a `T`.
    pub fn read<T: DeserializeOwned>(self) -> Result<T, Failed> {
        let answer = self.success()?;
        let body: &[u8] = if answer.body.is_empty() { b"null" } else { &answer.body };
        serde_json::from_slice(body).map_err(|error| Failed::Unreadable(error.to_string()))
    }

    /// Its text, if its status says success.
    ///
    /// # Errors
    /// It is a refusal, or no text.
    pub fn text(self) -> Result<String, Failed> {
        let answer = self.success()?;
        String::from_utf8(answer.body.into()).map_err(|error| Failed::Unreadable(error.to_string()))
    }
}

/// A key that no other request has.
///
/// # Errors
/// If the operating system gives no randomness.
pub fn new_key() -> Result<String, getrandom::Error> {
    let mut random = [0_u8; 16];
    getrandom::fill(&mut random)?;
    Ok(hex(&random))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{
        io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
        net::TcpListener,
        sync::mpsc,
        task::JoinHandle,
    };

    /// Reads the head of a request (none of these has a body) and returns its method; `None` at the end.
    async fn head(stream: &mut BufReader<TcpStream>) -> Option<String> {
        let (mut method, mut line) = (None, String::new());
        loop {
            line.clear();
            if stream.read_line(&mut line).await.unwrap() == 0 {
                return None;
            }
            if line == "\r\n" {
                return method;
            }
            method = method.or_else(|| line.split(' ').next().map(str::to_owned));
        }
    }

    /// A daemon that answers the first request of each connection and keeps it, but hears the second and closes. What it has
    /// heard.
    async fn closing() -> (Client, mpsc::UnboundedReceiver<String>, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = Client::at_address(listener.local_addr().unwrap());
        let (tell, heard) = mpsc::unbounded_channel();
        let daemon = tokio::spawn(async move {
            loop {
                let mut stream = BufReader::new(listener.accept().await.unwrap().0);
                let Some(first) = head(&mut stream).await else {
                    continue;
                };
                tell.send(first).unwrap();
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
                stream.get_mut().write_all(answer).await.unwrap();
                if let Some(second) = head(&mut stream).await {
                    tell.send(second).unwrap();
                }
            }
        });
        (client, heard, daemon)
    }

    fn all(heard: &mut mpsc::UnboundedReceiver<String>) -> Vec<String> {
        std::iter::from_fn(|| heard.try_recv().ok()).collect()
    }

    #[tokio::test]
    async fn what_counts_once_is_sent_again_when_a_kept_connection_is_closed_under_it() {
        for call in [
            Call::get("/"),
            Call::put("/"),
            Call::delete("/"),
            Call::post("/", "key"),
            Call::new(Method::POST, "/").header("Idempotency-Key", "key"),
        ] {
            let (client, mut heard, daemon) = closing().await;
            let mut kept = client.kept().await.unwrap();
            assert_eq!(kept.ask(Call::get("/first")).await.unwrap().status, 200);
            let method = call.method.to_string();
            assert_eq!(kept.ask(call).await.unwrap().status, 200, "{method}");
            assert_eq!(
                all(&mut heard),
                ["GET", &*method, &*method],
                "once more, and on a new connection"
            );
            daemon.abort();
        }
    }

    #[tokio::test]
    async fn what_could_count_twice_is_not_sent_again_and_nothing_is_sent_a_third_time() {
        let (client, mut heard, daemon) = closing().await;
        let mut kept = client.kept().await.unwrap();
        kept.ask(Call::get("/first")).await.unwrap();
        let asked = kept.ask(Call::new(Method::POST, "/")).await;
        assert!(matches!(asked, Err(Failed::Broken { .. })), "{asked:?}");
        assert_eq!(all(&mut heard), ["GET", "POST"]);
        daemon.abort();

        // One that closes whatever comes.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut kept = Client::at_address(listener.local_addr().unwrap()).kept().await.unwrap();
        let daemon = tokio::spawn(async move {
            let mut connections = 0;
            while let Ok((stream, _)) = listener.accept().await {
                connections += 1;
                let asked = head(&mut BufReader::new(stream)).await;
                if connections == 2 {
                    return asked;
                }
            }
            None
        });
        let asked = kept.ask(Call::get("/")).await;
        assert!(matches!(asked, Err(Failed::Broken { .. })), "{asked:?}");
        assert_eq!(
            daemon.await.unwrap().as_deref(),
            Some("GET"),
            "on the second connection"
        );
    }
}
