//! Companions' sessions, and the setup codes that were spent.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;

use async_trait::async_trait;
use handfast_core::grant::session::SessionHash;
use handfast_core::registry::sessions::{
    Ended, Maker, NotRedeemed, Prolonging, Session, SessionId, redeem,
};
use handfast_core::time::UnixTime;
use handfast_core::wire::setup::Nonce;

use super::MemoryStore;
use super::time::moved;
use crate::{EndedWith, SaveError, SessionFilter, Sessions, SetupCode, StoreError, Yield, rules};

#[derive(Clone, Debug, Default)]
pub(super) struct Companions {
    sessions: BTreeMap<SessionId, Session>,
    by_hash: HashMap<[u8; 32], SessionId>,
    by_end: BTreeSet<(UnixTime, SessionId)>,
    spent: HashMap<Nonce, UnixTime>,
    spent_by_end: BTreeSet<(UnixTime, Nonce)>,
    mark: UnixTime,
    /// Number of the current run.
    pub(super) run: u64,
    runs: HashMap<SessionId, Runs>,
    spent_runs: HashMap<Nonce, u64>,
}

/// The runs that made a session and set its end, and the time at which the end was last set.
#[derive(Clone, Copy, Debug)]
struct Runs {
    made: u64,
    end: u64,
    renewed: Option<UnixTime>,
}

impl Companions {
    fn spendable(&self, code: SetupCode, now: UnixTime) -> Result<(), NotRedeemed> {
        redeem(code.expires_at, self.mark, self.spent.contains_key(&code.nonce), now)
    }

    fn spend(&mut self, code: SetupCode, now: UnixTime) {
        self.spent.insert(code.nonce, code.expires_at);
        self.spent_runs.insert(code.nonce, self.run);
        self.spent_by_end.insert((code.expires_at, code.nonce));
        for _ in 0..rules::PURGE {
            let Some((end, nonce)) =
                self.spent_by_end.first().copied().filter(|(end, _)| *end <= now)
            else {
                break;
            };
            self.spent_by_end.pop_first();
            self.spent.remove(&nonce);
            self.spent_runs.remove(&nonce);
            // The mark replaces the forgotten code.
            self.mark = self.mark.max(end);
        }
        for _ in 0..rules::PURGE {
            let Some((_, id)) =
                self.by_end.first().copied().filter(|(end, _)| *end < rules::oldest_session(now))
            else {
                break;
            };
            self.take(id);
            self.runs.remove(&id);
        }
    }

    /// Marks a code that nobody was shown as spent.
    pub(super) fn spoil(&mut self, nonce: Nonce, expires_at: UnixTime) {
        self.spent.insert(nonce, expires_at);
        self.spent_by_end.insert((expires_at, nonce));
    }

    fn forget_codes(&mut self) {
        self.spent.clear();
        self.spent_runs.clear();
        self.spent_by_end.clear();
        self.mark = UnixTime::default();
    }

    pub(super) fn session(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(&id)
    }

    /// Ends the sessions that this session's codes opened and that outlast its end. Returns them.
    pub(super) fn end_made_by(
        &mut self,
        maker: SessionId,
        outlasts: impl Fn(Option<UnixTime>) -> bool,
        now: UnixTime,
    ) -> Vec<SessionId> {
        let made = self.sessions.values().filter(|session| {
            session.maker == Maker::Session(maker) && session.revoked_at.is_none()
        });
        let made: Vec<_> = made
            .filter(|session| outlasts(Some(session.expires_at)))
            .map(|session| session.id)
            .collect();
        made.iter().for_each(|id| self.change(*id, |session| session.revoked_at = Some(now)));
        made
    }

