//! Requests: their admission, their count, and their rejection.

use handfast_core::budget::Pending;
use handfast_core::crypto::x25519;
use handfast_core::error::Refusal;
use handfast_core::id::{NodeId, Source};
use handfast_core::limits::Limits;
use handfast_core::registry::admission::{
    Asked, PendingRequest, RequestAdmission, RequestKey, Share, Stalest, decide, gives_way,
};
use handfast_core::registry::record::{Record, Standing};
use handfast_core::registry::rejection::Rejection;
use handfast_core::time::UnixTime;
use rusqlite::{Connection, OptionalExtension, params};

use super::rows::{integer, rejection as read, seconds};
use super::{changes, deliveries, reader};
use crate::rules::{self, Again};
use crate::{StoreError, Stored};

pub(super) fn admit(
    connection: &Connection,
    asking: &PendingRequest,
    profile: &str,
    limits: &Limits,
    now: UnixTime,
) -> Result<Result<NodeId, Refusal>, StoreError> {
    let PendingRequest { key, source, record, request } = asking;
    let mut turned_down = None;
    let same = match &record.keys {
        None => same(connection, key, now)?,
        Some(keys) => match with_key(connection, &keys.channel, now)? {
            Some(Err(refusal)) => return Ok(Err(refusal)),
            Some(Ok((node_id, Again::Waits))) => Some(node_id),
            // The rejected record makes way only if the new request is admitted.
            Some(Ok((node_id, Again::TurnedDown))) => {
                turned_down = Some(node_id);
                None
            }
            None => None,
        },
    };
    // A repeated request adds no entry, so the count does not matter.
    let waiting = match same {
        Some(_) => Pending::default(),
        None => waiting(connection, *source, limits, now)?,
    };
    match decide(same, rejection(connection, key)?, waiting, limits, now) {
        RequestAdmission::Found(node_id) => {
            asked_again(connection, node_id, record, profile, *request, now)?;
            return Ok(Ok(node_id));
        }
        RequestAdmission::Refused(refusal) => return Ok(Err(refusal)),
        RequestAdmission::Displace(share) => {
            let found = stalest(connection, share, *source)?;
            match found.filter(|(_, stalest)| gives_way(*stalest, waiting, now)) {
                Some((node_id, _)) => remove(connection, node_id)?,
                None => return Ok(Err(Refusal::TooManyPending)),
            }
        }
        RequestAdmission::Enter => {}
    }
    if let Some(node_id) = turned_down {
        remove(connection, node_id)?;
    }
    match changes::enter(connection, record, *source, Some(key), profile, now)? {
        true => {
            connection
                .prepare_cached(
                    "INSERT INTO asked (node_id, times, last, request) VALUES (?1, 1, ?2, ?3)",
                )?
                .execute(params![record.node_id.as_bytes(), integer(now), request.cast_signed()])?;
            Ok(Ok(record.node_id))
        }
        false => Err(StoreError::Database(format!("the fresh id {} is taken", record.node_id))),
    }
}

/// Finds the entry with this key. An expired one gives up the key at once, since only one may have
/// it.
fn same(
    connection: &Connection,
    key: &RequestKey,
    now: UnixTime,
) -> Result<Option<NodeId>, StoreError> {
    let found: Option<(i64, [u8; 16], i64)> = connection
        .prepare_cached(
            "SELECT seq, node_id, expires FROM node INDEXED BY node_by_request WHERE standing = 'pending' AND request_key = ?1",
        )?
        .query_row([key.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    match found {
        Some((_, id, expires)) if seconds(expires) > now => Ok(Some(NodeId::from_bytes(id))),
        Some((seq, ..)) => {
            connection.prepare_cached("DELETE FROM node WHERE seq = ?1")?.execute([seq])?;
            Ok(None)
        }
        // A request whose approval may be undone is still the same request.
        None => Ok(deliveries::same(connection, key, now)?),
    }
}

/// The id and standing of a known static key, or the reason for which its request is refused.
type Known = Result<(NodeId, Again), Refusal>;

/// Finds the node with this static key, or the reason for which its request is refused. An expired
/// one gives up the key at once.
fn with_key(
    connection: &Connection,
    key: &x25519::PublicKey,
    now: UnixTime,
) -> Result<Option<Known>, StoreError> {
    let Some(Stored { record: Record { node_id, standing, .. }, .. }) =
        reader::by_key(connection, key)?
    else {
        return Ok(None);
    };
    match standing {
        Standing::Pending { expires } if expires <= now => {
            remove(connection, node_id)?;
            Ok(None)
        }
        standing => Ok(Some(rules::asked_again(&standing).map(|again| (node_id, again)))),
    }
}

/// Updates a waiting device's self-description.
fn describe(
    connection: &Connection,
    node_id: NodeId,
    asked: &Record,
    profile: &str,
    now: UnixTime,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "UPDATE node SET name = ?2, room = ?3, profile = ?4, version = version + 1, changed_at = ?5
             WHERE node_id = ?1 AND standing IN ('pending', 'unapproved') AND (name <> ?2 OR room <> ?3 OR profile <> ?4)",
        )?
        .execute(params![node_id.as_bytes(), asked.name.as_str(), asked.room.as_str(), profile, integer(now)])?;
    Ok(())
}

/// Removes expired requests and counts the remaining ones.
///
/// The counts include expired ones that are left over. That changes no decision: the limit is
/// reported as reached only after a round that removed none.
fn waiting(
    connection: &Connection,
    source: Source,
    limits: &Limits,
    now: UnixTime,
) -> Result<Pending, StoreError> {
    let mut of_this_source = connection.prepare_cached(
        "DELETE FROM node WHERE seq IN (SELECT seq FROM node INDEXED BY node_by_source
         WHERE standing = 'pending' AND source = ?1 AND expires <= ?2 ORDER BY expires LIMIT ?3)",
    )?;
    let mut of_all = connection.prepare_cached(
        "DELETE FROM node WHERE seq IN (SELECT seq FROM node INDEXED BY node_by_expiry
         WHERE standing = 'pending' AND expires <= ?1 ORDER BY expires LIMIT ?2)",
    )?;
    let mut counted = connection.prepare_cached(
        "SELECT (SELECT nodes FROM tally WHERE standing = 'pending'),
                coalesce((SELECT nodes FROM pending_of_source WHERE source = ?1), 0)",
    )?;
    let count = |number: i64| u32::try_from(number).unwrap_or(u32::MAX);
    loop {
        let gone =
            of_this_source.execute(params![source.as_bytes(), integer(now), rules::PURGE])?
                + of_all.execute(params![integer(now), rules::PURGE])?;
        let waiting = counted.query_row([source.as_bytes()], |row| {
            Ok(Pending { total: count(row.get(0)?), of_source: count(row.get(1)?) })
        })?;
        // The loop ends once there is room, so that a call does no more work than it needs.
        if gone == 0 || waiting.has_room(limits) {
            return Ok(waiting);
        }
    }
}

