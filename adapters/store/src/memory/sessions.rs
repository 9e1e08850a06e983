//! Companions' sessions, and the setup codes that were spent.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;

use async_trait::async_trait;
use handfast_core::grant::session::SessionHash;
use handfast_core::registry::sessions::{Ended, NotRedeemed, Session, SessionId, redeem};
use handfast_core::time::{Span, UnixTime};
use handfast_core::wire::setup::Nonce;

use super::MemoryStore;
use crate::{SaveError, SessionFilter, Sessions, SetupCode, StoreError, Yield, rules};

#[derive(Debug, Default)]
pub(super) struct Companions {
    sessions: BTreeMap<SessionId, Session>,
    by_hash: HashMap<[u8; 32], SessionId>,
    by_end: BTreeSet<(UnixTime, SessionId)>,
    spent: HashMap<Nonce, UnixTime>,
    spent_by_end: BTreeSet<(UnixTime, Nonce)>,
    mark: UnixTime,
}

impl Companions {
    fn spendable(&self, code: SetupCode, now: UnixTime) -> Result<(), NotRedeemed> {
        redeem(code.expires_at, self.mark, self.spent.contains_key(&code.nonce), now)
    }

    fn spend(&mut self, code: SetupCode, now: UnixTime) {
        self.spent.insert(code.nonce, code.expires_at);
        self.spent_by_end.insert((code.expires_at, code.nonce));
        for _ in 0..rules::PURGE {
            let Some((end, nonce)) = self.spent_by_end.first().copied().filter(|(end, _)| *end <= now) else { break };
            self.spent_by_end.pop_first();
            self.spent.remove(&nonce);
            self.mark = self.mark.max(end);
        }
        for _ in 0..rules::PURGE {
            let Some((_, id)) = self.by_end.first().copied().filter(|(end, _)| *end < rules::oldest_session(now)) else { break };
            self.take(id);
        }
    }

    fn forget_codes(&mut self) {
        self.spent.clear();
        self.spent_by_end.clear();
        self.mark = UnixTime::default();
    }

    fn insert(&mut self, session: Session) -> Result<(), SaveError> {
        if self.sessions.contains_key(&session.id) || self.by_hash.contains_key(session.hash.as_bytes()) {
            return Err(SaveError::Conflict);
        }
        self.put(session);
        Ok(())
    }

    fn put(&mut self, session: Session) {
        self.by_hash.insert(*session.hash.as_bytes(), session.id);
        self.by_end.insert((end(&session), session.id));
        self.sessions.insert(session.id, session);
    }

    fn take(&mut self, id: SessionId) -> Option<Session> {
        let session = self.sessions.remove(&id)?;
        self.by_hash.remove(session.hash.as_bytes());
        self.by_end.remove(&(end(&session), id));
        Some(session)
    }

    fn change(&mut self, id: SessionId, change: impl FnOnce(&mut Session)) {
        if let Some(mut session) = self.take(id) {
            change(&mut session);
            self.put(session);
        }
    }
}

/// When it ended, or will.
fn end(session: &Session) -> UnixTime {
    session.revoked_at.map_or(session.expires_at, |revoked_at| revoked_at.min(session.expires_at))
}

#[async_trait]
impl Sessions for MemoryStore {
    async fn redeem(&self, code: SetupCode, yields: Yield, now: UnixTime) -> Result<Result<(), NotRedeemed>, SaveError> {
        let mut state = self.state();
        if let Err(no) = state.companions.spendable(code, now) {
            return Ok(Err(no));
        }
        match yields {
            Yield::Session(session) => state.companions.insert(session)?,
            Yield::Node { record, profile, read_at, grant } => {
                state.offer(*record, profile, read_at, *grant, now)?;
            }
        }
        state.companions.spend(code, now);
        Ok(Ok(()))
    }

    async fn setup_mark(&self) -> Result<UnixTime, StoreError> {
        Ok(self.state().companions.mark)
    }

    async fn forget_setup_codes(&self) -> Result<(), StoreError> {
        self.state().companions.forget_codes();
        Ok(())
    }

    async fn insert_session(&self, session: Session) -> Result<(), SaveError> {
        self.state().companions.insert(session)
    }

    async fn session_by_hash(&self, hash: &SessionHash) -> Result<Option<Session>, StoreError> {
        let Companions { sessions, by_hash, .. } = &self.state().companions;
        Ok(by_hash.get(hash.as_bytes()).and_then(|id| sessions.get(id)).cloned())
    }

    async fn session(&self, id: SessionId) -> Result<Option<Session>, StoreError> {
        Ok(self.state().companions.sessions.get(&id).cloned())
    }

    async fn sessions(
        &self,
        filter: SessionFilter,
        after: Option<SessionId>,
        limit: usize,
        now: UnixTime,
    ) -> Result<Vec<Session>, StoreError> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let belongs = |session: &&Session| filter == SessionFilter::All || session.admits(now).is_ok();
        let state = self.state();
        let page = state.companions.sessions.range((from, Bound::Unbounded)).map(|(_, session)| session).filter(belongs);
        Ok(page.take(limit).cloned().collect())
    }

    async fn live_sessions(&self, now: UnixTime) -> Result<u64, StoreError> {
        let Companions { sessions, by_end, .. } = &self.state().companions;
        let last = SessionId::from_bytes([0xff; 16]);
        let not_over = by_end.range((Bound::Excluded((now, last)), Bound::Unbounded));
        Ok(not_over.filter(|(_, id)| sessions.get(id).is_some_and(|session| session.admits(now).is_ok())).count() as u64)
    }

    async fn refresh_session(
        &self,
        id: SessionId,
        ttl: Span,
        longest: Span,
        now: UnixTime,
    ) -> Result<Option<Result<UnixTime, Ended>>, StoreError> {
        let companions = &mut self.state().companions;
        let Some(session) = companions.sessions.get(&id) else { return Ok(None) };
        let refreshed = session.refreshed(ttl, longest, now);
        if let Ok(end) = refreshed {
            companions.change(id, |session| session.expires_at = end);
        }
        Ok(Some(refreshed))
    }

    async fn revoke_session(&self, id: SessionId, now: UnixTime) -> Result<bool, StoreError> {
        let companions = &mut self.state().companions;
        let is_open = companions.sessions.get(&id).is_some_and(|session| session.admits(now).is_ok());
        if is_open {
            companions.change(id, |session| session.revoked_at = Some(now));
        }
        Ok(is_open)
    }
}
