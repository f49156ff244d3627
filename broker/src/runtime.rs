//! The runtime that connections are served on.

use tokio::runtime::Builder;

/// Threads on which a connection that is ready waits less while others are served again.
///
/// A thread of tokio's has a queue of its own for 256 tasks; what is ready beyond that waits in a common one, at which it
/// looks now and then. With a thousand connections that all have something to say, those in the short queue are served
/// again meanwhile. Here a thread looks at the common queue before each task; `cargo xtask bench fair` measures what is left.
pub fn runtime() -> Builder {
    let mut builder = Builder::new_multi_thread();
    builder.enable_all().global_queue_interval(1);
    builder
}
