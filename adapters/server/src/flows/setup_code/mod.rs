//! Companions over `/pair`: a setup code opens a session, and the session's connection carries
//! frames of the application.
//!
//! | module | content |
//! |---|---|
//! | `flow` | what events mean to a companion's machine, or the hand-over to registration |
//! | `effects` | core's effects and their answers in owned form |
//! | `context` | a connection's state outside core's machine, and the effects without I/O |

mod context;
mod effects;
pub(crate) mod flow;
#[cfg(test)]
pub(crate) mod tests;

use axum::extract::ws::Message;
use handfast_core::registry::sessions::SessionId;

use crate::gateway::Gateway;

/// Path on which companions and nodes of the `missy` dialect connect.
pub(crate) const PATH: &str = "/pair";

impl Gateway {
    /// Queues a text frame for the companion of a session. Returns `false` if it is not linked or
    /// has 64 KiB waiting already.
    #[must_use]
    pub fn send_companion(&self, session: SessionId, text: String) -> bool {
        self.inner.hub.send(session, Message::Text(text.into()))
    }
}
