//! The rows of all concerns by the session that made them.

use crate::value::params;
use handfast_core::grant::capability;
use handfast_core::registry::grants::GrantId;
use handfast_core::registry::sessions::SessionId;
use handfast_core::{NodeId, UnixTime};

use super::tx::PostgresTx;
use crate::ops::{MakerRows, Outlasting, RowResult};
use crate::rows::{integer, seconds};
use crate::{SenderName, via_session};

/// Converts the time that things must outlast to a column's value.
fn after(outlasting: Outlasting) -> i64 {
    outlasting.map_or(i64::MIN, integer)
}

impl MakerRows for PostgresTx<'_> {
    fn end_sessions_of(
        &mut self,
        maker: SessionId,
        outlasting: Outlasting,
        now: UnixTime,
    ) -> RowResult<Vec<SessionId>> {
        let sql = "UPDATE session SET revoked_at = $2
                   WHERE maker = $1 AND revoked_at IS NULL AND expires_at > $3 RETURNING session_id";
        let such = params![maker.as_bytes(), integer(now), after(outlasting)];
        self.all(sql, such, |row| row.get(0).map(SessionId::from_bytes))
    }

    fn shorten_prolonged_by(
        &mut self,
        by: SessionId,
        outlasting: Outlasting,
    ) -> RowResult<Vec<(SessionId, UnixTime)>> {
        let sql = "UPDATE session
                   SET expires_at = least(expires_at, own_end), prolonged_by = NULL, own_end = NULL
                   WHERE prolonged_by = $1 AND expires_at > $2 RETURNING session_id, expires_at";
        self.all(sql, params![by.as_bytes(), after(outlasting)], |row| {
            Ok((SessionId::from_bytes(row.get(0)?), seconds(row.get(1)?)))
        })
    }

    fn kill_codes_of(
        &mut self,
        maker: SessionId,
        outlasting: Outlasting,
        now: UnixTime,
    ) -> RowResult<u64> {
        let sql = "UPDATE code SET expires = least(expires, $2), dead_since = least(dead_since, $2),
                      uses_left = 0, sealed = NULL WHERE maker = $1 AND uses_left > 0 AND dead_since > $3";
        Ok(self.execute(sql, params![maker.as_bytes(), integer(now), after(outlasting)])? as u64)
    }

    fn close_window_of(&mut self, maker: SessionId, outlasting: Outlasting) -> RowResult<bool> {
        let sql = "UPDATE pairing_window SET opened_at = NULL, closes = NULL, opened_by = NULL
                   WHERE opened_by = $1 AND (closes IS NULL OR closes > $2)";
        Ok(self.execute(sql, params![maker.as_bytes(), after(outlasting)])? > 0)
    }

    fn end_grants_of(
        &mut self,
        maker: SessionId,
        outlasting: Outlasting,
        now: UnixTime,
    ) -> RowResult<Vec<(NodeId, GrantId, Option<capability::Id>)>> {
        let sql = "UPDATE granted SET state = 'ended', until = NULL, ended_at = $2
                   WHERE maker = $1 AND state <> 'ended' AND (expires IS NULL OR expires > $3)
                   RETURNING node_id, grant_id, capability";
        let such = params![maker.as_bytes(), integer(now), after(outlasting)];
        self.all(sql, such, |row| {
            let (node, grant) = (NodeId::from_bytes(row.get(0)?), GrantId::from_bytes(row.get(1)?));
            Ok((node, grant, row.get::<_, Option<_>>(2)?.map(capability::Id::from_bytes)))
        })
    }

    fn unapprove_of(&mut self, maker: SessionId, now: UnixTime) -> RowResult<Vec<NodeId>> {
        let sql = "UPDATE node
                   SET standing = 'unapproved', mode = NULL, approved_by = NULL, delivery_id = NULL, delivery_until = NULL, fallback = NULL,
                       fallback_expires = NULL, fallback_token = NULL, fallback_request = NULL, version = version + 1, changed_at = $2
                   WHERE approved_by = $1 AND standing IN ('paired', 'muted') AND token_hash IS NOT NULL RETURNING node_id";
        let such = params![maker.as_bytes(), integer(now)];
        self.all(sql, such, |row| row.get(0).map(NodeId::from_bytes))
    }

    fn revoke_senders_of(
        &mut self,
        maker: SessionId,
        outlasting: Outlasting,
        now: UnixTime,
    ) -> RowResult<Vec<SenderName>> {
        let sql = "UPDATE sender_allowed SET revoked_at = $2
                   WHERE via = $1 AND revoked_at IS NULL AND (until IS NULL OR until > $3) RETURNING channel, account, sender";
        let such = params![via_session(maker), integer(now), after(outlasting)];
        self.all(sql, such, |row| {
            Ok(SenderName { channel: row.get(0)?, account: row.get(1)?, sender: row.get(2)? })
        })
    }

    fn makers(&mut self, now: UnixTime) -> RowResult<Vec<SessionId>> {
        let sql = "SELECT maker FROM session
                   WHERE maker IS NOT NULL AND revoked_at IS NULL AND expires_at > $1
               UNION SELECT prolonged_by FROM session WHERE prolonged_by IS NOT NULL
               UNION SELECT maker FROM code WHERE maker IS NOT NULL AND dead_since > $1 AND uses_left > 0
               UNION SELECT opened_by FROM pairing_window WHERE opened_by IS NOT NULL
               UNION SELECT maker FROM granted WHERE maker IS NOT NULL AND state <> 'ended'
               UNION SELECT approved_by FROM node
                   WHERE approved_by IS NOT NULL AND standing IN ('paired', 'muted')";
        self.all(sql, params![integer(now)], |row| row.get(0).map(SessionId::from_bytes))
    }
}
