//! Queries for the facts about a sender.

use handfast_core::UnixTime;
use handfast_core::registry::inbound::{Facts, InboundLimits};
use rusqlite::{Connection, params};

use super::bounds;
use crate::ops::LivePeriod;
use crate::rows::senders as rows;
use crate::{SenderName, StoreError};

/// Reads the facts, and the number of expired entries as far as it was needed.
///
/// One statement is enough for a sender that is blocked or allowed. It is still open while the
/// other runs, and an open statement keeps its snapshot of the registry, so both read the same one.
/// Each begins at the one row of `sender_total`, so that it always yields a row.
pub(super) fn of(
    connection: &Connection,
    SenderName { channel, account, sender }: &SenderName,
    limits: &InboundLimits,
    now: UnixTime,
) -> Result<(Facts, u32), StoreError> {
    let mut standing = connection.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM sender_blocked WHERE channel = ?1 AND account = ?2 AND sender = ?3)
             OR EXISTS (SELECT 1 FROM sender_blocked WHERE channel = ?1 AND account = '' AND sender = ?3) AS blocked,
                approved_at, until, revoked_at
         FROM sender_total LEFT JOIN sender_allowed ON channel = ?1 AND account = ?2 AND sender = ?3 WHERE one = 1",
    )?;
    let mut standing = standing.query([channel, account, sender])?;
    let row = standing.next()?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    let (blocked, allowed) = (row.get(0)?, rows::allowed(row)?);
    let facts = Facts { blocked, allowed, ..Facts::default() };
    if blocked || allowed.is_some_and(|allowed| allowed.is_active(now)) {
        return Ok((facts, 0));
    }
    let (after, upto) = bounds(LivePeriod::at(now, limits.pending_for));
    let mut waiting = connection.prepare_cached(
        "SELECT coalesce((SELECT waiting FROM sender_tally WHERE channel = ?1 AND account = ?2), 0),
                (SELECT count(*) FROM sender_pending INDEXED BY sender_pending_of_account
                 WHERE channel = ?1 AND account = ?2 AND created_at <= ?4)
              + (SELECT count(*) FROM sender_pending INDEXED BY sender_pending_of_account
                 WHERE channel = ?1 AND account = ?2 AND created_at > ?5),
                sender_total.waiting,
                (SELECT count(*) FROM sender_pending INDEXED BY sender_pending_by_age WHERE created_at <= ?4)
              + (SELECT count(*) FROM sender_pending INDEXED BY sender_pending_by_age WHERE created_at > ?5),
                code, created_at, told_at
         FROM sender_total LEFT JOIN sender_pending ON channel = ?1 AND account = ?2 AND sender = ?3 WHERE one = 1",
    )?;
    let mut waiting = waiting.query(params![channel, account, sender, after, upto])?;
    let row = waiting.next()?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    // A count that cannot be read is treated as full.
    let count = |column: usize| {
        row.get::<_, i64>(column).map(|number| u32::try_from(number).unwrap_or(u32::MAX))
    };
    let [of_account, over_of_account, total, over] = [count(0)?, count(1)?, count(2)?, count(3)?];
    let facts = Facts {
        pending: rows::waiting(row)?,
        pending_of_account: of_account.saturating_sub(over_of_account),
        pending_total: total.saturating_sub(over),
        ..facts
    };
    Ok((facts, over))
}
