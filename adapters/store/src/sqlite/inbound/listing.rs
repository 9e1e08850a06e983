//! The operator's listing of senders.

use handfast_core::time::UnixTime;
use rusqlite::{Connection, Row, ToSql, named_params};

use super::{LivePeriod, rows};
use crate::inbound::EntryKind;
use crate::sqlite::rows::integer;
use crate::{ListedSender, SenderFilter, StoreError};

/// A function that reads a row of one kind.
type Read = fn(&Row<'_>) -> rusqlite::Result<Result<ListedSender, StoreError>>;

pub(super) fn page(
    connection: &Connection,
    filter: &SenderFilter,
    after: Option<&ListedSender>,
    limit: usize,
    LivePeriod(live_after, live_upto): LivePeriod,
    now: UnixTime,
) -> rusqlite::Result<Result<Vec<ListedSender>, StoreError>> {
    // One snapshot of the registry for all the queries.
    let snapshot = connection.unchecked_transaction()?;
    let mut page = Vec::new();
    for kind in [EntryKind::Pending, EntryKind::Allowed, EntryKind::Blocked] {
        if kind != EntryKind::Pending && !filter.all {
            continue;
        }
        let from = match after.map(ListedSender::place) {
            Some((begun, _)) if kind < begun => continue,
            Some((begun, name)) if kind == begun => {
                [name.channel.as_str(), &name.account, &name.sender]
            }
            // The empty name comes before every name.
            Some(_) | None => [filter.channel.as_deref().unwrap_or(""), "", ""],
        };
        let [channel, account, sender] = from;
        let most = i64::try_from(limit - page.len()).unwrap_or(i64::MAX);
        let place = [
            (":channel", &channel as &dyn ToSql),
            (":account", &account),
            (":sender", &sender),
            (":of", &filter.channel),
            (":limit", &most),
        ];
        let now = integer(now);
        let (sql, more, read): (_, [(&str, &dyn ToSql); 2], Read) = match kind {
            EntryKind::Pending => (
                "SELECT channel, account, sender, code, created_at, meta FROM sender_pending
                 WHERE (channel, account, sender) > (:channel, :account, :sender) AND (:of IS NULL OR channel = :of)
                   AND created_at > :after AND created_at <= :upto
                 ORDER BY channel, account, sender LIMIT :limit",
                [(":after", &live_after), (":upto", &live_upto)],
                rows::pending_sender,
            ),
            EntryKind::Allowed => (
                "SELECT channel, account, sender, approved_at, via, until, revoked_at FROM sender_allowed
                 WHERE (channel, account, sender) > (:channel, :account, :sender) AND (:of IS NULL OR channel = :of)
                   AND (:ended OR (revoked_at IS NULL AND (until IS NULL OR until > :now)))
                 ORDER BY channel, account, sender LIMIT :limit",
                [(":ended", &filter.include_revoked), (":now", &now)],
                rows::allowed_sender,
            ),
            EntryKind::Blocked => (
                "SELECT channel, account, sender, blocked_at FROM sender_blocked
                 WHERE (channel, account, sender) > (:channel, :account, :sender) AND (:of IS NULL OR channel = :of)
                 ORDER BY channel, account, sender LIMIT :limit",
                [(":of", &filter.channel), (":limit", &most)],
                rows::blocked_sender,
            ),
        };
        let parameters: Vec<_> = place.into_iter().chain(more).collect();
        let mut statement = snapshot.prepare_cached(sql)?;
        for entry in statement.query_map(&*parameters, read)? {
            match entry? {
                Ok(entry) => page.push(entry),
                Err(spoiled) => return Ok(Err(spoiled)),
            }
        }
    }
    Ok(Ok(page))
}

pub(super) fn waiting(
    connection: &Connection,
    LivePeriod(after, upto): LivePeriod,
) -> rusqlite::Result<Vec<(String, u64)>> {
    let mut statement = connection.prepare_cached(
        "SELECT channel, sum(waiting) AS live FROM
            (SELECT channel, waiting FROM sender_tally
             UNION ALL SELECT channel, -1 FROM sender_pending WHERE created_at <= :after OR created_at > :upto)
         GROUP BY channel HAVING live > 0 ORDER BY channel",
    )?;
    let counts = statement.query_map(named_params! { ":after": after, ":upto": upto }, |row| {
        Ok((row.get(0)?, u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0)))
    })?;
    counts.collect()
}
