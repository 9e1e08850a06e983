//! Logs: to standard error, by `RUST_LOG`.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Starts logging, at a level of its own unless `RUST_LOG` says more. Only `tracing` is listened to
/// and not the `log` crate, where the WebSocket library shows whole frames, tokens included.
pub(crate) fn start(otherwise: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(otherwise));
    // Not `init()`: that would also collect what libraries say through `log` if some crate of the
    // build enables it.
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .with_target(false)
        // It would be said on the very stream that failed, by a macro that panics then.
        .log_internal_errors(false)
        .finish();
    let _ = tracing::subscriber::set_global_default(subscriber);
}
