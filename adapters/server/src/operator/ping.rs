//! Pings: the operator asks whether a linked node answers, and how fast.

use std::time::Duration;

use handfast_core::NodeId;
use handfast_core::flow::native::gateway::Peer;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::connection::hub::PingRequest;
use crate::events::Event;
use crate::gateway::Gateway;

/// The longest wait for a node's answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// The reason for a ping without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PingError {
    /// The node has no open link over the native wire.
    #[error(
        "node {0} is not linked by its keys, so it cannot be pinged; `nodes list` shows who is online"
    )]
    NotLinked(NodeId),
    /// The node does not take pings.
    #[error("node {0} does not answer pings; its software is older than they are")]
    NotSupported(NodeId),
    /// The node has not answered.
    #[error("node {0} did not answer within 5 s; its link is open, so try again")]
    NoAnswer(NodeId),
}

impl Gateway {
    /// Sends a ping to a linked node, and returns the time until its answer.
    ///
    /// # Errors
    /// [`PingError`].
    pub async fn ping(&self, node_id: NodeId) -> Result<Duration, PingError> {
        let (answer, answered) = oneshot::channel();
        let request = PingRequest { sent: std::time::Instant::now(), answer };
        if !self.inner.hub.ping(Peer::Node(node_id), request) {
            return Err(PingError::NotLinked(node_id));
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
