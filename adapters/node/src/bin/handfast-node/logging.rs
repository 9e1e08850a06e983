//! Logs to standard error, filtered by `RUST_LOG`.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Starts logging at the level `otherwise` unless `RUST_LOG` is set. Only `tracing` is captured and
/// not the `log` crate, where the WebSocket library shows whole frames, tokens included.
pub(crate) fn start(otherwise: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(otherwise));
    // `init()` would also capture messages of the `log` crate, if some crate of the build enables
    // that.
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .with_target(false)
        // The message would go to the stream that failed, through a macro that then panics.
        .log_internal_errors(false)
        .finish();
    let _ = tracing::subscriber::set_global_default(subscriber);
}
