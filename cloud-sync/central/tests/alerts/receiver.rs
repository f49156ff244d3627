//! A server of somebody else's that is told by webhook, and does with it what a test wants.

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header::LOCATION},
    response::{IntoResponse, Response},
    routing::post,
};
use central::config::WebhookAddress;
use service::{
    http::serve::{Api, serve},
    tls::Tls,
};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio::{net::TcpListener, sync::watch};

/// What both sides have.
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// What came, and what is answered.
#[derive(Default)]
pub(crate) struct Heard {
    came: Mutex<Vec<(HeaderMap, String)>>,
    status: Mutex<u16>,
    /// What is answered instead to messages of these ids.
    instead: Mutex<BTreeMap<String, u16>>,
    /// Where a redirect leads.
    location: Mutex<String>,
}

/// Not a status: the answer never comes.
pub(crate) const NEVER: u16 = 0;

impl Heard {
    /// What is answered from now on.
    pub(crate) fn answer(&self, status: u16) {
        *self.status.lock().unwrap() = status;
    }

    /// What is answered to the message of this id from now on.
    pub(crate) fn answer_to(&self, id: &str, status: u16) {
        self.instead.lock().unwrap().insert(id.to_owned(), status);
    }

    pub(crate) fn redirect_to(&self, address: &str) {
        *self.location.lock().unwrap() = address.to_owned();
    }

    /// Everything that came, in the order in which it came.
    pub(crate) fn came(&self) -> Vec<(HeaderMap, String)> {
        self.came.lock().unwrap().clone()
    }

    /// The ids of what came.
    pub(crate) fn ids(&self) -> Vec<String> {
        let came = self.came();
        came.iter()
            .map(|(headers, _)| header(headers, "webhook-id").to_owned())
            .collect()
    }
}

async fn hear(State(heard): State<Arc<Heard>>, headers: HeaderMap, body: Bytes) -> Response {
    let body = String::from_utf8(body.to_vec()).unwrap();
    let id = header(&headers, "webhook-id").to_owned();
    heard.came.lock().unwrap().push((headers, body));
    let instead = heard.instead.lock().unwrap().get(&id).copied();
    let status = instead.unwrap_or(*heard.status.lock().unwrap());
    if status == NEVER {
        return std::future::pending().await;
    }
    let location = heard.location.lock().unwrap().clone();
    (StatusCode::from_u16(status).unwrap(), [(LOCATION, location)]).into_response()
}

pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers[name].to_str().unwrap()
}

/// A server; it goes when what is sent to it ends.
pub(crate) struct Server {
    pub(crate) heard: Arc<Heard>,
    pub(crate) address: SocketAddr,
    _stop: watch::Sender<bool>,
}

impl Server {
    pub(crate) async fn start(tls: Option<&Tls>) -> Self {
        Self::at(TcpListener::bind("127.0.0.1:0").await.unwrap(), tls)
    }

    pub(crate) fn at(listener: TcpListener, tls: Option<&Tls>) -> Self {
        let heard = Arc::new(Heard::default());
        heard.answer(204);
        let router = Router::new().route("/told", post(hear)).with_state(Arc::clone(&heard));
        let address = listener.local_addr().unwrap();
        let (stop, stopping) = watch::channel(false);
        let api = Api::new(router, Arc::new(watch::Sender::new(false)), Arc::default());
        tokio::spawn(serve(listener, tls.map(Tls::https_configs), 128, api, stopping));
        Self {
            heard,
            address,
            _stop: stop,
        }
    }
}

pub(crate) fn plain(server: &Server) -> WebhookAddress {
    plain_at(server.address)
}

pub(crate) fn plain_at(at: SocketAddr) -> WebhookAddress {
    let path = "/told".to_owned();
    WebhookAddress::Plain { at, path }
}
