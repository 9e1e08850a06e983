//! What ends with the session that made it.

use handfast_core::grant::capability;
use handfast_core::id::NodeId;
use handfast_core::registry::grants::GrantId;
use handfast_core::registry::sessions::SessionId;
use handfast_core::time::UnixTime;

use crate::SenderName;

/// What ended because whoever made it has ended. Live connections that rest on it are to be cut.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndedWith {
    /// Sessions that were opened by the codes of one that ended.
    pub sessions: Vec<SessionId>,
    /// Sessions that end earlier now, and when, because the one has ended that prolonged them.
    pub shortened: Vec<(SessionId, UnixTime)>,
    /// Grants that ended, and their nodes.
    pub grants: Vec<(NodeId, GrantId)>,
    /// The capabilities of those that no other grant carries on.
    pub capabilities: Vec<capability::Id>,
    /// Nodes with tokens that wait for approval again.
    pub unapproved: Vec<NodeId>,
    /// How many PINs and codes died.
    pub codes: u64,
    /// Whether the pairing window closed.
    pub window: bool,
    /// Senders that were let in by it, and are not any more.
    pub senders: Vec<SenderName>,
}

impl EndedWith {
    /// Nothing.
    pub const NOTHING: Self = Self {
        sessions: Vec::new(),
        shortened: Vec::new(),
        grants: Vec::new(),
        capabilities: Vec::new(),
        unapproved: Vec::new(),
        codes: 0,
        window: false,
        senders: Vec::new(),
    };

    /// The same without what ended earlier.
    #[must_use]
    pub fn without(mut self, earlier: &Self) -> Self {
        self.sessions.retain(|one| !earlier.sessions.contains(one));
        self.shortened.retain(|one| !earlier.shortened.contains(one));
        self.grants.retain(|one| !earlier.grants.contains(one));
        self.capabilities.retain(|one| !earlier.capabilities.contains(one));
        self.unapproved.retain(|one| !earlier.unapproved.contains(one));
        self.senders.retain(|one| !earlier.senders.contains(one));
        self.codes = self.codes.saturating_sub(earlier.codes);
        self.window &= !earlier.window;
        self
    }
}

/// A session whose works end: all of them, or those that outlast a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ending {
    pub(crate) session: SessionId,
    pub(crate) outlasting: Option<UnixTime>,
}

impl Ending {
    pub(crate) const fn whole(session: SessionId) -> Self {
        Self { session, outlasting: None }
    }
}

/// How a sender is marked that a session has let in: by which way, as the operator reads it.
#[must_use]
pub fn via_session(session: SessionId) -> String {
    session
        .as_bytes()
        .iter()
        .fold("session ".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}
