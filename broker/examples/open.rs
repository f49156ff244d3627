//! The broker with a gatekeeper that lets everybody do everything: something to point a conformance suite or a load
//! tool at. `cargo run -p holdfast-broker --example open -- 1883`. Never for production.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use broker::{
    Admitted, BoxFuture, Broker, Client, ClientIdRule, Config, ConnectRefusal, ConnectRequest, Gatekeeper, Identity,
    Publish, QoS, Receipt, Route, Subscribing,
};
use tokio::net::TcpListener;

struct Open;

impl Gatekeeper for Open {
    fn authenticate<'a>(&'a self, request: &'a ConnectRequest) -> BoxFuture<'a, Result<Admitted, ConnectRefusal>> {
        let name = request.user_name.as_deref().unwrap_or("anonymous");
        Box::pin(async move { Ok(Identity::new(name).into()) })
    }

    fn authorize_will(&self, _client: &Client, _topic: &str, _qos: QoS, _retain: bool) -> bool {
        true
    }

    fn authorize_publish(&self, _client: &Client, _topic: &str, _qos: QoS, _retain: bool) -> bool {
        true
    }

    fn authorize_subscribe(&self, _client: &Client, filter: &str) -> Subscribing {
        // The one filter that Eclipse Paho's conformance tests want refused.
        if filter == "test/nosubscribe" {
            Subscribing::Refused
        } else {
            Subscribing::Shared(QoS::ExactlyOnce)
        }
    }

    fn deliver(&self, _client: &Client, _publish: &Publish, receipt: Receipt) -> Route {
        receipt.acknowledge();
        Route::PassOn
    }
}

fn main() -> std::io::Result<()> {
    broker::runtime().build()?.block_on(serve())
}

async fn serve() -> std::io::Result<()> {
    let port = std::env::args()
        .nth(1)
        .and_then(|port| port.parse().ok())
        .unwrap_or(1883);
    let config = Config {
        client_id_rule: ClientIdRule::Any,
        connections_max: 20_000,
        connections_per_address_max: 20_000,
        client_ids_per_identity_max: 20_000,
        sessions_max: 40_000,
        packet_rate: None,
        login_rate: None,
        packet_bytes_max: 2 * 1024 * 1024,
        topic_bytes_max: 65_535,
        topic_levels_max: 256,
        subscriptions_max: 256,
        receive_maximum: 100,
        // The Server Keep Alive that Eclipse Paho's tests expect is two thirds of it.
        silence_max: Duration::from_secs(90),
        shared_links_max: 5_000,
        shared_filters_max: 5_000,
        ..Config::default()
    };
    let broker = Broker::new(config, Arc::new(Open));
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
    tokio::spawn(broker.serve(listener));
    tokio::select! {
        () = broker.router_died() => return Err(std::io::Error::other("the router has died")),
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    broker.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
