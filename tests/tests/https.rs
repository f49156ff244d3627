//! The API over HTTPS, against the real daemon: by the site's own certificate, with the same tokens, and not without TLS.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

use rustls::{ClientConfig, ClientConnection, StreamOwned, pki_types::ServerName};
use serde_json::{Value, json};
use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
};
use world::{
    pile,
    station::{SITE, Setup, StationProcess},
};

/// The head and the body of what is answered to a GET on a connection of its own.
fn get(to: SocketAddr, tls: &Arc<ClientConfig>, path: &str, token: Option<&str>) -> io::Result<(String, Value)> {
    let name = ServerName::try_from(to.ip().to_string()).unwrap();
    let connection = ClientConnection::new(Arc::clone(tls), name).unwrap();
    let mut stream = StreamOwned::new(connection, TcpStream::connect(to)?);
    let token = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: station\r\n{}Connection: close\r\n\r\n",
        token.unwrap_or_default()
    )?;
    let mut answer = String::new();
    // An answer that is cut off is no answer: its end is said by TLS.
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    Ok((head.to_owned(), serde_json::from_str(body).unwrap()))
}

fn trusting(authority: &str) -> Arc<ClientConfig> {
    pile::tls(authority.as_bytes(), None).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_is_served_over_https_by_the_sites_own_certificate() {
    let mut station = StationProcess::new("https", &Setup::new()).unwrap();
    let listen = ("HOLDFAST_EDGE__HTTP__TLS__LISTEN".to_owned(), station.https.to_string());
    station.environment.push(listen);
    station.start_again().await.unwrap();
    let made = station
        .post("/v1/tokens", &json!({ "name": "app", "role": "viewer" }))
        .await
        .unwrap()
        .expect(201)
        .unwrap();
    let token = made["token"].as_str().unwrap().to_owned();
    let (https, http) = (station.https, station.http);
    let authority = station.cli(&["authority"]).unwrap();
    let with_tls = Setup {
        tls: Some(String::new()),
        ..Setup::new()
    };
    let other = StationProcess::start("https-other", &with_tls).await.unwrap();
    let stranger = other.cli(&["authority"]).unwrap();
    let asked = tokio::task::spawn_blocking(move || {
        let tls = trusting(&authority);
        let (head, body) = get(https, &tls, "/v1/station", Some(&token)).unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert_eq!(body["site"], SITE);
        let (head, body) = get(https, &tls, "/v1/station", None).unwrap();
        assert!(head.starts_with("HTTP/1.1 401 "), "{head}");
        assert_eq!(body["status"], 401);
        let refused = get(https, &trusting(&stranger), "/v1/station", Some(&token)).unwrap_err();
        assert!(refused.to_string().contains("UnknownIssuer"), "{refused}");

        // What is said there without TLS is not answered, and the other door is as it was.
        let mut plain = TcpStream::connect(https).unwrap();
        plain
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: station\r\n\r\n")
            .unwrap();
        let mut answer = Vec::new();
        let _closed_or_reset = plain.read_to_end(&mut answer);
        assert!(!answer.starts_with(b"HTTP"), "{}", String::from_utf8_lossy(&answer));
        let mut plain = TcpStream::connect(http).unwrap();
        plain
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: station\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        plain.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    });
    asked.await.unwrap();
    assert!(station.terminate().await.unwrap());
}
