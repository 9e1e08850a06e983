//! The native wire over WebSockets, TCP and serial lines.
//!
//! | module | content |
//! |---|---|
//! | `flow` | what events mean to core's machine, over any transport |
//! | `effects` | core's effects and their answers in owned form |
//! | `context` | a connection's state outside core's machine, and the effects without I/O |
//! | `context::link`, `context::pairing` | the effects of linked peers, and of nodes that pair |
//! | `peer_scopes` | the rights of a peer: by its grant, or by a chain that it presents |
//! | `reassembly` | reassembly of chains that arrive in parts |
//!
//! Transports are in `connection` (`transport`, `framed`), and the sources of byte streams in
//! `listen` (`tcp`, `serial`).

mod context;
mod effects;
pub(crate) mod flow;
pub(crate) mod peer_scopes;
mod reassembly;
mod reports;
#[cfg(test)]
pub(crate) mod tests;

use axum::body::Bytes;
use handfast_core::flow::native::gateway::Peer;
use handfast_core::grant::scope::{Action, Address};
use handfast_core::wire::native::Payload;

use crate::connection::hub::AppDelivery;
use crate::gateway::Gateway;

/// WebSocket subprotocol of the native wire.
pub(crate) const SUBPROTOCOL: &str = "handfast.v1";

impl Gateway {
    /// Queues a message for a peer that is linked over the native wire, whatever its scopes.
    /// Returns `false` if it is not linked or has 64 KiB waiting already. A muted peer receives
    /// nothing.
    #[must_use]
    pub fn send_app(
        &self,
        peer: Peer,
        action: Action,
        address: &Address<'_>,
        bytes: &Payload<'_>,
    ) -> bool {
        self.inner.hub.deliver(peer, delivery(action, address, bytes, false))
    }

    /// Queues a message for every peer of the native wire that subscribed to the address and may
    /// read it, and returns their number. A peer with 64 KiB waiting already is left out.
    pub fn publish(&self, address: &Address<'_>, bytes: &Payload<'_>) -> usize {
        self.inner.hub.publish(address, &delivery(Action::Read, address, bytes, true))
    }
}

fn delivery(
    action: Action,
    address: &Address<'_>,
    bytes: &Payload<'_>,
    published: bool,
) -> AppDelivery {
    AppDelivery {
        action,
        address: address.as_str().into(),
        bytes: Bytes::copy_from_slice(bytes.as_bytes()),
        published,
    }
}
