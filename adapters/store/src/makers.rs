//! Consequences of a session's end for the things that it made.

use handfast_core::grant::capability;
use handfast_core::registry::grants::GrantId;
use handfast_core::registry::sessions::SessionId;
use handfast_core::{NodeId, UnixTime};

use crate::SenderName;

/// The things that ended because their maker ended. The caller has to close the live connections
/// that depend on them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndedWith {
    /// Sessions that were opened with codes of the ended one.
    pub sessions: Vec<SessionId>,
    /// Sessions that the ended one had prolonged, and their new, earlier end.
    pub shortened: Vec<(SessionId, UnixTime)>,
    /// Grants that ended, with their nodes.
    pub grants: Vec<(NodeId, GrantId)>,
    /// Capabilities of those grants, unless another grant continues them.
    pub capabilities: Vec<capability::Id>,
    /// Nodes with tokens that wait for approval again.
    pub unapproved: Vec<NodeId>,
    /// Number of PINs and codes that died.
    pub codes: u64,
    /// `true` if the pairing window closed.
    pub window: bool,
    /// Senders whose permission ended.
    pub senders: Vec<SenderName>,
}

impl EndedWith {
    /// The value without any entry.
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

    /// Returns the number of things that ended or were shortened.
    pub(crate) fn number(&self) -> u64 {
        let listed = self.sessions.len()
            + self.shortened.len()
            + self.grants.len()
            + self.unapproved.len()
            + self.senders.len();
        listed as u64 + self.codes + u64::from(self.window)
    }

    /// Returns the entries that `earlier` does not have.
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

/// A session whose made things end: all of them, or those with a later end than `outlasting`.
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

/// Returns the `via` text of a sender that this session allowed.
#[must_use]
pub fn via_session(session: SessionId) -> String {
    session
        .as_bytes()
        .iter()
        .fold("session ".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}
