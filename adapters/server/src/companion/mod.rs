//! Companions' live connections.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use handfast_core::registry::sessions::SessionId;
use tokio::sync::watch;

/// What a live connection is told by others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Nothing,
    Revoked,
    Replaced,
}

/// The live connections of companions, one a session.
#[derive(Debug, Default)]
pub(crate) struct Companions {
    live: Mutex<HashMap<SessionId, Arc<watch::Sender<Told>>>>,
}

impl Companions {
    /// Whether a connection of the session is open.
    pub(crate) fn is_linked(&self, session: SessionId) -> bool {
        self.live.lock().expect("no thread panics while it holds the companions").contains_key(&session)
    }

    /// Tells a session's live connection, if there is one, that the session was revoked.
    pub(crate) fn end(&self, session: SessionId) {
        let live = self.live.lock().expect("no thread panics while it holds the companions").get(&session).cloned();
        if let Some(live) = live {
            live.send_replace(Told::Revoked);
        }
    }
}
