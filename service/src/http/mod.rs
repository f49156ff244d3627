//! The front of an HTTP API: what every daemon answers alike, whatever its resources are.
//!
//! | file | holds |
//! |---|---|
//! | [`problem`] | errors (RFC 9457) with extension members |
//! | [`body`], [`page`], [`idempotency`] | requests, read strictly; cursors; the key of a repeatable POST |
//! | [`access`], [`roles`] | tokens and roles; what an operation needs is declared in its `security` |
//! | [`request_id`] | the number by which a request is found in the log |
//! | [`limit`], [`write_timeout`] | what one address or caller may take, and how long a caller may not read |
//! | [`serve`], [`unix`] | listeners: TCP and TLS with tokens, the Unix socket with file permissions |
//! | [`feed`] | WebSockets: the present first, then what changes |
//! | [`metrics`] | numbers as Prometheus reads them |
//! | [`openapi`] | what all operations of a document have in common |

pub mod access;
pub mod body;
pub mod feed;
pub mod idempotency;
pub mod limit;
pub mod metrics;
pub mod openapi;
pub mod page;
pub mod problem;
pub mod request_id;
pub mod roles;
pub mod serve;
pub mod unix;
pub mod write_timeout;

use tokio::sync::watch;

/// Returns when `flag` is true, or its sender is gone.
pub async fn becomes_true(flag: &mut watch::Receiver<bool>) {
    let _sender_gone = flag.wait_for(|flag| *flag).await;
}
