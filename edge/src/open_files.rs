//! The limit of open files: each connection is one. Systems hand out 1,024 unless they are asked.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use service::http::{serve::TCP_CONNECTIONS_MAX, unix::UNIX_CONNECTIONS_MAX};

/// For the database, listeners, timers, logs, and whoever is being turned away.
const OTHERS: usize = 256;

/// Makes room for `mqtt_connections_max` and everything else, as far as the system allows; says so where it does not.
pub(crate) fn make_room(mqtt_connections_max: usize) {
    let needed = mqtt_connections_max + TCP_CONNECTIONS_MAX + UNIX_CONNECTIONS_MAX + OTHERS;
    let needed = u64::try_from(needed).unwrap_or(u64::MAX);
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(now, most)| {
        let room = needed.min(most);
        if now < room {
            setrlimit(Resource::RLIMIT_NOFILE, room, most)?;
        }
        Ok(room.max(now))
    });
    match raised {
        Ok(room) if room >= needed => tracing::debug!(room, "open files"),
        Ok(room) => tracing::warn!(
            "the system allows {room} open files, and `connections_max` under `[mqtt]` needs {needed}: some connections will fail; raise the limit (LimitNOFILE of the service) or lower `connections_max`"
        ),
        Err(error) => tracing::warn!(%error, "the limit of open files cannot be read or raised"),
    }
}
