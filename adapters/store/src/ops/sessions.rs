//! Companions' sessions, and the setup codes that were spent for them.

use std::convert::Infallible;

use async_trait::async_trait;
use handfast_core::UnixTime;
use handfast_core::grant::session::SessionHash;
use handfast_core::registry::delivery::Settled;
use handfast_core::registry::sessions::{
    self, Ended, Maker, NotRedeemed, Prolonged, Prolonging, Session, SessionId,
};
use handfast_core::wire::setup::Nonce;

use super::{Database, Decided, RowResult, Subject, Tx, grants, makers};
use crate::audit::{Detail, Entry, What};
use crate::makers::Ending;
use crate::{EndedWith, SaveError, SessionFilter, Sessions, SetupCode, StoreError, Yield, rules};

/// The rows of sessions, of spent setup codes, and the mark of the forgotten ones.
pub(crate) trait SessionRows {
    /// Returns a session.
    fn session(&mut self, id: SessionId) -> RowResult<Option<Session>>;

    /// Returns the session with this hash.
    fn session_by_hash(&mut self, hash: &SessionHash) -> RowResult<Option<Session>>;

    /// Returns the sessions that pass the filter, ordered by id, after this id. Live ones are
    /// those that [`Session::admits`] admits.
    fn sessions_after(
        &mut self,
        filter: SessionFilter,
        after: Option<SessionId>,
        limit: usize,
        now: UnixTime,
    ) -> RowResult<Vec<Session>>;

    /// Counts the sessions that [`Session::admits`] admits.
    fn count_live_sessions(&mut self, now: UnixTime) -> RowResult<u64>;

    /// Adds a session; `false` if its id or its hash is taken.
    fn add_session(&mut self, session: &Session) -> RowResult<bool>;

    /// Sets a session's end and its prolonger, at this time.
    fn prolong_session(
        &mut self,
        id: SessionId,
        end: UnixTime,
        prolonged: Option<Prolonged>,
        now: UnixTime,
    ) -> RowResult<()>;

    /// Revokes a session, even a damaged one; `false` if it was revoked before or does not exist.
    fn revoke_session(&mut self, id: SessionId, now: UnixTime) -> RowResult<bool>;

    /// Removes at most `most` sessions that ended before this time, the earliest first.
    fn forget_sessions(&mut self, before: UnixTime, most: u32) -> RowResult<()>;

    /// Returns the mark, and `true` if a code with this nonce is spent.
    fn setup_code(&mut self, nonce: Nonce) -> RowResult<(UnixTime, bool)>;

    /// Returns the mark.
    fn setup_mark(&mut self) -> RowResult<UnixTime>;

    /// Adds a spent code, if it is none yet.
    fn add_spent(&mut self, nonce: Nonce, expires_at: UnixTime) -> RowResult<()>;

    /// Removes at most `most` spent codes that have expired, the earliest first, and raises the
    /// mark to the latest of their ends.
    fn forget_spent(&mut self, most: u32, now: UnixTime) -> RowResult<()>;

    /// Removes all spent codes, and resets the mark.
    fn forget_all_spent(&mut self) -> RowResult<()>;
}

pub(super) fn redeem(
    tx: &mut dyn Tx,
    code: SetupCode,
    yields: &Yield,
    now: UnixTime,
) -> Result<Decided<Result<(), NotRedeemed>>, SaveError> {
    let (mark, is_spent) = tx.setup_code(code.nonce)?;
    if let Err(no) = sessions::redeem(code.expires_at, mark, is_spent, now) {
        return Ok(Decided::nothing(Err(no)));
    }
    // Checked inside the transaction, so that a code of a session that ends meanwhile yields
    // nothing.
    if makers::end_of(tx, code.maker, now)?.is_none() {
        return Ok(Decided::nothing(Err(NotRedeemed::Expired)));
    }
    let yielded = match yields {
        Yield::Session(session) => {
            insert(tx, session)?;
            let details = [Detail::Session(session.id), Detail::Until(session.expires_at)];
            Decided::by((), Entry::new(What::OpenSession, details).at(now))
        }
        Yield::Node { record, profile, read_at, grant, ceiling } => {
            grants::offer(tx, record, profile, *read_at, grant, ceiling.as_deref(), now)?.map(drop)
        }
    };
    tx.add_spent(code.nonce, code.expires_at)?;
    tx.settle_deliveries_of(Subject::Setup(code.nonce), None, Settled::Delivered)?;
    tx.forget_spent(rules::PURGE, now)?;
    tx.forget_sessions(rules::oldest_session(now), rules::PURGE)?;
    Ok(yielded.map(Ok))
}

pub(super) fn insert(tx: &mut dyn Tx, session: &Session) -> Result<(), SaveError> {
    match tx.add_session(session)? {
        true => Ok(()),
        false => Err(SaveError::Conflict),
    }
}

