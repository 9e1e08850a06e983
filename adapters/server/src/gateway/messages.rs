//! Messages of linked nodes to the application, as an operator may watch them.

use axum::body::Bytes;
use handfast_core::flow::native::gateway::Peer;
use handfast_core::grant::scope::Action;
use tokio::sync::broadcast;

/// Number of messages that a slow watcher may be behind. With the longest frame they take 4 MiB.
const BEHIND: usize = 64;

/// A message that a linked node sent to the application.
#[derive(Clone, Debug)]
pub(crate) struct NodeMessage {
    pub(crate) peer: Peer,
    /// The action and its address; absent for a frame of a node with a token, which has neither.
    pub(crate) place: Option<(Action, String)>,
    pub(crate) bytes: Bytes,
}

/// The stream of these messages. Nothing is copied while nobody watches.
#[derive(Debug)]
pub(crate) struct MessageFeed(broadcast::Sender<NodeMessage>);

impl Default for MessageFeed {
    fn default() -> Self {
        Self(broadcast::Sender::new(BEHIND))
    }
}

impl MessageFeed {
    pub(crate) fn tell(&self, peer: Peer, place: Option<(Action, &str)>, bytes: &[u8]) {
        if self.0.receiver_count() == 0 {
            return;
        }
        let place = place.map(|(action, address)| (action, address.to_owned()));
        // Without a watcher by now there is nobody to tell.
        let _ = self.0.send(NodeMessage { peer, place, bytes: Bytes::copy_from_slice(bytes) });
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<NodeMessage> {
        self.0.subscribe()
    }
}
