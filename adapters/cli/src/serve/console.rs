//! The running gateway's standard output: pairing requests, with their PINs.

use std::io::Write;

use tracing_appender::non_blocking::{NonBlocking, WorkerGuard};

use crate::End;
use crate::client::LineStream;
use crate::data::DataPlace;
use crate::events::{Happened, Narrator};

/// Standard output behind a bounded queue, so that a slow or stopped reader cannot block the
/// gateway.
pub(super) struct StdoutQueue {
    out: NonBlocking,
    _flush_at_exit: WorkerGuard,
    /// `true` if PINs may be shown. A log that others read later is not a trusted display.
    trusted: bool,
}

/// The gateway's own events since they were requested.
pub(super) struct Followed {
    lines: LineStream,
    narrator: Narrator,
}

impl StdoutQueue {
    pub(super) fn open() -> Self {
        let (out, guard) = tracing_appender::non_blocking(std::io::stdout());
        Self { out, _flush_at_exit: guard, trusted: !is_journal() }
    }

    pub(super) fn print(&mut self, text: &str) {
        // Without a reader there is nobody to show it to.
        let _ = self.out.write_all(text.as_bytes());
    }

    /// Subscribes at the operator's socket, as `handfast watch` does.
    pub(super) async fn follow(&self, data: &DataPlace) -> Result<Followed, End> {
        let mut lines = LineStream::follow(data, "/api/v1/events").await?;
        // The first line confirms that no later event is missed.
        lines.next().await?;
        Ok(Followed { lines, narrator: Narrator::new(data, logs_beside_output()) })
    }

    /// Shows events until the gateway ends.
    pub(super) async fn show(mut self, mut followed: Followed) {
        while let Ok(Some(line)) = followed.lines.next().await {
            let Ok(mut happened) = Happened::read(&line) else { continue };
            if !self.trusted {
                happened.hide_pin();
            }
            if let Some(text) = followed.narrator.tell(&happened).await {
                self.print(&text);
            }
        }
    }
}

/// Returns `true` if standard output and standard error are one terminal, pipe or file, where an
/// event that both the console and the log tell would stand twice.
pub(super) fn logs_beside_output() -> bool {
    let (out, err) = (rustix::fs::fstat(std::io::stdout()), rustix::fs::fstat(std::io::stderr()));
    matches!((out, err), (Ok(out), Ok(err)) if (out.st_dev, out.st_ino) == (err.st_dev, err.st_ino))
}

/// Returns `true` if standard output is the system's journal, which many may read. systemd names
/// the stream's device and inode in `JOURNAL_STREAM`.
fn is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let found = rustix::fs::fstat(std::io::stdout());
    found.is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}
