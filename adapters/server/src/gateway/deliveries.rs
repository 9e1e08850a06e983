//! The wake-up of the task that undoes what was not delivered.

use std::sync::Arc;

use tokio::sync::Notify;

/// Wakes the task that undoes what was not delivered.
#[derive(Debug, Default)]
pub(crate) struct Deliveries {
    pub(crate) begun: Arc<Notify>,
}
