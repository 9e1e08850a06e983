//! Operators' sessions and tokens.

use async_trait::async_trait;
use handfast_core::UnixTime;
use handfast_core::registry::logins::{Login, LoginId, LoginUse};

use crate::{EndedWith, SaveError, StoreError};

/// The part of a [`Store`](crate::Store) for operators' access over HTTP.
///
/// Sessions and tokens that ended more than 30 days ago may be missing.
#[async_trait]
pub trait Logins: Send + Sync + 'static {
    /// Adds a session or token, and forgets at most 32 that ended long ago. Returns `false`, and
    /// adds nothing, if [`LOGINS`](handfast_core::registry::logins::LOGINS) are valid already.
    ///
    /// # Errors
    /// [`SaveError::Conflict`] if its id is taken; nothing is overwritten.
    async fn insert_login(&self, login: Login, now: UnixTime) -> Result<bool, SaveError>;

    /// Reads a session or token, ended or not.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read, which never means that there is none.
    async fn login(&self, id: LoginId) -> Result<Option<Login>, StoreError>;

    /// Reads all sessions and tokens, ended ones too, ordered by the time of their making.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read, or one of them is damaged.
    async fn logins(&self) -> Result<Vec<Login>, StoreError>;

    /// Notes a use of a session or token that is not revoked, and sets its end in force. Returns
    /// `true` if there is one.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    async fn login_used(&self, id: LoginId, used: LoginUse) -> Result<bool, StoreError>;

    /// Ends a session or token for good, even a damaged one and regardless of the clock. Ends in
    /// the same step the codes and the open window that it made. Returns `true` if it was not
    /// revoked before, and the consequences.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    async fn end_login(&self, id: LoginId, now: UnixTime) -> Result<(bool, EndedWith), StoreError>;
}
