//! The Unix socket in the data directory. Access to the directory makes a client the operator.

use std::future::Future;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::UnixListener;

use super::admin_router;
use crate::gateway::Gateway;

/// Name of the socket in the data directory.
pub const SOCKET_NAME: &str = "handfast.sock";
/// Maximum length of a socket path in bytes (`sun_path` has 108, the last one zero).
const MOST_PATH: usize = 107;

/// The reason for which the operator's socket could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SocketError {
    /// The path does not fit a socket address.
    #[error(
        "{path}: a socket path may have at most {MOST_PATH} bytes and this one has {length}; choose a shorter data directory with --data"
    )]
    TooLong {
        /// Path of the socket.
        path: PathBuf,
        /// The length of the path in bytes.
        length: usize,
    },
    /// A system call failed.
    #[error("{path}: the operator's socket cannot be opened: {source}")]
    Io {
        /// Path of the socket.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The directory is not fit for a group's socket.
    #[error("{directory}: the operators' socket cannot be there: {problem}")]
    Directory {
        /// Directory of the socket.
        directory: PathBuf,
        /// What is wrong, and what mends it.
        problem: String,
    },
    /// The socket or its directory cannot be given to the group.
    #[error(
        "{path}: cannot be given to the group {group}: {source}; only root and members of a group may do that: usermod -aG {group} USER, with the gateway's user, and start it again"
    )]
    Group {
        /// Path of the socket or its directory.
        path: PathBuf,
        /// Name of the group.
        group: String,
        /// The system's error.
        source: std::io::Error,
    },
}

/// Returns the path of a data directory's socket, after checking that it fits a socket address.
///
/// # Errors
/// [`SocketError::TooLong`].
pub fn socket_path(data: &Path) -> Result<PathBuf, SocketError> {
    let path = data.join(SOCKET_NAME);
    let length = path.as_os_str().len();
    if length > MOST_PATH { Err(SocketError::TooLong { path, length }) } else { Ok(path) }
}

/// Opens the socket of a data directory with mode 0600, and replaces one that a killed gateway
/// left. Call it only while holding the store of that directory, which ensures that no other
/// gateway serves the replaced socket.
///
/// # Errors
/// [`SocketError`] with the cause.
pub fn bind(data: &Path) -> Result<UnixListener, SocketError> {
    let path = socket_path(data)?;
    let io = |source| SocketError::Io { path: path.clone(), source };
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(error)),
        _ => {}
    }
    let listener = UnixListener::bind(&path).map_err(io)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(io)?;
    Ok(listener)
}

/// Interval at which the socket's file is checked.
const LOOK_EVERY: std::time::Duration = std::time::Duration::from_secs(1);

/// Returns the device and inode of a path.
fn file_at(path: &Path) -> Option<(u64, u64)> {
    let found = std::fs::symlink_metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

/// Creates the socket again if its file is gone or was replaced. `None` if the file is in place, or
/// the socket cannot be created yet.
fn restored(
    path: &Path,
    again: impl FnOnce() -> Result<UnixListener, SocketError>,
    own: &mut Option<(u64, u64)>,
    warned: &mut bool,
) -> Option<UnixListener> {
    if own.is_some() && file_at(path) == *own {
        return None;
    }
    match again() {
        Ok(listener) => {
            (*own, *warned) = (file_at(path), false);
            tracing::warn!(
                "{}: the operator's socket was removed; it is there again",
                path.display()
            );
            Some(listener)
        }
        Err(error) => {
            if !*warned {
                *warned = true;
                tracing::error!(%error, "the operator's socket was removed and cannot be made again yet");
            }
            None
        }
    }
}

/// Serves the operator's routes on the socket until `until` ends; requests in progress are
/// finished. A socket whose file is removed is created again.
pub async fn serve_admin(
    gateway: Gateway,
    listener: UnixListener,
    until: impl Future<Output = ()>,
) {
    let path =
        listener.local_addr().ok().and_then(|address| address.as_pathname().map(Path::to_owned));
    // A socket that the caller bound under another name is the caller's to maintain.
    let kept = path.filter(|path| path.ends_with(SOCKET_NAME));
    let directory = kept.as_deref().and_then(Path::parent).map(Path::to_owned);
    let again = || bind(directory.as_deref().unwrap_or(Path::new(".")));
    serve_restoring(gateway, listener, kept.as_deref(), again, until).await;
}

/// Serves the operator's routes on a socket. The file at `kept` is looked after: if it is gone,
/// `again` makes it anew.
pub(super) async fn serve_restoring(
    gateway: Gateway,
    mut listener: UnixListener,
    kept: Option<&Path>,
    again: impl Fn() -> Result<UnixListener, SocketError>,
    until: impl Future<Output = ()>,
) {
    let router = admin_router(&gateway);
    let graceful = hyper_util::server::graceful::GracefulShutdown::new();
    let mut own = kept.and_then(file_at);
    let mut warned = false;
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    tokio::pin!(until);
    loop {
        let stream = tokio::select! {
            () = &mut until => break,
            _ = look.tick() => {
                if let Some(made) = kept.and_then(|path| restored(path, &again, &mut own, &mut warned)) {
                    listener = made;
                }
                continue;
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "an operator's connection could not be accepted");
                    // Without free file descriptors, accepting would fail again at once.
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        let mut builder =
            hyper_util::server::conn::auto::Builder::new(TokioExecutor::new()).http1_only();
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(std::time::Duration::from_secs(10));
        let service = TowerToHyperService::new(router.clone());
        let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
        let watched = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = watched.await {
                tracing::debug!(%error, "an operator's connection ended");
            }
        });
    }
    let _ = tokio::time::timeout(std::time::Duration::from_secs(5), graceful.shutdown()).await;
}
