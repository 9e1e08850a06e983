//! Signals of a gateway process.

use std::fs::File;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::End;

/// The signals that concern the gateway, caught from the creation of this value.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// `None` if the process was started to ignore it, as with `nohup`.
    hang_up: Option<Signal>,
    /// `true` if the process had a controlling terminal at its start.
    terminal: bool,
    /// Caught so that a file which may not grow any more is an error, like a full disk, instead of
    /// the end of the process.
    _file_too_large: Signal,
}

/// What a signal asks of the gateway.
pub(super) enum Asked {
    /// To end in order.
    End,
    /// To read its files again.
    Reload,
}

impl Signals {
    pub(super) fn catch() -> Result<Self, End> {
        let caught = |kind| signal(kind).map_err(End::refused);
        let file_too_large = SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw());
        let hang_up = (!ignores_hang_up()).then(|| caught(SignalKind::hangup())).transpose()?;
        Ok(Self {
            terminate: caught(SignalKind::terminate())?,
            interrupt: caught(SignalKind::interrupt())?,
            hang_up,
            terminal: has_terminal(),
            _file_too_large: caught(file_too_large)?,
        })
    }

    /// Waits for a signal that asks the gateway to end.
    pub(super) async fn end(&mut self) {
        while let Asked::Reload = self.next().await {}
    }

    /// Waits for the next signal. The terminal that hangs up asks the gateway to end.
    pub(super) async fn next(&mut self) -> Asked {
        let hang_up = async {
            match &mut self.hang_up {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => Asked::End,
            _ = self.interrupt.recv() => Asked::End,
            _ = hang_up => match self.terminal && !has_terminal() {
                true => Asked::End,
                false => Asked::Reload,
            },
        }
    }
}

/// Returns `true` if the process has a controlling terminal. The kernel takes a terminal that hangs
/// up from its processes before it sends the signal.
fn has_terminal() -> bool {
    File::open("/dev/tty").is_ok()
}

/// Returns `true` if SIGHUP is ignored.
fn ignores_hang_up() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask & (1 << (rustix::process::Signal::HUP.as_raw() - 1)) != 0
}
