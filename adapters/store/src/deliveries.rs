//! What a store keeps of secrets that are shown once: which are on their way, and how the others
//! ended.

use async_trait::async_trait;
use handfast_core::id::NodeId;
use handfast_core::registry::codes::CodeId;
use handfast_core::registry::delivery::{DeliveryId, NotSettled, Outcome, Settled, Ticket};
use handfast_core::registry::lifecycle::Notice;
use handfast_core::time::UnixTime;
use handfast_core::wire::setup::Nonce;

use crate::StoreError;

/// Which secret is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// A node's token. Its delivery begins with the [`save`](crate::Store::save) of a standing that
    /// has one under way.
    Token(NodeId),
    /// A code of the operator's.
    Code(CodeId),
    /// A setup code.
    Setup {
        /// Which.
        nonce: Nonce,
        /// Its end.
        expires_at: UnixTime,
    },
}

/// A secret on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Its id, and when it lapses.
    pub ticket: Ticket,
    /// Which secret it is.
    pub of: Delivered,
}

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// Which secret it was.
    pub of: Delivered,
    /// How it ended.
    pub settled: Settled,
    /// What the live connections of the node have to hear.
    pub notice: Option<Notice>,
    /// It had ended so before, and nothing was changed.
    pub again: bool,
}

/// The part of a [`Store`](crate::Store) that is about secrets on their way. No secret is kept for
/// this.
///
/// How a delivery ended is told for a day at least. The first use of a code or setup code ends its
/// delivery inside the step that spends it.
#[async_trait]
pub trait Deliveries: Send + Sync + 'static {
    /// Begins the delivery of a code or a setup code. That of a token begins by itself, so for one
    /// this changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    async fn deliver(&self, delivery: Delivery, now: UnixTime) -> Result<(), StoreError>;

    /// Ends a delivery, in one step with what follows from it: a token that is undone gives the
    /// node the standing back that it had, and a request that waits again is found by whoever asks
    /// again; a code is withdrawn; a setup code counts as spent.
    /// [`handfast_core::registry::delivery`] and [`handfast_core::registry::lifecycle::settle`]
    /// decide.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable; the inner error is why it does not end so.
    async fn settle(
        &self,
        id: DeliveryId,
        outcome: Outcome,
        now: UnixTime,
    ) -> Result<Result<Settlement, NotSettled>, StoreError>;

    /// The deliveries that are under way, the one that lapses first in front, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    async fn undelivered(&self, limit: usize) -> Result<Vec<Delivery>, StoreError>;
}
