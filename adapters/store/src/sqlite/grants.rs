//! The grants, and the revocations.

use handfast_core::grant::capability::{self, Held};
use handfast_core::id::NodeId;
use handfast_core::registry::ceiling::Ceiling;
use handfast_core::registry::grants::{Grant, GrantId, State};
use handfast_core::registry::record::Record;
use handfast_core::time::UnixTime;
use rusqlite::{Connection, OptionalExtension, params};

use super::rows::{grant, integer, session};
use super::{changes, makers};
use crate::{Activation, BadRecord, Revoked, SaveError, StoreError, Version, rules};

pub(super) fn offer(
    connection: &Connection,
    record: &Record,
    profile: &str,
    read_at: Option<Version>,
    grant: &Grant,
    ceiling: Option<&Ceiling>,
    now: UnixTime,
) -> Result<Version, SaveError> {
    rules::offerable(record, grant)?;
    if makers::end_of(connection, grant.maker, now)?.is_none() {
        return Err(SaveError::Conflict);
    }
    let version = match read_at {
        None => changes::insert(connection, record, profile, now).map(|()| Version(1)),
        Some(read_at) => changes::replace(connection, record, profile, read_at, now),
    }?;
    if let Some(ceiling) = ceiling {
        bound(connection, grant.node_id, ceiling, now)?;
    }
    purge(connection, now)?;
    end_such(connection, grant.node_id, Such::Unconfirmed, now)?;
    add(connection, grant, now)?;
    Ok(version)
}

/// Sets a node's ceiling without an offer.
pub(super) fn set_ceiling(
    connection: &Connection,
    node_id: NodeId,
    read_at: Version,
    ceiling: &Ceiling,
    now: UnixTime,
) -> Result<Version, SaveError> {
    changes::raise(connection, node_id, read_at, now)?;
    bound(connection, node_id, ceiling, now)?;
    Ok(Version(read_at.0 + 1))
}

/// Sets a node's ceiling. An end that does not change keeps the time at which it was set.
fn bound(
    connection: &Connection,
    node_id: NodeId,
    ceiling: &Ceiling,
    now: UnixTime,
) -> rusqlite::Result<()> {
    let Ceiling { scopes, expires, named, maker } = ceiling;
    connection
        .prepare_cached(
            "UPDATE node SET ceiling = ?2, ceiling_expires = ?3, ceiling_named = ?4, ceiling_by = ?5,
                    ceiling_at = CASE WHEN ceiling_expires IS ?3 THEN ceiling_at ELSE ?6 END WHERE node_id = ?1",
        )?
        .execute(params![node_id.as_bytes(), scopes.as_str(), expires.map(integer), named, session(*maker), integer(now)])?;
    Ok(())
}

fn add(connection: &Connection, grant: &Grant, now: UnixTime) -> Result<(), StoreError> {
    let Grant { id, node_id, capability, scopes, not_before, expires, moved: _, state, maker } =
        grant;
    let (state, until, ended_at) = match state {
        State::Offered { until } => ("offered", Some(integer(*until)), None),
        State::Active => ("active", None, None),
        State::Ended => ("ended", None, Some(integer(now))),
    };
    let added = connection
        .prepare_cached(
            "INSERT INTO granted (grant_id, node_id, state, until, ended_at, capability, not_before, expires, scopes, maker)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (grant_id) DO NOTHING",
        )?
        .execute(params![
            id.as_bytes(),
            node_id.as_bytes(),
            state,
            until,
            ended_at,
            capability.as_ref().map(capability::Id::as_bytes),
            integer(*not_before),
            expires.map(integer),
            scopes.as_str(),
            session(*maker),
        ])?;
    match added {
        1 => Ok(()),
        _ => Err(StoreError::Database("the fresh id of a grant is taken".to_owned())),
    }
}

pub(super) fn of(connection: &Connection, node_id: NodeId) -> Result<Vec<Grant>, StoreError> {
    let sql = "SELECT * FROM granted INDEXED BY granted_by_node WHERE node_id = ?1 ORDER BY seq";
    let mut statement = connection.prepare_cached(sql)?;
    let grants: rusqlite::Result<Result<_, _>> =
        statement.query_map([node_id.as_bytes()], grant)?.collect();
    Ok(grants??)
}

/// Returns the grants that have not ended.
pub(super) fn open(
    connection: &Connection,
    node_id: NodeId,
) -> rusqlite::Result<Result<Vec<Grant>, BadRecord>> {
    let sql = "SELECT * FROM granted INDEXED BY granted_open WHERE node_id = ?1 AND state <> 'ended' ORDER BY seq";
    connection.prepare_cached(sql)?.query_map([node_id.as_bytes()], grant)?.collect()
}

pub(super) fn with(
    connection: &Connection,
    capability: &capability::Id,
) -> Result<Option<Grant>, StoreError> {
    let sql = "SELECT * FROM granted INDEXED BY granted_by_capability WHERE capability = ?1
               ORDER BY state = 'ended', seq DESC LIMIT 1";
    Ok(connection
        .prepare_cached(sql)?
        .query_row([capability.as_bytes()], grant)
        .optional()?
        .transpose()?)
}

