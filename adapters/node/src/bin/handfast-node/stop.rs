//! The signals that end a node.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::Failure;

/// The signals that end a node.
pub(crate) struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    pub(crate) fn new() -> Result<Self, Failure> {
        // Signals are caught before the node runs, so that none ends it without a goodbye.
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    pub(crate) async fn requested(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
