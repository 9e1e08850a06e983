//! The wake-up of the task that undoes what was not delivered.

use std::sync::Arc;

use tokio::sync::Notify;

/// The wake-up of the task that undoes lapsed deliveries.
#[derive(Debug, Default)]
pub(crate) struct DeliveryWaker {
    pub(crate) begun: Arc<Notify>,
}