    /// Takes back the time that this session has added to others that outlast its end. Returns them
    /// with their new end.
    pub(super) fn shorten_what_was_prolonged_by(
        &mut self,
        by: SessionId,
        outlasts: impl Fn(Option<UnixTime>) -> bool,
    ) -> Vec<(SessionId, UnixTime)> {
        let longer = self.sessions.values().filter(|session| outlasts(Some(session.expires_at)));
        let longer: Vec<_> =
            longer.filter_map(|session| Some((session.id, session.without(by)?))).collect();
        for (id, end) in &longer {
            self.change(*id, |session| (session.expires_at, session.prolonged) = (*end, None));
        }
        longer
    }

    /// Returns the makers of the sessions that have not ended, and the sessions that prolonged any.
    pub(super) fn makers(&self, now: UnixTime) -> impl Iterator<Item = Maker> {
        let open = self
            .sessions
            .values()
            .filter(move |session| session.revoked_at.is_none() && session.expires_at > now);
        let prolonged = self.sessions.values().filter_map(|session| session.prolonged);
        open.map(|session| session.maker)
            .chain(prolonged.map(|prolonged| Maker::Session(prolonged.by)))
    }

    fn insert(&mut self, session: Session) -> Result<(), SaveError> {
        if self.sessions.contains_key(&session.id)
            || self.by_hash.contains_key(session.hash.as_bytes())
        {
            return Err(SaveError::Conflict);
        }
        self.runs.insert(session.id, Runs { made: self.run, end: self.run, renewed: None });
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

    /// Moves the times of what this run made, and returns how many entries that were.
    pub(super) fn move_by(&mut self, by: i64) -> u64 {
        let mut count = 0;
        for (id, runs) in self.runs.clone() {
            let run = self.run;
            if runs.made == run {
                self.change(id, |session| {
                    session.issued_at = moved(session.issued_at, by);
                    if let Some(prolonged) = &mut session.prolonged {
                        prolonged.before = moved(prolonged.before, by);
                    }
                });
                count += 1;
            }
            if runs.end == run {
                self.change(id, |session| session.expires_at = moved(session.expires_at, by));
                if let Some(runs) = self.runs.get_mut(&id) {
                    runs.renewed = runs.renewed.map(|renewed| moved(renewed, by));
                }
                count += 1;
            }
        }
        for (nonce, end) in &mut self.spent {
            if self.spent_runs.get(nonce) == Some(&self.run) {
                self.spent_by_end.remove(&(*end, *nonce));
                *end = moved(*end, by);
                self.spent_by_end.insert((*end, *nonce));
                count += 1;
            }
        }
        count
    }

    /// Ends what earlier runs made later than `latest`, and returns how many entries that were.
    pub(super) fn end_later(&mut self, latest: UnixTime) -> u64 {
        let mut count = 0;
        // `over` is in no index, so the sessions need not be taken out.
        for session in self.sessions.values_mut() {
            let Some(runs) = self.runs.get(&session.id) else { continue };
            let made = runs.made != self.run && session.issued_at > latest;
            let renewed =
                runs.end != self.run && runs.renewed.is_some_and(|renewed| renewed > latest);
            if (made || renewed) && session.revoked_at.is_none() && !session.over {
                session.over = true;
                count += 1;
            }
        }
        count
    }

    /// Returns the times at which this run made its sessions, or set their end.
    pub(super) fn made_last(&self) -> Vec<UnixTime> {
        let each = self.runs.iter().flat_map(|(id, runs)| {
            let issued = self
                .sessions
                .get(id)
                .filter(|_| runs.made == self.run)
                .map(|session| session.issued_at);
            [issued, runs.renewed.filter(|_| runs.end == self.run)]
        });
        each.flatten().collect()
    }

    pub(super) fn write_over(&mut self, id: SessionId, now: UnixTime) -> bool {
        let over =
            self.sessions.get_mut(&id).filter(|session| !session.over && session.expires_at <= now);
        over.map(|session| session.over = true).is_some()
    }

    pub(super) fn mark_over(&mut self, end: UnixTime, now: UnixTime) -> bool {
        let rises = self.mark < end && end <= now;
        if rises {
            self.mark = end;
        }
        rises
    }

    pub(super) fn change(&mut self, id: SessionId, change: impl FnOnce(&mut Session)) {
        if let Some(mut session) = self.take(id) {
            change(&mut session);
            self.put(session);
        }
    }
}

/// Returns the time at which the session ended, or will.
fn end(session: &Session) -> UnixTime {
    session.revoked_at.map_or(session.expires_at, |revoked_at| revoked_at.min(session.expires_at))
}

#[async_trait]
impl Sessions for MemoryStore {
    async fn redeem(
        &self,
        code: SetupCode,
        yields: Yield,
        now: UnixTime,
    ) -> Result<Result<(), NotRedeemed>, SaveError> {
        let mut state = self.state();
        if let Err(no) = state.companions.spendable(code, now) {
            return Ok(Err(no));
        }
        if state.end_of(code.maker, now).is_none() {
            return Ok(Err(NotRedeemed::Expired));
        }
        match yields {
            Yield::Session(session) => state.companions.insert(session)?,
            Yield::Node { record, profile, read_at, grant, ceiling } => {
                state.offer(
                    *record,
                    profile,
                    read_at,
                    *grant,
                    ceiling.map(|ceiling| *ceiling),
                    now,
                )?;
            }
        }
        state.companions.spend(code, now);
        state.deliveries.setup_used(code.nonce);
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
        let belongs =
            |session: &&Session| filter == SessionFilter::All || session.admits(now).is_ok();
        let state = self.state();
        let page = state
            .companions
            .sessions
            .range((from, Bound::Unbounded))
            .map(|(_, session)| session)
            .filter(belongs);
        Ok(page.take(limit).cloned().collect())
    }

