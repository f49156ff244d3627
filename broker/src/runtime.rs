//! The thread that connections are served on.

use std::{future::Future, io, thread};
use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
};

/// A runtime on which connections that are ready are served in turn.
///
/// It has one thread and one queue. A runtime of several threads has queues of its own for each of them and a common one, and
/// with a thousand connections that all have something to say some are served many times while others wait; on two
/// processors that also serve those who ask, its slowest hundredth waited three times as long (docs/numbers.md). What a
/// connection has to be served with is little: whatever decides is on other threads.
pub fn runtime() -> Builder {
    let mut builder = Builder::new_current_thread();
    builder.enable_all();
    builder
}

/// A thread of its own with such a runtime. Whatever is served on it ends with it.
#[derive(Debug)]
pub struct ServingThread {
    runtime: Handle,
    _stop: oneshot::Sender<()>,
}

impl ServingThread {
    /// Starts it.
    ///
    /// # Errors
    /// The system has no thread for it.
    pub fn start() -> io::Result<Self> {
        let runtime = runtime().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        thread::Builder::new().name("mqtt".to_owned()).spawn(move || {
            let _dropped = runtime.block_on(stopped);
            // Work that was handed to other threads is not waited for.
            runtime.shutdown_background();
        })?;
        Ok(Self {
            runtime: handle,
            _stop: stop,
        })
    }

    /// Serves on it: what [`Broker::serve`](crate::Broker::serve) returns.
    pub fn serve(&self, serving: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(serving);
    }
}