pub(super) fn activate(
    connection: &Connection,
    node_id: NodeId,
    id: GrantId,
    now: UnixTime,
) -> Result<Activation, StoreError> {
    let found = connection
        .prepare_cached("SELECT * FROM granted WHERE grant_id = ?1 AND node_id = ?2")?
        .query_row([id.as_bytes(), node_id.as_bytes()], |row| {
            Ok((row.get::<_, i64>("seq")?, grant(row)?))
        })
        .optional()?;
    let Some((seq, grant)) = found else { return Ok(Activation::NotThere) };
    let grant = grant?;
    // An expired offer counts as missing, even if it is not purged yet.
    if !grant.counts(now) {
        return Ok(Activation::NotThere);
    }
    // A node repeats its confirmation if the answer was lost.
    if grant.state == State::Active {
        return Ok(Activation::Active { ended: Vec::new() });
    }
    connection
        .prepare_cached("UPDATE granted SET state = 'active', until = NULL WHERE seq = ?1")?
        .execute([seq])?;
    Ok(Activation::Active { ended: end_such(connection, node_id, Such::Before(seq), now)? })
}

pub(super) fn end(
    connection: &Connection,
    node_id: NodeId,
    which: Option<GrantId>,
    now: UnixTime,
) -> Result<Vec<capability::Id>, StoreError> {
    end_such(connection, node_id, which.map_or(Such::All, Such::One), now)
}

/// A selection of a node's grants that end.
enum Such {
    All,
    One(GrantId),
    Unconfirmed,
    Before(i64),
}

/// Ends these grants. Returns the capabilities that no other grant continues.
fn end_such(
    connection: &Connection,
    node_id: NodeId,
    such: Such,
    now: UnixTime,
) -> Result<Vec<capability::Id>, StoreError> {
    let (one, before, unconfirmed) = match &such {
        Such::All => (None, i64::MAX, false),
        Such::One(id) => (Some(id.as_bytes()), i64::MAX, false),
        Such::Unconfirmed => (None, i64::MAX, true),
        Such::Before(seq) => (None, *seq, false),
    };
    let mut end = connection.prepare_cached(
        "UPDATE granted INDEXED BY granted_open SET state = 'ended', until = NULL, ended_at = ?2
         WHERE node_id = ?1 AND state <> 'ended' AND seq < ?3 AND (?4 IS NULL OR grant_id = ?4) AND (NOT ?5 OR state = 'offered')
         RETURNING seq, capability",
    )?;
    let ended = end
        .query_map(params![node_id.as_bytes(), integer(now), before, one, unconfirmed], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Option<[u8; 32]>>(1)?))
        })?;
    let mut ended: Vec<_> = ended.collect::<Result<_, _>>()?;
    // `RETURNING` gives no order, but the answer is in the order in which the grants were made.
    ended.sort_unstable();
    let mut capabilities = Vec::new();
    for capability in
        ended.into_iter().filter_map(|(_, capability)| capability.map(capability::Id::from_bytes))
    {
        if !capabilities.contains(&capability) && has_ended(connection, &capability)? {
            capabilities.push(capability);
        }
    }
    Ok(capabilities)
}

/// Returns `true` if a capability's grant has ended and no other continues it.
pub(super) fn has_ended(
    connection: &Connection,
    capability: &capability::Id,
) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM granted INDEXED BY granted_by_capability WHERE capability = ?1 AND state = 'ended')
                AND NOT EXISTS (SELECT 1 FROM granted INDEXED BY granted_by_capability
                                WHERE capability = ?1 AND state IN ('offered', 'active'))",
        )?
        .query_row([capability.as_bytes()], |row| row.get(0))
}

/// Removes grants that ended long ago. Their capabilities stay revoked until they would have
/// expired.
fn purge(connection: &Connection, now: UnixTime) -> Result<(), StoreError> {
    let (oldest, now) = (integer(rules::oldest_end(now)), integer(now));
    connection
        .prepare_cached(
            "INSERT INTO revocation SELECT 'block', capability, ?3 FROM
                (SELECT capability, expires FROM granted INDEXED BY granted_by_end
                 WHERE state = 'ended' AND ended_at < ?1 ORDER BY ended_at, seq LIMIT ?2) AS old
             WHERE capability IS NOT NULL AND (expires IS NULL OR expires > ?3)
               AND NOT EXISTS (SELECT 1 FROM granted INDEXED BY granted_by_capability
                               WHERE capability = old.capability AND state IN ('offered', 'active'))
             ON CONFLICT DO NOTHING",
        )?
        .execute(params![oldest, rules::PURGE, now])?;
    connection
        .prepare_cached(
            "DELETE FROM granted WHERE seq IN (SELECT seq FROM granted INDEXED BY granted_by_end
             WHERE state = 'ended' AND ended_at < ?1 ORDER BY ended_at, seq LIMIT ?2)",
        )?
        .execute(params![oldest, rules::PURGE])?;
    Ok(())
}

pub(super) fn revoke(
    connection: &Connection,
    what: &Revoked,
    now: UnixTime,
) -> Result<(), StoreError> {
    let (word, id) = match what {
        Revoked::Block(id) => ("block", id.as_bytes()),
        Revoked::Key(key) => ("key", key.as_bytes()),
    };
    connection
        .prepare_cached("INSERT INTO revocation VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?
        .execute(params![word, id, integer(now)])?;
    Ok(())
}

pub(super) fn is_revoked(connection: &Connection, held: &[Held]) -> Result<bool, StoreError> {
    let mut revoked = connection.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM revocation WHERE what = 'block' AND id = ?1)
             OR EXISTS (SELECT 1 FROM revocation WHERE what = 'key' AND id = ?2)
             OR EXISTS (SELECT 1 FROM node INDEXED BY node_by_key WHERE static_key = ?2 AND standing = 'revoked' AND cause <> 'rejected')",
    )?;
    for Held { id, by } in held {
        if revoked.query_row([id.as_bytes(), by.as_bytes()], |row| row.get(0))?
            || has_ended(connection, id)?
        {
            return Ok(true);
        }
    }
    Ok(false)
}