    async fn live_sessions(&self, now: UnixTime) -> Result<u64, StoreError> {
        let Companions { sessions, by_end, .. } = &self.state().companions;
        let last = SessionId::from_bytes([0xff; 16]);
        let not_over = by_end.range((Bound::Excluded((now, last)), Bound::Unbounded));
        Ok(not_over
            .filter(|(_, id)| sessions.get(id).is_some_and(|session| session.admits(now).is_ok()))
            .count() as u64)
    }

    async fn prolong_session(
        &self,
        id: SessionId,
        how: Prolonging,
        now: UnixTime,
    ) -> Result<Option<Result<UnixTime, Ended>>, StoreError> {
        let mut state = self.state();
        let Some(session) = state.companions.session(id).cloned() else { return Ok(None) };
        let by = how.by.map_or(Maker::Operator, Maker::Session);
        let (Some(made), Some(by)) = (state.end_of(session.maker, now), state.end_of(by, now))
        else {
            return Ok(Some(Err(Ended::Revoked)));
        };
        let how = Prolonging { ends: [how.ends, made, by].into_iter().flatten().min(), ..how };
        let refreshed = session.refreshed(&how, now);
        if let Ok((end, prolonged)) = refreshed {
            state
                .companions
                .change(id, |session| (session.expires_at, session.prolonged) = (end, prolonged));
            let run = state.companions.run;
            if end != session.expires_at
                && let Some(runs) = state.companions.runs.get_mut(&id)
            {
                *runs = Runs { end: run, renewed: Some(now), ..*runs };
            }
        }
        Ok(Some(refreshed.map(|(end, _)| end)))
    }

    async fn end_session(
        &self,
        id: SessionId,
        now: UnixTime,
    ) -> Result<(bool, EndedWith), StoreError> {
        let mut state = self.state();
        let (is_open, with) = state.end_session(id, now);
        self.moves(&with);
        Ok((is_open, with))
    }

    async fn ending_with(&self, id: SessionId, now: UnixTime) -> Result<EndedWith, StoreError> {
        // A copy is ended, so that the consequences are determined in one place.
        let mut copy = self.state().clone();
        Ok(copy.end_session(id, now).1)
    }

    async fn end_orphans(&self, now: UnixTime) -> Result<EndedWith, StoreError> {
        let with = self.state().end_orphans(now);
        self.moves(&with);
        Ok(with)
    }
}
