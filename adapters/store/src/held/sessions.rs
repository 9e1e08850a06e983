//! Companions' sessions, with the held decisions applied.

use async_trait::async_trait;
use handfast_core::UnixTime;
use handfast_core::grant::session::SessionHash;
use handfast_core::registry::sessions::{Ended, NotRedeemed, Prolonging, Session, SessionId};

use super::HeldStore;
use crate::{EndedWith, SaveError, SessionFilter, Sessions, SetupCode, StoreError, Yield};

impl HeldStore {
    fn seen_session(&self, mut session: Session) -> Session {
        let (since, shortened) =
            self.held.ends(|ends| (ends.session(session.id), ends.shortened(session.id)));
        if let Some(end) = shortened {
            (session.expires_at, session.prolonged) = (session.expires_at.min(end), None);
        }
        // A session ends with the session that made it.
        let with_maker = self.held.ends(|ends| {
            let is_out = ends.is_out(session.maker, Some(session.expires_at));
            is_out.then(|| {
                session
                    .maker
                    .session()
                    .and_then(|maker| ends.session(maker))
                    // A maker whose end was only shortened has no time of its end here.
                    .unwrap_or(session.issued_at)
            })
        });
        session.revoked_at = session.revoked_at.or(since).or(with_maker);
        session
    }
}

#[async_trait]
impl Sessions for HeldStore {
    async fn redeem(
        &self,
        code: SetupCode,
        yields: Yield,
        now: UnixTime,
    ) -> Result<Result<(), NotRedeemed>, SaveError> {
        self.wrote_save(self.store.redeem(code, yields, now).await)
    }

    async fn setup_mark(&self) -> Result<UnixTime, StoreError> {
        self.store.setup_mark().await
    }

    async fn forget_setup_codes(&self) -> Result<(), StoreError> {
        self.wrote(self.store.forget_setup_codes().await)
    }

    async fn insert_session(&self, session: Session) -> Result<(), SaveError> {
        self.wrote_save(self.store.insert_session(session).await)
    }

    async fn session_by_hash(&self, hash: &SessionHash) -> Result<Option<Session>, StoreError> {
        Ok(self.store.session_by_hash(hash).await?.map(|session| self.seen_session(session)))
    }

    async fn session(&self, id: SessionId) -> Result<Option<Session>, StoreError> {
        Ok(self.store.session(id).await?.map(|session| self.seen_session(session)))
    }

    async fn sessions(
        &self,
        filter: SessionFilter,
        after: Option<SessionId>,
        limit: usize,
        now: UnixTime,
    ) -> Result<Vec<Session>, StoreError> {
        let page = self.store.sessions(filter, after, limit, now).await?;
        Ok(page.into_iter().map(|session| self.seen_session(session)).collect())
    }

    async fn live_sessions(&self, now: UnixTime) -> Result<u64, StoreError> {
        self.store.live_sessions(now).await
    }

    async fn prolong_session(
        &self,
        id: SessionId,
        how: Prolonging,
        now: UnixTime,
    ) -> Result<Option<Result<UnixTime, Ended>>, StoreError> {
        // A held end must not be undone by a refresh meanwhile.
        if self.held.ends(|ends| ends.session(id)).is_some() {
            return Ok(Some(Err(Ended::Revoked)));
        }
        self.wrote(self.store.prolong_session(id, how, now).await)
    }

    async fn end_session(
        &self,
        id: SessionId,
        now: UnixTime,
    ) -> Result<(bool, EndedWith), StoreError> {
        self.wrote(self.store.end_session(id, now).await)
    }

    async fn ending_with(&self, id: SessionId, now: UnixTime) -> Result<EndedWith, StoreError> {
        self.store.ending_with(id, now).await
    }

    async fn end_orphans(&self, now: UnixTime) -> Result<EndedWith, StoreError> {
        self.wrote(self.store.end_orphans(now).await)
    }
}
