//! Decisions that take rights away, which do not wait for the disk.
//!
//! Such a decision is put in force in memory first, then the links end, and then it is stored. If
//! the store fails, the decision stays in force and is retried until it is stored, and the operator
//! is told that it is not stored yet. A restart before that forgets it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use handfast_core::NodeId;
use handfast_core::registry::lifecycle::Notice;
use handfast_store::held::{Cut, HeldTicket, HeldView, Written};
use handfast_store::{Store, StoreError};

use crate::gateway::operator_types::OperatorError;
use crate::gateway::{Gateway, Inner};

/// The interval at which unstored decisions are retried.
const TRY_EVERY: Duration = Duration::from_secs(2);
/// The interval of retries while the gateway shuts down.
const TRY_AT_THE_END: Duration = Duration::from_millis(200);

/// The state of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreStatus {
    /// `true` if the last write failed.
    pub failing: bool,
    /// The number of failed writes since the gateway started.
    pub failures: u64,
    /// The decisions in force that are not stored, the oldest first.
    pub unstored: Vec<HeldView>,
}

impl Gateway {
    /// Returns the state of the store.
    #[must_use]
    pub fn store_status(&self) -> StoreStatus {
        let held = self.inner.held.held();
        StoreStatus { failing: held.is_failing(), failures: held.failures(), unstored: held.list() }
    }

    /// Carries out a decision that takes rights away: in memory, then on live links (`end`), then
    /// in the store.
    pub(crate) async fn cut<T>(
        &self,
        cut: Cut,
        what: String,
        end: impl FnOnce(&Self),
        stored: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, OperatorError> {
        let what = format!("{what} is out");
        let ticket = self.hold(cut, &what)?;
        end(self);
        match stored.await {
            Ok(done) => {
                self.inner.held.held().release(&ticket);
                Ok(done)
            }
            Err(error) => Err(self.not_stored(&ticket, what, error)),
        }
    }

    /// Puts a decision in force that is not stored yet. `what` describes its effect in a clause.
    pub(crate) fn hold(&self, cut: Cut, what: &str) -> Result<HeldTicket, OperatorError> {
        let held = self.inner.held.held().hold(
            cut,
            what.to_owned(),
            self.inner.clock.unix(),
            self.origin(),
        );
        held.ok_or_else(|| {
            StoreError::Database(
                "too many decisions wait to be stored; free disk space first".to_owned(),
            )
            .into()
        })
    }

    /// Returns the operator's error for a decision that is in force and could not be stored.
    pub(crate) fn not_stored(
        &self,
        ticket: &HeldTicket,
        what: String,
        error: StoreError,
    ) -> OperatorError {
        if matches!(error, StoreError::BadRecord(_)) {
            // A damaged record can never be overwritten, so retrying would be in vain.
            self.inner.held.held().release(ticket);
            return error.into();
        }
        tracing::error!(%error, "{what}, but that is not stored yet");
        OperatorError::CutNotStored { what, error }
    }

    /// Returns an error if the decision about a revoked node still waits for the store.
    pub(crate) async fn still_not_stored(&self, node_id: NodeId) -> Result<(), OperatorError> {
        let tried = self.inner.held.probe().await;
        match (self.inner.held.held().of_node(node_id), tried) {
            (Some(_), Err(error)) => {
                Err(OperatorError::CutNotStored { what: format!("node {node_id} is out"), error })
            }
            (Some(_) | None, Ok(())) | (None, Err(_)) => Ok(()),
        }
    }

    /// Waits for decisions that are not stored yet, at most for `within`. Returns those that are
    /// lost if the process ends now.
    pub async fn store_the_rest(&self, within: Duration) -> Vec<HeldView> {
        let until = tokio::time::Instant::now() + within;
        loop {
            let left = self.inner.held.held().list();
            if left.is_empty() || tokio::time::Instant::now() >= until {
                return left;
            }
            if try_again(self).await {
                continue;
            }
            tokio::time::sleep(TRY_AT_THE_END).await;
        }
    }
}

/// Starts the task that retries unstored decisions, as long as the gateway lives.
pub(crate) fn watch(inner: &Arc<Inner>) {
    tokio::spawn(watcher(Arc::downgrade(inner)));
}

async fn watcher(gateway: Weak<Inner>) {
    loop {
        tokio::time::sleep(TRY_EVERY).await;
        let Some(inner) = gateway.upgrade() else { return };
        // A store that failed is tried again even if nothing waits, so that its status is true.
        if !inner.held.held().is_empty() || inner.held.held().is_failing() {
            try_again(&Gateway::new(inner)).await;
        }
    }
}

/// Retries once. Returns `true` if something was stored.
async fn try_again(gateway: &Gateway) -> bool {
    match gateway.inner.held.store_held(gateway.inner.clock.unix()).await {
        Ok(stored) => {
            let is_progress = !stored.is_empty();
            for Written { cut, view, ended } in stored {
                tracing::info!("{}: the decision is stored now", view.what);
                gateway.cut_what_ended(ended).await;
                if let Cut::Ceiling { node_id, .. } = cut {
                    // The node may get a grant made from the ceiling now.
                    gateway.push(node_id, Some(Notice::Permissions));
                }
            }
            is_progress
        }
        Err(error) => {
            tracing::debug!(%error, "the store still cannot write");
            false
        }
    }
}
