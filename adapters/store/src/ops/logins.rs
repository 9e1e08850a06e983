//! Operators' sessions and tokens.

use async_trait::async_trait;
use handfast_core::UnixTime;
use handfast_core::registry::logins::{LOGINS, Login, LoginId, LoginKind, LoginUse};

use super::{Database, Decided, RowResult, Tx, makers};
use crate::audit::{Detail, Entry, What};
use crate::{EndedWith, Logins, SaveError, StoreError, rules};

/// The rows of operators' sessions and tokens, and of what they made.
pub(crate) trait LoginRows {
    /// Returns a session or token.
    fn login(&mut self, id: LoginId) -> RowResult<Option<Login>>;

    /// Returns all of them, ordered by the time of their making and then by id.
    fn logins(&mut self) -> RowResult<Vec<Login>>;

    /// Adds one; `false` if its id is taken.
    fn add_login(&mut self, login: &Login) -> RowResult<bool>;

    /// Notes a use of one that is not revoked; `false` if there is none.
    fn note_login_use(&mut self, id: LoginId, used: &LoginUse) -> RowResult<bool>;

    /// Revokes one, even a damaged one; `false` if it was revoked before or does not exist.
    fn revoke_login(&mut self, id: LoginId, now: UnixTime) -> RowResult<bool>;

    /// Removes at most `most` that ended before this time, the earliest first.
    fn forget_logins(&mut self, before: UnixTime, most: u32) -> RowResult<()>;

    /// [Kills](super::CodeRows::kill_code) the codes of this one. Returns their number.
    fn kill_codes_of_login(&mut self, id: LoginId, now: UnixTime) -> RowResult<u64>;

    /// Closes the window if this one opened it; `false` if it did not.
    fn close_window_of_login(&mut self, id: LoginId) -> RowResult<bool>;

    /// Returns those that made a code that lives, or opened the window.
    fn login_makers(&mut self, now: UnixTime) -> RowResult<Vec<LoginId>>;
}

fn insert(tx: &mut dyn Tx, login: &Login, now: UnixTime) -> Result<Decided<bool>, SaveError> {
    tx.forget_logins(rules::oldest_session(now), rules::PURGE)?;
    // There are few, so they are counted one by one.
    let valid = tx.logins()?.iter().filter(|login| login.admits(now).is_ok()).count();
    if valid >= LOGINS {
        return Ok(Decided::nothing(false));
    }
    if !tx.add_login(login)? {
        return Err(SaveError::Conflict);
    }
    let what = match login.kind {
        LoginKind::Session => What::LogIn,
        LoginKind::Token => What::MakeAccessToken,
    };
    let details =
        [Detail::Login(login.id), Detail::Word(login.role.as_str()), Detail::Until(login.ends_at)];
    Ok(Decided::by(true, Entry::new(what, details).at(now)))
}

fn end(
    tx: &mut dyn Tx,
    id: LoginId,
    now: UnixTime,
) -> Result<Decided<(bool, EndedWith)>, StoreError> {
    let revoked = tx.revoke_login(id, now)?;
    let with = makers::end_made_by_login(tx, id, now)?;
    if !revoked && with == EndedWith::NOTHING {
        return Ok(Decided::nothing((revoked, with)));
    }
    let details = [Detail::Login(id), Detail::Count(with.number())];
    Ok(Decided::by((revoked, with), Entry::new(What::EndLogin, details).at(now)))
}

#[async_trait]
impl<D: Database> Logins for D {
    async fn insert_login(&self, login: Login, now: UnixTime) -> Result<bool, SaveError> {
        self.decide(move |tx| insert(tx, &login, now)).await
    }

    async fn login(&self, id: LoginId) -> Result<Option<Login>, StoreError> {
        self.point(move |tx| tx.login(id)).await
    }

    async fn logins(&self) -> Result<Vec<Login>, StoreError> {
        self.page(|tx| tx.logins()).await
    }

    async fn login_used(&self, id: LoginId, used: LoginUse) -> Result<bool, StoreError> {
        self.change(move |tx| tx.note_login_use(id, &used)).await
    }

    async fn end_login(&self, id: LoginId, now: UnixTime) -> Result<(bool, EndedWith), StoreError> {
        self.decide(move |tx| end(tx, id, now)).await
    }
}
