//! The rows of companions' sessions, of spent setup codes, and their mark.

use std::ops::Bound;

use handfast_core::UnixTime;
use handfast_core::grant::session::SessionHash;
use handfast_core::registry::sessions::{Prolonged, Session, SessionId};
use handfast_core::wire::setup::Nonce;

use super::MemoryTx;
use crate::SessionFilter;
use crate::ops::{RowResult, SessionRows};

/// A session, the runs that made it and set its end, and the time at which the end was last set.
#[derive(Clone, Debug)]
pub(super) struct SessionRow {
    pub(super) session: Session,
    pub(super) run: u64,
    pub(super) end_run: u64,
    pub(super) renewed: Option<UnixTime>,
}

impl SessionRow {
    /// Sets the end.
    pub(super) fn set_end(&mut self, end: UnixTime, prolonged: Option<Prolonged>, run: u64) {
        if end != self.session.expires_at {
            self.end_run = run;
        }
        (self.session.expires_at, self.session.prolonged) = (end, prolonged);
    }

    /// Returns the time at which the session ended, or will.
    fn end(&self) -> UnixTime {
        let Session { expires_at, revoked_at, .. } = &self.session;
        revoked_at.map_or(*expires_at, |revoked_at| revoked_at.min(*expires_at))
    }
}

/// The end of a spent setup code, and the run that spent it.
#[derive(Clone, Copy, Debug)]
pub(super) struct SpentRow {
    pub(super) expires_at: UnixTime,
    pub(super) run: u64,
}

impl SessionRows for MemoryTx {
    fn session(&mut self, id: SessionId) -> RowResult<Option<Session>> {
        Ok(self.sessions.get(&id).map(|row| row.session.clone()))
    }

    fn session_by_hash(&mut self, hash: &SessionHash) -> RowResult<Option<Session>> {
        let mut sessions = self.sessions.values().map(|row| &row.session);
        Ok(sessions.find(|session| session.hash.as_bytes() == hash.as_bytes()).cloned())
    }

    fn sessions_after(
        &mut self,
        filter: SessionFilter,
        after: Option<SessionId>,
        limit: usize,
        now: UnixTime,
    ) -> RowResult<Vec<Session>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let sessions = self.sessions.range((from, Bound::Unbounded)).map(|(_, row)| &row.session);
        let page =
            sessions.filter(|session| filter == SessionFilter::All || session.admits(now).is_ok());
        Ok(page.take(limit).cloned().collect())
    }

    fn count_live_sessions(&mut self, now: UnixTime) -> RowResult<u64> {
        let live = self.sessions.values().filter(|row| row.session.admits(now).is_ok());
        Ok(live.count() as u64)
    }

    fn add_session(&mut self, session: &Session) -> RowResult<bool> {
        let has_hash = |row: &SessionRow| row.session.hash.as_bytes() == session.hash.as_bytes();
        if self.sessions.values().any(has_hash) {
            return Ok(false);
        }
        let run = self.singles.run;
        let row = SessionRow { session: session.clone(), run, end_run: run, renewed: None };
        Ok(self.sessions.add(session.id, row))
    }

    fn prolong_session(
        &mut self,
        id: SessionId,
        end: UnixTime,
        prolonged: Option<Prolonged>,
        now: UnixTime,
    ) -> RowResult<()> {
        let run = self.singles.run;
        self.sessions.change(&id, |row| {
            row.set_end(end, prolonged, run);
            row.renewed = Some(now);
        });
        Ok(())
    }

    fn revoke_session(&mut self, id: SessionId, now: UnixTime) -> RowResult<bool> {
        let such =
            |key: &SessionId, row: &SessionRow| *key == id && row.session.revoked_at.is_none();
        Ok(!self.sessions.change_all(such, |row| row.session.revoked_at = Some(now)).is_empty())
    }

    fn forget_sessions(&mut self, before: UnixTime, most: u32) -> RowResult<()> {
        let order = |_: &SessionId, row: &SessionRow| Some(row.end()).filter(|end| *end < before);
        for id in self.sessions.first(most, order) {
            self.sessions.remove(&id);
        }
        Ok(())
    }

    fn setup_code(&mut self, nonce: Nonce) -> RowResult<(UnixTime, bool)> {
        Ok((self.singles.setup_mark, self.spent.has(&nonce)))
    }

    fn setup_mark(&mut self) -> RowResult<UnixTime> {
        Ok(self.singles.setup_mark)
    }

    fn add_spent(&mut self, nonce: Nonce, expires_at: UnixTime) -> RowResult<()> {
        self.spent.add(nonce, SpentRow { expires_at, run: self.singles.run });
        Ok(())
    }

    fn forget_spent(&mut self, most: u32, now: UnixTime) -> RowResult<()> {
        let order = |_: &Nonce, row: &SpentRow| Some(row.expires_at).filter(|end| *end <= now);
        for nonce in self.spent.first(most, order) {
            if let Some(row) = self.spent.get(&nonce) {
                // The mark replaces the forgotten code.
                self.singles.setup_mark = self.singles.setup_mark.max(row.expires_at);
            }
            self.spent.remove(&nonce);
        }
        Ok(())
    }

    fn forget_all_spent(&mut self) -> RowResult<()> {
        self.spent.remove_all(|_, _| true);
        self.singles.setup_mark = UnixTime::default();
        Ok(())
    }
}
