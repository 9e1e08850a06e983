//! The operator's listing of senders.

use handfast_core::UnixTime;
use rusqlite::{Connection, Row, ToSql};

use crate::inbound::EntryKind;
use crate::rows::{integer, senders as rows};
use crate::{ListedSender, SenderFilter, StoreError};

/// A function that reads a row of one kind.
type Read = fn(&Row<'_>) -> Result<ListedSender, StoreError>;

pub(super) fn page(
    connection: &Connection,
    filter: &SenderFilter,
    after: Option<&ListedSender>,
    limit: usize,
    (live_after, live_upto): (i64, i64),
    now: UnixTime,
) -> Result<Vec<ListedSender>, StoreError> {
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
                |row| rows::pending_sender(row),
            ),
            EntryKind::Allowed => (
                "SELECT channel, account, sender, approved_at, via, until, revoked_at FROM sender_allowed
                 WHERE (channel, account, sender) > (:channel, :account, :sender) AND (:of IS NULL OR channel = :of)
                   AND (:ended OR (revoked_at IS NULL AND (until IS NULL OR until > :now)))
                 ORDER BY channel, account, sender LIMIT :limit",
                [(":ended", &filter.include_revoked), (":now", &now)],
                |row| rows::allowed_sender(row),
            ),
            EntryKind::Blocked => (
                "SELECT channel, account, sender, blocked_at FROM sender_blocked
                 WHERE (channel, account, sender) > (:channel, :account, :sender) AND (:of IS NULL OR channel = :of)
                 ORDER BY channel, account, sender LIMIT :limit",
                [(":of", &filter.channel), (":limit", &most)],
                |row| rows::blocked_sender(row),
            ),
        };
        let parameters: Vec<_> = place.into_iter().chain(more).collect();
        let mut statement = connection.prepare_cached(sql)?;
        for entry in statement.query_map(&*parameters, |row| Ok(read(row)))? {
            page.push(entry??);
        }
    }
    Ok(page)
}
