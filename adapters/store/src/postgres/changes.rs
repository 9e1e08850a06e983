//! The log of changes that other gateways must hear of.
//!
//! Numbers are taken before a commit, so they are not in the order in which changes become visible.
//! A reader therefore goes by transaction, and reads only those that are older than every
//! transaction still open (`pg_snapshot_xmin`): no other can ever come before them. These are the
//! transactions of the whole server: one that stays open in another database holds readers back.

use crate::value::params;
use handfast_core::NodeId;

use super::tx::{PostgresTx, Row};
use crate::ops::RowResult;
use crate::rows::most;
use crate::shared::{Change, ChangeKind, ChangePlace};
use crate::{StoreError, Version};

impl ChangeKind {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "node" => Self::Node,
            "grant" => Self::Grant,
            "certificate" => Self::Certificate,
            "clone" => Self::Clone,
            "dispatch" => Self::Dispatch,
            "revocation" => Self::Revocation,
            "session" => Self::Session,
            "login" => Self::Login,
            "sender" => Self::Sender,
            "key" => Self::Key,
            "addresses" => Self::Addresses,
            "request" => Self::Request,
            "code" => Self::Code,
            "policy" => Self::Policy,
            "link" => Self::Link,
            _ => return None,
        })
    }
}

/// Returns the present end of the log.
pub(super) fn last(tx: &mut PostgresTx<'_>) -> RowResult<ChangePlace> {
    let sql = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint";
    let oldest_open: i64 = tx.one(sql, params![], |row| row.get(0))?;
    Ok(ChangePlace { transaction: oldest_open.saturating_sub(1), number: i64::MAX })
}

/// Returns the changes after this place, and whether others are committed and cannot be read yet.
pub(super) fn after_place(
    tx: &mut PostgresTx<'_>,
    after: ChangePlace,
    limit: usize,
) -> RowResult<(Option<Vec<Change>>, bool)> {
    let ChangePlace { transaction, number } = after;
    // One statement, so that nothing is removed between the check and the reading.
    let sql = "SELECT (pruned.xid, pruned.seq) > ($1::text::xid8, $2::bigint), found.xid::text::bigint, found.seq, kind, node, gateway, version,
                   EXISTS (SELECT FROM change WHERE xid >= pg_snapshot_xmin(pg_current_snapshot())) AS held_back
               FROM change_pruned AS pruned LEFT JOIN LATERAL
                   (SELECT * FROM change WHERE (xid, seq) > ($1::text::xid8, $2::bigint) AND xid < pg_snapshot_xmin(pg_current_snapshot())
                    ORDER BY xid, seq LIMIT $3) AS found ON TRUE
               ORDER BY found.xid, found.seq";
    let rows = tx.all(sql, params![transaction.to_string(), number, most(limit)], |row| {
        Ok((row.get::<_, bool>(0)?, row.get::<_, bool>("held_back")?, change(row)?))
    })?;
    let are_held_back = rows.iter().any(|(_, are_held_back, _)| *are_held_back);
    if rows.iter().any(|(is_pruned, ..)| *is_pruned) {
        return Ok((None, are_held_back));
    }
    let changes = rows.into_iter().filter_map(|(.., change)| change).collect();
    Ok((Some(changes), are_held_back))
}

/// Reads a change. `None` in the row that says that there is none.
fn change(row: &Row) -> RowResult<Option<Change>> {
    let Some(transaction) = row.get(1)? else { return Ok(None) };
    let word: String = row.get("kind")?;
    let kind = ChangeKind::parse(&word)
        .ok_or_else(|| StoreError::Database(format!("a change of the kind {word:?} is unknown")))?;
    Ok(Some(Change {
        place: ChangePlace { transaction, number: row.get(2)? },
        kind,
        node: row.get::<_, Option<_>>("node")?.map(NodeId::from_bytes),
        gateway: row.get("gateway")?,
        version: row.get::<_, Option<i64>>("version")?.map(|it| Version(it.cast_unsigned())),
    }))
}

/// Removes changes that are older than a day. Returns their number.
pub(super) fn prune(tx: &mut PostgresTx<'_>, most: u32) -> RowResult<usize> {
    // Whoever has read up to a removed change has missed nothing, and whoever has not may have.
    let sql = "WITH gone AS (
                   DELETE FROM change WHERE seq IN (SELECT seq FROM change WHERE made_at < now() - interval '1 day' ORDER BY made_at, seq LIMIT $1)
                   RETURNING xid, seq),
               latest AS (SELECT xid, seq FROM gone ORDER BY xid DESC, seq DESC LIMIT 1),
               marked AS (UPDATE change_pruned AS pruned SET xid = latest.xid, seq = latest.seq FROM latest
                          WHERE (latest.xid, latest.seq) > (pruned.xid, pruned.seq))
               SELECT count(*) FROM gone";
    let gone: i64 = tx.one(sql, params![most], |row| row.get(0))?;
    Ok(usize::try_from(gone).unwrap_or(0))
}
