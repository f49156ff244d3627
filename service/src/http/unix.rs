//! The listener on a Unix socket, where the file's permissions decide who may call.

use super::{
    access::LocalPeer,
    serve::{Api, Connections, Peer, pause},
};
use anyhow::{Context, bail};
use std::{
    io::ErrorKind,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::watch,
};

/// The most connections on the Unix socket.
pub const UNIX_CONNECTIONS_MAX: usize = 64;

/// A Unix socket that listens. Callers wait until it is served.
#[derive(Debug)]
pub struct UnixSocket {
    listener: UnixListener,
    path: PathBuf,
    only: Option<&'static str>,
}

impl UnixSocket {
    /// The same, whose callers have this one role and no other, whatever token they show.
    #[must_use]
    pub fn only_for(mut self, role: &'static str) -> Self {
        self.only = Some(role);
        self
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Serves the API on a Unix socket, as [`serve`](super::serve::serve) does on TCP, and removes it at the end.
///
/// # Errors
/// None so far: a connection that fails ends alone.
pub async fn serve_unix(socket: UnixSocket, api: Api, stopping: watch::Receiver<bool>) -> anyhow::Result<()> {
    let UnixSocket { listener, path, only } = socket;
    let mut connections = Connections::new(&api, UNIX_CONNECTIONS_MAX, stopping);
    loop {
        let Some(permit) = connections.permit().await else {
            break;
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = connections.stopped() => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let uid = stream.peer_cred().ok().map(|credentials| credentials.uid());
                connections.take(stream, Peer::Local(LocalPeer { uid, only }), (permit, None));
            }
            Err(error) => pause(&error).await,
        }
    }
    drop(listener);
    let _already_gone = std::fs::remove_file(&path);
    connections.drain(&api).await;
    Ok(())
}

/// Listens on a Unix socket at `path`. It appears there with its permissions (0660) set, or not at all; a file left
/// behind by a daemon that is gone is replaced.
///
/// # Errors
/// If another process answers on the socket, or something else than a socket is there, or it cannot be made.
pub async fn bind_unix(path: &Path) -> anyhow::Result<UnixSocket> {
    match UnixStream::connect(path).await {
        Ok(_) => bail!(
            "another process answers on {}: a running daemon? Stop it first, or set another path",
            path.display()
        ),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {}
        Err(error) => {
            return Err(error).with_context(|| format!("cannot tell whether {} is in use", path.display()));
        }
    }
    let is_other = std::fs::symlink_metadata(path)
        .is_ok_and(|found| !std::os::unix::fs::FileTypeExt::is_socket(&found.file_type()));
    if is_other {
        bail!("{} is there and is not a socket; set another path", path.display());
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    let _left_behind = std::fs::remove_file(&new);
    let listener = UnixListener::bind(&new).with_context(|| format!("cannot listen on {}", new.display()))?;
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o660))
        .with_context(|| format!("cannot set the permissions of {}", new.display()))?;
    std::fs::rename(&new, path).with_context(|| format!("cannot put the socket at {}", path.display()))?;
    Ok(UnixSocket {
        listener,
        path: path.to_owned(),
        only: None,
    })
}