fn remove(connection: &Connection, node_id: NodeId) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM node WHERE node_id = ?1")?
        .execute([node_id.as_bytes()])
        .map(drop)
}

/// Returns the entry without keys whose last request is oldest, of this source or of the source
/// with the most entries.
fn stalest(
    connection: &Connection,
    share: Share,
    own: Source,
) -> rusqlite::Result<Option<(NodeId, Stalest)>> {
    let found: Option<([u8; 16], u32)> = match share {
        Share::Own => connection
            .prepare_cached("SELECT source, nodes FROM pending_of_source WHERE source = ?1")?
            .query_row([own.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?,
        Share::Largest => connection
            .prepare_cached(
                "SELECT source, nodes FROM pending_of_source ORDER BY nodes DESC LIMIT 1",
            )?
            .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?,
    };
    let Some((source, of_source)) = found else { return Ok(None) };
    connection
        .prepare_cached(
            "SELECT node.node_id, coalesce(asked.last, asked_at) AS since FROM node INDEXED BY node_by_source LEFT JOIN asked USING (node_id)
             WHERE standing = 'pending' AND source = ?1 AND static_key IS NULL ORDER BY since, node.node_id LIMIT 1",
        )?
        .query_row([source], |row| {
            let asked = seconds(row.get(1)?);
            Ok((NodeId::from_bytes(row.get(0)?), Stalest { asked, of_source }))
        })
        .optional()
}

/// Counts the request, and updates the device's self-description.
fn asked_again(
    connection: &Connection,
    node_id: NodeId,
    asked: &Record,
    profile: &str,
    request: u64,
    now: UnixTime,
) -> Result<(), StoreError> {
    let before: Option<Asked> = connection
        .prepare_cached("SELECT times, last, request FROM asked WHERE node_id = ?1")?
        .query_row([node_id.as_bytes()], |row| {
            Ok(Asked {
                times: row.get(0)?,
                last: seconds(row.get(1)?),
                request: row.get::<_, i64>(2)?.cast_unsigned(),
            })
        })
        .optional()?;
    let again =
        // An imported entry was never asked for; `!request` makes this request count as a new one.
        before.unwrap_or(Asked { times: 0, last: now, request: !request }).again(request, now);
    if let Some(Asked { times, last, request }) = again {
        connection
            .prepare_cached("INSERT OR REPLACE INTO asked (node_id, times, last, request) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![node_id.as_bytes(), times, integer(last), request.cast_signed()])?;
    }
    match again.is_some() || asked.keys.is_some() {
        true => describe(connection, node_id, asked, profile, now),
        false => Ok(()),
    }
}

/// Returns the rejection of requests with this key.
pub(super) fn rejection(
    connection: &Connection,
    key: &RequestKey,
) -> rusqlite::Result<Option<Rejection>> {
    connection
        .prepare_cached("SELECT times, until FROM rejection WHERE request_key = ?1")?
        .query_row([key.as_bytes()], |row| read(row.get(0)?, row.get(1)?))
        .optional()
}

/// Records a rejection, if the standing is one; forgets those whose wait is over.
pub(super) fn turn_down(
    connection: &Connection,
    node_id: NodeId,
    standing: &Standing,
    now: UnixTime,
) -> Result<(), StoreError> {
    let Some(Stored { record, .. }) = reader::load(connection, node_id)? else { return Ok(()) };
    let key = RequestKey::of_record(&record);
    let Some(Rejection { times, until }) =
        rules::turned_down(standing, rejection(connection, &key)?, now)
    else {
        return Ok(());
    };
    // Rejections that are over are forgotten here, so that strangers cannot fill the disk.
    connection
        .prepare_cached("DELETE FROM rejection WHERE request_key IN (SELECT request_key FROM rejection WHERE until < ?1 ORDER BY until LIMIT ?2)")?
        .execute(params![integer(rules::oldest_rejection(now)), rules::PURGE])?;
    let sql = "INSERT OR REPLACE INTO rejection (request_key, node_id, times, until, rejected_at) VALUES (?1, ?2, ?3, ?4, ?5)";
    connection.prepare_cached(sql)?.execute(params![
        key.as_bytes(),
        node_id.as_bytes(),
        times,
        until.map(integer),
        integer(now)
    ])?;
    Ok(())
}
