//! What a store keeps of companions: their sessions, and the setup codes that were spent for them.

use async_trait::async_trait;
use handfast_core::grant::session::SessionHash;
use handfast_core::registry::ceiling::Ceiling;
use handfast_core::registry::grants::Grant;
use handfast_core::registry::record::Record;
use handfast_core::registry::sessions::{
    Ended, Maker, NotRedeemed, Prolonging, Session, SessionId,
};
use handfast_core::time::{Span, UnixTime};
use handfast_core::wire::setup::Nonce;

use crate::{EndedWith, SaveError, StoreError, Version};

/// A setup code that is to be spent; that it is valid was verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetupCode {
    /// Which.
    pub nonce: Nonce,
    /// Its end: until then it is remembered that it was spent.
    pub expires_at: UnixTime,
    /// Who made it. It is worth nothing once a session has ended that did.
    pub maker: Maker,
}

/// What a setup code yields.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "it is made once and handed on")]
pub enum Yield {
    /// A companion's session. Its id and its hash must be new.
    Session(Session),
    /// A node that is paired by its keys, exactly as [`offer`](crate::Store::offer) does it.
    Node {
        /// Its record.
        record: Box<Record>,
        /// What it is made of, as JSON.
        profile: String,
        /// At what version an older record of it was read.
        read_at: Option<Version>,
        /// What it is offered.
        grant: Box<Grant>,
        /// What it may do at most from now on.
        ceiling: Option<Box<Ceiling>>,
    },
}

/// Which sessions are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SessionFilter {
    /// Those that let their companion in.
    #[default]
    Live,
    /// Those that ended, too.
    All,
}

/// The part of a [`Store`](crate::Store) that is about companions.
///
/// Sessions that ended more than 30 days ago may be missing, and so may spent codes whose time is
/// over: what was forgotten of those is kept as a mark that only rises
/// ([`handfast_core::registry::sessions`]).
#[async_trait]
pub trait Sessions: Send + Sync + 'static {
    /// Spends a code and writes what it yields, in one step: both or neither, however many show it
    /// at once and whenever the process dies.
    ///
    /// [`handfast_core::registry::sessions::redeem`] decides; one whose maker has ended has
    /// expired. Of the codes whose time is over, and the sessions that ended long ago, at most 32
    /// of each are forgotten by a call that spends one.
    ///
    /// # Errors
    /// [`SaveError::Conflict`] for a session whose id or hash is taken, and as
    /// [`offer`](crate::Store::offer) says for a node; the code is not spent then. The inner error
    /// is why it cannot be.
    async fn redeem(
        &self,
        code: SetupCode,
        yields: Yield,
        now: UnixTime,
    ) -> Result<Result<(), NotRedeemed>, SaveError>;

    /// Up to which end codes are taken for spent, whether they are remembered or not.
    ///
    /// # Errors
    /// [`StoreError`] if that is not known.
    async fn setup_mark(&self) -> Result<UnixTime, StoreError>;

    /// Forgets all spent codes, and the mark with them. Only for when no key is left that any of
    /// them was signed with.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    async fn forget_setup_codes(&self) -> Result<(), StoreError>;

    /// Adds a session as it is, for instance from another system.
    ///
    /// # Errors
    /// [`SaveError::Conflict`] if its id or its hash is taken; nothing is overwritten.
    async fn insert_session(&self, session: Session) -> Result<(), SaveError>;

    /// The session with this hash, whether or not it ended.
    ///
    /// # Errors
    /// [`StoreError`] if that is not known, which is never the same as "there is none".
    async fn session_by_hash(&self, hash: &SessionHash) -> Result<Option<Session>, StoreError>;

    /// The session with this id, whether or not it ended.
    ///
    /// # Errors
    /// As [`session_by_hash`](Self::session_by_hash).
    async fn session(&self, id: SessionId) -> Result<Option<Session>, StoreError>;

    /// A page of sessions in order of their ids, beginning after `after`, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read, or one of them is spoiled.
    async fn sessions(
        &self,
        filter: SessionFilter,
        after: Option<SessionId>,
        limit: usize,
        now: UnixTime,
    ) -> Result<Vec<Session>, StoreError>;

    /// How many sessions let their companion in. They are counted by the range of an index, without
    /// a look at each.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be counted.
    async fn live_sessions(&self, now: UnixTime) -> Result<u64, StoreError>;

    /// Prolongs a session as [`Session::refreshed`] decides, no further than to the end of whoever
    /// made it or prolongs it. The answer is its end from now on; `None` if there is no such
    /// session.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable; the inner error is why it cannot be
    /// prolonged.
    async fn prolong_session(
        &self,
        id: SessionId,
        how: Prolonging,
        now: UnixTime,
    ) -> Result<Option<Result<UnixTime, Ended>>, StoreError>;

    /// The same for the operator, or for the session itself.
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

    /// Ends a session for good, a spoiled one, too, and whatever the clock says, and in the same
    /// step all that it has made, and what was made by that. Says whether it was not revoked
    /// before, and what ended with it.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    async fn end_session(
        &self,
        id: SessionId,
        now: UnixTime,
    ) -> Result<(bool, EndedWith), StoreError>;

    /// What would end with a session if it was ended now. Nothing is changed, and it is known also
    /// while nothing can be written.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    async fn ending_with(&self, id: SessionId, now: UnixTime) -> Result<EndedWith, StoreError>;

    /// The same, for whoever need not know what ended with it.
    ///
    /// # Errors
    /// As [`end_session`](Self::end_session).
    async fn revoke_session(&self, id: SessionId, now: UnixTime) -> Result<bool, StoreError> {
        Ok(self.end_session(id, now).await?.0)
    }

    /// Ends what was made by sessions that have ended, however they did.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    async fn end_orphans(&self, now: UnixTime) -> Result<EndedWith, StoreError>;
}
