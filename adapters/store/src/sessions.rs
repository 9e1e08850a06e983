//! Companions' sessions, and the setup codes that were spent for them.

use async_trait::async_trait;
use handfast_core::grant::session::SessionHash;
use handfast_core::registry::ceiling::Ceiling;
use handfast_core::registry::grants::Grant;
use handfast_core::registry::record::Record;
use handfast_core::registry::sessions::{
    Ended, Maker, NotRedeemed, Prolonging, Session, SessionId,
};
use handfast_core::wire::setup::Nonce;
use handfast_core::{Span, UnixTime};

use crate::{EndedWith, SaveError, StoreError, Version};

/// A setup code that is to be spent. The caller has verified it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetupCode {
    /// The code's nonce.
    pub nonce: Nonce,
    /// Time at which the code expires. Until then the store remembers that it was spent.
    pub expires_at: UnixTime,
    /// Maker of the code. The code is worthless once the maker's session has ended.
    pub maker: Maker,
}

/// The result of spending a setup code.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "it is made once and handed on")]
pub enum Yield {
    /// A companion's session. Its id and its hash must be new.
    Session(Session),
    /// A node that is paired by its keys, exactly as by [`offer`](crate::Store::offer).
    Node {
        /// The node's record.
        record: Box<Record>,
        /// Description of the hardware, as JSON.
        profile: String,
        /// Version at which an older record of the node was read.
        read_at: Option<Version>,
        /// The grant that is offered to the node.
        grant: Box<Grant>,
        /// Upper bound of the node's permissions from now on.
        ceiling: Option<Box<Ceiling>>,
    },
}

/// A filter for listing sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SessionFilter {
    /// Sessions that are valid now.
    #[default]
    Live,
    /// All sessions, including ended ones.
    All,
}

/// The part of a [`Store`](crate::Store) for companions.
///
/// Sessions that ended more than 30 days ago may be missing, and so may spent codes that have
/// expired: a high-water mark replaces the forgotten codes ([`handfast_core::registry::sessions`]).
#[async_trait]
pub trait Sessions: Send + Sync + 'static {
    /// Spends a code and writes its yield in one step: both or neither, even if the code is shown
    /// several times at once or the process dies.
    ///
    /// [`handfast_core::registry::sessions::redeem`] decides; a code whose maker has ended counts
    /// as expired. A call that spends a code also forgets at most 32 expired codes, and at most 32
    /// sessions that ended long ago.
    ///
    /// # Errors
    /// [`SaveError::Conflict`] for a session whose id or hash is taken, and as
    /// [`offer`](crate::Store::offer) says for a node; the code is not spent then. The inner error
    /// is the reason for which the code cannot be spent.
    async fn redeem(
        &self,
        code: SetupCode,
        yields: Yield,
        now: UnixTime,
    ) -> Result<Result<(), NotRedeemed>, SaveError>;

    /// Returns the high-water mark: codes that expire no later count as spent, even if they are not
    /// remembered.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    async fn setup_mark(&self) -> Result<UnixTime, StoreError>;

    /// Forgets all spent codes, and the mark with them. Only safe once every key that signed any of
    /// them is gone.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    async fn forget_setup_codes(&self) -> Result<(), StoreError>;

    /// Adds a session as given, for instance from another system.
    ///
    /// # Errors
    /// [`SaveError::Conflict`] if its id or its hash is taken; nothing is overwritten.
    async fn insert_session(&self, session: Session) -> Result<(), SaveError>;

    /// Reads the session with this hash, ended or not.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read, which never means that there is none.
    async fn session_by_hash(&self, hash: &SessionHash) -> Result<Option<Session>, StoreError>;

    /// Reads the session with this id, ended or not.
    ///
    /// # Errors
    /// As [`session_by_hash`](Self::session_by_hash).
    async fn session(&self, id: SessionId) -> Result<Option<Session>, StoreError>;

    /// Reads a page of sessions after `after`, ordered by id, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read, or one of them is damaged.
    async fn sessions(
        &self,
        filter: SessionFilter,
        after: Option<SessionId>,
        limit: usize,
        now: UnixTime,
    ) -> Result<Vec<Session>, StoreError>;

    /// Counts the sessions that are valid now, by a range of an index and not one by one.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be counted.
    async fn live_sessions(&self, now: UnixTime) -> Result<u64, StoreError>;

    /// Prolongs a session as [`Session::refreshed`] decides, but no further than the end of its
    /// maker and of the session that prolongs it. Returns its new end; `None` if there is no such
    /// session.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable; the inner error is the reason for which the
    /// session cannot be prolonged.
    async fn prolong_session(
        &self,
        id: SessionId,
        how: Prolonging,
        now: UnixTime,
    ) -> Result<Option<Result<UnixTime, Ended>>, StoreError>;

    /// Prolongs a session for the operator, or for the session itself.
    ///
    /// # Errors
    /// As [`prolong_session`](Self::prolong_session).
    async fn refresh_session(
        &self,
        id: SessionId,
        ttl: Span,
        longest: Span,
        now: UnixTime,
    ) -> Result<Option<Result<UnixTime, Ended>>, StoreError> {
        self.prolong_session(id, Prolonging { ttl, longest, ends: None, by: None }, now).await
    }

    /// Ends a session for good, even a damaged one and regardless of the clock. Ends in the same
    /// step all that it made, and all that was made by that. Returns `true` if the session was not
    /// revoked before, and the consequences.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    async fn end_session(
        &self,
        id: SessionId,
        now: UnixTime,
    ) -> Result<(bool, EndedWith), StoreError>;

    /// Returns the consequences that ending the session now would have. Changes nothing, and works
    /// even while nothing can be written.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    async fn ending_with(&self, id: SessionId, now: UnixTime) -> Result<EndedWith, StoreError>;

    /// Ends a session as [`end_session`](Self::end_session) does, without returning the
    /// consequences.
    ///
    /// # Errors
    /// As [`end_session`](Self::end_session).
    async fn revoke_session(&self, id: SessionId, now: UnixTime) -> Result<bool, StoreError> {
        Ok(self.end_session(id, now).await?.0)
    }

    /// Ends what was made by sessions that have ended in any way.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    async fn end_orphans(&self, now: UnixTime) -> Result<EndedWith, StoreError>;
}
