//! What Holdfast's daemons share. Nothing in here decides: what is right for orders and money is said elsewhere.
//!
//! | module | holds |
//! |---|---|
//! | [`http`] | an API's front: listeners, tokens and roles, strict requests, problems, limits, WebSocket feeds |
//! | [`tls`] | certificates from files or from an own authority, and whose certificates are believed |
//! | [`config`] | configuration files with overrides from the environment, and faults told by file, line and key |
//! | [`secret`] | secrets that are shown once and kept as hashes |
//! | [`log`] | lines that wait in a bounded queue: whoever says something waits for nobody |
//! | [`folder`] | folders that only their owner may enter |
//! | [`systemd`] | readiness, patience and the watchdog |
//! | [`table`] | answers as text for people |
//! | [`escape`] | texts of strangers, made fit for a person's screen |
//! | [`wire`] | amounts and times as they stand in requests and answers |
//! | [`client`] | the same API from the other side |
//! | [`public`] | which addresses are on the Internet |
//!
//! *Architecture Invariant:* [`http`], [`tls`], [`config`], [`secret`] and [`systemd`] know no order and no pile; [`wire`]
//! and [`client`] stand beside them. Nothing in here names redb, rumqttd or SQL.

pub mod client;
pub mod config;
pub mod escape;
pub mod folder;
pub mod http;
pub mod log;
pub mod public;
pub mod secret;
pub mod systemd;
pub mod table;
pub mod tls;
pub mod wire;
