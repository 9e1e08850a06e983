//! Helpers that the connections of several flows share.

use handfast_core::Refusal;
use handfast_core::wire::registration::Heartbeat;
use handfast_store::{Observation, StoreError};

use crate::connection::driver::DriverParts;
use crate::connection::hub::Mailbox;
use crate::gateway::Inner;
use crate::telemetry::log_lines::{CausedBy, limited};

pub(crate) fn failed(error: StoreError) -> Refusal {
    limited!(error, CausedBy::Any, { %error, } "the registry could not be read or written");
    Refusal::StoreFailed
}

/// Converts a node's heartbeat to the registry's form.
pub(crate) fn observation(heartbeat: Heartbeat<'_>, inner: &Inner) -> Observation {
    Observation {
        last_seen: inner.clock.unix(),
        occupancy: heartbeat.occupancy,
        // A number too large to represent carries no information.
        noise_level: heartbeat
            .noise_level
            .and_then(|n| n.as_str().parse().ok())
            .filter(|n: &f64| n.is_finite()),
        wake_word_fp: heartbeat.wake_word_fp,
    }
}

impl Inner {
    /// Returns what the driver of a connection uses.
    pub(crate) const fn driver_parts(&self) -> DriverParts<'_> {
        DriverParts { clock: &self.clock, shutdown: &self.shutdown, lingering: &self.lingering }
    }
}

/// Completes when the gateway shuts down.
pub(crate) async fn shut_down(inner: &Inner) {
    let _ = inner.shutdown.subscribe().wait_for(|down| *down).await;
}

/// Completes when a notice or a shutdown must not wait for the application.
pub(crate) async fn interrupted(mailbox: &Mailbox, inner: &Inner) {
    tokio::select! {
        () = mailbox.noticed() => {}
        () = shut_down(inner) => {}
    }
}
