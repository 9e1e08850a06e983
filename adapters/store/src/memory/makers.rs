//! Consequences of a session's end for the things that it made.

use std::collections::BTreeSet;

use handfast_core::registry::sessions::{Maker, SessionId};
use handfast_core::time::UnixTime;

use super::MemoryState;
use crate::makers::Ending;
use crate::{EndedWith, via_session};

impl MemoryState {
    /// Returns the latest end of a thing that this maker makes now. The outer `None` means that the
    /// maker has ended, the inner one that there is no limit.
    pub(super) fn end_of(&self, maker: Maker, now: UnixTime) -> Option<Option<UnixTime>> {
        let Maker::Session(id) = maker else { return Some(None) };
        let session = self.companions.session(id).filter(|session| session.admits(now).is_ok());
        session.map(|session| Some(session.expires_at))
    }

    /// Ends a session, and all that it has made. Returns `false` if it had been revoked before.
    pub(super) fn end_session(&mut self, id: SessionId, now: UnixTime) -> (bool, EndedWith) {
        let is_open =
            self.companions.session(id).is_some_and(|session| session.revoked_at.is_none());
        if is_open {
            self.companions.change(id, |session| session.revoked_at = Some(now));
        }
        (is_open, self.end_made_by(vec![Ending::whole(id)], now))
    }

    /// Ends all that these sessions have made, and all that was made by that.
    pub(super) fn end_made_by(&mut self, first: Vec<Ending>, now: UnixTime) -> EndedWith {
        let mut with = EndedWith::default();
        let mut work = first;
        while let Some(Ending { session, outlasting }) = work.pop() {
            let outlasts = |end: Option<UnixTime>| {
                outlasting.is_none_or(|time| end.is_none_or(|end| end > time))
            };
            for ended in self.companions.end_made_by(session, outlasts, now) {
                with.sessions.push(ended);
                work.push(Ending::whole(ended));
            }
            for (shorter, end) in self.companions.shorten_what_was_prolonged_by(session, outlasts) {
                with.shortened.push((shorter, end));
                work.push(Ending { session: shorter, outlasting: Some(end) });
            }
            with.codes += self.codes.end_made_by(session, outlasts, now);
            with.window |= self.codes.close_opened_by(session, outlasts);
            let (grants, capabilities) = self.grants.end_made_by(session, outlasts, now);
            with.grants.extend(grants);
            let fresh: Vec<_> =
                capabilities.into_iter().filter(|id| !with.capabilities.contains(id)).collect();
            with.capabilities.extend(fresh);
            if outlasting.is_none() {
                with.unapproved.extend(self.nodes.end_approved_by(session, now));
            }
            with.senders.extend(self.senders.end_let_in(&via_session(session), outlasts, now));
        }
        with
    }

    /// Ends what was made by sessions that have ended.
    pub(super) fn end_orphans(&mut self, now: UnixTime) -> EndedWith {
        let opened = self.codes.window.opened.map(|opened| opened.by);
        let makers: BTreeSet<SessionId> = self
            .companions
            .makers(now)
            .chain(self.codes.makers(now))
            .chain(opened)
            .chain(self.grants.makers())
            .chain(self.nodes.approvers())
            .filter_map(Maker::session)
            .collect();
        let ended = makers.into_iter().filter(|id| self.end_of(Maker::Session(*id), now).is_none());
        let ended: Vec<_> = ended.map(Ending::whole).collect();
        self.end_made_by(ended, now)
    }
}
