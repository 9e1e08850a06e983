//! The log of a gateway process.

use std::io::IsTerminal;

use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::EnvFilter;

use handfast_cli::config::LogFormat;

use super::console;

/// The log, whose filter may be replaced. What waits is written when it is dropped.
pub(super) struct Log {
    _flush_at_exit: WorkerGuard,
    replace: Replace,
}

/// Replaces the filter.
type Replace = Box<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>;

impl Log {
    /// Starts the log on standard error. Without directives `RUST_LOG` holds, or else `info`.
    pub(super) fn start(directives: Option<&str>, format: LogFormat) -> Self {
        // Log lines go through a bounded queue and are dropped if it is full, so that a slow or
        // stopped reader cannot block the gateway.
        let (writer, guard) = tracing_appender::non_blocking(std::io::stderr());
        let builder = tracing_subscriber::fmt()
            .with_env_filter(filter(directives))
            .with_writer(writer)
            .with_ansi(std::io::stderr().is_terminal() && !no_colour())
            // A failed log line must not be reported on the stream that failed.
            .log_internal_errors(false);
        let replace: Replace = match format {
            LogFormat::Text => {
                let builder = builder.with_filter_reloading();
                let handle = builder.reload_handle();
                builder.init();
                Box::new(move |filter| handle.reload(filter).map_err(|error| error.to_string()))
            }
            LogFormat::Json => {
                // Escapes belong to terminals, and this is for programs.
                let builder = builder.json().flatten_event(true).with_ansi(false);
                let builder = builder.with_filter_reloading();
                let handle = builder.reload_handle();
                builder.init();
                Box::new(move |filter| handle.reload(filter).map_err(|error| error.to_string()))
            }
        };
        Self { _flush_at_exit: guard, replace }
    }

    /// Replaces the filter.
    ///
    /// # Errors
    /// The reason for which the old one stays.
    pub(super) fn set(&self, directives: Option<&str>) -> Result<(), String> {
        (self.replace)(filter(directives))
    }
}

fn filter(directives: Option<&str>) -> EnvFilter {
    match directives {
        // As usual, unless more is wished for.
        Some("info") => "info,async_nats=warn".into(),
        Some(directives) => EnvFilter::new(directives),
        None => EnvFilter::try_from_default_env().unwrap_or_else(|_| usual_filter()),
    }
}

/// Returns what is logged if neither the settings nor `RUST_LOG` say. Where the log goes to the
/// same place as the console, it leaves out the events that the console tells. The client of NATS
/// tells of each attempt to connect; the gateway tells of each outage once.
fn usual_filter() -> EnvFilter {
    match console::logs_beside_output() {
        true => "info,async_nats=warn,handfast_server::telemetry::log_observer=off".into(),
        false => "info,async_nats=warn".into(),
    }
}

fn no_colour() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|set| !set.is_empty())
}
