//! What the running gateway shows on standard output: who asks to be paired, and with which PIN.

use std::io::Write;
use std::path::Path;

use tracing_appender::non_blocking::{NonBlocking, WorkerGuard};

use crate::End;
use crate::client::Lines;
use crate::events::{Happened, Narrator};

/// Standard output through a bounded queue: whoever reads it, or stopped reading, cannot hold up
/// the gateway.
pub(super) struct Console {
    out: NonBlocking,
    _flush_at_exit: WorkerGuard,
    /// Whether PINs may be shown: a log that others read later is no trusted display.
    trusted: bool,
}

/// The gateway's own events, from a moment on.
pub(super) struct Followed {
    lines: Lines,
    narrator: Narrator,
}

impl Console {
    pub(super) fn open() -> Self {
        let (out, guard) = tracing_appender::non_blocking(std::io::stdout());
        Self { out, _flush_at_exit: guard, trusted: !is_journal() }
    }

    pub(super) fn print(&mut self, text: &str) {
        let _ = self.out.write_all(text.as_bytes());
    }

    /// Listens at the operator's socket, as `handfast watch` does.
    pub(super) async fn follow(&self, data: &Path) -> Result<Followed, End> {
        let mut lines = Lines::follow(data, "/api/v1/events").await?;
        // The first says that from now on nothing is missed.
        lines.next().await?;
        Ok(Followed { lines, narrator: Narrator::new(data, false) })
    }

    /// Shows what happens, until the gateway ends.
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

/// Whether standard output is the system's journal, which keeps what it gets for many to read. It
/// says so itself, by the device and inode of the stream.
fn is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let found = rustix::fs::fstat(std::io::stdout());
    found.is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}
