//! Deliveries of secrets that are shown once: those under way, and how earlier ones ended.

use async_trait::async_trait;
use handfast_core::registry::codes::CodeId;
use handfast_core::registry::delivery::{DeliveryId, NotSettled, Outcome, Settled, Ticket};
use handfast_core::registry::lifecycle::Notice;
use handfast_core::wire::setup::Nonce;
use handfast_core::{NodeId, UnixTime};

use crate::StoreError;

/// The secret that a delivery carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// The token of this node. Its delivery begins with the [`save`](crate::Store::save) of a
    /// standing that has one under way.
    Token(NodeId),
    /// A code that the operator minted.
    Code(CodeId),
    /// A setup code.
    Setup {
        /// Nonce of the setup code.
        nonce: Nonce,
        /// Time at which the setup code expires.
        expires_at: UnixTime,
    },
}

/// A delivery that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The delivery's id, and the time at which it lapses.
    pub ticket: Ticket,
    /// The secret that is delivered.
    pub of: Delivered,
}

/// The outcome of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// The secret that was delivered.
    pub of: Delivered,
    /// The way in which the delivery ended.
    pub settled: Settled,
    /// A notice for the live connections of the node.
    pub notice: Option<Notice>,
    /// `true` if the delivery had ended this way before; nothing was changed then.
    pub again: bool,
}

/// The part of a [`Store`](crate::Store) for deliveries. It keeps no secret, only ids and times.
///
/// The outcome of a delivery is remembered for at least a day. The first use of a code or setup
/// code ends its delivery in the step that spends it.
#[async_trait]
pub trait Deliveries: Send + Sync + 'static {
    /// Begins the delivery of a code or a setup code. The delivery of a token begins with its
    /// [`save`](crate::Store::save), so this call changes nothing for one.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    async fn deliver(&self, delivery: Delivery, now: UnixTime) -> Result<(), StoreError>;

    /// Ends a delivery and applies the consequences in the same step: if a token is undone, the
    /// node gets its earlier standing back, and a request that waits again is found by its key
    /// again; a code is withdrawn; a setup code counts as spent.
    /// [`handfast_core::registry::delivery`] and [`handfast_core::registry::lifecycle::settle`]
    /// decide.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable; the inner error is the reason for which the
    /// delivery does not end this way.
    async fn settle(
        &self,
        id: DeliveryId,
        outcome: Outcome,
        now: UnixTime,
    ) -> Result<Result<Settlement, NotSettled>, StoreError>;

    /// Ends many deliveries as [`settle`](Deliveries::settle) does each, in one step. The answers are
    /// in the order of the ids; one delivery that does not end this way keeps no other from it.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable; then none of them has ended.
    async fn settle_all(
        &self,
        ids: Vec<DeliveryId>,
        outcome: Outcome,
        now: UnixTime,
    ) -> Result<Vec<Result<Settlement, NotSettled>>, StoreError>;

    /// Returns the deliveries under way, ordered by the time at which they lapse, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    async fn undelivered(&self, limit: usize) -> Result<Vec<Delivery>, StoreError>;
}
