//! Changes of nodes, each inside a transaction of the writing thread.

use handfast_core::id::{NodeId, Source};
use handfast_core::registry::admission::RequestKey;
use handfast_core::registry::record::{Record, Standing};
use handfast_core::registry::sessions::Maker;
use handfast_core::time::UnixTime;
use rusqlite::{Connection, OptionalExtension, named_params, params};

use super::rows::{Columns, integer, session};
use super::{deliveries, grants, makers, requests};
use crate::{Observation, SaveError, StoreError, Version, rules};

/// Adds a node; `false` if its id, or its static key, is taken.
pub(super) fn enter(
    connection: &Connection,
    record: &Record,
    source: Source,
    key: Option<&RequestKey>,
    profile: &str,
    now: UnixTime,
) -> rusqlite::Result<bool> {
    let Record { node_id, name, room, address, keys, asked_at, standing } = record;
    let columns = Columns::of(standing);
    let mut insert = connection.prepare_cached(
        "INSERT INTO node (node_id, name, room, address, asked_at, standing, expires, token_hash, mode, cause,
                           version, changed_at, source, request_key, static_key, signing_key, profile)
         VALUES (:node_id, :name, :room, :address, :asked_at, :standing, :expires, :token_hash, :mode, :cause,
                 1, :now, :source, :request_key, :static_key, :signing_key, :profile)
         ON CONFLICT DO NOTHING",
    )?;
    let entered = insert.execute(named_params! {
        ":node_id": node_id.as_bytes(), ":name": name.as_str(), ":room": room.as_str(), ":address": address.to_string(),
        ":asked_at": integer(*asked_at), ":standing": columns.standing, ":expires": columns.expires, ":token_hash": columns.token_hash,
        ":mode": columns.mode, ":cause": columns.cause, ":now": integer(now), ":source": source.as_bytes(),
        ":request_key": key.map(RequestKey::as_bytes), ":profile": profile,
        ":static_key": keys.as_ref().map(|keys| keys.channel.as_bytes()),
        ":signing_key": keys.as_ref().map(|keys| keys.signing.as_bytes()),
    })?;
    Ok(entered == 1)
}

pub(super) fn insert(
    connection: &Connection,
    record: &Record,
    profile: &str,
    now: UnixTime,
) -> Result<(), SaveError> {
    rules::provable(&record.standing, record.keys.is_some())?;
    match enter(connection, record, Source::of(record.address), None, profile, now)? {
        true => Ok(deliveries::follow(connection, record.node_id, &record.standing, None, now)?),
        false => Err(SaveError::Conflict),
    }
}

