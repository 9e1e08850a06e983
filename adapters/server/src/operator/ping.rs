//! Pings: the operator asks whether a linked node answers, and how fast.

use std::time::Duration;

use handfast_core::NodeId;
use handfast_core::flow::native::gateway::Peer;
use handfast_core::limits::PINGS_A_MINUTE;
use handfast_core::registry::authority::Authority;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::connection::hub::PingRequest;
use crate::events::Event;
use crate::gateway::Gateway;

/// The longest wait for a node's answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// The reason for a ping without an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PingError {
    /// The node has no open link over the native wire.
    #[error(
        "node {0} is not linked by its keys, so it cannot be pinged; try again once it is online"
    )]
    NotLinked(NodeId),
    /// The node is linked at another gateway of the registry, which alone can ping it.
    #[error(
        "node {node_id} is linked at the gateway {gateway:?}, which alone can ping it; ask that one"
    )]
    Elsewhere {
        /// Which node.
        node_id: NodeId,
        /// Name of the gateway.
        gateway: String,
    },
    /// The node does not take pings.
    #[error("node {0} does not answer pings; its software is older than they are")]
    NotSupported(NodeId),
    /// Sessions have asked for as many pings of this node as they may.
    #[error("node {0} was pinged {PINGS_A_MINUTE} times within a minute; wait a little")]
    TooOften(NodeId),
    /// The node has not answered.
    #[error("node {0} did not answer within 5 s; its link is open, so try again")]
    NoAnswer(NodeId),
}

impl Gateway {
    /// Sends a ping by somebody's right. Delegated rights share [`PINGS_A_MINUTE`] pings of a node;
    /// one that was not sent does not count.
    ///
    /// # Errors
    /// [`PingError`].
    pub(crate) async fn ping_by(
        &self,
        authority: &Authority,
        node_id: NodeId,
    ) -> Result<Duration, PingError> {
        if !authority.is_delegated() {
            return self.ping(node_id).await;
        }
        let now = self.inner.clock.elapsed();
        let permit = self.inner.pairing.pings.permit(node_id, now);
        let permit = permit.ok_or(PingError::TooOften(node_id))?;
        let answered = self.ping(node_id).await;
        let unsent = |error: &PingError| match error {
            PingError::NotLinked(_) | PingError::Elsewhere { .. } | PingError::NotSupported(_) => {
                true
            }
            PingError::TooOften(_) | PingError::NoAnswer(_) => false,
        };
        if answered.as_ref().is_err_and(unsent) {
            permit.give_back(now);
        }
        answered
    }

    /// Sends a ping to a linked node, and returns the time until its answer.
    ///
    /// # Errors
    /// [`PingError`].
    pub async fn ping(&self, node_id: NodeId) -> Result<Duration, PingError> {
        let (answer, answered) = oneshot::channel();
        let request = PingRequest { sent: std::time::Instant::now(), answer };
        if !self.inner.hub.ping(Peer::Node(node_id), request) {
            return Err(match self.link_elsewhere(node_id).await {
                Ok(Some(gateway)) => PingError::Elsewhere { node_id, gateway },
                Ok(None) | Err(_) => PingError::NotLinked(node_id),
            });
        }
        let time = match timeout(ANSWER_WITHIN, answered).await {
            Ok(Ok(Some(time))) => time,
            Ok(Ok(None)) => return Err(PingError::NotSupported(node_id)),
            // The link has ended, or a newer ping took the place of this one.
            Ok(Err(_)) | Err(_) => return Err(PingError::NoAnswer(node_id)),
        };
        self.event(Event::Pinged { node_id, time });
        Ok(time)
    }
}
