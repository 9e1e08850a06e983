//! The rows of all concerns by the session that made them.

use std::collections::BTreeSet;

use handfast_core::grant::capability;
use handfast_core::registry::grants::GrantId;
use handfast_core::registry::lifecycle;
use handfast_core::registry::record::Standing;
use handfast_core::registry::sessions::{Maker, SessionId};
use handfast_core::{NodeId, UnixTime};

use super::MemoryTx;
use crate::ops::{MakerRows, Outlasting, RowResult};
use crate::{SenderName, Version, via_session};

/// Returns `true` if a thing with this end outlasts that time.
fn outlasts(end: Option<UnixTime>, outlasting: Outlasting) -> bool {
    outlasting.is_none_or(|time| end.is_none_or(|end| end > time))
}

impl MakerRows for MemoryTx {
    fn end_sessions_of(
        &mut self,
        maker: SessionId,
        outlasting: Outlasting,
        now: UnixTime,
    ) -> RowResult<Vec<SessionId>> {
        Ok(self.sessions.change_all(
            |_, row| {
                row.session.maker == Maker::Session(maker)
                    && row.session.revoked_at.is_none()
                    && outlasts(Some(row.session.expires_at), outlasting)
            },
            |row| row.session.revoked_at = Some(now),
        ))
    }

    fn shorten_prolonged_by(
        &mut self,
        by: SessionId,
        outlasting: Outlasting,
    ) -> RowResult<Vec<(SessionId, UnixTime)>> {
        let run = self.singles.run;
        let mut shortened = Vec::new();
        let longer = self.sessions.change_all(
            |_, row| {
                row.session.without(by).is_some()
                    && outlasts(Some(row.session.expires_at), outlasting)
            },
            |row| {
                if let Some(end) = row.session.without(by) {
                    row.set_end(end, None, run);
                    shortened.push(end);
                }
            },
        );
        Ok(longer.into_iter().zip(shortened).collect())
    }

    fn kill_codes_of(
        &mut self,
        maker: SessionId,
        outlasting: Outlasting,
        now: UnixTime,
    ) -> RowResult<u64> {
        let killed = self.codes.change_all(
            |_, row| {
                row.code.maker == Maker::Session(maker)
                    && row.has_uses()
                    && outlasts(Some(row.dead_since), outlasting)
            },
            |row| row.kill(now),
        );
        Ok(killed.len() as u64)
    }

    fn close_window_of(&mut self, maker: SessionId, outlasting: Outlasting) -> RowResult<bool> {
        let opened = self.singles.window.opened;
        let closes = opened.is_some_and(|opened| {
            opened.by == Maker::Session(maker) && outlasts(opened.closes, outlasting)
        });
        if closes {
            self.singles.window.opened = None;
            self.singles.window_run = self.singles.run;
        }
        Ok(closes)
    }

    fn end_grants_of(
        &mut self,
        maker: SessionId,
        outlasting: Outlasting,
        now: UnixTime,
    ) -> RowResult<Vec<(NodeId, GrantId, Option<capability::Id>)>> {
        let ended = self.grants.change_all(
            |_, row| {
                row.grant.maker == Maker::Session(maker)
                    && row.is_open()
                    && outlasts(row.grant.expires, outlasting)
            },
            |row| row.end(now),
        );
        let ended = ended.iter().filter_map(|place| self.grants.get(place)).map(|row| &row.grant);
        Ok(ended.map(|grant| (grant.node_id, grant.id, grant.capability)).collect())
    }

    fn unapprove_of(&mut self, maker: SessionId, now: UnixTime) -> RowResult<Vec<NodeId>> {
        Ok(self.nodes.change_all(
            |_, node| {
                node.entry.maker == Maker::Session(maker)
                    && lifecycle::unapproved(&node.entry.record.standing).is_some()
            },
            |node| {
                let standing = &mut node.entry.record.standing;
                *standing = lifecycle::unapproved(standing).unwrap_or_else(|| standing.clone());
                node.request = None;
                node.entry.maker = Maker::Operator;
                node.entry.version = Version(node.entry.version.0 + 1);
                node.entry.changed_at = now;
            },
        ))
    }

    fn revoke_senders_of(
        &mut self,
        maker: SessionId,
        outlasting: Outlasting,
        now: UnixTime,
    ) -> RowResult<Vec<SenderName>> {
        let via = via_session(maker);
        Ok(self.allowed.change_all(
            |_, row| {
                row.via == via
                    && row.allowed.revoked_at.is_none()
                    && outlasts(row.allowed.until, outlasting)
            },
            |row| row.allowed.revoked_at = Some(now),
        ))
    }

    fn makers(&mut self, now: UnixTime) -> RowResult<Vec<SessionId>> {
        let sessions = self.sessions.values().map(|row| &row.session);
        let open = sessions
            .clone()
            .filter(|session| session.revoked_at.is_none() && session.expires_at > now)
            .map(|session| session.maker);
        let prolongers = sessions.filter_map(|session| session.prolonged).map(|it| it.by);
        let codes = self.codes.values().filter(|row| row.lives(now)).map(|row| row.code.maker);
        let window = self.singles.window.opened.map(|opened| opened.by);
        let grants = self.grants.values().filter(|row| row.is_open()).map(|row| row.grant.maker);
        let approvers = self.nodes.values().map(|node| &node.entry).filter(|entry| {
            matches!(entry.record.standing, Standing::Paired { .. } | Standing::Muted { .. })
        });
        let makers: BTreeSet<SessionId> = open
            .chain(codes)
            .chain(window)
            .chain(grants)
            .chain(approvers.map(|entry| entry.maker))
            .filter_map(Maker::session)
            .chain(prolongers)
            .collect();
        Ok(makers.into_iter().collect())
    }
}