pub(super) fn prolong(
    tx: &mut dyn Tx,
    id: SessionId,
    how: Prolonging,
    now: UnixTime,
) -> Result<Decided<Option<Result<UnixTime, Ended>>>, StoreError> {
    let Some(session) = tx.session(id)? else { return Ok(Decided::nothing(None)) };
    let by = how.by.map_or(Maker::Operator, Maker::Session);
    // Neither an ended maker nor an ended prolonger can give time.
    let (Some(made), Some(by)) =
        (makers::end_of(tx, session.maker, now)?, makers::end_of(tx, by, now)?)
    else {
        return Ok(Decided::nothing(Some(Err(Ended::Revoked))));
    };
    let how = Prolonging { ends: [how.ends, made, by].into_iter().flatten().min(), ..how };
    let refreshed = session.refreshed(&how, now);
    // A refresh that changes nothing needs no write.
    if let Ok((end, prolonged)) = refreshed
        && (end, prolonged) != (session.expires_at, session.prolonged)
    {
        tx.prolong_session(id, end, prolonged, now)?;
        // A companion that prolongs its own session all the time must not fill the log.
        if how.by.is_some() || rules::prolongs(session.expires_at, end) {
            let details = [Detail::Session(id), Detail::Until(end)];
            let entry = Entry::new(What::RefreshSession, details);
            return Ok(Decided::by(Some(Ok(end)), entry.at(now)));
        }
    }
    Ok(Decided::nothing(Some(refreshed.map(|(end, _)| end))))
}

/// Ends a session. Reads nothing else of it, so that a damaged one can be ended too; reads no
/// clock, so that an expired one stays ended when the clock is set back.
pub(super) fn end(
    tx: &mut dyn Tx,
    id: SessionId,
    now: UnixTime,
) -> Result<Decided<(bool, EndedWith)>, StoreError> {
    let revoked = tx.revoke_session(id, now)?;
    let with = makers::end_made_by(tx, vec![Ending::whole(id)], now)?;
    if !revoked && with == EndedWith::NOTHING {
        return Ok(Decided::nothing((revoked, with)));
    }
    let details = [Detail::Session(id), Detail::Count(with.number())];
    Ok(Decided::by((revoked, with), Entry::new(What::RevokeSession, details).at(now)))
}

/// The reason for which a trial change is rolled back.
enum Looked {
    /// The consequences of ending the session.
    Found(Box<EndedWith>),
    /// The consequences could not be determined.
    Failed(StoreError),
}

impl From<StoreError> for Looked {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

#[async_trait]
impl<D: Database> Sessions for D {
    async fn redeem(
        &self,
        code: SetupCode,
        yields: Yield,
        now: UnixTime,
    ) -> Result<Result<(), NotRedeemed>, SaveError> {
        self.decide(move |tx| redeem(tx, code, &yields, now)).await
    }

    async fn setup_mark(&self) -> Result<UnixTime, StoreError> {
        self.point(|tx| tx.setup_mark()).await
    }

    async fn forget_setup_codes(&self) -> Result<(), StoreError> {
        self.decide(|tx| {
            tx.forget_all_spent()?;
            Ok::<_, StoreError>(Decided::by((), Entry::new(What::EndSetupCodes, [])))
        })
        .await
    }

    async fn insert_session(&self, session: Session) -> Result<(), SaveError> {
        self.decide(move |tx| {
            insert(tx, &session)?;
            let details = [Detail::Session(session.id), Detail::Word("session")];
            Ok::<_, SaveError>(Decided::by((), Entry::new(What::Import, details)))
        })
        .await
    }

    async fn session_by_hash(&self, hash: &SessionHash) -> Result<Option<Session>, StoreError> {
        let hash = *hash;
        self.point(move |tx| tx.session_by_hash(&hash)).await
    }

    async fn session(&self, id: SessionId) -> Result<Option<Session>, StoreError> {
        self.point(move |tx| tx.session(id)).await
    }

    async fn sessions(
        &self,
        filter: SessionFilter,
        after: Option<SessionId>,
        limit: usize,
        now: UnixTime,
    ) -> Result<Vec<Session>, StoreError> {
        self.page(move |tx| tx.sessions_after(filter, after, limit, now)).await
    }

    async fn live_sessions(&self, now: UnixTime) -> Result<u64, StoreError> {
        self.page(move |tx| tx.count_live_sessions(now)).await
    }

    async fn prolong_session(
        &self,
        id: SessionId,
        how: Prolonging,
        now: UnixTime,
    ) -> Result<Option<Result<UnixTime, Ended>>, StoreError> {
        self.decide(move |tx| prolong(tx, id, how, now)).await
    }

    async fn end_session(
        &self,
        id: SessionId,
        now: UnixTime,
    ) -> Result<(bool, EndedWith), StoreError> {
        self.decide(move |tx| end(tx, id, now)).await
    }

    async fn ending_with(&self, id: SessionId, now: UnixTime) -> Result<EndedWith, StoreError> {
        // The session is ended and that is rolled back, so that the consequences are determined in
        // one place.
        let look = move |tx: &mut dyn Tx| -> Result<Infallible, Looked> {
            // Rolled back, so nothing is decided.
            let (_, with) = end(tx, id, now)?.within();
            Err(Looked::Found(Box::new(with)))
        };
        match self.change(look).await {
            Ok(never) => match never {},
            Err(Looked::Found(with)) => Ok(*with),
            Err(Looked::Failed(error)) => Err(error),
        }
    }

    async fn end_orphans(&self, now: UnixTime) -> Result<EndedWith, StoreError> {
        self.decide(move |tx| {
            let ended = makers::end_orphans(tx, now)?;
            if ended == EndedWith::NOTHING {
                return Ok::<_, StoreError>(Decided::nothing(ended));
            }
            let entry = Entry::new(What::EndOrphans, [Detail::Count(ended.number())]);
            Ok(Decided::by(ended, entry.at(now)))
        })
        .await
    }
}
