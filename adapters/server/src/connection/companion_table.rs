//! The live connections of companions.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use handfast_core::registry::lifecycle::Notice;
use handfast_core::registry::sessions::SessionId;

use crate::connection::mailbox::Mailbox;

/// The live connections of companions, one for each session.
#[derive(Debug, Default)]
pub(crate) struct Companions {
    pub(crate) live: Mutex<HashMap<SessionId, Arc<Mailbox>>>,
}

impl Companions {
    /// Returns `true` if a connection of the session is open.
    pub(crate) fn is_linked(&self, session: SessionId) -> bool {
        self.live
            .lock()
            .expect("no thread panics while it holds the companions")
            .contains_key(&session)
    }

    /// Tells a session's live connection, if there is one, that the session was revoked.
    pub(crate) fn end(&self, session: SessionId) {
        if let Some(mailbox) = self.mailbox(session) {
            mailbox.notice(Notice::Unpaired);
        }
    }

    /// Makes every live connection look its session up again.
    pub(crate) fn all_look_again(&self) {
        let live = self.live.lock().expect("no thread panics while it holds the companions");
        live.values().for_each(|mailbox| mailbox.cut());
    }

    /// Makes this the session's connection; an older one gets a notice that it was replaced.
    /// Returns `false` if `most` are open already.
    pub(crate) fn attach(&self, session: SessionId, mailbox: &Arc<Mailbox>, most: usize) -> bool {
        let mut live = self.live.lock().expect("no thread panics while it holds the companions");
        if live.len() >= most && !live.contains_key(&session) {
            return false;
        }
        if let Some(older) = live.insert(session, Arc::clone(mailbox)) {
            older.notice(Notice::Replaced);
        }
        true
    }

    /// Removes a connection, unless a newer one has replaced it. Returns `true` if it was still the
    /// session's.
    pub(crate) fn detach(&self, session: SessionId, mailbox: &Arc<Mailbox>) -> bool {
        let mut live = self.live.lock().expect("no thread panics while it holds the companions");
        let mine = live.get(&session).is_some_and(|current| Arc::ptr_eq(current, mailbox));
        if mine {
            live.remove(&session);
            // A table that once held a crowd need not keep its size for a few.
            if live.capacity() > 1024 && live.len() < live.capacity() / 8 {
                live.shrink_to_fit();
            }
        }
        mine
    }

    pub(crate) fn mailbox(&self, session: SessionId) -> Option<Arc<Mailbox>> {
        self.live
            .lock()
            .expect("no thread panics while it holds the companions")
            .get(&session)
            .cloned()
    }
}
