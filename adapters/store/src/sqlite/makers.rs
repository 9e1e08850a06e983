//! Consequences of a session's end for the things that it made: changes and queries.

use std::sync::atomic::AtomicBool;

use handfast_core::grant::capability;
use handfast_core::id::NodeId;
use handfast_core::registry::grants::GrantId;
use handfast_core::registry::sessions::{Maker, SessionId};
use handfast_core::time::UnixTime;
use rusqlite::{Connection, Params, Row, params};

use super::rows::{integer, seconds};
use super::{codes, grants, sessions};
use crate::makers::Ending;
use crate::{EndedWith, SenderName, StoreError, via_session};

/// Returns the latest end of a thing that this maker makes now. The outer `None` means that the
/// maker has ended. A change that writes something for its maker calls this inside its transaction.
pub(super) fn end_of(
    connection: &Connection,
    maker: Maker,
    now: UnixTime,
) -> Result<Option<Option<UnixTime>>, StoreError> {
    let Maker::Session(id) = maker else { return Ok(Some(None)) };
    let session = sessions::by_id(connection, id)?.filter(|session| session.admits(now).is_ok());
    Ok(session.map(|session| Some(session.expires_at)))
}

/// Ends all that these sessions have made, and all that was made by that.
pub(super) fn end_made_by(
    connection: &Connection,
    first: Vec<Ending>,
    now: UnixTime,
    erased: &AtomicBool,
) -> Result<EndedWith, StoreError> {
    let mut with = EndedWith::default();
    let mut work = first;
    // Made things may be makers themselves, so the search continues until nothing new ends.
    while let Some(ending) = work.pop() {
        let Ending { session, outlasting } = ending;
        let (id, at) = (session.as_bytes(), integer(now));
        let after = outlasting.map_or(i64::MIN, integer);
        let sql = "UPDATE session INDEXED BY session_by_maker SET revoked_at = ?2
                   WHERE maker = ?1 AND revoked_at IS NULL AND expires_at > ?3 RETURNING session_id";
        for ended in all(connection, sql, params![id, at, after], |row| {
            row.get(0).map(SessionId::from_bytes)
        })? {
            with.sessions.push(ended);
            work.push(Ending::whole(ended));
        }
        let sql = "UPDATE session INDEXED BY session_by_prolonger
                   SET expires_at = min(expires_at, own_end), prolonged_by = NULL, own_end = NULL
                   WHERE prolonged_by = ?1 AND expires_at > ?2 RETURNING session_id, expires_at";
        let shortened =
            |row: &Row<'_>| Ok((SessionId::from_bytes(row.get(0)?), seconds(row.get(1)?)));
        for (shorter, end) in all(connection, sql, params![id, after], shortened)? {
            with.shortened.push((shorter, end));
            work.push(Ending { session: shorter, outlasting: Some(end) });
        }
        with.codes += codes::end_made_by(connection, session, after, now, erased)?;
        let sql = "UPDATE pairing_window SET opened_at = NULL, closes = NULL, opened_by = NULL
                   WHERE opened_by = ?1 AND (closes IS NULL OR closes > ?2)";
        with.window |= connection.prepare_cached(sql)?.execute(params![id, after])? > 0;
        let sql = "UPDATE granted INDEXED BY granted_by_maker SET state = 'ended', until = NULL, ended_at = ?2
                   WHERE maker = ?1 AND state <> 'ended' AND (expires IS NULL OR expires > ?3)
                   RETURNING node_id, grant_id, capability";
        let granted = |row: &Row<'_>| {
            let (node, grant) = (NodeId::from_bytes(row.get(0)?), GrantId::from_bytes(row.get(1)?));
            Ok((node, grant, row.get::<_, Option<[u8; 32]>>(2)?.map(capability::Id::from_bytes)))
        };
        for (node_id, grant, capability) in all(connection, sql, params![id, at, after], granted)? {
            with.grants.push((node_id, grant));
            if let Some(capability) =
                capability.filter(|capability| !with.capabilities.contains(capability))
                && grants::has_ended(connection, &capability)?
            {
                with.capabilities.push(capability);
            }
        }
        // An approval ends only with its session, not when that is shortened.
        if outlasting.is_none() {
            let sql = "UPDATE node INDEXED BY node_by_approver
                       SET standing = 'unapproved', mode = NULL, approved_by = NULL, version = version + 1, changed_at = ?2
                       WHERE approved_by = ?1 AND standing IN ('paired', 'muted') AND token_hash IS NOT NULL RETURNING node_id";
            with.unapproved.extend(all(connection, sql, params![id, at], |row| {
                row.get(0).map(NodeId::from_bytes)
            })?);
        }
        let sql = "UPDATE sender_allowed INDEXED BY sender_allowed_by_via SET revoked_at = ?2
                   WHERE via = ?1 AND revoked_at IS NULL AND (until IS NULL OR until > ?3) RETURNING channel, account, sender";
        let name = |row: &Row<'_>| {
            Ok(SenderName { channel: row.get(0)?, account: row.get(1)?, sender: row.get(2)? })
        };
        with.senders.extend(all(connection, sql, params![via_session(session), at, after], name)?);
    }
    Ok(with)
}

/// Ends what was made by sessions that have ended.
pub(super) fn end_orphans(
    connection: &Connection,
    now: UnixTime,
    erased: &AtomicBool,
) -> Result<EndedWith, StoreError> {
    let sql = "SELECT maker FROM session INDEXED BY session_by_maker
                   WHERE maker IS NOT NULL AND revoked_at IS NULL AND expires_at > ?1
               UNION SELECT prolonged_by FROM session INDEXED BY session_by_prolonger WHERE prolonged_by IS NOT NULL
               UNION SELECT maker FROM code INDEXED BY code_by_maker WHERE maker IS NOT NULL AND dead_since > ?1 AND uses_left > 0
               UNION SELECT opened_by FROM pairing_window WHERE opened_by IS NOT NULL
               UNION SELECT maker FROM granted INDEXED BY granted_by_maker WHERE maker IS NOT NULL AND state <> 'ended'
               UNION SELECT approved_by FROM node INDEXED BY node_by_approver
                   WHERE approved_by IS NOT NULL AND standing IN ('paired', 'muted')";
    let mut ended = Vec::new();
    for session in
        all(connection, sql, params![integer(now)], |row| row.get(0).map(SessionId::from_bytes))?
    {
        if end_of(connection, Maker::Session(session), now)?.is_none() {
            ended.push(Ending::whole(session));
        }
    }
    match ended.is_empty() {
        true => Ok(EndedWith::default()),
        false => end_made_by(connection, ended, now, erased),
    }
}

fn all<T>(
    connection: &Connection,
    sql: &str,
    parameters: impl Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    connection.prepare_cached(sql)?.query_map(parameters, read)?.collect()
}