pub(super) fn save(
    connection: &Connection,
    id: NodeId,
    read_at: Version,
    standing: &Standing,
    now: UnixTime,
) -> Result<Version, SaveError> {
    let found: Option<(i64, bool)> = connection
        .prepare_cached("SELECT version, static_key IS NOT NULL FROM node WHERE node_id = ?1")?
        .query_row([id.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (version, has_keys) = found.ok_or(SaveError::Missing)?;
    if Ok(version) != i64::try_from(read_at.0) {
        return Err(SaveError::Conflict);
    }
    rules::provable(standing, has_keys)?;
    // Read before the update, which clears the key of a request that no longer waits.
    let request = deliveries::request(connection, id)?;
    let Columns { standing: word, expires, token_hash, mode, cause } = Columns::of(standing);
    connection
        .prepare_cached(
            "UPDATE node SET standing = :standing, expires = :expires, token_hash = :token_hash, mode = :mode, cause = :cause,
                    request_key = CASE :standing WHEN 'pending' THEN request_key END, version = version + 1, changed_at = :now
             WHERE node_id = :node_id",
        )?
        .execute(named_params! {
            ":standing": word, ":expires": expires, ":token_hash": token_hash, ":mode": mode, ":cause": cause,
            ":now": integer(now), ":node_id": id.as_bytes(),
        })?;
    deliveries::follow(connection, id, standing, request, now)?;
    if matches!(standing, Standing::Revoked { .. }) {
        grants::end(connection, id, None, now)?;
        requests::turn_down(connection, id, standing, now)?;
    }
    Ok(Version(read_at.0 + 1))
}

/// Raises the version of a record when something besides its standing changes.
pub(super) fn raise(
    connection: &Connection,
    id: NodeId,
    read_at: Version,
    now: UnixTime,
) -> Result<(), SaveError> {
    let found: Option<i64> = connection
        .prepare_cached("SELECT version FROM node WHERE node_id = ?1")?
        .query_row([id.as_bytes()], |row| row.get(0))
        .optional()?;
    if i64::try_from(read_at.0) != Ok(found.ok_or(SaveError::Missing)?) {
        return Err(SaveError::Conflict);
    }
    let sql = "UPDATE node SET version = version + 1, changed_at = ?2 WHERE node_id = ?1";
    connection.prepare_cached(sql)?.execute(params![id.as_bytes(), integer(now)])?;
    Ok(())
}

/// Saves an approval with its maker.
pub(super) fn save_by(
    connection: &Connection,
    id: NodeId,
    read_at: Version,
    standing: &Standing,
    maker: Maker,
    now: UnixTime,
) -> Result<Version, SaveError> {
    if makers::end_of(connection, maker, now)?.is_none() {
        return Err(SaveError::Conflict);
    }
    let version = save(connection, id, read_at, standing, now)?;
    let sql = "UPDATE node SET approved_by = ?2 WHERE node_id = ?1 AND approved_by IS NOT ?2";
    connection.prepare_cached(sql)?.execute(params![id.as_bytes(), session(maker)])?;
    Ok(version)
}

/// Replaces what a node has proved with its keys: the record is paired anew.
pub(super) fn replace(
    connection: &Connection,
    record: &Record,
    profile: &str,
    read_at: Version,
    now: UnixTime,
) -> Result<Version, SaveError> {
    let Record { node_id, name, room, address, keys, asked_at: _, standing } = record;
    let Columns { standing, expires, token_hash, mode, cause } = Columns::of(standing);
    let replaced = connection
        .prepare_cached(
            "UPDATE OR IGNORE node SET name = :name, room = :room, address = :address, source = :source, profile = :profile,
                    static_key = :static_key, signing_key = :signing_key,
                    standing = :standing, expires = :expires, token_hash = :token_hash, mode = :mode, cause = :cause,
                    request_key = CASE :standing WHEN 'pending' THEN request_key END, version = version + 1, changed_at = :now
             WHERE node_id = :node_id AND version = :read_at AND (standing <> 'revoked' OR cause = 'rejected')
               AND (static_key IS NULL OR static_key = :static_key)",
        )?
        .execute(named_params! {
            ":name": name.as_str(), ":room": room.as_str(), ":address": address.to_string(), ":profile": profile,
            ":source": Source::of(*address).as_bytes(),
            ":static_key": keys.as_ref().map(|keys| keys.channel.as_bytes()),
            ":signing_key": keys.as_ref().map(|keys| keys.signing.as_bytes()),
            ":standing": standing, ":expires": expires, ":token_hash": token_hash, ":mode": mode, ":cause": cause,
            ":now": integer(now), ":node_id": node_id.as_bytes(), ":read_at": i64::try_from(read_at.0).unwrap_or(i64::MAX),
        })?;
    match replaced {
        1 => Ok(Version(read_at.0 + 1)),
        _ => Err(SaveError::Conflict),
    }
}

pub(super) fn observe(
    connection: &Connection,
    id: NodeId,
    observation: Observation,
) -> Result<(), StoreError> {
    let Observation { last_seen, occupancy, noise_level, wake_word_fp } = observation.over(None);
    connection
        .prepare_cached(
            "INSERT INTO observation (node_id, last_seen, occupancy, noise_level, wake_word_fp)
             SELECT node_id, ?2, ?3, ?4, ?5 FROM node WHERE node_id = ?1
             ON CONFLICT (node_id) DO UPDATE SET last_seen = excluded.last_seen, occupancy = coalesce(excluded.occupancy, occupancy),
                    noise_level = coalesce(excluded.noise_level, noise_level), wake_word_fp = coalesce(excluded.wake_word_fp, wake_word_fp)",
        )?
        .execute(params![id.as_bytes(), integer(last_seen), occupancy, noise_level, wake_word_fp])?;
    Ok(())
}

pub(super) fn vault(
    connection: &Connection,
    name: &str,
    fresh: &[u8],
) -> Result<Vec<u8>, StoreError> {
    connection
        .prepare_cached("INSERT INTO vault VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
        .execute(params![name, fresh])?;
    Ok(connection
        .prepare_cached("SELECT sealed FROM vault WHERE name = ?1")?
        .query_row([name], |row| row.get(0))?)
}
