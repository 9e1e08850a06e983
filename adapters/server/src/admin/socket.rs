//! The Unix socket in the data directory. Who may open the directory is the operator.

use std::future::Future;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::UnixListener;

use super::admin_router;
use crate::gateway::Gateway;

/// The socket's name in the data directory.
pub const SOCKET_NAME: &str = "handfast.sock";
/// Longest path that fits a socket address (`sun_path` is 108 bytes, the last one zero).
const MOST_PATH: usize = 107;

/// Why the operator's socket could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The path does not fit a socket address.
    #[error(
        "{path}: a socket path may have at most {MOST_PATH} bytes and this one has {length}; choose a shorter data directory with --data"
    )]
    TooLong {
        /// The path.
        path: PathBuf,
        /// Its length in bytes.
        length: usize,
    },
    /// The system refused.
    #[error("{path}: the operator's socket cannot be opened: {source}")]
    Io {
        /// The path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Checks that a data directory's socket path fits a socket address, and gives it.
///
/// # Errors
/// [`SocketError::TooLong`].
pub fn socket_path(data: &Path) -> Result<PathBuf, SocketError> {
    let path = data.join(SOCKET_NAME);
    let length = path.as_os_str().len();
    if length > MOST_PATH { Err(SocketError::TooLong { path, length }) } else { Ok(path) }
}

/// Opens the socket of a data directory, 0600, replacing one that a killed gateway left. Call it only while holding the store of that
/// directory: that is what makes sure no other gateway serves the socket that is replaced.
///
/// # Errors
/// [`SocketError`].
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

/// Serves the operator's routes on the socket until `until` ends; requests under way are finished.
pub async fn serve_admin(gateway: Gateway, listener: UnixListener, until: impl Future<Output = ()>) {
    let router = admin_router(&gateway);
    let graceful = hyper_util::server::graceful::GracefulShutdown::new();
    tokio::pin!(until);
    loop {
        let stream = tokio::select! {
            () = &mut until => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "an operator's connection could not be accepted");
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        let mut builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new()).http1_only();
        builder.http1().timer(TokioTimer::new()).header_read_timeout(std::time::Duration::from_secs(10));
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
